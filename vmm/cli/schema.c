/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -dump-schema, see schema.h. Each type of device, object, machine and accelerator is a definition
 * with its properties; groups of fixed keys are taken from readconfig.c.
 */
#include "vmm/cli/schema.h"

#include <stdio.h>
#include <string.h>

#include "backends/user-creatable.h"
#include "qom/property.h"
#include "vmm/cli/readconfig.h"
#include "vmm/machine/machine.h"

#define NUMBER_PATTERN "^(0[xX][0-9a-fA-F]+|[0-9]+)$"
#define SIZE_PATTERN   "^(0[xX][0-9a-fA-F]+|[0-9]+(\\.[0-9]+)?)[bBkKmMgGtTpPeE]?$"

/* --- properties --- */

static json_t *string_schema(void)
{
    return json_pack("{s:s}", "type", "string");
}

static json_t *bool_schema(void)
{
    return json_pack("{s:[{s:s}, {s:[s,s,s,s,s,s]}]}", "anyOf", "type", "boolean", "enum", "on",
                     "off", "yes", "no", "true", "false");
}

/* A number, or the same as text. */
static json_t *number_schema(const Property *prop)
{
    bool is_signed = prop->kind == PROP_KIND_INT32, bounded = prop->min || prop->max;
    json_t *number = json_pack("{s:s}", "type", "integer");
    const char *pattern = prop->kind == PROP_KIND_SIZE ? SIZE_PATTERN : NUMBER_PATTERN;

    if (!is_signed) {
        json_object_set_new(number, "minimum", json_integer((json_int_t)prop->min));
    } else if (bounded) {
        json_object_set_new(number, "minimum", json_integer((int32_t)prop->min));
    }
    if (bounded && (is_signed || prop->max <= INT64_MAX)) {
        json_object_set_new(number, "maximum",
                            json_integer(is_signed ? (int32_t)prop->max : (json_int_t)prop->max));
    }
    return json_pack("{s:[o, {s:s, s:s}]}", "anyOf", number, "type", "string", "pattern",
                     is_signed ? "^-?[0-9]+$" : pattern);
}

static json_t *words_schema(const char *const *words)
{
    json_t *list = json_array();

    for (; *words; words++) {
        json_array_append_new(list, json_string(*words));
    }
    return json_pack("{s:o}", "enum", list);
}

/* By the type name that introspection shows. */
static json_t *custom_schema(const char *type)
{
    if (!strcmp(type, "bool")) {
        return bool_schema();
    }
    if (g_str_has_prefix(type, "int") || g_str_has_prefix(type, "uint") || !strcmp(type, "size")) {
        return json_pack("{s:[s, s]}", "type", "integer", "string");
    }
    return g_str_has_prefix(type, "str") ? string_schema() : json_object();
}

static json_t *value_schema(const Property *prop)
{
    switch (prop->kind) {
    case PROP_KIND_BOOL:
        return bool_schema();
    case PROP_KIND_UINT8:
    case PROP_KIND_UINT16:
    case PROP_KIND_UINT32:
    case PROP_KIND_UINT64:
    case PROP_KIND_INT32:
    case PROP_KIND_SIZE:
        return number_schema(prop);
    case PROP_KIND_ENUM:
        return words_schema(prop->words);
    case PROP_KIND_MAC:
        return json_pack("{s:s, s:s}", "type", "string", "pattern",
                         "^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$");
    case PROP_KIND_PCI_ADDR:
        return json_pack("{s:[s,s]}", "type", "string", "integer");
    case PROP_KIND_CUSTOM:
        return custom_schema(prop->type_name ?: "str");
    case PROP_KIND_STRING:
    case PROP_KIND_LINK:
        return string_schema();
    case PROP_KIND_ALIAS: /* of a child that only an instance has */
    case PROP_KIND_END:
        break;
    }
    return json_object();
}

static void add_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_autofree char *def = property_default_string(prop);
    json_t *one;

    if ((prop->flags & PROP_READONLY) || (prop->kind == PROP_KIND_CUSTOM && !prop->set)) {
        return;
    }
    one = value_schema(prop);
    if (prop->help) {
        json_object_set_new(one, "description", json_string(prop->help));
    }
    if (def) {
        json_object_set_new(one, "default", json_string(def));
    }
    json_object_set_new(opaque, prop->name, one);
}

/* --- types --- */

/* An object with the type's properties and the fixed keys, which are stolen. needed: the key that
 * must be there. */
static json_t *type_schema(const TypeInfo *type, json_t *fixed, const char *needed)
{
    json_t *props = json_object(), *schema;

    type_property_foreach(type, add_property, props);
    json_object_update(props, fixed);
    json_decref(fixed);
    schema = json_pack("{s:s, s:o, s:b}", "type", "object", "properties", props,
                       "additionalProperties", 0);
    if (needed) {
        json_object_set_new(schema, "required", json_pack("[s]", needed));
    }
    if (type->desc) {
        json_object_set_new(schema, "description", json_string(type->desc));
    }
    return schema;
}

