/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worker threads of a block queue. Requests wait in one list and come back in another; an eventfd
 * wakes the loop when the second begins to fill.
 */
#include "backends/block-pool.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/thread-stack.h"

typedef struct {
    BlockRequest *first, **tail;
} List;

struct BlockPool {
    BlockQueue *q;
    void (*run)(BlockRequest *req, void *opaque);
    void (*done)(BlockRequest *req, void *opaque);
    void *opaque;
    int fd; /* eventfd: `finished` is no longer empty */
    LoopFd *source;
    unsigned in_flight; /* the queue's thread */
    GArray *threads;    /* of pthread_t; the queue's thread */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t work, ready;
    List waiting, finished;
    atomic_bool any_finished; /* changed with the lock */
    unsigned idle;
    bool quit;
};

static void list_init(List *l)
{
    l->first = NULL;
    l->tail = &l->first;
}

static void list_push(List *l, BlockRequest *req)
{
    req->next = NULL;
    *l->tail = req;
    l->tail = &req->next;
}

static BlockRequest *list_pop(List *l)
{
    BlockRequest *req = l->first;

    if (req && !(l->first = req->next)) {
        l->tail = &l->first;
    }
    return req;
}

/* --- workers --- */

static void tell_loop(BlockPool *p)
{
    uint64_t one = 1;

    while (write(p->fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
}

static void *worker(void *opaque)
{
    BlockPool *p = opaque;
    BlockRequest *req;

    thread_stack_register();
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (!(req = list_pop(&p->waiting)) && !p->quit) {
            p->idle++;
            pthread_cond_wait(&p->work, &p->lock);
            p->idle--;
        }
        if (!req) {
            break;
        }
        pthread_mutex_unlock(&p->lock);
        p->run(req, p->opaque);
        pthread_mutex_lock(&p->lock);
        if (!p->finished.first) {
            tell_loop(p);
            pthread_cond_signal(&p->ready);
        }
        list_push(&p->finished, req);
        atomic_store(&p->any_finished, true);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

/* Signals are the main thread's. */
static bool start_worker(BlockPool *p)
{
    sigset_t all, old;
    pthread_t thread;
    int rc;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rc = pthread_create(&thread, NULL, worker, p);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc == 0) {
        pthread_setname_np(thread, "block worker");
        g_array_append_val(p->threads, thread);
    }
    return rc == 0;
}

/* --- the queue's side --- */

static BlockRequest *take_finished(BlockPool *p, bool wait)
{
    BlockRequest *list;

    pthread_mutex_lock(&p->lock);
    while (wait && !p->finished.first) {
        pthread_cond_wait(&p->ready, &p->lock);
    }
    list = p->finished.first;
    list_init(&p->finished);
    atomic_store(&p->any_finished, false);
    pthread_mutex_unlock(&p->lock);
    return list;
}

bool block_pool_poll(BlockPool *p, bool wait)
{
    BlockRequest *req = take_finished(p, wait && p->in_flight > 0), *next;
    bool any = req != NULL;

    block_plug(p->q);
    for (; req; req = next) {
        next = req->next;
        p->in_flight--;
        p->done(req, p->opaque);
    }
    block_unplug(p->q);
    return any;
}

static void on_ready(void *opaque, unsigned events)
{
    block_pool_poll(opaque, false);
}

static bool pool_ready(void *opaque)
{
    return atomic_load(&((BlockPool *)opaque)->any_finished);
}

static const LoopPollOps pool_poll = {.ready = pool_ready};

BlockPool *block_pool_new(BlockQueue *q, void (*run)(BlockRequest *req, void *opaque),
                          void (*done)(BlockRequest *req, void *opaque), void *opaque, GError **err)
{
    BlockPool *p = g_new0(BlockPool, 1);

    *p = (BlockPool){.q = q, .run = run, .done = done, .opaque = opaque};
    p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    p->threads = g_array_new(FALSE, FALSE, sizeof(pthread_t));
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->work, NULL);
    pthread_cond_init(&p->ready, NULL);
    list_init(&p->waiting);
    list_init(&p->finished);
    /* One at least: with a single thread the queue is slow, without any it would hang. */
    if (p->fd < 0 || !start_worker(p)) {
        error_set(err, "the host has no resources for worker threads");
        block_pool_free(p);
        return NULL;
    }
    p->source = loop_fd_new(q->loop, p->fd, LOOP_READ | LOOP_EDGE, on_ready, p);
    loop_fd_set_poll(p->source, &pool_poll);
    return p;
}

void block_pool_free(BlockPool *p)
{
    if (!p) {
        return;
    }
    g_assert(p->in_flight == 0);
    loop_fd_free(p->source);
    pthread_mutex_lock(&p->lock);
    p->quit = true;
    pthread_cond_broadcast(&p->work);
    pthread_mutex_unlock(&p->lock);
    for (unsigned i = 0; i < p->threads->len; i++) {
        pthread_join(g_array_index(p->threads, pthread_t, i), NULL);
    }
    g_array_free(p->threads, TRUE);
    if (p->fd >= 0) {
        close(p->fd);
    }
    pthread_mutex_destroy(&p->lock);
    pthread_cond_destroy(&p->work);
    pthread_cond_destroy(&p->ready);
    g_free(p);
}

void block_pool_push(BlockPool *p, BlockRequest *req)
{
    bool more;

    pthread_mutex_lock(&p->lock);
    list_push(&p->waiting, req);
    more = p->idle == 0;
    pthread_cond_signal(&p->work);
    pthread_mutex_unlock(&p->lock);
    p->in_flight++;
    if (more && p->threads->len < MIN(BLOCK_POOL_THREADS, p->in_flight)) {
        start_worker(p); /* without it, those that run take the request later */
    }
}

bool block_pool_cancel(BlockPool *p, BlockRequest *req)
{
    bool found = false;

    pthread_mutex_lock(&p->lock);
    for (BlockRequest **at = &p->waiting.first; *at && !found; at = &(*at)->next) {
        if (*at == req) {
            *at = req->next;
            if (p->waiting.tail == &req->next) {
                p->waiting.tail = at;
            }
            found = true;
            break;
        }
    }
    pthread_mutex_unlock(&p->lock);
    p->in_flight -= found;
    return found;
}

unsigned block_pool_in_flight(const BlockPool *p)
{
    return p->in_flight;
}
