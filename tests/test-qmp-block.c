/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about disks, with the test as the device that uses them.
 */
#include <errno.h>
#include <string.h>

#include "backends/block.h"
#include "backends/user-creatable.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"

#define GENERIC "GenericError"

static BlockUser *user;
static BlockQueue *queue;
static unsigned resizes;

static void on_resized(void *opaque)
{
    resizes++;
}

static void add_node(const char *args)
{
    g_autofree char *request = g_strdup_printf("{'execute':'blockdev-add','arguments':%s}", args);

    expect_return(client, request, "{}");
}

static void use(const char *node)
{
    BlockUserOps ops = {
        .name = "/machine/peripheral/vd0/virtio-backend", .writes = true, .resized = on_resized};

    user = block_attach(block_node_find(vm.m->platform.root, node), &ops, NULL);
    ck_assert_ptr_nonnull(user);
    queue = block_queue_new(user, vm.m->platform.loop, NULL);
    ck_assert_ptr_nonnull(queue);
}

static void leave(void)
{
    block_queue_free(queue);
    block_detach(user);
    queue = NULL;
    user = NULL;
}

static void req_done(BlockRequest *req, int ret)
{
}

static void io(BlockOp op, uint64_t offset, size_t len)
{
    static uint8_t buf[65536];
    struct iovec iov = {buf, len};
    BlockRequest req = {.op = op, .offset = offset, .bytes = len, .done = req_done};

    if (op == BLOCK_READ || op == BLOCK_WRITE) {
        req.iov = &iov;
        req.niov = 1;
    }
    block_submit(queue, &req);
    block_drain(queue);
}

/* Member of the first entry of a list. */
static void expect_member(const char *request, const char *path, const char *want)
{
    json_t *list = get_return(client, request), *value = json_array_get(list, 0);
    g_auto(GStrv) keys = g_strsplit(path, "/", 0);

    for (unsigned i = 0; keys[i]; i++) {
        value = json_object_get(value, keys[i]);
    }
    ck_assert_msg(value != NULL, "no %s", path);
    expect_json(json_incref(value), want);
    json_decref(list);
}

START_TEST(nodes_come_and_go)
{
    add_node("{'driver':'null-co','node-name':'n0','size':1048576}");
    expect_member("{'execute':'query-named-block-nodes'}", "node-name", "'n0'");
    expect_member("{'execute':'query-named-block-nodes'}", "image",
                  "{'filename':'null-co://','format':'null-co','virtual-size':1048576,"
                  "'dirty-flag':false}");
    expect_return(client, "{'execute':'query-block'}", "[]");
    expect_error(client,
                 "{'execute':'blockdev-add','arguments':{'driver':'raw','node-name':'n1','file':"
                 "'n1'}}",
                 GENERIC, "there is no block node 'n1'");
    expect_error(client,
                 "{'execute':'blockdev-add','arguments':{'driver':'raw','node-name':'n1','file':"
                 "{'driver':'raw','file':'n1'}}}",
                 GENERIC, "there is no block node 'n1'");
    expect_error(client, "{'execute':'blockdev-add','arguments':{'driver':'null-co'}}", GENERIC,
                 "'node-name' must be specified for the root node");
    expect_return(client, "{'execute':'blockdev-del','arguments':{'node-name':'n0'}}", "{}");
    expect_error(client, "{'execute':'blockdev-del','arguments':{'node-name':'n0'}}", GENERIC,
                 "Failed to find node with node-name='n0'");
    expect_return(client, "{'execute':'query-named-block-nodes'}", "[]");
}
END_TEST

