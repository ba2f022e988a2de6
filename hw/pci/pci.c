/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One PCI function: type-0 configuration space behind write masks (PCI 3.0 §6.1), base address
 * registers that the guest sizes and moves whenever it likes (§6.2.5.1), capabilities (§6.7) and
 * INTx. Left out: expansion ROMs (the register reads 0) and power management.
 */
#include <inttypes.h>
#include <string.h>

#include "core/le.h"
#include "core/log.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"

/* Fixed registers of the machine are mapped at 0 and stay visible when a guest puts a BAR onto
 * them. */
enum { PCI_BAR_PRIORITY = -1 };

#define COMMAND_WRITABLE                                                             \
    (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | \
     PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE)
#define STATUS_W1C                                                                   \
    (PCI_STATUS_PARITY | PCI_STATUS_SIG_TARGET_ABORT | PCI_STATUS_REC_TARGET_ABORT | \
     PCI_STATUS_REC_MASTER_ABORT | PCI_STATUS_SIG_SYSTEM_ERROR | PCI_STATUS_DETECTED_PARITY)

static uint16_t config16(const PciDevice *dev, uint32_t off)
{
    return (uint16_t)le_load(dev->config + off, 2);
}

PciBus *pci_bus_of(PciDevice *dev)
{
    return PCI_BUS(dev->parent_obj.bus);
}

uint16_t pci_requester_id(PciDevice *dev)
{
    return (uint16_t)(pci_bus_of(dev)->number << 8 | dev->devfn);
}

bool pci_bus_master(PciDevice *dev)
{
    return config16(dev, PCI_COMMAND) & PCI_COMMAND_MASTER;
}

/* --- base address registers --- */

static bool bar_is_io(const PciBar *bar)
{
    return bar->type & PCI_BASE_ADDRESS_SPACE_IO;
}

static bool bar_is_64(const PciBar *bar)
{
    return !bar_is_io(bar) && (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64);
}

static uint32_t bar_offset(unsigned n)
{
    return PCI_BASE_ADDRESS_0 + 4 * n;
}

/* What a bridge passes on in part only is not mapped at all. */
static bool is_reached(const PciDevice *dev, unsigned n, uint64_t addr)
{
    const PciBar *bar = &dev->bars[n];
    const PciBus *bus = PCI_BUS(dev->parent_obj.bus);

    return !bus->silent &&
           (!bus->forwards || bus->forwards(bus->forwards_opaque, bar_is_io(bar), addr, bar->size));
}

/* Where the registers say that the BAR is, or PCI_BAR_UNMAPPED: not decoded, never set, or beyond
 * its space. */
static uint64_t bar_wanted_addr(const PciDevice *dev, unsigned n)
{
    const PciBar *bar = &dev->bars[n];
    uint16_t enable = bar_is_io(bar) ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY;
    uint64_t limit = bar_is_io(bar) ? 0xffff : bar_is_64(bar) ? UINT64_MAX - 1 : UINT32_MAX - 1;
    uint64_t addr = le_load(dev->config + bar_offset(n), bar_is_64(bar) ? 8 : 4);

    addr &= ~(bar->size - 1); /* the type bits go as well */
    if (!(config16(dev, PCI_COMMAND) & enable) || addr == 0 || addr > limit ||
        bar->size - 1 > limit - addr || !is_reached(dev, n, addr)) {
        return PCI_BAR_UNMAPPED;
    }
    return addr;
}

static void bar_update(PciDevice *dev, unsigned n)
{
    Platform *p = device_platform(&dev->parent_obj);
    PciBar *bar = &dev->bars[n];
    AddressSpace *as = bar_is_io(bar) ? p->pio : p->mmio;
    uint64_t addr = as ? bar_wanted_addr(dev, n) : PCI_BAR_UNMAPPED;

    if (addr == bar->addr) {
        return;
    }
    bar->addr = addr;
    if (addr == PCI_BAR_UNMAPPED) {
        aspace_unmap(bar->region);
    } else {
        aspace_map(as, bar->region, addr, PCI_BAR_PRIORITY);
    }
    TRACE(pci_bar_map, "dev=%02x.%x bar=%u addr=0x%" PRIx64 " size=0x%" PRIx64,
          PCI_SLOT(dev->devfn), PCI_FUNC(dev->devfn), n, addr, bar->size);
}

void pci_update_bars(PciDevice *dev)
{
    Platform *p = device_platform(&dev->parent_obj);

    aspace_begin(p->mmio);
    if (p->pio) {
        aspace_begin(p->pio);
    }
    for (unsigned n = 0; n < PCI_BARS; n++) {
        if (dev->bars[n].region) {
            bar_update(dev, n);
        }
    }
    if (p->pio) {
        aspace_commit(p->pio);
    }
    aspace_commit(p->mmio);
}

