/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI-to-PCI bridges (PCI-to-PCI Bridge Architecture 1.2): the type-1 header, routing of
 * configuration cycles by bus number, of addresses by three windows, of interrupt pins by swizzle,
 * and reset of the bus below. Left out: the ISA and VGA bits (they read 0), and that a bridge which
 * is no bus master stops what devices below it send.
 */
#include "hw/pci/pci-bridge.h"

#include "core/le.h"
#include "core/log.h"

enum {
    RANGE_MASK = 0xfff0,  /* of memory bases and limits; the rest tells the type */
    IO_RANGE_MASK = 0xf0, /* 16-bit I/O */
    BRIDGE_CONTROL_WRITABLE = PCI_BRIDGE_CTL_PARITY | PCI_BRIDGE_CTL_SERR |
                              PCI_BRIDGE_CTL_MASTER_ABORT | PCI_BRIDGE_CTL_BUS_RESET,
};

static uint16_t reg16(const PciBridge *br, unsigned off)
{
    return (uint16_t)le_load(br->parent_obj.config + off, 2);
}

PciBus *pci_bridge_bus(Device *dev)
{
    return object_is_a(dev, &pci_bridge_type) ? PCI_BRIDGE(dev)->bus : NULL;
}

/* --- windows --- */

static void io_window(const PciBridge *br, uint64_t *ret_base, uint64_t *ret_limit)
{
    const uint8_t *c = br->parent_obj.config;

    *ret_base = (uint64_t)(c[PCI_IO_BASE] & IO_RANGE_MASK) << 8;
    *ret_limit = (uint64_t)(c[PCI_IO_LIMIT] & IO_RANGE_MASK) << 8 | (PCI_BRIDGE_IO_ALIGN - 1);
}

static void memory_window(const PciBridge *br, unsigned base_reg, unsigned limit_reg,
                          uint64_t *ret_base, uint64_t *ret_limit)
{
    *ret_base = (uint64_t)(reg16(br, base_reg) & RANGE_MASK) << 16;
    *ret_limit =
        (uint64_t)(reg16(br, limit_reg) & RANGE_MASK) << 16 | (PCI_BRIDGE_MEMORY_ALIGN - 1);
}

bool pci_bridge_window(const PciBridge *br, PciWindow which, uint64_t *ret_base,
                       uint64_t *ret_limit)
{
    const uint8_t *c = br->parent_obj.config;
    uint64_t base, limit;

    switch (which) {
    case PCI_WINDOW_IO:
        io_window(br, &base, &limit);
        break;
    case PCI_WINDOW_MEMORY:
        memory_window(br, PCI_MEMORY_BASE, PCI_MEMORY_LIMIT, &base, &limit);
        break;
    default:
        memory_window(br, PCI_PREF_MEMORY_BASE, PCI_PREF_MEMORY_LIMIT, &base, &limit);
        base |= le_load(c + PCI_PREF_BASE_UPPER32, 4) << 32;
        limit |= le_load(c + PCI_PREF_LIMIT_UPPER32, 4) << 32;
        break;
    }
    *ret_base = base;
    *ret_limit = limit;
    return base <= limit;
}

static bool in_window(const PciBridge *br, PciWindow which, uint64_t addr, uint64_t size)
{
    uint64_t base, limit;

    return pci_bridge_window(br, which, &base, &limit) && addr >= base && addr <= limit &&
           size - 1 <= limit - addr;
}

/* What the registers hold after a reset is a window at 0, so decoding decides, too. */
static bool bridge_forwards(void *opaque, bool io, uint64_t addr, uint64_t size)
{
    const PciBridge *br = opaque;
    uint16_t command = reg16(br, PCI_COMMAND);

    if (io) {
        return command & PCI_COMMAND_IO && in_window(br, PCI_WINDOW_IO, addr, size);
    }
    return command & PCI_COMMAND_MEMORY && (in_window(br, PCI_WINDOW_MEMORY, addr, size) ||
                                            in_window(br, PCI_WINDOW_PREFETCH, addr, size));
}

