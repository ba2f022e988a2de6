/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Sources of randomness: "rng-builtin" (the host kernel's generator) and "rng-random" (a character device or FIFO),
 * made by -object or by virtio-rng for itself. Any number of readers may use one source; each has at most one request
 * under way and gets its bytes from the loop, never from within the call that asked.
 *
 * Threads: the reader's loop.
 */
#ifndef AEROSTAT_BACKENDS_RNG_H
#define AEROSTAT_BACKENDS_RNG_H

#include <sys/types.h>

#include "core/loop.h"
#include "qom/object.h"

OBJECT_DECLARE_CLASS(RngBackend, RngBackendClass, rng_backend, RNG_BACKEND)

enum { RNG_CHUNK = 4096 };

struct RngBackend {
    Object parent_obj;
    int fd;         /* readable when there are bytes; -1 before complete */
    bool exhausted; /* its end was reported */
};

struct RngBackendClass {
    ObjectClass parent_class;
    bool (*open)(RngBackend *b, GError **err); /* gives fd, non-blocking */
    ssize_t (*read)(RngBackend *b, void *buf, size_t len); /* as read(2) */
};

typedef struct RngReader RngReader;
/* At least one byte, at most as many as were asked for; buf is valid during the call. */
typedef void (*RngDone)(void *opaque, const uint8_t *buf, size_t len);

/* b must be complete and outlive the reader. */
RngReader *rng_reader_new(RngBackend *b, EventLoop *loop, RngDone done, void *opaque);
void rng_reader_free(RngReader *r); /* NULL is fine; legal inside its own callback */

/* Asks for len bytes, 1 to RNG_CHUNK; nothing may be under way. A source that is at its end never answers. */
void rng_reader_request(RngReader *r, size_t len);
void rng_reader_cancel(RngReader *r);

extern const TypeInfo rng_builtin_type, rng_random_type;

#endif
