/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a packet costs in virtio-net and its backend, without guest: 64, 1500 and 65000 bytes, sent
 * and received in batches of 32, over the null backend and over one that copies into and delivers
 * from its own memory. The driver's work is not measured: only the time from kick (or from the
 * backend's first frame) to used buffers. Its buffers are laid out as Linux does: a small packet in
 * one descriptor with its header, a large one in an indirect table of pages.
 *
 *     bench-net                             table of packets per second, ns and allocations
 *     bench-net OP BACKEND SIZE N           one case: tx or rx; null or memory; packets
 *
 * bench/net-table.py adds the instructions, counted by callgrind in bench_round().
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backends/net-impl.h"
#include "bench/allocations.h"
#include "hw/virtio/virtio-net-internal.h"
#include "tests/driver/fake-driver.h"

enum { BATCH = 32, ROUNDS = 10, PAGE = 4096, HEAD = 66 };
enum { HDR = sizeof(struct virtio_net_hdr_v1), PIECES_MAX = NET_FRAME_MAX / PAGE + 2 };
enum { TABLE_SMALL = 320000, TABLE_LARGE = 32000 }; /* packets of a round */
#define SLOT     UINT64_C(0x12000)                  /* guest memory of a packet */
#define SLOTS_AT UINT64_C(0x400000)                 /* BATCH of them, below the edge of RAM */

G_STATIC_ASSERT(SLOTS_AT + BATCH * SLOT < FAKE_RAM_EDGE);

/* --- kind "memory": what is sent is copied into the next of its slots --- */

typedef struct {
    NetBackend parent_obj;
    uint8_t (*slots)[NET_FRAME_MAX]; /* BATCH of them */
    unsigned next;
} Memory;

static unsigned memory_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    Memory *m = (Memory *)b;

    for (unsigned i = 0; i < n; i++) {
        uint8_t *to = m->slots[m->next++ % BATCH];

        for (unsigned k = 0; k < frames[i].niov; k++) {
            memcpy(to, frames[i].iov[k].iov_base, frames[i].iov[k].iov_len);
            to += frames[i].iov[k].iov_len;
        }
    }
    return n;
}

static bool memory_open(NetBackend *b, GError **err)
{
    b->guest_offloads = b->host_offloads = NET_OFFLOAD_ALL;
    ((Memory *)b)->slots = g_malloc0(BATCH * sizeof *((Memory *)b)->slots);
    return true;
}

static void memory_close(NetBackend *b)
{
    g_free(((Memory *)b)->slots);
}

static void memory_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->open = memory_open;
    k->close = memory_close;
    k->send = memory_send;
}

static const TypeInfo memory_type = {
    .name = NET_TYPE_PREFIX "memory",
    .parent = &net_backend_type,
    .instance_size = sizeof(Memory),
    .class_init = memory_class_init,
};

/* --- one case --- */

typedef struct {
    bool tx, memory;
    unsigned size;
} Case;

typedef struct {
    const Case *c;
    FakeDriver *d;
    FakeRing *ring;
    NetBackend *b;
    uint8_t frame[NET_FRAME_MAX]; /* what is sent, and what is received */
} Bench;

void bench_round(Bench *t);

/* The measured part, a function of its own for callgrind. */
__attribute__((noinline)) void bench_round(Bench *t)
{
    const uint8_t *frame = t->c->memory ? ((Memory *)t->b)->slots[0] : t->frame;
    size_t step = t->c->memory ? sizeof *((Memory *)t->b)->slots : 0, size = t->c->size;

    if (t->c->tx) {
        virtio_queue_notify(t->d->vdev, 1);
    } else {
        for (unsigned i = 0; i < BATCH; i++, frame += step) {
            net_deliver_flat(t->b, 0, frame, size);
        }
    }
    while (fake_ring_used_idx(t->ring) != t->ring->avail_idx) {
        loop_iterate(t->d->m->p.loop, true);
    }
}

static Gpa slot_at(unsigned i)
{
    return GPA(SLOTS_AT + i * SLOT);
}

/* Small ones as one piece; of large ones the headers, then pages. A receive buffer is pages. */
static unsigned lay_out(const Case *c, Gpa at, FakePiece *pieces)
{
    uint64_t left = c->tx ? c->size + HDR : MAX(c->size + HDR, 1536), len;
    unsigned n = 0;

    while (left > 0) {
        len = c->tx && n == 0 && left > PAGE ? HDR + HEAD : MIN(left, PAGE);
        pieces[n++] = (FakePiece){at, (uint32_t)len, !c->tx};
        at = gpa_add(at, len);
        left -= len;
    }
    return n;
}

static void offer(Bench *t)
{
    for (unsigned i = 0; i < BATCH; i++) {
        FakePiece pieces[PIECES_MAX];

        fake_ring_add(t->ring, pieces, lay_out(t->c, slot_at(i), pieces));
    }
}

