/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The x86 boot loader: guest memory and start state after loading, placing, and loading again.
 * Files that are no kernels are in test-boot-files.c.
 */
#include <glib/gstdio.h>
#include <unistd.h>

#include "boot-fixture.h"
#include "tests/suite.h"

/* --- bzImage --- */

static uint64_t translate(Vm *vm, uint64_t va)
{
    uint64_t e = vm->cpu.page_table.v;

    for (int shift = 39; shift >= 21; shift -= 9) {
        e = peek(vm, (e & ~UINT64_C(0xfff)) + (va >> shift & 511) * 8, 8);
        if ((e & 3) != 3) {
            return UINT64_MAX;
        }
        if (e & 0x80) {
            return (e & ~(uint64_t)0x1fff & ~((UINT64_C(1) << shift) - 1)) |
                   (va & ((UINT64_C(1) << shift) - 1));
        }
    }
    return UINT64_MAX;
}

START_TEST(bzimage_starts_at_the_64_bit_entry_with_paging_on)
{
    g_autoptr(GByteArray) f = save_kernel(make_bzimage);
    static const uint64_t addresses[] = {0, 0x7123, 0x1000200, 0x7fffffff, 0xfee00020, 0xffffffff};
    Vm vm;

    vm_init(&vm, 64 * MIB);
    load(&vm, NULL, "quiet");
    ck_assert_int_eq(vm.cpu.mode, X86_START_LONG64);
    ck_assert_uint_eq(vm.cpu.rip, BZ_LOAD + 0x200);
    check_mem(&vm, BZ_LOAD, f->data + BZ_SETUP, BZ_PAYLOAD);
    for (size_t i = 0; i < G_N_ELEMENTS(addresses); i++) {
        ck_assert_uint_eq(translate(&vm, addresses[i]), addresses[i]);
    }
    ck_assert_uint_eq(translate(&vm, UINT64_C(1) << 32), UINT64_MAX);
    ck_assert_uint_ge(vm.cpu.gdt_limit, vm.cpu.data_selector | 7);
    ck_assert_uint_eq(peek(&vm, vm.cpu.gdt.v + vm.cpu.code_selector, 8),
                      UINT64_C(0x00af9b000000ffff));
    ck_assert_uint_eq(peek(&vm, vm.cpu.gdt.v + vm.cpu.data_selector, 8),
                      UINT64_C(0x00cf93000000ffff));
    vm_finish(&vm);
}
END_TEST

START_TEST(bzimage_zero_page_has_map_cmdline_initrd_and_rsdp)
{
    g_autoptr(GByteArray) initrd = save_initrd(12345);
    uint64_t zp;
    Vm vm;

    write_kernel(make_bzimage);
    vm_init(&vm, 64 * MIB);
    load(&vm, "initrd", "console=ttyS0 quiet");
    zp = vm.cpu.rsi;
    ck_assert_uint_eq(peek(&vm, zp + 0x070, 8), RSDP);
    ck_assert_uint_eq(peek(&vm, zp + 0x1e8, 1), 3);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(peek(&vm, zp + 0x2d0 + 20 * i, 8), vm.e820[i].base.v);
        ck_assert_uint_eq(peek(&vm, zp + 0x2d8 + 20 * i, 8), vm.e820[i].size);
        ck_assert_uint_eq(peek(&vm, zp + 0x2e0 + 20 * i, 4), vm.e820[i].type);
    }
    ck_assert_uint_eq(peek(&vm, zp + 0x1fa, 2), 0xffff);
    ck_assert_uint_eq(peek(&vm, zp + 0x202, 4), 0x53726448); /* the header came along */
    ck_assert_uint_eq(peek(&vm, zp + 0x210, 1), 0xff);
    ck_assert_uint_eq(peek(&vm, zp + 0x250, 8), 0);
    ck_assert_uint_eq(peek(&vm, zp + 0x260, 4), BZ_INIT_SIZE);
    check_zero(&vm, zp + 0x26c, 0x2d0 - 0x26c);
    check_mem(&vm, peek(&vm, zp + 0x228, 4), "console=ttyS0 quiet", 20);
    ck_assert_uint_eq(peek(&vm, zp + 0x21c, 4), 12345);
    ck_assert_uint_eq(peek(&vm, zp + 0x218, 4),
                      64 * MIB - 4 * 4096); /* as high as whole pages go */
    check_mem(&vm, peek(&vm, zp + 0x218, 4), initrd->data, initrd->len);
    vm_finish(&vm);
}
END_TEST

