/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a chain costs the device's side of a queue: pop and push, without guest, for chains of 1, 3
 * and 8 descriptors, split and packed, direct and indirect. The driver's work is not measured. The
 * two formats take turns, and the fastest of several rounds counts: what else the machine does only
 * ever adds.
 *
 *     bench-virtqueue                       table of ns per chain
 *     valgrind --tool=callgrind --toggle-collect=bench_round \
 *         bench-virtqueue packed 3 direct 100000      instructions of that many chains
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/allocations.h"
#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"

enum { BATCH = 16, DEFAULT_CHAINS = 200000, ROUNDS = 10 };

/* The measured part, a function of its own for callgrind. */
void bench_round(VirtQueue *vq, unsigned n);

__attribute__((noinline)) void bench_round(VirtQueue *vq, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        VqElem *e = virtqueue_pop(vq);

        if (!e) {
            abort();
        }
        virtqueue_push(e);
    }
}

static void offer(FakeDriver *d, const FakePiece *pieces, unsigned n)
{
    for (unsigned i = 0; i < BATCH; i++) {
        fake_ring_add(&d->rings[0], pieces, n);
    }
}

/* ns per chain. */
static double run(bool packed, bool indirect, unsigned descs, uint64_t chains)
{
    unsigned cell =
        FAKE_EVENT_IDX | (packed ? FAKE_PCI_PACKED : 0) | (indirect ? FAKE_INDIRECT : 0);
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", cell, "hold=on,queue-size=256");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    FakePiece pieces[8];
    struct timespec t0, t1;
    uint64_t ns = 0;

    for (unsigned i = 0; i < descs; i++) { /* as a disk's read: a header, then room */
        pieces[i] = (FakePiece){GPA(0x200000 + 4096 * i), 512, i > 0};
    }
    for (uint64_t done = 0; done < chains; done += BATCH) {
        offer(d, pieces, descs);
        counting = true;
        clock_gettime(CLOCK_MONOTONIC, &t0);
        bench_round(vq, BATCH);
        clock_gettime(CLOCK_MONOTONIC, &t1);
        counting = false;
        ns += (uint64_t)(t1.tv_sec - t0.tv_sec) * 1000000000 + (uint64_t)t1.tv_nsec -
              (uint64_t)t0.tv_nsec;
        while (fake_driver_get(d, 0, NULL, NULL)) {
        }
    }
    return (double)ns / (double)chains;
}

int main(int argc, char **argv)
{
    static const unsigned descs[] = {1, 3, 8};

    if (argc == 5) { /* one case, a fixed count */
        uint64_t chains = strtoull(argv[4], NULL, 0);

        run(g_str_equal(argv[1], "packed"), g_str_equal(argv[3], "indirect"),
            CLAMP((unsigned)atoi(argv[2]), 1, 8), chains - chains % BATCH);
        return 0;
    }
    printf("%-9s %11s %14s %14s %13s\n", "chains", "descriptors", "split, ns", "packed, ns",
           "packed/split");
    for (unsigned indirect = 0; indirect < 2; indirect++) {
        /* A driver puts a single buffer into the ring itself. */
        for (unsigned i = indirect; i < G_N_ELEMENTS(descs); i++) {
            double best[2] = {INFINITY, INFINITY};

            for (unsigned round = 0; round < 2 * ROUNDS; round++) {
                double ns = run(round % 2, indirect, descs[i], DEFAULT_CHAINS);

                best[round % 2] = MIN(best[round % 2], ns);
            }
            printf("%-9s %11u %14.1f %14.1f %13.2f\n", indirect ? "indirect" : "direct", descs[i],
                   best[0], best[1], best[1] / best[0]);
            fflush(stdout);
        }
    }
    printf("allocations in all of this: %" PRIu64 "\n", allocations);
    return 0;
}
