/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -blockdev and -drive: what becomes of them, and what is said of those that make no sense.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/block-impl.h"
#include "backends/block-throttle.h"
#include "block-fixture.h"
#include "vmm/cli/block-options.h"
#include "tests/suite.h"

enum { MIB = 1 << 20 };

static GPtrArray *blockdevs, *drives, *devices;

static void setup(void)
{
    block_setup();
    type_register(&throttle_group_type);
    blockdevs = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    drives = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    devices = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
}

static void teardown(void)
{
    g_ptr_array_unref(blockdevs);
    g_ptr_array_unref(drives);
    g_ptr_array_unref(devices);
    block_teardown();
}

/* "@" in an option stands for the scratch directory. */
static char *expand(const char *option)
{
    g_auto(GStrv) parts = g_strsplit(option, "@", 0);

    return g_strjoinv(dir, parts);
}

static void add_option(GPtrArray *list, json_t *(*parse)(const char *, GError **),
                       const char *option)
{
    g_autofree char *text = expand(option);
    g_autoptr(GError) err = NULL;
    json_t *opts = parse(text, &err);

    ck_assert_msg(opts != NULL, "%s", err ? err->message : "?");
    g_ptr_array_add(list, opts);
}

static void drive(const char *option)
{
    add_option(drives, block_options_parse_drive, option);
}

static void blockdev(const char *option)
{
    add_option(blockdevs, block_options_parse_blockdev, option);
}

static void make(void)
{
    g_autoptr(GError) err = NULL;

    if (!block_options_make(root, loop, blockdevs, drives, devices, &err)) {
        ck_abort_msg("%s", err->message);
    }
}

static void file(const char *name)
{
    g_free(make_file(name, MIB));
}

static json_t *info_of(const char *name)
{
    BlockNode *n = block_node_find(root, name);

    ck_assert_ptr_nonnull(n);
    return block_node_info(n);
}

static void expect_info(const char *name, const char *path, const char *want)
{
    json_t *info = info_of(name), *value = info;
    g_auto(GStrv) keys = g_strsplit(path, "/", 0);
    char *got;

    for (unsigned i = 0; keys[i]; i++) {
        value = json_object_get(value, keys[i]);
    }
    got = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
    ck_assert_msg(got && !strcmp(got, want), "%s of %s is %s, not %s", path, name, got ?: "?",
                  want);
    free(got);
    json_decref(info);
}

/* --- -drive --- */

START_TEST(a_drive_is_a_raw_file_that_its_id_names)
{
    uint8_t buf[512] = {1};
    Disk d;

    file("disk");
    drive("if=none,id=d0,file=@/disk,format=raw");
    make();
    ck_assert_uint_eq(devices->len, 0);
    expect_info("d0", "drv", "\"raw\"");
    expect_info("d0", "ro", "false");
    expect_info("d0", "image/virtual-size", "1048576");
    expect_info("d0", "cache", "{\"writeback\":true,\"direct\":false,\"no-flush\":false}");
    ck_assert_str_eq(block_node_drive_id(block_node_find(root, "d0")), "d0");
    disk_open(&d, block_node_find(root, "d0"), true);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    disk_close(&d);
}
END_TEST

START_TEST(a_virtio_drive_brings_its_device)
{
    file("disk");
    file("other");
    drive("file=@/disk,format=raw");
    drive("if=virtio,id=x,file=file:@/other,format=raw,media=disk,index=0");
    make();
    ck_assert_uint_eq(devices->len, 2);
    ck_assert_str_eq(json_string_value(json_object_get(devices->pdata[0], "driver")), "virtio-blk");
    ck_assert_str_eq(json_string_value(json_object_get(devices->pdata[0], "drive")), "virtio0");
    ck_assert_str_eq(json_string_value(json_object_get(devices->pdata[1], "drive")), "x");
}
END_TEST

static const struct {
    const char *mode, *cache;
} caches[] = {
    {"writeback", "{\"writeback\":true,\"direct\":false,\"no-flush\":false}"},
    {"writethrough", "{\"writeback\":false,\"direct\":false,\"no-flush\":false}"},
    {"none", "{\"writeback\":true,\"direct\":true,\"no-flush\":false}"},
    {"directsync", "{\"writeback\":false,\"direct\":true,\"no-flush\":false}"},
    {"unsafe", "{\"writeback\":true,\"direct\":false,\"no-flush\":true}"},
    {"unsafe,cache.no-flush=off", "{\"writeback\":true,\"direct\":false,\"no-flush\":false}"},
};

START_TEST(cache_modes_are_what_they_stand_for)
{
    g_autofree char *path = make_file("disk", MIB);
    g_autofree char *option =
        g_strdup_printf("if=none,id=d0,file=@/disk,format=raw,cache=%s", caches[_i].mode);
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd < 0 && strstr(caches[_i].cache, "\"direct\":true")) {
        return;
    }
    close(fd);
    drive(option);
    make();
    expect_info("d0", "cache", caches[_i].cache);
    ck_assert_int_eq(block_limits(block_node_find(root, "d0"))->write_cache,
                     strstr(caches[_i].cache, "\"writeback\":true") != NULL);
}
END_TEST

