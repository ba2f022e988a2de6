/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -explain: the machine is built as for -check, with the device on it. Types and properties come
 * from the tables, everything else from that object (for virtio: virtio-explain.c). A device that
 * boards alone have is explained by the one of the machine.
 */
#include "vmm/cli/explain.h"

#include <stdio.h>
#include <string.h>

#include "hw/pci/pci.h"
#include "hw/virtio/virtio-describe.h"
#include "vmm/cli/help.h"

bool options_take_explain(Options *o, const char *arg, GError **err)
{
    json_t *opts;

    if (!strcmp(arg, "help") || !strcmp(arg, "?")) {
        o->help_topic = "device";
        return true;
    }
    opts = options_parse_object(arg, "driver", false, err);
    if (opts && !json_is_string(json_object_get(opts, "driver"))) {
        json_decref(opts);
        return error_set(err, "give a device; '-device help' lists all");
    }
    if (opts && json_object_get(opts, "help")) {
        o->help_topic = "device";
        g_free(o->help_driver);
        o->help_driver = g_strdup(json_string_value(json_object_get(opts, "driver")));
    }
    if (opts) {
        json_decref(o->explain);
        o->explain = opts;
        o->check = true;
    }
    return opts != NULL;
}

/* --- what it needs --- */

static const char *driver_of(const Options *o)
{
    return json_string_value(json_object_get(o->explain, "driver"));
}

/* Also of an alias, for which a machine would have to say which of two it is: they need the same.
 */
static const TypeInfo *type_of(const Options *o)
{
    g_autofree char *pci = g_strconcat(driver_of(o), "-pci", NULL);
    const TypeInfo *type = type_find(driver_of(o)) ?: type_find(pci);

    return type && type_is_a(type, &device_type) && !type->abstract ? type : NULL;
}

static bool lacks(const Options *o, const TypeInfo *type, const char *property)
{
    return type_property_find(type, property) && !json_object_get(o->explain, property);
}

static void add_option(GPtrArray *list, const char *key, const char *value, const char *id_key,
                       const char *id)
{
    g_ptr_array_add(list, json_pack("{s:s, s:s}", key, value, id_key, id));
}

static void set_text(json_t *opts, const char *key, const char *value)
{
    json_object_set_new(opts, key, json_string(value));
}

static void add_needed(Options *o, const TypeInfo *type)
{
    const TypeInfo *bus = DEVICE_CLASS(type_class(type))->bus_type;

    if (lacks(o, type, "drive")) {
        add_option(o->blockdevs, "driver", "null-co", "node-name", "explained-disk");
        set_text(o->explain, "drive", "explained-disk");
    }
    if (lacks(o, type, "chardev")) {
        add_option(o->chardevs, "backend", "null", "id", "explained-stream");
        set_text(o->explain, "chardev", "explained-stream");
    }
    if (bus && !strcmp(bus->name, "virtio-serial-bus")) {
        add_option(o->devices, "driver", "virtio-serial", "id", "explained-bus");
    }
}

void explain_prepare(Options *o)
{
    const TypeInfo *type = type_of(o);

    if (!o->accel) {
        o->accel = g_strdup("qtest");
    }
    if (!o->machine && type && type_is_a(type, &virtio_device_type)) {
        o->machine = g_strdup("microvm");
    }
    if (type && !DEVICE_CLASS(type_class(type))->user_creatable) {
        return;
    }
    if (type) {
        add_needed(o, type);
    }
    json_object_set_new(o->explain, "id", json_string("explained"));
    options_set_origin(o, o->explain, g_strdup_printf("-explain %s", driver_of(o)));
    g_ptr_array_add(o->devices, json_incref(o->explain));
}

/* --- the text --- */

static void append_chain(const char *what, const TypeInfo *type, GString *text)
{
    g_string_append_printf(text, "  %s%s", what, type->name);
    while ((type = type->parent)) {
        g_string_append_printf(text, " -> %s", type->name);
    }
    g_string_append(text, " -> object\n");
}

static void append_child_chain(const TypeInfo *type, GString *text)
{
    if (type->delegate_type) {
        g_autofree char *what = g_strconcat("its ", type->delegate_child, ": ", NULL);

        append_chain(what, type->delegate_type, text);
    }
}

static void explain_types(const TypeInfo *type, GString *text)
{
    const GPtrArray *interfaces = type_class(type->delegate_type ?: type)->interfaces;

    g_string_append(text, "\nTypes\n");
    append_chain("", type, text);
    append_child_chain(type, text);
    for (unsigned i = 0; interfaces && i < interfaces->len; i++) {
        const ObjectClass *oc = interfaces->pdata[i];

        g_string_append_printf(text, "  with interface %s\n", oc->type->name);
    }
}

