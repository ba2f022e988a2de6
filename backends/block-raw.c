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

/* Would this write make the image look like one of another format? */
static bool forges_header(const BlockRaw *n, const BlockRequest *req)
{
    uint8_t head[BLOCK_PROBE_BYTES] = {0};
    size_t len = MIN(req->bytes, sizeof head);

    if (!n->probed || req->op != BLOCK_WRITE || req->offset >= sizeof head) {
        return false;
    }
    block_iov_copy_out(req->iov, req->niov, 0, head, len);
    return req->offset > 0 ? false : block_probe_format(head, len) != NULL;
}

static void raw_submit(BlockQueue *q, BlockRequest *req)
{
    const BlockRaw *n = BLOCK_RAW(q->node);
    BlockRequest *inner;

    if (forges_header(n, req)) {
        block_complete_later(req, -EPERM);
        return;
    }
    inner = block_inner_get(q, req);
    inner->offset += req->op == BLOCK_FLUSH ? 0 : n->offset;
    inner->done = raw_inner_done;
    req->scratch[0] = (uint64_t)(uintptr_t)inner;
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
