/* SPDX-License-Identifier: BSD-2-Clause */
#include "net-guest.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIG = 3000000 };

uint32_t guest_ip = GUEST_IP, host_ip = HOST_IP;
uint8_t host_mac[6] = {0x52, 0x55, 10, 0, 2, 2};
uint8_t buf[NET_FRAME_MAX];

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0x12, 0x34, 0x56};

void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

unsigned get16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

/* --- the guest's frames --- */

void ethernet(const uint8_t *to, unsigned type)
{
    memcpy(buf, to, 6);
    memcpy(buf + 6, guest_mac, 6);
    put16(buf + 12, type);
}

/* An IPv4 packet around the l4_len bytes at buf + 34, whose checksum is left to the card. */
void send_ip(Card *c, unsigned protocol, uint32_t src, uint32_t dst, size_t l4_len)
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

void send_udp(Card *c, uint32_t src, uint32_t dst, unsigned sport, unsigned dport, const void *data,
              size_t len)
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
const uint8_t *wait_udp(Card *c, unsigned dport, size_t *ret_len)
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

const uint8_t *option(const uint8_t *p, size_t len, uint8_t code)
{
    for (size_t at = 240; at + 2 < len && p[at] != 255; at += p[at] ? 2u + p[at + 1] : 1) {
        if (p[at] == code) {
            return p + at + 1; /* length, value */
        }
    }
    ck_abort_msg("no option %u", code);
    return NULL;
}

void dhcp_ask(Card *c, uint8_t type)
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

const uint8_t *dhcp(Card *c, uint8_t type, size_t *ret_len)
{
    dhcp_ask(c, type);
    return wait_udp(c, 68, ret_len);
}

/* --- ARP --- */

/* Also tells the host our address. 42 bytes in buf. */
void arp_question(void)
{
    static const uint8_t all[6] = {255, 255, 255, 255, 255, 255};

    ethernet(all, 0x0806);
    memcpy(buf + 14, (uint8_t[]){0, 1, 8, 0, 6, 4, 0, 1}, 8);
    memcpy(buf + 22, guest_mac, 6);
    put32(buf + 28, guest_ip);
    memset(buf + 32, 0, 6);
    put32(buf + 38, host_ip);
}

void arp(Card *c)
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

/* --- a small TCP: in order, no retransmission of its own --- */

void tcp_send(Tcp *t, unsigned flags, const void *data, size_t len)
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

void tcp_run(Tcp *t)
{
    for (unsigned i = 0; i < t->card->got->len; i++) {
        tcp_take(t, ((NetRecord *)t->card->got->pdata[i])->bytes->data);
    }
    card_drop(t->card);
    loop_iterate(net_loop, false);
}

/* A host's socket that listens on 127.0.0.1, at *ret_port. */
int listen_here(unsigned *ret_port)
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

int connect_port(unsigned port)
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

unsigned free_port(void)
{
    unsigned port;
    int fd = listen_here(&port);

    close(fd);
    return port;
}

/* A server of the host sends a file as fast as the guest takes it; stalls: the guest stops thrice.
 */
void fetch(NetBackend *b, Card *card, bool stall)
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