/* Adds the type to the definitions and a reference to it to the list. */
static void add_type(json_t *defs, json_t *list, const TypeInfo *type, json_t *schema)
{
    json_object_set_new(defs, type->name, schema);
    json_array_append_new(list, json_pack("{s:o}", "$ref", json_sprintf("#/$defs/%s", type->name)));
}

static json_t *names_schema(const char *name, const char *alias)
{
    const char *const names[] = {name, alias, NULL};

    return words_schema(names);
}

static json_t *devices(json_t *defs)
{
    g_autoptr(GPtrArray) types = type_list(&device_type, false);
    json_t *list = json_array();

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];
        bool pci = g_str_has_suffix(type->name, "-pci");
        bool virtio = g_str_has_prefix(type->name, "virtio-") &&
                      (pci || g_str_has_suffix(type->name, "-device"));
        g_autofree char *alias =
            virtio ? g_strndup(type->name, strlen(type->name) - strlen(pci ? "-pci" : "-device"))
                   : NULL;

        if (DEVICE_CLASS(type_class(type))->user_creatable) {
            add_type(
                defs, list, type,
                type_schema(type,
                            json_pack("{s:o, s:o, s:o}", "driver", names_schema(type->name, alias),
                                      "id", string_schema(), "bus", string_schema()),
                            "driver"));
        }
    }
    return list;
}

static json_t *objects(json_t *defs)
{
    g_autoptr(GPtrArray) types = user_creatable_types();
    json_t *list = json_array();

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];
        json_t *schema;

        if (type->interface) {
            continue;
        }
        schema = type_schema(type,
                             json_pack("{s:o, s:o}", "qom-type", names_schema(type->name, NULL),
                                       "id", string_schema()),
                             "qom-type");
        json_array_append_new(json_object_get(schema, "required"), json_string("id"));
        add_type(defs, list, type, schema);
    }
    return list;
}

static json_t *machines(json_t *defs)
{
    json_t *list = json_array();

    for (unsigned i = 0; machine_types[i]; i++) {
        const TypeInfo *type = machine_types[i];
        const char *alias = MACHINE_CLASS(type_class(type))->alias;

        add_type(defs, list, type,
                 type_schema(type,
                             json_pack("{s:o, s:o}", "type", names_schema(alias, type->name),
                                       "accel", string_schema()),
                             NULL));
    }
    return list;
}

static json_t *accels(json_t *defs)
{
    json_t *list = json_array();

    for (unsigned i = 0; accel_types[i]; i++) {
        const TypeInfo *type = accel_types[i];
        g_autofree char *name = g_strndup(type->name, strlen(type->name) - strlen("-accel"));

        add_type(defs, list, type,
                 type_schema(type, json_pack("{s:o}", "accel", names_schema(name, NULL)), "accel"));
    }
    return list;
}

/* --- groups --- */

/* One such group, or a list of them. */
static json_t *group_schema(json_t *one)
{
    return json_pack("{s:[O, {s:s, s:o}]}", "anyOf", one, "type", "array", "items", one);
}

static void add_types(json_t *groups, const char *name, json_t *list)
{
    json_object_set_new(groups, name, group_schema(json_pack("{s:o}", "anyOf", list)));
}

/* A scalar of a group that has no table of properties, or of launch a list of them. */
static json_t *scalar_schema(bool lists)
{
    json_t *scalar = json_pack("{s:[s,s,s]}", "type", "string", "integer", "boolean");

    return lists
               ? json_pack("{s:[O, {s:s, s:o}]}", "anyOf", scalar, "type", "array", "items", scalar)
               : scalar;
}

static void add_group(const char *name, const char *const *keys, const char *needed, bool has_id,
                      void *opaque)
{
    json_t *groups = opaque, *props = json_object(), *one;

    if (json_object_get(groups, name)) {
        json_decref(props);
        return;
    }
    for (; *keys; keys++) {
        json_object_set_new(props, *keys, scalar_schema(!strcmp(name, "launch")));
    }
    one = json_pack("{s:s}", "type", "object");
    if (has_id) {
        json_object_set_new(props, "id", string_schema());
    }
    if (json_object_size(props) > (has_id ? 1 : 0)) { /* else its keys are not known here */
        json_object_set_new(one, "additionalProperties", json_false());
    }
    json_object_set_new(one, "properties", props);
    if (needed) {
        json_object_set_new(one, "required", json_pack("[s]", needed));
    }
    json_object_set_new(groups, name, group_schema(one));
}

json_t *config_schema(void)
{
    json_t *defs = json_object(), *groups = json_object();

    add_types(groups, "machine", machines(defs));
    add_types(groups, "accel", accels(defs));
    add_types(groups, "device", devices(defs));
    add_types(groups, "object", objects(defs));
    readconfig_foreach_group(add_group, groups);
    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:o}", "$schema",
                     "https://json-schema.org/draft/2020-12/schema", "title",
                     "Aerostat configuration", "type", "object", "properties", groups,
                     "additionalProperties", 0, "$defs", defs);
}

int dump_schema(void)
{
    json_t *schema = config_schema();
    bool ok = json_dumpf(schema, stdout, JSON_INDENT(2)) == 0 && putchar('\n') != EOF;

    json_decref(schema);
    return ok ? 0 : 1;
}
