/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Randomness read from a file: /dev/urandom, /dev/hwrng, or a FIFO that somebody feeds.
 */
#include <errno.h>
#include <fcntl.h>

#include "backends/fd-table.h"
#include "backends/rng.h"
#include "qom/property.h"

typedef struct RngRandom {
    RngBackend parent_obj;
    char *filename;
} RngRandom;

OBJECT_DECLARE(RngRandom, rng_random, RNG_RANDOM)

static int open_of_set(Object *obj, const char *name)
{
    FdTable *fds = fd_table_of(object_root(obj));
    int64_t set;
    int fd = fd_table_open(fds, name, O_RDONLY | O_NONBLOCK, &set);

    fd_table_release(fds, set); /* the duplicate stays when the set goes */
    return fd;
}

static bool rng_random_open(RngBackend *b, GError **err)
{
    const char *name = RNG_RANDOM(b)->filename;

    if (!name || !*name) {
        return error_set(err, "filename= must not be empty");
    }
    b->fd = fd_table_has_path(name) ? open_of_set(OBJECT(b), name)
                                    : open(name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    return b->fd >= 0 || error_set_errno(err, errno, "cannot open filename=%s", name);
}

static void rng_random_class_init(ObjectClass *klass, const void *data)
{
    RNG_BACKEND_CLASS(klass)->open = rng_random_open;
}

static const Property rng_random_props[] = {
    PROP_STRING("filename", RngRandom, filename, "/dev/urandom", "what is read"),
    PROP_END,
};

const TypeInfo rng_random_type = {
    .name = "rng-random",
    .parent = &rng_backend_type,
    .instance_size = sizeof(RngRandom),
    .class_init = rng_random_class_init,
    .props = rng_random_props,
    .desc = "randomness read from a file, /dev/urandom unless told otherwise",
};
