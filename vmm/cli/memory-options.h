/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -mem-path and -mem-prealloc: short for a memory backend of the machine.
 */
#ifndef AEROSTAT_VMM_CLI_MEMORY_OPTIONS_H
#define AEROSTAT_VMM_CLI_MEMORY_OPTIONS_H

#include "vmm/machine/machine.h"
#include "vmm/cli/options.h"

/* Backends that -object makes get prealloc=on, unless they say otherwise. Before they are made. */
void memory_options_prealloc(const Options *o);

/* The machine's backend, /objects/MACHINE.ram, where the options want one. After the other objects are made. */
bool memory_options_make(const Options *o, Machine *m, GError **err);

#endif
