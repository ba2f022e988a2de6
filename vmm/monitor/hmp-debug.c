/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Commands of the human monitor for debuggers, and dumps for them.
 */
#include <string.h>

#include "qom/property.h"
#include "vmm/gdb/gdb.h"
#include "vmm/monitor/hmp-internal.h"

/* "FILE", or "FILE BEGIN LENGTH". */
static json_t *dump_arguments(const char *text, GError **err)
{
    g_auto(GStrv) words = g_strsplit(text, " ", 3);
    json_t *args = json_pack("{s:b, s:o}", "paging", 0, "protocol",
                             json_sprintf("file:%s", words[0] ? words[0] : ""));
    static const char *const keys[] = {"begin", "length"};
    uint64_t value;

    for (unsigned i = 1; words[0] && words[i]; i++) {
        if (!parse_size(words[i], 1, &value, err) || value > INT64_MAX) {
            json_decref(args);
            return NULL;
        }
        json_object_set_new(args, keys[i - 1], json_integer((json_int_t)value));
    }
    return args;
}

void hmp_dump_guest_memory(HmpMonitor *mon, const char *arg)
{
    bool detach = g_str_has_prefix(arg, "-d ");
    g_autofree char *text = g_strstrip(g_strdup(detach ? arg + 3 : arg));
    g_autoptr(GError) err = NULL;
    json_t *args;

    if (!*text) {
        hmp_print(mon, "give a file: dump-guest-memory [-d] FILE [BEGIN LENGTH]\r\n");
        return;
    }
    args = dump_arguments(text, &err);
    if (!args) {
        hmp_print(mon, "%s\r\n", err ? err->message : "the number is too large");
        return;
    }
    json_object_set_new(args, "detach", json_boolean(detach));
    json_decref(hmp_qmp(mon, "dump-guest-memory", args));
}

void hmp_info_dump(HmpMonitor *mon, const char *arg)
{
    json_t *info = hmp_qmp(mon, "query-dump", NULL);
    json_int_t total = json_integer_value(json_object_get(info, "total"));
    json_int_t done = json_integer_value(json_object_get(info, "completed"));

    hmp_print(mon, "Status: %s\r\n", json_string_value(json_object_get(info, "status")));
    if (total > 0) {
        hmp_print(mon, "Finished: %.2f %%\r\n", 100.0 * (double)done / (double)total);
    }
    json_decref(info);
}

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
