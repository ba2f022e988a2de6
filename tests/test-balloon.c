/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-balloon (VIRTIO 1.4 §5.5) played by a driver without guest: memory given back, target and
 * actual, statistics, and drivers that misbehave.
 */
#include <check.h>
#include <linux/virtio_balloon.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "core/le.h"
#include "hw/core/memory-balloon.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum { INFLATE = 0, DEFLATE = 1, STATS = 2, PAGE = 4096, MIB_PAGES = 256 };
enum { NUM_PAGES = 0, ACTUAL = 4 };
#define BIT(n) (UINT64_C(1) << (n))

static MemoryBalloonClass *balloon_class(FakeDriver *d)
{
    return object_interface((Object *)d->vdev, &memory_balloon_type);
}

static void set_target(FakeDriver *d, uint64_t bytes)
{
    balloon_class(d)->set_target((Object *)d->vdev, bytes);
}

static uint64_t actual(FakeDriver *d)
{
    return balloon_class(d)->actual((Object *)d->vdev);
}

/* Sends page numbers on a queue in one buffer. */
static void send_pfns(FakeDriver *d, unsigned q, const uint32_t *pfns, unsigned n)
{
    g_autofree Le32 *wire = g_new(Le32, n);
    Gpa at = fake_driver_alloc(d, n * 4); /* not at an edge of RAM: those pages are given away */

    for (unsigned i = 0; i < n; i++) {
        wire[i] = le32_make(pfns[i]);
    }
    ck_assert(gmem_write(d->m->p.mem, at, wire, n * 4));
    fake_driver_add(d, q, OUT_AT(at.v, n * 4));
    fake_driver_kick(d, q);
}

/* A balloon that gives each page back at once. */
static FakeDriver *page_driver(unsigned cell)
{
    return fake_driver_new_props("virtio-balloon", cell, "granule=4k");
}

static void mark_page(FakeDriver *d, uint64_t pfn)
{
    fake_mem_put(d->m->p.mem, GPA(pfn * PAGE), 0x5aa5, 8);
}

static bool page_is_marked(FakeDriver *d, uint64_t pfn)
{
    return fake_mem_get(d->m->p.mem, GPA(pfn * PAGE), 8) == 0x5aa5;
}

/* --- inflate and deflate --- */

START_TEST(balloon_05_inflated_pages_go_back_to_the_host)
{
    static const uint32_t pfns[] = {2048, 2050, 2049, 3000, 2047, 2049, 4095, 0x100000 + 7};
    g_autoptr(FakeDriver) d = page_driver((unsigned)_i);
    uint32_t len = 1;

    for (unsigned i = 0; i < G_N_ELEMENTS(pfns); i++) {
        mark_page(d, pfns[i]);
    }
    mark_page(d, 2046);
    mark_page(d, 2051);
    send_pfns(d, INFLATE, pfns, G_N_ELEMENTS(pfns));
    ck_assert(fake_driver_get(d, INFLATE, NULL, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(fake_driver_interrupted(d, INFLATE));
    for (unsigned i = 0; i < G_N_ELEMENTS(pfns); i++) {
        ck_assert(!page_is_marked(d, pfns[i]));
    }
    ck_assert(page_is_marked(d, 2046) && page_is_marked(d, 2051));
}
END_TEST

static void check_inflates(FakeDriver *d, const uint32_t *pfns, unsigned n)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < n; i++) {
        mark_page(d, pfns[i]);
    }
    send_pfns(d, INFLATE, pfns, n);
    ck_assert(fake_driver_get(d, INFLATE, NULL, NULL));
    for (unsigned i = 0; i < n; i++) {
        kept += page_is_marked(d, pfns[i]);
    }
    ck_assert_uint_eq(kept, 0);
    send_pfns(d, DEFLATE, pfns, n);
    ck_assert(fake_driver_get(d, DEFLATE, NULL, NULL));
}

