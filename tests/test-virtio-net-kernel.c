/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net judged by the kernel: two network namespaces with a tap each, a device on each tap,
 * and between them a driver that takes what one device receives and sends it by the other, with its
 * header. So what the two kernels say to each other (TCP and UDP of iperf3, data that is looked at)
 * goes through both devices and four rings, with all offloads, with those that software does, or
 * without any, on one loop and on two iothreads. Skipped where namespaces, /dev/net/tun or iperf3
 * are not to be had.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "backends/user-creatable.h"
#include "tests/suite.h"
#include "tests/test-virtio-net.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

enum { PAIRS_MAX = 2, RX_BUFS = 128, RX_BUF = 4096, TX_SLOTS = 8, PIECE = 16384, HDR = 12 };
enum { FRAME_MAX = NET_FRAME_MAX + HDR };
enum { WAIT_S = 300, DATA = 3 * 1024 * 1024, DATAGRAM = 1000, DATAGRAMS = 30, PORT = 7000 };

/* A namespace with its tap, its device and the device's driver. */
typedef struct {
    int ns; /* descriptor */
    NetBackend *b;
    FakeMachine *m;
    FakeDriver *d;
    unsigned pairs;
    Gpa rx_at[PAIRS_MAX][FAKE_RING_MAX], tx_at[PAIRS_MAX][FAKE_RING_MAX]; /* by head */
    Gpa slots[PAIRS_MAX][TX_SLOTS];                                       /* free ones */
    unsigned n_slots[PAIRS_MAX];
    /* of the frames that were received */
    unsigned frames[PAIRS_MAX], partial, tso4, tso6, uso;
    size_t largest;
} End;

static End ends[2];

static int run(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static int run(const char *fmt, ...)
{
    g_autofree char *command = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    return system(command);
}

static bool has_ipv6(void)
{
    return access("/proc/net/if_inet6", R_OK) == 0;
}

/* --- the two ends --- */

/* A namespace that the caller is in from now on, with a tap. */
static void make_tap(End *e, unsigned i)
{
    g_autofree char *json =
        g_strdup_printf("{'type': 'tap', 'id': 'n0', 'ifname': 'tap%u', 'script': 'no', "
                        "'queues': %u}",
                        i, e->pairs);

    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    e->ns = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
    ck_assert_int_ge(e->ns, 0);
    e->b = net_add(json);
}

/* The kernel sends from now on: there is a driver that takes it. */
static void bring_up(unsigned i)
{
    ck_assert_int_eq(run("ip link set lo up && ip addr add 10.9.1.%u/24 dev tap%u && "
                         "ip link set tap%u up",
                         i + 1, i, i),
                     0);
    if (has_ipv6()) {
        ck_assert_int_eq(run("ip addr add fd09::%u/64 dev tap%u nodad", i + 1, i), 0);
    }
}

static void post(End *e, unsigned pair, Gpa at)
{
    FakeBuf bufs[] = {IN_AT(at.v, RX_BUF), END};

    e->rx_at[pair][fake_driver_add_bufs(e->d, 2 * pair + RX, bufs, NULL)] = at;
}

static void set_pairs(End *e)
{
    uint8_t header[2] = {VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET};
    uint8_t data[2] = {(uint8_t)e->pairs, 0};
    unsigned q = 2 * e->pairs;

    fake_driver_add(e->d, q, OUT(header, 2), OUT(data, 2), IN(1));
    fake_driver_kick(e->d, q);
    ck_assert(fake_driver_get(e->d, q, NULL, NULL));
}

static void start_driver(End *e, unsigned cell, uint64_t without)
{
    e->d = fake_driver_probe_on(e->m, "virtio-net", cell,
                                e->pairs > 1 ? "netdev=n0,mq=on,iothread-vq-mapping="
                                               "[{\"iothread\": \"io0\"}, {\"iothread\": \"io1\"}]"
                                             : "netdev=n0");
    vnet_up_without(e->d, without);
    ck_assert(e->d->features & BIT(MRG_RXBUF));
    if (e->pairs > 1) {
        set_pairs(e);
    }
    virtio_lock(e->d->vdev);
    for (unsigned i = 0; i < e->pairs; i++) {
        for (unsigned n = 0; n < RX_BUFS; n++) {
            post(e, i, fake_driver_alloc(e->d, RX_BUF));
        }
        while (e->n_slots[i] < TX_SLOTS) {
            e->slots[i][e->n_slots[i]++] = fake_driver_alloc(e->d, FRAME_MAX);
        }
    }
    virtio_unlock(e->d->vdev);
}

static void add_iothreads(FakeMachine *m)
{
    for (unsigned i = 0; i < 2; i++) {
        json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", i ? "io1" : "io0");

        ck_assert(user_creatable_add(m->p.root, opts, NULL));
        json_decref(opts);
    }
}

/* The caller is in the namespace of the second one afterwards. */
static void start(unsigned cell, unsigned pairs, bool in_software, uint64_t without)
{
    type_register(&user_creatable_type);
    type_register(&iothread_type);
    type_register_list(net_types);
    for (unsigned i = 0; i < 2; i++) {
        End *e = &ends[i];

        *e = (End){.m = fake_machine_new(0), .pairs = pairs};
        net_root = e->m->p.root;
        net_loop = e->m->p.loop;
        add_iothreads(e->m);
        make_tap(e, i);
        if (in_software) {
            e->b->host_offloads = 0;
        }
        start_driver(e, cell, without);
        for (unsigned q = 0; q < pairs; q++) {
            fake_driver_kick(e->d, 2 * q + RX);
        }
        bring_up(i);
    }
}

static void stop(void)
{
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(!fake_driver_broken(ends[i].d));
        ck_assert_uint_eq(net_counter(ends[i].b, "tx-errors"), 0);
        ck_assert_uint_eq(net_counter(ends[i].b, "rx-errors"), 0);
        ck_assert_uint_eq(vnet_count(ends[i].d, "tx-errors"), 0);
        ck_assert_uint_eq(vnet_count(ends[i].d, "rx-dropped"), 0);
        fake_driver_free(ends[i].d);
        close(ends[i].ns);
    }
}

