/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of virtio-blk as the driver wrote them (VIRTIO 1.4 §5.2.6): read once, checked, and
 * begun or refused. A header may be split over descriptors, data may lie in any pieces, and the
 * status is the last writable byte wherever that is.
 */
#include "hw/virtio/virtio-blk-internal.h"

#include <inttypes.h>

#include "core/log.h"

enum {
    BATCH = 64,          /* elements popped at once */
    ELEMS_PER_RUN = 256, /* then others have their turn on the main loop */
    T_FLUSH_OUT = 5,     /* §5.2.6.5: a flush in older drivers' words */
};

/* --- on the wire --- */

typedef struct {
    Le32 type, reserved;
    Le64 sector;
} WireHeader;

typedef struct {
    Le64 sector;
    Le32 num_sectors, flags;
} WireRange;

typedef struct {
    Le16 pre_eol_info, typ_a, typ_b;
} WireLifetime;

/* --- parsing --- */

/* Within the disk, in whole blocks? */
static bool place_ok(const VirtioBlk *s, uint64_t sector, uint64_t bytes)
{
    uint64_t size = s->limits->size;

    return sector <= size / BLK_SECTOR && bytes <= size - sector * BLK_SECTOR &&
           sector * BLK_SECTOR % s->block_size == 0 && bytes % s->block_size == 0;
}

/* No segment is longer than the driver was told? Data that lies behind a header counts without it.
 */
static bool segments_ok(const BlkReq *r, BlockOp op)
{
    const VirtioBlk *s = r->q->s;
    const struct iovec *iov;
    unsigned n;

    if (G_LIKELY(!s->size_max) || !virtio_has_feature(VIRTIO_DEVICE(s), VIRTIO_BLK_F_SIZE_MAX)) {
        return true;
    }
    iov = op == BLOCK_READ ? vq_elem_in_iov(r->elem, &n) : vq_elem_out_iov(r->elem, &n);
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > s->size_max) {
            return false;
        }
    }
    return true;
}

static void start_rw(BlkReq *r, BlockOp op, uint64_t sector, uint64_t bytes)
{
    VirtioBlk *s = r->q->s;

    if (!place_ok(s, sector, bytes) || (op == BLOCK_WRITE && s->limits->read_only) ||
        !segments_ok(r, op)) {
        log_guest("virtio-blk: %s of %" PRIu64 " bytes at sector %" PRIu64 " is not possible",
                  op == BLOCK_READ ? "read" : "write", bytes, sector);
        virtio_blk_req_refuse(r, op, VIRTIO_BLK_S_IOERR);
        return;
    }
    r->io.op = op;
    r->io.flags = op == BLOCK_WRITE && !s->writeback ? BLOCK_FUA : 0;
    r->offset = sector * BLK_SECTOR;
    r->left = bytes;
    virtio_blk_req_data(r);
}

/* The serial number; one of 20 bytes has no NUL (§5.2.6). */
static void start_get_id(BlkReq *r)
{
    char id[BLK_ID_BYTES] = {0};

    if (r->q->s->serial) {
        memcpy(id, r->q->s->serial, MIN(strlen(r->q->s->serial), sizeof id));
    }
    vq_elem_write_some(r->elem, id, sizeof id);
    virtio_blk_req_finish(r, VIRTIO_BLK_S_OK);
}

/* §5.2.6: how worn the storage is. */
static void start_get_lifetime(BlkReq *r)
{
    WireLifetime wire = {0};
    BlockLifetime life;

    if (!block_lifetime(r->q->s->node, &life)) {
        virtio_blk_req_finish(r, VIRTIO_BLK_S_IOERR);
        return;
    }
    wire.pre_eol_info = le16_make(life.pre_eol);
    wire.typ_a = le16_make(life.typ_a);
    wire.typ_b = le16_make(life.typ_b);
    virtio_blk_req_finish(r, vq_elem_write(r->elem, &wire, sizeof wire) ? VIRTIO_BLK_S_OK
                                                                        : VIRTIO_BLK_S_IOERR);
}

/* Takes range n of the request; the status of one that is not in order. */
static uint8_t take_range(BlkReq *r, BlockOp op, unsigned n)
{
    const VirtioBlk *s = r->q->s;
    uint32_t most = op == BLOCK_DISCARD        ? s->max_discard_sectors
                    : op == BLOCK_WRITE_ZEROES ? s->max_write_zeroes_sectors
                                               : BLK_SECTORS_MAX;
    uint32_t known = op == BLOCK_WRITE_ZEROES ? VIRTIO_BLK_WRITE_ZEROES_FLAG_UNMAP : 0;
    uint32_t sectors, flags;
    uint64_t sector;
    WireRange wire;

    if (!vq_elem_read(r->elem, &wire, sizeof wire)) {
        return VIRTIO_BLK_S_IOERR;
    }
    sector = le64_get(wire.sector);
    sectors = le32_get(wire.num_sectors);
    flags = le32_get(wire.flags);
    if (flags & ~known) {
        return VIRTIO_BLK_S_UNSUPP;
    }
    if (sectors > most || !place_ok(s, sector, (uint64_t)sectors * BLK_SECTOR)) {
        return VIRTIO_BLK_S_IOERR;
    }
    r->slot->ranges[n] = (BlkRange){
        .offset = sector * BLK_SECTOR,
        .bytes = (uint64_t)sectors * BLK_SECTOR,
        .flags = flags ? BLOCK_MAY_UNMAP : 0,
    };
    return VIRTIO_BLK_S_OK;
}

