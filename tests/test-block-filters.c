/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filters: faults by rule, throttle groups on a clock that the test moves, and temporary overlays.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/block-throttle.h"
#include "backends/user-creatable.h"
#include "block-model.h"
#include "tests/suite.h"

enum { MIB = 1 << 20, KIB = 1 << 10 };
static const int64_t second = 1000000000;

/* --- blkdebug --- */

static void debug_disk(Disk *d, const char *path, const char *rules)
{
    disk_open(d,
              node_add("{'driver':'blkdebug','node-name':'dbg','image':{'driver':'file','filename':"
                       "'%s'},'inject-error':%s}",
                       path, rules),
              true);
}

static const struct {
    const char *rules, *message;
} bad_rules[] = {
    {"[1]", "a rule is an object"},
    {"[{'iotype':'trim'}]", "iotype is one of read, write"},
    {"[{'nth':'x'}]", "x"},
    {"[{'nth':-1}]", "must be a number"},
    {"[{'evnt':1}]", "unknown or bad 'evnt'"},
    {"[{'errno':5000}]", "unknown or bad 'errno'"},
};

START_TEST(a_bad_rule_gets_one_line)
{
    node_add_fails(bad_rules[_i].message,
                   "{'driver':'blkdebug','image':{'driver':'null-co'},'inject-error':%s}",
                   bad_rules[_i].rules);
}
END_TEST

START_TEST(the_nth_write_fails_and_from_then_on_all)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[512] = {1};
    Disk d;

    debug_disk(&d, path, "[{'iotype':'write','nth':3,'errno':28}]");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -ENOSPC);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -ENOSPC);
    disk_close(&d);
}
END_TEST

START_TEST(a_rule_can_be_for_once_and_for_one_sector)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[1024] = {1};
    Disk d;

    debug_disk(&d, path, "[{'sector':5,'once':true},{'iotype':'flush','once':true,'errno':1}]");
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 3 * 512, buf, 1024), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 4 * 512, buf, 1024), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 4 * 512, buf, 1024), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), -EPERM);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    disk_close(&d);
}
END_TEST

START_TEST(a_torn_write_leaves_its_beginning_behind)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[4096];
    Disk d;

    debug_disk(&d, path, "[{'iotype':'write','once':true,'torn':1024}]");
    memset(buf, 7, sizeof buf);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), 0);
    expect_bytes(buf, 7, 1024);
    expect_bytes(buf + 1024, 0, sizeof buf - 1024);
    disk_close(&d);
}
END_TEST

START_TEST(a_torn_read_gives_its_beginning)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[4096];
    Disk d;

    debug_disk(&d, path, "[{'iotype':'read','once':true,'torn':1024}]");
    memset(buf, 7, sizeof buf);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), -EIO);
    expect_bytes(buf, 0, 1024);
    expect_bytes(buf + 1024, 7, sizeof buf - 1024);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), 0);
    disk_close(&d);
}
END_TEST

START_TEST(delays_let_later_requests_pass_and_drain_ends_them)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[512];
    Io slow[2], fast;
    Disk d;

    debug_disk(&d, path, "[{'iotype':'flush','delay-ns':3000000000000,'errno':0}]");
    for (unsigned i = 0; i < 2; i++) {
        io_init(&slow[i], BLOCK_FLUSH, 0, NULL, 0);
        block_submit(d.q, &slow[i].req);
    }
    io_init(&fast, BLOCK_READ, 0, buf, 512);
    block_submit(d.q, &fast.req);
    io_wait(&d, &fast);
    ck_assert_uint_eq(slow[0].done, 0);
    block_cancel(&slow[0].req);
    io_wait(&d, &slow[0]);
    ck_assert_int_eq(slow[0].ret, -ECANCELED);
    block_drain(d.q);
    ck_assert_int_eq(slow[1].ret, 0);
    disk_close(&d);
}
END_TEST

START_TEST(a_short_delay_ends_by_itself)
{
    int64_t begin = g_get_monotonic_time();
    Disk d;

    disk_open(&d,
              node_add("{'driver':'blkdebug','image.driver':'null-co',"
                       "'inject-error.0.delay-ns':'20000000','inject-error.0.errno':'0'}"),
              true);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_ge(g_get_monotonic_time() - begin, 20000);
    disk_close(&d);
}
END_TEST

