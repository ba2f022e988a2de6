/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver "blkdebug": faults by rule, for tests of what is above it. "inject-error" is a list of
 * rules, which can be changed at run time; the first that fits a request decides:
 *
 *   iotype    read, write, write-zeroes, discard, secure-erase or flush; default: any
 *   sector    the request touches this sector of 512 bytes
 *   nth       from the nth fitting request on (1: the first)
 *   once      the rule is spent after that
 *   errno     fails with this error; default EIO, 0: does not fail
 *   torn      of reads and writes: this many bytes are read or written before it fails
 *   delay-ns  only then
 */
#include "backends/block-impl.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

enum { MAX_RULES = 64 };

typedef struct {
    int op;         /* BlockOp; -1: any */
    int64_t sector; /* -1: any */
    uint64_t nth;
    bool once;
    int errnum;
    uint64_t torn, delay_ns;
    _Atomic uint64_t seen; /* fitting requests, of all queues */
} Rule;

typedef struct {
    BlockNode parent_obj;
    json_t *rules_json; /* as it was set; NULL: none */
    Rule rules[MAX_RULES];
    unsigned nrules;
    uint8_t pre_eol, typ_a, typ_b; /* BlockLifetime */
} BlockDebug;

typedef struct {
    BlockQueue q;
    Clock *clock;
    LoopTimer *timer;
    BlockRequest *delayed; /* by next, in order of their time */
} DebugQueue;

/* In BlockRequest.scratch; the inner request is there once it was begun. */
typedef struct {
    BlockRequest *inner;
    struct iovec *torn_iov; /* NULL: whole */
    int64_t until;
    int32_t ret;   /* of a torn one */
    uint32_t rule; /* index + 1; 0: none */
} DebugReq;

static BlockDebug *BLOCK_DEBUG(const void *n)
{
    return (BlockDebug *)n;
}

static DebugReq *debug_req(BlockRequest *req)
{
    G_STATIC_ASSERT(sizeof(DebugReq) <= sizeof req->scratch);
    return (DebugReq *)req->scratch;
}

/* --- rules --- */

static const char *const op_names[BLOCK_OPS + 1] = {
    [BLOCK_READ] = "read",
    [BLOCK_WRITE] = "write",
    [BLOCK_FLUSH] = "flush",
    [BLOCK_DISCARD] = "discard",
    [BLOCK_WRITE_ZEROES] = "write-zeroes",
    [BLOCK_SECURE_ERASE] = "secure-erase",
};

/* A number or, from a command line, its text. */
static bool take_number(json_t *value, const char *key, uint64_t *ret, GError **err)
{
    if (json_is_string(value)) {
        return parse_uint(json_string_value(value), ret, err);
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return error_set(err, "inject-error: '%s' must be a number", key);
    }
    *ret = (uint64_t)json_integer_value(value);
    return true;
}

static bool take_iotype(Rule *r, json_t *value, GError **err)
{
    const char *name = json_string_value(value);

    for (unsigned op = 0; name && op < BLOCK_OPS; op++) {
        if (!strcmp(name, op_names[op])) {
            r->op = (int)op;
            return true;
        }
    }
    return error_set(err, "inject-error: iotype is one of read, write, write-zeroes, discard, "
                          "secure-erase, flush");
}

static bool take_key(Rule *r, const char *key, json_t *value, GError **err)
{
    uint64_t n = 0;

    if (!strcmp(key, "iotype")) {
        return take_iotype(r, value, err);
    }
    if (!strcmp(key, "once")) {
        r->once = json_is_true(value);
        return !json_is_string(value) || parse_bool(json_string_value(value), &r->once, err);
    }
    if (!take_number(value, key, &n, err)) {
        return false;
    }
    if (!strcmp(key, "sector")) {
        r->sector = (int64_t)MIN(n, INT64_MAX);
    } else if (!strcmp(key, "nth")) {
        r->nth = n;
    } else if (!strcmp(key, "errno") && n <= 4095) {
        r->errnum = (int)n;
    } else if (!strcmp(key, "torn")) {
        r->torn = n;
    } else if (!strcmp(key, "delay-ns")) {
        r->delay_ns = n;
    } else {
        return error_set(err,
                         "inject-error: unknown or bad '%s'; known: iotype, sector, nth, once, "
                         "errno, torn, delay-ns",
                         key);
    }
    return true;
}

