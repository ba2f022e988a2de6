/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Blocks of host memory for guest RAM.
 */
#include "core/gmem-block.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef MFD_HUGE_SHIFT
#define MFD_HUGE_SHIFT 26
#endif

#define HUGE_PAGE (2 * 1024 * 1024UL)

/* A file that peers may map, and that nobody can shrink under us. */
static int open_memfd(const GmemBlockSpec *spec, GError **err)
{
    unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
    int fd;

    if (spec->huge_page) {
        flags |= MFD_HUGETLB | (unsigned)__builtin_ctzll(spec->huge_page) << MFD_HUGE_SHIFT;
    }
    fd = memfd_create("aerostat-ram", flags);
    if (fd < 0) {
        error_set_errno(err, errno, "cannot create a memory file for guest RAM");
        return -1;
    }
    if (ftruncate(fd, (off_t)spec->size) < 0) {
        error_set_errno(err, errno, "cannot make a memory file of %" PRIu64 " MiB for guest RAM",
                        spec->size >> 20);
        close(fd);
        return -1;
    }
    if (!spec->no_seal) {
        (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    }
    return fd;
}

/* Large enough for us; a file that is larger stays as large. */
static bool size_file(int fd, const GmemBlockSpec *spec, GError **err)
{
    uint64_t end = spec->offset + spec->size;
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return error_set_errno(err, errno, "cannot look at %s", spec->path);
    }
    if (!S_ISREG(st.st_mode)) {
        return true; /* a device says at mmap what it has */
    }
    if ((uint64_t)st.st_size >= end) {
        return true;
    }
    if (spec->read_only_file || (st.st_size > 0 && !spec->offset)) {
        return error_set(err, "%s has %" PRIu64 " bytes, and %" PRIu64 " are wanted", spec->path,
                         (uint64_t)st.st_size, end);
    }
    return ftruncate(fd, (off_t)end) == 0 ||
           error_set_errno(err, errno, "cannot give %s a size of %" PRIu64 " bytes", spec->path,
                           end);
}

static int open_path(const GmemBlockSpec *spec, GError **err)
{
    int flags = O_CLOEXEC | (spec->read_only_file ? O_RDONLY : O_RDWR);
    int fd = open(spec->path, flags | (spec->read_only_file ? 0 : O_CREAT), 0644);

    if (fd < 0 && errno == EISDIR) {
        g_autofree char *name = g_strdup_printf("%s/aerostat-ram.XXXXXX", spec->path);

        fd = mkostemp(name, O_CLOEXEC);
        if (fd >= 0) {
            unlink(name);
        }
    }
    if (fd < 0) {
        error_set_errno(err, errno, "cannot open %s", spec->path);
        return -1;
    }
    if (!size_file(fd, spec, err)) {
        close(fd);
        return -1;
    }
    return fd;
}

static uint64_t page_size_of(int fd)
{
    struct statfs fs;

    if (fd >= 0 && fstatfs(fd, &fs) == 0 && fs.f_type == HUGETLBFS_MAGIC) {
        return (uint64_t)fs.f_bsize;
    }
    return (uint64_t)sysconf(_SC_PAGESIZE);
}

/* b->size bytes at a multiple of 2 MiB or the page: a larger reservation, mapped over in its middle
 * and trimmed. */
static bool map_block(GmemBlock *b, const GmemBlockSpec *spec, int fd, GError **err)
{
    uint64_t align = MAX(b->page_size, HUGE_PAGE), reserved = b->size + align;
    int flags = MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0) | (spec->share ? MAP_SHARED : MAP_PRIVATE);
    uint8_t *base, *host;

    base = mmap(NULL, reserved, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (base == MAP_FAILED) {
        return error_set_errno(err, errno, "cannot reserve %" PRIu64 " MiB for guest RAM",
                               b->size >> 20);
    }
    host = base + (-(uintptr_t)base & (align - 1));
    flags |= spec->no_reserve ? MAP_NORESERVE : 0;
    if (mmap(host, b->size, PROT_READ | PROT_WRITE, flags, fd, (off_t)spec->offset) == MAP_FAILED) {
        error_set_errno(err, errno, "cannot allocate %" PRIu64 " MiB of guest RAM%s", b->size >> 20,
                        b->page_size > HUGE_PAGE / 2 ? " in huge pages" : "");
        munmap(base, reserved);
        return false;
    }
    if (host > base) {
        munmap(base, (size_t)(host - base));
    }
    if (host + b->size < base + reserved) {
        munmap(host + b->size, (size_t)(base + reserved - (host + b->size)));
    }
    /* Both are advice: a kernel without huge pages or core dumps is as good. */
    (void)madvise(host, b->size, MADV_HUGEPAGE);
    (void)madvise(host, b->size, MADV_DONTDUMP);
    b->host = host;
    return true;
}

