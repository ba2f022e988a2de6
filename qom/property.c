/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Property tables at work: looking names up through parents, delegates and aliases, defaults, and
 * the rules of setting (read only, frozen by realize). Tables are short and const, so looking up is
 * a walk and costs no memory.
 */
#include "qom/internal.h"

#include <string.h>

/* --- life --- */

static void init_from_type(Object *obj, const TypeInfo *type)
{
    /* Parents first: where a type shadows a property on the same field, its default wins. */
    if (type_parent(type) != NULL) {
        init_from_type(obj, type_parent(type));
    }
    for (const Property *p = type->props; p != NULL && p->kind != PROP_KIND_END; p++) {
        PropertyValue value = {.number = p->def, .text = p->def_str};

        if (p->kind != PROP_KIND_STRING || p->def_str != NULL) {
            property_value_store(obj, p, &value);
        }
    }
}

void properties_init(Object *obj)
{
    init_from_type(obj, obj->klass->type);
}

void properties_finalize(Object *obj)
{
    static const PropertyValue nothing;

    for (const TypeInfo *t = obj->klass->type; t != NULL; t = type_parent(t)) {
        for (const Property *p = t->props; p != NULL && p->kind != PROP_KIND_END; p++) {
            if (p->kind == PROP_KIND_STRING || p->kind == PROP_KIND_LINK) {
                property_value_store(obj, p, &nothing);
            }
        }
    }
}

/* --- lookup and enumeration --- */

static const Property *find_in_chain(const TypeInfo *type, const char *name)
{
    for (; type != NULL; type = type_parent(type)) {
        for (const Property *p = type->props; p != NULL && p->kind != PROP_KIND_END; p++) {
            if (strcmp(p->name, name) == 0) {
                return p;
            }
        }
    }
    return NULL;
}

static const Property *find_alias_target(Object *obj, const Property *alias, Object **ret_holder)
{
    Object *child = object_child(obj, alias->alias_child);

    return child != NULL ? property_find(child, alias->alias_prop, ret_holder) : NULL;
}

const Property *property_find(Object *obj, const char *name, Object **ret_holder)
{
    const TypeInfo *type = obj->klass->type;
    const Property *prop = find_in_chain(type, name);

    if (prop != NULL && prop->kind == PROP_KIND_ALIAS) {
        return find_alias_target(obj, prop, ret_holder);
    }
    if (prop != NULL) {
        if (ret_holder != NULL) {
            *ret_holder = obj;
        }
        return prop;
    }
    for (; type != NULL && prop == NULL; type = type_parent(type)) {
        Object *child = NULL;

        if (type->delegate_type != NULL) {
            child = object_child(obj, type->delegate_child);
        }
        if (child != NULL) {
            prop = property_find(child, name, ret_holder);
        }
    }
    return prop;
}

const Property *type_property_find(const TypeInfo *type, const char *name)
{
    const Property *prop = find_in_chain(type, name);

    for (; type != NULL && prop == NULL; type = type_parent(type)) {
        if (type->delegate_type != NULL) {
            prop = type_property_find(type->delegate_type, name);
        }
    }
    return prop;
}

typedef void PropertyFn(const Property *prop, const TypeInfo *owner, void *opaque);

/* Properties of type and below that a lookup in outer finds: whatever is shadowed, it does not. */
static void foreach_visible(const TypeInfo *outer, const TypeInfo *type, PropertyFn *fn,
                            void *opaque)
{
    for (const TypeInfo *t = type; t != NULL; t = type_parent(t)) {
        for (const Property *p = t->props; p != NULL && p->kind != PROP_KIND_END; p++) {
            if (type_property_find(outer, p->name) == p) {
                fn(p, t, opaque);
            }
        }
    }
    for (const TypeInfo *t = type; t != NULL; t = type_parent(t)) {
        if (t->delegate_type != NULL) {
            foreach_visible(outer, t->delegate_type, fn, opaque);
        }
    }
}

void type_property_foreach(const TypeInfo *type, PropertyFn *fn, void *opaque)
{
    foreach_visible(type, type, fn, opaque);
}

