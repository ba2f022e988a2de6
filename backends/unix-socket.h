/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Addresses of Unix sockets, and the files of those that listen.
 */
#ifndef AEROSTAT_BACKENDS_UNIX_SOCKET_H
#define AEROSTAT_BACKENDS_UNIX_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

#include "qom/error.h"

/* Fails on an empty or too long path. */
bool unix_socket_address(const char *path, struct sockaddr_un *ret_addr, GError **err);

/*
 * Makes way for a new socket of type (SOCK_STREAM, SOCK_DGRAM) at path: removes one that nobody listens on any more.
 * Fails where another process does, and on a file that is no socket.
 */
bool unix_socket_remove_stale(const char *path, int type, GError **err);

#endif
