/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A model of guests with balloons on a small host, to try hw/virtio/balloon-plan.h on. A guest has anonymous memory that
 * it needs, a page cache part of which it reads again and again (squeezed, that makes major faults), and a balloon that
 * follows its target at some speed. The host has memory, load of its own, and pressure when both do not fit.
 *
 * A trace is a text file, amounts in MiB, times in seconds; '#' begins a comment:
 *     host memory=MiB [load=MiB]          of the model; without it pressure is as the trace says
 *     guest N ram=MiB [floor= ceiling= reserve= hysteresis= rate= calm= faults= proactive=0|1] [anon= cache= kernel=]
 *     at T [N] anon=MiB cache=MiB tells=0|1 reset=1 | load=MiB | pressure=none|some|full
 *     tell T N had=MiB available=MiB faults=N  statistics as they are, in place of the model's
 *     stalls T some=us full=us                 recorded: the kernel's sums, of which backends/pressure.c makes the pressure
 *     told T N had=MiB available=MiB faults=N kills=N  recorded: what the guest used, and what befell it, from then on
 *     expect N inflations=MAX deflations=MAX reversals=MAX ooms=MAX thrash=MAX(seconds) least=MIN(target)
 *     expect N from=T to=T low=MiB high=MiB    its target, all that time
 *     end T
 */
#ifndef AEROSTAT_TESTS_BALLOON_SIM_H
#define AEROSTAT_TESTS_BALLOON_SIM_H

#include <glib.h>

#include "hw/virtio/balloon-plan.h"

#define SIM_MIB    (UINT64_C(1) << 20)
#define SIM_SECOND INT64_C(1000000000)

/* Bounds that must hold after each decision, whatever the guest and the host do. */
typedef struct {
    uint64_t budget;  /* what rate has allowed and was not used: refilled as the header promises */
    int64_t before;
    uint64_t told;    /* statistics that were seen */
    bool begun;
} SimBounds;

/* What is wrong with a decision that was made upon s, or NULL. */
const char *sim_bounds_check(SimBounds *b, const BalloonLimits *l, const BalloonSample *s, const BalloonDecision *d);

/* Runs a trace; returns what went wrong, one line each, or "" (g_free). verbose: prints each change of a target. */
char *sim_run_trace(const char *path, bool verbose);

#endif
