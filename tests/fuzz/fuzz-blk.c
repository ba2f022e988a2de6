/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Requests of virtio-blk: the input is a list of what a driver, its user and the storage do. Chains
 * have any layout, and memory behind them any bytes; requests are held back, let go out of order,
 * failed, and reset. After each input the device is reset, must have nothing in flight, and still
 * serves a write and a read. Disks are kept from input to input, as new each time.
 */
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/driver/fake-block.h"
#include "tests/fuzz/fuzz.h"

enum { DISK = 64 * 1024, BUFFERS = 0x400000, BUFFERS_SIZE = 0x8000, OPS_MAX = 200, CELLS = 4 };
enum { DESC_BYTES = 6, SECTOR = 512, QUEUE_SIZE = 16, CFG_WRITEBACK = 32 };

typedef struct {
    FakeDriver *d;
    FakeBlock *b;
} Disk;

static void ignore_stop(Platform *p, StopCause cause)
{
}

static void ignore_event(Platform *p, const char *name, json_t *data)
{
    json_decref(data);
}

static const PlatformOps platform_ops = {.stop_request = ignore_stop, .event = ignore_event};

/* PCI, PCI packed, MMIO, PCI's legacy interface; limits so small that all ways are taken. */
static Disk *disk_of(unsigned n)
{
    static const unsigned cells[CELLS] = {FAKE_EVENT_IDX | FAKE_INDIRECT, FAKE_PCI_PACKED,
                                          FAKE_MMIO, FAKE_PCI_LEGACY};
    static Disk disks[CELLS];
    Disk *disk = &disks[n];

    if (!disk->d) {
        FakeMachine *m = fake_machine_new(0);

        disk->b = fake_block_new(m, "disk0",
                                 "\"size\": 65536, \"max-transfer\": 4096, \"max-discard\": 8192, "
                                 "\"max-zeroes\": 8192, \"max-erase\": 8192, \"lifetime\": true");
        m->p.ops = &platform_ops;
        disk->d = fake_driver_probe_on(
            m, "virtio-blk", cells[n],
            "drive=disk0,num-queues=2,queue-size=16,size-max=8192,werror=stop");
    }
    return disk;
}

static void up(Disk *disk)
{
    FakeDriver *d = disk->d;

    fake_driver_set_dma(d, true);
    fake_driver_reset(d);
    g_assert(disk->b->held->len == 0);
    fake_machine_run(d->m);
    d->next_page = 0x100000;
    d->edges_used = 3;
    fake_driver_up(d);
}

/* --- what the input may do --- */

