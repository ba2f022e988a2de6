/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The drivers "file" (a regular file) and "host_device" (a block device): opening, limits and
 * resize. What is read and written is in block-file-io.c.
 */
#include "backends/block-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/log.h"

/* --- opening --- */

static int open_flags(const BlockNode *n, bool read_only)
{
    return (read_only ? O_RDONLY : O_RDWR) | (n->cache_direct ? O_DIRECT : 0) | O_CLOEXEC |
           O_NONBLOCK; /* a FIFO is refused, not waited for */
}

static bool open_error(const BlockFile *n, int errnum, GError **err)
{
    if (errnum == EINVAL && n->parent_obj.cache_direct) {
        return error_set(err,
                         "could not open '%s': its file system has no O_DIRECT; use "
                         "cache.direct=off",
                         n->filename);
    }
    if (fd_table_has_path(n->filename)) {
        return error_set(err, "could not open '%s': %s", n->filename,
                         errnum == EACCES   ? "the set has no descriptor that was opened that way"
                         : errnum == ENOENT ? "there is no such set"
                                            : g_strerror(errnum));
    }
    return error_set_errno(err, errnum, "could not open '%s'", n->filename);
}

static int open_path(BlockFile *n, int flags)
{
    if (!fd_table_has_path(n->filename)) {
        return open(n->filename, flags);
    }
    if (!n->fds) {
        n->fds = FD_TABLE(object_ref(fd_table_of(object_root(OBJECT(n)))));
    }
    return fd_table_open(n->fds, n->filename, flags, &n->fdset);
}

static bool open_file(BlockFile *n, GError **err)
{
    BlockNode *node = &n->parent_obj;

    n->fd = open_path(n, open_flags(node, node->read_only));
    if (n->fd < 0 && !node->read_only && node->auto_read_only &&
        (errno == EACCES || errno == EROFS || errno == EPERM)) {
        n->fd = open_path(n, open_flags(node, true));
        node->limits.read_only = n->fd >= 0;
    }
    return n->fd >= 0 || open_error(n, errno, err);
}

static bool check_kind(BlockFile *n, GError **err)
{
    bool wants_device = !strcmp(object_type_name(n), "block-host_device");
    struct stat st;

    if (fstat(n->fd, &st) < 0) {
        return error_set_errno(err, errno, "could not open '%s'", n->filename);
    }
    n->is_device = S_ISBLK(st.st_mode);
    if (S_ISDIR(st.st_mode)) {
        return error_set(err, "'%s' is a directory", n->filename);
    }
    if (!wants_device && !S_ISREG(st.st_mode)) {
        return error_set(err, "driver 'file' requires '%s' to be a regular file%s", n->filename,
                         n->is_device ? "; for a block device use driver=host_device" : "");
    }
    if (wants_device && !n->is_device) {
        return error_set(err, "driver 'host_device' requires '%s' to be a block device",
                         n->filename);
    }
    return true;
}

/* --- what O_DIRECT wants --- */

static bool read_works(int fd, uint8_t *buf, size_t len)
{
    return pread(fd, buf, len, 0) >= 0;
}

/* Kernels before 6.1 do not tell: reads are tried. An empty file refuses nothing. */
static void try_alignments(BlockFile *n)
{
    uint8_t *buf = aligned_alloc(BLOCK_MAX_ALIGN, 2 * BLOCK_MAX_ALIGN);

    n->io_align = n->mem_align = BLOCK_MAX_ALIGN;
    for (uint32_t align = BLOCK_SECTOR; align < n->io_align; align *= 2) {
        if (read_works(n->fd, buf, align)) {
            n->io_align = align;
        }
    }
    for (uint32_t align = BLOCK_SECTOR; align < n->mem_align; align *= 2) {
        if (read_works(n->fd, buf + align, n->io_align)) {
            n->mem_align = align;
        }
    }
    free(buf);
}

static void probe_alignment(BlockFile *n)
{
    struct statx stx;

    n->direct = n->parent_obj.cache_direct;
    n->io_align = n->mem_align = 1;
    if (!n->direct) {
        return;
    }
#ifdef STATX_DIOALIGN
    if (statx(n->fd, "", AT_EMPTY_PATH, STATX_DIOALIGN, &stx) == 0 &&
        (stx.stx_mask & STATX_DIOALIGN) && stx.stx_dio_offset_align > 0 &&
        stx.stx_dio_offset_align <= BLOCK_MAX_ALIGN && stx.stx_dio_mem_align <= BLOCK_MAX_ALIGN) {
        n->io_align = stx.stx_dio_offset_align;
        n->mem_align = stx.stx_dio_mem_align;
        return;
    }
#else
    (void)stx;
#endif
    try_alignments(n);
}

/* --- limits --- */

/* The size in whole blocks: what is missing in the last one reads as zeroes. */
static bool probe_size(BlockFile *n, uint64_t *ret_size, GError **err)
{
    off_t end = lseek(n->fd, 0, SEEK_END);
    uint64_t block = MAX(n->io_align, BLOCK_SECTOR);

    if (end < 0) {
        return error_set_errno(err, errno, "cannot tell the size of '%s'", n->filename);
    }
    *ret_size = ((uint64_t)end + block - 1) / block * block;
    return true;
}