START_TEST(a_disk_in_use_is_shown_and_stays)
{
    add_node("{'driver':'raw','node-name':'r0','file':{'driver':'null-co','node-name':'n0'}}");
    use("r0");
    expect_member("{'execute':'query-block'}", "device", "''");
    expect_member("{'execute':'query-block'}", "qdev", "'/machine/peripheral/vd0/virtio-backend'");
    expect_member("{'execute':'query-block'}", "inserted/node-name", "'r0'");
    expect_member("{'execute':'query-block'}", "inserted/ro", "false");
    expect_member("{'execute':'query-block'}", "inserted/cache",
                  "{'writeback':true,'direct':false,'no-flush':false}");
    expect_error(client, "{'execute':'blockdev-del','arguments':{'node-name':'r0'}}", GENERIC,
                 "Node r0 is in use");
    expect_error(client, "{'execute':'blockdev-del','arguments':{'node-name':'n0'}}", GENERIC,
                 "Node 'n0' is busy: node is used as 'file' of 'r0'");
    leave();
    expect_return(client, "{'execute':'blockdev-del','arguments':{'node-name':'r0'}}", "{}");
    expect_return(client, "{'execute':'query-named-block-nodes'}", "[]");
}
END_TEST

START_TEST(counters_tell_what_a_disk_did)
{
    add_node("{'driver':'null-co','node-name':'n0','discard':'unmap'}");
    use("n0");
    io(BLOCK_READ, 0, 4096);
    io(BLOCK_WRITE, 8192, 512);
    io(BLOCK_WRITE_ZEROES, 0, 1024);
    io(BLOCK_DISCARD, 0, 2048);
    io(BLOCK_FLUSH, 0, 0);
    io(BLOCK_READ, UINT64_C(1) << 40, 512);
    block_account_merged(queue, BLOCK_WRITE, 3);
    block_account_invalid(queue, BLOCK_READ);
    for (unsigned i = 0; i < 8; i++) {
        static const char *const wanted[][2] = {
            {"stats/rd_operations", "1"},        {"stats/rd_bytes", "4096"},
            {"stats/wr_operations", "2"},        {"stats/wr_bytes", "1536"},
            {"stats/unmap_bytes", "2048"},       {"stats/flush_operations", "1"},
            {"stats/failed_rd_operations", "1"}, {"stats/wr_highest_offset", "8704"},
        };

        expect_member("{'execute':'query-blockstats'}", wanted[i][0], wanted[i][1]);
    }
    expect_member("{'execute':'query-blockstats'}", "stats/wr_merged", "3");
    expect_member("{'execute':'query-blockstats'}", "stats/invalid_rd_operations", "1");
    expect_member("{'execute':'query-blockstats'}", "node-name", "'n0'");
    leave();
}
END_TEST

START_TEST(latencies_are_counted_between_boundaries)
{
    add_node("{'driver':'null-co','node-name':'n0','latency-ns':2000000}");
    use("n0");
    expect_return(client,
                  "{'execute':'block-latency-histogram-set','arguments':{'id':'vd0',"
                  "'boundaries':[1000000],'boundaries-read':[10,1000000,3600000000000]}}",
                  "{}");
    io(BLOCK_READ, 0, 512);
    io(BLOCK_FLUSH, 0, 0);
    expect_member("{'execute':'query-blockstats'}", "stats/rd_latency_histogram",
                  "{'boundaries':[10,1000000,3600000000000],'bins':[0,0,1,0]}");
    expect_member("{'execute':'query-blockstats'}", "stats/flush_latency_histogram",
                  "{'boundaries':[1000000],'bins':[0,1]}");
    expect_error(client,
                 "{'execute':'block-latency-histogram-set','arguments':{'id':'vd0',"
                 "'boundaries':[5,5]}}",
                 GENERIC, "boundaries must be positive and ascending");
    expect_error(client, "{'execute':'block-latency-histogram-set','arguments':{'id':'x'}}",
                 "DeviceNotFound", "Device 'x' not found");
    expect_error(client,
                 "{'execute':'block-latency-histogram-set','arguments':{'id':'virtio-backend'}}",
                 "DeviceNotFound", "Device 'virtio-backend' not found");
    expect_return(client,
                  "{'execute':'block-latency-histogram-set','arguments':"
                  "{'id':'/machine/peripheral/vd0/virtio-backend'}}",
                  "{}");
    expect_return(client, "{'execute':'block-latency-histogram-set','arguments':{'id':'vd0'}}",
                  "{}");
    leave();
}
END_TEST

