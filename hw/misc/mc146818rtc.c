/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Real-time clock and CMOS RAM (Motorola MC146818A data sheet; 128 bytes as in a PC, century in
 * 0x32).
 *
 * Nothing ticks: the guest's time is the clock plus an offset, worked out when a register is read.
 * Timers run only for interrupts that the guest enabled. While the guest sets the time (SET, or the
 * divider held in reset) the registers stand still and hold what it writes; letting go turns them
 * into a new offset. Daylight saving and the square wave are left out.
 */
#include <string.h>
#include <time.h>

#include "core/log.h"
#include "hw/isa/isa.h"

enum {
    RTC_PORT = 0x70, /* index, and data one above */
    RTC_RAM = 128,

    RTC_SECONDS = 0x00,
    RTC_SECONDS_ALARM = 0x01,
    RTC_MINUTES = 0x02,
    RTC_MINUTES_ALARM = 0x03,
    RTC_HOURS = 0x04,
    RTC_HOURS_ALARM = 0x05,
    RTC_WEEKDAY = 0x06,
    RTC_DAY = 0x07,
    RTC_MONTH = 0x08,
    RTC_YEAR = 0x09,
    RTC_A = 0x0a,
    RTC_B = 0x0b,
    RTC_C = 0x0c,
    RTC_D = 0x0d,
    RTC_CENTURY = 0x32,

    A_UIP = 0x80,
    A_DIVIDER = 0x70,
    A_DIVIDER_RUN = 0x20, /* 32768 Hz; larger values hold the divider in reset */
    A_RATE = 0x0f,
    B_SET = 0x80,
    B_BINARY = 0x04,
    B_24H = 0x02,
    C_IRQ = 0x80,
    C_PERIODIC = 0x40, /* the enable bits in B are the same */
    C_ALARM = 0x20,
    C_UPDATE = 0x10,
    C_SOURCES = C_PERIODIC | C_ALARM | C_UPDATE,
    B_SQUARE_WAVE = 0x08,
    D_VALID = 0x80,

    HOUR_PM = 0x80,
    ALARM_ANY = 0xc0, /* both bits set: matches every value */
};

#define NS_PER_S INT64_C(1000000000)
#define UIP_NS   INT64_C(244000)
#define DAY_S    86400
#define HALF_S   (NS_PER_S / 2)

OBJECT_DECLARE(RtcState, mc146818rtc, MC146818RTC)

enum { RTC_CLOCK_HOST, RTC_CLOCK_VM };
static const char *const rtc_clock_words[] = {"host", "vm", NULL};

struct RtcState {
    IsaDevice parent_obj;
    char *base;
    int clock_kind;
    uint32_t irq;
    IoRegion io;

    Clock *clock;
    int64_t offset_ns; /* guest time since 1970 is the clock's plus this */
    int64_t
        frozen_ns;  /* while the registers stand still: the part of the second that had gone by */
    int64_t seen_s; /* up to this guest second, updates and alarms are in C */
    int64_t seen_tick; /* likewise for periodic ticks */
    LoopTimer *timer;  /* next update or alarm that interrupts */
    LoopTimer *periodic;
    uint8_t index;
    uint8_t ram[RTC_RAM]; /* registers included */
};

/* --- time --- */

static bool rtc_running(const RtcState *s)
{
    return !(s->ram[RTC_B] & B_SET) && (s->ram[RTC_A] & A_DIVIDER) <= A_DIVIDER_RUN;
}

static int64_t rtc_now_ns(const RtcState *s)
{
    return clock_now(s->clock) + s->offset_ns;
}

static int64_t floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b < 0);
}

static int64_t rtc_now_s(const RtcState *s)
{
    return floor_div(rtc_now_ns(s), NS_PER_S);
}

static uint8_t rtc_encode(const RtcState *s, int value)
{
    return (uint8_t)(s->ram[RTC_B] & B_BINARY ? value : value / 10 << 4 | value % 10);
}

static int rtc_decode(const RtcState *s, uint8_t reg)
{
    return s->ram[RTC_B] & B_BINARY ? reg : (reg >> 4) * 10 + (reg & 0xf);
}

static uint8_t rtc_encode_hour(const RtcState *s, int hour)
{
    if (s->ram[RTC_B] & B_24H) {
        return rtc_encode(s, hour);
    }
    return rtc_encode(s, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? HOUR_PM : 0);
}

static int rtc_decode_hour(const RtcState *s, uint8_t reg)
{
    if (s->ram[RTC_B] & B_24H) {
        return rtc_decode(s, reg);
    }
    return rtc_decode(s, reg & 0x7f) % 12 + (reg & HOUR_PM ? 12 : 0);
}

