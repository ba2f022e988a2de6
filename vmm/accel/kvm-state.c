/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Register state of x86 vCPUs: the start states of the boot protocols, and a reset in place. A
 * reset restores what KVM gave the vCPU at its creation, which is its state after power-on; a vCPU
 * that never ran needs only its start registers.
 */
#include "vmm/accel/kvm-internal.h"

#include <string.h>
#include <asm/kvm_para.h>

enum {
    MSR_TSC = 0x10,
    MSR_FEATURE_CONTROL = 0x3a,
    MSR_TSC_ADJUST = 0x3b,
    MSR_SPEC_CTRL = 0x48,
    MSR_SYSENTER_CS = 0x174,
    MSR_SYSENTER_ESP = 0x175,
    MSR_SYSENTER_EIP = 0x176,
    MSR_MCG_STATUS = 0x17a,
    MSR_MISC_ENABLE = 0x1a0,
    MSR_PAT = 0x277,
    MSR_MTRR_DEF_TYPE = 0x2ff,
    MSR_FIXED_CTR_CTRL = 0x38d,
    MSR_PERF_GLOBAL_CTRL = 0x38f,
    MSR_TSC_DEADLINE = 0x6e0,
    MSR_XSS = 0xda0,
    CR0_PE = 1 << 0,
    CR0_ET = 1 << 4,
    CR4_PAE = 1 << 5,
    EFER_LME = 1 << 8,
    EFER_LMA = 1 << 10,
    MSR_MAX = 32,
};
#define CR0_PG         (UINT64_C(1) << 31)
#define MSR_STAR       0xc0000081
#define MSR_LSTAR      0xc0000082
#define MSR_CSTAR      0xc0000083
#define MSR_SF_MASK    0xc0000084
#define MSR_KERNEL_GS  0xc0000102
#define MSR_TSC_AUX    0xc0000103
#define PAT_POWER_ON   UINT64_C(0x0007040600070406)
#define MTRR_ENABLE_WB (1 << 11 | 6)
#define FPU_CONTROL    0x37f
#define MXCSR          0x1f80

typedef struct {
    uint32_t index;
    uint64_t value;
} KvmMsr;

/* What firmware would have set before a kernel runs. */
static const KvmMsr kvm_msrs_boot[] = {
    {MSR_MISC_ENABLE, 1}, /* fast strings */
    {MSR_MTRR_DEF_TYPE, MTRR_ENABLE_WB},
};

/* What a guest may have left in a vCPU. FEATURE_CONTROL first: it ends the guest's own use of VMX.
 */
static const KvmMsr kvm_msrs_reset[] = {
    {MSR_FEATURE_CONTROL, 0},
    {MSR_TSC, 0},
    {MSR_TSC_ADJUST, 0},
    {MSR_SPEC_CTRL, 0},
    {MSR_SYSENTER_CS, 0},
    {MSR_SYSENTER_ESP, 0},
    {MSR_SYSENTER_EIP, 0},
    {MSR_MCG_STATUS, 0},
    {MSR_PAT, PAT_POWER_ON},
    {MSR_FIXED_CTR_CTRL, 0},
    {MSR_PERF_GLOBAL_CTRL, 0},
    {MSR_TSC_DEADLINE, 0},
    {MSR_XSS, 0},
    {MSR_STAR, 0},
    {MSR_LSTAR, 0},
    {MSR_CSTAR, 0},
    {MSR_SF_MASK, 0},
    {MSR_KERNEL_GS, 0},
    {MSR_TSC_AUX, 0},
    {MSR_KVM_WALL_CLOCK_NEW, 0},
    {MSR_KVM_SYSTEM_TIME_NEW, 0},
    {MSR_KVM_ASYNC_PF_EN, 0},
    {MSR_KVM_ASYNC_PF_INT, 0},
    {MSR_KVM_STEAL_TIME, 0},
    {MSR_KVM_PV_EOI_EN, 0},
    {MSR_KVM_POLL_CONTROL, 1},
};
G_STATIC_ASSERT(G_N_ELEMENTS(kvm_msrs_reset) <= MSR_MAX);

