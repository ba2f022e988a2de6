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

void group_microvm(void)
{
    Vm *vm = boot("microvm", "virtio-balloon,id=balloon0");

    vm_expect_balloon_works(vm);
    vm_type(vm, "reboot\n");
    vm_expect_cause(vm, "RESET", true, "guest-reset");
    vm_wait_ready(vm);
    vm_expect_balloon_works(vm);
    passed("and again after a reboot");
    vm_power_off(vm);
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
    vm_power_off(vm);
    vm = boot("microvm,pcie=on", "virtio-balloon-pci");
    vm_expect_balloon_works(vm);
    vm_power_off(vm);
}
