/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive-side scaling alone: the hash against the vectors that Microsoft published ("Verifying the
 * RSS hash calculation") and against the definition done bit by bit; which headers are hashed; the
 * commands' data.
 */
#include <arpa/inet.h>
#include <glib.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "core/le.h"
#include "hw/virtio/virtio-net-rss.h"
#include "tests/suite.h"

static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

enum {
    IP4 = VIRTIO_NET_RSS_HASH_TYPE_IPv4,
    TCP4 = VIRTIO_NET_RSS_HASH_TYPE_TCPv4,
    UDP4 = VIRTIO_NET_RSS_HASH_TYPE_UDPv4,
    IP6 = VIRTIO_NET_RSS_HASH_TYPE_IPv6,
    TCP6 = VIRTIO_NET_RSS_HASH_TYPE_TCPv6,
    UDP6 = VIRTIO_NET_RSS_HASH_TYPE_UDPv6,
    IP_EX = VIRTIO_NET_RSS_HASH_TYPE_IP_EX,
    TCP_EX = VIRTIO_NET_RSS_HASH_TYPE_TCP_EX,
    UDP_EX = VIRTIO_NET_RSS_HASH_TYPE_UDP_EX,
};

static NetRss rss;

static void set_types(uint32_t types)
{
    NetRssConfig c = {.hash_types = types, .table_len = 1, .key_len = 40};

    memcpy(c.key, key, sizeof key);
    net_rss_set(&rss, &c);
}

/* --- frames --- */

typedef struct {
    uint8_t p[400];
    size_t len;
} Frame;

static void add(Frame *f, const void *p, size_t n)
{
    memcpy(f->p + f->len, p, n);
    f->len += n;
}

static void add16(Frame *f, unsigned v)
{
    add(f, (uint8_t[]){(uint8_t)(v >> 8), (uint8_t)v}, 2);
}

/* An Ethernet header with that many VLAN tags. */
static void begin(Frame *f, unsigned tags, unsigned type)
{
    *f = (Frame){.len = 12};
    for (unsigned i = 0; i < tags; i++) {
        add16(f, i + 1 < tags ? 0x88a8 : 0x8100);
        add16(f, 100 + i);
    }
    add16(f, type);
}

static void set_length4(Frame *f, size_t at)
{
    f->p[at + 2] = (uint8_t)((f->len - at) >> 8);
    f->p[at + 3] = (uint8_t)(f->len - at);
}

static void add_l4(Frame *f, unsigned proto, unsigned sport, unsigned dport)
{
    add16(f, sport);
    add16(f, dport);
    add(f, (uint8_t[16]){0}, proto == 6 ? 16 : 4);
}

typedef struct {
    const char *dst, *src;
    unsigned dport, sport;
    uint32_t ip, ports;
} Vector;

static const Vector vectors4[] = {
    {"161.142.100.80", "66.9.149.187", 1766, 2794, 0x323e8fc2, 0x51ccc178},
    {"65.69.140.83", "199.92.111.2", 4739, 14230, 0xd718262a, 0xc626b0ea},
    {"12.22.207.184", "24.19.198.95", 38024, 12898, 0xd2d0a5de, 0x5c2b394a},
    {"209.142.163.6", "38.27.205.30", 2217, 48228, 0x82989176, 0xafc7327f},
    {"202.188.127.2", "153.39.163.191", 1303, 44251, 0x5d1809c5, 0x10e828a2},
};

static const Vector vectors6[] = {
    {"3ffe:2501:200:3::1", "3ffe:2501:200:1fff::7", 1766, 2794, 0x2cc18cd5, 0x40207d3d},
    {"ff02::1", "3ffe:501:8::260:97ff:fe40:efab", 4739, 14230, 0x0f0c461c, 0xdde51bbf},
    {"fe80::200:f8ff:fe21:67cf", "3ffe:1900:4545:3:200:f8ff:fe21:67cf", 38024, 44251, 0x4b61e985,
     0x02d1feef},
};

/* options: bytes of IPv4 options; frag: the fragment field. */
static void make4(Frame *f, const Vector *v, unsigned proto, unsigned tags, unsigned options,
                  unsigned frag)
{
    struct in_addr src, dst;
    size_t at;

    begin(f, tags, 0x0800);
    at = f->len;
    inet_pton(AF_INET, v->src, &src);
    inet_pton(AF_INET, v->dst, &dst);
    add(f, (uint8_t[]){(uint8_t)(0x45 + options / 4), 0, 0, 0, 0, 0}, 6);
    add16(f, frag);
    add(f, (uint8_t[]){64, (uint8_t)proto, 0, 0}, 4);
    add(f, &src, 4);
    add(f, &dst, 4);
    add(f, (uint8_t[40]){0}, options);
    add_l4(f, proto, v->sport, v->dport);
    set_length4(f, at);
}

typedef struct {
    uint8_t bytes[200];
    size_t len;
    unsigned first; /* protocol number of the first */
    int last_next;  /* where its next header field is; -1: there are no headers */
} Extensions;

static void add_extension(Extensions *x, unsigned number, const void *p, size_t n)
{
    if (x->last_next < 0) {
        x->first = number;
    } else {
        x->bytes[x->last_next] = (uint8_t)number;
    }
    x->last_next = (int)x->len;
    memcpy(x->bytes + x->len, p, n);
    x->len += n;
}

static void make6(Frame *f, const Vector *v, unsigned proto, unsigned tags, Extensions *x)
{
    struct in6_addr src, dst;
    size_t at;

    begin(f, tags, 0x86dd);
    at = f->len;
    inet_pton(AF_INET6, v->src, &src);
    inet_pton(AF_INET6, v->dst, &dst);
    if (x && x->last_next >= 0) {
        x->bytes[x->last_next] = (uint8_t)proto;
    }
    add(f, (uint8_t[]){0x60, 0, 0, 0, 0, 0, (uint8_t)(x ? x->first : proto), 64}, 8);
    add(f, &src, 16);
    add(f, &dst, 16);
    if (x) {
        add(f, x->bytes, x->len);
    }
    add_l4(f, proto, v->sport, v->dport);
    f->p[at + 5] = (uint8_t)(f->len - at - 40);
}

static unsigned is_not(const Frame *f, uint32_t value, unsigned report)
{
    NetHash h = net_rss_hash(&rss, f->p, f->len);

    return h.value != value || h.report != report;
}

static NetHash hash(const Frame *f)
{
    return net_rss_hash(&rss, f->p, f->len);
}

/* --- the hash itself --- */

START_TEST(ipv4_packets_hash_to_the_published_values)
{
    unsigned wrong = 0;
    Frame f;

    for (unsigned i = 0; i < G_N_ELEMENTS(vectors4); i++) {
        for (unsigned tags = 0; tags < 3; tags++) {
            for (unsigned options = 0; options <= 40; options += 20) {
                const Vector *v = &vectors4[i];

                set_types(NET_RSS_HASH_TYPES);
                make4(&f, v, 6, tags, options, 0x4000); /* "don't fragment" is no fragment */
                wrong += is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_TCPv4);
                make4(&f, v, 17, tags, options, 0);
                wrong += is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_UDPv4);
                make4(&f, v, 1, tags, options, 0);
                wrong += is_not(&f, v->ip, VIRTIO_NET_HASH_REPORT_IPv4);
            }
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(ipv6_packets_hash_to_the_published_values)
{
    unsigned wrong = 0;
    Frame f;

    for (unsigned i = 0; i < G_N_ELEMENTS(vectors6); i++) {
        for (unsigned tags = 0; tags < 3; tags++) {
            const Vector *v = &vectors6[i];

            set_types(NET_RSS_HASH_TYPES);
            make6(&f, v, 6, tags, NULL);
            wrong += is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_TCPv6);
            make6(&f, v, 17, tags, NULL);
            wrong += is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_UDPv6);
            make6(&f, v, 58, tags, NULL);
            wrong += is_not(&f, v->ip, VIRTIO_NET_HASH_REPORT_IPv6);
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* The definition: for each bit of the input that is set, the 32 bits of the key from there on. */
static uint32_t by_definition(const uint8_t *k, size_t key_len, const uint8_t *input, size_t len)
{
    uint32_t result = 0, window = 0;

    for (unsigned i = 0; i < 32; i++) {
        window = window << 1 | (i / 8 < key_len ? (k[i / 8] >> (7 - i % 8)) & 1 : 0);
    }
    for (size_t i = 0; i < 8 * len; i++) {
        size_t next = i + 32;

        if ((input[i / 8] >> (7 - i % 8)) & 1) {
            result ^= window;
        }
        window = window << 1 | (next / 8 < key_len ? (k[next / 8] >> (7 - next % 8)) & 1 : 0);
    }
    return result;
}

START_TEST(any_key_and_input_hash_as_the_definition_says)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(20);
    unsigned wrong = 0;

    for (unsigned i = 0; i < 2000; i++) {
        NetRssConfig c = {.hash_types = 1, .table_len = 1};
        uint8_t input[NET_RSS_INPUT_MAX];
        size_t len = g_rand_int(rand) % (sizeof input + 1);

        c.key_len = g_rand_int(rand) % (NET_RSS_KEY_MAX + 1);
        for (unsigned j = 0; j < sizeof c.key; j++) {
            c.key[j] = (uint8_t)g_rand_int(rand); /* behind key_len too: not to be used */
        }
        for (unsigned j = 0; j < sizeof input; j++) {
            input[j] = (uint8_t)g_rand_int(rand);
        }
        net_rss_set(&rss, &c);
        wrong += net_rss_toeplitz(&rss, input, len) != by_definition(c.key, c.key_len, input, len);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* --- which hash --- */

static unsigned report4(uint32_t types, unsigned proto)
{
    return types & TCP4 && proto == 6 ? 2 : types & UDP4 && proto == 17 ? 3 : types & IP4 ? 1 : 0;
}

static unsigned report6(uint32_t types, unsigned proto, bool ex)
{
    if (ex && types & TCP_EX && proto == 6) {
        return 8;
    }
    if (ex && types & UDP_EX && proto == 17) {
        return 9;
    }
    if (ex && types & IP_EX) {
        return 7;
    }
    return types & TCP6 && proto == 6 ? 5 : types & UDP6 && proto == 17 ? 6 : types & IP6 ? 4 : 0;
}

START_TEST(the_enabled_types_decide_what_is_hashed)
{
    static const unsigned protos[] = {6, 17, 1};
    unsigned wrong = 0;
    Frame f;

    for (uint32_t types = 0; types <= NET_RSS_HASH_TYPES; types++) {
        set_types(types);
        for (unsigned i = 0; i < 3; i++) {
            Extensions x = {.last_next = -1};

            make4(&f, &vectors4[0], protos[i], 0, 0, 0);
            wrong += hash(&f).report != report4(types, protos[i]);
            make6(&f, &vectors6[0], protos[i], 0, NULL);
            wrong += hash(&f).report != report6(types, protos[i], false);
            add_extension(&x, 0, (uint8_t[8]){0}, 8);
            make6(&f, &vectors6[0], protos[i], 0, &x);
            wrong += hash(&f).report != report6(types, protos[i], true);
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(fragments_are_hashed_without_ports)
{
    static const unsigned fields[] = {0x2000, 0x2001, 0x0001, 0x1fff, 0x6000};
    unsigned wrong = 0;
    Frame f;

    set_types(NET_RSS_HASH_TYPES);
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        make4(&f, &vectors4[0], 6, 0, 0, fields[i]);
        wrong += is_not(&f, vectors4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
        make4(&f, &vectors4[0], 17, 0, 0, fields[i]);
        wrong += is_not(&f, vectors4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4);
    }
    ck_assert_uint_eq(wrong, 0);
    set_types(TCP4);
    make4(&f, &vectors4[0], 6, 0, 0, 0x2000);
    ck_assert_uint_eq(hash(&f).report, 0);
}
END_TEST

START_TEST(ipv6_fragments_are_hashed_without_ports_but_for_whole_ones)
{
    static const uint8_t fragments[][8] = {
        {0, 0, 0, 1}, {0, 0, 0, 8}, {0, 0, 0xff, 0xf9}, {0, 0, 0, 0}, {0, 0, 0, 6}};
    unsigned wrong = 0;
    Frame f;

    for (unsigned i = 0; i < G_N_ELEMENTS(fragments); i++) {
        bool whole = i >= 3;
        Extensions x = {.last_next = -1};

        add_extension(&x, 44, fragments[i], 8);
        make6(&f, &vectors6[0], 6, 0, &x);
        set_types(NET_RSS_HASH_TYPES);
        wrong += is_not(&f, whole ? vectors6[0].ports : vectors6[0].ip, whole ? 8 : 7);
        set_types(IP6 | TCP6);
        wrong += is_not(&f, whole ? vectors6[0].ports : vectors6[0].ip, whole ? 5 : 4);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* Home address and type 2 routing header: the packet hashes as one between those addresses. */
START_TEST(home_address_and_routing_header_take_the_place_of_the_addresses)
{
    uint8_t options[32] = {0, 3, 1, 2, 0, 0, 0, 0, 0, 0xc9, 16}, routing[24] = {0, 2, 2, 1};
    const Vector *v = &vectors6[1];
    Vector outer = vectors6[1];
    Extensions x = {.last_next = -1};
    Frame f;

    outer.src = "2001:db8::1";
    outer.dst = "2001:db8::2";
    inet_pton(AF_INET6, v->src, options + 11);
    inet_pton(AF_INET6, v->dst, routing + 8);
    add_extension(&x, 60, options, sizeof options);
    add_extension(&x, 43, routing, sizeof routing);
    set_types(NET_RSS_HASH_TYPES);
    make6(&f, &outer, 6, 0, &x);
    ck_assert_uint_eq(is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_TCPv6_EX), 0);
    make6(&f, &outer, 17, 1, &x);
    ck_assert_uint_eq(is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_UDPv6_EX), 0);
    make6(&f, &outer, 58, 2, &x);
    ck_assert_uint_eq(is_not(&f, v->ip, VIRTIO_NET_HASH_REPORT_IPv6_EX), 0);

    /* Without the types for it, the addresses in the IPv6 header count. */
    set_types(IP6 | TCP6 | UDP6);
    make6(&f, &outer, 6, 0, &x);
    ck_assert_uint_eq(hash(&f).report, VIRTIO_NET_HASH_REPORT_TCPv6);
    ck_assert_uint_ne(hash(&f).value, v->ports);
    {
        uint32_t with = hash(&f).value;

        make6(&f, &outer, 6, 0, NULL);
        ck_assert_uint_eq(hash(&f).value, with);
    }
}
END_TEST

START_TEST(other_options_and_routing_headers_change_nothing)
{
    uint8_t options[24] = {0, 2, 0xc9, 15, 9, 9}, routing[24] = {0, 2, 0, 1, 7, 7, 7, 7, 9};
    uint8_t short_routing[8] = {0, 0, 2, 1}, odd[8] = {0, 0, 0xc9, 16, 1, 1, 1, 1};
    const Vector *v = &vectors6[2];
    Extensions x = {.last_next = -1};
    Frame f;

    add_extension(&x, 0, (uint8_t[8]){0}, 8);
    add_extension(&x, 60, options, sizeof options);
    add_extension(&x, 43, routing, sizeof routing);
    add_extension(&x, 43, short_routing, sizeof short_routing);
    add_extension(&x, 60, odd, sizeof odd); /* the option goes beyond its header */
    add_extension(&x, 51, (uint8_t[12]){0, 1}, 12);
    add_extension(&x, 135, (uint8_t[8]){0}, 8);
    set_types(NET_RSS_HASH_TYPES);
    make6(&f, v, 6, 0, &x);
    ck_assert_uint_eq(is_not(&f, v->ports, VIRTIO_NET_HASH_REPORT_TCPv6_EX), 0);
}
END_TEST

START_TEST(a_chain_of_headers_without_end_is_hashed_as_far_as_it_goes)
{
    Extensions x = {.last_next = -1};
    Frame f;

    for (unsigned i = 0; i < 20; i++) {
        add_extension(&x, 0, (uint8_t[8]){0}, 8);
    }
    set_types(NET_RSS_HASH_TYPES);
    make6(&f, &vectors6[0], 6, 0, &x);
    ck_assert_uint_eq(is_not(&f, vectors6[0].ip, VIRTIO_NET_HASH_REPORT_IPv6_EX), 0);
}
END_TEST

/* --- packets cut off --- */

START_TEST(a_packet_cut_off_anywhere_is_hashed_as_far_as_its_headers_go)
{
    unsigned wrong = 0;
    Frame f;

    set_types(NET_RSS_HASH_TYPES);
    for (unsigned tags = 0; tags < 3; tags++) {
        size_t ip = 14 + 4 * tags;

        make4(&f, &vectors4[0], 6, tags, 0, 0);
        for (size_t n = 0; n <= f.len; n++) {
            g_autofree uint8_t *copy = g_memdup2(f.p, n); /* so that ASan sees the end */
            unsigned report = n < ip + 20 ? 0 : n < ip + 40 ? 1 : 2;

            wrong += net_rss_hash(&rss, copy, n).report != report;
        }
        make6(&f, &vectors6[0], 17, tags, NULL);
        for (size_t n = 0; n <= f.len; n++) {
            g_autofree uint8_t *copy = g_memdup2(f.p, n);
            unsigned report = n < ip + 40 ? 0 : n < ip + 48 ? 4 : 6;

            wrong += net_rss_hash(&rss, copy, n).report != report;
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(extension_headers_cut_off_anywhere_are_not_read_beyond)
{
    uint8_t options[24] = {0, 2, 1, 0, 0xc9, 16}, routing[24] = {0, 2, 2, 1};
    Extensions x = {.last_next = -1};
    unsigned wrong = 0;
    Frame f;

    add_extension(&x, 60, options, sizeof options);
    add_extension(&x, 43, routing, sizeof routing);
    add_extension(&x, 44, (uint8_t[8]){0}, 8);
    set_types(NET_RSS_HASH_TYPES);
    make6(&f, &vectors6[0], 6, 0, &x);
    for (size_t n = 54; n <= f.len; n++) {
        g_autofree uint8_t *copy = g_memdup2(f.p, n);

        wrong += net_rss_hash(&rss, copy, n).report != (n < f.len ? 7 : 8);
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(padding_behind_a_packet_is_no_transport_header)
{
    Frame f;

    set_types(NET_RSS_HASH_TYPES);
    make4(&f, &vectors4[0], 6, 0, 0, 0);
    f.p[17] = 20; /* total length: the IP header alone */
    ck_assert_uint_eq(is_not(&f, vectors4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4), 0);
    f.p[17] = 39;
    ck_assert_uint_eq(is_not(&f, vectors4[0].ip, VIRTIO_NET_HASH_REPORT_IPv4), 0);
    f.p[17] = 0; /* not said, as for a segment beyond 64 KiB */
    ck_assert_uint_eq(is_not(&f, vectors4[0].ports, VIRTIO_NET_HASH_REPORT_TCPv4), 0);
    make6(&f, &vectors6[0], 6, 0, NULL);
    f.p[19] = 19;
    ck_assert_uint_eq(is_not(&f, vectors6[0].ip, VIRTIO_NET_HASH_REPORT_IPv6), 0);
    f.p[19] = 0;
    ck_assert_uint_eq(is_not(&f, vectors6[0].ports, VIRTIO_NET_HASH_REPORT_TCPv6), 0);
}
END_TEST

START_TEST(what_is_no_ip_packet_is_not_hashed)
{
    unsigned wrong = 0;
    Frame f;

    set_types(NET_RSS_HASH_TYPES);
    make4(&f, &vectors4[0], 6, 0, 0, 0);
    f.p[13] = 6; /* ARP */
    wrong += is_not(&f, 0, 0);
    make4(&f, &vectors4[0], 6, 0, 0, 0);
    f.p[14] = 0x65;
    wrong += is_not(&f, 0, 0);
    f.p[14] = 0x44; /* a header of 16 bytes */
    wrong += is_not(&f, 0, 0);
    make6(&f, &vectors6[0], 6, 0, NULL);
    f.p[14] = 0x45;
    wrong += is_not(&f, 0, 0);
    make4(&f, &vectors4[0], 6, 3, 0, 0); /* more tags than there are in practice */
    wrong += is_not(&f, 0, 0);
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(random_packets_are_read_within_their_bounds)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(21);
    unsigned wrong = 0;

    set_types(NET_RSS_HASH_TYPES);
    for (unsigned i = 0; i < 20000; i++) {
        size_t n = g_rand_int(rand) % 400;
        g_autofree uint8_t *p = g_malloc(n + !n);

        for (size_t j = 0; j < n; j++) {
            p[j] = (uint8_t)(g_rand_int(rand) % 3 ? g_rand_int(rand) & 0x7f : 0);
        }
        if (n > 20) {
            p[12] = i & 1 ? 0x08 : 0x86;
            p[13] = i & 1 ? 0x00 : 0xdd;
            p[14] = i & 1 ? 0x45 : 0x60;
            p[20] = i & 2 ? 0 : 60;
        }
        wrong += net_rss_hash(&rss, p, n).report > 9;
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

/* --- where to --- */

START_TEST(the_table_names_the_queue_and_unhashed_packets_have_their_own)
{
    NetRssConfig c = {.hash_types = TCP4, .table_len = 8, .unclassified = 5, .key_len = 40};
    unsigned wrong = 0;
    Frame f;

    memcpy(c.key, key, sizeof key);
    for (unsigned i = 0; i < 8; i++) {
        c.table[i] = (uint16_t)(7 - i);
    }
    net_rss_set(&rss, &c);
    for (unsigned i = 0; i < G_N_ELEMENTS(vectors4); i++) {
        make4(&f, &vectors4[i], 6, 0, 0, 0);
        wrong += net_rss_queue(&rss, hash(&f)) != 7 - (vectors4[i].ports & 7);
        make4(&f, &vectors4[i], 17, 0, 0, 0);
        wrong += net_rss_queue(&rss, hash(&f)) != 5;
    }
    ck_assert_uint_eq(wrong, 0);
    net_rss_reset(&rss);
    make4(&f, &vectors4[0], 6, 0, 0, 0);
    ck_assert_uint_eq(is_not(&f, 0, 0), 0);
    ck_assert_uint_eq(net_rss_queue(&rss, hash(&f)), 0);
}
END_TEST

/* --- the commands' data --- */

static size_t rss_data(uint8_t *p, uint32_t types, unsigned entries, unsigned pairs, unsigned tx,
                       unsigned key_len)
{
    size_t n = 8;

    le_store(p, types, 4);
    le_store(p + 4, entries - 1, 2);
    le_store(p + 6, pairs - 1, 2);
    for (unsigned i = 0; i < entries; i++, n += 2) {
        le_store(p + n, i % pairs, 2);
    }
    le_store(p + n, tx, 2);
    p[n + 2] = (uint8_t)key_len;
    n += 3;
    for (unsigned i = 0; i < key_len; i++) {
        p[n++] = key[i % 40];
    }
    return n;
}

START_TEST(an_rss_config_is_read_whole)
{
    uint8_t p[1000];
    size_t n = rss_data(p, NET_RSS_HASH_TYPES, 128, 4, 3, 40);
    NetRssConfig c;

    ck_assert_uint_eq(n, NET_RSS_DATA_MAX);
    ck_assert(net_rss_parse(p, n, true, 4, &c));
    ck_assert_uint_eq(c.hash_types, NET_RSS_HASH_TYPES);
    ck_assert_uint_eq(c.table_len, 128);
    ck_assert_uint_eq(c.unclassified, 3);
    ck_assert_uint_eq(c.table[127], 3);
    ck_assert_uint_eq(c.table[4], 0);
    ck_assert_uint_eq(c.tx_queues, 3);
    ck_assert_uint_eq(c.rx_queues, 4);
    ck_assert_uint_eq(c.key_len, 40);
    ck_assert_mem_eq(c.key, key, 40);
    n = rss_data(p, 0, 1, 1, 1, 0);
    ck_assert(net_rss_parse(p, n, true, 1, &c));
    ck_assert_uint_eq(c.table_len, 1);
    ck_assert_uint_eq(c.key_len, 0);
}
END_TEST

START_TEST(an_rss_config_of_any_other_length_is_refused)
{
    static const unsigned entries[] = {1, 2, 64, 128};
    NetRssConfig c = {.hash_types = 77};
    unsigned wrong = 0;
    uint8_t p[1000];

    for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
        size_t n = rss_data(p, TCP4, entries[i], 4, 4, 40);

        for (size_t len = 0; len < n + 10; len++) {
            g_autofree uint8_t *copy = g_memdup2(p, len);

            wrong += len != n && net_rss_parse(copy, len, true, 4, &c);
        }
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(c.hash_types, 77);
}
END_TEST

START_TEST(an_rss_config_with_wrong_values_is_refused)
{
    NetRssConfig c;
    uint8_t p[1000];
    size_t n;

    n = rss_data(p, NET_RSS_HASH_TYPES + 1, 4, 4, 4, 40);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* unknown hash type */
    n = rss_data(p, TCP4, 3, 4, 4, 40);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* no power of two */
    n = rss_data(p, TCP4, 256, 4, 4, 40);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* too large */
    n = rss_data(p, TCP4, 4, 4, 4, 41);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* key too long */
    n = rss_data(p, TCP4, 4, 4, 4, 0);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* no key */
    n = rss_data(p, TCP4, 4, 4, 0, 40);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* no transmit queue */
    n = rss_data(p, TCP4, 4, 4, 5, 40);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* too many */
    n = rss_data(p, TCP4, 4, 4, 4, 40);
    ck_assert(net_rss_parse(p, n, true, 4, &c));
    ck_assert(!net_rss_parse(p, n, true, 3, &c)); /* unclassified and table beyond the pairs */
    le_store(p + 6, 0x8000, 2);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* the reserved bit */
    le_store(p + 6, 0, 2);
    ck_assert(net_rss_parse(p, n, true, 4, &c));
    le_store(p + 8, 4, 2);
    ck_assert(!net_rss_parse(p, n, true, 4, &c));
    le_store(p + 4, 0xffff, 2);
    ck_assert(!net_rss_parse(p, n, true, 4, &c)); /* a mask of 64 Ki entries */
}
END_TEST

START_TEST(a_hash_config_is_read_and_says_nothing_of_queues)
{
    uint8_t p[64] = {0};
    NetRssConfig c;

    le_store(p, UDP6, 4);
    memset(p + 4, 0xa5, 8); /* reserved; Linux 6.1 puts a number of queues there */
    p[12] = 16;
    memcpy(p + 13, key, 16);
    ck_assert(net_rss_parse(p, 29, false, 1, &c));
    ck_assert_uint_eq(c.hash_types, UDP6);
    ck_assert_uint_eq(c.table_len, 1);
    ck_assert_uint_eq(c.table[0], 0);
    ck_assert_uint_eq(c.unclassified, 0);
    ck_assert_uint_eq(c.tx_queues, 0);
    ck_assert_uint_eq(c.rx_queues, 0);
    ck_assert_uint_eq(c.key_len, 16);
    for (size_t n = 0; n < 40; n++) {
        ck_assert(n == 29 || !net_rss_parse(p, n, false, 1, &c));
    }
    p[12] = 0;
    ck_assert(!net_rss_parse(p, 13, false, 1, &c));
    le_store(p, 0, 4);
    ck_assert(net_rss_parse(p, 13, false, 1, &c));
}
END_TEST

static TCase *hashes(void)
{
    TCase *tc = tcase_create("hash");

    tcase_add_test(tc, ipv4_packets_hash_to_the_published_values);
    tcase_add_test(tc, ipv6_packets_hash_to_the_published_values);
    tcase_add_test(tc, any_key_and_input_hash_as_the_definition_says);
    tcase_add_test(tc, the_enabled_types_decide_what_is_hashed);
    tcase_add_test(tc, fragments_are_hashed_without_ports);
    tcase_add_test(tc, ipv6_fragments_are_hashed_without_ports_but_for_whole_ones);
    tcase_add_test(tc, home_address_and_routing_header_take_the_place_of_the_addresses);
    tcase_add_test(tc, other_options_and_routing_headers_change_nothing);
    tcase_add_test(tc, a_chain_of_headers_without_end_is_hashed_as_far_as_it_goes);
    tcase_add_test(tc, a_packet_cut_off_anywhere_is_hashed_as_far_as_its_headers_go);
    tcase_add_test(tc, extension_headers_cut_off_anywhere_are_not_read_beyond);
    tcase_add_test(tc, padding_behind_a_packet_is_no_transport_header);
    tcase_add_test(tc, what_is_no_ip_packet_is_not_hashed);
    tcase_add_test(tc, random_packets_are_read_within_their_bounds);
    tcase_add_test(tc, the_table_names_the_queue_and_unhashed_packets_have_their_own);
    return tc;
}

int main(void)
{
    Suite *s = suite_create("virtio-net-rss");
    TCase *tc = tcase_create("commands");

    tcase_add_test(tc, an_rss_config_is_read_whole);
    tcase_add_test(tc, an_rss_config_of_any_other_length_is_refused);
    tcase_add_test(tc, an_rss_config_with_wrong_values_is_refused);
    tcase_add_test(tc, a_hash_config_is_read_and_says_nothing_of_queues);
    suite_add_tcase(s, hashes());
    suite_add_tcase(s, tc);
    return suite_run(s);
}
