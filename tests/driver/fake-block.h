/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A block node for tests, driver "fake": a disk in memory whose requests the test may hold back, let go one by one, or fail,
 * with a second copy that shows what is on stable storage. Reads and writes touch memory when they are let go.
 */
#ifndef AEROSTAT_TESTS_DRIVER_FAKE_BLOCK_H
#define AEROSTAT_TESTS_DRIVER_FAKE_BLOCK_H

#include "backends/block-impl.h"
#include "tests/driver/fake-machine.h"

enum { FAKE_BLOCK_SEEN = 4096 };

typedef struct {
    BlockOp op;
    unsigned flags;
    uint64_t offset, bytes;
    unsigned niov;
} FakeBlockSeen;

typedef struct {
    BlockNode parent_obj;
    uint64_t size;            /* property; the other limits: "alignment", "max-transfer", "max-discard", "max-zeroes", ... */
    uint64_t alignment, max_transfer, max_discard, max_zeroes, max_erase, discard_alignment, physical, opt_io;
    bool write_cache;         /* property, default on */
    bool lifetime;            /* property, default off: tells 1, 2, 3 */
    uint8_t *data, *stable;
    bool hold;                /* requests wait for fake_block_let_go */
    /* The next fail_count requests of fail_op (BLOCK_OPS: any) that touch [fail_at, fail_at + fail_len) end with it. */
    int fail_ret;
    BlockOp fail_op;
    unsigned fail_count;
    uint64_t fail_at, fail_len;
    /* what came, since fake_block_forget */
    FakeBlockSeen seen[FAKE_BLOCK_SEEN];
    unsigned n_seen, n_cancelled;
    GPtrArray *held;          /* of BlockRequest *, in order of coming */
} FakeBlock;

/* -blockdev driver=fake,node-name=NAME and options as JSON members ("size": 1048576), NULL: none; 1 MiB of zeroes. */
FakeBlock *fake_block_new(FakeMachine *m, const char *name, const char *options);
/* Carries out the held request n (in order of coming) and ends it; false: there is none. The loop has yet to run. */
bool fake_block_let_go(FakeBlock *b, unsigned n);
void fake_block_let_all_go(FakeBlock *b); /* and holds no longer */
void fake_block_fail(FakeBlock *b, BlockOp op, int ret, unsigned count);
void fake_block_forget(FakeBlock *b);
void fake_block_limits_changed(FakeBlock *b); /* after a change of parent_obj.limits: tells the users */

extern const TypeInfo fake_block_type;

#endif
