/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the event loop share: loop.c (rounds, descriptors, posted work, bottom halves), loop-timer.c
 * and loop-poll.c.
 */
#ifndef AEROSTAT_CORE_LOOP_INTERNAL_H
#define AEROSTAT_CORE_LOOP_INTERNAL_H

#include <stdatomic.h>
#include <sys/queue.h>
#include <event2/event.h>

#include "core/clock-timer.h"
#include "core/loop.h"

typedef struct Source Source;

/* First member of LoopFd and LoopTimer. */
struct Source {
    EventLoop *loop;
    struct event *ev; /* NULL: it has none of its own */
    bool dead;
    Source *next; /* EventLoop.dead */
};

struct LoopFd {
    Source src;
    int fd;
    unsigned events;
    bool always; /* epoll refuses it (a file, /dev/null): always ready, as poll(2) has it */
    bool listed; /* in EventLoop.always */
    bool edge;
    bool begun; /* polling: begin was called */
    LIST_ENTRY(LoopFd) link;
    void (*cb)(void *opaque, unsigned events);
    void *opaque;
    const LoopPollOps *poll; /* NULL: only the descriptor tells */
    TAILQ_ENTRY(LoopFd) poll_link; /* EventLoop.polled; with poll */
};

struct LoopTimer {
    Source src;
    ClockTimer timer;
    void (*cb)(void *opaque);
    void *opaque;
    int64_t due; /* CLOCK_MONOTONIC; while it is on EventLoop.timers */
    bool queued;
    TAILQ_ENTRY(LoopTimer) link;
};

struct EventLoop {
    struct event_base *base;
    pthread_mutex_t *lock; /* borrowed: held in callbacks */
    int wake_fd;           /* eventfd: ends the loop's sleep */
    int probe_fd;          /* epoll: tells which descriptors it takes */
    int timer_fd;
    struct event *wake, *timer;
    _Atomic uintptr_t owner; /* pthread_self of the thread inside, or 0 */
    atomic_bool quit;
    atomic_bool asleep;      /* it may be: what becomes pending has to wake it */
    bool ran;                /* a callback ran in this round; loop thread */
    GArray *batch;           /* of Post, being run; loop thread */

    pthread_mutex_t mutex;   /* guards what follows; innermost but for libevent's own */
    GArray *posted;          /* of Post */
    _Atomic(Source *) dead;  /* read without the mutex only to see whether there are any */
    unsigned sources;
    TAILQ_HEAD(, LoopBh) bhs; /* scheduled, in order */
    unsigned round;
    atomic_uint n_posted, n_scheduled; /* what is pending; changed with the mutex */
    TAILQ_HEAD(LoopTimers, LoopTimer) timers; /* by time */
    _Atomic int64_t timer_due; /* what timer_fd is set to; 0: nothing; changed with the mutex */
    LIST_HEAD(, LoopFd) always; /* sources that are always ready */
    atomic_uint n_always;    /* how many; changed with the mutex */

    /* Polling (loop-poll.c). */
    _Atomic int64_t poll_max, poll_grow, poll_shrink; /* LoopPolling, any thread */
    _Atomic int64_t poll_ns; /* the present time; 0: none */
    int64_t poll_since;      /* since when it waits, if it is to learn from that; 0: it does not; loop thread */
    unsigned poll_rounds;    /* in a row without a look at the descriptors; loop thread */
    atomic_uint wanted;      /* threads that want the lock of callbacks */
    atomic_int n_unpolled;   /* sources that listen and have no poll; changed with the lock of callbacks, like what follows */
    TAILQ_HEAD(, LoopFd) polled;
    unsigned n_polled;
    atomic_uint n_begun;
};

void loop_source_init(Source *src, EventLoop *loop);
void loop_source_kill(Source *src);

void loop_wake(EventLoop *loop);
bool loop_pending(EventLoop *loop); /* posted work, bottom halves */

/* --- loop-timer.c --- */
int64_t loop_monotonic_ns(void);
void loop_timers_run(EventLoop *loop); /* the loop's timer_fd is readable */

/* --- loop-poll.c --- */
typedef enum {
    LOOP_POLL_NOTHING, /* the round may sleep */
    LOOP_POLL_LOOK,    /* there was something, and it is time to look at the descriptors */
    LOOP_POLL_FOUND,   /* there was something, and the round needs no descriptors */
} LoopPollResult;
void loop_give_way_slow(EventLoop *loop);
LoopPollResult loop_poll_slow(EventLoop *loop, bool wait);
void loop_poll_woke_slow(EventLoop *loop);
void loop_poll_count(LoopFd *f, int n); /* f comes to listen (1) or ceases (-1), as its events say */
void loop_poll_forget(LoopFd *f);       /* f goes */

/* Without the lock, for which a busy loop would hardly let anybody else come. */
static inline void loop_give_way(EventLoop *loop)
{
    if (G_UNLIKELY(atomic_load(&loop->wanted) > 0)) {
        loop_give_way_slow(loop);
    }
}

/* Before the round sleeps, if it may (wait). */
static inline LoopPollResult loop_poll(EventLoop *loop, bool wait)
{
    if (atomic_load_explicit(&loop->poll_max, memory_order_relaxed) == 0 && loop->n_begun == 0) {
        return LOOP_POLL_NOTHING;
    }
    return loop_poll_slow(loop, wait);
}

/* In the first callback of a round. */
static inline void loop_poll_woke(EventLoop *loop)
{
    if (loop->poll_since) {
        loop_poll_woke_slow(loop);
    }
}

#endif
