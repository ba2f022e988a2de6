/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See boot-fixture.h.
 */
#include <glib/gstdio.h>
#include <unistd.h>

#include "boot-fixture.h"

/* --- the machine --- */

void vm_init(Vm *vm, uint64_t ram)
{
    *vm = (Vm){
        .mem = gmem_new(),
        .e820 = {{GPA(0), 0x9fc00, E820_RAM},
                 {GPA(RSDP), 0x20000, E820_RESERVED},
                 {GPA(MIB), ram - MIB, E820_RAM}},
        .layout = {.e820_count = 3, .low_ram_size = ram, .rsdp = GPA(RSDP)},
    };
    vm->layout.e820 = vm->e820;
    ck_assert(gmem_add(vm->mem, GPA(0), ram, GMEM_ANONYMOUS, NULL));
}

void vm_finish(Vm *vm)
{
    gmem_free(vm->mem);
}

uint64_t peek(Vm *vm, uint64_t gpa, unsigned size)
{
    uint8_t bytes[8];

    ck_assert(gmem_read(vm->mem, GPA(gpa), bytes, size));
    return le_load(bytes, size);
}

void check_mem(Vm *vm, uint64_t gpa, const void *want, size_t len)
{
    g_autofree uint8_t *got = g_malloc(len);

    ck_assert(gmem_read(vm->mem, GPA(gpa), got, len));
    ck_assert_mem_eq(got, want, len);
}

void check_zero(Vm *vm, uint64_t gpa, size_t len)
{
    static const uint8_t zeros[0x20000];

    ck_assert_uint_le(len, sizeof zeros);
    check_mem(vm, gpa, zeros, len);
}

/* --- files, in a directory of the test's own: error lines name them "kernel" and "initrd" --- */

static char *test_dir, *old_dir;

void dir_setup(void)
{
    old_dir = g_get_current_dir();
    test_dir = g_dir_make_tmp("aerostat-boot-XXXXXX", NULL);
    ck_assert_ptr_nonnull(test_dir);
    ck_assert_int_eq(chdir(test_dir), 0);
}

void dir_teardown(void)
{
    g_remove("kernel");
    g_remove("initrd");
    ck_assert_int_eq(chdir(old_dir), 0);
    g_rmdir(test_dir);
    g_free(test_dir);
    g_free(old_dir);
}

void write_file(const char *name, const void *bytes, size_t len)
{
    ck_assert(g_file_set_contents(name, bytes, len, NULL));
}

static GByteArray *pattern(size_t len, uint32_t seed)
{
    GByteArray *a = g_byte_array_sized_new(len);

    g_byte_array_set_size(a, len);
    for (size_t i = 0; i < len; i++) {
        a->data[i] = (seed = seed * 1664525 + 1013904223) >> 24;
    }
    return a;
}

GByteArray *save_initrd(size_t len)
{
    GByteArray *a = pattern(len, 7);

    write_file("initrd", a->data, len);
    return a;
}

void write_initrd(size_t len)
{
    g_byte_array_unref(save_initrd(len));
}

/* --- kernels --- */

GByteArray *make_bzimage(void)
{
    GByteArray *f = pattern(BZ_SETUP + BZ_PAYLOAD, 1);
    uint8_t *h = f->data;

    memset(h, 0, BZ_SETUP);
    h[0x1f1] = BZ_SETUP / 512 - 1;
    le_store(h + 0x1f4, BZ_PAYLOAD / 16, 4);
    le_store(h + 0x1fe, 0xaa55, 2);
    h[0x200] = 0xeb;
    h[0x201] = 0x6a;
    le_store(h + 0x202, 0x53726448, 4); /* "HdrS" */
    le_store(h + 0x206, 0x20f, 2);
    h[0x211] = 1;                       /* loadflags: LOADED_HIGH */
    le_store(h + 0x22c, 0x7fffffff, 4); /* initrd_addr_max */
    le_store(h + 0x230, 0x200000, 4);   /* kernel_alignment */
    h[0x234] = 1;                       /* relocatable */
    le_store(h + 0x236, 3, 2);          /* xloadflags: KERNEL_64 and above 4 GiB */
    le_store(h + 0x238, 2047, 4);       /* cmdline_size */
    le_store(h + 0x250, 0x1234, 8);     /* setup_data: must not survive */
    le_store(h + 0x258, BZ_LOAD, 8);    /* pref_address */
    le_store(h + 0x260, BZ_INIT_SIZE, 4);
    return f;
}

