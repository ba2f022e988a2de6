/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -complete, see complete.h. An option's argument is a list of words between commas: the first may
 * be the name of a type, the others are keys of that type, each with its value.
 */
#include "vmm/cli/complete.h"

#include <stdio.h>
#include <string.h>

#include "backends/block.h"
#include "backends/chardev.h"
#include "backends/net.h"
#include "backends/user-creatable.h"
#include "core/log.h"
#include "qom/property.h"
#include "vmm/cli/readconfig.h"
#include "vmm/machine/machine.h"

#define FILES ":files"

typedef struct {
    char *head;       /* of the argument, up to the last comma or "key=", which stays as it is */
    const char *word; /* what is being typed */
    const char
        *first; /* the argument's first word when that is complete; NULL: it is being typed */
} Request;

static void offer(const Request *r, const char *word, const char *end)
{
    if (g_str_has_prefix(word, r->word)) {
        printf("%s%s%s\n", r->head, word, end);
    }
}

static void offer_all(const Request *r, const char *const *words, const char *end)
{
    for (; *words; words++) {
        offer(r, *words, end);
    }
}

/* --- types --- */

static void offer_devices(const Request *r)
{
    g_autoptr(GPtrArray) types = type_list(&device_type, false);

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (!DEVICE_CLASS(type_class(type))->user_creatable) {
            continue;
        }
        offer(r, type->name, "");
        if (g_str_has_prefix(type->name, "virtio-") && g_str_has_suffix(type->name, "-pci")) {
            g_autofree char *alias = g_strndup(type->name, strlen(type->name) - strlen("-pci"));

            offer(r, alias, "");
        }
    }
}

static const TypeInfo *find_device(const char *name)
{
    const TypeInfo *type = type_find(name);
    g_autofree char *pci = g_strconcat(name, "-pci", NULL);

    type = type ?: type_find(pci);
    return type && type_is_a(type, &device_type) && DEVICE_CLASS(type_class(type))->user_creatable
               ? type
               : NULL;
}

static void offer_objects(const Request *r)
{
    g_autoptr(GPtrArray) types = user_creatable_types();

    for (unsigned i = 0; i < types->len; i++) {
        const TypeInfo *type = types->pdata[i];

        if (!type->interface) {
            offer(r, type->name, "");
        }
    }
}

static const TypeInfo *find_object(const char *name)
{
    return user_creatable_find_type(name, NULL);
}

static void offer_machines(const Request *r)
{
    for (unsigned i = 0; machine_types[i]; i++) {
        offer(r, MACHINE_CLASS(type_class(machine_types[i]))->alias, "");
    }
}

static const TypeInfo *find_machine(const char *name)
{
    return machine_type_find(name, NULL);
}

static void offer_accels(const Request *r)
{
    for (unsigned i = 0; accel_types[i]; i++) {
        g_autofree char *name =
            g_strndup(accel_types[i]->name, strlen(accel_types[i]->name) - strlen("-accel"));

        offer(r, name, "");
    }
}

static const TypeInfo *find_accel(const char *name)
{
    return accel_type_find(name, NULL);
}

static void offer_cut(const Request *r, const TypeInfo *const *types, const char *prefix)
{
    for (unsigned i = 0; types[i]; i++) {
        offer(r, types[i]->name + strlen(prefix), "");
    }
}

static void offer_nets(const Request *r)
{
    offer_cut(r, net_types, "netdev-");
}

static const TypeInfo *find_net(const char *name)
{
    g_autofree char *full = g_strconcat("netdev-", name, NULL);

    return type_find(full);
}

static void offer_blocks(const Request *r)
{
    offer_cut(r, block_types, "block-");
}

static const TypeInfo *find_block(const char *name)
{
    g_autofree char *full = g_strconcat("block-", name, NULL);

    return type_find(full);
}

static void offer_chardev(const char *name, void *opaque)
{
    offer(opaque, name, "");
}

static void offer_chardevs(const Request *r)
{
    chardev_foreach_backend(offer_chardev, (void *)r);
}

static void offer_streams(const Request *r)
{
    static const char *const whole[] = {"stdio", "mon:stdio", "pty", "null", "none", NULL},
                             *const begun[] = {
                                 "unix:", "tcp:127.0.0.1:", "file:", "pipe:", "chardev:", NULL};
    static const char *const flags[] = {"server=on", "wait=off", NULL};

    if (r->first) {
        offer_all(r, flags, "");
        return;
    }
    offer_all(r, whole, "");
    offer_all(r, begun, "");
    if (g_str_has_prefix(r->word, "unix:") || g_str_has_prefix(r->word, "file:") ||
        g_str_has_prefix(r->word, "pipe:")) {
        puts(FILES);
    }
}

