/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's vhost-net: what is said to it, in the order that it wants.
 */
#include "backends/vhost.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/ioctl.h>

#include "core/log.h"

#define DEVICE    "/dev/vhost-net"
#define BIT(name) (UINT64_C(1) << (name))

/* What the kernel has a word on; all else is between the driver and us. */
#define KERNEL_FEATURES                                                                     \
    (BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |                     \
     BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_VERSION_1) | \
     BIT(VIRTIO_F_IN_ORDER) | BIT(VIRTIO_F_RING_RESET))
/* Not served together with it, whatever the kernel says. */
#define NEVER BIT(VIRTIO_F_RING_PACKED)

struct Vhost {
    int fd;
    VhostIo io;
    bool header;
    uint64_t features; /* the kernel's */
    bool running;
    GuestMemory *mem; /* while running */
    GmemListener listener;
    bool listens;
    struct vhost_memory *table;
};

/* --- the kernel --- */

static int kernel_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
    return ioctl(fd, request, arg);
}

static const VhostIo kernel_io = {kernel_ioctl, NULL};

static int say(const Vhost *v, unsigned long request, void *arg)
{
    return v->io.ioctl(v->io.opaque, v->fd, request, arg);
}

static bool tell(const Vhost *v, unsigned long request, void *arg, const char *what, GError **err)
{
    return say(v, request, arg) == 0 || error_set_errno(err, errno, "vhost: %s", what);
}

int vhost_open(GError **err)
{
    int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT) {
        error_set(err, "vhost: there is no " DEVICE " (kernel module vhost_net)");
    } else if (fd < 0) {
        error_set_errno(err, errno, "vhost: cannot open " DEVICE);
    }
    return fd;
}

/* --- life --- */

static struct vhost_memory *table_new(unsigned regions)
{
    return g_malloc0(sizeof(struct vhost_memory) + regions * sizeof(struct vhost_memory_region));
}

Vhost *vhost_new(int fd, bool header, const VhostIo *io, GError **err)
{
    Vhost *v = g_new0(Vhost, 1);

    v->fd = fd;
    v->io = io ? *io : kernel_io;
    v->header = header;
    v->table = table_new(0);
    if (!tell(v, VHOST_SET_OWNER, NULL, "it is not to be had", err) ||
        !tell(v, VHOST_GET_FEATURES, &v->features, "its features", err)) {
        vhost_free(v);
        return NULL;
    }
    if (!(v->features & BIT(VIRTIO_F_VERSION_1)) ||
        (header && !(v->features & BIT(VHOST_NET_F_VIRTIO_NET_HDR)))) {
        error_set(err, "vhost: the kernel's features 0x%" G_GINT64_MODIFIER "x are not enough",
                  v->features);
        vhost_free(v);
        return NULL;
    }
    return v;
}

void vhost_free(Vhost *v)
{
    if (v) {
        g_assert(!v->running);
        g_free(v->table);
        g_free(v);
    }
}

uint64_t vhost_limit_features(const Vhost *v, uint64_t features)
{
    return features & ~NEVER & (v->features | ~KERNEL_FEATURES);
}

bool vhost_running(const Vhost *v)
{
    return v->running;
}

/* --- guest memory --- */

/* While listening begins regions come one by one; the kernel gets them all at once then. */
static bool table_send(Vhost *v, GError **err)
{
    return !v->listens || tell(v, VHOST_SET_MEM_TABLE, v->table, "guest memory", err);
}

static bool region_add(GmemListener *l, const GmemRegion *r, GError **err)
{
    Vhost *v = (Vhost *)(void *)((char *)l - offsetof(Vhost, listener));
    struct vhost_memory *old = v->table;
    unsigned n = old->nregions;

    v->table = table_new(n + 1);
    v->table->nregions = n + 1;
    memcpy(v->table->regions, old->regions, n * sizeof *old->regions);
    v->table->regions[n] = (struct vhost_memory_region){
        .guest_phys_addr = r->gpa.v,
        .memory_size = r->size,
        .userspace_addr = (uintptr_t)r->host,
    };
    if (!table_send(v, err)) {
        g_free(v->table);
        v->table = old;
        return false;
    }
    g_free(old);
    return true;
}

