/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "none": RAM at address 0 and nothing else, not even a bus that a device could plug onto.
 * For clients that ask over QMP what there is; it needs no KVM.
 */
#include "vmm/machine/machine.h"

static bool none_init(Machine *m, GError **err)
{
    return m->ram_size == 0 || gmem_add_block(m->platform.mem, GPA(0), m->ram, 0, m->ram_size, err);
}

static void none_class_init(ObjectClass *klass, const void *data)
{
    MachineClass *mc = MACHINE_CLASS(klass);

    mc->alias = "none";
    mc->default_accel = "qtest";
    mc->max_cpus = 1;
    mc->max_ram = UINT64_C(1) << 40;
    mc->init = none_init;
}

const TypeInfo none_machine_type = {
    .name = "none-machine",
    .parent = &machine_type,
    .class_init = none_class_init,
    .desc = "no devices, for introspection",
};
