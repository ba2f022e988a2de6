/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-serial (VIRTIO 1.4 §5.3) played by a driver without guest: ports and their control
 * messages, data both ways with flow control, emergency writes, and drivers that misbehave.
 */
#include <check.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "backends/chardev-impl.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/driver/fake-driver.h"

enum { IN0 = 0, OUT0 = 1, CTL_IN = 2, CTL_OUT = 3, IN1 = 4, OUT1 = 5, OPS = 10000 };
enum { COLS = 0, ROWS = 2, MAX_NR_PORTS = 4, EMERG_WR = 8 };
#define BIT(n)        (UINT64_C(1) << (n))
#define NOT_MULTIPORT (~BIT(VIRTIO_CONSOLE_F_MULTIPORT))

/* --- streams --- */

/* A stream that records what is written and says how much it takes. */
typedef struct TestChardev {
    Chardev parent_obj;
    GString *got;
    size_t room;
} TestChardev;

OBJECT_DECLARE(TestChardev, test_chardev, TEST_CHARDEV)

static void test_chardev_write(Chardev *c, const uint8_t *buf, size_t len)
{
    g_string_append_len(TEST_CHARDEV(c)->got, (const char *)buf, (gssize)len);
    if (TEST_CHARDEV(c)->room != SIZE_MAX) {
        TEST_CHARDEV(c)->room -= MIN(len, TEST_CHARDEV(c)->room);
    }
}

static size_t test_chardev_room(Chardev *c)
{
    return TEST_CHARDEV(c)->room;
}

static void test_chardev_init(Object *obj)
{
    TEST_CHARDEV(obj)->got = g_string_new(NULL);
    TEST_CHARDEV(obj)->room = SIZE_MAX;
    CHARDEV(obj)->open = true;
}

static void test_chardev_finalize(Object *obj)
{
    g_string_free(TEST_CHARDEV(obj)->got, TRUE);
}

static void test_chardev_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->write = test_chardev_write;
    CHARDEV_CLASS(klass)->room = test_chardev_room;
}

const TypeInfo test_chardev_type = {
    .name = "test-chardev",
    .parent = &chardev_type,
    .instance_size = sizeof(TestChardev),
    .instance_init = test_chardev_init,
    .instance_finalize = test_chardev_finalize,
    .class_init = test_chardev_class_init,
};

static TestChardev *stream(FakeDriver *d, const char *id)
{
    return TEST_CHARDEV(object_child(object_container(d->m->p.root, "chardevs"), id));
}

/* As a terminal or a socket would hand it over; returns how much the port took. */
static size_t type_in(FakeDriver *d, const char *id, const char *text)
{
    Chardev *c = CHARDEV(stream(d, id));
    size_t done = 0, len = strlen(text);

    while (done < len) {
        size_t n = MIN(chardev_fe_room(c), len - done);

        if (n == 0) {
            break;
        }
        chardev_fe_receive(c, (const uint8_t *)text + done, n);
        done += n;
    }
    return done;
}

/* --- ports --- */

static Device *plug(FakeDriver *d, const char *type, const char *id, const char *props,
                    GError **err)
{
    Device *dev = fake_machine_make(d->m, type, id, props);

    g_free(dev->id);
    dev->id = g_strdup(id);
    if (!device_realize(dev, bus_find(d->m->main_bus, &virtio_serial_bus_type), err)) {
        object_unparent(OBJECT(dev));
        return NULL;
    }
    return dev;
}

static Device *port_of(FakeDriver *d, const char *id)
{
    return DEVICE(object_child(d->m->p.root, id));
}

