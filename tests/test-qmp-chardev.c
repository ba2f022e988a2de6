/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about character streams.
 */
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/fd-table.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"
#include "vmm/monitor/qmp-schema.h"

#define GENERIC "GenericError"

/* The server's own socket is not in this VM's tree: the list holds what is made here. */
static Chardev *make_ring(void)
{
    json_t *opts = json_pack("{s:s, s:s, s:s}", "backend", "ringbuf", "id", "r0", "size", "8");
    Chardev *c = chardev_new_from_keyvals(vm.m->platform.loop, NULL, opts, NULL);

    ck_assert_ptr_nonnull(c);
    ck_assert(
        object_add_child(object_container(vm.m->platform.root, "chardevs"), "r0", OBJECT(c), NULL));
    json_decref(opts);
    return c;
}

START_TEST(streams_are_listed)
{
    make_ring();
    expect_return(client, "{'execute':'query-chardev'}",
                  "[{'frontend-open':false,'label':'r0','filename':'ringbuf'}]");
}
END_TEST

START_TEST(a_ring_buffer_is_read_once)
{
    Chardev *c = make_ring();

    chardev_write(c, "abc\xff", 4);
    expect_return(client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':2}}",
                  "'ab'");
    expect_return(
        client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':9,'format':'base64'}}",
        "'Y/8='");
    chardev_write(c, "\xff", 1);
    expect_return(client,
                  "{'execute':'ringbuf-read','arguments':{'device':'r0','size':9,'format':'utf8'}}",
                  "'\xef\xbf\xbd'");
    expect_return(client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':9}}", "''");
}
END_TEST

START_TEST(bad_reads_get_qemus_errors)
{
    make_ring();
    expect_error(client, "{'execute':'ringbuf-read','arguments':{'device':'x','size':1}}", GENERIC,
                 "Device 'x' not found");
    expect_error(client, "{'execute':'ringbuf-read','arguments':{'device':'r0','size':0}}", GENERIC,
                 "size must be greater than zero");
    expect_error(client,
                 "{'execute':'ringbuf-read','arguments':{'device':'r0','size':1,'format':'x'}}",
                 GENERIC, "Parameter 'format' does not accept value 'x'");
}
END_TEST

/* --- sockets that are not waited for --- */

static Chardev *stream_of(const char *id)
{
    return CHARDEV(object_child(object_container(vm.m->platform.root, "chardevs"), id));
}

/* A server whose queue is full with one client, and nobody who accepts. */
static int full_server(struct sockaddr *addr, socklen_t len, int *ret_queued, unsigned clients)
{
    int fd = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(bind(fd, addr, len), 0);
    ck_assert_int_eq(getsockname(fd, addr, &len), 0);
    ck_assert_int_eq(listen(fd, 0), 0);
    for (unsigned i = 0; i < clients; i++) {
        ret_queued[i] = socket(addr->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        ck_assert_int_eq(connect(ret_queued[i], addr, len), 0);
    }
    return fd;
}

START_TEST(a_unix_server_that_is_busy_is_not_waited_for)
{
    g_autofree char *path = g_build_filename(vm.dir, "busy", NULL);
    g_autofree char *request = g_strdup_printf(
        "{'execute':'chardev-add','arguments':{'id':'c','backend':{'type':'socket','data':{'server'"
        ":false,'addr':{'type':'unix','data':{'path':'%s'}}}}}}",
        path);
    g_autofree char *why =
        g_strdup_printf("cannot connect to '%s': too many wait there already", path);
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int queued, fd;

    g_strlcpy(addr.sun_path, path, sizeof addr.sun_path);
    fd = full_server((struct sockaddr *)&addr, sizeof addr, &queued, 1);
    expect_error(client, request, GENERIC, why);
    expect_alive(client);
    close(queued);
    close(fd);
    unlink(path);
}
END_TEST

static char *tcp_request(const struct sockaddr_in *addr)
{
    return g_strdup_printf(
        "{'execute':'chardev-add','arguments':{'id':'c','backend':{'type':'socket','data':{'server'"
        ":false,'addr':{'type':'inet','data':{'host':'127.0.0.1','port':'%u'}}}}}}",
        ntohs(addr->sin_port));
}

START_TEST(a_tcp_connection_comes_when_it_comes)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int queued[2], fd = full_server((struct sockaddr *)&addr, sizeof addr, queued, 1);
    g_autofree char *request = tcp_request(&addr);

    expect_return(client, request, "{}");
    ck_assert(!chardev_is_open(stream_of("c")));
    chardev_write(stream_of("c"), "lost", 4);
    expect_alive(client);
    close(accept(fd, NULL, NULL));
    for (unsigned i = 0; i < 600 && !chardev_is_open(stream_of("c")); i++) { /* TCP tries again */
        g_usleep(100 * 1000);
        fake_vm_settle(&vm);
    }
    ck_assert(chardev_is_open(stream_of("c")));
    expect_return(client, "{'execute':'chardev-remove','arguments':{'id':'c'}}", "{}");
    close(queued[0]);
    close(fd);
}
END_TEST

START_TEST(a_stream_goes_while_it_connects)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int queued[2], fd = full_server((struct sockaddr *)&addr, sizeof addr, queued, 1);
    g_autofree char *request = tcp_request(&addr), *why = NULL;

    expect_return(client, request, "{}");
    expect_return(client, "{'execute':'chardev-remove','arguments':{'id':'c'}}", "{}");
    close(queued[0]);
    close(fd);
    why = g_strdup_printf("cannot connect to 127.0.0.1 port %u (add server=on to listen there): "
                          "Connection refused",
                          ntohs(addr.sin_port));
    expect_error(client, request, GENERIC, why);
}
END_TEST

