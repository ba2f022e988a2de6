/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of the driver "nbd". libnbd takes one buffer per command: requests in several pieces go
 * through bounce buffers. A request whose connection died is done again from its start on the next
 * one; reading or writing the same bytes twice does no harm.
 */
#include "backends/block-nbd.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "core/log.h"

/* --- lists --- */

void nbd_list_init(NbdList *l)
{
    l->first = NULL;
    l->tail = &l->first;
    l->n = 0;
}

void nbd_list_push(NbdList *l, BlockRequest *req)
{
    req->next = NULL;
    *l->tail = req;
    l->tail = &req->next;
    l->n++;
}

BlockRequest *nbd_list_pop(NbdList *l)
{
    BlockRequest *req = l->first;

    if (req) {
        nbd_list_remove(l, req);
    }
    return req;
}

bool nbd_list_remove(NbdList *l, BlockRequest *req)
{
    for (BlockRequest **at = &l->first; *at; at = &(*at)->next) {
        if (*at == req) {
            *at = req->next;
            if (l->tail == &req->next) {
                l->tail = at;
            }
            l->n--;
            return true;
        }
    }
    return false;
}

/* --- slots --- */

static bool slot_get(NbdQueue *nq, BlockRequest *req)
{
    NbdReq *r = nbd_req(req);

    if (nq->slots) {
        r->slot = nq->slots;
        nq->slots = r->slot->next;
    } else if (nq->nslots < NBD_SLOTS) {
        r->slot = g_new(NbdSlot, 1);
        nq->nslots++;
    }
    return r->slot != NULL;
}

void nbd_slots_free(NbdQueue *nq)
{
    NbdSlot *s;

    while ((s = nq->slots)) {
        nq->slots = s->next;
        g_free(s);
        nq->nslots--;
    }
    g_assert(nq->nslots == 0);
}

static void send_starved(NbdQueue *nq);

static void end(NbdQueue *nq, BlockRequest *req, int ret)
{
    NbdReq *r = nbd_req(req);

    if (r->slot) {
        r->slot->next = nq->slots;
        nq->slots = g_steal_pointer(&r->slot);
        send_starved(nq);
    }
    block_complete_later(req, ret); /* legal wherever this is called from */
}

/* --- what is not flushed --- */

void nbd_note_loss(BlockNbd *n)
{
    pthread_mutex_lock(&n->lock);
    n->lost = MAX(n->lost, atomic_load(&n->written));
    pthread_mutex_unlock(&n->lock);
}

/* The server answered a flush. What was lost before is told once: there is no more to lose. */
static int flushed(BlockNbd *n, uint64_t covers)
{
    static LogRate rate;
    bool lost;

    pthread_mutex_lock(&n->lock);
    lost = n->lost > n->flushed;
    n->flushed = MAX(n->flushed, lost ? n->lost : covers);
    pthread_mutex_unlock(&n->lock);
    if (lost) {
        log_warn_rated(&rate,
                       "%s: the connection was lost before what had been written was flushed, and "
                       "the server may have lost that: a flush fails",
                       n->server->filename);
    }
    return lost ? -EIO : 0;
}

/* All commands of req succeeded. */
static int success(NbdQueue *nq, BlockRequest *req)
{
    if (nbd_req(req)->syncing || req->op == BLOCK_FLUSH) {
        return flushed(nq->node, nbd_req(req)->covers);
    }
    if ((req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES) && !(req->flags & BLOCK_FUA) &&
        nq->node->can_flush) {
        atomic_fetch_add(&nq->node->written, 1);
    }
    return 0;
}

/* --- sending --- */

static int on_answer(void *opaque, int *error)
{
    BlockRequest *req = opaque;
    NbdQueue *nq = (NbdQueue *)req->queue;

    nbd_req(req)->error = *error;
    nbd_req(req)->sent = false;
    nq->sent--;
    nq->unwanted -= nbd_req(req)->cancelled;
    nq->silent_since = 0;
    nbd_list_push(&nq->back, req);
    loop_bh_schedule(nq->bh);
    return 1; /* libnbd may forget the command */
}

/* What the server has of len bytes: it may end within the last sector. */
static uint64_t there(const NbdQueue *nq, uint64_t offset, uint64_t len)
{
    return offset < nq->node->size ? MIN(len, nq->node->size - offset) : 0;
}

