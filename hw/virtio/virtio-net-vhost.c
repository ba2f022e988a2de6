/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pairs of queues that the kernel serves, where the netdev has vhost=on: from DRIVER_OK on, while
 * the VM runs, the link is up, the device may do DMA and both queues are enabled. At all other
 * times frames go through this process, beginning where the kernel was. The control queue stays
 * here; as in QEMU, what it sets in filters is without effect on frames that the kernel moves.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/log.h"
#include "hw/virtio/virtio-net-internal.h"

#define BIT(name) (UINT64_C(1) << VIRTIO_NET_F_##name)

/* What software here does with each frame, and the kernel does not. */
#define SOFTWARE_ONLY (BIT(RSS) | BIT(HASH_REPORT) | BIT(NOTF_COAL) | BIT(VQ_NOTF_COAL))

/* What the driver may send the tap has to take as it is. */
static const struct {
    uint64_t feature;
    unsigned offload;
} sent[] = {
    {BIT(CSUM), NET_OFFLOAD_CSUM},      {BIT(HOST_TSO4), NET_OFFLOAD_TSO4},
    {BIT(HOST_TSO6), NET_OFFLOAD_TSO6}, {BIT(HOST_ECN), NET_OFFLOAD_ECN},
    {BIT(HOST_UFO), NET_OFFLOAD_UFO},   {BIT(HOST_USO), NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6},
};

uint64_t virtio_net_vhost_features(const VirtioNet *s, uint64_t features)
{
    const Vhost *v = s->user ? net_vhost(s->user, 0) : NULL;
    unsigned offloads;

    if (!v) {
        return features;
    }
    offloads = net_host_offloads(net_user_backend(s->user));
    for (unsigned i = 0; i < G_N_ELEMENTS(sent); i++) {
        if (sent[i].offload & ~offloads) {
            features &= ~sent[i].feature;
        }
    }
    return vhost_limit_features(v, features & ~SOFTWARE_ONLY);
}

/* --- what the kernel tells --- */

static void on_call_rx(void *opaque, unsigned events)
{
    virtio_queue_interrupt(((VirtioNetPair *)opaque)->rx);
}

static void on_call_tx(void *opaque, unsigned events)
{
    virtio_queue_interrupt(((VirtioNetPair *)opaque)->tx);
}

static void on_err(void *opaque, unsigned events)
{
    VirtioNetPair *p = opaque;

    virtio_error(VIRTIO_DEVICE(p->s), "queues %u and %u: the kernel cannot make sense of a ring",
                 virtqueue_index(p->rx), virtqueue_index(p->tx));
    virtio_net_vhost_update_soon(p->s);
}

/* Watched by edges: what was written before the source is made is one event, and nobody reads. */
static bool tells_init(VirtioNetPair *p)
{
    VirtioNetKernel *k = &p->kernel;
    EventLoop *loop = virtio_queue_loop(p->rx);

    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        k->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    k->err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (k->call[VHOST_RX] < 0 || k->call[VHOST_TX] < 0 || k->err < 0) {
        return false;
    }
    k->call_src[VHOST_RX] =
        loop_fd_new(loop, k->call[VHOST_RX], LOOP_READ | LOOP_EDGE, on_call_rx, p);
    k->call_src[VHOST_TX] =
        loop_fd_new(loop, k->call[VHOST_TX], LOOP_READ | LOOP_EDGE, on_call_tx, p);
    k->err_src = loop_fd_new(loop, k->err, LOOP_READ | LOOP_EDGE, on_err, p);
    return true;
}

static void close_fd(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

static void tells_finish(VirtioNetKernel *k)
{
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        g_clear_pointer(&k->call_src[i], loop_fd_free);
        close_fd(&k->call[i]);
    }
    g_clear_pointer(&k->err_src, loop_fd_free);
    close_fd(&k->err);
}

/* --- a pair --- */

static Vhost *vhost_of(const VirtioNetPair *p)
{
    return net_vhost(p->s->user, p->index);
}

/* Nothing of it is in our hands any more. What waits for room in rx goes on to wait: the kernel may
 * refuse. */
static void let_go(VirtioNetPair *p)
{
    loop_bh_cancel(p->round);
    virtio_net_rx_round(p);
    virtio_net_tx_give_up(p);
}

/* The interrupt's own eventfd, so that the kernel needs nobody here; without one it is told here.
 */
static int call_of(const VirtioNetKernel *k, unsigned ring, int notifier)
{
    return notifier >= 0 ? notifier : k->call[ring];
}

void virtio_net_notifier_changed(VirtIODevice *vdev, VirtQueue *vq, int fd)
{
    VirtioNetPair *p = &VIRTIO_NET(vdev)->pairs[virtqueue_index(vq) / 2];
    unsigned ring = vq == p->tx ? VHOST_TX : VHOST_RX;

    if (p->kernel.on && !vhost_set_call(vhost_of(p), ring, call_of(&p->kernel, ring, fd))) {
        log_warn_rated(&p->s->kernel_rate, "%s: vhost: the interrupts of queue %u are lost",
                       p->s->name, virtqueue_index(vq));
    }
}

