/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends on sockets: how the socket comes about, and how peers come and go
 * (net-sock.h). What travels is in net-sock-stream.c and net-sock-dgram.c.
 */
#include "backends/net-sock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "backends/unix-socket.h"

enum { BACKLOG = 4, NS_PER_S = 1000000000, UNIX_RETRY_NS = 1000000, CONNECT_WAIT_MS = 250 };

static void try_connect(NetSock *s);

static EventLoop *sock_loop(NetSock *s)
{
    return net_queue_loop(&s->parent_obj, 0);
}

static bool is_attached(const NetSock *s)
{
    return s->parent_obj.n_queues > 0;
}

static int new_socket(const SockAddr *a, int type)
{
    return socket(a->addr.ss_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool fail_at(GError **err, int errnum, const char *what, const SockAddr *a)
{
    g_autofree char *text = sock_addr_text(a);

    return error_set_errno(err, errnum, "cannot %s %s", what, text);
}

/* --- a peer --- */

static void on_socket(void *opaque, unsigned events);

/* poll says nothing about the peer of a datagram socket that is not connected. */
static bool must_retry(const NetSock *s)
{
    return s->dgram && s->remote.len && s->remote.addr.ss_family == AF_UNIX;
}

static unsigned wanted(const NetSock *s)
{
    return (s->paused || s->connecting ? 0 : LOOP_READ) |
           (s->connecting || (s->blocked && !must_retry(s)) ? LOOP_WRITE : 0);
}

void sock_watch(NetSock *s)
{
    if (s->src) {
        loop_fd_set_events(s->src, wanted(s));
    }
    if (s->blocked && must_retry(s) && !loop_timer_armed(s->timer)) {
        loop_timer_arm_in(s->timer, UNIX_RETRY_NS);
    }
}

static void peer_is_there(NetSock *s)
{
    int one = 1;

    s->connecting = false;
    if (!s->dgram) {
        setsockopt(s->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    }
    net_set_carrier(&s->parent_obj, true);
}

static void begin(NetSock *s, int fd, bool connecting)
{
    s->fd = fd;
    s->connecting = connecting;
    s->paused = s->blocked = false;
    s->in_at = s->in_len = s->out_at = s->out_len = 0;
    if (!connecting) {
        peer_is_there(s);
    }
    if (is_attached(s)) {
        s->src = loop_fd_new(sock_loop(s), fd, wanted(s), on_socket, s);
        if (s->listener) {
            loop_fd_set_events(s->listener, 0);
        }
    }
}

void sock_lost(NetSock *s, const char *why, int errnum)
{
    bool was_there = !s->connecting, blocked = s->blocked;

    if (s->fd < 0) {
        return;
    }
    g_clear_pointer(&s->src, loop_fd_free);
    close(s->fd);
    s->fd = -1;
    if (is_attached(s) && !s->dgram) {
        sock_stream_forget(s);
    }
    s->connecting = s->blocked = s->paused = false;
    if (was_there || !s->reconnect) {
        log_warn_rated(&s->rate, "netdev '%s': %s%s%s", net_backend_id(&s->parent_obj), why,
                       errnum ? ": " : "", errnum ? g_strerror(errnum) : "");
    }
    net_set_carrier(&s->parent_obj, false);
    if (s->listener) {
        loop_fd_set_events(s->listener, LOOP_READ);
    }
    if (s->reconnect && is_attached(s)) {
        loop_timer_arm_in(s->timer, (int64_t)s->reconnect * NS_PER_S);
    }
    if (blocked && is_attached(s)) { /* frames go nowhere now, but they go */
        loop_bh_schedule(s->parent_obj.queues[0].tx_bh);
    }
}

static void on_connected(NetSock *s)
{
    int errnum = 0;
    socklen_t len = sizeof errnum;

    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
    if (errnum) {
        g_autofree char *text = sock_addr_text(&s->remote);
        g_autofree char *why = g_strdup_printf("cannot connect to %s", text);

        sock_lost(s, why, errnum);
        return;
    }
    peer_is_there(s);
    sock_watch(s);
}

static void on_socket(void *opaque, unsigned events)
{
    NetSock *s = opaque;

    if (s->connecting) {
        on_connected(s);
        return;
    }
    if (events & LOOP_WRITE) {
        if (s->dgram) {
            s->blocked = false;
            sock_watch(s);
            net_backend_writable(&s->parent_obj, 0);
        } else {
            sock_stream_writable(s);
        }
    }
    if ((events & LOOP_READ) && s->fd >= 0 && !s->paused) {
        (s->dgram ? sock_dgram_readable : sock_stream_readable)(s);
    }
}

static void on_listener(void *opaque, unsigned events)
{
    NetSock *s = opaque;
    SockAddr peer = {.len = sizeof peer.addr};
    int fd = accept4(s->listen_fd, (struct sockaddr *)&peer.addr, &peer.len,
                     SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        s->peer = peer;
        begin(s, fd, false);
    }
}

static void on_timer(void *opaque)
{
    NetSock *s = opaque;

    if (s->dgram) {
        s->blocked = false;
        net_backend_writable(&s->parent_obj, 0);
    } else if (s->fd < 0) {
        try_connect(s);
    }
}

/* --- how it comes about --- */

/* 0, or an errno; a connection may still be under way. */
static int connect_now(NetSock *s)
{
    int fd = new_socket(&s->remote, SOCK_STREAM), errnum;

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&s->remote.addr, s->remote.len) == 0) {
        begin(s, fd, false);
        return 0;
    }
    errnum = errno;
    if (fd >= 0 && errnum == EINPROGRESS) {
        begin(s, fd, true);
        return 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return errnum;
}

static void try_connect(NetSock *s)
{
    if (connect_now(s)) {
        loop_timer_arm_in(s->timer, (int64_t)s->reconnect * NS_PER_S);
    }
}

/* A peer nearby answers at once, and a refusal is told where it was asked for. 0, or an errno. */
static int wait_shortly(NetSock *s)
{
    struct pollfd p = {.fd = s->fd, .events = POLLOUT};
    int errnum = 0;
    socklen_t len = sizeof errnum;

    if (!s->connecting || poll(&p, 1, CONNECT_WAIT_MS) <= 0) {
        return 0;
    }
    getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &errnum, &len);
    if (!errnum) {
        peer_is_there(s);
    }
    return errnum;
}

bool net_sock_connect(NetSock *s, const SockAddr *to, unsigned reconnect, GError **err)
{
    int errnum;

    s->remote = sock_addr_copy(to);
    s->reconnect = reconnect;
    s->parent_obj.carrier = false;
    errnum = connect_now(s);
    if (!errnum && !reconnect) {
        errnum = wait_shortly(s);
    }
    return errnum == 0 || reconnect || fail_at(err, errnum, "connect to", to);
}

/* A socket that is bound to at; -1 with a line. */
static int bind_socket(NetSock *s, const SockAddr *at, int type, const char *what, GError **err)
{
    int fd, one = 1;

    if (at->path && !unix_socket_remove_stale(at->path, type, err)) {
        g_prefix_error(err, "%s: ", at->path);
        return -1;
    }
    fd = new_socket(at, type);
    if (fd >= 0 && at->addr.ss_family != AF_UNIX) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    }
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at->addr, at->len) < 0) {
        fail_at(err, errno, what, at);
        if (fd >= 0) {
            close(fd);
        }
        return -1;
    }
    if (at->path && stat(at->path, &s->made_stat) == 0) {
        s->made = sock_addr_copy(at);
    }
    return fd;
}

