/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two virtio-net devices back to back, each on a machine of its own, by dgram, socket and stream;
 * and passt as the peer of one. What a driver leaves to its device is done before it is sent: the
 * other end knows no offloads.
 */
#include "tests/test-virtio-net.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net-guest.h"
#include "tests/suite.h"

enum { ROOM = 2048, ROUNDS = 20000, MSS = 1000, PAYLOAD = 30000, TCP4 = ETH + 40 };

extern const TypeInfo *const net_types[];

static char *dir;
static uint8_t frame[NET_FRAME_MAX];
static VnetGot got;

static void setup(void)
{
    dir = g_dir_make_tmp("vnet-peers-XXXXXX", NULL);
}

static void teardown(void)
{
    static const char *const names[] = {"a", "b"};

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = g_build_filename(dir, names[i], NULL);

        g_unlink(path);
    }
    g_rmdir(dir);
    g_free(dir);
}

/* --- the pair --- */

static const struct {
    const char *a, *b; /* %D: the folder, %P: a port */
} links[] = {
    {"{'type': 'dgram', 'id': 'n0', 'local': {'type': 'unix', 'path': '%D/a'}, "
     "'remote': {'type': 'unix', 'path': '%D/b'}}",
     "{'type': 'dgram', 'id': 'n0', 'local': {'type': 'unix', 'path': '%D/b'}, "
     "'remote': {'type': 'unix', 'path': '%D/a'}}"},
    {"{'type': 'socket', 'id': 'n0', 'listen': '127.0.0.1:%P'}",
     "{'type': 'socket', 'id': 'n0', 'connect': '127.0.0.1:%P'}"},
    {"{'type': 'stream', 'id': 'n0', 'server': true, 'addr': {'type': 'unix', 'path': '%D/a'}}",
     "{'type': 'stream', 'id': 'n0', 'addr': {'type': 'unix', 'path': '%D/a'}}"},
};

typedef struct {
    FakeDriver *a, *b;
    NetBackend *na, *nb;
} Pair;

static FakeDriver *device_on(const char *json, unsigned cell, NetBackend **ret_b)
{
    FakeMachine *m = fake_machine_new(0);

    type_register_list(net_types);
    net_root = m->p.root;
    net_loop = m->p.loop;
    *ret_b = net_add(json);
    return fake_driver_probe_on(m, "virtio-net", cell, "netdev=n0");
}

static void run_both(Pair *p)
{
    fake_machine_run(p->a->m);
    fake_machine_run(p->b->m);
}

static Pair pair_new(unsigned link, unsigned cell)
{
    g_autofree char *port = g_strdup_printf("%u", free_port());
    const char *const ends[] = {links[link].a, links[link].b};
    FakeDriver *d[2];
    NetBackend *n[2];
    Pair p;

    for (unsigned i = 0; i < 2; i++) {
        GString *json = g_string_new(ends[i]);

        g_string_replace(json, "%D", dir, 0);
        g_string_replace(json, "%P", port, 0);
        d[i] = device_on(json->str, i ? (cell * 7 + 3) % FAKE_CELLS : cell, &n[i]);
        g_string_free(json, TRUE);
        fake_driver_up(d[i]);
    }
    p = (Pair){d[0], d[1], n[0], n[1]};
    for (unsigned i = 0; !net_link_up(p.na) || !net_link_up(p.nb); i++) {
        ck_assert_msg(i < ROUNDS, "they do not find each other");
        run_both(&p);
    }
    return p;
}

static void pair_free(Pair *p)
{
    fake_driver_free(p->a);
    fake_driver_free(p->b);
}

/* The next frame that to gets. */
static void await(Pair *p, FakeDriver *to)
{
    for (unsigned i = 0; !vnet_get(to, RX, &got); i++) {
        ck_assert_msg(i < ROUNDS, "no frame comes");
        run_both(p);
    }
}

