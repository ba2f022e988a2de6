/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the host's kernel may answer but seldom does: transfers that are cut short, on both engines,
 * and block devices of all kinds, for which a regular file stands in. The linker sends the calls
 * here.
 */
#include <errno.h>
#include <liburing.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/utsname.h>

#include "block-model.h"
#include "tests/suite.h"

enum { MIB = 1 << 20 };

static const char *const engines[] = {"io_uring", "threads"};
enum { ENGINES = G_N_ELEMENTS(engines) };

/* --- short transfers --- */

int __real_io_uring_submit(struct io_uring *ring);
int __wrap_io_uring_submit(struct io_uring *ring);
ssize_t __real_preadv(int fd, const struct iovec *iov, int niov, off_t at);
ssize_t __wrap_preadv(int fd, const struct iovec *iov, int niov, off_t at);
ssize_t __real_pwritev2(int fd, const struct iovec *iov, int niov, off_t at, int flags);
ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int niov, off_t at, int flags);

static atomic_bool cut;
static atomic_uint cuts;
static atomic_int dsync_error; /* of the next write that is to be on the disk */

/* A number below len, another each time. */
static size_t shorter(size_t len)
{
    return 1 + (atomic_fetch_add(&cuts, 1) + 1) * 7919u % len;
}

int __wrap_io_uring_submit(struct io_uring *ring)
{
    for (unsigned i = ring->sq.sqe_head; cut && i != ring->sq.sqe_tail; i++) {
        struct io_uring_sqe *sqe = &ring->sq.sqes[i & ring->sq.ring_mask];

        /* bytes of a piece, or pieces */
        if (sqe->opcode == IORING_OP_READ || sqe->opcode == IORING_OP_WRITE ||
            sqe->opcode == IORING_OP_READV || sqe->opcode == IORING_OP_WRITEV) {
            sqe->len = (unsigned)shorter(sqe->len);
        }
    }
    return __real_io_uring_submit(ring);
}

ssize_t __wrap_preadv(int fd, const struct iovec *iov, int niov, off_t at)
{
    struct iovec first = {iov->iov_base, iov->iov_len};

    if (!cut) {
        return __real_preadv(fd, iov, niov, at);
    }
    first.iov_len = shorter(first.iov_len);
    return __real_preadv(fd, &first, 1, at);
}

ssize_t __wrap_pwritev2(int fd, const struct iovec *iov, int niov, off_t at, int flags)
{
    struct iovec first = {iov->iov_base, iov->iov_len};

    if (flags & RWF_DSYNC) {
        errno = atomic_exchange(&dsync_error, 0);
        if (errno) {
            return -1;
        }
    }
    if (!cut) {
        return __real_pwritev2(fd, iov, niov, at, flags);
    }
    first.iov_len = shorter(first.iov_len);
    return __real_pwritev2(fd, &first, 1, at, flags);
}

START_TEST(short_transfers_go_on_where_they_ended)
{
    static const char *const modes[] = {"", ",'cache.writeback':false"};
    g_autofree char *path = make_file("disk", MIB);
    ModelSpec spec = {.seed = 700 + (unsigned)_i, .batches = 20, .align = 512};
    Disk d;

    disk_open(&d,
              node_add("{'driver':'file','filename':'%s','aio':'%s'%s}", path,
                       engines[_i % ENGINES], modes[_i / ENGINES]),
              true);
    cut = true;
    model_run(&d, &spec);
    cut = false;
    ck_assert_uint_gt(cuts, 200);
    disk_close(&d);
}
END_TEST

/* The kernel tells of a failed write-back once, and it told the write. A full disk is another case:
 * it is retried. */
START_TEST(after_a_failed_write_through_no_flush_succeeds)
{
    static const int errors[] = {EIO, ENOSPC, EINVAL};
    g_autofree char *path = make_file("disk", MIB);
    uint8_t buf[512] = {0};
    Disk d;
    Io io;

    disk_open(&d, node_add("{'driver':'file','filename':'%s','aio':'threads'}", path), true);
    dsync_error = errors[_i];
    io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
    io.req.flags = BLOCK_FUA;
    block_submit(d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, -errors[_i]);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), errors[_i] == EIO ? -EIO : 0);
    disk_close(&d);
}
END_TEST

/* --- a regular file that says it is a block device --- */

