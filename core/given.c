/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Given pages: bitmaps per RAM region, and the ledger. What the host does about them is in
 * given-host.c.
 */
#include "core/given-internal.h"

#include <string.h>

GivenPages *given_new(GuestMemory *mem, GivenGranule granule, bool prefault)
{
    GivenPages *g = g_new0(GivenPages, 1);

    g->mem = mem;
    g->granule = granule;
    g->prefault = prefault;
    return g;
}

static void region_finish(GivenRegion *r)
{
    g_free(r->given);
    g_free(r->gone);
    g_free(r->again);
    g_free(r->count);
}

void given_free(GivenPages *g)
{
    if (!g) {
        return;
    }
    for (unsigned i = 0; i < g->n_regions; i++) {
        region_finish(&g->regions[i]);
    }
    g_free(g->regions);
    g_free(g);
}

const GivenLedger *given_ledger(const GivenPages *g)
{
    return &g->ledger;
}

void given_set_told(GivenPages *g, bool told)
{
    g->told = told;
}

/* --- bits --- */

/* The bits of word w that lie in [from, to). */
static uint64_t word_mask(uint64_t w, uint64_t from, uint64_t to)
{
    uint64_t mask = UINT64_MAX, base = w * GIVEN_WORD;

    if (from > base) {
        mask &= UINT64_MAX << (from - base);
    }
    if (to < base + GIVEN_WORD) {
        mask &= UINT64_MAX >> (base + GIVEN_WORD - to);
    }
    return mask;
}

uint64_t given_bits_count(const uint64_t *bits, uint64_t from, uint64_t to)
{
    uint64_t n = 0;

    for (uint64_t w = from / GIVEN_WORD; w * GIVEN_WORD < to; w++) {
        n += (uint64_t)__builtin_popcountll(bits[w] & word_mask(w, from, to));
    }
    return n;
}

uint64_t given_bits_set(uint64_t *bits, uint64_t from, uint64_t to)
{
    uint64_t n = 0;

    for (uint64_t w = from / GIVEN_WORD; w * GIVEN_WORD < to; w++) {
        uint64_t mask = word_mask(w, from, to);

        n += (uint64_t)__builtin_popcountll(~bits[w] & mask);
        bits[w] |= mask;
    }
    return n;
}

uint64_t given_bits_clear(uint64_t *bits, uint64_t from, uint64_t to)
{
    uint64_t n = 0;

    for (uint64_t w = from / GIVEN_WORD; w * GIVEN_WORD < to; w++) {
        uint64_t mask = word_mask(w, from, to);

        n += (uint64_t)__builtin_popcountll(bits[w] & mask);
        bits[w] &= ~mask;
    }
    return n;
}

/* --- regions --- */

static void region_init(GivenPages *g, GivenRegion *r, const GmemRegion *region)
{
    uint64_t unit = g->granule == GIVEN_4K ? GIVEN_PAGE : GIVEN_HUGE, words;

    *r = (GivenRegion){.region = *region, .pages = region->size / GIVEN_PAGE};
    unit = MAX(unit, region->page_size);
    r->unit = unit / GIVEN_PAGE;
    r->skew = ((uintptr_t)region->host & (unit - 1)) / GIVEN_PAGE;
    words = (r->pages + GIVEN_WORD - 1) / GIVEN_WORD;
    r->given = g_new0(uint64_t, words);
    r->gone = g_new0(uint64_t, words);
    r->again = g_new0(uint64_t, words);
    r->count = r->unit > 1 ? g_new0(uint32_t, given_unit_of(r, r->pages - 1) + 1) : NULL;
}

void given_memory(const GivenPages *g, MemoryTell *tell, void *opaque)
{
    for (unsigned i = 0; i < g->n_regions; i++) {
        const GivenRegion *r = &g->regions[i];
        size_t bytes = (r->pages + GIVEN_WORD - 1) / GIVEN_WORD * sizeof *r->given;

        tell(opaque, MEMORY_BUFFER, r->given, bytes);
        tell(opaque, MEMORY_BUFFER, r->gone, bytes);
        tell(opaque, MEMORY_BUFFER, r->again, bytes);
        if (r->count) {
            tell(opaque, MEMORY_BUFFER, r->count,
                 (given_unit_of(r, r->pages - 1) + 1) * sizeof *r->count);
        }
    }
}

