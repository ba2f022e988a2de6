/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Small PC devices through their registers: the clock (on a virtual clock that the test moves),
 * power control, the keyboard controller's reset ports, and isa-debug-exit.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "hw/isa/isa.h"
#include "hw/misc/acpi-ged.h"
#include "tests/suite.h"

extern const TypeInfo mc146818rtc_type, i8042_type, isa_debug_exit_type;

#define SECOND INT64_C(1000000000)
#define MS     INT64_C(1000000)

static Platform platform;
static Bus *bus;
static Device *dev;
static int irq_level, irq_edges;
static int shutdowns, resets, exits, last_exit;
static ShutdownCause last_cause;

static void on_irq(void *opaque, int n, int level)
{
    irq_level = level;
    irq_edges += level;
}

static void on_shutdown(Platform *p, ShutdownCause cause)
{
    shutdowns++;
    last_cause = cause;
}

static void on_reset(Platform *p, ShutdownCause cause)
{
    resets++;
    last_cause = cause;
}

static void on_exit_request(Platform *p, int status)
{
    exits++;
    last_exit = status;
}

static const PlatformOps ops = {
    .shutdown_request = on_shutdown,
    .reset_request = on_reset,
    .exit_request = on_exit_request,
};

static void setup(void)
{
    platform_init(&platform, true, true);
    platform.ops = &ops;
    bus = bus_new(&main_bus_type, NULL, "main", &platform);
    dev = NULL;
    irq_level = irq_edges = shutdowns = resets = exits = 0;
}

static void teardown(void)
{
    if (dev) {
        device_unrealize(dev);
        object_unref(dev);
    }
    object_unref(bus);
    platform_finish(&platform);
}

/* Makes dev, sets properties given as name, value, ..., NULL and realizes it. */
static void make(const TypeInfo *type, ...)
{
    g_autoptr(GError) err = NULL;
    const char *name;
    va_list ap;

    dev = DEVICE(object_new(type));
    va_start(ap, type);
    while ((name = va_arg(ap, const char *))) {
        ck_assert(property_set_string(&dev->parent_obj, name, va_arg(ap, const char *), &err));
    }
    va_end(ap);
    isa_connect_irq(dev, (IrqLine){on_irq, NULL, 1});
    ck_assert_msg(device_realize(dev, bus, &err), "%s", err ? err->message : "?");
}

static uint8_t inb(uint16_t port)
{
    uint64_t v;

    ck_assert(aspace_read(platform.pio, port, 1, &v));
    return (uint8_t)v;
}

static void outb(uint16_t port, uint8_t value)
{
    ck_assert(aspace_write(platform.pio, port, value, 1));
}

/* --- the clock --- */

static uint8_t rtc_get(uint8_t reg)
{
    outb(0x70, reg | 0x80); /* with the NMI bit, which does not matter */
    return inb(0x71);
}

static void rtc_put(uint8_t reg, uint8_t value)
{
    outb(0x70, reg);
    outb(0x71, value);
}

static void rtc_setup(void)
{
    setup();
    make(&mc146818rtc_type, "clock", "vm", "base", "2024-02-28T23:59:58", NULL);
}

static void step(int64_t ns)
{
    clock_step_to(platform.vclock, clock_now(platform.vclock) + ns);
}

/* century year month day hour minute second, as the registers have them */
static void expect_time(const char *hex)
{
    g_autofree char *got =
        g_strdup_printf("%02x%02x-%02x-%02x %02x:%02x:%02x", rtc_get(0x32), rtc_get(9), rtc_get(8),
                        rtc_get(7), rtc_get(4), rtc_get(2), rtc_get(0));

    ck_assert_str_eq(got, hex);
}

