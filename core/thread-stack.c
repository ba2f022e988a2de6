/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A list of the threads that have registered, each of which leaves it by the destructor of a key.
 */
#include "core/thread-stack.h"

#include <glib.h>
#include <pthread.h>

typedef struct Stack Stack;
struct Stack {
    pthread_t thread;
    void *start;
    size_t size;
    Stack *next; /* stacks */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static Stack *stacks;

static void forget(void *opaque)
{
    Stack **at = &stacks;

    pthread_mutex_lock(&lock);
    while (*at != opaque) {
        at = &(*at)->next;
    }
    *at = (*at)->next;
    pthread_mutex_unlock(&lock);
    g_free(opaque);
}

static void make_key(void)
{
    pthread_key_create(&key, forget);
}

void thread_stack_register(void)
{
    Stack *s = g_new0(Stack, 1);
    pthread_attr_t attr;

    pthread_once(&once, make_key);
    s->thread = pthread_self();
    if (pthread_getattr_np(s->thread, &attr) == 0) {
        pthread_attr_getstack(&attr, &s->start, &s->size);
        pthread_attr_destroy(&attr);
    }
    pthread_mutex_lock(&lock);
    s->next = stacks;
    stacks = s;
    pthread_mutex_unlock(&lock);
    pthread_setspecific(key, s);
}

void thread_stack_foreach(void (*fn)(void *opaque, const char *name, const void *start,
                                     size_t size),
                          void *opaque)
{
    pthread_mutex_lock(&lock);
    for (Stack *s = stacks; s; s = s->next) {
        char name[16] = "";

        pthread_getname_np(s->thread, name, sizeof name);
        fn(opaque, name, s->start, s->size);
    }
    pthread_mutex_unlock(&lock);
}
