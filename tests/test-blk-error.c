/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk on storage that fails: what rerror and werror make of it, what the user hears, and
 * requests that are tried again when the VM goes on.
 */
#include "tests/test-blk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ERASE "\"max-erase\": 1048576"

static unsigned stops; /* requests for a stop */

static void note_stop(Platform *p, StopCause cause)
{
    stops++;
}

/* The machine of d notes requests to stop. */
static void listen_to_stops(FakeDriver *d)
{
    static PlatformOps ops;

    ops = *d->m->p.ops;
    ops.stop_request = note_stop;
    d->m->p.ops = &ops;
    stops = 0;
}

static const char *last_event(FakeDriver *d)
{
    return d->m->events->len ? d->m->events->pdata[d->m->events->len - 1] : "";
}

static void expect_event(FakeDriver *d, const char *operation, const char *action, bool nospace)
{
    /* "nospace" is there where query-block has io-status */
    const char *space = !strcmp(action, "ignore") ? ""
                        : nospace                 ? "\"nospace\": true, "
                                                  : "\"nospace\": false, ";
    g_autofree char *want = g_strdup_printf(
        "BLOCK_IO_ERROR {\"action\": \"%s\", \"device\": \"\", \"node-name\": \"disk0\", "
        "%s\"operation\": \"%s\", \"reason\": \"%s\"}",
        action, space, operation, nospace ? "No space left on device" : "Input/output error");

    ck_assert_str_eq(last_event(d), want);
    g_ptr_array_set_size(d->m->events, 0);
}

static uint8_t do_op(FakeDriver *d, BlockOp op)
{
    static const BlkTestRange range = {0, 1, 0};
    static uint8_t buf[SECTOR];

    switch (op) {
    case BLOCK_READ:
        return blk_read(d, 0, buf, SECTOR);
    case BLOCK_WRITE:
        return blk_write(d, 0, buf, SECTOR);
    case BLOCK_FLUSH:
        return blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
    case BLOCK_SECURE_ERASE:
        return blk_ranges(d, SECURE_ERASE, &range, 1);
    case BLOCK_DISCARD:
        return blk_ranges(d, VIRTIO_BLK_T_DISCARD, &range, 1);
    default:
        return blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1);
    }
}

START_TEST(errors_are_reported_to_guest_and_user)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, ERASE, NULL, &b);

    for (BlockOp op = 0; op < BLOCK_OPS; op++) {
        fake_block_fail(b, op, -EIO, 1);
        ck_assert_uint_eq(do_op(d, op), VIRTIO_BLK_S_IOERR);
        expect_event(d, op == BLOCK_READ ? "read" : "write", "report", false);
        ck_assert_uint_eq(do_op(d, op), VIRTIO_BLK_S_OK);
    }
    ck_assert_uint_eq(d->m->events->len, 0);
}
END_TEST

START_TEST(errors_may_be_ignored)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, ERASE, "rerror=ignore,werror=ignore", &b);

    for (BlockOp op = 0; op < BLOCK_OPS; op++) {
        fake_block_fail(b, op, -EIO, 1);
        ck_assert_uint_eq(do_op(d, op), VIRTIO_BLK_S_OK);
        expect_event(d, op == BLOCK_READ ? "read" : "write", "ignore", false);
    }
}
END_TEST

START_TEST(what_the_host_cannot_do_is_not_supported)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, ERASE, NULL, &b);

    fake_block_fail(b, BLOCK_SECURE_ERASE, -ENOTSUP, 1);
    ck_assert_uint_eq(do_op(d, BLOCK_SECURE_ERASE), VIRTIO_BLK_S_UNSUPP);
    fake_block_fail(b, BLOCK_DISCARD, -ENOTSUP, 1);
    ck_assert_uint_eq(do_op(d, BLOCK_DISCARD), VIRTIO_BLK_S_UNSUPP);
    fake_block_fail(b, BLOCK_WRITE_ZEROES, -ENOTSUP, 1);
    ck_assert_uint_eq(do_op(d, BLOCK_WRITE_ZEROES), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(d->m->events->len, 0);
}
END_TEST

START_TEST(full_storage_stops_the_vm_and_cont_tries_again)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t buf[SECTOR] = "kept";
    BlkIo io = blk_add(d, 0, VIRTIO_BLK_T_OUT, 5, buf, SECTOR, 0);

    listen_to_stops(d);
    fake_block_fail(b, BLOCK_WRITE, -ENOSPC, 2);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(stops, 1);
    expect_event(d, "write", "stop", true);
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    ck_assert_int_eq(block_io_status(b->parent_obj.users->pdata[0]), BLOCK_IO_STATUS_NOSPACE);
    platform_run_changed(&d->m->p, false);
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    ck_assert_uint_eq(stops, 2); /* still full */
    expect_event(d, "write", "stop", true);
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
    ck_assert_str_eq((char *)b->data + 5 * SECTOR, "kept");
    ck_assert_uint_eq(d->m->events->len, 0);
    ck_assert_int_eq(block_io_status(b->parent_obj.users->pdata[0]), BLOCK_IO_STATUS_OK);
}
END_TEST

