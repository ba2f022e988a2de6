/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Throttle groups and their members, see the header; and the driver "throttle", a node that passes
 * everything on at its group's pace.
 */
#include "backends/block-throttle.h"

#include <errno.h>
#include <string.h>

#include "backends/user-creatable.h"

enum { NS_PER_S = 1000000000, DIRECTIONS = 2 };

typedef struct {
    double level, burst; /* what the bucket holds; burst: the same at the rate of max */
} Bucket;

struct ThrottleGroup {
    Object parent_obj;
    Clock *clock, *own_clock;
    pthread_mutex_t lock; /* guards what follows */
    ThrottleLimits limits;
    Bucket bucket[THROTTLE_BUCKETS];
    int64_t leaked_at;
};

struct BlockThrottle {
    BlockQueue *q;
    ThrottleGroup *group;
    LoopTimer *timer;
    BlockRequest *first[DIRECTIONS], **tail[DIRECTIONS]; /* kept, by next */
    unsigned turn;                                       /* the direction that is looked at first */
};

static const char *const bucket_names[THROTTLE_BUCKETS] = {
    "bps-total", "bps-read", "bps-write", "iops-total", "iops-read", "iops-write",
};

/* --- buckets; the group's lock is held --- */

static void leak(ThrottleGroup *g)
{
    int64_t now = clock_now(g->clock);
    double s = (double)(now - g->leaked_at) / NS_PER_S;

    g->leaked_at = now;
    for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
        Bucket *b = &g->bucket[i];

        b->level = MAX(b->level - s * (double)g->limits.bucket[i].avg, 0);
        b->burst = MAX(b->burst - s * (double)g->limits.bucket[i].max, 0);
    }
}

/* Seconds until the bucket is no longer over its brim. */
static double bucket_wait(const ThrottleGroup *g, unsigned i)
{
    double avg = (double)g->limits.bucket[i].avg, max = (double)g->limits.bucket[i].max;
    double length = (double)MAX(g->limits.bucket[i].length, 1), wait;
    const Bucket *b = &g->bucket[i];

    if (avg == 0) {
        return 0;
    }
    wait = (b->level - (max > 0 ? max * length : avg / 10)) / avg;
    if (max > 0 && length > 1) {
        wait = MAX(wait, (b->burst - max / 10) / max);
    }
    return MAX(wait, 0);
}

/* Buckets of a direction: 0 reads, 1 writes. */
static void buckets_of(unsigned dir, unsigned ret_buckets[4])
{
    ret_buckets[0] = THROTTLE_BPS_TOTAL;
    ret_buckets[1] = dir ? THROTTLE_BPS_WRITE : THROTTLE_BPS_READ;
    ret_buckets[2] = THROTTLE_IOPS_TOTAL;
    ret_buckets[3] = dir ? THROTTLE_IOPS_WRITE : THROTTLE_IOPS_READ;
}

static int64_t wait_ns(ThrottleGroup *g, unsigned dir)
{
    unsigned buckets[4];
    double wait = 0;

    leak(g);
    buckets_of(dir, buckets);
    for (unsigned i = 0; i < G_N_ELEMENTS(buckets); i++) {
        wait = MAX(wait, bucket_wait(g, buckets[i]));
    }
    return (int64_t)MIN(wait * NS_PER_S + 0.999, 1e18);
}

static void fill(ThrottleGroup *g, unsigned dir, const BlockRequest *req)
{
    uint64_t size = g->limits.iops_size;
    double ops = size > 0 && req->bytes > size ? (double)req->bytes / (double)size : 1;
    unsigned buckets[4];

    buckets_of(dir, buckets);
    for (unsigned i = 0; i < G_N_ELEMENTS(buckets); i++) {
        double amount = i < 2 ? (double)req->bytes : ops;

        g->bucket[buckets[i]].level += amount;
        g->bucket[buckets[i]].burst += amount;
    }
}

/* 0: it passes and was counted; else the time until it may. */
static int64_t try_pass(ThrottleGroup *g, unsigned dir, const BlockRequest *req, bool force)
{
    int64_t ns;

    pthread_mutex_lock(&g->lock);
    ns = wait_ns(g, dir);
    if (ns <= 0 || force) {
        fill(g, dir, req);
        ns = 0;
    }
    pthread_mutex_unlock(&g->lock);
    return ns;
}

/* --- members --- */

static unsigned direction(const BlockRequest *req)
{
    return req->op == BLOCK_READ ? 0 : 1;
}