/* §5.2.6.2: all ranges are looked at before the first one is touched. */
static void start_ranges(BlkReq *r, BlockOp op)
{
    size_t len = vq_elem_out_left(r->elem), n = len / sizeof(WireRange);
    uint8_t status = VIRTIO_BLK_S_OK;

    if (n > BLK_RANGES_MAX) {
        status = VIRTIO_BLK_S_UNSUPP;
    } else if (n == 0 || len % sizeof(WireRange) != 0) {
        status = VIRTIO_BLK_S_IOERR;
    } else {
        virtio_blk_req_get_slot(r);
    }
    for (unsigned i = 0; i < n && status == VIRTIO_BLK_S_OK; i++) {
        status = take_range(r, op, i);
    }
    if (status != VIRTIO_BLK_S_OK) {
        log_guest("virtio-blk: bad %s of %zu bytes of ranges",
                  op == BLOCK_DISCARD        ? "discard"
                  : op == BLOCK_WRITE_ZEROES ? "write zeroes"
                                             : "secure erase",
                  len);
        virtio_blk_req_refuse(r, op, status);
        return;
    }
    r->io.op = op;
    r->io.iov = NULL;
    r->io.niov = 0;
    r->n_ranges = (uint16_t)n;
    r->then_flush = op != BLOCK_DISCARD && !r->q->s->writeback;
    virtio_blk_req_continue(r);
}

static void start_unknown(BlkReq *r, uint32_t type)
{
    log_guest("virtio-blk: request of type %" PRIu32 ", which is not served", type);
    virtio_blk_req_finish(r, VIRTIO_BLK_S_UNSUPP);
}

static void start_typed(BlkReq *r, uint32_t type, uint64_t sector)
{
    const VirtioBlk *s = r->q->s;

    switch (type) {
    case VIRTIO_BLK_T_IN:
        start_rw(r, BLOCK_READ, sector, vq_elem_in_left(r->elem));
        return;
    case VIRTIO_BLK_T_OUT:
        start_rw(r, BLOCK_WRITE, sector, vq_elem_out_left(r->elem));
        return;
    case VIRTIO_BLK_T_FLUSH:
    case T_FLUSH_OUT:
        virtio_blk_req_flush(r);
        return;
    case VIRTIO_BLK_T_GET_ID:
        start_get_id(r);
        return;
    case VIRTIO_BLK_T_DISCARD:
        if (virtio_blk_may_discard(s)) {
            start_ranges(r, BLOCK_DISCARD);
            return;
        }
        break;
    case VIRTIO_BLK_T_WRITE_ZEROES:
        if (virtio_blk_may_write_zeroes(s)) {
            start_ranges(r, BLOCK_WRITE_ZEROES);
            return;
        }
        break;
    case VIRTIO_BLK_T_SECURE_ERASE:
        if (virtio_blk_may_secure_erase(s)) {
            start_ranges(r, BLOCK_SECURE_ERASE);
            return;
        }
        break;
    case VIRTIO_BLK_T_GET_LIFETIME:
        if (s->limits->lifetime) {
            start_get_lifetime(r);
            return;
        }
        break;
    }
    start_unknown(r, type);
}

/* There are as many as the queue has entries, and each has an element. */
static BlkReq *req_take(BlkQueue *q, VqElem *e)
{
    BlkReq *r = q->free;

    g_assert(r);
    q->free = r->next;
    r->elem = e;
    r->state = BLK_REQ_TAKEN;
    return r;
}

static void start(BlkQueue *q, VqElem *e)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(q->s);
    WireHeader wire;

    if (G_UNLIKELY(virtio_is_broken(vdev))) { /* by one of the same batch */
        virtqueue_detach(e);
        return;
    }
    if (!vq_elem_read(e, &wire, sizeof wire) || !vq_elem_cut_tail(e)) {
        virtio_error(vdev, "request without header or status byte");
        virtqueue_detach(e);
        return;
    }
    TRACE(virtio_blk_request, "head=%u type=%u sector=%" PRIu64, vq_elem_head(e),
          le32_get(wire.type), le64_get(wire.sector));
    start_typed(req_take(q, e), le32_get(wire.type), le64_get(wire.sector));
}

/* --- a queue --- */

void virtio_blk_queue_run(BlkQueue *q)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(q->s);
    unsigned n, left = ELEMS_PER_RUN;
    VqElem *elems[BATCH];

    if (q->s->quiesced) {
        return;
    }
    virtio_blk_finish_held(q);
    do { /* kicks are asked for again once the host has the batch: what comes meanwhile needs none
          */
        virtqueue_disable_kicks(q->vq);
        block_plug(q->bq);
        while (left > 0 && (n = virtqueue_pop_batch(q->vq, elems, MIN(left, BATCH))) > 0) {
            for (unsigned i = 0; i < n; i++) {
                start(q, elems[i]);
            }
            left -= n;
        }
        virtio_blk_submit_open(q);
        block_unplug(q->bq);
    } while (left > 0 && virtqueue_enable_kicks(q->vq));
    virtio_blk_tell_driver(q);
    if (left == 0) {
        virtio_queue_run_later(vdev, q->vq);
    }
}
