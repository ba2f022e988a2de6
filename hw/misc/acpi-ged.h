/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register layout of the ACPI event and power-control block ("acpi-ged"), for the writer of the ACPI tables: the
 * FADT's SLEEP_CONTROL_REG, SLEEP_STATUS_REG and RESET_REG are base + the offsets below, 8 bits wide, in system memory,
 * with RESET_VALUE; \_S5 is package {ACPI_GED_SLP_TYP_S5}. The DSDT's ACPI0013 device names the interrupt (property
 * "irq", level or edge triggered, active high) in _CRS; its _EVT reads the selector, 32 bits, once: that lowers the
 * wire. ACPI_GED_EVENT_POWER in it means Notify(PWRB, 0x80), ACPI_GED_EVENT_PCI_HOTPLUG a look at the registers of
 * hw/pci/acpi-pcihp.h.
 */
#ifndef AEROSTAT_HW_MISC_ACPI_GED_H
#define AEROSTAT_HW_MISC_ACPI_GED_H

#include "hw/core/device.h"

enum {
    ACPI_GED_BASE = 0xfe900000,   /* default of property "base" */
    ACPI_GED_SIZE = 0x1000,

    ACPI_GED_SELECTOR = 0x0,      /* 32 bits, read clears */
    ACPI_GED_SLEEP_CONTROL = 0x4, /* 8 bits, SLP_TYP << 2 | SLP_EN */
    ACPI_GED_SLEEP_STATUS = 0x5,  /* 8 bits */
    ACPI_GED_RESET = 0x6,         /* 8 bits */

    ACPI_GED_EVENT_POWER = 1 << 0,
    ACPI_GED_EVENT_PCI_HOTPLUG = 1 << 1,
    ACPI_GED_RESET_VALUE = 0x42,
    ACPI_GED_SLP_TYP_S5 = 5,
    ACPI_GED_SLP_TYP_SHIFT = 2,
    ACPI_GED_SLP_EN = 1 << 5,
};

extern const TypeInfo acpi_ged_type;

/* Presses the power button. */
void acpi_ged_power_button(Device *dev);

/* A wire whose rising makes that event (one of ACPI_GED_EVENT_*). */
IrqLine acpi_ged_event(Device *dev, uint32_t event);

#endif
