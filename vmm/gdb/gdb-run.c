/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Stopping and going on. The VM stops for its own reasons, too (the monitor, a reset, a disk): what
 * counts is the machine's event, and it is a debugger's reply only while one waits for it.
 */
#include "vmm/gdb/gdb-internal.h"

#include <inttypes.h>
#include <string.h>

/* gdb's numbers */
enum { SIGNAL_INT = 2, SIGNAL_QUIT = 3, SIGNAL_TRAP = 5, SIGNAL_ABRT = 6, SIGNAL_STOP = 17 };

/* The guest may see the same INT3 under another address than the debugger. */
static bool is_ours(GdbServer *g, const CpuStop *stop)
{
    uint64_t gpa;

    if (gdb_breakpoint_at(g, stop->pc)) {
        return true;
    }
    if (!accel_translate(g->m->accel, stop->cpu, stop->pc, &gpa)) {
        return false;
    }
    for (unsigned i = 0; i < g->breakpoints->len; i++) {
        if (g_array_index(g->breakpoints, GdbBreakpoint, i).gpa.v == gpa) {
            return true;
        }
    }
    return false;
}

/* Of several vCPUs that stop at once the first one counts: the others stop there again. */
bool gdb_on_stop(void *opaque, const CpuStop *stop)
{
    GdbServer *g = opaque;

    if (stop->kind == CPU_STOP_INT3 && !is_ours(g, stop)) {
        return false;
    }
    if (!g->stopped_by_hit) {
        g->stop = *stop;
        g->stopped_by_hit = true;
    }
    loop_bh_schedule(g->hit);
    return true;
}

void gdb_on_hit(void *opaque)
{
    GdbServer *g = opaque;

    if (g->m->state == RUN_STATE_RUNNING) {
        machine_stop(g->m, RUN_STATE_DEBUG);
    }
}

/* --- replies --- */

static int signal_of_state(const GdbServer *g)
{
    if (g->stopped_by_hit) {
        return SIGNAL_TRAP;
    }
    switch (g->m->state) {
    case RUN_STATE_PAUSED:
        return SIGNAL_INT;
    case RUN_STATE_SHUTDOWN:
        return SIGNAL_QUIT;
    case RUN_STATE_INTERNAL_ERROR:
    case RUN_STATE_GUEST_PANICKED:
        return SIGNAL_ABRT;
    case RUN_STATE_IO_ERROR:
        return SIGNAL_STOP;
    default:
        return SIGNAL_TRAP;
    }
}

static void put_reason(GString *text, const GdbServer *g)
{
    const CpuPoint *p = &g->hardware.points[g->stop.point];
    bool int3 = g->stop.kind == CPU_STOP_INT3, point = g->stop.kind == CPU_STOP_POINT;

    if (int3 && g->tells_sw) {
        g_string_append(text, "swbreak:;");
    } else if (point && p->kind == CPU_POINT_EXEC && g->tells_hw) {
        g_string_append(text, "hwbreak:;");
    } else if (point && p->kind != CPU_POINT_EXEC) {
        g_string_append_printf(text, "%s:%" PRIx64 ";",
                               p->kind == CPU_POINT_WRITE ? "watch" : "awatch", p->addr);
    }
}

void gdb_send_stop(GdbServer *g)
{
    g_autoptr(GString) text = g_string_new(NULL);

    if (g->stopped_by_hit) {
        g->g_cpu = g->c_cpu = g->stop.cpu;
    }
    g_string_printf(text, "T%02xthread:%02x;", signal_of_state(g), g->c_cpu + 1);
    if (g->stopped_by_hit) {
        put_reason(text, g);
    }
    gdb_reply(g, text->str);
}

/* --- the machine's events --- */

static void stopped(GdbServer *g)
{
    if (g->m->state == RUN_STATE_SAVE_VM) { /* goes on by itself */
        return;
    }
    gdb_points_apply(g, NULL); /* a step is one step */
    if (g->owes_stop) {
        g->owes_stop = false;
        gdb_send_stop(g);
    }
}

void gdb_on_event(void *opaque, const char *name, json_t *data)
{
    GdbServer *g = opaque;

    if (!strcmp(name, "STOP")) {
        stopped(g);
    } else if (!strcmp(name, "RESUME")) {
        g->stopped_by_hit = false;
    } else if (!strcmp(name, "RESET")) {
        gdb_points_again(g);
    }
}

/* --- run control --- */

void gdb_halt(GdbServer *g)
{
    bool dumping = g->m->state == RUN_STATE_SAVE_VM; /* would go on by itself */

    if (dumping || g->m->state == RUN_STATE_RUNNING) {
        machine_stop(g->m, RUN_STATE_PAUSED);
    }
    if (dumping) { /* it stood already, so no STOP says so */
        stopped(g);
    }
}

void gdb_resume(GdbServer *g, const CpuDebugMode *modes)
{
    g_autoptr(GError) err = NULL;
    bool ready;

    g->owes_stop = true;
    g->stopped_by_hit = false;
    ready = gdb_points_apply(g, modes);
    loop_bh_cancel(g->hit);
    if (ready && machine_cont(g->m, &err)) {
        return;
    }
    if (err) {
        gdb_console(g, err->message);
    }
    stopped(g);
}

void gdb_detach(GdbServer *g)
{
    bool running = g->m->state == RUN_STATE_RUNNING;

    g->owes_stop = false;
    if (running) {
        accel_pause(g->m->accel);
    }
    gdb_points_clear(g);
    gdb_points_apply(g, NULL);
    loop_bh_cancel(g->hit); /* what was hit meanwhile is nobody's any more */
    g->stopped_by_hit = false;
    if (running) {
        accel_start(g->m->accel);
    }
}
