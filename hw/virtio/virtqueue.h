/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Virtqueues as a device sees them (VIRTIO 1.4 §2.6 to §2.8): pop an element, read what the driver wrote through
 * its cursors, write the answer, push. Only virtqueue*.c knows ring layouts, and only it uses memory barriers.
 *
 *     VqElem *e;
 *     while ((e = virtqueue_pop(vq))) {
 *         g_autoptr(VqElem) elem = e;      // handed back to the guest on every path
 *         ...
 *     }
 *     virtio_notify(vdev, vq);
 *
 * Elements come from a pool of the queue: at most queue-size are out at a time, nothing is allocated per request.
 *
 * Threads: the one that owns the device.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTQUEUE_H
#define AEROSTAT_HW_VIRTIO_VIRTQUEUE_H

#include <sys/uio.h>

#include "core/gmem.h"
#include "core/le.h"

typedef struct VirtQueue VirtQueue;
typedef struct VqElem VqElem;

enum { VIRTQUEUE_MAX_SIZE = 32768 };

uint16_t virtqueue_index(const VirtQueue *vq); /* its number, as the driver knows it */
unsigned virtqueue_size(const VirtQueue *vq);  /* entries that the driver gave it; 0: it is not in use */
bool virtqueue_enabled(const VirtQueue *vq);     /* by the driver */

/*
 * The next available element, or NULL: the ring is empty, not set up, or the driver broke it. A broken ring
 * (index jump beyond the size, descriptor out of range, loop, chain longer than the queue, nested or misshapen
 * indirect table, buffer outside RAM, device-readable after device-writable) sets DEVICE_NEEDS_RESET by
 * virtio_error and gives NULL from then on. Chains of only zero-length descriptors are legal.
 */
VqElem *virtqueue_pop(VirtQueue *vq);

/* Hands e back with the number of bytes that vq_elem_write and mates counted, and frees it to the pool. It becomes
 * visible to the driver at once (with VIRTIO_F_IN_ORDER: once all older ones are handed back); the notification is
 * virtio_notify's. NULL is fine. After a reset of the queue, and
 * while the device is broken or may not do DMA, the guest sees nothing. */
void virtqueue_push(VqElem *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(VqElem, virtqueue_push)

/*
 * Many at once. pop_batch gives up to max elements and returns how many there were. fill is push but for becoming
 * visible: the driver sees all elements filled at one moment, at the next flush, push or virtio_notify of their queue
 * (a packet in several buffers: §2.8.9). A queue that is reset meanwhile forgets them.
 */
unsigned virtqueue_pop_batch(VirtQueue *vq, VqElem **ret_elems, unsigned max);
void virtqueue_fill(VqElem *e);
void virtqueue_flush(VirtQueue *vq);

/* Puts the most recently popped element back as if it had never been popped. */
void virtqueue_unpop(VqElem *e);

/* Frees e to the pool without telling the guest: for requests in flight at reset. */
void virtqueue_detach(VqElem *e);

bool virtqueue_empty(VirtQueue *vq); /* true also when it is not ready or broken */

/* Asks the driver (not) to kick; a hint. Enabling returns true when elements came meanwhile: pop again. */
bool virtqueue_enable_kicks(VirtQueue *vq);
void virtqueue_disable_kicks(VirtQueue *vq);

/* --- an element --- */

VirtQueue *vq_elem_queue(const VqElem *e);   /* NULL: the queue was reset since */
unsigned vq_elem_head(const VqElem *e); /* for traces */

/* Device-readable bytes not yet read, device-writable bytes not yet written. */
size_t vq_elem_out_left(const VqElem *e);
size_t vq_elem_in_left(const VqElem *e);

/* Copy and move the cursor; false, and nothing copied or moved, when fewer than len bytes are left. */
bool vq_elem_read(VqElem *e, void *dst, size_t len) GMEM_CHECKED;
bool vq_elem_write(VqElem *e, const void *src, size_t len) GMEM_CHECKED;
bool vq_elem_skip_out(VqElem *e, size_t len) GMEM_CHECKED;

/* Up to len bytes; returns the bytes copied. */
size_t vq_elem_read_some(VqElem *e, void *dst, size_t len);
size_t vq_elem_write_some(VqElem *e, const void *src, size_t len);

/* The rest beyond the cursor as host memory, for readv/writev. The array belongs to e. *ret_n pieces. */
const struct iovec *vq_elem_out_iov(VqElem *e, unsigned *ret_n);
const struct iovec *vq_elem_in_iov(VqElem *e, unsigned *ret_n);

/*
 * For devices whose answer ends with a status, wherever the driver put that byte: cut_tail sets the last device-writable
 * byte apart, so that in_left and in_iov are about the data alone; false: there is none. write_tail writes it, once. It
 * counts as used when all before it was written: §2.7.8 lets used.len be too small, never too large.
 */
bool vq_elem_cut_tail(VqElem *e) GMEM_CHECKED;
void vq_elem_write_tail(VqElem *e, uint8_t byte);

/* Tells that len bytes at the in cursor were written by somebody else (readv into vq_elem_in_iov): they count as
 * used and the cursor moves over them. */
void vq_elem_wrote(VqElem *e, size_t len);
/* The next len bytes to write, in one piece, for the caller to fill before it gives e back: they count as written. NULL:
 * the next piece has no more than len bytes; nothing is done. */
void *vq_elem_write_place(VqElem *e, size_t len);

#endif
