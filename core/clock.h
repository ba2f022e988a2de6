/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Clocks that timers and devices read. The real clock never stops. The virtual clock stands while the VM is
 * stopped; under manual control (tests, qtest) it moves only by clock_step_to. Any thread may read, stop and start one.
 */
#ifndef AEROSTAT_CORE_CLOCK_H
#define AEROSTAT_CORE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

typedef struct Clock Clock;

Clock *clock_new(void);          /* running from 0, at the pace of CLOCK_MONOTONIC */
Clock *clock_new_manual(void);   /* at 0; moved by clock_step_to */
void clock_free(Clock *c);       /* no timer may be left on it */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Clock, clock_free)

int64_t clock_now(const Clock *c); /* nanoseconds */
void clock_stop(Clock *c);         /* again, or on manual clocks: nothing */
void clock_start(Clock *c);
bool clock_is_manual(const Clock *c);

/*
 * Manual clocks only: runs due timers in order of deadline, each at its own time, and ends at the given time. The
 * callbacks run on the caller's thread, whatever loop the timers belong to; for those of the main loop, the caller
 * holds the VM lock. Never goes back.
 */
void clock_step_to(Clock *c, int64_t now_ns);
int64_t clock_next_deadline(const Clock *c); /* of its armed timers; -1: none */

#endif
