/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "pcie-root-port" as a guest's hotplug driver runs its slot (PCI Express Base 4.0 §6.7): the
 * registers at the start, a device that comes and one that goes step by step, a guest that refuses
 * or says nothing, resets, and what no guest should write.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "tests/pcie-fixture.h"
#include "tests/suite.h"

TCase *test_pcie_port_msix_case(void);

static PcieVm v;

static void setup(void)
{
    pcie_vm_start(&v, "pcie-root-port,id=rp0,chassis=1,slot=3,port=7,addr=04.0",
                  "pcie-root-port,id=rp1,chassis=1,slot=4,addr=05.0",
                  "virtio-rng-pci,id=cold,bus=rp1");
}

static void teardown(void)
{
    pcie_vm_stop(&v);
}

/* --- what is there at the start --- */

START_TEST(port_says_what_it_can)
{
    uint32_t slot = slot_read(&v, RP0, PCI_EXP_SLTCAP, 4);

    ck_assert_uint_eq(pcie_read(&v, 0, RP0, PCI_VENDOR_ID, 4), 0x000c1b36);
    ck_assert_uint_eq(pcie_read(&v, 0, RP0, PCI_CLASS_REVISION, 4) >> 8, 0x060400);
    ck_assert_uint_eq(pcie_read(&v, 0, RP0, PCI_HEADER_TYPE, 1), PCI_HEADER_TYPE_BRIDGE);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_FLAGS, 2),
                      2 | PCI_EXP_TYPE_ROOT_PORT << 4 | PCI_EXP_FLAGS_SLOT);
    ck_assert_uint_eq(slot, 3u << 19 | PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_PCP |
                                PCI_EXP_SLTCAP_AIP | PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPC);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_LNKCAP, 4) >> 24, 7);
    ck_assert(slot_read(&v, RP0, PCI_EXP_LNKCAP, 4) & PCI_EXP_LNKCAP_DLLLARC);
}
END_TEST

START_TEST(empty_slot_is_off_and_a_filled_one_is_on)
{
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTCTL, 2), SLOT_OFF);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2), 0);
    ck_assert(!(slot_read(&v, RP0, PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA));
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTCTL, 2), SLOT_ON);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDS);
    ck_assert(slot_read(&v, RP1, PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
}
END_TEST

START_TEST(configuration_cycles_go_where_the_bus_numbers_say)
{
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 2), 0xffff); /* no number yet */
    pcie_set_bus(&v, RP1, 2);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    ck_assert_uint_eq(pcie_ecam_read(&v, 2, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    ck_assert_uint_eq(pcie_read(&v, 2, PCI_DEVFN_OF(1, 0), PCI_VENDOR_ID, 2), 0xffff);
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 2), 0xffff);
    pcie_set_bus(&v, RP1, 0x80);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 2), 0xffff);
    ck_assert_uint_eq(pcie_ecam_read(&v, 0x80, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    pcie_set_bus(&v, RP1, 0); /* 0 is the root bus, whoever says what */
    ck_assert_uint_eq(pcie_read(&v, 0, 0, PCI_VENDOR_ID, 4), 0x00081b36);
}
END_TEST

START_TEST(device_behind_a_port_is_an_express_endpoint_and_others_are_not)
{
    unsigned cap;

    pcie_set_bus(&v, RP1, 2);
    cap = pcie_find_cap(&v, 2, 0, PCI_CAP_ID_EXP);
    ck_assert_uint_ne(cap, 0);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, cap + PCI_EXP_FLAGS, 2), 2);
    ck_assert(pcie_qmp(&v, "device_add", "{'driver': 'virtio-rng-pci', 'addr': '09.0'}"));
    ck_assert_uint_eq(pcie_find_cap(&v, 0, PCI_DEVFN_OF(9, 0), PCI_CAP_ID_EXP), 0);
}
END_TEST

/* --- windows --- */

enum { MSIX_BAR = PCI_BASE_ADDRESS_1 };
#define BAR UINT64_C(0xc0100000)

