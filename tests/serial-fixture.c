/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Streams, ports and the control queues for the suites of virtio-serial, see serial-fixture.h.
 */
#include <string.h>

#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/serial-fixture.h"

/* --- streams --- */

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

TestChardev *serial_stream(FakeDriver *d, const char *id)
{
    return TEST_CHARDEV(object_child(object_container(d->m->p.root, "chardevs"), id));
}

size_t serial_type_in(FakeDriver *d, const char *id, const char *text)
{
    Chardev *c = CHARDEV(serial_stream(d, id));
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

Device *serial_plug(FakeDriver *d, const char *type, const char *id, const char *props,
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

Device *serial_port_of(FakeDriver *d, const char *id)
{
    return DEVICE(object_child(d->m->p.root, id));
}

FakeDriver *serial_probe(unsigned cell, const char *props)
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
    ck_assert_ptr_nonnull(serial_plug(d, "virtconsole", "con", "chardev=c0", NULL));
    if (!strstr(props, "max_ports=1,")) {
        ck_assert_ptr_nonnull(
            serial_plug(d, "virtserialport", "one", "chardev=c1,name=port.one", NULL));
    }
    return d;
}

/* --- the control queues --- */

static Gpa ctl_places[FAKE_RING_MAX]; /* by head */

void serial_give_control_buffers(FakeDriver *d, unsigned n, uint32_t len)
{
    for (unsigned i = 0; i < n; i++) {
        Gpa at;
        uint16_t head = fake_driver_add_bufs(d, CTL_IN, (const FakeBuf[]){IN(len), END}, &at);

        ctl_places[head] = at;
    }
    fake_driver_kick(d, CTL_IN);
}

bool serial_get_message(FakeDriver *d, SerialMessage *ret)
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

void serial_expect_message(FakeDriver *d, uint32_t id, uint16_t event, uint16_t value)
{
    SerialMessage msg;

    ck_assert_msg(serial_get_message(d, &msg), "no message, %u %u is missing", id, event);
    ck_assert_uint_eq(msg.id, id);
    ck_assert_uint_eq(msg.event, event);
    ck_assert_uint_eq(msg.value, value);
    if (event != VIRTIO_CONSOLE_PORT_NAME && event != VIRTIO_CONSOLE_RESIZE) {
        ck_assert_uint_eq(msg.len, 8);
    }
}

void serial_expect_no_message(FakeDriver *d)
{
    SerialMessage msg;

    ck_assert(!serial_get_message(d, &msg));
}

void serial_send_control(FakeDriver *d, uint32_t id, uint16_t event, uint16_t value)
{
    uint8_t wire[8];

    le_store(wire, id, 4);
    le_store(wire + 4, event, 2);
    le_store(wire + 6, value, 2);
    fake_driver_add(d, CTL_OUT, OUT(wire, 8));
    fake_driver_kick(d, CTL_OUT);
    ck_assert(fake_driver_get(d, CTL_OUT, NULL, NULL));
}

void serial_ports_up(FakeDriver *d)
{
    SerialMessage msg;

    fake_driver_up(d);
    serial_give_control_buffers(d, 8, CTL_BUF);
    serial_send_control(d, UINT32_MAX, VIRTIO_CONSOLE_DEVICE_READY, 1);
    for (uint32_t nr = 0; nr < 2; nr++) {
        serial_send_control(d, nr, VIRTIO_CONSOLE_PORT_READY, 1);
        serial_send_control(d, nr, VIRTIO_CONSOLE_PORT_OPEN, 1);
    }
    while (serial_get_message(d, &msg)) {
    }
}

FakeDriver *serial_start(unsigned cell)
{
    FakeDriver *d = serial_probe(cell, "max_ports=7,event_idx=on");

    serial_ports_up(d);
    return d;
}

void serial_say(FakeDriver *d, unsigned q, const char *text)
{
    fake_driver_add(d, q, OUT(text, (uint32_t)strlen(text)));
    fake_driver_kick(d, q);
}