/* Up to 8 descriptors anywhere in the buffers, most of them in order; made available. */
static void chain(Disk *disk, FuzzInput *in)
{
    FakeRing *r = &disk->d->rings[fuzz_below(in, 2)];
    unsigned n = 1 + fuzz_below(in, 8), first = fuzz_below(in, QUEUE_SIZE);

    for (unsigned i = 0; i < n; i++) {
        unsigned flags = fuzz_u8(in), at = fuzz_u8(in), len = fuzz_u8(in);
        uint16_t next = (uint16_t)((first + i + 1) % QUEUE_SIZE);

        if (flags & 0x80) { /* odd lengths, also too long ones */
            len = len << 8 | fuzz_u8(in);
        } else if (flags & 0x40) {
            len *= 16;
        }
        fake_ring_set_desc(
            r, (uint16_t)((first + i) % QUEUE_SIZE), BUFFERS + at * 128, len,
            (uint16_t)((flags & VRING_DESC_F_WRITE) | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
            flags & 0x20 ? (uint16_t)fuzz_below(in, 32) : next);
    }
    fake_ring_put_avail(r, (uint16_t)first);
}

/* A request in order but for its values: they are the input's. */
static void request(Disk *disk, FuzzInput *in)
{
    static const uint32_t types[] = {0, 1, 4, 5, 8, 10, 11, 13, 14, 16};
    GuestMemory *mem = disk->d->m->p.mem;
    FakeRing *r = &disk->d->rings[fuzz_below(in, 2)];
    unsigned slot = fuzz_below(in, 8), type = types[fuzz_below(in, G_N_ELEMENTS(types))];
    uint64_t at = BUFFERS + slot * 4096u;
    bool out = type == 1 || type == 11 || type == 13 || type == 14;
    unsigned data = fuzz_u8(in) * 64;
    FakePiece pieces[] = {
        {GPA(at), 16, false}, {GPA(at + 64), data, !out}, {GPA(at + 32), 1, true}};

    if (r->n_free < 4) {
        return;
    }
    fake_mem_put(mem, GPA(at), type, 8);
    fake_mem_put(mem, GPA(at + 8), fuzz_u8(in), 8);
    fake_mem_put(mem, GPA(at + 64), fuzz_u8(in), 8);
    fake_mem_put(mem, GPA(at + 72), fuzz_u8(in), 4);
    fake_mem_put(mem, GPA(at + 76), fuzz_below(in, 4), 4);
    fake_ring_add(r, pieces, G_N_ELEMENTS(pieces));
}

static void poke(Disk *disk, FuzzInput *in)
{
    unsigned at = fuzz_u8(in) * 128 + fuzz_below(in, 128);

    fake_mem_put(disk->d->m->p.mem, GPA(BUFFERS + at % (BUFFERS_SIZE - 1)), fuzz_u8(in), 1);
}

static void storage(Disk *disk, FuzzInput *in)
{
    FakeBlock *b = disk->b;
    unsigned what = fuzz_u8(in);

    switch (what % 8) {
    case 0 ... 3:
        fake_block_let_go(b, fuzz_below(in, 16));
        fake_machine_run(disk->d->m);
        break;
    case 4:
        b->hold = !b->hold;
        break;
    case 5:
        fake_block_fail(b, fuzz_below(in, BLOCK_OPS + 1),
                        (const int[]){-EIO, -ENOSPC, -ENOTSUP}[fuzz_below(in, 3)], what / 8);
        break;
    case 6:
        if (!block_node_resize(&b->parent_obj, (1 + fuzz_below(in, 128)) * SECTOR, NULL)) {
            g_assert_not_reached();
        }
        break;
    case 7:
        platform_run_changed(&disk->d->m->p, what & 8);
        fake_machine_run(disk->d->m);
        break;
    }
}

static void driver(Disk *disk, FuzzInput *in)
{
    FakeDriver *d = disk->d;
    unsigned what = fuzz_u8(in);

    switch (what % 8) {
    case 0:
        up(disk);
        break;
    case 1:
        fake_driver_set_dma(d, what & 8);
        break;
    case 2:
        d->t->config_write(d, what & 8 ? CFG_WRITEBACK : fuzz_u8(in), fuzz_u8(in), 1);
        break;
    case 3:
        virtio_queue_disable(d->vdev, fuzz_below(in, 2));
        break;
    case 4:
        virtio_queue_enable(d->vdev, fuzz_below(in, 2));
        break;
    case 5:
        fake_driver_reset(d);
        break;
    default:
        fake_driver_get(d, what / 8 % 2, NULL, NULL);
        break;
    }
}

static void one_op(Disk *disk, FuzzInput *in)
{
    switch (fuzz_below(in, 8)) {
    case 0:
    case 1:
        request(disk, in);
        break;
    case 2:
        chain(disk, in);
        break;
    case 3:
        poke(disk, in);
        break;
    case 4:
        storage(disk, in);
        break;
    case 5:
        driver(disk, in);
        break;
    default:
        fake_driver_kick(disk->d, fuzz_below(in, 2));
        break;
    }
}

/* --- afterwards --- */

static void expect_ok(Disk *disk, uint32_t type, bool out)
{
    FakeDriver *d = disk->d;
    FakePiece pieces[] = {
        {GPA(BUFFERS), 16, false}, {GPA(BUFFERS + 64), SECTOR, !out}, {GPA(BUFFERS + 32), 1, true}};

    fake_mem_put(d->m->p.mem, GPA(BUFFERS), type, 8);
    fake_mem_put(d->m->p.mem, GPA(BUFFERS + 8), 0, 8);
    fake_mem_put(d->m->p.mem, GPA(BUFFERS + 32), 0xee, 1);
    fake_ring_add(&d->rings[0], pieces, G_N_ELEMENTS(pieces));
    fake_driver_kick(d, 0);
    g_assert(fake_driver_get(d, 0, NULL, NULL));
    g_assert(fake_mem_get(d->m->p.mem, GPA(BUFFERS + 32), 1) == VIRTIO_BLK_S_OK);
}

static void finish(Disk *disk)
{
    FakeDriver *d = disk->d;

    fake_block_fail(disk->b, BLOCK_OPS, 0, 0);
    disk->b->hold = false;
    platform_run_changed(&d->m->p, true); /* a stopped VM's disk does nothing */
    up(disk);
    g_assert(gmem_set(d->m->p.mem, GPA(BUFFERS + 64), 0xa5, SECTOR));
    expect_ok(disk, VIRTIO_BLK_T_OUT, true);
    g_assert(gmem_set(d->m->p.mem, GPA(BUFFERS + 64), 0, SECTOR));
    expect_ok(disk, VIRTIO_BLK_T_IN, false);
    g_assert(fake_mem_get(d->m->p.mem, GPA(BUFFERS + 64), 1) == 0xa5);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    Disk *disk = disk_of(fuzz_below(&in, CELLS));

    disk->b->hold = false;
    if (!block_node_resize(&disk->b->parent_obj, DISK, NULL)) {
        g_assert_not_reached();
    }
    memset(disk->b->data, 0, DISK);
    memset(disk->b->stable, 0, DISK);
    g_assert(gmem_set(disk->d->m->p.mem, GPA(BUFFERS), 0, BUFFERS_SIZE));
    up(disk);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        one_op(disk, &in);
    }
    finish(disk);
    return 0;
}
