/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The human monitor's commands that make, delete and look at things: QMP's, with the arguments of
 * the command line's options.
 */
#include <string.h>

#include "hw/core/device.h"
#include "qom/property.h"
#include "vmm/monitor/hmp-internal.h"

/* The text up to the next comma, of which two are one that counts for nothing; *text moves behind
 * it. g_free. */
static char *take_item(const char **text)
{
    GString *item = g_string_new(NULL);
    const char *p = *text;

    for (; *p && (*p != ',' || p[1] == ','); p++) {
        g_string_append_c(item, *p);
        p += *p == ',';
    }
    *text = *p ? p + 1 : p;
    return g_string_free(item, FALSE);
}

/* "VALUE,name=value,flag"; the first may stand without its name, first_key (NULL: it may not). */
static json_t *keyvals(const char *text, const char *first_key)
{
    json_t *args = json_object();

    for (bool first = true; *text; first = false) {
        g_autofree char *item = take_item(&text);
        char *eq = strchr(item, '=');

        if (eq) {
            *eq = '\0';
            json_object_set_new(args, item, json_string(eq + 1));
        } else if (first && first_key) {
            json_object_set_new(args, first_key, json_string(item));
        } else {
            json_object_set_new(args, item, json_string("on"));
        }
    }
    return args;
}

static void run(HmpMonitor *mon, const char *command, json_t *args)
{
    json_decref(hmp_qmp(mon, command, args));
}

/* --- devices --- */

static void list_devices(HmpMonitor *mon)
{
    g_autoptr(GPtrArray) types = type_list(&device_type, false);

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (DEVICE_CLASS(type_class(type))->user_creatable) {
            hmp_print(mon, "name \"%s\"", type->name);
            hmp_print(mon, type->desc ? ", desc \"%s\"\r\n" : "%s\r\n", type->desc ?: "");
        }
    }
}

static void list_properties(HmpMonitor *mon, const char *type)
{
    json_t *list = hmp_qmp(mon, "device-list-properties", json_pack("{s:s}", "typename", type));
    json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *text = json_string_value(json_object_get(entry, "description"));

        hmp_print(mon, "  %s=<%s>%s%s\r\n", json_string_value(json_object_get(entry, "name")),
                  json_string_value(json_object_get(entry, "type")), text ? " - " : "", text ?: "");
    }
    json_decref(list);
}

/* "virtio-rng" is "virtio-rng-pci" where there are buses of PCI, of which there is help. */
static void help_device(HmpMonitor *mon, const char *name)
{
    const TypeInfo *type = machine_device_type(hmp_machine(mon), name, NULL);

    list_properties(mon, type ? type->name : name);
}

void hmp_device_add(HmpMonitor *mon, const char *arg)
{
    json_t *args = keyvals(arg, "driver");
    const char *driver = json_string_value(json_object_get(args, "driver"));

    if (driver && (!strcmp(driver, "help") || !strcmp(driver, "?"))) {
        list_devices(mon);
    } else if (driver && json_object_get(args, "help")) {
        help_device(mon, driver);
    } else {
        run(mon, "device_add", json_incref(args));
    }
    json_decref(args);
}

void hmp_device_del(HmpMonitor *mon, const char *arg)
{
    run(mon, "device_del", json_pack("{s:s}", "id", arg));
}

/* --- backends --- */

/* What blockdev-add makes of the keys of -drive that can be said of an image that is opened later;
 * NULL with a message. */
static json_t *node_of(HmpMonitor *mon, json_t *drive)
{
    static const char *const known[] = {"file", "if", "id", "format", "readonly", NULL};
    const char *file = json_string_value(json_object_get(drive, "file")), *key;
    const char *id = json_string_value(json_object_get(drive, "id"));
    const char *interface = json_string_value(json_object_get(drive, "if"));
    const char *format = json_string_value(json_object_get(drive, "format")) ?: "raw";
    const char *readonly = json_string_value(json_object_get(drive, "readonly")) ?: "off";
    json_t *value;
    bool is_readonly;

    json_object_foreach(drive, key, value)
    {
        if (!g_strv_contains(known, key)) {
            hmp_print(mon, "Error: drive_add knows no '%s'; QMP's blockdev-add has more\r\n", key);
            return NULL;
        }
    }
    if (!file || !id || g_strcmp0(interface, "none") != 0 ||
        !parse_bool(readonly, &is_readonly, NULL)) {
        hmp_print(mon, "Error: drive_add: the form is 0 file=FILE,if=none,id=ID[,format=raw]"
                       "[,readonly=on]\r\n");
        return NULL;
    }
    return json_pack("{s:s, s:s, s:b, s:{s:s, s:s, s:b}}", "driver", format, "node-name", id,
                     "read-only", is_readonly, "file", "driver", "file", "filename", file,
                     "read-only", is_readonly);
}

