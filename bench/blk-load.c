// SPDX-License-Identifier: BSD-2-Clause
/*
 * The load of bench/blk-guest.sh, run in the guest: random 4 KiB requests with O_DIRECT by Linux
 * AIO, always DEPTH of them under way, for so many seconds.
 *
 *     blk-load DEVICE read|write DEPTH SECONDS
 *
 * prints "load requests=N ns=N".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, DEPTH_MAX = 128 };

static int64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

static void die(const char *what)
{
    printf("load %s: %s\n", what, strerror(errno));
    exit(1);
}

/* xorshift: the same places in every run. */
static uint64_t next_block(uint64_t *state, uint64_t blocks)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % blocks;
}

static void submit(aio_context_t ctx, struct iocb **list, long n)
{
    while (n > 0) {
        long done = syscall(SYS_io_submit, ctx, n, list);

        if (done < 0) {
            die("io_submit");
        }
        n -= done;
        list += done;
    }
}

int main(int argc, char **argv)
{
    static struct iocb cbs[DEPTH_MAX];
    struct iocb *list[DEPTH_MAX];
    struct io_event events[DEPTH_MAX];
    uint64_t size, state = 88172645463325252U, requests = 0;
    aio_context_t ctx = 0;
    void *memory;

    if (argc != 5) {
        printf("usage: blk-load DEVICE read|write DEPTH SECONDS\n");
        return 2;
    }
    long depth = strtol(argv[3], NULL, 10);
    int fd = open(argv[1], O_RDWR | O_DIRECT);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &size) < 0) {
        die(argv[1]);
    }
    if (depth < 1 || depth > DEPTH_MAX || size < BLOCK) {
        errno = EINVAL;
        die("arguments");
    }
    if (syscall(SYS_io_setup, depth, &ctx) < 0) {
        die("io_setup");
    }
    if (posix_memalign(&memory, BLOCK, (size_t)depth * BLOCK)) {
        die("memory");
    }
    memset(memory, 0x5a, (size_t)depth * BLOCK);
    for (long i = 0; i < depth; i++) {
        cbs[i].aio_fildes = (uint32_t)fd;
        cbs[i].aio_lio_opcode = strcmp(argv[2], "write") ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE;
        cbs[i].aio_buf = (uintptr_t)memory + (uintptr_t)i * BLOCK;
        cbs[i].aio_nbytes = BLOCK;
        cbs[i].aio_offset = (int64_t)next_block(&state, size / BLOCK) * BLOCK;
        list[i] = &cbs[i];
    }
    int64_t start = now_ns(), end = start + strtol(argv[4], NULL, 10) * INT64_C(1000000000);
    submit(ctx, list, depth);
    for (long under_way = depth; under_way > 0;) {
        long n = syscall(SYS_io_getevents, ctx, 1L, depth, events, NULL), again = 0;
        int late = now_ns() >= end;

        if (n < 0) {
            die("io_getevents");
        }
        for (long i = 0; i < n; i++) {
            struct iocb *cb = (struct iocb *)(uintptr_t)events[i].obj;

            if (events[i].res != BLOCK) {
                errno = EIO;
                die("request");
            }
            requests++;
            if (!late) {
                cb->aio_offset = (int64_t)next_block(&state, size / BLOCK) * BLOCK;
                list[again++] = cb;
            }
        }
        under_way += again - n;
        submit(ctx, list, again);
    }
    printf("load requests=%llu ns=%lld\n", (unsigned long long)requests,
           (long long)(now_ns() - start));
    return 0;
}
