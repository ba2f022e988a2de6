/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Files as disks, over io_uring and over threads: integrity, alignment, cache modes, locks, sizes,
 * errors of the host.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block-model.h"
#include "tests/suite.h"

enum { MIB = 1 << 20, KIB = 1 << 10 };

static const char *const engines[] = {"io_uring", "threads"};
enum { ENGINES = G_N_ELEMENTS(engines) };

/* --- what goes to the kernel; the linker sends the calls here --- */

int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate(int fd, int mode, off_t offset, off_t len);
int __wrap_fallocate(int fd, int mode, off_t offset, off_t len);

static atomic_int sync_error, fallocate_refuses, fallocates;

int __wrap_fdatasync(int fd)
{
    int errnum = atomic_exchange(&sync_error, 0);

    if (errnum) {
        errno = errnum;
        return -1;
    }
    return __real_fdatasync(fd);
}

int __wrap_fallocate(int fd, int mode, off_t offset, off_t len)
{
    fallocates++;
    if (mode & atomic_load(&fallocate_refuses)) {
        errno = EOPNOTSUPP;
        return -1;
    }
    return __real_fallocate(fd, mode, offset, len);
}

/* --- disks --- */

static BlockNode *file_node(const char *path, const char *more)
{
    return node_add("{'driver':'file','filename':'%s'%s}", path, more);
}

static void file_disk(Disk *d, const char *path, const char *engine, const char *more)
{
    g_autofree char *opts = g_strdup_printf(",'aio':'%s'%s", engine, more);

    disk_open(d, file_node(path, opts), true);
}

static bool fs_has_direct(const char *path)
{
    int fd = open(path, O_RDWR | O_DIRECT | O_CLOEXEC);

    if (fd >= 0) {
        close(fd);
    }
    return fd >= 0;
}

/* --- integrity --- */

static const char *const modes[] = {
    "",
    ",'cache':{'direct':true}",
    ",'cache':{'direct':true},'discard':'unmap'",
    ",'discard':'unmap','detect-zeroes':'unmap'",
    ",'cache.writeback':false",
    ",'cache':{'no-flush':true},'discard':'unmap'",
};

START_TEST(what_was_written_is_read_back_in_every_mode)
{
    unsigned mode = (unsigned)_i / ENGINES;
    g_autofree char *path = make_file("disk", 4 * MIB);
    ModelSpec spec = {.seed = 100 + (unsigned)_i, .batches = 40, .align = 512};
    Disk d;

    if (strstr(modes[mode], "direct") && !fs_has_direct(path)) {
        return;
    }
    file_disk(&d, path, engines[_i % ENGINES], modes[mode]);
    spec.align = MAX(512, block_limits(d.node)->request_alignment);
    model_run(&d, &spec);
    disk_close(&d);
}
END_TEST

START_TEST(misaligned_memory_goes_through_bounce_buffers)
{
    g_autofree char *path = make_file("disk", 4 * MIB);
    ModelSpec spec = {.seed = 7, .batches = 40, .align = 512, .misalign = 3};
    Disk d;

    if (!fs_has_direct(path)) {
        return;
    }
    file_disk(&d, path, engines[_i], ",'cache':{'direct':true}");
    spec.align = MAX(512, block_limits(d.node)->request_alignment);
    model_run(&d, &spec);
    disk_close(&d);
}
END_TEST

START_TEST(a_large_misaligned_request_is_done_in_pieces)
{
    enum { LEN = 3 * MIB };
    g_autofree char *path = make_file("disk", 4 * MIB);
    g_autofree uint8_t *memory = g_malloc(LEN + 64), *back = g_malloc(LEN + 64);
    Disk d;

    if (!fs_has_direct(path)) {
        return;
    }
    for (unsigned i = 0; i < LEN + 64; i++) {
        memory[i] = (uint8_t)(i * 7 + i / 4096);
    }
    file_disk(&d, path, engines[_i], ",'cache':{'direct':true}");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 4096, memory + 1, LEN), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 4096, back + 5, LEN), 0);
    ck_assert_int_eq(memcmp(memory + 1, back + 5, LEN), 0);
    disk_close(&d);
}
END_TEST