/* --- from one to the other --- */

/* One buffer, behind len bytes, which is given back; false: there is none. */
static bool take_buffer(End *e, unsigned pair, uint8_t *frame, size_t *len)
{
    uint32_t used;
    uint16_t head;

    if (!fake_driver_get(e->d, 2 * pair + RX, &head, &used)) {
        return false;
    }
    ck_assert_uint_le(*len + used, FRAME_MAX);
    ck_assert(gmem_read(e->m->p.mem, e->rx_at[pair][head], frame + *len, used));
    *len += used;
    post(e, pair, e->rx_at[pair][head]);
    return true;
}

static void note(End *e, unsigned pair, const uint8_t *frame, size_t len)
{
    unsigned gso = frame[1] & ~VIRTIO_NET_HDR_GSO_ECN;

    e->frames[pair]++;
    e->partial += frame[0] & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    e->tso4 += gso == VIRTIO_NET_HDR_GSO_TCPV4;
    e->tso6 += gso == VIRTIO_NET_HDR_GSO_TCPV6;
    e->uso += gso == VIRTIO_NET_HDR_GSO_UDP_L4;
    e->largest = MAX(e->largest, len);
}

/* A frame with its header. */
static bool take_frame(End *e, unsigned pair, uint8_t *frame, size_t *ret_len)
{
    size_t len = 0;

    if (!take_buffer(e, pair, frame, &len)) {
        return false;
    }
    ck_assert_uint_ge(len, HDR);
    for (unsigned more = (unsigned)le_load(frame + 10, 2) - 1; more > 0; more--) {
        ck_assert(take_buffer(e, pair, frame, &len));
    }
    note(e, pair, frame, len);
    *ret_len = len;
    return true;
}

/* What the header says of the sender's side holds on the other; what it says of checks does not. */
static void send_frame(End *e, unsigned pair, uint8_t *frame, size_t len)
{
    Gpa at = e->slots[pair][--e->n_slots[pair]];
    FakeBuf bufs[2 + FRAME_MAX / PIECE + 1];
    unsigned n = 0;

    frame[0] &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    le_store(frame + 10, 0, 2);
    ck_assert(gmem_write(e->m->p.mem, at, frame, len));
    bufs[n++] = OUT_AT(at.v, HDR);
    for (size_t done = HDR; done < len; done += PIECE) {
        bufs[n++] = OUT_AT(at.v + done, (uint32_t)MIN(PIECE, len - done));
    }
    bufs[n] = END;
    e->tx_at[pair][fake_driver_add_bufs(e->d, 2 * pair + TX, bufs, NULL)] = at;
}

