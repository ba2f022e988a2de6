/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kvm accelerator: opens /dev/kvm, makes the VM, and starts, pauses, resets and closes it.
 * Memory and doorbells are in kvm-mem.c, interrupts in kvm-irq.c, vCPU threads in kvm-vcpu.c, their
 * registers in kvm-state.c, CPUID in kvm-cpuid.c, what a debugger wants in kvm-debug.c.
 */
#include "vmm/accel/kvm-internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "qom/property.h"

static const struct {
    int cap;
    const char *name;
} kvm_needed[] = {
    {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
    {KVM_CAP_DESTROY_MEMORY_REGION_WORKS, "KVM_CAP_DESTROY_MEMORY_REGION_WORKS"},
    {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
    {KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP"},
    {KVM_CAP_PIT2, "KVM_CAP_PIT2"},
    {KVM_CAP_PIT_STATE2, "KVM_CAP_PIT_STATE2"},
    {KVM_CAP_IRQ_ROUTING, "KVM_CAP_IRQ_ROUTING"},
    {KVM_CAP_IRQFD, "KVM_CAP_IRQFD"},
    {KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD"},
    {KVM_CAP_SIGNAL_MSI, "KVM_CAP_SIGNAL_MSI"},
    {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
    {KVM_CAP_MP_STATE, "KVM_CAP_MP_STATE"},
    {KVM_CAP_VCPU_EVENTS, "KVM_CAP_VCPU_EVENTS"},
    {KVM_CAP_DEBUGREGS, "KVM_CAP_DEBUGREGS"},
};

/* --- open --- */

static bool kvm_open_error(const char *path, int errnum, GError **err)
{
    switch (errnum) {
    case ENOENT:
        return error_set(err,
                         "-accel kvm: %s does not exist: load kvm-intel or kvm-amd, or run under "
                         "tools/kvm-host",
                         path);
    case EACCES:
    case EPERM:
        return error_set(err,
                         "-accel kvm: no permission to open %s: join its group (usermod -aG kvm "
                         "$USER, then log in again)",
                         path);
    case ENODEV:
    case ENXIO:
        return error_set(
            err,
            "-accel kvm: %s has no driver: the CPU lacks virtualization or the firmware "
            "disables it; try tools/kvm-host",
            path);
    default:
        return error_set_errno(err, errnum, "-accel kvm: cannot open %s", path);
    }
}

static int kvm_cap(Kvm *kvm, int cap)
{
    int value = ioctl(kvm->dev_fd, KVM_CHECK_EXTENSION, (unsigned long)cap);

    return MAX(value, 0);
}

static bool kvm_open_device(Kvm *kvm, GError **err)
{
    kvm->dev_fd = open(kvm->device, O_RDWR | O_CLOEXEC);
    if (kvm->dev_fd < 0) {
        return kvm_open_error(kvm->device, errno, err);
    }
    int version = ioctl(kvm->dev_fd, KVM_GET_API_VERSION, 0);
    if (version < 0) {
        return error_set(err, "-accel kvm: %s is not a KVM device", kvm->device);
    }
    if (version != KVM_API_VERSION) {
        return error_set(err,
                         "-accel kvm: %s speaks API version %d, not %d: update the host's kernel",
                         kvm->device, version, KVM_API_VERSION);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm_needed); i++) {
        if (!kvm_cap(kvm, kvm_needed[i].cap)) {
            g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_KVM_MISSING_CAP,
                        "-accel kvm: %s lacks %s: update the host's kernel", kvm->device,
                        kvm_needed[i].name);
            return false;
        }
    }
    return true;
}

static bool kvm_query_caps(Kvm *kvm, GError **err)
{
    int run_size = ioctl(kvm->dev_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    int max_vcpus = kvm_cap(kvm, KVM_CAP_MAX_VCPUS), max_slots = kvm_cap(kvm, KVM_CAP_NR_MEMSLOTS);

    if (run_size < (int)sizeof(struct kvm_run)) {
        return error_set(err, "-accel kvm: %s gives no vCPU state: update the host's kernel",
                         kvm->device);
    }
    kvm->run_size = (size_t)run_size;
    kvm->max_vcpus = MIN(max_vcpus ? (unsigned)max_vcpus : 4, KVM_APIC_MAX_ID + 1);
    kvm->max_memslots = max_slots ? (unsigned)max_slots : 32;
    kvm->max_routes = (unsigned)kvm_cap(kvm, KVM_CAP_IRQ_ROUTING);
    kvm->has_xsave = kvm_cap(kvm, KVM_CAP_XSAVE);
    kvm->has_xcrs = kvm_cap(kvm, KVM_CAP_XCRS);
    kvm->xsave_size = MAX(sizeof(struct kvm_xsave), (size_t)kvm_cap(kvm, KVM_CAP_XSAVE2));
    kvm->has_any_length = kvm_cap(kvm, KVM_CAP_IOEVENTFD_ANY_LENGTH);
    kvm->has_tsc_deadline = kvm_cap(kvm, KVM_CAP_TSC_DEADLINE_TIMER);
    kvm->has_stats = kvm_cap(kvm, KVM_CAP_BINARY_STATS_FD);
    kvm->blocks_irqs = kvm_cap(kvm, KVM_CAP_SET_GUEST_DEBUG2) & KVM_GUESTDBG_BLOCKIRQ;
    kvm->has_kvmclock_ctrl = kvm_cap(kvm, KVM_CAP_KVMCLOCK_CTRL);
    return true;
}

static bool kvm_create_vm(Kvm *kvm, GError **err)
{
    uint64_t identity_map = ACCEL_X86_RESERVED_BASE;

    do {
        kvm->vm_fd = ioctl(kvm->dev_fd, KVM_CREATE_VM, 0);
    } while (kvm->vm_fd < 0 && errno == EINTR);
    if (kvm->vm_fd < 0 && errno == EBUSY) {
        return error_set(
            err, "-accel kvm: the CPU's virtualization is taken: stop the other hypervisor");
    }
    if (kvm->vm_fd < 0) {
        return error_set_errno(err, errno, "-accel kvm: cannot create a VM");
    }
    /* Intel CPUs without "unrestricted guest" keep a page table and a TSS for real mode in guest
     * space. */
    if (ioctl(kvm->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) < 0 && errno != ENOTTY) {
        return error_set_errno(err, errno, "-accel kvm: cannot place the identity map");
    }
    if (ioctl(kvm->vm_fd, KVM_SET_TSS_ADDR, (unsigned long)identity_map + 0x1000) < 0) {
        return error_set_errno(err, errno, "-accel kvm: cannot place the TSS");
    }
    kvm->stats_fd = kvm_stats_open(kvm, kvm->vm_fd);
    return true;
}

static void kvm_close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* Without threads: they are gone, or never were. */
static void kvm_teardown(Kvm *kvm)
{
    kvm_mem_close(kvm);
    kvm_irq_close(kvm);
    for (unsigned i = 0; i < kvm->parent_obj.nr_vcpus; i++) {
        kvm_vcpu_destroy(&kvm->vcpus[i]);
    }
    g_clear_pointer(&kvm->vcpus, g_free);
    kvm->parent_obj.nr_vcpus = kvm->nr_parked = 0;
    g_clear_pointer(&kvm->cpuid, g_free);
    kvm_close_fd(&kvm->stats_fd);
    kvm_close_fd(&kvm->vm_fd);
    kvm_close_fd(&kvm->dev_fd);
    kvm->parent_obj.platform = NULL;
}

static bool kvm_open(Accel *accel, Platform *platform, GError **err)
{
    Kvm *kvm = kvm_of_accel(accel);

    g_assert(kvm->vm_fd < 0);
    accel->platform = platform;
    if (kvm_open_device(kvm, err) && kvm_query_caps(kvm, err) && kvm_create_vm(kvm, err) &&
        kvm_irq_create(kvm, err) && kvm_cpuid_query(kvm, err) && kvm_mem_open(kvm, err)) {
        return true;
    }
    kvm_teardown(kvm);
    return false;
}

static bool kvm_create_vcpus(Accel *accel, unsigned n, GError **err)
{
    Kvm *kvm = kvm_of_accel(accel);

    g_assert(n > 0 && !kvm->vcpus);
    if (n > kvm->max_vcpus) {
        return error_set(err, "-smp %u: this host's KVM has at most %u vCPUs", n, kvm->max_vcpus);
    }
    kvm->vcpus = g_new0(KvmVcpu, n);
    accel->nr_vcpus = kvm->nr_parked = n;
    for (unsigned i = 0; i < n; i++) {
        kvm->vcpus[i].fd = kvm->vcpus[i].stats_fd = -1;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!kvm_vcpu_create(kvm, i, n, err)) {
            return false;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        if (!kvm_vcpu_start_thread(&kvm->vcpus[i], err)) {
            return false;
        }
    }
    return true;
}

/* --- run control --- */

static void kvm_start(Accel *accel)
{
    Kvm *kvm = kvm_of_accel(accel);

    if (!kvm->stop) {
        return;
    }
    if (kvm->clock_saved) {
        kvm->clock.flags = 0;
        ioctl(kvm->vm_fd, KVM_SET_CLOCK, &kvm->clock); /* the guest's clock stood still */
        kvm->clock_saved = false;
    }
    for (unsigned i = 0; i < accel->nr_vcpus; i++) {
        kvm->vcpus[i].halted = false;
        __atomic_store_n(&kvm->vcpus[i].run->immediate_exit, 0, __ATOMIC_SEQ_CST);
    }
    g_atomic_int_set(&kvm->stop, 0);
    pthread_cond_broadcast(&kvm->resume);
}

/* Tells a guest with kvmclock that it was stopped, so that its watchdogs keep quiet; and keeps its
 * time. */
static void kvm_pause_clock(Kvm *kvm)
{
    for (unsigned i = 0; kvm->has_kvmclock_ctrl && i < kvm->parent_obj.nr_vcpus; i++) {
        ioctl(kvm->vcpus[i].fd, KVM_KVMCLOCK_CTRL, 0); /* fails where the guest has no kvmclock */
    }
    kvm->clock_saved = ioctl(kvm->vm_fd, KVM_GET_CLOCK, &kvm->clock) == 0;
}

static void kvm_pause(Accel *accel)
{
    Kvm *kvm = kvm_of_accel(accel);

    if (kvm->stop) {
        return;
    }
    g_atomic_int_set(&kvm->stop, 1); /* partner: vcpu_run */
    for (unsigned i = 0; i < accel->nr_vcpus; i++) {
        kvm_vcpu_kick(&kvm->vcpus[i]);
    }
    while (kvm->nr_parked < accel->nr_vcpus) {
        pthread_cond_wait(&kvm->idle, &accel->platform->lock);
    }
    kvm_pause_clock(kvm);
}

static bool kvm_reset(Accel *accel, const CpuStartState *state, GError **err)
{
    Kvm *kvm = kvm_of_accel(accel);
    bool ran = false;

    g_assert(kvm->stop && kvm->nr_parked == accel->nr_vcpus);
    if (state->arch != CPU_START_X86) {
        return error_set(err,
                         "-accel kvm: runs x86_64 guests only: this machine needs -accel qtest");
    }
    for (unsigned i = 0; i < accel->nr_vcpus; i++) {
        ran |= kvm->vcpus[i].ran;
    }
    for (unsigned i = 0; i < accel->nr_vcpus; i++) {
        if (!kvm_state_reset(&kvm->vcpus[i], i == 0 ? &state->x86 : NULL, err)) {
            return false;
        }
    }
    return !ran || kvm_irq_reset(kvm, err);
}

static void kvm_close(Accel *accel)
{
    Kvm *kvm = kvm_of_accel(accel);
    Platform *p = accel->platform;

    if (kvm->vm_fd < 0) {
        return;
    }
    kvm_pause(accel);
    kvm->quit = true;
    pthread_cond_broadcast(&kvm->resume);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < accel->nr_vcpus; i++) {
        kvm_vcpu_join(&kvm->vcpus[i]);
    }
    pthread_mutex_lock(&p->lock);
    kvm->quit = false;
    kvm->clock_saved = false;
    kvm_teardown(kvm);
}

/* --- the type --- */

static void kvm_instance_init(Object *obj)
{
    Kvm *kvm = (Kvm *)OBJECT_CAST_(obj, &kvm_accel_type);

    kvm->dev_fd = kvm->vm_fd = kvm->stats_fd = -1;
    kvm->stop = 1;
    pthread_cond_init(&kvm->resume, NULL);
    pthread_cond_init(&kvm->idle, NULL);
}

static void kvm_instance_finalize(Object *obj)
{
    Kvm *kvm = (Kvm *)OBJECT_CAST_(obj, &kvm_accel_type);

    pthread_cond_destroy(&kvm->resume);
    pthread_cond_destroy(&kvm->idle);
}

static int kvm_thread_id(Accel *accel, unsigned cpu)
{
    return cpu < accel->nr_vcpus
               ? __atomic_load_n(&kvm_of_accel(accel)->vcpus[cpu].tid, __ATOMIC_RELAXED)
               : 0;
}

static bool kvm_translate(Accel *accel, unsigned cpu, uint64_t addr, uint64_t *ret_physical)
{
    struct kvm_translation t = {.linear_address = addr};

    if (cpu >= accel->nr_vcpus ||
        ioctl(kvm_of_accel(accel)->vcpus[cpu].fd, KVM_TRANSLATE, &t) < 0 || !t.valid) {
        return false;
    }
    *ret_physical = t.physical_address;
    return true;
}

static bool kvm_nmi(Accel *accel, GError **err)
{
    Kvm *kvm = kvm_of_accel(accel);

    for (unsigned i = 0; i < accel->nr_vcpus; i++) {
        if (ioctl(kvm->vcpus[i].fd, KVM_NMI) < 0) {
            return error_set_errno(err, errno, "KVM_NMI");
        }
    }
    return true;
}

static void kvm_class_init(ObjectClass *klass, const void *data)
{
    AccelClass *ac = ACCEL_CLASS(klass);

    ac->open = kvm_open;
    ac->create_vcpus = kvm_create_vcpus;
    ac->gsi = kvm_irq_gsi;
    ac->reset = kvm_reset;
    ac->start = kvm_start;
    ac->pause = kvm_pause;
    ac->close = kvm_close;
    ac->thread_id = kvm_thread_id;
    ac->nmi = kvm_nmi;
    ac->translate = kvm_translate;
    ac->stats = kvm_stats;
    ac->read_registers = kvm_read_registers;
    ac->write_registers = kvm_write_registers;
    ac->debug = kvm_debug;
}

static const Property kvm_props[] = {
    PROP_STRING("device", Kvm, device, "/dev/kvm", "the device node of KVM"),
    PROP_END,
};

const TypeInfo kvm_accel_type = {
    .name = "kvm-accel",
    .parent = &accel_type,
    .instance_size = sizeof(Kvm),
    .instance_init = kvm_instance_init,
    .instance_finalize = kvm_instance_finalize,
    .class_init = kvm_class_init,
    .props = kvm_props,
    .desc = "runs the guest on the host's CPUs by KVM",
};