START_TEST(inflate_takes_every_order)
{
    g_autoptr(FakeDriver) d = page_driver((unsigned)_i);
    uint32_t pfns[1500]; /* more than are merged at a time */

    for (unsigned i = 0; i < 1500; i++) {
        pfns[i] = 2048 + i;
    }
    check_inflates(d, pfns, 1500);
    for (unsigned i = 0; i < 1500; i++) {
        pfns[i] = 4000 - i;
    }
    check_inflates(d, pfns, 1500);
    for (unsigned i = 0; i < 1500; i++) {
        pfns[i] = 2048 + (i * 7919 % 1500);
    }
    check_inflates(d, pfns, 1500);
    for (unsigned i = 0; i < 1500; i++) {
        pfns[i] = 2048;
    }
    check_inflates(d, pfns, 1500);
}
END_TEST

START_TEST(inflate_drops_resident_memory)
{
    g_autoptr(FakeDriver) d = page_driver(0);
    uint64_t before;
    uint32_t pfns[256];

    ck_assert(gmem_set(d->m->p.mem, GPA(FAKE_RAM_EDGE), 1, 1 << 20));
    before = gmem_resident(d->m->p.mem);
    for (unsigned i = 0; i < 256; i++) {
        pfns[i] = FAKE_RAM_EDGE / PAGE + i;
    }
    send_pfns(d, INFLATE, pfns, 256);
    ck_assert_uint_le(gmem_resident(d->m->p.mem), before - (1 << 20) + 2 * PAGE);
}
END_TEST

START_TEST(page_numbers_beyond_ram_are_ignored)
{
    static const uint32_t pfns[] = {FAKE_RAM_LOW / PAGE,    0xffffffff, 0xfffffffe, 0xb0000, 2100,
                                    FAKE_RAM_LOW / PAGE - 1};
    g_autoptr(FakeDriver) d = page_driver((unsigned)_i);

    mark_page(d, 2100);
    mark_page(d, FAKE_RAM_LOW / PAGE - 1);
    send_pfns(d, INFLATE, pfns, G_N_ELEMENTS(pfns));
    ck_assert(fake_driver_get(d, INFLATE, NULL, NULL));
    ck_assert(!fake_driver_broken(d));
    ck_assert(!page_is_marked(d, 2100));
    ck_assert(!page_is_marked(d, FAKE_RAM_LOW / PAGE - 1));
}
END_TEST

START_TEST(short_and_wrong_way_requests_come_back)
{
    g_autoptr(FakeDriver) d = page_driver((unsigned)_i);
    static const uint8_t bytes[7] = {0, 8, 0, 0, 1, 8, 0}; /* page 2048, and three bytes more */

    mark_page(d, 2048);
    for (unsigned q = INFLATE; q <= DEFLATE; q++) {
        fake_driver_add(d, q, IN(64));
        fake_driver_add(d, q, OUT_AT(0x200000, 0));
        fake_driver_add(d, q, OUT(bytes, 3));
        fake_driver_kick(d, q);
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[q]), 3);
    }
    ck_assert(page_is_marked(d, 2048));
    fake_driver_add(d, INFLATE, OUT(bytes, 1), OUT(bytes + 1, 2), OUT(bytes + 3, 4),
                    IN(4)); /* cut anywhere */
    fake_driver_kick(d, INFLATE);
    ck_assert(!page_is_marked(d, 2048));
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(balloon_02_03_pages_may_be_used_before_they_are_deflated)
{
    static const uint32_t pfns[] = {2048, 2049, 0xffffffff};
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);

    send_pfns(d, INFLATE, pfns, 2);
    ck_assert(fake_driver_get(d, INFLATE, NULL, NULL));
    mark_page(d, 2048); /* Linux uses them at once without MUST_TELL_HOST */
    send_pfns(d, DEFLATE, pfns, 3);
    ck_assert(fake_driver_get(d, DEFLATE, NULL, NULL));
    ck_assert(fake_driver_interrupted(d, DEFLATE));
    ck_assert(page_is_marked(d, 2048));
}
END_TEST

START_TEST(endless_request_does_not_hold_the_loop)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe_on(fake_machine_new(UINT64_C(1) << 32), "virtio-balloon", 0, NULL);
    FakeRing *r = &d->rings[INFLATE];

    fake_driver_up(d);
    for (uint16_t i = 0; i < r->num; i++) { /* 128 requests of nearly 4 GiB of page numbers */
        fake_ring_set_desc(r, i, UINT64_C(1) << 33, UINT32_MAX - 3, 0, 0);
        fake_ring_put_avail(r, i);
    }
    fake_driver_kick(d, INFLATE);
    ck_assert_uint_eq(fake_ring_used_idx(r), r->num);
}
END_TEST

