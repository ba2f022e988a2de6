/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vCPU threads: the KVM_RUN loop, exits, and the handshake with start and pause.
 *
 * Pause sets kvm->stop, then each vCPU's immediate_exit, then sends the kick signal. In the guest,
 * the signal makes KVM_RUN return EINTR; on its way into KVM_RUN, immediate_exit does. Hence no
 * kick is lost and the handler has nothing to do. KVM finishes an access that exited (advances rip,
 * writes the register) only on the next KVM_RUN: a vCPU parks on EINTR alone, which it gets after
 * that, so that a parked vCPU has no half-done instruction.
 */
#include "vmm/accel/kvm-internal.h"

#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/boot-trace.h"
#include "core/thread-stack.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VCPU_BIG_STACK
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define VCPU_BIG_STACK
#endif
#endif

enum {
    VCPU_KICK_SIGNAL = SIGUSR1,
#ifdef VCPU_BIG_STACK
    VCPU_STACK = 2 << 20,
#else
    VCPU_STACK = 256 << 10,
#endif
};

/* --- failures --- */

static const char *kvm_host_hint(void)
{
    return kvm_host_has_virtualization() ? ""
                                         : "; this host's CPU shows neither vmx nor svm, and its "
                                           "/dev/kvm may run tiny guests "
                                           "only: try tools/kvm-host";
}

/* One line about a vCPU that cannot go on; the VM ends. */
static void vcpu_fail(KvmVcpu *v, const char *what)
{
    Platform *p = v->kvm->parent_obj.platform;
    struct kvm_regs regs = {0};
    struct kvm_sregs sregs = {0};

    ioctl(v->fd, KVM_GET_REGS, &regs);
    ioctl(v->fd, KVM_GET_SREGS, &sregs);
    log_error("kvm: vCPU %u: %s at rip 0x%" PRIx64 " (cs base 0x%" PRIx64 ", cr0 0x%" PRIx64 ")%s",
              v->index, what, (uint64_t)regs.rip, (uint64_t)sregs.cs.base, (uint64_t)sregs.cr0,
              kvm_host_hint());
    pthread_mutex_lock(&p->lock);
    v->broken = true;
    platform_shutdown_request(p, SHUTDOWN_CAUSE_HOST_ERROR);
    pthread_mutex_unlock(&p->lock);
}

static bool vcpu_is_at_int3(KvmVcpu *v)
{
    pthread_mutex_t *lock = &v->kvm->parent_obj.platform->lock;
    bool is;

    pthread_mutex_lock(lock);
    is = kvm_debug_is_int3(v);
    pthread_mutex_unlock(lock);
    return is;
}

static void vcpu_fail_internal(KvmVcpu *v)
{
    const struct kvm_run *run = v->run;
    g_autoptr(GString) what = g_string_new(NULL);

    if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION && vcpu_is_at_int3(v)) {
        return;
    }
    if (run->internal.suberror != KVM_INTERNAL_ERROR_EMULATION) {
        g_string_printf(what, "KVM internal error %u", run->internal.suberror);
    } else {
        g_string_assign(what, "KVM cannot emulate an instruction");
        if (run->emulation_failure.ndata >= 3 &&
            (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
            g_string_append(what, " (");
            for (unsigned i = 0; i < MIN(run->emulation_failure.insn_size, 15); i++) {
                g_string_append_printf(what, "%s%02x", i ? " " : "",
                                       run->emulation_failure.insn_bytes[i]);
            }
            g_string_append_c(what, ')');
        }
    }
    vcpu_fail(v, what->str);
}

/* --- exits; each returns whether the vCPU goes on --- */

/* Called for each exit that an address belongs to. */
static void vcpu_trace_exit(KvmVcpu *v, AddressSpace *as, uint64_t addr, bool write)
{
    if (boot_trace_on()) {
        boot_trace_exit(v->kvm->parent_obj.platform->root, aspace_find(as, addr), write);
    }
}

static bool vcpu_exit_io(KvmVcpu *v)
{
    struct kvm_run *run = v->run;
    AddressSpace *as = v->kvm->parent_obj.platform->pio;
    uint8_t *data = (uint8_t *)run + run->io.data_offset;
    unsigned size = run->io.size;

    vcpu_trace_exit(v, as, run->io.port, run->io.direction == KVM_EXIT_IO_OUT);
    for (unsigned i = 0; i < run->io.count; i++, data += size) {
        uint64_t value = 0;

        if (run->io.direction == KVM_EXIT_IO_OUT) {
            memcpy(&value, data, size);
            aspace_write(as, run->io.port, value, size);
        } else {
            aspace_read(as, run->io.port, size, &value);
            memcpy(data, &value, size);
        }
    }
    return true;
}

