/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much memory a guest shall have: the deciding part of the automatic balloon policy. Without clock, file or device:
 * who uses it says what time it is, how the host is and what the guest told, and does what is decided.
 *
 * Bounds. A guest uses what it has less what it says is available. It is never asked to keep to less than that and
 * `reserve`, nor to less than `floor`; it gets memory at once when less than `reserve` is available, and is then left
 * with `reserve` and `hysteresis`. More is taken down to that same amount and not below, and only when it is at least
 * `hysteresis`: a guest whose needs stay as they are sees one change and no other.
 *
 * Backing off. Trouble soon after memory was taken means that it was needed although it looked available (a page cache
 * that is read again and again). Nothing is taken then for a while, twice as long each time, and after that in small
 * steps. In the same way memory that was given back because the host was calm, and was taken again soon, comes back
 * later the next time.
 */
#ifndef AEROSTAT_HW_VIRTIO_BALLOON_PLAN_H
#define AEROSTAT_HW_VIRTIO_BALLOON_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "backends/pressure.h"

#define BALLOON_UNKNOWN UINT64_MAX

/* Bytes, nanoseconds. */
typedef struct {
    uint64_t floor, ceiling;  /* of the guest's memory */
    uint64_t reserve;         /* to be available in the guest */
    uint64_t hysteresis;      /* smaller changes are not worth it; not 0 */
    uint64_t rate;            /* a second that may be taken, or given back unasked; 0: no limit. Full pressure: 4 times */
    int64_t interval;         /* between statistics; three of them without any, and the guest is silent */
    int64_t calm;             /* without host pressure, after which memory goes back; 0: never */
    uint64_t faults;          /* major faults a second that mean that the guest is short; 0: they do not matter */
    bool proactive;           /* take what the guest does not need, without host pressure, too */
} BalloonLimits;

typedef struct {
    int64_t now;
    PressureLevel host;
    uint64_t target, actual;  /* memory that the guest shall have, and has */
    uint64_t told;            /* statistics so far; 0: none since its driver started */
    int64_t told_at;
    uint64_t available;       /* BALLOON_UNKNOWN: not told */
    uint64_t had, had_asked;  /* `actual` when it told, and when it was asked: what it told is from between the two */
    uint64_t major_faults, oom_kills; /* so far; BALLOON_UNKNOWN: not told */
} BalloonSample;

typedef enum { BALLOON_HOLD, BALLOON_INFLATE, BALLOON_DEFLATE } BalloonAction;

typedef enum {
    REASON_STEADY,          /* hold: nothing to do */
    REASON_NO_STATISTICS,   /* hold: the guest does not tell what it uses */
    REASON_GUEST_SILENT,    /* hold: it no longer does */
    REASON_GUEST_BEHIND,    /* hold: it has not done what was asked */
    REASON_BACKING_OFF,     /* hold: it was short soon after memory was taken */
    REASON_AT_NEED,         /* hold: pressure, but it needs what it has */
    REASON_AT_FLOOR,        /* hold: pressure, but it has no more than the floor */
    REASON_AT_CEILING,      /* hold: it wants more, but has the ceiling */
    REASON_GUEST_SHORT,     /* deflate: less than reserve is available */
    REASON_GUEST_THRASHING, /* deflate: major faults */
    REASON_GUEST_OOM,       /* deflate: it killed a process */
    REASON_GUEST_STARTED,   /* deflate: a new driver, which nothing is known of */
    REASON_HOST_PRESSURE,   /* inflate */
    REASON_HOST_STALLED,    /* inflate: full pressure */
    REASON_PROACTIVE,       /* inflate: it does not need it */
    REASON_ABOVE_CEILING,   /* inflate */
    REASON_HOST_CALM,       /* deflate */
    REASON_COUNT,
} BalloonReason;

typedef struct {
    BalloonAction action;
    BalloonReason reason;
    uint64_t target;        /* BALLOON_HOLD: as it was */
    uint64_t used;          /* by the guest; BALLOON_UNKNOWN: it does not tell */
} BalloonDecision;

/* What is remembered from one decision to the next. Zeroed at the start, and when somebody else set the target. */
typedef struct {
    bool begun;
    int64_t before;         /* when the last decision was made */
    uint64_t budget;        /* bytes that rate allows now */
    uint64_t told;          /* statistics that were looked at */
    int64_t told_at;
    uint64_t major_faults, oom_kills;
    int64_t pressed_at;     /* host pressure, last */
    int64_t taken_at;       /* inflated, last; 0: never */
    int64_t returned_at;    /* given back because the host was calm, last; 0: never */
    int64_t hold_until, hold; /* backing off, and for how long the last time */
    int64_t careful_until;  /* until then in small steps, each with statistics before it */
    uint64_t taken_told;    /* statistics upon which memory was taken last */
    int64_t calm;           /* that the host must be; 0: as in the limits */
} BalloonPlan;

BalloonDecision balloon_plan(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s);

/* "host-pressure", "inflate"; and the reason as a sentence for people. Static. */
const char *balloon_reason_name(BalloonReason reason);
const char *balloon_reason_text(BalloonReason reason);
const char *balloon_action_name(BalloonAction action);

#endif
