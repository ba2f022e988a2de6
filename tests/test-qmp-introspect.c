/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about machines and types, and about devices that come and go while a VM without
 * guest runs.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/qtest-fixture.h"
#include "tests/suite.h"

static QtestVm vm;
static GPtrArray *events; /* of json_t *, the data of DEVICE_DELETED; under the VM lock */

static void on_event(void *opaque, const char *name, json_t *data)
{
    if (!strcmp(name, "DEVICE_DELETED")) {
        g_ptr_array_add(events, json_deep_copy(data));
    }
}

static void setup(void)
{
    events = g_ptr_array_new_with_free_func((GDestroyNotify)json_decref);
    qtest_vm_start(&vm, "pc", "virtio-balloon-pci,id=b0", NULL);
    pthread_mutex_lock(&vm.m->platform.lock);
    machine_add_event_sink(vm.m, on_event, &vm);
    pthread_mutex_unlock(&vm.m->platform.lock);
}

static void teardown(void)
{
    qtest_vm_stop(&vm);
    g_ptr_array_unref(events);
}

static json_t *ask(const char *command, const char *arguments)
{
    g_autoptr(GError) err = NULL;
    json_t *result = qtest_vm_ask(&vm, command, arguments, &err);

    ck_assert_msg(result != NULL, "%s: %s", command, err ? err->message : "");
    return result;
}

static void expect_error(const char *command, const char *arguments, int code, const char *text)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(qtest_vm_ask(&vm, command, arguments, &err));
    ck_assert_str_eq(err->message, text);
    ck_assert_int_eq(err->code, code);
}

/* The entry of a list whose "name" is that; borrowed, or NULL. */
static json_t *named(json_t *list, const char *name)
{
    json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        if (!strcmp(json_string_value(json_object_get(entry, "name")), name)) {
            return entry;
        }
    }
    return NULL;
}

static void expect_entry(json_t *list, const char *name, const char *text)
{
    json_t *wanted = json_loads(text, 0, NULL), *entry = named(list, name);
    g_autofree char *got = entry ? json_dumps(entry, JSON_SORT_KEYS) : NULL;

    ck_assert_msg(entry && json_equal(entry, wanted), "%s: %s", name, got ? got : "missing");
    json_decref(wanted);
}

/* --- machines and CPUs --- */

START_TEST(machines_are_described_as_qemu_7_2_does)
{
    json_t *list = ask("query-machines", "{}");

    expect_entry(list, "pc",
                 "{\"name\": \"pc\", \"cpu-max\": 64, \"hotpluggable-cpus\": false, "
                 "\"numa-mem-supported\": false, \"deprecated\": false, \"is-default\": true}");
    expect_entry(list, "none",
                 "{\"name\": \"none\", \"cpu-max\": 1, \"hotpluggable-cpus\": false, "
                 "\"numa-mem-supported\": false, \"deprecated\": false}");
    json_decref(list);
}
END_TEST

START_TEST(program_name_chooses_the_machines_that_are_shown)
{
    json_t *list;

    ck_assert_str_eq(machine_program_target("/usr/bin/qemu-system-x86_64"), "x86_64");
    ck_assert_str_eq(machine_program_target("x-system-arm"), "arm");
    ck_assert_str_eq(machine_program_target("./a-system-aarch64"), "aarch64");
    ck_assert_ptr_null(machine_program_target("aerostat"));
    ck_assert_str_eq(machine_default(NULL), "pc");
    ck_assert_str_eq(machine_default("x86_64"), "pc");
    ck_assert_str_eq(machine_default("arm"), "virt");
    vm.m->target = "arm";
    list = ask("query-machines", "{}");
    ck_assert_ptr_null(named(list, "pc"));
    ck_assert_ptr_nonnull(named(list, "none"));
    json_decref(list);
}
END_TEST

START_TEST(cpu_models_are_listed)
{
    json_t *list = ask("query-cpu-definitions", "{}");

    expect_entry(list, "max",
                 "{\"name\": \"max\", \"typename\": \"max-x86_64-cpu\", \"static\": false, "
                 "\"migration-safe\": false, \"deprecated\": false, "
                 "\"unavailable-features\": []}");
    ck_assert_ptr_nonnull(named(list, "host"));
    json_decref(list);
}
END_TEST

/* --- properties --- */

