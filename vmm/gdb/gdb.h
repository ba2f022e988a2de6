/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server of gdb's remote serial protocol: a debugger on a character stream sees the guest's registers and memory,
 * sets breakpoints and watchpoints, and steps. Its threads are the vCPUs: thread N + 1 is vCPU N.
 *
 * One debugger at a time. The VM stops when it connects, and goes on when it says so or detaches; one that just
 * vanishes leaves the VM as it is, without its breakpoints. Threads: main loop, VM lock held.
 */
#ifndef AEROSTAT_VMM_GDB_GDB_H
#define AEROSTAT_VMM_GDB_GDB_H

#include "vmm/machine/machine.h"

/*
 * Serves on a stream as after -serial; sockets are servers that nobody waits for, whatever the text says of that.
 * "chardev:ID" is one that is there; "none" only ends the present server. In place of another one. label begins errors.
 */
bool gdb_serve(Machine *m, const char *stream, const char *label, GError **err);

/* For a checker: what the above would refuse of the stream, without touching anything. */
bool gdb_check(Machine *m, const char *stream, const char *label, GError **err);

/* Tells the debugger that the VM is gone. Before machine_finish; harmless without a server. */
void gdb_end(Machine *m);

#endif
