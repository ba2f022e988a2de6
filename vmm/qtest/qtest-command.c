/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The table of qtest commands, and those that are neither about memory nor about interrupts. Names,
 * arguments and answers are QEMU's; what QEMU asserts on gets a FAIL line here. Not here: rtas and
 * the loading of modules.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/qtest/qtest-internal.h"

bool qtest_number(const char *text, uint64_t *ret_value, GError **err)
{
    unsigned long long value;
    char *end;

    errno = 0;
    value = strtoull(text, &end, 0);
    if (end == text || *end || errno) {
        return error_set(err, "'%.40s' is not a number of 64 bits", text);
    }
    *ret_value = value;
    return true;
}

static bool run_endianness(Qtest *q, QtestCall *call, GError **err)
{
    qtest_send(q, "OK little");
    return true;
}

/* --- the virtual clock --- */

static bool step_to(Qtest *q, int64_t when)
{
    Clock *clock = q->machine->platform.vclock;

    clock_step_to(clock, when);
    qtest_send(q, "OK %" PRId64, clock_now(clock));
    return true;
}

static bool clock_argument(const char *text, int64_t *ret_ns, GError **err)
{
    uint64_t ns;

    if (!qtest_number(text, &ns, err)) {
        return false;
    }
    if (ns > INT64_MAX) {
        return error_set(err, "'%.40s' is not a time", text);
    }
    *ret_ns = (int64_t)ns;
    return true;
}

/* Without an argument to the next deadline; where there is none, the clock stays. */
static bool run_clock_step(Qtest *q, QtestCall *call, GError **err)
{
    Clock *clock = q->machine->platform.vclock;
    int64_t now = clock_now(clock), ns;

    if (call->n == 0) {
        return step_to(q, MAX(clock_next_deadline(clock), now));
    }
    if (!clock_argument(call->arg[0], &ns, err)) {
        return false;
    }
    if (ns > INT64_MAX - now) {
        return error_set(err, "the clock would pass its end");
    }
    return step_to(q, now + ns);
}

static bool run_clock_set(Qtest *q, QtestCall *call, GError **err)
{
    int64_t ns;

    return clock_argument(call->arg[0], &ns, err) && step_to(q, ns);
}

/* --- the table --- */

static const QtestCommand commands[] = {
    {"outb", "ADDR VALUE", 2, 2, 1, qtest_run_out},
    {"outw", "ADDR VALUE", 2, 2, 2, qtest_run_out},
    {"outl", "ADDR VALUE", 2, 2, 4, qtest_run_out},
    {"inb", "ADDR", 1, 1, 1, qtest_run_in},
    {"inw", "ADDR", 1, 1, 2, qtest_run_in},
    {"inl", "ADDR", 1, 1, 4, qtest_run_in},
    {"writeb", "ADDR VALUE", 2, 2, 1, qtest_run_store},
    {"writew", "ADDR VALUE", 2, 2, 2, qtest_run_store},
    {"writel", "ADDR VALUE", 2, 2, 4, qtest_run_store},
    {"writeq", "ADDR VALUE", 2, 2, 8, qtest_run_store},
    {"readb", "ADDR", 1, 1, 1, qtest_run_load},
    {"readw", "ADDR", 1, 1, 2, qtest_run_load},
    {"readl", "ADDR", 1, 1, 4, qtest_run_load},
    {"readq", "ADDR", 1, 1, 8, qtest_run_load},
    {"read", "ADDR SIZE", 2, 2, 0, qtest_run_read},
    {"write", "ADDR SIZE 0xDATA", 3, 3, 0, qtest_run_write},
    {"memset", "ADDR SIZE VALUE", 3, 3, 0, qtest_run_memset},
    {"b64read", "ADDR SIZE", 2, 2, 0, qtest_run_b64read},
    {"b64write", "ADDR SIZE BASE64", 3, 3, 0, qtest_run_b64write},
    {"endianness", "", 0, 0, 0, run_endianness},
    {"clock_step", "[NS]", 0, 1, 0, run_clock_step},
    {"clock_set", "NS", 1, 1, 0, run_clock_set},
    {"irq_intercept_in", "PATH", 1, 1, 0, qtest_run_intercept_in},
    {"irq_intercept_out", "PATH", 1, 1, 0, qtest_run_intercept_out},
    {"set_irq_in", "PATH NAME N LEVEL", 4, 4, 0, qtest_run_set_irq_in},
};

static const QtestCommand *find_command(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(commands[i].name, name)) {
            return &commands[i];
        }
    }
    return NULL;
}

/* Cuts the rest of a line into words; false when there are too many. */
static bool take_words(QtestCall *call, char **save)
{
    char *word;

    while ((word = strtok_r(NULL, " ", save))) {
        if (call->n == call->command->max) {
            return false;
        }
        call->arg[call->n++] = word;
    }
    return call->n >= call->command->min;
}

void qtest_run_line(Qtest *q, char *line)
{
    g_autoptr(GError) err = NULL;
    char *save = NULL, *name = strtok_r(line, " ", &save);
    QtestCall call = {.command = name ? find_command(name) : NULL};

    if (!call.command) {
        qtest_send(q, "FAIL Unknown command '%.80s'", name ? name : "");
    } else if (!take_words(&call, &save)) {
        qtest_send(q, "FAIL Usage: %s %s", call.command->name, call.command->args);
    } else if (!call.command->run(q, &call, &err)) {
        qtest_send(q, "FAIL %s: %s", call.command->name, err->message);
    }
}
