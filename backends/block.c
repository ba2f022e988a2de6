/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Users and queues of block nodes: the way of a request from block_submit through the driver to its
 * done callback, and drain. Nodes are made in block-node.c, what is counted is in block-stats.c.
 */
#include "backends/block-impl.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "backends/block-throttle.h"

/* --- time --- */

int64_t block_monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int64_t block_now(BlockQueue *q)
{
    if (!q->batch_timed) {
        q->now = block_monotonic_ns();
        q->batch_timed = q->plugged > 0;
    }
    return q->now;
}

/* --- users --- */

static bool conflicts(const BlockUserOps *a, const BlockUserOps *b)
{
    return (a->writes && !b->share_rw) || (b->writes && !a->share_rw);
}

static bool check_attach(BlockNode *node, const BlockUserOps *ops, GError **err)
{
    if (node->parent) {
        return error_set(err, "block node '%s' is part of node '%s': use that one",
                         block_node_name(node), block_node_name(node->parent));
    }
    if (ops->writes && node->limits.read_only) {
        return error_set(err, "block node '%s' is read-only", block_node_name(node));
    }
    for (unsigned i = 0; i < node->users->len; i++) {
        const BlockUser *other = node->users->pdata[i];

        if (conflicts(&other->ops, ops)) {
            return error_set(err,
                             "block node '%s' is in use by '%s' (share-rw=on on both shares it)",
                             block_node_name(node), other->ops.name);
        }
    }
    return true;
}

static void user_free(BlockUser *u)
{
    block_stats_finish(u);
    g_ptr_array_unref(u->queues);
    pthread_mutex_destroy(&u->lock);
    g_free((char *)u->ops.name);
    g_free((char *)u->ops.path);
    g_free(u);
}

BlockUser *block_attach(BlockNode *node, const BlockUserOps *ops, GError **err)
{
    BlockUser *u;

    if (!check_attach(node, ops, err)) {
        return NULL;
    }
    u = g_new0(BlockUser, 1);
    u->node = node;
    u->ops = *ops;
    u->ops.name = g_strdup(ops->name ?: "");
    u->ops.path = g_strdup(ops->path ?: u->ops.name);
    pthread_mutex_init(&u->lock, NULL);
    u->queues = g_ptr_array_new();
    block_set_accounting(u, node->account_invalid, node->account_failed);
    g_ptr_array_add(node->users, u);
    if ((node->intervals && !block_set_intervals(u, node->intervals, err)) ||
        !block_node_update_perm(node, err)) {
        g_ptr_array_remove(node->users, u);
        user_free(u);
        return NULL;
    }
    object_ref(node);
    return u;
}

void block_detach(BlockUser *u)
{
    BlockNode *node;

    if (!u) {
        return;
    }
    g_assert(u->queues->len == 0);
    node = u->node;
    g_ptr_array_remove(node->users, u);
    block_node_update_perm(node, NULL); /* less than before: cannot fail */
    user_free(u);
    object_unref(node);
}

BlockNode *block_user_node(const BlockUser *u)
{
    return u->node;
}

const BlockLimits *block_limits(const BlockNode *node)
{
    return &node->limits;
}

void block_foreach_user(BlockNode *node, void (*fn)(BlockUser *u, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < node->users->len; i++) {
        fn(node->users->pdata[i], opaque);
    }
}

const char *block_user_path(const BlockUser *u)
{
    return u->ops.path;
}

const char *block_user_name(const BlockUser *u)
{
    return u->ops.name;
}

/* --- queues --- */

static bool run_ended(BlockQueue *q);

static void on_bh(void *opaque)
{
    run_ended(opaque);
}

/* Transparent nodes have no queue: their child serves it. */
static BlockNode *serving_node(BlockNode *n)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    while (k->is_transparent && !n->throttle && k->is_transparent(n)) {
        n = n->child[BLOCK_CHILD_FILE];
        k = BLOCK_NODE_GET_CLASS(n);
    }
    return n;
}

static void queue_free(BlockQueue *q)
{
    BlockRequest *req;

    g_assert(q->in_flight == 0 && !q->ended);
    if (q->klass->queue_close) {
        q->klass->queue_close(q);
    }
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (q->child[i]) {
            queue_free(q->child[i]);
        }
    }
    while ((req = q->pool)) {
        q->pool = req->next;
        g_free(req);
    }
    block_throttle_free(q->throttle);
    loop_bh_free(q->bh);
    object_unref(q->node);
    g_free(q);
}

