/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The test driver's way to a virtio-mmio window (VIRTIO 1.4 §4.2), with the registers of version 2
 * and of version 1. The window is d->dev, and what it needs of the driver is found through
 * fake_mmio_reg.
 */
#include <linux/virtio_mmio.h>

#include "hw/virtio/virtio-mmio.h"
#include "tests/driver/fake-driver.h"

enum { PAGE = 4096 };

uint32_t fake_mmio_reg(FakeDriver *d, unsigned off)
{
    return (uint32_t)fake_read(d->m, FAKE_MMIO_BASE + off, 4);
}

void fake_mmio_reg_set(FakeDriver *d, unsigned off, uint32_t value)
{
    fake_write(d->m, FAKE_MMIO_BASE + off, value, 4);
}

/* Properties that the device does not have are the window's. */
static void set_props(Object *window, Object *dev, const char *props)
{
    for (char *item; (item = fake_next_prop(&props)); g_free(item)) {
        g_auto(GStrv) pair = g_strsplit(item, "=", 2);
        Object *obj = property_find(dev, pair[0], NULL) ? dev : window;
        g_autoptr(GError) err = NULL;

        if (!property_set_string(obj, pair[0], pair[1], &err)) {
            g_error("%s: %s", item, err->message);
        }
    }
}

static VirtIODevice *mmio_plug(FakeDriver *d, const char *device, const char *props, GError **err)
{
    g_autofree char *type = g_strconcat(device, "-device", NULL);
    Device *dev = fake_machine_make(d->m, type, "device0", NULL);
    Object *window;

    d->dev = fake_machine_make(d->m, "virtio-mmio", "window0", NULL);
    window = &d->dev->parent_obj;
    property_set_bool(window, "force-legacy", fake_cell_is_legacy(d->cell), NULL);
    property_set_uint(window, "base", FAKE_MMIO_BASE, NULL);
    set_props(window, &dev->parent_obj, props);
    virtio_mmio_connect_irq(d->dev, fake_machine_irq(d->m));
    g_assert(device_realize(d->dev, d->m->main_bus, NULL));
    return device_realize(dev, bus_find(d->m->main_bus, &virtio_bus_type), err) ? VIRTIO_DEVICE(dev)
                                                                                : NULL;
}

static void mmio_probe(FakeDriver *d)
{
    g_assert(fake_mmio_reg(d, VIRTIO_MMIO_MAGIC_VALUE) == VIRTIO_MMIO_MAGIC);
    if (fake_cell_is_legacy(d->cell)) {
        g_assert(fake_mmio_reg(d, VIRTIO_MMIO_VERSION) == 1);
        fake_mmio_reg_set(d, VIRTIO_MMIO_GUEST_PAGE_SIZE, PAGE);
    } else {
        g_assert(fake_mmio_reg(d, VIRTIO_MMIO_VERSION) == 2);
    }
}

static uint8_t mmio_status(FakeDriver *d)
{
    return (uint8_t)fake_mmio_reg(d, VIRTIO_MMIO_STATUS);
}

static void mmio_set_status(FakeDriver *d, uint8_t status)
{
    fake_mmio_reg_set(d, VIRTIO_MMIO_STATUS, status);
}

static uint64_t mmio_device_features(FakeDriver *d)
{
    uint64_t features = 0;

    for (unsigned i = 0; i < 2; i++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
        features |= (uint64_t)fake_mmio_reg(d, VIRTIO_MMIO_DEVICE_FEATURES) << 32 * i;
    }
    return features;
}

static void mmio_set_driver_features(FakeDriver *d, uint64_t features)
{
    for (unsigned i = 0; i < 2; i++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
        fake_mmio_reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES, (uint32_t)(features >> 32 * i));
    }
}

static unsigned mmio_queue_max(FakeDriver *d, unsigned q)
{
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, q);
    return fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_NUM_MAX);
}

