/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend tap, in network namespaces of the test's own: frames both ways, offloads
 * judged by the kernel's TCP and UDP, queues, scripts, descriptors of others, an interface that is
 * deleted. Skipped where namespaces or /dev/net/tun are not to be had.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/udp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net-guest.h"
#include "tests/suite.h"

static char *dir;

enum { KERNEL_IP = 0x0a090001, CARD_IP = 0x0a090002 };

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

static void must_run(const char *command)
{
    ck_assert_msg(run("%s", command) == 0, "%s", command);
}

static void setup(void)
{
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    must_run("ip link set lo up");
    net_setup();
    dir = g_dir_make_tmp("net-tap-XXXXXX", NULL);
}

static void teardown(void)
{
    net_teardown();
    g_rmdir(dir);
    g_free(dir);
}

/* The interface gets 10.9.0.1 and knows the card at 10.9.0.2. */
static void bring_up(void)
{
    must_run("sysctl -q -w net.ipv6.conf.tap9.disable_ipv6=1 2>/dev/null;"
             "ip addr add 10.9.0.1/24 dev tap9 && ip link set tap9 up && "
             "ip neigh add 10.9.0.2 lladdr 52:54:00:12:34:56 dev tap9");
}

static void kernel_mac(uint8_t mac[6])
{
    struct ifreq ifr = {.ifr_name = "tap9"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_eq(ioctl(fd, SIOCGIFHWADDR, &ifr), 0);
    memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
    close(fd);
}

/* Ethernet and IPv4 around l4_len bytes at buf + 34. */
static NetHdr wrap(unsigned protocol, size_t l4_len)
{
    uint8_t kernel[6];

    kernel_mac(kernel);
    ethernet(kernel, 0x0800);
    return wrap_ip(protocol, CARD_IP, KERNEL_IP, l4_len);
}

static int udp_server(unsigned port)
{
    struct sockaddr_in in = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = INADDR_ANY};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;

    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    return fd;
}

static void udp_header(unsigned port, size_t payload)
{
    put16(buf + 34, 999);
    put16(buf + 36, port);
    put16(buf + 38, (unsigned)(8 + payload));
    for (size_t i = 0; i < payload; i++) {
        buf[42 + i] = (uint8_t)(payload + i * 7);
    }
}

/* An offload that the kernel does not do is done in software: the kernel's UDP judges either. */
START_TEST(the_kernel_gets_datagrams_of_every_size)
{
    static const size_t sizes[] = {0, 1, 2, 100, 1471, 1472};
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Card *c = card_new(b);
    int fd = udp_server(7000);
    static uint8_t got[2000];

    bring_up();
    if (_i) {
        b->host_offloads = 0;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        NetHdr hdr;

        udp_header(7000, sizes[i]);
        hdr = wrap(17, 8 + sizes[i]);
        ck_assert(card_send_hdr(c, buf, 42 + sizes[i], hdr));
        net_run_for(2);
        ck_assert_int_eq(recv(fd, got, sizeof got, 0), (ssize_t)sizes[i]);
        ck_assert(sizes[i] == 0 || memcmp(got, buf + 42, sizes[i]) == 0);
    }
    ck_assert_uint_eq(net_counter(b, "tx-errors") + net_counter(b, "tx-dropped"), 0);
    card_free(c);
    close(fd);
}
END_TEST

START_TEST(a_header_length_that_is_wrong_does_no_harm)
{
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Card *c = card_new(b);
    int fd = udp_server(7000);
    char got[100];
    NetHdr hdr;

    bring_up();
    for (unsigned i = 0; i < 2; i++) {
        udp_header(7000, 50);
        hdr = wrap(17, 58);
        hdr.hdr_len = 65535;
        hdr.flags |= VIRTIO_NET_HDR_F_DATA_VALID;
        hdr.gso_type = i ? VIRTIO_NET_HDR_GSO_UDP_L4 : VIRTIO_NET_HDR_GSO_NONE;
        hdr.gso_size = 100;
        ck_assert(card_send_hdr(c, buf, 92, hdr));
        net_run_for(2);
        ck_assert_int_eq(recv(fd, got, sizeof got, 0), 50);
    }
    ck_assert_uint_eq(net_counter(b, "tx-errors"), 0);
    card_free(c);
    close(fd);
}
END_TEST