static bool take_rule(Rule *r, json_t *value, GError **err)
{
    const char *key;
    json_t *part;

    *r = (Rule){.op = -1, .sector = -1, .errnum = EIO};
    if (!json_is_object(value)) {
        return error_set(err, "inject-error: a rule is an object");
    }
    json_object_foreach(value, key, part)
    {
        if (!take_key(r, key, part, err)) {
            return false;
        }
    }
    return true;
}

/* A list or, from a command line, an object with the keys "0", "1", ... */
static json_t *nth_rule(json_t *value, unsigned i)
{
    char key[12];

    if (json_is_array(value)) {
        return json_array_get(value, i);
    }
    g_snprintf(key, sizeof key, "%u", i);
    return json_object_get(value, key);
}

static bool set_rules(Object *obj, const Property *prop, json_t *value, GError **err)
{
    BlockDebug *n = BLOCK_DEBUG(obj);
    Rule rules[MAX_RULES] = {{0}};
    unsigned count;

    for (count = 0; nth_rule(value, count); count++) {
        if (count == MAX_RULES) {
            return error_set(err, "inject-error: at most %d rules", MAX_RULES);
        }
        if (!take_rule(&rules[count], nth_rule(value, count), err)) {
            return false;
        }
    }
    block_node_quiesce(&n->parent_obj, true);
    memcpy(n->rules, rules, sizeof rules);
    n->nrules = count;
    json_decref(n->rules_json);
    n->rules_json = json_incref(value);
    block_node_quiesce(&n->parent_obj, false);
    return true;
}

static json_t *get_rules(Object *obj, const Property *prop, GError **err)
{
    const BlockDebug *n = BLOCK_DEBUG(obj);

    return n->rules_json ? json_incref(n->rules_json) : json_array();
}

static bool fits(Rule *r, const BlockRequest *req)
{
    uint64_t at = (uint64_t)r->sector * BLOCK_SECTOR, seen;

    if (r->op >= 0 && (BlockOp)r->op != req->op) {
        return false;
    }
    if (r->sector >= 0 && (at + BLOCK_SECTOR <= req->offset || at >= req->offset + req->bytes)) {
        return false;
    }
    seen = atomic_fetch_add(&r->seen, 1) + 1;
    return r->once ? seen == MAX(r->nth, 1) : seen >= r->nth;
}

static uint32_t find_rule(BlockDebug *n, const BlockRequest *req)
{
    for (unsigned i = 0; i < n->nrules; i++) {
        if (fits(&n->rules[i], req)) {
            return i + 1;
        }
    }
    return 0;
}

/* --- requests --- */

static void inner_done(BlockRequest *inner, int ret)
{
    BlockRequest *outer = block_inner_outer(inner);
    DebugReq *d = debug_req(outer);

    block_inner_put(outer->queue, inner);
    if (d->torn_iov) {
        g_free(d->torn_iov);
        ret = ret < 0 ? ret : d->ret;
    }
    block_complete(outer, ret);
}

static void pass_on(BlockQueue *q, BlockRequest *req, uint64_t torn)
{
    BlockRequest *inner = block_inner_get(q, req);
    DebugReq *d = debug_req(req);

    inner->done = inner_done;
    if (torn > 0) {
        d->torn_iov = g_new(struct iovec, req->niov);
        inner->bytes = torn;
        inner->niov = block_iov_slice(d->torn_iov, req->iov, req->niov, 0, torn);
        inner->iov = d->torn_iov;
    }
    d->inner = inner;
    block_submit(q->child[BLOCK_CHILD_FILE], inner);
}

/* What is left to do once any delay is over. */
static void carry_out(BlockQueue *q, BlockRequest *req)
{
    DebugReq *d = debug_req(req);
    const Rule *r = d->rule ? &BLOCK_DEBUG(q->node)->rules[d->rule - 1] : NULL;

    if (!r || r->errnum == 0) {
        pass_on(q, req, 0);
    } else if (r->torn > 0 && r->torn < req->bytes &&
               (req->op == BLOCK_WRITE || req->op == BLOCK_READ)) {
        d->ret = -r->errnum;
        pass_on(q, req, r->torn);
    } else {
        block_complete_later(req, -r->errnum);
    }
}

static bool run_delayed(DebugQueue *dq, bool all)
{
    int64_t now = clock_now(dq->clock);
    BlockRequest *req;
    bool any = false;

    while ((req = dq->delayed) && (all || debug_req(req)->until <= now)) {
        dq->delayed = req->next;
        carry_out(&dq->q, req);
        any = true;
    }
    if (dq->delayed) {
        loop_timer_arm_at(dq->timer, debug_req(dq->delayed)->until);
    } else {
        loop_timer_cancel(dq->timer);
    }
    return any;
}

