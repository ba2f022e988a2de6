/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The multiplexer: one stream (mostly a terminal) shared by the console and the monitor, with
 * Ctrl-a as the key that commands it. The multiplexer object itself is the console's port; the
 * monitor's port is a small object that it owns.
 *
 * Ctrl-a must work even while the guest takes no input, so that input is read ahead into a buffer
 * per port; when that is full a terminal's keys are dropped, while a pipe is left unread.
 */
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "backends/chardev-impl.h"

enum { MUX_PORTS = 2, MUX_BUFFER = 4096, ESCAPE = 1 /* Ctrl-a */ };

OBJECT_DECLARE(MuxChardev, chardev_mux, CHARDEV_MUX)

typedef struct {
    Chardev *c;         /* port 0: the multiplexer itself, borrowed; port 1: owned */
    unsigned head, len; /* of the bytes read ahead in buf, a ring */
    uint8_t buf[MUX_BUFFER];
} MuxPort;

struct MuxChardev {
    Chardev parent_obj;
    Chardev *below; /* owned */
    MuxPort ports[MUX_PORTS];
    unsigned focus;
    bool escaped; /* the last byte was Ctrl-a */
};

/* --- the monitor's port: everything goes through the multiplexer --- */

OBJECT_DECLARE(MuxPortChardev, chardev_mux_port, CHARDEV_MUX_PORT)

struct MuxPortChardev {
    Chardev parent_obj;
    MuxChardev *mux; /* borrowed; NULL when it is gone */
};

static void mux_port_write(Chardev *c, const uint8_t *buf, size_t len)
{
    MuxPortChardev *p = CHARDEV_MUX_PORT(c);

    if (p->mux) {
        chardev_write(p->mux->below, buf, len);
    }
}

static void mux_port_accept_input(Chardev *c)
{
    MuxPortChardev *p = CHARDEV_MUX_PORT(c);

    if (p->mux) {
        chardev_accept_input(CHARDEV(p->mux));
    }
}

static void mux_port_flush(Chardev *c)
{
    MuxPortChardev *p = CHARDEV_MUX_PORT(c);

    if (p->mux) {
        chardev_flush(p->mux->below);
    }
}

static void chardev_mux_port_class_init(ObjectClass *klass, const void *data)
{
    ChardevClass *k = CHARDEV_CLASS(klass);

    k->write = mux_port_write;
    k->accept_input = mux_port_accept_input;
    k->flush = mux_port_flush;
}

const TypeInfo chardev_mux_port_type = {
    .name = "chardev-mux-port",
    .parent = &chardev_type,
    .instance_size = sizeof(MuxPortChardev),
    .class_init = chardev_mux_port_class_init,
};

/* --- input --- */

/* Hands over what was read ahead, as far as the port's front end takes it. */
static void mux_drain(MuxPort *p)
{
    size_t room;

    while (p->len > 0 && (room = chardev_fe_room(p->c)) > 0) {
        uint8_t chunk[64];
        size_t n = MIN(MIN(room, p->len), MIN(sizeof chunk, MUX_BUFFER - p->head));

        memcpy(chunk, p->buf + p->head, n);
        p->head = (p->head + (unsigned)n) % MUX_BUFFER;
        p->len -= (unsigned)n;
        chardev_fe_receive(p->c, chunk, n);
    }
}

static void mux_put(MuxChardev *m, uint8_t byte)
{
    MuxPort *p = &m->ports[m->focus];

    if (p->len < MUX_BUFFER) {
        p->buf[(p->head + p->len++) % MUX_BUFFER] = byte;
    }
}

static void mux_say(MuxChardev *m, const char *text)
{
    chardev_write(m->below, text, strlen(text));
}

static void mux_switch(MuxChardev *m)
{
    unsigned next = (m->focus + 1) % MUX_PORTS;

    if (!m->ports[next].c->has_fe) {
        mux_say(m, "\r\nNothing to switch to: only one user of this terminal.\r\n");
        return;
    }
    chardev_fe_event(m->ports[m->focus].c, CHARDEV_MUX_OUT);
    m->focus = next;
    chardev_fe_event(m->ports[next].c, CHARDEV_MUX_IN);
}

static void mux_quit(MuxChardev *m)
{
    mux_say(m, "\r\naerostat: terminated from the console\r\n");
    chardev_flush(m->below);
    for (unsigned i = 0; i < MUX_PORTS; i++) {
        Chardev *c = m->ports[i].c;

        if (c->quit) {
            c->quit(c->quit_opaque);
            return;
        }
    }
    kill(getpid(), SIGTERM);
}