START_TEST(the_clock_counts_in_bcd_over_a_leap_day)
{
    expect_time("2024-02-28 23:59:58");
    ck_assert_uint_eq(rtc_get(6), 4); /* a Wednesday */
    step(SECOND);
    expect_time("2024-02-28 23:59:59");
    step(SECOND);
    expect_time("2024-02-29 00:00:00");
    step(86400 * SECOND);
    expect_time("2024-03-01 00:00:00");
    ck_assert_uint_eq(rtc_get(0x0d), 0x80);
    ck_assert_uint_eq(inb(0x70), 0xff);
}
END_TEST

START_TEST(binary_and_twelve_hour_modes_show_the_same_time)
{
    rtc_put(0x0b, 0x06);
    expect_time("1418-02-1c 17:3b:3a");
    rtc_put(0x0b, 0x00);
    expect_time("2024-02-28 91:59:58"); /* 11 pm */
    step(2 * SECOND);
    expect_time("2024-02-29 12:00:00"); /* 12 am */
    step(12 * 3600 * SECOND);
    expect_time("2024-02-29 92:00:00"); /* 12 pm */
    rtc_put(0x0b, 0x04);
    ck_assert_uint_eq(rtc_get(4), 0x8c);
}
END_TEST

START_TEST(update_in_progress_shows_just_before_each_second)
{
    ck_assert_uint_eq(rtc_get(0x0a), 0x26);
    step(SECOND - 300000);
    ck_assert_uint_eq(rtc_get(0x0a), 0x26);
    step(100000);
    ck_assert_uint_eq(rtc_get(0x0a), 0xa6);
    step(200000);
    ck_assert_uint_eq(rtc_get(0x0a), 0x26);
    expect_time("2024-02-28 23:59:59");
}
END_TEST

/* As Linux sets the time: SET, divider in reset, registers, both back. */
START_TEST(the_guest_sets_the_time)
{
    step(SECOND / 4);
    rtc_put(0x0b, 0x82);
    rtc_put(0x0a, 0x76);
    step(5 * SECOND);
    expect_time("2024-02-28 23:59:58");
    rtc_put(9, 0x99);
    rtc_put(8, 0x12);
    rtc_put(7, 0x31);
    rtc_put(4, 0x23);
    rtc_put(2, 0x59);
    rtc_put(0, 0x59);
    rtc_put(0x32, 0x19);
    expect_time("1999-12-31 23:59:59");
    rtc_put(0x0b, 0x02);
    step(5 * SECOND);
    rtc_put(0x0a, 0x26);
    expect_time("1999-12-31 23:59:59");
    step(SECOND / 2 - MS);
    expect_time("1999-12-31 23:59:59");
    step(MS);
    expect_time("2000-01-01 00:00:00");
}
END_TEST

START_TEST(a_register_written_while_the_clock_runs_counts_on)
{
    step(SECOND / 2);
    rtc_put(4, 0x07);
    expect_time("2024-02-28 07:59:58");
    step(SECOND / 2);
    expect_time("2024-02-28 07:59:59");
    rtc_put(6, 3);
    expect_time("2024-02-28 07:59:59");
}
END_TEST

START_TEST(the_alarm_interrupts_at_its_time_and_not_before)
{
    rtc_put(5, 0x00);
    rtc_put(3, 0x30);
    rtc_put(1, 0x15);
    rtc_put(0x0b, 0x22);
    step(2 * SECOND + (30 * 60 + 15) * SECOND - 1);
    ck_assert_int_eq(irq_level, 0);
    step(1);
    ck_assert_int_eq(irq_level, 1);
    ck_assert_uint_eq(rtc_get(0x0c) & 0xb0, 0xb0); /* periodic ticks are in bit 6 */
    ck_assert_int_eq(irq_level, 0);
    ck_assert_uint_eq(rtc_get(0x0c), 0);
    step(86400 * SECOND);
    ck_assert_int_eq(irq_edges, 2);
}
END_TEST

START_TEST(an_alarm_of_dont_cares_comes_every_minute)
{
    rtc_put(5, 0xff);
    rtc_put(3, 0xc0);
    rtc_put(1, 0x10);
    rtc_put(0x0b, 0x22);
    for (int i = 0; i < 5; i++) {
        step(60 * SECOND);
        ck_assert_uint_eq(rtc_get(0x0c) & 0xa0, 0xa0);
    }
    ck_assert_int_eq(irq_edges, 5);
}
END_TEST

