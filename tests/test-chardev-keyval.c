/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams from keys and values (-chardev): each kind, what it says about mistakes, and
 * the kinds that only it has: pipes, pseudo-terminals and ring buffers.
 */
#include <check.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "chardev-fixture.h"
#include "tests/suite.h"

static json_t *parse(const char *text)
{
    g_auto(GStrv) words = g_strsplit(text, ",", -1);
    json_t *opts = json_object();

    for (char **word = words; *word; word++) {
        g_auto(GStrv) pair = g_strsplit(*word, "=", 2);

        if (word == words && pair[0] && !pair[1]) {
            json_object_set_new(opts, "backend", json_string(pair[0]));
        } else if (pair[0]) {
            json_object_set_new(opts, pair[0], json_string(pair[1] ? pair[1] : "on"));
        }
    }
    return opts;
}

static Chardev *open_keyvals(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
static Chardev *open_keyvals(const char *fmt, ...)
{
    g_autoptr(GError) err = NULL;
    g_autofree char *text = NULL;
    json_t *opts;
    Chardev *c;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    opts = parse(text);
    c = chardev_new_from_keyvals(loop, NULL, opts, &err);
    ck_assert_msg(c != NULL, "%s: %s", text, err ? err->message : "?");
    json_decref(opts);
    return c;
}

/* --- mistakes --- */

static const struct {
    const char *text, *message;
} bad[] = {
    {"", "the kind is missing: give KIND,id=ID"},
    {"id=c0", "the kind is missing: give KIND,id=ID"},
    {"null", "id= is missing: give KIND,id=ID"},
    {"null,id=0", "id '0' must be letters"},
    {"sokcet,id=c0", "unknown kind 'sokcet'; did you mean 'socket'?; '-chardev help' lists all"},
    {"vc,id=c0", "'vc' is not built into Aerostat; '-chardev help' lists what is"},
    {"udp,id=c0,host=x", "'udp' is not built into Aerostat"},
    {"socket,id=c0", "path=PATH is missing"},
    {"socket,id=c0,path=", "path=PATH is missing"},
    {"socket,id=c0,host=127.0.0.1", "give host=HOST and port=PORT, or path=PATH"},
    {"socket,id=c0,host=127.0.0.1,port=1,path=/x", "give host=HOST and port=PORT, or path=PATH"},
    {"socket,id=c0,host=127.0.0.1,port=x", "'x' is not a port (0 to 65535)"},
    {"socket,id=c0,host=127.0.0.1,port=65536", "'65536' is not a port (0 to 65535)"},
    {"socket,id=c0,host=,port=1", "the host is missing: tcp:127.0.0.1:PORT"},
    {"socket,id=c0,host=127.0.0.1,port=1", "cannot connect to 127.0.0.1 port 1 (add server=on to "},
    {"socket,id=c0,host=0.0.0.0,port=0,server=on", "'0.0.0.0' is no loopback address: "},
    {"socket,id=c0,host=192.0.2.1,port=0,server=on", "'192.0.2.1' is no loopback address: "},
    {"socket,id=c0,host=127.0.0.1,port=1,to=2", "to= is not built into Aerostat"},
    {"socket,id=c0,path=/x,reconnect=1", "reconnect= is not built into Aerostat"},
    {"socket,id=c0,path=/x,sever=on", "unknown 'sever' for a socket; did you mean 'server'?"},
    {"socket,id=c0,path=/x,server=maybe", "server=maybe: "},
    {"null,id=c0,logfile=/x", "logfile= is not built into Aerostat"},
    {"null,id=c0,path=/x", "unknown 'path' for a null"},
    {"null,id=c0,mux=perhaps", "mux=perhaps: "},
    {"file,id=c0", "path=PATH is missing"},
    {"file,id=c0,path=/nowhere/x", "cannot open: No such file or directory"},
    {"file,id=c0,path=/x,append=2", "append=2: "},
    {"pipe,id=c0,path=/nowhere/x", "make FIFOs /nowhere/x.in and /nowhere/x.out first"},
    {"ringbuf,id=c0,size=3", "size=3 is not a power of two"},
    {"ringbuf,id=c0,size=0", "size=0 is not a power of two"},
    {"ringbuf,id=c0,size=1G", "is not a power of two up to 64M"},
    {"ringbuf,id=c0,size=x", "size=x: "},
};

START_TEST(a_mistake_gets_one_line_that_names_the_fix)
{
    g_autoptr(GError) err = NULL;
    json_t *opts = parse(bad[_i].text);

    ck_assert_ptr_null(chardev_new_from_keyvals(loop, NULL, opts, &err));
    ck_assert_msg(strstr(err->message, bad[_i].message) != NULL, "'%s' has no '%s'", err->message,
                  bad[_i].message);
    ck_assert_ptr_null(strchr(err->message, '\n'));
    json_decref(opts);
}
END_TEST

START_TEST(a_value_that_is_no_string_is_refused)
{
    json_t *opts = json_pack("{s:s, s:s, s:i}", "backend", "file", "id", "c0", "path", 4);
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(chardev_new_from_keyvals(loop, NULL, opts, &err));
    ck_assert_str_eq(err->message, "'path' must be a string");
    json_decref(opts);
}
END_TEST

static void append_name(const char *name, void *opaque)
{
    g_string_append_printf(opaque, "%s ", name);
}

START_TEST(the_kinds_are_listed)
{
    g_autoptr(GString) names = g_string_new(NULL);

    chardev_foreach_backend(append_name, names);
    ck_assert_str_eq(names->str, "file null pipe pty ringbuf socket stdio ");
}
END_TEST

/* --- null, file, socket, mux --- */

START_TEST(streams_say_where_their_other_end_is)
{
    g_autofree char *path = sock_path(), *expected = g_strdup_printf("unix:%s,server=on", path);
    Chardev *null = open_keyvals("null,id=n"), *mux = open_keyvals("null,id=m,mux=on");
    Chardev *sock = open_keyvals("socket,id=s,path=%s,server=on,wait=off", path);

    ck_assert_str_eq(chardev_filename(null), "null");
    ck_assert_str_eq(chardev_filename(mux), "null");
    ck_assert_str_eq(chardev_filename(sock), expected);
    ck_assert(chardev_is_open(null) && !chardev_is_open(sock));
    object_unref(null);
    object_unref(mux);
    object_unref(sock);
}
END_TEST

START_TEST(a_file_is_emptied_unless_append_is_on)
{
    g_autofree char *path = g_build_filename(dir, "log", NULL), *text = NULL, *again = NULL;
    Chardev *c;

    ck_assert(g_file_set_contents(path, "old ", -1, NULL));
    c = open_keyvals("file,id=c0,path=%s,append=on", path);
    chardev_write(c, "new", 3);
    object_unref(c);
    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    ck_assert_str_eq(text, "old new");
    object_unref(open_keyvals("file,id=c0,path=%s", path));
    ck_assert(g_file_get_contents(path, &again, NULL, NULL));
    ck_assert_str_eq(again, "");
}
END_TEST

START_TEST(a_socket_serves_with_old_and_new_spelling)
{
    static const char *const spelling[] = {"server=on,wait=off", "server,nowait"};
    g_autofree char *path = sock_path();
    Chardev *c = open_keyvals("socket,id=c0,path=%s,%s", path, spelling[_i]);
    int fd = dial(path);

    attach(&rec, c);
    ck_assert(chardev_has_frontend(c));
    WAIT_FOR(rec.opened == 1);
    chardev_write(c, "hello", 5);
    expect_text(fd, "hello");
    close(fd);
    object_unref(c);
}
END_TEST

/* The port that a TCP server got, from its file name. */
static unsigned tcp_port(const Chardev *c)
{
    const char *colon = strrchr(chardev_filename(c), ':');

    ck_assert(g_str_has_prefix(chardev_filename(c), "tcp:127.0.0.1:"));
    ck_assert(g_str_has_suffix(chardev_filename(c), ",server=on"));
    return (unsigned)strtoul(colon + 1, NULL, 10);
}

static int dial_tcp(unsigned port)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)port),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    ck_assert_int_eq(connect(fd, (struct sockaddr *)&addr, sizeof addr), 0);
    return fd;
}

