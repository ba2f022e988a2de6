/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The boot budget (-trace-boot): when what happens for the first time between exec and the guest's userspace, and which
 * devices its exits go to. Written as Chrome's trace events, and told on stderr, at the end of the program.
 *
 * Off, each place costs one branch. Any thread; all but the branch takes a lock of its own, which is the innermost.
 */
#ifndef AEROSTAT_CORE_BOOT_TRACE_H
#define AEROSTAT_CORE_BOOT_TRACE_H

#include "core/aspace.h"
#include "qom/object.h"

extern bool boot_trace_on_; /* set before other threads exist */

static inline bool boot_trace_on(void)
{
    return G_UNLIKELY(boot_trace_on_);
}

void boot_trace_program_begins(void); /* first thing in main */

/*
 * Opens the file, which is written at the end. init: the text of the console's line that is the guest's userspace;
 * NULL: the first line that does not begin with '[', as those of Linux do.
 */
bool boot_trace_begin(const char *path, const char *init, GError **err);
/* Writes it, and tells it on stderr if wanted; harmless when it is off. False: not all is written, which was logged. */
bool boot_trace_end(bool summary);

/* --- what happens; all only while it is on --- */

int64_t boot_trace_now(void);                                    /* ns */
void boot_trace_span(const char *name, const char *of, int64_t begin_ns); /* from then until now; "NAME OF" */
void boot_trace_event(const char *name, const char *detail);     /* detail NULL: none */
void boot_trace_first(const char *name, Object *obj);            /* only the first time for that static name and obj */
void boot_trace_forget(const Object *obj); /* it is unrealized: what comes to its place in memory is another */
void boot_trace_loaded(uint64_t entry);                          /* where vCPU 0 will begin */
void boot_trace_vcpu_runs(unsigned vcpu);                        /* right before its KVM_RUN */
/* An exit that reached region (NULL: nothing is there), by whoever below root has it. VM lock. */
void boot_trace_exit(Object *root, const IoRegion *region, bool write);
void boot_trace_unmapped(const IoRegion *region); /* whatever is mapped there later is another */
typedef enum { BOOT_CONSOLE_SERIAL, BOOT_CONSOLE_VIRTIO, BOOT_CONSOLES } BootConsole;
void boot_trace_console(BootConsole console, const uint8_t *bytes, size_t len);

/* "virtio-rng-pci rng0": type and name, of a transport's child the transport's. g_free. */
char *boot_trace_label(Object *obj);

#endif
