/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-rng (VIRTIO 1.4 §5.4) and its sources, played by a driver without guest: buffers filled,
 * the rate limit, sources that are slow or end, reset in flight, and drivers that misbehave.
 */
#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/rng.h"
#include "backends/user-creatable.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum { REQUESTS = 0, OPS = 10000 };
static const int64_t ms = 1000000;

static void register_types(void)
{
    static const TypeInfo *const types[] = {&user_creatable_type, &rng_builtin_type,
                                            &rng_random_type, NULL};

    type_register_list(types);
}

/* -object and then -device virtio-rng; the driver has done its part. */
static FakeDriver *start_with(unsigned cell, const char *object, const char *props)
{
    FakeMachine *m = fake_machine_new(0);
    json_t *opts = json_loads(object, 0, NULL);
    g_autoptr(GError) err = NULL;
    FakeDriver *d;

    register_types();
    if (!user_creatable_add(m->p.root, opts, &err)) {
        ck_abort_msg("%s", err->message);
    }
    json_decref(opts);
    d = fake_driver_probe_on(m, "virtio-rng", cell, props);
    fake_driver_up(d);
    return d;
}

static bool all_zero(FakeDriver *d, Gpa at, uint32_t len)
{
    for (uint32_t i = 0; i < len; i++) {
        if (fake_mem_get(d->m->p.mem, GPA(at.v + i), 1)) {
            return false;
        }
    }
    return true;
}

static Gpa ask(FakeDriver *d, uint32_t len)
{
    Gpa at;

    fake_driver_add_bufs(d, REQUESTS, (const FakeBuf[]){IN(len), END}, &at);
    fake_driver_kick(d, REQUESTS);
    return at;
}

/* --- a FIFO that the test feeds --- */

typedef struct {
    char *dir, *path;
    int fd; /* writer */
} Fifo;

static void fifo_open(Fifo *f)
{
    f->dir = g_dir_make_tmp("test-rng-XXXXXX", NULL);
    f->path = g_build_filename(f->dir, "fifo", NULL);
    ck_assert_int_eq(mkfifo(f->path, 0600), 0);
    f->fd = open(f->path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(f->fd, 0);
}

static void fifo_close(Fifo *f)
{
    if (f->fd >= 0) {
        close(f->fd);
    }
    g_unlink(f->path);
    g_rmdir(f->dir);
    g_free(f->path);
    g_free(f->dir);
}

static FakeDriver *start_with_fifo(Fifo *f, unsigned cell)
{
    g_autofree char *object = NULL;

    fifo_open(f);
    object = g_strdup_printf("{\"qom-type\": \"rng-random\", \"id\": \"r0\", \"filename\": \"%s\"}",
                             f->path);
    return start_with(cell, object, "rng=r0");
}

static void feed(Fifo *f, FakeDriver *d, const char *bytes)
{
    ck_assert_int_eq(write(f->fd, bytes, strlen(bytes)), (ssize_t)strlen(bytes));
    fake_machine_run(d->m);
}

/* --- requests --- */

START_TEST(rng_01_each_buffer_gets_random_bytes)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-rng", (unsigned)_i);
    static const uint32_t sizes[] = {64, 32, 4096, 4097, 20000};
    uint32_t len;

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Gpa at = ask(d, sizes[i]);

        ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
        ck_assert_uint_eq(len, sizes[i]);
        ck_assert(fake_driver_interrupted(d, REQUESTS));
        ck_assert(!all_zero(d, at, 16));
        ck_assert(!all_zero(d, GPA(at.v + len - 16), 16));
        if (gmem_contains(d->m->p.mem, GPA(at.v + len), 1)) {
            ck_assert_uint_eq(fake_mem_get(d->m->p.mem, GPA(at.v + len), 1), 0);
        }
    }
}
END_TEST

