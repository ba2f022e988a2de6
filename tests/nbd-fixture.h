/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * NBD servers for tests: nbdkit and qemu-nbd, on a socket of the test's. They die with the test.
 */
#ifndef AEROSTAT_TESTS_NBD_FIXTURE_H
#define AEROSTAT_TESTS_NBD_FIXTURE_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

extern pid_t nbd_server; /* the one that was started last; 0: none */

bool nbd_servers_installed(void);
/* Starts the words of the command and waits until it listens at the path; who was there before keeps its clients. */
void nbd_serve(const char *sock, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* The same, but it starts after a while and is not waited for. */
void nbd_serve_later(const char *sock, unsigned ms, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
void nbd_server_kill(void); /* at once; harmless when there is none */

#endif
