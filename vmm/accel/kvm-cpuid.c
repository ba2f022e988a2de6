/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The CPUID of a vCPU: what the host and its KVM support (-cpu host), with the topology of this VM:
 * one package of n cores with one thread each, APIC ids from 0 up. kvmclock, x2APIC and the TSC
 * deadline timer are offered wherever KVM has them: with these a guest calibrates nothing.
 */
#include "vmm/accel/kvm-internal.h"

#include <cpuid.h>
#include <string.h>
#include <asm/kvm_para.h>

enum {
    CPUID1_ECX_MONITOR = 1 << 3,
    CPUID1_ECX_VMX = 1 << 5,
    CPUID1_ECX_X2APIC = 1 << 21,
    CPUID1_ECX_TSC_DEADLINE = 1 << 24,
    CPUID1_EDX_HTT = 1 << 28,
    CPUID81_ECX_CMP_LEGACY = 1 << 1,
    CPUID81_ECX_SVM = 1 << 2,
    CPUID_MAX_ENTRIES = 256,
};
#define CPUID1_ECX_HYPERVISOR (UINT32_C(1) << 31)

bool kvm_host_has_virtualization(void)
{
    unsigned eax, ebx, ecx, edx;

    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & CPUID1_ECX_VMX)) {
        return true;
    }
    return __get_cpuid(0x80000001, &eax, &ebx, &ecx, &edx) && (ecx & CPUID81_ECX_SVM);
}

static size_t kvm_cpuid_bytes(unsigned nent)
{
    return sizeof(struct kvm_cpuid2) + nent * sizeof(struct kvm_cpuid_entry2);
}

bool kvm_cpuid_query(Kvm *kvm, GError **err)
{
    kvm->cpuid = g_malloc0(kvm_cpuid_bytes(CPUID_MAX_ENTRIES));
    kvm->cpuid->nent = CPUID_MAX_ENTRIES;
    if (ioctl(kvm->dev_fd, KVM_GET_SUPPORTED_CPUID, kvm->cpuid) < 0) {
        return error_set_errno(err, errno, "-accel kvm: cannot ask for the supported CPUID");
    }
    return true;
}

static unsigned bits_for(unsigned count) /* the width of an id that tells count things apart */
{
    return count > 1 ? 32 - (unsigned)__builtin_clz(count - 1) : 0;
}

static struct kvm_cpuid_entry2 *cpuid_find(struct kvm_cpuid2 *c, uint32_t function)
{
    for (unsigned i = 0; i < c->nent; i++) {
        if (c->entries[i].function == function) {
            return &c->entries[i];
        }
    }
    return NULL;
}

static uint32_t cpuid_signature_word(const struct kvm_cpuid_entry2 *e)
{
    return e ? e->ecx : 0; /* "ntel", "cAMD", ... */
}

static void cpuid_set_leaf1(Kvm *kvm, struct kvm_cpuid_entry2 *e, unsigned index, unsigned count)
{
    unsigned logical = MIN(1U << bits_for(count), 255);

    e->ebx = (e->ebx & 0xffff) | logical << 16 | index << 24;
    e->ecx = (e->ecx & ~(uint32_t)CPUID1_ECX_MONITOR) | CPUID1_ECX_HYPERVISOR | CPUID1_ECX_X2APIC;
    if (kvm->has_tsc_deadline) {
        e->ecx |= CPUID1_ECX_TSC_DEADLINE;
    }
    e->edx = count > 1 ? e->edx | CPUID1_EDX_HTT : e->edx & ~(uint32_t)CPUID1_EDX_HTT;
}

/* Leaves 4 and 8000001d describe one cache per index: level 3 and up are the package's, the rest a
 * core's. */
