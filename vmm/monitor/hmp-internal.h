/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of the human monitor: a command is a row of a table in hmp.c, what follows "info" one in hmp-info.c.
 */
#ifndef AEROSTAT_VMM_MONITOR_HMP_INTERNAL_H
#define AEROSTAT_VMM_MONITOR_HMP_INTERNAL_H

#include "vmm/monitor/monitor-internal.h"
#include "vmm/monitor/qmp-command.h"

typedef struct HmpMonitor HmpMonitor;

typedef struct {
    const char *name, *params, *help; /* help NULL: another name of one that has it */
    void (*run)(HmpMonitor *mon, const char *arg);
} HmpCommand;

void hmp_print(HmpMonitor *mon, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
Machine *hmp_machine(HmpMonitor *mon);
unsigned hmp_cpu(const HmpMonitor *mon); /* which vCPU commands are about that name none; 0 at first */
void hmp_choose_cpu(HmpMonitor *mon, unsigned cpu);
/* Runs a QMP command; args is stolen. Prints an error and returns NULL when it failed. */
json_t *hmp_qmp(HmpMonitor *mon, const char *command, json_t *args);

/* --- hmp-info.c --- */
extern const HmpCommand hmp_info_commands[]; /* ended by a row without name */
void hmp_info(HmpMonitor *mon, const char *arg);

/* --- hmp-manage.c --- */
void hmp_chardev_add(HmpMonitor *mon, const char *arg);
void hmp_chardev_remove(HmpMonitor *mon, const char *arg);
void hmp_device_add(HmpMonitor *mon, const char *arg);
void hmp_device_del(HmpMonitor *mon, const char *arg);
void hmp_drive_add(HmpMonitor *mon, const char *arg);
void hmp_drive_del(HmpMonitor *mon, const char *arg);
void hmp_netdev_add(HmpMonitor *mon, const char *arg);
void hmp_netdev_del(HmpMonitor *mon, const char *arg);
void hmp_object_add(HmpMonitor *mon, const char *arg);
void hmp_object_del(HmpMonitor *mon, const char *arg);
void hmp_qom_get(HmpMonitor *mon, const char *arg);
void hmp_qom_list(HmpMonitor *mon, const char *arg);
void hmp_qom_set(HmpMonitor *mon, const char *arg);

/* --- hmp-balloon.c --- */
void hmp_info_balloon(HmpMonitor *mon, const char *arg);
void hmp_info_balloon_policy(HmpMonitor *mon, const char *arg);

/* --- hmp-stats.c --- */
void hmp_info_memory_bill(HmpMonitor *mon, const char *arg);
void hmp_info_stats(HmpMonitor *mon, const char *arg);

/* --- hmp-memory.c --- */
void hmp_x(HmpMonitor *mon, const char *arg);  /* "/FMT ADDR": virtual memory of the chosen vCPU */
void hmp_xp(HmpMonitor *mon, const char *arg); /* physical memory */

/* --- hmp-registers.c --- */
void hmp_info_registers(HmpMonitor *mon, const char *arg); /* "[-a|VCPU]" */
void hmp_set_cpu(HmpMonitor *mon, const char *arg);

/* --- hmp-debug.c --- */
void hmp_dump_guest_memory(HmpMonitor *mon, const char *arg); /* "[-d] FILE [BEGIN LENGTH]" */
void hmp_info_dump(HmpMonitor *mon, const char *arg);
void hmp_gdbserver(HmpMonitor *mon, const char *arg); /* "[STREAM]" */

#endif
