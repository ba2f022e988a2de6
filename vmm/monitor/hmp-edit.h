/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The line editor of the human monitor: what a terminal sends becomes lines, with the keys of QEMU's monitor and of
 * readline. Arrows, Home, End and Delete in the ways that terminals have of saying them; any other key that is said by
 * an escape sequence does nothing. A line that is wider than the terminal is edited right and shown wrong, as is one
 * with characters that are not one column wide.
 *
 * Main thread only.
 */
#ifndef AEROSTAT_VMM_MONITOR_HMP_EDIT_H
#define AEROSTAT_VMM_MONITOR_HMP_EDIT_H

#include <glib.h>
#include <stddef.h>
#include <stdint.h>

enum {
    HMP_LINE_MAX = 1024,   /* bytes of a line with its terminating 0; what is typed beyond is dropped */
    HMP_HISTORY_MAX = 64,  /* lines; the oldest goes */
};

typedef struct HmpEdit HmpEdit;

typedef struct {
    void (*print)(void *opaque, const char *bytes, size_t len);
    void (*prompt)(void *opaque);
    /* Entered; UTF-8 unless nothing was. It may be changed, and is the callee's until it returns. The prompt is the
     * callee's, too. */
    void (*line)(void *opaque, char *line);
    void (*complete)(void *opaque); /* the tabulator key */
} HmpEditOps;

HmpEdit *hmp_edit_new(const HmpEditOps *ops, void *opaque); /* ops: borrowed */
void hmp_edit_free(HmpEdit *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HmpEdit, hmp_edit_free)

void hmp_edit_feed(HmpEdit *e, const uint8_t *bytes, size_t len);
void hmp_edit_reset(HmpEdit *e); /* the line is empty; what was entered before stays in the history */

/* --- for complete --- */

char *hmp_edit_before(const HmpEdit *e);             /* what is left of the cursor; g_free */
void hmp_edit_insert(HmpEdit *e, const char *text);  /* at the cursor; all or, if it is too long, nothing */
void hmp_edit_redraw(HmpEdit *e);                    /* the prompt and the line, from the terminal's first column */

#endif
