/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Errors of one line, and the nearest known word to a mistyped one. Texts that users or QMP clients
 * gave are quoted in errors, so a line is made printable and valid UTF-8 here, once, for everybody.
 */
#include "qom/error.h"

#include <string.h>

#define NEAR_MISS_MAX_LENGTH 64 /* nobody mistypes a longer name by one key */

GQuark aerostat_error_quark(void)
{
    return g_quark_from_static_string("aerostat-error");
}

static char *one_line(const char *fmt, va_list ap)
{
    g_autofree char *raw = g_strdup_vprintf(fmt, ap);
    char *line = g_utf8_make_valid(raw, -1);

    for (char *p = line; *p != '\0'; p++) {
        if (g_ascii_iscntrl(*p)) {
            *p = '?';
        }
    }
    return line;
}

void error_set_line(GError **err, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;

        va_start(ap, fmt);
        g_autofree char *line = one_line(fmt, ap);
        va_end(ap);
        g_set_error_literal(err, AEROSTAT_ERROR, AEROSTAT_ERROR_GENERIC, line);
    }
}

void error_set_errno_line(GError **err, int errnum, const char *fmt, ...)
{
    if (err != NULL) {
        va_list ap;

        va_start(ap, fmt);
        g_autofree char *line = one_line(fmt, ap);
        va_end(ap);
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_GENERIC, "%s: %s", line,
                    g_strerror(errnum));
    }
}

/*
 * Damerau-Levenshtein distance (optimal string alignment) without regard to case; neither word is
 * longer than NEAR_MISS_MAX_LENGTH.
 */
static unsigned edit_distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
    unsigned rows[3][NEAR_MISS_MAX_LENGTH + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];

    for (size_t j = 0; j <= b_len; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        unsigned *spare = before;

        before = last;
        last = row;
        row = spare;
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= b_len; j++) {
            char ca = g_ascii_tolower(a[i - 1]);
            char cb = g_ascii_tolower(b[j - 1]);
            unsigned best = last[j - 1] + (ca != cb);

            best = MIN(best, MIN(last[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && ca == g_ascii_tolower(b[j - 2]) &&
                cb == g_ascii_tolower(a[i - 2])) {
                best = MIN(best, before[j - 2] + 1);
            }
            row[j] = best;
        }
    }
    return row[b_len];
}

const char *error_near_miss(const char *word, const char *const *candidates)
{
    size_t len = strlen(word);
    const char *nearest = NULL;
    unsigned limit = 0;

    if (len == 0 || len > NEAR_MISS_MAX_LENGTH) {
        return NULL;
    }
    limit = len < 3 ? 1 : (unsigned)(len + 1) / 3;
    for (; *candidates != NULL; candidates++) {
        size_t other = strlen(*candidates);
        unsigned distance;

        /* A word of which nothing is left after the edits is no slip. */
        if (other > NEAR_MISS_MAX_LENGTH || other < 2 || len < 2) {
            continue;
        }
        distance = edit_distance(word, len, *candidates, other);
        if (distance < limit || (nearest == NULL && distance == limit)) {
            nearest = *candidates;
            limit = distance;
        }
    }
    return nearest;
}
