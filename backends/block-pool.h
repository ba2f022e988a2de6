/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Worker threads for what has no asynchronous system call, or where io_uring is not permitted. A pool belongs to one
 * queue; threads are started as they are needed and end with the pool.
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_POOL_H
#define AEROSTAT_BACKENDS_BLOCK_POOL_H

#include "backends/block-impl.h"

typedef struct BlockPool BlockPool;

enum { BLOCK_POOL_THREADS = 16 };

/* run: on a worker, leaves its result in the request's scratch. done: on q's loop, also from block_pool_poll. */
BlockPool *block_pool_new(BlockQueue *q, void (*run)(BlockRequest *req, void *opaque),
                          void (*done)(BlockRequest *req, void *opaque), void *opaque, GError **err);
void block_pool_free(BlockPool *p); /* nothing is in it; NULL is fine */

void block_pool_push(BlockPool *p, BlockRequest *req); /* uses req->next */
bool block_pool_cancel(BlockPool *p, BlockRequest *req); /* true: no worker has begun it, and none will */
unsigned block_pool_in_flight(const BlockPool *p);
/* Calls done for what is ready; wait: blocks for it unless nothing is in the pool. False: there was nothing. */
bool block_pool_poll(BlockPool *p, bool wait);

#endif
