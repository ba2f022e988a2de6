/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test driver's way to a transitional virtio-pci function by its legacy interface (VIRTIO 1.4
 * §4.1.4.10): port I/O at BAR 0. Interrupts, identity and all of configuration space are as in
 * fake-pci.c.
 */
#include <linux/virtio_pci.h>

#include "hw/virtio/virtio-pci.h"
#include "tests/driver/fake-driver.h"

uint32_t fake_legacy_read(FakeDriver *d, unsigned off, unsigned size)
{
    uint64_t value = 0;

    aspace_read(d->m->p.pio, d->common + off, size, &value);
    return (uint32_t)value;
}

void fake_legacy_write(FakeDriver *d, unsigned off, uint32_t value, unsigned size)
{
    aspace_write(d->m->p.pio, d->common + off, value, size);
}

static VirtIODevice *legacy_plug(FakeDriver *d, const char *device, const char *props, GError **err)
{
    g_autofree char *all = g_strconcat(props, *props ? "," : "", "disable-legacy=off", NULL);

    return fake_pci_transport.plug(d, device, all, err);
}

static void legacy_probe(FakeDriver *d)
{
    d->devfn = PCI_DEVICE(d->dev)->devfn;
    fake_driver_set_dma(d, true);
    d->common = fake_pci_cfg(d, PCI_BASE_ADDRESS_0, 4) & PCI_BASE_ADDRESS_IO_MASK;
}

static uint8_t legacy_status(FakeDriver *d)
{
    return (uint8_t)fake_legacy_read(d, VIRTIO_PCI_STATUS, 1);
}

static void legacy_set_status(FakeDriver *d, uint8_t status)
{
    fake_legacy_write(d, VIRTIO_PCI_STATUS, status, 1);
}

static uint64_t legacy_device_features(FakeDriver *d)
{
    return fake_legacy_read(d, VIRTIO_PCI_HOST_FEATURES, 4);
}

static void legacy_set_driver_features(FakeDriver *d, uint64_t features)
{
    fake_legacy_write(d, VIRTIO_PCI_GUEST_FEATURES, (uint32_t)features, 4);
}

static unsigned legacy_queue_max(FakeDriver *d, unsigned q)
{
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_SEL, q, 2);
    return fake_legacy_read(d, VIRTIO_PCI_QUEUE_NUM, 2);
}

/* FakeRing lays out a ring as legacy devices expect it. */
static void legacy_queue_enable(FakeDriver *d, unsigned q, uint16_t num, Gpa desc, Gpa driver,
                                Gpa device)
{
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_SEL, q, 2);
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_PFN, (uint32_t)(desc.v >> 12), 4);
}

static void legacy_setup_interrupts(FakeDriver *d)
{
    unsigned vectors = fake_pci_enable_msix(d);

    if (vectors == 0) {
        return;
    }
    fake_legacy_write(d, VIRTIO_MSI_CONFIG_VECTOR, 0, 2);
    for (unsigned q = 0; q + 1 < vectors; q++) {
        fake_legacy_write(d, VIRTIO_PCI_QUEUE_SEL, q, 2);
        fake_legacy_write(d, VIRTIO_MSI_QUEUE_VECTOR, q + 1, 2);
    }
}

static void legacy_notify(FakeDriver *d, unsigned q)
{
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_NOTIFY, q, 2);
}

static unsigned config_off(FakeDriver *d)
{
    unsigned cap = fake_pci_std_cap(d, PCI_CAP_ID_MSIX);
    bool msix = cap && fake_pci_cfg(d, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_ENABLE;

    return VIRTIO_PCI_CONFIG_OFF(msix);
}

static uint64_t legacy_config_read(FakeDriver *d, unsigned off, unsigned size)
{
    uint64_t low = fake_legacy_read(d, config_off(d) + off, MIN(size, 4));

    return size < 8 ? low : low | legacy_config_read(d, off + 4, 4) << 32;
}

static void legacy_config_write(FakeDriver *d, unsigned off, uint64_t value, unsigned size)
{
    fake_legacy_write(d, config_off(d) + off, (uint32_t)value, MIN(size, 4));
    if (size == 8) { /* ports have 4 bytes at most */
        legacy_config_write(d, off + 4, value >> 32, 4);
    }
}

static uint32_t legacy_generation(FakeDriver *d)
{
    return 0; /* there is none */
}

static bool legacy_interrupted(FakeDriver *d, int q)
{
    uint8_t bit = q < 0 ? VIRTIO_PCI_ISR_CONFIG : 1;
    bool seen;

    if (!(d->cell & FAKE_INTX)) {
        return fake_pci_transport.interrupted(d, q);
    }
    if (fake_irq_level(d->m)) {
        d->isr_seen |= (uint8_t)fake_legacy_read(d, VIRTIO_PCI_ISR, 1);
        g_assert(!fake_irq_level(d->m));
    }
    seen = d->isr_seen & bit;
    d->isr_seen &= (uint8_t)~bit;
    return seen;
}

const FakeTransport fake_pci_legacy_transport = {
    .plug = legacy_plug,
    .probe = legacy_probe,
    .status = legacy_status,
    .set_status = legacy_set_status,
    .device_features = legacy_device_features,
    .set_driver_features = legacy_set_driver_features,
    .queue_max = legacy_queue_max,
    .queue_enable = legacy_queue_enable,
    .setup_interrupts = legacy_setup_interrupts,
    .notify = legacy_notify,
    .config_read = legacy_config_read,
    .config_write = legacy_config_write,
    .generation = legacy_generation,
    .interrupted = legacy_interrupted,
};
