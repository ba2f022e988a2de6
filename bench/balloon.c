/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What giving memory back costs: drives the inflate queue of a virtio-balloon over RAM without a
 * guest, 256 page numbers a request as Linux does, and beside it, in the same run, the naive way:
 * one system call per page, without queue or device.
 *
 *     bench-balloon [MiB [BACKING...]]
 *
 * ordered: ascending; reversed: descending, as Linux often allocates; blocks: runs of 16 pages in
 * random order; scattered: every page in random order. Memory is backed by pages of 4 KiB, by
 * transparent huge pages (thp), or by hugetlbfs where the host has set pages aside. Everything is
 * given; freed is what of it the host has afterwards, units are whole ones of 2 MiB.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "core/gmem-block.h"
#include "tests/driver/fake-driver.h"

enum { PAGE = 4096, PER_REQUEST = 256, BLOCK = 16, UNIT = 2 << 20 };
#define RAM_AT  (UINT64_C(1) << 33)
#define SETTLED INT64_C(10000000000)

typedef struct {
    const char *name;
    unsigned block; /* pages that stay together */
    bool shuffle, reverse;
} Order;

static const Order orders[] = {
    {"ordered", PER_REQUEST, false, false},
    {"reversed", PER_REQUEST, false, true},
    {"blocks", BLOCK, true, false},
    {"scattered", 1, true, false},
};

static const char *const backings[] = {"4k", "thp", "hugetlb"};

typedef struct {
    double cpu;
    uint64_t discards, freed, units;
} Result;

/* The linker puts these in front of the calls: every one counts, whoever makes it. */
static uint64_t calls;
int __real_madvise(void *addr, size_t len, int advice);
int __wrap_madvise(void *addr, size_t len, int advice);

int __wrap_madvise(void *addr, size_t len, int advice)
{
    calls++;
    return __real_madvise(addr, len, advice);
}

int __real_fallocate(int fd, int mode, off_t off, off_t len);
int __wrap_fallocate(int fd, int mode, off_t off, off_t len);

int __wrap_fallocate(int fd, int mode, off_t off, off_t len)
{
    calls++;
    return __real_fallocate(fd, mode, off, len);
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

/* A machine with that RAM; NULL: the host has no such memory. */
static FakeMachine *machine_new(const char *backing, uint64_t bytes)
{
    bool huge = !strcmp(backing, "hugetlb");
    GmemBlockSpec spec = {
        .size = bytes, .memfd = huge, .share = huge, .huge_page = huge ? UNIT : 0};
    g_autoptr(GError) err = NULL;
    g_autoptr(GmemBlock) b = gmem_block_new(&spec, &err);
    FakeMachine *m;

    if (!b) {
        printf("%s: %s\n", backing, err->message);
        return NULL;
    }
    if (!strcmp(backing, "4k")) {
        madvise(b->host, bytes, MADV_NOHUGEPAGE);
    }
    m = fake_machine_new(0);
    if (!gmem_add_block(m->p.mem, GPA(RAM_AT), b, 0, bytes, NULL)) {
        abort();
    }
    return m;
}

static const GmemRegion *ram_of(FakeMachine *m)
{
    return gmem_region(m->p.mem, gmem_region_count(m->p.mem) - 1);
}

static void touch(const GmemRegion *r)
{
    for (uint64_t off = 0; off < r->size; off += PAGE) {
        ((volatile uint8_t *)r->host)[off] = 1;
    }
}

static void inflate(FakeDriver *d, const uint32_t *pfns, uint32_t n)
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
    }
    clock_step_to(d->m->p.vclock, SETTLED); /* what is held back, too */
    fake_machine_run(d->m);
}

static void inflate_naive(const GmemRegion *r, const uint32_t *pfns, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t off = (uint64_t)pfns[i] * PAGE - RAM_AT;

        if (r->fd >= 0) {
            (void)!fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, PAGE);
        } else {
            madvise(r->host + off, PAGE, MADV_DONTNEED);
        }
    }
}

static void count_freed(const GmemRegion *r, Result *res)
{
    uint8_t pages[UNIT / PAGE];

    for (uint64_t off = 0; off < r->size; off += UNIT) {
        uint64_t resident = gmem_region_residency(r, off, UNIT, pages);

        res->freed += UNIT - resident;
        res->units += resident == 0;
    }
}

/* False: there is no such memory. */
static bool run(const Order *o, const char *backing, bool naive, uint64_t bytes, Result *res)
{
    FakeMachine *m = machine_new(backing, bytes);
    uint32_t n = (uint32_t)(bytes / PAGE);
    g_autofree uint32_t *pfns = make_pfns(o, n);
    g_autoptr(FakeDriver) d = NULL;
    uint64_t calls_before;
    double cpu;

    if (!m) {
        return false;
    }
    d = fake_driver_probe_on(m, "virtio-balloon", 0, "ioeventfd=off");
    fake_driver_up(d);
    touch(ram_of(m));
    calls_before = calls;
    cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
    if (naive) {
        inflate_naive(ram_of(m), pfns, n);
    } else {
        inflate(d, pfns, n);
    }
    *res =
        (Result){.cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu, .discards = calls - calls_before};
    count_freed(ram_of(m), res);
    return true;
}

static void print_row(const char *backing, const Order *o, const char *way, const Result *r,
                      double gib, double of_naive)
{
    printf("%-8s %-10s %-8s %10.4f %8.3f %13.0f %10.0f %7.1f%%\n", backing, o->name, way,
           r->cpu / gib, of_naive, (double)r->discards / gib, (double)r->freed / (1 << 20),
           (double)r->units * UNIT * 100 / (gib * (1 << 30)));
    fflush(stdout);
}

static void run_backing(const char *backing, uint64_t mib)
{
    double gib = (double)mib / 1024;

    for (unsigned i = 0; i < G_N_ELEMENTS(orders); i++) {
        Result ours, naive;

        if (!run(&orders[i], backing, false, mib << 20, &ours) ||
            !run(&orders[i], backing, true, mib << 20, &naive)) {
            return;
        }
        print_row(backing, &orders[i], "aerostat", &ours, gib, ours.cpu / naive.cpu);
        print_row(backing, &orders[i], "naive", &naive, gib, 1);
    }
}

int main(int argc, char **argv)
{
    uint64_t mib = argc > 1 ? strtoull(argv[1], NULL, 0) : 4096;

    printf("%-8s %-10s %-8s %10s %8s %13s %10s %8s\n", "backing", "order", "way", "CPU s/GiB",
           "of naive", "discards/GiB", "freed MiB", "units");
    for (int i = 2; i < argc; i++) {
        run_backing(argv[i], mib);
    }
    for (unsigned i = 0; argc < 3 && i < G_N_ELEMENTS(backings); i++) {
        run_backing(backings[i], mib);
    }
    return 0;
}
