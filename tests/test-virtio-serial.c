/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-serial (VIRTIO 1.4 §5.3) played by a driver without guest: ports, their control messages
 * and the console's size. Data and all else is in test-virtio-serial-data.c.
 */
#include <check.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/serial-fixture.h"
#include "tests/suite.h"

/* --- ports and control messages --- */

/* Row 09, as row 02 below (legacy: guest-native byte order) are the same bytes for an x86 guest. */
START_TEST(console_01_05_06_09_ports_are_announced_once_with_all_they_are)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");
    SerialMessage msg;

    fake_driver_up(d);
    serial_give_control_buffers(d, 16, CTL_BUF);
    serial_expect_no_message(d); /* not before DEVICE_READY */
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    ck_assert(fake_driver_interrupted(d, CTL_IN));
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_no_message(d);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1); /* again */
    serial_expect_no_message(d);
    serial_send_control(d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    ck_assert(serial_get_message(d, &msg));
    ck_assert_uint_eq(msg.event, VIRTIO_CONSOLE_PORT_NAME);
    ck_assert_uint_eq(msg.len, 8 + strlen("port.one"));
    ck_assert_mem_eq(msg.rest, "port.one", 8);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_ptr_nonnull(serial_plug(d, "virtconsole", "second", "", NULL)); /* one more console */
    serial_expect_message(d, 2, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_send_control(d, 2, VIRTIO_CONSOLE_PORT_READY, 1);
    serial_expect_message(d, 2, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    serial_expect_message(d, 2, VIRTIO_CONSOLE_PORT_OPEN, 1);
    serial_expect_no_message(d);
}
END_TEST

START_TEST(console_08_a_port_is_removed_when_the_driver_knew_it)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");

    fake_driver_up(d);
    serial_give_control_buffers(d, 8, CTL_BUF);
    device_destroy(serial_port_of(d, "one")); /* nobody was told of it */
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_no_message(d);
    ck_assert_ptr_nonnull(serial_plug(d, "virtserialport", "again", "chardev=c1", NULL));
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    device_destroy(serial_port_of(d, "again"));
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_READY, 1); /* too late */
    serial_expect_no_message(d);
}
END_TEST

START_TEST(console_06_08_removed_and_added_while_the_driver_gives_no_buffers)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");

    fake_driver_up(d);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    device_destroy(serial_port_of(d, "one"));
    serial_give_control_buffers(d, 1, CTL_BUF);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_no_message(d);
    fake_driver_reset(d);
    d->next_page = 0x300000;
    ck_assert_ptr_nonnull(serial_plug(d, "virtserialport", "two", "chardev=c1", NULL));
    fake_driver_up(d);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    serial_give_control_buffers(d, 2, CTL_BUF);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_no_message(d);
    device_destroy(serial_port_of(d, "two"));
    ck_assert_ptr_nonnull(serial_plug(d, "virtserialport", "three", "chardev=c1", NULL));
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_no_message(d);
}
END_TEST

static const struct {
    const char *type, *props, *message;
} bad_ports[] = {
    {"virtserialport", "nr=7", "nr=7 is too large: bus 'virtio-serial.0' has max_ports=7"},
    {"virtserialport", "nr=4294967294", "is too large"},
    {"virtconsole", "nr=1", "nr=1 is taken"},
    {"virtserialport", "nr=0", "nr=0 is taken"},
    {"virtserialport", "chardev=c1", "chardev 'c1' is in use already"},
};

START_TEST(console_07_a_port_that_does_not_fit_is_refused)
{
    g_autoptr(FakeDriver) d = serial_start(0);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(serial_plug(d, bad_ports[_i].type, "bad", bad_ports[_i].props, &err));
    ck_assert_msg(strstr(err->message, bad_ports[_i].message) != NULL, "%s", err->message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    serial_expect_no_message(d);
}
END_TEST

START_TEST(console_07_no_more_ports_than_max_nr_ports)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    g_autoptr(GError) err = NULL;

    for (unsigned i = 2; i < 7; i++) {
        g_autofree char *id = g_strdup_printf("p%u", i);

        ck_assert_ptr_nonnull(serial_plug(d, "virtserialport", id, "", NULL));
        serial_expect_message(d, i, VIRTIO_CONSOLE_PORT_ADD, 1);
    }
    ck_assert_ptr_null(bus_find(d->m->main_bus, &virtio_serial_bus_type));
    serial_expect_no_message(d);
    device_destroy(serial_port_of(d, "con"));
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    ck_assert_ptr_null(
        serial_plug(d, "virtserialport", "more", "", &err)); /* port 0 is a console's */
    ck_assert_ptr_nonnull(strstr(err->message, "no free port on bus"));
    ck_assert_ptr_nonnull(serial_plug(d, "virtconsole", "con2", "chardev=c0", NULL));
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
}
END_TEST

