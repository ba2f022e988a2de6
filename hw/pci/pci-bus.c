/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI bus: who sits in which slot, configuration cycles to them, and the four interrupt pins,
 * swizzled by slot and shared by all functions (PCI-to-PCI Bridge Architecture 1.2 §9.1).
 */
#include "hw/pci/msix.h"
#include "hw/pci/pci.h"

PciDevice *pci_bus_device(PciBus *bus, uint8_t devfn)
{
    return bus->devices[devfn];
}

void pci_slot_unplug_refused(PciBus *bus, unsigned slot)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        PciDevice *pci = pci_bus_device(bus, (uint8_t)PCI_DEVFN_OF(slot, fn));

        if (pci && DEVICE(pci)->pending_unplug) {
            device_unplug_refused(DEVICE(pci));
        }
    }
}

uint32_t pci_bus_config_read(PciBus *bus, uint8_t devfn, uint32_t off, unsigned size)
{
    PciDevice *dev = bus->silent ? NULL : bus->devices[devfn];

    return dev ? pci_config_read(dev, off, size) : UINT32_MAX >> (32 - 8 * size);
}

void pci_bus_config_write(PciBus *bus, uint8_t devfn, uint32_t off, uint32_t value, unsigned size)
{
    PciDevice *dev = bus->silent ? NULL : bus->devices[devfn];

    if (dev) {
        pci_config_write(dev, off, value, size);
    }
}

void pci_bus_set_pin(PciBus *bus, uint8_t devfn, uint8_t pin, bool level)
{
    unsigned line = (PCI_SLOT(devfn) + pin - 1) % 4;
    int before = bus->irq_count[line];

    bus->irq_count[line] += level ? 1 : -1;
    g_assert(bus->irq_count[line] >= 0);
    if (bus->set_irq && !before != !bus->irq_count[line]) {
        bus->set_irq(bus->irq_opaque, (int)line, level);
    }
}

bool pci_bus_is_root(const PciBus *bus)
{
    return !bus->parent_obj.parent || !object_is_a(bus->parent_obj.parent, &pci_device_type);
}

void pci_bus_set_number(PciBus *bus, uint8_t number)
{
    bus->number = number;
    for (unsigned i = 0; i < PCI_DEVFN_MAX; i++) {
        if (bus->devices[i]) {
            msix_requester_changed(bus->devices[i]);
        }
    }
}

void pci_bus_update_bars(PciBus *bus)
{
    for (unsigned i = 0; i < PCI_DEVFN_MAX; i++) {
        if (bus->devices[i]) {
            pci_update_bars(bus->devices[i]);
        }
    }
}

/* --- places --- */

static bool slot_empty(const PciBus *bus, unsigned slot)
{
    for (unsigned fn = 0; fn < 8; fn++) {
        if (bus->devices[PCI_DEVFN_OF(slot, fn)]) {
            return false;
        }
    }
    return true;
}

static const char *bus_name(const PciBus *bus)
{
    const char *name = bus->parent_obj.parent_obj.name;

    return name ? name : "the PCI bus";
}

static bool place_anywhere(PciBus *bus, PciDevice *dev, GError **err)
{
    g_autofree char *what = NULL;

    for (unsigned slot = bus->first_slot; slot < bus->slots; slot++) {
        if (slot_empty(bus, slot)) {
            dev->devfn = (uint8_t)PCI_DEVFN_OF(slot, 0);
            return true;
        }
    }
    what = device_describe(&dev->parent_obj);
    if (bus->slots == 1) {
        return error_set(err, "no free slot on %s for %s: there is one, and it is taken",
                         bus_name(bus), what);
    }
    return error_set(err, "no free slot on %s for %s: all %d are taken", bus_name(bus), what,
                     bus->slots);
}

/*
 * A guest looks for functions 1 to 7 only where function 0 says that there are more, so function 0
 * must have multifunction=on. It may come last, though, as in hotplug of a whole slot.
 */
static bool check_multifunction(PciBus *bus, PciDevice *dev, uint8_t devfn, GError **err)
{
    unsigned slot = PCI_SLOT(devfn);
    PciDevice *first = bus->devices[PCI_DEVFN_OF(slot, 0)];
    g_autofree char *what = device_describe(&dev->parent_obj);

    if (PCI_FUNC(devfn) != 0) {
        g_autofree char *other = first ? device_describe(&first->parent_obj) : NULL;

        return !first || first->multifunction ||
               error_set(
                   err,
                   "%s cannot be function %02x.%x: %s at %02x.0 needs multifunction=on for that",
                   what, slot, PCI_FUNC(devfn), other, slot);
    }
    for (unsigned fn = 1; fn < 8 && !dev->multifunction; fn++) {
        PciDevice *mate = bus->devices[PCI_DEVFN_OF(slot, fn)];

        if (mate) {
            g_autofree char *other = device_describe(&mate->parent_obj);

            return error_set(err,
                             "%s needs multifunction=on to be function %02x.0 beside %s at %02x.%x",
                             what, slot, other, slot, fn);
        }
    }
    return true;
}

static bool place_at(PciBus *bus, PciDevice *dev, uint8_t devfn, GError **err)
{
    PciDevice *holder = bus->devices[devfn];

    if (PCI_SLOT(devfn) >= bus->slots) {
        g_autofree char *what = device_describe(&dev->parent_obj);

        return error_set(err, "%s cannot have address %02x.%x of %s, which has slot 0 alone", what,
                         PCI_SLOT(devfn), PCI_FUNC(devfn), bus_name(bus));
    }
    if (holder) {
        g_autofree char *what = device_describe(&dev->parent_obj);
        g_autofree char *other = device_describe(&holder->parent_obj);

        return error_set(err, "%s cannot have address %02x.%x of %s: %s has it", what,
                         PCI_SLOT(devfn), PCI_FUNC(devfn), bus_name(bus), other);
    }
    if (!check_multifunction(bus, dev, devfn, err)) {
        return false;
    }
    dev->devfn = devfn;
    return true;
}

/* Also notes the place in dev->devfn; nobody else can come in between this and realize. */
static bool pci_bus_check_plug(Bus *b, Device *d, GError **err)
{
    PciBus *bus = PCI_BUS(b);
    PciDevice *dev = PCI_DEVICE(d);

    if (dev->addr.devfn == PCI_ADDR_AUTO) {
        return place_anywhere(bus, dev, err);
    }
    g_assert(dev->addr.devfn >= 0 && dev->addr.devfn < PCI_DEVFN_MAX);
    return place_at(bus, dev, (uint8_t)dev->addr.devfn, err);
}

static char *pci_bus_device_address(Bus *bus, Device *d)
{
    uint8_t devfn = PCI_DEVICE(d)->devfn;

    return g_strdup_printf("%02x.%x", PCI_SLOT(devfn), PCI_FUNC(devfn));
}

static void pci_bus_instance_init(Object *obj)
{
    PCI_BUS(obj)->slots = PCI_SLOTS;
}

static void pci_bus_class_init(ObjectClass *klass, const void *data)
{
    BusClass *bc = BUS_CLASS(klass);

    bc->check_plug = pci_bus_check_plug;
    bc->device_address = pci_bus_device_address;
}

const TypeInfo pci_bus_type = {
    .name = "PCI",
    .parent = &bus_type,
    .instance_size = sizeof(PciBus),
    .instance_init = pci_bus_instance_init,
    .class_init = pci_bus_class_init,
    .desc = "PCI bus",
};
