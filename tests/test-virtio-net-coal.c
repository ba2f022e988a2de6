/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Coalescing of virtio-net's notifications (VIRTIO 1.4 §5.1.6.5.8): its commands, and when the
 * driver is interrupted. Time is virtual.
 */
#include "tests/test-virtio-net-ctrl.h"

#include <string.h>

enum { TX_SET, RX_SET, VQ_SET, VQ_GET };
enum { CLASS = 6, RX0 = 0, TX0 = 1, RX1 = 2, TX1 = 3 };

typedef struct {
    uint32_t packets, usecs;
} Params;

static uint8_t set_all(Nic *n, unsigned command, uint32_t packets, uint32_t usecs)
{
    uint8_t data[8];

    le_store(data, packets, 4);
    le_store(data + 4, usecs, 4);
    return nic_command(n, CLASS, command, data, sizeof data);
}

static uint8_t set_one(Nic *n, unsigned vq, uint32_t packets, uint32_t usecs)
{
    uint8_t data[12];

    le_store(data, vq, 2);
    le_store(data + 2, 0xbeef, 2); /* reserved */
    le_store(data + 4, packets, 4);
    le_store(data + 8, usecs, 4);
    return nic_command(n, CLASS, VQ_SET, data, sizeof data);
}

static uint8_t get_one(Nic *n, unsigned vq, Params *ret)
{
    uint8_t data[4], answer[8];
    uint8_t ack;

    le_store(data, vq, 2);
    le_store(data + 2, 0xdead, 2);
    ack = nic_command_for(n, CLASS, VQ_GET, data, sizeof data, answer, sizeof answer);
    ret->packets = (uint32_t)le_load(answer, 4);
    ret->usecs = (uint32_t)le_load(answer + 4, 4);
    return ack;
}

static void expect_params(Nic *n, unsigned vq, uint32_t packets, uint32_t usecs)
{
    Params p;

    ck_assert_uint_eq(get_one(n, vq, &p), VIRTIO_NET_OK);
    ck_assert_uint_eq(p.packets, packets);
    ck_assert_uint_eq(p.usecs, usecs);
}

/* Legacy drivers cannot have it: NULL. */
static Nic *start(unsigned cell, unsigned queues, const char *props)
{
    Nic *n = nic_start(cell, queues, props);

    if (nic_has(n, VIRTIO_NET_F_NOTF_COAL) && nic_has(n, VIRTIO_NET_F_VQ_NOTF_COAL)) {
        return n;
    }
    ck_assert(fake_cell_is_legacy(cell));
    nic_free(n);
    return NULL;
}

static bool interrupted(Nic *n, unsigned q)
{
    return fake_driver_interrupted(n->d, q);
}

static void forget_interrupts(Nic *n)
{
    for (unsigned q = 0; q <= nic_ctrl_queue(n); q++) {
        interrupted(n, q);
    }
}

/* --- when --- */

/* A frame comes and waits. A driver that uses event indexes and takes it would not want to hear of
 * it any more. */
static void arrive(Nic *n)
{
    uint8_t buf[60];

    nic_frame(buf, sizeof buf, nic_own, -1);
    nic_inject(n, 0, buf, sizeof buf);
}

START_TEST(frames_are_counted_up_to_the_limit)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(set_all(n, RX_SET, 3, 1000), VIRTIO_NET_OK);
    forget_interrupts(n);
    for (unsigned i = 0; i < 9; i++) {
        ck_assert(nic_gets(n, nic_own)); /* the driver sees it at once */
        ck_assert(interrupted(n, RX0) == (i % 3 == 2));
    }
}
END_TEST

START_TEST(time_is_counted_from_the_first_frame_on)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(set_all(n, RX_SET, 100, 1000), VIRTIO_NET_OK);
    forget_interrupts(n);
    nic_step_us(n, 5000);
    ck_assert(!interrupted(n, RX0)); /* no frame, nothing to tell */
    for (unsigned i = 0; i < 3; i++) {
        arrive(n);
        nic_step_us(n, 900);
        arrive(n);
        nic_step_us(n, 99);
        ck_assert(!interrupted(n, RX0));
        nic_step_us(n, 1);
        ck_assert(interrupted(n, RX0));
        ck_assert_uint_eq(nic_take_all(n, 0), 2);
        nic_step_us(n, 5000);
        ck_assert(!interrupted(n, RX0));
    }
}
END_TEST

