/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP events: their data, who gets them, and the rate limit of BALLOON_CHANGE.
 */
#include "tests/qmp-fixture.h"

START_TEST(stop_and_cont_emit_their_events_once)
{
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_event(client, "STOP", NULL);
    expect_return(client, "{'execute':'stop'}", "{}");
    expect_nothing(client);
    expect_return(client, "{'execute':'cont'}", "{}");
    expect_event(client, "RESUME", NULL);
    expect_return(client, "{'execute':'cont'}", "{}");
    expect_nothing(client);
}
END_TEST

START_TEST(reset_tells_who_asked_for_it)
{
    expect_return(client, "{'execute':'system_reset'}", "{}");
    expect_event(client, "RESET", "{'guest':false,'reason':'host-qmp-system-reset'}");
    platform_reset_request(&vm.m->platform, SHUTDOWN_CAUSE_GUEST_RESET);
    expect_event(client, "RESET", "{'guest':true,'reason':'guest-reset'}");
    expect_nothing(client);
}
END_TEST

START_TEST(powerdown_is_announced)
{
    expect_return(client, "{'execute':'system_powerdown'}", "{}");
    expect_event(client, "POWERDOWN", NULL);
    expect_nothing(client);
}
END_TEST

static const struct {
    ShutdownCause cause;
    const char *data;
} shutdowns[] = {
    {SHUTDOWN_CAUSE_GUEST_SHUTDOWN, "{'guest':true,'reason':'guest-shutdown'}"},
    {SHUTDOWN_CAUSE_GUEST_PANIC, "{'guest':true,'reason':'guest-panic'}"},
    {SHUTDOWN_CAUSE_HOST_SIGNAL, "{'guest':false,'reason':'host-signal'}"},
    {SHUTDOWN_CAUSE_HOST_UI, "{'guest':false,'reason':'host-ui'}"},
    {SHUTDOWN_CAUSE_HOST_ERROR, "{'guest':false,'reason':'host-error'}"},
};

START_TEST(shutdown_tells_its_reason)
{
    machine_request_shutdown(vm.m, shutdowns[_i].cause);
    expect_event(client, "SHUTDOWN", shutdowns[_i].data);
    expect_nothing(client);
}
END_TEST

