/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about file descriptors that clients send along (SCM_RIGHTS). Their messages have
 * QEMU's wording.
 */
#include "vmm/monitor/qmp-command.h"

#include <unistd.h>

#include "backends/fd-table.h"

static FdTable *table_of(Machine *m)
{
    return fd_table_of(m->platform.root);
}

static json_t *run_getfd(Machine *m, json_t *args, GError **err)
{
    int fd = fd_table_receive(table_of(m), err);

    return fd >= 0 && fd_table_put(table_of(m), json_string_value(json_object_get(args, "fdname")),
                                   fd, err)
               ? json_object()
               : NULL;
}

static json_t *run_closefd(Machine *m, json_t *args, GError **err)
{
    int fd = fd_table_take(table_of(m), json_string_value(json_object_get(args, "fdname")), err);

    if (fd < 0) {
        return NULL;
    }
    close(fd);
    return json_object();
}

static json_t *run_add_fd(Machine *m, json_t *args, GError **err)
{
    json_t *number = json_object_get(args, "fdset-id");
    int64_t set = number ? json_integer_value(number) : -1;
    int fd = fd_table_receive(table_of(m), err);

    if (fd < 0) {
        return NULL;
    }
    if (number && set < 0) {
        close(fd);
        error_set(err, "Parameter 'fdset-id' expects a non-negative value");
        return NULL;
    }
    return fd_table_add(table_of(m), set, json_string_value(json_object_get(args, "opaque")), fd,
                        &set, err)
               ? json_pack("{s:I, s:i}", "fdset-id", (json_int_t)set, "fd", fd)
               : NULL;
}

static json_t *run_remove_fd(Machine *m, json_t *args, GError **err)
{
    json_t *number = json_object_get(args, "fd");
    json_int_t fd = number ? json_integer_value(number) : -1;

    if (number && (fd < 0 || fd > INT_MAX)) {
        error_set(err, "Parameter 'fd' expects the number of a file descriptor");
        return NULL;
    }
    return fd_table_remove(table_of(m), json_integer_value(json_object_get(args, "fdset-id")),
                           (int)fd, err)
               ? json_object()
               : NULL;
}

static json_t *run_query_fdsets(Machine *m, json_t *args, GError **err)
{
    return fd_table_sets(table_of(m));
}

const QmpCommand qmp_fd_commands[] = {
    {.name = "getfd",
     .help = "keep the file descriptor that comes along under a name",
     .args = {{"fdname", QMP_ARG_STR, false}},
     .run = run_getfd},
    {.name = "closefd",
     .help = "close a file descriptor of getfd",
     .args = {{"fdname", QMP_ARG_STR, false}},
     .run = run_closefd},
    {.name = "add-fd",
     .help = "put the file descriptor that comes along into a set, for /dev/fdset/N",
     .args = {{"fdset-id", QMP_ARG_INT, true}, {"opaque", QMP_ARG_STR, true}},
     .run = run_add_fd,
     .ret = "AddfdInfo"},
    {.name = "remove-fd",
     .help = "close a file descriptor of a set, or all; what is open already stays so",
     .args = {{"fdset-id", QMP_ARG_INT, false}, {"fd", QMP_ARG_INT, true}},
     .run = run_remove_fd},
    {.name = "query-fdsets",
     .help = "sets of file descriptors",
     .run = run_query_fdsets,
     .ret = "[FdsetInfo]"},
    {0},
};
