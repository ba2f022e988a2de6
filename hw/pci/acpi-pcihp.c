/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI hotplug registers by ports, with the places and bits of QEMU's pc
 * (docs/specs/acpi_pci_hotplug of QEMU): a guest learns here which slots of bus 0 were filled and
 * which ones it shall free, and ejects a slot when its driver has let go. There is no notification
 * and nothing in the ACPI tables yet, so the machine has it only where a client of the qtest server
 * plays the guest. Not here: buses behind bridges.
 */
#include "hw/pci/pci.h"

enum {
    PORT = 0xae00,
    SIZE = 0x18,

    /* dwords, bit N is slot N */
    REG_UP = 0x00,    /* filled since it was read last */
    REG_DOWN = 0x04,  /* asked to be freed */
    REG_EJECT = 0x08, /* a written 1 ejects */
    REG_REMOVABLE = 0x0c,
    REG_BUS = 0x10, /* which bus the others are about; there is bus 0 alone */
};

OBJECT_DECLARE(AcpiPcihp, acpi_pcihp, ACPI_PCIHP)

struct AcpiPcihp {
    Device parent_obj;
    PciBus *bus; /* property */
    IoRegion io;
    uint32_t up, down;
    uint32_t selected;
};

static bool removable(const PciDevice *pci)
{
    return pci && DEVICE_GET_CLASS(pci)->hotpluggable;
}

static uint32_t slot_bit(Device *dev)
{
    return UINT32_C(1) << PCI_SLOT(PCI_DEVICE(dev)->devfn);
}

/* --- ejecting --- */

/* A slot leaves as a whole, function 0 last. */
static void eject_slot(AcpiPcihp *s, unsigned slot)
{
    for (int fn = 7; fn >= 0; fn--) {
        PciDevice *pci = pci_bus_device(s->bus, (uint8_t)PCI_DEVFN_OF(slot, fn));

        if (removable(pci)) {
            device_unplug(&pci->parent_obj);
        }
    }
}

static void eject(AcpiPcihp *s, uint32_t slots)
{
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (slots & UINT32_C(1) << slot) {
            eject_slot(s, slot);
        }
    }
}

static uint32_t removable_slots(const AcpiPcihp *s)
{
    uint32_t slots = 0;

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        if (removable(s->bus->devices[devfn])) {
            slots |= UINT32_C(1) << PCI_SLOT(devfn);
        }
    }
    return slots;
}

/* --- registers --- */

static uint64_t pcihp_read(void *opaque, uint64_t off, unsigned size)
{
    AcpiPcihp *s = opaque;
    uint32_t value;

    if (off == REG_BUS) {
        return s->selected;
    }
    if (s->selected != 0) {
        return 0;
    }
    switch (off) {
    case REG_UP:
        value = s->up;
        s->up = 0;
        return value;
    case REG_DOWN:
        return s->down;
    case REG_REMOVABLE:
        return removable_slots(s);
    default:
        return 0;
    }
}

static void pcihp_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    AcpiPcihp *s = opaque;

    if (off == REG_BUS) {
        s->selected = (uint32_t)value;
    } else if (off == REG_EJECT && s->selected == 0) {
        eject(s, (uint32_t)value);
    }
}

static const IoRegionOps pcihp_ops = {pcihp_read, pcihp_write, 4, 4};

/* --- the bus's hotplug handler --- */

static bool pcihp_plug(Object *handler, Device *dev, GError **err)
{
    ACPI_PCIHP(handler)->up |= slot_bit(dev);
    return true;
}

static bool pcihp_unplug_request(Object *handler, Device *dev, GError **err)
{
    ACPI_PCIHP(handler)->down |= slot_bit(dev);
    dev->pending_unplug = true;
    return true;
}

static void pcihp_unplug(Object *handler, Device *dev)
{
    ACPI_PCIHP(handler)->up &= ~slot_bit(dev);
    ACPI_PCIHP(handler)->down &= ~slot_bit(dev);
}

/* --- life --- */

/* The guest that was asked is gone: what was to leave does. */
static void pcihp_reset(Device *dev)
{
    AcpiPcihp *s = ACPI_PCIHP(dev);

    eject(s, s->down);
    s->up = s->down = s->selected = 0;
}

static bool pcihp_realize(Device *dev, GError **err)
{
    AcpiPcihp *s = ACPI_PCIHP(dev);
    Platform *p = device_platform(dev);

    if (!s->bus || !p->pio) {
        return error_set(err, "acpi-pcihp: needs a PCI bus and port I/O");
    }
    io_region_init(&s->io, "acpi-pcihp", &pcihp_ops, s, SIZE);
    aspace_map(p->pio, &s->io, PORT, 0);
    bus_set_hotplug_handler(&s->bus->parent_obj, OBJECT(dev));
    return true;
}

static void pcihp_unrealize(Device *dev)
{
    AcpiPcihp *s = ACPI_PCIHP(dev);

    bus_set_hotplug_handler(&s->bus->parent_obj, NULL);
    io_region_finish(&s->io);
}

static const Property pcihp_props[] = {
    PROP_LINK("bus", AcpiPcihp, bus, PciBus, &pci_bus_type, "the bus whose slots it manages"),
    PROP_END,
};

static void pcihp_class_init(ObjectClass *klass, const void *data)
{
    HotplugHandlerClass *hc = object_class_interface(klass, &hotplug_handler_type);
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = pcihp_realize;
    dc->unrealize = pcihp_unrealize;
    dc->reset = pcihp_reset;
    dc->category = "misc";
    hc->plug = pcihp_plug;
    hc->unplug_request = pcihp_unplug_request;
    hc->unplug = pcihp_unplug;
}

const TypeInfo acpi_pcihp_type = {
    .name = "acpi-pcihp",
    .parent = &device_type,
    .instance_size = sizeof(AcpiPcihp),
    .class_init = pcihp_class_init,
    .interfaces = (const TypeInfo *const[]){&hotplug_handler_type, NULL},
    .props = pcihp_props,
    .desc = "PCI hotplug registers of QEMU's pc",
};
