/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drivers "null-co" and "null-aio": a disk that takes everything and keeps nothing. Reads leave
 * the memory as it is, or give zeroes with read-zeroes=on. For tests and measurements; latency-ns
 * makes it as slow as wanted.
 */
#include "backends/block-impl.h"

#include <errno.h>
#include <time.h>

#include "core/clock.h"

typedef struct {
    BlockNode parent_obj;
    uint64_t size, latency_ns;
    bool read_zeroes;
} BlockNull;

typedef struct {
    BlockQueue q;
    BlockRequest *first, **tail; /* in order of their end: scratch[0], a time of the clock */
    Clock *clock;                /* NULL: no latency */
    LoopTimer *timer;
} NullQueue;

static BlockNull *BLOCK_NULL(const void *n)
{
    return (BlockNull *)n;
}

static void null_timeout(void *opaque);

static bool null_queue_open(BlockQueue *q, GError **err)
{
    NullQueue *nq = (NullQueue *)q;

    nq->tail = &nq->first;
    if (BLOCK_NULL(q->node)->latency_ns) {
        nq->clock = clock_new();
        nq->timer = loop_timer_new(q->loop, nq->clock, null_timeout, nq);
    }
    return true;
}

static void null_queue_close(BlockQueue *q)
{
    NullQueue *nq = (NullQueue *)q;

    loop_timer_free(nq->timer);
    clock_free(nq->clock);
}

static void null_submit(BlockQueue *q, BlockRequest *req)
{
    const BlockNull *n = BLOCK_NULL(q->node);
    NullQueue *nq = (NullQueue *)q;

    if (req->op == BLOCK_READ && n->read_zeroes) {
        block_iov_zero(req->iov, req->niov, 0, req->bytes);
    }
    if (!nq->clock) {
        block_complete_later(req, 0);
        return;
    }
    req->scratch[0] = (uint64_t)clock_now(nq->clock) + n->latency_ns;
    if (!nq->first) {
        loop_timer_arm_at(nq->timer, (int64_t)req->scratch[0]);
    }
    *nq->tail = req;
    nq->tail = &req->next;
}

static void take_first(NullQueue *nq)
{
    BlockRequest *req = nq->first;

    nq->first = req->next;
    if (!nq->first) {
        nq->tail = &nq->first;
    }
    block_complete(req, 0);
}

/* Ends what is due. */
static bool null_run(NullQueue *nq)
{
    int64_t now = clock_now(nq->clock);
    bool any = false;

    while (nq->first && (int64_t)nq->first->scratch[0] <= now) {
        take_first(nq);
        any = true;
    }
    if (nq->first) {
        loop_timer_arm_at(nq->timer, (int64_t)nq->first->scratch[0]);
    } else {
        loop_timer_cancel(nq->timer);
    }
    return any;
}

static void null_timeout(void *opaque)
{
    null_run(opaque);
}

static bool null_poll(BlockQueue *q, bool wait)
{
    NullQueue *nq = (NullQueue *)q;

    if (!nq->first) {
        return false;
    }
    if (wait) {
        int64_t ns = (int64_t)nq->first->scratch[0] - clock_now(nq->clock);
        struct timespec ts = {MAX(ns, 0) / 1000000000, MAX(ns, 0) % 1000000000};

        nanosleep(&ts, NULL);
    }
    return null_run(nq);
}

static void null_cancel(BlockQueue *q, BlockRequest *req)
{
    NullQueue *nq = (NullQueue *)q;

    for (BlockRequest **p = &nq->first; *p; p = &(*p)->next) {
        if (*p == req) {
            *p = req->next;
            if (nq->tail == &req->next) {
                nq->tail = p;
            }
            block_complete_later(req, -ECANCELED);
            return;
        }
    }
}

static bool null_open(BlockNode *n, GError **err)
{
    n->limits.size = BLOCK_NULL(n)->size;
    n->limits.max_discard = n->limits.max_write_zeroes = UINT32_MAX;
    n->limits.max_secure_erase = UINT32_MAX; /* nothing is kept that could be read */
    n->limits.write_cache = false;
    return true;
}

static bool null_resize(BlockNode *n, uint64_t size, GError **err)
{
    n->limits.size = size;
    return true;
}

static void null_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->open = null_open;
    k->resize = null_resize;
    k->queue_size = sizeof(NullQueue);
    k->queue_open = null_queue_open;
    k->queue_close = null_queue_close;
    k->submit = null_submit;
    k->cancel = null_cancel;
    k->poll = null_poll;
}

static const Property null_props[] = {
    PROP_SIZE("size", BlockNull, size, UINT64_C(1) << 30, 0, INT64_MAX, "of the disk"),
    PROP_UINT64("latency-ns", BlockNull, latency_ns, 0, 0, UINT64_C(3600000000000),
                "time that each request takes"),
    PROP_BOOL("read-zeroes", BlockNull, read_zeroes, false,
              "reads give zeroes; off: they leave the memory alone"),
    PROP_END,
};

const TypeInfo block_null_co_type = {
    .name = "block-null-co",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockNull),
    .class_init = null_class_init,
    .props = null_props,
    .desc = "takes everything, keeps nothing",
};

const TypeInfo block_null_aio_type = {
    .name = "block-null-aio",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockNull),
    .class_init = null_class_init,
    .props = null_props,
    .desc = "takes everything, keeps nothing",
};
