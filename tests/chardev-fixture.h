/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shared by the suites of character streams: a loop, a scratch directory, two recording front ends, and the far ends
 * of sockets and terminals.
 */
#ifndef AEROSTAT_TESTS_CHARDEV_FIXTURE_H
#define AEROSTAT_TESTS_CHARDEV_FIXTURE_H

#include <check.h>

#include "backends/chardev.h"

/* A front end that records. */
typedef struct {
    GString *got;
    size_t room;
    int opened, closed, breaks, mux_in, mux_out, quits, drained, resized;
    Chardev *drop; /* unref'd and zeroed at the first byte */
    bool hang_up;  /* disconnects at the first byte */
    Chardev *c;
} Recorder;

extern EventLoop *loop;
extern char *dir;
extern Recorder rec, mon;

void setup(void);
void teardown(void);
TCase *make_case(Suite *suite, const char *name, void (*up)(void), void (*down)(void));

void attach(Recorder *r, Chardev *c);
void rec_quit(void *opaque); /* a quit handler; opaque is a Recorder */

Chardev *open_option(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void expect_error(const char *option, const char *message); /* one line that has message in it */

/* Runs the loop until cond or until it has taken far too long. */
#define WAIT_FOR(cond)                                                                             \
    do {                                                                                           \
        int64_t end_ = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;                               \
        while (!(cond)) {                                                                          \
            ck_assert_msg(g_get_monotonic_time() < end_, "waited in vain for %s", #cond);          \
            if (!loop_iterate(loop, false)) {                                                      \
                g_usleep(200);                                                                     \
            }                                                                                      \
        }                                                                                          \
    } while (0)

void settle(void); /* runs the loop until nothing more happens */

/* The far end; dial gives a non-blocking fd. */
char *sock_path(void);
int dial(const char *path);
int serve(const char *path);
void send_text(int fd, const char *text);
void expect_text(int fd, const char *text); /* reads what arrives until it is text */

#endif
