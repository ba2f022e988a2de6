/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The accelerator "qtest": a machine without vCPUs, whose part an outside client plays over the
 * qtest protocol (vmm/qtest). Interrupt lines end here, where they can be watched; a message is
 * what it is on the bus, a write to memory, so the client finds it in RAM where it told the device
 * to send it. The virtual clock moves only when the client says so.
 *
 * Doorbells have no listener: a write signals its eventfd, and the device runs from the main loop
 * after the command.
 */
#include "vmm/accel/qtest-accel.h"

#include <inttypes.h>

#include "core/le.h"
#include "core/log.h"

OBJECT_DECLARE(QtestAccel, qtest_accel, QTEST_ACCEL)

struct QtestAccel {
    Accel parent_obj;
    MsiController msi;
    bool levels[QTEST_GSIS];
    void (*watch)(void *opaque, int n, int level); /* NULL: nobody looks */
    void *watch_opaque;
};

/* --- messages --- */

static QtestAccel *qtest_of_msi(MsiController *c)
{
    return (QtestAccel *)(void *)((char *)c - offsetof(QtestAccel, msi));
}

/* Any thread. */
static void qtest_msi_send(MsiController *c, MsiMessage msg, uint16_t requester)
{
    Platform *p = qtest_of_msi(c)->parent_obj.platform;
    Le32 data = le32_make(msg.data);

    TRACE(qtest_msi, "addr 0x%" PRIx64 " data 0x%" PRIx32 " requester 0x%x", msg.addr, msg.data,
          requester);
    if (!gmem_write(p->mem, GPA(msg.addr), &data, sizeof data)) {
        TRACE(qtest_msi_lost, "addr 0x%" PRIx64 " is not RAM", msg.addr);
    }
}

static const MsiControllerOps qtest_msi_ops = {.send = qtest_msi_send};

/* --- lines --- */

static void qtest_gsi_set(void *opaque, int n, int level)
{
    QtestAccel *s = opaque;

    if (s->levels[n] == !!level) {
        return;
    }
    s->levels[n] = level;
    TRACE(qtest_irq_line, "gsi %d level %d", n, !!level);
    if (s->watch) {
        s->watch(s->watch_opaque, n, !!level);
    }
}

static IrqLine qtest_gsi(Accel *accel, unsigned gsi)
{
    g_assert(gsi < QTEST_GSIS);
    return (IrqLine){qtest_gsi_set, accel, (int)gsi};
}

void qtest_accel_watch(Accel *accel, void (*fn)(void *opaque, int n, int level), void *opaque)
{
    QtestAccel *s = QTEST_ACCEL(accel);

    s->watch = fn;
    s->watch_opaque = opaque;
}

/* --- life --- */

static bool qtest_open(Accel *accel, Platform *platform, GError **err)
{
    QtestAccel *s = QTEST_ACCEL(accel);

    accel->platform = platform;
    if (!clock_is_manual(platform->vclock)) { /* no device is there yet that could have a timer */
        clock_free(platform->vclock);
        platform->vclock = clock_new_manual();
    }
    s->msi.ops = &qtest_msi_ops;
    platform->msi = &s->msi;
    return true;
}

static bool qtest_create_vcpus(Accel *accel, unsigned n, GError **err)
{
    return true;
}

static bool qtest_reset(Accel *accel, const CpuStartState *state, GError **err)
{
    return true;
}

static void qtest_nothing(Accel *accel)
{
}

static void qtest_close(Accel *accel)
{
    QtestAccel *s = QTEST_ACCEL(accel);

    if (accel->platform && accel->platform->msi == &s->msi) {
        accel->platform->msi = NULL;
    }
    accel->platform = NULL;
}

/* --- the type --- */

static void qtest_class_init(ObjectClass *klass, const void *data)
{
    AccelClass *ac = ACCEL_CLASS(klass);

    ac->no_vcpus = true;
    ac->open = qtest_open;
    ac->create_vcpus = qtest_create_vcpus;
    ac->gsi = qtest_gsi;
    ac->reset = qtest_reset;
    ac->start = qtest_nothing;
    ac->pause = qtest_nothing;
    ac->close = qtest_close;
}

const TypeInfo qtest_accel_type = {
    .name = "qtest-accel",
    .parent = &accel_type,
    .instance_size = sizeof(QtestAccel),
    .class_init = qtest_class_init,
    .desc = "no vCPUs: a client drives the devices over the qtest protocol",
};
