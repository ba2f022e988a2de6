/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends on sockets: the base of the kinds "socket", "stream" and "dgram". On a stream a frame is a 4-byte
 * big-endian length and the bytes, as QEMU, passt and others speak it; a datagram is a frame.
 *
 * A server serves one peer at a time, the next waits in the backlog. A peer that sends what is no frame is dropped. The
 * link is up while there is a peer.
 */
#ifndef AEROSTAT_BACKENDS_NET_SOCK_H
#define AEROSTAT_BACKENDS_NET_SOCK_H

#include <sys/socket.h>
#include <sys/stat.h>

#include "backends/net-impl.h"

OBJECT_DECLARE(NetSock, net_sock, NET_SOCK)

/* Where a socket is; len 0: nowhere. */
typedef struct {
    struct sockaddr_storage addr;
    socklen_t len;
    char *path;               /* of a Unix socket with a file; NULL: none. Owned. */
} SockAddr;

struct NetSock {
    NetBackend parent_obj;
    bool dgram;
    int fd;                   /* to the peer; -1: none */
    int listen_fd;            /* -1: none */
    SockAddr peer;            /* who has connected to a server; without path */
    SockAddr remote;          /* where to connect to, or to send to */
    unsigned reconnect;       /* seconds between attempts; 0: none after the first */
    bool connecting;          /* fd is not through yet */
    SockAddr made;            /* its file is ours to unlink, as long as it is the one of made_stat */
    struct stat made_stat;
    /* while attached; on the queue's loop */
    LoopFd *src, *listener;
    LoopTimer *timer;         /* to connect again; to send again to a Unix socket */
    bool paused;              /* the card has no room */
    bool blocked;             /* the socket has no room */
    /* streams */
    uint8_t *in;              /* SOCK_IN bytes, of which in_len from in_at on are not delivered */
    size_t in_at, in_len;
    uint8_t *out;             /* the rest of a frame that is partly out: out_len bytes from out_at on */
    size_t out_at, out_len;
    LogRate rate;
};

enum { SOCK_LENGTH = 4, SOCK_IN = 2 * (SOCK_LENGTH + NET_FRAME_MAX) };

/*
 * One of these is what open does. Messages name the address. Nobody has connected yet when listen returns; a refused
 * connection is an error only without reconnect.
 */
bool net_sock_listen(NetSock *s, const SockAddr *at, GError **err);
bool net_sock_connect(NetSock *s, const SockAddr *to, unsigned reconnect, GError **err);
bool net_sock_datagrams(NetSock *s, const SockAddr *local, const SockAddr *remote, GError **err);
bool net_sock_multicast(NetSock *s, const SockAddr *group, const SockAddr *local, GError **err);
/* text as of sock_addr_parse_fd: a socket that listens for a server, else a stream or datagrams. */
bool net_sock_open_fd(NetSock *s, const char *text, bool server, GError **err);

/* --- net-sock-stream.c, net-sock-dgram.c --- */
unsigned sock_stream_send(NetSock *s, const NetFrame *frames, unsigned n);
void sock_stream_writable(NetSock *s);  /* the socket has room */
void sock_stream_readable(NetSock *s);
void sock_stream_resume(NetSock *s);    /* the card has room: what was read already, then the socket */
void sock_stream_forget(NetSock *s); /* the peer is gone: what was on its way is lost, and counted */
unsigned sock_dgram_send(NetSock *s, const NetFrame *frames, unsigned n);
void sock_dgram_readable(NetSock *s);
/* --- net-sock.c, for them --- */
void sock_watch(NetSock *s);            /* paused or blocked has changed */
void sock_lost(NetSock *s, const char *why, int errnum); /* the peer is gone; errnum 0: none */

/* --- addresses (net-sock-addr.c) --- */

/* The option of a socket's address, as QEMU's SocketAddress. */
typedef struct {
    char *type;               /* inet, unix, fd */
    char *host, *port, *path, *str;
    bool abstract, ipv4, ipv6;
} SockAddrOpts;

#define SOCK_ADDR_PROPS(prefix, S, f)                                                              \
    PROP_STRING(prefix ".type", S, f.type, NULL, "inet, unix or fd"),                              \
    PROP_STRING(prefix ".host", S, f.host, NULL, "inet: name or address"),                         \
    PROP_STRING(prefix ".port", S, f.port, NULL, "inet: number or service"),                       \
    PROP_STRING(prefix ".path", S, f.path, NULL, "unix: the socket's file"),                       \
    PROP_STRING(prefix ".str", S, f.str, NULL, "fd: number of an open socket, or its name of getfd"),        \
    PROP_BOOL(prefix ".abstract", S, f.abstract, false, "unix: a name, not a file"),               \
    PROP_BOOL(prefix ".ipv4", S, f.ipv4, true, "inet: IPv4 may be used"),                          \
    PROP_BOOL(prefix ".ipv6", S, f.ipv6, true, "inet: IPv6 may be used")

bool sock_addr_given(const SockAddrOpts *o);
bool sock_addr_is(const SockAddrOpts *o, const char *type);
/* Refuses what can be refused without looking a host up. what names the option in messages: "addr". */
bool sock_addr_check_opts(const SockAddrOpts *o, const char *what, GError **err);
enum { SOCK_ADDR_PASSIVE = 1, SOCK_ADDR_NO_LOOKUP = 2 }; /* to listen at; hosts are addresses or "localhost" */
/* The flags of b's addresses. */
static inline unsigned sock_addr_flags(const NetBackend *b, bool passive)
{
    return (passive ? SOCK_ADDR_PASSIVE : 0) | (b->no_lookup ? SOCK_ADDR_NO_LOOKUP : 0);
}
/* The same has said yes, and the type is not fd. */
bool sock_addr_resolve(const SockAddrOpts *o, int type, unsigned flags, SockAddr *ret_addr, GError **err);
bool sock_addr_check(const char *text, GError **err);
/* "HOST:PORT", "[HOST]:PORT", ":PORT" */
bool sock_addr_parse(const char *text, int type, unsigned flags, SockAddr *ret_addr, GError **err);
/* The number of an open descriptor, or what is kept under a name of getfd, which is the caller's then. */
bool sock_addr_parse_fd(Object *root, const char *text, int *ret_fd, bool *ret_named, GError **err);
void sock_addr_finish(SockAddr *a);
SockAddr sock_addr_copy(const SockAddr *a);
json_t *sock_addr_json(const SockAddr *a); /* as QEMU's SocketAddress; new reference */
char *sock_addr_text(const SockAddr *a); /* "127.0.0.1:1234", "/tmp/x"; g_free */
bool sock_addr_is_multicast(const SockAddr *a);

#endif
