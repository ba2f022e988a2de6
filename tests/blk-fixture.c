/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio-blk device on a disk in memory, see test-blk.h.
 */
#include "tests/test-blk.h"

#include <string.h>

#include "core/le.h"

FakeDriver *blk_probe(unsigned cell, const char *options, const char *props, FakeBlock **ret_b)
{
    FakeMachine *m = fake_machine_new(0);
    FakeBlock *b = fake_block_new(m, "disk0", options);
    g_autofree char *all = g_strjoin(props ? "," : "", "drive=disk0", props ? props : "", NULL);

    if (ret_b) {
        *ret_b = b;
    }
    return fake_driver_probe_on(m, "virtio-blk", cell, all);
}

FakeDriver *blk_probe_node(unsigned cell, const char *options, const char *props)
{
    FakeMachine *m = fake_machine_new(0);
    g_autofree char *all = g_strjoin(props ? "," : "", "drive=disk0", props ? props : "", NULL);
    json_t *opts = parse_json(options, strlen(options), NULL);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_nonnull(opts);
    for (unsigned i = 0; block_types[i]; i++) {
        type_register(block_types[i]);
    }
    json_object_set_new(opts, "node-name", json_string("disk0"));
    ck_assert_msg(block_node_add(m->p.root, m->p.loop, opts, &err) != NULL, "%s",
                  err ? err->message : "");
    json_decref(opts);
    return fake_driver_probe_on(m, "virtio-blk", cell, all);
}

FakeDriver *blk_start(unsigned cell, const char *options, const char *props, FakeBlock **ret_b)
{
    FakeDriver *d = blk_probe(cell, options, props, ret_b);

    fake_driver_up(d);
    return d;
}

void blk_up_without(FakeDriver *d, uint64_t features)
{
    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) & ~features));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
}

bool blk_offers(FakeDriver *d, unsigned bit)
{
    return d->t->device_features(d) >> bit & 1;
}

uint64_t blk_config(FakeDriver *d, unsigned off, unsigned size)
{
    return d->t->config_read(d, off, size);
}

const void *blk_header(uint32_t type, uint64_t sector)
{
    static uint8_t header[16];

    le_store(header, type, 4);
    le_store(header + 4, 0, 4);
    le_store(header + 8, sector, 8);
    return header;
}

BlkIo blk_add(FakeDriver *d, unsigned q, uint32_t type, uint64_t sector, const void *out,
              uint32_t out_len, uint32_t in_len)
{
    const void *header = blk_header(type, sector);
    BlkIo io = {.q = q};
    FakeBuf bufs[5];
    Gpa places[5];
    unsigned n = 0;

    bufs[n++] = OUT(header, 16);
    if (out_len > 0) {
        bufs[n++] = OUT(out, out_len);
    }
    if (in_len > 0) {
        bufs[n++] = IN(in_len);
    }
    io.status = fake_driver_alloc(d, 1);
    fake_mem_put(d->m->p.mem, io.status, NO_STATUS, 1);
    bufs[n++] = IN_AT(io.status.v, 1);
    bufs[n] = END;
    io.head = fake_driver_add_bufs(d, q, bufs, places);
    io.data = places[1];
    return io;
}

uint8_t blk_status(FakeDriver *d, const BlkIo *io)
{
    return (uint8_t)fake_mem_get(d->m->p.mem, io->status, 1);
}

uint8_t blk_take(FakeDriver *d, const BlkIo *io, uint32_t *ret_len)
{
    uint16_t head;
    uint32_t len;

    ck_assert(fake_driver_get(d, io->q, &head, &len));
    ck_assert_uint_eq(head, io->head);
    if (ret_len) {
        *ret_len = len;
    }
    return blk_status(d, io);
}

void blk_take_any(FakeDriver *d, unsigned q, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        ck_assert_msg(fake_driver_get(d, q, NULL, NULL), "%u of %u", i, n);
    }
    ck_assert(!fake_driver_get(d, q, NULL, NULL));
}

uint8_t blk_do(FakeDriver *d, uint32_t type, uint64_t sector, const void *out, uint32_t out_len,
               uint32_t in_len)
{
    BlkIo io = blk_add(d, 0, type, sector, out, out_len, in_len);

    fake_driver_kick(d, 0);
    return blk_take(d, &io, NULL);
}

uint8_t blk_read(FakeDriver *d, uint64_t sector, void *dst, uint32_t len)
{
    BlkIo io = blk_add(d, 0, VIRTIO_BLK_T_IN, sector, NULL, 0, len);
    uint32_t used;
    uint8_t status;

    fake_driver_kick(d, 0);
    status = blk_take(d, &io, &used);
    ck_assert(status != VIRTIO_BLK_S_OK || used == len + 1);
    ck_assert(len == 0 || gmem_read(d->m->p.mem, io.data, dst, len));
    return status;
}

uint8_t blk_write(FakeDriver *d, uint64_t sector, const void *src, uint32_t len)
{
    return blk_do(d, VIRTIO_BLK_T_OUT, sector, src, len, 0);
}

uint8_t blk_ranges(FakeDriver *d, uint32_t type, const BlkTestRange *ranges, unsigned n)
{
    g_autofree uint8_t *wire = g_malloc(n * 16);

    for (unsigned i = 0; i < n; i++) {
        le_store(wire + 16 * i, ranges[i].sector, 8);
        le_store(wire + 16 * i + 8, ranges[i].sectors, 4);
        le_store(wire + 16 * i + 12, ranges[i].flags, 4);
    }
    return blk_do(d, type, 0, wire, n * 16, 0);
}

void blk_recycle(FakeDriver *d)
{
    d->next_page = 0x400000;
}
