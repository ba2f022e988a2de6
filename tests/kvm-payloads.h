/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Tiny guests for test-kvm.c, assembled into the test's read-only data. All but the SIPI trampoline are loaded at
 * PAYLOAD_BASE and use no address but that; AT(label) is the guest address of a label. Ports: 0x400 takes characters,
 * 0x410 and up are a device that the test watches. Guests end in HLT.
 */
#ifndef AEROSTAT_TESTS_KVM_PAYLOADS_H
#define AEROSTAT_TESTS_KVM_PAYLOADS_H

#include <stdint.h>

#define PAYLOAD_BASE 0x1000
#define STR_(x)      #x
#define STR(x)       STR_(x)

#define PAYLOAD(name, bits, code)                                                                  \
    __asm__(".pushsection .rodata\n"                                                               \
            "payload_" #name ":\n"                                                                 \
            ".code" #bits "\n" code "\n"                                                           \
            "payload_" #name "_end:\n"                                                             \
            ".code64\n.popsection\n");                                                             \
    extern const uint8_t payload_##name[], payload_##name##_end[]

#define AT(label) "(" #label " - payload_" PAYLOAD_NAME " + " STR(PAYLOAD_BASE) ")"
#define LAPIC(r)  "(0xfee00000 + " #r ")"
#define PUT(c)    "mov $0x400, %dx; mov $'" c "', %al; out %al, %dx\n"
/* Drops the frame and waits for the next: a KVM that emulates (no vmx, no svm) has no IRET in protected mode. */
#define END_IRQ "add $12, %esp; sti; jmp 1b\n"
#define HANG      "98: cli; hlt; jmp 98b\n"
/* An IDT at 0x4000 whose gate for `vector` leads to label. */
#define GATE(vector, label)                                                                        \
    "mov $" label ", %eax; mov %eax, %ecx; and $0xffff, %eax; or $0x100000, %eax\n"                \
    "mov %eax, 0x4000 + 8 * " #vector "; and $0xffff0000, %ecx; or $0x8e00, %ecx\n"                \
    "mov %ecx, 0x4004 + 8 * " #vector "\n"
#define LIDT "movw $0x7ff, 0x3ff8; movl $0x4000, 0x3ffa; lidt 0x3ff8\n"

/* What was given in rbx and rsi, then a string at once, then what a device says in two widths. */
#define PAYLOAD_NAME "serial"
PAYLOAD(serial, 32,
        "mov $0x400, %dx; mov %bl, %al; out %al, %dx; mov %esi, %eax; out %al, %dx\n"
        "cld; mov $" AT(1f) ", %esi; mov $5, %ecx; rep outsb\n"
        "mov $0x410, %dx; in %dx, %al; mov $0x400, %dx; out %al, %dx\n"
        "mov $0x412, %dx; mov $0x3000, %edi; mov $2, %ecx; rep insw\n"
        "mov $0x400, %dx; mov $0x3000, %esi; mov $4, %ecx; rep outsb\n"
        HANG "1: .ascii \"hello\"");
#undef PAYLOAD_NAME

/* Power-on: the last 16 bytes below 4 GiB, and a real-mode program in low memory. */
PAYLOAD(real_vector, 16, "ljmp $0, $" STR(PAYLOAD_BASE) "\n");
PAYLOAD(real, 16, PUT("R") "mov %cs, %ax; add $'0', %al; out %al, %dx\n" HANG);

/* Every width, to and from the device at 0xd0000000; then across a page boundary. */
PAYLOAD(mmio, 64,
        "mov $0xd0000000, %ebx\n"
        "movb $0x11, (%rbx); movw $0x2222, 2(%rbx); movl $0x33333333, 4(%rbx)\n"
        "mov $0x4444444444444444, %rax; mov %rax, 8(%rbx)\n"
        "movl $0x55667788, 0xffe(%rbx)\n"
        "mov $0x400, %dx\n"
        "mov 0x10(%rbx), %al; out %al, %dx; mov 0x12(%rbx), %ax; out %al, %dx\n"
        "mov 0x14(%rbx), %eax; out %al, %dx; mov 0x18(%rbx), %rax; shr $56, %rax; out %al, %dx\n"
        HANG);

/* Doorbells: one for any value, one for 5 only, one port; 'k' when all were rung. */
PAYLOAD(doorbell, 32,
        "mov $0xd0000000, %ebx; movl $1, 0x100(%ebx); movw $5, 0x104(%ebx); movw $6, 0x104(%ebx)\n"
        "movb $7, 0x200(%ebx); movl $7, 0x200(%ebx)\n"
        "mov $0x414, %dx; mov $9, %ax; out %ax, %dx\n" PUT("k") HANG);

/* Interrupts: vector 0x40 prints 'i', 0x41 'j', 0x42 'l' when port 0x416 says that
 * it is for real (writing there acknowledges; the emulating KVM delivers level interrupts once too often), 0x23 'p'
 * (PIC, IRQ 3). */
