/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Filters of network backends: objects of -object that see a netdev's frames. Base class; what each
 * does is in filter-dump.c and filter-throttle.c.
 */
#include "backends/net-impl.h"
#include "backends/user-creatable.h"

void net_filter_attach(NetFilter *f, NetBackend *b)
{
    NetLocks locks;

    net_lock_queues(b, &locks);
    g_ptr_array_add(b->filters, f);
    f->backend = b;
    net_unlock_queues(&locks);
}

/* The frames that wait are not asked for anew by the filters behind the one that goes. */
static void forget_admission(NetBackend *b, unsigned at)
{
    for (unsigned i = 0; i < b->n_queues; i++) {
        for (unsigned dir = 0; dir < 2; dir++) {
            b->queues[i].admitted[dir] -= b->queues[i].admitted[dir] > at;
        }
    }
}

/* What a filter holds back goes on. */
static void wake_queues(NetBackend *b)
{
    for (unsigned i = 0; i < b->n_queues; i++) {
        loop_bh_schedule(b->queues[i].rx_bh);
        loop_bh_schedule(b->queues[i].tx_bh);
    }
}

void net_filter_detach(NetFilter *f)
{
    NetBackend *b = f->backend;
    NetLocks locks;
    guint at;

    if (!b) {
        return;
    }
    net_lock_queues(b, &locks);
    if (g_ptr_array_find(b->filters, f, &at)) {
        g_ptr_array_remove_index(b->filters, at);
        forget_admission(b, at);
    }
    f->backend = NULL;
    wake_queues(b);
    net_unlock_queues(&locks);
    if (NET_FILTER_GET_CLASS(f)->end) {
        NET_FILTER_GET_CLASS(f)->end(f);
    }
}

void net_filter_wake(NetFilter *f)
{
    if (f->backend) {
        wake_queues(f->backend);
    }
}

static bool filter_check(Object *obj, GError **err)
{
    NetFilter *f = NET_FILTER(obj);
    const NetFilterClass *k = NET_FILTER_GET_CLASS(f);

    if (!f->netdev) {
        return error_set(err, "'netdev' is missing: the id of a -netdev");
    }
    if (!net_backend_find(object_root(obj), f->netdev)) {
        return error_set(err, "there is no netdev '%s'", f->netdev);
    }
    if (net_has_vhost(net_backend_find(object_root(obj), f->netdev))) {
        return error_set(err, "netdev '%s' has vhost=on: its frames do not pass through filters",
                         f->netdev);
    }
    return !k->check || k->check(f, err);
}

static bool filter_complete(Object *obj, GError **err)
{
    NetFilter *f = NET_FILTER(obj);
    const NetFilterClass *k = NET_FILTER_GET_CLASS(f);
    NetBackend *b;

    if (!filter_check(obj, err)) {
        return false;
    }
    b = net_backend_find(object_root(obj), f->netdev);
    if (k->begin && !k->begin(f, b, err)) {
        return false;
    }
    net_filter_attach(f, b);
    return true;
}

static json_t *get_status(Object *obj, const Property *prop, GError **err)
{
    return json_string(__atomic_load_n(&NET_FILTER(obj)->off, __ATOMIC_RELAXED) ? "off" : "on");
}

static bool set_status(Object *obj, const Property *prop, json_t *value, GError **err)
{
    NetFilter *f = NET_FILTER(obj);
    bool on;

    if (!json_is_string(value) || !parse_bool(json_string_value(value), &on, NULL)) {
        return error_set(err, "'status' is on or off");
    }
    __atomic_store_n(&f->off, !on, __ATOMIC_RELAXED);
    net_filter_wake(f);
    return true;
}

static void filter_finalize(Object *obj)
{
    net_filter_detach(NET_FILTER(obj));
}

static void filter_class_init(ObjectClass *klass, const void *data)
{
    UserCreatableClass *uc = object_class_interface(klass, &user_creatable_type);

    uc->check = filter_check;
    uc->complete = filter_complete;
}

static const char *const queue_words[] = {"all", "rx", "tx", NULL};

static const Property filter_props[] = {
    PROP_STRING("netdev", NetFilter, netdev, NULL, "whose frames: the id of a -netdev"),
    PROP_ENUM("queue", NetFilter, queue, queue_words, 0,
              "rx: what the netdev gets from the device; tx: what it gives to it; all: both"),
    PROP_CUSTOM("status", "str", get_status, set_status, PROP_RUNTIME, "off: lets all pass"),
    PROP_END,
};

const TypeInfo net_filter_type = {
    .name = "netfilter",
    .instance_size = sizeof(NetFilter),
    .class_size = sizeof(NetFilterClass),
    .abstract = true,
    .instance_finalize = filter_finalize,
    .class_init = filter_class_init,
    .props = filter_props,
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .desc = "sees the frames of a netdev",
};