START_TEST(more_misaligned_requests_than_bounce_buffers_take_turns)
{
    enum { N = 40 };
    static uint8_t memory[N][8192 + 1];
    g_autofree char *path = make_file("disk", 4 * MIB);
    static Io io[N];
    Disk d;

    if (!fs_has_direct(path)) {
        return;
    }
    file_disk(&d, path, engines[_i], ",'cache':{'direct':true}");
    for (unsigned i = 0; i < N; i++) {
        memset(memory[i], (int)i + 1, sizeof memory[i]);
        io_init(&io[i], BLOCK_WRITE, i * 8192, memory[i] + 1, 8192);
        block_submit(d.q, &io[i].req);
    }
    block_cancel(&io[N - 1].req); /* waits for a buffer */
    block_drain(d.q);
    for (unsigned i = 0; i < N - 1; i++) {
        ck_assert_int_eq(io[i].ret, 0);
        ck_assert_int_eq(disk_io(&d, BLOCK_READ, i * 8192, memory[0] + 1, 8192), 0);
        expect_bytes(memory[0] + 1, (int)i + 1, 8192);
    }
    ck_assert_int_eq(io[N - 1].ret, -ECANCELED);
    disk_close(&d);
}
END_TEST

/* --- sizes --- */

START_TEST(the_rest_of_the_last_block_reads_as_zeroes_and_can_be_written)
{
    g_autofree char *path = make_file("disk", 700);
    const char *more = _i / ENGINES ? ",'cache':{'direct':true}" : "";
    uint8_t buf[8192] __attribute__((aligned(4096)));
    uint64_t size;
    Disk d;

    if (!fs_has_direct(path)) {
        return;
    }
    ck_assert(g_file_set_contents(path, "0123456789", 10, NULL));
    memset(buf, 0xaa, sizeof buf);
    file_disk(&d, path, engines[_i % ENGINES], more);
    size = block_limits(d.node)->size;
    ck_assert_uint_eq(size, MAX(512, block_limits(d.node)->request_alignment));
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, size), 0);
    ck_assert_int_eq(memcmp(buf, "0123456789", 10), 0);
    expect_bytes(buf + 10, 0, size - 10);
    memset(buf, 5, size);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, size), 0);
    memset(buf, 0, size);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, size), 0);
    expect_bytes(buf, 5, size);
    disk_close(&d);
}
END_TEST

START_TEST(a_file_that_shrank_behind_our_back_reads_as_zeroes)
{
    g_autofree char *path = make_file("disk", MIB);
    struct iovec iov[3];
    uint8_t buf[3][4096];
    Io io;
    Disk d;

    file_disk(&d, path, engines[_i], "");
    memset(buf, 9, sizeof buf);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    ck_assert_int_eq(truncate(path, 4096 + 100), 0);
    io_init(&io, BLOCK_READ, 0, NULL, sizeof buf);
    for (unsigned i = 0; i < 3; i++) {
        iov[i] = (struct iovec){buf[i], sizeof buf[i]};
    }
    io.req.iov = iov;
    io.req.niov = 3;
    block_submit(d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, 0);
    expect_bytes(buf[0], 9, 4096 + 100);
    expect_bytes(buf[1] + 100, 0, 2 * 4096 - 100);
    disk_close(&d);
}
END_TEST

START_TEST(a_file_is_resized_and_its_end_moves)
{
    g_autofree char *path = make_file("disk", MIB);
    g_autoptr(GError) err = NULL;
    uint8_t buf[512] = {1};
    Disk d;

    file_disk(&d, path, engines[_i], "");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, MIB, buf, sizeof buf), -EIO);
    ck_assert(block_node_resize(d.node, 2 * MIB, &err));
    ck_assert_uint_eq(d.resized, 1);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, MIB, buf, sizeof buf), 0);
    ck_assert(block_node_resize(d.node, MIB, &err));
    ck_assert_uint_eq(block_limits(d.node)->size, MIB);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, MIB, buf, sizeof buf), -EIO);
    /* The host made it larger; block_resize with that size notices. */
    ck_assert_int_eq(truncate(path, 3 * MIB), 0);
    ck_assert(block_node_resize(d.node, 3 * MIB, &err));
    ck_assert_uint_eq(block_limits(d.node)->size, 3 * MIB);
    disk_close(&d);
}
END_TEST

