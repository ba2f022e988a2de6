/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latencies of the recent past, for query-blockstats' timed_stats. Two windows as long as the interval, half of it apart,
 * count each request; the one that began earlier is looked at, so what is told is at least half the interval.
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_TIMED_H
#define AEROSTAT_BACKENDS_BLOCK_TIMED_H

#include "backends/block.h"

typedef struct BlockTimed BlockTimed;

/* seconds above 0; now as below. */
BlockTimed *block_timed_new(uint32_t seconds, int64_t now);
void block_timed_free(BlockTimed *t); /* NULL is fine */
uint32_t block_timed_seconds(const BlockTimed *t);
/* A request took ns and ended now (CLOCK_MONOTONIC, ns). Any thread. */
void block_timed_count(BlockTimed *t, BlockOp op, int64_t now, uint64_t ns);

typedef struct {
    uint64_t min, max, avg;       /* ns; 0: there was no request */
    double depth;                 /* requests at a time, on average */
} BlockTimedSum;
/* Of reads, writes (zeroes included) or flushes. Any thread. */
void block_timed_sum(BlockTimed *t, BlockOp op, int64_t now, BlockTimedSum *ret_sum);

#endif
