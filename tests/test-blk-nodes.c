/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk on real nodes that fail, vanish, change and are slow: files and NBD servers, with
 * blkdebug and throttle above them, over the whole transport matrix.
 */
#include "tests/test-blk.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/nbd-fixture.h"
#include "tests/suite.h"

enum { WAITS = 100000, WAIT_US = 100 };

static char *dir, *image, *sock;
static unsigned stops; /* requests for a stop */

static void note_stop(Platform *p, StopCause cause)
{
    stops += cause == STOP_CAUSE_IO_ERROR;
}

static void setup(void)
{
    dir = g_dir_make_tmp("test-blk-XXXXXX", NULL);
    image = g_build_filename(dir, "image", NULL);
    sock = g_build_filename(dir, "sock", NULL);
    g_file_set_contents(image, "", 0, NULL);
    ck_assert_int_eq(truncate(image, DISK), 0);
    stops = 0;
}

static void teardown(void)
{
    nbd_server_kill();
    unlink(image);
    unlink(sock);
    rmdir(dir);
    g_free(image);
    g_free(sock);
    g_free(dir);
}

/* The node's options have one %s, for the image or the socket. */
static FakeDriver *start(unsigned cell, const char *options, const char *path, const char *props)
{
    static PlatformOps ops;
    g_auto(GStrv) parts = g_strsplit(options, "%s", 2);
    g_autofree char *all = g_strjoinv(path, parts);
    FakeDriver *d = blk_probe_node(cell, all, props);

    ops = *d->m->p.ops;
    ops.stop_request = note_stop;
    d->m->p.ops = &ops;
    fake_driver_up(d);
    return d;
}

static BlockNode *node_of(FakeDriver *d)
{
    return block_node_find(d->m->p.root, "disk0");
}

static bool get_soon(FakeDriver *d)
{
    for (unsigned i = 0; i < WAITS; i++) {
        fake_machine_run(d->m);
        if (fake_driver_get(d, 0, NULL, NULL)) {
            return true;
        }
        g_usleep(WAIT_US);
    }
    return false;
}

/* Kicks and waits for one. */
static uint8_t finish(FakeDriver *d, const BlkIo *io)
{
    fake_driver_kick(d, 0);
    ck_assert(get_soon(d));
    return blk_status(d, io);
}

static uint8_t do_io(FakeDriver *d, uint32_t type, uint64_t sector, const void *out,
                     uint32_t out_len, uint32_t in_len)
{
    BlkIo io = blk_add(d, 0, type, sector, out, out_len, in_len);

    return finish(d, &io);
}

static uint8_t write_byte(FakeDriver *d, uint64_t sector, int byte)
{
    uint8_t buf[SECTOR];

    memset(buf, byte, sizeof buf);
    return do_io(d, VIRTIO_BLK_T_OUT, sector, buf, SECTOR, 0);
}

/* The byte that fills a sector; -1: the read failed. */
static int read_byte(FakeDriver *d, uint64_t sector)
{
    BlkIo io = blk_add(d, 0, VIRTIO_BLK_T_IN, sector, NULL, 0, SECTOR);
    uint8_t buf[SECTOR];

    if (finish(d, &io) != VIRTIO_BLK_S_OK) {
        return -1;
    }
    ck_assert(gmem_read(d->m->p.mem, io.data, buf, sizeof buf));
    ck_assert(!memcmp(buf, buf + 1, sizeof buf - 1));
    return buf[0];
}

static void set_rules(FakeDriver *d, const char *rules)
{
    json_t *list = parse_json(rules, strlen(rules), NULL);

    ck_assert(property_set_json(OBJECT(node_of(d)), "inject-error", list, NULL));
    json_decref(list);
}

/* Until the VM asks to be stopped. */
static void await_stop(FakeDriver *d)
{
    for (unsigned i = 0; i < WAITS && !stops; i++) {
        fake_machine_run(d->m);
        g_usleep(stops ? 0 : WAIT_US);
    }
    ck_assert_uint_eq(stops, 1);
    stops = 0;
}

