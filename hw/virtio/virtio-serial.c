/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The console device (VIRTIO 1.4 §5.3): ports with a queue each way, and control queues by which
 * device and driver tell each other about them. What the driver has to be told is kept as bits per
 * port and written when it gives buffers, so nothing is queued and nothing is lost.
 *
 * Without VIRTIO_CONSOLE_F_MULTIPORT (max_ports=1, or a driver that left it out) there is port 0
 * alone, a console that is open while the driver runs.
 *
 * VIRTIO_CONSOLE_RESIZE has columns before rows, as the specification says and Linux reads them
 * since 6.15 and in later stable releases; older ones take them the other way round.
 */
#include "core/code-place.h"
#include "hw/virtio/virtio-serial-internal.h"

#include "hw/virtio/devices.h"

enum {
    QUEUE_SIZE = 128,
    CONTROL_QUEUE_SIZE = 32,
    MAX_PORTS = 511, /* two queues each, of 1024 */
    DEFAULT_PORTS = 31,
    CHUNK = 4096,
    MESSAGES_PER_RUN = 64, /* then others have their turn on the main loop */
    BUFFERS_PER_RUN = 64,
    BYTES_PER_RUN = 1 << 20,
    REPORT_PERIOD_MS = 1000,
};
enum { CONTROL_IN = 2, CONTROL_OUT = 3 }; /* queue numbers */

/* --- on the wire --- */

typedef struct {
    Le16 cols, rows;
    Le32 max_nr_ports;
    Le32 emerg_wr;
} WireConfig;

typedef struct {
    Le32 id;
    Le16 event;
    Le16 value;
} WireControl;

typedef struct {
    Le16 cols, rows;
} WireResize;

static PortSlot *slot_of_queue(VirtioSerial *s, VirtQueue *vq)
{
    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        unsigned q = virtio_serial_in_queue(nr);

        if (virtio_get_queue(VIRTIO_DEVICE(s), q) == vq ||
            virtio_get_queue(VIRTIO_DEVICE(s), q + 1) == vq) {
            return &s->slots[nr];
        }
    }
    g_assert_not_reached();
}

/* --- control messages to the driver --- */

static size_t control_message(PortSlot *slot, uint32_t nr, uint8_t what, uint8_t *buf)
{
    VirtioSerialPort *port = slot->port;
    WireControl head = {.id = le32_make(nr)};
    size_t len = sizeof head;
    uint16_t event = 0, value = 1;

    switch (what) {
    case SEND_REMOVE:
        event = VIRTIO_CONSOLE_PORT_REMOVE;
        break;
    case SEND_ADD:
        event = VIRTIO_CONSOLE_PORT_ADD;
        break;
    case SEND_CONSOLE:
        event = VIRTIO_CONSOLE_CONSOLE_PORT;
        break;
    case SEND_OPEN:
        event = VIRTIO_CONSOLE_PORT_OPEN;
        value = port->host_open;
        break;
    case SEND_NAME:
        event = VIRTIO_CONSOLE_PORT_NAME;
        memcpy(buf + len, port->name, strlen(port->name));
        len += strlen(port->name);
        break;
    case SEND_RESIZE:
        event = VIRTIO_CONSOLE_RESIZE;
        memcpy(buf + len, &(WireResize){le16_make(port->cols), le16_make(port->rows)},
               sizeof(WireResize));
        len += sizeof(WireResize);
        break;
    }
    head.event = le16_make(event);
    head.value = le16_make(value);
    memcpy(buf, &head, sizeof head);
    return len;
}

static void control_sent(PortSlot *slot, uint8_t what)
{
    slot->pending &= (uint8_t)~what;
    if (what == SEND_ADD || what == SEND_REMOVE) {
        slot->added = what == SEND_ADD;
        slot->ready = false;
    }
}

/* One message into one buffer; false: the driver gave none. A buffer that is too short is wasted.
 */
