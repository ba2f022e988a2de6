/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Polling: before it sleeps, a loop that may looks for a while whether memory (a ring of the
 * guest's or of the kernel's) already says what its descriptors would. That saves whoever signals
 * the signal, and the loop the way through the kernel, at the price of a processor.
 *
 * How long it looks follows from how long it had to wait before, as in QEMU: a wait that was longer
 * than the present time and would have fitted into the longest one lengthens it, a longer one
 * shortens it.
 *
 * The list of sources is guarded by the lock of callbacks. Who wants that lock says so in `wanted`,
 * because a thread that lets go of it for a moment only would have it again before the other wakes.
 */
#include "core/loop-internal.h"

#include <sched.h>

#define POLL_FIRST_NS   4000
#define POLL_LONGEST_NS (3600 * INT64_C(1000000000)) /* can be added to any time */

enum {
    POLL_ROUNDS = 64, /* in a row without a look at the descriptors */
    GIVE_WAY = 100,   /* times that the processor is offered to who wants the lock */
};

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void loop_set_polling(EventLoop *loop, const LoopPolling *p)
{
    atomic_store(&loop->poll_grow, p->grow);
    atomic_store(&loop->poll_shrink, p->shrink);
    atomic_store(&loop->poll_max, MIN(p->max_ns, POLL_LONGEST_NS));
    atomic_store(&loop->poll_ns, 0);
}

void loop_want_lock(EventLoop *loop, int n)
{
    atomic_fetch_add(&loop->wanted, (unsigned)n);
}

void loop_give_way_slow(EventLoop *loop)
{
    for (unsigned n = 0; n < GIVE_WAY && atomic_load(&loop->wanted) > 0; n++) {
        sched_yield();
    }
}

int64_t loop_poll_ns(const EventLoop *loop)
{
    return atomic_load(&loop->poll_ns);
}

/* --- how long --- */

static int64_t grown(const EventLoop *loop, int64_t ns, int64_t max)
{
    int64_t grow = atomic_load(&loop->poll_grow), longer;

    if (ns == 0) {
        return MIN(POLL_FIRST_NS, max);
    }
    if (__builtin_mul_overflow(ns, grow ? grow : 2, &longer)) {
        return max;
    }
    return MIN(longer, max);
}

void loop_poll_woke_slow(EventLoop *loop)
{
    int64_t waited = loop_monotonic_ns() - loop->poll_since, max = atomic_load(&loop->poll_max);
    int64_t ns = atomic_load(&loop->poll_ns), shrink = atomic_load(&loop->poll_shrink);

    loop->poll_since = 0;
    if (waited > max) {
        atomic_store(&loop->poll_ns, shrink ? ns / shrink : 0);
    } else if (waited > ns) {
        atomic_store(&loop->poll_ns, grown(loop, ns, max));
    }
}

/* --- the sources --- */

static void source_begin(LoopFd *f)
{
    f->begun = true;
    f->src.loop->n_begun++;
    if (f->poll->begin) {
        f->poll->begin(f->opaque);
    }
}

/* Each source once, those that callbacks free or add meanwhile at most once. True: one had
 * something. */
static bool look(EventLoop *loop, bool begin)
{
    bool found = false;

    loop_lock(loop);
    for (unsigned n = loop->n_polled; n > 0 && !TAILQ_EMPTY(&loop->polled); n--) {
        LoopFd *f = TAILQ_FIRST(&loop->polled);

        TAILQ_REMOVE(&loop->polled, f, poll_link);
        TAILQ_INSERT_TAIL(&loop->polled, f, poll_link);
        if (begin && f->events && !f->begun) {
            source_begin(f);
        }
        if (f->events && f->poll->ready(f->opaque)) {
            found = loop->ran = true;
            f->cb(f->opaque, f->events);
        }
    }
    loop_unlock(loop);
    return found;
}

static LoopFd *first_begun(EventLoop *loop)
{
    LoopFd *f;

    TAILQ_FOREACH (f, &loop->polled, poll_link) {
        if (f->begun) {
            break;
        }
    }
    return f;
}

/* The descriptors are signalled again. True: a source had something before that. */
static bool end(EventLoop *loop)
{
    bool found = false;
    LoopFd *f;

    if (loop->n_begun == 0) {
        return false;
    }
    loop_lock(loop);
    while ((f = first_begun(loop))) {
        f->begun = false;
        loop->n_begun--;
        if (f->poll->end && f->poll->end(f->opaque) && f->events) {
            found = loop->ran = true;
            f->cb(f->opaque, f->events);
        }
    }
    loop_unlock(loop);
    return found;
}

/* With what the loop has besides sources: posted work, bottom halves, the end. */
static bool has_work(EventLoop *loop)
{
    return loop_pending(loop) || atomic_load(&loop->quit);
}

static bool look_for(EventLoop *loop, int64_t now, int64_t ns)
{
    int64_t due = atomic_load(&loop->timer_due), until = due ? MIN(now + ns, due) : now + ns;
    bool found = false;

    while (!(found = look(loop, true)) && !(found = has_work(loop)) &&
           !atomic_load(&loop->wanted) && now < until && atomic_load(&loop->poll_ns) == ns) {
        cpu_relax();
        now = loop_monotonic_ns();
    }
    return found;
}

LoopPollResult loop_poll_slow(EventLoop *loop, bool wait)
{
    int64_t now, ns = atomic_load(&loop->poll_ns);
    bool found = false;

    if (!wait) { /* sources that nobody signals have their turn all the same */
        if (loop->n_begun > 0) {
            look(loop, false);
        }
        return LOOP_POLL_NOTHING;
    }
    now = loop_monotonic_ns();
    if (ns > 0 && atomic_load(&loop->n_unpolled) == 0) {
        found = look_for(loop, now, ns);
    }
    found = found || end(loop);
    loop->poll_since = found ? 0 : now;
    if (!found) {
        loop->poll_rounds = 0;
        return LOOP_POLL_NOTHING;
    }
    if (++loop->poll_rounds == POLL_ROUNDS) {
        loop->poll_rounds = 0;
        return LOOP_POLL_LOOK;
    }
    return LOOP_POLL_FOUND;
}

/* --- coming and going, with the lock --- */

void loop_poll_count(LoopFd *f, int n)
{
    if (f->events && !f->poll) {
        f->src.loop->n_unpolled += n;
    }
}

void loop_fd_set_poll(LoopFd *f, const LoopPollOps *ops)
{
    EventLoop *loop = f->src.loop;

    g_assert(!f->poll);
    loop_poll_count(f, -1);
    f->poll = ops;
    TAILQ_INSERT_TAIL(&loop->polled, f, poll_link);
    loop->n_polled++;
}

void loop_poll_forget(LoopFd *f)
{
    EventLoop *loop = f->src.loop;

    loop_poll_count(f, -1);
    if (f->poll) {
        TAILQ_REMOVE(&loop->polled, f, poll_link);
        loop->n_polled--;
        loop->n_begun -= f->begun;
        f->poll = NULL;
        f->events = 0;
    }
}
