/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "info" of the human monitor about what the VM costs its host.
 */
#include "vmm/monitor/hmp-internal.h"

static void print_sum(HmpMonitor *mon, json_t *bill, const char *key)
{
    hmp_print(mon, "%s: %" JSON_INTEGER_FORMAT " KiB\r\n", key,
              json_integer_value(json_object_get(bill, key)) / 1024);
}

void hmp_info_memory_bill(HmpMonitor *mon, const char *arg)
{
    json_t *bill = hmp_qmp(mon, "x-query-memory-bill", NULL), *row;
    size_t i;

    if (!bill) {
        return;
    }
    print_sum(mon, bill, "resident");
    print_sum(mon, bill, "accounted");
    print_sum(mon, bill, "unaccounted");
    json_array_foreach(json_object_get(bill, "rows"), i, row)
    {
        hmp_print(mon, "%10.1f KiB  %-8s %s\r\n",
                  (double)json_integer_value(json_object_get(row, "bytes")) / 1024,
                  json_string_value(json_object_get(row, "kind")),
                  json_string_value(json_object_get(row, "owner")));
    }
    json_decref(bill);
}
