/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a debugger wants of x86 vCPUs: all registers, single steps, breakpoints and watchpoints by
 * KVM_SET_GUEST_DEBUG, and what becomes of the exits that this causes.
 *
 * A KVM that emulates the guest's instructions (a host without vmx and svm) knows single steps and
 * hardware breakpoints, but neither watchpoints nor INT3, on which it fails. Such a failure at a
 * breakpoint of the debugger's is taken as what it stands for.
 */
#include "vmm/accel/kvm-internal.h"

#include <string.h>

enum {
    CR0_PE = 1 << 0,
    DR6_BS = 1 << 14,
    DR7_FIXED = 1 << 10,
    DR7_EXACT = 1 << 9, /* global exact */
    XSTATE_BV = 512,    /* offset in the XSAVE area: what is not in its initial state */
    XSTATE_FPU_SSE = 3, /* of it */
    SEGMENTS = 8,       /* with LDT and TR */
    SELECTORS = 6,      /* without */
};
#define MSR_KERNEL_GS 0xc0000102

static KvmVcpu *vcpu_of(Accel *accel, unsigned cpu)
{
    return &kvm_of_accel(accel)->vcpus[cpu];
}

static bool debug_ioctl(KvmVcpu *v, unsigned long request, void *arg, const char *what,
                        GError **err)
{
    return ioctl(v->fd, request, arg) >= 0 ||
           error_set_errno(err, errno, "kvm: cannot %s of vCPU %u", what, v->index);
}

/* --- registers --- */

static void gprs_to(const struct kvm_regs *r, uint64_t gpr[16])
{
    const uint64_t all[16] = {r->rax, r->rbx, r->rcx, r->rdx, r->rsi, r->rdi, r->rbp, r->rsp,
                              r->r8,  r->r9,  r->r10, r->r11, r->r12, r->r13, r->r14, r->r15};

    memcpy(gpr, all, sizeof all);
}

static struct kvm_regs gprs_from(const X86Registers *x)
{
    const uint64_t *g = x->gpr;

    return (struct kvm_regs){.rax = g[0],
                             .rbx = g[1],
                             .rcx = g[2],
                             .rdx = g[3],
                             .rsi = g[4],
                             .rdi = g[5],
                             .rbp = g[6],
                             .rsp = g[7],
                             .r8 = g[8],
                             .r9 = g[9],
                             .r10 = g[10],
                             .r11 = g[11],
                             .r12 = g[12],
                             .r13 = g[13],
                             .r14 = g[14],
                             .r15 = g[15],
                             .rip = x->rip,
                             .rflags = x->rflags};
}

static void segments_of(struct kvm_sregs *s, struct kvm_segment *ret[SEGMENTS])
{
    struct kvm_segment *const all[SEGMENTS] = {&s->cs, &s->ss, &s->ds,  &s->es,
                                               &s->fs, &s->gs, &s->ldt, &s->tr};

    memcpy(ret, all, sizeof all);
}

static X86Segment segment_to(const struct kvm_segment *s)
{
    return (X86Segment){
        .selector = s->selector,
        .limit = s->limit,
        .flags = (uint32_t)s->type << 8 | (uint32_t)s->s << 12 | (uint32_t)s->dpl << 13 |
                 (uint32_t)s->present << 15 | (uint32_t)s->avl << 20 | (uint32_t)s->l << 21 |
                 (uint32_t)s->db << 22 | (uint32_t)s->g << 23,
        .base = s->base,
    };
}

static void sregs_to(struct kvm_sregs *s, X86Registers *x)
{
    struct kvm_segment *segments[SEGMENTS];

    segments_of(s, segments);
    for (unsigned i = 0; i < SELECTORS; i++) {
        x->seg[i] = segments[i]->selector;
    }
    for (unsigned i = 0; i < SEGMENTS; i++) {
        x->segments[i] = segment_to(segments[i]);
    }
    x->segments[X86_GDT] = (X86Segment){.limit = s->gdt.limit, .base = s->gdt.base};
    x->segments[X86_IDT] = (X86Segment){.limit = s->idt.limit, .base = s->idt.base};
    x->fs_base = s->fs.base;
    x->gs_base = s->gs.base;
    x->cr0 = s->cr0;
    x->cr2 = s->cr2;
    x->cr3 = s->cr3;
    x->cr4 = s->cr4;
    x->cr8 = s->cr8;
    x->efer = s->efer;
}

