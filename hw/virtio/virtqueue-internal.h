/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The queue as virtio.c and the transports see it: setting up and taking down. Devices use virtqueue.h.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTQUEUE_INTERNAL_H
#define AEROSTAT_HW_VIRTIO_VIRTQUEUE_INTERNAL_H

#include "hw/virtio/virtio.h"

/* What the driver programmed through the transport. */
typedef struct {
    uint16_t size;          /* entries, see virtqueue_size_ok */
    Gpa desc, driver, device; /* descriptor area, driver area (available ring), device area (used ring) */
    bool enabled;
} VirtQueueSetup;

/* Half of an address, as transports take it: low or high 32 bits. */
static inline void virtqueue_setup_half(Gpa *gpa, bool high, uint32_t value)
{
    unsigned shift = high ? 32 : 0;

    gpa->v = (gpa->v & ~((uint64_t)UINT32_MAX << shift)) | (uint64_t)value << shift;
}

/* The one block of legacy interfaces (§2.7.2): descriptors, available ring with its event index, used ring, aligned. */
void virtqueue_setup_legacy(VirtQueueSetup *s, uint64_t base, uint64_t align);

VirtQueue *virtqueue_new(VirtIODevice *vdev, unsigned index, uint16_t max_size, VirtIOHandleOutput handle_output);
void virtqueue_free(VirtQueue *vq);

/* Back to the state after virtio_add_queue. Elements in flight lose their buffers: nothing can be read from or
 * written to them any more, and a later push of one of them is dropped. */
void virtqueue_reset(VirtQueue *vq);

VirtQueueSetup *virtqueue_setup(VirtQueue *vq);
uint16_t virtqueue_max_size(const VirtQueue *vq);

/* May the driver give it that many entries? 1 to max_size; a power of two, but for packed rings. */
bool virtqueue_size_ok(const VirtQueue *vq, uint32_t size);

/* Takes the setup into use after features are negotiated: maps the rings. False when it is not acceptable (size,
 * alignment, outside RAM): virtio_error was called. */
bool virtqueue_start(VirtQueue *vq);
bool virtqueue_ready(const VirtQueue *vq);

/* Tells of its memory (see ObjectClass.memory), with the queue's lock. */
void virtqueue_memory(VirtQueue *vq, MemoryTell *tell, void *opaque);

/* Decides whether used buffers pushed since the last call call for an interrupt (§2.7.7, §2.7.10). */
bool virtqueue_should_notify(VirtQueue *vq);

/* Gives each queue that is ready its doorbell, and takes it from the others; running false: from all. */
void virtio_doorbells_update(VirtIODevice *vdev, bool running);

/* Ring positions for introspection; those of packed rings have the wrap counter in bit 15. */
typedef struct {
    uint16_t avail_idx, last_avail_idx, used_idx, in_flight;
    uint16_t signalled_idx; /* used_idx when an interrupt was last asked for */
    bool packed;
} VirtQueueState;
void virtqueue_state(VirtQueue *vq, VirtQueueState *ret_state);

#endif