static bool control_send_one(VirtioSerial *s, uint32_t nr)
{
    g_autoptr(VqElem) e = virtqueue_pop(virtio_get_queue(VIRTIO_DEVICE(s), CONTROL_IN));
    PortSlot *slot = &s->slots[nr];
    uint8_t what = slot->pending & (uint8_t)-slot->pending;
    uint8_t buf[sizeof(WireControl) + VIRTIO_SERIAL_NAME_MAX];
    size_t len;

    if (!e) {
        return false;
    }
    len = control_message(slot, nr, what, buf);
    if (vq_elem_write(e, buf, len)) {
        TRACE(virtio_serial_send_control, "port=%u what=%u", nr, what);
        control_sent(slot, what);
    } else {
        log_guest("virtio-serial: control buffer of %zu bytes, %zu are needed", vq_elem_in_left(e),
                  len);
    }
    return true;
}

void virtio_serial_control_flush(VirtioSerial *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtQueue *vq = virtio_get_queue(vdev, CONTROL_IN);
    unsigned left = MESSAGES_PER_RUN;
    bool buffers = true;

    if (!virtio_running(vdev) || !virtio_serial_multiport(s)) {
        return;
    }
    for (uint32_t nr = 0; nr < s->max_ports && buffers; nr++) {
        while (s->slots[nr].pending && left > 0 && (buffers = control_send_one(s, nr))) {
            left--;
        }
    }
    if (left < MESSAGES_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

static void control_want(VirtioSerialPort *port, uint8_t what)
{
    PortSlot *slot = &port->serial->slots[port->nr];

    if (slot->ready) { /* otherwise PORT_READY will ask for everything */
        slot->pending |= what;
        virtio_serial_control_flush(port->serial);
    }
}

/* --- data from the guest --- */

/* Hands on what is left of the buffer in hand; false: not all of it could be taken now. */
static bool out_take(VirtioSerialPort *port, size_t *budget)
{
    VirtioSerialPortClass *pc = VIRTIO_SERIAL_PORT_GET_CLASS(port);
    uint8_t buf[CHUNK];

    while (port->host_open && vq_elem_out_left(port->out_elem) > 0) {
        size_t room = pc->room ? pc->room(port) : SIZE_MAX;
        size_t n = MIN(MIN(room, *budget), sizeof buf);

        if (n == 0) {
            port->stalled = room == 0;
            return false;
        }
        n = vq_elem_read_some(port->out_elem, buf, n);
        pc->take(port, buf, n);
        *budget -= n;
    }
    return true;
}

static void out_flush(VirtioSerialPort *port, VirtQueue *vq)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(port->serial);
    unsigned left = BUFFERS_PER_RUN;
    size_t budget = BYTES_PER_RUN;

    while (!port->stalled && left > 0 && virtio_running(vdev)) {
        if (!port->out_elem && !(port->out_elem = virtqueue_pop(vq))) {
            break;
        }
        if (!out_take(port, &budget)) {
            break;
        }
        virtqueue_push(g_steal_pointer(&port->out_elem));
        left--;
    }
    if (left < BUFFERS_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0 || budget == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

/* Buffers for a port that is not there come back at once. */
void virtio_serial_discard(VirtIODevice *vdev, VirtQueue *vq)
{
    unsigned left = BUFFERS_PER_RUN;
    VqElem *e;

    while (left > 0 && (e = virtqueue_pop(vq))) {
        virtqueue_fill(e);
        left--;
    }
    virtio_notify(vdev, vq);
    if (left == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

static void virtio_serial_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_serial_handle_output);
    PortSlot *slot = slot_of_queue(VIRTIO_SERIAL(vdev), vq);

    if (slot->port) {
        out_flush(slot->port, vq);
    } else {
        virtio_serial_discard(vdev, vq);
    }
}

void virtio_serial_port_resume(VirtioSerialPort *port)
{
    if (port->serial && port->stalled) {
        port->stalled = false;
        out_flush(port, virtio_serial_queue(port, true));
    }
}

/* --- data to the guest --- */

static void guest_ready(VirtioSerialPort *port)
{
    VirtioSerialPortClass *pc = VIRTIO_SERIAL_PORT_GET_CLASS(port);

    if (pc->guest_ready) {
        pc->guest_ready(port);
    }
}

/* The guest gave buffers. */
static void virtio_serial_handle_input(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_serial_handle_input);
    PortSlot *slot = slot_of_queue(VIRTIO_SERIAL(vdev), vq);

    if (slot->port) {
        guest_ready(slot->port);
    }
}

/*
 * Looks into the next buffer and puts it back: Linux takes its buffers out of the ring when a port
 * goes, and expects that the device holds none.
 */
size_t virtio_serial_port_room(VirtioSerialPort *port)
{
    unsigned left = BUFFERS_PER_RUN;
    VirtQueue *vq;
    VqElem *e;

    if (!port->serial || !port->guest_open || !virtio_running(VIRTIO_DEVICE(port->serial))) {
        return 0;
    }
    vq = virtio_serial_queue(port, false);
    while (left > 0 && (e = virtqueue_pop(vq))) {
        size_t room = vq_elem_in_left(e);

        if (room > 0) {
            virtqueue_unpop(e);
            return room;
        }
        virtqueue_push(e); /* without room */
        left--;
    }
    if (left < BUFFERS_PER_RUN) {
        virtio_notify(VIRTIO_DEVICE(port->serial), vq);
    }
    if (left == 0) {
        virtio_queue_run_later(VIRTIO_DEVICE(port->serial), vq);
    }
    return 0;
}

size_t virtio_serial_port_write(VirtioSerialPort *port, const uint8_t *buf, size_t len)
{
    size_t done = 0;

    while (done < len && virtio_serial_port_room(port) > 0) {
        VqElem *e = virtqueue_pop(virtio_serial_queue(port, false));

        if (!e) {
            break;
        }
        done += vq_elem_write_some(e, buf + done, len - done);
        virtqueue_push(e);
    }
    if (done > 0) {
        virtio_notify(VIRTIO_DEVICE(port->serial), virtio_serial_queue(port, false));
    }
    return done;
}

/* --- open and closed --- */

void virtio_serial_report_change(void *opaque)
{
    VirtioSerialPort *port = opaque;
    Device *dev = DEVICE(port);

    if (!dev->id || port->guest_open == port->reported_open || loop_timer_armed(port->report)) {
        return;
    }
    port->reported_open = port->guest_open;
    platform_event(device_platform(dev), "VSERPORT_CHANGE",
                   json_pack("{s:s, s:b}", "id", dev->id, "open", port->guest_open));
    loop_timer_arm_in(port->report, REPORT_PERIOD_MS * INT64_C(1000000));
}

void virtio_serial_set_guest_open(VirtioSerialPort *port, bool open)
{
    if (port->guest_open == open) {
        return;
    }
    TRACE(virtio_serial_guest_open, "port=%u open=%d", port->nr, open);
    port->guest_open = open;
    virtio_serial_report_change(port);
    if (open) {
        guest_ready(port);
    }
}

void virtio_serial_port_set_host_open(VirtioSerialPort *port, bool open)
{
    if (port->host_open == open) {
        return;
    }
    port->host_open = open;
    if (port->serial) {
        control_want(port, SEND_OPEN);
        virtio_serial_port_resume(port); /* nobody there: what waits is thrown away */
    }
}

/* §5.3.6: the configuration fields are about port 0. */
void virtio_serial_port_resize(VirtioSerialPort *port, uint16_t cols, uint16_t rows)
{
    VirtIODevice *vdev = (VirtIODevice *)port->serial;

    if (!vdev || (port->cols == cols && port->rows == rows)) {
        return;
    }
    port->cols = cols;
    port->rows = rows;
    if (virtio_serial_is_console(port)) {
        control_want(port, SEND_RESIZE);
    }
    if (port->nr == 0 && virtio_has_feature(vdev, VIRTIO_CONSOLE_F_SIZE)) {
        virtio_notify_config(vdev);
    }
}

/* --- control messages from the driver --- */

static void driver_is_ready(VirtioSerial *s)
{
    s->driver_ready = true;
    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        PortSlot *slot = &s->slots[nr];

        if (slot->port && !slot->added) {
            slot->pending |= SEND_ADD;
        }
    }
}

static void port_is_ready(PortSlot *slot)
{
    VirtioSerialPort *port = slot->port;

    slot->ready = true;
    if (virtio_serial_is_console(port)) {
        slot->pending |= SEND_CONSOLE;
    }
    if (port->name && *port->name) {
        slot->pending |= SEND_NAME;
    }
    if (port->host_open) {
        slot->pending |= SEND_OPEN;
    }
    if (virtio_serial_is_console(port) && port->cols) {
        slot->pending |= SEND_RESIZE;
    }
}

static void control_handle_port(VirtioSerial *s, uint32_t nr, uint16_t event, uint16_t value)
{
    PortSlot *slot = nr < s->max_ports ? &s->slots[nr] : NULL;

    /* While SEND_REMOVE waits, the driver speaks of a port that is gone. */
    if (!slot || !slot->port || !slot->added || (slot->pending & SEND_REMOVE)) {
        log_guest("virtio-serial: control message %u for port %u, which is not there", event, nr);
        return;
    }
    switch (event) {
    case VIRTIO_CONSOLE_PORT_READY:
        if (value) {
            port_is_ready(slot);
        } else {
            log_guest("virtio-serial: the driver could not add port %u", nr);
        }
        break;
    case VIRTIO_CONSOLE_PORT_OPEN:
        virtio_serial_set_guest_open(slot->port, value != 0);
        break;
    default:
        log_guest("virtio-serial: unknown control message %u", event);
    }
}

static void control_handle(VirtioSerial *s, VqElem *elem)
{
    g_autoptr(VqElem) e = elem;
    WireControl wire;

    if (!vq_elem_read(e, &wire, sizeof wire)) {
        log_guest("virtio-serial: control message of %zu bytes", vq_elem_out_left(e));
    } else if (!virtio_serial_multiport(s)) {
        log_guest("virtio-serial: control message without MULTIPORT");
    } else if (le16_get(wire.event) != VIRTIO_CONSOLE_DEVICE_READY) {
        control_handle_port(s, le32_get(wire.id), le16_get(wire.event), le16_get(wire.value));
    } else if (le16_get(wire.value)) {
        driver_is_ready(s);
    } else {
        log_guest("virtio-serial: the driver could not set up the device");
    }
}

static void virtio_serial_handle_control(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_serial_handle_control);
    unsigned left = MESSAGES_PER_RUN;
    VqElem *e;

    while (left > 0 && (e = virtqueue_pop(vq))) {
        control_handle(VIRTIO_SERIAL(vdev), e);
        left--;
    }
    if (left < MESSAGES_PER_RUN) {
        virtio_notify(vdev, vq);
    }
    if (left == 0) {
        virtio_queue_run_later(vdev, vq);
    }
    virtio_serial_control_flush(VIRTIO_SERIAL(vdev));
}