static const char *const files[] = {
    "{'driver': 'file', 'filename': '%s', 'aio': 'io_uring', 'discard': 'unmap'}",
    "{'driver': 'file', 'filename': '%s', 'aio': 'threads', 'discard': 'unmap'}",
};
enum { FILES = G_N_ELEMENTS(files) };

static FakeDriver *start_file(int i, const char *props)
{
    return start((unsigned)i / FILES, files[i % FILES], image, props);
}

/* --- what is there vanishes --- */

START_TEST(a_file_that_is_truncated_reads_as_zeroes_and_grows_again)
{
    g_autoptr(FakeDriver) d = start_file(_i, NULL);

    ck_assert_uint_eq(write_byte(d, 7, 0x77), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 7), 0x77);
    ck_assert_int_eq(truncate(image, 0), 0);
    ck_assert_int_eq(read_byte(d, 7), 0);
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert_uint_eq(write_byte(d, 9, 0x99), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 9), 0x99);
    ck_assert_int_eq(read_byte(d, DISK / SECTOR - 1), 0);
}
END_TEST

START_TEST(a_file_that_is_removed_stays_until_the_device_leaves)
{
    g_autoptr(FakeDriver) d = start_file(_i, NULL);

    ck_assert_int_eq(unlink(image), 0);
    ck_assert_uint_eq(write_byte(d, 7, 0x77), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 7), 0x77);
}
END_TEST

START_TEST(a_file_of_odd_size_ends_with_zeroes)
{
    g_autoptr(FakeDriver) d = NULL;
    uint8_t old[1000], got[SECTOR];
    BlkIo io;

    memset(old, 0x11, sizeof old);
    ck_assert(g_file_set_contents(image, (char *)old, sizeof old, NULL));
    d = start_file(_i, NULL);
    ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 8), 2); /* as in QEMU */
    io = blk_add(d, 0, VIRTIO_BLK_T_IN, 1, NULL, 0, SECTOR);
    ck_assert_uint_eq(finish(d, &io), VIRTIO_BLK_S_OK);
    ck_assert(gmem_read(d->m->p.mem, io.data, got, sizeof got));
    ck_assert_uint_eq(got[1000 - SECTOR - 1], 0x11);
    ck_assert_uint_eq(got[1000 - SECTOR], 0);
    ck_assert_uint_eq(write_byte(d, 1, 0x22), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 1), 0x22);
    ck_assert_int_eq(read_byte(d, 2), -1);
}
END_TEST

START_TEST(an_empty_file_is_a_disk_without_sectors)
{
    g_autoptr(FakeDriver) d = NULL;

    ck_assert_int_eq(truncate(image, 0), 0);
    d = start_file(_i, NULL);
    ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 8), 0);
    ck_assert_int_eq(read_byte(d, 0), -1);
    ck_assert_uint_eq(write_byte(d, 0, 1), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert(block_node_resize(node_of(d), DISK, NULL)); /* and it may become one with */
    ck_assert_uint_eq(write_byte(d, 0, 0x12), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 0), 0x12);
}
END_TEST

static const char nbd[] = "{'driver': 'nbd', 'server': {'type': 'unix', 'path': '%s'}}";

START_TEST(a_server_that_vanishes_fails_requests_until_it_is_back)
{
    g_autoptr(FakeDriver) d = NULL;
    unsigned tries = 0;

    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    d = start((unsigned)_i, nbd, sock, NULL);
    ck_assert_uint_eq(write_byte(d, 7, 0x77), VIRTIO_BLK_S_OK);
    nbd_server_kill();
    ck_assert_uint_eq(write_byte(d, 7, 0x78), VIRTIO_BLK_S_IOERR);
    ck_assert_int_eq(read_byte(d, 7), -1);
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_IOERR);
    ck_assert(d->m->events->len >= 3);
    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    while (read_byte(d, 7) != 0x77) {
        blk_recycle(d);
        ck_assert_uint_lt(tries++, 2000);
        g_usleep(10000);
    }
}
END_TEST

