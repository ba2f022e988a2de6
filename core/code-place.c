/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The places of functions, as CODE_PLACE has left them in a section of their own (see trace.c).
 */
#include "core/code-place.h"

#include <string.h>

extern const CodePlace *__start_aerostat_places[] __attribute__((weak, visibility("hidden")));
extern const CodePlace *__stop_aerostat_places[] __attribute__((weak, visibility("hidden")));

const CodePlace *code_place_find(CodeFn fn)
{
    for (const CodePlace **p = __start_aerostat_places; p < __stop_aerostat_places; p++) {
        if ((*p)->fn == fn) {
            return *p;
        }
    }
    return NULL;
}

/* Where the project lies is nobody's business: what this file's name begins with, others' do. */
static const char *below_root(const char *file)
{
    static const char here[] = __FILE__, own[] = "core/code-place.c";
    size_t root = strlen(here) - strlen(own);

    return strncmp(file, here, root) == 0 ? file + root : file;
}

char *code_place_text(CodeFn fn)
{
    const CodePlace *p = code_place_find(fn);

    return p ? g_strdup_printf("%s (%s:%d)", p->name, below_root(p->file), p->line)
             : g_strdup("a function without CODE_PLACE");
}
