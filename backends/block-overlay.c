/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver "overlay": what is written goes into a temporary file that is gone when the node is,
 * the node below ("backing") is only read. For snapshot=on.
 *
 * A bitmap says which sectors of 512 bytes the temporary file has. Requests are whole sectors, so
 * nothing is ever copied up, and writers need not wait for each other. The bitmap is made in parts
 * as the guest writes: at most a 4096th of what it wrote.
 */
#include "backends/block-impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { PART_BITS = 1 << 17, PART_WORDS = PART_BITS / 64 }; /* 64 MiB of the disk each */

typedef struct {
    BlockNode parent_obj;
    char *directory;
    uint64_t nparts;
    _Atomic(_Atomic uint64_t *) *part; /* bits of sectors that are ours; NULL: none of the part */
} BlockOverlay;

/* The present piece of a read that has to be put together. */
typedef struct OverlayPiece OverlayPiece;
struct OverlayPiece {
    OverlayPiece *next; /* OverlayQueue.pieces */
    struct iovec iov[BLOCK_MAX_IOV];
};

typedef struct {
    BlockQueue q;
    OverlayPiece *pieces; /* free ones: as many as were in use at once */
} OverlayQueue;

/* In BlockRequest.scratch. */
typedef struct {
    BlockRequest *inner;
    OverlayPiece *piece; /* NULL: the request is one piece */
    uint64_t pos;        /* bytes done or in the present piece */
    bool cancelled;
} OverlayReq;

static BlockOverlay *BLOCK_OVERLAY(const void *n)
{
    return (BlockOverlay *)n;
}

static OverlayReq *overlay_req(BlockRequest *req)
{
    G_STATIC_ASSERT(sizeof(OverlayReq) <= sizeof req->scratch);
    return (OverlayReq *)req->scratch;
}

/* --- the bitmap --- */

static bool sector_is_ours(const BlockOverlay *n, uint64_t sector)
{
    _Atomic uint64_t *part =
        atomic_load_explicit(&n->part[sector / PART_BITS], memory_order_acquire); /* part_of */
    uint64_t bit = sector % PART_BITS;

    /* acquire: pairs with own(), whose write came before */
    return part && atomic_load_explicit(&part[bit / 64], memory_order_acquire) >> bit % 64 & 1;
}

/* Made where it is missing, by whichever thread is first. */
static _Atomic uint64_t *part_of(BlockOverlay *n, uint64_t sector)
{
    _Atomic(_Atomic uint64_t *) *place = &n->part[sector / PART_BITS];
    _Atomic uint64_t *part = atomic_load_explicit(place, memory_order_acquire), *fresh;

    if (!part) {
        fresh = g_malloc0(PART_WORDS * sizeof *fresh);
        if (atomic_compare_exchange_strong(place, &part, fresh)) {
            return fresh;
        }
        g_free((void *)fresh);
    }
    return part;
}

static void own(BlockOverlay *n, uint64_t offset, uint64_t bytes)
{
    uint64_t sector = offset / BLOCK_SECTOR, end = (offset + bytes) / BLOCK_SECTOR;

    while (sector < end) {
        uint64_t bit = sector % PART_BITS, in_word = MIN(64 - bit % 64, end - sector);
        uint64_t mask = in_word == 64 ? UINT64_MAX : ((UINT64_C(1) << in_word) - 1) << bit % 64;

        atomic_fetch_or_explicit(&part_of(n, sector)[bit / 64], mask, memory_order_release);
        sector += in_word;
    }
}

/* How many bytes from offset on, up to max, are in the same file. */
static uint64_t run_length(const BlockOverlay *n, uint64_t offset, uint64_t max, bool *ret_ours)
{
    uint64_t first = offset / BLOCK_SECTOR, sectors = max / BLOCK_SECTOR, i = 1;

    *ret_ours = sector_is_ours(n, first);
    while (i < sectors && sector_is_ours(n, first + i) == *ret_ours) {
        i++;
    }
    return i * BLOCK_SECTOR;
}

/* --- requests --- */

static OverlayPiece *piece_get(OverlayQueue *oq)
{
    OverlayPiece *p = oq->pieces;

    if (p) {
        oq->pieces = p->next;
        return p;
    }
    return g_new(OverlayPiece, 1);
}

static void end(BlockRequest *req, int ret)
{
    OverlayQueue *oq = (OverlayQueue *)req->queue;
    OverlayPiece *p = overlay_req(req)->piece;

    if (p) {
        p->next = oq->pieces;
        oq->pieces = p;
    }
    block_complete(req, ret);
}

static void read_next(BlockRequest *req);

static void read_done(BlockRequest *inner, int ret)
{
    BlockRequest *req = block_inner_outer(inner);
    OverlayReq *o = overlay_req(req);

    block_inner_put(req->queue, inner);
    if (ret < 0 || o->pos == req->bytes || o->cancelled) {
        end(req, ret == 0 && o->pos < req->bytes ? -ECANCELED : ret);
    } else {
        read_next(req);
    }
}

static void read_next(BlockRequest *req)
{
    BlockQueue *q = req->queue;
    const BlockOverlay *n = BLOCK_OVERLAY(q->node);
    OverlayReq *o = overlay_req(req);
    uint64_t left = req->bytes - o->pos;
    BlockRequest *inner = block_inner_get(q, req);
    bool ours;

    inner->offset = req->offset + o->pos;
    inner->bytes = run_length(n, inner->offset, left, &ours);
    inner->done = read_done;
    if (inner->bytes < req->bytes) {
        if (!o->piece) {
            o->piece = piece_get((OverlayQueue *)q);
        }
        inner->niov = block_iov_slice(o->piece->iov, req->iov, req->niov, o->pos, inner->bytes);
        inner->iov = o->piece->iov;
    }
    o->pos += inner->bytes;
    o->inner = inner;
    block_submit(q->child[ours ? BLOCK_CHILD_FILE : BLOCK_CHILD_BACKING], inner);
}

