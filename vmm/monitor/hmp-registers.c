/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "info registers" and "cpu" of the human monitor, in QEMU's layout: 64-bit registers where the
 * vCPU runs 64-bit code, 32-bit ones elsewhere. What the accelerator interface does not tell (debug
 * registers, whether the vCPU is halted) is left out.
 */
#include <inttypes.h>
#include <string.h>

#include "core/le.h"
#include "qom/property.h"
#include "vmm/monitor/hmp-internal.h"

#define EFER_LMA (UINT64_C(1) << 10)
#define CR0_PE   (UINT64_C(1) << 0)

/* In a descriptor's upper half (Intel SDM 3.4.5). */
enum { DESC_A = 1 << 8, DESC_W = 1 << 9, DESC_C = 1 << 10, DESC_CODE = 1 << 11, DESC_S = 1 << 12 };
enum { DESC_DPL = 13, DESC_P = 1 << 15, DESC_L = 1 << 21, DESC_B = 1 << 22 };

typedef struct {
    HmpMonitor *mon;
    const X86Registers *regs;
    bool wide;
} View;

/* --- general --- */

static void show_general(const View *v)
{
    static const char *const names[] = {"AX", "BX", "CX", "DX", "SI", "DI", "BP", "SP"};
    const X86Registers *x = v->regs;

    for (unsigned i = 0; i < (v->wide ? 16 : 8); i++) {
        const char *end = i % 4 == 3 ? "\r\n" : " ";

        if (!v->wide) {
            hmp_print(v->mon, "E%s=%08" PRIx32 "%s", names[i], (uint32_t)x->gpr[i], end);
        } else if (i < 8) {
            hmp_print(v->mon, "R%s=%016" PRIx64 "%s", names[i], x->gpr[i], end);
        } else {
            hmp_print(v->mon, "R%-2u=%016" PRIx64 "%s", i, x->gpr[i], end);
        }
    }
}

static void show_flags(const View *v)
{
    static const struct {
        unsigned bit;
        char letter;
    } flags[] = {{10, 'D'}, {11, 'O'}, {7, 'S'}, {6, 'Z'}, {4, 'A'}, {2, 'P'}, {0, 'C'}};
    const X86Registers *x = v->regs;
    char text[G_N_ELEMENTS(flags) + 1] = "";

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) {
        text[i] = x->rflags >> flags[i].bit & 1 ? flags[i].letter : '-';
    }
    hmp_print(v->mon, v->wide ? "RIP=%016" PRIx64 " RFL" : "EIP=%08" PRIx64 " EFL", x->rip);
    hmp_print(v->mon, "=%08" PRIx32 " [%s] CPL=%u\r\n", (uint32_t)x->rflags, text,
              x->segments[X86_SS].flags >> DESC_DPL & 3);
}

/* --- segments --- */

static const char *system_type(uint32_t flags, bool lma)
{
    static const char *const old[] = {"Reserved",   "TSS16-avl", "LDT",       "TSS16-busy",
                                      "CallGate16", "TaskGate",  "IntGate16", "TrapGate16",
                                      "Reserved",   "TSS32-avl", "Reserved",  "TSS32-busy",
                                      "CallGate32", "Reserved",  "IntGate32", "TrapGate32"};
    static const char *const lng[] = {[2] = "LDT",         [9] = "TSS64-avl",  [11] = "TSS64-busy",
                                      [12] = "CallGate64", [14] = "IntGate64", [15] = "TrapGate64"};
    unsigned type = flags >> 8 & 15;

    if (lma) {
        return type < G_N_ELEMENTS(lng) && lng[type] ? lng[type] : "Reserved";
    }
    return old[type];
}

static void show_kind(const View *v, uint32_t flags)
{
    bool code = flags & DESC_CODE;
    const char *letters = code ? "CRA" : "EWA"; /* conforming or expanding downwards, ... */

    hmp_print(v->mon, " DPL=%u ", flags >> DESC_DPL & 3);
    if (!(flags & DESC_S)) {
        hmp_print(v->mon, "%s", system_type(flags, v->regs->efer & EFER_LMA));
        return;
    }
    if (code) {
        hmp_print(v->mon, "%s", flags & DESC_L ? "CS64" : flags & DESC_B ? "CS32" : "CS16");
    } else {
        hmp_print(v->mon, "%s", flags & DESC_B || v->regs->efer & EFER_LMA ? "DS  " : "DS16");
    }
    hmp_print(v->mon, " [%c%c%c]", flags & DESC_C ? letters[0] : '-',
              flags & DESC_W ? letters[1] : '-', flags & DESC_A ? letters[2] : '-');
}

static void show_base(const View *v, uint64_t base)
{
    hmp_print(v->mon, v->wide ? "%016" PRIx64 : "%08" PRIx64, v->wide ? base : (uint32_t)base);
}

