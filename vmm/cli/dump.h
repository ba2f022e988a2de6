/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -dump-config: the whole configuration as a config file.
 */
#ifndef AEROSTAT_VMM_CLI_DUMP_H
#define AEROSTAT_VMM_CLI_DUMP_H

#include "vmm/cli/vmm.h"

/*
 * The text of a config file that gives the VM which vmm_check has built without finding faults; behind each value is
 * where it came from. Free with g_free. NULL with err: a value has a '"' or
 * is a list of objects, which a config file cannot hold.
 */
char *dump_config(Vmm *vmm, GError **err);

#endif