START_TEST(rules_change_while_the_disk_is_in_use)
{
    g_autofree char *path = make_file("disk", MIB);
    json_t *none = json_array();
    Disk d;

    debug_disk(&d, path, "[{}]");
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), -EIO);
    ck_assert(property_set_json(OBJECT(d.node), "inject-error", none, NULL));
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    json_decref(none);
    disk_close(&d);
}
END_TEST

/* --- throttling --- */

typedef struct {
    Clock *clock;
    ThrottleGroup *g;
    Disk d;
    Io io[400];
    unsigned n;
} Limited;

static void limited_open(Limited *l, const char *limits)
{
    g_autofree char *text = g_strdup(limits);
    g_autoptr(GError) err = NULL;
    json_t *opts, *value;

    *l = (Limited){.clock = clock_new_manual()};
    opts = json_pack("{s:s, s:s}", "qom-type", "throttle-group", "id", "tg");
    type_register(&throttle_group_type);
    l->g = THROTTLE_GROUP(user_creatable_add(root, opts, &err));
    json_decref(opts);
    throttle_group_use_clock(l->g, l->clock);
    g_strdelimit(text, "'", '"');
    value = json_loads(text, 0, NULL);
    ck_assert_msg(property_set_json(OBJECT(l->g), "limits", value, &err), "%s",
                  err ? err->message : "");
    json_decref(value);
    disk_open(&l->d,
              node_add("{'driver':'throttle','throttle-group':'tg','node-name':'d','file':"
                       "{'driver':'null-co','size':'1G'}}"),
              true);
}

static void limited_close(Limited *l)
{
    disk_close(&l->d);
    ck_assert(block_node_del(root, "d", NULL));
    object_unparent(OBJECT(l->g));
    clock_free(l->clock);
}

static void limited_submit(Limited *l, BlockOp op, size_t len, unsigned n)
{
    static uint8_t buf[MIB];

    for (unsigned i = 0; i < n; i++, l->n++) {
        io_init(&l->io[l->n], op, 0, buf, len);
        block_submit(l->d.q, &l->io[l->n].req);
    }
}

/* Requests that are done at a time of the clock. */
static unsigned done_at(Limited *l, int64_t ns)
{
    unsigned done = 0;

    clock_step_to(l->clock, ns);
    while (loop_iterate(loop, false)) {
    }
    for (unsigned i = 0; i < l->n; i++) {
        done += l->io[i].done;
    }
    return done;
}

START_TEST(requests_per_second_are_kept)
{
    Limited l;

    limited_open(&l, "{'iops-total':100}");
    limited_submit(&l, BLOCK_READ, 4096, 200);
    limited_submit(&l, BLOCK_WRITE, 4096, 100);
    /* A tenth of a second's worth at once, and the one that goes over the brim. */
    ck_assert_uint_eq(done_at(&l, 0), 11);
    ck_assert_uint_le(done_at(&l, second), 114);
    ck_assert_uint_ge(done_at(&l, second), 108);
    ck_assert_uint_le(done_at(&l, 2 * second), 214);
    ck_assert_uint_ge(l.io[280].done, 1); /* writes have their turns */
    ck_assert_uint_eq(done_at(&l, 4 * second), 300);
    limited_close(&l);
}
END_TEST

START_TEST(reads_and_writes_have_their_own_limits)
{
    Limited l;

    limited_open(&l, "{'iops-read':10,'iops-write':1000}");
    limited_submit(&l, BLOCK_READ, 4096, 20);
    limited_submit(&l, BLOCK_WRITE, 4096, 50);
    ck_assert_uint_eq(done_at(&l, 0), 2 + 50);
    ck_assert_uint_eq(done_at(&l, second / 2), 7 + 50);
    ck_assert_uint_eq(done_at(&l, 2 * second), 70);
    limited_close(&l);
}
END_TEST

START_TEST(bytes_per_second_are_kept)
{
    Limited l;

    limited_open(&l, "{'bps-total':1048576}");
    limited_submit(&l, BLOCK_READ, 128 * KIB, 40); /* 5 MiB */
    ck_assert_uint_eq(done_at(&l, 0), 1);
    ck_assert_uint_le(done_at(&l, second), 10);
    ck_assert_uint_ge(done_at(&l, second), 8);
    ck_assert_uint_eq(done_at(&l, 6 * second), 40);
    limited_close(&l);
}
END_TEST

