/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the kinds of character streams only: the base class's state and methods, and the base class of those that live
 * on file descriptors.
 */
#ifndef AEROSTAT_BACKENDS_CHARDEV_IMPL_H
#define AEROSTAT_BACKENDS_CHARDEV_IMPL_H

#include "backends/chardev.h"
#include "core/log.h"

struct Chardev {
    Object parent_obj;
    EventLoop *loop;
    char *label;
    ChardevFrontend fe;
    bool has_fe;
    bool open;     /* someone is at the other end: CHARDEV_OPENED for a new front end */
    bool closed;   /* chardev_close was called */
    bool terminal; /* a person types here */
    uint64_t dropped;
    char *filename;        /* see chardev_filename; NULL: the kind's name */
    bool wants_fds;        /* see chardev_want_fds */
    uint16_t cols, rows;   /* of the terminal; 0: not known */
    void (*quit)(void *opaque);
    void *quit_opaque;
};

/* All may be NULL. None is called after close. */
struct ChardevClass {
    ObjectClass parent_class;
    void (*write)(Chardev *c, const uint8_t *buf, size_t len);
    size_t (*room)(Chardev *c); /* NULL: any number */
    void (*accept_input)(Chardev *c);
    void (*flush)(Chardev *c);
    void (*disconnect)(Chardev *c);
    int (*receive_fd)(Chardev *c); /* see chardev_receive_fd */
    void (*close)(Chardev *c);
};

/* A new stream of a kind. */
Chardev *chardev_new(const TypeInfo *type, EventLoop *loop, const char *label);

/* --- towards the front end --- */
size_t chardev_fe_room(Chardev *c); /* bytes it takes now; 0 without a front end */
void chardev_fe_receive(Chardev *c, const uint8_t *buf, size_t len);
void chardev_fe_event(Chardev *c, ChardevEvent event);
void chardev_set_open(Chardev *c, bool open); /* with its event, when that is a change */
void chardev_set_size(Chardev *c, uint16_t cols, uint16_t rows); /* likewise */

/* --- streams on file descriptors --- */
OBJECT_DECLARE_CLASS(FdChardev, FdChardevClass, chardev_fd, CHARDEV_FD)

struct FdChardev {
    Chardev parent_obj;
    int in_fd, out_fd;   /* -1: none. Closing them is the kind's business. */
    LoopFd *in, *out;    /* out exists only while something is pending */
    bool in_on;
    bool ending;         /* input is thrown away until its end */
    bool out_broken;     /* nobody reads any more */
    GByteArray *pending; /* written, not out yet; NULL: nothing */
    size_t pending_head; /* bytes of pending that are out */
    uint64_t lost, lost_told; /* bytes dropped since pending was full; how many the user was told of */
    LogRate lost_rate;
};

struct FdChardevClass {
    ChardevClass parent_class;
    ssize_t (*read)(FdChardev *f, void *buf, size_t len); /* as read(2), of in_fd; inherited: that */
    void (*input_ended)(FdChardev *f); /* end of file or an error; input is stopped already */
};

/* Begins to read from in_fd and to write to out_fd (non-blocking where that matters; -1: none). */
void fd_chardev_start(FdChardev *f, int in_fd, int out_fd);

/* From now on drops what is written (after one try at what is pending) and throws input away until its end. */
void fd_chardev_end(FdChardev *f);

/* Stops both ways; what is pending is tried once more and then dropped. The fds are out of use afterwards. */
void fd_chardev_stop(FdChardev *f);

/* --- constructors of kinds; errors say what failed, without naming the option --- */
Chardev *chardev_file_new(EventLoop *loop, const char *label, const char *path, bool append, GError **err);
Chardev *chardev_file_new_fd(EventLoop *loop, const char *label, int fd); /* fd is taken over */
Chardev *chardev_stdio_new(EventLoop *loop, const char *label, bool signals, GError **err);
Chardev *chardev_socket_new(EventLoop *loop, const char *label, const char *path, bool server, bool wait, GError **err);
Chardev *chardev_tcp_new(EventLoop *loop, const char *label, const char *host, const char *port, bool server, bool wait,
                         GError **err);
/* fd is taken over in any case: a stream socket, which listens for a server and is connected for a client. */
Chardev *chardev_socket_new_fd(EventLoop *loop, const char *label, int fd, bool server, bool wait, GError **err);
Chardev *chardev_pipe_new(EventLoop *loop, const char *label, const char *path, GError **err);
Chardev *chardev_pty_new(EventLoop *loop, const char *label, GError **err);
Chardev *chardev_ringbuf_new(EventLoop *loop, const char *label, uint64_t size, GError **err);
Chardev *chardev_mux_new(EventLoop *loop, const char *label, Chardev *below); /* takes over the reference */

/* A null stream in the place of one that has to do with path (NULL: with none), whose folder must be there. */
Chardev *chardev_stand_in(EventLoop *loop, const char *label, const char *path, GError **err);

#endif
