/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * File descriptors that management clients hand over: by name (getfd, for "netdev_add tap,fd=NAME"), or in sets (add-fd,
 * for a path "/dev/fdset/N", of which the member opened the right way is used). One table in a tree, at /fds.
 *
 * The table owns what it holds. Numbers are bounded by FD_TABLE_MAX, names and sets together.
 *
 * Threads: main loop, VM lock.
 */
#ifndef AEROSTAT_BACKENDS_FD_TABLE_H
#define AEROSTAT_BACKENDS_FD_TABLE_H

#include <jansson.h>

#include "qom/object.h"

OBJECT_DECLARE(FdTable, fd_table, FD_TABLE)

enum { FD_TABLE_MAX = 256 };

FdTable *fd_table_of(Object *root); /* made where it is missing; borrowed */

/* --- the descriptor that came with the present command --- */

/* receive gives up a descriptor, or -1; NULL: none can come. */
void fd_table_set_source(FdTable *t, int (*receive)(void *opaque), void *opaque);
int fd_table_receive(FdTable *t, GError **err); /* the caller's; -1 with err */

/* --- names --- */

bool fd_table_put(FdTable *t, const char *name, int fd, GError **err); /* takes fd in any case; replaces that name's */
int fd_table_take(FdTable *t, const char *name, GError **err);         /* the name is gone, fd the caller's; -1 with err */

/* --- sets --- */

/* Takes fd in any case. set -1: the first number that is free. opaque may be NULL. */
bool fd_table_add(FdTable *t, int64_t set, const char *opaque, int fd, int64_t *ret_set, GError **err);
bool fd_table_remove(FdTable *t, int64_t set, int fd, GError **err); /* fd -1: all of the set */
json_t *fd_table_sets(const FdTable *t);                             /* QMP's [FdsetInfo]; new reference */

bool fd_table_has_path(const char *path); /* is it "/dev/fdset/..."? */

/*
 * open() of such a path: a duplicate of a member with the access mode of flags, which shares its file offset and status
 * flags. -1 with errno: ENOENT, no such set; EACCES, no such member. *ret_set is N, to be given to fd_table_release after
 * the duplicate was closed.
 */
int fd_table_open(FdTable *t, const char *path, int flags, int64_t *ret_set);
void fd_table_release(FdTable *t, int64_t set); /* -1 is fine */

/* A client came (+1) or left (-1). When the last one has left and drop is set, sets that nobody uses are closed. */
void fd_table_count_clients(FdTable *t, int change, bool drop);

extern const TypeInfo fd_table_type;

#endif
