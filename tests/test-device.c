/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices, buses and the platform: realize with its undo, unrealize, reset order, limits, lookup,
 * hotplug handlers and the one-balloon rule.
 */
#include <check.h>

#include "hw/core/device.h"
#include "hw/core/memory-balloon.h"
#include "tests/suite.h"

/* --- test types: a leaf that logs, a nest with a bus of its own, a bus that checks --- */

static GString *journal; /* what happened, in order */

OBJECT_DECLARE(Leaf, leaf, LEAF)

struct Leaf {
    Device parent_obj;
    bool fail;
    uint32_t knob;
};

static void note(Device *dev, const char *what)
{
    g_string_append_printf(journal, "%s%s ", what, dev->id ? dev->id : "?");
}

static bool leaf_realize(Device *dev, GError **err)
{
    note(dev, "+");
    return !LEAF(dev)->fail || error_set(err, "leaf is told to fail");
}

static void leaf_unrealize(Device *dev)
{
    note(dev, "-");
}

static void leaf_reset(Device *dev)
{
    note(dev, "r");
}

static void leaf_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = leaf_realize;
    dc->unrealize = leaf_unrealize;
    dc->reset = leaf_reset;
}

static const Property leaf_props[] = {
    PROP_BOOL("fail", Leaf, fail, false, "fail in realize"),
    PROP_UINT32("knob", Leaf, knob, 1, 0, 9, "a number"),
    PROP_END,
};

const TypeInfo leaf_type = {
    .name = "test-leaf",
    .parent = &device_type,
    .instance_size = sizeof(Leaf),
    .class_init = leaf_class_init,
    .props = leaf_props,
};

static void subleaf_reset(Device *dev)
{
    note(dev, "s");
}

static void subleaf_class_init(ObjectClass *klass, const void *data)
{
    DEVICE_CLASS(klass)->reset = subleaf_reset;
}

static const TypeInfo subleaf_type = {
    .name = "test-subleaf", .parent = &leaf_type, .class_init = subleaf_class_init};
static const TypeInfo quietleaf_type = {.name = "test-quietleaf", .parent = &subleaf_type};

static bool twig_check_plug(Bus *bus, Device *dev, GError **err)
{
    return g_strcmp0(dev->id, "unwanted") != 0 || error_set(err, "the twig does not want it");
}

static void twig_reset(Bus *bus)
{
    g_string_append(journal, "rTWIG ");
}

static void twig_class_init(ObjectClass *klass, const void *data)
{
    BUS_CLASS(klass)->check_plug = twig_check_plug;
    BUS_CLASS(klass)->reset = twig_reset;
}

static const TypeInfo twig_type = {
    .name = "twig", .parent = &bus_type, .class_init = twig_class_init};

static void twigleaf_class_init(ObjectClass *klass, const void *data)
{
    DEVICE_CLASS(klass)->bus_type = &twig_type;
}

static const TypeInfo twigleaf_type = {
    .name = "test-twigleaf", .parent = &leaf_type, .class_init = twigleaf_class_init};

static void nest_instance_init(Object *obj)
{
    bus_new(&twig_type, DEVICE(obj), "twig.0", NULL);
}

static const TypeInfo nest_type = {
    .name = "test-nest", .parent = &leaf_type, .instance_init = nest_instance_init};

static const TypeInfo twigballoon_type = {
    .name = "test-twigballoon",
    .parent = &twigleaf_type,
    .interfaces = (const TypeInfo *const[]){&memory_balloon_type, NULL},
};

static const TypeInfo balloonleaf_type = {
    .name = "test-balloon",
    .parent = &leaf_type,
    .interfaces = (const TypeInfo *const[]){&memory_balloon_type, NULL},
};

/* --- fixture --- */

static Platform platform;
static Bus *main_bus;
static Object *root;

static void setup(void)
{
    journal = g_string_new(NULL);
    platform_init(&platform, true, true);
    root = object_new(&container_type);
    platform.root = root;
    main_bus = bus_new(&main_bus_type, NULL, "main", &platform);
}

