/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of virtio-blk share: virtio-blk.c (the device: properties, life), virtio-blk-config.c (features,
 * configuration space, cache mode), virtio-blk-parse.c (requests as the driver wrote them) and virtio-blk-request.c (from
 * there to the block node and back).
 *
 * A request has one of its queue's BlkReq from pop to push, and at any time one BlockRequest of it at most is at the node.
 * A large read or write, and a discard of many ranges, are done step by step. Neighbours of one kick are merged: the
 * first one leads, its BlockRequest covers all, and the others hang on it.
 *
 * Threads: a BlkQueue is used on its queue's loop, the main loop or an iothread's, and by who has the VM lock and
 * virtio_lock (reset, quiescing, a VM that goes on). What both sides see of VirtioBlk changes under virtio_lock only.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_BLK_INTERNAL_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_BLK_INTERNAL_H

#include <linux/virtio_blk.h>
#include <stdatomic.h>

#include "backends/block.h"
#include "backends/iothread.h"
#include "core/le.h"
#include "hw/virtio/virtio.h"

/* Not in all versions of <linux/virtio_blk.h>. */
#ifndef VIRTIO_BLK_F_LIFETIME
#define VIRTIO_BLK_F_LIFETIME 15
#endif
#ifndef VIRTIO_BLK_F_SECURE_ERASE
#define VIRTIO_BLK_F_SECURE_ERASE 16
#endif
#ifndef VIRTIO_BLK_T_GET_LIFETIME
#define VIRTIO_BLK_T_GET_LIFETIME 10
#endif
#ifndef VIRTIO_BLK_T_SECURE_ERASE
#define VIRTIO_BLK_T_SECURE_ERASE 14
#endif
#ifndef VIRTIO_BLK_F_ZONED
#define VIRTIO_BLK_F_ZONED 17
#endif

enum {
    BLK_SECTOR = 512,
    BLK_ID_BYTES = VIRTIO_BLK_ID_BYTES,
    BLK_SEG_MAX_FIXED = 126,  /* with seg-max-adjust=off */
    BLK_SECTORS_MAX = INT32_MAX / BLK_SECTOR, /* of one range */
    BLK_RANGES_MAX = 128,     /* of one discard, write zeroes or secure erase request */
    BLK_MERGE_MAX = 32,       /* requests in one */
    BLK_MERGE_PIECES = 128,   /* pieces of memory in one that was merged, or in a step of a large one */
};

enum { BLK_AUTO, BLK_ON, BLK_OFF };
typedef enum { BLK_ON_ERROR_AUTO, BLK_ON_ERROR_REPORT, BLK_ON_ERROR_IGNORE, BLK_ON_ERROR_STOP, BLK_ON_ERROR_ENOSPC } BlkOnError;

typedef struct {
    uint64_t offset, bytes;
    unsigned flags;           /* of the BlockRequests */
} BlkRange;

/* Room that few requests need. */
typedef union BlkSlot {
    union BlkSlot *next;      /* BlkQueue.slots */
    struct iovec iov[BLK_MERGE_PIECES];
    BlkRange ranges[BLK_RANGES_MAX];
} BlkSlot;

typedef enum {
    BLK_REQ_FREE,
    BLK_REQ_TAKEN,            /* being worked on, or merged into another one */
    BLK_REQ_SUBMITTED,        /* the node has it */
    BLK_REQ_STOPPED,          /* failed, waits in BlkQueue.stopped until the VM goes on */
    BLK_REQ_HELD,             /* done, waits in BlkQueue.held until DMA is allowed */
} BlkReqState;

OBJECT_DECLARE(VirtioBlk, virtio_blk, VIRTIO_BLK)
typedef struct BlkQueue BlkQueue;
typedef struct BlkReq BlkReq;

struct BlkReq {
    BlockRequest io;          /* first; what goes to the node now */
    BlkQueue *q;
    VqElem *elem;
    BlkReq *next;             /* in one of the queue's lists */
    BlkReq *merged, *last;    /* of a leader: those behind it, in order of their place on disk, and the last of them */
    BlkSlot *slot;            /* pieces of a merged one or of a step, ranges; NULL: none */
    uint64_t offset, left;    /* bytes of its own that are not done yet begin where on disk, and how many there are */
    uint16_t n_merged, range, n_ranges;
    uint8_t state, status;
    bool steps;               /* io covers a part only */
    bool then_flush;          /* write zeroes in write-through mode: a flush makes it stable */
};

typedef struct {
    BlkReq *first, *last;
} BlkList;

enum { BLK_OPEN_GROUPS = 4 };

