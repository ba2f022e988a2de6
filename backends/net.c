/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends: what is between a device and a kind. Frames are checked, counted, shown to the
 * filters and made plain for kinds that know no offloads; a frame that cannot go on is kept, one
 * for each direction of a queue, and nothing else is read or taken until it has gone.
 */
#include "backends/net-impl.h"

#include <string.h>

/* --- counters: written under the queue's lock, read by anyone --- */

static void count(uint64_t *counter, uint64_t n)
{
    __atomic_store_n(counter, *counter + n, __ATOMIC_RELAXED);
}

void net_count_dropped(NetBackend *b, unsigned queue, unsigned dir, unsigned n)
{
    NetStats *s = &b->queues[queue].stats;

    count(dir == NET_DIR_RX ? &s->rx_dropped : &s->tx_dropped, n);
}

void net_count_errors(NetBackend *b, unsigned queue, unsigned dir, unsigned n)
{
    NetStats *s = &b->queues[queue].stats;

    count(dir == NET_DIR_RX ? &s->rx_errors : &s->tx_errors, n);
}

void net_count_lost(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n, bool error)
{
    NetQueue *q = &b->queues[queue];

    count(error ? &q->stats.tx_errors : &q->stats.tx_dropped, n);
    q->lost += n;
    for (unsigned i = 0; i < n; i++) {
        q->lost_bytes += frames[i].len;
    }
}

static void count_frames(NetQueue *q, unsigned dir, unsigned n, size_t bytes)
{
    count(dir == NET_DIR_RX ? &q->stats.rx_frames : &q->stats.tx_frames, n);
    count(dir == NET_DIR_RX ? &q->stats.rx_bytes : &q->stats.tx_bytes, bytes);
}

enum { STATS_WORDS = sizeof(NetStats) / sizeof(uint64_t) };

static void stats_add(NetStats *sum, const NetStats *s)
{
    for (unsigned i = 0; i < STATS_WORDS; i++) {
        ((uint64_t *)sum)[i] += __atomic_load_n((const uint64_t *)s + i, __ATOMIC_RELAXED);
    }
}

void net_stats(const NetBackend *b, NetStats *ret_stats)
{
    pthread_mutex_t *lock = (pthread_mutex_t *)&b->lock;

    pthread_mutex_lock(lock);
    *ret_stats = b->past;
    for (unsigned i = 0; i < b->n_queues; i++) {
        stats_add(ret_stats, &b->queues[i].stats);
    }
    pthread_mutex_unlock(lock);
}

/* --- link --- */

bool net_link_up(const NetBackend *b)
{
    return __atomic_load_n(&b->link, __ATOMIC_RELAXED) &&
           __atomic_load_n(&b->carrier, __ATOMIC_RELAXED);
}

void net_backend_tell_link(void *opaque)
{
    NetBackend *b = opaque;
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);
    bool up = net_link_up(b), carrier = __atomic_load_n(&b->carrier, __ATOMIC_RELAXED);

    if (carrier != b->carrier_told) {
        b->carrier_told = carrier;
        if (k->carrier_changed) {
            k->carrier_changed(b, carrier);
        }
    }
    if (b->user && up != b->link_told) {
        b->link_told = up;
        if (b->user->ops.link_changed) {
            b->user->ops.link_changed(b->user->ops.opaque, up);
        }
    }
}

void net_backend_set_link(NetBackend *b, bool up)
{
    __atomic_store_n(&b->link, up, __ATOMIC_RELAXED);
    net_backend_tell_link(b);
}

void net_set_carrier(NetBackend *b, bool up)
{
    __atomic_store_n(&b->carrier, up, __ATOMIC_RELAXED);
    loop_bh_schedule(b->link_bh);
}

/* --- filters --- */

static void filter_timeout_rx(void *opaque)
{
    loop_bh_schedule(((NetQueue *)opaque)->rx_bh);
}

static void filter_timeout_tx(void *opaque)
{
    loop_bh_schedule(((NetQueue *)opaque)->tx_bh);
}

static void wait_for_filter(NetQueue *q, unsigned dir, int64_t ns)
{
    if (!q->timer[dir]) {
        q->timer[dir] = loop_timer_new(
            q->loop, q->b->clock, dir == NET_DIR_RX ? filter_timeout_rx : filter_timeout_tx, q);
    }
    loop_timer_arm_in(q->timer[dir], ns);
}

/* "queue" as in QEMU: what the netdev receives (from the device) and what it transmits (to it). */
static bool filter_wants(const NetFilter *f, unsigned dir)
{
    return !__atomic_load_n(&f->off, __ATOMIC_RELAXED) &&
           (f->queue == 0 || f->queue == (dir == NET_DIR_TX ? 1 : 2));
}

