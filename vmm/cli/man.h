/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The manual pages aerostat(1), aerostat-config(5) and aerostat-qmp(7), made from the tables of options, groups, types,
 * properties and QMP commands: -dump-man.
 */
#ifndef AEROSTAT_VMM_CLI_MAN_H
#define AEROSTAT_VMM_CLI_MAN_H

#include "vmm/cli/options.h"

/* Prints the page of section "1", "5" or "7" as roff; types are registered. */
bool options_take_dump_man(Options *o, const char *section, GError **err);

/* --- between its files --- */
void man_text(const char *text);                         /* a paragraph's text, escaped */
void man_head(const char *name, const char *section, const char *kind); /* title line */
void man_section(const char *title);
void man_item(const char *bold, const char *italic);     /* of a list, whose text follows; italic may be NULL */
void man_print_qmp(void);                                /* aerostat-qmp(7); man-qmp.c */

#endif
