/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test driver's way to a modern virtio-pci function (VIRTIO 1.4 §4.1): configuration cycles,
 * BARs, MSI-X or INTx.
 */
#include <linux/virtio_pci.h>

#include "core/le.h"
#include "hw/pci/pci.h"
#include "tests/driver/fake-driver.h"

enum { MSI_ADDR = 0xfee00000, MSI_DATA = 0x4000 };

uint32_t fake_pci_cfg(FakeDriver *d, unsigned off, unsigned size)
{
    return fake_cfg_read(d->m, d->devfn, off, size);
}

void fake_pci_cfg_set(FakeDriver *d, unsigned off, uint32_t value, unsigned size)
{
    fake_cfg_write(d->m, d->devfn, off, value, size);
}

unsigned fake_pci_std_cap(FakeDriver *d, uint8_t id)
{
    unsigned at = fake_pci_cfg(d, PCI_CAPABILITY_LIST, 1);

    while (at && fake_pci_cfg(d, at, 1) != id) {
        at = fake_pci_cfg(d, at + PCI_CAP_LIST_NEXT, 1);
    }
    return at;
}

unsigned fake_pci_cap(FakeDriver *d, unsigned type, unsigned nth)
{
    unsigned at = fake_pci_cfg(d, PCI_CAPABILITY_LIST, 1);

    for (; at; at = fake_pci_cfg(d, at + PCI_CAP_LIST_NEXT, 1)) {
        if (fake_pci_cfg(d, at, 1) == PCI_CAP_ID_VNDR &&
            fake_pci_cfg(d, at + VIRTIO_PCI_CAP_CFG_TYPE, 1) == type && nth-- == 0) {
            return at;
        }
    }
    return 0;
}

uint64_t fake_pci_bar(FakeDriver *d, unsigned bar)
{
    uint32_t low = fake_pci_cfg(d, PCI_BASE_ADDRESS_0 + 4 * bar, 4);
    uint64_t addr = low & PCI_BASE_ADDRESS_MEM_MASK;

    if ((low & PCI_BASE_ADDRESS_MEM_TYPE_MASK) == PCI_BASE_ADDRESS_MEM_TYPE_64) {
        addr |= (uint64_t)fake_pci_cfg(d, PCI_BASE_ADDRESS_0 + 4 * bar + 4, 4) << 32;
    }
    return addr;
}

/* Where the structure of that type lies, and its length; 0: there is none. */
static uint64_t locate(FakeDriver *d, unsigned type, uint32_t *ret_len)
{
    unsigned cap = fake_pci_cap(d, type, 0);

    if (!cap) {
        return 0;
    }
    if (ret_len) {
        *ret_len = fake_pci_cfg(d, cap + VIRTIO_PCI_CAP_LENGTH, 4);
    }
    return fake_pci_bar(d, fake_pci_cfg(d, cap + VIRTIO_PCI_CAP_BAR, 1)) +
           fake_pci_cfg(d, cap + VIRTIO_PCI_CAP_OFFSET, 4);
}

static VirtIODevice *pci_plug(FakeDriver *d, const char *device, const char *props, GError **err)
{
    g_autofree char *type = g_strconcat(device, "-pci", NULL);

    d->dev = fake_machine_add(d->m, type, "device0", props, err);
    return d->dev ? VIRTIO_DEVICE(object_child(&d->dev->parent_obj, "virtio-backend")) : NULL;
}

static void pci_probe(FakeDriver *d)
{
    d->devfn = PCI_DEVICE(d->dev)->devfn;
    fake_driver_set_dma(d, true);
    d->common = locate(d, VIRTIO_PCI_CAP_COMMON_CFG, NULL);
    d->isr = locate(d, VIRTIO_PCI_CAP_ISR_CFG, NULL);
    d->device = locate(d, VIRTIO_PCI_CAP_DEVICE_CFG, &d->device_len);
    d->notify = locate(d, VIRTIO_PCI_CAP_NOTIFY_CFG, &d->notify_len);
    d->notify_multiplier = fake_pci_cfg(
        d, fake_pci_cap(d, VIRTIO_PCI_CAP_NOTIFY_CFG, 0) + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
}

uint64_t fake_common_read(FakeDriver *d, unsigned off, unsigned size)
{
    return fake_read(d->m, d->common + off, size);
}

void fake_common_write(FakeDriver *d, unsigned off, uint64_t value, unsigned size)
{
    fake_write(d->m, d->common + off, value, size);
}

static uint8_t pci_status(FakeDriver *d)
{
    return (uint8_t)fake_common_read(d, VIRTIO_PCI_COMMON_STATUS, 1);
}

static void pci_set_status(FakeDriver *d, uint8_t status)
{
    fake_common_write(d, VIRTIO_PCI_COMMON_STATUS, status, 1);
}

static uint64_t pci_device_features(FakeDriver *d)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < 2; i++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT, i, 4);
        features |= fake_common_read(d, VIRTIO_PCI_COMMON_DF, 4) << 32 * i;
    }
    return features;
}

static void pci_set_driver_features(FakeDriver *d, uint64_t features)
{
    for (unsigned i = 0; i < 2; i++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
        fake_common_write(d, VIRTIO_PCI_COMMON_GF, (uint32_t)(features >> 32 * i), 4);
    }
}

static unsigned pci_queue_max(FakeDriver *d, unsigned q)
{
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
    return (unsigned)fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2);
}

static void write64(FakeDriver *d, unsigned off, uint64_t value)
{
    fake_common_write(d, off, (uint32_t)value, 4);
    fake_common_write(d, off + 4, value >> 32, 4);
}

