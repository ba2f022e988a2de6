/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The balloon's newer parts with a Linux guest: free page reports, the iothread, the automatic
 * policy, and several guests on one host that has no room for all of them.
 */
#include <errno.h>
#include <linux/virtio_balloon.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/guest/balloon.h"
#include "tests/guest/groups.h"

#define WORDS "console=ttyS0 quiet panic=-1 cryptomgr.notests "

static void hold(Vm *vm, unsigned mib)
{
    g_autofree char *line = g_strdup_printf("hold %u", mib);

    g_free(vm_ask_ok(vm, line));
}

static uint64_t ledger(Vm *vm, const char *name)
{
    json_t *all = vm_qmp(vm, "x-query-balloon-ledger", NULL);
    json_int_t value = json_integer_value(json_object_get(all, name));

    json_decref(all);
    return (uint64_t)value;
}

/* --- free page reports --- */

/* The guest touches memory and frees it; then waits for its reports. Bytes that the resident set
 * fell by. */
static int64_t report_some(Vm *vm, unsigned mib)
{
    uint64_t used;

    hold(vm, mib);
    used = vm_resident(vm);
    hold(vm, 0);
    for (double end = now() + 12; now() < end && vm_resident(vm) + mib * MiB * 3 / 4 > used;) {
        vm_sleep(vm, 0.25);
    }
    return (int64_t)used - (int64_t)vm_resident(vm);
}

/* words: more on the guest's command line. */
static Vm *reporting_vm(const char *words)
{
    g_autofree char *append = g_strconcat(WORDS, words, NULL);
    Vm *vm = vm_start("-device", "virtio-balloon,id=balloon0,free-page-reporting=on", "-append",
                      append, NULL);

    vm_wait_ready(vm);
    return vm;
}

static void expect_feature(Vm *vm, unsigned bit)
{
    g_autofree char *devices = vm_ask_ok(vm, "virtio");
    const char *balloon = strstr(devices, "device=0x0005 driver=virtio_balloon");
    const char *features = balloon ? strstr(balloon, "features=") : NULL;

    if (!features || !(strtoull(features + strlen("features="), NULL, 16) >> bit & 1)) {
        fail("the driver does not take feature %u: %s", bit, devices);
    }
}

void group_balloon_reporting(void)
{
    Vm *vm = reporting_vm("");
    int64_t fell = report_some(vm, 256);

    if (fell < 192 * (int64_t)MiB || ledger(vm, "report-returned") < 192 * MiB) {
        fail("the guest freed 256 MiB, its reports brought %.1f MiB back, %.1f by the ledger",
             (double)fell / MiB, (double)ledger(vm, "report-returned") / MiB);
    }
    passed("free page reports bring %.0f of 256 MiB back", (double)fell / MiB);
    hold(vm, 256); /* and it may use them again */
    vm_power_off(vm);

    vm = reporting_vm("init_on_free=1"); /* fills with zeroes: what the host gives is as good */
    expect_feature(vm, VIRTIO_BALLOON_F_PAGE_POISON);
    fell = report_some(vm, 128);
    if (fell < 96 * (int64_t)MiB) {
        fail("with init_on_free=1 reports brought %.1f of 128 MiB back", (double)fell / MiB);
    }
    passed("so they do with init_on_free=1, %.0f of 128 MiB", (double)fell / MiB);
    vm_power_off(vm);
}

/* --- a thread of its own --- */

void group_balloon_iothread(void)
{
    Vm *vm = vm_start("-object", "iothread,id=io0", "-device",
                      "virtio-balloon,id=balloon0,iothread=io0,free-page-reporting=on,"
                      "deflate-on-oom=on",
                      NULL);
    int status;

    vm_wait_ready(vm);
    for (int i = 0; i < 3; i++) {
        vm_set_balloon(vm, 192 * MiB);
        if (ledger(vm, "released") < 300 * MiB) {
            fail("of 320 MiB given %.1f were released", (double)ledger(vm, "released") / MiB);
        }
        vm_set_balloon(vm, 512 * MiB);
    }
    passed("on an iothread the balloon takes 320 MiB and gives them back, three times");
    if (report_some(vm, 256) < 192 * (int64_t)MiB) {
        fail("reports on an iothread bring no memory back");
    }
    vm_set_balloon(vm, 192 * MiB);
    g_free(vm_ask(vm, &status, "oom 200"));
    if (status != 0 || vm_balloon(vm) <= 192 * MiB) {
        fail("deflate-on-oom on an iothread: status %d", status);
    }
    passed("and free page reports and deflate-on-oom work there");
    vm_power_off(vm);
}