/* A console with stream c0 and a port "port.one" with stream c1, not touched by the driver yet. */
static FakeDriver *probe(unsigned cell, const char *props)
{
    static const TypeInfo *const types[] = {&virtconsole_type, &virtserialport_type,
                                            &test_chardev_type, NULL};
    FakeMachine *m = fake_machine_new(0);
    Object *streams = object_container(m->p.root, "chardevs");
    FakeDriver *d;

    type_register_list(types);
    object_add_child(streams, "c0", OBJECT(chardev_new(&test_chardev_type, m->p.loop, "c0")), NULL);
    object_add_child(streams, "c1", OBJECT(chardev_new(&test_chardev_type, m->p.loop, "c1")), NULL);
    d = fake_driver_probe_on(m, "virtio-serial", cell, props);
    ck_assert_ptr_nonnull(plug(d, "virtconsole", "con", "chardev=c0", NULL));
    if (!strstr(props, "max_ports=1,")) {
        ck_assert_ptr_nonnull(plug(d, "virtserialport", "one", "chardev=c1,name=port.one", NULL));
    }
    return d;
}

/* --- the control queues --- */

enum { CTL_BUF = 128 };

typedef struct {
    uint32_t id;
    uint16_t event, value;
    uint32_t len; /* of the whole message */
    uint8_t rest[CTL_BUF];
} Message;

static Gpa ctl_places[FAKE_RING_MAX]; /* by head */

static void give_control_buffers(FakeDriver *d, unsigned n, uint32_t len)
{
    for (unsigned i = 0; i < n; i++) {
        Gpa at;
        uint16_t head = fake_driver_add_bufs(d, CTL_IN, (const FakeBuf[]){IN(len), END}, &at);

        ctl_places[head] = at;
    }
    fake_driver_kick(d, CTL_IN);
}

/* The next message of the device; its buffer is given back to it. */
static bool get_message(FakeDriver *d, Message *ret)
{
    GuestMemory *mem = d->m->p.mem;
    uint16_t head;
    Gpa at;

    if (!fake_driver_get(d, CTL_IN, &head, &ret->len)) {
        return false;
    }
    at = ctl_places[head];
    ret->id = (uint32_t)fake_mem_get(mem, at, 4);
    ret->event = (uint16_t)fake_mem_get(mem, GPA(at.v + 4), 2);
    ret->value = (uint16_t)fake_mem_get(mem, GPA(at.v + 6), 2);
    for (unsigned i = 8; i < MIN(ret->len, CTL_BUF); i++) {
        ret->rest[i - 8] = (uint8_t)fake_mem_get(mem, GPA(at.v + i), 1);
    }
    head = fake_driver_add_bufs(d, CTL_IN, (const FakeBuf[]){IN_AT(at.v, CTL_BUF), END}, NULL);
    ctl_places[head] = at;
    fake_driver_kick(d, CTL_IN);
    return true;
}

static void expect_message(FakeDriver *d, uint32_t id, uint16_t event, uint16_t value)
{
    Message msg;

    ck_assert_msg(get_message(d, &msg), "no message, %u %u is missing", id, event);
    ck_assert_uint_eq(msg.id, id);
    ck_assert_uint_eq(msg.event, event);
    ck_assert_uint_eq(msg.value, value);
    if (event != VIRTIO_CONSOLE_PORT_NAME && event != VIRTIO_CONSOLE_RESIZE) {
        ck_assert_uint_eq(msg.len, 8);
    }
}

static void expect_no_message(FakeDriver *d)
{
    Message msg;

    ck_assert(!get_message(d, &msg));
}

static void send_control(FakeDriver *d, uint32_t id, uint16_t event, uint16_t value)
{
    uint8_t wire[8];

    le_store(wire, id, 4);
    le_store(wire + 4, event, 2);
    le_store(wire + 6, value, 2);
    fake_driver_add(d, CTL_OUT, OUT(wire, 8));
    fake_driver_kick(d, CTL_OUT);
    ck_assert(fake_driver_get(d, CTL_OUT, NULL, NULL));
}

