/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Ports of the console device (VIRTIO 1.4 §5.3): virtio-serial.c has the device, its control queues and the bus; a
 * kind of port (virtio-console.c) says what is done with the bytes.
 *
 * Flow control: the queue of a port that has no room is not popped until it calls virtio_serial_port_resume. In the
 * other direction a port asks for room before it writes.
 *
 * Threads: main loop, VM lock.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_SERIAL_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_SERIAL_H

#include "hw/virtio/virtio.h"

OBJECT_DECLARE(VirtioSerial, virtio_serial, VIRTIO_SERIAL)
OBJECT_DECLARE_CLASS(VirtioSerialPort, VirtioSerialPortClass, virtio_serial_port, VIRTIO_SERIAL_PORT)

extern const TypeInfo virtio_serial_bus_type;

struct VirtioSerialPort {
    Device parent_obj;
    uint32_t nr;          /* property; the number that the port got once it is plugged */
    char *name;           /* property; NULL: none */
    VirtioSerial *serial; /* NULL: not plugged */
    bool nr_chosen;       /* by us, not by the user */
    bool host_open;       /* somebody on the host uses it: what the guest sends is not thrown away */
    bool guest_open;      /* the guest has it open */
    bool stalled;         /* it had no room */
    VqElem *out_elem;     /* sent by the guest, not taken completely; NULL: none */
    uint16_t cols, rows;  /* of the terminal; 0: not known */
    LoopTimer *report;    /* spaces VSERPORT_CHANGE events */
    bool reported_open;
};

struct VirtioSerialPortClass {
    DeviceClass parent_class;
    bool is_console;
    bool (*check)(VirtioSerialPort *port, GError **err); /* before it is plugged */
    void (*start)(VirtioSerialPort *port);               /* it is plugged */
    void (*stop)(VirtioSerialPort *port);                /* it will be unplugged */
    size_t (*room)(VirtioSerialPort *port); /* bytes that take takes now; NULL: any number */
    void (*take)(VirtioSerialPort *port, const uint8_t *buf, size_t len); /* from the guest */
    void (*guest_ready)(VirtioSerialPort *port);         /* virtio_serial_port_room may have grown */
};

/* --- for kinds of ports --- */

void virtio_serial_port_set_host_open(VirtioSerialPort *port, bool open);

/* Bytes that virtio_serial_port_write takes now; 0 while the guest has not opened the port or gave no buffers. */
size_t virtio_serial_port_room(VirtioSerialPort *port);
size_t virtio_serial_port_write(VirtioSerialPort *port, const uint8_t *buf, size_t len);

void virtio_serial_port_resume(VirtioSerialPort *port);
void virtio_serial_port_resize(VirtioSerialPort *port, uint16_t cols, uint16_t rows);

#endif
