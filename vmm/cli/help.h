/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -device help, -device TYPE,help, -M help and -M TYPE,help: printed from the type and property tables.
 */
#ifndef AEROSTAT_VMM_CLI_HELP_H
#define AEROSTAT_VMM_CLI_HELP_H

#include "qom/property.h"
#include "vmm/machine/machine.h"

void help_machines(void);
void help_devices(void);           /* all user-creatable types, by category */
void help_objects(void);           /* all types of -object */
void help_type(const TypeInfo *type); /* properties with type, default, range and help line */
char *help_property_line(const Property *prop); /* one of these lines; g_free */
char *help_property(const Property *prop); /* its help line with default and range; g_free */

#endif
