/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk (VIRTIO 1.4 §5.2) played by a driver without guest, over all transports: requests of
 * every type and layout, and the cache mode. Configuration is in test-blk-config.c, bad input in
 * test-blk-bad.c, requests in flight in test-blk-flight.c, errors of the storage in
 * test-blk-error.c.
 */
#include "tests/test-blk.h"

#include <stdlib.h>
#include <string.h>

#include "core/le.h"
#include "tests/suite.h"

static void fill(uint8_t *buf, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; i++) {
        buf[i] = (uint8_t)(seed + i * 7 + i / 251);
    }
}

/* --- reads and writes --- */

START_TEST(what_is_written_is_read_back)
{
    static const uint32_t sizes[] = {512, 4096, 512 * 3, 20480};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t out[20480], in[20480];
    uint64_t sector = 3;

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        fill(out, sizes[i], i);
        ck_assert_uint_eq(blk_write(d, sector, out, sizes[i]), VIRTIO_BLK_S_OK);
        ck_assert(fake_driver_interrupted(d, 0));
        ck_assert_mem_eq(b->data + sector * SECTOR, out, sizes[i]);
        ck_assert_uint_eq(blk_read(d, sector, in, sizes[i]), VIRTIO_BLK_S_OK);
        ck_assert_mem_eq(in, out, sizes[i]);
        sector += 100;
    }
}
END_TEST

START_TEST(the_last_sector_is_within_reach)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t buf[SECTOR] = "end";

    ck_assert_uint_eq(blk_write(d, DISK / SECTOR - 1, buf, SECTOR), VIRTIO_BLK_S_OK);
    ck_assert_str_eq((char *)b->data + DISK - SECTOR, "end");
}
END_TEST

/* Each layout: lengths of pieces, out and in; what is read or written is 1024 bytes. */
typedef struct {
    uint32_t type;
    uint32_t out[7], in[7];
} Layout;

static const Layout layouts[] = {
    {VIRTIO_BLK_T_IN, {16}, {1024, 1}},
    {VIRTIO_BLK_T_IN, {8, 8}, {1024, 1}},
    {VIRTIO_BLK_T_IN, {1, 2, 13}, {1025}},
    {VIRTIO_BLK_T_IN, {4, 12}, {1000, 25}},
    {VIRTIO_BLK_T_IN, {16}, {1, 1, 1000, 22, 1}},
    {VIRTIO_BLK_T_IN, {16}, {3, 1021, 1}},
    {VIRTIO_BLK_T_OUT, {16, 1024}, {1}},
    {VIRTIO_BLK_T_OUT, {1040}, {1}},
    {VIRTIO_BLK_T_OUT, {10, 1030}, {1}},
    {VIRTIO_BLK_T_OUT, {16, 1, 1022, 1}, {1}},
    {VIRTIO_BLK_T_OUT, {15, 2, 500, 523}, {1}},
    {VIRTIO_BLK_T_OUT, {16, 1024}, {7}}, /* the status is the last byte of more */
};

static unsigned make_pieces(const Layout *l, const uint8_t *bytes, FakeBuf *bufs)
{
    unsigned n = 0;
    size_t at = 0;

    for (unsigned i = 0; l->out[i]; i++) {
        bufs[n++] = OUT(bytes + at, l->out[i]);
        at += l->out[i];
    }
    for (unsigned i = 0; l->in[i]; i++) {
        bufs[n++] = IN(l->in[i]);
    }
    bufs[n] = END;
    return n;
}

/* All in bytes, one after another. */
static size_t gather_in(FakeDriver *d, const FakeBuf *bufs, const Gpa *places, unsigned n,
                        uint8_t *dst)
{
    size_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        if (bufs[i].writable) {
            ck_assert(gmem_read(d->m->p.mem, places[i], dst + len, bufs[i].len));
            len += bufs[i].len;
        }
    }
    return len;
}

