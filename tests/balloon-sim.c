/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The model and its traces, see balloon-sim.h. Time goes in steps of 100 ms.
 */
#include "tests/balloon-sim.h"

#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GUESTS = 8, LINES = 4096, STEP_MS = 100, FOLLOW_MIB_S = 512, FAULTS_PER_MIB = 10 };
#define UNSET (-1.0)

/* --- bounds --- */

static uint64_t add(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint64_t product(uint64_t rate, int64_t dt)
{
    long double bytes = (long double)rate * (long double)MAX(dt, 0) / SIM_SECOND;

    return bytes >= 1.8e19L ? UINT64_MAX : (uint64_t)bytes;
}

static void refill(SimBounds *b, const BalloonLimits *l, const BalloonSample *s)
{
    uint64_t rate = s->host == PRESSURE_FULL ? l->rate * 4 : l->rate;
    uint64_t most = add(MAX(product(rate, l->interval), l->hysteresis), 1);

    b->budget = MIN(add(add(b->budget, product(rate, s->now - b->before)), 1), most);
    b->before = s->now;
}

static const char *check_inflate(SimBounds *b, const BalloonLimits *l, const BalloonSample *s,
                                 const BalloonDecision *d)
{
    uint64_t taken = s->target - d->target;

    if (d->target >= s->target) {
        return "inflating gives memory";
    }
    if (s->told == 0 || s->available == BALLOON_UNKNOWN || s->now - s->told_at > 3 * l->interval) {
        return "blind inflation";
    }
    if (d->target < l->floor) {
        return "below the floor";
    }
    if (d->target < add(s->had - MIN(s->available, s->had), l->reserve)) {
        return "below what the guest uses";
    }
    if (!s->host && !l->proactive && s->target <= l->ceiling) {
        return "memory taken without need";
    }
    if (s->available < l->reserve) {
        return "memory taken from a guest that is short";
    }
    if (l->rate && taken > b->budget) {
        return "faster than the rate";
    }
    b->budget -= l->rate ? taken : 0;
    return NULL;
}

static const char *check_deflate(SimBounds *b, const BalloonLimits *l, const BalloonSample *s,
                                 const BalloonDecision *d)
{
    uint64_t given = d->target - s->target;

    if (d->target <= s->target) {
        return "deflating takes memory";
    }
    if (d->target > l->ceiling) {
        return "over the ceiling";
    }
    if (d->reason != REASON_HOST_CALM) {
        return NULL;
    }
    if (s->host || l->proactive) {
        return "calm under pressure";
    }
    if (l->rate && given > b->budget) {
        return "given back faster than the rate";
    }
    b->budget -= l->rate ? given : 0;
    return NULL;
}

/* A guest that is short is helped with the decision that follows its statistics. */
static bool must_help(const SimBounds *b, const BalloonLimits *l, const BalloonSample *s)
{
    uint64_t used = s->had - MIN(s->available, s->had);

    return s->told && s->told != b->told && s->available < l->reserve && s->target < l->ceiling &&
           add(used, l->reserve) > s->target;
}

const char *sim_bounds_check(SimBounds *b, const BalloonLimits *l, const BalloonSample *s,
                             const BalloonDecision *d)
{
    const char *wrong = NULL;

    if (!b->begun) {
        *b = (SimBounds){.before = s->now, .begun = true};
    }
    refill(b, l, s);
    if (must_help(b, l, s) && d->action != BALLOON_DEFLATE) {
        wrong = "a guest that is short gets nothing";
    } else if (d->action == BALLOON_INFLATE) {
        wrong = check_inflate(b, l, s, d);
    } else if (d->action == BALLOON_DEFLATE) {
        wrong = check_deflate(b, l, s, d);
    } else if (d->target != s->target) {
        wrong = "holding changes the target";
    }
    b->told = s->told;
    return wrong;
}

/* --- the model --- */

typedef struct {
    bool there, tells, recorded;
    double ram, kernel, anon, cache; /* MiB; of the cache what is read again and again */
    double target, actual;
    double faults;        /* so far */
    double happened;      /* of them, recorded ones */
    unsigned ooms, kills; /* the model's; recorded ones */
    BalloonLimits limits;
    BalloonPlan plan;
    SimBounds bounds;
    BalloonSample sample; /* the statistics in it are those of the last time */
    uint64_t level;       /* pressure at the last look */
    /* what came of it */
    unsigned inflations, deflations, reversals;
    int direction; /* of the last change */
    double thrashed, least;
} Guest;

typedef struct {
    const char *path;
    double memory, load; /* of the host; memory 0: pressure is the trace's */
    PressureLevel pressure;
    EventLoop *loop; /* of a trace with recorded stalls; NULL: none so far */
    PressureSource *source;
    char *folder; /* it reads this, as a cgroup's */
    Guest guests[GUESTS];
    double now;
    bool verbose;
    GString *wrong;
} Sim;

static void complain(Sim *sim, unsigned n, const char *fmt, ...) G_GNUC_PRINTF(3, 4);
static void complain(Sim *sim, unsigned n, const char *fmt, ...)
{
    g_autofree char *base = g_path_get_basename(sim->path), *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_string_append_printf(sim->wrong, "%s: %.1f s, guest %u: %s\n", base, sim->now, n, text);
}

static PressureLevel host_pressure(const Sim *sim)
{
    double used = sim->load;

    if (sim->memory == 0) {
        return sim->pressure;
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        used += sim->guests[i].there ? sim->guests[i].actual : 0;
    }
    return used > sim->memory          ? PRESSURE_FULL
           : used > 0.96 * sim->memory ? PRESSURE_SOME
                                       : PRESSURE_NONE;
}

/* The balloon follows its target; a guest cannot give what it has in use. */
static void guest_lives(Guest *g, double dt)
{
    double most = FOLLOW_MIB_S * dt, room, missing;

    if (g->target < g->actual) {
        g->actual = MAX(g->actual - most, MAX(g->target, MIN(g->actual, g->kernel + g->anon)));
    } else {
        g->actual = MIN(g->actual + most, g->target);
    }
    room = g->actual - g->kernel - g->anon;
    if (room < 0) { /* it kills, and what it killed starts again */
        g->ooms++;
    }
    missing = g->cache - MAX(room, 0);
    if (missing > 0) {
        g->faults += missing * FAULTS_PER_MIB * dt;
        g->thrashed += dt;
    }
}

static void guest_tells(Guest *g, double now)
{
    BalloonSample *s = &g->sample;

    if (!g->tells || g->recorded) {
        return;
    }
    s->told++;
    s->told_at = (int64_t)(now * SIM_SECOND);
    s->had = (uint64_t)(g->actual * SIM_MIB);
    s->available = (uint64_t)(MAX(g->actual - g->kernel - g->anon, 0) * SIM_MIB);
    s->major_faults = (uint64_t)g->faults;
    s->oom_kills = g->ooms + g->kills;
}

static void note_change(Sim *sim, unsigned n, const BalloonDecision *d)
{
    Guest *g = &sim->guests[n];
    int direction = d->action == BALLOON_INFLATE ? -1 : 1;

    g->inflations += d->action == BALLOON_INFLATE;
    g->deflations += d->action == BALLOON_DEFLATE;
    g->reversals += g->direction != 0 && direction != g->direction;
    g->direction = direction;
    g->target = (double)d->target / SIM_MIB;
    g->least = MIN(g->least, g->target);
    if (sim->verbose) {
        printf("%7.1f s guest %u: %s to %.0f MiB, %s (has %.0f, uses %.0f)\n", sim->now, n,
               balloon_action_name(d->action), g->target, balloon_reason_name(d->reason), g->actual,
               (double)d->used / SIM_MIB);
    }
}

static void decide(Sim *sim, unsigned n)
{
    Guest *g = &sim->guests[n];
    BalloonSample *s = &g->sample;
    BalloonDecision d;
    const char *wrong;

    s->now = (int64_t)(sim->now * SIM_SECOND);
    s->host = host_pressure(sim);
    s->target = (uint64_t)(g->target * SIM_MIB);
    s->actual = (uint64_t)(g->actual * SIM_MIB);
    d = balloon_plan(&g->plan, &g->limits, s);
    wrong = sim_bounds_check(&g->bounds, &g->limits, s, &d);
    if (wrong) {
        complain(sim, n, "%s (%s, %s)", wrong, balloon_action_name(d.action),
                 balloon_reason_name(d.reason));
    }
    if (d.action != BALLOON_HOLD) {
        note_change(sim, n, &d);
    }
}

/* Statistics come a step after they were asked for; the kernel calls when pressure rises. */
static void step(Sim *sim, unsigned at)
{
    for (unsigned i = 0; i < GUESTS; i++) {
        Guest *g = &sim->guests[i];
        unsigned interval = (unsigned)(g->limits.interval / 1000000 / STEP_MS);
        PressureLevel level = host_pressure(sim);

        if (!g->there) {
            continue;
        }
        guest_lives(g, STEP_MS / 1000.0);
        if ((at + i) % interval == 1) {
            guest_tells(g, sim->now);
        }
        if ((at + i) % interval <= 1 || level > g->level) {
            decide(sim, i);
        }
        g->level = level;
    }
}

/* --- traces --- */

/* The number of "key=number" among the words. */
static double value_of(char **words, const char *key)
{
    size_t len = strlen(key);

    for (; *words; words++) {
        if (!strncmp(*words, key, len) && (*words)[len] == '=') {
            return g_ascii_strtod(*words + len + 1, NULL);
        }
    }
    return UNSET;
}

static double value_or(char **words, const char *key, double otherwise)
{
    double v = value_of(words, key);

    return v == UNSET ? otherwise : v;
}

static uint64_t bytes_or(char **words, const char *key, double mib)
{
    return (uint64_t)(value_or(words, key, mib) * SIM_MIB);
}

static void make_guest(Guest *g, char **words)
{
    double ram = value_or(words, "ram", 1024);

    *g = (Guest){
        .there = true,
        .tells = true,
        .ram = ram,
        .kernel = value_or(words, "kernel", 40),
        .anon = value_or(words, "anon", 100),
        .cache = value_or(words, "cache", 0),
        .target = ram,
        .actual = ram,
        .least = ram,
        .limits = {.floor = bytes_or(words, "floor", ram / 4),
                   .ceiling = bytes_or(words, "ceiling", ram),
                   .reserve = bytes_or(words, "reserve", 64),
                   .hysteresis = bytes_or(words, "hysteresis", 32),
                   .rate = bytes_or(words, "rate", 128),
                   .interval = SIM_SECOND,
                   .calm = (int64_t)(value_or(words, "calm", 60) * SIM_SECOND),
                   .faults = (uint64_t)value_or(words, "faults", 200),
                   .proactive = value_or(words, "proactive", 0) > 0},
        .sample = {.available = BALLOON_UNKNOWN,
                   .major_faults = BALLOON_UNKNOWN,
                   .oom_kills = BALLOON_UNKNOWN},
    };
}

static void change_host(Sim *sim, char **words)
{
    sim->load = value_or(words, "load", sim->load);
    for (; *words; words++) {
        if (g_str_has_prefix(*words, "pressure=")) {
            const char *level = *words + strlen("pressure=");

            sim->pressure = !strcmp(level, "full")   ? PRESSURE_FULL
                            : !strcmp(level, "some") ? PRESSURE_SOME
                                                     : PRESSURE_NONE;
        }
    }
}

static void change_guest(Guest *g, char **words)
{
    g->anon = value_or(words, "anon", g->anon);
    g->cache = value_or(words, "cache", g->cache);
    g->tells = value_or(words, "tells", g->tells) > 0;
    if (value_of(words, "reset") > 0) {
        g->sample.told = 0;
        g->actual = g->ram;
    }
}

static void recorded_statistics(Guest *g, char **words, double now)
{
    BalloonSample *s = &g->sample;

    g->recorded = true;
    s->told++;
    s->told_at = (int64_t)(now * SIM_SECOND);
    s->had = bytes_or(words, "had", g->actual);
    s->available = bytes_or(words, "available", 0);
    s->major_faults = (uint64_t)value_or(words, "faults", 0);
    g->actual = (double)s->had / SIM_MIB;
    s->oom_kills = 0;
}

/* The guest that was recorded had a balloon of its own: what it used is what the model's needs. */
static void recorded_use(Guest *g, char **words)
{
    double faults = value_or(words, "faults", 0);

    g->kernel = 0;
    g->anon = MAX(value_or(words, "had", 0) - value_or(words, "available", 0), 0);
    g->faults += MAX(faults - g->happened, 0);
    g->happened = faults;
    g->kills = (unsigned)value_or(words, "kills", 0);
}

static void nobody_calls(void *opaque)
{
}

/* The stalls go the way that the kernel's go, through a file; the level holds until the next line.
 */
static void recorded_stalls(Sim *sim, char **words)
{
    static const PressureSpec spec = {.some_us = 150000, .full_us = 50000, .window_us = 2000000};
    PressureSpec here = spec;
    g_autofree char *file = NULL, *text = NULL;
    FILE *f;

    if (!sim->loop) {
        sim->loop = loop_new(NULL);
        sim->folder = g_dir_make_tmp("stalls-XXXXXX", NULL);
    }
    file = g_build_filename(sim->folder, "memory.pressure", NULL);
    text = g_strdup_printf("some avg10=0 total=%.0f\nfull avg10=0 total=%.0f\n",
                           value_or(words, "some", 0), value_or(words, "full", 0));
    f = fopen(file, "w"); /* in place: it stays open for reading */
    g_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
    if (!sim->source) {
        here.cgroup = sim->folder;
        sim->source = pressure_new(sim->loop, &here, nobody_calls, NULL, NULL);
        g_assert(sim->source);
    }
    sim->pressure = pressure_look(sim->source, (int64_t)(sim->now * SIM_SECOND));
}

static void check_most(Sim *sim, unsigned n, char **words, const char *key, double got)
{
    double most = value_of(words, key);

    if (most != UNSET && got > most) {
        complain(sim, n, "%s: %g, at most %g expected", key, got, most);
    }
}

static void check_result(Sim *sim, unsigned n, char **words)
{
    const Guest *g = &sim->guests[n];
    double least = value_of(words, "least");

    check_most(sim, n, words, "inflations", g->inflations);
    check_most(sim, n, words, "deflations", g->deflations);
    check_most(sim, n, words, "reversals", g->reversals);
    check_most(sim, n, words, "ooms", g->ooms);
    check_most(sim, n, words, "thrash", g->thrashed);
    if (least != UNSET && g->least < least) {
        complain(sim, n, "its target was %.0f MiB, at least %.0f expected", g->least, least);
    }
}

static void check_target(Sim *sim, unsigned n, char **words)
{
    double from = value_of(words, "from"), target = sim->guests[n].target;

    if (from != UNSET && sim->now >= from && sim->now <= value_or(words, "to", from) &&
        (target < value_or(words, "low", 0) || target > value_or(words, "high", 1e9))) {
        complain(sim, n, "its target is %.0f MiB, %g to %g expected", target,
                 value_or(words, "low", 0), value_or(words, "high", 1e9));
    }
}

/* A line that has its time now. words: without the first. */
static void apply(Sim *sim, const char *what, double when, char **words)
{
    bool of_guest = words[0] && g_ascii_isdigit(*words[0]);
    Guest *g = &sim->guests[of_guest ? atoi(words[0]) % GUESTS : 0];

    if (when < sim->now - 1e-6 || when >= sim->now + STEP_MS / 1000.0 - 1e-6) {
        return;
    }
    if (!strcmp(what, "tell")) {
        recorded_statistics(g, words, sim->now);
    } else if (!strcmp(what, "told")) {
        recorded_use(g, words);
    } else if (!strcmp(what, "stalls")) {
        recorded_stalls(sim, words);
    } else if (of_guest) {
        change_guest(g, words);
    } else {
        change_host(sim, words);
    }
}

static bool has_time(const char *what)
{
    static const char *const with[] = {"at", "tell", "told", "stalls", NULL};

    return g_strv_contains(with, what);
}

static void each_line(Sim *sim, GPtrArray *lines, bool last)
{
    for (unsigned i = 0; i < lines->len; i++) {
        char **words = lines->pdata[i];

        if (has_time(words[0])) {
            apply(sim, words[0], g_ascii_strtod(words[1], NULL), words + 2);
        } else if (!strcmp(words[0], "expect")) {
            (last ? check_result : check_target)(sim, (unsigned)atoi(words[1]) % GUESTS, words);
        }
    }
}

static GPtrArray *read_lines(const char *path)
{
    GPtrArray *lines = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    g_autofree char *text = NULL;
    g_auto(GStrv) rows = NULL;

    g_assert(g_file_get_contents(path, &text, NULL, NULL));
    rows = g_strsplit(text, "\n", LINES);
    for (unsigned i = 0; rows[i]; i++) {
        g_auto(GStrv) all = NULL;
        GPtrArray *kept = g_ptr_array_new();

        rows[i][strcspn(rows[i], "#")] = '\0';
        all = g_strsplit_set(rows[i], " \t", -1);
        for (unsigned w = 0; all[w]; w++) {
            if (*all[w]) {
                g_ptr_array_add(kept, g_strdup(all[w]));
            }
        }
        if (kept->len > 0) {
            g_ptr_array_add(kept, NULL);
            g_ptr_array_add(lines, g_ptr_array_free(kept, FALSE));
        } else {
            g_ptr_array_free(kept, TRUE);
        }
    }
    return lines;
}

static void forget_stalls(Sim *sim)
{
    if (sim->loop) {
        g_autofree char *file = g_build_filename(sim->folder, "memory.pressure", NULL);

        pressure_free(sim->source);
        loop_free(sim->loop);
        g_unlink(file);
        g_rmdir(sim->folder);
        g_free(sim->folder);
    }
}

char *sim_run_trace(const char *path, bool verbose)
{
    Sim sim = {.path = path, .verbose = verbose, .wrong = g_string_new(NULL)};
    g_autoptr(GPtrArray) lines = read_lines(path);
    double end = 0;

    for (unsigned i = 0; i < lines->len; i++) {
        char **words = lines->pdata[i];

        if (!strcmp(words[0], "host")) {
            sim.memory = value_or(words, "memory", 0);
            sim.load = value_or(words, "load", 0);
        } else if (!strcmp(words[0], "guest")) {
            make_guest(&sim.guests[atoi(words[1]) % GUESTS], words);
        } else if (!strcmp(words[0], "end")) {
            end = g_ascii_strtod(words[1], NULL);
        }
    }
    g_assert(end > 0);
    for (unsigned at = 0; sim.now < end; at++) {
        sim.now = at * STEP_MS / 1000.0;
        each_line(&sim, lines, false);
        step(&sim, at);
    }
    each_line(&sim, lines, true);
    forget_stalls(&sim);
    return g_string_free(sim.wrong, FALSE);
}