static int64_t send_transfer(NbdQueue *nq, BlockRequest *req, nbd_completion_callback cb,
                             uint32_t flags)
{
    NbdReq *r = nbd_req(req);
    uint64_t offset = req->offset + r->pos, len;
    uint8_t *buf;

    if (r->slot) {
        buf = r->slot->buf;
        r->len = (uint32_t)MIN(req->bytes - r->pos, NBD_BOUNCE);
        if (req->op == BLOCK_WRITE) {
            block_iov_copy_out(req->iov, req->niov, r->pos, buf, r->len);
        }
    } else {
        buf = req->iov->iov_base;
        r->len = (uint32_t)req->bytes;
    }
    len = there(nq, offset, r->len);
    if (req->op == BLOCK_READ) {
        memset(buf + len, 0, r->len - len);
    }
    return req->op == BLOCK_READ ? nq->lib->aio_pread(nq->nbd, buf, len, offset, cb, 0)
                                 : nq->lib->aio_pwrite(nq->nbd, buf, len, offset, cb, flags);
}

static int64_t send_command(NbdQueue *nq, BlockRequest *req)
{
    nbd_completion_callback cb = {.callback = on_answer, .user_data = req};
    bool fua = (req->flags & BLOCK_FUA) && nq->node->can_fua;
    uint32_t flags = fua ? LIBNBD_CMD_FLAG_FUA : 0;
    NbdReq *r = nbd_req(req);

    if (r->syncing || req->op == BLOCK_FLUSH) {
        r->covers = atomic_load(&nq->node->written);
        return nq->lib->aio_flush(nq->nbd, cb, 0);
    }
    if (req->op == BLOCK_READ || req->op == BLOCK_WRITE) {
        return send_transfer(nq, req, cb, flags);
    }
    r->len = (uint32_t)req->bytes;
    if (req->op == BLOCK_DISCARD) {
        return nq->lib->aio_trim(nq->nbd, there(nq, req->offset, req->bytes), req->offset, cb, 0);
    }
    flags |= req->flags & BLOCK_MAY_UNMAP ? 0 : LIBNBD_CMD_FLAG_NO_HOLE;
    return nq->lib->aio_zero(nq->nbd, there(nq, req->offset, req->bytes), req->offset, cb, flags);
}

/* What the last connection did of it may be lost. */
static void wait_for_connection(NbdQueue *nq, BlockRequest *req)
{
    nbd_req(req)->pos = 0;
    nbd_req(req)->syncing = false;
    nbd_list_push(&nq->waiting, req);
}

/* libnbd refuses what it knows the server cannot do; else the connection died, and nbd_watch will
 * see. */
static void not_sent(NbdQueue *nq, BlockRequest *req)
{
    nbd_req(req)->sent = false;
    nq->sent--;
    if (nq->lib->aio_is_ready(nq->nbd)) {
        end(nq, req, nq->lib->get_errno() ? -nq->lib->get_errno() : -EIO);
    } else {
        wait_for_connection(nq, req);
    }
}

/* Sends the present command of req, or keeps it until there is a connection. */
static void send_or_wait(NbdQueue *nq, BlockRequest *req)
{
    if (nbd_req(req)->cancelled) {
        end(nq, req, -ECANCELED);
    } else if (nq->nbd) {
        nq->sent++;
        nbd_req(req)->sent = true;
        if (send_command(nq, req) < 0) {
            not_sent(nq, req);
        }
    } else if (nq->lost || nq->waiting.n >= NBD_WAITING_MAX) {
        end(nq, req, -EIO);
    } else {
        wait_for_connection(nq, req);
    }
}

static void begin(NbdQueue *nq, BlockRequest *req)
{
    bool bounce = (req->op == BLOCK_READ || req->op == BLOCK_WRITE) && req->niov != 1;

    if (bounce && !nbd_req(req)->slot && !slot_get(nq, req)) {
        nbd_list_push(&nq->starved, req);
        return;
    }
    send_or_wait(nq, req);
}

static void send_starved(NbdQueue *nq)
{
    while (nq->starved.first && nq->slots) {
        begin(nq, nbd_list_pop(&nq->starved));
    }
}

