/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -check: all faults of the command line and its config files.
 */
#ifndef AEROSTAT_VMM_CLI_CHECK_H
#define AEROSTAT_VMM_CLI_CHECK_H

#include "vmm/cli/vmm.h"

/* Looks for faults in all that vmm->opts say and prints them; without any, -dump-config prints what there is.
 * The program's exit status. */
int vmm_check(Vmm *vmm);

/*
 * Whether an object of type takes the properties in opts ; each fault goes to o->faults, and begins as options_say_where
 * has it. Links are looked up below root.
 */
bool check_properties(Options *o, Object *root, const TypeInfo *type, json_t *opts, const char *option,
                      const char *name_key);

#endif
