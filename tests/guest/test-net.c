/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card on the backend "user" in use by Linux' driver, as an ordinary user has it: an
 * address by DHCP, a file from the host by HTTP, one sent to it, a port of the guest's, the cable
 * pulled and put back.
 */
#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

/* An emulated host on a busy machine has a round trip of up to 0.1 s. */
enum { FILE_BYTES = 1 << 20, SENT_BYTES = 200000, ECHO_BYTES = 50000 };

static uint8_t file[FILE_BYTES];

/* --- the host's end --- */

/* In an emulated host nobody has done it. */
static void loopback_up(void)
{
    struct ifreq ifr = {.ifr_name = "lo"};
    int s = socket(AF_INET, SOCK_DGRAM, 0);

    if (s < 0 || ioctl(s, SIOCGIFFLAGS, &ifr) < 0) {
        fail("no loopback interface");
    }
    if (!(ifr.ifr_flags & IFF_UP)) {
        ifr.ifr_flags |= IFF_UP;
        ioctl(s, SIOCSIFFLAGS, &ifr);
    }
    close(s);
}

static int listen_on(unsigned *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (s < 0 || bind(s, (struct sockaddr *)&a, len) < 0 || listen(s, 4) < 0 ||
        getsockname(s, (struct sockaddr *)&a, &len) < 0) {
        fail("cannot listen on 127.0.0.1");
    }
    *ret_port = ntohs(a.sin_port);
    return s;
}

static void write_all(int s, const void *buf, size_t len)
{
    const uint8_t *p = buf;

    while (len > 0) {
        ssize_t n = write(s, p, len);

        if (n <= 0) {
            return;
        }
        p += n;
        len -= (size_t)n;
    }
}

static size_t read_all(int s, void *buf, size_t len)
{
    size_t got = 0;
    ssize_t n;

    while (got < len && (n = read(s, (uint8_t *)buf + got, len - got)) > 0) {
        got += (size_t)n;
    }
    return got;
}

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
            write_all(c, head, strlen(head));
            write_all(c, file, sizeof file);
        }
        close(c);
    }
    return NULL;
}

/* --- steps --- */

static char *ask(Vm *vm, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static char *ask(Vm *vm, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return vm_ask_ok(vm, command);
}

static void expect_text(const char *answer, const char *text)
{
    if (!strstr(answer, text)) {
        fail("expected '%s' in: %s", text, answer);
    }
}

static void get_address(Vm *vm)
{
    g_autofree char *script = ask(
        vm,
        "run printf '#!/bin/sh\\n[ $1 = bound ] || exit 0\\nip addr add $ip/24 dev $interface\\n"
        "ip route add default via $router\\necho $ip $router $dns >/tmp/lease\\n' >/tmp/dhcp; "
        "chmod +x /tmp/dhcp; ip link set lo up; ip link set eth0 up");
    g_autofree char *lease = ask(vm, "run udhcpc -i eth0 -n -q -s /tmp/dhcp 2>&1; cat /tmp/lease");
    g_autofree char *mac = ask(vm, "run cat /sys/class/net/eth0/address");

    expect_text(lease, "10.0.2.15 10.0.2.2 10.0.2.3");
    expect_text(mac, "52:54:00:12:34:56");
    passed("an address by DHCP");
}

static void fetch_file(Vm *vm, unsigned port)
{
    g_autofree char *want = g_compute_checksum_for_data(G_CHECKSUM_MD5, file, sizeof file);
    g_autofree char *got = ask(vm, "run wget -q -O - http://10.0.2.2:%u/file | md5sum", port);

    expect_text(got, want);
    passed("a file of %d MiB by HTTP", FILE_BYTES >> 20);
}

static gpointer take_file(gpointer opaque)
{
    int s = GPOINTER_TO_INT(opaque), c = accept(s, NULL, NULL);
    uint8_t *all = g_malloc(SENT_BYTES + 1);
    size_t n = read_all(c, all, SENT_BYTES + 1);
    char *sum = g_compute_checksum_for_data(G_CHECKSUM_MD5, all, n);

    close(c);
    g_free(all);
    return sum;
}

static void send_file(Vm *vm)
{
    unsigned port;
    int s = listen_on(&port);
    GThread *t = g_thread_new("take", take_file, GINT_TO_POINTER(s));
    g_autofree char *sum = ask(vm,
                               "run head -c %d /dev/urandom >/tmp/out; md5sum </tmp/out; "
                               "nc -w 30 10.0.2.2 %u </tmp/out",
                               SENT_BYTES, port);
    g_autofree char *got = g_thread_join(t);

    expect_text(sum, got);
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
    g_autofree char *started_it = ask(vm, "run (nc -ll -p 7 -e cat >/dev/null 2>&1 &); sleep 1");
    uint8_t *back = g_malloc(ECHO_BYTES);

    if (connect(s, (struct sockaddr *)&a, sizeof a) < 0) {
        fail("nobody is at the forwarded port");
    }
    for (size_t at = 0; at < ECHO_BYTES; at += 10000) { /* less than both ends hold */
        write_all(s, file + at, 10000);
        if (read_all(s, back, 10000) != 10000 || memcmp(back, file + at, 10000) != 0) {
            fail("what comes back through the forwarded port is something else");
        }
    }
    close(s);
    g_free(back);
    passed("a connection through hostfwd");
}

static void set_link(Vm *vm, bool up)
{
    vm_do(vm, "set_link", json_pack("{s:s, s:b}", "name", "net0", "up", up));
    for (double end = now() + T_REPLY;;) {
        g_autofree char *carrier = ask(vm, "run cat /sys/class/net/eth0/carrier");

        if (carrier[0] == (up ? '1' : '0')) {
            return;
        }
        if (now() > end) {
            fail("the guest's link is not %s", up ? "up" : "down");
        }
    }
}

static void pull_cable(Vm *vm)
{
    int status;

    set_link(vm, false);
    g_free(vm_ask(vm, &status, "run ping -c 1 -W 2 10.0.2.2"));
    if (status == 0) {
        fail("the host answers without a link");
    }
    set_link(vm, true);
    /* Linux drops what it sends until its queue is active again, up to a second later. */
    g_free(ask(vm, "run ping -c 8 -W 4 10.0.2.2"));
    passed("link down and up");
}

static uint64_t counter(Vm *vm, const char *name)
{
    json_t *r =
        vm_qmp(vm, "qom-get", json_pack("{s:s, s:s}", "path", "/netdevs/net0", "property", name));
    uint64_t n = (uint64_t)json_integer_value(r);

    json_decref(r);
    return n;
}

static void run(const char *machine, const char *device)
{
    unsigned http, echo;
    int s = -1, e;
    g_autofree char *netdev = NULL, *card = g_strconcat(device, ",netdev=net0,id=card0", NULL);
    Vm *vm;

    loopback_up();
    for (size_t i = 0; i < sizeof file; i++) {
        file[i] = (uint8_t)(i * 31 + (i >> 9));
    }
    s = listen_on(&http);
    e = listen_on(&echo); /* free when it is closed */
    close(e);
    g_thread_unref(g_thread_new("http", serve_http, GINT_TO_POINTER(s)));
    netdev = g_strdup_printf("user,id=net0,hostfwd=tcp:127.0.0.1:%u-:7", echo);
    vm = vm_start("-M", machine, "-m", "256", "-netdev", netdev, "-device", card, NULL);
    vm_wait_ready(vm);
    get_address(vm);
    fetch_file(vm, http);
    send_file(vm);
    use_port(vm, echo);
    pull_cable(vm);
    if (counter(vm, "tx-errors") != 0 || counter(vm, "rx-errors") != 0) {
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
