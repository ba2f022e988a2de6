/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -explain DEVICE: what a device is made of, told by one that was made for it.
 */
#ifndef AEROSTAT_VMM_CLI_EXPLAIN_H
#define AEROSTAT_VMM_CLI_EXPLAIN_H

#include "vmm/cli/vmm.h"

/* Before the machine is made: chooses one that the device fits on where the user has not, and adds the device with what
 * it needs to what the options say. */
void explain_prepare(Options *o);

/* After vmm_check has built all that without faults. False with err: there is no such device. */
bool explain_print(Vmm *vmm, GError **err);

#endif
