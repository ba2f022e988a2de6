/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams on file descriptors: reading at the front end's pace, writing without ever
 * blocking through a bounded buffer. And the simplest of them, the file that is written only.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "backends/chardev-impl.h"

enum { READ_CHUNK = 4096, ROOM = 64 * 1024, FLUSH_MS = 2000 };

/* --- output --- */

static size_t fd_pending(const FdChardev *f)
{
    return f->pending ? f->pending->len - f->pending_head : 0;
}

/*
 * Tells the user about output dropped behind a slow reader. stderr may have that very reader, and
 * nobody waits for it here: without room for a line, the next call does it.
 */
static void fd_tell_lost(FdChardev *f)
{
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};

    if (f->lost > f->lost_told && poll(&p, 1, 0) == 1) {
        log_warn_rated(&f->lost_rate, "%s: the reader is slow: %" PRIu64 " bytes of output dropped",
                       CHARDEV(f)->label, f->lost);
        f->lost_told = f->lost;
    }
}

static void fd_drop_pending(FdChardev *f)
{
    fd_tell_lost(f);
    f->lost = f->lost_told = 0;
    if (f->pending) {
        g_byte_array_free(f->pending, TRUE);
    }
    f->pending = NULL;
    f->pending_head = 0;
    loop_fd_free(f->out);
    f->out = NULL;
}

/*
 * Writes what the host takes now and returns how much that is. *ret_later says whether the rest is
 * worth keeping: not after an error (a full disk), and a reader that left breaks the output for
 * good.
 */
static size_t fd_write_some(FdChardev *f, const uint8_t *buf, size_t len, bool *ret_later)
{
    size_t done = 0;

    *ret_later = true;
    while (done < len) {
        ssize_t n = write(f->out_fd, buf + done, len - done);

        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0 || errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            f->out_broken = errno == EPIPE || errno == ECONNRESET || errno == EIO;
            *ret_later = false;
            break;
        }
    }
    return done;
}

static void fd_write_pending(FdChardev *f)
{
    bool later;

    f->pending_head += fd_write_some(f, f->pending->data + f->pending_head, fd_pending(f), &later);
    if (!later || fd_pending(f) == 0) {
        CHARDEV(f)->dropped += fd_pending(f);
        fd_drop_pending(f);
    } else if (f->pending_head > f->pending->len / 2) {
        g_byte_array_remove_range(f->pending, 0, (guint)f->pending_head);
        f->pending_head = 0;
    }
}

static void fd_output(void *opaque, unsigned events)
{
    FdChardev *f = opaque;
    G_GNUC_UNUSED g_autoptr(Object) hold = object_ref(f); /* the front end may drop its reference */

    if (f->pending) {
        fd_write_pending(f);
    }
    if (!f->pending) {
        chardev_fe_event(CHARDEV(f), CHARDEV_DRAINED);
    }
}

static size_t fd_room(Chardev *c)
{
    FdChardev *f = CHARDEV_FD(c);

    if (f->out_fd < 0 || f->out_broken) {
        return SIZE_MAX;
    }
    return f->pending ? 0 : ROOM;
}

static void fd_keep(FdChardev *f, const uint8_t *buf, size_t len)
{
    size_t take = MIN(len, CHARDEV_BUFFER - fd_pending(f));

    CHARDEV(f)->dropped += len - take;
    f->lost += len - take;
    if (!f->lost_told) { /* once now, and the sum when the reader has caught up or left */
        fd_tell_lost(f);
    }
    if (take == 0) {
        return;
    }
    if (!f->pending) {
        f->pending = g_byte_array_new();
        f->pending_head = 0;
    }
    g_byte_array_append(f->pending, buf, (guint)take);
    if (!f->out) {
        f->out = loop_fd_new(CHARDEV(f)->loop, f->out_fd, LOOP_WRITE, fd_output, f);
    }
}

static void fd_write(Chardev *c, const uint8_t *buf, size_t len)
{
    FdChardev *f = CHARDEV_FD(c);
    size_t done = 0;
    bool later = f->out_fd >= 0 && !f->out_broken;

    if (later && !f->pending) {
        done = fd_write_some(f, buf, len, &later);
    }
    if (later) {
        fd_keep(f, buf + done, len - done);
    } else {
        c->dropped += len - done;
    }
}

static void fd_flush(Chardev *c)
{
    FdChardev *f = CHARDEV_FD(c);
    int64_t end = g_get_monotonic_time() + FLUSH_MS * 1000;

    while (f->pending) {
        int64_t left_ms = (end - g_get_monotonic_time()) / 1000;
        struct pollfd p = {.fd = f->out_fd, .events = POLLOUT};

        if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR)) {
            return;
        }
        fd_write_pending(f);
        if (!f->pending) {
            chardev_fe_event(c, CHARDEV_DRAINED);
        }
    }
}

