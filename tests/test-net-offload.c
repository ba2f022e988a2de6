/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offloads in software. What comes out is judged by a receiver of the test's own: it checks each
 * frame's lengths and checksums byte by byte, puts the payload together again and compares; one
 * known packet stands in full.
 */
#include <arpa/inet.h>
#include <string.h>

#include "net-fixture.h"
#include "tests/suite.h"

static uint8_t buf[NET_FRAME_MAX + 64];

/* --- the receiver's own arithmetic --- */

static uint32_t sum_bytes(const uint8_t *p, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i++) {
        sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
    }
    return sum;
}

static uint16_t ones(uint32_t sum)
{
    while (sum >> 16) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)sum;
}

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

static unsigned be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static void put(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

/* --- packets --- */

typedef struct {
    bool v6, tcp;
    unsigned vlan_tags;
    unsigned options; /* bytes of TCP options */
    bool extension;   /* IPv6: a hop-by-hop header */
} Shape;

typedef struct {
    size_t l3, l4, payload, len;
} Layout;

/* A large frame as a guest's driver makes it: lengths of the whole, the pseudo header's sum as the
 * checksum. */
static Layout make_large(const Shape *s, size_t payload)
{
    Layout l = {.l3 = 14 + 4 * s->vlan_tags};
    unsigned l4_len = s->tcp ? 20 + s->options : 8, protocol = s->tcp ? 6 : 17;
    uint8_t *ip = buf + l.l3, *l4;
    uint32_t pseudo;

    net_frame(buf, MIN(sizeof buf, payload + 300), (unsigned)payload);
    for (unsigned i = 0; i < s->vlan_tags; i++) {
        put(buf + 12 + 4 * i, 0x8100);
    }
    put(buf + l.l3 - 2, s->v6 ? 0x86dd : 0x0800);
    l.l4 = l.l3 + (s->v6 ? 40 : 20) + (s->extension ? 8 : 0);
    l.payload = l.l4 + l4_len;
    l.len = l.payload + payload;
    l4 = buf + l.l4;
    if (s->v6) {
        memset(ip, 0, 8);
        ip[0] = 0x60;
        put(ip + 4, (unsigned)(l.len - l.l3 - 40));
        ip[6] = s->extension ? 0 : (uint8_t)protocol;
        ip[7] = 64;
        if (s->extension) {
            memset(ip + 40, 0, 8);
            ip[40] = (uint8_t)protocol;
        }
        pseudo = sum_bytes(ip + 8, 32);
    } else {
        memset(ip, 0, 12);
        ip[0] = 0x45;
        put(ip + 2, (unsigned)(l.len - l.l3));
        put(ip + 4, 0xfffe);
        ip[8] = 64;
        ip[9] = (uint8_t)protocol;
        put(ip + 10, ones(~sum_bytes(ip, 20)) ^ 0xffff);
        pseudo = sum_bytes(ip + 12, 8);
    }
    pseudo = ones(pseudo + protocol + (uint32_t)(l.len - l.l4));
    if (s->tcp) {
        l4[12] = (uint8_t)(l4_len / 4 << 4);
        l4[13] = 0x80 | 0x10 | 0x08 | 0x01; /* CWR ACK PSH FIN */
        put(l4 + 16, pseudo);
    } else {
        put(l4 + 4, (unsigned)(l.len - l.l4));
        put(l4 + 6, pseudo);
    }
    return l;
}

static NetHdr large_hdr(const Shape *s, const Layout *l, unsigned gso, unsigned size)
{
    return (NetHdr){
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
        .gso_type = (uint8_t)gso,
        .hdr_len = (uint16_t)l->payload,
        .gso_size = (uint16_t)size,
        .csum_start = (uint16_t)l->l4,
        .csum_offset = s->tcp ? 16 : 6,
    };
}

/* --- the receiver --- */

static unsigned check_l4_sum(const uint8_t *ip, bool v6, const uint8_t *l4, size_t len,
                             unsigned protocol)
{
    uint32_t pseudo = v6 ? sum_bytes(ip + 8, 32) : sum_bytes(ip + 12, 8);

    return ones(pseudo + protocol + (uint32_t)len + sum_bytes(l4, len)) != 0xffff;
}

/* Lengths and the IPv4 checksum. */
static unsigned check_ip(const uint8_t *ip, bool v6, size_t len)
{
    if (v6) {
        return be16(ip + 4) + 40 != len;
    }
    return (be16(ip + 2) != len) + (ones(sum_bytes(ip, 20)) != 0xffff);
}

/* TCP segments or datagrams: each whole in itself. */
static unsigned check_segments(NetTest *t, const Shape *s, const Layout *l, unsigned size)
{
    GByteArray *whole = g_byte_array_new();
    unsigned wrong = 0, n = t->sent->len;

    for (unsigned i = 0; i < n; i++) {
        const NetRecord *r = net_test_sent(t, i);
        const uint8_t *p = r->bytes->data, *ip = p + l->l3, *l4 = p + l->l4;
        size_t payload = r->bytes->len - l->payload;
        bool last = i == n - 1;

        wrong += r->hdr.flags || r->hdr.gso_type || payload > size || (!last && payload != size);
        wrong += memcmp(p, buf, l->l3) != 0;
        wrong += check_ip(ip, s->v6, r->bytes->len - l->l3);
        wrong += check_l4_sum(ip, s->v6, l4, r->bytes->len - l->l4, s->tcp ? 6 : 17);
        wrong += !s->v6 && be16(ip + 4) != ((0xfffe + i) & 0xffff);
        if (s->tcp) {
            wrong += be32(l4 + 4) != be32(buf + l->l4 + 4) + whole->len;
            wrong += (l4[13] & 0x80) != (i == 0 ? 0x80 : 0);
            wrong += (l4[13] & 0x09) != (last ? 0x09 : 0);
            wrong += memcmp(l4 + 20, buf + l->l4 + 20, s->options) != 0;
        } else {
            wrong += be16(l4 + 4) != 8 + payload;
        }
        g_byte_array_append(whole, p + l->payload, (guint)payload);
    }
    wrong += whole->len != l->len - l->payload ||
             (whole->len > 0 && memcmp(whole->data, buf + l->payload, whole->len) != 0);
    g_byte_array_unref(whole);
    return wrong;
}

/* Fragments of one datagram. */
static unsigned check_fragments(NetTest *t, const Shape *s, const Layout *l, unsigned size)
{
    GByteArray *whole = g_byte_array_new();
    unsigned wrong = 0, n = t->sent->len, id = 0;
    const uint8_t *first = net_test_sent(t, 0)->bytes->data + l->l3;

    for (unsigned i = 0; i < n; i++) {
        const NetRecord *r = net_test_sent(t, i);
        const uint8_t *ip = r->bytes->data + l->l3, *fh = r->bytes->data + l->l4;
        size_t head = l->l4 + (s->v6 && n > 0 ? 8 : 0), payload = r->bytes->len - head;
        unsigned field = s->v6 ? be16(fh + 2) : be16(ip + 6);
        unsigned more = s->v6 ? field & 1 : field >> 13 & 1;
        unsigned at = s->v6 ? field & ~7u : (field & 0x1fff) * 8;

        id = i == 0 ? (s->v6 ? be32(fh + 4) : be16(ip + 4)) : id;
        wrong += at != whole->len || more != (i < n - 1) || payload > size;
        wrong += id != (s->v6 ? be32(fh + 4) : be16(ip + 4));
        wrong += s->v6 && (fh[0] != 17 || ip[s->extension ? 40 : 6] != 44);
        wrong += check_ip(ip, s->v6, r->bytes->len - l->l3);
        g_byte_array_append(whole, r->bytes->data + head, (guint)payload);
    }
    wrong += check_l4_sum(first, s->v6, whole->data, whole->len, 17);
    wrong += whole->len != l->len - l->l4;
    wrong += memcmp(whole->data + 8, buf + l->payload, l->len - l->payload) != 0;
    g_byte_array_unref(whole);
    return wrong;
}

/* --- tests --- */

START_TEST(a_known_packet_gets_its_known_checksum)
{
    /* A datagram from 192.168.0.31 to 192.168.0.30, its checksum added up by hand below. */
    static const uint8_t frame[] = {
        0x52, 0x54, 0, 0,    0, 2,  0x52, 0x54, 0,  0,  0, 1, 0x08, 0, /* Ethernet */
        0x45, 0,    0, 0x20, 0, 1,  0,    0,    64, 17, 0, 0, 192,  168, 0, 31,
        192,  168,  0, 30,   0, 20, 0,    10,   0,  12, 0, 0, 'H',  'i', 0, 1,
    };
    /* Pseudo header: c0a8 + 001f + c0a8 + 001e + 0011 + 000c = 181aa -> 81ab. UDP: 0014 + 000a +
     * 000c
     * + 0000 + 4869 + 0001 = 4894. Sum ca3f, complement 35c0. */
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    NetHdr hdr = {.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .csum_start = 34, .csum_offset = 6};
    const uint8_t *sent;

    memcpy(buf, frame, sizeof frame);
    put(buf + 40, 0x81ab);
    ck_assert(card_send_hdr(c, buf, sizeof frame, hdr));
    sent = net_test_sent(t, 0)->bytes->data;
    ck_assert_uint_eq(be16(sent + 40), 0x35c0);
    ck_assert_uint_eq(be16(buf + 40), 0x81ab); /* the guest's memory is as it was */
    ck_assert_mem_eq(sent, buf, 40);
    ck_assert_mem_eq(sent + 42, buf + 42, sizeof frame - 42);
    ck_assert_uint_eq(net_test_sent(t, 0)->hdr.flags, 0);
    put(buf + 44, 0x35c1); /* the sum is ffff now; a checksum of 0 would mean that there is none */
    ck_assert(card_send_hdr(c, buf, sizeof frame, hdr));
    ck_assert_uint_eq(be16(net_test_sent(t, 1)->bytes->data + 40), 0xffff);
    card_free(c);
}
END_TEST

static const struct {
    const char *name;
    unsigned gso;
    Shape shape;
} kinds[] = {
    {"tso4", VIRTIO_NET_HDR_GSO_TCPV4, {.tcp = true}},
    {"tso4 vlan", VIRTIO_NET_HDR_GSO_TCPV4, {.tcp = true, .vlan_tags = 1, .options = 12}},
    {"tso4 ecn", VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN, {.tcp = true, .options = 40}},
    {"tso6", VIRTIO_NET_HDR_GSO_TCPV6, {.tcp = true, .v6 = true}},
    {"tso6 hbh",
     VIRTIO_NET_HDR_GSO_TCPV6,
     {.tcp = true, .v6 = true, .extension = true, .vlan_tags = 2}},
    {"uso4", VIRTIO_NET_HDR_GSO_UDP_L4, {.tcp = false}},
    {"uso6", VIRTIO_NET_HDR_GSO_UDP_L4, {.v6 = true, .extension = true}},
    {"ufo4", VIRTIO_NET_HDR_GSO_UDP, {.vlan_tags = 1}},
    {"ufo6", VIRTIO_NET_HDR_GSO_UDP, {.v6 = true}},
    {"ufo6 hbh", VIRTIO_NET_HDR_GSO_UDP, {.v6 = true, .extension = true}},
};

START_TEST(large_frames_arrive_in_valid_pieces)
{
    static const size_t sizes[] = {0, 1, 7, 1447, 1448, 1449, 2896, 9001, 65000};
    static const unsigned mss[] = {8, 536, 1448, 9000};
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    const Shape *s = &kinds[_i].shape;
    bool fragments = kinds[_i].gso == VIRTIO_NET_HDR_GSO_UDP;

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes) * G_N_ELEMENTS(mss) * 3; i++) {
        size_t size = sizes[i % G_N_ELEMENTS(sizes)];
        unsigned m = mss[i / G_N_ELEMENTS(sizes) % G_N_ELEMENTS(mss)];
        unsigned piece = (unsigned[]){65600, 4096, 101}[i % 3]; /* odd pieces, headers split */
        Layout l = make_large(s, size);
        unsigned wrong;

        ck_assert(card_send_pieces(c, buf, l.len, large_hdr(s, &l, kinds[_i].gso, m), piece));
        wrong = fragments ? check_fragments(t, s, &l, m) : check_segments(t, s, &l, m);
        ck_assert_msg(wrong == 0, "%s: %zu bytes by %u: %u wrong", kinds[_i].name, size, m, wrong);
        g_ptr_array_set_size(t->sent, 0);
    }
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-errors"), 0);
    card_free(c);
}
END_TEST

