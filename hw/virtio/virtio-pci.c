/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over PCI (VIRTIO 1.4 §4.1): one proxy function for all device types. Its modern
 * structures lie in one memory BAR (virtio-pci.h), MSI-X in another; without MSI-X it interrupts by
 * INTx and the ISR byte. Kicks come through one eventfd per queue, or by exit. The legacy
 * interface is in virtio-pci-legacy.c. Left out: administration queues. Data with a kick
 * (VIRTIO_F_NOTIFICATION_DATA) is not looked at: the place of a kick tells the queue, and the ring
 * tells the rest.
 *
 * Threads: the VM lock, but for virtio_pci_notify_unlocked, which iothreads call.
 */
#include <inttypes.h>
#include <linux/virtio_pci.h>

#include "core/code-place.h"
#include "core/log.h"
#include "hw/pci/msix.h"
#include "hw/pci/pcie.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-pci-internal.h"
#include "hw/virtio/virtqueue-internal.h"

enum {
    PCI_VENDOR_VIRTIO = 0x1af4,
    PCI_DEVICE_VIRTIO_BASE = 0x1040, /* §4.1.2.1: plus the virtio device id */
    PCI_SUBDEVICE_VIRTIO = 0x1100,
    SECTION_SIZE = 0x1000, /* each structure has a 4 KiB page of the BAR */
    BAR_SIZE = 0x4000,
    COMMON_LEN = 64, /* to admin_queue_num, §4.1.4.3 */
    VECTORS_AUTO = -1,
    VECTORS_MAX = 2048,
    PORTS_MAX = 256, /* in one BAR (PCI 3.0 §6.2.5.1) */
};

enum { ON_OFF_AUTO, ON, OFF }; /* on_off_auto */

static VirtIOPCIProxy *proxy_of(VirtioBus *vbus)
{
    return VIRTIO_PCI(BUS(vbus)->parent);
}

/* --- interrupts (§4.1.4.5, §4.1.5.3, §4.1.5.4) --- */

static void update_intx(VirtIOPCIProxy *p)
{
    pci_set_intx(PCI_DEVICE(p), !msix_enabled(PCI_DEVICE(p)) && virtio_isr_peek(p->vdev) != 0);
}

static void virtio_pci_notify(VirtioBus *vbus, uint16_t vector, bool config)
{
    CODE_PLACE(virtio_pci_notify);
    VirtIOPCIProxy *p = proxy_of(vbus);
    PciDevice *dev = PCI_DEVICE(p);

    if (!msix_enabled(dev)) {
        virtio_isr_set(p->vdev, config ? VIRTIO_ISR_CONFIG : VIRTIO_ISR_QUEUE);
        update_intx(p);
        return;
    }
    if (config) {
        virtio_isr_set(p->vdev, VIRTIO_ISR_CONFIG);
    }
    if (vector != VIRTIO_MSI_NO_VECTOR) {
        msix_notify(dev, vector);
    }
}

static bool virtio_pci_notify_unlocked(VirtioBus *vbus, uint16_t vector)
{
    PciDevice *dev = PCI_DEVICE(proxy_of(vbus));

    if (!msix_enabled(dev)) {
        return false;
    }
    if (vector != VIRTIO_MSI_NO_VECTOR) {
        msix_notify(dev, vector);
    }
    return true;
}

/* --- the same for somebody outside: the kernel's vhost --- */

static int virtio_pci_notifier(VirtioBus *vbus, uint16_t vector)
{
    return msix_eventfd(PCI_DEVICE(proxy_of(vbus)), vector);
}

static void notifier_changed(PciDevice *dev, uint16_t vector, int eventfd)
{
    virtio_vector_changed(VIRTIO_PCI(dev)->vdev, vector, eventfd);
}

uint8_t virtio_pci_isr_read(VirtIOPCIProxy *p)
{
    uint8_t isr = virtio_isr_read(p->vdev);

    update_intx(p);
    return isr;
}

uint16_t virtio_pci_vector_move(VirtIOPCIProxy *p, uint16_t old, uint16_t vector)
{
    PciDevice *dev = PCI_DEVICE(p);

    if (vector >= msix_vectors(dev)) {
        vector = VIRTIO_MSI_NO_VECTOR;
    }
    if (vector != old) {
        msix_vector_unuse(dev, old);
        msix_vector_use(dev, vector);
    }
    return vector;
}