START_TEST(the_other_options_reach_the_nodes)
{
    const BlockNode *n;

    file("disk");
    drive("if=none,id=d0,file=@/disk,format=raw,aio=threads,readonly=on,discard=unmap,bus=0,unit=3,"
          "stats-intervals.0=60,stats-intervals.1=5,"
          "detect-zeroes=unmap,rerror=stop,werror=enospc,file.locking=off,auto-read-only=off");
    make();
    n = block_node_find(root, "d0");
    ck_assert(block_limits(n)->read_only);
    ck_assert_uint_gt(block_limits(n)->max_discard, 0);
    expect_info("d0", "detect_zeroes", "\"unmap\"");
    ck_assert_str_eq(block_node_on_error(n, false), "stop");
    ck_assert_str_eq(block_node_on_error(n, true), "enospc");
    ck_assert_uint_eq(json_array_size(n->intervals), 2);
    ck_assert_int_eq(json_integer_value(json_array_get(n->intervals, 1)), 5);
}
END_TEST

/* No server is there: the message says what was understood. */
static const struct {
    const char *file, *server;
} nbd_files[] = {
    {"nbd:unix:/nowhere/sock", "nbd+unix:///?socket=/nowhere/sock"},
    {"nbd:unix:/nowhere/sock:exportname=disk", "nbd+unix:///disk?socket=/nowhere/sock"},
    {"nbd:127.0.0.1:1", "nbd://127.0.0.1:1/"},
    {"nbd:[::1]:1:exportname=a/b", "nbd://::1:1/a/b"},
    {"nbd+unix:///x?socket=/nowhere/sock", "nbd+unix:///x?socket=/nowhere/sock"},
};

START_TEST(a_server_may_be_named_in_the_older_way)
{
    g_autofree char *option =
        g_strdup_printf("if=none,id=d0,format=raw,file=%s", nbd_files[_i].file);
    g_autofree char *want = g_strdup_printf("cannot connect to %s:", nbd_files[_i].server);
    g_autoptr(GError) err = NULL;

    drive(option);
    ck_assert(!block_options_make(root, loop, blockdevs, drives, devices, &err));
    ck_assert_msg(strstr(err->message, want) != NULL, "%s", err->message);
}
END_TEST

START_TEST(a_snapshot_leaves_the_file_alone)
{
    g_autofree char *path = make_file("disk", MIB), *after = NULL;
    uint8_t buf[512];
    gsize len;
    Disk d;

    memset(buf, 7, sizeof buf);
    drive("if=none,id=d0,file=@/disk,format=raw,snapshot=on,cache=writethrough");
    make();
    disk_open(&d, block_node_find(root, "d0"), true);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    memset(buf, 0, sizeof buf);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), 0);
    expect_bytes(buf, 7, sizeof buf);
    disk_close(&d);
    ck_assert(g_file_get_contents(path, &after, &len, NULL));
    expect_bytes((uint8_t *)after, 0, len);
}
END_TEST

START_TEST(a_drive_can_be_throttled)
{
    drive("if=none,id=d0,driver=null-co,throttling.iops-total=100,throttling.iops-total-max=200,"
          "throttling.iops-total-max-length=3,throttling.bps-read=1M,throttling.iops-size=4096");
    drive("if=none,id=d1,driver=null-co,iops_rd=5,bps_wr_max=1000,bps_wr=500,throttling.group=g");
    drive("if=none,id=d2,driver=null-co,throttling.group=d0");
    make();
    expect_info("d0", "iops", "100");
    expect_info("d0", "iops_max", "200");
    expect_info("d0", "iops_max_length", "3");
    expect_info("d0", "bps_rd", "1048576");
    expect_info("d0", "iops_size", "4096");
    expect_info("d0", "group", "\"d0\"");
    expect_info("d1", "iops_rd", "5");
    expect_info("d1", "bps_wr_max", "1000");
    expect_info("d1", "group", "\"g\"");
    expect_info("d2", "iops", "100");
}
END_TEST

