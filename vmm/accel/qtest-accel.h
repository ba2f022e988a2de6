/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the qtest server sees of the accelerator "qtest": its interrupt lines can be watched and driven from outside.
 * VM lock held.
 */
#ifndef AEROSTAT_VMM_ACCEL_QTEST_ACCEL_H
#define AEROSTAT_VMM_ACCEL_QTEST_ACCEL_H

#include "vmm/accel/accel.h"

enum { QTEST_GSIS = 512 };

/* Calls fn on each change of a line; NULL: no longer. One watcher at a time. */
void qtest_accel_watch(Accel *accel, void (*fn)(void *opaque, int n, int level), void *opaque);

#endif
