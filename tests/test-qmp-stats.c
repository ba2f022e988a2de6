/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * query-stats with its filters, query-stats-schemas, "info stats", and the memory bill of a VM
 * without a guest.
 */
#include <string.h>

#include "tests/qmp-fixture.h"
#include "tests/suite.h"

#define GENERIC "GenericError"
#define STATS   "{'execute':'query-stats','arguments':{'target':"
#define KVM     "'provider':'kvm'"
#define CPU0    "{" KVM ",'qom-path':'/machine/accel/cpu[0]','stats':"
#define ALL0                                                                                    \
    "[{'name':'exits','value':10},{'name':'blocking','value':true},{'name':'waits','value':[1," \
    "2,3]}]"

static void setup_with_stats(void)
{
    setup();
    vm.accel->has_stats = true;
}

/* What the human monitor shows. */
static void expect_shown(const char *line, const char *want)
{
    g_autofree char *request = g_strdup_printf(
        "{'execute':'human-monitor-command','arguments':{'command-line':'%s'}}", line);
    json_t *got = get_return(client, request);

    ck_assert_str_eq(json_string_value(got), want);
    json_decref(got);
}

START_TEST(stats_of_the_vm_and_of_vcpus_are_told)
{
    expect_return(client, STATS "'vm'}}", "[{" KVM ",'stats':[{'name':'big','value':3}]}]");
    expect_return(client, STATS "'vcpu'}}", "[" CPU0 ALL0 "}]");
}
END_TEST

START_TEST(stats_are_filtered_by_vcpu_provider_and_name)
{
    expect_return(client, STATS "'vcpu','vcpus':['/machine/accel/cpu[0]','/nonsense']}}",
                  "[" CPU0 ALL0 "}]");
    expect_return(client, STATS "'vcpu','vcpus':['/nonsense']}}", "[]");
    expect_return(client, STATS "'vcpu','vcpus':[]}}", "[]");
    expect_return(client, STATS "'vcpu','providers':[{" KVM "}]}}", "[" CPU0 ALL0 "}]");
    expect_return(client, STATS "'vcpu','providers':[{" KVM ",'names':['blocking','none']}]}}",
                  "[" CPU0 "[{'name':'blocking','value':true}]}]");
    expect_return(
        client,
        STATS "'vcpu','providers':[{" KVM ",'names':['exits']},{" KVM ",'names':['blocking']}]}}",
        "[" CPU0 "[{'name':'exits','value':10}]}," CPU0 "[{'name':'blocking','value':true}]}]");
    expect_return(client, STATS "'vcpu','providers':[{" KVM ",'names':['none']}]}}", "[]");
    expect_return(client, STATS "'vcpu','providers':[{" KVM ",'names':[]}]}}", "[]");
    expect_return(client, STATS "'vm','providers':[]}}", "[]");
}
END_TEST

