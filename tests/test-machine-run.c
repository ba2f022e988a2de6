/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine that runs, without a guest: start state, reset, shutdown and what is asked for at the
 * same time, power button, exit status, events. The guest's part (ports, registers) is played by
 * the test.
 */
#include "tests/test-machine.h"

#include <string.h>

#include "hw/misc/acpi-ged.h"
#include "hw/pci/pci-host.h"

enum { GED_IRQ = 9, CODE = FAKE_VM_ENTRY };

/* --- the guest's part --- */

static uint64_t mmio_read(uint64_t addr, unsigned size)
{
    uint64_t value = 0;

    aspace_read(vm.m->platform.mmio, addr, size, &value);
    return value;
}

static void mmio_write(uint64_t addr, uint64_t value, unsigned size)
{
    aspace_write(vm.m->platform.mmio, addr, value, size);
}

static void port_write(uint16_t port, uint64_t value, unsigned size)
{
    aspace_write(vm.m->platform.pio, port, value, size);
}

static uint64_t config_addr(Device *dev, unsigned off)
{
    const PciHostWindows *w =
        pci_host_windows(PCI_HOST(object_resolve_path(vm.root, "/machine/pci-host", NULL)));

    return w->ecam_base + ((uint64_t)PCI_DEVICE(dev)->devfn << 12) + off;
}

/* The 64-bit BAR of a virtio function. */
static uint64_t read_bar(Device *dev)
{
    return mmio_read(config_addr(dev, PCI_BASE_ADDRESS_4), 4) |
           mmio_read(config_addr(dev, PCI_BASE_ADDRESS_5), 4) << 32;
}

/* --- what happened --- */

static GString *events; /* names, each followed by a space */

static void note_event(void *opaque, const char *name, json_t *data)
{
    g_string_append_printf(events, "%s ", name);
}

static void setup_noting(void)
{
    setup_running();
    events = g_string_new(NULL);
    machine_add_event_sink(vm.m, note_event, &events);
}

static void teardown_noting(void)
{
    teardown();
    g_string_free(events, TRUE);
}

static void expect_events(const char *names)
{
    fake_vm_settle(&vm);
    ck_assert_str_eq(events->str, names);
    g_string_truncate(events, 0);
}

/* --- start --- */

START_TEST(boot_loads_the_kernel_and_gives_its_entry)
{
    char code[sizeof fake_vm_code];

    ck_assert(gmem_read(vm.m->platform.mem, GPA(CODE), code, sizeof code));
    ck_assert_mem_eq(code, fake_vm_code, sizeof code);
    ck_assert_int_eq(vm.accel->state.mode, X86_START_PROTECTED32);
    ck_assert_uint_eq(vm.accel->state.rip, FAKE_VM_ENTRY);
    ck_assert_uint_eq(vm.accel->resets, 1);
    ck_assert_uint_eq(vm.accel->starts, 1);
}
END_TEST

START_TEST(run_starts_the_vcpus_and_ends_with_the_exit_status)
{
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING);
    machine_stop(vm.m, RUN_STATE_PAUSED);
    machine_request_shutdown(vm.m, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    ck_assert_int_eq(machine_run(vm.m, false), 0);
    ck_assert_int_eq(vm.m->state, RUN_STATE_SHUTDOWN);
    ck_assert(!vm.accel->running);
    expect_events("STOP RESUME SHUTDOWN ");
}
END_TEST

START_TEST(run_may_start_paused)
{
    machine_stop(vm.m, RUN_STATE_PAUSED);
    machine_request_shutdown(vm.m, SHUTDOWN_CAUSE_HOST_SIGNAL);
    ck_assert_int_eq(machine_run(vm.m, true), 0);
    ck_assert_uint_eq(vm.accel->starts, 1); /* that of setup */
}
END_TEST

/* --- reset --- */