START_TEST(an_alarm_that_cannot_match_never_comes)
{
    rtc_put(5, 0x24);
    rtc_put(3, 0x99);
    rtc_put(1, 0x7a);
    rtc_put(0x0b, 0x22);
    step(3 * 86400 * SECOND);
    ck_assert_int_eq(irq_edges, 0);
    ck_assert_int_eq(clock_next_deadline(platform.vclock), -1);
}
END_TEST

static const struct {
    uint8_t reg, value;
} impossible[] = {{1, 0x60}, {1, 0x99}, {3, 0x60}, {3, 0x99}, {5, 0x24}, {5, 0x99}};

START_TEST(one_impossible_value_among_dont_cares_is_enough_for_never)
{
    rtc_put(1, 0xff);
    rtc_put(3, 0xff);
    rtc_put(5, 0xff);
    rtc_put(impossible[_i].reg, impossible[_i].value);
    rtc_put(0x0b, 0x22);
    step(3 * 86400 * SECOND);
    ck_assert_int_eq(irq_edges, 0);
    ck_assert_int_eq(clock_next_deadline(platform.vclock), -1);
}
END_TEST

/* CPU time that looking for the next alarm takes, many times over. */
static int64_t alarm_cost_ns(uint8_t second)
{
    struct timespec from, to;

    rtc_put(1, second);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    for (int i = 0; i < 200; i++) {
        step(SECOND);
        rtc_get(0x0c);
    }
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    return (to.tv_sec - from.tv_sec) * SECOND + to.tv_nsec - from.tv_nsec;
}

START_TEST(an_alarm_that_cannot_match_costs_no_more_than_one_that_can)
{
    int64_t possible;

    rtc_put(3, 0xff);
    rtc_put(5, 0xff);
    possible = alarm_cost_ns(0x59);
    ck_assert_int_lt(alarm_cost_ns(0x60), 10 * possible + 5 * MS);
}
END_TEST

START_TEST(update_interrupts_come_once_a_second)
{
    rtc_put(0x0b, 0x12);
    for (int i = 0; i < 3; i++) {
        step(SECOND);
        ck_assert_uint_eq(rtc_get(0x0c) & 0x90, 0x90);
        ck_assert_uint_eq(rtc_get(0x0c) & 0x90, 0);
    }
    ck_assert_int_eq(irq_edges, 3);
}
END_TEST

START_TEST(periodic_interrupts_come_at_their_rate)
{
    int n = 0;

    rtc_put(0x0a, 0x2f); /* 2 Hz */
    rtc_put(0x0b, 0x42);
    for (int i = 0; i < 100; i++) {
        step(100 * MS);
        n += (rtc_get(0x0c) & 0xc0) == 0xc0;
    }
    ck_assert_int_eq(n, 20);
    ck_assert_int_eq(irq_edges, 20);
    rtc_put(0x0a, 0x20);
    step(10 * SECOND);
    ck_assert_uint_eq(rtc_get(0x0c) & 0x40, 0);
}
END_TEST

START_TEST(flags_are_set_without_interrupts_too)
{
    step(2 * SECOND);
    ck_assert_uint_eq(rtc_get(0x0c), 0x70); /* 00:00:00 is the alarm at first */
    ck_assert_uint_eq(rtc_get(0x0c), 0);
    ck_assert_int_eq(irq_edges, 0);
    ck_assert_int_eq(clock_next_deadline(platform.vclock), -1);
}
END_TEST

