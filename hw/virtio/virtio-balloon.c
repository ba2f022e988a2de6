/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory balloon (VIRTIO 1.4 §5.5): the guest is asked to keep to a target, names the pages
 * that it gives up, and they go back to the host in units of huge pages (core/given.h). Free pages
 * are reported, statistics are as QEMU shows them. Left out: free page hinting, which is of use to
 * migration alone.
 *
 * Queues: Linux counts only those that exist, so that its reporting queue is number 3 without
 * hinting; the specification numbers it 4. Both places serve reports.
 *
 * Threads: page numbers and reports are served on the iothread, if there is one; statistics and
 * configuration on the main loop.
 *
 * Reset: the target (num_pages) is the host's wish and stays, so the next driver is told of it at
 * once. `actual` goes to 0: the driver that knew which pages were given up is gone, and whoever
 * comes next takes all memory as its own (a rebooted or kexec'ed kernel does). QEMU keeps the old
 * number there until a driver happens to write a new one.
 */
#include <inttypes.h>

#include "core/code-place.h"
#include "core/log.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-balloon-internal.h"

enum {
    QUEUE_SIZE = 128,
    PFNS_PER_REQUEST = 65536, /* the rest of a longer one is ignored: giving pages back is a hint */
    /* What one turn on the loop may take; then others have theirs. */
    REQUESTS_PER_RUN = 64,
    PFNS_PER_RUN = 4096,        /* a system call each when they are scattered: some milliseconds */
    REPORT_PER_RUN = 256 << 20, /* bytes */
    DISCARDS_PER_SETTLE = 1024,
    SETTLE_NS = 200000000, /* the guest is done giving for now */
    SETTLE_STEP_NS = 1000000,
};

#define SETTLE_MAX_NS INT64_C(2000000000)

/* --- on the wire --- */

typedef struct {
    Le32 num_pages;             /* what the host asks for */
    Le32 actual;                /* what the guest has given up; written by the driver */
    Le32 free_page_hint_cmd_id; /* not served */
    Le32 poison_val;            /* what the driver fills free pages with */
} WireConfig;

enum { CONFIG_SIZE_PLAIN = offsetof(WireConfig, free_page_hint_cmd_id) };

/* --- state --- */

static uint64_t ram_size(VirtioBalloon *s)
{
    return gmem_size(virtio_memory(VIRTIO_DEVICE(s)));
}

/* --- page numbers: inflate and deflate --- */

/* The request that waits from the last turn, or the next one. */
static VqElem *turn_next(Turn *t, VirtQueue *vq)
{
    VqElem *e = g_steal_pointer(&t->elem);

    if (e && !vq_elem_queue(e)) { /* its queue was reset meanwhile */
        virtqueue_detach(e);
        e = NULL;
    }
    if (!e) {
        e = virtqueue_pop(vq);
        t->left = PFNS_PER_REQUEST;
        t->piece = 0;
        t->off = 0;
    }
    return e;
}

static void turn_forget(Turn *t)
{
    if (t->elem) {
        virtqueue_detach(g_steal_pointer(&t->elem));
    }
}

typedef void (*PfnsFn)(GivenPages *g, const uint32_t *pfns, unsigned n);

static unsigned take_batch(VirtioBalloon *s, VqElem *e, size_t limit, PfnsFn fn)
{
    Le32 wire[GIVEN_SORT_MAX];
    uint32_t pfns[GIVEN_SORT_MAX];
    unsigned n = (unsigned)(vq_elem_read_some(e, wire, MIN(limit, GIVEN_SORT_MAX) * sizeof *wire) /
                            sizeof *wire);

    for (unsigned i = 0; i < n; i++) {
        pfns[i] = le32_get(wire[i]);
    }
    given_sort(pfns, n);
    fn(s->given, pfns, n);
    return n;
}

/* Takes at most *budget page numbers of the request. True when it is done. */
static bool take_some(VirtioBalloon *s, Turn *t, VqElem *e, unsigned *budget, PfnsFn fn)
{
    while (t->left > 0 && vq_elem_out_left(e) >= sizeof(Le32)) {
        unsigned n;

        if (*budget == 0) {
            return false;
        }
        n = take_batch(s, e, MIN(*budget, t->left), fn);
        *budget -= n;
        t->left -= n;
    }
    if (vq_elem_out_left(e) > 0) {
        log_guest("virtio-balloon: %zu odd bytes at the end of a request", vq_elem_out_left(e));
    }
    return true;
}

static void tell_outside(uint64_t before, uint64_t now)
{
    if (now != before) {
        log_guest("virtio-balloon: %" PRIu64 " page numbers that are not RAM or in use",
                  (now - before) / GIVEN_PAGE);
    }
}

static uint64_t bad_pages(VirtioBalloon *s)
{
    return given_ledger(s->given)->inflate_outside + given_ledger(s->given)->inflate_in_use;
}

static void pfns_run(VirtIODevice *vdev, VirtQueue *vq, Turn *t, PfnsFn fn)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    unsigned left = REQUESTS_PER_RUN, budget = PFNS_PER_RUN;
    uint64_t bad = bad_pages(s);
    VqElem *e;

    given_set_told(s->given, virtio_has_feature(vdev, VIRTIO_BALLOON_F_MUST_TELL_HOST));
    while (left > 0 && budget > 0 && (e = turn_next(t, vq))) {
        if (!take_some(s, t, e, &budget, fn)) {
            t->elem = e;
            break;
        }
        virtqueue_fill(e);
        left--;
    }
    tell_outside(bad, bad_pages(s));
    TRACE(virtio_balloon_pages, "queue=%u pages=%u given=%" PRIu64 " released=%" PRIu64,
          vq == s->deflate, PFNS_PER_RUN - budget, given_ledger(s->given)->given,
          given_ledger(s->given)->released);
    if (left < REQUESTS_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0 || budget == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

/* Later than SETTLE_NS after the last request, and at most SETTLE_MAX_NS after the first. */
static void settle_later(VirtioBalloon *s)
{
    int64_t now = clock_now(device_platform(DEVICE(s))->vclock);

    if (given_ledger(s->given)->held_back == 0) {
        return;
    }
    if (!loop_timer_armed(s->settle_timer)) {
        s->settle_by = now + SETTLE_MAX_NS;
    }
    loop_timer_arm_at(s->settle_timer, MIN(now + SETTLE_NS, s->settle_by));
}

static void settle_cb(void *opaque)
{
    VirtioBalloon *s = opaque;

    if (virtio_running(VIRTIO_DEVICE(s)) && given_settle(s->given, DISCARDS_PER_SETTLE)) {
        loop_timer_arm_in(s->settle_timer, SETTLE_STEP_NS);
    }
}

static void virtio_balloon_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_balloon_handle_output);
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);

    if (vq == s->inflate) {
        pfns_run(vdev, vq, &s->inflating, given_inflate);
        settle_later(s);
    } else {
        pfns_run(vdev, vq, &s->deflating, given_deflate);
    }
}

