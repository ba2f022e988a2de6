/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The VMM as a program of the host: on a terminal, as a daemon, when it gets a signal.
 */
#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

#define APPEND "console=ttyS0 quiet panic=-1 cryptomgr.notests"

/* --- on a terminal --- */

typedef struct {
    Vm *vm;
    int tty; /* kept open, to look at its settings */
    struct termios before;
} Terminal;

static void read_termios(int fd, struct termios *t)
{
    memset(t, 0, sizeof *t);
    if (tcgetattr(fd, t) < 0) {
        fail("tcgetattr: %s", strerror(errno));
    }
}

/* Starts "aerostat -nographic" on a terminal of its own. */
static Terminal terminal_start(char *const *argv)
{
    Terminal t;
    int master, none[2];

    if (openpty(&master, &t.tty, NULL, NULL, NULL) < 0 || pipe2(none, O_CLOEXEC) < 0) {
        fail("openpty: %s", strerror(errno));
    }
    fcntl(master, F_SETFD, FD_CLOEXEC);
    fcntl(t.tty, F_SETFD, FD_CLOEXEC);
    read_termios(t.tty, &t.before);
    t.vm = g_new0(Vm, 1);
    t.vm->pid = fork();
    if (t.vm->pid == 0) {
        setsid();
        ioctl(t.tty, TIOCSCTTY, 0);
        dup2(t.tty, 0);
        dup2(t.tty, 1);
        dup2(t.tty, 2);
        execv(argv[0], argv);
        _exit(127);
    }
    close(none[1]);
    t.vm->from_guest = master;
    t.vm->to_guest = fcntl(master, F_DUPFD_CLOEXEC, 0);
    t.vm->errors = none[0];
    t.vm->qmp = -1;
    t.vm->console = g_string_new(NULL);
    t.vm->err = g_string_new(NULL);
    t.vm->qmp_in = g_string_new(NULL);
    g_queue_init(&t.vm->events);
    return t;
}

static void expect_raw(Terminal *t)
{
    struct termios now_set;

    read_termios(t->tty, &now_set);
    if (now_set.c_lflag & (ICANON | ECHO | ISIG)) {
        fail("the terminal is not raw while the guest has it");
    }
}

static void terminal_finish(Terminal *t, const char *how)
{
    struct termios after;
    int status = vm_wait_exit(t->vm, T_EXIT);

    if (status != 0) {
        fail("%s: status %d, expected 0\n%s", how, status, t->vm->console->str);
    }
    read_termios(t->tty, &after);
    if (memcmp(&after, &t->before, sizeof after) != 0) {
        fail("%s: the terminal's settings were not restored", how);
    }
    if (fcntl(t->tty, F_GETFL) & O_NONBLOCK) {
        fail("%s: the terminal was left non-blocking", how);
    }
    vm_kill(t->vm);
    close(t->tty);
    passed("%s: status 0, the terminal is as it was", how);
}

static Terminal start_nographic(void)
{
    char *argv[] = {(char *)paths->vmm,
                    "-M",
                    "pc",
                    "-m",
                    "256",
                    "-nographic",
                    "-kernel",
                    (char *)paths->vmlinux,
                    "-initrd",
                    (char *)paths->initrd,
                    "-append",
                    APPEND,
                    NULL};

    return terminal_start(argv);
}

static void monitor_keys(void)
{
    Terminal t = start_nographic();

    vm_wait_ready(t.vm);
    expect_raw(&t);
    vm_type(t.vm, "\001c");
    g_free(vm_wait_console(t.vm, "(aerostat)", T_REPLY));
    vm_type(t.vm, "info status\r");
    g_free(vm_wait_console(t.vm, "VM status: running", T_REPLY));
    passed("Ctrl-a c leads to the monitor");
    vm_type(t.vm, "\001c");
    vm_sleep(t.vm, 0.5);
    vm_type(t.vm, "ping through the keys\n");
    g_free(vm_wait_console(t.vm, "pong through the keys", T_REPLY));
    passed("Ctrl-a c leads back to the guest");
    vm_type(t.vm, "\001h");
    g_free(vm_wait_console(t.vm, "Ctrl-a x", T_REPLY));
    vm_type(t.vm, "\001x");
    terminal_finish(&t, "Ctrl-a x");
}

static void terminal_signal(int sig, const char *name)
{
    Terminal t = start_nographic();

    g_free(vm_wait_console(t.vm, "AEROSTAT-INIT", T_BOOT));
    expect_raw(&t);
    kill(t.vm->pid, sig);
    terminal_finish(&t, name);
}

static void terminal_poweroff(void)
{
    Terminal t = start_nographic();

    vm_wait_ready(t.vm);
    vm_type(t.vm, "poweroff\n");
    terminal_finish(&t, "power off on a terminal");
}

void group_terminal(void)
{
    monitor_keys();
    terminal_signal(SIGTERM, "SIGTERM on a terminal");
    terminal_poweroff();
}

/* --- as a daemon, and signals --- */

static pid_t read_pid(const char *pidfile)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents(pidfile, &text, NULL, NULL) || atoi(text) <= 1) {
        fail("no pid in %s", pidfile);
    }
    return (pid_t)atoi(text);
}

/* No child of ours: only a signal tells whether it lives. */
static void expect_gone(pid_t pid, const char *dir)
{
    for (double end = now() + T_EXIT; kill(pid, 0) == 0; g_usleep(20000)) {
        if (now() > end) {
            fail("the daemon did not end");
        }
    }
    if (g_rmdir(dir) < 0) {
        fail("the daemon left something in %s", dir);
    }
}

