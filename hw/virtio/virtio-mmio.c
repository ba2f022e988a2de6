/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over MMIO (VIRTIO 1.4 §4.2), both register layouts: version 2, and version 1 of legacy
 * drivers (§4.2.4), where a queue is one block of pages. Control registers take aligned accesses of
 * 32 bits only; others read zero and are dropped. Kicks come through one eventfd per queue, told
 * apart by the value written, or by exit. Left out: shared memory regions (no device has one).
 *
 * Both layouts are little-endian, for legacy means the guest's byte order, and all guests here have
 * that one.
 *
 * Threads: the VM lock.
 */
#include <inttypes.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>

#include "core/code-place.h"
#include "core/log.h"
#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtqueue-internal.h"

enum { LEGACY_ALIGN = 4096 };

typedef struct {
    uint32_t align, pfn;
} LegacyQueue;

typedef struct VirtIOMMIOProxy {
    Device parent_obj;
    uint64_t base;          /* property */
    bool legacy, ioeventfd; /* properties */
    Bus *bus;               /* the child "virtio-mmio-bus.N"; NULL: not realized */
    VirtIODevice *vdev;     /* NULL: nothing is plugged */
    IoRegion regs;
    IrqLine irq;
    uint32_t device_features_sel, driver_features_sel, queue_sel;
    uint32_t page_size;  /* legacy; 0: not told */
    LegacyQueue *queues; /* one per queue of vdev */
} VirtIOMMIOProxy;

OBJECT_DECLARE(VirtIOMMIOProxy, virtio_mmio, VIRTIO_MMIO)

static VirtIOMMIOProxy *proxy_of(VirtioBus *vbus)
{
    return VIRTIO_MMIO(BUS(vbus)->parent);
}

/* --- the interrupt (§4.2.3.4): high while InterruptStatus is not zero --- */

static void update_irq(VirtIOMMIOProxy *p)
{
    irq_set(p->irq, virtio_isr_peek(p->vdev) != 0);
}

static void virtio_mmio_notify(VirtioBus *vbus, uint16_t vector, bool config)
{
    CODE_PLACE(virtio_mmio_notify);
    VirtIOMMIOProxy *p = proxy_of(vbus);

    virtio_isr_set(p->vdev, config ? VIRTIO_MMIO_INT_CONFIG : VIRTIO_MMIO_INT_VRING);
    update_irq(p);
}

/* --- doorbells: all queues share an address, the value tells which --- */

/* Data that come with a kick (§2.9) make its value another one each time. */
static IoRegion *virtio_mmio_doorbell(VirtioBus *vbus, unsigned n, IoEventfd *ret_event)
{
    CODE_PLACE(virtio_mmio_doorbell);
    VirtIOMMIOProxy *p = proxy_of(vbus);

    if (!p->ioeventfd || virtio_has_feature(p->vdev, VIRTIO_F_NOTIFICATION_DATA)) {
        return NULL;
    }
    *ret_event = (IoEventfd){.off = VIRTIO_MMIO_QUEUE_NOTIFY, .size = 4, .match = true, .value = n};
    return &p->regs;
}

/* --- reads --- */

static uint32_t legacy_get(VirtIOMMIOProxy *p, unsigned off)
{
    return off == VIRTIO_MMIO_QUEUE_PFN && virtio_get_queue(p->vdev, p->queue_sel)
               ? p->queues[p->queue_sel].pfn
               : 0;
}

static uint32_t modern_get(VirtIOMMIOProxy *p, unsigned off)
{
    switch (off) {
    case VIRTIO_MMIO_QUEUE_READY:
        return virtio_queue_enabled(p->vdev, p->queue_sel);
    case VIRTIO_MMIO_QUEUE_RESET: /* a reset is over before the write is */
        return 0;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
    case VIRTIO_MMIO_SHM_BASE_LOW:
    case VIRTIO_MMIO_SHM_BASE_HIGH:
        return UINT32_MAX; /* no region has any id */
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return p->vdev->config_generation;
    default:
        return 0;
    }
}

static uint32_t device_get(VirtIOMMIOProxy *p, unsigned off)
{
    VirtQueue *vq = virtio_get_queue(p->vdev, p->queue_sel);

    switch (off) {
    case VIRTIO_MMIO_DEVICE_ID:
        return p->vdev->device_id;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return virtio_offer_word(p->vdev, p->device_features_sel);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return vq ? virtqueue_max_size(vq) : 0;
    case VIRTIO_MMIO_INTERRUPT_STATUS:
        return virtio_isr_peek(p->vdev);
    case VIRTIO_MMIO_STATUS:
        return p->vdev->status;
    default:
        return p->legacy ? legacy_get(p, off) : modern_get(p, off);
    }
}