int __real_fstat(int fd, struct stat *st);
int __wrap_fstat(int fd, struct stat *st);
int __real_ioctl(int fd, unsigned long request, ...);
int __wrap_ioctl(int fd, unsigned long request, ...);
int __wrap_uname(struct utsname *u);
gboolean __wrap_g_file_get_contents(const char *path, char **contents, gsize *len, GError **err);

static struct {
    bool is_device, can_erase;
    const char *kernel;
    const char *sysfs[8][2]; /* path below that of the device, and its contents */
    unsigned asked, erased;
    uint64_t at, len; /* of the last one */
    int error;        /* of the next ones */
} host;

int __wrap_fstat(int fd, struct stat *st)
{
    int rc = __real_fstat(fd, st);

    if (rc == 0 && host.is_device && S_ISREG(st->st_mode)) {
        st->st_mode = (st->st_mode & ~(unsigned)S_IFMT) | S_IFBLK;
        st->st_rdev = makedev(179, 1);
    }
    return rc;
}

/* As Linux 5.19 and later answer. */
static int secure_erase(const uint64_t range[2])
{
    if (!host.can_erase || host.error) {
        errno = host.error ? host.error : EOPNOTSUPP;
        return -1;
    }
    if ((range[0] | range[1]) & 511) {
        host.asked++;
        errno = EINVAL;
        return -1;
    }
    host.erased++;
    host.at = range[0];
    host.len = range[1];
    return 0;
}

int __wrap_ioctl(int fd, unsigned long request, ...)
{
    void *arg;
    va_list ap;

    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    switch (request) {
    case BLKSECDISCARD:
        return secure_erase(arg);
    case BLKPBSZGET:
        *(unsigned *)arg = 4096;
        return 0;
    case BLKIOOPT:
        *(unsigned *)arg = 65536;
        return 0;
    case BLKDISCARD:
        return 0;
    default:
        return __real_ioctl(fd, request, arg);
    }
}

int __wrap_uname(struct utsname *u)
{
    memset(u, 0, sizeof *u);
    g_strlcpy(u->release, host.kernel, sizeof u->release);
    return 0;
}

gboolean __wrap_g_file_get_contents(const char *path, char **contents, gsize *len, GError **err)
{
    static const char prefix[] = "/sys/dev/block/179:1/";

    for (unsigned i = 0; g_str_has_prefix(path, prefix) && i < 8 && host.sysfs[i][0]; i++) {
        if (!strcmp(path + strlen(prefix), host.sysfs[i][0])) {
            *contents = g_strdup(host.sysfs[i][1]);
            return TRUE;
        }
    }
    return FALSE;
}

static BlockNode *device_node(const char *discard)
{
    g_autofree char *path = make_file("device", MIB);

    return node_add("{'driver':'host_device','filename':'%s','discard':'%s'}", path, discard);
}

static void setup(void)
{
    block_setup();
    memset(&host, 0, sizeof host);
    host.is_device = true;
    host.kernel = "6.1.0-test";
}

START_TEST(a_device_tells_its_topology)
{
    const BlockLimits *l;

    host.sysfs[0][0] = "../queue/discard_granularity"; /* a partition's are its disk's */
    host.sysfs[0][1] = "131072\n";
    host.sysfs[1][0] = "../queue/discard_max_bytes";
    host.sysfs[1][1] = "2147450880\n";
    l = block_limits(device_node("unmap"));
    ck_assert_uint_eq(l->physical_block, 4096);
    ck_assert_uint_eq(l->opt_io, 65536);
    ck_assert_uint_eq(l->discard_alignment, 131072);
    ck_assert_uint_gt(l->max_discard, 0);
    ck_assert_uint_eq(l->max_secure_erase, 0);
    ck_assert(!l->lifetime);
    host.sysfs[1][1] = "0\n";
    ck_assert_uint_eq(block_limits(device_node("unmap"))->max_discard, 0);
}
END_TEST

