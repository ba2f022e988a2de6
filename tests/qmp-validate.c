/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See qmp-validate.h.
 */
#include "tests/qmp-validate.h"

#include <stdbool.h>
#include <string.h>

#include "vmm/monitor/qmp-schema.h"

/* Made once: the suites ask for it with each answer. */
static json_t *the_schema(void)
{
    static json_t *schema;

    schema = schema ?: qmp_schema();
    return schema;
}

/* Of a kind ("command", "event", or NULL: a type); NULL: there is none. */
static json_t *find(json_t *schema, const char *name, const char *kind)
{
    json_t *entry;
    size_t i;

    json_array_foreach(schema, i, entry)
    {
        const char *meta = json_string_value(json_object_get(entry, "meta-type"));
        bool fits = kind ? !strcmp(meta, kind) : strcmp(meta, "command") && strcmp(meta, "event");

        if (fits && !strcmp(json_string_value(json_object_get(entry, "name")), name)) {
            return entry;
        }
    }
    return NULL;
}

static const char *text_of(json_t *entry, const char *key)
{
    return json_string_value(json_object_get(entry, key));
}

static char *validate(json_t *schema, const char *type, json_t *value, const char *where);

static bool fits_builtin(const char *json_type, const json_t *value)
{
    return !strcmp(json_type, "value") ||
           (!strcmp(json_type, "boolean") && json_is_boolean(value)) ||
           (!strcmp(json_type, "int") && json_is_integer(value)) ||
           (!strcmp(json_type, "number") && json_is_number(value)) ||
           (!strcmp(json_type, "string") && json_is_string(value));
}

static char *validate_object(json_t *schema, json_t *entry, json_t *value, const char *where)
{
    json_t *members = json_object_get(entry, "members"), *member, *one;
    char *problem = json_is_object(value) ? NULL : g_strdup_printf("%s is no object", where);
    size_t i, known = 0;

    json_array_foreach(members, i, member)
    {
        const char *name = text_of(member, "name");
        g_autofree char *inner = g_strdup_printf("%s.%s", where, name);

        one = json_object_get(value, name);
        known += one != NULL;
        if (!problem && !one && !json_object_get(member, "default")) {
            problem = g_strdup_printf("%s is missing", inner);
        } else if (!problem && one) {
            problem = validate(schema, text_of(member, "type"), one, inner);
        }
    }
    if (!problem && json_object_size(value) != known) {
        problem = g_strdup_printf("%s has more members than the schema", where);
    }
    return problem;
}

static char *validate_array(json_t *schema, json_t *entry, json_t *value, const char *where)
{
    char *problem = json_is_array(value) ? NULL : g_strdup_printf("%s is no array", where);
    json_t *one;
    size_t i;

    json_array_foreach(value, i, one)
    {
        problem = problem ?: validate(schema, text_of(entry, "element-type"), one, where);
    }
    return problem;
}

static char *validate_enum(json_t *entry, json_t *value, const char *where)
{
    json_t *words = json_object_get(entry, "values"), *word;
    size_t i;

    json_array_foreach(words, i, word)
    {
        if (json_equal(word, value)) {
            return NULL;
        }
    }
    return g_strdup_printf("%s is no word of %s", where, text_of(entry, "name"));
}

static char *validate(json_t *schema, const char *type, json_t *value, const char *where)
{
    json_t *entry = find(schema, type, NULL);
    const char *meta = entry ? text_of(entry, "meta-type") : "";

    if (!strcmp(meta, "builtin")) {
        return fits_builtin(text_of(entry, "json-type"), value)
                   ? NULL
                   : g_strdup_printf("%s is no %s", where, type);
    }
    if (!strcmp(meta, "object")) {
        return validate_object(schema, entry, value, where);
    }
    if (!strcmp(meta, "array")) {
        return validate_array(schema, entry, value, where);
    }
    return !strcmp(meta, "enum") ? validate_enum(entry, value, where)
                                 : g_strdup_printf("%s: no type %s", where, type);
}

char *qmp_validate_return(const char *command, json_t *value)
{
    json_t *schema = the_schema(), *entry = find(schema, command, "command");
    char *problem = entry ? validate(schema, text_of(entry, "ret-type"), value, command)
                          : g_strdup_printf("%s is not in the schema", command);

    return problem;
}

char *qmp_validate_event(json_t *event)
{
    const char *name = text_of(event, "event");
    json_t *schema = the_schema(), *entry = find(schema, name, "event");
    json_t *data = json_object_get(event, "data"), *none = json_object();
    char *problem = entry ? validate(schema, text_of(entry, "arg-type"), data ?: none, name)
                          : g_strdup_printf("event %s is not in the schema", name);

    json_decref(none);
    return problem;
}

static char *check_type(json_t *schema, json_t *owner, const char *type)
{
    return !type || find(schema, type, NULL)
               ? NULL
               : g_strdup_printf("%s: no type %s", text_of(owner, "name"), type);
}

char *qmp_validate_schema(void)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    json_t *schema = the_schema(), *entry, *member;
    char *problem = NULL;
    size_t i, n;

    json_array_foreach(schema, i, entry)
    {
        if (!g_hash_table_add(names, (char *)text_of(entry, "name"))) {
            problem = problem ?: g_strdup_printf("%s twice", text_of(entry, "name"));
        }
        problem = problem ?: check_type(schema, entry, text_of(entry, "arg-type"));
        problem = problem ?: check_type(schema, entry, text_of(entry, "ret-type"));
        problem = problem ?: check_type(schema, entry, text_of(entry, "element-type"));
        json_array_foreach(json_object_get(entry, "members"), n, member)
        {
            problem = problem ?: check_type(schema, entry, text_of(member, "type"));
        }
    }
    return problem;
}
