/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The ready-made config files, as they are: the guest has a driver for each of their devices; those
 * of microvm.cfg, everything.cfg and balloon-policy.cfg it uses.
 */
#include <string.h>
#include <unistd.h>

#include "tests/guest/balloon.h"
#include "tests/guest/disk.h"
#include "tests/guest/groups.h"

/* With the machine, memory (512 MiB) and command line of the other tests: those win over the
 * file's. */
static Vm *boot(const char *config, const char *machine)
{
    Vm *vm = vm_start("-readconfig", config, "-M", machine, NULL);

    vm_wait_ready(vm);
    return vm;
}

static void expect_drivers(Vm *vm, const char *const *wanted)
{
    g_autofree char *devices = vm_ask_ok(vm, "virtio");

    for (unsigned i = 0; wanted[i]; i++) {
        if (!strstr(devices, wanted[i])) {
            fail("no %s in: %s", wanted[i], devices);
        }
    }
}

/* With deflate-on-oom the guest counts what the balloon has as its memory still. */
static void expect_balloon_moves(Vm *vm)
{
    vm_do(vm, "balloon", json_pack("{s:I}", "value", (json_int_t)(400 * MiB)));
    json_decref(vm_wait_event(vm, "BALLOON_CHANGE", T_REPLY));
}

static char *enter_folder(void)
{
    char *dir = g_dir_make_tmp("guest-config-XXXXXX", NULL);

    if (chdir(dir) < 0) {
        fail("%s: cannot go there", dir);
    }
    return dir;
}

static void leave_folder(char *dir)
{
    if (chdir("/") < 0) {
        fail("/: cannot go there");
    }
    disk_remove_dir(dir);
    g_free(dir);
}

void group_config_microvm(void)
{
    static const char *const drivers[] = {"driver=virtio_balloon", "driver=virtio_rng",
                                          "driver=virtio_net", NULL};
    char *dir = enter_folder();
    Vm *vm = boot(paths->config, "microvm");

    expect_drivers(vm, drivers);
    expect_balloon_moves(vm);
    disk_guest_do(vm, "[ $(grep -c ^processor /proc/cpuinfo) = 2 ] && ! [ -e /sys/bus/pci/devices/"
                      "0000:00:00.0 ]");
    vm_power_off(vm);
    passed("microvm.cfg has its devices on MMIO windows");
    leave_folder(dir);
}

void group_config_everything(void)
{
    static const char *const drivers[] = {"driver=virtio_balloon", "driver=virtio_rng",
                                          "driver=virtio_net",     "driver=virtio_blk",
                                          "driver=virtio_console", NULL};
    char *dir = enter_folder();
    g_autofree char *data = disk_make_ext4(dir, "data.img", 32 * MiB, NULL);
    Vm *vm = boot(paths->config, "pc");

    expect_drivers(vm, drivers);
    expect_balloon_moves(vm);
    disk_guest_do(vm, "mkdir /d && mount -t ext4 /dev/vda /d && echo hello >/d/x && umount /d && "
                      "dd if=/dev/hwrng of=/tmp/r bs=16 count=1 2>/dev/null && ip link set eth0 up "
                      "&& [ -c /dev/hvc0 ] && ls /sys/class/virtio-ports");
    disk_guest_expect(vm, "/sys/class/virtio-ports/vport*p1/name", "org.aerostat.agent");
    vm_power_off(vm);
    disk_expect_clean(data);
    passed("everything.cfg has a driver in the guest for each of its devices");
    leave_folder(dir);
}

/* The other ones, of which nothing is used by another test. */
void group_config_plain(void)
{
    static const struct {
        const char *name, *drivers[3];
    } files[] = {
        {"minimal.cfg", {NULL}},
        {"balloon.cfg", {"driver=virtio_balloon", "driver=virtio_rng", NULL}},
        {"net-user.cfg", {"driver=virtio_net", NULL}},
    };
    char *dir = enter_folder(); /* some have a socket there */
    unsigned booted = 0;

    for (char **path = paths->configs; *path; path++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(files); i++) {
            if (g_str_has_suffix(*path, files[i].name) &&
                (*path)[strlen(*path) - strlen(files[i].name) - 1] == '/') {
                Vm *vm = boot(*path, "pc");

                expect_drivers(vm, files[i].drivers);
                vm_power_off(vm);
                passed("%s boots", files[i].name);
                booted++;
            }
        }
    }
    if (booted != G_N_ELEMENTS(files)) {
        fail("%u files were booted", booted);
    }
    leave_folder(dir);
}

void group_config_balloon_policy(void)
{
    static const char *const drivers[] = {"driver=virtio_balloon", NULL};
    char *dir = enter_folder();
    Vm *vm;

    if (access("/proc/pressure/memory", R_OK) < 0) {
        passed("skipped: a kernel without pressure stall information");
        return;
    }
    vm = boot(paths->config, "pc");
    expect_drivers(vm, drivers);
    wait_reason_of(vm, "steady", "at-need", T_REPLY); /* the second: the host is short by itself */
    if (policy_number(vm, "used") == 0 || policy_number(vm, "actual") < 128 * MiB) {
        fail("the policy does not know its guest: %s", policy_text(vm, "none"));
    }
    expect_balloon_moves(vm);
    wait_reason(vm, "target-set", T_REPLY);
    vm_power_off(vm);
    passed("balloon-policy.cfg has a policy that looks after the guest");
    leave_folder(dir);
}
