/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Registers of "acpi-pcihp", for the writer of the ACPI tables: dwords at ports from ACPI_PCIHP_PORT, with the places and
 * bits of QEMU's pc (docs/specs/acpi_pci_hotplug of QEMU). Bit N is slot N of bus 0. The DSDT's slots write theirs to
 * ACPI_PCIHP_EJECT in _EJ0 and to ACPI_PCIHP_STATUS in _OST; a scan reads UP and DOWN and notifies each slot of 1 (device
 * check) or 3 (eject request).
 */
#ifndef AEROSTAT_HW_PCI_ACPI_PCIHP_H
#define AEROSTAT_HW_PCI_ACPI_PCIHP_H

#include "core/irq.h"
#include "hw/core/device.h"

enum {
    ACPI_PCIHP_PORT = 0xae00,
    ACPI_PCIHP_SIZE = 0x1c,

    ACPI_PCIHP_UP = 0x00,        /* filled since it was read last */
    ACPI_PCIHP_DOWN = 0x04,      /* asked to be freed; until it is */
    ACPI_PCIHP_EJECT = 0x08,     /* a written 1 ejects */
    ACPI_PCIHP_REMOVABLE = 0x0c,
    ACPI_PCIHP_BUS = 0x10,       /* which bus the others are about; there is bus 0 alone */
    ACPI_PCIHP_STATUS = 0x18,    /* not QEMU's: what _OST says of an eject request, in 16 bits; the slot's number above */
};

/* ACPI 6.5 §6.3.5: what that may be. */
enum { ACPI_OST_SUCCESS = 0x00, ACPI_OST_EJECTING = 0x84 };

extern const TypeInfo acpi_pcihp_type;

/* Pulsed when the guest shall look at the registers. Before realize. */
void acpi_pcihp_set_notify(Device *dev, IrqLine notify);

#endif
