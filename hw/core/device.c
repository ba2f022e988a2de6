/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices: from "made and configured" to "plugged and working" and back. Each step of
 * device_realize has its undo, so a failure leaves the device and its bus as they were.
 */
#include "core/boot-trace.h"
#include "core/log.h"
#include "hw/core/device.h"
#include "hw/core/memory-balloon.h"

/* How long a guest has before it may be asked for the same device again, as in QEMU. */
#define ASK_AGAIN_NS (INT64_C(5) * 1000 * 1000 * 1000)

char *device_describe(const Device *dev)
{
    return dev->id ? g_strdup_printf("'%s' (%s)", dev->id, object_type_name(dev))
                   : g_strdup(object_type_name(dev));
}

Platform *device_platform(Device *dev)
{
    return dev->bus ? dev->bus->platform : NULL;
}

/* --- may it be plugged here? --- */

static bool fits_bus_type(Device *dev, Bus *bus, GError **err)
{
    const TypeInfo *need = DEVICE_GET_CLASS(dev)->bus_type;
    g_autofree char *what = NULL;

    if (object_is_a(bus, need ? need : &main_bus_type)) {
        return true;
    }
    what = device_describe(dev);
    if (!need) {
        return error_set(err, "%s plugs straight into the machine, not onto a %s bus", what,
                         object_type_name(bus));
    }
    return error_set(err, "%s needs a %s bus, not a %s bus", what, need->name,
                     object_type_name(bus));
}

static bool fits_bus_limit(Device *dev, Bus *bus, GError **err)
{
    g_autofree char *what = NULL;

    if (bus->max_devices == 0 || bus->devices->len < bus->max_devices) {
        return true;
    }
    what = device_describe(dev);
    return error_set(err, "no room for %s: bus '%s' takes at most %u device%s", what,
                     bus->parent_obj.name ? bus->parent_obj.name : object_type_name(bus),
                     bus->max_devices, bus->max_devices == 1 ? "" : "s");
}

static void note_balloon(Device *dev, void *opaque)
{
    Device **found = opaque;

    if (!*found && dev->realized && object_is_a(dev, &memory_balloon_type)) {
        *found = dev;
    }
}

/* A device that is a part of another (behind a transport's proxy) is described as that one. */
static char *describe_whole(Device *dev, Bus *bus)
{
    while (bus && bus->parent && dev->parent_obj.parent == &bus->parent->parent_obj) {
        dev = bus->parent;
        bus = dev->bus;
    }
    return device_describe(dev);
}

/* Goes by the bus tree, so it holds for devices that nobody placed in the composition tree, too. */
static bool fits_balloon_rule(Device *dev, Bus *bus, GError **err)
{
    g_autofree char *what = NULL, *other = NULL;
    Device *found = NULL;
    Bus *top = bus;

    if (!object_is_a(dev, &memory_balloon_type)) {
        return true;
    }
    while (top->parent && top->parent->bus) {
        top = top->parent->bus;
    }
    bus_foreach(top, note_balloon, &found);
    if (!found) {
        return true;
    }
    what = describe_whole(dev, bus);
    other = describe_whole(found, found->bus);
    return error_set(
        err, "only one balloon device is supported: %s is there already, so %s cannot be added",
        other, what);
}

static bool may_plug(Device *dev, Bus *bus, GError **err)
{
    BusClass *bc = BUS_GET_CLASS(bus);

    return fits_bus_type(dev, bus, err) && fits_bus_limit(dev, bus, err) &&
           fits_balloon_rule(dev, bus, err) && (!bc->check_plug || bc->check_plug(bus, dev, err));
}

/* --- realize and unrealize --- */

static HotplugHandlerClass *handler_of(Bus *bus)
{
    Object *handler = bus_hotplug_handler(bus);

    return handler ? object_interface(handler, &hotplug_handler_type) : NULL;
}

static void attach(Device *dev, Bus *bus)
{
    dev->bus = bus;
    g_ptr_array_add(bus->devices, dev);
    /* Buses made by instance_init did not know their platform yet. */
    for (guint i = 0; i < dev->child_buses->len; i++) {
        Bus *child = g_ptr_array_index(dev->child_buses, i);

        if (!child->platform) {
            child->platform = bus->platform;
        }
    }
}

static void detach(Device *dev)
{
    g_ptr_array_remove(dev->bus->devices, dev);
    dev->bus = NULL;
    dev->pending_unplug = false;
    dev->ask_again_ns = 0;
}

static void run_unrealize(Device *dev)
{
    DeviceClass *dc = DEVICE_GET_CLASS(dev);

    for (guint i = dev->child_buses->len; i > 0; i--) {
        bus_unrealize(g_ptr_array_index(dev->child_buses, i - 1));
    }
    if (dc->unrealize) {
        dc->unrealize(dev);
    }
    dev->realized = false;
}

static bool run_realize(Device *dev, GError **err)
{
    DeviceClass *dc = DEVICE_GET_CLASS(dev);
    HotplugHandlerClass *hc = handler_of(dev->bus);

    if (dc->realize && !dc->realize(dev, err)) {
        return false;
    }
    dev->realized = true;
    if (hc && hc->plug && !hc->plug(bus_hotplug_handler(dev->bus), dev, err)) {
        run_unrealize(dev);
        return false;
    }
    return true;
}

