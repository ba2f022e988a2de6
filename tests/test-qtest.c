/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The qtest protocol: each command, what is wrong with one, interrupts, the clock, and random
 * lines.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/qtest-fixture.h"
#include "tests/test-qtest.h"
#include "tests/suite.h"

static QtestVm vm;
static QtestClient c;

static void setup(void)
{
    qtest_vm_start(&vm, "pc", NULL);
    qtest_client_connect(&c, &vm);
}

static void teardown(void)
{
    qtest_client_close(&c);
    qtest_vm_stop(&vm);
}

/* --- memory --- */

START_TEST(every_width_is_written_and_read_in_little_endian)
{
    ck_assert_str_eq(qtest_do(&c, "endianness"), "OK little");
    qtest_ok(&c, "writeq 0x200000 0x1122334455667788");
    ck_assert_str_eq(qtest_do(&c, "readb 0x200000"), "OK 0x0000000000000088");
    ck_assert_str_eq(qtest_do(&c, "readw 0x200001"), "OK 0x0000000000006677");
    ck_assert_str_eq(qtest_do(&c, "readl 2097156"), "OK 0x0000000011223344");
    ck_assert_str_eq(qtest_do(&c, "readq 010000000"), "OK 0x1122334455667788");
    qtest_ok(&c, "writeb 0x200000 0xabcd");
    qtest_ok(&c, "writew 0x200002 0x1ffff");
    qtest_ok(&c, "writel 0x200004 0");
    ck_assert_str_eq(qtest_do(&c, "readq 0x200000"), "OK 0x00000000ffff77cd");
}
END_TEST

START_TEST(blocks_are_hex_or_base64)
{
    qtest_ok(&c, "write 0x300000 4 0x00FFab10");
    ck_assert_str_eq(qtest_do(&c, "read 0x300000 0x5"), "OK 0x00ffab1000");
    ck_assert_str_eq(qtest_do(&c, "b64read 0x300000 4"), "OK AP+rEA==");
    qtest_ok(&c, "b64write 0x300001 2 AQI=");
    ck_assert_str_eq(qtest_do(&c, "read 0x300000 4"), "OK 0x00010210");
    qtest_ok(&c, "memset 0x300ffe 4 0x1a5");
    ck_assert_str_eq(qtest_do(&c, "read 0x300ffd 6"), "OK 0x00a5a5a5a500");
}
END_TEST

START_TEST(short_data_is_filled_with_zeros_and_long_data_is_cut)
{
    qtest_ok(&c, "memset 0x300000 8 0xff");
    qtest_ok(&c, "write 0x300000 4 0xabc");
    ck_assert_str_eq(qtest_do(&c, "read 0x300000 5"), "OK 0xabc00000ff");
    qtest_ok(&c, "write 0x300000 1 0x0102");
    ck_assert_str_eq(qtest_do(&c, "read 0x300000 2"), "OK 0x01c0");
    qtest_ok(&c, "b64write 0x300006 1 AQI=");
    ck_assert_str_eq(qtest_do(&c, "read 0x300006 2"), "OK 0x01ff");
}
END_TEST

START_TEST(large_blocks_go_through_whole)
{
    enum { SIZE = 3 << 20 };
    g_autofree char *hex = g_malloc(2 * SIZE + 1);

    for (unsigned i = 0; i < 2 * SIZE; i++) {
        hex[i] = "0123456789abcdef"[i * 7 / 5 % 16];
    }
    hex[2 * SIZE] = '\0';
    qtest_ok(&c, "write 0x400010 %d 0x%s", SIZE, hex);
    ck_assert(!strcmp(qtest_do(&c, "read 0x400010 %d", SIZE) + 5, hex));
    ck_assert_uint_eq(strlen(qtest_do(&c, "b64read 0x400010 %d", SIZE)), 3 + SIZE / 3 * 4);
}
END_TEST

START_TEST(where_nothing_is_reads_give_ones_and_writes_are_dropped)
{
    ck_assert_uint_eq(qtest_get(&c, "readl 0xd0000000"), 0xffffffff);
    qtest_ok(&c, "writel 0xd0000000 0");
    ck_assert_str_eq(qtest_do(&c, "read 0x3fffffe 4"), "OK 0x0000ffff"); /* the end of RAM */
    ck_assert_uint_eq(qtest_get(&c, "readq 0xfffffffffffffffc"), UINT64_MAX);
    ck_assert_str_eq(qtest_do(&c, "inl 0x1234"), "OK 0xffffffff");
    ck_assert_str_eq(qtest_do(&c, "inb 0xffff"), "OK 0x00ff");
}
END_TEST

