/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the files of the qtest server only: the session, and how a command answers.
 */
#ifndef AEROSTAT_VMM_QTEST_QTEST_INTERNAL_H
#define AEROSTAT_VMM_QTEST_QTEST_INTERNAL_H

#include <stdio.h>

#include "hw/isa/isa.h"
#include "vmm/qtest/qtest.h"

struct Qtest {
    Machine *machine;
    Chardev *stream;   /* borrowed */
    FILE *log;         /* NULL: none */
    GByteArray *line;  /* what came so far of the present line */
    bool skipping;     /* the line is too long: the rest of it is thrown away */
    bool connected;
    uint64_t dropped;  /* chardev_dropped when the client came */
    size_t unflushed;  /* bytes of the present answer since the last flush */
    gint64 opened_us;
    /* what irq_intercept_* asked for: at most one of the two */
    bool watching;     /* the interrupt controller's inputs */
    IsaDevice *tapped; /* owned reference: a device's output, which ... */
    IrqLine tapped_irq; /* ... led here */
};

enum { QTEST_ARGS_MAX = 4 };

typedef struct QtestCommand QtestCommand;

/* A line, cut into words. They may be written to: base64 is decoded in place. */
typedef struct {
    const QtestCommand *command;
    char *arg[QTEST_ARGS_MAX];
    unsigned n;
} QtestCall;

struct QtestCommand {
    const char *name;
    const char *args;    /* for the error when their number is wrong */
    unsigned min, max;   /* number of arguments */
    unsigned size;       /* bytes of an access, where the name tells */
    /* Sends its answer, or fails with err set, having sent nothing. */
    bool (*run)(Qtest *q, QtestCall *call, GError **err);
};

/* --- qtest.c --- */
void qtest_send(Qtest *q, const char *fmt, ...) G_GNUC_PRINTF(2, 3); /* one line */
/* A long line in pieces: begin, any number of puts, end. */
void qtest_begin(Qtest *q, const char *text);
void qtest_put(Qtest *q, const char *text, size_t len);
void qtest_end(Qtest *q);

/* --- qtest-command.c --- */
void qtest_run_line(Qtest *q, char *line); /* always answers */
bool qtest_number(const char *text, uint64_t *ret_value, GError **err); /* as strtoull with base 0 */

/* --- qtest-memory.c, qtest-irq.c: rows of the table --- */
bool qtest_run_out(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_in(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_store(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_load(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_read(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_write(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_memset(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_b64read(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_b64write(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_intercept_in(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_intercept_out(Qtest *q, QtestCall *call, GError **err);
bool qtest_run_set_irq_in(Qtest *q, QtestCall *call, GError **err);
void qtest_intercept_end(Qtest *q); /* harmless when nothing is intercepted */

#endif
