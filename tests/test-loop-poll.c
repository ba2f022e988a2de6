/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Loops that poll before they sleep, and how a loop that sleeps is woken: nothing may be lost
 * between the two. Also run under TSan.
 */
#include "core/loop.h"
#include "tests/suite.h"

#include <check.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS INT64_C(1000000)

enum { LONG_MS = 2000, PINGS = 3000 };

/* A source that memory tells of, or its eventfd. */
typedef struct {
    EventLoop *loop;
    LoopFd *src;
    int fd;
    atomic_bool ready;  /* what ready says; the callback clears it */
    atomic_bool at_end; /* what end says, once */
    atomic_int begun;   /* calls of begin less those of end */
    atomic_uint begins;
    unsigned calls;
} Polled;

static void on_polled(void *opaque, unsigned events)
{
    Polled *p = opaque;

    ck_assert_uint_eq(events, LOOP_READ);
    atomic_store(&p->ready, false);
    p->calls++;
}

static bool polled_ready(void *opaque)
{
    return atomic_load(&((Polled *)opaque)->ready);
}

static void polled_begin(void *opaque)
{
    Polled *p = opaque;

    atomic_fetch_add(&p->begun, 1);
    atomic_fetch_add(&p->begins, 1);
}

static bool polled_end(void *opaque)
{
    Polled *p = opaque;

    atomic_fetch_sub(&p->begun, 1);
    return atomic_exchange(&p->at_end, false);
}

static const LoopPollOps polled_ops = {polled_ready, polled_begin, polled_end};