START_TEST(without_both_limits_each_frame_interrupts)
{
    static const Params off[] = {{0, 0}, {0, 1000}, {10, 0}};
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n) {
        return;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(off); i++) {
        ck_assert_uint_eq(set_all(n, RX_SET, off[i].packets, off[i].usecs), VIRTIO_NET_OK);
        forget_interrupts(n);
        for (unsigned j = 0; j < 3; j++) {
            ck_assert(nic_gets(n, nic_own));
            ck_assert(interrupted(n, RX0));
        }
    }
}
END_TEST

/* Sent, and not yet taken back. */
static void send_one(Nic *n)
{
    uint8_t buf[12 + 60] = {0};

    nic_frame(buf + 12, 60, nic_other, -1);
    fake_driver_add(n->d, TX0, OUT(buf, sizeof buf));
    fake_driver_kick(n->d, TX0);
}

START_TEST(frames_sent_are_counted_by_themselves)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(set_all(n, TX_SET, 2, 1000), VIRTIO_NET_OK);
    forget_interrupts(n);
    send_one(n);
    ck_assert(!interrupted(n, TX0));
    send_one(n);
    ck_assert(interrupted(n, TX0));
    ck_assert(fake_driver_get(n->d, TX0, NULL, NULL));
    ck_assert(fake_driver_get(n->d, TX0, NULL, NULL));
    send_one(n);
    nic_step_us(n, 999);
    ck_assert(!interrupted(n, TX0));
    nic_step_us(n, 1);
    ck_assert(interrupted(n, TX0));
    ck_assert(nic_gets(n, nic_own)); /* the other direction is as it was */
    ck_assert(interrupted(n, RX0));
}
END_TEST

START_TEST(net_151_new_limits_that_are_reached_already_interrupt_at_once)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(set_all(n, RX_SET, 15, 1000000), VIRTIO_NET_OK);
    forget_interrupts(n);
    arrive(n);
    arrive(n);
    nic_step_us(n, 10);
    arrive(n);
    ck_assert(!interrupted(n, RX0));
    ck_assert_uint_eq(set_all(n, RX_SET, 3, 1000000), VIRTIO_NET_OK);
    ck_assert(interrupted(n, RX0));
    ck_assert_uint_eq(nic_take_all(n, 0), 3);
    arrive(n);
    forget_interrupts(n);
    ck_assert_uint_eq(set_all(n, RX_SET, 0, 0), VIRTIO_NET_OK);
    ck_assert(interrupted(n, RX0));
}
END_TEST

START_TEST(net_152_who_wants_no_interrupts_gets_none)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);
    FakeRing *r;

    if (!n) {
        return;
    }
    r = &n->d->rings[RX0];
    ck_assert_uint_eq(set_all(n, RX_SET, 2, 1000), VIRTIO_NET_OK);
    forget_interrupts(n);
    if (r->event_idx) {
        fake_ring_set_used_event(r, (uint16_t)(r->used_seen + 50));
    } else {
        fake_ring_set_avail_flags(r, 1); /* VRING_AVAIL_F_NO_INTERRUPT */
    }
    for (unsigned i = 0; i < 3; i++) {
        arrive(n);
        ck_assert(!interrupted(n, RX0));
    }
    nic_step_us(n, 10000);
    ck_assert(!interrupted(n, RX0));
}
END_TEST

/* --- the commands --- */

START_TEST(net_145_the_last_command_for_a_queue_counts)
{
    g_autoptr(Nic) n = start((unsigned)_i, 2, "mq=on");

    if (!n) {
        return;
    }
    /* The specification's example. */
    ck_assert_uint_eq(set_all(n, RX_SET, 10, 20), VIRTIO_NET_OK);
    expect_params(n, RX0, 10, 20);
    expect_params(n, RX1, 10, 20);
    expect_params(n, TX0, 0, 0);
    ck_assert_uint_eq(set_one(n, RX0, 11, 21), VIRTIO_NET_OK);
    expect_params(n, RX0, 11, 21);
    expect_params(n, RX1, 10, 20);
    ck_assert_uint_eq(set_one(n, TX0, 12, 22), VIRTIO_NET_OK);
    expect_params(n, TX0, 12, 22);
    expect_params(n, TX1, 0, 0);
    ck_assert_uint_eq(set_all(n, TX_SET, UINT32_MAX, UINT32_MAX), VIRTIO_NET_OK);
    expect_params(n, TX0, UINT32_MAX, UINT32_MAX);
    expect_params(n, TX1, UINT32_MAX, UINT32_MAX);
    expect_params(n, RX0, 11, 21);
}
END_TEST

