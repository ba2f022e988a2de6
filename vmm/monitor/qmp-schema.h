/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What query-qmp-schema tells: commands from their tables, types and events from the tables of qmp-types.c.
 *
 * A type is named in a table as one word: a built-in one ("str", "int", "bool", "number", "any"), one of
 * qmp_types, or a list of one: "[str]".
 */
#ifndef AEROSTAT_VMM_MONITOR_QMP_SCHEMA_H
#define AEROSTAT_VMM_MONITOR_QMP_SCHEMA_H

#include <jansson.h>

/*
 * members of an object: "name:TYPE,*optional:TYPE"; of an enumeration: "=word,word"; ended by a row without name. An
 * event is an object, its data; members NULL: it has none.
 */
typedef struct {
    const char *name, *members;
} QmpType;

extern const QmpType qmp_types[], qmp_events[];

/* The words of an enumeration; NULL: it is none. g_strfreev. */
char **qmp_enum_words(const char *type);

json_t *qmp_schema(void); /* an array of SchemaInfo; new reference */

#endif
