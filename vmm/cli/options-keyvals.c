/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What stands after an option: "key=value,key=value" or a JSON object.
 */
#include "vmm/cli/options.h"

#include <string.h>

#include "qom/property.h"

/* The text up to the next single comma, with ",," made ","; *text moves behind it. */
static char *next_item(const char **text)
{
    GString *item = g_string_new(NULL);
    const char *p = *text;

    for (; *p; p++) {
        if (*p == ',') {
            if (p[1] != ',') {
                break;
            }
            p++;
        }
        g_string_append_c(item, *p);
    }
    *text = *p ? p + 1 : p;
    return g_string_free(item, FALSE);
}

/* False: not UTF-8. With lists, a key that is there already gets a list. */
static bool put(json_t *opts, const char *key, const char *value, bool lists)
{
    json_t *text = json_string(value), *before = lists ? json_object_get(opts, key) : NULL;

    if (!before) {
        return json_object_set_new(opts, key, text) == 0;
    }
    if (!json_is_array(before)) {
        before = json_pack("[O]", before);
        json_object_set_new(opts, key, before);
    }
    return json_array_append_new(before, text) == 0;
}

static json_t *parse(const char *text, const char *first_key, bool lists, GError **err)
{
    json_t *opts = json_object();
    bool first = true;

    do {
        g_autofree char *item = next_item(&text);
        char *eq = strchr(item, '=');
        const char *key = item, *value = "on";

        if (eq) {
            *eq = '\0';
            value = eq + 1;
        } else if (first && first_key) {
            key = first_key;
            value = item;
        }
        if (!*key || (!*value && !eq)) {
            json_decref(opts);
            error_set(err, "empty word between commas; the form is name=value,name=value");
            return NULL;
        }
        if (!put(opts, key, value, lists)) {
            json_decref(opts);
            error_set(err, "text is not valid UTF-8");
            return NULL;
        }
        first = false;
    } while (*text);
    return opts;
}

json_t *options_parse_keyvals(const char *text, const char *first_key, GError **err)
{
    return parse(text, first_key, false, err);
}

json_t *options_parse_object(const char *arg, const char *first_key, bool lists, GError **err)
{
    json_t *opts;

    if (*arg != '{') {
        return parse(arg, first_key, lists, err);
    }
    opts = parse_json(arg, strlen(arg), err);
    g_prefix_error(err, "not a JSON object: ");
    return opts;
}

char *options_pop_key(json_t *opts, const char *key)
{
    char *value = g_strdup(json_string_value(json_object_get(opts, key)));

    json_object_del(opts, key);
    return value;
}

bool options_reject_rest(json_t *opts, const char *known, GError **err)
{
    void *iter = json_object_iter(opts);

    if (!iter) {
        return true;
    }
    return error_set(err, "unknown '%s'; known: %s", json_object_iter_key(iter), known);
}
