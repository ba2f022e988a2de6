/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface "memory-balloon": its type, and the way from the composition tree to the one realized
 * balloon. device.c refuses a second one.
 */
#include "hw/core/memory-balloon.h"
#include "hw/core/device.h"

const TypeInfo memory_balloon_type = {
    .name = "memory-balloon",
    .parent = &interface_type,
    .interface = true,
    .class_size = sizeof(MemoryBalloonClass),
    .desc = "a device that takes memory from the guest and gives it back",
};

static bool stop_at_balloon(Object *obj, void *opaque)
{
    Object **found = opaque;

    if (object_is_a(obj, &device_type) && DEVICE(obj)->realized &&
        object_is_a(obj, &memory_balloon_type)) {
        *found = obj;
    }
    return !*found;
}

Object *memory_balloon_find(Object *root)
{
    Object *found = NULL;

    if (root) {
        object_foreach(root, stop_at_balloon, &found);
    }
    return found;
}
