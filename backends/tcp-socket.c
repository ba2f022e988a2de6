/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP sockets, see tcp-socket.h.
 */
#include "backends/tcp-socket.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 8 };

static bool check_text(const char *host, const char *port, GError **err)
{
    if (!*host) {
        return error_set(err, "the host is missing: tcp:127.0.0.1:PORT");
    }
    return (*port && strspn(port, "0123456789") == strlen(port) && strlen(port) <= 5 &&
            g_ascii_strtoull(port, NULL, 10) <= 65535) ||
           error_set(err, "'%s' is not a port (0 to 65535)", port);
}

static struct addrinfo *resolve(const char *host, const char *port, int flags, GError **err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *list = NULL;
    int rc;

    if (!check_text(host, port, err)) {
        return NULL;
    }
    rc = getaddrinfo(host, port, &hints, &list);
    if (rc == EAI_NONAME && (flags & AI_NUMERICHOST)) {
        error_set(err, "'%s' is no address, and looking a name up would stop the VM meanwhile",
                  host);
        return NULL;
    }
    if (rc != 0) {
        error_set(err, "host '%s': %s", host, gai_strerror(rc));
        return NULL;
    }
    return list;
}

static bool is_loopback(const struct sockaddr *addr)
{
    if (addr->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)addr;

        return ntohl(in->sin_addr.s_addr) >> 24 == 127;
    }
    return addr->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)addr)->sin6_addr);
}

static bool refuse_host(const char *host, GError **err)
{
    return error_set(err,
                     "'%s' is no loopback address: whoever connects is trusted, so give 127.0.0.1 "
                     "or [::1], and forward from there",
                     host);
}

/* A server's host is no name that would have to be looked up. */
static bool check_server(const char *host, GError **err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};
    struct addrinfo *list = NULL;
    bool ok = !strcmp(host, "localhost");

    if (!ok && getaddrinfo(host, NULL, &hints, &list) == 0) {
        ok = is_loopback(list->ai_addr);
        freeaddrinfo(list);
    }
    return ok || refuse_host(host, err);
}

bool tcp_socket_check(const char *host, const char *port, bool server, GError **err)
{
    return check_text(host, port, err) && (!server || check_server(host, err));
}

static void set_nodelay(int fd)
{
    int one = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
}

static unsigned port_of(int fd)
{
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } addr;
    socklen_t len = sizeof addr;

    memset(&addr, 0, sizeof addr);
    if (getsockname(fd, &addr.any, &len) < 0) {
        return 0;
    }
    return ntohs(addr.any.sa_family == AF_INET6 ? addr.in6.sin6_port : addr.in.sin_port);
}

int tcp_socket_listen(const char *host, const char *port, unsigned *ret_port, GError **err)
{
    struct addrinfo *list =
        tcp_socket_check(host, port, true, err) ? resolve(host, port, 0, err) : NULL;
    int one = 1, fd = -1;

    if (!list) {
        return -1;
    }
    fd = socket(list->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) < 0 ||
        bind(fd, list->ai_addr, list->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        error_set_errno(err, errno, "cannot listen on port %s", port);
        if (fd >= 0) {
            close(fd);
        }
        fd = -1;
    }
    freeaddrinfo(list);
    if (fd >= 0) {
        set_nodelay(fd); /* inherited by what is accepted */
        *ret_port = port_of(fd);
    }
    return fd;
}

/* A refusal from this host is there at once, also of a connection that is not waited for. */
static int outcome_of(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLOUT};
    socklen_t len = sizeof(int);
    int errnum = 0;

    if (poll(&p, 1, 0) != 1) {
        return EINPROGRESS;
    }
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &errnum, &len) < 0 ? errno : errnum;
}

/* *ret_errnum is EINPROGRESS when the connection is under way. */
static int connect_to(const struct addrinfo *a, bool wait, int *ret_errnum)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC | (wait ? 0 : SOCK_NONBLOCK), 0);

    *ret_errnum = fd >= 0 && connect(fd, a->ai_addr, a->ai_addrlen) == 0 ? 0 : errno;
    if (fd >= 0 && *ret_errnum == EINPROGRESS) {
        *ret_errnum = outcome_of(fd);
    }
    if (fd >= 0 && *ret_errnum != 0 && *ret_errnum != EINPROGRESS) {
        close(fd);
        fd = -1;
    }
    return fd;
}

int tcp_socket_connect(const char *host, const char *port, bool wait, bool *ret_later, GError **err)
{
    bool look_up = wait || !strcmp(host, "localhost");
    struct addrinfo *list = resolve(host, port, look_up ? 0 : AI_NUMERICHOST, err);
    int fd = -1, errnum = 0;

    if (!list) {
        return -1;
    }
    for (const struct addrinfo *a = list; a && fd < 0; a = a->ai_next) {
        fd = connect_to(a, wait, &errnum);
    }
    freeaddrinfo(list);
    if (fd < 0) {
        error_set_errno(err, errnum, "cannot connect to %s port %s (add server=on to listen there)",
                        host, port);
        return -1;
    }
    *ret_later = errnum == EINPROGRESS;
    fcntl(fd, F_SETFL, O_NONBLOCK);
    set_nodelay(fd);
    return fd;
}