static void teardown(void)
{
    bus_unrealize(main_bus);
    object_unref(root);
    object_unref(main_bus);
    platform_finish(&platform);
    g_string_free(journal, true);
}

static Device *make(const TypeInfo *type, const char *id)
{
    Object *obj = object_new(type);

    DEVICE(obj)->id = g_strdup(id);
    ck_assert(object_add_child(root, id, obj, NULL));
    return DEVICE(obj);
}

static Device *plug(const TypeInfo *type, const char *id, Bus *bus)
{
    Device *dev = make(type, id);

    ck_assert(device_realize(dev, bus, NULL));
    return dev;
}

static Bus *twig_of(Device *nest)
{
    return g_ptr_array_index(nest->child_buses, 0);
}

/* Realizes, expects it to fail with exactly that line. */
static void refuse(Device *dev, Bus *bus, const char *line)
{
    GError *err = NULL;

    ck_assert(!device_realize(dev, bus, &err));
    ck_assert_str_eq(err->message, line);
    g_error_free(err);
    ck_assert(!dev->realized);
    ck_assert_ptr_null(dev->bus);
}

/* --- realize and unrealize --- */

START_TEST(a_realized_device_is_on_its_bus_and_knows_the_platform)
{
    Device *dev = make(&leaf_type, "a");

    ck_assert_ptr_null(device_platform(dev));
    ck_assert(device_realize(dev, main_bus, NULL));
    ck_assert(dev->realized);
    ck_assert_ptr_eq(dev->bus, main_bus);
    ck_assert_uint_eq(main_bus->devices->len, 1);
    ck_assert_ptr_eq(device_platform(dev), &platform);
}
END_TEST

START_TEST(realize_freezes_properties_and_unrealize_thaws_them)
{
    Device *dev = plug(&leaf_type, "a", main_bus);
    Object *obj = &dev->parent_obj;

    ck_assert(!property_set_uint(obj, "knob", 2, NULL));
    device_unrealize(dev);
    ck_assert(property_set_uint(obj, "knob", 2, NULL));
}
END_TEST

START_TEST(a_failed_realize_leaves_device_and_bus_as_before)
{
    Device *dev = make(&leaf_type, "a");
    Object *obj = &dev->parent_obj;

    ck_assert(property_set_bool(obj, "fail", true, NULL));
    refuse(dev, main_bus, "leaf is told to fail");
    ck_assert_uint_eq(main_bus->devices->len, 0);
    ck_assert(property_set_bool(obj, "fail", false, NULL));
    ck_assert(device_realize(dev, main_bus, NULL));
}
END_TEST

START_TEST(unrealize_goes_children_first_and_latest_first)
{
    Device *nest = plug(&nest_type, "n", main_bus);

    plug(&twigleaf_type, "1", twig_of(nest));
    plug(&twigleaf_type, "2", twig_of(nest));
    device_unrealize(nest);
    ck_assert_str_eq(journal->str, "+n +1 +2 -2 -1 -n ");
    ck_assert_uint_eq(main_bus->devices->len, 0);
}
END_TEST

START_TEST(unrealizing_twice_is_harmless)
{
    Device *dev = plug(&leaf_type, "a", main_bus);

    device_unrealize(dev);
    device_unrealize(dev);
    ck_assert_str_eq(journal->str, "+a -a ");
}
END_TEST

START_TEST(destroy_takes_the_device_out_of_the_tree)
{
    device_destroy(plug(&leaf_type, "a", main_bus));
    ck_assert_ptr_null(object_child(root, "a"));
    ck_assert_str_eq(journal->str, "+a -a ");
}
END_TEST

START_TEST(a_bus_made_at_init_gets_the_platform_at_realize)
{
    Device *nest = make(&nest_type, "n");

    ck_assert_ptr_null(twig_of(nest)->platform);
    ck_assert(device_realize(nest, main_bus, NULL));
    ck_assert_ptr_eq(twig_of(nest)->platform, &platform);
}
END_TEST