START_TEST(bzimage_initrd_stays_below_the_kernels_limit)
{
    g_autoptr(GByteArray) f = make_bzimage();
    Vm vm;

    write_initrd(4097);
    le_store(f->data + 0x22c, 0x1ffffff, 4);
    write_file("kernel", f->data, f->len);
    vm_init(&vm, 64 * MIB);
    load(&vm, "initrd", NULL);
    ck_assert_uint_eq(peek(&vm, vm.cpu.rsi + 0x218, 4), 0x2000000 - 0x2000);
    vm_finish(&vm);
}
END_TEST

START_TEST(bzimage_without_preferred_address_loads_at_1_mib)
{
    g_autoptr(GByteArray) f = make_bzimage();
    Vm vm;

    le_store(f->data + 0x258, 0, 8);
    f->data[0x1f1] = 0; /* means 4 */
    write_file("kernel", f->data, f->len);
    vm_init(&vm, 4 * MIB);
    load(&vm, NULL, NULL);
    ck_assert_uint_eq(vm.cpu.rip, MIB + 0x200);
    check_mem(&vm, MIB, f->data + BZ_SETUP, BZ_PAYLOAD);
    vm_finish(&vm);
}
END_TEST

/* --- ELF --- */

START_TEST(elf_starts_at_the_pvh_entry_with_paging_off)
{
    g_autoptr(GByteArray) f = save_kernel(make_elf);
    Vm vm;

    vm_init(&vm, 64 * MIB);
    load(&vm, NULL, NULL);
    ck_assert_int_eq(vm.cpu.mode, X86_START_PROTECTED32);
    ck_assert_uint_eq(vm.cpu.rip, ELF_ENTRY);
    check_mem(&vm, ELF_TEXT_PA, f->data + ELF_TEXT_OFF, ELF_TEXT_SIZE);
    check_mem(&vm, ELF_DATA_PA, f->data + ELF_DATA_OFF, ELF_DATA_SIZE);
    ck_assert_uint_eq(peek(&vm, vm.cpu.gdt.v + vm.cpu.code_selector, 8),
                      UINT64_C(0x00cf9b000000ffff));
    ck_assert_uint_eq(peek(&vm, vm.cpu.gdt.v + vm.cpu.data_selector, 8),
                      UINT64_C(0x00cf93000000ffff));
    vm_finish(&vm);
}
END_TEST

START_TEST(elf_start_info_has_map_cmdline_initrd_and_rsdp)
{
    g_autoptr(GByteArray) initrd = save_initrd(MIB + 1);
    uint64_t si, mod, map;
    Vm vm;

    write_kernel(make_elf);
    vm_init(&vm, 64 * MIB);
    load(&vm, "initrd", "panic=-1");
    si = vm.cpu.rbx;
    ck_assert_uint_eq(peek(&vm, si, 4), 0x336ec578);
    ck_assert_uint_eq(peek(&vm, si + 4, 4), 1);
    ck_assert_uint_eq(peek(&vm, si + 12, 4), 1);
    mod = peek(&vm, si + 16, 8);
    check_mem(&vm, peek(&vm, si + 24, 8), "panic=-1", 9);
    ck_assert_uint_eq(peek(&vm, si + 32, 8), RSDP);
    map = peek(&vm, si + 40, 8);
    ck_assert_uint_eq(peek(&vm, si + 48, 4), 3);
    ck_assert_uint_eq(peek(&vm, mod, 8), 64 * MIB - 257 * 4096);
    ck_assert_uint_eq(peek(&vm, mod + 8, 8), MIB + 1);
    check_mem(&vm, peek(&vm, mod, 8), initrd->data, initrd->len);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert_uint_eq(peek(&vm, map + 24 * i, 8), vm.e820[i].base.v);
        ck_assert_uint_eq(peek(&vm, map + 24 * i + 8, 8), vm.e820[i].size);
        ck_assert_uint_eq(peek(&vm, map + 24 * i + 16, 8), vm.e820[i].type);
    }
    load(&vm, NULL, NULL);
    ck_assert_uint_eq(peek(&vm, si + 12, 4), 0);
    ck_assert_uint_eq(peek(&vm, si + 16, 8), 0);
    vm_finish(&vm);
}
END_TEST

