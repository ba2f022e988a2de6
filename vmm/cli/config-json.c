/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A configuration as JSON, see config-file.h. The library checks the text and keeps the order of
 * keys, but no line numbers: a second walk over the text, which is known to be good by then, counts
 * them.
 */
#include <string.h>

#include "vmm/cli/config-file.h"

#include <jansson.h>

enum { NESTING_MAX = 8 };

typedef struct {
    ConfigFile *f;
    GPtrArray *faults;
    const char *p; /* in the text */
    unsigned line;
} Walk;

/* --- along the text --- */

/* Commas are as good as space: the text is known to have them where they belong. */
static void skip_space(Walk *w)
{
    for (; *w->p && strchr(" \t\r\n,", *w->p); w->p++) {
        w->line += *w->p == '\n';
    }
}

/* One of "{}[]:", which is what comes next. */
static void skip_mark(Walk *w)
{
    skip_space(w);
    w->p++;
    skip_space(w);
}

/* A text, number or word. */
static void skip_scalar(Walk *w)
{
    if (*w->p != '"') {
        w->p += strcspn(w->p, ",]} \t\r\n");
        skip_space(w);
        return;
    }
    for (w->p++; *w->p != '"'; w->p++) {
        w->p += *w->p == '\\';
    }
    w->p++;
    skip_space(w);
}

/* --- values --- */

/* A scalar as a config file would have it. */
static char *scalar_text(const json_t *value)
{
    if (json_is_boolean(value)) {
        return g_strdup(json_is_true(value) ? "on" : "off");
    }
    return json_is_string(value) ? g_strdup(json_string_value(value))
                                 : json_dumps(value, JSON_ENCODE_ANY);
}

/* What a key of a config file may be. */
static bool check_key(const char *key, GError **err)
{
    g_autofree char *shown = g_strescape(key, NULL);

    return (*key && strlen(key) <= CONFIG_WORD_MAX &&
            strspn(key, config_word_chars) == strlen(key)) ||
           error_set(err,
                     "key '%s' has other than letters, digits, '-', '.' and '_', or is too long",
                     shown);
}

static bool check_scalar(const json_t *value, const char *key, GError **err)
{
    const char *c = json_string_value(value);

    if (json_is_null(value) || json_is_real(value)) {
        return error_set(err, "the value of '%s' must be a text, a whole number, true or false",
                         key);
    }
    for (; c && *c; c++) {
        if (g_ascii_iscntrl(*c)) {
            return error_set(err, "the value of '%s' has a control character", key);
        }
    }
    return true;
}

static void fault(Walk *w, unsigned line, GError *why)
{
    g_ptr_array_add(w->faults, g_strdup_printf("%s:%u: %s", w->f->name, line, why->message));
}

static void take_entry(Walk *w, ConfigGroup *g, const char *key, const json_t *value, unsigned line)
{
    g_autoptr(GError) err = NULL;
    ConfigEntry *e;

    if (!check_key(key, &err) || !check_scalar(value, key, &err)) {
        fault(w, line, err);
        return;
    }
    if (!strcmp(key, "id")) {
        g_free(g->id);
        g->id = scalar_text(value);
        return;
    }
    e = g_new(ConfigEntry, 1);
    *e = (ConfigEntry){.key = g_strdup(key), .value = scalar_text(value), .line = line};
    g_ptr_array_add(g->entries, e);
}

static void walk_value(Walk *w, ConfigGroup *g, const char *key, json_t *value, unsigned depth);

static void walk_list(Walk *w, ConfigGroup *g, const char *key, json_t *list, unsigned depth)
{
    skip_mark(w);
    for (size_t i = 0; i < json_array_size(list); i++) {
        walk_value(w, g, key, json_array_get(list, i), depth);
    }
    skip_mark(w);
}

