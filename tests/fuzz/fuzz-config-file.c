/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as a config file: it is read, or gets one line of valid UTF-8 that begins with file and
 * line.
 */
#include <stdint.h>
#include <string.h>

#include "vmm/cli/config-file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
    g_assert(g_utf8_validate(text, -1, NULL));
    g_assert(!strpbrk(text, "\n\r\""));
}

static void check_group(const ConfigGroup *g, unsigned after)
{
    check_text(g->name);
    check_text(g->id ? g->id : "");
    g_assert(g->line > after);
    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];

        check_text(e->key);
        check_text(e->value);
        g_assert(e->line > g->line);
        g_assert(config_group_find(g, e->key) == e || config_group_may_repeat(g, e->key));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) err = NULL;
    const char *text = (const char *)data;
    bool is_json = size > 0 && data[0] == '{';
    g_autoptr(ConfigFile) f = is_json ? config_json_parse("f", text, size, NULL, &err)
                                      : config_file_parse("f", text, size, NULL, &err);
    unsigned line = 0;

    if (!f) {
        g_assert(g_str_has_prefix(err->message, "f:"));
        g_assert(g_utf8_validate(err->message, -1, NULL) && !strchr(err->message, '\n'));
        return 0;
    }
    for (unsigned i = 0; !is_json && i < f->groups->len; i++) {
        const ConfigGroup *g = f->groups->pdata[i];

        check_group(g, line);
        line = g->line;
    }
    return 0;
}
