/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon's statistics queue (VIRTIO 1.4 §5.5.6.3): the driver's buffer comes back filled each
 * time it is handed back, which is done on a timer and when somebody asks.
 */
#include <inttypes.h>

#include "core/code-place.h"
#include "hw/virtio/virtio-balloon-internal.h"

enum { STATS_PER_REQUEST = 256, REQUESTS_PER_RUN = 64 };
enum { STAT_OOM_KILL = 10 }; /* younger than some hosts' headers */

/* The tag is the index. Names as in QEMU's guest-stats. */
static const char *const stat_names[BALLOON_STATS] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",  "stat-oom-kills",        "stat-alloc-stalls",
    "stat-async-scans",  "stat-direct-scans", "stat-async-reclaims",   "stat-direct-reclaims",
};

typedef struct {
    Le16 tag;
    Le64 value;
} __attribute__((packed)) WireStat;

void balloon_stats_forget(VirtioBalloon *s)
{
    memset(s->stats, 0xff, sizeof s->stats);
}

static void stats_parse(VirtioBalloon *s, VqElem *e)
{
    WireStat wire;

    balloon_stats_forget(s);
    for (unsigned i = 0; i < STATS_PER_REQUEST && vq_elem_read(e, &wire, sizeof wire); i++) {
        uint16_t tag = le16_get(wire.tag);

        if (tag < BALLOON_STATS) {
            s->stats[tag] = le64_get(wire.value);
        }
    }
    s->stats_time = g_get_real_time() / G_USEC_PER_SEC;
    s->stats_at = clock_now(device_platform(DEVICE(s))->vclock);
    s->stats_count++;
}

static void stats_poll_later(VirtioBalloon *s)
{
    if (s->poll_timer && s->poll_interval > 0) {
        loop_timer_arm_in(s->poll_timer, (int64_t)s->poll_interval * 1000000000);
    }
}

static void stats_return_buffer(VirtioBalloon *s)
{
    virtqueue_push(g_steal_pointer(&s->stats_elem));
    virtio_notify(VIRTIO_DEVICE(s), s->stats_queue);
}

void balloon_handle_stats(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(balloon_handle_stats);
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    unsigned left = REQUESTS_PER_RUN;
    VqElem *e;

    while (left > 0 && (e = virtqueue_pop(vq))) {
        left--;
        if (s->stats_elem) { /* there should be one buffer at a time */
            stats_return_buffer(s);
        }
        if (s->stats_begun ||
            !vdev->legacy) { /* §5.5.6.3.1: a legacy driver's first holds nothing */
            stats_parse(s, e);
        }
        s->stats_begun = true;
        s->stats_elem = e;
        stats_poll_later(s);
        if (s->listener && s->stats_count > 0) {
            s->listener->told(s->listener->opaque);
        }
    }
    if (left == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

static void stats_poll_cb(void *opaque)
{
    VirtioBalloon *s = opaque;

    if (s->stats_elem && virtio_running(VIRTIO_DEVICE(s))) {
        stats_return_buffer(s); /* the answer sets the timer */
    } else {
        stats_poll_later(s);
    }
}

json_t *balloon_guest_stats_get(Object *obj, const Property *prop, GError **err)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    json_t *stats = json_object();

    for (unsigned i = 0; i < BALLOON_STATS; i++) {
        json_object_set_new(stats, stat_names[i],
                            json_integer((json_int_t)s->stats[i])); /* missing: -1 */
    }
    return json_pack("{s:o, s:I}", "stats", stats, "last-update", (json_int_t)s->stats_time);
}

json_t *balloon_poll_interval_get(Object *obj, const Property *prop, GError **err)
{
    return json_integer(VIRTIO_BALLOON(obj)->poll_interval);
}

bool balloon_poll_interval_set(Object *obj, const Property *prop, json_t *value, GError **err)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    json_int_t seconds = json_integer_value(value);

    if (!json_is_integer(value)) {
        return error_set(err, "expects a whole number of seconds");
    }
    if (seconds < 0) {
        return error_set(err, "timer value must be greater than zero, or zero for no polling");
    }
    if (seconds > UINT32_MAX) {
        return error_set(err, "timer value is too big, %" PRIu32 " seconds is the most",
                         UINT32_MAX);
    }
    s->poll_interval = (uint32_t)seconds;
    if (s->poll_timer) {
        loop_timer_cancel(s->poll_timer);
    }
    stats_poll_later(s);
    return true;
}

/* --- for the policy --- */

void balloon_stats(Object *obj, MemoryBalloonStats *ret)
{
    const VirtioBalloon *s = VIRTIO_BALLOON(obj);

    *ret = (MemoryBalloonStats){
        .count = s->stats_count,
        .at = s->stats_at,
        .total = s->stats[VIRTIO_BALLOON_S_MEMTOT],
        .available = s->stats[VIRTIO_BALLOON_S_AVAIL],
        .major_faults = s->stats[VIRTIO_BALLOON_S_MAJFLT],
        .swapped_in = s->stats[VIRTIO_BALLOON_S_SWAP_IN],
        .oom_kills = s->stats[STAT_OOM_KILL],
    };
}

/* Without the driver's buffer its answer is under way, or it never came. */
void balloon_ask_stats(Object *obj)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);

    if (s->stats_elem && virtio_running(VIRTIO_DEVICE(s))) {
        stats_return_buffer(s);
    }
}

void balloon_listen(Object *obj, const MemoryBalloonListener *l)
{
    VIRTIO_BALLOON(obj)->listener = l;
}

/* --- life --- */

void balloon_stats_start(VirtioBalloon *s)
{
    Platform *p = device_platform(DEVICE(s));

    s->poll_timer = loop_timer_new(p->loop, p->vclock, stats_poll_cb, s);
    stats_poll_later(s);
}

void balloon_stats_stop(VirtioBalloon *s)
{
    const MemoryBalloonListener *l = g_steal_pointer(&s->listener);

    g_clear_pointer(&s->poll_timer, loop_timer_free);
    if (l) {
        l->gone(l->opaque);
    }
}

void balloon_stats_reset(VirtioBalloon *s)
{
    if (s->stats_elem) {
        virtqueue_detach(g_steal_pointer(&s->stats_elem));
    }
    balloon_stats_forget(s);
    s->stats_begun = false;
    s->stats_time = 0;
    s->stats_count = 0;
}
