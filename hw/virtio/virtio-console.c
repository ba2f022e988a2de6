/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports of virtio-serial that are connected to character streams: "virtserialport", a plain port,
 * and "virtconsole", a console (hvc0 in Linux).
 *
 * They differ in what a slow reader does. A plain port makes the guest wait. A console keeps up to
 * CHARDEV_BUFFER and then drops: Linux writes to it with spinlocks held, so that waiting would stop
 * the whole guest.
 */
#include "backends/chardev.h"
#include "core/boot-trace.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-serial.h"

typedef struct VirtConsole {
    VirtioSerialPort parent_obj;
    Chardev *chardev; /* property; NULL: none */
} VirtConsole;

OBJECT_DECLARE(VirtConsole, virtserialport, VIRT_CONSOLE)

/* --- from the guest --- */

static size_t port_room(VirtioSerialPort *port)
{
    Chardev *c = VIRT_CONSOLE(port)->chardev;

    return c ? chardev_room(c) : SIZE_MAX;
}

static void port_take(VirtioSerialPort *port, const uint8_t *buf, size_t len)
{
    if (boot_trace_on() && VIRTIO_SERIAL_PORT_GET_CLASS(port)->is_console) {
        boot_trace_console(BOOT_CONSOLE_VIRTIO, buf, len);
    }
    if (VIRT_CONSOLE(port)->chardev) {
        chardev_write(VIRT_CONSOLE(port)->chardev, buf, len);
    }
}

/* --- to the guest --- */

static size_t stream_room(void *opaque)
{
    return virtio_serial_port_room(opaque);
}

static void stream_receive(void *opaque, const uint8_t *buf, size_t len)
{
    size_t done = virtio_serial_port_write(opaque, buf, len);

    if (done < len) {
        log_guest("virtio-serial: %zu bytes found no buffer in the guest", len - done);
    }
}

static void port_guest_ready(VirtioSerialPort *port)
{
    if (VIRT_CONSOLE(port)->chardev) {
        chardev_accept_input(VIRT_CONSOLE(port)->chardev);
    }
}

/* --- the stream's news --- */

static void take_size(VirtConsole *s)
{
    uint16_t cols, rows;

    if (chardev_size(s->chardev, &cols, &rows)) {
        virtio_serial_port_resize(VIRTIO_SERIAL_PORT(s), cols, rows);
    }
}

/* A console is always there for the guest; a plain port shows whether anybody is at its other end.
 */
static void stream_event(void *opaque, ChardevEvent event)
{
    VirtConsole *s = opaque;
    VirtioSerialPort *port = VIRTIO_SERIAL_PORT(s);

    switch (event) {
    case CHARDEV_OPENED:
    case CHARDEV_CLOSED: /* of standard input alone: output goes on */
        if (!VIRTIO_SERIAL_PORT_GET_CLASS(s)->is_console) {
            virtio_serial_port_set_host_open(port, chardev_is_open(s->chardev));
        }
        take_size(s);
        break;
    case CHARDEV_DRAINED:
        virtio_serial_port_resume(port);
        break;
    case CHARDEV_RESIZED:
        take_size(s);
        break;
    default:
        break;
    }
}

/* --- life --- */

static bool port_check(VirtioSerialPort *port, GError **err)
{
    Chardev *c = VIRT_CONSOLE(port)->chardev;

    if (c && chardev_has_frontend(c)) {
        return error_set(err, "chardev '%s' is in use already", OBJECT(c)->name);
    }
    return true;
}

static void port_start(VirtioSerialPort *port)
{
    const ChardevFrontend fe = {stream_room, stream_receive, stream_event, port};

    if (VIRTIO_SERIAL_PORT_GET_CLASS(port)->is_console) {
        virtio_serial_port_set_host_open(port, true);
    }
    if (VIRT_CONSOLE(port)->chardev) {
        take_size(VIRT_CONSOLE(port));
        chardev_set_frontend(VIRT_CONSOLE(port)->chardev, &fe);
    }
}

static void port_stop(VirtioSerialPort *port)
{
    if (VIRT_CONSOLE(port)->chardev) {
        chardev_set_frontend(VIRT_CONSOLE(port)->chardev, NULL);
    }
}

static const Property virtserialport_props[] = {
    PROP_LINK("chardev", VirtConsole, chardev, Chardev, &chardev_type,
              "stream of the port, an id of -chardev"),
    PROP_END,
};

static void virtserialport_class_init(ObjectClass *klass, const void *data)
{
    VirtioSerialPortClass *pc = VIRTIO_SERIAL_PORT_CLASS(klass);

    DEVICE_CLASS(klass)->user_creatable = true;
    pc->check = port_check;
    pc->start = port_start;
    pc->stop = port_stop;
    pc->room = port_room;
    pc->take = port_take;
    pc->guest_ready = port_guest_ready;
}

const TypeInfo virtserialport_type = {
    .name = "virtserialport",
    .parent = &virtio_serial_port_type,
    .instance_size = sizeof(VirtConsole),
    .class_init = virtserialport_class_init,
    .props = virtserialport_props,
    .desc = "port of virtio-serial",
};

static void virtconsole_class_init(ObjectClass *klass, const void *data)
{
    VirtioSerialPortClass *pc = VIRTIO_SERIAL_PORT_CLASS(klass);

    pc->is_console = true;
    pc->room = NULL;
}

const TypeInfo virtconsole_type = {
    .name = "virtconsole",
    .parent = &virtserialport_type,
    .class_init = virtconsole_class_init,
    .desc = "console port of virtio-serial, hvc0 in Linux",
};