START_TEST(a_burst_passes_at_its_own_rate_and_for_its_own_time)
{
    Limited l;

    limited_open(&l, "{'iops-total':10,'iops-total-max':100,'iops-total-max-length':2}");
    limited_submit(&l, BLOCK_READ, 512, 400);
    ck_assert_uint_le(done_at(&l, 0), 11);
    /* 100 a second while the burst lasts: about 2 s, then 10 a second. */
    ck_assert_uint_ge(done_at(&l, second), 105);
    ck_assert_uint_le(done_at(&l, second), 115);
    ck_assert_uint_ge(done_at(&l, 3 * second), 200);
    ck_assert_uint_le(done_at(&l, 3 * second), 240);
    ck_assert_uint_le(done_at(&l, 5 * second), 260);
    block_drain(l.d.q);
    limited_close(&l);
}
END_TEST

START_TEST(a_large_request_counts_as_several)
{
    Limited l;

    limited_open(&l, "{'iops-total':10,'iops-size':4096}");
    limited_submit(&l, BLOCK_WRITE, 40 * KIB, 5); /* 10 each */
    ck_assert_uint_eq(done_at(&l, 0), 1);
    ck_assert_uint_eq(done_at(&l, second), 2);
    ck_assert_uint_eq(done_at(&l, 2 * second), 3);
    block_drain(l.d.q);
    limited_close(&l);
}
END_TEST

START_TEST(flushes_are_not_throttled)
{
    Limited l;

    limited_open(&l, "{'iops-total':1}");
    limited_submit(&l, BLOCK_FLUSH, 0, 50);
    ck_assert_uint_eq(done_at(&l, 0), 50);
    limited_close(&l);
}
END_TEST

START_TEST(drain_and_cancel_reach_what_is_held_back)
{
    Limited l;

    limited_open(&l, "{'iops-total':1}");
    limited_submit(&l, BLOCK_READ, 512, 10);
    ck_assert_uint_eq(done_at(&l, 0), 1);
    block_cancel(&l.io[9].req);
    ck_assert_uint_eq(done_at(&l, 0), 2);
    ck_assert_int_eq(l.io[9].ret, -ECANCELED);
    block_drain(l.d.q);
    ck_assert_uint_eq(done_at(&l, 0), 10);
    ck_assert_int_eq(l.io[8].ret, 0);
    limited_close(&l);
}
END_TEST

START_TEST(two_disks_share_a_group)
{
    Limited l;
    Disk other;
    Io io;

    limited_open(&l, "{'iops-total':10}");
    disk_open(&other,
              node_add("{'driver':'throttle','throttle-group':'tg','node-name':'e','file':"
                       "{'driver':'null-co'}}"),
              true);
    limited_submit(&l, BLOCK_READ, 512, 2);
    io_init(&io, BLOCK_DISCARD, 0, NULL, 0);
    io.req.op = BLOCK_WRITE_ZEROES;
    io.req.bytes = 512;
    block_submit(other.q, &io.req);
    ck_assert_uint_eq(done_at(&l, 0), 2);
    ck_assert_uint_eq(io.done, 0);
    ck_assert_uint_eq(done_at(&l, second), 2);
    ck_assert_uint_eq(io.done, 1);
    disk_close(&other);
    ck_assert(block_node_del(root, "e", NULL));
    limited_close(&l);
}
END_TEST

START_TEST(limits_can_be_put_on_a_disk_in_use_and_taken_off)
{
    Clock *clock = clock_new_manual();
    ThrottleGroup *g;
    Disk d;
    Io io[3];

    type_register(&throttle_group_type);
    g = throttle_group_make(root, "g");
    throttle_group_use_clock(g, clock);
    ck_assert(throttle_group_set(g, &(ThrottleLimits){.bucket[THROTTLE_IOPS_WRITE].avg = 1}, NULL));
    disk_open(&d, node_add("{'driver':'null-co','node-name':'a'}"), true);
    block_node_set_throttle(d.node, g);
    for (unsigned i = 0; i < 3; i++) {
        io_init(&io[i], BLOCK_WRITE_ZEROES, 0, NULL, 512);
        block_submit(d.q, &io[i].req);
    }
    while (loop_iterate(loop, false)) {
    }
    ck_assert_uint_eq(io[0].done, 1);
    ck_assert_uint_eq(io[1].done, 0);
    block_node_set_throttle(d.node, NULL); /* drains */
    ck_assert_uint_eq(io[2].done, 1);
    disk_close(&d);
    ck_assert(block_node_del(root, "a", NULL));
    object_unparent(OBJECT(g));
    clock_free(clock);
}
END_TEST