static bool check_sizes(const GmemBlock *b, const GmemBlockSpec *spec, GError **err)
{
    if (b->size % b->page_size || spec->offset % b->page_size) {
        return error_set(
            err, "size and offset must be multiples of the page size, %" PRIu64 " bytes here",
            b->page_size);
    }
    return true;
}

static int open_file(const GmemBlockSpec *spec, GError **err)
{
    return spec->path ? open_path(spec, err) : open_memfd(spec, err);
}

static GmemDiscard discard_of(const GmemBlockSpec *spec)
{
    if (spec->share) {
        return GMEM_DISCARD_PUNCH;
    }
    return spec->path ? GMEM_DISCARD_NONE : GMEM_DISCARD_ADVISE;
}

GmemBlock *gmem_block_new(const GmemBlockSpec *spec, GError **err)
{
    bool file = spec->path || spec->memfd || spec->share;
    int fd = file ? open_file(spec, err) : -1;
    GmemBlock *b;

    if (file && fd < 0) {
        return NULL;
    }
    b = g_new(GmemBlock, 1);
    *b = (GmemBlock){.refs = 1,
                     .size = spec->size,
                     .page_size = page_size_of(fd),
                     .fd = spec->share ? fd : -1,
                     .fd_offset = spec->offset,
                     .discard = discard_of(spec),
                     .keep = spec->path != NULL};
    if (!check_sizes(b, spec, err) || !map_block(b, spec, fd, err)) {
        g_clear_pointer(&b, g_free);
    }
    if (fd >= 0 && (!b || b->fd < 0)) { /* a mapping that nobody else sees keeps it */
        close(fd);
    }
    return b;
}

GmemBlock *gmem_block_ref(GmemBlock *b)
{
    g_atomic_int_inc(&b->refs);
    return b;
}

void gmem_block_unref(GmemBlock *b)
{
    if (b && g_atomic_int_dec_and_test(&b->refs)) {
        munmap(b->host, b->size);
        if (b->fd >= 0) {
            close(b->fd);
        }
        g_free(b);
    }
}

typedef struct {
    pthread_t thread;
    bool started; /* else it was done by the caller */
    uint8_t *from;
    size_t size;
    int error;
} PreallocPart;

static void *prealloc_part(void *opaque)
{
    PreallocPart *p = opaque;

    p->error = p->size > 0 && madvise(p->from, p->size, MADV_POPULATE_WRITE) < 0 ? errno : 0;
    return NULL;
}

/* Parts end where pages do, huge ones, too. The last one is the caller's, and those for which there
 * is no thread. */
bool gmem_block_prealloc(GmemBlock *b, unsigned threads, GError **err)
{
    uint64_t page = MAX(b->page_size, HUGE_PAGE), done = 0;
    uint64_t each = (b->size / threads + page) / page * page;
    g_autofree PreallocPart *parts = g_new0(PreallocPart, threads);
    int error = 0;

    for (unsigned i = 0; i < threads; i++) {
        PreallocPart *p = &parts[i];

        p->from = b->host + done;
        p->size = MIN(each, b->size - done);
        done += p->size;
        p->started = i + 1 < threads && pthread_create(&p->thread, NULL, prealloc_part, p) == 0;
        if (!p->started) {
            prealloc_part(p);
        }
    }
    for (unsigned i = 0; i < threads; i++) {
        if (parts[i].started) {
            pthread_join(parts[i].thread, NULL);
        }
        error = error ? error : parts[i].error;
    }
    return error == 0 ||
           error_set_errno(err, error, "cannot preallocate %" PRIu64 " MiB", b->size >> 20);
}
