/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the x86_64 machines have in common: RAM around the hole below 4 GiB, ACPI events, COM1, optional CMOS clock and
 * PCI host bridge, ACPI tables and direct Linux boot. "x86-machine" is abstract; "pc" and "microvm" are made of it.
 *
 * Memory map:
 *   0            RAM, up to low_ram_max; ACPI tables at 0xe0000, BIOS reset entry at 0xffff0
 *   low_ram_max  the board's own: PCI windows, ECAM
 *   0xfe900000   ACPI event device (sleep, reset, power button)
 *   0xfec00000   I/O APIC; 0xfee00000 local APICs
 *   4 GiB        rest of RAM; then, from 256 GiB or the next 1 GiB boundary, the 64-bit PCI window
 */
#ifndef AEROSTAT_VMM_MACHINE_X86_BOARD_H
#define AEROSTAT_VMM_MACHINE_X86_BOARD_H

#include "hw/pci/pci-host.h"
#include "vmm/acpi/acpi.h"
#include "vmm/boot/boot-x86.h"
#include "vmm/machine/machine.h"

OBJECT_DECLARE(X86Machine, x86_machine, X86_MACHINE)

#define KiB UINT64_C(1024)
#define MiB (1024 * KiB)
#define GiB (1024 * MiB)

struct X86Machine {
    Machine parent_obj;
    bool rtc_on, serial_on, pit_on; /* properties of the concrete machines, whose defaults differ */
    uint64_t low_ram_max;   /* set before x86_init_board: where the hole begins */
    PciHost *pci;           /* NULL: none */
    unsigned pci_gsi;       /* INTA's; the other pins' follow */
    Device *ged;
    BootX86 *boot;
    uint64_t low_ram, high_ram;
};

/* RAM, ACPI events, and as far as they are on COM1 and the clock. */
bool x86_init_board(X86Machine *x, GError **err);

/* The host bridge; windows as given, but for the 64-bit one, which comes after RAM. */
bool x86_init_pci(X86Machine *x, PciHostWindows windows, unsigned first_gsi, GError **err);

/* machine_new_device of an IsaDevice, realized on the main bus; gsi below 0: no interrupt. */
bool x86_add_isa_device(X86Machine *x, const char *type, const char *name, int gsi, GError **err);

/* Assigns BARs, writes the ACPI tables and loads the kernel. config brings what is the board's own; the common part is
 * filled in. */
bool x86_load(X86Machine *x, AcpiConfig *config, CpuStartState *ret_state, GError **err);

#endif
