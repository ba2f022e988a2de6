/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What virtio-balloon makes of given memory: units of huge pages over requests, the promise to tell
 * the host, free page reports and poison, the ledger, iothreads.
 */
#include <check.h>
#include <linux/virtio_balloon.h>
#include <stdlib.h>
#include <string.h>

#include "backends/iothread.h"
#include "backends/user-creatable.h"
#include "core/le.h"
#include "hw/core/memory-balloon.h"
#include "tests/balloon-ledger.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum { INFLATE, DEFLATE, STATS, REPORT, REPORT_TOO, PAGE = 4096, UNIT = 512, POISON_VAL = 12 };
enum { MARK = 0x5aa5, RAM_SIZE = 8 << 20 };
#define RAM_AT     (UINT64_C(1) << 33) /* nothing of the driver's own is there */
#define RAM_PFN    ((uint32_t)(RAM_AT / PAGE))
#define BIT(n)     (UINT64_C(1) << (n))
#define SECONDS    INT64_C(1000000000)
#define TELL       BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST)
#define KIB(n)     ((uint64_t)(n) << 10)
#define BALLOON(d) OBJECT((d)->vdev)

static FakeDriver *driver_without(unsigned cell, const char *props, uint64_t without)
{
    FakeDriver *d = fake_driver_probe_on(fake_machine_new(RAM_SIZE), "virtio-balloon", cell, props);

    fake_driver_reset(d);
    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) & ~without));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    return d;
}

static FakeDriver *driver(int cell, const char *props)
{
    return driver_without((unsigned)cell, props, 0);
}

static void send_pfns(FakeDriver *d, unsigned q, const uint32_t *pfns, unsigned n)
{
    g_autofree Le32 *wire = g_new(Le32, n);
    Gpa at = fake_driver_alloc(d, n * 4);

    for (unsigned i = 0; i < n; i++) {
        wire[i] = le32_make(pfns[i]);
    }
    ck_assert(gmem_write(d->m->p.mem, at, wire, n * 4));
    fake_driver_add(d, q, OUT_AT(at.v, n * 4));
    fake_driver_kick(d, q);
    ck_assert(fake_driver_get(d, q, NULL, NULL));
}

/* n pages from number first on, counted from RAM_PFN. */
static void send_run(FakeDriver *d, unsigned q, uint32_t first, unsigned n)
{
    g_autofree uint32_t *pfns = g_new(uint32_t, n);

    for (unsigned i = 0; i < n; i++) {
        pfns[i] = RAM_PFN + first + i;
    }
    send_pfns(d, q, pfns, n);
}

static void mark(FakeDriver *d, uint32_t first, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        fake_mem_put(d->m->p.mem, GPA(RAM_AT + (uint64_t)(first + i) * PAGE), MARK, 8);
    }
}

static unsigned marked(FakeDriver *d, uint32_t first, unsigned n)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++) {
        count += fake_mem_get(d->m->p.mem, GPA(RAM_AT + (uint64_t)(first + i) * PAGE), 8) == MARK;
    }
    return count;
}

static uint64_t ledger(FakeDriver *d, const char *name)
{
    return ledger_value(BALLOON(d), name);
}

static void settle(FakeDriver *d)
{
    Clock *c = d->m->p.vclock;

    clock_step_to(c, clock_now(c) + 3 * SECONDS);
}

/* --- units --- */

