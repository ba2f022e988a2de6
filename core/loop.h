/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event loops on libevent: file descriptors, timers and work posted from other threads. The main loop runs on the
 * main thread with the VM lock held inside every callback; an iothread has a loop and a thread of its own.
 *
 * A source (LoopFd, LoopTimer, LoopBh) is made, changed and freed on its loop's thread, or before the loop runs, or by who
 * holds the loop's lock (of the main loop: the VM lock). loop_post and loop_quit may be called from any thread.
 */
#ifndef AEROSTAT_CORE_LOOP_H
#define AEROSTAT_CORE_LOOP_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "core/clock.h"
#include "qom/error.h"

typedef struct EventLoop EventLoop;
typedef struct LoopFd LoopFd;
typedef struct LoopTimer LoopTimer;
typedef struct LoopBh LoopBh;
typedef struct IoThread IoThread;

enum { LOOP_READ = 1, LOOP_WRITE = 2, LOOP_EDGE = 4 };

/* lock (NULL: none) is taken around every callback. It must outlive the loop. Aborts when the host has no fds left. */
EventLoop *loop_new(pthread_mutex_t *lock);
void loop_free(EventLoop *loop); /* its sources must be gone; posted work that has not run is dropped */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(EventLoop, loop_free)

void loop_run(EventLoop *loop);                            /* until loop_quit; must be called without the lock */
void loop_quit(EventLoop *loop);                           /* any thread; sticky if the loop is not running yet */
bool loop_iterate(EventLoop *loop, bool block);            /* one round, for tests; true when something ran */
bool loop_in_thread(EventLoop *loop);                      /* is the caller the thread in loop_run? */
void loop_lock(EventLoop *loop);                           /* what is held in its callbacks; none: nothing */
void loop_unlock(EventLoop *loop);
void loop_want_lock(EventLoop *loop, int n); /* 1 before another thread waits for it, -1 after: polling makes room */

/* Runs fn(opaque) once on the loop's thread, in order of posting. Any thread. */
void loop_post(EventLoop *loop, void (*fn)(void *opaque), void *opaque);

/*
 * events is an or of LOOP_*; the fd stays the caller's and open until the source is freed. 0 pauses the source. What
 * epoll cannot watch (a regular file, /dev/null) is always ready.
 *
 * With LOOP_EDGE, at loop_fd_new only, cb is called when the fd gets ready (an eventfd: at every write to it) and once more
 * when the source is made or goes on while the fd is. It takes all that is there, and need not read an eventfd, of which
 * then nobody may.
 */
LoopFd *loop_fd_new(EventLoop *loop, int fd, unsigned events, void (*cb)(void *opaque, unsigned events), void *opaque);
void loop_fd_set_events(LoopFd *f, unsigned events);
void loop_fd_free(LoopFd *f); /* NULL is fine; legal inside its own callback */

/*
 * Polling, as QEMU's iothreads have it: a loop that is about to sleep looks for up to max_ns at memory that says what its
 * descriptors would, without a system call. The time begins at 4 us and is multiplied by grow (0: 2) when the wait would
 * have fitted into max_ns, and divided by shrink (0: no polling until it grows again) when it was longer. max_ns 0: off. A
 * loop polls only while all its sources that listen can be polled. Any thread; at once.
 */
typedef struct {
    int64_t max_ns, grow, shrink;
} LoopPolling;
void loop_set_polling(EventLoop *loop, const LoopPolling *p);
int64_t loop_poll_ns(const EventLoop *loop); /* how long it would poll now */

/*
 * What a source needs for it, once, right after loop_fd_new. The functions get cb's opaque and run with the loop's lock, on
 * its thread; none may free or add sources. ready: does memory say that there is something? Then cb is called. begin (NULL:
 * nothing): from now on the loop looks by itself; whoever signals the fd may leave it. end (NULL: nothing): signals are
 * needed again; true: something came before that could be known, and cb is called. A source that is freed sees no end.
 */
typedef struct {
    bool (*ready)(void *opaque);
    void (*begin)(void *opaque);
    bool (*end)(void *opaque);
} LoopPollOps;
void loop_fd_set_poll(LoopFd *f, const LoopPollOps *ops);

/* One-shot timers against a clock (core/clock.h), in its nanoseconds. They stop and go with the clock. */
LoopTimer *loop_timer_new(EventLoop *loop, Clock *clock, void (*cb)(void *opaque), void *opaque);
void loop_timer_arm_at(LoopTimer *t, int64_t deadline_ns); /* re-arms */
void loop_timer_arm_in(LoopTimer *t, int64_t delay_ns);
void loop_timer_cancel(LoopTimer *t);
bool loop_timer_armed(const LoopTimer *t);
void loop_timer_free(LoopTimer *t); /* NULL is fine; legal inside its own callback */

/*
 * Bottom halves: cb runs once, soon after loop_bh_schedule and never from within it. One that was scheduled by a callback
 * of the loop runs at the end of the same round and costs no system call; so does one that such a bottom half schedules.
 * What that one schedules runs in the next round.
 */
LoopBh *loop_bh_new(EventLoop *loop, void (*cb)(void *opaque), void *opaque);
void loop_bh_schedule(LoopBh *bh); /* again before it ran: nothing */
void loop_bh_cancel(LoopBh *bh);
void loop_bh_free(LoopBh *bh); /* NULL is fine; legal inside its own callback */

IoThread *iothread_new(const char *name, GError **err); /* runs at once */
EventLoop *iothread_loop(IoThread *t); /* make and free its sources in iothread_call */
int iothread_id(const IoThread *t);      /* as gettid gives it there */
void iothread_free(IoThread *t); /* quits the loop and joins; NULL is fine */
/*
 * The lock that is held in the iothread's callbacks: who has it may use what belongs to the iothread, with no callback
 * under way. It comes behind the VM lock; nobody who has it waits for the VM lock.
 */
void iothread_lock(IoThread *t);
void iothread_unlock(IoThread *t);
/* Runs fn on the iothread and waits for it. Not from the iothread itself, nor with its lock. */
void iothread_call(IoThread *t, void (*fn)(void *opaque), void *opaque);

#endif
