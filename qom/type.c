/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The type registry and the class cache. They are the only mutable process-wide state of the object
 * model, and it is write-once: a type is entered once, its class is made once on first use, and
 * neither ever changes or goes away. registry_lock guards both; it is recursive because class_init
 * asks for other classes.
 *
 * Registering costs one hash entry per type; classes of types that nobody uses are never made.
 */
#include "qom/internal.h"

#include <string.h>

typedef struct TypeEntry {
    const TypeInfo *type;
    ObjectClass *klass; /* NULL until first use */
} TypeEntry;

static GRecMutex registry_lock;
static GHashTable *registry; /* type name -> TypeEntry */

const TypeInfo object_type = {
    .name = "object",
    .instance_size = sizeof(Object),
    .class_size = sizeof(ObjectClass),
    .abstract = true,
};

const TypeInfo interface_type = {
    .name = "interface",
    .class_size = sizeof(ObjectClass),
    .abstract = true,
    .interface = true,
};

const TypeInfo container_type = {
    .name = "container",
    .parent = &object_type,
};

const TypeInfo *type_parent(const TypeInfo *type)
{
    if (type->parent != NULL || type == &object_type || type == &interface_type) {
        return type->parent;
    }
    return type->interface ? &interface_type : &object_type;
}

size_t type_instance_size(const TypeInfo *type)
{
    while (type != NULL && type->instance_size == 0) {
        type = type_parent(type);
    }
    return type != NULL ? type->instance_size : 0;
}

static size_t type_class_size(const TypeInfo *type)
{
    while (type->class_size == 0) {
        type = type_parent(type);
    }
    return type->class_size;
}

/* A parent's struct is the first member of the child's, so sizes never shrink. */
static void type_assert_sound(const TypeInfo *type)
{
    const TypeInfo *parent = type_parent(type);

    g_assert(type->name != NULL);
    g_assert((type->delegate_type == NULL) == (type->delegate_child == NULL));
    if (parent != NULL) {
        g_assert(type->interface == parent->interface);
        g_assert(type_instance_size(type) >= type_instance_size(parent));
        g_assert(type_class_size(type) >= type_class_size(parent));
    }
}

/* Called with registry_lock held. */
static TypeEntry *type_entry(const TypeInfo *type)
{
    TypeEntry *entry;

    if (registry == NULL) {
        registry = g_hash_table_new(g_str_hash, g_str_equal);
    }
    entry = g_hash_table_lookup(registry, type->name);
    if (entry != NULL) {
        if (entry->type != type) {
            g_error("two types are named '%s'", type->name);
        }
        return entry;
    }
    type_assert_sound(type);
    entry = g_new0(TypeEntry, 1);
    entry->type = type;
    g_hash_table_insert(registry, (gpointer)type->name, entry);
    if (type_parent(type) != NULL) {
        type_entry(type_parent(type));
    }
    for (size_t i = 0; type->interfaces != NULL && type->interfaces[i] != NULL; i++) {
        g_assert(type->interfaces[i]->interface);
        type_entry(type->interfaces[i]);
    }
    if (type->delegate_type != NULL) {
        type_entry(type->delegate_type);
    }
    return entry;
}

void type_register(const TypeInfo *type)
{
    g_rec_mutex_lock(&registry_lock);
    type_entry(type);
    g_rec_mutex_unlock(&registry_lock);
}

void type_register_list(const TypeInfo *const *types)
{
    g_rec_mutex_lock(&registry_lock);
    for (; *types != NULL; types++) {
        type_entry(*types);
    }
    g_rec_mutex_unlock(&registry_lock);
}

const TypeInfo *type_find(const char *name)
{
    TypeEntry *entry = NULL;

    g_rec_mutex_lock(&registry_lock);
    if (registry != NULL) {
        entry = g_hash_table_lookup(registry, name);
    }
    g_rec_mutex_unlock(&registry_lock);
    return entry != NULL ? entry->type : NULL;
}

bool type_is_a(const TypeInfo *type, const TypeInfo *ancestor)
{
    for (; type != NULL; type = type_parent(type)) {
        if (type == ancestor) {
            return true;
        }
        if (!ancestor->interface || type->interfaces == NULL) {
            continue;
        }
        for (const TypeInfo *const *i = type->interfaces; *i != NULL; i++) {
            if (type_is_a(*i, ancestor)) {
                return true;
            }
        }
    }
    return false;
}

