/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot budget's memory of what was there: a device or a region that comes to the place of one
 * that left is another. What a whole boot gives is in tests/cli/trace-boot-test.py.
 */
#include <check.h>
#include <jansson.h>
#include <unistd.h>

#include "core/boot-trace.h"
#include "hw/core/device.h"
#include "tests/suite.h"

static const TypeInfo part_type = {
    .name = "test-part", .parent = &device_type, .instance_size = sizeof(Device)};

static Platform platform;
static Bus *main_bus;
static char *dir, *path;

static void setup(void)
{
    dir = g_dir_make_tmp("boot-trace-XXXXXX", NULL);
    path = g_build_filename(dir, "boot.json", NULL);
    platform_init(&platform, true, true);
    platform.root = object_new(&container_type);
    main_bus = bus_new(&main_bus_type, NULL, "main", &platform);
    ck_assert(boot_trace_begin(path, NULL, NULL));
}

static void teardown(void)
{
    bus_unrealize(main_bus);
    object_unref(platform.root);
    object_unref(main_bus);
    platform_finish(&platform);
    unlink(path);
    rmdir(dir);
    g_free(path);
    g_free(dir);
}

/* What was written. Drop it with json_decref. */
static json_t *finish(void)
{
    json_t *all;

    ck_assert(boot_trace_end(false));
    all = json_load_file(path, 0, NULL);
    ck_assert_ptr_nonnull(all);
    return all;
}

static unsigned count(json_t *all, const char *name)
{
    unsigned n = 0;
    json_t *event;
    size_t i;

    json_array_foreach(json_object_get(all, "traceEvents"), i, event)
    {
        n += !g_strcmp0(json_string_value(json_object_get(event, "name")), name);
    }
    return n;
}

/* The same piece of memory twice, which an allocator does not promise. */
START_TEST(a_device_in_the_place_of_another_has_its_own_first_kick)
{
    Object *obj = object_new(&part_type);
    json_t *all;

    for (const char *const *name = (const char *const[]){"one", "two", NULL}; *name; name++) {
        ck_assert(object_add_child(platform.root, *name, object_ref(obj), NULL));
        ck_assert(device_realize(DEVICE(obj), main_bus, NULL));
        boot_trace_first("kick of", obj);
        boot_trace_first("kick of", obj);
        device_destroy(DEVICE(obj));
    }
    object_unref(obj);
    all = finish();
    ck_assert_uint_eq(count(all, "kick of test-part one"), 1);
    ck_assert_uint_eq(count(all, "kick of test-part two"), 1);
    json_decref(all);
}
END_TEST

START_TEST(a_region_in_the_place_of_another_has_its_own_exits)
{
    static const char *const names[] = {"one", "two", "one"};
    static const IoRegionOps ops;
    AddressSpace *as = aspace_new("memory", 0);
    json_t *all, *exits;
    IoRegion r;

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        io_region_init(&r, names[i], &ops, NULL, 8);
        aspace_map(as, &r, 4096, 0);
        boot_trace_exit(platform.root, &r, false);
        boot_trace_exit(platform.root, &r, true);
        aspace_map(as, &r, 8192, 0); /* it is the same region still */
        boot_trace_exit(platform.root, &r, true);
        io_region_finish(&r);
    }
    aspace_free(as);
    all = finish();
    exits = json_object_get(json_object_get(all, "otherData"), "exits");
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(exits, "one"), "reads")),
                     2);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(exits, "one"), "writes")),
                     4);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(exits, "two"), "reads")),
                     1);
    ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(exits, "two"), "writes")),
                     2);
    json_decref(all);
}
END_TEST

int main(void)
{
    static const TypeInfo *const types[] = {&container_type, &part_type, NULL};
    Suite *s = suite_create("boot-trace");
    TCase *tc = tcase_create("boot-trace");

    type_register_list(types);
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_device_in_the_place_of_another_has_its_own_first_kick);
    tcase_add_test(tc, a_region_in_the_place_of_another_has_its_own_exits);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
