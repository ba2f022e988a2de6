/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The groups of guest tests; each is one CTest test and one run of the program.
 */
#ifndef AEROSTAT_TESTS_GUEST_GROUPS_H
#define AEROSTAT_TESTS_GUEST_GROUPS_H

void group_boot_vmlinux(void);
void group_boot_bzimage(void);
void group_balloon(void);
void group_balloon_intx(void);
void group_balloon_reporting(void);
void group_balloon_iothread(void);
void group_balloon_huge(void);
void group_balloon_policy(void);
void group_balloon_pressure(void);
void group_balloon_host(void);
void group_oom(void);
void group_power(void);
void group_reboot(void);
void group_pause(void);
void group_terminal(void);
void group_daemon(void);
void group_microvm(void);
void group_microvm_options(void);
void group_devices_pc(void);
void group_devices_pc_transitional(void);
void group_devices_pc_legacy(void);
void group_devices_microvm(void);
void group_disk_pc(void);
void group_disk_microvm(void);
void group_disk_queues(void);
void group_disk_queues_microvm(void);
void group_disk_full(void);
void group_disk_root(void);
void group_disk_root_errors(void);
void group_disk_iothreads(void);
void group_config_microvm(void);
void group_config_everything(void);
void group_config_plain(void);
void group_config_balloon_policy(void);
void group_net_pc(void);
void group_net_pc_legacy(void);
void group_net_microvm(void);
void group_hotplug(void);
void group_hotplug_pcie(void);
void group_net_tap(void);
void group_net_vhost(void);
void group_net_vhost_microvm(void);

#endif
