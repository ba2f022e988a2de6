/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image locks. What a user does with an image and what it lets others do are shared locks on single
 * bytes of the file, at the places where QEMU has them, so that both respect each other: byte
 * 100 + n says "I do n", byte 200 + n says "nobody else may do n". Locks are of the open file
 * description (F_OFD_*): they go when it is closed, and only then.
 */
#include "backends/block-file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "core/log.h"

enum { PERM_READ = 0, PERM_WRITE = 1, PERM_RESIZE = 3, PERMS = 4 };
enum { BASE_DOES = 100, BASE_DENIES = 200 };

/* Bits 0 to 3: does; 4 to 7: denies. */
static uint64_t bytes_of(const BlockPerm *perm)
{
    uint64_t write = 1 << PERM_WRITE | 1 << PERM_RESIZE, bits = 0;

    if (perm->reads || perm->writes) {
        bits |= 1 << PERM_READ;
        bits |= perm->writes ? write : 0;
        bits |= perm->share_writes ? 0 : write << PERMS;
    }
    return bits;
}

static off_t place_of(unsigned bit)
{
    return bit < PERMS ? BASE_DOES + bit : BASE_DENIES + bit - PERMS;
}

static int lock_byte(int fd, int cmd, short type, off_t at, short *ret_type)
{
    struct flock fl = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};

    if (fcntl(fd, cmd, &fl) < 0) {
        return -errno;
    }
    if (ret_type) {
        *ret_type = fl.l_type;
    }
    return 0;
}

static void unlock(BlockFile *n, uint64_t bits)
{
    for (unsigned bit = 0; bit < 2 * PERMS; bit++) {
        if (bits >> bit & 1) {
            lock_byte(n->lock_fd, F_OFD_SETLK, F_UNLCK, place_of(bit), NULL);
        }
    }
}

static int lock(BlockFile *n, uint64_t bits)
{
    for (unsigned bit = 0; bit < 2 * PERMS; bit++) {
        int rc =
            bits >> bit & 1 ? lock_byte(n->lock_fd, F_OFD_SETLK, F_RDLCK, place_of(bit), NULL) : 0;

        if (rc < 0) {
            unlock(n, bits & ((UINT64_C(1) << bit) - 1));
            return rc;
        }
    }
    return 0;
}

/* Does someone deny what we do, or do what we deny? 0: no; 1: yes. */
static int conflict(BlockFile *n, uint64_t bits, unsigned *ret_perm)
{
    for (unsigned bit = 0; bit < 2 * PERMS; bit++) {
        unsigned other = bit < PERMS ? bit + PERMS : bit - PERMS;
        short type = F_UNLCK;
        int rc = bits >> bit & 1
                     ? lock_byte(n->lock_fd, F_OFD_GETLK, F_WRLCK, place_of(other), &type)
                     : 0;

        if (rc < 0 || type != F_UNLCK) {
            *ret_perm = bit % PERMS;
            return rc < 0 ? rc : 1;
        }
    }
    return 0;
}

static bool locks_are_missing(int rc)
{
    return rc == -EINVAL || rc == -ENOLCK || rc == -EOPNOTSUPP || rc == -ENOSYS;
}

/* The same file, also when its name stands for another one by now. */
static bool open_lock_fd(BlockFile *n, GError **err)
{
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", n->fd);

    n->lock_fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (n->lock_fd < 0) {
        n->lock_fd = open(n->filename, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    }
    return n->lock_fd >= 0 || error_set_errno(err, errno, "cannot lock '%s'", n->filename);
}

bool file_set_perm(BlockNode *node, const BlockPerm *perm, GError **err)
{
    static const char *const names[PERMS] = {"read", "write", "", "resize"};
    BlockFile *n = BLOCK_FILE(node);
    uint64_t wanted = bytes_of(perm), fresh = wanted & ~n->locked;
    unsigned what = 0;
    int rc;

    if (n->locking == FILE_LOCK_OFF || node->force_share) {
        return true;
    }
    if (n->lock_fd < 0 && !open_lock_fd(n, err)) {
        return false;
    }
    rc = lock(n, fresh);
    if (rc == 0 && (rc = conflict(n, fresh, &what)) != 0) {
        unlock(n, fresh);
    }
    if (locks_are_missing(rc) && n->locking == FILE_LOCK_AUTO) {
        TRACE(block_file_no_locks, "%s: the file system has no locks", n->filename);
        return true;
    }
    if (rc < 0) {
        return error_set_errno(err, -rc, "cannot lock '%s'", n->filename);
    }
    if (rc > 0) {
        return error_set(err,
                         "cannot get the %s lock of '%s': another process uses the image "
                         "(share-rw=on on both, or locking=off, would allow it)",
                         names[what], n->filename);
    }
    unlock(n, n->locked & ~wanted);
    n->locked = wanted;
    return true;
}