typedef struct {
    const TypeInfo *owner;
    GString *text;
} PropertyWalk;

static void explain_property(const Property *prop, const TypeInfo *owner, void *opaque)
{
    PropertyWalk *w = opaque;
    g_autofree char *line = help_property_line(prop);

    if (owner != w->owner) {
        g_string_append_printf(w->text, " of %s\n", owner->name);
        w->owner = owner;
    }
    g_string_append_printf(w->text, "%s\n", line);
}

static char *address_of(Device *dev)
{
    BusClass *bc;

    if (!dev->bus) {
        return NULL;
    }
    bc = BUS_GET_CLASS(dev->bus);
    return bc->device_address ? bc->device_address(dev->bus, dev) : NULL;
}

static void explain_place(Device *dev, GString *text)
{
    g_autofree char *path = object_path(OBJECT(dev)), *address = address_of(dev);

    g_string_append_printf(text, "\nPlace\n  %s", path);
    if (dev->bus) {
        g_string_append_printf(text, " on %s (%s)", OBJECT(dev->bus)->name ?: "the machine",
                               object_type_name(dev->bus));
    }
    g_string_append_printf(text, "%s%s\n", address ? ", address " : "", address ?: "");
    for (unsigned i = 0; dev->child_buses && i < dev->child_buses->len; i++) {
        const Object *bus = dev->child_buses->pdata[i];

        g_string_append_printf(text, "  has the bus %s (%s)\n", bus->name, object_type_name(bus));
    }
}

static void explain_pci(PciDevice *dev, GString *text)
{
    const uint8_t *c = dev->config;

    g_string_append_printf(text,
                           "\nPCI function, vendor %02x%02x, device %02x%02x, class %02x%02x%02x\n",
                           c[1], c[0], c[3], c[2], c[0xb], c[0xa], c[9]);
    for (unsigned i = 0; i < PCI_BARS; i++) {
        if (dev->bars[i].region) {
            g_string_append_printf(text, "  BAR %u: region '%s', %" G_GUINT64_FORMAT " bytes\n", i,
                                   dev->bars[i].region->name, dev->bars[i].region->size);
        }
    }
}

static void explain_device(Device *dev, GString *text)
{
    Object *child = object_child(OBJECT(dev), "virtio-backend");
    Object *virtio = child ?: OBJECT(dev);

    explain_place(dev, text);
    if (object_is_a(dev, &pci_device_type)) {
        explain_pci(PCI_DEVICE(dev), text);
    }
    if (object_is_a(virtio, &virtio_device_type)) {
        virtio_explain(VIRTIO_DEVICE(virtio), text);
    }
}

/* --- which one --- */

typedef struct {
    const TypeInfo *type;
    Device *found;
} DeviceSearch;

static bool is_searched(Object *obj, void *opaque)
{
    DeviceSearch *s = opaque;

    if (object_is_a(obj, s->type)) {
        s->found = DEVICE(obj);
    }
    return !s->found;
}

/* The board's own; the user's was made of the last of the options that name devices. */
static Device *find_device(Vmm *vmm, const TypeInfo *type)
{
    DeviceSearch search = {.type = type};

    if (DEVICE_CLASS(type_class(type))->user_creatable) {
        return vmm->devices->pdata[vmm->named_devices - 1];
    }
    object_foreach(vmm->root, is_searched, &search);
    return search.found;
}

bool explain_print(Vmm *vmm, GError **err)
{
    const TypeInfo *type = type_of(&vmm->opts);
    g_autoptr(GString) text = g_string_new(NULL);
    PropertyWalk walk = {.text = text};
    Device *dev;

    if (!type) {
        machine_device_type(vmm->machine, driver_of(&vmm->opts), err);
        g_prefix_error(err, "-explain %s: ", driver_of(&vmm->opts));
        return false;
    }
    dev = find_device(vmm, type);
    type = dev ? OBJECT(dev)->klass->type : type;
    g_string_append_printf(text, "%s%s%s\n", type->name, type->desc ? ": " : "", type->desc ?: "");
    explain_types(type, text);
    g_string_append(text, "\nProperties\n");
    type_property_foreach(type, explain_property, &walk);
    if (dev) {
        explain_device(dev, text);
    } else {
        g_string_append_printf(text, "\nMachine '%s' has none, whose state could be shown\n",
                               MACHINE_GET_CLASS(vmm->machine)->alias);
    }
    fputs(text->str, stdout);
    return true;
}
