/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Queues that are served by iothreads. An iothread takes the queue's kicks and runs the device's
 * code for it with its own lock and without the VM lock; who changes the device holds the VM lock
 * and takes the locks of all its iothreads behind that. What needs the VM lock (interrupts that are
 * not MSI-X, the announcement of an error) an iothread leaves to the main loop.
 */
#include "hw/virtio/virtqueue-ring.h"

EventLoop *virtio_queue_loop(VirtQueue *vq)
{
    return vq->iothread ? iothread_loop(vq->iothread) : device_platform(DEVICE(vq->vdev))->loop;
}

/* Always in the order of vdev->iothreads, which is that of their addresses. */
void virtio_lock(VirtIODevice *vdev)
{
    for (unsigned i = 0; vdev->iothreads && i < vdev->iothreads->len; i++) {
        iothread_lock(vdev->iothreads->pdata[i]);
    }
}

void virtio_unlock(VirtIODevice *vdev)
{
    for (unsigned i = 0; vdev->iothreads && i < vdev->iothreads->len; i++) {
        iothread_unlock(vdev->iothreads->pdata[i]);
    }
}

bool virtio_on_iothread(const VirtIODevice *vdev)
{
    for (unsigned i = 0; vdev->iothreads && i < vdev->iothreads->len; i++) {
        if (loop_in_thread(iothread_loop(vdev->iothreads->pdata[i]))) {
            return true;
        }
    }
    return false;
}

/* On the iothread, soon. A device that may not run now gets its turn when it may (virtio.c). */
static void run_again(void *opaque)
{
    VirtQueue *vq = opaque;

    if (vq->run_later && virtio_running(vq->vdev)) {
        vq->run_later = false;
        virtio_queue_serve(vq->vdev, vq->index);
    }
}

/* On the main loop. */
static void run_deferred(void *opaque)
{
    VirtIODevice *vdev = opaque;

    if (__atomic_exchange_n(&vdev->error_deferred, false, __ATOMIC_SEQ_CST)) {
        virtio_announce_error(vdev);
    }
    for (unsigned n = 0; n < vdev->queues->len; n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);

        if (__atomic_exchange_n(&vq->notify_deferred, false, __ATOMIC_SEQ_CST) && vdev->started) {
            VIRTIO_BUS_GET_CLASS(vdev->vbus)->notify(vdev->vbus, vq->vector, false);
        }
    }
}

/* The flag is set before the bottom half is scheduled: pairs with the exchanges in run_deferred. */
void virtio_defer_error(VirtIODevice *vdev)
{
    __atomic_store_n(&vdev->error_deferred, true, __ATOMIC_SEQ_CST);
    loop_bh_schedule(vdev->deferred);
}

void virtio_defer_notify(VirtQueue *vq)
{
    __atomic_store_n(&vq->notify_deferred, true, __ATOMIC_SEQ_CST);
    loop_bh_schedule(vq->vdev->deferred);
}

/* With all locks: the device is being reset. */
void virtio_forget_deferred(VirtIODevice *vdev)
{
    if (!vdev->deferred) {
        return;
    }
    loop_bh_cancel(vdev->deferred);
    vdev->error_deferred = false;
    for (unsigned n = 0; n < vdev->queues->len; n++) {
        virtio_get_queue(vdev, n)->notify_deferred = false;
    }
}

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;

    return (x > y) - (x < y);
}

void virtio_queue_set_iothread(VirtQueue *vq, IoThread *t)
{
    VirtIODevice *vdev = vq->vdev;

    g_assert(!vq->iothread && !vdev->started);
    vq->iothread = t;
    vq->again = loop_bh_new(iothread_loop(t), run_again, vq);
    if (!vdev->iothreads) {
        vdev->iothreads = g_ptr_array_new();
        vdev->deferred = loop_bh_new(device_platform(DEVICE(vdev))->loop, run_deferred, vdev);
    }
    if (!g_ptr_array_find(vdev->iothreads, t, NULL)) {
        g_ptr_array_add(vdev->iothreads, t);
        g_ptr_array_sort(vdev->iothreads, by_address);
    }
}
