/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is the packed virtqueue's own (VIRTIO 1.4 §2.8): wrap counters, used descriptors, lists that
 * go over the ring's end, tables, event suppression in both directions, sizes that are no power of
 * two. What both formats share is in test-virtqueue.c.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum {
    AVAIL = 1 << VRING_PACKED_DESC_F_AVAIL,
    USED = 1 << VRING_PACKED_DESC_F_USED,
    WRITE = VRING_DESC_F_WRITE,
    ENABLE = VRING_PACKED_EVENT_FLAG_ENABLE,
    DISABLE = VRING_PACKED_EVENT_FLAG_DISABLE,
    DESC = VRING_PACKED_EVENT_FLAG_DESC,
};

/* Event index and indirect on and off, MSI-X and INTx. */
#define CELL ((unsigned)_i | FAKE_PCI_PACKED)
enum { CELLS = FAKE_PCI_PACKED };

typedef struct {
    uint32_t len;
    uint16_t id, flags;
} Meta;

static Meta desc(FakeRing *r, uint16_t i)
{
    Meta m;

    fake_packed_desc(r, i, &m.len, &m.id, &m.flags);
    return m;
}

static uint16_t turn_flags(bool wrap)
{
    return wrap ? AVAIL | USED : 0;
}

static VirtQueue *queue(FakeDriver *d)
{
    return virtio_get_queue(d->vdev, 0);
}

/* A driver whose first queue has num entries. */
static FakeDriver *driver_of_size(unsigned cell, uint16_t num, const char *props)
{
    FakeDriver *d = fake_driver_probe("virtio-echo", cell, props);
    FakeRing *r = &d->rings[0];

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    d->t->setup_interrupts(d);
    fake_driver_init_ring(d, r, num);
    d->t->queue_enable(d, 0, num, r->desc, r->avail, r->used);
    d->n_queues = 1;
    fake_driver_start(d);
    return d;
}

/* --- used descriptors --- */

START_TEST(packed_01_02_wrap_counter_turns_at_the_end_of_the_ring)
{
    static const uint16_t sizes[] = {1, 2, 3, 5, 8};

    for (unsigned s = 0; s < G_N_ELEMENTS(sizes); s++) {
        g_autoptr(FakeDriver) d = driver_of_size(CELL, sizes[s], NULL);
        FakeRing *r = &d->rings[0];
        bool wrap = true;

        for (unsigned n = 0; n < 5u * sizes[s]; n++) {
            uint16_t at = (uint16_t)(n % sizes[s]), id = fake_driver_add(d, 0, IN(8));

            fake_driver_kick(d, 0);
            ck_assert_uint_eq(desc(r, at).flags & (AVAIL | USED), turn_flags(wrap));
            ck_assert_uint_eq(desc(r, at).id, id);
            ck_assert(fake_driver_get(d, 0, NULL, NULL));
            wrap ^= at + 1 == sizes[s];
        }
        ck_assert(!fake_driver_broken(d));
    }
}
END_TEST

START_TEST(packed_03_one_used_descriptor_stands_for_a_list)
{
    g_autoptr(FakeDriver) d = driver_of_size(CELL & ~FAKE_INDIRECT, 7, NULL);
    FakeRing *r = &d->rings[0];
    bool wrap = true;
    uint16_t at = 0;

    for (unsigned n = 0; n < 30; n++) { /* over the end of the ring at every place */
        Meta second;
        uint16_t id = fake_driver_add(d, 0, OUT("ab", 2), OUT("c", 1), IN(3));

        second = desc(r, (at + 1) % 7);
        fake_driver_kick(d, 0);
        ck_assert_uint_eq(desc(r, at).id, id);
        ck_assert_uint_eq(desc(r, at).len, 3);
        ck_assert_uint_eq(desc(r, at).flags, turn_flags(wrap) | WRITE);
        ck_assert_uint_eq(desc(r, (at + 1) % 7).flags, second.flags); /* skipped */
        wrap ^= at + 3 >= 7;
        at = (at + 3) % 7;
        ck_assert(fake_driver_get(d, 0, NULL, NULL));
    }
}
END_TEST

