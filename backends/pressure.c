/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Pressure stall information and cgroup limits. A file of the kernel is read afresh each time.
 */
#include "backends/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "core/log.h"

enum { TEXT_MAX = 256, TRIGGERS = 2 };
#define LOOK_NS INT64_C(50000000) /* a stall within a shorter time says nothing about a window */

struct PressureSource {
    PressureSpec spec;
    char *cgroup;
    int stalls;                   /* the pressure file; -1: none */
    int current, limits[2];       /* memory.current; memory.high and memory.max; -1: none */
    int trigger[TRIGGERS], epoll; /* -1: none */
    LoopFd *watch;                /* of epoll */
    PressureLevel stalled;        /* as of looked_at */
    PressureLevel called;         /* by the kernel since the last look */
    bool looked;
    int64_t looked_at;
    uint64_t some0, full0; /* at the beginning */
    PressureState state;
    void (*fn)(void *opaque);
    void *opaque;
};

const char *pressure_level_name(PressureLevel level)
{
    static const char *const names[] = {"none", "some", "full"};

    return names[level];
}

/* --- reading --- */

static bool read_text(int fd, char text[TEXT_MAX])
{
    ssize_t n = fd < 0 ? -1 : pread(fd, text, TEXT_MAX - 1, 0);

    text[MAX(n, 0)] = '\0';
    return n > 0;
}

/* "total=N" of the line that begins with a word; false: no such line. */
static bool stall_total(const char *text, const char *word, uint64_t *ret_us)
{
    const char *line = strstr(text, word), *total = line ? strstr(line, "total=") : NULL;
    const char *end = line ? strchr(line, '\n') : NULL;

    if (!total || (end && total > end)) {
        return false;
    }
    *ret_us = strtoull(total + strlen("total="), NULL, 10);
    return true;
}

static bool read_stalls(const PressureSource *p, uint64_t *ret_some, uint64_t *ret_full)
{
    char text[TEXT_MAX];

    *ret_full = 0;
    if (!read_text(p->stalls, text) || !stall_total(text, "some ", ret_some)) {
        return false;
    }
    (void)stall_total(text, "full ", ret_full);
    return true;
}

/* UINT64_MAX for "max", and where there is nothing. */
static uint64_t read_number(int fd)
{
    char text[TEXT_MAX];

    if (!read_text(fd, text) || !g_ascii_isdigit(*text)) {
        return UINT64_MAX;
    }
    return strtoull(text, NULL, 10);
}

/* --- looking --- */

static PressureLevel stall_level(PressureSource *p, int64_t now_ns)
{
    uint64_t some, full, dt = (uint64_t)MAX(now_ns - p->looked_at, 1) / 1000;
    uint64_t some_before = p->some0 + p->state.some_us, full_before = p->full0 + p->state.full_us;
    PressureLevel level = PRESSURE_NONE;

    if (!read_stalls(p, &some, &full)) {
        return PRESSURE_NONE;
    }
    some = MAX(some, some_before);
    full = MAX(full, full_before);
    /* Over a short time the same share; over a longer one than the window as much as in a window.
     */
    dt = MIN(dt, p->spec.window_us);
    if (p->looked && p->spec.full_us &&
        (full - full_before) * p->spec.window_us > (uint64_t)p->spec.full_us * dt) {
        level = PRESSURE_FULL;
    } else if (p->looked && p->spec.some_us &&
               (some - some_before) * p->spec.window_us > (uint64_t)p->spec.some_us * dt) {
        level = PRESSURE_SOME;
    }
    p->state.some_us = some - p->some0;
    p->state.full_us = full - p->full0;
    return level;
}

/* Within a 32nd of the limit the kernel begins to reclaim, and to slow down who wants more. */
static PressureLevel limit_level(PressureSource *p)
{
    uint64_t limit = MIN(read_number(p->limits[0]), read_number(p->limits[1]));
    uint64_t used = read_number(p->current);

    p->state.limit = limit == UINT64_MAX ? 0 : limit;
    p->state.used = used == UINT64_MAX ? 0 : used;
    return limit != UINT64_MAX && p->state.used >= limit - limit / 32 ? PRESSURE_SOME
                                                                      : PRESSURE_NONE;
}

PressureLevel pressure_look(PressureSource *p, int64_t now_ns)
{
    PressureLevel level = MAX(limit_level(p), p->called);

    p->called = PRESSURE_NONE;
    if (!p->looked || now_ns - p->looked_at >= LOOK_NS) {
        p->stalled = stall_level(p, now_ns);
        p->looked = true;
        p->looked_at = now_ns;
    }
    return MAX(level, p->stalled);
}

void pressure_state(const PressureSource *p, PressureState *ret)
{
    *ret = p->state;
}

bool pressure_has_trigger(const PressureSource *p)
{
    return p->watch != NULL;
}

/* --- triggers --- */

/* Who asks whether the instance is readable takes the event away with the question (the kernel
 * tells it once), so it may be gone here; the stall times say how bad it is. */
