/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Doorbells: a queue that is at work has an eventfd at the place where its driver kicks it, so that
 * a kick reaches the queue's loop without an exit. The transport says where that is; a queue
 * without one is kicked by exit: slower, nothing worse.
 */
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/code-place.h"
#include "hw/virtio/virtqueue-ring.h"

void virtio_doorbell_rang(void *opaque, unsigned events)
{
    CODE_PLACE(virtio_doorbell_rang);
    VirtQueue *vq = opaque;

    virtio_queue_serve(vq->vdev, vq->index);
}

static bool doorbell_ready(void *opaque)
{
    return virtqueue_poll(opaque);
}

static void doorbell_poll_begin(void *opaque)
{
    virtqueue_poll_begin(opaque);
}

static bool doorbell_poll_end(void *opaque)
{
    return virtqueue_poll_end(opaque);
}

static const LoopPollOps doorbell_poll = {
    .ready = doorbell_ready,
    .begin = doorbell_poll_begin,
    .end = doorbell_poll_end,
};

void virtio_queue_allow_polling(VirtQueue *vq)
{
    vq->may_poll = true;
}

static void doorbell_add(VirtQueue *vq)
{
    VirtioBus *bus = vq->vdev->vbus;
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(bus);
    VqDoorbell *b = &vq->bell;

    b->region = bc->doorbell ? bc->doorbell(bus, vq->index, &b->event) : NULL;
    if (!b->region) {
        return;
    }
    b->event.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (b->event.fd < 0) {
        b->region = NULL;
        return;
    }
    /* Only that it rings matters: nobody reads how often. */
    b->src = loop_fd_new(virtio_queue_loop(vq), b->event.fd, LOOP_READ | LOOP_EDGE,
                         virtio_doorbell_rang, vq);
    if (vq->may_poll) {
        loop_fd_set_poll(b->src, &doorbell_poll);
    }
    io_region_add_eventfd(b->region, &b->event);
}

static void doorbell_del(VqDoorbell *b)
{
    io_region_del_eventfd(b->region, &b->event);
    loop_fd_free(b->src);
    close(b->event.fd);
    *b = (VqDoorbell){0};
}

void virtio_doorbells_update(VirtIODevice *vdev, bool running)
{
    Platform *p = device_platform(DEVICE(vdev));

    aspace_begin(p->mmio);
    if (p->pio) {
        aspace_begin(p->pio);
    }
    for (unsigned n = 0; n < vdev->queues->len; n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);
        bool wanted = running && vq->ready;

        if (wanted && !vq->bell.region) {
            doorbell_add(vq);
        } else if (!wanted && vq->bell.region) {
            doorbell_del(&vq->bell);
        }
    }
    if (p->pio) {
        aspace_commit(p->pio);
    }
    aspace_commit(p->mmio);
}