/* u: whose requests come, NULL: our own. */
static BlockQueue *queue_make(BlockNode *node, const BlockUser *u, EventLoop *loop, GError **err)
{
    const BlockNodeClass *k;
    BlockQueue *q;

    node = serving_node(node);
    k = BLOCK_NODE_GET_CLASS(node);
    q = g_malloc0(MAX(k->queue_size, sizeof *q));
    q->node = BLOCK_NODE(object_ref(node));
    q->klass = k;
    q->loop = loop;
    q->own_cache_mode = u && u->ops.own_cache_mode;
    q->ended_tail = &q->ended;
    q->bh = loop_bh_new(loop, on_bh, q);
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (node->child[i] && !(q->child[i] = queue_make(node->child[i], u, loop, err))) {
            goto fail;
        }
    }
    if (node->throttle) {
        q->throttle = block_throttle_new(q, THROTTLE_GROUP(node->throttle));
    }
    if (!k->queue_open || k->queue_open(q, err)) {
        return q;
    }
fail:
    queue_free(q);
    return NULL;
}

BlockQueue *block_queue_new(BlockUser *u, EventLoop *loop, GError **err)
{
    BlockQueue *q = queue_make(u->node, u, loop, err);

    if (q) {
        q->user = u;
        pthread_mutex_lock(&u->lock);
        g_ptr_array_add(u->queues, q);
        pthread_mutex_unlock(&u->lock);
    }
    return q;
}

void block_queue_free(BlockQueue *q)
{
    BlockUser *u;

    if (!q) {
        return;
    }
    u = q->user;
    pthread_mutex_lock(&u->lock);
    g_ptr_array_remove(u->queues, q);
    block_stats_add(&u->past, &q->stats);
    u->past_highest = MAX(u->past_highest, q->highest_write);
    u->past_access = MAX(u->past_access, q->last_access);
    pthread_mutex_unlock(&u->lock);
    queue_free(q);
}

/* The queue's thread may be about to look at the timer of what goes. */
static void queue_set_throttle(BlockQueue *q, EventLoop *held, ThrottleGroup *g)
{
    if (q->loop != held) {
        loop_lock(q->loop);
    }
    block_throttle_free(q->throttle);
    q->throttle = g ? block_throttle_new(q, g) : NULL;
    if (q->loop != held) {
        loop_unlock(q->loop);
    }
}

void block_node_set_throttle(BlockNode *n, ThrottleGroup *g)
{
    block_node_quiesce(n, true);
    for (unsigned i = 0; i < n->users->len; i++) {
        BlockUser *u =
            n->users->pdata[i]; /* its queues come and go under the VM lock, which we have */

        for (unsigned k = 0; k < u->queues->len; k++) {
            queue_set_throttle(u->queues->pdata[k], n->loop, g);
        }
    }
    object_unref(n->throttle);
    n->throttle = g ? object_ref(g) : NULL;
    block_node_quiesce(n, false);
}

/* --- the end of a request --- */

static void account(BlockQueue *q, const BlockRequest *req, int ret)
{
    int64_t now = block_now(q);
    uint64_t ns = (uint64_t)MAX(now - req->start_ns, 0);
    bool timed = ret >= 0 || q->user->account_failed;

    if (ret < 0) {
        block_count(&q->stats.failed[req->op], 1);
    } else {
        block_count(&q->stats.ops[req->op], 1);
        block_count(&q->stats.bytes[req->op], req->bytes);
        if ((req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES) &&
            req->offset + req->bytes > q->highest_write) {
            __atomic_store_n(&q->highest_write, req->offset + req->bytes, __ATOMIC_RELAXED);
        }
    }
    if (G_LIKELY(timed)) {
        __atomic_store_n(&q->last_access, now, __ATOMIC_RELAXED);
        block_count(&q->stats.ns[req->op], ns);
    }
    if (G_UNLIKELY(q->user->latencies)) {
        block_account_latency(q, req->op, now, ns, timed);
    }
}

static void start(BlockQueue *q, BlockRequest *req)
{
    q->klass->submit(q, req);
    if (q->plugged) {
        q->unkicked = true;
    } else if (q->klass->kick) {
        q->klass->kick(q);
    }
}

