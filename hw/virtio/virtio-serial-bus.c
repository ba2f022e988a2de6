/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports on the bus of a virtio-serial device: their numbers, plugging and unplugging, also while
 * the guest runs.
 */
#include "hw/virtio/virtio-serial-internal.h"

#define NR_AUTO UINT32_MAX /* property nr: not given */

static uint32_t free_number(VirtioSerial *s, bool console)
{
    uint32_t nr = console && !s->slots[0].port ? 0 : 1;

    while (nr < s->max_ports && s->slots[nr].port) {
        nr++;
    }
    return nr;
}

static bool check_number(VirtioSerial *s, VirtioSerialPort *port, uint32_t nr, GError **err)
{
    if (nr >= s->max_ports && port->nr == NR_AUTO) {
        return error_set(err,
                         "no free port on bus '%s' (max_ports=%u; port 0 is for a virtconsole)",
                         s->bus->parent_obj.name, s->max_ports);
    }
    if (nr >= s->max_ports) {
        return error_set(err, "nr=%u is too large: bus '%s' has max_ports=%u", nr,
                         s->bus->parent_obj.name, s->max_ports);
    }
    if (s->slots[nr].port) {
        return error_set(err, "nr=%u is taken on bus '%s'", nr, s->bus->parent_obj.name);
    }
    if (nr == 0 && !virtio_serial_is_console(port)) {
        return error_set(err, "port 0 is for a virtconsole; leave nr=0 out");
    }
    return true;
}

static bool check_name(VirtioSerialPort *port, GError **err)
{
    if (port->name && strlen(port->name) > VIRTIO_SERIAL_NAME_MAX) {
        return error_set(err, "name= is longer than %d bytes", VIRTIO_SERIAL_NAME_MAX);
    }
    return true;
}

static void port_plug(VirtioSerial *s, VirtioSerialPort *port)
{
    PortSlot *slot = &s->slots[port->nr];

    slot->port = port;
    port->serial = s;
    if (s->driver_ready) {
        slot->pending |= SEND_ADD;
        virtio_serial_control_flush(s);
    }
    if (port->nr == 0 && virtio_running(VIRTIO_DEVICE(s)) && !virtio_serial_multiport(s)) {
        virtio_serial_set_guest_open(port, true);
    }
}

/* The guest gets its buffers back before it hears that the port is gone. */
static void port_unplug(VirtioSerialPort *port)
{
    VirtioSerial *s = port->serial;
    PortSlot *slot = &s->slots[port->nr];
    VirtQueue *vq = virtio_serial_queue(port, true);

    virtqueue_push(g_steal_pointer(&port->out_elem));
    slot->port = NULL;
    slot->ready = false;
    port->serial = NULL;
    port->guest_open = port->stalled = false;
    if (virtio_running(VIRTIO_DEVICE(s))) {
        virtio_serial_discard(VIRTIO_DEVICE(s), vq);
    }
    slot->pending = slot->added ? SEND_REMOVE : 0;
    virtio_serial_control_flush(s);
}

static bool port_realize(Device *dev, GError **err)
{
    VirtioSerialPort *port = VIRTIO_SERIAL_PORT(dev);
    VirtioSerialPortClass *pc = VIRTIO_SERIAL_PORT_GET_CLASS(dev);
    VirtioSerial *s = VIRTIO_SERIAL(dev->bus->parent);
    Platform *p = device_platform(dev);
    uint32_t nr = port->nr == NR_AUTO ? free_number(s, virtio_serial_is_console(port)) : port->nr;

    if (!check_number(s, port, nr, err) || !check_name(port, err) ||
        (pc->check && !pc->check(port, err))) {
        return false;
    }
    port->nr_chosen = port->nr == NR_AUTO;
    port->nr = nr;
    port->report = loop_timer_new(p->loop, p->rtclock, virtio_serial_report_change, port);
    port_plug(s, port);
    if (pc->start) {
        pc->start(port);
    }
    return true;
}

static void port_unrealize(Device *dev)
{
    VirtioSerialPort *port = VIRTIO_SERIAL_PORT(dev);
    VirtioSerialPortClass *pc = VIRTIO_SERIAL_PORT_GET_CLASS(dev);

    if (pc->stop) {
        pc->stop(port);
    }
    port_unplug(port);
    g_clear_pointer(&port->report, loop_timer_free);
    port->host_open = port->reported_open = false;
    port->cols = port->rows = 0;
    if (port->nr_chosen) {
        port->nr = NR_AUTO;
    }
}

static const Property virtio_serial_port_props[] = {
    PROP_UINT32_OPTIONAL("nr", VirtioSerialPort, nr, NR_AUTO,
                         "number of the port; not given: the first that is free"),
    PROP_STRING("name", VirtioSerialPort, name, NULL,
                "name by which the guest knows the port (/dev/virtio-ports/NAME)"),
    PROP_END,
};

static void virtio_serial_port_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->bus_type = &virtio_serial_bus_type;
    dc->category = "input";
    dc->hotpluggable = true;
    dc->realize = port_realize;
    dc->unrealize = port_unrealize;
}

const TypeInfo virtio_serial_port_type = {
    .name = "virtio-serial-port",
    .parent = &device_type,
    .instance_size = sizeof(VirtioSerialPort),
    .class_size = sizeof(VirtioSerialPortClass),
    .abstract = true,
    .class_init = virtio_serial_port_class_init,
    .props = virtio_serial_port_props,
};
