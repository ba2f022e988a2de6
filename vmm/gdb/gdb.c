/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The gdb server's stream: frames in, acknowledgements and replies out; its life.
 */
#include "vmm/gdb/gdb-internal.h"

#include <string.h>

#include "core/log.h"

/* The replies to as many of the shortest requests for the longest replies find room in the stream.
 */
enum { RECEIVE_CHUNK = 256 };
G_STATIC_ASSERT(RECEIVE_CHUNK / 8 * (GDB_PACKET_MAX + 8) < CHARDEV_BUFFER);

/* --- output --- */

void gdb_reply_bytes(GdbServer *g, const char *data, size_t len)
{
    if (g->last) {
        g_string_free(g->last, TRUE);
    }
    g->last = gdb_frame(data, len);
    if (g->connected) {
        chardev_write(g->stream, g->last->str, g->last->len);
    }
}

void gdb_reply(GdbServer *g, const char *data)
{
    gdb_reply_bytes(g, data, strlen(data));
}

/* Only while the debugger waits for a stop. */
void gdb_console(GdbServer *g, const char *text)
{
    g_autoptr(GString) out = g_string_new("O");

    if (g->connected && g->owes_stop) {
        gdb_put_hex(out, text, strlen(text));
        gdb_put_hex(out, "\n", 1);
        gdb_reply_bytes(g, out->str, out->len);
    }
}

static void send_again(GdbServer *g)
{
    if (g->last && chardev_room(g->stream)) { /* a flood of NACKs has no right to more */
        chardev_write(g->stream, g->last->str, g->last->len);
    }
}

static void acknowledge(GdbServer *g, const char *sign)
{
    if (!g->no_ack) {
        chardev_write(g->stream, sign, 1);
    }
}

/* --- input --- */

static void take(GdbServer *g, uint8_t byte)
{
    switch (gdb_reader_take(&g->reader, byte)) {
    case GDB_INPUT_PACKET:
        acknowledge(g, "+");
        gdb_halt(g); /* a debugger that knows its VM to run sends none */
        TRACE(gdb_packet, "%.200s", g->reader.data->str);
        gdb_run_packet(g, g->reader.data->str, g->reader.data->len);
        break;
    case GDB_INPUT_BAD:
        acknowledge(g, "-");
        break;
    case GDB_INPUT_NACK:
        send_again(g);
        break;
    case GDB_INPUT_INTERRUPT:
        gdb_halt(g);
        break;
    default:
        break;
    }
}

/* Replies that wait to be read hold up the next packets. */
static size_t can_receive(void *opaque)
{
    return chardev_room(((GdbServer *)opaque)->stream) ? RECEIVE_CHUNK : 0;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    GdbServer *g = opaque;

    for (size_t i = 0; i < len && g->connected && !g->dead; i++) {
        take(g, buf[i]);
    }
}

static void begin(GdbServer *g)
{
    gdb_reader_reset(&g->reader);
    if (g->last) {
        g_string_free(g->last, TRUE);
        g->last = NULL;
    }
    g->connected = true;
    g->no_ack = g->owes_stop = g->physical = g->tells_sw = g->tells_hw = false;
    g->g_cpu = g->c_cpu = 0;
    gdb_halt(g);
}

static void stream_event(void *opaque, ChardevEvent event)
{
    GdbServer *g = opaque;

    if (event == CHARDEV_OPENED) {
        begin(g);
    } else if (event == CHARDEV_CLOSED && g->connected) {
        g->connected = false;
        gdb_detach(g);
    } else if (event == CHARDEV_DRAINED) {
        chardev_accept_input(g->stream);
    }
}

/* --- life --- */

static const char chardev_prefix[] = "chardev:";

/* QEMU's -gdb makes a server of what says "tcp:" alone, and waits for nobody. Whoever connects is
 * trusted: without a host it is loopback. */