/* --- cache modes --- */

START_TEST(flushes_are_synced_or_ignored_as_the_cache_mode_says)
{
    g_autofree char *path = make_file("disk", MIB);
    Disk d;

    file_disk(&d, path, "threads", ",'cache':{'no-flush':true}");
    atomic_store(&sync_error, EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(atomic_load(&sync_error), EIO); /* nobody asked */
    disk_close(&d);
    atomic_store(&sync_error, 0);
    file_disk(&d, path, "threads", "");
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert(block_limits(d.node)->write_cache);
    disk_close(&d);
    file_disk(&d, path, "threads", ",'cache.writeback':false");
    ck_assert(!block_limits(d.node)->write_cache);
    disk_close(&d);
}
END_TEST

START_TEST(after_a_failed_flush_no_later_one_succeeds)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[512] = {0};
    Disk d;
    Io io;

    file_disk(&d, path, "threads", "");
    atomic_store(&sync_error, EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
    io.req.flags = BLOCK_FUA;
    block_submit(d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, -EIO);
    disk_close(&d);
}
END_TEST

/* --- discard and write-zeroes --- */

static int64_t blocks_of(const char *path)
{
    struct stat st;

    ck_assert_int_eq(stat(path, &st), 0);
    return st.st_blocks;
}

START_TEST(discard_and_unmapping_zeroes_give_space_back)
{
    g_autofree char *path = make_file("disk", MIB);
    g_autofree uint8_t *buf = g_malloc(MIB);
    int64_t full;
    Disk d;
    Io io;

    memset(buf, 1, MIB);
    file_disk(&d, path, engines[_i], ",'discard':'unmap'");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, MIB), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    full = blocks_of(path);
    ck_assert_int_eq(disk_io(&d, BLOCK_DISCARD, 0, NULL, MIB / 2), 0);
    ck_assert_int_lt(blocks_of(path), full);
    io_init(&io, BLOCK_WRITE_ZEROES, MIB / 2, NULL, MIB / 2);
    io.req.flags = BLOCK_MAY_UNMAP | BLOCK_FUA;
    block_submit(d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, 0);
    ck_assert_int_eq(blocks_of(path), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE_ZEROES, 0, NULL, MIB), 0);
    ck_assert_int_gt(blocks_of(path), 0);
    disk_close(&d);
}
END_TEST

START_TEST(without_discard_unmap_no_space_is_given_back)
{
    g_autofree char *path = make_file("disk", MIB);
    g_autofree uint8_t *buf = g_malloc(MIB);
    Disk d;
    Io io;

    memset(buf, 1, MIB);
    file_disk(&d, path, engines[_i], "");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, MIB), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_DISCARD, 0, NULL, MIB), -ENOTSUP);
    io_init(&io, BLOCK_WRITE_ZEROES, 0, NULL, MIB);
    io.req.flags = BLOCK_MAY_UNMAP;
    block_submit(d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_ge(blocks_of(path), MIB / 512);
    disk_close(&d);
}
END_TEST

/* Each refusal leads to the next way of making zeroes. */
static const int refusals[] = {FALLOC_FL_PUNCH_HOLE, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE};

START_TEST(zeroes_are_made_in_another_way_where_the_file_system_refuses)
{
    g_autofree char *path = make_file("disk", 2 * MIB);
    g_autofree uint8_t *buf = g_malloc(2 * MIB);
    Disk d;
    Io io;

    memset(buf, 1, 2 * MIB);
    file_disk(&d, path, "threads", ",'discard':'unmap'");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 2 * MIB), 0);
    atomic_store(&fallocate_refuses, refusals[_i]);
    io_init(&io, BLOCK_WRITE_ZEROES, 512, NULL, 2 * MIB - 1024);
    io.req.flags = BLOCK_MAY_UNMAP | BLOCK_FUA;
    block_submit(d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, 0);
    ck_assert_int_eq(atomic_load(&fallocates), 2);
    ck_assert_int_eq(disk_io(&d, BLOCK_DISCARD, 0, NULL, MIB), 0); /* a hint: refused, and done */
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 2 * MIB), 0);
    expect_bytes(buf, 1, 512);
    expect_bytes(buf + 512, 0, 2 * MIB - 1024);
    expect_bytes(buf + 2 * MIB - 512, 1, 512);
    disk_close(&d);
}
END_TEST