/* As QEMU takes it: a read that fails for want of space is a rare thing. */
START_TEST(rerror_may_be_enospc)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "rerror=enospc", &b);
    BlkIo io;

    listen_to_stops(d);
    fake_block_fail(b, BLOCK_READ, -EIO, 1);
    ck_assert_uint_eq(do_op(d, BLOCK_READ), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(stops, 0);
    fake_block_fail(b, BLOCK_READ, -ENOSPC, 1);
    io = blk_add(d, 0, VIRTIO_BLK_T_IN, 0, NULL, 0, SECTOR);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(stops, 1);
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(stop_keeps_every_kind_of_request)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d =
        blk_start((unsigned)_i, "\"max-transfer\": 1024", "rerror=stop,werror=stop", &b);
    static const uint32_t types[] = {VIRTIO_BLK_T_IN, VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_FLUSH};
    uint8_t big[4096], wire[32] = {0};
    BlkIo io[5];

    listen_to_stops(d);
    memset(big, 0x5a, sizeof big);
    wire[8] = wire[24] = 1;
    wire[16] = 100;
    fake_block_fail(b, BLOCK_OPS, -EIO, 4);
    for (unsigned i = 0; i < 3; i++) { /* large ones: the error comes at the first step */
        bool out = types[i] == VIRTIO_BLK_T_OUT, in = types[i] == VIRTIO_BLK_T_IN;

        io[i] = blk_add(d, 0, types[i], 10, big, out ? sizeof big : 0, in ? sizeof big : 0);
    }
    io[3] = blk_add(d, 0, VIRTIO_BLK_T_DISCARD, 0, wire, 32, 0);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(stops, 4);
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    blk_take_any(d, 0, 4);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(blk_status(d, &io[i]), VIRTIO_BLK_S_OK);
    }
    ck_assert_mem_eq(b->data + 10 * SECTOR, big, sizeof big);
    ck_assert_uint_eq(b->data[100 * SECTOR], 0xdd);
}
END_TEST

START_TEST(a_resize_while_stopped_does_not_try_again)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t buf[SECTOR] = "kept";
    BlkIo io = blk_add(d, 0, VIRTIO_BLK_T_OUT, 5, buf, SECTOR, 0);

    listen_to_stops(d);
    fake_block_fail(b, BLOCK_WRITE, -ENOSPC, 1);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(stops, 1);
    ck_assert(block_node_resize(&b->parent_obj, 2 * DISK, NULL));
    fake_machine_run(d->m);
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    block_node_quiesce(&b->parent_obj, true); /* cont while quiesced: tried when that ends */
    platform_run_changed(&d->m->p, true);
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    block_node_quiesce(&b->parent_obj, false);
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(reset_forgets_what_is_stopped)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "werror=stop", &b);
    uint8_t buf[SECTOR] = {1};

    listen_to_stops(d);
    fake_block_fail(b, BLOCK_WRITE, -EIO, 1);
    blk_add(d, 0, VIRTIO_BLK_T_OUT, 5, buf, SECTOR, 0);
    fake_driver_kick(d, 0);
    fake_driver_reset(d);
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    ck_assert_uint_eq(b->n_seen, 1);
    fake_driver_up(d);
    ck_assert_uint_eq(blk_write(d, 5, buf, SECTOR), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(an_error_in_the_middle_ends_a_large_request)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"max-transfer\": 1024", NULL, &b);
    static const BlkTestRange ranges[] = {{0, 1, 0}, {10, 1, 0}, {20, 1, 0}};
    uint8_t big[4096] = {1};

    fake_block_fail(b, BLOCK_WRITE, -EIO, 1);
    b->fail_at = 2048;
    ck_assert_uint_eq(blk_write(d, 0, big, sizeof big), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(b->n_seen, 3);
    fake_block_forget(b);
    fake_block_fail(b, BLOCK_DISCARD, -EIO, 1);
    b->fail_at = 10 * SECTOR;
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_DISCARD, ranges, 3), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(b->n_seen, 2);
}
END_TEST

START_TEST(a_flush_that_makes_zeroes_stable_may_fail)
{
    static const BlkTestRange range = {0, 1, 0};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    d->t->config_write(d, CFG_WRITEBACK, 0, 1);
    fake_block_fail(b, BLOCK_FLUSH, -EIO, 1);
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(b->n_seen, 2);
}
END_TEST

START_TEST(what_was_refused_is_counted)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t buf[SECTOR] = {0};
    BlockStats stats;

    ck_assert_uint_eq(blk_read(d, DISK, buf, SECTOR), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_write(d, DISK, buf, SECTOR), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_write(d, 0, buf, SECTOR), VIRTIO_BLK_S_OK);
    block_stats(b->parent_obj.users->pdata[0], &stats);
    ck_assert_uint_eq(stats.invalid[BLOCK_READ], 1);
    ck_assert_uint_eq(stats.invalid[BLOCK_WRITE], 1);
    ck_assert_uint_eq(stats.ops[BLOCK_WRITE], 1);
}
END_TEST

START_TEST(the_policy_of_drive_is_taken_where_the_device_has_none)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d =
        blk_start(0, "\"x-werror\": \"ignore\", \"x-rerror\": \"ignore\"", "rerror=report", &b);

    fake_block_fail(b, BLOCK_OPS, -EIO, 2);
    ck_assert_uint_eq(do_op(d, BLOCK_WRITE), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(do_op(d, BLOCK_READ), VIRTIO_BLK_S_IOERR);
}
END_TEST

void add_blk_error_tests(Suite *s)
{
    TCase *tc = tcase_create("errors");

    tcase_add_loop_test(tc, errors_are_reported_to_guest_and_user, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, errors_may_be_ignored, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, what_the_host_cannot_do_is_not_supported, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, full_storage_stops_the_vm_and_cont_tries_again, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, rerror_may_be_enospc, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, stop_keeps_every_kind_of_request, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_resize_while_stopped_does_not_try_again, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_forgets_what_is_stopped, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, an_error_in_the_middle_ends_a_large_request, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_flush_that_makes_zeroes_stable_may_fail, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, what_was_refused_is_counted, 0, FAKE_CELLS);
    tcase_add_test(tc, the_policy_of_drive_is_taken_where_the_device_has_none);
    suite_add_tcase(s, tc);
}