/* Nothing of [from, to) is given any more. */
static uint64_t take_back(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    uint64_t given = given_bits_clear(r->given, from, to) * GIVEN_PAGE;
    uint64_t gone = given_bits_clear(r->gone, from, to) * GIVEN_PAGE;

    (void)given_bits_clear(r->again, from, to);
    g->ledger.given -= given;
    g->ledger.released -= gone;
    g->ledger.released_ended += gone;
    g->ledger.held_back -= given - gone;
    return given;
}

static GivenRegion *region_like(GivenPages *g, const GmemRegion *region)
{
    for (unsigned i = 0; i < g->n_regions; i++) {
        const GmemRegion *r = &g->regions[i].region;

        if (r->gpa.v == region->gpa.v && r->size == region->size && r->host == region->host) {
            return &g->regions[i];
        }
    }
    return NULL;
}

/* RAM came or went: what is still there keeps its bits. */
static void regions_update(GivenPages *g)
{
    unsigned n = gmem_region_count(g->mem);
    GivenRegion *regions, *old;

    if (g->generation == gmem_generation(g->mem)) {
        return;
    }
    regions = g_new0(GivenRegion, n);
    for (unsigned i = 0; i < n; i++) {
        old = region_like(g, gmem_region(g->mem, i));
        if (old) {
            regions[i] = *old;
            regions[i].region = *gmem_region(g->mem, i);
            memset(old, 0, sizeof *old);
        } else {
            region_init(g, &regions[i], gmem_region(g->mem, i));
        }
    }
    for (unsigned i = 0; i < g->n_regions; i++) {
        if (g->regions[i].given) {
            g->ledger.forgotten += take_back(g, &g->regions[i], 0, g->regions[i].pages);
            region_finish(&g->regions[i]);
        }
    }
    g_free(g->regions);
    g->regions = regions;
    g->n_regions = n;
    g->generation = gmem_generation(g->mem);
    g->settle_region = 0;
    g->settle_unit = 0;
}

void given_forget(GivenPages *g)
{
    for (unsigned i = 0; i < g->n_regions && g->ledger.given > 0; i++) {
        GivenRegion *r = &g->regions[i];

        g->ledger.forgotten += take_back(g, r, 0, r->pages);
        if (r->count) {
            memset(r->count, 0, (given_unit_of(r, r->pages - 1) + 1) * sizeof *r->count);
        }
    }
}

/* The region at page number pfn, or the next one above; NULL: none. *ret_start: its first page
 * number. */
static GivenRegion *region_at(GivenPages *g, uint64_t pfn, uint64_t *ret_start)
{
    for (unsigned i = 0; i < g->n_regions; i++) {
        GivenRegion *r = &g->regions[i];
        uint64_t start = r->region.gpa.v / GIVEN_PAGE;

        if (pfn < start + r->pages) {
            *ret_start = start;
            return r;
        }
    }
    return NULL;
}

/* --- inflate --- */

/* Pages [from, to) of one unit. */
static void inflate_unit(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    uint64_t u = given_unit_of(r, from);
    uint64_t unit_from = given_unit_from(r, u), unit_to = given_unit_to(r, u);
    uint64_t newly = given_bits_set(r->given, from, to);

    r->count[u] += (uint32_t)newly;
    g->ledger.inflated += newly * GIVEN_PAGE;
    g->ledger.repeated += (to - from - newly) * GIVEN_PAGE;
    g->ledger.given += newly * GIVEN_PAGE;
    g->ledger.held_back += newly * GIVEN_PAGE;
    if (g->told) {
        if (newly > 0 && r->count[u] == unit_to - unit_from) {
            given_discard(g, r, unit_from, unit_to);
        }
    } else if (from == unit_from && to == unit_to) {
        given_discard(g, r, from, to);
    } else if (g->granule != GIVEN_2M) { /* now or never */
        uint64_t least = given_host_page(r);

        from = (from + r->skew + least - 1) / least * least - r->skew;
        to = (to + r->skew) / least * least - r->skew;
        if (from < to) {
            given_discard(g, r, from, to);
        }
    }
}

/* Pages [from, to), each a unit. Those given before are left alone if the guest keeps its word. */
static void inflate_pages(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    bool fresh = given_bits_count(r->given, from, to) == 0;
    uint64_t newly;

    for (uint64_t p = from; p < to && g->told && !fresh; p++) {
        if (!given_bit(r->given, p)) {
            given_discard(g, r, p, p + 1);
        }
    }
    newly = given_bits_set(r->given, from, to);
    g->ledger.inflated += newly * GIVEN_PAGE;
    g->ledger.repeated += (to - from - newly) * GIVEN_PAGE;
    g->ledger.given += newly * GIVEN_PAGE;
    g->ledger.held_back += newly * GIVEN_PAGE;
    if (!g->told || fresh) {
        given_discard(g, r, from, to);
    }
}

