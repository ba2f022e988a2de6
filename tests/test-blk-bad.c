/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk and drivers that do not keep the rules: each bad request gets its status, broken
 * chains need a reset, and the device goes on.
 */
#include "tests/test-blk.h"

#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "core/le.h"

enum { OPS = 3000 };

static void still_works(FakeDriver *d)
{
    uint8_t buf[SECTOR] = "alive", in[SECTOR];

    ck_assert(!fake_driver_broken(d));
    ck_assert_uint_eq(blk_write(d, 7, buf, SECTOR), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_read(d, 7, in, SECTOR), VIRTIO_BLK_S_OK);
    ck_assert_str_eq((char *)in, "alive");
}

/* --- places --- */

START_TEST(what_is_not_on_the_disk_cannot_be_reached)
{
    static const struct {
        uint64_t sector;
        uint32_t len;
    } cases[] = {
        {DISK / SECTOR, SECTOR},
        {DISK / SECTOR - 1, 2 * SECTOR},
        {DISK / SECTOR + 1, 0},
        {UINT64_MAX, SECTOR},
        {UINT64_MAX, 0},
        {UINT64_MAX / SECTOR, SECTOR},
        {UINT64_MAX / SECTOR + 1, SECTOR},
        {UINT64_C(1) << 55, SECTOR},
        {0, 511},
        {0, 513},
        {0, 1},
    };
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    static uint8_t buf[2 * SECTOR];

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        ck_assert_uint_eq(blk_read(d, cases[i].sector, buf, cases[i].len), VIRTIO_BLK_S_IOERR);
        ck_assert_uint_eq(blk_write(d, cases[i].sector, buf, cases[i].len), VIRTIO_BLK_S_IOERR);
    }
    ck_assert_uint_eq(b->n_seen, 0);
    still_works(d);
}
END_TEST

START_TEST(requests_are_whole_logical_blocks)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "logical_block_size=4k", &b);
    static const BlkTestRange ranges[] = {{1, 8, 0}, {8, 7, 0}};
    uint8_t buf[4096] = {0};

    ck_assert_uint_eq(blk_write(d, 1, buf, 4096), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_write(d, 8, buf, 512), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_DISCARD, ranges, 1), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, ranges + 1, 1), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(b->n_seen, 0);
    ck_assert_uint_eq(blk_write(d, 8, buf, 4096), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(requests_without_data_do_nothing)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io;
    uint32_t len;

    io = blk_add(d, 0, VIRTIO_BLK_T_IN, 0, NULL, 0, 0);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(blk_take(d, &io, &len), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(len, 1);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_OUT, DISK / SECTOR, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 0);
    still_works(d);
}
END_TEST

START_TEST(a_short_buffer_for_the_serial_number_gets_its_beginning)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "serial=abcdefgh", NULL);
    BlkIo io = blk_add(d, 0, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 3);
    char got[4] = "";

    fake_driver_kick(d, 0);
    ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
    ck_assert(gmem_read(d->m->p.mem, io.data, got, 3));
    ck_assert_str_eq(got, "abc");
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 100), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(blk_25_26_write_to_ro_disk_fails)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"read-only\": true", NULL, &b);
    uint8_t buf[SECTOR];

    memset(b->data, 0x11, DISK);
    memset(buf, 0x22, sizeof buf);
    ck_assert(blk_offers(d, VIRTIO_BLK_F_RO));
    ck_assert_uint_eq(blk_write(d, 0, buf, SECTOR), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(b->n_seen, 0);
    ck_assert_uint_eq(b->data[0], 0x11);
    ck_assert_uint_eq(blk_read(d, 0, buf, SECTOR), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(buf[0], 0x11);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

/* --- types --- */

START_TEST(blk_42_zone_requests_and_unknown_types_are_not_supported)
{
    static const uint32_t types[] = {
        VIRTIO_BLK_T_SCSI_CMD,
        3,
        6,
        7,
        9,
        12,
        SECURE_ERASE, /* */
        15,
        16,
        18,
        20,
        22,
        24,
        26, /* zone append to reset all */
        VIRTIO_BLK_T_BARRIER,
        UINT32_MAX,
    };
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    static uint8_t buf[SECTOR];

    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        ck_assert_uint_eq(blk_do(d, types[i], 0, buf, SECTOR, 0), VIRTIO_BLK_S_UNSUPP);
        ck_assert_uint_eq(blk_do(d, types[i], 0, NULL, 0, SECTOR), VIRTIO_BLK_S_UNSUPP);
        ck_assert_uint_eq(blk_do(d, types[i], 0, NULL, 0, 0), VIRTIO_BLK_S_UNSUPP);
    }
    ck_assert_uint_eq(b->n_seen, 0);
    still_works(d);
}
END_TEST

/* --- ranges --- */

START_TEST(blk_27_28_unknown_flags_of_ranges_are_not_supported)
{
    static const struct {
        uint32_t type, flags;
    } cases[] = {
        {VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP},
        {VIRTIO_BLK_T_DISCARD, 2},
        {VIRTIO_BLK_T_DISCARD, 0x80000000},
        {VIRTIO_BLK_T_WRITE_ZEROES, 2},
        {VIRTIO_BLK_T_WRITE_ZEROES, 3},
        {SECURE_ERASE, 1},
        {SECURE_ERASE, 0x40000000},
    };
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"max-erase\": 1048576", NULL, &b);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        BlkTestRange ranges[] = {{0, 8, 0}, {16, 8, cases[i].flags}};

        ck_assert_uint_eq(blk_ranges(d, cases[i].type, ranges, 2), VIRTIO_BLK_S_UNSUPP);
    }
    ck_assert_uint_eq(b->n_seen, 0); /* no range of a bad request is touched */
    still_works(d);
}
END_TEST

