/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-serial (VIRTIO 1.4 §5.3) played by a driver without guest: data both ways with flow
 * control, devices without MULTIPORT, emergency writes, and drivers that misbehave.
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

/* --- data --- */

START_TEST(bytes_from_the_guest_reach_the_stream)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    uint32_t len = 1;

    serial_say(d, OUT0, "hello ");
    fake_driver_add(d, OUT0, OUT("wor", 3), OUT_AT(0x200000, 0), OUT("ld", 2));
    fake_driver_kick(d, OUT0);
    serial_say(d, OUT1, "to port one");
    ck_assert_str_eq(serial_stream(d, "c0")->got->str, "hello world");
    ck_assert_str_eq(serial_stream(d, "c1")->got->str, "to port one");
    ck_assert(fake_driver_get(d, OUT0, NULL, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(fake_driver_interrupted(d, OUT0));
    serial_say(d, 7, "no such port"); /* out queue of port 2 */
    ck_assert(fake_driver_get(d, 7, NULL, NULL));
}
END_TEST

START_TEST(bytes_for_the_guest_wait_until_it_has_buffers)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    uint32_t len;
    Gpa at;

    ck_assert_uint_eq(serial_type_in(d, "c1", "hello"), 0);
    fake_driver_add_bufs(d, IN1, (const FakeBuf[]){IN(3), END}, &at);
    fake_driver_add(d, IN1, OUT("x", 1)); /* no room in it */
    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    ck_assert_uint_eq(serial_type_in(d, "c1", "hello"), 5);
    ck_assert(fake_driver_get(d, IN1, NULL, &len));
    ck_assert_uint_eq(len, 3);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at, 3), 0x6c6568);
    ck_assert(fake_driver_interrupted(d, IN1));
    ck_assert(fake_driver_get(d, IN1, NULL, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(fake_driver_get(d, IN1, NULL, &len));
    ck_assert_uint_eq(len, 2);
    ck_assert_uint_eq(serial_type_in(d, "c1", "more"), 0);
}
END_TEST

START_TEST(bytes_for_the_guest_wait_until_it_opens_the_port)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);

    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    ck_assert_uint_eq(serial_type_in(d, "c1", "hello"), 0);
    serial_send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_uint_eq(serial_type_in(d, "c1", "hello"), 5);
}
END_TEST

START_TEST(room_is_asked_without_holding_a_buffer)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    FakeRing *r = &d->rings[IN1];

    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_eq(chardev_fe_room(CHARDEV(serial_stream(d, "c1"))), 10);
    }
    fake_ring_set_avail_idx(r, (uint16_t)(r->avail_idx - 1)); /* Linux takes it back so */
    fake_driver_kick(d, IN1);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(a_slow_reader_stops_the_ports_queue)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    TestChardev *c = serial_stream(d, "c1");

    c->room = 4;
    serial_say(d, OUT1, "hello ");
    serial_say(d, OUT1, "world");
    ck_assert_str_eq(c->got->str, "hell");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 0);
    serial_say(d, OUT0, "console"); /* others go on */
    ck_assert_str_eq(serial_stream(d, "c0")->got->str, "console");
    c->room = 3;
    chardev_fe_event(CHARDEV(c), CHARDEV_DRAINED);
    ck_assert_str_eq(c->got->str, "hello w");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 1);
    c->room = SIZE_MAX;
    chardev_fe_event(CHARDEV(c), CHARDEV_DRAINED);
    ck_assert_str_eq(c->got->str, "hello world");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 2);
    ck_assert(fake_driver_interrupted(d, OUT1));
}
END_TEST

START_TEST(a_console_never_waits_for_its_reader)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);

    serial_stream(d, "c0")->room = 0;
    serial_say(d, OUT0, "hello");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT0]), 1);
}
END_TEST

START_TEST(a_reader_that_leaves_frees_what_waited_for_it)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    TestChardev *c = serial_stream(d, "c1");

    c->room = 1;
    serial_say(d, OUT1, "hello");
    serial_say(d, OUT1, "world");
    chardev_set_open(CHARDEV(c), false);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 2);
    ck_assert_str_eq(c->got->str, "h");
    serial_say(d, OUT1, "lost");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 3);
    ck_assert_str_eq(c->got->str, "h");
}
END_TEST

START_TEST(a_port_that_leaves_gives_its_buffers_back_first)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);

    serial_stream(d, "c1")->room = 1;
    serial_say(d, OUT1, "hello");
    serial_say(d, OUT1, "world");
    device_destroy(serial_port_of(d, "one"));
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 2);
    serial_expect_message(d, 1, VIRTIO_CONSOLE_PORT_REMOVE, 1);
}
END_TEST

