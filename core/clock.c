/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks: the monotonic clock less the time it was stopped, or a number that tests move. Each keeps
 * a list of its armed timers, sorted by deadline; equal deadlines keep the order of arming.
 */
#include "core/clock.h"

#include <pthread.h>
#include <time.h>

#include "core/clock-timer.h"

struct Clock {
    pthread_mutex_t lock; /* guards what follows; innermost but for the loops' own */
    bool manual, running;
    int64_t base;    /* running: CLOCK_MONOTONIC at 0; else the time itself */
    unsigned timers; /* armed or not */
    TAILQ_HEAD(, ClockTimer) armed;
};

static int64_t monotonic_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static Clock *clock_make(bool manual)
{
    Clock *c = g_new0(Clock, 1);

    pthread_mutex_init(&c->lock, NULL);
    TAILQ_INIT(&c->armed);
    c->manual = manual;
    c->running = !manual;
    c->base = manual ? 0 : monotonic_ns();
    return c;
}

Clock *clock_new(void)
{
    return clock_make(false);
}

Clock *clock_new_manual(void)
{
    return clock_make(true);
}

void clock_free(Clock *c)
{
    if (c) {
        g_assert(!c->timers);
        pthread_mutex_destroy(&c->lock);
        g_free(c);
    }
}

static int64_t now_locked(const Clock *c)
{
    return c->running ? monotonic_ns() - c->base : c->base;
}

int64_t clock_now(const Clock *c)
{
    pthread_mutex_t *lock = &((Clock *)c)->lock;
    int64_t now;

    pthread_mutex_lock(lock);
    now = now_locked(c);
    pthread_mutex_unlock(lock);
    return now;
}

bool clock_is_manual(const Clock *c)
{
    return c->manual;
}

static void wake_locked(Clock *c, ClockTimer *t)
{
    if (c->running) {
        t->wake(t, MAX(t->deadline - now_locked(c), 0));
    }
}

void clock_stop(Clock *c)
{
    ClockTimer *t;

    pthread_mutex_lock(&c->lock);
    if (c->running) {
        c->base = now_locked(c);
        c->running = false;
        TAILQ_FOREACH (t, &c->armed, link) {
            t->wake(t, -1);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

void clock_start(Clock *c)
{
    ClockTimer *t;

    pthread_mutex_lock(&c->lock);
    if (!c->manual && !c->running) {
        c->base = monotonic_ns() - c->base;
        c->running = true;
        TAILQ_FOREACH (t, &c->armed, link) {
            wake_locked(c, t);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

int64_t clock_next_deadline(const Clock *c)
{
    pthread_mutex_t *lock = &((Clock *)c)->lock;
    const ClockTimer *t;
    int64_t deadline;

    pthread_mutex_lock(lock);
    t = TAILQ_FIRST(&c->armed);
    deadline = t ? t->deadline : -1;
    pthread_mutex_unlock(lock);
    return deadline;
}

static void disarm_locked(Clock *c, ClockTimer *t)
{
    if (t->armed) {
        TAILQ_REMOVE(&c->armed, t, link);
        t->armed = false;
    }
}

/* Moves the clock to its next deadline, up to limit, and takes that timer; NULL: none is due, the
 * clock is at limit. */
static ClockTimer *step_to_next(Clock *c, int64_t limit)
{
    ClockTimer *t;

    pthread_mutex_lock(&c->lock);
    t = TAILQ_FIRST(&c->armed);
    if (t && t->deadline <= limit) {
        c->base = MAX(c->base, t->deadline);
        disarm_locked(c, t);
    } else {
        c->base = MAX(c->base, limit);
        t = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    return t;
}

void clock_step_to(Clock *c, int64_t now_ns)
{
    ClockTimer *t;

    g_assert(c->manual);
    while ((t = step_to_next(c, now_ns))) {
        t->fire(t);
    }
}

/* --- timers --- */

void clock_timer_init(ClockTimer *t, Clock *c)
{
    t->clock = c;
    t->armed = false;
    pthread_mutex_lock(&c->lock);
    c->timers++;
    pthread_mutex_unlock(&c->lock);
}

void clock_timer_finish(ClockTimer *t)
{
    clock_timer_cancel(t);
    pthread_mutex_lock(&t->clock->lock);
    t->clock->timers--;
    pthread_mutex_unlock(&t->clock->lock);
}

void clock_timer_arm(ClockTimer *t, int64_t deadline_ns)
{
    Clock *c = t->clock;
    ClockTimer *after;

    pthread_mutex_lock(&c->lock);
    disarm_locked(c, t);
    t->deadline = MAX(deadline_ns, 0);
    t->armed = true;
    TAILQ_FOREACH (after, &c->armed, link) {
        if (after->deadline > t->deadline) {
            break;
        }
    }
    if (after) {
        TAILQ_INSERT_BEFORE(after, t, link);
    } else {
        TAILQ_INSERT_TAIL(&c->armed, t, link);
    }
    wake_locked(c, t);
    pthread_mutex_unlock(&c->lock);
}

void clock_timer_cancel(ClockTimer *t)
{
    Clock *c = t->clock;

    pthread_mutex_lock(&c->lock);
    if (t->armed) {
        disarm_locked(c, t);
        if (c->running) {
            t->wake(t, -1);
        }
    }
    pthread_mutex_unlock(&c->lock);
}

bool clock_timer_armed(const ClockTimer *t)
{
    bool armed;

    pthread_mutex_lock(&t->clock->lock);
    armed = t->armed;
    pthread_mutex_unlock(&t->clock->lock);
    return armed;
}

bool clock_timer_take(ClockTimer *t)
{
    Clock *c = t->clock;
    bool due = false;

    pthread_mutex_lock(&c->lock);
    if (t->armed && c->running) {
        due = now_locked(c) >= t->deadline;
        if (due) {
            disarm_locked(c, t);
        } else {
            wake_locked(c, t); /* re-armed later since, or the wait was cut short */
        }
    }
    pthread_mutex_unlock(&c->lock);
    return due;
}
