/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * TCP sockets of character streams. A monitor has no passwords, so a server listens on loopback addresses only.
 */
#ifndef AEROSTAT_BACKENDS_TCP_SOCKET_H
#define AEROSTAT_BACKENDS_TCP_SOCKET_H

#include "qom/error.h"

/* What the next two would refuse without looking a host up or opening a socket. */
bool tcp_socket_check(const char *host, const char *port, bool server, GError **err);

/*
 * A listening, non-blocking socket; -1 with err. host is an address or "localhost"; port "0": any, *ret_port is the one
 * it got.
 */
int tcp_socket_listen(const char *host, const char *port, unsigned *ret_port, GError **err);

/*
 * A connected, non-blocking socket; -1 with err. With wait it waits for the connection. Without it nothing takes long:
 * host is an address or "localhost", and *ret_later tells that the connection is under way: the socket gets writable
 * then.
 */
int tcp_socket_connect(const char *host, const char *port, bool wait, bool *ret_later, GError **err);

#endif