/* --- the policy --- */

static void wait_below(Vm *vm, uint64_t bytes, int seconds)
{
    for (double end = now() + seconds; vm_balloon(vm) > bytes; vm_sleep(vm, 0.2)) {
        if (now() > end) {
            fail("the guest has %" G_GUINT64_FORMAT " MiB, at most %" G_GUINT64_FORMAT
                 " expected; %s",
                 vm_balloon(vm) / MiB, bytes / MiB, policy_text(vm, "none"));
        }
    }
}

/* A source that the test writes: files with the names of a cgroup's. */
void group_balloon_policy(void)
{
    char dir[] = "/tmp/cgroup-XXXXXX";
    g_autofree char *object = NULL, *answer = NULL, *remove = NULL;
    uint64_t squeezed;
    Vm *vm;

    if (!mkdtemp(dir)) {
        fail("%s: %s", dir, strerror(errno));
    }
    put_file(dir, "memory.current", "1000000\n");
    put_file(dir, "memory.high", "100000000\n");
    object =
        g_strdup_printf("balloon-policy,id=policy0,device=balloon0,floor=96M,reserve=48M,"
                        "hysteresis=16M,rate-limit=256M,calm=0,interval=500,faults=0,source=%s",
                        dir);
    vm = vm_start("-device", "virtio-balloon,id=balloon0,deflate-on-oom=on", "-object", object,
                  NULL);
    vm_wait_ready(vm);
    wait_reason(vm, "steady", T_REPLY);
    if (vm_balloon(vm) != 512 * MiB) {
        fail("memory was taken without pressure");
    }
    passed("without pressure the guest keeps its memory");
    put_file(dir, "memory.current", "99000000\n");
    wait_reason(vm, "host-pressure", T_REPLY);
    wait_below(vm, 300 * MiB, T_REPLY);
    wait_reason(vm, "at-need", T_REPLY);
    squeezed = vm_balloon(vm);
    passed("under pressure it keeps %" G_GUINT64_FORMAT " MiB", squeezed / MiB);
    if (squeezed < 96 * MiB || vm_meminfo(vm, "MemAvailable") < 40 * MiB) {
        fail("that is less than it needs");
    }
    hold(vm, 40); /* most of the reserve */
    hold(vm, 80);
    wait_reason(vm, "guest-short", T_REPLY);
    hold(vm, 160);
    hold(vm, 240);
    passed("it has memory again when it needs some, %" G_GUINT64_FORMAT " MiB",
           vm_balloon(vm) / MiB);
    hold(vm, 0);
    wait_below(vm, squeezed + 64 * MiB, 2 * T_REPLY);
    passed("and gives it back when it does not");
    vm_do(vm, "balloon", json_pack("{s:I}", "value", (json_int_t)(400 * MiB)));
    wait_reason(vm, "target-set", T_REPLY);
    answer = policy_text(vm, "state");
    if (strcmp(answer, "overridden") != 0) {
        fail("a target set by hand: the policy is %s", answer);
    }
    passed("a target set by hand wins");
    vm_power_off(vm);
    remove = g_strdup_printf("rm -r %s", dir);
    if (system(remove) != 0) {
        fail("%s", remove);
    }
}

/* --- several guests, one host --- */

enum { GUESTS = 2, LIMIT_MIB = 340, BUSY_MIB = 120 };