/*
 * The place of a kick tells the queue; by the legacy interface its value does. With a place among
 * the I/O ports, a driver that does without them leaves their decoding off.
 */
static IoRegion *virtio_pci_doorbell(VirtioBus *vbus, unsigned n, IoEventfd *ret_event)
{
    CODE_PLACE(virtio_pci_doorbell);
    VirtIOPCIProxy *p = proxy_of(vbus);

    if (!p->ioeventfd) {
        return NULL;
    }
    if (p->vdev->legacy) {
        *ret_event =
            (IoEventfd){.off = VIRTIO_PCI_QUEUE_NOTIFY, .size = 2, .match = true, .value = n};
        return &p->legacy;
    }
    *ret_event = (IoEventfd){.off = (uint64_t)n * VIRTIO_PCI_NOTIFY_MULTIPLIER};
    if (p->notify_io.size && PCI_DEVICE(p)->config[PCI_COMMAND] & PCI_COMMAND_IO) {
        return &p->notify_io;
    }
    ret_event->off += VIRTIO_PCI_NOTIFY_OFF;
    return &p->structures;
}

/* --- the BARs --- */

static uint64_t structures_read(void *opaque, uint64_t off, unsigned size)
{
    VirtIOPCIProxy *p = opaque;
    uint64_t in_section = off % SECTION_SIZE;

    switch (off - in_section) {
    case VIRTIO_PCI_COMMON_OFF:
        return virtio_pci_common_read(p, in_section, size);
    case VIRTIO_PCI_ISR_OFF:
        return in_section == 0 ? virtio_pci_isr_read(p) : 0;
    case VIRTIO_PCI_DEVICE_OFF:
        return virtio_config_read(p->vdev, in_section, size);
    default:
        return 0;
    }
}

static void structures_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    CODE_PLACE(structures_write);
    VirtIOPCIProxy *p = opaque;
    uint64_t in_section = off % SECTION_SIZE;

    switch (off - in_section) {
    case VIRTIO_PCI_COMMON_OFF:
        virtio_pci_use_legacy(p, false);
        virtio_pci_common_write(p, in_section, value, size);
        break;
    case VIRTIO_PCI_DEVICE_OFF:
        virtio_config_write(p->vdev, in_section, value, size);
        break;
    case VIRTIO_PCI_NOTIFY_OFF: /* §4.1.5.2: the place tells the queue */
        virtio_queue_notify(p->vdev, (unsigned)in_section / VIRTIO_PCI_NOTIFY_MULTIPLIER);
        break;
    }
}

static const IoRegionOps structures_ops = {.read = structures_read, .write = structures_write};

static uint64_t notify_io_read(void *opaque, uint64_t off, unsigned size)
{
    return 0;
}

static void notify_io_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    CODE_PLACE(notify_io_write);
    virtio_queue_notify(((VirtIOPCIProxy *)opaque)->vdev,
                        (unsigned)off / VIRTIO_PCI_NOTIFY_MULTIPLIER);
}

static const IoRegionOps notify_io_ops = {.read = notify_io_read, .write = notify_io_write};

static uint64_t msix_bar_read(void *opaque, uint64_t off, unsigned size)
{
    VirtIOPCIProxy *p = opaque;

    if (off >= p->msix_pba) {
        return msix_pba_read(PCI_DEVICE(p), (uint32_t)off - p->msix_pba, size);
    }
    return msix_table_read(PCI_DEVICE(p), (uint32_t)off, size);
}

static void msix_bar_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    VirtIOPCIProxy *p = opaque;

    if (off < p->msix_pba) {
        msix_table_write(PCI_DEVICE(p), (uint32_t)off, value, size);
    }
}

static const IoRegionOps msix_bar_ops = {.read = msix_bar_read, .write = msix_bar_write};

/* --- configuration space --- */

static bool overlaps(uint32_t off, unsigned size, uint32_t begin, unsigned len)
{
    return off < begin + len && begin < off + size;
}