static bool bar_answers(void)
{
    return qtest_get(&v.c, "readl 0x%" G_GINT64_MODIFIER "x", BAR + 12) == 1; /* vector 0, masked */
}

START_TEST(memory_is_passed_on_in_a_window_and_with_decoding_alone)
{
    pcie_set_bus(&v, RP1, 2);
    pcie_write(&v, 2, 0, MSIX_BAR, (uint32_t)BAR, 4);
    pcie_write(&v, 2, 0, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    ck_assert(!bar_answers());
    pcie_write(&v, 0, RP1, PCI_MEMORY_BASE, 0xc010, 2);
    pcie_write(&v, 0, RP1, PCI_MEMORY_LIMIT, 0xc010, 2);
    ck_assert(!bar_answers());
    pcie_write(&v, 0, RP1, PCI_COMMAND, PCI_COMMAND_MEMORY, 2);
    ck_assert(bar_answers());
    pcie_write(&v, 0, RP1, PCI_MEMORY_BASE, 0xc020, 2);
    ck_assert(!bar_answers());
    pcie_write(&v, 0, RP1, PCI_PREF_MEMORY_BASE, 0xc000, 2);
    pcie_write(&v, 0, RP1, PCI_PREF_MEMORY_LIMIT, 0xc010, 2);
    ck_assert(bar_answers());
    pcie_write(&v, 0, RP1, PCI_PREF_LIMIT_UPPER32, 1, 4);
    ck_assert(bar_answers());
    pcie_write(&v, 0, RP1, PCI_PREF_BASE_UPPER32, 1, 4);
    ck_assert(!bar_answers());
}
END_TEST

START_TEST(secondary_bus_reset_resets_the_device)
{
    pcie_set_bus(&v, RP1, 2);
    pcie_write(&v, 2, 0, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    pcie_write(&v, 0, RP1, PCI_BRIDGE_CONTROL, PCI_BRIDGE_CTL_BUS_RESET, 2);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_COMMAND, 2), 0);
    pcie_write(&v, 2, 0, PCI_COMMAND, PCI_COMMAND_MASTER, 2);
    pcie_write(&v, 0, RP1, PCI_BRIDGE_CONTROL, 0, 2);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_COMMAND, 2), PCI_COMMAND_MASTER);
}
END_TEST

/* --- coming --- */

START_TEST(device_comes_by_a_button_and_answers_once_it_has_power)
{
    pcie_set_bus(&v, RP0, 1);
    pcie_plug(&v, "virtio-rng-pci", "d");
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2),
                      PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_ABP);
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 2), 0xffff);
    slot_write(&v, RP0, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_ABP);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDS);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2),
                      PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC);
    ck_assert(slot_read(&v, RP0, PCI_EXP_LNKSTA, 2) & PCI_EXP_LNKSTA_DLLLA);
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_ON);
}
END_TEST

START_TEST(link_that_is_disabled_is_down)
{
    pcie_set_bus(&v, RP1, 2);
    slot_write(&v, RP1, PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_LD);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 2), 0xffff);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTSTA, 2),
                      PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_DLLSC);
    slot_write(&v, RP1, PCI_EXP_LNKCTL, 0);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 2), 0x1af4);
}
END_TEST

/* --- the interrupt --- */

START_TEST(wire_is_high_as_long_as_an_event_is_there_that_is_asked_for)
{
    ck_assert(!pcie_wire(&v));
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_OFF | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE);
    slot_write(&v, RP0, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_CC);
    pcie_plug(&v, "virtio-rng-pci", "d");
    ck_assert(!pcie_wire(&v));
    slot_write(&v, RP0, PCI_EXP_SLTCTL,
               SLOT_OFF | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_HPIE);
    ck_assert(pcie_wire(&v));
    slot_write(&v, RP0, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP);
    ck_assert(pcie_wire(&v));
    slot_write(&v, RP0, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDC);
    ck_assert(!pcie_wire(&v)); /* a command has completed, which nobody asked about */
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_OFF | PCI_EXP_SLTCTL_CCIE | PCI_EXP_SLTCTL_HPIE);
    ck_assert(pcie_wire(&v));
    pcie_write(&v, 0, RP0, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE, 2);
    ck_assert(!pcie_wire(&v));
}
END_TEST

