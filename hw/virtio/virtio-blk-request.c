/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The way of requests of virtio-blk (VIRTIO 1.4 §5.2.6) behind virtio-blk-parse.c: merged with
 * neighbours of the same kick, given to the block node, and answered.
 *
 * What fails is reported, ignored, or stops the VM, as rerror and werror say; stopped requests are
 * tried again when the VM goes on.
 */
#include "hw/virtio/virtio-blk-internal.h"

#include <errno.h>
#include <inttypes.h>

#include "core/log.h"

/* --- pools and lists --- */

static void list_add(BlkList *l, BlkReq *r)
{
    r->next = NULL;
    *(l->first ? &l->last->next : &l->first) = r;
    l->last = r;
}

void virtio_blk_req_get_slot(BlkReq *r)
{
    BlkQueue *q = r->q;

    if (q->slots) {
        r->slot = q->slots;
        q->slots = r->slot->next;
        return;
    }
    g_assert(q->n_slots < q->n); /* a request has one at most */
    q->n_slots++;
    r->slot = g_new(BlkSlot, 1);
}

static void slot_put(BlkQueue *q, BlkSlot *slot)
{
    slot->next = q->slots;
    q->slots = slot;
}

static void req_put(BlkReq *r)
{
    BlkQueue *q = r->q;

    if (r->slot) {
        slot_put(q, g_steal_pointer(&r->slot));
    }
    r->merged = r->last = NULL;
    r->n_merged = r->range = r->n_ranges = 0;
    r->left = 0;
    r->steps = r->then_flush = false;
    r->elem = NULL;
    r->state = BLK_REQ_FREE;
    r->next = q->free;
    q->free = r;
}

/* --- answers --- */

/* Without bus mastering the guest's memory is not ours: the answer waits. */
void virtio_blk_req_finish(BlkReq *r, uint8_t status)
{
    BlkQueue *q = r->q;
    VirtIODevice *vdev = VIRTIO_DEVICE(q->s);

    if (G_UNLIKELY(!vdev->dma_allowed)) {
        r->status = status;
        r->state = BLK_REQ_HELD;
        list_add(&q->held, r);
        virtio_queue_run_later(vdev, q->vq);
        return;
    }
    TRACE(virtio_blk_done, "head=%u status=%u", vq_elem_head(r->elem), status);
    vq_elem_write_tail(r->elem, status);
    virtqueue_fill(r->elem);
    q->finished = true;
    req_put(r);
}

void virtio_blk_finish_held(BlkQueue *q)
{
    BlkReq *next, *r = q->held.first;

    q->held = (BlkList){0};
    for (; r; r = next) {
        next = r->next;
        virtio_blk_req_finish(r, r->status);
    }
}

void virtio_blk_tell_driver(BlkQueue *q)
{
    if (q->finished) {
        q->finished = false;
        virtio_notify(VIRTIO_DEVICE(q->s), q->vq);
    }
}

void virtio_blk_req_refuse(BlkReq *r, BlockOp op, uint8_t status)
{
    block_account_invalid(r->q->bq, op);
    virtio_blk_req_finish(r, status);
}

/* --- one step of a request --- */

static void submit(BlkReq *r)
{
    r->state = BLK_REQ_SUBMITTED;
    block_submit(r->q->bq, &r->io);
}

static const struct iovec *data_iov(BlkReq *r, unsigned *ret_n)
{
    return r->io.op == BLOCK_READ ? vq_elem_in_iov(r->elem, ret_n)
                                  : vq_elem_out_iov(r->elem, ret_n);
}

/*
 * The next part of what is too large for the node: as many pieces as a slot has room for, cut to
 * whole blocks. False: so many pieces are less than a block.
 */
static bool step_of_pieces(BlkReq *r)
{
    const BlockLimits *limits = r->q->s->limits;
    uint64_t most = MIN(r->left, limits->max_transfer), bytes = 0, rest;
    struct iovec *to = r->slot->iov;
    const struct iovec *from;
    unsigned n_from, n = 0;

    from = data_iov(r, &n_from);
    while (n < BLK_MERGE_PIECES && n < n_from && bytes < most) {
        to[n] = from[n];
        to[n].iov_len = MIN(to[n].iov_len, most - bytes);
        bytes += to[n++].iov_len;
    }
    for (rest = bytes % r->q->s->block_size; rest > 0;) {
        size_t cut = MIN(rest, to[n - 1].iov_len);

        to[n - 1].iov_len -= cut;
        n -= to[n - 1].iov_len == 0;
        rest -= cut;
        bytes -= cut;
    }
    r->io.iov = to;
    r->io.niov = n;
    r->io.offset = r->offset;
    r->io.bytes = bytes;
    return bytes > 0;
}

