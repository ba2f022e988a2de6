/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The legacy interface of virtio over PCI (VIRTIO 1.4 §4.1.4.10): registers in I/O BAR 0, queues in
 * one block of guest pages, device configuration right behind the registers. A transitional
 * function has it beside the modern one, and serves the driver through the interface that it uses.
 *
 * Byte order is the guest's, which is little-endian on all our machines.
 */
#include <linux/virtio_pci.h>

#include "core/code-place.h"
#include "core/log.h"
#include "hw/pci/msix.h"
#include "hw/virtio/virtio-pci-internal.h"
#include "hw/virtio/virtqueue-internal.h"

enum { MIN_BAR_SIZE = 32, REGISTERS = VIRTIO_PCI_CONFIG_OFF(1) };

uint16_t virtio_pci_legacy_id(uint16_t virtio_id)
{
    static const uint16_t ids[] = {
        [VIRTIO_ID_NET] = 0x1000,     [VIRTIO_ID_BLOCK] = 0x1001, [VIRTIO_ID_BALLOON] = 0x1002,
        [VIRTIO_ID_CONSOLE] = 0x1003, [VIRTIO_ID_SCSI] = 0x1004,  [VIRTIO_ID_RNG] = 0x1005,
        [VIRTIO_ID_9P] = 0x1009,
    };

    return virtio_id < G_N_ELEMENTS(ids) ? ids[virtio_id] : 0;
}

void virtio_pci_use_legacy(VirtIOPCIProxy *p, bool legacy)
{
    if (p->legacy.size > 0 && p->vdev->legacy != legacy && !p->vdev->started &&
        !(p->vdev->status & VIRTIO_CONFIG_S_FEATURES_OK)) {
        virtio_set_legacy(p->vdev, legacy);
    }
}

/* --- registers --- */

typedef struct {
    uint8_t off, size;
} Field;

static const Field fields[] = {
    {VIRTIO_PCI_HOST_FEATURES, 4}, {VIRTIO_PCI_GUEST_FEATURES, 4},
    {VIRTIO_PCI_QUEUE_PFN, 4},     {VIRTIO_PCI_QUEUE_NUM, 2},
    {VIRTIO_PCI_QUEUE_SEL, 2},     {VIRTIO_PCI_QUEUE_NOTIFY, 2},
    {VIRTIO_PCI_STATUS, 1},        {VIRTIO_PCI_ISR, 1},
    {VIRTIO_MSI_CONFIG_VECTOR, 2}, {VIRTIO_MSI_QUEUE_VECTOR, 2},
};

static const Field *field_at(uint64_t off)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (off >= fields[i].off && off < fields[i].off + fields[i].size) {
            return &fields[i];
        }
    }
    return NULL;
}

static uint32_t field_get(VirtIOPCIProxy *p, unsigned off)
{
    VirtQueue *vq = virtio_get_queue(p->vdev, p->queue_select);
    const VirtQueueSetup *s = vq ? virtqueue_setup(vq) : NULL;

    switch (off) {
    case VIRTIO_PCI_HOST_FEATURES:
        return (uint32_t)virtio_offer(p->vdev);
    case VIRTIO_PCI_GUEST_FEATURES:
        return (uint32_t)p->vdev->guest_features;
    case VIRTIO_PCI_QUEUE_PFN:
        return s && s->enabled ? (uint32_t)(s->desc.v >> VIRTIO_PCI_QUEUE_ADDR_SHIFT) : 0;
    case VIRTIO_PCI_QUEUE_NUM:
        return s ? s->size : 0;
    case VIRTIO_PCI_QUEUE_SEL:
        return p->queue_select;
    case VIRTIO_PCI_STATUS:
        return p->vdev->status;
    case VIRTIO_MSI_CONFIG_VECTOR:
        return p->vdev->config_vector;
    case VIRTIO_MSI_QUEUE_VECTOR:
        return virtio_queue_vector(p->vdev, p->queue_select);
    default:
        return 0; /* written only; ISR is read whole */
    }
}

static void set_pfn(VirtIOPCIProxy *p, uint32_t pfn)
{
    VirtQueue *vq = virtio_get_queue(p->vdev, p->queue_select);
    VirtQueueSetup *s = vq ? virtqueue_setup(vq) : NULL;
    uint64_t base = (uint64_t)pfn << VIRTIO_PCI_QUEUE_ADDR_SHIFT;

    if (s && pfn == 0) {
        virtio_queue_disable(p->vdev, p->queue_select);
    }
    if (!s || pfn == 0 || s->enabled) {
        return;
    }
    virtqueue_setup_legacy(s, base, VIRTIO_PCI_VRING_ALIGN);
    virtio_queue_enable(p->vdev, p->queue_select);
}

