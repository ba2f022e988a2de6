/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * bzImage: the setup header's checks, and the zero page and page tables of the 64-bit entry (Linux
 * kernel, Documentation/arch/x86/boot.rst and zero-page.rst; offsets are those of struct
 * boot_params). The setup code itself is not run; setup_data, EFI and video fields stay empty.
 */
#include "vmm/boot/boot-internal.h"

/* Offsets in the file's first two sectors, and the same in the zero page. */
enum {
    ZP_ACPI_RSDP = 0x070,
    ZP_E820_ENTRIES = 0x1e8,
    HDR_SETUP_SECTS = 0x1f1,
    HDR_SYSSIZE = 0x1f4,
    HDR_VID_MODE = 0x1fa,
    HDR_BOOT_FLAG = 0x1fe,
    HDR_JUMP_OFFSET = 0x201,
    HDR_MAGIC = 0x202,
    HDR_VERSION = 0x206,
    HDR_TYPE_OF_LOADER = 0x210,
    HDR_LOADFLAGS = 0x211,
    HDR_CODE32_START = 0x214,
    HDR_RAMDISK_IMAGE = 0x218,
    HDR_RAMDISK_SIZE = 0x21c,
    HDR_CMD_LINE_PTR = 0x228,
    HDR_INITRD_ADDR_MAX = 0x22c,
    HDR_XLOADFLAGS = 0x236,
    HDR_CMDLINE_SIZE = 0x238,
    HDR_SETUP_DATA = 0x250,
    HDR_PREF_ADDRESS = 0x258,
    HDR_INIT_SIZE = 0x260,
    HDR_MIN_END = 0x264, /* what protocol 2.12 has at the least */
    ZP_E820_TABLE = 0x2d0,
    ZP_SIZE = 0x1000,
    E820_ENTRY_SIZE = 20,
};

enum {
    PROTOCOL_MIN = 0x20c,
    LOADED_HIGH = 1 << 0, /* loadflags */
    XLF_KERNEL_64 = 1 << 0,
    LOADER_UNDEFINED = 0xff,
    VID_MODE_NORMAL = 0xffff,
    ENTRY_64_OFFSET = 0x200,
    SECTOR = 512,
};

static const uint8_t hdr_magic[4] = {'H', 'd', 'r', 'S'};

bool bzimage_probe(const uint8_t *head, size_t len)
{
    return len >= HDR_VERSION && memcmp(head + HDR_MAGIC, hdr_magic, sizeof hdr_magic) == 0;
}

static bool check_protocol(const BootFile *f, const uint8_t *head, GError **err)
{
    unsigned version = le_load(head + HDR_VERSION, 2);

    if (le_load(head + HDR_BOOT_FLAG, 2) != 0xaa55) {
        return boot_file_error(f, err,
                               "damaged bzImage: no 0xaa55 mark at the end of its first sector");
    }
    if (version < PROTOCOL_MIN) {
        return boot_file_error(
            f, err, "bzImage with boot protocol %u.%02u; 2.12 (Linux 3.8) or newer is needed",
            version >> 8, version & 0xff);
    }
    if (!(head[HDR_LOADFLAGS] & LOADED_HIGH)) {
        return boot_file_error(f, err, "zImage that loads low; a bzImage is needed");
    }
    if (!(le_load(head + HDR_XLOADFLAGS, 2) & XLF_KERNEL_64)) {
        return boot_file_error(f, err,
                               "bzImage without a 64-bit entry; an x86_64 kernel is needed");
    }
    return true;
}

/* The part of the file after the setup sectors goes to pref_address and may use init_size bytes
 * there. */
static bool parse_payload(const BootFile *f, const uint8_t *head, KernelImage *img, GError **err)
{
    uint64_t sects = head[HDR_SETUP_SECTS] ? head[HDR_SETUP_SECTS] : 4;
    uint64_t off = (sects + 1) * SECTOR;
    uint64_t size = le_load(head + HDR_SYSSIZE, 4) *
                    16; /* counted in paragraphs: the file may end up to 15 early */
    uint64_t load = le_load(head + HDR_PREF_ADDRESS, 8);
    uint64_t init_size = le_load(head + HDR_INIT_SIZE, 4);

    if (off >= f->size || f->size - off + 15 < size) {
        return boot_file_error(f, err,
                               "truncated bzImage: %" PRIu64 " bytes, its header says %" PRIu64,
                               f->size, off + size);
    }
    size = MIN(size, f->size - off);
    if (size <= ENTRY_64_OFFSET) {
        return boot_file_error(
            f, err, "damaged bzImage: %" PRIu64 " bytes of kernel do not reach its 64-bit entry",
            size);
    }
    if (!load) {
        load = KERNEL_MIN;
    }
    if (load < KERNEL_MIN || load > UINT32_MAX) {
        return boot_file_error(
            f, err, "damaged bzImage: load address 0x%" PRIx64 " is not between 1 MiB and 4 GiB",
            load);
    }
    g_array_append_val(
        img->segments,
        ((BootSegment){
            .gpa = load, .mem_size = MAX(size, init_size), .file_off = off, .file_size = size}));
    img->entry = load + ENTRY_64_OFFSET;
    return true;
}