/* --- going --- */

START_TEST(device_goes_when_power_and_indicator_are_off)
{
    pcie_set_bus(&v, RP0, 1);
    pcie_bring_up(&v, "virtio-rng-pci", "d");
    ck_assert(pcie_del(&v, "d"));
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2),
                      PCI_EXP_SLTSTA_PDS | PCI_EXP_SLTSTA_ABP);
    slot_write(&v, RP0, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 2), 0x1af4);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK | PCI_EXP_SLTCTL_PCC);
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 2), 0xffff);
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_DELETED"), 0);
    ck_assert(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2) & PCI_EXP_SLTSTA_PDS);
    slot_write(&v, RP0, PCI_EXP_SLTSTA, SLOT_CHANGES);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_OFF);
    pcie_wait(&v, "DEVICE_DELETED", 1);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2),
                      PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_CC);
    pcie_bring_up(&v, "virtio-rng-pci", "d");
}
END_TEST

START_TEST(device_that_never_had_power_goes_at_once)
{
    pcie_plug(&v, "virtio-rng-pci", "d");
    ck_assert(pcie_del(&v, "d"));
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_DELETED"), 1);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDC);
}
END_TEST

START_TEST(guest_frees_a_slot_that_nobody_asked_for)
{
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_OFF);
    pcie_wait(&v, "DEVICE_DELETED", 1);
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_OFF);
    pcie_plug_at(&v, "rp1", "virtio-rng-pci", "d"); /* and no more than that */
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_DELETED"), 1);
}
END_TEST

START_TEST(guest_that_is_asked_is_not_asked_again_for_a_time)
{
    ck_assert(pcie_del(&v, "cold"));
    pcie_expect_error(&v, "device_del", "{'id': 'cold'}",
                      "Device cold is already in the process of unplug");
    pcie_expect_error(&v, "device_add", "{'driver': 'virtio-rng-pci', 'bus': 'rp1'}",
                      "no free slot on rp1 for virtio-rng-pci: there is one, and it is taken");
    qtest_get(&v.c, "clock_step 5000000000");
    slot_write(&v, RP1, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    pcie_expect_error(&v, "device_del", "{'id': 'cold'}",
                      "Hot-unplug failed: guest is busy (power indicator blinking)");
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_OFF);
    pcie_wait(&v, "DEVICE_DELETED", 1);
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 0);
}
END_TEST

START_TEST(guest_that_blinks_and_goes_on_has_refused)
{
    ck_assert(pcie_del(&v, "cold"));
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_ON | PCI_EXP_SLTCTL_HPIE); /* says nothing */
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 0);
    slot_write(&v, RP1, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_ON);
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 1);
    ck_assert(pcie_del(&v, "cold"));
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_OFF);
    pcie_wait(&v, "DEVICE_DELETED", 1);
}
END_TEST

START_TEST(guest_that_says_nothing_for_half_a_minute_has_refused)
{
    ck_assert(pcie_del(&v, "cold"));
    qtest_get(&v.c, "clock_step 29999999999");
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 0);
    qtest_get(&v.c, "clock_step 1");
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 1);
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_OFF); /* late, but it does */
    pcie_wait(&v, "DEVICE_DELETED", 1);
    qtest_get(&v.c, "clock_step 60000000000");
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 1);
}
END_TEST

START_TEST(guest_that_blinks_has_half_a_minute_from_then)
{
    ck_assert(pcie_del(&v, "cold"));
    qtest_get(&v.c, "clock_step 20000000000");
    slot_write(&v, RP1, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_BLINK);
    qtest_get(&v.c, "clock_step 29999999999");
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 0);
    qtest_get(&v.c, "clock_step 1");
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_UNPLUG_GUEST_ERROR"), 1);
}
END_TEST

