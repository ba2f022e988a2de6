/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon policy's decisions, without balloon: traces of guests and hosts replayed on a model,
 * and random ones that need not make sense.
 *
 * test-balloon-plan TRACE... prints what is decided upon a trace.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/balloon-sim.h"
#include "tests/suite.h"

static const char *const traces[] = {
    "burst",           "ceiling",       "flapping-host",    "floor",      "proactive",
    "reboot",          "recorded-busy", "recorded-pressed", "recovery",   "silent",
    "steady-pressure", "swinging-load", "thrashing",        "two-guests",
};

START_TEST(trace_keeps_its_bounds)
{
    g_autofree char *name = g_strconcat(traces[_i], ".txt", NULL);
    g_autofree char *path = g_build_filename(TRACE_DIR, name, NULL);
    g_autofree char *wrong = sim_run_trace(path, false);

    ck_assert_msg(!*wrong, "%s", wrong);
}
END_TEST

/* --- nonsense --- */

static uint64_t any_size(GRand *r)
{
    switch (g_rand_int_range(r, 0, 12)) {
    case 0:
        return 0;
    case 1:
        return UINT64_MAX;
    case 2:
        return UINT64_MAX - 1;
    case 3:
        return (uint64_t)g_rand_int(r) << g_rand_int_range(r, 0, 33);
    default:
        return (uint64_t)g_rand_int_range(r, 0, 2048) << 20;
    }
}

static void any_limits(GRand *r, BalloonLimits *l)
{
    *l = (BalloonLimits){
        .ceiling = any_size(r),
        .reserve = any_size(r) / 2,
        .hysteresis = MAX(any_size(r) / 2, 1),
        .rate = g_rand_boolean(r) ? any_size(r) >> 4 : 0,
        .interval = g_rand_int_range(r, 100, 60001) * INT64_C(1000000),
        .calm = g_rand_int_range(r, 0, 100) * SIM_SECOND,
        .faults = (uint64_t)g_rand_int_range(r, 0, 1000),
        .proactive = g_rand_boolean(r),
    };
    l->floor = l->ceiling ? any_size(r) % l->ceiling : 0;
}

static void any_change(GRand *r, BalloonSample *s)
{
    s->now += g_rand_int_range(r, 0, 3000) * INT64_C(1000000);
    s->host = (PressureLevel)g_rand_int_range(r, 0, 3);
    if (g_rand_int_range(r, 0, 3)) {
        s->told = g_rand_int_range(r, 0, 40) ? s->told + 1 : 0;
        s->told_at = s->now;
        s->had = any_size(r);
        s->had_asked = g_rand_boolean(r) ? s->had : any_size(r);
        s->available = any_size(r);
        s->major_faults = g_rand_boolean(r) ? any_size(r) : s->major_faults + g_rand_int(r) % 999;
        s->oom_kills = g_rand_int_range(r, 0, 9) ? s->oom_kills : any_size(r);
    }
    s->actual = g_rand_boolean(r) ? s->target : any_size(r);
    if (g_rand_int_range(r, 0, 200) == 0) {
        s->target = any_size(r);
    }
}

START_TEST(whatever_is_told_the_bounds_hold)
{
    g_autoptr(GRand) r = g_rand_new_with_seed((guint32)_i + 1);
    const char *wrong = NULL;
    unsigned moves = 0;

    for (unsigned run = 0; run < 200 && !wrong; run++) {
        BalloonPlan plan = {0};
        SimBounds bounds = {0};
        BalloonLimits l;
        BalloonSample s = {.target = any_size(r), .actual = any_size(r)};

        any_limits(r, &l);
        for (unsigned i = 0; i < 500 && !wrong; i++) {
            BalloonDecision d;

            any_change(r, &s);
            d = balloon_plan(&plan, &l, &s);
            wrong = sim_bounds_check(&bounds, &l, &s, &d);
            moves += d.action != BALLOON_HOLD;
            s.target = d.target;
        }
    }
    ck_assert_msg(!wrong, "seed %d: %s", _i + 1, wrong);
    ck_assert_uint_gt(moves, 100);
}
END_TEST

/* --- guests that make sense, at random --- */

static void random_trace(GRand *r, const char *path)
{
    GString *t = g_string_new(NULL);
    double at = 1;
    int anon = g_rand_int_range(r, 20, 300);

    g_string_append_printf(t,
                           "guest 0 ram=1024 floor=%d reserve=%d hysteresis=%d rate=%d anon=%d "
                           "proactive=%d\n",
                           g_rand_int_range(r, 64, 500), 150, g_rand_int_range(r, 8, 100),
                           g_rand_int_range(r, 16, 512), anon, g_rand_boolean(r));
    while (at < 600) {
        static const char *const levels[] = {"none", "some", "full"};

        at += g_rand_double_range(r, 2, 30);
        anon = CLAMP(anon + g_rand_int_range(r, -200, 100), 20,
                     700); /* grows by less than the reserve */
        g_string_append_printf(t, "at %.1f pressure=%s\nat %.1f 0 anon=%d\n", at,
                               levels[g_rand_int_range(r, 0, 3)], at, anon);
    }
    g_string_append(t, "end 620\nexpect 0 ooms=0\n");
    g_assert(g_file_set_contents(path, t->str, -1, NULL));
    g_string_free(t, TRUE);
}

