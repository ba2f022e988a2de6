/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split ring in guest memory (VIRTIO 1.4 §2.7), with indirect tables and event indexes, and
 * with raw access to every field for tests that break the rules.
 */
#ifndef AEROSTAT_TESTS_DRIVER_FAKE_RING_H
#define AEROSTAT_TESTS_DRIVER_FAKE_RING_H

#include "core/gmem.h"

enum { FAKE_RING_MAX = 256 };

typedef struct {
    Gpa gpa;
    uint32_t len;
    bool writable;
} FakePiece;

typedef struct {
    GuestMemory *mem;
    uint16_t num;
    Gpa desc, avail, used;
    bool event_idx, indirect;
    Gpa tables;               /* num tables of num entries each, for indirect chains */
    uint16_t avail_idx, used_seen, kicked_idx;
    uint16_t free[FAKE_RING_MAX]; /* stack of free descriptors */
    unsigned n_free;
    uint16_t chain_len[FAKE_RING_MAX]; /* direct descriptors of the chain from this head */
} FakeRing;

/* Bytes that a ring of num entries takes; it begins at a page, and is laid out as legacy devices expect it with pages. */
uint64_t fake_ring_bytes(uint16_t num);
void fake_ring_init(FakeRing *r, GuestMemory *mem, Gpa at, uint16_t num, bool event_idx, bool indirect);

/* Makes a chain (in one indirect table where those are in use and there is more than one piece) and makes it
 * available. Returns its head. */
uint16_t fake_ring_add(FakeRing *r, const FakePiece *pieces, unsigned n);
/* The next used entry; false: none. Frees the chain's descriptors. */
bool fake_ring_get(FakeRing *r, uint16_t *ret_head, uint32_t *ret_len);
/* Does the device ask for a kick for what was made available since the last call? (§2.7.10) */
bool fake_ring_wants_kick(FakeRing *r);

/* --- raw --- */
void fake_ring_set_desc(FakeRing *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void fake_ring_put_avail(FakeRing *r, uint16_t head);      /* entry, then idx + 1 */
void fake_ring_set_avail_flags(FakeRing *r, uint16_t flags);
void fake_ring_set_avail_idx(FakeRing *r, uint16_t idx);
void fake_ring_set_used_event(FakeRing *r, uint16_t idx);
uint16_t fake_ring_used_flags(FakeRing *r);
uint16_t fake_ring_used_idx(FakeRing *r);
uint16_t fake_ring_avail_event(FakeRing *r);
void fake_ring_used_entry(FakeRing *r, uint16_t i, uint32_t *ret_id, uint32_t *ret_len);

/* Guest memory that must be there. */
uint64_t fake_mem_get(GuestMemory *mem, Gpa gpa, unsigned size);
void fake_mem_put(GuestMemory *mem, Gpa gpa, uint64_t value, unsigned size);

#endif