static bool vcpu_exit_mmio(KvmVcpu *v)
{
    struct kvm_run *run = v->run;
    AddressSpace *as = v->kvm->parent_obj.platform->mmio;
    unsigned size = MIN(run->mmio.len, 8);
    uint64_t value = 0;

    vcpu_trace_exit(v, as, run->mmio.phys_addr, run->mmio.is_write);
    if (run->mmio.is_write) {
        memcpy(&value, run->mmio.data, size);
        aspace_write(as, run->mmio.phys_addr, value, size);
    } else {
        aspace_read(as, run->mmio.phys_addr, size, &value);
        memcpy(run->mmio.data, &value, size);
    }
    return true;
}

/* A triple fault. It may be meant: Linux reboots a machine without a keyboard controller that way.
 */
static bool vcpu_exit_shutdown(KvmVcpu *v)
{
    TRACE(kvm_triple_fault, "vcpu %u", v->index);
    v->broken = true;
    platform_reset_request(v->kvm->parent_obj.platform, SHUTDOWN_CAUSE_GUEST_RESET);
    return false;
}

static bool vcpu_exit_system_event(KvmVcpu *v)
{
    Platform *p = v->kvm->parent_obj.platform;

    switch (v->run->system_event.type) {
    case KVM_SYSTEM_EVENT_SHUTDOWN:
        platform_shutdown_request(p, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
        break;
    case KVM_SYSTEM_EVENT_RESET:
        platform_reset_request(p, SHUTDOWN_CAUSE_GUEST_RESET);
        break;
    case KVM_SYSTEM_EVENT_CRASH:
        platform_shutdown_request(p, SHUTDOWN_CAUSE_GUEST_PANIC);
        break;
    default:
        return true;
    }
    v->broken = true;
    return false;
}

/* Runs an exit's work as everything that reaches a device is run: under the VM lock. */
static bool vcpu_locked(KvmVcpu *v, bool (*work)(KvmVcpu *v))
{
    Platform *p = v->kvm->parent_obj.platform;

    pthread_mutex_lock(&p->lock);
    kvm_irq_begin(v->kvm);
    bool go_on = work(v);
    kvm_irq_end(v->kvm);
    pthread_mutex_unlock(&p->lock);
    return go_on;
}

static bool vcpu_handle_exit(KvmVcpu *v)
{
    g_autofree char *what = NULL;

    switch (v->run->exit_reason) {
    case KVM_EXIT_IO:
        return vcpu_locked(v, vcpu_exit_io);
    case KVM_EXIT_MMIO:
        return vcpu_locked(v, vcpu_exit_mmio);
    case KVM_EXIT_SHUTDOWN:
        return vcpu_locked(v, vcpu_exit_shutdown);
    case KVM_EXIT_SYSTEM_EVENT:
        return vcpu_locked(v, vcpu_exit_system_event);
    case KVM_EXIT_DEBUG:
        return vcpu_locked(v, kvm_debug_exit);
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_INTERNAL_ERROR:
        vcpu_fail_internal(v);
        return false;
    case KVM_EXIT_FAIL_ENTRY:
        what = g_strdup_printf("the CPU refuses to enter the guest (reason 0x%" PRIx64 ")",
                               (uint64_t)v->run->fail_entry.hardware_entry_failure_reason);
        vcpu_fail(v, what);
        return false;
    default:
        what = g_strdup_printf("unknown KVM exit %u", v->run->exit_reason);
        vcpu_fail(v, what);
        return false;
    }
}

/* --- the thread --- */

static void vcpu_run(KvmVcpu *v)
{
    if (boot_trace_on()) {
        boot_trace_vcpu_runs(v->index);
    }
    do {
        if (ioctl(v->fd, KVM_RUN, 0) == 0) {
            continue;
        }
        if (errno == EINTR) {
            v->run->exit_reason = KVM_EXIT_INTR;
            if (g_atomic_int_get(&v->kvm->stop)) { /* partner: kvm_pause */
                return;
            }
        } else if (errno == EAGAIN) { /* an AP got its INIT */
            v->run->exit_reason = KVM_EXIT_INTR;
        } else {
            g_autofree char *what = g_strdup_printf("KVM_RUN: %s", g_strerror(errno));
            vcpu_fail(v, what);
            return;
        }
    } while (vcpu_handle_exit(v));
}

/* Waits until the vCPU may run; false: the thread shall end. */
static bool vcpu_park(KvmVcpu *v)
{
    Kvm *kvm = v->kvm;
    pthread_mutex_t *lock = &kvm->parent_obj.platform->lock;

    pthread_mutex_lock(lock);
    if (!v->parked) {
        v->parked = true;
        kvm->nr_parked++;
        pthread_cond_signal(&kvm->idle);
    }
    while (!kvm->quit && (kvm->stop || v->broken || v->held || v->halted)) {
        pthread_cond_wait(&kvm->resume, lock);
    }
    bool go_on = !kvm->quit;
    if (go_on) {
        v->parked = false;
        v->ran = true;
        kvm->nr_parked--;
    }
    pthread_mutex_unlock(lock);
    return go_on;
}

static void *vcpu_thread(void *opaque)
{
    KvmVcpu *v = opaque;

    thread_stack_register();
    __atomic_store_n(&v->tid, gettid(), __ATOMIC_RELAXED);
    while (vcpu_park(v)) {
        vcpu_run(v);
    }
    return NULL;
}

static void vcpu_kick_handler(int sig)
{
    (void)sig; /* it has done its work by interrupting KVM_RUN */
}

/* A thread with a small stack that takes the kick and no other signal. */
bool kvm_vcpu_start_thread(KvmVcpu *v, GError **err)
{
    struct sigaction action = {.sa_handler = vcpu_kick_handler, .sa_flags = SA_RESTART};
    sigset_t kick_only, old;
    pthread_attr_t attr;
    char name[16];

    sigaction(VCPU_KICK_SIGNAL, &action, NULL);
    sigfillset(&kick_only);
    sigdelset(&kick_only, VCPU_KICK_SIGNAL);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, VCPU_STACK);
    pthread_sigmask(SIG_SETMASK, &kick_only, &old);
    int rc = pthread_create(&v->thread, &attr, vcpu_thread, v);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (rc) {
        return error_set_errno(err, rc, "-smp: cannot start the thread of vCPU %u", v->index);
    }
    v->has_thread = true;
    g_snprintf(name, sizeof name, "CPU %u/KVM", v->index);
    pthread_setname_np(v->thread, name);
    return true;
}