/* What Linux does: both ports are there, ready and open. */
static void ports_up(FakeDriver *d)
{
    Message msg;

    fake_driver_up(d);
    give_control_buffers(d, 8, CTL_BUF);
    send_control(d, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (uint32_t nr = 0; nr < 2; nr++) {
        send_control(d, nr, VIRTIO_CONSOLE_PORT_READY, 1);
        send_control(d, nr, VIRTIO_CONSOLE_PORT_OPEN, 1);
    }
    while (get_message(d, &msg)) {
    }
}

static FakeDriver *start(unsigned cell)
{
    FakeDriver *d = probe(cell, "max_ports=7,event_idx=on");

    ports_up(d);
    return d;
}

static void say(FakeDriver *d, unsigned q, const char *text)
{
    fake_driver_add(d, q, OUT(text, (uint32_t)strlen(text)));
    fake_driver_kick(d, q);
}

/* --- ports and control messages --- */

/* Row 09, as row 02 below (legacy: guest-native byte order) are the same bytes for an x86 guest. */
START_TEST(console_01_05_06_09_ports_are_announced_once_with_all_they_are)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");
    Message msg;

    fake_driver_up(d);
    give_control_buffers(d, 16, CTL_BUF);
    expect_no_message(d); /* not before DEVICE_READY */
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    ck_assert(fake_driver_interrupted(d, CTL_IN));
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_no_message(d);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1); /* again */
    expect_no_message(d);
    send_control(d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_READY, 1);
    ck_assert(get_message(d, &msg));
    ck_assert_uint_eq(msg.event, VIRTIO_CONSOLE_PORT_NAME);
    ck_assert_uint_eq(msg.len, 8 + strlen("port.one"));
    ck_assert_mem_eq(msg.rest, "port.one", 8);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_ptr_nonnull(plug(d, "virtconsole", "second", "", NULL)); /* one more console */
    expect_message(d, 2, VIRTIO_CONSOLE_PORT_ADD, 1);
    send_control(d, 2, VIRTIO_CONSOLE_PORT_READY, 1);
    expect_message(d, 2, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    expect_message(d, 2, VIRTIO_CONSOLE_PORT_OPEN, 1);
    expect_no_message(d);
}
END_TEST

START_TEST(console_08_a_port_is_removed_when_the_driver_knew_it)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");

    fake_driver_up(d);
    give_control_buffers(d, 8, CTL_BUF);
    device_destroy(port_of(d, "one")); /* nobody was told of it */
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_no_message(d);
    ck_assert_ptr_nonnull(plug(d, "virtserialport", "again", "chardev=c1", NULL));
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    device_destroy(port_of(d, "again"));
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_READY, 1); /* too late */
    expect_no_message(d);
}
END_TEST

START_TEST(console_06_08_removed_and_added_while_the_driver_gives_no_buffers)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");

    fake_driver_up(d);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    device_destroy(port_of(d, "one"));
    give_control_buffers(d, 1, CTL_BUF);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_no_message(d);
    fake_driver_reset(d);
    d->next_page = 0x300000;
    ck_assert_ptr_nonnull(plug(d, "virtserialport", "two", "chardev=c1", NULL));
    fake_driver_up(d);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    give_control_buffers(d, 2, CTL_BUF);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_no_message(d);
    device_destroy(port_of(d, "two"));
    ck_assert_ptr_nonnull(plug(d, "virtserialport", "three", "chardev=c1", NULL));
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_no_message(d);
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
    g_autoptr(FakeDriver) d = start(0);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(plug(d, bad_ports[_i].type, "bad", bad_ports[_i].props, &err));
    ck_assert_msg(strstr(err->message, bad_ports[_i].message) != NULL, "%s", err->message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    expect_no_message(d);
}
END_TEST

