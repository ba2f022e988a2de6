/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card on a tap with vhost=on, in a network namespace of the test's own: the host's
 * kernel moves the frames, which this process must not see. Streams both ways with their checksums,
 * and what takes the queues away from the kernel and gives them back: the cable, a stopped VM, a
 * driver that lets go of the card.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/groups.h"
#include "tests/guest/net.h"

#define HOST_IP 0x0a090001
#define HOST    "10.9.0.1"

enum { BLOCK = 1000000, DOWN = 20, UP = 2 };

static uint8_t block[BLOCK];

static void make_block(void)
{
    uint64_t x = 88172645463325252;

    for (size_t i = 0; i < sizeof block; i++) { /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        block[i] = (uint8_t)x;
    }
}

static char *sum_of_blocks(unsigned n)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_MD5);
    char *text;

    for (unsigned i = 0; i < n; i++) {
        g_checksum_update(sum, block, sizeof block);
    }
    text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}

/* --- the host's end: one connection each --- */

static gpointer give_blocks(gpointer opaque)
{
    int c = accept(GPOINTER_TO_INT(opaque), NULL, NULL);

    for (unsigned i = 0; i < DOWN; i++) {
        net_write_all(c, block, sizeof block);
    }
    close(c);
    return NULL;
}

static gpointer take_blocks(gpointer opaque)
{
    int c = accept(GPOINTER_TO_INT(opaque), NULL, NULL);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_MD5);
    uint8_t *buf = g_malloc(BLOCK);
    char *text;
    size_t n;

    while ((n = net_read_all(c, buf, BLOCK)) > 0) {
        g_checksum_update(sum, buf, (gssize)n);
    }
    close(c);
    g_free(buf);
    text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}

/* --- steps --- */

static void expect_served(Vm *vm, const char *path, bool by_kernel)
{
    json_t *r = vm_qmp(vm, "x-query-virtio-status", json_pack("{s:s}", "path", path));

    if (json_is_true(json_object_get(r, "vhost-started")) != by_kernel) {
        fail("vhost-started is not %s", by_kernel ? "true" : "false");
    }
    json_decref(r);
}

static void expect_info(Vm *vm, const char *text)
{
    json_t *r =
        vm_qmp(vm, "human-monitor-command", json_pack("{s:s}", "command-line", "info network"));

    net_expect_text(json_string_value(r), text);
    json_decref(r);
}

static void fetch(Vm *vm)
{
    g_autofree char *want = sum_of_blocks(DOWN), *got = NULL;
    unsigned port;
    int s = net_listen(HOST_IP, &port);
    GThread *t = g_thread_new("give", give_blocks, GINT_TO_POINTER(s));
    double begin = now();

    got = net_ask(vm, "run nc -w 60 " HOST " %u </dev/null | md5sum", port);
    net_expect_text(got, want);
    g_thread_join(t);
    close(s);
    passed("%d MB to the guest: %.1f MB/s", DOWN, DOWN / (now() - begin));
}

static void send_back(Vm *vm)
{
    g_autofree char *want = sum_of_blocks(UP), *got = NULL;
    unsigned port;
    int s = net_listen(HOST_IP, &port);
    GThread *t = g_thread_new("give", give_blocks, GINT_TO_POINTER(s));
    double begin;

    g_free(
        net_ask(vm, "run nc -w 60 " HOST " %u </dev/null | head -c %d >/tmp/block", port, BLOCK));
    g_thread_join(t);
    begin = now();
    t = g_thread_new("take", take_blocks, GINT_TO_POINTER(s));
    g_free(net_ask(vm, "run cat /tmp/block /tmp/block | nc -w 30 " HOST " %u", port));
    got = g_thread_join(t);
    net_expect_text(got, want);
    close(s);
    passed("%d MB from the guest: %.1f MB/s", UP, UP / (now() - begin));
}

static void ping(Vm *vm)
{
    g_free(net_ask(vm, "run ping -c 8 -W 4 " HOST));
}

static void stop_and_go_on(Vm *vm, const char *path)
{
    vm_do(vm, "stop", NULL);
    expect_served(vm, path, false);
    vm_do(vm, "cont", NULL);
    expect_served(vm, path, true);
    ping(vm);
    passed("stop and cont");
}

static void set_up(Vm *vm)
{
    g_free(net_ask(vm, "run ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up"));
}

static void reload_driver(Vm *vm, const char *path)
{
    g_autofree char *name = net_ask(vm, "run basename $(readlink /sys/class/net/eth0/device)");

    g_strchomp(name);
    g_free(net_ask(vm, "run echo %s >/sys/bus/virtio/drivers/virtio_net/unbind", name));
    expect_served(vm, path, false);
    g_free(net_ask(vm, "run echo %s >/sys/bus/virtio/drivers/virtio_net/bind", name));
    set_up(vm);
    expect_served(vm, path, true);
    ping(vm);
    passed("the driver lets go and comes back");
}

/* Frames that this process had are counted: the cable and the stop leave it a few. */
static void expect_few_frames(Vm *vm)
{
    uint64_t n = net_counter(vm, "rx-frames") + net_counter(vm, "tx-frames");

    if (n > 200) {
        fail("%" G_GUINT64_FORMAT " frames went through the process", n);
    }
    passed("%" G_GUINT64_FORMAT " frames went through the process", n);
}

static void run(Vm *vm, const char *path, const char *info)
{
    net_bring_up("vm0", HOST_IP);
    vm_wait_ready(vm);
    set_up(vm);
    expect_info(vm, info);
    expect_served(vm, path, true);
    ping(vm);
    fetch(vm);
    send_back(vm);
    net_pull_cable(vm, HOST);
    expect_served(vm, path, true);
    stop_and_go_on(vm, path);
    reload_driver(vm, path);
    fetch(vm);
    expect_few_frames(vm);
    vm_power_off(vm);
}

#define NETDEV "tap,id=net0,ifname=vm0,script=no,downscript=no,vhost=on,vhostforce=on"

/* Linux sets all pairs up, and uses as many as it has processors: the kernel gets an idle one, too.
 */
void group_net_vhost(void)
{
    net_own_network();
    make_block();
    run(vm_start("-netdev", NETDEV ",queues=2", "-device", "virtio-net,id=card0,netdev=net0,mq=on",
                 NULL),
        "/machine/peripheral/card0/virtio-backend", "ifname=vm0,queues=2,vhost=on");
}

/* Interrupts are a wire of the window's: each comes by way of the process. */
void group_net_vhost_microvm(void)
{
    net_own_network();
    make_block();
    run(vm_start("-M", "microvm", "-netdev", NETDEV, "-device", "virtio-net,id=card0,netdev=net0",
                 NULL),
        "/machine/peripheral/card0", "ifname=vm0,queues=1,vhost=on");
}