static const struct {
    const char *limits, *message;
} bad_limits[] = {
    {"{'iops-total':10,'iops-read':5}", "iops-total and limits of reads or writes cannot be used"},
    {"{'iops-total':10,'iops-total-max':5}", "iops-total-max must not be less than iops-total"},
    {"{'iops-total-max':5}", "need iops-total"},
    {"{'bps-read':5,'bps-read-max-length':5}", "bps-read-max-length needs bps-read-max"},
    {"{'bps-read':1e30}", "'bps-read' must be a number"},
    {"{'bps-read':2000000000000000}", "values must be within 0 and"},
    {"{'ipos':1}", "unknown 'ipos'"},
};

START_TEST(limits_that_make_no_sense_are_refused)
{
    g_autofree char *text = g_strdup_printf("{'qom-type':'throttle-group','id':'tg','limits':%s}",
                                            bad_limits[_i].limits);
    g_autoptr(GError) err = NULL;
    json_t *opts;

    type_register(&throttle_group_type);
    g_strdelimit(text, "'", '"');
    opts = json_loads(text, 0, NULL);
    ck_assert_ptr_null(user_creatable_add(root, opts, &err));
    ck_assert_msg(strstr(err->message, bad_limits[_i].message) != NULL, "%s", err->message);
    json_decref(opts);
    node_add_fails("there is no -object throttle-group,id=tg",
                   "{'driver':'throttle','throttle-group':'tg','file':{'driver':'null-co'}}");
}
END_TEST

/* --- overlays --- */

START_TEST(an_overlay_keeps_what_is_written_and_the_base_stays)
{
    g_autofree char *path = make_file("base", 4 * MIB);
    g_autofree uint8_t *base = g_malloc(4 * MIB);
    g_autofree char *after = NULL;
    ModelSpec spec = {.seed = 77, .batches = 100, .align = 512, .initial = base};
    gsize len;
    Disk d;

    for (unsigned i = 0; i < 4 * MIB; i++) {
        base[i] = (uint8_t)(i / 512 + i);
    }
    ck_assert(g_file_set_contents(path, (char *)base, 4 * MIB, NULL));
    disk_open(&d,
              node_add("{'driver':'overlay','directory':'%s','discard':'unmap','backing':"
                       "{'driver':'file','filename':'%s','read-only':true}}",
                       dir, path),
              true);
    model_run(&d, &spec);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    disk_close(&d);
    ck_assert(g_file_get_contents(path, &after, &len, NULL));
    ck_assert_uint_eq(len, 4 * MIB);
    ck_assert_int_eq(memcmp(after, base, len), 0);
}
END_TEST

START_TEST(an_overlay_leaves_no_file_behind)
{
    GDir *d;

    node_add("{'driver':'overlay','directory':'%s','backing':{'driver':'null-co'}}", dir);
    d = g_dir_open(dir, 0, NULL);
    ck_assert_ptr_null(g_dir_read_name(d));
    g_dir_close(d);
    node_add_fails("cannot make a temporary file in '/nowhere'",
                   "{'driver':'overlay','directory':'/nowhere','backing':{'driver':'null-co'}}");
    node_add_fails("'backing' is missing", "{'driver':'overlay'}");
}
END_TEST

START_TEST(what_was_discarded_in_an_overlay_reads_as_zeroes)
{
    g_autofree char *path = make_file("base", MIB);
    uint8_t buf[2048];
    Disk d;

    memset(buf, 5, sizeof buf);
    ck_assert(g_file_set_contents(path, (char *)buf, sizeof buf, NULL));
    disk_open(&d,
              node_add("{'driver':'overlay','directory':'%s','discard':'unmap','backing':"
                       "{'driver':'file','filename':'%s'}}",
                       dir, path),
              true);
    ck_assert_int_eq(disk_io(&d, BLOCK_DISCARD, 512, NULL, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), 0);
    expect_bytes(buf, 5, 512);
    expect_bytes(buf + 512, 0, 512);
    expect_bytes(buf + 1024, 5, 1024);
    disk_close(&d);
}
END_TEST

/* --- integrity of filters on filters --- */

#define NULL_DISK        "{'driver':'null-co','size':'4M','read-zeroes':true}"
#define FILE_DISK        "{'driver':'file','filename':'%s','discard':'unmap'}"
#define OVERLAY(backing) "{'driver':'overlay','discard':'unmap','backing':" backing "}"
#define THROTTLE(file) \
    "{'driver':'throttle','throttle-group':'tg','discard':'unmap','file':" file "}"