/* §4.1.4.9: the BAR access that the capability describes; NULL: none that can be done. */
static IoRegion *pci_cfg_target(VirtIOPCIProxy *p, uint32_t *ret_off, unsigned *ret_len)
{
    const uint8_t *cap = PCI_DEVICE(p)->config + p->pci_cfg;
    uint32_t off = (uint32_t)le_load(cap + VIRTIO_PCI_CAP_OFFSET, 4);
    uint32_t len = (uint32_t)le_load(cap + VIRTIO_PCI_CAP_LENGTH, 4);
    uint8_t bar = cap[VIRTIO_PCI_CAP_BAR];
    IoRegion *region = bar < PCI_BARS ? PCI_DEVICE(p)->bars[bar].region : NULL;

    if (!region || (len != 1 && len != 2 && len != 4) || off % len || off > region->size - len) {
        return NULL;
    }
    *ret_off = off;
    *ret_len = len;
    return region;
}

static void virtio_pci_config_read(PciDevice *dev, uint32_t off, unsigned size)
{
    VirtIOPCIProxy *p = VIRTIO_PCI(dev);
    uint8_t data = p->pci_cfg + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
    uint32_t at;
    unsigned len;

    if (p->pci_cfg && overlaps(off, size, data, 4)) {
        IoRegion *region = pci_cfg_target(p, &at, &len);

        le_store(dev->config + data, region ? region->ops->read(region->opaque, at, len) : 0, 4);
    }
}

static void virtio_pci_config_write(PciDevice *dev, uint32_t off, uint32_t value, unsigned size)
{
    VirtIOPCIProxy *p = VIRTIO_PCI(dev);
    uint8_t data = p->pci_cfg + offsetof(struct virtio_pci_cfg_cap, pci_cfg_data);
    uint32_t at;
    unsigned len;

    if (p->pci_cfg && overlaps(off, size, data, 4)) {
        IoRegion *region = pci_cfg_target(p, &at, &len);

        if (region) {
            region->ops->write(region->opaque, at, le_load(dev->config + data, len), len);
        }
    }
    update_intx(p); /* MSI-X may have come or gone */
    if (overlaps(off, size, PCI_COMMAND, 2)) {
        virtio_set_dma_allowed(p->vdev, pci_bus_master(dev));
    }
}

static uint8_t add_cap(VirtIOPCIProxy *p, uint8_t type, uint8_t size, uint32_t off, uint32_t len)
{
    PciDevice *dev = PCI_DEVICE(p);
    uint8_t at = pci_add_capability(dev, PCI_CAP_ID_VNDR, size);
    uint8_t *cap = dev->config + at;

    cap[VIRTIO_PCI_CAP_LEN] = size;
    cap[VIRTIO_PCI_CAP_CFG_TYPE] = type;
    cap[VIRTIO_PCI_CAP_BAR] = VIRTIO_PCI_BAR;
    le_store(cap + VIRTIO_PCI_CAP_OFFSET, off, 4);
    le_store(cap + VIRTIO_PCI_CAP_LENGTH, len, 4);
    return at;
}

static void add_notify_cap(VirtIOPCIProxy *p, uint8_t bar, uint32_t off, uint32_t len)
{
    uint8_t at =
        add_cap(p, VIRTIO_PCI_CAP_NOTIFY_CFG, sizeof(struct virtio_pci_notify_cap), off, len);
    uint8_t *cap = PCI_DEVICE(p)->config + at;

    cap[VIRTIO_PCI_CAP_BAR] = bar;
    le_store(cap + VIRTIO_PCI_NOTIFY_CAP_MULT, VIRTIO_PCI_NOTIFY_MULTIPLIER, 4);
}

static void add_capabilities(VirtIOPCIProxy *p)
{
    PciDevice *dev = PCI_DEVICE(p);
    uint32_t notify_len =
        MAX(p->vdev->queues->len * VIRTIO_PCI_NOTIFY_MULTIPLIER, VIRTIO_PCI_NOTIFY_MULTIPLIER);

    add_cap(p, VIRTIO_PCI_CAP_COMMON_CFG, sizeof(struct virtio_pci_cap), VIRTIO_PCI_COMMON_OFF,
            COMMON_LEN);
    add_cap(p, VIRTIO_PCI_CAP_ISR_CFG, sizeof(struct virtio_pci_cap), VIRTIO_PCI_ISR_OFF, 1);
    /* Also where there is nothing to configure: clients that know QEMU take a device without it for
     * a legacy one, and Linux refuses a length of 0. */
    add_cap(p, VIRTIO_PCI_CAP_DEVICE_CFG, sizeof(struct virtio_pci_cap), VIRTIO_PCI_DEVICE_OFF,
            MAX((uint32_t)p->vdev->config_size, 4));
    if (p->notify_io.size) { /* §4.1.4: of several, the driver takes the first one it can */
        add_notify_cap(p, VIRTIO_PCI_NOTIFY_IO_BAR, 0, notify_len);
    }
    add_notify_cap(p, VIRTIO_PCI_BAR, VIRTIO_PCI_NOTIFY_OFF, notify_len);

    p->pci_cfg = add_cap(p, VIRTIO_PCI_CAP_PCI_CFG, sizeof(struct virtio_pci_cfg_cap), 0, 0);
    dev->config[p->pci_cfg + VIRTIO_PCI_CAP_BAR] = 0;
    dev->wmask[p->pci_cfg + VIRTIO_PCI_CAP_BAR] = 0xff;
    memset(dev->wmask + p->pci_cfg + VIRTIO_PCI_CAP_OFFSET, 0xff,
           sizeof(struct virtio_pci_cfg_cap) - VIRTIO_PCI_CAP_OFFSET);
}

