/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What virtqueue.c (elements, pools, setting up), the ring formats (virtqueue-split.c, virtqueue-packed.c) and the
 * core (virtio.c) share. Nobody else includes it. A ring format is one VqRingOps table.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTQUEUE_RING_H
#define AEROSTAT_HW_VIRTIO_VIRTQUEUE_RING_H

#include <inttypes.h>
#include <linux/virtio_ring.h>

#include "hw/virtio/virtqueue-internal.h"

typedef struct VqPool VqPool;

enum {
    VQ_ELEM_SMALL = 10,        /* pieces that an element holds itself */
    VQ_IOV_CLASS_MIN = 16,     /* larger arrays hold 16 << class pieces */
    VQ_IOV_CLASSES = 13,       /* so at most 65536 pieces in one chain */
    VQ_IOV_BUDGET = 1 << 20,   /* pieces in arrays of one queue: the most a guest makes us hold (16 MiB) */
};

struct VqElem {
    VqPool *pool;
    VqElem *next_free;         /* pool.free */
    struct iovec *iov;         /* small, or an array of the pool; device-readable pieces first */
    uint32_t cap, n;           /* room in iov, pieces in use */
    uint32_t out_pos, out_end; /* pieces [out_pos, out_end) are not read yet */
    uint32_t in_pos;           /* pieces [in_pos, n) are not written yet */
    uint32_t written;          /* becomes used.len */
    uint64_t out_left, in_left;
    uint8_t *tail;             /* set apart by vq_elem_cut_tail */
    uint16_t head;             /* index of the first descriptor (split), buffer id (packed) */
    uint16_t slots;            /* of the descriptor ring that the element takes up (packed) */
    bool in_use;
    bool done;                 /* pushed, waiting for older ones; only with VIRTIO_F_IN_ORDER */
    VqElem *older, *newer;     /* pool.oldest, in order of popping; only with VIRTIO_F_IN_ORDER */
    struct iovec small[VQ_ELEM_SMALL];
};

/* The elements of one start of a queue. It outlives a reset while elements are out: vq is NULL then. */
struct VqPool {
    VirtQueue *vq;
    VqElem *free;
    unsigned size, fresh;      /* elems[fresh..] were never handed out */
    unsigned in_flight;
    VqElem *oldest, *newest;   /* in flight; only with VIRTIO_F_IN_ORDER */
    size_t iov_total;          /* pieces in all arrays, spare ones included */
    struct iovec *spare[VQ_IOV_CLASSES]; /* lists, linked through the first piece's iov_base */
    VqElem elems[];
};

typedef struct {
    bool (*map)(VirtQueue *vq);   /* checks the setup and maps the rings; false: virtio_error was called */
    VqElem *(*pop)(VirtQueue *vq);
    void (*unpop)(VirtQueue *vq, const VqElem *e); /* the one popped last */
    /* Writes what hands e back, unseen by the driver until flush; counts what it used in vq->unsignalled. */
    void (*fill)(VirtQueue *vq, const VqElem *e);
    void (*flush)(VirtQueue *vq);
    void (*push)(VirtQueue *vq, const VqElem *e);  /* both at once, with nothing filled before */
    bool (*empty)(VirtQueue *vq);
    bool (*should_notify)(VirtQueue *vq);
    bool (*set_kicks)(VirtQueue *vq, bool enable); /* true: elements came before the driver could know */
    void (*state)(VirtQueue *vq, VirtQueueState *ret_state);
} VqRingOps;

extern const VqRingOps vq_split_ops, vq_packed_ops;

/* A split ring (VIRTIO 1.4 §2.7). Pointers are into guest memory. */
typedef struct {
    const uint8_t *desc;
    const uint16_t *avail;     /* flags, idx, ring[num], used_event */
    uint8_t *used;             /* flags, idx, ring[num] of {id, len}, avail_event */
    uint16_t mask;             /* num - 1 */
    uint16_t last_avail;       /* next entry to pop */
    uint16_t seen_avail;       /* the driver's idx as last read */
    uint16_t used_idx;
    uint16_t avail_event;      /* as last written, when avail_event_valid */
    bool avail_event_valid;
} VqSplit;

/* A packed ring (VIRTIO 1.4 §2.8). Pointers are into guest memory. */
typedef struct {
    uint8_t *desc;
    const uint32_t *driver_event; /* the two event suppression structures: offset and wrap, flags */
    uint32_t *device_event;
    uint16_t next_avail;       /* next descriptor to pop */
    uint16_t next_used;        /* next descriptor to push to */
    /* The wrap counters at those places, as what they make of the flags AVAIL and USED in a descriptor's second word:
     * of an available one, of a used one. */
    uint64_t avail_turn, used_turn;
    bool event_valid;
    uint32_t event;            /* device_event as last written, when event_valid */
    uint32_t slots_out;        /* descriptors popped and not pushed yet */
    uint16_t held_at;          /* the first descriptor filled and not flushed, and its second word */
    uint64_t held;
} VqPacked;