/* One large frame of datagrams (USO) or one large datagram (UFO). */
START_TEST(the_kernel_gets_what_was_cut_for_it)
{
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Card *c = card_new(b);
    int fd = udp_server(7000);
    bool fragments = _i & 1;
    static uint8_t got[12000];
    size_t have = 0;
    NetHdr hdr;

    bring_up();
    if (_i & 2) {
        b->host_offloads = 0;
    }
    udp_header(7000, 10000);
    hdr = wrap(17, 10008);
    hdr.gso_type = fragments ? VIRTIO_NET_HDR_GSO_UDP : VIRTIO_NET_HDR_GSO_UDP_L4;
    hdr.gso_size = fragments ? 1480 : 1400;
    hdr.hdr_len = 42;
    ck_assert(card_send_pieces(c, buf, 10042, hdr, 1000));
    net_run_for(5);
    for (unsigned i = 0; have < 10000; i++) {
        ssize_t n = recv(fd, got + have, sizeof got - have, 0);

        ck_assert_int_eq(n, fragments ? 10000 : i < 7 ? 1400 : 200);
        have += (size_t)n;
    }
    ck_assert_mem_eq(got, buf + 42, 10000);
    card_free(c);
    close(fd);
}
END_TEST

/* --- a TCP connection from the kernel, with the offloads that it is allowed --- */

typedef struct {
    Card *card;
    uint32_t seq, ack;
    unsigned port, large, unfinished;
    GByteArray *in;
    bool open, fin;
} Peer;

static void peer_send(Peer *p, unsigned flags, const void *data, size_t len)
{
    uint8_t *tcp = buf + 34;

    memset(tcp, 0, 20);
    put16(tcp, 80);
    put16(tcp + 2, p->port);
    put32(tcp + 4, p->seq);
    put32(tcp + 8, p->ack);
    tcp[12] = 5 << 4;
    tcp[13] = (uint8_t)flags;
    put16(tcp + 14, 65535);
    if (len) {
        memcpy(tcp + 20, data, len);
    }
    NetHdr hdr = wrap(6, 20 + len);

    if (len > 1460) {
        hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
        hdr.gso_size = 1460;
        hdr.hdr_len = 54;
    }
    ck_assert(card_send_hdr(p->card, buf, 54 + len, hdr));
    p->seq += (uint32_t)len + (flags & 2 ? 1 : 0);
}

static void peer_take(Peer *p, const NetRecord *r)
{
    const uint8_t *f = r->bytes->data, *tcp = f + 34;
    size_t head, len;

    if (get16(f + 12) != 0x0800 || f[23] != 6) {
        return;
    }
    head = 4 * (size_t)(tcp[12] >> 4);
    len = get16(f + 16) - 20 - head;
    p->large += r->hdr.gso_type != 0;
    p->unfinished += r->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (tcp[13] & 2) {
        p->port = get16(tcp);
        p->ack = get32(tcp + 4) + 1;
        p->open = true;
        peer_send(p, 0x12, NULL, 0);
        return;
    }
    if (get32(tcp + 4) == p->ack) {
        g_byte_array_append(p->in, tcp + head, (guint)len);
        p->ack += (uint32_t)len + (tcp[13] & 1);
        p->fin |= tcp[13] & 1;
    }
    if (len > 0 || (tcp[13] & 1)) {
        peer_send(p, 0x10, NULL, 0);
    }
}

static void peer_run(Peer *p)
{
    for (unsigned i = 0; i < p->card->got->len; i++) {
        peer_take(p, p->card->got->pdata[i]);
    }
    card_drop(p->card);
    if (!loop_iterate(net_loop, false)) {
        g_usleep(200);
    }
}

enum { BIG = 1000000 };

/* As a card that had vhost: the header stays as long as it wanted it. */
static void lend_and_take_back(NetBackend *b)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);

    ck_assert_int_ge(k->vhost_begin(b, 0, sizeof(struct virtio_net_hdr_v1), NULL), 0);
    k->vhost_end(b, 0);
}

