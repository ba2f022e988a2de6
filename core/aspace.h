/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * An address space of device registers: one for MMIO, one for port I/O. Regions are mapped at addresses and may be
 * moved at any time; overlaps are allowed (guests make them). The flat view is a sorted array: a lookup is the last
 * hit or a binary search.
 *
 * Where regions overlap, the one of higher priority is seen; of equal priority, the one mapped first (a region that
 * moves counts as mapped anew). What reaches past the end of the space is cut off. RAM always
 * wins over a device (reserve ranges with aspace_set_ram_check).
 *
 * An access is split at the edges of regions. Reads where nothing is mapped give all ones, writes are dropped;
 * both are counted and logged as guest errors at most.
 *
 * Threads: everything runs under the VM lock.
 */
#ifndef AEROSTAT_CORE_ASPACE_H
#define AEROSTAT_CORE_ASPACE_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef struct AddressSpace AddressSpace;
typedef struct IoRegion IoRegion;
typedef struct AspaceListener AspaceListener;

typedef struct {
    /* off is within the region and a multiple of size; size is 1, 2, 4 or 8, within [min_size, max_size]. Values are
     * host numbers. A callback may change the map, even unmap and free its own region. NULL: all ones; dropped. */
    uint64_t (*read)(void *opaque, uint64_t off, unsigned size);
    void (*write)(void *opaque, uint64_t off, uint64_t value, unsigned size);
    /* Sizes the callbacks take; 0 means 1 and 8. A larger or unaligned access is split, a smaller read is cut out of a
     * min_size read, a smaller write becomes a min_size write of the value shifted into place with zeroes elsewhere. */
    unsigned min_size, max_size;
} IoRegionOps;

/* Embedded in the device's state. Fields are private to aspace.c. */
struct IoRegion {
    const char *name;      /* not copied */
    const IoRegionOps *ops;
    void *opaque;
    uint64_t size;
    AddressSpace *as;      /* NULL: not mapped */
    uint64_t addr;
    int priority;
    uint64_t seq;          /* order of mapping */
    GArray *ioeventfds;    /* of IoEventfd; NULL: none */
};

/* A doorbell: a guest write of any value (or of just `value` when match) to off signals fd instead of exiting. */
typedef struct {
    uint64_t off;
    unsigned size;   /* 1, 2, 4, 8; 0: any size (KVM's fast MMIO) */
    bool match;
    uint64_t value;
    int fd;
} IoEventfd;

AddressSpace *aspace_new(const char *name, uint64_t size); /* size 0: 2^64 */
void aspace_free(AddressSpace *as);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AddressSpace, aspace_free)

/* size must not be 0. The region is not mapped yet. */
void io_region_init(IoRegion *r, const char *name, const IoRegionOps *ops, void *opaque, uint64_t size);
void io_region_finish(IoRegion *r); /* unmaps it and drops its doorbells */

void aspace_map(AddressSpace *as, IoRegion *r, uint64_t addr, int priority); /* moves r if it is mapped already */
void aspace_unmap(IoRegion *r); /* at once, doorbells too, even before a commit; harmless when not mapped */

/* Addresses for which in_ram answers true are never dispatched to regions and get no doorbells (RAM lies in whole
 * pages). Call it again after RAM came or went. NULL: no RAM here. */
void aspace_set_ram_check(AddressSpace *as, bool (*in_ram)(void *opaque, uint64_t addr, uint64_t len), void *opaque);

/* Several map changes as one: the flat view is rebuilt and listeners run at the outermost commit. */
void aspace_begin(AddressSpace *as);
void aspace_commit(AddressSpace *as);

/* size 1 to 8. Return false when some byte hit nothing (the value is then all ones there). */
bool aspace_read(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *ret_value);
bool aspace_write(AddressSpace *as, uint64_t addr, uint64_t value, unsigned size);

/* How many accesses hit nothing so far. */
void aspace_unmapped(AddressSpace *as, uint64_t *ret_reads, uint64_t *ret_writes);

/* The region seen at addr, or NULL. */
IoRegion *aspace_find(AddressSpace *as, uint64_t addr);

/*
 * Doorbells. While a listener (KVM) serves a doorbell, guest writes never reach ops->write. Without one, or where the
 * listener could not take it, aspace_write itself signals the fd: for a write of exactly that offset and size. Removing
 * takes the same values as adding and is done on return, so that the fd may be closed.
 */
void io_region_add_eventfd(IoRegion *r, const IoEventfd *e);
void io_region_del_eventfd(IoRegion *r, const IoEventfd *e);

/* Neither callback may change the map. */
struct AspaceListener {
    /* addr is absolute. add may fail (false): the write then exits and aspace_write signals the fd. */
    bool (*eventfd_add)(AspaceListener *l, uint64_t addr, const IoEventfd *e);
    void (*eventfd_del)(AspaceListener *l, uint64_t addr, const IoEventfd *e);
};
void aspace_listen(AddressSpace *as, AspaceListener *listener);   /* one listener at a time */
void aspace_unlisten(AddressSpace *as, AspaceListener *listener);

/* Calls fn for each visible range in order of address (for "info mtree" and tests). RAM on top of it is not cut out. */
void aspace_foreach(AddressSpace *as, void (*fn)(uint64_t addr, uint64_t size, IoRegion *r, void *opaque),
                    void *opaque);

#endif
