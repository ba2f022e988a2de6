/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standard input and output as a character stream. The terminal's tests run this program again as a
 * child on a pseudo-terminal (see child_main).
 */
#include <check.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#include <utmp.h>

#include "chardev-fixture.h"
#include "tests/suite.h"

/* --- standard input and output, in this process --- */

static int saved_stdio[2];

static void use_stdio(int in, int out)
{
    fflush(stdout);
    for (int i = 0; i < 2; i++) {
        saved_stdio[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
    }
    dup2(in, 0);
    dup2(out, 1);
}

static void back_to_own_stdio(void)
{
    for (int i = 0; i < 2; i++) {
        dup2(saved_stdio[i], i);
        close(saved_stdio[i]);
    }
}

START_TEST(standard_input_from_dev_null_ends_without_spinning)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    Chardev *c;

    use_stdio(null, null);
    c = open_option("stdio");
    attach(&rec, c);
    WAIT_FOR(rec.closed == 1);
    settle();
    ck_assert(!loop_iterate(loop, false));
    chardev_write(c, "out", 3);
    ck_assert_uint_eq(chardev_dropped(c), 0);
    object_unref(c);
    back_to_own_stdio();
    close(null);
}
END_TEST

START_TEST(standard_input_from_a_file_is_read_at_the_front_ends_pace)
{
    g_autofree char *path = g_build_filename(dir, "script", NULL);
    Chardev *c;
    int in, out = open("/dev/null", O_WRONLY | O_CLOEXEC);

    ck_assert(g_file_set_contents(path, "first second", -1, NULL));
    in = open(path, O_RDONLY | O_CLOEXEC);
    use_stdio(in, out);
    c = open_option("stdio");
    rec.room = 0;
    attach(&rec, c);
    settle();
    rec.room = 5;
    chardev_accept_input(c);
    WAIT_FOR(rec.closed == 1);
    ck_assert_str_eq(rec.got->str, "first second");
    object_unref(c);
    back_to_own_stdio();
    close(in);
    close(out);
}
END_TEST

START_TEST(pipes_of_the_caller_stay_blocking_and_a_reader_that_leaves_is_no_signal)
{
    int in[2], out[2], flags;
    Chardev *c;

    ck_assert_int_eq(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
    use_stdio(in[0], out[1]);
    c = open_option("stdio");
    attach(&rec, c);
    flags = fcntl(0, F_GETFL) | fcntl(1, F_GETFL);
    send_text(in[1], "abc");
    WAIT_FOR(strcmp(rec.got->str, "abc") == 0);
    chardev_write(c, "def", 3);
    expect_text(out[0], "def");
    close(out[0]);
    chardev_write(c, "lost", 4);
    back_to_own_stdio();
    ck_assert_int_eq(flags & O_NONBLOCK, 0);
    ck_assert_uint_eq(chardev_dropped(c), 4);
    close(in[1]);
    WAIT_FOR(rec.closed == 1);
    object_unref(c);
    close(in[0]);
    close(out[1]);
}
END_TEST

START_TEST(standard_streams_have_one_user_at_a_time)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    Chardev *c;

    use_stdio(null, null);
    c = open_option("stdio");
    expect_error("stdio", "-serial stdio: standard input and output are in use already by -serial");
    expect_error("mon:stdio", "in use already");
    object_unref(c);
    c = open_option("mon:stdio");
    object_unref(c);
    back_to_own_stdio();
    close(null);
}
END_TEST

/* --- the terminal: this program as a child on a pseudo-terminal --- */

static const char self[] = "/proc/self/exe";

static bool is_raw(int fd)
{
    struct termios t;

    return tcgetattr(fd, &t) == 0 && !(t.c_lflag & (ICANON | ECHO));
}

static bool wait_raw(int fd, bool raw)
{
    for (int i = 0; i < 10000; i++) {
        if (is_raw(fd) == raw) {
            return true;
        }
        g_usleep(1000);
    }
    return false;
}

/* A shell's part: runs the program in front, stops it, looks, lets it go on, looks. Exit status 0:
 * all was well. */
static int stopping_shell(void)
{
    pid_t pid;
    int status;

    signal(SIGTTOU, SIG_IGN);
    pid = fork();
    if (pid == 0) {
        setpgid(0, 0);
        tcsetpgrp(0, getpid());
        signal(SIGTTOU, SIG_DFL);
        execl(self, self, "--child", "close", "stdio", (char *)NULL);
        _exit(99);
    }
    if (!wait_raw(0, true)) {
        return 1;
    }
    kill(pid, SIGTSTP);
    if (waitpid(pid, &status, WUNTRACED) != pid || !WIFSTOPPED(status) || is_raw(0)) {
        return 2;
    }
    kill(pid, SIGCONT);
    if (!wait_raw(0, true)) {
        return 3;
    }
    kill(pid, SIGQUIT);
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status) || is_raw(0)) {
        return 4;
    }
    return 0;
}

