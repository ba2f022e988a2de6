/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend user, by a guest of a few lines: DHCP, ARP, TFTP, TCP to a server of the host
 * and from the host through hostfwd. The guest leaves checksums to the network card, so that those
 * of the software are judged by libslirp.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net-fixture.h"
#include "tests/suite.h"

enum { HOST_IP = 0x0a000202, GUEST_IP = 0x0a00020f, DNS_IP = 0x0a000203, ETH = 14 };

static uint32_t guest_ip = GUEST_IP, host_ip = HOST_IP;

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};
static uint8_t host_mac[6] = {0x52, 0x55, 10, 0, 2, 2};
static uint8_t buf[NET_FRAME_MAX];
static char *dir;

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

static unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* --- the guest's frames --- */

static void ethernet(const uint8_t *to, unsigned type)
{
    memcpy(buf, to, 6);
    memcpy(buf + 6, guest_mac, 6);
    put16(buf + 12, type);
}

/* An IPv4 packet around the l4_len bytes at buf + 34, whose checksum is left to the card. */
static void send_ip(Card *c, unsigned protocol, uint32_t src, uint32_t dst, size_t l4_len)
{
    uint8_t *ip = buf + ETH;
    unsigned at = protocol == 6 ? 16 : 6;
    uint32_t pseudo =
        (src >> 16) + (src & 0xffff) + (dst >> 16) + (dst & 0xffff) + protocol + (uint32_t)l4_len;
    NetHdr hdr = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = (uint16_t)at};
    uint16_t csum;

    memset(ip, 0, 20);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(20 + l4_len));
    ip[8] = 64;
    ip[9] = (uint8_t)protocol;
    put32(ip + 12, src);
    put32(ip + 16, dst);
    csum = net_csum_fold(net_csum_add(0, ip, 20, false));
    memcpy(ip + 10, &csum, 2);
    pseudo = (pseudo & 0xffff) + (pseudo >> 16);
    put16(ip + 20 + at, (pseudo & 0xffff) + (pseudo >> 16));
    ck_assert(card_send_hdr(c, buf, ETH + 20 + l4_len, hdr));
}

static void send_udp(Card *c, uint32_t src, uint32_t dst, unsigned sport, unsigned dport,
                     const void *data, size_t len)
{
    uint8_t *udp = buf + 34;

    put16(udp, sport);
    put16(udp + 2, dport);
    put16(udp + 4, (unsigned)(8 + len));
    memcpy(udp + 8, data, len);
    send_ip(c, 17, src, dst, 8 + len);
}

static bool is_udp(const uint8_t *p, size_t len, unsigned dport)
{
    return len >= 42 && get16(p + 12) == 0x0800 && p[23] == 17 && get16(p + 36) == dport;
}

/* The next datagram to that port, others are passed by. Borrowed until the next call. */
static const uint8_t *wait_udp(Card *c, unsigned dport, size_t *ret_len)
{
    static GByteArray *kept;

    for (;;) {
        NetRecord *r = card_wait(c);
        bool found = is_udp(r->bytes->data, r->bytes->len, dport);

        g_clear_pointer(&kept, g_byte_array_unref);
        kept = g_byte_array_ref(r->bytes);
        g_ptr_array_remove_index(c->got, 0);
        if (found) {
            *ret_len = get16(kept->data + 38) - 8;
            return kept->data + 42;
        }
    }
}

/* --- DHCP --- */

static const uint8_t *option(const uint8_t *p, size_t len, uint8_t code)
{
    for (size_t at = 240; at + 2 < len && p[at] != 255; at += p[at] ? 2u + p[at + 1] : 1) {
        if (p[at] == code) {
            return p + at + 1; /* length, value */
        }
    }
    ck_abort_msg("no option %u", code);
    return NULL;
}

static void dhcp_ask(Card *c, uint8_t type)
{
    uint8_t p[300] = {1, 1, 6, 0, 1, 2, 3, 4};
    static const uint8_t magic[] = {0x63, 0x82, 0x53, 0x63, 53, 1},
                         all[6] = {255, 255, 255, 255, 255, 255};

    memcpy(p + 28, guest_mac, 6);
    memcpy(p + 236, magic, sizeof magic);
    p[242] = type;
    p[243] = 55; /* asks for mask, router, name server */
    p[244] = 3;
    memcpy(p + 245, (uint8_t[]){1, 3, 6, 255}, 4);
    ethernet(all, 0x0800);
    send_udp(c, 0, 0xffffffff, 68, 67, p, sizeof p);
}

static const uint8_t *dhcp(Card *c, uint8_t type, size_t *ret_len)
{
    dhcp_ask(c, type);
    return wait_udp(c, 68, ret_len);
}

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

