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
#include "core/loop.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/thread.h>

#include "core/clock-timer.h"

#define MAX_WAIT_NS \
    (24 * 3600 * INT64_C(1000000000)) /* longer waits are cut: clock_timer_take waits on */

typedef struct Source Source;

/* First member of LoopFd and LoopTimer. */
struct Source {
    EventLoop *loop;
    struct event *ev;
    bool dead;
    Source *next; /* EventLoop.dead */
};

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

struct EventLoop {
    struct event_base *base;
    pthread_mutex_t *lock; /* borrowed: held in callbacks */
    int wake_fd;           /* eventfd: work was posted, or quit was set */
    int probe_fd;          /* epoll: tells which descriptors it takes */
    struct event *wake;
    _Atomic uintptr_t owner; /* pthread_self of the thread inside, or 0 */
    atomic_bool quit;
    bool ran;      /* a callback ran in this round; loop thread */
    GArray *batch; /* of Post, being run; loop thread */

    pthread_mutex_t mutex; /* guards what follows; innermost */
    GArray *posted;        /* of Post */
    Source *dead;
    unsigned sources;
    TAILQ_HEAD(, LoopBh) bhs; /* scheduled, in order */
    unsigned round;
};

struct LoopFd {
    Source src;
    int fd;
    unsigned events;
    bool always; /* epoll refuses it (a file, /dev/null): always ready, as poll(2) has it */
    void (*cb)(void *opaque, unsigned events);
    void *opaque;
};

