/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface "hotplug-handler": whoever answers for a bus when devices come and go. device.c calls
 * it.
 */
#include "hw/core/device.h"

const TypeInfo hotplug_handler_type = {
    .name = "hotplug-handler",
    .parent = &interface_type,
    .interface = true,
    .class_size = sizeof(HotplugHandlerClass),
    .desc = "is told when devices are plugged and unplugged",
};

void bus_set_hotplug_handler(Bus *bus, Object *handler)
{
    g_assert(!handler || object_is_a(handler, &hotplug_handler_type));
    bus->hotplug_handler = handler;
}

Object *bus_hotplug_handler(Bus *bus)
{
    return bus->hotplug_handler;
}
