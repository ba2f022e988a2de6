/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state in which vCPU 0 of a machine starts, whatever its architecture: made by the machine's loader, understood
 * by an accelerator that runs that architecture.
 */
#ifndef AEROSTAT_VMM_ACCEL_CPU_H
#define AEROSTAT_VMM_ACCEL_CPU_H

#include "vmm/accel/cpu-x86.h"

typedef enum {
    CPU_START_NONE, /* nothing was loaded: only for accelerators without vCPUs */
    CPU_START_X86,
    CPU_START_AARCH64,
} CpuStartArch;

/* EL1 with the MMU off, as arm64's boot protocol asks. */
typedef struct {
    uint64_t pc;
    uint64_t x0; /* the device tree's address; x1 to x3 are 0 */
} Aarch64CpuState;

typedef struct {
    CpuStartArch arch;
    union {
        X86CpuState x86;
        Aarch64CpuState aarch64;
    };
} CpuStartState;

#endif
