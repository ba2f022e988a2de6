/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engines of files, io_uring and threads: which one serves, batches and how many system calls
 * they take, cancellation, queues of several threads.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block-model.h"
#include "tests/suite.h"

enum { MIB = 1 << 20 };

static const char *const engines[] = {"io_uring", "threads"};
enum { ENGINES = G_N_ELEMENTS(engines) };

/* The linker sends the call here. */
int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);

static atomic_uint submits;

int __wrap_io_uring_submit(struct io_uring *ring)
{
    submits++;
    return __real_io_uring_submit(ring);
}

static BlockNode *file_node(const char *path, const char *more)
{
    return node_add("{'driver':'file','filename':'%s'%s}", path, more);
}

static void file_disk(Disk *d, const char *path, const char *engine, const char *more)
{
    g_autofree char *opts = g_strdup_printf(",'aio':'%s'%s", engine, more);

    disk_open(d, file_node(path, opts), true);
}

/* --- engines --- */

static void forbid_io_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog prog = {G_N_ELEMENTS(code), code};

    ck_assert_int_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    ck_assert_int_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

START_TEST(threads_serve_where_io_uring_is_forbidden)
{
    g_autofree char *path = make_file("disk", MIB);
    ModelSpec spec = {.seed = 5, .batches = 10, .align = 512};
    BlockUserOps ops = {.name = "test", .writes = true};
    g_autoptr(GError) err = NULL;
    BlockUser *u;
    Disk d;

    forbid_io_uring();
    file_disk(&d, path, "auto", "");
    model_run(&d, &spec);
    disk_close(&d);
    u = block_attach(file_node(path, ",'aio':'io_uring'"), &ops, NULL);
    ck_assert_ptr_null(block_queue_new(u, loop, &err));
    ck_assert_ptr_nonnull(
        strstr(err->message, "aio=io_uring: io_uring cannot be set up: Operation not permitted"));
    block_detach(u);
}
END_TEST

START_TEST(a_plugged_batch_is_one_submission)
{
    enum { N = 100 };
    g_autofree char *path = make_file("disk", MIB);
    static uint8_t buf[N][512];
    static Io io[N];
    Disk d;

    file_disk(&d, path, "io_uring", "");
    block_plug(d.q);
    block_plug(d.q);
    for (unsigned i = 0; i < N; i++) {
        io_init(&io[i], BLOCK_WRITE, i * 512, buf[i], 512);
        block_submit(d.q, &io[i].req);
    }
    block_unplug(d.q);
    ck_assert_uint_eq(submits, 0);
    block_unplug(d.q);
    ck_assert_uint_eq(submits, 1);
    block_drain(d.q);
    submits = 0;
    for (unsigned i = 0; i < 3; i++) {
        io_init(&io[i], BLOCK_READ, i * 512, buf[i], 512);
        block_submit(d.q, &io[i].req);
    }
    ck_assert_uint_eq(submits, 3);
    block_drain(d.q);
    disk_close(&d);
}
END_TEST

START_TEST(a_ring_that_is_full_takes_more_than_it_holds)
{
    enum { N = 1000 };
    g_autofree char *path = make_file("disk", MIB);
    static uint8_t buf[N][512];
    static Io io[N];
    Disk d;

    file_disk(&d, path, engines[_i], "");
    block_plug(d.q);
    for (unsigned i = 0; i < N; i++) {
        buf[i][0] = (uint8_t)i;
        io_init(&io[i], BLOCK_WRITE, i * 512, buf[i], 512);
        block_submit(d.q, &io[i].req);
    }
    block_unplug(d.q);
    block_drain(d.q);
    for (unsigned i = 0; i < N; i++) {
        uint8_t back[512];

        ck_assert_int_eq(io[i].ret, 0);
        ck_assert_uint_eq(io[i].done, 1);
        ck_assert_int_eq(disk_io(&d, BLOCK_READ, i * 512, back, 512), 0);
        ck_assert_uint_eq(back[0], (uint8_t)i);
    }
    disk_close(&d);
}
END_TEST

START_TEST(cancelled_requests_end_once_one_way_or_the_other)
{
    enum { N = 200 };
    g_autofree char *path = make_file("disk", MIB);
    static uint8_t buf[N][512];
    static Io io[N];
    Disk d;

    file_disk(&d, path, engines[_i], "");
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < N; i++) {
            io_init(&io[i], i % 3 ? BLOCK_WRITE : BLOCK_FLUSH, i % 3 ? i * 512 : 0, buf[i],
                    i % 3 ? 512 : 0);
            block_submit(d.q, &io[i].req);
        }
        for (unsigned i = 0; i < N; i++) {
            block_cancel(&io[N - 1 - i].req);
        }
        block_drain(d.q);
        for (unsigned i = 0; i < N; i++) {
            ck_assert_uint_eq(io[i].done, 1);
            ck_assert(io[i].ret == 0 || io[i].ret == -ECANCELED);
        }
    }
    /* A flush that was called off is no flush that failed. */
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    disk_close(&d);
}
END_TEST

