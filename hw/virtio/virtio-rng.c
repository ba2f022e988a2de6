/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The entropy device (VIRTIO 1.4 §5.4): buffers come back with random bytes from a backend, served
 * one after another from the main loop. max-bytes and period limit what a guest takes; a buffer
 * that meets the end of the quota comes back filled in part.
 *
 * Reset does not renew the quota: a guest could take as much as it likes by resetting the device.
 */
#include <inttypes.h>

#include "backends/rng.h"
#include "backends/user-creatable.h"
#include "core/code-place.h"
#include "core/log.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio.h"

enum {
    QUEUE_SIZE = 8,
    EMPTY_PER_RUN = 64, /* requests without room; then others have their turn on the main loop */
    DEFAULT_PERIOD_MS = 1 << 16,
};

static const char default_backend[] = "default-backend";

typedef struct VirtioRng {
    VirtIODevice parent_obj;
    RngBackend *rng;    /* property; our own child when none was given */
    uint64_t max_bytes; /* property: bytes per period */
    uint32_t period_ms; /* property */
    VirtQueue *vq;
    RngReader *reader;
    VqElem *elem;       /* being filled; NULL: none */
    size_t asked;       /* of the reader, taken off the quota already */
    uint64_t quota;     /* bytes left in this period */
    LoopTimer *renewal; /* end of the period; armed once something was taken */
} VirtioRng;

OBJECT_DECLARE(VirtioRng, virtio_rng, VIRTIO_RNG)

/* The quota is not used up. */
static void rng_ask(VirtioRng *s)
{
    s->asked = MIN(MIN(vq_elem_in_left(s->elem), s->quota), RNG_CHUNK);
    s->quota -= s->asked;
    if (!loop_timer_armed(s->renewal)) {
        loop_timer_arm_in(s->renewal, (int64_t)s->period_ms * 1000000);
    }
    rng_reader_request(s->reader, s->asked);
}

static void virtio_rng_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_rng_handle_output);
    VirtioRng *s = VIRTIO_RNG(vdev);
    unsigned left = EMPTY_PER_RUN;
    VqElem *e;

    while (!s->elem && s->quota > 0 && left > 0 && (e = virtqueue_pop(vq))) {
        if (vq_elem_in_left(e) > 0) {
            s->elem = e;
            rng_ask(s);
        } else {
            log_guest("virtio-rng: request without room for random bytes");
            virtqueue_push(e);
            virtio_notify(vdev, vq);
            left--;
        }
    }
    if (left == 0) {
        virtio_queue_run_later(vdev, vq);
    }
}

static void rng_arrived(void *opaque, const uint8_t *buf, size_t len)
{
    VirtioRng *s = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    s->quota += s->asked - len;
    s->asked = 0;
    if (!virtio_running(vdev)) { /* no DMA: to be served when that is allowed again */
        virtqueue_unpop(g_steal_pointer(&s->elem));
        return;
    }
    vq_elem_write_some(s->elem, buf, len);
    TRACE(virtio_rng_fill, "len=%zu left=%zu quota=%" PRIu64, len, vq_elem_in_left(s->elem),
          s->quota);
    if (vq_elem_in_left(s->elem) > 0 && s->quota > 0) {
        rng_ask(s);
        return;
    }
    virtqueue_push(g_steal_pointer(&s->elem));
    virtio_notify(vdev, s->vq);
    virtio_rng_handle_output(vdev, s->vq);
}

static void rng_period_over(void *opaque)
{
    VirtioRng *s = opaque;

    s->quota = s->max_bytes - s->asked;
    if (s->asked > 0) {
        loop_timer_arm_in(s->renewal, (int64_t)s->period_ms * 1000000);
    }
    virtio_rng_handle_output(VIRTIO_DEVICE(s), s->vq);
}

static void virtio_rng_reset(VirtIODevice *vdev)
{
    VirtioRng *s = VIRTIO_RNG(vdev);

    rng_reader_cancel(s->reader);
    s->quota += s->asked;
    s->asked = 0;
    if (s->elem) {
        virtqueue_detach(g_steal_pointer(&s->elem));
    }
}

/* --- life --- */

static bool take_backend(VirtioRng *s, GError **err)
{
    Object *own;

    if (s->rng) {
        return true;
    }
    own = object_new(&rng_builtin_type);
    if (!user_creatable_complete(own, err)) {
        object_unref(own);
        return false;
    }
    s->rng = RNG_BACKEND(object_ref(own));
    return object_add_child((Object *)s, default_backend, own, err);
}

static void drop_backend(VirtioRng *s)
{
    Object *own = object_child((Object *)s, default_backend);

    if (own) {
        g_clear_pointer(&s->rng, object_unref);
        object_unparent(own);
    }
}

static bool virtio_rng_realize(VirtIODevice *vdev, GError **err)
{
    VirtioRng *s = VIRTIO_RNG(vdev);
    Platform *p = device_platform(DEVICE(vdev));

    if (!take_backend(s, err)) {
        return false;
    }
    virtio_init(vdev, VIRTIO_ID_RNG, 0);
    s->vq = virtio_add_queue(vdev, QUEUE_SIZE, virtio_rng_handle_output);
    s->quota = s->max_bytes;
    s->reader = rng_reader_new(s->rng, p->loop, rng_arrived, s);
    s->renewal = loop_timer_new(p->loop, p->vclock, rng_period_over, s);
    return true;
}

static void virtio_rng_unrealize(VirtIODevice *vdev)
{
    VirtioRng *s = VIRTIO_RNG(vdev);

    g_clear_pointer(&s->renewal, loop_timer_free);
    g_clear_pointer(&s->reader, rng_reader_free);
    drop_backend(s);
}

static const Property virtio_rng_props[] = {
    PROP_LINK("rng", VirtioRng, rng, RngBackend, &rng_backend_type,
              "source of randomness, an id of -object; not given: rng-builtin"),
    PROP_UINT64("max-bytes", VirtioRng, max_bytes, INT64_MAX, 0, INT64_MAX,
                "bytes that the guest gets in a period"),
    PROP_UINT32("period", VirtioRng, period_ms, DEFAULT_PERIOD_MS, 1, UINT32_MAX,
                "length of a period in milliseconds"),
    PROP_END,
};

static void virtio_rng_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->user_creatable = true;
    dc->category = "misc";
    vc->realize = virtio_rng_realize;
    vc->unrealize = virtio_rng_unrealize;
    vc->reset = virtio_rng_reset;
}

const TypeInfo virtio_rng_type = {
    .name = "virtio-rng-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(VirtioRng),
    .class_init = virtio_rng_class_init,
    .props = virtio_rng_props,
    .desc = "entropy device",
};
