/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk with requests in flight: completions out of order, merging, reset at every step, DMA
 * taken away, the node quiesced, several queues.
 */
#include "tests/test-blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static BlkIo add_write(FakeDriver *d, uint64_t sector, uint8_t byte)
{
    uint8_t buf[SECTOR];

    memset(buf, byte, sizeof buf);
    return blk_add(d, 0, VIRTIO_BLK_T_OUT, sector, buf, SECTOR, 0);
}

static void let_go(FakeDriver *d, FakeBlock *b, unsigned n)
{
    ck_assert(fake_block_let_go(b, n));
    fake_machine_run(d->m);
}

/* --- order and batches --- */

START_TEST(requests_end_in_the_order_of_the_storage)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io[3];

    b->hold = true;
    for (unsigned i = 0; i < 3; i++) {
        io[i] = add_write(d, 10 * i, (uint8_t)(i + 1));
    }
    fake_driver_kick(d, 0);
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    let_go(d, b, 1);
    ck_assert_uint_eq(blk_take(d, &io[1], NULL), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_status(d, &io[0]), NO_STATUS);
    let_go(d, b, 1);
    ck_assert_uint_eq(blk_take(d, &io[2], NULL), VIRTIO_BLK_S_OK);
    let_go(d, b, 0);
    ck_assert_uint_eq(blk_take(d, &io[0], NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(one_interrupt_tells_of_all_that_ended_together)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    unsigned before;

    b->hold = true;
    for (unsigned i = 0; i < 8; i++) {
        add_write(d, 2 * i, 1);
    }
    fake_driver_kick(d, 0);
    before = d->m->msi.n;
    fake_block_let_all_go(b);
    fake_machine_run(d->m);
    ck_assert_uint_le(d->m->msi.n, before + 1);
    ck_assert(fake_driver_interrupted(d, 0));
    ck_assert(!fake_driver_interrupted(d, 0));
    blk_take_any(d, 0, 8);
}
END_TEST

START_TEST(a_full_queue_is_served_and_used_again)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "queue-size=16", &b);

    for (unsigned round = 0; round < 10; round++) {
        unsigned n = 0;

        b->hold = round % 2;
        while (n < d->rings[0].num / 3u) {
            add_write(d, 2 * n++, (uint8_t)round);
        }
        fake_driver_kick(d, 0);
        fake_block_let_all_go(b);
        fake_machine_run(d->m);
        blk_take_any(d, 0, n);
        ck_assert_uint_eq(b->data[0], round);
    }
}
END_TEST

/* --- merging --- */

START_TEST(neighbours_of_one_kick_are_one_request)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlockStats stats;
    BlkIo in[3];

    for (unsigned i = 0; i < 5; i++) {
        add_write(d, 20 + i, (uint8_t)(i + 1));
        add_write(d, 100 + i, (uint8_t)(i + 50)); /* a second stream in between */
    }
    fake_driver_kick(d, 0);
    blk_take_any(d, 0, 10);
    ck_assert_uint_eq(b->n_seen, 2);
    ck_assert_uint_eq(b->seen[0].bytes, 5 * SECTOR);
    for (unsigned i = 0; i < 5; i++) {
        ck_assert_uint_eq(b->data[(20 + i) * SECTOR], i + 1);
        ck_assert_uint_eq(b->data[(100 + i) * SECTOR + SECTOR - 1], i + 50);
    }
    for (unsigned i = 0; i < 3; i++) {
        in[i] = blk_add(d, 0, VIRTIO_BLK_T_IN, 20 + i, NULL, 0, SECTOR);
    }
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(b->n_seen, 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(blk_take(d, &in[i], NULL), VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(fake_mem_get(d->m->p.mem, in[i].data, 1), i + 1);
    }
    block_stats(b->parent_obj.users->pdata[0], &stats);
    ck_assert_uint_eq(stats.merged[BLOCK_WRITE], 8);
    ck_assert_uint_eq(stats.merged[BLOCK_READ], 2);
}
END_TEST

START_TEST(reads_and_writes_are_not_merged)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    add_write(d, 0, 1);
    blk_add(d, 0, VIRTIO_BLK_T_IN, 1, NULL, 0, SECTOR);
    add_write(d, 2, 1);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(b->n_seen, 3);
}
END_TEST

