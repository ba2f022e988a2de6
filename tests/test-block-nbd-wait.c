/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What waits for an NBD server, and what does not: resets, the loop and the VM go on while a server
 * is silent, its name is looked up, or its negotiation takes long.
 */
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "block-fixture.h"
#include "nbd-fixture.h"
#include "tests/suite.h"

enum { MIB = 1 << 20, QUEUES = 32, ROUNDS = 20000, ROUND_US = 1000 };

static char *sock;

/* --- names, as the C library looks them up for libnbd --- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool slow;
    unsigned waiting;
    pthread_t asker;
} names = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0};

int getaddrinfo(const char *restrict node, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict res)
{
    __typeof__(getaddrinfo) *real = (__typeof__(real))dlsym(RTLD_NEXT, "getaddrinfo");

    pthread_mutex_lock(&names.lock);
    names.waiting++;
    names.asker = pthread_self();
    while (names.slow) {
        pthread_cond_wait(&names.changed, &names.lock);
    }
    names.waiting--;
    pthread_mutex_unlock(&names.lock);
    return real(node, service, hints, res);
}

static void set_slow(bool slow)
{
    pthread_mutex_lock(&names.lock);
    names.slow = slow;
    pthread_cond_broadcast(&names.changed);
    pthread_mutex_unlock(&names.lock);
}

static bool is_asked(pthread_t *ret_asker)
{
    bool asked;

    pthread_mutex_lock(&names.lock);
    asked = names.waiting > 0;
    *ret_asker = names.asker;
    pthread_mutex_unlock(&names.lock);
    return asked;
}

/* --- helpers --- */

static void setup(void)
{
    block_setup();
    sock = path_of("sock");
}

static void teardown(void)
{
    block_teardown();
    nbd_server_kill();
    g_free(sock);
}

static BlockNode *unix_node(const char *more)
{
    return node_add("{'driver':'nbd','node-name':'n','server':{'type':'unix','path':'%s'}%s}", sock,
                    more);
}

static void stop_server(void)
{
    kill(nbd_server, SIGSTOP);
    ck_assert_int_eq(waitpid(nbd_server, NULL, WUNTRACED), nbd_server); /* all its threads have */
}

static void run_rounds(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        loop_iterate(loop, false);
        g_usleep(ROUND_US);
    }
}

static uint16_t free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof a;

    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    close(fd);
    return ntohs(a.sin_port);
}

/* A socket that takes connections and says nothing. */
static int listen_silently(void)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(a.sun_path, sock, sizeof a.sun_path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    return fd;
}

/* --- a reset --- */

typedef struct {
    Disk d;
    BlockQueue *more[QUEUES];
    Io io[QUEUES];
    uint8_t buf[QUEUES][512];
} Many;

/* A disk with many queues, a read on each of which a stopped server has. */
static void many_open(Many *m)
{
    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    disk_open(&m->d, unix_node(",'reconnect-delay':60"), true);
    m->more[0] = m->d.q;
    for (unsigned i = 1; i < QUEUES; i++) {
        m->more[i] = block_queue_new(m->d.user, loop, NULL);
        ck_assert_ptr_nonnull(m->more[i]);
    }
    stop_server();
    for (unsigned i = 0; i < QUEUES; i++) {
        memset(m->buf[i], 0x55, sizeof m->buf[i]);
        io_init(&m->io[i], BLOCK_READ, i * 512, m->buf[i], 512);
        block_submit(m->more[i], &m->io[i].req);
    }
}

static void many_close(Many *m)
{
    for (unsigned i = 1; i < QUEUES; i++) {
        block_queue_free(m->more[i]);
    }
    disk_close(&m->d);
}

/* One after the other they would take 16 seconds. */
START_TEST(all_queues_of_a_silent_server_are_reset_in_the_time_of_one)
{
    static Many m;
    int64_t begin;

    many_open(&m);
    begin = g_get_monotonic_time();
    for (unsigned i = 0; i < QUEUES; i++) {
        block_cancel(&m.io[i].req);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        block_drain(m.more[i]);
        ck_assert_uint_eq(m.io[i].done, 1);
        ck_assert_int_eq(m.io[i].ret, -ECANCELED);
    }
    ck_assert_int_lt(g_get_monotonic_time() - begin, 8 * G_USEC_PER_SEC);
    many_close(&m);
}
END_TEST

