/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object "filter-throttle": limits how many bits and packets per second pass, by a token bucket
 * for each direction. What is over the limit waits at its source: a guest's queue stands still, a
 * tap or socket is not read. Several netdevs take a filter each.
 *
 * A bucket is a time: that at which it will be full again. A frame moves it on by what the frame
 * costs, and may pass as long as it is not further ahead of now than the burst lasts; so a frame
 * that is larger than the burst passes when the bucket is full.
 */
#include <string.h>

#include "backends/net-impl.h"

enum { NS_PER_S = 1000000000, BITS = 8 };

OBJECT_DECLARE(FilterThrottle, filter_throttle, FILTER_THROTTLE)

typedef struct {
    int64_t full_at; /* ns; in the past: full */
} Bucket;

struct FilterThrottle {
    NetFilter parent_obj;
    uint64_t bps, pps;             /* bits and packets a second; 0: no limit. Atomic, relaxed. */
    uint64_t bps_burst, pps_burst; /* bits and packets; 0: what 100 ms let pass */
    pthread_mutex_t lock;          /* guards the buckets: queues may be on several threads */
    Bucket bits[2], packets[2];    /* by direction */
    Clock *clock;
    uint64_t delayed; /* frames that had to wait, each time; atomic, relaxed */
};

static uint64_t load(const uint64_t *v)
{
    return __atomic_load_n(v, __ATOMIC_RELAXED);
}

/* What n units at rate a second last, in ns. */
static int64_t duration(uint64_t n, uint64_t rate)
{
    unsigned __int128 ns = (unsigned __int128)n * NS_PER_S / rate;

    return ns > INT64_MAX / 4 ? INT64_MAX / 4 : (int64_t)ns;
}

/* How long until a frame may pass. */
static int64_t wait_of(const Bucket *b, uint64_t rate, uint64_t burst, int64_t now)
{
    int64_t ahead = b->full_at - now;

    if (rate == 0) {
        return 0;
    }
    return MAX(ahead - duration(burst ? burst : rate / 10, rate), 0);
}

static void take(Bucket *b, uint64_t n, uint64_t rate, int64_t now)
{
    if (rate > 0) {
        b->full_at = MAX(b->full_at, now) + duration(n, rate);
    }
}

static int64_t throttle_admit(NetFilter *f, unsigned dir, size_t len, unsigned segments)
{
    FilterThrottle *t = FILTER_THROTTLE(f);
    uint64_t bps = load(&t->bps), pps = load(&t->pps);
    int64_t now = clock_now(t->clock), ns;

    pthread_mutex_lock(&t->lock);
    ns = MAX(wait_of(&t->bits[dir], bps, load(&t->bps_burst), now),
             wait_of(&t->packets[dir], pps, load(&t->pps_burst), now));
    if (ns == 0) {
        take(&t->bits[dir], len * BITS, bps, now);
        take(&t->packets[dir], segments, pps, now);
    }
    pthread_mutex_unlock(&t->lock);
    if (ns > 0) {
        __atomic_fetch_add(&t->delayed, 1, __ATOMIC_RELAXED);
    }
    return ns;
}

static bool throttle_check(NetFilter *f, GError **err)
{
    FilterThrottle *t = FILTER_THROTTLE(f);

    return t->bps || t->pps || error_set(err, "give bps= or pps=, bits or packets a second");
}

/* --- limits may be changed while frames wait --- */

static uint64_t *field_of(FilterThrottle *t, const Property *prop)
{
    uint64_t *const fields[] = {&t->bps, &t->pps, &t->bps_burst, &t->pps_burst};
    static const char *const names[] = {"bps", "pps", "bps-burst", "pps-burst"};

    for (unsigned i = 0;; i++) {
        if (!g_strcmp0(prop->name, names[i])) {
            return fields[i];
        }
    }
}

static json_t *get_limit(Object *obj, const Property *prop, GError **err)
{
    return json_integer((json_int_t)load(field_of(FILTER_THROTTLE(obj), prop)));
}

static bool set_limit(Object *obj, const Property *prop, json_t *value, GError **err)
{
    FilterThrottle *t = FILTER_THROTTLE(obj);
    uint64_t n = 0;

    if (json_is_string(value)) {
        if (!parse_size(json_string_value(value), 1, &n, err)) {
            return false;
        }
    } else if (json_is_integer(value) && json_integer_value(value) >= 0) {
        n = (uint64_t)json_integer_value(value);
    } else {
        return error_set(err, "give a number of 0 or more");
    }
    if (n > INT64_MAX / BITS) {
        return error_set(err, "the number is too large");
    }
    __atomic_store_n(field_of(t, prop), n, __ATOMIC_RELAXED);
    pthread_mutex_lock(&t->lock);
    memset(t->bits, 0, sizeof t->bits);
    memset(t->packets, 0, sizeof t->packets);
    pthread_mutex_unlock(&t->lock);
    net_filter_wake(NET_FILTER(t));
    return true;
}

static json_t *get_delayed(Object *obj, const Property *prop, GError **err)
{
    return json_integer((json_int_t)load(&FILTER_THROTTLE(obj)->delayed));
}

static void throttle_init(Object *obj)
{
    FilterThrottle *t = FILTER_THROTTLE(obj);

    pthread_mutex_init(&t->lock, NULL);
    t->clock = clock_new();
}

static void throttle_finalize(Object *obj)
{
    FilterThrottle *t = FILTER_THROTTLE(obj);

    net_filter_detach(NET_FILTER(t));
    clock_free(t->clock);
    pthread_mutex_destroy(&t->lock);
}

static void throttle_class_init(ObjectClass *klass, const void *data)
{
    NetFilterClass *k = NET_FILTER_CLASS(klass);

    k->check = throttle_check;
    k->admit = throttle_admit;
}

#define LIMIT(n, h) PROP_CUSTOM(n, "int", get_limit, set_limit, PROP_RUNTIME, h)

static const Property throttle_props[] = {
    LIMIT("bps", "bits a second in each direction; 0: no limit"),
    LIMIT("pps", "packets a second in each direction; 0: no limit"),
    LIMIT("bps-burst", "bits that may pass at once (default: of 100 ms)"),
    LIMIT("pps-burst", "packets that may pass at once (default: of 100 ms)"),
    PROP_CUSTOM("delayed", "int", get_delayed, NULL, PROP_READONLY,
                "how often a frame had to wait"),
    PROP_END,
};

const TypeInfo filter_throttle_type = {
    .name = "filter-throttle",
    .parent = &net_filter_type,
    .instance_size = sizeof(FilterThrottle),
    .instance_init = throttle_init,
    .instance_finalize = throttle_finalize,
    .class_init = throttle_class_init,
    .props = throttle_props,
    .desc = "limits a netdev's bits and packets a second",
};
