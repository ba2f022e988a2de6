/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The automatic balloon policy's decisions; balloon-plan.h has the rules.
 */
#include "hw/virtio/balloon-plan.h"

#include <glib.h>

#define SECOND INT64_C(1000000000)

enum { SILENT_INTERVALS = 3, FULL_PRESSURE_FACTOR = 4, BACKOFF_FACTOR = 2, CAREFUL_PART = 16 };
#define HOLD_MIN (10 * SECOND)
#define HOLD_MAX (600 * SECOND)
#define CALM_MAX (3600 * SECOND)

/* --- words --- */

static const struct {
    const char *name, *text;
} reasons[REASON_COUNT] = {
    [REASON_STEADY] = {"steady", "nothing to do"},
    [REASON_NO_STATISTICS] = {"no-statistics", "hands off: the guest does not tell what it uses"},
    [REASON_GUEST_SILENT] = {"guest-silent", "hands off: the guest no longer tells what it uses"},
    [REASON_GUEST_BEHIND] = {"guest-behind", "waiting: the guest has not done what was asked"},
    [REASON_BACKING_OFF] = {"backing-off", "waiting: the guest was short after memory was taken"},
    [REASON_AT_NEED] = {"at-need", "memory is wanted, but the guest needs what it has"},
    [REASON_AT_FLOOR] = {"at-floor", "memory is wanted, but the guest has the floor"},
    [REASON_AT_CEILING] = {"at-ceiling", "the guest wants more, but has the ceiling"},
    [REASON_GUEST_SHORT] = {"guest-short", "less than the reserve is available in the guest"},
    [REASON_GUEST_THRASHING] = {"guest-thrashing", "the guest reads again what it had in memory"},
    [REASON_GUEST_OOM] = {"guest-oom", "the guest killed a process for want of memory"},
    [REASON_GUEST_STARTED] = {"guest-started", "a new driver, of which nothing is known"},
    [REASON_HOST_PRESSURE] = {"host-pressure", "the host is short of memory"},
    [REASON_HOST_STALLED] = {"host-stalled", "the host stands still for want of memory"},
    [REASON_PROACTIVE] = {"proactive", "the guest does not need it"},
    [REASON_ABOVE_CEILING] = {"above-ceiling", "the guest has more than the ceiling"},
    [REASON_HOST_CALM] = {"host-calm", "the host has had memory to spare for a while"},
};

const char *balloon_reason_name(BalloonReason reason)
{
    return reasons[reason].name;
}

const char *balloon_reason_text(BalloonReason reason)
{
    return reasons[reason].text;
}

const char *balloon_action_name(BalloonAction action)
{
    static const char *const names[] = {"hold", "inflate", "deflate"};

    return names[action];
}

/* --- arithmetic on what a guest or a user says, which may be anything --- */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* rate bytes a second over dt. */
static uint64_t worth(uint64_t rate, int64_t dt)
{
    unsigned __int128 bytes = (unsigned __int128)rate * (uint64_t)MAX(dt, 0) / (uint64_t)SECOND;

    return bytes > UINT64_MAX ? UINT64_MAX : (uint64_t)bytes;
}

/* --- the parts of a decision --- */

static uint64_t used_of(const BalloonSample *s, uint64_t had)
{
    return had - MIN(s->available, had);
}

/* What a guest shall have that uses so much. */
static uint64_t goal_of(const BalloonLimits *l, uint64_t used)
{
    return MAX(add(used, add(l->reserve, l->hysteresis)), l->floor);
}

static BalloonDecision hold(const BalloonSample *s, BalloonReason reason, uint64_t used)
{
    return (BalloonDecision){BALLOON_HOLD, reason, s->target, used};
}

static void refill_budget(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s)
{
    unsigned factor = s->host == PRESSURE_FULL ? FULL_PRESSURE_FACTOR : 1;
    uint64_t rate = l->rate > UINT64_MAX / factor ? UINT64_MAX : l->rate * factor;

    if (l->rate == 0) {
        p->budget = UINT64_MAX;
        return;
    }
    /* What was not used in a quiet time does not add up to a leap later. */
    p->budget = MIN(add(p->budget, worth(rate, s->now - p->before)),
                    MAX(worth(rate, l->interval), l->hysteresis));
}

