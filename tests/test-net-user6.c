/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend user in IPv6 (router and neighbours, ping, DHCPv6, UDP to the host), its name
 * server in both families, and what restrict leaves.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-guest.h"
#include "tests/suite.h"

enum { IP6 = ETH, L4 = ETH + 40, ICMP6 = 58, UDP = 17 };
enum { RS = 133, RA = 134, NS = 135, NA = 136, ECHO = 128, ECHO_REPLY = 129 };

static const uint8_t mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static const char *guest6 = "fec0::15";

static struct in6_addr addr6(const char *text)
{
    struct in6_addr a;

    ck_assert_int_eq(inet_pton(AF_INET6, text, &a), 1);
    return a;
}

/* The pseudo header's and the l4_len bytes behind it (RFC 8200 §8.1). */
static uint32_t sum6(const uint8_t *frame, size_t l4_len)
{
    uint8_t tail[8] = {0};

    put32(tail, (uint32_t)l4_len);
    tail[7] = frame[IP6 + 6];
    return net_csum_add(net_csum_add(net_csum_add(0, frame + IP6 + 8, 32, false), tail, 8, false),
                        frame + L4, l4_len, false);
}

/* The l4_len bytes at buf + L4, with their checksum, at csum in them. */
static void send_ip6(Card *c, const char *src, const char *dst, unsigned protocol, size_t l4_len,
                     unsigned csum)
{
    struct in6_addr from = addr6(src), to = addr6(dst);
    uint8_t multicast[6] = {0x33,           0x33,           to.s6_addr[12],
                            to.s6_addr[13], to.s6_addr[14], to.s6_addr[15]},
            host[6] = {0x52, 0x56, 0, 0, 0, 2};
    uint16_t sum;

    ethernet(to.s6_addr[0] == 0xff ? multicast : host, 0x86dd);
    memset(buf + IP6, 0, 40);
    buf[IP6] = 0x60;
    put16(buf + IP6 + 4, (unsigned)l4_len);
    buf[IP6 + 6] = (uint8_t)protocol;
    buf[IP6 + 7] = 255;
    memcpy(buf + IP6 + 8, &from, 16);
    memcpy(buf + IP6 + 24, &to, 16);
    put16(buf + L4 + csum, 0);
    sum = net_csum_fold(sum6(buf, l4_len));
    memcpy(buf + L4 + csum, &sum, 2);
    ck_assert(card_send(c, buf, L4 + l4_len));
}

/* A neighbour's solicitation or advertisement, with our link-layer address. */
static void neighbour(Card *c, uint8_t type, const char *dst, const char *target)
{
    struct in6_addr a = addr6(target);

    memset(buf + L4, 0, 32);
    buf[L4] = type;
    buf[L4 + 4] = type == NA ? 0x60 : 0;
    memcpy(buf + L4 + 8, &a, 16);
    buf[L4 + 24] = type == NA ? 2 : 1;
    buf[L4 + 25] = 1;
    memcpy(buf + L4 + 26, mac, 6);
    send_ip6(c, guest6, dst, ICMP6, 32, 2);
}

/* The next IPv6 packet of that protocol whose first byte (or, for UDP, port) is that; those who ask
 * for us are answered. Borrowed until the next call. */
static const uint8_t *wait_ip6(Card *c, unsigned protocol, unsigned what, size_t *ret_len)
{
    static uint8_t got[2000];

    for (;;) {
        const GByteArray *r = card_wait(c)->bytes;
        size_t len = r->len;

        ck_assert_uint_le(len, sizeof got);
        memcpy(got, r->data, len);
        g_ptr_array_remove_index(c->got, 0);
        if (len < L4 + 8 || get16(got + 12) != 0x86dd) {
            continue;
        }
        ck_assert_uint_eq(net_csum_fold(sum6(got, get16(got + IP6 + 4))), 0);
        if (got[IP6 + 6] == ICMP6 && got[L4] == NS) {
            neighbour(c, NA, "fec0::2", guest6);
        }
        if (got[IP6 + 6] == protocol && (protocol == UDP ? get16(got + L4 + 2) : got[L4]) == what) {
            *ret_len = get16(got + IP6 + 4);
            return got + L4;
        }
    }
}

