/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What given.c (pages in and out) and given-host.c (what the host does about it) share.
 */
#ifndef AEROSTAT_CORE_GIVEN_INTERNAL_H
#define AEROSTAT_CORE_GIVEN_INTERNAL_H

#include "core/given.h"

enum { GIVEN_HUGE = 2 << 20, GIVEN_WORD = 64 };

/* A region of RAM. Pages and units count from its start; the first unit may begin before it. */
typedef struct {
    GmemRegion region;     /* as it was when noted */
    uint64_t pages;
    uint64_t unit;         /* pages of a unit */
    uint64_t skew;         /* pages of the first unit that lie before the region */
    uint64_t *given, *gone; /* bits: given; given and discarded */
    uint64_t *again;       /* bits: gone, and resident again when that was last checked */
    uint32_t *count;       /* pages given, per unit; NULL: units are single pages */
} GivenRegion;

struct GivenPages {
    GuestMemory *mem;
    GivenGranule granule;
    bool prefault, told;
    GivenLedger ledger;
    uint64_t generation;   /* of mem, when regions was made; 0: never */
    GivenRegion *regions;
    unsigned n_regions;
    struct {               /* a range to be discarded, still growing; region NULL: none */
        GivenRegion *region;
        uint64_t from, to; /* pages */
    } run;
    uint32_t settle_min;   /* pages that are worth a split; 0: not measured yet */
    unsigned settle_region;
    uint64_t settle_unit;  /* where given_settle goes on */
};

/* Bits [from, to): how many are set; sets or clears them all, and says how many changed. */
uint64_t given_bits_count(const uint64_t *bits, uint64_t from, uint64_t to);
uint64_t given_bits_set(uint64_t *bits, uint64_t from, uint64_t to);
uint64_t given_bits_clear(uint64_t *bits, uint64_t from, uint64_t to);

static inline bool given_bit(const uint64_t *bits, uint64_t at)
{
    return bits[at / GIVEN_WORD] >> (at % GIVEN_WORD) & 1;
}

/* The unit of a page, and a unit's pages within its region. */
static inline uint64_t given_unit_of(const GivenRegion *r, uint64_t page) { return (page + r->skew) / r->unit; }
static inline uint64_t given_unit_from(const GivenRegion *r, uint64_t u) { return u ? u * r->unit - r->skew : 0; }
static inline uint64_t given_unit_to(const GivenRegion *r, uint64_t u)
{
    return MIN((u + 1) * r->unit - r->skew, r->pages);
}

/* Smaller pieces cannot go back: the host's page, in pages of 4 KiB. */
static inline uint64_t given_host_page(const GivenRegion *r) { return r->region.page_size / GIVEN_PAGE; }

/* Pages [from, to) are to be discarded; neighbours become one call. All of them are given. */
void given_discard(GivenPages *g, GivenRegion *r, uint64_t from, uint64_t to);
void given_discard_flush(GivenPages *g);
int64_t given_now(void);

#endif