START_TEST(a_disk_is_resized)
{
    add_node("{'driver':'null-co','node-name':'n0','size':1048576}");
    use("n0");
    resizes = 0;
    expect_return(client,
                  "{'execute':'block_resize','arguments':{'node-name':'n0','size':2097152}}", "{}");
    ck_assert_uint_eq(resizes, 1);
    expect_member("{'execute':'query-block'}", "inserted/image/virtual-size", "2097152");
    expect_error(client, "{'execute':'block_resize','arguments':{'device':'x','size':1024}}",
                 GENERIC, "Cannot find device='x' nor node-name=''");
    expect_error(client, "{'execute':'block_resize','arguments':{'node-name':'n0','size':-1}}",
                 GENERIC, "Parameter 'size' expects a >0 size");
    leave();
}
END_TEST

#define THROTTLE(args)                                                                          \
    "{'execute':'block_set_io_throttle','arguments':{'id':'vd0','bps':0,'bps_rd':0,'bps_wr':0," \
    "'iops_rd':0,'iops_wr':0" args "}}"

START_TEST(a_disk_is_throttled_and_set_free)
{
    add_node("{'driver':'null-co','node-name':'n0'}");
    use("n0");
    expect_return(client, THROTTLE(",'iops':100,'iops_max':500,'iops_max_length':2"), "{}");
    expect_member("{'execute':'query-block'}", "inserted/iops", "100");
    expect_member("{'execute':'query-block'}", "inserted/iops_max", "500");
    io(BLOCK_READ, 0, 512);
    expect_error(client, THROTTLE(""), GENERIC, "Parameter 'iops' is missing");
    expect_error(client, THROTTLE(",'iops':100,'iops_max':5"), GENERIC,
                 "iops-total-max must not be less than iops-total");
    expect_error(client, THROTTLE(",'iops':1,'speed':5"), GENERIC,
                 "Parameter 'speed' is unexpected");
    expect_return(client, THROTTLE(",'iops':0"), "{}");
    expect_member("{'execute':'query-block'}", "inserted/iops", "0");
    io(BLOCK_READ, 0, 512);
    leave();
}
END_TEST

START_TEST(a_disk_that_leaves_its_group_leaves_the_others_their_limits)
{
    add_node("{'driver':'null-co','node-name':'n0'}");
    add_node("{'driver':'null-co','node-name':'n1'}");
    use("n0");
    expect_return(client, THROTTLE(",'iops':100,'group':'g'"), "{}");
    expect_return(
        client,
        "{'execute':'block_set_io_throttle','arguments':{'device':'n1','bps':0,'bps_rd':0,"
        "'bps_wr':0,'iops':100,'iops_rd':0,'iops_wr':0,'group':'g'}}",
        "{}");
    expect_return(
        client,
        "{'execute':'block_set_io_throttle','arguments':{'device':'n1','bps':0,'bps_rd':0,"
        "'bps_wr':0,'iops':0,'iops_rd':0,'iops_wr':0}}",
        "{}");
    expect_member("{'execute':'query-block'}", "inserted/iops", "100");
    leave();
}
END_TEST

START_TEST(what_stopped_the_vm_is_shown_until_it_goes_on)
{
    json_t *list, *disk;

    add_node("{'driver':'null-co','node-name':'n0'}");
    use("n0");
    list = get_return(client, "{'execute':'query-block'}");
    disk = json_array_get(list, 0);
    ck_assert_ptr_null(json_object_get(disk, "io-status")); /* errors never stop the VM */
    json_decref(list);
    block_io_status_failed(user, -EIO);
    ck_assert_int_eq(block_io_status(user), BLOCK_IO_STATUS_NONE);
    block_io_status_begin(user);
    expect_member("{'execute':'query-block'}", "io-status", "'ok'");
    block_io_status_failed(user, -ENOSPC);
    expect_member("{'execute':'query-block'}", "io-status", "'nospace'");
    block_io_status_failed(user, -EIO);
    expect_member("{'execute':'query-block'}", "io-status", "'nospace'"); /* the first one */
    block_io_status_begin(user);
    block_io_status_failed(user, -EIO);
    expect_member("{'execute':'query-block'}", "io-status", "'failed'");
    leave();
}
END_TEST

