/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Between the files of memory dumps.
 */
#ifndef AEROSTAT_VMM_DUMP_DUMP_INTERNAL_H
#define AEROSTAT_VMM_DUMP_DUMP_INTERNAL_H

#include "core/gmem-block.h"
#include "vmm/dump/guest-dump.h"

/* A part of a region; the block stays, whatever becomes of the region. */
typedef struct {
    uint64_t gpa, size;
    const uint8_t *host;
    GmemBlock *block; /* a reference */
} DumpRange;

/* What goes into the file: the header, then the ranges one after the other. */
typedef struct {
    GByteArray *header; /* ELF header, program headers, notes */
    GArray *ranges;     /* of DumpRange */
    uint64_t total;     /* bytes of all ranges */
} DumpImage;

/* --- dump-elf.c --- */

/* vCPUs are paused. False with err: a vCPU's registers cannot be read, or there is nothing to dump. */
bool dump_image_init(DumpImage *image, Machine *m, const GuestDumpSpec *spec, GError **err);
void dump_image_finish(DumpImage *image); /* zero is fine */

/* --- dump-write.c --- */

typedef struct {
    int fd;
    uint64_t done; /* atomic: bytes of memory written */
    int cancel;    /* atomic: give up */
} DumpWriter;

/* A new file, or one made empty; -1 with err. */
int guest_dump_open(const char *path, GError **err);

/* Writes it all; 0 or an errno, ECANCELED after cancel. Any thread. */
int dump_write(DumpWriter *w, const DumpImage *image);

#endif
