/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands one by one: answers and argument errors, in QEMU 7.2's shapes and words where it has
 * them.
 */
#include <string.h>

#include "hw/core/memory-balloon.h"
#include "tests/qmp-fixture.h"
#include "tests/qmp-validate.h"

#define GENERIC    "GenericError"
#define NO_OBJECT  "DeviceNotFound"
#define NOT_ACTIVE "DeviceNotActive"

/* --- arguments --- */

static const struct {
    const char *command, *arguments, *desc;
} bad_arguments[] = {
    {"query-status", "{'a':1}", "Parameter 'a' is unexpected"},
    {"stop", "{'a':1}", "Parameter 'a' is unexpected"},
    {"cont", "{'':1}", "Parameter '' is unexpected"},
    {"quit", "{'a':{}}", "Parameter 'a' is unexpected"},
    {"query-version", "{'a':1}", "Parameter 'a' is unexpected"},
    {"query-commands", "{'a':1}", "Parameter 'a' is unexpected"},
    {"query-name", "{'a':1}", "Parameter 'a' is unexpected"},
    {"query-kvm", "{'a':1}", "Parameter 'a' is unexpected"},
    {"query-balloon", "{'a':1}", "Parameter 'a' is unexpected"},
    {"system_reset", "{'a':1}", "Parameter 'a' is unexpected"},
    {"system_powerdown", "{'a':1}", "Parameter 'a' is unexpected"},
    {"balloon", "{}", "Parameter 'value' is missing"},
    {"balloon", "{'values':1}", "Parameter 'value' is missing"},
    {"balloon", "{'x':1,'value':33554432}", "Parameter 'x' is unexpected"},
    {"balloon", "{'x':1,'value':'32M'}", "Invalid parameter type for 'value', expected: integer"},
    {"balloon", "{'value':1.5}", "Invalid parameter type for 'value', expected: integer"},
    {"balloon", "{'value':true}", "Invalid parameter type for 'value', expected: integer"},
    {"balloon", "{'value':null}", "Invalid parameter type for 'value', expected: integer"},
    {"balloon", "{'value':-1}", "Parameter 'value' expects a size"},
    {"balloon", "{'value':0}", "Parameter 'value' expects a size"},
    {"qom-list", "{}", "Parameter 'path' is missing"},
    {"qom-list", "{'path':1}", "Invalid parameter type for 'path', expected: string"},
    {"qom-list", "{'path':'/','property':'x'}", "Parameter 'property' is unexpected"},
    {"qom-get", "{'path':'/'}", "Parameter 'property' is missing"},
    {"qom-get", "{'property':'type'}", "Parameter 'path' is missing"},
    {"qom-get", "{'path':'/','property':[]}",
     "Invalid parameter type for 'property', expected: string"},
    {"qom-set", "{'path':'/','property':'type'}", "Parameter 'value' is missing"},
    {"qom-set", "{'path':{},'property':'type','value':1}",
     "Invalid parameter type for 'path', expected: string"},
    {"qom-list-types", "{'implements':5}",
     "Invalid parameter type for 'implements', expected: string"},
    {"qom-list-types", "{'abstract':'on'}",
     "Invalid parameter type for 'abstract', expected: boolean"},
    {"qom-list-types", "{'a':1}", "Parameter 'a' is unexpected"},
};

START_TEST(bad_argument_gets_qemus_error)
{
    g_autofree char *request = g_strdup_printf(
        "{'execute':'%s','arguments':%s}", bad_arguments[_i].command, bad_arguments[_i].arguments);

    expect_error(client, request, GENERIC, bad_arguments[_i].desc);
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
}
END_TEST

/* --- the VM --- */

START_TEST(version_is_that_of_the_greeting)
{
    expect_return(client, "{'execute':'query-uuid'}",
                  "{'UUID':'00000000-0000-0000-0000-000000000000'}");
    expect_return(client, "{'execute':'query-version'}",
                  "{'qemu':{'micro':0,'minor':2,'major':7},'package':'aerostat-" AEROSTAT_VERSION
                  "'}");
}
END_TEST

