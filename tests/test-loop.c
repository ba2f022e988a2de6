/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Event loops, timers, clocks and iothreads. Also run under TSan: the threads here use the main
 * loop as vCPUs do, under its lock and while it may be asleep or about to call back.
 */
#include "core/loop.h"
#include "tests/suite.h"

#include <check.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define MS INT64_C(1000000)

static void drain(EventLoop *loop)
{
    while (loop_iterate(loop, false)) {
    }
}

static void count(void *opaque)
{
    ++*(unsigned *)opaque;
}

static void quit_loop(void *opaque)
{
    loop_quit(opaque);
}

/* --- file descriptors --- */

typedef struct {
    EventLoop *loop;
    LoopFd *src, *other;
    int fd[2];
    unsigned calls, events;
} FdTest;

static void fd_test_init(FdTest *t)
{
    *t = (FdTest){.loop = loop_new(NULL)};
    ck_assert_int_eq(pipe2(t->fd, O_NONBLOCK | O_CLOEXEC), 0);
}

static void fd_test_finish(FdTest *t)
{
    loop_free(t->loop);
    close(t->fd[0]);
    close(t->fd[1]);
}

static void on_fd(void *opaque, unsigned events)
{
    FdTest *t = opaque;

    t->calls++;
    t->events = events;
}

static void on_fd_free_both(void *opaque, unsigned events)
{
    FdTest *t = opaque;

    t->calls++;
    loop_fd_free(t->src);
    loop_fd_free(t->other);
    t->src = t->other = NULL;
}

START_TEST(a_descriptor_calls_back_for_the_events_it_asked_for)
{
    FdTest t;
    LoopFd *w;

    fd_test_init(&t);
    t.src = loop_fd_new(t.loop, t.fd[0], LOOP_READ, on_fd, &t);
    ck_assert(!loop_iterate(t.loop, false));
    ck_assert_int_eq(write(t.fd[1], "x", 1), 1);
    ck_assert(loop_iterate(t.loop, true));
    ck_assert_uint_eq(t.calls, 1);
    ck_assert_uint_eq(t.events, LOOP_READ);
    ck_assert(loop_iterate(t.loop, true)); /* level-triggered */
    ck_assert_uint_eq(t.calls, 2);
    loop_fd_set_events(t.src, 0);
    ck_assert(!loop_iterate(t.loop, false));
    w = loop_fd_new(t.loop, t.fd[1], LOOP_WRITE, on_fd, &t);
    ck_assert(loop_iterate(t.loop, true));
    ck_assert_uint_eq(t.events, LOOP_WRITE);
    loop_fd_free(w);
    loop_fd_set_events(t.src, LOOP_READ | LOOP_WRITE);
    ck_assert(loop_iterate(t.loop, true));
    ck_assert_uint_eq(t.events, LOOP_READ);
    loop_fd_free(t.src);
    ck_assert(!loop_iterate(t.loop, false));
    loop_fd_free(NULL);
    fd_test_finish(&t);
}
END_TEST

START_TEST(an_edge_source_calls_once_for_each_write_that_nobody_reads)
{
    FdTest t;
    uint64_t one = 1;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    fd_test_init(&t);
    ck_assert_int_eq(write(fd, &one, sizeof one), sizeof one); /* before it is watched */
    t.src = loop_fd_new(t.loop, fd, LOOP_READ | LOOP_EDGE, on_fd, &t);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert(loop_iterate(t.loop, true));
        ck_assert_uint_eq(t.calls, i);
        ck_assert_uint_eq(t.events, LOOP_READ);
        ck_assert(!loop_iterate(t.loop, false));
        ck_assert_int_eq(write(fd, &one, sizeof one), sizeof one);
    }
    loop_fd_set_events(t.src, 0);
    ck_assert(!loop_iterate(t.loop, false));
    loop_fd_set_events(t.src, LOOP_READ); /* what came meanwhile is not lost */
    ck_assert(loop_iterate(t.loop, true));
    ck_assert_uint_eq(t.calls, 4);
    loop_fd_free(t.src);
    fd_test_finish(&t);
    close(fd);
}
END_TEST