#define PAYLOAD_NAME "irq"
PAYLOAD(irq, 32,
        "movl $0x1ff, " LAPIC(0xf0) "\n"
        "mov $0x9000, %esp\n"
        GATE(0x40, AT(10f)) GATE(0x41, AT(11f)) GATE(0x42, AT(12f)) GATE(0x23, AT(13f)) LIDT
        /* IOAPIC pin 10: vector 0x42, level, to APIC 0 */
        "movl $0x24, 0xfec00000; movl $0x8042, 0xfec00010; movl $0x25, 0xfec00000; movl $0, 0xfec00010\n"
        /* PIC: vectors from 0x20, only IRQ 3 open */
        "mov $0x11, %al; out %al, $0x20; mov $0x20, %al; out %al, $0x21\n"
        "mov $4, %al; out %al, $0x21; mov $1, %al; out %al, $0x21; mov $0xf7, %al; out %al, $0x21\n"
        PUT("s") "sti\n"
        "1: hlt; jmp 1b\n"
        "10: " PUT("i") "movl $0, " LAPIC(0xb0) "; " END_IRQ
        "11: " PUT("j") "movl $0, " LAPIC(0xb0) "; " END_IRQ
        "12: mov $0x416, %dx; in %dx, %al; test %al, %al; jnz 2f; movl $0, " LAPIC(0xb0) "; " END_IRQ
        "2: out %al, %dx; movl $0, " LAPIC(0xb0) "; " PUT("l") END_IRQ
        "13: " PUT("p") "mov $0x20, %al; out %al, $0x20; " END_IRQ);
#undef PAYLOAD_NAME

/* Counts at 0x3000 and never exits. */
PAYLOAD(count, 32, PUT("c") "1: incl 0x3000; jmp 1b\n");

/* Reads a port without end, and tells when a register was changed behind its back. */
PAYLOAD(poll, 32,
        "mov $0x5a5a5a5a, %eax\n" PUT("P")
        "mov $0x410, %dx; mov $0x12345678, %edi\n"
        "1: xor %eax, %eax; in %dx, %al; mov 0xd0000010, %cl; cmp $'x', %al; jne 2f\n"
        "cmp $0x12345678, %edi; jne 2f; cmp $0x10, %cl; je 1b\n"
        "2: " PUT("!") HANG);

/* Says whether it starts from power-on ('r') or from what the last run left ('x'), then leaves a mess. */
#define PAYLOAD_NAME "mess"
PAYLOAD(mess, 32,
        "cmpl $0xff, " LAPIC(0xf0) "; jne 1f\n"
        "mov %cr4, %eax; test %eax, %eax; jnz 1f\n"
        "mov %dr7, %eax; cmp $0x400, %eax; jne 1f\n"
        "mov %cr2, %eax; test %eax, %eax; jnz 1f\n"
        "mov $0x174, %ecx; rdmsr; test %eax, %eax; jnz 1f\n"
        "mov $0x277, %ecx; rdmsr; cmp $0x00070406, %eax; jne 1f\n"
        "movl $0x24, 0xfec00000; mov 0xfec00010, %eax; test $0x10000, %eax; jz 1f\n"
        "in $0x21, %al; cmp $0xaa, %al; je 1f\n"
        PUT("r") "jmp 2f\n"
        "1: " PUT("x")
        "2: movl $0x1ff, " LAPIC(0xf0) "; mov $0x200, %eax; mov %eax, %cr4\n"
        "mov $0x401, %eax; mov %eax, %dr7; mov %eax, %cr2\n"
        "mov $0x174, %ecx; mov $8, %eax; xor %edx, %edx; wrmsr\n"
        "mov $0x277, %ecx; xor %eax, %eax; wrmsr\n"
        "movl $0x24, 0xfec00000; movl $0x8042, 0xfec00010\n"
        "mov $0xaa, %al; out %al, $0x21\n" PUT(".") HANG);
#undef PAYLOAD_NAME

/* No IDT and an exception: a triple fault. */
PAYLOAD(triple, 32, PUT("t") "movw $0, 0x3ff8; lidt 0x3ff8; ud2\n" HANG);

/* Jumps to where there is nothing to execute. */
PAYLOAD(astray, 32, PUT("a") "mov $0xd0000000, %eax; jmp *%eax\n");

/* BSP: INIT and SIPI to APIC 1 (trampoline at 0x8000), waits for its flag, then prints its own id and CPU count. */
PAYLOAD(smp, 32,
        "movl $0x1ff, " LAPIC(0xf0) "; movl $0x01000000, " LAPIC(0x310) "; movl $0x4500, " LAPIC(0x300) "\n"
        "mov $100000, %ecx; 1: pause; loop 1b\n"
        "movl $0x01000000, " LAPIC(0x310) "; movl $0x4608, " LAPIC(0x300) "\n"
        "2: pause; cmpl $0x600d, 0x3000; jne 2b\n"
        "mov $1, %eax; cpuid; shr $24, %ebx; mov %bl, %al; add $'0', %al; mov $0x400, %dx; out %al, %dx\n"
        "mov $0xb, %eax; mov $1, %ecx; cpuid; mov %bl, %al; add $'0', %al; mov $0x400, %dx; out %al, %dx\n"
        HANG);
PAYLOAD(trampoline, 16,
        "mov $1, %eax; cpuid; shr $24, %ebx; mov %bl, %al; add $'0', %al; mov $0x400, %dx; out %al, %dx\n"
        "xor %ax, %ax; mov %ax, %ds; movl $0x600d, 0x3000\n" HANG);

/* Prints the KVM signature's first letter, 'c' for kvmclock, 'd' for the TSC deadline timer, 'h', '2' for x2APIC, and
 * 'm' if monitor is offered. */
PAYLOAD(cpuid, 32,
        "mov $0x40000000, %eax; cpuid; mov %bl, %al; mov $0x400, %dx; out %al, %dx\n"
        "mov $0x40000001, %eax; cpuid; test $8, %al; jz 1f\n" PUT("c")
        "1: mov $1, %eax; cpuid; bt $31, %ecx; jnc 1f\n" PUT("h")
        "1: bt $21, %ecx; jnc 1f\n" PUT("2")
        "1: bt $3, %ecx; jnc 1f\n" PUT("m")
        "1: " PUT(".") HANG);

#endif
