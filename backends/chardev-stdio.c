/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Standard input and output as a character stream. A terminal is made raw, and is put back on every
 * way out: close, exit, fatal signals, and while the process is stopped (SIGTSTP); SIGCONT makes it
 * raw again.
 *
 * The terminal belongs to the process, so its state is the one static variable of this file, and
 * signal handlers use it: it is changed only while `raw` is unset.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "backends/chardev-impl.h"

OBJECT_DECLARE(StdioChardev, chardev_stdio, CHARDEV_STDIO)

struct StdioChardev {
    FdChardev parent_obj;
    int fds[2];   /* what is read and written: a description of our own where the host gives one */
    int flags[2]; /* file status flags to put back, or -1 */
    LoopFd *resized;
};

static struct {
    StdioChardev *user;
    struct termios cooked, wanted;
    volatile sig_atomic_t raw;
    bool handlers;
    volatile sig_atomic_t winch_fd; /* eventfd that SIGWINCH signals, plus 1; 0: none */
} terminal;

/* --- the terminal; everything here is async-signal-safe --- */

static void terminal_make_raw(void)
{
    /* A background process that changed the terminal would be stopped (SIGTTOU): SIGCONT comes when
     * it is in front. */
    if (tcgetpgrp(STDIN_FILENO) == getpgrp()) {
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.wanted);
    }
}

static void terminal_make_cooked(void)
{
    if (tcgetpgrp(STDIN_FILENO) == getpgrp()) {
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal.cooked);
    }
}

void chardev_restore_terminal(void)
{
    int saved = errno;

    if (terminal.raw) {
        terminal.raw = 0;
        terminal_make_cooked();
    }
    errno = saved;
}

/* SA_RESETHAND: the default action is back. A fault happens again on return, with its real address;
 * all else is raised. */
static void terminal_on_fatal(int sig, siginfo_t *info, void *context)
{
    bool faults = sig == SIGSEGV || sig == SIGBUS || sig == SIGFPE || sig == SIGILL;

    chardev_restore_terminal();
    if (!faults || info->si_code <= 0) {
        raise(sig);
    }
}

static void terminal_on_stop(int sig)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL}, mine;
    sigset_t set;
    int saved = errno;

    if (terminal.raw) {
        terminal_make_cooked();
    }
    sigaction(sig, &dfl, &mine);
    sigemptyset(&set);
    sigaddset(&set, sig);
    raise(sig);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL); /* stops here */
    sigaction(sig, &mine, NULL);
    errno = saved;
}

static void terminal_on_continue(int sig)
{
    int saved = errno;

    if (terminal.raw) {
        terminal_make_raw();
    }
    errno = saved;
}

static void terminal_on_resize(int sig)
{
    static const uint64_t one = 1;
    int saved = errno, fd = terminal.winch_fd - 1;

    if (fd >= 0 && write(fd, &one, sizeof one) < 0) {
        /* full: the loop looks at the size anyway */
    }
    errno = saved;
}

/* Leaves alone what someone else handles (a sanitizer, the main loop) or ignores (nohup). */
static void terminal_handle(int sig, const struct sigaction *act)
{
    struct sigaction old;

    if (sigaction(sig, NULL, &old) == 0 && !(old.sa_flags & SA_SIGINFO) &&
        old.sa_handler == SIG_DFL) {
        sigaction(sig, act, NULL);
    }
}

static void terminal_install_handlers(void)
{
    static const int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGQUIT};
    struct sigaction on_fatal = {.sa_sigaction = terminal_on_fatal,
                                 .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND)};
    struct sigaction on_stop = {.sa_handler = terminal_on_stop, .sa_flags = SA_RESTART};
    struct sigaction on_continue = {.sa_handler = terminal_on_continue, .sa_flags = SA_RESTART};
    struct sigaction on_resize = {.sa_handler = terminal_on_resize, .sa_flags = SA_RESTART};

    if (terminal.handlers) {
        return;
    }
    terminal.handlers = true;
    atexit(chardev_restore_terminal);
    for (size_t i = 0; i < G_N_ELEMENTS(fatal); i++) {
        terminal_handle(fatal[i], &on_fatal);
    }
    terminal_handle(SIGTSTP, &on_stop);
    terminal_handle(SIGCONT, &on_continue);
    terminal_handle(SIGWINCH, &on_resize);
}

