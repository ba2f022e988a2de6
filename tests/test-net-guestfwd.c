/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * guestfwd= of the backend "user" to character devices, in QEMU's forms; the guest is
 * net-guest.h's.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/chardev.h"
#include "backends/iothread.h"
#include "net-guest.h"
#include "tests/suite.h"

enum { SERVER = 0x0a000264, PORT = 1234, MUCH = 3 * 1024 * 1024 };

static char *dir, *path; /* of a Unix socket */

static void setup(void)
{
    net_setup();
    dir = g_dir_make_tmp("net-guestfwd-XXXXXX", NULL);
    path = g_build_filename(dir, "s", NULL);
}

static void teardown(void)
{
    net_teardown();
    g_unlink(path);
    g_rmdir(dir);
    g_free(path);
    g_free(dir);
}

static int unix_socket(bool server)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

    g_strlcpy(un.sun_path, path, sizeof un.sun_path);
    if (server) {
        ck_assert_int_eq(bind(fd, (struct sockaddr *)&un, sizeof un), 0);
        ck_assert_int_eq(listen(fd, 1), 0);
    } else {
        ck_assert_int_eq(connect(fd, (struct sockaddr *)&un, sizeof un), 0);
    }
    return fd;
}

/* -chardev socket,id=c0,path=PATH */
static Chardev *add_chardev(void)
{
    json_t *opts = json_pack("{s:s, s:s, s:s}", "backend", "socket", "id", "c0", "path", path);
    g_autoptr(GError) err = NULL;
    Chardev *c = chardev_new_from_keyvals(net_loop, NULL, opts, &err);

    json_decref(opts);
    ck_assert_msg(c != NULL, "%s", err ? err->message : "");
    ck_assert(object_add_child(object_container(net_root, "chardevs"), "c0", OBJECT(c), NULL));
    return c;
}

static NetBackend *add_user(const char *target)
{
    g_autofree char *json = g_strdup_printf("{'type': 'user', 'id': 'n', 'restrict': true, "
                                            "'guestfwd': 'tcp:10.0.2.100:1234-%s'}",
                                            target);

    return net_add(json);
}

static Tcp open_tcp(NetBackend *b)
{
    Tcp t = {.card = card_new(b),
             .port = 1000,
             .peer_port = PORT,
             .server = SERVER,
             .seq = 1,
             .in = g_byte_array_new()};

    arp(t.card);
    tcp_send(&t, SYN, NULL, 0);
    RUN_UNTIL(&t, t.open);
    return t;
}

static void end(Tcp *t)
{
    card_free(t->card);
    g_byte_array_unref(t->in);
}

static void fill_pattern(uint8_t *p, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        p[i] = (uint8_t)(i * 31 + (i >> 11));
    }
}

/* --- the forms --- */

enum { TCP_CLIENT, UNIX_SERVER, UNIX_EACH, CHARDEV_ID, FORMS };

/* A backend with that form, and the host's listening socket, or -1. */
static NetBackend *add_form(int form, int *ret_listening)
{
    g_autofree char *target = NULL;
    unsigned port;

    switch (form) {
    case TCP_CLIENT:
        *ret_listening = listen_here(&port);
        target = g_strdup_printf("tcp:127.0.0.1:%u", port);
        break;
    case UNIX_SERVER:
        *ret_listening = -1;
        target = g_strdup_printf("unix:%s,server=on,wait=off", path);
        break;
    case UNIX_EACH:
        *ret_listening = unix_socket(true);
        target = g_strdup_printf("unix:%s", path);
        break;
    default:
        *ret_listening = unix_socket(true);
        add_chardev();
        target = g_strdup("chardev:c0");
    }
    return add_user(target);
}