static void on_delay(void *opaque)
{
    run_delayed(opaque, false);
}

static void delay(DebugQueue *dq, BlockRequest *req, uint64_t ns)
{
    BlockRequest **at = &dq->delayed;
    DebugReq *d = debug_req(req);

    d->until = clock_now(dq->clock) + (int64_t)MIN(ns, (uint64_t)INT64_MAX / 2);
    while (*at && debug_req(*at)->until <= d->until) {
        at = &(*at)->next;
    }
    req->next = *at;
    *at = req;
    loop_timer_arm_at(dq->timer, debug_req(dq->delayed)->until);
}

static void debug_submit(BlockQueue *q, BlockRequest *req)
{
    BlockDebug *n = BLOCK_DEBUG(q->node);
    DebugReq *d = debug_req(req);

    *d = (DebugReq){.rule = find_rule(n, req)};
    if (d->rule && n->rules[d->rule - 1].delay_ns > 0 && !q->draining) {
        delay((DebugQueue *)q, req, n->rules[d->rule - 1].delay_ns);
    } else {
        carry_out(q, req);
    }
}

static void debug_cancel(BlockQueue *q, BlockRequest *req)
{
    DebugQueue *dq = (DebugQueue *)q;

    if (debug_req(req)->inner) {
        block_cancel(debug_req(req)->inner);
        return;
    }
    for (BlockRequest **at = &dq->delayed; *at; at = &(*at)->next) {
        if (*at == req) {
            *at = req->next;
            block_complete_later(req, -ECANCELED);
            return;
        }
    }
}

static bool debug_poll(BlockQueue *q, bool wait)
{
    return run_delayed((DebugQueue *)q, q->draining);
}

static bool debug_queue_open(BlockQueue *q, GError **err)
{
    DebugQueue *dq = (DebugQueue *)q;

    dq->clock = clock_new();
    dq->timer = loop_timer_new(q->loop, dq->clock, on_delay, dq);
    return true;
}

static void debug_queue_close(BlockQueue *q)
{
    DebugQueue *dq = (DebugQueue *)q;

    loop_timer_free(dq->timer);
    clock_free(dq->clock);
}

/* --- the node --- */

static bool has_lifetime(const BlockDebug *d)
{
    return d->pre_eol || d->typ_a || d->typ_b;
}

static bool debug_open(BlockNode *n, GError **err)
{
    n->limits.lifetime |= has_lifetime(BLOCK_DEBUG(n));
    return true;
}

static bool debug_lifetime(BlockNode *n, BlockLifetime *ret_lifetime)
{
    const BlockDebug *d = BLOCK_DEBUG(n);

    if (!has_lifetime(d)) {
        return block_lifetime(n->child[BLOCK_CHILD_FILE], ret_lifetime);
    }
    *ret_lifetime = (BlockLifetime){d->pre_eol, d->typ_a, d->typ_b};
    return true;
}

static void debug_finalize(Object *obj)
{
    json_decref(BLOCK_DEBUG(obj)->rules_json);
}

static void debug_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->wants[BLOCK_CHILD_FILE] = true;
    k->open = debug_open;
    k->lifetime = debug_lifetime;
    k->queue_size = sizeof(DebugQueue);
    k->queue_open = debug_queue_open;
    k->queue_close = debug_queue_close;
    k->submit = debug_submit;
    k->cancel = debug_cancel;
    k->poll = debug_poll;
}

static const Property debug_props[] = {
    PROP_CUSTOM("inject-error", "list", get_rules, set_rules, PROP_RUNTIME,
                "rules: iotype, sector, nth, once, errno, torn, delay-ns"),
    PROP_UINT8("pre-eol-info", BlockDebug, pre_eol, 0, 0, 3,
               "what the disk tells of its reserved blocks (eMMC's PRE_EOL_INFO); all 0: the "
               "truth"),
    PROP_UINT8("life-time-a", BlockDebug, typ_a, 0, 0, 11,
               "and of the wear of its SLC cells, in tenths (eMMC's DEVICE_LIFE_TIME_EST_TYP_A)"),
    PROP_UINT8("life-time-b", BlockDebug, typ_b, 0, 0, 11, "and of its MLC cells"),
    PROP_END,
};

const TypeInfo block_debug_type = {
    .name = "block-blkdebug",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockDebug),
    .instance_finalize = debug_finalize,
    .class_init = debug_class_init,
    .props = debug_props,
    .desc = "faults by rule, for tests",
};
