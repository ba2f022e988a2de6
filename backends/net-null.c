/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend "null": takes every frame with any offload, and none ever comes. What is left
 * of a card's time when the network costs nothing: for measurements and for guests that need a card
 * but no network.
 */
#include "backends/net-impl.h"

static unsigned null_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    return n;
}

static bool null_open(NetBackend *b, GError **err)
{
    b->max_queues = NET_QUEUES_MAX;
    b->guest_offloads = b->host_offloads = NET_OFFLOAD_ALL;
    return true;
}

static void null_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->open = null_open;
    k->send = null_send;
}

const TypeInfo net_null_type = {
    .name = NET_TYPE_PREFIX "null",
    .parent = &net_backend_type,
    .class_init = null_class_init,
    .desc = "takes every frame, and none ever comes",
};
