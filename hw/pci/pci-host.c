/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host bridge: turns port accesses (configuration mechanism #1, PCI 2.3 §3.2.2.3.2) and
 * accesses to the memory-mapped window (ECAM, PCI Express §7.2.2) into configuration cycles on its
 * root bus "pci.0".
 *
 * Port 0xcf8 latches dword writes only. Narrower accesses there belong to others: a machine may
 * have a reset control register at 0xcf9.
 */
#include "core/log.h"
#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-host.h"

enum {
    CONFIG_ADDRESS = 0xcf8,
    CONFIG_DATA = 0xcfc,
    ADDRESS_PRIORITY = 1,
    ECAM_BUS_SHIFT = 20,
    ECAM_DEVFN_SHIFT = 12,
    BUSES_MAX = 256,
};
#define CONFIG_ENABLE       UINT32_C(0x80000000)
#define CONFIG_ADDRESS_MASK UINT32_C(0x80fffffc) /* bits 30:24 and 1:0 are reserved and read 0 */
#define CONFIG_BYTE_MASK    UINT32_C(0x3)

struct PciHost {
    Device parent_obj;
    PciHostWindows windows;
    IrqLine irqs[4];
    PciBus *bus;     /* child "pci.0"; NULL before realize */
    PciDevice *self; /* child "function": the bridge as a function of its own bus */
    uint32_t latch;  /* what 0xcf8 holds, with the low two bits */
    IoRegion address_port, data_port, ecam;
};

void pci_host_set_windows(PciHost *host, const PciHostWindows *windows)
{
    g_assert(!host->parent_obj.realized);
    host->windows = *windows;
}

const PciHostWindows *pci_host_windows(PciHost *host)
{
    return &host->windows;
}

void pci_host_set_irqs(PciHost *host, const IrqLine irqs[4])
{
    for (unsigned i = 0; i < 4; i++) {
        host->irqs[i] = irqs[i];
    }
}

PciBus *pci_host_bus(PciHost *host)
{
    return host->bus;
}

static void host_set_irq(void *opaque, int pin, int level)
{
    PciHost *host = opaque;

    irq_set(host->irqs[pin], level);
}

/* --- configuration cycles --- */

unsigned pci_host_max_buses(PciHost *host)
{
    uint64_t room = MAX(host->windows.ecam_max, host->windows.ecam_size);

    return (unsigned)CLAMP(room >> ECAM_BUS_SHIFT, 1, BUSES_MAX);
}

void pci_host_set_buses(PciHost *host, unsigned count)
{
    if (host->windows.ecam_max) {
        host->windows.ecam_size = (uint64_t)count << ECAM_BUS_SHIFT;
    }
}

/* The bus of that number, or NULL. Behind a bridge of the root bus there are no more bridges. */
static PciBus *host_find_bus(PciHost *host, unsigned number)
{
    GPtrArray *devices = host->bus->parent_obj.devices;

    if (number == host->bus->number) {
        return host->bus;
    }
    for (guint i = 0; i < devices->len; i++) {
        PciBus *below = pci_bridge_bus(g_ptr_array_index(devices, i));

        if (below && below->number == number) {
            return below;
        }
    }
    return NULL;
}

static uint64_t all_ones(unsigned size)
{
    return UINT64_MAX >> (64 - 8 * size);
}

/* The address space splits unaligned accesses and those above 4 bytes, so none crosses a dword. */
static uint64_t config_read(PciBus *bus, uint8_t devfn, uint32_t off, unsigned size)
{
    return bus ? pci_bus_config_read(bus, devfn, off, size) : all_ones(size);
}

static void config_write(PciBus *bus, uint8_t devfn, uint32_t off, uint64_t value, unsigned size)
{
    if (bus) {
        pci_bus_config_write(bus, devfn, off, (uint32_t)value, size);
    }
}

/* --- mechanism #1 --- */

/*
 * The register stays mapped above what else lies at 0xcf8 to 0xcfb, so that a dword access is never
 * split among them, and steps aside for a narrower one: rare enough (a probe at boot, a reset) for
 * two changes of the map.
 */
static uint64_t address_read(void *opaque, uint64_t off, unsigned size)
{
    PciHost *host = opaque;
    AddressSpace *pio = host->address_port.as;
    uint64_t value;

    if (size == 4) {
        return host->latch & CONFIG_ADDRESS_MASK;
    }
    aspace_unmap(&host->address_port);
    aspace_read(pio, CONFIG_ADDRESS + off, size, &value);
    aspace_map(pio, &host->address_port, CONFIG_ADDRESS, ADDRESS_PRIORITY);
    return value;
}

static void address_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    PciHost *host = opaque;
    AddressSpace *pio = host->address_port.as;

    if (size == 4) {
        host->latch = (uint32_t)value & (CONFIG_ADDRESS_MASK | CONFIG_BYTE_MASK);
        return;
    }
    aspace_unmap(&host->address_port);
    aspace_write(pio, CONFIG_ADDRESS + off, value, size);
    aspace_map(pio, &host->address_port, CONFIG_ADDRESS, ADDRESS_PRIORITY);
}

static PciBus *latched_bus(PciHost *host)
{
    return host->latch & CONFIG_ENABLE ? host_find_bus(host, host->latch >> 16 & 0xff) : NULL;
}

/*
 * Which register the data port shows. Software with a byte or word in mind gives its low address
 * bits by the port; clients of QEMU put them into 0xcf8 and always use 0xcfc, so both count.
 */
