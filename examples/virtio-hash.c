/* SPDX-License-Identifier: BSD-2-Clause */
/* "virtio-hash", to learn from: a request is any bytes, the answer their FNV-1a hash and status. */
#include "core/code-place.h"
#include "hw/virtio/virtio-pci.h"

enum { HASH_ID = 62, HASH_QUEUE_SIZE = 64, HASH_PER_RUN = 16 };
enum { HASH_OK, HASH_TOO_LONG };

typedef struct {
    Le32 hash; /* 0 unless the status is HASH_OK */
    uint8_t status;
} __attribute__((packed)) HashAnswer;

typedef struct VirtioHash {
    VirtIODevice parent_obj;
    uint32_t max_len;  /* property, and all of the configuration space */
    uint64_t requests; /* property, to be read */
} VirtioHash;

OBJECT_DECLARE(VirtioHash, virtio_hash, VIRTIO_HASH)

static void serve(VirtioHash *s, VqElem *elem)
{
    g_autoptr(VqElem) e = elem; /* every exit hands it back to the guest */
    HashAnswer answer = {.status = HASH_TOO_LONG};
    uint32_t hash = 0x811c9dc5;
    uint8_t chunk[512];
    size_t n;

    if (vq_elem_in_left(e) < sizeof answer) {
        virtio_error(VIRTIO_DEVICE(s), "hash: request without room for its answer");
        return;
    }
    if (vq_elem_out_left(e) <= s->max_len) {
        while ((n = vq_elem_read_some(e, chunk, sizeof chunk)) > 0) {
            for (size_t i = 0; i < n; i++) {
                hash = (hash ^ chunk[i]) * 0x01000193;
            }
        }
        answer = (HashAnswer){.hash = le32_make(hash), .status = HASH_OK};
    }
    TRACE(virtio_hash_request, "hash=%08x status=%u", le32_get(answer.hash), answer.status);
    vq_elem_write_some(e, &answer, sizeof answer);
    s->requests++;
}

/* Bounded, so that a guest that keeps the queue full does not keep the main loop. */
static void virtio_hash_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_hash_handle_output);
    VqElem *e;

    for (unsigned i = 0; i < HASH_PER_RUN && (e = virtqueue_pop(vq)); i++) {
        serve(VIRTIO_HASH(vdev), e);
    }
    virtio_notify(vdev, vq);
    if (!virtqueue_empty(vq)) {
        virtio_queue_run_later(vdev, vq);
    }
}

static void virtio_hash_get_config(VirtIODevice *vdev, void *config)
{
    le_store(config, VIRTIO_HASH(vdev)->max_len, 4);
}

static bool virtio_hash_realize(VirtIODevice *vdev, GError **err)
{
    virtio_init(vdev, HASH_ID, 4);
    virtio_add_queue(vdev, HASH_QUEUE_SIZE, virtio_hash_handle_output);
    return true;
}

static const Property virtio_hash_props[] = {
    PROP_UINT32("max-len", VirtioHash, max_len, 4096, 1, 65536, "bytes that a request may have"),
    PROP_UINT64_READONLY("requests", VirtioHash, requests, "requests answered so far"),
    PROP_END,
};

static void virtio_hash_class_init(ObjectClass *klass, const void *data)
{
    VIRTIO_DEVICE_CLASS(klass)->realize = virtio_hash_realize;
    VIRTIO_DEVICE_CLASS(klass)->get_config = virtio_hash_get_config;
    DEVICE_CLASS(klass)->user_creatable = true;
}

const TypeInfo virtio_hash_type = {
    .name = "virtio-hash-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(VirtioHash),
    .class_init = virtio_hash_class_init,
    .props = virtio_hash_props,
};

VIRTIO_PCI_DEVICE(virtio_hash, "virtio-hash", "a hash of what it is given", .virtio_id = HASH_ID,
                  .class_id = 0x00ff00, .category = "misc", .legacy_id = 0x103e)