/* Starts one request, of the directions in turn; false: none may go, in *ret_ns or for ever. */
static bool run_one(BlockThrottle *t, bool force, int64_t *ret_ns)
{
    for (unsigned i = 0; i < DIRECTIONS; i++) {
        unsigned dir = (t->turn + i) % DIRECTIONS;
        BlockRequest *req = t->first[dir];
        int64_t ns = req ? try_pass(t->group, dir, req, force) : INT64_MAX;

        *ret_ns = i == 0 ? ns : MIN(*ret_ns, ns);
        if (ns == 0) {
            if (!(t->first[dir] = req->next)) {
                t->tail[dir] = &t->first[dir];
            }
            t->turn = !dir;
            block_throttled_start(req);
            return true;
        }
    }
    return false;
}

/* Starts what may go; the timer comes for the rest. */
static bool run_member(BlockThrottle *t, bool all)
{
    bool any = false;
    int64_t next;

    while (run_one(t, all, &next)) {
        any = true;
    }
    if (next < INT64_MAX) {
        loop_timer_arm_in(t->timer, next);
    }
    return any;
}

static void on_timer(void *opaque)
{
    BlockThrottle *t = opaque;

    block_plug(t->q);
    run_member(t, false);
    block_unplug(t->q);
}

BlockThrottle *block_throttle_new(BlockQueue *q, ThrottleGroup *g)
{
    BlockThrottle *t = g_new0(BlockThrottle, 1);

    t->q = q;
    t->group = THROTTLE_GROUP(object_ref(g));
    t->timer = loop_timer_new(q->loop, g->clock, on_timer, t);
    for (unsigned dir = 0; dir < DIRECTIONS; dir++) {
        t->tail[dir] = &t->first[dir];
    }
    return t;
}

void block_throttle_free(BlockThrottle *t)
{
    if (t) {
        g_assert(!t->first[0] && !t->first[1]);
        loop_timer_free(t->timer);
        object_unref(t->group);
        g_free(t);
    }
}

bool block_throttle_admit(BlockThrottle *t, BlockRequest *req)
{
    unsigned dir = direction(req);
    int64_t ns;

    if (req->op == BLOCK_FLUSH) {
        return true;
    }
    ns = t->first[dir] && !t->q->draining ? 1 : try_pass(t->group, dir, req, t->q->draining);
    if (ns == 0) {
        return true;
    }
    req->next = NULL;
    if (!t->first[dir]) {
        loop_timer_arm_in(t->timer, t->first[!dir] ? 0 : ns); /* 0: run_member looks at both */
    }
    *t->tail[dir] = req;
    t->tail[dir] = &req->next;
    return false;
}

bool block_throttle_cancel(BlockThrottle *t, BlockRequest *req)
{
    unsigned dir = direction(req);

    for (BlockRequest **at = &t->first[dir]; *at; at = &(*at)->next) {
        if (*at == req) {
            *at = req->next;
            if (t->tail[dir] == &req->next) {
                t->tail[dir] = at;
            }
            return true;
        }
    }
    return false;
}

bool block_throttle_release(BlockThrottle *t)
{
    return run_member(t, true);
}

/* --- groups --- */

static bool check_limits(const ThrottleLimits *l, GError **err)
{
    const uint64_t largest = UINT64_C(1000000000000000);

    for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
        uint64_t avg = l->bucket[i].avg, max = l->bucket[i].max, length = l->bucket[i].length;
        const char *name = bucket_names[i];

        if (avg > largest || max > largest || (max > 0 && length > largest / max)) {
            return error_set(err, "%s: values must be within 0 and %" G_GUINT64_FORMAT, name,
                             largest);
        }
        if (max > 0 && max < avg) {
            return error_set(err, "%s-max must not be less than %s", name, name);
        }
        if ((max > 0 || length > 1) && avg == 0) {
            return error_set(err, "%s-max and %s-max-length need %s", name, name, name);
        }
        if (length > 1 && max == 0) {
            return error_set(err, "%s-max-length needs %s-max", name, name);
        }
    }
    for (unsigned i = 0; i < THROTTLE_BUCKETS; i += 3) {
        if (l->bucket[i].avg > 0 && (l->bucket[i + 1].avg > 0 || l->bucket[i + 2].avg > 0)) {
            return error_set(err, "%s and limits of reads or writes cannot be used together",
                             bucket_names[i]);
        }
    }
    return true;
}

bool throttle_group_set(ThrottleGroup *g, const ThrottleLimits *limits, GError **err)
{
    if (!check_limits(limits, err)) {
        return false;
    }
    pthread_mutex_lock(&g->lock);
    g->limits = *limits;
    memset(g->bucket, 0, sizeof g->bucket);
    g->leaked_at = clock_now(g->clock);
    pthread_mutex_unlock(&g->lock);
    return true;
}

