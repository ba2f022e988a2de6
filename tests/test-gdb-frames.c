/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the gdb server reads and writes: frames, numbers, and the registers with their description.
 */
#include <check.h>
#include <inttypes.h>
#include <string.h>

#include "tests/suite.h"
#include "vmm/gdb/gdb-internal.h"

static GdbInput take_all(GdbReader *r, const char *bytes, size_t len)
{
    GdbInput last = GDB_INPUT_NONE;

    for (size_t i = 0; i < len; i++) {
        last = gdb_reader_take(r, (uint8_t)bytes[i]);
    }
    return last;
}

START_TEST(frames_are_read)
{
    static const struct {
        const char *bytes;
        GdbInput last;
        const char *data;
    } rows[] = {
        {"$g#67", GDB_INPUT_PACKET, "g"},
        {"$#00", GDB_INPUT_PACKET, ""},
        {"noise$m0,1#fA", GDB_INPUT_PACKET, "m0,1"},
        {"$a}\x03z#db", GDB_INPUT_BAD, NULL},
        {"$X}\x03#d8", GDB_INPUT_PACKET, "X#"},
        {"$g#68", GDB_INPUT_BAD, NULL},
        {"$g#zz", GDB_INPUT_NONE, NULL}, /* bad at the first of the two */
        {"$g#6", GDB_INPUT_NONE, NULL},
        {"$g#6-", GDB_INPUT_BAD, NULL},
        {"$half$g#67", GDB_INPUT_PACKET, "g"},
        {"+", GDB_INPUT_ACK, NULL},
        {"-", GDB_INPUT_NACK, NULL},
        {"\x03", GDB_INPUT_INTERRUPT, NULL},
        {"x", GDB_INPUT_NONE, NULL},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        GdbReader r;

        gdb_reader_init(&r);
        ck_assert_int_eq(take_all(&r, rows[i].bytes, strlen(rows[i].bytes)), rows[i].last);
        ck_assert(!rows[i].data || !strcmp(r.data->str, rows[i].data));
        gdb_reader_finish(&r);
    }
}
END_TEST

START_TEST(a_frame_that_is_too_long_is_bad_and_takes_no_memory)
{
    GdbReader r;
    int bad = 0;

    gdb_reader_init(&r);
    gdb_reader_take(&r, '$');
    for (unsigned i = 0; i < 10 * GDB_PACKET_MAX; i++) {
        bad += gdb_reader_take(&r, 'a') != GDB_INPUT_NONE;
    }
    ck_assert_int_eq(bad, 0);
    ck_assert_uint_eq(r.data->len, GDB_PACKET_MAX);
    ck_assert_int_eq(take_all(&r, "#00", 3), GDB_INPUT_BAD);
    ck_assert_int_eq(take_all(&r, "$g#67", 5), GDB_INPUT_PACKET);
    gdb_reader_finish(&r);
}
END_TEST

START_TEST(what_is_framed_is_read_again)
{
    GdbReader r;
    char all[256];
    GString *frame;

    for (unsigned i = 0; i < sizeof all; i++) {
        all[i] = (char)i;
    }
    frame = gdb_frame(all, sizeof all);
    gdb_reader_init(&r);
    ck_assert_int_eq(take_all(&r, frame->str, frame->len), GDB_INPUT_PACKET);
    ck_assert_uint_eq(r.data->len, sizeof all);
    ck_assert_mem_eq(r.data->str, all, sizeof all);
    ck_assert_ptr_null(memchr(frame->str + 1, '*', frame->len - 1)); /* would be a run */
    g_string_free(frame, TRUE);
    gdb_reader_finish(&r);
}
END_TEST

START_TEST(numbers_have_64_bits)
{
    const char *text = "ffffffffffffffff,x";
    uint64_t n = 0;

    ck_assert(gdb_take_number(&text, &n) && n == UINT64_MAX && *text == ',');
    ck_assert(!gdb_take_number(&text, &n));
    text = "10000000000000000";
    ck_assert(!gdb_take_number(&text, &n));
    text = "";
    ck_assert(!gdb_take_char(&text, '\0'));
}
END_TEST

START_TEST(the_description_has_the_table_s_registers)
{
    g_auto(GStrv) parts = g_strsplit(gdb_target_xml, "<reg ", -1);
    unsigned n = g_strv_length(parts) - 1, wrong = 0;

    ck_assert_uint_eq(n, gdb_register_count());
    for (unsigned i = 0; i < n; i++) {
        const char *bits = strstr(parts[i + 1], "bitsize=\"");

        wrong += !bits || atoi(bits + strlen("bitsize=\"")) != (int)gdb_register_size(i) * 8;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(gdb_register_size(n), 0);
}
END_TEST

START_TEST(tags_of_the_fpu_are_of_gdb_s_kind)
{
    X86Registers r = {.fsw = 7 << 11, .ftw = 0x80}; /* one register in use, number 7: st0 */
    uint8_t tags[4];

    r.st[0][9] = 0x3f, r.st[0][8] = 0xff, r.st[0][7] = 0x80; /* 1.0 */
    gdb_register_get(&r, 34, tags);
    ck_assert_uint_eq(tags[0] | tags[1] << 8, 0x3fff);
    memset(r.st[0], 0, 10);
    gdb_register_get(&r, 34, tags);
    ck_assert_uint_eq(tags[0] | tags[1] << 8, 0x7fff);
    r.st[0][9] = 0x7f, r.st[0][8] = 0xff;
    gdb_register_get(&r, 34, tags);
    ck_assert_uint_eq(tags[0] | tags[1] << 8, 0xbfff);
    memset(tags, 0xff, sizeof tags);
    gdb_register_set(&r, 34, tags);
    ck_assert_uint_eq(r.ftw, 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("gdb-frames");
    TCase *tc = tcase_create("frames");

    tcase_add_test(tc, frames_are_read);
    tcase_add_test(tc, a_frame_that_is_too_long_is_bad_and_takes_no_memory);
    tcase_add_test(tc, what_is_framed_is_read_again);
    tcase_add_test(tc, numbers_have_64_bits);
    tcase_add_test(tc, the_description_has_the_table_s_registers);
    tcase_add_test(tc, tags_of_the_fpu_are_of_gdb_s_kind);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
