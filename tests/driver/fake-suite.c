/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A suite of tests over all transports, see fake-suite.h.
 */
#include "tests/driver/fake-suite.h"
#include "tests/suite.h"

int fake_suite_run(const char *name, const TypeInfo *const *types, const TTest *const *tests)
{
    Suite *s = suite_create(name);
    TCase *tc = tcase_create(name);

    if (types) {
        type_register_list(types);
    }
    for (; *tests; tests++) {
        tcase_add_loop_test(tc, *tests, 0, FAKE_CELLS);
    }
    suite_add_tcase(s, tc);
    return suite_run(s);
}