/* Each is asked until it says yes, once: what it charges for the frame, it charges then. */
static bool filters_admit(NetQueue *q, unsigned dir, const NetFrame *f)
{
    GPtrArray *filters = q->b->filters;

    for (; q->admitted[dir] < filters->len; q->admitted[dir]++) {
        NetFilter *filter = filters->pdata[q->admitted[dir]];
        const NetFilterClass *k = NET_FILTER_GET_CLASS(filter);
        int64_t ns = 0;

        if (k->admit && filter_wants(filter, dir)) {
            ns = k->admit(filter, dir, f->len, net_offload_count(f));
        }
        if (ns > 0) {
            wait_for_filter(q, dir, ns);
            return false;
        }
    }
    return true;
}

/* It has passed. */
static void filters_saw(NetQueue *q, unsigned dir, const NetFrame *f)
{
    const NetBackend *b = q->b;

    q->admitted[dir] = 0;
    for (unsigned i = 0; i < b->filters->len; i++) {
        NetFilter *filter = b->filters->pdata[i];
        const NetFilterClass *k = NET_FILTER_GET_CLASS(filter);

        if (k->saw && filter_wants(filter, dir)) {
            k->saw(filter, dir, f);
        }
    }
}

/* --- frames that wait --- */

static void keep(NetKept *k, const NetFrame *f)
{
    if (!k->buf) {
        k->buf = g_malloc(NET_FRAME_MAX);
    }
    k->len = net_frame_read(f, 0, k->buf, NET_FRAME_MAX);
    k->hdr = f->hdr;
}

static NetFrame kept_frame(const NetKept *k, struct iovec *iov)
{
    *iov = (struct iovec){.iov_base = k->buf, .iov_len = k->len};
    return (NetFrame){.iov = iov, .niov = 1, .len = k->len, .hdr = k->hdr};
}

/* --- to the network --- */

static bool is_plain(const NetHdr *hdr)
{
    static const NetHdr nothing;

    return memcmp(hdr, &nothing, sizeof nothing) == 0;
}

static bool size_is_good(const NetFrame *f)
{
    return f->len >= NET_FRAME_MIN && f->len <= NET_FRAME_MAX && f->niov <= NET_IOV_MAX;
}

static bool passes_as_it_is(const NetBackend *b, const NetFrame *f)
{
    return size_is_good(f) &&
           (is_plain(&f->hdr) ||
            (!(net_offload_needed(&f->hdr) & ~b->host_offloads) && net_offload_check(f)));
}

/* Hands frames on that need nothing. Less than n: full. */
static unsigned send_plain(NetQueue *q, const NetFrame *frames, unsigned n)
{
    unsigned taken = NET_BACKEND_GET_CLASS(q->b)->send(q->b, q->index, frames, n);
    size_t bytes = 0;

    for (unsigned i = 0; i < taken; i++) {
        bytes += frames[i].len;
    }
    count_frames(q, NET_DIR_TX, taken - q->lost, bytes - q->lost_bytes);
    q->lost = 0;
    q->lost_bytes = 0;
    return taken;
}

/* Sends what is left of the frame that is being cut; false: full, cur is not sent. */
static bool send_segments(NetQueue *q, NetFrame *cur)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(q->b);

    do {
        if (k->send(q->b, q->index, cur, 1) == 0) {
            return false;
        }
    } while (net_segments_next(q->tx_seg, cur));
    return true;
}

/* The frame was sent in part: the rest of it is ours from now on. Its headers are those that were
 * parsed: the guest may have changed its own meanwhile. */
static void keep_rest(NetQueue *q, const NetFrame *f)
{
    q->tx_seg->n--; /* the one that was refused comes again */
    keep(&q->tx, f);
    memcpy(q->tx.buf, q->tx_seg->hdr, q->tx_seg->payload);
}

static bool resume_rest(NetQueue *q)
{
    unsigned sent = q->tx_seg->n;
    struct iovec iov;
    NetFrame f = kept_frame(&q->tx, &iov), cur;
    bool done = !net_segments_begin(q->tx_seg, &f);

    for (unsigned i = 0; !done && i <= sent; i++) {
        done = !net_segments_next(q->tx_seg, &cur);
    }
    done = done || send_segments(q, &cur); /* true above: nothing is left */
    q->lost = 0;                           /* the frame was counted when it was taken */
    q->lost_bytes = 0;
    if (done) {
        q->tx.len = 0;
    } else {
        q->tx_seg->n--;
    }
    return done;
}

