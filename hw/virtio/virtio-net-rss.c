/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive-side scaling, VIRTIO 1.4 §5.1.6.4.3. The Toeplitz hash is linear: the hash of an input is
 * the XOR of what each of its half bytes adds, and that is looked up: 16 values of 4 bytes are one
 * cache line.
 */
#include "hw/virtio/virtio-net-rss.h"

#include <linux/if_ether.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <string.h>

#include "core/le.h"

/* --- the commands --- */

/* Fills in what an RSS_CONFIG says of queues, from its data behind the hash types; returns its
 * length there, 0: wrong. */
static size_t parse_queues(const uint8_t *p, size_t len, unsigned n_pairs, NetRssConfig *c)
{
    unsigned mask = (unsigned)le_load(p, 2), highest;

    c->table_len = mask + 1;
    if (mask >= NET_RSS_TABLE_MAX || (mask & c->table_len) || len < 4 + 2 * c->table_len + 2) {
        return 0;
    }
    c->unclassified = (uint16_t)le_load(p + 2, 2);
    highest = c->unclassified;
    for (unsigned i = 0; i < c->table_len; i++) {
        c->table[i] = (uint16_t)le_load(p + 4 + 2 * i, 2);
        highest = c->table[i] > highest ? c->table[i] : highest;
    }
    c->tx_queues = (unsigned)le_load(p + 4 + 2 * c->table_len, 2);
    c->rx_queues = highest + 1;
    if (c->rx_queues > n_pairs || c->tx_queues < 1 || c->tx_queues > n_pairs) {
        return 0;
    }
    return 4 + 2 * c->table_len + 2;
}

/* Both commands have the same layout if HASH_CONFIG's reserved bytes are taken as a table of one
 * entry, and Linux' driver puts such values there. */
bool net_rss_parse(const uint8_t *data, size_t len, bool steer, unsigned n_pairs, NetRssConfig *ret)
{
    NetRssConfig c = {.table_len = 1};
    size_t queues = 8;

    if (len < 4 + 8 + 1) {
        return false;
    }
    c.hash_types = (uint32_t)le_load(data, 4);
    if (steer) {
        queues = parse_queues(data + 4, len - 4, n_pairs, &c);
    }
    data += 4 + queues;
    len -= 4 + queues;
    if (!queues || len < 1 || (c.hash_types & ~(uint32_t)NET_RSS_HASH_TYPES)) {
        return false;
    }
    c.key_len = data[0];
    if (c.key_len > NET_RSS_KEY_MAX || len != 1 + c.key_len || (c.hash_types && !c.key_len)) {
        return false;
    }
    memcpy(c.key, data + 1, c.key_len);
    *ret = c;
    return true;
}

/* --- the hash --- */

/* 32 bits of the key from bit at; beyond its end there are zeroes. */
static uint32_t key_window(const NetRssConfig *c, unsigned at)
{
    uint32_t v = 0;

    for (unsigned i = at; i < at + 32; i++) {
        v = v << 1 | (i < 8 * c->key_len ? (c->key[i / 8] >> (7 - i % 8)) & 1 : 0);
    }
    return v;
}

void net_rss_set(NetRss *r, const NetRssConfig *c)
{
    r->config = *c;
    for (unsigned i = 0; i < 2 * NET_RSS_INPUT_MAX; i++) {
        memset(r->part[i], 0, sizeof r->part[i]);
        for (unsigned bit = 0; bit < 4; bit++) {
            uint32_t window = key_window(c, 4 * i + bit);

            for (unsigned v = 0; v < 16; v++) {
                r->part[i][v] ^= v & (8 >> bit) ? window : 0;
            }
        }
    }
}

void net_rss_reset(NetRss *r)
{
    net_rss_set(r, &(NetRssConfig){.table_len = 1});
}