START_TEST(commands_are_listed_by_name_and_all_of_them_exist)
{
    json_t *list = get_return(client, "{'execute':'query-commands'}"), *entry;
    const char *previous = "";
    size_t i;

    ck_assert_uint_ge(json_array_size(list), 16);
    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        g_autofree char *request = NULL;
        json_t *answer;

        ck_assert_int_lt(strcmp(previous, name), 0);
        previous = name;
        request = g_strdup_printf("{'execute':'%s','arguments':{'no such':1}}", name);
        answer = client_ask(client, request);
        ck_assert_ptr_nonnull(json_object_get(answer, "error"));
        if (strcmp(name, "qmp_capabilities") != 0) {
            ck_assert_str_eq(
                json_string_value(json_object_get(json_object_get(answer, "error"), "class")),
                GENERIC);
        }
        json_decref(answer);
    }
    json_decref(list);
}
END_TEST

START_TEST(schema_has_all_that_it_refers_to)
{
    g_autofree char *problem = qmp_validate_schema();
    json_t *schema = get_return(client, "{'execute':'query-qmp-schema'}"), *entry;
    size_t i, commands = 0;

    ck_assert_msg(!problem, "%s", problem);
    json_array_foreach(schema, i, entry)
    {
        commands += !strcmp(json_string_value(json_object_get(entry, "meta-type")), "command");
    }
    json_decref(schema);
    schema = get_return(client, "{'execute':'query-commands'}");
    ck_assert_uint_eq(json_array_size(schema), commands);
    json_decref(schema);
}
END_TEST

/* Each that can do without arguments; client_ask holds the result against the schema. */
START_TEST(every_query_gives_what_the_schema_says)
{
    json_t *list = get_return(client, "{'execute':'query-commands'}"), *entry;
    size_t i, answered = 0;

    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));
        g_autofree char *request = g_strdup_printf("{'execute':'%s'}", name);
        json_t *answer = NULL;

        if (g_str_has_prefix(name, "query-") || g_str_has_prefix(name, "x-query-")) {
            answer = client_ask(client, request);
            answered += json_object_get(answer, "return") != NULL;
        }
        json_decref(answer);
    }
    ck_assert_uint_ge(answered, 15);
    json_decref(list);
}
END_TEST

START_TEST(name_is_there_when_given)
{
    expect_return(client, "{'execute':'query-name'}", "{}");
    vm.m->name = g_strdup("Montgolfière");
    expect_return(client, "{'execute':'query-name'}", "{'name':'Montgolfière'}");
}
END_TEST

START_TEST(kvm_is_not_used_here)
{
    expect_return(client, "{'execute':'query-kvm'}", "{'enabled':false,'present':true}");
}
END_TEST

static void expect_status(const char *name, bool running)
{
    g_autofree char *want = g_strdup_printf("{'running':%s,'singlestep':false,'status':'%s'}",
                                            running ? "true" : "false", name);

    expect_return(client, "{'execute':'query-status'}", want);
    ck_assert(vm.accel->running == running);
}

START_TEST(status_follows_stop_and_cont)
{
    expect_status("prelaunch", false);
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_status("prelaunch", false);
    expect_return(client, "{'execute':'cont'}", "{}");
    expect_status("running", true);
    expect_return(client, "{'execute':'cont'}", "{}");
    expect_status("running", true);
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_status("paused", false);
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_status("paused", false);
    expect_return(client, "{'execute':'system_reset'}", "{}");
    expect_status("prelaunch", false);
    expect_return(client, "{'execute':'cont'}", "{}");
    expect_return(client, "{'execute':'system_reset'}", "{}");
    expect_status("running", true);
}
END_TEST

static const struct {
    ShutdownCause cause;
    const char *status;
} last_states[] = {
    {SHUTDOWN_CAUSE_GUEST_SHUTDOWN, "shutdown"},
    {SHUTDOWN_CAUSE_GUEST_PANIC, "guest-panicked"},
    {SHUTDOWN_CAUSE_HOST_ERROR, "internal-error"},
};

