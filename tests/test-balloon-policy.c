/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -object balloon-policy on a balloon that is played by a driver without guest, and where it learns
 * of host pressure. A cgroup is a folder with files that the test writes.
 */
#include <check.h>
#include <glib/gstdio.h>
#include <linux/virtio_balloon.h>
#include <string.h>
#include <unistd.h>

#include "backends/pressure.h"
#include "backends/user-creatable.h"
#include "core/le.h"
#include "hw/core/memory-balloon.h"
#include "hw/virtio/devices.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum { STATS = 2, ACTUAL = 4, PAGE = 4096, MSEC = 1000000 };
#define MIB    (UINT64_C(1) << 20)
#define SECOND INT64_C(1000000000)
#define RAM    (FAKE_RAM_SIZE + (UINT64_C(1) << 30))

static char *cgroup;

static void write_file(const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(cgroup, name, NULL);

    g_assert(g_file_set_contents(path, text, -1, NULL));
}

/* In place, as the kernel's own files change: whoever has them open reads it. */
static void rewrite(const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(cgroup, name, NULL);
    FILE *f = fopen(path, "w");

    g_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

static void remove_file(const char *name)
{
    g_autofree char *path = g_build_filename(cgroup, name, NULL);

    unlink(path);
}

static void setup(void)
{
    type_register(&balloon_policy_type);
    cgroup = g_dir_make_tmp("cgroup-XXXXXX", NULL);
    write_file("memory.current", "1000000\n");
    write_file("memory.high", "100000000\n");
    write_file("memory.max", "max\n");
}

static void teardown(void)
{
    remove_file("memory.current");
    remove_file("memory.high");
    remove_file("memory.max");
    remove_file("memory.pressure");
    g_rmdir(cgroup);
    g_free(cgroup);
}

static void press(bool on)
{
    rewrite("memory.current", on ? "99000000\n" : "1000000\n");
}

/* --- the policy --- */

static FakeDriver *driver(unsigned cell)
{
    return fake_driver_probe_on(fake_machine_new(UINT64_C(1) << 30), "virtio-balloon", cell, NULL);
}

/* props: "name=value;...". %s: the folder. */
static Object *policy(FakeDriver *d, const char *id, const char *props, GError **err)
{
    bool part =
        memory_balloon_find(OBJECT(d->dev)) != NULL; /* of its proxy; a window has it on a bus */
    g_autofree char *device = object_path(part ? OBJECT(d->dev) : OBJECT(d->vdev));
    json_t *opts = json_pack("{s:s, s:s, s:s, s:s}", "qom-type", "balloon-policy", "id", id,
                             "device", device, "source", cgroup);
    g_auto(GStrv) items = g_strsplit(props, ";", -1);
    Object *obj;

    for (unsigned i = 0; items[i]; i++) {
        g_auto(GStrv) pair = g_strsplit(items[i], "=", 2);

        json_object_set_new(opts, pair[0], json_string(pair[1]));
    }
    obj = user_creatable_add(d->m->p.root, opts, err);
    json_decref(opts);
    return obj;
}

static MemoryBalloonClass *ops(FakeDriver *d)
{
    return object_interface((Object *)d->vdev, &memory_balloon_type);
}

static uint64_t target(FakeDriver *d)
{
    return ops(d)->target((Object *)d->vdev);
}

static void pass(FakeDriver *d, int64_t ms)
{
    Clock *c = d->m->p.vclock;

    clock_step_to(c, clock_now(c) + ms * MSEC);
}

/* The guest tells what is available, and does nothing else. */
static void only_tell(FakeDriver *d, uint64_t available, uint64_t faults)
{
    uint8_t wire[20];

    le_store(wire, VIRTIO_BALLOON_S_AVAIL, 2);
    le_store(wire + 2, available, 8);
    le_store(wire + 10, VIRTIO_BALLOON_S_MAJFLT, 2);
    le_store(wire + 12, faults, 8);
    fake_driver_add(d, STATS, OUT(wire, sizeof wire));
    fake_driver_kick(d, STATS);
}

/* It has done what it was asked, too. */
static void tell(FakeDriver *d, uint64_t available, uint64_t faults)
{
    d->t->config_write(d, ACTUAL, (RAM - target(d)) / PAGE, 4);
    only_tell(d, available, faults);
}

static char *status(Object *p, const char *name)
{
    json_t *all = property_get_json(p, "status", NULL), *value = json_object_get(all, name);
    char *text = json_is_string(value) ? g_strdup(json_string_value(value))
                 : json_is_integer(value)
                     ? g_strdup_printf("%lld", (long long)json_integer_value(value))
                     : g_strdup("");

    json_decref(all);
    return text;
}

static void expect_status(Object *p, const char *name, const char *wanted)
{
    g_autofree char *got = status(p, name);

    ck_assert_str_eq(got, wanted);
}

static unsigned policy_events(FakeDriver *d, const char *with)
{
    unsigned n = 0;

    for (unsigned i = 0; i < d->m->events->len; i++) {
        const char *e = d->m->events->pdata[i];

        n += g_str_has_prefix(e, "BALLOON_POLICY ") && strstr(e, with);
    }
    return n;
}

START_TEST(pressure_takes_what_the_guest_does_not_need_and_no_more)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);
    Object *p;

    fake_driver_up(d);
    p = policy(d, "p0", "rate-limit=0", NULL);
    ck_assert_ptr_nonnull(p);
    tell(d, RAM - 200 * MIB, 0);
    tell(d, RAM - 200 * MIB, 0);
    ck_assert_uint_eq(target(d), RAM);
    expect_status(p, "reason", "steady");
    press(true);
    pass(d, 1000);
    ck_assert_uint_eq(target(d), 296 * MIB); /* floor is a quarter; reserve 64, hysteresis 32 */
    expect_status(p, "action", "inflate");
    expect_status(p, "used", "209715200");
    ck_assert_uint_eq(policy_events(d, "\"reason\": \"host-pressure\""), 1);
    tell(d, 96 * MIB, 0);
    pass(d, 1000);
    expect_status(p, "reason", "at-need");
    for (int i = 0; i < 20; i++) { /* nothing new: nothing told */
        tell(d, 96 * MIB, 0);
        pass(d, 1000);
    }
    ck_assert_uint_eq(policy_events(d, "at-need"), 1);
    ck_assert_uint_eq(target(d), 296 * MIB);
}
END_TEST

