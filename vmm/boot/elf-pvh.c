/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Uncompressed 64-bit ELF kernels entered by PVH (Xen's x86/HVM direct boot ABI,
 * docs/misc/pvh.pandoc): the ELF note XEN_ELFNOTE_PHYS32_ENTRY names a 32-bit entry point; ebx
 * points at an hvm_start_info of version 1. Segments go to their physical addresses. Relocation is
 * not done: such kernels run where they were linked.
 */
#include <elf.h>

#include "vmm/boot/boot-internal.h"

enum {
    PHDRS_MAX = 128,
    NOTES_MAX = 1 << 20,
    XEN_ELFNOTE_PHYS32_ENTRY = 18,
    PVH_CMDLINE_MAX = 2047, /* Linux's COMMAND_LINE_SIZE, less the terminator */
};

/* --- the start info, as the ABI lays it out --- */
typedef struct {
    Le32 magic, version, flags, nr_modules;
    Le64 modlist, cmdline, rsdp, memmap;
    Le32 memmap_entries, reserved;
} HvmStartInfo;

typedef struct {
    Le64 paddr, size, cmdline, reserved;
} HvmModule;

typedef struct {
    Le64 addr, size;
    Le32 type, reserved;
} HvmMemmap;

enum { HVM_START_MAGIC = 0x336ec578, HVM_START_VERSION = 1 };

bool elf_probe(const uint8_t *head, size_t len)
{
    return len >= SELFMAG && memcmp(head, ELFMAG, SELFMAG) == 0;
}

static const char *elf_machine_name(unsigned machine)
{
    switch (machine) {
    case EM_386:
        return "i386";
    case EM_AARCH64:
        return "aarch64";
    case EM_ARM:
        return "arm";
    case EM_RISCV:
        return "riscv";
    case EM_PPC64:
        return "ppc64";
    case EM_S390:
        return "s390";
    default:
        return "another machine";
    }
}

static bool check_ehdr(const BootFile *f, const Elf64_Ehdr *eh, GError **err)
{
    unsigned machine = le16toh(eh->e_machine); /* at the same offset in 32-bit files */

    if (eh->e_ident[EI_CLASS] == ELFCLASS32) {
        return boot_file_error(f, err, "32-bit ELF file; an x86_64 vmlinux or a bzImage is needed");
    }
    if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_VERSION] != EV_CURRENT) {
        return boot_file_error(f, err, "damaged ELF file: unknown class or version");
    }
    if (eh->e_ident[EI_DATA] != ELFDATA2LSB) {
        return boot_file_error(f, err,
                               "big-endian ELF file; an x86_64 vmlinux or a bzImage is needed");
    }
    if (machine != EM_X86_64) {
        return boot_file_error(f, err, "ELF file for %s (%u); an x86_64 kernel is needed",
                               elf_machine_name(machine), machine);
    }
    if (le16toh(eh->e_type) != ET_EXEC && le16toh(eh->e_type) != ET_DYN) {
        return boot_file_error(f, err, "ELF file of type %u is not a program; vmlinux is needed",
                               le16toh(eh->e_type));
    }
    if (!eh->e_phnum || le16toh(eh->e_phnum) > PHDRS_MAX ||
        le16toh(eh->e_phentsize) != sizeof(Elf64_Phdr)) {
        return boot_file_error(
            f, err, "damaged ELF file: %u program headers of %u bytes; 1 to %d of %zu are possible",
            le16toh(eh->e_phnum), le16toh(eh->e_phentsize), PHDRS_MAX, sizeof(Elf64_Phdr));
    }
    return true;
}

/* True when [off, off+len) lies in the file. */
static bool in_file(const BootFile *f, uint64_t off, uint64_t len)
{
    return off <= f->size && len <= f->size - off;
}

