/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about what the VM costs its host.
 */
#include "vmm/monitor/memory-bill.h"
#include "vmm/monitor/qmp-command.h"

static json_t *run_query_memory_bill(Machine *m, json_t *args, GError **err)
{
    return memory_bill(m, err);
}

const QmpCommand qmp_stats_commands[] = {
    {.name = "x-query-memory-bill",
     .help = "what the resident memory is spent on",
     .run = run_query_memory_bill,
     .ret = "MemoryBill"},
    {0},
};