START_TEST(elf_bss_is_cleared_in_ram_that_holds_old_data)
{
    Vm vm;

    write_kernel(make_elf);
    vm_init(&vm, 32 * MIB);
    ck_assert(gmem_set(vm.mem, GPA(0), 0xa5, 32 * MIB));
    load(&vm, NULL, NULL);
    check_zero(&vm, ELF_DATA_PA + ELF_DATA_SIZE, ELF_BSS);
    ck_assert_uint_eq(peek(&vm, ELF_DATA_PA + ELF_DATA_SIZE + ELF_BSS, 1),
                      0xa5); /* and not a byte more */
    vm_finish(&vm);
}
END_TEST

START_TEST(elf_entry_note_may_have_8_bytes)
{
    g_autoptr(GByteArray) f = make_elf();
    Vm vm;

    f->data[ELF_NOTES + 28 + 4] = 8;
    le_store(f->data + ELF_NOTES + 44, ELF_ENTRY + 4, 8);
    le_store(f->data + PH0 + 2 * PH + offsetof(Elf64_Phdr, p_filesz), ELF_NOTES_SIZE + 4, 8);
    write_file("kernel", f->data, f->len);
    vm_init(&vm, 32 * MIB);
    load(&vm, NULL, NULL);
    ck_assert_uint_eq(vm.cpu.rip, ELF_ENTRY + 4);
    vm_finish(&vm);
}
END_TEST

/* --- both --- */

START_TEST(loading_again_gives_the_same_memory)
{
    static const struct {
        uint64_t gpa;
        size_t len;
    } written[] = {{0x1000, 40},
                   {0x7000, 0x1000},
                   {0x8000, 0x6000},
                   {0x20000, 6},
                   {0x1000000, 0x2345},
                   {0x1200000, 0x800 + 0x12345},
                   {32 * MIB - 0x2000, 5000}};
    g_autoptr(BootX86) boot = NULL;
    X86CpuState first, second;
    Vm a, b;

    write_kernel(kernels[_i]);
    write_initrd(5000);
    boot = boot_x86_new("kernel", "initrd", "quiet", NULL);
    vm_init(&a, 32 * MIB);
    vm_init(&b, 32 * MIB);
    ck_assert(boot_x86_load(boot, a.mem, &a.layout, &first, NULL));
    g_remove("kernel"); /* the opened file stays */
    g_remove("initrd");
    ck_assert(boot_x86_load(boot, b.mem, &b.layout, &second, NULL));
    ck_assert(gmem_set(b.mem, GPA(0), 0xff, 32 * MIB));
    ck_assert(boot_x86_load(boot, b.mem, &b.layout, &second, NULL));
    ck_assert_uint_eq(first.rip, second.rip);
    ck_assert_uint_eq(first.rsi, second.rsi);
    ck_assert_uint_eq(first.rbx, second.rbx);
    for (size_t i = 0; i < G_N_ELEMENTS(written); i++) {
        g_autofree uint8_t *bytes = g_malloc(written[i].len);

        if (_i == 0 ? written[i].gpa == 0x1200000
                    : written[i].gpa == 0x7000 || written[i].gpa == 0x8000) {
            continue; /* only the other kind has it */
        }
        ck_assert(gmem_read(a.mem, GPA(written[i].gpa), bytes, written[i].len));
        check_mem(&b, written[i].gpa, bytes, written[i].len);
    }
    vm_finish(&a);
    vm_finish(&b);
}
END_TEST

