/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Looks into a split ring without taking anything out (VIRTIO 1.4 §2.7). It reads guest memory as
 * it is at the moment: the driver may be writing there, so nothing that it says is relied upon.
 */
#include "hw/virtio/virtio-describe.h"
#include "hw/virtio/virtqueue-ring.h"

enum { RING_START = 2 * sizeof(Le16) }; /* flags and idx come first */

static bool read16(VirtQueue *vq, Gpa base, uint64_t off, uint16_t *ret_value)
{
    Le16 v;

    if (!gmem_read(vq->mem, GPA(base.v + off), &v, sizeof v)) {
        return false;
    }
    *ret_value = le16_get(v);
    return true;
}

static bool read_desc(VirtQueue *vq, Gpa table, unsigned n, struct vring_desc *ret_desc)
{
    struct vring_desc d;

    if (!gmem_read(vq->mem, GPA(table.v + n * sizeof d), &d, sizeof d)) {
        return false;
    }
    *ret_desc = (struct vring_desc){.addr = le64toh(d.addr),
                                    .len = le32toh(d.len),
                                    .flags = le16toh(d.flags),
                                    .next = le16toh(d.next)};
    return true;
}

/* The chain from descriptor n of a table of size entries. An indirect table takes its place. */
static bool walk(VirtQueue *vq, Gpa table, unsigned size, unsigned n, VqPeek *ret_peek)
{
    struct vring_desc d;
    bool indirect = false;

    do {
        if (n >= size || !read_desc(vq, table, n, &d)) {
            return false;
        }
        if ((d.flags & VRING_DESC_F_INDIRECT) && !indirect) {
            indirect = true;
            table = GPA(d.addr);
            size = MIN(d.len / (uint32_t)sizeof d, VQ_PEEK_MAX);
            d.flags = VRING_DESC_F_NEXT;
            n = 0;
            continue;
        }
        ret_peek->descs[ret_peek->n].addr = d.addr;
        ret_peek->descs[ret_peek->n].len = d.len;
        ret_peek->descs[ret_peek->n++].flags = d.flags;
        n = d.next;
    } while ((d.flags & VRING_DESC_F_NEXT) && ret_peek->n < MIN(size, VQ_PEEK_MAX));
    return true;
}

bool virtqueue_peek(VirtQueue *vq, int index, VqPeek *ret_peek, GError **err)
{
    const VirtQueueSetup *s = &vq->setup;
    uint16_t at;

    if (vq->ready && vq->ops == &vq_packed_ops) {
        return error_set(err, "Packed ring not supported");
    }
    if (!vq->ready || vq->num == 0) {
        return error_set(err, "the queue is not set up");
    }
    *ret_peek = (VqPeek){0};
    at = (uint16_t)((index < 0 ? vq->split.last_avail : (unsigned)index) % vq->num);
    return (read16(vq, s->driver, 0, &ret_peek->avail_flags) &&
            read16(vq, s->driver, sizeof(Le16), &ret_peek->avail_idx) &&
            read16(vq, s->device, 0, &ret_peek->used_flags) &&
            read16(vq, s->device, sizeof(Le16), &ret_peek->used_idx) &&
            read16(vq, s->driver, RING_START + at * sizeof(Le16), &ret_peek->head) &&
            walk(vq, s->desc, vq->num, ret_peek->head, ret_peek)) ||
           error_set(err, "what the ring says is outside of the queue or of guest memory");
}