/* --- free page reporting (§5.5.6.7): the pages are ours until the request is handed back --- */

/* §5.5.6.7.2: reported pages must hold poison_val afterwards; what the host gives holds zero. */
static bool report_wanted(VirtioBalloon *s)
{
    return !virtio_has_feature(VIRTIO_DEVICE(s), VIRTIO_BALLOON_F_PAGE_POISON) ||
           s->poison_val == 0;
}

/* Takes at most *budget bytes of the request. True when it is done. */
static bool report_some(VirtioBalloon *s, Turn *t, VqElem *e, uint64_t *budget)
{
    struct iovec part[GIVEN_REPORT_MAX];
    unsigned total, n = 0;
    const struct iovec *iov = vq_elem_in_iov(e, &total);

    while (t->piece < total && n < GIVEN_REPORT_MAX && *budget != 0) {
        uint64_t len = MIN(iov[t->piece].iov_len - t->off, *budget);

        part[n++] = (struct iovec){(uint8_t *)iov[t->piece].iov_base + t->off, len};
        *budget -= len;
        t->off += len;
        if (t->off == iov[t->piece].iov_len) {
            t->off = 0;
            t->piece++;
        }
    }
    given_report(s->given, part, n, report_wanted(s));
    return t->piece == total;
}

static void virtio_balloon_handle_report(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_balloon_handle_report);
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    Turn *t = &s->reporting[vq == s->report[1]];
    uint64_t budget = REPORT_PER_RUN;
    unsigned left = REQUESTS_PER_RUN;
    VqElem *e;

    while (left > 0 && budget > 0 && (e = turn_next(t, vq))) {
        if (!report_some(s, t, e, &budget)) {
            t->elem = e;
            break;
        }
        virtqueue_fill(e);
        left--;
    }
    if (left < REQUESTS_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0 || budget == 0 || t->elem) {
        virtio_queue_run_later(vdev, vq);
    }
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

