/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both kinds of kernel image boot, with one and with two vCPUs, and power off.
 */
#include <stdlib.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

static void boot(const char *kernel, const char *smp)
{
    double start = now();
    Vm *vm = vm_start("-kernel", kernel, "-smp", smp, NULL);
    g_autofree char *init = vm_wait_console(vm, "AEROSTAT-INIT", T_BOOT);
    g_autofree char *cpus = NULL;

    passed("%s vCPU: init after %.1f s (%s)", smp, now() - start, init);
    vm_wait_ready(vm);
    cpus = vm_ask_ok(vm, "run grep -c ^processor /proc/cpuinfo");
    if (atoi(cpus) != atoi(smp)) {
        fail("the guest has %s processors, expected %s", cpus, smp);
    }
    vm_type(vm, "poweroff\n");
    vm_expect_cause(vm, "SHUTDOWN", true, "guest-shutdown");
    vm_finish(vm);
    passed("%s vCPU: counted by the guest, powered off, exit status 0", smp);
}

void group_boot_vmlinux(void)
{
    boot(paths->vmlinux, "1");
    boot(paths->vmlinux, "2");
}

void group_boot_bzimage(void)
{
    boot(paths->bzimage, "1");
    boot(paths->bzimage, "2");
}