/* --- input --- */

static void fd_input_on(FdChardev *f, bool on)
{
    if (f->in && f->in_on != on) {
        f->in_on = on;
        loop_fd_set_events(f->in, on ? LOOP_READ : 0);
    }
}

static void fd_stop_input(FdChardev *f)
{
    loop_fd_free(f->in);
    f->in = NULL;
    f->in_fd = -1;
}

static ssize_t fd_read(FdChardev *f, void *buf, size_t len)
{
    return read(f->in_fd, buf, len);
}

static void fd_input(void *opaque, unsigned events)
{
    FdChardev *f = opaque;
    Chardev *c = CHARDEV(f);
    G_GNUC_UNUSED g_autoptr(Object) hold =
        object_ref(f); /* the front end may drop its reference in receive */
    uint8_t buf[READ_CHUNK];
    size_t room = f->ending ? sizeof buf : MIN(chardev_fe_room(c), sizeof buf);
    ssize_t n;

    if (room == 0) {
        fd_input_on(f, false);
        return;
    }
    n = CHARDEV_FD_GET_CLASS(f)->read(f, buf, room);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || f->ending) {
        fd_stop_input(f);
        CHARDEV_FD_GET_CLASS(f)->input_ended(f);
    } else {
        chardev_fe_receive(c, buf, (size_t)n);
    }
}

static void fd_accept_input(Chardev *c)
{
    FdChardev *f = CHARDEV_FD(c);

    if (f->in && !f->in_on && (f->ending || chardev_fe_room(c) > 0)) {
        fd_input_on(f, true);
    }
}

/* --- life --- */

void fd_chardev_start(FdChardev *f, int in_fd, int out_fd)
{
    f->in_fd = in_fd;
    f->out_fd = out_fd;
    f->ending = f->out_broken = false;
    if (in_fd >= 0) {
        f->in_on = true;
        f->in = loop_fd_new(CHARDEV(f)->loop, in_fd, LOOP_READ, fd_input, f);
    }
}

void fd_chardev_end(FdChardev *f)
{
    if (f->pending) {
        fd_write_pending(f);
        CHARDEV(f)->dropped += fd_pending(f);
        fd_drop_pending(f);
    }
    f->out_broken = true;
    f->ending = true;
    fd_accept_input(CHARDEV(f));
}

void fd_chardev_stop(FdChardev *f)
{
    if (f->pending) {
        fd_write_pending(f);
        CHARDEV(f)->dropped += fd_pending(f);
    }
    fd_drop_pending(f);
    fd_stop_input(f);
    f->out_fd = -1;
}

static void chardev_fd_init(Object *obj)
{
    FdChardev *f = CHARDEV_FD(obj);

    f->in_fd = f->out_fd = -1;
}

static void chardev_fd_class_init(ObjectClass *klass, const void *data)
{
    ChardevClass *k = CHARDEV_CLASS(klass);

    k->write = fd_write;
    k->room = fd_room;
    k->accept_input = fd_accept_input;
    k->flush = fd_flush;
    CHARDEV_FD_CLASS(klass)->read = fd_read;
}

const TypeInfo chardev_fd_type = {
    .name = "chardev-fd",
    .parent = &chardev_type,
    .instance_size = sizeof(FdChardev),
    .class_size = sizeof(FdChardevClass),
    .abstract = true,
    .instance_init = chardev_fd_init,
    .class_init = chardev_fd_class_init,
};

/* --- file:PATH --- */

Chardev *chardev_file_new_fd(EventLoop *loop, const char *label, int fd)
{
    Chardev *c = chardev_new(&chardev_file_type, loop, label);

    signal(SIGPIPE, SIG_IGN); /* a FIFO's reader may leave */
    fd_chardev_start(CHARDEV_FD(c), -1, fd);
    c->open = true;
    return c;
}

Chardev *chardev_file_new(EventLoop *loop, const char *label, const char *path, bool append,
                          GError **err)
{
    int how = O_WRONLY | O_CREAT | (append ? O_APPEND : O_TRUNC);
    int fd = open(path, how | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0666);

    if (fd < 0) {
        if (errno == ENXIO) {
            error_set(err, "nobody reads this FIFO: start the reader first");
        } else {
            error_set_errno(err, errno, "cannot open");
        }
        return NULL;
    }
    return chardev_file_new_fd(loop, label, fd);
}

static void chardev_file_close(Chardev *c)
{
    int fd = CHARDEV_FD(c)->out_fd;

    fd_chardev_stop(CHARDEV_FD(c));
    if (fd >= 0) {
        close(fd);
    }
}

static void chardev_file_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->close = chardev_file_close;
}

const TypeInfo chardev_file_type = {
    .name = "chardev-file",
    .parent = &chardev_fd_type,
    .class_init = chardev_file_class_init,
    .desc = "writes to a file",
};
