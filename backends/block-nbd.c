/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver "nbd": a disk that a server exports, such as qemu-nbd or nbdkit, which know formats
 * and places that we do not. Each queue has a connection of its own. One that is lost is made
 * again; for reconnect-delay seconds requests wait for that, then they fail until it has come back.
 * So does one whose server owes answers but says nothing, after request-timeout seconds, or sooner
 * when the whole VM waits for it.
 * What the server had acknowledged, but lost with its own life, no reconnection can tell.
 */
#include "backends/block-nbd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "core/log.h"

enum { MAX_RANGE = 1 << 30, MAX_TRANSFER = 32 << 20 };

static const int64_t ms = 1000000;

/* --- one connection --- */

/* "x: y", without the function's name that libnbd puts before it. */
static const char *last_error(void)
{
    const char *text = nbd_get_error(), *colon = text ? strchr(text, ':') : NULL;

    return colon ? colon + 2 : "unknown error";
}

/* Begins to connect. NULL with one line. */
static struct nbd_handle *dial(const BlockNbd *n, GError **err)
{
    struct nbd_handle *h = nbd_create();
    int rc = 0;

    if (h) {
        nbd_set_pread_initialize(
            h, false); /* a failed read may leave anything in the guest's buffer */
        if (n->uri) {
            nbd_set_uri_allow_local_file(h, true);
            rc = nbd_aio_connect_uri(h, n->uri);
        } else {
            rc = nbd_set_export_name(h, n->export ?: "");
            if (rc == 0 && n->server_type == NBD_SERVER_UNIX) {
                rc = nbd_aio_connect_unix(h, n->path);
            } else if (rc == 0) {
                rc = nbd_aio_connect_tcp(h, n->host, n->port ?: "10809");
            }
        }
    }
    if (!h || rc < 0) {
        error_set(err, "cannot connect to %s: %s", n->filename, last_error());
        nbd_close(h);
        return NULL;
    }
    return h;
}

/* Connects and waits for it. */
static struct nbd_handle *dial_and_wait(const BlockNbd *n, GError **err)
{
    int64_t end = g_get_monotonic_time() / 1000 + NBD_CONNECT_MS;
    struct nbd_handle *h = dial(n, err);

    while (h && !nbd_aio_is_ready(h)) {
        int64_t left = end - g_get_monotonic_time() / 1000;
        int rc = left > 0 ? nbd_poll(h, (int)left) : 0;

        if (rc <= 0 || nbd_aio_is_dead(h) || nbd_aio_is_closed(h)) {
            error_set(err, "cannot connect to %s: %s", n->filename,
                      left <= 0 ? "no answer" : last_error());
            nbd_close(h);
            return NULL;
        }
    }
    return h;
}

static void hang_up(struct nbd_handle *h)
{
    if (h) {
        if (nbd_aio_is_ready(h)) {
            nbd_aio_disconnect(h, 0);
        }
        nbd_close(h);
    }
}

/* --- lost and found --- */

static void drop_connection(NbdQueue *nq)
{
    loop_fd_free(g_steal_pointer(&nq->source));
    nbd_close(g_steal_pointer(&nq->nbd));
    nq->ready = false;
}

static int64_t patience_end(const NbdQueue *nq)
{
    return nq->lost_at + (int64_t)nq->node->reconnect_delay * 1000 * ms;
}

/* How long the server may owe an answer, ns; 0: for ever. */
static int64_t silence_limit(const NbdQueue *nq)
{
    int64_t limit = (int64_t)nq->node->request_timeout * 1000 * ms;
    int64_t now = !nq->q.draining            ? 0
                  : nq->unwanted == nq->sent ? NBD_CANCEL_MS * ms
                                             : NBD_DRAIN_MS * ms;

    return limit && now ? MIN(limit, now) : limit + now;
}

/* What is left of that; INT64_MAX: for ever. */
static int64_t patience_left(NbdQueue *nq)
{
    int64_t limit = nq->ready && nq->sent > 0 ? silence_limit(nq) : 0, now;

    if (!limit) {
        return INT64_MAX;
    }
    now = clock_now(nq->clock);
    if (!nq->silent_since) {
        nq->silent_since = now;
    }
    return MAX(nq->silent_since + limit - now, 0);
}

