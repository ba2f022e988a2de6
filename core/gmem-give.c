/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory that goes back to the host: discarding it, and counting what is there.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "core/gmem.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

enum { SMALL_PAGE = 4096 };

bool gmem_region_discard(const GmemRegion *r, uint64_t off, uint64_t len)
{
    switch (r->discard) {
    case GMEM_DISCARD_ADVISE:
        return madvise(r->host + off, len, MADV_DONTNEED) == 0;
    case GMEM_DISCARD_PUNCH:
        return fallocate(r->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                         (off_t)(r->fd_offset + off), (off_t)len) == 0;
    default:
        return false;
    }
}

bool gmem_region_populate(const GmemRegion *r, uint64_t off, uint64_t len)
{
    return madvise(r->host + off, len, MADV_POPULATE_WRITE) == 0;
}

uint64_t gmem_discard(GuestMemory *mem, Gpa gpa, uint64_t len, unsigned *ret_calls)
{
    uint64_t last = len && gpa.v + (len - 1) >= gpa.v ? gpa.v + (len - 1) : UINT64_MAX, given = 0;

    for (unsigned i = 0; len && i < gmem_region_count(mem); i++) {
        const GmemRegion *r = gmem_region(mem, i);
        uint64_t mask = r->page_size - 1, from, to; /* offsets in the region, whole pages */

        if (r->gpa.v > last) {
            break;
        }
        if (r->gpa.v + (r->size - 1) < gpa.v) {
            continue;
        }
        from = gpa.v > r->gpa.v ? ((gpa.v - r->gpa.v) + mask) & ~mask : 0;
        to = last - r->gpa.v >= r->size - 1 ? r->size : (last - r->gpa.v + 1) & ~mask;
        if (from >= to) {
            continue;
        }
        if (ret_calls) {
            ++*ret_calls;
        }
        if (gmem_region_discard(r, from, to - from)) {
            given += to - from;
        }
    }
    return given;
}

/* --- what is there --- */

/*
 * mincore(2) and the "present" bit of pagemap also count untouched memory that was only read: the
 * kernel maps the shared zero page there, even a huge one. That page is never mapped exclusively.
 */
static bool residency_anonymous(const uint8_t *host, uint64_t pages, uint64_t page, uint8_t *ret)
{
    enum { CHUNK = 4096 };
    const uint64_t mine = 1ULL << 63 | 1ULL << 56; /* PM_PRESENT, PM_MMAP_EXCLUSIVE */
    int pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    uint64_t entries[CHUNK], at = 0;

    while (pagemap >= 0 && at < pages) {
        size_t want = MIN(CHUNK, pages - at) * sizeof *entries;
        ssize_t got =
            pread(pagemap, entries, want, (off_t)(((uintptr_t)host / page + at) * sizeof *entries));

        if (got < (ssize_t)sizeof *entries) {
            break;
        }
        for (size_t i = 0; i < (size_t)got / sizeof *entries; i++) {
            ret[at + i] = (entries[i] & mine) == mine;
        }
        at += (size_t)got / sizeof *entries;
    }
    if (pagemap >= 0) {
        close(pagemap);
    }
    return at == pages;
}

static void residency_mincore(uint8_t *host, uint64_t len, uint64_t pages, uint8_t *ret)
{
    if (mincore(host, len, ret) < 0) {
        memset(ret, 0, pages);
    }
    for (uint64_t i = 0; i < pages; i++) {
        ret[i] &= 1;
    }
}

uint64_t gmem_region_residency(const GmemRegion *r, uint64_t off, uint64_t len, uint8_t *ret_pages)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE), pages = len / page, count = 0;

    if (r->fd >= 0 || !residency_anonymous(r->host + off, pages, page, ret_pages)) {
        residency_mincore(r->host + off, len, pages, ret_pages);
    }
    for (uint64_t i = 0; i < pages; i++) {
        count += ret_pages[i];
    }
    return count * page;
}

uint64_t gmem_resident(GuestMemory *mem)
{
    enum { CHUNK = 64 << 20 };
    uint8_t *pages = g_malloc(CHUNK / SMALL_PAGE);
    uint64_t sum = 0;

    for (unsigned i = 0; i < gmem_region_count(mem); i++) {
        const GmemRegion *r = gmem_region(mem, i);

        for (uint64_t off = 0; off < r->size; off += CHUNK) {
            sum += gmem_region_residency(r, off, MIN(CHUNK, r->size - off), pages);
        }
    }
    g_free(pages);
    return sum;
}
