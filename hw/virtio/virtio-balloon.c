/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory balloon (VIRTIO 1.4 §5.5): the guest is asked to keep to a target, names the pages
 * that it gives up, and they go back to the host as merged ranges. Statistics as QEMU shows them.
 * Left out: MUST_TELL_HOST, free page hinting and reporting, page poison.
 *
 * Reset: the target (num_pages) is the host's wish and stays, so the next driver is told of it at
 * once. `actual` goes to 0: the driver that knew which pages were given up is gone, and whoever
 * comes next takes all memory as its own (a rebooted or kexec'ed kernel does). QEMU keeps the old
 * number there until a driver happens to write a new one.
 */
#include <inttypes.h>
#include <linux/virtio_balloon.h>

#include "core/log.h"
#include "hw/core/memory-balloon.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio.h"

enum {
    QUEUE_SIZE = 128,
    PFN_BATCH = 1024, /* page numbers sorted and merged at a time; Linux sends at most 256 */
    PFNS_PER_REQUEST = 65536, /* the rest of a longer one is ignored: giving pages back is a hint */
    /* What one turn on the main loop may take; then others have theirs. */
    REQUESTS_PER_RUN = 64,
    PFNS_PER_RUN = 4096, /* a system call each when they are scattered: some milliseconds */
    STATS_PER_REQUEST = 256,
};

/* §5.5.6.3, those since VIRTIO 1.4 included; the tag is the index. Names as in QEMU's guest-stats.
 */
static const char *const stat_names[] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",  "stat-oom-kills",        "stat-alloc-stalls",
    "stat-async-scans",  "stat-direct-scans", "stat-async-reclaims",   "stat-direct-reclaims",
};
enum { STATS = G_N_ELEMENTS(stat_names) };

/* --- on the wire --- */

typedef struct {
    Le32 num_pages; /* what the host asks for */
    Le32 actual;    /* what the guest has given up; written by the driver */
} WireConfig;

typedef struct {
    Le16 tag;
    Le64 value;
} __attribute__((packed)) WireStat;

/* --- state --- */

typedef struct VirtioBalloon {
    VirtIODevice parent_obj;
    VirtQueue *inflate, *deflate, *stats_queue;
    bool deflate_on_oom;     /* property */
    uint32_t num_pages;      /* target, pages of 4 KiB to give up */
    uint32_t actual;         /* given up, as the driver last told */
    VqElem *inflate_elem;    /* a request that took longer than a turn; NULL: none */
    unsigned inflate_left;   /* page numbers that may still be taken from the present request */
    uint32_t actual_written; /* the same while the driver writes it in parts */
    VqElem *stats_elem; /* the driver's buffer, kept until new statistics are wanted; NULL: none */
    bool stats_begun;   /* a buffer came since reset */
    uint64_t stats[STATS];  /* UINT64_MAX: not told */
    int64_t stats_time;     /* seconds since the epoch; 0: never */
    uint32_t poll_interval; /* property, seconds; 0: no polling */
    LoopTimer *poll_timer;
} VirtioBalloon;

OBJECT_DECLARE(VirtioBalloon, virtio_balloon, VIRTIO_BALLOON)

static uint64_t ram_size(VirtioBalloon *s)
{
    return gmem_size(virtio_memory(VIRTIO_DEVICE(s)));
}

/* --- inflate --- */

typedef struct {
    uint32_t pfn[PFN_BATCH];
    unsigned n;
    bool ascending, descending; /* so far, equal neighbours allowed */
} PfnBatch;

static void batch_parse(PfnBatch *b, VqElem *e, size_t limit)
{
    Le32 wire[PFN_BATCH];

    b->n =
        (unsigned)(vq_elem_read_some(e, wire, MIN(limit, PFN_BATCH) * sizeof *wire) / sizeof *wire);
    b->ascending = b->descending = true;
    for (unsigned i = 0; i < b->n; i++) {
        b->pfn[i] = le32_get(wire[i]);
        if (i > 0 && b->pfn[i] < b->pfn[i - 1]) {
            b->ascending = false;
        } else if (i > 0 && b->pfn[i] > b->pfn[i - 1]) {
            b->descending = false;
        }
    }
}

