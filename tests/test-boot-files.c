/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The x86 boot loader: files that are no kernels, each with its error line, and mutated headers.
 */
#include <glib/gstdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "boot-fixture.h"

/* --- files that are no kernels --- */

START_TEST(files_that_cannot_be_read_are_named)
{
    new_fails(NULL, NULL, "-kernel kernel: cannot open: No such file or directory");
    ck_assert_int_eq(mkdir("kernel", 0700), 0);
    new_fails(NULL, NULL, "-kernel kernel: is a directory; a file is needed");
    g_rmdir("kernel");
    ck_assert_int_eq(mkfifo("kernel", 0600), 0);
    new_fails(NULL, NULL, "-kernel kernel: is not a regular file");
    g_remove("kernel");
    write_file("kernel", "", 0);
    new_fails(NULL, NULL, "-kernel kernel: is empty");
    write_kernel(make_bzimage);
    new_fails("initrd", NULL, "-initrd initrd: cannot open: No such file or directory");
    new_fails("/", NULL, "-initrd /: is a directory; a file is needed");
}
END_TEST

START_TEST(other_formats_are_told_apart)
{
    static const struct {
        unsigned off;
        const char *magic;
        const char *line;
    } rows[] = {
        {0, "hello", "neither a bzImage nor an uncompressed ELF vmlinux of x86_64"},
        {0, "\x1f\x8b\x08", "gzip-compressed file; unpack it first (gunzip), or give a bzImage"},
        {0,
         "\xfd"
         "7zXZ",
         "xz-compressed file; unpack it first (unxz), or give a bzImage"},
        {0, "\x28\xb5\x2f\xfd",
         "zstd-compressed file; unpack it first (unzstd), or give a bzImage"},
        {0, "070701",
         "cpio archive; it belongs to -initrd, -kernel is a bzImage or an x86_64 vmlinux"},
        {0, "MZ",
         "EFI program without a Linux setup header; a bzImage or an x86_64 vmlinux is needed"},
        {56, "ARMd", "arm64 Image; an x86_64 kernel is needed"},
        {0,
         "\x7f"
         "ELF",
         "32-bit ELF file; an x86_64 vmlinux or a bzImage is needed"},
        {0x202, "HdrS", "damaged bzImage: no 0xaa55 mark at the end of its first sector"},
    };

    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *line = g_strconcat("-kernel kernel: ", rows[i].line, NULL);
        uint8_t file[2048] = {[4] = ELFCLASS32};

        memcpy(file + rows[i].off, rows[i].magic, strlen(rows[i].magic));
        write_file("kernel", file, sizeof file);
        new_fails(NULL, NULL, line);
    }
    write_file("kernel", "x", 1);
    new_fails(NULL, NULL,
              "-kernel kernel: neither a bzImage nor an uncompressed ELF vmlinux of x86_64");
}
END_TEST

/* One change of a good kernel: a number stored over it, or its end cut off (size 0: off is the new
 * length). */
typedef struct {
    unsigned off, size;
    uint64_t value;
    const char *line;
} Damage;

static void check_damage(MakeKernel make, const Damage *d)
{
    g_autoptr(GByteArray) f = make();
    g_autofree char *line = g_strconcat("-kernel kernel: ", d->line, NULL);

    if (d->size) {
        le_store(f->data + d->off, d->value, d->size);
    }
    write_file("kernel", f->data, d->size ? f->len : d->off);
    new_fails(NULL, NULL, line);
}

static const Damage bz_damages[] = {
    {0x1fe, 2, 0, "damaged bzImage: no 0xaa55 mark at the end of its first sector"},
    {0x206, 2, 0x20b, "bzImage with boot protocol 2.11; 2.12 (Linux 3.8) or newer is needed"},
    {0x206, 2, 0, "bzImage with boot protocol 0.00; 2.12 (Linux 3.8) or newer is needed"},
    {0x211, 1, 0, "zImage that loads low; a bzImage is needed"},
    {0x236, 2, 2, "bzImage without a 64-bit entry; an x86_64 kernel is needed"},
    {0x201, 1, 0x10, "damaged bzImage: its setup header ends at 0x212"},
    {0x1f4, 4, 0xffffffff, "truncated bzImage: 14848 bytes, its header says 68719479280"},
    {0x1f4, 4, BZ_PAYLOAD / 16 + 1, "truncated bzImage: 14848 bytes, its header says 14864"},
    {0x1f4, 4, 0, "damaged bzImage: 0 bytes of kernel do not reach its 64-bit entry"},
    {0x1f4, 4, 0x20, "damaged bzImage: 512 bytes of kernel do not reach its 64-bit entry"},
    {0x1f1, 1, 0xff, "truncated bzImage: 14848 bytes, its header says 143360"},
    {0x258, 8, 0x8000, "damaged bzImage: load address 0x8000 is not between 1 MiB and 4 GiB"},
    {0x258, 8, UINT64_MAX,
     "damaged bzImage: load address 0xffffffffffffffff is not between 1 MiB and 4 GiB"},
    {1000, 0, 0, "truncated bzImage: only 1000 bytes"},
    {BZ_SETUP, 0, 0, "truncated bzImage: 2560 bytes, its header says 14848"},
    {BZ_SETUP + BZ_PAYLOAD - 16, 0, 0, "truncated bzImage: 14832 bytes, its header says 14848"},
};

