/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends as objects: made from options, put into /netdevs, found, described and deleted.
 * What travels through them is in net.c.
 */
#include <fcntl.h>
#include <string.h>

#include "backends/net-impl.h"
#include "backends/user-creatable.h"

extern const TypeInfo net_null_type, net_socket_type, net_stream_type, net_dgram_type,
    net_user_stack_type, net_tap_type, net_bridge_type, net_hubport_type;

/* clang-format off */
const TypeInfo *const net_types[] = {
    &net_user_stack_type, &net_tap_type, &net_bridge_type, &net_socket_type, &net_stream_type, &net_dgram_type,
    &net_hubport_type, &net_null_type,
    NULL,
};
/* clang-format on */

/* What holds them: a container that knows whom to tell. */
OBJECT_DECLARE(Netdevs, netdevs, NETDEVS)

struct Netdevs {
    Object parent_obj;
    void (*event)(void *opaque, const char *event, json_t *data);
    void *opaque;
};

const TypeInfo netdevs_type = {
    .name = "netdevs",
    .parent = &container_type,
    .instance_size = sizeof(Netdevs),
};

static Object *netdevs_of(Object *root)
{
    Object *all = object_child(root, "netdevs");

    if (!all) {
        all = object_new(&netdevs_type);
        object_add_child(root, "netdevs", all, NULL);
    }
    return all;
}

void net_set_event_handler(Object *root, void (*fn)(void *opaque, const char *event, json_t *data),
                           void *opaque)
{
    Netdevs *all = NETDEVS(netdevs_of(root));

    all->event = fn;
    all->opaque = opaque;
}

void net_event(NetBackend *b, const char *event, json_t *data)
{
    const Netdevs *all = NETDEVS(b->parent_obj.parent);

    if (all->event) {
        all->event(all->opaque, event, data);
    } else {
        json_decref(data);
    }
}

const char *net_backend_id(const NetBackend *b)
{
    return b->parent_obj.name ?: "";
}

const char *net_kind(const NetBackend *b)
{
    return object_type_name(b) + strlen(NET_TYPE_PREFIX);
}

NetUser *net_backend_user(const NetBackend *b)
{
    return b->user;
}

NetBackend *net_backend_find(Object *root, const char *id)
{
    Object *obj = object_child(netdevs_of(root), id);

    return obj ? NET_BACKEND(obj) : NULL;
}

void net_backend_foreach(Object *root, bool (*fn)(NetBackend *b, void *opaque), void *opaque)
{
    GPtrArray *all = netdevs_of(root)->children;

    for (unsigned i = 0; all && i < all->len; i++) {
        if (!fn(NET_BACKEND(all->pdata[i]), opaque)) {
            return;
        }
    }
}

void net_own_fd(int fd)
{
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* --- options --- */

/* Nested objects have properties with dots: {"addr": {"type": "inet"}} is "addr.type". */
static bool set_option(NetBackend *b, const char *key, json_t *value, GError **err)
{
    const char *sub;
    json_t *part;

    if (json_is_object(value)) {
        json_object_foreach(value, sub, part)
        {
            g_autofree char *full = g_strdup_printf("%s.%s", key, sub);

            if (!set_option(b, full, part, err)) {
                return false;
            }
        }
        return true;
    }
    return property_set_option(OBJECT(b), key, value, err);
}

static bool set_options(NetBackend *b, json_t *opts, GError **err)
{
    const char *key;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        if (strcmp(key, "type") != 0 && strcmp(key, "id") != 0 && !set_option(b, key, value, err)) {
            return false;
        }
    }
    return true;
}

