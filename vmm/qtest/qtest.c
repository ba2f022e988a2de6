/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The qtest server's stream: lines in, answers out, and the log of both. The commands are in
 * qtest-command.c.
 *
 * Long answers are flushed on the way, so that the stream's buffer holds them. A client that does
 * not read all the same is disconnected: an answer with a hole in it would be worse.
 */
#include <errno.h>
#include <string.h>

#include "core/log.h"
#include "vmm/accel/qtest-accel.h"
#include "vmm/qtest/qtest-internal.h"

enum { RECEIVE_CHUNK = 64 * 1024, LINE_KEPT = 64 * 1024 };

/* --- log: [R +seconds] what came, [S +seconds] what was sent, [I +seconds] what happened --- */

static void log_begin(Qtest *q, char kind)
{
    if (q->log) {
        fprintf(q->log, "[%c +%.6f] ", kind,
                (double)(g_get_monotonic_time() - q->opened_us) / G_USEC_PER_SEC);
    }
}

static void log_text(Qtest *q, const char *text, size_t len)
{
    if (q->log) {
        fwrite(text, 1, len, q->log);
    }
}

static void log_line(Qtest *q, char kind, const char *text)
{
    log_begin(q, kind);
    log_text(q, text, strlen(text));
    log_text(q, "\n", 1);
}

/* --- output --- */

void qtest_put(Qtest *q, const char *text, size_t len)
{
    log_text(q, text, len);
    chardev_write(q->stream, text, len);
    q->unflushed += len;
    if (q->unflushed > CHARDEV_BUFFER / 2) {
        chardev_flush(q->stream);
        q->unflushed = 0;
    }
}

void qtest_begin(Qtest *q, const char *text)
{
    log_begin(q, 'S');
    qtest_put(q, text, strlen(text));
}

void qtest_end(Qtest *q)
{
    qtest_put(q, "\n", 1);
    q->unflushed = 0;
    if (q->connected && chardev_dropped(q->stream) != q->dropped) {
        q->connected = false;
        log_warn("qtest: the client left or does not read its answers; it is disconnected");
        chardev_disconnect(q->stream);
    }
}

void qtest_send(Qtest *q, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    qtest_begin(q, text);
    qtest_end(q);
}

/* --- input --- */

static void line_clear(Qtest *q)
{
    if (q->line->len > LINE_KEPT) { /* the memory, too */
        g_byte_array_unref(q->line);
        q->line = g_byte_array_new();
    }
    g_byte_array_set_size(q->line, 0);
    q->skipping = false;
}

static void line_take(Qtest *q, const uint8_t *part, size_t len)
{
    if (q->skipping) {
        return;
    }
    if (len > QTEST_LINE_MAX - q->line->len) {
        line_clear(q);
        q->skipping = true;
        return;
    }
    g_byte_array_append(q->line, part, (guint)len);
}

static void line_run(Qtest *q)
{
    char *text;

    if (q->skipping) {
        log_line(q, 'R', "(a line that is too long)");
        qtest_send(q, "FAIL The line is longer than %d bytes", QTEST_LINE_MAX);
        return;
    }
    if (q->line->len > 0 && q->line->data[q->line->len - 1] == '\r') {
        g_byte_array_set_size(q->line, q->line->len - 1);
    }
    g_byte_array_append(q->line, (const guint8 *)"", 1);
    text = (char *)q->line->data;
    log_line(q, 'R', text);
    if (strlen(text) + 1 != q->line->len) {
        qtest_send(q, "FAIL There is a NUL byte in the line");
        return;
    }
    qtest_run_line(q, text);
}

/* Answers that wait to be read hold up the next commands. */
static size_t can_receive(void *opaque)
{
    return chardev_room(((Qtest *)opaque)->stream) ? RECEIVE_CHUNK : 0;
}

static void receive(void *opaque, const uint8_t *buf, size_t len)
{
    Qtest *q = opaque;
    const uint8_t *end;

    while (q->connected && (end = memchr(buf, '\n', len))) {
        line_take(q, buf, (size_t)(end - buf));
        line_run(q);
        line_clear(q);
        len -= (size_t)(end + 1 - buf);
        buf = end + 1;
    }
    if (q->connected) {
        line_take(q, buf, len);
    }
}

static void stream_event(void *opaque, ChardevEvent event)
{
    Qtest *q = opaque;

    if (event == CHARDEV_OPENED) {
        q->connected = true;
        q->dropped = chardev_dropped(q->stream);
        q->opened_us = g_get_monotonic_time();
        line_clear(q);
        log_line(q, 'I', "OPENED");
    } else if (event == CHARDEV_CLOSED) {
        q->connected = false;
        qtest_intercept_end(q);
        line_clear(q);
        log_line(q, 'I', "CLOSED");
    } else if (event == CHARDEV_DRAINED) {
        chardev_accept_input(q->stream);
    }
}

/* --- life --- */

static bool open_log(const char *path, FILE **ret_log, GError **err)
{
    FILE *log;

    if (!path || !strcmp(path, "none")) {
        *ret_log = path ? NULL : stderr;
        return true;
    }
    log = fopen(path, "we");
    if (!log) {
        return error_set_errno(err, errno, "-qtest-log %s: cannot open", path);
    }
    setvbuf(log, NULL, _IOLBF, BUFSIZ);
    *ret_log = log;
    return true;
}

Qtest *qtest_new(Machine *m, Chardev *stream, const char *log_path, GError **err)
{
    ChardevFrontend fe = {can_receive, receive, stream_event, NULL};
    FILE *log;
    Qtest *q;

    if (!object_is_a(m->accel, &qtest_accel_type)) {
        error_set(err, "-qtest: needs -accel qtest");
        return NULL;
    }
    if (!open_log(log_path, &log, err)) {
        return NULL;
    }
    q = g_new0(Qtest, 1);
    q->machine = m;
    q->stream = stream;
    q->log = log;
    q->line = g_byte_array_new();
    q->opened_us = g_get_monotonic_time();
    fe.opaque = q;
    chardev_set_frontend(stream, &fe);
    return q;
}

void qtest_free(Qtest *q)
{
    if (!q) {
        return;
    }
    qtest_intercept_end(q);
    chardev_set_frontend(q->stream, NULL);
    g_byte_array_unref(q->line);
    if (q->log && q->log != stderr) {
        fclose(q->log);
    }
    g_free(q);
}
