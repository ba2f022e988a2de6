/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues that a driver broke, split and packed: nothing but DEVICE_NEEDS_RESET and a
 * configuration interrupt comes of it, and after a reset the device works again.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum {
    NUM = 8,
    NEXT = VRING_DESC_F_NEXT,
    WRITE = VRING_DESC_F_WRITE,
    INDIRECT = VRING_DESC_F_INDIRECT
};

typedef struct {
    const char *what;
    void (*make)(FakeDriver *d, FakeRing *r, uint64_t ram);
    bool split_only; /* a packed ring has no such thing, or ignores it */
} Case;

static void looped(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, ram, 4, NEXT, 1);
    fake_ring_set_desc(r, 1, ram, 4, NEXT, 0);
    fake_ring_put_avail(r, 0);
}

static void looped_on_itself_empty(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 3, ram, 0, NEXT, 3);
    fake_ring_put_avail(r, 3);
}

static void next_outside(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, ram, 4, NEXT, NUM);
    fake_ring_put_avail(r, 0);
}

static void head_outside(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_put_avail(r, 0xffff);
}

static void idx_jump(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_avail_idx(r, NUM + 1);
}

static void idx_backwards(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_avail_idx(r, 0xffff);
}

static void outside_ram(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, FAKE_RAM_LOW, 4, 0, 0);
    fake_ring_put_avail(r, 0);
}

static void partly_outside_ram(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, FAKE_RAM_LOW - 4, 5, WRITE, 0);
    fake_ring_put_avail(r, 0);
}

static void wrapping_address(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, UINT64_MAX - 3, 64, WRITE, 0);
    fake_ring_put_avail(r, 0);
}

static void wrong_direction(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, ram, 4, WRITE | NEXT, 1);
    fake_ring_set_desc(r, 1, ram, 4, 0, 0);
    fake_ring_put_avail(r, 0);
}

static void too_many_bytes(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    for (unsigned i = 0; i < NUM; i++) { /* only in a machine with 4 GiB would each be RAM */
        fake_ring_set_desc(r, i, 0, UINT32_MAX, i + 1 < NUM ? NEXT : 0, (uint16_t)(i + 1));
    }
    fake_ring_put_avail(r, 0);
}

/* An indirect table of n entries at the end of ram, with the first entry given. */
static void table(FakeRing *r, uint64_t ram, uint32_t len, uint16_t flags, uint16_t inner_flags,
                  uint16_t inner_next)
{
    for (unsigned i = 0; i < 2 * NUM; i++) {
        fake_mem_put(r->mem, GPA(ram + 16 * i), ram + 2048, 8);
        fake_mem_put(r->mem, GPA(ram + 16 * i + 8),
                     4 | (uint64_t)(i ? NEXT : inner_flags) << 32 |
                         (uint64_t)(i ? i + 1 : inner_next) << 48,
                     8);
    }
    fake_ring_set_desc(r, 0, ram, len, INDIRECT | flags, 1);
    fake_ring_set_desc(r, 1, ram + 3072, 4, 0, 0);
    fake_ring_put_avail(r, 0);
}

static void table_empty(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 0, 0, 0, 0);
}

static void table_odd(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 17, 0, 0, 0);
}

static void table_and_next(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 32, NEXT, 0, 0);
}

static void table_nested(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 32, 0, INDIRECT, 0);
}

static void table_looped(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 32, 0, NEXT, 0);
}

static void table_next_outside(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 32, 0, NEXT, 2);
}

static void table_longer_than_queue(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    table(r, ram, 16 * 2 * NUM, 0, NEXT, 1);
}

static void table_outside_ram(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_ring_set_desc(r, 0, FAKE_RAM_LOW + 4096, 32, INDIRECT, 0);
    fake_ring_put_avail(r, 0);
}

static void table_ends_outside_ram(FakeDriver *d, FakeRing *r, uint64_t ram)
{
    fake_mem_put(r->mem, GPA(FAKE_RAM_LOW - 16), ram, 8);
    fake_mem_put(r->mem, GPA(FAKE_RAM_LOW - 8), (uint64_t)NEXT << 32 | UINT64_C(1) << 48, 8);
    fake_ring_set_desc(r, 0, FAKE_RAM_LOW - 16, 32, INDIRECT, 0);
    fake_ring_put_avail(r, 0);
}

