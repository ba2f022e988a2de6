/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Framing of QMP input. Only brackets, strings and stray bytes are looked at here; jansson parses
 * the whole value.
 */
#include "vmm/monitor/qmp-stream.h"

#include <string.h>

#include "qom/property.h"

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
    s->quote = 0;
    s->escaped = s->in_word = false;
    s->skipping = s->too_deep = s->recovering = false;
}

void qmp_stream_finish(QmpStream *s)
{
    g_string_free(s->text, TRUE);
    s->text = NULL;
}

static bool is_space(unsigned char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Bytes that no JSON text has here: with one of them a client gets a clean start. */
static bool is_stray(const QmpStream *s, unsigned char c)
{
    return c >= 0xfe || (c < ' ' && (s->quote || !is_space(c))) || (c == '%' && !s->quote);
}

static void track_nesting(QmpStream *s, char c)
{
    if (s->quote) {
        if (s->escaped) {
            s->escaped = false;
        } else if (c == '\\') {
            s->escaped = true;
        } else if (c == s->quote) {
            s->quote = 0;
        }
    } else if (c == '"' || c == '\'') {
        s->quote = c;
    } else if (c == '{' || c == '[') {
        s->depth++;
    } else if ((c == '}' || c == ']') && s->depth > 0) {
        s->depth--;
    }
}

/* Takes a byte of a value. Returns what limit the value passed with it, or NULL. */
static const char *collect(QmpStream *s, char c)
{
    track_nesting(s, c);
    s->too_deep |= s->depth > QMP_MAX_NESTING;
    if (s->skipping) {
        return NULL;
    }
    if (s->text->len < s->max_size && !s->too_deep) {
        g_string_append_c(s->text, c);
        return NULL;
    }
    s->skipping = true;
    g_string_truncate(s->text, 0);
    return s->too_deep ? "JSON nesting depth limit exceeded"
                       : "JSON parse error, request is larger than 1 MiB";
}

static bool report(const char *problem, json_t **ret_value, char **ret_error)
{
    *ret_value = NULL;
    *ret_error = g_strdup(problem);
    return true;
}

/* The value ended: parses it, unless it was reported already. */
static bool deliver(QmpStream *s, json_t **ret_value, char **ret_error)
{
    bool fresh = !s->skipping;
    g_autoptr(GError) err = NULL;

    if (fresh) {
        *ret_error = NULL;
        *ret_value = parse_json(s->text->str, s->text->len, &err);
        if (!*ret_value) {
            *ret_error = g_strdup_printf("JSON parse error, %s", err->message);
        }
    }
    qmp_stream_reset(s);
    return fresh;
}

/* A number or a word outside of brackets ends before a space and before what begins another value.
 */
static bool take_in_word(QmpStream *s, char byte, json_t **ret_value, char **ret_error)
{
    const char *problem;
    bool ended;

    if (!is_space((unsigned char)byte) && !strchr("{[\"'", byte)) {
        problem = collect(s, byte);
        return problem && report(problem, ret_value, ret_error);
    }
    ended = deliver(s, ret_value, ret_error);
    if (!is_space((unsigned char)byte)) {
        collect(s, byte);
    }
    return ended;
}

/* Ends what was begun. Control characters in what is skipped are part of its error. */
static bool take_stray(QmpStream *s, unsigned char byte, json_t **ret_value, char **ret_error)
{
    bool told = s->skipping && byte < ' ';
    g_autofree char *problem = g_strdup_printf("JSON parse error, stray byte 0x%02x", byte);

    qmp_stream_reset(s);
    s->recovering = byte == '%';
    return !told && report(problem, ret_value, ret_error);
}

bool qmp_stream_take(QmpStream *s, char byte, json_t **ret_value, char **ret_error)
{
    bool idle = s->text->len == 0 && !s->skipping;
    const char *problem;

    if (s->recovering && (unsigned char)byte >= ' ' && (unsigned char)byte < 0xfe &&
        !strchr("{}[]:,", byte)) {
        return false;
    }
    s->recovering = false;
    if (is_stray(s, (unsigned char)byte)) {
        return take_stray(s, (unsigned char)byte, ret_value, ret_error);
    }
    if (s->too_deep && byte == '\n') {
        qmp_stream_reset(s);
        return false;
    }
    if (s->in_word) {
        return take_in_word(s, byte, ret_value, ret_error);
    }
    if (idle && is_space((unsigned char)byte)) {
        return false;
    }
    s->in_word = idle && !strchr("{}[]\"',:", byte);
    problem = collect(s, byte);
    if (problem) {
        report(problem, ret_value, ret_error);
    }
    if (s->in_word || s->depth > 0 || s->quote) {
        return problem != NULL;
    }
    return deliver(s, ret_value, ret_error) || problem;
}