static void write_done(BlockRequest *inner, int ret)
{
    BlockRequest *req = block_inner_outer(inner);

    block_inner_put(req->queue, inner);
    if (ret == 0) {
        own(BLOCK_OVERLAY(req->queue->node), req->offset, req->bytes);
    }
    block_complete(req, ret);
}

static void overlay_submit(BlockQueue *q, BlockRequest *req)
{
    OverlayReq *o = overlay_req(req);

    *o = (OverlayReq){.pos = 0};
    if (req->op == BLOCK_FLUSH) {
        block_complete_later(req, 0); /* it does not outlive the process anyway */
        return;
    }
    if (req->op == BLOCK_READ) {
        read_next(req);
        return;
    }
    o->inner = block_inner_get(q, req);
    o->inner->done = write_done;
    o->inner->flags = 0;
    if (req->op == BLOCK_DISCARD || req->op == BLOCK_WRITE_ZEROES) {
        o->inner->op = BLOCK_WRITE_ZEROES; /* else a hole would show what is below */
        o->inner->flags = BLOCK_MAY_UNMAP;
    }
    block_submit(q->child[BLOCK_CHILD_FILE], o->inner);
}

static void overlay_cancel(BlockQueue *q, BlockRequest *req)
{
    overlay_req(req)->cancelled = true;
    block_cancel(overlay_req(req)->inner);
}

static void overlay_queue_close(BlockQueue *q)
{
    OverlayQueue *oq = (OverlayQueue *)q;
    OverlayPiece *p;

    while ((p = oq->pieces)) {
        oq->pieces = p->next;
        g_free(p);
    }
}

/* --- the node --- */

/* A sparse file as large as the disk, without a name. */
static BlockNode *make_temporary(BlockOverlay *n, uint64_t size, GError **err)
{
    const char *in = n->directory ?: g_getenv("TMPDIR") ?: "/var/tmp";
    g_autofree char *path = g_build_filename(in, "aerostat-overlay-XXXXXX", NULL);
    int fd = g_mkstemp_full(path, O_RDWR | O_CLOEXEC, 0600);
    BlockNode *file = NULL;
    json_t *opts;

    if (fd < 0) {
        error_set_errno(err, errno, "cannot make a temporary file in '%s'", in);
        return NULL;
    }
    if (ftruncate(fd, (off_t)size) < 0) {
        error_set_errno(err, errno,
                        "cannot make a temporary file of %" G_GUINT64_FORMAT " bytes in '%s'", size,
                        in);
    } else {
        opts = json_pack("{s:s, s:s, s:s, s:s, s:b}", "driver", "file", "filename", path, "locking",
                         "off", "discard", "unmap", "cache.no-flush", 1);
        file = block_node_add(object_root(OBJECT(n)), n->parent_obj.loop, opts, err);
        json_decref(opts);
    }
    unlink(path);
    close(fd);
    return file;
}

static bool overlay_open(BlockNode *node, GError **err)
{
    BlockOverlay *n = BLOCK_OVERLAY(node);
    const BlockLimits *below = &node->child[BLOCK_CHILD_BACKING]->limits;
    uint64_t sectors;
    BlockNode *file;

    if (below->request_alignment > BLOCK_SECTOR) {
        return error_set(err,
                         "the node below wants requests of %u bytes; use cache.direct=off there",
                         below->request_alignment);
    }
    file = make_temporary(n, below->size, err);
    if (!file) {
        return false;
    }
    block_node_take_child(node, BLOCK_CHILD_FILE, file);
    sectors = (below->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR;
    n->nparts = sectors / PART_BITS + 1;
    n->part = g_malloc0(n->nparts * sizeof *n->part);
    node->limits.size = below->size;
    node->limits.request_alignment = BLOCK_SECTOR;
    node->limits.physical_block = below->physical_block;
    node->limits.opt_io = below->opt_io;
    node->limits.max_queues = below->max_queues;
    node->limits.max_discard = file->limits.max_discard;
    node->limits.max_write_zeroes = file->limits.max_write_zeroes;
    node->limits.discard_alignment = file->limits.discard_alignment;
    return true;
}

static void overlay_close(BlockNode *node)
{
    BlockOverlay *n = BLOCK_OVERLAY(node);

    for (uint64_t i = 0; n->part && i < n->nparts; i++) {
        g_free((void *)atomic_load(&n->part[i]));
    }
    g_free((void *)n->part);
}

static void overlay_refresh(BlockNode *node)
{
    /* The size is that of the beginning: the base must not change below an overlay. */
}

static char *overlay_filename(BlockNode *node)
{
    return block_node_filename(node->child[BLOCK_CHILD_BACKING]);
}

static void overlay_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->wants[BLOCK_CHILD_BACKING] = true;
    k->open = overlay_open;
    k->close = overlay_close;
    k->refresh = overlay_refresh;
    k->filename = overlay_filename;
    k->queue_size = sizeof(OverlayQueue);
    k->queue_close = overlay_queue_close;
    k->submit = overlay_submit;
    k->cancel = overlay_cancel;
}

static const Property overlay_props[] = {
    PROP_STRING("directory", BlockOverlay, directory, NULL,
                "where the temporary file is made; default TMPDIR, else /var/tmp"),
    PROP_END,
};

const TypeInfo block_overlay_type = {
    .name = "block-overlay",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockOverlay),
    .class_init = overlay_class_init,
    .props = overlay_props,
    .desc = "keeps what is written in a temporary file",
};
