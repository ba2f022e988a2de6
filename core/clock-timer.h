/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What clock.c and loop.c share, and nobody else includes: a timer as its clock sees it. The clock keeps the armed
 * timers in order of deadline and tells each when to wake up. The clock's own lock guards every field.
 */
#ifndef AEROSTAT_CORE_CLOCK_TIMER_H
#define AEROSTAT_CORE_CLOCK_TIMER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "core/clock.h"

typedef struct ClockTimer ClockTimer;

struct ClockTimer {
    Clock *clock;
    int64_t deadline;
    bool armed;
    /* Running clocks: call clock_timer_take in delay_ns; -1: not any more. The clock's lock is held. */
    void (*wake)(ClockTimer *t, int64_t delay_ns);
    /* Manual clocks: the deadline has come. No lock of the clock is held; t may go. */
    void (*fire)(ClockTimer *t);
    TAILQ_ENTRY(ClockTimer) link; /* Clock.armed */
};

void clock_timer_init(ClockTimer *t, Clock *c); /* wake and fire are set by the caller before */
void clock_timer_finish(ClockTimer *t);
void clock_timer_arm(ClockTimer *t, int64_t deadline_ns);
void clock_timer_cancel(ClockTimer *t);
bool clock_timer_armed(const ClockTimer *t);

/* True when t is due: it is disarmed and its owner runs the callback. False: too early, stopped or cancelled. */
bool clock_timer_take(ClockTimer *t);

#endif
