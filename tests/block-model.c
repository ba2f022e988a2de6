/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Batches of requests on ranges that do not overlap within a batch, each batch plugged. Discarded
 * bytes are not looked at until they are written again.
 */
#include "block-model.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 12, MAX_LEN = 96 * 1024, PIECES = 3 };

typedef struct {
    BlockRequest req; /* first */
    struct iovec iov[PIECES];
    uint8_t *memory, *data;
    int ret;
    unsigned *done;
} ModelIo;

typedef struct {
    Disk *d;
    const ModelSpec *spec;
    GRand *rand;
    uint64_t size;
    uint8_t *bytes;
    bool *defined;
    ModelIo io[BATCH];
    unsigned n, done;
} Model;

static void model_done(BlockRequest *req, int ret)
{
    ModelIo *io = (ModelIo *)req;

    io->ret = ret;
    ++*io->done;
}

static unsigned pick(Model *m, unsigned n)
{
    return (unsigned)g_rand_int_range(m->rand, 0, (gint32)n);
}

static BlockOp pick_op(Model *m)
{
    const BlockLimits *l = block_limits(m->d->node);
    unsigned r = pick(m, 100);

    if (r < 40) {
        return BLOCK_READ;
    }
    if (r < 75) {
        return BLOCK_WRITE;
    }
    if (r < 85) {
        return l->max_write_zeroes ? BLOCK_WRITE_ZEROES : BLOCK_WRITE;
    }
    if (r < 92) {
        return l->max_discard ? BLOCK_DISCARD : BLOCK_READ;
    }
    return BLOCK_FLUSH;
}

static bool overlaps(const Model *m, uint64_t offset, uint64_t len)
{
    for (unsigned i = 0; i < m->n; i++) {
        const BlockRequest *r = &m->io[i].req;

        if (offset < r->offset + r->bytes && r->offset < offset + len) {
            return true;
        }
    }
    return false;
}

/* Cuts the memory in pieces, so that all iovecs have work to do. */
static void cut(Model *m, ModelIo *io)
{
    uint64_t unit = m->spec->align, left = io->req.bytes;
    uint8_t *at = io->data;

    io->req.iov = io->iov;
    for (io->req.niov = 0; left > 0; io->req.niov++) {
        uint64_t len = left;

        if (io->req.niov < PIECES - 1 && left > unit) {
            len = unit * (1 + pick(m, (unsigned)(left / unit - 1) + 1));
            len = MIN(len, left);
        }
        io->iov[io->req.niov] = (struct iovec){at, len};
        at += len;
        left -= len;
    }
}

static void fill(uint8_t *data, uint64_t len, uint32_t seed)
{
    uint64_t x = seed;

    for (uint64_t at = 0; at < len; at += sizeof x) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        memcpy(data + at, &x, MIN(sizeof x, len - at));
    }
}

static void make_io(Model *m)
{
    ModelIo *io = &m->io[m->n];
    uint64_t unit = m->spec->align, offset, len;

    *io = (ModelIo){.req = {.op = pick_op(m), .done = model_done}, .done = &m->done};
    if (io->req.op != BLOCK_FLUSH) {
        len = unit * (1 + pick(m, MAX_LEN / (unsigned)unit));
        offset = unit * pick(m, (unsigned)(m->size / unit));
        len = MIN(len, m->size - offset);
        if (overlaps(m, offset, len)) {
            return;
        }
        io->req.offset = offset;
        io->req.bytes = len;
        io->memory = aligned_alloc(4096, 2 * MAX_LEN + 8192);
        io->data = io->memory + m->spec->misalign;
    }
    io->req.flags = (pick(m, 16) == 0 ? BLOCK_FUA : 0) | (pick(m, 2) ? BLOCK_MAY_UNMAP : 0);
    if (io->req.op == BLOCK_READ || io->req.op == BLOCK_WRITE) {
        bool zero = pick(m, 5) == 0;

        memset(io->data, 0, io->req.bytes);
        if (!zero) {
            fill(io->data, io->req.bytes, g_rand_int(m->rand) | 1);
        }
        cut(m, io);
    }
    m->n++;
}

static void check_read(Model *m, const ModelIo *io)
{
    if (!memcmp(io->data, m->bytes + io->req.offset, io->req.bytes)) {
        return;
    }
    for (uint64_t i = 0; i < io->req.bytes; i++) {
        uint64_t at = io->req.offset + i;

        if (m->defined[at] && io->data[i] != m->bytes[at]) {
            ck_abort_msg("seed %u: byte %llu is %02x, not %02x", m->spec->seed,
                         (unsigned long long)at, io->data[i], m->bytes[at]);
        }
    }
}

static void settle_io(Model *m, ModelIo *io)
{
    uint8_t *at = m->bytes + io->req.offset;

    ck_assert_msg(io->ret == 0, "operation %d failed: %d", io->req.op, io->ret);
    switch (io->req.op) {
    case BLOCK_READ:
        check_read(m, io);
        break;
    case BLOCK_WRITE:
        memcpy(at, io->data, io->req.bytes);
        break;
    case BLOCK_WRITE_ZEROES:
        memset(at, 0, io->req.bytes);
        break;
    default:
        break;
    }
    if (io->req.op == BLOCK_WRITE || io->req.op == BLOCK_WRITE_ZEROES ||
        io->req.op == BLOCK_DISCARD) {
        memset(m->defined + io->req.offset, io->req.op != BLOCK_DISCARD, io->req.bytes);
    }
    free(io->memory);
}

static void batch(Model *m)
{
    m->n = m->done = 0;
    for (unsigned i = 0; i < BATCH; i++) {
        make_io(m);
    }
    block_plug(m->d->q);
    for (unsigned i = 0; i < m->n; i++) {
        block_submit(m->d->q, &m->io[i].req);
    }
    block_unplug(m->d->q);
    if (pick(m, 8) == 0) {
        block_drain(m->d->q);
    }
    loop_until_done(m->d, &m->done, m->n);
    for (unsigned i = 0; i < m->n; i++) {
        settle_io(m, &m->io[i]);
    }
}

void model_run_keep(Disk *d, const ModelSpec *spec, uint8_t *ret_contents)
{
    Model m = {.d = d, .spec = spec, .size = block_limits(d->node)->size};

    m.rand = g_rand_new_with_seed(spec->seed);
    m.bytes = spec->initial ? g_memdup2(spec->initial, m.size) : g_malloc0(m.size);
    m.defined = g_malloc(m.size);
    memset(m.defined, 1, m.size);
    for (unsigned i = 0; i < spec->batches; i++) {
        batch(&m);
    }
    for (uint64_t at = 0; at < m.size; at += MAX_LEN) {
        uint64_t len = MIN(MAX_LEN, m.size - at);
        ModelIo io = {.req = {.offset = at, .bytes = len}};

        io.data = aligned_alloc(4096, MAX_LEN);
        ck_assert_int_eq(disk_io(d, BLOCK_READ, at, io.data, len), 0);
        check_read(&m, &io);
        if (ret_contents) {
            memcpy(ret_contents + at, io.data, len);
        }
        free(io.data);
    }
    g_rand_free(m.rand);
    g_free(m.bytes);
    g_free(m.defined);
}

void model_run(Disk *d, const ModelSpec *spec)
{
    model_run_keep(d, spec, NULL);
}
