/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Boots guests and measures them, on a machine with KVM; bench/boot.sh calls it.
 *
 *   boot-run [--first] RUNS PLAN
 *
 * A line of PLAN is NAME, tab, VARIANT, tab, command with words between tabs. For each line and run
 * one line is printed: NAME, VARIANT, RUN, then key=value words. "boot": the guest boots until its
 * init says AEROSTAT-INIT; wall time is taken at that moment and the VMM stopped, to read its CPU
 * time, KVM's counters (sums over all VMs: there must be no other) and its memory; then it runs on
 * to its end. "first": the VMM is started once more and ended at its first KVM_RUN, which a seccomp
 * filter reports, so nothing else it does is slowed down; CPU and wall time up to there. --first
 * does only this; any /dev/kvm that opens is good enough for it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MARKER       "AEROSTAT-INIT"
#define COUNTERS_DIR "/sys/kernel/debug/kvm"

enum { MAX_WORDS = 64, BOOT_LIMIT_S = 120, END_LIMIT_S = 20, LOG_SIZE = 1 << 18 };

typedef struct {
    const char *name, *variant;
    char *words[MAX_WORDS + 1];
} Job;

static int64_t clock_ns(clockid_t id)
{
    struct timespec t = {0};

    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t now_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

static int64_t cpu_ns(pid_t pid)
{
    clockid_t id;

    return clock_getcpuclockid(pid, &id) ? -1 : clock_ns(id);
}

/* --- what the kernel tells --- */

/* Every counter of KVM that is not zero. */
static void print_counters(void)
{
    struct dirent **list;
    int n = scandir(COUNTERS_DIR, &list, NULL, alphasort);

    for (int i = 0; i < n; i++) {
        char path[512];
        long long value = 0;

        snprintf(path, sizeof path, "%s/%s", COUNTERS_DIR, list[i]->d_name);
        FILE *f = list[i]->d_type == DT_REG ? fopen(path, "re") : NULL;
        if (f) {
            if (fscanf(f, "%lld", &value) == 1 && value != 0)
                printf(" kvm_%s=%lld", list[i]->d_name, value);
            fclose(f);
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
}

static void print_status(pid_t pid)
{
    char path[64], line[256];

    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        unsigned long long kb;
        if (sscanf(line, "VmHWM: %llu", &kb) == 1)
            printf(" hwm_kb=%llu", kb);
        else if (sscanf(line, "VmRSS: %llu", &kb) == 1)
            printf(" rss_kb=%llu", kb);
        else if (sscanf(line, "Threads: %llu", &kb) == 1)
            printf(" threads=%llu", kb);
    }
    if (f)
        fclose(f);
}

/* Guest RAM is what lies in mappings of 128 MiB and more with anything resident; the rest is the
 * VMM's own. */
static void print_maps(pid_t pid)
{
    char path[64], line[512];
    unsigned long long from, to, kb, ram = 0, own = 0, own_private = 0;
    bool is_ram = false;

    snprintf(path, sizeof path, "/proc/%d/smaps", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof line, f)) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            is_ram = to - from >= 128 << 20;
        else if (sscanf(line, "Rss: %llu", &kb) == 1)
            *(is_ram ? &ram : &own) += kb;
        else if (!is_ram && (sscanf(line, "Private_Clean: %llu", &kb) == 1 ||
                             sscanf(line, "Private_Dirty: %llu", &kb) == 1))
            own_private += kb;
    }
    if (f)
        fclose(f);
    printf(" ram_kb=%llu own_kb=%llu own_private_kb=%llu", ram, own, own_private);
}

/* --- boot --- */

static pid_t start(const Job *job, int out, bool traced)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    int null = open("/dev/null", O_RDWR);
    dup2(null, 0);
    dup2(out, 1);
    dup2(out, 2);
    if (traced) {
        struct sock_filter code[] = {
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 3),
            BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
            BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, KVM_RUN, 0, 1),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRACE),
            BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        };
        struct sock_fprog filter = {sizeof code / sizeof *code, code};

        ptrace(PTRACE_TRACEME, 0, 0, 0);
        raise(SIGSTOP);
        prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
            _exit(126);
    }
    execvp(job->words[0], job->words);
    _exit(127);
}

/* Reads until the marker; false at the end of the stream or of the patience. */
static bool wait_marker(int fd, char *log, size_t *ret_len)
{
    int64_t end = now_ns() + BOOT_LIMIT_S * INT64_C(1000000000);
    size_t len = 0;

    while (now_ns() < end) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, 1000) <= 0)
            continue;
        if (len > LOG_SIZE - 4096)
            len = 0;
        ssize_t n = read(fd, log + len, 4095);
        if (n <= 0)
            break;
        size_t from = len > sizeof MARKER ? len - sizeof MARKER : 0;
        len += (size_t)n;
        log[len] = '\0';
        for (size_t i = from; i < len; i++)
            if (log[i] == '\0')
                log[i] = ' ';
        *ret_len = len;
        if (strstr(log + from, MARKER))
            return true;
        usleep(500); /* a VMM writes byte by byte: let some gather, reading costs too */
    }
    return false;
}

