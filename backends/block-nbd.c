/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The driver "nbd": a disk that a server exports, such as qemu-nbd or nbdkit, which know formats
 * and places that we do not. Each queue has a connection of its own. One that is lost is made
 * again; for reconnect-delay seconds requests wait for that, then they fail until it has come back.
 * So does one whose server owes answers but says nothing, after request-timeout seconds, or sooner
 * when the whole VM waits for it.
 * What the server had acknowledged, but not flushed, it may have lost with its own life, which no
 * reconnection can tell: the next flush fails.
 */
#include "backends/block-nbd.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "core/log.h"

enum { MAX_RANGE = 1 << 30, MAX_TRANSFER = 32 << 20, LOOK_MS = 20 };

static const int64_t ms = 1000000;

/* --- lost and found --- */

static void drop_connection(NbdQueue *nq)
{
    loop_fd_free(g_steal_pointer(&nq->source));
    nq->lib->close(g_steal_pointer(&nq->nbd));
}

static int64_t patience_end(const NbdQueue *nq)
{
    return nq->lost_at + (int64_t)nq->node->reconnect_delay * 1000 * ms;
}

/*
 * How long the server may still owe its answers, ns; INT64_MAX: for ever. Answers that nobody wants
 * any more have little time in all, whatever comes meanwhile, and that of all queues runs at once.
 */
static int64_t patience_left(NbdQueue *nq)
{
    int64_t now, end = INT64_MAX;

    if (!nq->nbd || nq->sent == 0 || (!nq->node->request_timeout && !nq->q.draining)) {
        return INT64_MAX;
    }
    now = clock_now(nq->clock);
    if (!nq->silent_since) {
        nq->silent_since = now;
    }
    if (nq->node->request_timeout) {
        end = nq->silent_since + (int64_t)nq->node->request_timeout * 1000 * ms;
    }
    if (nq->q.draining) {
        end = MIN(end, nq->unwanted == nq->sent ? nq->unwanted_since + NBD_CANCEL_MS * ms
                                                : nq->silent_since + NBD_DRAIN_MS * ms);
    }
    return MAX(end - now, 0);
}

void nbd_break(NbdQueue *nq, const char *why)
{
    static LogRate rate;

    log_warn_rated(&rate, "%s: the server %s", nq->node->server->filename, why);
    shutdown(nq->lib->aio_get_fd(nq->nbd), SHUT_RDWR);
    while (!nq->lib->aio_is_dead(nq->nbd) && !nq->lib->aio_is_closed(nq->nbd)) {
        unsigned dir = nq->lib->aio_get_direction(nq->nbd);

        if ((dir & LIBNBD_AIO_DIRECTION_READ ? nq->lib->aio_notify_read
                                             : nq->lib->aio_notify_write)(nq->nbd) < 0) {
            break;
        }
    }
}

static void arm(NbdQueue *nq)
{
    int64_t at = nq->dial ? INT64_MAX : nq->retry_at;

    if (nq->nbd) {
        int64_t left = patience_left(nq);

        if (left == INT64_MAX) {
            loop_timer_cancel(nq->timer);
        } else if (!loop_timer_armed(nq->timer)) { /* it may come too early, and looks again then */
            loop_timer_arm_in(nq->timer, left);
        }
        return;
    }
    if (!nq->lost && !nq->opening) {
        at = MIN(at, patience_end(nq));
    }
    if (at == INT64_MAX) {
        loop_timer_cancel(nq->timer);
    } else {
        loop_timer_arm_at(nq->timer, at);
    }
}

/*
 * Whoever drains holds up the VM: it does not wait for a connection as long as requests do, which
 * fail then. Those that come later have all the patience that is left again.
 */
static void lose_patience(NbdQueue *nq)
{
    int64_t now = clock_now(nq->clock);

    if (nq->nbd || nq->lost) {
        return;
    }
    if (!nq->opening && now >= patience_end(nq)) {
        nq->lost = true;
        nbd_fail_waiting(nq);
    } else if (nq->q.draining && now >= nq->lost_at + NBD_DRAIN_LOST_MS * ms) {
        nbd_fail_waiting(nq);
    }
}

static uint64_t block_size(const BlockNbd *n, struct nbd_handle *h, int which, uint64_t otherwise)
{
    int64_t size = n->server->lib.get_block_size(h, which);

    return size > 0 ? (uint64_t)size : otherwise;
}