START_TEST(ports_lead_to_devices)
{
    qtest_ok(&c, "outb 0x3ff 0x5a"); /* the serial port's scratch register */
    ck_assert_str_eq(qtest_do(&c, "inb 0x3ff"), "OK 0x005a");
    qtest_ok(&c, "outl 0xcf8 0x80000002");
    ck_assert_str_eq(qtest_do(&c, "inw 0xcfc"), "OK 0x0008");
}
END_TEST

static uint64_t fw_cfg(unsigned key, unsigned size)
{
    uint64_t value = 0;

    qtest_ok(&c, "outw 0x510 %u", key);
    for (unsigned i = 0; i < size; i++) {
        value |= qtest_get(&c, "inb 0x511") << 8 * i;
    }
    return value;
}

START_TEST(firmware_configuration_tells_memory_and_cpus)
{
    ck_assert_uint_eq(fw_cfg(0, 4), 0x554d4551); /* "QEMU" */
    ck_assert_uint_eq(fw_cfg(1, 4), 1);
    ck_assert_uint_eq(fw_cfg(3, 8), QTEST_FIXTURE_RAM);
    ck_assert_uint_eq(fw_cfg(5, 2), 1);
    ck_assert_uint_eq(fw_cfg(0x19, 8), 0);
    ck_assert_uint_eq(fw_cfg(0x4000, 8), 0);
}
END_TEST

/* --- what is wrong --- */

static const struct {
    const char *line, *reply;
} wrong[] = {
    {"", "FAIL Unknown command ''"},
    {"   ", "FAIL Unknown command ''"},
    {"foo 1 2", "FAIL Unknown command 'foo'"},
    {"module_load audio-none", "FAIL Unknown command 'module_load'"},
    {"OUTB 1 2", "FAIL Unknown command 'OUTB'"},
    {"outb", "FAIL Usage: outb ADDR VALUE"},
    {"outb 1", "FAIL Usage: outb ADDR VALUE"},
    {"outb 1 2 3", "FAIL Usage: outb ADDR VALUE"},
    {"outb 0x10000 0", "FAIL outb: there is no port 0x10000"},
    {"inl x", "FAIL inl: 'x' is not a number of 64 bits"},
    {"inl 0x", "FAIL inl: '0x' is not a number of 64 bits"},
    {"readb 0x10000000000000000", "FAIL readb: '0x10000000000000000' is not a number of 64 bits"},
    {"readb 12monkeys", "FAIL readb: '12monkeys' is not a number of 64 bits"},
    {"read 0 0x2000001", "FAIL read: one command takes at most 33554432 bytes"},
    {"read 0xffffffffffffffff 2", "FAIL read: the block passes the end of the address space"},
    {"memset 0x1000 0x4000000 0", "FAIL memset: one command takes at most 33554432 bytes"},
    {"write 0 4 abcd", "FAIL write: the data must begin with 0x"},
    {"write 0 4 0xabcg", "FAIL write: the data has something else than hex digits"},
    {"write 0 4", "FAIL Usage: write ADDR SIZE 0xDATA"},
    {"clock_step -1", "FAIL clock_step: '-1' is not a time"},
    {"clock_set", "FAIL Usage: clock_set NS"},
    {"irq_intercept_in /machine/cmos", "FAIL irq_intercept_in: Unknown device '/machine/cmos'"},
    {"irq_intercept_out nobody", "FAIL irq_intercept_out: Unknown device 'nobody'"},
    {"irq_intercept_out /machine/pci-host",
     "FAIL irq_intercept_out: pci-host has no interrupt output that can be intercepted"},
    {"set_irq_in ioapic unnamed-gpio-in 24 1", "FAIL set_irq_in: it has no input 24"},
    {"set_irq_in ioapic foo 1 1", "FAIL set_irq_in: it has no inputs 'foo', only unnamed-gpio-in"},
};

START_TEST(wrong_line_gets_a_reason_and_the_next_one_works)
{
    ck_assert_str_eq(qtest_do(&c, "%s", wrong[_i].line), wrong[_i].reply);
    ck_assert_str_eq(qtest_do(&c, "readb 0x100000"), "OK 0x0000000000000000");
}
END_TEST