/* As qemu-nbd is without --shared. */
START_TEST(a_server_of_one_connection_gives_a_disk_of_one_queue)
{
    FakeMachine *m = fake_machine_new(0);
    g_autoptr(FakeDriver) d = NULL;
    g_autofree char *text = g_strdup_printf(
        "{\"driver\": \"overlay\", \"node-name\": \"disk0\", \"backing\": {\"driver\": \"nbd\", "
        "\"server\": {\"type\": \"unix\", \"path\": \"%s\"}}}",
        sock);
    json_t *opts = json_loads(text, 0, NULL);
    g_autoptr(GError) err = NULL;

    m->p.n_cpus = 3;
    for (unsigned i = 0; block_types[i]; i++) {
        type_register(block_types[i]);
    }
    nbd_serve(sock, "qemu-nbd -t -f raw -k %s %s", sock, image);
    ck_assert_msg(block_node_add(m->p.root, m->p.loop, opts, &err) != NULL, "%s",
                  err ? err->message : "");
    json_decref(opts);
    d = fake_driver_probe_on(m, "virtio-blk", (unsigned)_i, "drive=disk0");
    ck_assert(!blk_offers(d, VIRTIO_BLK_F_MQ));
    fake_driver_up(d);
    ck_assert_int_eq(read_byte(d, 7), 0);
}
END_TEST

START_TEST(a_server_that_vanishes_may_stop_the_vm)
{
    uint8_t buf[SECTOR];
    g_autoptr(FakeDriver) d = NULL;
    BlkIo io;

    memset(buf, 0x77, sizeof buf);
    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    d = start((unsigned)_i, nbd, sock, "werror=stop,rerror=stop");
    ck_assert_uint_eq(write_byte(d, 8, 0x11), VIRTIO_BLK_S_OK);
    nbd_server_kill();
    io = blk_add(d, 0, VIRTIO_BLK_T_OUT, 7, buf, SECTOR, 0);
    fake_driver_kick(d, 0);
    await_stop(d);
    ck_assert_uint_eq(blk_status(d, &io), NO_STATUS);
    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    for (unsigned i = 0; blk_status(d, &io) == NO_STATUS; i++) { /* the user tries again */
        ck_assert_uint_lt(i, 2000);
        platform_run_changed(&d->m->p, true);
        fake_machine_run(d->m);
        g_usleep(10000);
    }
    ck_assert(get_soon(d));
    ck_assert_uint_eq(blk_status(d, &io), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 7), 0x77);
}
END_TEST

START_TEST(reset_ends_the_wait_for_a_server)
{
    static const char patient[] = "{'driver': 'nbd', 'reconnect-delay': 3600, "
                                  "'server': {'type': 'unix', 'path': '%s'}}";
    uint8_t buf[SECTOR] = {1};
    g_autoptr(FakeDriver) d = NULL;

    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    d = start((unsigned)_i, patient, sock, NULL);
    nbd_server_kill();
    blk_add(d, 0, VIRTIO_BLK_T_OUT, 7, buf, SECTOR, 0);
    fake_driver_kick(d, 0);
    fake_machine_run(d->m);
    fake_driver_reset(d);
    ck_assert_uint_eq(block_in_flight(((BlockUser *)node_of(d)->users->pdata[0])->queues->pdata[0]),
                      0);
    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    blk_recycle(d);
    fake_driver_up(d);
    ck_assert_uint_eq(write_byte(d, 9, 0x99), VIRTIO_BLK_S_OK); /* it waits for the connection */
}
END_TEST