static void pci_queue_enable(FakeDriver *d, unsigned q, uint16_t num, Gpa desc, Gpa driver,
                             Gpa device)
{
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SIZE, num, 2);
    write64(d, VIRTIO_PCI_COMMON_Q_DESCLO, desc.v);
    write64(d, VIRTIO_PCI_COMMON_Q_AVAILLO, driver.v);
    write64(d, VIRTIO_PCI_COMMON_Q_USEDLO, device.v);
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
}

static void pci_queue_reset(FakeDriver *d, unsigned q)
{
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
}

void fake_pci_map_vector(FakeDriver *d, int q, uint16_t vector)
{
    if (q < 0) {
        fake_common_write(d, VIRTIO_PCI_COMMON_MSIX, vector, 2);
    } else {
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, (unsigned)q, 2);
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_MSIX, vector, 2);
    }
}

unsigned fake_pci_enable_msix(FakeDriver *d)
{
    unsigned cap = fake_pci_std_cap(d, PCI_CAP_ID_MSIX), vectors;
    uint64_t table;

    if (d->cell & FAKE_INTX || !cap) {
        return 0;
    }
    vectors = (fake_pci_cfg(d, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE) + 1;
    table = fake_pci_bar(d, fake_pci_cfg(d, cap + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_BIR);
    for (unsigned v = 0; v < vectors; v++) {
        fake_write(d->m, table + 16 * v + PCI_MSIX_ENTRY_LOWER_ADDR, MSI_ADDR, 4);
        fake_write(d->m, table + 16 * v + PCI_MSIX_ENTRY_UPPER_ADDR, 0, 4);
        fake_write(d->m, table + 16 * v + PCI_MSIX_ENTRY_DATA, MSI_DATA + v, 4);
        fake_write(d->m, table + 16 * v + PCI_MSIX_ENTRY_VECTOR_CTRL, 0, 4);
    }
    fake_pci_cfg_set(d, cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
    return vectors;
}

/* Vector 0 tells configuration changes, vector q + 1 queue q; each message says its vector. */
static void pci_setup_interrupts(FakeDriver *d)
{
    unsigned vectors = fake_pci_enable_msix(d);

    if (vectors == 0) {
        return;
    }
    fake_pci_map_vector(d, -1, 0);
    for (unsigned q = 0; q + 1 < vectors; q++) {
        fake_pci_map_vector(d, (int)q, (uint16_t)(q + 1));
    }
}

static void pci_notify(FakeDriver *d, unsigned q)
{
    uint64_t off;
    uint32_t data = q;

    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
    off = fake_common_read(d, VIRTIO_PCI_COMMON_Q_NOFF, 2);
    if (d->features >> VIRTIO_F_NOTIF_CONFIG_DATA & 1) {
        data = (uint32_t)fake_common_read(d, VIRTIO_PCI_COMMON_Q_NDATA, 2);
    }
    if (d->features >> VIRTIO_F_NOTIFICATION_DATA & 1) { /* §2.9 */
        data |= (uint32_t)fake_ring_next(&d->rings[q]) << 16;
        fake_write(d->m, d->notify + off * d->notify_multiplier, data, 4);
    } else {
        fake_write(d->m, d->notify + off * d->notify_multiplier, data, 2);
    }
}

static uint64_t pci_device_config_read(FakeDriver *d, unsigned off, unsigned size)
{
    return fake_read(d->m, d->device + off, size);
}

static void pci_device_config_write(FakeDriver *d, unsigned off, uint64_t value, unsigned size)
{
    fake_write(d->m, d->device + off, value, size);
}

static uint32_t pci_generation(FakeDriver *d)
{
    return (uint32_t)fake_common_read(d, VIRTIO_PCI_COMMON_CFGGENERATION, 1);
}

static void collect_messages(FakeDriver *d)
{
    for (; d->msi_seen < d->m->msi.n; d->msi_seen++) {
        unsigned vector = d->m->msi.sent[d->msi_seen % FAKE_MSI_MAX].data - MSI_DATA;

        g_assert(vector <= FAKE_QUEUES_MAX);
        d->pending[vector == 0 ? FAKE_QUEUES_MAX : vector - 1]++;
    }
}

/* INTx: while the wire is high the handler reads ISR, which tells the cause and lowers the wire. */
static bool intx_interrupted(FakeDriver *d, int q)
{
    uint8_t bit = q < 0 ? VIRTIO_PCI_ISR_CONFIG : 1;
    bool seen;

    if (fake_irq_level(d->m)) {
        d->isr_seen |= (uint8_t)fake_read(d->m, d->isr, 1);
        g_assert(!fake_irq_level(d->m));
    }
    seen = d->isr_seen & bit;
    d->isr_seen &= (uint8_t)~bit;
    return seen;
}

static bool pci_interrupted(FakeDriver *d, int q)
{
    unsigned *pending = &d->pending[q < 0 ? FAKE_QUEUES_MAX : q];
    bool seen;

    if (d->cell & FAKE_INTX) {
        return intx_interrupted(d, q);
    }
    pthread_mutex_lock(&d->m->msi.lock);
    collect_messages(d);
    pthread_mutex_unlock(&d->m->msi.lock);
    seen = *pending > 0;
    *pending = 0;
    return seen;
}

const FakeTransport fake_pci_transport = {
    .plug = pci_plug,
    .probe = pci_probe,
    .status = pci_status,
    .set_status = pci_set_status,
    .device_features = pci_device_features,
    .set_driver_features = pci_set_driver_features,
    .queue_max = pci_queue_max,
    .queue_enable = pci_queue_enable,
    .queue_reset = pci_queue_reset,
    .setup_interrupts = pci_setup_interrupts,
    .notify = pci_notify,
    .config_read = pci_device_config_read,
    .config_write = pci_device_config_write,
    .generation = pci_generation,
    .interrupted = pci_interrupted,
};