START_TEST(rng_01_many_buffers_and_pieces_are_served_in_turn)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-rng", (unsigned)_i);
    uint32_t len;

    fake_driver_add(d, REQUESTS, IN(1));
    fake_driver_add(d, REQUESTS, IN(10), IN(0), IN(100));
    fake_driver_add(d, REQUESTS, IN(5000));
    fake_driver_kick(d, REQUESTS);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 1);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 110);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 5000);
}
END_TEST

START_TEST(requests_are_not_served_from_within_the_kick)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-rng", (unsigned)_i);

    fake_driver_add(d, REQUESTS, IN(16));
    virtio_queue_notify(d->vdev, REQUESTS);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[REQUESTS]), 0);
    fake_machine_run(d->m);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[REQUESTS]), 1);
}
END_TEST

START_TEST(requests_without_room_come_back_empty)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-rng", (unsigned)_i);
    uint32_t len = 1;

    fake_driver_add(d, REQUESTS, OUT("abcd", 4));
    fake_driver_add(d, REQUESTS, IN_AT(0x200000, 0));
    fake_driver_add(d, REQUESTS, OUT("abcd", 4), IN(8));
    fake_driver_kick(d, REQUESTS);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
        ck_assert_uint_eq(len, i == 2 ? 8 : 0);
    }
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(broken_chains_need_a_reset_and_then_it_works_again)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-rng", (unsigned)_i);
    static const uint16_t flags[] = {VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, VRING_DESC_F_WRITE,
                                     VRING_DESC_F_WRITE | VRING_DESC_F_NEXT};

    for (unsigned i = 0; i < G_N_ELEMENTS(flags); i++) { /* looped, outside RAM, wrong order */
        FakeRing *r = &d->rings[REQUESTS];

        fake_ring_set_desc(r, 0, i == 1 ? FAKE_RAM_LOW - 8 : 0x200000, 16, flags[i], i == 2);
        fake_ring_set_desc(r, 1, 0x200000, 16, 0, 0);
        fake_ring_put_avail(r, 0);
        fake_driver_kick(d, REQUESTS);
        ck_assert(fake_driver_broken(d));
        ck_assert(fake_driver_config_interrupted(d));
        fake_driver_reset(d);
        fake_driver_up(d);
    }
    ask(d, 16);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, NULL));
}
END_TEST

/* --- rate limit --- */

START_TEST(rng_02_no_more_than_max_bytes_come_in_a_period)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-rng", (unsigned)_i, "max-bytes=100,period=1000");
    uint32_t len;

    ask(d, 64);
    ask(d, 64);
    ask(d, 64);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 64);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 36); /* a part is allowed */
    ck_assert(!fake_driver_get(d, REQUESTS, NULL, &len));
    clock_step_to(d->m->p.vclock, 999 * ms);
    fake_machine_run(d->m);
    ck_assert(!fake_driver_get(d, REQUESTS, NULL, &len));
    clock_step_to(d->m->p.vclock, 1000 * ms);
    fake_machine_run(d->m);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 64);
}
END_TEST

START_TEST(reset_does_not_renew_the_quota)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-rng", (unsigned)_i, "max-bytes=10,period=1000");

    ask(d, 10);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, NULL));
    fake_driver_reset(d);
    fake_driver_up(d);
    ask(d, 10);
    ck_assert(!fake_driver_get(d, REQUESTS, NULL, NULL));
    clock_step_to(d->m->p.vclock, 1000 * ms);
    fake_machine_run(d->m);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, NULL));
}
END_TEST

START_TEST(a_quota_of_nothing_serves_nothing)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-rng", 0, "max-bytes=0,period=1");

    ask(d, 10);
    clock_step_to(d->m->p.vclock, 1000 * ms);
    fake_machine_run(d->m);
    ck_assert(!fake_driver_get(d, REQUESTS, NULL, NULL));
}
END_TEST

/* --- sources --- */