START_TEST(packed_02_write_flag_says_whether_anything_was_written)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL);

    fake_driver_add(d, 0, OUT("x", 1));
    fake_driver_kick(d, 0);
    fake_driver_add(d, 0, IN(1)); /* nothing to echo */
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(desc(&d->rings[0], 0).flags, AVAIL | USED);
    ck_assert_uint_eq(desc(&d->rings[0], 1).flags, AVAIL | USED);
}
END_TEST

START_TEST(packed_11_used_descriptors_come_as_buffers_complete)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", CELL, "hold=on");
    uint16_t ids[3];
    VqElem *e[3];

    for (unsigned i = 0; i < 3; i++) {
        ids[i] = fake_driver_add(d, 0, IN(4));
    }
    for (unsigned i = 0; i < 3; i++) { /* packed_10: started in ring order */
        e[i] = virtqueue_pop(queue(d));
        ck_assert_uint_eq(vq_elem_head(e[i]), ids[i]);
    }
    for (unsigned i = 3; i > 0; i--) {
        uint16_t got;

        virtqueue_push(e[i - 1]);
        ck_assert_uint_eq(desc(&d->rings[0], (uint16_t)(3 - i)).id, ids[i - 1]);
        ck_assert(fake_driver_get(d, 0, &got, NULL));
        ck_assert_uint_eq(got, ids[i - 1]);
    }
}
END_TEST

START_TEST(packed_10_17_18_lists_of_queue_size_in_order)
{
    g_autoptr(FakeDriver) d = driver_of_size(CELL & ~FAKE_INDIRECT, 6, NULL);
    Gpa at[6];
    uint32_t len;

    for (unsigned round = 0; round < 5; round++) {
        uint8_t got[5];

        fake_driver_add_bufs(d, 0,
                             (const FakeBuf[]){OUT("1", 1), OUT("2", 1), OUT("3", 1), OUT("4", 1),
                                               OUT("5", 1), IN(5), END},
                             at);
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_get(d, 0, NULL, &len));
        ck_assert_uint_eq(len, 5);
        ck_assert(gmem_read(d->m->p.mem, at[5], got, 5));
        ck_assert_mem_eq(got, "12345", 5);
    }
}
END_TEST

START_TEST(packed_13_16_readable_memory_and_used_descriptors_stay)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL);
    FakeRing *r = &d->rings[0];
    uint8_t before[16], after[16], text[8];
    Gpa at[2];

    fake_driver_add_bufs(d, 0, (const FakeBuf[]){OUT("abcdefgh", 8), IN(8), END}, at);
    fake_driver_kick(d, 0);
    ck_assert(gmem_read(d->m->p.mem, at[0], text, 8));
    ck_assert_mem_eq(text, "abcdefgh", 8);
    ck_assert(gmem_read(d->m->p.mem, r->desc, before, 16));
    for (unsigned i = 0; i < 2; i++) {
        fake_driver_add(d, 0, OUT("x", 1));
        fake_driver_kick(d, 0);
    }
    ck_assert(gmem_read(d->m->p.mem, r->desc, after, 16));
    ck_assert_mem_eq(before, after, 16);
}
END_TEST

START_TEST(packed_15_descriptor_waits_for_its_avail_flag)
{
    static const uint16_t not_yet[] = {0, AVAIL | USED, USED};
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL);
    FakeRing *r = &d->rings[0];

    for (unsigned i = 0; i < G_N_ELEMENTS(not_yet); i++) { /* the first turn: wrap counter 1 */
        fake_packed_set_desc(r, 0, 0x200000, 4, 0, not_yet[i]);
        fake_driver_kick(d, 0);
        ck_assert_uint_eq(desc(r, 0).flags, not_yet[i]);
        ck_assert_uint_eq(desc(r, 0).len, 4);
    }
    fake_packed_set_desc(r, 0, 0x200000, 4, 3, AVAIL);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(desc(r, 0).flags, AVAIL | USED);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

/* --- indirect tables --- */

