// SPDX-License-Identifier: BSD-2-Clause
/*
 * Runs the VMMs of a plan in turn, each with a network card on the tap vm0, lets iperf3 and pings
 * run between this host and each guest, and says what that costs.
 *
 *     net-run SECONDS STREAMS IPERF PLAN [counts]
 *
 * A line of the plan is NAME, TAB, the words of the command with tabs between them. IPERF is the
 * host's iperf3. Output, a line per load: name, load (to-guest, to-host, ping), what came of it
 * (bytes by the tap's counters, or round trips), then, of the same part of the load: ns, ns of CPU
 * time of the VMM, of these in vCPU threads, of these in the guest (which the kernel counts by
 * ticks: about), KVM's count of exits (-1: not known), and for pings the median round trip in ns.
 * With "counts", standard error has system calls by thread and exits by reason, for 64 KiB or one
 * round trip; that takes time.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/ip_icmp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "vm-counts.h"

#define TAP      "vm0"
#define HOST_IP  "10.9.0.1"
#define GUEST_IP "10.9.0.2"

enum { MAX_PINGS = 1 << 16, PING_WAIT_MS = 5000, CHUNK = 65536, WARM_S = 3 };

/*
 * TCP makes frames as large as what it sends in a millisecond, and its window stops to grow early
 * when round trips become longer. On an emulated host that would be frames of two segments, and now
 * and then a tenth of the throughput, whoever the VMM is.
 */
#define LARGE_FRAMES "/proc/sys/net/ipv4/tcp_min_tso_segs"
#define SLOW_START   "/sys/module/tcp_cubic/parameters/hystart"

typedef struct {
    long long ns, bytes;
    long exits;
    VmCpu cpu;
} Sample;

static bool counting;

/* --- the host's end --- */

static void must(bool ok, const char *what)
{
    if (!ok) {
        perror(what);
        exit(1);
    }
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "we");

    must(f && fputs(text, f) >= 0 && fclose(f) == 0, path);
}

static void bring_up(const char *ifname, const char *ip)
{
    struct ifreq ifr = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&ifr.ifr_addr;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    snprintf(ifr.ifr_name, IFNAMSIZ, "%s", ifname);
    *in = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(ip)};
    must(ioctl(s, SIOCSIFADDR, &ifr) == 0, ifname);
    in->sin_addr.s_addr = inet_addr("255.255.255.0");
    must(ioctl(s, SIOCSIFNETMASK, &ifr) == 0 && ioctl(s, SIOCGIFFLAGS, &ifr) == 0, ifname);
    ifr.ifr_flags |= IFF_UP;
    must(ioctl(s, SIOCSIFFLAGS, &ifr) == 0, ifname);
    close(s);
}

/* What the tap carried both ways: the acknowledgements of a stream are hardly anything. */
static long long tap_bytes(void)
{
    char text[4096], *at;
    long long in = 0, out = 0;

    read_text("/proc/net/dev", text, sizeof text);
    at = strstr(text, TAP ":");
    must(at && sscanf(at, TAP ": %lld %*u %*u %*u %*u %*u %*u %*u %lld", &in, &out) == 2, TAP);
    return in + out;
}

static long long now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000LL + t.tv_nsec;
}

static Sample sample(pid_t pid)
{
    Sample s = {.ns = now_ns(), .bytes = tap_bytes(), .exits = vm_exits(), .cpu = vm_cpu(pid)};

    return s;
}

static void say_load(const char *name, const char *load, double amount, const Sample *from,
                     const Sample *to, long long median)
{
    printf("%s\t%s\t%.0f\t%lld\t%lld\t%lld\t%lld\t%ld\t%lld\n", name, load, amount,
           to->ns - from->ns, to->cpu.cpu_ns - from->cpu.cpu_ns,
           to->cpu.vcpu_ns - from->cpu.vcpu_ns,
           (to->cpu.guest_ticks - from->cpu.guest_ticks) * (1000000000LL / sysconf(_SC_CLK_TCK)),
           from->exits < 0 ? -1 : to->exits - from->exits, median);
    fflush(stdout);
    if (counting) {
        fprintf(stderr, "%s %s\n", name, load);
        vm_counters_show(median ? amount : amount / CHUNK, "net-run");
        vm_counters("!");
    }
}

static Sample begin(pid_t pid)
{
    if (counting) {
        vm_counters("");
        vm_counters(":clear");
    }
    return sample(pid);
}

static Sample end(pid_t pid)
{
    Sample s = sample(pid);

    if (counting) {
        vm_counters(":pause");
    }
    return s;
}

/* --- streams --- */

static pid_t start_iperf(const char *iperf, bool to_host, int seconds, int streams)
{
    char time_text[16], streams_text[16];
    char *argv[] = {(char *)iperf,         "-c", GUEST_IP, "-t", time_text, "-P", streams_text,
                    to_host ? "-R" : NULL, NULL};
    pid_t pid;

    snprintf(time_text, sizeof time_text, "%d", seconds);
    snprintf(streams_text, sizeof streams_text, "%d", streams);
    pid = fork();
    if (pid == 0) {
        dup2(2, 1);
        execv(iperf, argv);
        perror(iperf);
        _exit(127);
    }
    return pid;
}

