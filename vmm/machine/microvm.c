/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "microvm" (x86_64): the common board (x86-board.h) with virtio devices on MMIO windows
 * and nothing from a PC's past unless asked for (KVM's interrupt chip has its 8259s in any case,
 * unseen by the guest). A window with a device in it is announced through
 * ACPI (LNRO0005) and, where asked for, on the kernel's command line. Names and places are QEMU's;
 * eight windows, as many as the I/O APIC has inputs above the ISA ones.
 *
 * Memory map, besides the common one:
 *   0xc0000000   PCI memory window (32-bit), with pcie=on; RAM below ends here
 *   0xe0000000   ECAM, 1 MiB per bus, with pcie=on
 *   0xfeb00000   virtio windows of 0x200 bytes, interrupts from 16
 */
#include <inttypes.h>

#include "hw/virtio/virtio-mmio.h"
#include "vmm/machine/x86-board.h"

OBJECT_DECLARE(MicrovmMachine, microvm_machine, MICROVM_MACHINE)

#define MICROVM_MMIO32_BASE UINT64_C(0xc0000000)
#define MICROVM_MMIO32_SIZE UINT64_C(0x20000000)
#define MICROVM_ECAM_BASE   UINT64_C(0xe0000000)
#define MICROVM_ECAM_SIZE   (1 * MiB)
#define MICROVM_ECAM_MAX    (256 * MiB)
#define MICROVM_VIRTIO_BASE UINT64_C(0xfeb00000)

enum {
    MICROVM_PIO_BASE = 0xc000,
    MICROVM_PIO_SIZE = 0x4000,
    MICROVM_GSI_PCI = 12,
    MICROVM_GSI_VIRTIO = 16,
    MICROVM_WINDOWS = 8,
};

struct MicrovmMachine {
    X86Machine parent_obj;
    bool pic_on, pcie_on, cmdline_on, legacy_virtio; /* properties */
    Device *windows[MICROVM_WINDOWS];
};

static uint64_t window_base(unsigned n)
{
    return MICROVM_VIRTIO_BASE + (uint64_t)n * VIRTIO_MMIO_SIZE;
}

static bool init_window(MicrovmMachine *mv, unsigned n, GError **err)
{
    Machine *m = MACHINE(mv);
    g_autofree char *name = g_strdup_printf("virtio-mmio[%u]", n);
    Device *dev = machine_new_device(MACHINE(mv), "virtio-mmio", name, err);

    if (!dev) {
        return false;
    }
    mv->windows[n] = dev;
    virtio_mmio_connect_irq(dev, accel_gsi(m->accel, MICROVM_GSI_VIRTIO + n));
    return property_set_uint(OBJECT(dev), "base", window_base(n), err) &&
           property_set_bool(OBJECT(dev), "force-legacy", mv->legacy_virtio, err) &&
           device_realize(dev, m->main_bus, err);
}

static bool init_windows(MicrovmMachine *mv, GError **err)
{
    for (unsigned n = 0; n < MICROVM_WINDOWS; n++) {
        if (!init_window(mv, n, err)) {
            return false;
        }
    }
    return true;
}

static bool init_pcie(MicrovmMachine *mv, GError **err)
{
    PciHostWindows windows = {
        .ecam_base = MICROVM_ECAM_BASE,
        .ecam_size = MICROVM_ECAM_SIZE,
        .ecam_max = MICROVM_ECAM_MAX,
        .mmio32_base = MICROVM_MMIO32_BASE,
        .mmio32_size = MICROVM_MMIO32_SIZE,
        .pio_base = MICROVM_PIO_BASE,
        .pio_size = MICROVM_PIO_SIZE,
    };

    return x86_init_pci(X86_MACHINE(mv), windows, MICROVM_GSI_PCI, err);
}