START_TEST(merging_is_bounded_and_may_be_switched_off)
{
    static const struct {
        const char *options, *props;
        unsigned seen;
    } cases[] = {
        {NULL, NULL, 2}, /* 32 in one */
        {"\"max-transfer\": 2048", NULL, 10},
        {NULL, "request-merging=off", 40},
    };

    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        FakeBlock *b;
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, cases[c].options, cases[c].props, &b);

        for (unsigned i = 0; i < 40; i++) {
            add_write(d, i, (uint8_t)i);
        }
        fake_driver_kick(d, 0);
        blk_take_any(d, 0, 40);
        ck_assert_uint_eq(b->n_seen, cases[c].seen);
        for (unsigned i = 0; i < 40; i++) {
            ck_assert_uint_eq(b->data[i * SECTOR], i);
        }
    }
}
END_TEST

START_TEST(of_merged_requests_only_the_bad_one_fails)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io[4];

    for (unsigned i = 0; i < 4; i++) {
        io[i] = add_write(d, i, (uint8_t)(i + 1));
    }
    fake_block_fail(b, BLOCK_WRITE, -EIO, 1000);
    b->fail_at = 2 * SECTOR;
    b->fail_len = SECTOR;
    fake_driver_kick(d, 0);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(blk_take(d, &io[i], NULL), i == 2 ? VIRTIO_BLK_S_IOERR : VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(b->data[i * SECTOR], i == 2 ? 0 : i + 1);
    }
    ck_assert_uint_eq(d->m->events->len, 1);
}
END_TEST

/* --- reset --- */

typedef enum { STEP_ADDED, STEP_HELD, STEP_HALF_DONE, STEP_DONE, STEP_SEEN, STEPS } Step;

/* Two merged writes, a read, a write in steps, a discard of ranges, a flush: up to that step. */
static void reach(FakeDriver *d, FakeBlock *b, Step step)
{
    static uint8_t big[8192], wire[64];

    b->hold = true;
    add_write(d, 0, 1);
    add_write(d, 1, 2);
    blk_add(d, 0, VIRTIO_BLK_T_IN, 50, NULL, 0, SECTOR);
    blk_add(d, 0, VIRTIO_BLK_T_OUT, 100, big, sizeof big, 0);
    wire[8] = wire[24] = wire[40] = wire[56] = 1; /* one sector each */
    blk_add(d, 0, VIRTIO_BLK_T_DISCARD, 0, wire, sizeof wire, 0);
    blk_add(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
    if (step == STEP_ADDED) {
        return;
    }
    fake_driver_kick(d, 0);
    for (unsigned i = 0; i < 3 && step == STEP_HALF_DONE; i++) {
        let_go(d, b, i);
    }
    if (step >= STEP_DONE) {
        while (b->held->len > 0) {
            fake_block_let_go(b, 0);
            if (step == STEP_SEEN) {
                fake_machine_run(d->m);
            }
        }
    }
}

START_TEST(reset_at_every_step_leaves_nothing_behind)
{
    for (Step step = 0; step < STEPS; step++) {
        FakeBlock *b;
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"max-transfer\": 4096", NULL, &b);
        uint8_t buf[SECTOR] = "after", in[SECTOR];
        unsigned interrupts;

        reach(d, b, step);
        fake_driver_reset(d);
        ck_assert_uint_eq(b->held->len, 0);
        ck_assert_uint_eq(
            block_in_flight(((BlockUser *)b->parent_obj.users->pdata[0])->queues->pdata[0]), 0);
        interrupts = d->m->msi.n;
        b->hold = false;
        fake_machine_run(d->m);
        ck_assert_uint_eq(d->m->msi.n, interrupts);
        fake_driver_up(d);
        ck_assert(!fake_driver_get(d, 0, NULL, NULL));
        ck_assert_uint_eq(blk_write(d, 9, buf, SECTOR), VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(blk_read(d, 9, in, SECTOR), VIRTIO_BLK_S_OK);
        ck_assert_str_eq((char *)in, "after");
    }
}
END_TEST

START_TEST(reset_cancels_what_the_storage_has_not_done)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io;

    b->hold = true;
    b->data[0] = 0x77;
    io = blk_add(d, 0, VIRTIO_BLK_T_IN, 0, NULL, 0, SECTOR);
    fake_driver_kick(d, 0);
    fake_driver_reset(d);
    ck_assert_uint_eq(b->n_cancelled, 1);
    ck_assert_uint_eq(blk_status(d, &io), NO_STATUS);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_status(d, &io), NO_STATUS);
}
END_TEST

START_TEST(a_machine_reset_cancels_too)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start(0, NULL, NULL, &b);

    b->hold = true;
    add_write(d, 0, 1);
    fake_driver_kick(d, 0);
    fake_machine_reset(d->m);
    ck_assert_uint_eq(b->n_cancelled, 1);
    ck_assert_uint_eq(b->held->len, 0);
}
END_TEST

