/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Many elements at once, and reset at every step of a request: virtqueue_pop_batch, virtqueue_fill
 * and virtqueue_flush on rings of both formats over all transports.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum { BATCH = 5 };

static VirtQueue *queue(FakeDriver *d)
{
    return virtio_get_queue(d->vdev, 0);
}

/* BATCH requests of one descriptor each, the i-th with room for i + 1 bytes, popped at once. */
static void take_batch(FakeDriver *d, uint16_t ids[BATCH], VqElem *elems[BATCH])
{
    for (unsigned i = 0; i < BATCH; i++) {
        ids[i] = fake_driver_add(d, 0, IN(i + 1));
    }
    ck_assert_uint_eq(virtqueue_pop_batch(queue(d), elems, BATCH), BATCH);
}

static void fill_batch(FakeDriver *d, VqElem *elems[BATCH])
{
    for (unsigned i = 0; i < BATCH; i++) {
        ck_assert(vq_elem_write(elems[i], "abcdef", i + 1));
        virtqueue_fill(elems[i]);
        ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    }
}

static void expect_batch(FakeDriver *d, const uint16_t ids[BATCH])
{
    for (unsigned i = 0; i < BATCH; i++) {
        uint16_t got;
        uint32_t len;

        ck_assert(fake_driver_get(d, 0, &got, &len));
        ck_assert_uint_eq(got, ids[i]);
        ck_assert_uint_eq(len, i + 1);
    }
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
}

/* Also a request in several buffers, whose first must not be seen before the others. */
static void check_batches(unsigned cell, const char *props)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", cell, props);
    uint16_t ids[BATCH];
    VqElem *elems[BATCH];

    for (unsigned round = 0; round < 20; round++) { /* over the end of the ring at every place */
        take_batch(d, ids, elems);
        fill_batch(d, elems);
        virtqueue_flush(queue(d));
        ck_assert(!fake_driver_interrupted(d, 0));
        virtio_notify(d->vdev, queue(d));
        ck_assert(fake_driver_interrupted(d, 0));
        expect_batch(d, ids);
    }
}

START_TEST(packed_07_a_batch_is_seen_at_one_moment)
{
    check_batches((unsigned)_i, "hold=on");
}
END_TEST

START_TEST(packed_07_a_batch_in_order_is_seen_at_one_moment)
{
    check_batches((unsigned)_i, "hold=on,in_order=on");
}
END_TEST

START_TEST(notify_publishes_what_was_filled)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    uint16_t ids[BATCH];
    VqElem *elems[BATCH];

    take_batch(d, ids, elems);
    fill_batch(d, elems);
    virtio_notify(d->vdev, queue(d));
    ck_assert(fake_driver_interrupted(d, 0));
    expect_batch(d, ids);
}
END_TEST

START_TEST(push_publishes_what_was_filled_before)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    uint16_t ids[BATCH];
    VqElem *elems[BATCH];

    for (unsigned round = 0; round < 4; round++) {
        take_batch(d, ids, elems);
        for (unsigned i = 0; i < BATCH; i++) {
            ck_assert(vq_elem_write(elems[i], "abcdef", i + 1));
            (i + 1 < BATCH ? virtqueue_fill : virtqueue_push)(elems[i]);
        }
        expect_batch(d, ids);
    }
}
END_TEST

START_TEST(pop_batch_stops_at_its_limit_and_at_what_is_broken)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    VqElem *elems[8];

    for (unsigned i = 0; i < 4; i++) {
        fake_driver_add(d, 0, IN(1));
    }
    fake_ring_set_desc(&d->rings[0], 7, FAKE_RAM_LOW, 16, VRING_DESC_F_WRITE, 0);
    fake_ring_put_avail(&d->rings[0], 7);
    ck_assert_uint_eq(virtqueue_pop_batch(queue(d), elems, 0), 0);
    ck_assert_uint_eq(virtqueue_pop_batch(queue(d), elems, 3), 3);
    ck_assert_uint_eq(virtqueue_pop_batch(queue(d), elems + 3, 5), 1);
    ck_assert(fake_driver_broken(d));
    for (unsigned i = 0; i < 4; i++) {
        virtqueue_fill(elems[i]);
    }
    virtqueue_flush(queue(d));
    ck_assert(!fake_driver_get(d, 0, NULL, NULL)); /* a broken device is silent */
    virtqueue_fill(NULL);
}
END_TEST

START_TEST(filled_elements_wait_while_dma_is_not_allowed)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    uint16_t ids[BATCH];
    VqElem *elems[BATCH];

    take_batch(d, ids, elems);
    fill_batch(d, elems);
    fake_driver_set_dma(d, false);
    virtqueue_flush(queue(d));
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    fake_driver_set_dma(d, true);
    virtqueue_flush(queue(d));
    expect_batch(d, ids);
}
END_TEST

/* --- reset at every step --- */

enum {
    ADDED,    /* the driver has made a request available */
    KICKED,   /* and kicked; the kick is on its way */
    POPPED,   /* the device has it */
    READ,     /* and has read half of it */
    WRITTEN,  /* has written half of the answer */
    UNPOPPED, /* has put it back */
    FILLED,   /* has handed it back, unseen */
    FLUSHED,  /* the driver could see it */
    NOTIFIED, /* is interrupted, and has not looked */
    GOT,      /* has looked */
    STEPS,
};

