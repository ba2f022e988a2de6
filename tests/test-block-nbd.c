/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Disks of an NBD server: nbdkit's memory and file plugins, and qemu-nbd, which the tests start and
 * kill. Skipped where they are not installed.
 */
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block-model.h"
#include "nbd-fixture.h"
#include "tests/suite.h"

enum { MIB = 1 << 20 };

static char *sock;

static void setup(void)
{
    block_setup();
    sock = path_of("sock");
}

static void teardown(void)
{
    block_teardown();
    nbd_server_kill();
    g_free(sock);
}

static void nbd_disk(Disk *d, const char *more)
{
    disk_open(d,
              node_add("{'driver':'nbd','node-name':'n','server':{'type':'unix','path':'%s'}%s}",
                       sock, more),
              true);
}

/* --- the library --- */

static const char *dlopen_instead; /* of libnbd; NULL: what is asked for */
void *__real_dlopen(const char *name, int flags);
void *__wrap_dlopen(const char *name, int flags);

void *__wrap_dlopen(const char *name, int flags)
{
    return __real_dlopen(dlopen_instead ?: name, flags);
}

static bool is_mapped(const char *library)
{
    g_autofree char *maps = NULL;

    ck_assert(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    return strstr(maps, library) != NULL;
}

START_TEST(libnbd_is_loaded_with_the_first_nbd_disk)
{
    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    node_add("{'driver':'null-co','node-name':'null','size':1048576}");
    ck_assert(!is_mapped("libnbd"));
    ck_assert(!is_mapped("libgnutls"));
    for (unsigned i = 0; i < 2; i++) {
        node_add("{'driver':'nbd','node-name':'n%u','server':{'type':'unix','path':'%s'}}", i,
                 sock);
        ck_assert(is_mapped("libnbd"));
    }
}
END_TEST

START_TEST(without_libnbd_one_line_says_so)
{
    static const char *const instead[][2] = {
        {"libno-such-thing.so.0", "apt-get install libnbd0"},
        {"libc.so.6", "libnbd.so.0 is too old, it has no nbd_create"},
    };

    dlopen_instead = instead[_i][0];
    node_add_fails(instead[_i][1], "{'driver':'nbd','server':{'type':'unix','path':'%s'}}", sock);
}
END_TEST

/* --- integrity --- */

static const char *const servers[] = {
    "nbdkit -f -U %s memory 4M",
    "nbdkit -f -U %s memory 4M --filter=fua fuamode=emulate",
    "nbdkit -f -U %s memory 4M --filter=nozero",
    ("nbdkit -f -U %s memory 4M --filter=blocksize-policy blocksize-minimum=512 "
     "blocksize-preferred=4096 blocksize-maximum=1M blocksize-error-policy=error"),
};

START_TEST(what_was_written_to_a_server_is_read_back)
{
    g_autofree char *command = g_strdup_printf(servers[_i], sock);
    ModelSpec spec = {.seed = 300 + (unsigned)_i, .batches = 60, .align = 512, .misalign = 1};
    Disk d;

    nbd_serve(sock, "%s", command);
    nbd_disk(&d, ",'discard':'unmap'");
    ck_assert_uint_eq(block_limits(d.node)->size, 4 * MIB);
    model_run(&d, &spec);
    disk_close(&d);
}
END_TEST

START_TEST(a_qcow2_image_is_a_disk_through_qemu_nbd)
{
    g_autofree char *image = path_of("image.qcow2");
    g_autofree char *make = g_strdup_printf("qemu-img create -q -f qcow2 %s 4M", image);
    ModelSpec spec = {.seed = 400, .batches = 40, .align = 512};
    Disk d;

    ck_assert_int_eq(system(make), 0); /* NOLINT: the test's own text */
    nbd_serve(sock, "qemu-nbd -f qcow2 -k %s --discard=unmap %s", sock, image);
    nbd_disk(&d, ",'discard':'unmap'");
    model_run(&d, &spec);
    disk_close(&d);
}
END_TEST

START_TEST(an_overlay_keeps_a_servers_disk_as_it_is)
{
    static const char *const backing[] = {
        "{'driver':'nbd','read-only':true,'server':{'type':'unix','path':'%s'}}",
        "{'driver':'blkdebug','image':{'driver':'nbd','auto-read-only':true,"
        "'server':{'type':'unix','path':'%s'}}}",
    };
    ModelSpec spec = {.seed = 500 + (unsigned)_i, .batches = 40, .align = 512, .misalign = 1};
    g_auto(GStrv) parts = g_strsplit(backing[_i], "%s", 2);
    g_autofree char *below = NULL;
    Disk d;

    nbd_serve(sock, "nbdkit -f -r -U %s memory 4M", sock);
    below = g_strjoinv(sock, parts);
    disk_open(&d,
              node_add("{'driver':'overlay','directory':'%s','discard':'unmap','backing':%s}", dir,
                       below),
              true);
    model_run(&d, &spec);
    disk_close(&d);
}
END_TEST

/* --- opening --- */

START_TEST(bad_servers_and_options_get_one_line)
{
    node_add_fails("'server.type' is missing", "{'driver':'nbd'}");
    node_add_fails("'server.path' is missing", "{'driver':'nbd','server.type':'unix'}");
    node_add_fails("'server.host' is missing", "{'driver':'nbd','server':{'type':'inet'}}");
    node_add_fails("cannot connect to nbd+unix:///?socket=/nowhere/s",
                   "{'driver':'nbd','server':{'type':'unix','path':'/nowhere/s'}}");
    node_add_fails("TLS is used with uri=nbds://",
                   "{'driver':'nbd','tls-creds':'x','server.type':'unix'}");
}
END_TEST

START_TEST(a_read_only_export_needs_a_read_only_node)
{
    BlockNode *n;

    nbd_serve(sock, "nbdkit -f -r -U %s memory 1M", sock);
    node_add_fails("exports it read-only; use read-only=on",
                   "{'driver':'nbd','server':{'type':'unix','path':'%s'}}", sock);
    n = node_add("{'driver':'nbd','auto-read-only':true,'server':{'type':'unix','path':'%s'}}",
                 sock);
    ck_assert(block_limits(n)->read_only);
    node_add("{'driver':'nbd','read-only':true,'uri':'nbd+unix:///?socket=%s'}", sock);
}
END_TEST

START_TEST(an_export_that_is_not_there_is_refused)
{
    g_autofree char *image = make_file("image", MIB);

    nbd_serve(sock, "qemu-nbd -f raw -t -e 4 -x right -k %s %s", sock, image);
    node_add_fails("cannot connect to nbd+unix:///wrong",
                   "{'driver':'nbd','export':'wrong','server':{'type':'unix','path':'%s'}}", sock);
    node_add("{'driver':'nbd','export':'right','server':{'type':'unix','path':'%s'}}", sock);
}
END_TEST

START_TEST(the_rest_of_the_last_sector_is_zeroes)
{
    uint8_t buf[1024], in[1024];
    Disk d;

    nbd_serve(sock, "nbdkit -f -U %s memory 1000", sock);
    nbd_disk(&d, ",'discard':'unmap'");
    ck_assert_uint_eq(block_limits(d.node)->size, 1024);
    memset(buf, 7, sizeof buf);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 1024), -EIO); /* it would not be kept */
    memset(buf + 1000, 0, 24);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 1024), 0);
    memset(in, 9, sizeof in);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, in, 1024), 0);
    ck_assert_mem_eq(in, buf, 1024);
    memset(in, 9, sizeof in);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 512, in, 512), 0);
    ck_assert_mem_eq(in, buf + 512, 512);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 1000, in, 24), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE_ZEROES, 512, NULL, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_DISCARD, 512, NULL, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, in, 1024), 0);
    expect_bytes(in, 7, 512);
    expect_bytes(in + 512, 0, 512);
    disk_close(&d);
}
END_TEST