/* The server must still have the disk that the guest knows. */
static bool is_same_disk(const BlockNbd *n, struct nbd_handle *h)
{
    const NbdLib *lib = &n->server->lib;
    const BlockLimits *l = &n->parent_obj.limits;

    return lib->get_size(h) >= (int64_t)n->size && (l->read_only || lib->is_read_only(h) == 0) &&
           (!n->can_flush || lib->can_flush(h) == 1) && (!n->can_fua || lib->can_fua(h) == 1) &&
           (!l->max_discard || lib->can_trim(h) == 1) &&
           (!l->max_write_zeroes || lib->can_zero(h) == 1) &&
           block_size(n, h, LIBNBD_SIZE_MINIMUM, 1) <= l->request_alignment &&
           block_size(n, h, LIBNBD_SIZE_MAXIMUM, MAX_TRANSFER) >= l->max_transfer;
}

/* What block_resize may make of it. */
static void note_size(NbdQueue *nq)
{
    uint64_t size = (uint64_t)MAX(nq->lib->get_size(nq->nbd), 0);
    static LogRate rate;

    pthread_mutex_lock(&nq->node->lock);
    nq->server_size = size;
    pthread_mutex_unlock(&nq->node->lock);
    if (size >= nq->node->size + BLOCK_MAX_ALIGN) {
        log_warn_rated(&rate,
                       "%s: the server has %" G_GUINT64_FORMAT
                       " bytes now: block_resize lets the guest see them",
                       nq->node->server->filename, size);
    }
}

static void on_socket(void *opaque, unsigned events);

static void take_connection(NbdQueue *nq, struct nbd_handle *h)
{
    nq->nbd = h;
    nq->source = loop_fd_new(nq->q.loop, nq->lib->aio_get_fd(h), 0, on_socket, nq);
    nq->lost = false;
    note_size(nq);
}

/* An attempt is over. */
static void dialled(NbdQueue *nq)
{
    static LogRate rate;
    struct nbd_handle *h;

    loop_fd_free(g_steal_pointer(&nq->source));
    h = nbd_dial_finish(g_steal_pointer(&nq->dial), NULL);
    nq->opening = false;
    if (h && !is_same_disk(nq->node, h)) {
        log_warn_rated(&rate,
                       "%s: the server is back, but with a smaller disk or one that can do less",
                       nq->node->server->filename);
        nbd_server_hang_up(nq->node->server, g_steal_pointer(&h));
    }
    if (h) {
        take_connection(nq, h);
        nbd_send_waiting(nq);
    } else {
        nq->retry_at = clock_now(nq->clock) + NBD_RETRY_MS * ms;
        lose_patience(nq);
    }
}

static void on_dialled(void *opaque, unsigned events)
{
    NbdQueue *nq = opaque;

    block_plug(&nq->q);
    dialled(nq);
    nbd_watch(nq);
    block_unplug(&nq->q);
}

static void dial(NbdQueue *nq)
{
    nq->dial = nbd_dial_new(nq->node->server);
    if (nq->dial) {
        nq->source = loop_fd_new(nq->q.loop, nbd_dial_fd(nq->dial), LOOP_READ, on_dialled, nq);
    } else {
        nq->retry_at = clock_now(nq->clock) + NBD_RETRY_MS * ms;
    }
}

static void connection_lost(NbdQueue *nq)
{
    static LogRate rate;

    log_warn_rated(&rate, "%s: the connection is lost: %s", nq->node->server->filename,
                   nq->node->reconnect_delay ? "requests wait for the next" : "requests fail");
    drop_connection(nq);
    nbd_settle(nq);
    nbd_note_loss(nq->node);
    nq->lost_at = clock_now(nq->clock);
    nq->retry_at = MAX(nq->retry_at, nq->lost_at);
    lose_patience(nq);
}

void nbd_watch(NbdQueue *nq)
{
    if (nq->nbd && (nq->lib->aio_is_dead(nq->nbd) || nq->lib->aio_is_closed(nq->nbd))) {
        connection_lost(nq);
    }
    if (nq->nbd) {
        unsigned dir = nq->lib->aio_get_direction(nq->nbd);

        loop_fd_set_events(nq->source, (dir & LIBNBD_AIO_DIRECTION_READ ? LOOP_READ : 0) |
                                           (dir & LIBNBD_AIO_DIRECTION_WRITE ? LOOP_WRITE : 0));
    }
    arm(nq);
}