/* Brings the time registers up to date. */
static void rtc_load_registers(RtcState *s)
{
    time_t t = (time_t)rtc_now_s(s);
    struct tm tm;

    if (!rtc_running(s) || !gmtime_r(&t, &tm)) {
        return;
    }
    s->ram[RTC_SECONDS] = rtc_encode(s, tm.tm_sec);
    s->ram[RTC_MINUTES] = rtc_encode(s, tm.tm_min);
    s->ram[RTC_HOURS] = rtc_encode_hour(s, tm.tm_hour);
    s->ram[RTC_WEEKDAY] = rtc_encode(s, tm.tm_wday + 1);
    s->ram[RTC_DAY] = rtc_encode(s, tm.tm_mday);
    s->ram[RTC_MONTH] = rtc_encode(s, tm.tm_mon + 1);
    s->ram[RTC_YEAR] = rtc_encode(s, (tm.tm_year + 1900) % 100);
    s->ram[RTC_CENTURY] = rtc_encode(s, (tm.tm_year + 1900) / 100);
}

/* Makes the registers the guest's time, part_ns into the second. Values out of range count on
 * (timegm). */
static void rtc_store_registers(RtcState *s, int64_t part_ns)
{
    int year = rtc_decode(s, s->ram[RTC_CENTURY]) * 100 + rtc_decode(s, s->ram[RTC_YEAR]);
    struct tm tm = {
        .tm_sec = rtc_decode(s, s->ram[RTC_SECONDS]),
        .tm_min = rtc_decode(s, s->ram[RTC_MINUTES]),
        .tm_hour = rtc_decode_hour(s, s->ram[RTC_HOURS]),
        .tm_mday = rtc_decode(s, s->ram[RTC_DAY]),
        .tm_mon = rtc_decode(s, s->ram[RTC_MONTH]) - 1,
        .tm_year = MIN(year, 9999) - 1900,
    };
    int64_t t = CLAMP((int64_t)timegm(&tm), -INT64_C(4000000000), INT64_C(9000000000));

    s->offset_ns = t * NS_PER_S + part_ns - clock_now(s->clock);
    s->seen_s = t;
}

/* --- alarm --- */

/*
 * The first second after `after` at which the alarm registers match; INT64_MAX: never, as when one
 * holds what no clock shows. Hours and minutes that do not match are skipped: less than 300 steps.
 */
static int64_t rtc_next_alarm(const RtcState *s, int64_t after)
{
    const uint8_t *ram = s->ram;
    bool any_s = ram[RTC_SECONDS_ALARM] >= ALARM_ANY, any_m = ram[RTC_MINUTES_ALARM] >= ALARM_ANY,
         any_h = ram[RTC_HOURS_ALARM] >= ALARM_ANY;
    int sec = rtc_decode(s, ram[RTC_SECONDS_ALARM]), min = rtc_decode(s, ram[RTC_MINUTES_ALARM]),
        hour = rtc_decode_hour(s, ram[RTC_HOURS_ALARM]);
    int64_t t = after + 1;

    if ((!any_s && sec > 59) || (!any_m && min > 59) || (!any_h && hour > 23)) {
        return INT64_MAX;
    }
    while (t <= after + DAY_S) {
        int64_t in_day = t - floor_div(t, DAY_S) * DAY_S;

        if (!any_h && in_day / 3600 != hour) {
            t += 3600 - in_day % 3600;
        } else if (!any_m && in_day / 60 % 60 != min) {
            t += 60 - in_day % 60;
        } else if (!any_s && in_day % 60 != sec) {
            t++;
        } else {
            return t;
        }
    }
    return INT64_MAX;
}

/* --- interrupts --- */

/* Nanoseconds of the periodic rate, 0: none. Rates 1 and 2 are those of 8 and 9. */
static int64_t rtc_period_ns(const RtcState *s)
{
    unsigned rate = s->ram[RTC_A] & A_RATE;

    if (rate == 0 || (s->ram[RTC_A] & A_DIVIDER) > A_DIVIDER_RUN) {
        return 0;
    }
    return NS_PER_S * (INT64_C(1) << ((rate <= 2 ? rate + 7 : rate) - 1)) / 32768;
}

static int64_t rtc_tick(const RtcState *s)
{
    int64_t period = rtc_period_ns(s);

    return period ? clock_now(s->clock) / period : 0;
}