START_TEST(what_a_server_says_after_a_reset_reaches_nobodys_memory)
{
    static Many m;
    uint8_t buf[512];

    many_open(&m);
    for (unsigned i = 0; i < QUEUES; i++) {
        block_cancel(&m.io[i].req);
    }
    for (unsigned i = 0; i < QUEUES; i++) {
        block_drain(m.more[i]);
    }
    kill(nbd_server, SIGCONT);
    run_rounds(200);
    for (unsigned i = 0; i < QUEUES; i++) {
        expect_bytes(m.buf[i], 0x55, sizeof m.buf[i]);
    }
    ck_assert_int_eq(disk_io(&m.d, BLOCK_READ, 0, buf, sizeof buf), 0); /* connected again */
    expect_bytes(buf, 0, sizeof buf);
    many_close(&m);
}
END_TEST

START_TEST(a_server_that_answers_keeps_its_connection_through_a_reset)
{
    g_autofree char *image = make_file("image", MIB);
    uint8_t buf[512] = {0};
    Disk d;
    Io io;

    nbd_serve(sock, "qemu-nbd -f raw -k %s %s", sock, image); /* takes one client */
    disk_open(&d, unix_node(""), true);
    for (unsigned i = 0; i < 50; i++) {
        io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
        block_submit(d.q, &io.req);
        block_cancel(&io.req);
        block_drain(d.q);
        ck_assert_uint_eq(io.done, 1);
    }
    ck_assert_int_eq(disk_io(&d, BLOCK_READ, 0, buf, sizeof buf), 0);
    disk_close(&d);
}
END_TEST

/* Not for all of reconnect-delay; what comes later waits again. */
START_TEST(a_lost_server_does_not_hold_up_who_drains)
{
    int64_t begin = g_get_monotonic_time();
    uint8_t buf[512] = {0};
    Disk d;
    Io io;

    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    disk_open(&d, unix_node(",'reconnect-delay':3600"), true);
    nbd_server_kill();
    io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
    block_submit(d.q, &io.req);
    block_drain(d.q);
    ck_assert_uint_eq(io.done, 1);
    ck_assert_int_eq(io.ret, -EIO);
    ck_assert_int_lt(g_get_monotonic_time() - begin, 20 * G_USEC_PER_SEC);
    io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
    block_submit(d.q, &io.req);
    run_rounds(50);
    ck_assert_uint_eq(io.done, 0);
    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    io_wait(&d, &io);
    ck_assert_int_eq(io.ret, 0);
    disk_close(&d);
}
END_TEST

/* --- names --- */

START_TEST(the_loop_runs_while_a_name_is_looked_up)
{
    uint16_t port = free_port();
    pthread_t asker;
    uint8_t buf[512] = {0};
    Disk d;
    Io io;

    nbd_serve_later(sock, 0, "nbdkit -f -i 127.0.0.1 -p %u memory 1M", port);
    disk_open(&d,
              node_add("{'driver':'nbd','node-name':'n','open-timeout':30,'reconnect-delay':60,"
                       "'server':{'type':'inet','host':'localhost','port':'%u'}}",
                       port),
              true);
    ck_assert_int_eq(disk_io(&d, BLOCK_WRITE, 0, buf, sizeof buf), 0);
    set_slow(true);
    nbd_server_kill();
    io_init(&io, BLOCK_WRITE, 0, buf, sizeof buf);
    block_submit(d.q, &io.req);
    for (unsigned i = 0; i < ROUNDS && !is_asked(&asker); i++) {
        run_rounds(1); /* it would stand still in here for ever */
    }
    ck_assert(is_asked(&asker));
    ck_assert(!pthread_equal(asker, pthread_self()));
    if (_i == 0) { /* the request is given up meanwhile, and the disk too */
        block_cancel(&io.req);
        block_drain(d.q);
        ck_assert_int_eq(io.ret, -ECANCELED);
        disk_close(&d);
        ck_assert(block_node_del(root, "n", NULL));
        set_slow(false);
        for (unsigned i = 0; i < ROUNDS && is_asked(&asker); i++) {
            g_usleep(ROUND_US);
        }
        return;
    }
    nbd_serve_later(sock, 0, "nbdkit -f -i 127.0.0.1 -p %u memory 1M", port);
    set_slow(false);
    if (_i == 1) {
        io_wait(&d, &io);
    } else {
        block_drain(d.q);
    }
    ck_assert_int_eq(io.ret, 0);
    disk_close(&d);
}
END_TEST

