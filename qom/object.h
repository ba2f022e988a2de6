/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object model: types with single inheritance and interfaces, classes made once on first use,
 * reference-counted instances, property tables (property.h) and the composition tree with its paths.
 *
 * Life of an object: object_new (instance_init from the root type down) -> properties -> in devices realize
 * -> object_unref to zero (children leave, the latest first; instance_finalize from the type up to the root;
 * then strings are freed and links dropped). Defaults are in place before instance_init.
 *
 * Threads: the type registry is filled before any other thread exists, and classes are made under a lock.
 * Reference counts are atomic. Everything else about an object is guarded by the VM lock.
 */
#ifndef AEROSTAT_QOM_OBJECT_H
#define AEROSTAT_QOM_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <glib.h>
#include <jansson.h>

#include "qom/error.h"

typedef struct Object Object;
typedef struct ObjectClass ObjectClass;
typedef struct TypeInfo TypeInfo;
typedef struct Property Property;

/*
 * What a type is. Instances are const and static; a TypeInfo is never copied and lives as long as the program.
 * parent NULL means object_type. instance_size 0 and class_size 0 mean the parent's.
 */
struct TypeInfo {
    const char *name;
    const TypeInfo *parent;
    size_t instance_size;
    size_t class_size;
    bool abstract;
    bool interface; /* an interface type: no instances; class_size is the size of its method table */
    void (*instance_init)(Object *obj);
    void (*instance_finalize)(Object *obj);
    /* Runs once, after the parent's class was copied into klass. data is class_data. */
    void (*class_init)(ObjectClass *klass, const void *data);
    const void *class_data;
    const Property *props;              /* own properties, ended by PROP_END; NULL: none */
    const TypeInfo *const *interfaces;  /* NULL-terminated; NULL: none */
    const char *desc;                   /* one line for -device help; NULL: none */
    /*
     * A proxy: properties that this type does not know are those of delegate_type, held by the child object
     * named delegate_child (made by instance_init). This is how virtio-balloon-pci has the properties of
     * virtio-balloon-device.
     */
    const TypeInfo *delegate_type;
    const char *delegate_child;
};

/* Hears of memory that an object owns: its kind (a static word, such as one of these) and where it lies. */
typedef void MemoryTell(void *opaque, const char *kind, const void *start, size_t bytes);
#define MEMORY_QUEUE  "queue"
#define MEMORY_RING   "ring"   /* the guest's: in its RAM */
#define MEMORY_BUFFER "buffer"

/* First member of every class struct. */
struct ObjectClass {
    const TypeInfo *type;
    ObjectClass *parent;         /* NULL for object_type's */
    /* For the memory bill: tells of what was allocated besides the instance, as far as it is of a size to speak of.
     * NULL: nothing. VM lock. */
    void (*memory)(Object *obj, MemoryTell *tell, void *opaque);
    GPtrArray *interfaces;       /* of ObjectClass *, one method table per interface, inherited ones included; NULL: none */
};

/* First member of every instance struct. Memory of a new instance is zeroed. */
struct Object {
    ObjectClass *klass;
    int ref;                     /* atomic */
    Object *parent;              /* in the composition tree; NULL: not placed */
    char *name;                  /* of the child property of parent that this is */
    GPtrArray *children;         /* object.children, owned references, in order of adding; NULL: none */
    GHashTable *set_props;       /* names of properties set by the user, for "was it given?"; NULL: none */
    bool props_frozen;           /* set at realize: only RUNTIME properties can be set from then on */
};

extern const TypeInfo object_type;
extern const TypeInfo interface_type;

/* --- types --- */

/* Makes the types of a NULL-terminated list known by name (parents and interfaces are registered with them).
 * Registering a type twice is harmless; two types of one name are a bug (g_assert). */
void type_register_list(const TypeInfo *const *types);
void type_register(const TypeInfo *type);

/* The type of that name, or NULL. */
const TypeInfo *type_find(const char *name);

bool type_is_a(const TypeInfo *type, const TypeInfo *ancestor); /* interfaces included */

/* All registered types below ancestor (itself included), sorted by name; NULL ancestor: all. Free with g_ptr_array_unref. */
GPtrArray *type_list(const TypeInfo *ancestor, bool include_abstract);

/* The class of a type, made on first use, parents first. Never freed. */
ObjectClass *type_class(const TypeInfo *type);

/* The method table of an interface in klass, or NULL when klass does not implement it. */
void *object_class_interface(ObjectClass *klass, const TypeInfo *interface);
static inline void *object_interface(Object *obj, const TypeInfo *interface)
{
    return object_class_interface(obj->klass, interface);
}

