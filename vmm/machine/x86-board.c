/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The common part of the x86_64 machines, see x86-board.h. What firmware would do (assigning BARs,
 * writing ACPI tables) is done here on every start. Not here: firmware, VGA, IDE, floppy, and
 * legacy ACPI power management.
 */
#include "vmm/machine/x86-board.h"

#include "core/log.h"
#include "hw/isa/isa.h"
#include "hw/misc/acpi-ged.h"
#include "hw/pci/pcie-root-port.h"

#define X86_MMIO64_BASE (256 * GiB)
#define X86_MMIO64_SIZE (32 * GiB)
#define X86_GED_BASE    UINT64_C(0xfe900000)
#define X86_IOAPIC_BASE UINT64_C(0xfec00000)
#define X86_LAPIC_BASE  UINT64_C(0xfee00000)
#define X86_ACPI_BASE   UINT64_C(0xe0000)
#define X86_ACPI_END    UINT64_C(0x100000)
#define X86_ACPI_LIMIT  UINT64_C(0xfff00)
#define X86_EBDA        UINT64_C(0x9fc00)
#define X86_BIOS_RESET  UINT64_C(0xffff0)

enum { X86_SERIAL_IOBASE = 0x3f8 };
enum { X86_IRQ_SERIAL = 4, X86_IRQ_RTC = 8, X86_IRQ_GED = 9 };

static bool x86_in_ram(void *opaque, uint64_t addr, uint64_t len)
{
    return gmem_contains(opaque, GPA(addr), len);
}

static bool x86_init_ram(X86Machine *x, GError **err)
{
    Machine *m = &x->parent_obj;

    x->low_ram = MIN(m->ram_size, x->low_ram_max);
    x->high_ram = m->ram_size - x->low_ram;
    if (!gmem_add_block_split(m->platform.mem, m->ram, x->low_ram, GPA(4 * GiB), x->high_ram,
                              err)) {
        g_prefix_error(err, "-m: ");
        return false;
    }
    aspace_set_ram_check(m->platform.mmio, x86_in_ram, m->platform.mem);
    return true;
}

static bool x86_realize_isa(X86Machine *x, Device *dev, int gsi, GError **err)
{
    Machine *m = &x->parent_obj;

    if (gsi >= 0) {
        isa_connect_irq(dev, accel_gsi(m->accel, (unsigned)gsi));
    }
    return device_realize(dev, m->main_bus, err);
}

bool x86_add_isa_device(X86Machine *x, const char *type, const char *name, int gsi, GError **err)
{
    Device *dev = machine_new_device(&x->parent_obj, type, name, err);

    return dev && x86_realize_isa(x, dev, gsi, err);
}

bool x86_init_pci(X86Machine *x, PciHostWindows windows, unsigned first_gsi, GError **err)
{
    Machine *m = &x->parent_obj;
    uint64_t top = 4 * GiB + x->high_ram;
    Device *dev = machine_new_device(&x->parent_obj, "pci-host", "pci-host", err);
    IrqLine irqs[4];

    if (!dev) {
        return false;
    }
    windows.mmio64_base = MAX(X86_MMIO64_BASE, (top + GiB - 1) & ~(GiB - 1));
    windows.mmio64_size = X86_MMIO64_SIZE;
    for (unsigned i = 0; i < 4; i++) {
        irqs[i] = accel_gsi(m->accel, first_gsi + i);
    }
    x->pci = PCI_HOST(dev);
    x->pci_gsi = first_gsi;
    pci_host_set_windows(x->pci, &windows);
    pci_host_set_irqs(x->pci, irqs);
    return device_realize(dev, m->main_bus, err);
}

static bool x86_init_serial(X86Machine *x, GError **err)
{
    Machine *m = &x->parent_obj;
    Device *dev = machine_new_device(&x->parent_obj, "isa-serial", "serial0", err);

    return dev &&
           (!m->serial[0] ||
            property_set_link(OBJECT(dev), "chardev", OBJECT(m->serial[0]), err)) &&
           x86_realize_isa(x, dev, X86_IRQ_SERIAL, err);
}

static bool x86_init_ged(X86Machine *x, GError **err)
{
    x->ged = machine_new_device(&x->parent_obj, "acpi-ged", "ged", err);
    return x->ged && property_set_uint(OBJECT(x->ged), "base", X86_GED_BASE, err) &&
           x86_realize_isa(x, x->ged, X86_IRQ_GED, err);
}

bool x86_init_board(X86Machine *x, GError **err)
{
    return x86_init_ram(x, err) && x86_init_ged(x, err) &&
           (!x->serial_on || x86_init_serial(x, err)) &&
           (!x->rtc_on || x86_add_isa_device(x, "mc146818rtc", "cmos", X86_IRQ_RTC, err));
}

/* --- boot --- */

static bool x86_prepare_boot(Machine *m, GError **err)
{
    X86Machine *x = X86_MACHINE(m);

    if (!m->kernel) {
        return error_set(err,
                         "machine '%s' has no firmware: give a kernel with -kernel FILE "
                         "(a Linux bzImage or an uncompressed vmlinux)",
                         MACHINE_GET_CLASS(m)->alias);
    }
    m->accel->no_pit = !x->pit_on;
    x->boot = boot_x86_new(m->kernel, m->initrd, m->append, err);
    return x->boot != NULL;
}