static void polled_init(Polled *p, EventLoop *loop)
{
    *p = (Polled){.loop = loop, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    p->src = loop_fd_new(loop, p->fd, LOOP_READ | LOOP_EDGE, on_polled, p);
    loop_fd_set_poll(p->src, &polled_ops);
}

static void polled_finish(Polled *p)
{
    loop_fd_free(p->src);
    close(p->fd);
}

static void signal_fd(int fd)
{
    uint64_t one = 1;

    ck_assert_int_eq(write(fd, &one, sizeof one), sizeof one);
}

typedef struct {
    Polled *p;
    void (*act)(Polled *p);
    unsigned us;
} Later;

static void *later_main(void *opaque)
{
    Later *l = opaque;

    g_usleep(l->us);
    l->act(l->p);
    return NULL;
}

static void act_fd(Polled *p)
{
    signal_fd(p->fd);
}

static void act_memory(Polled *p)
{
    atomic_store(&p->ready, true);
}

static void act_quit(Polled *p)
{
    loop_quit(p->loop);
}

/* A round that waits until act was done after us microseconds by another thread. */
static void round_until(Polled *p, void (*act)(Polled *p), unsigned us)
{
    Later l = {p, act, us};
    pthread_t thread;

    ck_assert_int_eq(pthread_create(&thread, NULL, later_main, &l), 0);
    while (!loop_iterate(p->loop, true)) {
    }
    pthread_join(thread, NULL);
}

/* --- how long it polls --- */

/* Once it is another one: on a busy machine the signal may come before the wait. */
static int64_t time_after_a_wait(Polled *p, unsigned us)
{
    int64_t before = loop_poll_ns(p->loop);

    for (unsigned i = 0; i < 100 && loop_poll_ns(p->loop) == before; i++) {
        round_until(p, act_fd, us);
    }
    return loop_poll_ns(p->loop);
}

START_TEST(the_time_grows_to_its_limit)
{
    static const struct {
        int64_t max, grow, second, third;
    } cases[] = {
        {LONG_MS * MS, 0, 8000, 16000},
        {LONG_MS * MS, 100, 400000, 40 * MS},
        {LONG_MS * MS, INT64_MAX, LONG_MS * MS, 0}, /* looks for longer than its limit */
    };
    g_autoptr(EventLoop) loop = loop_new(NULL);
    Polled p;

    polled_init(&p, loop);
    ck_assert_int_eq(loop_poll_ns(loop), 0);
    loop_set_polling(loop, &(LoopPolling){cases[_i].max, cases[_i].grow, 0});
    signal_fd(p.fd);
    ck_assert(loop_iterate(loop, true));
    ck_assert_int_eq(loop_poll_ns(loop), 4000);
    ck_assert_int_eq(time_after_a_wait(&p, 2000), cases[_i].second);
    ck_assert_int_eq(time_after_a_wait(&p, 60000), cases[_i].third);
    loop_set_polling(loop, &(LoopPolling){0});
    ck_assert_int_eq(loop_poll_ns(loop), 0);
    polled_finish(&p);
}
END_TEST

/* Waits of 1 ms are too long for a limit of 100 us. */
START_TEST(long_waits_end_the_polling)
{
    g_autoptr(EventLoop) loop = loop_new(NULL);
    Polled p;
    int64_t first = 0, then = -1;

    polled_init(&p, loop);
    /* On a busy machine a wait of no time takes longer than the limit, or the other one is none. */
    for (unsigned i = 0; i < 200 && (first != 4000 || then != (_i ? 2000 : 0)); i++) {
        loop_set_polling(loop, &(LoopPolling){100000, 0, _i ? 2 : 0});
        signal_fd(p.fd);
        ck_assert(loop_iterate(loop, true));
        first = loop_poll_ns(loop);
        round_until(&p, act_fd, 20000);
        then = loop_poll_ns(loop);
    }
    ck_assert_int_eq(first, 4000);
    ck_assert_int_eq(then, _i ? 2000 : 0);
    ck_assert_int_eq(p.begun, 0); /* it slept */
    polled_finish(&p);
}
END_TEST

/* --- what it sees --- */

static void note(void *opaque)
{
    ++*(unsigned *)opaque;
}

/* From the next round on it polls for up to two seconds. */
static void make_it_poll(Polled *p)
{
    loop_set_polling(p->loop, &(LoopPolling){LONG_MS * MS, INT64_MAX, 0});
    signal_fd(p->fd);
    ck_assert(loop_iterate(p->loop, true));
    ck_assert_int_eq(time_after_a_wait(p, 2000), LONG_MS * MS);
    p->calls = 0;
}

START_TEST(what_memory_says_needs_no_descriptor)
{
    g_autoptr(EventLoop) loop = loop_new(NULL);
    Polled p, other;

    polled_init(&p, loop);
    polled_init(&other, loop);
    make_it_poll(&p);
    for (unsigned i = 1; i <= 200; i++) { /* many rounds without a look at descriptors */
        round_until(&p, act_memory, i % 50 ? 0 : 1000);
        ck_assert_uint_eq(p.calls, i);
        ck_assert_int_eq(p.begun, 1);
    }
    ck_assert_uint_eq(other.calls, 0);
    ck_assert_int_eq(other.begun, 1);
    polled_finish(&other);
    polled_finish(&p);
}
END_TEST

START_TEST(what_came_before_the_end_of_polling_is_served)
{
    g_autoptr(EventLoop) loop = loop_new(NULL);
    Polled p;

    polled_init(&p, loop);
    make_it_poll(&p);
    round_until(&p, act_memory, 0);
    ck_assert_int_eq(p.begun, 1);
    loop_set_polling(loop, &(LoopPolling){0}); /* while it is not asleep */
    atomic_store(&p.at_end, true);
    ck_assert(loop_iterate(loop, true));
    ck_assert_uint_eq(p.calls, 2);
    ck_assert_int_eq(p.begun, 0);
    round_until(&p, act_fd, 1000); /* now its descriptor tells */
    ck_assert_uint_eq(p.calls, 3);
    ck_assert_int_eq(p.begun, 0);
    polled_finish(&p);
}
END_TEST

static void on_plain(void *opaque, unsigned events)
{
    ++*(unsigned *)opaque;
}

START_TEST(a_source_that_cannot_be_polled_ends_it)
{
    g_autoptr(EventLoop) loop = loop_new(NULL);
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    unsigned plain = 0, begins;
    LoopFd *src;
    Polled p;

    polled_init(&p, loop);
    make_it_poll(&p);
    round_until(&p, act_memory, 0);
    ck_assert_int_eq(p.begun, 1);
    src = loop_fd_new(loop, fd, LOOP_READ | LOOP_EDGE, on_plain, &plain);
    signal_fd(fd);
    ck_assert(loop_iterate(loop, true));
    ck_assert_uint_eq(plain, 1);
    ck_assert_int_eq(p.begun, 0);
    begins = p.begins;
    round_until(&p, act_fd, 500);
    ck_assert_uint_eq(p.begins, begins);
    loop_fd_set_events(src, 0); /* it does not listen: polling goes on */
    make_it_poll(&p);
    round_until(&p, act_memory, 500);
    ck_assert_int_eq(p.begun, 1);
    loop_fd_free(src);
    polled_finish(&p);
    close(fd);
}
END_TEST

START_TEST(timers_come_in_time_while_it_polls)
{
    g_autoptr(Clock) clock = clock_new();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    unsigned fired = 0;
    LoopTimer *timer;
    int64_t start;
    Polled p;

    polled_init(&p, loop);
    timer = loop_timer_new(loop, clock, note, &fired);
    make_it_poll(&p);
    start = clock_now(clock);
    loop_timer_arm_in(timer, MS);
    while (fired == 0) {
        loop_iterate(loop, true);
    }
    ck_assert_int_lt(clock_now(clock) - start, LONG_MS * MS / 2);
    loop_timer_arm_in(timer, MS);
    while (fired == 1) { /* it finds something in each round */
        atomic_store(&p.ready, true);
        loop_iterate(loop, true);
    }
    loop_timer_free(timer);
    polled_finish(&p);
}
END_TEST

static void act_post(Polled *p)
{
    loop_post(p->loop, note, &p->calls);
}

START_TEST(posted_work_and_the_end_are_seen_while_it_polls)
{
    g_autoptr(Clock) clock = clock_new();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    int64_t start = clock_now(clock);
    Later quit;
    pthread_t thread;
    Polled p;

    polled_init(&p, loop);
    make_it_poll(&p);
    round_until(&p, act_post, 1000);
    ck_assert_uint_eq(p.calls, 1);
    quit = (Later){&p, act_quit, 1000};
    ck_assert_int_eq(pthread_create(&thread, NULL, later_main, &quit), 0);
    loop_run(loop);
    pthread_join(thread, NULL);
    ck_assert_int_lt(clock_now(clock) - start, LONG_MS * MS / 2);
    polled_finish(&p);
}
END_TEST

START_TEST(rounds_that_may_not_wait_look_at_what_nobody_signals)
{
    g_autoptr(EventLoop) loop = loop_new(NULL);
    Polled p;

    polled_init(&p, loop);
    make_it_poll(&p);
    round_until(&p, act_memory, 0);
    atomic_store(&p.ready, true);
    ck_assert(loop_iterate(loop, false));
    ck_assert_uint_eq(p.calls, 2);
    polled_finish(&p);
}
END_TEST

/* --- with threads --- */

typedef struct {
    IoThread *io;
    Polled p;
    atomic_uint rounds;
} IoTest;

static void io_drop(void *opaque)
{
    polled_finish(&((IoTest *)opaque)->p);
}

/* A loop that finds something in every round, and so never sleeps. */
static void on_busy(void *opaque, unsigned events)
{
    atomic_fetch_add(&((IoTest *)opaque)->rounds, 1);
}

static bool always_ready(void *opaque)
{
    return true;
}

static const LoopPollOps busy_ops = {.ready = always_ready};

static void io_make_busy(void *opaque)
{
    IoTest *t = opaque;

    t->p = (Polled){.fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC)};
    t->p.src = loop_fd_new(iothread_loop(t->io), t->p.fd, LOOP_READ, on_busy, t);
    loop_fd_set_poll(t->p.src, &busy_ops);
}

