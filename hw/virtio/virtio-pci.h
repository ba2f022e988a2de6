/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI (VIRTIO 1.4 §4.1). There is one proxy implementation; one row makes types such as
 * "virtio-balloon-pci" of a virtio device type. The devices of this folder have their rows in virtio-pci.c, others in
 * their own files.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_PCI_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_PCI_H

#include "hw/pci/pci.h"
#include "hw/virtio/virtio.h"

extern const TypeInfo virtio_pci_type; /* abstract parent of all proxies */

typedef enum {
    VIRTIO_PCI_AS_ASKED,     /* as disable-legacy and disable-modern say; modern only by default */
    VIRTIO_PCI_TRANSITIONAL, /* both interfaces */
    VIRTIO_PCI_MODERN_ONLY,
} VirtioPciInterfaces;

/* What makes a proxy type of a device type; see VIRTIO_PCI_PROXIES. */
typedef struct {
    const TypeInfo *child;
    uint16_t virtio_id;    /* VIRTIO_ID_* */
    uint32_t class_id;     /* PCI class, 24 bits */
    const char *category;  /* DeviceClass.category */
    VirtioPciInterfaces interfaces;
    uint16_t legacy_id;    /* PCI device id with a legacy interface; 0: the one that the specification gives it */
} VirtioPciRow;

void virtio_pci_proxy_class_init(ObjectClass *klass, const void *data); /* data: a VirtioPciRow */

#define VIRTIO_PCI_PROXY_(lower, variant, qemu_name, text, kind, ...)                                          \
    static const VirtioPciRow lower##variant##_row = {                                                         \
        .child = &lower##_type, .interfaces = kind, __VA_ARGS__};                                              \
    static const TypeInfo lower##variant##_type = {                                                            \
        .name = qemu_name, .parent = &virtio_pci_type, .desc = text,                                           \
        .class_init = virtio_pci_proxy_class_init, .class_data = &lower##variant##_row,                        \
        .delegate_type = &lower##_type, .delegate_child = "virtio-backend"};

/*
 * VIRTIO_PCI_PROXIES(virtio_hash, "virtio-hash", "a line of help", .virtio_id = ..., .class_id = ..., .category = ...)
 *   defines the three proxies of virtio_hash_type: "virtio-hash-pci", "...-transitional" and "...-non-transitional".
 *   What follows the text are fields of VirtioPciRow.
 * VIRTIO_PCI_PROXY_LIST(virtio_hash)
 *   names them in a list for type_register_list.
 * VIRTIO_PCI_DEVICE(virtio_hash, ...)
 *   for a device with a list of its own: the proxies, and virtio_hash_types with device and proxies.
 */
#define VIRTIO_PCI_PROXIES(lower, qemu_name, text, ...)                                                        \
    VIRTIO_PCI_PROXY_(lower, _pci, qemu_name "-pci", text, VIRTIO_PCI_AS_ASKED, __VA_ARGS__)                   \
    VIRTIO_PCI_PROXY_(lower, _pci_both, qemu_name "-pci-transitional", text, VIRTIO_PCI_TRANSITIONAL,          \
                      __VA_ARGS__)                                                                             \
    VIRTIO_PCI_PROXY_(lower, _pci_modern, qemu_name "-pci-non-transitional", text, VIRTIO_PCI_MODERN_ONLY,     \
                      __VA_ARGS__)
#define VIRTIO_PCI_PROXY_LIST(lower) &lower##_pci_type, &lower##_pci_both_type, &lower##_pci_modern_type
#define VIRTIO_PCI_DEVICE(lower, qemu_name, text, ...)                                                         \
    VIRTIO_PCI_PROXIES(lower, qemu_name, text, __VA_ARGS__)                                                    \
    const TypeInfo *const lower##_types[] = {&lower##_type, VIRTIO_PCI_PROXY_LIST(lower), NULL};

/* NULL-terminated: "virtio-balloon-pci", ... */
extern const TypeInfo *const virtio_pci_types[];

/* Layout of the one memory BAR (number 4, 64-bit, prefetchable), offsets and lengths in bytes. */
enum {
    VIRTIO_PCI_BAR = 4,
    VIRTIO_PCI_LEGACY_BAR = 0, /* I/O */
    VIRTIO_PCI_MSIX_BAR = 1,
    VIRTIO_PCI_NOTIFY_IO_BAR = 2, /* I/O, with modern-pio-notify=on: kicks */
    VIRTIO_PCI_COMMON_OFF = 0x0000,
    VIRTIO_PCI_ISR_OFF = 0x1000,
    VIRTIO_PCI_DEVICE_OFF = 0x2000,
    VIRTIO_PCI_NOTIFY_OFF = 0x3000,
    VIRTIO_PCI_NOTIFY_MULTIPLIER = 4,
};

#endif