/* Nothing is lost, and what came last is what was sent. False: it is not so. */
static bool check(Bench *t, uint64_t packets)
{
    const Case *c = t->c;
    g_autofree uint8_t *got = g_malloc(c->size);
    NetStats s;

    net_stats(t->b, &s);
    if ((c->tx ? s.tx_frames : s.rx_frames) != packets) {
        return false;
    }
    if (!c->tx) {
        return gmem_read(t->d->m->p.mem, gpa_add(slot_at(BATCH - 1), HDR), got, c->size) &&
               memcmp(got, t->frame, c->size) == 0;
    }
    return !c->memory || memcmp(((Memory *)t->b)->slots[BATCH - 1], t->frame, c->size) == 0;
}

static void take(Bench *t)
{
    uint32_t len, want = t->c->tx ? 0 : t->c->size + HDR;

    for (unsigned i = 0; i < BATCH; i++) {
        if (!fake_ring_get(t->ring, NULL, &len) || len != want) {
            g_error("bench-net: a buffer of %u bytes, not of %u", len, want);
        }
    }
}

/* A card that is up, whose driver filters by address, and a frame for it. */
static void set_up(Bench *t)
{
    FakeMachine *m = fake_machine_new(0);
    json_t *opts = json_pack("{s:s, s:s}", "type", t->c->memory ? "memory" : "null", "id", "n0");

    type_register_list(net_types);
    type_register(&memory_type);
    t->b = net_backend_add(m->p.root, m->p.loop, opts, NULL);
    json_decref(opts);
    t->d = fake_driver_probe_on(m, "virtio-net", FAKE_EVENT_IDX | FAKE_INDIRECT, "netdev=n0");
    fake_driver_up(t->d);
    t->ring = &t->d->rings[t->c->tx];
    VIRTIO_NET(t->d->vdev)->filter.promisc = false;
    for (unsigned i = 0; i < t->c->size; i++) {
        t->frame[i] = (uint8_t)(i * 7 + (i >> 8));
    }
    memcpy(t->frame, VIRTIO_NET(t->d->vdev)->filter.mac, 6);
    for (unsigned i = 0; i < BATCH; i++) {
        if (t->c->tx && !gmem_write(m->p.mem, gpa_add(slot_at(i), HDR), t->frame, t->c->size)) {
            abort();
        }
        if (t->c->memory && !t->c->tx) {
            memcpy(((Memory *)t->b)->slots[i], t->frame, t->c->size);
        }
    }
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ns per packet; packets is a multiple of BATCH. */
static double run(const Case *c, uint64_t packets)
{
    g_autofree Bench *t = g_new0(Bench, 1);
    double ns = 0;

    t->c = c;
    set_up(t);
    for (uint64_t done = 0; done < packets; done += BATCH) { /* the first batch makes elements */
        double start;

        offer(t);
        if (!c->tx && fake_ring_wants_kick(t->ring)) {
            fake_driver_kick(t->d, 0);
        }
        counting = done > 0;
        start = now_ns();
        bench_round(t);
        ns += now_ns() - start;
        counting = false;
        take(t);
    }
    if (!check(t, packets)) {
        g_error("bench-net: not what was sent");
    }
    fake_driver_free(t->d);
    return ns / (double)packets;
}

static void table(void)
{
    static const unsigned sizes[] = {64, 1500, 65000};

    printf("%-4s %-8s %6s %12s %12s %12s\n", "op", "backend", "bytes", "packets/s", "ns/packet",
           "allocations");
    for (unsigned i = 0; i < 4 * G_N_ELEMENTS(sizes); i++) {
        Case c = {i < 2 * G_N_ELEMENTS(sizes), i / G_N_ELEMENTS(sizes) % 2,
                  sizes[i % G_N_ELEMENTS(sizes)]};
        double best = INFINITY;

        allocations = 0;
        for (unsigned round = 0; round < ROUNDS; round++) {
            best = MIN(best, run(&c, c.size > PAGE ? TABLE_LARGE : TABLE_SMALL));
        }
        printf("%-4s %-8s %6u %12.0f %12.1f %12" PRIu64 "\n", c.tx ? "tx" : "rx",
               c.memory ? "memory" : "null", c.size, 1e9 / best, best, allocations);
        fflush(stdout);
    }
}

int main(int argc, char **argv)
{
    uint64_t n;

    if (argc == 1) {
        table();
        return 0;
    }
    if (argc != 5) {
        fprintf(stderr, "usage: bench-net | OP BACKEND SIZE N\n");
        return 1;
    }
    n = strtoull(argv[4], NULL, 0);
    run(&(Case){g_str_equal(argv[1], "tx"), g_str_equal(argv[2], "memory"),
                CLAMP((unsigned)atoi(argv[3]), NET_FRAME_MIN, 65536)},
        n - n % BATCH);
    return 0;
}
