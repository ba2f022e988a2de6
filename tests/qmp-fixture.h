/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the QMP suites: a VM without a guest whose QMP server listens on a socket, and clients of it. Server and clients
 * share one thread: a client that waits runs the server's loop.
 */
#ifndef AEROSTAT_TESTS_QMP_FIXTURE_H
#define AEROSTAT_TESTS_QMP_FIXTURE_H

#include <check.h>

#include "tests/fake-vm.h"
#include "vmm/monitor/monitor.h"

typedef struct {
    int fd;
    GString *in;       /* received, not taken yet */
    GPtrArray *events; /* of json_t *, that came while an answer was waited for */
    bool ended;        /* the server closed the connection */
} QmpClient;

extern FakeVm vm;
extern Chardev *server;
extern QmpClient *client; /* connected and negotiated */

void setup(void);         /* the VM runs, with a balloon of id balloon0 */
void setup_bare(void);    /* the VM is started with -S and has no balloon */
void teardown(void);

QmpClient *client_new(void); /* connected: the greeting is the first message */
void client_free(QmpClient *c);
QmpClient *client_ready(void); /* connected and negotiated */

size_t client_send_some(QmpClient *c, const void *bytes, size_t len); /* as far as the socket takes it at once */
void client_send(QmpClient *c, const void *bytes, size_t len);        /* all; the server reads meanwhile */
void client_say(QmpClient *c, const char *text);

/* The next message (new reference) after the server had its say; NULL: none. */
json_t *client_next(QmpClient *c);
json_t *client_answer(QmpClient *c);             /* the next one that is no event; events go to c->events */
json_t *client_event(QmpClient *c);              /* the next event, also from c->events */
json_t *client_ask(QmpClient *c, const char *request);

/* One request and its only answer. request may have ' for ". */
void expect_return(QmpClient *c, const char *request, const char *result);
void expect_error(QmpClient *c, const char *request, const char *klass, const char *desc);
json_t *get_return(QmpClient *c, const char *request); /* the result, new reference */
void expect_event(QmpClient *c, const char *name, const char *data); /* data NULL: must have none */
void expect_nothing(QmpClient *c);
void expect_json(json_t *got, const char *want); /* steals got; want may have ' for " */
void expect_alive(QmpClient *c);                 /* query-status is answered */

void step_ms(int64_t ms); /* of both clocks */

void add_command_tests(Suite *s);
void add_event_tests(Suite *s);
void add_random_tests(Suite *s);

#endif