START_TEST(packed_04_05_only_write_counts_in_a_table)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL | FAKE_INDIRECT);
    FakeRing *r = &d->rings[0];
    Gpa table = fake_driver_alloc(d, 32), out = fake_driver_alloc(d, 16);
    uint8_t got[4];

    ck_assert(gmem_write(d->m->p.mem, out, "wxyz", 4));
    fake_mem_put(r->mem, table, out.v, 8);
    fake_mem_put(r->mem, gpa_add(table, 8),
                 4 | UINT64_C(0x1234) << 32 | (uint64_t)(uint16_t)~WRITE << 48, 8);
    fake_mem_put(r->mem, gpa_add(table, 16), out.v + 8, 8);
    fake_mem_put(r->mem, gpa_add(table, 24), 4 | UINT64_C(0xffff) << 32 | UINT64_C(0xffff) << 48,
                 8);
    fake_packed_set_desc(r, 0, table.v, 32, 6, VRING_DESC_F_INDIRECT | WRITE | AVAIL);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(desc(r, 0).flags, AVAIL | USED | WRITE);
    ck_assert_uint_eq(desc(r, 0).id, 6);
    ck_assert_uint_eq(desc(r, 0).len, 4);
    ck_assert(gmem_read(d->m->p.mem, gpa_add(out, 8), got, 4));
    ck_assert_mem_eq(got, "wxyz", 4);
}
END_TEST

/* --- notifications to the driver --- */

static bool told(FakeDriver *d)
{
    fake_driver_add(d, 0, OUT("q", 1));
    fake_driver_kick(d, 0);
    d->rings[0].event_idx = false; /* so that getting it leaves the event structure alone */
    ck_assert(fake_driver_get(d, 0, NULL, NULL));
    return fake_driver_interrupted(d, 0);
}

START_TEST(packed_08_enable_and_disable)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL);

    for (unsigned i = 0; i < 20; i++) {
        fake_packed_set_event(&d->rings[0], (uint16_t)(i % 3), i & 1, DISABLE);
        ck_assert(!told(d));
        fake_packed_set_event(&d->rings[0], (uint16_t)(i % 5), i & 2, ENABLE);
        ck_assert(told(d));
    }
}
END_TEST

START_TEST(packed_09_told_exactly_at_the_descriptor_asked_for)
{
    g_autoptr(FakeDriver) d = driver_of_size(CELL | FAKE_EVENT_IDX, 7, NULL);
    bool wrap = true;
    uint16_t at = 0;

    for (unsigned n = 0; n < 100; n++) {
        uint16_t ask = (uint16_t)((n * 5) % 7);

        for (unsigned turn = 0; turn < 2; turn++) {
            fake_packed_set_event(&d->rings[0], ask, turn, DESC);
            ck_assert_int_eq(told(d), ask == at && wrap == (bool)turn);
            wrap ^= at == 6;
            at = (at + 1) % 7;
        }
    }
}
END_TEST

START_TEST(packed_09_batch_that_passes_it_tells_once)
{
    g_autoptr(FakeDriver) d = driver_of_size(CELL | FAKE_EVENT_IDX, 6, NULL);
    FakeRing *r = &d->rings[0];

    r->event_idx = false;
    for (unsigned first = 0; first < 40;
         first += 4) { /* four descriptors at a time, ask for the third */
        for (unsigned i = 0; i < 4; i++) {
            fake_driver_add(d, 0, OUT("q", 1));
        }
        fake_packed_set_event(r, (uint16_t)((first + 2) % 6), !((first + 2) / 6 & 1), DESC);
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_interrupted(d, 0));
        while (fake_driver_get(d, 0, NULL, NULL)) {
        }
        ck_assert(!fake_driver_interrupted(d, 0));
    }
}
END_TEST

START_TEST(packed_09_place_inside_a_skipped_list_counts)
{
    g_autoptr(FakeDriver) d = driver_of_size((CELL | FAKE_EVENT_IDX) & ~FAKE_INDIRECT, 8, NULL);

    fake_packed_set_event(&d->rings[0], 2, true, DESC);
    fake_driver_add(d, 0, OUT("a", 1), OUT("b", 1), OUT("c", 1), IN(1));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_interrupted(d, 0));
    fake_packed_set_event(&d->rings[0], 2, true, DESC);
    fake_driver_add(d, 0, OUT("a", 1), OUT("b", 1), IN(1));
    fake_driver_kick(d, 0);
    ck_assert(!fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(reserved_event_flags_do_not_silence)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL);

    fake_packed_set_event(&d->rings[0], 5, false, 3);
    ck_assert(told(d));
    fake_packed_set_event(&d->rings[0], 0x7fff, true, (CELL & FAKE_EVENT_IDX) ? 3 : DESC);
    ck_assert(told(d));
}
END_TEST

