/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File requests on io_uring. The queue's ring is filled by push and handed to the kernel by kick,
 * once per batch; the loop watches the ring's own descriptor, which is readable while there are
 * completions, so that none of them costs a read of an eventfd.
 */
#include "backends/block-file.h"

#include <errno.h>
#include <liburing.h>

enum { RING_ENTRIES = 128, RING_COMPLETIONS = 2048 };

#define CANCEL_TAG ((uint64_t)1) /* user_data of a cancellation; a request's is its address */

struct FileRing {
    FileQueue *fq;
    struct io_uring ring;
    LoopFd *source;
    LoopBh *bh;      /* completions that were there when submit returned; a second try to submit */
    bool fixed_file; /* the file is registered as number 0 */
    bool reaping;
    unsigned in_flight;                    /* steps, in the ring or in the backlog */
    BlockRequest *backlog, **backlog_tail; /* no room in the ring, by next */
};

/* --- submission --- */

static struct io_uring_sqe *get_sqe(FileRing *r)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&r->ring);

    if (!sqe) {
        io_uring_submit(&r->ring);
        sqe = io_uring_get_sqe(&r->ring);
    }
    return sqe;
}

static void prepare(FileRing *r, struct io_uring_sqe *sqe, const FileOp *op)
{
    int fd = r->fixed_file ? 0 : r->fq->node->fd;

    switch (op->kind) {
    case FILE_OP_READ:
        if (op->niov == 1) {
            io_uring_prep_read(sqe, fd, op->iov->iov_base, (unsigned)op->iov->iov_len, op->offset);
        } else {
            io_uring_prep_readv(sqe, fd, op->iov, op->niov, op->offset);
        }
        break;
    case FILE_OP_WRITE:
        if (op->niov == 1) {
            io_uring_prep_write(sqe, fd, op->iov->iov_base, (unsigned)op->iov->iov_len, op->offset);
        } else {
            io_uring_prep_writev(sqe, fd, op->iov, op->niov, op->offset);
        }
        sqe->rw_flags = op->rw_flags;
        break;
    case FILE_OP_SYNC:
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        break;
    case FILE_OP_ALLOC:
        io_uring_prep_fallocate(sqe, fd, op->mode, (off_t)op->offset, (off_t)op->len);
        break;
    case FILE_OP_IOCTL:
        g_assert_not_reached();
    }
    sqe->flags |= r->fixed_file ? IOSQE_FIXED_FILE : 0;
}

void file_ring_push(FileRing *r, BlockRequest *req, const FileOp *op)
{
    struct io_uring_sqe *sqe = r->backlog ? NULL : get_sqe(r);

    r->in_flight++;
    if (!sqe) {
        req->next = NULL;
        *r->backlog_tail = req;
        r->backlog_tail = &req->next;
        return;
    }
    prepare(r, sqe, op);
    io_uring_sqe_set_data(sqe, req);
}

static void push_backlog(FileRing *r)
{
    struct io_uring_sqe *sqe;
    BlockRequest *req;
    FileOp op;

    while ((req = r->backlog) && (sqe = get_sqe(r))) {
        if (!(r->backlog = req->next)) {
            r->backlog_tail = &r->backlog;
        }
        file_op(r->fq->node, req, &op);
        prepare(r, sqe, &op);
        io_uring_sqe_set_data(sqe, req);
    }
}

void file_ring_kick(FileRing *r)
{
    if (r->reaping) {
        return; /* reap ends with it */
    }
    push_backlog(r);
    if (io_uring_sq_ready(&r->ring) > 0) {
        io_uring_submit(&r->ring);
    }
    /* What the page cache had is done already; what the kernel did not take is tried again. */
    if (io_uring_cq_ready(&r->ring) > 0 || io_uring_sq_ready(&r->ring) > 0) {
        loop_bh_schedule(r->bh);
    }
}

