/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state in which vCPU 0 of an x86 machine starts: what a boot protocol asks for, in terms that are free of KVM.
 */
#ifndef AEROSTAT_VMM_ACCEL_CPU_X86_H
#define AEROSTAT_VMM_ACCEL_CPU_X86_H

#include <stdint.h>

#include "core/gmem.h"

/* Guest addresses that KVM keeps for itself (identity map and TSS): no RAM, no device, reserved in the e820 map. */
#define ACCEL_X86_RESERVED_BASE 0xfeffc000
#define ACCEL_X86_RESERVED_SIZE 0x4000

typedef enum {
    X86_START_REAL,        /* power-on: real mode at cs:ip f000:fff0 */
    X86_START_PROTECTED32, /* flat 32-bit segments, paging off (PVH: Xen's x86/HVM direct boot ABI) */
    X86_START_LONG64,      /* 64-bit, paging on through cr3 (Linux boot protocol, 64-bit entry) */
} X86StartMode;

typedef struct {
    X86StartMode mode;
    uint64_t rip, rsp, rsi, rbx;
    Gpa page_table;  /* LONG64: the PML4 that the loader wrote */
    Gpa gdt;         /* PROTECTED32, LONG64: the GDT that the loader wrote ... */
    uint16_t gdt_limit;
    uint16_t code_selector, data_selector; /* ... and its flat segments */
} X86CpuState;

#endif