/* A selector alone says what is in the segment in real mode only. */
static bool sregs_from(const X86Registers *x, struct kvm_sregs *s, GError **err)
{
    struct kvm_segment *segments[SEGMENTS];

    segments_of(s, segments);
    for (unsigned i = 0; i < SELECTORS; i++) {
        if (segments[i]->selector == x->seg[i]) {
            continue;
        }
        if (s->cr0 & CR0_PE) {
            return error_set(err, "segment registers can be changed in real mode only");
        }
        segments[i]->selector = x->seg[i];
        segments[i]->base = (uint64_t)x->seg[i] << 4;
    }
    s->fs.base = x->fs_base;
    s->gs.base = x->gs_base;
    s->cr0 = x->cr0;
    s->cr2 = x->cr2;
    s->cr3 = x->cr3;
    s->cr4 = x->cr4;
    s->cr8 = x->cr8;
    s->efer = x->efer;
    return true;
}

/* Intel SDM vol. 1, table 10-2: how FXSAVE lays out, and XSAVE its first part. */
typedef struct {
    uint16_t fcw, fsw;
    uint8_t ftw, reserved;
    uint16_t fop;
    uint64_t fip, fdp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t st[8][16], xmm[16][16];
} FxArea;
G_STATIC_ASSERT(sizeof(FxArea) == 416);

static FxArea fx_from(const X86Registers *x)
{
    FxArea f = {.fcw = x->fcw,
                .fsw = x->fsw,
                .ftw = x->ftw,
                .fop = x->fop,
                .fip = x->fip,
                .fdp = x->fdp,
                .mxcsr = x->mxcsr & 0xffff};

    memcpy(f.st, x->st, sizeof f.st);
    memcpy(f.xmm, x->xmm, sizeof f.xmm);
    return f;
}

static void fx_to(const FxArea *f, X86Registers *x)
{
    memcpy(x->st, f->st, sizeof x->st);
    memcpy(x->xmm, f->xmm, sizeof x->xmm);
    x->fcw = f->fcw;
    x->fsw = f->fsw;
    x->ftw = f->ftw;
    x->fop = f->fop;
    x->fip = f->fip;
    x->fdp = f->fdp;
    x->mxcsr = f->mxcsr;
}

/* All of the extended state; g_free. */
static uint8_t *get_xsave(KvmVcpu *v, GError **err)
{
    size_t size = v->kvm->xsave_size;
    uint8_t *area = g_malloc0(size);

    if (!debug_ioctl(v, size > sizeof(struct kvm_xsave) ? KVM_GET_XSAVE2 : KVM_GET_XSAVE, area,
                     "read the extended state", err)) {
        g_free(area);
        return NULL;
    }
    return area;
}

/* Without XSAVE KVM does not tell MXCSR: it is 0 then. */
static bool read_fpu(KvmVcpu *v, X86Registers *x, GError **err)
{
    g_autofree uint8_t *area = v->kvm->has_xsave ? get_xsave(v, err) : NULL;
    struct kvm_fpu fpu;
    FxArea f = {0};

    if (v->kvm->has_xsave) {
        if (area) {
            memcpy(&f, area, sizeof f);
            fx_to(&f, x);
        }
        return area != NULL;
    }
    if (!debug_ioctl(v, KVM_GET_FPU, &fpu, "read the FPU", err)) {
        return false;
    }
    f = (FxArea){.fcw = fpu.fcw,
                 .fsw = fpu.fsw,
                 .ftw = fpu.ftwx,
                 .fop = fpu.last_opcode,
                 .fip = fpu.last_ip,
                 .fdp = fpu.last_dp};
    memcpy(f.st, fpu.fpr, sizeof f.st);
    memcpy(f.xmm, fpu.xmm, sizeof f.xmm);
    fx_to(&f, x);
    return true;
}