START_TEST(requests_may_have_any_layout)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t bytes[16 + 1024], in[2048] = {0};

    for (unsigned i = 0; i < G_N_ELEMENTS(layouts); i++) {
        const Layout *l = &layouts[i];
        FakeBuf bufs[16];
        Gpa places[16];
        unsigned n;
        size_t in_len;

        memcpy(bytes, blk_header(l->type, 5), 16);
        fill(bytes + 16, 1024, i);
        fill(b->data + 5 * SECTOR, 1024, 100 + i);
        n = make_pieces(l, bytes, bufs);
        fake_driver_add_bufs(d, 0, bufs, places);
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_get(d, 0, NULL, NULL));
        in_len = gather_in(d, bufs, places, n, in);
        ck_assert_uint_eq(in[in_len - 1], VIRTIO_BLK_S_OK);
        ck_assert_mem_eq(b->data + 5 * SECTOR, l->type == VIRTIO_BLK_T_IN ? in : bytes + 16, 1024);
    }
}
END_TEST

START_TEST(a_request_too_large_for_the_node_is_done_in_steps)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d =
        blk_start((unsigned)_i, "\"max-transfer\": 3000, \"alignment\": 512", NULL, &b);
    uint8_t out[10240], in[10240];

    fill(out, sizeof out, 5);
    ck_assert_uint_eq(blk_write(d, 8, out, sizeof out), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 4);
    ck_assert_uint_eq(b->seen[0].bytes, 2560);
    ck_assert_mem_eq(b->data + 8 * SECTOR, out, sizeof out);
    ck_assert_uint_eq(blk_read(d, 8, in, sizeof in), VIRTIO_BLK_S_OK);
    ck_assert_mem_eq(in, out, sizeof in);
}
END_TEST

START_TEST(steps_end_at_blocks_wherever_pieces_end)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"max-transfer\": 2048", NULL, &b);
    uint8_t out[4096];
    FakeBuf bufs[] = {OUT(NULL, 16),
                      OUT(out, 700),
                      OUT(out + 700, 1500),
                      OUT(out + 2200, 1),
                      OUT(out + 2201, 1895),
                      IN(1),
                      END};
    Gpa places[6];

    fill(out, sizeof out, 9);
    bufs[0].data = blk_header(VIRTIO_BLK_T_OUT, 1);
    fake_driver_add_bufs(d, 0, bufs, places);
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, NULL));
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, places[5], 1), VIRTIO_BLK_S_OK);
    ck_assert_mem_eq(b->data + SECTOR, out, sizeof out);
}
END_TEST

/* --- the other types --- */

START_TEST(get_id_gives_the_serial_number)
{
    static const char *const serials[] = {"serial=abc", "serial=12345678901234567890", NULL};
    static const char *const expected[] = {"abc", "12345678901234567890", ""};

    for (unsigned i = 0; i < G_N_ELEMENTS(serials); i++) {
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, serials[i], NULL);
        BlkIo io = blk_add(d, 0, VIRTIO_BLK_T_GET_ID, 0, NULL, 0, 20);
        char want[20] = {0}, got[20];
        uint32_t len;

        memcpy(want, expected[i], strlen(expected[i]));
        fake_driver_kick(d, 0);
        ck_assert_uint_eq(blk_take(d, &io, &len), VIRTIO_BLK_S_OK);
        ck_assert_uint_eq(len, 21);
        ck_assert(gmem_read(d->m->p.mem, io.data, got, sizeof got));
        ck_assert_mem_eq(got, want, sizeof got);
    }
}
END_TEST

START_TEST(blk_29_discard_reaches_the_storage)
{
    static const BlkTestRange ranges[] = {{8, 8, 0}, {100, 1, 0}, {0, 0, 0}, {2000, 48, 0}};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_DISCARD, ranges, 4), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 3);
    for (unsigned i = 0; i < 3; i++) {
        const BlkTestRange *r = &ranges[i == 2 ? 3 : i];

        ck_assert_int_eq(b->seen[i].op, BLOCK_DISCARD);
        ck_assert_uint_eq(b->seen[i].offset, r->sector * SECTOR);
        ck_assert_uint_eq(b->seen[i].bytes, r->sectors * SECTOR);
    }
}
END_TEST