/* --- who may be plugged --- */

START_TEST(a_device_is_refused_on_the_wrong_bus)
{
    Device *nest = plug(&nest_type, "n", main_bus);

    refuse(make(&twigleaf_type, "t"), main_bus,
           "'t' (test-twigleaf) needs a twig bus, not a main-bus bus");
    refuse(make(&leaf_type, "l"), twig_of(nest),
           "'l' (test-leaf) plugs straight into the machine, not onto a twig bus");
}
END_TEST

START_TEST(a_bus_takes_no_more_than_its_limit)
{
    Device *nest = plug(&nest_type, "n", main_bus);

    twig_of(nest)->max_devices = 1;
    plug(&twigleaf_type, "1", twig_of(nest));
    refuse(make(&twigleaf_type, "2"), twig_of(nest),
           "no room for '2' (test-twigleaf): bus 'twig.0' takes at most 1 device");
    ck_assert_ptr_null(bus_find(main_bus, &twig_type));
}
END_TEST

START_TEST(the_bus_may_refuse_a_device_before_realize)
{
    Device *nest = plug(&nest_type, "n", main_bus);

    refuse(make(&twigleaf_type, "unwanted"), twig_of(nest), "the twig does not want it");
    ck_assert_str_eq(journal->str, "+n ");
}
END_TEST

START_TEST(a_second_balloon_is_refused)
{
    Device *one = plug(&balloonleaf_type, "one", main_bus);
    Device *two = make(&balloonleaf_type, "two");

    ck_assert_ptr_eq(memory_balloon_find(root), one);
    refuse(two, main_bus,
           "only one balloon device is supported: 'one' (test-balloon) is there already, so "
           "'two' (test-balloon) cannot be added");
    device_destroy(one);
    ck_assert_ptr_null(memory_balloon_find(root));
    ck_assert(device_realize(two, main_bus, NULL));
    ck_assert_ptr_eq(memory_balloon_find(root), two);
}
END_TEST

START_TEST(a_second_balloon_behind_a_proxy_is_named_by_the_proxy)
{
    Device *proxy = plug(&nest_type, "p", main_bus), *inner;

    plug(&balloonleaf_type, "one", main_bus);
    inner = DEVICE(object_new(&twigballoon_type));
    ck_assert(object_add_child((Object *)proxy, "inner", (Object *)inner, NULL));
    refuse(inner, twig_of(proxy),
           "only one balloon device is supported: 'one' (test-balloon) is there already, so "
           "'p' (test-nest) cannot be added");
}
END_TEST

START_TEST(no_balloon_is_found_in_no_tree)
{
    ck_assert_ptr_null(memory_balloon_find(NULL));
}
END_TEST

/* --- reset --- */

START_TEST(reset_goes_from_the_leaves_up)
{
    Device *nest = plug(&nest_type, "n", main_bus);

    plug(&twigleaf_type, "1", twig_of(nest));
    plug(&twigleaf_type, "2", twig_of(nest));
    plug(&leaf_type, "z", main_bus);
    g_string_truncate(journal, 0);
    bus_reset(main_bus);
    ck_assert_str_eq(journal->str, "r1 r2 rTWIG rn rz ");
}
END_TEST

START_TEST(reset_runs_each_class_once_the_derived_first)
{
    Device *dev = plug(&quietleaf_type, "q", main_bus);

    g_string_truncate(journal, 0);
    device_reset(dev);
    ck_assert_str_eq(journal->str, "sq rq ");
}
END_TEST

START_TEST(an_unrealized_device_is_not_reset)
{
    device_reset(make(&leaf_type, "a"));
    ck_assert_str_eq(journal->str, "");
}
END_TEST

/* --- lookup --- */

