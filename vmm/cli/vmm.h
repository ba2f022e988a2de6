/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program's VM, for main.c and what runs in its stead (check.c, dump.c).
 */
#ifndef AEROSTAT_VMM_CLI_VMM_H
#define AEROSTAT_VMM_CLI_VMM_H

#include "vmm/cli/daemon.h"
#include "vmm/cli/options.h"
#include "vmm/dump/guest-dump.h"
#include "vmm/gdb/gdb.h"
#include "vmm/machine/machine.h"
#include "vmm/monitor/monitor.h"
#include "vmm/qtest/qtest.h"

typedef struct {
    Options opts;
    Object *root;
    Machine *machine;
    GPtrArray *monitors;   /* of Monitor * */
    unsigned made_objects; /* so many of opts.objects had their turn */
    GPtrArray *devices;    /* of Object *, as made of opts.devices; borrowed */
    unsigned named_devices; /* of opts.devices: the rest was made of other options */
    Chardev *qtest_stream; /* NULL: no -qtest */
    Qtest *qtest;
    Chardev *serial; /* as -serial made it: a multiplexer for mon:stdio */
    PidFile pidfile;
    int signal_fd;
    LoopFd *signal_src;
} Vmm;

/* The machine with its accelerator and their properties; nothing acts yet. */
bool vmm_make_machine(Vmm *vmm, GError **err);

/*
 * Calls make for each of a list of options, until one fails; with -check for all, and their faults go to the list of
 * them. What make has put there itself, it returns false for with err clear.
 */
bool vmm_make_each(Vmm *vmm, const GPtrArray *list, bool (*make)(Vmm *vmm, json_t *opts, GError **err), GError **err);

/* Everything else up to the first instruction of the guest. VM lock held. */
bool vmm_build(Vmm *vmm, GError **err);

#endif