START_TEST(console_07_no_more_ports_than_max_nr_ports)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    g_autoptr(GError) err = NULL;

    for (unsigned i = 2; i < 7; i++) {
        g_autofree char *id = g_strdup_printf("p%u", i);

        ck_assert_ptr_nonnull(plug(d, "virtserialport", id, "", NULL));
        expect_message(d, i, VIRTIO_CONSOLE_PORT_ADD, 1);
    }
    ck_assert_ptr_null(bus_find(d->m->main_bus, &virtio_serial_bus_type));
    expect_no_message(d);
    device_destroy(port_of(d, "con"));
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_REMOVE, 1);
    ck_assert_ptr_null(plug(d, "virtserialport", "more", "", &err)); /* port 0 is a console's */
    ck_assert_ptr_nonnull(strstr(err->message, "no free port on bus"));
    ck_assert_ptr_nonnull(plug(d, "virtconsole", "con2", "chardev=c0", NULL));
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
}
END_TEST

START_TEST(malformed_control_messages_do_no_harm)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
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
            send_control(d, ids[i], event, 1); /* ports that are not there */
        }
    }
    send_control(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1); /* not the driver's to say */
    send_control(d, 1, 0xffff, 1);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_READY, 0);
    expect_no_message(d);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(control_buffers_that_are_too_short_are_wasted_not_the_message)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");
    uint32_t len;

    fake_driver_up(d);
    give_control_buffers(d, 3, 7);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(fake_driver_get(d, CTL_IN, NULL, &len));
        ck_assert_uint_eq(len, 0);
    }
    give_control_buffers(d, 3, CTL_BUF);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
}
END_TEST

START_TEST(host_side_open_and_closed_is_told)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);

    chardev_set_open(CHARDEV(stream(d, "c1")), false);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    chardev_set_open(CHARDEV(stream(d, "c1")), true);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    chardev_set_open(CHARDEV(stream(d, "c0")), false);          /* a console is always there */
    chardev_fe_event(CHARDEV(stream(d, "c1")), CHARDEV_CLOSED); /* of standard input alone */
    expect_no_message(d);
}
END_TEST

START_TEST(guest_side_open_and_closed_is_an_event)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");

    fake_driver_up(d);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1); /* not added yet */
    ck_assert_uint_eq(d->m->events->len, 0);
    give_control_buffers(d, 8, CTL_BUF);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_uint_eq(d->m->events->len, 1);
    ck_assert_str_eq(d->m->events->pdata[0], "VSERPORT_CHANGE {\"id\": \"one\", \"open\": true}");
    for (unsigned i = 0; i < 100; i++) { /* a guest cannot flood the monitor */
        send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, i % 2);
    }
    ck_assert_uint_le(d->m->events->len, 3);
}
END_TEST

/* --- size --- */

START_TEST(a_new_size_is_told_by_message_and_configuration)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    Message msg;

    ck_assert_uint_eq(d->t->config_read(d, COLS, 4), 0);
    chardev_set_size(CHARDEV(stream(d, "c0")), 132, 50);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(d->t->config_read(d, COLS, 2), 132);
    ck_assert_uint_eq(d->t->config_read(d, ROWS, 2), 50);
    ck_assert(get_message(d, &msg));
    ck_assert_uint_eq(msg.id, 0);
    ck_assert_uint_eq(msg.event, VIRTIO_CONSOLE_RESIZE);
    ck_assert_uint_eq(msg.len, 12);
    ck_assert_uint_eq(le_load(msg.rest, 2), 132);
    ck_assert_uint_eq(le_load(msg.rest + 2, 2), 50);
    chardev_set_size(CHARDEV(stream(d, "c1")), 80, 25); /* not a console */
    expect_no_message(d);
    ck_assert(!fake_driver_config_interrupted(d));
}
END_TEST

START_TEST(a_size_known_before_is_told_with_the_port)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");

    chardev_set_size(CHARDEV(stream(d, "c0")), 132, 50);
    fake_driver_up(d);
    give_control_buffers(d, 8, CTL_BUF);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_ADD, 1);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_ADD, 1);
    send_control(d, 0, VIRTIO_CONSOLE_PORT_READY, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_CONSOLE_PORT, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_PORT_OPEN, 1);
    expect_message(d, 0, VIRTIO_CONSOLE_RESIZE, 1);
}
END_TEST