static bool lend(VirtioNetPair *p, VhostRing rings[VHOST_RINGS])
{
    VirtQueue *const vqs[VHOST_RINGS] = {p->rx, p->tx};
    VirtQueueLoan loan;

    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        if (!virtio_queue_lend(vqs[i], &loan)) {
            return false;
        }
        rings[i] = (VhostRing){
            .num = loan.num,
            .base = loan.base,
            .desc = loan.desc,
            .avail = loan.avail,
            .used = loan.used,
            .kick = loan.kick,
            .call = call_of(&p->kernel, i, virtio_queue_notifier(vqs[i])),
            .err = p->kernel.err,
        };
    }
    return true;
}

static void take_back(VirtQueue *vq, int base)
{
    if (virtio_queue_lent(vq)) {
        virtio_queue_take_back(vq, base);
    }
}

static bool hand_over(VirtioNetPair *p, const VhostRing rings[VHOST_RINGS], GError **err)
{
    VirtioNet *s = p->s;
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    int tap = net_vhost_begin(s->user, p->index, virtio_net_hdr_len(s), virtio_net_vhost_stop, err);

    if (tap < 0) {
        return false;
    }
    if (!vhost_start(vhost_of(p), virtio_memory(vdev), vdev->guest_features, rings, tap, err)) {
        net_vhost_end(s->user, p->index);
        return false;
    }
    return true;
}

/* The driver's kicks may have come before the kernel listened. */
static void kick_both(const VhostRing rings[VHOST_RINGS])
{
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        eventfd_write(rings[i].kick, 1);
    }
}

static void start_pair(VirtioNetPair *p)
{
    g_autoptr(GError) err = NULL;
    VhostRing rings[VHOST_RINGS];

    let_go(p);
    if (tells_init(p) && lend(p, rings) && hand_over(p, rings, &err)) {
        p->kernel.on = true;
        kick_both(rings);
        return;
    }
    tells_finish(&p->kernel);
    take_back(p->rx, -1);
    take_back(p->tx, -1);
    p->s->kernel_refused = true;
    /* Rated: each of a guest's resets asks again. */
    log_warn_rated(&p->s->kernel_rate,
                   "%s: unable to start vhost net: %s: falling back on userspace virtio",
                   p->s->name, err ? err->message : "the queues cannot be lent");
}

/* Interrupts that were under way are made up for: one too many does no harm. */
void virtio_net_vhost_stop_pair(VirtioNetPair *p)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(p->s);
    int base[VHOST_RINGS];

    if (!p->kernel.on) {
        return;
    }
    p->kernel.on = false;
    vhost_stop(vhost_of(p), base);
    net_vhost_end(p->s->user, p->index);
    tells_finish(&p->kernel);
    take_back(p->rx, base[VHOST_RX]);
    take_back(p->tx, base[VHOST_TX]);
    if (virtio_running(vdev)) {
        virtio_queue_interrupt(p->rx);
        virtio_queue_interrupt(p->tx);
        virtio_queue_run_later(vdev, p->rx);
        virtio_queue_run_later(vdev, p->tx);
    }
}

/* --- all --- */

void virtio_net_vhost_stop(void *opaque)
{
    VirtioNet *s = opaque;

    for (unsigned i = 0; i < s->n_pairs; i++) {
        virtio_net_vhost_stop_pair(&s->pairs[i]);
    }
}

static bool may_start(const VirtioNet *s)
{
    const VirtIODevice *vdev = &s->parent_obj;

    return s->kernel_bh && net_vhost(s->user, 0) && s->running && s->link_up &&
           (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK) && virtio_running(vdev);
}

/* Negotiated, too: without MQ the control queue has the number of a pair's. */
static bool is_wanted(const VirtioNet *s, const VirtioNetPair *p)
{
    return 2 * p->index < virtio_net_ctrl_index(s) && virtqueue_enabled(p->rx) &&
           virtqueue_enabled(p->tx);
}

void virtio_net_vhost_update(VirtioNet *s)
{
    bool may = may_start(s);

    for (unsigned i = 0; i < s->n_pairs; i++) {
        VirtioNetPair *p = &s->pairs[i];
        bool want = may && is_wanted(s, p);

        if (!want) {
            virtio_net_vhost_stop_pair(p);
        } else if (!p->kernel.on && !s->kernel_refused) {
            start_pair(p);
        }
    }
}

static void update(void *opaque)
{
    VirtioNet *s = opaque;

    virtio_lock(VIRTIO_DEVICE(s));
    virtio_net_vhost_update(s);
    virtio_unlock(VIRTIO_DEVICE(s));
}

void virtio_net_vhost_update_soon(VirtioNet *s)
{
    if (s->kernel_bh) {
        loop_bh_schedule(s->kernel_bh);
    }
}

void virtio_net_vhost_init(VirtioNet *s)
{
    s->kernel_refused = false;
    if (s->user && net_vhost(s->user, 0)) {
        s->kernel_bh = loop_bh_new(device_platform(DEVICE(s))->loop, update, s);
    }
}

void virtio_net_vhost_finish(VirtioNet *s)
{
    g_clear_pointer(&s->kernel_bh, loop_bh_free);
}
