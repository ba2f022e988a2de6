/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A ring buffer in memory: the newest bytes that were written, until someone takes them out (QMP's
 * ringbuf-read).
 */
#include <inttypes.h>
#include <string.h>

#include "backends/chardev-impl.h"

enum { RINGBUF_MAX = 64 * 1024 * 1024 };

OBJECT_DECLARE(RingbufChardev, chardev_ringbuf, CHARDEV_RINGBUF)

struct RingbufChardev {
    Chardev parent_obj;
    uint8_t *buf;
    size_t size;     /* a power of two */
    size_t put, got; /* bytes ever written and taken out; put - got is at most size */
};

Chardev *chardev_ringbuf_new(EventLoop *loop, const char *label, uint64_t size, GError **err)
{
    RingbufChardev *r;
    Chardev *c;

    if (size == 0 || (size & (size - 1)) || size > RINGBUF_MAX) {
        error_set(err, "size=%" PRIu64 " is not a power of two up to 64M", size);
        return NULL;
    }
    c = chardev_new(&chardev_ringbuf_type, loop, label);
    r = CHARDEV_RINGBUF(c);
    r->buf = g_malloc0(size);
    r->size = size;
    c->open = true;
    return c;
}

static void ringbuf_write(Chardev *c, const uint8_t *buf, size_t len)
{
    RingbufChardev *r = CHARDEV_RINGBUF(c);

    for (size_t i = 0; i < len; i++) {
        r->buf[r->put++ & (r->size - 1)] = buf[i];
    }
    if (r->put - r->got > r->size) {
        r->got = r->put - r->size;
    }
}

size_t chardev_ringbuf_read(Chardev *c, void *buf, size_t len)
{
    RingbufChardev *r;

    if (!object_is_a(c, &chardev_ringbuf_type)) {
        return 0;
    }
    r = CHARDEV_RINGBUF(c);
    len = MIN(len, r->put - r->got);
    for (size_t i = 0; i < len; i++) {
        ((uint8_t *)buf)[i] = r->buf[r->got++ & (r->size - 1)];
    }
    return len;
}

static void chardev_ringbuf_finalize(Object *obj)
{
    g_free(CHARDEV_RINGBUF(obj)->buf);
}

static void chardev_ringbuf_memory(Object *obj, MemoryTell *tell, void *opaque)
{
    tell(opaque, MEMORY_BUFFER, CHARDEV_RINGBUF(obj)->buf, CHARDEV_RINGBUF(obj)->size);
}

static void chardev_ringbuf_class_init(ObjectClass *klass, const void *data)
{
    klass->memory = chardev_ringbuf_memory;
    CHARDEV_CLASS(klass)->write = ringbuf_write;
}

const TypeInfo chardev_ringbuf_type = {
    .name = "chardev-ringbuf",
    .parent = &chardev_type,
    .instance_size = sizeof(RingbufChardev),
    .instance_finalize = chardev_ringbuf_finalize,
    .class_init = chardev_ringbuf_class_init,
    .desc = "keeps the newest bytes in memory",
};