void nbd_send_waiting(NbdQueue *nq)
{
    NbdList list = nq->waiting;
    BlockRequest *req = list.first, *next;

    nbd_list_init(&nq->waiting);
    for (; req; req = next) {
        next = req->next;
        send_or_wait(nq, req);
    }
}

void nbd_fail_waiting(NbdQueue *nq)
{
    BlockRequest *req;

    while ((req = nbd_list_pop(&nq->waiting))) {
        end(nq, req, -EIO);
    }
}

/* --- answers --- */

/* The connection went, or the server answered that it ends, and will hear nothing more. */
static bool is_loss(int error)
{
    return error == ENOTCONN || error == ESHUTDOWN || error == ECONNRESET || error == EPIPE;
}

static void answered(NbdQueue *nq, BlockRequest *req)
{
    NbdReq *r = nbd_req(req);
    bool fua = (req->flags & BLOCK_FUA) && !nq->node->can_fua && nq->node->can_flush;

    if (is_loss(r->error)) {
        if (nq->nbd && !nq->lib->aio_is_dead(nq->nbd) && !nq->lib->aio_is_closed(nq->nbd)) {
            nbd_break(nq, "says that it shuts down");
            nq->retry_at =
                clock_now(nq->clock) + NBD_RETRY_MS * 1000000ll; /* it may take a while */
        }
        send_or_wait(nq, req);
        return;
    }
    if (r->error) {
        end(nq, req, -r->error);
        return;
    }
    if (req->op == BLOCK_READ && r->slot) {
        block_iov_copy_in(req->iov, req->niov, r->pos, r->slot->buf, r->len);
    }
    r->pos += r->len;
    if ((req->op == BLOCK_READ || req->op == BLOCK_WRITE) && r->pos < req->bytes) {
        send_or_wait(nq, req);
    } else if ((req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES) && fua && !r->syncing) {
        r->syncing = true;
        send_or_wait(nq, req);
    } else {
        end(nq, req, success(nq, req));
    }
}

bool nbd_settle(NbdQueue *nq)
{
    NbdList list = nq->back;
    BlockRequest *req = list.first, *next;
    bool any = req != NULL;

    nbd_list_init(&nq->back);
    for (; req; req = next) {
        next = req->next;
        answered(nq, req);
    }
    return any;
}

/* --- the driver's methods --- */

/*
 * The part of the last sector that the server does not have is zeroes: nothing is to be done where
 * that is all of the request, and nothing else can be written there. 1: the request goes on.
 */
static int beyond_the_end(const NbdQueue *nq, const BlockRequest *req)
{
    uint64_t len = there(nq, req->offset, req->bytes);
    uint8_t rest[BLOCK_SECTOR];
    struct iovec iov = {rest, req->bytes - len};

    if (req->op == BLOCK_WRITE && iov.iov_len > 0) {
        block_iov_copy_out(req->iov, req->niov, len, rest, iov.iov_len);
        if (!block_iov_is_zero(&iov, 1)) {
            return -EIO;
        }
    }
    if (req->op == BLOCK_READ && len == 0) {
        block_iov_zero(req->iov, req->niov, 0, req->bytes);
    }
    return len > 0 || req->op == BLOCK_FLUSH;
}

void nbd_submit(BlockQueue *q, BlockRequest *req)
{
    NbdQueue *nq = (NbdQueue *)q;
    int ret = beyond_the_end(nq, req);

    *nbd_req(req) = (NbdReq){.pos = 0};
    if (G_UNLIKELY(ret <= 0)) {
        block_complete_later(req, ret);
        return;
    }
    if (req->op == BLOCK_FLUSH && !nq->node->can_flush) {
        block_complete_later(req, 0); /* the server has no cache that it would tell of */
        return;
    }
    begin(nq, req);
    nbd_watch(nq);
}

void nbd_cancel(BlockQueue *q, BlockRequest *req)
{
    NbdQueue *nq = (NbdQueue *)q;

    if (nbd_req(req)->cancelled) {
        return;
    }
    nbd_req(req)->cancelled = true;
    if (nbd_req(req)->sent && nq->unwanted++ == 0) {
        nq->unwanted_since = clock_now(nq->clock);
    }
    if (nbd_list_remove(&nq->waiting, req) || nbd_list_remove(&nq->starved, req)) {
        end(nq, req, -ECANCELED);
    }
}
