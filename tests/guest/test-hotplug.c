/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Hotplug by ACPI into a running Linux on "pc": a disk comes, is read and written and goes, twice
 * in the same slot, while the disk's file stays with the VMM, and once while it is read; then a
 * network card; then the guest ejects a device by itself.
 */
#include <string.h>

#include "tests/guest/disk.h"
#include "tests/guest/groups.h"

enum { DISK_MB = 8, ROUNDS = 2 };

/* Up to ten seconds, in the guest: its workqueue does the work. */
#define WAIT_FOR(condition) \
    "for i in $(seq 100); do if " condition "; then exit 0; fi; sleep 0.1; done; exit 1"

static void expect_gone(Vm *vm, const char *id)
{
    for (;;) {
        json_t *event = vm_wait_event(vm, "DEVICE_DELETED", T_REPLY);
        const char *device =
            json_string_value(json_object_get(json_object_get(event, "data"), "device"));
        bool wanted = device && !strcmp(device, id);

        json_decref(event);
        if (wanted) {
            return;
        }
    }
}

static void add_disk(Vm *vm)
{
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-blk-pci", "id", "hot", "drive",
                    "data", "serial", "HOT-1", "addr", "0x9"));
    disk_guest_do(vm, WAIT_FOR("[ -b /dev/vda ]"));
    disk_guest_expect(vm, "/sys/block/vda/serial", "HOT-1");
}

static void remove_disk(Vm *vm)
{
    vm_do(vm, "device_del", json_pack("{s:s}", "id", "hot"));
    expect_gone(vm, "hot");
    disk_guest_do(vm, WAIT_FOR("[ ! -e /sys/block/vda ]"));
    disk_guest_do(vm, "! ls /sys/bus/pci/devices | grep -q 00:09");
}

static void disk_rounds(Vm *vm, const char *path)
{
    vm_do(vm, "blockdev-add",
          json_pack("{s:s, s:s, s:s}", "driver", "file", "node-name", "data", "filename", path));
    for (unsigned round = 0; round < ROUNDS; round++) {
        add_disk(vm);
        disk_use_hot(vm, path, round);
        remove_disk(vm);
        passed("round %u: a disk came, was used and went", round + 1);
    }
}

/* A reader that never stops of itself holds the disk open. */
static void remove_disk_in_use(Vm *vm)
{
    int64_t before;

    add_disk(vm);
    before = disk_counter(vm, "data", "rd_operations");
    disk_guest_do(vm, "(while blockdev --flushbufs /dev/vda; do dd if=/dev/vda of=/dev/null "
                      "bs=64k; done) >/dev/null 2>&1 </dev/null &");
    for (unsigned i = 0; disk_counter(vm, "data", "rd_operations") < before + 100; i++) {
        if (i == T_REPLY * 10) {
            fail("the guest does not read the disk");
        }
        vm_sleep(vm, 0.1);
    }
    remove_disk(vm);
    passed("a disk went while it was read");
}

static void network_round(Vm *vm)
{
    vm_do(vm, "netdev_add", json_pack("{s:s, s:s}", "type", "user", "id", "n0"));
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s, s:s}", "driver", "virtio-net-pci", "id", "net", "netdev", "n0",
                    "mac", "52:54:00:00:00:77"));
    disk_guest_do(vm, WAIT_FOR("grep -q 52:54:00:00:00:77 /sys/class/net/*/address"));
    vm_do(vm, "device_del", json_pack("{s:s}", "id", "net"));
    expect_gone(vm, "net");
    disk_guest_do(vm, WAIT_FOR("! grep -q 52:54:00:00:00:77 /sys/class/net/*/address"));
    vm_do(vm, "netdev_del", json_pack("{s:s}", "id", "n0"));
    passed("a network card came and went");
}

/* What was there at the start leaves as well, by the guest's own wish. */
static void guest_ejects(Vm *vm)
{
    disk_guest_do(vm, "s=$(grep -l 0000:00:05 /sys/bus/pci/slots/*/address) && "
                      "echo 0 >$(dirname $s)/power");
    expect_gone(vm, "rng");
    disk_guest_do(vm, "! ls /sys/bus/pci/devices | grep -q 00:05");
    passed("the guest ejected a device by itself");
}

void group_hotplug(void)
{
    g_autofree char *dir = g_dir_make_tmp("guest-hotplug-XXXXXX", NULL);
    g_autofree char *path = disk_make(dir, "data.img", DISK_MB * MiB);
    Vm *vm = vm_start("-M", "pc", "-device", "virtio-rng-pci,id=rng,addr=0x5", NULL);

    vm_wait_ready(vm);
    disk_rounds(vm, path);
    remove_disk_in_use(vm);
    network_round(vm);
    guest_ejects(vm);
    vm_do(vm, "blockdev-del", json_pack("{s:s}", "node-name", "data"));
    vm_power_off(vm);
    disk_remove_dir(dir);
}