/* In software; false: full, and nothing of it was sent. */
static bool send_cut(NetQueue *q, const NetFrame *f)
{
    NetFrame cur;

    if (!q->tx_seg) {
        q->tx_seg = g_new(NetSegments, 1);
    }
    if (!net_offload_check(f) || !net_segments_begin(q->tx_seg, f) ||
        !net_segments_next(q->tx_seg, &cur)) {
        net_count_errors(q->b, q->index, NET_DIR_TX, 1);
        return true;
    }
    if (!send_segments(q, &cur)) {
        if (q->tx_seg->n == 1) {
            return false;
        }
        keep_rest(q, f);
    }
    if (q->lost == 0) { /* else its segments count as lost, in whole or in part */
        count_frames(q, NET_DIR_TX, 1, f->len);
    }
    q->lost = 0;
    q->lost_bytes = 0;
    return true;
}

/* One frame with all that may be to do. False: full. */
static bool send_one(NetQueue *q, const NetFrame *f)
{
    NetBackend *b = q->b;
    bool taken;

    if (!net_link_up(b)) {
        q->admitted[NET_DIR_TX] = 0;
        net_count_dropped(b, q->index, NET_DIR_TX, 1);
        return true;
    }
    if (!size_is_good(f) || !net_offload_check(f)) {
        net_count_errors(b, q->index, NET_DIR_TX, 1);
        return true;
    }
    if (b->filters->len && !filters_admit(q, NET_DIR_TX, f)) {
        return false;
    }
    taken = passes_as_it_is(b, f) ? send_plain(q, f, 1) == 1 : send_cut(q, f);
    if (taken && b->filters->len) {
        filters_saw(q, NET_DIR_TX, f);
    }
    return taken;
}

/* How many of the frames need nothing and may be handed on at once. */
static unsigned plain_run(const NetBackend *b, const NetFrame *frames, unsigned n)
{
    unsigned i = 0;

    if (b->filters->len || !net_link_up(b)) {
        return 0;
    }
    while (i < n && passes_as_it_is(b, &frames[i])) {
        i++;
    }
    return i;
}

unsigned net_send(NetUser *u, unsigned queue, const NetFrame *frames, unsigned n)
{
    NetBackend *b = u->backend;
    NetQueue *q;
    unsigned i = 0;

    if (!b) {
        return n;
    }
    q = &b->queues[queue];
    while (i < n && !q->tx.len) {
        unsigned run = plain_run(b, frames + i, n - i);

        if (run > 0) {
            unsigned taken = send_plain(q, frames + i, run);

            i += taken;
            if (taken < run) {
                break;
            }
        } else if (!send_one(q, &frames[i])) {
            break;
        } else {
            i++;
        }
    }
    q->tx_blocked |= i < n;
    return i;
}

void net_backend_writable(NetBackend *b, unsigned queue)
{
    NetQueue *q = &b->queues[queue];

    if (q->tx.len && !resume_rest(q)) {
        return;
    }
    if (q->tx_blocked && b->user) {
        q->tx_blocked = false;
        b->user->ops.send_ready(b->user->ops.opaque, queue);
    }
}

/* Bottom half. */
static void send_again(void *opaque)
{
    NetQueue *q = opaque;

    net_backend_writable(q->b, q->index);
}

/* --- from the network --- */

/* One frame that the user can take as it is; false: refused by a filter or by the user. */
static inline __attribute__((always_inline)) bool receive_one(NetQueue *q, const NetFrame *f)
{
    NetBackend *b = q->b;
    const NetUserOps *ops = &b->user->ops;

    if (b->filters->len && !filters_admit(q, NET_DIR_RX, f)) {
        return false;
    }
    if (!ops->receive(ops->opaque, q->index, f)) {
        return false;
    }
    count_frames(q, NET_DIR_RX, 1, f->len);
    if (b->filters->len) {
        filters_saw(q, NET_DIR_RX, f);
    }
    return true;
}

static bool needs_cut(const NetBackend *b, const NetHdr *hdr)
{
    return (net_offload_needed(hdr) & ~b->now_offloads) != 0;
}

/* The user has switched an offload off since the host made the frame. False: it has rx_cut of the
 * segments, and no room for more. */
static __attribute__((noinline)) bool receive_cut(NetQueue *q, const NetFrame *f)
{
    NetFrame cur;

    if (!q->rx_seg) {
        q->rx_seg = g_new(NetSegments, 1);
    }
    if (!net_segments_begin(q->rx_seg, f)) {
        net_count_errors(q->b, q->index, NET_DIR_RX, 1);
        return true;
    }
    while (net_segments_next(q->rx_seg, &cur)) {
        if (q->rx_seg->n <= q->rx_cut) {
            continue;
        }
        if (!receive_one(q, &cur)) {
            return false;
        }
        q->rx_cut++;
    }
    q->rx_cut = 0;
    return true;
}