/* Table in the lower half of a BAR of its own, pending bits in the upper half. */
static void add_msix(VirtIOPCIProxy *p, uint16_t nvectors)
{
    uint32_t table = nvectors * (uint32_t)PCI_MSIX_ENTRY_SIZE;

    p->msix_pba = 2048;
    while (p->msix_pba < table) {
        p->msix_pba *= 2;
    }
    io_region_init(&p->msix, "virtio-pci-msix", &msix_bar_ops, p, (uint64_t)p->msix_pba * 2);
    pci_register_bar(PCI_DEVICE(p), VIRTIO_PCI_MSIX_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY, &p->msix);
    msix_init(PCI_DEVICE(p), nvectors, VIRTIO_PCI_MSIX_BAR, 0, p->msix_pba);
    msix_listen(PCI_DEVICE(p), notifier_changed);
}

/* --- the bus between proxy and device --- */

/* Not given: modern only, as in QEMU on PCI Express; with the modern interface disabled, legacy. */
static bool plug_legacy(VirtIOPCIProxy *p, GError **err)
{
    const VirtioPciRow *row = ((Object *)p)->klass->type->class_data;
    uint16_t id = row->legacy_id ? row->legacy_id : virtio_pci_legacy_id(row->virtio_id);
    bool legacy = p->disable_legacy == ON_OFF_AUTO ? p->disable_modern : p->disable_legacy == OFF;

    if (row->interfaces != VIRTIO_PCI_AS_ASKED) {
        legacy = row->interfaces == VIRTIO_PCI_TRANSITIONAL;
        p->disable_modern = false;
    }
    if (!legacy && p->disable_modern) {
        return error_set(err, "%s: with disable-modern=on and disable-legacy=on nothing is left",
                         object_type_name(p));
    }
    if (legacy && id == 0) {
        return error_set(err, "%s: this device has no legacy interface", object_type_name(p));
    }
    if (legacy && !virtio_legacy_check(p->vdev, err)) {
        return false;
    }
    if (legacy) {
        virtio_pci_legacy_plug(p, id);
    }
    return true;
}

static bool plug_modern(VirtIOPCIProxy *p, GError **err)
{
    PciDevice *dev = PCI_DEVICE(p);
    uint64_t ports = VIRTIO_PCI_NOTIFY_MULTIPLIER;

    while (ports < (uint64_t)p->vdev->queues->len * VIRTIO_PCI_NOTIFY_MULTIPLIER) {
        ports *= 2;
    }
    if (p->modern_pio_notify && ports > PORTS_MAX) {
        return error_set(err, "%s: modern-pio-notify=on takes %d queues at most",
                         object_type_name(p), PORTS_MAX / VIRTIO_PCI_NOTIFY_MULTIPLIER);
    }
    if (p->modern_pio_notify) {
        io_region_init(&p->notify_io, "virtio-pci-notify-pio", &notify_io_ops, p, ports);
        pci_register_bar(dev, VIRTIO_PCI_NOTIFY_IO_BAR, PCI_BASE_ADDRESS_SPACE_IO, &p->notify_io);
    }
    io_region_init(&p->structures, "virtio-pci", &structures_ops, p, BAR_SIZE);
    pci_register_bar(dev, VIRTIO_PCI_BAR,
                     PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH, &p->structures);
    add_capabilities(p);
    return true;
}

