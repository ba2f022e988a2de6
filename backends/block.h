/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block backends. A BlockNode is a disk or a filter on top of another node, made by -blockdev, -drive or blockdev-add and
 * found by its node name in /block-nodes of the tree. A device attaches to the topmost node and opens one BlockQueue per
 * thread that it submits from. A node's driver is one TypeInfo (block-file.c, block-null.c, block-nbd.c, ...).
 *
 * A request is the caller's memory from block_submit to its done callback, which comes exactly once, on the queue's loop
 * and never from within block_submit. Nothing is allocated per request: the driver's room is in the request, and filters
 * take their inner requests from a pool of their queue.
 *
 * Offsets and lengths are bytes. A request may have any alignment that is a multiple of limits.request_alignment;
 * what the host needs beyond that (O_DIRECT) the driver does with bounce buffers.
 *
 * Threads: nodes are made, attached and freed on the main loop under the VM lock; a queue is used on its loop's thread, or
 * by who holds the loop's lock (main loop: the VM lock; iothread: iothread_lock). Limits change only while everything that
 * is attached is drained (resize).
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_H
#define AEROSTAT_BACKENDS_BLOCK_H

#include <sys/uio.h>

#include "core/loop.h"
#include "qom/object.h"
#include "qom/property.h"

OBJECT_DECLARE_CLASS(BlockNode, BlockNodeClass, block_node, BLOCK_NODE)

typedef struct BlockQueue BlockQueue;
typedef struct BlockRequest BlockRequest;
typedef struct BlockUser BlockUser;

typedef enum {
    BLOCK_READ,
    BLOCK_WRITE,
    BLOCK_FLUSH,        /* all writes that were done before it was submitted are on stable storage when it is done */
    BLOCK_DISCARD,      /* a hint; what is read afterwards is undefined */
    BLOCK_WRITE_ZEROES,
    BLOCK_SECURE_ERASE, /* like a discard, and whatever the storage kept of it is gone; what is read is undefined */
    BLOCK_OPS,
} BlockOp;

enum {
    BLOCK_FUA = 1 << 0,       /* of writes: on stable storage when done */
    BLOCK_MAY_UNMAP = 1 << 1, /* of BLOCK_WRITE_ZEROES: may give up the space */
};

struct BlockRequest {
    BlockOp op;
    unsigned flags;           /* BLOCK_*; set for each submission, the layer below adds its own */
    uint64_t offset, bytes;   /* within the node's size; flush: both 0 */
    const struct iovec *iov;  /* of bytes in all; read and write only; stays valid and unchanged until done */
    unsigned niov;
    /* ret: 0 or a negative errno; -ECANCELED after block_cancel. A request cut short by an error may have been done in
     * part. */
    void (*done)(BlockRequest *req, int ret);
    /* the layer's below, from block_submit to done */
    BlockQueue *queue;
    BlockRequest *next;
    int64_t start_ns;
    uint64_t scratch[6];
};

typedef struct {
    uint64_t size;               /* bytes */
    uint32_t request_alignment;  /* 1 to 4096, a power of 2; the device reports a block size of at least that */
    uint32_t physical_block, opt_io; /* of the storage, for topology; 0: not known */
    uint32_t max_iov;            /* pieces of a request; at least 1023 */
    uint64_t max_transfer;       /* bytes of a read or write */
    uint32_t max_queues;         /* at a time; 0: any number */
    uint64_t max_discard, max_write_zeroes, max_secure_erase; /* bytes; 0: not served */
    uint32_t discard_alignment;  /* 0: none */
    bool read_only;
    bool lifetime;               /* block_lifetime has something to tell */
    bool write_cache;            /* there is something for BLOCK_FLUSH to do; FUA is served either way */
} BlockLimits;

/* How worn the storage is, in the words of JESD84-B50 and VIRTIO 1.4 §5.2.6; 0: not known. */
typedef struct {
    uint8_t pre_eol;             /* reserved blocks: 1 normal, 2: 80 % are consumed, 3: 90 % */
    uint8_t typ_a, typ_b;        /* SLC and MLC cells: 1 to 10: up to that many tenths of the lifetime; 11: more than it */
} BlockLifetime;

/* --- users: what a device does --- */

typedef struct {
    const char *name;            /* of the device, for messages; borrowed */
    const char *path;            /* the device's in the tree, for query-block; NULL: the name; borrowed */
    bool writes;                 /* wants to write; false: reads only */
    bool share_rw;               /* other users may write meanwhile */
    /* Sets BLOCK_FUA itself where a write must be stable: cache.writeback=off of the nodes tells it how to begin, no more. */
    bool own_cache_mode;
    void (*resized)(void *opaque); /* main loop; limits.size is new */
    /* Stops submitting and returns once nothing of it is in flight; resume ends that. Main loop. NULL: not needed. */
    void (*quiesce)(void *opaque, bool on);
    void *opaque;
} BlockUserOps;

/* Takes the node into use; ops is copied. NULL with one line: read-only, in use by a writer, a child of another node. */
BlockUser *block_attach(BlockNode *node, const BlockUserOps *ops, GError **err);
void block_detach(BlockUser *u); /* its queues are gone; NULL is fine */

