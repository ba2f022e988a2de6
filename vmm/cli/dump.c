/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -dump-config, see dump.h. What was given is written as it was given; what was not is read from
 * the objects that were made, so that it is what counts, not what a table says.
 */
#include "vmm/cli/dump.h"

#include <string.h>

#include "core/log.h"
#include "qom/property.h"

typedef struct {
    const Options *o;
    GString *text;
    const char *bad; /* key of a value that cannot be written; NULL: none */
} Dump;

static void put_group(Dump *d, const char *name, const char *id)
{
    g_string_append_printf(d->text, "%s[%s", d->text->len ? "\n" : "", name);
    if (id) {
        g_string_append_printf(d->text, " \"%s\"", id);
    }
    g_string_append(d->text, "]\n");
}

static void put(Dump *d, const char *key, const char *value, const char *origin)
{
    if (strchr(value, '"') || strchr(value, '\n')) {
        d->bad = g_intern_string(key);
    }
    g_string_append_printf(d->text, "  %s = \"%s\"  # %s\n", key, value, origin);
}

/* A network made for a card without one: made again when the dump is read. */
static bool is_made_for_card(const char *key, const char *text)
{
    return !strcmp(key, "netdev") && text[0] == '#';
}

/* "FILE:LINE" of an origin that may go on with the name of the thing. */
static char *origin_text(const Options *o, json_t *opts, const char *id)
{
    const char *origin = options_origin(o, opts);
    const char *name = origin && id ? g_strrstr(origin, ": ") : NULL;

    if (!origin) {
        return g_strdup("command line");
    }
    return name ? g_strndup(origin, (gsize)(name - origin)) : g_strdup(origin);
}

static const char *place_text(const Options *o, const char *option)
{
    return g_hash_table_lookup(o->places, option) ?: "command line";
}

/* --- what was given --- */

/* A scalar, or "key.inner" for what is within. */
static void put_given(Dump *d, const char *key, json_t *value, const char *origin)
{
    const char *name;
    json_t *inner;

    if (json_is_object(value)) {
        json_object_foreach(value, name, inner)
        {
            g_autofree char *dotted = g_strdup_printf("%s.%s", key, name);

            put_given(d, dotted, inner, origin);
        }
    } else if (json_is_array(value)) { /* a key that came again */
        for (size_t i = 0; i < json_array_size(value); i++) {
            if (!json_is_string(json_array_get(value, i))) {
                d->bad = g_intern_string(key);
            }
            put_given(d, key, json_array_get(value, i), origin);
        }
    } else if (json_is_string(value)) {
        if (!is_made_for_card(key, json_string_value(value))) {
            put(d, key, json_string_value(value), origin);
        }
    } else if (json_is_boolean(value)) {
        put(d, key, json_is_true(value) ? "on" : "off", origin);
    } else {
        char *text = json_dumps(value, JSON_ENCODE_ANY);

        put(d, key, text, origin);
        free(text);
    }
}

static void put_all_given(Dump *d, json_t *opts, const char *id_key)
{
    const char *id = json_string_value(json_object_get(opts, id_key)), *key;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        g_autofree char *own = origin_text(d->o, value, id);
        g_autofree char *whole = origin_text(d->o, opts, id);

        if (strcmp(key, id_key) != 0) {
            put_given(d, key, value, options_origin(d->o, value) ? own : whole);
        }
    }
}

static void put_list(Dump *d, const char *group, const GPtrArray *list, const char *id_key)
{
    for (unsigned i = 0; i < list->len; i++) {
        put_group(d, group, json_string_value(json_object_get(list->pdata[i], id_key)));
        put_all_given(d, list->pdata[i], id_key);
    }
}

/* --- what was not given --- */

/* The last part of the path is what the user calls it. */
static char *link_text(const char *path)
{
    static const char *const owned[] = {"/objects/", "/chardevs/", "/block-nodes/"};

    for (unsigned i = 0; i < G_N_ELEMENTS(owned); i++) {
        if (g_str_has_prefix(path, owned[i]) && !strchr(path + strlen(owned[i]), '/')) {
            return g_strdup(path + strlen(owned[i]));
        }
    }
    return NULL; /* unset, or a part that the object has made for itself */
}

