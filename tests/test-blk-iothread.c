/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-blk on iothreads. Also run under TSan: here the driver and the VM's main thread do what
 * they do meanwhile. The test looks at rings and at the disk with the locks of the iothreads held,
 * for a guest's memory model is not C's.
 */
#include "tests/test-blk.h"

#include <errno.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/block-throttle.h"
#include "backends/iothread.h"
#include "backends/user-creatable.h"
#include "qom/property.h"
#include "tests/suite.h"

enum { WAIT_US = 200, WAITS = 50000, ROUNDS = 150 };

static bool polling; /* the iothreads do, for up to a millisecond */

static void let_them_poll(void)
{
    polling = true;
}

static void add_iothread(FakeMachine *m, const char *id)
{
    json_t *opts =
        json_pack("{s:s, s:s, s:I, s:I}", "qom-type", "iothread", "id", id, "poll-max-ns",
                  (json_int_t)(polling ? 1000000 : 0), "poll-grow", (json_int_t)1000000);
    g_autoptr(GError) err = NULL;

    type_register(&user_creatable_type);
    type_register(&iothread_type);
    if (!user_creatable_add(m->p.root, opts, &err)) {
        ck_abort_msg("%s", err->message);
    }
    json_decref(opts);
}

static FakeMachine *machine_with_iothreads(void)
{
    FakeMachine *m = fake_machine_new(0);

    add_iothread(m, "io0");
    add_iothread(m, "io1");
    return m;
}

static FakeDriver *start_on(unsigned cell, const char *props, FakeBlock **ret_b)
{
    FakeMachine *m = machine_with_iothreads();
    FakeBlock *b = fake_block_new(m, "disk0", NULL);
    g_autofree char *all = g_strconcat("drive=disk0,", props, NULL);
    FakeDriver *d = fake_driver_probe_on(m, "virtio-blk", cell, all);

    if (ret_b) {
        *ret_b = b;
    }
    fake_driver_up(d);
    return d;
}

static BlkIo add_locked(FakeDriver *d, unsigned q, uint32_t type, uint64_t sector, const void *out,
                        uint32_t out_len, uint32_t in_len)
{
    BlkIo io;

    virtio_lock(d->vdev);
    io = blk_add(d, q, type, sector, out, out_len, in_len);
    virtio_unlock(d->vdev);
    return io;
}

static bool get_locked(FakeDriver *d, unsigned q)
{
    bool got;

    virtio_lock(d->vdev);
    got = fake_driver_get(d, q, NULL, NULL);
    virtio_unlock(d->vdev);
    return got;
}

/* n requests of queue q come back; the main loop works meanwhile. */
static void await(FakeDriver *d, unsigned q, unsigned n)
{
    for (unsigned i = 0; n > 0; i++) {
        ck_assert_msg(i < WAITS, "%u requests do not come back", n);
        while (n > 0 && get_locked(d, q)) {
            n--;
        }
        fake_machine_run(d->m);
        if (n > 0) {
            g_usleep(WAIT_US);
        }
    }
}

static uint8_t status_locked(FakeDriver *d, const BlkIo *io)
{
    uint8_t status;

    virtio_lock(d->vdev);
    status = blk_status(d, io);
    virtio_unlock(d->vdev);
    return status;
}

static uint8_t do_locked(FakeDriver *d, unsigned q, uint32_t type, uint64_t sector, const void *out,
                         uint32_t out_len, uint32_t in_len)
{
    BlkIo io = add_locked(d, q, type, sector, out, out_len, in_len);

    fake_driver_kick(d, q);
    await(d, q, 1);
    return status_locked(d, &io);
}

static bool interrupted_soon(FakeDriver *d, unsigned q)
{
    for (unsigned i = 0; i < WAITS; i++) {
        bool yes;

        fake_machine_run(d->m);
        virtio_lock(d->vdev);
        yes = fake_driver_interrupted(d, q);
        virtio_unlock(d->vdev);
        if (yes) {
            return true;
        }
        g_usleep(WAIT_US);
    }
    return false;
}