/* What the child does: opens the stream, waits for one byte, and leaves in the way that `how`
 * names. */
static int child_main(const char *how, const char *option)
{
    g_autoptr(GError) err = NULL;
    Chardev *c;

    if (strcmp(how, "shell") == 0) {
        return stopping_shell();
    }
    setup();
    c = chardev_new_from_option(loop, "-serial", option, &err);
    if (!c) {
        return 98;
    }
    attach(&rec, c);
    chardev_set_quit_handler(c, rec_quit, &rec);
    chardev_write(c, "hello\n", 6);
    while (rec.got->len == 0 && rec.quits == 0) {
        loop_iterate(loop, true);
    }
    if (strcmp(how, "exit") == 0) {
        exit(7);
    } else if (strcmp(how, "abort") == 0) {
        signal(SIGCHLD, SIG_DFL);
        raise(SIGABRT);
    }
    object_unref(c);
    teardown();
    return rec.quits ? 8 : 0;
}

typedef struct {
    int master, slave;
    pid_t pid;
} Terminal;

static void terminal_start(Terminal *t, const char *how, const char *option)
{
    ck_assert_int_eq(openpty(&t->master, &t->slave, NULL, NULL, NULL), 0);
    ck_assert(!is_raw(t->slave));
    t->pid = fork();
    ck_assert_int_ge(t->pid, 0);
    if (t->pid == 0) {
        close(t->master);
        login_tty(t->slave);
        execl(self, self, "--child", how, option, (char *)NULL);
        _exit(99);
    }
}

static int terminal_end(Terminal *t)
{
    int status;

    ck_assert_int_eq(waitpid(t->pid, &status, 0), t->pid);
    ck_assert_msg(!is_raw(t->slave), "the terminal was left raw");
    close(t->master);
    close(t->slave);
    return status;
}

static const struct {
    const char *how, *option, *keys;
    int status; /* exit status, or */
    int signal; /* the signal that it dies of */
} ways_out[] = {
    {"close", "stdio", "q", 0, 0},          {"close", "mon:stdio", "q", 0, 0},
    {"exit", "stdio", "q", 7, 0},           {"abort", "mon:stdio", "q", 0, SIGABRT},
    {"close", "mon:stdio", "\001x", 8, 0},  /* Ctrl-a x */
    {"close", "stdio", "\001", 0, 0},       /* the guest gets Ctrl-a */
    {"close", "mon:stdio", "\003", 0, 0},   /* the guest gets Ctrl-c */
    {"close", "stdio", "\034", 0, SIGQUIT}, /* the terminal's own keys work */
};

START_TEST(the_terminal_is_raw_in_use_and_restored_on_every_way_out)
{
    Terminal t;
    int status;

    terminal_start(&t, ways_out[_i].how, ways_out[_i].option);
    ck_assert(wait_raw(t.slave, true));
    expect_text(t.master, "hello\r\n");
    send_text(t.master, ways_out[_i].keys);
    status = terminal_end(&t);
    if (ways_out[_i].signal) {
        ck_assert(WIFSIGNALED(status));
        ck_assert_int_eq(WTERMSIG(status), ways_out[_i].signal);
    } else {
        ck_assert(WIFEXITED(status));
        ck_assert_int_eq(WEXITSTATUS(status), ways_out[_i].status);
    }
}
END_TEST

START_TEST(a_stopped_process_gives_the_terminal_back_and_takes_it_again)
{
    Terminal t;
    int status;

    terminal_start(&t, "shell", "stdio");
    status = terminal_end(&t);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

int main(int argc, char **argv)
{
    Suite *suite;
    TCase *tc;

    if (argc == 4 && strcmp(argv[1], "--child") == 0) {
        return child_main(argv[2], argv[3]);
    }
    suite = suite_create("standard streams");
    tc = make_case(suite, "pipes and files", setup, teardown);
    tcase_add_test(tc, standard_input_from_dev_null_ends_without_spinning);
    tcase_add_test(tc, standard_input_from_a_file_is_read_at_the_front_ends_pace);
    tcase_add_test(tc, pipes_of_the_caller_stay_blocking_and_a_reader_that_leaves_is_no_signal);
    tcase_add_test(tc, standard_streams_have_one_user_at_a_time);

    tc = make_case(suite, "terminal", setup, teardown);
    tcase_add_loop_test(tc, the_terminal_is_raw_in_use_and_restored_on_every_way_out, 0,
                        G_N_ELEMENTS(ways_out));
    tcase_add_test(tc, a_stopped_process_gives_the_terminal_back_and_takes_it_again);

    return suite_run(suite);
}