START_TEST(buses_are_found_by_type_name_and_id)
{
    Device *nest = plug(&nest_type, "n", main_bus);

    ck_assert_ptr_eq(bus_find(main_bus, &twig_type), twig_of(nest));
    ck_assert_ptr_eq(bus_find(main_bus, &main_bus_type), main_bus);
    ck_assert_ptr_eq(bus_find_by_name(main_bus, "twig.0"), twig_of(nest));
    ck_assert_ptr_eq(bus_find_by_name(main_bus, "n"), twig_of(nest));
    ck_assert_ptr_null(bus_find_by_name(main_bus, "twig.1"));
}
END_TEST

static void collect(Device *dev, void *opaque)
{
    g_string_append(opaque, dev->id);
}

START_TEST(a_walk_over_a_bus_sees_parents_first)
{
    g_autoptr(GString) seen = g_string_new(NULL);
    Device *nest = plug(&nest_type, "n", main_bus);

    plug(&leaf_type, "z", main_bus);
    plug(&twigleaf_type, "1", twig_of(nest));
    bus_foreach(main_bus, collect, seen);
    ck_assert_str_eq(seen->str, "n1z");
}
END_TEST

START_TEST(a_device_is_described_by_id_and_type)
{
    Device *dev = make(&leaf_type, "a");
    g_autofree char *with = device_describe(dev), *without = NULL;

    g_clear_pointer(&dev->id, g_free);
    without = device_describe(dev);
    ck_assert_str_eq(with, "'a' (test-leaf)");
    ck_assert_str_eq(without, "test-leaf");
}
END_TEST

/* --- hotplug handler --- */

static bool handler_pre_plug(Object *handler, Device *dev, GError **err)
{
    note(dev, "pre:");
    return g_strcmp0(dev->id, "early") != 0 || error_set(err, "refused early");
}

static bool handler_plug(Object *handler, Device *dev, GError **err)
{
    note(dev, "plug:");
    return g_strcmp0(dev->id, "late") != 0 || error_set(err, "refused late");
}

static void handler_unplug(Object *handler, Device *dev)
{
    note(dev, "unplug:");
}

static void handler_class_init(ObjectClass *klass, const void *data)
{
    HotplugHandlerClass *hc = object_class_interface(klass, &hotplug_handler_type);

    hc->pre_plug = handler_pre_plug;
    hc->plug = handler_plug;
    hc->unplug = handler_unplug;
}

static const TypeInfo handler_type = {
    .name = "test-handler",
    .class_init = handler_class_init,
    .interfaces = (const TypeInfo *const[]){&hotplug_handler_type, NULL},
};

START_TEST(the_hotplug_handler_is_asked_and_told)
{
    g_autoptr(Object) handler = object_new(&handler_type);

    bus_set_hotplug_handler(main_bus, handler);
    ck_assert_ptr_eq(bus_hotplug_handler(main_bus), handler);
    device_unrealize(plug(&leaf_type, "a", main_bus));
    ck_assert_str_eq(journal->str, "pre:a +a plug:a unplug:a -a ");
    bus_set_hotplug_handler(main_bus, NULL);
}
END_TEST

START_TEST(a_handler_that_refuses_leaves_nothing_behind)
{
    g_autoptr(Object) handler = object_new(&handler_type);

    bus_set_hotplug_handler(main_bus, handler);
    refuse(make(&leaf_type, "early"), main_bus, "refused early");
    refuse(make(&leaf_type, "late"), main_bus, "refused late");
    ck_assert_str_eq(journal->str, "pre:early pre:late +late plug:late -late ");
    ck_assert_uint_eq(main_bus->devices->len, 0);
    bus_set_hotplug_handler(main_bus, NULL);
}
END_TEST

/* --- platform --- */

static unsigned requests;

static void count_request(Platform *p, ShutdownCause cause)
{
    requests += 1 + (unsigned)cause;
}

static void count_stop(Platform *p, StopCause cause)
{
    requests += 100 + (unsigned)cause;
}

static void count_exit(Platform *p, int status)
{
    requests += (unsigned)status;
}

static void count_event(Platform *p, const char *name, json_t *data)
{
    requests++;
    json_decref(data);
}

