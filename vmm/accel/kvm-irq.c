/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupts under KVM: the in-kernel PIC, IOAPIC, LAPICs and PIT, lines into the pins, and
 * messages. A message with a route is an irqfd on a GSI of its own: firing it is one eventfd write,
 * from any thread or from the kernel.
 *
 * The routing table is one for all and is replaced as a whole, which makes the kernel wait for its
 * readers: it is sent as rarely as possible. Pins keep the routes that the kernel gives them (GSI n
 * is IOAPIC pin n, and PIC input n below 16). A freed entry stays in the kernel's table, where
 * nothing refers to it, until the next change; a new route prefers a free entry that has its
 * message already. What changes within one vCPU exit is sent once, at its end: the guest's write is
 * not complete before. Until then an eventfd keeps count of what was fired.
 */
#include "vmm/accel/kvm-internal.h"

#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct KvmMsiRoute {
    MsiRoute parent; /* first */
    Kvm *kvm;
    unsigned slot; /* index in kvm->msi_slots */
    bool assigned; /* the irqfd is in place */
};

/* --- the routing table --- */

static void kvm_route_pin(struct kvm_irq_routing *table, unsigned gsi, unsigned chip, unsigned pin)
{
    table->entries[table->nr++] = (struct kvm_irq_routing_entry){
        .gsi = gsi,
        .type = KVM_IRQ_ROUTING_IRQCHIP,
        .u.irqchip = {.irqchip = chip, .pin = pin},
    };
}

static struct kvm_irq_routing *kvm_route_table(Kvm *kvm)
{
    size_t max = KVM_GSI_PINS + 16 + kvm->msi_slots->len;
    struct kvm_irq_routing *table = g_malloc0(sizeof *table + max * sizeof table->entries[0]);

    for (unsigned pin = 0; pin < KVM_GSI_PINS; pin++) {
        kvm_route_pin(table, pin, KVM_IRQCHIP_IOAPIC, pin);
        if (pin < 16) {
            kvm_route_pin(table, pin, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE,
                          pin % 8);
        }
    }
    for (unsigned i = 0; i < kvm->msi_slots->len; i++) {
        const KvmMsiSlot *s = &g_array_index(kvm->msi_slots, KvmMsiSlot, i);
        table->entries[table->nr++] = (struct kvm_irq_routing_entry){
            .gsi = KVM_GSI_PINS + i,
            .type = KVM_IRQ_ROUTING_MSI,
            .u.msi = {.address_lo = (uint32_t)s->msg.addr,
                      .address_hi = (uint32_t)(s->msg.addr >> 32),
                      .data = s->msg.data},
        };
    }
    return table;
}

static bool kvm_irqfd(KvmMsiRoute *r, bool assign)
{
    struct kvm_irqfd arg = {
        .fd = (uint32_t)r->parent.eventfd,
        .gsi = KVM_GSI_PINS + r->slot,
        .flags = assign ? 0 : KVM_IRQFD_FLAG_DEASSIGN,
    };
    return ioctl(r->kvm->vm_fd, KVM_IRQFD, &arg) == 0;
}

static void kvm_routes_commit(Kvm *kvm)
{
    if (kvm->routes_dirty) {
        g_autofree struct kvm_irq_routing *table = kvm_route_table(kvm);

        TRACE(kvm_set_gsi_routing, "%u entries", table->nr);
        if (ioctl(kvm->vm_fd, KVM_SET_GSI_ROUTING, table) < 0) {
            log_warn("kvm: cannot set %u interrupt routes: %s", table->nr, g_strerror(errno));
        }
        kvm->routes_dirty = false;
    }
    for (unsigned i = 0; i < kvm->new_routes->len; i++) {
        KvmMsiRoute *r = g_ptr_array_index(kvm->new_routes, i);

        r->assigned = kvm_irqfd(r, true);
        if (!r->assigned) {
            log_warn("kvm: cannot tie an eventfd to interrupt %u: %s", KVM_GSI_PINS + r->slot,
                     g_strerror(errno));
        }
    }
    g_ptr_array_set_size(kvm->new_routes, 0);
}

static void kvm_routes_changed(Kvm *kvm)
{
    if (!kvm->exits_in_devices) {
        kvm_routes_commit(kvm);
    }
}