bool net_deliver(NetBackend *b, unsigned queue, const NetFrame *f)
{
    NetQueue *q = &b->queues[queue];
    bool plain = is_plain(&f->hdr);

    if (!size_is_good(f) || (!plain && !net_offload_check(f))) {
        net_count_errors(b, queue, NET_DIR_RX, 1);
    } else if (!net_link_up(b) || q->rx.len || !b->user) {
        net_count_dropped(b, queue, NET_DIR_RX, 1);
    } else if (!(!plain && needs_cut(b, &f->hdr) ? receive_cut(q, f) : receive_one(q, f))) {
        keep(&q->rx, f);
    }
    q->rx_stopped = q->rx.len > 0;
    return !q->rx_stopped;
}

bool net_deliver_flat(NetBackend *b, unsigned queue, const void *buf, size_t len)
{
    struct iovec iov = {.iov_base = (void *)buf, .iov_len = len};
    NetFrame f = {.iov = &iov, .niov = 1, .len = len};

    return net_deliver(b, queue, &f);
}

bool net_can_deliver(const NetBackend *b, unsigned queue)
{
    return b->user && queue < b->n_queues && !b->queues[queue].rx.len;
}

/* The frame that is kept. What the user takes may have changed meanwhile. False: still no room. */
static bool deliver_kept(NetQueue *q)
{
    NetBackend *b = q->b;
    struct iovec iov;
    NetFrame f = kept_frame(&q->rx, &iov);

    if (!net_link_up(b)) {
        q->rx_cut = q->admitted[NET_DIR_RX] = 0;
        net_count_dropped(b, q->index, NET_DIR_RX, 1);
    } else if (q->rx_cut || needs_cut(b, &f.hdr)) {
        return receive_cut(q, &f);
    } else {
        return receive_one(q, &f);
    }
    return true;
}

/* Bottom half: the user may have room again. */
static void deliver_again(void *opaque)
{
    NetQueue *q = opaque;
    NetBackend *b = q->b;

    if (q->rx.len) {
        if (!deliver_kept(q)) {
            return;
        }
        q->rx.len = 0;
    }
    if (q->rx_stopped) {
        q->rx_stopped = false;
        if (NET_BACKEND_GET_CLASS(b)->receive_ready) {
            NET_BACKEND_GET_CLASS(b)->receive_ready(b, q->index);
        }
    }
}

void net_receive_ready(NetUser *u, unsigned queue)
{
    NetBackend *b = u->backend;

    if (b && b->queues[queue].rx_stopped) {
        loop_bh_schedule(b->queues[queue].rx_bh);
    }
}

/* --- a backend in use --- */

static void queue_init(NetQueue *q, NetBackend *b, unsigned index, EventLoop *loop)
{
    *q = (NetQueue){.b = b, .index = index, .loop = loop};
    q->rx_bh = loop_bh_new(loop, deliver_again, q);
    q->tx_bh = loop_bh_new(loop, send_again, q);
}

static void queue_finish(NetQueue *q)
{
    loop_bh_free(q->rx_bh);
    loop_bh_free(q->tx_bh);
    loop_timer_free(q->timer[NET_DIR_RX]);
    loop_timer_free(q->timer[NET_DIR_TX]);
    g_free(q->rx.buf);
    g_free(q->tx.buf);
    g_free(q->rx_seg);
    g_free(q->tx_seg);
}

static void make_queues(NetBackend *b, EventLoop *const *loops, unsigned n)
{
    NetQueue *queues = g_new(NetQueue, n);

    for (unsigned i = 0; i < n; i++) {
        queue_init(&queues[i], b, i, loops[i]);
    }
    pthread_mutex_lock(&b->lock);
    b->queues = queues;
    b->n_queues = b->active_queues = n;
    pthread_mutex_unlock(&b->lock);
}

static void drop_queues(NetBackend *b)
{
    NetQueue *queues = b->queues;
    unsigned n = b->n_queues;

    pthread_mutex_lock(&b->lock);
    for (unsigned i = 0; i < n; i++) {
        stats_add(&b->past, &queues[i].stats);
    }
    b->queues = NULL;
    b->n_queues = b->active_queues = 0;
    pthread_mutex_unlock(&b->lock);
    for (unsigned i = 0; i < n; i++) {
        queue_finish(&queues[i]);
    }
    g_free(queues);
}