static void finish(BlockQueue *q, BlockRequest *req, int ret)
{
    if (G_UNLIKELY(req->flags & BLOCK_WAS_WRITE)) {
        req->op = BLOCK_WRITE;
        req->flags &= ~(unsigned)(BLOCK_WAS_WRITE | BLOCK_MAY_UNMAP);
        if (ret == -ENOTSUP) {
            start(q, req);
            return;
        }
    }
    if (q->user) {
        account(q, req, ret);
    }
    q->in_flight--;
    req->done(req, ret);
}

void block_complete(BlockRequest *req, int ret)
{
    finish(req->queue, req, ret);
}

void block_complete_later(BlockRequest *req, int ret)
{
    BlockQueue *q = req->queue;

    req->flags |= BLOCK_ENDED;
    req->scratch[0] = (uint64_t)(int64_t)ret;
    req->next = NULL;
    if (!q->ended) {
        loop_bh_schedule(q->bh);
    }
    *q->ended_tail = req;
    q->ended_tail = &req->next;
}

static bool run_ended(BlockQueue *q)
{
    BlockRequest *req = q->ended;

    if (!req) {
        return false;
    }
    q->ended = NULL;
    q->ended_tail = &q->ended;
    block_plug(q); /* what done submits goes to the host as one */
    while (req) {
        BlockRequest *next = req->next;

        req->flags &= ~(unsigned)BLOCK_ENDED;
        finish(q, req, (int)(int64_t)req->scratch[0]);
        req = next;
    }
    block_unplug(q);
    return true;
}

/* --- its beginning --- */

static int check_request(const BlockQueue *q, const BlockRequest *req)
{
    const BlockLimits *l = &q->node->limits;

    if (req->offset > l->size || req->bytes > l->size - req->offset) {
        return -EIO;
    }
    if ((req->offset | req->bytes) & (l->request_alignment - 1) || req->niov > BLOCK_MAX_IOV) {
        return -EINVAL;
    }
    if (l->read_only && req->op != BLOCK_READ && req->op != BLOCK_FLUSH) {
        return -EROFS;
    }
    if ((req->op == BLOCK_DISCARD && req->bytes > l->max_discard) ||
        (req->op == BLOCK_WRITE_ZEROES && req->bytes > l->max_write_zeroes) ||
        (req->op == BLOCK_SECURE_ERASE && req->bytes > l->max_secure_erase)) {
        return -ENOTSUP;
    }
    return 0;
}

/* What the node's options make of a request. */
static void apply_policy(const BlockQueue *q, BlockRequest *req)
{
    const BlockNode *n = q->node;

    if (!n->cache_writeback && !q->own_cache_mode) {
        req->flags |= BLOCK_FUA;
    }
    if (req->op == BLOCK_WRITE && n->detect_zeroes && n->limits.max_write_zeroes >= req->bytes &&
        block_iov_is_zero(req->iov, req->niov)) {
        req->op = BLOCK_WRITE_ZEROES;
        req->flags |= BLOCK_WAS_WRITE;
        req->flags |= n->detect_zeroes == BLOCK_DETECT_UNMAP ? BLOCK_MAY_UNMAP : 0;
    }
    if (!n->discard) {
        req->flags &= ~(unsigned)BLOCK_MAY_UNMAP;
    }
}

void block_submit(BlockQueue *q, BlockRequest *req)
{
    int ret = check_request(q, req);

    req->queue = q;
    req->next = NULL;
    q->in_flight++;
    if (q->user) {
        req->start_ns = block_now(q);
    }
    if (ret < 0 || (req->bytes == 0 && req->op != BLOCK_FLUSH)) {
        block_complete_later(req, ret);
        return;
    }
    if (req->op == BLOCK_WRITE || req->op == BLOCK_WRITE_ZEROES) {
        apply_policy(q, req);
    }
    if (!q->throttle || block_throttle_admit(q->throttle, req)) {
        start(q, req);
    }
}

void block_throttled_start(BlockRequest *req)
{
    start(req->queue, req);
}

void block_plug(BlockQueue *q)
{
    if (q->plugged++ > 0) {
        return;
    }
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (q->child[i]) {
            block_plug(q->child[i]);
        }
    }
}

