/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk's features, configuration space (VIRTIO 1.4 §5.2.3, §5.2.4) and properties.
 */
#include "tests/test-blk.h"

#include <stdlib.h>
#include <string.h>

/* --- features --- */

START_TEST(blk_02_03_flush_is_always_offered)
{
    static const char *const options[] = {NULL, "\"write-cache\": false", "\"read-only\": true"};

    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        for (unsigned wce = 0; wce < 2; wce++) {
            g_autoptr(FakeDriver) d =
                blk_probe((unsigned)_i, options[i], wce ? "config-wce=on" : "config-wce=off", NULL);

            ck_assert(blk_offers(d, VIRTIO_BLK_F_FLUSH));
            ck_assert_int_eq(blk_offers(d, VIRTIO_BLK_F_CONFIG_WCE), wce);
        }
    }
}
END_TEST

START_TEST(blk_06_07_08_the_disk_is_not_zoned)
{
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, NULL, NULL);

    ck_assert(!blk_offers(d, 17)); /* VIRTIO_BLK_F_ZONED */
    fake_driver_up(d);
    for (unsigned off = CFG_ZONED; off < CFG_END; off += 4) {
        ck_assert_uint_eq(blk_config(d, off, 4), 0);
    }
    ck_assert_uint_eq(blk_do(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(blk_40_no_lifetime_metrics_are_offered)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, NULL);

    ck_assert(!blk_offers(d, 15)); /* VIRTIO_BLK_F_LIFETIME */
    ck_assert_uint_eq(blk_do(d, GET_LIFETIME, 0, NULL, 0, 512), VIRTIO_BLK_S_UNSUPP);
}
END_TEST

/* blkdebug stands for an eMMC. */
START_TEST(blk_39_lifetime_metrics_of_the_storage_are_offered_and_told)
{
    static const char node[] =
        "{'driver': 'blkdebug', 'image': {'driver': 'raw', 'file': {'driver': 'blkdebug', "
        "'image': {'driver': 'null-co'}, "
        "'pre-eol-info': 2, 'life-time-a': 3, 'life-time-b': 11}}}";
    g_autoptr(FakeDriver) d = blk_probe_node((unsigned)_i, node, NULL);
    static const uint8_t want[6] = {2, 0, 3, 0, 11, 0};
    uint8_t got[6];
    uint32_t used;
    BlkIo io;

    ck_assert(blk_offers(d, F_LIFETIME));
    fake_driver_up(d);
    io = blk_add(d, 0, GET_LIFETIME, 0, NULL, 0, sizeof got);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(blk_take(d, &io, &used), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(used, sizeof got + 1);
    ck_assert(gmem_read(d->m->p.mem, io.data, got, sizeof got));
    ck_assert_mem_eq(got, want, sizeof got);
    ck_assert_uint_eq(blk_do(d, GET_LIFETIME, 0, NULL, 0, 5), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_do(d, GET_LIFETIME, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(blk_do(d, GET_LIFETIME, 0, NULL, 0, 64), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(secure_erase_is_offered_where_the_storage_has_it)
{
    static const struct {
        const char *options, *props;
        bool offered;
    } cases[] = {
        {NULL, NULL, false},
        {"\"max-erase\": 1048576", NULL, true},
        {"\"max-erase\": 1048576", "discard_granularity=0", true},
        {"\"max-erase\": 1048576", "secure-erase=off", false},
        {"\"max-erase\": 1048576, \"read-only\": true", NULL, false},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, cases[i].options, cases[i].props, NULL);
        static const BlkTestRange range = {8, 8, 0};
        bool on = cases[i].offered;

        ck_assert_int_eq(blk_offers(d, F_SECURE_ERASE), on);
        ck_assert_uint_eq(blk_config(d, CFG_MAX_ERASE, 4), on ? INT32_MAX / SECTOR : 0);
        ck_assert_uint_eq(blk_config(d, CFG_MAX_ERASE_SEG, 4), on ? 128 : 0);
        ck_assert_uint_eq(blk_config(d, CFG_ERASE_ALIGN, 4), on ? 1 : 0);
        ck_assert_uint_eq(blk_ranges(d, SECURE_ERASE, &range, 1),
                          on ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP);
    }
}
END_TEST

START_TEST(size_max_is_offered_as_given)
{
    g_autoptr(FakeDriver) any = blk_probe((unsigned)_i, NULL, NULL, NULL);
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, "size-max=65536", NULL);

    ck_assert(!blk_offers(any, VIRTIO_BLK_F_SIZE_MAX));
    ck_assert_uint_eq(blk_config(any, CFG_SIZE_MAX, 4), 0);
    ck_assert(blk_offers(d, VIRTIO_BLK_F_SIZE_MAX));
    ck_assert_uint_eq(blk_config(d, CFG_SIZE_MAX, 4), 65536);
}
END_TEST

START_TEST(write_cache_says_which_mode_the_guest_finds)
{
    static const struct {
        const char *options, *props;
        unsigned writeback;
    } cases[] = {
        {NULL, "write-cache=auto", 1},
        {NULL, "write-cache=off", 0},
        {"\"write-cache\": false", "write-cache=auto", 0},
        {"\"write-cache\": false", "write-cache=on", 1},
    };
    uint8_t buf[SECTOR] = {1};

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        FakeBlock *b;
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, cases[i].options, cases[i].props, &b);

        ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), cases[i].writeback);
        ck_assert_uint_eq(blk_write(d, 0, buf, SECTOR), VIRTIO_BLK_S_OK);
        ck_assert_int_eq((b->seen[0].flags & BLOCK_FUA) != 0, !cases[i].writeback);
        d->t->config_write(d, CFG_WRITEBACK, !cases[i].writeback, 1);
        fake_driver_reset(d);
        fake_driver_up(d);
        ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), cases[i].writeback);
    }
}
END_TEST