START_TEST(a_server_that_is_late_is_waited_for)
{
    int64_t begin = g_get_monotonic_time();
    uint8_t buf[512] = {0};
    Disk d;

    node_add_fails("cannot connect to",
                   "{'driver':'nbd','open-timeout':1,'server':{'type':'unix','path':'%s'}}", sock);
    ck_assert_int_ge(g_get_monotonic_time() - begin, G_USEC_PER_SEC);
    nbd_serve_later(sock, 700, "nbdkit -f -U %s memory 1M", sock);
    nbd_disk(&d, ",'open-timeout':30");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    disk_close(&d);
}
END_TEST

/* --- errors and loss --- */

START_TEST(the_servers_errors_reach_the_guest_and_the_disk_goes_on)
{
    g_autofree char *trigger = path_of("trigger");
    uint8_t buf[512] = {1};
    Disk d;

    nbd_serve(sock,
              "nbdkit -f -U %s memory 1M --filter=error error=ENOSPC error-pwrite-rate=100%% "
              "error-file=%s",
              sock, trigger);
    nbd_disk(&d, "");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    ck_assert(g_file_set_contents(trigger, "", 0, NULL));
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -ENOSPC);
    unlink(trigger);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    disk_close(&d);
}
END_TEST

START_TEST(requests_wait_for_a_server_that_comes_back)
{
    enum { N = 32 };
    g_autofree char *image = make_file("image", MIB);
    static uint8_t buf[N][4096];
    uint8_t back[4096];
    Io io[N];
    Disk d;

    nbd_serve(sock, "qemu-nbd -f raw -t -k %s %s", sock, image);
    nbd_disk(&d, ",'reconnect-delay':60");
    memset(back, 9, sizeof back);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 512 * 1024, back, sizeof back), 0);
    nbd_server_kill();
    for (unsigned i = 0; i < N; i++) {
        memset(buf[i], (int)i + 1, sizeof buf[i]);
        io_init(&io[i], BLOCK_WRITE, i * 4096, buf[i], 4096);
        block_submit(d.q, &io[i].req);
    }
    for (unsigned i = 0; i < 50; i++) {
        loop_iterate(loop, false);
        g_usleep(1000);
    }
    ck_assert_uint_eq(block_in_flight(d.q), N);
    block_cancel(&io[N - 1].req);
    io_wait(&d, &io[N - 1]);
    ck_assert_int_eq(io[N - 1].ret, -ECANCELED);
    nbd_serve(sock, "qemu-nbd -f raw -t -k %s %s", sock, image);
    if (_i) {
        block_drain(d.q);
    }
    for (unsigned i = 0; i < N - 1; i++) {
        io_wait(&d, &io[i]);
        ck_assert_int_eq(io[i].ret, 0);
        ck_assert_int_eq(disk_io(&d, BLOCK_READ, i * 4096, back, 4096), 0);
        expect_bytes(back, (int)i + 1, 4096);
    }
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 512 * 1024, back, sizeof back), 0);
    expect_bytes(back, 9, sizeof back);
    disk_close(&d);
}
END_TEST

