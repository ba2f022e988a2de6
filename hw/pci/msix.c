/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X (PCI 3.0 §6.8.2). Every change of state goes through vector_update, which gives a vector
 * its route when it is used and able to fire, takes the route away when it is not, and sends what
 * was pending.
 *
 * Threads: the guest's side (table, configuration, reset) runs under the VM lock. msix_notify runs
 * on any thread, so what it looks at is guarded by MsixState.lock, which nests inside the VM lock.
 * A message that goes without a route is sent after the lock is dropped: the controller may do as
 * it likes.
 *
 * While bus mastering is off, vectors behave as if masked: the messages wait. Switching MSI-X off
 * forgets them.
 */
#include <string.h>

#include "core/le.h"
#include "core/code-place.h"
#include "core/log.h"
#include "hw/pci/msix.h"

enum { MAX_VECTORS = 2048, ENTRY_WORDS = PCI_MSIX_ENTRY_SIZE / 4 };

typedef struct {
    uint32_t word[ENTRY_WORDS]; /* address low and high, data, vector control */
    unsigned uses;
    bool pending;
    MsiRoute *route;   /* NULL: none wanted, or the controller has none to give */
    MsiMessage routed; /* what the route delivers */
} Vector;

struct MsixState {
    pthread_mutex_t lock;
    int enabled; /* atomic: msix_enabled reads it on any thread */
    bool live;   /* enabled, function not masked, bus master: vectors that are not masked fire */
    uint8_t cap;
    uint16_t count;
    uint16_t requester;
    Platform *platform; /* has the controller */
    Vector *vectors;
    PciDevice *dev;
    MsixEventfdFn told; /* NULL: nobody asked */
};

static MsiMessage vector_message(const Vector *v)
{
    uint64_t high = v->word[PCI_MSIX_ENTRY_UPPER_ADDR / 4];

    return (MsiMessage){.addr = high << 32 | v->word[PCI_MSIX_ENTRY_LOWER_ADDR / 4],
                        .data = v->word[PCI_MSIX_ENTRY_DATA / 4]};
}

static bool vector_can_fire(const MsixState *s, const Vector *v)
{
    return s->live && !(v->word[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] & PCI_MSIX_ENTRY_CTRL_MASKBIT);
}

/* With the lock held. True: the caller is to send *ret_msg after dropping the lock. */
static bool vector_fire(MsixState *s, Vector *v, MsiMessage *ret_msg)
{
    if (!vector_can_fire(s, v)) {
        v->pending = true;
        return false;
    }
    v->pending = false;
    if (v->route) {
        msi_route_fire(v->route);
        return false;
    }
    *ret_msg = vector_message(v);
    return true;
}

static void tell(const MsixState *s, const Vector *v)
{
    if (s->told) {
        s->told(s->dev, (uint16_t)(v - s->vectors), v->route ? v->route->eventfd : -1);
    }
}

/* Who fires by the route's eventfd has let go of it before it goes. */
static void drop_route(const MsixState *s, Vector *v)
{
    MsiRoute *route = g_steal_pointer(&v->route);

    if (route) {
        tell(s, v);
        msi_route_free(route);
    }
}

static void vector_update_route(MsixState *s, Vector *v)
{
    MsiMessage msg = vector_message(v);

    if (v->uses == 0 || !vector_can_fire(s, v)) {
        drop_route(s, v);
    } else if (!v->route) {
        v->route = msi_route_new(s->platform->msi, msg, s->requester);
        v->routed = msg;
        if (v->route) {
            tell(s, v);
        }
    } else if (msg.addr != v->routed.addr || msg.data != v->routed.data) {
        msi_route_update(v->route, msg);
        v->routed = msg;
    }
}

/* Sends what waits, where it may go now. Takes the lock. */
static void deliver_pending(MsixState *s, Vector *v)
{
    MsiMessage msg;
    bool send;

    pthread_mutex_lock(&s->lock);
    send = v->pending && vector_can_fire(s, v) && vector_fire(s, v, &msg);
    pthread_mutex_unlock(&s->lock);
    if (send) {
        msi_send(s->platform->msi, msg, s->requester);
    }
}

/* --- for the device --- */

static void vectors_clear(MsixState *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        Vector *v = &s->vectors[i];

        drop_route(s, v);
        *v = (Vector){.word[PCI_MSIX_ENTRY_VECTOR_CTRL / 4] = PCI_MSIX_ENTRY_CTRL_MASKBIT};
    }
}

