/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A Unix or TCP stream socket as a character stream. A server serves one client at a time: the next
 * is accepted when the first has left, until then it waits in the backlog. What is written while
 * nobody is connected is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/chardev-impl.h"
#include "backends/tcp-socket.h"
#include "backends/unix-socket.h"

enum { BACKLOG = 8, FDS_MAX = 16 };

OBJECT_DECLARE(SocketChardev, chardev_socket, CHARDEV_SOCKET)

struct SocketChardev {
    FdChardev parent_obj;
    char *path;      /* for messages also "HOST:PORT" */
    char *made_path; /* of our socket file, absolute: a daemon changes its directory */
    int listen_fd;   /* -1: a client, or closed */
    LoopFd *listener;
    struct stat made;   /* the socket file that is ours to unlink */
    int fd;             /* the peer, or -1 */
    LoopFd *connecting; /* a client's connection is under way; it has connecting_fd then */
    int connecting_fd;
    int fds[FDS_MAX]; /* that came with the latest message, see chardev_want_fds */
    unsigned nfds;
};

/* --- the peer --- */

static void socket_begin(SocketChardev *s, int fd)
{
    s->fd = fd;
    if (s->listener) {
        loop_fd_set_events(s->listener, 0);
    }
    fd_chardev_start(CHARDEV_FD(s), fd, fd);
    chardev_set_open(CHARDEV(s), true);
}

static void close_fds(SocketChardev *s)
{
    while (s->nfds > 0) {
        close(s->fds[--s->nfds]);
    }
}

/* What does not fit into control is closed by the kernel. */
static ssize_t socket_read(FdChardev *f, void *buf, size_t len)
{
    SocketChardev *s = CHARDEV_SOCKET(f);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))];
    } control;
    struct iovec iov = {buf, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (CHARDEV(f)->wants_fds) {
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control;
    }
    n = recvmsg(s->fd, &msg, MSG_CMSG_CLOEXEC);
    for (struct cmsghdr *c = n >= 0 ? CMSG_FIRSTHDR(&msg) : NULL; c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            close_fds(s);
            s->nfds = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(s->fds, CMSG_DATA(c), s->nfds * sizeof(int));
        }
    }
    return n;
}

static int socket_receive_fd(Chardev *c)
{
    SocketChardev *s = CHARDEV_SOCKET(c);
    int fd = -1;

    if (s->nfds > 0) {
        fd = s->fds[0];
        s->fds[0] = s->fds[--s->nfds];
    }
    close_fds(s);
    return fd;
}

static void socket_end(SocketChardev *s)
{
    close_fds(s);
    if (s->fd < 0) {
        return;
    }
    fd_chardev_stop(CHARDEV_FD(s));
    close(s->fd);
    s->fd = -1;
    if (s->listener) {
        loop_fd_set_events(s->listener, LOOP_READ);
    }
}

static void socket_input_ended(FdChardev *f)
{
    socket_end(CHARDEV_SOCKET(f));
    chardev_set_open(CHARDEV(f), false);
}

/* Ends both ways at once but leaves the news to the loop: the caller is a front end in the middle
 * of its receive. */
static void chardev_socket_disconnect(Chardev *c)
{
    SocketChardev *s = CHARDEV_SOCKET(c);
    FdChardev *f = CHARDEV_FD(c);

    if (s->fd < 0 || f->ending) {
        return;
    }
    fd_chardev_end(f);
    shutdown(s->fd, SHUT_RDWR);
}

static void socket_accept(void *opaque, unsigned events)
{
    SocketChardev *s = opaque;
    int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0) {
        socket_begin(s, fd);
    }
}

/* --- making --- */

static bool socket_listen(SocketChardev *s, GError **err)
{
    struct sockaddr_un addr;

    if (!unix_socket_address(s->path, &addr, err) ||
        !unix_socket_remove_stale(s->path, SOCK_STREAM, err)) {
        return false;
    }
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        return error_set_errno(err, errno, "cannot make the socket");
    }
    s->made_path = g_canonicalize_filename(s->path, NULL);
    if (stat(s->path, &s->made) < 0 || listen(s->listen_fd, BACKLOG) < 0) {
        return error_set_errno(err, errno, "cannot listen");
    }
    s->listener = loop_fd_new(CHARDEV(s)->loop, s->listen_fd, LOOP_READ, socket_accept, s);
    return true;
}

