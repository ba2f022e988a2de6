/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The base class of sources of randomness and their readers.
 */
#include "backends/rng.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "backends/user-creatable.h"
#include "core/log.h"

struct RngReader {
    RngBackend *rng;
    LoopFd *source; /* watched while a request is under way */
    RngDone done;
    void *opaque;
    size_t wanted; /* 0: no request */
    uint8_t buf[RNG_CHUNK];
};

static void report_end(RngBackend *b, ssize_t n, int errnum)
{
    if (!b->exhausted) {
        b->exhausted = true;
        log_warn("%s '%s' %s: its readers wait in vain from now on", object_type_name(b),
                 b->parent_obj.name ? b->parent_obj.name : "",
                 n == 0 ? "is at its end" : g_strerror(errnum));
    }
}

static void reader_ready(void *opaque, unsigned events)
{
    RngReader *r = opaque;
    ssize_t n = RNG_BACKEND_GET_CLASS(r->rng)->read(r->rng, r->buf, r->wanted);
    int errnum = errno;

    if (n < 0 && (errnum == EAGAIN || errnum == EINTR)) {
        return;
    }
    rng_reader_cancel(r);
    if (n > 0) {
        r->done(r->opaque, r->buf, (size_t)n);
    } else {
        report_end(r->rng, n, errnum);
    }
}

RngReader *rng_reader_new(RngBackend *b, EventLoop *loop, RngDone done, void *opaque)
{
    RngReader *r = g_new0(RngReader, 1);

    g_assert(b->fd >= 0);
    r->rng = b;
    r->done = done;
    r->opaque = opaque;
    r->source = loop_fd_new(loop, b->fd, 0, reader_ready, r);
    return r;
}

void rng_reader_free(RngReader *r)
{
    if (r) {
        loop_fd_free(r->source);
        explicit_bzero(r->buf, sizeof r->buf);
        g_free(r);
    }
}

void rng_reader_request(RngReader *r, size_t len)
{
    g_assert(r->wanted == 0 && len > 0 && len <= RNG_CHUNK);
    if (!r->rng->exhausted) {
        r->wanted = len;
        loop_fd_set_events(r->source, LOOP_READ);
    }
}

void rng_reader_cancel(RngReader *r)
{
    if (r->wanted > 0) {
        r->wanted = 0;
        loop_fd_set_events(r->source, 0);
    }
}

/* --- the base class --- */

static bool rng_backend_complete(Object *obj, GError **err)
{
    return RNG_BACKEND_GET_CLASS(obj)->open(RNG_BACKEND(obj), err);
}

static ssize_t rng_backend_read(RngBackend *b, void *buf, size_t len)
{
    return read(b->fd, buf, len);
}

static void rng_backend_init(Object *obj)
{
    RNG_BACKEND(obj)->fd = -1;
}

static void rng_backend_finalize(Object *obj)
{
    if (RNG_BACKEND(obj)->fd >= 0) {
        close(RNG_BACKEND(obj)->fd);
    }
}

static void rng_backend_class_init(ObjectClass *klass, const void *data)
{
    UserCreatableClass *uc = object_class_interface(klass, &user_creatable_type);

    uc->complete = rng_backend_complete;
    RNG_BACKEND_CLASS(klass)->read = rng_backend_read;
}

const TypeInfo rng_backend_type = {
    .name = "rng-backend",
    .instance_size = sizeof(RngBackend),
    .class_size = sizeof(RngBackendClass),
    .abstract = true,
    .instance_init = rng_backend_init,
    .instance_finalize = rng_backend_finalize,
    .class_init = rng_backend_class_init,
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .desc = "source of randomness",
};