START_TEST(the_accounting_of_failures_is_the_devices_or_the_drives)
{
    static const struct {
        const char *options, *props;
        bool invalid, failed;
    } cases[] = {
        {NULL, NULL, true, true},
        {NULL, "account-invalid=off,account-failed=auto", false, true},
        {NULL, "account-invalid=on,account-failed=off", true, false},
        {"\"x-account-invalid\": false", NULL, false, true},
        {"\"x-account-failed\": false", "account-failed=auto", true, false},
        {"\"x-account-failed\": false", "account-failed=on", true, true},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        FakeBlock *b;
        g_autoptr(FakeDriver) d = NULL;
        bool invalid, failed;

        d = blk_start((unsigned)_i, cases[i].options, cases[i].props, &b);
        block_accounting(b->parent_obj.users->pdata[0], &invalid, &failed);
        ck_assert_int_eq(invalid, cases[i].invalid);
        ck_assert_int_eq(failed, cases[i].failed);
    }
}
END_TEST

START_TEST(only_what_the_storage_can_do_is_offered)
{
    static const struct {
        const char *options, *props;
        bool ro, discard, zeroes;
    } cases[] = {
        {NULL, NULL, false, true, true},
        {"\"max-discard\": 0", NULL, false, false, true},
        {"\"max-zeroes\": 0", NULL, false, true, false},
        {NULL, "discard=off", false, false, true},
        {NULL, "write-zeroes=off", false, true, false},
        {"\"read-only\": true", NULL, true, false, false},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(FakeDriver) d = blk_start((unsigned)_i, cases[i].options, cases[i].props, NULL);
        static const BlkTestRange range = {0, 8, 0};

        ck_assert_int_eq(blk_offers(d, VIRTIO_BLK_F_RO), cases[i].ro);
        ck_assert_int_eq(blk_offers(d, VIRTIO_BLK_F_DISCARD), cases[i].discard);
        ck_assert_int_eq(blk_offers(d, VIRTIO_BLK_F_WRITE_ZEROES), cases[i].zeroes);
        ck_assert(!blk_offers(d, VIRTIO_BLK_F_SECURE_ERASE));
        ck_assert_uint_eq(blk_config(d, CFG_MAX_DISCARD, 4) != 0, cases[i].discard);
        ck_assert_uint_eq(blk_config(d, CFG_MAX_ZEROES, 4) != 0, cases[i].zeroes);
        ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_DISCARD, &range, 1),
                          cases[i].discard ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP);
        ck_assert_uint_eq(blk_ranges(d, VIRTIO_BLK_T_WRITE_ZEROES, &range, 1),
                          cases[i].zeroes ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_UNSUPP);
    }
}
END_TEST

