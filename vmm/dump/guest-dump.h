/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dumps of guest memory into a file, for dump-guest-memory: an ELF core of x86-64 with a PT_LOAD for each range of
 * RAM, at its physical address, and notes about each vCPU (NT_PRSTATUS as of a process, and QEMU's own, from which
 * crash knows how a kernel is laid out). It hangs in the machine's tree; the VM is stopped while it is written, and
 * goes on afterwards.
 *
 * Threads: main loop, VM lock. A detached dump is written by a thread of its own.
 */
#ifndef AEROSTAT_VMM_DUMP_GUEST_DUMP_H
#define AEROSTAT_VMM_DUMP_GUEST_DUMP_H

#include "vmm/machine/machine.h"

typedef enum { GUEST_DUMP_NONE, GUEST_DUMP_ACTIVE, GUEST_DUMP_COMPLETED, GUEST_DUMP_FAILED } GuestDumpStatus;

typedef struct {
    const char *name;       /* of the target, for messages: "file:PATH" */
    const char *path;       /* of a file that is made, or made empty; NULL: there is fd */
    int fd;                 /* writable; at its present offset it begins */
    bool detach;
    bool filter;            /* only what is in the range */
    uint64_t begin, length; /* physical, bytes */
} GuestDumpSpec;

typedef struct {
    GuestDumpStatus status;
    uint64_t completed, total; /* bytes of memory */
} GuestDumpInfo;

/*
 * Takes spec->fd in any case; a file of spec->path is untouched when nothing is dumped. Detached: true once it is on
 * its way; else once it is written, and the loop stands still until then. DUMP_COMPLETED tells of the end, good or
 * bad, of one that was begun. An incomplete file stays, and the error says so.
 */
bool guest_dump_start(Machine *m, const GuestDumpSpec *spec, GError **err);

/* The present or the last one. */
GuestDumpInfo guest_dump_query(Machine *m);
json_t *guest_dump_result(GuestDumpInfo info); /* QMP's DumpQueryResult; new reference */

/* Gives up one that is on its way, and forgets it. Before machine_finish; harmless without. */
void guest_dump_end(Machine *m);

#endif