START_TEST(guest_that_is_short_has_memory_with_its_next_statistics)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);

    fake_driver_up(d);
    press(true);
    ck_assert_ptr_nonnull(policy(d, "p0", "rate-limit=0;floor=64M", NULL));
    tell(d, RAM - 100 * MIB, 0);
    ck_assert_uint_eq(target(d), 196 * MIB);
    pass(d, 1000);
    tell(d, 10 * MIB, 0);
    ck_assert_uint_eq(target(d), 282 * MIB);
    ck_assert_uint_eq(policy_events(d, "\"reason\": \"guest-short\""), 1);
    pass(d, 1000);
    tell(d, 90 * MIB, 5000); /* more than 200 a second */
    ck_assert_uint_eq(policy_events(d, "\"reason\": \"guest-thrashing\""), 1);
    ck_assert_uint_gt(target(d), 282 * MIB);
}
END_TEST

START_TEST(statistics_are_asked_for_once_an_interval)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);

    fake_driver_up(d);
    ck_assert_ptr_nonnull(policy(d, "p0", "interval=500", NULL));
    tell(d, RAM / 2, 0);
    ck_assert(!fake_driver_get(d, STATS, NULL, NULL));
    pass(d, 499);
    ck_assert(!fake_driver_get(d, STATS, NULL, NULL));
    pass(d, 1);
    ck_assert(fake_driver_get(d, STATS, NULL, NULL));
    pass(d, 500); /* the driver has not answered: there is nothing to hand back */
    ck_assert(!fake_driver_get(d, STATS, NULL, NULL));
}
END_TEST