/* --- locks --- */

static const struct {
    const char *first, *second;
    bool writes, writes2, ok;
} lock_cases[] = {
    {"", "", true, true, false},
    {"", "", true, false, false},
    {"", "", false, true, false},
    {"", "", false, false, true},
    {",'locking':'off'", "", true, true, true},
    {"", ",'locking':'off'", true, true, true},
    {"", ",'read-only':true,'force-share':true", true, false, true},
};

START_TEST(two_writers_of_one_image_are_refused)
{
    g_autofree char *path = make_file("disk", MIB);
    BlockNode *a = file_node(path, lock_cases[_i].first),
              *b = file_node(path, lock_cases[_i].second);
    BlockUserOps ops = {.name = "other", .writes = lock_cases[_i].writes2};
    g_autoptr(GError) err = NULL;
    BlockUser *u;
    Disk d;

    disk_open(&d, a, lock_cases[_i].writes);
    u = block_attach(b, &ops, &err);
    ck_assert_int_eq(u != NULL, lock_cases[_i].ok);
    if (!u) {
        ck_assert_ptr_nonnull(strstr(err->message, "another process uses the image"));
        ck_assert_ptr_null(strchr(err->message, '\n'));
    }
    block_detach(u);
    disk_close(&d);
    u = block_attach(b, &ops, NULL); /* the lock went with its user */
    ck_assert_ptr_nonnull(u);
    block_detach(u);
}
END_TEST

START_TEST(users_that_share_share_across_nodes)
{
    g_autofree char *path = make_file("disk", MIB);
    BlockUserOps ops = {.name = "one", .writes = true, .share_rw = true};
    BlockUser *u = block_attach(file_node(path, ""), &ops, NULL);
    BlockUser *v = block_attach(file_node(path, ""), &ops, NULL);

    ck_assert_ptr_nonnull(u);
    ck_assert_ptr_nonnull(v);
    block_detach(u);
    block_detach(v);
}
END_TEST

static int run_tool(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static int run_tool(const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return system(command); /* NOLINT: the test's own text */
}

START_TEST(qemus_tools_and_we_respect_each_others_locks)
{
    g_autofree char *path = make_file("disk", MIB);
    Disk d;

    if (run_tool("qemu-io --version >/dev/null 2>&1")) {
        return; /* not installed */
    }
    disk_open(&d, file_node(path, ""), true);
    ck_assert_int_ne(run_tool("qemu-io -f raw -c 'write 0 512' %s >/dev/null 2>&1", path), 0);
    disk_close(&d);
    ck_assert_int_eq(run_tool("qemu-io -f raw -c 'write 0 512' %s >/dev/null 2>&1", path), 0);
}
END_TEST

/* --- opening --- */

START_TEST(a_file_that_cannot_be_a_disk_gets_one_line)
{
    g_autofree char *fifo = path_of("fifo"), *path = make_file("disk", MIB);

    ck_assert_int_eq(mkfifo(fifo, 0600), 0);
    node_add_fails("'filename' is missing", "{'driver':'file'}");
    node_add_fails("could not open '/nowhere/x': No such file",
                   "{'driver':'file','filename':'/nowhere/x'}");
    node_add_fails("Is a directory", "{'driver':'file','filename':'%s'}", dir);
    node_add_fails("is a directory", "{'driver':'file','read-only':true,'filename':'%s'}", dir);
    node_add_fails("to be a regular file", "{'driver':'file','filename':'%s'}", fifo);
    node_add_fails("to be a block device", "{'driver':'host_device','filename':'%s'}", path);
    node_add_fails("force-share=on needs read-only=on",
                   "{'driver':'file','filename':'%s','force-share':true}", path);
    node_add_fails("'magic'", "{'driver':'file','filename':'%s','aio':'magic'}", path);
}
END_TEST

START_TEST(an_empty_file_is_an_empty_disk)
{
    g_autofree char *path = make_file("disk", 0);
    uint8_t buf[512];
    Disk d;

    file_disk(&d, path, engines[_i], "");
    ck_assert_uint_eq(block_limits(d.node)->size, 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), -EIO);
    disk_close(&d);
}
END_TEST

