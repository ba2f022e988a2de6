/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a split ring, and what both formats share, see fake-ring.h.
 */
#include <linux/virtio_ring.h>

#include "core/le.h"
#include "tests/driver/fake-ring.h"

enum { DESC_SIZE = 16, PAGE = 4096 };

uint64_t fake_mem_get(GuestMemory *mem, Gpa gpa, unsigned size)
{
    uint8_t bytes[8] = {0};

    if (!gmem_read(mem, gpa, bytes, size)) {
        g_error("guest memory at 0x%" G_GINT64_MODIFIER "x is not there", gpa.v);
    }
    return le_load(bytes, 8);
}

void fake_mem_put(GuestMemory *mem, Gpa gpa, uint64_t value, unsigned size)
{
    uint8_t bytes[8];

    le_store(bytes, value, 8);
    if (!gmem_write(mem, gpa, bytes, size)) {
        g_error("guest memory at 0x%" G_GINT64_MODIFIER "x is not there", gpa.v);
    }
}

static uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static uint64_t tables_off(uint16_t num)
{
    return page_up(DESC_SIZE * num + 6 + 2 * num) + page_up(6 + 8 * num);
}

uint64_t fake_ring_bytes(uint16_t num)
{
    return tables_off(num) + page_up((uint64_t)num * num * DESC_SIZE);
}

void fake_ring_init(FakeRing *r, GuestMemory *mem, Gpa at, uint16_t num, bool event_idx,
                    bool indirect)
{
    g_assert(num <= FAKE_RING_MAX);
    *r = (FakeRing){
        .mem = mem, .num = num, .desc = at, .event_idx = event_idx, .indirect = indirect};
    r->avail = gpa_add(r->desc, DESC_SIZE * num);
    r->used = gpa_add(r->desc, page_up(DESC_SIZE * num + 6 + 2 * num));
    r->tables = gpa_add(at, tables_off(num));
    g_assert(gmem_set(mem, at, 0, fake_ring_bytes(num)));
    for (uint16_t i = num; i > 0; i--) {
        r->free[r->n_free++] = i - 1;
    }
}

void fake_ring_init_packed(FakeRing *r, GuestMemory *mem, Gpa at, uint16_t num, bool event_idx,
                           bool indirect)
{
    fake_ring_init(r, mem, at, num, event_idx, indirect);
    r->packed = r->avail_wrap = r->used_wrap = true;
}

static void desc_write(FakeRing *r, Gpa at, uint64_t addr, uint32_t len, uint16_t flags,
                       uint16_t next)
{
    fake_mem_put(r->mem, at, addr, 8);
    fake_mem_put(r->mem, gpa_add(at, 8), len | (uint64_t)flags << 32 | (uint64_t)next << 48, 8);
}

void fake_ring_set_desc(FakeRing *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t flags,
                        uint16_t next)
{
    r->raw[i % FAKE_RING_MAX] = (FakeDesc){addr, len, flags, next};
    if (!r->packed) {
        desc_write(r, gpa_add(r->desc, (uint64_t)i * DESC_SIZE), addr, len, flags, next);
    }
}

static uint16_t take_desc(FakeRing *r)
{
    g_assert(r->n_free > 0);
    return r->free[--r->n_free];
}

static uint16_t piece_flags(const FakePiece *p, bool last)
{
    return (p->writable ? VRING_DESC_F_WRITE : 0) | (last ? 0 : VRING_DESC_F_NEXT);
}

static uint16_t add_indirect(FakeRing *r, const FakePiece *pieces, unsigned n)
{
    uint16_t head = take_desc(r);
    Gpa table = gpa_add(r->tables, (uint64_t)head * r->num * DESC_SIZE);

    g_assert(n <= r->num);
    for (unsigned i = 0; i < n; i++) {
        desc_write(r, gpa_add(table, (uint64_t)i * DESC_SIZE), pieces[i].gpa.v, pieces[i].len,
                   piece_flags(&pieces[i], i + 1 == n), (uint16_t)(i + 1));
    }
    fake_ring_set_desc(r, head, table.v, n * DESC_SIZE, VRING_DESC_F_INDIRECT, 0);
    r->chain_len[head] = 1;
    return head;
}

static uint16_t add_direct(FakeRing *r, const FakePiece *pieces, unsigned n)
{
    uint16_t head = take_desc(r), at = head;

    for (unsigned i = 0; i < n; i++) {
        bool last = i + 1 == n;
        uint16_t next = last ? 0 : take_desc(r);

        fake_ring_set_desc(r, at, pieces[i].gpa.v, pieces[i].len, piece_flags(&pieces[i], last),
                           next);
        at = next;
    }
    r->chain_len[head] = (uint16_t)n;
    return head;
}