/* What QEMU has and this program has not. */
static const char *why_not(const char *kind)
{
    static const char *const foreign[][2] = {
        {"vde", "VDE switches are reached by a 'tap', or by 'vde_plug' through 'stream'"},
        {"l2tpv3", "a kernel tunnel with a 'tap' does that"},
        {"netmap", "use 'tap'"},
        {"vhost-user", "use 'tap'"},
        {"vhost-vdpa", "use 'tap'"},
        {"af-xdp", "use 'tap'"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(foreign); i++) {
        if (!strcmp(kind, foreign[i][0])) {
            return foreign[i][1];
        }
    }
    return NULL;
}

static const TypeInfo *find_kind(const char *kind, GError **err)
{
    g_autofree char *name = g_strdup_printf(NET_TYPE_PREFIX "%s", kind);
    const TypeInfo *type = type_find(name);
    const char *names[32] = {NULL}, *near;

    if (type && type_is_a(type, &net_backend_type) && !type->abstract) {
        return type;
    }
    if (why_not(kind)) {
        error_set(err, "netdev type '%s' is not served here: %s", kind, why_not(kind));
        return NULL;
    }
    for (unsigned i = 0; net_types[i] && i < G_N_ELEMENTS(names) - 1; i++) {
        names[i] = net_types[i]->name + strlen(NET_TYPE_PREFIX);
    }
    near = error_near_miss(kind, names);
    error_set(err, "unknown netdev type '%s'%s%s%s", kind, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
    return NULL;
}

/* Options that the kind takes as far as can be known without opening it. */
static bool set_checked(NetBackend *b, json_t *opts, GError **err)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);

    return set_options(b, opts, err) && (!k->check || k->check(b, err));
}

static bool open_backend(NetBackend *b, json_t *opts, GError **err)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);

    if (!set_checked(b, opts, err) || (k->open && !k->open(b, err))) {
        return false;
    }
    b->opened = true;
    OBJECT(b)->props_frozen = true;
    return true;
}

static void remove_backend(NetBackend *b)
{
    net_backend_orphan_user(b);
    while (b->filters->len > 0) {
        net_filter_detach(b->filters->pdata[b->filters->len - 1]);
    }
    if (NET_BACKEND_GET_CLASS(b)->close) {
        NET_BACKEND_GET_CLASS(b)->close(b);
    }
    g_clear_pointer(&b->link_bh, loop_bh_free);
    object_unparent(OBJECT(b));
}

/* A backend of the kind that opts name, in its place, without its options. */
static NetBackend *place_backend(Object *root, EventLoop *main_loop, json_t *opts, GError **err)
{
    const char *kind = json_string_value(json_object_get(opts, "type"));
    const char *id = json_string_value(json_object_get(opts, "id"));
    const TypeInfo *type;
    NetBackend *b;

    if (!kind || !id) {
        error_set(err, "'%s' is missing: give TYPE,id=ID", kind ? "id" : "type");
        return NULL;
    }
    type = find_kind(kind, err);
    if (!type || (id[0] != '#' && !user_id_check(id, err))) {
        return NULL;
    }
    b = NET_BACKEND(object_new(type));
    b->main_loop = main_loop;
    b->link_bh = loop_bh_new(main_loop, net_backend_tell_link, b);
    if (!object_add_child(netdevs_of(root), id, OBJECT(b), NULL)) {
        error_set(err, "duplicate netdev id '%s'", id);
        loop_bh_free(g_steal_pointer(&b->link_bh));
        object_unref(b);
        return NULL;
    }
    return b;
}

static NetBackend *add_backend(NetBackend *b, json_t *opts, GError **err)
{
    if (b && !open_backend(b, opts, err)) {
        remove_backend(b);
        return NULL;
    }
    return b;
}

NetBackend *net_backend_add(Object *root, EventLoop *main_loop, json_t *opts, GError **err)
{
    return add_backend(place_backend(root, main_loop, opts, err), opts, err);
}

NetBackend *net_backend_add_to_running(Object *root, EventLoop *main_loop, json_t *opts,
                                       GError **err)
{
    NetBackend *b = place_backend(root, main_loop, opts, err);

    if (b) {
        b->no_lookup = true;
    }
    return add_backend(b, opts, err);
}

