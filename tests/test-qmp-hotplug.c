/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI hotplug on "pc" as a guest drives it: a client of the qtest server reads the event and the
 * registers, and ejects either by it (on the main loop) or from another thread as a vCPU does.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "hw/misc/acpi-ged.h"
#include "hw/pci/acpi-pcihp.h"
#include "hw/pci/pci.h"
#include "tests/qtest-fixture.h"
#include "tests/suite.h"

enum { ROUNDS = 60, SLOT = 7, SLOT_BIT = 1 << SLOT };

static QtestVm vm;
static QtestClient c;
static GPtrArray *gone;   /* ids of DEVICE_DELETED; under the VM lock */
static unsigned refusals; /* DEVICE_UNPLUG_GUEST_ERROR for "r0"; under the VM lock */

static void on_event(void *opaque, const char *name, json_t *data)
{
    const char *id = json_string_value(json_object_get(data, "device"));

    if (!strcmp(name, "DEVICE_DELETED") && id) {
        g_ptr_array_add(gone, g_strdup(id));
    }
    refusals += !strcmp(name, "DEVICE_UNPLUG_GUEST_ERROR") && id && !strcmp(id, "r0");
}

static void setup(void)
{
    gone = g_ptr_array_new_with_free_func(g_free);
    refusals = 0;
    qtest_vm_start(&vm, "pc", "virtio-balloon-pci,id=b0", NULL);
    pthread_mutex_lock(&vm.m->platform.lock);
    machine_add_event_sink(vm.m, on_event, &vm);
    pthread_mutex_unlock(&vm.m->platform.lock);
    qtest_client_connect(&c, &vm);
}

static void teardown(void)
{
    qtest_client_close(&c);
    qtest_vm_stop(&vm);
    g_ptr_array_unref(gone);
}

static void add(const char *driver, const char *id)
{
    g_autofree char *args =
        g_strdup_printf("{\"driver\": \"%s\", \"id\": \"%s\", \"addr\": \"07.0\"}", driver, id);

    ck_assert(qtest_vm_qmp(&vm, "device_add", args));
}

static bool del(const char *id)
{
    g_autofree char *args = g_strdup_printf("{\"id\": \"%s\"}", id);

    return qtest_vm_qmp(&vm, "device_del", args);
}

static unsigned gone_so_far(void)
{
    unsigned n;

    pthread_mutex_lock(&vm.m->platform.lock);
    n = gone->len;
    pthread_mutex_unlock(&vm.m->platform.lock);
    return n;
}

static void wait_gone(unsigned n)
{
    for (unsigned i = 0; i < 10000 && gone_so_far() < n; i++) {
        g_usleep(1000);
    }
    ck_assert_uint_eq(gone_so_far(), n);
}

static unsigned refused_so_far(void)
{
    unsigned n;

    pthread_mutex_lock(&vm.m->platform.lock);
    n = refusals;
    pthread_mutex_unlock(&vm.m->platform.lock);
    return n;
}

/* What a vCPU does when its guest writes to a port. */
static void vcpu_out(uint16_t port, uint32_t value)
{
    pthread_mutex_lock(&vm.m->platform.lock);
    aspace_write(vm.m->platform.pio, port, value, 4);
    pthread_mutex_unlock(&vm.m->platform.lock);
}

static uint32_t reg(unsigned off)
{
    return (uint32_t)qtest_get(&c, "inl 0x%x", ACPI_PCIHP_PORT + off);
}

static uint32_t event(void)
{
    return (uint32_t)qtest_get(&c, "readl 0x%x", ACPI_GED_BASE + ACPI_GED_SELECTOR);
}

static uint32_t vendor(unsigned slot)
{
    qtest_ok(&c, "outl 0xcf8 0x%x", UINT32_C(0x80000000) | slot << 11);
    return qtest_get(&c, "inl 0xcfc") & 0xffff;
}

/* --- */

