/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framing of QMP input. Only brackets, strings and stray bytes are looked at here; jansson parses
 * the whole value.
 */
#include "vmm/monitor/qmp-stream.h"

#include <string.h>

void qmp_stream_init(QmpStream *s, size_t max_size)
{
    *s = (QmpStream){.text = g_string_new(NULL), .max_size = max_size};
}

void qmp_stream_reset(QmpStream *s)
{
    /* A large request must not keep its memory for the client's life. */
    if (s->text->allocated_len > 4096) {
        g_string_free(s->text, TRUE);
        s->text = g_string_new(NULL);
    }
    g_string_truncate(s->text, 0);
    s->depth = 0;
    s->in_string = s->escaped = s->in_word = false;
    s->skip_reason = NULL;
}

void qmp_stream_finish(QmpStream *s)
{
    g_string_free(s->text, TRUE);
    s->text = NULL;
}

static void skip_rest(QmpStream *s, const char *reason)
{
    s->skip_reason = reason;
    g_string_truncate(s->text, 0);
}

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Bytes that no JSON text has here: with one of them a client gets a clean start. */
static bool is_stray(const QmpStream *s, unsigned char c)
{
    return c >= 0xfe || (c < ' ' && (s->in_string || !is_space(c)));
}

static void track_nesting(QmpStream *s, char c)
{
    if (s->in_string) {
        if (s->escaped) {
            s->escaped = false;
        } else if (c == '\\') {
            s->escaped = true;
        } else if (c == '"') {
            s->in_string = false;
        }
    } else if (c == '"') {
        s->in_string = true;
    } else if (c == '{' || c == '[') {
        s->depth++;
    } else if ((c == '}' || c == ']') && s->depth > 0) {
        s->depth--;
    }
}

static void collect(QmpStream *s, char c)
{
    track_nesting(s, c);
    if (s->skip_reason) {
        return;
    }
    if (s->text->len >= s->max_size) {
        skip_rest(s, "JSON parse error, request is larger than 1 MiB");
    } else if (s->depth > QMP_MAX_NESTING) {
        skip_rest(s, "JSON nesting depth limit exceeded");
    } else {
        g_string_append_c(s->text, c);
    }
}

/* The value ended: parses it. */
static void deliver(QmpStream *s, json_t **ret_value, char **ret_error)
{
    json_error_t jerr;

    *ret_value = NULL;
    *ret_error = NULL;
    if (s->skip_reason) {
        *ret_error = g_strdup(s->skip_reason);
    } else {
        *ret_value =
            json_loadb(s->text->str, s->text->len, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &jerr);
        if (!*ret_value) {
            *ret_error = g_strdup_printf("JSON parse error, %s", jerr.text);
        }
    }
    qmp_stream_reset(s);
}

/* A number or a word outside of brackets ends before a space and before what begins another value.
 */
static bool take_in_word(QmpStream *s, char byte, json_t **ret_value, char **ret_error)
{
    if (!is_space((unsigned char)byte) && !strchr("{[\"", byte)) {
        collect(s, byte);
        return false;
    }
    deliver(s, ret_value, ret_error);
    if (!is_space((unsigned char)byte)) {
        collect(s, byte);
    }
    return true;
}

bool qmp_stream_take(QmpStream *s, char byte, json_t **ret_value, char **ret_error)
{
    bool idle = s->text->len == 0 && !s->skip_reason;

    if (is_stray(s, (unsigned char)byte)) {
        *ret_value = NULL;
        *ret_error = g_strdup_printf("JSON parse error, stray byte 0x%02x", (unsigned char)byte);
        qmp_stream_reset(s);
        return true;
    }
    if (s->in_word) {
        return take_in_word(s, byte, ret_value, ret_error);
    }
    if (idle && is_space((unsigned char)byte)) {
        return false;
    }
    if (idle && !strchr("{}[]\",:", byte)) {
        s->in_word = true;
        collect(s, byte);
        return false;
    }
    collect(s, byte);
    if (s->depth > 0 || s->in_string) {
        return false;
    }
    deliver(s, ret_value, ret_error);
    return true;
}