START_TEST(tcp_serves_one_after_the_other_on_loopback)
{
    g_autoptr(GError) err = NULL;
    Chardev *c =
        _i ? chardev_new_from_option(loop, "-qmp", "tcp:127.0.0.1:0,server=on,wait=off", &err)
           : open_keyvals("socket,id=c0,host=127.0.0.1,port=0,server=on,wait=off");
    unsigned port = tcp_port(c);
    int fd = dial_tcp(port);

    attach(&rec, c);
    WAIT_FOR(rec.opened == 1);
    chardev_write(c, "hello", 5);
    expect_text(fd, "hello");
    send_text(fd, "you");
    WAIT_FOR(rec.got->len == 3);
    close(fd);
    WAIT_FOR(rec.closed == 1);
    fd = dial_tcp(port);
    WAIT_FOR(rec.opened == 2);
    close(fd);
    object_unref(c);
}
END_TEST

START_TEST(tcp_connects_to_a_server)
{
    Chardev *server = open_keyvals("socket,id=s,host=127.0.0.1,port=0,server=on,wait=off");
    Chardev *c = open_keyvals("socket,id=c,host=localhost,port=%u", tcp_port(server));

    attach(&rec, server);
    WAIT_FOR(rec.opened == 1);
    chardev_write(c, "hello", 5);
    WAIT_FOR(rec.got->len == 5);
    ck_assert(g_str_has_prefix(chardev_filename(c), "tcp:localhost:"));
    object_unref(c);
    WAIT_FOR(rec.closed == 1);
    object_unref(server);
}
END_TEST

