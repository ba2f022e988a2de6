/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backends "stream" and "dgram": a peer by a TCP, UDP or Unix socket, such as passt or
 * another VMM.
 */
#include "backends/net-sock.h"

OBJECT_DECLARE(NetStream, net_stream, NET_STREAM)
OBJECT_DECLARE(NetDgram, net_dgram, NET_DGRAM)

struct NetStream {
    NetSock parent_obj;
    SockAddrOpts addr;
    bool server;
    uint32_t reconnect;
    char *summary;
};

struct NetDgram {
    NetSock parent_obj;
    SockAddrOpts local, remote;
    char *summary;
};

static char *stream_where(const SockAddr *a)
{
    g_autofree char *text = sock_addr_text(a);

    return g_strdup_printf("%s:%s", a->addr.ss_family == AF_UNIX ? "unix" : "tcp", text);
}

static bool stream_open_fd(NetStream *s, GError **err)
{
    s->summary = g_strdup_printf(",fd:%s", s->addr.str);
    return net_sock_open_fd(&s->parent_obj, s->addr.str, s->server, err);
}

static bool stream_check(NetBackend *b, GError **err)
{
    const NetStream *s = NET_STREAM(b);

    if (s->reconnect && sock_addr_is(&s->addr, "fd")) {
        return error_set(err, "reconnect= needs an address to connect to");
    }
    if (s->reconnect && s->server) {
        return error_set(err, "reconnect= is for a client: leave server=on out");
    }
    return sock_addr_check_opts(&s->addr, "addr", err);
}

static bool stream_open(NetBackend *b, GError **err)
{
    NetStream *s = NET_STREAM(b);
    g_autofree char *where = NULL;
    SockAddr addr;
    bool ok;

    if (sock_addr_is(&s->addr, "fd")) {
        return stream_open_fd(s, err);
    }
    if (!sock_addr_resolve(&s->addr, SOCK_STREAM, sock_addr_flags(b, s->server), &addr, err)) {
        return false;
    }
    where = stream_where(&addr);
    s->summary = g_strdup_printf(",%s%s", s->server ? "listening on " : "", where);
    ok = s->server ? net_sock_listen(&s->parent_obj, &addr, err)
                   : net_sock_connect(&s->parent_obj, &addr, s->reconnect, err);
    sock_addr_finish(&addr);
    return ok;
}

/* QEMU's events. A server on a Unix socket tells its own address: its peers have none. */
static void stream_carrier_changed(NetBackend *b, bool up)
{
    NetStream *s = NET_STREAM(b);
    const NetSock *sock = &s->parent_obj;
    json_t *data = json_pack("{s:s}", "netdev-id", net_backend_id(b));
    NetLocks locks;

    if (up) {
        net_lock_queues(b, &locks);
        json_object_set_new(data, "addr",
                            sock_addr_is(&s->addr, "fd")
                                ? json_pack("{s:s, s:s}", "type", "fd", "str", s->addr.str)
                            : !s->server                     ? sock_addr_json(&sock->remote)
                            : sock_addr_is(&s->addr, "unix") ? sock_addr_json(&sock->made)
                                                             : sock_addr_json(&sock->peer));
        net_unlock_queues(&locks);
    }
    net_event(b, up ? "NETDEV_STREAM_CONNECTED" : "NETDEV_STREAM_DISCONNECTED", data);
}

static char *stream_info(NetBackend *b)
{
    NetStream *s = NET_STREAM(b);
    const char *state = s->parent_obj.fd < 0 || s->parent_obj.connecting ? ",not connected" : "";

    return g_strdup_printf("%s%s", s->summary, state);
}

static void stream_finalize(Object *obj)
{
    g_free(NET_STREAM(obj)->summary);
}

static void stream_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->check = stream_check;
    k->open = stream_open;
    k->info = stream_info;
    k->carrier_changed = stream_carrier_changed;
}

