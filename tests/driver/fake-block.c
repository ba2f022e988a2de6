/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block node for tests, see fake-block.h.
 */
#include "tests/driver/fake-block.h"

#include <errno.h>
#include <string.h>

static FakeBlock *FAKE_BLOCK(const void *n)
{
    return (FakeBlock *)n;
}

static bool touches(const BlockRequest *req, uint64_t at, uint64_t len)
{
    return req->offset < at + len && at < req->offset + MAX(req->bytes, 1);
}

static bool must_fail(FakeBlock *b, const BlockRequest *req)
{
    if (b->fail_count == 0 || (b->fail_op != BLOCK_OPS && b->fail_op != req->op) ||
        !touches(req, b->fail_at, b->fail_len)) {
        return false;
    }
    b->fail_count--;
    return true;
}

static void carry_out(FakeBlock *b, BlockRequest *req)
{
    switch (req->op) {
    case BLOCK_READ:
        block_iov_copy_in(req->iov, req->niov, 0, b->data + req->offset, req->bytes);
        break;
    case BLOCK_WRITE:
        block_iov_copy_out(req->iov, req->niov, 0, b->data + req->offset, req->bytes);
        break;
    case BLOCK_WRITE_ZEROES:
        memset(b->data + req->offset, 0, req->bytes);
        break;
    case BLOCK_DISCARD:
        memset(b->data + req->offset, 0xdd, req->bytes);
        break;
    case BLOCK_SECURE_ERASE:
        memset(b->data + req->offset, 0xee, req->bytes);
        break;
    case BLOCK_FLUSH:
        memcpy(b->stable, b->data, b->size);
        break;
    default:
        g_assert_not_reached();
    }
    if (req->op == BLOCK_WRITE && (req->flags & BLOCK_FUA)) {
        memcpy(b->stable + req->offset, b->data + req->offset, req->bytes);
    }
}

static void end(FakeBlock *b, BlockRequest *req)
{
    int ret = 0;

    if (must_fail(b, req)) {
        ret = b->fail_ret;
    } else {
        carry_out(b, req);
    }
    block_complete_later(req, ret);
}

static void fake_block_submit(BlockQueue *q, BlockRequest *req)
{
    FakeBlock *b = FAKE_BLOCK(q->node);
    uint64_t sum = 0;

    for (unsigned i = 0; i < req->niov && (req->op == BLOCK_READ || req->op == BLOCK_WRITE); i++) {
        sum += req->iov[i].iov_len;
    }
    g_assert(req->op > BLOCK_WRITE || sum == req->bytes);
    g_assert(req->op > BLOCK_WRITE ||
             (req->bytes <= q->node->limits.max_transfer && req->niov <= q->node->limits.max_iov));
    g_assert(req->op != BLOCK_DISCARD || req->bytes <= b->max_discard);
    g_assert(req->op != BLOCK_SECURE_ERASE || req->bytes <= b->max_erase);
    g_assert(req->op != BLOCK_WRITE_ZEROES || req->bytes <= b->max_zeroes);
    b->seen[b->n_seen++ % FAKE_BLOCK_SEEN] = (FakeBlockSeen){
        .op = req->op,
        .flags = req->flags,
        .offset = req->offset,
        .bytes = req->bytes,
        .niov = req->niov,
    };
    if (b->hold) {
        g_ptr_array_add(b->held, req);
    } else {
        end(b, req);
    }
}

static void fake_block_cancel(BlockQueue *q, BlockRequest *req)
{
    FakeBlock *b = FAKE_BLOCK(q->node);

    if (g_ptr_array_remove(b->held, req)) {
        b->n_cancelled++;
        block_complete_later(req, -ECANCELED);
    }
}

/* The storage gets done with everything. */
static bool fake_block_poll(BlockQueue *q, bool wait)
{
    FakeBlock *b = FAKE_BLOCK(q->node);

    return wait && fake_block_let_go(b, 0);
}

bool fake_block_let_go(FakeBlock *b, unsigned n)
{
    if (n >= b->held->len) {
        return false;
    }
    end(b, g_ptr_array_remove_index(b->held, n));
    return true;
}

void fake_block_let_all_go(FakeBlock *b)
{
    b->hold = false;
    while (fake_block_let_go(b, 0)) {
    }
}

void fake_block_fail(FakeBlock *b, BlockOp op, int ret, unsigned count)
{
    b->fail_op = op;
    b->fail_ret = ret;
    b->fail_count = count;
    b->fail_at = 0;
    b->fail_len = UINT64_MAX / 2;
}

void fake_block_forget(FakeBlock *b)
{
    b->n_seen = b->n_cancelled = 0;
}

