/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Where options came from, and what becomes of an error: it begins with the line of the config file
 * that it is about, and ends the program or, for a checker, goes to a list.
 */
#include "vmm/cli/options.h"

#include <string.h>

const char *options_origin(const Options *o, json_t *opts)
{
    return g_hash_table_lookup(o->origins, opts);
}

void options_set_origin(Options *o, json_t *opts, char *origin)
{
    g_hash_table_replace(o->origins, json_incref(opts), origin);
}

/* Where the config file is that set an option; NULL: none did, or the command line has it, too. */
static const char *place_of(const Options *o, const char *option)
{
    const struct {
        const char *option, *given;
    } files[] = {{"kernel", o->kernel}, {"initrd", o->initrd}, {"append", o->append}};

    for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
        if (!strcmp(files[i].option, option)) {
            return files[i].given ? NULL
                                  : options_origin(o, json_object_get(o->machine_props, option));
        }
    }
    return g_hash_table_lookup(o->places, option);
}

void options_blame(const Options *o, GError **err)
{
    const char *text = err && *err ? (*err)->message : "";
    size_t len = *text == '-' ? strcspn(text + 1, " :") : 0;
    g_autofree char *option = g_strndup(text + 1, len);
    const char *place = len > 0 ? place_of(o, option) : NULL;
    char *better;

    if (!place) {
        return;
    }
    text += 1 + len;
    better = *text == ':' ? g_strdup_printf("%s%s", place, text)
                          : g_strdup_printf("%s: %s%s", place, option, text);
    g_free((*err)->message);
    (*err)->message = better;
}

void options_say_where(const Options *o, json_t *opts, GError **err, const char *option,
                       const char *key)
{
    const char *text = err && *err ? (*err)->message : "", *origin = options_origin(o, opts), *name;
    json_t *value;

    json_object_foreach(opts, name, value)
    {
        g_autofree char *quoted = g_strdup_printf("'%s'", name);

        if (options_origin(o, value) && strstr(text, quoted)) {
            origin = options_origin(o, value);
            break;
        }
    }
    if (origin) {
        g_prefix_error(err, "%s: ", origin);
    } else {
        name = key ? json_string_value(json_object_get(opts, key)) : NULL;
        g_prefix_error(err, "%s%s%s: ", option, name ? " " : "", name ?: "");
    }
}

static bool follows_from_another(const Options *o, const char *text)
{
    for (unsigned i = 0; i < o->broken->len; i++) {
        g_autofree char *quoted = g_strdup_printf("'%s' not found", (char *)o->broken->pdata[i]);

        if (strstr(text, quoted)) {
            return true;
        }
    }
    return false;
}

bool options_fault(Options *o, GError **err)
{
    if (!o->faults || !*err) {
        return false;
    }
    if (!follows_from_another(o, (*err)->message)) {
        g_ptr_array_add(o->faults, g_strdup((*err)->message));
    }
    g_clear_error(err);
    return true;
}

void options_broken(Options *o, const char *id)
{
    if (id) {
        g_ptr_array_add(o->broken, g_strdup(id));
    }
}
