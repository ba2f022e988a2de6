/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend user: what a guest gets of it, by DHCP, ARP, TFTP, TCP to a server of the
 * host and from the host through hostfwd.
 */
#include <arpa/inet.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-guest.h"
#include "tests/suite.h"

static char *dir;

/* --- DHCP, ARP, TFTP --- */

START_TEST(dhcp_gives_an_address_and_what_belongs_to_it)
{
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n', 'hostname': 'guest7', 'bootfile': "
                               "'/pxe.0'}"));
    size_t len;
    const uint8_t *p = dhcp(c, 1, &len);

    ck_assert_uint_eq(option(p, len, 53)[1], 2); /* offer */
    ck_assert_uint_eq(get32(p + 16), GUEST_IP);
    p = dhcp(c, 3, &len);
    ck_assert_uint_eq(option(p, len, 53)[1], 5); /* ack */
    ck_assert_uint_eq(get32(p + 4), 0x01020304);
    ck_assert_uint_eq(get32(p + 16), GUEST_IP);
    ck_assert_uint_eq(get32(option(p, len, 1) + 1), 0xffffff00);
    ck_assert_uint_eq(get32(option(p, len, 3) + 1), HOST_IP);
    ck_assert_uint_eq(get32(option(p, len, 6) + 1), DNS_IP);
    ck_assert_mem_eq(option(p, len, 12) + 1, "guest7", 6);
    ck_assert_str_eq((const char *)p + 108, "/pxe.0");
    card_free(c);
}
END_TEST

START_TEST(the_network_is_the_one_that_was_asked_for)
{
    NetBackend *b = net_add("{'type': 'user', 'id': 'n', 'net': '192.168.76.0/24', 'dhcpstart': "
                            "'192.168.76.9', 'host': '192.168.76.1', 'dns': '192.168.76.2'}");
    Card *c = card_new(b);
    size_t len;
    const uint8_t *p = dhcp(c, 1, &len);

    ck_assert_uint_eq(get32(p + 16), 0xc0a84c09);
    ck_assert_uint_eq(get32(option(p, len, 3) + 1), 0xc0a84c01);
    ck_assert_uint_eq(get32(option(p, len, 6) + 1), 0xc0a84c02);
    ck_assert_str_eq(net_info_string(b), "type=user,net=192.168.76.0,restrict=off");
    card_free(c);
}
END_TEST

START_TEST(arp_finds_the_host)
{
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n'}"));

    arp(c);
    ck_assert_mem_eq(host_mac, ((uint8_t[]){0x52, 0x55, 10, 0, 2, 2}), 6);
    card_free(c);
}
END_TEST

START_TEST(tftp_gives_a_file_and_no_other)
{
    g_autofree char *json = g_strdup_printf("{'type': 'user', 'id': 'n', 'tftp': '%s'}", dir);
    g_autofree char *path = g_build_filename(dir, "f", NULL);
    static const char good[] = "\0\1/f\0octet", bad[] = "\0\1/../../etc/passwd\0octet";
    Card *c = card_new(net_add(json));
    const uint8_t *p;
    size_t len;

    g_file_set_contents(path, "hello", 5, NULL);
    arp(c);
    ethernet(host_mac, 0x0800);
    send_udp(c, GUEST_IP, HOST_IP, 1069, 69, good, sizeof good);
    p = wait_udp(c, 1069, &len);
    ck_assert_uint_eq(len, 4 + 5);
    ck_assert_mem_eq(p, "\0\3\0\1hello", 9);
    ethernet(host_mac, 0x0800);
    send_udp(c, GUEST_IP, HOST_IP, 1070, 69, bad, sizeof bad);
    p = wait_udp(c, 1070, &len);
    ck_assert_uint_eq(get16(p), 5); /* error */
    card_free(c);
    g_unlink(path);
}
END_TEST

/* --- TCP --- */

START_TEST(a_guest_fetches_a_file_from_the_host)
{
    NetBackend *b = net_add("{'type': 'user', 'id': 'n'}");

    fetch(b, card_new(b), _i);
}
END_TEST