static const Case cases[] = {
    {"looped", looped, false},
    {"looped on itself, without bytes", looped_on_itself_empty, false},
    {"next outside the table", next_outside, true},
    {"head outside the table", head_outside, true},
    {"index jumps", idx_jump, true},
    {"index goes back", idx_backwards, true},
    {"outside RAM", outside_ram, false},
    {"partly outside RAM", partly_outside_ram, false},
    {"wrapping address", wrapping_address, false},
    {"readable after writable", wrong_direction, false},
    {"too many bytes", too_many_bytes, false},
    {"table empty", table_empty, false},
    {"table of odd length", table_odd, false},
    {"table and next", table_and_next, false},
    {"table nested", table_nested, true},
    {"table looped", table_looped, true},
    {"table with next outside", table_next_outside, true},
    {"table longer than the queue", table_longer_than_queue, false},
    {"table outside RAM", table_outside_ram, false},
    {"table ends outside RAM", table_ends_outside_ram, false},
};

static void check_works(FakeDriver *d)
{
    uint32_t len;

    fake_driver_add(d, 0, OUT("abc", 3), IN(3));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert_uint_eq(len, 3);
}

static void check_case(const char *device, const Case *c, unsigned cell)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props(
        device, cell, g_str_equal(device, "virtio-echo") ? "queue-size=8" : NULL);
    uint64_t ram = fake_driver_alloc(d, 4096).v;

    c->make(d, &d->rings[0], ram);
    fake_driver_kick(d, 0);
    ck_assert_msg(fake_driver_broken(d), "%s: not noticed", c->what);
    ck_assert_msg(fake_driver_config_interrupted(d), "%s: not told", c->what);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    fake_driver_kick(d, 0);
    fake_driver_kick(d, 1);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    fake_driver_reset(d);
    ck_assert_uint_eq(fake_driver_status(d), 0);
    fake_driver_up(d);
    check_works(d);
}

START_TEST(basic_03_04_broken_ring_needs_a_reset_and_says_so)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        if (!fake_cell_is_packed((unsigned)_i) || !cases[i].split_only) {
            check_case("virtio-echo", &cases[i], (unsigned)_i);
        }
    }
}
END_TEST

/* The length of a chain cannot say 4 GiB: checked where that much RAM is there. Untouched, it costs
 * nothing. */
START_TEST(chain_of_4_gib_is_refused)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe_on(fake_machine_new(UINT64_C(1) << 32), "virtio-echo", 0, "hold=on");
    FakeRing *r = &d->rings[0];

    fake_driver_up(d);
    fake_ring_set_desc(r, 0, UINT64_C(1) << 33, UINT32_MAX, NEXT | WRITE, 1);
    fake_ring_set_desc(r, 1, UINT64_C(1) << 33, 0, WRITE, 0);
    fake_ring_put_avail(r, 0);
    virtqueue_detach(virtqueue_pop(virtio_get_queue(d->vdev, 0)));
    ck_assert(!fake_driver_broken(d));
    fake_ring_set_desc(r, 1, UINT64_C(1) << 33, 1, WRITE, 0);
    fake_ring_put_avail(r, 0);
    ck_assert_ptr_null(virtqueue_pop(virtio_get_queue(d->vdev, 0)));
    ck_assert(fake_driver_broken(d));
}
END_TEST

START_TEST(more_requests_than_entries_are_refused)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", 0, "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    VqElem *held[NUM];

    fake_ring_set_desc(&d->rings[0], 0, 0, 4, 0, 0);
    for (unsigned i = 0; i < NUM; i++) {
        fake_ring_put_avail(&d->rings[0], 0);
        held[i] = virtqueue_pop(vq);
        ck_assert_ptr_nonnull(held[i]);
    }
    fake_ring_put_avail(&d->rings[0], 0);
    ck_assert_ptr_null(virtqueue_pop(vq));
    ck_assert(fake_driver_broken(d));
    for (unsigned i = 0; i < NUM; i++) {
        virtqueue_push(held[i]); /* a broken device tells nothing */
    }
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
}
END_TEST