/* --- data --- */

START_TEST(bytes_from_the_guest_reach_the_stream)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    uint32_t len = 1;

    say(d, OUT0, "hello ");
    fake_driver_add(d, OUT0, OUT("wor", 3), OUT_AT(0x200000, 0), OUT("ld", 2));
    fake_driver_kick(d, OUT0);
    say(d, OUT1, "to port one");
    ck_assert_str_eq(stream(d, "c0")->got->str, "hello world");
    ck_assert_str_eq(stream(d, "c1")->got->str, "to port one");
    ck_assert(fake_driver_get(d, OUT0, NULL, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(fake_driver_interrupted(d, OUT0));
    say(d, 7, "no such port"); /* out queue of port 2 */
    ck_assert(fake_driver_get(d, 7, NULL, NULL));
}
END_TEST

START_TEST(bytes_for_the_guest_wait_until_it_has_buffers)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    uint32_t len;
    Gpa at;

    ck_assert_uint_eq(type_in(d, "c1", "hello"), 0);
    fake_driver_add_bufs(d, IN1, (const FakeBuf[]){IN(3), END}, &at);
    fake_driver_add(d, IN1, OUT("x", 1)); /* no room in it */
    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    ck_assert_uint_eq(type_in(d, "c1", "hello"), 5);
    ck_assert(fake_driver_get(d, IN1, NULL, &len));
    ck_assert_uint_eq(len, 3);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at, 3), 0x6c6568);
    ck_assert(fake_driver_interrupted(d, IN1));
    ck_assert(fake_driver_get(d, IN1, NULL, &len));
    ck_assert_uint_eq(len, 0);
    ck_assert(fake_driver_get(d, IN1, NULL, &len));
    ck_assert_uint_eq(len, 2);
    ck_assert_uint_eq(type_in(d, "c1", "more"), 0);
}
END_TEST

START_TEST(bytes_for_the_guest_wait_until_it_opens_the_port)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);

    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 0);
    ck_assert_uint_eq(type_in(d, "c1", "hello"), 0);
    send_control(d, 1, VIRTIO_CONSOLE_PORT_OPEN, 1);
    ck_assert_uint_eq(type_in(d, "c1", "hello"), 5);
}
END_TEST

START_TEST(room_is_asked_without_holding_a_buffer)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    FakeRing *r = &d->rings[IN1];

    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    for (unsigned i = 0; i < 10; i++) {
        ck_assert_uint_eq(chardev_fe_room(CHARDEV(stream(d, "c1"))), 10);
    }
    fake_ring_set_avail_idx(r, (uint16_t)(r->avail_idx - 1)); /* Linux takes it back so */
    fake_driver_kick(d, IN1);
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(a_slow_reader_stops_the_ports_queue)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    TestChardev *c = stream(d, "c1");

    c->room = 4;
    say(d, OUT1, "hello ");
    say(d, OUT1, "world");
    ck_assert_str_eq(c->got->str, "hell");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 0);
    say(d, OUT0, "console"); /* others go on */
    ck_assert_str_eq(stream(d, "c0")->got->str, "console");
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
    g_autoptr(FakeDriver) d = start((unsigned)_i);

    stream(d, "c0")->room = 0;
    say(d, OUT0, "hello");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT0]), 1);
}
END_TEST

START_TEST(a_reader_that_leaves_frees_what_waited_for_it)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
    TestChardev *c = stream(d, "c1");

    c->room = 1;
    say(d, OUT1, "hello");
    say(d, OUT1, "world");
    chardev_set_open(CHARDEV(c), false);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 2);
    ck_assert_str_eq(c->got->str, "h");
    say(d, OUT1, "lost");
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 3);
    ck_assert_str_eq(c->got->str, "h");
}
END_TEST