static void submit_step(BlkReq *r)
{
    if (step_of_pieces(r)) {
        submit(r);
    } else {
        log_guest("virtio-blk: request of more than %u pieces that are no block together",
                  BLK_MERGE_PIECES);
        virtio_blk_req_refuse(r, r->io.op, VIRTIO_BLK_S_IOERR);
    }
}

/* Ranges are cut into what the node takes at once. */
static void submit_range(BlkReq *r)
{
    const BlockLimits *limits = r->q->s->limits;
    uint64_t most = r->io.op == BLOCK_DISCARD        ? limits->max_discard
                    : r->io.op == BLOCK_WRITE_ZEROES ? limits->max_write_zeroes
                                                     : limits->max_secure_erase;

    most = MAX(most - most % r->q->s->block_size, r->q->s->block_size);
    r->io.offset = r->offset;
    r->io.bytes = MIN(r->left, most);
    submit(r);
}

void virtio_blk_req_flush(BlkReq *r)
{
    r->io.op = BLOCK_FLUSH;
    r->io.flags = 0;
    r->io.offset = r->io.bytes = 0;
    submit(r);
}

/* What is left is begun, or the request is done. */
void virtio_blk_req_continue(BlkReq *r)
{
    while (r->left == 0 && r->range < r->n_ranges) {
        const BlkRange *range = &r->slot->ranges[r->range++];

        r->offset = range->offset;
        r->left = range->bytes;
        r->io.flags = range->flags;
    }
    if (r->left > 0 && r->steps) {
        submit_step(r);
    } else if (r->left > 0) {
        submit_range(r);
    } else if (r->then_flush) {
        r->then_flush = false;
        virtio_blk_req_flush(r);
    } else {
        virtio_blk_req_finish(r, VIRTIO_BLK_S_OK);
    }
}

/* bytes of it are done. */
static void req_advance(BlkReq *r, uint64_t bytes)
{
    if (r->io.op == BLOCK_READ) {
        vq_elem_wrote(r->elem, bytes);
    } else if (r->steps && !vq_elem_skip_out(r->elem, bytes)) {
        g_assert_not_reached();
    }
    r->offset += bytes;
    r->left -= bytes;
    virtio_blk_req_continue(r);
}

/* --- errors --- */

static BlkOnError error_action(const VirtioBlk *s, bool is_read, int ret)
{
    BlkOnError policy = is_read ? s->rerror : s->werror;

    if (policy == BLK_ON_ERROR_ENOSPC) {
        policy = ret == -ENOSPC ? BLK_ON_ERROR_STOP : BLK_ON_ERROR_REPORT;
    }
    return policy;
}

/* Failures that an iothread has posted and the main loop has not told yet: a guest that lets
 * requests fail for fun does not fill memory with news. Those that stop the VM always come through:
 * their requests stay in flight. */
enum { MOST_UNTOLD = 64 };

/* What is said on the main loop, with the VM lock. */
typedef struct {
    VirtioBlk *s; /* owned; may have left its bus meanwhile */
    Platform *p;
    json_t *event;
    bool stop;
} Failure;

static void failure_told(void *opaque)
{
    Failure *f = opaque;

    atomic_fetch_sub(&f->s->untold, 1);
    platform_event(f->p, "BLOCK_IO_ERROR", f->event);
    if (f->stop) {
        platform_stop_request(f->p, STOP_CAUSE_IO_ERROR);
    }
    object_unref(f->s);
    g_free(f);
}