/* Sets what the CPU has of the list: KVM stops at the first that it lacks, and goes on after that.
 */
static void kvm_set_msrs(KvmVcpu *v, const KvmMsr *msrs, unsigned count)
{
    _Alignas(struct kvm_msrs)
        uint8_t buf[sizeof(struct kvm_msrs) + MSR_MAX * sizeof(struct kvm_msr_entry)];
    struct kvm_msrs *arg = (struct kvm_msrs *)buf;

    for (unsigned at = 0; at < count;) {
        memset(buf, 0, sizeof buf);
        for (unsigned i = at; i < count; i++) {
            arg->entries[arg->nmsrs++] =
                (struct kvm_msr_entry){.index = msrs[i].index, .data = msrs[i].value};
        }
        int done = ioctl(v->fd, KVM_SET_MSRS, arg);
        at += done < 0 ? 1 : (unsigned)done;
        if (done >= 0 && at < count) {
            TRACE(kvm_msr_missing, "vcpu %u msr 0x%x", v->index, msrs[at].index);
            at++;
        }
    }
}

static bool kvm_vcpu_ioctl(KvmVcpu *v, unsigned long request, void *arg, const char *what,
                           GError **err)
{
    if (ioctl(v->fd, request, arg) < 0) {
        return error_set_errno(err, errno, "kvm: cannot %s of vCPU %u", what, v->index);
    }
    return true;
}

bool kvm_state_capture(KvmVcpu *v, GError **err)
{
    KvmVcpuPowerOn *s = &v->power_on;

    return kvm_vcpu_ioctl(v, KVM_GET_REGS, &s->regs, "read the registers", err) &&
           kvm_vcpu_ioctl(v, KVM_GET_SREGS, &s->sregs, "read the system registers", err) &&
           kvm_vcpu_ioctl(v, KVM_GET_LAPIC, &s->lapic, "read the local APIC", err) &&
           kvm_vcpu_ioctl(v, KVM_GET_VCPU_EVENTS, &s->events, "read the events", err) &&
           kvm_vcpu_ioctl(v, KVM_GET_DEBUGREGS, &s->debugregs, "read the debug registers", err) &&
           (!v->kvm->has_xcrs || kvm_vcpu_ioctl(v, KVM_GET_XCRS, &s->xcrs, "read the XCRs", err));
}

/* --- start states --- */

static struct kvm_segment kvm_flat_segment(uint16_t selector, bool code, bool wide)
{
    return (struct kvm_segment){
        .selector = selector,
        .limit = 0xffffffff,
        .type = code ? 11 : 3, /* execute/read or read/write, accessed */
        .present = 1,
        .s = 1,
        .g = 1,
        .l = code && wide,
        .db = !(code && wide),
    };
}

static void kvm_start_flat(struct kvm_sregs *s, const X86CpuState *state)
{
    bool wide = state->mode == X86_START_LONG64;
    struct kvm_segment data = kvm_flat_segment(state->data_selector, false, wide);

    s->cs = kvm_flat_segment(state->code_selector, true, wide);
    s->ds = s->es = s->fs = s->gs = s->ss = data;
    s->tr = (struct kvm_segment){.limit = 0x67, .type = 11, .present = 1}; /* busy TSS */
    s->ldt = (struct kvm_segment){.type = 2, .unusable = 1};
    s->gdt = (struct kvm_dtable){.base = state->gdt.v, .limit = state->gdt_limit};
    s->idt = (struct kvm_dtable){.base = 0, .limit = 0};
    s->cr0 = CR0_PE | CR0_ET;
    if (wide) {
        s->cr0 |= CR0_PG;
        s->cr3 = state->page_table.v;
        s->cr4 = CR4_PAE;
        s->efer = EFER_LME | EFER_LMA;
    }
}

