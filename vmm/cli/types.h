/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The one list that names all types of the program.
 */
#ifndef AEROSTAT_VMM_CLI_TYPES_H
#define AEROSTAT_VMM_CLI_TYPES_H

/* Registers every type; call it once, before threads. */
void types_register_all(void);

#endif