static void show_segments(const View *v)
{
    static const struct {
        const char *name;
        unsigned index;
    } rows[] = {{"ES ", X86_ES}, {"CS ", X86_CS}, {"SS ", X86_SS},  {"DS ", X86_DS},
                {"FS ", X86_FS}, {"GS ", X86_GS}, {"LDT", X86_LDT}, {"TR ", X86_TR}};

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        const X86Segment *s = &v->regs->segments[rows[i].index];

        hmp_print(v->mon, "%s=%04x ", rows[i].name, s->selector);
        show_base(v, s->base);
        hmp_print(v->mon, " %08" PRIx32 " %08" PRIx32, s->limit, s->flags);
        if (v->regs->cr0 & CR0_PE && s->flags & DESC_P) {
            show_kind(v, s->flags);
        }
        hmp_print(v->mon, "\r\n");
    }
    for (unsigned i = X86_GDT; i <= X86_IDT; i++) {
        hmp_print(v->mon, "%s=     ", i == X86_GDT ? "GDT" : "IDT");
        show_base(v, v->regs->segments[i].base);
        hmp_print(v->mon, " %08" PRIx32 "\r\n", v->regs->segments[i].limit);
    }
}

static void show_control(const View *v)
{
    const X86Registers *x = v->regs;

    hmp_print(v->mon, "CR0=%08" PRIx32 " CR2=", (uint32_t)x->cr0);
    show_base(v, x->cr2);
    hmp_print(v->mon, " CR3=");
    show_base(v, x->cr3);
    hmp_print(v->mon, " CR4=%08" PRIx32 "\r\nEFER=%016" PRIx64 "\r\n", (uint32_t)x->cr4, x->efer);
}

/* --- FPU and SSE --- */

static void show_fpu(const View *v)
{
    const X86Registers *x = v->regs;

    hmp_print(v->mon, "FCW=%04x FSW=%04x [ST=%u] FTW=%02x MXCSR=%08" PRIx32 "\r\n", x->fcw, x->fsw,
              x->fsw >> 11 & 7, x->ftw, x->mxcsr);
    for (unsigned i = 0; i < 8; i++) {
        hmp_print(v->mon, "FPR%u=%016" PRIx64 " %04x%s", i, le_load(x->st[i], 8),
                  (unsigned)le_load(x->st[i] + 8, 2), i % 2 ? "\r\n" : " ");
    }
    for (unsigned i = 0; i < (v->wide ? 16 : 8); i++) {
        hmp_print(v->mon, "XMM%02u=%016" PRIx64 " %016" PRIx64 "%s", i, le_load(x->xmm[i] + 8, 8),
                  le_load(x->xmm[i], 8), i % 2 ? "\r\n" : " ");
    }
}

/* --- commands --- */

static void show_cpu(HmpMonitor *mon, unsigned cpu)
{
    g_autoptr(GError) err = NULL;
    X86Registers regs;
    View v = {mon, &regs, false};

    if (!accel_read_registers(hmp_machine(mon)->accel, cpu, &regs, &err)) {
        hmp_print(mon, "Error: %s\r\n", err->message);
        return;
    }
    v.wide = regs.efer & EFER_LMA && regs.segments[X86_CS].flags & DESC_L;
    hmp_print(mon, "\r\nCPU#%u\r\n", cpu);
    show_general(&v);
    show_flags(&v);
    show_segments(&v);
    show_control(&v);
    show_fpu(&v);
}

static void show_cpus(HmpMonitor *mon, unsigned from, unsigned to)
{
    Machine *m = hmp_machine(mon);
    bool pause = m->state == RUN_STATE_RUNNING;

    if (pause) {
        accel_pause(m->accel);
    }
    for (unsigned cpu = from; cpu <= to; cpu++) {
        show_cpu(mon, cpu);
    }
    if (pause) {
        accel_start(m->accel);
    }
}

void hmp_info_registers(HmpMonitor *mon, const char *arg)
{
    unsigned n = hmp_machine(mon)->accel->nr_vcpus;
    uint64_t cpu = hmp_cpu(mon);

    if (n == 0) {
        hmp_print(mon, "No CPU available\r\n");
    } else if (!strcmp(arg, "-a")) {
        show_cpus(mon, 0, n - 1);
    } else if (*arg && !parse_uint(arg, &cpu, NULL)) {
        hmp_print(mon, "Error: info registers: give -a or the number of a vCPU, not '%s'\r\n", arg);
    } else if (cpu >= n) {
        hmp_print(mon, "CPU#%" PRIu64 " not available\r\n", cpu);
    } else {
        show_cpus(mon, (unsigned)cpu, (unsigned)cpu);
    }
}

void hmp_set_cpu(HmpMonitor *mon, const char *arg)
{
    uint64_t cpu;

    if (!parse_uint(arg, &cpu, NULL) || cpu >= hmp_machine(mon)->accel->nr_vcpus) {
        hmp_print(mon, "invalid CPU index\r\n");
        return;
    }
    hmp_choose_cpu(mon, (unsigned)cpu);
}