/* What it costs is looked at when the stream has come to its speed. */
static void one_stream(Vm *vm, const char *name, const char *iperf, bool to_host, int seconds,
                       int streams)
{
    int warm = seconds < WARM_S ? seconds : WARM_S, status;
    pid_t pid = start_iperf(iperf, to_host, warm + seconds + 1, streams);
    Sample from, to;

    sleep((unsigned)warm);
    from = begin(vm->pid);
    sleep((unsigned)seconds);
    to = end(vm->pid);
    if (waitpid(pid, &status, 0) != pid || status != 0 || to.bytes == from.bytes) {
        fail(vm, "iperf3 failed");
    }
    say_load(name, to_host ? "to-host" : "to-guest", (double)(to.bytes - from.bytes), &from, &to,
             0);
}

/* --- pings --- */

static uint16_t checksum(const void *data, size_t len)
{
    const uint16_t *words = data;
    uint32_t sum = 0;

    for (size_t i = 0; i < len / 2; i++) {
        sum += words[i];
    }
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t) ~(sum + (sum >> 16));
}

/* Waits for the answer to the echo request number seq. */
static void wait_echo(Vm *vm, int s, uint16_t seq)
{
    uint8_t buf[256];
    long long until = now_ns() + PING_WAIT_MS * 1000000LL;

    for (;;) {
        struct pollfd p = {.fd = s, .events = POLLIN};
        const struct iphdr *ip = (const struct iphdr *)buf;
        const struct icmphdr *icmp;
        ssize_t n;

        if (now_ns() > until || poll(&p, 1, PING_WAIT_MS) <= 0) {
            fail(vm, "no answer to a ping");
        }
        n = recv(s, buf, sizeof buf, 0);
        icmp = (const struct icmphdr *)(buf + ip->ihl * 4);
        if (n >= (ssize_t)(ip->ihl * 4 + sizeof *icmp) && icmp->type == ICMP_ECHOREPLY &&
            icmp->un.echo.sequence == seq) {
            return;
        }
    }
}

/* One round trip of 64 bytes, in ns. */
static long long ping(Vm *vm, int s, uint16_t seq)
{
    struct {
        struct icmphdr hdr;
        uint8_t data[56];
    } echo = {.hdr = {.type = ICMP_ECHO, .un.echo.sequence = seq}};
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = inet_addr(GUEST_IP)};
    long long at = now_ns();

    echo.hdr.checksum = checksum(&echo, sizeof echo);
    if (sendto(s, &echo, sizeof echo, 0, (struct sockaddr *)&to, sizeof to) != sizeof echo) {
        fail(vm, "cannot ping");
    }
    wait_echo(vm, s, seq);
    return now_ns() - at;
}

static int compare(const void *a, const void *b)
{
    long long x = *(const long long *)a, y = *(const long long *)b;

    return x < y ? -1 : x > y;
}

/* One after another, 10 ms from each to the next: the guest and the VMM sleep in between. */
static void pings(Vm *vm, const char *name, int seconds)
{
    static const struct timespec gap = {0, 10 * 1000 * 1000};
    static long long took[MAX_PINGS];
    int s = socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
    long long until;
    unsigned n = 0;
    Sample from, to;

    must(s >= 0, "socket");
    ping(vm, s, 0xffff); /* neighbours know each other now */
    from = begin(vm->pid);
    for (until = now_ns() + seconds * 1000000000LL; now_ns() < until && n < MAX_PINGS - 1; n++) {
        took[n] = ping(vm, s, (uint16_t)n);
        nanosleep(&gap, NULL);
    }
    to = end(vm->pid);
    close(s);
    qsort(took, n, sizeof *took, compare);
    say_load(name, "ping", n, &from, &to, took[n / 2]);
}

/* --- VMMs --- */

static void ask(Vm *vm, const char *command)
{
    char text[sizeof vm->text];

    type(vm, command);
    wait_for(vm, "AEROSTAT-DONE 0", text, sizeof text);
}

static void one_vmm(char *line, const char *iperf, int seconds, int streams)
{
    static Vm vm;
    const char *name = start_line(&vm, line);

    bring_up(TAP, HOST_IP);
    ask(&vm, "run ip link set lo up; ip addr add " GUEST_IP "/24 dev eth0; ip link set eth0 up\n");
    ask(&vm, "run echo 32 >" LARGE_FRAMES "; echo 0 >" SLOW_START "; iperf3 -s -D\n");
    pings(&vm, name, seconds);
    one_stream(&vm, name, iperf, false, seconds, streams);
    one_stream(&vm, name, iperf, true, seconds, streams);
    kill(vm.pid, SIGKILL);
    waitpid(vm.pid, NULL, 0);
    close(vm.in);
    close(vm.out);
}

int main(int argc, char **argv)
{
    char line[LINE];
    FILE *plan;

    counting = argc == 6 && !strcmp(argv[5], "counts");
    if (argc != 5 + counting || atoi(argv[1]) < 1 || atoi(argv[2]) < 1) {
        fprintf(stderr, "usage: net-run SECONDS STREAMS IPERF PLAN [counts]\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
    mount("tracefs", VM_TRACING, "tracefs", 0, NULL);
    must(unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0, "unshare");
    write_text(LARGE_FRAMES, "32");
    plan = fopen(argv[4], "re");
    while (plan && fgets(line, sizeof line, plan)) {
        one_vmm(line, argv[3], atoi(argv[1]), atoi(argv[2]));
    }
    return !plan;
}