START_TEST(blk_30_31_write_zeroes_makes_zeroes_with_and_without_unmap)
{
    static const BlkTestRange ranges[] = {{1, 2, 0}, {10, 3, VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP}};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t in[4 * SECTOR], zeroes[3 * SECTOR] = {0};

    memset(b->data, 0x55, 20 * SECTOR);
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, ranges, 2), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 2);
    ck_assert(!(b->seen[0].flags & BLOCK_MAY_UNMAP));
    ck_assert(b->seen[1].flags & BLOCK_MAY_UNMAP);
    ck_assert_uint_eq(blk_read(d, 0, in, sizeof in), VIRTIO_BLK_S_OK);
    ck_assert_mem_eq(in + SECTOR, zeroes, 2 * SECTOR);
    ck_assert_uint_eq(in[SECTOR - 1], 0x55);
    ck_assert_uint_eq(in[3 * SECTOR], 0x55);
    ck_assert_uint_eq(blk_read(d, 10, in, sizeof in), VIRTIO_BLK_S_OK);
    ck_assert_mem_eq(in, zeroes, 3 * SECTOR);
    ck_assert_uint_eq(in[3 * SECTOR], 0x55);
}
END_TEST

START_TEST(secure_erase_reaches_the_storage)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"max-erase\": 2048", NULL, &b);
    static const BlkTestRange ranges[] = {{8, 2, 0}, {100, 10, 0}};

    ck_assert_uint_eq(blk_ranges(d, SECURE_ERASE, ranges, 2), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 4); /* cut to what the storage takes at once */
    ck_assert_uint_eq(b->data[8 * SECTOR - 1], 0);
    ck_assert_uint_eq(b->data[8 * SECTOR], 0xee);
    ck_assert_uint_eq(b->data[10 * SECTOR], 0);
    ck_assert_uint_eq(b->data[110 * SECTOR - 1], 0xee);
    fake_block_forget(b);
    d->t->config_write(d, CFG_WRITEBACK, 0, 1);
    ck_assert_uint_eq(blk_ranges(d, SECURE_ERASE, ranges, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 2); /* write-through: a flush behind it */
    ck_assert_int_eq(b->seen[1].op, BLOCK_FLUSH);
}
END_TEST

START_TEST(ranges_are_cut_to_what_the_node_takes)
{
    static const BlkTestRange range = {0, 100, 0};
    FakeBlock *b;
    g_autoptr(FakeDriver) d =
        blk_start((unsigned)_i, "\"max-discard\": 20000, \"max-zeroes\": 16384", NULL, &b);

    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_DISCARD, &range, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 3);
    ck_assert_uint_eq(b->seen[0].bytes, 19968);
    fake_block_forget(b);
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 4);
}
END_TEST

/* --- cache mode --- */

static bool is_stable(const FakeBlock *b, uint64_t sector, uint32_t len)
{
    return !memcmp(b->stable + sector * SECTOR, b->data + sector * SECTOR, len);
}

START_TEST(blk_37_a_flush_makes_earlier_writes_stable)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t out[4096];

    fill(out, sizeof out, 1);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
    ck_assert_uint_eq(blk_write(d, 0, out, sizeof out), VIRTIO_BLK_S_OK);
    ck_assert(!is_stable(b, 0, sizeof out));
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert(is_stable(b, 0, sizeof out));
}
END_TEST

