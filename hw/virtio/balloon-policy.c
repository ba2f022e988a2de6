/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The object balloon-policy: keeps a balloon's target where the host's pressure and the guest's
 * statistics want it. It asks for statistics once an interval, looks at the host's pressure then
 * and when the kernel calls, lets hw/virtio/balloon-plan.c decide, and tells of each decision.
 *
 * The command balloon (and whoever else sets the target) wins: the policy is off from then on,
 * until its property `enabled` is set again.
 *
 * Each decision is an event, and none is held back. What bounds them: a decision is made once an
 * interval, when the kernel calls (twice in a window of pressure at the most), and upon a few
 * statistics of an interval; a guest that tells more often than it is asked waits for the next one.
 *
 * The balloon may leave and come again under the same path, which is looked for once an interval.
 *
 * Threads: main loop, VM lock. While the VM is stopped the policy stands still with it.
 */
#include <inttypes.h>

#include "backends/pressure.h"
#include "backends/user-creatable.h"
#include "core/log.h"
#include "hw/core/device.h"
#include "hw/core/memory-balloon.h"
#include "hw/virtio/balloon-plan.h"
#include "hw/virtio/devices.h"

#define MIB (UINT64_C(1) << 20)

enum { MODE_PRESSURE, MODE_PROACTIVE };
enum { TOLD_PER_INTERVAL = 4 };

typedef struct BalloonPolicy {
    Object parent_obj;
    /* properties */
    Device *device;
    uint64_t floor, ceiling, reserve, hysteresis, rate;
    uint32_t interval_ms, calm_s, faults, some_us, full_us, window_us;
    int mode;
    char *source;
    bool enabled;

    char *path;      /* of device, which is NULL while there is none */
    Object *balloon; /* of device; NULL: not complete, or unplugged */
    MemoryBalloonListener listener;
    MemoryBalloonClass *ops;
    Platform *platform;
    PressureSource *pressure;
    LoopTimer *timer;
    BalloonLimits limits;
    BalloonPlan plan;
    PressureLevel level;
    BalloonDecision last;
    bool decided;              /* `last` is one, and was told */
    bool overridden;           /* off because somebody else set the target */
    uint64_t target_set;       /* by us; something else there: by somebody else */
    uint64_t had_told;         /* statistics for which `had` holds */
    uint64_t had;              /* memory of the guest when it told */
    uint64_t asked, had_asked; /* the same when it was asked; when it was asked for what it told */
    unsigned told_left;        /* statistics of this interval that are decided upon at once */
    uint64_t decisions, inflations, deflations; /* told; of them */
} BalloonPolicy;

OBJECT_DECLARE(BalloonPolicy, balloon_policy, BALLOON_POLICY)

/* --- telling --- */

static const char *policy_id(BalloonPolicy *p)
{
    return p->parent_obj.name ?: "";
}

static void tell(BalloonPolicy *p, const char *action, const char *reason)
{
    json_t *data =
        json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:I}", "id", policy_id(p), "action", action,
                  "reason", reason, "target", (json_int_t)p->ops->target(p->balloon), "actual",
                  (json_int_t)p->ops->actual(p->balloon), "host", pressure_level_name(p->level),
                  "decision", (json_int_t)++p->decisions);

    if (p->last.used != BALLOON_UNKNOWN) {
        json_object_set_new(data, "used", json_integer((json_int_t)p->last.used));
    }
    platform_event(p->platform, "BALLOON_POLICY", data);
}

static void tell_decision(BalloonPolicy *p, const BalloonDecision *d)
{
    bool same = p->decided && d->action == BALLOON_HOLD && d->reason == p->last.reason;

    p->last = *d;
    if (!same) {
        p->decided = true;
        p->inflations += d->action == BALLOON_INFLATE;
        p->deflations += d->action == BALLOON_DEFLATE;
        tell(p, balloon_action_name(d->action), balloon_reason_name(d->reason));
    }
}

/* --- deciding --- */

static void forget_decisions(BalloonPolicy *p)
{
    p->plan = (BalloonPlan){0};
    p->last = (BalloonDecision){.used = BALLOON_UNKNOWN};
    p->decided = false;
    p->target_set = p->ops->target(p->balloon);
}

static void step_aside(BalloonPolicy *p)
{
    p->enabled = false;
    p->overridden = true;
    forget_decisions(p);
    tell(p, "off", "target-set");
}

