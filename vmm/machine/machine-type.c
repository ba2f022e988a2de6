/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of machines and their lookup by the name after -M.
 */
#include "vmm/machine/machine.h"

#include <string.h>

extern const TypeInfo pc_machine_type, microvm_machine_type;

const TypeInfo *const machine_types[] = {
    &pc_machine_type,
    &microvm_machine_type,
    NULL,
};

static const char *machine_alias(const TypeInfo *type)
{
    return MACHINE_CLASS(type_class(type))->alias;
}

const TypeInfo *machine_type_find(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(machine_types)] = {NULL};
    const char *near;

    for (unsigned i = 0; machine_types[i]; i++) {
        names[i] = machine_alias(machine_types[i]);
        if (!strcmp(name, names[i]) || !strcmp(name, machine_types[i]->name)) {
            return machine_types[i];
        }
    }
    near = error_near_miss(name, names);
    if (near) {
        error_set(err, "unknown machine '%s'; did you mean '%s'?", name, near);
    } else {
        error_set(err, "unknown machine '%s'; '-M help' lists all", name);
    }
    return NULL;
}