/* Notes in C what has happened since the last time. */
static void rtc_update_flags(RtcState *s)
{
    uint8_t *c = &s->ram[RTC_C];
    int64_t now_s = rtc_now_s(s), tick = rtc_tick(s);

    if (rtc_running(s) && now_s > s->seen_s) {
        *c |= C_UPDATE;
        if (rtc_next_alarm(s, s->seen_s) <= now_s) {
            *c |= C_ALARM;
        }
        s->seen_s = now_s;
    }
    if (tick != s->seen_tick) {
        *c |= C_PERIODIC;
        s->seen_tick = tick;
    }
    if (*c & s->ram[RTC_B] & C_SOURCES) {
        *c |= C_IRQ;
    } else {
        *c &= (uint8_t)~C_IRQ;
    }
    isa_irq_set(ISA_DEVICE(s), *c & C_IRQ);
}

static void rtc_arm_timers(RtcState *s)
{
    uint8_t b = s->ram[RTC_B];
    int64_t next = INT64_MAX, period = rtc_period_ns(s);

    if (rtc_running(s) && (b & C_UPDATE)) {
        next = s->seen_s + 1;
    } else if (rtc_running(s) && (b & C_ALARM)) {
        next = rtc_next_alarm(s, s->seen_s);
    }
    if (next != INT64_MAX) {
        loop_timer_arm_at(s->timer, next * NS_PER_S - s->offset_ns);
    } else {
        loop_timer_cancel(s->timer);
    }
    if (period && (b & C_PERIODIC)) {
        loop_timer_arm_at(s->periodic, (s->seen_tick + 1) * period);
    } else {
        loop_timer_cancel(s->periodic);
    }
}

static void rtc_on_timer(void *opaque)
{
    RtcState *s = opaque;

    rtc_update_flags(s);
    rtc_arm_timers(s);
}

/* --- registers --- */

static bool rtc_is_time(uint8_t reg)
{
    return reg == RTC_CENTURY || (reg <= RTC_YEAR && reg != RTC_SECONDS_ALARM &&
                                  reg != RTC_MINUTES_ALARM && reg != RTC_HOURS_ALARM);
}

static uint64_t rtc_read(void *opaque, uint64_t off, unsigned size)
{
    RtcState *s = opaque;
    uint8_t value;

    if (off == 0) {
        return 0xff; /* the index is write only */
    }
    if (rtc_is_time(s->index)) {
        rtc_load_registers(s);
        return s->ram[s->index];
    }
    switch (s->index) {
    case RTC_A: {
        int64_t now = rtc_now_ns(s);
        bool soon = now - floor_div(now, NS_PER_S) * NS_PER_S >= NS_PER_S - UIP_NS;

        return s->ram[RTC_A] | (rtc_running(s) && soon ? A_UIP : 0);
    }
    case RTC_C:
        rtc_update_flags(s);
        value = s->ram[RTC_C];
        s->ram[RTC_C] = 0;
        isa_irq_set(ISA_DEVICE(s), false);
        return value;
    default:
        return s->ram[s->index];
    }
}

/* Register A or B: stops, sets or starts the clock as the new value says. */
static void rtc_write_control(RtcState *s, uint8_t reg, uint8_t value)
{
    bool ran = rtc_running(s);
    bool held = (s->ram[RTC_A] & A_DIVIDER) > A_DIVIDER_RUN;

    rtc_update_flags(s);
    rtc_load_registers(s);
    if (ran) {
        s->frozen_ns = rtc_now_ns(s) - rtc_now_s(s) * NS_PER_S;
    }
    s->ram[reg] = value;
    if (held && (s->ram[RTC_A] & A_DIVIDER) <= A_DIVIDER_RUN) {
        s->frozen_ns =
            HALF_S; /* the first update comes half a second after the divider is let go */
    }
    if (!ran && rtc_running(s)) {
        rtc_store_registers(s, s->frozen_ns);
    }
    s->seen_tick = rtc_tick(s);
    rtc_update_flags(s);
    rtc_arm_timers(s);
}

static void rtc_write_data(RtcState *s, uint8_t value)
{
    int64_t now = rtc_now_ns(s);

    if (rtc_is_time(s->index)) {
        rtc_load_registers(s);
        s->ram[s->index] = value;
        if (rtc_running(s) && s->index != RTC_WEEKDAY) {
            rtc_store_registers(s, now - floor_div(now, NS_PER_S) * NS_PER_S);
            rtc_arm_timers(s);
        }
        return;
    }
    switch (s->index) {
    case RTC_A:
        rtc_write_control(s, RTC_A, value & (uint8_t)~A_UIP);
        break;
    case RTC_B:
        rtc_write_control(s, RTC_B, value & B_SET ? value & (uint8_t)~C_UPDATE : value);
        break;
    case RTC_C:
    case RTC_D:
        break;
    case RTC_SECONDS_ALARM:
    case RTC_MINUTES_ALARM:
    case RTC_HOURS_ALARM:
        rtc_update_flags(s);
        s->ram[s->index] = value;
        rtc_arm_timers(s);
        break;
    default:
        s->ram[s->index] = value;
        break;
    }
}