void fake_block_limits_changed(FakeBlock *b)
{
    GError *err = NULL;

    if (!block_node_resize(&b->parent_obj, b->size, &err)) {
        g_error("%s", err->message);
    }
}

/* --- the node --- */

/* Fresh memory that nobody touches costs nothing. */
static uint8_t *resized(uint8_t *old_data, uint64_t old_size, uint64_t size)
{
    uint8_t *data = g_malloc0(size);

    if (old_data) {
        memcpy(data, old_data, MIN(old_size, size));
        g_free(old_data);
    }
    return data;
}

static bool fake_block_resize(BlockNode *n, uint64_t size, GError **err)
{
    FakeBlock *b = FAKE_BLOCK(n);
    uint64_t old = n->limits.size;

    b->data = resized(b->data, old, size);
    b->stable = resized(b->stable, old, size);
    n->limits.size = b->size = size;
    return true;
}

static bool fake_block_open(BlockNode *n, GError **err)
{
    FakeBlock *b = FAKE_BLOCK(n);

    b->held = g_ptr_array_new();
    n->discard = 1;
    n->limits.request_alignment = (uint32_t)b->alignment;
    n->limits.max_transfer = b->max_transfer;
    n->limits.max_discard = b->max_discard;
    n->limits.max_write_zeroes = b->max_zeroes;
    n->limits.max_secure_erase = b->max_erase;
    n->limits.discard_alignment = (uint32_t)b->discard_alignment;
    n->limits.physical_block = (uint32_t)b->physical;
    n->limits.opt_io = (uint32_t)b->opt_io;
    n->limits.write_cache = b->write_cache;
    n->limits.lifetime = b->lifetime;
    return fake_block_resize(n, b->size, err);
}

static void fake_block_close(BlockNode *n)
{
    FakeBlock *b = FAKE_BLOCK(n);

    g_free(b->data);
    g_free(b->stable);
    if (b->held) {
        g_ptr_array_unref(b->held);
    }
}

static bool fake_block_lifetime(BlockNode *n, BlockLifetime *ret_lifetime)
{
    *ret_lifetime = (BlockLifetime){1, 2, 3};
    return true;
}

static void fake_block_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->open = fake_block_open;
    k->close = fake_block_close;
    k->resize = fake_block_resize;
    k->lifetime = fake_block_lifetime;
    k->submit = fake_block_submit;
    k->cancel = fake_block_cancel;
    k->poll = fake_block_poll;
}

static const Property fake_block_props[] = {
    PROP_SIZE("size", FakeBlock, size, 1 << 20, 0, UINT64_C(1) << 40, "of the disk"),
    PROP_SIZE("alignment", FakeBlock, alignment, 1, 1, 4096, "of requests"),
    PROP_SIZE("max-transfer", FakeBlock, max_transfer, INT32_MAX, 0, INT64_MAX, "bytes"),
    PROP_SIZE("max-discard", FakeBlock, max_discard, INT32_MAX, 0, INT64_MAX, "bytes"),
    PROP_SIZE("max-zeroes", FakeBlock, max_zeroes, INT32_MAX, 0, INT64_MAX, "bytes"),
    PROP_SIZE("max-erase", FakeBlock, max_erase, 0, 0, INT64_MAX, "bytes of a secure erase"),
    PROP_SIZE("discard-alignment", FakeBlock, discard_alignment, 0, 0, UINT32_MAX, "bytes"),
    PROP_SIZE("physical", FakeBlock, physical, 0, 0, UINT32_MAX, "bytes"),
    PROP_SIZE("opt-io", FakeBlock, opt_io, 0, 0, UINT32_MAX, "bytes"),
    PROP_BOOL("write-cache", FakeBlock, write_cache, true, "writes are not stable at once"),
    PROP_BOOL("lifetime", FakeBlock, lifetime, false, "tells how worn it is"),
    PROP_END,
};

const TypeInfo fake_block_type = {
    .name = "block-fake",
    .parent = &block_node_type,
    .instance_size = sizeof(FakeBlock),
    .class_init = fake_block_class_init,
    .props = fake_block_props,
    .desc = "disk in memory for tests",
};

FakeBlock *fake_block_new(FakeMachine *m, const char *name, const char *options)
{
    g_autofree char *text = g_strdup_printf("{\"driver\": \"fake\", \"node-name\": \"%s\"%s%s}",
                                            name, options ? ", " : "", options ? options : "");
    json_t *opts = json_loads(text, 0, NULL);
    g_autoptr(GError) err = NULL;
    BlockNode *n;

    g_assert(opts);
    type_register(&fake_block_type);
    n = block_node_add(m->p.root, m->p.loop, opts, &err);
    if (!n) {
        g_error("%s: %s", text, err->message);
    }
    json_decref(opts);
    return FAKE_BLOCK(n);
}
