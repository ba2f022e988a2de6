/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "pc" (x86_64): RAM around the hole for devices below 4 GiB, a PCI host bridge with
 * configuration ports and ECAM, COM1, CMOS RTC, i8042 reset, hardware-reduced ACPI, direct Linux
 * boot. What firmware would do (assigning BARs, writing ACPI tables) is done here on every start.
 *
 * Memory map:
 *   0            RAM, up to 2816 MiB; ACPI tables at 0xe0000, BIOS reset entry at 0xffff0
 *   0xb0000000   ECAM, 1 MiB for bus 0
 *   0xc0000000   PCI memory window (32-bit)
 *   0xfe900000   ACPI event device (sleep, reset, power button)
 *   0xfec00000   I/O APIC; 0xfee00000 local APICs
 *   4 GiB        rest of RAM; then, from 256 GiB or the next 1 GiB boundary, the 64-bit PCI window
 *
 * Not here: firmware, VGA, IDE, floppy, and the legacy ACPI power management of QEMU's pc.
 */
#include "vmm/machine/machine.h"

#include "core/log.h"
#include "hw/isa/isa.h"
#include "hw/misc/acpi-ged.h"
#include "hw/pci/pci-host.h"
#include "vmm/acpi/acpi.h"
#include "vmm/boot/boot-x86.h"

OBJECT_DECLARE(PcMachine, pc_machine, PC_MACHINE)

#define KiB UINT64_C(1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)

#define PC_LOW_RAM_MAX (UINT64_C(0xb0000000))
#define PC_ECAM_BASE   UINT64_C(0xb0000000)
#define PC_ECAM_SIZE   (1 * MiB)
#define PC_MMIO32_BASE UINT64_C(0xc0000000)
#define PC_MMIO32_SIZE UINT64_C(0x3e000000)
#define PC_MMIO64_BASE (256 * GiB)
#define PC_MMIO64_SIZE (32 * GiB)
#define PC_GED_BASE    UINT64_C(0xfe900000)
#define PC_IOAPIC_BASE UINT64_C(0xfec00000)
#define PC_LAPIC_BASE  UINT64_C(0xfee00000)
#define PC_ACPI_BASE   UINT64_C(0xe0000)
#define PC_ACPI_END    UINT64_C(0x100000)
#define PC_ACPI_LIMIT  UINT64_C(0xfff00)
#define PC_EBDA        UINT64_C(0x9fc00)
#define PC_BIOS_RESET  UINT64_C(0xffff0)

enum { PC_PIO_BASE = 0xc000, PC_PIO_SIZE = 0x4000, PC_SERIAL_IOBASE = 0x3f8 };
enum { PC_IRQ_SERIAL = 4, PC_IRQ_RTC = 8, PC_IRQ_GED = 9, PC_IRQ_PCI = 16 };

struct PcMachine {
    Machine parent_obj;
    bool rtc_on, i8042_on, serial_on; /* properties */
    PciHost *pci;
    Device *ged;
    BootX86 *boot;
    uint64_t low_ram, high_ram;
};

static PciHostWindows pc_windows(PcMachine *pc)
{
    uint64_t top = 4 * GiB + pc->high_ram;

    return (PciHostWindows){
        .ecam_base = PC_ECAM_BASE,
        .ecam_size = PC_ECAM_SIZE,
        .mmio32_base = PC_MMIO32_BASE,
        .mmio32_size = PC_MMIO32_SIZE,
        .mmio64_base = MAX(PC_MMIO64_BASE, (top + GiB - 1) & ~(GiB - 1)),
        .mmio64_size = PC_MMIO64_SIZE,
        .pio_base = PC_PIO_BASE,
        .pio_size = PC_PIO_SIZE,
        .config_ports = true,
    };
}

static bool pc_in_ram(void *opaque, uint64_t addr, uint64_t len)
{
    return gmem_contains(opaque, GPA(addr), len);
}

static bool pc_init_ram(PcMachine *pc, GError **err)
{
    Machine *m = &pc->parent_obj;

    pc->low_ram = MIN(m->ram_size, PC_LOW_RAM_MAX);
    pc->high_ram = m->ram_size - pc->low_ram;
    if (!gmem_add_split(m->platform.mem, pc->low_ram, GPA(4 * GiB), pc->high_ram, GMEM_ANONYMOUS,
                        err)) {
        g_prefix_error(err, "-m: ");
        return false;
    }
    aspace_set_ram_check(m->platform.mmio, pc_in_ram, m->platform.mem);
    return true;
}

