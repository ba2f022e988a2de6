/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt moderation of virtio-net (VIRTIO 1.4 §5.1.6.5.8): frames of a queue are counted from
 * the first one on, and the driver is interrupted once there are so many, or so much time has
 * passed. It sees their buffers at once in any case. Whether it wants interrupts at all stays its
 * own affair (§2.7.7, §2.8.10).
 */
#include "hw/virtio/virtio-net-internal.h"

static bool coalesces(const NetCoal *c)
{
    return c->params.max_packets > 0 && c->params.max_usecs > 0;
}

static void notify_now(NetCoal *c)
{
    c->packets = 0;
    loop_timer_cancel(c->timer);
    virtio_notify(c->vdev, c->vq);
}

static void timeout(void *opaque)
{
    notify_now(opaque);
}

void virtio_net_notify(NetCoal *c, uint32_t n)
{
    if (G_LIKELY(!coalesces(c))) {
        virtio_notify(c->vdev, c->vq);
        return;
    }
    virtqueue_flush(c->vq);
    c->packets += n;
    if (c->packets >= c->params.max_packets) {
        notify_now(c);
    } else if (c->packets > 0 && !loop_timer_armed(c->timer)) {
        loop_timer_arm_in(c->timer, (int64_t)c->params.max_usecs * 1000);
    }
}

/* "The device needs to check if the new notification conditions are met": time counts anew. */
void virtio_net_coal_set(NetCoal *c, NetCoalParams params)
{
    c->params = params;
    if (c->packets > 0 && (!coalesces(c) || c->packets >= params.max_packets)) {
        notify_now(c);
    } else if (c->packets > 0) {
        loop_timer_arm_in(c->timer, (int64_t)params.max_usecs * 1000);
    }
}

void virtio_net_coal_reset(NetCoal *c, NetCoalParams params)
{
    c->params = params;
    c->packets = 0;
    loop_timer_cancel(c->timer);
}

void virtio_net_coal_init(NetCoal *c, VirtIODevice *vdev, VirtQueue *vq)
{
    *c = (NetCoal){.vdev = vdev, .vq = vq};
    c->timer =
        loop_timer_new(virtio_queue_loop(vq), device_platform(DEVICE(vdev))->vclock, timeout, c);
}

void virtio_net_coal_finish(NetCoal *c)
{
    g_clear_pointer(&c->timer, loop_timer_free);
}
