/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libnbd, loaded with the first disk that is an NBD server's: with it come GnuTLS, libxml2, ICU and the C++ library,
 * more than half of what else is resident, and few starts need it.
 */
#ifndef AEROSTAT_BACKENDS_BLOCK_NBD_LIB_H
#define AEROSTAT_BACKENDS_BLOCK_NBD_LIB_H

#include <libnbd.h>

#include "qom/error.h"

/* Its functions that are used, without "nbd_". */
#define NBD_FUNCTIONS(X)                                                                                               \
    X(create) X(close) X(get_error) X(get_errno) X(poll)                                                               \
    X(set_export_name) X(set_pread_initialize) X(set_uri_allow_local_file)                                             \
    X(get_size) X(get_block_size) X(is_read_only)                                                                      \
    X(can_flush) X(can_fua) X(can_multi_conn) X(can_trim) X(can_zero)                                                  \
    X(aio_connect_uri) X(aio_connect_unix) X(aio_connect_tcp) X(aio_disconnect)                                        \
    X(aio_is_ready) X(aio_is_dead) X(aio_is_closed)                                                                    \
    X(aio_get_fd) X(aio_get_direction) X(aio_notify_read) X(aio_notify_write)                                          \
    X(aio_pread) X(aio_pwrite) X(aio_flush) X(aio_trim) X(aio_zero)

#define NBD_MEMBER(name) __typeof__(nbd_##name) *name;
typedef struct {
    NBD_FUNCTIONS(NBD_MEMBER)
} NbdLib;
#undef NBD_MEMBER

/* Loads it, again if it is there already; it is never unloaded. False with one line: it is not installed, or too old. */
bool nbd_lib_load(NbdLib *ret_lib, GError **err);

#endif
