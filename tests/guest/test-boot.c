/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Both kinds of kernel image boot, with one and with two vCPUs, and power off; memory above 4 GiB
 * is used.
 */
#include <stdlib.h>
#include <string.h>

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

/* RAM ends at 2816 MiB for the PCI hole and goes on at 4 GiB. */
static void boot_large(void)
{
    Vm *vm = vm_start("-m", "3200", NULL);
    g_autofree char *map = NULL;
    int64_t total;

    vm_wait_ready(vm);
    total = (int64_t)vm_meminfo(vm, "MemTotal");
    map = vm_ask_ok(vm, "cat /proc/iomem");
    if (!near(total, 3200 * (int64_t)MiB) || !strstr(map, "100000000-117ffffff : System RAM")) {
        fail("-m 3200: MemTotal is %.1f MiB, the memory map is\n%s", (double)total / MiB, map);
    }
    vm_type(vm, "poweroff\n");
    vm_finish(vm);
    passed("-m 3200: MemTotal is %.1f MiB, 384 of them above 4 GiB", (double)total / MiB);
}

void group_boot_vmlinux(void)
{
    boot(paths->vmlinux, "1");
    boot(paths->vmlinux, "2");
    boot_large();
}

void group_boot_bzimage(void)
{
    boot(paths->bzimage, "1");
    boot(paths->bzimage, "2");
}
