/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The qtest commands that reach ports and memory. An address leads to RAM or to a device's
 * registers, as it would for a vCPU; where nothing is, reads give all ones and writes are dropped.
 * A block that covers registers becomes aligned accesses of up to 8 bytes, which the address space
 * fits to the device.
 */
#include <inttypes.h>
#include <string.h>

#include "core/le.h"
#include "vmm/qtest/qtest-internal.h"

enum { PIO_LAST = 0xffff, RAM_STEP = 4096, PIECE = 12 * 1024 /* a multiple of 3, for base64 */ };

/* --- single accesses --- */

static bool two_numbers(QtestCall *call, uint64_t *ret_addr, uint64_t *ret_value, GError **err)
{
    return qtest_number(call->arg[0], ret_addr, err) && qtest_number(call->arg[1], ret_value, err);
}

static bool port_number(const QtestCall *call, uint64_t *ret_port, GError **err)
{
    if (!qtest_number(call->arg[0], ret_port, err)) {
        return false;
    }
    return *ret_port <= PIO_LAST || error_set(err, "there is no port %s", call->arg[0]);
}

bool qtest_run_out(Qtest *q, QtestCall *call, GError **err)
{
    Platform *p = &q->machine->platform;
    uint64_t port, value;

    if (!port_number(call, &port, err) || !qtest_number(call->arg[1], &value, err)) {
        return false;
    }
    if (p->pio) {
        aspace_write(p->pio, port, value, call->command->size);
    }
    qtest_send(q, "OK");
    return true;
}

bool qtest_run_in(Qtest *q, QtestCall *call, GError **err)
{
    Platform *p = &q->machine->platform;
    uint64_t port, value = UINT64_MAX >> (64 - 8 * call->command->size);

    if (!port_number(call, &port, err)) {
        return false;
    }
    if (p->pio) {
        aspace_read(p->pio, port, call->command->size, &value);
    }
    qtest_send(q, "OK 0x%04" PRIx64, value);
    return true;
}

static void load(Platform *p, uint64_t addr, uint8_t *buf, unsigned size)
{
    uint64_t value;

    if (!gmem_read(p->mem, GPA(addr), buf, size)) {
        aspace_read(p->mmio, addr, size, &value);
        le_store(buf, value, size);
    }
}

static void store(Platform *p, uint64_t addr, const uint8_t *buf, unsigned size)
{
    if (!gmem_write(p->mem, GPA(addr), buf, size)) {
        aspace_write(p->mmio, addr, le_load(buf, size), size);
    }
}

bool qtest_run_store(Qtest *q, QtestCall *call, GError **err)
{
    uint64_t addr, value;
    uint8_t buf[8];

    if (!two_numbers(call, &addr, &value, err)) {
        return false;
    }
    le_store(buf, value, sizeof buf);
    store(&q->machine->platform, addr, buf, call->command->size);
    qtest_send(q, "OK");
    return true;
}

bool qtest_run_load(Qtest *q, QtestCall *call, GError **err)
{
    uint8_t buf[8] = {0};
    uint64_t addr;

    if (!qtest_number(call->arg[0], &addr, err)) {
        return false;
    }
    load(&q->machine->platform, addr, buf, call->command->size);
    qtest_send(q, "OK 0x%016" PRIx64, le_load(buf, sizeof buf));
    return true;
}

/* --- blocks --- */

/* How many bytes from addr on go in one step: a piece of RAM, else one access of registers. */
static size_t block_step(Platform *p, uint64_t addr, size_t len, bool *ret_ram)
{
    size_t n = MIN(len, RAM_STEP - addr % RAM_STEP);

    *ret_ram = gmem_contains(p->mem, GPA(addr), n);
    if (!*ret_ram) {
        for (n = 8; n > len || addr % n; n /= 2) {
        }
    }
    return n;
}

static void block_read(Platform *p, uint64_t addr, uint8_t *buf, size_t len)
{
    for (size_t n; len > 0; addr += n, buf += n, len -= n) {
        bool ram;

        n = block_step(p, addr, len, &ram);
        if (!ram || !gmem_read(p->mem, GPA(addr), buf, n)) {
            load(p, addr, buf, (unsigned)n);
        }
    }
}

static void block_write(Platform *p, uint64_t addr, const uint8_t *buf, size_t len)
{
    for (size_t n; len > 0; addr += n, buf += n, len -= n) {
        bool ram;

        n = block_step(p, addr, len, &ram);
        if (!ram || !gmem_write(p->mem, GPA(addr), buf, n)) {
            store(p, addr, buf, (unsigned)n);
        }
    }
}

static void block_fill(Platform *p, uint64_t addr, uint8_t byte, uint64_t len)
{
    uint8_t piece[PIECE];

    memset(piece, byte, sizeof piece);
    for (size_t n; len > 0; addr += n, len -= n) {
        n = MIN(len, PIECE);
        block_write(p, addr, piece, n);
    }
}