START_TEST(shutdown_that_keeps_the_vm_stops_it)
{
    vm.m->no_shutdown = true;
    platform_shutdown_request(&vm.m->platform, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    expect_event(client, "SHUTDOWN", "{'guest':true,'reason':'guest-shutdown'}");
    expect_event(client, "STOP", NULL);
    expect_nothing(client);
}
END_TEST

START_TEST(reset_becomes_a_shutdown_with_no_reboot)
{
    vm.m->no_reboot = true;
    platform_reset_request(&vm.m->platform, SHUTDOWN_CAUSE_GUEST_RESET);
    expect_event(client, "SHUTDOWN", "{'guest':true,'reason':'guest-reset'}");
    expect_nothing(client);
}
END_TEST

START_TEST(events_come_only_after_negotiation)
{
    client_free(client);
    client = client_new();
    json_decref(client_next(client));
    machine_stop(vm.m, RUN_STATE_PAUSED);
    expect_nothing(client);
    expect_return(client, "{'execute':'qmp_capabilities'}", "{}");
    expect_nothing(client);
    ck_assert(machine_cont(vm.m, NULL));
    expect_event(client, "RESUME", NULL);
}
END_TEST

START_TEST(events_without_a_client_are_lost)
{
    client_free(client);
    machine_stop(vm.m, RUN_STATE_PAUSED);
    fake_vm_settle(&vm);
    client = client_ready();
    expect_nothing(client);
}
END_TEST

/* --- BALLOON_CHANGE --- */

static void balloon_change(json_int_t actual)
{
    platform_event(&vm.m->platform, "BALLOON_CHANGE", json_pack("{s:I}", "actual", actual));
}

START_TEST(balloon_change_comes_once_a_second_with_the_newest_value)
{
    balloon_change(1);
    expect_event(client, "BALLOON_CHANGE", "{'actual':1}");
    for (unsigned i = 2; i <= 100; i++) {
        balloon_change(i);
        step_ms(9);
    }
    expect_nothing(client);
    step_ms(200);
    expect_event(client, "BALLOON_CHANGE", "{'actual':100}");
    balloon_change(101);
    step_ms(800);
    expect_nothing(client);
    step_ms(400);
    expect_event(client, "BALLOON_CHANGE", "{'actual':101}");
    expect_nothing(client);
}
END_TEST

START_TEST(balloon_change_after_a_quiet_second_comes_at_once)
{
    balloon_change(1);
    expect_event(client, "BALLOON_CHANGE", "{'actual':1}");
    step_ms(1001);
    expect_nothing(client);
    balloon_change(2);
    expect_event(client, "BALLOON_CHANGE", "{'actual':2}");
}
END_TEST

START_TEST(held_back_balloon_change_is_not_for_the_next_client)
{
    balloon_change(1);
    balloon_change(2);
    client_free(client);
    client = client_ready();
    step_ms(2000);
    expect_nothing(client);
    balloon_change(3);
    expect_event(client, "BALLOON_CHANGE", "{'actual':3}");
    balloon_change(4); /* held back when the monitor goes */
}
END_TEST

START_TEST(other_events_are_not_held_back)
{
    for (unsigned i = 0; i < 10; i++) {
        machine_power_button(vm.m);
        expect_event(client, "POWERDOWN", NULL);
    }
}
END_TEST

/* Each decision of the policy has its own reason. */
START_TEST(decisions_of_a_balloon_policy_are_not_held_back)
{
    for (int i = 0; i < 20; i++) {
        platform_event(&vm.m->platform, "BALLOON_POLICY",
                       json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:i}", "id", "p0", "action",
                                 "hold", "reason", "steady", "target", 1, "actual", 1, "host",
                                 "none", "decision", i));
    }
    for (int i = 0; i < 20; i++) {
        g_autofree char *data =
            g_strdup_printf("{'id':'p0','action':'hold','reason':'steady','target':1,"
                            "'actual':1,'host':'none','decision':%d}",
                            i);

        expect_event(client, "BALLOON_POLICY", data);
    }
    expect_nothing(client);
}
END_TEST

START_TEST(host_time_limits_the_rate_while_the_vm_is_stopped)
{
    machine_stop(vm.m, RUN_STATE_PAUSED);
    expect_event(client, "STOP", NULL);
    balloon_change(1);
    balloon_change(2);
    expect_event(client, "BALLOON_CHANGE", "{'actual':1}");
    clock_step_to(vm.m->platform.rtclock, clock_now(vm.m->platform.rtclock) + 1000000000);
    expect_event(client, "BALLOON_CHANGE", "{'actual':2}");
}
END_TEST

void add_event_tests(Suite *s)
{
    TCase *tc = tcase_create("events");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, stop_and_cont_emit_their_events_once);
    tcase_add_test(tc, reset_tells_who_asked_for_it);
    tcase_add_test(tc, powerdown_is_announced);
    tcase_add_loop_test(tc, shutdown_tells_its_reason, 0, G_N_ELEMENTS(shutdowns));
    tcase_add_test(tc, shutdown_that_keeps_the_vm_stops_it);
    tcase_add_test(tc, reset_becomes_a_shutdown_with_no_reboot);
    tcase_add_test(tc, events_come_only_after_negotiation);
    tcase_add_test(tc, events_without_a_client_are_lost);
    tcase_add_test(tc, balloon_change_comes_once_a_second_with_the_newest_value);
    tcase_add_test(tc, balloon_change_after_a_quiet_second_comes_at_once);
    tcase_add_test(tc, held_back_balloon_change_is_not_for_the_next_client);
    tcase_add_test(tc, other_events_are_not_held_back);
    tcase_add_test(tc, decisions_of_a_balloon_policy_are_not_held_back);
    tcase_add_test(tc, host_time_limits_the_rate_while_the_vm_is_stopped);
    suite_add_tcase(s, tc);
}