/* --- while a VM runs --- */

typedef struct {
    pthread_mutex_t vm;
    EventLoop *main;
    int listener;
    bool ran; /* the other thread had the lock while the loop's waited */
    bool over;
} Vm;

static void add_node(void *opaque)
{
    g_autofree char *text = g_strdup_printf(
        "{\"driver\":\"nbd\",\"server\":{\"type\":\"unix\",\"path\":\"%s\"}}", sock);
    json_t *opts = json_loads(text, 0, NULL);
    g_autoptr(GError) err = NULL;
    Vm *vm = opaque;

    ck_assert(!block_node_add(root, vm->main, opts, &err));
    ck_assert_msg(g_str_has_prefix(err->message, "cannot connect to"), "%s", err->message);
    vm->over = true;
    json_decref(opts);
    loop_quit(vm->main);
}

/* A vCPU that exits. */
static void *needs_lock(void *opaque)
{
    Vm *vm = opaque;
    int fd = accept(vm->listener, NULL, NULL);

    pthread_mutex_lock(&vm->vm);
    vm->ran = !vm->over;
    pthread_mutex_unlock(&vm->vm);
    close(fd); /* ends the attempt */
    return NULL;
}

START_TEST(the_vm_runs_while_blockdev_add_waits_for_a_server)
{
    Vm vm = {.vm = PTHREAD_MUTEX_INITIALIZER, .listener = listen_silently()};
    pthread_t vcpu;

    vm.main = loop_new(&vm.vm);
    ck_assert_int_eq(pthread_create(&vcpu, NULL, needs_lock, &vm), 0);
    loop_post(vm.main, add_node, &vm);
    loop_run(vm.main);
    pthread_join(vcpu, NULL);
    ck_assert(vm.over);
    ck_assert(vm.ran);
    loop_free(vm.main);
    close(vm.listener);
}
END_TEST

typedef struct {
    BlockUser *user;
    BlockQueue *q;
    Io *io;
} Opening;

static void open_queue(void *opaque)
{
    Opening *o = opaque;

    o->q = block_queue_new(o->user, loop, NULL);
    ck_assert_ptr_nonnull(o->q);
    block_submit(o->q, &o->io->req);
}

/* A disk is plugged in, the server is silent: its requests wait for the first attempt's end,
 * without any patience. */
START_TEST(a_queue_that_is_opened_later_connects_meanwhile)
{
    uint8_t buf[512];
    Opening o;
    Disk d;
    Io io;

    nbd_serve(sock, "nbdkit -f -U %s memory 1M", sock);
    disk_open(&d, unix_node(""), true);
    stop_server();
    io_init(&io, BLOCK_READ, 0, buf, sizeof buf);
    o = (Opening){.user = d.user, .io = &io};
    loop_post(loop, open_queue, &o);
    run_rounds(100);
    ck_assert_uint_eq(io.done, 0);
    if (_i) {
        nbd_server_kill();
    } else {
        kill(nbd_server, SIGCONT);
    }
    for (unsigned i = 0; i < ROUNDS && !io.done; i++) {
        run_rounds(1);
    }
    ck_assert_uint_eq(io.done, 1);
    ck_assert_int_eq(io.ret, _i ? -EIO : 0);
    block_queue_free(o.q);
    disk_close(&d);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("block-nbd-wait");
    TCase *tc = tcase_create("wait");

    if (!nbd_servers_installed()) {
        fprintf(stderr, "nbdkit or qemu-nbd is not installed\n");
        return 77;
    }
    tcase_set_timeout(tc, 60);
    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, all_queues_of_a_silent_server_are_reset_in_the_time_of_one);
    tcase_add_test(tc, what_a_server_says_after_a_reset_reaches_nobodys_memory);
    tcase_add_test(tc, a_server_that_answers_keeps_its_connection_through_a_reset);
    tcase_add_test(tc, a_lost_server_does_not_hold_up_who_drains);
    tcase_add_loop_test(tc, the_loop_runs_while_a_name_is_looked_up, 0, 3);
    tcase_add_test(tc, the_vm_runs_while_blockdev_add_waits_for_a_server);
    tcase_add_loop_test(tc, a_queue_that_is_opened_later_connects_meanwhile, 0, 2);
    return suite_run(s);
}