START_TEST(file_that_became_shorter_is_an_error_on_loading)
{
    g_autoptr(BootX86) boot = NULL;
    g_autoptr(GError) err = NULL, err2 = NULL;
    Vm vm;

    write_kernel(kernels[_i]);
    write_initrd(5000);
    boot = boot_x86_new("kernel", "initrd", NULL, NULL);
    vm_init(&vm, 32 * MIB);
    ck_assert_int_eq(truncate("initrd", 4000), 0);
    ck_assert(!boot_x86_load(boot, vm.mem, &vm.layout, &vm.cpu, &err));
    ck_assert(g_str_has_prefix(err->message, "-initrd initrd: "));
    ck_assert_int_eq(truncate("kernel", 0x1010), 0);
    ck_assert(!boot_x86_load(boot, vm.mem, &vm.layout, &vm.cpu, &err2));
    ck_assert(g_str_has_prefix(err2->message, "-kernel kernel: "));
    vm_finish(&vm);
}
END_TEST

START_TEST(initrd_uses_only_ram_of_the_memory_map)
{
    g_autoptr(GByteArray) initrd = save_initrd(8192);
    Vm vm;

    write_kernel(kernels[_i]);
    vm_init(&vm, 64 * MIB);
    vm.e820[2].size =
        63 * MIB - 0x10000 - 8; /* its last 64 KiB are tables', and its end is not a page's */
    vm.e820[3] = (E820Entry){GPA(64 * MIB - 0x10000), 0x10000, E820_ACPI};
    vm.layout.e820_count = 4;
    load(&vm, "initrd", NULL);
    check_mem(&vm, 64 * MIB - 0x10000 - 0x3000, initrd->data, initrd->len);
    check_zero(&vm, 64 * MIB - 0x10000, 0x10000);
    vm_finish(&vm);
}
END_TEST

START_TEST(initrd_may_fill_memory_to_the_last_page)
{
    g_autoptr(GByteArray) f = save_kernel(kernels[_i]);
    uint64_t kernel_end = _i == 0 ? BZ_LOAD + BZ_INIT_SIZE : ELF_DATA_PA + ELF_DATA_SIZE + ELF_BSS;
    uint64_t room = 20 * MIB - ((kernel_end + 4095) & ~UINT64_C(4095));
    g_autoptr(GByteArray) initrd = save_initrd(room);
    g_autofree char *line = g_strdup_printf("-initrd initrd: its %d MiB do not fit above the "
                                            "kernel, which ends at %d MiB, in 20 MiB of "
                                            "RAM; give the guest more with -m",
                                            _i == 0 ? 4 : 2, _i == 0 ? 17 : 19);
    Vm vm;

    vm_init(&vm, 20 * MIB);
    load(&vm, "initrd", NULL);
    check_mem(&vm, 20 * MIB - room, initrd->data, room);
    check_mem(&vm, ELF_TEXT_PA, f->data + (_i == 0 ? BZ_SETUP : ELF_TEXT_OFF), 0x2000);
    g_byte_array_set_size(initrd, room + 1);
    initrd->data[room] = 0;
    write_file("initrd", initrd->data, room + 1);
    load_fails(&vm, "initrd", line);
    vm_finish(&vm);
}
END_TEST

START_TEST(initrd_larger_than_memory_is_refused)
{
    Vm vm;

    write_kernel(kernels[_i]);
    write_file("initrd", "", 0);
    ck_assert_int_eq(truncate("initrd", 0), 0);
    new_fails("initrd", NULL, "-initrd initrd: is empty");
    ck_assert_int_eq(truncate("initrd", INT64_C(5) << 30), 0); /* sparse */
    vm_init(&vm, 32 * MIB);
    load_fails(&vm, "initrd",
               _i == 0 ? "-initrd initrd: its 5120 MiB do not fit above the kernel, which ends at "
                         "17 MiB, in 32 MiB of "
                         "RAM; give the guest more with -m"
                       : "-initrd initrd: its 5120 MiB do not fit above the kernel, which ends at "
                         "19 MiB, in 32 MiB of "
                         "RAM; give the guest more with -m");
    vm_finish(&vm);
}
END_TEST

