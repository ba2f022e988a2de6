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

#include "vm-counts.h"

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
    Sample s;

    clock_gettime(CLOCK_MONOTONIC, &t);
    s.ns = t.tv_sec * 1000000000LL + t.tv_nsec;
    s.cpu = vm_cpu(pid);
    s.exits = vm_exits();
    return s;
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
        vm_counters("");
        vm_counters(":clear");
    }
    from = sample(vm->pid);
    sleep((unsigned)seconds - 1);
    nanosleep(&edge, NULL);
    nanosleep(&edge, NULL);
    to = sample(vm->pid);
    if (counts) {
        vm_counters(":pause");
    }
    wait_for(vm, vm_done, text, sizeof text);
    rate = rate_of(vm, text);
    if (counts) {
        fprintf(stderr, "%s %s %d\n", name, loads[i].op, loads[i].depth);
        vm_counters_show(rate * (double)(to.ns - from.ns) / 1e9, "blk-run");
        vm_counters("!");
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
    mount("tracefs", VM_TRACING, "tracefs", 0, NULL);
    make_disk(argv[2]);
    plan = fopen(argv[3], "re");
    while (plan && fgets(line, sizeof line, plan)) {
        one_vmm(line, atoi(argv[1]), argv[2]);
    }
    return !plan;
}