/* The storage has that many requests; the kick may still be on its way. */
static void await_held(FakeDriver *d, FakeBlock *b, unsigned n)
{
    unsigned held = 0;

    for (unsigned i = 0; i < WAITS && held != n; i++) {
        virtio_lock(d->vdev);
        held = b->held->len;
        virtio_unlock(d->vdev);
        g_usleep(held == n ? 0 : WAIT_US);
    }
    ck_assert_uint_eq(held, n);
}

static void hold(FakeDriver *d, FakeBlock *b, bool on)
{
    virtio_lock(d->vdev);
    if (on) {
        b->hold = true;
    } else {
        fake_block_let_all_go(b);
    }
    virtio_unlock(d->vdev);
}

/* --- work --- */

START_TEST(requests_are_served_on_the_iothread)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", &b);
    uint8_t buf[SECTOR] = "hello";
    BlkIo io;

    ck_assert_uint_eq(do_locked(d, 0, VIRTIO_BLK_T_OUT, 3, buf, SECTOR, 0), VIRTIO_BLK_S_OK);
    ck_assert(interrupted_soon(d, 0));
    ck_assert_str_eq((char *)b->data + 3 * SECTOR, "hello");
    io = add_locked(d, 0, VIRTIO_BLK_T_IN, 3, NULL, 0, SECTOR);
    d->t->notify(d, 0); /* the main loop does not run */
    for (unsigned i = 0; i < WAITS && status_locked(d, &io) == NO_STATUS; i++) {
        g_usleep(WAIT_US);
    }
    ck_assert_uint_eq(status_locked(d, &io), VIRTIO_BLK_S_OK);
    await(d, 0, 1);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, io.data, 1), 'h');
    ck_assert(interrupted_soon(d, 0));
}
END_TEST