static uint64_t cgroup_value(const char *dir, const char *file, const char *word)
{
    g_autofree char *path = g_build_filename(dir, file, NULL), *text = NULL;
    const char *at;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        fail("%s: %s", path, strerror(errno));
    }
    at = word ? strstr(text, word) : text;
    return at ? strtoull(at + (word ? strlen(word) : 0), NULL, 10) : 0;
}

static void expect_within(const char *cgroup, Vm **vms)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < GUESTS; i++) {
        if (!vm_alive(vms[i])) {
            fail("guest %u is gone", i);
        }
        sum += vm_resident(vms[i]);
    }
    if (cgroup_value(cgroup, "memory.current", NULL) > (LIMIT_MIB + 32) * MiB) {
        fail("the guests have %.1f MiB, the limit is %d", (double)sum / MiB, LIMIT_MIB);
    }
    if (cgroup_value(cgroup, "memory.events", "oom_kill ") > 0) {
        fail("the host killed a guest");
    }
}

static void say_where(const char *cgroup, Vm **vms, const char *when)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < GUESTS; i++) {
        g_autofree char *reason = policy_text(vms[i], "reason");

        g_string_append_printf(text, "%s%.0f MiB (%.0f here, %s)", i ? ", " : "",
                               (double)vm_balloon(vms[i]) / MiB, (double)vm_resident(vms[i]) / MiB,
                               reason);
    }
    passed("%s: guests have %s; together %.0f of %d", when, text->str,
           (double)cgroup_value(cgroup, "memory.current", NULL) / MiB, LIMIT_MIB);
    g_string_free(text, TRUE);
}

/* Guest n wants much, the others nothing. */
static void busy(const char *cgroup, Vm **vms, unsigned n)
{
    g_autofree char *when = g_strdup_printf("guest %u is busy", n);

    for (unsigned i = 0; i < GUESTS; i++) {
        if (i != n) {
            hold(vms[i], 0);
        }
    }
    for (unsigned mib = 40; mib <= BUSY_MIB; mib += 40) {
        g_autofree char *line = g_strdup_printf("hold %u\n", mib);

        vm_type(vms[n], line);
        for (unsigned i = 0; i < GUESTS; i++) { /* time for memory to move */
            vm_sleep(vms[i], 0.3);
        }
        for (double end = now() + 2 * T_REPLY; !vm_has_said(vms[n], "AEROSTAT-DONE 0");) {
            if (now() > end) {
                fail("guest %u cannot have %u MiB", n, mib);
            }
            say_where(cgroup, vms, line);
            for (unsigned i = 0; i < GUESTS; i++) {
                vm_sleep(vms[i], 1);
            }
        }
        g_free(vm_wait_console(vms[n], "AEROSTAT-DONE 0", T_REPLY));
        expect_within(cgroup, vms);
    }
    say_where(cgroup, vms, when);
}

/* Together the guests have 512 MiB, and the host 340: one can have much while the other is idle. */
void group_balloon_host(void)
{
    g_autofree char *cgroup = cgroup_make("guests", LIMIT_MIB), *object = NULL;
    Vm *vms[GUESTS];

    if (!cgroup) {
        return;
    }
    cgroup_enter(cgroup);
    object = g_strdup_printf("balloon-policy,id=policy0,device=balloon0,floor=64M,reserve=48M,"
                             "hysteresis=8M,rate-limit=256M,calm=0,interval=500,source=%s",
                             cgroup);
    for (unsigned i = 0; i < GUESTS; i++) {
        vms[i] = vm_start("-m", "256", "-device", "virtio-balloon,id=balloon0,deflate-on-oom=on",
                          "-object", object, NULL);
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        vm_wait_ready(vms[i]);
    }
    passed("%d guests run", GUESTS);
    for (unsigned n = 0; n < GUESTS; n++) {
        busy(cgroup, vms, n);
    }
    for (unsigned i = 0; i < GUESTS; i++) {
        g_free(vm_ask_ok(vms[i], "run ! dmesg | grep -i 'killed process'"));
        vm_power_off(vms[i]);
    }
    passed("nobody was killed");
}
