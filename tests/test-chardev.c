/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams: options, files, sockets and the multiplexer. Standard streams have a suite of
 * their own.
 */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "chardev-fixture.h"
#include "tests/suite.h"

static char *contents(const char *path)
{
    char *text = NULL;

    ck_assert(g_file_get_contents(path, &text, NULL, NULL));
    return text;
}

/* --- options --- */

static const struct {
    const char *option, *message;
} bad_options[] = {
    {"", "-serial : unknown kind ''"},
    {"stdoi",
     "-serial stdoi: unknown kind 'stdoi'; did you mean 'stdio'?; one of stdio, mon:stdio"},
    {"telnet:1", "unknown kind 'telnet'; one of stdio, mon:stdio, null, file:PATH, unix:PATH"},
    {"mon:fiel:x", "unknown kind 'fiel'; did you mean 'file'?"},
    {"stdio:1", "-serial stdio:1: 'stdio' takes nothing after it"},
    {"file", "the path is missing: file:PATH"},
    {"file:", "the path is missing: file:PATH"},
    {"unix:", "the path is missing: unix:PATH"},
    {"unix:,server=on", "the path is missing"},
    {"unix:/x,sever=on", "unknown setting 'sever'; did you mean 'server'?"},
    {"unix:/x,telnet=on", "unknown setting 'telnet'; a socket has server=on|off and wait=on|off"},
    {"unix:/x,server=maybe", "maybe"},
    {"file:/nowhere/y", "-serial file:/nowhere/y: cannot open: No such file or directory"},
    {"unix:/nowhere/y,server=on", "cannot make the socket: No such file or directory"},
    {"unix:/nowhere/y",
     "cannot connect to '/nowhere/y' (add server=on to listen there): No such file or directory"},
};

START_TEST(a_bad_option_gets_one_line_that_names_it_and_the_fix)
{
    expect_error(bad_options[_i].option, bad_options[_i].message);
}
END_TEST

START_TEST(a_path_too_long_for_a_socket_is_refused)
{
    g_autofree char *path = g_strnfill(200, 'a');
    g_autofree char *option = g_strdup_printf("unix:/%s,server=on,wait=off", path);

    expect_error(option, "the path is longer than 107 bytes");
}
END_TEST

/* --- null and files --- */

START_TEST(the_null_stream_is_open_and_takes_everything)
{
    Chardev *c = open_option("null");

    attach(&rec, c);
    ck_assert_int_eq(rec.opened, 1);
    chardev_write(c, "x", 1);
    chardev_flush(c);
    chardev_disconnect(c);
    ck_assert_uint_eq(chardev_dropped(c), 0);
    object_unref(c);
}
END_TEST

START_TEST(a_file_stream_starts_an_empty_file_and_holds_what_was_written)
{
    g_autofree char *path = g_build_filename(dir, "log", NULL);
    g_autofree char *text = NULL;
    Chardev *c;

    ck_assert(g_file_set_contents(path, "old and long text", -1, NULL));
    c = open_option("file:%s", path);
    chardev_write(c, "hello ", 6);
    chardev_write(c, "world", 5);
    text = contents(path);
    ck_assert_str_eq(text, "hello world");
    chardev_close(c);
    chardev_write(c, "late", 4);
    object_unref(c);
}
END_TEST

START_TEST(a_fifo_without_a_reader_is_refused_instead_of_waited_for)
{
    g_autofree char *path = g_build_filename(dir, "fifo", NULL);
    g_autofree char *option = g_strdup_printf("file:%s", path);

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    expect_error(option, "start the reader first");
}
END_TEST

START_TEST(a_fifo_whose_reader_left_drops_without_a_signal)
{
    g_autofree char *path = g_build_filename(dir, "fifo", NULL);
    Chardev *c;
    int fd;

    ck_assert_int_eq(mkfifo(path, 0600), 0);
    fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    c = open_option("file:%s", path);
    close(fd);
    chardev_write(c, "abc", 3);
    chardev_write(c, "de", 2);
    ck_assert_uint_eq(chardev_dropped(c), 5);
    object_unref(c);
}
END_TEST