START_TEST(slot_leaves_as_a_whole)
{
    ck_assert(pcie_qmp(&v, "device_add",
                       "{'driver': 'virtio-serial-pci', 'id': 'f1', 'bus': 'rp0', 'addr': '0.1'}"));
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2), 0); /* the guest sees function 0 */
    ck_assert(pcie_qmp(&v, "device_add",
                       "{'driver': 'virtio-rng-pci', 'id': 'f0', 'bus': 'rp0', "
                       "'addr': '0.0', 'multifunction': true}"));
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_ON);
    pcie_set_bus(&v, RP0, 1);
    ck_assert_uint_eq(pcie_read(&v, 1, 1, PCI_VENDOR_ID, 4), 0x10431af4);
    pcie_expect_error(&v, "device_add",
                      "{'driver': 'virtio-rng-pci', 'id': 'f2', 'bus': 'rp0', 'addr': '0.2'}",
                      "'f2' (virtio-rng-pci) comes too late for 'rp0' (pcie-root-port): function 0 "
                      "is there already, 'f0' (virtio-rng-pci)");
    ck_assert(pcie_del(&v, "f1"));
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_OFF);
    pcie_wait(&v, "DEVICE_DELETED", 2);
}
END_TEST

/* --- resets and ends --- */

START_TEST(reset_of_the_machine_frees_what_was_asked_for)
{
    pcie_set_bus(&v, RP1, 2);
    ck_assert(pcie_del(&v, "cold"));
    ck_assert(pcie_qmp(&v, "system_reset", "{}"));
    pcie_wait(&v, "RESET", 1);
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_DELETED"), 1);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTCTL, 2), SLOT_OFF);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTSTA, 2), 0);
    ck_assert_uint_eq(pcie_read(&v, 0, RP1, PCI_PRIMARY_BUS, 4), 0);
}
END_TEST

START_TEST(reset_of_the_machine_gives_power_to_what_is_there)
{
    pcie_plug(&v, "virtio-rng-pci", "d");
    ck_assert(pcie_qmp(&v, "system_reset", "{}"));
    pcie_wait(&v, "RESET", 1);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTCTL, 2), SLOT_ON);
    ck_assert_uint_eq(slot_read(&v, RP0, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDS);
    pcie_set_bus(&v, RP0, 1);
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_DELETED"), 0);
}
END_TEST

/* The machine ends with a slot that was given up a moment ago. */
START_TEST(end_of_the_machine_right_after_is_harmless)
{
    Machine *m = v.vm.m;

    pthread_mutex_lock(&m->platform.lock);
    machine_request_shutdown(m, SHUTDOWN_CAUSE_HOST_QMP_QUIT);
    aspace_write(m->platform.pio, 0xcf8, UINT32_C(0x80000000) | RP1 << 8 | (v.exp + PCI_EXP_SLTCTL),
                 4);
    aspace_write(m->platform.pio, 0xcfc, SLOT_OFF, 2);
    pthread_mutex_unlock(&m->platform.lock);
}
END_TEST

/* --- what no guest should write --- */

START_TEST(random_writes_end_in_a_port_that_works_after_a_reset)
{
    uint32_t x = 1;
    unsigned bad = 0;

    for (unsigned i = 0; i < 4000; i++) {
        unsigned off, size;

        x = x * 1664525 + 1013904223;
        off = x >> 24;
        size = 1u << (x >> 22 & 3) % 3;
        off &= ~(size - 1);
        pcie_write(&v, 0, i & 1 ? RP0 : RP1, off, x * 2654435761u, size);
        bad += pcie_read(&v, 0, RP0, PCI_VENDOR_ID, 4) != 0x000c1b36;
        bad += slot_read(&v, RP1, PCI_EXP_SLTSTA, 2) & 0xfe86; /* no such bits */
    }
    ck_assert_uint_eq(bad, 0);
    ck_assert(pcie_qmp(&v, "system_reset", "{}"));
    pcie_wait(&v, "RESET", 1);
    pcie_set_bus(&v, RP0, 1);
    pcie_bring_up(&v, "virtio-rng-pci", "after");
}
END_TEST

