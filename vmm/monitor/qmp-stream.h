/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Cuts a byte stream into JSON values: a value ends with the bracket that closes its first one, a string with its
 * quote, a word or number with the space behind it; a bracket, comma or colon that is not inside is a value (a bad one)
 * of its own. Size and nesting are bounded: what goes beyond is reported once, at once, and skipped to its end; when
 * nested too deeply, at most to the end of the line, for its brackets may never be closed.
 *
 * Strings may stand between apostrophes, as QEMU has it.
 *
 * A control character (in a string: also tab and newline), a byte 0xfe or 0xff and, outside of strings, a % (with what
 * follows it up to a bracket, comma, colon or control character) is an error of its own that ends what was begun: so a
 * client that sends 0xff knows that its next request is read from a clean start, as with QEMU. Where a value is
 * skipped, a control character ends it without another error.
 */
#ifndef AEROSTAT_VMM_MONITOR_QMP_STREAM_H
#define AEROSTAT_VMM_MONITOR_QMP_STREAM_H

#include <stddef.h>
#include <stdbool.h>
#include <glib.h>
#include <jansson.h>

enum { QMP_MAX_NESTING = 1024 };

typedef struct {
    GString *text;      /* of the value being collected */
    size_t max_size;
    unsigned depth;
    char quote;         /* of the string that we are in; 0: in none */
    bool escaped;
    bool in_word;            /* outside of brackets: a number, true, or what is none */
    bool recovering;         /* after a %: what follows is a part of it */
    bool skipping;           /* the value passed a limit: reported, its rest is skipped */
    bool too_deep;           /* and the line ends it */
} QmpStream;

void qmp_stream_init(QmpStream *s, size_t max_size);
void qmp_stream_finish(QmpStream *s);
void qmp_stream_reset(QmpStream *s);

/*
 * Takes one byte. Returns true when it ended something: then *ret_value is a new reference, or NULL with *ret_error
 * set to what is wrong (free with g_free).
 */
bool qmp_stream_take(QmpStream *s, char byte, json_t **ret_value, char **ret_error);

#endif
