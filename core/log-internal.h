/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What log.c lends to trace.c, and nobody else includes.
 */
#ifndef AEROSTAT_CORE_LOG_INTERNAL_H
#define AEROSTAT_CORE_LOG_INTERNAL_H

#include <glib.h>

int log_fd(void);                            /* where guest errors and traces go */
void log_write_line(int fd, GString *line);  /* adds the newline; control characters become '?' */

#endif
