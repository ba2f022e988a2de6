/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The format "raw": what a guest sees is what the node below holds, all of it or the part that
 * offset and size name. Where it changes nothing, requests pass it by. A raw node whose format was
 * guessed (x-probed) lets nobody write a header of another format, which the next guess would fall
 * for.
 */
#include "backends/block-impl.h"

#include <errno.h>
#include <string.h>

#include "backends/block-probe.h"

typedef struct {
    BlockNode parent_obj;
    uint64_t offset, size; /* size UINT64_MAX: to the end */
    bool probed;
} BlockRaw;

static BlockRaw *BLOCK_RAW(const void *n)
{
    return (BlockRaw *)n;
}

static uint64_t visible_size(const BlockRaw *n)
{
    uint64_t whole = n->parent_obj.child[BLOCK_CHILD_FILE]->limits.size;
    uint64_t rest = n->offset < whole ? whole - n->offset : 0;

    return MIN(n->size, rest);
}

static void raw_refresh(BlockNode *node)
{
    node->limits.size = visible_size(BLOCK_RAW(node));
}

static bool raw_open(BlockNode *node, GError **err)
{
    const BlockRaw *n = BLOCK_RAW(node);
    uint64_t whole = node->limits.size, align = MAX(node->limits.request_alignment, BLOCK_SECTOR);

    if (n->offset % align || (n->size != UINT64_MAX && n->size % align)) {
        return error_set(err, "offset and size must be multiples of %" G_GUINT64_FORMAT, align);
    }
    if (n->offset > whole || (n->size != UINT64_MAX && n->size > whole - n->offset)) {
        return error_set(
            err, "offset and size reach beyond the %" G_GUINT64_FORMAT " bytes there are", whole);
    }
    if (n->probed && !block_probe_refuse_formats(node->child[BLOCK_CHILD_FILE], err)) {
        return false;
    }
    node->limits.max_iov -= n->probed; /* see HeadWrite */
    node->limits.request_alignment = n->probed ? (uint32_t)align : node->limits.request_alignment;
    raw_refresh(node);
    return true;
}

/* Its options, if any, are those that the node below has, too. */
static bool raw_is_transparent(const BlockNode *node)
{
    const BlockRaw *n = BLOCK_RAW(node);

    return n->offset == 0 && n->size == UINT64_MAX && !n->probed &&
           (!node->detect_zeroes || node->detect_zeroes == node->child[0]->detect_zeroes) &&
           node->limits.read_only == node->child[0]->limits.read_only &&
           (node->cache_writeback || !node->child[0]->cache_writeback) &&
           (node->discard || !node->child[0]->discard);
}

static bool raw_resize(BlockNode *node, uint64_t size, GError **err)
{
    const BlockRaw *n = BLOCK_RAW(node);

    if (n->size != UINT64_MAX) {
        return error_set(err, "a raw node with a fixed size cannot be resized");
    }
    return block_node_resize_child(node->child[BLOCK_CHILD_FILE], n->offset + size, err);
}

static void raw_inner_done(BlockRequest *inner, int ret)
{
    BlockRequest *outer = block_inner_outer(inner);

    block_inner_put(outer->queue, inner);
    block_complete(outer, ret);
}

/*
 * A write to the first sector of a probed node. The guest may change its memory at any time, so
 * what was looked at is what is written: a copy, and behind it the rest from where it is.
 */
typedef struct {
    uint8_t head[BLOCK_PROBE_BYTES];
    unsigned niov;
    struct iovec iov[BLOCK_MAX_IOV + 1];
} HeadWrite;

static void head_write_done(BlockRequest *inner, int ret)
{
    BlockRequest *outer = block_inner_outer(inner);

    g_free((void *)(uintptr_t)outer->scratch[1]);
    raw_inner_done(inner, ret);
}

/* NULL: the write would make the image look like one of another format. */
static HeadWrite *head_write_new(const BlockRequest *req)
{
    HeadWrite *w = g_new(HeadWrite, 1); /* a rare request */
    size_t len = MIN(req->bytes, sizeof w->head);

    memset(w->head, 0, sizeof w->head);
    block_iov_copy_out(req->iov, req->niov, 0, w->head, len);
    if (block_probe_format(w->head, sizeof w->head)) {
        g_free(w);
        return NULL;
    }
    w->iov[0] = (struct iovec){w->head, len};
    w->niov = 1 + (req->bytes > len
                       ? block_iov_slice(w->iov + 1, req->iov, req->niov, len, req->bytes - len)
                       : 0);
    return w;
}

static void raw_submit(BlockQueue *q, BlockRequest *req)
{
    const BlockRaw *n = BLOCK_RAW(q->node);
    bool head = n->probed && req->op == BLOCK_WRITE && req->offset == 0;
    HeadWrite *w = head ? head_write_new(req) : NULL;
    BlockRequest *inner;

    if (head && !w) {
        block_complete_later(req, -EPERM);
        return;
    }
    inner = block_inner_get(q, req);
    inner->offset += req->op == BLOCK_FLUSH ? 0 : n->offset;
    inner->done = raw_inner_done;
    if (w) {
        inner->iov = w->iov;
        inner->niov = w->niov;
        inner->done = head_write_done;
    }
    req->scratch[0] = (uint64_t)(uintptr_t)inner;
    req->scratch[1] = (uint64_t)(uintptr_t)w;
    block_submit(q->child[BLOCK_CHILD_FILE], inner);
}

static void raw_cancel(BlockQueue *q, BlockRequest *req)
{
    block_cancel((BlockRequest *)(uintptr_t)req->scratch[0]);
}

static void raw_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->wants[BLOCK_CHILD_FILE] = true;
    k->open = raw_open;
    k->refresh = raw_refresh;
    k->resize = raw_resize;
    k->is_transparent = raw_is_transparent;
    k->submit = raw_submit;
    k->cancel = raw_cancel;
}

static const Property raw_props[] = {
    PROP_SIZE("offset", BlockRaw, offset, 0, 0, INT64_MAX, "first byte of the node below"),
    PROP_SIZE("size", BlockRaw, size, UINT64_MAX, 0, UINT64_MAX, "bytes; default: all that follow"),
    PROP_BOOL("x-probed", BlockRaw, probed, false, "the format was guessed"),
    PROP_END,
};

const TypeInfo block_raw_type = {
    .name = "block-raw",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockRaw),
    .class_init = raw_class_init,
    .props = raw_props,
    .desc = "the node below as it is, or a part of it",
};
