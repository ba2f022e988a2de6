/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Timers of an event loop: a list by time, and one timerfd that is set to the first of them. It is
 * set only when the first one comes sooner, and once it has expired: what is cancelled or put off
 * costs no system call, at the price of an expiry for nothing.
 */
#include "core/loop-internal.h"

#include <sys/timerfd.h>
#include <time.h>

#define MAX_WAIT_NS \
    (24 * 3600 * INT64_C(1000000000)) /* longer waits are cut: clock_timer_take waits on */

int64_t loop_monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* With the mutex. due 0: nothing is waited for. */
static void set_fd_locked(EventLoop *loop, int64_t due)
{
    struct itimerspec when = {
        .it_value = {.tv_sec = due / 1000000000, .tv_nsec = due % 1000000000},
    };

    timerfd_settime(loop->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
    loop->timer_due = due;
}

static void unlink_locked(LoopTimer *t)
{
    if (t->queued) {
        TAILQ_REMOVE(&t->src.loop->timers, t, link);
        t->queued = false;
    }
}

static void link_locked(LoopTimer *t)
{
    EventLoop *loop = t->src.loop;
    LoopTimer *before = TAILQ_LAST(&loop->timers, LoopTimers);

    while (before && before->due > t->due) {
        before = TAILQ_PREV(before, LoopTimers, link);
    }
    if (before) {
        TAILQ_INSERT_AFTER(&loop->timers, before, t, link);
    } else {
        TAILQ_INSERT_HEAD(&loop->timers, t, link);
    }
    t->queued = true;
    if (loop->timer_due == 0 || t->due < loop->timer_due) {
        set_fd_locked(loop, t->due);
    }
}

/* Takes the first timer that is due at now; NULL: there is none, and the descriptor waits for the
 * next one. */
static LoopTimer *take_due(EventLoop *loop, int64_t now)
{
    LoopTimer *t;

    pthread_mutex_lock(&loop->mutex);
    t = TAILQ_FIRST(&loop->timers);
    if (t && t->due <= now) {
        unlink_locked(t);
    } else {
        set_fd_locked(loop, t ? t->due : 0);
        t = NULL;
    }
    pthread_mutex_unlock(&loop->mutex);
    return t;
}

/* A timer that is freed meanwhile is dead, and stays until the end of the round. */
void loop_timers_run(EventLoop *loop)
{
    int64_t now = loop_monotonic_ns();
    LoopTimer *t;

    while ((t = take_due(loop, now))) {
        loop_lock(loop);
        if (!t->src.dead && clock_timer_take(&t->timer)) {
            loop->ran = true;
            t->cb(t->opaque);
        }
        loop_unlock(loop);
    }
}

static LoopTimer *timer_of(ClockTimer *timer)
{
    return (LoopTimer *)((char *)timer - offsetof(LoopTimer, timer));
}

static void timer_wake(ClockTimer *timer, int64_t delay_ns)
{
    LoopTimer *t = timer_of(timer);
    EventLoop *loop = t->src.loop;

    pthread_mutex_lock(&loop->mutex);
    unlink_locked(t);
    if (delay_ns >= 0) {
        /* Later than now: a timer that arms itself waits for the next round. */
        t->due = loop_monotonic_ns() + CLAMP(delay_ns, 1, MAX_WAIT_NS);
        link_locked(t);
    }
    pthread_mutex_unlock(&loop->mutex);
}

static void timer_fire(ClockTimer *timer)
{
    LoopTimer *t = timer_of(timer);

    t->cb(t->opaque);
}

LoopTimer *loop_timer_new(EventLoop *loop, Clock *clock, void (*cb)(void *opaque), void *opaque)
{
    LoopTimer *t = g_new0(LoopTimer, 1);

    loop_source_init(&t->src, loop);
    t->cb = cb;
    t->opaque = opaque;
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
        pthread_mutex_lock(&t->src.loop->mutex);
        unlink_locked(t);
        pthread_mutex_unlock(&t->src.loop->mutex);
        loop_source_kill(&t->src);
    }
}