uint32_t net_rss_toeplitz(const NetRss *r, const uint8_t *input, size_t len)
{
    uint32_t high = 0, low = 0;

    for (size_t i = 0; i < len; i++) {
        high ^= r->part[2 * i][input[i] >> 4];
        low ^= r->part[2 * i + 1][input[i] & 15];
    }
    return high ^ low;
}

/* --- what of a packet is hashed --- */

enum {
    ETH_TYPE_AT = 12,
    ETH_LEN = 14,
    VLAN_LEN = 4,
    VLAN_TAGS_MAX = 2,
    IP4_LEN = 20,
    IP6_LEN = 40,
    TCP_LEN = 20,
    UDP_LEN = 8,
    EXTENSIONS_MAX = 8,
    OPTION_PAD1 = 0,
    OPTION_HOME_ADDRESS = 0xc9, /* RFC 6275 §6.3 */
    ROUTING_TYPE_2 = 2,         /* RFC 6275 §6.4 */
};

typedef struct {
    const uint8_t *p;
    size_t len;    /* bytes of the frame */
    size_t at;     /* where the next header is */
    size_t end;    /* of the IP packet, at most len */
    unsigned next; /* IPPROTO_* of what is at at */
    bool fragment, extended;
    const uint8_t *src, *dst;    /* each of addr_len bytes */
    const uint8_t *home, *route; /* what takes their place with the types of extension headers */
    unsigned addr_len;
} Packet;

static unsigned be16(const uint8_t *p)
{
    return (unsigned)p[0] << 8 | p[1];
}

/* A packet may be shorter than the frame (padding); total 0: it does not say. */
static void set_end(Packet *k, size_t total)
{
    k->end = total && total < k->len - k->at ? k->at + total : k->len;
}

static bool parse_ip4(Packet *k)
{
    const uint8_t *ip = k->p + k->at;
    size_t header;

    if (k->len - k->at < IP4_LEN || ip[0] >> 4 != 4) {
        return false;
    }
    header = 4 * (ip[0] & 15);
    if (header < IP4_LEN) {
        return false;
    }
    set_end(k, be16(ip + 2));
    k->src = ip + 12;
    k->dst = ip + 16;
    k->addr_len = 4;
    k->next = ip[9];
    k->fragment = be16(ip + 6) & 0x3fff; /* more to come, or an offset */
    k->at += header;
    return true;
}

/* The home address option among the destination options of n bytes. */
static void find_home_address(Packet *k, const uint8_t *p, size_t n)
{
    size_t i = 2;

    while (i < n) {
        if (p[i] == OPTION_PAD1) {
            i++;
            continue;
        }
        if (i + 2 > n || i + 2 + p[i + 1] > n) {
            return;
        }
        if (p[i] == OPTION_HOME_ADDRESS && p[i + 1] == 16) {
            k->home = p + i + 2;
            return;
        }
        i += 2 + p[i + 1];
    }
}

/* The extension header at at; false: it is none, or cut off. */
static bool skip_extension(Packet *k)
{
    const uint8_t *p = k->p + k->at;
    size_t n;

    switch (k->next) {
    case IPPROTO_HOPOPTS:
    case IPPROTO_ROUTING:
    case IPPROTO_FRAGMENT:
    case IPPROTO_DSTOPTS:
    case IPPROTO_AH:
    case IPPROTO_MH:
        break;
    default:
        return false;
    }
    k->extended = true;
    if (k->at + 8 > k->end) {
        return false;
    }
    n = k->next == IPPROTO_AH ? 4 * (p[1] + 2) : k->next == IPPROTO_FRAGMENT ? 8 : 8 * (p[1] + 1);
    if (k->at + n > k->end) {
        return false;
    }
    if (k->next == IPPROTO_FRAGMENT) {
        k->fragment |= (be16(p + 2) & 0xfff9) != 0;
    } else if (k->next == IPPROTO_DSTOPTS) {
        find_home_address(k, p, n);
    } else if (k->next == IPPROTO_ROUTING && p[2] == ROUTING_TYPE_2 && n == 24) {
        k->route = p + 8;
    }
    k->next = p[0];
    k->at += n;
    return true;
}

