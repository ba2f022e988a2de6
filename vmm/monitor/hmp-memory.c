/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "x" and "xp" of the human monitor: guest memory in the formats that QEMU and gdb have, but for
 * instructions.
 */
#include <inttypes.h>
#include <string.h>

#include "core/le.h"
#include "vmm/monitor/hmp-internal.h"

enum { COUNT_MAX = 65536, PAGE = 4096 };

typedef struct {
    unsigned count, size;
    char format; /* x, d, u, o, c */
    uint64_t addr;
} Dump;

/* Letters and a number in any order, as in "16xb". */
static bool parse_format(const char *text, Dump *d, GError **err)
{
    static const struct {
        char letter;
        unsigned size;
    } sizes[] = {{'b', 1}, {'h', 2}, {'w', 4}, {'g', 8}};

    if (g_ascii_isdigit(*text)) {
        guint64 count = g_ascii_strtoull(text, (char **)&text, 10);

        d->count = (unsigned)MIN(count, COUNT_MAX);
    }
    for (; *text; text++) {
        bool known = strchr("xduoc", *text) != NULL;

        if (known) {
            d->format = *text;
        }
        for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
            if (sizes[i].letter == *text) {
                d->size = sizes[i].size;
                known = true;
            }
        }
        if (!known) {
            return error_set(err, "'%c' is not a format: a count, one of xduoc and one of bhwg",
                             *text);
        }
    }
    if (d->format == 'c') {
        d->size = 1;
    }
    return true;
}

static bool parse(const char *arg, Dump *d, GError **err)
{
    const char *space = arg + strcspn(arg, " \t");
    g_autofree char *format = *arg == '/' ? g_strndup(arg + 1, (gsize)(space - arg - 1)) : NULL;
    char *end;

    *d = (Dump){.count = 1, .size = 4, .format = 'x'};
    if (format) {
        if (!parse_format(format, d, err)) {
            return false;
        }
        arg = space + strspn(space, " \t");
    }
    if (!*arg) {
        return error_set(err, "give an address: [/FMT] ADDR, as in /16xb 0x1000");
    }
    d->addr = g_ascii_strtoull(arg, &end, 0);
    return !*end || error_set(err, "invalid char '%c' in expression", *end);
}

static void put_char(GString *line, uint8_t c)
{
    if (c == '\'' || c == '\\') {
        g_string_append_printf(line, " '\\%c'", c);
    } else if (g_ascii_isprint(c)) {
        g_string_append_printf(line, " '%c'", c);
    } else {
        g_string_append_printf(line, " '\\x%02x'", c);
    }
}

static void put_value(GString *line, const Dump *d, uint64_t v)
{
    unsigned bits = d->size * 8, decimals = (bits * 10 + 32) / 33;
    int64_t negative = (int64_t)(v << (64 - bits)) >> (64 - bits);

    switch (d->format) {
    case 'd':
        g_string_append_printf(line, " %*" PRId64, (int)decimals, negative);
        break;
    case 'u':
        g_string_append_printf(line, " %*" PRIu64, (int)decimals, v);
        break;
    case 'o':
        g_string_append_printf(line, " 0%0*" PRIo64, (int)((bits + 2) / 3), v);
        break;
    case 'c':
        put_char(line, (uint8_t)v);
        break;
    default:
        g_string_append_printf(line, " 0x%0*" PRIx64, (int)d->size * 2, v);
    }
}

/* Up to the end of a page, as neighbours in virtual memory are none in physical memory. */
static bool read_piece(HmpMonitor *mon, bool virtual, uint64_t addr, uint8_t *dst, size_t len)
{
    Machine *m = hmp_machine(mon);

    while (len > 0) {
        size_t n = MIN(len, PAGE - addr % PAGE);
        uint64_t physical = addr;

        if ((virtual && !accel_translate(m->accel, hmp_cpu(mon), addr, &physical)) ||
            !gmem_read(m->platform.mem, GPA(physical), dst, n)) {
            return false;
        }
        addr += n;
        dst += n;
        len -= n;
    }
    return true;
}

static void dump(HmpMonitor *mon, const Dump *d, bool virtual)
{
    unsigned per_line = (d->size == 1 ? 8 : 16) / d->size;
    uint64_t addr = d->addr;

    for (unsigned done = 0; done < d->count;) {
        g_autoptr(GString) line = g_string_new(NULL);
        bool ok = true;

        g_string_printf(line, "%016" PRIx64 ":", addr);
        for (unsigned i = 0; ok && i < per_line && done < d->count; i++) {
            uint8_t bytes[8];

            ok = read_piece(mon, virtual, addr, bytes, d->size);
            if (ok) {
                put_value(line, d, le_load(bytes, d->size));
                addr += d->size;
                done++;
            } else {
                g_string_append(line, " Cannot access memory");
            }
        }
        hmp_print(mon, "%s\r\n", line->str);
        if (!ok) {
            return;
        }
    }
}

static void run(HmpMonitor *mon, const char *arg, bool virtual)
{
    Machine *m = hmp_machine(mon);
    bool pause = virtual && m->state == RUN_STATE_RUNNING;
    g_autoptr(GError) err = NULL;
    Dump d;

    if (!parse(arg, &d, &err)) {
        hmp_print(mon, "%s\r\nTry \"help %s\" for more information\r\n", err->message,
                  virtual ? "x" : "xp");
        return;
    }
    if (pause) {
        accel_pause(m->accel);
    }
    dump(mon, &d, virtual);
    if (pause) {
        accel_start(m->accel);
    }
}

void hmp_x(HmpMonitor *mon, const char *arg)
{
    run(mon, arg, true);
}

void hmp_xp(HmpMonitor *mon, const char *arg)
{
    run(mon, arg, false);
}
