/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -dump-schema: a JSON Schema (draft 2020-12) of the configurations that -config takes.
 */
#ifndef AEROSTAT_VMM_CLI_SCHEMA_H
#define AEROSTAT_VMM_CLI_SCHEMA_H

#include <jansson.h>

/* Made from the type and property tables and the table of groups. New reference. */
json_t *config_schema(void);

int dump_schema(void); /* prints it; the program's exit status */

#endif