static void mux_command(MuxChardev *m, uint8_t key)
{
    switch (key) {
    case 'x':
        mux_quit(m);
        break;
    case 'c':
        mux_switch(m);
        break;
    case 'b':
        chardev_fe_event(m->ports[m->focus].c, CHARDEV_BREAK);
        break;
    case ESCAPE:
        mux_put(m, ESCAPE);
        break;
    case 'h':
    case '?':
        mux_say(m, "\r\n"
                   "Ctrl-a h       this help\r\n"
                   "Ctrl-a x       end the virtual machine\r\n"
                   "Ctrl-a c       switch between console and monitor\r\n"
                   "Ctrl-a b       send a break\r\n"
                   "Ctrl-a Ctrl-a  send Ctrl-a\r\n");
        break;
    default:
        break;
    }
}

static size_t mux_can_receive(void *opaque)
{
    MuxChardev *m = opaque;
    size_t room = MUX_BUFFER - m->ports[m->focus].len;

    return room > 0 || !m->below->terminal ? room : 1;
}

static void mux_receive(void *opaque, const uint8_t *buf, size_t len)
{
    MuxChardev *m = opaque;
    G_GNUC_UNUSED g_autoptr(Object) hold = object_ref(m); /* a quit handler may drop the last one */

    for (size_t i = 0; i < len && !CHARDEV(m)->closed; i++) {
        if (m->escaped) {
            m->escaped = false;
            mux_drain(&m->ports[m->focus]); /* what was typed before comes first */
            mux_command(m, buf[i]);
        } else if (buf[i] == ESCAPE) {
            m->escaped = true;
        } else {
            mux_put(m, buf[i]);
        }
    }
    mux_drain(&m->ports[m->focus]);
}

static void mux_event(void *opaque, ChardevEvent event)
{
    MuxChardev *m = opaque;

    for (unsigned i = 0; i < MUX_PORTS; i++) {
        Chardev *c = m->ports[i].c;

        if (event == CHARDEV_OPENED || event == CHARDEV_CLOSED) {
            c->open = m->below->open;
        }
        c->cols = m->below->cols;
        c->rows = m->below->rows;
        chardev_fe_event(c, event);
    }
}

/* --- the console's port and the whole --- */

static void mux_write(Chardev *c, const uint8_t *buf, size_t len)
{
    chardev_write(CHARDEV_MUX(c)->below, buf, len);
}

static size_t mux_room(Chardev *c)
{
    return chardev_room(CHARDEV_MUX(c)->below);
}

static void mux_accept_input(Chardev *c)
{
    MuxChardev *m = CHARDEV_MUX(c);

    for (unsigned i = 0; i < MUX_PORTS; i++) {
        mux_drain(&m->ports[i]);
    }
    if (m->below) {
        chardev_accept_input(m->below);
    }
}

static void mux_flush(Chardev *c)
{
    chardev_flush(CHARDEV_MUX(c)->below);
}

static void mux_disconnect(Chardev *c)
{
    chardev_disconnect(CHARDEV_MUX(c)->below);
}

static void mux_close(Chardev *c)
{
    MuxChardev *m = CHARDEV_MUX(c);

    chardev_set_frontend(m->below, NULL);
    chardev_close(m->below);
    object_unref(m->below);
    m->below = NULL;
    CHARDEV_MUX_PORT(m->ports[1].c)->mux = NULL;
    chardev_close(m->ports[1].c);
}

Chardev *chardev_mux_new(EventLoop *loop, const char *label, Chardev *below)
{
    Chardev *c = chardev_new(&chardev_mux_type, loop, label);
    MuxChardev *m = CHARDEV_MUX(c);
    ChardevFrontend fe = {mux_can_receive, mux_receive, mux_event, m};

    m->below = below;
    c->filename = g_strdup(chardev_filename(below));
    c->cols = below->cols;
    c->rows = below->rows;
    m->ports[0].c = c;
    m->ports[1].c = chardev_new(&chardev_mux_port_type, loop, label);
    CHARDEV_MUX_PORT(m->ports[1].c)->mux = m;
    chardev_set_frontend(below, &fe);
    return c;
}

Chardev *chardev_mux_port(Chardev *c, unsigned n)
{
    if (n < MUX_PORTS && object_is_a(c, &chardev_mux_type)) {
        return CHARDEV_MUX(c)->ports[n].c;
    }
    return n == 0 ? c : NULL;
}

static void chardev_mux_finalize(Object *obj)
{
    chardev_close(CHARDEV(obj));
    object_unref(CHARDEV_MUX(obj)->ports[1].c);
}

static void chardev_mux_class_init(ObjectClass *klass, const void *data)
{
    ChardevClass *k = CHARDEV_CLASS(klass);

    k->write = mux_write;
    k->room = mux_room;
    k->accept_input = mux_accept_input;
    k->flush = mux_flush;
    k->disconnect = mux_disconnect;
    k->close = mux_close;
}

const TypeInfo chardev_mux_type = {
    .name = "chardev-mux",
    .parent = &chardev_type,
    .instance_size = sizeof(MuxChardev),
    .class_init = chardev_mux_class_init,
    .instance_finalize = chardev_mux_finalize,
    .desc = "console and monitor on one stream, commanded by Ctrl-a",
};