char *property_type_name(const Property *prop)
{
    static const char *const names[] = {
        [PROP_KIND_BOOL] = "bool",     [PROP_KIND_UINT8] = "uint8",   [PROP_KIND_UINT16] = "uint16",
        [PROP_KIND_UINT32] = "uint32", [PROP_KIND_UINT64] = "uint64", [PROP_KIND_INT32] = "int32",
        [PROP_KIND_SIZE] = "size",     [PROP_KIND_STRING] = "str",    [PROP_KIND_ENUM] = "enum",
        [PROP_KIND_MAC] = "str",       [PROP_KIND_PCI_ADDR] = "str",  [PROP_KIND_ALIAS] = "alias",
        [PROP_KIND_CUSTOM] = "any",
    };

    if (prop->kind == PROP_KIND_LINK) {
        return g_strdup_printf("link<%s>", prop->link_type->name);
    }
    return g_strdup(prop->type_name != NULL ? prop->type_name : names[prop->kind]);
}

char *property_default_string(const Property *prop)
{
    if (prop->flags & PROP_NO_DEFAULT) {
        return NULL;
    }
    switch (prop->kind) {
    case PROP_KIND_BOOL:
        return g_strdup(prop->def != 0 ? "on" : "off");
    case PROP_KIND_UINT8:
    case PROP_KIND_UINT16:
    case PROP_KIND_UINT32:
    case PROP_KIND_UINT64:
        return g_strdup_printf("%" G_GUINT64_FORMAT, prop->def);
    case PROP_KIND_INT32:
        return g_strdup_printf("%" G_GINT64_FORMAT, (int64_t)prop->def);
    case PROP_KIND_SIZE:
        return format_size(prop->def);
    case PROP_KIND_STRING:
        return g_strdup(prop->def_str);
    case PROP_KIND_ENUM:
        return g_strdup(prop->words[prop->def]);
    case PROP_KIND_PCI_ADDR:
    case PROP_KIND_LINK:
    case PROP_KIND_MAC:
    case PROP_KIND_ALIAS:
    case PROP_KIND_CUSTOM:
    case PROP_KIND_END:
        break;
    }
    return NULL;
}

/* --- errors --- */

static void collect_name(const Property *prop, const TypeInfo *owner, void *opaque)
{
    g_ptr_array_add(opaque, (gpointer)prop->name);
}

static bool unknown_property(const TypeInfo *type, const char *name, GError **err)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    const char *near;

    type_property_foreach(type, collect_name, names);
    g_ptr_array_add(names, NULL);
    near = error_near_miss(name, (const char *const *)names->pdata);
    if (near == NULL) {
        return error_set(err, "unknown property '%s' of %s", name, type->name);
    }
    return error_set(err, "unknown property '%s' of %s; did you mean '%s'?", name, type->name,
                     near);
}

bool type_property_check_name(const TypeInfo *type, const char *name, GError **err)
{
    return type_property_find(type, name) || unknown_property(type, name, err);
}

/* --- set --- */

/* One property of one object, as asked for by name. */
typedef struct Target {
    Object *obj; /* whose property it is to the user, and to error lines */
    const char *name;
    Object *holder; /* the object that has the field: obj, its delegate, or an alias's child */
    const Property *prop;
} Target;

static bool target_find(Target *target, Object *obj, const char *name, GError **err)
{
    target->obj = obj;
    target->name = name;
    target->prop = property_find(obj, name, &target->holder);
    return target->prop != NULL || unknown_property(obj->klass->type, name, err);
}

static bool target_find_writable(Target *target, Object *obj, const char *name, GError **err)
{
    const Property *prop;

    if (!target_find(target, obj, name, err)) {
        return false;
    }
    prop = target->prop;
    if (prop->flags & PROP_READONLY || (prop->kind == PROP_KIND_CUSTOM && prop->set == NULL)) {
        return error_set(err, "property '%s' of %s is read-only", name, object_type_name(obj));
    }
    if ((obj->props_frozen || target->holder->props_frozen) && !(prop->flags & PROP_RUNTIME)) {
        return error_set(err, "property '%s' of %s cannot be changed after realize", name,
                         object_type_name(obj));
    }
    return true;
}

/* Puts the property's name in front of an error about its value; always returns false. */
static bool bad_value(const Target *target, GError **err)
{
    g_prefix_error(err, "property '%s' of %s: ", target->name, object_type_name(target->obj));
    return false;
}

