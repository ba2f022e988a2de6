/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests on files and block devices. Each is a few steps, most often one; a step is one system
 * call, which io_uring or a worker carries out. Short transfers go on, reads beyond the end of the
 * file give zeroes, O_DIRECT's alignment is met by bounce buffers, and what the file system cannot
 * do is done in another way.
 */
#include "backends/block-file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/log.h"

/* --- steps --- */

static bool wants_sync(const BlockFile *n, const BlockRequest *req)
{
    return (req->flags & BLOCK_FUA) && !n->parent_obj.cache_no_flush;
}

static void op_transfer(const BlockFile *n, BlockRequest *req, FileOp *op)
{
    FileReq *f = file_req(req);

    op->kind = req->op == BLOCK_READ ? FILE_OP_READ : FILE_OP_WRITE;
    op->iov = f->slot ? f->slot->iov : req->iov;
    op->niov = f->slot ? f->slot->niov : req->niov;
    f->dsync = op->kind == FILE_OP_WRITE && wants_sync(n, req) && !atomic_load(&n->no_dsync);
    op->rw_flags = f->dsync ? RWF_DSYNC : 0;
}

void file_op(const BlockFile *n, BlockRequest *req, FileOp *op)
{
    const FileReq *f = file_req(req);

    *op = (FileOp){.offset = req->offset + f->pos, .len = f->len};
    switch ((FileStep)f->step) {
    case FILE_STEP_TRANSFER:
        op_transfer(n, req, op);
        break;
    case FILE_STEP_SYNC:
        op->kind = FILE_OP_SYNC;
        break;
    case FILE_STEP_DISCARD:
        op->kind = n->is_device ? FILE_OP_IOCTL : FILE_OP_ALLOC;
        op->ioctl = BLKDISCARD;
        op->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        break;
    case FILE_STEP_SECURE_ERASE:
        op->kind = FILE_OP_IOCTL;
        op->ioctl = BLKSECDISCARD;
        break;
    case FILE_STEP_UNMAP:
        op->kind = FILE_OP_ALLOC;
        op->mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        break;
    case FILE_STEP_ZERO:
        op->kind = FILE_OP_ALLOC;
        op->mode = FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE;
        break;
    case FILE_STEP_ZERO_WRITE:
        op->kind = FILE_OP_WRITE;
        op->iov = f->slot->iov;
        op->niov = f->slot->niov;
        break;
    }
}

/* On a worker. */
static void run_on_worker(BlockRequest *req, void *opaque)
{
    const BlockFile *n = ((FileQueue *)opaque)->node;
    uint64_t range[2];
    ssize_t rc = 0;
    FileOp op;

    file_op(n, req, &op);
    do {
        switch (op.kind) {
        case FILE_OP_READ:
            rc = preadv(n->fd, op.iov, (int)op.niov, (off_t)op.offset);
            break;
        case FILE_OP_WRITE:
            rc = pwritev2(n->fd, op.iov, (int)op.niov, (off_t)op.offset, op.rw_flags);
            break;
        case FILE_OP_SYNC:
            rc = fdatasync(n->fd);
            break;
        case FILE_OP_ALLOC:
            rc = fallocate(n->fd, op.mode, (off_t)op.offset, (off_t)op.len);
            break;
        case FILE_OP_IOCTL:
            range[0] = op.offset;
            range[1] = op.len;
            rc = ioctl(n->fd, op.ioctl, range);
            break;
        }
    } while (rc < 0 && errno == EINTR);
    file_req(req)->result = rc < 0 ? -errno : rc;
}

static void worker_done(BlockRequest *req, void *opaque)
{
    file_step_done(opaque, req);
}

static BlockPool *pool_of(FileQueue *fq)
{
    if (!fq->pool) {
        fq->pool = block_pool_new(&fq->q, run_on_worker, worker_done, fq, NULL);
    }
    return fq->pool;
}

static void slot_put(FileQueue *fq, BlockRequest *req);