/* --- notifications to the device --- */

START_TEST(packed_20_device_asks_for_the_next_descriptor)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", CELL, "hold=on");
    FakeRing *r = &d->rings[0];
    uint16_t off, flags;
    bool wrap;

    for (unsigned n = 0; n < 3u * r->num; n++) {
        fake_driver_add(d, 0, OUT("q", 1));
        ck_assert(fake_ring_wants_kick(r));
        virtqueue_push(virtqueue_pop(queue(d)));
        ck_assert_ptr_null(virtqueue_pop(queue(d)));
        fake_packed_event(r, &off, &wrap, &flags);
        if (CELL & FAKE_EVENT_IDX) {
            ck_assert(off == r->next_avail && wrap == r->avail_wrap && flags == DESC);
        } else {
            ck_assert_uint_eq(flags, ENABLE);
        }
        ck_assert(fake_driver_get(d, 0, NULL, NULL));
    }
    virtqueue_disable_kicks(queue(d));
    fake_driver_add(d, 0, OUT("q", 1));
    ck_assert(!fake_ring_wants_kick(r));
    ck_assert(virtqueue_enable_kicks(queue(d))); /* one is waiting */
    virtqueue_push(virtqueue_pop(queue(d)));
    ck_assert(!virtqueue_enable_kicks(queue(d)));
    fake_driver_add(d, 0, OUT("q", 1));
    ck_assert(fake_ring_wants_kick(r));
}
END_TEST

START_TEST(packed_20_second_buffer_of_a_batch_needs_no_kick)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", CELL | FAKE_EVENT_IDX, "hold=on");
    FakeRing *r = &d->rings[0];

    for (unsigned n = 0; n < 20; n++) {
        fake_driver_add(d, 0, OUT("q", 1));
        ck_assert(fake_ring_wants_kick(r));
        fake_driver_add(d, 0, OUT("q", 1));
        ck_assert(!fake_ring_wants_kick(r));
        for (unsigned i = 0; i < 2; i++) {
            virtqueue_push(virtqueue_pop(queue(d)));
            ck_assert(fake_driver_get(d, 0, NULL, NULL));
        }
        ck_assert(virtqueue_empty(queue(d)));
    }
}
END_TEST

/* --- state --- */

START_TEST(unpop_goes_back_over_the_end_of_the_ring)
{
    g_autoptr(FakeDriver) d = driver_of_size(CELL & ~FAKE_INDIRECT, 5, "hold=on");
    VirtQueueState before, after;

    for (unsigned n = 0; n < 20; n++) {
        fake_driver_add(d, 0, OUT("a", 1), OUT("b", 1), IN(1));
        virtqueue_state(queue(d), &before);
        for (unsigned i = 0; i < 3; i++) {
            virtqueue_unpop(virtqueue_pop(queue(d)));
            virtqueue_state(queue(d), &after);
            ck_assert_mem_eq(&before, &after, sizeof before);
        }
        virtqueue_push(virtqueue_pop(queue(d)));
        ck_assert(fake_driver_get(d, 0, NULL, NULL));
    }
}
END_TEST

/* A ring of n descriptors, each of them an available buffer of no bytes, with id i. */
static Gpa full_ring(FakeDriver *d, uint16_t n)
{
    Gpa at = fake_driver_alloc(d, n * 16u + 8);

    for (uint64_t i = 0; i < n; i++) {
        fake_mem_put(d->m->p.mem, gpa_add(at, 16 * i + 8), i << 32 | (uint64_t)AVAIL << 48, 8);
    }
    return at;
}