START_TEST(a_disk_tells_how_long_it_was_idle)
{
    json_t *list, *stats;

    add_node("{'driver':'null-co','node-name':'n0'}");
    use("n0");
    list = get_return(client, "{'execute':'query-blockstats'}");
    stats = json_object_get(json_array_get(list, 0), "stats");
    ck_assert_ptr_null(json_object_get(stats, "idle_time_ns"));
    json_decref(list);
    io(BLOCK_READ, 0, 512);
    g_usleep(2000);
    list = get_return(client, "{'execute':'query-blockstats'}");
    stats = json_object_get(json_array_get(list, 0), "stats");
    ck_assert_int_ge(json_integer_value(json_object_get(stats, "idle_time_ns")), 2000000);
    json_decref(list);
    leave();
}
END_TEST

/* Without it a failed or refused request leaves neither time nor an access; how many there were is
 * told. */
START_TEST(what_failed_is_accounted_or_not)
{
    static const char *const nodes[] = {
        "{'driver':'null-co','node-name':'n0','x-account-invalid':false,'x-account-failed':false,"
        "'x-stats-intervals':[60]}",
        "{'driver':'null-co','node-name':'n0','x-stats-intervals':[60]}",
    };
    bool on = _i;
    json_t *list, *stats;

    add_node(nodes[_i]);
    use("n0");
    io(BLOCK_READ, UINT64_C(1) << 40, 512);
    block_account_invalid(queue, BLOCK_READ);
    list = get_return(client, "{'execute':'query-blockstats'}");
    stats = json_object_get(json_array_get(list, 0), "stats");
    ck_assert_int_eq(json_is_true(json_object_get(stats, "account_invalid")), on);
    ck_assert_int_eq(json_is_true(json_object_get(stats, "account_failed")), on);
    ck_assert_int_eq(json_integer_value(json_object_get(stats, "failed_rd_operations")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(stats, "invalid_rd_operations")), 1);
    ck_assert_int_eq(json_integer_value(json_object_get(stats, "rd_total_time_ns")) > 0, on);
    ck_assert_int_eq(json_object_get(stats, "idle_time_ns") != NULL, on);
    stats = json_array_get(json_object_get(stats, "timed_stats"), 0);
    ck_assert_int_eq(json_integer_value(json_object_get(stats, "max_rd_latency_ns")) > 0, on);
    json_decref(list);
    leave();
}
END_TEST

START_TEST(latencies_are_told_over_intervals)
{
    json_t *list, *timed;

    add_node("{'driver':'null-co','node-name':'n0','latency-ns':2000000,"
             "'x-stats-intervals':[60,3600]}");
    use("n0");
    io(BLOCK_READ, 0, 512);
    list = get_return(client, "{'execute':'query-blockstats'}");
    timed = json_object_get(json_object_get(json_array_get(list, 0), "stats"), "timed_stats");
    ck_assert_uint_eq(json_array_size(timed), 2);
    for (unsigned i = 0; i < 2; i++) {
        json_t *t = json_array_get(timed, i);

        ck_assert_int_eq(json_integer_value(json_object_get(t, "interval_length")), i ? 3600 : 60);
        ck_assert_int_ge(json_integer_value(json_object_get(t, "min_rd_latency_ns")), 2000000);
        ck_assert_int_eq(json_integer_value(json_object_get(t, "max_wr_latency_ns")), 0);
        ck_assert_int_eq(json_integer_value(json_object_get(t, "avg_flush_latency_ns")), 0);
        ck_assert(json_real_value(json_object_get(t, "avg_rd_queue_depth")) > 0);
    }
    json_decref(list);
    leave();
}
END_TEST

