/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main function of a device's test when each test runs in every cell of the transport matrix.
 */
#ifndef AEROSTAT_TESTS_DRIVER_FAKE_SUITE_H
#define AEROSTAT_TESTS_DRIVER_FAKE_SUITE_H

#include <check.h>

#include "tests/driver/fake-driver.h"

/* types: NULL-terminated, registered first; NULL: none. tests: defined by START_TEST, NULL-terminated. The exit status. */
int fake_suite_run(const char *name, const TypeInfo *const *types, const TTest *const *tests);
#define fake_suite_main(name, types, ...) fake_suite_run(name, types, (const TTest *const[]){__VA_ARGS__, NULL})

#endif
