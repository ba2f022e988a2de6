/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest memory: a sorted table of RAM regions and the checked ways into them.
 *
 * A region is a part of a block of host memory (gmem-block.c) and holds a reference, so that the
 * two halves of a split block can go one by one. The table does not change while readers run
 * (core/gmem.h says who guarantees it), hence no lock here; only the last hit and the generation
 * are shared by running threads.
 */
#include "core/gmem.h"
#include "core/gmem-block.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#define READ_AT_ONCE (1024 * 1024 * 1024UL) /* read(2) takes less than 2 GiB */

typedef struct {
    uint64_t gpa, len;
} GmemPin;

struct GuestMemory {
    pthread_mutex_t pins_lock;
    GArray *pins;         /* of GmemPin, in no order; pins_lock */
    GPtrArray *regions;   /* of GmemRegion, sorted by address, no overlaps */
    GPtrArray *listeners; /* of GmemListener, borrowed */
    uint64_t page_size;
    atomic_uint last_hit; /* index into regions; a hint */
    _Atomic uint64_t generation;
};

static void region_free(void *opaque)
{
    GmemRegion *r = opaque;

    if (!r->block->keep) { /* the other half of a split block may live on; this half's pages go */
        (void)gmem_region_discard(r, 0, r->size);
    }
    gmem_block_unref(r->block);
    g_free(r);
}

GuestMemory *gmem_new(void)
{
    GuestMemory *mem = g_new0(GuestMemory, 1);

    mem->regions = g_ptr_array_new();
    mem->listeners = g_ptr_array_new();
    mem->page_size = (uint64_t)sysconf(_SC_PAGESIZE);
    atomic_init(&mem->generation, 1);
    pthread_mutex_init(&mem->pins_lock, NULL);
    mem->pins = g_array_new(FALSE, FALSE, sizeof(GmemPin));
    return mem;
}

static GmemRegion *region_nth(GuestMemory *mem, unsigned i)
{
    return g_ptr_array_index(mem->regions, i);
}

/* --- lookup --- */