void throttle_group_get(const ThrottleGroup *g, ThrottleLimits *ret_limits)
{
    pthread_mutex_t *lock = &((ThrottleGroup *)g)->lock;

    pthread_mutex_lock(lock);
    *ret_limits = g->limits;
    pthread_mutex_unlock(lock);
}

void throttle_group_use_clock(ThrottleGroup *g, Clock *clock)
{
    g->clock = clock;
    g->leaked_at = clock_now(clock);
}

ThrottleGroup *throttle_group_find(Object *root, const char *id)
{
    static const char *const places[] = {"objects", "throttle-groups"};

    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        Object *obj = object_child(object_container(root, places[i]), id);

        if (obj && object_is_a(obj, &throttle_group_type)) {
            return THROTTLE_GROUP(obj);
        }
    }
    return NULL;
}

ThrottleGroup *throttle_group_make(Object *root, const char *id)
{
    ThrottleGroup *g = throttle_group_find(root, id);

    if (!g) {
        g = THROTTLE_GROUP(object_new(&throttle_group_type));
        object_add_child(object_container(root, "throttle-groups"), id, OBJECT(g), NULL);
    }
    return g;
}

void throttle_describe(const ThrottleGroup *g, json_t *info)
{
    static const char *const names[THROTTLE_BUCKETS] = {"bps",  "bps_rd",  "bps_wr",
                                                        "iops", "iops_rd", "iops_wr"};
    ThrottleLimits l = {.iops_size = 0};

    if (g) {
        throttle_group_get(g, &l);
        json_object_set_new(info, "group", json_string(g->parent_obj.name));
    }
    for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
        g_autofree char *max = g_strdup_printf("%s_max", names[i]);
        g_autofree char *length = g_strdup_printf("%s_max_length", names[i]);

        json_object_set_new(info, names[i], json_integer((json_int_t)l.bucket[i].avg));
        if (l.bucket[i].max > 0) {
            json_object_set_new(info, max, json_integer((json_int_t)l.bucket[i].max));
            json_object_set_new(info, length, json_integer((json_int_t)MAX(l.bucket[i].length, 1)));
        }
    }
    if (l.iops_size > 0) {
        json_object_set_new(info, "iops_size", json_integer((json_int_t)l.iops_size));
    }
}

uint64_t *throttle_limit_named(ThrottleLimits *l, const char *name)
{
    if (!strcmp(name, "iops-size")) {
        return &l->iops_size;
    }
    for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
        size_t len = strlen(bucket_names[i]);

        if (!strncmp(name, bucket_names[i], len)) {
            return !name[len]                           ? &l->bucket[i].avg
                   : !strcmp(name + len, "-max")        ? &l->bucket[i].max
                   : !strcmp(name + len, "-max-length") ? &l->bucket[i].length
                                                        : NULL;
        }
    }
    return NULL;
}

static bool set_limits(Object *obj, const Property *prop, json_t *value, GError **err)
{
    ThrottleLimits l = {.iops_size = 0};
    const char *key;
    json_t *part;

    if (!json_is_object(value)) {
        return error_set(err, "'limits' must be an object");
    }
    throttle_group_get(THROTTLE_GROUP(obj), &l);
    json_object_foreach(value, key, part)
    {
        uint64_t *limit = throttle_limit_named(&l, key);

        if (!limit || !json_is_integer(part) || json_integer_value(part) < 0) {
            return error_set(err, limit ? "limits: '%s' must be a number" : "limits: unknown '%s'",
                             key);
        }
        *limit = (uint64_t)json_integer_value(part);
    }
    return throttle_group_set(THROTTLE_GROUP(obj), &l, err);
}

static json_t *get_limits(Object *obj, const Property *prop, GError **err)
{
    json_t *all = json_object();
    ThrottleLimits l;

    throttle_group_get(THROTTLE_GROUP(obj), &l);
    for (unsigned i = 0; i < THROTTLE_BUCKETS; i++) {
        g_autofree char *max = g_strdup_printf("%s-max", bucket_names[i]);
        g_autofree char *length = g_strdup_printf("%s-max-length", bucket_names[i]);

        json_object_set_new(all, bucket_names[i], json_integer((json_int_t)l.bucket[i].avg));
        json_object_set_new(all, max, json_integer((json_int_t)l.bucket[i].max));
        json_object_set_new(all, length, json_integer((json_int_t)MAX(l.bucket[i].length, 1)));
    }
    json_object_set_new(all, "iops-size", json_integer((json_int_t)l.iops_size));
    return all;
}