static void rtc_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    RtcState *s = opaque;

    if (off == 0) {
        s->index = value & (RTC_RAM - 1); /* bit 7 masks NMI, of which there is none */
    } else {
        TRACE(rtc_write, "register 0x%02x: 0x%02x", s->index, (unsigned)value);
        rtc_write_data(s, (uint8_t)value);
    }
}

static const IoRegionOps rtc_ops = {rtc_read, rtc_write, 1, 1};

/* --- life --- */

/* "utc", "localtime" or a date: the guest's time now, in nanoseconds since 1970. */
static bool rtc_parse_base(const char *base, int64_t *ret_ns, GError **err)
{
    struct timespec ts;
    struct tm tm = {0};
    const char *end;

    clock_gettime(CLOCK_REALTIME, &ts);
    if (strcmp(base, "utc") == 0) {
        *ret_ns = ts.tv_sec * NS_PER_S + ts.tv_nsec;
        return true;
    }
    if (strcmp(base, "localtime") == 0 && localtime_r(&ts.tv_sec, &tm)) {
        *ret_ns = timegm(&tm) * NS_PER_S + ts.tv_nsec;
        return true;
    }
    end = strptime(base, "%Y-%m-%dT%H:%M:%S", &tm);
    if (!end) {
        tm = (struct tm){0};
        end = strptime(base, "%Y-%m-%d", &tm);
    }
    if (!end || *end || tm.tm_year < 70 || tm.tm_year >= 350) {
        return error_set(err,
                         "mc146818rtc: base=%s is not utc, localtime or a date between 1970 "
                         "and 2250 like 2030-01-31T12:00:00",
                         base);
    }
    *ret_ns = timegm(&tm) * NS_PER_S;
    return true;
}

static void rtc_reset(Device *dev)
{
    RtcState *s = MC146818RTC(dev);

    s->ram[RTC_B] &= (uint8_t) ~(C_SOURCES | B_SQUARE_WAVE);
    s->ram[RTC_C] = 0;
    s->index = 0;
    isa_irq_set(ISA_DEVICE(s), false);
    rtc_arm_timers(s);
}

static bool rtc_realize(Device *dev, GError **err)
{
    RtcState *s = MC146818RTC(dev);
    Platform *p = device_platform(dev);
    int64_t now_ns = 0;

    if (!rtc_parse_base(s->base ? s->base : "utc", &now_ns, err) ||
        !isa_map_pio(ISA_DEVICE(s), &s->io, "rtc", &rtc_ops, RTC_PORT, 2, err)) {
        return false;
    }
    s->clock = s->clock_kind == RTC_CLOCK_VM ? p->vclock : p->rtclock;
    s->offset_ns = now_ns - clock_now(s->clock);
    s->ram[RTC_A] = A_DIVIDER_RUN | 6; /* 1024 Hz, as a BIOS leaves it */
    s->ram[RTC_B] = B_24H;
    s->ram[RTC_D] = D_VALID;
    s->seen_s = rtc_now_s(s);
    s->seen_tick = rtc_tick(s);
    s->timer = loop_timer_new(p->loop, s->clock, rtc_on_timer, s);
    s->periodic = loop_timer_new(p->loop, s->clock, rtc_on_timer, s);
    return true;
}

static void rtc_unrealize(Device *dev)
{
    RtcState *s = MC146818RTC(dev);

    loop_timer_free(s->timer);
    loop_timer_free(s->periodic);
    s->timer = s->periodic = NULL;
    isa_irq_set(ISA_DEVICE(s), false);
    io_region_finish(&s->io);
}

static const Property rtc_props[] = {
    PROP_STRING("base", RtcState, base, "utc",
                "time at start: utc, localtime or YYYY-MM-DDTHH:MM:SS"),
    PROP_ENUM("clock", RtcState, clock_kind, rtc_clock_words, RTC_CLOCK_HOST,
              "host runs on while the VM is stopped, vm does not"),
    PROP_UINT32("irq", RtcState, irq, 8, 0, 15, "interrupt input it is wired to"),
    PROP_END,
};

static void rtc_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = rtc_realize;
    dc->unrealize = rtc_unrealize;
    dc->reset = rtc_reset;
    dc->category = "misc";
}

const TypeInfo mc146818rtc_type = {
    .name = "mc146818rtc",
    .parent = &isa_device_type,
    .instance_size = sizeof(RtcState),
    .class_init = rtc_class_init,
    .props = rtc_props,
    .desc = "real-time clock and CMOS RAM",
};