static uint32_t cpuid_cache_eax(uint32_t eax, unsigned count, bool with_cores)
{
    uint32_t all = (1U << bits_for(count)) - 1;
    uint32_t level = (eax >> 5) & 7;
    uint32_t sharing = level >= 3 ? MIN(all, 0xfff) : 0;
    uint32_t cores = with_cores ? MIN(all, 0x3f) : 0;

    if ((eax & 0x1f) == 0) {
        return eax; /* no more caches */
    }
    return (eax & 0x3fff) | sharing << 14 | cores << 26;
}

static void cpuid_set_amd_size(struct kvm_cpuid_entry2 *e, unsigned count)
{
    e->ecx = (e->ecx & ~UINT32_C(0xf0ff)) | bits_for(count) << 12 | MIN(count - 1, 255);
}

static void cpuid_set_kvm_features(struct kvm_cpuid_entry2 *e)
{
    /* Neither has a listener here: 15-bit MSI destinations, and exits for page encryption changes.
     */
    e->eax &= ~((1U << KVM_FEATURE_MSI_EXT_DEST_ID) | (1U << KVM_FEATURE_HC_MAP_GPA_RANGE));
    e->edx = 0; /* no promise that vCPUs are never preempted */
}

static void cpuid_set_entry(Kvm *kvm, struct kvm_cpuid_entry2 *e, unsigned index, unsigned count,
                            bool amd)
{
    switch (e->function) {
    case 0:
        e->eax = MAX(e->eax, 0xb);
        break;
    case 1:
        cpuid_set_leaf1(kvm, e, index, count);
        break;
    case 4:
        e->eax = cpuid_cache_eax(e->eax, count, true);
        break;
    case 5: /* monitor and mwait */
        e->eax = e->ebx = e->ecx = e->edx = 0;
        break;
    case KVM_CPUID_FEATURES:
        cpuid_set_kvm_features(e);
        break;
    case 0x80000001:
        e->ecx |= amd && count > 1 ? CPUID81_ECX_CMP_LEGACY : 0;
        break;
    case 0x80000008:
        if (amd) {
            cpuid_set_amd_size(e, count);
        }
        break;
    case 0x8000001d:
        e->eax = cpuid_cache_eax(e->eax, count, false);
        break;
    case 0x8000001e:
        e->eax = index;
        e->ebx = index & 0xff;
        e->ecx = 0;
        break;
    default:
        break;
    }
}

/* Leaf 0xb: threads (one), cores (count), end. */
static void cpuid_add_topology(struct kvm_cpuid2 *c, unsigned index, unsigned count)
{
    const struct kvm_cpuid_entry2 levels[] = {
        {.index = 0, .eax = 0, .ebx = 1, .ecx = 0 | 1 << 8},
        {.index = 1, .eax = bits_for(count), .ebx = count, .ecx = 1 | 2 << 8},
        {.index = 2, .ecx = 2},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(levels); i++) {
        struct kvm_cpuid_entry2 *e = &c->entries[c->nent++];

        *e = levels[i];
        e->function = 0xb;
        e->flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
        e->edx = index;
    }
}

struct kvm_cpuid2 *kvm_cpuid_for_vcpu(Kvm *kvm, unsigned index, unsigned count)
{
    struct kvm_cpuid2 *host = kvm->cpuid;
    struct kvm_cpuid2 *c = g_malloc0(kvm_cpuid_bytes(host->nent + 3));
    uint32_t vendor = cpuid_signature_word(cpuid_find(host, 0));
    bool amd = vendor == 0x444d4163 || vendor == 0x656e6975; /* "cAMD", Hygon's "uine" */

    for (unsigned i = 0; i < host->nent; i++) {
        uint32_t function = host->entries[i].function;

        /* 0xb is ours; without 0x1f (its successor) and 0x1a (hybrid cores) guests ask 0xb */
        if (function == 0xb || function == 0x1f || function == 0x1a) {
            continue;
        }
        c->entries[c->nent] = host->entries[i];
        cpuid_set_entry(kvm, &c->entries[c->nent++], index, count, amd);
    }
    cpuid_add_topology(c, index, count);
    return c;
}
