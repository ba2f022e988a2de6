/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a debugger sees of a vCPU and asks of it, in terms that are free of KVM: registers, stepping, and the four
 * hardware points of x86. Software breakpoints are the debugger's own: it writes INT3 and is told when one was
 * executed.
 */
#ifndef AEROSTAT_VMM_ACCEL_CPU_DEBUG_H
#define AEROSTAT_VMM_ACCEL_CPU_DEBUG_H

#include <stdbool.h>
#include <stdint.h>

enum { CPU_POINTS_MAX = 4 };

/* X86Registers.seg has the first six, .segments all. */
enum { X86_CS, X86_SS, X86_DS, X86_ES, X86_FS, X86_GS, X86_LDT, X86_TR, X86_GDT, X86_IDT, X86_SEGMENTS };

typedef struct {
    uint16_t selector;
    uint32_t limit, flags; /* flags: as in the upper half of a descriptor */
    uint64_t base;
} X86Segment;

typedef struct {
    uint64_t gpr[16]; /* rax rbx rcx rdx rsi rdi rbp rsp r8 ... r15 */
    uint64_t rip, rflags;
    uint16_t seg[6];  /* selectors; a write changes them in real mode only */
    X86Segment segments[X86_SEGMENTS]; /* a write does nothing with them */
    uint64_t fs_base, gs_base, kernel_gs_base;
    uint64_t cr0, cr2, cr3, cr4, cr8, efer;
    uint8_t st[8][16]; /* the first 10 bytes are the register */
    uint16_t fcw, fsw, fop;
    uint8_t ftw;       /* a bit for each register that is not empty, as FXSAVE has it */
    uint64_t fip, fdp;
    uint8_t xmm[16][16];
    uint32_t mxcsr;
} X86Registers;

typedef enum {
    CPU_DEBUG_RUN,
    CPU_DEBUG_STEP, /* stops after one instruction; no interrupt comes before it where the host can do that */
    CPU_DEBUG_HOLD, /* stands still while others run */
} CpuDebugMode;

typedef enum { CPU_POINT_EXEC, CPU_POINT_WRITE, CPU_POINT_ACCESS } CpuPointKind;

typedef struct {
    uint64_t addr; /* virtual */
    uint8_t len;   /* 1, 2, 4 or 8, to which addr is aligned; 1 for EXEC */
    CpuPointKind kind;
} CpuPoint;

typedef struct {
    CpuDebugMode mode;
    bool software; /* INT3 is to be told of */
    unsigned nr_points;
    CpuPoint points[CPU_POINTS_MAX];
} CpuDebug;

typedef enum { CPU_STOP_STEP, CPU_STOP_INT3, CPU_STOP_POINT } CpuStopKind;

typedef struct {
    unsigned cpu;
    CpuStopKind kind;
    uint64_t pc;    /* linear; of INT3 the instruction itself */
    unsigned point; /* of POINT: index into the points */
} CpuStop;

/*
 * Hears of stops: on the vCPU's thread, under the VM lock. True: the vCPU stands until the next accel_start, and the
 * debugger sees to it that the VM is stopped. False: the exception is the guest's own.
 */
typedef struct {
    bool (*stopped)(void *opaque, const CpuStop *stop);
    void *opaque;
} CpuDebugger;

#endif
