/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -daemonize and -pidfile. The parent of a daemon stays until the child says that the VM runs, so
 * that its exit status tells whether it does.
 */
#include "vmm/cli/daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int ready_pipe = -1; /* the child's end, from daemon_start to daemon_ready */

static void wait_for_child(pid_t pid, int fd)
{
    char byte;
    ssize_t n;

    do {
        n = read(fd, &byte, 1);
    } while (n < 0 && errno == EINTR);
    if (n != 1) {
        waitpid(pid, NULL, 0);
    }
    _exit(n == 1 ? 0 : 1);
}

bool daemon_start(GError **err)
{
    int fds[2];
    pid_t pid;

    if (pipe2(fds, O_CLOEXEC) < 0) {
        return error_set_errno(err, errno, "-daemonize: pipe");
    }
    pid = fork();
    if (pid < 0) {
        return error_set_errno(err, errno, "-daemonize: fork");
    }
    if (pid > 0) {
        close(fds[1]);
        wait_for_child(pid, fds[0]);
    }
    close(fds[0]);
    ready_pipe = fds[1];
    setsid();
    return true;
}

void daemon_ready(void)
{
    int null;

    if (ready_pipe < 0) {
        return;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, 0);
        dup2(null, 1);
        dup2(null, 2);
        if (null > 2) {
            close(null);
        }
    }
    if (chdir("/") < 0 || write(ready_pipe, "", 1) != 1) {
        _exit(1);
    }
    close(ready_pipe);
    ready_pipe = -1;
}

bool pidfile_create(PidFile *f, const char *path, GError **err)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char text[32];
    int len, fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    if (fd < 0) {
        return error_set_errno(err, errno, "-pidfile %s: cannot open", path);
    }
    if (fcntl(fd, F_SETLK, &lock) < 0) {
        close(fd);
        return error_set(err, "-pidfile %s: in use by another process", path);
    }
    len = g_snprintf(text, sizeof text, "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, text, len, 0) != len) {
        error_set_errno(err, errno, "-pidfile %s: cannot write", path);
        unlink(path);
        close(fd);
        return false;
    }
    /* The daemon changes its directory: remember where the file really is. */
    f->path = g_canonicalize_filename(path, NULL);
    f->fd = fd;
    return true;
}

void pidfile_remove(PidFile *f)
{
    if (f->path) {
        unlink(f->path);
        close(f->fd);
        g_clear_pointer(&f->path, g_free);
    }
}
