/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two FIFOs as a character stream: PATH.in is read and PATH.out written; where those are not there,
 * PATH alone serves both ways. Each is opened for both reading and writing, so that neither opening
 * nor a peer that leaves makes a difference.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "backends/chardev-impl.h"

static int pipe_open(const char *path, const char *suffix)
{
    g_autofree char *name = g_strconcat(path, suffix, NULL);

    return open(name, O_RDWR | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

Chardev *chardev_pipe_new(EventLoop *loop, const char *label, const char *path, GError **err)
{
    int in = pipe_open(path, ".in"), out = pipe_open(path, ".out");
    Chardev *c;

    if (in < 0 || out < 0) {
        if (in >= 0) {
            close(in);
        }
        if (out >= 0) {
            close(out);
        }
        in = out = pipe_open(path, "");
    }
    if (in < 0) {
        error_set_errno(err, errno, "cannot open (make FIFOs %s.in and %s.out first)", path, path);
        return NULL;
    }
    signal(SIGPIPE, SIG_IGN);
    c = chardev_new(&chardev_pipe_type, loop, label);
    c->filename = g_strconcat("pipe:", path, NULL);
    fd_chardev_start(CHARDEV_FD(c), in, out);
    c->open = true;
    return c;
}

static void pipe_input_ended(FdChardev *f)
{
    chardev_fe_event(CHARDEV(f), CHARDEV_CLOSED);
}

static void chardev_pipe_close(Chardev *c)
{
    FdChardev *f = CHARDEV_FD(c);
    int in = f->in_fd, out = f->out_fd;

    fd_chardev_stop(f);
    if (in >= 0) {
        close(in);
    }
    if (out >= 0 && out != in) {
        close(out);
    }
}

static void chardev_pipe_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->close = chardev_pipe_close;
    CHARDEV_FD_CLASS(klass)->input_ended = pipe_input_ended;
}

const TypeInfo chardev_pipe_type = {
    .name = "chardev-pipe",
    .parent = &chardev_fd_type,
    .class_init = chardev_pipe_class_init,
    .desc = "FIFOs, PATH.in and PATH.out",
};
