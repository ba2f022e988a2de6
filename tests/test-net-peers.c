/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Other programs as the peers of socket, stream and dgram: passt and QEMU. Skipped where they are
 * not installed.
 */
#include <fcntl.h>
#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "net-guest.h"
#include "tests/suite.h"

static char *dir;

static void setup(void)
{
    net_setup();
    dir = g_dir_make_tmp("net-peers-XXXXXX", NULL);
}

static void teardown(void)
{
    net_teardown();
    g_rmdir(dir);
    g_free(dir);
}

/* --- passt: the same guest, behind a Unix stream socket --- */

static pid_t passt;
static char *passt_socket;

static bool passt_can_run(void)
{
    g_autofree char *path = g_find_program_in_path("passt");

    return path && geteuid() == 0 &&
           system("unshare -n ip link add d0 type veth peer name d1 >/dev/null 2>&1") == 0;
}

/* A network namespace whose host is 192.0.2.5 behind 192.0.2.1, and passt in it. */
static void passt_setup(void)
{
    ck_assert_int_eq(unshare(CLONE_NEWNET), 0);
    ck_assert_int_eq(
        system("ip link set lo up && ip link add d0 type veth peer name d1 && ip link set d1 up && "
               "ip addr add 192.0.2.5/24 dev d0 && ip link set d0 up && "
               "ip route add default via 192.0.2.1"),
        0);
    setup();
    passt_socket = g_strdup_printf("/tmp/net-passt-%d", (int)getpid());
    passt = fork();
    if (passt == 0) {
        int null = open("/dev/null", O_WRONLY);

        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(null, 1);
        dup2(null, 2);
        execlp("passt", "passt", "-f", "-4", "-s", passt_socket, (char *)NULL);
        _exit(127);
    }
    for (unsigned i = 0; i < 500 && access(passt_socket, F_OK) < 0; i++) {
        g_usleep(10000);
    }
}

static void passt_teardown(void)
{
    kill(passt, SIGKILL);
    waitpid(passt, NULL, 0);
    unlink(passt_socket);
    g_free(passt_socket);
    teardown();
}

START_TEST(passt_gives_an_address_and_a_file_of_the_host)
{
    g_autofree char *json = g_strdup_printf("{'type': 'stream', 'id': 'n', 'reconnect': 1, "
                                            "'addr': {'type': 'unix', 'path': '%s'}}",
                                            passt_socket);
    NetBackend *b = net_add(json);
    Card *c = card_new(b);
    const uint8_t *p;
    size_t len;

    while (!net_link_up(b)) {
        loop_iterate(net_loop, true);
    }
    p = dhcp(c, 1, &len);
    guest_ip = get32(p + 16);
    host_ip = get32(option(p, len, 3) + 1);
    ck_assert_uint_eq(guest_ip, 0xc0000205);
    ck_assert_uint_eq(host_ip, 0xc0000201);
    p = dhcp(c, 3, &len);
    ck_assert_uint_eq(option(p, len, 53)[1], 5);
    fetch(b, c, true); /* the gateway's address is the host's loopback */
}
END_TEST

/* --- QEMU as the peer: its hub connects the socket with its own user network --- */

static pid_t qemu;

static const struct {
    const char *ours, *theirs; /* %1$u and %2$u: ports; %3$s: a path */
    bool stream;
} peers[] = {
    {"{'type': 'socket', 'id': 'n', 'listen': '127.0.0.1:%1$u'}",
     "socket,id=s,connect=127.0.0.1:%1$u", true},
    {"{'type': 'stream', 'id': 'n', 'server': true, 'addr': {'type': 'unix', 'path': '%3$s'}}",
     "stream,id=s,server=off,addr.type=unix,addr.path=%3$s", true},
    {"{'type': 'stream', 'id': 'n', 'reconnect': 1, 'addr': {'type': 'inet', 'host': '127.0.0.1', "
     "'port': '%1$u'}}",
     "stream,id=s,server=on,addr.type=inet,addr.host=127.0.0.1,addr.port=%1$u", true},
    {"{'type': 'socket', 'id': 'n', 'udp': '127.0.0.1:%1$u', 'localaddr': '127.0.0.1:%2$u'}",
     "socket,id=s,udp=127.0.0.1:%2$u,localaddr=127.0.0.1:%1$u", false},
    {"{'type': 'dgram', 'id': 'n', 'local': {'type': 'unix', 'path': '%3$s'}, 'remote': {'type': "
     "'unix', 'path': '%3$s-q'}}",
     "dgram,id=s,local.type=unix,local.path=%3$s-q,remote.type=unix,remote.path=%3$s", false},
};

