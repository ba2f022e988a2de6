/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block nodes, users and queues on the null driver: options, who may use what, how requests begin
 * and end, what is counted.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "backends/block-timed.h"
#include "block-fixture.h"
#include "tests/suite.h"

enum { MIB = 1 << 20 };

/* --- options and nodes --- */

static const struct {
    const char *opts, *message;
} bad_options[] = {
    {"{}", "'driver' is missing"},
    {"{'driver':'nul-co','node-name':'a'}",
     "unknown block driver 'nul-co'; did you mean 'null-co'?"},
    {"{'driver':'qcow2','file':'x'}", "qemu-nbd -f qcow2"},
    {"{'driver':'null-co','node-name':'1a'}", "id '1a' must be letters"},
    {"{'driver':'null-co','node-name':'taken'}", "duplicate nodes with node-name='taken'"},
    {"{'driver':'null-co','sise':'1G'}", "sise"},
    {"{'driver':'null-co','size':'many'}", "many"},
    {"{'driver':'null-co','file':'taken'}", "driver 'null-co' has no 'file'"},
    {"{'driver':'null-co','discard':'always'}", "always"},
    {"{'driver':'null-co','detect-zeroes':'unmap'}", "needs discard=unmap"},
    {"{'driver':'null-co','cache':{'direkt':true}}", "cache.direkt"},
};

START_TEST(a_bad_option_gets_one_line_and_leaves_nothing_behind)
{
    unsigned before;

    node_add("{'driver':'null-co','node-name':'taken'}");
    before = object_container(root, "block-nodes")->children->len;
    node_add_fails(bad_options[_i].message, "%s", bad_options[_i].opts);
    ck_assert_uint_eq(object_container(root, "block-nodes")->children->len, before);
}
END_TEST

START_TEST(a_node_is_found_by_its_name_until_it_is_deleted)
{
    BlockNode *n = node_add("{'driver':'null-co','node-name':'a','size':'2M'}");
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_eq(block_node_find(root, "a"), n);
    ck_assert_str_eq(block_node_name(n), "a");
    ck_assert_uint_eq(block_limits(n)->size, 2 * MIB);
    ck_assert(block_node_del(root, "a", &err));
    ck_assert_ptr_null(block_node_find(root, "a"));
    ck_assert(!block_node_del(root, "a", &err));
    ck_assert_str_eq(err->message, "Failed to find node with node-name='a'");
}
END_TEST

START_TEST(nodes_without_a_name_get_one)
{
    BlockNode *a = node_add("{'driver':'null-co'}"), *b = node_add("{'driver':'null-co'}");

    ck_assert_str_eq(block_node_name(a), "#block000");
    ck_assert_str_eq(block_node_name(b), "#block001");
}
END_TEST

START_TEST(a_node_in_use_cannot_be_deleted)
{
    g_autoptr(GError) err = NULL;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-co','node-name':'a'}"), true);
    ck_assert(!block_node_del(root, "a", &err));
    ck_assert_str_eq(err->message, "Node a is in use");
    disk_close(&d);
    ck_assert(block_node_del(root, "a", NULL));
}
END_TEST

/* --- users --- */

static const struct {
    bool writes, share_rw, writes2, share_rw2, ok;
} sharing[] = {
    {false, false, false, false, true}, {true, false, false, false, false},
    {true, false, false, true, true},   {true, true, true, false, false},
    {true, true, true, true, true},     {false, false, true, false, false},
};

START_TEST(two_users_share_a_node_when_both_allow_it)
{
    BlockNode *n = node_add("{'driver':'null-co','node-name':'a'}");
    BlockUserOps first = {
        .name = "one", .writes = sharing[_i].writes, .share_rw = sharing[_i].share_rw};
    BlockUserOps second = {
        .name = "two", .writes = sharing[_i].writes2, .share_rw = sharing[_i].share_rw2};
    BlockUser *u = block_attach(n, &first, NULL), *v;
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_nonnull(u);
    v = block_attach(n, &second, &err);
    ck_assert_int_eq(v != NULL, sharing[_i].ok);
    if (!v) {
        ck_assert_ptr_nonnull(strstr(err->message, "block node 'a' is in use by 'one'"));
    }
    block_detach(v);
    block_detach(u);
}
END_TEST