static bool listen_fd(NetSock *s, int fd, GError **err)
{
    int listens = 0;
    socklen_t len = sizeof listens;

    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens) {
        return error_set(err, "file descriptor %d is not a socket that listens", fd);
    }
    net_own_fd(fd);
    s->listen_fd = fd;
    s->parent_obj.carrier = false;
    return true;
}

bool net_sock_listen(NetSock *s, const SockAddr *at, GError **err)
{
    s->parent_obj.carrier = false;
    s->listen_fd = bind_socket(s, at, SOCK_STREAM, "listen on", err);
    if (s->listen_fd < 0) {
        return false;
    }
    return listen(s->listen_fd, BACKLOG) == 0 || fail_at(err, errno, "listen on", at);
}

static bool begin_datagrams(NetSock *s, int fd)
{
    s->dgram = true;
    begin(s, fd, false);
    return true;
}

bool net_sock_datagrams(NetSock *s, const SockAddr *local, const SockAddr *remote, GError **err)
{
    int fd = local->len ? bind_socket(s, local, SOCK_DGRAM, "bind to", err)
                        : new_socket(remote, SOCK_DGRAM);

    if (fd < 0) {
        return local->len ? false : error_set_errno(err, errno, "socket");
    }
    s->remote = sock_addr_copy(remote);
    return begin_datagrams(s, fd);
}