START_TEST(device_properties_have_type_help_and_default)
{
    json_t *list = ask("device-list-properties", "{\"typename\": \"virtio-balloon-pci\"}");
    json_t *entry = named(list, "deflate-on-oom"); /* of the device behind the proxy */

    ck_assert_ptr_nonnull(entry);
    ck_assert_str_eq(json_string_value(json_object_get(entry, "type")), "bool");
    ck_assert(json_is_false(json_object_get(entry, "default-value")));
    ck_assert(json_is_string(json_object_get(entry, "description")));
    ck_assert_ptr_nonnull(named(list, "addr"));
    ck_assert_ptr_null(named(list, "type"));
    json_decref(list);
    list = ask("qom-list-properties", "{\"typename\": \"pc-machine\"}");
    ck_assert_ptr_nonnull(named(list, "type"));
    ck_assert_ptr_nonnull(named(list, "rtc"));
    json_decref(list);
}
END_TEST

START_TEST(every_type_can_be_asked)
{
    json_t *types = ask("qom-list-types", "{\"abstract\": true}"), *entry;
    size_t i;

    json_array_foreach(types, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        g_autofree char *args = g_strdup_printf("{\"typename\": \"%s\"}", name);

        json_decref(ask("qom-list-properties", args));
        qtest_vm_qmp(&vm, "device-list-properties", args);
    }
    json_decref(types);
}
END_TEST

START_TEST(what_is_no_device_type_has_no_device_properties)
{
    expect_error("device-list-properties", "{\"typename\": \"nope\"}", AEROSTAT_ERROR_NOT_FOUND,
                 "Device 'nope' not found");
    expect_error("device-list-properties", "{\"typename\": \"pc-machine\"}", AEROSTAT_ERROR_GENERIC,
                 "Parameter 'typename' expects a non-abstract device type");
    expect_error("device-list-properties", "{\"typename\": \"device\"}", AEROSTAT_ERROR_GENERIC,
                 "Parameter 'typename' expects a non-abstract device type");
    expect_error("qom-list-properties", "{\"typename\": \"nope\"}", AEROSTAT_ERROR_NOT_FOUND,
                 "Class 'nope' not found");
}
END_TEST

/* --- devices that come and go --- */

static bool in_tree(const char *path)
{
    g_autofree char *args = g_strdup_printf("{\"path\": \"%s\"}", path);

    return qtest_vm_qmp(&vm, "qom-list", args);
}

static unsigned events_seen(void)
{
    unsigned n;

    pthread_mutex_lock(&vm.m->platform.lock);
    n = events->len;
    pthread_mutex_unlock(&vm.m->platform.lock);
    return n;
}

static void expect_deleted(unsigned n, const char *id, const char *path)
{
    ck_assert_uint_eq(events_seen(), n + 1);
    ck_assert_str_eq(json_string_value(json_object_get(events->pdata[n], "device")), id);
    ck_assert_str_eq(json_string_value(json_object_get(events->pdata[n], "path")), path);
    ck_assert(!in_tree(path));
}

START_TEST(device_is_asked_to_leave_and_goes_when_its_slot_is_ejected)
{
    QtestClient c;

    qtest_client_connect(&c, &vm);
    for (unsigned i = 0; i < 3; i++) {
        json_decref(ask("device_add", "{\"driver\": \"virtio-rng-pci\", \"id\": \"r0\", "
                                      "\"addr\": \"07.0\"}"));
        ck_assert_uint_eq(qtest_get(&c, "inl 0xae00"), 0x80); /* it came */
        ck_assert_uint_eq(qtest_get(&c, "inl 0xae00"), 0);    /* and was seen */
        ck_assert_uint_eq(qtest_get(&c, "inl 0xae04"), 0);
        json_decref(ask("device_del", "{\"id\": \"r0\"}"));
        ck_assert(in_tree("/machine/peripheral/r0"));
        ck_assert_uint_eq(qtest_get(&c, "inl 0xae04"), 0x80);
        expect_error("device_del", "{\"id\": \"r0\"}", AEROSTAT_ERROR_GENERIC,
                     "Device r0 is already in the process of unplug");
        ck_assert_uint_eq(events_seen(), i);
        qtest_ok(&c, "outl 0xae08 0x80");
        expect_deleted(i, "r0", "/machine/peripheral/r0");
        ck_assert_uint_eq(qtest_get(&c, "inl 0xae04"), 0);
    }
    qtest_client_close(&c);
}
END_TEST