/* QEMU's has the address of a controller first, which says nothing with if=none. */
void hmp_drive_add(HmpMonitor *mon, const char *arg)
{
    const char *rest = arg + strcspn(arg, " ");
    json_t *drive = keyvals(*rest ? rest + strspn(rest, " ") : arg, NULL);
    json_t *node = node_of(mon, drive);

    if (node) {
        run(mon, "blockdev-add", node);
    }
    json_decref(drive);
}

void hmp_drive_del(HmpMonitor *mon, const char *arg)
{
    run(mon, "blockdev-del", json_pack("{s:s}", "node-name", arg));
}

static void put_kind(const char *name, void *opaque)
{
    hmp_print(opaque, "  %s\r\n", name);
}

void hmp_chardev_add(HmpMonitor *mon, const char *arg)
{
    json_t *opts = keyvals(arg, "backend");
    const char *kind = json_string_value(json_object_get(opts, "backend"));
    g_autoptr(GError) err = NULL;

    if (kind && (!strcmp(kind, "help") || !strcmp(kind, "?"))) {
        hmp_print(mon, "Available chardev backend types:\r\n");
        chardev_foreach_backend(put_kind, mon);
    } else if (!qmp_chardev_add(hmp_machine(mon), opts, &err)) {
        hmp_print(mon, "Error: %s\r\n", err->message);
    }
    json_decref(opts);
}

void hmp_chardev_remove(HmpMonitor *mon, const char *arg)
{
    run(mon, "chardev-remove", json_pack("{s:s}", "id", arg));
}

void hmp_netdev_add(HmpMonitor *mon, const char *arg)
{
    run(mon, "netdev_add", keyvals(arg, "type"));
}

void hmp_netdev_del(HmpMonitor *mon, const char *arg)
{
    run(mon, "netdev_del", json_pack("{s:s}", "id", arg));
}

void hmp_object_add(HmpMonitor *mon, const char *arg)
{
    run(mon, "object-add", keyvals(arg, "qom-type"));
}

void hmp_object_del(HmpMonitor *mon, const char *arg)
{
    run(mon, "object-del", json_pack("{s:s}", "id", arg));
}

/* --- objects --- */

void hmp_qom_list(HmpMonitor *mon, const char *arg)
{
    json_t *list = hmp_qmp(mon, "qom-list", json_pack("{s:s}", "path", *arg ? arg : "/")), *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        hmp_print(mon, "%s (%s)\r\n", json_string_value(json_object_get(entry, "name")),
                  json_string_value(json_object_get(entry, "type")));
    }
    json_decref(list);
}

void hmp_qom_get(HmpMonitor *mon, const char *arg)
{
    g_auto(GStrv) words = g_strsplit(arg, " ", 2);
    g_autofree char *text = NULL;
    json_t *value;

    if (g_strv_length(words) != 2) {
        hmp_print(mon, "Error: qom-get: give a path and a property\r\n");
        return;
    }
    value =
        hmp_qmp(mon, "qom-get", json_pack("{s:s, s:s}", "path", words[0], "property", words[1]));
    if (value) {
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_INDENT(4));
        hmp_print(mon, "%s\r\n", text);
    }
    json_decref(value);
}

/* The value is text, as on the command line: 1.5G, on. */
void hmp_qom_set(HmpMonitor *mon, const char *arg)
{
    g_auto(GStrv) words = g_strsplit(arg, " ", 3);
    g_autoptr(GError) err = NULL;
    Object *obj;

    if (g_strv_length(words) != 3) {
        hmp_print(mon, "Error: qom-set: give a path, a property and a value\r\n");
        return;
    }
    obj = object_resolve_path(hmp_machine(mon)->platform.root, words[0], &err);
    if (!obj || !property_set_string(obj, words[1], words[2], &err)) {
        hmp_print(mon, "Error: %s\r\n", err->message);
    }
}
