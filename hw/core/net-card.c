/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface "net-card": its type, and the way from the composition tree to the cards.
 */
#include "hw/core/net-card.h"
#include "hw/core/device.h"

const TypeInfo net_card_type = {
    .name = "net-card",
    .parent = &interface_type,
    .interface = true,
    .class_size = sizeof(NetCardClass),
    .desc = "a network card",
};

typedef struct {
    bool (*fn)(Object *card, const NetCardClass *c, void *opaque);
    void *opaque;
} Visit;

static bool visit(Object *obj, void *opaque)
{
    const Visit *v = opaque;

    if (!object_is_a(obj, &device_type) || !DEVICE(obj)->realized ||
        !object_is_a(obj, &net_card_type)) {
        return true;
    }
    return v->fn(obj, object_interface(obj, &net_card_type), v->opaque);
}

void net_card_foreach(Object *root, bool (*fn)(Object *card, const NetCardClass *c, void *opaque),
                      void *opaque)
{
    Visit v = {fn, opaque};

    object_foreach(root, visit, &v);
}