START_TEST(malformed_control_messages_do_no_harm)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    static const uint8_t zero[64];
    uint32_t len;

    for (uint32_t n = 0; n < 8; n++) { /* too short */
        fake_driver_add(d, CTL_OUT, OUT_AT(0x200000, n));
    }
    fake_driver_add(d, CTL_OUT, OUT(zero, 64)); /* longer: DEVICE_READY 0 and more */
    fake_driver_add(d, CTL_OUT, IN(8));
    fake_driver_add(d, CTL_OUT, OUT(zero, 3), OUT(zero, 5), IN(1)); /* cut anywhere */
    fake_driver_kick(d, CTL_OUT);
    for (unsigned i = 0; i < 11; i++) {
        ck_assert(fake_driver_get(d, CTL_OUT, NULL, &len));
        ck_assert_uint_eq(len, 0);
    }
    for (uint16_t event = 0; event < 12; event++) {
        static const uint32_t ids[] = {2, 6, 7, 511, 0x80000000, UINT32_MAX};

        for (unsigned i = 0; event != VIRTIO_CONSOLE_DEVICE_READY && i < G_N_ELEMENTS(ids); i++) {
            serial_send_control(d, ids[i], event, 1); /* ports that are not there */
        }
    }
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1); /* not the driver's to say */
    serial_send_control(d, 1, 0xffff, 1);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_READY, 0);
    serial_expect_no_message(d);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(control_buffers_that_are_too_short_are_wasted_not_the_message)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");
    uint32_t len;

    fake_driver_up(d);
    serial_give_control_buffers(d, 3, 7);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(fake_driver_get(d, CTL_IN, NULL, &len));
        ck_assert_uint_eq(len, 0);
    }
    serial_give_control_buffers(d, 3, CTL_BUF);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
}
END_TEST

START_TEST(host_side_open_and_closed_is_told)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);

    chardev_set_open(CHARDEV(serial_stream(d, "c1")), false);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    chardev_set_open(CHARDEV(serial_stream(d, "c1")), true);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    chardev_set_open(CHARDEV(serial_stream(d, "c0")), false); /* a console is always there */
    chardev_fe_event(CHARDEV(serial_stream(d, "c1")), CHARDEV_CLOSED); /* of standard input alone */
    serial_expect_no_message(d);
}
END_TEST

START_TEST(guest_side_open_and_closed_is_an_event)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");

    fake_driver_up(d);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1); /* not added yet */
    ck_assert_uint_eq(d->m->events->len, 0);
    serial_give_control_buffers(d, 8, CTL_BUF);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_uint_eq(d->m->events->len, 1);
    ck_assert_str_eq(d->m->events->pdata[0], "VSERPORT_CHANGE {\"id\": \"one\", \"open\": true}");
    for (unsigned i = 0; i < 100; i++) { /* a guest cannot flood the monitor */
        serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, i % 2);
    }
    ck_assert_uint_le(d->m->events->len, 3);
}
END_TEST

/* --- size --- */

START_TEST(a_new_size_is_told_by_message_and_configuration)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    SerialMessage msg;

    ck_assert_uint_eq(d->t->config_read(d, COLS, 4), 0);
    chardev_set_size(CHARDEV(serial_stream(d, "c0")), 132, 50);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(d->t->config_read(d, COLS, 2), 132);
    ck_assert_uint_eq(d->t->config_read(d, ROWS, 2), 50);
    ck_assert(serial_get_message(d, &msg));
    ck_assert_uint_eq(msg.id, 0);
    ck_assert_uint_eq(msg.event, VIRTIO_CONSOLE_RESIZE);
    ck_assert_uint_eq(msg.len, 12);
    ck_assert_uint_eq(le_load(msg.rest, 2), 132);
    ck_assert_uint_eq(le_load(msg.rest + 2, 2), 50);
    chardev_set_size(CHARDEV(serial_stream(d, "c1")), 80, 25); /* not a console */
    serial_expect_no_message(d);
    ck_assert(!fake_driver_config_interrupted(d));
}
END_TEST

START_TEST(a_size_known_before_is_told_with_the_port)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");

    chardev_set_size(CHARDEV(serial_stream(d, "c0")), 132, 50);
    fake_driver_up(d);
    serial_give_control_buffers(d, 8, CTL_BUF);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    serial_send_control(d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    serial_expect_message(d, 0, VIRTIO_CONSOLE_RESIZE, 1);
}
END_TEST
static void add_control_tests(TCase *tc)
{
    tcase_add_loop_test(tc, console_01_05_06_09_ports_are_announced_once_with_all_they_are, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, console_08_a_port_is_removed_when_the_driver_knew_it, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, console_06_08_removed_and_added_while_the_driver_gives_no_buffers, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, console_07_a_port_that_does_not_fit_is_refused, 0,
                        G_N_ELEMENTS(bad_ports));
    tcase_add_loop_test(tc, console_07_no_more_ports_than_max_nr_ports, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, malformed_control_messages_do_no_harm, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, control_buffers_that_are_too_short_are_wasted_not_the_message, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, host_side_open_and_closed_is_told, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, guest_side_open_and_closed_is_an_event, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_new_size_is_told_by_message_and_configuration, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_size_known_before_is_told_with_the_port, 0, FAKE_CELLS);
}

int main(void)
{
    Suite *s = suite_create("virtio-serial");
    TCase *control = tcase_create("control");

    add_control_tests(control);
    suite_add_tcase(s, control);
    return suite_run(s);
}