static void tell_user(VirtioBlk *s, bool is_read, BlkOnError action, int ret)
{
    static const char *const names[] = {
        [BLK_ON_ERROR_REPORT] = "report",
        [BLK_ON_ERROR_IGNORE] = "ignore",
        [BLK_ON_ERROR_STOP] = "stop",
    };

    const char *drive = block_node_drive_id(s->node);
    bool stop = action == BLK_ON_ERROR_STOP;
    Failure *f;

    if (atomic_load(&s->untold) >= MOST_UNTOLD && !stop) {
        return;
    }
    atomic_fetch_add(&s->untold, 1);
    f = g_new(Failure, 1);
    f->s = s;
    object_ref(s);
    f->p = device_platform(DEVICE(s));
    f->stop = stop;
    f->event = json_pack("{s:s, s:s, s:s, s:s, s:s}", "device", drive ? drive : "", "node-name",
                         block_node_name(s->node), "operation", is_read ? "read" : "write",
                         "action", names[action], "reason", g_strerror(-ret));
    if (block_io_status(s->user) != BLOCK_IO_STATUS_NONE) {
        json_object_set_new(f->event, "nospace", json_boolean(ret == -ENOSPC));
    }
    if (stop) {
        block_io_status_failed(s->user, ret);
    }
    if (virtio_on_iothread(VIRTIO_DEVICE(s))) {
        loop_post(f->p->loop, failure_told, f);
    } else {
        failure_told(f);
    }
}

static void req_failed(BlkReq *r, int ret)
{
    VirtioBlk *s = r->q->s;
    bool is_read = r->io.op == BLOCK_READ;
    BlkOnError action = error_action(s, is_read, ret);

    if (ret == -ENOTSUP && (r->io.op == BLOCK_DISCARD || r->io.op == BLOCK_WRITE_ZEROES ||
                            r->io.op == BLOCK_SECURE_ERASE)) {
        virtio_blk_req_finish(r, VIRTIO_BLK_S_UNSUPP);
        return;
    }
    tell_user(s, is_read, action, ret);
    switch (action) {
    case BLK_ON_ERROR_IGNORE:
        req_advance(r, r->io.bytes);
        break;
    case BLK_ON_ERROR_STOP:
        r->state = BLK_REQ_STOPPED;
        list_add(&r->q->stopped, r);
        break;
    default:
        virtio_blk_req_finish(r, VIRTIO_BLK_S_IOERR);
    }
}

/* --- many in one --- */

static void use_own_data(BlkReq *r)
{
    r->io.iov = data_iov(r, &r->io.niov);
    r->io.offset = r->offset;
    r->io.bytes = r->left;
}

/* Nobody knows which one failed: each is tried alone. */
static void group_split(BlkReq *lead)
{
    BlkQueue *q = lead->q;
    BlkReq *next, *r = lead->merged;

    lead->merged = lead->last = NULL;
    lead->n_merged = 0;
    slot_put(q, g_steal_pointer(&lead->slot));
    block_plug(q->bq);
    use_own_data(lead);
    submit(lead);
    for (; r; r = next) {
        next = r->next;
        use_own_data(r);
        submit(r);
    }
    block_unplug(q->bq);
}

static void group_done(BlkReq *lead)
{
    BlkReq *next, *r = lead->merged;

    lead->merged = lead->last = NULL;
    req_advance(lead, lead->left);
    for (; r; r = next) {
        next = r->next;
        req_advance(r, r->left);
    }
}

static bool merge(BlkReq *lead, BlkReq *r)
{
    const BlockLimits *limits = r->q->s->limits;
    unsigned niov = lead->io.niov + r->io.niov;

    if (lead->io.op != r->io.op || lead->io.offset + lead->io.bytes != r->io.offset ||
        lead->n_merged == BLK_MERGE_MAX - 1 || niov > MIN(BLK_MERGE_PIECES, limits->max_iov) ||
        lead->io.bytes + r->io.bytes > limits->max_transfer) {
        return false;
    }
    if (!lead->slot) {
        virtio_blk_req_get_slot(lead);
        memcpy(lead->slot->iov, lead->io.iov, lead->io.niov * sizeof(struct iovec));
        lead->io.iov = lead->slot->iov;
    }
    memcpy(lead->slot->iov + lead->io.niov, r->io.iov, r->io.niov * sizeof(struct iovec));
    lead->io.niov = niov;
    lead->io.bytes += r->io.bytes;
    lead->n_merged++;
    r->next = NULL;
    *(lead->last ? &lead->last->next : &lead->merged) = r;
    lead->last = r;
    return true;
}

static void submit_group(BlkReq *lead)
{
    if (lead->n_merged > 0) {
        block_account_merged(lead->q->bq, lead->io.op, lead->n_merged);
    }
    submit(lead);
}

