/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Power button, reboot, reset, and what -no-reboot and -no-shutdown make of them; stop and cont.
 */
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

static void expect_silence(Vm *vm, double seconds, const char *why)
{
    size_t before = vm->console->len;

    vm_sleep(vm, seconds);
    if (vm->console->len != before) {
        fail("%s, but the guest said: %s", why, vm->console->str + before);
    }
}

/* --- power --- */

static void power_button(void)
{
    Vm *vm = vm_start("-smp", "2", NULL);

    vm_wait_ready(vm);
    vm_expect_status(vm, "running");
    vm_do(vm, "system_powerdown", NULL);
    json_decref(vm_wait_event(vm, "POWERDOWN", T_REPLY));
    vm_expect_cause(vm, "SHUTDOWN", true, "guest-shutdown");
    g_free(vm_wait_console(vm, "AEROSTAT-POWERBUTTON", 1));
    vm_finish(vm);
    passed("the power button powers the guest off, and the VMM ends with 0");
}

static void no_shutdown(void)
{
    Vm *vm = vm_start("-no-shutdown", NULL);
    g_autofree char *error = NULL;

    vm_wait_ready(vm);
    vm_type(vm, "poweroff\n");
    vm_expect_cause(vm, "SHUTDOWN", true, "guest-shutdown");
    json_decref(vm_wait_event(vm, "STOP", T_REPLY));
    vm_expect_status(vm, "shutdown");
    error = vm_qmp_error(vm, "cont", NULL);
    passed("-no-shutdown: the VM stays, stopped; cont says '%s'", error);

    vm_do(vm, "system_reset", NULL);
    vm_expect_cause(vm, "RESET", false, "host-qmp-system-reset");
    vm_expect_status(vm, "prelaunch");
    vm_do(vm, "cont", NULL);
    vm_wait_ready(vm);
    passed("after system_reset it can run again");
    vm_do(vm, "quit", NULL);
    vm_expect_cause(vm, "SHUTDOWN", false, "host-qmp-quit");
    vm_finish(vm);
    passed("quit ends it with 0");
}

/* An initramfs of the guest with one program more: the kernel takes concatenated archives. */
static char *initrd_with_outb(const char *dir)
{
    char *path = g_build_filename(dir, "initrd", NULL);
    g_autofree char *base = NULL, *program = NULL;
    const char name[] = "outb", end[] = "TRAILER!!!";
    gsize base_len, len;
    GString *out;

    if (!g_file_get_contents(paths->initrd, &base, &base_len, NULL) ||
        !g_file_get_contents(paths->outb, &program, &len, NULL)) {
        fail("%s or %s cannot be read", paths->initrd, paths->outb);
    }
    out = g_string_new_len(base, (gssize)base_len);
    while (out->len % 512) {
        g_string_append_c(out, '\0');
    }
    g_string_append_printf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 1,
                           0100755, 0, 0, 1, 0, (unsigned)len, 0, 0, 0, 0, (unsigned)sizeof name,
                           0);
    g_string_append_len(out, name, sizeof name);
    while (out->len % 4) {
        g_string_append_c(out, '\0');
    }
    g_string_append_len(out, program, (gssize)len);
    while (out->len % 4) {
        g_string_append_c(out, '\0');
    }
    g_string_append_printf(out, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", 2, 0,
                           0, 0, 1, 0, 0, 0, 0, 0, 0, (unsigned)sizeof end, 0);
    g_string_append_len(out, end, sizeof end);
    while (out->len % 512) {
        g_string_append_c(out, '\0');
    }
    if (!g_file_set_contents(path, out->str, (gssize)out->len, NULL)) {
        fail("%s cannot be written", path);
    }
    g_string_free(out, TRUE);
    return path;
}

static void debug_exit(void)
{
    g_autofree char *dir = g_dir_make_tmp("guest-test-XXXXXX", NULL);
    g_autofree char *initrd = initrd_with_outb(dir);
    Vm *vm = vm_start("-initrd", initrd, "-device", "isa-debug-exit,iobase=0xf4,iosize=4", NULL);
    int status;

    vm_wait_ready(vm);
    vm_type(vm, "run /outb 0xf4 21\n");
    status = vm_wait_exit(vm, T_EXIT);
    if (status != 43) {
        fail("21 written to isa-debug-exit: status %d, expected 43", status);
    }
    vm_kill(vm);
    g_unlink(initrd);
    g_rmdir(dir);
    passed("21 written to isa-debug-exit ends the VMM with status 43");
}