/* A second one with the same pid file or socket: one line, and the first one's files stay. */
static void expect_refused(const char *what, const char *option, const char *value,
                           const char *file)
{
    char *argv[] = {(char *)paths->vmm,     "-nodefaults",  "-display",    "none", "-kernel",
                    (char *)paths->vmlinux, (char *)option, (char *)value, NULL};
    Vm *vm = vm_start_plain(argv);
    int status = vm_wait_exit(vm, T_EXIT);
    const char *eol = strchr(vm->err->str, '\n');

    if (status != 1 || !eol || eol[1] || !strstr(vm->err->str, value)) {
        fail("%s: status %d, stderr '%s'", what, status, vm->err->str);
    }
    if (access(file, F_OK) < 0) {
        fail("%s: %s is gone", what, file);
    }
    passed("%s is refused: %s", what, g_strchomp(vm->err->str));
    vm_kill(vm);
}

/* The daemon's files; all of dir must be gone in the end. */
typedef struct {
    char *dir, *pidfile, *serial, *serial_arg, *qmp, *qmp_arg;
} Daemon;

static void daemon_finish(Daemon *d)
{
    g_free(d->dir);
    g_free(d->pidfile);
    g_free(d->serial);
    g_free(d->serial_arg);
    g_free(d->qmp);
    g_free(d->qmp_arg);
}

static Vm *daemon_start(Daemon *d)
{
    char *argv[] = {(char *)paths->vmm,
                    "-m",
                    "256",
                    "-nodefaults",
                    "-display",
                    "none",
                    "-kernel",
                    (char *)paths->vmlinux,
                    "-initrd",
                    (char *)paths->initrd,
                    "-append",
                    APPEND,
                    "-serial",
                    d->serial_arg,
                    "-qmp",
                    d->qmp_arg,
                    "-daemonize",
                    "-pidfile",
                    d->pidfile,
                    NULL};

    return vm_start_plain(argv);
}

/* The parent has ended well and left a daemon: its process id. */
static pid_t daemon_expect(Vm *vm, const char *pidfile)
{
    pid_t parent = vm->pid, pid;

    if (vm_wait_exit(vm, T_EXIT) != 0 || vm->err->len > 0) {
        fail("-daemonize: status %d, stderr '%s'", WEXITSTATUS(vm->status), vm->err->str);
    }
    pid = read_pid(pidfile);
    if (pid == parent || kill(pid, 0) < 0) {
        fail("process %d of the pid file is not the daemon", (int)pid);
    }
    passed("-daemonize returns with 0, the pid file names the daemon");
    return pid;
}

/* From here on the console is the socket, and the process is none of our children. */
static void daemon_talk(Vm *vm, pid_t pid, const char *serial)
{
    vm->ended = false;
    vm->pid = pid;
    vm->from_guest = connect_to(serial);
    vm->to_guest = fcntl(vm->from_guest, F_DUPFD_CLOEXEC, 0);
    vm_type(vm, "\n");
    vm_sleep(vm, 0.1);
    for (double end = now() + T_BOOT; !strstr(vm->console->str, "pong socket"); vm_sleep(vm, 1)) {
        if (now() > end) {
            fail("the guest does not answer on -serial unix:");
        }
        vm_type(vm, "ping socket\n");
    }
    passed("the guest answers on -serial unix:");
}

static void daemonize(void)
{
    char *dir = g_dir_make_tmp("guest-test-XXXXXX", NULL);
    Daemon d = {
        .dir = dir,
        .pidfile = g_build_filename(dir, "pid", NULL),
        .serial = g_build_filename(dir, "serial", NULL),
        .serial_arg = g_strdup_printf("unix:%s/serial,server=on,wait=off", dir),
        .qmp = g_build_filename(dir, "qmp", NULL),
        .qmp_arg = g_strdup_printf("unix:%s/qmp,server=on,wait=off", dir),
    };
    Vm *vm = daemon_start(&d);
    pid_t pid = daemon_expect(vm, d.pidfile);

    daemon_talk(vm, pid, d.serial);
    expect_refused("a second VM with this pid file", "-pidfile", d.pidfile, d.pidfile);
    expect_refused("a second VM with this socket", "-qmp", d.qmp_arg, d.qmp);

    vm_connect_qmp(vm, d.qmp);
    vm_expect_status(vm, "running");
    vm_do(vm, "quit", NULL);
    vm_expect_cause(vm, "SHUTDOWN", false, "host-qmp-quit");
    expect_gone(pid, d.dir);
    passed("quit ends the daemon; pid file and sockets are gone");
    vm->ended = true;
    vm_kill(vm);
    daemon_finish(&d);
}

static void end_by_signal(int sig, const char *name, bool boot)
{
    g_autofree char *dir = g_dir_make_tmp("guest-test-XXXXXX", NULL);
    g_autofree char *pidfile = g_build_filename(dir, "pid", NULL);
    Vm *vm = vm_start("-pidfile", pidfile, "-smp", "2", NULL);

    if (boot) {
        vm_wait_ready(vm);
    }
    if (read_pid(pidfile) != vm->pid) {
        fail("the pid file names another process");
    }
    kill(vm->pid, sig);
    vm_expect_cause(vm, "SHUTDOWN", false, "host-signal");
    vm_finish(vm);
    if (g_rmdir(dir) < 0) {
        fail("%s: the pid file was left", name);
    }
    passed("%s %s: status 0, no pid file, no socket", name, boot ? "later" : "early");
}

void group_daemon(void)
{
    daemonize();
    end_by_signal(SIGTERM, "SIGTERM", true);
    end_by_signal(SIGINT, "SIGINT", false);
    end_by_signal(SIGHUP, "SIGHUP", false);
}