/* --- instances --- */

/* A new instance with one reference. The type must be concrete (g_assert). */
Object *object_new(const TypeInfo *type);

/* By name; fails with one line (and a suggestion) for an unknown, abstract or interface type. */
Object *object_new_by_name(const char *type_name, GError **err);

Object *object_ref(void *obj);
void object_unref(void *obj); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Object, object_unref)

bool object_is_a(const void *obj, const TypeInfo *type);
static inline const char *object_type_name(const void *obj)
{
    return ((const Object *)obj)->klass->type->name;
}

/* Checked casts; use the ones that OBJECT_DECLARE makes. They abort with both type names on a mismatch. */
void *object_cast_checked(void *obj, const TypeInfo *type, const char *file, int line);
void *object_class_cast_checked(void *klass, const TypeInfo *type, const char *file, int line);

#ifdef AEROSTAT_CHECK_CASTS
#define OBJECT_CAST_(obj, type)       object_cast_checked((void *)(obj), (type), __FILE__, __LINE__)
#define OBJECT_CLASS_CAST_(cls, type) object_class_cast_checked((void *)(cls), (type), __FILE__, __LINE__)
#else
#define OBJECT_CAST_(obj, type)       ((void)(type), (void *)(obj))
#define OBJECT_CLASS_CAST_(cls, type) ((void)(type), (void *)(cls))
#endif

/* Any object as its base. */
G_GNUC_UNUSED static inline Object *OBJECT(const void *obj)
{
    return (Object *)OBJECT_CAST_(obj, &object_type);
}

/*
 * OBJECT_DECLARE(VirtioBalloon, virtio_balloon, VIRTIO_BALLOON)
 *   declares the typedef, the TypeInfo virtio_balloon_type and the cast VIRTIO_BALLOON(obj).
 * OBJECT_DECLARE_CLASS(Device, DeviceClass, device, DEVICE)
 *   declares the same plus the class typedef, DEVICE_CLASS(klass) and DEVICE_GET_CLASS(obj).
 */
#define OBJECT_DECLARE(Struct, lower, UPPER)                                                       \
    typedef struct Struct Struct;                                                                  \
    extern const TypeInfo lower##_type;                                                            \
    G_GNUC_UNUSED static inline Struct *UPPER(const void *obj)                                     \
    {                                                                                              \
        return (Struct *)OBJECT_CAST_(obj, &lower##_type);                                         \
    }

#define OBJECT_DECLARE_CLASS(Struct, ClassStruct, lower, UPPER)                                    \
    OBJECT_DECLARE(Struct, lower, UPPER)                                                           \
    typedef struct ClassStruct ClassStruct;                                                        \
    G_GNUC_UNUSED static inline ClassStruct *UPPER##_CLASS(const void *klass)                      \
    {                                                                                              \
        return (ClassStruct *)OBJECT_CLASS_CAST_(klass, &lower##_type);                            \
    }                                                                                              \
    G_GNUC_UNUSED static inline ClassStruct *UPPER##_GET_CLASS(const void *obj)                    \
    {                                                                                              \
        return UPPER##_CLASS(((const Object *)obj)->klass);                                        \
    }

/* --- the composition tree --- */

/* A free-standing root ("container" objects make /machine, /machine/peripheral, ...). */
extern const TypeInfo container_type;

/*
 * Makes child a child of parent under name, which must not contain '/'. The tree takes over the caller's
 * reference. Fails (and takes nothing) when the name is taken: "duplicate id 'x'".
 */
bool object_add_child(Object *parent, const char *name, Object *child, GError **err);

/* Takes obj out of its parent, dropping the tree's reference. Nothing happens to an object without parent. */
void object_unparent(Object *obj);

Object *object_child(Object *parent, const char *name); /* borrowed, or NULL */
Object *object_root(Object *obj); /* its topmost ancestor; obj itself when it is not placed */

/* The child of that name, made as a container where it is missing. Borrowed. */
Object *object_container(Object *parent, const char *name);

/* "/machine/peripheral/balloon0"; the root, a container, is "/". Objects that no such root holds give NULL. Free with
 * g_free. */
char *object_path(Object *obj);

/*
 * Resolves an absolute path from root (link properties are followed), or a partial path ("balloon0",
 * "peripheral/balloon0") that must fit exactly one object. Borrowed; NULL with err set when not found or ambiguous.
 */
Object *object_resolve_path(Object *root, const char *path, GError **err);

/* Calls fn for obj and everything below it, parents first, until fn returns false. Returns false when stopped. */
bool object_foreach(Object *obj, bool (*fn)(Object *obj, void *opaque), void *opaque);

#endif
