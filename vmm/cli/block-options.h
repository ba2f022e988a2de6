/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -blockdev and -drive: from their text to block nodes and, for if=virtio, a device.
 */
#ifndef AEROSTAT_VMM_CLI_BLOCK_OPTIONS_H
#define AEROSTAT_VMM_CLI_BLOCK_OPTIONS_H

#include <glib.h>
#include <jansson.h>

#include "core/loop.h"
#include "qom/object.h"

/* "driver=...,..." or a JSON object. New reference; NULL with err. */
json_t *block_options_parse_blockdev(const char *arg, GError **err);
json_t *block_options_parse_drive(const char *arg, GError **err);

/*
 * Makes the nodes, those of -blockdev first; -device may name them in any order. blockdevs, drives and devices hold
 * json_t *; the device of an if=virtio drive is added to devices. Errors begin with the option.
 */
bool block_options_make(Object *root, EventLoop *loop, GPtrArray *blockdevs, GPtrArray *drives, GPtrArray *devices,
                        GError **err);

#endif
