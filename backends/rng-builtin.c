/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host kernel's generator, getrandom(2). The eventfd is always readable: it is there for the
 * reader to be called from the loop.
 */
#include <errno.h>
#include <sys/eventfd.h>
#include <sys/random.h>

#include "backends/rng.h"

static bool rng_builtin_open(RngBackend *b, GError **err)
{
    b->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    return b->fd >= 0 || error_set_errno(err, errno, "eventfd");
}

static ssize_t rng_builtin_read(RngBackend *b, void *buf, size_t len)
{
    return getrandom(buf, len, GRND_NONBLOCK);
}

static void rng_builtin_class_init(ObjectClass *klass, const void *data)
{
    RNG_BACKEND_CLASS(klass)->open = rng_builtin_open;
    RNG_BACKEND_CLASS(klass)->read = rng_builtin_read;
}

const TypeInfo rng_builtin_type = {
    .name = "rng-builtin",
    .parent = &rng_backend_type,
    .class_init = rng_builtin_class_init,
    .desc = "the host kernel's random number generator",
};