/* Index of the first region that ends above addr; the number of regions when there is none. */
static unsigned region_lower_bound(GuestMemory *mem, uint64_t addr)
{
    unsigned lo = 0, hi = mem->regions->len;

    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        const GmemRegion *r = region_nth(mem, mid);

        if (r->gpa.v + (r->size - 1) < addr) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

static const GmemRegion *region_find_slow(GuestMemory *mem, uint64_t addr)
{
    unsigned i = region_lower_bound(mem, addr);
    const GmemRegion *r = i < mem->regions->len ? region_nth(mem, i) : NULL;

    if (!r || addr < r->gpa.v) {
        return NULL;
    }
    atomic_store_explicit(&mem->last_hit, i, memory_order_relaxed); /* a hint: no partner */
    return r;
}

static inline const GmemRegion *region_find(GuestMemory *mem, uint64_t addr)
{
    unsigned i = atomic_load_explicit(&mem->last_hit, memory_order_relaxed);

    if (G_LIKELY(i < mem->regions->len)) {
        const GmemRegion *r = region_nth(mem, i);

        if (G_LIKELY(addr - r->gpa.v < r->size)) {
            return r;
        }
    }
    return region_find_slow(mem, addr);
}

/* Host memory at addr and the bytes that follow in its region; NULL and 0 outside RAM. */
static inline uint8_t *span_at(GuestMemory *mem, uint64_t addr, uint64_t *ret_len)
{
    const GmemRegion *r = region_find(mem, addr);

    if (!r) {
        *ret_len = 0;
        return NULL;
    }
    *ret_len = r->size - (addr - r->gpa.v);
    return r->host + (addr - r->gpa.v);
}

bool gmem_contains(GuestMemory *mem, Gpa gpa, uint64_t len)
{
    uint64_t addr = gpa.v, n;

    if (len && addr + (len - 1) < addr) {
        return false;
    }
    while (len) {
        if (!span_at(mem, addr, &n)) {
            return false;
        }
        n = MIN(n, len);
        addr += n;
        len -= n;
    }
    return true;
}

unsigned gmem_region_count(GuestMemory *mem)
{
    return mem->regions->len;
}

const GmemRegion *gmem_region(GuestMemory *mem, unsigned i)
{
    g_assert(i < mem->regions->len);
    return region_nth(mem, i);
}

uint64_t gmem_size(GuestMemory *mem)
{
    uint64_t size = 0;

    for (unsigned i = 0; i < mem->regions->len; i++) {
        size += region_nth(mem, i)->size;
    }
    return size;
}

uint64_t gmem_generation(GuestMemory *mem)
{
    return atomic_load_explicit(&mem->generation,
                                memory_order_acquire); /* pairs with table_changed */
}

/* --- adding and removing regions --- */

static void table_changed(GuestMemory *mem)
{
    atomic_store_explicit(&mem->last_hit, 0, memory_order_relaxed);
    atomic_fetch_add_explicit(&mem->generation, 1,
                              memory_order_release); /* pairs with gmem_generation */
}

static bool place_check(GuestMemory *mem, Gpa gpa, uint64_t size, GError **err)
{
    unsigned i;

    if (!size || size > INT64_MAX / 2) {
        return error_set(err, "RAM size %" PRIu64 " is not possible", size);
    }
    if (gpa.v % mem->page_size || size % mem->page_size) {
        return error_set(err,
                         "RAM of %#" PRIx64 " bytes at %#" PRIx64 " is not aligned to %" PRIu64
                         " byte pages",
                         size, gpa.v, mem->page_size);
    }
    if (gpa.v + (size - 1) < gpa.v) {
        return error_set(
            err, "RAM of %#" PRIx64 " bytes at %#" PRIx64 " passes the end of the address space",
            size, gpa.v);
    }
    i = region_lower_bound(mem, gpa.v);
    if (i < mem->regions->len && region_nth(mem, i)->gpa.v <= gpa.v + (size - 1)) {
        return error_set(err, "RAM of %#" PRIx64 " bytes at %#" PRIx64 " overlaps RAM at %#" PRIx64,
                         size, gpa.v, region_nth(mem, i)->gpa.v);
    }
    return true;
}

static unsigned slot_unused(GuestMemory *mem)
{
    unsigned slot = 0;

    for (unsigned i = 0; i < mem->regions->len; i++) {
        if (region_nth(mem, i)->slot == slot) {
            slot++;
            i = -1U; /* from the start again */
        }
    }
    return slot;
}

static void region_detach(GuestMemory *mem, GmemRegion *r, unsigned listeners)
{
    for (unsigned i = 0; i < listeners; i++) {
        GmemListener *l = g_ptr_array_index(mem->listeners, i);

        l->region_del(l, r);
    }
    g_ptr_array_remove(mem->regions, r);
    table_changed(mem);
    region_free(r);
}

static GmemRegion *region_attach(GuestMemory *mem, Gpa gpa, GmemBlock *b, uint64_t off,
                                 uint64_t size, GError **err)
{
    GmemRegion *r = g_new(GmemRegion, 1);

    *r = (GmemRegion){.gpa = gpa,
                      .size = size,
                      .host = b->host + off,
                      .backing = b->fd >= 0 ? GMEM_MEMFD : GMEM_ANONYMOUS,
                      .fd = b->fd,
                      .fd_offset = b->fd_offset + off,
                      .page_size = b->page_size,
                      .discard = b->discard,
                      .block = gmem_block_ref(b),
                      .slot = slot_unused(mem)};
    g_ptr_array_insert(mem->regions, (int)region_lower_bound(mem, r->gpa.v), r);
    table_changed(mem);
    for (unsigned i = 0; i < mem->listeners->len; i++) {
        GmemListener *l = g_ptr_array_index(mem->listeners, i);

        if (!l->region_add(l, r, err)) {
            region_detach(mem, r, i);
            return NULL;
        }
    }
    return r;
}

static bool place_check_block(GuestMemory *mem, Gpa gpa, const GmemBlock *b, uint64_t off,
                              uint64_t size, GError **err)
{
    g_assert(off <= b->size && size <= b->size - off);
    if (off % b->page_size || size % b->page_size) {
        return error_set(err,
                         "RAM of %#" PRIx64 " bytes at %#" PRIx64
                         " is not made of whole pages of %" PRIu64 " bytes",
                         size, gpa.v, b->page_size);
    }
    return place_check(mem, gpa, size, err);
}

bool gmem_add_block(GuestMemory *mem, Gpa gpa, GmemBlock *b, uint64_t off, uint64_t size,
                    GError **err)
{
    return place_check_block(mem, gpa, b, off, size, err) &&
           region_attach(mem, gpa, b, off, size, err);
}

bool gmem_add_block_split(GuestMemory *mem, GmemBlock *b, uint64_t low_size, Gpa high,
                          uint64_t high_size, GError **err)
{
    GmemRegion *first;

    if (!high_size) {
        return gmem_add_block(mem, GPA(0), b, 0, low_size, err);
    }
    if (!place_check_block(mem, GPA(0), b, 0, low_size, err) ||
        !place_check_block(mem, high, b, low_size, high_size, err)) {
        return false;
    }
    if (high.v < low_size) {
        return error_set(err, "RAM at %#" PRIx64 " overlaps RAM below %#" PRIx64, high.v, low_size);
    }
    first = region_attach(mem, GPA(0), b, 0, low_size, err);
    if (!first) {
        return false;
    }
    if (!region_attach(mem, high, b, low_size, high_size, err)) {
        region_detach(mem, first, mem->listeners->len);
        return false;
    }
    return true;
}

static GmemBlock *block_of(uint64_t size, GmemBacking backing, GError **err)
{
    GmemBlockSpec spec = {.size = size, .share = backing == GMEM_MEMFD};

    return gmem_block_new(&spec, err);
}

bool gmem_add(GuestMemory *mem, Gpa gpa, uint64_t size, GmemBacking backing, GError **err)
{
    g_autoptr(GmemBlock) b = place_check(mem, gpa, size, err) ? block_of(size, backing, err) : NULL;

    return b && gmem_add_block(mem, gpa, b, 0, size, err);
}

bool gmem_add_split(GuestMemory *mem, uint64_t low_size, Gpa high, uint64_t high_size,
                    GmemBacking backing, GError **err)
{
    g_autoptr(GmemBlock) b = NULL;

    if (!place_check(mem, GPA(0), low_size, err) ||
        (high_size && !place_check(mem, high, high_size, err))) {
        return false;
    }
    b = block_of(low_size + high_size, backing, err);
    return b && gmem_add_block_split(mem, b, low_size, high, high_size, err);
}

bool gmem_remove(GuestMemory *mem, Gpa gpa, GError **err)
{
    const GmemRegion *r = region_find(mem, gpa.v);

    if (!r || r->gpa.v != gpa.v) {
        return error_set(err, "no RAM begins at %#" PRIx64, gpa.v);
    }
    region_detach(mem, (GmemRegion *)r, mem->listeners->len);
    return true;
}

void gmem_free(GuestMemory *mem)
{
    if (!mem) {
        return;
    }
    while (mem->regions->len) {
        region_detach(mem, region_nth(mem, mem->regions->len - 1), mem->listeners->len);
    }
    g_ptr_array_free(mem->regions, TRUE);
    g_ptr_array_free(mem->listeners, TRUE);
    g_array_free(mem->pins, TRUE);
    pthread_mutex_destroy(&mem->pins_lock);
    g_free(mem);
}

/* --- checked copies --- */

typedef enum { COPY_READ, COPY_WRITE, COPY_SET } CopyKind;

/* Any range: across regions, of no length, or bad. The whole of it is checked before the first byte
 * moves. */
static bool copy_spans(GuestMemory *mem, Gpa gpa, uint8_t *buf, uint8_t byte, size_t len,
                       CopyKind kind)
{
    uint64_t addr = gpa.v, n;

    if (!gmem_contains(mem, gpa, len)) {
        return false;
    }
    for (; len; len -= n, addr += n) {
        uint8_t *host = span_at(mem, addr, &n);

        n = MIN(n, len);
        switch (kind) {
        case COPY_READ:
            memcpy(buf, host, n);
            buf += n;
            break;
        case COPY_WRITE:
            memcpy(host, buf, n);
            buf += n;
            break;
        case COPY_SET:
            memset(host, byte, n);
            break;
        }
    }
    return true;
}

/* In the three below, len - 1 sends a length of 0 the slow way too: its pointer may be NULL. */

bool gmem_read(GuestMemory *mem, Gpa gpa, void *dst, size_t len)
{
    uint64_t n;
    const uint8_t *host = span_at(mem, gpa.v, &n);

    if (G_LIKELY(host && len - 1 < n)) {
        memcpy(dst, host, len);
        return true;
    }
    return copy_spans(mem, gpa, dst, 0, len, COPY_READ);
}

bool gmem_write(GuestMemory *mem, Gpa gpa, const void *src, size_t len)
{
    uint64_t n;
    uint8_t *host = span_at(mem, gpa.v, &n);

    if (G_LIKELY(host && len - 1 < n)) {
        memcpy(host, src, len);
        return true;
    }
    return copy_spans(mem, gpa, (uint8_t *)src, 0, len, COPY_WRITE);
}

bool gmem_set(GuestMemory *mem, Gpa gpa, uint8_t byte, size_t len)
{
    uint64_t n;
    uint8_t *host = span_at(mem, gpa.v, &n);

    if (G_LIKELY(host && len - 1 < n)) {
        memset(host, byte, len);
        return true;
    }
    return copy_spans(mem, gpa, NULL, byte, len, COPY_SET);
}

bool gmem_read_file(GuestMemory *mem, Gpa gpa, int fd, uint64_t off, uint64_t len, GError **err)
{
    uint64_t done = 0, n;

    if (!gmem_contains(mem, gpa, len)) {
        return error_set(err, "%#" PRIx64 " bytes at guest address %#" PRIx64 " do not fit in RAM",
                         len, gpa.v);
    }
    while (done < len) {
        uint8_t *host = span_at(mem, gpa.v + done, &n);
        ssize_t got = pread(fd, host, MIN(MIN(n, len - done), READ_AT_ONCE), (off_t)(off + done));

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got < 0) {
            return error_set_errno(
                err, errno, "cannot read %" PRIu64 " bytes at file offset %" PRIu64, len, off);
        }
        if (!got) {
            return error_set(err,
                             "the file is too short: it ends at %" PRIu64 ", %" PRIu64
                             " bytes are wanted from offset %" PRIu64,
                             off + done, len, off);
        }
        done += (uint64_t)got;
    }
    return true;
}

