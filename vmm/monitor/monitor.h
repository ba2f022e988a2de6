/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The QMP monitor: a server on a character stream. Commands and events have QEMU's names and shapes. Requests are
 * parsed by jansson, limited to 1 MiB and its nesting limit; each gets exactly one answer with its id.
 *
 * Threads: main loop, VM lock held.
 */
#ifndef AEROSTAT_VMM_MONITOR_MONITOR_H
#define AEROSTAT_VMM_MONITOR_MONITOR_H

#include "vmm/machine/machine.h"

typedef struct Monitor Monitor;

enum { MONITOR_MAX_REQUEST = 1024 * 1024 };

/* A QMP monitor on stream, which it becomes the front end of (borrowed). */
Monitor *monitor_new_qmp(Machine *m, Chardev *stream);

/* The same with its messages laid out over several lines, for people. */
Monitor *monitor_new_qmp_pretty(Machine *m, Chardev *stream);

/* A human monitor on stream (Ctrl-a c): the few commands of hmp.c. */
Monitor *monitor_new_hmp(Machine *m, Chardev *stream);

void monitor_free(Monitor *mon); /* NULL is fine */

/*
 * Runs one command as QMP would: the result (new reference) or NULL with err. arguments may be NULL.
 * hmp.c and tests use it.
 */
json_t *qmp_execute(Machine *m, const char *command, json_t *arguments, GError **err);

#endif