void kvm_irq_begin(Kvm *kvm)
{
    kvm->exits_in_devices++;
}

void kvm_irq_end(Kvm *kvm)
{
    kvm->exits_in_devices--;
    if (kvm->routes_dirty || kvm->new_routes->len) {
        kvm_routes_commit(kvm);
    }
}

/* --- messages --- */

static bool kvm_msi_same(const KvmMsiSlot *s, MsiMessage msg)
{
    return s->msg.addr == msg.addr && s->msg.data == msg.data;
}

/* A free entry, best one that has the message already. Returns -1 when the table is full. */
static int kvm_msi_slot_find(Kvm *kvm, MsiMessage msg)
{
    int found = -1;

    for (unsigned i = 0; i < kvm->msi_slots->len; i++) {
        const KvmMsiSlot *s = &g_array_index(kvm->msi_slots, KvmMsiSlot, i);

        if (!s->used && kvm_msi_same(s, msg)) {
            return (int)i;
        }
        if (!s->used && found < 0) {
            found = (int)i;
        }
    }
    if (found < 0 && KVM_GSI_PINS + 16 + kvm->msi_slots->len < kvm->max_routes) {
        KvmMsiSlot fresh = {.used = false};

        g_array_append_val(kvm->msi_slots, fresh);
        kvm->routes_dirty = true;
        found = (int)kvm->msi_slots->len - 1;
    }
    return found;
}

static void kvm_msi_slot_set(Kvm *kvm, unsigned slot, MsiMessage msg)
{
    KvmMsiSlot *s = &g_array_index(kvm->msi_slots, KvmMsiSlot, slot);

    if (!kvm_msi_same(s, msg)) {
        s->msg = msg;
        kvm->routes_dirty = true;
    }
    s->used = true;
}

static void kvm_msi_send(MsiController *c, MsiMessage msg, uint16_t requester)
{
    Kvm *kvm = (Kvm *)(void *)((char *)c - offsetof(Kvm, msi));
    struct kvm_msi arg = {
        .address_lo = (uint32_t)msg.addr,
        .address_hi = (uint32_t)(msg.addr >> 32),
        .data = msg.data,
    };

    /* Below 0: a message that no LAPIC takes. 0: the guest has it masked. Neither is our trouble.
     */
    ioctl(kvm->vm_fd, KVM_SIGNAL_MSI, &arg);
}

static MsiRoute *kvm_msi_route_new(MsiController *c, MsiMessage msg, uint16_t requester)
{
    Kvm *kvm = (Kvm *)(void *)((char *)c - offsetof(Kvm, msi));
    int slot = kvm_msi_slot_find(kvm, msg);
    int fd = slot < 0 ? -1 : eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0) {
        return NULL;
    }
    KvmMsiRoute *r = g_new0(KvmMsiRoute, 1);
    *r = (KvmMsiRoute){.parent = {c, fd}, .kvm = kvm, .slot = (unsigned)slot};
    kvm_msi_slot_set(kvm, r->slot, msg);
    g_ptr_array_add(kvm->new_routes, r);
    kvm_routes_changed(kvm);
    return &r->parent;
}

static void kvm_msi_route_update(MsiRoute *route, MsiMessage msg)
{
    KvmMsiRoute *r = (KvmMsiRoute *)route;

    kvm_msi_slot_set(r->kvm, r->slot, msg);
    kvm_routes_changed(r->kvm);
}

static void kvm_msi_route_free(MsiRoute *route)
{
    KvmMsiRoute *r = (KvmMsiRoute *)route;
    Kvm *kvm = r->kvm;

    if (kvm->vm_fd >= 0) { /* else: closed before its devices went */
        if (r->assigned) {
            kvm_irqfd(r, false);
        }
        g_ptr_array_remove_fast(kvm->new_routes, r);
        g_array_index(kvm->msi_slots, KvmMsiSlot, r->slot).used = false;
    }
    close(route->eventfd);
    g_free(r);
}

static const MsiControllerOps kvm_msi_ops = {
    .send = kvm_msi_send,
    .route_new = kvm_msi_route_new,
    .route_update = kvm_msi_route_update,
    .route_free = kvm_msi_route_free,
};

