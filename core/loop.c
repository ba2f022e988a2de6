/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event loops on libevent.
 *
 * The main loop's sources are also changed by vCPU threads that hold the VM lock, at a moment when
 * the loop's thread may already be inside our trampoline, waiting for that lock. Two consequences:
 * libevent is never asked to wait for a running callback (event_del_noblock), and a freed source
 * stays on the loop's list of dead ones until the round is over, when no trampoline can hold it;
 * the trampoline looks at `dead` once it has the lock.
 */
#include "core/loop-internal.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>
#include <event2/thread.h>

typedef struct {
    void (*fn)(void *opaque);
    void *opaque;
} Post;

struct LoopBh {
    EventLoop *loop;
    void (*cb)(void *opaque);
    void *opaque;
    bool scheduled;
    unsigned round; /* EventLoop.round when it was scheduled */
    TAILQ_ENTRY(LoopBh) link;
};

/* --- callbacks and the lock --- */

void loop_lock(EventLoop *loop)
{
    if (loop->lock) {
        pthread_mutex_lock(loop->lock);
    }
}

void loop_unlock(EventLoop *loop)
{
    if (loop->lock) {
        pthread_mutex_unlock(loop->lock);
    }
}

/* --- sources --- */

void loop_source_init(Source *src, EventLoop *loop)
{
    src->loop = loop;
    pthread_mutex_lock(&loop->mutex);
    loop->sources++;
    pthread_mutex_unlock(&loop->mutex);
}

void loop_source_kill(Source *src)
{
    EventLoop *loop = src->loop;

    if (src->ev) {
        event_del_noblock(src->ev);
    }
    src->dead = true;
    pthread_mutex_lock(&loop->mutex);
    src->next = loop->dead;
    loop->dead = src;
    loop->sources--;
    pthread_mutex_unlock(&loop->mutex);
}

static void sources_bury(EventLoop *loop)
{
    Source *src, *next;

    if (!atomic_load(&loop->dead)) {
        return;
    }
    pthread_mutex_lock(&loop->mutex);
    src = loop->dead;
    loop->dead = NULL;
    pthread_mutex_unlock(&loop->mutex);
    for (; src; src = next) {
        next = src->next;
        if (src->ev) {
            event_free(src->ev);
        }
        g_free(src);
    }
}

/* --- posted work --- */