/* --- what a user is told --- */

START_TEST(what_is_behind_a_port_is_told_with_it)
{
    json_t *list, *port, *bus, *device;

    pcie_set_bus(&v, RP1, 2);
    pcie_write(&v, 0, RP1, PCI_MEMORY_BASE, 0xc010, 2);
    pcie_write(&v, 0, RP1, PCI_MEMORY_LIMIT, 0xc020, 2);
    list = qtest_vm_ask(&v.vm, "query-pci", "{}", NULL);
    ck_assert_uint_eq(json_array_size(list), 1);
    port = json_array_get(json_object_get(json_array_get(list, 0), "devices"), 2);
    bus = json_object_get(json_object_get(port, "pci_bridge"), "bus");
    ck_assert_int_eq(json_integer_value(json_object_get(bus, "secondary")), 2);
    bus = json_object_get(bus, "memory_range");
    ck_assert_int_eq(json_integer_value(json_object_get(bus, "base")), 0xc0100000);
    ck_assert_int_eq(json_integer_value(json_object_get(bus, "limit")), 0xc02fffff);
    device = json_array_get(json_object_get(json_object_get(port, "pci_bridge"), "devices"), 0);
    ck_assert_str_eq(json_string_value(json_object_get(device, "qdev_id")), "cold");
    ck_assert_int_eq(json_integer_value(json_object_get(device, "bus")), 2);
    json_decref(list);
}
END_TEST

/* --- what a user may not ask for --- */

START_TEST(what_cannot_be_is_refused_in_a_line)
{
    pcie_expect_error(&v, "device_add", "{'driver': 'pcie-root-port', 'id': 'rp9', 'slot': 9}",
                      "Device 'pcie-root-port' does not support hotplugging");
    pcie_expect_error(&v, "device_del", "{'id': 'rp0'}",
                      "Device 'rp0' does not support hotplugging");
    pcie_expect_error(&v, "device_add", "{'driver': 'virtio-rng-pci', 'bus': 'rp0', 'addr': '1.0'}",
                      "virtio-rng-pci cannot have address 01.0 of rp0, which has slot 0 alone");
    pcie_expect_cold_error(&v, "pcie-root-port,id=x,chassis=1,slot=3",
                           "'x' (pcie-root-port) cannot have slot 3 of chassis 1, which 'rp0' "
                           "(pcie-root-port) has: give slot=");
    pcie_expect_cold_error(&v, "pcie-root-port,id=x,slot=5,bus=rp0",
                           "'x' (pcie-root-port) plugs onto the root bus, not behind another port");
}
END_TEST

static void setup_without_hotplug(void)
{
    pcie_vm_start(&v, "pcie-root-port,id=rp0,addr=04.0,hotplug=off",
                  "pcie-root-port,id=rp1,slot=1,addr=05.0,hotplug=off",
                  "virtio-rng-pci,id=cold,bus=rp1");
}

START_TEST(port_without_hotplug_keeps_what_it_has)
{
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTCAP, 4), 1u << 19);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDS);
    slot_write(&v, RP1, PCI_EXP_SLTCTL, SLOT_OFF);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTCTL, 2), 0);
    pcie_set_bus(&v, RP1, 2);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    slot_write(&v, RP1, PCI_EXP_LNKCTL, PCI_EXP_LNKCTL_LD);
    ck_assert_uint_eq(pcie_read(&v, 2, 0, PCI_VENDOR_ID, 2), 0xffff);
    ck_assert_uint_eq(slot_read(&v, RP1, PCI_EXP_SLTSTA, 2), PCI_EXP_SLTSTA_PDS);
    pcie_expect_error(&v, "device_add", "{'driver': 'virtio-rng-pci', 'bus': 'rp0'}",
                      "Hot-plug failed: unsupported by the port device 'rp0' (pcie-root-port)");
    pcie_expect_error(&v, "device_del", "{'id': 'cold'}",
                      "Hot-unplug failed: unsupported by the port device 'rp1' (pcie-root-port)");
}
END_TEST