/* --- lines --- */

static bool kvm_irq_line(Kvm *kvm, unsigned gsi, int level)
{
    struct kvm_irq_level arg = {.irq = gsi, .level = (uint32_t)level};

    return ioctl(kvm->vm_fd, KVM_IRQ_LINE, &arg) == 0;
}

static void kvm_gsi_handler(void *opaque, int n, int level)
{
    Kvm *kvm = opaque;
    uint32_t bit = UINT32_C(1) << n;

    if (!!(kvm->gsi_levels & bit) == !!level) {
        return; /* the kernel keeps the level, too: no need to tell it again */
    }
    kvm->gsi_levels ^= bit;
    TRACE(kvm_irq_line, "gsi %d level %d", n, !!level);
    if (kvm->vm_fd >= 0 && !kvm_irq_line(kvm, (unsigned)n, !!level)) {
        log_warn("kvm: cannot set interrupt line %d: %s", n, g_strerror(errno));
    }
}

IrqLine kvm_irq_gsi(Accel *accel, unsigned gsi)
{
    g_assert(gsi < KVM_GSI_PINS);
    return (IrqLine){kvm_gsi_handler, accel, (int)gsi};
}

/* --- life --- */

bool kvm_irq_create(Kvm *kvm, GError **err)
{
    struct kvm_pit_config pit = {.flags = KVM_PIT_SPEAKER_DUMMY}; /* port 0x61 as well */

    if (ioctl(kvm->vm_fd, KVM_CREATE_IRQCHIP, 0) < 0) {
        return error_set_errno(err, errno, "-accel kvm: cannot create the interrupt controllers");
    }
    if (!kvm->parent_obj.no_pit && ioctl(kvm->vm_fd, KVM_CREATE_PIT2, &pit) < 0) {
        return error_set_errno(err, errno, "-accel kvm: cannot create the interval timer");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm->irqchips); i++) {
        kvm->irqchips[i].chip_id = i;
        if (ioctl(kvm->vm_fd, KVM_GET_IRQCHIP, &kvm->irqchips[i]) < 0) {
            return error_set_errno(err, errno, "-accel kvm: cannot read interrupt controller %u",
                                   i);
        }
    }
    if (!kvm->parent_obj.no_pit && ioctl(kvm->vm_fd, KVM_GET_PIT2, &kvm->pit) < 0) {
        return error_set_errno(err, errno, "-accel kvm: cannot read the interval timer");
    }
    kvm->msi_slots = g_array_new(false, true, sizeof(KvmMsiSlot));
    kvm->new_routes = g_ptr_array_new();
    kvm->msi.ops = &kvm_msi_ops;
    kvm->parent_obj.platform->msi = &kvm->msi;
    return true;
}

bool kvm_irq_reset(Kvm *kvm, GError **err)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kvm->irqchips); i++) {
        if (ioctl(kvm->vm_fd, KVM_SET_IRQCHIP, &kvm->irqchips[i]) < 0) {
            return error_set_errno(err, errno, "kvm: cannot reset interrupt controller %u", i);
        }
    }
    if (!kvm->parent_obj.no_pit && ioctl(kvm->vm_fd, KVM_SET_PIT2, &kvm->pit) < 0) {
        return error_set_errno(err, errno, "kvm: cannot reset the interval timer");
    }
    /* The controllers forgot the lines that devices hold high through a reset: say it again. */
    for (unsigned gsi = 0; gsi < KVM_GSI_PINS; gsi++) {
        if (kvm->gsi_levels & (UINT32_C(1) << gsi)) {
            kvm_irq_line(kvm, gsi, 0);
            kvm_irq_line(kvm, gsi, 1);
        }
    }
    return true;
}

void kvm_irq_close(Kvm *kvm)
{
    Platform *p = kvm->parent_obj.platform;

    if (p->msi == &kvm->msi) {
        p->msi = NULL;
    }
    g_clear_pointer(&kvm->msi_slots, g_array_unref);
    if (kvm->new_routes) {
        g_ptr_array_unref(g_steal_pointer(&kvm->new_routes));
    }
    kvm->gsi_levels = 0;
    kvm->routes_dirty = false;
}
