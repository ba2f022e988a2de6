/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network card with two queue pairs on a tap, in a network namespace of the test's own
 * (configs/net-tap.cfg): offloads between Linux as the guest and Linux as the host, 100 MB to the
 * guest and 20 MB from it on both pairs, the cable, and a capture of all of it, which goes to
 * stdout for tests/guest/pcap-check.py.
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

/* A stream has for each block a line and the block. Up: an emulated host takes 0.5 MB/s when the
 * machine is busy, for the guest's nc writes 8 KB at a time; 100 MB would not fit in the test. */
enum { STREAMS = 2, BLOCK = 1000000, DOWN = 50, UP = 5 };

static uint8_t block[BLOCK];

/* --- the host's end --- */

static void make_block(void)
{
    uint64_t x = 88172645463325252;

    for (size_t i = 0; i < sizeof block; i++) { /* xorshift64 */
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        block[i] = (uint8_t)x;
    }
}

/* MD5 of a stream of n blocks. */
static char *stream_sum(unsigned n)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_MD5);
    char *text;

    for (unsigned i = 1; i <= n; i++) {
        g_autofree char *line = g_strdup_printf("block %u\n", i);

        g_checksum_update(sum, (guchar *)line, (gssize)strlen(line));
        g_checksum_update(sum, block, sizeof block);
    }
    text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
}

/* GET /block is answered with the block, others with a stream. */
static gpointer answer_http(gpointer opaque)
{
    static const char head[] = "HTTP/1.0 200 OK\r\n\r\n";
    int c = GPOINTER_TO_INT(opaque);
    char request[2048] = "";

    if (read(c, request, sizeof request - 1) > 0) {
        bool one = g_str_has_prefix(request, "GET /block ");

        net_write_all(c, head, strlen(head));
        for (unsigned i = 1; i <= (one ? 1 : DOWN); i++) {
            g_autofree char *line = g_strdup_printf("block %u\n", i);

            net_write_all(c, line, one ? 0 : strlen(line));
            net_write_all(c, block, sizeof block);
        }
    }
    close(c);
    return NULL;
}

static gpointer serve_http(gpointer opaque)
{
    int s = GPOINTER_TO_INT(opaque), c;

    while ((c = accept(s, NULL, NULL)) >= 0) {
        g_thread_unref(g_thread_new("answer", answer_http, GINT_TO_POINTER(c)));
    }
    return NULL;
}

/* The MD5 of all that comes by the next connection. */
static gpointer take_stream(gpointer opaque)
{
    int s = GPOINTER_TO_INT(opaque), c = accept(s, NULL, NULL);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_MD5);
    uint8_t *buf = g_malloc(BLOCK);
    char *text;
    size_t n;

    while ((n = net_read_all(c, buf, BLOCK)) > 0) {
        g_checksum_update(sum, buf, (gssize)n);
    }
    close(c);
    g_free(buf);
    text = g_strdup(g_checksum_get_string(sum));
    g_checksum_free(sum);
    return text;
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

/* Frames were large, and both pairs had their part: a tap gives a flow to the pair that it comes
 * from. */
static void judge(Vm *vm, const char *way, const Seen *before, unsigned blocks, const char *what)
{
    Seen after = look(vm, way);
    uint64_t frames = after.frames - before->frames, bytes = after.bytes - before->bytes;

    if (bytes < (uint64_t)STREAMS * blocks * BLOCK) {
        fail("%s: the netdev counts %" G_GUINT64_FORMAT " bytes only", what, bytes);
    }
    if (bytes / frames < 2000) {
        fail("%s: frames have %" G_GUINT64_FORMAT " bytes: segmentation is not left to the device",
             what, bytes / frames);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        if (after.queue[i] - before->queue[i] < 10) {
            fail("%s: pair %u has had nothing to do", what, i);
        }
    }
    passed("%d MB %s: %.1f MB/s, %" G_GUINT64_FORMAT " bytes a frame, interrupts %u and %u",
           STREAMS * blocks, what, (double)bytes / 1e6 / (after.at - before->at), bytes / frames,
           after.queue[0] - before->queue[0], after.queue[1] - before->queue[1]);
}

/* A flow on each of the guest's processors, so on each queue pair. */
static void fetch_streams(Vm *vm, unsigned port)
{
    Seen before = look(vm, "rx");
    g_autofree char *want = stream_sum(DOWN);
    g_autofree char *sums =
        net_ask(vm,
                "run for cpu in 1 2; do taskset $cpu wget -q -O - http://" HOST ":%u/stream | "
                "md5sum >/tmp/sum$cpu & done; wait; cat /tmp/sum1 /tmp/sum2",
                port);
    g_autofree char *both = g_strdup_printf("%s  -\n%s  -\n", want, want);

    net_expect_text(sums, both);
    judge(vm, "rx", &before, DOWN, "to the guest");
}

static void send_streams(Vm *vm, unsigned http)
{
    g_autofree char *want = stream_sum(UP);
    unsigned port;
    int s = net_listen(HOST_IP, &port);
    GThread *t[STREAMS];
    Seen before;

    g_free(net_ask(vm, "run wget -q -O /tmp/block http://" HOST ":%u/block", http));
    for (unsigned i = 0; i < STREAMS; i++) {
        t[i] = g_thread_new("take", take_stream, GINT_TO_POINTER(s));
    }
    before = look(vm, "tx");
    g_free(net_ask(vm,
                   "run for cpu in 1 2; do (for i in $(seq %d); do echo block $i; cat /tmp/block; "
                   "done) | taskset $cpu nc -w 30 " HOST " %u & done; wait",
                   UP, port));
    for (unsigned i = 0; i < STREAMS; i++) {
        g_autofree char *sum = g_thread_join(t[i]);

        net_expect_text(sum, want);
    }
    close(s);
    judge(vm, "tx", &before, UP, "from the guest");
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

/* The capture has the beginning of each frame: all headers, and not 120 MB. */
void group_net_tap(void)
{
    g_autofree char *dir = g_dir_make_tmp("guest-tap-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(dir, "net0.pcap", NULL);
    g_autofree char *dump =
        g_strdup_printf("filter-dump,id=dump0,netdev=net0,maxlen=200,file=%s", path);
    uint64_t frames;
    unsigned http;
    int s;
    Vm *vm;

    net_own_network();
    make_block();
    vm = vm_start("-readconfig", paths->config, "-object", dump, NULL);
    net_bring_up("vm0", HOST_IP);
    s = net_listen(HOST_IP, &http);
    g_thread_unref(g_thread_new("http", serve_http, GINT_TO_POINTER(s)));
    vm_wait_ready(vm);
    g_free(net_ask(vm, "run ip addr add 10.9.0.2/24 dev eth0; ip link set eth0 up"));
    check_features(vm);
    fetch_streams(vm, http);
    send_streams(vm, http);
    net_pull_cable(vm, HOST);
    no_errors(vm);
    frames = net_counter(vm, "tx-frames") + net_counter(vm, "rx-frames");
    vm_power_off(vm);
    give_capture(path, frames);
    g_unlink(path);
    g_rmdir(dir);
}