/* --- ARP --- */

/* Also tells the host our address. 42 bytes in buf. */
static void arp_question(void)
{
    static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};

    ethernet(all, 0x0806);
    memcpy(buf + 14, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
    memcpy(buf + 22, guest_mac, 6);
    put32(buf + 28, guest_ip);
    memset(buf + 32, 0, 6);
    put32(buf + 38, host_ip);
}

static void arp(Card *c)
{
    const uint8_t *p;

    arp_question();
    ck_assert(card_send(c, buf, 42));
    for (;;) {
        p = card_wait(c)->bytes->data;
        if (get16(p + 12) == 0x0806 && get16(p + 20) == 2) {
            break;
        }
        g_ptr_array_remove_index(c->got, 0);
    }
    ck_assert_uint_eq(get32(p + 28), host_ip);
    memcpy(host_mac, p + 22, 6);
    g_ptr_array_remove_index(c->got, 0);
}

START_TEST(arp_finds_the_host)
{
    Card *c = card_new(net_add("{'type': 'user', 'id': 'n'}"));

    arp(c);
    ck_assert_mem_eq(host_mac, ((uint8_t[]){0x52, 0x55, 10, 0, 2, 2}), 6);
    card_free(c);
}
END_TEST

/* --- TFTP --- */

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

/* --- a small TCP: in order, no retransmission of its own --- */

typedef struct {
    Card *card;
    unsigned port, peer_port;
    uint32_t server;   /* 0: the host */
    uint32_t seq, ack; /* next of ours, next of theirs */
    bool open, fin, reset;
    GByteArray *in;
    unsigned stray; /* out of order, or again */
} Tcp;

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

static void tcp_send(Tcp *t, unsigned flags, const void *data, size_t len)
{
    uint8_t *tcp = buf + 34;

    ethernet(host_mac, 0x0800);
    memset(tcp, 0, 20);
    put16(tcp, t->port);
    put16(tcp + 2, t->peer_port);
    put32(tcp + 4, t->seq);
    put32(tcp + 8, flags & ACK ? t->ack : 0);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 32768);
    if (len) {
        memcpy(tcp + 20, data, len);
    }
    send_ip(t->card, 6, guest_ip, t->server ? t->server : host_ip, 20 + len);
    t->seq += (uint32_t)len + (flags & (SYN | FIN) ? 1 : 0);
}

static void tcp_take(Tcp *t, const uint8_t *p)
{
    const uint8_t *tcp = p + 34;
    size_t head = 4 * (size_t)(tcp[12] >> 4), len = get16(p + 16) - 20 - head;
    unsigned flags = tcp[13];

    if (get16(p + 12) != 0x0800 || p[23] != 6 || get16(tcp + 2) != t->port) {
        return;
    }
    t->reset |= flags & RST;
    if (flags & SYN) {
        t->peer_port = get16(tcp);
        t->ack = get32(tcp + 4) + 1;
        t->open = true;
        tcp_send(t, flags & ACK ? ACK : SYN | ACK, NULL, 0);
        return;
    }
    if (get32(tcp + 4) != t->ack) {
        t->stray++;
    } else {
        g_byte_array_append(t->in, tcp + head, (guint)len);
        t->ack += (uint32_t)len + (flags & FIN ? 1 : 0);
        t->fin |= flags & FIN;
    }
    if (len > 0 || flags & FIN) {
        tcp_send(t, ACK, NULL, 0);
    }
}

static void tcp_run(Tcp *t)
{
    for (unsigned i = 0; i < t->card->got->len; i++) {
        tcp_take(t, ((NetRecord *)t->card->got->pdata[i])->bytes->data);
    }
    card_drop(t->card);
    loop_iterate(net_loop, false);
}

/* A host's socket that listens on 127.0.0.1, at *ret_port. */
static int listen_here(unsigned *ret_port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof in;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    ck_assert_int_eq(listen(fd, 1), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&in, &len), 0);
    *ret_port = ntohs(in.sin_port);
    return fd;
}