/* A value as an option has it; NULL: unset, which has no text. */
static char *value_text(const Property *prop, const json_t *value)
{
    json_int_t number = json_integer_value(value);

    switch (prop->kind) {
    case PROP_KIND_BOOL:
        return g_strdup(json_is_true(value) ? "on" : "off");
    case PROP_KIND_PCI_ADDR:
        return number < 0 ? NULL
                          : g_strdup_printf("%02x.%x", (unsigned)number >> 3, (unsigned)number & 7);
    case PROP_KIND_LINK:
        return link_text(json_string_value(value));
    case PROP_KIND_STRING:
    case PROP_KIND_ENUM:
    case PROP_KIND_MAC:
        return json_string_length(value) ? g_strdup(json_string_value(value)) : NULL;
    default:
        return json_is_string(value) ? g_strdup(json_string_value(value))
                                     : g_strdup_printf("%" JSON_INTEGER_FORMAT, number);
    }
}

typedef struct {
    Dump *d;
    Object *obj;
    json_t *given;           /* properties that are written already; NULL: none */
    const char *const *skip; /* said elsewhere; NULL: none */
} PropertyWalk;

static const char *why(const PropertyWalk *w, const Property *prop, const char *text)
{
    const GPtrArray *globals = w->d->o->globals;
    g_autofree char *def = prop->kind == PROP_KIND_SIZE
                               ? g_strdup_printf("%" G_GUINT64_FORMAT, prop->def)
                               : property_default_string(prop);

    for (unsigned i = 0; i < globals->len; i++) {
        const GlobalOption *global = globals->pdata[i];

        if (!strcmp(global->property, prop->name) && !strcmp(global->value, text)) {
            return "global";
        }
    }
    return !g_strcmp0(def, text) ? "default" : "chosen";
}

static bool is_unset(const Property *prop, const char *text)
{
    g_autofree char *unset = g_strdup_printf("%" G_GUINT64_FORMAT, prop->def);

    return (prop->flags & PROP_NO_DEFAULT) && !strcmp(text, unset);
}

static void put_property(const Property *named, const TypeInfo *owner, void *opaque)
{
    const PropertyWalk *w = opaque;
    const Property *prop = property_find(w->obj, named->name, NULL);
    g_autofree char *text = NULL;
    json_t *value;

    if (!prop || prop->kind == PROP_KIND_CUSTOM || (prop->flags & PROP_READONLY) ||
        json_object_get(w->given, named->name) ||
        (w->skip && g_strv_contains(w->skip, named->name))) {
        return;
    }
    value = property_get_json(w->obj, named->name, NULL);
    text = value ? value_text(prop, value) : NULL;
    json_decref(value);
    if (text && !is_unset(prop, text)) {
        put(w->d, named->name, text, why(w, prop, text));
    }
}

static void put_properties(Dump *d, Object *obj, json_t *given, const char *const *skip)
{
    PropertyWalk w = {d, obj, given, skip};

    type_property_foreach(obj->klass->type, put_property, &w);
}

/* --- the groups --- */

static void put_texts(Dump *d, const char *key, const GPtrArray *texts)
{
    for (unsigned i = 0; i < texts->len; i++) {
        put_group(d, "launch", NULL);
        put(d, key, texts->pdata[i], place_text(d->o, key));
    }
}

static void put_launch(Dump *d)
{
    const Options *o = d->o;
    const struct {
        const char *key, *text;
    } rows[] = {
        {"S", o->start_paused ? "on" : NULL},
        {"daemonize", o->daemonize ? "on" : NULL},
        {"nodefaults", o->nodefaults ? "on" : NULL},
        {"nographic", o->nographic ? "on" : NULL},
        {"gdb", o->gdb},
        {"monitor", o->monitor},
        {"pidfile", o->pidfile},
        {"qtest", o->qtest},
        {"qtest-log", o->qtest_log},
    };
    bool any = false;

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].text) {
            if (!any) {
                put_group(d, "launch", NULL);
            }
            any = true;
            put(d, rows[i].key, rows[i].text, place_text(o, rows[i].key));
        }
    }
    put_texts(d, "serial", o->serials);
    put_texts(d, "qmp", o->qmps);
    put_texts(d, "qmp-pretty", o->pretty_qmps);
}

/* Kernel and its like have options of their own besides the machine's properties. */
static void put_boot_files(Dump *d, const Machine *m)
{
    const struct {
        const char *key, *value, *given;
    } rows[] = {{"kernel", m->kernel, d->o->kernel},
                {"initrd", m->initrd, d->o->initrd},
                {"append", m->append, d->o->append}};

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *prop = rows[i].given ? NULL : json_object_get(d->o->machine_props, rows[i].key);
        g_autofree char *origin = origin_text(d->o, prop, NULL);

        if (rows[i].value) {
            put(d, rows[i].key, rows[i].value, origin);
        }
    }
}