static void target_done(const Target *target)
{
    Object *holder = target->holder;

    if (holder->set_props == NULL) {
        holder->set_props = g_hash_table_new(g_str_hash, g_str_equal);
    }
    g_hash_table_add(holder->set_props, (gpointer)target->prop->name);
    if (target->prop->changed != NULL) {
        target->prop->changed(holder, target->prop);
    }
}

static bool set_custom(const Target *target, json_t *json, GError **err)
{
    if (!target->prop->set(target->holder, target->prop, json, err)) {
        return bad_value(target, err);
    }
    target_done(target);
    return true;
}

bool property_set_json(Object *obj, const char *name, json_t *json, GError **err)
{
    PropertyValue value = {0};
    Target t;

    if (!target_find_writable(&t, obj, name, err)) {
        return false;
    }
    if (t.prop->kind == PROP_KIND_CUSTOM) {
        return set_custom(&t, json, err);
    }
    if (!property_value_from_json(t.holder, t.prop, json, &value, err)) {
        return bad_value(&t, err);
    }
    property_value_store(t.holder, t.prop, &value);
    target_done(&t);
    return true;
}

static bool set_custom_string(const Target *target, const char *text, GError **err)
{
    json_t *json = property_custom_json(target->prop, text, err);
    bool ok;

    if (json == NULL) {
        return bad_value(target, err);
    }
    ok = set_custom(target, json, err);
    json_decref(json);
    return ok;
}

bool property_set_string(Object *obj, const char *name, const char *text, GError **err)
{
    PropertyValue value = {0};
    Target t;

    if (!target_find_writable(&t, obj, name, err)) {
        return false;
    }
    if (t.prop->kind == PROP_KIND_CUSTOM) {
        return set_custom_string(&t, text, err);
    }
    if (!property_value_from_string(t.holder, t.prop, text, &value, err)) {
        return bad_value(&t, err);
    }
    property_value_store(t.holder, t.prop, &value);
    target_done(&t);
    return true;
}

bool property_set_option(Object *obj, const char *name, json_t *value, GError **err)
{
    return json_is_string(value) ? property_set_string(obj, name, json_string_value(value), err)
                                 : property_set_json(obj, name, value, err);
}

bool property_set_bool(Object *obj, const char *name, bool value, GError **err)
{
    return property_set_json(obj, name, value ? json_true() : json_false(), err);
}

bool property_set_uint(Object *obj, const char *name, uint64_t value, GError **err)
{
    json_t *json = value <= INT64_MAX ? json_integer((json_int_t)value)
                                      : json_sprintf("%" G_GUINT64_FORMAT, value);
    bool ok = property_set_json(obj, name, json, err);

    json_decref(json);
    return ok;
}

bool property_set_link(Object *obj, const char *name, Object *target, GError **err)
{
    PropertyValue value = {.link = target};
    Target t;

    if (!target_find_writable(&t, obj, name, err)) {
        return false;
    }
    if (t.prop->kind != PROP_KIND_LINK) {
        return error_set(err, "property '%s' of %s is not a link", name, object_type_name(obj));
    }
    if (!property_value_check_link(t.prop, target, err)) {
        return bad_value(&t, err);
    }
    property_value_store(t.holder, t.prop, &value);
    target_done(&t);
    return true;
}

/* --- get --- */

json_t *property_get_json(Object *obj, const char *name, GError **err)
{
    json_t *json;
    Target t;

    if (!target_find(&t, obj, name, err)) {
        return NULL;
    }
    if (t.prop->kind != PROP_KIND_CUSTOM) {
        return property_value_to_json(t.holder, t.prop);
    }
    if (t.prop->get == NULL) {
        error_set(err, "property '%s' of %s cannot be read", name, object_type_name(obj));
        return NULL;
    }
    json = t.prop->get(t.holder, t.prop, err);
    if (json == NULL) {
        bad_value(&t, err);
    }
    return json;
}

bool property_was_set(Object *obj, const char *name)
{
    Object *holder;
    const Property *prop = property_find(obj, name, &holder);

    return prop != NULL && holder->set_props != NULL &&
           g_hash_table_contains(holder->set_props, prop->name);
}