START_TEST(a_flush_is_not_done_before_the_storage_is)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    BlkIo io;

    b->hold = true;
    io = blk_add(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
    fake_driver_kick(d, 0);
    ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    ck_assert_uint_eq(blk_status(d, &io), NO_STATUS);
    ck_assert(fake_block_let_go(b, 0));
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_take(d, &io, NULL), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(blk_68_type_5_is_a_flush)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    ck_assert_uint_eq(blk_do(d, FLUSH_OUT, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->n_seen, 1);
    ck_assert_int_eq(b->seen[0].op, BLOCK_FLUSH);
}
END_TEST

START_TEST(blk_35_without_flush_and_config_wce_writes_are_stable)
{
    static const BlkTestRange zeroes = {100, 8, 0};
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, NULL, &b);
    uint8_t out[4096];

    fill(out, sizeof out, 2);
    blk_up_without(d, FEATURE(VIRTIO_BLK_F_FLUSH) | FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
    ck_assert_uint_eq(blk_write(d, 0, out, sizeof out), VIRTIO_BLK_S_OK);
    ck_assert(is_stable(b, 0, sizeof out));
    memset(b->data + 100 * SECTOR, 0x55, 4096);
    memset(b->stable + 100 * SECTOR, 0x55, 4096);
    ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, &zeroes, 1), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(b->stable[100 * SECTOR], 0);
}
END_TEST

START_TEST(blk_36_while_writeback_is_0_writes_are_stable)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint8_t out[4096];

    fill(out, sizeof out, 3);
    d->t->config_write(d, CFG_WRITEBACK, 0, 1);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
    ck_assert_uint_eq(blk_write(d, 0, out, sizeof out), VIRTIO_BLK_S_OK);
    ck_assert(is_stable(b, 0, sizeof out));
    d->t->config_write(d, CFG_WRITEBACK, 1, 1);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
    ck_assert_uint_eq(blk_write(d, 16, out, sizeof out), VIRTIO_BLK_S_OK);
    ck_assert(!is_stable(b, 16, sizeof out));
}
END_TEST

START_TEST(blk_04_without_flush_writeback_starts_at_0)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, NULL, &b);
    uint8_t out[512] = "x";

    blk_up_without(d, FEATURE(VIRTIO_BLK_F_FLUSH));
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
    ck_assert_uint_eq(blk_write(d, 0, out, sizeof out), VIRTIO_BLK_S_OK);
    ck_assert(is_stable(b, 0, sizeof out));
}
END_TEST

START_TEST(without_config_wce_the_driver_cannot_change_the_mode)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "config-wce=off", NULL);

    ck_assert(!blk_offers(d, VIRTIO_BLK_F_CONFIG_WCE));
    d->t->config_write(d, CFG_WRITEBACK, 0, 1);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
    fake_driver_reset(d);
    blk_up_without(d, FEATURE(VIRTIO_BLK_F_FLUSH));
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
}
END_TEST

START_TEST(reset_brings_the_storages_own_mode_back)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, NULL);

    d->t->config_write(d, CFG_WRITEBACK, 0, 1);
    fake_driver_reset(d);
    fake_driver_up(d);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
}
END_TEST

/* cache=writethrough is how the device begins; who asks for a cache has one, and its flushes. */
START_TEST(what_was_acknowledged_as_stable_is_kept_whatever_the_cache_mode)
{
    static const char *const props[] = {NULL, "write-cache=on", "write-cache=off"};
    enum { STEPS = 200, SPACE = 16 * SECTOR };
    static uint8_t now[SPACE], kept[SPACE];
    unsigned mode = _i % 3, first = mode == 1, wrong = 0;
    FakeBlock *b;
    g_autoptr(FakeDriver) d =
        blk_start((unsigned)_i / 3, "\"cache.writeback\": false", props[mode], &b);
    g_autoptr(GRand) rand = g_rand_new_with_seed((uint32_t)_i);
    unsigned writeback = first;

    memset(now, 0, sizeof now);
    memset(kept, 0, sizeof kept);
    for (unsigned i = 0; i < STEPS; i++) {
        int what = g_rand_int_range(rand, 0, 8);

        if (what == 0) {
            writeback = !writeback;
            d->t->config_write(d, CFG_WRITEBACK, writeback, 1);
        } else if (what == 1) {
            fake_driver_reset(d);
            blk_recycle(d);
            fake_driver_up(d);
            writeback = first;
        } else if (what == 2) {
            wrong += blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0) != VIRTIO_BLK_S_OK;
            memcpy(kept, now, sizeof now);
        } else {
            unsigned sector = (unsigned)g_rand_int_range(rand, 0, SPACE / SECTOR);
            uint8_t *at = now + sector * SECTOR;

            memset(at, (int)i + 1, SECTOR);
            wrong += blk_write(d, sector, at, SECTOR) != VIRTIO_BLK_S_OK;
            if (!writeback) {
                memcpy(kept + sector * SECTOR, at, SECTOR);
            }
        }
        wrong += blk_config(d, CFG_WRITEBACK, 1) != writeback;
        wrong += memcmp(b->stable, kept, sizeof kept) != 0; /* no less, and nothing is forced */
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(storage_without_cache_starts_with_writeback_0)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, "\"write-cache\": false", NULL, NULL);

    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
}
END_TEST