START_TEST(a_checker_touches_nothing)
{
    static const char *const options[] = {"unix:x,server=on", "file:x", "pipe:x", "pty", "stdio",
                                          "tcp:127.0.0.1:1",  "null"};
    g_autoptr(GError) err = NULL;

    ck_assert_int_eq(g_chdir(dir), 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(options); i++) {
        Chardev *c = chardev_check_option(loop, "-qmp", options[i], &err);

        ck_assert_ptr_nonnull(c);
        ck_assert(object_is_a(c, &chardev_null_type));
        object_unref(c);
    }
    ck_assert(!g_file_test("x", G_FILE_TEST_EXISTS));
    ck_assert_ptr_null(chardev_check_option(loop, "-qmp", "file:nowhere/x", &err));
    ck_assert_str_eq(err->message, "-qmp file:nowhere/x: there is no folder 'nowhere'");
    ck_assert_int_eq(g_chdir("/"), 0);
}
END_TEST

START_TEST(a_multiplexer_has_a_console_and_a_monitor)
{
    Chardev *c = open_keyvals("null,id=c0,mux=on");

    ck_assert_ptr_eq(chardev_mux_port(c, 0), c);
    ck_assert_ptr_nonnull(chardev_mux_port(c, 1));
    ck_assert_uint_gt(chardev_room(c), 0);
    object_unref(c);
}
END_TEST

/* --- room --- */

START_TEST(a_slow_reader_leaves_no_room_until_it_has_read)
{
    g_autofree char *path = sock_path(), *chunk = g_strnfill(65536, 'x');
    Chardev *c = open_keyvals("socket,id=c0,path=%s,server=on,wait=off", path);
    size_t written = 0, got = 0;
    char buf[65536];
    ssize_t n;
    int fd;

    attach(&rec, c);
    ck_assert_uint_eq(chardev_room(c), SIZE_MAX); /* nobody is there */
    fd = dial(path);
    WAIT_FOR(rec.opened == 1);
    while (chardev_room(c) > 0) {
        size_t len = MIN(chardev_room(c), 65536);

        chardev_write(c, chunk, len);
        written += len;
    }
    ck_assert_int_eq(rec.drained, 0);
    while (got < written) {
        n = read(fd, buf, sizeof buf);
        got += n > 0 ? (size_t)n : 0;
        loop_iterate(loop, false);
    }
    WAIT_FOR(rec.drained == 1);
    ck_assert_uint_gt(chardev_room(c), 0);
    ck_assert_uint_eq(chardev_dropped(c), 0);
    close(fd);
    object_unref(c);
}
END_TEST

/* --- pipe --- */

