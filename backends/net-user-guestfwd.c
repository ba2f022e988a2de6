/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guestfwd= of the network backend "user": a TCP port of the guest's network that leads to a
 * program or a Unix socket, one for each connection, which libslirp does itself; or to a character
 * stream, one for all, which is done here.
 *
 * libslirp asks nobody before it hands a connection's bytes over. So the card's queue stands still
 * while a stream has no room, and a guest's bytes are neither lost nor kept without bound.
 */
#include <arpa/inet.h>
#include <string.h>

#include "backends/chardev.h"
#include "backends/net-user.h"

struct GuestForward {
    NetBackend *b;
    Slirp *slirp;
    Chardev *stream;
    bool owned; /* made for it, else by -chardev */
    struct in_addr server;
    uint16_t port;
    LoopBh *ready; /* the stream has room again */
};

/* --- the stream --- */

static Object *streams_of(Object *root)
{
    return object_container(root, "chardevs");
}

/* Of -chardev; the first port where it is a multiplexer. */
static Chardev *find_stream(NetBackend *b, const char *text, const char *id, GError **err)
{
    Object *obj = object_child(streams_of(object_root(OBJECT(b))), id);
    Chardev *c = obj ? chardev_mux_port(CHARDEV(obj), 0) : NULL;

    if (!c) {
        error_set(err, "guestfwd=%s: chardev '%s' not found", text, id);
    } else if (chardev_has_frontend(c)) {
        error_set(err, "guestfwd=%s: chardev '%s' is in use already", text, id);
        c = NULL;
    }
    return c;
}

/* Is it what libslirp serves itself? A Unix socket with settings is a stream. */
static bool is_slirps(const char *target)
{
    return g_str_has_prefix(target, "cmd:") ||
           (g_str_has_prefix(target, "unix:") && !strchr(target, ','));
}

static const char *stream_id(const char *target)
{
    return g_str_has_prefix(target, "chardev:") ? target + strlen("chardev:") : NULL;
}

/* In the tree under QEMU's name, where monitors find it; a second server's has another. */
static bool adopt(GuestForward *f, GError **err)
{
    Object *root = object_root(OBJECT(f->b));
    g_autofree char *name = g_strdup_printf("guestfwd.tcp.%u", f->port);

    if (object_child(streams_of(root), name)) {
        g_free(g_steal_pointer(&name));
        name = g_strdup_printf("guestfwd.tcp.%08x.%u", ntohl(f->server.s_addr), f->port);
    }
    if (!object_add_child(streams_of(root), name, OBJECT(f->stream), err)) {
        object_unref(g_steal_pointer(&f->stream));
        return false;
    }
    f->owned = true;
    return true;
}

static bool open_stream(GuestForward *f, const char *text, const char *target, GError **err)
{
    const char *id = stream_id(target);

    if (id) {
        f->stream = find_stream(f->b, text, id, err);
        return f->stream != NULL;
    }
    f->stream = chardev_new_from_option(f->b->main_loop, "guestfwd", target, err);
    return f->stream && adopt(f, err);
}

/* --- what comes and goes --- */

static size_t can_receive(void *opaque)
{
    GuestForward *f = opaque;
    size_t n;

    if (!f->b->n_queues) { /* no card yet */
        return 0;
    }
    user_slirp_lock();
    n = slirp_socket_can_recv(f->slirp, f->server, f->port);
    user_slirp_unlock();
    return n;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    GuestForward *f = opaque;

    user_slirp_lock();
    slirp_socket_recv(f->slirp, f->server, f->port, buf, (int)len);
    user_slirp_unlock();
}

static void stream_event(void *opaque, ChardevEvent event)
{
    GuestForward *f = opaque;

    if (event == CHARDEV_DRAINED || event == CHARDEV_CLOSED) {
        loop_bh_schedule(f->ready);
    }
}

static void ready(void *opaque)
{
    GuestForward *f = opaque;

    if (f->b->n_queues) {
        net_backend_writable(f->b, 0);
    }
}

