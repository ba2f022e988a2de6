/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the drivers "file" and "host_device" share: the node (block-file.c), image locks
 * (block-file-lock.c), and requests on io_uring or worker threads (block-file-io.c, block-file-ring.c).
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_FILE_H
#define AEROSTAT_BACKENDS_BLOCK_FILE_H

#include <stdatomic.h>

#include "backends/block-impl.h"
#include "backends/block-pool.h"
#include "backends/fd-table.h"

enum { FILE_AIO_AUTO, FILE_AIO_IO_URING, FILE_AIO_THREADS, FILE_AIO_NATIVE };
enum { FILE_LOCK_AUTO, FILE_LOCK_ON, FILE_LOCK_OFF };
enum { FILE_BOUNCE = 256 * 1024, FILE_SLOTS = 8 };
enum { FILE_MAX_RANGE = 1 << 30 }; /* of a discard, write-zeroes or secure erase; bytes */

typedef struct {
    BlockNode parent_obj;
    char *filename;
    int aio, locking;        /* FILE_AIO_*, FILE_LOCK_* */
    int fd;
    FdTable *fds;            /* where fd is a duplicate from; referenced */
    int64_t fdset;           /* of /dev/fdset/N; -1: a file opened by its name */
    int lock_fd;             /* an open file of its own: io_uring holds fd for a while after a process was killed */
    bool is_device;
    bool direct;             /* O_DIRECT */
    uint32_t mem_align, io_align; /* what O_DIRECT wants; else 1 */
    void *zeroes;            /* FILE_BOUNCE bytes of them */
    uint64_t locked;         /* bytes of the file that are locked, see block-file-lock.c */
    atomic_bool no_dsync;    /* the file system knows no RWF_DSYNC */
    /* A flush failed: the kernel has thrown away what it could not write, so no later flush can promise anything. */
    atomic_bool sync_failed;
} BlockFile;

static inline BlockFile *BLOCK_FILE(const void *n)
{
    return (BlockFile *)n;
}

/* Memory for requests that cannot go to the host as they are: misaligned ones, and the rest of short transfers. */
typedef struct FileSlot FileSlot;
struct FileSlot {
    FileSlot *next;          /* FileQueue.slots */
    struct iovec iov[BLOCK_MAX_IOV];
    unsigned niov;
    uint8_t *buf;            /* FILE_BOUNCE bytes, aligned; NULL: not needed so far */
};

typedef enum {
    FILE_STEP_TRANSFER,      /* all or, with a slot, a part of a read or write */
    FILE_STEP_SYNC,
    FILE_STEP_DISCARD,
    FILE_STEP_SECURE_ERASE,
    FILE_STEP_UNMAP,         /* of write-zeroes: first try ... */
    FILE_STEP_ZERO,          /* second ... */
    FILE_STEP_ZERO_WRITE,    /* and last */
} FileStep;

/* In BlockRequest.scratch. */
typedef struct {
    uint64_t pos;            /* bytes done */
    FileSlot *slot;
    int64_t result;          /* of the present step: bytes, 0 or a negative errno */
    uint32_t len;            /* bytes of the present step */
    uint8_t step;            /* FileStep */
    bool bounce, cancelled, waits;
    bool dsync;              /* the step is a write with RWF_DSYNC */
} FileReq;

static inline FileReq *file_req(BlockRequest *req)
{
    G_STATIC_ASSERT(sizeof(FileReq) <= sizeof req->scratch);
    return (FileReq *)req->scratch;
}

typedef enum { FILE_OP_READ, FILE_OP_WRITE, FILE_OP_SYNC, FILE_OP_ALLOC, FILE_OP_IOCTL } FileOpKind;

/* One system call's worth of a request. */
typedef struct {
    FileOpKind kind;
    uint64_t offset, len;
    const struct iovec *iov;
    unsigned niov;
    int rw_flags;            /* RWF_* */
    int mode;                /* of fallocate */
    unsigned long ioctl;
} FileOp;

typedef struct FileRing FileRing;

typedef struct {
    BlockQueue q;
    BlockFile *node;
    FileRing *ring;          /* NULL: threads */
    BlockPool *pool;         /* NULL: not needed so far */
    FileSlot *slots;         /* free ones */
    unsigned nslots;
    BlockRequest *waiting, **waiting_tail; /* for a slot, by next */
} FileQueue;

/* What the present step of req asks of the host. Any thread. */
void file_op(const BlockFile *n, BlockRequest *req, FileOp *ret_op);
/* The step is done, its result in FileReq. The queue's thread. */
void file_step_done(FileQueue *fq, BlockRequest *req);

/* --- io_uring: block-file-ring.c --- */
FileRing *file_ring_new(FileQueue *fq, GError **err); /* NULL with one line: not permitted, or too old */
void file_ring_free(FileRing *r);                     /* NULL is fine */
void file_ring_push(FileRing *r, BlockRequest *req, const FileOp *op);
void file_ring_kick(FileRing *r);
void file_ring_cancel(FileRing *r, BlockRequest *req);
unsigned file_ring_in_flight(const FileRing *r);
bool file_ring_poll(FileRing *r, bool wait);

/* --- locks: block-file-lock.c --- */
bool file_set_perm(BlockNode *n, const BlockPerm *perm, GError **err);

/* --- what only block devices have: block-file-device.c --- */
void file_device_limits(BlockFile *n, dev_t rdev, BlockLimits *l);
bool file_device_lifetime(BlockNode *n, BlockLifetime *ret_lifetime);

/* --- block-file-io.c --- */
bool file_queue_open(BlockQueue *q, GError **err);
void file_queue_close(BlockQueue *q);
void file_submit(BlockQueue *q, BlockRequest *req);
void file_kick(BlockQueue *q);
void file_cancel(BlockQueue *q, BlockRequest *req);
bool file_poll(BlockQueue *q, bool wait);

#endif