static void virtio_serial_handle_control_in(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_serial_handle_control_in);
    virtio_serial_control_flush(VIRTIO_SERIAL(vdev));
}

/* --- configuration space --- */

static uint64_t virtio_serial_get_features(VirtIODevice *vdev, uint64_t common)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);

    return UINT64_C(1) << VIRTIO_CONSOLE_F_SIZE |
           (uint64_t)(s->max_ports > 1) << VIRTIO_CONSOLE_F_MULTIPORT |
           (uint64_t)s->emergency_write << VIRTIO_CONSOLE_F_EMERG_WRITE;
}

static void virtio_serial_get_config(VirtIODevice *vdev, void *config)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);
    const VirtioSerialPort *port = s->slots[0].port;
    WireConfig wire = {
        .cols = le16_make(port ? port->cols : 0),
        .rows = le16_make(port ? port->rows : 0),
        .max_nr_ports = le32_make(s->max_ports),
    };

    memcpy(config, &wire, sizeof wire);
}

static bool virtio_serial_config_writable(VirtIODevice *vdev, size_t off)
{
    return VIRTIO_SERIAL(vdev)->emergency_write && off >= offsetof(WireConfig, emerg_wr);
}

/* §5.3.5.1: the low byte goes out at once, whatever state the device is in. */
static void virtio_serial_set_config(VirtIODevice *vdev, const void *config, size_t off, size_t len)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);
    const uint8_t *byte = (const uint8_t *)config + offsetof(WireConfig, emerg_wr);

    if (off > offsetof(WireConfig, emerg_wr) || off + len <= offsetof(WireConfig, emerg_wr)) {
        return;
    }
    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        VirtioSerialPort *port = s->slots[nr].port;

        if (port && virtio_serial_is_console(port)) {
            VIRTIO_SERIAL_PORT_GET_CLASS(port)->take(port, byte, 1);
            return;
        }
    }
    log_guest("virtio-serial: emergency write of 0x%02x, and no console", *byte);
}