START_TEST(reset_brings_back_memory_devices_and_bars)
{
    Device *dev = DEVICE(object_resolve_path(vm.root, "b", NULL));
    uint64_t bar = read_bar(dev);
    uint64_t command = mmio_read(config_addr(dev, PCI_COMMAND), 2);
    char code[sizeof fake_vm_code] = "overwritten";

    ck_assert_uint_ne(bar & ~UINT64_C(15), 0);
    ck_assert(command & PCI_COMMAND_MEMORY);
    ck_assert(gmem_write(vm.m->platform.mem, GPA(CODE), code, sizeof code));
    mmio_write(config_addr(dev, PCI_BASE_ADDRESS_4), 0xfff00000, 4);
    mmio_write(config_addr(dev, PCI_COMMAND), 0, 2);
    mmio_write(config_addr(dev, PCI_INTERRUPT_LINE), 0x5a, 1);

    platform_reset_request(&vm.m->platform, SHUTDOWN_CAUSE_GUEST_RESET);
    expect_events("RESET ");
    ck_assert_uint_eq(read_bar(dev), bar);
    ck_assert_uint_eq(mmio_read(config_addr(dev, PCI_COMMAND), 2), command);
    ck_assert_uint_ne(mmio_read(config_addr(dev, PCI_INTERRUPT_LINE), 1), 0x5a);
    ck_assert(gmem_read(vm.m->platform.mem, GPA(CODE), code, sizeof code));
    ck_assert_mem_eq(code, fake_vm_code, sizeof code);
    ck_assert_uint_eq(vm.accel->resets, 2);
    ck_assert_uint_eq(vm.accel->pauses, 1);
    ck_assert(vm.accel->running);
}
END_TEST

START_TEST(guest_resets_by_keyboard_controller_and_by_acpi)
{
    port_write(0x64, 0xfe, 1);
    expect_events("RESET ");
    mmio_write(ACPI_GED_BASE + ACPI_GED_RESET, ACPI_GED_RESET_VALUE, 1);
    expect_events("RESET ");
    ck_assert_uint_eq(vm.accel->resets, 3);
}
END_TEST

START_TEST(resets_asked_for_together_are_one)
{
    for (unsigned i = 0; i < 10; i++) {
        port_write(0x64, 0xfe, 1);
    }
    expect_events("RESET ");
}
END_TEST

static void ask_for_reset(void *opaque)
{
    platform_reset_request(&vm.m->platform, SHUTDOWN_CAUSE_GUEST_RESET);
}