int gmem_iov(GuestMemory *mem, Gpa gpa, uint64_t len, struct iovec *iov, unsigned max)
{
    uint64_t addr = gpa.v, n;
    unsigned count = 0;

    if (len && addr + (len - 1) < addr) {
        return -1;
    }
    for (; len; len -= n, addr += n) {
        uint8_t *host = span_at(mem, addr, &n);

        if (!host || count == max) {
            return -1;
        }
        n = MIN(n, len);
        iov[count++] = (struct iovec){.iov_base = host, .iov_len = n};
    }
    return (int)count;
}

bool gmem_map(GuestMemory *mem, Gpa gpa, uint64_t len, GmemMap *ret_map)
{
    uint64_t n;
    uint8_t *host = span_at(mem, gpa.v, &n);

    if (!host || !len || len > n) {
        return false;
    }
    *ret_map = (GmemMap){.host = host, .len = len, .generation = gmem_generation(mem)};
    return true;
}

/* --- pins --- */

void gmem_pin(GuestMemory *mem, Gpa gpa, uint64_t len)
{
    GmemPin pin = {gpa.v, len};

    pthread_mutex_lock(&mem->pins_lock);
    g_array_append_val(mem->pins, pin);
    pthread_mutex_unlock(&mem->pins_lock);
}

