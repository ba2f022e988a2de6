/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "pc" (x86_64): the common board (x86-board.h) with a PCI host bridge that has
 * configuration ports and ECAM, ACPI hotplug of its slots, a CMOS RTC, the firmware configuration
 * ports and the i8042's reset line.
 *
 * Memory map, besides the common one:
 *   0xb0000000   ECAM, 1 MiB per bus: as many as there are root ports and one; RAM below ends here
 *   0xc0000000   PCI memory window (32-bit)
 */
#include "vmm/machine/x86-board.h"

#include "hw/misc/acpi-ged.h"
#include "hw/pci/acpi-pcihp.h"

OBJECT_DECLARE(PcMachine, pc_machine, PC_MACHINE)

#define PC_ECAM_BASE   UINT64_C(0xb0000000)
#define PC_ECAM_SIZE   (1 * MiB)
#define PC_ECAM_MAX    (256 * MiB)
#define PC_MMIO32_BASE UINT64_C(0xc0000000)
#define PC_MMIO32_SIZE UINT64_C(0x3e000000)

enum { PC_PIO_BASE = 0xc000, PC_PIO_SIZE = 0x4000, PC_GSI_PCI = 16 };

struct PcMachine {
    X86Machine parent_obj;
    bool i8042_on, hotplug_on; /* properties */
};

static bool pc_add_fw_cfg(X86Machine *x, GError **err)
{
    Machine *m = MACHINE(x);
    Device *dev = machine_new_device(&x->parent_obj, "fw_cfg_io", "fw_cfg", err);

    return dev && property_set_uint(OBJECT(dev), "ram-size", m->ram_size, err) &&
           property_set_uint(OBJECT(dev), "cpus", m->smp, err) &&
           property_set_uint(OBJECT(dev), "max-cpus", m->smp, err) &&
           device_realize(dev, m->main_bus, err);
}

static bool pc_add_hotplug(X86Machine *x, GError **err)
{
    Device *dev = machine_new_device(&x->parent_obj, "acpi-pcihp", "pcihp", err);

    if (!dev || !property_set_link(OBJECT(dev), "bus", OBJECT(pci_host_bus(x->pci)), err)) {
        return false;
    }
    acpi_pcihp_set_notify(dev, acpi_ged_event(x->ged, ACPI_GED_EVENT_PCI_HOTPLUG));
    return device_realize(dev, x->parent_obj.main_bus, err);
}

static bool pc_init(Machine *m, GError **err)
{
    X86Machine *x = X86_MACHINE(m);
    PciHostWindows windows = {
        .ecam_base = PC_ECAM_BASE,
        .ecam_size = PC_ECAM_SIZE,
        .ecam_max = PC_ECAM_MAX,
        .mmio32_base = PC_MMIO32_BASE,
        .mmio32_size = PC_MMIO32_SIZE,
        .pio_base = PC_PIO_BASE,
        .pio_size = PC_PIO_SIZE,
        .config_ports = true,
    };

    x->low_ram_max = PC_ECAM_BASE;
    return x86_init_board(x, err) && x86_init_pci(x, windows, PC_GSI_PCI, err) &&
           (!PC_MACHINE(m)->hotplug_on || pc_add_hotplug(x, err)) && pc_add_fw_cfg(x, err) &&
           (!PC_MACHINE(m)->i8042_on || x86_add_isa_device(x, "i8042", "keyboard", -1, err));
}

/* The tables do not name the i8042: it only resets, there is nothing for a keyboard driver to find.
 */
static bool pc_load(Machine *m, CpuStartState *ret_state, GError **err)
{
    AcpiConfig config = {.pcihp_port = PC_MACHINE(m)->hotplug_on ? ACPI_PCIHP_PORT : 0};

    return x86_load(X86_MACHINE(m), &config, ret_state, err);
}

static const Property pc_props[] = {
    PROP_BOOL("pit", PcMachine, parent_obj.pit_on, true, "the 8254 interval timer"),
    PROP_BOOL("rtc", PcMachine, parent_obj.rtc_on, true, "a CMOS real-time clock"),
    PROP_BOOL("i8042", PcMachine, i8042_on, true, "the keyboard controller's reset line"),
    PROP_BOOL("pci-hotplug", PcMachine, hotplug_on, true,
              "device_add and device_del on PCI slots while the guest runs"),
    PROP_BOOL("isa-serial", PcMachine, parent_obj.serial_on, true, "COM1"),
    PROP_END,
};

static void pc_class_init(ObjectClass *klass, const void *data)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->alias = "pc";
    mc->init = pc_init;
    mc->load = pc_load;
    mc->virtio_suffix = "-pci";
}

const TypeInfo pc_machine_type = {
    .name = "pc-machine",
    .parent = &x86_machine_type,
    .instance_size = sizeof(PcMachine),
    .class_init = pc_class_init,
    .props = pc_props,
    .desc = "x86_64 PC with PCI, hardware-reduced ACPI and direct Linux boot",
};