static const Property stream_props[] = {
    SOCK_ADDR_PROPS("addr", NetStream, addr),
    PROP_BOOL("server", NetStream, server, false, "wait for the peer instead of connecting to it"),
    PROP_UINT32("reconnect", NetStream, reconnect, 0, 0, 86400,
                "seconds between attempts to connect again; 0: none"),
    PROP_END,
};

const TypeInfo net_stream_type = {
    .name = NET_TYPE_PREFIX "stream",
    .parent = &net_sock_type,
    .instance_size = sizeof(NetStream),
    .instance_finalize = stream_finalize,
    .class_init = stream_class_init,
    .props = stream_props,
    .desc = "a peer by a TCP or Unix stream socket, such as passt",
};

/* --- dgram --- */

static bool dgram_open_fd(NetDgram *s, GError **err)
{
    s->summary = g_strdup_printf(",fd:%s", s->local.str);
    return net_sock_open_fd(&s->parent_obj, s->local.str, false, err);
}

static bool dgram_open_pair(NetDgram *s, const SockAddr *local, const SockAddr *remote,
                            GError **err)
{
    g_autofree char *l = sock_addr_text(local), *r = sock_addr_text(remote);

    s->summary = g_strdup_printf(",local=%s,remote=%s", local->len ? l : "any", r);
    if (sock_addr_is_multicast(remote)) {
        return net_sock_multicast(&s->parent_obj, remote, local, err);
    }
    if (!local->len) {
        return error_set(err, "'local' is missing: where the peer sends to");
    }
    if (local->addr.ss_family != remote->addr.ss_family) {
        return error_set(err, "'local' and 'remote' are of different families");
    }
    return net_sock_datagrams(&s->parent_obj, local, remote, err);
}

static bool dgram_check(NetBackend *b, GError **err)
{
    const NetDgram *s = NET_DGRAM(b);

    if (sock_addr_is(&s->local, "fd")) {
        return sock_addr_given(&s->remote)
                   ? error_set(err, "local.type=fd is connected already: leave 'remote' out")
                   : sock_addr_check_opts(&s->local, "local", err);
    }
    if (!sock_addr_given(&s->remote)) {
        return error_set(err, "'remote' is missing: where to send to");
    }
    if (sock_addr_is(&s->remote, "fd")) {
        return error_set(err, "'remote.type' is inet or unix, not 'fd'");
    }
    return sock_addr_check_opts(&s->remote, "remote", err) &&
           (!sock_addr_given(&s->local) || sock_addr_check_opts(&s->local, "local", err));
}

static bool dgram_open(NetBackend *b, GError **err)
{
    NetDgram *s = NET_DGRAM(b);
    SockAddr local = {0}, remote = {0};
    bool ok;

    if (sock_addr_is(&s->local, "fd")) {
        return dgram_open_fd(s, err);
    }
    ok = sock_addr_resolve(&s->remote, SOCK_DGRAM, sock_addr_flags(b, false), &remote, err) &&
         (!sock_addr_given(&s->local) ||
          sock_addr_resolve(&s->local, SOCK_DGRAM, sock_addr_flags(b, true), &local, err)) &&
         dgram_open_pair(s, &local, &remote, err);
    sock_addr_finish(&local);
    sock_addr_finish(&remote);
    return ok;
}

static char *dgram_info(NetBackend *b)
{
    return g_strdup(NET_DGRAM(b)->summary);
}

static void dgram_finalize(Object *obj)
{
    g_free(NET_DGRAM(obj)->summary);
}

static void dgram_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->check = dgram_check;
    k->open = dgram_open;
    k->info = dgram_info;
}

static const Property dgram_props[] = {
    SOCK_ADDR_PROPS("local", NetDgram, local),
    SOCK_ADDR_PROPS("remote", NetDgram, remote),
    PROP_END,
};

const TypeInfo net_dgram_type = {
    .name = NET_TYPE_PREFIX "dgram",
    .parent = &net_sock_type,
    .instance_size = sizeof(NetDgram),
    .instance_finalize = dgram_finalize,
    .class_init = dgram_class_init,
    .props = dgram_props,
    .desc = "a peer by UDP or Unix datagrams, or a multicast group",
};