static bool write_fpu(KvmVcpu *v, const FxArea *f, GError **err)
{
    struct kvm_fpu fpu = {.fcw = f->fcw,
                          .fsw = f->fsw,
                          .ftwx = f->ftw,
                          .last_opcode = f->fop,
                          .last_ip = f->fip,
                          .last_dp = f->fdp};
    g_autofree uint8_t *area = v->kvm->has_xsave ? get_xsave(v, err) : NULL;
    uint32_t mask;

    if (v->kvm->has_xsave) {
        if (!area) {
            return false;
        }
        memcpy(&mask, area + offsetof(FxArea, mxcsr_mask), sizeof mask);
        memcpy(area, f, sizeof *f);
        memcpy(area + offsetof(FxArea, mxcsr_mask), &mask, sizeof mask);
        area[XSTATE_BV] |= XSTATE_FPU_SSE;
        return debug_ioctl(v, KVM_SET_XSAVE, area, "set the extended state", err);
    }
    memcpy(fpu.fpr, f->st, sizeof fpu.fpr);
    memcpy(fpu.xmm, f->xmm, sizeof fpu.xmm);
    return debug_ioctl(v, KVM_SET_FPU, &fpu, "set the FPU", err);
}

/* KVM_GET_MSRS or KVM_SET_MSRS for one; false: the vCPU lacks it, or takes no such value. */
static bool kernel_gs(KvmVcpu *v, unsigned long request, uint64_t *value)
{
    _Alignas(struct kvm_msrs) uint8_t buf[sizeof(struct kvm_msrs) + sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *arg = (struct kvm_msrs *)buf;
    bool ok;

    memset(buf, 0, sizeof buf);
    arg->nmsrs = 1;
    arg->entries[0] = (struct kvm_msr_entry){.index = MSR_KERNEL_GS, .data = *value};
    ok = ioctl(v->fd, request, arg) == 1;
    *value = arg->entries[0].data;
    return ok;
}

bool kvm_read_registers(Accel *accel, unsigned cpu, X86Registers *ret, GError **err)
{
    KvmVcpu *v = vcpu_of(accel, cpu);
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    X86Registers x = {0};

    if (!debug_ioctl(v, KVM_GET_REGS, &regs, "read the registers", err) ||
        !debug_ioctl(v, KVM_GET_SREGS, &sregs, "read the system registers", err) ||
        !read_fpu(v, &x, err)) {
        return false;
    }
    x.rip = regs.rip;
    x.rflags = regs.rflags;
    gprs_to(&regs, x.gpr);
    sregs_to(&sregs, &x);
    kernel_gs(v, KVM_GET_MSRS, &x.kernel_gs_base); /* 0 where there is none */
    *ret = x;
    return true;
}

/* Only what was changed is written: some of it KVM takes together only, or not at all. */
bool kvm_write_registers(Accel *accel, unsigned cpu, const X86Registers *x, GError **err)
{
    KvmVcpu *v = vcpu_of(accel, cpu);
    uint64_t gs = x->kernel_gs_base;
    struct kvm_regs regs = gprs_from(x);
    struct kvm_sregs sregs, old;
    FxArea fx = fx_from(x), old_fx;
    X86Registers now;

    if (!kvm_read_registers(accel, cpu, &now, err) ||
        !debug_ioctl(v, KVM_GET_SREGS, &sregs, "read the system registers", err)) {
        return false;
    }
    old = sregs;
    old_fx = fx_from(&now);
    if (!sregs_from(x, &sregs, err) ||
        (memcmp(&sregs, &old, sizeof old) != 0 &&
         !debug_ioctl(v, KVM_SET_SREGS, &sregs, "set the system registers", err)) ||
        (memcmp(&fx, &old_fx, sizeof fx) != 0 && !write_fpu(v, &fx, err)) ||
        !debug_ioctl(v, KVM_SET_REGS, &regs, "set the registers", err)) {
        return false;
    }
    return gs == now.kernel_gs_base || kernel_gs(v, KVM_SET_MSRS, &gs) ||
           error_set(err, "kvm: cannot set k_gs_base of vCPU %u", cpu);
}

/* --- stepping and breakpoints --- */

static uint64_t dr7_of(const CpuDebug *d)
{
    static const unsigned kinds[] = {
        [CPU_POINT_EXEC] = 0, [CPU_POINT_WRITE] = 1, [CPU_POINT_ACCESS] = 3};
    uint64_t dr7 = DR7_FIXED;

    for (unsigned i = 0; i < d->nr_points; i++) {
        unsigned len = d->points[i].len, code = len == 8 ? 2 : len - 1;

        dr7 |= DR7_EXACT | UINT64_C(2) << (i * 2); /* global enable */
        dr7 |= (uint64_t)(kinds[d->points[i].kind] | code << 2) << (16 + i * 4);
    }
    return dr7;
}

static struct kvm_guest_debug guest_debug_of(const KvmVcpu *v)
{
    const CpuDebug *d = &v->debug;
    struct kvm_guest_debug g = {0};

    if (d->mode == CPU_DEBUG_STEP) {
        g.control |= KVM_GUESTDBG_SINGLESTEP | (v->kvm->blocks_irqs ? KVM_GUESTDBG_BLOCKIRQ : 0);
    }
    if (d->software) {
        g.control |= KVM_GUESTDBG_USE_SW_BP;
    }
    if (d->nr_points > 0) {
        g.control |= KVM_GUESTDBG_USE_HW_BP;
        g.arch.debugreg[7] = dr7_of(d);
        for (unsigned i = 0; i < d->nr_points; i++) {
            g.arch.debugreg[i] = d->points[i].addr;
        }
    }
    g.control |= g.control ? KVM_GUESTDBG_ENABLE : 0;
    return g;
}

static void warn_of_watchpoints(Kvm *kvm, const CpuDebug *how)
{
    for (unsigned i = 0; !kvm->warned_of_points && i < how->nr_points; i++) {
        if (how->points[i].kind != CPU_POINT_EXEC && !kvm_host_has_virtualization()) {
            kvm->warned_of_points = true;
            log_warn("kvm: this host's CPU shows neither vmx nor svm: its KVM may not see what "
                     "hardware watchpoints watch; gdb's 'set can-use-hw-watchpoints 0' steps "
                     "instead");
        }
    }
}

bool kvm_debug(Accel *accel, unsigned cpu, const CpuDebug *how, GError **err)
{
    KvmVcpu *v = vcpu_of(accel, cpu);
    struct kvm_guest_debug g;

    warn_of_watchpoints(v->kvm, how);
    v->debug = *how;
    v->held = how->mode == CPU_DEBUG_HOLD;
    g = guest_debug_of(v);
    return debug_ioctl(v, KVM_SET_GUEST_DEBUG, &g, "set up the debugging", err);
}

/* What the exit was for; false: nothing that the debugger asked for. */
static bool stop_of_exit(KvmVcpu *v, CpuStop *ret)
{
    const struct kvm_debug_exit_arch *a = &v->run->debug.arch;

    *ret = (CpuStop){.cpu = v->index, .pc = a->pc, .kind = CPU_STOP_INT3};
    if (a->exception == BP_VECTOR) {
        return v->debug.software;
    }
    for (unsigned i = 0; i < v->debug.nr_points; i++) {
        if (a->dr6 & (1u << i)) {
            ret->kind = CPU_STOP_POINT;
            ret->point = i;
            return true;
        }
    }
    ret->kind = CPU_STOP_STEP;
    return v->debug.mode == CPU_DEBUG_STEP && (a->dr6 & DR6_BS);
}

static bool debugger_takes(KvmVcpu *v, const CpuStop *stop)
{
    const CpuDebugger *d = v->kvm->parent_obj.debugger;

    v->halted = d && d->stopped(d->opaque, stop);
    return v->halted;
}

/* The guest has breakpoints of its own: Linux patches its code by INT3. */
static void give_to_guest(KvmVcpu *v)
{
    struct kvm_guest_debug g = guest_debug_of(v);

    g.control |= KVM_GUESTDBG_ENABLE;
    g.control |=
        v->run->debug.arch.exception == BP_VECTOR ? KVM_GUESTDBG_INJECT_BP : KVM_GUESTDBG_INJECT_DB;
    if (ioctl(v->fd, KVM_SET_GUEST_DEBUG, &g) < 0) {
        log_warn("kvm: vCPU %u: cannot give the guest its exception %u: %s", v->index,
                 v->run->debug.arch.exception, g_strerror(errno));
    }
}

bool kvm_debug_exit(KvmVcpu *v)
{
    CpuStop stop;

    if (stop_of_exit(v, &stop) && debugger_takes(v, &stop)) {
        return false;
    }
    give_to_guest(v);
    return true;
}

bool kvm_debug_is_int3(KvmVcpu *v)
{
    CpuStop stop = {.cpu = v->index, .kind = CPU_STOP_INT3};
    struct kvm_regs regs;
    struct kvm_sregs sregs;

    if (!v->debug.software || ioctl(v->fd, KVM_GET_REGS, &regs) < 0 ||
        ioctl(v->fd, KVM_GET_SREGS, &sregs) < 0) {
        return false;
    }
    stop.pc = sregs.cs.base + regs.rip;
    return debugger_takes(v, &stop);
}