static void region_del(GmemListener *l, const GmemRegion *r)
{
    Vhost *v = (Vhost *)(void *)((char *)l - offsetof(Vhost, listener));
    struct vhost_memory *t = v->table;
    g_autoptr(GError) err = NULL;
    unsigned i = 0;

    while (i < t->nregions && t->regions[i].guest_phys_addr != r->gpa.v) {
        i++;
    }
    g_assert(i < t->nregions);
    t->regions[i] = t->regions[--t->nregions];
    if (!table_send(v, &err)) {
        log_warn("%s", err->message);
    }
}

static bool memory_begin(Vhost *v, GuestMemory *mem, GError **err)
{
    v->listener = (GmemListener){region_add, region_del};
    if (!gmem_listen(mem, &v->listener, err)) {
        return false;
    }
    v->mem = mem;
    v->listens = true;
    return table_send(v, err);
}

static void memory_end(Vhost *v)
{
    v->listens = false;
    if (v->mem) {
        gmem_unlisten(v->mem, &v->listener);
    }
    v->mem = NULL;
}

/* --- rings --- */

static bool set_file(Vhost *v, unsigned long request, unsigned ring, int fd, const char *what,
                     GError **err)
{
    struct vhost_vring_file file = {.index = ring, .fd = fd};

    return tell(v, request, &file, what, err);
}

static bool set_backend(Vhost *v, unsigned ring, int fd, GError **err)
{
    return set_file(v, VHOST_NET_SET_BACKEND, ring, fd, "the tap", err);
}

static bool ring_setup(Vhost *v, unsigned n, const VhostRing *r, GError **err)
{
    struct vhost_vring_state num = {.index = n, .num = r->num}, base = {.index = n, .num = r->base};
    struct vhost_vring_addr addr = {
        .index = n,
        .desc_user_addr = (uintptr_t)r->desc,
        .avail_user_addr = (uintptr_t)r->avail,
        .used_user_addr = (uintptr_t)r->used,
    };

    return tell(v, VHOST_SET_VRING_NUM, &num, "size of a ring", err) &&
           tell(v, VHOST_SET_VRING_BASE, &base, "place in a ring", err) &&
           tell(v, VHOST_SET_VRING_ADDR, &addr, "addresses of a ring", err) &&
           set_file(v, VHOST_SET_VRING_KICK, n, r->kick, "kicks of a ring", err) &&
           set_file(v, VHOST_SET_VRING_CALL, n, r->call, "interrupts of a ring", err) &&
           set_file(v, VHOST_SET_VRING_ERR, n, r->err, "errors of a ring", err);
}

static void undo(Vhost *v)
{
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        set_backend(v, i, -1, NULL);
        set_file(v, VHOST_SET_VRING_KICK, i, -1, "", NULL);
        set_file(v, VHOST_SET_VRING_CALL, i, -1, "", NULL);
        set_file(v, VHOST_SET_VRING_ERR, i, -1, "", NULL);
    }
    memory_end(v);
    v->running = false;
}

static bool start(Vhost *v, GuestMemory *mem, uint64_t features, const VhostRing *rings, int tap,
                  GError **err)
{
    uint64_t f = vhost_limit_features(v, features) & KERNEL_FEATURES;

    f |= v->header ? BIT(VHOST_NET_F_VIRTIO_NET_HDR) : 0;
    if (!tell(v, VHOST_SET_FEATURES, &f, "features", err) || !memory_begin(v, mem, err)) {
        return false;
    }
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        if (!ring_setup(v, i, &rings[i], err)) {
            return false;
        }
    }
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        if (!set_backend(v, i, tap, err)) {
            return false;
        }
    }
    return true;
}

bool vhost_start(Vhost *v, GuestMemory *mem, uint64_t features, const VhostRing rings[VHOST_RINGS],
                 int tap, GError **err)
{
    g_assert(!v->running);
    v->running = start(v, mem, features, rings, tap, err);
    if (!v->running) {
        undo(v);
    }
    return v->running;
}

void vhost_stop(Vhost *v, int ret_base[VHOST_RINGS])
{
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        struct vhost_vring_state state = {.index = i};

        set_backend(v, i, -1, NULL); /* waits until the kernel is done with the ring */
        ret_base[i] = say(v, VHOST_GET_VRING_BASE, &state) == 0 ? (uint16_t)state.num : -1;
    }
    undo(v);
}

bool vhost_set_call(Vhost *v, unsigned ring, int call)
{
    return set_file(v, VHOST_SET_VRING_CALL, ring, call, "", NULL);
}