START_TEST(no_statistics_no_blind_inflation)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);
    Object *p;

    fake_driver_reset(d);
    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) &
                                           ~(UINT64_C(1) << VIRTIO_BALLOON_F_STATS_VQ)));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    press(true);
    p = policy(d, "p0", "mode=proactive", NULL);
    for (int i = 0; i < 50; i++) {
        pass(d, 1000);
    }
    ck_assert_uint_eq(target(d), RAM);
    expect_status(p, "reason", "no-statistics");
    ck_assert_uint_eq(policy_events(d, ""), 1);
}
END_TEST

START_TEST(guest_that_falls_silent_is_left_alone)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);
    Object *p;

    fake_driver_up(d);
    p = policy(d, "p0", "rate-limit=0", NULL);
    tell(d, RAM - 100 * MIB, 0);
    tell(d, RAM - 100 * MIB, 0);
    pass(d, 3500);
    press(true);
    pass(d, 60000);
    ck_assert_uint_eq(target(d), RAM);
    expect_status(p, "reason", "guest-silent");
    tell(d, RAM - 100 * MIB, 0);
    ck_assert_uint_lt(target(d), RAM);
}
END_TEST

START_TEST(guest_that_never_gives_what_it_was_asked_for_is_waited_for)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);
    uint64_t asked;
    Object *p;

    fake_driver_up(d);
    press(true);
    p = policy(d, "p0", "rate-limit=0", NULL);
    only_tell(d, RAM - 100 * MIB, 0);
    asked = target(d);
    ck_assert_uint_lt(asked, RAM);
    for (int i = 0; i < 30; i++) {
        pass(d, 1000);
        only_tell(d, RAM - 100 * MIB, 0);
    }
    expect_status(p, "reason", "guest-behind");
    ck_assert_uint_eq(target(d), asked);
    ck_assert_uint_eq(policy_events(d, "guest-behind"), 1);
}
END_TEST

START_TEST(new_driver_has_all_memory_until_it_tells)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);

    fake_driver_up(d);
    press(true);
    ck_assert_ptr_nonnull(policy(d, "p0", "rate-limit=0", NULL));
    tell(d, RAM - 100 * MIB, 0);
    ck_assert_uint_lt(target(d), RAM);
    fake_driver_reset(d);
    pass(d, 1000);
    ck_assert_uint_eq(target(d), RAM);
    ck_assert_uint_eq(policy_events(d, "guest-started"), 1);
}
END_TEST

START_TEST(target_set_by_hand_wins)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);
    g_autoptr(GError) err = NULL;
    Object *p;

    fake_driver_up(d);
    press(true);
    p = policy(d, "p0", "rate-limit=0", NULL);
    tell(d, RAM - 100 * MIB, 0);
    tell(d, RAM - 100 * MIB, 0);
    ops(d)->set_target((Object *)d->vdev, 700 * MIB);
    pass(d, 1000);
    expect_status(p, "state", "overridden");
    ck_assert_uint_eq(policy_events(d, "\"reason\": \"target-set\""), 1);
    tell(d, 5 * MIB, 0);
    pass(d, 60000);
    ck_assert_uint_eq(target(d), 700 * MIB);
    ck_assert(property_set_bool(p, "enabled", true, &err));
    expect_status(p, "state", "on");
    tell(d, 5 * MIB, 0);
    ck_assert_uint_gt(target(d), 700 * MIB);
    ck_assert(property_set_bool(p, "enabled", false, &err));
    expect_status(p, "state", "off");
    ck_assert(!property_set_string(p, "enabled", "perhaps", &err));
    g_clear_error(&err);
    ck_assert(!property_set_string(p, "floor", "1M", &err)); /* bounds stay as they were given */
}
END_TEST