START_TEST(any_size_is_taken_and_may_be_full)
{
    static const uint16_t sizes[] = {1, 3, 7, 100, 255, 256, 1000, 32767, 32768};
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", CELL, "queue-size=32768");

    for (unsigned n = 0; n < G_N_ELEMENTS(sizes); n++) {
        Gpa at = full_ring(d, sizes[n]);
        unsigned wrong = 0;

        ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
        d->t->queue_enable(d, 0, sizes[n], at, gpa_add(at, sizes[n] * 16u),
                           gpa_add(at, sizes[n] * 16u + 4));
        fake_driver_start(d);
        ck_assert(!fake_driver_broken(d));
        for (uint64_t i = 0; i < sizes[n]; i++) {
            wrong += fake_mem_get(d->m->p.mem, gpa_add(at, 16 * i + 8), 8) !=
                     (i << 32 | (uint64_t)(AVAIL | USED) << 48);
        }
        ck_assert_uint_eq(wrong, 0);
        fake_driver_reset(d);
    }
}
END_TEST

/* --- broken --- */

static void check_breaks(FakeDriver *d)
{
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_broken(d));
    ck_assert(fake_driver_config_interrupted(d));
    fake_driver_reset(d);
    d->next_page = 0x100000;
    fake_driver_up(d);
    ck_assert(!fake_driver_broken(d));
}

START_TEST(indirect_descriptor_in_a_list_breaks_the_ring)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL | FAKE_INDIRECT);

    fake_packed_set_desc(&d->rings[0], 1, 0x200000, 16, 0, AVAIL | VRING_DESC_F_INDIRECT);
    fake_packed_set_desc(&d->rings[0], 0, 0x200000, 16, 0, AVAIL | VRING_DESC_F_NEXT);
    check_breaks(d);
    fake_packed_set_desc(&d->rings[0], 0, 0x200000, 16, 0,
                         AVAIL | VRING_DESC_F_INDIRECT | VRING_DESC_F_NEXT);
    check_breaks(d);
}
END_TEST

START_TEST(list_without_end_breaks_the_ring)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", CELL);

    for (uint16_t i = d->rings[0].num; i > 0; i--) {
        fake_packed_set_desc(&d->rings[0], i - 1, 0x200000, 16, 0, AVAIL | VRING_DESC_F_NEXT);
    }
    check_breaks(d);
}
END_TEST

/* A driver that makes available what the device still has. */
START_TEST(overrun_ring_breaks)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", CELL & ~FAKE_INDIRECT, "hold=on");
    FakeRing *r = &d->rings[0];
    VqElem *e[3];

    for (unsigned i = 0; i < 3; i++) {
        fake_driver_add(d, 0, OUT("a", 1), IN(1));
        e[i] = virtqueue_pop(queue(d));
    }
    for (uint16_t i = 0; i < 3; i++) { /* 6 to 8 and 0: one more than are free */
        fake_packed_set_desc(r, (6 + i) % 8, 0x200000, 1, 0,
                             (i < 2 ? AVAIL | VRING_DESC_F_NEXT : USED));
    }
    ck_assert_ptr_null(virtqueue_pop(queue(d)));
    ck_assert(fake_driver_broken(d));
    for (unsigned i = 0; i < 3; i++) {
        virtqueue_push(e[i]); /* a broken device tells nothing */
    }
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtqueue-packed");
    TCase *tc = tcase_create("packed");
    const TTest *const tests[] = {
        packed_01_02_wrap_counter_turns_at_the_end_of_the_ring,
        packed_03_one_used_descriptor_stands_for_a_list,
        packed_02_write_flag_says_whether_anything_was_written,
        packed_11_used_descriptors_come_as_buffers_complete,
        packed_10_17_18_lists_of_queue_size_in_order,
        packed_13_16_readable_memory_and_used_descriptors_stay,
        packed_15_descriptor_waits_for_its_avail_flag,
        packed_04_05_only_write_counts_in_a_table,
        packed_08_enable_and_disable,
        packed_09_told_exactly_at_the_descriptor_asked_for,
        packed_09_batch_that_passes_it_tells_once,
        packed_09_place_inside_a_skipped_list_counts,
        reserved_event_flags_do_not_silence,
        packed_20_device_asks_for_the_next_descriptor,
        packed_20_second_buffer_of_a_batch_needs_no_kick,
        unpop_goes_back_over_the_end_of_the_ring,
        any_size_is_taken_and_may_be_full,
        indirect_descriptor_in_a_list_breaks_the_ring,
        list_without_end_breaks_the_ring,
        overrun_ring_breaks,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        tcase_add_loop_test(tc, tests[i], 0, CELLS);
    }
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
