/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Messages of "pcie-root-port" and of what is behind it: one for each time that an event comes
 * while none was there, with the requester that the bus numbers say; wires behind it, swizzled.
 */
#include "tests/pci-fixture.h"
#include "tests/suite.h"

#include "core/le.h"
#include "hw/pci/pci-bridge.h"
#include "hw/pci/pcie-root-port.h"

TCase *test_pcie_port_msix_case(void);

extern const TypeInfo pcie_root_port_type;

enum {
    PORT = PCI_DEVFN_OF(3, 0),
    EVENTS = PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_HPIE,
    OFF = PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC,
};
#define BAR UINT64_C(0xc0000000)

static PciFixture f;
static PciBridge *port;
static unsigned exp_cap;

static unsigned find_cap(uint8_t id)
{
    unsigned at = cfg_read(&f, PORT, PCI_CAPABILITY_LIST, 1);

    while (at && cfg_read(&f, PORT, at, 1) != id) {
        at = cfg_read(&f, PORT, at + 1, 1);
    }
    return at;
}

static void setup(void)
{
    pci_fixture_init(&f);
    port = PCI_BRIDGE(object_new(&pcie_root_port_type));
    g_ptr_array_add(f.devices, port);
    ck_assert(property_set_string((Object *)port, "addr", "3.0", NULL));
    ck_assert(device_realize(DEVICE(port), BUS(f.bus), NULL));
    device_reset(DEVICE(port));
    exp_cap = find_cap(PCI_CAP_ID_EXP);
    cfg_write(&f, PORT, PCI_BASE_ADDRESS_0, BAR, 4);
    set_command(&f, PORT, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    cfg_write(&f, PORT, find_cap(PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
    mem_write(&f, BAR, 0xfee00000, 4);
    mem_write(&f, BAR + 8, 0x41, 4);
    mem_write(&f, BAR + 12, 0, 4);
}

static void teardown(void)
{
    pci_fixture_finish(&f);
}

static TestPci *plug(void)
{
    TestPci *t = pci_fixture_new(&f, NULL, NULL, false);

    ck_assert(device_realize(DEVICE(t), BUS(port->bus), NULL));
    return t;
}

static void slot_write(unsigned reg, uint16_t value)
{
    cfg_write(&f, PORT, exp_cap + reg, value, 2);
}

START_TEST(one_message_for_events_that_come_while_others_are_there)
{
    slot_write(PCI_EXP_SLTCTL, OFF | EVENTS);
    ck_assert_uint_eq(f.msi.sent, 0);
    plug();
    ck_assert_uint_eq(f.msi.sent, 1);
    ck_assert_uint_eq(f.msi.last.data, 0x41);
    ck_assert_uint_eq(f.msi.last_requester, PORT);
    slot_write(PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP);
    ck_assert_uint_eq(f.msi.sent, 1); /* presence has changed, still */
    slot_write(PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDC);
    slot_write(PCI_EXP_SLTCTL, OFF | EVENTS);
    ck_assert_uint_eq(f.msi.sent, 1);
    slot_write(PCI_EXP_SLTCTL, OFF | EVENTS | PCI_EXP_SLTCTL_CCIE);
    ck_assert_uint_eq(f.msi.sent, 2);
    slot_write(PCI_EXP_SLTCTL, OFF | EVENTS | PCI_EXP_SLTCTL_CCIE);
    ck_assert_uint_eq(f.msi.sent, 2);
    slot_write(PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_CC);
    slot_write(PCI_EXP_SLTCTL, OFF | EVENTS | PCI_EXP_SLTCTL_CCIE);
    ck_assert_uint_eq(f.msi.sent, 3);
    for (unsigned i = 0; i < 4; i++) {
        ck_assert_int_eq(f.irq[i], 0);
    }
}
END_TEST

START_TEST(masked_message_waits)
{
    mem_write(&f, BAR + 12, PCI_MSIX_ENTRY_CTRL_MASKBIT, 4);
    slot_write(PCI_EXP_SLTCTL, OFF | EVENTS);
    plug();
    ck_assert_uint_eq(f.msi.sent, 0);
    ck_assert_uint_eq(mem_read(&f, BAR + 0x800, 8), 1);
    mem_write(&f, BAR + 12, 0, 4);
    ck_assert_uint_eq(f.msi.sent, 1);
}
END_TEST

START_TEST(requester_and_wire_of_a_device_behind_are_as_the_bridge_makes_them)
{
    TestPci *t = plug();

    slot_write(PCI_EXP_SLTCTL, PCI_EXP_SLTCTL_PWR_IND_ON);
    cfg_write(&f, PORT, PCI_SECONDARY_BUS, 9, 1);
    ck_assert_uint_eq(pci_requester_id(PCI_DEVICE(t)), 9 << 8);
    ck_assert_uint_eq(mem_read(&f, TEST_ECAM_BASE + (UINT64_C(9) << 20), 2),
                      0xffff); /* beyond ECAM */
    cfg_write(&f, PORT, PCI_SECONDARY_BUS, 2, 1);
    ck_assert_uint_eq(mem_read(&f, TEST_ECAM_BASE + (UINT64_C(2) << 20), 2), 0x1af4);
    pci_set_intx(PCI_DEVICE(t), 1); /* INTA behind slot 3 */
    ck_assert_int_eq(f.irq[3], 1);
    device_unrealize(DEVICE(t));
    ck_assert_int_eq(f.irq[3], 0);
}
END_TEST

/* Its windows are of 1 MiB each. */
START_TEST(firmware_without_room_for_a_bridge_says_so_and_writes_nothing)
{
    g_autoptr(GError) err = NULL;

    ck_assert(!pci_host_assign_bars(f.host, &err));
    ck_assert_str_eq(
        err->message,
        "no room in the PCI memory window for what is behind pcie-root-port (33554432 bytes)");
    ck_assert_uint_eq(cfg_read(&f, PORT, PCI_SECONDARY_BUS, 1), 0);
}
END_TEST

TCase *test_pcie_port_msix_case(void)
{
    TCase *tc = tcase_create("msix");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, one_message_for_events_that_come_while_others_are_there);
    tcase_add_test(tc, masked_message_waits);
    tcase_add_test(tc, requester_and_wire_of_a_device_behind_are_as_the_bridge_makes_them);
    tcase_add_test(tc, firmware_without_room_for_a_bridge_says_so_and_writes_nothing);
    return tc;
}