/* An option of router and neighbour discovery. */
static const uint8_t *nd_option(const uint8_t *p, size_t len, uint8_t type, size_t at)
{
    for (; at + 8 <= len && p[at + 1]; at += 8u * p[at + 1]) {
        if (p[at] == type) {
            return p + at;
        }
    }
    ck_abort_msg("no option %u", type);
    return NULL;
}

static void solicit_router(Card *c)
{
    memset(buf + L4, 0, 16);
    buf[L4] = RS;
    buf[L4 + 8] = 1;
    buf[L4 + 9] = 1;
    memcpy(buf + L4 + 10, mac, 6);
    send_ip6(c, "fe80::5054:ff:fe12:3456", "ff02::2", ICMP6, 16, 2);
}

static void send_udp6(Card *c, const char *dst, unsigned sport, unsigned dport, const void *data,
                      size_t len)
{
    put16(buf + L4, sport);
    put16(buf + L4 + 2, dport);
    put16(buf + L4 + 4, (unsigned)(8 + len));
    memcpy(buf + L4 + 8, data, len);
    send_ip6(c, guest6, dst, UDP, 8 + len, 6);
}

/* A host of its own: its network has the loopback alone, and its name server is there. */
static bool own_resolver(bool v6)
{
    g_autofree char *name = g_strdup_printf("net-user6-%d.conf", (int)getpid());
    bool ok;

    if (geteuid() != 0 || unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
        return false;
    }
    ck_assert(
        g_file_set_contents(name, v6 ? "nameserver ::1\n" : "nameserver 127.0.0.1\n", -1, NULL));
    ok = mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
         mount(name, "/etc/resolv.conf", NULL, MS_BIND, NULL) == 0 &&
         system("ip link set lo up") == 0;
    g_unlink(name);
    return ok;
}

/* --- what is on the link --- */

START_TEST(the_router_says_prefix_and_name_server)
{
    bool resolver = own_resolver(true); /* else the host may have none that speaks IPv6 */
    Card *c = card_new(
        net_add(_i ? "{'type': 'user', 'id': 'n', 'ipv6-net': 'fd17::/64', 'ipv6-dns': 'fd17::7'}"
                   : "{'type': 'user', 'id': 'n'}"));
    struct in6_addr prefix = addr6(_i ? "fd17::" : "fec0::"),
                    dns = addr6(_i ? "fd17::7" : "fec0::3");
    const uint8_t *p, *o;
    size_t len;

    solicit_router(c);
    p = wait_ip6(c, ICMP6, RA, &len);
    ck_assert_uint_gt(get16(p + 6), 0); /* a default router */
    o = nd_option(p, len, 3, 16);
    ck_assert_uint_eq(o[2], 64);
    ck_assert_uint_eq(o[3] & 0xc0, 0xc0); /* on the link, and addresses may be made of it */
    ck_assert_mem_eq(o + 16, &prefix, 16);
    if (resolver) {
        o = nd_option(p, len, 25, 16);
        ck_assert_mem_eq(o + 8, &dns, 16);
    }
    o = nd_option(p, len, 1, 16);
    ck_assert_mem_eq(o + 2, "\x52\x56\0\0\0\x02", 6);
    card_free(c);
}
END_TEST

START_TEST(neighbours_are_found_and_answer_a_ping)
{
    static const char *const who[] = {"fec0::2", "fec0::3", "fe80::2"};
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n'}"));
    struct in6_addr target = addr6(who[_i]);
    const uint8_t *p;
    size_t len;

    neighbour(c, NS, "ff02::1:ff00:2", who[_i]);
    p = wait_ip6(c, ICMP6, NA, &len);
    ck_assert_mem_eq(p + 8, &target, 16);
    ck_assert_uint_eq(nd_option(p, len, 2, 24)[2], 0x52);
    memset(buf + L4, 0, 8);
    buf[L4] = ECHO;
    put32(buf + L4 + 4, 0x12340001);
    memcpy(buf + L4 + 8, "how are you?", 12);
    send_ip6(c, guest6, "fec0::2", ICMP6, 20, 2);
    p = wait_ip6(c, ICMP6, ECHO_REPLY, &len);
    ck_assert_uint_eq(len, 20);
    ck_assert_uint_eq(get32(p + 4), 0x12340001);
    ck_assert_mem_eq(p + 8, "how are you?", 12);
    card_free(c);
}
END_TEST