START_TEST(a_guest_talks_to_a_character_device)
{
    int listening, fd = -1;
    NetBackend *b = add_form(_i, &listening);
    char got[16] = "";
    Tcp t;

    if (listening < 0) {
        fd = unix_socket(false);
    }
    t = open_tcp(b);
    RUN_UNTIL(&t, fd >= 0 || (fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    tcp_send(&t, ACK | PSH, "from the guest", 14);
    RUN_UNTIL(&t, recv(fd, got, sizeof got, 0) == 14);
    ck_assert_str_eq(got, "from the guest");
    ck_assert_int_eq(write(fd, "from the host", 13), 13);
    RUN_UNTIL(&t, t.in->len == 13);
    ck_assert_mem_eq(t.in->data, "from the host", 13);
    close(fd);
    close(listening);
    end(&t);
}
END_TEST

START_TEST(what_the_host_said_before_the_guest_came_waits_for_it)
{
    int fd;
    Tcp t;
    NetBackend *b = add_form(UNIX_SERVER, &fd);

    fd = unix_socket(false);
    ck_assert_int_eq(write(fd, "early", 5), 5);
    net_run_for(5);
    t = open_tcp(b);
    RUN_UNTIL(&t, t.in->len == 5);
    ck_assert_mem_eq(t.in->data, "early", 5);
    close(fd);
    end(&t);
}
END_TEST

START_TEST(much_comes_from_a_character_device_in_order)
{
    g_autofree uint8_t *file = g_malloc(MUCH);
    size_t sent = 0;
    int fd;
    NetBackend *b = add_form(UNIX_SERVER, &fd);
    Tcp t;

    fill_pattern(file, MUCH);
    fd = unix_socket(false);
    t = open_tcp(b);
    while (sent < MUCH || t.in->len < MUCH) {
        ssize_t n = sent < MUCH ? send(fd, file + sent, MUCH - sent, 0) : 0;

        sent += n > 0 ? (size_t)n : 0;
        tcp_run(&t);
    }
    ck_assert_int_eq(memcmp(t.in->data, file, MUCH), 0);
    ck_assert_uint_eq(t.stray, 0);
    close(fd);
    end(&t);
}
END_TEST

/* --- back-pressure --- */

static bool take(int fd, GByteArray *all)
{
    uint8_t some[8192];
    ssize_t n = recv(fd, some, sizeof some, 0);

    if (n > 0) {
        g_byte_array_append(all, some, (guint)n);
    }
    return n > 0;
}

START_TEST(a_device_that_takes_nothing_stops_the_card_and_loses_nothing)
{
    int listening, fd;
    NetBackend *b = add_form(CHARDEV_ID, &listening);
    Chardev *c = CHARDEV(object_child(object_container(net_root, "chardevs"), "c0"));
    g_autofree uint8_t *file = g_malloc(MUCH);
    GByteArray *got = g_byte_array_new();
    unsigned stops = 0, ready;
    size_t sent = 0;
    Tcp t;

    fill_pattern(file, MUCH);
    fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    t = open_tcp(b);
    while (sent < MUCH) {
        while (sent < MUCH && chardev_room(c) > 0) {
            size_t n = MIN(1000, MUCH - sent);

            tcp_send(&t, ACK | PSH, file + sent, n);
            sent += n;
        }
        ready = t.card->ready;
        if (sent < MUCH) {
            stops++;
            ck_assert(!card_send(t.card, buf, 60));
            ck_assert(stops > 1 || (card_idle(t.card), t.card->ready == ready));
            RUN_UNTIL(&t, (take(fd, got), t.card->ready > ready));
        }
    }
    RUN_UNTIL(&t, (take(fd, got), got->len == MUCH));
    ck_assert_int_eq(memcmp(got->data, file, MUCH), 0);
    ck_assert_uint_gt(stops, 1);
    ck_assert_uint_eq(chardev_dropped(c), 0);
    close(fd);
    close(listening);
    g_byte_array_unref(got);
    end(&t);
}
END_TEST

START_TEST(a_device_whose_other_end_goes_lets_the_card_go_on)
{
    int listening, fd;
    NetBackend *b = add_form(CHARDEV_ID, &listening);
    Chardev *c = CHARDEV(object_child(object_container(net_root, "chardevs"), "c0"));
    uint8_t some[1000] = {0};
    unsigned ready;
    Tcp t;

    fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK);
    t = open_tcp(b);
    while (chardev_room(c) > 0) {
        tcp_send(&t, ACK | PSH, some, sizeof some);
    }
    ck_assert(!card_send(t.card, buf, 60));
    ready = t.card->ready;
    close(fd);
    RUN_UNTIL(&t, t.card->ready > ready);
    ck_assert(card_send(t.card, buf, 60));
    close(listening);
    end(&t);
}
END_TEST

/* --- life --- */

START_TEST(a_deleted_backend_gives_its_character_devices_back)
{
    Object *all = object_container(net_root, "chardevs");
    int listening;
    NetBackend *b = add_form(_i ? CHARDEV_ID : TCP_CLIENT, &listening);
    Card *c = card_new(b);
    const char *name = _i ? "c0" : "guestfwd.tcp.1234";

    ck_assert(chardev_has_frontend(CHARDEV(object_child(all, name))));
    ck_assert(net_backend_del(net_root, "n", NULL));
    if (_i) {
        ck_assert(!chardev_has_frontend(CHARDEV(object_child(all, name))));
    } else {
        ck_assert_ptr_null(object_child(all, name));
    }
    card_free(c);
    close(listening);
}
END_TEST

START_TEST(two_servers_may_have_the_same_port)
{
    NetBackend *b = net_add("{'type': 'user', 'id': 'n', 'guestfwd': ["
                            "'tcp:10.0.2.100:1234-null', 'tcp:10.0.2.101:1234-null']}");
    Object *all = object_container(net_root, "chardevs");

    ck_assert(b != NULL);
    ck_assert_ptr_nonnull(object_child(all, "guestfwd.tcp.1234"));
    ck_assert_ptr_nonnull(object_child(all, "guestfwd.tcp.0a000265.1234"));
}
END_TEST

START_TEST(bad_targets_get_one_line)
{
    static const char *const bad[][2] = {
        {"'tcp:10.0.2.100:5'",
         "guestfwd=tcp:10.0.2.100:5: the form is tcp:SERVER:PORT-TARGET with cmd:COMMAND, "
         "unix:PATH, chardev:ID or another stream as TARGET"},
        {"'tcp:10.0.2.100:5-chardev:c1'",
         "guestfwd=tcp:10.0.2.100:5-chardev:c1: chardev 'c1' not found"},
        {"['tcp:10.0.2.100:5-chardev:c0', 'tcp:10.0.2.100:6-chardev:c0']",
         "guestfwd=tcp:10.0.2.100:6-chardev:c0: chardev 'c0' is in use already"},
        {"'tcp:10.0.2.100:5-tcp:x'", "guestfwd tcp:x: the port is missing: tcp:HOST:PORT"},
        {"'tcp:10.0.2.100:5-unix:/none/s,server=on'",
         "guestfwd unix:/none/s,server=on: there is no folder '/none'"},
        {"['tcp:10.0.2.100:5-null', 'tcp:10.0.2.100:5-null']",
         "guestfwd=tcp:10.0.2.100:5-null: that port is forwarded already"},
        {"'tcp:10.0.3.100:5-null'",
         "guestfwd=tcp:10.0.3.100:5-null: the server is not an address of the network, or in use"},
    };
    g_autofree char *json =
        g_strdup_printf("{'type': 'user', 'id': 'n', 'guestfwd': %s}", bad[_i][0]);
    Object *all = object_container(net_root, "chardevs");
    int listening = unix_socket(true);

    add_chardev();
    net_add_fails(json, bad[_i][1]);
    ck_assert_uint_eq(all->children->len, 1);
    ck_assert(!chardev_has_frontend(CHARDEV(object_child(all, "c0"))));
    close(listening);
}
END_TEST

START_TEST(an_iothread_is_refused)
{
    NetBackend *b = add_user("null");
    EventLoop *other = loop_new(NULL);
    NetUserOps ops = {.name = "x"};
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(net_attach(b, &ops, &other, 1, &err));
    ck_assert_str_eq(err->message, "netdev 'n': guestfwd= to a character device cannot be served "
                                   "by an iothread");
    loop_free(other);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net-guestfwd");
    TCase *tc = tcase_create("guestfwd");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    suite_add_tcase(s, tc);
    tcase_add_loop_test(tc, a_guest_talks_to_a_character_device, 0, FORMS);
    tcase_add_test(tc, what_the_host_said_before_the_guest_came_waits_for_it);
    tcase_add_test(tc, much_comes_from_a_character_device_in_order);
    tcase_add_test(tc, a_device_that_takes_nothing_stops_the_card_and_loses_nothing);
    tcase_add_test(tc, a_device_whose_other_end_goes_lets_the_card_go_on);
    tcase_add_loop_test(tc, a_deleted_backend_gives_its_character_devices_back, 0, 2);
    tcase_add_test(tc, two_servers_may_have_the_same_port);
    tcase_add_loop_test(tc, bad_targets_get_one_line, 0, 7);
    tcase_add_test(tc, an_iothread_is_refused);
    return suite_run(s);
}