START_TEST(a_port_that_leaves_gives_its_buffers_back_first)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);

    stream(d, "c1")->room = 1;
    say(d, OUT1, "hello");
    say(d, OUT1, "world");
    device_destroy(port_of(d, "one"));
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[OUT1]), 2);
    expect_message(d, 1, VIRTIO_CONSOLE_PORT_REMOVE, 1);
}
END_TEST

START_TEST(an_endless_buffer_does_not_hold_the_loop)
{
    g_autoptr(FakeDriver) d = start(0);
    FakeRing *r = &d->rings[OUT1];

    fake_ring_set_desc(r, 0, 0x200000, 8 << 20, 0, 0);
    fake_ring_put_avail(r, 0);
    virtio_queue_notify(d->vdev, OUT1);
    ck_assert_uint_eq(fake_ring_used_idx(r), 0);
    ck_assert_uint_le(stream(d, "c1")->got->len, 1 << 20);
    fake_machine_run(d->m);
    ck_assert_uint_eq(fake_ring_used_idx(r), 1);
    ck_assert_uint_eq(stream(d, "c1")->got->len, 8 << 20);
}
END_TEST

/* --- without MULTIPORT --- */

START_TEST(without_multiport_there_is_one_console)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=1,event_idx=on");
    g_autoptr(GError) err = NULL;

    ck_assert_uint_eq(d->t->device_features(d) & 0xffffff,
                      BIT(VIRTIO_CONSOLE_F_SIZE) | BIT(VIRTIO_CONSOLE_F_EMERG_WRITE));
    fake_driver_up(d);
    ck_assert_uint_eq(d->n_queues, 2);
    fake_driver_add(d, IN0, IN(10));
    fake_driver_kick(d, IN0);
    ck_assert_uint_eq(type_in(d, "c0", "hello"), 5); /* open since DRIVER_OK */
    say(d, OUT0, "hello");
    ck_assert_str_eq(stream(d, "c0")->got->str, "hello");
    device_destroy(port_of(d, "con"));
    ck_assert_ptr_null(plug(d, "virtserialport", "p", "", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "port 0 is for a virtconsole"));
}
END_TEST

START_TEST(a_driver_that_leaves_multiport_out_gets_port_0)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) & NOT_MULTIPORT));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    give_control_buffers(d, 4, CTL_BUF);
    send_control(d, 0, VIRTIO_CONSOLE_DEVICE_READY, 1);
    expect_no_message(d);
    fake_driver_add(d, IN0, IN(10));
    fake_driver_kick(d, IN0);
    ck_assert_uint_eq(type_in(d, "c0", "hello"), 5);
    ck_assert_uint_eq(type_in(d, "c1", "hello"), 0);
}
END_TEST

/* --- configuration --- */

START_TEST(basic_17_console_02_features_and_configuration)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,emergency-write=off");

    ck_assert_uint_eq(d->t->device_features(d) & 0xffffff,
                      BIT(VIRTIO_CONSOLE_F_SIZE) | BIT(VIRTIO_CONSOLE_F_MULTIPORT));
    ck_assert_uint_eq(d->vdev->config_size, 12);
    ck_assert_uint_eq(d->t->config_read(d, MAX_NR_PORTS, 4), 7);
    d->t->config_write(d, MAX_NR_PORTS, 1, 4);
    d->t->config_write(d, EMERG_WR, 'x', 4);
    ck_assert_uint_eq(d->t->config_read(d, MAX_NR_PORTS, 4), 7);
    ck_assert_uint_eq(stream(d, "c0")->got->len, 0); /* not offered */
}
END_TEST

START_TEST(console_03_04_emergency_writes_come_out_in_any_state)
{
    g_autoptr(FakeDriver) d = probe((unsigned)_i, "max_ports=7,event_idx=on");

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
    ck_assert_str_eq(stream(d, "c0")->got->str, "abcde");
    device_destroy(port_of(d, "con"));
    d->t->config_write(d, EMERG_WR, 'f', 4); /* no console is left */
    ck_assert_str_eq(stream(d, "c0")->got->str, "abcde");
}
END_TEST