START_TEST(a_read_only_node_has_no_writers)
{
    BlockNode *n = node_add("{'driver':'null-co','node-name':'a','read-only':true}");
    BlockUserOps ops = {.name = "one", .writes = true};
    g_autoptr(GError) err = NULL;
    Disk d;

    ck_assert_ptr_null(block_attach(n, &ops, &err));
    ck_assert_str_eq(err->message, "block node 'a' is read-only");
    disk_open(&d, n, false);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE_ZEROES, 0, NULL, 512), -EROFS);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    disk_close(&d);
}
END_TEST

/* --- requests --- */

START_TEST(every_operation_ends_once_and_not_within_submit)
{
    BlockOp op = (BlockOp)_i;
    uint8_t buf[512];
    BlockStats st;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-co','discard':'unmap'}"), true);
    ck_assert_int_eq(disk_io(&d, op, 0, buf, op == BLOCK_FLUSH ? 0 : sizeof buf), 0);
    ck_assert_uint_eq(block_in_flight(d.q), 0);
    block_stats(d.user, &st);
    ck_assert_uint_eq(st.ops[op], 1);
    ck_assert_uint_eq(st.bytes[op], op == BLOCK_FLUSH ? 0 : sizeof buf);
    disk_close(&d);
}
END_TEST

START_TEST(null_reads_give_zeroes_when_asked_for)
{
    uint8_t buf[1024];
    Disk d;

    memset(buf, 7, sizeof buf);
    disk_open(&d, node_add("{'driver':'null-co'}"), false);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), 0);
    expect_bytes(buf, 7, sizeof buf);
    disk_close(&d);
    disk_open(&d, node_add("{'driver':'null-co','read-zeroes':true}"), false);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), 0);
    expect_bytes(buf, 0, sizeof buf);
    disk_close(&d);
}
END_TEST

START_TEST(a_request_beyond_the_end_fails)
{
    uint8_t buf[512];
    BlockStats st;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-co','size':1024}"), true);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 512, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 1024, buf, 512), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, UINT64_MAX - 100, buf, 512), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 1024, buf, 0), 0);
    block_stats(d.user, &st);
    ck_assert_uint_eq(st.failed[BLOCK_READ], 1);
    ck_assert_uint_eq(st.failed[BLOCK_WRITE], 1);
    disk_close(&d);
}
END_TEST

START_TEST(drain_ends_everything_without_the_loop)
{
    enum { N = 20 };
    Io io[N];
    Disk d;

    disk_open(&d, node_add("{'driver':'null-aio','latency-ns':%d}", _i ? 200000 : 0), true);
    for (unsigned i = 0; i < N; i++) {
        io_init(&io[i], BLOCK_FLUSH, 0, NULL, 0);
        block_submit(d.q, &io[i].req);
    }
    ck_assert_uint_eq(block_in_flight(d.q), N);
    block_drain(d.q);
    ck_assert_uint_eq(block_in_flight(d.q), 0);
    for (unsigned i = 0; i < N; i++) {
        ck_assert_uint_eq(io[i].done, 1);
        ck_assert_int_eq(io[i].ret, 0);
    }
    loop_iterate(loop, false);
    disk_close(&d);
}
END_TEST

START_TEST(requests_of_a_slow_disk_can_be_cancelled)
{
    Io io[3];
    Disk d;

    disk_open(&d, node_add("{'driver':'null-aio','latency-ns':50000000}"), true);
    for (unsigned i = 0; i < 3; i++) {
        io_init(&io[i], BLOCK_FLUSH, 0, NULL, 0);
        block_submit(d.q, &io[i].req);
    }
    block_cancel(&io[2].req);
    block_cancel(&io[2].req);
    block_cancel(&io[0].req);
    ck_assert_uint_eq(io[0].done + io[2].done, 0);
    block_drain(d.q);
    ck_assert_int_eq(io[0].ret, -ECANCELED);
    ck_assert_int_eq(io[1].ret, 0);
    ck_assert_int_eq(io[2].ret, -ECANCELED);
    disk_close(&d);
}
END_TEST

