/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What may stand next on the command line, for the completion of shells (completions/): from the tables of options, types
 * and properties.
 */
#ifndef AEROSTAT_VMM_CLI_COMPLETE_H
#define AEROSTAT_VMM_CLI_COMPLETE_H

#include "vmm/cli/options.h"

/*
 * -complete "WORD": the options that begin with it. -complete "-OPTION WORD": each word that may stand after the option
 * and begins with WORD, on a line of its own; those that end in '=' or ',' go on. A line ":files" says that a path may
 * follow what WORD has up to its last '=' or ':'.
 */
bool options_take_complete(Options *o, const char *text, GError **err);

#endif