static void bars_drop(PciDevice *dev)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        PciBar *bar = &dev->bars[n];

        /* After a failed realize the region may be gone already; it was never mapped then. */
        if (bar->region && bar->addr != PCI_BAR_UNMAPPED) {
            aspace_unmap(bar->region);
        }
        *bar = (PciBar){0};
    }
}

void pci_register_bar(PciDevice *dev, unsigned bar, uint8_t type, IoRegion *region)
{
    PciBar *b = &dev->bars[bar];
    unsigned width;

    g_assert(bar < PCI_BARS && !b->region);
    *b = (PciBar){.region = region, .size = region->size, .type = type, .addr = PCI_BAR_UNMAPPED};
    width = bar_is_64(b) ? 8 : 4;
    g_assert(width == 4 || (bar + 1 < PCI_BARS && !b[1].region));
    g_assert((b->size & (b->size - 1)) == 0 && b->size >= (bar_is_io(b) ? 4 : 16));
    g_assert(width == 8 || b->size <= UINT32_C(1) << 31);
    le_store(dev->config + bar_offset(bar), type, width);
    le_store(dev->wmask + bar_offset(bar), ~(b->size - 1), width);
}

/* --- INTx --- */

void pci_update_intx(PciDevice *dev)
{
    uint8_t pin = dev->config[PCI_INTERRUPT_PIN];
    bool level = dev->intx_level && pin != 0 && !msix_enabled(dev) &&
                 !(config16(dev, PCI_COMMAND) & PCI_COMMAND_INTX_DISABLE);

    if (level != dev->intx_asserted) {
        dev->intx_asserted = level;
        pci_bus_set_pin(pci_bus_of(dev), dev->devfn, pin, level);
    }
}

void pci_set_intx(PciDevice *dev, int level)
{
    dev->intx_level = level != 0;
    /* §6.2.3: the status bit tells the state whether or not the pin is disabled. */
    if (dev->intx_level) {
        dev->config[PCI_STATUS] |= PCI_STATUS_INTERRUPT;
    } else {
        dev->config[PCI_STATUS] &= (uint8_t)~PCI_STATUS_INTERRUPT;
    }
    pci_update_intx(dev);
}

void pci_set_interrupt_pin(PciDevice *dev, uint8_t pin)
{
    g_assert(pin <= 4 && !dev->intx_asserted);
    dev->config[PCI_INTERRUPT_PIN] = pin;
}

/* --- configuration space --- */

uint32_t pci_config_read(PciDevice *dev, uint32_t off, unsigned size)
{
    PciDeviceClass *pc = PCI_DEVICE_GET_CLASS(dev);

    g_assert(size <= 4 && off <= PCI_CFG_SIZE - size);
    if (pc->config_read) {
        pc->config_read(dev, off, size);
    }
    return (uint32_t)le_load(dev->config + off, size);
}

/* What the base class itself has to do when registers changed. */
static void config_changed(PciDevice *dev, uint32_t off, unsigned size)
{
    bool command = pci_touches(off, size, PCI_COMMAND, 2);

    if (command || pci_touches(off, size, PCI_BASE_ADDRESS_0, 4 * PCI_BARS)) {
        pci_update_bars(dev);
    }
    if (dev->msix) {
        msix_config_written(dev, off, size);
    }
    if (command || dev->msix) {
        pci_update_intx(dev);
    }
}

void pci_config_write(PciDevice *dev, uint32_t off, uint32_t value, unsigned size)
{
    PciDeviceClass *pc = PCI_DEVICE_GET_CLASS(dev);

    g_assert(size <= 4 && off <= PCI_CFG_SIZE - size);
    for (unsigned i = 0; i < size; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i), mask = dev->wmask[off + i];
        uint8_t *reg = &dev->config[off + i];

        *reg = (uint8_t)((*reg & ~mask) | (byte & mask));
        *reg &= (uint8_t) ~(byte & dev->w1cmask[off + i]);
    }
    config_changed(dev, off, size);
    if (pc->config_write) {
        pc->config_write(dev, off, value, size);
    }
}