START_TEST(a_callback_may_free_its_own_source_and_another)
{
    FdTest t;

    fd_test_init(&t);
    ck_assert_int_eq(write(t.fd[1], "x", 1), 1);
    t.src = loop_fd_new(t.loop, t.fd[0], LOOP_READ, on_fd_free_both, &t);
    t.other = loop_fd_new(t.loop, t.fd[1], LOOP_WRITE, on_fd_free_both, &t);
    drain(t.loop); /* both are ready: whoever comes first frees the other before it runs */
    ck_assert_uint_eq(t.calls, 1);
    fd_test_finish(&t);
}
END_TEST

START_TEST(what_epoll_refuses_is_always_ready)
{
    FdTest t;
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    fd_test_init(&t);
    t.src = loop_fd_new(t.loop, null, LOOP_READ, on_fd, &t);
    for (unsigned i = 1; i <= 3; i++) {
        ck_assert(loop_iterate(t.loop, true));
        ck_assert_uint_eq(t.calls, i);
    }
    ck_assert_uint_eq(t.events, LOOP_READ);
    loop_fd_set_events(t.src, 0);
    ck_assert(!loop_iterate(t.loop, false));
    loop_fd_set_events(t.src, LOOP_READ);
    ck_assert(loop_iterate(t.loop, true));
    loop_fd_free(t.src);
    fd_test_finish(&t);
    close(null);
}
END_TEST

/* --- running, posting, quitting --- */

START_TEST(quit_is_remembered_by_a_loop_that_does_not_run_yet)
{
    g_autoptr(EventLoop) loop = loop_new(NULL);
    unsigned n = 0;

    loop_quit(loop);
    loop_run(loop); /* returns at once */
    loop_post(loop, count, &n);
    loop_post(loop, quit_loop, loop);
    loop_run(loop); /* the old quit was used up */
    ck_assert_uint_eq(n, 1);
    ck_assert(!loop_in_thread(loop));
}
END_TEST

START_TEST(work_that_was_not_run_is_dropped_with_the_loop)
{
    EventLoop *loop = loop_new(NULL);
    unsigned n = 0;

    loop_post(loop, count, &n);
    loop_free(loop);
    ck_assert_uint_eq(n, 0);
}
END_TEST

enum { POSTERS = 4, POSTS = 2000 };

typedef struct Poster Poster;
typedef struct {
    EventLoop *loop;
    pthread_mutex_t lock;
    unsigned last[POSTERS];
    unsigned total; /* under lock */
    bool ordered;
} PostTest;
struct Poster {
    PostTest *test;
    unsigned id;
    pthread_t thread;
};
typedef struct {
    PostTest *test;
    unsigned id, serial;
} Posted;

static void on_posted(void *opaque)
{
    Posted *p = opaque;
    PostTest *t = p->test;

    t->ordered &= p->serial == t->last[p->id] + 1;
    t->last[p->id] = p->serial;
    ck_assert(loop_in_thread(t->loop));
    if (++t->total == POSTERS * POSTS) {
        loop_quit(t->loop);
    }
    g_free(p);
}

static void *poster_main(void *opaque)
{
    Poster *poster = opaque;

    for (unsigned i = 1; i <= POSTS; i++) {
        Posted *p = g_new0(Posted, 1);

        *p = (Posted){poster->test, poster->id, i};
        loop_post(poster->test->loop, on_posted, p);
    }
    return NULL;
}

START_TEST(posted_work_runs_in_order_under_the_lock)
{
    PostTest t = {.lock = PTHREAD_MUTEX_INITIALIZER, .ordered = true};
    Poster posters[POSTERS];

    t.loop = loop_new(&t.lock);
    for (unsigned i = 0; i < POSTERS; i++) {
        posters[i] = (Poster){.test = &t, .id = i};
        ck_assert_int_eq(pthread_create(&posters[i].thread, NULL, poster_main, &posters[i]), 0);
    }
    loop_run(t.loop);
    for (unsigned i = 0; i < POSTERS; i++) {
        pthread_join(posters[i].thread, NULL);
        ck_assert_uint_eq(t.last[i], POSTS);
    }
    ck_assert(t.ordered);
    loop_free(t.loop);
}
END_TEST