uint64_t balloon_actual(Object *obj)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    uint64_t ram = ram_size(s);

    return ram - MIN((uint64_t)s->actual << VIRTIO_BALLOON_PFN_SHIFT, ram);
}

static uint64_t balloon_target(Object *obj)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);
    uint64_t ram = ram_size(s);

    return ram - MIN((uint64_t)s->num_pages << VIRTIO_BALLOON_PFN_SHIFT, ram);
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
    WireConfig wire = {.num_pages = le32_make(s->num_pages),
                       .actual = le32_make(s->actual_written),
                       .poison_val = le32_make(s->poison_val)};

    memcpy(config, &wire, vdev->config_size);
}

static bool virtio_balloon_config_writable(VirtIODevice *vdev, size_t off)
{
    return (off >= offsetof(WireConfig, actual) && off < CONFIG_SIZE_PLAIN) ||
           off >= offsetof(WireConfig, poison_val);
}

/* A driver that writes byte by byte is done with the last one. */
static void virtio_balloon_set_config(VirtIODevice *vdev, const void *config, size_t off,
                                      size_t len)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    WireConfig wire = {0};

    memcpy(&wire, config, vdev->config_size);
    s->poison_val = le32_get(wire.poison_val);
    s->actual_written = le32_get(wire.actual);
    if (off < CONFIG_SIZE_PLAIN && off + len >= CONFIG_SIZE_PLAIN) {
        actual_changed(s, s->actual_written);
    }
}

static uint64_t virtio_balloon_get_features(VirtIODevice *vdev, uint64_t common)
{
    return VIRTIO_BALLOON(vdev)->features | UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ;
}

/* --- life --- */

/* Hints tell a migration what it need not copy, and there is none. */
static bool hint_set(Object *obj, const Property *prop, json_t *value, GError **err)
{
    bool on = json_is_true(value);

    if (json_is_string(value) && !parse_bool(json_string_value(value), &on, err)) {
        return false;
    }
    if (!json_is_string(value) && !json_is_boolean(value)) {
        return error_set(err, "expects on or off");
    }
    return !on ||
           error_set(err, "free page hints are of use to migration alone, which there is not; "
                          "for memory back from the guest: free-page-reporting=on");
}

static json_t *hint_get(Object *obj, const Property *prop, GError **err)
{
    return json_false();
}

static void virtio_balloon_reset(VirtIODevice *vdev)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);

    turn_forget(&s->inflating);
    turn_forget(&s->deflating);
    turn_forget(&s->reporting[0]);
    turn_forget(&s->reporting[1]);
    loop_timer_cancel(s->settle_timer);
    given_forget(s->given);
    s->poison_val = 0;
    balloon_stats_reset(s);
    actual_changed(s, 0);
}

static VirtQueue *add_queue(VirtioBalloon *s, VirtIOHandleOutput handle_output)
{
    VirtQueue *vq = virtio_add_queue(VIRTIO_DEVICE(s), QUEUE_SIZE, handle_output);

    if (s->iothread) {
        virtio_queue_set_iothread(vq, iothread_object_thread(s->iothread));
    }
    return vq;
}

static bool virtio_balloon_realize(VirtIODevice *vdev, GError **err)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);
    Platform *p = device_platform(DEVICE(vdev));

    virtio_init(vdev, VIRTIO_ID_BALLOON,
                s->features & UINT64_C(1) << VIRTIO_BALLOON_F_PAGE_POISON ? sizeof(WireConfig)
                                                                          : CONFIG_SIZE_PLAIN);
    s->given = given_new(virtio_memory(vdev), (GivenGranule)s->granule, s->prefault);
    s->inflate = add_queue(s, virtio_balloon_handle_output);
    s->deflate = add_queue(s, virtio_balloon_handle_output);
    s->stats_queue = virtio_add_queue(vdev, QUEUE_SIZE, balloon_handle_stats);
    for (unsigned i = 0; i < 2 && s->features & UINT64_C(1) << VIRTIO_BALLOON_F_REPORTING; i++) {
        s->report[i] = add_queue(s, virtio_balloon_handle_report);
    }
    virtio_lock(vdev);
    s->settle_timer = loop_timer_new(virtio_queue_loop(s->inflate), p->vclock, settle_cb, s);
    virtio_unlock(vdev);
    balloon_stats_start(s);
    return true;
}

static void virtio_balloon_unrealize(VirtIODevice *vdev)
{
    VirtioBalloon *s = VIRTIO_BALLOON(vdev);

    balloon_stats_stop(s);
    virtio_lock(vdev);
    g_clear_pointer(&s->settle_timer, loop_timer_free);
    g_clear_pointer(&s->given, given_free);
    virtio_unlock(vdev);
    s->num_pages = 0;
}

