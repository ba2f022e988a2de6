/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Receive-side scaling (VIRTIO 1.4 §5.1.6.4.3, §5.1.6.5.7): the Toeplitz hash of a packet, what kind of hash it is, and
 * the queue that it leads to. No device, no guest memory. Hashes of tunnelled packets are those of the outer headers.
 *
 * Threads: none of its own; changed while no queue is served, read by all.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_NET_RSS_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_NET_RSS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NET_RSS_KEY_MAX = 40,        /* bytes: rss_max_key_size */
    NET_RSS_TABLE_MAX = 128,     /* entries: rss_max_indirection_table_length */
    NET_RSS_HASH_TYPES = 0x1ff,  /* supported_hash_types: VIRTIO_NET_RSS_HASH_TYPE_* */
    NET_RSS_HEAD = 256,          /* bytes of a frame that are looked at */
    NET_RSS_INPUT_MAX = 36,      /* bytes that are hashed: two IPv6 addresses, two ports */
};

/* What VIRTIO_NET_CTRL_MQ_RSS_CONFIG and _HASH_CONFIG say, in host byte order and checked. */
typedef struct {
    uint32_t hash_types;
    unsigned table_len;          /* entries, a power of two; 1 with _HASH_CONFIG */
    uint16_t unclassified;       /* receive queues, counted from 0 */
    uint16_t table[NET_RSS_TABLE_MAX];
    unsigned tx_queues;          /* max_tx_vq: 1 or more; 0 with _HASH_CONFIG, which says nothing of queues */
    unsigned rx_queues;          /* one more than the highest in table and unclassified; 0 with _HASH_CONFIG */
    unsigned key_len;
    uint8_t key[NET_RSS_KEY_MAX];
} NetRssConfig;

/*
 * Reads the command's data of len bytes. steer: _RSS_CONFIG, else _HASH_CONFIG. False, ret untouched: too short or too
 * long, an unknown hash type, a table that is too large or no power of two, a queue that is not one of n_pairs, hash
 * types without a key, a key that is too long.
 */
bool net_rss_parse(const uint8_t *data, size_t len, bool steer, unsigned n_pairs, NetRssConfig *ret);
/* The most that a valid command's data can have. */
enum { NET_RSS_DATA_MAX = 8 + 2 * NET_RSS_TABLE_MAX + 3 + NET_RSS_KEY_MAX };

typedef struct {
    NetRssConfig config;
    /* For each half byte of the input, high half first, and each value of it: what it adds to the hash. */
    uint32_t part[2 * NET_RSS_INPUT_MAX][16];
} NetRss;

/* No hash types, one queue: what a reset makes of it. */
void net_rss_reset(NetRss *r);
void net_rss_set(NetRss *r, const NetRssConfig *c); /* a key shorter than NET_RSS_KEY_MAX is filled up with zeroes */

typedef struct {
    uint32_t value;
    uint8_t report;              /* VIRTIO_NET_HASH_REPORT_*; NONE (0): not hashed, value 0 */
} NetHash;

/*
 * The hash of a frame; frame: its first len bytes, at least NET_RSS_HEAD if it has so many. Fragments have no ports,
 * nor do packets cut off before the end of a transport header.
 */
NetHash net_rss_hash(const NetRss *r, const uint8_t *frame, size_t len);

/* The receive queue, counted from 0, for a frame of that hash. */
static inline unsigned net_rss_queue(const NetRss *r, NetHash h)
{
    return h.report ? r->config.table[h.value & (r->config.table_len - 1)] : r->config.unclassified;
}

/* The hash of input of up to NET_RSS_INPUT_MAX bytes. */
uint32_t net_rss_toeplitz(const NetRss *r, const uint8_t *input, size_t len);

#endif