START_TEST(two_commas_in_a_path_are_one)
{
    g_autofree char *path = g_build_filename(dir, "a,b", NULL);
    Chardev *c = open_option("unix:%s/a,,b,server,nowait", dir);

    ck_assert_int_eq(access(path, F_OK), 0);
    object_unref(c);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

/* --- sockets --- */

static bool at_end(int fd)
{
    char byte;

    return read(fd, &byte, 1) == 0;
}

START_TEST(a_server_talks_with_its_client_both_ways)
{
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd;

    attach(&rec, c);
    ck_assert_int_eq(rec.opened, 0);
    chardev_write(c, "nobody hears", 12);
    ck_assert_uint_eq(chardev_dropped(c), 12);
    fd = dial(path);
    WAIT_FOR(rec.opened == 1);
    send_text(fd, "question");
    WAIT_FOR(strcmp(rec.got->str, "question") == 0);
    chardev_write(c, "answer", 6);
    expect_text(fd, "answer");
    close(fd);
    WAIT_FOR(rec.closed == 1);
    object_unref(c);
    ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(the_next_client_is_served_when_the_first_has_left)
{
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server,nowait", path);
    int first = dial(path), second;

    attach(&rec, c);
    WAIT_FOR(rec.opened == 1);
    second = dial(path);
    send_text(second, "two");
    settle();
    ck_assert_str_eq(rec.got->str, "");
    close(first);
    WAIT_FOR(strcmp(rec.got->str, "two") == 0);
    ck_assert_int_eq(rec.closed, 1);
    ck_assert_int_eq(rec.opened, 2);
    chardev_write(c, "hi", 2);
    expect_text(second, "hi");
    object_unref(c);
    ck_assert(at_end(second));
    close(second);
}
END_TEST

START_TEST(a_stale_socket_is_replaced_a_live_one_and_other_files_are_not)
{
    g_autofree char *path = sock_path(), *file = g_build_filename(dir, "file", NULL);
    g_autofree char *option = g_strdup_printf("unix:%s,server=on,wait=off", path);
    g_autofree char *on_file = g_strdup_printf("unix:%s,server=on,wait=off", file);
    int fd = serve(path);
    Chardev *c;

    expect_error(option, "address in use");
    ck_assert_int_eq(access(path, F_OK), 0);
    close(fd);
    c = open_option("%s", option);
    object_unref(c);

    ck_assert(g_file_set_contents(file, "mine", -1, NULL));
    expect_error(on_file, "exists and is not a socket");
    ck_assert_int_eq(access(file, F_OK), 0);
}
END_TEST

START_TEST(a_socket_that_someone_else_put_at_the_path_stays)
{
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd;

    unlink(path);
    fd = serve(path);
    object_unref(c);
    ck_assert_int_eq(access(path, F_OK), 0);
    close(fd);
}
END_TEST

static void *dial_later(void *opaque)
{
    int fd = -1;

    while (access(opaque, F_OK) != 0) {
        g_usleep(1000);
    }
    g_usleep(20000);
    fd = dial(opaque);
    return GINT_TO_POINTER(fd);
}

START_TEST(a_server_waits_for_its_client_unless_told_otherwise)
{
    g_autofree char *path = sock_path();
    pthread_t thread;
    Chardev *c;
    void *fd;

    ck_assert_int_eq(pthread_create(&thread, NULL, dial_later, path), 0);
    c = open_option("unix:%s,server=on", path);
    attach(&rec, c);
    ck_assert_int_eq(rec.opened, 1);
    pthread_join(thread, &fd);
    chardev_write(c, "ready", 5);
    expect_text(GPOINTER_TO_INT(fd), "ready");
    close(GPOINTER_TO_INT(fd));
    object_unref(c);
}
END_TEST

START_TEST(a_socket_with_a_relative_path_is_removed_from_another_directory_too)
{
    g_autofree char *path = sock_path(), *base = g_path_get_basename(path),
                    *cwd = g_get_current_dir();
    Chardev *c;

    ck_assert_int_eq(chdir(dir), 0);
    c = open_option("unix:%s,server=on,wait=off", base);
    ck_assert_int_eq(access(path, F_OK), 0);
    ck_assert_int_eq(chdir("/"), 0);
    object_unref(c);
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(chdir(cwd), 0);
}
END_TEST

START_TEST(a_blocked_signal_to_end_interrupts_the_wait_for_a_client)
{
    g_autofree char *path = sock_path();
    g_autofree char *option = g_strdup_printf("unix:%s,server=on", path);
    sigset_t term;
    int sig;

    sigemptyset(&term);
    sigaddset(&term, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &term, NULL);
    pthread_kill(pthread_self(), SIGTERM);
    expect_error(option, "interrupted while waiting for a client");
    ck_assert_int_eq(access(path, F_OK), -1);
    ck_assert_int_eq(sigwait(&term, &sig), 0);
    pthread_sigmask(SIG_UNBLOCK, &term, NULL);
}
END_TEST

START_TEST(a_client_connects_to_a_server)
{
    g_autofree char *path = sock_path();
    int listener = serve(path), fd;
    Chardev *c = open_option("unix:%s", path);

    fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    attach(&rec, c);
    send_text(fd, "in");
    WAIT_FOR(strcmp(rec.got->str, "in") == 0);
    chardev_write(c, "out", 3);
    expect_text(fd, "out");
    close(fd);
    close(listener);
    WAIT_FOR(rec.closed == 1);
    object_unref(c);
}
END_TEST

START_TEST(input_waits_until_the_front_end_takes_it)
{
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd = dial(path);

    send_text(fd, "abcdef");
    settle();
    rec.room = 0;
    attach(&rec, c);
    settle();
    ck_assert(!loop_iterate(loop, false)); /* it does not spin either */
    ck_assert_uint_eq(rec.got->len, 0);
    rec.room = 2;
    chardev_accept_input(c);
    WAIT_FOR(strcmp(rec.got->str, "abcdef") == 0);
    chardev_set_frontend(c, NULL);
    send_text(fd, "kept");
    settle();
    attach(&rec, c);
    WAIT_FOR(strcmp(rec.got->str, "abcdefkept") == 0);
    close(fd);
    object_unref(c);
}
END_TEST

START_TEST(a_reader_that_sleeps_costs_a_bounded_buffer_and_what_it_gets_is_in_order)
{
    enum { CHUNK = 4096, CHUNKS = 1024 };
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd = dial(path);
    uint32_t word[CHUNK / 4];
    uint8_t got[CHUNK];
    uint64_t total = 0, wrong = 0;
    ssize_t n;

    attach(&rec, c);
    WAIT_FOR(rec.opened == 1);
    for (uint32_t i = 0; i < CHUNKS; i++) {
        for (uint32_t k = 0; k < CHUNK / 4; k++) {
            word[k] = i * (CHUNK / 4) + k;
        }
        chardev_write(c, word, sizeof word);
    }
    ck_assert_uint_gt(chardev_dropped(c), CHUNK * CHUNKS / 2);
    while (total < (uint64_t)CHUNK * CHUNKS - chardev_dropped(c)) {
        n = read(fd, got, sizeof got);
        if (n < 0) {
            ck_assert_int_eq(errno, EAGAIN);
            loop_iterate(loop, false);
        }
        for (ssize_t i = 0; i < n; i++, total++) {
            wrong += got[i] != (uint8_t)(total / 4 >> total % 4 * 8);
        }
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_ge(total, CHARDEV_BUFFER);
    chardev_write(c, "end", 3);
    expect_text(fd, "end");
    close(fd);
    object_unref(c);
}
END_TEST

/* stderr is a file until the returned fd is given back to it. */
static int stderr_to(const char *path)
{
    int saved = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    ck_assert(saved >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    close(fd);
    return saved;
}

static uint64_t read_some(int fd)
{
    static char buf[65536];
    ssize_t n = read(fd, buf, sizeof buf);

    loop_iterate(loop, false);
    return n > 0 ? (uint64_t)n : 0;
}

START_TEST(output_dropped_behind_a_slow_reader_is_told_at_once_and_summed_up_later)
{
    enum { CHUNK = 65536, CHUNKS = 64 };
    g_autofree char *path = sock_path(), *log = g_build_filename(dir, "stderr", NULL);
    g_autofree char *chunk = g_malloc0(CHUNK), *first = NULL, *all = NULL, *last = NULL;
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd = dial(path), saved = stderr_to(log);
    uint64_t total = 0;

    attach(&rec, c);
    WAIT_FOR(rec.opened == 1);
    for (int i = 0; i < CHUNKS; i++) {
        chardev_write(c, chunk, CHUNK);
    }
    first = contents(log);
    WAIT_FOR((total += read_some(fd)) + chardev_dropped(c) == CHUNK * CHUNKS);
    settle();
    all = contents(log);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ck_assert(g_str_has_prefix(first, "aerostat: warning: -serial: the reader is slow: "));
    ck_assert_ptr_eq(strchr(first, '\n'), first + strlen(first) - 1);
    last = g_strdup_printf("%saerostat: warning: -serial: the reader is slow: %" G_GUINT64_FORMAT
                           " bytes of output dropped\n",
                           first, chardev_dropped(c));
    ck_assert_str_eq(all, last);
    close(fd);
    object_unref(c);
}
END_TEST

START_TEST(output_that_nobody_is_there_for_is_dropped_without_a_word)
{
    g_autofree char *path = sock_path(), *log = g_build_filename(dir, "stderr", NULL);
    g_autofree char *text = g_malloc0(2 * CHARDEV_BUFFER), *said = NULL;
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int saved = stderr_to(log);

    chardev_write(c, text, 2 * CHARDEV_BUFFER);
    said = contents(log);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ck_assert_uint_eq(chardev_dropped(c), 2 * CHARDEV_BUFFER);
    ck_assert_str_eq(said, "");
    object_unref(c);
}
END_TEST

static void *read_all(void *opaque)
{
    char buf[4096];
    size_t total = 0;
    ssize_t n;
    int fd = GPOINTER_TO_INT(opaque);

    fcntl(fd, F_SETFL, 0);
    while ((n = read(fd, buf, sizeof buf)) > 0) {
        total += (size_t)n;
    }
    return GSIZE_TO_POINTER(total);
}

START_TEST(a_flush_returns_when_everything_is_out)
{
    g_autofree char *path = sock_path();
    g_autofree char *text = g_malloc0(CHARDEV_BUFFER);
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd = dial(path);
    pthread_t thread;
    void *total;

    attach(&rec, c);
    WAIT_FOR(rec.opened == 1);
    chardev_write(c, text, CHARDEV_BUFFER);
    ck_assert_int_eq(pthread_create(&thread, NULL, read_all, GINT_TO_POINTER(fd)), 0);
    chardev_flush(c);
    chardev_close(c);
    pthread_join(thread, &total);
    ck_assert_uint_eq(GPOINTER_TO_SIZE(total), CHARDEV_BUFFER);
    ck_assert_uint_eq(chardev_dropped(c), 0);
    close(fd);
    object_unref(c);
}
END_TEST

START_TEST(a_front_end_can_hang_up_on_its_client_while_it_receives)
{
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd = dial(path), next;

    attach(&rec, c);
    WAIT_FOR(rec.opened == 1);
    chardev_write(c, "bye", 3);
    rec.hang_up = true;
    rec.room = 4;
    send_text(fd, "too much of it");
    WAIT_FOR(rec.closed == 1);
    ck_assert_str_eq(rec.got->str, "too ");
    expect_text(fd, "bye");
    ck_assert(at_end(fd));
    close(fd);
    next = dial(path);
    WAIT_FOR(rec.opened == 2);
    send_text(next, "ok");
    WAIT_FOR(g_str_has_suffix(rec.got->str, "ok"));
    close(next);
    object_unref(c);
}
END_TEST

START_TEST(a_front_end_may_drop_the_stream_while_it_receives)
{
    g_autofree char *path = sock_path();
    Chardev *c = open_option("unix:%s,server=on,wait=off", path);
    int fd = dial(path);

    attach(&rec, c);
    rec.drop = c;
    send_text(fd, "x");
    WAIT_FOR(rec.drop == NULL);
    settle();
    ck_assert(at_end(fd));
    close(fd);
}
END_TEST

/* --- the multiplexer, on a socket --- */

static Chardev *mux;
static int mux_fd;

static void mux_setup(void)
{
    g_autofree char *path = NULL;

    setup();
    path = sock_path();
    mux = open_option("mon:unix:%s,server=on,wait=off", path);
    attach(&rec, chardev_mux_port(mux, 0));
    mux_fd = dial(path);
    WAIT_FOR(rec.opened == 1);
    chardev_set_quit_handler(mux, rec_quit, &rec);
}

static void mux_teardown(void)
{
    object_unref(mux);
    close(mux_fd);
    teardown();
}

START_TEST(only_a_multiplexer_has_a_second_port)
{
    Chardev *null = open_option("null");

    ck_assert_ptr_eq(chardev_mux_port(null, 0), null);
    ck_assert_ptr_null(chardev_mux_port(null, 1));
    ck_assert_ptr_nonnull(chardev_mux_port(mux, 1));
    ck_assert_ptr_null(chardev_mux_port(mux, 2));
    object_unref(null);
}
END_TEST

START_TEST(console_and_monitor_share_the_stream_and_ctrl_a_c_switches)
{
    Chardev *port = chardev_mux_port(mux, 1);

    attach(&mon, port);
    ck_assert_int_eq(mon.opened, 1);
    send_text(mux_fd, "one\001ctwo\001cthree");
    WAIT_FOR(g_str_has_suffix(rec.got->str, "three"));
    ck_assert_str_eq(rec.got->str, "onethree");
    ck_assert_str_eq(mon.got->str, "two");
    ck_assert_int_eq(mon.mux_in, 1);
    ck_assert_int_eq(mon.mux_out, 1);
    ck_assert_int_eq(rec.mux_in, 1);
    chardev_write(mux, "console ", 8);
    chardev_write(port, "monitor", 7);
    expect_text(mux_fd, "console monitor");
}
END_TEST

START_TEST(ctrl_a_c_stays_where_nobody_else_listens)
{
    send_text(mux_fd, "\001cstill here");
    WAIT_FOR(strcmp(rec.got->str, "still here") == 0);
    expect_text(mux_fd, "\r\nNothing to switch to");
}
END_TEST

START_TEST(ctrl_a_twice_sends_one_and_b_a_break_and_h_shows_help)
{
    send_text(mux_fd, "a\001\001b\001b\001h\001zc");
    WAIT_FOR(rec.got->len == 4);
    ck_assert_mem_eq(rec.got->str, "a\001bc", 4);
    ck_assert_int_eq(rec.breaks, 1);
    expect_text(mux_fd, "\r\nCtrl-a h       this help\r\n");
}
END_TEST

START_TEST(ctrl_a_x_asks_to_quit_even_when_the_guest_takes_no_input)
{
    rec.room = 0;
    send_text(mux_fd, "unread");
    settle();
    send_text(mux_fd, "\001");
    settle();
    send_text(mux_fd, "x");
    WAIT_FOR(rec.quits == 1);
    ck_assert_str_eq(rec.got->str, "");
    rec.room = 3;
    chardev_accept_input(mux);
    ck_assert_str_eq(rec.got->str, "unread");
}
END_TEST

START_TEST(input_for_a_slow_guest_is_kept_in_order_and_the_rest_left_unread)
{
    g_autofree char *text = g_strnfill(20000, 'x');

    for (int i = 0; i < 20000; i++) {
        text[i] = (char)('a' + i % 23);
    }
    rec.room = 0;
    send_text(mux_fd, text);
    settle();
    ck_assert(!loop_iterate(loop, false));
    rec.room = 16;
    chardev_accept_input(mux);
    WAIT_FOR(rec.got->len == 20000);
    ck_assert_str_eq(rec.got->str, text);
}
END_TEST

START_TEST(a_monitor_port_outlives_its_multiplexer)
{
    Chardev *port = CHARDEV(object_ref(chardev_mux_port(mux, 1)));

    attach(&mon, port);
    chardev_close(mux);
    chardev_write(port, "x", 1);
    chardev_flush(port);
    chardev_accept_input(port);
    object_unref(port);
}
END_TEST

static void add_socket_tests(Suite *suite)
{
    TCase *tc = make_case(suite, "sockets", setup, teardown);

    tcase_add_test(tc, a_server_talks_with_its_client_both_ways);
    tcase_add_test(tc, the_next_client_is_served_when_the_first_has_left);
    tcase_add_test(tc, a_stale_socket_is_replaced_a_live_one_and_other_files_are_not);
    tcase_add_test(tc, a_socket_that_someone_else_put_at_the_path_stays);
    tcase_add_test(tc, a_server_waits_for_its_client_unless_told_otherwise);
    tcase_add_test(tc, a_socket_with_a_relative_path_is_removed_from_another_directory_too);
    tcase_add_test(tc, a_blocked_signal_to_end_interrupts_the_wait_for_a_client);
    tcase_add_test(tc, a_client_connects_to_a_server);
    tcase_add_test(tc, input_waits_until_the_front_end_takes_it);
    tcase_add_test(tc, a_reader_that_sleeps_costs_a_bounded_buffer_and_what_it_gets_is_in_order);
    tcase_add_test(tc, output_dropped_behind_a_slow_reader_is_told_at_once_and_summed_up_later);
    tcase_add_test(tc, output_that_nobody_is_there_for_is_dropped_without_a_word);
    tcase_add_test(tc, a_flush_returns_when_everything_is_out);
    tcase_add_test(tc, a_front_end_can_hang_up_on_its_client_while_it_receives);
    tcase_add_test(tc, a_front_end_may_drop_the_stream_while_it_receives);
}

static Suite *chardev_suite(void)
{
    Suite *suite = suite_create("chardev");
    TCase *tc = make_case(suite, "options and files", setup, teardown);

    tcase_add_loop_test(tc, a_bad_option_gets_one_line_that_names_it_and_the_fix, 0,
                        G_N_ELEMENTS(bad_options));
    tcase_add_test(tc, a_path_too_long_for_a_socket_is_refused);
    tcase_add_test(tc, the_null_stream_is_open_and_takes_everything);
    tcase_add_test(tc, a_file_stream_starts_an_empty_file_and_holds_what_was_written);
    tcase_add_test(tc, a_fifo_without_a_reader_is_refused_instead_of_waited_for);
    tcase_add_test(tc, a_fifo_whose_reader_left_drops_without_a_signal);
    tcase_add_test(tc, two_commas_in_a_path_are_one);
    add_socket_tests(suite);

    tc = make_case(suite, "multiplexer", mux_setup, mux_teardown);
    tcase_add_test(tc, only_a_multiplexer_has_a_second_port);
    tcase_add_test(tc, console_and_monitor_share_the_stream_and_ctrl_a_c_switches);
    tcase_add_test(tc, ctrl_a_c_stays_where_nobody_else_listens);
    tcase_add_test(tc, ctrl_a_twice_sends_one_and_b_a_break_and_h_shows_help);
    tcase_add_test(tc, ctrl_a_x_asks_to_quit_even_when_the_guest_takes_no_input);
    tcase_add_test(tc, input_for_a_slow_guest_is_kept_in_order_and_the_rest_left_unread);
    tcase_add_test(tc, a_monitor_port_outlives_its_multiplexer);
    return suite;
}

int main(void)
{
    return suite_run(chardev_suite());
}
