/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log and trace: floods are cut, lines stay lines, events are found by pattern.
 */
#include "core/log.h"
#include "tests/suite.h"

#include <check.h>
#include <string.h>
#include <unistd.h>

static char *log_path;

static void setup(void)
{
    int fd = g_file_open_tmp("aerostat-log-XXXXXX", &log_path, NULL);

    ck_assert_int_ge(fd, 0);
    close(fd);
    ck_assert(log_set_file(log_path, NULL));
    ck_assert(log_set_items("guest_errors,unimp", NULL));
}

static void teardown(void)
{
    unlink(log_path);
    g_free(log_path);
    ck_assert(log_set_file("/dev/null", NULL)); /* closes the file */
}

static char *logged(void)
{
    char *text = NULL;

    ck_assert(g_file_get_contents(log_path, &text, NULL, NULL));
    return text;
}

static unsigned lines_in(const char *text)
{
    unsigned n = 0;

    for (; *text; text++) {
        n += *text == '\n';
    }
    return n;
}

START_TEST(guest_errors_go_to_the_file)
{
    g_autofree char *text = NULL;

    log_guest("queue %d is %s", 3, "broken");
    text = logged();
    ck_assert_str_eq(text, "aerostat: guest error: queue 3 is broken\n");
}
END_TEST

START_TEST(warnings_go_to_the_file_and_errors_to_stderr)
{
    LogRate rate = {0};
    g_autofree char *text = NULL;

    log_warn("slot %u", 7U);
    log_warn_rated(&rate, "the device needs a reset");
    log_error("not here");
    text = logged();
    ck_assert_str_eq(text, "aerostat: warning: slot 7\n"
                           "aerostat: warning: the device needs a reset\n");
}
END_TEST

START_TEST(a_flood_is_cut_after_ten_lines_per_call_site)
{
    g_autofree char *text = NULL;

    for (int i = 0; i < 1000; i++) {
        log_guest("one");
    }
    log_unimp("another site");
    text = logged();
    ck_assert_uint_le(lines_in(text), 21); /* twice ten, should a second end in between */
    ck_assert_uint_ge(lines_in(text), 11);
    ck_assert_ptr_nonnull(strstr(text, "not implemented: another site"));
}
END_TEST

START_TEST(suppressed_lines_are_counted_with_the_next_one)
{
    LogRate rate = {.window_start_us = g_get_monotonic_time(), .in_window = 10};
    g_autofree char *text = NULL;

    log_guest_rated(&rate, "lost");
    log_guest_rated(&rate, "lost");
    rate.window_start_us -= 1000001;
    log_guest_rated(&rate, "shown");
    text = logged();
    ck_assert_uint_eq(lines_in(text), 1);
    ck_assert_ptr_nonnull(strstr(text, "shown (2 more"));
    ck_assert_uint_eq(rate.suppressed, 0);
}
END_TEST

START_TEST(items_that_are_off_cost_nothing_and_show_nothing)
{
    g_autofree char *text = NULL;

    ck_assert(log_set_items("unimp", NULL));
    log_guest("hidden");
    text = logged();
    ck_assert_str_eq(text, "");
}
END_TEST

START_TEST(control_characters_cannot_forge_lines)
{
    g_autofree char *text = NULL;

    log_guest("name '%s'", "a\nb\033[2Jc");
    text = logged();
    ck_assert_str_eq(text, "aerostat: guest error: name 'a?b?[2Jc'\n");
}
END_TEST

START_TEST(an_unknown_item_gets_a_suggestion)
{
    GError *err = NULL;

    ck_assert(!log_set_items("unimp,guest_error", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "guest_errors"));
    g_error_free(err);
    ck_assert_str_eq(log_items()[0], "guest_errors");
}
END_TEST

START_TEST(a_file_that_cannot_be_opened_is_an_error)
{
    GError *err = NULL;

    ck_assert(!log_set_file("/nowhere/at/all", &err));
    ck_assert_str_eq(err->message, "cannot open: No such file or directory");
    g_error_free(err);
}
END_TEST

static inline void inline_trace(void)
{
    TRACE(test_twice, "from an inline function");
}

static void run_traces(void)
{
    TRACE(test_one, "value %d", 1);
    TRACE(test_two, "no arguments");
    TRACE(test_twice, "here");
    inline_trace();
}

START_TEST(events_are_silent_until_their_pattern_comes)
{
    g_autofree char *before = NULL, *text = NULL;

    run_traces();
    before = logged();
    ck_assert_str_eq(before, "");
    ck_assert(trace_enable("test_t*", NULL));
    run_traces();
    text = logged();
    ck_assert_uint_eq(lines_in(text), 3); /* test_two, and both points of test_twice */
    ck_assert_ptr_null(strstr(text, "test_one"));
    ck_assert_ptr_nonnull(strstr(text, " test_two no arguments\n"));
    ck_assert_ptr_nonnull(strstr(text, " test_twice from an inline function\n"));
}
END_TEST

START_TEST(a_pattern_that_matches_nothing_is_an_error)
{
    GError *err = NULL;

    ck_assert(!trace_enable("test_on", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "did you mean 'test_one'"));
    g_clear_error(&err);
    ck_assert(!trace_enable("nothing_like_it_*", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "nothing_like_it_*"));
    g_error_free(err);
}
END_TEST

typedef struct {
    unsigned total, of_test;
    char last[64];
} Listed;

static void list_one(const char *event, bool enabled, void *opaque)
{
    Listed *l = opaque;

    ck_assert_int_lt(strcmp(l->last, event), 0); /* sorted, each once */
    g_strlcpy(l->last, event, sizeof l->last);
    l->total++;
    l->of_test += g_str_has_prefix(event, "test_");
}

START_TEST(every_event_is_listed_once)
{
    Listed l = {0};

    trace_list(list_one, &l);
    ck_assert_uint_eq(l.of_test, 3);
    ck_assert_uint_ge(l.total, 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("log");
    TCase *tc = tcase_create("log");

    suite_add_tcase(s, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, guest_errors_go_to_the_file);
    tcase_add_test(tc, warnings_go_to_the_file_and_errors_to_stderr);
    tcase_add_test(tc, a_flood_is_cut_after_ten_lines_per_call_site);
    tcase_add_test(tc, suppressed_lines_are_counted_with_the_next_one);
    tcase_add_test(tc, items_that_are_off_cost_nothing_and_show_nothing);
    tcase_add_test(tc, control_characters_cannot_forge_lines);
    tcase_add_test(tc, an_unknown_item_gets_a_suggestion);
    tcase_add_test(tc, a_file_that_cannot_be_opened_is_an_error);
    tcase_add_test(tc, events_are_silent_until_their_pattern_comes);
    tcase_add_test(tc, a_pattern_that_matches_nothing_is_an_error);
    tcase_add_test(tc, every_event_is_listed_once);
    return suite_run(s);
}