void file_ring_cancel(FileRing *r, BlockRequest *req)
{
    struct io_uring_sqe *sqe;

    for (BlockRequest **at = &r->backlog; *at; at = &(*at)->next) {
        if (*at == req) {
            return; /* soon in the ring, and then as fast as any other */
        }
    }
    sqe = get_sqe(r);
    if (sqe) {
        io_uring_prep_cancel(sqe, req, 0);
        sqe->user_data = CANCEL_TAG;
        file_ring_kick(r);
    }
}

/* --- completion --- */

static bool reap(FileRing *r)
{
    struct io_uring_cqe *cqe;
    bool any = false;

    if (r->reaping) {
        return false;
    }
    block_plug(&r->fq->q); /* what done submits goes to the kernel as one */
    r->reaping = true;
    while (io_uring_peek_cqe(&r->ring, &cqe) == 0) {
        uint64_t tag = cqe->user_data;
        int32_t res = cqe->res;

        io_uring_cqe_seen(&r->ring, cqe);
        if (tag != CANCEL_TAG) {
            BlockRequest *req = (BlockRequest *)(uintptr_t)tag;

            r->in_flight--;
            file_req(req)->result = res;
            file_step_done(r->fq, req);
            any = true;
        }
    }
    r->reaping = false;
    block_unplug(&r->fq->q);
    file_ring_kick(r); /* steps that followed are no submissions of the queue */
    return any;
}

static void on_ring(void *opaque, unsigned events)
{
    reap(opaque);
}

static bool ring_ready(void *opaque)
{
    FileRing *r = opaque;

    return io_uring_cq_ready(&r->ring) > 0 || io_uring_cq_has_overflow(&r->ring);
}

static const LoopPollOps ring_poll = {.ready = ring_ready};

static void on_ring_bh(void *opaque)
{
    reap(opaque);
}

bool file_ring_poll(FileRing *r, bool wait)
{
    bool any;

    push_backlog(r);
    any = reap(r);
    if (!any && wait && r->in_flight > 0) {
        io_uring_submit_and_wait(&r->ring, 1);
        any = reap(r);
    }
    return any;
}

unsigned file_ring_in_flight(const FileRing *r)
{
    return r->in_flight;
}

/* --- life --- */

static bool is_capable(struct io_uring *ring)
{
    static const int ops[] = {IORING_OP_READ,        IORING_OP_WRITE, IORING_OP_READV,
                              IORING_OP_WRITEV,      IORING_OP_FSYNC, IORING_OP_FALLOCATE,
                              IORING_OP_ASYNC_CANCEL};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    bool ok = probe && (ring->features & IORING_FEAT_NODROP);

    for (unsigned i = 0; i < G_N_ELEMENTS(ops) && ok; i++) {
        ok = io_uring_opcode_supported(probe, ops[i]);
    }
    io_uring_free_probe(probe);
    return ok;
}

FileRing *file_ring_new(FileQueue *fq, GError **err)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = RING_COMPLETIONS};
    FileRing *r = g_new0(FileRing, 1);
    int rc = io_uring_queue_init_params(RING_ENTRIES, &r->ring, &params);

    if (rc < 0) {
        error_set_errno(err, -rc, "io_uring cannot be set up");
        g_free(r);
        return NULL;
    }
    if (!is_capable(&r->ring)) {
        error_set(err, "this kernel's io_uring is too old");
        io_uring_queue_exit(&r->ring);
        g_free(r);
        return NULL;
    }
    io_uring_ring_dontfork(&r->ring);
    r->fq = fq;
    r->backlog_tail = &r->backlog;
    r->fixed_file = io_uring_register_files(&r->ring, &fq->node->fd, 1) == 0;
    r->source = loop_fd_new(fq->q.loop, r->ring.ring_fd, LOOP_READ, on_ring, r);
    loop_fd_set_poll(r->source, &ring_poll);
    r->bh = loop_bh_new(fq->q.loop, on_ring_bh, r);
    return r;
}

void file_ring_free(FileRing *r)
{
    if (r) {
        g_assert(r->in_flight == 0);
        loop_fd_free(r->source);
        loop_bh_free(r->bh);
        io_uring_queue_exit(&r->ring);
        g_free(r);
    }
}
