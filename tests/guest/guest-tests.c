/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guest tests: an unmodified Linux in a VM of ours, on a machine with KVM (tools/kvm-host). One run
 * is one group.
 *
 *   guest-tests GROUP VMM BZIMAGE VMLINUX INITRD OUTB [MKFS [CONFIG [ROOT]]|CONFIG...]
 *
 * OUTB is a static program "outb PORT VALUE" that is handed to the guest. MKFS is mkfs.ext4, CONFIG
 * the config file to start, ROOT the image of scripts/root-image.sh that it has. Exit status 0: all
 * passed.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

const Paths *paths;

static const struct {
    const char *name;
    void (*run)(void);
} groups[] = {
    {"boot-vmlinux", group_boot_vmlinux},
    {"boot-bzimage", group_boot_bzimage},
    {"balloon", group_balloon},
    {"balloon-intx", group_balloon_intx},
    {"balloon-reporting", group_balloon_reporting},
    {"balloon-iothread", group_balloon_iothread},
    {"balloon-huge", group_balloon_huge},
    {"balloon-policy", group_balloon_policy},
    {"balloon-pressure", group_balloon_pressure},
    {"balloon-host", group_balloon_host},
    {"oom", group_oom},
    {"power", group_power},
    {"reboot", group_reboot},
    {"pause", group_pause},
    {"terminal", group_terminal},
    {"daemon", group_daemon},
    {"microvm", group_microvm},
    {"microvm-options", group_microvm_options},
    {"devices-pc", group_devices_pc},
    {"devices-pc-transitional", group_devices_pc_transitional},
    {"devices-pc-legacy", group_devices_pc_legacy},
    {"devices-microvm", group_devices_microvm},
    {"disk-pc", group_disk_pc},
    {"disk-microvm", group_disk_microvm},
    {"disk-queues", group_disk_queues},
    {"disk-queues-microvm", group_disk_queues_microvm},
    {"disk-full", group_disk_full},
    {"disk-root", group_disk_root},
    {"disk-root-errors", group_disk_root_errors},
    {"disk-iothreads", group_disk_iothreads},
    {"config-microvm", group_config_microvm},
    {"config-everything", group_config_everything},
    {"config-plain", group_config_plain},
    {"config-balloon-policy", group_config_balloon_policy},
    {"net-pc", group_net_pc},
    {"net-pc-legacy", group_net_pc_legacy},
    {"net-microvm", group_net_microvm},
    {"hotplug", group_hotplug},
    {"hotplug-pcie", group_hotplug_pcie},
    {"net-tap", group_net_tap},
    {"net-vhost", group_net_vhost},
    {"net-vhost-microvm", group_net_vhost_microvm},
};

int main(int argc, char **argv)
{
    Paths given;

    if (argc < 7 || argc > 12) {
        fprintf(stderr, "usage: guest-tests GROUP VMM BZIMAGE VMLINUX INITRD OUTB "
                        "[MKFS [CONFIG [ROOT]]|CONFIG...]\n");
        return 2;
    }
    given = (Paths){.vmm = argv[2],
                    .bzimage = argv[3],
                    .vmlinux = argv[4],
                    .initrd = argv[5],
                    .outb = argv[6],
                    .mkfs = argc > 7 ? argv[7] : NULL,
                    .config = argc > 8 ? argv[8] : NULL,
                    .root = argc > 9 ? argv[9] : NULL,
                    .configs = argv + 7};
    paths = &given;
    started = now();
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < G_N_ELEMENTS(groups); i++) {
        if (!strcmp(groups[i].name, argv[1])) {
            groups[i].run();
            passed("all of %s", argv[1]);
            return 0;
        }
    }
    fprintf(stderr, "guest-tests: no group %s\n", argv[1]);
    return 2;
}