/* One pass of a radix sort, by the byte at shift. */
static void sort_pass(const uint32_t *from, uint32_t *to, unsigned n, unsigned shift)
{
    unsigned at[257] = {0};

    for (unsigned i = 0; i < n; i++) {
        at[(uint8_t)(from[i] >> shift) + 1]++;
    }
    for (unsigned v = 1; v < 256; v++) {
        at[v] += at[v - 1];
    }
    for (unsigned i = 0; i < n; i++) {
        to[at[(uint8_t)(from[i] >> shift)]++] = from[i];
    }
}

static void batch_sort(PfnBatch *b)
{
    uint32_t other[PFN_BATCH];

    if (b->ascending) {
        return;
    }
    if (b->descending) {
        for (unsigned i = 0; i < b->n / 2; i++) {
            uint32_t low = b->pfn[b->n - 1 - i];

            b->pfn[b->n - 1 - i] = b->pfn[i];
            b->pfn[i] = low;
        }
        return;
    }
    for (unsigned shift = 0; shift < 32; shift += 16) {
        sort_pass(b->pfn, other, b->n, shift);
        sort_pass(other, b->pfn, b->n, shift + 8);
    }
}

static void discard(VirtioBalloon *s, uint32_t first, uint64_t pages)
{
    GuestMemory *mem = virtio_memory(VIRTIO_DEVICE(s));
    Gpa gpa = GPA((uint64_t)first << VIRTIO_BALLOON_PFN_SHIFT);
    uint64_t len = pages << VIRTIO_BALLOON_PFN_SHIFT;
    uint64_t freed = gmem_discard(mem, gpa, len, NULL);

    TRACE(virtio_balloon_inflate, "gpa=0x%" PRIx64 " len=0x%" PRIx64 " freed=0x%" PRIx64, gpa.v,
          len, freed);
    if (freed < len && !gmem_contains(mem, gpa, len)) {
        log_guest("virtio-balloon: page numbers %" PRIu32 " to %" PRIu64 " are not all RAM", first,
                  first + pages - 1);
    }
}

/* The batch is sorted; pages named twice count once. */
static void batch_discard(VirtioBalloon *s, const PfnBatch *b)
{
    for (unsigned i = 0; i < b->n;) {
        uint32_t first = b->pfn[i], last = first;

        while (++i < b->n && b->pfn[i] - last <= 1) {
            last = b->pfn[i];
        }
        discard(s, first, (uint64_t)last - first + 1);
    }
}

/* Takes at most *budget page numbers of the request. True when it is done. */
static bool inflate_some(VirtioBalloon *s, VqElem *e, unsigned *budget)
{
    PfnBatch batch;

    while (s->inflate_left > 0 && vq_elem_out_left(e) >= sizeof(Le32)) {
        if (*budget == 0) {
            return false;
        }
        batch_parse(&batch, e, MIN(*budget, s->inflate_left));
        batch_sort(&batch);
        batch_discard(s, &batch);
        *budget -= batch.n;
        s->inflate_left -= batch.n;
    }
    if (vq_elem_out_left(e) > 0) {
        log_guest("virtio-balloon: %zu odd bytes at the end of an inflate request",
                  vq_elem_out_left(e));
    }
    return true;
}

/* The request that waits from the last turn, or the next one. */
static VqElem *inflate_next(VirtioBalloon *s, VirtQueue *vq)
{
    VqElem *e = g_steal_pointer(&s->inflate_elem);

    if (e && !vq_elem_queue(e)) { /* its queue was reset meanwhile */
        virtqueue_detach(e);
        e = NULL;
    }
    if (!e) {
        e = virtqueue_pop(vq);
        s->inflate_left = PFNS_PER_REQUEST;
    }
    return e;
}