static bool add_segment(const BootFile *f, const Elf64_Phdr *ph, unsigned i, KernelImage *img,
                        GError **err)
{
    BootSegment seg = {
        .gpa = le64toh(ph->p_paddr),
        .mem_size = le64toh(ph->p_memsz),
        .file_off = le64toh(ph->p_offset),
        .file_size = le64toh(ph->p_filesz),
        .zero_rest = true,
    };

    if (!seg.mem_size && !seg.file_size) {
        return true;
    }
    if (seg.file_size > seg.mem_size) {
        return boot_file_error(
            f, err, "damaged ELF file: segment %u has more bytes in the file than in memory", i);
    }
    if (!in_file(f, seg.file_off, seg.file_size)) {
        return boot_file_error(
            f, err, "truncated ELF file: segment %u ends beyond the file's %" PRIu64 " bytes", i,
            f->size);
    }
    if (seg.gpa < KERNEL_MIN || seg.gpa > UINT32_MAX ||
        seg.mem_size > (UINT64_C(1) << 32) - seg.gpa) {
        return boot_file_error(f, err,
                               "segment %u at physical address 0x%" PRIx64 " (0x%" PRIx64
                               " bytes) is not between 1 MiB and 4 GiB; a kernel is linked there",
                               i, seg.gpa, seg.mem_size);
    }
    g_array_append_val(img->segments, seg);
    return true;
}

static int segment_compare(gconstpointer a, gconstpointer b)
{
    uint64_t ga = ((const BootSegment *)a)->gpa, gb = ((const BootSegment *)b)->gpa;

    return (ga > gb) - (ga < gb);
}

static bool check_segments(const BootFile *f, KernelImage *img, GError **err)
{
    uint64_t end = 0;

    if (!img->segments->len) {
        return boot_file_error(f, err, "ELF file with nothing to load; vmlinux is needed");
    }
    g_array_sort(img->segments, segment_compare);
    for (unsigned i = 0; i < img->segments->len; i++) {
        const BootSegment *s = &g_array_index(img->segments, BootSegment, i);

        if (s->gpa < end) {
            return boot_file_error(f, err, "damaged ELF file: segments overlap at 0x%" PRIx64,
                                   s->gpa);
        }
        end = s->gpa + s->mem_size;
    }
    return true;
}

/* Looks for the entry note in one PT_NOTE segment's bytes. Lengths are 32 bits, sums are done
 * in 64. */
static bool find_entry_note(const uint8_t *notes, uint64_t len, unsigned align, uint64_t *ret_entry)
{
    uint64_t at = 0;

    while (len - at >= sizeof(Elf64_Nhdr)) {
        uint64_t namesz = le_load(notes + at, 4), descsz = le_load(notes + at + 4, 4);
        uint64_t type = le_load(notes + at + 8, 4);
        uint64_t name = at + sizeof(Elf64_Nhdr);
        uint64_t desc = name + (namesz + align - 1) / align * align;
        uint64_t next = desc + (descsz + align - 1) / align * align;

        if (desc > len || descsz > len - desc) {
            return false;
        }
        if (type == XEN_ELFNOTE_PHYS32_ENTRY && namesz == 4 &&
            memcmp(notes + name, "Xen", 4) == 0 && (descsz == 4 || descsz == 8)) {
            *ret_entry = le_load(notes + desc, descsz);
            return true;
        }
        if (next > len) {
            return false;
        }
        at = next;
    }
    return false;
}

/* *ret_found says whether the segment has the note. */
static bool read_notes(const BootFile *f, const Elf64_Phdr *ph, unsigned i, bool *ret_found,
                       uint64_t *ret_entry, GError **err)
{
    uint64_t off = le64toh(ph->p_offset), len = le64toh(ph->p_filesz);
    g_autofree uint8_t *notes = NULL;

    if (!in_file(f, off, len)) {
        return boot_file_error(
            f, err,
            "truncated ELF file: notes (segment %u) end beyond the file's %" PRIu64 " bytes", i,
            f->size);
    }
    if (len > NOTES_MAX) {
        return boot_file_error(f, err, "damaged ELF file: %" PRIu64 " bytes of notes (segment %u)",
                               len, i);
    }
    notes = g_malloc(len + 1); /* never NULL */
    if (!boot_file_read(f, off, notes, len, err)) {
        return false;
    }
    *ret_found = find_entry_note(notes, len, le64toh(ph->p_align) == 8 ? 8 : 4, ret_entry);
    return true;
}

