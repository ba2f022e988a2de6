/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the kvm accelerator share. Not for use outside vmm/accel.
 *
 * Locks: the VM lock (platform->lock) guards everything here except what is marked otherwise. A vCPU thread owns its
 * kvm_run page while it is not parked; while all are parked, the main thread may touch all vCPU state.
 */
#ifndef AEROSTAT_VMM_ACCEL_KVM_INTERNAL_H
#define AEROSTAT_VMM_ACCEL_KVM_INTERNAL_H

#include <errno.h>
#include <inttypes.h>
#include <sys/ioctl.h>
#include <linux/kvm.h>

#include "core/log.h"
#include "vmm/accel/accel.h"

typedef struct Kvm Kvm;
typedef struct KvmVcpu KvmVcpu;
typedef struct KvmMsiRoute KvmMsiRoute;

enum { KVM_GSI_PINS = 24, KVM_APIC_MAX_ID = 254 };

/* What a vCPU looked like right after its creation: its state after power-on. */
typedef struct {
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct kvm_debugregs debugregs;
    struct kvm_xcrs xcrs;
} KvmVcpuPowerOn;

struct KvmVcpu {
    Kvm *kvm;
    unsigned index; /* the APIC id, too */
    int fd;
    int stats_fd;   /* -1: none */
    struct kvm_run *run;
    pthread_t thread;
    int tid;        /* atomic, relaxed; 0: it has not begun */
    bool has_thread;
    bool parked;    /* waits for accel_start; touches nothing */
    bool broken;    /* may not run again before a reset */
    bool held;      /* by a debugger: accel_start leaves it where it is */
    bool halted;    /* told the debugger of a stop: stands until the next accel_start */
    CpuDebug debug; /* as of accel_debug */
    bool ran;       /* has been started since its creation: a reset has to undo everything */
    KvmVcpuPowerOn power_on;
};

/* One MSI entry of the routing table; GSI KVM_GSI_PINS + index. */
typedef struct {
    MsiMessage msg;
    bool used;
} KvmMsiSlot;

struct Kvm {
    Accel parent_obj;
    char *device; /* property */

    int dev_fd, vm_fd; /* -1: not open */
    int stats_fd;      /* of the VM; -1: none */
    bool has_stats;
    size_t run_size;
    bool has_xsave, has_xcrs, has_kvmclock_ctrl, has_any_length, has_tsc_deadline;
    bool blocks_irqs; /* while it steps: KVM_GUESTDBG_BLOCKIRQ */
    bool warned_of_points; /* that this host does not know watchpoints */
    unsigned max_vcpus, max_memslots, max_routes;
    size_t xsave_size;

    /* memory and doorbells: kvm-mem.c */
    GmemListener mem_listener;
    AspaceListener mmio_listener, pio_listener;
    bool mem_listens, io_listens;

    /* interrupts: kvm-irq.c */
    MsiController msi;
    GArray *msi_slots;         /* of KvmMsiSlot */
    GPtrArray *new_routes;     /* of KvmMsiRoute *, borrowed: their irqfds wait for the table */
    bool routes_dirty;         /* the kernel's table is older than msi_slots */
    unsigned exits_in_devices; /* vCPU exits that hold the VM lock: they bring the table up to date at their end */
    uint32_t gsi_levels;       /* of pins, one bit each */
    struct kvm_irqchip irqchips[3]; /* as created: PIC master and slave, IOAPIC */
    struct kvm_pit_state2 pit;

    /* vCPUs: kvm-vcpu.c */
    struct kvm_cpuid2 *cpuid; /* what the host supports */
    KvmVcpu *vcpus;           /* accel.nr_vcpus of them */
    pthread_cond_t resume;    /* vCPUs wait here; stop, broken or quit changed */
    pthread_cond_t idle;      /* the main thread waits here; nr_parked changed */
    unsigned nr_parked;
    int stop;                 /* atomic: vCPUs shall park. Written under the lock; read by kvm_vcpu_thread without */
    bool quit;                /* vCPU threads shall end */
    bool clock_saved;         /* clock holds the guest's time as of the pause */
    struct kvm_clock_data clock;
};

static inline Kvm *kvm_of_accel(Accel *accel)
{
    return (Kvm *)OBJECT_CAST_(accel, &kvm_accel_type);
}

/* --- kvm-mem.c --- */
bool kvm_mem_open(Kvm *kvm, GError **err); /* listens to guest memory and both address spaces */
void kvm_mem_close(Kvm *kvm);

/* --- kvm-irq.c --- */
bool kvm_irq_create(Kvm *kvm, GError **err); /* irqchip, PIT, MSI controller; before any vCPU */
bool kvm_irq_reset(Kvm *kvm, GError **err);
void kvm_irq_close(Kvm *kvm);
IrqLine kvm_irq_gsi(Accel *accel, unsigned gsi);
/* Brackets around what a vCPU does in a device: route changes in between reach the kernel at the end, at once. */
void kvm_irq_begin(Kvm *kvm);
void kvm_irq_end(Kvm *kvm);

/* --- kvm-cpuid.c --- */
bool kvm_cpuid_query(Kvm *kvm, GError **err);
/* The CPUID of vCPU number index of count. Free with g_free. */
struct kvm_cpuid2 *kvm_cpuid_for_vcpu(Kvm *kvm, unsigned index, unsigned count);
bool kvm_host_has_virtualization(void); /* the vmx or svm flag */

/* --- kvm-state.c --- */
bool kvm_state_capture(KvmVcpu *v, GError **err); /* the power-on state; after CPUID is set */
/* state NULL: waits for INIT and SIPI. */
bool kvm_state_reset(KvmVcpu *v, const X86CpuState *state, GError **err);

/* --- kvm-stats.c --- */
int kvm_stats_open(const Kvm *kvm, int fd); /* of the VM's or a vCPU's descriptor; -1: KVM has none */
json_t *kvm_stats(Accel *accel, int cpu, bool schemas, GError **err);
/* --- kvm-debug.c --- */
bool kvm_read_registers(Accel *accel, unsigned cpu, X86Registers *ret, GError **err);
bool kvm_write_registers(Accel *accel, unsigned cpu, const X86Registers *regs, GError **err);
bool kvm_debug(Accel *accel, unsigned cpu, const CpuDebug *how, GError **err);
/* The work of KVM_EXIT_DEBUG, under the VM lock: does the vCPU go on? */
bool kvm_debug_exit(KvmVcpu *v);
/* Under the VM lock: KVM could not emulate an INT3 that is a debugger's; the vCPU stands at it as at any other. */
bool kvm_debug_is_int3(KvmVcpu *v);

/* --- kvm-vcpu.c --- */
bool kvm_vcpu_create(Kvm *kvm, unsigned index, unsigned count, GError **err);
bool kvm_vcpu_start_thread(KvmVcpu *v, GError **err);
void kvm_vcpu_kick(KvmVcpu *v);    /* makes it leave the guest and look at kvm->stop */
void kvm_vcpu_join(KvmVcpu *v);    /* kvm->quit is set; called without the VM lock */
void kvm_vcpu_destroy(KvmVcpu *v); /* its thread is gone */

#endif
