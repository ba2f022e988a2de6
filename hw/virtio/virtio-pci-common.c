/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common configuration structure of virtio over PCI (VIRTIO 1.4 §4.1.4.3). Left out: the fields
 * of administration queues, which read as 0.
 */
#include <inttypes.h>
#include <linux/virtio_pci.h>

#include "core/log.h"
#include "hw/pci/msix.h"
#include "hw/virtio/virtio-pci-internal.h"
#include "hw/virtio/virtqueue-internal.h"

typedef struct {
    uint8_t off, size;
} Field;

static const Field common_fields[] = {
    {VIRTIO_PCI_COMMON_DFSELECT, 4},  {VIRTIO_PCI_COMMON_DF, 4},
    {VIRTIO_PCI_COMMON_GFSELECT, 4},  {VIRTIO_PCI_COMMON_GF, 4},
    {VIRTIO_PCI_COMMON_MSIX, 2},      {VIRTIO_PCI_COMMON_NUMQ, 2},
    {VIRTIO_PCI_COMMON_STATUS, 1},    {VIRTIO_PCI_COMMON_CFGGENERATION, 1},
    {VIRTIO_PCI_COMMON_Q_SELECT, 2},  {VIRTIO_PCI_COMMON_Q_SIZE, 2},
    {VIRTIO_PCI_COMMON_Q_MSIX, 2},    {VIRTIO_PCI_COMMON_Q_ENABLE, 2},
    {VIRTIO_PCI_COMMON_Q_NOFF, 2},    {VIRTIO_PCI_COMMON_Q_DESCLO, 4},
    {VIRTIO_PCI_COMMON_Q_DESCHI, 4},  {VIRTIO_PCI_COMMON_Q_AVAILLO, 4},
    {VIRTIO_PCI_COMMON_Q_AVAILHI, 4}, {VIRTIO_PCI_COMMON_Q_USEDLO, 4},
    {VIRTIO_PCI_COMMON_Q_USEDHI, 4},  {VIRTIO_PCI_COMMON_Q_NDATA, 2},
    {VIRTIO_PCI_COMMON_Q_RESET, 2},
};

static const Field *common_field_at(uint64_t off)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(common_fields); i++) {
        const Field *f = &common_fields[i];

        if (off >= f->off && off < f->off + f->size) {
            return f;
        }
    }
    return NULL;
}

/* 64-bit fields are pairs of dwords. */
static uint32_t half(Gpa gpa, unsigned which)
{
    return (uint32_t)(gpa.v >> 32 * which);
}

static uint32_t queue_get(VirtIOPCIProxy *p, unsigned off)
{
    VirtQueue *vq = virtio_get_queue(p->vdev, p->queue_select);
    const VirtQueueSetup *s = vq ? virtqueue_setup(vq) : NULL;

    if (!vq) {
        return off == VIRTIO_PCI_COMMON_Q_MSIX ? VIRTIO_MSI_NO_VECTOR : 0;
    }
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        return s->size;
    case VIRTIO_PCI_COMMON_Q_MSIX:
        return virtio_queue_vector(p->vdev, p->queue_select);
    case VIRTIO_PCI_COMMON_Q_ENABLE:
        return s->enabled;
    case VIRTIO_PCI_COMMON_Q_NOFF:
        return p->queue_select;
    case VIRTIO_PCI_COMMON_Q_NDATA:
        return virtio_has_feature(p->vdev, VIRTIO_F_NOTIF_CONFIG_DATA) ? p->queue_select : 0;
    case VIRTIO_PCI_COMMON_Q_RESET: /* a reset is over before the write is */
        return 0;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        return half(s->desc, off == VIRTIO_PCI_COMMON_Q_DESCHI);
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        return half(s->driver, off == VIRTIO_PCI_COMMON_Q_AVAILHI);
    default:
        return half(s->device, off == VIRTIO_PCI_COMMON_Q_USEDHI);
    }
}

static uint32_t common_get(VirtIOPCIProxy *p, unsigned off)
{
    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        return p->device_feature_select;
    case VIRTIO_PCI_COMMON_DF:
        return virtio_offer_word(p->vdev, p->device_feature_select);
    case VIRTIO_PCI_COMMON_GFSELECT:
        return p->driver_feature_select;
    case VIRTIO_PCI_COMMON_GF:
        return virtio_guest_features_word(p->vdev, p->driver_feature_select);
    case VIRTIO_PCI_COMMON_MSIX:
        return p->vdev->config_vector;
    case VIRTIO_PCI_COMMON_NUMQ:
        return p->vdev->queues->len;
    case VIRTIO_PCI_COMMON_STATUS:
        return p->vdev->status;
    case VIRTIO_PCI_COMMON_CFGGENERATION:
        return (uint8_t)p->vdev->config_generation;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        return p->queue_select;
    default:
        return queue_get(p, off);
    }
}

/* Reads of a field as a whole, of parts, and across fields all give what the bytes hold: none has
 * side effects. */
uint64_t virtio_pci_common_read(VirtIOPCIProxy *p, uint64_t off, unsigned size)
{
    const Field *f = common_field_at(off);
    uint64_t value = 0;

    if (f && f->off == off && f->size == size) {
        return common_get(p, f->off);
    }
    for (unsigned i = 0; i < size; i++) {
        f = common_field_at(off + i);
        if (f) {
            value |= (uint64_t)(uint8_t)(common_get(p, f->off) >> 8 * (off + i - f->off)) << 8 * i;
        }
    }
    return value;
}