START_TEST(a_network_that_fills_up_in_a_large_frame_gets_the_rest_later)
{
    Shape s = {.tcp = true};
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    Layout l = make_large(&s, 14480);
    NetHdr hdr = large_hdr(&s, &l, VIRTIO_NET_HDR_GSO_TCPV4, 1448);

    t->room = 0;
    ck_assert(!card_send_hdr(c, buf, l.len, hdr)); /* nothing of it was sent: it stays the card's */
    net_test_writable(t, 3);
    ck_assert_uint_eq(c->ready, 1);
    ck_assert(card_send_hdr(c, buf, l.len, hdr));
    memset(buf + l.payload, 0, 14480); /* the guest has it back */
    ck_assert_uint_eq(t->sent->len, 3);
    ck_assert(!card_send_hdr(c, buf, 60, (NetHdr){0})); /* never in between */
    for (unsigned i = 4; i < 10; i++) {
        net_test_writable(t, 1);
        ck_assert_uint_eq(t->sent->len, i);
    }
    ck_assert_uint_eq(c->ready, 1);
    net_test_writable(t, 1);
    ck_assert_uint_eq(c->ready, 2);
    make_large(&s, 14480);
    ck_assert_uint_eq(check_segments(t, &s, &l, 1448), 0);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-frames"), 1);
    card_free(c);
}
END_TEST