/* As libnbd wants it: never both, for the first may have changed what it waits for. */
static void notify(NbdQueue *nq, bool readable, bool writable)
{
    unsigned dir = nq->lib->aio_get_direction(nq->nbd);

    if (readable && (dir & LIBNBD_AIO_DIRECTION_READ)) {
        nq->lib->aio_notify_read(nq->nbd);
    } else if (writable && (dir & LIBNBD_AIO_DIRECTION_WRITE)) {
        nq->lib->aio_notify_write(nq->nbd);
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
    if (nq->nbd && patience_left(nq) == 0) {
        nbd_break(nq, "does not answer");
        nbd_settle(nq);
    } else if (!nq->nbd && !nq->dial && now >= nq->retry_at) {
        dial(nq);
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
    int most = nq->nbd ? (int)MIN(left + 1, INT_MAX) : LOOK_MS;
    unsigned dir = nq->nbd ? nq->lib->aio_get_direction(nq->nbd) : LIBNBD_AIO_DIRECTION_READ;
    struct pollfd pfd = {
        .fd = nq->nbd    ? nq->lib->aio_get_fd(nq->nbd)
              : nq->dial ? nbd_dial_fd(nq->dial)
                         : -1,
        .events = (short)((dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
                          (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0)),
    };

    if (poll(&pfd, 1, most) <= 0) {
        return;
    }
    if (nq->nbd) {
        notify(nq, pfd.revents & (POLLIN | POLLHUP | POLLERR), pfd.revents & POLLOUT);
    } else {
        dialled(nq);
    }
}

static bool nbd_poll_queue(BlockQueue *q, bool wait)
{
    NbdQueue *nq = (NbdQueue *)q;
    bool any;

    if (wait && !nq->back.first) {
        wait_for_server(nq);
        if (!nq->nbd || patience_left(nq) == 0) {
            on_timer(nq); /* the loop does not run */
        }
    }
    any = nbd_settle(nq);
    nbd_watch(nq);
    return any;
}

/* --- queues --- */

static bool join_node(NbdQueue *nq, struct nbd_handle **ret_spare, GError **err)
{
    BlockNbd *n = nq->node;
    bool ok;

    pthread_mutex_lock(&n->lock);
    ok = n->queues->len == 0 || n->can_multi_conn;
    if (ok) {
        g_ptr_array_add(n->queues, nq);
        *ret_spare = g_steal_pointer(&n->spare);
    }
    pthread_mutex_unlock(&n->lock);
    return ok ||
           error_set(err,
                     "%s: the server takes one connection only, and each queue has its own: use "
                     "num-queues=1, or let it take more (qemu-nbd --shared=N)",
                     n->server->filename);
}

static void leave_node(NbdQueue *nq)
{
    BlockNbd *n = nq->node;

    pthread_mutex_lock(&n->lock);
    g_ptr_array_remove(n->queues, nq);
    if (nq->nbd && !n->spare) {
        n->spare = g_steal_pointer(&nq->nbd);
    }
    pthread_mutex_unlock(&n->lock);
}

/*
 * The first connection: the one that the node has, or a new one. Before the VM runs, what is wrong
 * with that is an error; later the VM does not wait: the queue opens, and its requests do.
 */
static bool connect_queue(NbdQueue *nq, struct nbd_handle *spare, GError **err)
{
    BlockNbd *n = nq->node;
    struct nbd_handle *h = spare;

    if (h && !nq->lib->aio_is_ready(h)) {
        nq->lib->close(g_steal_pointer(&h));
        nbd_note_loss(n);
    }
    if (!h && loop_in_thread(n->parent_obj.loop)) {
        nq->opening = true;
        nq->lost_at = nq->retry_at = clock_now(nq->clock);
        dial(nq);
        return true;
    }
    if (!h && !(h = nbd_server_connect(n->server, err))) {
        return false;
    }
    take_connection(nq, h);
    return true;
}

static bool nbd_queue_open(BlockQueue *q, GError **err)
{
    NbdQueue *nq = (NbdQueue *)q;
    struct nbd_handle *spare;

    nq->node = BLOCK_NBD(q->node);
    nq->lib = &nq->node->server->lib;
    nbd_list_init(&nq->back);
    nbd_list_init(&nq->waiting);
    nbd_list_init(&nq->starved);
    if (!join_node(nq, &spare, err)) {
        return false;
    }
    nq->clock = clock_new();
    nq->timer = loop_timer_new(q->loop, nq->clock, on_timer, nq);
    nq->bh = loop_bh_new(q->loop, on_settle, nq);
    if (!connect_queue(nq, spare, err)) {
        return false;
    }
    nbd_watch(nq);
    return true;
}

static void nbd_queue_close(BlockQueue *q)
{
    NbdQueue *nq = (NbdQueue *)q;

    if (!nq->clock) {
        return; /* it was never opened */
    }
    loop_fd_free(nq->source);
    leave_node(nq);
    loop_timer_free(nq->timer);
    loop_bh_free(nq->bh);
    clock_free(nq->clock);
    nbd_slots_free(nq);
    nbd_dial_abandon(nq->dial);
    nbd_server_hang_up(nq->node->server, nq->nbd);
}

/* --- the node --- */

static bool take_limits(BlockNbd *n, GError **err)
{
    BlockLimits *l = &n->parent_obj.limits;
    uint64_t min = block_size(n, n->spare, LIBNBD_SIZE_MINIMUM, 1);
    uint64_t max = block_size(n, n->spare, LIBNBD_SIZE_MAXIMUM, MAX_TRANSFER);
    int64_t size = n->server->lib.get_size(n->spare);

    if (size < 0 || min > BLOCK_MAX_ALIGN || (min & (min - 1))) {
        return error_set(err, "%s: the server tells no size, or wants blocks of more than %d bytes",
                         n->server->filename, BLOCK_MAX_ALIGN);
    }
    n->can_flush = n->server->lib.can_flush(n->spare) == 1;
    n->can_fua = n->server->lib.can_fua(n->spare) == 1;
    n->can_multi_conn = n->server->lib.can_multi_conn(n->spare) == 1;
    l->max_queues = n->can_multi_conn ? 0 : 1;
    n->size = (uint64_t)size / min * min;
    l->size = (n->size + BLOCK_SECTOR - 1) / BLOCK_SECTOR * BLOCK_SECTOR;
    l->request_alignment = (uint32_t)min;
    l->max_transfer = MIN(max, MAX_TRANSFER) / BLOCK_MAX_ALIGN * BLOCK_MAX_ALIGN;
    l->physical_block = (uint32_t)MIN(block_size(n, n->spare, LIBNBD_SIZE_PREFERRED, 0), 65536);
    l->max_discard = n->server->lib.can_trim(n->spare) == 1 ? MAX_RANGE : 0;
    l->max_write_zeroes = n->server->lib.can_zero(n->spare) == 1 ? MAX_RANGE : 0;
    l->write_cache = n->can_flush;
    if (n->server->lib.is_read_only(n->spare) == 1) {
        l->read_only = true;
        if (!n->parent_obj.read_only && !n->parent_obj.auto_read_only) {
            return error_set(err, "%s: the server exports it read-only; use read-only=on",
                             n->server->filename);
        }
    }
    return true;
}

/* Not before a server that is late is there, within open-timeout. */
static struct nbd_handle *connect_node(const BlockNbd *n, GError **err)
{
    int64_t end = g_get_monotonic_time() + (int64_t)n->open_timeout * G_USEC_PER_SEC;
    struct nbd_handle *h;

    while (!(h = nbd_server_connect(n->server, err)) && g_get_monotonic_time() < end) {
        g_clear_error(err);
        g_usleep(NBD_RETRY_MS * 1000 / 5);
    }
    return h;
}

/* blockdev-add waits for the server, but its VM does not: nothing of a machine is touched
 * meanwhile. */
static bool nbd_open(BlockNode *node, GError **err)
{
    BlockNbd *n = BLOCK_NBD(node);
    bool running = loop_in_thread(node->loop);

    n->server = nbd_server_new(n, err);
    if (!n->server) {
        return false;
    }
    if (running) {
        loop_unlock(node->loop);
    }
    n->spare = connect_node(n, err);
    if (running) {
        loop_lock(node->loop);
    }
    return n->spare && take_limits(n, err);
}

static void nbd_node_close(BlockNode *node)
{
    BlockNbd *n = BLOCK_NBD(node);

    nbd_server_hang_up(n->server, n->spare);
    nbd_server_unref(n->server);
}

static char *nbd_filename(BlockNode *node)
{
    return g_strdup(BLOCK_NBD(node)->server->filename);
}

/* What all connections know of. */
static uint64_t server_size(BlockNbd *n)
{
    uint64_t size = n->queues->len > 0 ? UINT64_MAX : n->size;

    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < n->queues->len; i++) {
        size = MIN(size, ((NbdQueue *)n->queues->pdata[i])->server_size);
    }
    pthread_mutex_unlock(&n->lock);
    return size;
}

/* x-server-size: what block_resize may grow the disk to. */
static void nbd_describe(BlockNode *node, json_t *info)
{
    uint64_t size = server_size(BLOCK_NBD(node));

    json_object_set_new(info, "x-server-size", json_integer((json_int_t)size));
}

/* To what the server has, as all connections know it: a server tells its size when it is connected
 * to. */
static bool nbd_resize(BlockNode *node, uint64_t size, GError **err)
{
    BlockNbd *n = BLOCK_NBD(node);
    uint64_t most = server_size(n);

    if (size != node->limits.size && size > most) {
        return error_set(
            err,
            "the server had %" G_GUINT64_FORMAT " bytes when it was connected to, and NBD tells "
            "no connection of a new size: restart a server that has grown, then resize",
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
    k->describe = nbd_describe;
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
