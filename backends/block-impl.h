/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the drivers of block nodes share (block.h is for their users). A driver is one TypeInfo named "block-DRIVER"
 * below block_node_type: its options are its properties, its queue struct begins with a BlockQueue.
 *
 * Completion: a driver ends each request by block_complete from the queue's loop, or by block_complete_later, which may be
 * called from within submit and cancel. Neither twice.
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_IMPL_H
#define AEROSTAT_BACKENDS_BLOCK_IMPL_H

#include "backends/block.h"

enum { BLOCK_CHILD_FILE, BLOCK_CHILD_BACKING, BLOCK_CHILDREN };
enum { BLOCK_DETECT_OFF, BLOCK_DETECT_ON, BLOCK_DETECT_UNMAP };
enum { BLOCK_SECTOR = 512, BLOCK_MAX_ALIGN = 4096, BLOCK_MAX_IOV = 1024 };

/* How an image of another format is used; printf format with the format's name. */
#define BLOCK_NBD_WAY \
    "run 'qemu-nbd -f %s -k /tmp/disk.sock IMAGE' (or nbdkit) and use driver=nbd,server.type=unix,server.path=/tmp/disk.sock"

/* Of BlockRequest.flags, the layer's own. */
enum {
    BLOCK_ENDED = 1 << 30,    /* done comes from the bottom half; the driver has forgotten it */
    BLOCK_WAS_WRITE = 1 << 29 /* detect-zeroes made BLOCK_WRITE_ZEROES of it */
};

/* What all that is above a node does with it. */
typedef struct {
    bool reads, writes;
    bool share_writes;        /* others may write meanwhile */
} BlockPerm;

struct BlockNode {
    Object parent_obj;
    /* properties of every driver */
    bool read_only, auto_read_only;
    bool cache_direct, cache_no_flush, cache_writeback;
    bool force_share;         /* no lock at all; read only */
    int discard;              /* 0: ignore, 1: unmap */
    int detect_zeroes;        /* BLOCK_DETECT_* */
    char *on_read_error, *on_write_error; /* -drive's rerror and werror, for the device */
    bool account_invalid, account_failed; /* -drive's stats-account-*, for users */
    json_t *intervals;        /* -drive's stats-intervals, for users; NULL: none. Owned. */
    char *drive_id;           /* made by -drive under that id; NULL: by -blockdev */
    /* the layer's */
    EventLoop *loop;          /* main loop */
    BlockLimits limits;
    BlockNode *child[BLOCK_CHILDREN]; /* owned references; NULL: none */
    bool child_inline[BLOCK_CHILDREN]; /* made with this node and deleted with it */
    BlockNode *parent;        /* whose child this is; NULL: none. Borrowed. */
    GPtrArray *users;         /* of BlockUser *, borrowed */
    BlockPerm perm;           /* granted */
    Object *throttle;         /* ThrottleGroup that its queues are members of; owned; NULL: none */
    bool opened;
};

struct BlockNodeClass {
    ObjectClass parent_class;
    bool wants[BLOCK_CHILDREN]; /* a filter: the option of that name is needed */
    /* Properties and children are set; gives limits (of filters: begins with the first child's). */
    bool (*open)(BlockNode *n, GError **err);
    void (*close)(BlockNode *n);                   /* NULL: nothing */
    /* Limits anew, after a child was resized. NULL: the first child's. */
    void (*refresh)(BlockNode *n);
    bool (*resize)(BlockNode *n, uint64_t size, GError **err); /* NULL: the first child is resized, or it is refused */
    /* Changes what is done with the node (image locks). NULL: asks the children. */
    bool (*set_perm)(BlockNode *n, const BlockPerm *perm, GError **err);
    char *(*filename)(BlockNode *n);               /* NULL: the first child's, or the driver's name; g_free */
    int64_t (*allocated)(BlockNode *n);            /* bytes; NULL: the first child's, or -1 */
    bool (*lifetime)(BlockNode *n, BlockLifetime *ret_lifetime); /* any thread; NULL: the first child's, or there is none */
    bool (*is_transparent)(const BlockNode *n);    /* requests may go straight to the first child; NULL: never */
    void (*describe)(BlockNode *n, json_t *info);  /* more members of query-named-block-nodes; NULL: none */

    size_t queue_size;        /* 0: that of BlockQueue */
    bool (*queue_open)(BlockQueue *q, GError **err); /* NULL: nothing */
    void (*queue_close)(BlockQueue *q);            /* nothing is in flight; also after a failed queue_open */
    void (*submit)(BlockQueue *q, BlockRequest *req);
    void (*kick)(BlockQueue *q);                   /* the batch is complete; NULL: nothing */
    void (*cancel)(BlockQueue *q, BlockRequest *req); /* NULL: the request takes its time */
    /* Ends what can be ended now; wait: blocks until there is something. False: nothing was ended. NULL: there is never
     * more than what the bottom half and the children hold. */
    bool (*poll)(BlockQueue *q, bool wait);
};

