/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backends socket, stream and dgram: two cards back to back over every way to connect
 * them, and a peer of the test's own that writes and reads as it likes.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "net-fixture.h"
#include "tests/suite.h"

static uint8_t buf[NET_FRAME_MAX + 64];
static char *dir;
static unsigned port;

static void setup(void)
{
    net_setup();
    dir = g_dir_make_tmp("net-sock-XXXXXX", NULL);
    port = 20000 + (unsigned)getpid() % 20000;
}

static void teardown(void)
{
    net_teardown();
    ck_assert_msg(g_rmdir(dir) == 0, "something is left in %s", dir);
    g_free(dir);
}

/* %D: the directory, %P and %Q: two ports, %F and %G: the two ends of a socket pair. */
static char *fill(const char *text, const int *fds)
{
    GString *s = g_string_new(text);
    g_autofree char *p = g_strdup_printf("%u", port), *q = g_strdup_printf("%u", port + 1);
    g_autofree char *f = g_strdup_printf("%d", fds ? fds[0] : -1);
    g_autofree char *g = g_strdup_printf("%d", fds ? fds[1] : -1);

    g_string_replace(s, "%D", dir, 0);
    g_string_replace(s, "%P", p, 0);
    g_string_replace(s, "%Q", q, 0);
    g_string_replace(s, "%F", f, 0);
    g_string_replace(s, "%G", g, 0);
    return g_string_free(s, FALSE);
}

static NetBackend *add(const char *text, const int *fds)
{
    g_autofree char *json = fill(text, fds);

    return net_add(json);
}

/* --- two cards --- */

static const struct {
    const char *name, *a, *b;
    int pair; /* type of the socket pair; 0: none */
    size_t max;
    bool lossy; /* UDP may lose what is sent too fast */
} ways[] = {
    {"socket tcp", "{'type': 'socket', 'id': 'a', 'listen': '127.0.0.1:%P'}",
     "{'type': 'socket', 'id': 'b', 'connect': '127.0.0.1:%P'}", 0, NET_FRAME_MAX, false},
    {"socket udp",
     "{'type': 'socket', 'id': 'a', 'udp': '127.0.0.1:%P', 'localaddr': '127.0.0.1:%Q'}",
     "{'type': 'socket', 'id': 'b', 'udp': '127.0.0.1:%Q', 'localaddr': '127.0.0.1:%P'}", 0, 65000,
     true},
    {"socket fd stream", "{'type': 'socket', 'id': 'a', 'fd': '%F'}",
     "{'type': 'socket', 'id': 'b', 'fd': '%G'}", SOCK_STREAM, NET_FRAME_MAX, false},
    {"socket fd dgram", "{'type': 'socket', 'id': 'a', 'fd': '%F'}",
     "{'type': 'socket', 'id': 'b', 'fd': '%G'}", SOCK_DGRAM, NET_FRAME_MAX, false},
    {"stream unix",
     "{'type': 'stream', 'id': 'a', 'server': true, 'addr': {'type': 'unix', 'path': '%D/s'}}",
     "{'type': 'stream', 'id': 'b', 'addr': {'type': 'unix', 'path': '%D/s'}}", 0, NET_FRAME_MAX,
     false},
    {"stream abstract",
     "{'type': 'stream', 'id': 'a', 'server': true, 'addr.type': 'unix', 'addr.path': 'net-%P', "
     "'addr.abstract': 'on'}",
     "{'type': 'stream', 'id': 'b', 'addr.type': 'unix', 'addr.path': 'net-%P', "
     "'addr.abstract': 'on'}",
     0, NET_FRAME_MAX, false},
    {"stream tcp",
     "{'type': 'stream', 'id': 'a', 'server': true, 'addr.type': 'inet', 'addr.host': '127.0.0.1', "
     "'addr.port': '%P'}",
     "{'type': 'stream', 'id': 'b', 'addr.type': 'inet', 'addr.host': '127.0.0.1', 'addr.port': "
     "'%P'}",
     0, NET_FRAME_MAX, false},
    {"stream fd", "{'type': 'stream', 'id': 'a', 'addr': {'type': 'fd', 'str': '%F'}}",
     "{'type': 'stream', 'id': 'b', 'addr': {'type': 'fd', 'str': '%G'}}", SOCK_STREAM,
     NET_FRAME_MAX, false},
    {"dgram unix",
     "{'type': 'dgram', 'id': 'a', 'local': {'type': 'unix', 'path': '%D/a'}, "
     "'remote': {'type': 'unix', 'path': '%D/b'}}",
     "{'type': 'dgram', 'id': 'b', 'local': {'type': 'unix', 'path': '%D/b'}, "
     "'remote': {'type': 'unix', 'path': '%D/a'}}",
     0, NET_FRAME_MAX, false},
    {"dgram udp",
     "{'type': 'dgram', 'id': 'a', 'local': {'type': 'inet', 'host': '127.0.0.1', 'port': '%P'}, "
     "'remote': {'type': 'inet', 'host': '127.0.0.1', 'port': '%Q'}}",
     "{'type': 'dgram', 'id': 'b', 'local': {'type': 'inet', 'host': '127.0.0.1', 'port': '%Q'}, "
     "'remote': {'type': 'inet', 'host': '127.0.0.1', 'port': '%P'}}",
     0, 65000, true},
    {"dgram fd", "{'type': 'dgram', 'id': 'a', 'local': {'type': 'fd', 'str': '%F'}}",
     "{'type': 'dgram', 'id': 'b', 'local': {'type': 'fd', 'str': '%G'}}", SOCK_DGRAM,
     NET_FRAME_MAX, false},
};