static void begin(BalloonPlan *p, const BalloonSample *s)
{
    if (!p->begun) {
        p->begun = true;
        p->before = s->now;
        p->pressed_at = s->now; /* calm has to be seen before it counts */
        p->major_faults = p->oom_kills = BALLOON_UNKNOWN;
    }
}

/* Has the guest's count grown by more than `allowed` a second since the last statistics? */
static bool rose(uint64_t before, uint64_t now, uint64_t allowed, int64_t dt)
{
    return before != BALLOON_UNKNOWN && now != BALLOON_UNKNOWN && now > before &&
           now - before > worth(allowed, dt);
}

/* Looks at statistics once. REASON_STEADY: the guest is well. */
static BalloonReason guest_trouble(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s)
{
    int64_t dt = s->told_at - p->told_at;
    BalloonReason reason = REASON_STEADY;

    if (p->told == s->told) {
        return REASON_STEADY;
    }
    if (rose(p->oom_kills, s->oom_kills, 0, dt)) {
        reason = REASON_GUEST_OOM;
    } else if (s->available < l->reserve) {
        reason = REASON_GUEST_SHORT;
    } else if (l->faults > 0 && rose(p->major_faults, s->major_faults, l->faults, dt)) {
        reason = REASON_GUEST_THRASHING;
    }
    p->told = s->told;
    p->told_at = s->told_at;
    p->major_faults = s->major_faults;
    p->oom_kills = s->oom_kills;
    return reason;
}

/* Trouble that follows upon taking memory makes the next try wait, longer each time. */
static void back_off(BalloonPlan *p, const BalloonSample *s)
{
    int64_t since = s->now - p->taken_at;

    if (p->taken_at > 0 && since < MAX(2 * p->hold, HOLD_MIN) && s->now >= p->hold_until) {
        p->hold = MIN(MAX(p->hold * BACKOFF_FACTOR, HOLD_MIN), HOLD_MAX);
    } else if (s->now >= p->hold_until) {
        p->hold = HOLD_MIN;
    }
    p->hold_until = s->now + p->hold;
}

static BalloonDecision help_guest(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s,
                                  BalloonReason reason, uint64_t used, uint64_t goal)
{
    uint64_t wanted = goal;

    back_off(p, s);
    if (reason != REASON_GUEST_SHORT) { /* what is available does not tell how much is missing */
        p->careful_until = p->hold_until + HOLD_MAX;
        wanted = MAX(goal, add(s->target, MAX(l->hysteresis, s->target / 8)));
    }
    wanted = MIN(wanted, l->ceiling);
    if (wanted <= s->target) {
        return hold(s, s->target >= l->ceiling ? REASON_AT_CEILING : REASON_STEADY, used);
    }
    return (BalloonDecision){BALLOON_DEFLATE, reason, wanted, used};
}

/* What rate allows of `wanted` bytes now; 0: too little to be worth a change, later. */
static uint64_t spend(BalloonPlan *p, const BalloonLimits *l, uint64_t wanted)
{
    uint64_t bytes = MIN(wanted, p->budget);

    if (bytes < MIN(wanted, l->hysteresis)) {
        return 0;
    }
    if (l->rate > 0) {
        p->budget -= bytes;
    }
    return bytes;
}

static BalloonDecision take(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s,
                            BalloonReason reason, uint64_t used, uint64_t lowest)
{
    bool careful = s->now < p->careful_until;
    uint64_t wanted = s->target - lowest, bytes;

    if (careful && p->taken_told == s->told) { /* what the last step did is not known yet */
        return hold(s, REASON_BACKING_OFF, used);
    }
    if (careful) {
        wanted = MIN(wanted, MAX(l->hysteresis, s->target / CAREFUL_PART));
    }
    bytes = spend(p, l, wanted);
    if (bytes == 0) {
        return hold(s, reason, used);
    }
    p->taken_at = s->now;
    p->taken_told = s->told;
    return (BalloonDecision){BALLOON_INFLATE, reason, s->target - bytes, used};
}