static void virtio_balloon_memory(Object *obj, MemoryTell *tell, void *opaque)
{
    VirtioBalloon *s = VIRTIO_BALLOON(obj);

    virtio_device_memory(obj, tell, opaque);
    virtio_lock(VIRTIO_DEVICE(s));
    if (s->given) {
        given_memory(s->given, tell, opaque);
    }
    virtio_unlock(VIRTIO_DEVICE(s));
}

static void virtio_balloon_instance_init(Object *obj)
{
    balloon_stats_forget(VIRTIO_BALLOON(obj));
}

static const char *const granule_words[] = {
    [GIVEN_AUTO] = "auto", [GIVEN_4K] = "4k", [GIVEN_2M] = "2m", NULL};

#define LEDGER(n, h) \
    PROP_CUSTOM("ledger-" n, "int", balloon_ledger_field_get, NULL, PROP_READONLY, h)

static const Property virtio_balloon_props[] = {
    PROP_BIT64("deflate-on-oom", VirtioBalloon, features, VIRTIO_BALLOON_F_DEFLATE_ON_OOM, false,
               "let the guest take pages back before its OOM killer runs"),
    PROP_BIT64("free-page-reporting", VirtioBalloon, features, VIRTIO_BALLOON_F_REPORTING, false,
               "let the guest report free pages, which go back to the host"),
    PROP_BIT64("page-poison", VirtioBalloon, features, VIRTIO_BALLOON_F_PAGE_POISON, true,
               "let the guest tell what it fills free pages with; those it reports then keep that"),
    PROP_BIT64("must-tell-host", VirtioBalloon, features, VIRTIO_BALLOON_F_MUST_TELL_HOST, true,
               "ask the guest to tell before it uses pages of the balloon; without, huge pages "
               "given in several requests stay"),
    PROP_CUSTOM("free-page-hint", "bool", hint_get, hint_set, 0,
                "not served: of use to migration alone"),
    PROP_ENUM("granule", VirtioBalloon, granule, granule_words, GIVEN_AUTO,
              "what goes back to the host at a time: 4k: each page; 2m: whole huge pages; auto: "
              "those, and pieces when the guest has settled and a split pays"),
    PROP_BOOL("deflate-prefault", VirtioBalloon, prefault, false,
              "make memory resident when the guest takes it back"),
    PROP_LINK("iothread", VirtioBalloon, iothread, IoThreadObject, &iothread_type,
              "gives memory back, an id of -object iothread; not given: the main loop"),
    PROP_CUSTOM("ledger", "balloon ledger", balloon_ledger_get, NULL, PROP_READONLY,
                "what became of the memory that the guest gave, as x-query-balloon-ledger"),
    LEDGER("requested", "bytes that the guest is asked for"),
    LEDGER("inflated", "bytes that the guest gave, ever"),
    LEDGER("deflated", "bytes that it took back, ever"),
    LEDGER("given", "bytes given now"),
    LEDGER("released", "of them, bytes that the host has"),
    LEDGER("held-back", "of them, bytes that the host does not have"),
    LEDGER("really-released", "the same as pagemap and mincore have it, which takes time"),
    LEDGER("faulted-again-ever", "released bytes that such a check found in use again, ever"),
    LEDGER("returned", "bytes that became released, ever"),
    LEDGER("report-returned", "bytes of free page reports that went back, ever"),
    LEDGER("discards", "system calls that gave memory back, ever"),
    LEDGER("time-ns", "nanoseconds spent on it, ever"),
    PROP_CUSTOM("guest-stats", "guest statistics", balloon_guest_stats_get, NULL, 0,
                "what the guest last told about its memory, -1 where it did not, and when"),
    PROP_CUSTOM("guest-stats-polling-interval", "int", balloon_poll_interval_get,
                balloon_poll_interval_set, PROP_RUNTIME,
                "seconds between requests for statistics; 0: none"),
    PROP_END,
};

static void virtio_balloon_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);
    MemoryBalloonClass *mc = object_class_interface(klass, &memory_balloon_type);

    klass->memory = virtio_balloon_memory;
    mc->set_target = balloon_set_target;
    mc->actual = balloon_actual;
    mc->target = balloon_target;
    mc->ledger = balloon_ledger;
    mc->stats = balloon_stats;
    mc->ask_stats = balloon_ask_stats;
    mc->listen = balloon_listen;
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
