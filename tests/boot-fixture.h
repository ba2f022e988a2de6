/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the boot loader's tests: a machine's memory, and kernels that the test makes itself, a bzImage (Linux boot
 * protocol 2.15) and an ELF file with a PVH note. Failures end the test.
 */
#ifndef AEROSTAT_TESTS_BOOT_FIXTURE_H
#define AEROSTAT_TESTS_BOOT_FIXTURE_H

#include <check.h>
#include <elf.h>

#include "core/le.h"
#include "vmm/boot/boot-x86.h"

enum { MIB = 1 << 20, RSDP = 0xe0000 };

/* --- the machine: RAM from 0 on, with a hole in the map below 1 MiB; e820 may be changed --- */

typedef struct {
    GuestMemory *mem;
    E820Entry e820[4];
    BootX86Layout layout;
    X86CpuState cpu;
} Vm;

void vm_init(Vm *vm, uint64_t ram);
void vm_finish(Vm *vm);
uint64_t peek(Vm *vm, uint64_t gpa, unsigned size);
void check_mem(Vm *vm, uint64_t gpa, const void *want, size_t len);
void check_zero(Vm *vm, uint64_t gpa, size_t len);

/* --- files, in a directory of the test's own: error lines name them "kernel" and "initrd" --- */

void dir_setup(void);
void dir_teardown(void);
void write_file(const char *name, const void *bytes, size_t len);

enum { BZ_SETUP = 5 * 512, BZ_PAYLOAD = 0x3000, BZ_LOAD = 0x1000000, BZ_INIT_SIZE = 0x100000 };

enum {
    ELF_TEXT_OFF = 0x1000,
    ELF_TEXT_SIZE = 0x2345,
    ELF_TEXT_PA = 0x1000000,
    ELF_DATA_OFF = 0x4000,
    ELF_DATA_SIZE = 0x800,
    ELF_DATA_PA = 0x1200000,
    ELF_BSS = 0x12345,
    ELF_NOTES = 0x3100, /* inside the text segment */
    ELF_NOTES_SIZE = 12 + 8 + 8 + 12 + 4 + 4,
    ELF_ENTRY = ELF_TEXT_PA + 0x40,
    PH = sizeof(Elf64_Phdr),
    PH0 = sizeof(Elf64_Ehdr),
};

typedef GByteArray *(*MakeKernel)(void);

GByteArray *make_bzimage(void);
GByteArray *make_elf(void);
extern const MakeKernel kernels[2]; /* the two above */

/* write_ forgets the bytes, save_ returns them too. */
void write_kernel(MakeKernel make);
GByteArray *save_kernel(MakeKernel make);
void write_initrd(size_t len);
GByteArray *save_initrd(size_t len);

/* --- loading, good and bad --- */

void load(Vm *vm, const char *initrd, const char *cmdline);
void new_fails(const char *initrd, const char *cmdline, const char *line);
void load_fails(Vm *vm, const char *initrd, const char *line); /* what new accepted */

/* Cases of test-boot-files.c. */
void add_file_tests(TCase *tc);

#endif
