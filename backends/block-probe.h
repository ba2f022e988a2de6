/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image formats by their first bytes.
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_PROBE_H
#define AEROSTAT_BACKENDS_BLOCK_PROBE_H

#include "backends/block.h"

enum { BLOCK_PROBE_BYTES = 512 };

/* Name of the format that an image with this beginning has; NULL: none that is known, so raw. */
const char *block_probe_format(const uint8_t *head, size_t len);

/* Fails with a line that shows the way through NBD when the node holds an image that is not raw. */
bool block_probe_refuse_formats(BlockNode *node, GError **err);

#endif