START_TEST(fragments_that_come_later_are_of_the_same_datagram)
{
    Shape s = {.v6 = true};
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    Layout l = make_large(&s, 5000);

    t->room = 2;
    ck_assert(card_send_hdr(c, buf, l.len, large_hdr(&s, &l, VIRTIO_NET_HDR_GSO_UDP, 1448)));
    ck_assert_uint_eq(t->sent->len, 2);
    net_test_writable(t, 1);
    net_test_writable(t, -1);
    ck_assert_uint_eq(t->sent->len, 4);
    ck_assert_uint_eq(check_fragments(t, &s, &l, 1448), 0);
    card_free(c);
}
END_TEST

START_TEST(headers_that_do_not_fit_their_frame_are_errors)
{
    Shape tcp4 = {.tcp = true}, udp6 = {.v6 = true};
    NetTest *t = net_test_add("n0", _i ? NET_OFFLOAD_ALL : 0, 1);
    Card *c = card_new(&t->parent_obj);
    Layout l = make_large(&tcp4, 3000);
    NetHdr good = large_hdr(&tcp4, &l, VIRTIO_NET_HDR_GSO_TCPV4, 1000), bad[12];
    unsigned n = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        bad[i] = good;
    }
    bad[n++].gso_size = 0;
    bad[n++].gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
    bad[n++].gso_type = VIRTIO_NET_HDR_GSO_UDP;
    bad[n++].gso_type = VIRTIO_NET_HDR_GSO_UDP_L4;
    bad[n++].gso_type = 2;
    bad[n++].gso_type = VIRTIO_NET_HDR_GSO_ECN;
    bad[n++].csum_start = 35;
    bad[n++].csum_offset = 6;
    bad[n++].flags = 0;
    bad[n].gso_type = 0;
    bad[n++].csum_start = (uint16_t)(l.len - 17);
    bad[n].gso_type = 0;
    bad[n++].csum_offset = 65535;
    bad[n].gso_type = 0;
    bad[n++].csum_start = 13;
    ck_assert_uint_eq(n, G_N_ELEMENTS(bad));
    for (unsigned i = 0; i < n; i++) {
        ck_assert(card_send_hdr(c, buf, l.len, bad[i]));
        ck_assert_msg(t->sent->len == 0, "header %u is taken", i);
    }
    buf[l.l4 + 12] = 0x40; /* a TCP header of 16 bytes */
    ck_assert(card_send_hdr(c, buf, l.len, good));
    make_large(&tcp4, 3000);
    buf[l.l3 + 6] = 0x20; /* a fragment already */
    ck_assert(card_send_hdr(c, buf, l.len, good));
    make_large(&tcp4, 3000);
    ck_assert(card_send_hdr(c, buf, l.payload - 1, good));
    l = make_large(&udp6, 100);
    ck_assert(card_send_hdr(c, buf, l.len, large_hdr(&udp6, &l, VIRTIO_NET_HDR_GSO_UDP, 7)));
    ck_assert_uint_eq(t->sent->len, 0);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-errors"), n + 4);
    card_free(c);
}
END_TEST