/* §4.2.2.1: an empty window says what it is, and device id 0. */
static uint32_t control_get(VirtIOMMIOProxy *p, unsigned off)
{
    switch (off) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return VIRTIO_MMIO_MAGIC;
    case VIRTIO_MMIO_VERSION:
        return p->legacy ? 1 : 2;
    case VIRTIO_MMIO_VENDOR_ID:
        return VIRTIO_MMIO_VENDOR;
    default:
        return p->vdev ? device_get(p, off) : 0;
    }
}

static uint64_t virtio_mmio_read(void *opaque, uint64_t off, unsigned size)
{
    VirtIOMMIOProxy *p = opaque;

    if (off >= VIRTIO_MMIO_CONFIG) {
        return p->vdev ? virtio_config_read(p->vdev, off - VIRTIO_MMIO_CONFIG, size) : 0;
    }
    if (size != 4) {
        log_guest("virtio-mmio: read of %u bytes at 0x%" PRIx64 ": registers have 4", size, off);
        return 0;
    }
    return control_get(p, (unsigned)off);
}

/* --- writes --- */

/* The setup of the selected queue while it may be changed, else NULL. */
static VirtQueueSetup *queue_setup(VirtIOMMIOProxy *p, unsigned off)
{
    VirtQueue *vq = virtio_get_queue(p->vdev, p->queue_sel);

    if (!vq || virtqueue_setup(vq)->enabled) {
        log_guest("virtio-mmio: write to 0x%x while queue %" PRIu32 " is %s", off, p->queue_sel,
                  vq ? "in use" : "not there");
        return NULL;
    }
    return virtqueue_setup(vq);
}

static void queue_set_size(VirtIOMMIOProxy *p, uint32_t value)
{
    VirtQueueSetup *s = queue_setup(p, VIRTIO_MMIO_QUEUE_NUM);

    if (!s) {
        return;
    }
    if (!virtqueue_size_ok(virtio_get_queue(p->vdev, p->queue_sel), value)) {
        log_guest("virtio-mmio: %" PRIu32 " is no size for queue %" PRIu32, value, p->queue_sel);
        return;
    }
    s->size = (uint16_t)value;
}