START_TEST(ended_guest_continues_only_after_a_reset)
{
    vm.m->no_shutdown = true;
    machine_request_shutdown(vm.m, last_states[_i].cause);
    fake_vm_settle(&vm);
    expect_status(last_states[_i].status, false);
    expect_error(client, "{'execute':'cont'}", GENERIC,
                 "Resetting the Virtual Machine is required");
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_status(last_states[_i].status, false);
    expect_return(client, "{'execute':'system_reset'}", "{}");
    expect_status("prelaunch", false);
    expect_return(client, "{'execute':'cont'}", "{}");
    expect_status("running", true);
}
END_TEST

START_TEST(quit_is_answered_and_ends_the_loop)
{
    expect_return(client, "{'execute':'quit'}", "{}");
    loop_run(vm.m->platform.loop); /* returns at once */
    ck_assert(vm.m->ending);
    ck_assert_int_eq(vm.m->exit_status, 0);
    expect_event(client, "SHUTDOWN", "{'guest':false,'reason':'host-qmp-quit'}");
}
END_TEST

/* --- the balloon --- */

#define BALLOON "'path':'/machine/peripheral/balloon0'"

START_TEST(balloon_commands_need_a_balloon)
{
    expect_error(client, "{'execute':'query-balloon'}", NOT_ACTIVE,
                 "No balloon device has been activated");
    expect_error(client, "{'execute':'balloon','arguments':{'value':16777216}}", NOT_ACTIVE,
                 "No balloon device has been activated");
    expect_error(client, "{'execute':'balloon'}", GENERIC, "Parameter 'value' is missing");
    expect_error(client, "{'execute':'x-query-balloon-ledger'}", NOT_ACTIVE,
                 "No balloon device has been activated");
}
END_TEST

START_TEST(balloon_ledger_has_its_sums_and_the_target)
{
    static const char *const names[] = {"given", "released", "held-back", "discards", "reported"};
    json_t *r;

    expect_return(client, "{'execute':'balloon','arguments':{'value':16777216}}", "{}");
    r = get_return(client, "{'execute':'x-query-balloon-ledger'}");
    ck_assert_int_eq(json_integer_value(json_object_get(r, "requested")), 16777216);
    ck_assert_int_eq(json_integer_value(json_object_get(r, "actual")), 33554432);
    ck_assert_ptr_null(json_object_get(r, "really-released"));
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        ck_assert_int_eq(json_integer_value(json_object_get(r, names[i])), 0);
    }
    json_decref(r);
    r = get_return(client, "{'execute':'x-query-balloon-ledger','arguments':{'check':true}}");
    ck_assert_int_eq(json_integer_value(json_object_get(r, "really-released")), 0);
    json_decref(r);
    expect_return(client,
                  "{'execute':'qom-get','arguments':{" BALLOON ",'property':'ledger-given'}}", "0");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{" BALLOON ",'property':'ledger-requested'}}",
                  "16777216");
}
END_TEST

START_TEST(balloon_takes_any_positive_size)
{
    static const char *const values[] = {"1", "16777216", "33554432", "33554433",
                                         "9223372036854775807"};

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *request =
            g_strdup_printf("{'execute':'balloon','arguments':{'value':%s}}", values[i]);

        expect_return(client, request, "{}");
        expect_return(client, "{'execute':'query-balloon'}", "{'actual':33554432}");
    }
}
END_TEST

#define STATS   BALLOON ",'property':'guest-stats'"
#define POLLING BALLOON ",'property':'guest-stats-polling-interval'"