static void await_is(Pair *p, FakeDriver *to, const void *bytes, size_t len)
{
    await(p, to);
    ck_assert_uint_eq(got.len, len);
    ck_assert(memcmp(got.frame, bytes, len) == 0);
    ck_assert_uint_eq(got.hdr[0], 0); /* no flags, not segmented */
    ck_assert_uint_eq(got.hdr[1], 0);
}

START_TEST(frames_of_all_sizes_pass_both_ways)
{
    static const size_t sizes[] = {14, 60, 1514, 4096, 65535, NET_FRAME_MAX};
    Pair p = pair_new((unsigned)_i / FAKE_CELLS, (unsigned)_i % FAKE_CELLS);
    FakeDriver *const d[] = {p.a, p.b};

    for (unsigned i = 0; i < 2 * G_N_ELEMENTS(sizes); i++) {
        FakeDriver *from = d[i % 2], *to = d[1 - i % 2];
        uint64_t page = to->next_page;
        size_t len = sizes[i / 2];

        vnet_pattern(frame, len, i);
        vnet_post(to, RX, 1, 70000, 9000);
        vnet_send(from, TX, NULL, frame, len, len / 3 + 1);
        await_is(&p, to, frame, len);
        to->next_page = page;
    }
    ck_assert_uint_eq(net_counter(p.na, "tx-frames"), G_N_ELEMENTS(sizes));
    ck_assert_uint_eq(net_counter(p.nb, "tx-frames"), G_N_ELEMENTS(sizes));
    ck_assert_uint_eq(vnet_count(p.a, "rx-dropped") + vnet_count(p.b, "rx-dropped"), 0);
    pair_free(&p);
}
END_TEST

/* Is the checksum of the TCP or UDP packet behind an IPv4 header of 20 bytes right? */
static bool is_complete(const uint8_t *p)
{
    unsigned len = get16(p + 16) - 20;
    uint32_t sum = net_csum_add(0, p + 26, 8, false);

    sum = net_csum_add(sum, p + 34, len, false);
    return net_csum_fold(sum + htons(p[23]) + htons((uint16_t)len)) == 0;
}

START_TEST(checksums_are_complete_at_the_other_end)
{
    Pair p = pair_new((unsigned)_i, 0);

    ck_assert(vnet_offers(p.a, VIRTIO_NET_F_CSUM));
    ck_assert(!vnet_offers(p.b, VIRTIO_NET_F_GUEST_CSUM));
    vnet_post(p.b, RX, 8, ROOM, ROOM);
    for (unsigned n = 0; n < 8; n++) {
        net_frame(buf, 142 + n, n);
        ethernet(host_mac, 0x0800);
        put16(buf + 38, 108 + n);
        wrap_ip(17, 0x0a00020f, 0x0a000202, 108 + n);
        ck_assert(!is_complete(buf));
        vnet_send(p.a, TX, vnet_header(VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 34, 6), buf, 142 + n,
                  50);
        await(&p, p.b);
        ck_assert_uint_eq(got.hdr[0], 0);
        ck_assert_uint_eq(got.len, 142 + n);
        ck_assert(is_complete(got.frame));
        ck_assert_mem_eq(got.frame + 42, buf + 42, 100 + n);
    }
    pair_free(&p);
}
END_TEST

START_TEST(a_large_segment_is_cut_for_the_other_end)
{
    Pair p = pair_new((unsigned)_i, 0);

    ck_assert(vnet_offers(p.a, VIRTIO_NET_F_HOST_TSO4));
    ck_assert(!vnet_offers(p.b, VIRTIO_NET_F_GUEST_TSO4));
    net_frame(buf, TCP4 + PAYLOAD, 9);
    ethernet(host_mac, 0x0800);
    put32(buf + 38, 5000);
    buf[46] = 5 << 4;
    buf[47] = ACK;
    wrap_ip(6, 0x0a00020f, 0x0a000202, 20 + PAYLOAD);
    vnet_post(p.b, RX, 40, ROOM, ROOM);
    vnet_add(p.a, TX,
             vnet_header(VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, MSS, 34, 16),
             buf, TCP4 + PAYLOAD, 4000);
    fake_driver_kick(p.a, TX);
    for (unsigned i = 0; i < PAYLOAD / MSS; i++) {
        await(&p, p.b);
        ck_assert_uint_eq(got.len, TCP4 + MSS);
        ck_assert(is_complete(got.frame));
        ck_assert_uint_eq(get32(got.frame + 38), 5000 + i * MSS);
        ck_assert_mem_eq(got.frame + TCP4, buf + TCP4 + i * MSS, MSS);
    }
    vnet_take_sent(p.a, TX, 1);
    pair_free(&p);
}
END_TEST