typedef struct {
    IoRegion *region;          /* NULL: kicks come by exit */
    IoEventfd event;           /* as it was added */
    LoopFd *src;
} VqDoorbell;

typedef struct {
    Gpa gpa;
    uint64_t len;
} VqPin;

enum { VQ_PARTS = 3 };         /* of a ring, in memory of their own */

struct VirtQueue {
    VirtIODevice *vdev;
    GuestMemory *mem;
    const VqRingOps *ops;
    VqPool *pool;              /* NULL: not started */
    uint64_t generation;       /* of guest memory when the rings were mapped and ram was noted */
    struct {
        uint64_t gpa, size;    /* size 0: none */
        uint8_t *host;
    } ram;                     /* the region where a buffer was found last; most are found there again */
    VqPin pins[VQ_PARTS];      /* what is mapped is pinned */
    unsigned n_pins;
    uint32_t filled;           /* elements that wait for flush */
    uint32_t unsignalled;      /* entries (split) or descriptors (packed) used since should_notify was last asked */
    uint16_t num;              /* entries, once started */
    bool ready, event_idx, indirect, in_order, notify_on_empty;
    bool kicks_wanted;         /* by the device, and nobody polls: what the driver is told */
    bool kicks_asked;          /* by the device */
    bool polled;               /* see virtqueue_poll_begin */
    uint64_t popped;           /* elements, since the last reset */
    uint64_t polled_at;        /* popped when polling last found something; UINT64_MAX: the ring was empty since */
    union {
        VqSplit split;
        VqPacked packed;
    };
    VirtIOHandleOutput handle_output;
    VirtQueueSetup setup;
    VqDoorbell bell;
    uint16_t index, max_size, vector;
    bool lent;                 /* virtio_queue_lend: generation is 0, so that nobody touches the rings */
    int lent_kick;             /* while lent: who has it is kicked by this */
    int own_kick;              /* an eventfd for that where there is no doorbell; -1: none */
    bool run_later;            /* virtio_queue_run_later was called */
    bool may_poll;             /* virtio_queue_allow_polling was called */
    IoThread *iothread;        /* serves it; NULL: the main loop */
    LoopBh *again;             /* on the iothread: for run_later */
    bool notify_deferred;      /* atomic: to be done on the main loop */
};

/*
 * Polling (virtqueue.c), with the queue's lock. From begin to end the driver need not kick, whatever the device says. poll:
 * is there something for handle_output that it has not been called for yet? end: as virtqueue_enable_kicks.
 */
bool virtqueue_poll(VirtQueue *vq);
bool virtqueue_idle(VirtQueue *vq); /* its rings may be touched, and none of its elements is out */
void virtqueue_poll_begin(VirtQueue *vq);
bool virtqueue_poll_end(VirtQueue *vq);

/* --- virtio-doorbell.c --- */
void virtio_doorbell_rang(void *opaque, unsigned events); /* opaque: the queue; called by its loop */

/* --- virtio-iothread.c --- */
void virtio_defer_error(VirtIODevice *vdev);
void virtio_defer_notify(VirtQueue *vq);
void virtio_forget_deferred(VirtIODevice *vdev);
void virtio_announce_error(VirtIODevice *vdev); /* virtio.c; VM lock */
void virtio_queue_serve(VirtIODevice *vdev, unsigned n); /* virtio.c: a kick; the queue's thread, or its lock */

/* --- virtio-lend.c --- */
void virtio_queue_kick_lent(VirtQueue *vq);
void virtio_notifier_changed(VirtQueue *vq, int fd); /* whoever has it hears of it */

#define vq_error(vq, fmt, ...) virtio_error((vq)->vdev, "queue %u: " fmt, (vq)->index, ##__VA_ARGS__)

VqElem *vq_elem_get_slow(VirtQueue *vq);
void vq_elem_put_slow(VqElem *e);

/* A fresh element, or NULL after vq_error: the driver has more requests out than the queue has entries. */
static inline VqElem *vq_elem_get(VirtQueue *vq)
{
    VqPool *pool = vq->pool;
    VqElem *e = pool->free;

    if (G_UNLIKELY(!e)) {
        return vq_elem_get_slow(vq);
    }
    pool->free = e->next_free;
    pool->in_flight++;
    e->in_use = true;
    return e;
}