START_TEST(a_network_with_offloads_gets_frames_as_they_are)
{
    Shape s = {.tcp = true};
    NetTest *t = net_test_add("n0", NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4, 1);
    Card *c = card_new(&t->parent_obj);
    Layout l = make_large(&s, 30000);
    NetHdr hdr = large_hdr(&s, &l, VIRTIO_NET_HDR_GSO_TCPV4, 1448);

    ck_assert(card_send_hdr(c, buf, l.len, hdr));
    ck_assert_uint_eq(t->sent->len, 1);
    ck_assert_mem_eq(&net_test_sent(t, 0)->hdr, &hdr, sizeof hdr);
    ck_assert_mem_eq(net_test_sent(t, 0)->bytes->data, buf, l.len);
    hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN; /* this one it does not know */
    ck_assert(card_send_hdr(c, buf, l.len, hdr));
    ck_assert_uint_eq(t->sent->len, 1 + 21);
    card_free(c);
}
END_TEST

START_TEST(the_card_gets_no_offload_that_it_did_not_ask_for)
{
    Shape s = {.tcp = true};
    NetTest *t = net_test_add("n0", NET_OFFLOAD_ALL, 1);
    Card *c = card_new(&t->parent_obj);
    Layout l = make_large(&s, 4000);
    NetHdr hdr = large_hdr(&s, &l, VIRTIO_NET_HDR_GSO_TCPV4, 1448);

    ck_assert(net_test_inject(t, buf, l.len, hdr));
    ck_assert_uint_eq(c->got->len, 3);
    net_set_guest_offloads(c->user, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    ck_assert(net_test_inject(t, buf, l.len, hdr));
    ck_assert_uint_eq(c->got->len, 4);
    t->no_offloads = true;
    net_set_guest_offloads(c->user, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    c->room = 1;
    ck_assert(!net_test_inject(t, buf, l.len, hdr));
    ck_assert_uint_eq(c->got->len, 5); /* the other two wait */
    c->room = -1;
    net_receive_ready(c->user, 0);
    net_run_for(1);
    ck_assert_uint_eq(c->got->len, 7);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 0);
    card_free(c);
}
END_TEST

START_TEST(random_headers_and_frames_do_no_harm)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    GRand *rand = g_rand_new_with_seed(5);

    for (unsigned i = 0; i < 20000; i++) {
        const Shape *s = &kinds[(unsigned)g_rand_int_range(rand, 0, G_N_ELEMENTS(kinds))].shape;
        Layout l = make_large(s, (size_t)g_rand_int_range(rand, 0, 200));
        NetHdr hdr = large_hdr(s, &l, (unsigned)g_rand_int_range(rand, 0, 7),
                               (unsigned)g_rand_int_range(rand, 0, 64));

        for (unsigned k = (unsigned)g_rand_int_range(rand, 0, 4); k > 0; k--) {
            buf[g_rand_int_range(rand, 12, 70)] = (uint8_t)g_rand_int(rand);
        }
        if (i % 3 == 0) {
            hdr.csum_start = (uint16_t)g_rand_int_range(rand, 0, 300);
            hdr.csum_offset = (uint16_t)g_rand_int_range(rand, 0, 300);
        }
        card_send_pieces(c, buf, (size_t)g_rand_int_range(rand, 0, (int)l.len + 1), hdr,
                         (unsigned)g_rand_int_range(rand, 1, 90));
        g_ptr_array_set_size(t->sent, 0);
    }
    ck_assert_uint_gt(net_counter(&t->parent_obj, "tx-errors"), 1000);
    ck_assert_uint_gt(net_counter(&t->parent_obj, "tx-frames"), 1000);
    g_rand_free(rand);
    card_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-offload");
    TCase *tc = tcase_create("offload");

    tcase_add_checked_fixture(tc, net_setup, net_teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, a_known_packet_gets_its_known_checksum);
    tcase_add_loop_test(tc, large_frames_arrive_in_valid_pieces, 0, G_N_ELEMENTS(kinds));
    tcase_add_test(tc, a_network_that_fills_up_in_a_large_frame_gets_the_rest_later);
    tcase_add_test(tc, fragments_that_come_later_are_of_the_same_datagram);
    tcase_add_loop_test(tc, headers_that_do_not_fit_their_frame_are_errors, 0, 2);
    tcase_add_test(tc, a_network_with_offloads_gets_frames_as_they_are);
    tcase_add_test(tc, the_card_gets_no_offload_that_it_did_not_ask_for);
    tcase_add_test(tc, random_headers_and_frames_do_no_harm);
    return suite_run(s);
}
