/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A suite of tests over all transports, see fake-suite.h.
 */
#include "tests/driver/fake-suite.h"

#include <stdarg.h>

int fake_suite_main(const char *name, const TypeInfo *const *types, ...)
{
    Suite *s = suite_create(name);
    TCase *tc = tcase_create(name);
    SRunner *sr = srunner_create(s);
    const TTest *test;
    va_list tests;
    int failed;

    if (types) {
        type_register_list(types);
    }
    va_start(tests, types);
    while ((test = va_arg(tests, const TTest *))) {
        tcase_add_loop_test(tc, test, 0, FAKE_CELLS);
    }
    va_end(tests);
    suite_add_tcase(s, tc);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed > 0;
}
