/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the programs have in common that run VMMs of a plan inside of a KVM host (blk-run.c, balloon-run.c): a VMM with
 * its guest's agent on standard input and output, and the CPU time that it took.
 */
#ifndef AEROSTAT_BENCH_VM_RUN_H
#define AEROSTAT_BENCH_VM_RUN_H

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { WORDS = 64, LINE = 8192, WAIT_S = 300 };

typedef struct {
    pid_t pid;
    int in, out;
    char text[1 << 16]; /* what came since the last wait */
    size_t len;
} Vm;

static inline void fail(Vm *vm, const char *what)
{
    fprintf(stderr, "%s\n%.*s\n", what, (int)vm->len, vm->text);
    kill(vm->pid, SIGKILL);
    exit(1);
}

/* The text up to and with word; what is behind it stays for the next call. */
static inline void wait_for(Vm *vm, const char *word, char *ret, size_t size)
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

/* Fields 14, 15 and 43 of /proc/PID/stat (proc(5)): user time has the guest's in it. */
static inline void cpu_ticks(pid_t pid, long *ret_own, long *ret_guest)
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

#endif