struct BlkQueue {
    VirtioBlk *s;
    VirtQueue *vq;
    BlockQueue *bq;
    LoopBh *round;            /* tells the driver behind the completions of a round */
    BlkReq *reqs;             /* n of them */
    unsigned n;
    BlkReq *free;             /* those in state FREE */
    BlkSlot *slots;           /* spare ones */
    unsigned n_slots;         /* made so far, at most n */
    BlkList held, stopped;
    BlkReq *open[BLK_OPEN_GROUPS]; /* to be submitted in this run, the oldest first; neighbours may still join */
    unsigned n_open;
    bool dropping;            /* reset: what comes back is forgotten */
    bool finished;            /* something was filled since the driver was told */
};

struct VirtioBlk {
    VirtIODevice parent_obj;
    BlockNode *node;          /* the drive; borrowed, and attached to while realized */
    /* properties */
    char *drive, *serial;
    IoThreadObject *iothread;
    json_t *iothread_map;     /* array; NULL: none */
    json_t *intervals;        /* stats-intervals; NULL: as -drive says */
    uint32_t num_queues, queue_size;
    bool seg_max_adjust, config_wce, discard, write_zeroes, secure_erase, merging, share_rw;
    int write_cache;          /* BLK_AUTO, ... */
    uint32_t max_discard_sectors, max_write_zeroes_sectors, size_max; /* size_max 0: segments may have any size */
    uint32_t cyls, heads, secs; /* all 0: made up */
    uint64_t logical_block, physical_block, min_io, opt_io, discard_granularity;
    int rerror, werror;       /* BlkOnError */
    int account_invalid, account_failed; /* BLK_AUTO, ... */
    int32_t bootindex;
    /* from realize to unrealize */
    BlockUser *user;
    const BlockLimits *limits;
    BlkQueue *queues;
    unsigned n_queues;
    IoThreadObject **threads; /* of each of n_threads queues, owned references, NULL: main loop; they outlive unrealize */
    unsigned n_threads;
    uint32_t block_size;      /* bytes; requests are multiples of it */
    PlatformRunListener run;
    bool writeback;           /* cache mode: false: a write is on stable storage when it is done (§5.2.5) */
    unsigned quiesced;        /* by the node and while the VM is stopped, that many times: nothing is submitted */
    bool paused;              /* the VM was stopped, which is one of them */
    bool retry_later;         /* the VM went on while quiesced */
    atomic_uint untold;       /* failures on their way to the main loop */
};

/* --- virtio-blk-config.c: methods of VirtioDeviceClass --- */

enum { BLK_CONFIG_BYTES = 96 };
uint64_t virtio_blk_get_features(VirtIODevice *vdev, uint64_t common);
void virtio_blk_set_status(VirtIODevice *vdev, uint8_t old);
bool virtio_blk_config_writable(VirtIODevice *vdev, size_t off);
void virtio_blk_set_config(VirtIODevice *vdev, const void *config, size_t off, size_t len);
void virtio_blk_get_config(VirtIODevice *vdev, void *config);

bool virtio_blk_first_writeback(const VirtioBlk *s); /* the cache mode that a driver finds */

/* --- virtio-blk-parse.c --- */

void virtio_blk_queue_run(BlkQueue *q);    /* serves what the driver made available, unless quiesced */

/* --- virtio-blk-request.c --- */

void virtio_blk_req_get_slot(BlkReq *r);              /* gives r->slot; not twice */
void virtio_blk_req_data(BlkReq *r);                  /* begins a read or write: io.op, io.flags, offset and left are set */
void virtio_blk_req_continue(BlkReq *r);              /* begins with the ranges in the slot: io and n_ranges are set */
void virtio_blk_req_flush(BlkReq *r);
void virtio_blk_finish_held(BlkQueue *q);             /* answers what waited for DMA */
void virtio_blk_submit_open(BlkQueue *q);             /* no more neighbours are to come */
void virtio_blk_tell_driver(BlkQueue *q);             /* if something was answered */
void virtio_blk_req_finish(BlkReq *r, uint8_t status);
void virtio_blk_req_refuse(BlkReq *r, BlockOp op, uint8_t status); /* the same, and it counts as invalid */

bool virtio_blk_queue_init(VirtioBlk *s, BlkQueue *q, VirtQueue *vq, GError **err);
void virtio_blk_queue_finish(BlkQueue *q); /* nothing is in flight */
void virtio_blk_queue_cancel(BlkQueue *q); /* reset, its first part: nobody wants the answers any more */
void virtio_blk_queue_drop(BlkQueue *q);   /* reset: cancels if that was not done, waits, and forgets everything */
void virtio_blk_queue_retry(BlkQueue *q);  /* what is stopped */

static inline bool virtio_blk_may_discard(const VirtioBlk *s)
{
    return s->discard && s->limits->max_discard > 0 && !s->limits->read_only;
}

static inline bool virtio_blk_may_secure_erase(const VirtioBlk *s)
{
    return s->secure_erase && s->limits->max_secure_erase > 0 && !s->limits->read_only;
}

static inline bool virtio_blk_may_write_zeroes(const VirtioBlk *s)
{
    return s->write_zeroes && s->limits->max_write_zeroes > 0 && !s->limits->read_only;
}

#endif
