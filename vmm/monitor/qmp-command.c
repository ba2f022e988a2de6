/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finds a QMP command, checks its arguments against its table row and runs it. The messages have
 * QEMU's wording.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

#include "vmm/monitor/qmp-schema.h"

/* clang-format off */
static const QmpCommand *const command_tables[] = {
    qmp_vm_commands,
    qmp_qom_commands,
    qmp_chardev_commands,
    qmp_introspect_commands,
    qmp_device_commands,
    qmp_hmp_commands,
    qmp_block_commands,
    qmp_net_commands,
    qmp_net_card_commands,
    qmp_schema_commands,
    qmp_cpu_commands,
    qmp_object_commands,
    qmp_chardev_add_commands,
    qmp_pci_commands,
    qmp_virtio_commands,
    qmp_fd_commands,
    qmp_dump_commands,
    qmp_tree_commands,
    qmp_stats_commands,
};
/* clang-format on */

static const QmpCommand *find_command(const char *name)
{
    for (unsigned t = 0; t < G_N_ELEMENTS(command_tables); t++) {
        for (const QmpCommand *c = command_tables[t]; c->name; c++) {
            if (!strcmp(c->name, name)) {
                return c;
            }
        }
    }
    return NULL;
}

static bool type_fits(QmpArgType type, const json_t *value)
{
    switch (type) {
    case QMP_ARG_STR:
        return json_is_string(value);
    case QMP_ARG_INT:
        return json_is_integer(value);
    case QMP_ARG_BOOL:
        return json_is_boolean(value);
    case QMP_ARG_LIST:
        return json_is_array(value);
    case QMP_ARG_OBJECT:
        return json_is_object(value);
    default:
        return true;
    }
}

static const QmpArg *find_arg(const QmpCommand *c, const char *name)
{
    for (const QmpArg *a = c->args; a->type != QMP_ARG_END; a++) {
        if (!strcmp(a->name, name)) {
            return a;
        }
    }
    return NULL;
}

char *qmp_arg_type(const QmpCommand *command, const char *arg)
{
    g_auto(GStrv) items = command->arg_types ? g_strsplit(command->arg_types, ",", -1) : NULL;

    for (unsigned i = 0; items && items[i]; i++) {
        const char *colon = strchr(items[i], ':');

        g_assert(colon);
        if (strlen(arg) == (size_t)(colon - items[i]) && g_str_has_prefix(items[i], arg)) {
            return g_strdup(colon + 1);
        }
    }
    return NULL;
}

static bool check_word(const QmpCommand *c, const QmpArg *a, const json_t *value, GError **err)
{
    g_autofree char *type = qmp_arg_type(c, a->name);
    g_auto(GStrv) words = type ? qmp_enum_words(type) : NULL;
    const char *word = json_string_value(value);

    return !words || !word || g_strv_contains((const char *const *)words, word) ||
           error_set(err, "Parameter '%s' does not accept value '%s'", a->name, word);
}

static bool check_args(const QmpCommand *c, json_t *args, GError **err)
{
    static const char *const type_names[] = {[QMP_ARG_STR] = "string",
                                             [QMP_ARG_INT] = "integer",
                                             [QMP_ARG_BOOL] = "boolean",
                                             [QMP_ARG_OBJECT] = "object",
                                             [QMP_ARG_LIST] = "array"};
    const char *key;
    json_t *value;

    for (const QmpArg *a = c->args; a->type != QMP_ARG_END; a++) {
        value = json_object_get(args, a->name);
        if (!value && !a->optional) {
            return error_set(err, "Parameter '%s' is missing", a->name);
        }
        if (value && !type_fits(a->type, value)) {
            return error_set(err, "Invalid parameter type for '%s', expected: %s", a->name,
                             type_names[a->type]);
        }
        if (!check_word(c, a, value, err)) {
            return false;
        }
    }
    json_object_foreach(args, key, value)
    {
        if (!c->open && !find_arg(c, key)) {
            return error_set(err, "Parameter '%s' is unexpected", key);
        }
    }
    return true;
}

bool qmp_check_arguments(const char *command, json_t *arguments, GError **err)
{
    const QmpCommand *c = find_command(command);

    g_assert(c);
    return check_args(c, arguments, err);
}

json_t *qmp_execute(Machine *m, const char *command, json_t *arguments, GError **err)
{
    const QmpCommand *c = find_command(command);
    json_t *args, *result = NULL;

    if (!c) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_COMMAND_NOT_FOUND,
                    "The command %s has not been found", command);
        return NULL;
    }
    args = arguments ? json_incref(arguments) : json_object();
    if (check_args(c, args, err)) {
        result = c->run(m, args, err);
    }
    json_decref(args);
    return result;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    const QmpCommand *const *ca = a, *const *cb = b;

    return strcmp((*ca)->name, (*cb)->name);
}

void qmp_foreach_row(void (*fn)(const QmpCommand *command, void *opaque), void *opaque)
{
    g_autoptr(GPtrArray) all = g_ptr_array_new();

    for (unsigned t = 0; t < G_N_ELEMENTS(command_tables); t++) {
        for (const QmpCommand *c = command_tables[t]; c->name; c++) {
            g_ptr_array_add(all, (void *)c);
        }
    }
    g_ptr_array_sort(all, by_name);
    for (unsigned i = 0; i < all->len; i++) {
        fn(all->pdata[i], opaque);
    }
}