/* --- queues on threads of their own --- */

enum { WORKERS = 2, ROUNDS = 60, DEPTH = 16, CHUNK = 4096 };

typedef struct {
    IoThread *thread;
    BlockUser *user;
    BlockQueue *q;
    uint64_t base;
    unsigned errors;
} Worker;

typedef struct {
    BlockRequest req; /* first */
    struct iovec iov;
    int ret;
} WorkerIo;

static void worker_done(BlockRequest *req, int ret)
{
    ((WorkerIo *)req)->ret = ret;
}

static void worker_batch(Worker *w, BlockOp op, uint8_t memory[DEPTH][CHUNK])
{
    WorkerIo io[DEPTH];

    block_plug(w->q);
    for (unsigned i = 0; i < DEPTH; i++) {
        io[i] = (WorkerIo){.iov = {memory[i], CHUNK}};
        io[i].req = (BlockRequest){.op = op,
                                   .offset = w->base + i * CHUNK,
                                   .bytes = CHUNK,
                                   .iov = &io[i].iov,
                                   .niov = 1,
                                   .done = worker_done};
        block_submit(w->q, &io[i].req);
    }
    block_unplug(w->q);
    block_drain(w->q);
    for (unsigned i = 0; i < DEPTH; i++) {
        w->errors += io[i].ret != 0;
    }
}

static void worker_run(void *opaque)
{
    static _Thread_local uint8_t out[DEPTH][CHUNK], in[DEPTH][CHUNK];
    Worker *w = opaque;

    w->q = block_queue_new(w->user, iothread_loop(w->thread), NULL);
    g_assert(w->q);
    for (unsigned round = 0; round < ROUNDS; round++) {
        memset(out, (int)(round + w->base), sizeof out);
        worker_batch(w, BLOCK_WRITE, out);
        worker_batch(w, BLOCK_READ, in);
        w->errors += memcmp(in, out, sizeof in) != 0;
    }
    block_queue_free(w->q);
}

static void *call_worker(void *opaque)
{
    iothread_call(((Worker *)opaque)->thread, worker_run, opaque);
    return NULL;
}

START_TEST(queues_of_several_threads_work_at_once)
{
    g_autofree char *path = make_file("disk", MIB);
    g_autofree char *opts = g_strdup_printf(",'aio':'%s'", engines[_i]);
    BlockUserOps ops = {.name = "test", .writes = true};
    BlockUser *u = block_attach(file_node(path, opts), &ops, NULL);
    pthread_t threads[WORKERS];
    Worker w[WORKERS];
    BlockStats st;

    for (unsigned i = 0; i < WORKERS; i++) {
        w[i] = (Worker){iothread_new("io", NULL), u, NULL, i * DEPTH * CHUNK, 0};
        ck_assert_int_eq(pthread_create(&threads[i], NULL, call_worker, &w[i]), 0);
    }
    for (unsigned i = 0; i < 100; i++) {
        block_stats(u, &st); /* meanwhile */
    }
    for (unsigned i = 0; i < WORKERS; i++) {
        pthread_join(threads[i], NULL);
        ck_assert_uint_eq(w[i].errors, 0);
        iothread_free(w[i].thread);
    }
    block_stats(u, &st);
    ck_assert_uint_eq(st.ops[BLOCK_READ], WORKERS * ROUNDS * DEPTH);
    ck_assert_uint_eq(st.bytes[BLOCK_WRITE], (uint64_t)WORKERS * ROUNDS * DEPTH * CHUNK);
    block_detach(u);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-engine");
    TCase *tc = block_case(s, "engine");

    tcase_add_test(tc, threads_serve_where_io_uring_is_forbidden);
    tcase_add_test(tc, a_plugged_batch_is_one_submission);
    tcase_add_loop_test(tc, a_ring_that_is_full_takes_more_than_it_holds, 0, ENGINES);
    tcase_add_loop_test(tc, cancelled_requests_end_once_one_way_or_the_other, 0, ENGINES);
    tcase_add_loop_test(tc, queues_of_several_threads_work_at_once, 0, ENGINES);
    return suite_run(s);
}