static void write64(FakeDriver *d, unsigned off, uint64_t value)
{
    fake_mmio_reg_set(d, off, (uint32_t)value);
    fake_mmio_reg_set(d, off + 4, (uint32_t)(value >> 32));
}

/* FakeRing lays out a ring as legacy devices expect it, with pages. */
static void legacy_queue_enable(FakeDriver *d, uint16_t num, Gpa desc, Gpa driver, Gpa device)
{
    g_assert(desc.v % PAGE == 0 && driver.v == desc.v + 16u * num);
    g_assert(device.v == ((driver.v + 6 + 2u * num + PAGE - 1) & ~(uint64_t)(PAGE - 1)));
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_ALIGN, PAGE);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_PFN, (uint32_t)(desc.v / PAGE));
}

static void mmio_queue_enable(FakeDriver *d, unsigned q, uint16_t num, Gpa desc, Gpa driver,
                              Gpa device)
{
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, q);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, num);
    if (fake_cell_is_legacy(d->cell)) {
        legacy_queue_enable(d, num, desc, driver, device);
        return;
    }
    write64(d, VIRTIO_MMIO_QUEUE_DESC_LOW, desc.v);
    write64(d, VIRTIO_MMIO_QUEUE_AVAIL_LOW, driver.v);
    write64(d, VIRTIO_MMIO_QUEUE_USED_LOW, device.v);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void mmio_queue_reset(FakeDriver *d, unsigned q)
{
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, q);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_RESET, 1);
}

static void mmio_setup_interrupts(FakeDriver *d)
{
}

static void mmio_notify(FakeDriver *d, unsigned q)
{
    uint32_t data = d->features >> VIRTIO_F_NOTIFICATION_DATA & 1
                        ? (uint32_t)fake_ring_next(&d->rings[q]) << 16
                        : 0;

    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, q | data);
}

static uint64_t mmio_config_read(FakeDriver *d, unsigned off, unsigned size)
{
    return fake_read(d->m, FAKE_MMIO_BASE + VIRTIO_MMIO_CONFIG + off, size);
}

static void mmio_config_write(FakeDriver *d, unsigned off, uint64_t value, unsigned size)
{
    fake_write(d->m, FAKE_MMIO_BASE + VIRTIO_MMIO_CONFIG + off, value, size);
}

static uint32_t mmio_generation(FakeDriver *d)
{
    return fake_mmio_reg(d, VIRTIO_MMIO_CONFIG_GENERATION);
}

/* While the wire is high the handler reads the cause and acknowledges it, which lowers the wire. */
static bool mmio_interrupted(FakeDriver *d, int q)
{
    uint8_t bit = q < 0 ? VIRTIO_MMIO_INT_CONFIG : VIRTIO_MMIO_INT_VRING;
    bool seen;

    if (fake_irq_level(d->m)) {
        uint32_t cause = fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS);

        g_assert(cause != 0 && cause <= 3);
        d->isr_seen |= (uint8_t)cause;
        fake_mmio_reg_set(d, VIRTIO_MMIO_INTERRUPT_ACK, cause);
        g_assert(!fake_irq_level(d->m));
    }
    seen = d->isr_seen & bit;
    d->isr_seen &= (uint8_t)~bit;
    return seen;
}

const FakeTransport fake_mmio_transport = {
    .plug = mmio_plug,
    .probe = mmio_probe,
    .status = mmio_status,
    .set_status = mmio_set_status,
    .device_features = mmio_device_features,
    .set_driver_features = mmio_set_driver_features,
    .queue_max = mmio_queue_max,
    .queue_enable = mmio_queue_enable,
    .queue_reset = mmio_queue_reset,
    .setup_interrupts = mmio_setup_interrupts,
    .notify = mmio_notify,
    .config_read = mmio_config_read,
    .config_write = mmio_config_write,
    .generation = mmio_generation,
    .interrupted = mmio_interrupted,
};