START_TEST(kicks_by_exit_are_served_too)
{
    g_autoptr(FakeDriver) d =
        start_on(_i ? FAKE_PCI_LEGACY : 0, "iothread=io0,ioeventfd=off", NULL);

    ck_assert_uint_eq(do_locked(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    ck_assert(interrupted_soon(d, 0));
}
END_TEST

START_TEST(bad_requests_flood_in_bounded_runs)
{
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", NULL);

    for (unsigned round = 0; round < 20; round++) {
        unsigned n = d->rings[0].num / 3u;

        for (unsigned i = 0; i < n; i++) {
            add_locked(d, 0, 99, 0, NULL, 0, 0);
        }
        fake_driver_kick(d, 0);
        await(d, 0, n);
        virtio_lock(d->vdev);
        blk_recycle(d);
        virtio_unlock(d->vdev);
    }
}
END_TEST

/* --- polling --- */

/* The device's answer in the guest's memory, looked at without the lock: who asks for the lock ends
 * the polling. What came is taken with the lock afterwards. */
__attribute__((noinline, no_sanitize("thread"))) static bool
answered(const volatile uint8_t *status)
{
    return *status != NO_STATUS;
}

static bool answered_within(const uint8_t *status, unsigned waits)
{
    for (unsigned i = 0; i < waits && !answered(status); i++) {
        g_usleep(WAIT_US);
    }
    return answered(status);
}

/* Takes what came before, and makes a request available, in one go. Returns where its status is. */
static const uint8_t *add_next(FakeDriver *d)
{
    GmemMap map;
    BlkIo io;

    virtio_lock(d->vdev);
    while (fake_driver_get(d, 0, NULL, NULL)) {
    }
    blk_recycle(d);
    io = blk_add(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
    ck_assert(gmem_map(d->m->p.mem, io.status, 1, &map));
    virtio_unlock(d->vdev);
    return map.host;
}

/* Requests until one is served without a kick, or one is not. */
static bool kicks_become(FakeDriver *d, bool wanted)
{
    bool is = !wanted;

    for (unsigned i = 0; i < 200 && is != wanted; i++) {
        const uint8_t *status = add_next(d);

        is = !answered_within(status, 100);
        if (is) {
            d->t->notify(d, 0);
        }
        ck_assert(answered_within(status, WAITS));
    }
    fake_machine_run(d->m);
    return is == wanted;
}

START_TEST(a_polling_iothread_needs_no_kicks)
{
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", NULL);
    Object *io = object_child(object_container(d->m->p.root, "objects"), "io0");

    ck_assert(property_set_string(io, "poll-max-ns", "1000000000", NULL));
    ck_assert(kicks_become(d, false));
    ck_assert(interrupted_soon(d, 0));
    ck_assert(property_set_string(io, "poll-max-ns", "0", NULL));
    ck_assert(kicks_become(d, true));
    ck_assert(property_set_string(io, "poll-max-ns", "500000000", NULL));
    ck_assert(kicks_become(d, false));
    fake_driver_reset(d);
    blk_recycle(d);
    fake_driver_up(d);
    ck_assert(kicks_become(d, false));
}
END_TEST

/* --- what the main thread does meanwhile --- */

START_TEST(reset_takes_back_what_the_iothread_has)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", &b);

    for (unsigned round = 0; round < 5; round++) {
        hold(d, b, true);
        for (unsigned i = 0; i < 4; i++) {
            add_locked(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
        }
        fake_driver_kick(d, 0);
        if (round % 2) {
            await_held(d, b, 4);
        }
        fake_driver_reset(d);
        ck_assert_uint_eq(b->held->len, 0);
        hold(d, b, false);
        fake_machine_run(d->m);
        blk_recycle(d);
        fake_driver_up(d);
        ck_assert_uint_eq(do_locked(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    }
}
END_TEST

START_TEST(a_device_that_leaves_takes_its_requests_off_the_iothread)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", &b);

    hold(d, b, true);
    add_locked(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
    fake_driver_kick(d, 0);
    await_held(d, b, 1);
    device_destroy(d->dev);
    d->dev = NULL;
    fake_machine_run(d->m);
    ck_assert(block_node_del(d->m->p.root, "disk0", NULL));
}
END_TEST

START_TEST(a_broken_ring_is_announced_by_the_main_loop)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", &b);
    bool told = false;

    virtio_lock(d->vdev);
    fake_ring_set_desc(&d->rings[0], 100, 0x200000, 16, VRING_DESC_F_NEXT, 100);
    fake_ring_put_avail(&d->rings[0], 100);
    virtio_unlock(d->vdev);
    fake_driver_kick(d, 0);
    for (unsigned i = 0; i < WAITS && !fake_driver_broken(d); i++) {
        g_usleep(WAIT_US);
        fake_machine_run(d->m);
    }
    ck_assert(fake_driver_broken(d));
    virtio_lock(d->vdev);
    told = fake_driver_config_interrupted(d);
    virtio_unlock(d->vdev);
    ck_assert(told);
    fake_driver_reset(d);
    blk_recycle(d);
    fake_driver_up(d);
    ck_assert_uint_eq(do_locked(d, 0, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
}
END_TEST

static unsigned stops;

static void note_stop(Platform *p, StopCause cause)
{
    stops++;
}

START_TEST(errors_are_told_by_the_main_loop_and_tried_again)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", &b);
    PlatformOps ops = *d->m->p.ops;
    uint8_t buf[SECTOR] = "kept";

    ops.stop_request = note_stop;
    d->m->p.ops = &ops;
    stops = 0;
    virtio_lock(d->vdev);
    fake_block_fail(b, BLOCK_WRITE, -ENOSPC, 1);
    virtio_unlock(d->vdev);
    add_locked(d, 0, VIRTIO_BLK_T_OUT, 1, buf, SECTOR, 0);
    fake_driver_kick(d, 0);
    for (unsigned i = 0; i < WAITS && stops == 0; i++) {
        g_usleep(WAIT_US);
        fake_machine_run(d->m);
    }
    ck_assert_uint_eq(stops, 1);
    ck_assert_uint_eq(d->m->events->len, 1);
    platform_run_changed(&d->m->p, true);
    await(d, 0, 1);
    ck_assert_str_eq((char *)b->data + SECTOR, "kept");
    device_destroy(d->dev);
    d->dev = NULL;
    d->m->p.ops = NULL;
}
END_TEST

/* The main loop does not come round to it meanwhile. */
START_TEST(a_flood_of_errors_is_told_in_bounded_memory)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0,rerror=report", &b);
    unsigned left = 300;

    virtio_lock(d->vdev);
    fake_block_fail(b, BLOCK_READ, -EIO, left);
    virtio_unlock(d->vdev);
    for (unsigned i = 0; i < WAITS && left > 0; i++) {
        if (i == 0 || get_locked(d, 0)) {
            virtio_lock(d->vdev);
            blk_recycle(d);
            virtio_unlock(d->vdev);
            left--;
            add_locked(d, 0, VIRTIO_BLK_T_IN, 0, NULL, 0, SECTOR);
            d->t->notify(d, 0);
        } else {
            g_usleep(WAIT_US);
        }
    }
    ck_assert_uint_eq(left, 0);
    await(d, 0, 1);
    fake_machine_run(d->m);
    ck_assert_uint_gt(d->m->events->len, 0);
    ck_assert_uint_le(d->m->events->len, 64 + 1); /* the last was told after the flood */
    ck_assert_uint_eq(do_locked(d, 0, VIRTIO_BLK_T_IN, 0, NULL, 0, SECTOR), VIRTIO_BLK_S_OK);
}
END_TEST

START_TEST(quiescing_waits_for_the_iothread)
{
    FakeBlock *b;
    g_autoptr(FakeDriver) d = start_on((unsigned)_i, "iothread=io0", &b);

    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 8; i++) {
            add_locked(d, 0, VIRTIO_BLK_T_IN, 7 * i, NULL, 0, SECTOR);
        }
        d->t->notify(d, 0);
        ck_assert(block_node_resize(&b->parent_obj, (1 + round % 2) * DISK, NULL));
        await(d, 0, 8);
    }
    ck_assert_uint_eq(blk_config(d, CFG_CAPACITY, 4), 2 * DISK / SECTOR);
}
END_TEST

/* All at once: four queues on two iothreads, and a main thread that does not leave them in peace.
 */
static void disturb(FakeDriver *d, BlockNode *n, ThrottleGroup *g, GRand *r)
{
    switch (g_rand_int_range(r, 0, 9)) {
    case 0:
        fake_driver_reset(d);
        virtio_lock(d->vdev);
        blk_recycle(d);
        virtio_unlock(d->vdev);
        fake_driver_up(d);
        break;
    case 1:
        fake_driver_set_dma(d, false);
        fake_driver_set_dma(d, true);
        break;
    case 2:
        d->t->config_write(d, CFG_WRITEBACK, g_rand_boolean(r), 1);
        break;
    case 3:
        ck_assert(block_node_resize(n, (1 + (uint64_t)g_rand_boolean(r)) * DISK, NULL));
        break;
    case 4:
        platform_run_changed(&d->m->p, false);
        platform_run_changed(&d->m->p, true);
        break;
    case 5:
        block_node_set_throttle(n, g_rand_boolean(r) ? g : NULL);
        break;
    default:
        g_usleep((gulong)g_rand_int_range(r, 0, 100));
        break;
    }
    fake_machine_run(d->m);
}

static const char *const nodes[] = {
    "{\"driver\": \"null-co\", \"node-name\": \"disk0\", \"size\": 1048576}",
    "{\"driver\": \"file\", \"node-name\": \"disk0\", \"filename\": \"%s\", \"aio\": \"io_uring\"}",
    "{\"driver\": \"file\", \"node-name\": \"disk0\", \"filename\": \"%s\", \"aio\": \"threads\"}",
};

/* NULL: the host has no io_uring. path: of a new file. */
static BlockNode *add_node(FakeMachine *m, const char *node, char **ret_path)
{
    int fd = g_file_open_tmp("test-blk-XXXXXX", ret_path, NULL);
    g_autofree char *text = NULL;
    g_auto(GStrv) parts = g_strsplit(node, "%s", 2);
    json_t *opts;
    BlockNode *n;

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ftruncate(fd, DISK), 0);
    close(fd);
    text = g_strjoinv(*ret_path, parts);
    opts = json_loads(text, 0, NULL);
    type_register_list(block_types);
    n = block_node_add(m->p.root, m->p.loop, opts, NULL);
    json_decref(opts);
    return n;
}

static void add_three(FakeDriver *d, unsigned q)
{
    static const uint8_t buf[SECTOR] = "three";

    add_locked(d, q, VIRTIO_BLK_T_IN, q, NULL, 0, SECTOR);
    add_locked(d, q, VIRTIO_BLK_T_OUT, 100 + q, buf, SECTOR, 0);
    add_locked(d, q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0);
}

START_TEST(four_queues_on_two_iothreads_under_load)
{
    FakeMachine *m = machine_with_iothreads();
    g_autofree char *path = NULL;
    BlockNode *n = add_node(m, nodes[_i / FAKE_PCI_CELLS], &path);
    g_autoptr(FakeDriver) d = NULL;
    GRand *r = g_rand_new_with_seed(5 + (guint32)_i);
    ThrottleGroup *g;

    unlink(path);
    if (!n) {
        fake_machine_free(m);
        g_rand_free(r);
        return;
    }
    type_register(&throttle_group_type);
    g = throttle_group_make(m->p.root, "g");
    ck_assert(
        throttle_group_set(g, &(ThrottleLimits){.bucket[THROTTLE_IOPS_TOTAL].avg = 20000}, NULL));
    d = fake_driver_probe_on(
        m, "virtio-blk", (unsigned)_i % FAKE_PCI_CELLS,
        "drive=disk0,num-queues=4,queue-size=256,"
        "iothread-vq-mapping=[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]");
    fake_driver_up(d);
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned q = 0; q < 4; q++) {
            add_three(d, q);
            d->t->notify(d, q);
        }
        disturb(d, n, g, r);
        for (unsigned q = 0; q < 4; q++) {
            while (get_locked(d, q)) {
            }
        }
        if (round % 8 == 7) {
            fake_driver_reset(d);
            blk_recycle(d);
            fake_driver_up(d);
        }
    }
    g_rand_free(r);
    fake_driver_reset(d);
    blk_recycle(d);
    fake_driver_up(d);
    for (unsigned q = 0; q < 4; q++) {
        ck_assert_uint_eq(do_locked(d, q, VIRTIO_BLK_T_FLUSH, 0, NULL, 0, 0), VIRTIO_BLK_S_OK);
    }
}
END_TEST

