/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -readconfig: what the groups of a config file mean. Each stands for an option, with its keys: [memory] size = "1G" is
 * -m size=1G, [device "d0"] driver = "X" is -device driver=X,id=d0. [launch] has the
 * options that QEMU's files have no group for.
 */
#ifndef AEROSTAT_VMM_CLI_READCONFIG_H
#define AEROSTAT_VMM_CLI_READCONFIG_H

#include "vmm/cli/options.h"

/*
 * Takes the options of the file into o, as if they came next on the command line; types are registered. Errors are
 * complete lines that begin with FILE:LINE, or with option ("-readconfig") and the path when it cannot be read.
 */
bool readconfig(Options *o, const char *option, const char *path, GError **err);

/*
 * Calls fn for each kind of group: all its keys (none: they are a type's properties, or the option's own), the one
 * without which it says nothing (NULL: none), and whether it may have an id.
 */
void readconfig_foreach_group(void (*fn)(const char *name, const char *const *keys, const char *needed, bool has_id,
                                         void *opaque), void *opaque);

/* The option that a group stands for, without '-'; NULL: it stands for several, or is no group. */
const char *readconfig_group_option(const char *name);

#endif