/* --- sockets of getfd --- */

#define BY_NAME(server)                                                                          \
    "{'execute':'chardev-add','arguments':{'id':'c','backend':{'type':'socket','data':{'server'" \
    ":" server ",'addr':{'type':'fd','data':{'str':'a'}}}}}}"

static void name_fd(int fd)
{
    ck_assert(fd_table_put(fd_table_of(vm.m->platform.root), "a", fd, NULL));
}

START_TEST(a_stream_is_on_a_socket_that_came_along)
{
    int pair[2];
    char text[8] = "";

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    name_fd(pair[1]);
    expect_return(client, BY_NAME("false"), "{}");
    ck_assert(chardev_is_open(stream_of("c")));
    chardev_write(stream_of("c"), "abc", 3);
    ck_assert_int_eq(read(pair[0], text, sizeof text), 3);
    ck_assert_str_eq(text, "abc");
    expect_return(client, "{'execute':'chardev-remove','arguments':{'id':'c'}}", "{}");
    ck_assert_int_eq(read(pair[0], text, sizeof text), 0);
    expect_error(client, BY_NAME("false"), GENERIC, "File descriptor named 'a' not found");
    close(pair[0]);
}
END_TEST

START_TEST(a_server_is_on_a_socket_that_came_along)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int queued, fd = full_server((struct sockaddr *)&addr, sizeof addr, &queued, 1);

    name_fd(fd);
    expect_return(client, BY_NAME("true"), "{}");
    fake_vm_settle(&vm);
    ck_assert(chardev_is_open(stream_of("c")));
    expect_return(client, "{'execute':'chardev-remove','arguments':{'id':'c'}}", "{}");
    close(queued);
}
END_TEST

START_TEST(the_human_monitor_takes_a_named_descriptor)
{
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    name_fd(pair[1]);
    expect_return(client,
                  "{'execute':'human-monitor-command','arguments':{'command-line':"
                  "'chardev-add socket,id=c,fd=a'}}",
                  "''");
    ck_assert(chardev_is_open(stream_of("c")));
    expect_return(client, "{'execute':'chardev-remove','arguments':{'id':'c'}}", "{}");
    close(pair[0]);
}
END_TEST

START_TEST(what_is_no_such_socket_is_refused)
{
    int pair[2], numbers[] = {open("/dev/null", O_RDWR | O_CLOEXEC),
                              socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)};
    static const char *const why[] = {
        "file descriptor %d is no socket: Socket operation on non-socket",
        "file descriptor %d is no stream socket"};
    g_autofree char *text = NULL;

    for (unsigned i = 0; i < 2; i++) {
        g_autofree char *desc = g_strdup_printf(why[i], numbers[i]);

        name_fd(numbers[i]);
        expect_error(client, BY_NAME("false"), GENERIC, desc);
        ck_assert_int_eq(fcntl(numbers[i], F_GETFD), -1);
    }
    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    text = g_strdup_printf("file descriptor %d is no socket that listens", pair[1]);
    name_fd(pair[1]);
    expect_error(client, BY_NAME("true"), GENERIC, text);
    close(pair[0]);
}
END_TEST