/* It is short and is not, in turn, as often as it likes. */
START_TEST(guest_that_never_stops_telling_makes_few_events)
{
    g_autoptr(FakeDriver) d = driver((unsigned)_i);
    unsigned before;

    fake_driver_up(d);
    press(true);
    ck_assert_ptr_nonnull(policy(d, "p0", "rate-limit=0", NULL));
    for (int interval = 0; interval < 10; interval++) {
        before = policy_events(d, "");
        for (int i = 0; i < 200; i++) {
            tell(d, i % 2 ? RAM : 0, 0);
            while (fake_driver_get(d, STATS, NULL, NULL)) {
            }
        }
        pass(d, 1000);
        ck_assert_uint_le(policy_events(d, "") - before, 5);
    }
    pass(d, 60000);
    tell(d, RAM - 100 * MIB, 0);
    before = policy_events(d, "guest-short");
    for (int i = 0; i < 200; i++) {
        tell(d, 90 * MIB, 0);
        while (fake_driver_get(d, STATS, NULL, NULL)) {
        }
    }
    tell(d, 1 * MIB, 0); /* the last of too many is looked at, too, with the next interval */
    ck_assert_uint_eq(policy_events(d, "guest-short"), before);
    pass(d, 1000);
    ck_assert_uint_eq(policy_events(d, "guest-short"), before + 1);
}
END_TEST

/* device_add after device_del, with the same id. */
static void plug_again(FakeDriver *d)
{
    g_autoptr(GError) err = NULL;

    d->vdev = d->t->plug(d, "virtio-balloon", "", &err);
    ck_assert_msg(d->vdev, "%s", err ? err->message : "");
    d->t->probe(d);
    fake_driver_up(d);
}

START_TEST(balloon_that_comes_again_has_its_policy_again)
{
    g_autoptr(FakeDriver) d = driver(0);
    Object *p;

    fake_driver_up(d);
    press(true);
    p = policy(d, "p0", "rate-limit=0", NULL);
    tell(d, RAM - 100 * MIB, 0);
    ck_assert_uint_eq(target(d), 261 * MIB);
    device_destroy(d->dev);
    for (int i = 0; i < 3; i++) {
        pass(d, 1000);
        expect_status(p, "state", "no-device");
    }
    plug_again(d);
    tell(d, RAM - 200 * MIB, 0); /* not known yet */
    ck_assert_uint_eq(target(d), RAM);
    pass(d, 1000);
    expect_status(p, "state", "on");
    tell(d, RAM - 200 * MIB, 0);
    ck_assert_uint_eq(target(d), 296 * MIB);
    device_destroy(d->dev);
    plug_again(d);
    ops(d)->set_target((Object *)d->vdev, 700 * MIB); /* before the policy sees it */
    pass(d, 1000);
    expect_status(p, "state", "overridden");
    ck_assert_uint_eq(target(d), 700 * MIB);
}
END_TEST

START_TEST(balloon_that_comes_again_may_be_anothers)
{
    g_autoptr(FakeDriver) d = driver(0);
    Object *p, *other;

    fake_driver_up(d);
    p = policy(d, "p0", "calm=1", NULL);
    device_destroy(d->dev);
    plug_again(d);
    other = policy(d, "p1", "calm=1", NULL);
    ck_assert_ptr_nonnull(other);
    pass(d, 5000);
    expect_status(p, "state", "no-device");
    expect_status(other, "state", "on");
    object_unparent(other);
    pass(d, 1000);
    expect_status(p, "state", "on");
    device_destroy(d->dev);
    d->dev = NULL;
    pass(d, 1000);
    expect_status(p, "state", "no-device");
    object_unparent(p);
    pass(d, 1000);
}
END_TEST

START_TEST(device_and_policy_may_go_in_any_order)
{
    FakeDriver *d = driver(0);
    Object *p;

    fake_driver_up(d);
    p = policy(d, "p0", "interval=100", NULL);
    pass(d, 1000);
    if (_i == 0) {
        object_unparent(p);
        tell(d, 10 * MIB, 0);
        pass(d, 1000);
    } else {
        device_unrealize(d->dev);
        expect_status(p, "state", "no-device");
        pass(d, 1000);
        object_unparent(p);
    }
    fake_driver_free(d);
}
END_TEST