/* Pages [from, to) of a region, none of them in use. */
static void inflate_range(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    if (!r->count) {
        inflate_pages(g, r, from, to);
        return;
    }
    for (uint64_t next; from < to; from = next) {
        next = MIN(to, given_unit_to(r, given_unit_of(r, from)));
        inflate_unit(g, r, from, next);
    }
}

static bool in_use(GivenPages *g, const GivenRegion *r, uint64_t from, uint64_t to)
{
    return gmem_pinned(g->mem, gpa_add(r->region.gpa, from * GIVEN_PAGE), (to - from) * GIVEN_PAGE);
}

static void inflate_region(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    if (!in_use(g, r, from, to)) {
        inflate_range(g, r, from, to);
        return;
    }
    for (; from < to; from++) {
        if (in_use(g, r, from, from + 1)) {
            g->ledger.inflate_in_use += GIVEN_PAGE;
        } else {
            inflate_range(g, r, from, from + 1);
        }
    }
}

/* --- deflate --- */

/* The pages will be used: better now than with a vCPU waiting for each. Advice, so failure is
 * nothing. */
static void prefault(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    if (gmem_region_populate(&r->region, from * GIVEN_PAGE, (to - from) * GIVEN_PAGE)) {
        g->ledger.prefaulted += (to - from) * GIVEN_PAGE;
    }
}

static void deflate_region(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to)
{
    uint64_t taken = 0;

    if (g->prefault && given_bits_count(r->given, from, to) == to - from) {
        prefault(g, r, from, to);
    }
    for (uint64_t next; from < to; from = next) {
        uint64_t u = given_unit_of(r, from), given;

        next = r->count ? MIN(to, given_unit_to(r, u)) : to;
        given = take_back(g, r, from, next);
        taken += given;
        g->ledger.deflate_not_given += (next - from) * GIVEN_PAGE - given;
        if (r->count) {
            r->count[u] -= (uint32_t)(given / GIVEN_PAGE);
        }
    }
    g->ledger.deflated += taken;
}

/* --- page numbers --- */

typedef void (*RangeFn)(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to);

/* Pages [first, end): fn for what lies in regions. Returns how many do not. */
static uint64_t split_by_region(GivenPages *g, uint64_t first, uint64_t end, RangeFn fn)
{
    uint64_t outside = 0, start;

    while (first < end) {
        GivenRegion *r = region_at(g, first, &start);
        uint64_t from, to;

        if (!r || start >= end) {
            return outside + (end - first);
        }
        from = MAX(first, start);
        to = MIN(end, start + r->pages);
        outside += from - first;
        fn(g, r, from - start, to - start);
        first = to;
    }
    return outside;
}

/* Sorted page numbers as ranges. *ret_outside: pages that are not RAM, *ret_twice: equal ones. */
static void each_range(GivenPages *g, const uint32_t *pfns, unsigned n, RangeFn fn,
                       uint64_t *ret_outside, uint64_t *ret_twice)
{
    *ret_outside = *ret_twice = 0;
    for (unsigned i = 0; i < n;) {
        uint32_t first = pfns[i], last = first;

        while (++i < n && pfns[i] - last <= 1) {
            *ret_twice += pfns[i] == last;
            last = pfns[i];
        }
        *ret_outside += split_by_region(g, first, (uint64_t)last + 1, fn);
    }
}

void given_inflate(GivenPages *g, const uint32_t *pfns, unsigned n)
{
    int64_t start = given_now();
    uint64_t outside, twice;

    regions_update(g);
    each_range(g, pfns, n, inflate_region, &outside, &twice);
    given_discard_flush(g);
    g->ledger.inflate_named += (uint64_t)n * GIVEN_PAGE;
    g->ledger.inflate_outside += outside * GIVEN_PAGE;
    g->ledger.repeated += twice * GIVEN_PAGE;
    g->ledger.time_ns += (uint64_t)(given_now() - start);
}

void given_deflate(GivenPages *g, const uint32_t *pfns, unsigned n)
{
    int64_t start = given_now();
    uint64_t outside, twice;

    regions_update(g);
    each_range(g, pfns, n, deflate_region, &outside, &twice);
    g->ledger.deflate_named += (uint64_t)n * GIVEN_PAGE;
    g->ledger.deflate_not_given += (outside + twice) * GIVEN_PAGE;
    g->ledger.time_ns += (uint64_t)(given_now() - start);
}
