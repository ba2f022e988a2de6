/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The server of QEMU's qtest protocol: a client on a character stream plays the guest of a machine on the accelerator
 * "qtest", line by line: port and memory accesses, the virtual clock, interrupt lines. One answer to a line, "OK ..."
 * or "FAIL reason"; "IRQ raise N" and "IRQ lower N" come in between.
 *
 * One client at a time; interception of interrupts ends with it. Threads: main loop, VM lock held.
 */
#ifndef AEROSTAT_VMM_QTEST_QTEST_H
#define AEROSTAT_VMM_QTEST_QTEST_H

#include "vmm/machine/machine.h"

typedef struct Qtest Qtest;

enum {
    QTEST_LINE_MAX = 64 << 20, /* bytes of a command; longer ones are refused */
    QTEST_DATA_MAX = 32 << 20, /* bytes that one command may read or write */
};

/*
 * A server on stream, which it becomes the front end of (borrowed). log_path names the file of -qtest-log; NULL:
 * stderr; "none": no log. Fails when m is not on the accelerator "qtest" or the log cannot be opened.
 */
Qtest *qtest_new(Machine *m, Chardev *stream, const char *log_path, GError **err);
void qtest_free(Qtest *q); /* before machine_finish; NULL is fine */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qtest, qtest_free)

#endif
