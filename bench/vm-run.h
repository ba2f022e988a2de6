/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs have in common that run VMMs of a plan inside of a KVM host (blk-run.c, balloon-run.c): a VMM with
 * its guest's agent on standard input and output, and the CPU time that it took.
 */
#ifndef AEROSTAT_BENCH_VM_RUN_H
#define AEROSTAT_BENCH_VM_RUN_H

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 64, LINE = 8192, WAIT_S = 300 };

typedef struct {
    pid_t pid;
    int in, out;
    char text[1 << 16]; /* what came since the last wait */
    size_t len;
} Vm;

static const char vm_done[] = "AEROSTAT-DONE"; /* the agent's last word to each command */

/* With the last words of the guest, and how the VMM ended, if it did. */
static inline void fail(Vm *vm, const char *what)
{
    struct pollfd p = {.fd = vm->out, .events = POLLIN};
    int status;

    while (vm->len < sizeof vm->text && poll(&p, 1, 0) > 0) {
        ssize_t n = read(vm->out, vm->text + vm->len, sizeof vm->text - vm->len);

        if (n <= 0) {
            break;
        }
        vm->len += (size_t)n;
    }
    fprintf(stderr, "%s\n%.*s\n", what, (int)vm->len, vm->text);
    if (waitpid(vm->pid, &status, WNOHANG) == vm->pid) {
        fprintf(stderr, "the VMM ended, wait status %#x\n", (unsigned)status);
    }
    kill(vm->pid, SIGKILL);
    exit(1);
}

/* The text up to and with word; what is behind it stays for the next call. */
static inline void wait_for(Vm *vm, const char *word, char *ret, size_t size)
{
    time_t end = time(NULL) + WAIT_S;

    for (;;) {
        char *at = memmem(vm->text, vm->len, word, strlen(word));
        char *end_word = memmem(vm->text, vm->len, vm_done, strlen(vm_done));
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
        if (!at && end_word && memchr(end_word, '\n', vm->len - (size_t)(end_word - vm->text))) {
            fail(vm, "a command failed");
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

static inline void type(Vm *vm, const char *line)
{
    ssize_t n = (ssize_t)strlen(line);

    if (write(vm->in, line, (size_t)n) != n) {
        fail(vm, "cannot type");
    }
}

static inline void start(Vm *vm, char **argv)
{
    int in[2], out[2];

    *vm = (Vm){0};
    if (pipe(in) < 0 || pipe(out) < 0 || (vm->pid = fork()) < 0) {
        perror("pipe");
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

/* A line of a plan: starts what it says and waits for the guest. Returns the name, which is in line. */
static inline const char *start_line(Vm *vm, char *line)
{
    char *argv[WORDS + 1] = {0}, text[sizeof vm->text];
    int n = 0;

    line[strcspn(line, "\n")] = 0;
    for (char *w = strtok(line, "\t"); w && n < WORDS; w = strtok(NULL, "\t")) {
        argv[n++] = w;
    }
    start(vm, argv + 1);
    wait_for(vm, "AEROSTAT-READY", text, sizeof text);
    return argv[0];
}

typedef struct {
    long long cpu_ns, vcpu_ns; /* of all threads; of those that run the guest */
    long guest_ticks;          /* 1 / sysconf(_SC_CLK_TCK) s; part of both */
} VmCpu;

static inline void read_text(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, size - 1);

    ret[n < 0 ? 0 : n] = 0;
    if (fd >= 0) {
        close(fd);
    }
}

/* Field 43 of proc(5)'s stat. */
static inline long guest_ticks(const char *path)
{
    char text[2048], *at, *w;
    int n = 3;

    read_text(path, text, sizeof text);
    at = strrchr(text, ')');
    for (w = at ? strtok(at + 1, " ") : NULL; w && n < 43; w = strtok(NULL, " ")) {
        n++;
    }
    return w ? strtol(w, NULL, 10) : 0;
}

/* CPU time of one thread, to which of the two it belongs. */
static inline void add_thread(pid_t pid, const char *tid, VmCpu *s)
{
    char path[600], text[128];
    long guest;
    long long ns;

    snprintf(path, sizeof path, "/proc/%d/task/%s/schedstat", (int)pid, tid);
    read_text(path, text, sizeof text);
    ns = strtoll(text, NULL, 10);
    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", (int)pid, tid);
    guest = guest_ticks(path);
    s->cpu_ns += ns;
    s->vcpu_ns += guest > 0 ? ns : 0;
    s->guest_ticks += guest;
}

static inline VmCpu vm_cpu(pid_t pid)
{
    char path[64];
    VmCpu s = {0};
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (e->d_name[0] != '.') {
            add_thread(pid, e->d_name, &s);
        }
    }
    if (dir) {
        closedir(dir);
    }
    return s;
}

#endif
