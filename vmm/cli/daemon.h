/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Going into the background and the pid file.
 */
#ifndef AEROSTAT_VMM_CLI_DAEMON_H
#define AEROSTAT_VMM_CLI_DAEMON_H

#include <stdbool.h>

#include "qom/error.h"

/*
 * Forks. The parent does not return: it waits and exits with 0 once the child calls daemon_ready, with 1 when the child
 * ends before. Call it before any thread exists.
 */
bool daemon_start(GError **err);
void daemon_ready(void); /* in the child: detaches from the terminal, stdio becomes /dev/null; harmless without start */

typedef struct { int fd; char *path; } PidFile;

/* Writes the pid and holds a lock on the file. Fails when another process holds it. */
bool pidfile_create(PidFile *f, const char *path, GError **err);
void pidfile_remove(PidFile *f); /* harmless when nothing was made */

#endif