/* Where the rings lie cannot change under a queue that is enabled. */
static void queue_set_place(VirtQueueSetup *s, unsigned off, uint32_t value)
{
    switch (off) {
    case VIRTIO_PCI_COMMON_Q_SIZE:
        s->size = (uint16_t)value;
        break;
    case VIRTIO_PCI_COMMON_Q_DESCLO:
    case VIRTIO_PCI_COMMON_Q_DESCHI:
        virtqueue_setup_half(&s->desc, off == VIRTIO_PCI_COMMON_Q_DESCHI, value);
        break;
    case VIRTIO_PCI_COMMON_Q_AVAILLO:
    case VIRTIO_PCI_COMMON_Q_AVAILHI:
        virtqueue_setup_half(&s->driver, off == VIRTIO_PCI_COMMON_Q_AVAILHI, value);
        break;
    case VIRTIO_PCI_COMMON_Q_USEDLO:
    case VIRTIO_PCI_COMMON_Q_USEDHI:
        virtqueue_setup_half(&s->device, off == VIRTIO_PCI_COMMON_Q_USEDHI, value);
        break;
    }
}

/* §4.1.4.3: the register is there once VIRTIO_F_RING_RESET is negotiated. */
static void queue_reset(VirtIOPCIProxy *p, unsigned n, uint32_t value)
{
    if (value == 1 && virtio_queue_reset_allowed(p->vdev)) {
        msix_vector_unuse(PCI_DEVICE(p), virtio_queue_vector(p->vdev, n));
        virtio_queue_reset(p->vdev, n);
    }
}

static void queue_set(VirtIOPCIProxy *p, unsigned off, uint32_t value)
{
    VirtQueue *vq = virtio_get_queue(p->vdev, p->queue_select);
    unsigned n = p->queue_select;

    if (!vq) {
        return;
    }
    if (off == VIRTIO_PCI_COMMON_Q_MSIX) {
        virtio_queue_set_vector(
            p->vdev, n,
            virtio_pci_vector_move(p, virtio_queue_vector(p->vdev, n), (uint16_t)value));
    } else if (off == VIRTIO_PCI_COMMON_Q_RESET) {
        queue_reset(p, n, value);
    } else if (off == VIRTIO_PCI_COMMON_Q_ENABLE) {
        if (value == 1 &&
            !virtio_queue_enabled(p->vdev, n)) { /* §4.1.4.3.2: 0 is not for the driver to write */
            virtio_queue_enable(p->vdev, n);
        }
    } else if (virtio_queue_enabled(p->vdev, n)) {
        log_guest("virtio-pci: queue %u is enabled, offset 0x%x of its setup cannot change", n,
                  off);
    } else if (off == VIRTIO_PCI_COMMON_Q_SIZE && !virtqueue_size_ok(vq, value)) {
        log_guest("virtio-pci: %" PRIu32 " is no size for queue %u of at most %u", value, n,
                  virtqueue_max_size(vq));
    } else {
        queue_set_place(virtqueue_setup(vq), off, value);
    }
}

static void common_set(VirtIOPCIProxy *p, unsigned off, uint32_t value)
{
    switch (off) {
    case VIRTIO_PCI_COMMON_DFSELECT:
        p->device_feature_select = value;
        break;
    case VIRTIO_PCI_COMMON_GFSELECT:
        p->driver_feature_select = value;
        break;
    case VIRTIO_PCI_COMMON_GF:
        virtio_set_guest_features_word(p->vdev, p->driver_feature_select, value);
        break;
    case VIRTIO_PCI_COMMON_MSIX:
        p->vdev->config_vector = virtio_pci_vector_move(p, p->vdev->config_vector, (uint16_t)value);
        break;
    case VIRTIO_PCI_COMMON_STATUS:
        virtio_set_status(p->vdev, (uint8_t)value);
        break;
    case VIRTIO_PCI_COMMON_Q_SELECT:
        p->queue_select = (uint16_t)value;
        break;
    case VIRTIO_PCI_COMMON_DF:
    case VIRTIO_PCI_COMMON_NUMQ:
    case VIRTIO_PCI_COMMON_CFGGENERATION:
    case VIRTIO_PCI_COMMON_Q_NOFF:
    case VIRTIO_PCI_COMMON_Q_NDATA:
        break; /* read-only */
    default:
        queue_set(p, off, value);
    }
}

/* §4.1.3.1: fields are written whole, 64-bit ones also as two dwords. */
void virtio_pci_common_write(VirtIOPCIProxy *p, uint64_t off, uint64_t value, unsigned size)
{
    const Field *f = common_field_at(off);

    if (size == 8 && off >= VIRTIO_PCI_COMMON_Q_DESCLO && off % 8 == 0) {
        virtio_pci_common_write(p, off, (uint32_t)value, 4);
        virtio_pci_common_write(p, off + 4, value >> 32, 4);
    } else if (f && f->off == off && f->size == size) {
        common_set(p, f->off, (uint32_t)value);
    } else {
        log_guest("virtio-pci: write of %u bytes at 0x%" PRIx64 " of the common configuration",
                  size, off);
    }
}