START_TEST(reset_does_not_wait_for_a_server_that_hangs)
{
    enum { QUEUES = 4 };
    static const char patient[] = "{'driver': 'nbd', 'reconnect-delay': 3600, "
                                  "'server': {'type': 'unix', 'path': '%s'}}";
    g_autoptr(FakeDriver) d = NULL;
    BlkIo io[QUEUES];
    uint8_t data[SECTOR];

    nbd_serve(sock, "nbdkit -f -U %s file %s", sock, image);
    d = start((unsigned)_i, patient, sock, "num-queues=4");
    kill(nbd_server, SIGSTOP);
    ck_assert_int_eq(waitpid(nbd_server, NULL, WUNTRACED), nbd_server);
    for (unsigned q = 0; q < QUEUES; q++) {
        io[q] = blk_add(d, q, VIRTIO_BLK_T_IN, 7, NULL, 0, SECTOR);
        memset(data, 0x55, sizeof data);
        ck_assert(gmem_write(d->m->p.mem, io[q].data, data, sizeof data));
        fake_driver_kick(d, q);
    }
    fake_machine_run(d->m);
    fake_driver_reset(d);
    kill(nbd_server, SIGCONT);
    for (unsigned i = 0; i < 100; i++) {
        fake_machine_run(d->m);
        g_usleep(1000);
    }
    for (unsigned q = 0; q < QUEUES; q++) { /* its memory is the guest's again */
        ck_assert(gmem_read(d->m->p.mem, io[q].data, data, sizeof data));
        ck_assert_uint_eq(data[0], 0x55);
        ck_assert(!memcmp(data, data + 1, sizeof data - 1));
    }
    blk_recycle(d);
    fake_driver_up(d);
    ck_assert_uint_eq(write_byte(d, 9, 0x99), VIRTIO_BLK_S_OK);
}
END_TEST

/* --- what the storage refuses --- */

static const char debug[] = "{'driver': 'blkdebug', 'discard': 'unmap', "
                            "'image': {'driver': 'file', 'filename': '%s'}}";

static const struct {
    uint32_t type;
    const char *name;
} kinds[] = {
    {VIRTIO_BLK_T_IN, "read"},
    {VIRTIO_BLK_T_OUT, "write"},
    {VIRTIO_BLK_T_FLUSH, "flush"},
    {VIRTIO_BLK_T_DISCARD, "discard"},
    {VIRTIO_BLK_T_WRITE_ZEROES, "write-zeroes"},
};

/* The device is asked for a sector. */
static uint8_t do_kind(FakeDriver *d, unsigned kind)
{
    static const uint8_t range[16] = {7, 0, 0, 0, 0, 0, 0, 0, 1}, data[SECTOR] = {5};
    uint32_t type = kinds[kind].type;
    bool ranges = type == VIRTIO_BLK_T_DISCARD || type == VIRTIO_BLK_T_WRITE_ZEROES;
    uint32_t out = ranges ? 16 : type == VIRTIO_BLK_T_OUT ? SECTOR : 0;

    return do_io(d, type, type == VIRTIO_BLK_T_FLUSH || ranges ? 0 : 7, ranges ? range : data, out,
                 type == VIRTIO_BLK_T_IN ? SECTOR : 0);
}

START_TEST(every_error_of_every_request_is_reported_and_the_device_goes_on)
{
    static const int errors[] = {EIO, ENOSPC, EFBIG, ENOMEM, EAGAIN, EBADF, EROFS};
    g_autoptr(FakeDriver) d = start((unsigned)_i, debug, image, "werror=report");

    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        for (unsigned e = 0; e < G_N_ELEMENTS(errors); e++) {
            g_autofree char *rules = g_strdup_printf(
                "[{'iotype': '%s', 'once': true, 'errno': %d}]", kinds[k].name, errors[e]);

            set_rules(d, rules);
            ck_assert_uint_eq(do_kind(d, k), VIRTIO_BLK_S_IOERR);
            ck_assert_uint_eq(do_kind(d, k), VIRTIO_BLK_S_OK);
        }
    }
    ck_assert_uint_eq(d->m->events->len, G_N_ELEMENTS(kinds) * G_N_ELEMENTS(errors));
}
END_TEST