START_TEST(line_that_is_too_long_is_refused_and_skipped)
{
    g_autofree char *junk = g_malloc(1 << 20);

    memset(junk, '1', 1 << 20);
    fputs("write 0 1 0x", c.out);
    for (unsigned i = 0; i < QTEST_LINE_MAX >> 20; i++) {
        fwrite(junk, 1, 1 << 20, c.out);
    }
    ck_assert_str_eq(qtest_do(&c, " "), "FAIL The line is longer than 67108864 bytes");
    ck_assert_str_eq(qtest_do(&c, "readb 0"), "OK 0x0000000000000000");
}
END_TEST

START_TEST(nul_bytes_and_carriage_returns)
{
    fwrite("readb 0\0 1\n", 1, 11, c.out);
    ck_assert_str_eq(qtest_client_reply(&c), "FAIL There is a NUL byte in the line");
    ck_assert_str_eq(qtest_do(&c, "readb  0 \r"), "OK 0x0000000000000000");
}
END_TEST

START_TEST(lines_in_one_packet_are_answered_in_order)
{
    for (unsigned i = 0; i < 1000; i++) {
        fprintf(c.out, "writel 0x%x %u\n", 0x500000 + 4 * i, i);
    }
    for (unsigned i = 0; i < 1000; i++) {
        ck_assert_str_eq(qtest_client_reply(&c), "OK");
    }
    ck_assert_uint_eq(qtest_get(&c, "readl 0x%x", 0x500000 + 4 * 999), 999);
}
END_TEST

/* --- clock --- */

START_TEST(clock_moves_when_told)
{
    ck_assert_uint_eq(qtest_get(&c, "clock_step 1000000"), 1000000);
    ck_assert_uint_eq(qtest_get(&c, "clock_set 5000000"), 5000000);
    ck_assert_uint_eq(qtest_get(&c, "clock_set 1"), 5000000); /* never back */
    ck_assert_str_eq(qtest_do(&c, "clock_step 0x7fffffffffffffff"),
                     "FAIL clock_step: the clock would pass its end");
    ck_assert_uint_ge(qtest_get(&c, "clock_step"), 5000000);
}
END_TEST

/* --- interrupts --- */

START_TEST(controller_inputs_are_watched_once_asked_for)
{
    qtest_ok(&c, "set_irq_in ioapic unnamed-gpio-in 7 1");
    qtest_ok(&c, "set_irq_in ioapic unnamed-gpio-in 7 0");
    ck_assert_uint_eq(c.raised[7], 0);
    qtest_ok(&c, "irq_intercept_in ioapic");
    qtest_ok(&c, "irq_intercept_in /machine/ioapic"); /* the same lines */
    qtest_ok(&c, "set_irq_in /machine/ioapic unnamed-gpio-in 7 1");
    qtest_ok(&c, "set_irq_in ioapic unnamed-gpio-in 7 5");
    ck_assert_uint_eq(c.raised[7], 1);
    qtest_ok(&c, "set_irq_in ioapic unnamed-gpio-in 7 0");
    ck_assert_uint_eq(c.lowered[7], 1);
}
END_TEST

/* Line status interrupts of the serial port: it is always ready to send. */
static void serial_interrupt(bool on)
{
    qtest_ok(&c, "outb 0x3fc 8"); /* OUT2 */
    qtest_ok(&c, "outb 0x3f9 %d", on ? 2 : 0);
}

START_TEST(device_output_is_watched_and_still_leads_on)
{
    qtest_ok(&c, "irq_intercept_out /machine/serial0");
    qtest_ok(&c, "irq_intercept_out serial0");
    ck_assert_str_eq(qtest_do(&c, "irq_intercept_in ioapic"),
                     "FAIL irq_intercept_in: IRQ intercept already enabled");
    serial_interrupt(true);
    ck_assert_uint_eq(c.raised[0], 1);
    serial_interrupt(false);
    ck_assert_uint_eq(c.lowered[0], 1);
}
END_TEST

START_TEST(next_client_starts_afresh)
{
    qtest_ok(&c, "irq_intercept_out serial0");
    fputs("readb 0", c.out); /* half a line stays behind */
    qtest_client_close(&c);
    qtest_client_connect(&c, &vm);
    qtest_ok(&c, "irq_intercept_in ioapic");
    serial_interrupt(true);
    ck_assert_uint_eq(c.raised[0], 0);
    ck_assert_uint_eq(c.raised[4], 1);
}
END_TEST

