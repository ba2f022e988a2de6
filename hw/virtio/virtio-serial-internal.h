/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the device (virtio-serial.c) and the plugging of ports (virtio-serial-bus.c) share.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_SERIAL_INTERNAL_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_SERIAL_INTERNAL_H

#include <linux/virtio_console.h>

#include "hw/virtio/virtio-serial.h"

enum { VIRTIO_SERIAL_NAME_MAX = 1024 }; /* Linux gives control buffers of a page */

/* Control messages that wait for a buffer, in the order in which they go out. */
enum {
    SEND_REMOVE = 1,
    SEND_ADD = 2,
    SEND_CONSOLE = 4,
    SEND_NAME = 8,
    SEND_OPEN = 16,
    SEND_RESIZE = 32,
};

typedef struct {
    VirtioSerialPort *port; /* NULL: none is plugged */
    bool added;             /* the driver was told of it */
    bool ready;             /* PORT_READY came for it */
    uint8_t pending;        /* SEND_* */
} PortSlot;

struct VirtioSerial {
    VirtIODevice parent_obj;
    uint32_t max_ports;   /* property */
    bool emergency_write; /* property */
    Bus *bus;
    PortSlot *slots;   /* max_ports */
    bool driver_ready; /* DEVICE_READY came */
};

static inline bool virtio_serial_multiport(VirtioSerial *s)
{
    return virtio_has_feature(VIRTIO_DEVICE(s), VIRTIO_CONSOLE_F_MULTIPORT);
}

static inline bool virtio_serial_is_console(VirtioSerialPort *port)
{
    return VIRTIO_SERIAL_PORT_GET_CLASS(port)->is_console;
}

/* The queue towards the guest; the one from it comes after it. */
static inline unsigned virtio_serial_in_queue(uint32_t nr)
{
    return nr == 0 ? 0 : 2 * nr + 2;
}

static inline VirtQueue *virtio_serial_queue(VirtioSerialPort *port, bool from_guest)
{
    return virtio_get_queue(VIRTIO_DEVICE(port->serial), virtio_serial_in_queue(port->nr) + from_guest);
}

/* Writes what is pending into the buffers that the driver gave. */
void virtio_serial_control_flush(VirtioSerial *s);

/* Buffers for a port that is not there come back at once. */
void virtio_serial_discard(VirtIODevice *vdev, VirtQueue *vq);

void virtio_serial_set_guest_open(VirtioSerialPort *port, bool open);
void virtio_serial_report_change(void *port); /* VSERPORT_CHANGE when it is time for one */

#endif
