/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card with two queue pairs on a tap, in a network namespace of the test's own
 * (configs/net-tap.cfg): offloads between Linux as the guest and Linux as the host, 100 MiB each
 * way on both pairs, each byte of them checked, the cable, and a capture of all of it, which goes
 * to stdout for tests/guest/pcap-check.py.
 */
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/guest/groups.h"
#include "tests/guest/net.h"

#define HOST_IP 0x0a090001
#define HOST    "10.9.0.1"

/* MiB of a stream, of which each of the guest's processors has one. */
enum { STREAMS = 2, STREAM_MB = 50, CHUNK = 1 << 18 };

/* --- the host's end --- */

/* TCP makes frames as large as what it sends in a millisecond, which on a slow host is little, and
 * ends its slow start too early where round trips differ much. */
#define LARGE_FRAMES "/proc/sys/net/ipv4/tcp_min_tso_segs"
#define SLOW_START   "/sys/module/tcp_cubic/parameters/hystart"

static void let_frames_be_large(void)
{
    FILE *f = fopen(LARGE_FRAMES, "we");

    if (f) { /* else they are as they are */
        fputs("32", f);
        fclose(f);
    }
}

typedef struct {
    bool up; /* from the guest */
    int listener;
} Service;

/* xorshift64, as the guest's agent has it. */
static void next_words(uint64_t *words, size_t n, uint64_t *x)
{
    for (size_t i = 0; i < n; i++) {
        *x ^= *x << 13;
        *x ^= *x >> 7;
        *x ^= *x << 17;
        words[i] = *x;
    }
}

static bool take_stream(int s, uint64_t seed)
{
    g_autofree uint64_t *got = g_malloc(CHUNK), *want = g_malloc(CHUNK);

    for (size_t left = STREAM_MB * MiB; left > 0; left -= CHUNK) {
        next_words(want, CHUNK / sizeof *want, &seed);
        if (net_read_all(s, got, CHUNK) != CHUNK || memcmp(got, want, CHUNK) != 0) {
            return false;
        }
    }
    net_write_all(s, "", 1);
    return true;
}

/* The guest answers with a byte when it has got all, and it was right. */
static bool give_stream(int s, uint64_t seed)
{
    g_autofree uint64_t *chunk = g_malloc(CHUNK);
    char end;

    for (size_t left = STREAM_MB * MiB; left > 0; left -= CHUNK) {
        next_words(chunk, CHUNK / sizeof *chunk, &seed);
        net_write_all(s, chunk, CHUNK);
    }
    return net_read_all(s, &end, 1) == 1;
}

/* The next connection; what comes of it is not NULL when all was right. */
static gpointer serve(gpointer opaque)
{
    const Service *service = opaque;
    int s = accept(service->listener, NULL, NULL);
    uint64_t seed;
    bool ok = net_read_all(s, &seed, sizeof seed) == sizeof seed &&
              (service->up ? take_stream(s, seed) : give_stream(s, seed));

    close(s);
    return GINT_TO_POINTER(ok);
}

/* --- steps --- */

static void check_features(Vm *vm)
{
    static const unsigned wanted[] = {0, 1, 7, 8, 11, 12, 22}; /* CSUM, TSO of both ways, MQ */
    g_autofree char *bits = net_ask(vm, "run cat /sys/class/net/eth0/device/features");
    g_autofree char *queues = net_ask(vm, "run ls /sys/class/net/eth0/queues");

    for (unsigned i = 0; i < G_N_ELEMENTS(wanted); i++) {
        if (strlen(bits) < 64 || bits[wanted[i]] != '1') {
            fail("Linux has not taken feature %u: %s", wanted[i], bits);
        }
    }
    net_expect_text(queues, "rx-1");
    net_expect_text(queues, "tx-1");
    passed("checksums, segmentation and two queue pairs are agreed on");
}

/* Interrupts of a queue so far. */
static unsigned interrupts(Vm *vm, const char *queue)
{
    g_autofree char *text =
        net_ask(vm, "run awk '/virtio[0-9]*-%s$/ {print \"n=\" $2 + $3}' /proc/interrupts", queue);
    const char *at = strstr(text, "n=");

    if (!at) {
        fail("%s has no interrupt", queue);
    }
    return (unsigned)strtoul(at + 2, NULL, 10);
}

typedef struct {
    uint64_t frames, bytes;
    unsigned queue[STREAMS];
    double at;
} Seen;