START_TEST(net_146_147_148_what_cannot_be_set_fails_and_changes_nothing)
{
    g_autoptr(Nic) n = start((unsigned)_i, 2, "mq=on");
    const unsigned wrong[] = {4, 5, 6, 0xfffe, 0xffff}; /* 4: the control queue */
    uint8_t data[16] = {0};
    Params p;

    if (!n) {
        return;
    }
    ck_assert_uint_eq(set_all(n, RX_SET, 1, 2), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_all(n, TX_SET, 3, 4), VIRTIO_NET_OK);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        ck_assert_uint_eq(set_one(n, wrong[i], 5, 6), VIRTIO_NET_ERR);
        ck_assert_uint_eq(get_one(n, wrong[i], &p), VIRTIO_NET_ERR);
    }
    for (unsigned len = 0; len <= sizeof data; len++) {
        if (len != 8) {
            ck_assert_uint_eq(nic_command(n, CLASS, TX_SET, data, len), VIRTIO_NET_ERR);
            ck_assert_uint_eq(nic_command(n, CLASS, RX_SET, data, len), VIRTIO_NET_ERR);
        }
        if (len != 12) {
            ck_assert_uint_eq(nic_command(n, CLASS, VQ_SET, data, len), VIRTIO_NET_ERR);
        }
    }
    ck_assert_uint_eq(nic_command(n, CLASS, VQ_GET, data, 4), VIRTIO_NET_ERR); /* no room */
    expect_params(n, RX0, 1, 2);
    expect_params(n, RX1, 1, 2);
    expect_params(n, TX0, 3, 4);
    if (nic_has(n, VIRTIO_F_RING_RESET)) {
        n->d->t->queue_reset(n->d, RX1);
        ck_assert_uint_eq(set_one(n, RX1, 5, 6), VIRTIO_NET_ERR);
        ck_assert_uint_eq(get_one(n, RX1, &p), VIRTIO_NET_ERR);
        expect_params(n, RX0, 1, 2);
    }
}
END_TEST

static void restart_queue(Nic *n, unsigned q)
{
    FakeDriver *d = n->d;
    FakeRing *r = &d->rings[q];

    d->t->queue_reset(d, q);
    fake_driver_init_ring(d, r, r->num);
    d->t->queue_enable(d, q, r->num, r->desc, r->avail, r->used);
}

START_TEST(net_149_150_an_enabled_queue_begins_with_the_parameters_for_all)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n || !nic_has(n, VIRTIO_F_RING_RESET)) {
        ck_assert(fake_cell_is_legacy((unsigned)_i));
        return;
    }
    ck_assert_uint_eq(set_one(n, RX0, 1, 2), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_one(n, TX0, 3, 4), VIRTIO_NET_OK);
    restart_queue(n, RX0);
    restart_queue(n, TX0);
    expect_params(n, RX0, 0, 0);
    expect_params(n, TX0, 0, 0);
    ck_assert_uint_eq(set_all(n, RX_SET, 5, 6), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_all(n, TX_SET, 7, 8), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_one(n, RX0, 1, 2), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_one(n, TX0, 3, 4), VIRTIO_NET_OK);
    restart_queue(n, RX0);
    expect_params(n, RX0, 5, 6);
    expect_params(n, TX0, 3, 4);
    restart_queue(n, TX0);
    expect_params(n, TX0, 7, 8);
}
END_TEST

START_TEST(net_153_a_reset_forgets_all_parameters)
{
    g_autoptr(Nic) n = start((unsigned)_i, 1, NULL);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(set_all(n, RX_SET, 5, 1000), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_one(n, TX0, 7, 8), VIRTIO_NET_OK);
    ck_assert(nic_gets(n, nic_own)); /* one is counted */
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    forget_interrupts(n);
    nic_step_us(n, 10000);
    ck_assert(!interrupted(n, RX0));
    expect_params(n, RX0, 0, 0);
    expect_params(n, TX0, 0, 0);
    forget_interrupts(n);
    ck_assert(nic_gets(n, nic_own));
    ck_assert(interrupted(n, RX0));
}
END_TEST

void add_nic_coal_tests(Suite *s)
{
    const TTest *const tests[] = {
        frames_are_counted_up_to_the_limit,
        time_is_counted_from_the_first_frame_on,
        without_both_limits_each_frame_interrupts,
        frames_sent_are_counted_by_themselves,
        net_151_new_limits_that_are_reached_already_interrupt_at_once,
        net_152_who_wants_no_interrupts_gets_none,
        net_145_the_last_command_for_a_queue_counts,
        net_146_147_148_what_cannot_be_set_fails_and_changes_nothing,
        net_149_150_an_enabled_queue_begins_with_the_parameters_for_all,
        net_153_a_reset_forgets_all_parameters,
    };

    nic_add_tests(s, "coalescing", tests, G_N_ELEMENTS(tests));
}