START_TEST(log_shows_both_sides)
{
    g_autofree char *text = NULL;

    qtest_ok(&c, "writeb 0x1000 1");
    qtest_get(&c, "read 0x1000 2");
    ck_assert(g_file_get_contents(vm.log, &text, NULL, NULL));
    ck_assert_ptr_nonnull(strstr(text, "] OPENED\n"));
    ck_assert_ptr_nonnull(strstr(text, "] writeb 0x1000 1\n[S +"));
    ck_assert_ptr_nonnull(strstr(text, "] OK 0x0100\n"));
}
END_TEST

/* --- random lines --- */

/* The first COMMANDS words are names of commands. */
enum { COMMANDS = 20 };
static const char random_vocabulary[] =
    "outb outl inb inw writeb writeq readb readl readq read write memset b64read b64write "
    "clock_step clock_set endianness set_irq_in irq_intercept_in irq_intercept_out ioapic "
    "unnamed-gpio-in serial0 0 1 0xcf8 0xcfc 0x511 0x100000 0xe0000000 0xb0020000 0x3fffffc "
    "0xfffffffffffffff8 -1 07 0xzz AAEC 0x12 10000 \x80\xff ";

static void random_line(GString *line, char **words, GRand *rnd)
{
    int n = g_rand_int_range(rnd, 1, 6), all = (int)g_strv_length(words);

    g_string_truncate(line, 0);
    for (int i = 0; i < n; i++) {
        int max = i == 0 && g_rand_int_range(rnd, 0, 8) ? COMMANDS : all;

        if (i > 0 && g_rand_int_range(rnd, 0, 3) == 0) {
            g_string_append_printf(line, "0x%x ",
                                   g_rand_int(rnd) >> g_rand_int_range(rnd, i > 1 ? 18 : 0, 32));
        } else {
            g_string_append_printf(line, "%s ", words[g_rand_int_range(rnd, 0, max)]);
        }
    }
}

START_TEST(random_lines_get_one_answer_each)
{
    enum { ROUNDS = 200, LINES = 100 };
    g_autoptr(GRand) rnd = g_rand_new_with_seed(20261);
    g_autoptr(GString) line = g_string_new(NULL);
    g_auto(GStrv) words = g_strsplit(random_vocabulary, " ", 0);
    unsigned ok = 0;

    for (unsigned i = 0; i < ROUNDS; i++) {
        for (unsigned k = 0; k < LINES; k++) {
            random_line(line, words, rnd);
            g_string_append_c(line, '\n');
            fwrite(line->str, 1, line->len, c.out);
        }
        for (unsigned k = 0; k < LINES; k++) {
            const char *reply = qtest_client_reply(&c);

            ck_assert(g_str_has_prefix(reply, "OK") || g_str_has_prefix(reply, "FAIL "));
            ok += reply[0] == 'O';
        }
    }
    ck_assert_uint_gt(ok, 1000);
    ck_assert_str_eq(qtest_do(&c, "endianness"), "OK little");
}
END_TEST

/* --- */

static Suite *qtest_suite(void)
{
    Suite *s = suite_create("qtest");
    TCase *tc = tcase_create("protocol");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, every_width_is_written_and_read_in_little_endian);
    tcase_add_test(tc, blocks_are_hex_or_base64);
    tcase_add_test(tc, short_data_is_filled_with_zeros_and_long_data_is_cut);
    tcase_add_test(tc, large_blocks_go_through_whole);
    tcase_add_test(tc, where_nothing_is_reads_give_ones_and_writes_are_dropped);
    tcase_add_test(tc, ports_lead_to_devices);
    tcase_add_test(tc, firmware_configuration_tells_memory_and_cpus);
    tcase_add_loop_test(tc, wrong_line_gets_a_reason_and_the_next_one_works, 0,
                        G_N_ELEMENTS(wrong));
    tcase_add_test(tc, line_that_is_too_long_is_refused_and_skipped);
    tcase_add_test(tc, nul_bytes_and_carriage_returns);
    tcase_add_test(tc, lines_in_one_packet_are_answered_in_order);
    tcase_add_test(tc, clock_moves_when_told);
    tcase_add_test(tc, controller_inputs_are_watched_once_asked_for);
    tcase_add_test(tc, device_output_is_watched_and_still_leads_on);
    tcase_add_test(tc, next_client_starts_afresh);
    tcase_add_test(tc, log_shows_both_sides);
    tcase_add_test(tc, random_lines_get_one_answer_each);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, qtest_balloon_tcase());
    return s;
}

int main(void)
{
    return suite_run(qtest_suite());
}