void msix_init(PciDevice *dev, uint16_t nvectors, uint8_t bar, uint32_t table_off, uint32_t pba_off)
{
    MsixState *s = g_new0(MsixState, 1);

    g_assert(!dev->msix && nvectors >= 1 && nvectors <= MAX_VECTORS && bar < PCI_BARS);
    g_assert(table_off % 8 == 0 && pba_off % 8 == 0);
    pthread_mutex_init(&s->lock, NULL);
    s->count = nvectors;
    s->vectors = g_new0(Vector, nvectors);
    s->platform = device_platform(&dev->parent_obj);
    s->requester = pci_requester_id(dev);
    s->dev = dev;
    vectors_clear(s);

    s->cap = pci_add_capability(dev, PCI_CAP_ID_MSIX, PCI_CAP_MSIX_SIZEOF);
    le_store(dev->config + s->cap + PCI_MSIX_FLAGS, nvectors - 1u, 2);
    le_store(dev->config + s->cap + PCI_MSIX_TABLE, table_off | bar, 4);
    le_store(dev->config + s->cap + PCI_MSIX_PBA, pba_off | bar, 4);
    le_store(dev->wmask + s->cap + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL,
             2);
    dev->msix = s;
}

void msix_finish(PciDevice *dev)
{
    MsixState *s = g_steal_pointer(&dev->msix);

    if (s) {
        vectors_clear(s);
        pthread_mutex_destroy(&s->lock);
        g_free(s->vectors);
        g_free(s);
    }
}

void msix_reset(PciDevice *dev)
{
    MsixState *s = dev->msix;
    uint8_t *flags;

    if (!s) {
        return;
    }
    flags = dev->config + s->cap + PCI_MSIX_FLAGS;
    le_store(flags, le_load(flags, 2) & PCI_MSIX_FLAGS_QSIZE, 2);
    pthread_mutex_lock(&s->lock);
    __atomic_store_n(&s->enabled, 0, __ATOMIC_RELAXED);
    s->live = false;
    vectors_clear(s);
    pthread_mutex_unlock(&s->lock);
}

void msix_requester_changed(PciDevice *dev)
{
    MsixState *s = dev->msix;

    if (s) {
        pthread_mutex_lock(&s->lock);
        s->requester = pci_requester_id(dev);
        pthread_mutex_unlock(&s->lock);
    }
}

bool msix_enabled(const PciDevice *dev)
{
    return dev->msix && __atomic_load_n(&dev->msix->enabled, __ATOMIC_RELAXED);
}

uint16_t msix_vectors(const PciDevice *dev)
{
    return dev->msix ? dev->msix->count : 0;
}

static Vector *vector_get(MsixState *s, uint16_t vector)
{
    return s && vector < s->count ? &s->vectors[vector] : NULL;
}

void msix_listen(PciDevice *dev, MsixEventfdFn fn)
{
    if (dev->msix) {
        dev->msix->told = fn;
    }
}

int msix_eventfd(PciDevice *dev, uint16_t vector)
{
    MsixState *s = dev->msix;
    Vector *v = vector_get(s, vector);
    int fd;

    if (!v) {
        return -1;
    }
    pthread_mutex_lock(&s->lock);
    fd = v->route ? v->route->eventfd : -1;
    pthread_mutex_unlock(&s->lock);
    return fd;
}

void msix_vector_use(PciDevice *dev, uint16_t vector)
{
    Vector *v = vector_get(dev->msix, vector);

    /* uses is looked at and changed under the VM lock only. */
    if (v && v->uses++ == 0) {
        pthread_mutex_lock(&dev->msix->lock);
        vector_update_route(dev->msix, v);
        pthread_mutex_unlock(&dev->msix->lock);
    }
}

void msix_vector_unuse(PciDevice *dev, uint16_t vector)
{
    Vector *v = vector_get(dev->msix, vector);

    /* Not in use: a reset of the function came first. */
    if (!v || v->uses == 0 || --v->uses > 0) {
        return;
    }
    pthread_mutex_lock(&dev->msix->lock);
    v->pending = false;
    vector_update_route(dev->msix, v);
    pthread_mutex_unlock(&dev->msix->lock);
}

void msix_notify(PciDevice *dev, uint16_t vector)
{
    CODE_PLACE(msix_notify);
    MsixState *s = dev->msix;
    Vector *v = vector_get(s, vector);
    MsiMessage msg;
    bool send;

    if (!v) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    send = s->enabled && vector_fire(s, v, &msg);
    pthread_mutex_unlock(&s->lock);
    if (send) {
        msi_send(s->platform->msi, msg, s->requester);
    }
}