/* --- mapping --- */

START_TEST(queues_go_to_the_iothreads_that_the_mapping_says)
{
    FakeMachine *m = machine_with_iothreads();
    Object *objects = object_child(m->p.root, "objects");
    IoThread *io[2] = {iothread_object_thread(IOTHREAD(object_child(objects, "io0"))),
                       iothread_object_thread(IOTHREAD(object_child(objects, "io1")))};
    static const struct {
        const char *map;
        unsigned of[4];
    } cases[] = {
        {"[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]", {0, 1, 0, 1}},
        {"[{\"iothread\": \"io1\", \"vqs\": [0, 3]}, {\"iothread\": \"io0\", \"vqs\": [2, 1]}]",
         {1, 0, 0, 1}},
    };

    fake_block_new(m, "disk0", NULL);
    for (unsigned c = 0; c < G_N_ELEMENTS(cases); c++) {
        Device *dev = fake_machine_make(m, "virtio-blk-pci", "v", "drive=disk0,num-queues=4");
        VirtIODevice *vdev = VIRTIO_DEVICE(object_child(OBJECT(dev), "virtio-backend"));

        ck_assert(property_set_string(OBJECT(dev), "iothread-vq-mapping", cases[c].map, NULL));
        ck_assert(device_realize(dev, &pci_host_bus(m->host)->parent_obj, NULL));
        for (unsigned q = 0; q < 4; q++) {
            ck_assert_ptr_eq(virtio_queue_loop(virtio_get_queue(vdev, q)),
                             iothread_loop(io[cases[c].of[q]]));
        }
        device_destroy(dev);
    }
    fake_machine_free(m);
}
END_TEST