typedef struct {
    Card *from, *to;
    unsigned sent, checked, wrong;
    size_t max;
    bool lossy;
} Flow;

enum { FRAMES = 400, WINDOW = 2 };

static size_t size_of(const Flow *f, unsigned i)
{
    static const size_t sizes[] = {14, 60, 1514, 65000, 9014, 15, 4096, NET_FRAME_MAX};

    return MIN(sizes[(i + (i >> 3)) % G_N_ELEMENTS(sizes)], f->max);
}

/* Sends until it is refused, takes some, checks what came: in order, none lost, none twice. */
static void step(Flow *f, GRand *rand)
{
    unsigned limit = f->lossy ? f->checked + WINDOW : FRAMES;

    while (f->sent < MIN(FRAMES, limit)) {
        net_frame(buf, size_of(f, f->sent), f->sent);
        if (!card_send(f->from, buf, size_of(f, f->sent))) {
            break;
        }
        f->sent++;
    }
    f->to->room = g_rand_int_range(rand, 0, 4);
    net_receive_ready(f->to->user, 0);
    for (unsigned i = 0; i < 3; i++) {
        loop_iterate(net_loop, false);
    }
    for (unsigned i = 0; i < f->to->got->len; i++) {
        const NetRecord *r = f->to->got->pdata[i];
        size_t size = size_of(f, f->checked);

        net_frame(buf, size, f->checked++);
        f->wrong += r->bytes->len != size || memcmp(r->bytes->data, buf, size) != 0;
    }
    card_drop(f->to);
}

START_TEST(two_cards_exchange_frames_with_slow_receivers)
{
    int fds[2] = {-1, -1};
    GRand *rand = g_rand_new_with_seed(7);
    Flow there = {.max = ways[_i].max, .lossy = ways[_i].lossy}, back = there;
    gint64 end = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    NetBackend *a, *b;

    if (ways[_i].pair) {
        ck_assert_int_eq(socketpair(AF_UNIX, ways[_i].pair, 0, fds), 0);
    }
    a = add(ways[_i].a, fds);
    b = add(ways[_i].b, fds);
    there.from = back.to = card_new(a);
    there.to = back.from = card_new(b);
    while (!net_link_up(a) || !net_link_up(b)) {
        loop_iterate(net_loop, true);
    }
    while (there.checked < FRAMES || back.checked < FRAMES) {
        step(&there, rand);
        step(&back, rand);
        ck_assert_msg(g_get_monotonic_time() < end, "%s: %u and %u of %u came", ways[_i].name,
                      there.checked, back.checked, FRAMES);
    }
    ck_assert_msg(there.wrong + back.wrong == 0, "%s: %u wrong", ways[_i].name,
                  there.wrong + back.wrong);
    ck_assert_uint_eq(net_counter(a, "tx-frames"), FRAMES);
    ck_assert_uint_eq(net_counter(b, "rx-frames"), FRAMES);
    ck_assert_uint_eq(net_counter(a, "tx-bytes"), net_counter(b, "rx-bytes"));
    ck_assert_uint_eq(net_counter(b, "rx-dropped") + net_counter(a, "rx-dropped"), 0);
    card_free(there.from);
    card_free(there.to);
    g_rand_free(rand);
}
END_TEST

