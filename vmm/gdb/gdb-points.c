/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Breakpoints and watchpoints, and guest memory as a debugger sees it. A software breakpoint is an
 * INT3 in guest memory, at a place that is remembered by its physical address: the page tables may
 * be others when it is taken away. Hardware points are the four debug registers of each vCPU.
 */
#include "vmm/gdb/gdb-internal.h"

#include <string.h>

enum { PAGE = 4096, INT3 = 0xcc };

#define NOT_SERVED ""
#define OK         "OK"
#define NO_MEMORY  "E0e" /* EFAULT */
#define BAD_VALUE  "E16" /* EINVAL */
#define NO_ROOM    "E1c" /* ENOSPC */

/* --- software --- */

static GdbBreakpoint *breakpoint(const GdbServer *g, unsigned i)
{
    return &g_array_index(g->breakpoints, GdbBreakpoint, i);
}

static int find_breakpoint(const GdbServer *g, uint64_t addr)
{
    for (unsigned i = 0; i < g->breakpoints->len; i++) {
        if (breakpoint(g, i)->addr == addr) {
            return (int)i;
        }
    }
    return -1;
}

bool gdb_breakpoint_at(const GdbServer *g, uint64_t addr)
{
    return find_breakpoint(g, addr) >= 0;
}

/* Another breakpoint at the same place, by another virtual address, has put its INT3 there. */
static const GdbBreakpoint *alias_of(const GdbServer *g, Gpa gpa)
{
    for (unsigned i = 0; i < g->breakpoints->len; i++) {
        if (breakpoint(g, i)->gpa.v == gpa.v) {
            return breakpoint(g, i);
        }
    }
    return NULL;
}

static bool plant(GdbServer *g, GdbBreakpoint *b)
{
    const uint8_t int3 = INT3;

    return gmem_read(g->m->platform.mem, b->gpa, &b->saved, 1) &&
           gmem_write(g->m->platform.mem, b->gpa, &int3, 1);
}

/* Not if the guest or a loader has put something else there since. */
static void unplant(GdbServer *g, const GdbBreakpoint *b)
{
    uint8_t now = 0;

    if (!gmem_read(g->m->platform.mem, b->gpa, &now, 1) || now != INT3 ||
        !gmem_write(g->m->platform.mem, b->gpa, &b->saved, 1)) {
        return;
    }
}

static const char *add_software(GdbServer *g, uint64_t addr)
{
    GdbBreakpoint b = {.addr = addr};
    const GdbBreakpoint *alias;

    if (gdb_breakpoint_at(g, addr)) {
        return OK;
    }
    if (g->breakpoints->len >= GDB_POINTS_MAX) {
        return NO_ROOM;
    }
    if (!accel_translate(g->m->accel, g->g_cpu, addr, &b.gpa.v)) {
        return NO_MEMORY;
    }
    alias = alias_of(g, b.gpa);
    if (alias) {
        b.saved = alias->saved;
    } else if (!plant(g, &b)) {
        return NO_MEMORY;
    }
    g_array_append_val(g->breakpoints, b);
    return OK;
}

static const char *del_software(GdbServer *g, uint64_t addr)
{
    int i = find_breakpoint(g, addr);
    GdbBreakpoint b;

    if (i >= 0) {
        b = *breakpoint(g, (unsigned)i);
        g_array_remove_index_fast(g->breakpoints, (guint)i);
        if (!alias_of(g, b.gpa)) {
            unplant(g, &b);
        }
    }
    return OK;
}

void gdb_points_again(GdbServer *g)
{
    const uint8_t int3 = INT3;
    uint8_t now;

    for (unsigned i = 0; i < g->breakpoints->len; i++) {
        GdbBreakpoint *b = breakpoint(g, i);

        if (gmem_read(g->m->platform.mem, b->gpa, &now, 1) && now != INT3 &&
            gmem_write(g->m->platform.mem, b->gpa, &int3, 1)) {
            for (unsigned j = i; j < g->breakpoints->len; j++) { /* and other names of this byte */
                if (breakpoint(g, j)->gpa.v == b->gpa.v) {
                    breakpoint(g, j)->saved = now;
                }
            }
        }
    }
}

/* --- hardware --- */

static bool kind_of_type(unsigned type, CpuPointKind *ret)
{
    switch (type) {
    case 1:
        *ret = CPU_POINT_EXEC;
        return true;
    case 2:
        *ret = CPU_POINT_WRITE;
        return true;
    case 4:
        *ret = CPU_POINT_ACCESS;
        return true;
    default: /* 3: x86 has none for reads alone, and gdb does with one for accesses */
        return false;
    }
}