START_TEST(guest_stats_are_unknown_before_the_guest_tells)
{
    json_t *r = get_return(client, "{'execute':'qom-get','arguments':{" STATS "}}");
    json_t *stats = json_object_get(r, "stats"), *value;
    const char *name;

    ck_assert_int_eq(json_integer_value(json_object_get(r, "last-update")), 0);
    ck_assert_uint_eq(json_object_size(r), 2);
    ck_assert_uint_eq(json_object_size(stats), 16);
    ck_assert_ptr_nonnull(json_object_get(stats, "stat-free-memory"));
    ck_assert_ptr_nonnull(json_object_get(stats, "stat-disk-caches"));
    ck_assert_ptr_nonnull(json_object_get(stats, "stat-htlb-pgalloc"));
    json_object_foreach(stats, name, value)
    {
        ck_assert_int_eq(json_integer_value(value), -1);
    }
    json_decref(r);
}
END_TEST

START_TEST(polling_interval_is_read_and_written)
{
    expect_return(client, "{'execute':'qom-get','arguments':{" POLLING "}}", "0");
    expect_return(client, "{'execute':'qom-set','arguments':{" POLLING ",'value':2}}", "{}");
    expect_return(client, "{'execute':'qom-get','arguments':{" POLLING "}}", "2");
    expect_return(client, "{'execute':'qom-set','arguments':{" POLLING ",'value':4294967295}}",
                  "{}");
    expect_return(client, "{'execute':'qom-set','arguments':{" POLLING ",'value':0}}", "{}");
    expect_return(client, "{'execute':'qom-get','arguments':{" POLLING "}}", "0");
}
END_TEST

START_TEST(bad_polling_interval_is_refused)
{
    static const char *const values[] = {"-1", "4294967296", "1.5", "'2'", "null", "[]"};

    for (unsigned i = 0; i < G_N_ELEMENTS(values); i++) {
        g_autofree char *request = g_strdup_printf(
            "{'execute':'qom-set','arguments':{" POLLING ",'value':%s}}", values[i]);
        json_t *answer = client_ask(client, request);

        ck_assert_ptr_nonnull(json_object_get(answer, "error"));
        json_decref(answer);
    }
    expect_return(client, "{'execute':'qom-get','arguments':{" POLLING "}}", "0");
}
END_TEST

/* --- objects --- */

static bool list_has(json_t *list, const char *name, const char *type)
{
    json_t *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        if (!strcmp(json_string_value(json_object_get(entry, "name")), name)) {
            ck_assert_str_eq(json_string_value(json_object_get(entry, "type")), type);
            return true;
        }
    }
    return false;
}

START_TEST(qom_list_shows_children_and_properties)
{
    json_t *r = get_return(client, "{'execute':'qom-list','arguments':{'path':'/machine'}}");

    ck_assert(list_has(r, "type", "string"));
    ck_assert(list_has(r, "peripheral", "child<container>"));
    ck_assert(list_has(r, "accel", "child<fake-accel>"));
    ck_assert(list_has(r, "pci-host", "child<pci-host>"));
    ck_assert(list_has(r, "kernel", "str"));
    ck_assert(list_has(r, "ram-size", "size"));
    ck_assert(list_has(r, "no-reboot", "bool"));
    json_decref(r);
    expect_return(
        client, "{'execute':'qom-list','arguments':{'path':'/'}}",
        "[{'name':'type','type':'string'},"
        "{'name':'machine','type':'child<pc-machine>'},{'name':'fds','type':'child<fd-table>'}]");
    expect_return(client, "{'execute':'qom-list','arguments':{'path':'/machine/peripheral'}}",
                  "[{'name':'type','type':'string'},"
                  "{'name':'balloon0','type':'child<virtio-balloon-pci>'}]");
}
END_TEST

START_TEST(qom_list_shows_a_proxys_and_its_devices_properties)
{
    json_t *r = get_return(client, "{'execute':'qom-list','arguments':{'path':'balloon0'}}");

    ck_assert(list_has(r, "type", "string"));
    ck_assert(list_has(r, "addr", "str"));
    ck_assert(list_has(r, "deflate-on-oom", "bool"));
    ck_assert(list_has(r, "guest-stats", "guest statistics"));
    ck_assert(list_has(r, "guest-stats-polling-interval", "int"));
    json_decref(r);
}
END_TEST

