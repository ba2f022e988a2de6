/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about dumps of guest memory. Their messages have QEMU's wording where QEMU has one.
 */
#include <string.h>

#include "backends/fd-table.h"
#include "vmm/dump/guest-dump.h"
#include "vmm/monitor/qmp-command.h"

/* "begin" and "length" come together. */
static bool take_filter(json_t *args, GuestDumpSpec *spec, GError **err)
{
    json_t *begin = json_object_get(args, "begin"), *length = json_object_get(args, "length");

    if (!begin != !length) {
        return error_set(err, "Parameter '%s' is missing", begin ? "length" : "begin");
    }
    if (!begin) {
        return true;
    }
    if (json_integer_value(begin) < 0 || json_integer_value(length) <= 0) {
        return error_set(err, "Invalid parameter '%s'",
                         json_integer_value(begin) < 0 ? "begin" : "length");
    }
    spec->filter = true;
    spec->begin = (uint64_t)json_integer_value(begin);
    spec->length = (uint64_t)json_integer_value(length);
    return true;
}

/* "file:PATH", and "fd:NAME" of getfd. */
static bool take_target(Machine *m, const char *protocol, GuestDumpSpec *spec, GError **err)
{
    spec->name = protocol;
    if (g_str_has_prefix(protocol, "file:")) {
        spec->path = protocol + strlen("file:");
        return true;
    }
    if (!g_str_has_prefix(protocol, "fd:")) {
        return error_set(err, "Invalid parameter 'protocol': file:PATH or fd:NAME");
    }
    spec->fd = fd_table_take(fd_table_of(m->platform.root), protocol + strlen("fd:"), err);
    return spec->fd >= 0;
}

static json_t *run_dump(Machine *m, json_t *args, GError **err)
{
    GuestDumpSpec spec = {.fd = -1, .detach = json_is_true(json_object_get(args, "detach"))};

    if (json_is_true(json_object_get(args, "paging"))) {
        error_set(err, "paging=true is not served: a dump has physical memory, as crash wants it");
        return NULL;
    }
    return take_filter(args, &spec, err) &&
                   take_target(m, json_string_value(json_object_get(args, "protocol")), &spec,
                               err) &&
                   guest_dump_start(m, &spec, err)
               ? json_object()
               : NULL;
}

static json_t *run_query_dump(Machine *m, json_t *args, GError **err)
{
    return guest_dump_result(guest_dump_query(m));
}

static json_t *run_query_capability(Machine *m, json_t *args, GError **err)
{
    return json_pack("{s:[s]}", "formats", "elf");
}

const QmpCommand qmp_dump_commands[] = {
    {.name = "dump-guest-memory",
     .help = "write guest memory into an ELF core, for gdb and crash; the VM stands still",
     .args = {{"paging", QMP_ARG_BOOL, false},
              {"protocol", QMP_ARG_STR, false},
              {"detach", QMP_ARG_BOOL, true},
              {"begin", QMP_ARG_INT, true},
              {"length", QMP_ARG_INT, true},
              {"format", QMP_ARG_STR, true}},
     .arg_types = "format:DumpGuestMemoryFormat",
     .run = run_dump},
    {.name = "query-dump",
     .help = "how far the present or last dump is",
     .run = run_query_dump,
     .ret = "DumpQueryResult"},
    {.name = "query-dump-guest-memory-capability",
     .help = "formats of dumps",
     .run = run_query_capability,
     .ret = "DumpGuestMemoryCapability"},
    {0},
};
