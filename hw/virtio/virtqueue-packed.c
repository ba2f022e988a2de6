/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The packed ring (VIRTIO 1.4 §2.8): one ring of descriptors that the driver makes available and
 * the device overwrites as used, a wrap counter for each side, and two event suppression
 * structures. Any size up to 32768. Left out: one used descriptor for a batch, which
 * VIRTIO_F_IN_ORDER allows.
 *
 * The second word of a descriptor (length, id, flags) is loaded and stored whole, so that each
 * field of the guest's is read once and a used descriptor appears at once. Barriers live here only,
 * each with its partner in the driver.
 */
#include "core/code-place.h"
#include "hw/virtio/virtqueue-ring.h"

enum {
    DESC_AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL,
    DESC_USED = 1 << VRING_PACKED_DESC_F_USED,
    EVENT_ALIGN = 4,
    EVENT_FLAGS_SHIFT = 16, /* in a suppression structure: offset and wrap counter below */
    EVENT_FLAGS_MASK = 3,
};

/* In the second word of a descriptor: len, id << 32, flags << 48. */
#define META_FLAGS(flags) ((uint64_t)(flags) << 48)
#define META_TURN         META_FLAGS(DESC_AVAIL | DESC_USED)

static inline uint16_t meta_flags(uint64_t meta)
{
    return (uint16_t)(meta >> 48);
}

static inline uint16_t meta_id(uint64_t meta)
{
    return (uint16_t)(meta >> 32);
}

static inline uint64_t *meta_place(VirtQueue *vq, unsigned i)
{
    return (uint64_t *)(void *)(vq->packed.desc + (size_t)i * VQ_DESC_SIZE + 8);
}

static bool packed_map(VirtQueue *vq)
{
    const VirtQueueSetup *setup = &vq->setup;
    VqPacked *p = &vq->packed;

    if (!vq->ready) {
        p->avail_turn = META_FLAGS(DESC_AVAIL); /* §2.8.1: both counters begin with 1 */
        p->used_turn = META_TURN;
    }
    p->desc = vq_map_part(vq, "descriptor ring", setup->desc, (uint64_t)vq->num * VQ_DESC_SIZE,
                          VQ_DESC_SIZE);
    if (!p->desc) {
        return false;
    }
    p->driver_event =
        (uint32_t *)(void *)vq_map_part(vq, "driver event suppression structure", setup->driver,
                                        sizeof(struct vring_packed_desc_event), EVENT_ALIGN);
    if (!p->driver_event) {
        return false;
    }
    p->device_event =
        (uint32_t *)(void *)vq_map_part(vq, "device event suppression structure", setup->device,
                                        sizeof(struct vring_packed_desc_event), EVENT_ALIGN);
    return p->device_event != NULL;
}

/* --- available descriptors --- */

static inline bool avail_wrap(const VqPacked *p)
{
    return p->avail_turn == META_FLAGS(DESC_AVAIL);
}

static inline bool used_wrap(const VqPacked *p)
{
    return p->used_turn != 0;
}

/* Moves a place in the ring n descriptors on, n <= num. */
static inline void ring_advance(const VirtQueue *vq, uint16_t *pos, uint64_t *turn, unsigned n)
{
    unsigned next = *pos + n;

    if (next >= vq->num) {
        next -= vq->num;
        *turn ^= META_TURN;
    }
    *pos = (uint16_t)next;
}

/* The second word of the next descriptor, and whether that one is available (§2.8.1). */
static inline uint64_t packed_look(VirtQueue *vq)
{
    /* Acquire: the address, the rest of the list and the buffers are read after the flags. Pairs
     * with the driver's barrier before it sets the flags of a list's first descriptor (§2.8.14.1).
     */
    return le64toh(__atomic_load_n(meta_place(vq, vq->packed.next_avail), __ATOMIC_ACQUIRE));
}

static inline bool is_available(const VirtQueue *vq, uint64_t meta)
{
    return (meta & META_TURN) == vq->packed.avail_turn;
}

/* What the device event structure should say now. */
static uint32_t event_wanted(const VirtQueue *vq)
{
    const VqPacked *p = &vq->packed;

    if (!vq->kicks_wanted) {
        return (uint32_t)VRING_PACKED_EVENT_FLAG_DISABLE << EVENT_FLAGS_SHIFT;
    }
    if (!vq->event_idx) {
        return (uint32_t)VRING_PACKED_EVENT_FLAG_ENABLE << EVENT_FLAGS_SHIFT;
    }
    return p->next_avail | (uint32_t)avail_wrap(p) << VRING_PACKED_EVENT_F_WRAP_CTR |
           (uint32_t)VRING_PACKED_EVENT_FLAG_DESC << EVENT_FLAGS_SHIFT;
}