/* Hands the present step to the host. */
static void issue(FileQueue *fq, BlockRequest *req)
{
    FileOp op;

    if (fq->ring) {
        file_op(fq->node, req, &op);
        if (op.kind != FILE_OP_IOCTL) {
            file_ring_push(fq->ring, req, &op);
            return;
        }
    }
    if (pool_of(fq)) {
        block_pool_push(fq->pool, req);
    } else {
        if (file_req(req)->slot) {
            slot_put(fq, req);
        }
        block_complete_later(req, -EAGAIN);
    }
}

/* --- slots --- */

static FileSlot *slot_get(FileQueue *fq)
{
    FileSlot *s = fq->slots;

    if (s) {
        fq->slots = s->next;
    } else if (fq->nslots < FILE_SLOTS) {
        s = g_new0(FileSlot, 1);
        fq->nslots++;
    }
    return s;
}

/* Fills the slot of req for the rest of it, or as much as fits. */
static void slot_fill(FileQueue *fq, BlockRequest *req)
{
    FileReq *f = file_req(req);
    FileSlot *s = f->slot;
    uint64_t left = req->bytes - f->pos;

    if (f->step == FILE_STEP_ZERO_WRITE) {
        left = MIN(left, (uint64_t)FILE_BOUNCE * BLOCK_MAX_IOV);
        for (s->niov = 0; s->niov * (uint64_t)FILE_BOUNCE < left; s->niov++) {
            s->iov[s->niov] = (struct iovec){
                fq->node->zeroes, MIN(FILE_BOUNCE, left - s->niov * (uint64_t)FILE_BOUNCE)};
        }
    } else if (f->bounce) {
        left = MIN(left, FILE_BOUNCE);
        if (!s->buf) {
            s->buf = aligned_alloc(BLOCK_MAX_ALIGN, FILE_BOUNCE);
            g_assert(s->buf);
        }
        s->iov[0] = (struct iovec){s->buf, left};
        s->niov = 1;
        if (req->op == BLOCK_WRITE) {
            block_iov_copy_out(req->iov, req->niov, f->pos, s->buf, left);
        }
    } else {
        s->niov = block_iov_slice(s->iov, req->iov, req->niov, f->pos, left);
    }
    f->len = (uint32_t)left;
}

/* Goes on with the rest of req by way of a slot, as soon as there is one. */
static void issue_by_slot(FileQueue *fq, BlockRequest *req)
{
    FileReq *f = file_req(req);

    if (!f->slot && !(f->slot = slot_get(fq))) {
        f->waits = true;
        req->next = NULL;
        *fq->waiting_tail = req;
        fq->waiting_tail = &req->next;
        return;
    }
    slot_fill(fq, req);
    issue(fq, req);
}

static void slot_put(FileQueue *fq, BlockRequest *req)
{
    FileReq *f = file_req(req);
    BlockRequest *next = fq->waiting;

    f->slot->next = fq->slots;
    fq->slots = g_steal_pointer(&f->slot);
    if (next) {
        if (!(fq->waiting = next->next)) {
            fq->waiting_tail = &fq->waiting;
        }
        file_req(next)->waits = false;
        issue_by_slot(fq, next);
    }
}

static void slots_free(FileQueue *fq)
{
    FileSlot *s;

    while ((s = fq->slots)) {
        fq->slots = s->next;
        free(s->buf);
        g_free(s);
        fq->nslots--;
    }
    g_assert(fq->nslots == 0);
}

/* --- from step to step --- */

static void end(FileQueue *fq, BlockRequest *req, int ret)
{
    if (file_req(req)->slot) {
        slot_put(fq, req);
    }
    block_complete(req, ret);
}

static void next_step(FileQueue *fq, BlockRequest *req, FileStep step)
{
    FileReq *f = file_req(req);

    f->step = (uint8_t)step;
    if (step == FILE_STEP_ZERO_WRITE) {
        issue_by_slot(fq, req);
    } else {
        issue(fq, req);
    }
}

/* The kernel forgets what it could not write back, and tells of that once. */
static void sync_failed(BlockFile *n, int64_t result)
{
    if (!n->direct && !atomic_exchange(&n->sync_failed, true)) {
        log_warn("%s: a flush failed (%s): data is lost, all later flushes fail, too", n->filename,
                 g_strerror((int)-result));
    }
}