START_TEST(damaged_bzimage_is_refused)
{
    check_damage(make_bzimage, &bz_damages[_i]);
}
END_TEST

#define EH(field)      offsetof(Elf64_Ehdr, field)
#define PHDR(i, field) (PH0 + (i)*PH + offsetof(Elf64_Phdr, field))

static const Damage elf_damages[] = {
    {EI_CLASS, 1, ELFCLASS32, "32-bit ELF file; an x86_64 vmlinux or a bzImage is needed"},
    {EI_CLASS, 1, 9, "damaged ELF file: unknown class or version"},
    {EI_VERSION, 1, 0, "damaged ELF file: unknown class or version"},
    {EI_DATA, 1, ELFDATA2MSB, "big-endian ELF file; an x86_64 vmlinux or a bzImage is needed"},
    {EH(e_machine), 2, EM_AARCH64, "ELF file for aarch64 (183); an x86_64 kernel is needed"},
    {EH(e_machine), 2, 9999, "ELF file for another machine (9999); an x86_64 kernel is needed"},
    {EH(e_type), 2, ET_REL, "ELF file of type 1 is not a program; vmlinux is needed"},
    {EH(e_phnum), 2, 0,
     "damaged ELF file: 0 program headers of 56 bytes; 1 to 128 of 56 are possible"},
    {EH(e_phnum), 2, 0xffff,
     "damaged ELF file: 65535 program headers of 56 bytes; 1 to 128 of 56 are possible"},
    {EH(e_phentsize), 2, 32,
     "damaged ELF file: 3 program headers of 32 bytes; 1 to 128 of 56 are possible"},
    {EH(e_phoff), 8, UINT64_MAX - 8,
     "truncated ELF file: program headers end beyond the file's 18432 bytes"},
    {40, 0, 0, "truncated ELF file: only 40 bytes"},
    {100, 0, 0, "truncated ELF file: program headers end beyond the file's 100 bytes"},
    {ELF_DATA_OFF + ELF_DATA_SIZE - 1, 0, 0,
     "truncated ELF file: segment 1 ends beyond the file's 18431 bytes"},
    {PHDR(0, p_offset), 8, UINT64_MAX - 16,
     "truncated ELF file: segment 0 ends beyond the file's 18432 bytes"},
    {PHDR(0, p_filesz), 8, UINT64_MAX,
     "damaged ELF file: segment 0 has more bytes in the file than in memory"},
    {PHDR(1, p_memsz), 8, 1,
     "damaged ELF file: segment 1 has more bytes in the file than in memory"},
    {PHDR(1, p_memsz), 8, UINT64_MAX,
     "segment 1 at physical address 0x1200000 (0xffffffffffffffff bytes) is not between 1 MiB and "
     "4 GiB; a kernel is "
     "linked there"},
    {PHDR(0, p_paddr), 8, 0x7000,
     "segment 0 at physical address 0x7000 (0x2345 bytes) is not between 1 MiB and 4 GiB; a kernel "
     "is linked there"},
    {PHDR(0, p_paddr), 8, UINT64_MAX - 16,
     "segment 0 at physical address 0xffffffffffffffef (0x2345 bytes) is not between 1 MiB and 4 "
     "GiB; a kernel is "
     "linked there"},
    {PHDR(1, p_paddr), 8, ELF_TEXT_PA + 0x2000, "damaged ELF file: segments overlap at 0x1002000"},
    {PHDR(1, p_paddr), 8, ELF_TEXT_PA - 0x1000, "damaged ELF file: segments overlap at 0x1000000"},
    {PHDR(2, p_type), 4, PT_NULL,
     "ELF file without a PVH entry note; a vmlinux built with CONFIG_PVH=y or a bzImage is needed"},
    {ELF_NOTES + 28 + 8, 4, 17,
     "ELF file without a PVH entry note; a vmlinux built with CONFIG_PVH=y or a bzImage is needed"},
    {ELF_NOTES, 4, UINT32_MAX,
     "ELF file without a PVH entry note; a vmlinux built with CONFIG_PVH=y or a bzImage is needed"},
    {ELF_NOTES + 28 + 4, 4, 5,
     "ELF file without a PVH entry note; a vmlinux built with CONFIG_PVH=y or a bzImage is needed"},
    {PHDR(2, p_filesz), 8, 47,
     "ELF file without a PVH entry note; a vmlinux built with CONFIG_PVH=y or a bzImage is needed"},
    {PHDR(2, p_filesz), 8, UINT64_MAX,
     "truncated ELF file: notes (segment 2) end beyond the file's 18432 bytes"},
    {ELF_NOTES + 44, 4, 0x1001, "damaged ELF file: PVH entry 0x1001 lies outside of its segments"},
    {ELF_NOTES + 44, 4, ELF_TEXT_PA + ELF_TEXT_SIZE,
     "damaged ELF file: PVH entry 0x1002345 lies outside of its segments"},
};