START_TEST(reset_keeps_time_and_ram_but_disables_interrupts)
{
    rtc_put(0x40, 0xab);
    rtc_put(0x7f, 0xcd);
    rtc_put(0x0b, 0x72);
    step(SECOND);
    ck_assert_int_eq(irq_level, 1);
    device_reset(dev);
    ck_assert_int_eq(irq_level, 0);
    ck_assert_uint_eq(rtc_get(0x0b), 0x02);
    ck_assert_uint_eq(rtc_get(0x40), 0xab);
    ck_assert_uint_eq(rtc_get(0x7f), 0xcd);
    expect_time("2024-02-28 23:59:59");
    ck_assert_int_eq(clock_next_deadline(platform.vclock), -1);
}
END_TEST

START_TEST(any_register_values_are_harmless)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);

    for (int i = 0; i < 20000; i++) {
        uint64_t v;

        aspace_write(platform.pio, 0x70, (uint64_t)g_rand_int_range(rand, 0, 0x40), 1);
        aspace_write(platform.pio, 0x71, g_rand_int(rand), 1u << g_rand_int_range(rand, 0, 3));
        aspace_read(platform.pio, 0x71, 1, &v);
        step(g_rand_int_range(rand, 0, 2000000000) / (i % 50 ? 1000000 : 1));
    }
}
END_TEST

START_TEST(the_host_clock_is_the_default)
{
    time_t now = time(NULL);
    struct tm tm;
    int seconds;

    setup();
    make(&mc146818rtc_type, NULL);
    rtc_put(0x0b, 0x06);
    gmtime_r(&now, &tm);
    ck_assert_int_eq(rtc_get(0x32) * 100 + rtc_get(9), tm.tm_year + 1900);
    seconds = (rtc_get(4) * 60 + rtc_get(2)) * 60 + rtc_get(0);
    seconds -= (tm.tm_hour * 60 + tm.tm_min) * 60 + tm.tm_sec;
    ck_assert_int_le((seconds + 86400) % 86400, 5);
    teardown();
}
END_TEST

START_TEST(a_bad_base_gets_one_line)
{
    static const char *const bad[] = {"", "yesterday", "2024-13-01", "1960-01-01",
                                      "2024-01-01T00:00:00Z"};
    Device *d;

    setup();
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(GError) err = NULL;

        d = DEVICE(object_new(&mc146818rtc_type));
        ck_assert(property_set_string(&d->parent_obj, "base", bad[i], NULL));
        ck_assert(!device_realize(d, bus, &err));
        ck_assert_ptr_nonnull(strstr(err->message, "is not utc, localtime or a date"));
        object_unref(d);
    }
    make(&mc146818rtc_type, "base", "localtime", NULL);
    teardown();
}
END_TEST

/* --- power --- */

static uint32_t ged_read(uint64_t off, unsigned size)
{
    uint64_t v;

    ck_assert(aspace_read(platform.mmio, ACPI_GED_BASE + off, size, &v));
    return (uint32_t)v;
}

static void ged_write(uint64_t off, uint32_t value, unsigned size)
{
    ck_assert(aspace_write(platform.mmio, ACPI_GED_BASE + off, value, size));
}

START_TEST(the_power_button_interrupts_until_its_event_is_read)
{
    make(&acpi_ged_type, NULL);
    ck_assert_uint_eq(ged_read(ACPI_GED_SELECTOR, 4), 0);
    acpi_ged_power_button(dev);
    acpi_ged_power_button(dev);
    ck_assert_int_eq(irq_level, 1);
    ck_assert_uint_eq(ged_read(ACPI_GED_SELECTOR, 4), ACPI_GED_EVENT_POWER);
    ck_assert_int_eq(irq_level, 0);
    ck_assert_uint_eq(ged_read(ACPI_GED_SELECTOR, 4), 0);
    acpi_ged_power_button(dev);
    device_reset(dev);
    ck_assert_int_eq(irq_level, 0);
    ck_assert_int_eq(irq_edges, 2);
}
END_TEST