static bool virtio_pci_device_plugged(VirtioBus *vbus, VirtIODevice *vdev, GError **err)
{
    VirtIOPCIProxy *p = proxy_of(vbus);
    PciDevice *dev = PCI_DEVICE(p);
    uint32_t nvectors = p->nvectors == (uint32_t)VECTORS_AUTO ? vdev->queues->len + 1 : p->nvectors;

    if (nvectors > VECTORS_MAX) {
        return error_set(err, "%s: vectors=%" PRIu32 " is too many, %d is the most",
                         object_type_name(p), nvectors, VECTORS_MAX);
    }
    if (!plug_legacy(p, err)) {
        return false;
    }
    if (!p->disable_modern && !plug_modern(p, err)) {
        return false;
    }
    if (nvectors > 0) {
        add_msix(p, (uint16_t)nvectors);
    }
    /* As in QEMU: not one on the root bus, where it would be part of the root complex. */
    if (!pci_bus_is_root(pci_bus_of(dev)) && p->legacy.size == 0) {
        pcie_add_capability(dev, PCI_EXP_TYPE_ENDPOINT, 0);
    }
    pci_set_interrupt_pin(dev, 1);
    virtio_set_dma_allowed(vdev, pci_bus_master(dev));
    return true;
}

static void virtio_pci_device_reset(VirtioBus *vbus)
{
    VirtIOPCIProxy *p = proxy_of(vbus);

    for (unsigned n = 0; n < p->vdev->queues->len; n++) {
        msix_vector_unuse(PCI_DEVICE(p), virtio_queue_vector(p->vdev, n));
    }
    msix_vector_unuse(PCI_DEVICE(p), p->vdev->config_vector);
    p->device_feature_select = p->driver_feature_select = 0;
    p->queue_select = 0;
    update_intx(p);
}

static uint16_t virtio_pci_queue_selector(VirtioBus *vbus)
{
    return (uint16_t)proxy_of(vbus)->queue_select;
}

static void virtio_pci_bus_class_init(ObjectClass *klass, const void *data)
{
    VirtioBusClass *bc = VIRTIO_BUS_CLASS(klass);

    bc->features = UINT64_C(1) << VIRTIO_F_RING_RESET | UINT64_C(1) << VIRTIO_F_NOTIFICATION_DATA |
                   UINT64_C(1) << VIRTIO_F_NOTIF_CONFIG_DATA | UINT64_C(1) << VIRTIO_F_ANY_LAYOUT |
                   UINT64_C(1) << VIRTIO_F_NOTIFY_ON_EMPTY;
    bc->notify = virtio_pci_notify;
    bc->notify_unlocked = virtio_pci_notify_unlocked;
    bc->notifier = virtio_pci_notifier;
    bc->device_plugged = virtio_pci_device_plugged;
    bc->doorbell = virtio_pci_doorbell;
    bc->device_reset = virtio_pci_device_reset;
    bc->queue_selector = virtio_pci_queue_selector;
}

static const TypeInfo virtio_pci_bus_type = {
    .name = "virtio-pci-bus",
    .parent = &virtio_bus_type,
    .class_init = virtio_pci_bus_class_init,
};

/* --- the proxy --- */

static void proxy_finish(VirtIOPCIProxy *p)
{
    if (p->structures.size) {
        io_region_finish(&p->structures);
    }
    if (p->msix.size) {
        io_region_finish(&p->msix);
    }
    if (p->legacy.size) {
        io_region_finish(&p->legacy);
    }
    if (p->notify_io.size) {
        io_region_finish(&p->notify_io);
    }
    memset(&p->notify_io, 0, sizeof p->notify_io);
    memset(&p->legacy, 0, sizeof p->legacy);
    memset(&p->structures, 0, sizeof p->structures);
    memset(&p->msix, 0, sizeof p->msix);
    object_unparent(&p->bus->parent_obj);
    p->bus = NULL;
}

static bool virtio_pci_realize(PciDevice *dev, GError **err)
{
    VirtIOPCIProxy *p = VIRTIO_PCI(dev);

    p->bus = bus_new(&virtio_pci_bus_type, DEVICE(dev), "virtio-bus", device_platform(DEVICE(dev)));
    if (!device_realize(DEVICE(p->vdev), p->bus, err)) {
        proxy_finish(p);
        return false;
    }
    return true;
}

