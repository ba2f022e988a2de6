/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over MMIO (VIRTIO 1.4 §4.2): one "virtio-mmio" is a window of registers with one interrupt wire and a bus for
 * one device. A machine makes as many as it likes at fixed addresses, each on its main bus, and connects its wire
 * before realize; "-device virtio-balloon-device" plugs onto the first free one. Properties: "base", "force-legacy"
 * (version 1 of the registers), "ioeventfd". Buses are named virtio-mmio-bus.N, N counting the windows.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_MMIO_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_MMIO_H

#include "hw/virtio/virtio.h"

/* Not in all versions of <linux/virtio_mmio.h>. */
#ifndef VIRTIO_MMIO_QUEUE_RESET
#define VIRTIO_MMIO_QUEUE_RESET 0x0c0
#endif

enum {
    VIRTIO_MMIO_SIZE = 0x200,
    VIRTIO_MMIO_MAGIC = 0x74726976,  /* "virt" */
    VIRTIO_MMIO_VENDOR = 0x4f524541, /* "AERO" */
};

extern const TypeInfo virtio_mmio_type, virtio_mmio_bus_type;

void virtio_mmio_connect_irq(Device *dev, IrqLine irq);

/* The device in the window, or NULL. */
VirtIODevice *virtio_mmio_device(Device *dev);

#endif