NetUser *net_attach(NetBackend *b, const NetUserOps *ops, EventLoop *const *loops,
                    unsigned n_queues, GError **err)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);
    NetUser *u;

    if (b->user) {
        error_set(err, "netdev '%s' is in use by '%s'", net_backend_id(b), b->user->name);
        return NULL;
    }
    if (n_queues < 1 || n_queues > b->max_queues) {
        error_set(err, "netdev '%s' has %u queue pair%s, not %u", net_backend_id(b), b->max_queues,
                  b->max_queues == 1 ? "" : "s", n_queues);
        return NULL;
    }
    u = g_new0(NetUser, 1);
    u->backend = b;
    u->ops = *ops;
    u->name = g_strdup(ops->name ?: "");
    make_queues(b, loops, n_queues);
    b->user = u;
    b->now_offloads = 0;
    b->link_told = net_link_up(b);
    if (k->attach && !k->attach(b, err)) {
        net_detach(u);
        return NULL;
    }
    return u;
}

/* The user's half is left. With the locks of the queues. */
static void disconnect(NetBackend *b)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);

    if (k->detach) {
        k->detach(b);
    }
    b->user = NULL;
    drop_queues(b);
}

void net_detach(NetUser *u)
{
    if (!u) {
        return;
    }
    if (u->backend) {
        disconnect(u->backend);
    }
    g_free(u->name);
    g_free(u);
}

NetBackend *net_user_backend(const NetUser *u)
{
    return u->backend;
}

const char *net_user_name(const NetUser *u)
{
    return u->name;
}

void net_set_guest_offloads(NetUser *u, unsigned offloads)
{
    NetBackend *b = u->backend;

    if (b) {
        const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);

        offloads &= b->guest_offloads;
        b->now_offloads =
            !k->set_guest_offloads || k->set_guest_offloads(b, offloads) ? offloads : 0;
    }
}

unsigned net_guest_offloads(const NetBackend *b)
{
    return b->guest_offloads;
}

unsigned net_host_offloads(const NetBackend *b)
{
    return b->host_offloads;
}

unsigned net_max_queues(const NetBackend *b)
{
    return b->max_queues;
}

void net_set_queues(NetUser *u, unsigned n)
{
    NetBackend *b = u->backend;

    if (b && n >= 1 && n <= b->n_queues && n != b->active_queues) {
        b->active_queues = n;
        if (NET_BACKEND_GET_CLASS(b)->set_queues) {
            NET_BACKEND_GET_CLASS(b)->set_queues(b, n);
        }
    }
}

void net_set_mac(NetUser *u, const uint8_t mac[6])
{
    NetBackend *b = u->backend;

    if (b && NET_BACKEND_GET_CLASS(b)->set_mac) {
        NET_BACKEND_GET_CLASS(b)->set_mac(b, mac);
    }
}

/* --- locks of a backend's loops --- */

static int by_address(const void *a, const void *b)
{
    uintptr_t x = (uintptr_t) * (void *const *)a, y = (uintptr_t) * (void *const *)b;

    return (x > y) - (x < y);
}

void net_lock_queues(NetBackend *b, NetLocks *ret_locks)
{
    ret_locks->n = 0;
    for (unsigned i = 0; i < b->n_queues; i++) {
        EventLoop *loop = b->queues[i].loop;
        unsigned at = 0;

        while (at < ret_locks->n && ret_locks->loops[at] != loop) {
            at++;
        }
        if (at == ret_locks->n && loop != b->main_loop) {
            ret_locks->loops[ret_locks->n++] = loop;
        }
    }
    qsort(ret_locks->loops, ret_locks->n, sizeof(EventLoop *), by_address);
    for (unsigned i = 0; i < ret_locks->n; i++) {
        loop_lock(ret_locks->loops[i]);
    }
}

void net_unlock_queues(NetLocks *locks)
{
    for (unsigned i = 0; i < locks->n; i++) {
        loop_unlock(locks->loops[i]);
    }
}

bool net_needs_main_loop(NetBackend *b, GError **err)
{
    for (unsigned i = 0; i < b->n_queues; i++) {
        if (b->queues[i].loop != b->main_loop) {
            return error_set(err, "netdev '%s': type %s cannot be served by an iothread",
                             net_backend_id(b), net_kind(b));
        }
    }
    return true;
}

void net_backend_orphan_user(NetBackend *b)
{
    NetUser *u = b->user;
    NetLocks locks;

    if (!u) {
        return;
    }
    net_lock_queues(b, &locks);
    net_vhost_leave(b);
    disconnect(b);
    u->backend = NULL;
    net_unlock_queues(&locks);
    if (u->ops.link_changed) {
        u->ops.link_changed(u->ops.opaque, false);
    }
}