static char *full_text(const char *text)
{
    if (g_str_has_prefix(text, "tcp:")) {
        return g_strconcat("tcp:", text[4] == ':' ? "127.0.0.1" : "", text + 4,
                           ",server=on,wait=off", NULL);
    }
    return g_str_has_prefix(text, "unix:") ? g_strconcat(text, ",wait=off", NULL) : g_strdup(text);
}

bool gdb_check(Machine *m, const char *stream, const char *label, GError **err)
{
    g_autofree char *text = full_text(stream);
    Chardev *c;

    if (!strcmp(stream, "none") || g_str_has_prefix(stream, chardev_prefix)) {
        return true;
    }
    c = chardev_check_option(m->platform.loop, label, text, err);
    if (c) {
        object_unref(c);
    }
    return c != NULL;
}

static Chardev *find_stream(Machine *m, const char *id, const char *label, GError **err)
{
    Object *c = object_child(object_container(m->platform.root, "chardevs"), id);

    if (!c || chardev_has_frontend(CHARDEV(c))) {
        error_set(err, "%s chardev:%s: chardev '%s' %s", label, id, id,
                  c ? "is in use already" : "not found");
        return NULL;
    }
    return CHARDEV(c);
}

static Chardev *new_stream(Machine *m, const char *stream, const char *label, GError **err)
{
    g_autofree char *text = full_text(stream);
    Chardev *c = chardev_new_from_option(m->platform.loop, label, text, err);

    if (c &&
        !object_add_child(object_container(m->platform.root, "chardevs"), "gdb", OBJECT(c), err)) {
        object_unref(c);
        return NULL;
    }
    return c;
}

static void start(Machine *m, Chardev *c, bool owns)
{
    GdbServer *g = g_new0(GdbServer, 1);
    ChardevFrontend fe = {can_receive, receive, stream_event, g};

    g->m = m;
    g->stream = c;
    g->owns_stream = owns;
    gdb_reader_init(&g->reader);
    g->breakpoints = g_array_new(FALSE, FALSE, sizeof(GdbBreakpoint));
    g->hit = loop_bh_new(m->platform.loop, gdb_on_hit, g);
    g->debugger = (CpuDebugger){gdb_on_stop, g};
    m->gdb = g;
    m->accel->debugger = &g->debugger; /* no vCPU stops for it before it asks for that */
    machine_add_event_sink(m, gdb_on_event, g);
    chardev_set_frontend(c, &fe);
}

bool gdb_serve(Machine *m, const char *stream, const char *label, GError **err)
{
    bool named = g_str_has_prefix(stream, chardev_prefix);
    Chardev *c;

    if (strcmp(stream, "none") != 0 && !ACCEL_GET_CLASS(m->accel)->debug) {
        return error_set(err, "%s: the accelerator runs no vCPUs: there is nothing to debug",
                         label);
    }
    gdb_end(m);
    if (!strcmp(stream, "none")) {
        return true;
    }
    c = named ? find_stream(m, stream + strlen(chardev_prefix), label, err)
              : new_stream(m, stream, label, err);
    if (c) {
        start(m, c, !named);
    }
    return c != NULL;
}

void gdb_end(Machine *m)
{
    GdbServer *g = m->gdb;

    if (!g) {
        return;
    }
    if (g->connected) {
        if (m->ending) {
            gdb_reply(g, "W00"); /* "exited" */
        }
        gdb_detach(g);
    }
    m->gdb = NULL;
    m->accel->debugger = NULL;
    machine_remove_event_sink(m, g);
    chardev_set_frontend(g->stream, NULL);
    if (g->owns_stream) {
        chardev_flush(g->stream);
        chardev_close(g->stream);
        object_unparent(OBJECT(g->stream));
    }
    loop_bh_free(g->hit);
    g_array_unref(g->breakpoints);
    gdb_reader_finish(&g->reader);
    if (g->last) {
        g_string_free(g->last, TRUE);
    }
    g_free(g);
}
