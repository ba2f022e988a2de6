/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver's side of a packed ring (VIRTIO 1.4 §2.8), see fake-ring.h.
 */
#include <linux/virtio_ring.h>

#include "tests/driver/fake-ring.h"

enum {
    DESC_SIZE = 16,
    AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL,
    USED = 1 << VRING_PACKED_DESC_F_USED,
};

static void desc_write(FakeRing *r, Gpa at, uint64_t addr, uint32_t len, uint16_t id,
                       uint16_t flags)
{
    fake_mem_put(r->mem, at, addr, 8);
    fake_mem_put(r->mem, gpa_add(at, 8), len | (uint64_t)id << 32 | (uint64_t)flags << 48, 8);
}

void fake_packed_set_desc(FakeRing *r, uint16_t i, uint64_t addr, uint32_t len, uint16_t id,
                          uint16_t flags)
{
    desc_write(r, gpa_add(r->desc, (uint64_t)i * DESC_SIZE), addr, len, id, flags);
}

void fake_packed_desc(FakeRing *r, uint16_t i, uint32_t *ret_len, uint16_t *ret_id,
                      uint16_t *ret_flags)
{
    uint64_t meta = fake_mem_get(r->mem, gpa_add(r->desc, (uint64_t)i * DESC_SIZE + 8), 8);

    *ret_len = (uint32_t)meta;
    *ret_id = (uint16_t)(meta >> 32);
    *ret_flags = (uint16_t)(meta >> 48);
}

static uint16_t wrap_flags(bool wrap)
{
    return wrap ? AVAIL : USED;
}

uint16_t fake_packed_avail_flags(const FakeRing *r)
{
    return wrap_flags(r->avail_wrap);
}

void fake_packed_advance(FakeRing *r, unsigned n)
{
    for (; n > 0; n--) {
        if (++r->next_avail == r->num) {
            r->next_avail = 0;
            r->avail_wrap = !r->avail_wrap;
        }
        r->slots_unkicked++;
    }
}

static uint16_t take_id(FakeRing *r)
{
    g_assert(r->n_free > 0);
    return r->free[--r->n_free];
}

/* A list of descriptors at the next places; the first one's flags are written last (§2.8.14.1). */
static void put_list(FakeRing *r, const FakeDesc *list, unsigned n, uint16_t id)
{
    uint16_t at = r->next_avail, first_flags = 0, first = at;
    bool wrap = r->avail_wrap;

    for (unsigned i = 0; i < n; i++) {
        uint16_t flags = list[i].flags | wrap_flags(wrap);

        if (i == 0) {
            first_flags = flags;
            flags = wrap ? 0 : AVAIL | USED; /* as used in the last turn */
        }
        fake_packed_set_desc(r, at, list[i].addr, list[i].len, id, flags);
        if (++at == r->num) {
            at = 0;
            wrap = !wrap;
        }
    }
    fake_mem_put(r->mem, gpa_add(r->desc, (uint64_t)first * DESC_SIZE + 14), first_flags, 2);
    fake_packed_advance(r, n);
    r->chain_len[id] = (uint16_t)n;
}

uint16_t fake_packed_add(FakeRing *r, const FakePiece *pieces, unsigned n)
{
    FakeDesc list[FAKE_RING_MAX];
    uint16_t id = take_id(r);
    Gpa table = gpa_add(r->tables, (uint64_t)id * r->num * DESC_SIZE);

    g_assert(n <= r->num);
    for (unsigned i = 0; i < n; i++) {
        uint16_t flags = pieces[i].writable ? VRING_DESC_F_WRITE : 0;

        list[i] = (FakeDesc){.addr = pieces[i].gpa.v, .len = pieces[i].len, .flags = flags};
        if (r->indirect && n > 1) {
            desc_write(r, gpa_add(table, (uint64_t)i * DESC_SIZE), list[i].addr, list[i].len, 0,
                       flags);
        } else if (i + 1 < n) {
            list[i].flags |= VRING_DESC_F_NEXT;
        }
    }
    if (r->indirect && n > 1) {
        list[0] = (FakeDesc){.addr = table.v, .len = n * DESC_SIZE, .flags = VRING_DESC_F_INDIRECT};
        n = 1;
    }
    put_list(r, list, n, id);
    return id;
}