/* libslirp has bytes of the guest. */
static ssize_t on_bytes(const void *buf, size_t len, void *opaque)
{
    chardev_write(((GuestForward *)opaque)->stream, buf, len);
    return (ssize_t)len;
}

bool user_guestfwd_is_full(const GuestForward *f)
{
    return chardev_room(f->stream) == 0;
}

void user_guestfwd_poll(GuestForward *f)
{
    chardev_accept_input(f->stream);
}

/* --- life --- */

static bool check_target(NetBackend *b, const char *text, const char *target, GError **err)
{
    Chardev *c;

    if (is_slirps(target)) {
        return true;
    }
    if (stream_id(target)) {
        return find_stream(b, text, stream_id(target), err) != NULL;
    }
    c = chardev_check_option(b->main_loop, "guestfwd", target, err);
    if (!c) {
        return false;
    }
    object_unref(c);
    return true;
}

/* libslirp takes a port twice, and serves one of them. */
static bool is_again(char *const *texts, unsigned i, struct in_addr server, uint16_t port)
{
    for (unsigned j = 0; j < i; j++) {
        struct in_addr other;
        const char *target;
        uint16_t other_port;

        if (user_parse_guestfwd(texts[j], &other, &other_port, &target, NULL) &&
            other.s_addr == server.s_addr && other_port == port) {
            return true;
        }
    }
    return false;
}

bool user_guestfwd_check(NetBackend *b, char *const *texts, GError **err)
{
    for (unsigned i = 0; texts[i]; i++) {
        struct in_addr server;
        const char *target;
        uint16_t port;

        if (!user_parse_guestfwd(texts[i], &server, &port, &target, err) ||
            !check_target(b, texts[i], target, err)) {
            return false;
        }
        if (is_again(texts, i, server, port)) {
            return error_set(err, "guestfwd=%s: that port is forwarded already", texts[i]);
        }
    }
    return true;
}

static bool connect_stream(GuestForward *f, const char *text, const char *target, GError **err)
{
    const ChardevFrontend fe = {can_receive, receive, stream_event, f};

    if (!open_stream(f, text, target, err)) {
        return false;
    }
    object_ref(f->stream);
    f->ready = loop_bh_new(f->b->main_loop, ready, f);
    chardev_set_frontend(f->stream, &fe);
    return true;
}

bool user_guestfwd_add(NetBackend *b, Slirp *slirp, const char *text, GPtrArray *streams,
                       GError **err)
{
    GuestForward *f = g_new0(GuestForward, 1);
    const char *target;
    int rc = 0;

    *f = (GuestForward){.b = b, .slirp = slirp};
    if (!user_parse_guestfwd(text, &f->server, &f->port, &target, err)) {
        user_guestfwd_free(f);
        return false;
    }
    user_slirp_lock();
    rc = g_str_has_prefix(target, "cmd:")
             ? slirp_add_exec(slirp, target + strlen("cmd:"), &f->server, f->port)
         : is_slirps(target) ? slirp_add_unix(slirp, target + strlen("unix:"), &f->server, f->port)
                             : slirp_add_guestfwd(slirp, on_bytes, f, &f->server, f->port);
    user_slirp_unlock();
    if (rc < 0) {
        user_guestfwd_free(f);
        return error_set(err, "guestfwd=%s: the server is not an address of the network, or in use",
                         text);
    }
    if (is_slirps(target)) {
        user_guestfwd_free(f);
        return true;
    }
    g_ptr_array_add(streams, f); /* libslirp knows it */
    return connect_stream(f, text, target, err);
}

void user_guestfwd_free(void *forward)
{
    GuestForward *f = forward;

    if (f->ready) {
        chardev_set_frontend(f->stream, NULL);
        if (f->owned) {
            chardev_flush(f->stream);
            chardev_close(f->stream);
            object_unparent(OBJECT(f->stream));
        }
        object_unref(f->stream);
        loop_bh_free(f->ready);
    }
    g_free(f);
}
