/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtio devices in words, for people and introspection: what status and feature bits mean, and what lies in a ring.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_DESCRIBE_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_DESCRIBE_H

#include "hw/virtio/virtio.h"

/* "NAME: what it means"; NULL: no such bit. */
const char *virtio_status_text(uint8_t bit);
const char *virtio_feature_text(uint16_t device_id, unsigned bit);
bool virtio_feature_is_transport(unsigned bit); /* of rings and transports; the others are the device type's (§2.2) */

/* Where VIRTIO 1.4 tells of a device type ("5.5"; NULL: not known) and of a feature ("5.5.3"; g_free). */
const char *virtio_device_section(uint16_t device_id);
char *virtio_feature_section(uint16_t device_id, unsigned bit);

/* What a realized device is made of, for people: its queues and their handlers, the fields of its configuration space,
 * the features that it offers, and which functions a kick runs through. All of it is asked of the device. VM lock. */
void virtio_explain(VirtIODevice *vdev, GString *text);

/* A buffer as the driver has put it into a split ring. What the ring says is not checked, but for being readable. */
enum { VQ_PEEK_MAX = 1024 };
typedef struct {
    uint16_t head;
    uint16_t avail_flags, avail_idx, used_flags, used_idx;
    unsigned n;                 /* descriptors; of the indirect table where there is one */
    struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags;         /* VRING_DESC_F_* */
    } descs[VQ_PEEK_MAX];
} VqPeek;

/* The element in that place of the available ring; index -1: the one that is popped next. Changes nothing. With
 * virtio_lock; false with err: a packed ring, one that is not set up, or outside RAM. */
bool virtqueue_peek(VirtQueue *vq, int index, VqPeek *ret_peek, GError **err);

#endif