START_TEST(unit_goes_back_when_its_last_page_arrives)
{
    g_autoptr(FakeDriver) d = driver(_i, NULL);

    mark(d, 0, 2 * UNIT);
    send_run(d, INFLATE, UNIT, 256);
    ck_assert_uint_eq(marked(d, 0, 2 * UNIT), 2 * UNIT);
    ck_assert_uint_eq(ledger(d, "held-back"), KIB(1024));
    send_run(d, INFLATE, UNIT + 300, UNIT - 300);
    send_run(d, INFLATE, UNIT + 257, 43);
    ck_assert_uint_eq(marked(d, UNIT, UNIT), UNIT);
    send_run(d, INFLATE, UNIT + 256, 1);
    ck_assert_uint_eq(marked(d, UNIT, UNIT), 0);
    ck_assert_uint_eq(marked(d, 0, UNIT), UNIT);
    ck_assert_uint_eq(ledger(d, "released"), KIB(2048));
    ck_assert_uint_eq(ledger(d, "held-back"), 0);
    ck_assert_uint_eq(ledger(d, "discards"), 1);
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

START_TEST(balloon_06_page_taken_back_is_never_discarded)
{
    g_autoptr(FakeDriver) d = driver(_i, "granule=2m");

    send_run(d, INFLATE, 0, UNIT - 1);
    send_run(d, DEFLATE, 5, 1);
    mark(d, 5, 1);
    send_run(d, INFLATE, UNIT - 1, 1); /* as many page numbers as a unit has */
    settle(d);
    ck_assert_uint_eq(marked(d, 5, 1), 1);
    ck_assert_uint_eq(ledger(d, "released"), 0);
    send_run(d, INFLATE, 5, 1);
    ck_assert_uint_eq(marked(d, 5, 1), 0);
    ck_assert_uint_eq(ledger(d, "released"), KIB(2048));
    send_run(d, DEFLATE, 7, 2);
    ck_assert_uint_eq(ledger(d, "released"), KIB(2048 - 8));
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

/* Such a guest may use a given page at any time: only what the present request names may go. */
START_TEST(balloon_01_02_without_the_promise_to_tell_nothing_goes_later)
{
    g_autoptr(FakeDriver) d = driver_without((unsigned)_i, "granule=2m", TELL);

    send_run(d, INFLATE, 0, UNIT - 1);
    mark(d, 0, 2 * UNIT); /* used again, not told */
    send_run(d, INFLATE, UNIT - 1, 1);
    settle(d);
    ck_assert_uint_eq(marked(d, 0, UNIT), UNIT);
    ck_assert_uint_eq(ledger(d, "released"), 0);
    send_run(d, INFLATE, UNIT, UNIT);
    ck_assert_uint_eq(marked(d, UNIT, UNIT), 0);
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

START_TEST(without_the_promise_auto_gives_pages_back_at_once)
{
    g_autoptr(FakeDriver) d = driver_without((unsigned)_i, NULL, TELL);

    mark(d, 0, 20);
    send_run(d, INFLATE, 3, 10);
    ck_assert_uint_eq(marked(d, 0, 20), 10);
    ck_assert_uint_eq(ledger(d, "released"), KIB(40));
    mark(d, 5, 1);
    send_run(d, INFLATE, 5, 1); /* maybe its deflate request comes later */
    ck_assert_uint_eq(marked(d, 5, 1), 0);
    ck_assert_uint_eq(ledger(d, "repeated"), KIB(4));
}
END_TEST

START_TEST(settled_guest_frees_the_rest_unless_units_are_wanted)
{
    g_autoptr(FakeDriver) d = driver((_i / 2) % FAKE_CELLS, _i & 1 ? "granule=2m" : "granule=auto");

    mark(d, 0, UNIT);
    send_run(d, INFLATE, 0, UNIT - 1);
    clock_step_to(d->m->p.vclock, clock_now(d->m->p.vclock) + SECONDS / 10);
    ck_assert_uint_eq(marked(d, 0, UNIT), UNIT); /* the guest may be about to give more */
    settle(d);
    ck_assert_uint_eq(marked(d, 0, UNIT), _i & 1 ? UNIT : 1);
    ck_assert_uint_eq(ledger(d, "held-back"), _i & 1 ? KIB(4 * (UNIT - 1)) : 0);
    send_run(d, INFLATE, UNIT - 1, 1);
    ck_assert_uint_eq(marked(d, 0, UNIT), 0);
    ck_assert_uint_eq(ledger(d, "released"), KIB(2048));
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

START_TEST(neighbouring_units_of_a_request_go_in_one_call)
{
    g_autoptr(FakeDriver) d = driver(0, NULL);
    uint32_t pfns[2 * UNIT];

    for (unsigned i = 0; i < 2 * UNIT; i++) {
        pfns[i] = RAM_PFN + (i * 387) % (2 * UNIT);
    }
    send_pfns(d, INFLATE, pfns, 2 * UNIT);
    ck_assert_uint_eq(ledger(d, "discards"), 1);
    ck_assert_uint_eq(ledger(d, "released"), KIB(4096));
}
END_TEST

START_TEST(reset_forgets_what_was_given)
{
    g_autoptr(FakeDriver) d = driver(_i, NULL);

    send_run(d, INFLATE, 0, UNIT + 10);
    fake_driver_reset(d);
    ck_assert_uint_eq(ledger(d, "given"), 0);
    ck_assert_uint_eq(ledger(d, "forgotten"), KIB(2048 + 40));
    mark(d, 0, 2 * UNIT);
    d->next_page = 0x300000;
    fake_driver_up(d);
    send_run(d, INFLATE, UNIT + 10, UNIT - 10); /* the rest of the second unit */
    settle(d);
    ck_assert_uint_eq(marked(d, 0, UNIT + 10), UNIT + 10);
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

START_TEST(deflate_prefault_makes_memory_resident)
{
    g_autoptr(FakeDriver) d = driver(0, "deflate-prefault=on,granule=4k");
    const GmemRegion *r = gmem_region(d->m->p.mem, 3);
    uint8_t pages[UNIT];

    send_run(d, INFLATE, 0, UNIT);
    ck_assert_uint_eq(gmem_region_residency(r, 0, 2 << 20, pages), 0);
    send_run(d, DEFLATE, 0, UNIT);
    ck_assert_uint_eq(gmem_region_residency(r, 0, 2 << 20, pages), 2 << 20);
    ck_assert_uint_eq(ledger(d, "prefaulted"), KIB(2048));
    send_run(d, DEFLATE, 0, UNIT); /* was not given */
    ck_assert_uint_eq(ledger(d, "prefaulted"), KIB(2048));
}
END_TEST

static uint64_t checked(FakeDriver *d, const char *name)
{
    MemoryBalloonClass *c = object_interface(BALLOON(d), &memory_balloon_type);
    json_t *l = c->ledger(BALLOON(d), true);
    uint64_t value = ledger_get(l, name);

    json_decref(l);
    return value;
}

START_TEST(what_is_used_again_counts_once_for_each_time_it_was_given)
{
    g_autoptr(FakeDriver) d = driver(0, "granule=4k");

    mark(d, 0, UNIT); /* what is missing in it later comes back in pages of 4 KiB */
    send_run(d, INFLATE, 0, 64);
    ck_assert_uint_eq(checked(d, "faulted-again-ever"), 0);
    mark(d, 3, 4); /* the guest breaks its word */
    for (int i = 0; i < 3; i++) {
        ck_assert_uint_eq(checked(d, "faulted-again"), KIB(16));
        ck_assert_uint_eq(checked(d, "faulted-again-ever"), KIB(16));
    }
    send_run(d, DEFLATE, 0, 64);
    ck_assert_uint_eq(checked(d, "faulted-again"), 0);
    ck_assert_uint_eq(checked(d, "faulted-again-ever"), KIB(16));
    send_run(d, INFLATE, 0, 64);
    mark(d, 3, 1);
    ck_assert_uint_eq(checked(d, "faulted-again"), KIB(4));
    ck_assert_uint_eq(checked(d, "faulted-again-ever"), KIB(20));
    ck_assert_uint_eq(ledger(d, "faulted-again-ever"), KIB(20));
}
END_TEST

/* --- bad input --- */

START_TEST(bad_page_numbers_are_counted_and_ignored)
{
    g_autoptr(FakeDriver) d = driver(_i, "granule=4k");
    uint32_t ring = (uint32_t)(d->rings[INFLATE].desc.v / PAGE);
    const uint32_t bad[] = {
        ring,    0xffffffff,  FAKE_ECAM_BASE / PAGE,     0xe0000,    RAM_PFN,
        RAM_PFN, RAM_PFN + 1, RAM_PFN + RAM_SIZE / PAGE, 0xfffffffe, RAM_PFN + 9};

    send_pfns(d, INFLATE, bad, G_N_ELEMENTS(bad));
    ck_assert_uint_eq(ledger(d, "inflated"), KIB(12));
    ck_assert_uint_eq(ledger(d, "repeated"), KIB(4));
    ck_assert_uint_eq(ledger(d, "inflate-in-use"), KIB(4));
    ck_assert_uint_eq(ledger(d, "inflate-outside"), KIB(20));
    mark(d, 1, 1);
    send_pfns(d, INFLATE, bad + 6, 1); /* given already: the guest said it would tell first */
    ck_assert_uint_eq(marked(d, 1, 1), 1);
    ck_assert_uint_eq(ledger(d, "repeated"), KIB(8));
    send_pfns(d, DEFLATE, bad, G_N_ELEMENTS(bad));
    ck_assert_uint_eq(ledger(d, "deflated"), KIB(12));
    ck_assert_uint_eq(ledger(d, "deflate-not-given"), KIB(28));
    ck_assert_uint_eq(ledger(d, "given"), 0);
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

static uint32_t random_pfn(GRand *r)
{
    switch (g_rand_int_range(r, 0, 8)) {
    case 0:
        return g_rand_int(r);
    case 1:
        return (uint32_t)g_rand_int_range(r, 0x700, 0x1100); /* two regions and their end */
    default:
        return RAM_PFN + (uint32_t)g_rand_int_range(r, -3, RAM_SIZE / PAGE + 3);
    }
}

static void random_request(FakeDriver *d, GRand *r)
{
    uint32_t pfns[1200];
    unsigned n = (unsigned)g_rand_int_range(r, 1, 1200),
             q = g_rand_int_range(r, 0, 3) ? INFLATE : DEFLATE;

    pfns[0] = random_pfn(r);
    for (unsigned i = 1; i < n; i++) {
        pfns[i] = g_rand_int_range(r, 0, 32) ? pfns[i - 1] + 1 : random_pfn(r);
    }
    if (d->next_page > 0x500000) {
        fake_driver_reset(d);
        d->next_page = 0x300000;
        fake_driver_up(d);
    }
    send_pfns(d, q, pfns, n);
}

START_TEST(ledger_adds_up_after_any_requests)
{
    static const char *const props[] = {"granule=auto", "granule=4k", "granule=2m"};
    g_autoptr(FakeDriver) d =
        driver_without(_i & 1 ? FAKE_PCI_PACKED : 0, props[_i / 2 % 3], _i >= 6 ? TELL : 0);
    g_autoptr(GRand) r = g_rand_new_with_seed((guint32)_i);
    unsigned wrong = 0, shrunk = 0;

    for (unsigned i = 0; i < 300; i++) {
        json_t *before = ledger_of(BALLOON(d)), *after;

        random_request(d, r);
        if (i % 7 == 0) {
            settle(d);
        }
        wrong += ledger_wrong_sum(BALLOON(d)) != 0;
        after = ledger_of(BALLOON(d));
        shrunk += ledger_shrunk(before, after) != NULL;
        json_decref(before);
        json_decref(after);
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(shrunk, 0);
    ck_assert_uint_gt(ledger(d, "inflated"), KIB(8192));
    ck_assert_uint_gt(ledger(d, "deflated"), KIB(64));
    if (_i < 10) { /* no request names a whole unit */
        ck_assert_uint_gt(ledger(d, "returned"), 0);
    }
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(ledger_is_checked_against_the_host)
{
    g_autoptr(FakeDriver) d = driver(0, "granule=4k");
    MemoryBalloonClass *mc = object_interface(BALLOON(d), &memory_balloon_type);
    json_t *l, *really;

    mark(d, 0, UNIT);
    send_run(d, INFLATE, 0, UNIT);
    l = mc->ledger(BALLOON(d), true);
    ck_assert_uint_eq(ledger_get(l, "faulted-again"), 0);
    ck_assert_uint_eq(ledger_get(l, "really-released"), KIB(2048));
    json_decref(l);
    mark(d, 17, 1); /* used without a word; a huge page may come with it */
    l = mc->ledger(BALLOON(d), true);
    ck_assert_uint_ge(ledger_get(l, "faulted-again"), KIB(4));
    ck_assert_uint_eq(ledger_get(l, "really-released") + ledger_get(l, "faulted-again"), KIB(2048));
    really = property_get_json(BALLOON(d), "ledger-really-released", NULL);
    ck_assert(json_equal(really, json_object_get(l, "really-released")));
    json_decref(really);
    json_decref(l);
    l = mc->ledger(BALLOON(d), false);
    ck_assert_ptr_null(json_object_get(l, "faulted-again"));
    json_decref(l);
}
END_TEST

/* --- free page reports --- */

static void report(FakeDriver *d, unsigned q, uint32_t page, unsigned pages)
{
    fake_driver_add(d, q, IN_AT(RAM_AT + (uint64_t)page * PAGE, pages * PAGE));
    fake_driver_kick(d, q);
}

START_TEST(balloon_20_reported_pages_go_back_before_the_buffer_is_used)
{
    g_autoptr(FakeDriver) d =
        driver_without((unsigned)_i, "free-page-reporting=on",
                       _i & 1 ? BIT(VIRTIO_BALLOON_F_PAGE_POISON) : 0); /* poison_val is 0 */
    uint32_t len = 1;

    for (unsigned q = REPORT; q <= REPORT_TOO; q++) {
        mark(d, 0, 2 * UNIT);
        report(d, q, 256, UNIT);
        ck_assert(fake_driver_get(d, q, NULL, &len));
        ck_assert_uint_eq(len, 0);
        ck_assert(fake_driver_interrupted(d, (int)q));
        ck_assert_uint_eq(marked(d, 0, 2 * UNIT), UNIT);
        ck_assert_uint_eq(marked(d, 256, UNIT), 0);
    }
    ck_assert_uint_eq(ledger(d, "reported"), KIB(4096));
    ck_assert_uint_eq(ledger(d, "report-returned"), KIB(4096));
    ck_assert_uint_eq(ledger(d, "given"), 0); /* they stay the guest's */
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

START_TEST(balloon_21_reported_pages_keep_their_poison)
{
    g_autoptr(FakeDriver) d = driver(_i, "free-page-reporting=on");

    for (unsigned i = 0; i < 4; i++) {
        d->t->config_write(d, POISON_VAL + i, 0xaa, 1);
    }
    ck_assert_uint_eq(d->t->config_read(d, POISON_VAL, 4), 0xaaaaaaaa);
    mark(d, 0, UNIT);
    report(d, REPORT, 0, UNIT);
    ck_assert(fake_driver_get(d, REPORT, NULL, NULL));
    ck_assert_uint_eq(marked(d, 0, UNIT), UNIT);
    ck_assert_uint_eq(ledger(d, "report-left"), KIB(2048));
    fake_driver_reset(d);
    ck_assert_uint_eq(d->t->config_read(d, POISON_VAL, 4), 0);
}
END_TEST

START_TEST(odd_reports_are_counted_and_what_is_whole_goes)
{
    g_autoptr(FakeDriver) d = driver(_i, "free-page-reporting=on,granule=4k");
    Gpa ring = d->rings[INFLATE].desc;

    mark(d, 0, UNIT);
    send_run(d, INFLATE, 100, 1);
    mark(d, 100, 1);
    fake_driver_add(d, REPORT, IN_AT(RAM_AT + 100, 3 * PAGE), /* parts of pages 0 and 3 */
                    IN_AT(RAM_AT + 2 * PAGE, 4 * PAGE),       /* overlaps */
                    IN_AT(RAM_AT + 20 * PAGE + 1, PAGE),      /* no whole page */
                    IN_AT(RAM_AT + 99 * PAGE, 3 * PAGE),      /* one is in the balloon */
                    IN_AT(ring.v, PAGE));                     /* not free at all */
    fake_driver_kick(d, REPORT);
    ck_assert(fake_driver_get(d, REPORT, NULL, NULL));
    ck_assert_uint_eq(marked(d, 0, 7), 2);
    ck_assert_uint_eq(marked(d, 1, 5), 0);
    ck_assert_uint_eq(marked(d, 20, 82), 82);
    ck_assert_uint_eq(ledger(d, "reported"), 12 * PAGE);
    ck_assert_uint_eq(ledger(d, "report-returned"), 5 * PAGE);
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
    ck_assert(!fake_driver_broken(d));
    fake_driver_add(d, REPORT, IN_AT(UINT64_MAX - 4095, 8192)); /* wraps: not a buffer */
    fake_driver_kick(d, REPORT);
    ck_assert(fake_driver_broken(d));
}
END_TEST

START_TEST(report_in_the_wrong_direction_comes_back)
{
    g_autoptr(FakeDriver) d = driver(_i, "free-page-reporting=on");

    mark(d, 0, 4);
    fake_driver_add(d, REPORT, OUT_AT(RAM_AT, 2 * PAGE));
    fake_driver_kick(d, REPORT);
    ck_assert(fake_driver_get(d, REPORT, NULL, NULL));
    ck_assert_uint_eq(marked(d, 0, 4), 4);
    ck_assert_uint_eq(ledger(d, "reported"), 0);
}
END_TEST

START_TEST(huge_report_takes_turns)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe_on(fake_machine_new(UINT64_C(1) << 30), "virtio-balloon", 0,
                             "free-page-reporting=on,ioeventfd=off");

    fake_driver_up(d);
    mark(d, 200000, 1);
    fake_driver_add(d, REPORT, IN_AT(RAM_AT, UINT32_C(1) << 30));
    virtio_queue_notify(d->vdev, REPORT);
    ck_assert(!fake_driver_get(d, REPORT, NULL, NULL));
    for (unsigned turn = 1; !fake_driver_get(d, REPORT, NULL, NULL); turn++) {
        ck_assert_uint_le(turn, 20);
        loop_iterate(d->m->p.loop, true);
    }
    ck_assert_uint_eq(marked(d, 200000, 1), 0);
    ck_assert_uint_eq(ledger(d, "report-returned"), UINT64_C(1) << 30);
    fake_driver_add(d, REPORT, IN_AT(RAM_AT, UINT32_C(1) << 30));
    virtio_queue_notify(d->vdev, REPORT);
    fake_driver_reset(d); /* between its turns */
    while (loop_iterate(d->m->p.loop, false)) {
    }
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

/* --- properties --- */

START_TEST(hints_have_no_consumer)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-balloon", 0, "free-page-hint=off");
    Object *obj = object_new_by_name("virtio-balloon-device", NULL);
    g_autoptr(GError) err = NULL;

    ck_assert_uint_eq(d->t->device_features(d) & BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT), 0);
    ck_assert(!property_set_string(obj, "free-page-hint", "on", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "migration"));
    ck_assert_ptr_null(strchr(err->message, '\n'));
    g_clear_error(&err);
    ck_assert(!property_set_string(obj, "granule", "1g", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "2m"));
    object_unref(obj);
}
END_TEST

/* --- iothread --- */

static FakeMachine *machine_with_iothread(void)
{
    FakeMachine *m = fake_machine_new(RAM_SIZE);
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", "io0");

    type_register(&iothread_type);
    ck_assert_ptr_nonnull(user_creatable_add(m->p.root, opts, NULL));
    json_decref(opts);
    return m;
}

/* Waits for a used buffer, for the main loop does not bring it. */
static void await(FakeDriver *d, unsigned q)
{
    bool got = false;

    for (unsigned i = 0; i < 10000 && !got; i++) {
        virtio_lock(d->vdev);
        got = fake_driver_get(d, q, NULL, NULL);
        virtio_unlock(d->vdev);
        g_usleep(got ? 0 : 1000);
    }
    ck_assert(got);
}

START_TEST(memory_goes_back_on_the_iothread)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe_on(machine_with_iothread(), "virtio-balloon", _i ? FAKE_MMIO : 0,
                             "iothread=io0,free-page-reporting=on,granule=4k");
    Le32 pfn[64];
    uint64_t released = 0;

    fake_driver_up(d);
    mark(d, 0, 128);
    for (unsigned i = 0; i < 64; i++) {
        pfn[i] = le32_make(RAM_PFN + i);
    }
    virtio_lock(d->vdev);
    fake_driver_add(d, INFLATE, OUT(pfn, sizeof pfn));
    fake_driver_add(d, REPORT, IN_AT(RAM_AT + 64 * PAGE, 32 * PAGE));
    virtio_unlock(d->vdev);
    d->t->notify(d, INFLATE);
    d->t->notify(d, REPORT);
    for (unsigned i = 0; i < 100 && released < KIB(256); i++) { /* the main loop looks on */
        released = ledger(d, "released");
        d->t->config_write(d, POISON_VAL, 0, 4);
        g_usleep(1000);
    }
    await(d, INFLATE);
    await(d, REPORT);
    ck_assert_uint_eq(ledger(d, "released"), KIB(256));
    ck_assert_uint_eq(ledger(d, "report-returned"), KIB(128));
    ck_assert_uint_eq(marked(d, 0, 128), 32);
    virtio_lock(d->vdev);
    fake_driver_add(d, DEFLATE, OUT(pfn, sizeof pfn));
    virtio_unlock(d->vdev);
    d->t->notify(d, DEFLATE);
    fake_driver_reset(d);
    ck_assert_uint_eq(ledger(d, "given"), 0);
    ck_assert_int_eq(ledger_wrong_sum(BALLOON(d)), 0);
}
END_TEST

/* The timer belongs to the iothread's loop; here the clock is moved with its lock. */
START_TEST(settling_goes_on_beside_requests_on_the_iothread)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe_on(machine_with_iothread(), "virtio-balloon", 0, "iothread=io0");
    Le32 pfn[2][300];

    fake_driver_up(d);
    mark(d, 0, 2 * UNIT);
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned i = 0; i < 300; i++) {
            pfn[n][i] = le32_make(RAM_PFN + n * UNIT + i);
        }
        virtio_lock(d->vdev);
        fake_driver_add(d, INFLATE, OUT(pfn[n], sizeof pfn[n]));
        virtio_unlock(d->vdev);
        d->t->notify(d, INFLATE);
        await(d, INFLATE);
        virtio_lock(d->vdev);
        settle(d);
        virtio_unlock(d->vdev);
    }
    ck_assert_uint_eq(ledger(d, "held-back"), 0);
    ck_assert_uint_eq(ledger(d, "released"), KIB(2400));
    ck_assert_uint_eq(marked(d, 0, 2 * UNIT), 2 * (UNIT - 300));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("balloon-memory");
    TCase *tc = tcase_create("memory");

    tcase_add_loop_test(tc, unit_goes_back_when_its_last_page_arrives, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_06_page_taken_back_is_never_discarded, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_01_02_without_the_promise_to_tell_nothing_goes_later, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, without_the_promise_auto_gives_pages_back_at_once, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, settled_guest_frees_the_rest_unless_units_are_wanted, 0,
                        2 * FAKE_CELLS);
    tcase_add_test(tc, neighbouring_units_of_a_request_go_in_one_call);
    tcase_add_loop_test(tc, reset_forgets_what_was_given, 0, FAKE_CELLS);
    tcase_add_test(tc, what_is_used_again_counts_once_for_each_time_it_was_given);
    tcase_add_test(tc, deflate_prefault_makes_memory_resident);
    tcase_add_loop_test(tc, bad_page_numbers_are_counted_and_ignored, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ledger_adds_up_after_any_requests, 0, 12);
    tcase_add_test(tc, ledger_is_checked_against_the_host);
    tcase_add_loop_test(tc, balloon_20_reported_pages_go_back_before_the_buffer_is_used, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, balloon_21_reported_pages_keep_their_poison, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, odd_reports_are_counted_and_what_is_whole_goes, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, report_in_the_wrong_direction_comes_back, 0, FAKE_CELLS);
    tcase_add_test(tc, huge_report_takes_turns);
    tcase_add_test(tc, hints_have_no_consumer);
    tcase_add_loop_test(tc, memory_goes_back_on_the_iothread, 0, 2);
    tcase_add_test(tc, settling_goes_on_beside_requests_on_the_iothread);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