static void put_phdr(GByteArray *f, unsigned i, Elf64_Phdr ph)
{
    memcpy(f->data + PH0 + i * PH, &ph, PH);
}

GByteArray *make_elf(void)
{
    static const char notes[44] =
        "\x06\0\0\0\x06\0\0\0\x01\0\0\0Linux\0\0\0hello\0\0\0" /* padded, before it */
        "\x04\0\0\0\x04\0\0\0\x12\0\0\0Xen";
    GByteArray *f = pattern(ELF_DATA_OFF + ELF_DATA_SIZE, 2);
    Elf64_Ehdr eh = {
        .e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_EXEC,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = PH0,
        .e_ehsize = PH0,
        .e_phentsize = PH,
        .e_phnum = 3,
    };
    uint8_t *n = f->data + ELF_NOTES;

    memcpy(f->data, &eh, sizeof eh);
    put_phdr(f, 0,
             (Elf64_Phdr){.p_type = PT_LOAD,
                          .p_offset = ELF_TEXT_OFF,
                          .p_paddr = ELF_TEXT_PA,
                          .p_filesz = ELF_TEXT_SIZE,
                          .p_memsz = ELF_TEXT_SIZE});
    put_phdr(f, 1,
             (Elf64_Phdr){.p_type = PT_LOAD,
                          .p_offset = ELF_DATA_OFF,
                          .p_paddr = ELF_DATA_PA,
                          .p_filesz = ELF_DATA_SIZE,
                          .p_memsz = ELF_DATA_SIZE + ELF_BSS});
    put_phdr(
        f, 2,
        (Elf64_Phdr){
            .p_type = PT_NOTE, .p_offset = ELF_NOTES, .p_filesz = ELF_NOTES_SIZE, .p_align = 4});
    memcpy(n, notes, sizeof notes);
    le_store(n + 44, ELF_ENTRY, 4);
    return f;
}

const MakeKernel kernels[2] = {make_bzimage, make_elf};

GByteArray *save_kernel(MakeKernel make)
{
    GByteArray *f = make();

    write_file("kernel", f->data, f->len);
    return f;
}

void write_kernel(MakeKernel make)
{
    g_byte_array_unref(save_kernel(make));
}

/* --- loading, good and bad --- */

void load(Vm *vm, const char *initrd, const char *cmdline)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BootX86) boot = boot_x86_new("kernel", initrd, cmdline, &err);

    ck_assert_msg(boot, "%s", err ? err->message : "");
    ck_assert_msg(boot_x86_load(boot, vm->mem, &vm->layout, &vm->cpu, &err), "%s",
                  err ? err->message : "");
}

void new_fails(const char *initrd, const char *cmdline, const char *line)
{
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(boot_x86_new("kernel", initrd, cmdline, &err));
    ck_assert_str_eq(err->message, line);
}

void load_fails(Vm *vm, const char *initrd, const char *line)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BootX86) boot = boot_x86_new("kernel", initrd, NULL, &err);
    X86CpuState cpu = {.rip = 42};

    ck_assert_msg(boot, "%s", err ? err->message : "");
    ck_assert(!boot_x86_load(boot, vm->mem, &vm->layout, &cpu, &err));
    ck_assert_str_eq(err->message, line);
    ck_assert_uint_eq(cpu.rip, 42);
}
