/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a queue takes of the host's memory, for the memory bill.
 */
#include "hw/virtio/virtqueue-ring.h"

static void tell_rings(VirtQueue *vq, MemoryTell *tell, void *opaque)
{
    GmemMap map;

    for (unsigned i = 0; i < vq->n_pins; i++) {
        if (gmem_map(vq->mem, vq->pins[i].gpa, vq->pins[i].len, &map)) {
            tell(opaque, MEMORY_RING, map.host, map.len);
        }
    }
}

static void tell_pool(const VqPool *pool, MemoryTell *tell, void *opaque)
{
    tell(opaque, MEMORY_QUEUE, pool, sizeof *pool + pool->size * sizeof pool->elems[0]);
    for (unsigned i = 0; i < pool->fresh; i++) {
        const VqElem *e = &pool->elems[i];

        if (e->iov != e->small) {
            tell(opaque, MEMORY_QUEUE, e->iov, e->cap * sizeof *e->iov);
        }
    }
    for (unsigned c = 0; c < VQ_IOV_CLASSES; c++) {
        for (const struct iovec *iov = pool->spare[c]; iov; iov = iov[0].iov_base) {
            tell(opaque, MEMORY_QUEUE, iov, ((size_t)VQ_IOV_CLASS_MIN << c) * sizeof *iov);
        }
    }
}

void virtqueue_memory(VirtQueue *vq, MemoryTell *tell, void *opaque)
{
    tell(opaque, MEMORY_QUEUE, vq, sizeof *vq);
    tell_rings(vq, tell, opaque);
    if (vq->pool) {
        tell_pool(vq->pool, tell, opaque);
    }
}
