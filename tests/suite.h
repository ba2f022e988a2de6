/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The end of every test program: runs a suite of check.
 */
#ifndef AEROSTAT_TESTS_SUITE_H
#define AEROSTAT_TESTS_SUITE_H

#include <check.h>

/* Runs s and frees it. The exit status: 1 when a test failed, however many did, or 0. */
static inline int suite_run(Suite *s)
{
    SRunner *sr = srunner_create(s);
    int failed;

    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed > 0;
}

#endif
