/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues that somebody else serves for a while: the kernel, by vhost. It gets the rings as they lie
 * in our memory, the place where we are, and the driver's kicks; it gives back the place where it
 * is. What it has used is in the ring (VIRTIO 1.4 §2.7.8).
 *
 * A queue that is lent has generation 0, which is never that of guest memory: whoever would touch
 * its rings is turned away by the check that is made anyway.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "hw/virtio/virtqueue-ring.h"

/* Without a doorbell kicks come by exit, and are passed on. */
static int kick_of(VirtQueue *vq)
{
    if (vq->bell.region) {
        return vq->bell.event.fd;
    }
    if (vq->own_kick < 0) {
        vq->own_kick = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    return vq->own_kick;
}

void virtio_queue_kick_lent(VirtQueue *vq)
{
    eventfd_write(vq->lent_kick, 1);
}

bool virtio_queue_lent(const VirtQueue *vq)
{
    return vq->lent;
}

bool virtio_queue_lend(VirtQueue *vq, VirtQueueLoan *ret_loan)
{
    int kick;

    g_assert(!vq->lent);
    if (!virtqueue_idle(vq) || vq->ops != &vq_split_ops || (kick = kick_of(vq)) < 0) {
        return false;
    }
    virtio_notify(vq->vdev, vq); /* of what was used here nobody else tells */
    *ret_loan = (VirtQueueLoan){
        .num = vq->num,
        .base = vq->split.last_avail,
        .desc = (void *)vq->split.desc,
        .avail = (void *)vq->split.avail,
        .used = vq->split.used,
        .kick = kick,
    };
    if (vq->bell.src) {
        loop_fd_set_events(vq->bell.src, 0);
    }
    vq->lent = true;
    vq->lent_kick = kick;
    vq->generation = 0;
    return true;
}

/* The index that the driver sees, wherever the ring lies now. */
static uint16_t used_index(VirtQueue *vq)
{
    Le16 idx = le16_make(vq->split.last_avail);
    Gpa at = gpa_add(vq->setup.device, offsetof(struct vring_used, idx));

    return gmem_read(vq->mem, at, &idx, sizeof idx) ? le16_get(idx) : vq->split.last_avail;
}

void virtio_queue_take_back(VirtQueue *vq, int base)
{
    VqSplit *s = &vq->split;

    g_assert(vq->lent);
    vq->lent = false;
    vq->lent_kick = -1;
    s->used_idx = used_index(vq);
    s->last_avail = s->seen_avail = base < 0 ? s->used_idx : (uint16_t)base;
    s->avail_event_valid = false;
    vq->filled = 0;
    vq->unsignalled = UINT16_MAX + 1; /* not known what was told: the next time it is */
    if (vq->own_kick >= 0) {
        close(vq->own_kick);
        vq->own_kick = -1;
    }
    if (vq->bell.src) {
        loop_fd_set_events(vq->bell.src, LOOP_READ);
    }
    if (vq->kicks_asked) {
        virtqueue_enable_kicks(vq);
    } else {
        virtqueue_disable_kicks(vq);
    }
}

/* --- interrupts --- */

int virtio_queue_notifier(VirtQueue *vq)
{
    VirtioBus *bus = vq->vdev->vbus;
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(bus);

    return bc->notifier && vq->vector != VIRTIO_NO_VECTOR ? bc->notifier(bus, vq->vector) : -1;
}

void virtio_notifier_changed(VirtQueue *vq, int fd)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_GET_CLASS(vq->vdev);

    if (vq->lent && vc->notifier_changed) {
        vc->notifier_changed(vq->vdev, vq, fd);
    }
}

void virtio_vector_changed(VirtIODevice *vdev, uint16_t vector, int fd)
{
    for (unsigned n = 0; vdev->queues && n < vdev->queues->len; n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);

        if (vq->vector == vector) {
            virtio_notifier_changed(vq, fd);
        }
    }
}