START_TEST(a_disk_without_room_stops_the_vm_with_every_kind_of_write)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i, debug, image, NULL);

    for (unsigned k = 0; k < G_N_ELEMENTS(kinds); k++) {
        g_autofree char *rules =
            g_strdup_printf("[{'iotype': '%s', 'once': true, 'errno': %d}]", kinds[k].name, ENOSPC);
        static const uint8_t range[16] = {7, 0, 0, 0, 0, 0, 0, 0, 1}, data[SECTOR] = {5};
        uint32_t type = kinds[k].type;
        uint32_t out = type == VIRTIO_BLK_T_OUT ? SECTOR : type == VIRTIO_BLK_T_FLUSH ? 0 : 16;
        BlkIo io;

        if (type == VIRTIO_BLK_T_IN) {
            continue;
        }
        set_rules(d, rules);
        io = blk_add(d, 0, type, 0, type == VIRTIO_BLK_T_OUT ? data : range, out, 0);
        fake_driver_kick(d, 0);
        await_stop(d);
        ck_assert_uint_eq(blk_status(d, &io), NO_STATUS);
        platform_run_changed(&d->m->p, true);
        ck_assert(get_soon(d));
        ck_assert_uint_eq(blk_status(d, &io), VIRTIO_BLK_S_OK);
    }
}
END_TEST

START_TEST(torn_requests_fail_and_succeed_when_they_are_tried_again)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i, debug, image, NULL);
    static uint8_t big[8 * SECTOR];

    memset(big, 0x44, sizeof big);
    set_rules(d, "[{'iotype': 'write', 'once': true, 'torn': 1024}]");
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_OUT, 0, big, sizeof big, 0), VIRTIO_BLK_S_IOERR);
    ck_assert_int_eq(read_byte(d, 1), 0x44);
    ck_assert_int_eq(read_byte(d, 2), 0);
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_OUT, 0, big, sizeof big, 0), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 7), 0x44);
    set_rules(d, "[{'iotype': 'read', 'once': true, 'torn': 1024}]");
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_IN, 0, NULL, 0, sizeof big), VIRTIO_BLK_S_IOERR);
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_IN, 0, NULL, 0, sizeof big), VIRTIO_BLK_S_OK);
}
END_TEST

/* --- under load --- */

static const char *const slow[] = {
    ("{'driver': 'blkdebug', 'inject-error': [{'delay-ns': 3600000000000, 'errno': 0}], "
     "'image': {'driver': 'file', 'filename': '%s'}}"),
    "{'driver': 'file', 'filename': '%s', 'aio': 'io_uring'}",
    "{'driver': 'file', 'filename': '%s', 'aio': 'threads'}",
    "{'driver': 'raw', 'size': 1048576, 'file': {'driver': 'file', 'filename': '%s'}}",
    "{'driver': 'overlay', 'backing': {'driver': 'file', 'filename': '%s', 'read-only': true}}",
};
enum { SLOW = G_N_ELEMENTS(slow), LOAD = 20 };