enum { WAIT_POLL_MS = 100 };

/* The program takes these signals through its main loop, which does not run yet while a stream
 * waits. */
static bool asked_to_end(void)
{
    sigset_t set;

    return sigpending(&set) == 0 &&
           (sigismember(&set, SIGINT) || sigismember(&set, SIGTERM) || sigismember(&set, SIGHUP));
}

static bool socket_wait(SocketChardev *s, GError **err)
{
    struct pollfd p = {.fd = s->listen_fd, .events = POLLIN};

    g_printerr("aerostat: %s: waiting for a client to connect to %s\n", CHARDEV(s)->label, s->path);
    while (s->fd < 0) {
        if (poll(&p, 1, WAIT_POLL_MS) < 0) {
            return error_set_errno(err, errno, "while waiting for a client");
        }
        if (asked_to_end()) {
            return error_set(err, "interrupted while waiting for a client");
        }
        socket_accept(s, LOOP_READ);
    }
    return true;
}

/* Without wait, a full backlog is an error: nothing tells when it has room. */
static bool socket_connect(SocketChardev *s, bool wait, GError **err)
{
    struct sockaddr_un addr;
    int fd;

    if (!unix_socket_address(s->path, &addr, err)) {
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0) {
        if (errno == EAGAIN) {
            error_set(err, "cannot connect to '%s': too many wait there already", s->path);
        } else {
            error_set_errno(err, errno, "cannot connect to '%s' (add server=on to listen there)",
                            s->path);
        }
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    fcntl(fd, F_SETFL, O_NONBLOCK);
    socket_begin(s, fd);
    return true;
}

Chardev *chardev_socket_new(EventLoop *loop, const char *label, const char *path, bool server,
                            bool wait, GError **err)
{
    g_autoptr(Object) obj = (Object *)chardev_new(&chardev_socket_type, loop, label);
    SocketChardev *s = CHARDEV_SOCKET(obj);
    bool ok;

    signal(SIGPIPE, SIG_IGN);
    s->path = g_strdup(path);
    CHARDEV(s)->filename = g_strdup_printf("unix:%s%s", path, server ? ",server=on" : "");
    ok = server ? socket_listen(s, err) && (!wait || socket_wait(s, err))
                : socket_connect(s, wait, err);
    return ok ? CHARDEV(g_steal_pointer(&obj)) : NULL;
}

static bool tcp_listen(SocketChardev *s, const char *host, const char *port, GError **err)
{
    unsigned real_port = 0;

    s->listen_fd = tcp_socket_listen(host, port, &real_port, err);
    if (s->listen_fd < 0) {
        return false;
    }
    g_free(s->path);
    s->path = g_strdup_printf(strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, real_port);
    s->listener = loop_fd_new(CHARDEV(s)->loop, s->listen_fd, LOOP_READ, socket_accept, s);
    return true;
}

static void stop_connecting(SocketChardev *s)
{
    loop_fd_free(s->connecting);
    s->connecting = NULL;
    if (s->connecting_fd >= 0) {
        close(s->connecting_fd);
    }
    s->connecting_fd = -1;
}

static void tcp_connected(void *opaque, unsigned events)
{
    SocketChardev *s = opaque;
    socklen_t len = sizeof(int);
    int errnum = 0;

    if (getsockopt(s->connecting_fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0) {
        errnum = errno;
    }
    if (errnum == 0) {
        int fd = g_steal_fd(&s->connecting_fd);

        stop_connecting(s);
        socket_begin(s, fd);
    } else {
        log_warn("%s: cannot connect to %s: %s", CHARDEV(s)->label, s->path, g_strerror(errnum));
        stop_connecting(s);
    }
}

static bool tcp_connect(SocketChardev *s, const char *host, const char *port, bool wait,
                        GError **err)
{
    bool later;
    int fd = tcp_socket_connect(host, port, wait, &later, err);

    if (fd >= 0 && later) {
        s->connecting_fd = fd;
        s->connecting = loop_fd_new(CHARDEV(s)->loop, fd, LOOP_WRITE, tcp_connected, s);
    } else if (fd >= 0) {
        socket_begin(s, fd);
    }
    return fd >= 0;
}

Chardev *chardev_tcp_new(EventLoop *loop, const char *label, const char *host, const char *port,
                         bool server, bool wait, GError **err)
{
    g_autoptr(Object) obj = (Object *)chardev_new(&chardev_socket_type, loop, label);
    SocketChardev *s = CHARDEV_SOCKET(obj);
    bool ok;

    signal(SIGPIPE, SIG_IGN);
    s->path = g_strdup_printf(strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
    ok = server ? tcp_listen(s, host, port, err) && (!wait || socket_wait(s, err))
                : tcp_connect(s, host, port, wait, err);
    CHARDEV(s)->filename = g_strdup_printf("tcp:%s%s", s->path, server ? ",server=on" : "");
    return ok ? CHARDEV(g_steal_pointer(&obj)) : NULL;
}

static bool check_fd(int fd, bool server, GError **err)
{
    int type = 0, listens = 0;
    socklen_t len = sizeof(int);

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) < 0) {
        return error_set_errno(err, errno, "file descriptor %d is no socket", fd);
    }
    if (type != SOCK_STREAM) {
        return error_set(err, "file descriptor %d is no stream socket", fd);
    }
    if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) < 0 || !listens == server) {
        return error_set(err, "file descriptor %d %s", fd,
                         server ? "is no socket that listens" : "listens: add server=on");
    }
    return true;
}

