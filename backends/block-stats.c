/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is counted of the requests of a user: totals, latencies in histograms and over intervals,
 * and the last error that stopped the VM.
 */
#include "backends/block-impl.h"

#include <errno.h>

#include "backends/block-timed.h"

static void histogram_count(BlockHistogram *h, uint64_t ns)
{
    unsigned bin = 0;

    while (bin < h->n && ns >= h->boundaries[bin]) {
        bin++;
    }
    __atomic_fetch_add(&h->bins[bin], 1, __ATOMIC_RELAXED); /* queues share it */
}

void block_account_latency(BlockQueue *q, BlockOp op, int64_t now, uint64_t ns)
{
    BlockUser *u = q->user;

    if (u->hist[op].n) {
        histogram_count(&u->hist[op], ns);
    }
    for (unsigned i = 0; u->timed && i < u->timed->len; i++) {
        block_timed_count(u->timed->pdata[i], op, now, ns);
    }
}

void block_account_invalid(BlockQueue *q, BlockOp op)
{
    block_count(&q->stats.invalid[op], 1);
    __atomic_store_n(&q->last_access, block_now(q), __ATOMIC_RELAXED);
}

void block_account_merged(BlockQueue *q, BlockOp op, unsigned n)
{
    block_count(&q->stats.merged[op], n);
}

void block_stats_add(BlockStats *sum, const BlockStats *s)
{
    const uint64_t *from = (const uint64_t *)s;
    uint64_t *to = (uint64_t *)sum;

    for (unsigned i = 0; i < sizeof *s / sizeof *to; i++) {
        to[i] += __atomic_load_n(&from[i], __ATOMIC_RELAXED);
    }
}

void block_stats(const BlockUser *u, BlockStats *ret_stats)
{
    BlockUser *user = (BlockUser *)u;

    pthread_mutex_lock(&user->lock);
    *ret_stats = user->past;
    for (unsigned i = 0; i < user->queues->len; i++) {
        block_stats_add(ret_stats, &((BlockQueue *)user->queues->pdata[i])->stats);
    }
    pthread_mutex_unlock(&user->lock);
}

uint64_t block_highest_write(const BlockUser *u)
{
    BlockUser *user = (BlockUser *)u;
    uint64_t highest;

    pthread_mutex_lock(&user->lock);
    highest = user->past_highest;
    for (unsigned i = 0; i < user->queues->len; i++) {
        const BlockQueue *q = user->queues->pdata[i];

        highest = MAX(highest, __atomic_load_n(&q->highest_write, __ATOMIC_RELAXED));
    }
    pthread_mutex_unlock(&user->lock);
    return highest;
}

int64_t block_idle_ns(const BlockUser *u)
{
    BlockUser *user = (BlockUser *)u;
    int64_t last;

    pthread_mutex_lock(&user->lock);
    last = user->past_access;
    for (unsigned i = 0; i < user->queues->len; i++) {
        const BlockQueue *q = user->queues->pdata[i];

        last = MAX(last, __atomic_load_n(&q->last_access, __ATOMIC_RELAXED));
    }
    pthread_mutex_unlock(&user->lock);
    return last ? MAX(block_monotonic_ns() - last, 0) : -1;
}

static void latencies_wanted(BlockUser *u)
{
    u->latencies = u->timed != NULL;
    for (unsigned op = 0; op < BLOCK_OPS; op++) {
        u->latencies |= u->hist[op].n > 0;
    }
}

bool block_set_intervals(BlockUser *u, json_t *list, GError **err)
{
    enum { INTERVALS_MAX = 16 };
    int64_t now = block_monotonic_ns();
    json_t *seconds;
    size_t i;

    g_assert(u->queues->len == 0);
    g_clear_pointer(&u->timed, g_ptr_array_unref);
    if (!json_is_array(list) || json_array_size(list) > INTERVALS_MAX) {
        return error_set(err, "stats-intervals must be a list of up to %d numbers of seconds",
                         INTERVALS_MAX);
    }
    json_array_foreach(list, i, seconds)
    {
        json_int_t n = json_integer_value(seconds);

        if (n <= 0 || n > UINT32_MAX) {
            return error_set(err, "stats-intervals: each must be between 1 and %u seconds",
                             UINT32_MAX);
        }
        u->timed = u->timed ?: g_ptr_array_new_with_free_func((GDestroyNotify)block_timed_free);
        g_ptr_array_add(u->timed, block_timed_new((uint32_t)n, now));
    }
    latencies_wanted(u);
    return true;
}

