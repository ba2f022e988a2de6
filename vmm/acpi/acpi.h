/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hardware-reduced ACPI tables for x86 machines (ACPI 6.5): RSDP, XSDT, FADT, MADT, MCFG, DSDT. The DSDT is written
 * by a small AML builder (aml.h) from what the machine says it has.
 */
#ifndef AEROSTAT_VMM_ACPI_ACPI_H
#define AEROSTAT_VMM_ACPI_ACPI_H

#include "core/gmem.h"
#include "hw/pci/pci-host.h"

typedef struct {
    unsigned nr_cpus;
    uint64_t ioapic_base, lapic_base;
    const PciHostWindows *pci;   /* NULL: no PCI */
    unsigned pci_gsi[4];         /* INTA to INTD of the host bridge */
    uint16_t pcihp_port;         /* registers of acpi-pcihp; 0: none, the root bus's slots stay as they are */
    bool pcie_hotplug;           /* slots of PCI Express ports are the operating system's to run, which _OSC grants */
    uint16_t serial_iobase;      /* 0: no COM1 */
    unsigned serial_irq;
    bool rtc;                    /* CMOS RTC at 0x70, IRQ 8; else the FADT says that there is none */
    bool i8042;
    uint64_t ged_base;           /* registers of acpi-ged; 0: none */
    unsigned ged_irq;
    bool pic;                    /* the MADT says that there are 8259s, too */
    uint64_t virtio_mmio_base;   /* windows of virtio_mmio_size bytes, one after the other */
    uint32_t virtio_mmio_size;
    unsigned virtio_mmio_gsi;    /* of the first window; the others' follow */
    uint32_t virtio_mmio_used;   /* bit n: window n is there for the guest to see */
} AcpiConfig;

/*
 * The tables as one blob to be put at base (below 4 GiB, a multiple of 16), and the address of the RSDP within it.
 * Deterministic.
 * Free with g_byte_array_unref.
 */
GByteArray *acpi_build(const AcpiConfig *config, Gpa base, Gpa *ret_rsdp);

#endif