static int find_point(const GdbServer *g, const CpuPoint *p)
{
    for (unsigned i = 0; i < g->hardware.nr_points; i++) {
        const CpuPoint *q = &g->hardware.points[i];

        if (q->addr == p->addr && q->len == p->len && q->kind == p->kind) {
            return (int)i;
        }
    }
    return -1;
}

static bool make_point(CpuPointKind kind, uint64_t addr, uint64_t len, CpuPoint *ret)
{
    if (kind == CPU_POINT_EXEC) {
        len = 1;
    }
    if ((len != 1 && len != 2 && len != 4 && len != 8) || addr % len != 0) {
        return false;
    }
    *ret = (CpuPoint){.addr = addr, .len = (uint8_t)len, .kind = kind};
    return true;
}

static const char *add_hardware(GdbServer *g, const CpuPoint *p)
{
    CpuDebug *h = &g->hardware;

    if (find_point(g, p) >= 0) {
        return OK;
    }
    if (h->nr_points == CPU_POINTS_MAX) {
        return NO_ROOM;
    }
    h->points[h->nr_points++] = *p;
    return OK;
}

static const char *del_hardware(GdbServer *g, const CpuPoint *p)
{
    CpuDebug *h = &g->hardware;
    int i = find_point(g, p);

    if (i >= 0) {
        h->points[i] = h->points[--h->nr_points];
    }
    return OK;
}

/* --- all --- */

const char *gdb_point_add(GdbServer *g, unsigned type, uint64_t addr, uint64_t kind)
{
    CpuPointKind what;
    CpuPoint p;

    if (type == 0) {
        return add_software(g, addr);
    }
    if (!kind_of_type(type, &what)) {
        return NOT_SERVED;
    }
    return make_point(what, addr, kind, &p) ? add_hardware(g, &p) : BAD_VALUE;
}

const char *gdb_point_del(GdbServer *g, unsigned type, uint64_t addr, uint64_t kind)
{
    CpuPointKind what;
    CpuPoint p;

    if (type == 0) {
        return del_software(g, addr);
    }
    if (!kind_of_type(type, &what)) {
        return NOT_SERVED;
    }
    return make_point(what, addr, kind, &p) ? del_hardware(g, &p) : BAD_VALUE;
}

void gdb_points_clear(GdbServer *g)
{
    for (unsigned i = g->breakpoints->len; i-- > 0;) {
        unplant(g, breakpoint(g, i));
    }
    g_array_set_size(g->breakpoints, 0);
    g->hardware.nr_points = 0;
}

bool gdb_points_apply(GdbServer *g, const CpuDebugMode *modes)
{
    g_autoptr(GError) err = NULL;
    CpuDebug d = g->hardware;

    d.software = g->breakpoints->len > 0;
    for (unsigned i = 0; i < g->m->accel->nr_vcpus; i++) {
        d.mode = modes ? modes[i] : CPU_DEBUG_RUN;
        if (!accel_debug(g->m->accel, i, &d, &err)) {
            gdb_console(g, err->message);
            return false;
        }
    }
    return true;
}

/* --- memory --- */

static bool place(GdbServer *g, uint64_t addr, size_t len, Gpa *ret, size_t *ret_len)
{
    *ret = GPA(addr);
    *ret_len = MIN(len, PAGE - addr % PAGE); /* neighbours in virtual memory only */
    return g->physical || accel_translate(g->m->accel, g->g_cpu, addr, &ret->v);
}

bool gdb_memory_read(GdbServer *g, uint64_t addr, uint8_t *ret, size_t len)
{
    while (len > 0) {
        size_t n;
        Gpa gpa;

        if (!place(g, addr, len, &gpa, &n) || !gmem_read(g->m->platform.mem, gpa, ret, n)) {
            return false;
        }
        for (unsigned i = 0; i < g->breakpoints->len; i++) {
            const GdbBreakpoint *b = breakpoint(g, i);

            if (b->gpa.v - gpa.v < n && ret[b->gpa.v - gpa.v] == INT3) {
                ret[b->gpa.v - gpa.v] = b->saved;
            }
        }
        addr += n;
        ret += n;
        len -= n;
    }
    return true;
}

bool gdb_memory_write(GdbServer *g, uint64_t addr, const uint8_t *bytes, size_t len)
{
    const uint8_t int3 = INT3;

    while (len > 0) {
        size_t n;
        Gpa gpa;

        if (!place(g, addr, len, &gpa, &n) || !gmem_write(g->m->platform.mem, gpa, bytes, n)) {
            return false;
        }
        for (unsigned i = 0; i < g->breakpoints->len; i++) {
            GdbBreakpoint *b = breakpoint(g, i);

            if (b->gpa.v - gpa.v < n && gmem_write(g->m->platform.mem, b->gpa, &int3, 1)) {
                b->saved = bytes[b->gpa.v - gpa.v];
            }
        }
        addr += n;
        bytes += n;
        len -= n;
    }
    return true;
}