/* Swallows what it still says and waits for its end, which is hastened after a while. */
static int finish(pid_t pid, int fd)
{
    int64_t end = now_ns() + END_LIMIT_S * INT64_C(1000000000);
    char rest[4096];
    int status;

    fcntl(fd, F_SETFL, O_NONBLOCK);
    while (waitpid(pid, &status, WNOHANG) == 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (now_ns() > end)
            kill(pid, SIGKILL);
        if (poll(&p, 1, 10) > 0 && read(fd, rest, sizeof rest) == 0)
            usleep(1000);
    }
    return status;
}

static bool boot(const Job *job)
{
    static char log[LOG_SIZE];
    size_t len = 0;
    int out[2];

    if (pipe2(out, O_CLOEXEC) < 0)
        return false;
    int64_t begin = now_ns();
    pid_t pid = start(job, out[1], false);
    close(out[1]);
    bool seen = wait_marker(out[0], log, &len);
    int64_t wall = now_ns() - begin;
    if (seen) {
        kill(pid, SIGSTOP);
        printf(" wall_ns=%lld cpu_ns=%lld", (long long)wall, (long long)cpu_ns(pid));
        print_counters();
        print_status(pid);
        print_maps(pid);
        kill(pid, SIGCONT);
    } else {
        kill(pid, SIGKILL);
    }
    int status = finish(pid, out[0]);
    close(out[0]);
    printf(" end=0x%x", (unsigned)status);
    if (!seen)
        fprintf(stderr, "boot-run: %s %s: no " MARKER ":\n%s\n", job->name, job->variant,
                len > 2000 ? log + len - 2000 : log);
    return seen;
}

/* --- the first KVM_RUN --- */

static void nothing(int sig)
{
    (void)sig;
}

static bool first_run(const Job *job)
{
    struct sigaction on_alarm = {.sa_handler = nothing}; /* without SA_RESTART: waitpid returns */
    int status, out[2];
    bool seen = false;

    if (pipe2(out, O_CLOEXEC) < 0)
        return false;
    sigaction(SIGALRM, &on_alarm, NULL);
    alarm(END_LIMIT_S);
    pid_t pid = start(job, out[1], true), tid;
    close(out[1]);
    waitpid(pid, &status, __WALL);
    ptrace(PTRACE_SETOPTIONS, pid, 0,
           PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACESECCOMP | PTRACE_O_EXITKILL);
    int64_t begin = now_ns(), cpu_begin = cpu_ns(pid);
    ptrace(PTRACE_CONT, pid, 0, 0);
    while (!seen && (tid = waitpid(-1, &status, __WALL)) > 0) {
        if (!WIFSTOPPED(status)) {
            if (tid == pid)
                break;
            continue;
        }
        int sig = WSTOPSIG(status);
        if (status >> 8 == (SIGTRAP | PTRACE_EVENT_SECCOMP << 8)) {
            printf(" first_cpu_ns=%lld first_wall_ns=%lld", (long long)(cpu_ns(pid) - cpu_begin),
                   (long long)(now_ns() - begin));
            seen = true;
        } else {
            ptrace(PTRACE_CONT, tid, 0, sig == SIGTRAP || sig == SIGSTOP ? 0 : sig);
        }
    }
    alarm(0);
    kill(pid, SIGKILL);
    while (waitpid(-1, &status, __WALL) > 0) {
    }
    close(out[0]);
    if (!seen)
        fprintf(stderr, "boot-run: %s %s: no KVM_RUN within %d s\n", job->name, job->variant,
                END_LIMIT_S);
    return seen;
}

/* --- plan --- */

static bool parse_job(char *line, Job *job)
{
    size_t n = 0;
    char *save, *name = strtok_r(line, "\t\n", &save);

    *job = (Job){.name = name, .variant = strtok_r(NULL, "\t\n", &save)};
    for (char *w; n < MAX_WORDS && (w = strtok_r(NULL, "\t\n", &save));)
        job->words[n++] = w;
    return n > 0;
}

static bool run_all(FILE *plan, int run, bool first_only)
{
    char line[8192];
    bool good = true;
    Job job;

    rewind(plan);
    while (fgets(line, sizeof line, plan)) {
        if (!parse_job(line, &job))
            continue;
        printf("%s\t%s\t%d\t", job.name, job.variant, run);
        good &= (first_only || boot(&job)) && first_run(&job);
        printf("\n");
        fflush(stdout);
    }
    return good;
}

int main(int argc, char **argv)
{
    bool first_only = argc == 4 && !strcmp(argv[1], "--first");
    FILE *plan = argc == 3 + first_only ? fopen(argv[argc - 1], "re") : NULL;
    bool good = true;

    if (!plan) {
        fprintf(stderr, "usage: boot-run [--first] RUNS PLAN\n");
        return 2;
    }
    for (int run = 1; run <= atoi(argv[argc - 2]); run++)
        good &= run_all(plan, run, first_only);
    fclose(plan);
    return good ? 0 : 1;
}
