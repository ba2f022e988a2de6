/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -add-fd: file descriptors that the program inherits, in sets, as QMP's add-fd makes them.
 */
#ifndef AEROSTAT_VMM_CLI_FD_OPTIONS_H
#define AEROSTAT_VMM_CLI_FD_OPTIONS_H

#include "vmm/cli/vmm.h"

/* "fd=N,set=M[,opaque=TEXT]", as texts into o->fds. */
bool options_take_add_fd(Options *o, const char *arg, GError **err);

/* Puts them into the sets; the numbers that were given are free afterwards. Before anything opens a file. */
bool fd_options_make(Vmm *vmm, GError **err);

#endif