#define RUN_UNTIL(t, condition)                                             \
    do {                                                                    \
        gint64 end_ = g_get_monotonic_time() + 15 * G_USEC_PER_SEC;         \
        while (!(condition)) {                                              \
            tcp_run(t);                                                     \
            ck_assert_msg(g_get_monotonic_time() < end_, "no " #condition); \
        }                                                                   \
    } while (0)

enum { BIG = 3000000 };

/* A server of the host sends a file as fast as the guest takes it; stalls: the guest stops thrice.
 */
static void fetch(NetBackend *b, Card *card, bool stall)
{
    static const char request[] = "GET /file HTTP/1.0\r\n\r\n";
    Tcp t = {.card = card, .port = 1234, .seq = 1000, .in = g_byte_array_new()};
    int server = listen_here(&t.peer_port), peer = -1;
    uint8_t *file = g_malloc(BIG);
    size_t sent = 0;
    char got[sizeof request] = "";

    for (size_t i = 0; i < BIG; i++) {
        file[i] = (uint8_t)(i * 31 + (i >> 11));
    }
    arp(t.card);
    tcp_send(&t, SYN, NULL, 0);
    RUN_UNTIL(&t, t.open && (peer = accept4(server, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    tcp_send(&t, ACK | PSH, request, sizeof request - 1);
    RUN_UNTIL(&t, recv(peer, got, sizeof got, 0) == (ssize_t)sizeof request - 1);
    ck_assert_str_eq(got, request);
    for (unsigned stalls = 0; sent < BIG || t.in->len < BIG;) {
        ssize_t n = sent < BIG ? send(peer, file + sent, BIG - sent, 0) : 0;

        sent += n > 0 ? (size_t)n : 0;
        if (stall && t.in->len > 200000 * (stalls + 1) && stalls < 3) {
            t.card->room = 0;
            net_run_for(50);
            t.card->room = -1;
            net_receive_ready(t.card->user, 0);
            stalls++;
        }
        tcp_run(&t);
    }
    close(peer);
    RUN_UNTIL(&t, t.fin);
    ck_assert_uint_eq(t.in->len, BIG);
    ck_assert_int_eq(memcmp(t.in->data, file, BIG), 0);
    ck_assert_uint_eq(net_counter(b, "rx-errors") + net_counter(b, "tx-errors"), 0);
    ck_assert_uint_eq(net_counter(b, "rx-dropped"), 0);
    card_free(t.card);
    g_byte_array_unref(t.in);
    g_free(file);
    close(server);
}

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

static int connect_port(unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (connect(fd, (struct sockaddr *)&in, sizeof in) < 0) {
        close(fd);
        return -1;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
}

static unsigned free_port(void)
{
    unsigned port;
    int fd = listen_here(&port);

    close(fd);
    return port;
}

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
        {"'guestfwd': 'tcp:10.0.2.4:5-tcp:x:1'",
         "guestfwd=tcp:10.0.2.4:5-tcp:x:1: only cmd:COMMAND and unix:PATH are served behind '-'"},
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

/* --- passt: the same guest, behind a Unix stream socket --- */

static pid_t passt;
static char *passt_socket;

static bool passt_can_run(void)
{
    g_autofree char *path = g_find_program_in_path("passt");

    return path && geteuid() == 0 &&
           system("unshare -n ip link add d0 type veth peer name d1 >/dev/null 2>&1") == 0;
}

/* A network namespace whose host is 192.0.2.5 behind 192.0.2.1, and passt in it. */
static void passt_setup(void)
{
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_int_eq(
        system("ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d1 up && "
               "ip addr add 192.0.2.5/24 dev d0 && ip link set d0 up && "
               "ip route add default via 192.0.2.1"),
        0);
    setup();
    passt_socket = g_strdup_printf("/tmp/net-passt-%d", (int)getpid());
    passt = fork();
    if (passt == 0) {
        int null = open("/dev/null", O_WRONLY);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 1);
        dup2(null, 2);
        execlp("passt", "passt", "-f", "-4", "-s", passt_socket, (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 500 && access(passt_socket, F_OK) < 0; i++) {
        g_usleep(10000);
    }
}

static void passt_teardown(void)
{
    kill(passt, SIGKILL);
    waitpid(passt, NULL, 0);
    unlink(passt_socket);
    g_free(passt_socket);
    teardown();
}

START_TEST(passt_gives_an_address_and_a_file_of_the_host)
{
    g_autofree char *json = g_strdup_printf("{'type': 'stream', 'id': 'n', 'reconnect': 1, "
                                            "'addr': {'type': 'unix', 'path': '%s'}}",
                                            passt_socket);
    NetBackend *b = net_add(json);
    Card *c = card_new(b);
    const uint8_t *p;
    size_t len;

    while (!net_link_up(b)) {
        loop_iterate(net_loop, true);
    }
    p = dhcp(c, 1, &len);
    guest_ip = get32(p + 16);
    host_ip = get32(option(p, len, 3) + 1);
    ck_assert_uint_eq(guest_ip, 0xc0000205);
    ck_assert_uint_eq(host_ip, 0xc0000201);
    p = dhcp(c, 3, &len);
    ck_assert_uint_eq(option(p, len, 53)[1], 5);
    fetch(b, c, true); /* the gateway's address is the host's loopback */
}
END_TEST

/* --- QEMU as the peer: its hub connects the socket with its own user network --- */

static pid_t qemu;

static const struct {
    const char *ours, *theirs; /* %1$u and %2$u: ports; %3$s: a path */
    bool stream;
} peers[] = {
    {"{'type': 'socket', 'id': 'n', 'listen': '127.0.0.1:%1$u'}",
     "socket,id=s,connect=127.0.0.1:%1$u", true},
    {"{'type': 'stream', 'id': 'n', 'server': true, 'addr': {'type': 'unix', 'path': '%3$s'}}",
     "stream,id=s,server=off,addr.type=unix,addr.path=%3$s", true},
    {"{'type': 'stream', 'id': 'n', 'reconnect': 1, 'addr': {'type': 'inet', 'host': '127.0.0.1', "
     "'port': '%1$u'}}",
     "stream,id=s,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=%1$u", true},
    {"{'type': 'socket', 'id': 'n', 'udp': '127.0.0.1:%1$u', 'localaddr': '127.0.0.1:%2$u'}",
     "socket,id=s,udp=127.0.0.1:%2$u,localaddr=127.0.0.1:%1$u", false},
    {"{'type': 'dgram', 'id': 'n', 'local': {'type': 'unix', 'path': '%3$s'}, 'remote': {'type': "
     "'unix', 'path': '%3$s-q'}}",
     "dgram,id=s,local.type=unix,local.path=%3$s-q,remote.type=unix,remote.path=%3$s", false},
};

static char *fill(const char *text, unsigned a, unsigned b, const char *path)
{
    GString *s = g_string_new(text);
    g_autofree char *pa = g_strdup_printf("%u", a), *pb = g_strdup_printf("%u", b);

    g_string_replace(s, "%1$u", pa, 0);
    g_string_replace(s, "%2$u", pb, 0);
    g_string_replace(s, "%3$s", path, 0);
    return g_string_free(s, FALSE);
}

static void start_qemu(const char *netdev)
{
    qemu = fork();
    if (qemu == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-M", "none", "-nodefaults", "-display",
               "none", "-netdev", "user,id=u", "-netdev", "hubport,hubid=0,id=h0,netdev=u",
               "-netdev", netdev, "-netdev", "hubport,hubid=0,id=h1,netdev=s", (char *)NULL);
        _exit(127);
    }
}

static void qemu_teardown(void)
{
    if (qemu > 0) {
        kill(qemu, SIGKILL);
        waitpid(qemu, NULL, 0);
    }
    teardown();
}

static bool qemu_can_run(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-system-x86_64");

    return path && system("qemu-system-x86_64 -M none -display none -netdev help 2>/dev/null | "
                          "grep -q dgram") == 0;
}

START_TEST(qemu_takes_and_gives_our_frames)
{
    unsigned a = free_port(), b = free_port();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *ours = fill(peers[_i].ours, a, b, path);
    g_autofree char *theirs = fill(peers[_i].theirs, a, b, path);
    g_autofree char *their_path = g_strconcat(path, "-q", NULL);
    NetBackend *n = net_add(ours);
    Card *c = card_new(n);
    const uint8_t *p;
    size_t len;

    start_qemu(theirs);
    while (!net_link_up(n)) {
        loop_iterate(net_loop, true);
    }
    for (unsigned i = 0; !peers[_i].stream && c->got->len == 0 && i < 100; i++) {
        dhcp_ask(c, 1); /* datagrams are lost until it is there */
        net_run_for(100);
    }
    p = dhcp(c, 1, &len);
    ck_assert_uint_eq(get32(p + 16), GUEST_IP);
    if (peers[_i].stream) {
        fetch(n, c, true);
    } else {
        arp(c);
        card_free(c);
    }
    g_unlink(their_path);
}
END_TEST

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
    tcase_add_loop_test(tc, bad_options_get_one_line, 0, 16);
    tcase_add_test(tc, a_port_in_use_gets_one_line);
    if (passt_can_run()) {
        TCase *peer = tcase_create("passt");

        tcase_add_checked_fixture(peer, passt_setup, passt_teardown);
        suite_add_tcase(s, peer);
        tcase_add_test(peer, passt_gives_an_address_and_a_file_of_the_host);
    } else {
        fprintf(stderr, "SKIP: passt is not installed, or there are no network namespaces\n");
    }
    if (qemu_can_run()) {
        TCase *peer = tcase_create("qemu");

        tcase_add_checked_fixture(peer, setup, qemu_teardown);
        suite_add_tcase(s, peer);
        tcase_add_loop_test(peer, qemu_takes_and_gives_our_frames, 0, G_N_ELEMENTS(peers));
    } else {
        fprintf(stderr, "SKIP: no qemu-system-x86_64 of version 7.2 or later\n");
    }
    return suite_run(s);
}