/* The chain that fake_ring_set_desc made, as one list. Loops and ends outside become lists without
 * end. */
void fake_packed_put(FakeRing *r, uint16_t head)
{
    FakeDesc list[FAKE_RING_MAX];
    unsigned n = 0, i = head;

    do {
        list[n] = r->raw[i % FAKE_RING_MAX];
        i = list[n].next;
    } while ((list[n++].flags & VRING_DESC_F_NEXT) && n < r->num);
    put_list(r, list, n, head % FAKE_RING_MAX);
}

void fake_packed_put_endless(FakeRing *r)
{
    FakeDesc list[FAKE_RING_MAX];

    for (unsigned i = 0; i < r->num; i++) {
        list[i] = (FakeDesc){.flags = VRING_DESC_F_NEXT};
    }
    put_list(r, list, r->num, 0);
}

/* The used descriptor at a place; false: none. */
static bool used_at(FakeRing *r, uint16_t at, bool wrap, uint16_t *ret_id, uint32_t *ret_len)
{
    uint16_t flags;

    fake_packed_desc(r, at, ret_len, ret_id, &flags);
    return (flags & (AVAIL | USED)) == (wrap ? AVAIL | USED : 0) && *ret_id < FAKE_RING_MAX &&
           r->chain_len[*ret_id] > 0;
}

static void skip(const FakeRing *r, uint16_t *at, bool *wrap, uint16_t n)
{
    unsigned next = (unsigned)*at + n;

    if (next >= r->num) {
        next -= r->num;
        *wrap = !*wrap;
    }
    *at = (uint16_t)next;
}

uint16_t fake_packed_used_count(FakeRing *r)
{
    uint16_t at = r->next_used, id, count = 0;
    bool wrap = r->used_wrap;
    uint32_t len;

    while (count < r->num && used_at(r, at, wrap, &id, &len)) {
        skip(r, &at, &wrap, r->chain_len[id]);
        count++;
    }
    return (uint16_t)(r->used_seen + count);
}

bool fake_packed_get(FakeRing *r, uint16_t *ret_id, uint32_t *ret_len)
{
    uint16_t id;
    uint32_t len;

    if (!used_at(r, r->next_used, r->used_wrap, &id, &len)) {
        return false;
    }
    skip(r, &r->next_used, &r->used_wrap, r->chain_len[id]);
    r->chain_len[id] = 0;
    r->used_seen++;
    if (r->n_free < r->num) {
        r->free[r->n_free++] = id;
    }
    if (r->event_idx) {
        fake_packed_set_event(r, r->next_used, r->used_wrap, VRING_PACKED_EVENT_FLAG_DESC);
    }
    if (ret_id) {
        *ret_id = id;
    }
    if (ret_len) {
        *ret_len = len;
    }
    return true;
}

void fake_packed_set_event(FakeRing *r, uint16_t off, bool wrap, uint16_t flags)
{
    fake_mem_put(r->mem, r->avail, off | (uint32_t)wrap << 15 | (uint32_t)flags << 16, 4);
}

void fake_packed_event(FakeRing *r, uint16_t *ret_off, bool *ret_wrap, uint16_t *ret_flags)
{
    uint32_t event = (uint32_t)fake_mem_get(r->mem, r->used, 4);

    *ret_off = event & 0x7fff;
    *ret_wrap = event >> 15 & 1;
    *ret_flags = (uint16_t)(event >> 16);
}

bool fake_packed_wants_kick(FakeRing *r)
{
    uint16_t off, flags, added = (uint16_t)r->slots_unkicked;
    bool wrap;

    r->slots_unkicked = 0;
    fake_packed_event(r, &off, &wrap, &flags);
    if (flags != VRING_PACKED_EVENT_FLAG_DESC) {
        return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
    }
    if (wrap != r->avail_wrap) {
        off = (uint16_t)(off - r->num);
    }
    return vring_need_event(off, r->next_avail, (uint16_t)(r->next_avail - added));
}