START_TEST(a_multicast_group_is_a_switch)
{
    static const char *const kinds[] = {
        "{'type': 'socket', 'id': '%F', 'mcast': '230.0.0.1:%P', 'localaddr': '127.0.0.1'}",
        "{'type': 'dgram', 'id': '%F', 'remote': {'type': 'inet', 'host': '230.0.0.1', 'port': "
        "'%P'}, 'local': {'type': 'inet', 'host': '127.0.0.1', 'port': '0'}}"};
    Card *cards[3];

    for (int i = 0; i < 3; i++) {
        g_autofree char *text = g_strdup_printf("n%d", i);
        g_auto(GStrv) parts = g_strsplit(kinds[_i], "%F", 2);
        g_autofree char *json = g_strconcat(parts[0], text, parts[1], NULL);

        cards[i] = card_new(add(json, NULL));
    }
    net_frame(buf, 100, 1);
    ck_assert(card_send(cards[0], buf, 100));
    for (unsigned i = 1; i < 3; i++) {
        ck_assert_mem_eq(card_wait(cards[i])->bytes->data, buf, 100);
    }
    for (unsigned i = 0; i < 3; i++) {
        card_free(cards[i]);
    }
}
END_TEST

/* --- a peer of the test's own --- */

static int peer;

/* A card on a stream whose other end is ours. */
static Card *card_with_peer(int type)
{
    int fds[2];

    ck_assert_int_eq(socketpair(AF_UNIX, type | SOCK_NONBLOCK, 0, fds), 0);
    peer = fds[1];
    return card_new(add("{'type': 'socket', 'id': 'a', 'fd': '%F'}", fds));
}

static void peer_frame(uint32_t claim, size_t len)
{
    uint32_t be = htonl(claim);

    net_frame(buf, len, claim);
    ck_assert_int_eq(write(peer, &be, 4), 4);
    ck_assert_int_eq(write(peer, buf, len), (ssize_t)len);
}

START_TEST(a_frame_that_comes_in_bits_is_one)
{
    Card *c = card_with_peer(SOCK_STREAM);
    uint8_t wire[4 + 60];

    for (unsigned k = 0; k < 3; k++) {
        memcpy(wire, (uint32_t[]){htonl(60)}, 4);
        net_frame(wire + 4, 60, k);
        for (unsigned i = 0; i < sizeof wire; i += k + 1) {
            size_t n = MIN(k + 1, sizeof wire - i);

            ck_assert(c->got->len == k);
            ck_assert_int_eq(write(peer, wire + i, n), (ssize_t)n);
            net_run_for(1);
        }
        ck_assert_uint_eq(c->got->len, k + 1);
        ck_assert_mem_eq(((NetRecord *)c->got->pdata[k])->bytes->data, wire + 4, 60);
    }
    card_free(c);
    close(peer);
}
END_TEST

START_TEST(a_peer_that_does_not_read_stops_the_queue)
{
    Card *c = card_with_peer(SOCK_STREAM);
    unsigned sent = 0, got = 0, wrong = 0;
    static uint8_t wire[4 + NET_FRAME_MAX];
    size_t have = 0;

    net_frame(buf, 9000, 1);
    while (card_send(c, buf, 9000)) {
        ck_assert_uint_lt(++sent, 1000);
    }
    ck_assert(card_idle(c) && c->ready == 0);
    ck_assert(!card_send(c, buf, 9000));
    while (got < sent) {
        ssize_t n = read(peer, wire + have, 1 + (size_t)(got * 77 % 5000));

        have += n > 0 ? (size_t)n : 0;
        while (have >= 9004) {
            wrong += ntohl(*(uint32_t *)wire) != 9000 || memcmp(wire + 4, buf, 9000) != 0;
            memmove(wire, wire + 9004, have - 9004);
            have -= 9004;
            got++;
        }
        loop_iterate(net_loop, false);
    }
    ck_assert_uint_eq(wrong + have, 0);
    ck_assert_uint_eq(c->ready, 1);
    ck_assert(card_send(c, buf, 9000));
    card_free(c);
    close(peer);
}
END_TEST