static bool traced_realize(Device *dev, GError **err)
{
    g_autofree char *label = boot_trace_label(OBJECT(dev));
    int64_t begin = boot_trace_now();
    bool ok = run_realize(dev, err);

    boot_trace_span("realize", label, begin);
    return ok;
}

bool device_realize(Device *dev, Bus *bus, GError **err)
{
    HotplugHandlerClass *hc = handler_of(bus);
    bool was_frozen = dev->parent_obj.props_frozen;

    g_assert(!dev->realized && !dev->bus);
    if (!may_plug(dev, bus, err)) {
        return false;
    }
    if (hc && hc->pre_plug && !hc->pre_plug(bus_hotplug_handler(bus), dev, err)) {
        return false;
    }
    attach(dev, bus);
    dev->parent_obj.props_frozen = true;
    if (!(boot_trace_on() ? traced_realize(dev, err) : run_realize(dev, err))) {
        dev->parent_obj.props_frozen = was_frozen;
        detach(dev);
        return false;
    }
    TRACE(device_realize, "type=%s id=%s", object_type_name(dev), dev->id ? dev->id : "-");
    return true;
}

void device_unrealize(Device *dev)
{
    HotplugHandlerClass *hc;

    if (!dev->realized) {
        return;
    }
    hc = handler_of(dev->bus);
    TRACE(device_unrealize, "type=%s id=%s", object_type_name(dev), dev->id ? dev->id : "-");
    if (hc && hc->unplug) {
        hc->unplug(bus_hotplug_handler(dev->bus), dev);
    }
    run_unrealize(dev);
    if (boot_trace_on()) {
        boot_trace_forget(OBJECT(dev));
    }
    detach(dev);
    dev->parent_obj.props_frozen = false;
}

void device_destroy(Device *dev)
{
    device_unrealize(dev);
    object_unparent(&dev->parent_obj);
}

/* --- unplug --- */

static bool is_part(const Device *dev)
{
    return dev->bus->parent && dev->parent_obj.parent == &dev->bus->parent->parent_obj;
}

static void note_whole(Device *dev, void *opaque)
{
    if (!is_part(dev)) {
        g_ptr_array_add(opaque, dev);
    }
}

/* Which device an event is about. */
static json_t *name_for_event(Device *dev)
{
    g_autofree char *path = object_path(&dev->parent_obj);
    json_t *data = json_pack("{s:s}", "path", path);

    if (dev->id) {
        json_object_set_new(data, "device", json_string(dev->id));
    }
    return data;
}

static void leave(Device *dev)
{
    json_t *data = name_for_event(dev);
    Platform *p = device_platform(dev);

    device_destroy(dev);
    platform_event(p, "DEVICE_DELETED", data);
}

void device_unplug_asked(Device *dev)
{
    dev->pending_unplug = true;
    dev->ask_again_ns = clock_now(device_platform(dev)->vclock) + ASK_AGAIN_NS;
}

void device_unplug_refused(Device *dev)
{
    dev->pending_unplug = false;
    dev->ask_again_ns = 0;
    platform_event(device_platform(dev), "DEVICE_UNPLUG_GUEST_ERROR", name_for_event(dev));
}

void device_unplug(Device *dev)
{
    g_autoptr(GPtrArray) below = g_ptr_array_new();

    for (guint i = 0; i < dev->child_buses->len; i++) {
        bus_foreach(g_ptr_array_index(dev->child_buses, i), note_whole, below);
    }
    for (guint i = below->len; i > 0; i--) { /* parents came first */
        leave(g_ptr_array_index(below, i - 1));
    }
    leave(dev);
}

bool device_unplug_request(Device *dev, GError **err)
{
    HotplugHandlerClass *hc = handler_of(dev->bus);

    if (hc && hc->unplug_request) {
        return hc->unplug_request(bus_hotplug_handler(dev->bus), dev, err);
    }
    device_unplug(dev);
    return true;
}

/* --- reset --- */

static DeviceClass *parent_device_class(DeviceClass *dc)
{
    ObjectClass *parent = dc->parent_class.parent;

    return parent && type_is_a(parent->type, &device_type) ? DEVICE_CLASS(parent) : NULL;
}

void device_reset(Device *dev)
{
    if (!dev->realized) {
        return;
    }
    for (guint i = 0; i < dev->child_buses->len; i++) {
        bus_reset(g_ptr_array_index(dev->child_buses, i));
    }
    /* A class that sets no reset has inherited its parent's pointer: call each function once. */
    for (DeviceClass *dc = DEVICE_GET_CLASS(dev), *up; dc; dc = up) {
        up = parent_device_class(dc);
        if (dc->reset && (!up || up->reset != dc->reset)) {
            dc->reset(dev);
        }
    }
}

static void device_instance_init(Object *obj)
{
    DEVICE(obj)->child_buses = g_ptr_array_new();
}

static void device_instance_finalize(Object *obj)
{
    Device *dev = DEVICE(obj);

    g_assert(!dev->realized);
    for (guint i = 0; i < dev->child_buses->len; i++) {
        BUS(g_ptr_array_index(dev->child_buses, i))->parent = NULL;
    }
    g_ptr_array_unref(dev->child_buses);
    g_free(dev->id);
}

const TypeInfo device_type = {
    .name = "device",
    .instance_size = sizeof(Device),
    .class_size = sizeof(DeviceClass),
    .abstract = true,
    .instance_init = device_instance_init,
    .instance_finalize = device_instance_finalize,
};