static uint32_t data_register(const PciHost *host, uint64_t off)
{
    return (host->latch & 0xff) | (uint32_t)off;
}

static uint64_t data_read(void *opaque, uint64_t off, unsigned size)
{
    PciHost *host = opaque;
    uint32_t reg = data_register(host, off);
    uint64_t value = 0;

    if (reg % size == 0) {
        return config_read(latched_bus(host), host->latch >> 8 & 0xff, reg, size);
    }
    for (unsigned i = 0; i < size; i++) {
        value |= config_read(reg + i < PCI_CONVENTIONAL_SIZE ? latched_bus(host) : NULL,
                             host->latch >> 8 & 0xff, reg + i, 1)
                 << 8 * i;
    }
    return value;
}

static void data_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    PciHost *host = opaque;
    uint32_t reg = data_register(host, off);

    if (reg % size == 0) {
        config_write(latched_bus(host), host->latch >> 8 & 0xff, reg, value, size);
        return;
    }
    for (unsigned i = 0; i < size && reg + i < PCI_CONVENTIONAL_SIZE; i++) {
        config_write(latched_bus(host), host->latch >> 8 & 0xff, reg + i, value >> 8 * i & 0xff, 1);
    }
}

/* --- ECAM --- */

static uint64_t ecam_read(void *opaque, uint64_t off, unsigned size)
{
    PciBus *bus = host_find_bus(opaque, (unsigned)(off >> ECAM_BUS_SHIFT));

    return config_read(bus, off >> ECAM_DEVFN_SHIFT & 0xff, off & (PCI_CFG_SIZE - 1), size);
}

static void ecam_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    PciBus *bus = host_find_bus(opaque, (unsigned)(off >> ECAM_BUS_SHIFT));

    config_write(bus, off >> ECAM_DEVFN_SHIFT & 0xff, off & (PCI_CFG_SIZE - 1), value, size);
}

static const IoRegionOps address_ops = {address_read, address_write, 1, 4};
static const IoRegionOps data_ops = {data_read, data_write, 1, 4};
static const IoRegionOps ecam_ops = {ecam_read, ecam_write, 1, 4};

/* --- the bridge as a function --- */

static void host_function_class_init(ObjectClass *klass, const void *data)
{
    PciDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    DEVICE_CLASS(klass)->hotpluggable = false;
    pc->vendor_id = 0x1b36;
    pc->device_id = 0x0008;
    pc->subsystem_vendor_id = 0x1af4;
    pc->subsystem_id = 0x1100;
    pc->class_id = 0x060000; /* host bridge */
}

static const TypeInfo host_function_type = {
    .name = "pci-host-function",
    .parent = &pci_device_type,
    .class_init = host_function_class_init,
    .desc = "the host bridge as a function of its own bus",
};

/* --- the device --- */

static void host_map(PciHost *host)
{
    Platform *p = device_platform(&host->parent_obj);

    if (host->windows.config_ports && p->pio) {
        io_region_init(&host->address_port, "pci-config-address", &address_ops, host, 4);
        io_region_init(&host->data_port, "pci-config-data", &data_ops, host, 4);
        aspace_map(p->pio, &host->address_port, CONFIG_ADDRESS, ADDRESS_PRIORITY);
        aspace_map(p->pio, &host->data_port, CONFIG_DATA, 0);
    }
    if (host->windows.ecam_size) {
        io_region_init(&host->ecam, "pci-ecam", &ecam_ops, host,
                       MAX(host->windows.ecam_size, host->windows.ecam_max));
        aspace_map(p->mmio, &host->ecam, host->windows.ecam_base, 0);
    }
}

static void host_unmap(PciHost *host)
{
    IoRegion *const regions[] = {&host->address_port, &host->data_port, &host->ecam};

    for (unsigned i = 0; i < G_N_ELEMENTS(regions); i++) {
        if (regions[i]->ops) {
            io_region_finish(regions[i]);
            regions[i]->ops = NULL;
        }
    }
}

static void host_drop_bus(PciHost *host)
{
    object_unparent((Object *)g_steal_pointer(&host->self));
    object_unparent((Object *)g_steal_pointer(&host->bus));
}

static bool host_realize(Device *dev, GError **err)
{
    PciHost *host = PCI_HOST(dev);
    bool placed;

    host->bus = PCI_BUS(bus_new(&pci_bus_type, dev, "pci.0", NULL));
    host->bus->first_slot = 1;
    host->bus->set_irq = host_set_irq;
    host->bus->irq_opaque = host;
    host->self = PCI_DEVICE(object_new(&host_function_type));
    host->self->addr.devfn = 0;
    placed = object_add_child((Object *)dev, "function", (Object *)host->self, NULL);
    g_assert(placed);
    if (!device_realize(&host->self->parent_obj, &host->bus->parent_obj, err)) {
        host_drop_bus(host);
        return false;
    }
    host_map(host);
    return true;
}

static void host_unrealize(Device *dev)
{
    PciHost *host = PCI_HOST(dev);

    host_unmap(host);
    host_drop_bus(host);
}

static void host_reset(Device *dev)
{
    PCI_HOST(dev)->latch = 0;
}

static void host_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = host_realize;
    dc->unrealize = host_unrealize;
    dc->reset = host_reset;
    dc->category = "bridge";
}

const TypeInfo pci_host_type = {
    .name = "pci-host",
    .parent = &device_type,
    .instance_size = sizeof(PciHost),
    .class_init = host_class_init,
    .desc = "PCI host bridge",
};
