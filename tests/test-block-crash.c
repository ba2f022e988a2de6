/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Processes that are killed while they write: what was acknowledged before a flush began that was
 * itself completed is on disk afterwards. The writer and the NBD server are killed at random
 * moments, 200 times in all.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block-fixture.h"
#include "tests/suite.h"

enum { SLOTS = 64, SLOT = 4096, SECTORS = SLOT / 512, DEPTH = 16, SIZE = SLOTS * SLOT };

/* Shared with the writer, and what it knew when it died. */
typedef struct {
    _Atomic uint32_t issued[SLOTS], acknowledged[SLOTS], durable[SLOTS];
    _Atomic uint32_t flushes, failed, refused; /* refused: of the failed ones, flushes */
} Journal;

typedef struct {
    uint32_t magic, slot, version, sector;
} Stamp;

enum { MAGIC = 0x5ec70b1c };

static Journal *journal;
static pid_t server;

/* --- the writer --- */

typedef struct {
    BlockRequest req; /* first */
    struct iovec iov;
    unsigned slot, offset;
    uint32_t version;
    uint32_t snapshot[SLOTS]; /* of a flush: what was acknowledged when it began */
    bool busy;
    uint8_t buf[SLOT + 512] __attribute__((aligned(4096)));
} Job;

static Job *jobs;

static void job_done(BlockRequest *req, int ret)
{
    Job *j = (Job *)req;

    j->busy = false;
    if (ret < 0) {
        journal->failed++;
        journal->refused += req->op == BLOCK_FLUSH;
        return;
    }
    if (req->op == BLOCK_FLUSH) {
        for (unsigned i = 0; i < SLOTS; i++) {
            journal->durable[i] = MAX(journal->durable[i], j->snapshot[i]);
        }
        journal->flushes++;
    } else {
        journal->acknowledged[j->slot] = j->version;
        if (req->flags & BLOCK_FUA) {
            journal->durable[j->slot] = j->version;
        }
    }
}

static bool slot_is_busy(unsigned slot)
{
    for (unsigned i = 0; i < DEPTH; i++) {
        if (jobs[i].busy && jobs[i].req.op == BLOCK_WRITE && jobs[i].slot == slot) {
            return true;
        }
    }
    return false;
}

static void make_write(Job *j, GRand *rand, unsigned misalign)
{
    uint8_t *data = j->buf + misalign;

    do {
        j->slot = (unsigned)g_rand_int_range(rand, 0, SLOTS);
    } while (slot_is_busy(j->slot));
    j->version = ++journal->issued[j->slot];
    for (unsigned i = 0; i < SECTORS; i++) {
        Stamp s = {MAGIC, j->slot, j->version, i};

        memcpy(data + i * 512, &s, sizeof s);
    }
    j->iov = (struct iovec){data, SLOT};
    j->req = (BlockRequest){.op = BLOCK_WRITE,
                            .flags = g_rand_int_range(rand, 0, 16) ? 0 : BLOCK_FUA,
                            .offset = j->slot * SLOT,
                            .bytes = SLOT,
                            .iov = &j->iov,
                            .niov = 1,
                            .done = job_done};
}

static void make_flush(Job *j)
{
    for (unsigned i = 0; i < SLOTS; i++) {
        j->snapshot[i] = journal->acknowledged[i];
    }
    j->req = (BlockRequest){.op = BLOCK_FLUSH, .done = job_done};
}

/* Writes until it is killed. */
static void write_forever(const char *opts, unsigned seed)
{
    GRand *rand = g_rand_new_with_seed(seed);
    Disk d;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    jobs = aligned_alloc(4096, DEPTH * sizeof *jobs);
    memset(jobs, 0, DEPTH * sizeof *jobs);
    loop = loop_new(NULL);
    disk_open(&d, node_add("%s", opts), true);
    for (;;) {
        block_plug(d.q);
        for (unsigned i = 0; i < DEPTH; i++) {
            if (!jobs[i].busy) {
                if (g_rand_int_range(rand, 0, 12) == 0) {
                    make_flush(&jobs[i]);
                } else {
                    make_write(&jobs[i], rand, g_rand_int_range(rand, 0, 4) ? 0 : 1);
                }
                jobs[i].busy = true;
                block_submit(d.q, &jobs[i].req);
            }
        }
        block_unplug(d.q);
        loop_iterate(loop, true);
    }
}

static pid_t start_writer(const char *opts, unsigned seed)
{
    pid_t pid = fork();

    if (pid == 0) {
        write_forever(opts, seed);
        _exit(1);
    }
    ck_assert_int_gt(pid, 0);
    return pid;
}

static void kill_and_wait(pid_t pid)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
}

/* --- the judge --- */

static void check_disk(const char *path, unsigned round)
{
    g_autofree char *bytes = NULL;
    gsize len;

    ck_assert(g_file_get_contents(path, &bytes, &len, NULL));
    ck_assert_uint_eq(len, SIZE);
    for (unsigned slot = 0; slot < SLOTS; slot++) {
        for (unsigned i = 0; i < SECTORS; i++) {
            Stamp s;
            bool blank;

            memcpy(&s, bytes + slot * SLOT + i * 512, sizeof s);
            blank = s.magic == 0 && s.version == 0;
            if (!(blank || (s.magic == MAGIC && s.slot == slot && s.sector == i)) ||
                s.version < journal->durable[slot] || s.version > journal->issued[slot]) {
                ck_abort_msg("round %u, slot %u, sector %u: version %u, promised %u, issued %u",
                             round, slot, i, s.version, journal->durable[slot],
                             journal->issued[slot]);
            }
        }
    }
}