START_TEST(an_endless_buffer_does_not_hold_the_loop)
{
    g_autoptr(FakeDriver) d = serial_start(0);
    FakeRing *r = &d->rings[OUT1];

    fake_ring_set_desc(r, 0, 0x200000, 8 << 20, 0, 0);
    fake_ring_put_avail(r, 0);
    virtio_queue_notify(d->vdev, OUT1);
    ck_assert_uint_eq(fake_ring_used_idx(r), 0);
    ck_assert_uint_le(serial_stream(d, "c1")->got->len, 1 << 20);
    fake_machine_run(d->m);
    ck_assert_uint_eq(fake_ring_used_idx(r), 1);
    ck_assert_uint_eq(serial_stream(d, "c1")->got->len, 8 << 20);
}
END_TEST

/* --- without MULTIPORT --- */

START_TEST(without_multiport_there_is_one_console)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=1,event_idx=on");
    g_autoptr(GError) err = NULL;

    ck_assert_uint_eq(d->t->device_features(d) & 0xffffff,
                      BIT(VIRTIO_CONSOLE_F_SIZE) | BIT(VIRTIO_CONSOLE_F_EMERG_WRITE));
    fake_driver_up(d);
    ck_assert_uint_eq(d->n_queues, 2);
    fake_driver_add(d, IN0, IN(10));
    fake_driver_kick(d, IN0);
    ck_assert_uint_eq(serial_type_in(d, "c0", "hello"), 5); /* open since DRIVER_OK */
    serial_say(d, OUT0, "hello");
    ck_assert_str_eq(serial_stream(d, "c0")->got->str, "hello");
    device_destroy(serial_port_of(d, "con"));
    ck_assert_ptr_null(serial_plug(d, "virtserialport", "p", "", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "port 0 is for a virtconsole"));
}
END_TEST

START_TEST(a_driver_that_leaves_multiport_out_gets_port_0)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) & NOT_MULTIPORT));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    serial_give_control_buffers(d, 4, CTL_BUF);
    serial_send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    serial_expect_no_message(d);
    fake_driver_add(d, IN0, IN(10));
    fake_driver_kick(d, IN0);
    ck_assert_uint_eq(serial_type_in(d, "c0", "hello"), 5);
    ck_assert_uint_eq(serial_type_in(d, "c1", "hello"), 0);
}
END_TEST

/* --- configuration --- */

START_TEST(basic_17_console_02_features_and_configuration)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,emergency-write=off");

    ck_assert_uint_eq(d->t->device_features(d) & 0xffffff,
                      BIT(VIRTIO_CONSOLE_F_SIZE) | BIT(VIRTIO_CONSOLE_F_MULTIPORT));
    ck_assert_uint_eq(d->vdev->config_size, 12);
    ck_assert_uint_eq(d->t->config_read(d, MAX_NR_PORTS, 4), 7);
    d->t->config_write(d, MAX_NR_PORTS, 1, 4);
    d->t->config_write(d, EMERG_WR, 'x', 4);
    ck_assert_uint_eq(d->t->config_read(d, MAX_NR_PORTS, 4), 7);
    ck_assert_uint_eq(serial_stream(d, "c0")->got->len, 0); /* not offered */
}
END_TEST

START_TEST(console_03_04_emergency_writes_come_out_in_any_state)
{
    g_autoptr(FakeDriver) d = serial_probe((unsigned)_i, "max_ports=7,event_idx=on");

    d->t->config_write(d, EMERG_WR, 'a', 4); /* status is 0 */
    d->t->config_write(d, EMERG_WR, 0x1262, 2);
    d->t->config_write(d, EMERG_WR, 'c', 1);
    d->t->config_write(d, EMERG_WR + 1, 'X', 1); /* not the low byte */
    d->t->config_write(d, COLS, 'Y', 2);
    fake_driver_up(d);
    d->t->config_write(d, EMERG_WR, 'd', 4);
    fake_ring_set_avail_idx(&d->rings[OUT0], 999);
    fake_driver_kick(d, OUT0);
    ck_assert(fake_driver_broken(d));
    d->t->config_write(d, EMERG_WR, 'e', 4);
    ck_assert_str_eq(serial_stream(d, "c0")->got->str, "abcde");
    device_destroy(serial_port_of(d, "con"));
    d->t->config_write(d, EMERG_WR, 'f', 4); /* no console is left */
    ck_assert_str_eq(serial_stream(d, "c0")->got->str, "abcde");
}
END_TEST

/* --- reset, broken rings --- */