/* 16384 page numbers, every second page of 128 MiB: more than one turn on the main loop takes. */
enum { LONG_REQUEST = 16384 };

static void add_long_request(FakeDriver *d)
{
    g_autofree Le32 *wire = g_new(Le32, LONG_REQUEST);

    for (unsigned i = 0; i < LONG_REQUEST; i++) {
        wire[i] = le32_make(UINT32_C(0x100000) + 2 * i);
    }
    fake_driver_add(d, INFLATE, OUT(wire, LONG_REQUEST * sizeof *wire));
}

static FakeDriver *driver_without_doorbells(void)
{
    FakeDriver *d = fake_driver_probe_on(fake_machine_new(UINT64_C(1) << 32), "virtio-balloon", 0,
                                         "ioeventfd=off");

    fake_driver_up(d);
    return d;
}

START_TEST(long_request_takes_turns_with_others)
{
    g_autoptr(FakeDriver) d = driver_without_doorbells();

    add_long_request(d);
    virtio_queue_notify(d->vdev, INFLATE);
    ck_assert(
        !fake_driver_get(d, INFLATE, NULL, NULL)); /* the first turn is over, the request not */
    for (unsigned turn = 1; !fake_driver_get(d, INFLATE, NULL, NULL); turn++) {
        ck_assert_uint_le(turn, 100);
        loop_iterate(d->m->p.loop, true);
    }
}
END_TEST

START_TEST(reset_ends_a_request_between_its_turns)
{
    g_autoptr(FakeDriver) d = driver_without_doorbells();

    add_long_request(d);
    virtio_queue_notify(d->vdev, INFLATE);
    fake_driver_reset(d);
    while (loop_iterate(d->m->p.loop, false)) {
    }
    ck_assert(!fake_driver_get(d, INFLATE, NULL, NULL));
}
END_TEST

START_TEST(broken_chain_on_any_queue_needs_a_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);

    for (unsigned q = INFLATE; q <= STATS; q++) {
        static const uint16_t flags[] = {VRING_DESC_F_NEXT, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT,
                                         0};

        for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) { /* looped, wrong order, outside RAM */
            fake_ring_set_desc(&d->rings[q], 0, i == 2 ? FAKE_RAM_LOW : 0x200000, 16, flags[i],
                               i == 0 ? 0 : 1);
            fake_ring_set_desc(&d->rings[q], 1, 0x200000, 16, 0, 0);
            fake_ring_put_avail(&d->rings[q], 0);
            fake_driver_kick(d, q);
            ck_assert(fake_driver_broken(d));
            ck_assert(fake_driver_config_interrupted(d));
            fake_driver_reset(d);
            d->next_page = 0x300000;
            fake_driver_up(d);
        }
    }
    ck_assert(!fake_driver_broken(d));
}
END_TEST

/* --- target and actual --- */

START_TEST(balloon_04_target_is_told_by_config_and_clamped)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);

    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), 0);
    set_target(d, FAKE_RAM_SIZE - (1 << 20));
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), MIB_PAGES);
    set_target(d, FAKE_RAM_SIZE * 2);
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), 0);
    set_target(d, UINT64_MAX);
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), 0);
    set_target(d, 1);
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), FAKE_RAM_SIZE / PAGE - 1);
    fake_driver_config_interrupted(d);
    set_target(d, 0); /* as in QEMU: no target */
    ck_assert(!fake_driver_config_interrupted(d));
}
END_TEST

START_TEST(actual_is_the_drivers_and_makes_an_event)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);
    GPtrArray *events = d->m->events;

    ck_assert_uint_eq(actual(d), FAKE_RAM_SIZE);
    d->t->config_write(d, ACTUAL, MIB_PAGES, 4);
    ck_assert_uint_eq(actual(d), FAKE_RAM_SIZE - (1 << 20));
    ck_assert_uint_eq(events->len, 1);
    ck_assert_str_eq(events->pdata[0], "BALLOON_CHANGE {\"actual\": 19922944}");
    d->t->config_write(d, ACTUAL, MIB_PAGES, 4); /* no change, no event */
    ck_assert_uint_eq(events->len, 1);
    d->t->config_write(d, NUM_PAGES, 77, 4); /* not the driver's */
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), 0);
    d->t->config_write(d, ACTUAL, UINT32_MAX, 4); /* a lie */
    ck_assert_uint_eq(actual(d), 0);
    ck_assert_uint_eq(d->t->config_read(d, ACTUAL, 4), UINT32_MAX);
}
END_TEST