START_TEST(bad_filters_get_the_words_of_qemu)
{
    static const char *const bad[][2] = {
        {"'x'", "Parameter 'target' does not accept value 'x'"},
        {"'vm','vcpus':[]", "Parameter 'vcpus' is unexpected"},
        {"'vcpu','vcpus':[1]", "Invalid parameter type for 'vcpus[0]', expected: string"},
        {"'vm','providers':[1]", "Invalid parameter type for 'providers[0]', expected: object"},
        {"'vm','providers':[{'names':[]}]", "Parameter 'providers[0].provider' is missing"},
        {"'vm','providers':[{'provider':'x'}]", "Parameter 'provider' does not accept value 'x'"},
        {"'vm','providers':[{" KVM ",'x':1}]", "Parameter 'providers[0].x' is unexpected"},
        {"'vm','providers':[{" KVM ",'names':1}]",
         "Invalid parameter type for 'providers[0].names', expected: array"},
        {"'vm','providers':[{" KVM ",'names':['a',1]}]",
         "Invalid parameter type for 'providers[0].names[1]', expected: string"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *request = g_strconcat(STATS, bad[i][0], "}}", NULL);

        expect_error(client, request, GENERIC, bad[i][1]);
    }
    expect_error(client, "{'execute':'query-stats'}", GENERIC, "Parameter 'target' is missing");
    expect_error(client, "{'execute':'query-stats-schemas','arguments':{'provider':'x'}}", GENERIC,
                 "Parameter 'provider' does not accept value 'x'");
}
END_TEST

START_TEST(an_answer_is_no_multiple_of_its_request)
{
    GString *request = g_string_new(STATS "'vm','providers':[");

    for (unsigned i = 0; i < 65; i++) {
        g_string_append(request, i ? ",{" KVM "}" : "{" KVM "}");
    }
    g_string_append(request, "]}}");
    expect_error(client, request->str, GENERIC, "Parameter 'providers' has more than 64 entries");
    g_string_free(request, TRUE);
}
END_TEST

START_TEST(schemas_say_what_is_counted)
{
    static const char want[] =
        "[{" KVM ",'target':'vcpu','stats':[{'name':'exits','type':'cumulative','exponent':0},"
        "{'name':'blocking','type':'instant','exponent':0,'unit':'boolean'},"
        "{'name':'waits','type':'linear-histogram','exponent':-9,'base':10,'unit':'seconds',"
        "'bucket-size':50}]},"
        "{" KVM ",'target':'vm','stats':[{'name':'big','type':'peak','exponent':20,'base':2,"
        "'unit':'bytes'}]}]";

    expect_return(client, "{'execute':'query-stats-schemas'}", want);
    expect_return(client, "{'execute':'query-stats-schemas','arguments':{'provider':'kvm'}}", want);
}
END_TEST

START_TEST(an_accelerator_without_stats_has_none)
{
    vm.accel->has_stats = false;
    expect_return(client, STATS "'vm'}}", "[]");
    expect_return(client, STATS "'vcpu'}}", "[]");
    expect_return(client, "{'execute':'query-stats-schemas'}", "[]");
    expect_shown("info stats vm", "");
}
END_TEST

START_TEST(the_human_monitor_shows_stats_with_their_units)
{
    expect_shown("info stats vm", "provider: kvm\r\n    big (peak, MiB): 3\r\n");
    expect_shown("info stats vcpu", "provider: kvm\r\n    exits (cumulative): 10\r\n"
                                    "    blocking (instant, boolean): yes\r\n"
                                    "    waits (linear-histogram, ns, bucket size=50): [1]=1 [2]=2 "
                                    "[3]=3 \r\n");
    expect_shown("info stats vcpu exits,nonesuch kvm", "    exits (cumulative): 10\r\n");
    vm.m->accel->nr_vcpus = 2;
    expect_return(client,
                  "{'execute':'human-monitor-command','arguments':{'command-line':"
                  "'info stats vcpu exits','cpu-index':1}}",
                  "'provider: kvm\\r\\n    exits (cumulative): 11\\r\\n'");
    expect_shown("info stats vm *", "provider: kvm\r\n    big (peak, MiB): 3\r\n");
    expect_shown("info stats foo", "invalid stats target foo\r\n");
    expect_shown("info stats", "give a target: vm or vcpu\r\n");
    expect_shown("info stats vcpu * foo", "invalid stats provider foo\r\n");
}
END_TEST

START_TEST(the_memory_bill_adds_up)
{
    json_t *bill = get_return(client, "{'execute':'x-query-memory-bill'}"), *row;
    json_int_t sum = 0, balloon = 0;
    size_t i;

    json_array_foreach(json_object_get(bill, "rows"), i, row)
    {
        sum += json_integer_value(json_object_get(row, "bytes"));
        if (strstr(json_string_value(json_object_get(row, "owner")), "/peripheral/balloon0")) {
            balloon += json_integer_value(json_object_get(row, "bytes"));
        }
    }
    ck_assert_int_eq(sum, json_integer_value(json_object_get(bill, "accounted")));
    ck_assert_int_eq(sum + json_integer_value(json_object_get(bill, "unaccounted")),
                     json_integer_value(json_object_get(bill, "resident")));
    ck_assert_int_gt(balloon, 1000);
    json_decref(bill);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-stats");
    TCase *tc = tcase_create("stats");

    tcase_add_checked_fixture(tc, setup_with_stats, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, stats_of_the_vm_and_of_vcpus_are_told);
    tcase_add_test(tc, stats_are_filtered_by_vcpu_provider_and_name);
    tcase_add_test(tc, bad_filters_get_the_words_of_qemu);
    tcase_add_test(tc, an_answer_is_no_multiple_of_its_request);
    tcase_add_test(tc, schemas_say_what_is_counted);
    tcase_add_test(tc, an_accelerator_without_stats_has_none);
    tcase_add_test(tc, the_human_monitor_shows_stats_with_their_units);
    tcase_add_test(tc, the_memory_bill_adds_up);
    return suite_run(s);
}
