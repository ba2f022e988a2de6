/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net's interrupt moderation (VIRTIO 1.4 §5.1.6.5.8) as the queues have it, whatever command
 * asked for it: buffers are seen at once, interrupts come after so many frames or so much time.
 */
#include "tests/test-virtio-net.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/driver/fake-suite.h"

enum { US = 1000 };

static uint8_t frame[60];
static VnetGot got;

static void start(FakeDriver *d)
{
    vnet_pattern(frame, sizeof frame, 1);
    for (unsigned i = 0; i < 4; i++) {
        vnet_post(d, RX, 16, 100, 100);
    }
    (void)fake_driver_interrupted(d, RX);
}

static void receive(FakeDriver *d, NetTest *t, unsigned n)
{
    while (n-- > 0) {
        ck_assert(vnet_inject(d, t, 0, frame, sizeof frame, (NetHdr){0}));
        ck_assert(vnet_get(d, RX, &got)); /* without an interrupt it is seen all the same */
    }
}

static void pass(FakeDriver *d, int64_t ns)
{
    clock_step_to(d->m->p.vclock, clock_now(d->m->p.vclock) + ns);
}

/* The driver asks for the next interrupt, where it has to. */
static bool interrupted(FakeDriver *d, unsigned q)
{
    return fake_driver_interrupted(d, q);
}

START_TEST(after_so_many_frames)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, NULL, &t);

    start(d);
    virtio_net_set_coal_all(vnet_of(d), false, (NetCoalParams){.max_packets = 5, .max_usecs = 100});
    for (unsigned i = 0; i < 3; i++) {
        receive(d, t, 4);
        ck_assert(!interrupted(d, RX));
        receive(d, t, 1);
        ck_assert(interrupted(d, RX));
    }
    pass(d, 1000 * US);
    ck_assert(!interrupted(d, RX));
}
END_TEST

START_TEST(after_so_much_time)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, NULL, &t);

    start(d);
    virtio_net_set_coal_all(vnet_of(d), false,
                            (NetCoalParams){.max_packets = 50, .max_usecs = 100});
    receive(d, t, 1);
    pass(d, 60 * US);
    receive(d, t, 1);
    pass(d, 39 * US); /* from the first one on */
    ck_assert(!interrupted(d, RX));
    pass(d, 1 * US);
    ck_assert(interrupted(d, RX));
    pass(d, 1000 * US);
    ck_assert(!interrupted(d, RX));
    receive(d, t, 1);
    pass(d, 100 * US);
    ck_assert(interrupted(d, RX));
}
END_TEST

START_TEST(with_one_of_them_0_every_frame_interrupts)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, NULL, &t);
    static const NetCoalParams params[] = {{0, 0}, {5, 0}, {0, 100}, {1, 100}};

    start(d);
    for (unsigned i = 0; i < G_N_ELEMENTS(params); i++) {
        virtio_net_set_coal_all(vnet_of(d), false, params[i]);
        for (unsigned k = 0; k < 3; k++) {
            receive(d, t, 1);
            ck_assert(interrupted(d, RX));
        }
    }
}
END_TEST

START_TEST(the_transmit_queue_has_its_own)
{
    NetTest *t;
    g_autoptr(FakeDriver) d =
        vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, "notify_on_empty=off", &t);

    start(d);
    virtio_net_set_coal_all(vnet_of(d), true, (NetCoalParams){.max_packets = 4, .max_usecs = 100});
    for (unsigned i = 0; i < 3; i++) {
        vnet_send(d, TX, NULL, frame, 60, 60);
        ck_assert(!interrupted(d, TX));
    }
    receive(d, t, 1);
    ck_assert(interrupted(d, RX));
    vnet_send(d, TX, NULL, frame, 60, 60);
    ck_assert(interrupted(d, TX));
    vnet_send(d, TX, NULL, frame, 60, 60);
    pass(d, 99 * US);
    ck_assert(!interrupted(d, TX));
    pass(d, 1 * US);
    ck_assert(interrupted(d, TX));
}
END_TEST