/* Takes a request as far as step; *ret_elem: what the device holds then, or NULL. */
static void go_to(FakeDriver *d, unsigned step, VqElem **ret_elem)
{
    uint8_t half[4];
    VqElem *e;

    *ret_elem = NULL;
    fake_driver_add(d, 0, OUT("12345678", 8), IN(8));
    if (step == KICKED) {
        d->t->notify(d, 0);
    }
    if (step < POPPED) {
        return;
    }
    e = virtqueue_pop(queue(d));
    ck_assert_ptr_nonnull(e);
    if (step >= READ) {
        ck_assert(vq_elem_read(e, half, sizeof half));
    }
    if (step >= WRITTEN) {
        ck_assert(vq_elem_write(e, "abcd", 4));
    }
    if (step == UNPOPPED) {
        virtqueue_unpop(e);
    } else if (step >= FILLED) {
        virtqueue_fill(e);
    } else {
        *ret_elem = e;
    }
    if (step >= FLUSHED) {
        virtqueue_flush(queue(d));
    }
    if (step >= NOTIFIED) {
        virtio_notify(d->vdev, queue(d));
    }
    if (step >= GOT) {
        ck_assert(fake_driver_get(d, 0, NULL, NULL));
    }
}

static void expect_works(FakeDriver *d)
{
    VqElem *e;
    uint32_t len;

    fake_driver_add(d, 0, OUT("ping", 4), IN(4));
    e = virtqueue_pop(queue(d));
    ck_assert_ptr_nonnull(e);
    ck_assert(vq_elem_write(e, "pong", 4));
    virtqueue_push(e);
    virtio_notify(d->vdev, queue(d));
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert_uint_eq(len, 4);
    ck_assert(fake_driver_interrupted(d, 0));
}

/* --- the last writable byte --- */

START_TEST(the_last_byte_is_written_wherever_it_lies)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    static const uint32_t data[] = {0, 1, 8, 16}; /* in front of it, in pieces of up to 8 bytes */
    const FakeBuf bufs[][3] = {
        {IN(1), END}, {IN(2), END}, {IN(8), IN(1), END}, {IN(8), IN(9), END}};

    for (unsigned i = 0; i < G_N_ELEMENTS(data); i++) {
        Gpa at[2], last;
        uint32_t len;
        unsigned n;
        VqElem *e;

        fake_driver_add_bufs(d, 0, bufs[i], at);
        n = bufs[i][1].end ? 0 : 1;
        last = gpa_add(at[n], bufs[i][n].len - 1);
        fake_mem_put(d->m->p.mem, last, 0x55, 1);
        e = virtqueue_pop(queue(d));
        ck_assert(vq_elem_cut_tail(e));
        ck_assert_uint_eq(vq_elem_in_left(e), data[i]);
        vq_elem_wrote(e, data[i]);
        vq_elem_write_tail(e, 0xaa);
        virtqueue_push(e);
        ck_assert(fake_driver_get(d, 0, NULL, &len));
        ck_assert_uint_eq(len, data[i] + 1);
        ck_assert_uint_eq(fake_mem_get(d->m->p.mem, last, 1), 0xaa);
    }
}
END_TEST

START_TEST(a_last_byte_behind_unwritten_ones_is_not_counted)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    uint32_t len = 9;
    VqElem *e;

    fake_driver_add(d, 0, OUT("ab", 2));
    fake_driver_add(d, 0, IN(8));
    e = virtqueue_pop(queue(d));
    ck_assert(!vq_elem_cut_tail(e));
    virtqueue_push(e);
    e = virtqueue_pop(queue(d));
    ck_assert(vq_elem_cut_tail(e));
    vq_elem_write_tail(e, 1);
    virtqueue_push(e);
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert(fake_driver_get(d, 0, NULL, &len));
    ck_assert_uint_eq(len, 0);
}
END_TEST

START_TEST(a_last_byte_is_lost_with_its_queue)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    Gpa at;
    VqElem *e;

    fake_driver_add_bufs(d, 0, (const FakeBuf[]){IN(8), END}, &at);
    e = virtqueue_pop(queue(d));
    ck_assert(vq_elem_cut_tail(e));
    fake_driver_reset(d);
    vq_elem_write_tail(e, 0xaa);
    virtqueue_push(e);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, gpa_add(at, 7), 1), 0);
}
END_TEST

START_TEST(basic_13_14_reset_at_every_step_of_a_request)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");

    for (unsigned n = 0; n < 2 * STEPS; n++) {
        uint16_t used;
        VqElem *held;

        go_to(d, n % STEPS, &held);
        used = fake_ring_used_idx(&d->rings[0]);
        fake_driver_reset(d);
        fake_machine_run(d->m);
        if (held) { /* the device notices late: nothing of it reaches the guest */
            ck_assert(!vq_elem_write(held, "abcd", 4));
            (n < STEPS ? virtqueue_push : virtqueue_fill)(held);
        }
        virtqueue_flush(queue(d));
        virtio_notify(d->vdev, queue(d));
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), used);
        while (fake_driver_interrupted(d, 0)) { /* what came before the reset */
        }
        fake_driver_up(d);
        expect_works(d);
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtqueue-batch");
    TCase *tc = tcase_create("batch");

    tcase_add_loop_test(tc, packed_07_a_batch_is_seen_at_one_moment, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, packed_07_a_batch_in_order_is_seen_at_one_moment, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, notify_publishes_what_was_filled, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, push_publishes_what_was_filled_before, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, pop_batch_stops_at_its_limit_and_at_what_is_broken, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, filled_elements_wait_while_dma_is_not_allowed, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, filled_elements_wait_while_dma_is_not_allowed, FAKE_PCI_LEGACY,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, the_last_byte_is_written_wherever_it_lies, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_last_byte_behind_unwritten_ones_is_not_counted, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_last_byte_is_lost_with_its_queue, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, basic_13_14_reset_at_every_step_of_a_request, 0, FAKE_CELLS);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