/* What the guest has when it tells is what its numbers are about. */
static void take_statistics(BalloonPolicy *p, BalloonSample *s)
{
    MemoryBalloonStats stats;

    p->ops->stats(p->balloon, &stats);
    if (stats.count != p->had_told) {
        p->had_told = stats.count;
        p->had = s->actual;
        p->had_asked = p->asked;
    }
    s->told = stats.count;
    s->told_at = stats.at;
    s->available = stats.available;
    s->had = p->had;
    s->had_asked = p->had_asked;
    s->major_faults = stats.major_faults;
    s->oom_kills = stats.oom_kills;
}

static void decide(BalloonPolicy *p)
{
    BalloonSample s = {.now = clock_now(p->platform->vclock)};
    BalloonDecision d;

    p->level = pressure_look(p->pressure, s.now);
    s.host = p->level;
    s.target = p->ops->target(p->balloon);
    s.actual = p->ops->actual(p->balloon);
    take_statistics(p, &s);
    if (!p->enabled) {
        return;
    }
    if (s.target != p->target_set) {
        step_aside(p);
        return;
    }
    d = balloon_plan(&p->plan, &p->limits, &s);
    if (d.action != BALLOON_HOLD) {
        p->ops->set_target(p->balloon, d.target);
        p->target_set = p->ops->target(p->balloon);
    }
    tell_decision(p, &d);
}

static void pressure_cb(void *opaque)
{
    BalloonPolicy *p = opaque;

    if (p->balloon) {
        decide(p);
    }
}

static void told_cb(void *opaque)
{
    BalloonPolicy *p = opaque;
    BalloonSample s = {.actual = p->ops->actual(p->balloon)};

    take_statistics(p, &s); /* what it has is noted now, even if they are looked at later */
    if (p->told_left > 0) {
        p->told_left--;
        decide(p);
    }
}

/* --- the balloon comes and goes --- */

static void attach(BalloonPolicy *p)
{
    p->had_told = 0;
    p->told_left = TOLD_PER_INTERVAL;
    forget_decisions(p);
    p->ops->listen(p->balloon, &p->listener);
}

/* It is of no more use to us than any other that comes under its path. */
static void device_gone(void *opaque)
{
    BalloonPolicy *p = opaque;

    p->balloon = NULL;
    object_unref((Object *)g_steal_pointer(&p->device));
}

static bool has_other(Object *obj, void *opaque)
{
    BalloonPolicy *mine = opaque;

    return !object_is_a(obj, &balloon_policy_type) || obj == OBJECT(mine) ||
           BALLOON_POLICY(obj)->balloon != mine->balloon;
}

static void look_for_balloon(BalloonPolicy *p)
{
    Object *root = object_root(OBJECT(p)), *dev = object_resolve_path(root, p->path, NULL);

    p->balloon = dev ? memory_balloon_find(dev) : NULL;
    if (!p->balloon) {
        return;
    }
    if (!object_foreach(root, has_other, p)) { /* made meanwhile: the balloon is that one's */
        p->balloon = NULL;
        return;
    }
    p->device = DEVICE(object_ref(dev));
    p->ops = object_interface(p->balloon, &memory_balloon_type);
    attach(p);
    p->target_set = gmem_size(p->platform->mem); /* another one: somebody was faster, and wins */
}

static void interval_cb(void *opaque)
{
    BalloonPolicy *p = opaque;

    loop_timer_arm_in(p->timer, p->limits.interval);
    if (!p->balloon) {
        look_for_balloon(p);
    }
    if (p->balloon) {
        p->told_left = TOLD_PER_INTERVAL;
        decide(p);
        p->asked = p->ops->actual(p->balloon);
        p->ops->ask_stats(p->balloon);
    }
}

/* --- showing --- */

static json_t *enabled_get(Object *obj, const Property *prop, GError **err)
{
    return json_boolean(BALLOON_POLICY(obj)->enabled);
}

static bool enabled_set(Object *obj, const Property *prop, json_t *value, GError **err)
{
    BalloonPolicy *p = BALLOON_POLICY(obj);
    bool on = json_is_true(value);

    if (json_is_string(value) && !parse_bool(json_string_value(value), &on, err)) {
        return false;
    }
    if (!json_is_string(value) && !json_is_boolean(value)) {
        return error_set(err, "expects on or off");
    }
    if (p->balloon && on != p->enabled) {
        forget_decisions(p);
    }
    p->enabled = on;
    p->overridden = false;
    return true;
}

static const char *state_name(BalloonPolicy *p)
{
    return !p->balloon ? "no-device" : p->overridden ? "overridden" : p->enabled ? "on" : "off";
}

