/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looking into a split ring without taking anything out of it.
 */
#include <check.h>
#include <linux/virtio_ring.h>

#include "hw/virtio/virtio-describe.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

static VqPeek p;

static VirtQueue *queue(FakeDriver *d)
{
    return virtio_get_queue(d->vdev, 0);
}

START_TEST(a_buffer_is_seen_as_the_driver_put_it)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    g_autoptr(GError) err = NULL;
    Gpa places[2];
    uint16_t head = fake_driver_add_bufs(d, 0, (FakeBuf[]){OUT("abc", 3), IN(8), END}, places);

    if (fake_cell_is_packed((unsigned)_i) && !fake_cell_is_legacy((unsigned)_i)) {
        ck_assert(!virtqueue_peek(queue(d), -1, &p, &err));
        ck_assert_str_eq(err->message, "Packed ring not supported");
        return;
    }
    ck_assert(virtqueue_peek(queue(d), -1, &p, &err));
    ck_assert_uint_eq(p.n, 2);
    ck_assert_uint_eq(p.head, head);
    ck_assert_uint_eq(p.avail_idx, 1);
    ck_assert_uint_eq(p.used_idx, 0);
    ck_assert_uint_eq(p.descs[0].addr, places[0].v);
    ck_assert_uint_eq(p.descs[0].len, 3);
    ck_assert_uint_eq(p.descs[0].flags, VRING_DESC_F_NEXT);
    ck_assert_uint_eq(p.descs[1].addr, places[1].v);
    ck_assert_uint_eq(p.descs[1].len, 8);
    ck_assert_uint_eq(p.descs[1].flags, VRING_DESC_F_WRITE);
    virtqueue_push(virtqueue_pop(queue(d))); /* it is still there */
    ck_assert(virtqueue_peek(queue(d), 0, &p, &err));
    ck_assert_uint_eq(p.head, head);
    ck_assert_uint_eq(p.used_idx, 1);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(what_the_driver_does_wrong_is_no_matter)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", 0, "hold=on");
    g_autoptr(GError) loop = NULL, beyond = NULL, outside = NULL;
    FakeRing *r = &d->rings[0];

    fake_ring_set_desc(r, 0, 1, 1, VRING_DESC_F_NEXT, 0);
    fake_ring_put_avail(r, 0);
    ck_assert(virtqueue_peek(queue(d), 0, &p, &loop)); /* a loop ends with the ring's size */
    ck_assert_uint_eq(p.n, 8);
    fake_ring_set_desc(r, 0, 1, 1, VRING_DESC_F_NEXT, 8);
    ck_assert(!virtqueue_peek(queue(d), 0, &p, &beyond));
    ck_assert_str_eq(beyond->message,
                     "what the ring says is outside of the queue or of guest memory");
    fake_ring_set_desc(r, 0, UINT64_C(1) << 50, 16, VRING_DESC_F_INDIRECT, 0);
    ck_assert(!virtqueue_peek(queue(d), 0, &p, &outside));
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(a_queue_that_is_not_set_up_is_told)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, "hold=on");
    g_autoptr(GError) err = NULL;

    ck_assert(!virtqueue_peek(queue(d), -1, &p, &err));
    ck_assert_str_eq(err->message, "the queue is not set up");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtqueue-peek");
    TCase *tc = tcase_create("peek");

    tcase_add_loop_test(tc, a_buffer_is_seen_as_the_driver_put_it, 0, FAKE_CELLS);
    tcase_add_test(tc, what_the_driver_does_wrong_is_no_matter);
    tcase_add_test(tc, a_queue_that_is_not_set_up_is_told);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