void loop_wake(EventLoop *loop)
{
    uint64_t one = 1;

    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

bool loop_pending(EventLoop *loop)
{
    return atomic_load(&loop->n_posted) > 0 || atomic_load(&loop->n_scheduled) > 0;
}

/*
 * For what has been counted as pending, by the one who found nothing there before. A loop that is
 * not asleep looks at the counts before it sleeps: one of the two sees the other's store, for this
 * load of `asleep` is paired with the loads of the counts in round_run.
 */
static void loop_wake_sleeper(EventLoop *loop)
{
    if (atomic_load(&loop->asleep) && !loop_in_thread(loop)) {
        loop_wake(loop);
    }
}

static void run_posted(EventLoop *loop)
{
    GArray *batch;

    if (atomic_load(&loop->n_posted) == 0) {
        return;
    }
    pthread_mutex_lock(&loop->mutex);
    batch = loop->posted;
    loop->posted = loop->batch;
    loop->batch = batch;
    atomic_store(&loop->n_posted, 0);
    pthread_mutex_unlock(&loop->mutex);
    for (unsigned i = 0; i < batch->len; i++) {
        const Post *post = &g_array_index(batch, Post, i);

        loop_lock(loop);
        post->fn(post->opaque);
        loop_unlock(loop);
        loop->ran = true;
    }
    g_array_set_size(batch, 0);
}

/* By edges: nobody reads wake_fd, and what it is about the round finds by itself. */
static void on_wake(evutil_socket_t fd, short what, void *opaque)
{
    loop_poll_woke(opaque);
}

void loop_post(EventLoop *loop, void (*fn)(void *opaque), void *opaque)
{
    Post post = {fn, opaque};
    bool first;

    pthread_mutex_lock(&loop->mutex);
    first = !loop_pending(loop);
    g_array_append_val(loop->posted, post);
    loop->n_posted++;
    pthread_mutex_unlock(&loop->mutex);
    if (first) {
        loop_wake_sleeper(loop); /* a round takes all at once, so the others need no wake-up */
    }
}

/* --- bottom halves --- */

LoopBh *loop_bh_new(EventLoop *loop, void (*cb)(void *opaque), void *opaque)
{
    LoopBh *bh = g_new0(LoopBh, 1);

    bh->loop = loop;
    bh->cb = cb;
    bh->opaque = opaque;
    pthread_mutex_lock(&loop->mutex);
    loop->sources++;
    pthread_mutex_unlock(&loop->mutex);
    return bh;
}

void loop_bh_schedule(LoopBh *bh)
{
    EventLoop *loop = bh->loop;
    bool first = false;

    pthread_mutex_lock(&loop->mutex);
    if (!bh->scheduled) {
        first = !loop_pending(loop);
        loop->n_scheduled++;
        bh->scheduled = true;
        bh->round = loop->round;
        TAILQ_INSERT_TAIL(&loop->bhs, bh, link);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (first) {
        loop_wake_sleeper(loop);
    }
}

static void bh_unlink_locked(LoopBh *bh)
{
    if (bh->scheduled) {
        TAILQ_REMOVE(&bh->loop->bhs, bh, link);
        bh->loop->n_scheduled--;
        bh->scheduled = false;
    }
}

void loop_bh_cancel(LoopBh *bh)
{
    pthread_mutex_lock(&bh->loop->mutex);
    bh_unlink_locked(bh);
    pthread_mutex_unlock(&bh->loop->mutex);
}

void loop_bh_free(LoopBh *bh)
{
    if (bh) {
        pthread_mutex_lock(&bh->loop->mutex);
        bh_unlink_locked(bh);
        bh->loop->sources--;
        pthread_mutex_unlock(&bh->loop->mutex);
        g_free(bh);
    }
}

/* Runs the first bottom half of an earlier round than the present one. It is taken off the list
 * with the lock of callbacks held, under which it may be freed. */
static bool bh_run_one(EventLoop *loop)
{
    void (*cb)(void *opaque) = NULL;
    void *opaque = NULL;
    LoopBh *bh;

    loop_lock(loop);
    pthread_mutex_lock(&loop->mutex);
    bh = TAILQ_FIRST(&loop->bhs);
    if (bh && bh->round != loop->round) {
        cb = bh->cb;
        opaque = bh->opaque;
        bh_unlink_locked(bh);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (cb) {
        loop->ran = true;
        cb(opaque);
    }
    loop_unlock(loop);
    return cb != NULL;
}

/* Twice: what a bottom half completes most often schedules one that tells of it. */
static void bhs_run(EventLoop *loop)
{
    for (unsigned pass = 0; pass < 2 && atomic_load(&loop->n_scheduled) > 0; pass++) {
        pthread_mutex_lock(&loop->mutex);
        loop->round++;
        pthread_mutex_unlock(&loop->mutex);
        while (bh_run_one(loop)) {
        }
    }
}

/* --- the loop --- */

static struct event_base *base_new(void)
{
    static gsize once;
    struct event_config *cfg;
    struct event_base *base;

    if (g_once_init_enter(&once)) {
        evthread_use_pthreads();
        g_once_init_leave(&once, 1);
    }
    cfg = event_config_new();
    /* Timers are ours: with EVENT_BASE_FLAG_PRECISE_TIMER libevent sets its timerfd in every round.
     * Without edges (EVENT_NOEPOLL in the environment) doorbells, which nobody reads, would spin.
     */
    event_config_require_features(cfg, EV_FEATURE_ET);
    event_config_set_flag(cfg, EVENT_BASE_FLAG_IGNORE_ENV);
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

static void on_timer_fd(evutil_socket_t fd, short what, void *opaque)
{
    loop_poll_woke(opaque);
    loop_timers_run(opaque);
}

EventLoop *loop_new(pthread_mutex_t *lock)
{
    EventLoop *loop = g_new0(EventLoop, 1);

    loop->lock = lock;
    loop->base = base_new();
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->probe_fd = epoll_create1(EPOLL_CLOEXEC);
    loop->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (!loop->base || loop->wake_fd < 0 || loop->probe_fd < 0 || loop->timer_fd < 0) {
        g_error("cannot make an event loop: %s", strerror(errno));
    }
    pthread_mutex_init(&loop->mutex, NULL);
    loop->posted = g_array_new(FALSE, FALSE, sizeof(Post));
    loop->batch = g_array_new(FALSE, FALSE, sizeof(Post));
    TAILQ_INIT(&loop->bhs);
    TAILQ_INIT(&loop->timers);
    LIST_INIT(&loop->always);
    TAILQ_INIT(&loop->polled);
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST | EV_ET, on_wake, loop);
    loop->timer = event_new(loop->base, loop->timer_fd, EV_READ | EV_PERSIST, on_timer_fd, loop);
    event_add(loop->wake, NULL);
    event_add(loop->timer, NULL);
    return loop;
}

void loop_free(EventLoop *loop)
{
    if (!loop) {
        return;
    }
    g_assert(!loop->owner && !loop->sources);
    sources_bury(loop);
    event_free(loop->wake);
    event_free(loop->timer);
    event_base_free(loop->base);
    close(loop->wake_fd);
    close(loop->probe_fd);
    close(loop->timer_fd);
    g_array_free(loop->posted, TRUE);
    g_array_free(loop->batch, TRUE);
    pthread_mutex_destroy(&loop->mutex);
    g_free(loop);
}

/* Makes libevent call what is always ready, in this round and without waiting. */
static void activate_always(EventLoop *loop)
{
    LoopFd *f;

    if (atomic_load(&loop->n_always) == 0) {
        return;
    }
    pthread_mutex_lock(&loop->mutex);
    LIST_FOREACH(f, &loop->always, link)
    {
        event_active(f->src.ev, EV_READ | EV_WRITE, 0);
    }
    pthread_mutex_unlock(&loop->mutex);
}

static void sleep_and_dispatch(EventLoop *loop, int flags)
{
    atomic_store(&loop->asleep, true); /* before the counts are read: see loop_wake_sleeper */
    if (loop_pending(loop)) {
        flags |= EVLOOP_NONBLOCK;
    }
    if (event_base_loop(loop->base, EVLOOP_ONCE | flags) < 0) {
        g_error("the event loop failed: %s", strerror(errno));
    }
    atomic_store_explicit(&loop->asleep, false, memory_order_relaxed); /* later is soon enough */
}

static void round_run(EventLoop *loop, int flags)
{
    loop_give_way(loop);
    activate_always(loop);
    switch (loop_poll(loop, !(flags & EVLOOP_NONBLOCK) && !loop_pending(loop))) {
    case LOOP_POLL_NOTHING:
        sleep_and_dispatch(loop, flags);
        break;
    case LOOP_POLL_LOOK:
        sleep_and_dispatch(loop, flags | EVLOOP_NONBLOCK);
        break;
    case LOOP_POLL_FOUND:
        break;
    }
    run_posted(loop);
    bhs_run(loop);
    sources_bury(loop);
}

static void loop_enter(EventLoop *loop)
{
    uintptr_t nobody = 0;

    if (!atomic_compare_exchange_strong(&loop->owner, &nobody, (uintptr_t)pthread_self())) {
        g_error("an event loop was entered twice");
    }
}

static void loop_leave(EventLoop *loop)
{
    atomic_store(&loop->owner, 0);
}

void loop_run(EventLoop *loop)
{
    loop_enter(loop);
    while (!atomic_exchange(&loop->quit, false)) { /* pairs with the store in loop_quit */
        round_run(loop, 0);
    }
    loop_leave(loop);
}

bool loop_iterate(EventLoop *loop, bool block)
{
    loop_enter(loop);
    loop->ran = false;
    round_run(loop, block ? 0 : EVLOOP_NONBLOCK);
    loop_leave(loop);
    return loop->ran;
}

void loop_quit(EventLoop *loop)
{
    atomic_store(&loop->quit, true); /* pairs with the exchange in loop_run */
    loop_wake(loop);
}

bool loop_in_thread(EventLoop *loop)
{
    return atomic_load(&loop->owner) == (uintptr_t)pthread_self();
}

/* --- file descriptors --- */

static void on_fd(evutil_socket_t fd, short what, void *opaque)
{
    LoopFd *f = opaque;
    EventLoop *loop = f->src.loop;
    unsigned events;

    loop_poll_woke(loop);
    loop_lock(loop);
    events = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);
    events = f->always ? f->events : events & f->events;
    if (!f->src.dead && events) {
        loop->ran = true;
        f->cb(f->opaque, events);
    }
    loop_unlock(loop);
}

/* Enters f in the list of those always ready, or takes it out. */
static void always_set(LoopFd *f, bool on)
{
    EventLoop *loop = f->src.loop;

    pthread_mutex_lock(&loop->mutex);
    if (f->listed && !on) {
        LIST_REMOVE(f, link);
        loop->n_always--;
    } else if (!f->listed && on) {
        LIST_INSERT_HEAD(&loop->always, f, link);
        loop->n_always++;
    }
    f->listed = on;
    pthread_mutex_unlock(&loop->mutex);
    if (on && !loop_in_thread(loop)) {
        loop_wake(loop);
    }
}

/* Puts f's event in the state that f->events wants. */
static void fd_listen(LoopFd *f)
{
    short what = EV_PERSIST;

    event_del_noblock(f->src.ev);
    if (f->always) {
        always_set(f, f->events != 0);
        return;
    }
    if (!f->events) {
        return;
    }
    what |= (f->events & LOOP_READ ? EV_READ : 0) | (f->events & LOOP_WRITE ? EV_WRITE : 0);
    what |= f->edge ? EV_ET : 0;
    event_assign(f->src.ev, f->src.loop->base, f->fd, what, on_fd, f);
    if (event_add(f->src.ev, NULL) < 0) {
        g_error("cannot watch file descriptor %d: %s", f->fd, strerror(errno));
    }
}

static bool epoll_refuses(EventLoop *loop, int fd)
{
    struct epoll_event none = {0};

    if (epoll_ctl(loop->probe_fd, EPOLL_CTL_ADD, fd, &none) < 0) {
        return errno == EPERM;
    }
    epoll_ctl(loop->probe_fd, EPOLL_CTL_DEL, fd, NULL);
    return false;
}

LoopFd *loop_fd_new(EventLoop *loop, int fd, unsigned events,
                    void (*cb)(void *opaque, unsigned events), void *opaque)
{
    LoopFd *f = g_new0(LoopFd, 1);

    loop_source_init(&f->src, loop);
    f->fd = fd;
    f->edge = events & LOOP_EDGE;
    f->events = events & (LOOP_READ | LOOP_WRITE);
    f->cb = cb;
    f->opaque = opaque;
    f->always = epoll_refuses(loop, fd);
    f->src.ev = event_new(loop->base, -1, EV_PERSIST, on_fd, f);
    loop_poll_count(f, 1);
    fd_listen(f);
    return f;
}

void loop_fd_set_events(LoopFd *f, unsigned events)
{
    events &= LOOP_READ | LOOP_WRITE;
    if (f->events != events) {
        loop_poll_count(f, -1);
        f->events = events;
        loop_poll_count(f, 1);
        fd_listen(f);
    }
}

void loop_fd_free(LoopFd *f)
{
    if (f) {
        if (f->always) {
            always_set(f, false);
        }
        loop_poll_forget(f);
        loop_source_kill(&f->src);
    }
}