START_TEST(auto_read_only_opens_what_cannot_be_written)
{
    g_autofree char *path = make_file("disk", MIB);
    BlockNode *n;

    ck_assert_int_eq(chmod(path, 0400), 0);
    if (geteuid() == 0 && (setegid(65534) != 0 || chown(path, 65534, 65534) != 0 ||
                           chmod(dir, 0755) != 0 || seteuid(65534) != 0)) {
        return;
    }
    node_add_fails("could not open", "{'driver':'file','filename':'%s'}", path);
    n = node_add("{'driver':'file','filename':'%s','auto-read-only':true}", path);
    ck_assert(block_limits(n)->read_only);
    if (geteuid() != 0) {
        ck_assert_int_eq(seteuid(0) + setegid(0), 0);
    }
}
END_TEST

static const struct {
    const char *format;
    unsigned at;
    const char *magic;
    unsigned len;
} images[] = {
    {"qcow2", 0, "QFI\xfb\0\0\0\3", 8}, {"vmdk", 0, "KDMV", 4},
    {"vdi", 64, "\x7f\x10\xda\xbe", 4}, {"luks", 0, "LUKS\xba\xbe", 6},
    {"vhdx", 0, "vhdxfile", 8},
};

START_TEST(images_of_other_formats_are_refused_with_the_way_through_nbd)
{
    g_autofree char *path = make_file("disk", MIB);
    g_autofree char *hint = g_strdup_printf("qemu-nbd -f %s", images[_i].format);
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    ck_assert_int_eq(pwrite(fd, images[_i].magic, images[_i].len, images[_i].at),
                     (ssize_t)images[_i].len);
    close(fd);
    node_add_fails(
        hint, "{'driver':'raw','x-probed':true,'file':{'driver':'file','filename':'%s'}}", path);
    node_add("{'driver':'raw','file':{'driver':'file','filename':'%s'}}", path);
}
END_TEST

START_TEST(a_guessed_raw_image_does_not_become_another_format)
{
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[1024] = "QFI\xfb\0\0\0\3";
    Disk d;

    disk_open(
        &d,
        node_add("{'driver':'raw','x-probed':true,'file':{'driver':'file','filename':'%s'}}", path),
        true);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), -EPERM);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 512, buf, 512), 0);
    buf[0] = 0;
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    disk_close(&d);
}
END_TEST

/* A guest may change its memory while the request is on its way. */
START_TEST(what_a_guessed_raw_image_gets_is_what_was_looked_at)
{
    g_autofree char *path = make_file("disk", MIB);
    static const uint8_t magic[] = "QFI\xfb\0\0\0\3";
    uint8_t buf[1024] = "harmless", back[1024];
    Disk d;
    Io io;

    disk_open(&d,
              node_add("{'driver':'raw','x-probed':true,'file':{'driver':'blkdebug','inject-error':"
                       "[{'iotype':'write','errno':0,'delay-ns':1000000}],"
                       "'file':{'driver':'file','filename':'%s'}}}",
                       path),
              true);
    memset(buf + 512, 7, 512);
    io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
    block_submit(d.q, &io.req);
    memcpy(buf, magic, sizeof magic);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, back, sizeof back), 0);
    ck_assert_str_eq((char *)back, "harmless");
    expect_bytes(back + 512, 7, 512);
    disk_close(&d);
}
END_TEST