static const struct {
    const char *map, *message;
} bad_maps[] = {
    {"[]", "must not be empty"},
    {"[{\"iothread\": \"io7\"}]", "there is no iothread 'io7'"},
    {"[{}]", "there is no iothread ''"},
    {"[5]", "there is no iothread ''"},
    {"[{\"iothread\": \"io0\", \"vqs\": [0]}]", "queue 1 has no iothread"},
    {"[{\"iothread\": \"io0\", \"vqs\": [0, 0]}]", "queue 0 is given twice"},
    {"[{\"iothread\": \"io0\", \"vqs\": [0, 2]}]", "queue 2 is not there"},
    {"[{\"iothread\": \"io0\", \"vqs\": [-1]}]", "is not there"},
    {"[{\"iothread\": \"io0\", \"vqs\": [0]}, {\"iothread\": \"io1\"}]",
     "for all iothreads or for none"},
};

START_TEST(a_bad_mapping_gets_one_line)
{
    FakeMachine *m = machine_with_iothreads();
    Device *dev;
    g_autoptr(GError) err = NULL;

    fake_block_new(m, "disk0", NULL);
    dev = fake_machine_make(m, "virtio-blk-pci", "v", "drive=disk0,num-queues=2");
    ck_assert(property_set_string(OBJECT(dev), "iothread-vq-mapping", bad_maps[_i].map, NULL));
    ck_assert(!device_realize(dev, &pci_host_bus(m->host)->parent_obj, &err));
    ck_assert_msg(strstr(err->message, bad_maps[_i].message) != NULL, "%s", err->message);
    object_unparent(OBJECT(dev));
    ck_assert(block_node_del(m->p.root, "disk0", NULL));
    fake_machine_free(m);
}
END_TEST