static bool link_is_down(void *opaque)
{
    return !net_link_up(opaque);
}

static bool link_is_up(void *opaque)
{
    return net_link_up(opaque);
}

START_TEST(a_peer_that_is_gone_takes_the_link_down)
{
    Card *c = card_with_peer(SOCK_STREAM);
    NetBackend *b = net_user_backend(c->user);

    peer_frame(60, 60);
    if (_i) {
        peer_frame(1000, 999); /* in the middle of a frame */
    }
    close(peer);
    net_run_until(link_is_down, b);
    net_run_for(2);
    ck_assert(!c->link && c->links == 1);
    ck_assert_uint_eq(c->got->len, 1);
    ck_assert_uint_eq(net_counter(b, "rx-errors"), (unsigned)_i);
    ck_assert(card_send(c, buf, 60));
    ck_assert_uint_eq(net_counter(b, "tx-dropped"), 1);
    card_free(c);
}
END_TEST

START_TEST(what_is_on_its_way_when_a_peer_goes_is_counted)
{
    Card *c = card_with_peer(SOCK_STREAM);
    NetBackend *b = net_user_backend(c->user);

    c->room = 1;
    for (unsigned i = 0; i < 6; i++) { /* one received, one kept for the card, four wait */
        peer_frame(60, 60);
    }
    peer_frame(1000, 10); /* and a part */
    net_run_for(5);
    ck_assert_uint_eq(c->got->len, 1);
    net_frame(buf, 65000, 1);
    while (card_send(c, buf, 65000)) { /* until one is out in part: the kernel cuts it */
    }
    ck_assert_uint_eq(net_counter(b, "tx-dropped"), 0);
    close(peer);
    net_run_until(link_is_down, b);
    net_run_for(2);
    ck_assert_uint_eq(net_counter(b, "rx-errors"), 1);
    ck_assert_uint_eq(net_counter(b, "tx-dropped"), 1);
    ck_assert_uint_eq(c->ready, 1);
    c->room = -1;
    net_receive_ready(c->user, 0);
    net_run_for(2);
    ck_assert_uint_eq(c->got->len + net_counter(b, "rx-dropped"), 6);
    card_free(c);
}
END_TEST

START_TEST(a_frame_that_is_too_long_ends_the_connection)
{
    static const uint32_t lengths[] = {NET_FRAME_MAX + 1, 0x80000000, 0xffffffff, 0x47455420};
    Card *c = card_with_peer(SOCK_STREAM);
    NetBackend *b = net_user_backend(c->user);

    peer_frame(NET_FRAME_MAX, NET_FRAME_MAX);
    net_run_for(5);
    ck_assert_uint_eq(c->got->len, 1);
    peer_frame(lengths[_i], 10);
    net_run_until(link_is_down, b);
    ck_assert_uint_eq(net_counter(b, "rx-errors"), 1);
    ck_assert_int_lt(send(peer, buf, 10, MSG_NOSIGNAL), 0);
    card_free(c);
    close(peer);
}
END_TEST

START_TEST(frames_too_short_are_counted_and_the_connection_lives)
{
    Card *c = card_with_peer(SOCK_STREAM);
    NetBackend *b = net_user_backend(c->user);

    peer_frame(0, 0);
    peer_frame(13, 13);
    peer_frame(14, 14);
    ck_assert_uint_eq(card_wait(c)->bytes->len, 14);
    ck_assert_uint_eq(net_counter(b, "rx-errors"), 2);
    ck_assert(net_link_up(b));
    card_free(c);
    close(peer);
}
END_TEST

START_TEST(long_datagrams_are_errors)
{
    Card *c = card_with_peer(SOCK_DGRAM);
    NetBackend *b = net_user_backend(c->user);

    ck_assert_int_eq(write(peer, buf, NET_FRAME_MAX + 1), NET_FRAME_MAX + 1);
    ck_assert_int_eq(write(peer, buf, 5), 5);
    ck_assert_int_eq(write(peer, buf, 60), 60);
    ck_assert_uint_eq(card_wait(c)->bytes->len, 60);
    ck_assert_uint_eq(net_counter(b, "rx-errors"), 2);
    card_free(c);
    close(peer);
}
END_TEST

