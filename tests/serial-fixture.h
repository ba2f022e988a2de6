/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the suites of virtio-serial share: streams that a test reads and fills, ports, and the driver's side of the
 * control queues.
 */
#ifndef AEROSTAT_TESTS_SERIAL_FIXTURE_H
#define AEROSTAT_TESTS_SERIAL_FIXTURE_H

#include <check.h>
#include <linux/virtio_console.h>

#include "backends/chardev-impl.h"
#include "tests/driver/fake-driver.h"

enum { IN0 = 0, OUT0 = 1, CTL_IN = 2, CTL_OUT = 3, IN1 = 4, OUT1 = 5, OPS = 10000 };
enum { COLS = 0, ROWS = 2, MAX_NR_PORTS = 4, EMERG_WR = 8 };
#define BIT(n)        (UINT64_C(1) << (n))
#define NOT_MULTIPORT (~BIT(VIRTIO_CONSOLE_F_MULTIPORT))

/* A stream that records what is written and says how much it takes. */
typedef struct TestChardev {
    Chardev parent_obj;
    GString *got;
    size_t room;
} TestChardev;

OBJECT_DECLARE(TestChardev, test_chardev, TEST_CHARDEV)

TestChardev *serial_stream(FakeDriver *d, const char *id); /* "c0", "c1" */
/* As a terminal or a socket would hand it over; returns how much the port took. */
size_t serial_type_in(FakeDriver *d, const char *id, const char *text);

Device *serial_plug(FakeDriver *d, const char *type, const char *id, const char *props, GError **err);
Device *serial_port_of(FakeDriver *d, const char *id);
/* A console "con" with stream c0 and a port "one" ("port.one") with stream c1, not touched by the driver yet. */
FakeDriver *serial_probe(unsigned cell, const char *props);
/* The same with both ports up. */
FakeDriver *serial_start(unsigned cell);
/* What Linux does: both ports are there, ready and open. */
void serial_ports_up(FakeDriver *d);
void serial_say(FakeDriver *d, unsigned q, const char *text);

/* --- the control queues --- */

enum { CTL_BUF = 128 };

typedef struct {
    uint32_t id;
    uint16_t event, value;
    uint32_t len; /* of the whole message */
    uint8_t rest[CTL_BUF];
} SerialMessage;

void serial_give_control_buffers(FakeDriver *d, unsigned n, uint32_t len);
/* The next message of the device; its buffer is given back to it. */
bool serial_get_message(FakeDriver *d, SerialMessage *ret);
void serial_expect_message(FakeDriver *d, uint32_t id, uint16_t event, uint16_t value);
void serial_expect_no_message(FakeDriver *d);
void serial_send_control(FakeDriver *d, uint32_t id, uint16_t event, uint16_t value);

#endif