static Seen look(Vm *vm, const char *way)
{
    g_autofree char *frames = g_strconcat(way, "-frames", NULL);
    g_autofree char *bytes = g_strconcat(way, "-bytes", NULL);

    return (Seen){net_counter(vm, frames),
                  net_counter(vm, bytes),
                  {interrupts(vm, "input.0"), interrupts(vm, "input.1")},
                  now()};
}

/* Both pairs had their part: a tap gives a flow to the pair that it comes from. */
static void judge(Vm *vm, const char *way, const Seen *before, const char *what)
{
    Seen after = look(vm, way);
    uint64_t frames = after.frames - before->frames, bytes = after.bytes - before->bytes;

    if (bytes < STREAMS * STREAM_MB * MiB) {
        fail("%s: the netdev counts %" G_GUINT64_FORMAT " bytes only", what, bytes);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        if (after.queue[i] == before->queue[i]) {
            fail("%s: pair %u has had nothing to do", what, i);
        }
    }
    passed("%d MiB %s: %.1f MB/s, %" G_GUINT64_FORMAT " bytes a frame, interrupts %u and %u",
           STREAMS * STREAM_MB, what, (double)bytes / 1e6 / (after.at - before->at), bytes / frames,
           after.queue[0] - before->queue[0], after.queue[1] - before->queue[1]);
}

/* A flow on each of the guest's processors, so on each queue pair. */
static void run_streams(Vm *vm, bool up)
{
    const char *what = up ? "from the guest" : "to the guest";
    Service service = {.up = up};
    GThread *t[STREAMS];
    unsigned port;
    Seen before;

    service.listener = net_listen(HOST_IP, &port);
    for (unsigned i = 0; i < STREAMS; i++) {
        t[i] = g_thread_new("serve", serve, &service);
    }
    before = look(vm, up ? "tx" : "rx");
    g_free(net_ask(vm, "streams %s " HOST " %u %d", up ? "up" : "down", port, STREAM_MB));
    for (unsigned i = 0; i < STREAMS; i++) {
        if (!g_thread_join(t[i])) {
            fail("%s: a stream is not what was sent", what);
        }
    }
    close(service.listener);
    judge(vm, up ? "tx" : "rx", &before, what);
}

static void no_errors(Vm *vm)
{
    static const char *const names[] = {"tx-errors", "rx-errors"};
    g_autofree char *bad =
        net_ask(vm, "run awk '/^Tcp: [0-9]/ {print \"bad=\" $NF}' /proc/net/snmp");

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        if (net_counter(vm, names[i]) != 0) {
            fail("%s is not 0", names[i]);
        }
    }
    net_expect_text(bad, "bad=0\n"); /* InCsumErrors */
}

/* The line that pcap-check.py waits for: how many frames there are at least, and the file. */
static void give_capture(const char *path, uint64_t frames)
{
    g_autofree char *data = NULL, *text = NULL;
    gsize len;

    if (!g_file_get_contents(path, &data, &len, NULL)) {
        fail("no capture");
    }
    text = g_base64_encode((guchar *)data, len);
    printf("PCAP %" G_GUINT64_FORMAT " %s\n", frames, text);
    fflush(stdout);
}

/* The capture has the beginning of each frame: all headers, and not 200 MB. */
void group_net_tap(void)
{
    g_autofree char *dir = g_dir_make_tmp("guest-tap-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "net0.pcap", NULL);
    g_autofree char *dump =
        g_strdup_printf("filter-dump,id=dump0,netdev=net0,maxlen=200,file=%s", path);
    uint64_t frames;
    Vm *vm;

    net_own_network();
    let_frames_be_large();
    vm =
        vm_start("-readconfig", paths->config, "-object", dump, "-trace", "kvm_triple_fault", NULL);
    net_bring_up("vm0", HOST_IP);
    vm_wait_ready(vm);
    g_free(net_ask(vm, "run ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up; "
                       "echo 32 >" LARGE_FRAMES "; echo 0 >" SLOW_START));
    check_features(vm);
    run_streams(vm, false);
    run_streams(vm, true);
    net_pull_cable(vm, HOST);
    no_errors(vm);
    frames = net_counter(vm, "tx-frames") + net_counter(vm, "rx-frames");
    vm_power_off(vm);
    give_capture(path, frames);
    g_unlink(path);
    g_rmdir(dir);
}
