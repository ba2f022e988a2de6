/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Trace points. Each TRACE leaves a pointer in the section "aerostat_trace"; the linker puts those
 * of the whole program in one array. A program without any has no such section, hence the weak
 * symbols.
 */
#include "core/log.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>

#include "core/log-internal.h"

extern TracePoint *__start_aerostat_trace[] __attribute__((weak, visibility("hidden")));
extern TracePoint *__stop_aerostat_trace[] __attribute__((weak, visibility("hidden")));

void trace_emit(const char *event, const char *fmt, ...)
{
    GString *line = g_string_new(NULL);
    int64_t now = g_get_monotonic_time();
    va_list args;

    g_string_printf(line, "%" PRId64 ".%06" PRId64 " %s ", now / 1000000, now % 1000000, event);
    va_start(args, fmt);
    g_string_append_vprintf(line, fmt, args);
    va_end(args);
    log_write_line(log_fd(), line);
    g_string_free(line, TRUE);
}

static int point_compare(gconstpointer a, gconstpointer b)
{
    const TracePoint *const *x = a, *const *y = b;

    return g_strcmp0((*x)->name, (*y)->name);
}

/* All points, sorted by name; an event that several translation units define is there several
 * times. */
static GPtrArray *points_sorted(void)
{
    GPtrArray *points = g_ptr_array_new();

    for (TracePoint **p = __start_aerostat_trace; p < __stop_aerostat_trace; p++) {
        g_ptr_array_add(points, *p);
    }
    g_ptr_array_sort(points, point_compare);
    return points;
}

static bool fail_unknown(const GPtrArray *points, const char *pattern, GError **err)
{
    g_autofree const char **names = g_new0(const char *, points->len + 1);
    const char *near;

    for (unsigned i = 0; i < points->len; i++) {
        names[i] = ((const TracePoint *)g_ptr_array_index(points, i))->name;
    }
    near = error_near_miss(pattern, names);
    return error_set(err, "no event matches '%s'%s%s%s", pattern,
                     near ? "; did you mean '" : "; see -trace help", near ? near : "",
                     near ? "'?" : "");
}

bool trace_enable(const char *pattern, GError **err)
{
    g_autoptr(GPtrArray) points = points_sorted();
    bool any = false;

    for (unsigned i = 0; i < points->len; i++) {
        TracePoint *p = g_ptr_array_index(points, i);

        if (!fnmatch(pattern, p->name, 0)) {
            __atomic_store_n(&p->enabled, true,
                             __ATOMIC_RELAXED); /* pairs with the load in TRACE */
            any = true;
        }
    }
    return any || fail_unknown(points, pattern, err);
}

void trace_list(void (*fn)(const char *event, bool enabled, void *opaque), void *opaque)
{
    g_autoptr(GPtrArray) points = points_sorted();
    const char *last = NULL;

    for (unsigned i = 0; i < points->len; i++) {
        TracePoint *p = g_ptr_array_index(points, i);

        if (g_strcmp0(last, p->name)) {
            last = p->name;
            fn(p->name, __atomic_load_n(&p->enabled, __ATOMIC_RELAXED), opaque);
        }
    }
}