static void ask_for_shutdown(void *opaque)
{
    platform_shutdown_request(&vm.m->platform, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
}

START_TEST(reset_asked_for_while_the_vcpus_stop_for_one_is_the_same)
{
    vm.accel->on_pause = ask_for_reset;
    port_write(0x64, 0xfe, 1);
    expect_events("RESET ");
    ck_assert_uint_eq(vm.accel->resets, 2);
}
END_TEST

START_TEST(no_reboot_ends_the_vm)
{
    vm.m->no_reboot = true;
    machine_request_reset(vm.m,
                          _i ? SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET : SHUTDOWN_CAUSE_GUEST_RESET);
    expect_events("SHUTDOWN ");
    ck_assert_uint_eq(vm.accel->resets, 1);
    loop_run(vm.m->platform.loop);
    ck_assert_int_eq(vm.m->exit_status, 0);
    ck_assert(!vm.accel->running);
}
END_TEST

START_TEST(no_reboot_with_no_shutdown_stops_the_vm)
{
    vm.m->no_reboot = vm.m->no_shutdown = true;
    port_write(0x64, 0xfe, 1);
    expect_events("SHUTDOWN STOP ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_SHUTDOWN);
    ck_assert(!vm.m->ending);
}
END_TEST

START_TEST(reset_that_fails_ends_the_vm_with_status_1)
{
    vm.accel->fail_reset = true;
    port_write(0x64, 0xfe, 1);
    expect_events("SHUTDOWN ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_INTERNAL_ERROR);
    ck_assert_int_eq(machine_run(vm.m, true), 1);
}
END_TEST

START_TEST(reset_that_fails_leaves_the_vm_with_no_shutdown)
{
    GError *err = NULL;

    vm.m->no_shutdown = true;
    vm.accel->fail_reset = true;
    port_write(0x64, 0xfe, 1);
    expect_events("SHUTDOWN ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_INTERNAL_ERROR);
    ck_assert(!machine_cont(vm.m, &err));
    expect_line(err, "Resetting the Virtual Machine is required");
    vm.accel->fail_reset = false;
    machine_request_reset(vm.m, SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET);
    expect_events("RESET ");
    ck_assert(machine_cont(vm.m, NULL));
}
END_TEST

/* --- shutdown --- */

START_TEST(guest_powers_off_by_acpi)
{
    mmio_write(ACPI_GED_BASE + ACPI_GED_SLEEP_CONTROL,
               ACPI_GED_SLP_TYP_S5 << ACPI_GED_SLP_TYP_SHIFT | ACPI_GED_SLP_EN, 1);
    expect_events("SHUTDOWN ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_SHUTDOWN);
    ck_assert(vm.m->ending);
}
END_TEST

START_TEST(shutdown_beats_a_reset)
{
    if (_i == 0) {
        ask_for_reset(NULL);
        ask_for_shutdown(NULL);
    } else if (_i == 1) {
        ask_for_shutdown(NULL);
        ask_for_reset(NULL);
    } else {
        vm.accel->on_pause = ask_for_reset;
        ask_for_shutdown(NULL);
    }
    expect_events("SHUTDOWN ");
    ck_assert_uint_eq(vm.accel->resets, 1);
    ask_for_reset(NULL);
    ask_for_shutdown(NULL);
    expect_events("");
    ck_assert_int_eq(vm.m->state, RUN_STATE_SHUTDOWN);
}
END_TEST

static void ask_to_exit(void *opaque)
{
    platform_exit_request(&vm.m->platform, 43);
}

START_TEST(shutdown_asked_for_while_the_vcpus_stop_for_a_reset_wins)
{
    vm.m->no_shutdown = _i;
    vm.accel->on_pause = ask_for_shutdown;
    ask_for_reset(NULL);
    expect_events(_i ? "SHUTDOWN STOP " : "SHUTDOWN ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_SHUTDOWN);
    ck_assert(vm.m->ending == !_i);
    ck_assert_uint_eq(vm.accel->resets, 1);
    ck_assert_uint_eq(vm.accel->pauses, 1);
    ck_assert_uint_eq(vm.accel->starts, 1);
    if (_i) { /* nothing of it is left: the next reset is one */
        ask_for_reset(NULL);
        expect_events("RESET ");
    }
}
END_TEST

START_TEST(exit_asked_for_while_the_vcpus_stop_for_a_reset_wins)
{
    vm.accel->on_pause = ask_to_exit;
    ask_for_reset(NULL);
    expect_events("");
    ck_assert_uint_eq(vm.accel->resets, 1);
    ck_assert_uint_eq(vm.accel->starts, 1);
    ck_assert_int_eq(machine_run(vm.m, true), 43);
}
END_TEST

START_TEST(shutdown_that_is_kept_beats_a_reset_too)
{
    vm.m->no_shutdown = true;
    vm.accel->on_pause = ask_for_reset;
    ask_for_shutdown(NULL);
    expect_events("SHUTDOWN STOP ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_SHUTDOWN);
    ask_for_reset(NULL);
    expect_events("RESET ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_PRELAUNCH);
}
END_TEST

static const struct {
    ShutdownCause cause;
    bool kept;
} causes[] = {
    {SHUTDOWN_CAUSE_GUEST_SHUTDOWN, true}, {SHUTDOWN_CAUSE_GUEST_PANIC, true},
    {SHUTDOWN_CAUSE_HOST_ERROR, true},     {SHUTDOWN_CAUSE_HOST_QMP_QUIT, false},
    {SHUTDOWN_CAUSE_HOST_SIGNAL, false},   {SHUTDOWN_CAUSE_HOST_UI, false},
};

START_TEST(no_shutdown_keeps_the_vm_unless_the_user_ends_it)
{
    vm.m->no_shutdown = true;
    machine_request_shutdown(vm.m, causes[_i].cause);
    expect_events(causes[_i].kept ? "SHUTDOWN STOP " : "SHUTDOWN ");
    ck_assert(vm.m->ending == !causes[_i].kept);
    ck_assert(!vm.accel->running);
}
END_TEST

START_TEST(host_error_gives_exit_status_1)
{
    machine_request_shutdown(vm.m, SHUTDOWN_CAUSE_HOST_ERROR);
    loop_run(vm.m->platform.loop);
    ck_assert_int_eq(vm.m->exit_status, 1);
    ck_assert_int_eq(vm.m->state, RUN_STATE_INTERNAL_ERROR);
}
END_TEST

START_TEST(exit_request_gives_its_status_and_the_first_counts)
{
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "isa-debug-exit,iobase=0x501", NULL));
    port_write(0x501, 21, 1);
    port_write(0x501, 3, 1);
    port_write(0x64, 0xfe, 1);
    ask_for_shutdown(NULL);
    machine_stop(vm.m, RUN_STATE_PAUSED);
    ck_assert_int_eq(machine_run(vm.m, true), 43);
    expect_events("STOP ");
}
END_TEST

/* --- power button and run control --- */

START_TEST(power_button_reaches_the_guest)
{
    machine_power_button(vm.m);
    expect_events("POWERDOWN ");
    ck_assert_int_eq(vm.accel->level[GED_IRQ], 1);
    ck_assert_uint_eq(vm.accel->raised[GED_IRQ], 1);
    ck_assert_uint_eq(mmio_read(ACPI_GED_BASE + ACPI_GED_SELECTOR, 4), ACPI_GED_EVENT_POWER);
    ck_assert_int_eq(vm.accel->level[GED_IRQ], 0);
    ck_assert_uint_eq(mmio_read(ACPI_GED_BASE + ACPI_GED_SELECTOR, 4), 0);
}
END_TEST

START_TEST(power_button_is_forgotten_at_reset)
{
    machine_power_button(vm.m);
    ask_for_reset(NULL);
    expect_events("POWERDOWN RESET ");
    ck_assert_int_eq(vm.accel->level[GED_IRQ], 0);
}
END_TEST

START_TEST(stop_and_cont_stop_the_virtual_clock)
{
    machine_stop(vm.m, RUN_STATE_PAUSED);
    machine_stop(vm.m, RUN_STATE_PAUSED);
    ck_assert_uint_eq(vm.accel->pauses, 1);
    ck_assert(machine_cont(vm.m, NULL));
    ck_assert(machine_cont(vm.m, NULL));
    ck_assert_uint_eq(vm.accel->starts, 2);
    expect_events("STOP RESUME ");
}
END_TEST

/* --- a device stops the VM --- */

static void note_run(void *opaque, bool running)
{
    g_string_append(events, running ? "running " : "stopped ");
}

START_TEST(a_failing_disk_stops_the_vm_until_cont)
{
    PlatformRunListener l = {.changed = note_run}, gone = {.changed = note_run};
    Platform *p = &vm.m->platform;

    platform_run_listen(p, &gone);
    platform_run_listen(p, &l);
    platform_run_unlisten(p, &gone);
    platform_stop_request(p, STOP_CAUSE_IO_ERROR);
    platform_stop_request(p, STOP_CAUSE_IO_ERROR);
    ck_assert_int_eq(vm.m->state, RUN_STATE_RUNNING); /* only asked for */
    expect_events("stopped STOP ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_IO_ERROR);
    ck_assert_str_eq(run_state_name(vm.m->state), "io-error");
    ck_assert(!vm.accel->running);
    ck_assert(machine_cont(vm.m, NULL));
    expect_events("RESUME running ");
    ck_assert(vm.accel->running);
    platform_run_unlisten(p, &l);
}
END_TEST

START_TEST(a_stopped_vm_and_one_that_ends_are_not_stopped_by_a_disk)
{
    machine_stop(vm.m, RUN_STATE_PAUSED);
    platform_stop_request(&vm.m->platform, STOP_CAUSE_IO_ERROR);
    expect_events("STOP ");
    ck_assert_int_eq(vm.m->state, RUN_STATE_PAUSED);
    ck_assert(machine_cont(vm.m, NULL));
    expect_events("RESUME ");
    machine_request_shutdown(vm.m, SHUTDOWN_CAUSE_GUEST_SHUTDOWN);
    platform_stop_request(&vm.m->platform, STOP_CAUSE_IO_ERROR);
    expect_events("SHUTDOWN ");
}
END_TEST

/* --- events --- */

static void count_event(void *opaque, const char *name, json_t *data)
{
    ++*(unsigned *)opaque;
}

START_TEST(removed_event_sink_hears_nothing)
{
    unsigned a = 0, b = 0;

    machine_add_event_sink(vm.m, count_event, &a);
    machine_add_event_sink(vm.m, count_event, &b);
    platform_event(&vm.m->platform, "X", NULL);
    machine_remove_event_sink(vm.m, &a);
    platform_event(&vm.m->platform, "X", json_object());
    machine_remove_event_sink(vm.m, &a);
    machine_remove_event_sink(vm.m, &b);
    platform_event(&vm.m->platform, "X", NULL);
    ck_assert_uint_eq(a, 1);
    ck_assert_uint_eq(b, 2);
}
END_TEST

START_TEST(run_states_have_qmps_names)
{
    ck_assert_str_eq(run_state_name(RUN_STATE_PRELAUNCH), "prelaunch");
    ck_assert_str_eq(run_state_name(RUN_STATE_RUNNING), "running");
    ck_assert_str_eq(run_state_name(RUN_STATE_PAUSED), "paused");
    ck_assert_str_eq(run_state_name(RUN_STATE_SHUTDOWN), "shutdown");
    ck_assert_str_eq(run_state_name(RUN_STATE_INTERNAL_ERROR), "internal-error");
    ck_assert_str_eq(run_state_name(RUN_STATE_GUEST_PANICKED), "guest-panicked");
}
END_TEST

static void setup_with_balloon(void)
{
    setup();
    ck_assert_ptr_nonnull(fake_vm_add(&vm, "virtio-balloon,id=b", NULL));
    ck_assert(machine_boot(vm.m, NULL));
    ck_assert(machine_cont(vm.m, NULL));
    events = g_string_new(NULL);
    machine_add_event_sink(vm.m, note_event, &events);
}

static void add_shutdown_tests(TCase *tc)
{
    tcase_add_test(tc, guest_powers_off_by_acpi);
    tcase_add_loop_test(tc, shutdown_beats_a_reset, 0, 3);
    tcase_add_loop_test(tc, shutdown_asked_for_while_the_vcpus_stop_for_a_reset_wins, 0, 2);
    tcase_add_test(tc, exit_asked_for_while_the_vcpus_stop_for_a_reset_wins);
    tcase_add_test(tc, shutdown_that_is_kept_beats_a_reset_too);
    tcase_add_loop_test(tc, no_shutdown_keeps_the_vm_unless_the_user_ends_it, 0,
                        G_N_ELEMENTS(causes));
    tcase_add_test(tc, host_error_gives_exit_status_1);
    tcase_add_test(tc, exit_request_gives_its_status_and_the_first_counts);
    tcase_add_test(tc, power_button_reaches_the_guest);
    tcase_add_test(tc, power_button_is_forgotten_at_reset);
    tcase_add_test(tc, stop_and_cont_stop_the_virtual_clock);
    tcase_add_test(tc, a_failing_disk_stops_the_vm_until_cont);
    tcase_add_test(tc, a_stopped_vm_and_one_that_ends_are_not_stopped_by_a_disk);
    tcase_add_test(tc, removed_event_sink_hears_nothing);
    tcase_add_test(tc, run_states_have_qmps_names);
}

void add_run_tests(Suite *s)
{
    TCase *tc = tcase_create("running"), *with_balloon = tcase_create("reset");

    tcase_add_checked_fixture(tc, setup_noting, teardown_noting);
    tcase_add_test(tc, boot_loads_the_kernel_and_gives_its_entry);
    tcase_add_test(tc, run_starts_the_vcpus_and_ends_with_the_exit_status);
    tcase_add_test(tc, run_may_start_paused);
    tcase_add_test(tc, guest_resets_by_keyboard_controller_and_by_acpi);
    tcase_add_test(tc, resets_asked_for_together_are_one);
    tcase_add_test(tc, reset_asked_for_while_the_vcpus_stop_for_one_is_the_same);
    tcase_add_loop_test(tc, no_reboot_ends_the_vm, 0, 2);
    tcase_add_test(tc, no_reboot_with_no_shutdown_stops_the_vm);
    tcase_add_test(tc, reset_that_fails_ends_the_vm_with_status_1);
    tcase_add_test(tc, reset_that_fails_leaves_the_vm_with_no_shutdown);
    add_shutdown_tests(tc);
    suite_add_tcase(s, tc);

    tcase_add_checked_fixture(with_balloon, setup_with_balloon, teardown_noting);
    tcase_add_test(with_balloon, reset_brings_back_memory_devices_and_bars);
    suite_add_tcase(s, with_balloon);
}