/* 256 requests of 256 pieces, each piece in two regions: within the budget and recycled. */
START_TEST(long_chains_in_flight_are_bounded)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", FAKE_INDIRECT, "hold=on,queue-size=256");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    FakeRing *r = &d->rings[0];
    VqElem *held[256];
    Gpa t = r->tables;

    for (unsigned i = 0; i < 256; i++) {
        fake_mem_put(r->mem, gpa_add(t, 16 * i), FAKE_RAM_EDGE - 4, 8);
        fake_mem_put(r->mem, gpa_add(t, 16 * i + 8),
                     8 | (uint64_t)(i < 255 ? NEXT : 0) << 32 | (uint64_t)(i + 1) << 48, 8);
    }
    fake_ring_set_desc(r, 0, t.v, 16 * 256, INDIRECT, 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned i = 0; i < 256; i++) {
            fake_ring_put_avail(r, 0);
            held[i] = virtqueue_pop(vq);
            ck_assert_ptr_nonnull(held[i]);
            ck_assert_uint_eq(vq_elem_out_left(held[i]), 8 * 256);
        }
        for (unsigned i = 0; i < 256; i++) {
            virtqueue_push(held[i]);
        }
    }
}
END_TEST

START_TEST(indirect_descriptor_that_was_not_negotiated_is_refused)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i & ~FAKE_INDIRECT);

    table(&d->rings[0], fake_driver_alloc(d, 4096).v, 32, 0, 0, 0);
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_broken(d));
}
END_TEST

/* --- rings in bad places --- */

static void check_bad_place(Gpa desc, Gpa driver, Gpa device, unsigned cell)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", cell, NULL);

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    d->t->setup_interrupts(d);
    d->t->queue_enable(d, 0, NUM, desc, driver, device);
    fake_driver_start(d);
    ck_assert(fake_driver_broken(d));
    ck_assert(fake_driver_config_interrupted(d));
    fake_driver_kick(d, 0);
    fake_driver_reset(d);
    fake_driver_up(d);
    check_works(d);
}

START_TEST(ring_in_a_bad_place_needs_a_reset)
{
    Gpa ok = GPA(0x200000);
    static const uint64_t bad[] = {
        FAKE_RAM_LOW - 16,  /* ends outside */
        FAKE_RAM_EDGE - 16, /* in two regions */
        FAKE_RAM_LOW,       /* no RAM */
        UINT64_MAX - 15,    /* wraps */
        0x200001,           /* not aligned */
        FAKE_ECAM_BASE,     /* a device */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        check_bad_place(GPA(bad[i]), ok, ok, (unsigned)_i);
        if (!fake_cell_is_packed((unsigned)_i) ||
            i >= 2) { /* there the other parts have but 4 bytes */
            check_bad_place(ok, GPA(bad[i]), ok, (unsigned)_i);
            check_bad_place(ok, ok, GPA(bad[i]), (unsigned)_i);
        }
    }
}
END_TEST

START_TEST(rings_on_top_of_each_other_harm_nobody)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    for (unsigned q = 0; q < 2; q++) {
        d->t->queue_enable(d, q, NUM, GPA(0x200000), GPA(0x200000), GPA(0x200000));
    }
    fake_driver_start(d);
    for (unsigned i = 0; i < 1000; i++) {
        fake_mem_put(d->m->p.mem, GPA(0x200000 + i % 96), i * 0x9e3779b97f4a7c15, 8);
        fake_driver_kick(d, i % 2);
        if (fake_driver_broken(d)) {
            break;
        }
    }
    fake_driver_reset(d);
    fake_driver_up(d);
    check_works(d);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtqueue-broken");
    TCase *tc = tcase_create("broken");

    tcase_add_loop_test(tc, basic_03_04_broken_ring_needs_a_reset_and_says_so, 0, FAKE_CELLS);
    tcase_add_test(tc, chain_of_4_gib_is_refused);
    tcase_add_test(tc, more_requests_than_entries_are_refused);
    tcase_add_test(tc, long_chains_in_flight_are_bounded);
    tcase_add_loop_test(tc, indirect_descriptor_that_was_not_negotiated_is_refused, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ring_in_a_bad_place_needs_a_reset, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, rings_on_top_of_each_other_harm_nobody, 0, FAKE_MODERN_CELLS);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
