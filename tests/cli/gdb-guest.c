/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A guest to debug: entered as PVH has it, it goes to 64-bit mode and counts for ever. All is
 * mapped twice: where it is, and from HIGH on, where nothing is in physical memory. Built without
 * libraries and sanitizers; gdb reads its symbols.
 */
#define HIGH 0xffffffff80000000

__asm__(".pushsection .note.Xen, \"a\", @note\n"
        ".long 4, 4, 18; .asciz \"Xen\"; .long start\n"
        ".popsection\n"
        ".pushsection .data\n"
        ".balign 4096\n"
        "pml4: .quad pdpt + 3; .fill 510, 8, 0; .quad pdpt + 3\n"
        "pdpt: .quad pd + 3; .fill 509, 8, 0; .quad pd + 3, 0\n"
        "pd: .quad 0x83, 0x200083; .fill 510, 8, 0\n"
        "gdt: .quad 0, 0xaf9b000000ffff, 0xcf93000000ffff\n"
        "gdtr: .word 23; .long gdt\n"
        ".popsection\n"
        ".code32\n"
        ".globl start\n"
        "start: mov $0x12345678, %esi\n"
        "lgdt gdtr\n"
        "mov $0x20, %eax; mov %eax, %cr4\n"
        "mov $pml4, %eax; mov %eax, %cr3\n"
        "mov $0xc0000080, %ecx; mov $0x100, %eax; xor %edx, %edx; wrmsr\n"
        "mov $0x80000011, %eax; mov %eax, %cr0\n"
        "ljmp $8, $1f\n"
        ".code64\n"
        "1: mov $16, %eax; mov %eax, %ds; mov %eax, %es; mov %eax, %ss\n"
        "mov $stack + 4096, %esp\n"
        "call count\n");

char stack[4096];
volatile unsigned long counter, other;

void work(unsigned long n)
{
    counter += n;
}

void count(void)
{
    for (;;) {
        work(3);
        other++;
    }
}
