/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pseudo-terminal: the user opens its other side, whose name is printed. Nobody there shows as a
 * hang-up of our side; that somebody opens it is told by inotify, so nothing is polled; the
 * terminal's size is read then. What is written while nobody is there is dropped.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include "backends/chardev-impl.h"

OBJECT_DECLARE(PtyChardev, chardev_pty, CHARDEV_PTY)

struct PtyChardev {
    FdChardev parent_obj;
    int fd;       /* our side */
    int watch_fd; /* inotify on the other side */
    LoopFd *watch;
};

static bool pty_hung_up(const PtyChardev *p)
{
    struct pollfd pfd = {.fd = p->fd, .events = POLLIN};

    return poll(&pfd, 1, 0) < 0 || (pfd.revents & POLLHUP);
}

static void pty_look(PtyChardev *p)
{
    Chardev *c = CHARDEV(p);
    struct winsize ws;

    if (ioctl(p->fd, TIOCGWINSZ, &ws) == 0 && ws.ws_col && ws.ws_row) {
        chardev_set_size(c, ws.ws_col, ws.ws_row);
    }
    if (c->open || pty_hung_up(p)) {
        return;
    }
    fd_chardev_start(CHARDEV_FD(p), p->fd, p->fd);
    chardev_set_open(c, true);
}

static void pty_opened(void *opaque, unsigned events)
{
    PtyChardev *p = opaque;
    char buf[sizeof(struct inotify_event) * 16];

    while (read(p->watch_fd, buf, sizeof buf) > 0) {
    }
    pty_look(p);
}

static void pty_input_ended(FdChardev *f)
{
    fd_chardev_stop(f);
    chardev_set_open(CHARDEV(f), false);
    if (!CHARDEV(f)->closed) {
        pty_look(CHARDEV_PTY(f)); /* the next one may be there already */
    }
}

/* --- making --- */

/* Raw, as a serial line is. Opening and closing the other side once makes "nobody there" visible.
 */
static bool pty_prepare(const char *name, GError **err)
{
    int fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
    struct termios t;

    if (fd < 0 || tcgetattr(fd, &t) < 0) {
        error_set_errno(err, errno, "cannot open %s", name);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    cfmakeraw(&t);
    tcsetattr(fd, TCSANOW, &t);
    close(fd);
    return true;
}

static bool pty_open(PtyChardev *p, GError **err)
{
    char name[64];

    p->fd = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (p->fd < 0 || grantpt(p->fd) < 0 || unlockpt(p->fd) < 0 ||
        ptsname_r(p->fd, name, sizeof name) != 0) {
        return error_set_errno(err, errno, "cannot make a pseudo-terminal");
    }
    if (!pty_prepare(name, err)) {
        return false;
    }
    p->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (p->watch_fd < 0 || inotify_add_watch(p->watch_fd, name, IN_OPEN | IN_CLOSE) < 0) {
        return error_set_errno(err, errno, "cannot watch %s", name);
    }
    p->watch = loop_fd_new(CHARDEV(p)->loop, p->watch_fd, LOOP_READ, pty_opened, p);
    CHARDEV(p)->filename = g_strconcat("pty:", name, NULL);
    g_printerr("char device redirected to %s (label %s)\n", name, CHARDEV(p)->label);
    return true;
}

Chardev *chardev_pty_new(EventLoop *loop, const char *label, GError **err)
{
    g_autoptr(Object) obj = (Object *)chardev_new(&chardev_pty_type, loop, label);

    return pty_open(CHARDEV_PTY(obj), err) ? CHARDEV(g_steal_pointer(&obj)) : NULL;
}

static void chardev_pty_close(Chardev *c)
{
    PtyChardev *p = CHARDEV_PTY(c);

    fd_chardev_stop(CHARDEV_FD(c));
    g_clear_pointer(&p->watch, loop_fd_free);
    if (p->watch_fd >= 0) {
        close(p->watch_fd);
    }
    if (p->fd >= 0) {
        close(p->fd);
    }
    p->fd = p->watch_fd = -1;
}

static void chardev_pty_init(Object *obj)
{
    CHARDEV_PTY(obj)->fd = CHARDEV_PTY(obj)->watch_fd = -1;
}

static void chardev_pty_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->close = chardev_pty_close;
    CHARDEV_FD_CLASS(klass)->input_ended = pty_input_ended;
}

const TypeInfo chardev_pty_type = {
    .name = "chardev-pty",
    .parent = &chardev_fd_type,
    .instance_size = sizeof(PtyChardev),
    .instance_init = chardev_pty_init,
    .class_init = chardev_pty_class_init,
    .desc = "pseudo-terminal",
};