/* A driver that brings few buffers, now and then: the other's queue stops, and nothing is lost. */
START_TEST(a_slow_driver_stops_the_other_and_loses_nothing)
{
    enum { FRAMES = 200, LEN = 65535 };
    Pair p = pair_new((unsigned)_i, 0);
    uint64_t sent_page = p.a->next_page, page = p.b->next_page;
    unsigned sent = 0, back = 0;

    for (unsigned n = 0; n < FRAMES; n++) {
        for (; sent < FRAMES && sent - back < 8; sent++) {
            p.a->next_page = sent_page + sent % 16 * 0x20000;
            vnet_pattern(frame, LEN, sent);
            vnet_add(p.a, TX, NULL, frame, LEN, 16384);
            fake_driver_kick(p.a, TX);
        }
        p.b->next_page = page;
        vnet_post(p.b, RX, 1, 70000, 70000);
        vnet_pattern(frame, LEN, n);
        await_is(&p, p.b, frame, LEN);
        for (run_both(&p); fake_driver_get(p.a, TX, NULL, NULL); back++) {
        }
    }
    ck_assert_uint_eq(back, FRAMES);
    ck_assert_uint_eq(net_counter(p.na, "tx-dropped") + net_counter(p.nb, "rx-dropped"), 0);
    pair_free(&p);
}
END_TEST

/* --- passt: net-guest.h is the guest; its card's frames go through a driver and the device --- */

enum { BATCH = 64, PUMP_NS = 100000 };

typedef struct {
    FakeDriver *d;
    NetBackend *peer; /* of the device */
    NetTest *t;       /* of the card */
    Card *card;
    Clock *clock;
    LoopTimer *timer;
    uint64_t tx_page, rx_page;
    unsigned posted;
} Guest;

static pid_t passt;

static bool passt_can_run(void)
{
    g_autofree char *path = g_find_program_in_path("passt");

    return path && geteuid() == 0 &&
           system("unshare -n ip link add d0 type veth peer name d1 >/dev/null 2>&1") == 0;
}