static const struct {
    const char *props, *error;
} refusals[] = {
    {"device=nothing", "device 'nothing' not found"},
    {"device=", "device is missing"},
    {"floor=900M;ceiling=800M", "floor is 900 MiB, which is over the ceiling, 800 MiB"},
    {"ceiling=9G", "ceiling is 9216 MiB, and the guest's memory 1044 MiB"},
    {"some-us=3000000", "part of window-us"},
    {"window-us=1", "out of range"},
    {"interval=99", "out of range"},
    {"hysteresis=0", "out of range"},
    {"mode=sometimes", "pressure"},
    {"source=/nothing", "is no cgroup v2"},
};

START_TEST(bad_options_are_refused)
{
    g_autoptr(FakeDriver) d = driver(0);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(policy(d, "p0", refusals[_i].props, &err));
    ck_assert_msg(strstr(err->message, refusals[_i].error), "%s", err->message);
}
END_TEST

START_TEST(only_a_balloon_has_a_policy_and_one_only)
{
    g_autoptr(FakeDriver) d = driver(0);
    g_autoptr(GError) err = NULL;
    g_autofree char *host = object_path(OBJECT(d->m->host)), *other = NULL;

    ck_assert_ptr_nonnull(policy(d, "p0", "calm=1", &err));
    ck_assert_ptr_null(policy(d, "p1", "calm=1", &err));
    ck_assert_msg(strstr(err->message, "has a policy already"), "%s", err->message);
    g_clear_error(&err);
    other = g_strdup_printf("device=%s", host);
    ck_assert_ptr_null(policy(d, "p2", other, &err));
    ck_assert_msg(strstr(err->message, "is no memory balloon, it is a pci-host"), "%s",
                  err->message);
}
END_TEST

/* --- pressure --- */

static unsigned called;

static void on_call(void *opaque)
{
    called++;
}

static void write_stalls(unsigned some, unsigned full)
{
    g_autofree char *text = g_strdup_printf("some avg10=0.00 avg60=0.00 avg300=0.00 total=%u\n"
                                            "full avg10=0.00 avg60=0.00 avg300=0.00 total=%u\n",
                                            some, full);

    rewrite("memory.pressure", text);
}

START_TEST(stall_times_of_a_window_are_pressure)
{
    static const struct {
        unsigned ms, some, full;
        PressureLevel level;
    } steps[] = {
        {1000, 0, 0, PRESSURE_NONE},           {1000, 70000, 0, PRESSURE_NONE},
        {1000, 80000, 0, PRESSURE_SOME},       {100, 7000, 0, PRESSURE_NONE},
        {100, 8000, 0, PRESSURE_SOME},         {60000, 140000, 40000, PRESSURE_NONE},
        {60000, 160000, 40000, PRESSURE_SOME}, {1000, 30000, 30000, PRESSURE_FULL},
    };
    EventLoop *loop = loop_new(NULL);
    PressureSpec spec = {cgroup, 150000, 50000, 2000000};
    PressureSource *p;
    PressureState state;
    int64_t now = 0;
    unsigned some = 1000, full = 500;

    write_stalls(some, full);
    p = pressure_new(loop, &spec, on_call, NULL, NULL);
    ck_assert_ptr_nonnull(p);
    ck_assert(!pressure_has_trigger(p)); /* it is not the kernel's file, and stays as it is */
    ck_assert_int_eq(pressure_look(p, now), PRESSURE_NONE);
    for (unsigned i = 0; i < G_N_ELEMENTS(steps); i++) {
        now += (int64_t)steps[i].ms * MSEC;
        some += steps[i].some;
        full += steps[i].full;
        write_stalls(some, full);
        ck_assert_int_eq(pressure_look(p, now), steps[i].level);
        write_stalls(some + 5000, full + 5000); /* of the next step; too soon to look at */
        ck_assert_int_eq(pressure_look(p, now + MSEC), steps[i].level);
    }
    pressure_state(p, &state);
    ck_assert(state.stalls);
    ck_assert_uint_eq(state.some_us, some - 1000);
    ck_assert_uint_eq(state.full_us, full - 500);
    rewrite("memory.pressure", "nonsense");
    ck_assert_int_eq(pressure_look(p, now + SECOND), PRESSURE_NONE);
    pressure_free(p);
    loop_free(loop);
}
END_TEST

