/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about virtio devices: x-query-virtio and its mates, with QEMU's members.
 */
#include "vmm/monitor/qmp-command.h"

#include <linux/virtio_ring.h>

#include "hw/virtio/virtio-describe.h"
#include "hw/virtio/virtqueue-internal.h"

static char *name_of(const VirtIODevice *vdev)
{
    return g_strdup_printf("virtio-%s", virtio_id_name(vdev->device_id));
}

static bool add_device(Object *obj, void *opaque)
{
    if (object_is_a(obj, &virtio_device_type) && DEVICE(obj)->realized) {
        g_autofree char *path = object_path(obj), *name = name_of(VIRTIO_DEVICE(obj));

        json_array_append_new(opaque, json_pack("{s:s, s:s}", "path", path, "name", name));
    }
    return true;
}

static json_t *run_query_virtio(Machine *m, json_t *args, GError **err)
{
    json_t *list = json_array();

    object_foreach(OBJECT(m), add_device, list);
    return list;
}

/* By its path, or the path or id of what it is a part of. */
static VirtIODevice *find_device(Machine *m, json_t *args, GError **err)
{
    const char *path = json_string_value(json_object_get(args, "path"));
    Object *obj = object_resolve_path(m->platform.root, path, NULL);

    if (obj && !object_is_a(obj, &virtio_device_type)) {
        obj = object_child(obj, "virtio-backend");
    }
    if (!obj || !DEVICE(obj)->realized) {
        error_set(err, "Path %s is not a VirtIODevice", path);
        return NULL;
    }
    return VIRTIO_DEVICE(obj);
}

static VirtQueue *find_queue(Machine *m, json_t *args, VirtIODevice **ret_vdev, GError **err)
{
    json_int_t n = json_integer_value(json_object_get(args, "queue"));
    VirtIODevice *vdev = find_device(m, args, err);
    VirtQueue *vq =
        vdev && n >= 0 && n < VIRTIO_QUEUES_MAX ? virtio_get_queue(vdev, (unsigned)n) : NULL;

    if (vdev && !vq) {
        error_set(err, "Invalid virtqueue number %" JSON_INTEGER_FORMAT, n);
    }
    *ret_vdev = vdev;
    return vq;
}

/* --- x-query-virtio-status --- */

static json_t *describe_features(const VirtIODevice *vdev, uint64_t features)
{
    json_t *common = json_array(), *own = json_array(), *all;
    uint64_t unknown = 0;

    for (unsigned bit = 0; bit < 64; bit++) {
        const char *text = virtio_feature_text(vdev->device_id, bit);

        if (!(features >> bit & 1)) {
            continue;
        }
        if (text) {
            json_array_append_new(virtio_feature_is_transport(bit) ? common : own,
                                  json_string(text));
        } else {
            unknown |= UINT64_C(1) << bit;
        }
    }
    all = json_pack("{s:o, s:o}", "transports", common, "dev-features", own);
    if (unknown) {
        json_object_set_new(all, "unknown-dev-features", json_integer((json_int_t)unknown));
    }
    return all;
}

static json_t *describe_status(uint8_t status)
{
    json_t *list = json_array(), *all = json_pack("{s:o}", "statuses", list);
    unsigned unknown = 0;

    for (unsigned bit = 1; bit < 0x100; bit <<= 1) {
        const char *text = virtio_status_text((uint8_t)bit);

        if ((status & bit) && text) {
            json_array_append_new(list, json_string(text));
        } else {
            unknown |= status & bit;
        }
    }
    if (unknown) {
        json_object_set_new(all, "unknown-statuses", json_integer(unknown));
    }
    return all;
}

static int queue_selector(const VirtIODevice *vdev)
{
    VirtioBusClass *bc = vdev->vbus ? VIRTIO_BUS_GET_CLASS(vdev->vbus) : NULL;

    return bc && bc->queue_selector ? bc->queue_selector(vdev->vbus) : 0;
}

static bool vhost_started(VirtIODevice *vdev)
{
    for (unsigned n = 0; vdev->queues && n < vdev->queues->len; n++) {
        if (virtio_queue_lent(virtio_get_queue(vdev, n))) {
            return true;
        }
    }
    return false;
}

static json_t *run_query_virtio_status(Machine *m, json_t *args, GError **err)
{
    VirtIODevice *vdev = find_device(m, args, err);
    g_autofree char *name = vdev ? name_of(vdev) : NULL;
    json_t *all;

    if (!vdev) {
        return NULL;
    }
    virtio_lock(vdev);
    all = json_pack(
        "{s:s, s:i, s:b, s:s, s:i, s:i, s:i, s:b, s:b, s:b, s:b, s:b, s:b, s:b, s:s, "
        "s:b, s:o, s:o, s:o, s:o}",
        "name", name, "device-id", vdev->device_id, "vhost-started", vhost_started(vdev),
        "device-endian", "little", "num-vqs", (int)(vdev->queues ? vdev->queues->len : 0), "isr",
        virtio_isr_peek(vdev), "queue-sel", queue_selector(vdev), "vm-running",
        m->state == RUN_STATE_RUNNING, "broken", virtio_is_broken(vdev), "disabled", 0,
        "use-started", 1, "started", vdev->started, "start-on-kick", 0, "disable-legacy-check", 0,
        "bus-name", vdev->vbus ? OBJECT(vdev->vbus)->name : "", "use-guest-notifier-mask", 1,
        "guest-features", describe_features(vdev, vdev->guest_features), "host-features",
        describe_features(vdev, virtio_offer(vdev)), "backend-features", describe_features(vdev, 0),
        "status", describe_status(vdev->status));
    virtio_unlock(vdev);
    return all;
}