/* --- configuration space --- */

START_TEST(blk_01_fields_are_in_guest_byte_order)
{
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, "\"size\": \"123M\"", NULL, NULL);
    uint64_t sectors = UINT64_C(123) << 11;

    ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 4) | blk_config(d, 4, 4) << 32, sectors);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(blk_config(d, CFG_CAPACITY + i, 1), sectors >> 8 * i & 0xff);
    }
    ck_assert_uint_eq(blk_config(d, CFG_SEG_MAX, 4), 254);
    ck_assert_uint_eq(blk_config(d, CFG_CYLINDERS, 2), sectors / (16 * 63));
    ck_assert_uint_eq(blk_config(d, CFG_HEADS, 1), 16);
    ck_assert_uint_eq(blk_config(d, CFG_SECTORS, 1), 63);
    ck_assert_uint_eq(blk_config(d, CFG_BLK_SIZE, 4), 512);
    ck_assert_uint_eq(blk_config(d, CFG_NUM_QUEUES, 2), 1);
    ck_assert_uint_eq(blk_config(d, CFG_MAX_DISCARD, 4), 4194303);
    ck_assert_uint_eq(blk_config(d, CFG_MAX_DISCARD_SEG, 4), 128);
    ck_assert_uint_eq(blk_config(d, CFG_DISCARD_ALIGN, 4), 1);
    ck_assert_uint_eq(blk_config(d, CFG_MAX_ZEROES, 4), 4194303);
    ck_assert_uint_eq(blk_config(d, CFG_MAX_ZEROES_SEG, 4), 128);
}
END_TEST

START_TEST(blk_05_unused_fields_are_0)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, "num-queues=2", NULL);

    ck_assert_uint_eq(blk_config(d, CFG_UNUSED0, 1), 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(blk_config(d, CFG_UNUSED1 + i, 1), 0);
    }
    for (unsigned off = CFG_MAX_ERASE; off < CFG_ZONED; off += 4) {
        ck_assert_uint_eq(blk_config(d, off, 4), 0);
    }
}
END_TEST

START_TEST(blk_32_33_34_may_unmap_follows_the_storage_and_changes_are_announced)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);

    ck_assert_uint_eq(blk_config(d, CFG_MAY_UNMAP, 1), 1);
    b->parent_obj.limits.max_discard = 0;
    fake_block_limits_changed(b);
    fake_machine_run(d->m);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(blk_config(d, CFG_MAY_UNMAP, 1), 0);
}
END_TEST

START_TEST(blk_23_24_a_new_size_is_announced_and_served)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, &b);
    uint32_t generation = d->t->generation(d);
    uint8_t buf[SECTOR] = "new";

    ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 4), DISK / SECTOR);
    ck_assert_uint_eq(blk_write(d, DISK / SECTOR, buf, SECTOR), VIRTIO_BLK_S_IOERR);
    ck_assert(block_node_resize(&b->parent_obj, 2 * DISK, NULL));
    fake_machine_run(d->m);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert(d->t->generation(d) != generation || fake_cell_is_legacy((unsigned)_i));
    ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 4), 2 * DISK / SECTOR);
    ck_assert_uint_eq(blk_write(d, DISK / SECTOR, buf, SECTOR), VIRTIO_BLK_S_OK);
    ck_assert(block_node_resize(&b->parent_obj, DISK, NULL));
    fake_machine_run(d->m);
    ck_assert_uint_eq(blk_write(d, DISK / SECTOR, buf, SECTOR), VIRTIO_BLK_S_IOERR);
}
END_TEST

