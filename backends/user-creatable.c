/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -object: from a type's name, an id and properties to a complete object in /objects.
 */
#include "backends/user-creatable.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "qom/property.h"

const TypeInfo user_creatable_type = {
    .name = "user-creatable",
    .parent = &interface_type,
    .interface = true,
    .class_size = sizeof(UserCreatableClass),
    .desc = "can be made by -object",
};

GPtrArray *user_creatable_types(void)
{
    return type_list(&user_creatable_type, false);
}

const TypeInfo *user_creatable_find_type(const char *name, GError **err)
{
    g_autoptr(GPtrArray) types = user_creatable_types();
    g_autofree const char **names = g_new0(const char *, types->len + 1);
    const char *near;
    unsigned n = 0;

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (type->interface) {
            continue;
        }
        if (!strcmp(type->name, name)) {
            return type;
        }
        names[n++] = type->name;
    }
    near = error_near_miss(name, names);
    error_set(err, "unknown object type '%s'%s%s%s; '-object help' lists all", name,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

bool user_id_check(const char *id, GError **err)
{
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

    if (g_ascii_isalpha(*id) && strspn(id, rest) == strlen(id)) {
        return true;
    }
    return error_set(err, "id '%s' must be letters, digits, '-', '.', '_', beginning with a letter",
                     id);
}

bool user_creatable_in_use(Object *obj)
{
    const UserCreatableClass *uc = object_interface(obj, &user_creatable_type);

    return g_atomic_int_get(&obj->ref) > 1 || (uc && uc->in_use && uc->in_use(obj));
}

bool user_file_check(const char *path, GError **err)
{
    g_autofree char *folder = g_path_get_dirname(path);

    if (g_file_test(path, G_FILE_TEST_IS_DIR)) {
        return error_set_errno(err, EISDIR, "cannot open");
    }
    if (!g_file_test(folder, G_FILE_TEST_IS_DIR)) {
        return error_set(err, "there is no folder '%s'", folder);
    }
    return access(g_file_test(path, G_FILE_TEST_EXISTS) ? path : folder, W_OK) == 0 ||
           error_set_errno(err, errno, "cannot write");
}

bool user_creatable_complete(Object *obj, GError **err)
{
    const UserCreatableClass *uc = object_interface(obj, &user_creatable_type);

    if (uc && uc->complete && !uc->complete(obj, err)) {
        return false;
    }
    obj->props_frozen = true;
    return true;
}

static bool set_properties(Object *obj, json_t *opts, GError **err)
{
    const char *key;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        if (!strcmp(key, "qom-type") || !strcmp(key, "id")) {
            continue;
        }
        if (!property_set_option(obj, key, value, err)) {
            return false;
        }
    }
    return true;
}

static bool check_object(Object *obj, GError **err)
{
    const UserCreatableClass *uc = object_interface(obj, &user_creatable_type);

    if (!uc || !uc->check) {
        return user_creatable_complete(obj, err);
    }
    obj->props_frozen = uc->check(obj, err);
    return obj->props_frozen;
}

static Object *add(Object *root, json_t *opts, bool (*finish)(Object *obj, GError **err),
                   GError **err)
{
    const char *type_name = json_string_value(json_object_get(opts, "qom-type"));
    const char *id = json_string_value(json_object_get(opts, "id"));
    const TypeInfo *type;
    Object *obj;

    if (!type_name || !id) {
        error_set(err, "'%s' is missing: give TYPE,id=ID", type_name ? "id" : "qom-type");
        return NULL;
    }
    type = user_creatable_find_type(type_name, err);
    if (!type || !user_id_check(id, err)) {
        return NULL;
    }
    obj = object_new(type);
    if (!object_add_child(object_container(root, "objects"), id, obj, err)) {
        object_unref(obj);
        return NULL;
    }
    if (!set_properties(obj, opts, err) || !finish(obj, err)) {
        object_unparent(obj);
        return NULL;
    }
    return obj;
}

Object *user_creatable_add(Object *root, json_t *opts, GError **err)
{
    return add(root, opts, user_creatable_complete, err);
}

Object *user_creatable_check(Object *root, json_t *opts, GError **err)
{
    return add(root, opts, check_object, err);
}