static void setup_without_power(void)
{
    pcie_vm_start(&v, "pcie-root-port,id=rp0,addr=04.0,power_controller_present=off",
                  "pcie-root-port,id=rp1,slot=1,addr=05.0,power_controller_present=off",
                  "virtio-rng-pci,id=cold,bus=rp1");
}

START_TEST(slot_without_power_control_has_power)
{
    pcie_set_bus(&v, RP0, 1);
    ck_assert(!(slot_read(&v, RP0, PCI_EXP_SLTCAP, 4) & PCI_EXP_SLTCAP_PCP));
    pcie_plug(&v, "virtio-rng-pci", "d");
    ck_assert_uint_eq(pcie_read(&v, 1, 0, PCI_VENDOR_ID, 4), 0x10441af4);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, SLOT_ON);
    ck_assert(pcie_del(&v, "d"));
    ck_assert_uint_eq(pcie_count(&v, "DEVICE_DELETED"), 0);
    slot_write(&v, RP0, PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_OFF);
    pcie_wait(&v, "DEVICE_DELETED", 1);
}
END_TEST

static TCase *add_case(Suite *s, const char *name, void (*before)(void))
{
    TCase *tc = tcase_create(name);

    tcase_add_checked_fixture(tc, before, teardown);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(s, tc);
    return tc;
}

int main(void)
{
    Suite *s = suite_create("pcie-port");
    TCase *tc = add_case(s, "port", setup);

    tcase_add_test(tc, port_says_what_it_can);
    tcase_add_test(tc, empty_slot_is_off_and_a_filled_one_is_on);
    tcase_add_test(tc, configuration_cycles_go_where_the_bus_numbers_say);
    tcase_add_test(tc, device_behind_a_port_is_an_express_endpoint_and_others_are_not);
    tcase_add_test(tc, memory_is_passed_on_in_a_window_and_with_decoding_alone);
    tcase_add_test(tc, secondary_bus_reset_resets_the_device);
    tcase_add_test(tc, device_comes_by_a_button_and_answers_once_it_has_power);
    tcase_add_test(tc, link_that_is_disabled_is_down);
    tcase_add_test(tc, wire_is_high_as_long_as_an_event_is_there_that_is_asked_for);
    tcase_add_test(tc, device_goes_when_power_and_indicator_are_off);
    tcase_add_test(tc, device_that_never_had_power_goes_at_once);
    tcase_add_test(tc, guest_frees_a_slot_that_nobody_asked_for);
    tcase_add_test(tc, guest_that_is_asked_is_not_asked_again_for_a_time);
    tcase_add_test(tc, guest_that_blinks_and_goes_on_has_refused);
    tcase_add_test(tc, guest_that_says_nothing_for_half_a_minute_has_refused);
    tcase_add_test(tc, guest_that_blinks_has_half_a_minute_from_then);
    tcase_add_test(tc, slot_leaves_as_a_whole);
    tcase_add_test(tc, reset_of_the_machine_frees_what_was_asked_for);
    tcase_add_test(tc, reset_of_the_machine_gives_power_to_what_is_there);
    tcase_add_test(tc, end_of_the_machine_right_after_is_harmless);
    tcase_add_test(tc, random_writes_end_in_a_port_that_works_after_a_reset);
    tcase_add_test(tc, what_is_behind_a_port_is_told_with_it);
    tcase_add_test(tc, what_cannot_be_is_refused_in_a_line);
    tc = add_case(s, "without-hotplug", setup_without_hotplug);
    tcase_add_test(tc, port_without_hotplug_keeps_what_it_has);
    tc = add_case(s, "without-power-control", setup_without_power);
    tcase_add_test(tc, slot_without_power_control_has_power);
    suite_add_tcase(s, test_pcie_port_msix_case());
    return suite_run(s);
}
