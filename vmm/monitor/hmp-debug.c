/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands of the human monitor for debuggers.
 */
#include <string.h>

#include "vmm/gdb/gdb.h"
#include "vmm/monitor/hmp-internal.h"

void hmp_gdbserver(HmpMonitor *mon, const char *arg)
{
    const char *stream = *arg ? arg : "tcp::1234";
    g_autoptr(GError) err = NULL;

    if (!gdb_serve(hmp_machine(mon), stream, "gdbserver", &err)) {
        hmp_print(mon, "%s\r\n", err->message);
    } else if (!strcmp(stream, "none")) {
        hmp_print(mon, "Disabled gdbserver\r\n");
    } else {
        hmp_print(mon, "Waiting for gdb connection on device '%s'\r\n", stream);
    }
}