START_TEST(without_patience_requests_fail_until_the_server_is_back)
{
    g_autofree char *image = make_file("image", MIB);
    uint8_t buf[512] = {0};
    int64_t end;
    Disk d;

    nbd_serve(sock, "qemu-nbd -f raw -t -k %s %s", sock, image);
    nbd_disk(&d, "");
    nbd_server_kill();
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), -EIO);
    nbd_serve(sock, "qemu-nbd -f raw -t -k %s %s", sock, image);
    end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (disk_io(&d, BLOCK_WRITE, 0, buf, 512) != 0) {
        ck_assert_int_lt(g_get_monotonic_time(), end);
        loop_iterate(loop, false);
        g_usleep(10000);
    }
    disk_close(&d);
}
END_TEST

START_TEST(a_server_killed_with_requests_under_way_loses_none_of_them)
{
    enum { N = 16 };
    g_autofree char *image = make_file("image", MIB);
    static uint8_t buf[N][4096];
    Io io[N];
    Disk d;

    nbd_serve(sock, "nbdkit -f -U %s file %s --filter=delay wdelay=200ms", sock, image);
    nbd_disk(&d, ",'reconnect-delay':60");
    for (unsigned i = 0; i < N; i++) {
        memset(buf[i], (int)i + 1, sizeof buf[i]);
        io_init(&io[i], BLOCK_WRITE, i * 4096, buf[i], 4096);
        block_submit(d.q, &io[i].req);
    }
    loop_iterate(loop, false);
    g_usleep(50000);
    nbd_server_kill();
    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    for (unsigned i = 0; i < N; i++) {
        uint8_t back[4096];

        io_wait(&d, &io[i]);
        ck_assert_int_eq(io[i].ret, 0);
        ck_assert_int_eq(disk_io(&d, BLOCK_READ, i * 4096, back, 4096), 0);
        expect_bytes(back, (int)i + 1, 4096);
    }
    disk_close(&d);
}
END_TEST

