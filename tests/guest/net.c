/* SPDX-License-Identifier: BSD-2-Clause */
#include "tests/guest/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* --- the host's end --- */

/* In an emulated host nobody has done it. */
void net_loopback_up(void)
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

void net_own_network(void)
{
    if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0) {
        fail("no network namespace: %s", strerror(errno));
    }
    net_loopback_up();
}

void net_bring_up(const char *ifname, uint32_t addr)
{
    struct ifreq ifr = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool ok;

    g_strlcpy(ifr.ifr_name, ifname, sizeof ifr.ifr_name);
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
    ok = ioctl(s, SIOCSIFADDR, &ifr) == 0;
    in->sin_addr.s_addr = htonl(0xffffff00);
    ok = ok && ioctl(s, SIOCSIFNETMASK, &ifr) == 0 && ioctl(s, SIOCGIFFLAGS, &ifr) == 0;
    ifr.ifr_flags |= IFF_UP;
    if (!ok || ioctl(s, SIOCSIFFLAGS, &ifr) < 0) {
        fail("cannot set up %s: %s", ifname, strerror(errno));
    }
    close(s);
}

int net_listen(uint32_t addr, unsigned *ret_port)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(addr)};
    socklen_t len = sizeof a;
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (s < 0 || bind(s, (struct sockaddr *)&a, len) < 0 || listen(s, 4) < 0 ||
        getsockname(s, (struct sockaddr *)&a, &len) < 0) {
        fail("cannot listen: %s", strerror(errno));
    }
    *ret_port = ntohs(a.sin_port);
    return s;
}

void net_write_all(int s, const void *buf, size_t len)
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

size_t net_read_all(int s, void *buf, size_t len)
{
    size_t got = 0;
    ssize_t n;

    while (got < len && (n = read(s, (uint8_t *)buf + got, len - got)) > 0) {
        got += (size_t)n;
    }
    return got;
}

/* --- the guest's end --- */

char *net_ask(Vm *vm, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return vm_ask_ok(vm, command);
}

void net_expect_text(const char *answer, const char *text)
{
    if (!strstr(answer, text)) {
        fail("expected '%s' in: %s", text, answer);
    }
}

void net_set_link(Vm *vm, bool up)
{
    vm_do(vm, "set_link", json_pack("{s:s, s:b}", "name", "net0", "up", up));
    for (double end = now() + T_REPLY;;) {
        g_autofree char *carrier = net_ask(vm, "run cat /sys/class/net/eth0/carrier");

        if (carrier[0] == (up ? '1' : '0')) {
            return;
        }
        if (now() > end) {
            fail("the guest's link is not %s", up ? "up" : "down");
        }
    }
}

void net_pull_cable(Vm *vm, const char *host)
{
    g_autofree char *one = g_strdup_printf("run ping -c 1 -W 2 %s", host);
    int status;

    net_set_link(vm, false);
    g_free(vm_ask(vm, &status, one));
    if (status == 0) {
        fail("the host answers without a link");
    }
    net_set_link(vm, true);
    /* Linux drops what it sends until its queue is active again, up to a second later. */
    g_free(net_ask(vm, "run ping -c 8 -W 4 %s", host));
    passed("link down and up");
}

uint64_t net_counter(Vm *vm, const char *name)
{
    json_t *r =
        vm_qmp(vm, "qom-get", json_pack("{s:s, s:s}", "path", "/netdevs/net0", "property", name));
    uint64_t n = (uint64_t)json_integer_value(r);

    json_decref(r);
    return n;
}
