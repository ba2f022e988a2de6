/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Accelerators: what runs the vCPUs of a machine and delivers its interrupts. "accel" is an abstract object type;
 * "kvm-accel" is the one that runs guests, "qtest-accel" has no vCPUs: an outside client plays the guest. The machine
 * knows only this header; nothing outside vmm/accel includes <linux/kvm.h>.
 *
 * Threads: all calls come from the main thread with the VM lock held, unless said otherwise. vCPU threads take the VM
 * lock for every exit that reaches a device.
 */
#ifndef AEROSTAT_VMM_ACCEL_ACCEL_H
#define AEROSTAT_VMM_ACCEL_ACCEL_H

#include "hw/core/platform.h"
#include "vmm/accel/cpu-debug.h"
#include "vmm/accel/cpu.h"

OBJECT_DECLARE_CLASS(Accel, AccelClass, accel, ACCEL)

struct Accel {
    Object parent_obj;
    Platform *platform;
    bool no_pit; /* set by the machine before accel_open: no 8254 */
    unsigned nr_vcpus;
    const CpuDebugger *debugger; /* borrowed; NULL: none */
};

struct AccelClass {
    ObjectClass parent_class;
    /* Opens the accelerator and makes the VM: memory, doorbells and platform->msi are served from here on. */
    bool (*open)(Accel *accel, Platform *platform, GError **err);
    bool (*create_vcpus)(Accel *accel, unsigned n, GError **err); /* once; they do not run yet */
    bool no_vcpus; /* it runs no guest: a machine needs no kernel */
    IrqLine (*gsi)(Accel *accel, unsigned gsi);   /* an input of the interrupt controller: on x86 pin 0 to 23 of
                                                    * the IOAPIC, below 16 of the PICs, too (no override of IRQ 0);
                                                    * on aarch64 a shared peripheral interrupt of the GIC */
    /* Interrupt controllers and vCPUs to their state after power-on; vCPU 0 gets state, the others wait for SIPI. Paused
     * only. */
    bool (*reset)(Accel *accel, const CpuStartState *state, GError **err);
    void (*start)(Accel *accel);  /* lets the vCPU threads run; returns at once */
    /* Stops them and waits until none is in the guest or in a device. Releases the VM lock while waiting. */
    void (*pause)(Accel *accel);
    /* Ends the threads, undoes open; harmless before open. Releases the VM lock while waiting. Comes after create_vcpus
     * failed, too, and before the object goes. Routes and lines that devices still hold stay valid, and silent. */
    void (*close)(Accel *accel);
    int (*thread_id)(Accel *accel, unsigned cpu); /* of a vCPU, after create_vcpus; NULL: there are no vCPUs */
    /* The physical address behind a virtual one of a vCPU, which is paused; false: there is none. NULL: there are no vCPUs */
    bool (*translate)(Accel *accel, unsigned cpu, uint64_t addr, uint64_t *ret_physical);
    /* Its own statistics of the VM (cpu -1) or a vCPU, or what they mean, as kvm_stats_read; running or not. NULL:
     * none. */
    json_t *(*stats)(Accel *accel, int cpu, bool schemas, GError **err);
    bool (*nmi)(Accel *accel, GError **err); /* to all vCPUs, which are paused; NULL: there are none */
    /* For debuggers and dumps; paused only. NULL, all three: there are no vCPUs */
    bool (*read_registers)(Accel *accel, unsigned cpu, X86Registers *ret, GError **err);
    bool (*write_registers)(Accel *accel, unsigned cpu, const X86Registers *regs, GError **err);
    bool (*debug)(Accel *accel, unsigned cpu, const CpuDebug *how, GError **err); /* all zero: no debugging */
};

extern const TypeInfo kvm_accel_type, qtest_accel_type;

/* NULL-terminated list of the concrete accelerators. */
extern const TypeInfo *const accel_types[];

/* The accelerator of a name after -accel ("kvm"); NULL with one line that names all. */
const TypeInfo *accel_type_find(const char *name, GError **err);

bool accel_open(Accel *accel, Platform *platform, GError **err);
bool accel_create_vcpus(Accel *accel, unsigned n, GError **err);
IrqLine accel_gsi(Accel *accel, unsigned gsi);
bool accel_runs_guests(Accel *accel); /* false: there are no vCPUs */
bool accel_reset(Accel *accel, const CpuStartState *state, GError **err);
void accel_start(Accel *accel);
void accel_pause(Accel *accel);
void accel_close(Accel *accel);
int accel_thread_id(Accel *accel, unsigned cpu); /* 0: it has no thread */
bool accel_translate(Accel *accel, unsigned cpu, uint64_t addr, uint64_t *ret_physical); /* paused only */
json_t *accel_stats(Accel *accel, int cpu, bool schemas, GError **err); /* an empty array: it keeps none */
bool accel_nmi(Accel *accel, GError **err); /* a non-maskable interrupt for all vCPUs; paused only */
/* These three: paused only. */
bool accel_read_registers(Accel *accel, unsigned cpu, X86Registers *ret, GError **err);
bool accel_write_registers(Accel *accel, unsigned cpu, const X86Registers *regs, GError **err);
bool accel_debug(Accel *accel, unsigned cpu, const CpuDebug *how, GError **err);

/* A vCPU as the tree has it: child "cpu[N]" of the accelerator. */
extern const TypeInfo cpu_type;

#endif
