/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dispatch of register accesses, and the doorbells of the regions.
 *
 * Mapped regions are kept in order of precedence; the flat view is made of them by letting each
 * fill the gaps that the earlier ones left. A callback may change the map in any way, even free its
 * own region: an access is planned one callback at a time from a fresh lookup, and nothing of a
 * region is touched after its callback returned.
 *
 * Unmapping takes effect at once, also between begin and commit, because the owner may free the
 * region and close the descriptors of its doorbells next. Everything else waits for the outermost
 * commit.
 */
#include "core/aspace.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

#include "core/boot-trace.h"
#include "core/code-place.h"
#include "core/log.h"

typedef struct {
    uint64_t first, last;
    IoRegion *region;
} FlatRange;

/* A doorbell that is visible in the flat view. */
typedef struct {
    uint64_t addr;
    IoEventfd e;
    const IoRegion *region;
    bool served; /* by the listener */
} Doorbell;

struct AddressSpace {
    char *name;
    uint64_t last; /* address */
    GPtrArray
        *regions;      /* of IoRegion, borrowed; highest priority first, then in order of mapping */
    GArray *flat;      /* of FlatRange, sorted, no overlaps */
    unsigned last_hit; /* index into flat; a hint */
    unsigned depth;    /* of begin */
    bool dirty;        /* an update waits for commit */
    uint64_t next_seq;
    uint64_t unmapped_reads, unmapped_writes;
    bool (*in_ram)(void *opaque, uint64_t addr, uint64_t len);
    void *in_ram_opaque;
    AspaceListener *listener; /* borrowed; NULL: none */
    GArray *doorbells;        /* of Doorbell, sorted; empty without a listener */
};

AddressSpace *aspace_new(const char *name, uint64_t size)
{
    AddressSpace *as = g_new0(AddressSpace, 1);

    as->name = g_strdup(name);
    as->last = size - 1;
    as->regions = g_ptr_array_new();
    as->flat = g_array_new(FALSE, FALSE, sizeof(FlatRange));
    as->doorbells = g_array_new(FALSE, FALSE, sizeof(Doorbell));
    return as;
}

void aspace_free(AddressSpace *as)
{
    if (!as) {
        return;
    }
    if (as->listener) {
        aspace_unlisten(as, as->listener);
    }
    for (unsigned i = 0; i < as->regions->len; i++) {
        IoRegion *r = g_ptr_array_index(as->regions, i);

        r->as = NULL;
    }
    g_ptr_array_free(as->regions, TRUE);
    g_array_free(as->flat, TRUE);
    g_array_free(as->doorbells, TRUE);
    g_free(as->name);
    g_free(as);
}

/* --- the flat view --- */

/* Index of the first range that ends at addr or later. */
static unsigned flat_lower_bound(const GArray *flat, uint64_t addr)
{
    unsigned lo = 0, hi = flat->len;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;

        if (g_array_index(flat, FlatRange, mid).last < addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static const FlatRange *flat_find(AddressSpace *as, uint64_t addr)
{
    const FlatRange *range;
    unsigned i = as->last_hit;

    if (i < as->flat->len) {
        range = &g_array_index(as->flat, FlatRange, i);
        if (range->first <= addr && addr <= range->last) {
            return range;
        }
    }
    i = flat_lower_bound(as->flat, addr);
    if (i == as->flat->len || g_array_index(as->flat, FlatRange, i).first > addr) {
        return NULL;
    }
    as->last_hit = i;
    return &g_array_index(as->flat, FlatRange, i);
}

/* r becomes visible in the gaps of [r->addr, last]. */
static void flat_fill(GArray *flat, IoRegion *r, uint64_t last)
{
    uint64_t at = r->addr;
    unsigned i = flat_lower_bound(flat, at);

    for (;; i++) {
        const FlatRange *next = i < flat->len ? &g_array_index(flat, FlatRange, i) : NULL;

        if (!next || next->first > at) {
            uint64_t end = next && next->first <= last ? next->first - 1 : last;
            FlatRange gap = {at, end, r};

            g_array_insert_val(flat, i, gap);
            if (end == last) {
                return;
            }
            at = end + 1;
        } else {
            if (next->last >= last) {
                return;
            }
            at = next->last + 1;
        }
    }
}

static void flat_rebuild(AddressSpace *as)
{
    g_array_set_size(as->flat, 0);
    as->last_hit = 0;
    for (unsigned i = 0; i < as->regions->len; i++) {
        IoRegion *r = g_ptr_array_index(as->regions, i);

        if (r->addr <= as->last) {
            uint64_t room = as->last - r->addr;

            flat_fill(as->flat, r, r->addr + MIN(r->size - 1, room));
        }
    }
}

static void flat_remove(AddressSpace *as, const IoRegion *r)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < as->flat->len; i++) {
        FlatRange range = g_array_index(as->flat, FlatRange, i);

        if (range.region != r) {
            g_array_index(as->flat, FlatRange, kept++) = range;
        }
    }
    g_array_set_size(as->flat, kept);
    as->last_hit = 0;
}

