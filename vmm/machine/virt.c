/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "virt" (aarch64), with QEMU's memory map: virtio windows, of which the first device takes
 * the highest, and a PCI host with ECAM. It runs on the accelerator "qtest" only so far: interrupt
 * controller, timer and vCPUs come with its KVM side, and so does loading a kernel. Not here:
 * flash, PL011, PL031, GPIO and the firmware configuration device.
 *
 *   0x08000000     interrupt controller (described in the device tree, the accelerator's)
 *   0x0a000000     32 virtio windows of 0x200 bytes, interrupts from SPI 16
 *   0x10000000     PCI memory window (32-bit); INTA to INTD are SPI 3 to 6
 *   0x3eff0000     PCI I/O window: where ports are seen
 *   0x40000000     RAM
 *   0x4010000000   ECAM, 256 MiB
 *   0x8000000000   PCI memory window (64-bit)
 */
#include "hw/pci/pci-host.h"
#include "hw/virtio/virtio-mmio.h"
#include "vmm/boot/fdt-virt.h"
#include "vmm/machine/machine.h"

OBJECT_DECLARE(VirtMachine, virt_machine, VIRT_MACHINE)

#define MiB (UINT64_C(1) << 20)
#define GiB (UINT64_C(1) << 30)

#define VIRT_GIC_DIST    UINT64_C(0x08000000)
#define VIRT_GIC_CPU     UINT64_C(0x08010000)
#define VIRT_GIC_SIZE    UINT64_C(0x10000)
#define VIRT_VIRTIO_BASE UINT64_C(0x0a000000)
#define VIRT_MMIO32_BASE UINT64_C(0x10000000)
#define VIRT_MMIO32_SIZE UINT64_C(0x2eff0000)
#define VIRT_PIO_BASE    UINT64_C(0x3eff0000)
#define VIRT_PIO_SIZE    UINT64_C(0x10000)
#define VIRT_RAM_BASE    UINT64_C(0x40000000)
#define VIRT_ECAM_BASE   UINT64_C(0x4010000000)
#define VIRT_ECAM_SIZE   (256 * MiB)
#define VIRT_MMIO64_BASE UINT64_C(0x8000000000)
#define VIRT_MMIO64_SIZE (512 * GiB)

enum { VIRT_WINDOWS = 32, VIRT_SPI_PCI = 3, VIRT_SPI_VIRTIO = 16, VIRT_SPIS = 256 };

struct VirtMachine {
    Machine parent_obj;
    bool legacy_virtio; /* property */
    IoRegion pio;       /* ports as memory; ops NULL: not mapped */
};

/* --- virtio windows --- */

static bool init_window(VirtMachine *v, unsigned n, GError **err)
{
    Machine *m = MACHINE(v);
    g_autofree char *name = g_strdup_printf("virtio-mmio[%u]", n);
    Device *dev = machine_new_device(m, "virtio-mmio", name, err);

    if (!dev) {
        return false;
    }
    virtio_mmio_connect_irq(dev, accel_gsi(m->accel, VIRT_SPI_VIRTIO + n));
    return property_set_uint(OBJECT(dev), "base", VIRT_VIRTIO_BASE + n * VIRTIO_MMIO_SIZE, err) &&
           property_set_bool(OBJECT(dev), "force-legacy", v->legacy_virtio, err) &&
           device_realize(dev, m->main_bus, err);
}

/* Buses are numbered by address; the search for a free one begins at the highest. */
static void reverse_windows(GPtrArray *devices, unsigned first)
{
    for (unsigned i = first, k = devices->len - 1; i < k; i++, k--) {
        gpointer dev = devices->pdata[i];

        devices->pdata[i] = devices->pdata[k];
        devices->pdata[k] = dev;
    }
}

static bool init_windows(VirtMachine *v, GError **err)
{
    GPtrArray *devices = MACHINE(v)->main_bus->devices;
    unsigned first = devices->len;

    for (unsigned n = 0; n < VIRT_WINDOWS; n++) {
        if (!init_window(v, n, err)) {
            return false;
        }
    }
    reverse_windows(devices, first);
    return true;
}

/* --- PCI --- */

static uint64_t pio_read(void *opaque, uint64_t off, unsigned size)
{
    Platform *p = opaque;
    uint64_t value;

    aspace_read(p->pio, off, size, &value);
    return value;
}

static void pio_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    Platform *p = opaque;

    aspace_write(p->pio, off, value, size);
}

static const IoRegionOps pio_ops = {pio_read, pio_write, 1, 4};

