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
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 64, LINE = 8192, WAIT_S = 90, DISK_MB = 256 };

static const struct {
    const char *op;
    int depth;
} loads[] = {{"read", 1}, {"read", 32}, {"write", 1}, {"write", 32}};

typedef struct {
    pid_t pid;
    int in, out;
    char text[1 << 16]; /* what came since the last wait */
    size_t len;
} Vm;

static void fail(Vm *vm, const char *what)
{
    fprintf(stderr, "blk-run: %s\n%.*s\n", what, (int)vm->len, vm->text);
    kill(vm->pid, SIGKILL);
    exit(1);
}

/* The text up to and with word; what is behind it stays for the next call. */
static void wait_for(Vm *vm, const char *word, char *ret, size_t size)
{
    time_t end = time(NULL) + WAIT_S;

    for (;;) {
        char *at = memmem(vm->text, vm->len, word, strlen(word));
        char *eol = at ? memchr(at, '\n', vm->len - (size_t)(at - vm->text)) : NULL;
        struct pollfd p = {.fd = vm->out, .events = POLLIN};
        ssize_t n;

        if (eol) {
            size_t used = (size_t)(eol + 1 - vm->text);

            snprintf(ret, size, "%.*s", (int)used, vm->text);
            memmove(vm->text, eol + 1, vm->len - used);
            vm->len -= used;
            return;
        }
        if (time(NULL) > end || poll(&p, 1, 1000) < 0) {
            fail(vm, "nothing comes any more");
        }
        if (!p.revents) {
            continue;
        }
        n = read(vm->out, vm->text + vm->len, sizeof vm->text - vm->len);
        if (n <= 0) {
            fail(vm, "the VMM ended");
        }
        vm->len += (size_t)n;
    }
}

static void start(Vm *vm, char **argv)
{
    int in[2], out[2];

    *vm = (Vm){0};
    if (pipe(in) < 0 || pipe(out) < 0 || (vm->pid = fork()) < 0) {
        perror("blk-run");
        exit(1);
    }
    if (vm->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[0]), close(in[1]), close(out[0]), close(out[1]);
        execvp(argv[0], argv);
        perror(argv[0]);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    vm->in = in[1];
    vm->out = out[0];
}

/* Fields 14, 15 and 43 of /proc/PID/stat (proc(5)): user time has the guest's in it. */
static void cpu_ticks(pid_t pid, long *ret_own, long *ret_guest)
{
    char path[64], text[2048] = "", *at;
    unsigned long long field[64] = {0};
    int fd, n = 3;

    snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    fd = open(path, O_RDONLY);
    if (fd >= 0 && read(fd, text, sizeof text - 1) > 0 && (at = strrchr(text, ')'))) {
        for (char *w = strtok(at + 1, " "); w && n < 64; w = strtok(NULL, " ")) {
            field[n++] = strtoull(w, NULL, 10);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
    *ret_guest = (long)field[43];
    *ret_own = (long)(field[14] + field[15] - field[43]);
}

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