START_TEST(bytes_of_the_source_reach_the_guest_when_they_come)
{
    Fifo f;
    g_autoptr(FakeDriver) d = start_with_fifo(&f, (unsigned)_i);
    Gpa at = ask(d, 4);
    uint32_t len;

    ck_assert(!fake_driver_get(d, REQUESTS, NULL, &len));
    feed(&f, d, "ab");
    ck_assert(!fake_driver_get(d, REQUESTS, NULL, &len));
    feed(&f, d, "cdXY");
    ck_assert(fake_driver_get(d, REQUESTS, NULL, &len));
    ck_assert_uint_eq(len, 4);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at, 4), 0x64636261);
    at = ask(d, 2);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at, 2), 0x5958);
    fifo_close(&f);
}
END_TEST

START_TEST(reset_in_flight_writes_nothing_afterwards)
{
    Fifo f;
    g_autoptr(FakeDriver) d = start_with_fifo(&f, (unsigned)_i);
    Gpa at = ask(d, 4);

    fake_driver_reset(d);
    feed(&f, d, "abcd");
    ck_assert(all_zero(d, at, 4));
    fake_driver_up(d);
    at = ask(d, 4);
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at, 4), 0x64636261);
    fifo_close(&f);
}
END_TEST

START_TEST(without_bus_mastering_bytes_wait)
{
    Fifo f;
    g_autoptr(FakeDriver) d = start_with_fifo(&f, (unsigned)_i);
    Gpa at = ask(d, 4);

    fake_driver_set_dma(d, false);
    feed(&f, d, "abcdefgh");
    ck_assert(all_zero(d, at, 4));
    fake_driver_set_dma(d, true);
    fake_machine_run(d->m);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, NULL));
    ck_assert_uint_eq(fake_mem_get(d->m->p.mem, at, 4), 0x68676665);
    fifo_close(&f);
}
END_TEST

START_TEST(a_device_that_leaves_lets_go_of_its_source)
{
    Fifo f;
    g_autoptr(FakeDriver) d = start_with_fifo(&f, 0);

    ask(d, 4);
    device_destroy(d->dev);
    d->dev = NULL;
    feed(&f, d, "abcd");
    fifo_close(&f);
}
END_TEST

START_TEST(a_source_at_its_end_leaves_requests_waiting)
{
    Fifo f;
    g_autoptr(FakeDriver) d = start_with_fifo(&f, 0);

    ask(d, 4);
    close(f.fd);
    f.fd = -1;
    fake_machine_run(d->m); /* says so on stderr, once */
    ask(d, 4);
    ck_assert(!fake_driver_get(d, REQUESTS, NULL, NULL));
    fake_driver_reset(d);
    fake_driver_up(d);
    ask(d, 4);
    ck_assert(!fake_driver_broken(d));
    fifo_close(&f);
}
END_TEST

/* The loop looks at what epoll cannot watch (/dev/urandom on some kernels) a moment later. */
static bool comes_soon(FakeDriver *d)
{
    for (unsigned i = 0; i < 5000; i++) {
        if (fake_driver_get(d, REQUESTS, NULL, NULL)) {
            return true;
        }
        g_usleep(1000);
        fake_machine_run(d->m);
    }
    return false;
}

START_TEST(two_devices_share_a_source)
{
    FakeMachine *m = fake_machine_new(0);
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", "rng-random", "id", "r0");
    g_autoptr(FakeDriver) d = NULL;
    Device *other;

    register_types();
    ck_assert_ptr_nonnull(user_creatable_add(m->p.root, opts, NULL));
    json_decref(opts);
    d = fake_driver_probe_on(m, "virtio-rng", 0, "rng=r0");
    other = fake_machine_add(m, "virtio-rng-pci", "second", "rng=/objects/r0", NULL);
    ck_assert_ptr_nonnull(other);
    fake_driver_up(d);
    ask(d, 1000);
    ck_assert(comes_soon(d));
    device_destroy(other);
    ask(d, 1000);
    ck_assert(comes_soon(d));
}
END_TEST

/* --- objects and properties --- */

