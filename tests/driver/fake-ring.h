/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a ring in guest memory, split (VIRTIO 1.4 §2.7) or packed (§2.8), with indirect tables and event
 * indexes, and with raw access to every field for tests that break the rules. Raw access speaks of split rings; on a
 * packed one it does what comes closest, so that one test of a device's bad input serves both.
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
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} FakeDesc;

typedef struct {
    GuestMemory *mem;
    uint16_t num;
    Gpa desc, avail, used;    /* the areas of descriptors, driver and device */
    bool packed, event_idx, indirect;
    Gpa tables;               /* num tables of num entries each, for indirect chains */
    uint16_t avail_idx, used_seen, kicked_idx;
    uint16_t free[FAKE_RING_MAX]; /* stack of free descriptors */
    unsigned n_free;
    uint16_t chain_len[FAKE_RING_MAX]; /* direct descriptors of the chain from this head (packed: with this id) */
    /* packed */
    uint16_t next_avail, next_used;
    bool avail_wrap, used_wrap;
    unsigned slots_unkicked;  /* made available since fake_ring_wants_kick */
    FakeDesc raw[FAKE_RING_MAX]; /* as fake_ring_set_desc left them */
} FakeRing;

/* Bytes that a ring of num entries takes; it begins at a page, and is laid out as legacy devices expect it with pages. */
uint64_t fake_ring_bytes(uint16_t num);
void fake_ring_init(FakeRing *r, GuestMemory *mem, Gpa at, uint16_t num, bool event_idx, bool indirect);
void fake_ring_init_packed(FakeRing *r, GuestMemory *mem, Gpa at, uint16_t num, bool event_idx, bool indirect);

/* Makes a chain (in one indirect table where those are in use and there is more than one piece) and makes it
 * available. Returns its head. */
uint16_t fake_ring_add(FakeRing *r, const FakePiece *pieces, unsigned n);
/* The next used entry; false: none. Frees the chain's descriptors. */
bool fake_ring_get(FakeRing *r, uint16_t *ret_head, uint32_t *ret_len);
/* Does the device ask for a kick for what was made available since the last call? (§2.7.10) */
bool fake_ring_wants_kick(FakeRing *r);

/* The place of the next buffer, as VIRTIO_F_NOTIFICATION_DATA tells it. */
uint16_t fake_ring_next(const FakeRing *r);

/* --- raw; on a packed ring fake_ring_put_avail writes the chain of descriptors set into the next places, heads are
 * buffer ids, setting avail_idx makes a list without end, used_idx counts used buffers, and used_event counts them
 * where each has one descriptor --- */
void fake_ring_set_desc(FakeRing *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags, uint16_t next);
void fake_ring_put_avail(FakeRing *r, uint16_t head);      /* entry, then idx + 1 */
void fake_ring_set_avail_flags(FakeRing *r, uint16_t flags);
void fake_ring_set_avail_idx(FakeRing *r, uint16_t idx);
void fake_ring_set_used_event(FakeRing *r, uint16_t idx);
uint16_t fake_ring_used_flags(FakeRing *r);
uint16_t fake_ring_used_idx(FakeRing *r);
uint16_t fake_ring_avail_event(FakeRing *r);
void fake_ring_used_entry(FakeRing *r, uint16_t i, uint32_t *ret_id, uint32_t *ret_len);

/* --- raw, packed --- */
void fake_packed_set_desc(FakeRing *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t id, uint16_t flags);
uint16_t fake_packed_avail_flags(const FakeRing *r); /* AVAIL and USED of the next descriptor made available */
void fake_packed_advance(FakeRing *r, unsigned n);   /* n descriptors were made available by hand */
void fake_packed_desc(FakeRing *r, uint16_t i, uint32_t *ret_len, uint16_t *ret_id, uint16_t *ret_flags);
void fake_packed_set_event(FakeRing *r, uint16_t off, bool wrap, uint16_t flags); /* the driver's structure */
void fake_packed_event(FakeRing *r, uint16_t *ret_off, bool *ret_wrap, uint16_t *ret_flags); /* the device's */

/* --- fake-ring-packed.c's part of the functions above --- */
uint16_t fake_packed_add(FakeRing *r, const FakePiece *pieces, unsigned n);
void fake_packed_put(FakeRing *r, uint16_t head);
void fake_packed_put_endless(FakeRing *r);
bool fake_packed_get(FakeRing *r, uint16_t *ret_id, uint32_t *ret_len);
bool fake_packed_wants_kick(FakeRing *r);
uint16_t fake_packed_used_count(FakeRing *r);

/* Guest memory that must be there. */
uint64_t fake_mem_get(GuestMemory *mem, Gpa gpa, unsigned size);
void fake_mem_put(GuestMemory *mem, Gpa gpa, uint64_t value, unsigned size);

#endif