/* The server may have had them in its cache alone, and be another one now. */
START_TEST(writes_that_a_lost_server_did_not_flush_fail_the_next_flush)
{
    g_autofree char *image = make_file("image", MIB);
    uint8_t buf[512] = {1};
    BlockQueue *other;
    Io io;
    Disk d;

    nbd_serve(sock, "qemu-nbd -f raw -t -e 2 -k %s %s", sock, image);
    nbd_disk(&d, ",'reconnect-delay':60");
    other = block_queue_new(d.user, loop, NULL);
    ck_assert_ptr_nonnull(other);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    if (_i == 1) { /* what was flushed is safe */
        ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0);
    }
    nbd_server_kill();
    nbd_serve(sock, "qemu-nbd -f raw -t -e 2 -k %s %s", sock, image);
    if (_i == 0) {
        ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 512, buf, 512), 0);
    }
    io_init(&io, BLOCK_FLUSH, 0, NULL, 0);
    block_submit(_i == 2 ? other : d.q, &io.req);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, _i == 1 ? 0 : -EIO);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_FLUSH, 0, NULL, 0), 0); /* the guest was told */
    block_queue_free(other);
    disk_close(&d);
}
END_TEST

START_TEST(a_server_that_says_it_shuts_down_is_left)
{
    g_autofree char *trigger = path_of("trigger");
    uint8_t buf[512] = {1};
    int64_t end;
    Disk d;

    nbd_serve(sock,
              "nbdkit -f -U %s memory 1M --filter=error error=ESHUTDOWN error-pwrite-rate=100%% "
              "error-file=%s",
              sock, trigger);
    nbd_disk(&d, "");
    ck_assert(g_file_set_contents(trigger, "", 0, NULL));
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -EIO);
    unlink(trigger);
    end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (disk_io(&d, BLOCK_WRITE, 0, buf, 512) != 0) {
        ck_assert_int_lt(g_get_monotonic_time(), end);
        g_usleep(20000);
    }
    disk_close(&d);
}
END_TEST

START_TEST(the_only_connection_that_a_server_takes_is_kept_for_the_queue)
{
    g_autofree char *image = make_file("image", MIB);
    uint8_t buf[512] = {0};
    Disk d;

    nbd_serve(sock, "qemu-nbd -f raw -k %s %s", sock, image); /* one client, then it ends */
    nbd_disk(&d, "");
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), 0);
    disk_close(&d);
    disk_open(&d, block_node_find(root, "n"), true);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), 0);
    disk_close(&d);
}
END_TEST

/* --- a server that says nothing --- */

enum { HUNG = 8 };

/* Some writes to a server that is stopped before it can answer. */
static void hang(Disk *d, Io *io, const char *more)
{
    static uint8_t buf[512];

    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    nbd_disk(d, more);
    ck_assert_int_eq(disk_io(d, BLOCK_WRITE, 0, buf, 512), 0);
    kill(nbd_server, SIGSTOP);
    ck_assert_int_eq(waitpid(nbd_server, NULL, WUNTRACED), nbd_server); /* all its threads have */
    for (unsigned i = 0; i < HUNG; i++) {
        io_init(&io[i], BLOCK_WRITE, i * 512, buf, 512);
        block_submit(d->q, &io[i].req);
    }
}