static const struct {
    const char *id, *backend, *why;
} wrong[] = {
    {"1 2", "'type':'socket','data':{'addr':{'type':'fd','data':{'str':'a'}}}",
     "id '1 2' must be letters, digits, '-', '.', '_', beginning with a letter"},
    {"c", "'type':'socket','data':{'delay':true,'addr':{'type':'fd','data':{'str':'a'}}}",
     "delay= is not built into Aerostat"},
    {"c", "'type':'socket','data':{'path':'/x','addr':{'type':'fd','data':{'str':'a'}}}",
     "give one of fd=, path= and host="},
    {"c", "'type':'socket','data':{'addr':{'type':'fd','data':{}}}",
     "Parameter 'backend.data.addr.data.str' is missing"},
    {"c", "'type':'socket','data':{'str':'a','addr':{'type':'unix','data':{'path':'/x'}}}",
     "Parameter 'backend.data.str' is unexpected"},
    {"c", "'type':'null','data':{'addr':{'type':'fd','data':{'str':'a'}}}",
     "Invalid parameter type for 'backend.data.addr', expected: string"},
    {"c", "'type':'file','data':{'out':'/dev/null','in':'/dev/null'}",
     "Parameter 'backend.data.in' is not built into Aerostat"},
    {"c", "'type':'file','data':{}", "Parameter 'backend.data.out' is missing"},
    {"c", "'type':'file','data':{'out':''}", "Parameter 'backend.data.out' is empty"},
    {"c", "'type':'file','data':{'out':1}",
     "Invalid parameter type for 'backend.data.out', expected: string"},
    {"c", "'type':'file','data':{'path':'/dev/null'}",
     "Parameter 'backend.data.path' is unexpected"},
    {"c", "'type':'pipe','data':{}", "Parameter 'backend.data.device' is missing"},
    {"c", "'type':'ringbuf','data':{'out':'x'}", "unknown 'out' for a ringbuf"},
};

START_TEST(wrong_arguments_leak_no_descriptor)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    g_autofree char *request =
        g_strdup_printf("{'execute':'chardev-add','arguments':{'id':'%s','backend':{%s}}}",
                        wrong[_i].id, wrong[_i].backend);

    name_fd(fd);
    expect_error(client, request, GENERIC, wrong[_i].why);
    expect_return(client, "{'execute':'query-chardev'}", "[]");
    ck_assert((fcntl(fd, F_GETFD) < 0) !=
              (fd_table_take(fd_table_of(vm.m->platform.root), "a", NULL) >= 0));
    close(fd);
}
END_TEST

START_TEST(the_schema_has_the_kinds_that_there_are)
{
    json_t *kinds = get_return(client, "{'execute':'query-chardev-backends'}"), *kind;
    g_auto(GStrv) words = qmp_enum_words("ChardevBackendKind");
    size_t i;

    ck_assert_uint_eq(g_strv_length(words), json_array_size(kinds));
    json_array_foreach(kinds, i, kind)
    {
        const char *name = json_string_value(json_object_get(kind, "name"));

        ck_assert_msg(g_strv_contains((const char *const *)words, name), "%s", name);
    }
    json_decref(kinds);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-chardev");
    TCase *tc = tcase_create("streams");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, streams_are_listed);
    tcase_add_test(tc, a_ring_buffer_is_read_once);
    tcase_add_test(tc, bad_reads_get_qemus_errors);
    tcase_add_test(tc, a_unix_server_that_is_busy_is_not_waited_for);
    tcase_add_test(tc, a_tcp_connection_comes_when_it_comes);
    tcase_add_test(tc, a_stream_goes_while_it_connects);
    tcase_add_test(tc, a_stream_is_on_a_socket_that_came_along);
    tcase_add_test(tc, a_server_is_on_a_socket_that_came_along);
    tcase_add_test(tc, the_human_monitor_takes_a_named_descriptor);
    tcase_add_test(tc, what_is_no_such_socket_is_refused);
    tcase_add_loop_test(tc, wrong_arguments_leak_no_descriptor, 0, G_N_ELEMENTS(wrong));
    tcase_add_test(tc, the_schema_has_the_kinds_that_there_are);
    tcase_set_timeout(tc, 90);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
