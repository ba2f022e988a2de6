/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The qtest commands about interrupt lines. The machine's interrupt controller is no object: any
 * path that ends in its name ("ioapic", "/machine/ioapic") stands for the lines into it, which can
 * be watched and driven. Of devices, those with one fixed wire (isa-device) can be tapped at their
 * end of it; the line still leads where it did.
 */
#include <limits.h>
#include <string.h>

#include "vmm/accel/qtest-accel.h"
#include "vmm/qtest/qtest-internal.h"

static bool names_controller(Qtest *q, const char *path)
{
    const char *name = MACHINE_GET_CLASS(q->machine)->irqchip;
    const char *slash = strrchr(path, '/');

    return name && !strcmp(slash ? slash + 1 : path, name);
}

static void send_level(Qtest *q, int n, int level)
{
    if (q->connected) {
        qtest_send(q, "IRQ %s %d", level ? "raise" : "lower", n);
    }
}

/* --- inputs of the controller --- */

static void on_gsi(void *opaque, int n, int level)
{
    send_level(opaque, n, level);
}

static bool free_to_intercept(Qtest *q, GError **err)
{
    return (!q->watching && !q->tapped) || error_set(err, "IRQ intercept already enabled");
}

bool qtest_run_intercept_in(Qtest *q, QtestCall *call, GError **err)
{
    if (!names_controller(q, call->arg[0])) {
        return error_set(err, "Unknown device '%.80s'", call->arg[0]);
    }
    if (!q->watching) {
        if (!free_to_intercept(q, err)) {
            return false;
        }
        qtest_accel_watch(q->machine->accel, on_gsi, q);
        q->watching = true;
    }
    qtest_send(q, "OK");
    return true;
}

bool qtest_run_set_irq_in(Qtest *q, QtestCall *call, GError **err)
{
    uint64_t n, level;

    if (!names_controller(q, call->arg[0])) {
        return error_set(err, "Unknown device '%.80s'", call->arg[0]);
    }
    if (strcmp(call->arg[1], "unnamed-gpio-in") != 0) {
        return error_set(err, "it has no inputs '%.80s', only unnamed-gpio-in", call->arg[1]);
    }
    if (!qtest_number(call->arg[2], &n, err) || !qtest_number(call->arg[3], &level, err)) {
        return false;
    }
    if (n >= MACHINE_GET_CLASS(q->machine)->nr_irqs) {
        return error_set(err, "it has no input %s", call->arg[2]);
    }
    irq_set(accel_gsi(q->machine->accel, (unsigned)n), level != 0);
    qtest_send(q, "OK");
    return true;
}

/* --- a device's output --- */

static void on_tapped(void *opaque, int n, int level)
{
    Qtest *q = opaque;

    irq_set(q->tapped_irq, level);
    send_level(q, n, level);
}

static Object *find_device(Qtest *q, const char *path)
{
    Object *obj = object_resolve_path(q->machine->platform.root, path, NULL);

    return obj && object_is_a(obj, &device_type) ? obj : NULL;
}

bool qtest_run_intercept_out(Qtest *q, QtestCall *call, GError **err)
{
    Object *obj = find_device(q, call->arg[0]);

    if (!obj) {
        return error_set(err, "Unknown device '%.80s'", call->arg[0]);
    }
    if (!object_is_a(obj, &isa_device_type)) {
        return error_set(err, "%s has no interrupt output that can be intercepted",
                         object_type_name(obj));
    }
    if ((Object *)q->tapped != obj) {
        if (!free_to_intercept(q, err)) {
            return false;
        }
        q->tapped = ISA_DEVICE(object_ref(obj));
        q->tapped_irq = q->tapped->irq;
        q->tapped->irq = (IrqLine){on_tapped, q, 0};
    }
    qtest_send(q, "OK");
    return true;
}

void qtest_intercept_end(Qtest *q)
{
    if (q->watching) {
        qtest_accel_watch(q->machine->accel, NULL, NULL);
        q->watching = false;
    }
    if (q->tapped) {
        q->tapped->irq = q->tapped_irq;
        object_unref(q->tapped);
        q->tapped = NULL;
    }
}