START_TEST(qom_list_of_nothing_is_device_not_found)
{
    static const char *const paths[] = {"/machine/nope", "nope", "/machine/peripheral/balloon0/x",
                                        "", "/machine/kernel"};

    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        g_autofree char *request =
            g_strdup_printf("{'execute':'qom-list','arguments':{'path':'%s'}}", paths[i]);
        g_autofree char *desc = g_strdup_printf("object '%s' not found", paths[i]);

        expect_error(client, request, NO_OBJECT, desc);
    }
    expect_error(client, "{'execute':'qom-list','arguments':{'path':'baloon0'}}", NO_OBJECT,
                 "object 'baloon0' not found; did you mean 'balloon0'?");
}
END_TEST

START_TEST(qom_get_reads_type_children_and_properties)
{
    expect_return(client, "{'execute':'qom-get','arguments':{" BALLOON ",'property':'type'}}",
                  "'virtio-balloon-pci'");
    expect_return(client, "{'execute':'qom-get','arguments':{'path':'/','property':'type'}}",
                  "'container'");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/machine','property':'peripheral'}}",
                  "'/machine/peripheral'");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/machine','property':'ram-size'}}",
                  "33554432");
    expect_return(
        client, "{'execute':'qom-get','arguments':{'path':'/machine','property':'initrd'}}", "''");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{" BALLOON ",'property':'deflate-on-oom'}}",
                  "false");
    expect_return(client, "{'execute':'qom-get','arguments':{'path':'/machine','property':'rtc'}}",
                  "true");
    expect_return(client,
                  "{'execute':'qom-get','arguments':{'path':'/machine/cmos','property':'type'}}",
                  "'mc146818rtc'");
    expect_error(client, "{'execute':'qom-get','arguments':{" BALLOON ",'property':'nope'}}",
                 GENERIC, "unknown property 'nope' of virtio-balloon-pci");
    expect_error(client, "{'execute':'qom-get','arguments':{'path':'/x','property':'type'}}",
                 NO_OBJECT, "object '/x' not found");
}
END_TEST

START_TEST(what_an_object_lists_has_one_name)
{
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);
    json_t *list = get_return(client, "{'execute':'qom-list','arguments':{'path':'/machine'}}"),
           *entry;
    size_t i;

    json_array_foreach(list, i, entry)
    {
        const char *name = json_string_value(json_object_get(entry, "name"));

        ck_assert_msg(g_hash_table_add(names, (void *)name), "%s", name);
    }
    json_decref(list);
}
END_TEST

static const struct {
    const char *property, *value, *desc;
} refused[] = {
    {"guest-stats", "2", "property 'guest-stats' of virtio-balloon-pci is read-only"},
    {"deflate-on-oom", "true",
     "property 'deflate-on-oom' of virtio-balloon-pci cannot be changed after realize"},
    {"addr", "'05.0'", "property 'addr' of virtio-balloon-pci cannot be changed after realize"},
    {"type", "'x'", "property 'type' of virtio-balloon-pci is read-only"},
    {"virtio-backend", "'x'", "property 'virtio-backend' of virtio-balloon-pci is read-only"},
    {"nope", "1", "unknown property 'nope' of virtio-balloon-pci"},
};

START_TEST(qom_set_refuses_what_cannot_be_set)
{
    g_autofree char *request = g_strdup_printf("{'execute':'qom-set','arguments':{" BALLOON
                                               ",'property':'%s','value':%s}}",
                                               refused[_i].property, refused[_i].value);

    expect_error(client, request, GENERIC, refused[_i].desc);
    expect_error(client,
                 "{'execute':'qom-set','arguments':{'path':'/machine','property':'ram-size',"
                 "'value':1}}",
                 GENERIC, "property 'ram-size' of pc-machine cannot be changed after realize");
    expect_error(client, "{'execute':'qom-set','arguments':{'path':'/x','property':'a','value':1}}",
                 NO_OBJECT, "object '/x' not found");
}
END_TEST