static int connect_unix(const char *path)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    g_strlcpy(un.sun_path, path, sizeof un.sun_path);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
    return fd;
}

START_TEST(a_server_takes_the_next_peer_when_one_has_gone)
{
    NetBackend *b = add(
        "{'type': 'stream', 'id': 'a', 'server': true, 'addr': {'type': 'unix', 'path': '%D/s'}}",
        NULL);
    Card *c = card_new(b);
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    int first, second;

    ck_assert(!net_link_up(b));
    first = connect_unix(path);
    net_run_until(link_is_up, b);
    second = connect_unix(path); /* waits */
    peer = second;
    peer_frame(60, 60);
    ck_assert(card_idle(c));
    peer = first;
    peer_frame(61, 20); /* the rest never comes, and must not eat of the next peer's */
    net_run_for(2);
    close(first);
    ck_assert_uint_eq(card_wait(c)->bytes->len, 60);
    ck_assert(net_link_up(b));
    close(second);
    card_free(c);
}
END_TEST

START_TEST(a_client_connects_again)
{
    NetBackend *b = add("{'type': 'stream', 'id': 'b', 'reconnect': 1, 'addr': {'type': 'unix', "
                        "'path': '%D/s'}}",
                        NULL); /* nobody is there yet */
    Card *c = card_new(b), *d;

    ck_assert(!net_link_up(b));
    for (unsigned i = 0; i < 2; i++) {
        d = card_new(add("{'type': 'stream', 'id': 'a', 'server': true, 'addr': {'type': 'unix', "
                         "'path': '%D/s'}}",
                         NULL));
        net_run_until(link_is_up, b);
        net_frame(buf, 60, i);
        ck_assert(card_send(c, buf, 60));
        ck_assert_mem_eq(card_wait(d)->bytes->data, buf, 60);
        card_free(d);
        ck_assert(net_backend_del(net_root, "a", NULL));
        net_run_until(link_is_down, b);
    }
    card_free(c);
}
END_TEST

static GString *events;

static void on_event(void *opaque, const char *event, json_t *data)
{
    char *text = json_dumps(data, JSON_SORT_KEYS);

    g_string_append_printf(events, "%s %s\n", event, text);
    free(text);
    json_decref(data);
}

START_TEST(connections_of_a_stream_are_told)
{
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *want = g_strdup_printf(
        "NETDEV_STREAM_CONNECTED {\"addr\": {\"path\": \"%s\", \"type\": \"unix\"}, \"netdev-id\": "
        "\"a\"}\nNETDEV_STREAM_DISCONNECTED {\"netdev-id\": \"a\"}\n",
        path);
    NetBackend *b;
    Card *c;
    int fd;

    events = g_string_new(NULL);
    net_set_event_handler(net_root, on_event, NULL);
    b = add("{'type': 'stream', 'id': 'a', 'server': true, 'addr': {'type': 'unix', 'path': "
            "'%D/s'}}",
            NULL);
    c = card_new(b);
    net_run_for(2);
    ck_assert_str_eq(events->str, "");
    fd = connect_unix(path);
    net_run_until(link_is_up, b);
    net_run_for(2);
    close(fd);
    net_run_until(link_is_down, b);
    net_run_for(2);
    ck_assert_str_eq(events->str, want);
    card_free(c);
    net_set_event_handler(net_root, NULL, NULL);
    g_string_free(events, TRUE);
}
END_TEST

