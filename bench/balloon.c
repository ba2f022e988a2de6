/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What giving memory back costs: drives the inflate queue of a virtio-balloon over 1 GiB of RAM
 * without a guest, 256 page numbers a request as Linux does, and prints pages per second, discards
 * (madvise calls) and resident memory.
 *
 *     bench-balloon [MiB]
 *
 * ordered: ascending; reversed: descending, as Linux often allocates; blocks: runs of 16 pages in
 * random order; scattered: every page in random order, the worst case; naive: the same scattered
 * pages, one madvise each, without queue or device, for comparison.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/le.h"
#include "tests/driver/fake-driver.h"

enum { PAGE = 4096, PER_REQUEST = 256, BLOCK = 16 };
#define RAM_AT (UINT64_C(1) << 33)

typedef struct {
    const char *name;
    unsigned block; /* pages that stay together */
    bool shuffle, reverse, naive;
} Order;

static const Order orders[] = {
    {"ordered", PER_REQUEST, false, false, false},
    {"reversed", PER_REQUEST, false, true, false},
    {"blocks", BLOCK, true, false, false},
    {"scattered", 1, true, false, false},
    {"naive", 1, true, false, true},
};

typedef struct {
    double wall, cpu;
    uint64_t pages, requests, discards, before, after;
} Result;

/* The linker puts this in front of madvise: every call counts, whoever makes it. */
static uint64_t madvise_calls;
int __real_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice);

int __wrap_madvise(void *addr, size_t len, int advice)
{
    madvise_calls++;
    return __real_madvise(addr, len, advice);
}

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Page frame numbers of n pages from RAM_AT, in the order asked for. */
static uint32_t *make_pfns(const Order *o, uint32_t n)
{
    uint32_t blocks = n / o->block, *start = g_new(uint32_t, blocks), *pfns = g_new(uint32_t, n);
    g_autoptr(GRand) r = g_rand_new_with_seed(1);

    for (uint32_t i = 0; i < blocks; i++) {
        start[i] = i * o->block;
    }
    for (uint32_t i = blocks - 1; o->shuffle && i > 0; i--) {
        uint32_t j = (uint32_t)g_rand_int_range(r, 0, (gint32)i + 1), tmp = start[i];

        start[i] = start[j];
        start[j] = tmp;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = start[i / o->block] + i % o->block;

        pfns[i] = (uint32_t)(RAM_AT / PAGE) + (o->reverse ? n - 1 - at : at);
    }
    g_free(start);
    return pfns;
}

static void touch(GuestMemory *mem, uint64_t bytes)
{
    for (uint64_t off = 0; off < bytes; off += PAGE) {
        if (!gmem_write(mem, GPA(RAM_AT + off), "x", 1)) {
            abort();
        }
    }
}

static void inflate(FakeDriver *d, const uint32_t *pfns, uint32_t n, Result *res)
{
    FakeRing *ring = &d->rings[0];
    Gpa buf = fake_driver_alloc(d, PER_REQUEST * 4);

    for (uint32_t at = 0; at < n; at += PER_REQUEST) {
        uint32_t count = MIN(PER_REQUEST, n - at);

        if (!gmem_write(ring->mem, buf, pfns + at, count * 4)) { /* little-endian host */
            abort();
        }
        fake_driver_add(d, 0, OUT_AT(buf.v, count * 4));
        d->t->notify(d, 0);
        if (!fake_driver_get(d, 0, NULL, NULL)) {
            abort();
        }
        res->requests++;
    }
}

static void inflate_naive(GuestMemory *mem, const uint32_t *pfns, uint32_t n)
{
    struct iovec iov;

    if (gmem_iov(mem, GPA(RAM_AT), PAGE, &iov, 1) != 1) {
        abort();
    }
    for (uint32_t i = 0; i < n; i++) {
        madvise((uint8_t *)iov.iov_base + ((uint64_t)pfns[i] * PAGE - RAM_AT), PAGE, MADV_DONTNEED);
    }
}

static Result run(const Order *o, uint64_t bytes)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe_on(fake_machine_new(bytes), "virtio-balloon", 0, "ioeventfd=off");
    uint32_t n = (uint32_t)(bytes / PAGE);
    g_autofree uint32_t *pfns = make_pfns(o, n);
    GuestMemory *mem = d->m->p.mem;
    Result res = {.pages = n};
    double wall, cpu;
    uint64_t calls;

    fake_driver_up(d);
    touch(mem, bytes);
    res.before = gmem_resident(mem);
    calls = madvise_calls;
    wall = seconds(CLOCK_MONOTONIC);
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (o->naive) {
        inflate_naive(mem, pfns, n);
    } else {
        inflate(d, pfns, n, &res);
    }
    res.wall = seconds(CLOCK_MONOTONIC) - wall;
    res.cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    res.discards = madvise_calls - calls;
    res.after = gmem_resident(mem);
    return res;
}

int main(int argc, char **argv)
{
    uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 0) : 1024;

    printf("%-10s %10s %9s %13s %13s %10s %12s %12s\n", "order", "Mpages/s", "requests",
           "discards/GiB", "per request", "CPU s/GiB", "resident MiB", "after MiB");
    for (unsigned i = 0; i < G_N_ELEMENTS(orders); i++) {
        Result r = run(&orders[i], mib << 20);
        double gib = (double)mib / 1024;

        printf("%-10s %10.2f %9" PRIu64 " %13.0f %13.2f %10.3f %12.1f %12.1f\n", orders[i].name,
               (double)r.pages / r.wall / 1e6, r.requests, (double)r.discards / gib,
               r.requests ? (double)r.discards / (double)r.requests : 0.0, r.cpu / gib,
               (double)r.before / (1 << 20), (double)r.after / (1 << 20));
        fflush(stdout);
    }
    return 0;
}