static void inflate_run(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    unsigned left = REQUESTS_PER_RUN, budget = PFNS_PER_RUN;
    VqElem *e;

    while (left > 0 && budget > 0 && (e = inflate_next(s, vq))) {
        if (!inflate_some(s, e, &budget)) {
            s->inflate_elem = e;
            break;
        }
        virtqueue_fill(e);
        left--;
    }
    if (left < REQUESTS_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0 || budget == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

/* What comes back needs nothing: the host gives zeroed memory at the first touch. */
static void deflate_run(VirtIODevice *vdev, VirtQueue *vq)
{
    unsigned left = REQUESTS_PER_RUN;
    VqElem *e;

    while (left > 0 && (e = virtqueue_pop(vq))) {
        virtqueue_fill(e);
        left--;
    }
    if (left < REQUESTS_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

static void virtio_balloon_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    if (vq == VIRTIO_BALLOON(vdev)->inflate) {
        inflate_run(vdev, vq);
    } else {
        deflate_run(vdev, vq);
    }
}

/* --- statistics (§5.5.6.3): the driver's buffer comes back filled each time it is handed back ---
 */

static void stats_forget(VirtioBalloon *s)
{
    memset(s->stats, 0xff, sizeof s->stats);
}

static void stats_parse(VirtioBalloon *s, VqElem *e)
{
    WireStat wire;

    stats_forget(s);
    for (unsigned i = 0; i < STATS_PER_REQUEST && vq_elem_read(e, &wire, sizeof wire); i++) {
        uint16_t tag = le16_get(wire.tag);

        if (tag < STATS) {
            s->stats[tag] = le64_get(wire.value);
        }
    }
    s->stats_time = g_get_real_time() / G_USEC_PER_SEC;
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

static void virtio_balloon_handle_stats(VirtIODevice *vdev, VirtQueue *vq)
{
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

static json_t *guest_stats_get(Object *obj, const Property *prop, GError **err)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    json_t *stats = json_object();

    for (unsigned i = 0; i < STATS; i++) {
        json_object_set_new(stats, stat_names[i],
                            json_integer((json_int_t)s->stats[i])); /* missing: -1 */
    }
    return json_pack("{s:o, s:I}", "stats", stats, "last-update", (json_int_t)s->stats_time);
}

static json_t *poll_interval_get(Object *obj, const Property *prop, GError **err)
{
    return json_integer(VIRTIO_BALLOON(obj)->poll_interval);
}

static bool poll_interval_set(Object *obj, const Property *prop, json_t *value, GError **err)
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

/* --- target and actual --- */

static void balloon_set_target(Object *obj, uint64_t guest_bytes)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    uint64_t ram = ram_size(s);

    if (guest_bytes == 0) {
        return;
    }
    guest_bytes = MIN(guest_bytes, ram);
    s->num_pages = (uint32_t)MIN((ram - guest_bytes) >> VIRTIO_BALLOON_PFN_SHIFT, UINT32_MAX);
    TRACE(virtio_balloon_target, "pages=%" PRIu32, s->num_pages);
    virtio_notify_config(VIRTIO_DEVICE(s));
}

static uint64_t balloon_actual(Object *obj)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    uint64_t ram = ram_size(s);

    return ram - MIN((uint64_t)s->actual << VIRTIO_BALLOON_PFN_SHIFT, ram);
}

static void actual_changed(VirtioBalloon *s, uint32_t actual)
{
    s->actual_written = actual;
    if (actual == s->actual) {
        return;
    }
    s->actual = actual;
    TRACE(virtio_balloon_actual, "pages=%" PRIu32, actual);
    if (!virtio_plugged(VIRTIO_DEVICE(s))) {
        return;
    }
    platform_event(device_platform(DEVICE(s)), "BALLOON_CHANGE",
                   json_pack("{s:I}", "actual", (json_int_t)balloon_actual((Object *)s)));
}

static void virtio_balloon_get_config(VirtIODevice *vdev, void *config)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    WireConfig wire = {le32_make(s->num_pages), le32_make(s->actual_written)};

    memcpy(config, &wire, sizeof wire);
}

static bool virtio_balloon_config_writable(VirtIODevice *vdev, size_t off)
{
    return off >= offsetof(WireConfig, actual);
}

/* A driver that writes byte by byte is done with the last one. */
static void virtio_balloon_set_config(VirtIODevice *vdev, const void *config, size_t off,
                                      size_t len)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    WireConfig wire;

    memcpy(&wire, config, sizeof wire);
    s->actual_written = le32_get(wire.actual);
    if (off + len >= sizeof wire) {
        actual_changed(s, s->actual_written);
    }
}

