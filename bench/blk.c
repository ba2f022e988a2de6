/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a 4 KiB request costs in virtio-blk and its node, without guest: random reads and writes at
 * depth 1, 32 and 128 over the null driver, a file in the page cache, and a file by O_DIRECT. The
 * driver's work is not measured: only the time from kick to used buffers.
 *
 *     bench-blk [FILE]                      table of requests per second and CPU time per request;
 *                                           FILE (made, 256 MiB) is /var/tmp/bench-blk.img by
 * default bench-blk NODE OP DEPTH N [FILE]      one case: null, cached or direct; read or write
 *
 * bench/blk-table.py runs single cases to count instructions (callgrind) and system calls (strace).
 */
#include <fcntl.h>
#include <inttypes.h>
#include <linux/virtio_blk.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "backends/block.h"
#include "core/le.h"
#include "tests/driver/fake-driver.h"

enum { REQUEST = 4096, DEPTH_MAX = 128, TABLE_REQUESTS = 200000, SLOT = 3 * 4096 };
#define FILE_SIZE (UINT64_C(256) << 20)
#define SLOTS_AT  UINT64_C(0x400000) /* of guest memory: data, header and status of each request */

static const char default_file[] = "/var/tmp/bench-blk.img";

typedef struct {
    const char *node, *file;
    bool write;
    unsigned depth;
} Case;

typedef struct {
    double wall, cpu; /* seconds between kick and used buffers */
    uint64_t requests;
} Result;

/* Off for single cases: a look at the CPU clock is a system call. */
static bool cpu_clock;