/* False: it says so already. */
static bool event_store(VirtQueue *vq)
{
    VqPacked *p = &vq->packed;
    uint32_t event = event_wanted(vq);

    if (p->event_valid && p->event == event) {
        return false;
    }
    __atomic_store_n(p->device_event, htole32(event), __ATOMIC_RELAXED);
    p->event = event;
    p->event_valid = true;
    return true;
}

/* Nothing is available. Before the answer is no, the driver learns from which descriptor on kicks
 * are wanted (§2.8.10); then the next descriptor is looked at once more. */
static uint64_t packed_look_again(VirtQueue *vq, uint64_t meta)
{
    if (!vq->kicks_wanted || !event_store(vq)) {
        return meta;
    }
    /* Full: the event structure is seen before the flags are read again. Pairs with the driver's
     * barrier between setting the flags and reading the structure (§2.8.14.2): one of the two sees
     * the other's store. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return packed_look(vq);
}

static bool packed_empty(VirtQueue *vq)
{
    uint64_t meta = packed_look(vq);

    return !is_available(vq, meta) && !is_available(vq, packed_look_again(vq, meta));
}

/* §2.8.7: only the flag WRITE counts in a table, and its entries follow one another. */
static G_NO_INLINE bool packed_walk_table(VirtQueue *vq, VqElem *e, uint64_t addr, uint32_t len)
{
    VqChain c = {0};
    VqTable table;
    VqDescWords words;

    e->n = 0;
    if (!vq_table_open(vq, e, addr, len, vq->num, &table)) {
        return false;
    }
    if (table.n > vq->num) {
        vq_error(vq, "indirect table of %u is longer than the queue", table.n);
        return false;
    }
    for (unsigned i = 0; i < table.n; i++) {
        if (!vq_table_load(vq, &table, i, &words) ||
            !vq_chain_add(vq, e, &c, words.addr, (uint32_t)words.rest,
                          meta_flags(words.rest) & VRING_DESC_F_WRITE)) {
            return false;
        }
    }
    return vq_chain_end(vq, e, &c);
}

static G_NO_INLINE bool list_too_long(VirtQueue *vq)
{
    vq_error(vq, "list at descriptor %u is longer than the ring has room", vq->packed.next_avail);
    return false;
}

/* The list that begins with meta at next_avail. It ends because it has no more descriptors than the
 * ring has free of those that are in flight. */
static inline bool packed_walk(VirtQueue *vq, VqElem *e, uint64_t meta)
{
    const VqPacked *p = &vq->packed;
    const uint8_t *first = p->desc + (size_t)p->next_avail * VQ_DESC_SIZE, *d = first;
    unsigned free = vq->num - p->slots_out, to_end = vq->num - p->next_avail;
    unsigned run = MIN(free, to_end),
             total = run; /* descriptors before there is something to decide */
    VqChain c = {0};

    if (G_UNLIKELY(run == 0)) {
        return list_too_long(vq);
    }
    for (;;) {
        uint64_t addr = vq_desc_load_addr(d);
        uint16_t flags = meta_flags(meta);

        if (G_UNLIKELY(flags & VRING_DESC_F_INDIRECT)) {
            if (d != first || (flags & VRING_DESC_F_NEXT)) {
                vq_error(vq, "indirect descriptor in a list");
                return false;
            }
            e->head = meta_id(meta);
            e->slots = 1;
            return packed_walk_table(vq, e, addr, (uint32_t)meta);
        }
        if (!vq_chain_add(vq, e, &c, addr, (uint32_t)meta, flags & VRING_DESC_F_WRITE)) {
            return false;
        }
        if (!(flags & VRING_DESC_F_NEXT)) {
            break;
        }
        d += VQ_DESC_SIZE;
        if (G_UNLIKELY(--run == 0)) {
            if (free <= to_end) {
                return list_too_long(vq);
            }
            d = p->desc; /* over the end of the ring, which happens once */
            run = free - to_end;
            to_end = total = free;
        }
        meta = le64toh(__atomic_load_n((const uint64_t *)(const void *)(d + 8), __ATOMIC_RELAXED));
    }
    e->head = meta_id(meta); /* the last one tells */
    e->slots = (uint16_t)(total - run + 1);
    return vq_chain_end(vq, e, &c);
}

static VqElem *packed_pop(VirtQueue *vq)
{
    CODE_PLACE(packed_pop);
    VqPacked *p = &vq->packed;
    uint64_t meta = packed_look(vq);
    VqElem *e;

    if (G_UNLIKELY(!is_available(vq, meta))) {
        meta = packed_look_again(vq, meta);
        if (!is_available(vq, meta)) {
            return NULL;
        }
    }
    e = vq_elem_get(vq);
    if (!e) {
        return NULL;
    }
    if (!packed_walk(vq, e, meta)) {
        vq_elem_put(e);
        return NULL;
    }
    ring_advance(vq, &p->next_avail, &p->avail_turn, e->slots);
    p->slots_out += e->slots;
    return e;
}

static void packed_unpop(VirtQueue *vq, const VqElem *e)
{
    VqPacked *p = &vq->packed;

    if (p->next_avail < e->slots) {
        p->next_avail = (uint16_t)(p->next_avail + vq->num);
        p->avail_turn ^= META_TURN;
    }
    p->next_avail = (uint16_t)(p->next_avail - e->slots);
    p->slots_out -= e->slots;
}

/* --- used descriptors --- */

/* One used descriptor stands for the list; the rest of its descriptors are skipped (§2.8.6). Its
 * second word. */
static inline uint64_t used_meta(const VirtQueue *vq, const VqElem *e)
{
    return e->written | (uint64_t)e->head << 32 | vq->packed.used_turn |
           (e->written > 0 ? META_FLAGS(VRING_DESC_F_WRITE) : 0);
}

/* Release: the buffers, and what was filled at later places, are there before the flags. Pairs with
 * the driver's barrier between reading the flags and the rest (§2.8.15). */
static inline void used_store(VirtQueue *vq, unsigned at, uint64_t meta)
{
    __atomic_store_n(meta_place(vq, at), htole64(meta), __ATOMIC_RELEASE);
}

static inline void used_advance(VirtQueue *vq, const VqElem *e)
{
    VqPacked *p = &vq->packed;

    ring_advance(vq, &p->next_used, &p->used_turn, e->slots);
    p->slots_out -= e->slots;
    vq->unsignalled += e->slots;
}

/* The driver reads the ring in order: as long as the first descriptor is held back it sees none. */
static void packed_fill(VirtQueue *vq, const VqElem *e)
{
    VqPacked *p = &vq->packed;
    uint64_t meta = used_meta(vq, e);

    if (vq->filled == 0) {
        p->held_at = p->next_used;
        p->held = meta;
    } else {
        used_store(vq, p->next_used, meta);
    }
    used_advance(vq, e);
}

static void packed_flush(VirtQueue *vq)
{
    used_store(vq, vq->packed.held_at, vq->packed.held);
}

static void packed_push(VirtQueue *vq, const VqElem *e)
{
    CODE_PLACE(packed_push);
    used_store(vq, vq->packed.next_used, used_meta(vq, e));
    used_advance(vq, e);
}

/* §2.8.10: was the descriptor that the driver names among the last `used` ones? */
static bool event_passed(const VirtQueue *vq, uint16_t off_wrap, uint32_t used)
{
    const VqPacked *p = &vq->packed;
    int off = off_wrap & ((1 << VRING_PACKED_EVENT_F_WRAP_CTR) - 1);
    bool wrap = off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR;
    int back = p->next_used - off + (wrap == used_wrap(p) ? 0 : vq->num);

    if (back <= 0) { /* it lies ahead: the last time was a whole turn of both wrap values ago */
        back += 2 * vq->num;
    }
    return used >= (uint32_t)back;
}

static bool packed_should_notify(VirtQueue *vq)
{
    CODE_PLACE(packed_should_notify);
    uint32_t used = vq->unsignalled, event;
    unsigned flags;

    vq->unsignalled = 0;
    /* Full: used descriptors are seen before the event structure is read. Pairs with the driver's
     * barrier between asking for interrupts and looking at the descriptor once more. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    event = le32toh(__atomic_load_n(vq->packed.driver_event, __ATOMIC_RELAXED));
    flags = event >> EVENT_FLAGS_SHIFT & EVENT_FLAGS_MASK;
    if (flags == VRING_PACKED_EVENT_FLAG_DESC && vq->event_idx) {
        return event_passed(vq, (uint16_t)event, used);
    }
    return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
}

static bool packed_set_kicks(VirtQueue *vq, bool enable)
{
    event_store(vq);
    if (!enable) {
        return false;
    }
    /* Full: as in packed_look_again. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return !packed_empty(vq);
}

static void packed_state(VirtQueue *vq, VirtQueueState *ret_state)
{
    const VqPacked *p = &vq->packed;

    ret_state->last_avail_idx =
        (uint16_t)(p->next_avail | avail_wrap(p) << VRING_PACKED_EVENT_F_WRAP_CTR);
    ret_state->avail_idx = ret_state->last_avail_idx; /* the ring does not tell */
    ret_state->used_idx = (uint16_t)(p->next_used | used_wrap(p) << VRING_PACKED_EVENT_F_WRAP_CTR);
}

const VqRingOps vq_packed_ops = {
    .map = packed_map,
    .pop = packed_pop,
    .unpop = packed_unpop,
    .fill = packed_fill,
    .flush = packed_flush,
    .push = packed_push,
    .empty = packed_empty,
    .should_notify = packed_should_notify,
    .set_kicks = packed_set_kicks,
    .state = packed_state,
};