static bool probe_limits(BlockFile *n, GError **err)
{
    BlockLimits *l = &n->parent_obj.limits;
    struct stat st;

    if (fstat(n->fd, &st) < 0) {
        return error_set_errno(err, errno, "could not open '%s'", n->filename);
    }
    l->request_alignment = n->io_align;
    l->max_discard = l->max_write_zeroes = FILE_MAX_RANGE;
    l->write_cache = true;
    if (n->is_device) {
        file_device_limits(n, st.st_rdev, l);
    } else {
        l->physical_block = MIN((uint32_t)st.st_blksize, BLOCK_MAX_ALIGN);
        l->discard_alignment = l->physical_block;
    }
    return probe_size(n, &l->size, err);
}

static bool file_open(BlockNode *node, GError **err)
{
    BlockFile *n = BLOCK_FILE(node);

    if (!n->filename || !*n->filename) {
        return error_set(err, "'filename' is missing");
    }
    if (node->force_share && !node->read_only) {
        return error_set(err, "force-share=on needs read-only=on");
    }
    if (!open_file(n, err) || !check_kind(n, err)) {
        return false;
    }
    probe_alignment(n);
    n->zeroes = aligned_alloc(BLOCK_MAX_ALIGN, FILE_BOUNCE);
    memset(n->zeroes, 0, FILE_BOUNCE);
    return probe_limits(n, err);
}

static void file_close(BlockNode *node)
{
    BlockFile *n = BLOCK_FILE(node);

    if (n->fd >= 0) {
        close(n->fd);
    }
    if (n->lock_fd >= 0) {
        close(n->lock_fd);
    }
    if (n->fds) {
        fd_table_release(n->fds, n->fdset);
        object_unref(n->fds);
    }
    free(n->zeroes);
}

/* --- resize and description --- */

static void file_refresh(BlockNode *node)
{
    probe_size(BLOCK_FILE(node), &node->limits.size, NULL);
}

static bool file_resize(BlockNode *node, uint64_t size, GError **err)
{
    BlockFile *n = BLOCK_FILE(node);
    uint64_t now;

    if (!probe_size(n, &now, err)) {
        return false;
    }
    if (n->is_device) {
        return size == now || error_set(err,
                                        "'%s' has %" G_GUINT64_FORMAT " bytes: resize the device "
                                        "on the host first, then give its size here",
                                        n->filename, now);
    }
    return size == now || ftruncate(n->fd, (off_t)size) == 0 ||
           error_set_errno(err, errno, "cannot resize '%s'", n->filename);
}

static char *file_filename(BlockNode *node)
{
    return g_strdup(BLOCK_FILE(node)->filename);
}

static int64_t file_allocated(BlockNode *node)
{
    struct stat st;

    return fstat(BLOCK_FILE(node)->fd, &st) == 0 ? (int64_t)st.st_blocks * 512 : -1;
}

/* --- class --- */

static void file_init(Object *obj)
{
    BLOCK_FILE(obj)->fd = BLOCK_FILE(obj)->lock_fd = -1;
    BLOCK_FILE(obj)->fdset = -1;
}

static void file_class_init(ObjectClass *klass, const void *data)
{
    BlockNodeClass *k = BLOCK_NODE_CLASS(klass);

    k->open = file_open;
    k->close = file_close;
    k->refresh = file_refresh;
    k->resize = file_resize;
    k->set_perm = file_set_perm;
    k->filename = file_filename;
    k->allocated = file_allocated;
    k->lifetime = file_device_lifetime;
    k->queue_size = sizeof(FileQueue);
    k->queue_open = file_queue_open;
    k->queue_close = file_queue_close;
    k->submit = file_submit;
    k->kick = file_kick;
    k->cancel = file_cancel;
    k->poll = file_poll;
}

static const char *const aio_words[] = {"auto", "io_uring", "threads", "native", NULL};
static const char *const lock_words[] = {"auto", "on", "off", NULL};

static const Property file_props[] = {
    PROP_STRING("filename", BlockFile, filename, NULL, "path of the file or device"),
    PROP_ENUM("aio", BlockFile, aio, aio_words, FILE_AIO_AUTO,
              "io_uring or threads; auto (and native): io_uring where the host permits it"),
    PROP_ENUM("locking", BlockFile, locking, lock_words, FILE_LOCK_AUTO,
              "lock the image; auto: where the file system can"),
    PROP_END,
};

const TypeInfo block_file_type = {
    .name = "block-file",
    .parent = &block_node_type,
    .instance_size = sizeof(BlockFile),
    .instance_init = file_init,
    .class_init = file_class_init,
    .props = file_props,
    .desc = "regular file",
};

const TypeInfo block_host_device_type = {
    .name = "block-host_device",
    .parent = &block_file_type,
    .desc = "block device of the host",
};
