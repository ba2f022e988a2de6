/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Latencies of the recent past, see the header.
 */
#include "backends/block-timed.h"

typedef struct {
    int64_t ends; /* ns; it began an interval before */
    uint64_t min, max, sum, n;
} Window;

enum { READS, WRITES, FLUSHES, KINDS, WINDOWS = 2 };

struct BlockTimed {
    int64_t length;       /* ns */
    pthread_mutex_t lock; /* guards what follows */
    Window window[KINDS][WINDOWS];
};

static const int64_t second = 1000000000;

BlockTimed *block_timed_new(uint32_t seconds, int64_t now)
{
    BlockTimed *t = g_new0(BlockTimed, 1);

    t->length = seconds * second;
    pthread_mutex_init(&t->lock, NULL);
    for (unsigned k = 0; k < KINDS; k++) {
        t->window[k][0].ends = now + t->length;
        t->window[k][1].ends = now + t->length + t->length / 2;
    }
    return t;
}

void block_timed_free(BlockTimed *t)
{
    if (t) {
        pthread_mutex_destroy(&t->lock);
        g_free(t);
    }
}

uint32_t block_timed_seconds(const BlockTimed *t)
{
    return (uint32_t)(t->length / second);
}

/* Windows that are over begin anew. */
static void roll(BlockTimed *t, Window *w, int64_t now)
{
    if (now >= w->ends) {
        *w = (Window){.ends = w->ends + ((now - w->ends) / t->length + 1) * t->length};
    }
}

/* The windows of an operation; NULL: it is not counted. */
static Window *windows_of(BlockTimed *t, BlockOp op, int64_t now)
{
    Window *w = op == BLOCK_READ                                ? t->window[READS]
                : op == BLOCK_WRITE || op == BLOCK_WRITE_ZEROES ? t->window[WRITES]
                : op == BLOCK_FLUSH                             ? t->window[FLUSHES]
                                                                : NULL;

    for (unsigned i = 0; w && i < WINDOWS; i++) {
        roll(t, &w[i], now);
    }
    return w;
}

void block_timed_count(BlockTimed *t, BlockOp op, int64_t now, uint64_t ns)
{
    Window *w;

    pthread_mutex_lock(&t->lock);
    w = windows_of(t, op, now);
    for (unsigned i = 0; w && i < WINDOWS; i++) {
        w[i].min = w[i].n > 0 ? MIN(w[i].min, ns) : ns;
        w[i].max = MAX(w[i].max, ns);
        w[i].sum += ns;
        w[i].n++;
    }
    pthread_mutex_unlock(&t->lock);
}

void block_timed_sum(BlockTimed *t, BlockOp op, int64_t now, BlockTimedSum *ret_sum)
{
    const Window *w;
    int64_t age;

    *ret_sum = (BlockTimedSum){.min = 0};
    pthread_mutex_lock(&t->lock);
    w = windows_of(t, op, now);
    if (w) {
        w = w[0].ends < w[1].ends ? &w[0] : &w[1];
        age = now - (w->ends - t->length);
        *ret_sum = (BlockTimedSum){
            .min = w->min,
            .max = w->max,
            .avg = w->n > 0 ? w->sum / w->n : 0,
            .depth = age > 0 ? (double)w->sum / (double)age : 0,
        };
    }
    pthread_mutex_unlock(&t->lock);
}