static bool is_ram(AddressSpace *as, uint64_t addr)
{
    return as->in_ram && as->in_ram(as->in_ram_opaque, addr, 1);
}

/* RAM comes in pages, so that a short range touches it if one of its ends does. */
static bool touches_ram(AddressSpace *as, uint64_t addr, unsigned len)
{
    return as->in_ram && (is_ram(as, addr) || (len > 1 && is_ram(as, addr + (len - 1))));
}

IoRegion *aspace_find(AddressSpace *as, uint64_t addr)
{
    const FlatRange *range = flat_find(as, addr);

    return range && !is_ram(as, addr) ? range->region : NULL;
}

void aspace_foreach(AddressSpace *as,
                    void (*fn)(uint64_t addr, uint64_t size, IoRegion *r, void *opaque),
                    void *opaque)
{
    for (unsigned i = 0; i < as->flat->len; i++) {
        FlatRange range = g_array_index(as->flat, FlatRange, i);

        fn(range.first, range.last - range.first + 1, range.region, opaque);
    }
}

/* --- doorbells --- */

static int doorbell_compare(gconstpointer a, gconstpointer b)
{
    const Doorbell *x = a, *y = b;

#define BY(field)                            \
    if (x->field != y->field) {              \
        return x->field < y->field ? -1 : 1; \
    }
    BY(addr)
    BY(e.size)
    BY(e.match)
    BY(e.value)
    BY(e.fd)
    BY(region)
#undef BY
    return 0;
}

static bool eventfd_equal(const IoEventfd *a, const IoEventfd *b)
{
    return a->off == b->off && a->size == b->size && a->match == b->match && a->fd == b->fd &&
           (!a->match || a->value == b->value);
}

static void doorbells_of(AddressSpace *as, const IoRegion *r, GArray *doorbells)
{
    for (unsigned i = 0; r->ioeventfds && i < r->ioeventfds->len; i++) {
        Doorbell d = {.e = g_array_index(r->ioeventfds, IoEventfd, i), .region = r};
        unsigned size = MAX(d.e.size, 1);
        const FlatRange *range;

        d.addr = r->addr + d.e.off;
        range = d.addr >= r->addr ? flat_find(as, d.addr) : NULL;
        if (range && range->region == r && range->last - d.addr >= size - 1 &&
            !touches_ram(as, d.addr, size)) {
            g_array_append_val(doorbells, d);
        }
    }
}

static void doorbell_drop(AddressSpace *as, const Doorbell *d)
{
    if (d->served) {
        as->listener->eventfd_del(as->listener, d->addr, &d->e);
    }
}

/* Tells the listener what changed: first all that went, then all that came. */
static void doorbells_sync(AddressSpace *as)
{
    GArray *now, *old = as->doorbells;
    bool *stays; /* of each in now: the listener was told before */
    unsigned i = 0;

    if (!as->listener) {
        return;
    }
    now = g_array_new(FALSE, FALSE, sizeof(Doorbell));
    for (unsigned r = 0; r < as->regions->len; r++) {
        doorbells_of(as, g_ptr_array_index(as->regions, r), now);
    }
    g_array_sort(now, doorbell_compare);
    stays = g_new0(bool, now->len + 1);
    for (unsigned k = 0; k < old->len; k++) {
        const Doorbell *d = &g_array_index(old, Doorbell, k);

        while (i < now->len && doorbell_compare(&g_array_index(now, Doorbell, i), d) < 0) {
            i++;
        }
        if (i < now->len && !doorbell_compare(&g_array_index(now, Doorbell, i), d)) {
            g_array_index(now, Doorbell, i).served = d->served;
            stays[i++] = true;
        } else {
            doorbell_drop(as, d);
        }
    }
    for (i = 0; i < now->len; i++) {
        Doorbell *d = &g_array_index(now, Doorbell, i);

        if (!stays[i]) {
            d->served = as->listener->eventfd_add(as->listener, d->addr, &d->e);
        }
    }
    g_free(stays);
    g_array_free(old, TRUE);
    as->doorbells = now;
}

/* Withdraws r's doorbells that equal *e (all of them when e is NULL), now. */
static void doorbells_withdraw(AddressSpace *as, const IoRegion *r, const IoEventfd *e)
{
    for (unsigned i = as->doorbells->len; i-- > 0;) {
        Doorbell d = g_array_index(as->doorbells, Doorbell, i);

        if (d.region == r && (!e || eventfd_equal(&d.e, e))) {
            g_array_remove_index(as->doorbells, i);
            doorbell_drop(as, &d);
        }
    }
}