static uint64_t virtio_balloon_get_features(VirtIODevice *vdev, uint64_t common)
{
    uint64_t features = UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ;

    if (VIRTIO_BALLOON(vdev)->deflate_on_oom) {
        features |= UINT64_C(1) << VIRTIO_BALLOON_F_DEFLATE_ON_OOM;
    }
    return features;
}

/* --- life --- */

static void virtio_balloon_reset(VirtIODevice *vdev)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);

    if (s->inflate_elem) {
        virtqueue_detach(g_steal_pointer(&s->inflate_elem));
    }
    if (s->stats_elem) {
        virtqueue_detach(g_steal_pointer(&s->stats_elem));
    }
    stats_forget(s);
    s->stats_begun = false;
    s->stats_time = 0;
    actual_changed(s, 0);
}

static bool virtio_balloon_realize(VirtIODevice *vdev, GError **err)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    Platform *p = device_platform(DEVICE(vdev));

    virtio_init(vdev, VIRTIO_ID_BALLOON, sizeof(WireConfig));
    s->inflate = virtio_add_queue(vdev, QUEUE_SIZE, virtio_balloon_handle_output);
    s->deflate = virtio_add_queue(vdev, QUEUE_SIZE, virtio_balloon_handle_output);
    s->stats_queue = virtio_add_queue(vdev, QUEUE_SIZE, virtio_balloon_handle_stats);
    s->poll_timer = loop_timer_new(p->loop, p->vclock, stats_poll_cb, s);
    stats_poll_later(s);
    return true;
}

static void virtio_balloon_unrealize(VirtIODevice *vdev)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);

    g_clear_pointer(&s->poll_timer, loop_timer_free);
    s->num_pages = 0;
}

static void virtio_balloon_instance_init(Object *obj)
{
    stats_forget(VIRTIO_BALLOON(obj));
}

static const Property virtio_balloon_props[] = {
    PROP_BOOL("deflate-on-oom", VirtioBalloon, deflate_on_oom, false,
              "let the guest take pages back before its OOM killer runs"),
    PROP_CUSTOM("guest-stats", "guest statistics", guest_stats_get, NULL, 0,
                "what the guest last told about its memory, -1 where it did not, and when"),
    PROP_CUSTOM("guest-stats-polling-interval", "int", poll_interval_get, poll_interval_set,
                PROP_RUNTIME, "seconds between requests for statistics; 0: none"),
    PROP_END,
};

static void virtio_balloon_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);
    MemoryBalloonClass *mc = object_class_interface(klass, &memory_balloon_type);

    mc->set_target = balloon_set_target;
    mc->actual = balloon_actual;
    dc->user_creatable = true;
    dc->category = "misc";
    vc->realize = virtio_balloon_realize;
    vc->unrealize = virtio_balloon_unrealize;
    vc->get_features = virtio_balloon_get_features;
    vc->get_config = virtio_balloon_get_config;
    vc->set_config = virtio_balloon_set_config;
    vc->config_writable = virtio_balloon_config_writable;
    vc->reset = virtio_balloon_reset;
}

const TypeInfo virtio_balloon_type = {
    .name = "virtio-balloon-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(VirtioBalloon),
    .instance_init = virtio_balloon_instance_init,
    .class_init = virtio_balloon_class_init,
    .props = virtio_balloon_props,
    .interfaces = (const TypeInfo *const[]){&memory_balloon_type, NULL},
    .desc = "memory balloon",
};