static void trigger_cb(void *opaque, unsigned events)
{
    PressureSource *p = opaque;
    struct epoll_event got[TRIGGERS];
    int n = epoll_wait(p->epoll, got, TRIGGERS, 0);

    p->called = MAX(p->called, PRESSURE_SOME);
    p->state.calls++;
    for (int i = 0; i < n; i++) {
        if (got[i].events & (EPOLLERR | EPOLLHUP)) { /* the cgroup is gone */
            log_warn("memory pressure: %s does not tell any more", p->cgroup ?: "the host");
            loop_fd_set_events(p->watch, 0);
            p->called = PRESSURE_NONE;
            return;
        }
        p->called = MAX(p->called, got[i].data.u32);
    }
    p->fn(p->opaque);
}

/* Writing to anything else than the kernel's own file would change it. */
static bool is_kernels(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 &&
           (fs.f_type == PROC_SUPER_MAGIC || fs.f_type == CGROUP2_SUPER_MAGIC);
}

static void add_trigger(PressureSource *p, unsigned i, const char *path, const char *word,
                        uint32_t us, PressureLevel level)
{
    g_autofree char *text = g_strdup_printf("%s %u %u", word, us, p->spec.window_us);
    struct epoll_event want = {.events = EPOLLPRI, .data.u32 = level};
    int fd = us ? open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC) : -1;

    if (fd < 0) {
        return;
    }
    if (!is_kernels(fd) || write(fd, text, strlen(text) + 1) < 0 ||
        epoll_ctl(p->epoll, EPOLL_CTL_ADD, fd, &want) < 0) {
        close(fd);
        return;
    }
    p->trigger[i] = fd;
}

/* The loop knows no priority events; an epoll instance that has some is readable. Without the right
 * to have triggers the looks have to do. */
static void add_triggers(PressureSource *p, EventLoop *loop, const char *path)
{
    p->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (p->epoll < 0) {
        return;
    }
    add_trigger(p, 0, path, "some", p->spec.some_us, PRESSURE_SOME);
    add_trigger(p, 1, path, "full", p->spec.full_us, PRESSURE_FULL);
    if (p->trigger[0] >= 0 || p->trigger[1] >= 0) {
        p->watch = loop_fd_new(loop, p->epoll, LOOP_READ, trigger_cb, p);
    }
}

/* --- life --- */

static int open_in(const char *dir, const char *name)
{
    g_autofree char *path = g_build_filename(dir, name, NULL);

    return open(path, O_RDONLY | O_CLOEXEC);
}

static bool open_host(PressureSource *p, const char *path, GError **err)
{
    uint64_t full;

    p->stalls = open(path, O_RDONLY | O_CLOEXEC);
    if (p->stalls >= 0 && read_stalls(p, &p->some0, &full)) {
        return true;
    }
    return error_set(err,
                     "this kernel tells no memory pressure (%s: %s): boot it with psi=1, or "
                     "give source=FOLDER, a cgroup v2",
                     path, g_strerror(errno));
}

static bool open_cgroup(PressureSource *p, GError **err)
{
    uint64_t some, full;

    p->stalls = open_in(p->cgroup, "memory.pressure");
    p->current = open_in(p->cgroup, "memory.current");
    p->limits[0] = open_in(p->cgroup, "memory.high");
    p->limits[1] = open_in(p->cgroup, "memory.max");
    if (read_stalls(p, &some, &full) || (p->current >= 0 && p->limits[0] >= 0)) {
        return true;
    }
    return error_set(err,
                     "source=%s is no cgroup v2 with the memory controller: neither "
                     "memory.pressure nor memory.high can be read there",
                     p->cgroup);
}

PressureSource *pressure_new(EventLoop *loop, const PressureSpec *spec, void (*fn)(void *opaque),
                             void *opaque, GError **err)
{
    PressureSource *p = g_new(PressureSource, 1);
    g_autofree char *path = spec->cgroup ? g_build_filename(spec->cgroup, "memory.pressure", NULL)
                                         : g_strdup("/proc/pressure/memory");

    *p = (PressureSource){.spec = *spec,
                          .cgroup = g_strdup(spec->cgroup),
                          .stalls = -1,
                          .current = -1,
                          .limits = {-1, -1},
                          .trigger = {-1, -1},
                          .epoll = -1,
                          .fn = fn,
                          .opaque = opaque};
    if (!(spec->cgroup ? open_cgroup(p, err) : open_host(p, path, err))) {
        pressure_free(p);
        return NULL;
    }
    p->state.stalls = read_stalls(p, &p->some0, &p->full0);
    add_triggers(p, loop, path);
    return p;
}

static void close_fd(int fd)
{
    if (fd >= 0) {
        close(fd);
    }
}

void pressure_free(PressureSource *p)
{
    if (!p) {
        return;
    }
    loop_fd_free(p->watch);
    close_fd(p->epoll);
    for (unsigned i = 0; i < TRIGGERS; i++) {
        close_fd(p->trigger[i]);
    }
    close_fd(p->stalls);
    close_fd(p->current);
    close_fd(p->limits[0]);
    close_fd(p->limits[1]);
    g_free(p->cgroup);
    g_free(p);
}