START_TEST(only_removable_slots_of_bus_0_are_ejected)
{
    QtestClient c;

    qtest_client_connect(&c, &vm);
    ck_assert_uint_eq(qtest_get(&c, "inl 0xae0c"), 2);
    qtest_ok(&c, "outl 0xae08 0xfffffffd"); /* the host bridge and what is empty */
    qtest_ok(&c, "outl 0xae10 1");
    qtest_ok(&c, "outl 0xae08 2"); /* of a bus that is not there */
    ck_assert_uint_eq(qtest_get(&c, "inl 0xae0c"), 0);
    ck_assert_uint_eq(events_seen(), 0);
    qtest_ok(&c, "outl 0xcf8 0x80000000");
    ck_assert_uint_eq(qtest_get(&c, "inl 0xcfc"), 0x00081b36);
    qtest_ok(&c, "outl 0xcf8 0x80000800");
    ck_assert_uint_eq(qtest_get(&c, "inl 0xcfc") & 0xffff, 0x1af4);
    qtest_ok(&c, "outl 0xae10 0");
    qtest_ok(&c, "outl 0xae08 2"); /* nobody asked for it, but there it goes */
    expect_deleted(0, "b0", "/machine/peripheral/b0");
    ck_assert_uint_eq(qtest_get(&c, "inl 0xcfc"), 0xffffffff);
    qtest_client_close(&c);
}
END_TEST

START_TEST(device_that_was_asked_to_leave_goes_at_reset)
{
    json_decref(ask("device_del", "{\"id\": \"/machine/peripheral/b0\"}"));
    ck_assert_uint_eq(events_seen(), 0);
    json_decref(ask("system_reset", "{}"));
    for (unsigned i = 0; i < 10000 && events_seen() == 0; i++) {
        g_usleep(1000);
    }
    expect_deleted(0, "b0", "/machine/peripheral/b0");
}
END_TEST

START_TEST(port_goes_at_once_and_before_the_device_that_it_is_on)
{
    QtestClient c;

    qtest_client_connect(&c, &vm);
    json_decref(ask("device_add", "{\"driver\": \"virtio-serial-pci\", \"id\": \"vs\", "
                                  "\"addr\": \"0x09\"}"));
    for (unsigned i = 0; i < 2; i++) {
        json_decref(ask("device_add", "{\"driver\": \"virtserialport\", \"id\": \"p0\"}"));
        json_decref(ask("device_del", i ? "{\"id\": \"vs\"}" : "{\"id\": \"p0\"}"));
        if (i == 0) {
            expect_deleted(0, "p0", "/machine/peripheral/p0");
        }
    }
    qtest_ok(&c, "outl 0xae08 0x200");
    ck_assert_uint_eq(events_seen(), 3);
    ck_assert_str_eq(json_string_value(json_object_get(events->pdata[1], "device")), "p0");
    expect_deleted(2, "vs", "/machine/peripheral/vs");
    ck_assert(!in_tree("/machine/peripheral/p0"));
    qtest_client_close(&c);
}
END_TEST

START_TEST(wrong_device_gets_a_reason)
{
    expect_error("device_add", "{}", AEROSTAT_ERROR_GENERIC, "Parameter 'driver' is missing");
    expect_error("device_add", "{\"driver\": \"i8042\"}", AEROSTAT_ERROR_GENERIC,
                 "'i8042' is part of the machine and cannot be made by the user");
    expect_error("device_add", "{\"driver\": \"isa-debug-exit\"}", AEROSTAT_ERROR_GENERIC,
                 "Device 'isa-debug-exit' does not support hotplugging");
    expect_error("device_del", "{\"id\": \"nope\"}", AEROSTAT_ERROR_NOT_FOUND,
                 "Device 'nope' not found");
    expect_error("device_del", "{\"id\": \"/machine/pci-host/function\"}", AEROSTAT_ERROR_GENERIC,
                 "Device '/machine/pci-host/function' is part of the machine or of another device");
    expect_error("device_del", "{\"id\": \"/machine/peripheral/b0/virtio-backend\"}",
                 AEROSTAT_ERROR_GENERIC,
                 "Device '/machine/peripheral/b0/virtio-backend' is part of the machine or of "
                 "another device");
    ck_assert_uint_eq(events->len, 0);
}
END_TEST

/* --- */

int main(void)
{
    Suite *s = suite_create("qmp-introspect");
    TCase *tc = tcase_create("pc");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, machines_are_described_as_qemu_7_2_does);
    tcase_add_test(tc, program_name_chooses_the_machines_that_are_shown);
    tcase_add_test(tc, cpu_models_are_listed);
    tcase_add_test(tc, device_properties_have_type_help_and_default);
    tcase_add_test(tc, every_type_can_be_asked);
    tcase_add_test(tc, what_is_no_device_type_has_no_device_properties);
    tcase_add_test(tc, device_is_asked_to_leave_and_goes_when_its_slot_is_ejected);
    tcase_add_test(tc, only_removable_slots_of_bus_0_are_ejected);
    tcase_add_test(tc, device_that_was_asked_to_leave_goes_at_reset);
    tcase_add_test(tc, port_goes_at_once_and_before_the_device_that_it_is_on);
    tcase_add_test(tc, wrong_device_gets_a_reason);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