static void offer_event(const char *event, bool enabled, void *opaque)
{
    offer(opaque, event, "");
}

static void offer_events(const Request *r)
{
    trace_list(offer_event, (void *)r);
}

static void offer_items(const Request *r)
{
    offer_all(r, log_items(), "");
}

/* --- options --- */

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* An option whose keys are those of a group in config files, and no properties, needs no row. */
static const struct {
    const char *option;
    const char *type_key;            /* "driver": -device driver=X is -device X */
    void (*offer)(const Request *r); /* first words; NULL: none but these: */
    const char *const *words;
    const TypeInfo *(*find)(const char *name); /* the type that has the keys; NULL: none */
    const char *const *keys;                   /* besides; NULL: none */
} rows[] = {
    {"M", "type", offer_machines, WORDS("help"), find_machine, WORDS("accel", "help")},
    {"machine", "type", offer_machines, WORDS("help"), find_machine, WORDS("accel", "help")},
    {"accel", "accel", offer_accels, WORDS("help"), find_accel, NULL},
    {"device", "driver", offer_devices, WORDS("help"), find_device, WORDS("id", "bus", "help")},
    {"explain", "driver", offer_devices, WORDS("help"), find_device, WORDS("id", "bus", "help")},
    {"object", "qom-type", offer_objects, WORDS("help"), find_object, WORDS("id", "help")},
    {"netdev", "type", offer_nets, WORDS("help"), find_net, WORDS("id", "help")},
    {"nic", "type", offer_nets, WORDS("none", "help"), find_net, WORDS("mac", "model", "help")},
    {"blockdev", "driver", offer_blocks, NULL, find_block, WORDS("driver", "node-name")},
    {"drive", NULL, NULL, NULL, NULL,
     WORDS("file", "format", "if", "id", "cache", "aio", "discard", "readonly", "snapshot",
           "detect-zeroes", "rerror", "werror", "serial")},
    {"chardev", "backend", offer_chardevs, WORDS("help"), NULL, WORDS("id", "mux")},
    {"serial", NULL, offer_streams, NULL, NULL, NULL},
    {"monitor", NULL, offer_streams, NULL, NULL, NULL},
    {"qmp", NULL, offer_streams, NULL, NULL, NULL},
    {"gdb", NULL, offer_streams, NULL, NULL, NULL},
    {"qmp-pretty", NULL, offer_streams, NULL, NULL, NULL},
    {"qtest", NULL, offer_streams, NULL, NULL, NULL},
    {"trace", NULL, offer_events, WORDS("help"), NULL, NULL},
    {"d", NULL, offer_items, WORDS("help"), NULL, NULL},
    {"cpu", NULL, NULL, WORDS("host", "max", "help"), NULL, NULL},
    {"display", NULL, NULL, WORDS("none"), NULL, NULL},
    {"vga", NULL, NULL, WORDS("none"), NULL, NULL},
    {"parallel", NULL, NULL, WORDS("none"), NULL, NULL},
    {"audio", NULL, NULL, WORDS("none"), NULL, NULL},
    {"audiodev", NULL, NULL, WORDS("none"), NULL, WORDS("id")},
    {"net", NULL, NULL, WORDS("none"), NULL, NULL},
    {"dump-tree", NULL, NULL, WORDS("dot"), NULL, NULL},
    {"dump-man", NULL, NULL, WORDS("1", "5", "7"), NULL, NULL},
};

static void offer_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    if (!(prop->flags & PROP_READONLY) && (prop->kind != PROP_KIND_CUSTOM || prop->set) &&
        !g_str_has_prefix(prop->name, "x-")) {
        offer(opaque, prop->name, "=");
    }
}

static void offer_key(const char *key, void *opaque)
{
    offer(opaque, key, "=");
}

static void offer_keys(const Request *r, unsigned row)
{
    const TypeInfo *type = rows[row].find && r->first ? rows[row].find(r->first) : NULL;

    if (type) {
        type_property_foreach(type, offer_property, (void *)r);
    }
    if (r->first && rows[row].offer == offer_chardevs) {
        chardev_foreach_key(r->first, offer_key, (void *)r);
    }
    for (unsigned i = 0; rows[row].keys && rows[row].keys[i]; i++) {
        offer(r, rows[row].keys[i], strcmp(rows[row].keys[i], "help") != 0 ? "=" : "");
    }
}