START_TEST(a_guest_sends_large_frames_and_the_host_gets_them)
{
    Tcp t = {.card = card_new(net_add("{'type': 'user', 'id': 'n'}")),
             .port = 1234,
             .seq = 1000,
             .in = g_byte_array_new()};
    int server = listen_here(&t.peer_port), peer = -1;
    static uint8_t data[8000], got[8001];
    size_t have = 0;
    uint8_t *tcp = buf + 34;

    arp(t.card);
    tcp_send(&t, SYN, NULL, 0);
    RUN_UNTIL(&t, t.open && (peer = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    net_frame(data, sizeof data, 3);
    /* by hand, as TSO */
    tcp_send(&t, ACK, NULL, 0);
    memcpy(tcp + 20, data, sizeof data);
    put16(buf + ETH + 2, 40 + sizeof data);
    ck_assert(card_send_hdr(t.card, buf, 54 + sizeof data,
                            (NetHdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                                     .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                                     .gso_size = 1400,
                                     .csum_start = 34,
                                     .csum_offset = 16}));
    t.seq += sizeof data;
    while (have < sizeof data) {
        ssize_t n = recv(peer, got + have, sizeof got - have, 0);

        have += n > 0 ? (size_t)n : 0;
        tcp_run(&t);
    }
    ck_assert_mem_eq(got, data, sizeof data);
    close(peer);
    close(server);
    card_free(t.card);
    g_byte_array_unref(t.in);
}
END_TEST

START_TEST(the_host_connects_to_a_guests_port)
{
    unsigned port = free_port();
    g_autofree char *json = g_strdup_printf("{'type': 'user', 'id': 'n', 'hostfwd': [{'str': "
                                            "'tcp:127.0.0.1:%u-10.0.2.15:22'}, 'udp::%u-:53']}",
                                            port, free_port());
    Tcp t = {.card = card_new(net_add(json)), .port = 22, .seq = 5000, .in = g_byte_array_new()};
    char got[16] = "";
    int fd;

    arp(t.card);
    fd = connect_port(port);
    ck_assert_int_ge(fd, 0);
    RUN_UNTIL(&t, t.open);
    ck_assert_int_eq(write(fd, "hello", 5), 5);
    RUN_UNTIL(&t, t.in->len == 5);
    ck_assert_mem_eq(t.in->data, "hello", 5);
    tcp_send(&t, ACK | PSH, "SSH-2.0", 7);
    RUN_UNTIL(&t, recv(fd, got, sizeof got, 0) == 7);
    ck_assert_str_eq(got, "SSH-2.0");
    close(fd);
    RUN_UNTIL(&t, t.fin);
    card_free(t.card);
    g_byte_array_unref(t.in);
}
END_TEST

START_TEST(forwards_come_and_go_at_run_time)
{
    unsigned port = free_port();
    NetBackend *b = net_add("{'type': 'user', 'id': 'n'}");
    g_autofree char *text = g_strdup_printf("tcp:127.0.0.1:%u-:80", port);
    g_autofree char *gone = g_strdup_printf("tcp:127.0.0.1:%u", port);
    Card *c = card_new(b);
    g_autoptr(GError) err = NULL;
    int fd;

    ck_assert_int_lt(connect_port(port), 0);
    ck_assert(net_user_hostfwd(b, text, true, NULL));
    fd = connect_port(port);
    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert(!net_user_hostfwd(b, text, true, &err)); /* the port is ours already */
    ck_assert_ptr_nonnull(strstr(err->message, "cannot listen on port"));
    g_clear_error(&err);
    ck_assert(net_user_hostfwd(b, gone, false, NULL));
    ck_assert(!net_user_hostfwd(b, gone, false, &err));
    ck_assert_ptr_nonnull(strstr(err->message, "there is no such forward"));
    card_free(c);
}
END_TEST

START_TEST(a_guest_reaches_a_program_through_guestfwd)
{
    NetBackend *b = net_add("{'type': 'user', 'id': 'n', 'restrict': true, 'guestfwd': "
                            "'tcp:10.0.2.100:7-cmd:cat'}");
    Tcp t = {.card = card_new(b),
             .port = 1000,
             .peer_port = 7,
             .server = 0x0a000264,
             .seq = 1,
             .in = g_byte_array_new()};

    arp(t.card);
    tcp_send(&t, SYN, NULL, 0);
    RUN_UNTIL(&t, t.open);
    tcp_send(&t, ACK | PSH, "meow", 4);
    RUN_UNTIL(&t, t.in->len == 4);
    ck_assert_mem_eq(t.in->data, "meow", 4);
    card_free(t.card);
    g_byte_array_unref(t.in);
}
END_TEST

/* --- on an iothread --- */

static unsigned replies; /* atomic */

static bool count_replies(void *opaque, unsigned queue, const NetFrame *f)
{
    __atomic_fetch_add(&replies, 1, __ATOMIC_RELAXED);
    return true;
}

static void no_ready(void *opaque, unsigned queue)
{
}

static void send_locked(IoThread *t, NetUser *u, size_t len)
{
    struct iovec iov = {buf, len};
    NetFrame f = {.iov = &iov, .niov = 1, .len = len};

    iothread_lock(t);
    ck_assert_uint_eq(net_send(u, 0, &f, 1), 1);
    iothread_unlock(t);
}

START_TEST(a_stack_on_an_iothread_answers_and_is_changed_from_the_main_loop)
{
    NetBackend *b = net_add("{'type': 'user', 'id': 'n'}");
    IoThread *t = iothread_new("IO net", NULL);
    EventLoop *loop = iothread_loop(t);
    NetUserOps ops = {"card", count_replies, no_ready, NULL, NULL};
    unsigned port = free_port();
    g_autofree char *text = g_strdup_printf("tcp:127.0.0.1:%u-:80", port);
    NetUser *u;
    int fd;

    iothread_lock(t);
    u = net_attach(b, &ops, &loop, 1, NULL);
    iothread_unlock(t);
    ck_assert_ptr_nonnull(u);
    for (unsigned i = 0; i < 20; i++) {
        arp_question();
        send_locked(t, u, 42);
    }
    ck_assert(net_user_hostfwd(b, text, true, NULL));
    fd = connect_port(port);
    ck_assert_int_ge(fd, 0);
    for (unsigned i = 0; __atomic_load_n(&replies, __ATOMIC_RELAXED) < 21 && i < 2000; i++) {
        g_usleep(1000);
    }
    ck_assert_uint_ge(__atomic_load_n(&replies, __ATOMIC_RELAXED), 21);
    close(fd);
    if (_i) {
        ck_assert(net_backend_del(net_root, "n", NULL)); /* under the card */
        arp_question();
        send_locked(t, u, 42);
    }
    iothread_lock(t);
    net_detach(u);
    iothread_unlock(t);
    iothread_free(t);
}
END_TEST

/* What one of them sends on its own the other must be able to take. */
START_TEST(two_stacks_on_one_hub_do_not_wait_for_each_other)
{
    unsigned port = free_port();
    g_autofree char *json =
        g_strdup_printf("{'type': 'user', 'id': 'u0', 'hostfwd': 'tcp:127.0.0.1:%u-:22'}", port);
    Card *c;
    int fd;

    net_add(json);
    net_add("{'type': 'user', 'id': 'u1', 'net': '10.5.0.0/16'}");
    net_add("{'type': 'hubport', 'id': 'h0', 'hubid': 1, 'netdev': 'u0'}");
    net_add("{'type': 'hubport', 'id': 'h1', 'hubid': 1, 'netdev': 'u1'}");
    c = card_new(net_add("{'type': 'hubport', 'id': 'h2', 'hubid': 1}"));
    fd = connect_port(port);
    ck_assert_uint_eq(get16(card_wait(c)->bytes->data + 12), 0x0806); /* who has the guest? */
    close(fd);
    card_free(c);
}
END_TEST

START_TEST(a_restricted_guest_reaches_nothing)
{
    NetBackend *b = net_add("{'type': 'user', 'id': 'n', 'restrict': 'on'}");
    Tcp t = {.card = card_new(b), .port = 1234, .seq = 1000, .in = g_byte_array_new()};
    int server = listen_here(&t.peer_port);

    arp(t.card);
    tcp_send(&t, SYN, NULL, 0);
    for (unsigned i = 0; i < 100; i++) {
        tcp_run(&t);
        g_usleep(1000);
    }
    ck_assert(!t.open);
    ck_assert_int_lt(accept(server, NULL, NULL), 0);
    card_free(t.card);
    g_byte_array_unref(t.in);
    close(server);
}
END_TEST

START_TEST(frames_of_any_content_do_no_harm)
{
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n', 'restrict': 'on'}"));
    GRand *rand = g_rand_new_with_seed(3);

    for (unsigned i = 0; i < 3000; i++) {
        size_t len = (size_t)g_rand_int_range(rand, 14, 400);

        for (size_t k = 0; k < len; k++) {
            buf[k] = (uint8_t)g_rand_int(rand);
        }
        put16(buf + 12, (unsigned[]){0x0800, 0x86dd, 0x0806}[i % 3]);
        buf[14] = i % 3 ? 0x60 : 0x45;
        card_send(c, buf, len);
        loop_iterate(net_loop, false);
        card_drop(c);
    }
    arp(c); /* it still answers */
    g_rand_free(rand);
    card_free(c);
}
END_TEST

START_TEST(bad_options_get_one_line)
{
    static const char *const bad[][2] = {
        {"'net': '10.0.2'", "net=10.0.2: not an IPv4 address"},
        {"'net': '10.0.2.0/33'", "net=10.0.2.0/33: the prefix length is 4 to 30"},
        {"'host': '10.0.3.1'", "host=10.0.3.1: not an address of the network"},
        {"'dns': '10.0.2.2'", "dns= and host= must be different addresses"},
        {"'dhcpstart': '10.0.2.3'", "dhcpstart= must be neither host= nor dns="},
        {"'ipv4': false, 'ipv6': false", "one of ipv4 and ipv6 must be on"},
        {"'ipv4': false, 'net': '10.0.2.0/24'", "IPv4 is off, but an IPv4 address is given"},
        {"'ipv6-net': 'fec0::/200'", "the IPv6 prefix length is 1 to 126"},
        {"'ipv6-net': 'x'", "ipv6-net=x: not an IPv6 address"},
        {"'hostfwd': 'tcp:22'", "hostfwd='tcp:22': the form is tcp|udp:[HOST]:PORT-[GUEST]:PORT"},
        {"'hostfwd': 'icmp::22-:22'",
         "hostfwd='icmp::22-:22': the form is tcp|udp:[HOST]:PORT-[GUEST]:PORT"},
        {"'hostfwd': ['tcp::99999-:22']",
         "hostfwd='tcp::99999-:22': the form is tcp|udp:[HOST]:PORT-[GUEST]:PORT"},
        {"'hostfwd': [5]", "property 'hostfwd' of netdev-user: give a string or a list of strings"},
        {"'tftp': '/nonexistent'", "tftp=/nonexistent: not a directory"},
        {"'smb': '/tmp'", "there is no SMB server here: share files by tftp= or over the network"},
    };
    g_autofree char *json = g_strdup_printf("{'type': 'user', 'id': 'n', %s}", bad[_i][0]);

    net_add_fails(json, bad[_i][1]);
}
END_TEST

START_TEST(a_port_in_use_gets_one_line)
{
    unsigned port;
    int fd = listen_here(&port);
    g_autofree char *json =
        g_strdup_printf("{'type': 'user', 'id': 'n', 'hostfwd': 'tcp:127.0.0.1:%u-:22'}", port);
    g_autofree char *line = g_strdup_printf("hostfwd='tcp:127.0.0.1:%u-:22': cannot listen on "
                                            "port %u of the host: Address already in use",
                                            port, port);

    net_add_fails(json, line);
    close(fd);
}
END_TEST

static void setup(void)
{
    net_setup();
    dir = g_dir_make_tmp("net-user-XXXXXX", NULL);
}

static void teardown(void)
{
    net_teardown();
    g_rmdir(dir);
    g_free(dir);
}

int main(void)
{
    Suite *s = suite_create("net-user");
    TCase *tc = tcase_create("user");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, dhcp_gives_an_address_and_what_belongs_to_it);
    tcase_add_test(tc, the_network_is_the_one_that_was_asked_for);
    tcase_add_test(tc, arp_finds_the_host);
    tcase_add_test(tc, tftp_gives_a_file_and_no_other);
    tcase_add_loop_test(tc, a_guest_fetches_a_file_from_the_host, 0, 2);
    tcase_add_test(tc, a_guest_sends_large_frames_and_the_host_gets_them);
    tcase_add_test(tc, the_host_connects_to_a_guests_port);
    tcase_add_test(tc, forwards_come_and_go_at_run_time);
    tcase_add_test(tc, a_guest_reaches_a_program_through_guestfwd);
    tcase_add_loop_test(tc, a_stack_on_an_iothread_answers_and_is_changed_from_the_main_loop, 0, 2);
    tcase_add_test(tc, two_stacks_on_one_hub_do_not_wait_for_each_other);
    tcase_add_test(tc, a_restricted_guest_reaches_nothing);
    tcase_add_test(tc, frames_of_any_content_do_no_harm);
    tcase_add_loop_test(tc, bad_options_get_one_line, 0, 15);
    tcase_add_test(tc, a_port_in_use_gets_one_line);
    return suite_run(s);
}
