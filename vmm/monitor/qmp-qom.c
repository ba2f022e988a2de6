/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about objects and types: qom-list, qom-get, qom-set, qom-list-types.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

#include "qom/property.h"

static const char *text_arg(json_t *args, const char *name)
{
    return json_string_value(json_object_get(args, name));
}

static Object *resolve(Machine *m, json_t *args, GError **err)
{
    return object_resolve_path(m->platform.root, text_arg(args, "path"), err);
}

static void list_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_autofree char *type = property_type_name(prop);

    json_array_append_new(opaque, json_pack("{s:s, s:s}", "name", prop->name, "type", type));
}

static json_t *run_qom_list(Machine *m, json_t *args, GError **err)
{
    Object *obj = resolve(m, args, err);
    json_t *list;

    if (!obj) {
        return NULL;
    }
    list = json_array();
    json_array_append_new(list, json_pack("{s:s, s:s}", "name", "type", "type", "string"));
    for (unsigned i = 0; obj->children && i < obj->children->len; i++) {
        Object *child = obj->children->pdata[i];
        g_autofree char *type = g_strdup_printf("child<%s>", object_type_name(child));

        json_array_append_new(list, json_pack("{s:s, s:s}", "name", child->name, "type", type));
    }
    type_property_foreach(obj->klass->type, list_property, list);
    return list;
}

static json_t *run_qom_get(Machine *m, json_t *args, GError **err)
{
    const char *name = text_arg(args, "property");
    Object *obj = resolve(m, args, err), *child;

    if (!obj) {
        return NULL;
    }
    if (!strcmp(name, "type")) {
        return json_string(object_type_name(obj));
    }
    if ((child = object_child(obj, name))) {
        g_autofree char *path = object_path(child);

        return json_string(path);
    }
    return property_get_json(obj, name, err);
}

static json_t *run_qom_set(Machine *m, json_t *args, GError **err)
{
    const char *name = text_arg(args, "property");
    Object *obj = resolve(m, args, err);

    if (!obj) {
        return NULL;
    }
    if (!strcmp(name, "type") || object_child(obj, name)) {
        error_set(err, "property '%s' of %s is read-only", name, object_type_name(obj));
        return NULL;
    }
    return property_set_json(obj, name, json_object_get(args, "value"), err) ? json_object() : NULL;
}

static json_t *run_qom_list_types(Machine *m, json_t *args, GError **err)
{
    const char *implements = text_arg(args, "implements");
    const TypeInfo *ancestor = implements ? type_find(implements) : NULL;
    json_t *list = json_array();

    if (implements && !ancestor) {
        return list;
    }
    g_autoptr(GPtrArray) types =
        type_list(ancestor, json_is_true(json_object_get(args, "abstract")));

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];
        json_t *entry = json_pack("{s:s}", "name", type->name);

        if (type->abstract || type->interface) {
            json_object_set_new(entry, "abstract", json_true());
        }
        if (type != &object_type) {
            json_object_set_new(entry, "parent",
                                json_string((type->parent ? type->parent : &object_type)->name));
        }
        json_array_append_new(list, entry);
    }
    return list;
}

const QmpCommand qmp_qom_commands[] = {
    {.name = "qom-get",
     .help = "read a property of an object",
     .args = {{"path", QMP_ARG_STR, false}, {"property", QMP_ARG_STR, false}},
     .run = run_qom_get,
     .ret = "any"},
    {.name = "qom-list",
     .help = "children and properties of an object",
     .args = {{"path", QMP_ARG_STR, false}},
     .run = run_qom_list,
     .ret = "[ObjectPropertyInfo]"},
    {.name = "qom-list-types",
     .help = "all types, or those that implement one",
     .args = {{"implements", QMP_ARG_STR, true}, {"abstract", QMP_ARG_BOOL, true}},
     .run = run_qom_list_types,
     .ret = "[ObjectTypeInfo]"},
    {.name = "qom-set",
     .help = "write a property of an object",
     .args = {{"path", QMP_ARG_STR, false},
              {"property", QMP_ARG_STR, false},
              {"value", QMP_ARG_ANY, false}},
     .run = run_qom_set},
    {0},
};