static bool reclaim(End *e, unsigned pair)
{
    unsigned before = e->n_slots[pair];
    uint16_t head;

    virtio_lock(e->d->vdev);
    while (fake_driver_get(e->d, 2 * pair + TX, &head, NULL)) {
        e->slots[pair][e->n_slots[pair]++] = e->tx_at[pair][head];
    }
    virtio_unlock(e->d->vdev);
    return e->n_slots[pair] > before;
}

/* As much as there is room for; how much it was. */
static unsigned forward(End *from, End *to, unsigned pair)
{
    static uint8_t frame[FRAME_MAX];
    unsigned n = 0;
    size_t len;

    while (to->n_slots[pair] > 0) {
        bool got;

        virtio_lock(from->d->vdev);
        got = take_frame(from, pair, frame, &len);
        virtio_unlock(from->d->vdev);
        if (!got) {
            break;
        }
        virtio_lock(to->d->vdev);
        send_frame(to, pair, frame, len);
        virtio_unlock(to->d->vdev);
        n++;
    }
    if (n > 0) {
        from->d->t->notify(from->d, 2 * pair + RX);
        to->d->t->notify(to->d, 2 * pair + TX);
    }
    return n;
}

static void step(void)
{
    bool busy = false;

    for (unsigned i = 0; i < 2; i++) {
        End *from = &ends[i], *to = &ends[!i];

        busy |= loop_iterate(from->m->p.loop, false);
        for (unsigned pair = 0; pair < from->pairs; pair++) {
            busy |= reclaim(to, pair);
            busy |= forward(from, to, pair) > 0;
        }
    }
    if (!busy) {
        g_usleep(100);
    }
}

/* --- programs at both ends --- */

typedef int Program(bool v6);

static pid_t begin(unsigned end, Program *program, bool v6)
{
    pid_t pid = fork();

    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        alarm(WAIT_S);
        _exit(setns(ends[end].ns, CLONE_NEWNET) == 0 ? program(v6) : 99);
    }
    return pid;
}

/* Frames are forwarded until it ends: its exit status. */
static int await(pid_t pid)
{
    gint64 limit = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    int status;

    while (waitpid(pid, &status, WNOHANG) == 0) {
        step();
        if (g_get_monotonic_time() > limit) {
            kill(pid, SIGKILL);
        }
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

/* Both succeed. */
static void run_programs(Program *server, Program *client, bool v6)
{
    pid_t s = begin(1, server, v6), c = begin(0, client, v6);

    ck_assert_int_eq(await(c), 0);
    ck_assert_int_eq(await(s), 0);
}

static int new_socket(int type, bool v6, bool client)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(PORT)};
    const struct sockaddr *addr = v6 ? (const struct sockaddr *)&in6 : (const struct sockaddr *)&in;
    socklen_t len = v6 ? sizeof in6 : sizeof in;
    int fd = socket(v6 ? AF_INET6 : AF_INET, type, 0), on = 1;

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (client) {
        inet_pton(AF_INET, "10.9.1.2", &in.sin_addr);
        inet_pton(AF_INET6, "fd09::2", &in6.sin6_addr);
        while (connect(fd, addr, len) < 0) { /* until the server is there */
            close(fd);
            usleep(10000);
            fd = socket(v6 ? AF_INET6 : AF_INET, type, 0);
        }
    } else if (bind(fd, addr, len) < 0) {
        return -1;
    }
    return fd;
}

static uint8_t pattern(size_t i)
{
    return (uint8_t)(i * 31 + (i >> 11));
}

static bool send_all(int fd)
{
    static uint8_t data[DATA];

    for (size_t i = 0; i < DATA; i++) {
        data[i] = pattern(i);
    }
    for (size_t done = 0; done < DATA;) {
        ssize_t n = send(fd, data + done, DATA - done, 0);

        if (n <= 0) {
            return false;
        }
        done += (size_t)n;
    }
    return true;
}

static bool receive_all(int fd)
{
    static uint8_t some[65536];
    size_t at = 0;

    while (at < DATA) {
        ssize_t n = recv(fd, some, MIN(sizeof some, DATA - at), 0);

        if (n <= 0) {
            return false;
        }
        for (ssize_t i = 0; i < n; i++) {
            if (some[i] != pattern(at++)) {
                return false;
            }
        }
    }
    return true;
}

static int tcp_server(bool v6)
{
    int fd = new_socket(SOCK_STREAM, v6, false), peer;

    if (fd < 0 || listen(fd, 1) < 0 || (peer = accept(fd, NULL, NULL)) < 0) {
        return 1;
    }
    return receive_all(peer) ? send_all(peer) ? 0 : 3 : 2;
}

