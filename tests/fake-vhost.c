/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel's vhost-net for tests, see fake-vhost.h.
 */
#include "tests/fake-vhost.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define BIT(n) (UINT64_C(1) << (n))

const uint64_t fake_vhost_features =
    BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
    BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VHOST_F_LOG_ALL) | BIT(VHOST_NET_F_VIRTIO_NET_HDR) |
    BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_F_ACCESS_PLATFORM) |
    BIT(VIRTIO_F_RING_RESET);

static int fail(int errnum)
{
    errno = errnum;
    return -1;
}

static void note(FakeVhost *k, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
static void note(FakeVhost *k, const char *fmt, ...)
{
    va_list ap;

    if (k->said->len) {
        g_string_append_c(k->said, ' ');
    }
    va_start(ap, fmt);
    g_string_append_vprintf(k->said, fmt, ap);
    va_end(ap);
}

static int set_memory(FakeVhost *k, const struct vhost_memory *m)
{
    k->regions = m->nregions;
    k->bytes = 0;
    for (unsigned i = 0; i < m->nregions; i++) {
        k->bytes += m->regions[i].memory_size;
    }
    note(k, "SET_MEM_TABLE(%u)", m->nregions);
    return 0;
}

/* Descriptors: the kernel has references of its own, so that ours may be closed. */
static void keep(int *fd, int given)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = given < 0 ? -1 : dup(given);
}

static int set_file(FakeVhost *k, unsigned long request, const struct vhost_vring_file *f)
{
    FakeVhostRing *r = &k->rings[f->index];
    const char *what = request == VHOST_SET_VRING_KICK   ? "KICK"
                       : request == VHOST_SET_VRING_CALL ? "CALL"
                                                         : "ERR";

    note(k, "SET_VRING_%s(%u,%s)", what, f->index, f->fd < 0 ? "-1" : "fd");
    keep(request == VHOST_SET_VRING_KICK   ? &r->kick
         : request == VHOST_SET_VRING_CALL ? &r->call
                                           : &r->err,
         f->fd);
    return 0;
}

static int set_backend(FakeVhost *k, const struct vhost_vring_file *f)
{
    FakeVhostRing *r = &k->rings[f->index];

    note(k, "NET_SET_BACKEND(%u,%d)", f->index, f->fd);
    if (f->fd >= 0 && (!k->regions || !r->addr.used_user_addr || !r->num.num)) {
        return fail(EFAULT);
    }
    r->backend = f->fd;
    return 0;
}

static int set_state(FakeVhost *k, bool base, const struct vhost_vring_state *s)
{
    FakeVhostRing *r = &k->rings[s->index];

    note(k, "SET_VRING_%s(%u,%u)", base ? "BASE" : "NUM", s->index, s->num);
    if (r->backend >= 0) {
        return fail(EBUSY);
    }
    *(base ? &r->base : &r->num) = *s;
    return 0;
}

static int get_base(FakeVhost *k, struct vhost_vring_state *s)
{
    note(k, "GET_VRING_BASE(%u)", s->index);
    s->num = k->rings[s->index].base.num;
    return 0;
}

static int fake_ioctl(void *opaque, int fd, unsigned long request, void *arg)
{
    FakeVhost *k = opaque;

    if (request == k->refuse || (!k->owned && request != VHOST_SET_OWNER)) {
        return fail(request == k->refuse ? EINVAL : EPERM);
    }
    switch (request) {
    case VHOST_SET_OWNER:
        note(k, "SET_OWNER");
        k->owned = true;
        return 0;
    case VHOST_GET_FEATURES:
        note(k, "GET_FEATURES");
        *(uint64_t *)arg = k->features;
        return 0;
    case VHOST_SET_FEATURES:
        note(k, "SET_FEATURES");
        k->acked = *(uint64_t *)arg;
        return k->acked & ~k->features ? fail(EOPNOTSUPP) : 0;
    case VHOST_SET_MEM_TABLE:
        return set_memory(k, arg);
    case VHOST_SET_VRING_NUM:
    case VHOST_SET_VRING_BASE:
        return set_state(k, request == VHOST_SET_VRING_BASE, arg);
    case VHOST_GET_VRING_BASE:
        return get_base(k, arg);
    case VHOST_SET_VRING_ADDR:
        note(k, "SET_VRING_ADDR(%u)", ((struct vhost_vring_addr *)arg)->index);
        k->rings[((struct vhost_vring_addr *)arg)->index].addr = *(struct vhost_vring_addr *)arg;
        return 0;
    case VHOST_SET_VRING_KICK:
    case VHOST_SET_VRING_CALL:
    case VHOST_SET_VRING_ERR:
        return set_file(k, request, arg);
    case VHOST_NET_SET_BACKEND:
        return set_backend(k, arg);
    default:
        return fail(ENOTTY);
    }
}

FakeVhost *fake_vhost_new(uint64_t features, bool header)
{
    FakeVhost *k = g_new0(FakeVhost, 1);
    VhostIo io = {fake_ioctl, k};

    k->said = g_string_new(NULL);
    k->features = features;
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        FakeVhostRing *r = &k->rings[i];

        r->kick = r->call = r->err = r->backend = -1;
    }
    k->vhost = vhost_new(-1, header, &io, NULL);
    return k;
}

void fake_vhost_free(FakeVhost *k)
{
    vhost_free(k->vhost);
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        keep(&k->rings[i].kick, -1);
        keep(&k->rings[i].call, -1);
        keep(&k->rings[i].err, -1);
    }
    g_string_free(k->said, TRUE);
    g_free(k);
}

const char *fake_vhost_said(FakeVhost *k)
{
    static char *last;

    g_free(last);
    last = g_strdup(k->said->str);
    g_string_truncate(k->said, 0);
    return last;
}

bool fake_vhost_serves(const FakeVhost *k, unsigned ring)
{
    return k->rings[ring].backend >= 0;
}

unsigned fake_vhost_serve(FakeVhost *k, unsigned ring, unsigned n, uint32_t len)
{
    FakeVhostRing *r = &k->rings[ring];
    struct vring_avail *avail = (struct vring_avail *)(uintptr_t)r->addr.avail_user_addr;
    struct vring_used *used = (struct vring_used *)(uintptr_t)r->addr.used_user_addr;
    unsigned done = 0;

    g_assert(fake_vhost_serves(k, ring));
    for (; done < n && avail->idx != (uint16_t)r->base.num; done++) {
        unsigned i = r->base.num % r->num.num;

        used->ring[used->idx % r->num.num] = (struct vring_used_elem){avail->ring[i], len};
        used->idx++;
        r->base.num = (uint16_t)(r->base.num + 1);
    }
    if (done) {
        eventfd_write(r->call, 1);
    }
    return done;
}

uint64_t fake_vhost_kicks(FakeVhost *k, unsigned ring)
{
    eventfd_t n;

    return eventfd_read(k->rings[ring].kick, &n) == 0 ? n : 0;
}
