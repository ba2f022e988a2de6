/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Writes a dump. Memory goes from where it is; what is zero becomes a hole in a regular file. A
 * pipe or a socket that nobody reads must not hold up who gives up: it is written in pieces that
 * do not block once there is room.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/gmem-block.h"
#include "vmm/dump/dump-internal.h"

enum { FILE_CHUNK = 1 << 20, HOLE = 64 << 10, WAIT_MS = 100 };

/* A FIFO that nobody reads is an error, and no reason to wait. */
int guest_dump_open(const char *path, GError **err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0600);

    if (fd < 0) {
        error_set(err, "Could not open '%s': %s", path, g_strerror(errno));
    }
    return fd;
}

static bool cancelled(DumpWriter *w)
{
    return __atomic_load_n(&w->cancel, __ATOMIC_RELAXED);
}

/* False: somebody gave up. */
static bool wait_for_room(DumpWriter *w)
{
    struct pollfd p = {.fd = w->fd, .events = POLLOUT};

    while (!cancelled(w)) {
        if (poll(&p, 1, WAIT_MS) > 0) {
            return true;
        }
    }
    return false;
}

static int write_all(DumpWriter *w, bool file, const uint8_t *bytes, uint64_t len)
{
    while (len > 0) {
        size_t chunk = MIN(len, (uint64_t)(file ? FILE_CHUNK : PIPE_BUF));
        ssize_t n;

        if (file ? cancelled(w) : !wait_for_room(w)) {
            return ECANCELED;
        }
        n = write(w->fd, bytes, chunk);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return errno;
        }
        bytes += MAX(n, 0);
        len -= (uint64_t)MAX(n, 0);
    }
    return 0;
}

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* A hole, too, has to be there: what was in an older file of the client's would show. */
static bool make_hole(int fd, uint64_t len)
{
    off_t at = lseek(fd, 0, SEEK_CUR);
    struct stat st;

    return at >= 0 && fstat(fd, &st) == 0 && st.st_size <= at &&
           ftruncate(fd, at + (off_t)len) == 0 && lseek(fd, (off_t)len, SEEK_CUR) >= 0;
}

/* How much from `at` on is alike, at most HOLE. What the memory's file does not have is zero, and
 * is not looked at: the host would find a page for it again that the guest's balloon gave up. */
static uint64_t next_piece(const DumpRange *r, uint64_t at, bool *ret_absent)
{
    const GmemBlock *b = r->block;
    uint64_t most = MIN(r->size - at, HOLE);
    off_t begin, end;

    *ret_absent = false;
    if (b->fd < 0) {
        return most;
    }
    begin = (off_t)(b->fd_offset + (uint64_t)(r->host + at - b->host));
    end = lseek(b->fd, begin, SEEK_DATA);
    *ret_absent = end > begin || (end < 0 && errno == ENXIO);
    if (end == begin) {
        end = lseek(b->fd, begin, SEEK_HOLE);
    }
    return end > begin ? MIN(most, (uint64_t)(end - begin)) : most;
}

static int write_range(DumpWriter *w, bool file, const DumpRange *r)
{
    static const uint8_t zeroes[HOLE];

    for (uint64_t at = 0; at < r->size;) {
        bool absent;
        uint64_t n = next_piece(r, at, &absent);
        const uint8_t *from = absent ? zeroes : r->host + at;

        if (!file || !(absent || is_zero(from, n)) || !make_hole(w->fd, n)) {
            int errnum = write_all(w, file, from, n);

            if (errnum) {
                return errnum;
            }
        } else if (cancelled(w)) {
            return ECANCELED;
        }
        at += n;
        __atomic_fetch_add(&w->done, n, __ATOMIC_RELAXED);
    }
    return 0;
}

int dump_write(DumpWriter *w, const DumpImage *image)
{
    struct stat st;
    bool file =
        fstat(w->fd, &st) == 0 && S_ISREG(st.st_mode) && !(fcntl(w->fd, F_GETFL) & O_APPEND);
    int errnum = write_all(w, file, image->header->data, image->header->len);

    for (unsigned i = 0; !errnum && i < image->ranges->len; i++) {
        errnum = write_range(w, file, &g_array_index(image->ranges, DumpRange, i));
    }
    return errnum;
}