bool net_sock_multicast(NetSock *s, const SockAddr *group, const SockAddr *local, GError **err)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&group->addr;
    struct ip_mreq mreq = {.imr_multiaddr = in->sin_addr};
    int one = 1, fd;

    fd = new_socket(group, SOCK_DGRAM);
    if (local->len) {
        mreq.imr_interface = ((const struct sockaddr_in *)&local->addr)->sin_addr;
    }
    if (fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 &&
        bind(fd, (const struct sockaddr *)in, sizeof *in) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &mreq, sizeof mreq) == 0 &&
        setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof one) == 0 &&
        (!local->len || setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &mreq.imr_interface,
                                   sizeof mreq.imr_interface) == 0)) {
        s->remote = sock_addr_copy(group);
        return begin_datagrams(s, fd);
    }
    fail_at(err, errno, "join", group);
    if (fd >= 0) {
        close(fd);
    }
    return false;
}

static bool take_fd(NetSock *s, int fd, GError **err)
{
    int type = 0;
    socklen_t len = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
        return error_set_errno(err, errno, "file descriptor %d is not a socket", fd);
    }
    if (type != SOCK_STREAM && type != SOCK_DGRAM) {
        return error_set(err, "file descriptor %d is neither a stream nor a datagram socket", fd);
    }
    net_own_fd(fd);
    s->dgram = type == SOCK_DGRAM;
    begin(s, fd, false);
    return true;
}

bool net_sock_open_fd(NetSock *s, const char *text, bool server, GError **err)
{
    int fd;
    bool named;

    if (!sock_addr_parse_fd(object_root(OBJECT(s)), text, &fd, &named, err)) {
        return false;
    }
    if ((server ? listen_fd : take_fd)(s, fd, err)) {
        return true;
    }
    if (named) {
        close(fd);
    }
    return false;
}

/* --- the kind --- */

static unsigned sock_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    NetSock *s = NET_SOCK(b);

    if (s->fd < 0 || s->connecting) {
        net_count_lost(b, queue, frames, n, false);
        return n;
    }
    return s->dgram ? sock_dgram_send(s, frames, n) : sock_stream_send(s, frames, n);
}

static void sock_receive_ready(NetBackend *b, unsigned queue)
{
    NetSock *s = NET_SOCK(b);

    s->paused = false;
    if (s->fd >= 0 && !s->dgram) {
        sock_stream_resume(s);
    }
    sock_watch(s);
}

static bool sock_attach(NetBackend *b, GError **err)
{
    NetSock *s = NET_SOCK(b);

    s->timer = loop_timer_new(sock_loop(s), b->clock, on_timer, s);
    s->paused = false;
    if (!s->in && !s->dgram) {
        s->in = g_malloc(SOCK_IN);
        s->out = g_malloc(SOCK_LENGTH + NET_FRAME_MAX);
    } else if (!s->in) {
        s->in = g_malloc(NET_FRAME_MAX + 1);
    }
    if (s->listen_fd >= 0) {
        s->listener =
            loop_fd_new(sock_loop(s), s->listen_fd, s->fd < 0 ? LOOP_READ : 0, on_listener, s);
    }
    if (s->fd >= 0) {
        s->src = loop_fd_new(sock_loop(s), s->fd, wanted(s), on_socket, s);
    } else if (s->reconnect) {
        loop_timer_arm_in(s->timer, 0);
    }
    return true;
}

static void sock_detach(NetBackend *b)
{
    NetSock *s = NET_SOCK(b);

    g_clear_pointer(&s->src, loop_fd_free);
    g_clear_pointer(&s->listener, loop_fd_free);
    g_clear_pointer(&s->timer, loop_timer_free);
}

static void sock_close(NetBackend *b)
{
    NetSock *s = NET_SOCK(b);
    struct stat st;

    if (s->fd >= 0) {
        close(s->fd);
    }
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    s->fd = s->listen_fd = -1;
    if (s->made.path && lstat(s->made.path, &st) == 0 && st.st_ino == s->made_stat.st_ino &&
        st.st_dev == s->made_stat.st_dev) {
        unlink(s->made.path);
    }
}

static void sock_init(Object *obj)
{
    NetSock *s = NET_SOCK(obj);

    s->fd = s->listen_fd = -1;
}

static void sock_finalize(Object *obj)
{
    NetSock *s = NET_SOCK(obj);

    sock_addr_finish(&s->remote);
    sock_addr_finish(&s->made);
    g_free(s->in);
    g_free(s->out);
}

static void sock_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->send = sock_send;
    k->receive_ready = sock_receive_ready;
    k->attach = sock_attach;
    k->detach = sock_detach;
    k->close = sock_close;
}

const TypeInfo net_sock_type = {
    .name = "netdev-on-socket",
    .parent = &net_backend_type,
    .abstract = true,
    .instance_size = sizeof(NetSock),
    .instance_init = sock_init,
    .instance_finalize = sock_finalize,
    .class_init = sock_class_init,
};
