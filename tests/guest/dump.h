/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a VM that did not do what a test waited for was doing: so that a hang can be told from a machine that is slow, a
 * kick that got lost from an interrupt that got lost, and both from a guest that stands still.
 */
#ifndef AEROSTAT_TESTS_GUEST_DUMP_H
#define AEROSTAT_TESTS_GUEST_DUMP_H

#include "tests/guest/vm.h"

/*
 * Prints, each twice with a second in between, the VMM's threads and KVM's counters of the VM. Asks nobody, so that it
 * ends whatever is wrong.
 */
void dump_host(Vm *vm);
/* Prints what QMP says of the VM and its disks, then presses the power button and prints what the guest says of itself
 * (guest/init.c). Fails (vm.h) where there is no answer. */
void dump_guest(Vm *vm);

#endif
