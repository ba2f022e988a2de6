/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sorting page numbers: what guests send is often ascending or descending; the rest is a radix
 * sort.
 */
#include "core/given.h"

/* One pass of a radix sort, by the byte at shift. */
static void sort_pass(const uint32_t *from, uint32_t *to, unsigned n, unsigned shift)
{
    unsigned at[257] = {0};

    for (unsigned i = 0; i < n; i++) {
        at[(uint8_t)(from[i] >> shift) + 1]++;
    }
    for (unsigned v = 1; v < 256; v++) {
        at[v] += at[v - 1];
    }
    for (unsigned i = 0; i < n; i++) {
        to[at[(uint8_t)(from[i] >> shift)]++] = from[i];
    }
}

static void reverse(uint32_t *pfns, unsigned n)
{
    for (unsigned i = 0; i < n / 2; i++) {
        uint32_t low = pfns[n - 1 - i];

        pfns[n - 1 - i] = pfns[i];
        pfns[i] = low;
    }
}

void given_sort(uint32_t *pfns, unsigned n)
{
    bool ascending = true, descending = true; /* equal neighbours allowed */
    uint32_t other[GIVEN_SORT_MAX];

    g_assert(n <= GIVEN_SORT_MAX);
    for (unsigned i = 1; i < n; i++) {
        ascending &= pfns[i] >= pfns[i - 1];
        descending &= pfns[i] <= pfns[i - 1];
    }
    if (ascending) {
        return;
    }
    if (descending) {
        reverse(pfns, n);
        return;
    }
    for (unsigned shift = 0; shift < 32; shift += 16) {
        sort_pass(pfns, other, n, shift);
        sort_pass(other, pfns, n, shift + 8);
    }
}