/* --- queues --- */

/* QEMU has the wrap counters of packed rings elsewhere. */
static int position(const VirtQueueState *s, uint16_t value)
{
    return s->packed ? value & 0x7fff : value;
}

static json_t *run_query_virtio_queue_status(Machine *m, json_t *args, GError **err)
{
    VirtIODevice *vdev;
    VirtQueue *vq = find_queue(m, args, &vdev, err);
    g_autofree char *name = vq ? name_of(vdev) : NULL;
    const VirtQueueSetup *setup;
    VirtQueueState s;
    json_t *all;

    if (!vq) {
        return NULL;
    }
    virtio_lock(vdev);
    setup = virtqueue_setup(vq);
    virtqueue_state(vq, &s);
    all =
        json_pack("{s:s, s:i, s:i, s:i, s:i, s:i, s:I, s:I, s:I, s:i, s:i, s:i, s:i, s:b}", "name",
                  name, "queue-index", virtqueue_index(vq), "inuse", s.in_flight, "vring-num",
                  setup->size, "vring-num-default", virtqueue_max_size(vq), "vring-align", 4096,
                  "vring-desc", (json_int_t)setup->desc.v, "vring-avail",
                  (json_int_t)setup->driver.v, "vring-used", (json_int_t)setup->device.v,
                  "last-avail-idx", position(&s, s.last_avail_idx), "shadow-avail-idx",
                  position(&s, s.avail_idx), "used-idx", position(&s, s.used_idx), "signalled-used",
                  position(&s, s.signalled_idx), "signalled-used-valid", virtqueue_ready(vq));
    virtio_unlock(vdev);
    return all;
}

static json_t *describe_flags(uint16_t flags)
{
    static const struct {
        uint16_t flag;
        const char *name;
    } names[] = {{VRING_DESC_F_NEXT, "next"},
                 {VRING_DESC_F_WRITE, "write"},
                 {VRING_DESC_F_INDIRECT, "indirect"}};
    json_t *list = json_array();

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (flags & names[i].flag) {
            json_array_append_new(list, json_string(names[i].name));
        }
    }
    return list;
}

static json_t *run_query_virtio_queue_element(Machine *m, json_t *args, GError **err)
{
    json_t *index = json_object_get(args, "index"), *descs;
    VirtIODevice *vdev;
    VirtQueue *vq = find_queue(m, args, &vdev, err);
    g_autofree VqPeek *p = g_new(VqPeek, 1);
    g_autofree char *name = vq ? name_of(vdev) : NULL;
    bool ok;

    if (!vq) {
        return NULL;
    }
    virtio_lock(vdev);
    ok = virtqueue_peek(vq, index ? (uint16_t)json_integer_value(index) : -1, p, err);
    virtio_unlock(vdev);
    if (!ok) {
        return NULL;
    }
    descs = json_array();
    for (unsigned i = 0; i < p->n; i++) {
        json_array_append_new(descs,
                              json_pack("{s:I, s:I, s:o}", "addr", (json_int_t)p->descs[i].addr,
                                        "len", (json_int_t)p->descs[i].len, "flags",
                                        describe_flags(p->descs[i].flags)));
    }
    return json_pack("{s:s, s:i, s:o, s:{s:i, s:i, s:i}, s:{s:i, s:i}}", "name", name, "index",
                     p->head, "descs", descs, "avail", "flags", p->avail_flags, "idx", p->avail_idx,
                     "ring", p->head, "used", "flags", p->used_flags, "idx", p->used_idx);
}

const QmpCommand qmp_virtio_commands[] = {
    {.name = "x-query-virtio",
     .help = "all virtio devices",
     .run = run_query_virtio,
     .ret = "[VirtioInfo]"},
    {.name = "x-query-virtio-status",
     .help = "a virtio device's state, with its features in words",
     .args = {{"path", QMP_ARG_STR, false}},
     .run = run_query_virtio_status,
     .ret = "VirtioStatus"},
    {.name = "x-query-virtio-queue-status",
     .help = "where a virtqueue is and how far it is used",
     .args = {{"path", QMP_ARG_STR, false}, {"queue", QMP_ARG_INT, false}},
     .run = run_query_virtio_queue_status,
     .ret = "VirtQueueStatus"},
    {.name = "x-query-virtio-queue-element",
     .help = "a buffer in a split virtqueue; without index the next one",
     .args = {{"path", QMP_ARG_STR, false},
              {"queue", QMP_ARG_INT, false},
              {"index", QMP_ARG_INT, true}},
     .run = run_query_virtio_queue_element,
     .ret = "VirtioQueueElement"},
    {0},
};
