/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of the sockets that network backends are on.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>

#include "backends/fd-table.h"
#include "backends/net-sock.h"
#include "backends/unix-socket.h"

void sock_addr_finish(SockAddr *a)
{
    g_free(a->path);
    *a = (SockAddr){0};
}

SockAddr sock_addr_copy(const SockAddr *a)
{
    SockAddr copy = *a;

    copy.path = g_strdup(a->path);
    return copy;
}

char *sock_addr_text(const SockAddr *a)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    const struct sockaddr_un *un = (const struct sockaddr_un *)&a->addr;

    if (a->path) {
        return g_strdup(a->path);
    }
    if (a->addr.ss_family == AF_UNIX) {
        return g_strdup_printf("@%.*s", (int)(a->len - offsetof(struct sockaddr_un, sun_path) - 1),
                               un->sun_path + 1);
    }
    if (a->len == 0 || getnameinfo((const struct sockaddr *)&a->addr, a->len, host, sizeof host,
                                   port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return g_strdup("?");
    }
    return g_strdup_printf(a->addr.ss_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

json_t *sock_addr_json(const SockAddr *a)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];

    if (a->path || a->addr.ss_family == AF_UNIX || a->len == 0) {
        g_autofree char *text = a->len ? sock_addr_text(a) : g_strdup("");

        return json_pack("{s:s, s:s}", "type", "unix", "path", text);
    }
    if (getnameinfo((const struct sockaddr *)&a->addr, a->len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return json_object();
    }
    return json_pack("{s:s, s:s, s:s}", "type", "inet", "host", host, "port", port);
}

bool sock_addr_is_multicast(const SockAddr *a)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->addr;

    return a->len && in->sin_family == AF_INET && IN_MULTICAST(ntohl(in->sin_addr.s_addr));
}

/* A number or the name of a service; the library takes numbers that are too large. */
static bool check_port(const char *port, GError **err)
{
    uint64_t n;

    return !parse_uint(port, &n, NULL) || n <= UINT16_MAX ||
           error_set(err, "'%s' is not a port (0 to 65535)", port);
}

static bool resolve_inet(const char *host, const char *port, int type, int family, unsigned flags,
                         SockAddr *ret_addr, GError **err)
{
    struct addrinfo hints = {
        .ai_family = family,
        .ai_socktype = type,
        .ai_flags = flags & SOCK_ADDR_PASSIVE ? AI_PASSIVE : 0,
    };
    struct addrinfo *list;
    int rc;

    if (flags & SOCK_ADDR_NO_LOOKUP && host && *host && strcmp(host, "localhost") != 0) {
        hints.ai_flags |= AI_NUMERICHOST;
    }
    rc = getaddrinfo(host && *host ? host : NULL, port, &hints, &list);
    if (rc == EAI_NONAME && hints.ai_flags & AI_NUMERICHOST) {
        return error_set(
            err, "'%s' is no address, and looking a name up would stop the VM meanwhile", host);
    }
    if (rc) {
        return error_set(err, "'%s:%s': %s", host ? host : "", port, gai_strerror(rc));
    }
    *ret_addr = (SockAddr){.len = list->ai_addrlen};
    memcpy(&ret_addr->addr, list->ai_addr, list->ai_addrlen);
    freeaddrinfo(list);
    return true;
}

static bool resolve_unix(const SockAddrOpts *o, SockAddr *ret_addr, GError **err)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&ret_addr->addr;

    *ret_addr = (SockAddr){.len = sizeof *un};
    if (!unix_socket_address(o->path, un, err)) {
        g_prefix_error(err, "'%s': ", o->path);
        return false;
    }
    if (o->abstract) {
        size_t len = strlen(o->path);

        if (len > sizeof un->sun_path - 1) {
            return error_set(err, "'%s': the name is too long", o->path);
        }
        memmove(un->sun_path + 1, o->path, len);
        un->sun_path[0] = '\0';
        ret_addr->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
    } else {
        ret_addr->path =
            g_canonicalize_filename(o->path, NULL); /* a daemon changes its directory */
    }
    return true;
}

bool sock_addr_given(const SockAddrOpts *o)
{
    return o->type || o->host || o->port || o->path || o->str;
}

bool sock_addr_is(const SockAddrOpts *o, const char *type)
{
    return !g_strcmp0(o->type, type);
}

bool sock_addr_check_opts(const SockAddrOpts *o, const char *what, GError **err)
{
    if (sock_addr_is(o, "unix")) {
        return o->path || error_set(err, "'%s.path' is missing", what);
    }
    if (sock_addr_is(o, "fd")) {
        return o->str || error_set(err, "'%s.str' is missing: the number of an open socket", what);
    }
    if (!sock_addr_is(o, "inet")) {
        return o->type ? error_set(err, "'%s.type' is inet, unix or fd, not '%s'", what, o->type)
                       : error_set(err, "'%s.type' is missing: inet, unix or fd", what);
    }
    if (!o->port) {
        return error_set(err, "'%s.port' is missing", what);
    }
    if (!o->ipv4 && !o->ipv6) {
        return error_set(err, "'%s': one of ipv4 and ipv6 must be on", what);
    }
    return check_port(o->port, err);
}

bool sock_addr_resolve(const SockAddrOpts *o, int type, unsigned flags, SockAddr *ret_addr,
                       GError **err)
{
    int family = o->ipv4 ? (o->ipv6 ? AF_UNSPEC : AF_INET) : AF_INET6;

    if (sock_addr_is(o, "unix")) {
        return resolve_unix(o, ret_addr, err);
    }
    return resolve_inet(o->host, o->port, type, family, flags, ret_addr, err);
}

bool sock_addr_check(const char *text, GError **err)
{
    const char *colon = strrchr(text, ':');

    if (!colon || !colon[1]) {
        return error_set(err, "'%s': the form is HOST:PORT", text);
    }
    return check_port(colon + 1, err);
}

bool sock_addr_parse(const char *text, int type, unsigned flags, SockAddr *ret_addr, GError **err)
{
    const char *colon = strrchr(text, ':');
    g_autofree char *host = NULL;

    if (!sock_addr_check(text, err)) {
        return false;
    }
    host = g_strndup(text, (gsize)(colon - text));
    if (host[0] == '[' && g_str_has_suffix(host, "]")) {
        host[strlen(host) - 1] = '\0';
        return resolve_inet(host + 1, colon + 1, type, AF_INET6, flags, ret_addr, err);
    }
    if (!*host) {
        return resolve_inet(flags & SOCK_ADDR_PASSIVE ? "0.0.0.0" : "127.0.0.1", colon + 1, type,
                            AF_INET, flags, ret_addr, err);
    }
    return resolve_inet(host, colon + 1, type, AF_UNSPEC, flags, ret_addr, err);
}

bool sock_addr_parse_fd(Object *root, const char *text, int *ret_fd, bool *ret_named, GError **err)
{
    uint64_t fd;

    *ret_named = !g_ascii_isdigit(*text);
    if (*ret_named) {
        *ret_fd = fd_table_take(fd_table_of(root), text, NULL);
        return *ret_fd >= 0 ||
               error_set(err, "'%s' is not the number of a file descriptor, nor a name of getfd",
                         text);
    }
    if (!parse_uint(text, &fd, NULL) || fd > INT_MAX) {
        return error_set(err, "'%s' is not the number of a file descriptor", text);
    }
    if (fcntl((int)fd, F_GETFD) < 0) {
        return error_set(err, "file descriptor %s is not open", text);
    }
    *ret_fd = (int)fd;
    return true;
}