static void update(AddressSpace *as)
{
    if (as->depth) {
        as->dirty = true;
        return;
    }
    as->dirty = false;
    flat_rebuild(as);
    doorbells_sync(as);
}

void io_region_add_eventfd(IoRegion *r, const IoEventfd *e)
{
    g_assert(e->off < r->size && e->size <= 8);
    if (!r->ioeventfds) {
        r->ioeventfds = g_array_new(FALSE, FALSE, sizeof(IoEventfd));
    }
    g_array_append_val(r->ioeventfds, *e);
    if (!r->as) {
        return;
    }
    if (r->as->depth) {
        r->as->dirty = true;
    } else {
        doorbells_sync(r->as);
    }
}

void io_region_del_eventfd(IoRegion *r, const IoEventfd *e)
{
    for (unsigned i = 0; r->ioeventfds && i < r->ioeventfds->len; i++) {
        if (eventfd_equal(&g_array_index(r->ioeventfds, IoEventfd, i), e)) {
            g_array_remove_index(r->ioeventfds, i);
            if (r->as) {
                doorbells_withdraw(r->as, r, e);
            }
            return;
        }
    }
}

void aspace_listen(AddressSpace *as, AspaceListener *listener)
{
    g_assert(!as->listener);
    as->listener = listener;
    if (!as->depth) {
        doorbells_sync(as);
    } else {
        as->dirty = true;
    }
}

void aspace_unlisten(AddressSpace *as, AspaceListener *listener)
{
    if (as->listener != listener) {
        return;
    }
    for (unsigned i = 0; i < as->doorbells->len; i++) {
        doorbell_drop(as, &g_array_index(as->doorbells, Doorbell, i));
    }
    g_array_set_size(as->doorbells, 0);
    as->listener = NULL;
}

/* --- mapping --- */

void io_region_init(IoRegion *r, const char *name, const IoRegionOps *ops, void *opaque,
                    uint64_t size)
{
    unsigned min = ops->min_size ? ops->min_size : 1, max = ops->max_size ? ops->max_size : 8;

    g_assert(size && min <= max && max <= 8 && !(min & (min - 1)) && !(max & (max - 1)));
    *r = (IoRegion){.name = name, .ops = ops, .opaque = opaque, .size = size};
}

void io_region_finish(IoRegion *r)
{
    aspace_unmap(r);
    if (r->ioeventfds) {
        g_array_free(r->ioeventfds, TRUE);
        r->ioeventfds = NULL;
    }
}

void aspace_unmap(IoRegion *r)
{
    AddressSpace *as = r->as;

    if (!as) {
        return;
    }
    TRACE(aspace_unmap, "%s: %s at %#" PRIx64, as->name, r->name, r->addr);
    g_ptr_array_remove(as->regions, r);
    r->as = NULL;
    if (boot_trace_on()) {
        boot_trace_unmapped(r);
    }
    doorbells_withdraw(as, r, NULL);
    flat_remove(as, r);
    update(as);
}

/* Where r belongs in the order of precedence: behind all of its own priority. */
static unsigned region_place(AddressSpace *as, const IoRegion *r)
{
    unsigned i = 0;

    while (i < as->regions->len &&
           ((IoRegion *)g_ptr_array_index(as->regions, i))->priority >= r->priority) {
        i++;
    }
    return i;
}

void aspace_map(AddressSpace *as, IoRegion *r, uint64_t addr, int priority)
{
    if (r->as == as && r->addr == addr && r->priority == priority) {
        return;
    }
    aspace_begin(as);
    aspace_unmap(r);
    r->as = as;
    r->addr = addr;
    r->priority = priority;
    r->seq = as->next_seq++;
    g_ptr_array_insert(as->regions, (int)region_place(as, r), r);
    TRACE(aspace_map, "%s: %s at %#" PRIx64 " size %#" PRIx64, as->name, r->name, addr, r->size);
    as->dirty = true;
    aspace_commit(as);
}

void aspace_set_ram_check(AddressSpace *as,
                          bool (*in_ram)(void *opaque, uint64_t addr, uint64_t len), void *opaque)
{
    as->in_ram = in_ram;
    as->in_ram_opaque = opaque;
    update(as);
}

void aspace_begin(AddressSpace *as)
{
    as->depth++;
}

void aspace_commit(AddressSpace *as)
{
    g_assert(as->depth);
    if (!--as->depth && as->dirty) {
        update(as);
    }
}

/* --- dispatch --- */

/* One callback's part of an access. */
typedef struct {
    IoRegion *region; /* NULL: nothing is there */
    uint64_t off;
    unsigned size; /* of the callback's value */
    unsigned skip; /* bytes of that value below ours */
} Part;

