/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Connections to an NBD server. libnbd looks names up with getaddrinfo, which blocks (its
 * CONNECT_TCP.START says so), so whoever must not wait connects on a thread of its own, the
 * negotiation and TLS included.
 */
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backends/block-nbd.h"
#include "core/thread-stack.h"

enum { LOOK_MS = 200 }; /* how often an attempt looks whether it is still wanted */

struct NbdDial {
    int refs; /* the thread's and the owner's; atomic */
    NbdServer *server;
    int fd;                 /* eventfd */
    bool unwanted;          /* atomic, relaxed */
    struct nbd_handle *nbd; /* the result, for who has seen the eventfd; NULL: err */
    GError *err;
};

/* --- the server --- */

static char *filename_of(const BlockNbd *n, GError **err)
{
    if (n->uri) {
        return g_strdup(n->uri);
    }
    switch (n->server_type) {
    case NBD_SERVER_UNIX:
        if (!n->path) {
            error_set(err, "'server.path' is missing");
            return NULL;
        }
        return g_strdup_printf("nbd+unix:///%s?socket=%s", n->export ?: "", n->path);
    case NBD_SERVER_INET:
        if (!n->host) {
            error_set(err, "'server.host' is missing");
            return NULL;
        }
        return g_strdup_printf("nbd://%s:%s/%s", n->host, n->port ?: "10809", n->export ?: "");
    default:
        error_set(err, "'server.type' is missing: unix or inet");
        return NULL;
    }
}

NbdServer *nbd_server_new(const BlockNbd *n, GError **err)
{
    g_autofree char *filename = filename_of(n, err);
    NbdServer *s;
    NbdLib lib;

    if (!filename || !nbd_lib_load(&lib, err)) {
        return NULL;
    }
    s = g_new(NbdServer, 1);
    *s = (NbdServer){
        .refs = 1,
        .lib = lib,
        .filename = g_steal_pointer(&filename),
        .uri = g_strdup(n->uri),
        .path = n->server_type == NBD_SERVER_UNIX ? g_strdup(n->path) : NULL,
        .host = g_strdup(n->host),
        .port = g_strdup(n->port ?: "10809"),
        .export = g_strdup(n->export ?: ""),
    };
    return s;
}

static NbdServer *server_ref(NbdServer *s)
{
    g_atomic_int_inc(&s->refs);
    return s;
}

void nbd_server_unref(NbdServer *s)
{
    if (!s || !g_atomic_int_dec_and_test(&s->refs)) {
        return;
    }
    g_free(s->filename);
    g_free(s->uri);
    g_free(s->path);
    g_free(s->host);
    g_free(s->port);
    g_free(s->export);
    g_free(s);
}

/* --- connecting --- */

/* "x: y", without the function's name that libnbd puts before it. */
static const char *last_error(const NbdLib *lib)
{
    const char *text = lib->get_error(), *colon = text ? strchr(text, ':') : NULL;

    return colon ? colon + 2 : "unknown error";
}

static int begin(const NbdServer *s, struct nbd_handle *h)
{
    /* A failed read may leave anything in the guest's buffer. */
    s->lib.set_pread_initialize(h, false);
    if (s->uri) {
        s->lib.set_uri_allow_local_file(h, true);
        return s->lib.aio_connect_uri(h, s->uri);
    }
    if (s->lib.set_export_name(h, s->export) < 0) {
        return -1;
    }
    return s->path ? s->lib.aio_connect_unix(h, s->path)
                   : s->lib.aio_connect_tcp(h, s->host, s->port);
}

/* Until it can take requests; NULL, or what went wrong. */
static const char *wait_until_ready(const NbdLib *lib, struct nbd_handle *h, const bool *unwanted)
{
    int64_t end = g_get_monotonic_time() / 1000 + NBD_CONNECT_MS;

    while (!lib->aio_is_ready(h)) {
        int64_t left = end - g_get_monotonic_time() / 1000;

        if (left <= 0 || (unwanted && __atomic_load_n(unwanted, __ATOMIC_RELAXED))) {
            return "no answer";
        }
        if (lib->poll(h, (int)MIN(left, LOOK_MS)) < 0 || lib->aio_is_dead(h) ||
            lib->aio_is_closed(h)) {
            return last_error(lib);
        }
    }
    return NULL;
}

static struct nbd_handle *connect_unless(const NbdServer *s, const bool *unwanted, GError **err)
{
    struct nbd_handle *h = s->lib.create();
    const char *what;

    if (!h || begin(s, h) < 0) {
        what = last_error(&s->lib);
    } else {
        what = wait_until_ready(&s->lib, h, unwanted);
    }
    if (what) {
        error_set(err, "cannot connect to %s: %s", s->filename, what);
        s->lib.close(h);
        return NULL;
    }
    return h;
}

struct nbd_handle *nbd_server_connect(const NbdServer *s, GError **err)
{
    return connect_unless(s, NULL, err);
}

void nbd_server_hang_up(const NbdServer *s, struct nbd_handle *h)
{
    if (h) {
        if (s->lib.aio_is_ready(h)) {
            s->lib.aio_disconnect(h, 0);
        }
        s->lib.close(h);
    }
}

/* --- the same on a thread --- */

static void dial_unref(NbdDial *d)
{
    if (g_atomic_int_dec_and_test(&d->refs)) {
        nbd_server_hang_up(d->server, d->nbd);
        nbd_server_unref(d->server);
        g_clear_error(&d->err);
        close(d->fd);
        g_free(d);
    }
}

static void *dial_thread(void *opaque)
{
    NbdDial *d = opaque;

    thread_stack_register();
    d->nbd = connect_unless(d->server, &d->unwanted, &d->err);
    eventfd_write(d->fd, 1);
    dial_unref(d);
    return NULL;
}

static bool spawn(NbdDial *d)
{
    pthread_attr_t attr;
    sigset_t all, old;
    pthread_t thread;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&thread, &attr, dial_thread, d);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return rc == 0;
}

NbdDial *nbd_dial_new(NbdServer *s)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    NbdDial *d;

    if (fd < 0) {
        return NULL;
    }
    d = g_new(NbdDial, 1);
    *d = (NbdDial){.refs = 2, .server = server_ref(s), .fd = fd};
    if (!spawn(d)) {
        dial_unref(d);
        dial_unref(d);
        return NULL;
    }
    return d;
}

int nbd_dial_fd(const NbdDial *d)
{
    return d->fd;
}

struct nbd_handle *nbd_dial_finish(NbdDial *d, GError **err)
{
    eventfd_t n;
    int rc = eventfd_read(d->fd, &n);
    struct nbd_handle *h;

    g_assert(rc == 0);
    h = g_steal_pointer(&d->nbd);
    if (!h) {
        g_propagate_error(err, g_steal_pointer(&d->err));
    }
    dial_unref(d);
    return h;
}

void nbd_dial_abandon(NbdDial *d)
{
    if (d) {
        __atomic_store_n(&d->unwanted, true, __ATOMIC_RELAXED);
        dial_unref(d);
    }
}