/* --- sources that other threads change under the lock --- */

typedef struct {
    EventLoop *loop;
    Clock *clock;
    pthread_mutex_t lock;
    int fd[2];
    bool alive; /* under lock */
    unsigned calls;
} ChurnTest;

static void on_churn_fd(void *opaque, unsigned events)
{
    ChurnTest *t = opaque;

    ck_assert(t->alive); /* a freed source never calls back */
    t->calls++;
}

static void on_churn_timer(void *opaque)
{
    ChurnTest *t = opaque;

    ck_assert(t->alive);
    t->calls++;
}

static void *churn_main(void *opaque)
{
    ChurnTest *t = opaque;

    for (unsigned i = 0; i < 1500; i++) {
        LoopFd *src;
        LoopTimer *timer;

        pthread_mutex_lock(&t->lock);
        t->alive = true;
        src = loop_fd_new(t->loop, t->fd[0], LOOP_READ, on_churn_fd, t);
        timer = loop_timer_new(t->loop, t->clock, on_churn_timer, t);
        loop_timer_arm_in(timer, 0);
        pthread_mutex_unlock(&t->lock);
        if (i % 3 == 0) {
            sched_yield();
        }
        pthread_mutex_lock(&t->lock);
        loop_fd_set_events(src, 0);
        loop_fd_set_events(src, LOOP_READ);
        loop_timer_arm_in(timer, i % 2 ? 0 : 1000 * MS);
        pthread_mutex_unlock(&t->lock);
        pthread_mutex_lock(&t->lock);
        /* The loop's thread may be waiting for the lock in their callbacks right now. */
        loop_fd_free(src);
        loop_timer_free(timer);
        t->alive = false;
        pthread_mutex_unlock(&t->lock);
    }
    loop_quit(t->loop);
    return NULL;
}

START_TEST(another_thread_may_free_sources_under_the_lock)
{
    ChurnTest t = {.lock = PTHREAD_MUTEX_INITIALIZER, .clock = clock_new()};
    pthread_t thread;

    ck_assert_int_eq(pipe2(t.fd, O_NONBLOCK | O_CLOEXEC), 0);
    ck_assert_int_eq(write(t.fd[1], "x", 1), 1); /* always readable */
    t.loop = loop_new(&t.lock);
    ck_assert_int_eq(pthread_create(&thread, NULL, churn_main, &t), 0);
    loop_run(t.loop);
    pthread_join(thread, NULL);
    loop_free(t.loop);
    clock_free(t.clock);
    close(t.fd[0]);
    close(t.fd[1]);
}
END_TEST

typedef struct {
    EventLoop *loop;
    pthread_mutex_t lock;
    Clock *clock;
    LoopTimer *timer;
} ArmTest;

