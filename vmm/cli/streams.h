/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The streams that options ask for and what is connected to them. Steps of vmm_build, in this order; false with err, which
 * begins with the option or its place in a file. With opts.check null streams stand in for them.
 */
#ifndef AEROSTAT_VMM_CLI_STREAMS_H
#define AEROSTAT_VMM_CLI_STREAMS_H

#include "vmm/cli/vmm.h"

bool streams_connect_qtest(Vmm *vmm, GError **err);  /* the client waits for the connection, so it comes first */
bool streams_make_chardevs(Vmm *vmm, GError **err);
bool streams_make_serial(Vmm *vmm, GError **err);
bool streams_make_monitors(Vmm *vmm, GError **err);
bool streams_serve_qtest(Vmm *vmm, GError **err);    /* its commands come last */

bool streams_serve_gdb(Vmm *vmm, GError **err);

/* Flushes and closes all in /chardevs, whoever made them. */
void streams_close_all(Vmm *vmm);

#endif