static bool is_path(const char *key)
{
    static const char *const keys[] = {"file",   "filename", "path",   "mem-path",
                                       "kernel", "initrd",   "script", "downscript",
                                       "helper", "dumpdtb",  NULL};

    return g_strv_contains(keys, key);
}

static bool is_flag(const char *key)
{
    static const char *const keys[] = {"server",  "wait",     "mux",      "append", "signal",
                                       "nodelay", "readonly", "snapshot", NULL};

    return g_strv_contains(keys, key);
}

/* What may stand after "key=". */
static void offer_values(const Request *r, unsigned row, const char *key)
{
    static const char *const flags[] = {"on", "off", NULL};
    const TypeInfo *type = rows[row].find && r->first ? rows[row].find(r->first) : NULL;
    const Property *prop = type ? type_property_find(type, key) : NULL;

    if (!g_strcmp0(key, rows[row].type_key)) {
        rows[row].offer(r);
    } else if (prop && prop->kind == PROP_KIND_ENUM) {
        offer_all(r, prop->words, "");
    } else if ((prop && prop->kind == PROP_KIND_BOOL) || is_flag(key)) {
        offer_all(r, flags, "");
    } else if (is_path(key)) {
        puts(FILES);
    } else if (!strcmp(key, "accel")) {
        offer_accels(r);
    } else if (!strcmp(key, "if")) {
        offer_all(r, WORDS("virtio", "none"), "");
    } else if (!strcmp(key, "format")) {
        offer_all(r, WORDS("raw"), "");
    }
}

static void offer_group(const char *name, const char *const *keys, const char *needed, bool has_id,
                        void *opaque)
{
    void *const *both = opaque;

    if (!g_strcmp0(readconfig_group_option(name), both[1])) {
        offer_all(both[0], keys, "=");
    }
}

/* --- one word --- */

static void offer_option(const char *name, const char *arg, const char *help, void *opaque)
{
    g_autofree char *dashed = g_strconcat("-", name, NULL);

    if (strcmp(name, "complete") != 0) {
        offer(opaque, dashed, "");
    }
}

static void offer_file(const char *name, const char *arg, const char *help, void *opaque)
{
    if (!strcmp(name, opaque) && arg && (g_str_has_prefix(arg, "FILE") || !strcmp(arg, "PATH"))) {
        puts(FILES);
    }
}

static void complete_row(const Request *r, unsigned row, const char *key)
{
    if (key) {
        offer_values(r, row, key);
        return;
    }
    if (!r->first || rows[row].offer == offer_streams) {
        if (rows[row].offer) {
            rows[row].offer(r);
        }
        if (rows[row].words && !r->first) {
            offer_all(r, rows[row].words, "");
        }
    }
    if (r->first || !rows[row].type_key) {
        offer_keys(r, row);
    }
}

/* A comma in a value is written twice, and none. */
static const char *last_comma(const char *text)
{
    const char *last = NULL;

    for (const char *p = text; *p; p++) {
        if (p[0] == ',' && p[1] == ',') {
            p++;
        } else if (*p == ',') {
            last = p;
        }
    }
    return last;
}

static void complete_argument(const char *option, const char *text)
{
    const char *comma = last_comma(text), *piece = comma ? comma + 1 : text,
               *eq = strchr(piece, '=');
    g_autofree char *first = comma ? g_strndup(text, strcspn(text, ",")) : NULL;
    g_autofree char *key = eq ? g_strndup(piece, (gsize)(eq - piece)) : NULL;
    g_autofree char *head = g_strndup(text, (gsize)((eq ? eq + 1 : piece) - text));
    Request r = {head, eq ? eq + 1 : piece, first};
    void *both[] = {&r, (void *)option};

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (strcmp(rows[i].option, option) != 0) {
            continue;
        }
        if (first && rows[i].type_key && strchr(first, '=')) { /* "driver=virtio-rng" */
            r.first = strchr(first, '=') + 1;
        }
        complete_row(&r, i, key);
        return;
    }
    options_foreach(offer_file, (void *)option);
    if (!key) {
        readconfig_foreach_group(offer_group, both);
    }
}

bool options_take_complete(Options *o, const char *text, GError **err)
{
    const char *space = strchr(text, ' ');
    g_autofree char *option = space ? g_strndup(text, (gsize)(space - text)) : NULL;
    Request r = {(char *)"", text, NULL};

    if (option) {
        complete_argument(option + strspn(option, "-"), space + 1);
    } else {
        options_foreach(offer_option, &r);
    }
    o->handled = true;
    return true;
}
