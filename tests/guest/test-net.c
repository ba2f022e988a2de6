/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card on the backend "user" in use by Linux' driver, as an ordinary user has it: an
 * address by DHCP, a file from the host by HTTP, one sent to it, a port of the guest's, the cable
 * pulled and put back.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/groups.h"
#include "tests/guest/net.h"

/* An emulated host on a busy machine has a round trip of up to 0.1 s. */
enum { FILE_BYTES = 1 << 20, SENT_BYTES = 200000, ECHO_BYTES = 50000 };

static uint8_t file[FILE_BYTES];

/* Answers each GET with the file. */
static gpointer serve_http(gpointer opaque)
{
    int s = GPOINTER_TO_INT(opaque), c;

    while ((c = accept(s, NULL, NULL)) >= 0) {
        char request[2048], head[128];
        ssize_t n = read(c, request, sizeof request);

        if (n > 0) {
            snprintf(head, sizeof head, "HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n",
                     FILE_BYTES);
            net_write_all(c, head, strlen(head));
            net_write_all(c, file, sizeof file);
        }
        close(c);
    }
    return NULL;
}

/* --- steps --- */

static void get_address(Vm *vm)
{
    g_autofree char *lease = NULL, *mac = NULL;

    g_free(net_ask(
        vm,
        "run printf '#!/bin/sh\\n[ $1 = bound ] || exit 0\\nip addr add $ip/24 dev $interface\\n"
        "ip route add default via $router\\necho $ip $router $dns >/tmp/lease\\n' >/tmp/dhcp; "
        "chmod +x /tmp/dhcp; ip link set lo up; ip link set eth0 up"));
    lease = net_ask(vm, "run udhcpc -i eth0 -n -q -s /tmp/dhcp 2>&1; cat /tmp/lease");
    mac = net_ask(vm, "run cat /sys/class/net/eth0/address");
    net_expect_text(lease, "10.0.2.15 10.0.2.2 10.0.2.3");
    net_expect_text(mac, "52:54:00:12:34:56");
    passed("an address by DHCP");
}

static void fetch_file(Vm *vm, unsigned port)
{
    g_autofree char *want = g_compute_checksum_for_data(G_CHECKSUM_MD5, file, sizeof file);
    g_autofree char *got = net_ask(vm, "run wget -q -O - http://10.0.2.2:%u/file | md5sum", port);

    net_expect_text(got, want);
    passed("a file of %d MiB by HTTP", FILE_BYTES >> 20);
}

static gpointer take_file(gpointer opaque)
{
    int s = GPOINTER_TO_INT(opaque), c = accept(s, NULL, NULL);
    uint8_t *all = g_malloc(SENT_BYTES + 1);
    size_t n = net_read_all(c, all, SENT_BYTES + 1);
    char *sum = g_compute_checksum_for_data(G_CHECKSUM_MD5, all, n);

    close(c);
    g_free(all);
    return sum;
}

static void send_file(Vm *vm)
{
    unsigned port;
    int s = net_listen(INADDR_LOOPBACK, &port);
    GThread *t = g_thread_new("take", take_file, GINT_TO_POINTER(s));
    g_autofree char *sum = net_ask(vm,
                                   "run head -c %d /dev/urandom >/tmp/out; md5sum </tmp/out; "
                                   "nc -w 30 10.0.2.2 %u </tmp/out",
                                   SENT_BYTES, port);
    g_autofree char *got = g_thread_join(t);

    net_expect_text(sum, got);
    close(s);
    passed("%d bytes the other way", SENT_BYTES);
}

/* A server in the guest, which gives back what it gets. */
static void use_port(Vm *vm, unsigned port)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                            .sin_port = htons((uint16_t)port)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    uint8_t *back = g_malloc(ECHO_BYTES);

    g_free(net_ask(vm, "run (nc -ll -p 7 -e cat >/dev/null 2>&1 &); sleep 1"));
    if (connect(s, (struct sockaddr *)&a, sizeof a) < 0) {
        fail("nobody is at the forwarded port");
    }
    for (size_t at = 0; at < ECHO_BYTES; at += 10000) { /* less than both ends hold */
        net_write_all(s, file + at, 10000);
        if (net_read_all(s, back, 10000) != 10000 || memcmp(back, file + at, 10000) != 0) {
            fail("what comes back through the forwarded port is something else");
        }
    }
    close(s);
    g_free(back);
    passed("a connection through hostfwd");
}

static void run(const char *machine, const char *device)
{
    unsigned http, echo;
    int s = -1, e;
    g_autofree char *netdev = NULL, *card = g_strconcat(device, ",netdev=net0,id=card0", NULL);
    Vm *vm;

    net_loopback_up();
    for (size_t i = 0; i < sizeof file; i++) {
        file[i] = (uint8_t)(i * 31 + (i >> 9));
    }
    s = net_listen(INADDR_LOOPBACK, &http);
    e = net_listen(INADDR_LOOPBACK, &echo); /* free when it is closed */
    close(e);
    g_thread_unref(g_thread_new("http", serve_http, GINT_TO_POINTER(s)));
    netdev = g_strdup_printf("user,id=net0,hostfwd=tcp:127.0.0.1:%u-:7", echo);
    vm = vm_start("-M", machine, "-m", "256", "-netdev", netdev, "-device", card, NULL);
    vm_wait_ready(vm);
    get_address(vm);
    fetch_file(vm, http);
    send_file(vm);
    use_port(vm, echo);
    net_pull_cable(vm, "10.0.2.2");
    if (net_counter(vm, "tx-errors") != 0 || net_counter(vm, "rx-errors") != 0) {
        fail("there were malformed frames");
    }
    vm_power_off(vm);
}

void group_net_pc(void)
{
    run("pc", "virtio-net-pci");
}

void group_net_pc_legacy(void)
{
    run("pc", "virtio-net-pci,disable-legacy=off,disable-modern=on,vectors=0");
}

void group_net_microvm(void)
{
    run("microvm", "virtio-net-device,packed=on");
}