START_TEST(a_server_that_hangs_does_not_hold_up_a_reset)
{
    int64_t begin = g_get_monotonic_time();
    Io io[HUNG];
    Disk d;

    hang(&d, io, ",'reconnect-delay':3600");
    for (unsigned i = 0; i < HUNG; i++) {
        block_cancel(&io[i].req);
        block_cancel(&io[i].req);
    }
    block_drain(d.q);
    ck_assert_int_lt(g_get_monotonic_time() - begin, 20 * G_USEC_PER_SEC);
    for (unsigned i = 0; i < HUNG; i++) {
        ck_assert_uint_eq(io[i].done, 1);
        ck_assert_int_eq(io[i].ret, -ECANCELED);
    }
    disk_close(&d);
}
END_TEST

START_TEST(after_request_timeout_requests_fail)
{
    Io io[HUNG];
    Disk d;

    hang(&d, io, ",'request-timeout':1");
    if (_i) {
        block_drain(d.q);
    }
    for (unsigned i = 0; i < HUNG; i++) {
        io_wait(&d, &io[i]);
        ck_assert_int_eq(io[i].ret, -EIO);
    }
    disk_close(&d);
}
END_TEST

START_TEST(after_request_timeout_requests_go_to_a_server_that_answers)
{
    uint8_t buf[512];
    Io io[HUNG];
    pid_t hung;
    Disk d;

    hang(&d, io, ",'request-timeout':1,'reconnect-delay':60");
    hung = nbd_server;
    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    for (unsigned i = 0; i < HUNG; i++) {
        io_wait(&d, &io[i]);
        ck_assert_int_eq(io[i].ret, 0);
    }
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, (HUNG - 1) * 512, buf, 512), 0);
    expect_bytes(buf, 0, 512);
    disk_close(&d);
    kill(hung, SIGKILL);
    waitpid(hung, NULL, 0);
}
END_TEST

START_TEST(a_slow_server_is_not_a_silent_one)
{
    uint8_t buf[512] = {0};
    Disk d;

    nbd_serve(sock, "nbdkit -f -U %s memory 1M --filter=delay wdelay=400ms", sock);
    nbd_disk(&d, ",'request-timeout':1");
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    }
    disk_close(&d);
}
END_TEST

/* --- a server that comes back with something else --- */

static const char *const changed[][2] = {
    {"memory 1M", "memory 512k"},
    {"memory 1M", "-r memory 1M"},
    {"memory 1M --filter=fua fuamode=emulate", "memory 1M --filter=fua"},
    {"memory 1M", "memory 1M --filter=nozero"},
    {"memory 1M", ("memory 1M --filter=blocksize-policy blocksize-minimum=4096 "
                   "blocksize-preferred=4096 blocksize-maximum=1M")},
};

START_TEST(a_server_that_comes_back_with_less_is_not_taken)
{
    uint8_t buf[512] = {1};
    int64_t end;
    Disk d;

    nbd_serve(sock, "nbdkit -f -U %s %s", sock, changed[_i][0]);
    nbd_disk(&d, ",'discard':'unmap'");
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), 0);
    nbd_server_kill();
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -EIO);
    nbd_serve(sock, "nbdkit -f -U %s %s", sock, changed[_i][1]);
    end = g_get_monotonic_time() + 1500000; /* a few attempts */
    while (g_get_monotonic_time() < end) {
        ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, 512), -EIO);
        g_usleep(20000);
    }
    nbd_server_kill();
    nbd_serve(sock, "nbdkit -f -U %s %s", sock, changed[_i][0]);
    end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    while (disk_io(&d, BLOCK_WRITE, 0, buf, 512) != 0) {
        ck_assert_int_lt(g_get_monotonic_time(), end);
        g_usleep(20000);
    }
    disk_close(&d);
}
END_TEST

