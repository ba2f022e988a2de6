/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host does about given pages: discards, free page reports, splitting what is held back,
 * and what is resident nevertheless.
 */
#include "core/given-internal.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

int64_t given_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* --- discards --- */

void given_discard_flush(GivenPages *g)
{
    GivenRegion *r = g->run.region;
    uint64_t off = g->run.from * GIVEN_PAGE, len = (g->run.to - g->run.from) * GIVEN_PAGE, gone;

    if (!r) {
        return;
    }
    g->run.region = NULL;
    g->ledger.discards++;
    if (!gmem_region_discard(&r->region, off, len)) {
        g->ledger.refused += len;
        return;
    }
    gone = given_bits_set(r->gone, g->run.from, g->run.to) * GIVEN_PAGE;
    g->ledger.released += gone;
    g->ledger.returned += gone;
    g->ledger.held_back -= gone;
}

void given_discard(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    if (g->run.region == r && g->run.to == from) {
        g->run.to = to;
        return;
    }
    given_discard_flush(g);
    g->run.region = r;
    g->run.from = from;
    g->run.to = to;
}

/* --- free page reports --- */

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t)((const struct iovec *)a)->iov_base;
    uintptr_t y = (uintptr_t)((const struct iovec *)b)->iov_base;

    return (x > y) - (x < y);
}

static const GmemRegion *region_of_host(GuestMemory *mem, const uint8_t *host)
{
    for (unsigned i = 0; i < gmem_region_count(mem); i++) {
        const GmemRegion *r = gmem_region(mem, i);

        if (host >= r->host && host < r->host + r->size) {
            return r;
        }
    }
    return NULL;
}

/* Given pages are not free ones; in a range with one the guest has lost its way. */
static bool any_given(GivenPages *g, const GmemRegion *region, uint64_t off, uint64_t len)
{
    for (unsigned i = 0; i < g->n_regions && g->ledger.given > 0; i++) {
        const GivenRegion *r = &g->regions[i];

        if (r->region.host == region->host) {
            return given_bits_count(r->given, off / GIVEN_PAGE, (off + len) / GIVEN_PAGE) > 0;
        }
    }
    return false;
}

/* The whole pages of a piece go. Returns the bytes that did. */
static uint64_t report_piece(GivenPages *g, const uint8_t *host, uint64_t len)
{
    const GmemRegion *r = region_of_host(g->mem, host);
    uint64_t off, end, least;

    if (!r) {
        return 0;
    }
    least = g->granule == GIVEN_2M ? MAX(r->page_size, GIVEN_HUGE) : r->page_size;
    off = (uint64_t)(((uintptr_t)host + least - 1) / least * least - (uintptr_t)r->host);
    end = (uint64_t)(host - r->host) + len;
    end = MIN(end, r->size);
    end = ((uintptr_t)r->host + end) / least * least - (uintptr_t)r->host;
    if (off >= end || end > r->size || any_given(g, r, off, end - off) ||
        gmem_pinned(g->mem, gpa_add(r->gpa, off), end - off)) {
        return 0;
    }
    g->ledger.discards++;
    if (!gmem_region_discard(r, off, end - off)) {
        g->ledger.refused += end - off;
        return 0;
    }
    return end - off;
}

void given_report(GivenPages *g, const struct iovec *iov, unsigned n, bool take)
{
    struct iovec sorted[GIVEN_REPORT_MAX];
    uint64_t reported = 0, returned = 0;
    int64_t start = given_now();

    g_assert(n <= GIVEN_REPORT_MAX);
    for (unsigned i = 0; i < n; i++) {
        sorted[i] = iov[i];
        reported += iov[i].iov_len;
    }
    qsort(sorted, n, sizeof *sorted, by_address);
    for (unsigned i = 0; i < n && take;) {
        uint8_t *host = sorted[i].iov_base, *end = host + sorted[i].iov_len;

        while (++i < n && (uint8_t *)sorted[i].iov_base <= end) {
            end = MAX(end, (uint8_t *)sorted[i].iov_base + sorted[i].iov_len);
        }
        while (host < end) { /* neighbours of different regions */
            const GmemRegion *r = region_of_host(g->mem, host);
            uint8_t *stop = r ? MIN(end, r->host + r->size) : end;

            returned += report_piece(g, host, (uint64_t)(stop - host));
            host = stop;
        }
    }
    g->ledger.reported += reported;
    g->ledger.report_returned += returned;
    g->ledger.report_left += reported - returned;
    g->ledger.time_ns += (uint64_t)(given_now() - start);
}

/* --- settling --- */

static int64_t timed_discard(uint8_t *at)
{
    int64_t start = given_now();

    (void)madvise(at, GIVEN_PAGE, MADV_DONTNEED);
    return given_now() - start;
}