void virtio_blk_submit_open(BlkQueue *q)
{
    for (unsigned i = 0; i < q->n_open; i++) {
        submit_group(q->open[i]);
    }
    q->n_open = 0;
}

/* Waits in q->open for neighbours until the run ends or newer ones push it out. */
static void offer_to_merge(BlkReq *r)
{
    BlkQueue *q = r->q;

    if (!q->s->merging) {
        submit(r);
        return;
    }
    for (unsigned i = 0; i < q->n_open; i++) {
        if (merge(q->open[i], r)) {
            return;
        }
    }
    if (q->n_open == BLK_OPEN_GROUPS) {
        submit_group(q->open[0]);
        memmove(q->open, q->open + 1, --q->n_open * sizeof q->open[0]);
    }
    q->open[q->n_open++] = r;
}

void virtio_blk_req_data(BlkReq *r)
{
    const BlockLimits *limits = r->q->s->limits;

    use_own_data(r);
    if (G_UNLIKELY(r->left == 0)) {
        virtio_blk_req_finish(r, VIRTIO_BLK_S_OK);
    } else if (G_UNLIKELY(r->left > limits->max_transfer || r->io.niov > limits->max_iov)) {
        r->steps = true;
        virtio_blk_req_get_slot(r);
        submit_step(r);
    } else {
        offer_to_merge(r);
    }
}

/* --- what comes back from the node --- */

static void done(BlockRequest *io, int ret)
{
    BlkReq *r = (BlkReq *)io;
    BlkQueue *q = r->q;

    r->state = BLK_REQ_TAKEN;
    if (G_UNLIKELY(q->dropping)) {
        return;
    }
    if (r->merged) {
        (ret < 0 ? group_split : group_done)(r);
    } else if (G_UNLIKELY(ret < 0)) {
        req_failed(r, ret);
    } else {
        req_advance(r, r->io.bytes);
    }
    if (q->finished) {
        loop_bh_schedule(q->round);
    }
}

static void round_over(void *opaque)
{
    virtio_blk_tell_driver(opaque);
}

/* --- a queue --- */

void virtio_blk_queue_retry(BlkQueue *q)
{
    BlkReq *next, *r = q->stopped.first;

    q->stopped = (BlkList){0};
    block_plug(q->bq);
    for (; r; r = next) {
        next = r->next;
        submit(r);
    }
    block_unplug(q->bq);
}

void virtio_blk_queue_cancel(BlkQueue *q)
{
    q->dropping = true;
    for (unsigned i = 0; i < q->n; i++) {
        if (q->reqs[i].state == BLK_REQ_SUBMITTED) {
            block_cancel(&q->reqs[i].io);
        }
    }
}

void virtio_blk_queue_drop(BlkQueue *q)
{
    if (!q->dropping) {
        virtio_blk_queue_cancel(q);
    }
    block_drain(q->bq);
    for (unsigned i = 0; i < q->n; i++) {
        if (q->reqs[i].state != BLK_REQ_FREE) {
            virtqueue_detach(q->reqs[i].elem);
            req_put(&q->reqs[i]);
        }
    }
    q->held = q->stopped = (BlkList){0};
    q->finished = q->dropping = false;
    loop_bh_cancel(q->round);
}

bool virtio_blk_queue_init(VirtioBlk *s, BlkQueue *q, VirtQueue *vq, GError **err)
{
    EventLoop *loop = virtio_queue_loop(vq);

    *q = (BlkQueue){.s = s, .vq = vq, .n = s->queue_size};
    q->bq = block_queue_new(s->user, loop, err);
    if (!q->bq) {
        return false;
    }
    q->round = loop_bh_new(loop, round_over, q);
    q->reqs = g_new0(BlkReq, q->n);
    for (unsigned i = q->n; i-- > 0;) {
        q->reqs[i].q = q;
        q->reqs[i].io.done = done;
        req_put(&q->reqs[i]);
    }
    return true;
}

void virtio_blk_queue_finish(BlkQueue *q)
{
    BlkSlot *next;

    for (BlkSlot *slot = q->slots; slot; slot = next) {
        next = slot->next;
        g_free(slot);
    }
    g_free(q->reqs);
    loop_bh_free(q->round);
    block_queue_free(q->bq);
    *q = (BlkQueue){0};
}