START_TEST(a_server_that_comes_back_larger_can_be_shown)
{
    uint8_t buf[512] = {1};
    g_autoptr(GError) err = NULL;
    json_t *info;
    Disk d;

    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    nbd_disk(&d, ",'reconnect-delay':60");
    ck_assert(!block_node_resize(d.node, 2 * MIB, &err));
    ck_assert_msg(strstr(err->message, "the server had 1048576 bytes when") != NULL, "%s",
                  err->message);
    nbd_server_kill();
    nbd_serve(sock, "nbdkit -f -U %s memory 2M", sock);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, 512), 0);
    ck_assert_uint_eq(block_limits(d.node)->size, MIB);
    info = block_node_info(d.node);
    ck_assert_int_eq(json_integer_value(json_object_get(info, "x-server-size")), 2 * MIB);
    json_decref(info);
    g_clear_error(&err);
    ck_assert(!block_node_resize(d.node, 3 * MIB, &err));
    ck_assert(block_node_resize(d.node, 2 * MIB, NULL));
    ck_assert_uint_eq(d.resized, 1);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 2 * MIB - 512, buf, 512), 0);
    disk_close(&d);
}
END_TEST

/* --- TLS --- */

START_TEST(a_server_with_tls_is_reached_by_its_uri)
{
    g_autofree char *psk = path_of("psk");
    uint8_t buf[512] = {7}, back[512];
    Disk d;

    ck_assert(g_file_set_contents(psk, "guest:00112233445566778899aabbccddeeff\n", -1, NULL));
    nbd_serve(sock, "nbdkit -f --tls=require --tls-psk=%s -U %s memory 1M", psk, sock);
    node_add_fails("cannot connect to", "{'driver':'nbd','uri':'nbd+unix:///?socket=%s'}", sock);
    disk_open(&d,
              node_add("{'driver':'nbd','node-name':'n',"
                       "'uri':'nbds+unix://guest@/?socket=%s&tls-psk-file=%s'}",
                       sock, psk),
              true);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 512, buf, 512), 0);
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 512, back, 512), 0);
    ck_assert_mem_eq(buf, back, 512);
    disk_close(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-nbd");
    TCase *tc = tcase_create("nbd");

    if (!nbd_servers_installed()) {
        fprintf(stderr, "nbdkit or qemu-nbd is not installed\n");
        return 77;
    }
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, libnbd_is_loaded_with_the_first_nbd_disk);
    tcase_add_loop_test(tc, without_libnbd_one_line_says_so, 0, 2);
    tcase_add_loop_test(tc, what_was_written_to_a_server_is_read_back, 0, G_N_ELEMENTS(servers));
    tcase_add_loop_test(tc, an_overlay_keeps_a_servers_disk_as_it_is, 0, 2);
    tcase_add_test(tc, a_qcow2_image_is_a_disk_through_qemu_nbd);
    tcase_add_test(tc, bad_servers_and_options_get_one_line);
    tcase_add_test(tc, a_read_only_export_needs_a_read_only_node);
    tcase_add_test(tc, an_export_that_is_not_there_is_refused);
    tcase_add_test(tc, the_rest_of_the_last_sector_is_zeroes);
    tcase_add_test(tc, a_server_that_is_late_is_waited_for);
    tcase_add_test(tc, the_servers_errors_reach_the_guest_and_the_disk_goes_on);
    tcase_add_loop_test(tc, requests_wait_for_a_server_that_comes_back, 0, 2);
    tcase_add_test(tc, without_patience_requests_fail_until_the_server_is_back);
    tcase_add_test(tc, a_server_killed_with_requests_under_way_loses_none_of_them);
    tcase_add_loop_test(tc, writes_that_a_lost_server_did_not_flush_fail_the_next_flush, 0, 3);
    tcase_add_test(tc, a_server_that_says_it_shuts_down_is_left);
    tcase_add_test(tc, the_only_connection_that_a_server_takes_is_kept_for_the_queue);
    tcase_add_test(tc, a_server_that_hangs_does_not_hold_up_a_reset);
    tcase_add_loop_test(tc, after_request_timeout_requests_fail, 0, 2);
    tcase_add_test(tc, after_request_timeout_requests_go_to_a_server_that_answers);
    tcase_add_test(tc, a_slow_server_is_not_a_silent_one);
    tcase_add_loop_test(tc, a_server_that_comes_back_with_less_is_not_taken, 0,
                        G_N_ELEMENTS(changed));
    tcase_add_test(tc, a_server_that_comes_back_larger_can_be_shown);
    tcase_add_test(tc, a_server_with_tls_is_reached_by_its_uri);
    return suite_run(s);
}