START_TEST(a_device_that_can_erases_for_good)
{
    Disk d;

    host.can_erase = true;
    disk_open(&d, device_node("unmap"), true);
    ck_assert_uint_gt(block_limits(d.node)->max_secure_erase, 0);
    ck_assert_uint_eq(host.erased, 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_SECURE_ERASE, 4096, NULL, 8192), 0);
    ck_assert_uint_eq(host.erased, 1);
    ck_assert_uint_eq(host.at, 4096);
    ck_assert_uint_eq(host.len, 8192);
    host.error = EOPNOTSUPP; /* not a hint, as a discard is */
    ck_assert_int_eq(disk_io(&d, BLOCK_SECURE_ERASE, 0, NULL, 512), -EOPNOTSUPP);
    host.error = EIO;
    ck_assert_int_eq(disk_io(&d, BLOCK_SECURE_ERASE, 0, NULL, 512), -EIO);
    disk_close(&d);
}
END_TEST

START_TEST(nothing_is_offered_that_is_not_sure_to_be_there)
{
    host.can_erase = true;
    ck_assert_uint_eq(block_limits(device_node("ignore"))->max_secure_erase, 0);
}
END_TEST

START_TEST(an_old_kernel_cannot_be_asked_for_secure_erase)
{
    static const char *const old[] = {"5.18.19", "4.19.0-27-amd64", "strange"};

    host.can_erase = true;
    for (unsigned i = 0; i < G_N_ELEMENTS(old); i++) {
        host.kernel = old[i];
        ck_assert_uint_eq(block_limits(device_node("unmap"))->max_secure_erase, 0);
    }
    ck_assert_uint_eq(host.asked, 0);
    host.kernel = "5.19";
    ck_assert_uint_gt(block_limits(device_node("unmap"))->max_secure_erase, 0);
}
END_TEST

static const struct {
    const char *sysfs[3][2];
    BlockLifetime want;
} lifetimes[] = {
    {{{"device/life_time", "0x02 0x0b\n"}, {"device/pre_eol_info", "0x01\n"}}, {1, 2, 11}},
    {{{"../device/life_time", "0x01 0x01\n"}}, {0, 1, 1}}, /* a partition */
    {{{"device/life_time", "0x0c 0x03\n"}, {"device/pre_eol_info", "0x04\n"}}, {0, 0, 3}},
    {{{"device/../../../health_descriptor/eol_info", "0x02\n"},
      {"device/../../../health_descriptor/life_time_estimation_a", "0x05\n"},
      {"device/../../../health_descriptor/life_time_estimation_b", "0x00\n"}},
     {2, 5, 0}},
    {{{"device/life_time", "0x00 0x00\n"}, {"device/pre_eol_info", "0x00\n"}}, {0, 0, 0}},
    {{{"device/life_time", "nonsense"}}, {0, 0, 0}},
};

START_TEST(blk_41_lifetime_metrics_have_no_reserved_values)
{
    BlockLifetime got = {9, 9, 9};
    bool any = lifetimes[_i].want.pre_eol || lifetimes[_i].want.typ_a || lifetimes[_i].want.typ_b;
    BlockNode *n;

    for (unsigned i = 0; i < 3; i++) {
        host.sysfs[i][0] = lifetimes[_i].sysfs[i][0];
        host.sysfs[i][1] = lifetimes[_i].sysfs[i][1];
    }
    n = device_node("unmap");
    ck_assert_int_eq(block_limits(n)->lifetime, any);
    ck_assert_int_eq(block_lifetime(n, &got), any);
    if (any) {
        ck_assert_uint_eq(got.pre_eol, lifetimes[_i].want.pre_eol);
        ck_assert_uint_eq(got.typ_a, lifetimes[_i].want.typ_a);
        ck_assert_uint_eq(got.typ_b, lifetimes[_i].want.typ_b);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-host");
    TCase *tc = block_case(s, "short transfers");
    TCase *device = tcase_create("device");

    tcase_add_loop_test(tc, after_a_failed_write_through_no_flush_succeeds, 0, 3);
    tcase_add_loop_test(tc, short_transfers_go_on_where_they_ended, 0, 2 * ENGINES);
    tcase_add_checked_fixture(device, setup, block_teardown);
    suite_add_tcase(s, device);
    tcase_add_test(device, a_device_tells_its_topology);
    tcase_add_test(device, a_device_that_can_erases_for_good);
    tcase_add_test(device, nothing_is_offered_that_is_not_sure_to_be_there);
    tcase_add_test(device, an_old_kernel_cannot_be_asked_for_secure_erase);
    tcase_add_loop_test(device, blk_41_lifetime_metrics_have_no_reserved_values, 0,
                        G_N_ELEMENTS(lifetimes));
    return suite_run(s);
}