START_TEST(a_device_that_leaves_lets_go_of_its_disk)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    reach(d, b, STEP_HALF_DONE);
    device_destroy(d->dev);
    d->dev = NULL;
    fake_machine_run(d->m);
    ck_assert(block_node_del(d->m->p.root, "disk0", NULL));
}
END_TEST

START_TEST(a_queue_that_is_reset_alone_leaves_the_others_alone)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "num-queues=2", &b);
    BlkIo kept;
    FakeRing *r = &d->rings[0];

    b->hold = true;
    add_write(d, 0, 1);
    kept = blk_add(d, 1, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
    fake_driver_kick(d, 0);
    fake_driver_kick(d, 1);
    ck_assert_uint_eq(b->held->len, 2);
    d->t->queue_reset(d, 0);
    ck_assert_uint_eq(b->held->len, 1);
    fake_block_let_all_go(b);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &kept, NULL), VIRTIO_BLK_S_OK);
    fake_driver_init_ring(d, r, 64);
    d->t->queue_enable(d, 0, 64, r->desc, r->avail, r->used);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* MMIO and legacy PCI: a queue may be disabled without more. Again and again, with requests in
 * flight. */
START_TEST(a_queue_that_is_disabled_cancels)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    b->hold = true;
    for (unsigned round = 0; round < 5; round++) {
        FakeRing *r = &d->rings[0];

        for (unsigned i = 0; i < r->num / 3u; i++) {
            add_write(d, 0, 1);
        }
        fake_driver_kick(d, 0);
        ck_assert_uint_eq(b->held->len, r->num / 3u);
        virtio_queue_disable(d->vdev, 0);
        ck_assert_uint_eq(b->held->len, 0);
        blk_recycle(d);
        fake_driver_init_ring(d, r, r->num);
        d->t->queue_enable(d, 0, r->num, r->desc, r->avail, r->used);
    }
    fake_block_let_all_go(b);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* --- DMA, quiescing, queues --- */

START_TEST(without_bus_mastering_answers_wait)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io[3];

    b->hold = true;
    io[0] = add_write(d, 0, 1);
    io[1] = add_write(d, 10, 2);
    fake_driver_kick(d, 0);
    fake_driver_set_dma(d, false);
    fake_block_let_all_go(b);
    fake_machine_run(d->m);
    io[2] = add_write(d, 20, 3);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(blk_status(d, &io[0]), NO_STATUS);
    ck_assert_uint_eq(b->n_seen, 2);
    fake_driver_set_dma(d, true);
    fake_machine_run(d->m);
    ck_assert(fake_driver_interrupted(d, 0));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(blk_take(d, &io[i], NULL), VIRTIO_BLK_S_OK);
    }
}
END_TEST

static void stop_dma(void *opaque)
{
    fake_driver_set_dma(opaque, false);
}

/* The request has ended, the driver is not told yet: in between another bottom half comes. */
START_TEST(an_answer_is_not_lost_when_bus_mastering_goes_before_it_is_told)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    LoopBh *bh = loop_bh_new(d->m->p.loop, stop_dma, d);
    BlkIo io;

    b->hold = true;
    io = add_write(d, 0, 1);
    fake_driver_kick(d, 0);
    fake_block_let_all_go(b);
    loop_bh_schedule(bh);
    fake_machine_run(d->m);
    fake_driver_set_dma(d, true);
    fake_machine_run(d->m);
    ck_assert(fake_driver_interrupted(d, 0));
    ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
    loop_bh_free(bh);
}
END_TEST

/* Bus mastering goes at any moment between the storage's answer and the interrupt. */
START_TEST(what_was_done_before_bus_mastering_went_is_told)
{
    for (unsigned steps = 0; steps < 4; steps++) {
        FakeBlock *b;
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
        BlkIo io;

        b->hold = true;
        io = add_write(d, 0, 1);
        fake_driver_kick(d, 0);
        ck_assert(fake_block_let_go(b, 0));
        for (unsigned i = 0; i < steps; i++) {
            loop_iterate(d->m->p.loop, false);
        }
        fake_driver_set_dma(d, false);
        fake_machine_run(d->m);
        fake_driver_set_dma(d, true);
        fake_machine_run(d->m);
        ck_assert_msg(fake_driver_interrupted(d, 0), "no interrupt after %u steps", steps);
        ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
    }
}
END_TEST

