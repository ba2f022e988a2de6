/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File descriptors that clients of QMP send along: names, sets, what uses them, and that none is
 * left over.
 */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "backends/block.h"
#include "backends/fd-table.h"
#include "tests/qmp-fixture.h"
#include "tests/suite.h"

#define GENERIC     "GenericError"
#define NO_FD       "No file descriptor supplied via SCM_RIGHTS"
#define GETFD       "{'execute':'getfd','arguments':{'fdname':'a'}}"
#define CLOSEFD     "{'execute':'closefd','arguments':{'fdname':'a'}}"
#define SETS        "{'execute':'query-fdsets'}"
#define ADD_TO(set) "{'execute':'add-fd','arguments':{'fdset-id':" #set "}}"
#define BLOCKDEV(set)                                                                    \
    "{'execute':'blockdev-add','arguments':{'driver':'file','node-name':'d','filename':" \
    "'/dev/fdset/" #set "'}}"
#define BLOCKDEL "{'execute':'blockdev-del','arguments':{'node-name':'d'}}"

static unsigned open_fds(void)
{
    DIR *d = opendir("/proc/self/fd");
    unsigned n = 0;

    while (readdir(d)) {
        n++;
    }
    closedir(d);
    return n;
}

/* The next request's first byte, a space, comes with the descriptors. */
static void send_fds(QmpClient *c, const int *fds, unsigned n)
{
    char control[CMSG_SPACE(64 * sizeof(int))] = {0}, byte = ' ';
    struct iovec iov = {&byte, 1};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control,
                         .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    struct cmsghdr *h = CMSG_FIRSTHDR(&msg);

    h->cmsg_level = SOL_SOCKET;
    h->cmsg_type = SCM_RIGHTS;
    h->cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(h), fds, n * sizeof(int));
    ck_assert_int_eq(sendmsg(c->fd, &msg, 0), 1);
}

static void send_fd(QmpClient *c, int fd)
{
    send_fds(c, &fd, 1);
}

static int temp_file(int flags)
{
    g_autofree char *path = NULL;
    int fd = g_file_open_tmp("qmp-fd-XXXXXX", &path, NULL), again = open(path, flags | O_CLOEXEC);

    ck_assert(fd >= 0 && again >= 0 && ftruncate(fd, 1 << 20) == 0);
    unlink(path);
    close(fd);
    return again;
}

START_TEST(a_descriptor_gets_a_name_and_is_closed_by_it)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    unsigned before = open_fds();

    send_fd(client, fd);
    expect_return(client, GETFD, "{}");
    ck_assert_uint_eq(open_fds(), before + 1);
    send_fd(client, fd);
    expect_return(client, GETFD, "{}"); /* instead of the one before */
    ck_assert_uint_eq(open_fds(), before + 1);
    expect_return(client, CLOSEFD, "{}");
    ck_assert_uint_eq(open_fds(), before);
    expect_error(client, CLOSEFD, GENERIC, "File descriptor named 'a' not found");
    close(fd);
}
END_TEST

