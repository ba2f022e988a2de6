/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kernel counts while a VMM runs (blk-run.c, net-run.c): VM exits, and in histograms system calls by thread
 * and exits by reason. debugfs and tracefs are mounted in their usual places.
 */
#ifndef AEROSTAT_BENCH_VM_COUNTS_H
#define AEROSTAT_BENCH_VM_COUNTS_H

#include "vm-run.h"

#define VM_TRACING "/sys/kernel/tracing"

static const struct {
    const char *event, *keys;
} vm_counted[] = {{"raw_syscalls/sys_enter", "common_pid.execname,id.syscall"}, {"kvm/kvm_exit", "exit_reason"}};

/* Exits of all VMs so far; -1: not known. */
static inline long vm_exits(void)
{
    char text[64];

    read_text("/sys/kernel/debug/kvm/exits", text, sizeof text);
    return text[0] ? strtol(text, NULL, 10) : -1;
}

/* To the kernel's histograms: begin (""), from nothing (":clear"), hold (":pause") or go away ("!"). */
static inline void vm_counters(const char *what)
{
    char path[128], text[128];

    for (unsigned i = 0; i < sizeof vm_counted / sizeof *vm_counted; i++) {
        FILE *f;

        snprintf(path, sizeof path, VM_TRACING "/events/%s/trigger", vm_counted[i].event);
        snprintf(text, sizeof text, *what == '!' ? "!hist:keys=%s" : "hist:keys=%s%s", vm_counted[i].keys, what);
        f = fopen(path, "ae");
        if (!f || fputs(text, f) < 0 || fclose(f)) {
            perror(path);
            exit(1);
        }
    }
}

/* On standard error, for one of n; without threads named except. A line of a histogram is "{ keys } hitcount: N". */
static inline void vm_counters_show(double n, const char *except)
{
    char path[128], line[512], *count;

    for (unsigned i = 0; i < sizeof vm_counted / sizeof *vm_counted; i++) {
        FILE *f;

        snprintf(path, sizeof path, VM_TRACING "/events/%s/hist", vm_counted[i].event);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof line, f)) {
            count = strstr(line, "hitcount:");
            if (*line == '{' && count && !strstr(line, except)) {
                fprintf(stderr, "%8.3f %.*s\n", strtod(count + 9, NULL) / n, (int)(count - line), line);
            }
        }
        if (f) {
            fclose(f);
        }
    }
}

#endif