/* --- life of the device --- */

static void virtio_serial_set_status(VirtIODevice *vdev, uint8_t old)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);

    if ((vdev->status & ~old & VIRTIO_CONFIG_S_DRIVER_OK) && !virtio_serial_multiport(s) &&
        s->slots[0].port) {
        virtio_serial_set_guest_open(s->slots[0].port, true);
    }
}

static void port_forget_driver(VirtioSerialPort *port)
{
    if (port->out_elem) {
        virtqueue_detach(g_steal_pointer(&port->out_elem));
    }
    port->stalled = false;
    virtio_serial_set_guest_open(port, false);
}

static void virtio_serial_reset(VirtIODevice *vdev)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);

    s->driver_ready = false;
    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        PortSlot *slot = &s->slots[nr];

        slot->added = slot->ready = false;
        slot->pending = 0;
        if (slot->port) {
            port_forget_driver(slot->port);
        }
    }
}

/* "ID.0", as in QEMU, after the device that the user knows. */
static char *bus_name(Device *dev)
{
    if (!dev->id && dev->bus->parent) {
        dev = dev->bus->parent;
    }
    return g_strdup_printf("%s.0", dev->id ? dev->id : "virtio-serial");
}

static bool virtio_serial_realize(VirtIODevice *vdev, GError **err)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);
    g_autofree char *name = bus_name(DEVICE(vdev));

    virtio_init(vdev, VIRTIO_ID_CONSOLE, sizeof(WireConfig));
    for (uint32_t nr = 0; nr < s->max_ports; nr++) {
        virtio_add_queue(vdev, QUEUE_SIZE, virtio_serial_handle_input);
        virtio_add_queue(vdev, QUEUE_SIZE, virtio_serial_handle_output);
        if (nr == 0 && s->max_ports > 1) {
            virtio_add_queue(vdev, CONTROL_QUEUE_SIZE, virtio_serial_handle_control_in);
            virtio_add_queue(vdev, CONTROL_QUEUE_SIZE, virtio_serial_handle_control);
        }
    }
    s->slots = g_new0(PortSlot, s->max_ports);
    s->bus = bus_new(&virtio_serial_bus_type, DEVICE(vdev), name, device_platform(DEVICE(vdev)));
    s->bus->max_devices = s->max_ports;
    return true;
}