START_TEST(ranges_off_the_disk_or_too_long_fail)
{
    static const BlkTestRange bad[] = {
        {DISK / SECTOR, 1, 0}, {0, DISK / SECTOR + 1, 0}, {UINT64_MAX, 1, 0}, {1, UINT32_MAX, 0},
        {0, 101, 0},
    };
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"max-erase\": 1048576",
                                        "max-discard-sectors=100,max-write-zeroes-sectors=100", &b);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        BlkTestRange ranges[] = {{0, 8, 0}, bad[i]};

        ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_DISCARD, ranges, 2), VIRTIO_BLK_S_IOERR);
        ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, ranges, 2), VIRTIO_BLK_S_IOERR);
        if (bad[i].sectors != 101) {
            ck_assert_uint_eq(blk_ranges(d, SECURE_ERASE, ranges, 2), VIRTIO_BLK_S_IOERR);
        }
    }
    ck_assert_uint_eq(b->n_seen, 0);
    still_works(d);
}
END_TEST

START_TEST(ranges_of_a_bad_shape_fail)
{
    static const uint32_t lengths[] = {1, 15, 17, 31, 16 * 128 + 1};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    static uint8_t wire[16 * 130];

    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_DISCARD, 0, wire, lengths[i], 0),
                          VIRTIO_BLK_S_IOERR);
    }
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_DISCARD, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_WRITE_ZEROES, 0, NULL, 0, 64), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_DISCARD, 0, wire, 16 * 128, 0), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_DISCARD, 0, wire, 16 * 129, 0), VIRTIO_BLK_S_UNSUPP);
    ck_assert_uint_eq(b->n_seen, 0);
    still_works(d);
}
END_TEST

START_TEST(a_segment_longer_than_size_max_fails)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "size-max=4096", NULL);
    g_autoptr(FakeDriver) free_one = blk_probe((unsigned)_i, NULL, "size-max=4096", NULL);
    static uint8_t buf[8192];

    ck_assert_uint_eq(blk_write(d, 0, buf, 4096), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_write(d, 0, buf, 4096 + SECTOR), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_read(d, 0, buf, 4096), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(blk_read(d, 0, buf, 8192), VIRTIO_BLK_S_IOERR);
    still_works(d);
    blk_up_without(free_one, FEATURE(VIRTIO_BLK_F_SIZE_MAX)); /* it does not know of the limit */
    ck_assert_uint_eq(blk_write(free_one, 0, buf, 8192), VIRTIO_BLK_S_OK);
}
END_TEST

/* --- chains --- */

START_TEST(a_request_without_header_or_status_breaks_the_device)
{
    const void *header = blk_header(VIRTIO_BLK_T_IN, 0);
    const FakeBuf cases[][4] = {
        {OUT(header, 16), END}, {OUT(header, 15), IN(1), END},
        {IN(513), END},         {OUT(header, 16), IN_AT(0x200000, 0), END},
        {OUT(header, 15), END},
    };
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        fake_driver_add_bufs(d, 0, cases[i], NULL);
        blk_add(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0); /* behind it: not served */
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_broken(d));
        ck_assert(fake_driver_config_interrupted(d));
        ck_assert(!fake_driver_get(d, 0, NULL, NULL));
        fake_driver_reset(d);
        blk_recycle(d);
        fake_driver_up(d);
        still_works(d);
        fake_block_forget(b);
    }
}
END_TEST

START_TEST(broken_chains_need_a_reset_and_then_it_works_again)
{
    static const uint16_t flags[] = {VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
                                     VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, VRING_DESC_F_NEXT};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) { /* looped, no RAM, wrong order, looped */
        FakeRing *r = &d->rings[0];

        b->hold = true; /* with a good one in flight */
        blk_add(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
        fake_driver_kick(d, 0);
        fake_ring_set_desc(r, 100, i == 1 ? FAKE_RAM_LOW - 8 : 0x200000, 16, flags[i],
                           i == 2 ? 101 : 100);
        fake_ring_set_desc(r, 101, 0x200000, 16, 0, 0);
        fake_ring_put_avail(r, 100);
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_broken(d));
        fake_block_let_all_go(b);
        fake_machine_run(d->m);
        ck_assert(!fake_driver_get(d, 0, NULL, NULL));
        fake_driver_reset(d);
        blk_recycle(d);
        fake_driver_up(d);
        still_works(d);
    }
}
END_TEST