static int by_number(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return (x > y) - (x < y);
}

/*
 * The pages in an incomplete unit that pay for splitting a huge page: as many discards of one page
 * as the split alone costs. 1 where there are no huge pages. Measured on memory of our own.
 */
static uint32_t measure_split(void)
{
    enum { UNITS = 3, PER_UNIT = 9 };
    int64_t first[UNITS], rest[UNITS * PER_UNIT];
    size_t size = (UNITS + 1) * (size_t)GIVEN_HUGE;
    uint8_t *map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *base = map + (-(uintptr_t)map & (GIVEN_HUGE - 1));

    if (map == MAP_FAILED) {
        return 1;
    }
    (void)madvise(map, size, MADV_HUGEPAGE);
    for (unsigned u = 0; u < UNITS; u++) {
        uint8_t *unit = base + u * (size_t)GIVEN_HUGE;

        for (unsigned i = 0; i < GIVEN_HUGE / GIVEN_PAGE; i++) {
            ((volatile uint8_t *)unit)[i * GIVEN_PAGE] = 1;
        }
        first[u] = timed_discard(unit);
        for (unsigned i = 0; i < PER_UNIT; i++) {
            rest[u * PER_UNIT + i] = timed_discard(unit + (i + 1) * 2 * GIVEN_PAGE);
        }
    }
    munmap(map, size);
    qsort(first, UNITS, sizeof *first, by_number);
    qsort(rest, UNITS * PER_UNIT, sizeof *rest, by_number);
    return (uint32_t)CLAMP(first[UNITS / 2] / MAX(rest[UNITS * PER_UNIT / 2], 1), 1,
                           GIVEN_HUGE / GIVEN_PAGE - 1);
}

/* Discards what unit u holds back, if it is enough. Returns the system calls. */
static unsigned settle_unit(GivenPages *g, GivenRegion *r, uint64_t u)
{
    uint64_t from = given_unit_from(r, u), to = given_unit_to(r, u), calls = g->ledger.discards;

    if (r->count[u] == 0 || r->count[u] - given_bits_count(r->gone, from, to) < g->settle_min) {
        return 0;
    }
    for (uint64_t p = from; p < to; p++) {
        if (given_bit(r->given, p) && !given_bit(r->gone, p)) {
            given_discard(g, r, p, p + 1);
        }
    }
    given_discard_flush(g);
    return (unsigned)(g->ledger.discards - calls);
}

bool given_settle(GivenPages *g, unsigned budget)
{
    int64_t start = given_now();
    unsigned calls = 0;

    if (g->granule != GIVEN_AUTO || !g->told || g->ledger.held_back == 0) {
        return false;
    }
    if (g->settle_min == 0) {
        g->settle_min = measure_split();
    }
    for (; g->settle_region < g->n_regions && calls < budget; g->settle_region++) {
        GivenRegion *r = &g->regions[g->settle_region];
        uint64_t units = given_unit_of(r, r->pages - 1) + 1;

        /* A page of hugetlbfs goes whole or not at all. */
        while (given_host_page(r) == 1 && g->settle_unit < units && calls < budget) {
            calls += settle_unit(g, r, g->settle_unit++);
        }
        if (calls >= budget) {
            break;
        }
        g->settle_unit = 0;
    }
    g->ledger.time_ns += (uint64_t)(given_now() - start);
    if (g->settle_region < g->n_regions) {
        return true;
    }
    g->settle_region = 0;
    return false;
}

/* --- checking --- */

/* Counts what no check before this one found. */
static bool note_again(GivenPages *g, GivenRegion *r, uint64_t at, bool resident)
{
    if (!resident || !given_bit(r->gone, at)) {
        (void)given_bits_clear(r->again, at, at + 1);
        return false;
    }
    g->ledger.faulted_again += given_bits_set(r->again, at, at + 1) * GIVEN_PAGE;
    return true;
}

static uint64_t faulted_in_region(GivenPages *g, GivenRegion *r)
{
    enum { CHUNK = 4096 };
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), count = 0;
    uint8_t resident[CHUNK]; /* by the host's pages, which may be larger */

    for (uint64_t at = 0; at < r->pages; at += CHUNK) {
        uint64_t n = MIN(CHUNK, r->pages - at);

        if (given_bits_count(r->gone, at, at + n) == 0) {
            continue;
        }
        gmem_region_residency(&r->region, at * GIVEN_PAGE, n * GIVEN_PAGE, resident);
        for (uint64_t i = 0; i < n; i++) {
            count += note_again(g, r, at + i, resident[i * GIVEN_PAGE / page]);
        }
    }
    return count * GIVEN_PAGE;
}

uint64_t given_faulted_again(GivenPages *g)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < g->n_regions; i++) {
        sum += faulted_in_region(g, &g->regions[i]);
    }
    return sum;
}
