/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parsers of sizes, numbers and booleans that properties and command-line options share.
 */
#include <check.h>
#include <string.h>

#include "qom/property.h"
#include "tests/suite.h"

#define SIZE_HINT "is not a size (as in 4096, 512M or 1.5G)"

static void assert_error(GError **err, const char *text)
{
    ck_assert_ptr_nonnull(*err);
    ck_assert_str_eq((*err)->message, text);
    g_clear_error(err);
}

static const struct {
    const char *text;
    uint64_t unit, value;
    const char *error;
} sizes[] = {
    {"0", 1, 0, NULL},
    {"512", 1 << 20, 512 << 20, NULL},
    {"1.5", 1 << 20, 3 << 19, NULL},
    {"512B", 1 << 20, 512, NULL},
    {"1k", 1, 1024, NULL},
    {"1.5G", 1 << 20, UINT64_C(3) << 29, NULL},
    {"0.5K", 1, 512, NULL},
    {"1.0", 1, 1, NULL},
    {"1.3K", 1, 1331, NULL},
    {"2P", 1, UINT64_C(2) << 50, NULL},
    {"15E", 1, UINT64_C(15) << 60, NULL},
    {"15.999999999999999999999E", 1, UINT64_MAX, NULL},
    {"18446744073709551615", 1, UINT64_MAX, NULL},
    {"0x10", 1024, 16384, NULL},
    {"18446744073709551616", 1, 0, "'18446744073709551616' is too large"},
    {"16E", 1, 0, "'16E' is too large"},
    {"17179869184G", 1, 0, "'17179869184G' is too large"},
    {"-1", 1, 0, "'-1' is negative"},
    {"0.5", 1, 0, "'0.5' is not a whole number of bytes"},
    {"0.5B", 1024, 0, "'0.5B' is not a whole number of bytes"},
    {"", 1, 0, "'' " SIZE_HINT},
    {"G", 1, 0, "'G' " SIZE_HINT},
    {".5G", 1, 0, "'.5G' " SIZE_HINT},
    {"1.G", 1, 0, "'1.G' " SIZE_HINT},
    {"1GB", 1, 0, "'1GB' " SIZE_HINT},
    {"1 G", 1, 0, "'1 G' " SIZE_HINT},
    {"1,5G", 1, 0, "'1,5G' " SIZE_HINT},
    {"0x10K", 1, 0, "'0x10K' " SIZE_HINT},
    {"1e3", 1, 0, "'1e3' " SIZE_HINT},
    {"1Z", 1, 0, "'1Z' " SIZE_HINT},
    {"-x", 1, 0, "'-x' " SIZE_HINT},
};

START_TEST(sizes_are_read_exactly_or_refused)
{
    uint64_t value = 42;
    GError *err = NULL;

    if (sizes[_i].error == NULL) {
        ck_assert(parse_size(sizes[_i].text, sizes[_i].unit, &value, &err));
        ck_assert_uint_eq(value, sizes[_i].value);
    } else {
        ck_assert(!parse_size(sizes[_i].text, sizes[_i].unit, &value, &err));
        assert_error(&err, sizes[_i].error);
        ck_assert_uint_eq(value, 42); /* untouched */
    }
}
END_TEST

START_TEST(numbers_and_booleans_are_read_whole)
{
    uint64_t value = 42;
    bool flag = true;
    GError *err = NULL;

    ck_assert(parse_uint("0xFF", &value, NULL));
    ck_assert_uint_eq(value, 255);
    ck_assert(!parse_uint("-5", &value, &err));
    assert_error(&err, "'-5' is negative");
    ck_assert(!parse_uint("99999999999999999999", &value, &err));
    assert_error(&err, "'99999999999999999999' is too large");
    ck_assert(!parse_uint("five", &value, &err));
    assert_error(&err, "'five' is not a number");
    ck_assert_uint_eq(value, 255);
    ck_assert(parse_bool("no", &flag, NULL));
    ck_assert(!flag);
    ck_assert(!parse_bool("nope", &flag, &err));
    assert_error(&err, "'nope' is neither 'on' nor 'off'");
}
END_TEST

static const struct {
    const char *text, *plain; /* plain NULL: none */
} jsons[] = {
    {"{'a': \"b\"}", "{\"a\": \"b\"}"},
    {"'say \"no\"'", "\"say \\\"no\\\"\""},
    {"'don\\'t'", "\"don't\""},
    {"\"don't\"", "\"don't\""},
    {"\"don\\'t\"", "\"don't\""},
    {"'\\\\'", "\"\\\\\""},
    {"'\\u0041'", "\"A\""},
    {"[1, 'x', true]", "[1, \"x\", true]"},
    {"'", NULL},
    {"'\\", NULL},
    {"'a\"", NULL},
    {"'a''b'", NULL},
    {"{'a': 1, \"a\": 2}", NULL},
};

START_TEST(strings_of_json_may_stand_between_apostrophes)
{
    g_autoptr(GError) err = NULL;
    json_t *got = parse_json(jsons[_i].text, strlen(jsons[_i].text), &err), *want;

    ck_assert_int_eq(got != NULL, jsons[_i].plain != NULL);
    ck_assert_int_eq(err != NULL, jsons[_i].plain == NULL);
    if (got) {
        want = json_loads(jsons[_i].plain, JSON_DECODE_ANY, NULL);
        ck_assert(json_equal(got, want));
        json_decref(want);
    }
    json_decref(got);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("parse");
    TCase *tc = tcase_create("parse");

    suite_add_tcase(suite, tc);
    tcase_add_loop_test(tc, sizes_are_read_exactly_or_refused, 0, G_N_ELEMENTS(sizes));
    tcase_add_test(tc, numbers_and_booleans_are_read_whole);
    tcase_add_loop_test(tc, strings_of_json_may_stand_between_apostrophes, 0, G_N_ELEMENTS(jsons));

    return suite_run(suite);
}