NetBackend *net_backend_check(Object *root, EventLoop *main_loop, json_t *opts, GError **err)
{
    NetBackend *b = place_backend(root, main_loop, opts, err);
    json_t *stand_in;
    bool ok;

    if (!b) {
        return NULL;
    }
    ok = set_checked(b, opts, err);
    remove_backend(b);
    if (!ok) {
        return NULL;
    }
    stand_in = json_pack("{s:s, s:O}", "type", "null", "id", json_object_get(opts, "id"));
    b = net_backend_add(root, main_loop, stand_in, err);
    json_decref(stand_in);
    return b;
}

bool net_backend_del(Object *root, const char *id, GError **err)
{
    NetBackend *b = net_backend_find(root, id);

    if (!b) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_NOT_FOUND, "Device '%s' not found", id);
        return false;
    }
    remove_backend(b);
    return true;
}

void net_backend_del_all(Object *root)
{
    Object *all = netdevs_of(root);

    while (all->children && all->children->len > 0) {
        remove_backend(NET_BACKEND(all->children->pdata[all->children->len - 1]));
    }
}

const char *net_info_string(NetBackend *b)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);
    g_autofree char *more = k->info ? k->info(b) : NULL;

    g_free(b->info);
    b->info = g_strdup_printf("type=%s%s", net_kind(b), more ?: "");
    return b->info;
}

/* --- the base class --- */

static void net_backend_init(Object *obj)
{
    NetBackend *b = NET_BACKEND(obj);

    b->link = b->carrier = true;
    b->max_queues = 1;
    b->filters = g_ptr_array_new();
    b->clock = clock_new();
    pthread_mutex_init(&b->lock, NULL);
}

static void net_backend_finalize(Object *obj)
{
    NetBackend *b = NET_BACKEND(obj);

    g_assert(!b->user && !b->link_bh); /* remove_backend was here */
    g_ptr_array_unref(b->filters);
    clock_free(b->clock);
    g_free(b->info);
    pthread_mutex_destroy(&b->lock);
}

/* The fields of NetStats in order. */
static const char *const counter_names[] = {"rx-frames", "rx-bytes", "rx-dropped", "rx-errors",
                                            "tx-frames", "tx-bytes", "tx-dropped", "tx-errors"};

static json_t *get_counter(Object *obj, const Property *prop, GError **err)
{
    NetStats stats;
    unsigned i = 0;

    net_stats(NET_BACKEND(obj), &stats);
    while (strcmp(counter_names[i], prop->name) != 0) {
        i++;
    }
    return json_integer((json_int_t)((const uint64_t *)&stats)[i]);
}

static json_t *get_link(Object *obj, const Property *prop, GError **err)
{
    return json_boolean(net_link_up(NET_BACKEND(obj)));
}

#define COUNTER(n, h) PROP_CUSTOM(n, "int", get_counter, NULL, PROP_READONLY, h)

static const Property net_backend_props[] = {
    COUNTER("rx-frames", "frames from the network that the device took"),
    COUNTER("rx-bytes", "bytes of them"),
    COUNTER("rx-dropped", "frames from the network for which there was no room or no link"),
    COUNTER("rx-errors", "frames from the network that were malformed"),
    COUNTER("tx-frames", "frames from the device that were sent"),
    COUNTER("tx-bytes", "bytes of them"),
    COUNTER("tx-dropped", "frames from the device that were lost for want of a link or a peer"),
    COUNTER("tx-errors", "frames from the device that were malformed, or failed on the host"),
    PROP_CUSTOM("link", "bool", get_link, NULL, PROP_READONLY, "up: set_link and the other end"),
    PROP_END,
};

const TypeInfo net_backend_type = {
    .name = "netdev",
    .instance_size = sizeof(NetBackend),
    .class_size = sizeof(NetBackendClass),
    .abstract = true,
    .instance_init = net_backend_init,
    .instance_finalize = net_backend_finalize,
    .props = net_backend_props,
    .desc = "what a network card is connected to",
};