static double seconds(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool make_file(const char *path)
{
    static uint8_t block[1 << 20];
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    bool ok = fd >= 0;

    memset(block, 0x5a, sizeof block);
    if (ok && lseek(fd, 0, SEEK_END) < (off_t)FILE_SIZE) {
        for (uint64_t at = 0; ok && at < FILE_SIZE; at += sizeof block) {
            ok = pwrite(fd, block, sizeof block, (off_t)at) == sizeof block;
        }
        ok = ok && fsync(fd) == 0;
    }
    if (!ok) {
        perror(path);
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

static BlockNode *make_node(FakeMachine *m, const Case *c, GError **err)
{
    bool null = g_str_equal(c->node, "null");
    json_t *opts =
        json_pack("{s:s, s:s}", "node-name", "disk0", "driver", null ? "null-co" : "file");
    BlockNode *n;

    if (null) {
        json_object_set_new(opts, "size", json_integer((json_int_t)FILE_SIZE));
    } else {
        json_object_set_new(opts, "filename", json_string(c->file));
        json_object_set_new(opts, "aio", json_string("io_uring"));
        json_object_set_new(opts, "cache.direct", json_boolean(g_str_equal(c->node, "direct")));
    }
    n = block_node_add(m->p.root, m->p.loop, opts, err);
    json_decref(opts);
    return n;
}

/* A request with its memory in that slot is made available, at a random place. Returns its head. */
static uint16_t offer(FakeDriver *d, const Case *c, unsigned slot, GRand *r)
{
    uint64_t at = SLOTS_AT + (uint64_t)slot * SLOT;
    uint64_t block = g_rand_int(r) % (FILE_SIZE / REQUEST);
    FakePiece pieces[] = {{GPA(at + REQUEST), 16, false},
                          {GPA(at), REQUEST, !c->write},
                          {GPA(at + REQUEST + 64), 1, true}};

    fake_mem_put(d->m->p.mem, pieces[0].gpa, c->write ? VIRTIO_BLK_T_OUT : VIRTIO_BLK_T_IN, 8);
    fake_mem_put(d->m->p.mem, gpa_add(pieces[0].gpa, 8), block * (REQUEST / 512), 8);
    return fake_ring_add(&d->rings[0], pieces, G_N_ELEMENTS(pieces));
}

/* The measured part: kick, and the loop until something is used. */
static void serve(FakeDriver *d, Result *res)
{
    double wall = seconds(CLOCK_MONOTONIC);
    double cpu = cpu_clock ? seconds(CLOCK_PROCESS_CPUTIME_ID) : 0;
    uint16_t before = fake_ring_used_idx(&d->rings[0]);

    virtio_queue_notify(d->vdev, 0);
    while (fake_ring_used_idx(&d->rings[0]) == before && before != d->rings[0].avail_idx) {
        loop_iterate(d->m->p.loop, true);
    }
    res->cpu += cpu_clock ? seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu : 0;
    res->wall += seconds(CLOCK_MONOTONIC) - wall;
}

/* Keeps depth requests in flight until that many are done. */
static void drive(FakeDriver *d, const Case *c, uint64_t requests, Result *ret)
{
    GRand *r = g_rand_new_with_seed(1);
    unsigned slots[FAKE_RING_MAX];
    FakeRing *ring = &d->rings[0];

    for (unsigned slot = 0; slot < c->depth; slot++) {
        slots[offer(d, c, slot, r)] = slot;
    }
    while (ret->requests < requests) {
        unsigned idle[DEPTH_MAX], n = 0;
        uint16_t head;

        serve(d, ret);
        while (fake_driver_get(d, 0, &head, NULL)) {
            idle[n++] = slots[head];
        }
        ret->requests += n;
        while (n > 0) {
            n--;
            slots[offer(d, c, idle[n], r)] = idle[n];
        }
    }
    while (fake_ring_used_idx(ring) != ring->avail_idx) { /* none in flight at the end */
        serve(d, &(Result){0});
    }
    g_rand_free(r);
}

/* False with a line on stderr: the host cannot do that. */
static bool run(const Case *c, uint64_t requests, Result *ret)
{
    FakeMachine *m = fake_machine_new(0);
    g_autoptr(FakeDriver) d = NULL;
    g_autoptr(GError) err = NULL;

    type_register_list(block_types);
    if (!make_node(m, c, &err)) {
        fprintf(stderr, "bench-blk: %s: %s\n", c->node, err->message);
        fake_machine_free(m);
        return false;
    }
    d = fake_driver_probe_on(m, "virtio-blk", FAKE_EVENT_IDX | FAKE_INDIRECT, "drive=disk0");
    fake_driver_up(d);
    *ret = (Result){0};
    drive(d, c, requests, ret);
    return true;
}

static void table(const char *file)
{
    static const char *const nodes[] = {"null", "cached", "direct"};
    static const unsigned depths[] = {1, 32, 128};

    printf("%-8s %-6s %6s %12s %14s\n", "node", "op", "depth", "requests/s", "CPU ns/request");
    for (unsigned i = 0; i < G_N_ELEMENTS(nodes); i++) {
        for (unsigned k = 0; k < 2 * G_N_ELEMENTS(depths); k++) {
            Case c = {nodes[i], file, k >= G_N_ELEMENTS(depths), depths[k % G_N_ELEMENTS(depths)]};
            Result res;

            if (!run(&c, i == 2 ? TABLE_REQUESTS / 10 : TABLE_REQUESTS, &res)) {
                break;
            }
            printf("%-8s %-6s %6u %12.0f %14.0f\n", c.node, c.write ? "write" : "read", c.depth,
                   (double)res.requests / res.wall, res.cpu * 1e9 / (double)res.requests);
            fflush(stdout);
        }
    }
}

int main(int argc, char **argv)
{
    const char *file = argc == 2 ? argv[1] : argc == 6 ? argv[5] : default_file;

    if (argc != 1 && argc != 2 && argc != 5 && argc != 6) {
        fprintf(stderr, "usage: bench-blk [FILE] | NODE OP DEPTH N [FILE]\n");
        return 1;
    }
    if ((argc < 5 || !g_str_equal(argv[1], "null")) && !make_file(file)) {
        return 1;
    }
    if (argc >= 5) {
        Case c = {argv[1], file, g_str_equal(argv[2], "write"),
                  CLAMP((unsigned)atoi(argv[3]), 1, DEPTH_MAX)};
        Result res;

        if (!run(&c, strtoull(argv[4], NULL, 0), &res)) {
            return 1;
        }
        printf("%.0f requests/s\n", (double)res.requests / res.wall);
        return 0;
    }
    cpu_clock = true;
    table(file);
    return 0;
}