/* As if the server had: libnbd then gives the requests back. */
static void break_connection(NbdQueue *nq)
{
    log_warn("%s: the server does not answer", nq->node->filename);
    shutdown(nbd_aio_get_fd(nq->nbd), SHUT_RDWR);
    while (!nbd_aio_is_dead(nq->nbd) && !nbd_aio_is_closed(nq->nbd)) {
        unsigned dir = nbd_aio_get_direction(nq->nbd);

        if ((dir & LIBNBD_AIO_DIRECTION_READ ? nbd_aio_notify_read
                                             : nbd_aio_notify_write)(nq->nbd) < 0) {
            break;
        }
    }
}

static void arm(NbdQueue *nq)
{
    int64_t at = nq->nbd ? nq->attempt_until : nq->retry_at;

    if (nq->ready) {
        int64_t left = nq->node->request_timeout ? patience_left(nq) : INT64_MAX;

        if (left == INT64_MAX) {
            loop_timer_cancel(nq->timer);
        } else if (!loop_timer_armed(nq->timer)) { /* it may come too early, and looks again then */
            loop_timer_arm_in(nq->timer, left);
        }
    } else {
        loop_timer_arm_at(nq->timer, nq->lost ? at : MIN(at, patience_end(nq)));
    }
}

static void lose_patience(NbdQueue *nq)
{
    if (!nq->ready && !nq->lost && clock_now(nq->clock) >= patience_end(nq)) {
        nq->lost = true;
        nbd_fail_waiting(nq);
    }
}

static void attempt_failed(NbdQueue *nq)
{
    drop_connection(nq);
    nq->retry_at = clock_now(nq->clock) + NBD_RETRY_MS * ms;
}

static void on_socket(void *opaque, unsigned events);

static void attempt(NbdQueue *nq)
{
    nq->nbd = dial(nq->node, NULL);
    nq->attempt_until = clock_now(nq->clock) + NBD_CONNECT_MS * ms;
    if (!nq->nbd) {
        attempt_failed(nq);
        return;
    }
    nq->source = loop_fd_new(nq->q.loop, nbd_aio_get_fd(nq->nbd), 0, on_socket, nq);
}

static uint64_t block_size(struct nbd_handle *h, int which, uint64_t otherwise)
{
    int64_t size = nbd_get_block_size(h, which);

    return size > 0 ? (uint64_t)size : otherwise;
}

/* The server must still have the disk that the guest knows. */
static bool is_same_disk(const NbdQueue *nq)
{
    const BlockNbd *n = nq->node;
    const BlockLimits *l = &n->parent_obj.limits;

    return nbd_get_size(nq->nbd) >= (int64_t)n->size &&
           (l->read_only || nbd_is_read_only(nq->nbd) == 0) &&
           (!n->can_flush || nbd_can_flush(nq->nbd) == 1) &&
           (!n->can_fua || nbd_can_fua(nq->nbd) == 1) &&
           (!l->max_discard || nbd_can_trim(nq->nbd) == 1) &&
           (!l->max_write_zeroes || nbd_can_zero(nq->nbd) == 1) &&
           block_size(nq->nbd, LIBNBD_SIZE_MINIMUM, 1) <= l->request_alignment &&
           block_size(nq->nbd, LIBNBD_SIZE_MAXIMUM, MAX_TRANSFER) >= l->max_transfer;
}

/* What block_resize may make of it. */
static void note_size(NbdQueue *nq)
{
    uint64_t size = (uint64_t)MAX(nbd_get_size(nq->nbd), 0);
    static LogRate rate;

    pthread_mutex_lock(&nq->node->lock);
    nq->server_size = size;
    pthread_mutex_unlock(&nq->node->lock);
    if (size >= nq->node->size + BLOCK_MAX_ALIGN) {
        log_warn_rated(&rate,
                       "%s: the server has %" G_GUINT64_FORMAT
                       " bytes now: block_resize lets the guest see them",
                       nq->node->filename, size);
    }
}

static void connected(NbdQueue *nq)
{
    static LogRate rate;

    if (!is_same_disk(nq)) {
        log_warn_rated(&rate,
                       "%s: the server is back, but with a smaller disk or one that can do less",
                       nq->node->filename);
        attempt_failed(nq);
        return;
    }
    note_size(nq);
    nq->ready = true;
    nq->lost = false;
    nbd_send_waiting(nq);
}

static void connection_lost(NbdQueue *nq)
{
    static LogRate rate;

    log_warn_rated(&rate, "%s: the connection is lost: %s", nq->node->filename,
                   nq->node->reconnect_delay ? "requests wait for the next" : "requests fail");
    drop_connection(nq);
    nbd_settle(nq);
    nq->lost_at = nq->retry_at = clock_now(nq->clock);
    lose_patience(nq);
}

