/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host memory that regions of guest RAM are made of: anonymous, a memfd, or a file; private or shared; in pages of
 * the host's usual size or of hugetlbfs. Counted references: a region holds one, so does who made it.
 */
#ifndef AEROSTAT_CORE_GMEM_BLOCK_H
#define AEROSTAT_CORE_GMEM_BLOCK_H

#include <sys/mman.h>

#include "core/gmem.h"

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

typedef struct {
    uint64_t size;        /* bytes */
    bool memfd;           /* a file of its own without a name */
    const char *path;     /* a file (made when it is not there), or a directory for one without a name; NULL: none */
    uint64_t offset;      /* in that file, of our memory; a multiple of the page size */
    uint64_t huge_page;   /* memfd: bytes of its pages, a power of 2; 0: usual ones */
    bool share;           /* others see what we write; without memfd and path: a nameless memfd */
    bool read_only_file;  /* a private mapping of a file that we may not write */
    bool no_reserve;      /* nothing is set aside */
    bool no_seal;         /* memfd: its size can be changed */
} GmemBlockSpec;

struct GmemBlock {
    int refs;             /* atomic */
    uint8_t *host;        /* at a multiple of page_size, of 2 MiB at least */
    uint64_t size, page_size;
    int fd;               /* -1: none, or none that shows what we write */
    uint64_t fd_offset;
    GmemDiscard discard;
    bool keep;            /* a file with a name keeps its bytes when the VM ends */
};

/* A new block of one reference; NULL with one line. */
GmemBlock *gmem_block_new(const GmemBlockSpec *spec, GError **err);
GmemBlock *gmem_block_ref(GmemBlock *b);
void gmem_block_unref(GmemBlock *b); /* NULL is fine; the last one unmaps it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GmemBlock, gmem_block_unref)

/* Makes all of it resident now, by so many threads. */
bool gmem_block_prealloc(GmemBlock *b, unsigned threads, GError **err);

/* [off, off+size) of the block as RAM at gpa; as gmem_add. */
bool gmem_add_block(GuestMemory *mem, Gpa gpa, GmemBlock *b, uint64_t off, uint64_t size, GError **err);
/* As gmem_add_split. */
bool gmem_add_block_split(GuestMemory *mem, GmemBlock *b, uint64_t low_size, Gpa high, uint64_t high_size,
                          GError **err);

#endif