START_TEST(kernel_needs_all_of_its_memory)
{
    Vm vm;

    write_kernel(kernels[_i]);
    vm_init(&vm, 17 * MIB - 0x1000);
    load_fails(&vm, NULL,
               _i == 0 ? "-kernel kernel: needs RAM up to 17 MiB, the guest has 16 MiB below 4 "
                         "GiB; give it more with -m"
                       : "-kernel kernel: needs RAM up to 19 MiB, the guest has 16 MiB below 4 "
                         "GiB; give it more with "
                         "-m");
    vm_finish(&vm);
    vm_init(&vm, 64 * MIB); /* reserved memory in its place */
    vm.e820[2] = (E820Entry){GPA(MIB), 14 * MIB, E820_RAM};
    vm.e820[3] = (E820Entry){GPA(18 * MIB + 0x1000), 40 * MIB, E820_RAM};
    vm.layout.e820_count = 4;
    load_fails(&vm, NULL,
               _i == 0 ? "-kernel kernel: needs RAM up to 17 MiB, the guest has 64 MiB below 4 "
                         "GiB; give it more with -m"
                       : "-kernel kernel: needs RAM up to 19 MiB, the guest has 64 MiB below 4 "
                         "GiB; give it more with "
                         "-m");
    vm_finish(&vm);
}
END_TEST

START_TEST(low_memory_must_be_ram)
{
    Vm vm;

    write_kernel(kernels[_i]);
    vm_init(&vm, 32 * MIB);
    gmem_free(vm.mem);
    vm.mem = gmem_new();
    ck_assert(gmem_add(vm.mem, GPA(MIB), 31 * MIB, GMEM_ANONYMOUS, NULL));
    load_fails(&vm, NULL, "-m: the first 512 KiB of guest memory must be RAM to start a kernel");
    vm_finish(&vm);
}
END_TEST

START_TEST(cmdline_may_be_as_long_as_the_kernel_takes)
{
    g_autofree char *text = g_strnfill(2048, 'x');
    Vm vm;

    write_kernel(kernels[_i]);
    new_fails(NULL, text, "-append: the command line has 2048 bytes; kernel takes at most 2047");
    text[2047] = '\0';
    vm_init(&vm, 32 * MIB);
    load(&vm, NULL, text);
    check_mem(&vm, 0x20000, text, 2048);
    load(&vm, NULL, NULL);
    ck_assert_uint_eq(peek(&vm, 0x20000, 1), 0);
    vm_finish(&vm);
}
END_TEST

static void add_load_tests(TCase *tc)
{
    tcase_add_test(tc, bzimage_starts_at_the_64_bit_entry_with_paging_on);
    tcase_add_test(tc, bzimage_zero_page_has_map_cmdline_initrd_and_rsdp);
    tcase_add_test(tc, bzimage_initrd_stays_below_the_kernels_limit);
    tcase_add_test(tc, bzimage_without_preferred_address_loads_at_1_mib);
    tcase_add_test(tc, elf_starts_at_the_pvh_entry_with_paging_off);
    tcase_add_test(tc, elf_start_info_has_map_cmdline_initrd_and_rsdp);
    tcase_add_test(tc, elf_bss_is_cleared_in_ram_that_holds_old_data);
    tcase_add_test(tc, elf_entry_note_may_have_8_bytes);
    tcase_add_loop_test(tc, loading_again_gives_the_same_memory, 0, 2);
    tcase_add_loop_test(tc, file_that_became_shorter_is_an_error_on_loading, 0, 2);
    tcase_add_loop_test(tc, initrd_uses_only_ram_of_the_memory_map, 0, 2);
    tcase_add_loop_test(tc, initrd_may_fill_memory_to_the_last_page, 0, 2);
    tcase_add_loop_test(tc, initrd_larger_than_memory_is_refused, 0, 2);
    tcase_add_loop_test(tc, kernel_needs_all_of_its_memory, 0, 2);
    tcase_add_loop_test(tc, low_memory_must_be_ram, 0, 2);
    tcase_add_loop_test(tc, cmdline_may_be_as_long_as_the_kernel_takes, 0, 2);
}

int main(void)
{
    Suite *s = suite_create("boot");
    TCase *tc = tcase_create("boot-x86");

    tcase_add_checked_fixture(tc, dir_setup, dir_teardown);
    add_load_tests(tc);
    add_file_tests(tc);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