static void show_pressure(const BalloonPolicy *p, json_t *all)
{
    PressureState s;

    pressure_state(p->pressure, &s);
    json_object_set_new(all, "host", json_string(pressure_level_name(p->level)));
    json_object_set_new(all, "trigger", json_boolean(pressure_has_trigger(p->pressure)));
    json_object_set_new(all, "trigger-calls", json_integer((json_int_t)s.calls));
    if (s.stalls) {
        json_object_set_new(all, "some-us", json_integer((json_int_t)s.some_us));
        json_object_set_new(all, "full-us", json_integer((json_int_t)s.full_us));
    }
    if (s.limit) {
        json_object_set_new(all, "cgroup-used", json_integer((json_int_t)s.used));
        json_object_set_new(all, "cgroup-limit", json_integer((json_int_t)s.limit));
    }
}

static json_t *status_get(Object *obj, const Property *prop, GError **err)
{
    BalloonPolicy *p = BALLOON_POLICY(obj);
    json_t *all = json_pack("{s:s, s:I, s:I, s:I}", "state", state_name(p), "decisions",
                            (json_int_t)p->decisions, "inflations", (json_int_t)p->inflations,
                            "deflations", (json_int_t)p->deflations);

    if (!p->balloon) {
        return all;
    }
    json_object_set_new(all, "target", json_integer((json_int_t)p->ops->target(p->balloon)));
    json_object_set_new(all, "actual", json_integer((json_int_t)p->ops->actual(p->balloon)));
    if (p->decided) {
        json_object_set_new(all, "action", json_string(balloon_action_name(p->last.action)));
        json_object_set_new(all, "reason", json_string(balloon_reason_name(p->last.reason)));
        json_object_set_new(all, "explanation", json_string(balloon_reason_text(p->last.reason)));
    }
    if (p->last.used != BALLOON_UNKNOWN) {
        json_object_set_new(all, "used", json_integer((json_int_t)p->last.used));
    }
    show_pressure(p, all);
    return all;
}

/* --- life --- */

static bool find_balloon(BalloonPolicy *p, GError **err)
{
    if (!p->device) {
        return error_set(err, "device is missing: give the id of a virtio-balloon");
    }
    p->balloon = memory_balloon_find(OBJECT(p->device));
    if (!p->balloon) {
        return error_set(err, "device '%s' is no memory balloon, it is a %s",
                         p->parent_obj.parent ? OBJECT(p->device)->name : "",
                         object_type_name(p->device));
    }
    p->ops = object_interface(p->balloon, &memory_balloon_type);
    p->platform = device_platform(p->device);
    p->path = object_path(OBJECT(p->device));
    return true;
}

static bool check_limits(BalloonPolicy *p, GError **err)
{
    uint64_t ram = gmem_size(p->platform->mem);

    if (p->ceiling == 0) {
        p->ceiling = ram;
    }
    if (p->floor == 0) {
        p->floor = MIN(ram / 4, p->ceiling);
    }
    if (p->ceiling > ram) {
        return error_set(err, "ceiling is %" PRIu64 " MiB, and the guest's memory %" PRIu64 " MiB",
                         p->ceiling / MIB, ram / MIB);
    }
    if (p->floor > p->ceiling) {
        return error_set(err,
                         "floor is %" PRIu64 " MiB, which is over the ceiling, %" PRIu64 " MiB",
                         p->floor / MIB, p->ceiling / MIB);
    }
    p->limits = (BalloonLimits){
        .floor = p->floor,
        .ceiling = p->ceiling,
        .reserve = p->reserve,
        .hysteresis = p->hysteresis,
        .rate = p->rate,
        .interval = (int64_t)p->interval_ms * 1000000,
        .calm = (int64_t)p->calm_s * 1000000000,
        .faults = p->faults,
        .proactive = p->mode == MODE_PROACTIVE,
    };
    return true;
}

static bool open_source(BalloonPolicy *p, GError **err)
{
    PressureSpec spec = {.cgroup = g_strcmp0(p->source, "psi") ? p->source : NULL,
                         .some_us = p->some_us,
                         .full_us = p->full_us,
                         .window_us = p->window_us};

    if (p->some_us > p->window_us || p->full_us > p->window_us) {
        return error_set(err, "some-us and full-us are a part of window-us, %" PRIu32,
                         p->window_us);
    }
    p->pressure = pressure_new(p->platform->loop, &spec, pressure_cb, p, err);
    return p->pressure != NULL;
}