/* A device under load: the next request is made where the last one ends. */
typedef struct {
    BlockRequest req;
    Disk *d;
    unsigned done;
} Chain;

static void chain_done(BlockRequest *req, int ret)
{
    Chain *c = (Chain *)req;

    if (++c->done < 1000) {
        block_submit(c->d->q, req);
    }
}

START_TEST(done_may_submit_the_next_request)
{
    Disk d;
    Chain c = {.req = {.op = BLOCK_FLUSH, .done = chain_done}, .d = &d};

    disk_open(&d, node_add("{'driver':'null-co'}"), true);
    block_submit(d.q, &c.req);
    loop_until_done(&d, &c.done, 1000);
    disk_close(&d);
}
END_TEST

/* --- policy --- */

START_TEST(detect_zeroes_turns_writes_of_zeroes_into_write_zeroes)
{
    static uint8_t buf[8192];
    BlockStats st;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-co','detect-zeroes':'on'}"), true);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    buf[sizeof buf - 1] = 1;
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    block_stats(d.user, &st);
    ck_assert_uint_eq(st.ops[BLOCK_WRITE], 2); /* the user sees what it asked for */
    ck_assert_uint_eq(st.ops[BLOCK_WRITE_ZEROES], 0);
    disk_close(&d);
}
END_TEST

START_TEST(discard_is_offered_with_discard_unmap_only)
{
    ck_assert_uint_eq(block_limits(node_add("{'driver':'null-co'}"))->max_discard, 0);
    ck_assert_uint_gt(block_limits(node_add("{'driver':'null-co','discard':'on'}"))->max_discard,
                      0);
}
END_TEST

/* --- resize, statistics --- */

START_TEST(users_hear_of_a_resize)
{
    g_autoptr(GError) err = NULL;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-co','node-name':'a'}"), true);
    ck_assert(block_node_resize(d.node, 4 * MIB, &err));
    ck_assert_uint_eq(d.resized, 1);
    ck_assert_uint_eq(block_limits(d.node)->size, 4 * MIB);
    ck_assert(!block_node_resize(d.node, 100, &err));
    ck_assert_ptr_nonnull(strstr(err->message, "multiple of 512"));
    ck_assert_uint_eq(d.resized, 1);
    disk_close(&d);
}
END_TEST

START_TEST(a_histogram_counts_latencies)
{
    static const uint64_t bounds[] = {1000000, 10000000000};
    const uint64_t *b, *bins;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-aio','latency-ns':2000000}"), true);
    ck_assert(block_histogram_set(d.user, BLOCK_FLUSH, bounds, 2));
    ck_assert(!block_histogram_set(d.user, BLOCK_FLUSH, (uint64_t[]){5, 5}, 2));
    ck_assert(!block_histogram_set(d.user, BLOCK_FLUSH, (uint64_t[]){0}, 1));
    disk_io(&d, BLOCK_FLUSH, 0, NULL, 0);
    ck_assert_uint_eq(block_histogram(d.user, BLOCK_FLUSH, &b, &bins), 2);
    ck_assert_uint_eq(bins[0], 0);
    ck_assert_uint_eq(bins[1], 1);
    ck_assert_uint_eq(bins[2], 0);
    ck_assert(block_histogram_set(d.user, BLOCK_FLUSH, NULL, 0));
    ck_assert_uint_eq(block_histogram(d.user, BLOCK_FLUSH, &b, &bins), 0);
    disk_close(&d);
}
END_TEST