START_TEST(reset_in_flight_forgets_the_driver)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);

    serial_stream(d, "c1")->room = 1;
    serial_say(d, OUT1, "hello");
    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    fake_driver_reset(d);
    ck_assert_uint_eq(serial_type_in(d, "c1", "x"), 0);
    serial_stream(d, "c1")->room = SIZE_MAX;
    chardev_fe_event(CHARDEV(serial_stream(d, "c1")), CHARDEV_DRAINED);
    ck_assert_str_eq(serial_stream(d, "c1")->got->str, "h");
    d->next_page = 0x800000;
    serial_ports_up(d);
    serial_say(d, OUT1, "again");
    ck_assert_str_eq(serial_stream(d, "c1")->got->str, "hagain");
    fake_machine_reset(d->m);
    ck_assert_uint_eq(d->vdev->status, 0);
}
END_TEST

START_TEST(broken_chains_on_any_queue_need_a_reset)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    static const unsigned queues[] = {IN0, OUT0, CTL_IN, CTL_OUT, IN1, OUT1};
    static const uint16_t flags[] = {VRING_DESC_F_NEXT, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 0};

    for (unsigned n = 0; n < G_N_ELEMENTS(queues) * 3; n++) { /* looped, wrong order, outside RAM */
        unsigned q = queues[n / 3], i = n % 3;
        FakeRing *r = &d->rings[q];

        if (r->packed && q == CTL_IN) { /* full of good buffers, which the device meets first */
            continue;
        }
        while (fake_driver_get(d, q, NULL, NULL)) {
        }
        fake_ring_set_desc(r, 0, i == 2 ? FAKE_RAM_LOW - 8 : 0x200000, 16, flags[i], i != 0);
        fake_ring_set_desc(r, 1, 0x200000, 16, 0, 0);
        fake_ring_put_avail(r, 0);
        fake_driver_kick(d, q);
        if (q == CTL_IN) { /* looked at when there is something to say */
            for (unsigned k = 0; k < 10; k++) {
                chardev_set_open(CHARDEV(serial_stream(d, "c1")), k % 2);
            }
        } else if (q == IN0 || q == IN1) {
            serial_type_in(d, q == IN0 ? "c0" : "c1", "x");
        }
        ck_assert_msg(fake_driver_broken(d), "queue %u case %u", q, i);
        fake_driver_reset(d);
        d->next_page = 0x800000;
        serial_ports_up(d);
    }
    ck_assert(!fake_driver_broken(d));
}
END_TEST

/* --- anything goes --- */

static void random_message(FakeDriver *d, GRand *r)
{
    uint8_t wire[8];

    le_store(wire, g_rand_int_range(r, 0, 9), 4);
    le_store(wire + 4, (uint64_t)g_rand_int_range(r, 0, 9), 2);
    le_store(wire + 6, (uint64_t)g_rand_int_range(r, 0, 2), 2);
    g_assert(gmem_write(d->m->p.mem, GPA(0x200000), wire, 8));
    fake_ring_set_desc(&d->rings[CTL_OUT], 0, 0x200000, 8, 0, 0);
    fake_ring_put_avail(&d->rings[CTL_OUT], 0);
    fake_driver_kick(d, CTL_OUT);
}

static void random_ring_op(FakeDriver *d, GRand *r)
{
    unsigned q = (unsigned)g_rand_int_range(r, 0, 6);
    FakeRing *ring = &d->rings[q];
    uint16_t i = (uint16_t)g_rand_int_range(r, 0, ring->num);

    fake_ring_set_desc(ring, i, 0x200000, g_rand_int(r) % 300,
                       g_rand_int_range(r, 0, 30) && q % 2 == 0 ? VRING_DESC_F_WRITE : 0, 0);
    fake_ring_put_avail(ring, i);
    if (g_rand_boolean(r)) {
        fake_driver_kick(d, q);
    }
}

static void random_host_op(FakeDriver *d, GRand *r)
{
    TestChardev *c = serial_stream(d, g_rand_boolean(r) ? "c0" : "c1");

    switch (g_rand_int_range(r, 0, 4)) {
    case 0:
        c->room = g_rand_boolean(r) ? (size_t)g_rand_int_range(r, 0, 100) : SIZE_MAX;
        chardev_fe_event(CHARDEV(c), CHARDEV_DRAINED);
        break;
    case 1:
        chardev_set_open(CHARDEV(c), g_rand_boolean(r));
        break;
    case 2:
        chardev_set_size(CHARDEV(c), (uint16_t)g_rand_int(r), (uint16_t)g_rand_int(r));
        break;
    default:
        serial_type_in(d, CHARDEV(c)->label, "some text that somebody types");
        break;
    }
}

