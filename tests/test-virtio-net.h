/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of test-virtio-net share: a virtio-net device on a backend of the kind "test", with a driver that sends
 * and receives.
 */
#ifndef AEROSTAT_TESTS_TEST_VIRTIO_NET_H
#define AEROSTAT_TESTS_TEST_VIRTIO_NET_H

#include <check.h>

#include "hw/virtio/virtio-net-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/net-fixture.h"

#define FEATURE(n) (UINT64_C(1) << (n))
#define BIT(name)  FEATURE(VIRTIO_NET_F_##name)

enum { RX = 0, TX = 1 };
enum { CFG_MAC = 0, CFG_STATUS = 6, CFG_PAIRS = 8, CFG_MTU = 10, CFG_SPEED = 12, CFG_DUPLEX = 16, CFG_KEY_SIZE = 17,
       CFG_TABLE = 18, CFG_HASH_TYPES = 20, CFG_END = 24 };

/* A backend "n0" with those offloads (NET_OFFLOAD_*) and queues, and a device on it, found. *ret_t may be NULL. */
FakeDriver *vnet_probe(unsigned cell, unsigned offloads, unsigned queues, const char *props, NetTest **ret_t);
/* The same, the driver up with all features. */
FakeDriver *vnet_start(unsigned cell, unsigned offloads, unsigned queues, const char *props, NetTest **ret_t);
/* Negotiates what is offered but for those features, and starts. */
void vnet_up_without(FakeDriver *d, uint64_t features);
/* One that a device is refused on: the line; g_free. */
char *vnet_error(const char *props);
bool vnet_offers(FakeDriver *d, unsigned bit);
uint64_t vnet_config(FakeDriver *d, unsigned off, unsigned size);
VirtioNet *vnet_of(FakeDriver *d);
uint64_t vnet_count(FakeDriver *d, const char *name); /* a property */
unsigned vnet_hdr_len(FakeDriver *d);

/* A frame's header as on the wire; len of vnet_hdr_len. Valid until the next call. */
const uint8_t *vnet_header(uint8_t flags, uint8_t gso_type, unsigned hdr_len, unsigned gso_size, unsigned csum_start,
                           unsigned csum_offset);
/* Makes a frame available, in pieces of that size behind the header; no kick. hdr NULL: a plain one. */
uint16_t vnet_add(FakeDriver *d, unsigned q, const uint8_t *hdr, const void *frame, size_t len, size_t piece);
/* The same, kicked; it must come back. Memory is used again. */
void vnet_send(FakeDriver *d, unsigned q, const uint8_t *hdr, const void *frame, size_t len, size_t piece);
void vnet_take_sent(FakeDriver *d, unsigned q, unsigned n); /* n come back, and no more */

/* Makes n receive buffers of len bytes available, in pieces of that size, and kicks. */
void vnet_post(FakeDriver *d, unsigned q, unsigned n, size_t len, size_t piece);
void vnet_post_one(FakeDriver *d, unsigned q, size_t len); /* no kick */
bool vnet_inject(FakeDriver *d, NetTest *t, unsigned queue, const void *frame, size_t len, NetHdr hdr);

typedef struct {
    uint8_t hdr[20];
    uint8_t frame[NET_FRAME_MAX];
    size_t len;
    unsigned buffers;
} VnetGot;

/* The next received frame. Buffers are as §5.1.6.4 says: all but the last are full, as many as num_buffers says. */
bool vnet_get(FakeDriver *d, unsigned q, VnetGot *ret_got);
unsigned vnet_hdr16(const VnetGot *g, unsigned off);
/* Injects, and the driver gets it unchanged. */
void vnet_expect(FakeDriver *d, NetTest *t, unsigned queue, unsigned rx, const void *frame, size_t len);
void vnet_pattern(uint8_t *buf, size_t len, unsigned seed);

#endif