/* With times of its own: an interval of 10 s, windows that begin every 5. */
START_TEST(an_interval_tells_of_the_recent_past)
{
    enum { S = 1000000000 };
    BlockTimed *t = block_timed_new(10, 0);
    BlockTimedSum sum;

    block_timed_sum(t, BLOCK_READ, 0, &sum);
    ck_assert_uint_eq(sum.max, 0);
    block_timed_count(t, BLOCK_READ, 2 * (int64_t)S, 100);
    block_timed_count(t, BLOCK_READ, 4 * (int64_t)S, 300);
    block_timed_count(t, BLOCK_WRITE_ZEROES, 4 * (int64_t)S, 2 * (uint64_t)S);
    block_timed_count(t, BLOCK_DISCARD, 4 * (int64_t)S, 7);
    block_timed_sum(t, BLOCK_READ, 9 * (int64_t)S, &sum);
    ck_assert_uint_eq(sum.min, 100);
    ck_assert_uint_eq(sum.max, 300);
    ck_assert_uint_eq(sum.avg, 200);
    block_timed_sum(t, BLOCK_WRITE, 8 * (int64_t)S, &sum);
    ck_assert_uint_eq(sum.avg, 2 * (uint64_t)S);
    ck_assert(sum.depth > 0.249 && sum.depth < 0.251); /* 2 of 8 seconds */
    block_timed_count(t, BLOCK_READ, 12 * (int64_t)S, 50);
    block_timed_sum(t, BLOCK_READ, 12 * (int64_t)S, &sum); /* since 5 s, where a window began */
    ck_assert_uint_eq(sum.min, 50);
    block_timed_sum(t, BLOCK_READ, 100 * (int64_t)S, &sum);
    ck_assert_uint_eq(sum.max, 0);
    block_timed_free(t);
}
END_TEST

START_TEST(counters_outlive_their_queue)
{
    BlockStats st;
    Disk d;

    disk_open(&d, node_add("{'driver':'null-co'}"), true);
    disk_io(&d, BLOCK_FLUSH, 0, NULL, 0);
    block_account_merged(d.q, BLOCK_WRITE, 3);
    block_account_invalid(d.q, BLOCK_READ);
    block_queue_free(d.q);
    block_stats(d.user, &st);
    ck_assert_uint_eq(st.ops[BLOCK_FLUSH], 1);
    ck_assert_uint_eq(st.merged[BLOCK_WRITE], 3);
    ck_assert_uint_eq(st.invalid[BLOCK_READ], 1);
    block_detach(d.user);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block");
    TCase *tc = block_case(s, "block");

    tcase_add_loop_test(tc, a_bad_option_gets_one_line_and_leaves_nothing_behind, 0,
                        G_N_ELEMENTS(bad_options));
    tcase_add_test(tc, a_node_is_found_by_its_name_until_it_is_deleted);
    tcase_add_test(tc, nodes_without_a_name_get_one);
    tcase_add_test(tc, a_node_in_use_cannot_be_deleted);
    tcase_add_loop_test(tc, two_users_share_a_node_when_both_allow_it, 0, G_N_ELEMENTS(sharing));
    tcase_add_test(tc, a_read_only_node_has_no_writers);
    tcase_add_loop_test(tc, every_operation_ends_once_and_not_within_submit, 0, BLOCK_OPS);
    tcase_add_test(tc, null_reads_give_zeroes_when_asked_for);
    tcase_add_test(tc, a_request_beyond_the_end_fails);
    tcase_add_loop_test(tc, drain_ends_everything_without_the_loop, 0, 2);
    tcase_add_test(tc, requests_of_a_slow_disk_can_be_cancelled);
    tcase_add_test(tc, done_may_submit_the_next_request);
    tcase_add_test(tc, detect_zeroes_turns_writes_of_zeroes_into_write_zeroes);
    tcase_add_test(tc, discard_is_offered_with_discard_unmap_only);
    tcase_add_test(tc, users_hear_of_a_resize);
    tcase_add_test(tc, a_histogram_counts_latencies);
    tcase_add_test(tc, an_interval_tells_of_the_recent_past);
    tcase_add_test(tc, counters_outlive_their_queue);
    return suite_run(s);
}