static void put_machine(Dump *d, Machine *m)
{
    static const char *const elsewhere[] = {"ram-size", "smp",    "name",   "dumpdtb",
                                            "kernel",   "initrd", "append", NULL};
    json_t *given = json_copy(d->o->machine_props);
    g_autofree char *size = g_strdup_printf("%" G_GUINT64_FORMAT "M", m->ram_size >> 20);
    g_autofree char *cpus = g_strdup_printf("%u", m->smp);

    for (const char *const *key = elsewhere; *key; key++) {
        json_object_del(given, *key);
    }
    put_group(d, "machine", NULL);
    put(d, "type", MACHINE_GET_CLASS(m)->alias,
        d->o->machine ? place_text(d->o, "type") : "default");
    put_boot_files(d, m);
    put_all_given(d, given, "");
    put_properties(d, OBJECT(m), given, elsewhere);
    json_decref(given);
    put_group(d, "memory", NULL);
    put(d, "size", size, d->o->ram_size ? place_text(d->o, "m") : "default");
    put_group(d, "smp-opts", NULL);
    put(d, "cpus", cpus, d->o->has_smp ? place_text(d->o, "smp") : "default");
    if (m->name) {
        put_group(d, "name", NULL);
        put(d, "guest", m->name, place_text(d->o, "name"));
    }
}

/* The accelerator that is wanted; the one that was checked with is another. */
static void put_accel(Dump *d, const Machine *m)
{
    const MachineClass *mc = MACHINE_GET_CLASS(m);
    const char *name = d->o->accel ?: mc->default_accel ?: "kvm";
    g_autoptr(Object) obj = object_new(accel_type_find(name, NULL));

    put_group(d, "accel", NULL);
    put(d, "accel", name, d->o->accel ? place_text(d->o, "accel") : "default");
    put_all_given(d, d->o->accel_props, "");
    put_properties(d, obj, d->o->accel_props, NULL);
}

static void put_objects(Dump *d, Object *root)
{
    for (unsigned i = 0; i < d->o->objects->len; i++) {
        json_t *opts = d->o->objects->pdata[i];
        const char *id = json_string_value(json_object_get(opts, "id"));

        put_group(d, "object", id);
        put_all_given(d, opts, "id");
        put_properties(d, object_child(object_container(root, "objects"), id), opts, NULL);
    }
}

static void put_devices(Dump *d, const Vmm *vmm)
{
    for (unsigned i = 0; i < vmm->named_devices; i++) {
        json_t *opts = d->o->devices->pdata[i];

        put_group(d, "device", json_string_value(json_object_get(opts, "id")));
        put_all_given(d, opts, "id");
        put_properties(d, vmm->devices->pdata[i], opts, NULL);
    }
}

static void put_globals(Dump *d)
{
    for (unsigned i = 0; i < d->o->globals->len; i++) {
        const GlobalOption *global = d->o->globals->pdata[i];
        const char *origin = global->origin ?: "command line";

        put_group(d, "global", NULL);
        put(d, "driver", global->driver, origin);
        put(d, "property", global->property, origin);
        put(d, "value", global->value, origin);
    }
}

static void put_mons(Dump *d)
{
    for (unsigned i = 0; i < d->o->mons->len; i++) {
        const MonOption *mon = d->o->mons->pdata[i];
        const char *origin = mon->origin ?: "command line";

        put_group(d, "mon", NULL);
        put(d, "chardev", mon->chardev, origin);
        put(d, "mode", mon->control ? "control" : "readline", origin);
        if (mon->pretty) {
            put(d, "pretty", "on", origin);
        }
    }
}

char *dump_config(Vmm *vmm, GError **err)
{
    const Options *o = &vmm->opts;
    Dump d = {.o = o, .text = g_string_new(NULL)};

    put_machine(&d, vmm->machine);
    put_accel(&d, vmm->machine);
    put_launch(&d);
    put_globals(&d);
    put_objects(&d, vmm->root);
    put_list(&d, "add-fd", o->fds, "");
    put_list(&d, "chardev", o->chardevs, "id");
    put_list(&d, "blockdev", o->blockdevs, "node-name");
    put_list(&d, "drive", o->drives, "id");
    put_list(&d, "netdev", o->netdevs, "id");
    put_list(&d, "nic", o->nics, "");
    put_devices(&d, vmm);
    put_mons(&d);
    if (d.bad) {
        g_string_free(d.text, TRUE);
        error_set(err, "-dump-config: a config file cannot hold the value of '%s'", d.bad);
        return NULL;
    }
    return g_string_free(d.text, FALSE);
}