START_TEST(a_pipe_is_two_fifos)
{
    g_autofree char *path = g_build_filename(dir, "p", NULL);
    g_autofree char *in = g_strconcat(path, ".in", NULL), *out = g_strconcat(path, ".out", NULL);
    Chardev *c;
    int to, from;

    ck_assert_int_eq(mkfifo(in, 0600) + mkfifo(out, 0600), 0);
    c = open_keyvals("pipe,id=c0,path=%s", path);
    attach(&rec, c);
    ck_assert_int_eq(rec.opened, 1);
    to = open(in, O_WRONLY | O_CLOEXEC);
    from = open(out, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    send_text(to, "to the guest");
    WAIT_FOR(rec.got->len == 12);
    close(to); /* others may come */
    settle();
    ck_assert_int_eq(rec.closed, 0);
    chardev_write(c, "from it", 7);
    expect_text(from, "from it");
    close(from);
    object_unref(c);
}
END_TEST

START_TEST(a_pipe_may_be_one_file_both_ways)
{
    g_autofree char *path = g_build_filename(dir, "one", NULL);
    Chardev *c;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    c = open_keyvals("pipe,id=c0,path=%s", path);
    attach(&rec, c);
    chardev_write(c, "echo", 4);
    WAIT_FOR(rec.got->len == 4);
    object_unref(c);
}
END_TEST

/* --- pty --- */

static int open_pty(Chardev *c)
{
    const char *name = chardev_filename(c);
    int fd;

    ck_assert(g_str_has_prefix(name, "pty:/dev/pts/"));
    fd = open(name + strlen("pty:"), O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    ck_assert_int_ge(fd, 0);
    return fd;
}

START_TEST(a_pty_is_open_while_somebody_has_its_other_side)
{
    Chardev *c = open_keyvals("pty,id=c0");
    int fd;

    attach(&rec, c);
    settle();
    ck_assert(!chardev_is_open(c));
    chardev_write(c, "lost", 4);
    for (int round = 1; round <= 3; round++) {
        fd = open_pty(c);
        WAIT_FOR(rec.opened == round);
        chardev_write(c, "hi\r\n", 4); /* raw: nothing is translated or echoed */
        expect_text(fd, "hi\r\n");
        send_text(fd, "ab\n");
        WAIT_FOR(rec.got->len == 3 * (size_t)round);
        close(fd);
        WAIT_FOR(rec.closed == round);
    }
    settle();
    ck_assert(!loop_iterate(loop, false)); /* does not spin */
    object_unref(c);
}
END_TEST

START_TEST(a_pty_tells_the_size_of_its_terminal)
{
    const struct winsize ws = {.ws_row = 50, .ws_col = 132};
    Chardev *c = open_keyvals("pty,id=c0");
    uint16_t cols = 0, rows = 0;
    int fd;

    attach(&rec, c);
    ck_assert(!chardev_size(c, &cols, &rows));
    fd = open_pty(c);
    ck_assert_int_eq(ioctl(fd, TIOCSWINSZ, &ws), 0);
    WAIT_FOR(rec.opened == 1);
    ck_assert(chardev_size(c, &cols, &rows));
    ck_assert_uint_eq(cols, 132);
    ck_assert_uint_eq(rows, 50);
    close(fd);
    object_unref(c);
}
END_TEST

/* --- ring buffer --- */

START_TEST(a_ring_buffer_keeps_the_newest_bytes)
{
    Chardev *c = open_keyvals("ringbuf,id=c0,size=8"), *null = open_keyvals("null,id=n");
    char buf[16];

    ck_assert_uint_eq(chardev_ringbuf_read(c, buf, 16), 0);
    chardev_write(c, "abc", 3);
    ck_assert_uint_eq(chardev_ringbuf_read(c, buf, 2), 2);
    ck_assert_mem_eq(buf, "ab", 2);
    chardev_write(c, "0123456789", 10);
    ck_assert_uint_eq(chardev_ringbuf_read(c, buf, 16), 8);
    ck_assert_mem_eq(buf, "23456789", 8);
    ck_assert_uint_eq(chardev_ringbuf_read(c, buf, 16), 0);
    ck_assert_uint_eq(chardev_ringbuf_read(null, buf, 16), 0);
    object_unref(c);
    object_unref(null);
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("chardev-keyval");
    TCase *tc = make_case(s, "keys", setup, teardown);

    tcase_add_loop_test(tc, a_mistake_gets_one_line_that_names_the_fix, 0, G_N_ELEMENTS(bad));
    tcase_add_test(tc, a_value_that_is_no_string_is_refused);
    tcase_add_test(tc, the_kinds_are_listed);
    tcase_add_test(tc, streams_say_where_their_other_end_is);
    tcase_add_test(tc, a_file_is_emptied_unless_append_is_on);
    tcase_add_loop_test(tc, a_socket_serves_with_old_and_new_spelling, 0, 2);
    tcase_add_loop_test(tc, tcp_serves_one_after_the_other_on_loopback, 0, 2);
    tcase_add_test(tc, tcp_connects_to_a_server);
    tcase_add_test(tc, a_checker_touches_nothing);
    tcase_add_test(tc, a_multiplexer_has_a_console_and_a_monitor);
    tcase_add_test(tc, a_slow_reader_leaves_no_room_until_it_has_read);
    tcase_add_test(tc, a_pipe_is_two_fifos);
    tcase_add_test(tc, a_pipe_may_be_one_file_both_ways);
    tcase_add_test(tc, a_pty_is_open_while_somebody_has_its_other_side);
    tcase_add_test(tc, a_pty_tells_the_size_of_its_terminal);
    tcase_add_test(tc, a_ring_buffer_keeps_the_newest_bytes);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