START_TEST(guest_is_told_of_what_comes_and_of_what_shall_go)
{
    ck_assert_uint_eq(event(), 0); /* nothing of what was there at the start */
    ck_assert_uint_eq(reg(ACPI_PCIHP_UP), 0);
    add("virtio-rng-pci", "r0");
    ck_assert_uint_eq(event(), ACPI_GED_EVENT_PCI_HOTPLUG);
    ck_assert_uint_eq(event(), 0);
    ck_assert_uint_eq(reg(ACPI_PCIHP_UP), SLOT_BIT);
    ck_assert(del("r0"));
    ck_assert_uint_eq(event(), ACPI_GED_EVENT_PCI_HOTPLUG);
    ck_assert_uint_eq(reg(ACPI_PCIHP_UP), 0);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), SLOT_BIT);
    ck_assert_uint_eq(gone_so_far(), 0);
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT);
    wait_gone(1);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), 0);
    ck_assert_uint_eq(vendor(SLOT), 0xffff);
    ck_assert_uint_eq(event(), 0);
}
END_TEST

START_TEST(slot_stops_asking_once_a_vcpu_ejects_it_and_is_free_a_moment_later)
{
    uint64_t down;
    PciBus *bus;

    add("virtio-rng-pci", "r0");
    ck_assert(del("r0"));
    pthread_mutex_lock(&vm.m->platform.lock);
    bus = PCI_BUS(bus_find(vm.m->main_bus, &pci_bus_type));
    aspace_write(vm.m->platform.pio, ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT, 4);
    aspace_read(vm.m->platform.pio, ACPI_PCIHP_PORT + ACPI_PCIHP_DOWN, 4, &down);
    ck_assert_uint_eq(down, 0);
    ck_assert_uint_eq(gone->len, 0); /* not on this thread */
    ck_assert_ptr_nonnull(pci_bus_device(bus, PCI_DEVFN_OF(SLOT, 0)));
    aspace_write(vm.m->platform.pio, ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT, 4);
    pthread_mutex_unlock(&vm.m->platform.lock);
    wait_gone(1);
    add("virtio-rng-pci", "r1"); /* what was written before is not meant for it */
    ck_assert_uint_eq(vendor(SLOT), 0x1af4);
    ck_assert_uint_eq(gone_so_far(), 1);
}
END_TEST

START_TEST(nonsense_of_a_vcpu_ejects_nothing)
{
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, ~UINT32_C(2)); /* host bridge, empty slots */
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_BUS, 5);
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, UINT32_MAX); /* of no bus */
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_BUS, 0);
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_UP, UINT32_MAX); /* read-only */
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_DOWN, UINT32_MAX);
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_REMOVABLE, UINT32_MAX);
    ck_assert_uint_eq(reg(ACPI_PCIHP_UP), 0);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), 0);
    ck_assert_uint_eq(reg(ACPI_PCIHP_REMOVABLE), 2);
    ck_assert_uint_eq(vendor(0), 0x1b36);
    ck_assert_uint_eq(vendor(1), 0x1af4);
    ck_assert_uint_eq(gone_so_far(), 0);
}
END_TEST

START_TEST(silent_guest_keeps_the_device_and_is_asked_again_after_a_time)
{
    add("virtio-rng-pci", "r0");
    ck_assert(del("r0"));
    ck_assert(!del("r0"));
    event();
    qtest_get(&c, "clock_step 4999999999");
    ck_assert(!del("r0"));
    ck_assert_uint_eq(event(), 0);
    qtest_get(&c, "clock_step 1");
    ck_assert(del("r0"));
    ck_assert_uint_eq(event(), ACPI_GED_EVENT_PCI_HOTPLUG);
    ck_assert(!del("r0"));
    ck_assert_uint_eq(gone_so_far(), 0);
    ck_assert_uint_eq(vendor(SLOT), 0x1af4);
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT);
    wait_gone(1);
}
END_TEST

START_TEST(guest_that_does_not_answer_in_half_a_minute_has_refused)
{
    add("virtio-rng-pci", "r0");
    ck_assert(del("r0"));
    qtest_get(&c, "clock_step 29999999999");
    ck_assert_uint_eq(refused_so_far(), 0);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), SLOT_BIT);
    qtest_get(&c, "clock_step 1");
    ck_assert_uint_eq(refused_so_far(), 1);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), 0); /* it is asked no longer */
    ck_assert(del("r0"));
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), SLOT_BIT);
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT);
    wait_gone(1);
    qtest_get(&c, "clock_step 60000000000");
    ck_assert_uint_eq(refused_so_far(), 1);
}
END_TEST

