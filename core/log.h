/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Log and trace. Messages to the user go to stderr as "aerostat: ..."; -D sends all but errors to a file.
 *
 * A trace point costs one branch when off. Each TRACE names an event; -trace PATTERN (glob) switches events on.
 * Event names begin with their module: virtio_queue_notify, pci_bar_map, kvm_set_user_memory.
 */
#ifndef AEROSTAT_CORE_LOG_H
#define AEROSTAT_CORE_LOG_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "qom/error.h"

/* One line, "aerostat: error: ..." to stderr or "aerostat: warning: ..." to the log. Any thread. */
void log_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void log_warn(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* -d ITEM,...: "guest_errors", "unimp"; "help" is the caller's. Fails on an unknown item. */
bool log_set_items(const char *items, GError **err);
bool log_set_file(const char *path, GError **err); /* -D; the caller puts option and path before the error */
const char *const *log_items(void);                /* NULL-terminated names, for help */

/*
 * What a guest did wrong (shown with -d guest_errors), and what it asked for that is not there (-d unimp). Limited to
 * 10 lines per second per call site; suppressed ones are counted and mentioned with the next line. Any thread.
 */
typedef struct { int64_t window_start_us; unsigned in_window, suppressed; } LogRate;
void log_guest_rated(LogRate *rate, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
#define log_guest(...)                                                                             \
    do {                                                                                           \
        static LogRate log_rate_;                                                                  \
        log_guest_rated(&log_rate_, __VA_ARGS__);                                                  \
    } while (0)

void log_unimp_rated(LogRate *rate, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
#define log_unimp(...)                                                                             \
    do {                                                                                           \
        static LogRate log_rate_;                                                                  \
        log_unimp_rated(&log_rate_, __VA_ARGS__);                                                  \
    } while (0)

/* A warning that is always shown although a guest can cause it (why a device needs a reset): limited likewise. */
void log_warn_rated(LogRate *rate, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

typedef struct {
    const char *name;
    bool enabled; /* atomic, relaxed: any thread looks, the command line switches */
} TracePoint;

/* gcc leaves variables in named sections alone under ASan; clang is told to: redzones would tear the array apart. */
#ifdef __clang__
#define TRACE_REF __attribute__((used, section("aerostat_trace"), no_sanitize("address")))
#else
#define TRACE_REF __attribute__((used, section("aerostat_trace")))
#endif

/* TRACE(event, fmt, ...). An event may have several points, also in inline functions: all are switched together. */
#define TRACE(event, ...)                                                                          \
    do {                                                                                           \
        static TracePoint trace_point_##event = {#event, false};                                   \
        static TracePoint *trace_ref_##event TRACE_REF = &trace_point_##event;                     \
        if (G_UNLIKELY(__atomic_load_n(&trace_point_##event.enabled, __ATOMIC_RELAXED))) {         \
            trace_emit(#event, __VA_ARGS__);                                                       \
        }                                                                                          \
    } while (0)

void trace_emit(const char *event, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* At start or at any time, from any thread; a pattern adds to earlier ones. */
bool trace_enable(const char *pattern, GError **err); /* fails when nothing matches, with a suggestion */
/* Each event once, in alphabetical order. */
void trace_list(void (*fn)(const char *event, bool enabled, void *opaque), void *opaque);

#endif