typedef struct {
    unsigned n;               /* boundaries */
    uint64_t *boundaries;     /* ns, ascending */
    uint64_t *bins;           /* n + 1; atomic, relaxed */
} BlockHistogram;

struct BlockUser {
    BlockNode *node;
    BlockUserOps ops;
    pthread_mutex_t lock;     /* guards queues and past */
    GPtrArray *queues;        /* of BlockQueue * */
    BlockStats past;          /* of queues that are gone */
    uint64_t past_highest;
    int64_t past_access;      /* last_access of queues that are gone */
    int io_status;            /* BlockIoStatus; atomic */
    bool account_invalid, account_failed; /* as block_set_accounting says */
    bool latencies;           /* there is a histogram or an interval */
    GPtrArray *timed;         /* of BlockTimed *; NULL: none */
    BlockHistogram hist[BLOCK_OPS]; /* n 0: none; changes while quiesced */
};

struct BlockQueue {
    BlockNode *node;
    const BlockNodeClass *klass;
    EventLoop *loop;
    BlockUser *user;          /* NULL: a queue below a filter's */
    BlockQueue *child[BLOCK_CHILDREN];
    LoopBh *bh;               /* ends what is on the list */
    struct BlockThrottle *throttle; /* holds requests back; NULL: no limits */
    BlockRequest *ended, **ended_tail;
    BlockRequest *pool;       /* free inner requests of a filter, by next */
    unsigned in_flight;
    unsigned plugged;
    bool unkicked;            /* something was submitted since the last kick */
    bool own_cache_mode;      /* the user's */
    bool draining;            /* limits and delays do not count */
    bool batch_timed;         /* now holds within the present batch */
    int64_t now;
    uint64_t highest_write;   /* as stats */
    int64_t last_access;      /* as stats: CLOCK_MONOTONIC, ns; 0: none */
    BlockStats stats;         /* written by the queue's thread; atomic, relaxed */
};

/* Ends req, on the queue's loop and not within submit. */
void block_complete(BlockRequest *req, int ret);
/* The same from the loop's bottom half. */
void block_complete_later(BlockRequest *req, int ret);
/* CLOCK_MONOTONIC, ns; looked up once between plug and unplug. A driver plugs its queue while it ends a number of requests. */
int64_t block_now(BlockQueue *q);
int64_t block_monotonic_ns(void); /* the same clock, looked up */

/* --- block-stats.c, for block.c --- */
/* A request of a user ended that took ns; where BlockUser.latencies. timed: it counts for intervals, too. */
void block_account_latency(BlockQueue *q, BlockOp op, int64_t now, uint64_t ns, bool timed);
void block_stats_add(BlockStats *sum, const BlockStats *s);
void block_stats_finish(BlockUser *u);

/* One thread writes, any reads. */
static inline void block_count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + n, __ATOMIC_RELAXED);
}

/*
 * A request of q's own to one of its children, from the pool of q, with outer's op, flags, place and memory; the caller
 * sets done. block_inner_outer finds outer in done, block_inner_put gives the request back.
 */
BlockRequest *block_inner_get(BlockQueue *q, BlockRequest *outer);
BlockRequest *block_inner_outer(BlockRequest *inner);
void block_inner_put(BlockQueue *q, BlockRequest *inner);

/* Between an iovec, from its byte at on, and flat memory. */
void block_iov_copy_out(const struct iovec *iov, unsigned niov, uint64_t at, void *dst, size_t len);
void block_iov_copy_in(const struct iovec *iov, unsigned niov, uint64_t at, const void *src, size_t len);
void block_iov_zero(const struct iovec *iov, unsigned niov, uint64_t at, uint64_t len);
bool block_iov_is_zero(const struct iovec *iov, unsigned niov);
/* A part of an iovec as one of its own; dst has room for niov entries. Returns the number used. */
unsigned block_iov_slice(struct iovec *dst, const struct iovec *iov, unsigned niov, uint64_t at, uint64_t len);

/* Stops the users of a node and all that is above it, and lets them go on. Main loop. */
void block_node_quiesce(BlockNode *n, bool on);
/* Asks for the perm of the node's users and parents; on failure all stays as it was. */
bool block_node_update_perm(BlockNode *n, GError **err);
/* Makes a node that was added for this one its child. */
void block_node_take_child(BlockNode *n, unsigned which, BlockNode *child);
char *block_node_filename(BlockNode *n); /* g_free */
/* Reads from a node that nobody uses yet, and waits for it. Main loop. */
bool block_node_read(BlockNode *n, uint64_t offset, void *buf, size_t len, GError **err);
/* What block_node_resize does to one node, for a filter's resize. */
bool block_node_resize_child(BlockNode *n, uint64_t size, GError **err);
bool block_node_set_perm(BlockNode *n, const BlockPerm *perm, GError **err);

#endif