START_TEST(the_kernels_tcp_works_with_and_without_offloads)
{
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Peer p = {.card = card_new(b), .seq = 1, .in = g_byte_array_new()};
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(CARD_IP)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    uint8_t *file = g_malloc(BIG);
    static uint8_t back[20000], got[20001];
    size_t sent = 0, have = 0;
    gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    bool offloads = _i & 1;

    bring_up();
    if (_i & 2) {
        lend_and_take_back(b);
    }
    ck_assert_uint_eq(net_guest_offloads(b) & (NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4),
                      NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4);
    net_set_guest_offloads(p.card->user, offloads ? net_guest_offloads(b) : 0);
    for (size_t i = 0; i < BIG; i++) {
        file[i] = (uint8_t)(i * 13 + (i >> 9));
    }
    connect(fd, (struct sockaddr *)&to, sizeof to);
    while (p.in->len < BIG) {
        ssize_t n = p.open && sent < BIG ? send(fd, file + sent, BIG - sent, MSG_NOSIGNAL) : 0;

        sent += n > 0 ? (size_t)n : 0;
        peer_run(&p);
        ck_assert_msg(g_get_monotonic_time() < end, "%u of %u bytes came", p.in->len, BIG);
    }
    ck_assert_int_eq(memcmp(p.in->data, file, BIG), 0);
    ck_assert_msg((p.large > 0) == offloads, "%u large frames", p.large);
    ck_assert((p.unfinished > 0) == offloads);
    net_frame(back, sizeof back, 9);
    peer_send(&p, 0x18, back, sizeof back);
    while (have < sizeof back) {
        ssize_t n = recv(fd, got + have, sizeof got - have, 0);

        have += n > 0 ? (size_t)n : 0;
        peer_run(&p);
        ck_assert_msg(g_get_monotonic_time() < end, "%zu bytes came back", have);
    }
    ck_assert_mem_eq(got, back, sizeof back);
    ck_assert_uint_eq(net_counter(b, "rx-errors") + net_counter(b, "tx-errors"), 0);
    close(fd);
    card_free(p.card);
    g_byte_array_unref(p.in);
    g_free(file);
}
END_TEST

START_TEST(a_slow_card_leaves_frames_in_the_kernel)
{
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Card *c = card_new(b);
    struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(80), .sin_addr.s_addr = htonl(CARD_IP)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    bring_up();
    net_run_for(20);
    card_drop(c);
    c->room = 0;
    for (unsigned i = 0; i < 50; i++) {
        sendto(fd, &i, sizeof i, 0, (struct sockaddr *)&to, sizeof to);
        net_run_for(1);
    }
    ck_assert_uint_eq(c->refused, 1);
    c->room = -1;
    net_receive_ready(c->user, 0);
    net_run_for(20);
    ck_assert_uint_eq(c->got->len, 50);
    for (unsigned i = 0; i < 50; i++) {
        ck_assert_mem_eq(((NetRecord *)c->got->pdata[i])->bytes->data + 42, &i, sizeof i);
    }
    ck_assert_uint_eq(net_counter(b, "rx-dropped"), 0);
    close(fd);
    card_free(c);
}
END_TEST

static bool is_down(void *opaque)
{
    return !((Card *)opaque)->link;
}

START_TEST(an_interface_that_is_deleted_takes_the_link_down)
{
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Card *c = card_new(b);

    c->link = true;
    bring_up();
    net_run_for(5);
    must_run("ip link del tap9");
    net_frame(buf, 60, 0);
    ck_assert(card_send(c, buf, 60));
    net_run_until(is_down, c);
    ck_assert(!net_link_up(b));
    ck_assert(card_send(c, buf, 60));
    ck_assert_uint_eq(net_counter(b, "tx-dropped"), 2);
    ck_assert_ptr_nonnull(strstr(net_info_string(b), "gone"));
    card_free(c);
}
END_TEST

START_TEST(an_interface_that_is_down_loses_frames_only)
{
    NetBackend *b = net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no'}");
    Card *c = card_new(b);

    net_frame(buf, 60, 0);
    ck_assert(card_send(c, buf, 60));
    ck_assert_uint_eq(net_counter(b, "tx-dropped"), 1);
    bring_up();
    ck_assert(card_send(c, buf, 60));
    ck_assert_uint_eq(net_counter(b, "tx-dropped"), 1);
    ck_assert_uint_eq(net_counter(b, "tx-frames"), 1);
    ck_assert_uint_eq(net_counter(b, "tx-bytes"), 60);
    card_free(c);
}
END_TEST