START_TEST(new_parameters_count_what_came_before)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, NULL, &t);

    start(d);
    virtio_net_set_coal_all(vnet_of(d), false,
                            (NetCoalParams){.max_packets = 15, .max_usecs = 1000});
    receive(d, t, 10);
    virtio_net_set_coal_all(vnet_of(d), false,
                            (NetCoalParams){.max_packets = 12, .max_usecs = 1000});
    ck_assert(!interrupted(d, RX));
    virtio_net_set_coal_all(vnet_of(d), false,
                            (NetCoalParams){.max_packets = 8, .max_usecs = 1000});
    ck_assert(interrupted(d, RX));
    receive(d, t, 3);
    virtio_net_set_coal_all(vnet_of(d), false, (NetCoalParams){.max_packets = 8, .max_usecs = 10});
    pass(d, 10 * US);
    ck_assert(interrupted(d, RX));
    receive(d, t, 3);
    virtio_net_set_coal_all(vnet_of(d), false, (NetCoalParams){0});
    ck_assert(interrupted(d, RX));
    receive(d, t, 1);
    ck_assert(interrupted(d, RX));
}
END_TEST

START_TEST(net_152_what_the_driver_does_not_want_to_hear_is_not_said)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, NULL, &t);

    start(d);
    if (d->rings[RX].packed) {
        fake_packed_set_event(&d->rings[RX], 0, false, 1); /* RING_EVENT_FLAGS_DISABLE */
    } else {
        fake_ring_set_avail_flags(&d->rings[RX], VRING_AVAIL_F_NO_INTERRUPT);
    }
    virtio_net_set_coal_all(vnet_of(d), false, (NetCoalParams){.max_packets = 2, .max_usecs = 100});
    receive(d, t, 5);
    pass(d, 100 * US);
    ck_assert(!interrupted(d, RX));
}
END_TEST

START_TEST(
    net_149_150_153_a_reset_of_the_queue_goes_back_to_what_all_have_and_one_of_the_device_to_0)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i & ~FAKE_EVENT_IDX, 0, 1, NULL, &t);
    VirtioNet *s = vnet_of(d);

    start(d);
    virtio_net_set_coal_all(s, false, (NetCoalParams){.max_packets = 5, .max_usecs = 100});
    virtio_net_coal_set(virtio_net_coal(s, TX),
                        (NetCoalParams){.max_packets = 7, .max_usecs = 100});
    virtio_net_coal_set(virtio_net_coal(s, RX),
                        (NetCoalParams){.max_packets = 9, .max_usecs = 100});
    ck_assert_uint_eq(virtio_net_coal(s, TX)->params.max_packets, 7);
    receive(d, t, 2);
    if (!fake_cell_is_legacy((unsigned)_i)) {
        for (unsigned q = 0; q < 2; q++) {
            FakeRing *r = &d->rings[q];

            d->t->queue_reset(d, q);
            ck_assert_ptr_null(virtio_net_coal(s, q));
            fake_driver_init_ring(d, r, r->num);
            d->t->queue_enable(d, q, r->num, r->desc, r->avail, r->used);
        }
        ck_assert_uint_eq(virtio_net_coal(s, RX)->params.max_packets, 5);
        ck_assert_uint_eq(virtio_net_coal(s, TX)->params.max_packets, 0);
        pass(d, 1000 * US); /* what was counted is forgotten */
        ck_assert(!interrupted(d, RX));
    }
    fake_driver_again(d);
    ck_assert_uint_eq(virtio_net_coal(s, RX)->params.max_packets, 0);
    ck_assert_uint_eq(virtio_net_coal(s, RX)->params.max_usecs, 0);
    ck_assert_uint_eq(virtio_net_coal(s, TX)->params.max_packets, 0);
    start(d);
    receive(d, t, 1);
    ck_assert(interrupted(d, RX));
    ck_assert_ptr_null(virtio_net_coal(s, 2)); /* the control queue */
    ck_assert_ptr_null(virtio_net_coal(s, 99));
}
END_TEST

int main(void)
{
    return fake_suite_main(
        "virtio-net-coal", NULL, after_so_many_frames, after_so_much_time,
        with_one_of_them_0_every_frame_interrupts, the_transmit_queue_has_its_own,
        new_parameters_count_what_came_before,
        net_152_what_the_driver_does_not_want_to_hear_is_not_said,
        net_149_150_153_a_reset_of_the_queue_goes_back_to_what_all_have_and_one_of_the_device_to_0);
}
