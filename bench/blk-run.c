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
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TRACING "/sys/kernel/tracing"

enum { WORDS = 64, LINE = 8192, WAIT_S = 90, DISK_MB = 256, EDGE_NS = 200 * 1000 * 1000 };

static const struct {
    const char *op;
    int depth;
} loads[] = {{"randread", 1}, {"randread", 32}, {"randwrite", 1}, {"randwrite", 32}};

static bool counts;
static char block[1 << 20];

static const char done[] = "AEROSTAT-DONE"; /* the agent's last word to each command */

typedef struct {
    pid_t pid;
    int in, out;
    char text[1 << 16]; /* what came since the last wait */
    size_t len;
} Vm;

typedef struct {
    long long ns, cpu_ns, vcpu_ns;
    long guest_ticks, exits;
} Sample;

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
        if (!at && strcmp(word, done) && memmem(vm->text, vm->len, done, strlen(done))) {
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

static void type(Vm *vm, const char *line)
{
    ssize_t n = (ssize_t)strlen(line);

    if (write(vm->in, line, (size_t)n) != n) {
        fail(vm, "cannot type");
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

/* --- what it costs --- */

static void read_text(const char *path, char *ret, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, ret, size - 1);

    ret[n < 0 ? 0 : n] = 0;
    if (fd >= 0) {
        close(fd);
    }
}

/* Field 43 of proc(5)'s stat. */
static long guest_ticks(const char *path)
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
static void add_thread(pid_t pid, const char *tid, Sample *s)
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

static Sample sample(pid_t pid)
{
    char path[64], text[64];
    struct timespec t;
    Sample s = {0};
    DIR *dir;

    clock_gettime(CLOCK_MONOTONIC, &t);
    s.ns = t.tv_sec * 1000000000LL + t.tv_nsec;
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
    wait_for(vm, done, text, sizeof text);
    rate = rate_of(vm, text);
    if (counts) {
        fprintf(stderr, "%s %s %d\n", name, loads[i].op, loads[i].depth);
        show_counters(rate * (double)(to.ns - from.ns) / 1e9);
        counters("!");
    }
    printf("%s\t%s\t%d\t%.1f\t%lld\t%lld\t%lld\t%lld\t%ld\n", name, loads[i].op, loads[i].depth,
           rate, to.ns - from.ns, to.cpu_ns - from.cpu_ns, to.vcpu_ns - from.vcpu_ns,
           (to.guest_ticks - from.guest_ticks) * (1000000000LL / sysconf(_SC_CLK_TCK)),
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
    char *argv[WORDS + 1] = {0}, text[sizeof((Vm *)0)->text];
    static Vm vm;
    int n = 0;

    prepare_cache(disk, strstr(line, "cache.direct=on"));
    line[strcspn(line, "\n")] = 0;
    for (char *w = strtok(line, "\t"); w && n < WORDS; w = strtok(NULL, "\t")) {
        argv[n++] = w;
    }
    start(&vm, argv + 1);
    wait_for(&vm, "AEROSTAT-READY", text, sizeof text);
    for (unsigned i = 0; i < sizeof loads / sizeof *loads; i++) {
        one_load(&vm, argv[0], i, seconds);
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
