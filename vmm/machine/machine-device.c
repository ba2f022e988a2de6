/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices of the user: from "-device DRIVER,prop=value..." to a realized device in
 * /machine/peripheral. The driver's name may be an alias: "virtio-balloon" is the machine's virtio
 * transport around virtio-balloon-device.
 */
#include "vmm/machine/machine.h"

#include <string.h>

static bool creatable(const TypeInfo *type)
{
    return type && type_is_a(type, &device_type) && !type->abstract &&
           DEVICE_CLASS(type_class(type))->user_creatable;
}

/* All names that -device takes on this machine, for suggestions, aliases first. */
static GPtrArray *driver_names(const char *suffix)
{
    g_autoptr(GPtrArray) types = type_list(&device_type, false);
    GPtrArray *names = g_ptr_array_new_with_free_func(g_free);

    for (unsigned i = 0; suffix && i < types->len; i++) {
        const char *name = ((const TypeInfo *)types->pdata[i])->name;

        if (creatable(types->pdata[i]) && g_str_has_prefix(name, "virtio-") &&
            g_str_has_suffix(name, suffix)) {
            g_ptr_array_add(names, g_strndup(name, strlen(name) - strlen(suffix)));
        }
    }
    for (unsigned i = 0; i < types->len; i++) {
        if (creatable(types->pdata[i])) {
            g_ptr_array_add(names, g_strdup(((const TypeInfo *)types->pdata[i])->name));
        }
    }
    g_ptr_array_add(names, NULL);
    return names;
}

const TypeInfo *machine_device_type(Machine *m, const char *driver, GError **err)
{
    const char *suffix = MACHINE_GET_CLASS(m)->virtio_suffix;
    const TypeInfo *type = type_find(driver);

    if (!type && suffix && g_str_has_prefix(driver, "virtio-")) {
        g_autofree char *name = g_strconcat(driver, suffix, NULL);

        type = type_find(name);
    }
    if (creatable(type)) {
        return type;
    }
    if (type && type_is_a(type, &device_type)) {
        error_set(err,
                  type->abstract ? "'%s' is an abstract type; '-device help' lists all"
                                 : "'%s' is part of the machine and cannot be made by the user",
                  driver);
        return NULL;
    }
    g_autoptr(GPtrArray) names = driver_names(suffix);
    const char *near = error_near_miss(driver, (const char *const *)names->pdata);

    if (near) {
        error_set(err, "unknown device '%s'; did you mean '%s'?", driver, near);
    } else {
        error_set(err, "unknown device '%s'; '-device help' lists all", driver);
    }
    return NULL;
}

static bool id_well_formed(const char *id)
{
    if (!g_ascii_isalpha(*id)) {
        return false;
    }
    return strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") ==
           strlen(id);
}

/* What to do about a bus that the machine has not, or has no room on. NULL: nothing comes to mind.
 */
static char *bus_hint(Machine *m, const TypeInfo *type, const TypeInfo *wanted)
{
    static const char *const suffixes[] = {"-pci-non-transitional", "-pci-transitional", "-pci",
                                           "-device"};
    const char *own = MACHINE_GET_CLASS(m)->virtio_suffix;

    if (!strcmp(wanted->name, "virtio-serial-bus")) {
        return g_strdup("put -device virtio-serial before it");
    }
    for (unsigned i = 0; own && i < G_N_ELEMENTS(suffixes); i++) {
        if (g_str_has_prefix(type->name, "virtio-") && g_str_has_suffix(type->name, suffixes[i]) &&
            !g_str_has_suffix(type->name, own)) {
            return g_strdup_printf("use %.*s, which is %s here",
                                   (int)(strlen(type->name) - strlen(suffixes[i])), type->name,
                                   !strcmp(own, "-pci") ? "a PCI device"
                                                        : "a device of a virtio-mmio window");
        }
    }
    return NULL;
}

static Bus *choose_bus(Machine *m, const TypeInfo *type, const char *name, GError **err)
{
    const TypeInfo *wanted = DEVICE_CLASS(type_class(type))->bus_type;
    Bus *bus;

    if (!wanted) {
        return !name || error_set(err, "%s sits on no bus: leave bus=%s out", type->name, name)
                   ? m->main_bus
                   : NULL;
    }
    bus = name ? bus_find_by_name(m->main_bus, name) : bus_find(m->main_bus, wanted);
    if (bus && object_is_a(bus, wanted)) {
        return bus;
    }
    if (bus) {
        error_set(err, "bus '%s' is a %s bus, and %s needs a %s bus", name, object_type_name(bus),
                  type->name, wanted->name);
    } else if (name) {
        error_set(err, "there is no bus '%s'", name);
    } else {
        g_autofree char *hint = bus_hint(m, type, wanted);

        error_set(err, "machine '%s' has no free %s bus for %s%s%s", MACHINE_GET_CLASS(m)->alias,
                  wanted->name, type->name, hint ? ": " : "", hint ?: "");
    }
    return NULL;
}