/* Legacy cells only: §5.2.5.3. */
START_TEST(blk_21_22_legacy_status_and_features_leave_the_mode_alone)
{
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, NULL, NULL);
    uint64_t all = d->t->device_features(d);

    d->t->config_write(d, CFG_WRITEBACK, 0, 1);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
    d->t->set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE);
    d->t->set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
    d->t->set_driver_features(d, all & ~FEATURE(VIRTIO_BLK_F_FLUSH));
    d->t->set_driver_features(d, all);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
    d->t->config_write(d, CFG_WRITEBACK, 1, 1);
    d->t->set_driver_features(d, FEATURE(VIRTIO_BLK_F_CONFIG_WCE));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
    fake_driver_reset(d); /* without CONFIG_WCE DRIVER_OK tells */
    d->t->set_driver_features(d, 0);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 0);
}
END_TEST

START_TEST(blk_67_legacy_headers_are_in_guest_byte_order)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    static const uint8_t header[16] = {1, 0, 0, 0, 0, 0, 0, 0, 2, 1}; /* OUT, sector 258 */
    uint8_t out[SECTOR] = "here";

    fake_driver_add(d, 0, OUT(header, 16), OUT(out, SECTOR), IN(1));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, NULL));
    ck_assert_str_eq((char *)b->data + 258 * SECTOR, "here");
}
END_TEST

static void add_cache_tests(Suite *s)
{
    TCase *tc = tcase_create("cache");

    tcase_add_loop_test(tc, blk_37_a_flush_makes_earlier_writes_stable, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_flush_is_not_done_before_the_storage_is, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_68_type_5_is_a_flush, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_35_without_flush_and_config_wce_writes_are_stable, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_36_while_writeback_is_0_writes_are_stable, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_04_without_flush_writeback_starts_at_0, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, without_config_wce_the_driver_cannot_change_the_mode, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_brings_the_storages_own_mode_back, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, what_was_acknowledged_as_stable_is_kept_whatever_the_cache_mode, 0,
                        3 * FAKE_CELLS);
    tcase_add_loop_test(tc, storage_without_cache_starts_with_writeback_0, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_21_22_legacy_status_and_features_leave_the_mode_alone,
                        FAKE_MODERN_CELLS, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_67_legacy_headers_are_in_guest_byte_order, FAKE_MODERN_CELLS,
                        FAKE_CELLS);
    suite_add_tcase(s, tc);
}

static Suite *make_suite(void)
{
    Suite *s = suite_create("blk");
    TCase *tc = tcase_create("requests");

    tcase_add_loop_test(tc, what_is_written_is_read_back, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, the_last_sector_is_within_reach, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, requests_may_have_any_layout, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_request_too_large_for_the_node_is_done_in_steps, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, steps_end_at_blocks_wherever_pieces_end, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, get_id_gives_the_serial_number, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_29_discard_reaches_the_storage, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_30_31_write_zeroes_makes_zeroes_with_and_without_unmap, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, secure_erase_reaches_the_storage, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ranges_are_cut_to_what_the_node_takes, 0, FAKE_CELLS);
    suite_add_tcase(s, tc);
    add_cache_tests(s);
    add_blk_config_tests(s);
    add_blk_bad_tests(s);
    add_blk_flight_tests(s);
    add_blk_error_tests(s);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
