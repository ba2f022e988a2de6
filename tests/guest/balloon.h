/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the guest tests of the balloon's policy share. As in vm.h: whatever goes wrong ends the test.
 */
#ifndef AEROSTAT_TESTS_GUEST_BALLOON_H
#define AEROSTAT_TESTS_GUEST_BALLOON_H

#include "tests/guest/vm.h"

/* Of the status of /objects/policy0: a string as it is, anything else with all the rest. g_free. */
char *policy_text(Vm *vm, const char *name);
/* A number of it; 0 where there is none. */
uint64_t policy_number(Vm *vm, const char *name);
/* Waits for an event with one of the reasons (other NULL: the first); its target. */
uint64_t wait_reason_of(Vm *vm, const char *reason, const char *other, int seconds);
uint64_t wait_reason(Vm *vm, const char *reason, int seconds);

/* Makes a file, or writes to one of the kernel's. */
void put_file(const char *dir, const char *name, const char *text);
/* The folder of a cgroup v2 of its own with memory.high; NULL where none can be had, which is said. g_free. */
char *cgroup_make(const char *name, unsigned high_mib);
/* We are in it from now on. */
void cgroup_enter(const char *dir);

#endif