static const struct {
    const char *opts, *message;
} bad_objects[] = {
    {"{\"qom-type\": \"rng-radnom\", \"id\": \"a\"}",
     "unknown object type 'rng-radnom'; did you mean 'rng-random'?"},
    {"{\"qom-type\": \"rng-backend\", \"id\": \"a\"}", "unknown object type 'rng-backend'"},
    {"{\"qom-type\": \"rng-random\"}", "'id' is missing"},
    {"{\"id\": \"a\"}", "'qom-type' is missing"},
    {"{\"qom-type\": \"rng-random\", \"id\": \"4\"}", "must be letters"},
    {"{\"qom-type\": \"rng-random\", \"id\": \"a/b\"}", "must be letters"},
    {"{\"qom-type\": \"rng-random\", \"id\": \"a\", \"filename\": \"/nowhere/x\"}",
     "cannot open filename=/nowhere/x: No such file or directory"},
    {"{\"qom-type\": \"rng-random\", \"id\": \"a\", \"filename\": \"\"}", "must not be empty"},
    {"{\"qom-type\": \"rng-random\", \"id\": \"a\", \"filname\": \"x\"}",
     "did you mean 'filename'?"},
    {"{\"qom-type\": \"rng-builtin\", \"id\": \"taken\"}", "duplicate id 'taken'"},
};

START_TEST(a_bad_object_gets_one_line_and_leaves_nothing)
{
    Object *root = object_new(&container_type);
    json_t *opts = json_loads(bad_objects[_i].opts, 0, NULL);
    json_t *taken = json_pack("{s:s, s:s}", "qom-type", "rng-builtin", "id", "taken");
    g_autoptr(GError) err = NULL;

    register_types();
    ck_assert_ptr_nonnull(user_creatable_add(root, taken, NULL));
    ck_assert_ptr_null(user_creatable_add(root, opts, &err));
    ck_assert_msg(strstr(err->message, bad_objects[_i].message) != NULL, "%s", err->message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    ck_assert_ptr_null(object_child(object_child(root, "objects"), "a"));
    json_decref(opts);
    json_decref(taken);
    object_unref(root);
}
END_TEST

START_TEST(properties_of_an_object_are_frozen_once_it_is_complete)
{
    Object *root = object_new(&container_type);
    json_t *opts = json_pack("{s:s, s:s}", "qom-type", "rng-random", "id", "a");
    Object *obj;

    register_types();
    obj = user_creatable_add(root, opts, NULL);
    ck_assert_ptr_nonnull(obj);
    ck_assert(!property_set_string(obj, "filename", "/dev/zero", NULL));
    json_decref(opts);
    object_unref(root);
}
END_TEST

START_TEST(property_values_out_of_range_are_refused)
{
    FakeMachine *m = fake_machine_new(0);
    Device *dev = fake_machine_make(m, "virtio-rng-pci", "r", NULL);

    ck_assert(!property_set_string(OBJECT(dev), "period", "0", NULL));
    ck_assert(!property_set_string(OBJECT(dev), "max-bytes", "9223372036854775808", NULL));
    ck_assert(!property_set_string(OBJECT(dev), "rng", "r", NULL)); /* not a source */
    fake_machine_free(m);
}
END_TEST

START_TEST(without_a_source_the_device_makes_its_own)
{
    FakeDriver *d = fake_driver_probe("virtio-rng", 0, NULL);
    json_t *path = property_get_json(OBJECT(d->dev), "rng", NULL);

    ck_assert_str_eq(json_string_value(path), "/device0/virtio-backend/default-backend");
    json_decref(path);
    device_unrealize(d->dev);
    ck_assert(device_realize(d->dev, &pci_host_bus(d->m->host)->parent_obj, NULL));
    fake_driver_free(d);
}
END_TEST

START_TEST(basic_17_no_device_features_and_no_configuration)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-rng", (unsigned)_i, NULL);

    ck_assert_uint_eq(d->t->device_features(d) & 0xffffff, 0);
    ck_assert_uint_eq(d->vdev->config_size, 0);
    ck_assert_uint_eq(d->t->queue_max(d, 0), 8);
    ck_assert_uint_eq(d->t->queue_max(d, 1), 0);
}
END_TEST

