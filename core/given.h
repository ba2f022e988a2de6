/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that a guest has given up: which pages, which of them the host really has back, and a ledger of both.
 *
 * Memory is given in pages of 4 KiB, the host has it in larger ones. A unit (2 MiB, or the page of hugetlbfs) goes back
 * as a whole when the guest has given its last page, however many requests that took; until then its pages are held
 * back, because taking 4 KiB out of a huge page splits it and frees nothing. When the guest has settled, given_settle
 * lets go of what is worth a split.
 *
 * That is safe only while the guest tells before it uses a given page again (VIRTIO_BALLOON_F_MUST_TELL_HOST): a page
 * held back may be discarded long after it was given. Without that promise (given_set_told false) whatever is
 * discarded was named by the present request.
 *
 * Threads: whoever serves the balloon; one at a time.
 */
#ifndef AEROSTAT_CORE_GIVEN_H
#define AEROSTAT_CORE_GIVEN_H

#include "core/gmem.h"
#include "qom/object.h"

typedef struct GivenPages GivenPages;

typedef enum {
    GIVEN_AUTO,    /* units of 2 MiB; incomplete ones are split when that pays */
    GIVEN_4K,      /* each page at once */
    GIVEN_2M,      /* units of 2 MiB, never split */
} GivenGranule;

enum { GIVEN_PAGE = 4096 };

/*
 * All in bytes, but for the last two. These hold at any time:
 *     inflate_named = inflated + repeated + inflate_outside + inflate_in_use
 *     deflate_named = deflated + deflate_not_given
 *     inflated      = deflated + forgotten + given
 *     given         = released + held_back
 *     returned      = released + released_ended
 *     reported      = report_returned + report_left
 * Only given, released and held_back ever shrink.
 */
typedef struct {
    uint64_t inflate_named;     /* page numbers in inflate requests */
    uint64_t inflated;          /* of them: given by this */
    uint64_t repeated;          /* given already */
    uint64_t inflate_outside;   /* not RAM */
    uint64_t inflate_in_use;    /* pinned: rings at work */
    uint64_t deflate_named, deflated;
    uint64_t deflate_not_given; /* taken back, but never given, or not RAM */
    uint64_t forgotten;         /* given when the driver was reset */
    uint64_t given;             /* now */
    uint64_t released;          /* of given: the host has it */
    uint64_t held_back;         /* of given: the host does not: incomplete units, and what it refused */
    uint64_t returned;          /* every byte when it became released */
    uint64_t released_ended;    /* every byte when it stopped to be: deflated, forgotten */
    uint64_t refused;           /* discards that the host did not take */
    uint64_t reported;          /* free page reports */
    uint64_t report_returned;   /* of them: discarded */
    uint64_t report_left;       /* parts of pages, named twice, in use, given, with poison, refused */
    uint64_t faulted_again;     /* released memory that given_faulted_again found resident, every byte once per release */
    uint64_t prefaulted;        /* populated when deflated */
    uint64_t discards;          /* system calls */
    uint64_t time_ns;           /* spent in all of this */
} GivenLedger;

GivenPages *given_new(GuestMemory *mem, GivenGranule granule, bool prefault);
void given_free(GivenPages *g); /* NULL is fine */
void given_memory(const GivenPages *g, MemoryTell *tell, void *opaque); /* see ObjectClass.memory */

/* Does the guest tell before it uses a given page? Before the first inflate after given_forget. */
void given_set_told(GivenPages *g, bool told);

/* Page numbers (of 4 KiB), sorted; equal ones are allowed. */
void given_inflate(GivenPages *g, const uint32_t *pfns, unsigned n);
void given_deflate(GivenPages *g, const uint32_t *pfns, unsigned n);

/* Free pages as host memory inside of RAM: [iov, iov + n) in any order, n at most GIVEN_REPORT_MAX. take false: they
 * are only counted. Nothing is remembered of them: the guest may use them when the request is done. */
enum { GIVEN_REPORT_MAX = 256 };
void given_report(GivenPages *g, const struct iovec *iov, unsigned n, bool take);

/* The guest is gone (reset): nothing is given any more. */
void given_forget(GivenPages *g);

/* The guest has not given anything for a while: releases held back pages where that is worth it. Makes at most
 * `budget` system calls; true: there is more to do. */
bool given_settle(GivenPages *g, unsigned budget);

const GivenLedger *given_ledger(const GivenPages *g);

/* Bytes of released memory that are resident in the host nevertheless, as it says now (pagemap, mincore): used by the
 * guest without a word, or brought in with a huge page. Slow. */
uint64_t given_faulted_again(GivenPages *g);

/* Sorts page numbers: at most GIVEN_SORT_MAX of them, the fastest when they ascend or descend already. */
enum { GIVEN_SORT_MAX = 1024 };
void given_sort(uint32_t *pfns, unsigned n);

#endif