/* signals: Ctrl-c, Ctrl-z and Ctrl-\ keep their meaning; otherwise the guest gets them. */
static void terminal_open(bool signals)
{
    struct termios *t = &terminal.wanted;

    if (tcgetattr(STDIN_FILENO, &terminal.cooked) < 0) {
        return;
    }
    *t = terminal.cooked;
    t->c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    t->c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | IEXTEN | (signals ? 0 : ISIG));
    t->c_cflag = (t->c_cflag & ~(tcflag_t)(CSIZE | PARENB)) | CS8;
    t->c_cc[VMIN] = 1;
    t->c_cc[VTIME] = 0;
    terminal_install_handlers();
    terminal.raw = 1;
    terminal_make_raw();
}

/* --- the stream --- */

/*
 * A non-blocking fd for a standard stream. O_NONBLOCK belongs to the open file description, which
 * the shell and stderr share: terminals and pipes are opened anew. Where that is refused, the flag
 * is set and put back at close.
 */
static int stdio_open(int fd, int how, int *ret_flags)
{
    char path[32];
    struct stat st;
    int own;

    *ret_flags = -1;
    if (fstat(fd, &st) < 0) {
        return -1;
    }
    if (isatty(fd) || S_ISFIFO(st.st_mode)) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        own = open(path, how | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        if (own >= 0) {
            return own;
        }
    }
    *ret_flags = fcntl(fd, F_GETFL);
    fcntl(fd, F_SETFL, *ret_flags | O_NONBLOCK);
    return fd;
}

/* --- the terminal's size --- */

static void stdio_take_size(StdioChardev *s)
{
    struct winsize ws;

    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0) {
        chardev_set_size(CHARDEV(s), ws.ws_col, ws.ws_row);
    }
}

static void stdio_resized(void *opaque, unsigned events)
{
    uint64_t count;

    if (read(terminal.winch_fd - 1, &count, sizeof count) == sizeof count) {
        stdio_take_size(opaque);
    }
}

static void stdio_watch_size(StdioChardev *s)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd >= 0) {
        s->resized = loop_fd_new(CHARDEV(s)->loop, fd, LOOP_READ, stdio_resized, s);
        terminal.winch_fd = fd + 1;
    }
    stdio_take_size(s);
}

static void stdio_unwatch_size(StdioChardev *s)
{
    int fd = terminal.winch_fd - 1;

    terminal.winch_fd = 0;
    g_clear_pointer(&s->resized, loop_fd_free);
    if (fd >= 0) {
        close(fd);
    }
}

Chardev *chardev_stdio_new(EventLoop *loop, const char *label, bool signals, GError **err)
{
    StdioChardev *s;
    Chardev *c;

    if (terminal.user) {
        error_set(err, "standard input and output are in use already by %s",
                  CHARDEV(terminal.user)->label);
        return NULL;
    }
    c = chardev_new(&chardev_stdio_type, loop, label);
    s = CHARDEV_STDIO(c);
    terminal.user = s;
    signal(SIGPIPE, SIG_IGN); /* stdout's reader may leave */
    s->fds[0] = stdio_open(STDIN_FILENO, O_RDONLY, &s->flags[0]);
    s->fds[1] = stdio_open(STDOUT_FILENO, O_WRONLY, &s->flags[1]);
    if (isatty(STDIN_FILENO)) {
        c->terminal = true;
        terminal_open(signals);
        stdio_watch_size(s);
    }
    fd_chardev_start(CHARDEV_FD(c), s->fds[0], s->fds[1]);
    c->open = true;
    return c;
}

static void stdio_input_ended(FdChardev *f)
{
    chardev_fe_event(CHARDEV(f), CHARDEV_CLOSED);
}

static void chardev_stdio_close(Chardev *c)
{
    StdioChardev *s = CHARDEV_STDIO(c);

    if (terminal.user != s) {
        return;
    }
    fd_chardev_stop(CHARDEV_FD(c));
    stdio_unwatch_size(s);
    for (int i = 1; i >= 0; i--) {
        if (s->flags[i] >= 0) {
            fcntl(s->fds[i], F_SETFL, s->flags[i]);
        } else if (s->fds[i] >= 0) {
            close(s->fds[i]);
        }
    }
    chardev_restore_terminal();
    terminal.user = NULL;
}

static void chardev_stdio_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->close = chardev_stdio_close;
    CHARDEV_FD_CLASS(klass)->input_ended = stdio_input_ended;
}

const TypeInfo chardev_stdio_type = {
    .name = "chardev-stdio",
    .parent = &chardev_fd_type,
    .instance_size = sizeof(StdioChardev),
    .class_init = chardev_stdio_class_init,
    .desc = "standard input and output, raw when that is a terminal",
};