START_TEST(dhcpv6_tells_who_has_an_address_the_rest)
{
    static const uint8_t request[] = {
        11,   1,    2,    3, /* information-request */
        0,    1,    0,    10, 0, 3, 0, 1, 0x52, 0x54, 0,
        0x12, 0x34, 0x56, 0,  6, 0, 4, 0, 23,   0,    59}; /* name server, boot file */
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n', 'bootfile': '/pxe.efi'}"));
    struct in6_addr dns = addr6("fec0::3");
    bool has_dns = false, has_file = false;
    const uint8_t *p;
    size_t len;

    neighbour(c, NS, "ff02::1:ff00:2", "fec0::2");
    send_udp6(c, "ff02::1:2", 546, 547, request, sizeof request);
    p = wait_ip6(c, UDP, 546, &len);
    ck_assert_uint_eq(get32(p + 8), 0x07010203); /* a reply to that */
    for (size_t at = 12; at + 4 <= len; at += 4 + get16(p + at + 2)) {
        size_t n = get16(p + at + 2);

        ck_assert_uint_le(at + 4 + n, len);
        has_dns |= get16(p + at) == 23 && n == 16 && memcmp(p + at + 4, &dns, 16) == 0;
        has_file |= get16(p + at) == 59 && n > 9 && memmem(p + at + 4, n, "/pxe.efi", 8);
    }
    ck_assert(has_dns && has_file);
    card_free(c);
}
END_TEST

START_TEST(a_family_that_is_off_says_nothing)
{
    Card *c = card_new(net_add(_i ? "{'type': 'user', 'id': 'n', 'ipv6': false}"
                                  : "{'type': 'user', 'id': 'n', 'ipv4': false}"));
    size_t len;

    if (_i) {
        solicit_router(c);
        neighbour(c, NS, "ff02::1:ff00:2", "fec0::2");
        ck_assert(card_idle(c));
        dhcp(c, 1, &len);
    } else {
        dhcp_ask(c, 1);
        ck_assert(card_idle(c));
        solicit_router(c);
        wait_ip6(c, ICMP6, RA, &len);
    }
    card_free(c);
}
END_TEST

/* --- the host's servers --- */

