/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI hotplug by registers (acpi-pcihp.h): a guest is told to look here, learns which slots of bus
 * 0 were filled and which ones it shall free, and ejects a slot when its driver has let go. A guest
 * may eject what nobody asked for. One that says that it will not let go of a device, or does not
 * answer in half a minute, has refused: it is asked no longer, and DEVICE_UNPLUG_GUEST_ERROR tells.
 * Not here: buses behind bridges.
 */
#include "hw/pci/acpi-pcihp.h"

#include "core/log.h"
#include "hw/pci/pci.h"

OBJECT_DECLARE(AcpiPcihp, acpi_pcihp, ACPI_PCIHP)

struct AcpiPcihp {
    Device parent_obj;
    PciBus *bus; /* property */
    IrqLine notify;
    IoRegion io;
    LoopBh *eject_bh;
    LoopTimer *patience; /* runs out with the first of the deadlines of slots in down */
    int64_t deadline_ns[PCI_SLOTS];
    uint32_t up, down;
    uint32_t ejecting; /* slots that eject_bh will see to */
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

static void eject_now(AcpiPcihp *s, uint32_t slots)
{
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (slots & UINT32_C(1) << slot) {
            eject_slot(s, slot);
        }
    }
}

static void eject_cb(void *opaque)
{
    AcpiPcihp *s = opaque;
    uint32_t slots = s->ejecting;

    s->ejecting = 0;
    eject_now(s, slots);
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

/*
 * Devices end on the main loop, where their requests do. To a vCPU their slots stop asking at once,
 * and are free a moment later.
 */
static void eject(AcpiPcihp *s, uint32_t slots)
{
    TRACE(acpi_pcihp_eject, "slots 0x%x", slots);
    s->down &= ~slots;
    if (loop_in_thread(device_platform(&s->parent_obj)->loop)) {
        eject_now(s, slots);
        return;
    }
    s->ejecting |= slots & removable_slots(s); /* not what is plugged in a moment from now */
    loop_bh_schedule(s->eject_bh);
}

/* --- refusals --- */

static void set_patience(AcpiPcihp *s)
{
    int64_t first = INT64_MAX;

    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (s->down & UINT32_C(1) << slot) {
            first = MIN(first, s->deadline_ns[slot]);
        }
    }
    if (s->down) {
        loop_timer_arm_at(s->patience, first);
    } else {
        loop_timer_cancel(s->patience);
    }
}

static void wait_for(AcpiPcihp *s, unsigned slot)
{
    s->down |= UINT32_C(1) << slot;
    s->deadline_ns[slot] =
        clock_now(device_platform(&s->parent_obj)->vclock) + DEVICE_UNPLUG_PATIENCE_NS;
    set_patience(s);
}

static void refused(AcpiPcihp *s, unsigned slot)
{
    s->down &= ~(UINT32_C(1) << slot);
    set_patience(s);
    pci_slot_unplug_refused(s->bus, slot);
}

static void patience_cb(void *opaque)
{
    AcpiPcihp *s = opaque;
    int64_t now = clock_now(device_platform(&s->parent_obj)->vclock);

    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        if (s->down & UINT32_C(1) << slot && s->deadline_ns[slot] <= now) {
            refused(s, slot);
        }
    }
    set_patience(s);
}

/* What the guest says of a slot that it was asked to free. */
static void take_status(AcpiPcihp *s, uint32_t value)
{
    unsigned slot = value >> 16, status = value & UINT16_MAX;

    if (slot >= PCI_SLOTS || !(s->down & UINT32_C(1) << slot) || status == ACPI_OST_SUCCESS) {
        return;
    }
    TRACE(acpi_pcihp_status, "slot %u status 0x%x", slot, status);
    if (status == ACPI_OST_EJECTING) {
        wait_for(s, slot);
    } else {
        refused(s, slot);
    }
}

/* --- registers --- */

static uint64_t pcihp_read(void *opaque, uint64_t off, unsigned size)
{
    AcpiPcihp *s = opaque;
    uint32_t value;

    if (off == ACPI_PCIHP_BUS) {
        return s->selected;
    }
    if (s->selected != 0) {
        return 0;
    }
    switch (off) {
    case ACPI_PCIHP_UP:
        value = s->up;
        s->up = 0;
        return value;
    case ACPI_PCIHP_DOWN:
        return s->down;
    case ACPI_PCIHP_REMOVABLE:
        return removable_slots(s);
    default:
        return 0;
    }
}

static void pcihp_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    AcpiPcihp *s = opaque;

    if (off == ACPI_PCIHP_BUS) {
        s->selected = (uint32_t)value;
    } else if (off == ACPI_PCIHP_EJECT && s->selected == 0) {
        eject(s, (uint32_t)value);
    } else if (off == ACPI_PCIHP_STATUS && s->selected == 0) {
        take_status(s, (uint32_t)value);
    }
}

static const IoRegionOps pcihp_ops = {pcihp_read, pcihp_write, 4, 4};

/* --- the bus's hotplug handler --- */

static bool pcihp_plug(Object *handler, Device *dev, GError **err)
{
    AcpiPcihp *s = ACPI_PCIHP(handler);

    s->up |= slot_bit(dev);
    irq_pulse(s->notify);
    return true;
}

static bool pcihp_unplug_request(Object *handler, Device *dev, GError **err)
{
    AcpiPcihp *s = ACPI_PCIHP(handler);

    wait_for(s, PCI_SLOT(PCI_DEVICE(dev)->devfn));
    device_unplug_asked(dev);
    irq_pulse(s->notify);
    return true;
}

static void pcihp_unplug(Object *handler, Device *dev)
{
    AcpiPcihp *s = ACPI_PCIHP(handler);

    s->up &= ~slot_bit(dev);
    s->down &= ~slot_bit(dev);
    set_patience(s);
}

/* --- life --- */

void acpi_pcihp_set_notify(Device *dev, IrqLine notify)
{
    g_assert(!dev->realized);
    ACPI_PCIHP(dev)->notify = notify;
}

/* The guest that was asked is gone: what was to leave does. */
static void pcihp_reset(Device *dev)
{
    AcpiPcihp *s = ACPI_PCIHP(dev);

    eject_now(s, s->down | s->ejecting);
    loop_bh_cancel(s->eject_bh);
    s->up = s->down = s->ejecting = s->selected = 0;
    set_patience(s);
}

static bool pcihp_realize(Device *dev, GError **err)
{
    AcpiPcihp *s = ACPI_PCIHP(dev);
    Platform *p = device_platform(dev);

    if (!s->bus || !p->pio) {
        return error_set(err, "acpi-pcihp: needs a PCI bus and port I/O");
    }
    s->eject_bh = loop_bh_new(p->loop, eject_cb, s);
    s->patience = loop_timer_new(p->loop, p->vclock, patience_cb, s);
    io_region_init(&s->io, "acpi-pcihp", &pcihp_ops, s, ACPI_PCIHP_SIZE);
    aspace_map(p->pio, &s->io, ACPI_PCIHP_PORT, 0);
    bus_set_hotplug_handler(&s->bus->parent_obj, OBJECT(dev));
    return true;
}

static void pcihp_unrealize(Device *dev)
{
    AcpiPcihp *s = ACPI_PCIHP(dev);

    bus_set_hotplug_handler(&s->bus->parent_obj, NULL);
    io_region_finish(&s->io);
    loop_bh_free(g_steal_pointer(&s->eject_bh));
    loop_timer_free(g_steal_pointer(&s->patience));
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