START_TEST(bad_options_get_one_line)
{
    static const char *const bad[][2] = {
        {"{'type': 'socket', 'id': 'x'}", "give one of listen=, connect=, mcast=, udp= and fd="},
        {"{'type': 'socket', 'id': 'x', 'listen': ':1', 'connect': ':1'}",
         "give one of listen=, connect=, mcast=, udp= and fd="},
        {"{'type': 'socket', 'id': 'x', 'listen': '1234'}", "'1234': the form is HOST:PORT"},
        {"{'type': 'socket', 'id': 'x', 'listen': ':%P', 'localaddr': ':1'}",
         "localaddr= goes with mcast= and udp= only"},
        {"{'type': 'socket', 'id': 'x', 'connect': '127.0.0.1:%P'}",
         "cannot connect to 127.0.0.1:%P: Connection refused"},
        {"{'type': 'socket', 'id': 'x', 'connect': '127.0.0.1:nosuch'}",
         "'127.0.0.1:nosuch': Servname not supported for ai_socktype"},
        {"{'type': 'socket', 'id': 'x', 'udp': '127.0.0.1:1'}",
         "udp= needs localaddr=HOST:PORT, where the peer sends to"},
        {"{'type': 'socket', 'id': 'x', 'mcast': '127.0.0.1:1'}",
         "'127.0.0.1' is not a multicast address, 224.0.0.0 to 239.255.255.255"},
        {"{'type': 'socket', 'id': 'x', 'fd': 'two'}",
         "'two' is not the number of a file descriptor, nor a name of getfd"},
        {"{'type': 'socket', 'id': 'x', 'fd': '999'}", "file descriptor 999 is not open"},
        {"{'type': 'socket', 'id': 'x', 'fd': '1'}",
         "file descriptor 1 is not a socket: Socket operation on non-socket"},
        {"{'type': 'stream', 'id': 'x'}", "'addr.type' is missing: inet, unix or fd"},
        {"{'type': 'stream', 'id': 'x', 'addr': {'type': 'vsock'}}",
         "'addr.type' is inet, unix or fd, not 'vsock'"},
        {"{'type': 'stream', 'id': 'x', 'addr': {'type': 'unix'}}", "'addr.path' is missing"},
        {"{'type': 'stream', 'id': 'x', 'addr': {'type': 'unix', 'path': '%D/none'}}",
         "cannot connect to %D/none: No such file or directory"},
        {"{'type': 'stream', 'id': 'x', 'server': true, 'reconnect': 1, 'addr': {'type': 'unix', "
         "'path': '%D/s'}}",
         "reconnect= is for a client: leave server=on out"},
        {"{'type': 'stream', 'id': 'x', 'server': true, 'addr': {'type': 'unix', 'path': "
         "'%D/no/s'}}",
         "cannot listen on %D/no/s: No such file or directory"},
        {"{'type': 'stream', 'id': 'x', 'addr': {'type': 'fd'}}",
         "'addr.str' is missing: the number of an open socket"},
        {"{'type': 'dgram', 'id': 'x'}", "'remote' is missing: where to send to"},
        {"{'type': 'dgram', 'id': 'x', 'remote': {'type': 'inet', 'port': '1'}}",
         "'local' is missing: where the peer sends to"},
        {"{'type': 'dgram', 'id': 'x', 'remote': {'type': 'unix', 'path': '%D/a'}, 'local': "
         "{'type': 'inet', 'port': '%P'}}",
         "'local' and 'remote' are of different families"},
    };
    g_autofree char *json = fill(bad[_i][0], NULL), *want = fill(bad[_i][1], NULL);
    g_autofree char *got = net_add_error(json);

    if (strstr(want, "multicast")) {
        ck_assert(g_str_has_suffix(got, strstr(want, "is not a multicast")));
    } else {
        ck_assert_str_eq(got, want);
    }
}
END_TEST

START_TEST(an_address_in_use_gets_one_line)
{
    g_autofree char *line = fill("cannot listen on 127.0.0.1:%P: Address already in use", NULL);
    g_autofree char *second = fill("{'type': 'socket', 'id': 'b', 'listen': '127.0.0.1:%P'}", NULL);
    g_autofree char *path = fill("%D/s: address in use: another process listens there", NULL);
    g_autofree char *unix_second = fill(
        "{'type': 'stream', 'id': 'd', 'server': true, 'addr': {'type': 'unix', 'path': '%D/s'}}",
        NULL);

    add("{'type': 'socket', 'id': 'a', 'listen': '127.0.0.1:%P'}", NULL);
    net_add_fails(second, line);
    add("{'type': 'stream', 'id': 'c', 'server': true, 'addr': {'type': 'unix', 'path': '%D/s'}}",
        NULL);
    net_add_fails(unix_second, path);
}
END_TEST