static int tcp_client(bool v6)
{
    int fd = new_socket(SOCK_STREAM, v6, true);

    return send_all(fd) ? receive_all(fd) ? 0 : 3 : 2;
}

/* Datagrams that the sender's kernel, or who is behind it, cuts out of a large one. */
static int udp_client(bool v6)
{
    int fd = new_socket(SOCK_DGRAM, v6, true), size = DATAGRAM;
    uint8_t data[DATAGRAMS * DATAGRAM];
    char answer;

    if (setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof size) < 0) {
        return 1;
    }
    for (size_t i = 0; i < sizeof data; i++) {
        data[i] = i % DATAGRAM ? pattern(i) : (uint8_t)(i / DATAGRAM);
    }
    do { /* some may be lost */
        send(fd, data, sizeof data, 0);
        usleep(20000);
    } while (recv(fd, &answer, 1, MSG_DONTWAIT) != 1);
    return 0;
}

static int udp_server(bool v6)
{
    int fd = new_socket(SOCK_DGRAM, v6, false);
    uint8_t data[DATAGRAM + 1];
    struct sockaddr_storage from;
    socklen_t from_len = sizeof from;
    uint32_t seen = 0;

    while (seen != (UINT32_C(1) << DATAGRAMS) - 1) {
        if (recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_len) != DATAGRAM ||
            data[0] >= DATAGRAMS) {
            return 1;
        }
        for (size_t i = 1; i < DATAGRAM; i++) {
            if (data[i] != pattern((size_t)data[0] * DATAGRAM + i)) {
                return 2;
            }
        }
        seen |= UINT32_C(1) << data[0];
    }
    for (unsigned i = 0; i < 200; i++) {
        sendto(fd, "", 1, 0, (struct sockaddr *)&from, from_len);
        usleep(i > 5 ? 20000 : 0);
        if (recv(fd, data, sizeof data, MSG_DONTWAIT) < 0) { /* the client has heard of it */
            break;
        }
    }
    return 0;
}

/* --- iperf3 --- */

static int iperf_server(bool v6)
{
    return execlp("iperf3", "iperf3", "-s", "-1", "-p", "5201", "--forceflush", "--logfile",
                  "/dev/null", NULL);
}

static bool iperf_udp, iperf_parallel;

static int iperf_client(bool v6)
{
    return run("for i in $(seq 300); do "
               "iperf3 -c %s -p 5201 -n 4M %s %s -J >iperf3-%d.json 2>&1; rc=$?; "
               "grep -q 'onnection refused' iperf3-%d.json || break; sleep 0.05; done; exit $rc",
               v6 ? "fd09::2" : "10.9.1.2", iperf_udp ? "-u -b 40M -l 1300" : "",
               iperf_parallel ? "-P 4" : "", (int)getppid(), (int)getppid()) != 0;
}

/* What the client's report says that the server had got when the client was done, in bytes. */
static double iperf_received(void)
{
    g_autofree char *name = g_strdup_printf("iperf3-%d.json", (int)getpid());
    json_t *all = json_load_file(name, 0, NULL), *sum;
    double bytes, lost;

    ck_assert_ptr_nonnull(all);
    sum = json_object_get(json_object_get(all, "end"), iperf_udp ? "sum" : "sum_received");
    bytes = json_number_value(json_object_get(sum, "bytes"));
    lost = json_number_value(json_object_get(sum, "lost_percent"));
    json_decref(all);
    unlink(name);
    return bytes * (100 - lost) / 100;
}

/* Of both protocols' counters in this namespace: what arrived with a wrong checksum or header. */
static void expect_no_bad_packets(const End *e)
{
    ck_assert_int_eq(setns(e->ns, CLONE_NEWNET), 0);
    ck_assert_int_eq(run("! nstat -asz TcpInCsumErrors UdpInCsumErrors IpInHdrErrors "
                         "Udp6InCsumErrors Ip6InHdrErrors Icmp6InCsumErrors IcmpInCsumErrors | "
                         "awk 'NR > 1 && $2 > 0' | grep ."),
                     0);
}

/* --- the test --- */

enum { ALL, PACKED, MMIO, SOFTWARE, PLAIN, THREADS, KINDS };