/* --- queues --- */

static unsigned by_queue[4];

static bool count_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    by_queue[queue]++;
    return true;
}

static void no_ready(void *opaque, unsigned queue)
{
}

static void send_flows(void)
{
    memset(by_queue, 0, sizeof by_queue);
    for (unsigned i = 0; i < 64; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)(100 + i)),
                                 .sin_addr.s_addr = htonl(CARD_IP)};
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to);
        close(fd);
        net_run_for(1);
    }
}

START_TEST(frames_come_to_the_queues_that_are_in_use)
{
    NetBackend *b =
        net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no', 'queues': 4}");
    EventLoop *loops[] = {net_loop, net_loop, net_loop, net_loop};
    NetUserOps ops = {"card", count_receive, no_ready, NULL, NULL};
    NetUser *u;

    ck_assert_uint_eq(net_max_queues(b), 4);
    u = net_attach(b, &ops, loops, 4, NULL);
    ck_assert_ptr_nonnull(u);
    bring_up();
    net_run_for(20);
    net_set_queues(u, 1);
    send_flows();
    ck_assert_uint_ge(by_queue[0], 64);
    ck_assert_uint_eq(by_queue[1] + by_queue[2] + by_queue[3], 0);
    net_set_queues(u, 4);
    send_flows();
    ck_assert_uint_gt(by_queue[1] + by_queue[2] + by_queue[3], 0);
    for (unsigned i = 0; i < 4; i++) {
        struct iovec iov = {buf, 60};
        NetFrame f = {.iov = &iov, .niov = 1, .len = 60};

        net_frame(buf, 60, i);
        ck_assert_uint_eq(net_send(u, i, &f, 1), 1);
    }
    ck_assert_uint_eq(net_counter(b, "tx-frames"), 4);
    ck_assert_uint_eq(net_counter(b, "tx-errors") + net_counter(b, "tx-dropped"), 0);
    net_detach(u);
}
END_TEST

/* The kernel takes what comes by a queue that is detached from the interface: it is not gone. */
START_TEST(frames_sent_on_queues_that_are_not_in_use_do_no_harm)
{
    NetBackend *b =
        net_add("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no', 'queues': 4}");
    EventLoop *loops[] = {net_loop, net_loop, net_loop, net_loop};
    NetUserOps ops = {"card", count_receive, no_ready, NULL, NULL};
    NetUser *u = net_attach(b, &ops, loops, 4, NULL);
    struct iovec iov = {buf, 60};
    NetFrame f = {.iov = &iov, .niov = 1, .len = 60};

    bring_up();
    net_set_queues(u, 4);
    net_set_queues(u, 1);
    net_frame(buf, 60, 1);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_uint_eq(net_send(u, i, &f, 1), 1);
        net_run_for(1);
    }
    ck_assert(net_link_up(b));
    ck_assert_uint_eq(net_counter(b, "tx-frames") + net_counter(b, "tx-dropped"), 4);
    send_flows();
    ck_assert_uint_ge(by_queue[0], 64);
    net_detach(u);
}
END_TEST

/* --- where it comes from --- */

static int open_tap(int flags)
{
    struct ifreq ifr = {.ifr_name = "tap9", .ifr_flags = (short)(IFF_TAP | flags)};
    int fd = open("/dev/net/tun", O_RDWR);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(ioctl(fd, TUNSETIFF, &ifr), 0);
    return fd;
}

START_TEST(a_tap_is_taken_by_its_descriptor)
{
    int fd = open_tap(IFF_NO_PI | (_i ? IFF_VNET_HDR : 0)), server = udp_server(7000);
    g_autofree char *json = g_strdup_printf("{'type': 'tap', 'id': 'n', 'fd': '%d'}", fd);
    NetBackend *b = net_add(json);
    Card *c = card_new(b);
    char got[10];
    NetHdr hdr;

    bring_up();
    ck_assert_uint_eq(net_guest_offloads(b) != 0, (unsigned)_i);
    udp_header(7000, 5);
    hdr = wrap(17, 13);
    ck_assert(card_send_hdr(c, buf, 47, hdr));
    net_run_for(2);
    ck_assert_int_eq(recv(server, got, sizeof got, 0), 5);
    card_free(c);
    close(server);
}
END_TEST