/* --- anything goes --- */

static void random_op(FakeDriver *d, GRand *r)
{
    FakeRing *ring = &d->rings[REQUESTS];
    uint16_t i = (uint16_t)g_rand_int_range(r, 0, ring->num);

    switch (g_rand_int_range(r, 0, 100)) {
    case 0:
        fake_driver_reset(d);
        d->next_page = 0x300000;
        fake_driver_up(d);
        break;
    case 1:
        fake_driver_set_dma(d, g_rand_boolean(r));
        break;
    case 2:
        clock_step_to(d->m->p.vclock, clock_now(d->m->p.vclock) + 10 * ms);
        break;
    case 3:
        fake_ring_set_desc(ring, i, g_rand_int(r), g_rand_int(r), (uint16_t)g_rand_int(r), i);
        break;
    case 4 ... 40:
        fake_ring_set_desc(ring, i, 0x200000, g_rand_int(r) % 9000,
                           g_rand_int_range(r, 0, 20) ? VRING_DESC_F_WRITE : 0, 0);
        break;
    case 41 ... 70:
        fake_ring_put_avail(ring, i);
        break;
    default:
        fake_driver_kick(d, REQUESTS);
        break;
    }
}

START_TEST(ten_thousand_random_operations_do_no_harm)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-rng", (unsigned)_i, "max-bytes=20000,period=10");
    GRand *r = g_rand_new_with_seed(1000 + (guint32)_i);

    for (unsigned i = 0; i < OPS; i++) {
        random_op(d, r);
    }
    g_rand_free(r);
    fake_driver_set_dma(d, true);
    fake_driver_reset(d);
    d->next_page = 0x300000;
    fake_driver_up(d);
    clock_step_to(d->m->p.vclock, clock_now(d->m->p.vclock) + 100 * ms);
    ask(d, 16);
    ck_assert(fake_driver_get(d, REQUESTS, NULL, NULL));
}
END_TEST

static void add_object_tests(TCase *tc)
{
    tcase_add_loop_test(tc, a_bad_object_gets_one_line_and_leaves_nothing, 0,
                        G_N_ELEMENTS(bad_objects));
    tcase_add_test(tc, properties_of_an_object_are_frozen_once_it_is_complete);
    tcase_add_test(tc, property_values_out_of_range_are_refused);
    tcase_add_test(tc, without_a_source_the_device_makes_its_own);
}

static Suite *make_suite(void)
{
    Suite *s = suite_create("rng");
    TCase *tc = tcase_create("rng");

    tcase_add_loop_test(tc, rng_01_each_buffer_gets_random_bytes, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, rng_01_many_buffers_and_pieces_are_served_in_turn, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, requests_are_not_served_from_within_the_kick, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, requests_without_room_come_back_empty, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, broken_chains_need_a_reset_and_then_it_works_again, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, rng_02_no_more_than_max_bytes_come_in_a_period, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_does_not_renew_the_quota, 0, FAKE_CELLS);
    tcase_add_test(tc, a_quota_of_nothing_serves_nothing);
    tcase_add_loop_test(tc, bytes_of_the_source_reach_the_guest_when_they_come, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, reset_in_flight_writes_nothing_afterwards, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, without_bus_mastering_bytes_wait, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, without_bus_mastering_bytes_wait, FAKE_PCI_LEGACY, FAKE_CELLS);
    tcase_add_test(tc, a_device_that_leaves_lets_go_of_its_source);
    tcase_add_test(tc, a_source_at_its_end_leaves_requests_waiting);
    tcase_add_test(tc, two_devices_share_a_source);
    tcase_add_loop_test(tc, basic_17_no_device_features_and_no_configuration, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, ten_thousand_random_operations_do_no_harm, 0, FAKE_CELLS);
    suite_add_tcase(s, tc);
    tc = tcase_create("objects");
    add_object_tests(tc);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