static bool init_pci(VirtMachine *v, GError **err)
{
    static const PciHostWindows windows = {
        .ecam_base = VIRT_ECAM_BASE,
        .ecam_size = VIRT_ECAM_SIZE,
        .mmio32_base = VIRT_MMIO32_BASE,
        .mmio32_size = VIRT_MMIO32_SIZE,
        .mmio64_base = VIRT_MMIO64_BASE,
        .mmio64_size = VIRT_MMIO64_SIZE,
        .pio_base = 0,
        .pio_size = VIRT_PIO_SIZE,
    };
    Machine *m = MACHINE(v);
    Device *dev = machine_new_device(m, "pci-host", "pci-host", err);
    IrqLine irqs[4];

    if (!dev) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(irqs); i++) {
        irqs[i] = accel_gsi(m->accel, VIRT_SPI_PCI + i);
    }
    pci_host_set_windows(PCI_HOST(dev), &windows);
    pci_host_set_irqs(PCI_HOST(dev), irqs);
    io_region_init(&v->pio, "pci-pio-window", &pio_ops, &m->platform, VIRT_PIO_SIZE);
    aspace_map(m->platform.mmio, &v->pio, VIRT_PIO_BASE, 0);
    return device_realize(dev, m->main_bus, err);
}

static bool virt_init(Machine *m, GError **err)
{
    VirtMachine *v = VIRT_MACHINE(m);

    return gmem_add_block(m->platform.mem, GPA(VIRT_RAM_BASE), m->ram, 0, m->ram_size, err) &&
           init_windows(v, err) && init_pci(v, err);
}

static void virt_finish(Machine *m)
{
    VirtMachine *v = VIRT_MACHINE(m);

    if (v->pio.ops) {
        io_region_finish(&v->pio);
        v->pio.ops = NULL;
    }
}

/* --- boot --- */

static bool virt_prepare_boot(Machine *m, GError **err)
{
    return accel_runs_guests(m->accel)
               ? error_set(err, "machine 'virt' runs no guest so far: give -accel qtest")
               : error_set(err, "-kernel: machine 'virt' loads no kernel so far");
}

static GByteArray *virt_dtb(Machine *m, GError **err)
{
    FdtVirtConfig config = {
        .nr_cpus = m->smp,
        .ram = {VIRT_RAM_BASE, m->ram_size},
        .gic_dist = {VIRT_GIC_DIST, VIRT_GIC_SIZE},
        .gic_cpu = {VIRT_GIC_CPU, VIRT_GIC_SIZE},
        .virtio = {VIRT_VIRTIO_BASE, VIRTIO_MMIO_SIZE},
        .nr_virtio = VIRT_WINDOWS,
        .virtio_spi = VIRT_SPI_VIRTIO,
        .ecam = {VIRT_ECAM_BASE, VIRT_ECAM_SIZE},
        .pio = {VIRT_PIO_BASE, VIRT_PIO_SIZE},
        .mmio32 = {VIRT_MMIO32_BASE, VIRT_MMIO32_SIZE},
        .mmio64 = {VIRT_MMIO64_BASE, VIRT_MMIO64_SIZE},
        .pci_spi = VIRT_SPI_PCI,
        .bootargs = m->append,
    };

    return fdt_virt_build(&config, err);
}

/* --- the type --- */

static const Property virt_props[] = {
    PROP_BOOL("force-legacy", VirtMachine, legacy_virtio, true,
              "virtio windows have version 1 of the registers"),
    PROP_STRING("dumpdtb", Machine, dumpdtb, NULL, "write the device tree to that file and exit"),
    PROP_END,
};

static void virt_class_init(ObjectClass *klass, const void *data)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->alias = "virt";
    mc->arch = "aarch64";
    mc->default_accel = "qtest";
    mc->irqchip = "gic";
    mc->nr_irqs = VIRT_SPIS;
    mc->max_cpus = 8;
    mc->min_ram = 16 * MiB;
    mc->max_ram = 255 * GiB;
    mc->init = virt_init;
    mc->prepare_boot = virt_prepare_boot;
    mc->finish = virt_finish;
    mc->dtb = virt_dtb;
    mc->virtio_suffix = "-pci";
}

const TypeInfo virt_machine_type = {
    .name = "virt-machine",
    .parent = &machine_type,
    .instance_size = sizeof(VirtMachine),
    .class_init = virt_class_init,
    .props = virt_props,
    .desc = "aarch64 with virtio over MMIO and PCI, for -accel qtest so far",
};
