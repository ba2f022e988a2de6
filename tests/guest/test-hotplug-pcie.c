/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI Express hotplug: Linux's pciehp runs the slots of the root ports in configs/hotplug.cfg. A
 * disk comes, is used and goes, and so do a network card, an entropy device and a balloon; a card
 * was there at the start. What may not be asked for is refused. ACPI's slots of the root bus work
 * beside it.
 */
#include <string.h>
#include <unistd.h>

#include "tests/guest/disk.h"
#include "tests/guest/groups.h"

enum { DISK_MB = 8, ROUNDS = 2 };

/* Up to a minute, in the guest; a slot is freed five seconds after the button was pressed. */
#define WAIT_FOR(condition) \
    "for i in $(seq 600); do if " condition "; then exit 0; fi; sleep 0.1; done; exit 1"

static void expect_event(Vm *vm, const char *name, const char *id)
{
    for (;;) {
        json_t *event = vm_wait_event(vm, name, T_REPLY);
        const char *device =
            json_string_value(json_object_get(json_object_get(event, "data"), "device"));
        bool wanted = device && !strcmp(device, id);

        json_decref(event);
        if (wanted) {
            return;
        }
    }
}

static void del(Vm *vm, const char *id)
{
    vm_do(vm, "device_del", json_pack("{s:s}", "id", id));
}

static void expect_refused(Vm *vm, const char *command, json_t *args, const char *why)
{
    g_autofree char *error = vm_qmp_error(vm, command, args);

    if (!strstr(error, why)) {
        fail("%s: \"%s\" does not say \"%s\"", command, error, why);
    }
}

/* What the guest's kernel made of the ports. */
static void check_ports(Vm *vm)
{
    disk_guest_do(vm, "[ -e /sys/bus/pci/slots/41/power ] && [ -e /sys/bus/pci/slots/40/power ]");
    disk_guest_expect(vm, "/sys/bus/pci/slots/41/power", "0");
    disk_guest_expect(vm, "/sys/bus/pci/slots/40/power", "1");
    disk_guest_do(vm, "ls /sys/bus/pci_express/drivers/pciehp | grep -q pcie004");
    disk_guest_expect(vm, "/sys/bus/pci/devices/0000:01:00.0/vendor", "0x1af4");
    passed("two ports, one of them with a device, and pciehp runs their slots");
}

static void add_disk(Vm *vm)
{
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-blk-pci", "id", "hot", "drive",
                    "data", "serial", "HOT-1", "bus", "port1"));
    disk_guest_do(vm, WAIT_FOR("[ -b /dev/vda ]"));
    disk_guest_expect(vm, "/sys/block/vda/serial", "HOT-1");
    disk_guest_expect(vm, "/sys/bus/pci/slots/41/power", "1");
}

static void disk_rounds(Vm *vm, const char *path)
{
    vm_do(vm, "blockdev-add",
          json_pack("{s:s, s:s, s:s}", "driver", "file", "node-name", "data", "filename", path));
    for (unsigned round = 0; round < ROUNDS; round++) {
        add_disk(vm);
        disk_use_hot(vm, path, round);
        expect_refused(vm, "device_add",
                       json_pack("{s:s, s:s}", "driver", "virtio-rng-pci", "bus", "port1"),
                       "taken");
        del(vm, "hot");
        expect_refused(vm, "device_del", json_pack("{s:s}", "id", "hot"), "");
        expect_event(vm, "DEVICE_DELETED", "hot");
        disk_guest_do(vm, WAIT_FOR("[ ! -e /sys/block/vda ]"));
        disk_guest_expect(vm, "/sys/bus/pci/slots/41/adapter", "0");
        passed("round %u: a disk came, was used and went", round + 1);
    }
}

static void network_round(Vm *vm)
{
    vm_do(vm, "netdev_add", json_pack("{s:s, s:s}", "type", "user", "id", "n0"));
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s, s:s, s:s}", "driver", "virtio-net-pci", "id", "net", "netdev",
                    "n0", "mac", "52:54:00:00:00:77", "bus", "port1"));
    disk_guest_do(vm, WAIT_FOR("grep -q 52:54:00:00:00:77 /sys/class/net/*/address"));
    del(vm, "net");
    expect_event(vm, "DEVICE_DELETED", "net");
    disk_guest_do(vm, WAIT_FOR("! grep -q 52:54:00:00:00:77 /sys/class/net/*/address"));
    vm_do(vm, "netdev_del", json_pack("{s:s}", "id", "n0"));
    passed("a network card came and went");
}

static void balloon_round(Vm *vm)
{
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s}", "driver", "virtio-balloon-pci", "id", "b", "bus", "port1"));
    disk_guest_do(vm, WAIT_FOR("ls /sys/bus/virtio/drivers/virtio_balloon | grep -q virtio"));
    vm_expect_balloon_works(vm);
    del(vm, "b");
    expect_event(vm, "DEVICE_DELETED", "b");
    passed("a balloon came, took memory and went");
}

/* What was there at the start leaves by the guest's own wish, and its place takes another. */
static void guest_frees_its_slot(Vm *vm)
{
    disk_guest_do(vm, "echo 0 >/sys/bus/pci/slots/40/power");
    expect_event(vm, "DEVICE_DELETED", "card0");
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s}", "driver", "virtio-rng-pci", "id", "rng", "bus", "port0"));
    disk_guest_do(vm, WAIT_FOR("[ -e /sys/bus/pci/devices/0000:01:00.0 ]"));
    disk_guest_do(vm, WAIT_FOR("head -c 64 /dev/hwrng | wc -c | grep -q 64"));
    passed("the guest freed a slot by itself, and an entropy device came into it");
}

/* The slots of the root bus are ACPI's still. */
static void acpi_round(Vm *vm)
{
    vm_do(vm, "device_add",
          json_pack("{s:s, s:s, s:s}", "driver", "virtio-serial-pci", "id", "ser", "addr", "9.0"));
    disk_guest_do(vm, WAIT_FOR("[ -e /sys/bus/pci/devices/0000:00:09.0 ]"));
    del(vm, "ser");
    expect_event(vm, "DEVICE_DELETED", "ser");
    expect_refused(vm, "device_del", json_pack("{s:s}", "id", "port1"), "does not support");
    passed("a slot of the root bus works beside them, and a port stays");
}

void group_hotplug_pcie(void)
{
    g_autofree char *dir = g_dir_make_tmp("guest-hotplug-XXXXXX", NULL);
    g_autofree char *path = disk_make(dir, "data.img", DISK_MB * MiB);
    Vm *vm;

    if (chdir(dir) < 0) { /* where the file's socket is made */
        fail("%s: cannot go there", dir);
    }
    vm = vm_start("-readconfig", paths->config, NULL);
    vm_wait_ready(vm);
    check_ports(vm);
    disk_rounds(vm, path);
    network_round(vm);
    balloon_round(vm);
    guest_frees_its_slot(vm);
    acpi_round(vm);
    vm_do(vm, "blockdev-del", json_pack("{s:s}", "node-name", "data"));
    vm_power_off(vm);
    if (chdir("/") < 0) {
        fail("/: cannot go there");
    }
    disk_remove_dir(dir);
}