/* Puts dev into the tree; the tree takes over the reference, also on failure. */
static bool place(Machine *m, Device *dev, const char *id, GError **err)
{
    static const char anon[] = "peripheral-anon";
    Object *parent = object_container(OBJECT(m), id ? "peripheral" : anon);
    g_autofree char *name = NULL;
    unsigned n = 0;

    if (id && !id_well_formed(id)) {
        object_unref(dev);
        return error_set(
            err, "id '%s' must be letters, digits, '-', '.', '_', beginning with a letter", id);
    }
    do {
        g_free(name);
        name = id ? g_strdup(id) : g_strdup_printf("device[%u]", n++);
    } while (!id && object_child(parent, name));
    if (!object_add_child(parent, name, OBJECT(dev), err)) {
        object_unref(dev);
        return false;
    }
    dev->id = g_strdup(id);
    return true;
}

/* --- -global --- */

enum { GLOBAL_DRIVER, GLOBAL_PROPERTY, GLOBAL_VALUE, GLOBAL_WHERE, GLOBAL_TEXTS };

void machine_add_global(Machine *m, const TypeInfo *driver, const char *property, const char *value,
                        const char *where)
{
    char **texts = g_new0(char *, GLOBAL_TEXTS + 1);

    texts[GLOBAL_DRIVER] = g_strdup(driver->name);
    texts[GLOBAL_PROPERTY] = g_strdup(property);
    texts[GLOBAL_VALUE] = g_strdup(value);
    texts[GLOBAL_WHERE] = g_strdup(where);
    g_ptr_array_add(m->globals, texts);
}

typedef struct {
    Machine *m;
    GError **err;
} GlobalWalk;

static bool apply_globals(Object *obj, void *opaque)
{
    const GlobalWalk *w = opaque;

    for (unsigned i = 0; i < w->m->globals->len; i++) {
        char **texts = w->m->globals->pdata[i];

        if (object_is_a(obj, type_find(texts[GLOBAL_DRIVER])) &&
            !property_set_string(obj, texts[GLOBAL_PROPERTY], texts[GLOBAL_VALUE], w->err)) {
            g_prefix_error(w->err, "%s: ", texts[GLOBAL_WHERE]);
            return false;
        }
    }
    return true;
}

static bool set_globals(Machine *m, Object *obj, GError **err)
{
    GlobalWalk walk = {m, err};

    return object_foreach(obj, apply_globals, &walk);
}

Device *machine_new_device(Machine *m, const char *type, const char *name, GError **err)
{
    Object *obj = object_new_by_name(type, err);

    if (obj && !object_add_child(OBJECT(m), name, obj, err)) {
        object_unref(obj);
        return NULL;
    }
    return obj && set_globals(m, obj, err) ? DEVICE(obj) : NULL;
}

/* --- -device --- */

static bool set_properties(Device *dev, json_t *opts, GError **err)
{
    const char *key;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        if (!strcmp(key, "driver") || !strcmp(key, "id") || !strcmp(key, "bus")) {
            continue;
        }
        if (!property_set_option(OBJECT(dev), key, value, err)) {
            return false;
        }
    }
    return true;
}

/* A member of opts that must be a string; *ret_text is NULL when it is missing. */
static bool get_text(json_t *opts, const char *key, const char **ret_text, GError **err)
{
    json_t *value = json_object_get(opts, key);

    if (value && !json_is_string(value)) {
        return error_set(err, "'%s' must be a string", key);
    }
    *ret_text = value ? json_string_value(value) : NULL;
    return true;
}

Device *machine_add_device(Machine *m, json_t *opts, GError **err)
{
    const char *driver, *id, *bus_name;
    const TypeInfo *type;
    Device *dev;
    Bus *bus;

    if (!get_text(opts, "driver", &driver, err) || !get_text(opts, "id", &id, err) ||
        !get_text(opts, "bus", &bus_name, err)) {
        return NULL;
    }
    if (!driver || !*driver) {
        error_set(err, "no device type given; '-device help' lists all");
        return NULL;
    }
    type = machine_device_type(m, driver, err);
    if (!type || !(bus = choose_bus(m, type, bus_name, err))) {
        return NULL;
    }
    dev = DEVICE(object_new(type));
    if (!place(m, dev, id, err)) {
        return NULL;
    }
    if (!set_globals(m, OBJECT(dev), err) || !set_properties(dev, opts, err) ||
        !device_realize(dev, bus, err)) {
        object_unparent(OBJECT(dev));
        return NULL;
    }
    return dev;
}
