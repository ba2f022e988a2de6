/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Events and power control of a hardware-reduced ACPI machine (ACPI 6.5 section 4.1 and 5.6.9,
 * generic event device): power button, PCI hotplug, sleep control and status, reset. The only sleep
 * state is S5, off.
 */
#include "core/log.h"
#include "hw/isa/isa.h"
#include "hw/misc/acpi-ged.h"

OBJECT_DECLARE(AcpiGed, acpi_ged, ACPI_GED)

enum { SLP_TYP_MASK = 7 };

struct AcpiGed {
    IsaDevice parent_obj;
    uint64_t base;
    uint32_t irq;
    IoRegion io;
    uint32_t selector; /* events that were not read yet */
};

static uint64_t acpi_ged_read(void *opaque, uint64_t off, unsigned size)
{
    AcpiGed *s = opaque;
    uint32_t events = s->selector;

    if (off != ACPI_GED_SELECTOR) {
        return 0;
    }
    s->selector = 0;
    isa_irq_set(ISA_DEVICE(s), false);
    return events;
}

static void acpi_ged_sleep(AcpiGed *s, uint8_t value)
{
    unsigned type = value >> ACPI_GED_SLP_TYP_SHIFT & SLP_TYP_MASK;

    if (!(value & ACPI_GED_SLP_EN)) {
        return;
    }
    if (type == ACPI_GED_SLP_TYP_S5) {
        platform_shutdown_request(device_platform(DEVICE(s)), SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    } else {
        log_guest("acpi-ged: unknown sleep type %u", type);
    }
}

static void acpi_ged_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    AcpiGed *s = opaque;

    TRACE(acpi_ged_write, "offset 0x%x value 0x%x", (unsigned)off, (unsigned)value);
    switch (off) {
    case ACPI_GED_SLEEP_CONTROL:
        acpi_ged_sleep(s, (uint8_t)value);
        break;
    case ACPI_GED_RESET:
        if (value == ACPI_GED_RESET_VALUE) {
            platform_reset_request(device_platform(DEVICE(s)), SHUTDOWN_CAUSE_GUEST_RESET);
        }
        break;
    default: /* the status has no bit that would stay: there is nothing to wake from */
        break;
    }
}

static const IoRegionOps acpi_ged_ops = {
    .read = acpi_ged_read,
    .write = acpi_ged_write,
    .max_size = 4,
};

static void acpi_ged_set_event(void *opaque, int event, int level)
{
    AcpiGed *s = opaque;

    if (level) {
        s->selector |= (uint32_t)event;
        isa_irq_set(ISA_DEVICE(s), true);
    }
}

IrqLine acpi_ged_event(Device *dev, uint32_t event)
{
    return (IrqLine){acpi_ged_set_event, ACPI_GED(dev), (int)event};
}

void acpi_ged_power_button(Device *dev)
{
    irq_pulse(acpi_ged_event(dev, ACPI_GED_EVENT_POWER));
}

static void acpi_ged_reset(Device *dev)
{
    AcpiGed *s = ACPI_GED(dev);

    s->selector = 0;
    isa_irq_set(ISA_DEVICE(s), false);
}

static bool acpi_ged_realize(Device *dev, GError **err)
{
    AcpiGed *s = ACPI_GED(dev);

    io_region_init(&s->io, "acpi-ged", &acpi_ged_ops, s, ACPI_GED_SIZE);
    aspace_map(device_platform(dev)->mmio, &s->io, s->base, 0);
    return true;
}

static void acpi_ged_unrealize(Device *dev)
{
    AcpiGed *s = ACPI_GED(dev);

    isa_irq_set(ISA_DEVICE(s), false);
    io_region_finish(&s->io);
}

static const Property acpi_ged_props[] = {
    PROP_UINT64("base", AcpiGed, base, ACPI_GED_BASE, 0, UINT64_MAX - ACPI_GED_SIZE,
                "address of its registers"),
    PROP_UINT32("irq", AcpiGed, irq, 9, 0, UINT32_MAX, "interrupt input it is wired to"),
    PROP_END,
};

static void acpi_ged_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = acpi_ged_realize;
    dc->unrealize = acpi_ged_unrealize;
    dc->reset = acpi_ged_reset;
    dc->category = "misc";
}

const TypeInfo acpi_ged_type = {
    .name = "acpi-ged",
    .parent = &isa_device_type,
    .instance_size = sizeof(AcpiGed),
    .class_init = acpi_ged_class_init,
    .props = acpi_ged_props,
    .desc = "ACPI power button, sleep and reset registers",
};