uint16_t fake_ring_add(FakeRing *r, const FakePiece *pieces, unsigned n)
{
    uint16_t head;

    if (r->packed) {
        return fake_packed_add(r, pieces, n);
    }
    head = r->indirect && n > 1 ? add_indirect(r, pieces, n) : add_direct(r, pieces, n);
    fake_ring_put_avail(r, head);
    return head;
}

void fake_ring_put_avail(FakeRing *r, uint16_t head)
{
    if (r->packed) {
        fake_packed_put(r, head);
        return;
    }
    fake_mem_put(r->mem, gpa_add(r->avail, 4 + 2u * (r->avail_idx % r->num)), head, 2);
    fake_ring_set_avail_idx(r, r->avail_idx + 1);
}

void fake_ring_set_avail_idx(FakeRing *r, uint16_t idx)
{
    if (r->packed) {
        fake_packed_put_endless(r);
        return;
    }
    r->avail_idx = idx;
    fake_mem_put(r->mem, gpa_add(r->avail, 2), idx, 2);
}

void fake_ring_set_avail_flags(FakeRing *r, uint16_t flags)
{
    fake_mem_put(r->mem, r->packed ? gpa_add(r->avail, 2) : r->avail, flags, 2);
}

void fake_ring_set_used_event(FakeRing *r, uint16_t idx)
{
    if (r->packed) {
        fake_packed_set_event(r, idx % r->num, !(idx / r->num & 1), VRING_PACKED_EVENT_FLAG_DESC);
        return;
    }
    fake_mem_put(r->mem, gpa_add(r->avail, 4 + 2u * r->num), idx, 2);
}

uint16_t fake_ring_used_flags(FakeRing *r)
{
    return (uint16_t)fake_mem_get(r->mem, r->packed ? gpa_add(r->used, 2) : r->used, 2);
}

uint16_t fake_ring_used_idx(FakeRing *r)
{
    return r->packed ? fake_packed_used_count(r)
                     : (uint16_t)fake_mem_get(r->mem, gpa_add(r->used, 2), 2);
}

uint16_t fake_ring_avail_event(FakeRing *r)
{
    return (uint16_t)fake_mem_get(r->mem, gpa_add(r->used, 4 + 8u * r->num), 2);
}

void fake_ring_used_entry(FakeRing *r, uint16_t i, uint32_t *ret_id, uint32_t *ret_len)
{
    uint64_t entry = fake_mem_get(r->mem, gpa_add(r->used, 4 + 8u * (i % r->num)), 8);

    *ret_id = (uint32_t)entry;
    *ret_len = (uint32_t)(entry >> 32);
}

/* Follows the direct chain from head and frees its descriptors. */
static void free_chain(FakeRing *r, uint16_t head)
{
    uint16_t at = head;

    for (unsigned left = r->chain_len[head]; left > 0; left--) {
        r->free[r->n_free++] = at;
        at = (uint16_t)fake_mem_get(r->mem, gpa_add(r->desc, at * (uint64_t)DESC_SIZE + 14), 2);
    }
    r->chain_len[head] = 0;
}

bool fake_ring_get(FakeRing *r, uint16_t *ret_head, uint32_t *ret_len)
{
    uint32_t id, len;

    if (r->packed) {
        return fake_packed_get(r, ret_head, ret_len);
    }
    if (fake_ring_used_idx(r) == r->used_seen) {
        return false;
    }
    fake_ring_used_entry(r, r->used_seen++, &id, &len);
    g_assert(id < r->num);
    free_chain(r, (uint16_t)id);
    if (r->event_idx) {
        fake_ring_set_used_event(r, r->used_seen);
    }
    if (ret_head) {
        *ret_head = (uint16_t)id;
    }
    if (ret_len) {
        *ret_len = len;
    }
    return true;
}

bool fake_ring_wants_kick(FakeRing *r)
{
    uint16_t old = r->kicked_idx;

    if (r->packed) {
        return fake_packed_wants_kick(r);
    }
    r->kicked_idx = r->avail_idx;
    if (r->event_idx) {
        return vring_need_event(fake_ring_avail_event(r), r->avail_idx, old);
    }
    return !(fake_ring_used_flags(r) & VRING_USED_F_NO_NOTIFY);
}

uint16_t fake_ring_next(const FakeRing *r)
{
    return r->packed ? (uint16_t)(r->next_avail | r->avail_wrap << 15) : r->avail_idx;
}
