/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams: what a serial port or a monitor is connected to. A Chardev is an abstract object type
 * ("chardev"); stdio, file, pipe, pty, null, ringbuf, unix sockets and the multiplexer are its kinds. One front end
 * uses a stream.
 *
 * Back-pressure: the front end says how much it can take (can_receive); a stream that cannot be written keeps at
 * most CHARDEV_BUFFER bytes, then drops for a console (a guest never blocks or grows the VMM) and counts it.
 *
 * Threads: main loop, VM lock.
 */
#ifndef AEROSTAT_BACKENDS_CHARDEV_H
#define AEROSTAT_BACKENDS_CHARDEV_H

#include <jansson.h>

#include "backends/fd-table.h"
#include "core/loop.h"
#include "qom/object.h"

OBJECT_DECLARE_CLASS(Chardev, ChardevClass, chardev, CHARDEV)

enum { CHARDEV_BUFFER = 1024 * 1024 };

typedef enum {
    CHARDEV_OPENED,
    CHARDEV_CLOSED,  /* a socket's peer left; stdin is at its end (what is written still goes out) */
    CHARDEV_BREAK,
    CHARDEV_MUX_IN,  /* a multiplexer's input goes to this front end from now on (a monitor shows its prompt) */
    CHARDEV_MUX_OUT, /* ... and no longer */
    CHARDEV_DRAINED, /* what was kept is out or lost: chardev_room has grown */
    CHARDEV_RESIZED, /* the terminal has a new size: chardev_size */
} ChardevEvent;

/* What a front end hands over. Callbacks may be NULL. */
typedef struct {
    size_t (*can_receive)(void *opaque);                         /* bytes it takes now; 0 pauses reading */
    void (*receive)(void *opaque, const uint8_t *buf, size_t len); /* len is at most what can_receive said */
    void (*event)(void *opaque, ChardevEvent event);
    void *opaque;
} ChardevFrontend;

/*
 * A stream from an option's text, as after -serial and -qmp: "stdio", "mon:stdio", "null", "file:PATH",
 * "unix:PATH[,server=on|off][,wait=on|off]", "tcp:HOST:PORT" with the same (QEMU's old "server,nowait" too). The streams' files, sockets and
 * terminal settings are undone by chardev_close. label is the option's name ("-serial"): error lines begin with
 * label and option. "pty" and "pipe:PATH" are kinds, too. Plain "stdio" leaves Ctrl-c to the terminal and Ctrl-a to
 * the guest; "mon:KIND" is a multiplexer. wait=off: a server does not wait for its client, and a client not for its
 * connection, which stands later (CHARDEV_OPENED) or fails with a warning.
 */
Chardev *chardev_new_from_option(EventLoop *loop, const char *label, const char *option, GError **err);

/*
 * A stream from the keys and values of -chardev, all strings: "backend" (stdio, file, pipe, socket, pty, null,
 * ringbuf), "id", and what the kind takes, as in QEMU. Errors say what is wrong, without naming the option. fds has the
 * sets for files "/dev/fdset/N"; NULL: there are none.
 */
Chardev *chardev_new_from_keyvals(EventLoop *loop, FdTable *fds, json_t *opts, GError **err);

/*
 * The same two for a checker: they refuse what they can without touching anything, and what they return is a null stream
 * in the place of the one that was asked for.
 */
Chardev *chardev_check_option(EventLoop *loop, const char *label, const char *option, GError **err);
Chardev *chardev_check_keyvals(EventLoop *loop, FdTable *fds, json_t *opts, GError **err);

/* Calls fn for each word that may stand after -chardev. */
void chardev_foreach_backend(void (*fn)(const char *name, void *opaque), void *opaque);
/* The keys that a kind takes besides id and mux; nothing when there is no such kind. */
void chardev_foreach_key(const char *backend, void (*fn)(const char *key, void *opaque), void *opaque);

/*
 * The multiplexer's front ends: n 0 is the console, n 1 the monitor; Ctrl-a c switches between those that are
 * connected. Any other stream is its own port 0 and has no port 1 (NULL). Borrowed: it lives as long as mux.
 */
Chardev *chardev_mux_port(Chardev *mux, unsigned n);

/* What Ctrl-a x of a multiplexer does (main loop, VM lock). Without a handler the process gets SIGTERM. */
void chardev_set_quit_handler(Chardev *c, void (*quit)(void *opaque), void *opaque);

/* Bytes written that found no room or no reader. */
uint64_t chardev_dropped(const Chardev *c);

/* Connects the front end (NULL disconnects); CHARDEV_OPENED is reported at once when the stream is open already. */
void chardev_set_frontend(Chardev *c, const ChardevFrontend *fe);

/* Never blocks; takes all of it (what cannot be written now is kept, past CHARDEV_BUFFER dropped and counted). */
void chardev_write(Chardev *c, const void *buf, size_t len);

/*
 * Bytes that chardev_write takes now without keeping much: for a front end that can wait. 0: come again after
 * CHARDEV_DRAINED. A stream whose other end is not there takes (and loses) any number.
 */
size_t chardev_room(Chardev *c);

bool chardev_is_open(const Chardev *c);      /* someone is at the other end */
bool chardev_has_frontend(const Chardev *c);

/* The size of the terminal behind the stream; false: there is none, or it is not known. */
bool chardev_size(const Chardev *c, uint16_t *ret_cols, uint16_t *ret_rows);

/* Where a user finds the other end, in QEMU's words: "pty:/dev/pts/3", "unix:PATH,server=on", "null". */
const char *chardev_filename(const Chardev *c);

/*
 * Ring buffers only: takes out up to len of the oldest bytes, for QMP's ringbuf-read; 0 for other streams.
 */
size_t chardev_ringbuf_read(Chardev *c, void *buf, size_t len);

/* Tells the stream that can_receive may have grown. */
void chardev_accept_input(Chardev *c);

/* Blocks (with a bound of 2 s) until what was written is out: before exit and in tests. */
void chardev_flush(Chardev *c);

/* Closes: unlinks a listening socket, restores the terminal. Called by finalize as well. */
void chardev_close(Chardev *c);

/*
 * Ends the present connection of a socket server (a QMP client that sent too much), which then waits for the next.
 * What was written before goes out as far as the peer takes it at once. CHARDEV_CLOSED follows from the loop, not
 * from within this call.
 */
void chardev_disconnect(Chardev *c);

/*
 * File descriptors that the peer of a Unix socket sends along (SCM_RIGHTS) are thrown away unless the front end wants
 * them. Then those of the latest message that had any are kept: the first of them is given out, once, and the caller's;
 * -1: none came. The rest is closed.
 */
void chardev_want_fds(Chardev *c);
int chardev_receive_fd(Chardev *c);

/*
 * Puts the terminal back as it was before stdio made it raw; async-signal-safe, harmless when nothing was changed.
 * For atexit and fatal signals.
 */
void chardev_restore_terminal(void);

extern const TypeInfo chardev_null_type, chardev_file_type, chardev_stdio_type, chardev_socket_type, chardev_mux_type,
    chardev_pipe_type, chardev_pty_type, chardev_ringbuf_type;

#endif
