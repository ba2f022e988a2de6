/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Holds what a QMP server says against what its query-qmp-schema promises.
 */
#ifndef AEROSTAT_TESTS_QMP_VALIDATE_H
#define AEROSTAT_TESTS_QMP_VALIDATE_H

#include <glib.h>
#include <jansson.h>

/* Each returns what is wrong, or NULL; g_free. */
char *qmp_validate_return(const char *command, json_t *value);
char *qmp_validate_event(json_t *event);
char *qmp_validate_schema(void); /* the schema itself: each type that is used is there, each name once */

#endif