static json_t *describe_interval(BlockTimed *t, int64_t now)
{
    static const struct {
        BlockOp op;
        const char *name;
        bool depth;
    } kinds[] = {
        {BLOCK_READ, "rd", true}, {BLOCK_WRITE, "wr", true}, {BLOCK_FLUSH, "flush", false}};
    json_t *all = json_pack("{s:I}", "interval_length", (json_int_t)block_timed_seconds(t));

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *min = g_strdup_printf("min_%s_latency_ns", kinds[i].name);
        g_autofree char *max = g_strdup_printf("max_%s_latency_ns", kinds[i].name);
        g_autofree char *avg = g_strdup_printf("avg_%s_latency_ns", kinds[i].name);
        g_autofree char *depth = g_strdup_printf("avg_%s_queue_depth", kinds[i].name);
        BlockTimedSum sum;

        block_timed_sum(t, kinds[i].op, now, &sum);
        json_object_set_new(all, min, json_integer((json_int_t)sum.min));
        json_object_set_new(all, max, json_integer((json_int_t)sum.max));
        json_object_set_new(all, avg, json_integer((json_int_t)sum.avg));
        if (kinds[i].depth) {
            json_object_set_new(all, depth, json_real(sum.depth));
        }
    }
    return all;
}

json_t *block_timed_stats(const BlockUser *u)
{
    json_t *list = json_array();

    for (unsigned i = 0; u->timed && i < u->timed->len; i++) {
        json_array_append_new(list, describe_interval(u->timed->pdata[i], block_monotonic_ns()));
    }
    return list;
}

BlockIoStatus block_io_status(const BlockUser *u)
{
    return (BlockIoStatus)__atomic_load_n(&u->io_status, __ATOMIC_RELAXED);
}

void block_io_status_begin(BlockUser *u)
{
    __atomic_store_n(&u->io_status, BLOCK_IO_STATUS_OK, __ATOMIC_RELAXED);
}

void block_io_status_failed(BlockUser *u, int ret)
{
    int ok = BLOCK_IO_STATUS_OK;

    __atomic_compare_exchange_n(&u->io_status, &ok,
                                ret == -ENOSPC ? BLOCK_IO_STATUS_NOSPACE : BLOCK_IO_STATUS_FAILED,
                                false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* --- histograms --- */

bool block_histogram_set(BlockUser *u, BlockOp op, const uint64_t *boundaries, unsigned n)
{
    BlockHistogram *h = &u->hist[op];

    for (unsigned i = 0; i < n; i++) {
        if (boundaries[i] == 0 || (i > 0 && boundaries[i] <= boundaries[i - 1])) {
            return false;
        }
    }
    block_node_quiesce(u->node, true);
    g_free(h->boundaries);
    g_free(h->bins);
    *h = (BlockHistogram){.n = n};
    if (n > 0) {
        h->boundaries = g_memdup2(boundaries, n * sizeof *boundaries);
        h->bins = g_new0(uint64_t, n + 1);
    }
    latencies_wanted(u);
    block_node_quiesce(u->node, false);
    return true;
}

unsigned block_histogram(const BlockUser *u, BlockOp op, const uint64_t **ret_boundaries,
                         const uint64_t **ret_bins)
{
    *ret_boundaries = u->hist[op].boundaries;
    *ret_bins = u->hist[op].bins;
    return u->hist[op].n;
}

void block_stats_finish(BlockUser *u)
{
    for (unsigned op = 0; op < BLOCK_OPS; op++) {
        g_free(u->hist[op].boundaries);
        g_free(u->hist[op].bins);
    }
    g_clear_pointer(&u->timed, g_ptr_array_unref);
}
