/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Iothreads: a thread that runs an event loop of its own, with a lock of its own instead of the VM
 * lock.
 */
#include "core/loop.h"

#include <semaphore.h>
#include <signal.h>
#include <unistd.h>

#include "core/thread-stack.h"

struct IoThread {
    EventLoop *loop;
    pthread_t thread;
    pthread_mutex_t lock; /* held in callbacks */
    sem_t started;        /* id is there */
    pid_t id;
};

static void *iothread_main(void *opaque)
{
    IoThread *t = opaque;

    thread_stack_register();
    t->id = gettid();
    sem_post(&t->started);
    loop_run(t->loop);
    return NULL;
}

IoThread *iothread_new(const char *name, GError **err)
{
    g_autofree char *short_name = g_strndup(name, 15); /* the kernel's limit */
    IoThread *t = g_new0(IoThread, 1);
    sigset_t all, old;
    int rc;

    pthread_mutex_init(&t->lock, NULL);
    sem_init(&t->started, 0, 0);
    t->loop = loop_new(&t->lock);
    /* Signals are the main thread's: the new thread starts with all of them blocked. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&t->thread, NULL, iothread_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        error_set_errno(err, rc, "cannot start iothread '%s'", name);
        loop_free(t->loop);
        pthread_mutex_destroy(&t->lock);
        sem_destroy(&t->started);
        g_free(t);
        return NULL;
    }
    while (sem_wait(&t->started) < 0) { /* a signal came */
    }
    pthread_setname_np(t->thread, short_name);
    return t;
}

EventLoop *iothread_loop(IoThread *t)
{
    return t->loop;
}

int iothread_id(const IoThread *t)
{
    return t->id;
}

void iothread_free(IoThread *t)
{
    if (!t) {
        return;
    }
    loop_quit(t->loop);
    pthread_join(t->thread, NULL);
    loop_free(t->loop);
    pthread_mutex_destroy(&t->lock);
    sem_destroy(&t->started);
    g_free(t);
}

void iothread_lock(IoThread *t)
{
    loop_want_lock(t->loop, 1);
    pthread_mutex_lock(&t->lock);
    loop_want_lock(t->loop, -1);
}

void iothread_unlock(IoThread *t)
{
    pthread_mutex_unlock(&t->lock);
}

typedef struct {
    void (*fn)(void *opaque);
    void *opaque;
    pthread_mutex_t lock; /* guards done */
    pthread_cond_t changed;
    bool done;
} Call;

static void call_run(void *opaque)
{
    Call *call = opaque;

    call->fn(call->opaque);
    pthread_mutex_lock(&call->lock);
    call->done = true;
    pthread_cond_signal(&call->changed);
    pthread_mutex_unlock(&call->lock);
}

void iothread_call(IoThread *t, void (*fn)(void *opaque), void *opaque)
{
    Call call = {.fn = fn, .opaque = opaque};

    g_assert(!loop_in_thread(t->loop));
    pthread_mutex_init(&call.lock, NULL);
    pthread_cond_init(&call.changed, NULL);
    loop_post(t->loop, call_run, &call);
    pthread_mutex_lock(&call.lock);
    while (!call.done) {
        pthread_cond_wait(&call.changed, &call.lock);
    }
    pthread_mutex_unlock(&call.lock);
    pthread_cond_destroy(&call.changed);
    pthread_mutex_destroy(&call.lock);
}
