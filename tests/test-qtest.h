/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test cases of test-qtest that are in files of their own.
 */
#ifndef AEROSTAT_TESTS_TEST_QTEST_H
#define AEROSTAT_TESTS_TEST_QTEST_H

#include <check.h>

TCase *qtest_balloon_tcase(void);

#endif