static void config_init(PciDevice *dev)
{
    const PciDeviceClass *pc = PCI_DEVICE_GET_CLASS(dev);
    uint8_t *c = dev->config;

    memset(c, 0, sizeof(dev->config));
    memset(dev->wmask, 0, sizeof(dev->wmask));
    memset(dev->w1cmask, 0, sizeof(dev->w1cmask));
    le_store(c + PCI_VENDOR_ID, pc->vendor_id, 2);
    le_store(c + PCI_DEVICE_ID, pc->device_id, 2);
    le_store(c + PCI_SUBSYSTEM_VENDOR_ID, pc->subsystem_vendor_id, 2);
    le_store(c + PCI_SUBSYSTEM_ID, pc->subsystem_id, 2);
    c[PCI_REVISION_ID] = pc->revision;
    c[PCI_CLASS_PROG] = (uint8_t)pc->class_id;
    le_store(c + PCI_CLASS_DEVICE, pc->class_id >> 8, 2);
    c[PCI_HEADER_TYPE] =
        dev->multifunction ? PCI_HEADER_TYPE_NORMAL | 0x80 : PCI_HEADER_TYPE_NORMAL;
    le_store(dev->wmask + PCI_COMMAND, COMMAND_WRITABLE, 2);
    le_store(dev->w1cmask + PCI_STATUS, STATUS_W1C, 2);
    dev->wmask[PCI_CACHE_LINE_SIZE] = 0xff;
    dev->wmask[PCI_INTERRUPT_LINE] = 0xff;
    dev->cap_end = PCI_STD_HEADER_SIZEOF;
    dev->last_cap = 0;
    dev->intx_level = dev->intx_asserted = false;
}

uint8_t pci_add_capability(PciDevice *dev, uint8_t id, uint8_t size)
{
    uint16_t at = dev->cap_end;
    uint8_t *link =
        dev->config + (dev->last_cap ? dev->last_cap + PCI_CAP_LIST_NEXT : PCI_CAPABILITY_LIST);

    g_assert(size >= PCI_CAP_SIZEOF / 2 && at + size <= PCI_CONVENTIONAL_SIZE);
    dev->config[at + PCI_CAP_LIST_ID] = id;
    dev->config[PCI_STATUS] |= PCI_STATUS_CAP_LIST;
    *link = (uint8_t)at;
    dev->last_cap = (uint8_t)at;
    dev->cap_end = (uint16_t)((at + size + 3) & ~3); /* §6.7: dword aligned */
    return (uint8_t)at;
}

/* --- the device --- */

/* Off the bus, as far as the guest can see. The device's regions are still there. */
static void pci_device_leave(PciDevice *dev)
{
    pci_set_intx(dev, 0);
    bars_drop(dev);
    pci_bus_of(dev)->devices[dev->devfn] = NULL;
    if (dev->addr_chosen) {
        dev->addr.devfn = PCI_ADDR_AUTO;
    }
}

static bool pci_device_realize(Device *d, GError **err)
{
    PciDevice *dev = PCI_DEVICE(d);
    PciDeviceClass *pc = PCI_DEVICE_GET_CLASS(dev);

    config_init(dev);
    pci_bus_of(dev)->devices[dev->devfn] = dev;
    dev->addr_chosen = dev->addr.devfn == PCI_ADDR_AUTO;
    dev->addr.devfn = dev->devfn;
    if (pc->realize && !pc->realize(dev, err)) {
        pci_device_leave(dev);
        msix_finish(dev);
        return false;
    }
    memcpy(dev->reset_config, dev->config, sizeof(dev->reset_config));
    return true;
}

static void pci_device_unrealize(Device *d)
{
    PciDevice *dev = PCI_DEVICE(d);
    PciDeviceClass *pc = PCI_DEVICE_GET_CLASS(dev);

    pci_device_leave(dev);
    if (pc->unrealize) {
        pc->unrealize(dev);
    }
    msix_finish(dev);
}

static void pci_device_reset(Device *d)
{
    PciDevice *dev = PCI_DEVICE(d);
    PciDeviceClass *pc = PCI_DEVICE_GET_CLASS(dev);

    pci_set_intx(dev, 0);
    msix_reset(dev);
    for (unsigned i = 0; i < PCI_CONVENTIONAL_SIZE; i++) {
        uint8_t mask = dev->wmask[i] | dev->w1cmask[i];

        dev->config[i] = (uint8_t)((dev->config[i] & ~mask) | (dev->reset_config[i] & mask));
    }
    pci_update_bars(dev);
    if (pc->config_write) {
        pc->config_write(dev, PCI_COMMAND, 0, 2); /* for those who follow bus mastering */
    }
}

static void pci_device_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = pci_device_realize;
    dc->unrealize = pci_device_unrealize;
    dc->reset = pci_device_reset;
    dc->bus_type = &pci_bus_type;
    dc->hotpluggable = true;
}

static const Property pci_device_props[] = {
    PROP_PCI_ADDR("addr", PciDevice, addr, "slot and function on the bus, as in 03.0"),
    PROP_BOOL("multifunction", PciDevice, multifunction, false,
              "function 0 of a slot that has more functions"),
    PROP_END,
};

const TypeInfo pci_device_type = {
    .name = "pci-device",
    .parent = &device_type,
    .instance_size = sizeof(PciDevice),
    .class_size = sizeof(PciDeviceClass),
    .abstract = true,
    .class_init = pci_device_class_init,
    .props = pci_device_props,
};