/* --- interrupts: §9.1, the pins of the bus below are the bridge's --- */

static void bridge_set_irq(void *opaque, int pin, int level)
{
    PciDevice *dev = opaque;

    pci_bus_set_pin(pci_bus_of(dev), dev->devfn, (uint8_t)(pin + 1), level);
}

/* --- the bus below --- */

static void reset_functions(PciBridge *br)
{
    for (unsigned i = 0; i < PCI_DEVFN_MAX; i++) {
        if (br->bus->devices[i]) {
            device_reset(DEVICE(br->bus->devices[i]));
        }
    }
}

/* A link that goes down resets what is on it (PCI Express §2.9.1). */
void pci_bridge_set_silent(PciBridge *br, bool silent)
{
    if (silent == br->bus->silent) {
        return;
    }
    if (silent) {
        reset_functions(br);
    }
    br->bus->silent = silent;
    pci_bus_update_bars(br->bus);
}

void pci_bridge_config_written(PciBridge *br, uint32_t off, unsigned size)
{
    uint16_t control = reg16(br, PCI_BRIDGE_CONTROL);

    if (pci_touches(off, size, PCI_PRIMARY_BUS, 4)) {
        pci_bus_set_number(br->bus, br->parent_obj.config[PCI_SECONDARY_BUS]);
    }
    if (pci_touches(off, size, PCI_COMMAND, 2) ||
        pci_touches(off, size, PCI_IO_BASE, PCI_CAPABILITY_LIST - PCI_IO_BASE)) {
        pci_bus_update_bars(br->bus);
    }
    if (pci_touches(off, size, PCI_BRIDGE_CONTROL, 2) &&
        control & ~br->control & PCI_BRIDGE_CTL_BUS_RESET) {
        reset_functions(br);
    }
    br->control = control;
}

void pci_bridge_reset(PciBridge *br)
{
    br->control = 0;
    pci_bus_set_number(br->bus, 0);
}

static void header_init(PciBridge *br)
{
    PciDevice *dev = &br->parent_obj;
    uint8_t *c = dev->config, *w = dev->wmask;

    c[PCI_HEADER_TYPE] |= PCI_HEADER_TYPE_BRIDGE;
    le_store(c + PCI_PREF_MEMORY_BASE, PCI_PREF_RANGE_TYPE_64, 2);
    le_store(c + PCI_PREF_MEMORY_LIMIT, PCI_PREF_RANGE_TYPE_64, 2);
    memset(w + PCI_PRIMARY_BUS, 0xff, 3);
    w[PCI_IO_BASE] = w[PCI_IO_LIMIT] = IO_RANGE_MASK;
    le_store(w + PCI_MEMORY_BASE, RANGE_MASK, 2);
    le_store(w + PCI_MEMORY_LIMIT, RANGE_MASK, 2);
    le_store(w + PCI_PREF_MEMORY_BASE, RANGE_MASK, 2);
    le_store(w + PCI_PREF_MEMORY_LIMIT, RANGE_MASK, 2);
    memset(w + PCI_PREF_BASE_UPPER32, 0xff, 8);
    le_store(w + PCI_BRIDGE_CONTROL, BRIDGE_CONTROL_WRITABLE, 2);
}

void pci_bridge_init(PciBridge *br)
{
    Device *dev = DEVICE(br);
    g_autofree char *name =
        dev->id ? g_strdup(dev->id) : g_strdup_printf("pcie.%u", br->parent_obj.devfn);

    header_init(br);
    br->bus = PCI_BUS(bus_new(&pci_bus_type, dev, name, NULL));
    br->bus->set_irq = bridge_set_irq;
    br->bus->irq_opaque = br;
    br->bus->forwards = bridge_forwards;
    br->bus->forwards_opaque = br;
}

void pci_bridge_finish(PciBridge *br)
{
    object_unparent((Object *)g_steal_pointer(&br->bus));
}

const TypeInfo pci_bridge_type = {
    .name = "base-pci-bridge",
    .parent = &pci_device_type,
    .instance_size = sizeof(PciBridge),
    .abstract = true,
};
