/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The human monitor's line editor, seen on a terminal that knows characters, backspaces and new
 * lines, and nothing else.
 */
#include <check.h>
#include <string.h>

#include "tests/suite.h"
#include "vmm/monitor/hmp-edit.h"

enum { WIDTH = 2 * HMP_LINE_MAX };

/* --- the terminal --- */

static gunichar cells[WIDTH];
static unsigned column, strange; /* strange: bytes that the terminal does not know */
static unsigned completions;
static GString *entered; /* lines, each ended by '|' */
static HmpEdit *edit;

static void clear(void)
{
    for (unsigned i = 0; i < WIDTH; i++) {
        cells[i] = ' ';
    }
    column = 0;
}

static void on_print(void *opaque, const char *bytes, size_t len)
{
    g_autofree char *text = g_strndup(bytes, len);

    ck_assert(g_utf8_validate(text, -1, NULL));
    for (const char *p = text; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (c == '\b') {
            strange += column == 0;
            column -= column > 0;
        } else if (c == '\n') {
            clear();
        } else if (c >= ' ' && column < WIDTH) {
            cells[column++] = c;
        } else {
            strange += c != '\r';
        }
    }
}

static void on_prompt(void *opaque)
{
    on_print(NULL, "> ", 2);
}

static void on_line(void *opaque, char *line)
{
    g_string_append_printf(entered, "%s|", line);
    on_prompt(NULL);
}

static void on_complete(void *opaque)
{
    completions++;
}

/* What is behind the prompt, with '_' before the cursor's cell and no blanks at the end. g_free. */
static char *screen(void)
{
    GString *text = g_string_new(NULL);

    ck_assert_uint_ge(column, 2);
    for (unsigned i = 2; i < WIDTH; i++) {
        if (i == column) {
            g_string_append_c(text, '_');
        }
        g_string_append_unichar(text, cells[i]);
    }
    return g_strchomp(g_string_free(text, FALSE));
}

static void type(const char *keys)
{
    hmp_edit_feed(edit, (const uint8_t *)keys, strlen(keys));
}

static void setup(void)
{
    static const HmpEditOps ops = {on_print, on_prompt, on_line, on_complete};

    entered = g_string_new(NULL);
    clear();
    edit = hmp_edit_new(&ops, NULL);
    hmp_edit_reset(edit);
    on_prompt(NULL);
}

static void teardown(void)
{
    hmp_edit_free(edit);
    g_string_free(entered, TRUE);
}

/* --- keys --- */

#define UP    "\033[A"
#define DOWN  "\033[B"
#define RIGHT "\033[C"
#define LEFT  "\033[D"

static const struct {
    const char *keys, *screen, *entered;
} typed[] = {
    {"abc", "abc_", ""},
    {"abc\r", "_", "abc|"},
    {"abc\n", "_", "abc|"},
    {"abc\r\ndef\r\n", "_", "abc|def|"},
    {"a\n\nb\r\r", "_", "a||b||"},
    {"abc\b", "ab_", ""},
    {"ab\177\177\177c", "c_", ""},
    /* moving and changing in the middle */
    {"abc" LEFT LEFT, "a_bc", ""},
    {"abc" LEFT LEFT "X", "aX_bc", ""},
    {"abc" LEFT LEFT "\b", "_bc", ""},
    {"abc" LEFT LEFT LEFT LEFT "X", "X_abc", ""},
    {"abc" LEFT LEFT RIGHT "X", "abX_c", ""},
    {"abc" RIGHT "X", "abcX_", ""},
    {"abc" LEFT LEFT "\r", "_", "abc|"},
    {"abc\033[H"
     "X",
     "X_abc", ""},
    {"abc\033[1~X\033[4~Y", "XabcY_", ""},
    {"abc\033[7~X\033[8~Y", "XabcY_", ""},
    {"abc\033OHX\033OFY", "XabcY_", ""},
    {"abc\033[H\033[FX", "abcX_", ""},
    {"abc\001X\005Y", "XabcY_", ""},
    {"abc\002\002X\006Y", "aXbY_c", ""},
    {"abc\001\033[3~", "_bc", ""},
    {"abc\033[3~", "abc_", ""},
    {"abc\001\004\004\004\004", "_", ""},
    {"abc def\001\006\006\013", "ab_", ""},
    {"abc def" LEFT "\025", "_f", ""},
    {"abc  def\027", "abc  _", ""},
    {"abc  def \027", "abc  _", ""},
    {"abc  def\027\027\027x", "x_", ""},
    {"abc def" LEFT "\027", "abc _f", ""},
    {"abc\003def", "def_", ""},
    /* history */
    {UP DOWN "a", "a_", ""},
    {"one\rtwo\r" UP, "two_", "one|two|"},
    {"one\rtwo\r" UP UP UP, "one_", "one|two|"},
    {"one\rtwo\rdraft" UP UP DOWN, "two_", "one|two|"},
    {"one\rtwo\rdraft" UP UP DOWN DOWN DOWN, "draft_", "one|two|"},
    {"one\rtwo\r\020\020\016", "two_", "one|two|"},
    {"one\r\033OA\033OB\033OAX\r", "_", "one|oneX|"},
    {"one\rtwo\rone\r" UP UP UP, "two_", "one|two|one|"},
    {"one\r\r  \r" UP, "one_", "one||  |"},
    {"one\r" UP "X" DOWN UP, "one_", "one|"},
    {"a long line\rb\r" UP UP DOWN, "b_", "a long line|b|"},
    /* what terminals send for other keys */
    {"a\033[Z\033[5~\033[15~\033[1;5Q\033[200~b", "ab_", ""},
    {"a\033[[Ab", "ab_", ""},
    {"a\033OPb", "ab_", ""},
    {"a\033xb", "ab_", ""},
    {"ab\033[1;5DX", "aX_b", ""},
    {"a\033\033[DX", "X_a", ""},
    {"a\033[\rb", "b_", "a|"},
    {"a\033[999999999999999999999~b", "ab_", ""},
    {"a\014\032\007b", "ab_", ""},
    /* characters of more than one byte */
    {"\303\251\303\250", "\303\251\303\250_", ""},
    {"\303\251\303\250\b", "\303\251_", ""},
    {"\303\251x\342\202\254" LEFT LEFT "\303\244", "\303\251\303\244_x\342\202\254", ""},
    {"\303\251x\001\033[3~", "_x", ""},
    {"\360\237\230\200x" LEFT LEFT "y\r", "_", "y\360\237\230\200x|"},
    {"a\303b\251c\377d\300\200e\r", "_", "abcde|"},
    {"a\303" LEFT "\251b", "b_a", ""},
};