/* Some requests of each kind are late, so that later ones pass them. */
#define DEBUG(file)                                                                         \
    "{'driver':'blkdebug','discard':'unmap','image':" file                                  \
    ",'inject-error':[{'iotype':'write','once':true,'nth':5,'delay-ns':2000000,'errno':0}," \
    "{'iotype':'write','once':true,'nth':50,'delay-ns':2000000,'errno':0},"                 \
    "{'iotype':'read','once':true,'nth':9,'delay-ns':2000000,'errno':0},"                   \
    "{'iotype':'write-zeroes','once':true,'nth':2,'delay-ns':2000000,'errno':0}]}"

static const char *const stacks[] = {
    OVERLAY(NULL_DISK),
    OVERLAY(OVERLAY(NULL_DISK)),
    THROTTLE(OVERLAY(NULL_DISK)),
    DEBUG(OVERLAY(NULL_DISK)),
    OVERLAY(THROTTLE(DEBUG(NULL_DISK))),
    OVERLAY(FILE_DISK),
    DEBUG(FILE_DISK),
    THROTTLE(DEBUG(FILE_DISK)),
    OVERLAY(DEBUG("{'driver':'raw','discard':'unmap','offset':1048576,'size':4194304,"
                  "'file':" FILE_DISK "}")),
    DEBUG("{'driver':'raw','discard':'unmap','offset':1048576,'size':4194304,'file':" FILE_DISK
          "}"),
};

START_TEST(what_was_written_through_filters_is_read_back)
{
    g_autofree char *path = make_file("disk", 8 * MIB);
    g_auto(GStrv) parts = g_strsplit(stacks[_i], "%s", 2);
    g_autofree char *text = g_strjoinv(path, parts);
    ModelSpec spec = {.seed = 800 + (unsigned)_i, .batches = 40, .align = 512, .misalign = 1};
    json_t *group = json_pack("{s:s, s:s, s:s, s:s}", "qom-type", "throttle-group", "id", "tg",
                              "x-iops-total", "20000", "x-iops-total-max", "40000");
    Object *tg;
    Disk d;

    type_register(&throttle_group_type);
    tg = user_creatable_add(root, group, NULL);
    ck_assert_ptr_nonnull(tg);
    json_decref(group);
    g_setenv("TMPDIR", dir, true);
    disk_open(&d, node_add("%s", text), true);
    model_run(&d, &spec);
    disk_close(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-filters");
    TCase *debug = block_case(s, "blkdebug"), *throttle = block_case(s, "throttle");
    TCase *overlay = block_case(s, "overlay"), *stack = block_case(s, "stack");

    tcase_add_loop_test(debug, a_bad_rule_gets_one_line, 0, G_N_ELEMENTS(bad_rules));
    tcase_add_test(debug, the_nth_write_fails_and_from_then_on_all);
    tcase_add_test(debug, a_rule_can_be_for_once_and_for_one_sector);
    tcase_add_test(debug, a_torn_write_leaves_its_beginning_behind);
    tcase_add_test(debug, a_torn_read_gives_its_beginning);
    tcase_add_test(debug, delays_let_later_requests_pass_and_drain_ends_them);
    tcase_add_test(debug, a_short_delay_ends_by_itself);
    tcase_add_test(debug, rules_change_while_the_disk_is_in_use);
    tcase_add_test(throttle, requests_per_second_are_kept);
    tcase_add_test(throttle, reads_and_writes_have_their_own_limits);
    tcase_add_test(throttle, bytes_per_second_are_kept);
    tcase_add_test(throttle, a_burst_passes_at_its_own_rate_and_for_its_own_time);
    tcase_add_test(throttle, a_large_request_counts_as_several);
    tcase_add_test(throttle, flushes_are_not_throttled);
    tcase_add_test(throttle, drain_and_cancel_reach_what_is_held_back);
    tcase_add_test(throttle, two_disks_share_a_group);
    tcase_add_test(throttle, limits_can_be_put_on_a_disk_in_use_and_taken_off);
    tcase_add_loop_test(throttle, limits_that_make_no_sense_are_refused, 0,
                        G_N_ELEMENTS(bad_limits));
    tcase_add_test(overlay, an_overlay_keeps_what_is_written_and_the_base_stays);
    tcase_add_test(overlay, an_overlay_leaves_no_file_behind);
    tcase_add_test(overlay, what_was_discarded_in_an_overlay_reads_as_zeroes);
    tcase_set_timeout(stack, 60);
    tcase_add_loop_test(stack, what_was_written_through_filters_is_read_back, 0,
                        G_N_ELEMENTS(stacks));
    return suite_run(s);
}