/* The data is written; FUA may want more than that. */
static void written(FileQueue *fq, BlockRequest *req, bool synced)
{
    bool wanted = wants_sync(fq->node, req);

    if (wanted && atomic_load(&fq->node->sync_failed)) {
        end(fq, req, -EIO);
    } else if (wanted && !synced) {
        next_step(fq, req, FILE_STEP_SYNC);
    } else {
        end(fq, req, 0);
    }
}

static void transfer_done(FileQueue *fq, BlockRequest *req, int64_t result)
{
    FileReq *f = file_req(req);
    BlockFile *n = fq->node;
    bool at_end = result == 0;

    if (result == -EOPNOTSUPP && f->dsync) {
        atomic_store(&n->no_dsync, true);
        issue(fq, req); /* once more without RWF_DSYNC */
        return;
    }
    if (result < 0) {
        if (f->dsync &&
            result == -EIO) { /* not ENOSPC: a full disk loses nothing, and is retried */
            sync_failed(n, result);
        }
        end(fq, req, (int)result);
        return;
    }
    if (req->op == BLOCK_READ && f->bounce) {
        block_iov_copy_in(req->iov, req->niov, f->pos, f->slot->buf, (size_t)result);
    }
    f->pos += (uint64_t)result;
    if (f->pos == req->bytes) {
        req->op == BLOCK_READ ? end(fq, req, 0) : written(fq, req, f->dsync);
        return;
    }
    /* O_DIRECT stops within a block only at the end of the file, and could not go on from there. */
    at_end |= req->op == BLOCK_READ && n->direct && (uint64_t)result % n->io_align != 0;
    if (!at_end) {
        issue_by_slot(fq, req);
    } else if (req->op == BLOCK_READ) {
        block_iov_zero(req->iov, req->niov, f->pos, req->bytes - f->pos);
        end(fq, req, 0);
    } else {
        end(fq, req, -ENOSPC);
    }
}

static void sync_done(FileQueue *fq, BlockRequest *req, int64_t result)
{
    if (result < 0 && result != -ECANCELED) {
        sync_failed(fq->node, result);
    }
    end(fq, req, (int)result);
}

/* Of write-zeroes. */
static void zeroed(FileQueue *fq, BlockRequest *req, int64_t result)
{
    FileReq *f = file_req(req);

    if (f->step == FILE_STEP_ZERO_WRITE && result >= 0) {
        f->pos += (uint64_t)result;
        if (f->pos < req->bytes) {
            result > 0 ? issue_by_slot(fq, req) : end(fq, req, -ENOSPC);
            return;
        }
    }
    if (result >= 0) {
        written(fq, req, false);
    } else if (f->step != FILE_STEP_ZERO_WRITE &&
               (result == -EOPNOTSUPP || result == -ENOSYS || result == -EINVAL)) {
        next_step(fq, req, f->step == FILE_STEP_UNMAP ? FILE_STEP_ZERO : FILE_STEP_ZERO_WRITE);
    } else {
        end(fq, req, (int)result);
    }
}

void file_step_done(FileQueue *fq, BlockRequest *req)
{
    FileReq *f = file_req(req);
    int64_t result = f->result;

    if (result == -EAGAIN || result == -EINTR) {
        if (!f->cancelled) {
            issue(fq, req);
            return;
        }
        result = -ECANCELED;
    }
    if (f->cancelled && result >= 0 && f->step != FILE_STEP_SYNC &&
        f->pos + (uint64_t)result < req->bytes) {
        result = -ECANCELED;
    }
    switch ((FileStep)f->step) {
    case FILE_STEP_TRANSFER:
        transfer_done(fq, req, result);
        break;
    case FILE_STEP_SYNC:
        sync_done(fq, req, result);
        break;
    case FILE_STEP_DISCARD:
        end(fq, req, result == -EOPNOTSUPP ? 0 : (int)MIN(result, 0)); /* it is but a hint */
        break;
    case FILE_STEP_SECURE_ERASE:
        end(fq, req, (int)MIN(result, 0));
        break;
    default:
        zeroed(fq, req, result);
        break;
    }
}

/* --- the driver's methods --- */