void nbd_watch(NbdQueue *nq)
{
    if (nq->nbd && (nbd_aio_is_dead(nq->nbd) || nbd_aio_is_closed(nq->nbd))) {
        nq->ready ? connection_lost(nq) : attempt_failed(nq);
    } else if (nq->nbd && !nq->ready && nbd_aio_is_ready(nq->nbd)) {
        connected(nq);
    }
    if (nq->nbd) {
        unsigned dir = nbd_aio_get_direction(nq->nbd);

        loop_fd_set_events(nq->source, (dir & LIBNBD_AIO_DIRECTION_READ ? LOOP_READ : 0) |
                                           (dir & LIBNBD_AIO_DIRECTION_WRITE ? LOOP_WRITE : 0));
    }
    arm(nq);
}

/* As libnbd wants it: never both, for the first may have changed what it waits for. */
static void notify(NbdQueue *nq, bool readable, bool writable)
{
    unsigned dir = nbd_aio_get_direction(nq->nbd);

    if (readable && (dir & LIBNBD_AIO_DIRECTION_READ)) {
        nbd_aio_notify_read(nq->nbd);
    } else if (writable && (dir & LIBNBD_AIO_DIRECTION_WRITE)) {
        nbd_aio_notify_write(nq->nbd);
    }
}

static void on_socket(void *opaque, unsigned events)
{
    NbdQueue *nq = opaque;

    block_plug(&nq->q);
    notify(nq, events & LOOP_READ, events & LOOP_WRITE);
    nbd_settle(nq);
    nbd_watch(nq);
    block_unplug(&nq->q);
}

static void on_timer(void *opaque)
{
    NbdQueue *nq = opaque;
    int64_t now = clock_now(nq->clock);

    lose_patience(nq);
    if (nq->ready && patience_left(nq) == 0) {
        break_connection(nq);
        nbd_settle(nq);
    } else if (!nq->ready && nq->nbd && now >= nq->attempt_until) {
        attempt_failed(nq);
    } else if (!nq->nbd && now >= nq->retry_at) {
        attempt(nq);
    }
    nbd_watch(nq);
}

static void on_settle(void *opaque)
{
    nbd_settle(opaque);
    nbd_watch(opaque);
}