static void random_op(FakeDriver *d, GRand *r)
{
    switch (g_rand_int_range(r, 0, 200)) {
    case 0:
        fake_driver_reset(d);
        d->next_page = 0x300000;
        fake_driver_up(d);
        break;
    case 1:
        if (serial_port_of(d, "p")) {
            device_destroy(serial_port_of(d, "p"));
        } else {
            serial_plug(d, g_rand_boolean(r) ? "virtserialport" : "virtconsole", "p", "name=p",
                        NULL);
        }
        break;
    case 2:
        fake_driver_set_dma(d, g_rand_boolean(r));
        break;
    case 3:
        d->t->config_write(d, (unsigned)g_rand_int_range(r, 0, 16), g_rand_int(r), 4);
        break;
    case 4 ... 60:
        random_host_op(d, r);
        break;
    case 61 ... 110:
        random_message(d, r);
        break;
    default:
        random_ring_op(d, r);
        break;
    }
}

START_TEST(ten_thousand_random_operations_do_no_harm)
{
    g_autoptr(FakeDriver) d = serial_start((unsigned)_i);
    GRand *r = g_rand_new_with_seed(2000 + (guint32)_i);

    for (unsigned i = 0; i < OPS; i++) {
        random_op(d, r);
        if (fake_driver_broken(d)) {
            fake_driver_reset(d);
            d->next_page = 0x300000;
            fake_driver_up(d);
        }
    }
    g_rand_free(r);
    fake_driver_set_dma(d, true);
    chardev_set_open(CHARDEV(serial_stream(d, "c1")), true);
    serial_stream(d, "c1")->room = SIZE_MAX;
    g_string_truncate(serial_stream(d, "c1")->got, 0);
    fake_driver_reset(d);
    d->next_page = 0x300000;
    serial_ports_up(d);
    serial_say(d, OUT1, "still here");
    ck_assert_str_eq(serial_stream(d, "c1")->got->str, "still here");
}
END_TEST

/* --- objects --- */

START_TEST(the_bus_is_named_after_the_device_and_ports_tell_their_number)
{
    g_autoptr(FakeDriver) d = serial_probe(0, "max_ports=511,event_idx=on");
    json_t *nr = property_get_json(OBJECT(serial_port_of(d, "one")), "nr", NULL);

    ck_assert_ptr_nonnull(bus_find_by_name(d->m->main_bus, "virtio-serial.0"));
    ck_assert_int_eq(json_integer_value(nr), 1);
    json_decref(nr);
    device_destroy(d->dev); /* with its ports */
    d->dev = NULL;
    ck_assert(!serial_port_of(d, "one")->realized);
}
END_TEST

START_TEST(a_link_to_a_stream_is_not_confused_by_a_device_of_the_same_id)
{
    g_autoptr(FakeDriver) d = serial_probe(0, "max_ports=7,event_idx=on");
    Object *streams = object_container(d->m->p.root, "chardevs");

    object_add_child(streams, "same", OBJECT(chardev_new(&test_chardev_type, d->m->p.loop, "same")),
                     NULL);
    ck_assert_ptr_nonnull(serial_plug(d, "virtserialport", "same", "chardev=same", NULL));
}
END_TEST
static void add_data_tests(TCase *tc)
{
    tcase_add_loop_test(tc, bytes_from_the_guest_reach_the_stream, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, bytes_for_the_guest_wait_until_it_has_buffers, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, bytes_for_the_guest_wait_until_it_opens_the_port, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, room_is_asked_without_holding_a_buffer, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_slow_reader_stops_the_ports_queue, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_console_never_waits_for_its_reader, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_reader_that_leaves_frees_what_waited_for_it, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_port_that_leaves_gives_its_buffers_back_first, 0, FAKE_CELLS);
    tcase_add_test(tc, an_endless_buffer_does_not_hold_the_loop);
}

static void add_device_tests(TCase *tc)
{
    tcase_add_loop_test(tc, without_multiport_there_is_one_console, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_driver_that_leaves_multiport_out_gets_port_0, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, basic_17_console_02_features_and_configuration, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, console_03_04_emergency_writes_come_out_in_any_state, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_in_flight_forgets_the_driver, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, broken_chains_on_any_queue_need_a_reset, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ten_thousand_random_operations_do_no_harm, 0, FAKE_CELLS);
    tcase_add_test(tc, the_bus_is_named_after_the_device_and_ports_tell_their_number);
    tcase_add_test(tc, a_link_to_a_stream_is_not_confused_by_a_device_of_the_same_id);
}

int main(void)
{
    Suite *s = suite_create("virtio-serial-data");
    TCase *data = tcase_create("data"), *device = tcase_create("device");

    add_data_tests(data);
    add_device_tests(device);
    suite_add_tcase(s, data);
    suite_add_tcase(s, device);
    return suite_run(s);
}