static bool microvm_init(Machine *m, GError **err)
{
    MicrovmMachine *mv = MICROVM_MACHINE(m);
    X86Machine *x = X86_MACHINE(m);

    x->low_ram_max = MICROVM_MMIO32_BASE;
    if (!property_was_set(OBJECT(m), "isa-serial")) { /* a stream for COM1 asks for it, too */
        x->serial_on = m->serial[0] != NULL;
    }
    return x86_init_board(x, err) && init_windows(mv, err) && (!mv->pcie_on || init_pcie(mv, err));
}

/* --- boot --- */

/* The windows that have a device: the others would only cost the guest time. */
static uint32_t used_windows(MicrovmMachine *mv)
{
    uint32_t mask = 0;

    for (unsigned n = 0; n < MICROVM_WINDOWS; n++) {
        mask |= (uint32_t)(virtio_mmio_device(mv->windows[n]) != NULL) << n;
    }
    return mask;
}

/* Linux: Documentation/admin-guide/kernel-parameters, virtio_mmio.device. */
static bool announce_on_cmdline(MicrovmMachine *mv, uint32_t used, GError **err)
{
    Machine *m = MACHINE(mv);
    g_autoptr(GString) line = g_string_new(m->append);

    for (unsigned n = 0; n < MICROVM_WINDOWS; n++) {
        if (used & (1U << n)) {
            g_string_append_printf(line, "%svirtio_mmio.device=%d@0x%" PRIx64 ":%u",
                                   line->len ? " " : "", VIRTIO_MMIO_SIZE, window_base(n),
                                   MICROVM_GSI_VIRTIO + n);
        }
    }
    return boot_x86_set_cmdline(X86_MACHINE(mv)->boot, line->str, err);
}

static bool microvm_load(Machine *m, CpuStartState *ret_state, GError **err)
{
    MicrovmMachine *mv = MICROVM_MACHINE(m);
    AcpiConfig config = {
        .pic = mv->pic_on,
        .virtio_mmio_base = MICROVM_VIRTIO_BASE,
        .virtio_mmio_size = VIRTIO_MMIO_SIZE,
        .virtio_mmio_gsi = MICROVM_GSI_VIRTIO,
        .virtio_mmio_used = used_windows(mv),
    };

    return (!mv->cmdline_on || announce_on_cmdline(mv, config.virtio_mmio_used, err)) &&
           x86_load(X86_MACHINE(m), &config, ret_state, err);
}

static const Property microvm_props[] = {
    PROP_BOOL("pit", MicrovmMachine, parent_obj.pit_on, false, "the 8254 interval timer"),
    PROP_BOOL("pic", MicrovmMachine, pic_on, false,
              "announce the 8259 interrupt controllers, which KVM always has"),
    PROP_BOOL("rtc", MicrovmMachine, parent_obj.rtc_on, false, "a CMOS real-time clock"),
    PROP_BOOL("isa-serial", MicrovmMachine, parent_obj.serial_on, true,
              "COM1; not given: where a stream is connected to it"),
    PROP_BOOL("pcie", MicrovmMachine, pcie_on, false, "a PCI host bridge with ECAM"),
    PROP_BOOL("auto-kernel-cmdline", MicrovmMachine, cmdline_on, false,
              "announce virtio devices on the kernel's command line, too"),
    PROP_BOOL("force-legacy", MicrovmMachine, legacy_virtio, false,
              "virtio windows have version 1 of the registers"),
    PROP_END,
};

static void microvm_class_init(ObjectClass *klass, const void *data)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->alias = "microvm";
    mc->init = microvm_init;
    mc->load = microvm_load;
    mc->virtio_suffix = "-device";
}

const TypeInfo microvm_machine_type = {
    .name = "microvm-machine",
    .parent = &x86_machine_type,
    .instance_size = sizeof(MicrovmMachine),
    .class_init = microvm_class_init,
    .props = microvm_props,
    .desc =
        "x86_64 without a PC's past: virtio over MMIO, hardware-reduced ACPI, direct Linux boot",
};
