/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The main function of a device's test when each test runs in every cell of the transport matrix.
 */
#ifndef AEROSTAT_TESTS_DRIVER_FAKE_SUITE_H
#define AEROSTAT_TESTS_DRIVER_FAKE_SUITE_H

#include <check.h>

#include "tests/driver/fake-driver.h"

/* types: registered first, NULL for none. The tests, defined by START_TEST, end with NULL. The exit status. */
int fake_suite_main(const char *name, const TypeInfo *const *types, ...) G_GNUC_NULL_TERMINATED;

#endif
