/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The state of a VM, for the message of a test that failed; see dump.h.
 */
#include "tests/guest/dump.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { T_STATE = 60 };

/* --- the host's side --- */

/* The first line of a file in a folder; empty: not there. */
static char *first_line(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL), *text = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return g_strdup("");
    }
    return g_strndup(text, strcspn(text, "\n"));
}

/* /proc/PID/task/TID/stat behind the name, which may have blanks: state is 0, utime 11, stime 12,
 * guest_time 40. */
static void print_thread(const char *dir)
{
    g_autofree char *name = first_line(dir, "comm"), *stat = first_line(dir, "stat");
    g_autofree char *wchan = first_line(dir, "wchan"), *call = first_line(dir, "syscall");
    char *behind = strrchr(stat, ')');
    g_auto(GStrv) field = g_strsplit(behind ? behind + 2 : "", " ", -1);

    if (g_strv_length(field) > 40) {
        printf("  %-15s %s ticks: user %s, system %s, guest %s; in %s (system call %s)\n", name,
               field[0], field[11], field[12], field[40], wchan, call);
    }
}

static void print_threads(Vm *vm)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", (int)vm->pid);
    g_autoptr(GDir) d = g_dir_open(path, 0, NULL);
    const char *tid;

    while (d && (tid = g_dir_read_name(d))) {
        g_autofree char *dir = g_build_filename(path, tid, NULL);

        print_thread(dir);
    }
}

/* Counters of /sys/kernel/debug/kvm/PID-FD that are not 0. */
static void print_kvm(Vm *vm)
{
    static const char top[] = "/sys/kernel/debug/kvm";
    g_autofree char *prefix = g_strdup_printf("%d-", (int)vm->pid);
    g_autoptr(GDir) d = g_dir_open(top, 0, NULL);
    const char *name;

    while (d && (name = g_dir_read_name(d))) {
        g_autofree char *path = g_build_filename(top, name, NULL);
        g_autoptr(GDir) vm_dir = g_str_has_prefix(name, prefix) ? g_dir_open(path, 0, NULL) : NULL;
        const char *counter;

        printf("%s", vm_dir ? "  KVM:" : "");
        while (vm_dir && (counter = g_dir_read_name(vm_dir))) {
            g_autofree char *value = first_line(path, counter);

            if (strcmp(value, "0") != 0 && *value) {
                printf(" %s %s", counter, value);
            }
        }
        printf("%s", vm_dir ? "\n" : "");
    }
}

void dump_host(Vm *vm)
{
    g_autofree char *load = first_line("/proc", "loadavg"), *stat = first_line("/proc", "stat");

    printf("--- the host: load %s; %s\n", load, stat);
    print_threads(vm);
    print_kvm(vm);
    vm_sleep(vm, 1);
    printf("--- a second later:\n");
    print_threads(vm);
    print_kvm(vm);
    fflush(stdout);
}

/* --- the VM's side --- */

static void print_qmp(Vm *vm, const char *command)
{
    json_t *r = vm_qmp(vm, command, NULL);
    char *text = json_dumps(r, JSON_COMPACT);

    printf("--- %s: %s\n", command, text);
    fflush(stdout);
    free(text);
    json_decref(r);
}

void dump_guest(Vm *vm)
{
    static const char end[] = "AEROSTAT-STATE end";
    size_t from = vm->console->len;

    if (vm->qmp < 0) {
        return;
    }
    print_qmp(vm, "query-status");
    print_qmp(vm, "query-blockstats");
    vm->seen = from;
    vm_do(vm, "system_powerdown", NULL);
    for (double until = now() + T_STATE; now() < until && vm_alive(vm); vm_sleep(vm, 0.1)) {
        if (strstr(vm->console->str + from, end)) {
            break;
        }
    }
    printf("--- the guest, %s:\n%s\n",
           vm->console->len > from ? "asked by the power button" : "which does not answer",
           vm->console->str + from);
    fflush(stdout);
}