START_TEST(balloon_07_actual_counts_when_its_last_byte_is_written)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);

    d->t->config_write(d, ACTUAL, 0x00, 1);
    d->t->config_write(d, ACTUAL + 1, 0x02, 1);
    d->t->config_write(d, ACTUAL + 2, 0x00, 1);
    ck_assert_uint_eq(actual(d), FAKE_RAM_SIZE);
    ck_assert_uint_eq(d->m->events->len, 0);
    d->t->config_write(d, ACTUAL + 3, 0x00, 1);
    ck_assert_uint_eq(actual(d), FAKE_RAM_SIZE - 512 * PAGE);
    ck_assert_uint_eq(d->m->events->len, 1);
}
END_TEST

START_TEST(reset_keeps_the_target_and_forgets_actual)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);

    set_target(d, FAKE_RAM_SIZE - (1 << 20));
    d->t->config_write(d, ACTUAL, MIB_PAGES, 4);
    fake_driver_reset(d);
    ck_assert_uint_eq(actual(d), FAKE_RAM_SIZE);
    ck_assert_uint_eq(d->m->events->len, 2);
    fake_driver_up(d);
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), MIB_PAGES);
    ck_assert_uint_eq(d->t->config_read(d, ACTUAL, 4), 0);
}
END_TEST

START_TEST(basic_17_features_and_their_fields)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-balloon", (unsigned)_i,
                                                _i & 1 ? "deflate-on-oom=on,free-page-reporting=on"
                                                       : "page-poison=off,must-tell-host=off");
    const uint64_t more = BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM) | BIT(VIRTIO_BALLOON_F_REPORTING) |
                          BIT(VIRTIO_BALLOON_F_PAGE_POISON) | BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST);
    uint64_t device_bits = d->t->device_features(d) & 0xffffff;

    ck_assert_uint_eq(device_bits, BIT(VIRTIO_BALLOON_F_STATS_VQ) | (_i & 1 ? more : 0));
    if (d->device) {                                       /* who tells a length */
        ck_assert_uint_eq(d->device_len, _i & 1 ? 16 : 8); /* no fields without their feature */
    }
    set_target(d, FAKE_RAM_SIZE - PAGE);
    ck_assert_uint_eq(d->t->config_read(d, NUM_PAGES, 4), 1);
}
END_TEST

/* --- statistics --- */

typedef struct {
    uint16_t tag;
    uint64_t value;
} Stat;

/* Puts a buffer with these statistics (and tail bytes of nothing after them) on the queue. */
static void send_stats(FakeDriver *d, const Stat *stats, unsigned n, unsigned tail)
{
    g_autofree uint8_t *wire = g_malloc0(n * 10 + tail + 1);

    for (unsigned i = 0; i < n; i++) {
        le_store(wire + 10 * i, stats[i].tag, 2);
        le_store(wire + 10 * i + 2, stats[i].value, 8);
    }
    fake_driver_add(d, STATS, OUT(wire, n * 10 + tail));
    fake_driver_kick(d, STATS);
}

static int64_t stat_of(FakeDriver *d, const char *name)
{
    json_t *all = property_get_json((Object *)d->vdev, "guest-stats", NULL);
    json_t *value;
    int64_t v;

    ck_assert_ptr_nonnull(all);
    value = json_object_get(json_object_get(all, "stats"), name);
    value = value ? value : json_object_get(all, name);
    ck_assert(json_is_integer(value));
    v = json_integer_value(value);
    json_decref(all);
    return v;
}

static bool set_interval(FakeDriver *d, json_int_t seconds, GError **err)
{
    json_t *value = json_integer(seconds);
    bool ok = property_set_json((Object *)d->vdev, "guest-stats-polling-interval", value, err);

    json_decref(value);
    return ok;
}