static const struct {
    const char *option, *message;
} bad_drives[] = {
    {"if=none,id=d,driver=null-co,stats-intervals.0=0", "stats-intervals.0=0 must be between 1"},
    {"if=none,id=d,driver=null-co,stats-intervals.0=x", "stats-intervals.0=x must be between 1"},
    {"if=none,id=d0", "-drive d0: file=PATH is missing"},
    {"if=ide,file=@/disk", "if=ide: there is no such interface; known: none, virtio"},
    {"file=@/disk,media=cdrom", "media=cdrom: there are disks only"},
    {"file=@/disk,format=raw,cache=fast", "cache=fast: known: none, writeback"},
    {"file=@/disk,format=qcow2", "images of format qcow2 are opened through NBD: run 'qemu-nbd"},
    {"file=@/disk,format=qcow3", "unknown block driver 'qcow3'"},
    {"file=@/qcow2", "this is a qcow2 image; run 'qemu-nbd -f qcow2"},
    {"file=@/none,format=raw", "could not open"},
    {"file=@/disk,format=raw,readonly=maybe", "readonly: "},
    {"file=@/disk,format=raw,rerror=enospc", "rerror=enospc: known: report, ignore, stop"},
    {"file=@/disk,format=raw,werror=panic", "werror=panic: known: report, ignore, stop, enospc"},
    {"file=@/disk,format=raw,aio=posix", "posix"},
    {"file=@/disk,format=raw,color=red", "color"},
    {"file=@/disk,format=raw,copy-on-read=on", "copy-on-read=on is not supported"},
    {"file=@/disk,format=raw,throttling.ipos=1", "unknown 'throttling.ipos'"},
    {"file=@/disk,format=raw,iops=x", "iops: "},
    {"file=@/disk,format=raw,iops=1,iops_rd=1", "cannot be used together"},
    {"file=@/disk,format=raw,id=1x", "id '1x' must be letters"},
    {"file=@/disk,format=raw,id=taken", "duplicate id 'taken'"},
    {"file=@/disk,format=raw,detect-zeroes=unmap", "needs discard=unmap"},
    {"file=@,format=raw", "Is a directory"},
    {"file=nbd+unix:///?socket=/nowhere/s,format=raw", "cannot connect to nbd+unix:///?socket="},
};

START_TEST(a_bad_drive_gets_one_line_that_names_it)
{
    g_autofree char *qcow2 = path_of("qcow2");
    g_autofree char *want = expand(bad_drives[_i].message);
    g_autoptr(GError) err = NULL;

    file("disk");
    ck_assert(g_file_set_contents(qcow2, "QFI\xfb\0\0\0\3 and so on", 18, NULL));
    node_add("{'driver':'null-co','node-name':'taken'}");
    drive(bad_drives[_i].option);
    ck_assert(!block_options_make(root, loop, blockdevs, drives, devices, &err));
    ck_assert_msg(strstr(err->message, want) != NULL, "'%s' has no '%s'", err->message, want);
    ck_assert(g_str_has_prefix(err->message, "-drive "));
    ck_assert_ptr_null(strchr(err->message, '\n'));
    ck_assert_uint_eq(devices->len, 0);
}
END_TEST

/* --- -blockdev --- */

START_TEST(blockdevs_build_on_each_other_in_both_spellings)
{
    file("disk");
    blockdev("driver=file,node-name=f0,filename=@/disk,cache.direct=off,discard=unmap");
    blockdev(
        "{\"driver\": \"raw\", \"node-name\": \"r0\", \"file\": \"f0\", \"discard\": \"unmap\"}");
    blockdev("driver=raw,node-name=r1,file.driver=null-co,file.size=2M,read-only=on");
    make();
    expect_info("r0", "image/virtual-size", "1048576");
    expect_info("r1", "image/virtual-size", "2097152");
    expect_info("r1", "ro", "true");
}
END_TEST

static const struct {
    const char *option, *message;
} bad_blockdevs[] = {
    {"driver=null-co", "-blockdev: 'node-name' is missing"},
    {"driver=raw,node-name=a,file=b", "-blockdev a: there is no block node 'b'"},
    {"driver=raw,node-name=a", "-blockdev a: 'file' is missing"},
    {"node-name=a,file=b", "-blockdev a: 'driver' is missing"},
};

START_TEST(a_bad_blockdev_gets_one_line_that_names_it)
{
    g_autoptr(GError) err = NULL;

    blockdev(bad_blockdevs[_i].option);
    ck_assert(!block_options_make(root, loop, blockdevs, drives, devices, &err));
    ck_assert_msg(g_str_has_prefix(err->message, bad_blockdevs[_i].message), "%s", err->message);
}
END_TEST

START_TEST(json_that_is_none_is_refused)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(block_options_parse_blockdev("{\"driver\":", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "not a JSON object"));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-options");
    TCase *tc = tcase_create("options");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, a_drive_is_a_raw_file_that_its_id_names);
    tcase_add_test(tc, a_virtio_drive_brings_its_device);
    tcase_add_loop_test(tc, cache_modes_are_what_they_stand_for, 0, G_N_ELEMENTS(caches));
    tcase_add_test(tc, the_other_options_reach_the_nodes);
    tcase_add_loop_test(tc, a_server_may_be_named_in_the_older_way, 0, G_N_ELEMENTS(nbd_files));
    tcase_add_test(tc, a_snapshot_leaves_the_file_alone);
    tcase_add_test(tc, a_drive_can_be_throttled);
    tcase_add_loop_test(tc, a_bad_drive_gets_one_line_that_names_it, 0, G_N_ELEMENTS(bad_drives));
    tcase_add_test(tc, blockdevs_build_on_each_other_in_both_spellings);
    tcase_add_loop_test(tc, a_bad_blockdev_gets_one_line_that_names_it, 0,
                        G_N_ELEMENTS(bad_blockdevs));
    tcase_add_test(tc, json_that_is_none_is_refused);
    return suite_run(s);
}
