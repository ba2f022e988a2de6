/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * See fake-accel.h.
 */
#include "tests/fake-accel.h"

static FakeAccel *fake_of_msi(MsiController *c)
{
    return (FakeAccel *)((char *)c - offsetof(FakeAccel, msi));
}

static void fake_msi_send(MsiController *c, MsiMessage msg, uint16_t requester)
{
    FakeAccel *s = fake_of_msi(c);

    s->messages++;
    s->last_message = msg;
    s->last_requester = requester;
}

static const MsiControllerOps fake_msi_ops = {.send = fake_msi_send};

static void fake_gsi_set(void *opaque, int n, int level)
{
    FakeAccel *s = opaque;

    s->raised[n] += !s->level[n] && level;
    s->level[n] = level;
}

static bool fake_open(Accel *accel, Platform *platform, GError **err)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    if (s->fail_open) {
        return error_set(err, "-accel fake: cannot open");
    }
    accel->platform = platform;
    s->msi.ops = &fake_msi_ops;
    platform->msi = &s->msi;
    s->open = true;
    return true;
}

static bool fake_create_vcpus(Accel *accel, unsigned n, GError **err)
{
    if (FAKE_ACCEL(accel)->fail_vcpus) {
        return error_set(err, "-accel fake: no vCPUs");
    }
    accel->nr_vcpus = n;
    return true;
}

static IrqLine fake_gsi(Accel *accel, unsigned gsi)
{
    g_assert(gsi < FAKE_GSIS);
    return (IrqLine){fake_gsi_set, accel, (int)gsi};
}

static bool fake_reset(Accel *accel, const CpuStartState *state, GError **err)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(!s->running);
    if (s->fail_reset) {
        return error_set(err, "-accel fake: cannot reset");
    }
    s->resets++;
    s->state = state->x86;
    return true;
}

static void fake_start(Accel *accel)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(s->open && !s->running);
    s->running = true;
    s->starts++;
}

static void fake_pause(Accel *accel)
{
    FakeAccel *s = FAKE_ACCEL(accel);
    void (*last_words)(void *opaque) = s->on_pause;

    g_assert(s->running);
    s->on_pause = NULL;
    if (last_words) {
        last_words(s->on_pause_opaque);
    }
    s->running = false;
    s->pauses++;
}

static void fake_close(Accel *accel)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(!s->running);
    if (s->open) {
        accel->platform->msi = NULL;
        s->open = false;
        s->closes++;
    }
}

static int fake_thread_id(Accel *accel, unsigned cpu)
{
    return 1000 + (int)cpu;
}

/* The upper half of virtual memory is physical memory, as with Linux. */
static bool fake_translate(Accel *accel, unsigned cpu, uint64_t addr, uint64_t *ret_physical)
{
    *ret_physical = addr & (UINT64_MAX >> 2); /* two names for each byte */
    return addr >> 63;
}

static bool fake_nmi(Accel *accel, GError **err)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(!s->running);
    s->nmis++;
    return true;
}

/* What test-qmp-stats.c expects; the first vCPU has left the guest 10 times, the second 11. */
static json_t *fake_stats(Accel *accel, int cpu, bool schemas, GError **err)
{
    if (!FAKE_ACCEL(accel)->has_stats) {
        return json_array();
    }
    if (cpu < 0) {
        return schemas ? json_pack("[{s:s, s:s, s:i, s:i, s:s}]", "name", "big", "type", "peak",
                                   "exponent", 20, "base", 2, "unit", "bytes")
                       : json_pack("[{s:s, s:i}]", "name", "big", "value", 3);
    }
    return schemas ? json_pack(
                         "[{s:s, s:s, s:i}, {s:s, s:s, s:i, s:s}, {s:s, s:s, s:i, s:i, s:s, s:i}]",
                         "name", "exits", "type", "cumulative", "exponent", 0, "name", "blocking",
                         "type", "instant", "exponent", 0, "unit", "boolean", "name", "waits",
                         "type", "linear-histogram", "exponent", -9, "base", 10, "unit", "seconds",
                         "bucket-size", 50)
                   : json_pack("[{s:s, s:i}, {s:s, s:b}, {s:s, s:[iii]}]", "name", "exits", "value",
                               10 + cpu, "name", "blocking", "value", 1, "name", "waits", "value",
                               1, 2, 3);
}

static bool fake_read_registers(Accel *accel, unsigned cpu, X86Registers *ret, GError **err)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(!s->running && cpu < FAKE_CPUS);
    *ret = s->registers[cpu];
    return !s->fail_registers || error_set(err, "fake: no registers");
}

static bool fake_write_registers(Accel *accel, unsigned cpu, const X86Registers *regs, GError **err)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(!s->running && cpu < FAKE_CPUS);
    s->registers[cpu] = *regs;
    return !s->fail_registers || error_set(err, "fake: no registers");
}

static bool fake_debug(Accel *accel, unsigned cpu, const CpuDebug *how, GError **err)
{
    FakeAccel *s = FAKE_ACCEL(accel);

    g_assert(!s->running && cpu < FAKE_CPUS);
    s->debug[cpu] = *how;
    return !s->fail_debug || error_set(err, "fake: no debugging");
}

static void fake_accel_class_init(ObjectClass *klass, const void *data)
{
    AccelClass *ac = ACCEL_CLASS(klass);

    ac->open = fake_open;
    ac->create_vcpus = fake_create_vcpus;
    ac->gsi = fake_gsi;
    ac->reset = fake_reset;
    ac->start = fake_start;
    ac->pause = fake_pause;
    ac->close = fake_close;
    ac->thread_id = fake_thread_id;
    ac->nmi = fake_nmi;
    ac->translate = fake_translate;
    ac->stats = fake_stats;
    ac->read_registers = fake_read_registers;
    ac->write_registers = fake_write_registers;
    ac->debug = fake_debug;
}

const TypeInfo fake_accel_type = {
    .name = "fake-accel",
    .parent = &accel_type,
    .instance_size = sizeof(FakeAccel),
    .class_init = fake_accel_class_init,
};
