/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest in huge pages that the host has set aside: by inflating, Linux gives 256 pages of 4 KiB a
 * request, and whole huge pages are free again in the host.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/guest/balloon.h"
#include "tests/guest/groups.h"

enum { RAM_MIB = 512, LEFT_MIB = 192, SET_ASIDE = RAM_MIB / 2 + 8 };

static const char folder[] = "/tmp/hugetlbfs";

static long meminfo(const char *key)
{
    g_autofree char *text = NULL;
    const char *at = NULL;

    if (g_file_get_contents("/proc/meminfo", &text, NULL, NULL)) {
        at = strstr(text, key);
    }
    return at ? strtol(at + strlen(key), NULL, 10) : 0;
}

static long free_pages(void)
{
    return meminfo("HugePages_Free:");
}

static void expect_pages_back(const char *backend)
{
    g_autofree char *object = g_strdup_printf("memory-backend-%s,id=m0,size=%dM", backend, RAM_MIB);
    long wanted = (RAM_MIB - LEFT_MIB) / 2 * 9 / 10, before, back;
    Vm *vm = vm_start("-object", object, "-M", "pc,memory-backend=m0", "-device",
                      "virtio-balloon,id=balloon0", NULL);

    vm_wait_ready(vm);
    g_free(vm_ask_ok(vm, "hold 380"));
    g_free(vm_ask_ok(vm, "hold 0"));
    before = free_pages();
    vm_set_balloon(vm, LEFT_MIB * MiB);
    for (double end = now() + T_REPLY; (back = free_pages() - before) < wanted; vm_sleep(vm, 0.2)) {
        if (now() > end) {
            fail("%s: of %d huge pages in the balloon %ld are free in the host", backend,
                 (RAM_MIB - LEFT_MIB) / 2, back);
        }
    }
    passed("%s: of %d huge pages in the balloon %ld are free in the host", backend,
           (RAM_MIB - LEFT_MIB) / 2, back);
    vm_set_balloon(vm, RAM_MIB * MiB);
    g_free(vm_ask_ok(vm, "hold 380")); /* and come again */
    if (free_pages() >= before + wanted) {
        fail("%s: the guest has its memory again, and the host the pages", backend);
    }
    vm_power_off(vm);
}

void group_balloon_huge(void)
{
    g_autofree char *count = g_strdup_printf("%d\n", SET_ASIDE);
    g_autofree char *file = g_strdup_printf("file,share=on,mem-path=%s", folder);

    if (meminfo("Hugepagesize:") != 2048 || getuid() != 0) {
        passed("skipped: huge pages are to be had by root, and where they have 2 MiB");
        return;
    }
    put_file("/proc/sys/vm", "nr_hugepages", count);
    if (free_pages() < SET_ASIDE) {
        passed("skipped: the host has no room for %d huge pages", SET_ASIDE);
        return;
    }
    expect_pages_back("memfd,hugetlb=on,hugetlbsize=2M");
    if (mkdir(folder, 0700) < 0 || mount("none", folder, "hugetlbfs", 0, NULL) < 0) {
        fail("%s: %s", folder, strerror(errno));
    }
    expect_pages_back(file);
    umount(folder);
    put_file("/proc/sys/vm", "nr_hugepages", "0\n");
}