static bool balloon_policy_complete(Object *obj, GError **err)
{
    BalloonPolicy *p = BALLOON_POLICY(obj);

    if (!find_balloon(p, err) || !check_limits(p, err)) {
        return false;
    }
    if (!object_foreach(object_root(obj), has_other, p)) {
        return error_set(err, "device '%s' has a policy already", OBJECT(p->device)->name);
    }
    if (!open_source(p, err)) {
        return false;
    }
    p->timer = loop_timer_new(p->platform->loop, p->platform->vclock, interval_cb, p);
    loop_timer_arm_in(p->timer, p->limits.interval);
    p->listener = (MemoryBalloonListener){told_cb, device_gone, p};
    attach(p);
    return true;
}

static void balloon_policy_init(Object *obj)
{
    BALLOON_POLICY(obj)->enabled = true;
}

static void balloon_policy_finalize(Object *obj)
{
    BalloonPolicy *p = BALLOON_POLICY(obj);

    if (p->timer && p->balloon) {
        p->ops->listen(p->balloon, NULL);
    }
    loop_timer_free(p->timer);
    pressure_free(p->pressure);
    g_free(p->path);
}

static const char *const mode_words[] = {
    [MODE_PRESSURE] = "pressure", [MODE_PROACTIVE] = "proactive", NULL};

static const Property balloon_policy_props[] = {
    PROP_LINK("device", BalloonPolicy, device, Device, &device_type,
              "the balloon, an id of -device virtio-balloon"),
    PROP_SIZE_OPTIONAL("floor", BalloonPolicy, floor, 0,
                       "the guest never has less; not given: a quarter of its memory"),
    PROP_SIZE_OPTIONAL("ceiling", BalloonPolicy, ceiling, 0,
                       "it never gets more; not given: its memory"),
    PROP_SIZE("reserve", BalloonPolicy, reserve, 64 * MIB, 0, INT64_MAX,
              "to be available in the guest on top of what it uses"),
    PROP_SIZE("hysteresis", BalloonPolicy, hysteresis, 32 * MIB, MIB, INT64_MAX,
              "smaller changes are not made"),
    PROP_SIZE("rate-limit", BalloonPolicy, rate, 128 * MIB, 0, INT64_MAX,
              "bytes a second that are taken, or given back unasked, at most; 0: no limit"),
    PROP_UINT32("interval", BalloonPolicy, interval_ms, 1000, 100, 60000,
                "milliseconds between the guest's statistics"),
    PROP_ENUM("mode", BalloonPolicy, mode, mode_words, MODE_PRESSURE,
              "pressure: take memory when the host is short; proactive: whenever the guest does "
              "not need it"),
    PROP_UINT32("calm", BalloonPolicy, calm_s, 60, 0, 86400,
                "seconds without host pressure after which memory goes back; 0: never"),
    PROP_UINT32("faults", BalloonPolicy, faults, 200, 0, UINT32_MAX,
                "major faults a second that mean that the guest is short; 0: they do not matter"),
    PROP_STRING("source", BalloonPolicy, source, "psi",
                "of host pressure: psi, or the folder of a cgroup v2"),
    PROP_UINT32("some-us", BalloonPolicy, some_us, 150000, 0, 10000000,
                "microseconds of a window with a task stalled that are pressure; 0: no matter"),
    PROP_UINT32("full-us", BalloonPolicy, full_us, 50000, 0, 10000000,
                "the same with all tasks stalled; then memory is taken four times as fast"),
    PROP_UINT32("window-us", BalloonPolicy, window_us, 2000000, 500000, 10000000,
                "microseconds of the window"),
    PROP_CUSTOM("enabled", "bool", enabled_get, enabled_set, PROP_RUNTIME,
                "off: the target stays; so it is after it was set by the command balloon"),
    PROP_CUSTOM("status", "balloon policy", status_get, NULL, PROP_READONLY,
                "what was decided last, why, and upon what"),
    PROP_END,
};

static void balloon_policy_class_init(ObjectClass *klass, const void *data)
{
    UserCreatableClass *uc = object_class_interface(klass, &user_creatable_type);

    uc->complete = balloon_policy_complete;
    uc->after_devices = true;
}

const TypeInfo balloon_policy_type = {
    .name = "balloon-policy",
    .instance_size = sizeof(BalloonPolicy),
    .instance_init = balloon_policy_init,
    .instance_finalize = balloon_policy_finalize,
    .class_init = balloon_policy_class_init,
    .props = balloon_policy_props,
    .interfaces = (const TypeInfo *const[]){&user_creatable_type, NULL},
    .desc = "sets a balloon's target by host pressure and guest statistics",
};