/* Keys within are "key.inner", as on the command line. */
static void walk_object(Walk *w, ConfigGroup *g, const char *prefix, json_t *object, unsigned depth)
{
    const char *name;
    json_t *value;

    skip_mark(w);
    json_object_foreach(object, name, value)
    {
        g_autofree char *key = prefix ? g_strdup_printf("%s.%s", prefix, name) : g_strdup(name);

        skip_scalar(w);
        skip_mark(w);
        walk_value(w, g, key, value, depth);
    }
    skip_mark(w);
}

static void walk_value(Walk *w, ConfigGroup *g, const char *key, json_t *value, unsigned depth)
{
    unsigned line = w->line;

    if (json_is_object(value)) {
        walk_object(w, g, key, value, depth + 1);
    } else if (json_is_array(value)) {
        walk_list(w, g, key, value, depth + 1);
    } else {
        skip_scalar(w);
        take_entry(w, g, key, value, line);
    }
}

/* --- groups --- */

static void walk_group(Walk *w, const char *name, json_t *value)
{
    ConfigGroup *g = g_new0(ConfigGroup, 1);

    g->name = g_strdup(name);
    g->line = w->line;
    g->entries = g_ptr_array_new_with_free_func((GDestroyNotify)config_entry_free);
    g_ptr_array_add(w->f->groups, g);
    walk_object(w, g, NULL, value, 0);
}

/* One group, or a list of groups of that name. */
static void walk_groups(Walk *w, const char *name, json_t *value)
{
    if (json_is_object(value)) {
        walk_group(w, name, value);
        return;
    }
    skip_mark(w);
    for (size_t i = 0; i < json_array_size(value); i++) {
        walk_group(w, name, json_array_get(value, i));
    }
    skip_mark(w);
}

static bool shape_is_good(const json_t *value)
{
    const json_t *one;
    size_t i;

    json_array_foreach(value, i, one)
    {
        if (!json_is_object(one)) {
            return false;
        }
    }
    return json_is_object(value) || json_is_array(value);
}

static bool check_depth(const json_t *value, unsigned depth)
{
    const json_t *inner;
    const char *key;
    size_t i;

    json_object_foreach((json_t *)value, key, inner)
    {
        if (depth == NESTING_MAX || !check_depth(inner, depth + 1)) {
            return false;
        }
    }
    json_array_foreach(value, i, inner)
    {
        if (depth == NESTING_MAX || !check_depth(inner, depth + 1)) {
            return false;
        }
    }
    return true;
}

/* What the walk relies on. */
static bool check_shape(const char *name, json_t *root, GError **err)
{
    json_t *value;
    const char *key;

    if (!json_is_object(root)) {
        return error_set(err, "%s:1: this is no JSON object", name);
    }
    json_object_foreach(root, key, value)
    {
        if (!shape_is_good(value)) {
            return error_set(err, "%s:1: '%s' must be an object, or a list of objects", name, key);
        }
    }
    return check_depth(root, 0) ||
           error_set(err, "%s:1: more than %d levels of nesting", name, NESTING_MAX);
}

ConfigFile *config_json_parse(const char *name, const char *text, size_t len, GPtrArray *faults,
                              GError **err)
{
    g_autoptr(GPtrArray) own = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *copy = g_strndup(text, len);
    json_error_t jerr;
    json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &jerr), *value;
    Walk w = {.p = copy, .line = 1, .faults = faults ?: own};
    const char *key;

    if (!root) {
        for (char *c = jerr.text; *c; c++) {
            *c = g_ascii_iscntrl(*c) ? ' ' : *c;
        }
        error_set(err, "%s:%d: %s", name, jerr.line, jerr.text);
        return NULL;
    }
    if (!check_shape(name, root, err)) {
        json_decref(root);
        return NULL;
    }
    w.f = config_file_new(name);
    skip_mark(&w);
    json_object_foreach(root, key, value)
    {
        skip_scalar(&w);
        skip_mark(&w);
        walk_groups(&w, key, value);
    }
    json_decref(root);
    if (own->len > 0) {
        error_set(err, "%s", (char *)own->pdata[0]);
        g_clear_pointer(&w.f, config_file_free);
    }
    return w.f;
}
