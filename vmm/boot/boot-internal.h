/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the x86 boot loader share: the opened file, the kernel image as its format's reader (bzimage.c,
 * elf-pvh.c) describes it, and where the loader (boot-x86.c) puts its own data. Private to vmm/boot/.
 */
#ifndef AEROSTAT_VMM_BOOT_BOOT_INTERNAL_H
#define AEROSTAT_VMM_BOOT_BOOT_INTERNAL_H

#include <inttypes.h>

#include "core/le.h"
#include "vmm/boot/boot-x86.h"

/*
 * The loader's own data, all below 512 KiB; kernel and initrd lie at 1 MiB or above. The machine keeps ACPI tables
 * and reserved ranges out of 0x1000 to 0x7ffff.
 */
enum {
    LOW_GDT = 0x1000,
    LOW_START_INFO = 0x2000,  /* PVH: hvm_start_info, modules, memory map; one page */
    LOW_STACK_TOP = 0x6000,   /* grows down; neither protocol needs one, an early fault handler might */
    LOW_BOOT_PARAMS = 0x7000, /* 64-bit entry: the "zero page" */
    LOW_PAGE_TABLES = 0x8000, /* PML4, PDPT, 4 page directories */
    LOW_CMDLINE = 0x20000,
    LOW_CMDLINE_SIZE = 0x10000,
    LOW_END = 0x80000,
    KERNEL_MIN = 0x100000,
};

/* A regular file, open for reading. option is the command line option that named it. */
typedef struct {
    int fd;
    const char *option;
    char *path;
    uint64_t size;
} BootFile;

/* A piece of the kernel: file_size bytes of the file, then memory of which zero_rest says whether it is cleared. */
typedef struct {
    uint64_t gpa, mem_size;
    uint64_t file_off, file_size;
    bool zero_rest;
} BootSegment;

enum { SETUP_HEADER_START = 0x1f1, SETUP_HEADER_MAX = 0x290 - SETUP_HEADER_START };

typedef struct {
    X86StartMode mode;         /* LONG64: bzImage, PROTECTED32: PVH */
    GArray *segments;          /* of BootSegment, in order of address, apart from each other, at KERNEL_MIN or above */
    uint64_t entry;            /* inside a segment */
    uint64_t initrd_end_max;   /* the initrd ends at or below this address */
    uint32_t cmdline_max;      /* bytes without the terminator */
    uint8_t setup_header[SETUP_HEADER_MAX]; /* bzImage: from the file, offset SETUP_HEADER_START on */
    uint32_t setup_header_len;
} KernelImage;

/* Formats a line that begins with "OPTION FILE: "; always returns false. */
bool boot_file_error(const BootFile *f, GError **err, const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* pread of exactly len bytes; the caller has checked them against the file's size. */
bool boot_file_read(const BootFile *f, uint64_t off, void *dst, size_t len, GError **err);

/* True when the first `len` bytes of the file are of this format. */
bool bzimage_probe(const uint8_t *head, size_t len);
bool elf_probe(const uint8_t *head, size_t len);

/* Fill a zeroed *img (segments allocated) from headers that are checked against the file's size and each other. */
bool bzimage_parse(const BootFile *f, KernelImage *img, GError **err);
bool elf_pvh_parse(const BootFile *f, KernelImage *img, GError **err);

/* Where the initrd went; size 0: none. */
typedef struct {
    uint64_t gpa, size;
} InitrdPlace;

/* Write what the kernel reads at its entry: zero page and page tables, or start info. GDT and command line are in
 * place. False when low memory is not RAM. */
bool bzimage_write_params(const KernelImage *img, GuestMemory *mem, const BootX86Layout *layout,
                          InitrdPlace initrd) GMEM_CHECKED;
bool pvh_write_start_info(GuestMemory *mem, const BootX86Layout *layout, InitrdPlace initrd) GMEM_CHECKED;

#endif
