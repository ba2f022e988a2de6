/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI (VIRTIO 1.4 §4.1). There is one proxy implementation; one table in virtio-pci.c makes a type such
 * as "virtio-balloon-pci" of each virtio device type.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_PCI_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

extern const TypeInfo virtio_pci_type; /* abstract parent of all proxies */

/*
 * What makes a proxy type of a device type: its TypeInfo has parent virtio_pci_type, class_init
 * virtio_pci_proxy_class_init, one of these as class_data, delegate_type the child and delegate_child
 * "virtio-backend". The devices of this folder are in the table; tests and examples write theirs.
 */
typedef enum {
    VIRTIO_PCI_AS_ASKED,     /* as disable-legacy and disable-modern say; modern only by default */
    VIRTIO_PCI_TRANSITIONAL, /* both interfaces */
    VIRTIO_PCI_MODERN_ONLY,
} VirtioPciInterfaces;

typedef struct {
    const TypeInfo *child;
    uint16_t virtio_id;    /* VIRTIO_ID_* */
    uint32_t class_id;     /* PCI class, 24 bits */
    const char *category;  /* DeviceClass.category */
    VirtioPciInterfaces interfaces;
    uint16_t legacy_id;    /* PCI device id with a legacy interface; 0: the one that the specification gives it */
} VirtioPciRow;

void virtio_pci_proxy_class_init(ObjectClass *klass, const void *data); /* data: a VirtioPciRow */

/* NULL-terminated: "virtio-balloon-pci", ... */
extern const TypeInfo *const virtio_pci_types[];

/* Layout of the one memory BAR (number 4, 64-bit, prefetchable), offsets and lengths in bytes. */
enum {
    VIRTIO_PCI_BAR = 4,
    VIRTIO_PCI_LEGACY_BAR = 0, /* I/O */
    VIRTIO_PCI_MSIX_BAR = 1,
    VIRTIO_PCI_COMMON_OFF = 0x0000,
    VIRTIO_PCI_ISR_OFF = 0x1000,
    VIRTIO_PCI_DEVICE_OFF = 0x2000,
    VIRTIO_PCI_NOTIFY_OFF = 0x3000,
    VIRTIO_PCI_NOTIFY_MULTIPLIER = 4,
};

#endif