static void queue_set_address(VirtIOMMIOProxy *p, unsigned off, uint32_t value)
{
    VirtQueueSetup *s = queue_setup(p, off);
    bool high = off % 8 == 4;

    if (!s) {
        return;
    }
    switch (off & ~7U) {
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        virtqueue_setup_half(&s->desc, high, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        virtqueue_setup_half(&s->driver, high, value);
        break;
    default:
        virtqueue_setup_half(&s->device, high, value);
        break;
    }
}

static void modern_set(VirtIOMMIOProxy *p, unsigned off, uint32_t value)
{
    switch (off) {
    case VIRTIO_MMIO_QUEUE_READY:
        if (value == 0) {
            virtio_queue_disable(p->vdev, p->queue_sel);
        } else if (value == 1 && !virtio_queue_enabled(p->vdev, p->queue_sel)) {
            virtio_queue_enable(p->vdev, p->queue_sel);
        }
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        queue_set_address(p, off, value);
        break;
    case VIRTIO_MMIO_QUEUE_RESET:
        if (value == 1 && virtio_queue_reset_allowed(p->vdev)) {
            virtio_queue_reset(p->vdev, p->queue_sel);
        }
        break;
    case VIRTIO_MMIO_SHM_SEL:
        break; /* whichever it is, there is none */
    default:
        log_guest("virtio-mmio: write to 0x%x, which is read-only or no register", off);
        break;
    }
}

static void legacy_set_pfn(VirtIOMMIOProxy *p, uint32_t pfn)
{
    LegacyQueue *q = virtio_get_queue(p->vdev, p->queue_sel) ? &p->queues[p->queue_sel] : NULL;
    VirtQueueSetup *s;

    if (q && pfn == 0) {
        q->pfn = 0;
        virtio_queue_disable(p->vdev, p->queue_sel);
        return;
    }
    s = queue_setup(p, VIRTIO_MMIO_QUEUE_PFN);
    if (!s || p->page_size == 0) {
        return; /* without a page size the number says nothing */
    }
    q->pfn = pfn;
    virtqueue_setup_legacy(s, (uint64_t)pfn * p->page_size, q->align);
    virtio_queue_enable(p->vdev, p->queue_sel);
}

/* A power of 2 or nothing. */
static void legacy_set_power(uint32_t *field, unsigned off, uint32_t value)
{
    if (value == 0 || (value & (value - 1))) {
        log_guest("virtio-mmio: 0x%" PRIx32 " written to 0x%x is no power of 2", value, off);
        return;
    }
    *field = value;
}

static void legacy_set(VirtIOMMIOProxy *p, unsigned off, uint32_t value)
{
    switch (off) {
    case VIRTIO_MMIO_GUEST_PAGE_SIZE:
        legacy_set_power(&p->page_size, off, value);
        break;
    case VIRTIO_MMIO_QUEUE_ALIGN:
        if (queue_setup(p, off)) {
            legacy_set_power(&p->queues[p->queue_sel].align, off, value);
        }
        break;
    case VIRTIO_MMIO_QUEUE_PFN:
        legacy_set_pfn(p, value);
        break;
    default:
        log_guest("virtio-mmio: write to 0x%x, which is read-only or no register", off);
        break;
    }
}

/* §4.2.3.3: the ring's state may come along; the ring itself tells it. */
static uint32_t kicked_queue(VirtIOMMIOProxy *p, uint32_t value)
{
    return virtio_has_feature(p->vdev, VIRTIO_F_NOTIFICATION_DATA) ? value & 0xffff : value;
}

static void control_set(VirtIOMMIOProxy *p, unsigned off, uint32_t value)
{
    switch (off) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        p->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        virtio_set_guest_features_word(p->vdev, p->driver_features_sel, value);
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        p->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        p->queue_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
        queue_set_size(p, value);
        break;
    case VIRTIO_MMIO_QUEUE_NOTIFY:
        virtio_queue_notify(p->vdev, kicked_queue(p, value));
        break;
    case VIRTIO_MMIO_INTERRUPT_ACK:
        virtio_isr_clear(p->vdev, (uint8_t)value);
        update_irq(p);
        break;
    case VIRTIO_MMIO_STATUS:
        if (value <= UINT8_MAX) {
            virtio_set_status(p->vdev, (uint8_t)value);
        }
        break;
    default:
        if (p->legacy) {
            legacy_set(p, off, value);
        } else {
            modern_set(p, off, value);
        }
        break;
    }
}

static void virtio_mmio_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    CODE_PLACE(virtio_mmio_write);
    VirtIOMMIOProxy *p = opaque;

    if (!p->vdev) {
        return;
    }
    if (off >= VIRTIO_MMIO_CONFIG) {
        virtio_config_write(p->vdev, off - VIRTIO_MMIO_CONFIG, value, size);
    } else if (size == 4) {
        control_set(p, (unsigned)off, (uint32_t)value);
    } else {
        log_guest("virtio-mmio: write of %u bytes at 0x%" PRIx64 ": registers have 4", size, off);
    }
}

static const IoRegionOps virtio_mmio_ops = {.read = virtio_mmio_read, .write = virtio_mmio_write};

/* --- the bus between window and device --- */

static void legacy_forget(VirtIOMMIOProxy *p)
{
    for (unsigned n = 0; n < p->vdev->queues->len; n++) {
        p->queues[n].pfn = 0;
        p->queues[n].align = LEGACY_ALIGN;
    }
}

static bool virtio_mmio_device_plugged(VirtioBus *vbus, VirtIODevice *vdev, GError **err)
{
    VirtIOMMIOProxy *p = proxy_of(vbus);

    if (p->legacy && !virtio_legacy_check(vdev, err)) {
        return false;
    }
    p->vdev = vdev;
    p->queues = g_new0(LegacyQueue, vdev->queues->len);
    legacy_forget(p);
    vdev->host_features &= ~(UINT64_C(1) << VIRTIO_F_ADMIN_VQ); /* §4.2.5 */
    virtio_set_legacy(vdev, p->legacy);
    return true;
}

static void virtio_mmio_device_unplugged(VirtioBus *vbus, VirtIODevice *vdev)
{
    VirtIOMMIOProxy *p = proxy_of(vbus);

    g_clear_pointer(&p->queues, g_free);
    p->vdev = NULL;
}

