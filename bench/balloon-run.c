// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs the VMMs of a plan in turn, takes memory from each guest by its balloon and gives it back,
 * and says what that cost.
 *
 *     balloon-run RUNS SOCKET TARGET_MB FULL_MB PLAN
 *
 * A line of the plan is NAME, TAB, the words of the command with tabs between them; it serves QMP
 * on SOCKET. Output, a line per step: name, step (take, back, use), ms until the guest had done it,
 * us of CPU time of the VMM in all, us of its guest therein, MiB that its resident set grew by.
 * `use`: the guest touches what came back. The first line is "begin".
 */
#define _GNU_SOURCE
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "vm-run.h"

enum { POLL_MS = 20, SETTLE_MS = 1000, TICK_US = 10000, PROGRESS_MS = 30000 };

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* --- what it takes --- */

static double resident_mb(pid_t pid)
{
    char path[64];
    long pages[2] = {0};
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/statm", (int)pid);
    f = fopen(path, "re");
    if (f && fscanf(f, "%ld %ld", &pages[0], &pages[1]) != 2) {
        pages[1] = 0;
    }
    if (f) {
        fclose(f);
    }
    return (double)pages[1] / 256;
}

/* --- QMP --- */

static int qmp_connect(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
    for (int i = 0; connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0; i++) {
        if (i == 300) {
            perror(path);
            exit(1);
        }
        usleep(100000);
    }
    return fd;
}

/* The answer to a command; what else comes is dropped. */
static void qmp_ask(Vm *vm, int fd, const char *command, char *ret, size_t size)
{
    size_t len = 0;

    if (write(fd, command, strlen(command)) != (ssize_t)strlen(command)) {
        fail(vm, "QMP ends");
    }
    for (;;) {
        if (len + 2 > size || read(fd, ret + len, 1) != 1) {
            fail(vm, "QMP ends");
        }
        if (ret[len++] != '\n') {
            continue;
        }
        ret[len] = 0;
        if (strstr(ret, "\"error\"")) {
            fail(vm, ret);
        }
        if (strstr(ret, "\"return\"")) {
            return;
        }
        len = 0;
    }
}

static long long actual_mb(Vm *vm, int fd)
{
    char text[LINE], *at;

    qmp_ask(vm, fd, "{\"execute\": \"query-balloon\"}\n", text, sizeof text);
    at = strstr(text, "\"actual\":");
    return at ? atoll(at + strlen("\"actual\":")) >> 20 : -1;
}

/* --- steps --- */

typedef struct {
    double ms, resident;
    VmCpu cpu;
} Mark;

static Mark mark(const Vm *vm)
{
    return (Mark){now_ms(), resident_mb(vm->pid), vm_cpu(vm->pid)};
}

static void say_step(const char *name, const char *step, const Mark *from, const Mark *to,
                     double ms)
{
    printf("%s\t%s\t%.0f\t%lld\t%ld\t%.1f\n", name, step, ms,
           (to->cpu.cpu_ns - from->cpu.cpu_ns) / 1000,
           (to->cpu.guest_ticks - from->cpu.guest_ticks) * TICK_US, to->resident - from->resident);
    fflush(stdout);
}

/* What the VMM does after the guest is done counts, too. */
static void set_balloon(Vm *vm, int fd, const char *name, const char *step, int mb)
{
    char line[LINE], text[LINE];
    Mark from = mark(vm), to;
    double ms, told = from.ms;
    long long has;

    snprintf(line, sizeof line, "{\"execute\": \"balloon\", \"arguments\": {\"value\": %lld}}\n",
             (long long)mb << 20);
    qmp_ask(vm, fd, line, text, sizeof text);
    while ((has = actual_mb(vm, fd)) != mb) {
        if (now_ms() - from.ms > WAIT_S * 1000.0) {
            fail(vm, "the balloon does not move");
        }
        if (now_ms() - told > PROGRESS_MS) { /* where a host is emulated this takes minutes */
            told = now_ms();
            fprintf(stderr, "%s: %s: the guest has %lld MiB, %d are wanted\n", name, step, has, mb);
        }
        usleep(POLL_MS * 1000);
    }
    ms = now_ms() - from.ms;
    usleep(SETTLE_MS * 1000);
    to = mark(vm);
    say_step(name, step, &from, &to, ms);
}

static void hold(Vm *vm, int mb)
{
    char line[64], text[sizeof vm->text];

    snprintf(line, sizeof line, "hold %d\n", mb);
    type(vm, line);
    wait_for(vm, "AEROSTAT-DONE 0", text, sizeof text);
}

static void end(Vm *vm)
{
    char text[sizeof vm->text];
    int status;

    type(vm, "poweroff\n");
    wait_for(vm, vm_done, text, sizeof text);
    for (int i = 0; i < 100 && waitpid(vm->pid, &status, WNOHANG) == 0; i++) {
        usleep(100000);
    }
    kill(vm->pid, SIGKILL);
    close(vm->in);
    close(vm->out);
}

static void one_vmm(char *line, const char *socket_path, int target_mb, int full_mb)
{
    char text[LINE];
    const char *name;
    static Vm vm;
    Mark from, to;
    int fd;

    name = start_line(&vm, line);
    fd = qmp_connect(socket_path);
    qmp_ask(&vm, fd, "{\"execute\": \"qmp_capabilities\"}\n", text, sizeof text);
    hold(&vm, full_mb * 2 / 3); /* all that will be taken is there */
    hold(&vm, 0);
    set_balloon(&vm, fd, name, "take", target_mb);
    set_balloon(&vm, fd, name, "back", full_mb);
    from = mark(&vm);
    hold(&vm, full_mb * 2 / 3);
    to = mark(&vm);
    say_step(name, "use", &from, &to, to.ms - from.ms);
    close(fd);
    end(&vm);
    unlink(socket_path);
}

int main(int argc, char **argv)
{
    char line[LINE];

    if (argc != 6) {
        fprintf(stderr, "usage: balloon-run RUNS SOCKET TARGET_MB FULL_MB PLAN\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    printf("begin\n");
    fflush(stdout);
    for (int run = 0; run < atoi(argv[1]); run++) {
        FILE *plan = fopen(argv[5], "re");

        while (plan && fgets(line, sizeof line, plan)) {
            one_vmm(line, argv[2], atoi(argv[3]), atoi(argv[4]));
        }
        if (plan) {
            fclose(plan);
        }
    }
    return 0;
}