static void *arm_main(void *opaque)
{
    ArmTest *t = opaque;

    g_usleep(20000); /* let the loop fall asleep */
    pthread_mutex_lock(&t->lock);
    loop_timer_arm_in(t->timer, MS);
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

START_TEST(a_sleeping_loop_notices_a_timer_of_another_thread)
{
    ArmTest t = {.lock = PTHREAD_MUTEX_INITIALIZER, .clock = clock_new()};
    pthread_t thread;

    t.loop = loop_new(&t.lock);
    t.timer = loop_timer_new(t.loop, t.clock, quit_loop, t.loop);
    ck_assert_int_eq(pthread_create(&thread, NULL, arm_main, &t), 0);
    loop_run(t.loop);
    pthread_join(thread, NULL);
    loop_timer_free(t.timer);
    loop_free(t.loop);
    clock_free(t.clock);
}
END_TEST

/* --- timers on a running clock --- */

typedef struct {
    Clock *clock;
    GString *log;
    LoopTimer *timer[4];
} ManualTest;
typedef struct {
    ManualTest *test;
    char name;
} Named;

static void log_name(void *opaque)
{
    Named *n = opaque;

    g_string_append_c(n->test->log, n->name);
}

START_TEST(timers_fire_once_and_never_early)
{
    g_autoptr(Clock) clock = clock_new();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    unsigned n = 0;
    LoopTimer *t = loop_timer_new(loop, clock, count, &n);
    int64_t deadline = clock_now(clock) + 5 * MS;

    loop_timer_arm_at(t, deadline);
    ck_assert(loop_timer_armed(t));
    ck_assert_int_eq(clock_next_deadline(clock), deadline);
    while (!loop_iterate(loop, true)) {
    }
    ck_assert_int_ge(clock_now(clock), deadline);
    ck_assert_uint_eq(n, 1);
    ck_assert(!loop_timer_armed(t));
    ck_assert_int_eq(clock_next_deadline(clock), -1);
    ck_assert(!loop_iterate(loop, false));
    loop_timer_arm_in(t, 0);
    while (!loop_iterate(loop, true)) {
    }
    ck_assert_uint_eq(n, 2);
    loop_timer_arm_in(t, 0);
    loop_timer_cancel(t);
    g_usleep(2000);
    ck_assert(!loop_iterate(loop, false));
    loop_timer_arm_in(t, INT64_MAX); /* far away, not in the past */
    ck_assert(!loop_iterate(loop, false));
    ck_assert_int_eq(clock_next_deadline(clock), INT64_MAX);
    loop_timer_free(t);
    loop_timer_free(NULL);
}
END_TEST

/* Arms, puts off and cancels: whichever timer the descriptor was set to, the others come in time.
 */
START_TEST(timers_of_a_running_clock_fire_in_order)
{
    g_autoptr(Clock) clock = clock_new();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    ManualTest t = {.clock = clock, .log = g_string_new(NULL)};
    Named n[4] = {{&t, 'a'}, {&t, 'b'}, {&t, 'c'}, {&t, 'd'}};
    int64_t now = clock_now(clock);

    for (unsigned i = 0; i < 4; i++) {
        t.timer[i] = loop_timer_new(loop, clock, log_name, &n[i]);
    }
    loop_timer_arm_at(t.timer[3], now + 4 * MS);
    loop_timer_arm_at(t.timer[0], now + MS);
    loop_timer_arm_at(t.timer[1], now + 2 * MS);
    loop_timer_arm_at(t.timer[2], now + 3 * MS);
    loop_timer_arm_at(t.timer[0], now + 8 * MS); /* put off */
    while (t.log->len < 4) {
        loop_iterate(loop, true);
    }
    ck_assert_str_eq(t.log->str, "bcda");
    loop_timer_arm_in(t.timer[0], MS);
    loop_timer_arm_in(t.timer[1], 2 * MS);
    loop_timer_cancel(t.timer[0]); /* the first one */
    while (t.log->len < 5) {
        loop_iterate(loop, true);
    }
    ck_assert_str_eq(t.log->str, "bcdab");
    loop_timer_arm_in(t.timer[2], MS);
    loop_timer_arm_in(t.timer[3], 2 * MS);
    loop_timer_free(t.timer[2]); /* armed */
    while (t.log->len < 6) {
        loop_iterate(loop, true);
    }
    ck_assert_str_eq(t.log->str, "bcdabd");
    for (unsigned i = 0; i < 4; i++) {
        loop_timer_free(i == 2 ? NULL : t.timer[i]);
    }
    g_string_free(t.log, TRUE);
}
END_TEST

START_TEST(a_stopped_clock_stands_and_so_do_its_timers)
{
    g_autoptr(Clock) clock = clock_new();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    unsigned n = 0;
    LoopTimer *t = loop_timer_new(loop, clock, count, &n);
    int64_t at;

    ck_assert(!clock_is_manual(clock));
    loop_timer_arm_in(t, 3 * MS);
    clock_stop(clock);
    clock_stop(clock);
    at = clock_now(clock);
    g_usleep(10000);
    ck_assert_int_eq(clock_now(clock), at);
    ck_assert(!loop_iterate(loop, false));
    loop_timer_arm_in(t, MS); /* armed while the clock stands */
    g_usleep(5000);
    ck_assert(!loop_iterate(loop, false));
    ck_assert_uint_eq(n, 0);
    clock_start(clock);
    clock_start(clock);
    while (!loop_iterate(loop, true)) {
    }
    ck_assert_uint_eq(n, 1);
    ck_assert_int_ge(clock_now(clock), at + MS);
    loop_timer_free(t);
}
END_TEST

/* --- manual clocks --- */

static void log_timer(void *opaque)
{
    Named *n = opaque;

    g_string_append_printf(n->test->log, "%c@%ld ", n->name, (long)clock_now(n->test->clock));
}

static void rearm_timer(void *opaque)
{
    Named *n = opaque;

    log_timer(n);
    loop_timer_arm_in(n->test->timer[n->name - 'a'], 10);
}

static void free_timers(void *opaque)
{
    Named *n = opaque;

    log_timer(n);
    for (unsigned i = 0; i < 3; i++) {
        loop_timer_free(n->test->timer[i]);
    }
}

START_TEST(a_manual_clock_runs_timers_in_order_each_at_its_time)
{
    g_autoptr(Clock) clock = clock_new_manual();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    ManualTest t = {.clock = clock, .log = g_string_new(NULL)};
    Named n[4] = {{&t, 'a'}, {&t, 'b'}, {&t, 'c'}, {&t, 'd'}};

    ck_assert(clock_is_manual(clock));
    for (unsigned i = 0; i < 4; i++) {
        t.timer[i] = loop_timer_new(loop, clock, i == 3 ? rearm_timer : log_timer, &n[i]);
    }
    loop_timer_arm_at(t.timer[0], 30);
    loop_timer_arm_at(t.timer[1], 20);
    loop_timer_arm_at(t.timer[2], 20);
    loop_timer_arm_at(t.timer[3], 12);
    ck_assert_int_eq(clock_next_deadline(clock), 12);
    clock_step_to(clock, 11);
    ck_assert_str_eq(t.log->str, "");
    ck_assert_int_eq(clock_now(clock), 11);
    ck_assert(!loop_iterate(loop, false)); /* real time means nothing here */
    clock_step_to(clock, 35);
    ck_assert_str_eq(t.log->str, "d@12 b@20 c@20 d@22 a@30 d@32 ");
    ck_assert_int_eq(clock_now(clock), 35);
    g_string_truncate(t.log, 0);
    loop_timer_arm_at(t.timer[1], 5); /* overdue: at the next step, now */
    clock_step_to(clock, 10);         /* never back */
    clock_step_to(clock, 35);
    ck_assert_str_eq(t.log->str, "b@35 ");
    clock_stop(clock); /* nothing happens */
    clock_start(clock);
    ck_assert_int_eq(clock_now(clock), 35);
    for (unsigned i = 0; i < 4; i++) {
        loop_timer_free(t.timer[i]);
    }
    ck_assert_int_eq(clock_next_deadline(clock), -1);
    g_string_free(t.log, TRUE);
}
END_TEST

START_TEST(a_timer_may_free_itself_and_others_that_are_due)
{
    g_autoptr(Clock) clock = clock_new_manual();
    g_autoptr(EventLoop) loop = loop_new(NULL);
    ManualTest t = {.clock = clock, .log = g_string_new(NULL)};
    Named n[3] = {{&t, 'a'}, {&t, 'b'}, {&t, 'c'}};

    for (unsigned i = 0; i < 3; i++) {
        t.timer[i] = loop_timer_new(loop, clock, i == 1 ? free_timers : log_timer, &n[i]);
        loop_timer_arm_at(t.timer[i], 10 + i);
    }
    clock_step_to(clock, 100);
    ck_assert_str_eq(t.log->str, "a@10 b@11 ");
    g_string_free(t.log, TRUE);
}
END_TEST

/* --- iothreads --- */

typedef struct {
    IoThread *io;
    Clock *clock;
    pthread_t caller;
    LoopTimer *timer;
    atomic_uint fired;
} IoTest;

static void io_fire(void *opaque)
{
    atomic_fetch_add(&((IoTest *)opaque)->fired, 1);
}

static void io_setup(void *opaque)
{
    IoTest *t = opaque;

    ck_assert(loop_in_thread(iothread_loop(t->io)));
    ck_assert(!pthread_equal(pthread_self(), t->caller));
    t->timer = loop_timer_new(iothread_loop(t->io), t->clock, io_fire, t);
    loop_timer_arm_in(t->timer, MS);
}

static void io_teardown(void *opaque)
{
    loop_timer_free(((IoTest *)opaque)->timer);
}

START_TEST(a_call_runs_on_the_iothread_and_is_waited_for)
{
    IoTest t = {.clock = clock_new(), .caller = pthread_self()};
    unsigned n = 0;

    t.io = iothread_new("a-name-longer-than-the-kernel-takes", NULL);
    ck_assert_ptr_nonnull(t.io);
    for (unsigned i = 1; i <= 100; i++) {
        iothread_call(t.io, count, &n);
        ck_assert_uint_eq(n, i);
    }
    iothread_call(t.io, io_setup, &t);
    /* The VM stops and goes on while the iothread's timer waits. */
    clock_stop(t.clock);
    clock_start(t.clock);
    while (!atomic_load(&t.fired)) {
        g_usleep(500);
    }
    iothread_call(t.io, io_teardown, &t);
    ck_assert_uint_eq(atomic_load(&t.fired), 1);
    iothread_free(t.io);
    iothread_free(NULL);
    clock_free(t.clock);
}
END_TEST

static void count_slowly(void *opaque)
{
    unsigned n = *(unsigned *)opaque;

    g_usleep(10);
    *(unsigned *)opaque = n + 1;
}

START_TEST(with_the_lock_of_an_iothread_no_callback_is_under_way)
{
    IoThread *io = iothread_new("io", NULL);
    unsigned n = 0;

    for (unsigned i = 0; i < 100; i++) {
        loop_post(iothread_loop(io), count_slowly, &n);
        iothread_lock(io);
        count_slowly(&n);
        iothread_unlock(io);
    }
    iothread_call(io, count_slowly, &n);
    ck_assert_uint_eq(n, 201);
    iothread_free(io);
}
END_TEST

START_TEST(an_iothread_can_be_freed_before_it_got_to_run)
{
    for (unsigned i = 0; i < 50; i++) {
        iothread_free(iothread_new("brief", NULL));
    }
}
END_TEST

/* --- bottom halves --- */

typedef struct {
    EventLoop *loop;
    LoopBh *bh, *other;
    unsigned runs, other_runs;
    bool again, drop;
} BhTest;

static void on_bh(void *opaque)
{
    BhTest *t = opaque;

    t->runs++;
    if (t->again) {
        loop_bh_schedule(t->bh);
    }
    if (t->drop) {
        loop_bh_free(g_steal_pointer(&t->bh));
        loop_bh_free(g_steal_pointer(&t->other));
    }
}

static void on_other_bh(void *opaque)
{
    ((BhTest *)opaque)->other_runs++;
}

static void bh_test_init(BhTest *t)
{
    *t = (BhTest){.loop = loop_new(NULL)};
    t->bh = loop_bh_new(t->loop, on_bh, t);
    t->other = loop_bh_new(t->loop, on_other_bh, t);
}

static void bh_test_finish(BhTest *t)
{
    loop_bh_free(t->bh);
    loop_bh_free(t->other);
    loop_free(t->loop);
}

START_TEST(a_bottom_half_runs_once_however_often_it_was_scheduled)
{
    BhTest t;

    bh_test_init(&t);
    ck_assert(!loop_iterate(t.loop, false));
    loop_bh_schedule(t.bh);
    loop_bh_schedule(t.bh);
    loop_bh_schedule(t.other);
    ck_assert_uint_eq(t.runs, 0);
    ck_assert(loop_iterate(t.loop, true));
    ck_assert_uint_eq(t.runs, 1);
    ck_assert_uint_eq(t.other_runs, 1);
    loop_bh_schedule(t.bh);
    loop_bh_cancel(t.bh);
    drain(t.loop);
    ck_assert_uint_eq(t.runs, 1);
    bh_test_finish(&t);
}
END_TEST

START_TEST(a_bottom_half_that_schedules_itself_lets_the_round_end)
{
    BhTest t;

    bh_test_init(&t);
    t.again = true;
    loop_bh_schedule(t.bh);
    for (unsigned i = 1; i <= 5; i++) {
        ck_assert(loop_iterate(t.loop, true));
        ck_assert_uint_eq(t.runs, 2 * i); /* what it schedules has one turn more in the round */
    }
    bh_test_finish(&t);
}
END_TEST

START_TEST(a_bottom_half_may_free_itself_and_another)
{
    BhTest t;

    bh_test_init(&t);
    t.drop = true;
    loop_bh_schedule(t.bh);
    loop_bh_schedule(t.other);
    drain(t.loop);
    ck_assert_uint_eq(t.runs, 1);
    ck_assert_uint_eq(t.other_runs, 0);
    bh_test_finish(&t);
}
END_TEST

static void *schedule_later(void *opaque)
{
    g_usleep(20000);
    loop_bh_schedule(opaque);
    return NULL;
}

START_TEST(a_sleeping_loop_notices_a_bottom_half_of_another_thread)
{
    BhTest t;
    pthread_t thread;

    bh_test_init(&t);
    ck_assert_int_eq(pthread_create(&thread, NULL, schedule_later, t.bh), 0);
    while (t.runs == 0) {
        loop_iterate(t.loop, true);
    }
    pthread_join(thread, NULL);
    bh_test_finish(&t);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loop");
    TCase *tc = tcase_create("loop");

    suite_add_tcase(s, tc);
    tcase_add_test(tc, a_descriptor_calls_back_for_the_events_it_asked_for);
    tcase_add_test(tc, an_edge_source_calls_once_for_each_write_that_nobody_reads);
    tcase_add_test(tc, a_callback_may_free_its_own_source_and_another);
    tcase_add_test(tc, what_epoll_refuses_is_always_ready);
    tcase_add_test(tc, quit_is_remembered_by_a_loop_that_does_not_run_yet);
    tcase_add_test(tc, work_that_was_not_run_is_dropped_with_the_loop);
    tcase_add_test(tc, posted_work_runs_in_order_under_the_lock);
    tcase_add_test(tc, another_thread_may_free_sources_under_the_lock);
    tcase_add_test(tc, a_sleeping_loop_notices_a_timer_of_another_thread);
    tcase_add_test(tc, timers_fire_once_and_never_early);
    tcase_add_test(tc, timers_of_a_running_clock_fire_in_order);
    tcase_add_test(tc, a_stopped_clock_stands_and_so_do_its_timers);
    tcase_add_test(tc, a_manual_clock_runs_timers_in_order_each_at_its_time);
    tcase_add_test(tc, a_timer_may_free_itself_and_others_that_are_due);
    tcase_add_test(tc, a_call_runs_on_the_iothread_and_is_waited_for);
    tcase_add_test(tc, with_the_lock_of_an_iothread_no_callback_is_under_way);
    tcase_add_test(tc, an_iothread_can_be_freed_before_it_got_to_run);
    tcase_add_test(tc, a_bottom_half_runs_once_however_often_it_was_scheduled);
    tcase_add_test(tc, a_bottom_half_that_schedules_itself_lets_the_round_end);
    tcase_add_test(tc, a_bottom_half_may_free_itself_and_another);
    tcase_add_test(tc, a_sleeping_loop_notices_a_bottom_half_of_another_thread);
    return suite_run(s);
}