START_TEST(damaged_elf_is_refused)
{
    check_damage(make_elf, &elf_damages[_i]);
}
END_TEST

START_TEST(elf_without_segments_is_refused)
{
    g_autoptr(GByteArray) f = make_elf();

    le_store(f->data + PHDR(0, p_type), PT_NULL, 4);
    le_store(f->data + PHDR(1, p_type), PT_NULL, 4);
    write_file("kernel", f->data, f->len);
    new_fails(NULL, NULL, "-kernel kernel: ELF file with nothing to load; vmlinux is needed");
}
END_TEST

/* --- mutated headers: anything but a crash, and errors are one line --- */

static void mutate(GRand *r, GByteArray *f)
{
    static const uint64_t edges[] = {0,      1,          0x7f,       0xff,      0xfff,
                                     0xffff, 0x7fffffff, 0xffffffff, INT64_MAX, UINT64_MAX};
    static const struct {
        unsigned start, len;
    } areas[] = {{0, 0x100}, {0x1f0, 0x80}, {ELF_NOTES, ELF_NOTES_SIZE}};

    for (int n = g_rand_int_range(r, 1, 5); n > 0; n--) {
        unsigned a = g_rand_int_range(r, 0, G_N_ELEMENTS(areas)),
                 size = 1 << g_rand_int_range(r, 0, 4);
        unsigned off = areas[a].start + g_rand_int_range(r, 0, areas[a].len);
        uint64_t v = g_rand_boolean(r)
                         ? edges[g_rand_int_range(r, 0, G_N_ELEMENTS(edges))]
                         : le_load(f->data + off, size) ^ 1ull << g_rand_int_range(r, 0, size * 8);

        le_store(f->data + off, v, size);
    }
}

static bool try_kernel(Vm *vm)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BootX86) boot = boot_x86_new("kernel", "initrd", "quiet", &err);

    if (boot && boot_x86_load(boot, vm->mem, &vm->layout, &vm->cpu, &err)) {
        return true;
    }
    ck_assert_ptr_nonnull(err);
    ck_assert_msg(err->message[0] == '-' && !strchr(err->message, '\n'), "%s", err->message);
    return false;
}

START_TEST(mutated_headers_never_crash)
{
    g_autoptr(GByteArray) good = kernels[_i]();
    g_autoptr(GRand) r = g_rand_new_with_seed(20260101 + _i);
    unsigned loaded = 0;
    FILE *f = fopen("kernel", "w");
    Vm vm;

    write_initrd(3000);
    ck_assert_ptr_nonnull(f);
    vm_init(&vm, 24 * MIB);
    for (int i = 0; i < 10000; i++) {
        g_autoptr(GByteArray) bad = g_byte_array_sized_new(good->len);
        size_t len =
            g_rand_int_range(r, 0, 50) ? good->len : (size_t)g_rand_int_range(r, 0, good->len);

        g_byte_array_append(bad, good->data, good->len);
        mutate(r, bad);
        ck_assert_int_eq(ftruncate(fileno(f), len), 0);
        ck_assert_int_eq(pwrite(fileno(f), bad->data, len, 0), len);
        loaded += try_kernel(&vm);
    }
    fclose(f);
    ck_assert_uint_gt(loaded, 100); /* the mutations are not all fatal */
    vm_finish(&vm);
}
END_TEST

void add_file_tests(TCase *tc)
{
    tcase_add_test(tc, files_that_cannot_be_read_are_named);
    tcase_add_test(tc, other_formats_are_told_apart);
    tcase_add_loop_test(tc, damaged_bzimage_is_refused, 0, G_N_ELEMENTS(bz_damages));
    tcase_add_loop_test(tc, damaged_elf_is_refused, 0, G_N_ELEMENTS(elf_damages));
    tcase_add_test(tc, elf_without_segments_is_refused);
    tcase_add_loop_test(tc, mutated_headers_never_crash, 0, 2);
}