/* --- the guest's side --- */

/* Takes over what the registers say, with the lock held. */
static void state_update(MsixState *s, bool enabled, bool live)
{
    __atomic_store_n(&s->enabled, enabled, __ATOMIC_RELAXED);
    s->live = live;
    for (unsigned i = 0; i < s->count; i++) {
        vector_update_route(s, &s->vectors[i]);
        s->vectors[i].pending &= enabled;
    }
}

void msix_config_written(PciDevice *dev, uint32_t off, unsigned size)
{
    MsixState *s = dev->msix;
    uint16_t flags = (uint16_t)le_load(dev->config + s->cap + PCI_MSIX_FLAGS, 2);
    bool enabled = flags & PCI_MSIX_FLAGS_ENABLE;
    bool live = enabled && !(flags & PCI_MSIX_FLAGS_MASKALL) && pci_bus_master(dev);

    if (enabled == s->enabled && live == s->live) {
        return;
    }
    TRACE(msix_config, "dev=%02x.%x enabled=%d live=%d", PCI_SLOT(dev->devfn), PCI_FUNC(dev->devfn),
          enabled, live);
    pthread_mutex_lock(&s->lock);
    state_update(s, enabled, live);
    pthread_mutex_unlock(&s->lock);
    for (unsigned i = 0; live && i < s->count; i++) {
        deliver_pending(s, &s->vectors[i]);
    }
}

/* The part of a dword that an access of size bytes at off sees. */
static uint64_t cut(uint32_t word, uint32_t off, unsigned size)
{
    return (uint64_t)word >> 8 * (off % 4) & (UINT64_MAX >> (64 - 8 * size));
}

uint64_t msix_table_read(PciDevice *dev, uint32_t off, unsigned size)
{
    Vector *v = vector_get(dev->msix, (uint16_t)MIN(off / PCI_MSIX_ENTRY_SIZE, UINT16_MAX));
    unsigned n = off % PCI_MSIX_ENTRY_SIZE / 4;
    uint64_t high;

    if (!v) {
        return 0;
    }
    high = size == 8 && n + 1 < ENTRY_WORDS ? v->word[n + 1] : 0;
    return high << 32 | cut(v->word[n], off, MIN(size, 4));
}

/* Writes one dword of a vector, reserved bits left out. True when that changed it. */
static bool word_write(MsixState *s, Vector *v, unsigned n, uint32_t value)
{
    static const uint32_t writable[ENTRY_WORDS] = {
        [PCI_MSIX_ENTRY_LOWER_ADDR / 4] = UINT32_MAX & ~3u,
        [PCI_MSIX_ENTRY_UPPER_ADDR / 4] = UINT32_MAX,
        [PCI_MSIX_ENTRY_DATA / 4] = UINT32_MAX,
        [PCI_MSIX_ENTRY_VECTOR_CTRL / 4] = PCI_MSIX_ENTRY_CTRL_MASKBIT,
    };
    uint32_t before = v->word[n];

    v->word[n] = value & writable[n];
    return v->word[n] != before;
}

void msix_table_write(PciDevice *dev, uint32_t off, uint64_t value, unsigned size)
{
    MsixState *s = dev->msix;
    Vector *v = vector_get(s, (uint16_t)MIN(off / PCI_MSIX_ENTRY_SIZE, UINT16_MAX));
    unsigned n = off % PCI_MSIX_ENTRY_SIZE / 4;
    bool changed;

    /* §6.8.2: software uses aligned dwords or qwords; anything else has no defined result. */
    if (!v || (size != 4 && size != 8) || off % size) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    changed = word_write(s, v, n, (uint32_t)value);
    if (size == 8) {
        changed |= word_write(s, v, n + 1, (uint32_t)(value >> 32));
    }
    if (changed) {
        vector_update_route(s, v);
    }
    pthread_mutex_unlock(&s->lock);
    if (changed) {
        deliver_pending(s, v);
    }
}

uint64_t msix_pba_read(PciDevice *dev, uint32_t off, unsigned size)
{
    MsixState *s = dev->msix;
    uint64_t bits = 0;

    if (!s) {
        return 0;
    }
    pthread_mutex_lock(&s->lock);
    for (uint64_t i = 0; i < 8 * size && (uint64_t)off * 8 + i < s->count; i++) {
        bits |= (uint64_t)s->vectors[(uint64_t)off * 8 + i].pending << i;
    }
    pthread_mutex_unlock(&s->lock);
    return bits;
}