static void add_load(FakeDriver *d, int byte)
{
    uint8_t buf[SECTOR];

    memset(buf, byte, sizeof buf);
    for (unsigned i = 0; i < LOAD; i++) {
        blk_add(d, 0, VIRTIO_BLK_T_OUT, 2 * i, buf, SECTOR, 0);
        blk_add(d, 0, VIRTIO_BLK_T_IN, 2 * i + 1, NULL, 0, SECTOR);
    }
    blk_add(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
}

START_TEST(reset_with_requests_in_flight_ends_them_all)
{
    g_autoptr(FakeDriver) d = start((unsigned)_i / SLOW, slow[_i % SLOW], image, NULL);
    BlockUser *user = node_of(d)->users->pdata[0];
    uint8_t buf[SECTOR];

    for (unsigned round = 0; round < 4; round++) {
        add_load(d, 0x31);
        d->t->notify(d, 0);
        if (round % 2) {
            loop_iterate(d->m->p.loop, false);
        }
        fake_driver_reset(d);
        ck_assert_uint_eq(block_in_flight(user->queues->pdata[0]), 0);
        blk_recycle(d);
        fake_driver_up(d);
        ck_assert(!fake_driver_get(d, 0, NULL, NULL));
    }
    if (_i % SLOW == 0) {
        set_rules(d, "[]");
    }
    memset(buf, 0x55, sizeof buf);
    ck_assert_uint_eq(do_io(d, VIRTIO_BLK_T_OUT, 3, buf, SECTOR, 0), VIRTIO_BLK_S_OK);
    ck_assert_int_eq(read_byte(d, 3), 0x55);
}
END_TEST

START_TEST(resizes_under_load_lose_nothing)
{
    g_autoptr(FakeDriver) d = start_file(_i, NULL);

    for (unsigned round = 0; round < 4; round++) {
        blk_recycle(d);
        add_load(d, (int)round + 1);
        d->t->notify(d, 0);
        if (round % 2) {
            loop_iterate(d->m->p.loop, false);
        }
        ck_assert(block_node_resize(node_of(d), (round % 2 + 1) * (uint64_t)DISK, NULL));
        for (unsigned i = 0; i < 2 * LOAD + 1; i++) {
            ck_assert(get_soon(d));
        }
        ck_assert_int_eq(read_byte(d, 0), (int)round + 1);
        ck_assert_int_eq(read_byte(d, 2 * LOAD - 2), (int)round + 1);
        ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 8), (round % 2 + 1) * DISK / SECTOR);
    }
    ck_assert(block_node_resize(node_of(d), SECTOR * 4, NULL)); /* most of it is gone */
    ck_assert_int_eq(read_byte(d, 0), 4);
    ck_assert_int_eq(read_byte(d, 4), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("blk-nodes");
    TCase *tc = tcase_create("nodes"), *servers = tcase_create("servers");

    tcase_set_timeout(tc, 60);
    tcase_set_timeout(servers, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_checked_fixture(servers, setup, teardown);
    tcase_add_loop_test(tc, a_file_that_is_truncated_reads_as_zeroes_and_grows_again, 0,
                        FILES * FAKE_CELLS);
    tcase_add_loop_test(tc, a_file_that_is_removed_stays_until_the_device_leaves, 0, FILES);
    tcase_add_loop_test(tc, a_file_of_odd_size_ends_with_zeroes, 0, FILES * FAKE_CELLS);
    tcase_add_loop_test(tc, an_empty_file_is_a_disk_without_sectors, 0, FILES * FAKE_CELLS);
    tcase_add_loop_test(tc, every_error_of_every_request_is_reported_and_the_device_goes_on, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, a_disk_without_room_stops_the_vm_with_every_kind_of_write, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, torn_requests_fail_and_succeed_when_they_are_tried_again, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, reset_with_requests_in_flight_ends_them_all, 0, SLOW * FAKE_CELLS);
    tcase_add_loop_test(tc, resizes_under_load_lose_nothing, 0, FILES * FAKE_CELLS);
    suite_add_tcase(s, tc);
    if (nbd_servers_installed()) {
        tcase_add_loop_test(servers, a_server_that_vanishes_fails_requests_until_it_is_back, 0,
                            FAKE_CELLS);
        tcase_add_loop_test(servers, a_server_of_one_connection_gives_a_disk_of_one_queue, 0,
                            FAKE_CELLS);
        tcase_add_loop_test(servers, a_server_that_vanishes_may_stop_the_vm, 0, FAKE_CELLS);
        tcase_add_loop_test(servers, reset_ends_the_wait_for_a_server, 0, FAKE_CELLS);
        tcase_add_loop_test(servers, reset_does_not_wait_for_a_server_that_hangs, 0, FAKE_CELLS);
    } else {
        fprintf(stderr, "nbdkit or qemu-nbd is not installed: no tests with servers\n");
    }
    suite_add_tcase(s, servers);
    return suite_run(s);
}
