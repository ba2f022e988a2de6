/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Machine "pc" (or another) on the fake accelerator, with a kernel of a few bytes in a directory of its own: all of
 * the VMM but the guest. Both clocks are manual. There is one thread, so the VM lock is taken by the loop's callbacks
 * only.
 */
#ifndef AEROSTAT_TESTS_FAKE_VM_H
#define AEROSTAT_TESTS_FAKE_VM_H

#include "tests/fake-accel.h"
#include "vmm/machine/machine.h"

enum { FAKE_VM_RAM = 32 << 20, FAKE_VM_ENTRY = 0x200000 };
extern const char fake_vm_code[16]; /* what is loaded at the entry */

typedef struct {
    Object *root;
    Machine *m;
    FakeAccel *accel;
    char *dir, *kernel;
} FakeVm;

void fake_vm_init(FakeVm *vm);                    /* made, with RAM size and kernel set */
void fake_vm_init_as(FakeVm *vm, const char *machine); /* the same of another machine */
bool fake_vm_start(FakeVm *vm, GError **err);     /* machine_init */
void fake_vm_finish(FakeVm *vm);

/* -device: "driver,prop=value" or JSON. */
Device *fake_vm_add(FakeVm *vm, const char *device, GError **err);

/* Runs the loop until nothing more happens. */
void fake_vm_settle(FakeVm *vm);

#endif
