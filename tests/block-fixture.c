/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the suites of block backends share; see the header.
 */
#include "block-fixture.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backends/user-creatable.h"

EventLoop *loop;
Object *root;
char *dir;

void block_setup(void)
{
    type_register_list(block_types);
    type_register(&user_creatable_type);
    type_register(&container_type);
    loop = loop_new(NULL);
    root = object_new(&container_type);
    dir = g_dir_make_tmp("test-block-XXXXXX", NULL);
}

void block_teardown(void)
{
    GDir *d = g_dir_open(dir, 0, NULL);
    const char *name;

    object_unref(root);
    loop_free(loop);
    while ((name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(dir, name, NULL);

        unlink(path);
    }
    g_dir_close(d);
    rmdir(dir);
    g_free(dir);
}

static json_t *opts_of(const char *fmt, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    json_error_t jerr;
    json_t *opts;

    g_strdelimit(text, "'", '"');
    opts = json_loads(text, JSON_REJECT_DUPLICATES, &jerr);
    ck_assert_msg(opts != NULL, "%s: %s", text, jerr.text);
    return opts;
}

BlockNode *node_add(const char *fmt, ...)
{
    g_autoptr(GError) err = NULL;
    BlockNode *node;
    json_t *opts;
    va_list ap;

    va_start(ap, fmt);
    opts = opts_of(fmt, ap);
    va_end(ap);
    node = block_node_add(root, loop, opts, &err);
    ck_assert_msg(node != NULL, "%s", err ? err->message : "?");
    json_decref(opts);
    return node;
}

void node_add_fails(const char *message, const char *fmt, ...)
{
    g_autoptr(GError) err = NULL;
    json_t *opts;
    va_list ap;

    va_start(ap, fmt);
    opts = opts_of(fmt, ap);
    va_end(ap);
    ck_assert_ptr_null(block_node_add(root, loop, opts, &err));
    ck_assert_ptr_nonnull(err);
    ck_assert_msg(strstr(err->message, message) != NULL, "'%s' has no '%s'", err->message, message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    json_decref(opts);
}

static void on_resized(void *opaque)
{
    ((Disk *)opaque)->resized++;
}

void disk_open_on(Disk *d, BlockNode *node, bool writes, EventLoop *on)
{
    BlockUserOps ops = {.name = "test", .writes = writes, .resized = on_resized, .opaque = d};
    g_autoptr(GError) err = NULL;

    *d = (Disk){.node = node};
    d->user = block_attach(node, &ops, &err);
    ck_assert_msg(d->user != NULL, "%s", err ? err->message : "?");
    d->q = block_queue_new(d->user, on, &err);
    ck_assert_msg(d->q != NULL, "%s", err ? err->message : "?");
}

void disk_open(Disk *d, BlockNode *node, bool writes)
{
    disk_open_on(d, node, writes, loop);
}

void disk_close(Disk *d)
{
    block_queue_free(d->q);
    block_detach(d->user);
}

static void io_done(BlockRequest *req, int ret)
{
    Io *io = (Io *)req;

    io->ret = ret;
    io->done++;
}

void io_init(Io *io, BlockOp op, uint64_t offset, void *buf, size_t len)
{
    *io = (Io){.req = {.op = op, .offset = offset, .bytes = len, .done = io_done}};
    if (op == BLOCK_READ || op == BLOCK_WRITE) {
        io->iov[0] = (struct iovec){buf, len};
        io->req.iov = io->iov;
        io->req.niov = 1;
    }
}

void loop_until_done(Disk *d, const unsigned *count, unsigned wanted)
{
    int64_t end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    while (*count < wanted) {
        if (g_get_monotonic_time() >= end) {
            ck_abort_msg("a request did not end");
        }
        if (!loop_iterate(loop, false)) {
            g_usleep(20);
        }
    }
}

void io_wait(Disk *d, Io *io)
{
    loop_until_done(d, &io->done, 1);
    ck_assert_uint_eq(io->done, 1);
}

int disk_io(Disk *d, BlockOp op, uint64_t offset, void *buf, size_t len)
{
    Io io;

    io_init(&io, op, offset, buf, len);
    block_submit(d->q, &io.req);
    ck_assert_uint_eq(io.done, 0);
    io_wait(d, &io);
    return io.ret;
}

char *path_of(const char *name)
{
    return g_build_filename(dir, name, NULL);
}

char *make_file(const char *name, uint64_t size)
{
    char *path = path_of(name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, (off_t)size), 0);
    close(fd);
    return path;
}

void expect_bytes(const uint8_t *buf, int byte, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (buf[i] != byte) { /* an assertion for each would take long */
            ck_abort_msg("byte %zu is %d, not %d", i, buf[i], byte);
        }
    }
}

TCase *block_case(Suite *suite, const char *name)
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, block_setup, block_teardown);
    suite_add_tcase(suite, tc);
    return tc;
}