static void virtio_serial_unrealize(VirtIODevice *vdev)
{
    VirtioSerial *s = VIRTIO_SERIAL(vdev);

    object_unparent(OBJECT(s->bus));
    s->bus = NULL;
    g_clear_pointer(&s->slots, g_free);
}

static const Property virtio_serial_props[] = {
    PROP_UINT32("max_ports", VirtioSerial, max_ports, DEFAULT_PORTS, 1, MAX_PORTS,
                "ports that can be plugged; 1: one console, without control queues"),
    PROP_BOOL("emergency-write", VirtioSerial, emergency_write, true,
              "offer output of single characters without queues"),
    PROP_END,
};

static void virtio_serial_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->user_creatable = true;
    dc->category = "input";
    vc->realize = virtio_serial_realize;
    vc->unrealize = virtio_serial_unrealize;
    vc->get_features = virtio_serial_get_features;
    vc->get_config = virtio_serial_get_config;
    vc->config_writable = virtio_serial_config_writable;
    vc->set_config = virtio_serial_set_config;
    vc->set_status = virtio_serial_set_status;
    vc->reset = virtio_serial_reset;
}

const TypeInfo virtio_serial_type = {
    .name = "virtio-serial-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(VirtioSerial),
    .class_init = virtio_serial_class_init,
    .props = virtio_serial_props,
    .desc = "serial ports and consoles, plugged onto its bus",
};

const TypeInfo virtio_serial_bus_type = {
    .name = "virtio-serial-bus",
    .parent = &bus_type,
    .desc = "ports of a virtio-serial device",
};
