/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Whether the host is short of memory: from the kernel's pressure stall information, of all the host or of a cgroup v2,
 * and from that cgroup's use against its limit.
 *
 * The level is what the stall times since the last look say (a look within 50 ms of another finds what that one found).
 * Between looks the kernel says by itself when a threshold is crossed, where it lets us ask for that (a trigger; older
 * kernels want CAP_SYS_RESOURCE): then fn is called.
 *
 * Threads: main loop, VM lock.
 */
#ifndef AEROSTAT_BACKENDS_PRESSURE_H
#define AEROSTAT_BACKENDS_PRESSURE_H

#include "core/loop.h"

typedef enum { PRESSURE_NONE, PRESSURE_SOME, PRESSURE_FULL } PressureLevel;

typedef struct PressureSource PressureSource;

typedef struct {
    const char *cgroup;         /* its folder; NULL: the host, /proc/pressure/memory */
    uint32_t some_us, full_us;  /* stalled so long in a window is pressure; 0: does not matter */
    uint32_t window_us;         /* 500000 to 10000000 */
} PressureSpec;

/* NULL with one line when there is nothing to read. fn: look now. The loop is the caller's thread's. */
PressureSource *pressure_new(EventLoop *loop, const PressureSpec *spec, void (*fn)(void *opaque), void *opaque,
                             GError **err);
void pressure_free(PressureSource *p); /* NULL is fine */

/* The level since the last look, now_ns being the time on some clock. What cannot be read any more is PRESSURE_NONE. */
PressureLevel pressure_look(PressureSource *p, int64_t now_ns);

bool pressure_has_trigger(const PressureSource *p); /* does the kernel call? */

typedef struct {
    bool stalls;               /* stall times are there */
    uint64_t some_us, full_us; /* in all, since the source was made */
    uint64_t used, limit;      /* of the cgroup; limit 0: none */
    uint64_t calls;            /* that the kernel has called, so far; not as of the last look */
} PressureState;

void pressure_state(const PressureSource *p, PressureState *ret); /* as of the last look */

const char *pressure_level_name(PressureLevel level); /* "some"; static */

#endif
