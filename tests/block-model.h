/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The integrity test of block backends: batches of random requests against a copy in memory.
 */
#ifndef AEROSTAT_TESTS_BLOCK_MODEL_H
#define AEROSTAT_TESTS_BLOCK_MODEL_H

#include "block-fixture.h"

typedef struct {
    uint32_t seed;
    unsigned batches;
    unsigned align;     /* of offsets and lengths; at least 512 */
    unsigned misalign;  /* buffers begin at addresses with this remainder; 0: aligned */
    const uint8_t *initial; /* contents; NULL: all zeroes */
} ModelSpec;

/* Fails the test at the first byte that is not what was written last. */
void model_run(Disk *d, const ModelSpec *spec);
/* The same; the contents at the end go to ret_contents, of the disk's size. What was discarded last is read back. */
void model_run_keep(Disk *d, const ModelSpec *spec, uint8_t *ret_contents);

#endif