static gint type_compare_names(gconstpointer a, gconstpointer b)
{
    const TypeInfo *const *ta = a;
    const TypeInfo *const *tb = b;

    return strcmp((*ta)->name, (*tb)->name);
}

GPtrArray *type_list(const TypeInfo *ancestor, bool include_abstract)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_rec_mutex_lock(&registry_lock);
    if (registry != NULL) {
        g_hash_table_iter_init(&iter, registry);
        while (g_hash_table_iter_next(&iter, NULL, &value)) {
            const TypeInfo *type = ((TypeEntry *)value)->type;

            if ((ancestor == NULL || type_is_a(type, ancestor)) &&
                (include_abstract || !(type->abstract || type->interface))) {
                g_ptr_array_add(list, (gpointer)type);
            }
        }
    }
    g_rec_mutex_unlock(&registry_lock);
    g_ptr_array_sort(list, type_compare_names);
    return list;
}

/* --- classes --- */

/* A copy of a method table, or of the default one that the interface's own class is. */
static ObjectClass *table_copy(const ObjectClass *table)
{
    size_t size = type_class_size(table->type);

    return memcpy(g_malloc(size), table, size);
}

/* The index of the table in klass that is (or derives from) the interface, or -1. */
static int table_index(const ObjectClass *klass, const TypeInfo *interface)
{
    for (guint i = 0; klass->interfaces != NULL && i < klass->interfaces->len; i++) {
        const ObjectClass *table = g_ptr_array_index(klass->interfaces, i);

        if (type_is_a(table->type, interface)) {
            return (int)i;
        }
    }
    return -1;
}

/*
 * Gives klass a table for an interface that it does not have yet. Where klass inherited a table of
 * a parent of that interface, the methods filled in there carry over and the new table takes its
 * place, so that both interfaces keep naming one table.
 */
static void class_add_table(ObjectClass *klass, const TypeInfo *interface)
{
    ObjectClass *table = table_copy(type_class(interface));

    if (klass->interfaces == NULL) {
        klass->interfaces = g_ptr_array_new();
    }
    for (guint i = 0; i < klass->interfaces->len; i++) {
        ObjectClass *old = g_ptr_array_index(klass->interfaces, i);

        if (type_is_a(interface, old->type)) {
            memcpy(table + 1, old + 1, type_class_size(old->type) - sizeof *old);
            g_ptr_array_index(klass->interfaces, i) = table;
            g_free(old);
            return;
        }
    }
    g_ptr_array_add(klass->interfaces, table);
}

static void class_make_interfaces(ObjectClass *klass)
{
    const TypeInfo *const *own = klass->type->interfaces;

    klass->interfaces = NULL;
    if (klass->parent != NULL && klass->parent->interfaces != NULL) {
        GPtrArray *inherited = klass->parent->interfaces;

        klass->interfaces = g_ptr_array_sized_new(inherited->len);
        for (guint i = 0; i < inherited->len; i++) {
            g_ptr_array_add(klass->interfaces, table_copy(g_ptr_array_index(inherited, i)));
        }
    }
    for (; own != NULL && *own != NULL; own++) {
        if (table_index(klass, *own) < 0) {
            class_add_table(klass, *own);
        }
    }
}

/* Called with registry_lock held. */
static void class_make(TypeEntry *entry)
{
    const TypeInfo *type = entry->type;
    const TypeInfo *parent = type_parent(type);
    ObjectClass *parent_class = parent != NULL ? type_class(parent) : NULL;
    ObjectClass *klass = g_malloc0(type_class_size(type));

    if (parent_class != NULL) {
        memcpy(klass, parent_class, type_class_size(parent));
    }
    klass->type = type;
    klass->parent = parent_class;
    class_make_interfaces(klass);
    entry->klass = klass;
    if (type->class_init != NULL) {
        type->class_init(klass, type->class_data);
    }
}

ObjectClass *type_class(const TypeInfo *type)
{
    TypeEntry *entry;

    g_rec_mutex_lock(&registry_lock);
    entry = type_entry(type);
    if (entry->klass == NULL) {
        class_make(entry);
    }
    g_rec_mutex_unlock(&registry_lock);
    return entry->klass;
}

void *object_class_interface(ObjectClass *klass, const TypeInfo *interface)
{
    int index = table_index(klass, interface);

    return index < 0 ? NULL : g_ptr_array_index(klass->interfaces, (guint)index);
}
