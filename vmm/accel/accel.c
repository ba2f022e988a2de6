/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The abstract accelerator type, and the calls that the machine makes, dispatched through its
 * class.
 */
#include "vmm/accel/accel.h"

bool accel_open(Accel *accel, Platform *platform, GError **err)
{
    return ACCEL_GET_CLASS(accel)->open(accel, platform, err);
}

bool accel_create_vcpus(Accel *accel, unsigned n, GError **err)
{
    return ACCEL_GET_CLASS(accel)->create_vcpus(accel, n, err);
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

const TypeInfo accel_type = {
    .name = "accel",
    .parent = &object_type,
    .instance_size = sizeof(Accel),
    .class_size = sizeof(AccelClass),
    .abstract = true,
};

const TypeInfo *const accel_types[] = {&kvm_accel_type, NULL};