void block_unplug(BlockQueue *q)
{
    g_assert(q->plugged > 0);
    if (--q->plugged > 0) {
        return;
    }
    if (q->unkicked) {
        q->unkicked = false;
        if (q->klass->kick) {
            q->klass->kick(q);
        }
    }
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (q->child[i]) {
            block_unplug(q->child[i]);
        }
    }
    q->batch_timed = false;
}

void block_cancel(BlockRequest *req)
{
    BlockQueue *q = req->queue;

    if (req->flags & BLOCK_ENDED) {
        return;
    }
    if (q->throttle && block_throttle_cancel(q->throttle, req)) {
        block_complete_later(req, -ECANCELED);
    } else if (q->klass->cancel) {
        q->klass->cancel(q, req);
    }
}

/* --- drain --- */

unsigned block_in_flight(const BlockQueue *q)
{
    return q->in_flight;
}

static void set_draining(BlockQueue *q, bool on)
{
    q->draining = on;
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (q->child[i]) {
            set_draining(q->child[i], on);
        }
    }
}

/* Ends what can be ended; with wait, blocks for it where something is under way. */
static bool queue_poll(BlockQueue *q, bool wait)
{
    bool progress = run_ended(q);
    bool below = false;

    if (q->throttle && q->draining) {
        progress |= block_throttle_release(q->throttle);
    }

    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (q->child[i]) {
            progress |= queue_poll(q->child[i], false);
            below |= q->child[i]->in_flight > 0;
        }
    }
    if (q->klass->poll && q->in_flight > 0) {
        progress |= q->klass->poll(q, wait && !progress && !below);
    }
    for (unsigned i = 0; wait && !progress && i < BLOCK_CHILDREN; i++) {
        if (q->child[i] && q->child[i]->in_flight > 0) {
            progress = queue_poll(q->child[i], true);
        }
    }
    return progress;
}

void block_drain_start(BlockQueue *q)
{
    set_draining(q, true);
    queue_poll(q, false);
}

void block_drain(BlockQueue *q)
{
    unsigned plugged = q->plugged;

    set_draining(q, true);
    while (q->plugged > 0) {
        block_unplug(q);
    }
    while (q->in_flight > 0) {
        queue_poll(q, true);
    }
    while (q->plugged < plugged) {
        block_plug(q);
    }
    set_draining(q, false);
}

/* --- inner requests of filters --- */

typedef struct {
    BlockRequest req;
    BlockRequest *outer;
} InnerRequest;

BlockRequest *block_inner_get(BlockQueue *q, BlockRequest *outer)
{
    BlockRequest *req = q->pool;

    if (req) {
        q->pool = req->next;
    } else {
        req = g_malloc(sizeof(InnerRequest)); /* as many as were ever in flight at once */
    }
    *req = (BlockRequest){
        .op = outer->op,
        .flags = outer->flags & (BLOCK_FUA | BLOCK_MAY_UNMAP),
        .offset = outer->offset,
        .bytes = outer->bytes,
        .iov = outer->iov,
        .niov = outer->niov,
    };
    ((InnerRequest *)req)->outer = outer;
    return req;
}

BlockRequest *block_inner_outer(BlockRequest *inner)
{
    return ((InnerRequest *)inner)->outer;
}

void block_inner_put(BlockQueue *q, BlockRequest *inner)
{
    inner->next = q->pool;
    q->pool = inner;
}

/* --- reads while nodes are made --- */

typedef struct {
    BlockRequest req;
    int ret;
} SyncRead;

static void sync_read_done(BlockRequest *req, int ret)
{
    ((SyncRead *)req)->ret = ret;
}

bool block_node_read(BlockNode *n, uint64_t offset, void *buf, size_t len, GError **err)
{
    struct iovec iov = {buf, len};
    SyncRead read = {.req = {.op = BLOCK_READ,
                             .offset = offset,
                             .bytes = len,
                             .iov = &iov,
                             .niov = 1,
                             .done = sync_read_done}};
    BlockQueue *q = queue_make(n, NULL, n->loop, err);

    if (!q) {
        return false;
    }
    block_submit(q, &read.req);
    block_drain(q);
    queue_free(q);
    return read.ret == 0 || error_set_errno(err, -read.ret, "cannot read the image");
}