/* A network namespace whose host is 192.0.2.5 behind 192.0.2.1, and passt in it. */
static void passt_setup(void)
{
    g_autofree char *path = NULL;

    setup();
    path = g_build_filename(dir, "a", NULL);
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_int_eq(
        system("ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d1 up && "
               "ip addr add 192.0.2.5/24 dev d0 && ip link set d0 up && "
               "ip route add default via 192.0.2.1"),
        0);
    g_chmod(dir, 0777); /* passt gives up root */
    passt = fork();
    if (passt == 0) {
        int null = open("/dev/null", O_WRONLY);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 1);
        dup2(null, 2);
        execlp("passt", "passt", "-f", "-4", "-s", path, (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 500 && access(path, F_OK) < 0; i++) {
        g_usleep(10000);
    }
}

static void passt_teardown(void)
{
    kill(passt, SIGKILL);
    waitpid(passt, NULL, 0);
    teardown();
}

static void post_batch(Guest *g)
{
    uint64_t page = g->d->next_page;

    g->d->next_page = g->rx_page;
    vnet_post(g->d, RX, BATCH, ROOM, ROOM);
    g->d->next_page = page;
    g->posted = BATCH;
}

/* Frames that the card has sent go to the driver, what the driver gets to the card. */
static void pump(void *opaque)
{
    Guest *g = opaque;

    for (unsigned i = 0; i < g->t->sent->len; i++) {
        const NetRecord *r = net_test_sent(g->t, i);
        const NetHdr *h = &r->hdr;

        g->d->next_page = g->tx_page;
        vnet_send(g->d, TX,
                  vnet_header(h->flags, h->gso_type, h->hdr_len, h->gso_size, h->csum_start,
                              h->csum_offset),
                  r->bytes->data, r->bytes->len, 1000);
    }
    g_ptr_array_set_size(g->t->sent, 0);
    fake_machine_run(g->d->m);
    while (vnet_get(g->d, RX, &got)) {
        ck_assert(net_test_inject(g->t, got.frame, got.len, (NetHdr){0}));
        g->posted -= got.buffers;
        if (g->posted == 0) {
            post_batch(g);
        }
    }
    loop_timer_arm_in(g->timer, PUMP_NS);
}

static void guest_start(Guest *g)
{
    g_autofree char *json = g_strdup_printf("{'type': 'stream', 'id': 'n0', 'reconnect': 1, "
                                            "'addr': {'type': 'unix', 'path': '%s/a'}}",
                                            dir);

    g->d = device_on(json, 0, &g->peer);
    fake_driver_up(g->d);
    for (unsigned i = 0; i < ROUNDS && !net_link_up(g->peer); i++) {
        fake_machine_run(g->d->m);
        g_usleep(500);
    }
    ck_assert(net_link_up(g->peer));
    g->tx_page = fake_driver_alloc(g->d, 0x20000).v;
    g->rx_page = fake_driver_alloc(g->d, BATCH * 4096).v;
    post_batch(g);
    net_setup(); /* from here on: the card's loop and tree */
    g->t = net_test_add("c0", NET_OFFLOAD_ALL, 1);
    g->card = card_new(&g->t->parent_obj);
    g->clock = clock_new();
    g->timer = loop_timer_new(net_loop, g->clock, pump, g);
    loop_timer_arm_in(g->timer, PUMP_NS);
}

START_TEST(passt_gives_an_address_and_a_file_of_the_host)
{
    Guest g = {0};
    const uint8_t *p;
    size_t len;

    guest_start(&g);
    p = dhcp(g.card, 1, &len);
    guest_ip = get32(p + 16);
    host_ip = get32(option(p, len, 3) + 1);
    ck_assert_uint_eq(guest_ip, 0xc0000205);
    ck_assert_uint_eq(host_ip, 0xc0000201);
    p = dhcp(g.card, 3, &len);
    ck_assert_uint_eq(option(p, len, 53)[1], 5);
    fetch(g.peer, g.card, false); /* the gateway's address is the host's loopback */
    ck_assert_uint_eq(vnet_count(g.d, "rx-dropped") + vnet_count(g.d, "tx-errors"), 0);
    loop_timer_free(g.timer);
    clock_free(g.clock);
    net_teardown();
    fake_driver_free(g.d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-net-peers");
    TCase *tc = tcase_create("pair");
    int n = G_N_ELEMENTS(links);

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, frames_of_all_sizes_pass_both_ways, 0, n * FAKE_CELLS);
    tcase_add_loop_test(tc, checksums_are_complete_at_the_other_end, 0, n);
    tcase_add_loop_test(tc, a_large_segment_is_cut_for_the_other_end, 0, n);
    tcase_add_loop_test(tc, a_slow_driver_stops_the_other_and_loses_nothing, 0, n);
    if (passt_can_run()) {
        tc = tcase_create("passt");
        tcase_add_checked_fixture(tc, passt_setup, passt_teardown);
        tcase_set_timeout(tc, 60);
        suite_add_tcase(s, tc);
        tcase_add_test(tc, passt_gives_an_address_and_a_file_of_the_host);
    } else {
        fprintf(stderr, "passt is not installed, or there are no network namespaces: not tested\n");
    }
    return suite_run(s);
}