/* --- anything goes --- */

static void random_request(FakeDriver *d, GRand *r)
{
    static const uint32_t types[] = {0, 1, 1, 0, 4, 5, 8, 10, 11, 13, 14, 24, 0xffffffff};
    static uint8_t data[8192];
    FakeBuf bufs[6];
    uint64_t sector = (uint64_t)g_rand_int_range(r, 0, 2100);
    unsigned n = 0;

    if (d->rings[0].n_free < 8 || g_rand_int_range(r, 0, 50) == 0) {
        return;
    }
    bufs[n++] = OUT(blk_header(types[g_rand_int_range(r, 0, G_N_ELEMENTS(types))], sector), 16);
    if (g_rand_boolean(r)) {
        le_store(data, sector, 8);
        le_store(data + 8, (uint64_t)g_rand_int_range(r, 0, 64), 8);
        bufs[n++] = OUT(data, g_rand_boolean(r) ? 512 * (uint32_t)g_rand_int_range(r, 0, 16)
                                                : 16 * (uint32_t)g_rand_int_range(r, 0, 4));
    }
    if (g_rand_boolean(r)) {
        bufs[n++] = IN(512 * (uint32_t)g_rand_int_range(r, 0, 16));
    }
    bufs[n++] = IN(1);
    bufs[n] = END;
    fake_driver_add_bufs(d, 0, bufs, NULL);
}

static void fresh_start(FakeDriver *d)
{
    fake_driver_set_dma(d, true);
    fake_driver_reset(d);
    blk_recycle(d);
    fake_driver_up(d);
}

static void random_op(FakeDriver *d, FakeBlock *b, GRand *r)
{
    FakeRing *ring = &d->rings[0];
    uint16_t i = (uint16_t)g_rand_int_range(r, 0, ring->num);

    switch (g_rand_int_range(r, 0, 100)) {
    case 0:
        fresh_start(d);
        break;
    case 1:
        fake_driver_set_dma(d, g_rand_boolean(r));
        break;
    case 2:
        b->hold = g_rand_boolean(r);
        break;
    case 3:
        fake_block_fail(b, BLOCK_OPS, -5, (unsigned)g_rand_int_range(r, 0, 4));
        break;
    case 4:
        fake_ring_set_desc(ring, i, g_rand_int(r), g_rand_int(r), (uint16_t)g_rand_int(r), i);
        fake_ring_put_avail(ring, i);
        break;
    case 5 ... 50:
        random_request(d, r);
        break;
    case 51 ... 70:
        fake_block_let_go(b, (unsigned)g_rand_int_range(r, 0, 8));
        fake_machine_run(d->m);
        break;
    case 71 ... 80:
        while (!ring->packed && fake_driver_get(d, 0, NULL, NULL)) {
        }
        break;
    default:
        fake_driver_kick(d, 0);
        break;
    }
    if (d->next_page > 0xe00000 || fake_driver_broken(d)) {
        fresh_start(d);
    }
}

START_TEST(random_operations_do_no_harm)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d =
        blk_start((unsigned)_i, "\"max-transfer\": 2048", "rerror=ignore", &b);
    GRand *r = g_rand_new_with_seed(77 + (guint32)_i);

    for (unsigned i = 0; i < OPS; i++) {
        random_op(d, b, r);
    }
    g_rand_free(r);
    fake_block_fail(b, BLOCK_OPS, 0, 0);
    fake_block_let_all_go(b);
    fresh_start(d);
    still_works(d);
}
END_TEST

void add_blk_bad_tests(Suite *s)
{
    TCase *tc = tcase_create("bad input");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, what_is_not_on_the_disk_cannot_be_reached, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, requests_are_whole_logical_blocks, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, requests_without_data_do_nothing, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_short_buffer_for_the_serial_number_gets_its_beginning, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_25_26_write_to_ro_disk_fails, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_42_zone_requests_and_unknown_types_are_not_supported, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, blk_27_28_unknown_flags_of_ranges_are_not_supported, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ranges_off_the_disk_or_too_long_fail, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_segment_longer_than_size_max_fails, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ranges_of_a_bad_shape_fail, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_request_without_header_or_status_breaks_the_device, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, broken_chains_need_a_reset_and_then_it_works_again, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, random_operations_do_no_harm, 0, FAKE_CELLS);
    suite_add_tcase(s, tc);
}