void gmem_unpin(GuestMemory *mem, Gpa gpa, uint64_t len)
{
    bool found = false;

    pthread_mutex_lock(&mem->pins_lock);
    for (unsigned i = mem->pins->len; i-- > 0 && !found;) {
        const GmemPin *pin = &g_array_index(mem->pins, GmemPin, i);

        if (pin->gpa == gpa.v && pin->len == len) {
            g_array_remove_index_fast(mem->pins, i);
            found = true;
        }
    }
    pthread_mutex_unlock(&mem->pins_lock);
    g_assert(found);
}

bool gmem_pinned(GuestMemory *mem, Gpa gpa, uint64_t len)
{
    bool found = false;

    pthread_mutex_lock(&mem->pins_lock);
    for (unsigned i = 0; i < mem->pins->len && !found; i++) {
        const GmemPin *pin = &g_array_index(mem->pins, GmemPin, i);

        found = pin->gpa < gpa.v ? gpa.v - pin->gpa < pin->len : pin->gpa - gpa.v < len && pin->len;
    }
    pthread_mutex_unlock(&mem->pins_lock);
    return found;
}

/* --- listeners --- */

static void listener_forget(GuestMemory *mem, GmemListener *listener, unsigned regions)
{
    while (regions) {
        listener->region_del(listener, region_nth(mem, --regions));
    }
}

bool gmem_listen(GuestMemory *mem, GmemListener *listener, GError **err)
{
    for (unsigned i = 0; i < mem->regions->len; i++) {
        if (!listener->region_add(listener, region_nth(mem, i), err)) {
            listener_forget(mem, listener, i);
            return false;
        }
    }
    g_ptr_array_add(mem->listeners, listener);
    return true;
}

void gmem_unlisten(GuestMemory *mem, GmemListener *listener)
{
    if (g_ptr_array_remove(mem->listeners, listener)) {
        listener_forget(mem, listener, mem->regions->len);
    }
}