START_TEST(qom_list_types_lists_what_implements_a_type)
{
    expect_return(client,
                  "{'execute':'qom-list-types','arguments':{'implements':'memory-balloon'}}",
                  "[{'name':'virtio-balloon-device','parent':'virtio-device'}]");
    expect_return(client, "{'execute':'qom-list-types','arguments':{'implements':'x86-machine'}}",
                  "[{'name':'microvm-machine','parent':'x86-machine'},"
                  "{'name':'pc-machine','parent':'x86-machine'}]");
    expect_return(client,
                  "{'execute':'qom-list-types','arguments':{'implements':'x86-machine',"
                  "'abstract':true}}",
                  "[{'name':'microvm-machine','parent':'x86-machine'},"
                  "{'name':'pc-machine','parent':'x86-machine'},"
                  "{'name':'x86-machine','parent':'machine','abstract':true}]");
    expect_return(client, "{'execute':'qom-list-types','arguments':{'implements':'nope'}}", "[]");
}
END_TEST

START_TEST(qom_list_types_without_arguments_lists_the_concrete_ones)
{
    json_t *some = get_return(client, "{'execute':'qom-list-types'}");
    json_t *all = get_return(client, "{'execute':'qom-list-types','arguments':{'abstract':true}}");
    json_t *entry;
    size_t i;

    ck_assert_uint_gt(json_array_size(all), json_array_size(some));
    json_array_foreach(some, i, entry)
    {
        ck_assert_ptr_null(json_object_get(entry, "abstract"));
    }
    json_decref(some);
    json_decref(all);
}
END_TEST

static void add_object_tests(Suite *s)
{
    TCase *tc = tcase_create("objects");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, qom_list_shows_children_and_properties);
    tcase_add_test(tc, qom_list_shows_a_proxys_and_its_devices_properties);
    tcase_add_test(tc, what_an_object_lists_has_one_name);
    tcase_add_test(tc, qom_list_of_nothing_is_device_not_found);
    tcase_add_test(tc, qom_get_reads_type_children_and_properties);
    tcase_add_loop_test(tc, qom_set_refuses_what_cannot_be_set, 0, G_N_ELEMENTS(refused));
    tcase_add_test(tc, qom_list_types_lists_what_implements_a_type);
    tcase_add_test(tc, qom_list_types_without_arguments_lists_the_concrete_ones);
    suite_add_tcase(s, tc);
}

void add_command_tests(Suite *s)
{
    TCase *bare = tcase_create("commands without a balloon"), *tc = tcase_create("commands");

    tcase_add_checked_fixture(bare, setup_bare, teardown);
    tcase_add_test(bare, status_follows_stop_and_cont);
    tcase_add_test(bare, balloon_commands_need_a_balloon);
    suite_add_tcase(s, bare);

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, bad_argument_gets_qemus_error, 0, G_N_ELEMENTS(bad_arguments));
    tcase_add_test(tc, version_is_that_of_the_greeting);
    tcase_add_test(tc, commands_are_listed_by_name_and_all_of_them_exist);
    tcase_add_test(tc, schema_has_all_that_it_refers_to);
    tcase_add_test(tc, every_query_gives_what_the_schema_says);
    tcase_add_test(tc, name_is_there_when_given);
    tcase_add_test(tc, kvm_is_not_used_here);
    tcase_add_loop_test(tc, ended_guest_continues_only_after_a_reset, 0, G_N_ELEMENTS(last_states));
    tcase_add_test(tc, quit_is_answered_and_ends_the_loop);
    tcase_add_test(tc, balloon_ledger_has_its_sums_and_the_target);
    tcase_add_test(tc, balloon_takes_any_positive_size);
    tcase_add_test(tc, guest_stats_are_unknown_before_the_guest_tells);
    tcase_add_test(tc, polling_interval_is_read_and_written);
    tcase_add_test(tc, bad_polling_interval_is_refused);
    suite_add_tcase(s, tc);
    add_object_tests(s);
}