START_TEST(guest_that_grows_by_less_than_its_reserve_never_kills)
{
    g_autoptr(GRand) r = g_rand_new_with_seed(1000 + (guint32)_i);
    g_autofree char *dir = g_dir_make_tmp("balloon-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "random.txt", NULL);
    g_autofree char *wrong = NULL;

    random_trace(r, path);
    wrong = sim_run_trace(path, false);
    if (*wrong) {
        ck_abort_msg("seed %d: %s(%s)", 1000 + _i, wrong, path);
    }
    ck_assert_int_eq(remove(path) | remove(dir), 0);
}
END_TEST

/* --- single rules --- */

/* It tells at some time between the question and the answer, while its balloon grows. */
START_TEST(what_is_told_in_the_midst_of_inflating_counts_against_taking_more)
{
    const BalloonLimits l = {.ceiling = 1024 * SIM_MIB,
                             .reserve = 64 * SIM_MIB,
                             .hysteresis = 32 * SIM_MIB,
                             .interval = SIM_SECOND};
    BalloonSample s = {.host = PRESSURE_SOME,
                       .target = 600 * SIM_MIB,
                       .actual = 600 * SIM_MIB,
                       .told = 1,
                       .had = 600 * SIM_MIB,
                       .had_asked = 700 * SIM_MIB,
                       .available = 200 * SIM_MIB};
    BalloonPlan p = {0};

    ck_assert_uint_eq(balloon_plan(&p, &l, &s).target, 600 * SIM_MIB);
    s.had_asked = 600 * SIM_MIB;
    ck_assert_uint_eq(balloon_plan(&p, &l, &s).target, 496 * SIM_MIB);
}
END_TEST

START_TEST(every_reason_has_its_words)
{
    for (int i = 0; i < REASON_COUNT; i++) {
        ck_assert_ptr_nonnull(balloon_reason_name((BalloonReason)i));
        ck_assert_ptr_nonnull(balloon_reason_text((BalloonReason)i));
    }
    ck_assert_str_eq(balloon_action_name(BALLOON_INFLATE), "inflate");
    ck_assert_str_eq(pressure_level_name(PRESSURE_FULL), "full");
}
END_TEST

/* The guest has what it asks for with one decision, whatever the rate. */
START_TEST(guest_that_is_short_is_helped_at_once)
{
    const BalloonLimits l = {.floor = 64 * SIM_MIB,
                             .ceiling = 1024 * SIM_MIB,
                             .reserve = 64 * SIM_MIB,
                             .hysteresis = 32 * SIM_MIB,
                             .rate = 1,
                             .interval = SIM_SECOND};
    BalloonSample s = {.now = SIM_SECOND,
                       .host = PRESSURE_FULL,
                       .target = 300 * SIM_MIB,
                       .actual = 300 * SIM_MIB,
                       .told = 1,
                       .told_at = SIM_SECOND,
                       .had = 300 * SIM_MIB,
                       .available = 10 * SIM_MIB};
    BalloonPlan p = {0};
    BalloonDecision d = balloon_plan(&p, &l, &s);

    ck_assert_int_eq(d.reason, REASON_GUEST_SHORT);
    ck_assert_uint_eq(d.target, (290 + 64 + 32) * SIM_MIB);
    s.target = d.target;
    s.told++;
    s.available = 200 * SIM_MIB;
    s.oom_kills = 0;
    (void)balloon_plan(&p, &l, &s);
    s.told++;
    s.oom_kills = 1;
    d = balloon_plan(&p, &l, &s);
    ck_assert_int_eq(d.reason, REASON_GUEST_OOM);
    ck_assert_uint_gt(d.target, s.target);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *s;
    TCase *tc = tcase_create("balloon-plan");

    for (int i = 1; i < argc; i++) {
        g_autofree char *wrong = sim_run_trace(argv[i], true);

        printf("%s", wrong);
    }
    s = suite_create("balloon-plan");
    tcase_add_loop_test(tc, trace_keeps_its_bounds, 0, G_N_ELEMENTS(traces));
    tcase_add_loop_test(tc, whatever_is_told_the_bounds_hold, 0, 10);
    tcase_add_loop_test(tc, guest_that_grows_by_less_than_its_reserve_never_kills, 0, 20);
    tcase_add_test(tc, what_is_told_in_the_midst_of_inflating_counts_against_taking_more);
    tcase_add_test(tc, every_reason_has_its_words);
    tcase_add_test(tc, guest_that_is_short_is_helped_at_once);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
