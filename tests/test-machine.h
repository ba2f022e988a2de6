/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the two files of the machine suite: one VM per test, and what every test of an error line does.
 */
#ifndef AEROSTAT_TESTS_TEST_MACHINE_H
#define AEROSTAT_TESTS_TEST_MACHINE_H

#include <check.h>

#include "tests/fake-vm.h"

extern FakeVm vm;

void setup_new(void);     /* made, machine_init not called yet */
void setup(void);         /* machine_init done */
void setup_running(void); /* booted and running */
void teardown(void);

/* Checks that the line is there, and frees it. */
#define expect_line(err, line)                                                                     \
    do {                                                                                           \
        ck_assert_ptr_nonnull(err);                                                                \
        ck_assert_str_eq((err)->message, line);                                                    \
        g_clear_error(&(err));                                                                     \
    } while (0)

void add_run_tests(Suite *s);

#endif