START_TEST(what_is_no_mapping_or_iothread_is_refused)
{
    FakeMachine *m = machine_with_iothreads();
    Device *dev;
    g_autoptr(GError) err = NULL;

    fake_block_new(m, "disk0", NULL);
    dev = fake_machine_make(m, "virtio-blk-pci", "v", "drive=disk0");
    ck_assert(!property_set_string(OBJECT(dev), "iothread", "disk0", NULL));
    ck_assert(!property_set_string(OBJECT(dev), "iothread-vq-mapping", "io0", NULL));
    ck_assert(!property_set_string(OBJECT(dev), "iothread-vq-mapping", "{}", NULL));
    ck_assert(property_set_string(OBJECT(dev), "iothread", "io0", NULL));
    ck_assert(property_set_string(OBJECT(dev), "iothread-vq-mapping", bad_maps[4].map, NULL));
    ck_assert(!device_realize(dev, &pci_host_bus(m->host)->parent_obj, &err));
    ck_assert_msg(strstr(err->message, "exclude each other") != NULL, "%s", err->message);
    fake_machine_free(m);
}
END_TEST

static TCase *polled_case(void)
{
    TCase *tc = tcase_create("polled");

    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, let_them_poll, NULL);
    tcase_add_loop_test(tc, a_polling_iothread_needs_no_kicks, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, bad_requests_flood_in_bounded_runs, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, reset_takes_back_what_the_iothread_has, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, a_broken_ring_is_announced_by_the_main_loop, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, quiescing_waits_for_the_iothread, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, four_queues_on_two_iothreads_under_load, FAKE_PCI_CELLS,
                        2 * FAKE_PCI_CELLS + 2); /* io_uring, and a bit of threads */
    return tc;
}

static Suite *make_suite(void)
{
    Suite *s = suite_create("blk-iothread");
    TCase *tc = tcase_create("iothread");

    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, requests_are_served_on_the_iothread, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, kicks_by_exit_are_served_too, 0, 2);
    tcase_add_loop_test(tc, bad_requests_flood_in_bounded_runs, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_takes_back_what_the_iothread_has, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_device_that_leaves_takes_its_requests_off_the_iothread, 0,
                        FAKE_CELLS);
    tcase_add_loop_test(tc, a_broken_ring_is_announced_by_the_main_loop, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, errors_are_told_by_the_main_loop_and_tried_again, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, a_flood_of_errors_is_told_in_bounded_memory, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, quiescing_waits_for_the_iothread, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, four_queues_on_two_iothreads_under_load, 0,
                        (int)G_N_ELEMENTS(nodes) * FAKE_PCI_CELLS);
    tcase_add_test(tc, queues_go_to_the_iothreads_that_the_mapping_says);
    tcase_add_loop_test(tc, a_bad_mapping_gets_one_line, 0, G_N_ELEMENTS(bad_maps));
    tcase_add_test(tc, what_is_no_mapping_or_iothread_is_refused);
    suite_add_tcase(s, tc);
    suite_add_tcase(s, polled_case());
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