START_TEST(a_key_does_what_it_says)
{
    g_autofree char *got = NULL;

    type(typed[_i].keys);
    got = screen();
    ck_assert_msg(!strcmp(got, typed[_i].screen), "%d: '%s', not '%s'", _i, got, typed[_i].screen);
    ck_assert_str_eq(entered->str, typed[_i].entered);
    ck_assert_uint_eq(strange, 0);
}
END_TEST

/* As a slow line delivers them. */
START_TEST(bytes_may_come_one_by_one)
{
    g_autofree char *got = NULL;

    for (const char *p = typed[_i].keys; *p; p++) {
        hmp_edit_feed(edit, (const uint8_t *)p, 1);
    }
    got = screen();
    ck_assert_str_eq(got, typed[_i].screen);
    ck_assert_str_eq(entered->str, typed[_i].entered);
}
END_TEST

START_TEST(sixty_four_lines_are_remembered)
{
    g_autofree char *oldest = NULL, *newest = NULL;

    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *line = g_strdup_printf("line %u\r", i);

        type(line);
    }
    for (unsigned i = 0; i < 200; i++) {
        type(UP);
    }
    oldest = screen();
    ck_assert_str_eq(oldest, "line 36_");
    for (unsigned i = 0; i < 63; i++) {
        type(DOWN);
    }
    newest = screen();
    ck_assert_str_eq(newest, "line 99_");
}
END_TEST

START_TEST(a_line_has_a_bound)
{
    g_autofree char *much = g_strnfill(5000, 'x'), *want = g_strnfill(HMP_LINE_MAX - 1, 'x');

    type(much);
    type("\001\303\251\r");
    ck_assert_uint_eq(entered->len, HMP_LINE_MAX);
    ck_assert(g_str_has_prefix(entered->str, want) && entered->str[HMP_LINE_MAX - 1] == '|');
}
END_TEST

START_TEST(completion_sees_what_is_left_of_the_cursor)
{
    g_autofree char *before = NULL, *got = NULL, *again = NULL;

    type("info xyz" LEFT LEFT LEFT "\t");
    ck_assert_uint_eq(completions, 1);
    before = hmp_edit_before(edit);
    ck_assert_str_eq(before, "info ");
    hmp_edit_insert(edit, "pci ");
    got = screen();
    ck_assert_str_eq(got, "info pci _xyz");
    clear();
    hmp_edit_redraw(edit);
    again = screen();
    ck_assert_str_eq(again, got);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("hmp-edit");
    TCase *tc = tcase_create("keys");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, a_key_does_what_it_says, 0, G_N_ELEMENTS(typed));
    tcase_add_loop_test(tc, bytes_may_come_one_by_one, 0, G_N_ELEMENTS(typed));
    tcase_add_test(tc, sixty_four_lines_are_remembered);
    tcase_add_test(tc, a_line_has_a_bound);
    tcase_add_test(tc, completion_sees_what_is_left_of_the_cursor);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