START_TEST(topology_is_in_logical_blocks)
{
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL,
                                        "logical_block_size=1k,physical_block_size=4k,"
                                        "min_io_size=8k,opt_io_size=64k,discard_granularity=32k",
                                        NULL);

    ck_assert_uint_eq(blk_config(d, CFG_BLK_SIZE, 4), 1024);
    ck_assert_uint_eq(blk_config(d, CFG_PHYSICAL_EXP, 1), 2);
    ck_assert_uint_eq(blk_config(d, CFG_MIN_IO, 2), 8);
    ck_assert_uint_eq(blk_config(d, CFG_OPT_IO, 4), 64);
    ck_assert_uint_eq(blk_config(d, CFG_DISCARD_ALIGN, 4), 64);
}
END_TEST

START_TEST(topology_comes_from_the_storage)
{
    g_autoptr(FakeDriver) d = blk_probe(0,
                                        "\"alignment\": 4096, \"physical\": 16384, \"opt-io\": "
                                        "65536, \"discard-alignment\": 131072",
                                        NULL, NULL);

    ck_assert_uint_eq(blk_config(d, CFG_BLK_SIZE, 4), 4096);
    ck_assert_uint_eq(blk_config(d, CFG_PHYSICAL_EXP, 1), 2);
    ck_assert_uint_eq(blk_config(d, CFG_OPT_IO, 4), 16);
    ck_assert_uint_eq(blk_config(d, CFG_DISCARD_ALIGN, 4), 256);
}
END_TEST

START_TEST(geometry_has_limits)
{
    g_autoptr(FakeDriver) d = blk_probe(0, "\"size\": 512", NULL, NULL);

    ck_assert_uint_eq(blk_config(d, CFG_CYLINDERS, 2), 2);
}
END_TEST

START_TEST(geometry_is_as_given)
{
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, "cyls=1000,heads=255,secs=17", NULL);

    ck_assert_uint_eq(blk_config(d, CFG_CYLINDERS, 2), 1000);
    ck_assert_uint_eq(blk_config(d, CFG_HEADS, 1), 255);
    ck_assert_uint_eq(blk_config(d, CFG_SECTORS, 1), 17);
}
END_TEST

START_TEST(a_small_queue_has_few_segments)
{
    g_autoptr(FakeDriver) d = blk_probe(0, NULL, "queue-size=16", NULL);
    g_autoptr(FakeDriver) fixed = blk_probe(0, NULL, "seg-max-adjust=off", NULL);

    ck_assert_uint_eq(blk_config(d, CFG_SEG_MAX, 4), 14);
    ck_assert_uint_eq(d->t->queue_max(d, 0), 16);
    ck_assert_uint_eq(blk_config(fixed, CFG_SEG_MAX, 4), 126);
}
END_TEST

START_TEST(only_writeback_can_be_written)
{
    g_autoptr(FakeDriver) d = blk_start((unsigned)_i, NULL, NULL, NULL);

    for (unsigned off = 0; off < CFG_END; off++) {
        uint64_t before = blk_config(d, off, 1);

        if (off != CFG_WRITEBACK) {
            d->t->config_write(d, off, 0xff, 1);
            ck_assert_uint_eq(blk_config(d, off, 1), before);
        }
    }
    d->t->config_write(d, CFG_WRITEBACK, 0x55, 1);
    ck_assert_uint_eq(blk_config(d, CFG_WRITEBACK, 1), 1);
}
END_TEST