static void x86_complete_acpi(X86Machine *x, AcpiConfig *config)
{
    config->nr_cpus = x->parent_obj.smp;
    config->ioapic_base = X86_IOAPIC_BASE;
    config->lapic_base = X86_LAPIC_BASE;
    config->pci = x->pci ? pci_host_windows(x->pci) : NULL;
    config->pcie_hotplug = x->pci && pcie_native_hotplug(pci_host_bus(x->pci));
    for (unsigned i = 0; i < G_N_ELEMENTS(config->pci_gsi); i++) {
        config->pci_gsi[i] = x->pci_gsi + i;
    }
    config->serial_iobase = x->serial_on ? X86_SERIAL_IOBASE : 0;
    config->serial_irq = X86_IRQ_SERIAL;
    config->rtc = x->rtc_on;
    config->ged_base = X86_GED_BASE;
    config->ged_irq = X86_IRQ_GED;
}

static bool x86_write_acpi(X86Machine *x, AcpiConfig *config, Gpa *ret_rsdp, GError **err)
{
    g_autoptr(GByteArray) tables = NULL;

    x86_complete_acpi(x, config);
    tables = acpi_build(config, GPA(X86_ACPI_BASE), ret_rsdp);
    if (tables->len > X86_ACPI_LIMIT - X86_ACPI_BASE ||
        !gmem_write(x->parent_obj.platform.mem, GPA(X86_ACPI_BASE), tables->data, tables->len)) {
        return error_set(err, "ACPI tables of %u bytes do not fit their place", tables->len);
    }
    return true;
}

/*
 * The place where a BIOS begins, f000:fff0 in real mode. Linux jumps there to reboot when ACPI is
 * hardware-reduced and there is no EFI, in spite of FADT's reset register. The code asks the
 * keyboard controller for a reset and, where there is none, makes a triple fault.
 */
static bool x86_write_bios_reset(X86Machine *x, GError **err)
{
    static const uint8_t code[] = {
        0xb0, 0xfe,                         /* mov $0xfe, %al */
        0xe6, 0x64,                         /* out %al, $0x64 */
        0x2e, 0x0f, 0x01, 0x1e, 0xe0, 0xff, /* lidt %cs:0xffe0: zeros, so that nothing is handled */
        0xcc,                               /* int3 */
        0xf4,                               /* hlt */
    };

    return gmem_write(x->parent_obj.platform.mem, GPA(X86_BIOS_RESET), code, sizeof code) ||
           error_set(err, "-m: no RAM at the BIOS entry");
}

/* Returns the number of entries. */
static unsigned x86_memory_map(X86Machine *x, E820Entry e820[E820_MAX])
{
    const PciHostWindows *pci = x->pci ? pci_host_windows(x->pci) : NULL;
    unsigned n = 0;

    e820[n++] = (E820Entry){GPA(0), X86_EBDA, E820_RAM};
    e820[n++] = (E820Entry){GPA(X86_EBDA), 640 * KiB - X86_EBDA, E820_RESERVED};
    e820[n++] = (E820Entry){GPA(X86_ACPI_BASE), X86_ACPI_END - X86_ACPI_BASE, E820_RESERVED};
    e820[n++] = (E820Entry){GPA(MiB), x->low_ram - MiB, E820_RAM};
    if (pci && pci->ecam_size) {
        e820[n++] = (E820Entry){GPA(pci->ecam_base), pci->ecam_size, E820_RESERVED};
    }
    e820[n++] = (E820Entry){GPA(ACCEL_X86_RESERVED_BASE), ACCEL_X86_RESERVED_SIZE, E820_RESERVED};
    if (x->high_ram) {
        e820[n++] = (E820Entry){GPA(4 * GiB), x->high_ram, E820_RAM};
    }
    return n;
}

bool x86_load(X86Machine *x, AcpiConfig *config, CpuStartState *ret_state, GError **err)
{
    E820Entry e820[E820_MAX];
    BootX86Layout layout = {.e820 = e820, .low_ram_size = x->low_ram};

    ret_state->arch = CPU_START_X86;
    if (x->pci && !pci_host_assign_bars(x->pci, err)) {
        return false;
    }
    layout.e820_count = x86_memory_map(x, e820); /* how large ECAM is, is known now */
    return x86_write_acpi(x, config, &layout.rsdp, err) && x86_write_bios_reset(x, err) &&
           boot_x86_load(x->boot, x->parent_obj.platform.mem, &layout, &ret_state->x86, err);
}

/* --- the type --- */

static void x86_finish(Machine *m)
{
    X86Machine *x = X86_MACHINE(m);

    boot_x86_free(x->boot);
    x->boot = NULL;
}

static void x86_instance_finalize(Object *obj)
{
    x86_finish(MACHINE(obj));
}

static void x86_power_button(Machine *m)
{
    acpi_ged_power_button(X86_MACHINE(m)->ged);
}

static void x86_class_init(ObjectClass *klass, const void *data)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->max_cpus = 64;
    mc->min_ram = 16 * MiB;
    mc->max_ram = 1024 * GiB;
    mc->prepare_boot = x86_prepare_boot;
    mc->finish = x86_finish;
    mc->power_button = x86_power_button;
    mc->arch = "x86_64";
    mc->irqchip = "ioapic";
    mc->nr_irqs = 24;
}

const TypeInfo x86_machine_type = {
    .name = "x86-machine",
    .parent = &machine_type,
    .instance_size = sizeof(X86Machine),
    .abstract = true,
    .instance_finalize = x86_instance_finalize,
    .class_init = x86_class_init,
};
