/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames of the protocol: "$data#checksum", with '}' before a byte that is xored with 0x20; single
 * characters between them. What is outside of frames and unknown is skipped.
 */
#include "vmm/gdb/gdb-internal.h"

#include <string.h>

enum { ESCAPE = '}', ESCAPE_XOR = 0x20, INTERRUPT = 3 };

void gdb_reader_init(GdbReader *r)
{
    *r = (GdbReader){.data = g_string_new(NULL)};
}

void gdb_reader_reset(GdbReader *r)
{
    g_string_truncate(r->data, 0);
    r->state = GDB_IDLE;
    r->sum = 0;
    r->too_long = false;
}

void gdb_reader_finish(GdbReader *r)
{
    g_string_free(r->data, TRUE);
}

static GdbInput take_idle(GdbReader *r, uint8_t byte)
{
    switch (byte) {
    case '$':
        gdb_reader_reset(r);
        r->state = GDB_DATA;
        return GDB_INPUT_NONE;
    case '+':
        return GDB_INPUT_ACK;
    case '-':
        return GDB_INPUT_NACK;
    case INTERRUPT:
        return GDB_INPUT_INTERRUPT;
    default:
        return GDB_INPUT_NONE;
    }
}

static void put_data(GdbReader *r, uint8_t byte)
{
    if (r->data->len < GDB_PACKET_MAX) {
        g_string_append_c(r->data, (char)byte);
    } else {
        r->too_long = true;
    }
}

static GdbInput take_data(GdbReader *r, uint8_t byte)
{
    if (byte == '$') { /* the one before was cut off */
        gdb_reader_reset(r);
        r->state = GDB_DATA;
        return GDB_INPUT_BAD;
    }
    if (byte == '#') {
        r->state = GDB_SUM_HIGH;
        return GDB_INPUT_NONE;
    }
    r->sum = (uint8_t)(r->sum + byte);
    if (r->state == GDB_ESCAPED) {
        put_data(r, byte ^ ESCAPE_XOR);
        r->state = GDB_DATA;
    } else if (byte == ESCAPE) {
        r->state = GDB_ESCAPED;
    } else {
        put_data(r, byte);
    }
    return GDB_INPUT_NONE;
}

GdbInput gdb_reader_take(GdbReader *r, uint8_t byte)
{
    int digit = g_ascii_xdigit_value((char)byte);

    switch (r->state) {
    case GDB_IDLE:
        return take_idle(r, byte);
    case GDB_DATA:
    case GDB_ESCAPED:
        return take_data(r, byte);
    case GDB_SUM_HIGH:
        r->sent_sum = (uint8_t)(MAX(digit, 0) << 4);
        r->state = digit < 0 ? GDB_IDLE : GDB_SUM_LOW;
        return digit < 0 ? GDB_INPUT_BAD : GDB_INPUT_NONE;
    default:
        r->state = GDB_IDLE;
        return digit < 0 || r->too_long || (r->sent_sum | digit) != r->sum ? GDB_INPUT_BAD
                                                                           : GDB_INPUT_PACKET;
    }
}

GString *gdb_frame(const char *data, size_t len)
{
    GString *out = g_string_sized_new(len + 8);
    uint8_t sum = 0;

    g_string_append_c(out, '$');
    for (size_t i = 0; i < len; i++) {
        char c = data[i];

        if (c && strchr("$#}*", c)) {
            g_string_append_c(out, ESCAPE);
            sum = (uint8_t)(sum + ESCAPE);
            c ^= ESCAPE_XOR;
        }
        g_string_append_c(out, c);
        sum = (uint8_t)(sum + (uint8_t)c);
    }
    g_string_append_printf(out, "#%02x", sum);
    return out;
}

/* --- numbers --- */

void gdb_put_hex(GString *out, const void *bytes, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++) {
        g_string_append_c(out, digits[p[i] >> 4]);
        g_string_append_c(out, digits[p[i] & 15]);
    }
}

bool gdb_take_hex(const char *text, uint8_t *ret, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        int high = g_ascii_xdigit_value(text[2 * i]);
        int low = high < 0 ? -1 : g_ascii_xdigit_value(text[2 * i + 1]);

        if (low < 0) {
            return false;
        }
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return text[2 * len] == '\0';
}

bool gdb_take_number(const char **text, uint64_t *ret)
{
    const char *p = *text;
    uint64_t value = 0;

    for (; g_ascii_isxdigit(*p); p++) {
        if (value >> 60) {
            return false;
        }
        value = value << 4 | (unsigned)g_ascii_xdigit_value(*p);
    }
    if (p == *text) {
        return false;
    }
    *text = p;
    *ret = value;
    return true;
}

bool gdb_take_char(const char **text, char c)
{
    bool there = **text == c && c;

    *text += there;
    return there;
}