/* Until the writer has got some way, and then for a moment of random length. */
static void let_it_write(pid_t writer, GRand *rand)
{
    uint32_t wanted = journal->flushes + 2;
    int64_t end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    int status = 0;

    while (journal->flushes < wanted) {
        if (g_get_monotonic_time() >= end || waitpid(writer, &status, WNOHANG) != 0) {
            ck_abort_msg("the writer does not get on: status %x, %u requests failed", status,
                         journal->failed);
        }
        g_usleep(500);
    }
    g_usleep((gulong)g_rand_int_range(rand, 0, 20000));
}

static void setup(void)
{
    block_setup();
    journal =
        mmap(NULL, sizeof *journal, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert(journal != MAP_FAILED);
}

static void teardown(void)
{
    munmap(journal, sizeof *journal);
    block_teardown();
    if (server > 0) {
        kill_and_wait(server);
    }
}

/* Versions go on from round to round, so that old contents would be noticed. */
static void kill_writers(const char *opts, const char *path, unsigned rounds, unsigned seed)
{
    GRand *rand = g_rand_new_with_seed(seed);

    for (unsigned i = 0; i < rounds; i++) {
        pid_t pid = start_writer(opts, seed + i);

        let_it_write(pid, rand);
        kill_and_wait(pid);
        check_disk(path, i);
    }
    ck_assert_uint_eq(journal->failed, 0);
    g_rand_free(rand);
}

static const struct {
    const char *more;
    unsigned rounds;
} modes[] = {
    {"'aio':'io_uring'", 50},
    {"'aio':'threads'", 50},
    {"'aio':'io_uring','cache':{'direct':true}", 30},
    {"'aio':'threads','cache.writeback':false", 20},
};

START_TEST(a_killed_writer_loses_nothing_that_was_flushed)
{
    g_autofree char *path = make_file("disk", SIZE);
    g_autofree char *opts =
        g_strdup_printf("{'driver':'file','filename':'%s',%s}", path, modes[_i].more);
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd < 0 && strstr(opts, "direct")) {
        return;
    }
    close(fd);
    kill_writers(opts, path, modes[_i].rounds, 1000 * (unsigned)_i);
}
END_TEST

/* --- with an NBD server --- */

static void start_server(const char *sock, const char *path)
{
    unlink(sock);
    server = fork();
    if (server == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("qemu-nbd", "qemu-nbd", "-t", "-f", "raw", "-k", sock, path, NULL);
        _exit(127);
    }
    for (unsigned i = 0; access(sock, F_OK) != 0 && i < 5000; i++) {
        g_usleep(1000);
    }
}

static bool no_server(void)
{
    g_autofree char *program = g_find_program_in_path("qemu-nbd");

    return program == NULL;
}

START_TEST(a_killed_client_of_a_server_loses_nothing_either)
{
    g_autofree char *path = make_file("disk", SIZE), *sock = path_of("sock");
    g_autofree char *opts = g_strdup_printf(
        "{'driver':'nbd','open-timeout':10,'server':{'type':'unix','path':'%s'}}", sock);

    if (no_server()) {
        return;
    }
    start_server(sock, path);
    kill_writers(opts, path, 25, 77);
}
END_TEST

START_TEST(a_killed_server_comes_back_and_nothing_is_lost)
{
    g_autofree char *path = make_file("disk", SIZE), *sock = path_of("sock");
    g_autofree char *opts =
        g_strdup_printf("{'driver':'nbd','reconnect-delay':60,'open-timeout':10,"
                        "'server':{'type':'unix','path':'%s'}}",
                        sock);
    GRand *rand = g_rand_new_with_seed(5);
    pid_t writer;

    if (no_server()) {
        return;
    }
    start_server(sock, path);
    writer = start_writer(opts, 5);
    for (unsigned i = 0; i < 25; i++) {
        let_it_write(writer, rand);
        kill_and_wait(server);
        check_disk(path, i); /* the writer waits: promises stand, nothing is written */
        start_server(sock, path);
    }
    let_it_write(writer, rand);
    kill_and_wait(writer);
    /* What a server had not flushed may have gone with it: the next flush says so, once. */
    ck_assert_uint_eq(journal->failed, journal->refused);
    ck_assert_uint_le(journal->refused, 25);
    ck_assert_uint_gt(journal->refused, 0);
    check_disk(path, 25);
    g_rand_free(rand);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-crash");
    TCase *tc = tcase_create("crash");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 240);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, a_killed_writer_loses_nothing_that_was_flushed, 0, G_N_ELEMENTS(modes));
    tcase_add_test(tc, a_killed_client_of_a_server_loses_nothing_either);
    tcase_add_test(tc, a_killed_server_comes_back_and_nothing_is_lost);
    return suite_run(s);
}