static void say(unsigned slot, unsigned status)
{
    vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_STATUS, slot << 16 | status);
}

START_TEST(guest_says_by_its_status_that_it_refuses_or_is_at_it)
{
    enum { DEVICE_BUSY = 0x82 };

    add("virtio-rng-pci", "r0");
    say(SLOT, DEVICE_BUSY); /* nobody asked */
    ck_assert(del("r0"));
    say(SLOT, ACPI_OST_SUCCESS);
    say(SLOT + 1, DEVICE_BUSY);
    say(SLOT + 32, DEVICE_BUSY);
    say(0xffff, 0xffff);
    qtest_get(&c, "clock_step 29000000000");
    say(SLOT, ACPI_OST_EJECTING); /* half a minute from now */
    qtest_get(&c, "clock_step 29000000000");
    ck_assert_uint_eq(refused_so_far(), 0);
    say(SLOT, DEVICE_BUSY);
    ck_assert_uint_eq(refused_so_far(), 1);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), 0);
    ck_assert_uint_eq(vendor(SLOT), 0x1af4);
    ck_assert_uint_eq(gone_so_far(), 0);
    ck_assert(del("r0"));
}
END_TEST

START_TEST(slots_are_waited_for_one_by_one)
{
    add("virtio-rng-pci", "r0");
    ck_assert(del("r0"));
    qtest_get(&c, "clock_step 20000000000");
    ck_assert(del("b0")); /* slot 1 */
    qtest_get(&c, "clock_step 10000000000");
    ck_assert_uint_eq(refused_so_far(), 1);
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), 2);
    qtest_get(&c, "clock_step 20000000000");
    ck_assert_uint_eq(reg(ACPI_PCIHP_DOWN), 0);
}
END_TEST

/* The machine ends with an eject that nobody saw to. */
START_TEST(eject_right_before_the_end_is_harmless)
{
    add("virtio-rng-pci", "r0");
    pthread_mutex_lock(&vm.m->platform.lock);
    machine_request_shutdown(vm.m, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    aspace_write(vm.m->platform.pio, ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT, 4);
    pthread_mutex_unlock(&vm.m->platform.lock);
}
END_TEST

START_TEST(many_rounds_leave_nothing_behind)
{
    static const char *const drivers[] = {"virtio-rng-pci", "virtio-serial-pci", "virtio-net-pci"};

    for (unsigned i = 0; i < ROUNDS; i++) {
        g_autofree char *id = g_strdup_printf("d%u", i);

        add(drivers[i % G_N_ELEMENTS(drivers)], id);
        ck_assert_uint_eq(reg(ACPI_PCIHP_UP), SLOT_BIT);
        ck_assert(del(id));
        vcpu_out(ACPI_PCIHP_PORT + ACPI_PCIHP_EJECT, SLOT_BIT);
        wait_gone(i + 1);
        ck_assert_str_eq(gone->pdata[i], id);
        ck_assert_uint_eq(vendor(SLOT), 0xffff);
    }
    ck_assert_uint_eq(reg(ACPI_PCIHP_REMOVABLE), 2);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("qmp-hotplug");
    TCase *tc = tcase_create("pc");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, guest_is_told_of_what_comes_and_of_what_shall_go);
    tcase_add_test(tc, slot_stops_asking_once_a_vcpu_ejects_it_and_is_free_a_moment_later);
    tcase_add_test(tc, nonsense_of_a_vcpu_ejects_nothing);
    tcase_add_test(tc, silent_guest_keeps_the_device_and_is_asked_again_after_a_time);
    tcase_add_test(tc, guest_that_does_not_answer_in_half_a_minute_has_refused);
    tcase_add_test(tc, guest_says_by_its_status_that_it_refuses_or_is_at_it);
    tcase_add_test(tc, slots_are_waited_for_one_by_one);
    tcase_add_test(tc, many_rounds_leave_nothing_behind);
    tcase_add_test(tc, eject_right_before_the_end_is_harmless);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