/* A board device: a named child of the machine. Borrowed; NULL with err. */
static Device *pc_new_device(PcMachine *pc, const char *type, const char *name, GError **err)
{
    Object *obj = object_new_by_name(type, err);

    if (obj && !object_add_child(OBJECT(pc), name, obj, err)) {
        object_unref(obj);
        return NULL;
    }
    return obj ? DEVICE(obj) : NULL;
}

static bool pc_realize(PcMachine *pc, Device *dev, int irq, GError **err)
{
    Machine *m = &pc->parent_obj;

    if (irq >= 0) {
        isa_connect_irq(dev, accel_gsi(m->accel, irq));
    }
    return device_realize(dev, m->main_bus, err);
}

static bool pc_init_pci(PcMachine *pc, GError **err)
{
    Machine *m = &pc->parent_obj;
    PciHostWindows windows = pc_windows(pc);
    Device *dev = pc_new_device(pc, "pci-host", "pci-host", err);
    IrqLine irqs[4];

    if (!dev) {
        return false;
    }
    pc->pci = PCI_HOST(dev);
    for (unsigned i = 0; i < 4; i++) {
        irqs[i] = accel_gsi(m->accel, PC_IRQ_PCI + i);
    }
    pci_host_set_windows(pc->pci, &windows);
    pci_host_set_irqs(pc->pci, irqs);
    return device_realize(dev, m->main_bus, err);
}

static bool pc_init_serial(PcMachine *pc, GError **err)
{
    Machine *m = &pc->parent_obj;
    Device *dev;

    if (!pc->serial_on) {
        return true;
    }
    dev = pc_new_device(pc, "isa-serial", "serial0", err);
    if (!dev) {
        return false;
    }
    return (!m->serial[0] ||
            property_set_link(OBJECT(dev), "chardev", OBJECT(m->serial[0]), err)) &&
           pc_realize(pc, dev, PC_IRQ_SERIAL, err);
}

static bool pc_init_simple(PcMachine *pc, const char *type, const char *name, int irq, GError **err)
{
    Device *dev = pc_new_device(pc, type, name, err);

    return dev && pc_realize(pc, dev, irq, err);
}

static bool pc_init_ged(PcMachine *pc, GError **err)
{
    pc->ged = pc_new_device(pc, "acpi-ged", "ged", err);
    return pc->ged && property_set_uint(OBJECT(pc->ged), "base", PC_GED_BASE, err) &&
           pc_realize(pc, pc->ged, PC_IRQ_GED, err);
}

static bool pc_init(Machine *m, GError **err)
{
    PcMachine *pc = PC_MACHINE(m);

    return pc_init_ram(pc, err) && pc_init_pci(pc, err) && pc_init_ged(pc, err) &&
           pc_init_serial(pc, err) &&
           (!pc->rtc_on || pc_init_simple(pc, "mc146818rtc", "rtc", PC_IRQ_RTC, err)) &&
           (!pc->i8042_on || pc_init_simple(pc, "i8042", "i8042", -1, err));
}

/* --- boot --- */

static bool pc_prepare_boot(Machine *m, GError **err)
{
    PcMachine *pc = PC_MACHINE(m);

    if (!m->kernel) {
        return error_set(err, "machine 'pc' has no firmware: give a kernel with -kernel FILE "
                              "(a Linux bzImage or an uncompressed vmlinux)");
    }
    pc->boot = boot_x86_new(m->kernel, m->initrd, m->append, err);
    return pc->boot != NULL;
}

static bool pc_write_acpi(PcMachine *pc, Gpa *ret_rsdp, GError **err)
{
    Machine *m = &pc->parent_obj;
    AcpiConfig config = {
        .nr_cpus = m->smp,
        .ioapic_base = PC_IOAPIC_BASE,
        .lapic_base = PC_LAPIC_BASE,
        .pci = pci_host_windows(pc->pci),
        .pci_gsi = {PC_IRQ_PCI, PC_IRQ_PCI + 1, PC_IRQ_PCI + 2, PC_IRQ_PCI + 3},
        .serial_iobase = pc->serial_on ? PC_SERIAL_IOBASE : 0,
        .serial_irq = PC_IRQ_SERIAL,
        .rtc = pc->rtc_on,
        .i8042 = false, /* it only resets: nothing for a keyboard driver to find */
        .ged_base = PC_GED_BASE,
        .ged_irq = PC_IRQ_GED,
    };
    g_autoptr(GByteArray) tables = acpi_build(&config, GPA(PC_ACPI_BASE), ret_rsdp);

    if (tables->len > PC_ACPI_LIMIT - PC_ACPI_BASE ||
        !gmem_write(m->platform.mem, GPA(PC_ACPI_BASE), tables->data, tables->len)) {
        return error_set(err, "ACPI tables of %u bytes do not fit their place", tables->len);
    }
    return true;
}