START_TEST(who_wants_the_lock_of_a_busy_iothread_gets_it)
{
    IoTest t = {.io = iothread_new("io", NULL)};
    unsigned waited = 0; /* rounds, in all */

    loop_set_polling(iothread_loop(t.io), &(LoopPolling){LONG_MS * MS, 0, 0});
    iothread_call(t.io, io_make_busy, &t);
    for (unsigned i = 0; i < 200; i++) {
        unsigned before = atomic_load(&t.rounds);

        iothread_lock(t.io);
        waited += atomic_load(&t.rounds) - before;
        iothread_unlock(t.io);
        g_usleep(100); /* meanwhile it is busy again */
    }
    ck_assert_uint_lt(waited, 2000); /* of an unfair loop: tens of thousands, now and then */
    iothread_call(t.io, io_drop, &t);
    iothread_free(t.io);
}
END_TEST

/* --- no wake-up is lost --- */

typedef struct {
    IoThread *io;
    LoopBh *bh;
    LoopFd *src;
    int fd;
    sem_t done;
    atomic_bool given;
} Ping;

static void pong(void *opaque)
{
    sem_post(&((Ping *)opaque)->done);
}

static void on_ping_fd(void *opaque, unsigned events)
{
    Ping *p = opaque;

    if (atomic_exchange(&p->given, false)) {
        pong(p);
    }
}