static bool parse_ip6(Packet *k)
{
    const uint8_t *ip = k->p + k->at;
    unsigned payload;

    if (k->len - k->at < IP6_LEN || ip[0] >> 4 != 6) {
        return false;
    }
    payload = be16(ip + 4);
    set_end(k, payload ? IP6_LEN + payload : 0);
    k->src = k->home = ip + 8;
    k->dst = k->route = ip + 24;
    k->addr_len = 16;
    k->next = ip[6];
    k->at += IP6_LEN;
    for (unsigned i = 0; i < EXTENSIONS_MAX && !k->fragment && skip_extension(k); i++) {
    }
    return true;
}

/* The kind of hash for a packet: IP, TCP or UDP of a family of three types that begins at first. */
static unsigned pick(const Packet *k, uint32_t types, unsigned first)
{
    size_t left = k->end > k->at ? k->end - k->at : 0;

    if (!k->fragment && k->next == IPPROTO_TCP && left >= TCP_LEN && (types & (first << 1))) {
        return first << 1;
    }
    if (!k->fragment && k->next == IPPROTO_UDP && left >= UDP_LEN && (types & (first << 2))) {
        return first << 2;
    }
    return types & first;
}

static NetHash hash_of(const NetRss *r, const Packet *k, unsigned type, unsigned ip_types)
{
    uint8_t input[NET_RSS_INPUT_MAX];
    size_t n = 2 * k->addr_len;
    NetHash h = {0};

    if (!type) {
        return h;
    }
    memcpy(input, k->src, k->addr_len);
    memcpy(input + k->addr_len, k->dst, k->addr_len);
    if (!(type & ip_types)) {
        memcpy(input + n, k->p + k->at, 4); /* both ports */
        n += 4;
    }
    h.value = net_rss_toeplitz(r, input, n);
    h.report = (uint8_t)__builtin_ffs((int)type); /* type is 1 << (report - 1) */
    return h;
}

static NetHash hash_ip6(const NetRss *r, Packet *k, uint32_t types)
{
    unsigned type = k->extended ? pick(k, types, VIRTIO_NET_RSS_HASH_TYPE_IP_EX) : 0;

    if (type) {
        k->src = k->home;
        k->dst = k->route;
    } else {
        type = pick(k, types, VIRTIO_NET_RSS_HASH_TYPE_IPv6);
    }
    return hash_of(r, k, type, VIRTIO_NET_RSS_HASH_TYPE_IPv6 | VIRTIO_NET_RSS_HASH_TYPE_IP_EX);
}

NetHash net_rss_hash(const NetRss *r, const uint8_t *frame, size_t len)
{
    uint32_t types = r->config.hash_types;
    Packet k = {.p = frame, .len = len < NET_RSS_HEAD ? len : NET_RSS_HEAD, .at = ETH_TYPE_AT};
    unsigned ether;

    if (!types || len < ETH_LEN) {
        return (NetHash){0};
    }
    ether = be16(frame + k.at);
    for (unsigned i = 0; i < VLAN_TAGS_MAX && (ether == ETH_P_8021Q || ether == ETH_P_8021AD);
         i++) {
        k.at += VLAN_LEN;
        if (k.at + 2 > k.len) {
            return (NetHash){0};
        }
        ether = be16(frame + k.at);
    }
    k.at += 2;
    if (ether == ETH_P_IP && parse_ip4(&k)) {
        return hash_of(r, &k, pick(&k, types, VIRTIO_NET_RSS_HASH_TYPE_IPv4),
                       VIRTIO_NET_RSS_HASH_TYPE_IPv4);
    }
    if (ether == ETH_P_IPV6 && parse_ip6(&k)) {
        return hash_ip6(r, &k, types);
    }
    return (NetHash){0};
}