static char *fill(const char *text, unsigned a, unsigned b, const char *path)
{
    GString *s = g_string_new(text);
    g_autofree char *pa = g_strdup_printf("%u", a), *pb = g_strdup_printf("%u", b);

    g_string_replace(s, "%1$u", pa, 0);
    g_string_replace(s, "%2$u", pb, 0);
    g_string_replace(s, "%3$s", path, 0);
    return g_string_free(s, FALSE);
}

static void start_qemu(const char *netdev)
{
    qemu = fork();
    if (qemu == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("qemu-system-x86_64", "qemu-system-x86_64", "-M", "none", "-nodefaults", "-display",
               "none", "-netdev", "user,id=u", "-netdev", "hubport,hubid=0,id=h0,netdev=u",
               "-netdev", netdev, "-netdev", "hubport,hubid=0,id=h1,netdev=s", (char *)NULL);
        _exit(127);
    }
}

static void qemu_teardown(void)
{
    if (qemu > 0) {
        kill(qemu, SIGKILL);
        waitpid(qemu, NULL, 0);
    }
    teardown();
}

static bool qemu_can_run(void)
{
    g_autofree char *path = g_find_program_in_path("qemu-system-x86_64");

    return path && system("qemu-system-x86_64 -M none -display none -netdev help 2>/dev/null | "
                          "grep -q dgram") == 0;
}

START_TEST(qemu_takes_and_gives_our_frames)
{
    unsigned a = free_port(), b = free_port();
    g_autofree char *path = g_build_filename(dir, "s", NULL);
    g_autofree char *ours = fill(peers[_i].ours, a, b, path);
    g_autofree char *theirs = fill(peers[_i].theirs, a, b, path);
    g_autofree char *their_path = g_strconcat(path, "-q", NULL);
    NetBackend *n = net_add(ours);
    Card *c = card_new(n);
    const uint8_t *p;
    size_t len;

    start_qemu(theirs);
    while (!net_link_up(n)) {
        loop_iterate(net_loop, true);
    }
    for (unsigned i = 0; !peers[_i].stream && c->got->len == 0 && i < 100; i++) {
        dhcp_ask(c, 1); /* datagrams are lost until it is there */
        net_run_for(100);
    }
    p = dhcp(c, 1, &len);
    ck_assert_uint_eq(get32(p + 16), GUEST_IP);
    if (peers[_i].stream) {
        fetch(n, c, true);
    } else {
        arp(c);
        card_free(c);
    }
    g_unlink(their_path);
}
END_TEST

int main(void)
{
    bool with_passt = passt_can_run(), with_qemu = qemu_can_run();
    TCase *tc;
    Suite *s;

    if (!with_passt) {
        fprintf(stderr, "SKIP: passt is not installed, or there are no network namespaces\n");
    }
    if (!with_qemu) {
        fprintf(stderr, "SKIP: no qemu-system-x86_64 of version 7.2 or later\n");
    }
    if (!with_passt && !with_qemu) {
        return 77;
    }
    s = suite_create("net-peers");
    if (with_passt) {
        tc = tcase_create("passt");
        tcase_add_checked_fixture(tc, passt_setup, passt_teardown);
        suite_add_tcase(s, tc);
        tcase_add_test(tc, passt_gives_an_address_and_a_file_of_the_host);
    }
    if (with_qemu) {
        tc = tcase_create("qemu");
        tcase_add_checked_fixture(tc, setup, qemu_teardown);
        suite_add_tcase(s, tc);
        tcase_add_loop_test(tc, qemu_takes_and_gives_our_frames, 0, G_N_ELEMENTS(peers));
    }
    return suite_run(s);
}