static bool ping_ready(void *opaque)
{
    return atomic_load(&((Ping *)opaque)->given);
}

static const LoopPollOps ping_ops = {.ready = ping_ready};

static void ping_make(void *opaque)
{
    Ping *p = opaque;

    sem_init(&p->done, 0, 0);
    p->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    p->bh = loop_bh_new(iothread_loop(p->io), pong, p);
    p->src = loop_fd_new(iothread_loop(p->io), p->fd, LOOP_READ | LOOP_EDGE, on_ping_fd, p);
    loop_fd_set_poll(p->src, &ping_ops);
}

static void ping_drop(void *opaque)
{
    Ping *p = opaque;

    loop_fd_free(p->src);
    loop_bh_free(p->bh);
    sem_destroy(&p->done);
    close(p->fd);
}

static void *ping_main(void *opaque)
{
    Ping *p = opaque;
    GRand *r = g_rand_new_with_seed(7);

    for (unsigned i = 0; i < PINGS; i++) {
        unsigned wait = (unsigned)g_rand_int_range(r, 0, 2000);

        switch (i % 3) {
        case 0:
            loop_bh_schedule(p->bh);
            break;
        case 1:
            loop_post(iothread_loop(p->io), pong, p);
            break;
        default:
            atomic_store(&p->given, true);
            signal_fd(p->fd);
        }
        while (sem_wait(&p->done) < 0) {
        }
        while (wait-- > 0) { /* the loop goes to sleep meanwhile, or is about to */
            atomic_signal_fence(memory_order_seq_cst);
        }
    }
    g_rand_free(r);
    return NULL;
}

/* The test's timeout is what tells. */
START_TEST(no_wake_up_is_lost)
{
    static const LoopPolling polling[] = {{0, 0, 0}, {20000, 0, 0}, {LONG_MS * MS, 100, 2}};
    IoThread *io = iothread_new("io", NULL);
    pthread_t threads[2];
    Ping p[2];

    loop_set_polling(iothread_loop(io), &polling[_i]);
    for (unsigned i = 0; i < 2; i++) {
        p[i] = (Ping){.io = io};
        iothread_call(io, ping_make, &p[i]);
        ck_assert_int_eq(pthread_create(&threads[i], NULL, ping_main, &p[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
        iothread_call(io, ping_drop, &p[i]);
    }
    iothread_free(io);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop-poll");
    TCase *tc = tcase_create("loop-poll");

    suite_add_tcase(s, tc);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, the_time_grows_to_its_limit, 0, 3);
    tcase_add_loop_test(tc, long_waits_end_the_polling, 0, 2);
    tcase_add_test(tc, what_memory_says_needs_no_descriptor);
    tcase_add_test(tc, what_came_before_the_end_of_polling_is_served);
    tcase_add_test(tc, a_source_that_cannot_be_polled_ends_it);
    tcase_add_test(tc, timers_come_in_time_while_it_polls);
    tcase_add_test(tc, posted_work_and_the_end_are_seen_while_it_polls);
    tcase_add_test(tc, rounds_that_may_not_wait_look_at_what_nobody_signals);
    tcase_add_test(tc, who_wants_the_lock_of_a_busy_iothread_gets_it);
    tcase_add_loop_test(tc, no_wake_up_is_lost, 0, 3);
    return suite_run(s);
}
