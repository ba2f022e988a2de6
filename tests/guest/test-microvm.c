/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine microvm: the guest finds the balloon on an MMIO window, of either version, or behind the
 * optional PCI host, uses it, reboots and powers off.
 */
#include <string.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

static Vm *boot(const char *machine, const char *device)
{
    double start = now();
    Vm *vm = vm_start("-M", machine, "-device", device, NULL);
    g_autofree char *init = vm_wait_console(vm, "AEROSTAT-INIT", T_BOOT);
    g_autofree char *devices = NULL;

    passed("%s: init after %.1f s (%s)", machine, now() - start, init);
    vm_wait_ready(vm);
    devices = vm_ask_ok(vm, "virtio");
    if (!strstr(devices, "device=0x0005 driver=virtio_balloon")) {
        fail("the guest's driver is not bound to the balloon: %s", devices);
    }
    return vm;
}

static void set_balloon(Vm *vm, uint64_t bytes)
{
    double end = now() + T_REPLY;
    uint64_t actual = 0;

    vm_do(vm, "balloon", json_pack("{s:I}", "value", (json_int_t)bytes));
    while (actual != bytes) {
        json_t *r = vm_qmp(vm, "query-balloon", NULL);

        actual = (uint64_t)json_integer_value(json_object_get(r, "actual"));
        json_decref(r);
        if (now() > end) {
            fail("the guest has %" G_GUINT64_FORMAT " MiB, asked for %" G_GUINT64_FORMAT,
                 actual / MiB, bytes / MiB);
        }
        vm_sleep(vm, 0.05);
    }
}

static void expect_balloon_works(Vm *vm)
{
    int64_t before = (int64_t)vm_meminfo(vm, "MemTotal"), after;

    set_balloon(vm, 384 * MiB);
    after = (int64_t)vm_meminfo(vm, "MemTotal");
    if (!near(after - before, -128 * (int64_t)MiB)) {
        fail("the guest's memory changed by %.1f MiB, not by -128", (double)(after - before) / MiB);
    }
    set_balloon(vm, 512 * MiB);
    passed("the balloon took 128 MiB and gave them back");
}

static void power_off(Vm *vm)
{
    vm_type(vm, "poweroff\n");
    vm_expect_cause(vm, "SHUTDOWN", true, "guest-shutdown");
    vm_finish(vm);
}

void group_microvm(void)
{
    Vm *vm = boot("microvm", "virtio-balloon,id=balloon0");

    expect_balloon_works(vm);
    vm_type(vm, "reboot\n");
    vm_expect_cause(vm, "RESET", true, "guest-reset");
    vm_wait_ready(vm);
    expect_balloon_works(vm);
    passed("and again after a reboot");
    power_off(vm);
}

void group_microvm_legacy(void)
{
    Vm *vm = boot("microvm,force-legacy=on", "virtio-balloon");

    expect_balloon_works(vm);
    power_off(vm);
}

/* All that can be asked for. Debian's kernel ignores virtio_mmio.device, and finds the window by
 * ACPI. */
void group_microvm_options(void)
{
    Vm *vm = boot("microvm,auto-kernel-cmdline=on,rtc=on,pit=on,pic=on", "virtio-balloon-device");
    g_autofree char *line = vm_ask_ok(vm, "cat /proc/cmdline");

    if (!strstr(line, " virtio_mmio.device=512@0xfeb00000:16") || strstr(line, "0xfeb00200")) {
        fail("the kernel's command line is %s", line);
    }
    power_off(vm);
    vm = boot("microvm,pcie=on", "virtio-balloon-pci");
    expect_balloon_works(vm);
    power_off(vm);
}