START_TEST(a_datagram_address_in_use_gets_one_line)
{
    static const char *const seconds[] = {
        "{'type': 'socket', 'id': 'b', 'udp': '127.0.0.1:%Q', 'localaddr': '127.0.0.1:%P'}",
        "{'type': 'dgram', 'id': 'b', "
        "'local': {'type': 'inet', 'host': '127.0.0.1', 'port': '%P'}, "
        "'remote': {'type': 'inet', 'host': '127.0.0.1', 'port': '%Q'}}",
    };
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    g_autofree char *second = fill(seconds[_i], NULL);
    g_autofree char *line = fill("cannot bind to 127.0.0.1:%P: Address already in use", NULL);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&in, sizeof in), 0);
    net_add_fails(second, line);
    close(fd);
}
END_TEST

/* --- a queue on an iothread --- */

typedef struct {
    Card *card;
    IoThread *t;
    unsigned echoed, refused;
} Echo;

/* On the iothread: every frame goes back; what is refused is dropped. */
static bool echo_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    Echo *e = opaque;

    if (net_send(e->card->user, queue, f, 1) == 1) {
        e->echoed++;
    } else {
        e->refused++;
    }
    return true;
}

static void echo_ready(void *opaque, unsigned queue)
{
}

START_TEST(a_queue_on_an_iothread_works_beside_the_main_loop)
{
    NetBackend *a = add(ways[4].a, NULL), *b = add(ways[4].b, NULL);
    Card *c = card_new(a);
    Echo e = {.card = g_new0(Card, 1)};
    NetUserOps ops = {"echo", echo_receive, echo_ready, NULL, &e};
    EventLoop *loop;
    NetStats stats = {0};

    e.t = iothread_new("IO net", NULL);
    loop = iothread_loop(e.t);
    iothread_lock(e.t);
    e.card->user = net_attach(b, &ops, &loop, 1, NULL);
    iothread_unlock(e.t);
    ck_assert_ptr_nonnull(e.card->user);
    net_run_until(link_is_up, a);
    for (unsigned i = 0; i < 500; i++) {
        net_frame(buf, 1000, i);
        ck_assert(card_send(c, buf, 1000));
        card_wait(c);
        card_drop(c);
        stats = net_stats_of(b);
        if (i % 50 == 49) {
            net_backend_set_link(b, false);
            ck_assert(card_send(c, buf, 1000));
            net_run_for(2);
            net_backend_set_link(b, true);
            card_drop(c); /* it may have come or not */
        }
    }
    ck_assert_uint_gt(stats.rx_frames, 100);
    if (_i) {
        ck_assert(net_backend_del(net_root, "b", NULL));
    }
    iothread_lock(e.t);
    net_detach(e.card->user);
    iothread_unlock(e.t);
    iothread_free(e.t);
    g_free(e.card);
    card_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-sock");
    TCase *tc = tcase_create("sock");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, two_cards_exchange_frames_with_slow_receivers, 0, G_N_ELEMENTS(ways));
    tcase_add_loop_test(tc, a_multicast_group_is_a_switch, 0, 2);
    tcase_add_test(tc, a_frame_that_comes_in_bits_is_one);
    tcase_add_test(tc, a_peer_that_does_not_read_stops_the_queue);
    tcase_add_loop_test(tc, a_peer_that_is_gone_takes_the_link_down, 0, 2);
    tcase_add_test(tc, what_is_on_its_way_when_a_peer_goes_is_counted);
    tcase_add_loop_test(tc, a_frame_that_is_too_long_ends_the_connection, 0, 4);
    tcase_add_test(tc, frames_too_short_are_counted_and_the_connection_lives);
    tcase_add_test(tc, long_datagrams_are_errors);
    tcase_add_test(tc, a_server_takes_the_next_peer_when_one_has_gone);
    tcase_add_test(tc, a_client_connects_again);
    tcase_add_test(tc, connections_of_a_stream_are_told);
    tcase_add_loop_test(tc, bad_options_get_one_line, 0, 21);
    tcase_add_test(tc, an_address_in_use_gets_one_line);
    tcase_add_loop_test(tc, a_datagram_address_in_use_gets_one_line, 0, 2);
    tcase_add_loop_test(tc, a_queue_on_an_iothread_works_beside_the_main_loop, 0, 2);
    return suite_run(s);
}
