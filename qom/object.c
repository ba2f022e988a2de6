/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Instances: making, counting, casting and finalizing them, and their place in the composition
 * tree. Reference counts are atomic; the tree is guarded by the VM lock.
 */
#include "qom/internal.h"

#include <string.h>

/* --- instances --- */

static void instance_init(Object *obj, const TypeInfo *type)
{
    if (type_parent(type) != NULL) {
        instance_init(obj, type_parent(type));
    }
    if (type->instance_init != NULL) {
        type->instance_init(obj);
    }
}

Object *object_new(const TypeInfo *type)
{
    Object *obj;

    g_assert(!type->abstract && !type->interface);
    obj = g_malloc0(type_instance_size(type));
    obj->klass = type_class(type);
    obj->ref = 1;
    properties_init(obj); /* before instance_init, which may choose other defaults */
    instance_init(obj, type);
    return obj;
}

static bool unknown_type(const char *name, GError **err)
{
    g_autoptr(GPtrArray) types = type_list(NULL, false);
    g_autofree const char **names = g_new0(const char *, types->len + 1);
    const char *near;

    for (guint i = 0; i < types->len; i++) {
        names[i] = ((const TypeInfo *)g_ptr_array_index(types, i))->name;
    }
    near = error_near_miss(name, names);
    if (near == NULL) {
        return error_set(err, "unknown type '%s'", name);
    }
    return error_set(err, "unknown type '%s'; did you mean '%s'?", name, near);
}

Object *object_new_by_name(const char *type_name, GError **err)
{
    const TypeInfo *type = type_find(type_name);

    if (type == NULL) {
        unknown_type(type_name, err);
        return NULL;
    }
    if (type->interface) {
        error_set(err, "type '%s' is an interface and has no objects of its own", type_name);
        return NULL;
    }
    if (type->abstract) {
        error_set(err, "type '%s' is abstract and has no objects of its own", type_name);
        return NULL;
    }
    return object_new(type);
}

Object *object_ref(void *obj)
{
    int old = g_atomic_int_add(&((Object *)obj)->ref, 1);

    g_assert(old > 0);
    return obj;
}

static void object_finalize(Object *obj)
{
    /* Latest first: what was added later may lean on what was there before. */
    while (obj->children != NULL && obj->children->len > 0) {
        object_unparent(g_ptr_array_index(obj->children, obj->children->len - 1));
    }
    for (const TypeInfo *type = obj->klass->type; type != NULL; type = type_parent(type)) {
        if (type->instance_finalize != NULL) {
            type->instance_finalize(obj);
        }
    }
    properties_finalize(obj);
    g_clear_pointer(&obj->children, g_ptr_array_unref);
    g_clear_pointer(&obj->set_props, g_hash_table_unref);
    g_free(obj);
}

void object_unref(void *opaque)
{
    Object *obj = opaque;

    if (obj == NULL) {
        return;
    }
    g_assert(g_atomic_int_get(&obj->ref) > 0);
    if (g_atomic_int_dec_and_test(&obj->ref)) {
        g_assert(obj->parent == NULL); /* the tree holds a reference to what is in it */
        object_finalize(obj);
    }
}

/* --- casts --- */

bool object_is_a(const void *obj, const TypeInfo *type)
{
    return type_is_a(((const Object *)obj)->klass->type, type);
}

void *object_cast_checked(void *obj, const TypeInfo *type, const char *file, int line)
{
    if (obj != NULL && !object_is_a(obj, type)) {
        g_error("%s:%d: an object of type '%s' is not a '%s'", file, line, object_type_name(obj),
                type->name);
    }
    return obj;
}

void *object_class_cast_checked(void *klass, const TypeInfo *type, const char *file, int line)
{
    const TypeInfo *actual = klass != NULL ? ((ObjectClass *)klass)->type : NULL;

    /* The class of an object that implements an interface is not that interface's method table. */
    if (actual != NULL && (!type_is_a(actual, type) || actual->interface != type->interface)) {
        g_error("%s:%d: a class of type '%s' is not a '%s'", file, line, actual->name, type->name);
    }
    return klass;
}

/* --- the composition tree --- */

Object *object_root(Object *obj)
{
    while (obj->parent != NULL) {
        obj = obj->parent;
    }
    return obj;
}

Object *object_child(Object *parent, const char *name)
{
    for (guint i = 0; parent->children != NULL && i < parent->children->len; i++) {
        Object *child = g_ptr_array_index(parent->children, i);

        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

bool object_add_child(Object *parent, const char *name, Object *child, GError **err)
{
    g_assert(child->parent == NULL);
    g_assert(object_root(parent) != child); /* no loops */

    if (name[0] == '\0' || strchr(name, '/') != NULL) {
        return error_set(err, "id '%s' must not be empty or contain '/'", name);
    }
    if (object_child(parent, name) != NULL) {
        return error_set(err, "duplicate id '%s'", name);
    }
    if (parent->children == NULL) {
        parent->children = g_ptr_array_new();
    }
    g_ptr_array_add(parent->children, child);
    child->parent = parent;
    child->name = g_strdup(name);
    return true;
}

void object_unparent(Object *obj)
{
    if (obj->parent == NULL) {
        return;
    }
    g_ptr_array_remove(obj->parent->children, obj); /* keeps the order of the others */
    obj->parent = NULL;
    g_clear_pointer(&obj->name, g_free);
    object_unref(obj);
}

Object *object_container(Object *parent, const char *name)
{
    Object *child = object_child(parent, name);

    if (child == NULL) {
        bool added;

        child = object_new(&container_type);
        added = object_add_child(parent, name, child, NULL);
        g_assert(added);
    }
    return child;
}

bool object_foreach(Object *obj, bool (*fn)(Object *obj, void *opaque), void *opaque)
{
    g_autoptr(Object) held = object_ref(obj); /* fn may take obj out of the tree */

    if (!fn(held, opaque)) {
        return false;
    }
    for (guint i = 0; held->children != NULL && i < held->children->len; i++) {
        if (!object_foreach(g_ptr_array_index(held->children, i), fn, opaque)) {
            return false;
        }
    }
    return true;
}
