/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The objects of -object, which are made in turns: what they refer to comes first, what refers to them later.
 */
#ifndef AEROSTAT_VMM_CLI_OBJECTS_H
#define AEROSTAT_VMM_CLI_OBJECTS_H

#include "vmm/cli/vmm.h"

/* Filters need their netdev, and a netdev may need an object; some refer to devices. */
typedef enum { OBJECTS_FIRST, OBJECTS_AFTER_NETS, OBJECTS_AFTER_DEVICES, OBJECT_TURNS } ObjectTurn;

/* Brings o->objects into the order of their turns; those of one turn stay in the order that they were given in. */
void objects_sort(Options *o);

/* Makes (with -check: looks at) those whose turn it is. The turns come in their order, after objects_sort. VM lock. */
bool objects_make(Vmm *vmm, ObjectTurn turn, GError **err);

#endif
