/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the driver "nbd" share: the node and its queues (block-nbd.c), connections to its server
 * (block-nbd-dial.c), requests (block-nbd-io.c).
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_NBD_H
#define AEROSTAT_BACKENDS_BLOCK_NBD_H

#include "backends/block-impl.h"
#include "backends/block-nbd-lib.h"

enum {
    NBD_BOUNCE = 256 * 1024,
    NBD_SLOTS = 16,
    NBD_WAITING_MAX = 4096,  /* requests that wait for a connection; more fail at once */
    NBD_RETRY_MS = 500,      /* between attempts to connect */
    NBD_CONNECT_MS = 30000,  /* for one attempt, without looking the name up */
    NBD_DRAIN_MS = 30000,    /* without an answer while somebody waits for all requests: the connection counts as lost */
    NBD_DRAIN_LOST_MS = 5000, /* since the connection was lost: so long waits for the next who waits for all requests */
    NBD_CANCEL_MS = 500,     /* for all answers that nobody wants any more: a reset waits for them */
};

/* Where a server is, and what speaks to it. Constant; shared by the node and attempts to connect, which may outlive it. */
typedef struct {
    int refs;                /* atomic */
    NbdLib lib;
    char *filename;          /* for messages and queries */
    char *uri, *path, *host, *port, *export; /* the first of uri, path, host that is not NULL counts */
} NbdServer;

typedef struct NbdDial NbdDial; /* an attempt to connect, on a thread of its own */

typedef struct {
    BlockNode parent_obj;
    /* properties */
    int server_type;         /* NBD_SERVER_* */
    char *path, *host, *port, *uri, *export;
    uint32_t reconnect_delay, open_timeout, request_timeout; /* s */
    /* of the server, as it was when the node was made */
    bool can_flush, can_fua, can_multi_conn;
    uint64_t size;           /* bytes; that of the disk is rounded up to whole sectors, what is missing reads as zeroes */
    struct nbd_handle *spare; /* connected, for the next queue: some servers end with their last client */
    NbdServer *server;       /* owned reference; NULL: not open */
    pthread_mutex_t lock;    /* guards spare, queues, flushed and lost */
    GPtrArray *queues;       /* of NbdQueue *, borrowed */
    /* Writes that were acknowledged, but need a flush, are counted: all of them, those that are flushed or given up, and
     * those before the last connection that was lost. */
    _Atomic uint64_t written;
    uint64_t flushed, lost;
} BlockNbd;

enum { NBD_SERVER_UNSET, NBD_SERVER_UNIX, NBD_SERVER_INET };

static inline BlockNbd *BLOCK_NBD(const void *n)
{
    return (BlockNbd *)n;
}

typedef struct NbdSlot NbdSlot;
struct NbdSlot {
    NbdSlot *next;           /* NbdQueue.slots */
    uint8_t buf[NBD_BOUNCE];
};

/* A singly linked list of requests, by next. */
typedef struct {
    BlockRequest *first, **tail;
    unsigned n;
} NbdList;

typedef struct {
    BlockQueue q;
    BlockNbd *node;
    const NbdLib *lib;       /* the server's */
    struct nbd_handle *nbd;  /* the connection; NULL: none */
    NbdDial *dial;           /* an attempt at one; NULL: none is under way */
    LoopFd *source;          /* of nbd or dial */
    bool opening;            /* the first attempt is under way */
    uint64_t server_size;    /* bytes that the last connection's server had; written with the node's lock */
    bool lost;               /* reconnect-delay is over: requests fail until there is a connection */
    unsigned sent, unwanted; /* commands that nbd has, and those of them that were cancelled */
    int64_t silent_since;    /* ns; the server owes an answer; 0: not known, or it owes none */
    int64_t unwanted_since;  /* ns; since when there are such */
    Clock *clock;
    LoopTimer *timer;        /* next attempt, or the end of patience */
    int64_t lost_at, retry_at;
    LoopBh *bh;              /* settles what came back */
    NbdList back;            /* answered, to be settled: libnbd must not be called from its callbacks */
    NbdList waiting;         /* for a connection */
    NbdList starved;         /* for a slot */
    NbdSlot *slots;          /* free ones */
    unsigned nslots;
} NbdQueue;

/* In BlockRequest.scratch. */
typedef struct {
    uint64_t pos;            /* bytes done */
    NbdSlot *slot;
    uint64_t covers;         /* of a flush: BlockNbd.written when it was sent */
    uint32_t len;            /* of the command */
    int32_t error;           /* errno of the answer */
    bool syncing;            /* FUA by way of a flush */
    bool cancelled, sent;
} NbdReq;

static inline NbdReq *nbd_req(BlockRequest *req)
{
    G_STATIC_ASSERT(sizeof(NbdReq) <= sizeof req->scratch);
    return (NbdReq *)req->scratch;
}

void nbd_list_init(NbdList *l);
void nbd_list_push(NbdList *l, BlockRequest *req);
BlockRequest *nbd_list_pop(NbdList *l);
bool nbd_list_remove(NbdList *l, BlockRequest *req);

/* --- block-nbd-dial.c --- */

NbdServer *nbd_server_new(const BlockNbd *n, GError **err); /* from its properties; NULL with one line */
void nbd_server_unref(NbdServer *s);                        /* NULL is fine */

/* Connects and waits for it, up to NBD_CONNECT_MS behind the name's lookup. NULL with one line. Any thread. */
struct nbd_handle *nbd_server_connect(const NbdServer *s, GError **err);
void nbd_server_hang_up(const NbdServer *s, struct nbd_handle *h); /* NULL is fine */

NbdDial *nbd_dial_new(NbdServer *s); /* begins; NULL: the host has no thread or descriptor for it */
int nbd_dial_fd(const NbdDial *d);   /* can be read once it is over */
/* Frees d, which is over; gives its connection, or NULL with one line. */
struct nbd_handle *nbd_dial_finish(NbdDial *d, GError **err);
void nbd_dial_abandon(NbdDial *d);   /* frees it, over or not; NULL is fine */

/* --- block-nbd-io.c --- */

void nbd_submit(BlockQueue *q, BlockRequest *req);
void nbd_cancel(BlockQueue *q, BlockRequest *req);
bool nbd_settle(NbdQueue *nq);     /* ends what was answered; false: nothing was */
void nbd_send_waiting(NbdQueue *nq);
void nbd_fail_waiting(NbdQueue *nq);
void nbd_note_loss(BlockNbd *n);   /* a connection is no more: what was not flushed may be lost */
void nbd_slots_free(NbdQueue *nq);

/* --- block-nbd.c --- */
/* Ends the connection, as if the server had; libnbd then gives the requests back, to be settled. Logs why. */
void nbd_break(NbdQueue *nq, const char *why);
void nbd_watch(NbdQueue *nq);      /* tells the loop what nbd waits for, and notices its death */

#endif