/* The first two arguments. What lies in RAM may have any length where unlimited. */
static bool block_arguments(Qtest *q, QtestCall *call, bool unlimited, uint64_t *ret_addr,
                            uint64_t *ret_len, GError **err)
{
    if (!two_numbers(call, ret_addr, ret_len, err)) {
        return false;
    }
    if (*ret_len > UINT64_MAX - *ret_addr) {
        return error_set(err, "the block passes the end of the address space");
    }
    if (*ret_len > QTEST_DATA_MAX &&
        !(unlimited && gmem_contains(q->machine->platform.mem, GPA(*ret_addr), *ret_len))) {
        return error_set(err, "one command takes at most %d bytes", QTEST_DATA_MAX);
    }
    return true;
}

static void put_hex(Qtest *q, const uint8_t *buf, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    char text[2 * PIECE];

    for (size_t i = 0; i < len; i++) {
        text[2 * i] = digits[buf[i] >> 4];
        text[2 * i + 1] = digits[buf[i] & 15];
    }
    qtest_put(q, text, 2 * len);
}

static void put_base64(Qtest *q, const uint8_t *buf, size_t len)
{
    g_autofree char *text = g_base64_encode(buf, len);

    qtest_put(q, text, strlen(text));
}

static bool read_block(Qtest *q, QtestCall *call, const char *start,
                       void (*put)(Qtest *q, const uint8_t *buf, size_t len), GError **err)
{
    uint8_t buf[PIECE];
    uint64_t addr, len;

    if (!block_arguments(q, call, false, &addr, &len, err)) {
        return false;
    }
    qtest_begin(q, start);
    while (len > 0) {
        size_t n = MIN(len, PIECE);

        block_read(&q->machine->platform, addr, buf, n);
        put(q, buf, n);
        addr += n;
        len -= n;
    }
    qtest_end(q);
    return true;
}

bool qtest_run_read(Qtest *q, QtestCall *call, GError **err)
{
    return read_block(q, call, "OK 0x", put_hex, err);
}

bool qtest_run_b64read(Qtest *q, QtestCall *call, GError **err)
{
    return read_block(q, call, "OK ", put_base64, err);
}

/* Writes data to addr; what is missing up to len becomes zero. */
static void write_data(Qtest *q, uint64_t addr, uint64_t len, const uint8_t *data, size_t have)
{
    have = MIN(have, len);
    block_write(&q->machine->platform, addr, data, have);
    block_fill(&q->machine->platform, addr + have, 0, len - have);
    qtest_send(q, "OK");
}

/* Turns hex digits into bytes, in place. An odd digit at the end is the high half of its byte. */
static bool decode_hex(char *text, size_t *ret_len, GError **err)
{
    uint8_t *out = (uint8_t *)text;
    size_t n = 0;

    for (const char *p = text; *p; n++) {
        int high = g_ascii_xdigit_value(p[0]);
        int low = p[1] ? g_ascii_xdigit_value(p[1]) : 0;

        if (high < 0 || low < 0) {
            return error_set(err, "the data has something else than hex digits");
        }
        p += p[1] ? 2 : 1;
        out[n] = (uint8_t)(high << 4 | low);
    }
    *ret_len = n;
    return true;
}

bool qtest_run_write(Qtest *q, QtestCall *call, GError **err)
{
    char *data = call->arg[2];
    uint64_t addr, len;
    size_t have;

    if (!block_arguments(q, call, false, &addr, &len, err)) {
        return false;
    }
    if (data[0] != '0' || (data[1] != 'x' && data[1] != 'X')) {
        return error_set(err, "the data must begin with 0x");
    }
    if (!decode_hex(data + 2, &have, err)) {
        return false;
    }
    write_data(q, addr, len, (const uint8_t *)data + 2, have);
    return true;
}

bool qtest_run_b64write(Qtest *q, QtestCall *call, GError **err)
{
    uint64_t addr, len;
    gsize have = 0;

    if (!block_arguments(q, call, false, &addr, &len, err)) {
        return false;
    }
    if (call->arg[2][1]) { /* glib wants more than one character */
        g_base64_decode_inplace(call->arg[2], &have);
    }
    write_data(q, addr, MIN(len, have), (const uint8_t *)call->arg[2], have);
    return true;
}

bool qtest_run_memset(Qtest *q, QtestCall *call, GError **err)
{
    Platform *p = &q->machine->platform;
    uint64_t addr, len, byte;

    if (!block_arguments(q, call, true, &addr, &len, err) ||
        !qtest_number(call->arg[2], &byte, err)) {
        return false;
    }
    if (!gmem_set(p->mem, GPA(addr), (uint8_t)byte, len)) {
        block_fill(p, addr, (uint8_t)byte, len);
    }
    qtest_send(q, "OK");
    return true;
}