struct LoopTimer {
    Source src;
    ClockTimer timer;
    void (*cb)(void *opaque);
    void *opaque;
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

static void source_init(Source *src, EventLoop *loop)
{
    src->loop = loop;
    pthread_mutex_lock(&loop->mutex);
    loop->sources++;
    pthread_mutex_unlock(&loop->mutex);
}

static void source_kill(Source *src)
{
    EventLoop *loop = src->loop;

    event_del_noblock(src->ev);
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

    pthread_mutex_lock(&loop->mutex);
    src = loop->dead;
    loop->dead = NULL;
    pthread_mutex_unlock(&loop->mutex);
    for (; src; src = next) {
        next = src->next;
        event_free(src->ev);
        g_free(src);
    }
}

/* --- posted work --- */

static void loop_wake(EventLoop *loop)
{
    uint64_t one = 1;

    while (write(loop->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void run_posted(EventLoop *loop)
{
    GArray *batch;

    pthread_mutex_lock(&loop->mutex);
    batch = loop->posted;
    loop->posted = loop->batch;
    loop->batch = batch;
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

static void on_wake(evutil_socket_t fd, short what, void *opaque)
{
    uint64_t count;

    (void)!read(fd, &count, sizeof count);
    run_posted(opaque);
}

void loop_post(EventLoop *loop, void (*fn)(void *opaque), void *opaque)
{
    Post post = {fn, opaque};
    bool first;

    pthread_mutex_lock(&loop->mutex);
    g_array_append_val(loop->posted, post);
    first = loop->posted->len == 1;
    pthread_mutex_unlock(&loop->mutex);
    if (first) {
        loop_wake(loop); /* run_posted takes all at once, so the others need no wake-up */
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
        first = TAILQ_EMPTY(&loop->bhs);
        bh->scheduled = true;
        bh->round = loop->round;
        TAILQ_INSERT_TAIL(&loop->bhs, bh, link);
    }
    pthread_mutex_unlock(&loop->mutex);
    if (first && !loop_in_thread(loop)) {
        loop_wake(loop);
    }
}

static void bh_unlink_locked(LoopBh *bh)
{
    if (bh->scheduled) {
        TAILQ_REMOVE(&bh->loop->bhs, bh, link);
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

static bool bhs_pending(EventLoop *loop)
{
    bool pending;

    pthread_mutex_lock(&loop->mutex);
    pending = !TAILQ_EMPTY(&loop->bhs);
    pthread_mutex_unlock(&loop->mutex);
    return pending;
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

static void bhs_run(EventLoop *loop)
{
    if (!bhs_pending(loop)) {
        return;
    }
    pthread_mutex_lock(&loop->mutex);
    loop->round++;
    pthread_mutex_unlock(&loop->mutex);
    while (bh_run_one(loop)) {
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
    /* Nanosecond waits by timerfd, and delays that count from now instead of from the start of the
     * round. */
    event_config_set_flag(cfg, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(cfg, EVENT_BASE_FLAG_NO_CACHE_TIME);
    base = event_base_new_with_config(cfg);
    event_config_free(cfg);
    return base;
}

EventLoop *loop_new(pthread_mutex_t *lock)
{
    EventLoop *loop = g_new0(EventLoop, 1);

    loop->lock = lock;
    loop->base = base_new();
    loop->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    loop->probe_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!loop->base || loop->wake_fd < 0 || loop->probe_fd < 0) {
        g_error("cannot make an event loop: %s", strerror(errno));
    }
    pthread_mutex_init(&loop->mutex, NULL);
    loop->posted = g_array_new(FALSE, FALSE, sizeof(Post));
    loop->batch = g_array_new(FALSE, FALSE, sizeof(Post));
    TAILQ_INIT(&loop->bhs);
    loop->wake = event_new(loop->base, loop->wake_fd, EV_READ | EV_PERSIST, on_wake, loop);
    event_add(loop->wake, NULL);
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
    event_base_free(loop->base);
    close(loop->wake_fd);
    close(loop->probe_fd);
    g_array_free(loop->posted, TRUE);
    g_array_free(loop->batch, TRUE);
    pthread_mutex_destroy(&loop->mutex);
    g_free(loop);
}

static void round_run(EventLoop *loop, int flags)
{
    if (bhs_pending(loop)) {
        flags |= EVLOOP_NONBLOCK;
    }
    if (event_base_loop(loop->base, EVLOOP_ONCE | flags) < 0) {
        g_error("the event loop failed: %s", strerror(errno));
    }
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

    loop_lock(loop);
    events = (what & EV_READ ? LOOP_READ : 0) | (what & EV_WRITE ? LOOP_WRITE : 0);
    events = f->always ? f->events : events & f->events;
    if (!f->src.dead && events) {
        loop->ran = true;
        f->cb(f->opaque, events);
    }
    loop_unlock(loop);
}

/* Puts f's event in the state that f->events wants. */
static void fd_listen(LoopFd *f)
{
    static const struct timeval at_once = {0, 1}; /* libevent does not repeat a wait of 0 */
    short what = EV_PERSIST;

    event_del_noblock(f->src.ev);
    if (!f->events) {
        return;
    }
    if (!f->always) {
        what |= (f->events & LOOP_READ ? EV_READ : 0) | (f->events & LOOP_WRITE ? EV_WRITE : 0);
    }
    event_assign(f->src.ev, f->src.loop->base, f->always ? -1 : f->fd, what, on_fd, f);
    if (event_add(f->src.ev, f->always ? &at_once : NULL) < 0) {
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

    source_init(&f->src, loop);
    f->fd = fd;
    f->events = events;
    f->cb = cb;
    f->opaque = opaque;
    f->always = epoll_refuses(loop, fd);
    f->src.ev = event_new(loop->base, -1, EV_PERSIST, on_fd, f);
    fd_listen(f);
    return f;
}

void loop_fd_set_events(LoopFd *f, unsigned events)
{
    if (f->events != events) {
        f->events = events;
        fd_listen(f);
    }
}

void loop_fd_free(LoopFd *f)
{
    if (f) {
        source_kill(&f->src);
    }
}

/* --- timers --- */

static void on_timeout(evutil_socket_t fd, short what, void *opaque)
{
    LoopTimer *t = opaque;
    EventLoop *loop = t->src.loop;

    loop_lock(loop);
    if (!t->src.dead && clock_timer_take(&t->timer)) {
        loop->ran = true;
        t->cb(t->opaque);
    }
    loop_unlock(loop);
}

static LoopTimer *timer_of(ClockTimer *timer)
{
    return (LoopTimer *)((char *)timer - offsetof(LoopTimer, timer));
}

static void timer_wake(ClockTimer *timer, int64_t delay_ns)
{
    LoopTimer *t = timer_of(timer);
    struct timeval tv;
    int64_t us;

    if (delay_ns < 0) {
        event_del_noblock(t->src.ev);
        return;
    }
    us = (MIN(delay_ns, MAX_WAIT_NS) + 999) / 1000;
    tv = (struct timeval){.tv_sec = us / 1000000, .tv_usec = us % 1000000};
    event_add(t->src.ev, &tv);
}

static void timer_fire(ClockTimer *timer)
{
    LoopTimer *t = timer_of(timer);

    t->cb(t->opaque);
}

LoopTimer *loop_timer_new(EventLoop *loop, Clock *clock, void (*cb)(void *opaque), void *opaque)
{
    LoopTimer *t = g_new0(LoopTimer, 1);

    source_init(&t->src, loop);
    t->cb = cb;
    t->opaque = opaque;
    t->src.ev = event_new(loop->base, -1, 0, on_timeout, t);
    t->timer.wake = timer_wake;
    t->timer.fire = timer_fire;
    clock_timer_init(&t->timer, clock);
    return t;
}

void loop_timer_arm_at(LoopTimer *t, int64_t deadline_ns)
{
    clock_timer_arm(&t->timer, deadline_ns);
}

void loop_timer_arm_in(LoopTimer *t, int64_t delay_ns)
{
    int64_t deadline;

    if (__builtin_add_overflow(clock_now(t->timer.clock), MAX(delay_ns, 0), &deadline)) {
        deadline = INT64_MAX;
    }
    clock_timer_arm(&t->timer, deadline);
}

void loop_timer_cancel(LoopTimer *t)
{
    clock_timer_cancel(&t->timer);
}

bool loop_timer_armed(const LoopTimer *t)
{
    return clock_timer_armed(&t->timer);
}

void loop_timer_free(LoopTimer *t)
{
    if (t) {
        clock_timer_finish(&t->timer);
        source_kill(&t->src);
    }
}