/* Memory that went back in a calm that did not last goes back later the next time. */
static void note_pressure(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s)
{
    if (s->host == PRESSURE_NONE) {
        return;
    }
    p->pressed_at = s->now;
    if (p->calm < l->calm) {
        p->calm = l->calm;
    }
    if (p->returned_at > 0) {
        bool soon = s->now - p->returned_at < p->calm;

        p->calm = soon ? MIN(p->calm * BACKOFF_FACTOR, CALM_MAX) : l->calm;
        p->returned_at = 0;
    }
}

static BalloonDecision give_back(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s,
                                 uint64_t used)
{
    uint64_t bytes;

    if (l->calm == 0 || l->proactive || s->host != PRESSURE_NONE || s->target >= l->ceiling ||
        s->now - p->pressed_at < MAX(p->calm, l->calm)) {
        return hold(s, REASON_STEADY, used);
    }
    bytes = spend(p, l, l->ceiling - s->target);
    if (bytes == 0) {
        return hold(s, REASON_HOST_CALM, used);
    }
    p->returned_at = s->now;
    return (BalloonDecision){BALLOON_DEFLATE, REASON_HOST_CALM, s->target + bytes, used};
}

/* The guest is well, and it is known what it uses. */
static BalloonDecision consider_taking(BalloonPlan *p, const BalloonLimits *l,
                                       const BalloonSample *s)
{
    uint64_t used = used_of(s, MAX(s->had, s->had_asked)); /* at the most */
    uint64_t goal = goal_of(l, used);
    bool above = s->target > l->ceiling;
    BalloonReason reason = s->host == PRESSURE_FULL ? REASON_HOST_STALLED
                           : s->host                ? REASON_HOST_PRESSURE
                           : above                  ? REASON_ABOVE_CEILING
                                                    : REASON_PROACTIVE;
    uint64_t lowest = s->host || l->proactive ? goal : MAX(goal, l->ceiling);

    if (!s->host && !l->proactive && !above) {
        return give_back(p, l, s, used);
    }
    if (s->actual > add(s->target, l->hysteresis)) {
        return hold(s, REASON_GUEST_BEHIND, used);
    }
    if (s->now < p->hold_until) {
        return hold(s, REASON_BACKING_OFF, used);
    }
    if (s->available < l->reserve) { /* what it was promised is not there yet */
        return hold(s, REASON_AT_NEED, used);
    }
    if (s->target <= lowest || (s->target - lowest < l->hysteresis && !above)) {
        bool wanted = s->host != PRESSURE_NONE;

        return hold(s,
                    !wanted            ? REASON_STEADY
                    : goal == l->floor ? REASON_AT_FLOOR
                                       : REASON_AT_NEED,
                    used);
    }
    return take(p, l, s, reason, used, lowest);
}

static BalloonDecision decide(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s)
{
    BalloonReason trouble;
    uint64_t used;

    if (s->told == 0) {
        bool new_driver = p->told > 0 && s->target < l->ceiling;

        p->told = 0;
        p->major_faults = p->oom_kills = BALLOON_UNKNOWN;
        return new_driver ? (BalloonDecision){BALLOON_DEFLATE, REASON_GUEST_STARTED, l->ceiling,
                                              BALLOON_UNKNOWN}
                          : hold(s, REASON_NO_STATISTICS, BALLOON_UNKNOWN);
    }
    if (s->available == BALLOON_UNKNOWN) {
        return hold(s, REASON_NO_STATISTICS, BALLOON_UNKNOWN);
    }
    used = used_of(s, s->had);
    trouble = guest_trouble(p, l, s);
    if (trouble != REASON_STEADY) {
        return help_guest(p, l, s, trouble, used, goal_of(l, used));
    }
    if (s->now - s->told_at > SILENT_INTERVALS * l->interval) {
        return hold(s, REASON_GUEST_SILENT, used);
    }
    return consider_taking(p, l, s);
}

BalloonDecision balloon_plan(BalloonPlan *p, const BalloonLimits *l, const BalloonSample *s)
{
    BalloonDecision d;

    begin(p, s);
    refill_budget(p, l, s);
    note_pressure(p, l, s);
    d = decide(p, l, s);
    p->before = s->now;
    return d;
}
