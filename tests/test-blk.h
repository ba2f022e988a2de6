/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of test-blk share: a virtio-blk device on a disk in memory, with a driver that sends requests.
 */
#ifndef AEROSTAT_TESTS_TEST_BLK_H
#define AEROSTAT_TESTS_TEST_BLK_H

#include <check.h>
#include <linux/virtio_blk.h>

#include "tests/driver/fake-block.h"
#include "tests/driver/fake-driver.h"

enum { SECTOR = 512, DISK = 1 << 20, NO_STATUS = 0xee };
enum { FLUSH_OUT = 5, GET_LIFETIME = 10, SECURE_ERASE = 14 }; /* types */
enum { F_LIFETIME = 15, F_SECURE_ERASE = 16 };                /* features */

/* Offsets in configuration space. */
enum {
    CFG_CAPACITY = 0, CFG_SIZE_MAX = 8, CFG_SEG_MAX = 12, CFG_CYLINDERS = 16, CFG_HEADS = 18, CFG_SECTORS = 19, CFG_BLK_SIZE = 20,
    CFG_PHYSICAL_EXP = 24, CFG_MIN_IO = 26, CFG_OPT_IO = 28, CFG_WRITEBACK = 32, CFG_UNUSED0 = 33, CFG_NUM_QUEUES = 34,
    CFG_MAX_DISCARD = 36, CFG_MAX_DISCARD_SEG = 40, CFG_DISCARD_ALIGN = 44, CFG_MAX_ZEROES = 48, CFG_MAX_ZEROES_SEG = 52,
    CFG_MAY_UNMAP = 56, CFG_UNUSED1 = 57, CFG_MAX_ERASE = 60, CFG_MAX_ERASE_SEG = 64, CFG_ERASE_ALIGN = 68, CFG_ZONED = 72, CFG_END = 96,
};

#define FEATURE(n) (UINT64_C(1) << (n))

/* Where a request's parts are. */
typedef struct {
    unsigned q;
    uint16_t head;
    Gpa data, status;
} BlkIo;

/* A disk "disk0" (options as for fake_block_new) and a device on it, the driver up. *ret_b may be NULL. */
FakeDriver *blk_start(unsigned cell, const char *options, const char *props, FakeBlock **ret_b);
/* The same, only found. */
FakeDriver *blk_probe(unsigned cell, const char *options, const char *props, FakeBlock **ret_b);
/* On the node that JSON options make, named "disk0", found (' for " will do). */
FakeDriver *blk_probe_node(unsigned cell, const char *options, const char *props);
/* Negotiates what is offered but for those features, and starts. */
void blk_up_without(FakeDriver *d, uint64_t features);
bool blk_offers(FakeDriver *d, unsigned bit);
uint64_t blk_config(FakeDriver *d, unsigned off, unsigned size);

/* The header of 16 bytes; valid until the next call. */
const void *blk_header(uint32_t type, uint64_t sector);
/* Makes a request available: header, out_len bytes to the device, in_len from it, status. No kick. */
BlkIo blk_add(FakeDriver *d, unsigned q, uint32_t type, uint64_t sector, const void *out, uint32_t out_len,
              uint32_t in_len);
uint8_t blk_status(FakeDriver *d, const BlkIo *io);
/* The next used one must be io; returns its status. */
uint8_t blk_take(FakeDriver *d, const BlkIo *io, uint32_t *ret_len);
void blk_take_any(FakeDriver *d, unsigned q, unsigned n); /* n are used, in whatever order */
/* Adds, kicks, and takes the answer. */
uint8_t blk_do(FakeDriver *d, uint32_t type, uint64_t sector, const void *out, uint32_t out_len, uint32_t in_len);
uint8_t blk_read(FakeDriver *d, uint64_t sector, void *dst, uint32_t len);
uint8_t blk_write(FakeDriver *d, uint64_t sector, const void *src, uint32_t len);

typedef struct {
    uint64_t sector;
    uint32_t sectors, flags;
} BlkTestRange;
uint8_t blk_ranges(FakeDriver *d, uint32_t type, const BlkTestRange *ranges, unsigned n);

/* Memory for buffers begins anew. */
void blk_recycle(FakeDriver *d);

void add_blk_config_tests(Suite *s);
void add_blk_bad_tests(Suite *s);
void add_blk_flight_tests(Suite *s);
void add_blk_error_tests(Suite *s);

#endif