START_TEST(only_s5_with_enable_powers_off)
{
    make(&acpi_ged_type, NULL);
    ged_write(ACPI_GED_SLEEP_STATUS, 0x80, 1);
    ged_write(ACPI_GED_SLEEP_CONTROL, ACPI_GED_SLP_TYP_S5 << ACPI_GED_SLP_TYP_SHIFT, 1);
    ged_write(ACPI_GED_SLEEP_CONTROL, ACPI_GED_SLP_EN | 3 << ACPI_GED_SLP_TYP_SHIFT, 1);
    ck_assert_int_eq(shutdowns, 0);
    ged_write(ACPI_GED_SLEEP_CONTROL,
              ACPI_GED_SLP_EN | ACPI_GED_SLP_TYP_S5 << ACPI_GED_SLP_TYP_SHIFT, 1);
    ck_assert_int_eq(shutdowns, 1);
    ck_assert_int_eq(last_cause, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    ck_assert_int_eq(resets, 0);
}
END_TEST

START_TEST(the_reset_register_takes_its_value_only)
{
    make(&acpi_ged_type, NULL);
    ged_write(ACPI_GED_RESET, 1, 1);
    ck_assert_int_eq(resets, 0);
    ged_write(ACPI_GED_RESET, ACPI_GED_RESET_VALUE, 1);
    ck_assert_int_eq(resets, 1);
    ck_assert_int_eq(last_cause, SHUTDOWN_CAUSE_GUEST_RESET);
}
END_TEST

START_TEST(the_power_registers_move_with_their_base)
{
    uint64_t v;

    make(&acpi_ged_type, "base", "0xd0000000", "irq", "20", NULL);
    ck_assert(aspace_read(platform.mmio, 0xd0000000, 4, &v));
    ck_assert(!aspace_read(platform.mmio, ACPI_GED_BASE, 4, &v));
    device_unrealize(dev);
    ck_assert(!aspace_read(platform.mmio, 0xd0000000, 4, &v));
}
END_TEST

/* --- keyboard controller and debug exit --- */

START_TEST(each_of_the_old_ways_to_reset_asks_for_one)
{
    make(&i8042_type, NULL);
    outb(0x64, 0xfe);
    ck_assert_int_eq(resets, 1);
    outb(0x64, 0xd1);
    outb(0x60, 0xdf); /* A20 on, no reset */
    outb(0x60, 0x00); /* not the command's data any more */
    outb(0x64, 0xff);
    ck_assert_int_eq(resets, 1);
    outb(0x64, 0xd1);
    outb(0x60, 0xde);
    ck_assert_int_eq(resets, 2);
    outb(0x92, 0x02);
    ck_assert_int_eq(resets, 2);
    outb(0x92, 0x03);
    outb(0x92, 0x03);
    ck_assert_int_eq(resets, 3);
    ck_assert_int_eq(last_cause, SHUTDOWN_CAUSE_GUEST_RESET);
    device_reset(dev);
    ck_assert_uint_eq(inb(0x92), 0x02);
}
END_TEST

/* Linux' i8042_flush: a buffer that 16 reads do not empty is no controller. */
START_TEST(a_search_for_a_keyboard_ends_after_a_few_reads)
{
    int reads = 0;

    make(&i8042_type, NULL);
    while ((inb(0x64) & 1) && reads < 17) {
        inb(0x60);
        reads++;
    }
    ck_assert_int_eq(reads, 17);
    ck_assert_uint_eq(inb(0x64) & 2, 0); /* reboot code waits for this bit to be clear */
    outb(0x64, 0xaa);
    ck_assert_uint_eq(inb(0x60), 0x55);
}
END_TEST

START_TEST(debug_exit_ends_with_an_odd_status)
{
    make(&isa_debug_exit_type, "iobase", "0xf4", "iosize", "4", NULL);
    ck_assert_uint_eq(inb(0xf4), 0);
    outb(0xf4, 0);
    ck_assert_int_eq(last_exit, 1);
    ck_assert(aspace_write(platform.pio, 0xf4, 0x21, 4));
    ck_assert_int_eq(last_exit, 0x43);
    ck_assert_int_eq(exits, 2);
}
END_TEST

START_TEST(debug_exit_has_two_ports_at_0x501_unless_told_otherwise)
{
    uint64_t v;

    make(&isa_debug_exit_type, NULL);
    outb(0x501, 3);
    ck_assert_int_eq(last_exit, 7);
    ck_assert(aspace_read(platform.pio, 0x502, 1, &v));
    ck_assert(!aspace_read(platform.pio, 0x503, 1, &v));
}
END_TEST

START_TEST(port_devices_need_a_machine_with_ports_and_an_address_within)
{
    g_autoptr(GError) err = NULL, err2 = NULL;
    Device *d = DEVICE(object_new(&isa_debug_exit_type));
    Platform mmio_only;
    Bus *other;

    ck_assert(property_set_string(&d->parent_obj, "iobase", "0xffff", NULL));
    ck_assert(!device_realize(d, bus, &err));
    ck_assert_str_eq(err->message,
                     "isa-debug-exit: ports 0xffff to 0x10000 are not within 0 to 0xffff");
    platform_init(&mmio_only, false, true);
    other = bus_new(&main_bus_type, NULL, "main", &mmio_only);
    ck_assert(!device_realize(d, other, &err2));
    ck_assert_str_eq(err2->message, "isa-debug-exit: this machine has no port I/O");
    object_unref(d);
    object_unref(other);
    platform_finish(&mmio_only);
}
END_TEST

static Suite *misc_suite(void)
{
    Suite *suite = suite_create("misc");
    TCase *tc = tcase_create("clock");

    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, rtc_setup, teardown);
    tcase_add_test(tc, the_clock_counts_in_bcd_over_a_leap_day);
    tcase_add_test(tc, binary_and_twelve_hour_modes_show_the_same_time);
    tcase_add_test(tc, update_in_progress_shows_just_before_each_second);
    tcase_add_test(tc, the_guest_sets_the_time);
    tcase_add_test(tc, a_register_written_while_the_clock_runs_counts_on);
    tcase_add_test(tc, the_alarm_interrupts_at_its_time_and_not_before);
    tcase_add_test(tc, an_alarm_of_dont_cares_comes_every_minute);
    tcase_add_test(tc, an_alarm_that_cannot_match_never_comes);
    tcase_add_loop_test(tc, one_impossible_value_among_dont_cares_is_enough_for_never, 0,
                        G_N_ELEMENTS(impossible));
    tcase_add_test(tc, an_alarm_that_cannot_match_costs_no_more_than_one_that_can);
    tcase_add_test(tc, update_interrupts_come_once_a_second);
    tcase_add_test(tc, periodic_interrupts_come_at_their_rate);
    tcase_add_test(tc, flags_are_set_without_interrupts_too);
    tcase_add_test(tc, reset_keeps_time_and_ram_but_disables_interrupts);
    tcase_add_test(tc, any_register_values_are_harmless);

    tc = tcase_create("clock's base");
    suite_add_tcase(suite, tc);
    tcase_add_test(tc, the_host_clock_is_the_default);
    tcase_add_test(tc, a_bad_base_gets_one_line);

    tc = tcase_create("power, reset, exit");
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_power_button_interrupts_until_its_event_is_read);
    tcase_add_test(tc, only_s5_with_enable_powers_off);
    tcase_add_test(tc, the_reset_register_takes_its_value_only);
    tcase_add_test(tc, the_power_registers_move_with_their_base);
    tcase_add_test(tc, each_of_the_old_ways_to_reset_asks_for_one);
    tcase_add_test(tc, a_search_for_a_keyboard_ends_after_a_few_reads);
    tcase_add_test(tc, debug_exit_ends_with_an_odd_status);
    tcase_add_test(tc, debug_exit_has_two_ports_at_0x501_unless_told_otherwise);
    tcase_add_test(tc, port_devices_need_a_machine_with_ports_and_an_address_within);
    return suite;
}

int main(void)
{
    return suite_run(misc_suite());
}
