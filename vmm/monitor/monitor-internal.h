/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the two kinds of monitor share: a stream, its machine, and how it is taken down.
 */
#ifndef AEROSTAT_VMM_MONITOR_MONITOR_INTERNAL_H
#define AEROSTAT_VMM_MONITOR_MONITOR_INTERNAL_H

#include "vmm/monitor/monitor.h"

struct Monitor {
    Machine *machine;
    Chardev *stream;  /* borrowed */
    void (*free)(Monitor *mon);
};

#endif