static void check_offloads(int kind)
{
    const End *e = &ends[0];
    unsigned gso = e->tso4 + e->tso6 + e->uso;

    if (kind == PLAIN) {
        ck_assert_uint_eq(gso + e->partial, 0);
        ck_assert_uint_le(e->largest, 1514 + HDR);
    } else {
        ck_assert_uint_gt(e->partial, 0);
        ck_assert_uint_gt(e->tso4, 0);
        ck_assert(e->tso6 > 0 || !has_ipv6());
        ck_assert_uint_gt(e->largest, 10000);
    }
    for (unsigned i = 0; i < e->pairs; i++) { /* the kernel deals its flows out */
        ck_assert_uint_gt(e->frames[i], 0);
    }
}

START_TEST(what_two_kernels_say_to_each_other_passes_unharmed)
{
    static const unsigned cells[KINDS] = {
        [ALL] = FAKE_EVENT_IDX | FAKE_INDIRECT,
        [PACKED] = FAKE_PCI_PACKED | FAKE_EVENT_IDX,
        [MMIO] = FAKE_MMIO,
        [SOFTWARE] = FAKE_INDIRECT,
        [THREADS] = FAKE_EVENT_IDX,
    };
    uint64_t guest = BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) |
                     BIT(GUEST_UFO) | BIT(GUEST_USO4) | BIT(GUEST_USO6);

    iperf_parallel = _i == THREADS;
    start(cells[_i], _i == THREADS ? 2 : 1, _i == SOFTWARE, _i == PLAIN ? guest : 0);
    for (int v6 = 0; v6 <= has_ipv6(); v6++) {
        run_programs(tcp_server, tcp_client, v6);
        run_programs(udp_server, udp_client, v6);
        for (int udp = 0; udp <= 1; udp++) {
            iperf_udp = udp;
            run_programs(iperf_server, iperf_client, v6);
            ck_assert(iperf_received() > 0);
        }
    }
    check_offloads(_i);
    expect_no_bad_packets(&ends[0]);
    expect_no_bad_packets(&ends[1]);
    stop();
}
END_TEST

static bool is_up(const End *e)
{
    return vnet_config(e->d, CFG_STATUS, 2) & VIRTIO_NET_S_LINK_UP;
}

START_TEST(a_tap_that_vanishes_takes_its_cards_link_down)
{
    gint64 limit = g_get_monotonic_time() + WAIT_S * G_USEC_PER_SEC;
    End *e = &ends[0];
    unsigned sent = 0;

    start(_i ? FAKE_PCI_PACKED : FAKE_EVENT_IDX, _i ? 2 : 1, false, 0);
    ck_assert(is_up(e));
    ck_assert_int_eq(setns(e->ns, CLONE_NEWNET), 0);
    ck_assert_int_eq(run("ip link del tap0"), 0);
    while (is_up(e) || sent < 100) { /* what is sent meanwhile comes back */
        uint8_t frame[HDR + 60] = {0};

        ck_assert_int_lt(g_get_monotonic_time(), limit);
        for (unsigned i = 0; i < e->pairs; i++) {
            if (e->n_slots[i] > 0) {
                virtio_lock(e->d->vdev);
                send_frame(e, i, frame, sizeof frame);
                virtio_unlock(e->d->vdev);
                e->d->t->notify(e->d, 2 * i + TX);
                sent++;
            }
        }
        step();
    }
    ck_assert(fake_driver_config_interrupted(e->d));
    for (unsigned i = 0; i < e->pairs; i++) {
        while (e->n_slots[i] < TX_SLOTS) {
            ck_assert_int_lt(g_get_monotonic_time(), limit);
            step();
        }
    }
    /* and what the other kernel sent on its own */
    ck_assert_uint_ge(net_counter(e->b, "tx-frames") + net_counter(e->b, "tx-dropped"), sent);
    ck_assert_uint_gt(net_counter(e->b, "tx-dropped"), 0);
    ck_assert(is_up(&ends[1]));
    stop();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-net-kernel");
    TCase *tc = tcase_create("virtio-net-kernel");

    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ||
        run("unshare -n ip tuntap add tap9 mode tap 2>/dev/null") != 0 ||
        run("command -v iperf3 nstat >/dev/null") != 0) {
        fprintf(stderr, "SKIP: needs root, /dev/net/tun, network namespaces, ip, nstat, iperf3\n");
        return 77;
    }
    tcase_set_timeout(tc, 900);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, what_two_kernels_say_to_each_other_passes_unharmed, 0, KINDS);
    tcase_add_loop_test(tc, a_tap_that_vanishes_takes_its_cards_link_down, 0, 2);
    return suite_run(s);
}
