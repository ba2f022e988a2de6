/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine on the accelerator "qtest" whose main loop runs in a thread, with the qtest server on a Unix socket; and an
 * outside client of it, which knows nothing but the protocol.
 */
#ifndef AEROSTAT_TESTS_QTEST_FIXTURE_H
#define AEROSTAT_TESTS_QTEST_FIXTURE_H

#include <pthread.h>
#include <stdio.h>

#include "vmm/qtest/qtest.h"

enum { QTEST_FIXTURE_RAM = 64 << 20, QTEST_FIXTURE_IRQS = 64 };

typedef struct {
    Object *root;
    Machine *m;
    Chardev *stream;
    Qtest *server;
    pthread_t thread;
    char *dir, *path, *log;
} QtestVm;

/* Devices are given as after -device, ended by NULL. */
void qtest_vm_start(QtestVm *vm, const char *machine, ...) G_GNUC_NULL_TERMINATED;
void qtest_vm_stop(QtestVm *vm); /* checks that the VM's exit status is 0 */

/* A QMP command with the VM lock held: true when it succeeded. arguments is JSON. */
bool qtest_vm_qmp(QtestVm *vm, const char *command, const char *arguments);

/* The same with its result, a new reference; NULL with err. */
json_t *qtest_vm_ask(QtestVm *vm, const char *command, const char *arguments, GError **err);

typedef struct {
    FILE *in, *out;
    char *reply;                        /* the newest, without the line's end */
    unsigned raised[QTEST_FIXTURE_IRQS], lowered[QTEST_FIXTURE_IRQS]; /* IRQ lines so far */
} QtestClient;

void qtest_client_connect(QtestClient *c, const QtestVm *vm);
void qtest_client_close(QtestClient *c);
const char *qtest_client_reply(QtestClient *c); /* of a line that was sent; IRQ lines are counted on the way */
const char *qtest_do(QtestClient *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3); /* sends a line; its reply */
void qtest_ok(QtestClient *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);        /* ... which must be OK */
uint64_t qtest_get(QtestClient *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);   /* ... the number after OK */

#endif