/* The page size stays: Linux tells it once, then resets the device. */
static void virtio_mmio_device_reset(VirtioBus *vbus)
{
    VirtIOMMIOProxy *p = proxy_of(vbus);

    p->device_features_sel = p->driver_features_sel = p->queue_sel = 0;
    legacy_forget(p);
    update_irq(p);
}

static char *virtio_mmio_bus_address(Bus *bus, Device *dev)
{
    return g_strdup_printf("0x%" PRIx64, VIRTIO_MMIO(bus->parent)->base);
}

static uint16_t virtio_mmio_queue_selector(VirtioBus *vbus)
{
    return (uint16_t)proxy_of(vbus)->queue_sel;
}

static void virtio_mmio_bus_class_init(ObjectClass *klass, const void *data)
{
    VirtioBusClass *bc = VIRTIO_BUS_CLASS(klass);

    BUS_CLASS(klass)->device_address = virtio_mmio_bus_address;
    bc->features = UINT64_C(1) << VIRTIO_F_RING_RESET | UINT64_C(1) << VIRTIO_F_NOTIFICATION_DATA |
                   UINT64_C(1) << VIRTIO_F_ANY_LAYOUT | UINT64_C(1) << VIRTIO_F_NOTIFY_ON_EMPTY;
    bc->notify = virtio_mmio_notify;
    bc->device_plugged = virtio_mmio_device_plugged;
    bc->device_unplugged = virtio_mmio_device_unplugged;
    bc->doorbell = virtio_mmio_doorbell;
    bc->device_reset = virtio_mmio_device_reset;
    bc->queue_selector = virtio_mmio_queue_selector;
}

const TypeInfo virtio_mmio_bus_type = {
    .name = "virtio-mmio-bus",
    .parent = &virtio_bus_type,
    .class_init = virtio_mmio_bus_class_init,
};

/* --- the window --- */

void virtio_mmio_connect_irq(Device *dev, IrqLine irq)
{
    VIRTIO_MMIO(dev)->irq = irq;
}

VirtIODevice *virtio_mmio_device(Device *dev)
{
    return VIRTIO_MMIO(dev)->vdev;
}

/* How many windows sit before dev on its bus. */
static unsigned window_number(Device *dev)
{
    unsigned n = 0;

    for (unsigned i = 0; dev->bus->devices->pdata[i] != dev; i++) {
        n += object_is_a(dev->bus->devices->pdata[i], &virtio_mmio_type);
    }
    return n;
}

static bool virtio_mmio_realize(Device *dev, GError **err)
{
    VirtIOMMIOProxy *p = VIRTIO_MMIO(dev);
    g_autofree char *name = g_strdup_printf("virtio-mmio-bus.%u", window_number(dev));

    p->bus = bus_new(&virtio_mmio_bus_type, dev, name, device_platform(dev));
    io_region_init(&p->regs, "virtio-mmio", &virtio_mmio_ops, p, VIRTIO_MMIO_SIZE);
    aspace_map(device_platform(dev)->mmio, &p->regs, p->base, 0);
    return true;
}

/* The base class has unrealized the device on the bus. */
static void virtio_mmio_unrealize(Device *dev)
{
    VirtIOMMIOProxy *p = VIRTIO_MMIO(dev);

    io_region_finish(&p->regs);
    object_unparent(&p->bus->parent_obj);
    p->bus = NULL;
}

/* The device on the bus has been reset. */
static void virtio_mmio_reset(Device *dev)
{
    VIRTIO_MMIO(dev)->page_size = 0;
}

static void virtio_mmio_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = virtio_mmio_realize;
    dc->unrealize = virtio_mmio_unrealize;
    dc->reset = virtio_mmio_reset;
    dc->category = "misc";
}

static const Property virtio_mmio_props[] = {
    PROP_UINT64("base", VirtIOMMIOProxy, base, 0, 0, UINT64_MAX - VIRTIO_MMIO_SIZE,
                "address of its registers"),
    PROP_BOOL("force-legacy", VirtIOMMIOProxy, legacy, true,
              "version 1 of the registers, for legacy drivers; off: version 2"),
    PROP_BOOL("ioeventfd", VirtIOMMIOProxy, ioeventfd, true,
              "take kicks through eventfds, without an exit to the VMM"),
    PROP_END,
};

const TypeInfo virtio_mmio_type = {
    .name = "virtio-mmio",
    .parent = &device_type,
    .instance_size = sizeof(VirtIOMMIOProxy),
    .class_init = virtio_mmio_class_init,
    .props = virtio_mmio_props,
    .desc = "window of registers for one virtio device",
};