START_TEST(commands_want_a_descriptor_with_them)
{
    unsigned before = open_fds();

    expect_error(client, GETFD, GENERIC, NO_FD);
    expect_error(client, "{'execute':'add-fd'}", GENERIC, NO_FD);
    send_fd(client, 0);
    expect_error(client, "{'execute':'getfd','arguments':{'fdname':'1a'}}", GENERIC,
                 "Parameter 'fdname' expects a name not starting with a digit");
    send_fd(client, 0);
    expect_error(client, ADD_TO(-1), GENERIC, "Parameter 'fdset-id' expects a non-negative value");
    expect_error(client, GETFD, GENERIC, NO_FD); /* used up by the command that failed */
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(more_descriptors_than_wanted_are_closed)
{
    unsigned before = open_fds();
    int many[40] = {0};

    send_fds(client, many, 40);
    expect_alive(client);
    ck_assert_uint_le(open_fds(), before + 16);
    send_fds(client, many, 3);
    expect_return(client, GETFD, "{}");
    ck_assert_uint_eq(open_fds(), before + 1);
    expect_return(client, CLOSEFD, "{}");
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(their_number_is_bounded)
{
    unsigned before = open_fds(), bad = 0;

    for (unsigned i = 0; i < FD_TABLE_MAX; i++) {
        json_t *answer;

        send_fd(client, 0);
        answer = client_ask(client, ADD_TO(7));
        bad += !json_object_get(answer, "return");
        json_decref(answer);
    }
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(open_fds(), before + FD_TABLE_MAX);
    send_fd(client, 0);
    expect_error(client, GETFD, GENERIC,
                 "there are 256 file descriptors already: close or remove some");
    ck_assert_uint_eq(open_fds(), before + FD_TABLE_MAX);
    expect_return(client, "{'execute':'remove-fd','arguments':{'fdset-id':7}}", "{}");
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(sets_are_numbered_listed_and_removed)
{
    json_t *added;
    g_autofree char *wanted = NULL, *remove = NULL;

    send_fd(client, 0);
    added = get_return(client, "{'execute':'add-fd','arguments':{'opaque':'x'}}");
    ck_assert_int_eq(json_integer_value(json_object_get(added, "fdset-id")), 0);
    wanted = g_strdup_printf("[{'fdset-id':0,'fds':[{'fd':%d,'opaque':'x'}]}]",
                             (int)json_integer_value(json_object_get(added, "fd")));
    expect_return(client, SETS, wanted);
    expect_error(client, "{'execute':'remove-fd','arguments':{'fdset-id':9}}", GENERIC,
                 "File descriptor named 'fdset-id:9' not found");
    expect_error(client, "{'execute':'remove-fd','arguments':{'fdset-id':0,'fd':9999}}", GENERIC,
                 "File descriptor named 'fdset-id:0, fd:9999' not found");
    expect_error(client, "{'execute':'remove-fd','arguments':{'fdset-id':-1}}", GENERIC,
                 "File descriptor named 'fdset-id:-1' not found");
    remove = g_strdup_printf("{'execute':'remove-fd','arguments':{'fdset-id':0,'fd':%d}}",
                             (int)json_integer_value(json_object_get(added, "fd")));
    expect_return(client, remove, "{}");
    expect_return(client, SETS, "[]");
    json_decref(added);
}
END_TEST

START_TEST(a_disk_is_opened_from_a_set)
{
    unsigned before = open_fds();
    int reader = temp_file(O_RDONLY), writer = temp_file(O_RDWR);

    expect_error(client, BLOCKDEV(3), GENERIC,
                 "could not open '/dev/fdset/3': there is no such set");
    expect_error(client, BLOCKDEV(x), GENERIC,
                 "could not open '/dev/fdset/x': there is no such set");
    send_fd(client, reader);
    json_decref(get_return(client, ADD_TO(3)));
    expect_error(client, BLOCKDEV(3), GENERIC,
                 "could not open '/dev/fdset/3': the set has no descriptor that was opened that "
                 "way");
    send_fd(client, writer);
    json_decref(get_return(client, ADD_TO(3)));
    expect_return(client, BLOCKDEV(3), "{}");
    ck_assert_uint_eq(block_node_find(vm.m->platform.root, "d") != NULL, 1);
    expect_return(client, "{'execute':'remove-fd','arguments':{'fdset-id':3}}", "{}");
    expect_return(client, BLOCKDEL, "{}");
    close(reader);
    close(writer);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

START_TEST(what_is_no_disk_or_tap_is_refused)
{
    unsigned before = open_fds();
    int pair[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    send_fd(client, pair[0]);
    json_decref(get_return(client, ADD_TO(1)));
    expect_error(client, BLOCKDEV(1), GENERIC,
                 "driver 'file' requires '/dev/fdset/1' to be a regular file");
    expect_return(client, "{'execute':'remove-fd','arguments':{'fdset-id':1}}", "{}");
    send_fd(client, pair[0]);
    expect_return(client, GETFD, "{}");
    for (unsigned i = 0; i < 2; i++) { /* the first time takes the name */
        json_t *answer = client_ask(client, "{\"execute\":\"netdev_add\",\"arguments\":{\"type\":"
                                            "\"tap\",\"id\":\"t\",\"fd\":\"a\"}}");
        const char *desc =
            json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

        ck_assert_ptr_nonnull(desc);
        ck_assert_ptr_nonnull(strstr(desc, i == 0 ? "is not a tap" : "nor a name of getfd"));
        json_decref(answer);
    }
    close(pair[0]);
    close(pair[1]);
    ck_assert_uint_eq(open_fds(), before);
}
END_TEST

#define NETDEV(text) "{'execute':'netdev_add','arguments':{'id':'n'," text "}}"

/* Of networks on sockets, and what is said of one that is no such socket. */
static const char *const named_sockets[][2] = {
    {NETDEV("'type':'stream','addr':{'type':'fd','str':'a'}"), "is not a socket"},
    {NETDEV("'type':'dgram','local':{'type':'fd','str':'a'}"), "is not a socket"},
    {NETDEV("'type':'socket','fd':'a'"), "is not a socket"},
    {NETDEV("'type':'stream','server':true,'addr':{'type':'fd','str':'a'}"), "that listens"},
};

static void expect_refused(const char *request, const char *why)
{
    json_t *answer = client_ask(client, request);
    const char *desc = json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));

    ck_assert_ptr_nonnull(desc);
    ck_assert_msg(strstr(desc, why), "%s", desc);
    json_decref(answer);
}

START_TEST(a_network_is_on_a_socket_by_its_name)
{
    int pair[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    unsigned before = open_fds();

    send_fd(client, null);
    expect_return(client, GETFD, "{}");
    expect_refused(named_sockets[_i][0], named_sockets[_i][1]);
    ck_assert_uint_eq(open_fds(), before);
    expect_refused(named_sockets[_i][0], "nor a name of getfd");
    ck_assert_int_eq(socketpair(AF_UNIX, _i == 1 ? SOCK_DGRAM : SOCK_STREAM, 0, pair), 0);
    if (_i == 3) {
        struct sockaddr_un addr = {.sun_family = AF_UNIX};

        ck_assert_int_eq(close(pair[0]), 0);
        pair[0] = socket(AF_UNIX, SOCK_STREAM, 0);
        ck_assert_int_eq(bind(pair[0], (struct sockaddr *)&addr, sizeof addr.sun_family), 0);
        ck_assert_int_eq(listen(pair[0], 1), 0);
    }
    send_fd(client, pair[0]);
    close(pair[0]);
    expect_return(client, GETFD, "{}");
    expect_return(client, named_sockets[_i][0], "{}");
    expect_return(client, "{'execute':'netdev_del','arguments':{'id':'n'}}", "{}");
    close(pair[1]);
    close(null);
    ck_assert_uint_eq(open_fds(), before - 1);
}
END_TEST

/* As with QEMU: sets that nobody uses go with the last client, names stay. */
START_TEST(what_a_client_leaves_behind)
{
    int writer = temp_file(O_RDWR);

    send_fd(client, writer);
    json_decref(get_return(client, ADD_TO(1)));
    send_fd(client, writer);
    json_decref(get_return(client, ADD_TO(2)));
    expect_return(client, BLOCKDEV(1), "{}");
    send_fd(client, writer);
    expect_return(client, GETFD, "{}");
    send_fd(client, writer); /* with no command */
    client_free(client);
    client = client_ready();
    {
        json_t *sets = get_return(client, SETS);

        ck_assert_uint_eq(json_array_size(sets), 1);
        ck_assert_int_eq(json_integer_value(json_object_get(json_array_get(sets, 0), "fdset-id")),
                         1);
        json_decref(sets);
    }
    expect_return(client, CLOSEFD, "{}");
    expect_return(client, BLOCKDEL, "{}");
    expect_error(client, GETFD, GENERIC, NO_FD);
    client_free(client);
    client = client_ready();
    expect_return(client, SETS, "[]");
    close(writer);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-fd");
    TCase *tc = tcase_create("fds");

    tcase_add_checked_fixture(tc, setup, teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, a_descriptor_gets_a_name_and_is_closed_by_it);
    tcase_add_test(tc, commands_want_a_descriptor_with_them);
    tcase_add_test(tc, more_descriptors_than_wanted_are_closed);
    tcase_add_test(tc, their_number_is_bounded);
    tcase_add_test(tc, sets_are_numbered_listed_and_removed);
    tcase_add_test(tc, a_disk_is_opened_from_a_set);
    tcase_add_test(tc, what_is_no_disk_or_tap_is_refused);
    tcase_add_loop_test(tc, a_network_is_on_a_socket_by_its_name, 0, G_N_ELEMENTS(named_sockets));
    tcase_add_test(tc, what_a_client_leaves_behind);
    return suite_run(s);
}
