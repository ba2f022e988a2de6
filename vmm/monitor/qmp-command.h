/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands: tables of name, arguments and function. A file of commands exports one table; qmp-command.c lists
 * the tables and checks arguments before a function runs.
 */
#ifndef AEROSTAT_VMM_MONITOR_QMP_COMMAND_H
#define AEROSTAT_VMM_MONITOR_QMP_COMMAND_H

#include "vmm/monitor/monitor.h"

typedef enum {
    QMP_ARG_END, QMP_ARG_STR, QMP_ARG_INT, QMP_ARG_BOOL, QMP_ARG_ANY, QMP_ARG_LIST, QMP_ARG_OBJECT
} QmpArgType;

typedef struct {
    const char *name;
    QmpArgType type;
    bool optional;
} QmpArg;

enum { QMP_ARGS_MAX = 6 };

typedef struct {
    const char *name;
    const char *help; /* one line */
    QmpArg args[QMP_ARGS_MAX + 1];
    bool open; /* takes any other argument, too */
    /* New reference (an empty object when there is nothing to say), or NULL with err. args is an object. */
    json_t *(*run)(Machine *m, json_t *args, GError **err);
    const char *arg_types; /* "name:TYPE,..." of arguments with a type of qmp-schema.h, whose words are checked. NULL: none */
    const char *ret; /* type of the result, see qmp-schema.h; NULL: an empty object */
} QmpCommand;

extern const QmpCommand qmp_vm_commands[];  /* ended by a row without name */
extern const QmpCommand qmp_qom_commands[];
extern const QmpCommand qmp_chardev_commands[];
extern const QmpCommand qmp_introspect_commands[];
extern const QmpCommand qmp_device_commands[];
extern const QmpCommand qmp_hmp_commands[];
extern const QmpCommand qmp_block_commands[];
extern const QmpCommand qmp_net_commands[];
extern const QmpCommand qmp_net_card_commands[];
extern const QmpCommand qmp_schema_commands[];
extern const QmpCommand qmp_cpu_commands[];
extern const QmpCommand qmp_object_commands[];
extern const QmpCommand qmp_chardev_add_commands[];
extern const QmpCommand qmp_pci_commands[];
extern const QmpCommand qmp_virtio_commands[];
extern const QmpCommand qmp_fd_commands[];
extern const QmpCommand qmp_dump_commands[];
extern const QmpCommand qmp_tree_commands[];
extern const QmpCommand qmp_stats_commands[];

char *qmp_arg_type(const QmpCommand *command, const char *arg); /* of arg_types; NULL: none. g_free */

/* Calls fn for each command, sorted by name. */
void qmp_foreach_row(void (*fn)(const QmpCommand *command, void *opaque), void *opaque);

/* Whether arguments (NULL: none) suit a command of the tables; false with err. */
bool qmp_check_arguments(const char *command, json_t *arguments, GError **err);

/* -dump-tree dot and x-dump-tree: what is below root, for Graphviz; g_free. VM lock. */
char *tree_dot(Object *root);

char *qmp_info_pci(Machine *m); /* HMP's "info pci"; g_free */
/* HMP's "info network"; g_free. */
char *qmp_info_network(Machine *m);
/* HMP's chardev-add: keys of -chardev, but for fd=, which is a name of getfd. */
bool qmp_chardev_add(Machine *m, json_t *opts, GError **err);
/* HMP's hostfwd_add and hostfwd_remove: "[NETDEV] tcp:[HOST]:PORT-[GUEST]:PORT". */
bool qmp_hostfwd(Machine *m, const char *arg, bool add, GError **err);

/* {"version": ...} of the greeting and of query-version. */
json_t *qmp_version(void);

#endif
