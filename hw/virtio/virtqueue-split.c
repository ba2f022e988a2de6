/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The split ring (VIRTIO 1.4 §2.7): descriptor table, available ring (the driver's), used ring (the
 * device's), with indirect descriptors and event indexes. The legacy layout (§2.7.2) is this one at
 * fixed places; its byte order is the guest's, which is little-endian here.
 *
 * Every field of the guest's is loaded exactly once, by ring_load16 or vq_desc_load. Barriers live
 * here only, each with its partner in the driver.
 */
#include "core/code-place.h"
#include "hw/virtio/virtqueue-ring.h"

enum {
    AVAIL_FLAGS = 0,
    AVAIL_IDX = 1,
    AVAIL_RING = 2,
    USED_IDX = 2,
    USED_RING = 4,
};

typedef struct {
    uint64_t addr;
    uint32_t len;
    uint16_t flags, next;
} Desc;

static inline Desc desc_parse(VqDescWords w)
{
    return (Desc){w.addr, (uint32_t)w.rest, (uint16_t)(w.rest >> 32), (uint16_t)(w.rest >> 48)};
}

static inline uint16_t ring_load16(const uint16_t *p)
{
    return le16toh(__atomic_load_n(p, __ATOMIC_RELAXED));
}

static inline void used_store16(VirtQueue *vq, size_t off, uint16_t v)
{
    __atomic_store_n((uint16_t *)(void *)(vq->split.used + off), htole16(v), __ATOMIC_RELAXED);
}

static inline void avail_event_store(VirtQueue *vq, uint16_t v)
{
    used_store16(vq, USED_RING + (size_t)vq->num * sizeof(struct vring_used_elem), v);
    vq->split.avail_event = v;
    vq->split.avail_event_valid = true;
}

/* --- mapping --- */

static bool split_map(VirtQueue *vq)
{
    const VirtQueueSetup *setup = &vq->setup;
    uint64_t num = vq->num, event = vq->event_idx ? 2 : 0;
    VqSplit *s = &vq->split;

    if (num & (num - 1)) {
        vq_error(vq, "size %u is no power of two", (unsigned)num);
        return false;
    }
    s->desc =
        vq_map_part(vq, "descriptor table", setup->desc, num * VQ_DESC_SIZE, VRING_DESC_ALIGN_SIZE);
    if (!s->desc) {
        return false;
    }
    s->avail = (const uint16_t *)(void *)vq_map_part(vq, "available ring", setup->driver,
                                                     4 + 2 * num + event, VRING_AVAIL_ALIGN_SIZE);
    if (!s->avail) {
        return false;
    }
    s->used = vq_map_part(vq, "used ring", setup->device,
                          4 + sizeof(struct vring_used_elem) * num + event, VRING_USED_ALIGN_SIZE);
    s->mask = (uint16_t)(num - 1);
    return s->used != NULL;
}

/* --- available ring --- */

/* Reads the driver's index. False: nothing new, or broken. */
static bool split_refresh(VirtQueue *vq)
{
    VqSplit *s = &vq->split;
    /* Acquire: entries and descriptors are read after the index. Pairs with the driver's barrier
     * between filling them and moving idx (§2.7.13.3.1). */
    uint16_t idx = le16toh(__atomic_load_n(&s->avail[AVAIL_IDX], __ATOMIC_ACQUIRE));

    s->seen_avail = idx;
    if (idx == s->last_avail) {
        return false;
    }
    if (G_UNLIKELY((uint16_t)(idx - s->last_avail) > vq->num)) {
        vq_error(vq, "available index jumps from %u to %u", s->last_avail, idx);
        s->seen_avail = s->last_avail;
        return false;
    }
    return true;
}

/* Anything to pop? Before the answer is no, the driver learns from which index on kicks are wanted
 * (§2.7.10.1). */
static bool split_available(VirtQueue *vq)
{
    VqSplit *s = &vq->split;

    if (s->seen_avail != s->last_avail || split_refresh(vq)) {
        return true;
    }
    if (virtio_is_broken(vq->vdev) || !vq->event_idx || !vq->kicks_wanted ||
        (s->avail_event_valid && s->avail_event == s->last_avail)) {
        return false;
    }
    avail_event_store(vq, s->last_avail);
    /* Full: avail_event is seen before idx is read again. Pairs with the driver's barrier between
     * moving idx and reading avail_event (§2.7.13.4): one of the two sees the other's store. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return split_refresh(vq);
}

static bool split_empty(VirtQueue *vq)
{
    return !split_available(vq);
}

/* --- descriptors --- */

/* §2.7.5.3: the flag WRITE of the descriptor that refers to the table means nothing. */
static G_NO_INLINE bool split_walk_table(VirtQueue *vq, VqElem *e, VqChain c, Desc ind,
                                         unsigned left)
{
    unsigned i = 0;
    VqTable table;
    VqDescWords words;
    Desc d;

    if (ind.flags & VRING_DESC_F_NEXT) {
        vq_error(vq, "indirect descriptor with flag NEXT");
        return false;
    }
    e->n = c.n;
    if (!vq_table_open(vq, e, ind.addr, ind.len, left, &table)) {
        return false;
    }
    for (;;) {
        if (!vq_table_load(vq, &table, i, &words)) {
            return false;
        }
        d = desc_parse(words);
        if (left-- == 0 || (d.flags & VRING_DESC_F_INDIRECT)) {
            vq_error(vq, "indirect table is nested, looped, or longer than the queue");
            return false;
        }
        if (!vq_chain_add(vq, e, &c, d.addr, d.len, d.flags & VRING_DESC_F_WRITE)) {
            return false;
        }
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            return vq_chain_end(vq, e, &c);
        }
        i = d.next;
        if (i >= table.n) {
            vq_error(vq, "next %u is outside an indirect table of %u", i, table.n);
            return false;
        }
    }
}

/* Loops end because a chain has at most as many descriptors as the queue has entries. */
static bool split_walk(VirtQueue *vq, VqElem *e)
{
    unsigned left = vq->num, i = e->head;
    VqChain c = {0};
    Desc d;

    for (;;) {
        if (G_UNLIKELY(i >= vq->num)) {
            vq_error(vq, "descriptor %u is outside the table", i);
            return false;
        }
        d = desc_parse(vq_desc_load(vq->split.desc + (size_t)i * VQ_DESC_SIZE));
        if (d.flags & VRING_DESC_F_INDIRECT) {
            return split_walk_table(vq, e, c, d, left);
        }
        if (G_UNLIKELY(left-- == 0)) {
            vq_error(vq, "chain from descriptor %u is looped or longer than the queue", e->head);
            return false;
        }
        if (!vq_chain_add(vq, e, &c, d.addr, d.len, d.flags & VRING_DESC_F_WRITE)) {
            return false;
        }
        if (!(d.flags & VRING_DESC_F_NEXT)) {
            return vq_chain_end(vq, e, &c);
        }
        i = d.next;
    }
}

static VqElem *split_pop(VirtQueue *vq)
{
    CODE_PLACE(split_pop);
    VqSplit *s = &vq->split;
    VqElem *e;

    if (!split_available(vq)) {
        return NULL;
    }
    e = vq_elem_get(vq);
    if (!e) {
        return NULL;
    }
    e->head = ring_load16(&s->avail[AVAIL_RING + (s->last_avail & s->mask)]);
    if (!split_walk(vq, e)) {
        vq_elem_put(e);
        return NULL;
    }
    s->last_avail++;
    return e;
}

static void split_unpop(VirtQueue *vq, const VqElem *e)
{
    vq->split.last_avail--;
}

/* --- used ring --- */

static inline void split_fill(VirtQueue *vq, const VqElem *e)
{
    VqSplit *s = &vq->split;
    uint8_t *entry =
        s->used + USED_RING + (size_t)(s->used_idx & s->mask) * sizeof(struct vring_used_elem);

    le_store(entry, e->head | (uint64_t)e->written << 32, 8);
    s->used_idx++;
    vq->unsignalled++;
}

static inline void split_flush(VirtQueue *vq)
{
    VqSplit *s = &vq->split;

    /* Release: the buffers and the entries are there before the index. Pairs with the driver's
     * barrier between reading idx and the entries (§2.7.14). */
    __atomic_store_n((uint16_t *)(void *)(s->used + USED_IDX), htole16(s->used_idx),
                     __ATOMIC_RELEASE);
}

static void split_push(VirtQueue *vq, const VqElem *e)
{
    CODE_PLACE(split_push);
    split_fill(vq, e);
    split_flush(vq);
}

/* §2.7.7.2 (flag) and §2.7.10 (event index). */
static bool split_should_notify(VirtQueue *vq)
{
    CODE_PLACE(split_should_notify);
    VqSplit *s = &vq->split;
    uint32_t pushed = vq->unsignalled;
    uint16_t event;

    vq->unsignalled = 0;
    /* Full: used idx is seen before flags or used_event is read. Pairs with the driver's barrier
     * between asking for interrupts and looking at used idx once more. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (!vq->event_idx) {
        return !(ring_load16(&s->avail[AVAIL_FLAGS]) & VRING_AVAIL_F_NO_INTERRUPT);
    }
    event = ring_load16(&s->avail[AVAIL_RING + vq->num]);
    return pushed > UINT16_MAX ||
           vring_need_event(event, s->used_idx, (uint16_t)(s->used_idx - pushed));
}

/* With event indexes the flags stay 0 (§2.7.10.1) and an old avail_event keeps the driver quiet. */
static bool split_set_kicks(VirtQueue *vq, bool enable)
{
    if (!vq->event_idx) {
        used_store16(vq, 0, enable ? 0 : VRING_USED_F_NO_NOTIFY);
    } else if (enable) {
        avail_event_store(vq, vq->split.last_avail);
    }
    if (!enable) {
        return false;
    }
    /* Full: as in split_available. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return split_available(vq);
}

static void split_state(VirtQueue *vq, VirtQueueState *ret_state)
{
    ret_state->avail_idx = ring_load16(&vq->split.avail[AVAIL_IDX]);
    ret_state->last_avail_idx = vq->split.last_avail;
    ret_state->used_idx = vq->split.used_idx;
}

const VqRingOps vq_split_ops = {
    .map = split_map,
    .pop = split_pop,
    .unpop = split_unpop,
    .fill = split_fill,
    .flush = split_flush,
    .push = split_push,
    .empty = split_empty,
    .should_notify = split_should_notify,
    .set_kicks = split_set_kicks,
    .state = split_state,
};
