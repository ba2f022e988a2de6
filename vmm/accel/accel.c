/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The abstract accelerator type, and the calls that the machine makes, dispatched through its
 * class.
 */
#include "vmm/accel/accel.h"

#include <string.h>

bool accel_open(Accel *accel, Platform *platform, GError **err)
{
    return ACCEL_GET_CLASS(accel)->open(accel, platform, err);
}

bool accel_create_vcpus(Accel *accel, unsigned n, GError **err)
{
    if (!ACCEL_GET_CLASS(accel)->create_vcpus(accel, n, err)) {
        return false;
    }
    for (unsigned i = 0; accel_runs_guests(accel) && i < n; i++) {
        g_autofree char *name = g_strdup_printf("cpu[%u]", i);

        object_add_child(OBJECT(accel), name, object_new(&cpu_type), NULL);
    }
    return true;
}

int accel_thread_id(Accel *accel, unsigned cpu)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->thread_id ? ac->thread_id(accel, cpu) : 0;
}

bool accel_translate(Accel *accel, unsigned cpu, uint64_t addr, uint64_t *ret_physical)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->translate && ac->translate(accel, cpu, addr, ret_physical);
}

json_t *accel_stats(Accel *accel, int cpu, bool schemas, GError **err)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->stats ? ac->stats(accel, cpu, schemas, err) : json_array();
}

bool accel_nmi(Accel *accel, GError **err)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->nmi ? ac->nmi(accel, err)
                   : error_set(err, "this accelerator has no vCPUs that could take an NMI");
}

static bool no_vcpu(unsigned cpu, GError **err)
{
    return error_set(err, "this accelerator has no vCPU %u", cpu);
}

bool accel_read_registers(Accel *accel, unsigned cpu, X86Registers *ret, GError **err)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->read_registers && cpu < accel->nr_vcpus ? ac->read_registers(accel, cpu, ret, err)
                                                       : no_vcpu(cpu, err);
}

bool accel_write_registers(Accel *accel, unsigned cpu, const X86Registers *regs, GError **err)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->write_registers && cpu < accel->nr_vcpus ? ac->write_registers(accel, cpu, regs, err)
                                                        : no_vcpu(cpu, err);
}

bool accel_debug(Accel *accel, unsigned cpu, const CpuDebug *how, GError **err)
{
    AccelClass *ac = ACCEL_GET_CLASS(accel);

    return ac->debug && cpu < accel->nr_vcpus ? ac->debug(accel, cpu, how, err) : no_vcpu(cpu, err);
}

bool accel_runs_guests(Accel *accel)
{
    return !ACCEL_GET_CLASS(accel)->no_vcpus;
}

IrqLine accel_gsi(Accel *accel, unsigned gsi)
{
    return ACCEL_GET_CLASS(accel)->gsi(accel, gsi);
}

bool accel_reset(Accel *accel, const CpuStartState *state, GError **err)
{
    return ACCEL_GET_CLASS(accel)->reset(accel, state, err);
}

void accel_start(Accel *accel)
{
    ACCEL_GET_CLASS(accel)->start(accel);
}

void accel_pause(Accel *accel)
{
    ACCEL_GET_CLASS(accel)->pause(accel);
}

void accel_close(Accel *accel)
{
    ACCEL_GET_CLASS(accel)->close(accel);
}

const TypeInfo cpu_type = {.name = "cpu", .desc = "a vCPU"};

const TypeInfo accel_type = {
    .name = "accel",
    .parent = &object_type,
    .instance_size = sizeof(Accel),
    .class_size = sizeof(AccelClass),
    .abstract = true,
};

const TypeInfo *const accel_types[] = {&kvm_accel_type, &qtest_accel_type, NULL};

const TypeInfo *accel_type_find(const char *name, GError **err)
{
    static const char suffix[] = "-accel";
    g_autoptr(GString) known = g_string_new(NULL);

    for (unsigned i = 0; accel_types[i]; i++) {
        const char *full = accel_types[i]->name;
        g_autofree char *alias = g_strndup(full, strlen(full) - strlen(suffix));

        if (!strcmp(name, alias)) {
            return accel_types[i];
        }
        g_string_append_printf(known, "%s%s", i ? ", " : "", alias);
    }
    error_set(err, "unknown accelerator '%s'; known: %s", name, known->str);
    return NULL;
}