/*
 * The place where a BIOS begins, f000:fff0 in real mode. Linux jumps there to reboot when ACPI is
 * hardware-reduced and there is no EFI, in spite of FADT's reset register. The code asks the
 * keyboard controller for a reset and, where there is none, makes a triple fault.
 */
static bool pc_write_bios_reset(PcMachine *pc, GError **err)
{
    static const uint8_t code[] = {
        0xb0, 0xfe,                         /* mov $0xfe, %al */
        0xe6, 0x64,                         /* out %al, $0x64 */
        0x2e, 0x0f, 0x01, 0x1e, 0xe0, 0xff, /* lidt %cs:0xffe0: zeros, so that nothing is handled */
        0xcc,                               /* int3 */
        0xf4,                               /* hlt */
    };

    return gmem_write(pc->parent_obj.platform.mem, GPA(PC_BIOS_RESET), code, sizeof code) ||
           error_set(err, "-m: no RAM at the BIOS entry");
}

static bool pc_load(Machine *m, CpuStartState *ret_state, GError **err)
{
    PcMachine *pc = PC_MACHINE(m);
    E820Entry e820[] = {
        {GPA(0), PC_EBDA, E820_RAM},
        {GPA(PC_EBDA), 640 * KiB - PC_EBDA, E820_RESERVED},
        {GPA(PC_ACPI_BASE), PC_ACPI_END - PC_ACPI_BASE, E820_RESERVED},
        {GPA(MiB), pc->low_ram - MiB, E820_RAM},
        {GPA(PC_ECAM_BASE), PC_ECAM_SIZE, E820_RESERVED},
        {GPA(ACCEL_X86_RESERVED_BASE), ACCEL_X86_RESERVED_SIZE, E820_RESERVED},
        {GPA(4 * GiB), pc->high_ram, E820_RAM},
    };
    BootX86Layout layout = {
        .e820 = e820,
        .e820_count = G_N_ELEMENTS(e820) - (pc->high_ram == 0),
        .low_ram_size = pc->low_ram,
    };

    ret_state->arch = CPU_START_X86;
    return pci_host_assign_bars(pc->pci, err) && pc_write_acpi(pc, &layout.rsdp, err) &&
           pc_write_bios_reset(pc, err) &&
           boot_x86_load(pc->boot, m->platform.mem, &layout, &ret_state->x86, err);
}

static void pc_finish(Machine *m)
{
    PcMachine *pc = PC_MACHINE(m);

    boot_x86_free(pc->boot);
    pc->boot = NULL;
}

static void pc_instance_finalize(Object *obj)
{
    pc_finish(MACHINE(obj));
}

static void pc_power_button(Machine *m)
{
    acpi_ged_power_button(PC_MACHINE(m)->ged);
}

static const Property pc_props[] = {
    PROP_BOOL("rtc", PcMachine, rtc_on, true, "a CMOS real-time clock"),
    PROP_BOOL("i8042", PcMachine, i8042_on, true, "the keyboard controller's reset line"),
    PROP_BOOL("isa-serial", PcMachine, serial_on, true, "COM1"),
    PROP_END,
};

static void pc_class_init(ObjectClass *klass, const void *data)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->alias = "pc";
    mc->max_cpus = 64;
    mc->min_ram = 16 * MiB;
    mc->max_ram = 1024 * GiB;
    mc->init = pc_init;
    mc->prepare_boot = pc_prepare_boot;
    mc->load = pc_load;
    mc->finish = pc_finish;
    mc->power_button = pc_power_button;
    mc->virtio_suffix = "-pci";
}

const TypeInfo pc_machine_type = {
    .name = "pc-machine",
    .parent = &machine_type,
    .instance_size = sizeof(PcMachine),
    .instance_finalize = pc_instance_finalize,
    .class_init = pc_class_init,
    .props = pc_props,
    .desc = "x86_64 PC with PCI, hardware-reduced ACPI and direct Linux boot",
};