void kvm_vcpu_kick(KvmVcpu *v)
{
    __atomic_store_n(&v->run->immediate_exit, 1, __ATOMIC_SEQ_CST); /* partner: KVM_RUN */
    pthread_kill(v->thread, VCPU_KICK_SIGNAL);
}

void kvm_vcpu_join(KvmVcpu *v)
{
    if (v->has_thread) {
        pthread_join(v->thread, NULL);
        v->has_thread = false;
    }
}

/* --- life --- */

bool kvm_vcpu_create(Kvm *kvm, unsigned index, unsigned count, GError **err)
{
    KvmVcpu *v = &kvm->vcpus[index];
    g_autofree struct kvm_cpuid2 *cpuid = kvm_cpuid_for_vcpu(kvm, index, count);

    v->kvm = kvm;
    v->index = index;
    v->parked = true;
    v->fd = ioctl(kvm->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (v->fd < 0) {
        return error_set_errno(err, errno, "-smp: cannot create vCPU %u", index);
    }
    v->stats_fd = kvm_stats_open(kvm, v->fd);
    v->run = mmap(NULL, kvm->run_size, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
    if (v->run == MAP_FAILED) {
        v->run = NULL;
        return error_set_errno(err, errno, "-smp: cannot map the state of vCPU %u", index);
    }
    if (ioctl(v->fd, KVM_SET_CPUID2, cpuid) < 0) {
        return error_set_errno(err, errno, "-cpu host: KVM refuses the CPUID of vCPU %u", index);
    }
    return kvm_state_capture(v, err);
}

void kvm_vcpu_destroy(KvmVcpu *v)
{
    if (v->run) {
        munmap(v->run, v->kvm->run_size);
        v->run = NULL;
    }
    if (v->stats_fd >= 0) {
        close(v->stats_fd);
        v->stats_fd = -1;
    }
    if (v->fd >= 0) {
        close(v->fd);
        v->fd = -1;
    }
}
