/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory balloon as its users see it: the guest's memory, the host's, statistics, the guest out
 * of memory.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "tests/guest/groups.h"
#include "tests/guest/vm.h"

#define PATH "/machine/peripheral/balloon0"

static void ask_number(Vm *vm, const char *command, unsigned n)
{
    g_autofree char *line = g_strdup_printf("%s %u", command, n);

    g_free(vm_ask_ok(vm, line));
}

typedef struct {
    int64_t total, free, resident;
} Memory;

static Memory measure(Vm *vm, const char *when)
{
    Memory m;

    m.total = (int64_t)vm_meminfo(vm, "MemTotal");
    m.free = (int64_t)vm_meminfo(vm, "MemFree");
    m.resident = (int64_t)vm_resident(vm);
    passed("%s: guest total %.1f MiB, free %.1f MiB; resident %.1f MiB", when,
           (double)m.total / MiB, (double)m.free / MiB, (double)m.resident / MiB);
    return m;
}

static void expect_change(const char *what, int64_t from, int64_t to, int64_t wanted)
{
    if (!near(to - from, wanted)) {
        fail("%s changed by %.1f MiB, expected %.1f MiB within 10 %%", what,
             (double)(to - from) / MiB, (double)wanted / MiB);
    }
}

static void expect_bound(Vm *vm)
{
    g_autofree char *devices = vm_ask_ok(vm, "virtio");

    if (!strstr(devices, "device=0x0005 driver=virtio_balloon")) {
        fail("the guest's driver is not bound to the balloon: %s", devices);
    }
}

/* The last BALLOON_CHANGE tells the size reached; those before it came at most once a second. */
static void expect_events(Vm *vm, uint64_t bytes, double seconds)
{
    unsigned n = 0;

    for (json_int_t got = 0; got != (json_int_t)bytes; n++) {
        json_t *e = vm_wait_event(vm, "BALLOON_CHANGE", 5);

        got = json_integer_value(json_object_get(json_object_get(e, "data"), "actual"));
        json_decref(e);
    }
    if (n > seconds + 2) {
        fail("%u events BALLOON_CHANGE in %.1f s", n, seconds);
    }
}

/* Asks for `give` bytes of the guest's memory and takes them back; all touched pages are resident
 * before. */
static void inflate_and_deflate(Vm *vm, int64_t give)
{
    Memory before, inflated, deflated, used;
    double start;

    ask_number(vm, "hold", 400);
    ask_number(vm, "hold", 0);
    vm_forget_events(vm);
    before = measure(vm, "the guest has used its memory");

    start = now();
    vm_set_balloon(vm, (uint64_t)(512 * (int64_t)MiB - give));
    passed("inflating took %.2f s", now() - start);
    inflated = measure(vm, "inflated");
    expect_change("guest's MemTotal", before.total, inflated.total, -give);
    expect_change("guest's MemFree", before.free, inflated.free, -give);
    expect_change("host's resident set", before.resident, inflated.resident, -give);
    expect_events(vm, (uint64_t)(512 * (int64_t)MiB - give), now() - start);

    start = now();
    vm_set_balloon(vm, 512 * MiB);
    passed("deflating took %.2f s", now() - start);
    deflated = measure(vm, "deflated");
    expect_change("guest's MemTotal", inflated.total, deflated.total, give);
    expect_change("guest's MemFree", inflated.free, deflated.free, give);
    expect_events(vm, 512 * MiB, now() - start);

    ask_number(vm, "hold", 400);
    used = measure(vm, "the guest uses what came back");
    expect_change("host's resident set", inflated.resident, used.resident, give);
    ask_number(vm, "hold", 0);
}

/* --- statistics --- */

/* What Linux 6.1 tells; the six younger ones are -1. */
static const char *const linux_stats[] = {
    "stat-swap-in",      "stat-swap-out",     "stat-major-faults",     "stat-minor-faults",
    "stat-free-memory",  "stat-total-memory", "stat-available-memory", "stat-disk-caches",
    "stat-htlb-pgalloc", "stat-htlb-pgfail",
};

static json_t *get_property(Vm *vm, const char *name)
{
    return vm_qmp(vm, "qom-get", json_pack("{s:s, s:s}", "path", PATH, "property", name));
}

static void set_interval(Vm *vm, int seconds)
{
    vm_do(vm, "qom-set",
          json_pack("{s:s, s:s, s:i}", "path", PATH, "property", "guest-stats-polling-interval",
                    "value", seconds));
}

static json_int_t stat_value(json_t *guest_stats, const char *name)
{
    return json_integer_value(json_object_get(json_object_get(guest_stats, "stats"), name));
}

static json_int_t last_update(json_t *guest_stats)
{
    return json_integer_value(json_object_get(guest_stats, "last-update"));
}

/* Statistics that are younger than `than` (seconds since the epoch). */
static json_t *wait_stats(Vm *vm, json_int_t than)
{
    for (double end = now() + 20;; vm_sleep(vm, 0.2)) {
        json_t *r = get_property(vm, "guest-stats");

        if (last_update(r) > than) {
            return r;
        }
        json_decref(r);
        if (now() > end) {
            fail("no statistics within 20 s");
        }
    }
}