Chardev *chardev_socket_new_fd(EventLoop *loop, const char *label, int fd, bool server, bool wait,
                               GError **err)
{
    g_autoptr(Object) obj = (Object *)chardev_new(&chardev_socket_type, loop, label);
    SocketChardev *s = CHARDEV_SOCKET(obj);

    if (!check_fd(fd, server, err)) {
        close(fd);
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN);
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    s->path = g_strdup_printf("file descriptor %d", fd);
    CHARDEV(s)->filename = g_strdup_printf("fd:%d%s", fd, server ? ",server=on" : "");
    if (server) {
        s->listen_fd = fd;
        s->listener = loop_fd_new(loop, fd, LOOP_READ, socket_accept, s);
        return wait && !socket_wait(s, err) ? NULL : CHARDEV(g_steal_pointer(&obj));
    }
    socket_begin(s, fd);
    return CHARDEV(g_steal_pointer(&obj));
}

static void chardev_socket_close(Chardev *c)
{
    SocketChardev *s = CHARDEV_SOCKET(c);
    struct stat st;

    socket_end(s);
    stop_connecting(s);
    loop_fd_free(s->listener);
    s->listener = NULL;
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
        s->listen_fd = -1;
    }
    if (s->made.st_ino && lstat(s->made_path, &st) == 0 && st.st_ino == s->made.st_ino &&
        st.st_dev == s->made.st_dev) {
        unlink(s->made_path);
    }
    g_clear_pointer(&s->path, g_free);
    g_clear_pointer(&s->made_path, g_free);
}

static void chardev_socket_init(Object *obj)
{
    SocketChardev *s = CHARDEV_SOCKET(obj);

    s->listen_fd = s->fd = s->connecting_fd = -1;
}

static void chardev_socket_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->close = chardev_socket_close;
    CHARDEV_CLASS(klass)->disconnect = chardev_socket_disconnect;
    CHARDEV_CLASS(klass)->receive_fd = socket_receive_fd;
    CHARDEV_FD_CLASS(klass)->read = socket_read;
    CHARDEV_FD_CLASS(klass)->input_ended = socket_input_ended;
}

const TypeInfo chardev_socket_type = {
    .name = "chardev-socket",
    .parent = &chardev_fd_type,
    .instance_size = sizeof(SocketChardev),
    .instance_init = chardev_socket_init,
    .class_init = chardev_socket_class_init,
    .desc = "Unix or TCP socket, server or client",
};