static bool is_misaligned(const BlockFile *n, const BlockRequest *req)
{
    for (unsigned i = 0; i < req->niov; i++) {
        if ((uintptr_t)req->iov[i].iov_base & (n->mem_align - 1) ||
            req->iov[i].iov_len & (n->io_align - 1)) {
            return true;
        }
    }
    return false;
}

void file_submit(BlockQueue *q, BlockRequest *req)
{
    FileQueue *fq = (FileQueue *)q;
    const BlockFile *n = fq->node;
    FileReq *f = file_req(req);

    *f = (FileReq){.len = (uint32_t)req->bytes};
    switch (req->op) {
    case BLOCK_READ:
    case BLOCK_WRITE:
        f->step = FILE_STEP_TRANSFER;
        f->bounce = n->direct && is_misaligned(n, req);
        if (f->bounce) {
            issue_by_slot(fq, req);
            return;
        }
        break;
    case BLOCK_FLUSH:
        f->step = FILE_STEP_SYNC;
        if (q->node->cache_no_flush || atomic_load(&n->sync_failed)) {
            block_complete_later(req, q->node->cache_no_flush ? 0 : -EIO);
            return;
        }
        break;
    case BLOCK_DISCARD:
        f->step = FILE_STEP_DISCARD;
        break;
    case BLOCK_SECURE_ERASE:
        f->step = FILE_STEP_SECURE_ERASE;
        break;
    default:
        f->step = req->flags & BLOCK_MAY_UNMAP ? FILE_STEP_UNMAP : FILE_STEP_ZERO;
        break;
    }
    issue(fq, req);
}

void file_kick(BlockQueue *q)
{
    FileQueue *fq = (FileQueue *)q;

    if (fq->ring) {
        file_ring_kick(fq->ring);
    }
}

void file_cancel(BlockQueue *q, BlockRequest *req)
{
    FileQueue *fq = (FileQueue *)q;
    FileReq *f = file_req(req);

    if (f->waits) {
        for (BlockRequest **at = &fq->waiting; *at; at = &(*at)->next) {
            if (*at == req) {
                *at = req->next;
                if (fq->waiting_tail == &req->next) {
                    fq->waiting_tail = at;
                }
                break;
            }
        }
        block_complete_later(req, -ECANCELED);
        return;
    }
    f->cancelled = true;
    if (fq->pool && block_pool_cancel(fq->pool, req)) {
        if (f->slot) {
            slot_put(fq, req);
        }
        block_complete_later(req, -ECANCELED);
    } else if (fq->ring) {
        file_ring_cancel(fq->ring, req);
    }
}

bool file_poll(BlockQueue *q, bool wait)
{
    FileQueue *fq = (FileQueue *)q;
    bool progress = false;

    if (fq->ring) {
        progress |= file_ring_poll(fq->ring, false);
    }
    if (fq->pool) {
        progress |= block_pool_poll(fq->pool, false);
    }
    if (progress || !wait) {
        return progress;
    }
    if (fq->ring && file_ring_in_flight(fq->ring) > 0) {
        return file_ring_poll(fq->ring, true);
    }
    return fq->pool && block_pool_poll(fq->pool, true);
}

bool file_queue_open(BlockQueue *q, GError **err)
{
    FileQueue *fq = (FileQueue *)q;
    g_autoptr(GError) why = NULL;

    fq->node = BLOCK_FILE(q->node);
    fq->waiting_tail = &fq->waiting;
    if (fq->node->aio != FILE_AIO_THREADS) {
        fq->ring = file_ring_new(fq, &why);
        if (!fq->ring && fq->node->aio == FILE_AIO_IO_URING) {
            return error_set(err, "aio=io_uring: %s; aio=threads works everywhere", why->message);
        }
        if (!fq->ring) {
            TRACE(block_file_threads, "%s: %s, threads are used instead", fq->node->filename,
                  why->message);
        }
    }
    if (!fq->ring) {
        fq->pool = block_pool_new(q, run_on_worker, worker_done, fq, err);
    }
    return fq->ring || fq->pool;
}

void file_queue_close(BlockQueue *q)
{
    FileQueue *fq = (FileQueue *)q;

    file_ring_free(fq->ring);
    block_pool_free(fq->pool);
    slots_free(fq);
}
