/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -global: what a property of each device of a type begins with; and -rtc, which is such a thing.
 */
#include <string.h>

#include "backends/user-creatable.h"
#include "core/boot-trace.h"
#include "hw/core/device.h"
#include "qom/property.h"
#include "vmm/cli/options.h"

void options_global_free(GlobalOption *global)
{
    g_free(global->driver);
    g_free(global->property);
    g_free(global->value);
    g_free(global->origin);
    g_free(global);
}

/* "DRIVER.PROPERTY=VALUE", in which the driver's name may hold dots, or three keys. */
static json_t *parse_global(const char *arg, GError **err)
{
    const char *eq = strchr(arg, '='), *comma = strchr(arg, ',');
    const char *dot = eq ? g_strrstr_len(arg, eq - arg, ".") : NULL;

    if (!dot || (comma && comma < eq)) {
        return options_parse_keyvals(arg, NULL, err);
    }
    return json_pack("{s:s%, s:s%, s:s}", "driver", arg, (size_t)(dot - arg), "property", dot + 1,
                     (size_t)(eq - dot - 1), "value", eq + 1);
}

static bool check_global(const GlobalOption *global, GError **err)
{
    const TypeInfo *type;

    if (!global->driver || !global->property || !global->value) {
        return error_set(err, "the form is DRIVER.PROPERTY=VALUE");
    }
    type = type_find(global->driver);
    if (!type || !type_is_a(type, &device_type)) {
        return error_set(err, "unknown device type '%s'; '-device help' lists all", global->driver);
    }
    return type_property_check_name(type, global->property, err);
}

bool options_take_global(Options *o, const char *arg, GError **err)
{
    json_t *opts = parse_global(arg, err);
    GlobalOption *global;
    bool ok;

    if (!opts) {
        return *arg && err && *err ? false : error_set(err, "the form is DRIVER.PROPERTY=VALUE");
    }
    global = g_new0(GlobalOption, 1);
    global->driver = options_pop_key(opts, "driver");
    global->property = options_pop_key(opts, "property");
    global->value = options_pop_key(opts, "value");
    ok = options_reject_rest(opts, "driver, property, value", err) && check_global(global, err);
    json_decref(opts);
    if (!ok) {
        options_global_free(global);
        return false;
    }
    g_ptr_array_add(o->globals, global);
    return true;
}

/* --- -rtc --- */

static void add_rtc(Options *o, const char *property, char *value)
{
    GlobalOption *global = g_new0(GlobalOption, 1);

    global->driver = g_strdup("mc146818rtc");
    global->property = g_strdup(property);
    global->value = value;
    global->origin = g_strdup("-rtc");
    g_ptr_array_add(o->globals, global);
}

bool options_take_rtc(Options *o, const char *arg, GError **err)
{
    static const char *const keys[] = {"base", "clock"};
    json_t *opts = options_parse_keyvals(arg, NULL, err);
    g_autofree char *driftfix = NULL;
    bool ok;

    if (!opts) {
        return false;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        char *value = options_pop_key(opts, keys[i]);

        if (value) {
            add_rtc(o, keys[i], value);
        }
    }
    driftfix = options_pop_key(opts, "driftfix");
    ok = options_reject_rest(opts, "base, clock, driftfix", err);
    json_decref(opts);
    return ok && (!driftfix || !strcmp(driftfix, "none") ||
                  error_set(err, "driftfix=%s is not served; known: none", driftfix));
}

bool options_take_trace_boot(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "file", err);
    g_autofree char *file = NULL, *init = NULL;
    bool ok;

    if (!opts) {
        return false;
    }
    file = options_pop_key(opts, "file");
    init = options_pop_key(opts, "init");
    ok = options_reject_rest(opts, "file, init", err);
    json_decref(opts);
    if (!ok || !file || !*file) {
        return ok ? error_set(err, "give a file, such as boot.json") : false;
    }
    /* A checker makes no files. */
    return o->faults ? user_file_check(file, err) : boot_trace_begin(file, init, err);
}