static void field_set(VirtIOPCIProxy *p, unsigned off, uint32_t value)
{
    VirtIODevice *vdev = p->vdev;
    unsigned n = p->queue_select;

    switch (off) {
    case VIRTIO_PCI_GUEST_FEATURES:
        virtio_set_guest_features(vdev, value);
        break;
    case VIRTIO_PCI_QUEUE_PFN:
        set_pfn(p, value);
        break;
    case VIRTIO_PCI_QUEUE_SEL:
        p->queue_select = (uint16_t)value;
        break;
    case VIRTIO_PCI_QUEUE_NOTIFY:
        virtio_queue_notify(vdev, value);
        break;
    case VIRTIO_PCI_STATUS:
        virtio_set_status(vdev, (uint8_t)value);
        break;
    case VIRTIO_MSI_CONFIG_VECTOR:
        vdev->config_vector = virtio_pci_vector_move(p, vdev->config_vector, (uint16_t)value);
        break;
    case VIRTIO_MSI_QUEUE_VECTOR:
        if (virtio_get_queue(vdev, n)) {
            virtio_queue_set_vector(
                vdev, n, virtio_pci_vector_move(p, virtio_queue_vector(vdev, n), (uint16_t)value));
        }
        break;
    }
}

/* --- the BAR --- */

static unsigned config_off(VirtIOPCIProxy *p)
{
    return VIRTIO_PCI_CONFIG_OFF(msix_enabled(PCI_DEVICE(p)));
}

static uint64_t legacy_read(void *opaque, uint64_t off, unsigned size)
{
    VirtIOPCIProxy *p = opaque;
    uint64_t value = 0;

    if (off == VIRTIO_PCI_ISR && size == 1) {
        return virtio_pci_isr_read(p);
    }
    virtio_pci_use_legacy(p, true);
    for (unsigned i = 0; i < size; i++) { /* any width gives the bytes */
        uint64_t at = off + i;
        const Field *f = at < config_off(p) ? field_at(at) : NULL;
        uint8_t byte = 0;

        if (at >= config_off(p)) {
            byte = (uint8_t)virtio_config_read(p->vdev, at - config_off(p), 1);
        } else if (f) {
            byte = (uint8_t)(field_get(p, f->off) >> 8 * (at - f->off));
        }
        value |= (uint64_t)byte << 8 * i;
    }
    return value;
}

static void legacy_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    CODE_PLACE(legacy_write);
    VirtIOPCIProxy *p = opaque;
    const Field *f = field_at(off);

    /* A legacy driver that finds a function in use, after another kernel or boot loader, begins
     * with a reset. */
    if (off == VIRTIO_PCI_STATUS && size == 1 && (uint8_t)value == 0) {
        virtio_reset(p->vdev);
    }
    virtio_pci_use_legacy(p, true);
    if (!p->vdev->legacy) {
        log_guest("virtio-pci: legacy write at 0x%x under a modern driver", (unsigned)off);
    } else if (off >= config_off(p)) {
        virtio_config_write(p->vdev, off - config_off(p), value, size);
    } else if (f && f->off == off && f->size == size) {
        field_set(p, f->off, (uint32_t)value);
    } else {
        log_guest("virtio-pci: write of %u bytes at 0x%x of the legacy registers", size,
                  (unsigned)off);
    }
}

static const IoRegionOps legacy_ops = {.read = legacy_read, .write = legacy_write};

void virtio_pci_legacy_plug(VirtIOPCIProxy *p, uint16_t device_id)
{
    PciDevice *dev = PCI_DEVICE(p);
    uint64_t size = MIN_BAR_SIZE;

    while (size < REGISTERS + p->vdev->config_size) {
        size *= 2;
    }
    io_region_init(&p->legacy, "virtio-pci-legacy", &legacy_ops, p, size);
    pci_register_bar(dev, VIRTIO_PCI_LEGACY_BAR, PCI_BASE_ADDRESS_SPACE_IO, &p->legacy);
    /* §4.1.2.3 */
    le_store(dev->config + PCI_DEVICE_ID, device_id, 2);
    le_store(dev->config + PCI_SUBSYSTEM_ID, p->vdev->device_id, 2);
    dev->config[PCI_REVISION_ID] = VIRTIO_PCI_ABI_VERSION;
}
