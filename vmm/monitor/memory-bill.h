/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the process's resident memory is spent on, for x-query-memory-bill.
 */
#ifndef AEROSTAT_VMM_MONITOR_MEMORY_BILL_H
#define AEROSTAT_VMM_MONITOR_MEMORY_BILL_H

#include "vmm/machine/machine.h"

/*
 * {"resident": bytes, "accounted": bytes, "unaccounted": bytes, "rows": [{"owner", "kind", "bytes"}]}, the largest
 * first. Rows add up to accounted. New reference; NULL with err: no /proc. VM lock; reads all of smaps: slow.
 */
json_t *memory_bill(Machine *m, GError **err);

#endif
