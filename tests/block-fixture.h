/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the suites of block backends: a loop, a tree, a scratch directory, and a disk: a node with a user and a
 * queue on it.
 */
#ifndef AEROSTAT_TESTS_BLOCK_FIXTURE_H
#define AEROSTAT_TESTS_BLOCK_FIXTURE_H

#include <check.h>

#include "backends/block.h"

extern EventLoop *loop;
extern Object *root;
extern char *dir;

void block_setup(void);
void block_teardown(void);

/* opts is JSON, which may have ' for ", and %s and so on. */
BlockNode *node_add(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void node_add_fails(const char *message, const char *fmt, ...) G_GNUC_PRINTF(2, 3); /* one line with message in it */

typedef struct {
    BlockNode *node;
    BlockUser *user;
    BlockQueue *q;
    unsigned resized;
} Disk;

void disk_open(Disk *d, BlockNode *node, bool writes); /* on loop */
void disk_open_on(Disk *d, BlockNode *node, bool writes, EventLoop *on);
void disk_close(Disk *d);

/* A request that is waited for. */
typedef struct {
    BlockRequest req; /* first */
    struct iovec iov[4];
    int ret;
    unsigned done;    /* times */
} Io;

void io_init(Io *io, BlockOp op, uint64_t offset, void *buf, size_t len);
void io_wait(Disk *d, Io *io);                                      /* runs the loop */
int disk_io(Disk *d, BlockOp op, uint64_t offset, void *buf, size_t len); /* submits and waits */
void loop_until_done(Disk *d, const unsigned *count, unsigned wanted);

char *path_of(const char *name);          /* in dir */
char *make_file(const char *name, uint64_t size); /* its path; all zeroes */
void expect_bytes(const uint8_t *buf, int byte, size_t len);

TCase *block_case(Suite *suite, const char *name);

#endif
