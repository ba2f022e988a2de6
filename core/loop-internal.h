/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of the event loop share: loop.c (rounds, descriptors, posted work, bottom halves) and loop-timer.c.
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
    int wake_fd;           /* eventfd: work was posted, or quit was set */
    int probe_fd;          /* epoll: tells which descriptors it takes */
    int timer_fd;
    struct event *wake, *timer;
    _Atomic uintptr_t owner; /* pthread_self of the thread inside, or 0 */
    atomic_bool quit;
    bool ran;      /* a callback ran in this round; loop thread */
    GArray *batch; /* of Post, being run; loop thread */

    pthread_mutex_t mutex;  /* guards what follows; innermost but for libevent's own */
    GArray *posted;         /* of Post */
    _Atomic(Source *) dead; /* read without the mutex only to see whether there are any */
    unsigned sources;
    TAILQ_HEAD(, LoopBh) bhs; /* scheduled, in order */
    atomic_uint pending;      /* bottom halves scheduled and work posted; changed with the mutex */
    unsigned round;
    TAILQ_HEAD(LoopTimers, LoopTimer) timers; /* by time */
    int64_t timer_due;                        /* what timer_fd is set to; 0: nothing */
    LIST_HEAD(, LoopFd) always;               /* sources that are always ready */
    atomic_uint n_always;                     /* how many; changed with the mutex */
};

void loop_source_init(Source *src, EventLoop *loop);
void loop_source_kill(Source *src);

void loop_timers_run(EventLoop *loop); /* the loop's timer_fd is readable */

#endif