static void statistics(Vm *vm)
{
    json_t *first, *second;
    json_int_t total, free;
    unsigned told = 0;
    const char *name;
    json_t *value;

    set_interval(vm, 1);
    first = wait_stats(vm, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(linux_stats); i++) {
        if (stat_value(first, linux_stats[i]) < 0) {
            fail("%s did not arrive: %s", linux_stats[i], json_dumps(first, 0));
        }
    }
    json_object_foreach(json_object_get(first, "stats"), name, value)
    {
        told += json_integer_value(value) != -1;
    }
    if (told < G_N_ELEMENTS(linux_stats) ||
        json_object_size(json_object_get(first, "stats")) != 16) {
        fail("not all statistics are there: %s", json_dumps(first, 0));
    }
    total = stat_value(first, "stat-total-memory");
    free = stat_value(first, "stat-free-memory");
    if (!near(total, (int64_t)vm_meminfo(vm, "MemTotal")) ||
        !near(free, (int64_t)vm_meminfo(vm, "MemFree"))) {
        fail("statistics and the guest's meminfo differ: %s", json_dumps(first, 0));
    }
    passed("%u statistics arrived: %s", told, json_dumps(first, JSON_COMPACT));

    ask_number(vm, "hold", 128);
    second = wait_stats(vm, time(NULL));
    if (!near(free - stat_value(second, "stat-free-memory"), 128 * (int64_t)MiB)) {
        fail("the guest took 128 MiB, stat-free-memory went from %.1f to %.1f MiB",
             (double)free / MiB, (double)stat_value(second, "stat-free-memory") / MiB);
    }
    passed("later statistics tell what changed");
    json_decref(first);
    json_decref(second);

    set_interval(vm, 0);
    first = wait_stats(vm, 0);
    vm_sleep(vm, 2.5);
    second = get_property(vm, "guest-stats");
    if (last_update(second) > last_update(first) + 1) {
        fail("statistics still come with polling off");
    }
    passed("no polling, no statistics");
    json_decref(first);
    json_decref(second);
    ask_number(vm, "hold", 0);
}

void group_balloon(void)
{
    Vm *vm = vm_start("-device", "virtio-balloon,id=balloon0", NULL);

    vm_wait_ready(vm);
    expect_bound(vm);
    if (vm_balloon(vm) != 512 * MiB) {
        fail("the balloon is not empty at first");
    }
    passed("the guest's driver is bound to the balloon");
    inflate_and_deflate(vm, 128 * (int64_t)MiB);
    inflate_and_deflate(vm, 256 * (int64_t)MiB);
    statistics(vm);
    vm_type(vm, "poweroff\n");
    vm_finish(vm);
}

/* --- by INTx --- */

/* The properties are as asked for. */
static void expect_intx(Vm *vm)
{
    static const char *const props[] = {"vectors", "ioeventfd"};

    for (unsigned i = 0; i < G_N_ELEMENTS(props); i++) {
        json_t *value = get_property(vm, props[i]);

        if (json_integer_value(value) != 0 || json_is_true(value)) {
            fail("the balloon has %s", props[i]);
        }
        json_decref(value);
    }
}

/* Without MSI-X the driver depends on _PRT and the I/O APIC, and kicks come as exits. */
void group_balloon_intx(void)
{
    Vm *vm = vm_start("-device", "virtio-balloon,id=balloon0,vectors=0,ioeventfd=off", NULL);

    vm_wait_ready(vm);
    expect_bound(vm);
    expect_intx(vm);
    for (int i = 0; i < 3; i++) {
        vm_set_balloon(vm, 256 * MiB);
        vm_set_balloon(vm, 512 * MiB);
    }
    passed("a balloon without MSI-X and ioeventfd inflates and deflates");
    vm_type(vm, "poweroff\n");
    vm_finish(vm);
}

/* --- out of memory --- */

#define SQUEEZED (128 * MiB) /* of 256 */

/* A process wants more than is left: its status in the guest. */
static int squeeze(const char *device, uint64_t *ret_actual)
{
    Vm *vm = vm_start("-m", "256", "-device", device, NULL);
    int status;

    vm_wait_ready(vm);
    expect_bound(vm);
    vm_set_balloon(vm, SQUEEZED);
    g_free(vm_ask(vm, &status, "oom 128"));
    *ret_actual = vm_balloon(vm);
    vm_type(vm, "poweroff\n");
    vm_finish(vm);
    return status;
}

void group_oom(void)
{
    uint64_t left;
    int status = squeeze("virtio-balloon,id=balloon0,deflate-on-oom=on", &left);

    if (status != 0 || left <= SQUEEZED) {
        fail("with deflate-on-oom the process ended with %d, the guest has %" G_GUINT64_FORMAT
             " MiB",
             status, left / MiB);
    }
    passed("deflate-on-oom saves a process; the guest took back %" G_GUINT64_FORMAT " MiB",
           (left - SQUEEZED) / MiB);
    status = squeeze("virtio-balloon,id=balloon0", &left);
    if (status != 137 || left != SQUEEZED) {
        fail("without deflate-on-oom the process ended with %d, the guest has %" G_GUINT64_FORMAT
             " MiB",
             status, left / MiB);
    }
    passed("without it the guest kills the process");
}
