// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs the VMMs of a plan in turn, lets fio run in each guest, and says what that costs.
 *
 *     blk-run SECONDS DISK PLAN [counts]
 *
 * A line of the plan is NAME, TAB, the words of the command with tabs between them. Output, a line
 * per load: name, operation, depth, requests per second, then, of a part of the load when it is
 * under way: ns, ns of CPU time of the VMM, of these in vCPU threads, of these in the guest (which
 * the kernel counts by ticks: about), and KVM's count of exits (-1: not known). With "counts",
 * standard error has system calls by thread and exits by reason, for one request; that takes time.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm-run.h"

#define TRACING "/sys/kernel/tracing"

enum { DISK_MB = 256, EDGE_NS = 200 * 1000 * 1000 };

static const struct {
    const char *op;
    int depth;
} loads[] = {{"randread", 1}, {"randread", 32}, {"randwrite", 1}, {"randwrite", 32}};

static bool counts;
static char block[1 << 20];

typedef struct {
    long long ns;
    long exits;
    VmCpu cpu;
} Sample;

/* --- what it costs --- */

static Sample sample(pid_t pid)
{
    struct timespec t;
    char text[64];
    Sample s;

    clock_gettime(CLOCK_MONOTONIC, &t);
    s.ns = t.tv_sec * 1000000000LL + t.tv_nsec;
    s.cpu = vm_cpu(pid);
    read_text("/sys/kernel/debug/kvm/exits", text, sizeof text);
    s.exits = text[0] ? strtol(text, NULL, 10) : -1;
    return s;
}

/* --- what is counted --- */

static const struct {
    const char *event, *keys;
} counted[] = {{"raw_syscalls/sys_enter", "common_pid.execname,id.syscall"},
               {"kvm/kvm_exit", "exit_reason"}};

/* To the kernel's counters: begin, from nothing (":clear"), hold (":pause") or go away ("!"). */
static void counters(const char *what)
{
    char path[128], text[128];

    for (unsigned i = 0; i < sizeof counted / sizeof *counted; i++) {
        FILE *f;

        snprintf(path, sizeof path, TRACING "/events/%s/trigger", counted[i].event);
        snprintf(text, sizeof text, *what == '!' ? "!hist:keys=%s" : "hist:keys=%s%s",
                 counted[i].keys, what);
        f = fopen(path, "ae");
        if (!f || fputs(text, f) < 0 || fclose(f)) {
            perror(path);
            exit(1);
        }
    }
}

/* A line of a histogram is "{ keys } hitcount: N". */
static void show_counters(double requests)
{
    char path[128], line[512], *count;

    for (unsigned i = 0; i < sizeof counted / sizeof *counted; i++) {
        FILE *f;

        snprintf(path, sizeof path, TRACING "/events/%s/hist", counted[i].event);
        f = fopen(path, "re");
        while (f && fgets(line, sizeof line, f)) {
            count = strstr(line, "hitcount:");
            if (*line == '{' && count && !strstr(line, "blk-run")) {
                fprintf(stderr, "%8.3f %.*s\n", strtod(count + 9, NULL) / requests,
                        (int)(count - line), line);
            }
        }
        if (f) {
            fclose(f);
        }
    }
}

/* --- the loads --- */

/* fio's JSON has a rate for each direction; all but one are 0. */
static double rate_of(Vm *vm, const char *text)
{
    double sum = 0;

    for (const char *at = text; (at = strstr(at, "\"iops\" : ")); at += 9) {
        sum += strtod(at + 9, NULL);
    }
    if (sum <= 0) {
        fprintf(stderr, "%s\n", text);
        fail(vm, "the load failed");
    }
    return sum;
}

/* fio tells on the console when it begins; what it costs is looked at in the midst of its time. */
static void one_load(Vm *vm, const char *name, unsigned i, int seconds)
{
    static const struct timespec edge = {0, EDGE_NS};
    char line[LINE], text[sizeof vm->text];
    Sample from, to;
    double rate;

    snprintf(line, sizeof line,
             "run fio --name=load --filename=/dev/vda --direct=1 --ioengine=libaio --bs=4k --rw=%s "
             "--iodepth=%d --norandommap --time_based --runtime=%d --gtod_reduce=1 --thread "
             "--exec_prerun='echo load-begins >/dev/console; true' --output-format=json"
             " | grep '\"iops\" :'\n",
             loads[i].op, loads[i].depth, seconds);
    type(vm, line);
    wait_for(vm, "load-begins", text, sizeof text);
    nanosleep(&edge, NULL);
    if (counts) {
        counters("");
        counters(":clear");
    }
    from = sample(vm->pid);
    sleep((unsigned)seconds - 1);
    nanosleep(&edge, NULL);
    nanosleep(&edge, NULL);
    to = sample(vm->pid);
    if (counts) {
        counters(":pause");
    }
    wait_for(vm, vm_done, text, sizeof text);
    rate = rate_of(vm, text);
    if (counts) {
        fprintf(stderr, "%s %s %d\n", name, loads[i].op, loads[i].depth);
        show_counters(rate * (double)(to.ns - from.ns) / 1e9);
        counters("!");
    }
    printf("%s\t%s\t%d\t%.1f\t%lld\t%lld\t%lld\t%lld\t%ld\n", name, loads[i].op, loads[i].depth,
           rate, to.ns - from.ns, to.cpu.cpu_ns - from.cpu.cpu_ns,
           to.cpu.vcpu_ns - from.cpu.vcpu_ns,
           (to.cpu.guest_ticks - from.cpu.guest_ticks) * (1000000000LL / sysconf(_SC_CLK_TCK)),
           from.exits < 0 ? -1 : to.exits - from.exits);
    fflush(stdout);
}

/* All of it is written. */
static void make_disk(const char *path)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0600);

    memset(block, 0xa5, sizeof block);
    for (int i = 0; i < DISK_MB; i++) {
        if (fd < 0 || write(fd, block, sizeof block) != sizeof block) {
            perror(path);
            exit(1);
        }
    }
    close(fd);
}

/*
 * Each VMM finds the page cache in the same state: clean, with all of the file, or for O_DIRECT
 * with none of it (a page that is there makes the kernel hand a direct write to a worker).
 */
static void prepare_cache(const char *path, bool direct)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    fsync(fd);
    if (direct) {
        posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    }
    while (!direct && read(fd, block, sizeof block) > 0) {
    }
    close(fd);
}

static void one_vmm(char *line, int seconds, const char *disk)
{
    static Vm vm;
    const char *name;

    prepare_cache(disk, strstr(line, "cache.direct=on"));
    name = start_line(&vm, line);
    for (unsigned i = 0; i < sizeof loads / sizeof *loads; i++) {
        one_load(&vm, name, i, seconds);
    }
    kill(vm.pid, SIGKILL);
    waitpid(vm.pid, NULL, 0);
    close(vm.in);
    close(vm.out);
}

int main(int argc, char **argv)
{
    char line[LINE];
    FILE *plan;

    counts = argc == 5 && !strcmp(argv[4], "counts");
    if (argc != 4 + counts || atoi(argv[1]) < 1) {
        fprintf(stderr, "usage: blk-run SECONDS DISK PLAN [counts]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
    mount("tracefs", TRACING, "tracefs", 0, NULL);
    make_disk(argv[2]);
    plan = fopen(argv[3], "re");
    while (plan && fgets(line, sizeof line, plan)) {
        one_vmm(line, atoi(argv[1]), argv[2]);
    }
    return !plan;
}
