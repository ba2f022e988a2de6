/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program as a function, for a program that has device types of its own besides Aerostat's.
 */
#ifndef AEROSTAT_VMM_CLI_MAIN_H
#define AEROSTAT_VMM_CLI_MAIN_H

#include "qom/object.h"

/* Runs the VM that the command line describes; the exit status. more_types: NULL-terminated list, or NULL for none. */
int aerostat_main(int argc, char **argv, const TypeInfo *const *more_types);

#endif