/* Of the loopback; -1: the host has no such family. */
static int host_udp(bool v6, unsigned port, unsigned *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6,
                               .sin6_port = htons((uint16_t)port),
                               .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    struct sockaddr *addr = v6 ? (struct sockaddr *)&in6 : (struct sockaddr *)&in;
    socklen_t len = v6 ? sizeof in6 : sizeof in;
    int fd = socket(v6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

    if (fd < 0 || bind(fd, addr, len) < 0) {
        return -1;
    }
    getsockname(fd, addr, &len);
    if (ret_port) {
        *ret_port = ntohs(v6 ? in6.sin6_port : in.sin_port);
    }
    return fd;
}

typedef struct {
    int fd;
    struct sockaddr_storage from;
    socklen_t from_len;
    uint8_t data[100];
    ssize_t len;
} Heard;

static bool heard(void *opaque)
{
    Heard *h = opaque;

    h->from_len = sizeof h->from;
    h->len = recvfrom(h->fd, h->data, sizeof h->data, 0, (struct sockaddr *)&h->from, &h->from_len);
    return h->len >= 0;
}

/* The guest asks, the host's server hears and answers it, and the guest gets that. */
static void ask(Card *c, bool v6, const char *dst6, uint32_t dst, unsigned port, int fd)
{
    Heard h = {.fd = fd};
    const uint8_t *p;
    size_t len;

    if (v6) {
        neighbour(c, NS, "ff02::1:ff00:2", "fec0::2");
        send_udp6(c, dst6, 5000, port, "question", 8);
    } else {
        arp(c);
        ethernet(host_mac, 0x0800);
        send_udp(c, guest_ip, dst, 5000, port, "question", 8);
    }
    net_run_until(heard, &h);
    ck_assert_int_eq((int)h.len, 8);
    ck_assert_mem_eq(h.data, "question", 8);
    ck_assert_int_eq(sendto(fd, "answer", 6, 0, (struct sockaddr *)&h.from, h.from_len), 6);
    p = v6 ? wait_ip6(c, UDP, 5000, &len) + 8 : wait_udp(c, 5000, &len);
    ck_assert_uint_eq(len, v6 ? 14 : 6);
    ck_assert_mem_eq(p, "answer", 6);
}

START_TEST(datagrams_reach_the_host_and_come_back)
{
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n'}"));
    unsigned port;
    int fd = host_udp(_i, 0, &port);

    if (fd >= 0) {
        ask(c, _i, "fec0::2", HOST_IP, port, fd);
        close(fd);
    } else {
        ck_assert_int_eq(_i, 1); /* IPv4 there is */
    }
    card_free(c);
}
END_TEST

START_TEST(the_name_server_is_the_hosts)
{
    int fd;
    Card *c;

    if (!own_resolver(_i) || (fd = host_udp(_i, 53, NULL)) < 0) {
        fprintf(stderr, "not tested: needs root and namespaces\n");
        return;
    }
    c = card_new(net_add("{'type': 'user', 'id': 'n'}"));
    ask(c, _i, "fec0::3", DNS_IP, 53, fd);
    card_free(c);
    close(fd);
}
END_TEST

/* --- restrict --- */

START_TEST(a_restricted_guest_has_the_link_and_no_host)
{
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n', 'restrict': true}"));
    unsigned port, port6;
    int fd = host_udp(false, 0, &port), fd6 = host_udp(true, 0, &port6);
    Heard h = {.fd = fd}, h6 = {.fd = fd6};
    size_t len;

    dhcp(c, 1, &len);
    solicit_router(c);
    wait_ip6(c, ICMP6, RA, &len);
    arp(c);
    neighbour(c, NS, "ff02::1:ff00:2", "fec0::2");
    wait_ip6(c, ICMP6, NA, &len);
    card_drop(c);
    ethernet(host_mac, 0x0800);
    send_udp(c, guest_ip, HOST_IP, 5000, port, "question", 8);
    send_udp(c, guest_ip, DNS_IP, 5000, 53, "question", 8);
    if (fd6 >= 0) {
        send_udp6(c, "fec0::2", 5000, port6, "question", 8);
    }
    send_udp6(c, "fec0::3", 5000, 53, "question", 8);
    net_run_for(50);
    ck_assert(!heard(&h));
    ck_assert(fd6 < 0 || !heard(&h6));
    for (unsigned i = 0; i < c->got->len; i++) { /* of UDP there is no answer */
        const uint8_t *p = ((NetRecord *)c->got->pdata[i])->bytes->data;

        ck_assert(get16(p + 12) != 0x0800 || p[23] != UDP);
        ck_assert(get16(p + 12) != 0x86dd || p[IP6 + 6] != UDP);
    }
    close(fd);
    close(fd6);
    card_free(c);
}
END_TEST

START_TEST(a_restricted_guest_is_reached_by_hostfwd)
{
    unsigned port = free_port();
    g_autofree char *json = g_strdup_printf(
        "{'type': 'user', 'id': 'n', 'restrict': true, 'hostfwd': 'tcp:127.0.0.1:%u-:22'}", port);
    Tcp t = {.card = card_new(net_add(json)), .port = 22, .seq = 5000, .in = g_byte_array_new()};
    char got[8] = "";
    int fd;

    arp(t.card);
    fd = connect_port(port);
    ck_assert_int_ge(fd, 0);
    RUN_UNTIL(&t, t.open);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    RUN_UNTIL(&t, t.in->len == 5);
    tcp_send(&t, ACK | PSH, "SSH-2.0", 7);
    RUN_UNTIL(&t, recv(fd, got, sizeof got, 0) == 7);
    close(fd);
    card_free(t.card);
    g_byte_array_unref(t.in);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-user6");
    TCase *tc = tcase_create("user6");

    tcase_add_checked_fixture(tc, net_setup, net_teardown);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, the_router_says_prefix_and_name_server, 0, 2);
    tcase_add_loop_test(tc, neighbours_are_found_and_answer_a_ping, 0, 3);
    tcase_add_test(tc, dhcpv6_tells_who_has_an_address_the_rest);
    tcase_add_loop_test(tc, a_family_that_is_off_says_nothing, 0, 2);
    tcase_add_loop_test(tc, datagrams_reach_the_host_and_come_back, 0, 2);
    tcase_add_loop_test(tc, the_name_server_is_the_hosts, 0, 2);
    tcase_add_test(tc, a_restricted_guest_has_the_link_and_no_host);
    tcase_add_test(tc, a_restricted_guest_is_reached_by_hostfwd);
    return suite_run(s);
}