/* --- reset, broken rings --- */

START_TEST(reset_in_flight_forgets_the_driver)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);

    stream(d, "c1")->room = 1;
    say(d, OUT1, "hello");
    fake_driver_add(d, IN1, IN(10));
    fake_driver_kick(d, IN1);
    fake_driver_reset(d);
    ck_assert_uint_eq(type_in(d, "c1", "x"), 0);
    stream(d, "c1")->room = SIZE_MAX;
    chardev_fe_event(CHARDEV(stream(d, "c1")), CHARDEV_DRAINED);
    ck_assert_str_eq(stream(d, "c1")->got->str, "h");
    d->next_page = 0x800000;
    ports_up(d);
    say(d, OUT1, "again");
    ck_assert_str_eq(stream(d, "c1")->got->str, "hagain");
    fake_machine_reset(d->m);
    ck_assert_uint_eq(d->vdev->status, 0);
}
END_TEST

START_TEST(broken_chains_on_any_queue_need_a_reset)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i);
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
                chardev_set_open(CHARDEV(stream(d, "c1")), k % 2);
            }
        } else if (q == IN0 || q == IN1) {
            type_in(d, q == IN0 ? "c0" : "c1", "x");
        }
        ck_assert_msg(fake_driver_broken(d), "queue %u case %u", q, i);
        fake_driver_reset(d);
        d->next_page = 0x800000;
        ports_up(d);
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
    TestChardev *c = stream(d, g_rand_boolean(r) ? "c0" : "c1");

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
        type_in(d, CHARDEV(c)->label, "some text that somebody types");
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
        if (port_of(d, "p")) {
            device_destroy(port_of(d, "p"));
        } else {
            plug(d, g_rand_boolean(r) ? "virtserialport" : "virtconsole", "p", "name=p", NULL);
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
    g_autoptr(FakeDriver) d = start((unsigned)_i);
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
    chardev_set_open(CHARDEV(stream(d, "c1")), true);
    stream(d, "c1")->room = SIZE_MAX;
    g_string_truncate(stream(d, "c1")->got, 0);
    fake_driver_reset(d);
    d->next_page = 0x300000;
    ports_up(d);
    say(d, OUT1, "still here");
    ck_assert_str_eq(stream(d, "c1")->got->str, "still here");
}
END_TEST

/* --- objects --- */

START_TEST(the_bus_is_named_after_the_device_and_ports_tell_their_number)
{
    g_autoptr(FakeDriver) d = probe(0, "max_ports=511,event_idx=on");
    json_t *nr = property_get_json(OBJECT(port_of(d, "one")), "nr", NULL);

    ck_assert_ptr_nonnull(bus_find_by_name(d->m->main_bus, "virtio-serial.0"));
    ck_assert_int_eq(json_integer_value(nr), 1);
    json_decref(nr);
    device_destroy(d->dev); /* with its ports */
    d->dev = NULL;
    ck_assert(!port_of(d, "one")->realized);
}
END_TEST

START_TEST(a_link_to_a_stream_is_not_confused_by_a_device_of_the_same_id)
{
    g_autoptr(FakeDriver) d = probe(0, "max_ports=7,event_idx=on");
    Object *streams = object_container(d->m->p.root, "chardevs");

    object_add_child(streams, "same", OBJECT(chardev_new(&test_chardev_type, d->m->p.loop, "same")),
                     NULL);
    ck_assert_ptr_nonnull(plug(d, "virtserialport", "same", "chardev=same", NULL));
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
    Suite *s = suite_create("virtio-serial");
    TCase *control = tcase_create("control"), *data = tcase_create("data"),
          *device = tcase_create("device");
    SRunner *sr;
    int failed;

    add_control_tests(control);
    add_data_tests(data);
    add_device_tests(device);
    suite_add_tcase(s, control);
    suite_add_tcase(s, data);
    suite_add_tcase(s, device);
    sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed;
}