/* "x-iops-total=..." of the command line; what belongs together is checked by complete. */
static bool set_x_limit(Object *obj, const Property *prop, json_t *value, GError **err)
{
    ThrottleGroup *g = THROTTLE_GROUP(obj);
    uint64_t *limit = throttle_limit_named(&g->limits, prop->name + 2);

    if (json_is_string(value)) {
        return parse_size(json_string_value(value), 1, limit, err);
    }
    if (!json_is_integer(value) || json_integer_value(value) < 0) {
        return error_set(err, "'%s' must be a number", prop->name);
    }
    *limit = (uint64_t)json_integer_value(value);
    return true;
}

static json_t *get_x_limit(Object *obj, const Property *prop, GError **err)
{
    return json_integer(
        (json_int_t)*throttle_limit_named(&THROTTLE_GROUP(obj)->limits, prop->name + 2));
}

static bool group_complete(Object *obj, GError **err)
{
    ThrottleLimits l;

    throttle_group_get(THROTTLE_GROUP(obj), &l);
    return check_limits(&l, err);
}

static void group_init(Object *obj)
{
    ThrottleGroup *g = THROTTLE_GROUP(obj);

    pthread_mutex_init(&g->lock, NULL);
    g->clock = g->own_clock = clock_new();
}

static void group_finalize(Object *obj)
{
    ThrottleGroup *g = THROTTLE_GROUP(obj);

    clock_free(g->own_clock);
    pthread_mutex_destroy(&g->lock);
}

static void group_class_init(ObjectClass *klass, const void *data)
{
    UserCreatableClass *uc = object_class_interface(klass, &user_creatable_type);

    uc->complete = group_complete;
}

#define X_LIMIT(n, h) PROP_CUSTOM("x-" n, "int", get_x_limit, set_x_limit, 0, h)
#define X_BUCKET(n)                                                                    \
    X_LIMIT(n, "per second; 0: no limit"), X_LIMIT(n "-max", "per second, in bursts"), \
        X_LIMIT(n "-max-length", "seconds that a burst may last")

static const Property group_props[] = {
    PROP_CUSTOM("limits", "ThrottleLimits", get_limits, set_limits, PROP_RUNTIME, "all limits"),
    X_BUCKET("bps-total"),
    X_BUCKET("bps-read"),
    X_BUCKET("bps-write"),
    X_BUCKET("iops-total"),
    X_BUCKET("iops-read"),
    X_BUCKET("iops-write"),
    X_LIMIT("iops-size", "bytes; a larger request counts as several"),
    PROP_END,
};

const TypeInfo throttle_group_type = {
    .name = "throttle-group",
    .instance_size = sizeof(ThrottleGroup),
    .instance_init = group_init,
    .instance_finalize = group_finalize,
    .class_init = group_class_init,
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .props = group_props,
    .desc = "limits on the requests and bytes per second of disks",
};

/* --- the driver --- */

typedef struct {
    BlockNode parent_obj;
    char *group_id;
} BlockThrottleNode;

static bool throttle_open(BlockNode *node, GError **err)
{
    const char *id = ((BlockThrottleNode *)node)->group_id;
    ThrottleGroup *g;

    if (!id) {
        return error_set(err, "'throttle-group' is missing: the id of an -object throttle-group");
    }
    g = throttle_group_find(object_root(OBJECT(node)), id);
    if (!g) {
        return error_set(err, "there is no -object throttle-group,id=%s", id);
    }
    node->throttle = OBJECT(object_ref(g));
    return true;
}

static void throttle_inner_done(BlockRequest *inner, int ret)
{
    BlockRequest *outer = block_inner_outer(inner);

    block_inner_put(outer->queue, inner);
    block_complete(outer, ret);
}

static void throttle_submit(BlockQueue *q, BlockRequest *req)
{
    BlockRequest *inner = block_inner_get(q, req);

    inner->done = throttle_inner_done;
    req->scratch[0] = (uint64_t)(uintptr_t)inner;
    block_submit(q->child[BLOCK_CHILD_FILE], inner);
}

static void throttle_cancel(BlockQueue *q, BlockRequest *req)
{
    block_cancel((BlockRequest *)(uintptr_t)req->scratch[0]);
}

static void throttle_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->wants[BLOCK_CHILD_FILE] = true;
    k->open = throttle_open;
    k->submit = throttle_submit;
    k->cancel = throttle_cancel;
}

static const Property throttle_props[] = {
    PROP_STRING("throttle-group", BlockThrottleNode, group_id, NULL, "id of the group"),
    PROP_END,
};

const TypeInfo block_throttle_type = {
    .name = "block-throttle",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockThrottleNode),
    .class_init = throttle_class_init,
    .props = throttle_props,
    .desc = "passes everything on at the pace of a throttle group",
};