BlockNode *block_user_node(const BlockUser *u);
const char *block_user_name(const BlockUser *u);
const char *block_user_path(const BlockUser *u);
void block_foreach_user(BlockNode *node, void (*fn)(BlockUser *u, void *opaque), void *opaque);
const BlockLimits *block_limits(const BlockNode *node);
bool block_lifetime(BlockNode *node, BlockLifetime *ret_lifetime); /* any thread; false: the storage does not tell */

/* One per submitting thread. NULL with one line: the host has no resources for it. */
BlockQueue *block_queue_new(BlockUser *u, EventLoop *loop, GError **err);
void block_queue_free(BlockQueue *q); /* nothing may be in flight; NULL is fine */

/* Begins req; what is between plug and unplug (they nest) may be handed to the host as one. */
void block_submit(BlockQueue *q, BlockRequest *req);
void block_plug(BlockQueue *q);
void block_unplug(BlockQueue *q);

/* Asks for an early end; done comes in any case, with -ECANCELED or with the result. */
void block_cancel(BlockRequest *req);
unsigned block_in_flight(const BlockQueue *q);
/*
 * Ends requests, calling their done, until nothing is in flight. Waits for the host where needed, without running the
 * queue's loop, so it is legal in the loop's callbacks; not from within done. Throttling and delays do not count.
 */
void block_drain(BlockQueue *q);
/* For several queues: called for each of them before block_drain is, so that they wait for a silent host at once. */
void block_drain_start(BlockQueue *q);

/* --- nodes: what -blockdev, -drive and QMP do --- */

/*
 * opts: an object with "driver", "node-name" and the driver's options, nested ones ("file": {...} or a node's name)
 * included; strings or JSON values. Lands in /block-nodes/NAME of root. NULL with one line in err. Borrowed.
 */
BlockNode *block_node_add(Object *root, EventLoop *main_loop, json_t *opts, GError **err);
bool block_node_del(Object *root, const char *name, GError **err); /* refused while in use */
/* By its name or by the id of the -drive that made it: what a device's "drive" names. NULL: none. */
BlockNode *block_node_find(Object *root, const char *name);
const char *block_node_name(const BlockNode *node);
bool block_node_resize(BlockNode *node, uint64_t size, GError **err); /* QMP block_resize; tells users */
/* "report", "ignore", "stop", "enospc" of -drive's rerror and werror; NULL: not given. */
const char *block_node_on_error(const BlockNode *node, bool write);
const char *block_node_drive_id(const BlockNode *node); /* the id of -drive that made it; NULL: -blockdev did */
json_t *block_node_info(BlockNode *node); /* as in query-named-block-nodes; new reference */

/* Counters of a user, for query-blockstats. Latencies go into histograms where those were asked for. */
typedef struct {
    uint64_t ops[BLOCK_OPS], bytes[BLOCK_OPS], failed[BLOCK_OPS], invalid[BLOCK_OPS], ns[BLOCK_OPS];
    uint64_t merged[BLOCK_OPS];
} BlockStats;
void block_stats(const BlockUser *u, BlockStats *ret_stats); /* any thread */
uint64_t block_highest_write(const BlockUser *u);            /* end of the last byte that was written */
int64_t block_idle_ns(const BlockUser *u); /* since a request ended last; -1: none did. Any thread. */
void block_account_invalid(BlockQueue *q, BlockOp op);       /* the device refused a request */
void block_account_merged(BlockQueue *q, BlockOp op, unsigned n);

/*
 * What query-block tells of errors that stopped the VM. The first one stays until the device tries again. Any thread.
 */
typedef enum { BLOCK_IO_STATUS_NONE, BLOCK_IO_STATUS_OK, BLOCK_IO_STATUS_FAILED, BLOCK_IO_STATUS_NOSPACE } BlockIoStatus;
BlockIoStatus block_io_status(const BlockUser *u); /* NONE: the device never stops the VM */
void block_io_status_begin(BlockUser *u);          /* OK from now on, and again when the VM goes on */
void block_io_status_failed(BlockUser *u, int ret); /* the negative errno; nothing where the status is not OK */

/*
 * Whether refused requests count as an access for block_idle_ns, and failed ones for that, the time and the intervals; -drive's
 * words at the beginning, on both if it said nothing. Before there is a queue.
 */
void block_set_accounting(BlockUser *u, bool invalid, bool failed);
void block_accounting(const BlockUser *u, bool *ret_invalid, bool *ret_failed);

/*
 * Intervals of timed_stats, a list of seconds above 0; those of -drive are there from the beginning. False with one line:
 * it is no such list. Before there is a queue.
 */
bool block_set_intervals(BlockUser *u, json_t *list, GError **err);
json_t *block_timed_stats(const BlockUser *u); /* as in query-blockstats; new reference. Main loop. */

/*
 * Latency histograms: boundaries in ns, ascending, above 0; n 0: none. False: they are not so. block_histogram gives n
 * and borrowed arrays of n boundaries and n + 1 bins. Main loop.
 */
bool block_histogram_set(BlockUser *u, BlockOp op, const uint64_t *boundaries, unsigned n);
unsigned block_histogram(const BlockUser *u, BlockOp op, const uint64_t **ret_boundaries, const uint64_t **ret_bins);

extern const TypeInfo *const block_types[]; /* concrete, NULL-terminated */

#endif