START_TEST(a_quiesced_device_submits_nothing_and_goes_on_afterwards)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io[2];

    b->hold = true;
    io[0] = add_write(d, 0, 1);
    fake_driver_kick(d, 0);
    block_node_quiesce(&b->parent_obj, true);
    ck_assert_uint_eq(b->held->len, 0); /* waited for, not cancelled */
    ck_assert_uint_eq(b->n_cancelled, 0);
    io[1] = add_write(d, 10, 2);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(blk_take(d, &io[0], NULL), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 1);
    b->hold = false;
    block_node_quiesce(&b->parent_obj, false);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &io[1], NULL), VIRTIO_BLK_S_OK);
}
END_TEST

/* Who copies the image of a stopped VM has it whole. */
START_TEST(a_stopped_vm_has_nothing_in_flight_and_goes_on_with_what_waited)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io[2];

    b->hold = true;
    io[0] = add_write(d, 0, 1);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(b->held->len, 1);
    platform_run_changed(&d->m->p, false);
    ck_assert_uint_eq(b->held->len, 0);
    ck_assert_uint_eq(b->n_cancelled, 0);
    io[1] = add_write(d, 10, 2); /* a kick that was on its way */
    fake_driver_kick(d, 0);
    fake_machine_run(d->m);
    ck_assert_uint_eq(b->n_seen, 1);
    b->hold = false;
    block_node_quiesce(&b->parent_obj, true); /* both ways at once */
    block_node_quiesce(&b->parent_obj, false);
    ck_assert_uint_eq(b->n_seen, 1);
    platform_run_changed(&d->m->p, false); /* once more is no more */
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &io[0], NULL), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_take(d, &io[1], NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(a_resize_under_load_loses_nothing)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    b->hold = true;
    for (unsigned i = 0; i < 10; i++) {
        add_write(d, 3 * i, (uint8_t)(i + 1));
    }
    fake_driver_kick(d, 0);
    ck_assert(block_node_resize(&b->parent_obj, 2 * DISK, NULL));
    fake_machine_run(d->m);
    blk_take_any(d, 0, 10);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_eq(b->data[3 * i * SECTOR], i + 1);
    }
}
END_TEST

START_TEST(each_queue_answers_for_itself)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "num-queues=4", &b);

    ck_assert(blk_offers(d, VIRTIO_BLK_F_MQ));
    for (unsigned q = 0; q < 4; q++) {
        uint8_t buf[SECTOR];
        BlkIo io;

        memset(buf, (int)q + 1, sizeof buf);
        io = blk_add(d, q, VIRTIO_BLK_T_OUT, q, buf, SECTOR, 0);
        fake_driver_kick(d, q);
        ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
        ck_assert(fake_driver_interrupted(d, q));
        ck_assert_uint_eq(b->data[q * SECTOR], q + 1);
    }
}
END_TEST

void add_blk_flight_tests(Suite *s)
{
    TCase *tc = tcase_create("in flight");

    tcase_add_loop_test(tc, requests_end_in_the_order_of_the_storage, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, one_interrupt_tells_of_all_that_ended_together, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_full_queue_is_served_and_used_again, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, neighbours_of_one_kick_are_one_request, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reads_and_writes_are_not_merged, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, merging_is_bounded_and_may_be_switched_off, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, of_merged_requests_only_the_bad_one_fails, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_at_every_step_leaves_nothing_behind, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_cancels_what_the_storage_has_not_done, 0, FAKE_CELLS);
    tcase_add_test(tc, a_machine_reset_cancels_too);
    tcase_add_loop_test(tc, a_device_that_leaves_lets_go_of_its_disk, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_queue_that_is_reset_alone_leaves_the_others_alone, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, a_queue_that_is_disabled_cancels, FAKE_PCI_CELLS, FAKE_CELLS);
    tcase_add_loop_test(tc, without_bus_mastering_answers_wait, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, an_answer_is_not_lost_when_bus_mastering_goes_before_it_is_told, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, without_bus_mastering_answers_wait, FAKE_PCI_LEGACY, FAKE_CELLS);
    tcase_add_loop_test(tc, what_was_done_before_bus_mastering_went_is_told, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, what_was_done_before_bus_mastering_went_is_told, FAKE_PCI_LEGACY,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, a_quiesced_device_submits_nothing_and_goes_on_afterwards, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, a_stopped_vm_has_nothing_in_flight_and_goes_on_with_what_waited, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, a_resize_under_load_loses_nothing, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, each_queue_answers_for_itself, 0, FAKE_CELLS);
    suite_add_tcase(s, tc);
}
