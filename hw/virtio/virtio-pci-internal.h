/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The proxy function as the files of virtio over PCI share it: virtio-pci.c (the function, BARs),
 * virtio-pci-common.c (the common configuration), virtio-pci-legacy.c (the legacy interface).
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_PCI_INTERNAL_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_PCI_INTERNAL_H

#include "hw/virtio/virtio-pci.h"

typedef struct VirtIOPCIProxy {
    PciDevice parent_obj;
    VirtIODevice *vdev; /* the child "virtio-backend" */
    Bus *bus;           /* the child "virtio-bus"; NULL: not realized */
    IoRegion structures, msix, legacy, notify_io; /* size 0: there is no such BAR */
    uint32_t msix_pba; /* offset of the pending bits in their BAR */
    uint8_t pci_cfg;   /* offset of the PCI configuration access capability */
    uint32_t nvectors; /* property */
    bool ioeventfd;    /* property */
    int disable_legacy;  /* property: OnOffAuto */
    bool disable_modern; /* property */
    bool modern_pio_notify; /* property */
    uint32_t device_feature_select, driver_feature_select;
    uint16_t queue_select;
} VirtIOPCIProxy;

OBJECT_DECLARE(VirtIOPCIProxy, virtio_pci, VIRTIO_PCI)

/* --- virtio-pci.c --- */

/* Moves an event's use from one vector to another. Returns what the driver reads back: NO_VECTOR when impossible. */
uint16_t virtio_pci_vector_move(VirtIOPCIProxy *p, uint16_t old, uint16_t vector);
uint8_t virtio_pci_isr_read(VirtIOPCIProxy *p); /* clears it, and lowers the wire */

/* --- virtio-pci-common.c: accesses of any size at any offset --- */

uint64_t virtio_pci_common_read(VirtIOPCIProxy *p, uint64_t off, unsigned size);
void virtio_pci_common_write(VirtIOPCIProxy *p, uint64_t off, uint64_t value, unsigned size);

/* --- virtio-pci-legacy.c --- */

/* The transitional PCI device id of a virtio device type; 0: it has no legacy interface. */
uint16_t virtio_pci_legacy_id(uint16_t virtio_id);
/* Gives the function the I/O BAR and the ids of the legacy interface; from realize, once the device is known. */
void virtio_pci_legacy_plug(VirtIOPCIProxy *p, uint16_t device_id);
/* Which of the two interfaces does the driver use? The one that it used last before anything was started. */
void virtio_pci_use_legacy(VirtIOPCIProxy *p, bool legacy);

#endif