static const char *const stat_names[16] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",  "stat-oom-kills",        "stat-alloc-stalls",
    "stat-async-scans",  "stat-direct-scans", "stat-async-reclaims",   "stat-direct-reclaims",
};

/* A legacy driver's first buffer is not looked at. */
static void send_first_stats(FakeDriver *d)
{
    Stat nonsense = {4, 12345};

    if (fake_cell_is_legacy(d->cell)) {
        send_stats(d, &nonsense, 1, 0);
    }
}

/* It comes back with the second. */
static void drop_first_stats(FakeDriver *d)
{
    if (fake_cell_is_legacy(d->cell)) {
        ck_assert(fake_driver_get(d, STATS, NULL, NULL));
    }
}

START_TEST(balloon_11_first_statistics_count_but_for_legacy)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);
    bool legacy = fake_cell_is_legacy((unsigned)_i);
    Stat one = {4, 99}, two = {4, 100};

    for (unsigned n = 0; n < 2; n++) { /* once more after a reset */
        send_stats(d, &one, 1, 0);
        ck_assert_int_eq(stat_of(d, "stat-free-memory"), legacy ? -1 : 99);
        send_stats(d, &two, 1, 0);
        ck_assert_int_eq(stat_of(d, "stat-free-memory"), 100);
        fake_driver_reset(d);
        fake_driver_up(d);
    }
}
END_TEST

START_TEST(balloon_08_09_10_statistics_in_any_order_and_unknown_ones_skipped)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);
    Stat stats[19] = {{0xffff, 1}, {16, 2}};

    send_first_stats(d);
    ck_assert_int_eq(stat_of(d, "last-update"), 0);
    for (uint16_t i = 0; i < 16; i++) {
        ck_assert_int_eq(stat_of(d, stat_names[i]), -1);
        stats[2 + i] = (Stat){15 - i, UINT64_C(1000000000000) + 15 - i};
    }
    stats[18] = (Stat){1000, 3};
    send_stats(d, stats, 19, 0);
    drop_first_stats(d);
    for (unsigned i = 0; i < 16; i++) {
        ck_assert_int_eq(stat_of(d, stat_names[i]), INT64_C(1000000000000) + i);
    }
    ck_assert_int_gt(stat_of(d, "last-update"), 1000000000);
    ck_assert(!fake_driver_get(d, STATS, NULL, NULL)); /* kept until new ones are wanted */
}
END_TEST

START_TEST(statistics_of_any_length_are_harmless)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);
    Stat one = {4, 99};

    send_first_stats(d);
    send_stats(d, &one, 1, 9); /* an entry cut short */
    drop_first_stats(d);
    ck_assert_int_eq(stat_of(d, "stat-free-memory"), 99);
    send_stats(d, NULL, 0, 0);
    ck_assert_int_eq(stat_of(d, "stat-free-memory"), -1);
    send_stats(d, NULL, 0, 100000); /* zeroes: tag 0, value 0 */
    ck_assert_int_eq(stat_of(d, "stat-swap-in"), 0);
    fake_driver_add(d, STATS, IN(100));
    fake_driver_kick(d, STATS);
    ck_assert_int_eq(stat_of(d, "stat-swap-in"), -1);
    for (unsigned n = 0; n < 3; n++) {
        ck_assert(fake_driver_get(d, STATS, NULL, NULL));
    }
    ck_assert(!fake_driver_get(d, STATS, NULL, NULL)); /* one is kept */
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(polling_asks_for_statistics_by_the_virtual_clock)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", (unsigned)_i);
    const int64_t s = INT64_C(1000000000);
    Stat one = {4, 1};

    ck_assert(set_interval(d, 2, NULL));
    clock_step_to(d->m->p.vclock, 3 * s); /* there is no buffer yet */
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[STATS]), 0);
    send_stats(d, &one, 1, 0);
    clock_step_to(d->m->p.vclock, 4 * s + s / 2);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[STATS]), 0);
    clock_step_to(d->m->p.vclock, 5 * s);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[STATS]), 1);
    ck_assert(fake_driver_interrupted(d, STATS));
    ck_assert(fake_driver_get(d, STATS, NULL, NULL));
    send_stats(d, &one, 1, 0);
    ck_assert(set_interval(d, 0, NULL));
    clock_step_to(d->m->p.vclock, 100 * s);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[STATS]), 1);
}
END_TEST