/* Waits for the socket, or for the time that the timer would come at. */
static void wait_for_server(NbdQueue *nq)
{
    int64_t left = patience_left(nq) / ms;
    int most = nq->ready ? (int)MIN(left + 1, INT_MAX) : 20;
    unsigned dir = nq->nbd ? nbd_aio_get_direction(nq->nbd) : 0;
    struct pollfd pfd = {
        .fd = nq->nbd ? nbd_aio_get_fd(nq->nbd) : -1,
        .events = (short)((dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                          (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0)),
    };

    if (poll(&pfd, 1, most) > 0) {
        notify(nq, pfd.revents & (POLLIN | POLLHUP | POLLERR), pfd.revents & POLLOUT);
    }
}

static bool nbd_poll_queue(BlockQueue *q, bool wait)
{
    NbdQueue *nq = (NbdQueue *)q;

    if (wait && !nq->back.first) {
        wait_for_server(nq);
        if (!nq->ready || patience_left(nq) == 0) {
            on_timer(nq); /* the loop does not run */
        }
    }
    if (!nbd_settle(nq)) {
        nbd_watch(nq);
        return false;
    }
    nbd_watch(nq);
    return true;
}

/* --- queues --- */

static struct nbd_handle *take_connection(BlockNbd *n, NbdQueue *nq, GError **err)
{
    struct nbd_handle *h;

    pthread_mutex_lock(&n->lock);
    if (n->queues->len > 0 && !n->can_multi_conn) {
        pthread_mutex_unlock(&n->lock);
        error_set(err, "%s: the server takes one connection only: use one iothread for the disk",
                  n->filename);
        return NULL;
    }
    g_ptr_array_add(n->queues, nq);
    h = g_steal_pointer(&n->spare);
    pthread_mutex_unlock(&n->lock);
    if (h && nbd_aio_is_ready(h)) {
        return h;
    }
    nbd_close(h);
    h = dial_and_wait(n, err);
    if (!h) {
        pthread_mutex_lock(&n->lock);
        g_ptr_array_remove(n->queues, nq);
        pthread_mutex_unlock(&n->lock);
    }
    return h;
}

static bool nbd_queue_open(BlockQueue *q, GError **err)
{
    NbdQueue *nq = (NbdQueue *)q;

    nq->node = BLOCK_NBD(q->node);
    nbd_list_init(&nq->back);
    nbd_list_init(&nq->waiting);
    nbd_list_init(&nq->starved);
    nq->nbd = take_connection(nq->node, nq, err);
    if (!nq->nbd) {
        return false;
    }
    note_size(nq);
    nq->ready = true;
    nq->clock = clock_new();
    nq->timer = loop_timer_new(q->loop, nq->clock, on_timer, nq);
    nq->bh = loop_bh_new(q->loop, on_settle, nq);
    nq->source = loop_fd_new(q->loop, nbd_aio_get_fd(nq->nbd), 0, on_socket, nq);
    nbd_watch(nq);
    return true;
}

static void nbd_queue_close(BlockQueue *q)
{
    NbdQueue *nq = (NbdQueue *)q;
    BlockNbd *n = nq->node;

    if (!nq->clock) {
        return; /* it was never opened */
    }
    loop_fd_free(nq->source);
    loop_timer_free(nq->timer);
    loop_bh_free(nq->bh);
    clock_free(nq->clock);
    nbd_slots_free(nq);
    pthread_mutex_lock(&n->lock);
    g_ptr_array_remove(n->queues, nq);
    if (nq->ready && !n->spare) {
        n->spare = g_steal_pointer(&nq->nbd);
    }
    pthread_mutex_unlock(&n->lock);
    hang_up(nq->nbd);
}

/* --- the node --- */

static bool check_server(BlockNbd *n, GError **err)
{
    if (n->uri) {
        n->filename = g_strdup(n->uri);
        return true;
    }
    switch (n->server_type) {
    case NBD_SERVER_UNIX:
        if (!n->path) {
            return error_set(err, "'server.path' is missing");
        }
        n->filename = g_strdup_printf("nbd+unix:///%s?socket=%s", n->export ?: "", n->path);
        return true;
    case NBD_SERVER_INET:
        if (!n->host) {
            return error_set(err, "'server.host' is missing");
        }
        n->filename =
            g_strdup_printf("nbd://%s:%s/%s", n->host, n->port ?: "10809", n->export ?: "");
        return true;
    default:
        return error_set(err, "'server.type' is missing: unix or inet");
    }
}

static bool take_limits(BlockNbd *n, GError **err)
{
    BlockLimits *l = &n->parent_obj.limits;
    uint64_t min = block_size(n->spare, LIBNBD_SIZE_MINIMUM, 1);
    uint64_t max = block_size(n->spare, LIBNBD_SIZE_MAXIMUM, MAX_TRANSFER);
    int64_t size = nbd_get_size(n->spare);

    if (size < 0 || min > BLOCK_MAX_ALIGN || (min & (min - 1))) {
        return error_set(err, "%s: the server tells no size, or wants blocks of more than %d bytes",
                         n->filename, BLOCK_MAX_ALIGN);
    }
    n->can_flush = nbd_can_flush(n->spare) == 1;
    n->can_fua = nbd_can_fua(n->spare) == 1;
    n->can_multi_conn = nbd_can_multi_conn(n->spare) == 1;
    n->size = (uint64_t)size / min * min;
    l->size = (n->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    l->request_alignment = (uint32_t)min;
    l->max_transfer = MIN(max, MAX_TRANSFER) / BLOCK_MAX_ALIGN * BLOCK_MAX_ALIGN;
    l->physical_block = (uint32_t)MIN(block_size(n->spare, LIBNBD_SIZE_PREFERRED, 0), 65536);
    l->max_discard = nbd_can_trim(n->spare) == 1 ? MAX_RANGE : 0;
    l->max_write_zeroes = nbd_can_zero(n->spare) == 1 ? MAX_RANGE : 0;
    l->write_cache = n->can_flush;
    if (nbd_is_read_only(n->spare) == 1) {
        l->read_only = true;
        if (!n->parent_obj.read_only && !n->parent_obj.auto_read_only) {
            return error_set(err, "%s: the server exports it read-only; use read-only=on",
                             n->filename);
        }
    }
    return true;
}

static bool nbd_open(BlockNode *node, GError **err)
{
    BlockNbd *n = BLOCK_NBD(node);
    int64_t end = g_get_monotonic_time() + (int64_t)n->open_timeout * G_USEC_PER_SEC;

    if (!check_server(n, err)) {
        return false;
    }
    while (!(n->spare = dial_and_wait(n, err))) {
        if (g_get_monotonic_time() >= end) {
            return false;
        }
        g_clear_error(err);
        g_usleep(NBD_RETRY_MS * 1000 / 5);
    }
    return take_limits(n, err);
}

static void nbd_node_close(BlockNode *node)
{
    hang_up(BLOCK_NBD(node)->spare);
    g_free(BLOCK_NBD(node)->filename);
}

static char *nbd_filename(BlockNode *node)
{
    return g_strdup(BLOCK_NBD(node)->filename);
}

/* To what the server has, as all connections know it: a server tells its size when it is connected
 * to. */
static bool nbd_resize(BlockNode *node, uint64_t size, GError **err)
{
    BlockNbd *n = BLOCK_NBD(node);
    uint64_t most = n->queues->len > 0 ? UINT64_MAX : n->size;

    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < n->queues->len; i++) {
        most = MIN(most, ((NbdQueue *)n->queues->pdata[i])->server_size);
    }
    pthread_mutex_unlock(&n->lock);
    if (size != node->limits.size && size > most) {
        return error_set(err,
                         "the server has %" G_GUINT64_FORMAT
                         " bytes: resize there and let it close "
                         "its connections, then give its size here",
                         most);
    }
    n->size = size == node->limits.size ? n->size : size;
    node->limits.size = size;
    return true;
}

static void nbd_init(Object *obj)
{
    pthread_mutex_init(&BLOCK_NBD(obj)->lock, NULL);
    BLOCK_NBD(obj)->queues = g_ptr_array_new();
}

static void nbd_finalize(Object *obj)
{
    pthread_mutex_destroy(&BLOCK_NBD(obj)->lock);
    g_ptr_array_unref(BLOCK_NBD(obj)->queues);
}

static void nbd_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->open = nbd_open;
    k->close = nbd_node_close;
    k->resize = nbd_resize;
    k->filename = nbd_filename;
    k->queue_size = sizeof(NbdQueue);
    k->queue_open = nbd_queue_open;
    k->queue_close = nbd_queue_close;
    k->submit = nbd_submit;
    k->cancel = nbd_cancel;
    k->poll = nbd_poll_queue;
}

