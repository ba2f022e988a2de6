/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Random and mutated input to the QMP server, seeded: the number of answers must be what a second,
 * simpler reader of the framing rules (vmm/monitor/qmp-stream.h) counts.
 */
#include <string.h>

#include "tests/qmp-fixture.h"
#include "vmm/monitor/qmp-stream.h"

enum { INPUTS = 20000, CHUNK = 2500 };

static const char *const seeds[] = {
    "{\"execute\":\"query-status\",\"id\":[1,{\"a\":null}]}",
    "{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}",
    "{\"execute\":\"balloon\",\"arguments\":{\"value\":16777216}}",
    "{\"execute\":\"query-balloon\",\"id\":1.5}\n{\"execute\":\"query-name\"}",
    "{\"execute\":\"qom-list\",\"arguments\":{\"path\":\"/machine/peripheral\"}}",
    "{\"execute\":\"qom-get\",\"arguments\":{\"path\":\"balloon0\",\"property\":\"guest-stats\"}}",
    ("{\"execute\":\"qom-set\",\"arguments\":{\"path\":\"balloon0\",\"property\":"
     "\"guest-stats-polling-interval\",\"value\":1}}"),
    "{\"execute\":\"qom-list-types\",\"arguments\":{\"implements\":\"bus\",\"abstract\":true}}",
    "{\"execute\":\"stop\"} {\"execute\":\"cont\"}[]12 \"\\u00e9\\n\"",
    "{\"execute\":\"system_reset\"}{\"execute\":\"system_powerdown\"}",
};

/* --- the input --- */

static void append_random(GString *text, GRand *rand)
{
    static const char alphabet[] = "{}[]{}[]\"\"\\,: \n\t019-.eEtruefalsn\xff\x01\x80\xc3";
    unsigned len = (unsigned)g_rand_int_range(rand, 1, 64);
    bool bytes = g_rand_int_range(rand, 0, 4) == 0;

    for (unsigned i = 0; i < len; i++) {
        g_string_append_c(text, bytes ? (char)g_rand_int(rand)
                                      : alphabet[g_rand_int_range(rand, 0, sizeof alphabet)]);
    }
}

static void mutate(GString *text, GRand *rand)
{
    gsize at = (gsize)g_rand_int_range(rand, 0, (gint32)text->len);
    gsize len = (gsize)g_rand_int_range(rand, 1, 9);

    len = MIN(len, text->len - at);
    switch (g_rand_int_range(rand, 0, 5)) {
    case 0:
        text->str[at] ^= (char)(1 << g_rand_int_range(rand, 0, 8));
        break;
    case 1:
        g_string_erase(text, (gssize)at, (gssize)MIN(len, text->len - 1));
        break;
    case 2: {
        g_autofree char *piece = g_memdup2(text->str + at, len);

        g_string_insert_len(text, (gssize)at, piece, (gssize)len);
        break;
    }
    case 3:
        g_string_insert_c(text, (gssize)at, "{}[]\",:\\ \n'%"[g_rand_int_range(rand, 0, 12)]);
        break;
    default:
        text->str[at] = (char)g_rand_int(rand);
        break;
    }
}

static void make_input(GString *text, GRand *rand)
{
    unsigned n = (unsigned)g_rand_int_range(rand, 0, 4);

    g_string_truncate(text, 0);
    if (n == 0) {
        append_random(text, rand);
        return;
    }
    g_string_append(text, seeds[g_rand_int_range(rand, 0, G_N_ELEMENTS(seeds))]);
    if (g_rand_int_range(rand, 0, 8) == 0) {
        g_autofree char *deep =
            g_strnfill((gsize)(QMP_MAX_NESTING + g_rand_int_range(rand, -4, 5)), '[');

        g_string_insert(text, g_rand_int_range(rand, 0, (gint32)text->len), deep);
    }
    while (n-- > 0) {
        mutate(text, rand);
    }
}

/* --- what it should give --- */

static bool space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool stray(uint8_t c, bool quoted)
{
    return c >= 0xfe || (c < 0x20 && (quoted || !space(c))) || (c == '%' && !quoted);
}

/* Behind a stray byte at p and, after a %, what belongs to it. */
static const uint8_t *stray_end(const uint8_t *p, const uint8_t *end)
{
    if (*p++ == '%') {
        while (p < end && *p >= 0x20 && *p < 0xfe && !strchr("{}[]:,", *p)) {
            p++;
        }
    }
    return p;
}

/* The end of the value that begins at p; NULL when it has none. A stray byte is the end, too. One
 * that is nested too deeply is answered at once and ends with the line. */
static const uint8_t *value_end(const uint8_t *p, const uint8_t *end)
{
    bool word = !strchr("{}[]\"',:", *p), deep = false;
    uint8_t quoted = 0;
    int depth = 0;

    for (; p < end; p++) {
        if (deep && (*p >= 0xfe || *p == '\n')) { /* 0xff has an answer of its own */
            return *p == '\n' ? p + 1 : p;
        }
        if (stray(*p, quoted)) {
            return stray_end(p, end);
        }
        if (word) {
            if (space(*p) || strchr("{[\"'", *p)) {
                return p;
            }
            continue;
        }
        if (quoted && *p == '\\') {
            if (p + 1 < end && !stray(p[1], true)) {
                p++;
            }
            continue;
        }
        if (quoted ? *p == quoted : *p == '"' || *p == '\'') {
            quoted = quoted ? 0 : *p;
        }
        depth += !quoted && (*p == '{' || *p == '[') ? 1 : 0;
        depth -= !quoted && (*p == '}' || *p == ']') ? 1 : 0;
        if (!quoted && depth <= 0) {
            return p + 1;
        }
        deep |= depth > QMP_MAX_NESTING;
    }
    return deep ? end : NULL;
}

static unsigned count_values(const GString *text)
{
    const uint8_t *p = (const uint8_t *)text->str, *end = p + text->len;
    unsigned n = 0;

    while (p < end) {
        if (space(*p)) {
            p++;
            continue;
        }
        p = value_end(p, end);
        if (!p) {
            break;
        }
        n++;
    }
    return n;
}

/* --- the test --- */

static unsigned count_answers(void)
{
    unsigned n = 0;
    json_t *answer;

    while ((answer = client_answer(client))) {
        ck_assert(!json_object_get(answer, "return") != !json_object_get(answer, "error"));
        json_decref(answer);
        n++;
    }
    g_ptr_array_set_size(client->events, 0);
    return n;
}

START_TEST(random_input_gets_exactly_its_answers)
{
    GRand *rand = g_rand_new_with_seed((guint32)(1 + _i));
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < CHUNK; i++) {
        unsigned want, got;

        make_input(text, rand);
        want = count_values(text) + 1;
        g_string_append_c(text, '\xff');
        client_send(client, text->str, text->len);
        got = count_answers();
        if (got != want) {
            g_autofree char *shown = g_strescape(text->str, NULL);

            ck_abort_msg("input %u: %u answers, not %u, to %s", i, got, want, shown);
        }
    }
    expect_alive(client);
    g_string_free(text, TRUE);
    g_rand_free(rand);
}
END_TEST

void add_random_tests(Suite *s)
{
    TCase *tc = tcase_create("random");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, random_input_gets_exactly_its_answers, 0, INPUTS / CHUNK);
    suite_add_tcase(s, tc);
}
