/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The list of machines and their lookup by the name after -M.
 */
#include "vmm/machine/machine.h"

#include <string.h>

extern const TypeInfo pc_machine_type, microvm_machine_type, none_machine_type, virt_machine_type;

const TypeInfo *const machine_types[] = {
    &pc_machine_type, &microvm_machine_type, &none_machine_type, &virt_machine_type, NULL,
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

const char *machine_program_target(const char *program)
{
    static const char *const targets[] = {"x86_64", "aarch64", "arm"};

    for (unsigned i = 0; i < G_N_ELEMENTS(targets); i++) {
        g_autofree char *suffix = g_strconcat("-system-", targets[i], NULL);

        if (g_str_has_suffix(program, suffix)) {
            return targets[i];
        }
    }
    return NULL;
}

const char *machine_default(const char *target)
{
    return !target || !strcmp(target, "x86_64") ? "pc" : "virt";
}

bool machine_has_target(const TypeInfo *type, const char *target)
{
    const char *arch = MACHINE_CLASS(type_class(type))->arch;

    /* 64-bit Arm machines are 32-bit ones, too */
    return !arch || !target || !strcmp(arch, target) ||
           (!strcmp(arch, "aarch64") && !strcmp(target, "arm"));
}
