/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Buses: making them, finding them, and walks and reset over what is plugged below.
 */
#include "hw/core/device.h"

Bus *bus_new(const TypeInfo *type, Device *parent, const char *name, Platform *platform)
{
    Bus *bus = BUS(object_new(type));

    bus->parent = parent;
    bus->platform = platform;
    if (parent) {
        if (!platform && parent->bus) {
            bus->platform = parent->bus->platform;
        }
        /* Names of buses are the device code's, so a clash is a bug. */
        bool placed = object_add_child(&parent->parent_obj, name, &bus->parent_obj, NULL);
        g_assert(placed);
        g_ptr_array_add(parent->child_buses, bus);
    }
    return bus;
}

static bool bus_has_room(const Bus *bus)
{
    return bus->max_devices == 0 || bus->devices->len < bus->max_devices;
}

static bool bus_fits_type(Bus *bus, const void *key)
{
    return object_is_a(bus, key) && bus_has_room(bus);
}

static bool bus_fits_name(Bus *bus, const void *key)
{
    const char *id = bus->parent ? bus->parent->id : NULL;

    return g_strcmp0(bus->parent_obj.name, key) == 0 || g_strcmp0(id, key) == 0;
}

/* The first bus at or below bus that fits, parents before children. */
static Bus *bus_search(Bus *bus, bool (*fits)(Bus *bus, const void *key), const void *key)
{
    if (fits(bus, key)) {
        return bus;
    }
    for (guint i = 0; i < bus->devices->len; i++) {
        Device *dev = g_ptr_array_index(bus->devices, i);

        for (guint j = 0; j < dev->child_buses->len; j++) {
            Bus *found = bus_search(g_ptr_array_index(dev->child_buses, j), fits, key);

            if (found) {
                return found;
            }
        }
    }
    return NULL;
}

Bus *bus_find(Bus *root, const TypeInfo *type)
{
    return bus_search(root, bus_fits_type, type);
}

Bus *bus_find_by_name(Bus *root, const char *name)
{
    return bus_search(root, bus_fits_name, name);
}

void bus_foreach(Bus *bus, void (*fn)(Device *dev, void *opaque), void *opaque)
{
    for (guint i = 0; i < bus->devices->len; i++) {
        Device *dev = g_ptr_array_index(bus->devices, i);

        fn(dev, opaque);
        for (guint j = 0; j < dev->child_buses->len; j++) {
            bus_foreach(g_ptr_array_index(dev->child_buses, j), fn, opaque);
        }
    }
}

void bus_reset(Bus *bus)
{
    BusClass *bc = BUS_GET_CLASS(bus);

    for (guint i = 0; i < bus->devices->len;) {
        Device *dev = g_ptr_array_index(bus->devices, i);

        device_reset(dev);
        /* A device that was waiting to be unplugged may leave at reset. */
        if (i < bus->devices->len && g_ptr_array_index(bus->devices, i) == dev) {
            i++;
        }
    }
    if (bc->reset) {
        bc->reset(bus);
    }
}

void bus_unrealize(Bus *bus)
{
    while (bus->devices->len > 0) {
        device_unrealize(g_ptr_array_index(bus->devices, bus->devices->len - 1));
    }
}

static void bus_instance_init(Object *obj)
{
    BUS(obj)->devices = g_ptr_array_new();
}

static void bus_instance_finalize(Object *obj)
{
    Bus *bus = BUS(obj);

    g_assert(bus->devices->len == 0);
    g_ptr_array_unref(bus->devices);
    if (bus->parent) {
        g_ptr_array_remove(bus->parent->child_buses, bus);
    }
}

const TypeInfo bus_type = {
    .name = "bus",
    .instance_size = sizeof(Bus),
    .class_size = sizeof(BusClass),
    .abstract = true,
    .instance_init = bus_instance_init,
    .instance_finalize = bus_instance_finalize,
};

const TypeInfo main_bus_type = {
    .name = "main-bus",
    .parent = &bus_type,
    .desc = "what sits on no other bus",
};