START_TEST(counters_of_nodes_are_those_of_whoever_uses_them)
{
    json_t *list;

    add_node("{'driver':'raw','node-name':'r0','file':{'driver':'null-co','node-name':'n0'}}");
    add_node("{'driver':'null-co','node-name':'spare'}");
    use("r0");
    io(BLOCK_READ, 0, 4096);
    list = get_return(client, "{'execute':'query-blockstats','arguments':{'query-nodes':true}}");
    ck_assert_uint_eq(json_array_size(list), 3);
    for (unsigned i = 0; i < 3; i++) {
        json_t *node = json_array_get(list, i), *stats = json_object_get(node, "stats");
        const char *name = json_string_value(json_object_get(node, "node-name"));
        bool used = !strcmp(name, "r0");

        ck_assert_ptr_null(json_object_get(node, "device"));
        ck_assert_int_eq(json_integer_value(json_object_get(stats, "rd_bytes")), used ? 4096 : 0);
        ck_assert_int_eq(json_object_get(node, "parent") != NULL, used);
    }
    json_decref(list);
    expect_member("{'execute':'query-blockstats'}", "parent/node-name", "'n0'");
    list = get_return(client, "{'execute':'query-blockstats'}");
    ck_assert_uint_eq(json_array_size(list), 1);
    json_decref(list);
    leave();
}
END_TEST

START_TEST(iothreads_are_listed)
{
    static const struct {
        const char *name, *value;
    } settings[] = {
        {"poll-max-ns", "20000"},
        {"poll-grow", "3"},
        {"poll-shrink", "4"},
        {"poll-max-ns", "0"},
        {"poll-max-ns", "9223372036854775807"},
    };
    json_t *list, *opts;

    expect_return(client, "{'execute':'query-iothreads'}", "[]");
    opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", "io0");
    ck_assert_ptr_nonnull(user_creatable_add(vm.m->platform.root, opts, NULL));
    json_decref(opts);
    expect_member("{'execute':'query-iothreads'}", "id", "'io0'");
    expect_member("{'execute':'query-iothreads'}", "poll-max-ns", "0");
    expect_member("{'execute':'query-iothreads'}", "poll-grow", "0");
    for (unsigned i = 0; i < G_N_ELEMENTS(settings); i++) {
        g_autofree char *set = g_strdup_printf(
            "{'execute':'qom-set', 'arguments':{'path':'/objects/io0', 'property':'%s', "
            "'value':%s}}",
            settings[i].name, settings[i].value);

        expect_return(client, set, "{}");
        expect_member("{'execute':'query-iothreads'}", settings[i].name, settings[i].value);
    }
    ck_assert(
        !property_set_string(object_child(object_container(vm.m->platform.root, "objects"), "io0"),
                             "poll-max-ns", "-1", NULL));
    expect_member("{'execute':'query-iothreads'}", "poll-max-ns", "9223372036854775807");
    list = get_return(client, "{'execute':'query-iothreads'}");
    ck_assert_int_gt(json_integer_value(json_object_get(json_array_get(list, 0), "thread-id")), 0);
    json_decref(list);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-block");
    TCase *tc = tcase_create("block");

    tcase_add_checked_fixture(tc, setup_bare, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, nodes_come_and_go);
    tcase_add_test(tc, a_disk_in_use_is_shown_and_stays);
    tcase_add_test(tc, counters_tell_what_a_disk_did);
    tcase_add_test(tc, latencies_are_counted_between_boundaries);
    tcase_add_test(tc, a_disk_is_resized);
    tcase_add_test(tc, a_disk_is_throttled_and_set_free);
    tcase_add_test(tc, a_disk_that_leaves_its_group_leaves_the_others_their_limits);
    tcase_add_test(tc, what_stopped_the_vm_is_shown_until_it_goes_on);
    tcase_add_test(tc, a_disk_tells_how_long_it_was_idle);
    tcase_add_test(tc, counters_of_nodes_are_those_of_whoever_uses_them);
    tcase_add_loop_test(tc, what_failed_is_accounted_or_not, 0, 2);
    tcase_add_test(tc, latencies_are_told_over_intervals);
    tcase_add_test(tc, iothreads_are_listed);
    return suite_run(s);
}