static inline void vq_elem_put(VqElem *e)
{
    VqPool *pool = e->pool;

    g_assert(e->in_use);
    e->in_use = false;
    if (G_UNLIKELY(e->iov != e->small || !pool->vq)) {
        vq_elem_put_slow(e);
        return;
    }
    e->next_free = pool->free;
    pool->free = e;
    pool->in_flight--;
}

/* --- descriptors --- */

enum { VQ_DESC_SIZE = 16 };

/* Words of a descriptor: the address, and length, flags and the like. A table may lie at any address. */
typedef struct {
    uint64_t v;
} __attribute__((packed, may_alias)) VqAnyU64;

typedef struct {
    uint64_t addr, rest;
} VqDescWords;

/* Volatile: one load each, never repeated. */
static inline VqDescWords vq_desc_load(const uint8_t *p)
{
    const volatile VqAnyU64 *w = (const volatile VqAnyU64 *)p;

    return (VqDescWords){le64toh(w[0].v), le64toh(w[1].v)};
}

static inline uint64_t vq_desc_load_addr(const uint8_t *p)
{
    return le64toh(((const volatile VqAnyU64 *)p)->v);
}

/* An indirect table; host: where it lies in one piece, NULL: it straddles regions. */
typedef struct {
    uint64_t gpa;
    const uint8_t *host;
    unsigned n;
} VqTable;

/* Checks its length, and makes room in e for up to max descriptors; false after vq_error. */
bool vq_table_open(VirtQueue *vq, VqElem *e, uint64_t addr, uint32_t len, unsigned max, VqTable *ret_table);
bool vq_table_load_slow(VirtQueue *vq, const VqTable *t, unsigned i, VqDescWords *ret_words);

static inline bool vq_table_load(VirtQueue *vq, const VqTable *t, unsigned i, VqDescWords *ret_words)
{
    if (G_UNLIKELY(!t->host)) {
        return vq_table_load_slow(vq, t, i, ret_words);
    }
    *ret_words = vq_desc_load(t->host + (size_t)i * VQ_DESC_SIZE);
    return true;
}

/* One part of the rings as host memory, or NULL after vq_error. */
uint8_t *vq_map_part(VirtQueue *vq, const char *what, Gpa gpa, uint64_t len, unsigned align);

/* Room for n pieces in all; false after vq_error. */
bool vq_elem_reserve(VirtQueue *vq, VqElem *e, size_t n);
bool vq_elem_add_slow(VirtQueue *vq, VqElem *e, uint64_t addr, uint32_t len); /* the pieces only */

/* A chain while it is walked, apart from its element so that it can live in registers. */
typedef struct {
    uint64_t bytes, out_bytes; /* all, device-readable; the latter counts once writable is set */
    uint32_t n, out_n;         /* pieces, in the same way */
    bool writable;             /* device-writable descriptors have begun */
} VqChain;

/* Appends one descriptor's buffer; false after vq_error. */
static inline bool vq_chain_add(VirtQueue *vq, VqElem *e, VqChain *c, uint64_t addr, uint32_t len, bool writable)
{
    uint64_t off = addr - vq->ram.gpa;

    if (writable != c->writable) {
        if (G_UNLIKELY(!writable)) {
            vq_error(vq, "device-readable descriptor after a device-writable one");
            return false;
        }
        c->writable = true;
        c->out_n = c->n;
        c->out_bytes = c->bytes;
    }
    c->bytes += len;
    if (G_LIKELY(off < vq->ram.size && len - UINT64_C(1) < vq->ram.size - off && c->n < e->cap)) {
        e->iov[c->n++] = (struct iovec){vq->ram.host + off, len};
        return true;
    }
    e->n = c->n;
    if (!vq_elem_add_slow(vq, e, addr, len)) {
        return false;
    }
    c->n = e->n;
    return true;
}

/* The chain is whole: sets up the element's cursors. §2.7.5.2, §2.8: lengths are 32 bits wide; false after vq_error. */
static inline bool vq_chain_end(VirtQueue *vq, VqElem *e, const VqChain *c)
{
    e->n = c->n;
    e->out_pos = e->written = 0;
    e->out_end = e->in_pos = c->writable ? c->out_n : c->n;
    e->out_left = c->writable ? c->out_bytes : c->bytes;
    e->in_left = c->bytes - e->out_left;
    if (G_UNLIKELY(c->bytes > UINT32_MAX)) {
        vq_error(vq, "chain of 4 GiB or more");
        return false;
    }
    return true;
}

#endif