static uint64_t size_mask(unsigned size)
{
    return size == 8 ? UINT64_MAX : (UINT64_C(1) << (8 * size)) - 1;
}

/* Fits left bytes at off to the sizes that the callbacks take. Returns how many of them the part
 * covers. */
static unsigned part_fit(Part *part, const IoRegionOps *ops, uint64_t off, unsigned left)
{
    unsigned min = ops->min_size ? ops->min_size : 1;
    unsigned size = ops->max_size ? ops->max_size : 8;

    while (size > left || off & (size - 1)) {
        size >>= 1;
    }
    if (size >= min) {
        part->off = off;
        part->size = size;
        part->skip = 0;
        return size;
    }
    part->skip = (unsigned)off & (min - 1);
    part->off = off - part->skip;
    part->size = min;
    return MIN(left, min - part->skip);
}

/* Plans the next callback for the bytes from addr + done on. Returns how many bytes it covers. */
static unsigned part_plan(AddressSpace *as, uint64_t addr, unsigned done, unsigned size, Part *part)
{
    const FlatRange *range;
    unsigned left = size - done;

    part->region = NULL;
    if (addr > as->last || done > as->last - addr) {
        return 1;
    }
    addr += done;
    range = flat_find(as, addr);
    if (!range) {
        return 1;
    }
    if (range->last - addr < left) {
        left = (unsigned)(range->last - addr) + 1;
        left = MIN(left, size - done);
    }
    if (touches_ram(as, addr, left)) {
        if (is_ram(as, addr)) {
            return 1;
        }
        left = 1;
    }
    part->region = range->region;
    return part_fit(part, range->region->ops, addr - range->region->addr, left);
}

bool aspace_read(AddressSpace *as, uint64_t addr, unsigned size, uint64_t *ret_value)
{
    uint64_t value = 0;
    bool hit = true;

    g_assert(size >= 1 && size <= 8);
    for (unsigned done = 0, n; done < size; done += n) {
        uint64_t bytes = UINT64_MAX;
        Part part;

        n = part_plan(as, addr, done, size, &part);
        if (!part.region) {
            hit = false;
        } else if (part.region->ops->read) {
            bytes =
                part.region->ops->read(part.region->opaque, part.off, part.size) >> (8 * part.skip);
        }
        value |= (bytes & size_mask(n)) << (8 * done);
    }
    if (!hit) {
        as->unmapped_reads++;
        log_guest("%s: read of %u bytes at %#" PRIx64 ", where nothing is", as->name, size, addr);
    }
    *ret_value = value;
    return hit;
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    /* EAGAIN is a full counter: the signal is pending already. */
    while (write(fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

/* A write that a listener would have caught, had there been one. */
static bool doorbell_ring(AddressSpace *as, uint64_t addr, uint64_t value, unsigned size)
{
    const FlatRange *range = flat_find(as, addr);
    const GArray *bells = range ? range->region->ioeventfds : NULL;
    uint64_t off;

    if (!bells || !bells->len || range->last - addr < size - 1 || touches_ram(as, addr, size)) {
        return false;
    }
    off = addr - range->region->addr;
    for (unsigned i = 0; i < bells->len; i++) {
        const IoEventfd *e = &g_array_index(bells, IoEventfd, i);

        if (e->off == off && (!e->size || e->size == size) &&
            (!e->match || ((e->value ^ value) & size_mask(size)) == 0)) {
            signal_fd(e->fd);
            return true;
        }
    }
    return false;
}

bool aspace_write(AddressSpace *as, uint64_t addr, uint64_t value, unsigned size)
{
    CODE_PLACE(aspace_write);
    bool hit = true;

    g_assert(size >= 1 && size <= 8);
    value &= size_mask(size);
    if (doorbell_ring(as, addr, value, size)) {
        return true;
    }
    for (unsigned done = 0, n; done < size; done += n) {
        Part part;
        uint64_t bytes;

        n = part_plan(as, addr, done, size, &part);
        if (!part.region) {
            hit = false;
        } else if (part.region->ops->write) {
            bytes = ((value >> (8 * done)) & size_mask(n)) << (8 * part.skip);
            part.region->ops->write(part.region->opaque, part.off, bytes, part.size);
        }
    }
    if (!hit) {
        as->unmapped_writes++;
        log_guest("%s: write of %u bytes at %#" PRIx64 ", where nothing is", as->name, size, addr);
    }
    return hit;
}

void aspace_unmapped(AddressSpace *as, uint64_t *ret_reads, uint64_t *ret_writes)
{
    *ret_reads = as->unmapped_reads;
    *ret_writes = as->unmapped_writes;
}
