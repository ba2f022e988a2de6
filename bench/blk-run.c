// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs the VMMs of a plan in turn, gives each guest's agent the loads, and says what they cost.
 *
 *     blk-run RUNS SECONDS DISK PLAN
 *
 * A line of the plan is NAME, TAB, the words of the command with tabs between them. Output, a line
 * per load: name, operation, depth, requests, ns, then in ticks of 1/100 s the CPU time of the VMM
 * without its guest, and the guest's; its exits (KVM's counter, -1: not known).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vm-run.h"

enum { DISK_MB = 256 };

static const struct {
    const char *op;
    int depth;
} loads[] = {{"read", 1}, {"read", 32}, {"write", 1}, {"write", 32}};

static long exits(void)
{
    FILE *f = fopen("/sys/kernel/debug/kvm/exits", "re");
    long n = -1;

    if (f) {
        if (fscanf(f, "%ld", &n) != 1) {
            n = -1;
        }
        fclose(f);
    }
    return n;
}

static void one_load(Vm *vm, const char *name, unsigned i, const char *seconds)
{
    char line[LINE], text[sizeof vm->text];
    long own[2], guest[2], count[2];
    unsigned long long requests, ns;
    char *at;

    int n = snprintf(line, sizeof line, "run blk-load /dev/vda %s %d %s\n", loads[i].op,
                     loads[i].depth, seconds);
    cpu_ticks(vm->pid, &own[0], &guest[0]);
    count[0] = exits();
    if (write(vm->in, line, (size_t)n) != n) {
        fail(vm, "cannot type");
    }
    wait_for(vm, "AEROSTAT-DONE", text, sizeof text);
    cpu_ticks(vm->pid, &own[1], &guest[1]);
    count[1] = exits();
    at = strstr(text, "load requests=");
    if (!at || sscanf(at, "load requests=%llu ns=%llu", &requests, &ns) != 2) {
        fprintf(stderr, "%s\n", text);
        fail(vm, "the load failed");
    }
    printf("%s\t%s\t%d\t%llu\t%llu\t%ld\t%ld\t%ld\n", name, loads[i].op, loads[i].depth, requests,
           ns, own[1] - own[0], guest[1] - guest[0], count[0] < 0 ? -1 : count[1] - count[0]);
    fflush(stdout);
}

static void one_vmm(char *line, const char *seconds)
{
    char *argv[WORDS + 1] = {0}, text[sizeof((Vm *)0)->text];
    static Vm vm;
    int n = 0, status;

    line[strcspn(line, "\n")] = 0;
    for (char *w = strtok(line, "\t"); w && n < WORDS; w = strtok(NULL, "\t")) {
        argv[n++] = w;
    }
    start(&vm, argv + 1);
    wait_for(&vm, "AEROSTAT-READY", text, sizeof text);
    for (unsigned i = 0; i < sizeof loads / sizeof *loads; i++) {
        one_load(&vm, argv[0], i, seconds);
    }
    if (write(vm.in, "poweroff\n", 9) != 9) {
        fail(&vm, "cannot type");
    }
    wait_for(&vm, "AEROSTAT-DONE", text, sizeof text);
    for (int i = 0; i < 100 && waitpid(vm.pid, &status, WNOHANG) == 0; i++) {
        usleep(100000);
    }
    kill(vm.pid, SIGKILL);
    close(vm.in);
    close(vm.out);
}

/* All of it is written: the file system has its pages before the first VMM comes. */
static void make_disk(const char *path)
{
    static char block[1 << 20];
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);

    memset(block, 0xa5, sizeof block);
    for (int i = 0; i < DISK_MB; i++) {
        if (fd < 0 || write(fd, block, sizeof block) != sizeof block) {
            perror(path);
            exit(1);
        }
    }
    close(fd);
}

int main(int argc, char **argv)
{
    char line[LINE];

    if (argc != 5) {
        fprintf(stderr, "usage: blk-run RUNS SECONDS DISK PLAN\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
    make_disk(argv[3]);
    for (int run = 0; run < atoi(argv[1]); run++) {
        FILE *plan = fopen(argv[4], "re");

        while (plan && fgets(line, sizeof line, plan)) {
            one_vmm(line, argv[2]);
        }
        if (plan) {
            fclose(plan);
        }
    }
    unlink(argv[3]);
    return 0;
}
