/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between acpi.c (tables) and dsdt.c (the AML of the DSDT). Private to vmm/acpi/.
 */
#ifndef AEROSTAT_VMM_ACPI_ACPI_INTERNAL_H
#define AEROSTAT_VMM_ACPI_ACPI_INTERNAL_H

#include "vmm/acpi/acpi.h"

/* Appends the DSDT's AML, without a table header. */
void acpi_dsdt_aml(GByteArray *out, const AcpiConfig *config);

#endif
