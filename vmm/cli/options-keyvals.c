/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "TYPE,name=value,...": what stands after most options.
 */
#include <string.h>

#include "vmm/cli/options.h"

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

json_t *options_parse_keyvals(const char *text, const char *first_key, GError **err)
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
        if (!*key || !*value) {
            if (*key && eq) {
                value = "";
            } else {
                json_decref(opts);
                error_set(err, "empty word between commas; the form is name=value,name=value");
                return NULL;
            }
        }
        if (json_object_set_new(opts, key, json_string(value)) < 0) {
            json_decref(opts);
            error_set(err, "text is not valid UTF-8");
            return NULL;
        }
        first = false;
    } while (*text);
    return opts;
}