START_TEST(requests_go_to_the_machine_or_nowhere)
{
    static const PlatformOps ops = {
        .shutdown_request = count_request,
        .reset_request = count_request,
        .stop_request = count_stop,
        .exit_request = count_exit,
        .event = count_event,
    };

    for (int i = 0; i < 2; i++) {
        platform_shutdown_request(&platform, SHUTDOWN_CAUSE_GUEST_SHUTDOWN); /* 1 */
        platform_reset_request(&platform, SHUTDOWN_CAUSE_GUEST_RESET);       /* 2 */
        platform_stop_request(&platform, STOP_CAUSE_IO_ERROR);               /* 100 */
        platform_exit_request(&platform, 33);
        platform_event(&platform, "BALLOON_CHANGE", json_object());
        ck_assert_uint_eq(requests, i ? 137 : 0);
        platform.ops = &ops;
    }
    requests = 0;
}
END_TEST

START_TEST(shutdown_causes_are_spelt_as_in_qmp)
{
    ck_assert_str_eq(shutdown_cause_name(SHUTDOWN_CAUSE_GUEST_SHUTDOWN), "guest-shutdown");
    ck_assert_str_eq(shutdown_cause_name(SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET),
                     "host-qmp-system-reset");
    ck_assert_str_eq(shutdown_cause_name(SHUTDOWN_CAUSE_HOST_ERROR), "host-error");
}
END_TEST

static uint64_t read_seven(void *opaque, uint64_t off, unsigned size)
{
    return 7;
}

START_TEST(ram_hides_device_registers)
{
    static const IoRegionOps ops = {.read = read_seven};
    IoRegion r;

    ck_assert(gmem_add(platform.mem, GPA(0), 0x10000, GMEM_ANONYMOUS, NULL));
    io_region_init(&r, "r", &ops, NULL, 0x20000);
    aspace_map(platform.mmio, &r, 0, 0);
    ck_assert_ptr_null(aspace_find(platform.mmio, 0xffff));
    ck_assert_ptr_eq(aspace_find(platform.mmio, 0x10000), &r);
    io_region_finish(&r);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device");
    TCase *tc = tcase_create("device");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, a_realized_device_is_on_its_bus_and_knows_the_platform);
    tcase_add_test(tc, realize_freezes_properties_and_unrealize_thaws_them);
    tcase_add_test(tc, a_failed_realize_leaves_device_and_bus_as_before);
    tcase_add_test(tc, unrealize_goes_children_first_and_latest_first);
    tcase_add_test(tc, unrealizing_twice_is_harmless);
    tcase_add_test(tc, destroy_takes_the_device_out_of_the_tree);
    tcase_add_test(tc, a_bus_made_at_init_gets_the_platform_at_realize);
    tcase_add_test(tc, a_device_is_refused_on_the_wrong_bus);
    tcase_add_test(tc, a_bus_takes_no_more_than_its_limit);
    tcase_add_test(tc, the_bus_may_refuse_a_device_before_realize);
    tcase_add_test(tc, a_second_balloon_is_refused);
    tcase_add_test(tc, a_second_balloon_behind_a_proxy_is_named_by_the_proxy);
    tcase_add_test(tc, no_balloon_is_found_in_no_tree);
    tcase_add_test(tc, reset_goes_from_the_leaves_up);
    tcase_add_test(tc, reset_runs_each_class_once_the_derived_first);
    tcase_add_test(tc, an_unrealized_device_is_not_reset);
    tcase_add_test(tc, buses_are_found_by_type_name_and_id);
    tcase_add_test(tc, a_walk_over_a_bus_sees_parents_first);
    tcase_add_test(tc, a_device_is_described_by_id_and_type);
    tcase_add_test(tc, the_hotplug_handler_is_asked_and_told);
    tcase_add_test(tc, a_handler_that_refuses_leaves_nothing_behind);
    tcase_add_test(tc, requests_go_to_the_machine_or_nowhere);
    tcase_add_test(tc, shutdown_causes_are_spelt_as_in_qmp);
    tcase_add_test(tc, ram_hides_device_registers);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
