/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages: each is formatted first and leaves in one write(2), so that lines of several threads
 * never mix. Control characters are replaced, because guests choose parts of some messages.
 */
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "core/log-internal.h"

#define RATE_WINDOW_US 1000000
#define RATE_LINES     10

static const char *const item_names[] = {"guest_errors", "unimp", NULL};

enum { ITEM_GUEST_ERRORS = 1 << 0, ITEM_UNIMP = 1 << 1 }; /* in the order of item_names */

/* The one mutable global of the program: what is logged, and where. */
static struct {
    atomic_uint items;
    atomic_int fd;             /* of -D; 0: stderr */
    pthread_mutex_t rate_lock; /* guards every LogRate */
} log_state = {.rate_lock = PTHREAD_MUTEX_INITIALIZER};

void log_write_line(int fd, GString *line)
{
    const char *at;
    size_t left;

    for (char *c = line->str; *c; c++) {
        if (((unsigned char)*c < ' ' && *c != '\t') || *c == 0x7f) {
            *c = '?';
        }
    }
    g_string_append_c(line, '\n');
    for (left = line->len, at = line->str; left;) {
        ssize_t n = write(fd, at, left);

        if (n < 0 && errno != EINTR) {
            return; /* nowhere to complain */
        }
        at += MAX(n, 0);
        left -= (size_t)MAX(n, 0);
    }
}

int log_fd(void)
{
    int fd = atomic_load_explicit(&log_state.fd, memory_order_relaxed); /* set once, at start */

    return fd ? fd : STDERR_FILENO;
}

static void log_line(int fd, const char *prefix, const char *fmt, va_list args, unsigned suppressed)
{
    GString *line = g_string_new(prefix);

    g_string_append_vprintf(line, fmt, args);
    if (suppressed) {
        g_string_append_printf(line, " (%u more of these were left out)", suppressed);
    }
    log_write_line(fd, line);
    g_string_free(line, TRUE);
}

void log_error(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line(STDERR_FILENO, "aerostat: error: ", fmt, args, 0);
    va_end(args);
}

void log_warn(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line(log_fd(), "aerostat: warning: ", fmt, args, 0);
    va_end(args);
}

/* False: this line is one too many. *ret_suppressed: how many were so since the last good one. */
static bool rate_allows(LogRate *rate, unsigned *ret_suppressed)
{
    int64_t now = g_get_monotonic_time();
    bool ok;

    pthread_mutex_lock(&log_state.rate_lock);
    if (!rate->in_window || now - rate->window_start_us >= RATE_WINDOW_US) {
        rate->window_start_us = now;
        rate->in_window = 0;
    }
    ok = rate->in_window < RATE_LINES;
    if (ok) {
        rate->in_window++;
        *ret_suppressed = rate->suppressed;
        rate->suppressed = 0;
    } else {
        rate->suppressed++;
    }
    pthread_mutex_unlock(&log_state.rate_lock);
    return ok;
}

static bool item_on(unsigned item)
{
    return atomic_load_explicit(&log_state.items, memory_order_relaxed) &
           item; /* set once, at start */
}

void log_guest_rated(LogRate *rate, const char *fmt, ...)
{
    unsigned suppressed;
    va_list args;

    if (item_on(ITEM_GUEST_ERRORS) && rate_allows(rate, &suppressed)) {
        va_start(args, fmt);
        log_line(log_fd(), "aerostat: guest error: ", fmt, args, suppressed);
        va_end(args);
    }
}

void log_unimp_rated(LogRate *rate, const char *fmt, ...)
{
    unsigned suppressed;
    va_list args;

    if (item_on(ITEM_UNIMP) && rate_allows(rate, &suppressed)) {
        va_start(args, fmt);
        log_line(log_fd(), "aerostat: not implemented: ", fmt, args, suppressed);
        va_end(args);
    }
}

void log_warn_rated(LogRate *rate, const char *fmt, ...)
{
    unsigned suppressed;
    va_list args;

    if (rate_allows(rate, &suppressed)) {
        va_start(args, fmt);
        log_line(log_fd(), "aerostat: warning: ", fmt, args, suppressed);
        va_end(args);
    }
}

const char *const *log_items(void)
{
    return item_names;
}

bool log_set_items(const char *items, GError **err)
{
    g_auto(GStrv) words = g_strsplit(items, ",", -1);
    unsigned mask = 0;

    for (char **word = words; *word; word++) {
        unsigned i = 0;

        while (item_names[i] && strcmp(item_names[i], *word) != 0) {
            i++;
        }
        if (!item_names[i]) {
            const char *near = error_near_miss(*word, item_names);

            return error_set(err, "unknown log item '%s'%s%s%s", *word,
                             near ? "; did you mean '" : "; see -d help", near ? near : "",
                             near ? "'?" : "");
        }
        mask |= 1U << i;
    }
    atomic_store_explicit(&log_state.items, mask, memory_order_relaxed);
    return true;
}

bool log_set_file(const char *path, GError **err)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
    int old;

    if (fd < 0) {
        return error_set_errno(err, errno, "cannot open");
    }
    old = atomic_exchange(&log_state.fd, fd);
    if (old) {
        close(old);
    }
    return true;
}