START_TEST(cgroup_near_its_limit_is_pressure)
{
    EventLoop *loop = loop_new(NULL);
    PressureSpec spec = {cgroup, 150000, 50000, 2000000};
    PressureSource *p = pressure_new(loop, &spec, on_call, NULL, NULL);
    PressureState state;

    ck_assert_ptr_nonnull(p);
    ck_assert_int_eq(pressure_look(p, 0), PRESSURE_NONE);
    press(true);
    ck_assert_int_eq(pressure_look(p, 1), PRESSURE_SOME);
    rewrite("memory.high", "max\n");
    ck_assert_int_eq(pressure_look(p, 2), PRESSURE_NONE);
    rewrite("memory.max", "99500000\n"); /* the smaller of both counts */
    ck_assert_int_eq(pressure_look(p, 3), PRESSURE_SOME);
    pressure_state(p, &state);
    ck_assert_uint_eq(state.limit, 99500000);
    ck_assert_uint_eq(state.used, 99000000);
    ck_assert(!state.stalls);
    pressure_free(p);
    loop_free(loop);
}
END_TEST

/* Of the host itself, where its kernel tells. */
START_TEST(pressure_of_the_host_is_read)
{
    EventLoop *loop = loop_new(NULL);
    PressureSpec spec = {NULL, 1999999, 1999999, 2000000};
    g_autoptr(GError) err = NULL;
    PressureSource *p = pressure_new(loop, &spec, on_call, NULL, &err);

    if (p) {
        ck_assert_int_eq(pressure_look(p, 0), PRESSURE_NONE);
        ck_assert_int_eq(pressure_look(p, SECOND), PRESSURE_NONE);
        while (loop_iterate(loop, false)) {
        }
        pressure_free(p);
    } else {
        ck_assert_msg(strstr(err->message, "this kernel tells no memory pressure"), "%s",
                      err->message);
        ck_assert_ptr_null(strchr(err->message, '\n'));
    }
    loop_free(loop);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("balloon-policy");
    TCase *tc = tcase_create("balloon-policy");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, pressure_takes_what_the_guest_does_not_need_and_no_more, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, guest_that_is_short_has_memory_with_its_next_statistics, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, statistics_are_asked_for_once_an_interval, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, no_statistics_no_blind_inflation, 0, FAKE_MODERN_CELLS);
    tcase_add_test(tc, guest_that_falls_silent_is_left_alone);
    tcase_add_loop_test(tc, guest_that_never_gives_what_it_was_asked_for_is_waited_for, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, new_driver_has_all_memory_until_it_tells, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, target_set_by_hand_wins, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, guest_that_never_stops_telling_makes_few_events, 0, FAKE_MODERN_CELLS);
    tcase_add_test(tc, balloon_that_comes_again_has_its_policy_again);
    tcase_add_test(tc, balloon_that_comes_again_may_be_anothers);
    tcase_add_loop_test(tc, device_and_policy_may_go_in_any_order, 0, 2);
    tcase_add_loop_test(tc, bad_options_are_refused, 0, G_N_ELEMENTS(refusals));
    tcase_add_test(tc, only_a_balloon_has_a_policy_and_one_only);
    tcase_add_test(tc, stall_times_of_a_window_are_pressure);
    tcase_add_test(tc, cgroup_near_its_limit_is_pressure);
    tcase_add_test(tc, pressure_of_the_host_is_read);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
