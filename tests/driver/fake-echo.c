/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "virtio-echo": a virtio device for tests of rings and transports. Each request is answered with
 * the bytes that it held, as far as there is room. Shows at the same time how little a device
 * needs.
 */
#include <string.h>

#include "core/le.h"
#include "hw/virtio/virtio-pci.h"
#include "tests/driver/fake-driver.h"

typedef struct FakeEcho {
    VirtIODevice parent_obj;
    uint16_t queues, queue_size;
    bool hold;
    bool refuse;
    unsigned kicks;
    uint8_t config[FAKE_ECHO_CONFIG];
} FakeEcho;

OBJECT_DECLARE(FakeEcho, fake_echo, FAKE_ECHO)

static void echo(VqElem *elem)
{
    g_autoptr(VqElem) e = elem;
    uint8_t chunk[256];
    size_t n;

    while ((n = vq_elem_read_some(e, chunk, sizeof chunk)) > 0 &&
           vq_elem_write_some(e, chunk, n) == n) {
    }
}

static void echo_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    FakeEcho *s = FAKE_ECHO(vdev);
    VqElem *e;

    s->kicks++;
    while (!s->hold && (e = virtqueue_pop(vq))) {
        echo(e);
    }
    virtio_notify(vdev, vq);
}

static void echo_get_config(VirtIODevice *vdev, void *config)
{
    memcpy(config, FAKE_ECHO(vdev)->config, FAKE_ECHO_CONFIG);
}

static void echo_set_config(VirtIODevice *vdev, const void *config, size_t off, size_t len)
{
    memcpy(FAKE_ECHO(vdev)->config, config, FAKE_ECHO_CONFIG);
}

static bool echo_config_writable(VirtIODevice *vdev, size_t off)
{
    return off < FAKE_ECHO_WRITABLE;
}

static bool echo_validate_features(VirtIODevice *vdev, uint64_t features)
{
    return !FAKE_ECHO(vdev)->refuse;
}

unsigned fake_echo_kicks(VirtIODevice *vdev)
{
    return FAKE_ECHO(vdev)->kicks;
}

void fake_echo_change_config(VirtIODevice *vdev, uint64_t value)
{
    le_store(FAKE_ECHO(vdev)->config + FAKE_ECHO_WRITABLE, value, 8);
    virtio_notify_config(vdev);
}

void fake_echo_refuse(VirtIODevice *vdev, bool refuse)
{
    FAKE_ECHO(vdev)->refuse = refuse;
}

static bool echo_realize(VirtIODevice *vdev, GError **err)
{
    FakeEcho *s = FAKE_ECHO(vdev);

    virtio_init(vdev, FAKE_ECHO_ID, FAKE_ECHO_CONFIG);
    for (unsigned i = 0; i < s->queues; i++) {
        virtio_add_queue(vdev, s->queue_size, echo_handle_output);
    }
    return true;
}

static const Property echo_props[] = {
    PROP_UINT16("queues", FakeEcho, queues, 2, 1, FAKE_QUEUES_MAX, "number of queues"),
    PROP_UINT16("queue-size", FakeEcho, queue_size, 8, 1, VIRTQUEUE_MAX_SIZE, "entries per queue"),
    PROP_BOOL("hold", FakeEcho, hold, false, "leave requests where they are"),
    PROP_END,
};

static void echo_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);

    vc->realize = echo_realize;
    vc->get_config = echo_get_config;
    vc->set_config = echo_set_config;
    vc->config_writable = echo_config_writable;
    vc->validate_features = echo_validate_features;
}

const TypeInfo fake_echo_type = {
    .name = "virtio-echo-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(FakeEcho),
    .class_init = echo_class_init,
    .props = echo_props,
};

VIRTIO_PCI_DEVICE(fake_echo, "virtio-echo", NULL, .virtio_id = FAKE_ECHO_ID, .class_id = 0x00ff00,
                  .category = "test", .legacy_id = 0x103f)