START_TEST(there_is_a_queue_per_vcpu)
{
    FakeMachine *m = fake_machine_new(0);
    g_autoptr(FakeDriver) d = NULL;

    m->p.n_cpus = 3;
    fake_block_new(m, "disk0", NULL);
    d = fake_driver_probe_on(m, "virtio-blk", (unsigned)_i, "drive=disk0");
    ck_assert(blk_offers(d, VIRTIO_BLK_F_MQ));
    ck_assert_uint_eq(blk_config(d, CFG_NUM_QUEUES, 2), 3);
    ck_assert_uint_eq(d->t->queue_max(d, 2), 256);
    ck_assert_uint_eq(d->t->queue_max(d, 3), 0);
}
END_TEST

/* --- properties --- */

static const struct {
    const char *options, *props, *message;
} refused[] = {
    {NULL, "drive=", "drive is missing"},
    {NULL, "drive=v0", "drive 'v0' not found"}, /* a device, and itself */
    {NULL, "drive=nowhere", "drive 'nowhere' not found"},
    {NULL, "num-queues=0", "must be between 1 and 1024"},
    {NULL, "num-queues=1025", "must be between 1 and 1024"},
    {NULL, "queue-size=100", "must be a power of 2"},
    {NULL, "queue-size=64,seg-max-adjust=off", "must be at least 128"},
    {NULL, "serial=123456789012345678901", "is too long, 20 bytes is the most"},
    {NULL, "logical_block_size=1000", "must be a power of 2"},
    {NULL, "logical_block_size=256", "must be a power of 2 between 512"},
    {NULL, "physical_block_size=256", "must be a power of 2 between 512"},
    {"\"alignment\": 4096", "logical_block_size=512", "is too small: node 'disk0'"},
    {NULL, "logical_block_size=4k,physical_block_size=512", "is smaller than logical_block_size"},
    {"\"size\": 5120", "logical_block_size=4k", "is not a multiple of logical_block_size=4096"},
    {"\"size\": 1000", NULL, "1000 bytes, is not a multiple of logical_block_size=512"},
    {NULL, "min_io_size=700", "must be a multiple of logical_block_size=512"},
    {NULL, "min_io_size=64M", "at most 65535 of them"},
    {NULL, "opt_io_size=1000", "must be a multiple of"},
    {NULL, "size-max=512", "must be a multiple of 512, and at least 4096"},
    {NULL, "size-max=5000", "must be a multiple of 512, and at least 4096"},
    {NULL, "stats-intervals=[0]", "each must be between 1 and"},
    {NULL, "stats-intervals=[\"x\"]", "each must be between 1 and"},
    {NULL, "cyls=5", "heads=0 must be between 1 and 255"},
    {NULL, "cyls=65536,heads=1,secs=1", "cyls=65536 must be between 1 and 65535"},
    {NULL, "cyls=1,heads=1,secs=256", "secs=256 must be between 1 and 255"},
    {NULL, "discard_granularity=100", "must be a multiple of"},
};