START_TEST(polling_survives_reset)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-balloon", (unsigned)_i, "guest-stats-polling-interval=1");
    const int64_t s = INT64_C(1000000000);
    Stat one = {4, 1};

    send_stats(d, &one, 1, 0);
    fake_driver_reset(d); /* the buffer is the driver's again, unseen */
    ck_assert_int_eq(stat_of(d, "stat-free-memory"), -1);
    clock_step_to(d->m->p.vclock, 5 * s);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[STATS]), 0);
    fake_driver_up(d);
    send_stats(d, &one, 1, 0);
    clock_step_to(d->m->p.vclock, 7 * s);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[STATS]), 1);
}
END_TEST

START_TEST(bad_polling_interval_is_one_line)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", 0);
    g_autoptr(GError) a = NULL, b = NULL, c = NULL;

    ck_assert(!set_interval(d, -1, &a));
    ck_assert_ptr_nonnull(strstr(a->message, "must be greater than zero"));
    ck_assert(!set_interval(d, INT64_C(1) << 40, &b));
    ck_assert_ptr_nonnull(strstr(b->message, "too big"));
    ck_assert(!property_set_string((Object *)d->vdev, "guest-stats", "1", &c));
    ck_assert_ptr_nonnull(c);
}
END_TEST

/* --- the device as an object --- */

START_TEST(second_balloon_is_refused)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-balloon", 0, NULL);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_eq(memory_balloon_find(d->m->p.root), (Object *)d->vdev);
    ck_assert_ptr_null(fake_machine_add(d->m, "virtio-balloon-pci", "second", NULL, &err));
    ck_assert_ptr_nonnull(strstr(err->message, "only one balloon"));
    ck_assert_ptr_null(strchr(err->message, '\n'));
    device_destroy(d->dev);
    ck_assert_ptr_null(memory_balloon_find(d->m->p.root));
    d->dev = fake_machine_add(d->m, "virtio-balloon-pci", "third", NULL, NULL);
    ck_assert_ptr_nonnull(d->dev);
}
END_TEST

START_TEST(leaving_while_inflated_tells_nobody)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-balloon", 0);
    Stat one = {4, 1};

    d->t->config_write(d, ACTUAL, MIB_PAGES, 4);
    send_stats(d, &one, 1, 0);
    device_destroy(d->dev);
    d->dev = NULL;
    ck_assert_uint_eq(d->m->events->len, 1);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("balloon");
    TCase *tc = tcase_create("balloon");

    tcase_add_loop_test(tc, balloon_05_inflated_pages_go_back_to_the_host, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, inflate_takes_every_order, 0, FAKE_CELLS);
    tcase_add_test(tc, inflate_drops_resident_memory);
    tcase_add_loop_test(tc, page_numbers_beyond_ram_are_ignored, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, short_and_wrong_way_requests_come_back, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_02_03_pages_may_be_used_before_they_are_deflated, 0,
                        FAKE_CELLS);
    tcase_add_test(tc, endless_request_does_not_hold_the_loop);
    tcase_add_test(tc, long_request_takes_turns_with_others);
    tcase_add_test(tc, reset_ends_a_request_between_its_turns);
    tcase_add_loop_test(tc, broken_chain_on_any_queue_needs_a_reset, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_04_target_is_told_by_config_and_clamped, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, actual_is_the_drivers_and_makes_an_event, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_07_actual_counts_when_its_last_byte_is_written, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_keeps_the_target_and_forgets_actual, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, basic_17_features_and_their_fields, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_08_09_10_statistics_in_any_order_and_unknown_ones_skipped, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_11_first_statistics_count_but_for_legacy, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, statistics_of_any_length_are_harmless, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, polling_asks_for_statistics_by_the_virtual_clock, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, polling_survives_reset, 0, FAKE_CELLS);
    tcase_add_test(tc, bad_polling_interval_is_one_line);
    tcase_add_test(tc, second_balloon_is_refused);
    tcase_add_test(tc, leaving_while_inflated_tells_nobody);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
