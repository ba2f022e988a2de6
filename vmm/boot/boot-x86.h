/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Direct Linux boot on x86: bzImage by the 64-bit entry of the Linux/x86 boot protocol, uncompressed ELF vmlinux by
 * the PVH entry (ELF note XEN_ELFNOTE_PHYS32_ENTRY). Files are read straight into guest memory. A boot is prepared
 * once (files opened, headers checked) and performed on every start and reset of the machine.
 */
#ifndef AEROSTAT_VMM_BOOT_BOOT_X86_H
#define AEROSTAT_VMM_BOOT_BOOT_X86_H

#include "core/gmem.h"
#include "vmm/accel/cpu-x86.h"

typedef struct BootX86 BootX86;

typedef enum { E820_RAM = 1, E820_RESERVED = 2, E820_ACPI = 3 } E820Type;
typedef struct { Gpa base; uint64_t size; E820Type type; } E820Entry;
enum { E820_MAX = 32 };

/* Where the machine put things. The loader writes to RAM in 0x1000 to 0x7ffff: nothing else may be there. Kernel and
 * initrd go into E820_RAM from 1 MiB to low_ram_size. */
typedef struct {
    const E820Entry *e820;
    unsigned e820_count;
    uint64_t low_ram_size;  /* bytes of RAM that begin at address 0: kernel and initrd go below it */
    Gpa rsdp;               /* ACPI root pointer */
} BootX86Layout;

/*
 * Opens and checks the files. initrd and cmdline may be NULL. Errors are one line that begins with the option:
 * "-kernel FILE: ..." / "-initrd FILE: ..." / "-append: ...".
 */
BootX86 *boot_x86_new(const char *kernel, const char *initrd, const char *cmdline, GError **err);
/* Another command line from the next load on; false, and nothing changed, when it is too long. */
bool boot_x86_set_cmdline(BootX86 *boot, const char *cmdline, GError **err);
void boot_x86_free(BootX86 *boot); /* NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BootX86, boot_x86_free)

/* Loads everything and says how vCPU 0 starts. May be called again: RAM is written afresh. */
bool boot_x86_load(BootX86 *boot, GuestMemory *mem, const BootX86Layout *layout, X86CpuState *ret_state, GError **err);

#endif