static bool refuse_tls_creds(Object *obj, const Property *prop, json_t *value, GError **err)
{
    return error_set(err, "tls-creds: there are no objects of TLS credentials; TLS is used with "
                          "uri=nbds://HOST/EXPORT?tls-certificates=DIRECTORY, or "
                          "nbds+unix:///EXPORT?socket=PATH&tls-psk-file=FILE");
}

static json_t *get_tls_creds(Object *obj, const Property *prop, GError **err)
{
    return json_string("");
}

static const char *const server_words[] = {"", "unix", "inet", NULL};

static const Property nbd_props[] = {
    PROP_ENUM("server.type", BlockNbd, server_type, server_words, NBD_SERVER_UNSET, "unix or inet"),
    PROP_STRING("server.path", BlockNbd, path, NULL, "path of the server's socket"),
    PROP_STRING("server.host", BlockNbd, host, NULL, "name or address of the server"),
    PROP_STRING("server.port", BlockNbd, port, NULL, "its port (default 10809)"),
    PROP_STRING("uri", BlockNbd, uri, NULL,
                "all of that as nbd://HOST:PORT/EXPORT or "
                "nbd+unix:///EXPORT?socket=PATH; nbds for TLS"),
    PROP_STRING("export", BlockNbd, export, NULL, "name of the export"),
    PROP_UINT32("reconnect-delay", BlockNbd, reconnect_delay, 0, 0, 86400,
                "seconds that requests wait for a lost connection to come back"),
    PROP_UINT32("open-timeout", BlockNbd, open_timeout, 0, 0, 86400,
                "seconds to wait for the server at the start"),
    PROP_UINT32("request-timeout", BlockNbd, request_timeout, 0, 0, 86400,
                "seconds without an answer after which a connection counts as lost; 0: any time"),
    PROP_CUSTOM("tls-creds", "str", get_tls_creds, refuse_tls_creds, 0,
                "not supported: use uri=nbds://... with tls-certificates or tls-psk-file"),
    PROP_END,
};

const TypeInfo block_nbd_type = {
    .name = "block-nbd",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockNbd),
    .instance_init = nbd_init,
    .instance_finalize = nbd_finalize,
    .class_init = nbd_class_init,
    .props = nbd_props,
    .desc = "disk of an NBD server",
};
