/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Throttle groups: limits on requests and bytes per second that any number of queues share. A group is an object
 * ("throttle-group", by -object or for -drive's throttling.*); a member holds back what one queue is not allowed yet.
 *
 * Each limit is a bucket that requests fill and that leaks at the average rate; a request may pass while its buckets are
 * not over the brim. The brim is a tenth of a second's worth or, with NAME-max, a burst of NAME-max per second for
 * NAME-max-length seconds.
 *
 * Threads: limits change on the main loop, members are used on their queue's thread; the group's lock is inside.
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_THROTTLE_H
#define AEROSTAT_BACKENDS_BLOCK_THROTTLE_H

#include "backends/block-impl.h"

OBJECT_DECLARE(ThrottleGroup, throttle_group, THROTTLE_GROUP)

enum {
    THROTTLE_BPS_TOTAL,
    THROTTLE_BPS_READ,
    THROTTLE_BPS_WRITE,
    THROTTLE_IOPS_TOTAL,
    THROTTLE_IOPS_READ,
    THROTTLE_IOPS_WRITE,
    THROTTLE_BUCKETS,
};

typedef struct {
    struct {
        uint64_t avg, max, length; /* per second; 0: no limit, no burst. Seconds; 0 is 1 */
    } bucket[THROTTLE_BUCKETS];
    uint64_t iops_size;           /* a larger request counts as several; 0: as one */
} ThrottleLimits;

/* One line for what makes no sense; the group keeps what it had. */
bool throttle_group_set(ThrottleGroup *g, const ThrottleLimits *limits, GError **err);
void throttle_group_get(const ThrottleGroup *g, ThrottleLimits *ret_limits);
/* For tests: a manual clock, before there are members. Borrowed. */
void throttle_group_use_clock(ThrottleGroup *g, Clock *clock);

/* The group of that id below root: made by -object, or by throttle_group_make; NULL: none. */
ThrottleGroup *throttle_group_find(Object *root, const char *id);
ThrottleGroup *throttle_group_make(Object *root, const char *id); /* the present one, or a new one without limits */

/* The place of "iops-total", "bps-read-max-length", "iops-size", ... in l; NULL: no such limit. */
uint64_t *throttle_limit_named(ThrottleLimits *l, const char *name);
/* Adds what query-block shows of a group: bps, iops_rd, ..., group. NULL: no limits. */
void throttle_describe(const ThrottleGroup *g, json_t *info);
/* All queues of the node's users join the group, or leave theirs (NULL). Main loop. */
void block_node_set_throttle(BlockNode *n, ThrottleGroup *g);

/* --- members, for block.c --- */
typedef struct BlockThrottle BlockThrottle;

BlockThrottle *block_throttle_new(BlockQueue *q, ThrottleGroup *g);
void block_throttle_free(BlockThrottle *t); /* holds nothing; NULL is fine */
/* True: go on. False: it is kept; block_throttled_start comes when its time has come. */
bool block_throttle_admit(BlockThrottle *t, BlockRequest *req);
bool block_throttle_cancel(BlockThrottle *t, BlockRequest *req); /* true: it was kept, and is forgotten */
bool block_throttle_release(BlockThrottle *t); /* starts all that is kept; false: nothing was */
void block_throttled_start(BlockRequest *req); /* in block.c */

#endif