START_TEST(raw_shows_a_part_of_what_is_below)
{
    g_autofree char *path = make_file("disk", 2 * MIB);
    ModelSpec spec = {.seed = 5, .batches = 30, .align = 512};
    uint8_t buf[512];
    Disk d;

    node_add_fails("reach beyond",
                   "{'driver':'raw','offset':'3M','file':{'driver':'file','filename':'%s'}}", path);
    node_add_fails("multiples of 512",
                   "{'driver':'raw','offset':100,'file':{'driver':'file','filename':'%s'}}", path);
    disk_open(&d,
              node_add("{'driver':'raw','node-name':'part','offset':4096,'size':'1M',"
                       "'file':{'driver':'file','filename':'%s'}}",
                       path),
              true);
    ck_assert_uint_eq(block_limits(d.node)->size, MIB);
    model_run(&d, &spec);
    memset(buf, 3, sizeof buf);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    disk_close(&d);
    ck_assert(block_node_del(root, "part", NULL));
    disk_open(&d, file_node(path, ""), false);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 4096, buf, sizeof buf), 0);
    expect_bytes(buf, 3, sizeof buf);
    disk_close(&d);
}
END_TEST

/* --- errors of the host --- */

START_TEST(a_write_that_finds_no_room_says_so)
{
    g_autofree char *path = make_file("disk", 4 * MIB);
    g_autofree uint8_t *buf = g_malloc0(2 * MIB);
    struct rlimit limit = {MIB, MIB};
    Disk d;

    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    file_disk(&d, path, engines[_i], "");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 64 * KIB), 0);
    /* Half of it fits: the transfer is short, and its rest fails. */
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, MIB / 2, buf, MIB), -EFBIG);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, MIB), 0);
    disk_close(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-file");
    TCase *tc = block_case(s, "file");

    tcase_add_loop_test(tc, what_was_written_is_read_back_in_every_mode, 0,
                        ENGINES * (int)G_N_ELEMENTS(modes));
    tcase_add_loop_test(tc, misaligned_memory_goes_through_bounce_buffers, 0, ENGINES);
    tcase_add_loop_test(tc, a_large_misaligned_request_is_done_in_pieces, 0, ENGINES);
    tcase_add_loop_test(tc, more_misaligned_requests_than_bounce_buffers_take_turns, 0, ENGINES);
    tcase_add_loop_test(tc, the_rest_of_the_last_block_reads_as_zeroes_and_can_be_written, 0,
                        2 * ENGINES);
    tcase_add_loop_test(tc, a_file_that_shrank_behind_our_back_reads_as_zeroes, 0, ENGINES);
    tcase_add_loop_test(tc, a_file_is_resized_and_its_end_moves, 0, ENGINES);
    tcase_add_test(tc, flushes_are_synced_or_ignored_as_the_cache_mode_says);
    tcase_add_test(tc, after_a_failed_flush_no_later_one_succeeds);
    tcase_add_loop_test(tc, discard_and_unmapping_zeroes_give_space_back, 0, ENGINES);
    tcase_add_loop_test(tc, without_discard_unmap_no_space_is_given_back, 0, ENGINES);
    tcase_add_loop_test(tc, zeroes_are_made_in_another_way_where_the_file_system_refuses, 0,
                        G_N_ELEMENTS(refusals));
    tcase_add_loop_test(tc, two_writers_of_one_image_are_refused, 0, G_N_ELEMENTS(lock_cases));
    tcase_add_test(tc, users_that_share_share_across_nodes);
    tcase_add_test(tc, qemus_tools_and_we_respect_each_others_locks);
    tcase_add_test(tc, a_file_that_cannot_be_a_disk_gets_one_line);
    tcase_add_loop_test(tc, an_empty_file_is_an_empty_disk, 0, ENGINES);
    tcase_add_test(tc, auto_read_only_opens_what_cannot_be_written);
    tcase_add_loop_test(tc, images_of_other_formats_are_refused_with_the_way_through_nbd, 0,
                        G_N_ELEMENTS(images));
    tcase_add_test(tc, a_guessed_raw_image_does_not_become_another_format);
    tcase_add_test(tc, what_a_guessed_raw_image_gets_is_what_was_looked_at);
    tcase_add_test(tc, raw_shows_a_part_of_what_is_below);
    tcase_add_loop_test(tc, a_write_that_finds_no_room_says_so, 0, ENGINES);
    return suite_run(s);
}
