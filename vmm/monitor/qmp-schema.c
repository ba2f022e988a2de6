/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * query-qmp-schema, see qmp-schema.h. Types have their own names; QEMU's are numbers, and clients
 * rely on neither.
 */
#include "vmm/monitor/qmp-schema.h"

#include <string.h>

#include "vmm/monitor/qmp-command.h"

#define NO_ARGUMENTS "q_empty"

static const struct {
    const char *name, *json_type;
} builtins[] = {
    {"any", "value"}, {"bool", "boolean"}, {"int", "int"}, {"number", "number"}, {"str", "string"},
};

static const QmpType *find_type(const char *name)
{
    for (const QmpType *t = qmp_types; t->name; t++) {
        if (!strcmp(t->name, name)) {
            return t;
        }
    }
    return NULL;
}

static bool is_known(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(builtins); i++) {
        if (!strcmp(builtins[i].name, name)) {
            return true;
        }
    }
    return find_type(name) != NULL;
}

char **qmp_enum_words(const char *type)
{
    const QmpType *t = find_type(type);

    return t && t->members[0] == '=' ? g_strsplit(t->members + 1, ",", -1) : NULL;
}

/* --- the parts of it --- */

typedef struct {
    json_t *list;
    GHashTable *arrays; /* names of those that are in the list */
} Schema;

/* Refers to a type; a list of some type is told when it is first heard of. */
static json_t *use(Schema *s, const char *type)
{
    size_t len = strlen(type);

    if (*type == '[') {
        g_autofree char *element = g_strndup(type + 1, len - 2);

        g_assert(is_known(element));
        if (g_hash_table_add(s->arrays, g_strdup(type))) {
            json_array_append_new(s->list, json_pack("{s:s, s:s, s:s}", "name", type, "meta-type",
                                                     "array", "element-type", element));
        }
    } else {
        g_assert(is_known(type));
    }
    return json_string(type);
}

static void add_member(Schema *s, json_t *members, const char *name, const char *type,
                       bool optional)
{
    json_t *member = json_pack("{s:s, s:o}", "name", name, "type", use(s, type));

    if (optional) {
        json_object_set_new(member, "default", json_null());
    }
    json_array_append_new(members, member);
}

/* Steals members. */
static void add_object(Schema *s, const char *name, json_t *members)
{
    json_array_append_new(s->list, json_pack("{s:s, s:s, s:o}", "name", name, "meta-type", "object",
                                             "members", members));
}

static void add_members(Schema *s, const char *name, const char *text)
{
    g_auto(GStrv) items = g_strsplit(text, ",", -1);
    json_t *members = json_array();

    for (unsigned i = 0; items[i]; i++) {
        char *colon = strchr(items[i], ':'), *key = items[i] + (items[i][0] == '*');

        g_assert(colon);
        *colon = '\0';
        add_member(s, members, key, colon + 1, key > items[i]);
    }
    add_object(s, name, members);
}

static void add_enum(Schema *s, const char *name, const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    json_t *members = json_array(), *values = json_array();

    for (unsigned i = 0; words[i]; i++) {
        json_array_append_new(members, json_pack("{s:s}", "name", words[i]));
        json_array_append_new(values, json_string(words[i]));
    }
    json_array_append_new(s->list, json_pack("{s:s, s:s, s:o, s:o}", "name", name, "meta-type",
                                             "enum", "members", members, "values", values));
}

static const char *arg_type(const QmpArg *arg)
{
    static const char *const types[] = {
        [QMP_ARG_STR] = "str", [QMP_ARG_INT] = "int",    [QMP_ARG_BOOL] = "bool",
        [QMP_ARG_ANY] = "any", [QMP_ARG_LIST] = "[any]", [QMP_ARG_OBJECT] = "any"};

    return types[arg->type];
}

static void add_command(const QmpCommand *c, void *opaque)
{
    Schema *s = opaque;
    g_autofree char *args = g_strdup_printf("q_obj_%s-arg", c->name);
    bool any = c->args[0].type != QMP_ARG_END;
    json_t *members = json_array();

    for (const QmpArg *a = c->args; a->type != QMP_ARG_END; a++) {
        g_autofree char *type = qmp_arg_type(c, a->name);

        add_member(s, members, a->name, type ?: arg_type(a), a->optional);
    }
    if (any) {
        add_object(s, args, json_incref(members));
    }
    json_decref(members);
    json_array_append_new(s->list,
                          json_pack("{s:s, s:s, s:s, s:o}", "name", c->name, "meta-type", "command",
                                    "arg-type", any ? args : NO_ARGUMENTS, "ret-type",
                                    c->ret ? use(s, c->ret) : json_string(NO_ARGUMENTS)));
}

static void add_event(Schema *s, const QmpType *event)
{
    g_autofree char *data = g_strdup_printf("q_obj_%s-arg", event->name);

    if (event->members) {
        add_members(s, data, event->members);
    }
    json_array_append_new(s->list,
                          json_pack("{s:s, s:s, s:s}", "name", event->name, "meta-type", "event",
                                    "arg-type", event->members ? data : NO_ARGUMENTS));
}

json_t *qmp_schema(void)
{
    Schema s = {.list = json_array(),
                .arrays = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL)};

    for (unsigned i = 0; i < G_N_ELEMENTS(builtins); i++) {
        json_array_append_new(s.list,
                              json_pack("{s:s, s:s, s:s}", "name", builtins[i].name, "meta-type",
                                        "builtin", "json-type", builtins[i].json_type));
    }
    add_object(&s, NO_ARGUMENTS, json_array());
    for (const QmpType *t = qmp_types; t->name; t++) {
        (t->members[0] == '=' ? add_enum : add_members)(&s, t->name,
                                                        t->members + (t->members[0] == '='));
    }
    qmp_foreach_row(add_command, &s);
    for (const QmpType *e = qmp_events; e->name; e++) {
        add_event(&s, e);
    }
    g_hash_table_unref(s.arrays);
    return s.list;
}

static json_t *run_query_qmp_schema(Machine *m, json_t *args, GError **err)
{
    return qmp_schema();
}

const QmpCommand qmp_schema_commands[] = {
    {.name = "query-qmp-schema",
     .help = "commands, events and the types of what they take and give",
     .run = run_query_qmp_schema,
     .ret = "[SchemaInfo]"},
    {0},
};