START_TEST(queues_are_taken_by_their_descriptors)
{
    int a = open_tap(IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
    int b = open_tap(IFF_NO_PI | IFF_VNET_HDR | IFF_MULTI_QUEUE);
    g_autofree char *json = g_strdup_printf("{'type': 'tap', 'id': 'n', 'fds': '%d:%d'}", a, b);
    g_autofree char *twice = g_strdup_printf("{'type': 'tap', 'id': 'm', 'fds': '0:%d'}", a);
    g_autofree char *line = g_strdup("file descriptor 0 is not a tap");

    ck_assert_uint_eq(net_max_queues(net_add(json)), 2);
    net_add_fails(twice, line);
}
END_TEST

START_TEST(a_macvtap_is_taken_by_its_descriptor)
{
    g_autofree char *dev = NULL, *json = NULL;
    NetBackend *b;
    Card *c;
    int fd;

    if (run("ip link add v0 type veth peer name v1 2>/dev/null && ip link set v0 up && "
            "ip link set v1 up && "
            "ip link add link v0 name mv0 type macvtap mode bridge 2>/dev/null && "
            "ip link set mv0 up") != 0) {
        fprintf(stderr, "the kernel has no veth or macvtap: not tested\n");
        return;
    }
    dev = g_strdup_printf("/dev/tap%u", if_nametoindex("mv0"));
    fd = open(dev, O_RDWR);
    if (fd < 0) {
        fprintf(stderr, "%s does not open: macvtap is not tested\n", dev);
        return;
    }
    json = g_strdup_printf("{'type': 'tap', 'id': 'n', 'fd': '%d'}", fd);
    b = net_add(json);
    c = card_new(b);
    net_frame(buf, 60, 0);
    ck_assert(card_send(c, buf, 60));
    ck_assert_uint_eq(net_counter(b, "tx-errors") + net_counter(b, "tx-dropped"), 0);
    card_free(c);
}
END_TEST

static char *write_script(const char *name, const char *text)
{
    char *path = g_build_filename(dir, name, NULL);

    ck_assert(g_file_set_contents(path, text, -1, NULL));
    g_chmod(path, 0755);
    return path;
}

START_TEST(scripts_run_at_the_start_and_at_the_end)
{
    g_autofree char *log = g_build_filename(dir, "log", NULL);
    g_autofree char *text = g_strdup_printf("#!/bin/sh\necho $(basename $0) $1 >> %s\n", log);
    g_autofree char *up = write_script("up", text), *down = write_script("down", text);
    g_autofree char *json = g_strdup_printf("{'type': 'tap', 'id': 'n', 'ifname': 'tap9', "
                                            "'script': '%s', 'downscript': '%s'}",
                                            up, down);
    g_autofree char *got = NULL;

    net_add(json);
    ck_assert(net_backend_del(net_root, "n", NULL));
    ck_assert(g_file_get_contents(log, &got, NULL, NULL));
    ck_assert_str_eq(got, "up tap9\ndown tap9\n");
    g_unlink(log);
    g_unlink(up);
    g_unlink(down);
}
END_TEST

START_TEST(a_script_that_fails_ends_it)
{
    g_autofree char *up = write_script("up", "#!/bin/sh\nexit 3\n");
    g_autofree char *json = g_strdup_printf("{'type': 'tap', 'id': 'n', 'script': '%s'}", up);
    g_autofree char *line = g_strdup_printf("script=%s: it failed with status 3", up);
    g_autofree char *got = NULL;

    net_add_fails(json, line);
    g_unlink(up);
    got = net_add_error("{'type': 'tap', 'id': 'n', 'script': '/nonexistent'}");
    ck_assert(g_str_has_prefix(got, "script=/nonexistent: cannot run it: "));
}
END_TEST

/* What a helper does: opens a tap and sends it. In Python, for a shell cannot. */
static const char helper_text[] =
    "#!/usr/bin/env python3\n"
    "import array, fcntl, socket, struct, sys\n"
    "args = dict(a.split('=', 1) for a in sys.argv[1:] if '=' in a)\n"
    "if args['--br'] == 'none': sys.exit(1)\n"
    "assert args['--br'] == 'br7' and '--use-vnet' in sys.argv\n"
    "tap = open('/dev/net/tun', 'r+b', buffering=0)\n"
    "fcntl.ioctl(tap, 0x400454ca, struct.pack('16sH', b'tap9', 0x5002))\n"
    "s = socket.socket(fileno=int(args['--fd']))\n"
    "s.sendmsg([b'\\0'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', "
    "[tap.fileno()]))])\n";

START_TEST(a_helper_gives_the_tap)
{
    static const char *const forms[] = {
        "{'type': 'tap', 'id': 'n', 'helper': '%s', 'br': '%s'}",
        "{'type': 'bridge', 'id': 'n', 'helper': '%s', 'br': '%s'}",
        "{'type': 'tap', 'id': 'n', 'helper': '%s --br=%s'}",
    };
    g_autofree char *helper = write_script("helper", helper_text);
    g_auto(GStrv) parts = g_strsplit(forms[_i], "%s", 3);
    g_autofree char *good = g_strconcat(parts[0], helper, parts[1], "br7", parts[2], NULL);
    g_autofree char *bad = g_strconcat(parts[0], helper, parts[1], "none", parts[2], NULL);
    g_autofree char *got = NULL;
    NetBackend *b = net_add(good);

    ck_assert_ptr_nonnull(strstr(net_info_string(b), "ifname=tap9"));
    ck_assert_uint_ne(net_guest_offloads(b), 0);
    ck_assert(net_backend_del(net_root, "n", NULL));
    got = net_add_error(bad);
    ck_assert_ptr_nonnull(strstr(got, "it gave no tap for bridge"));
    g_unlink(helper);
}
END_TEST

/* /dev/null stands for a kernel that has no vhost-net. */
START_TEST(a_vhost_that_cannot_be_had_is_warned_of_or_insisted_on)
{
    static const char what[] = "vhost: it is not to be had: Inappropriate ioctl for device";
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    g_autofree char *json = g_strdup_printf(
        "{'type': 'tap', 'id': 'n', 'ifname': 'tap9', 'script': 'no', 'vhost': true, "
        "'vhostfd': '%d'%s}",
        fd, _i ? ", 'vhostforce': true" : "");
    g_autofree char *path = g_build_filename(dir, "log", NULL), *said = NULL;
    NetBackend *b;

    if (_i) {
        net_add_fails(json, what);
        close(fd);
        return;
    }
    ck_assert(log_set_file(path, NULL));
    b = net_add(json);
    ck_assert(g_file_get_contents(path, &said, NULL, NULL));
    ck_assert_ptr_nonnull(strstr(said, what));
    ck_assert_ptr_nonnull(strstr(said, "frames go through this process"));
    ck_assert(!net_has_vhost(b));
    ck_assert_ptr_null(strstr(net_info_string(b), "vhost"));
    g_unlink(path);
    close(fd);
}
END_TEST

START_TEST(bad_options_get_one_line)
{
    static const char *const bad[][2] = {
        {"'vhostfds': '3:4'", "vhostfds= goes with fds=; give vhostfd="},
        {"'queues': 2, 'vhostfd': '3'",
         "vhostfd= is of one queue pair; several need fds= and vhostfds="},
        {"'fds': '3:4', 'vhostfd': '5'", "vhostfd= is of one queue pair; give vhostfds="},
        {"'fds': '3:4', 'vhostfds': '5'", "vhostfds= has 1 file descriptors, fds= has 2"},
        {"'vhostfd': '5:6'", "vhostfd= takes one file descriptor"},
        {"'ifname': 'tap9', 'script': 'no', 'vhostfd': 'x', 'vhostforce': true",
         "'x' is not the number of a file descriptor, nor a name of getfd"},
        {"'fd': '1', 'helper': 'x'", "give one of fd=, fds= and helper="},
        {"'fd': '1', 'ifname': 'tap0'",
         "ifname=, script=, downscript= and queues= do not go with fd="},
        {"'fds': '1:2', 'queues': 2",
         "ifname=, script=, downscript= and queues= do not go with fds="},
        {"'fd': '1:2'", "fd= takes one file descriptor; fds= takes several"},
        {"'fd': 'x'", "'x' is not the number of a file descriptor, nor a name of getfd"},
        {"'fd': '999'", "file descriptor 999 is not a tap"},
        {"'br': 'br0'", "br= goes with helper="},
        {"'ifname': 'abcdefghijklmnopq'",
         "ifname=abcdefghijklmnopq: the name is longer than 15 bytes"},
        {"'ifname': 'lo'", "'lo' is not a tap, or has another number of queues"},
        {"'helper': '/nonexistent'",
         "helper=/nonexistent: it gave no tap for bridge 'br0' (status 127)"},
    };
    g_autofree char *json = g_strdup_printf("{'type': 'tap', 'id': 'n', %s}", bad[_i][0]);

    net_add_fails(json, bad[_i][1]);
}
END_TEST

START_TEST(a_tap_in_use_gets_one_line)
{
    net_add("{'type': 'tap', 'id': 'a', 'ifname': 'tap9', 'script': 'no'}");
    net_add_fails("{'type': 'tap', 'id': 'b', 'ifname': 'tap9', 'script': 'no'}",
                  "the tap 'tap9' is in use by another process");
}
END_TEST

START_TEST(without_rights_one_line_says_what_helps)
{
    g_autofree char *got = NULL;

    ck_assert_int_eq(seteuid(65534), 0);
    got = net_add_error("{'type': 'tap', 'id': 'a', 'ifname': 'tap9', 'script': 'no'}");
    ck_assert_int_eq(seteuid(0), 0);
    ck_assert_msg(g_str_has_prefix(got, "not permitted to use the tap 'tap9': ") ||
                      g_str_has_prefix(got, "cannot open /dev/net/tun: Permission denied"),
                  "%s", got);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-tap");
    TCase *tc = tcase_create("tap");

    if (geteuid() != 0 || access("/dev/net/tun", R_OK | W_OK) < 0 ||
        run("unshare -n ip tuntap add tap9 mode tap 2>/dev/null") != 0) {
        fprintf(stderr, "SKIP: needs root, /dev/net/tun, network namespaces and ip\n");
        return 77;
    }
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, the_kernel_gets_datagrams_of_every_size, 0, 2);
    tcase_add_test(tc, a_header_length_that_is_wrong_does_no_harm);
    tcase_add_loop_test(tc, the_kernel_gets_what_was_cut_for_it, 0, 4);
    tcase_add_loop_test(tc, the_kernels_tcp_works_with_and_without_offloads, 0, 4);
    tcase_add_test(tc, a_slow_card_leaves_frames_in_the_kernel);
    tcase_add_test(tc, an_interface_that_is_deleted_takes_the_link_down);
    tcase_add_test(tc, an_interface_that_is_down_loses_frames_only);
    tcase_add_test(tc, frames_come_to_the_queues_that_are_in_use);
    tcase_add_test(tc, frames_sent_on_queues_that_are_not_in_use_do_no_harm);
    tcase_add_loop_test(tc, a_tap_is_taken_by_its_descriptor, 0, 2);
    tcase_add_test(tc, queues_are_taken_by_their_descriptors);
    tcase_add_test(tc, a_macvtap_is_taken_by_its_descriptor);
    tcase_add_test(tc, scripts_run_at_the_start_and_at_the_end);
    tcase_add_test(tc, a_script_that_fails_ends_it);
    tcase_add_loop_test(tc, a_helper_gives_the_tap, 0, 3);
    tcase_add_loop_test(tc, bad_options_get_one_line, 0, 16);
    tcase_add_loop_test(tc, a_vhost_that_cannot_be_had_is_warned_of_or_insisted_on, 0, 2);
    tcase_add_test(tc, a_tap_in_use_gets_one_line);
    tcase_add_test(tc, without_rights_one_line_says_what_helps);
    return suite_run(s);
}