static bool check_entry(const BootFile *f, const KernelImage *img, GError **err)
{
    for (unsigned i = 0; i < img->segments->len; i++) {
        const BootSegment *s = &g_array_index(img->segments, BootSegment, i);

        if (img->entry >= s->gpa && img->entry - s->gpa < s->file_size) {
            return true;
        }
    }
    return boot_file_error(f, err,
                           "damaged ELF file: PVH entry 0x%" PRIx64 " lies outside of its segments",
                           img->entry);
}

static bool parse_phdrs(const BootFile *f, const Elf64_Phdr *ph, unsigned n, KernelImage *img,
                        GError **err)
{
    bool found = false;

    for (unsigned i = 0; i < n; i++) {
        uint32_t type = le32toh(ph[i].p_type);

        if (type == PT_LOAD && !add_segment(f, &ph[i], i, img, err)) {
            return false;
        }
        if (type == PT_NOTE && !found && !read_notes(f, &ph[i], i, &found, &img->entry, err)) {
            return false;
        }
    }
    if (!check_segments(f, img, err)) {
        return false;
    }
    if (!found) {
        return boot_file_error(
            f, err,
            "ELF file without a PVH entry note; a vmlinux built with CONFIG_PVH=y or a "
            "bzImage is needed");
    }
    return check_entry(f, img, err);
}

bool elf_pvh_parse(const BootFile *f, KernelImage *img, GError **err)
{
    Elf64_Ehdr eh;
    Elf64_Phdr ph[PHDRS_MAX];
    uint64_t phoff;
    unsigned n;

    if (f->size < sizeof eh) {
        return boot_file_error(f, err, "truncated ELF file: only %" PRIu64 " bytes", f->size);
    }
    if (!boot_file_read(f, 0, &eh, sizeof eh, err) || !check_ehdr(f, &eh, err)) {
        return false;
    }
    phoff = le64toh(eh.e_phoff);
    n = le16toh(eh.e_phnum);
    if (!in_file(f, phoff, n * sizeof *ph)) {
        return boot_file_error(
            f, err, "truncated ELF file: program headers end beyond the file's %" PRIu64 " bytes",
            f->size);
    }
    if (!boot_file_read(f, phoff, ph, n * sizeof *ph, err)) {
        return false;
    }
    img->mode = X86_START_PROTECTED32;
    img->initrd_end_max = UINT64_C(1) << 32;
    img->cmdline_max = PVH_CMDLINE_MAX;
    return parse_phdrs(f, ph, n, img, err);
}

bool pvh_write_start_info(GuestMemory *mem, const BootX86Layout *layout, InitrdPlace initrd)
{
    struct {
        HvmStartInfo info;
        HvmModule module;
        HvmMemmap map[E820_MAX];
    } page = {
        .info =
            {
                .magic = le32_make(HVM_START_MAGIC),
                .version = le32_make(HVM_START_VERSION),
                .cmdline = le64_make(LOW_CMDLINE),
                .rsdp = le64_make(layout->rsdp.v),
                .memmap = le64_make(LOW_START_INFO + sizeof(HvmStartInfo) + sizeof(HvmModule)),
                .memmap_entries = le32_make(layout->e820_count),
            },
    };

    if (initrd.size) {
        page.info.nr_modules = le32_make(1);
        page.info.modlist = le64_make(LOW_START_INFO + sizeof(HvmStartInfo));
        page.module.paddr = le64_make(initrd.gpa);
        page.module.size = le64_make(initrd.size);
    }
    for (unsigned i = 0; i < layout->e820_count; i++) {
        page.map[i].addr = le64_make(layout->e820[i].base.v);
        page.map[i].size = le64_make(layout->e820[i].size);
        page.map[i].type = le32_make(layout->e820[i].type);
    }
    return gmem_write(mem, GPA(LOW_START_INFO), &page, sizeof page);
}
