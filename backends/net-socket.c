/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend "socket": TCP or UDP to another VMM, or a multicast group that is a switch.
 */
#include <netinet/in.h>

#include "backends/net-sock.h"

OBJECT_DECLARE(NetSocket, net_socket, NET_SOCKET)

struct NetSocket {
    NetSock parent_obj;
    char *fd, *listen, *connect, *mcast, *udp, *localaddr;
    char *summary;
};

static bool open_fd(NetSocket *s, GError **err)
{
    s->summary = g_strdup_printf(",fd=%s", s->fd);
    return net_sock_open_fd(&s->parent_obj, s->fd, false, err);
}

static bool open_stream(NetSocket *s, GError **err)
{
    const NetBackend *b = NET_BACKEND(s);
    SockAddr addr;

    if (s->listen) {
        s->summary = g_strdup_printf(",listen=%s", s->listen);
        return sock_addr_parse(s->listen, SOCK_STREAM, sock_addr_flags(b, true), &addr, err) &&
               net_sock_listen(&s->parent_obj, &addr, err);
    }
    s->summary = g_strdup_printf(",connect=%s", s->connect);
    return sock_addr_parse(s->connect, SOCK_STREAM, sock_addr_flags(b, false), &addr, err) &&
           net_sock_connect(&s->parent_obj, &addr, 0, err);
}

static bool open_mcast(NetSocket *s, GError **err)
{
    const NetBackend *b = NET_BACKEND(s);
    SockAddr group, local = {0};
    g_autofree char *local_port = s->localaddr ? g_strdup_printf("%s:0", s->localaddr) : NULL;

    s->summary = g_strdup_printf(",mcast=%s", s->mcast);
    if (!sock_addr_parse(s->mcast, SOCK_DGRAM, sock_addr_flags(b, false), &group, err)) {
        return false;
    }
    if (!sock_addr_is_multicast(&group)) {
        return error_set(err, "'%s' is not a multicast address, 224.0.0.0 to 239.255.255.255",
                         s->mcast);
    }
    if (local_port &&
        !sock_addr_parse(local_port, SOCK_DGRAM, sock_addr_flags(b, true), &local, err)) {
        return false;
    }
    return net_sock_multicast(&s->parent_obj, &group, &local, err);
}

static bool open_udp(NetSocket *s, GError **err)
{
    const NetBackend *b = NET_BACKEND(s);
    SockAddr local, remote;

    s->summary = g_strdup_printf(",udp=%s,localaddr=%s", s->udp, s->localaddr);
    return sock_addr_parse(s->udp, SOCK_DGRAM, sock_addr_flags(b, false), &remote, err) &&
           sock_addr_parse(s->localaddr, SOCK_DGRAM, sock_addr_flags(b, true), &local, err) &&
           net_sock_datagrams(&s->parent_obj, &local, &remote, err);
}

/* Names of hosts are looked up by open only. */
static bool socket_check(NetBackend *b, GError **err)
{
    const NetSocket *s = NET_SOCKET(b);
    const char *const texts[] = {s->listen, s->connect, s->mcast, s->udp,
                                 s->udp ? s->localaddr : NULL};

    if (!!s->fd + !!s->listen + !!s->connect + !!s->mcast + !!s->udp != 1) {
        return error_set(err, "give one of listen=, connect=, mcast=, udp= and fd=");
    }
    if (s->localaddr && !s->mcast && !s->udp) {
        return error_set(err, "localaddr= goes with mcast= and udp= only");
    }
    if (s->udp && !s->localaddr) {
        return error_set(err, "udp= needs localaddr=HOST:PORT, where the peer sends to");
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        if (texts[i] && !sock_addr_check(texts[i], err)) {
            return false;
        }
    }
    return true;
}

static bool socket_open(NetBackend *b, GError **err)
{
    NetSocket *s = NET_SOCKET(b);

    if (s->fd) {
        return open_fd(s, err);
    }
    return s->udp ? open_udp(s, err) : s->mcast ? open_mcast(s, err) : open_stream(s, err);
}

static char *socket_info(NetBackend *b)
{
    return g_strdup(NET_SOCKET(b)->summary);
}

static void socket_finalize(Object *obj)
{
    g_free(NET_SOCKET(obj)->summary);
}

static void socket_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->check = socket_check;
    k->open = socket_open;
    k->info = socket_info;
}

static const Property socket_props[] = {
    PROP_STRING("listen", NetSocket, listen, NULL, "wait for a TCP peer at [HOST]:PORT"),
    PROP_STRING("connect", NetSocket, connect, NULL, "connect to a TCP peer at HOST:PORT"),
    PROP_STRING("mcast", NetSocket, mcast, NULL, "all that share the multicast GROUP:PORT"),
    PROP_STRING("udp", NetSocket, udp, NULL, "send datagrams to HOST:PORT"),
    PROP_STRING("localaddr", NetSocket, localaddr, NULL,
                "udp: receive at [HOST]:PORT; mcast: HOST of the interface"),
    PROP_STRING("fd", NetSocket, fd, NULL,
                "an open socket, stream or datagram: its number, or its name of getfd"),
    PROP_END,
};

const TypeInfo net_socket_type = {
    .name = NET_TYPE_PREFIX "socket",
    .parent = &net_sock_type,
    .instance_size = sizeof(NetSocket),
    .instance_finalize = socket_finalize,
    .class_init = socket_class_init,
    .props = socket_props,
    .desc = "another VMM by TCP or UDP, or a multicast group",
};
