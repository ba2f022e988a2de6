/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Paths in the composition tree: naming an object, and finding one by an absolute path, which
 * follows children and links, or by a partial path, which follows children only and must fit
 * exactly one object.
 */
#include "qom/internal.h"

#include <string.h>

char *object_path(Object *obj)
{
    GString *path;

    if (!object_is_a(object_root(obj), &container_type)) {
        return NULL;
    }
    if (obj->parent == NULL) {
        return g_strdup("/");
    }
    path = g_string_new(NULL);
    for (; obj->parent != NULL; obj = obj->parent) {
        g_string_prepend(path, obj->name);
        g_string_prepend_c(path, '/');
    }
    return g_string_free(path, FALSE);
}

static bool not_found(const char *path, const char *near, GError **err)
{
    if (near != NULL) {
        error_set(err, "object '%s' not found; did you mean '%s'?", path, near);
    } else {
        error_set(err, "object '%s' not found", path);
    }
    if (err != NULL && *err != NULL) {
        (*err)->code = AEROSTAT_ERROR_NOT_FOUND;
    }
    return false;
}

/* What a link property of obj points to, or NULL. */
static Object *linked_object(Object *obj, const char *name)
{
    Object *holder;
    const Property *prop = property_find(obj, name, &holder);

    if (prop == NULL || prop->kind != PROP_KIND_LINK) {
        return NULL;
    }
    return *(Object **)((char *)holder + prop->offset);
}

static const char *near_child(Object *obj, const char *name)
{
    guint count = obj->children != NULL ? obj->children->len : 0;
    g_autofree const char **names = g_new0(const char *, count + 1);

    for (guint i = 0; i < count; i++) {
        names[i] = ((Object *)g_ptr_array_index(obj->children, i))->name;
    }
    return error_near_miss(name, names);
}

static Object *resolve_absolute(Object *root, const char *path, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    Object *obj = root;

    for (char **part = parts; *part != NULL; part++) {
        Object *next;

        if (**part == '\0') {
            continue; /* the leading slash; doubled ones do no harm */
        }
        next = object_child(obj, *part);
        if (next == NULL) {
            next = linked_object(obj, *part);
        }
        if (next == NULL) {
            not_found(path, near_child(obj, *part), err);
            return NULL;
        }
        obj = next;
    }
    return obj;
}

typedef struct PartialSearch {
    char **parts;
    const TypeInfo *type;   /* matches are of this type; NULL: of any */
    Object *first, *second; /* the matches; a third changes nothing */
    const char *last_part;
    GPtrArray *names; /* of all objects seen, for the suggestion; NULL in the first round */
} PartialSearch;

static bool search_partial(Object *obj, void *opaque)
{
    PartialSearch *search = opaque;
    Object *found = obj;

    if (search->names != NULL && obj->name != NULL) {
        g_ptr_array_add(search->names, obj->name);
    }
    for (char **part = search->parts; found != NULL && *part != NULL; part++) {
        found = object_child(found, *part);
    }
    if (found == NULL || (search->type != NULL && !object_is_a(found, search->type))) {
        return true;
    }
    if (search->first != NULL) {
        search->second = found;
        return false;
    }
    search->first = found;
    return true;
}

/* The name in the tree that is nearest to the last part of a partial path. The result is borrowed
 * from the tree. */
static const char *near_anywhere(Object *root, PartialSearch *search)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();

    search->names = names;
    object_foreach(root, search_partial, search);
    search->names = NULL;
    g_ptr_array_add(names, NULL);
    return error_near_miss(search->last_part, (const char *const *)names->pdata);
}

static Object *resolve_partial(Object *root, const char *path, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    PartialSearch search = {.parts = parts};

    if (parts[0] == NULL) { /* the empty path */
        not_found(path, NULL, err);
        return NULL;
    }
    object_foreach(root, search_partial, &search);
    if (search.second != NULL) {
        g_autofree char *first = object_path(search.first);
        g_autofree char *second = object_path(search.second);

        error_set(err, "'%s' is ambiguous: it could be %s or %s", path,
                  first != NULL ? first : search.first->name,
                  second != NULL ? second : search.second->name);
        return NULL;
    }
    if (search.first == NULL) {
        search.last_part = parts[g_strv_length(parts) - 1];
        not_found(path, near_anywhere(root, &search), err);
    }
    return search.first;
}

Object *object_resolve_path(Object *root, const char *path, GError **err)
{
    return path[0] == '/' ? resolve_absolute(root, path, err) : resolve_partial(root, path, err);
}

Object *object_resolve_link(Object *root, const char *path, const TypeInfo *type, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    PartialSearch search = {.parts = parts, .type = type};

    if (path[0] != '/' && path[0] != '\0') {
        object_foreach(root, search_partial, &search);
    }
    if (search.first != NULL && search.second == NULL) {
        return search.first;
    }
    return object_resolve_path(root, path, err);
}