/* The base class has unrealized the device on the bus and unmapped the BARs. */
static void virtio_pci_unrealize(PciDevice *dev)
{
    proxy_finish(VIRTIO_PCI(dev));
}

/* The device on the bus has been reset; configuration space will be, which ends bus mastering. */
static void virtio_pci_reset(Device *dev)
{
    virtio_set_dma_allowed(VIRTIO_PCI(dev)->vdev, false);
}

static void virtio_pci_instance_init(Object *obj)
{
    const VirtioPciRow *row = obj->klass->type->class_data;
    Object *child = object_new(row->child);
    bool placed = object_add_child(obj, "virtio-backend", child, NULL);

    g_assert(placed);
    VIRTIO_PCI(obj)->vdev = VIRTIO_DEVICE(child);
}

static void virtio_pci_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);
    PciDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    dc->reset = virtio_pci_reset;
    pc->vendor_id = pc->subsystem_vendor_id = PCI_VENDOR_VIRTIO;
    pc->subsystem_id = PCI_SUBDEVICE_VIRTIO;
    pc->revision = 1;
    pc->realize = virtio_pci_realize;
    pc->unrealize = virtio_pci_unrealize;
    pc->config_read = virtio_pci_config_read;
    pc->config_write = virtio_pci_config_write;
}

static const char *const on_off_auto[] = {"auto", "on", "off", NULL};

static const Property virtio_pci_props[] = {
    PROP_ENUM("disable-legacy", VirtIOPCIProxy, disable_legacy, on_off_auto, ON_OFF_AUTO,
              "no legacy interface; auto: on, as PCI Express devices have it"),
    PROP_BOOL("disable-modern", VirtIOPCIProxy, disable_modern, false, "no modern interface"),
    PROP_BOOL("modern-pio-notify", VirtIOPCIProxy, modern_pio_notify, false,
              "let drivers kick by I/O ports: cheaper where KVM emulates writes to memory (AMD)"),
    PROP_UINT32_OPTIONAL(
        "vectors", VirtIOPCIProxy, nvectors, (uint32_t)VECTORS_AUTO,
        "MSI-X vectors; 0: none, interrupts by INTx; not given: one per queue and one"),
    PROP_BOOL("ioeventfd", VirtIOPCIProxy, ioeventfd, true,
              "take kicks through eventfds, without an exit to the VMM"),
    PROP_END,
};

const TypeInfo virtio_pci_type = {
    .name = "virtio-pci",
    .parent = &pci_device_type,
    .instance_size = sizeof(VirtIOPCIProxy),
    .abstract = true,
    .instance_init = virtio_pci_instance_init,
    .class_init = virtio_pci_class_init,
    .props = virtio_pci_props,
};

void virtio_pci_proxy_class_init(ObjectClass *klass, const void *data)
{
    const VirtioPciRow *row = data;
    DeviceClass *dc = DEVICE_CLASS(klass);
    PciDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    dc->user_creatable = true;
    dc->category = row->category;
    pc->device_id = (uint16_t)(PCI_DEVICE_VIRTIO_BASE + row->virtio_id);
    pc->class_id = row->class_id;
}

/* --- the table: lower-case name, VIRTIO_ID_*, PCI class, category, description --- */

#define VIRTIO_PCI_DEVICES(ROW)                                                   \
    ROW(blk, BLOCK, 0x010000, "storage", "disk")                                  \
    ROW(net, NET, 0x020000, "network", "network card")                            \
    ROW(balloon, BALLOON, 0x00ff00, "misc",                                       \
        "memory balloon: takes memory from the guest and gives it back")          \
    ROW(rng, RNG, 0x00ff00, "misc", "entropy device: random bytes from the host") \
    ROW(serial, CONSOLE, 0x078000, "input", "serial ports and consoles, plugged onto its bus")

#define PROXY_TYPES(lower, ID, cls, cat, text)                                              \
    VIRTIO_PCI_PROXIES(virtio_##lower, "virtio-" #lower, text, .virtio_id = VIRTIO_ID_##ID, \
                       .class_id = cls, .category = cat)
#define PROXY_ENTRIES(lower, ID, cls, cat, text) VIRTIO_PCI_PROXY_LIST(virtio_##lower),

VIRTIO_PCI_DEVICES(PROXY_TYPES)

const TypeInfo *const virtio_pci_types[] = {VIRTIO_PCI_DEVICES(PROXY_ENTRIES) NULL};