static bool kvm_set_start(KvmVcpu *v, const X86CpuState *state, GError **err)
{
    struct kvm_sregs sregs = v->power_on.sregs;
    struct kvm_regs regs = v->power_on.regs;

    if (state && state->mode != X86_START_REAL) {
        kvm_start_flat(&sregs, state);
        regs = (struct kvm_regs){
            .rip = state->rip,
            .rsp = state->rsp,
            .rsi = state->rsi,
            .rbx = state->rbx,
            .rflags = 2,
        };
    }
    return kvm_vcpu_ioctl(v, KVM_SET_SREGS, &sregs, "set the system registers", err) &&
           kvm_vcpu_ioctl(v, KVM_SET_REGS, &regs, "set the registers", err);
}

/* --- reset --- */

static bool kvm_reset_fpu(KvmVcpu *v, GError **err)
{
    struct kvm_fpu fpu = {.fcw = FPU_CONTROL, .mxcsr = MXCSR};

    if (!kvm_vcpu_ioctl(v, KVM_SET_FPU, &fpu, "reset the FPU", err)) {
        return false;
    }
    if (!v->kvm->has_xsave) {
        return true;
    }
    /* All components in their initial state: an empty XSTATE_BV. FCW and MXCSR are taken from the
     * legacy area. */
    struct kvm_xsave *xsave = g_malloc0(v->kvm->xsave_size);
    xsave->region[0] = FPU_CONTROL;
    xsave->region[6] = MXCSR;
    bool ok = kvm_vcpu_ioctl(v, KVM_SET_XSAVE, xsave, "reset the extended state", err);
    g_free(xsave);
    return ok && (!v->kvm->has_xcrs ||
                  kvm_vcpu_ioctl(v, KVM_SET_XCRS, &v->power_on.xcrs, "reset the XCRs", err));
}

static bool kvm_reset_events(KvmVcpu *v, GError **err)
{
    KvmVcpuPowerOn *s = &v->power_on;

    return kvm_vcpu_ioctl(v, KVM_SET_LAPIC, &s->lapic, "reset the local APIC", err) &&
           kvm_vcpu_ioctl(v, KVM_SET_VCPU_EVENTS, &s->events, "reset the events", err) &&
           kvm_vcpu_ioctl(v, KVM_SET_DEBUGREGS, &s->debugregs, "reset the debug registers", err);
}

static bool kvm_reset_mp_state(KvmVcpu *v, bool runnable, GError **err)
{
    struct kvm_mp_state mp;

    /* Reading it makes KVM act on an INIT or SIPI that is under way, so that none is left over. */
    if (!kvm_vcpu_ioctl(v, KVM_GET_MP_STATE, &mp, "read the run state", err)) {
        return false;
    }
    mp.mp_state = runnable ? KVM_MP_STATE_RUNNABLE : KVM_MP_STATE_UNINITIALIZED;
    return kvm_vcpu_ioctl(v, KVM_SET_MP_STATE, &mp, "set the run state", err);
}

bool kvm_state_reset(KvmVcpu *v, const X86CpuState *state, GError **err)
{
    if (v->ran) {
        if (!kvm_reset_mp_state(v, state != NULL, err)) {
            return false;
        }
        kvm_set_msrs(v, kvm_msrs_reset, G_N_ELEMENTS(kvm_msrs_reset));
        if (!kvm_reset_fpu(v, err)) {
            return false;
        }
    }
    kvm_set_msrs(v, kvm_msrs_boot, G_N_ELEMENTS(kvm_msrs_boot));
    if (!kvm_set_start(v, state, err)) {
        return false;
    }
    if (v->ran && !kvm_reset_events(v, err)) {
        return false;
    }
    v->broken = false;
    v->ran = false;
    return true;
}