START_TEST(a_bad_property_gets_one_line)
{
    FakeMachine *m = fake_machine_new(0);
    g_autofree char *props =
        g_strjoin(refused[_i].props ? "," : "", "drive=disk0", refused[_i].props ?: "", NULL);
    g_autoptr(GError) err = NULL;

    fake_block_new(m, "disk0", refused[_i].options);
    ck_assert_ptr_null(fake_machine_add(m, "virtio-blk-pci", "v0", props, &err));
    ck_assert_msg(strstr(err->message, refused[_i].message) != NULL, "%s", err->message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    ck_assert(block_node_del(m->p.root, "disk0", NULL)); /* it is not in use */
    fake_machine_free(m);
}
END_TEST

START_TEST(values_out_of_range_are_refused)
{
    static const char *const bad[][2] = {
        {"queue-size", "2"},          {"queue-size", "2048"},
        {"max-discard-sectors", "0"}, {"max-write-zeroes-sectors", "4194304"},
        {"rerror", "panic"},          {"werror", "panic"},
        {"logical_block_size", "4M"}, {"bootindex", "-2"},
    };
    FakeMachine *m = fake_machine_new(0);
    Device *dev;

    fake_block_new(m, "disk0", NULL);
    dev = fake_machine_make(m, "virtio-blk-pci", "v0", NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        ck_assert_msg(!property_set_string(OBJECT(dev), bad[i][0], bad[i][1], NULL), "%s=%s",
                      bad[i][0], bad[i][1]);
    }
    fake_machine_free(m);
}
END_TEST

START_TEST(two_devices_do_not_write_one_disk_unless_both_share_it)
{
    FakeMachine *m = fake_machine_new(0);
    g_autoptr(GError) err = NULL;

    fake_block_new(m, "disk0", NULL);
    ck_assert(fake_machine_add(m, "virtio-blk-pci", "v0", "drive=disk0", NULL));
    ck_assert(!fake_machine_add(m, "virtio-blk-pci", "v1", "drive=disk0", &err));
    ck_assert_msg(strstr(err->message, "is in use by") != NULL, "%s", err->message);
    device_destroy(DEVICE(object_child(m->p.root, "v0")));
    ck_assert(fake_machine_add(m, "virtio-blk-pci", "v1", "drive=disk0,share-rw=on", NULL));
    ck_assert(fake_machine_add(m, "virtio-blk-pci", "v2", "drive=disk0,share-rw=on", NULL));
    device_destroy(DEVICE(object_child(m->p.root, "v1")));
    device_destroy(DEVICE(object_child(m->p.root, "v2")));
    fake_machine_free(m);
}
END_TEST

START_TEST(the_disk_knows_the_path_of_its_device)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = blk_probe((unsigned)_i, NULL, NULL, &b);
    g_autofree char *path = object_path(OBJECT(d->vdev));

    ck_assert_ptr_nonnull(path);
    ck_assert_str_eq(block_user_path(b->parent_obj.users->pdata[0]), path);
}
END_TEST

START_TEST(a_device_may_be_realized_again)
{
    FakeDriver *d = blk_start(0, NULL, NULL, NULL);

    device_unrealize(d->dev);
    ck_assert(device_realize(d->dev, &pci_host_bus(d->m->host)->parent_obj, NULL));
    fake_driver_free(d);
}
END_TEST

void add_blk_config_tests(Suite *s)
{
    TCase *tc = tcase_create("config");

    tcase_add_loop_test(tc, blk_02_03_flush_is_always_offered, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_06_07_08_the_disk_is_not_zoned, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_40_no_lifetime_metrics_are_offered, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_39_lifetime_metrics_of_the_storage_are_offered_and_told, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, secure_erase_is_offered_where_the_storage_has_it, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, size_max_is_offered_as_given, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, write_cache_says_which_mode_the_guest_finds, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, geometry_is_as_given, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, the_accounting_of_failures_is_the_devices_or_the_drives, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, only_what_the_storage_can_do_is_offered, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_01_fields_are_in_guest_byte_order, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_05_unused_fields_are_0, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, blk_32_33_34_may_unmap_follows_the_storage_and_changes_are_announced, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, blk_23_24_a_new_size_is_announced_and_served, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, topology_is_in_logical_blocks, 0, FAKE_CELLS);
    tcase_add_test(tc, topology_comes_from_the_storage);
    tcase_add_test(tc, geometry_has_limits);
    tcase_add_test(tc, a_small_queue_has_few_segments);
    tcase_add_loop_test(tc, only_writeback_can_be_written, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, there_is_a_queue_per_vcpu, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_bad_property_gets_one_line, 0, G_N_ELEMENTS(refused));
    tcase_add_test(tc, values_out_of_range_are_refused);
    tcase_add_test(tc, two_devices_do_not_write_one_disk_unless_both_share_it);
    tcase_add_loop_test(tc, the_disk_knows_the_path_of_its_device, 0, FAKE_CELLS);
    tcase_add_test(tc, a_device_may_be_realized_again);
    suite_add_tcase(s, tc);
}