void group_power(void)
{
    power_button();
    no_shutdown();
    debug_exit();
}

/* --- reboot --- */

static void expect_balloon_works(Vm *vm, const char *when)
{
    int64_t full, less;

    vm_set_balloon(vm, 512 * MiB);
    full = (int64_t)vm_meminfo(vm, "MemTotal");
    vm_set_balloon(vm, 384 * MiB);
    less = (int64_t)vm_meminfo(vm, "MemTotal");
    if (!near(full - less, 128 * (int64_t)MiB)) {
        fail("%s: MemTotal went from %.1f to %.1f MiB", when, (double)full / MiB,
             (double)less / MiB);
    }
    passed("%s: the balloon works", when);
}

/* The balloon is inflated when the guest goes down: whoever comes up has all memory, and is asked
 * again. */
static void reboot_in_place(void)
{
    Vm *vm = vm_start("-device", "virtio-balloon,id=balloon0", "-smp", "2", NULL);

    vm_wait_ready(vm);
    expect_balloon_works(vm, "first boot");
    vm_type(vm, "reboot\n");
    vm_expect_cause(vm, "RESET", true, "guest-reset");
    vm_wait_ready(vm);
    passed("the guest rebooted in place");
    expect_balloon_works(vm, "after the guest's reboot");
    vm_do(vm, "system_reset", NULL);
    vm_expect_cause(vm, "RESET", false, "host-qmp-system-reset");
    vm_wait_ready(vm);
    expect_balloon_works(vm, "after system_reset");
    vm_do(vm, "stop", NULL);
    vm_do(vm, "system_reset", NULL);
    vm_expect_cause(vm, "RESET", false, "host-qmp-system-reset");
    expect_silence(vm, 1, "the VM was reset while it was stopped");
    vm_do(vm, "cont", NULL);
    vm_wait_ready(vm);
    passed("system_reset of a stopped VM: it stays stopped and boots at cont");
    vm_type(vm, "poweroff\n");
    vm_finish(vm);
}

static void no_reboot(void)
{
    Vm *vm = vm_start("-no-reboot", NULL);

    vm_wait_ready(vm);
    vm_type(vm, "reboot\n");
    vm_expect_cause(vm, "SHUTDOWN", true, "guest-reset");
    vm_finish(vm);
    passed("-no-reboot: the VMM ends with 0");
}

void group_reboot(void)
{
    reboot_in_place();
    no_reboot();
}

/* --- stop and cont --- */

static void stop_and_cont(const char *smp)
{
    Vm *vm = vm_start("-smp", smp, "-S", NULL);
    double before, after, real, start;
    int status;
    g_autofree char *answer = NULL;

    expect_silence(vm, 1, "-S does not start the guest");
    vm_expect_status(vm, "prelaunch");
    vm_do(vm, "cont", NULL);
    json_decref(vm_wait_event(vm, "RESUME", T_REPLY));
    vm_wait_ready(vm);
    passed("-S waits for cont");

    start = now();
    before = vm_uptime(vm);
    vm_do(vm, "stop", NULL);
    json_decref(vm_wait_event(vm, "STOP", T_REPLY));
    vm_expect_status(vm, "paused");
    vm_type(vm, "ping are you there\n");
    expect_silence(vm, 5, "the VM is stopped");
    vm_do(vm, "stop", NULL); /* once more changes nothing */
    vm_do(vm, "cont", NULL);
    json_decref(vm_wait_event(vm, "RESUME", T_REPLY));
    vm_expect_status(vm, "running");
    g_free(vm_wait_console(vm, "pong are you there", T_REPLY));
    g_free(vm_wait_console(vm, "AEROSTAT-DONE", T_REPLY));
    passed("what was typed while it was stopped arrives after cont");
    after = vm_uptime(vm);
    real = now() - start;
    if (after - before > real - 4.5) {
        fail("the guest's clock went on while it was stopped: %.2f s of %.2f s", after - before,
             real);
    }
    passed("the guest's clock stood still: %.2f s of %.2f s", after - before, real);

    start = now();
    before = vm_uptime(vm);
    answer = vm_ask(vm, &status, "run sleep 2");
    after = vm_uptime(vm);
    real = now() - start;
    if (after - before < 1.9 || after - before > real + 0.1) {
        fail("after cont 'sleep 2' took %.2f s of guest time and %.2f s here", after - before,
             real);
    }
    passed("timers work after cont");
    vm_type(vm, "poweroff\n");
    vm_finish(vm);
}

void group_pause(void)
{
    stop_and_cont("1");
    stop_and_cont("2");
}
