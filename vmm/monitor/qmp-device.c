/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands that add and remove devices while the VM runs. A guest must be told, so where one
 * runs a bus must have somebody who does that. A device on pc's PCI bus leaves when the guest
 * ejects its slot (hw/pci/acpi-pcihp.c) or at the next reset. Under the accelerator "qtest" any bus
 * will do and a device that nobody answers for leaves at once.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

/* The driver of a virtio-serial device hears of its ports from the device itself. */
static bool guest_is_told(Bus *bus)
{
    return bus_hotplug_handler(bus) || !strcmp(object_type_name(bus), "virtio-serial-bus");
}

/* bus NULL: there is none, which is not said here. What sits on no bus of its own has itself to
 * blame. */
static bool check_hotplug(Machine *m, const char *name, const TypeInfo *type, Bus *bus,
                          GError **err)
{
    if (accel_runs_guests(m->accel) && bus && bus != m->main_bus && !guest_is_told(bus)) {
        return error_set(err, "Bus '%s' does not support hotplugging",
                         bus->parent_obj.name ?: object_type_name(bus));
    }
    return DEVICE_CLASS(type_class(type))->hotpluggable ||
           error_set(err, "Device '%s' does not support hotplugging", name);
}

/* Where a device with those arguments will be; NULL: nowhere. */
static Bus *future_bus(Machine *m, const TypeInfo *type, json_t *args)
{
    const char *name = json_string_value(json_object_get(args, "bus"));
    const TypeInfo *wanted = DEVICE_CLASS(type_class(type))->bus_type;

    if (!wanted) {
        return m->main_bus;
    }
    return name ? bus_find_by_name(m->main_bus, name) : bus_find(m->main_bus, wanted);
}

static json_t *run_device_add(Machine *m, json_t *args, GError **err)
{
    const char *driver = json_string_value(json_object_get(args, "driver"));
    const TypeInfo *type = machine_device_type(m, driver, err);

    if (!type || !check_hotplug(m, type->name, type, future_bus(m, type, args), err) ||
        !machine_add_device(m, args, err)) {
        return NULL;
    }
    return json_object();
}

/* By id or path; NULL with err. */
static Device *find_device(Machine *m, const char *id, GError **err)
{
    Object *obj = *id == '/' ? object_resolve_path(m->platform.root, id, NULL)
                             : object_child(object_container(OBJECT(m), "peripheral"), id);

    if (!obj || !object_is_a(obj, &device_type)) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_NOT_FOUND, "Device '%s' not found", id);
        return NULL;
    }
    return DEVICE(obj);
}

/* Board devices and parts of devices have owners that count on them. */
static bool is_users(Machine *m, const Device *dev)
{
    const Object *parent = dev->parent_obj.parent;

    return parent == object_container(OBJECT(m), "peripheral") ||
           parent == object_container(OBJECT(m), "peripheral-anon");
}

static json_t *run_device_del(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));
    Device *dev = find_device(m, id, err);

    if (dev && !is_users(m, dev)) {
        error_set(err, "Device '%s' is part of the machine or of another device", id);
        return NULL;
    }
    if (!dev || !check_hotplug(m, id, dev->parent_obj.klass->type, dev->bus, err)) {
        return NULL;
    }
    if (dev->pending_unplug &&
        (!dev->ask_again_ns || clock_now(m->platform.vclock) < dev->ask_again_ns)) {
        error_set(err, "Device %s is already in the process of unplug", id);
        return NULL;
    }
    return device_unplug_request(dev, err) ? json_object() : NULL;
}

const QmpCommand qmp_device_commands[] = {
    {.name = "device_add",
     .help = "add a device, with arguments as after -device",
     .args = {{"driver", QMP_ARG_STR, false}},
     .open = true,
     .run = run_device_add},
    {.name = "device_del",
     .help = "remove a device; DEVICE_DELETED tells when it is gone, DEVICE_UNPLUG_GUEST_ERROR "
             "that the guest keeps it",
     .args = {{"id", QMP_ARG_STR, false}},
     .run = run_device_del},
    {0},
};