bool bzimage_parse(const BootFile *f, KernelImage *img, GError **err)
{
    uint8_t head[2 * SECTOR];
    uint32_t end;

    if (f->size < sizeof head) {
        return boot_file_error(f, err, "truncated bzImage: only %" PRIu64 " bytes", f->size);
    }
    if (!boot_file_read(f, 0, head, sizeof head, err) || !check_protocol(f, head, err)) {
        return false;
    }
    end = HDR_MAGIC + head[HDR_JUMP_OFFSET]; /* the jump over the header gives its length */
    if (end < HDR_MIN_END) {
        return boot_file_error(f, err, "damaged bzImage: its setup header ends at 0x%x", end);
    }
    if (!parse_payload(f, head, img, err)) {
        return false;
    }
    img->mode = X86_START_LONG64;
    img->initrd_end_max = le_load(head + HDR_INITRD_ADDR_MAX, 4) + 1;
    img->cmdline_max = MIN(le_load(head + HDR_CMDLINE_SIZE, 4), LOW_CMDLINE_SIZE - 1);
    img->setup_header_len = MIN(end - SETUP_HEADER_START, SETUP_HEADER_MAX);
    memcpy(img->setup_header, head + SETUP_HEADER_START, img->setup_header_len);
    return true;
}

/* Identity mapping of the first 4 GiB in 2 MiB pages: PML4, PDPT, four page directories in a row.
 */
static bool write_page_tables(GuestMemory *mem)
{
    enum { PRESENT_RW = 3, LARGE = 1 << 7, DIRS = 4 };
    Le64 tables[2 + DIRS][512] = {0};

    tables[0][0] = le64_make((LOW_PAGE_TABLES + 0x1000) | PRESENT_RW);
    for (unsigned d = 0; d < DIRS; d++) {
        tables[1][d] = le64_make((LOW_PAGE_TABLES + 0x2000 + d * 0x1000) | PRESENT_RW);
        for (uint64_t i = 0; i < 512; i++) {
            tables[2 + d][i] = le64_make((d * 512 + i) << 21 | LARGE | PRESENT_RW);
        }
    }
    return gmem_write(mem, GPA(LOW_PAGE_TABLES), tables, sizeof tables);
}

bool bzimage_write_params(const KernelImage *img, GuestMemory *mem, const BootX86Layout *layout,
                          InitrdPlace initrd)
{
    uint8_t zp[ZP_SIZE] = {0};

    memcpy(zp + SETUP_HEADER_START, img->setup_header, img->setup_header_len);
    le_store(zp + ZP_ACPI_RSDP, layout->rsdp.v, 8);
    le_store(zp + HDR_VID_MODE, VID_MODE_NORMAL, 2);
    zp[HDR_TYPE_OF_LOADER] = LOADER_UNDEFINED;
    le_store(zp + HDR_CODE32_START, g_array_index(img->segments, BootSegment, 0).gpa, 4);
    le_store(zp + HDR_RAMDISK_IMAGE, initrd.gpa, 4);
    le_store(zp + HDR_RAMDISK_SIZE, initrd.size, 4);
    le_store(zp + HDR_CMD_LINE_PTR, LOW_CMDLINE, 4);
    le_store(zp + HDR_SETUP_DATA, 0, 8);
    zp[ZP_E820_ENTRIES] = layout->e820_count;
    for (unsigned i = 0; i < layout->e820_count; i++) {
        uint8_t *e = zp + ZP_E820_TABLE + i * E820_ENTRY_SIZE;

        le_store(e, layout->e820[i].base.v, 8);
        le_store(e + 8, layout->e820[i].size, 8);
        le_store(e + 16, layout->e820[i].type, 4);
    }
    return gmem_write(mem, GPA(LOW_BOOT_PARAMS), zp, sizeof zp) && write_page_tables(mem);
}
