/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: the RAM regions of a VM, and the only ways to reach them.
 *
 * Copies take a length and check it against the regions; an access may span regions that touch. A pointer into
 * guest memory is handed out only as iovecs (for requests' data) and as a GmemMap (for rings).
 *
 * Threads: any thread may read and write. Regions are added and removed under the VM lock with no vCPU running
 * and no iothread inside a device (map changes are rare: start, hotplug); each change bumps the generation, which
 * makes every GmemMap stale.
 */
#ifndef AEROSTAT_CORE_GMEM_H
#define AEROSTAT_CORE_GMEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>
#include <glib.h>

#include "qom/error.h"

/* A guest physical address: a type of its own, so that it cannot be added to a pointer by accident. */
typedef struct { uint64_t v; } Gpa;
#define GPA(x) ((Gpa){(x)})
static inline Gpa gpa_add(Gpa a, uint64_t off) { return GPA(a.v + off); }

typedef struct GuestMemory GuestMemory;
typedef struct GmemListener GmemListener;

#define GMEM_CHECKED __attribute__((warn_unused_result))

typedef enum {
    GMEM_ANONYMOUS, /* private anonymous memory */
    GMEM_MEMFD,     /* shared memfd, for peers in other processes */
} GmemBacking;

/* How a region's memory goes back to the host. */
typedef enum {
    GMEM_DISCARD_ADVISE, /* private memory: MADV_DONTNEED */
    GMEM_DISCARD_PUNCH,  /* shared memory and files: a hole */
    GMEM_DISCARD_NONE,   /* not at all: a private mapping of a file would show the file's bytes */
} GmemDiscard;

typedef struct GmemBlock GmemBlock; /* core/gmem-block.h */

/* What listeners and walkers see of a region. host stays put for the region's life. */
typedef struct {
    Gpa gpa;
    uint64_t size;   /* bytes, a multiple of page_size */
    uint8_t *host;   /* 2 MiB aligned when the region is that large */
    GmemBacking backing;
    int fd;          /* of GMEM_MEMFD, the block's; else -1 */
    uint64_t fd_offset;
    uint64_t page_size; /* of the host behind it: the least that can be given back */
    GmemDiscard discard;
    GmemBlock *block;   /* that it is a part of */
    unsigned slot;   /* small number, unique among the present regions; KVM's memory slot */
} GmemRegion;

GuestMemory *gmem_new(void);
void gmem_free(GuestMemory *mem); /* NULL is fine; unmaps everything, telling the listeners that are left */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestMemory, gmem_free)

/* New zeroed RAM, MADV_HUGEPAGE and MADV_DONTDUMP'd. Fails on overlap, size 0, misalignment, or no memory. */
bool gmem_add(GuestMemory *mem, Gpa gpa, uint64_t size, GmemBacking backing, GError **err);

/* One backing block of `size` bytes seen in two pieces around a hole, as the PC has it: the first low_size bytes at
 * address 0, the rest at high. high_size 0 is allowed. */
bool gmem_add_split(GuestMemory *mem, uint64_t low_size, Gpa high, uint64_t high_size, GmemBacking backing,
                    GError **err);

bool gmem_remove(GuestMemory *mem, Gpa gpa, GError **err); /* the region that begins at gpa */

unsigned gmem_region_count(GuestMemory *mem);
const GmemRegion *gmem_region(GuestMemory *mem, unsigned i); /* in order of address */
uint64_t gmem_size(GuestMemory *mem);                        /* sum of all regions, bytes */
uint64_t gmem_generation(GuestMemory *mem);

/* True when [gpa, gpa+len) is all RAM. Length 0 is true for any address. */
bool gmem_contains(GuestMemory *mem, Gpa gpa, uint64_t len);

/* --- checked copies: false, and nothing copied, when any byte lies outside RAM or the range wraps --- */
bool gmem_read(GuestMemory *mem, Gpa gpa, void *dst, size_t len) GMEM_CHECKED;
bool gmem_write(GuestMemory *mem, Gpa gpa, const void *src, size_t len) GMEM_CHECKED;
bool gmem_set(GuestMemory *mem, Gpa gpa, uint8_t byte, size_t len) GMEM_CHECKED;

/* read(2)s exactly len bytes at file offset off into guest memory (kernel images, without a copy in between). */
bool gmem_read_file(GuestMemory *mem, Gpa gpa, int fd, uint64_t off, uint64_t len, GError **err) GMEM_CHECKED;

/*
 * The pieces of host memory behind [gpa, gpa+len), at most max of them. Returns their number, or -1 when the range
 * is not all RAM or needs more than max pieces. Valid until the generation changes. len 0 gives 0.
 */
int gmem_iov(GuestMemory *mem, Gpa gpa, uint64_t len, struct iovec *iov, unsigned max) GMEM_CHECKED;

/* --- a cached mapping of a small contiguous range (a ring) --- */
typedef struct {
    uint8_t *host;       /* NULL: not mapped */
    uint64_t len;
    uint64_t generation;
} GmemMap;

/* Fails when the range is empty or not inside one region's host memory. */
bool gmem_map(GuestMemory *mem, Gpa gpa, uint64_t len, GmemMap *ret_map) GMEM_CHECKED;
static inline bool gmem_map_usable(GuestMemory *mem, const GmemMap *map)
{
    return map->host && map->generation == gmem_generation(mem);
}

/*
 * Gives the host memory behind whole host pages of [gpa, gpa+len) back to the system: they read as zero afterwards.
 * Parts outside RAM and partial pages are left out. Returns the bytes given back; *ret_calls (may be NULL) is
 * increased by the number of system calls made.
 */
uint64_t gmem_discard(GuestMemory *mem, Gpa gpa, uint64_t len, unsigned *ret_calls);

/* The same for one region and a part of it in whole pages of its page_size. False: the host did not take it. */
bool gmem_region_discard(const GmemRegion *r, uint64_t off, uint64_t len);
/* Makes [off, off+len) of a region resident, as if it were written to, with what it holds. False: not done. */
bool gmem_region_populate(const GmemRegion *r, uint64_t off, uint64_t len);

/*
 * Memory that somebody holds pointers into (rings; later what devices on the host's bus read): it is not given back by
 * gmem_pinned's callers. Pins count: as many unpins as pins. Any thread.
 */
void gmem_pin(GuestMemory *mem, Gpa gpa, uint64_t len);
void gmem_unpin(GuestMemory *mem, Gpa gpa, uint64_t len); /* a range that was pinned */
bool gmem_pinned(GuestMemory *mem, Gpa gpa, uint64_t len); /* any byte of it */

/* Bytes of guest RAM that are resident in the host now; memory that was only read (the zero page) is not. Slow: for
 * reports and tests. */
uint64_t gmem_resident(GuestMemory *mem);
/* The same for [off, off+len) of a region, in host pages; one byte for each of them: 1 is resident. */
uint64_t gmem_region_residency(const GmemRegion *r, uint64_t off, uint64_t len, uint8_t *ret_pages);

/* --- listeners: an accelerator maps regions into its VM. Called for the present regions on registration. --- */
struct GmemListener {
    bool (*region_add)(GmemListener *l, const GmemRegion *region, GError **err);
    void (*region_del)(GmemListener *l, const GmemRegion *region);
};
bool gmem_listen(GuestMemory *mem, GmemListener *listener, GError **err);
void gmem_unlisten(GuestMemory *mem, GmemListener *listener); /* region_del for each present region */

#endif
