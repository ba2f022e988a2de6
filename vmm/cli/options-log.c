/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -trace, -d and -D, see options.h.
 */
#include <stdio.h>
#include <string.h>

#include "backends/user-creatable.h"
#include "core/log.h"
#include "qom/property.h"
#include "vmm/cli/options.h"

static void print_trace_point(const char *event, bool enabled, void *opaque)
{
    puts(event);
}

bool options_take_trace(Options *o, const char *arg, GError **err)
{
    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        trace_list(print_trace_point, NULL);
        o->handled = true;
        return true;
    }
    if (g_str_has_prefix(arg, "enable=")) {
        arg += strlen("enable=");
    }
    return trace_enable(arg, err);
}

bool options_take_log_items(Options *o, const char *arg, GError **err)
{
    if (!strcmp(arg, "help")) {
        for (const char *const *item = log_items(); *item; item++) {
            puts(*item);
        }
        o->handled = true;
        return true;
    }
    return log_set_items(arg, err);
}

bool options_take_log_file(Options *o, const char *arg, GError **err)
{
    if (o->faults) { /* a checker makes no files */
        return user_file_check(arg, err);
    }
    return log_set_file(arg, err);
}
