/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory and doorbells under KVM: RAM regions become memory slots, doorbells of the two
 * address spaces become ioeventfds, so that a kick wakes its iothread without a return to the vCPU
 * thread's loop.
 */
#include "vmm/accel/kvm-internal.h"

#include <string.h>

#define KVM_OF(l, member) ((Kvm *)(void *)((char *)(l)-offsetof(Kvm, member)))

static bool kvm_region_add(GmemListener *l, const GmemRegion *region, GError **err)
{
    Kvm *kvm = KVM_OF(l, mem_listener);
    struct kvm_userspace_memory_region slot = {
        .slot = region->slot,
        .guest_phys_addr = region->gpa.v,
        .memory_size = region->size,
        .userspace_addr = (uintptr_t)region->host,
    };

    TRACE(kvm_set_user_memory, "slot %u gpa 0x%" PRIx64 " size 0x%" PRIx64, region->slot,
          region->gpa.v, region->size);
    if (region->slot >= kvm->max_memslots) {
        return error_set(err, "-accel kvm: more than %u memory regions", kvm->max_memslots);
    }
    if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0) {
        return error_set_errno(err, errno,
                               "-accel kvm: cannot map guest memory 0x%" PRIx64 " to 0x%" PRIx64,
                               region->gpa.v, region->gpa.v + region->size - 1);
    }
    return true;
}

static void kvm_region_del(GmemListener *l, const GmemRegion *region)
{
    Kvm *kvm = KVM_OF(l, mem_listener);
    struct kvm_userspace_memory_region slot = {
        .slot = region->slot,
        .guest_phys_addr = region->gpa.v,
    };

    TRACE(kvm_set_user_memory, "slot %u removed", region->slot);
    if (ioctl(kvm->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) < 0) {
        log_warn("kvm: memory slot %u stays mapped: %s", region->slot, g_strerror(errno));
    }
}

/* Returns false when the kernel does not take the doorbell: the write then exits, and aspace
 * signals the fd. */
static bool kvm_ioeventfd(Kvm *kvm, bool pio, uint64_t addr, const IoEventfd *e, bool add)
{
    struct kvm_ioeventfd arg = {
        .addr = addr,
        .len = e->size,
        .fd = e->fd,
        .datamatch = e->match ? e->value : 0,
        .flags = (pio ? KVM_IOEVENTFD_FLAG_PIO : 0) |
                 (e->match ? KVM_IOEVENTFD_FLAG_DATAMATCH : 0) |
                 (add ? 0 : KVM_IOEVENTFD_FLAG_DEASSIGN),
    };

    TRACE(kvm_ioeventfd, "%s %s 0x%" PRIx64 " size %u fd %d", add ? "add" : "del",
          pio ? "pio" : "mmio", addr, e->size, e->fd);
    if (!e->size && (!kvm->has_any_length || e->match)) {
        return false;
    }
    return ioctl(kvm->vm_fd, KVM_IOEVENTFD, &arg) == 0;
}

static bool kvm_mmio_eventfd_add(AspaceListener *l, uint64_t addr, const IoEventfd *e)
{
    return kvm_ioeventfd(KVM_OF(l, mmio_listener), false, addr, e, true);
}

static void kvm_mmio_eventfd_del(AspaceListener *l, uint64_t addr, const IoEventfd *e)
{
    kvm_ioeventfd(KVM_OF(l, mmio_listener), false, addr, e, false);
}

static bool kvm_pio_eventfd_add(AspaceListener *l, uint64_t addr, const IoEventfd *e)
{
    return kvm_ioeventfd(KVM_OF(l, pio_listener), true, addr, e, true);
}

static void kvm_pio_eventfd_del(AspaceListener *l, uint64_t addr, const IoEventfd *e)
{
    kvm_ioeventfd(KVM_OF(l, pio_listener), true, addr, e, false);
}

bool kvm_mem_open(Kvm *kvm, GError **err)
{
    Platform *p = kvm->parent_obj.platform;

    kvm->mem_listener = (GmemListener){kvm_region_add, kvm_region_del};
    kvm->mmio_listener = (AspaceListener){kvm_mmio_eventfd_add, kvm_mmio_eventfd_del};
    kvm->pio_listener = (AspaceListener){kvm_pio_eventfd_add, kvm_pio_eventfd_del};
    if (!gmem_listen(p->mem, &kvm->mem_listener, err)) {
        return false;
    }
    kvm->mem_listens = true;
    aspace_listen(p->mmio, &kvm->mmio_listener);
    if (p->pio) {
        aspace_listen(p->pio, &kvm->pio_listener);
    }
    kvm->io_listens = true;
    return true;
}

void kvm_mem_close(Kvm *kvm)
{
    Platform *p = kvm->parent_obj.platform;

    if (kvm->io_listens) {
        aspace_unlisten(p->mmio, &kvm->mmio_listener);
        if (p->pio) {
            aspace_unlisten(p->pio, &kvm->pio_listener);
        }
        kvm->io_listens = false;
    }
    if (kvm->mem_listens) {
        gmem_unlisten(p->mem, &kvm->mem_listener);
        kvm->mem_listens = false;
    }
}
