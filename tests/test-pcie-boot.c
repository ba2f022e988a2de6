/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a guest with PCI Express ports finds at boot: bus numbers, windows with room and what is
 * there within them, ECAM and the tables that describe it for as many buses; and that a guest
 * without ports finds what it always did.
 */
#include <check.h>
#include <string.h>

#include "core/le.h"
#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-host.h"
#include "tests/fake-vm.h"
#include "tests/suite.h"

enum { TABLES = 0xe0000, TABLES_SIZE = 0x20000, MCFG_LAST_BUS = 36 + 8 + 8 + 3 };

static FakeVm vm;
static PciBus *root;

static void start(const char *const *devices)
{
    g_autoptr(GError) err = NULL;

    fake_vm_init(&vm);
    ck_assert(fake_vm_start(&vm, &err));
    for (; *devices; devices++) {
        ck_assert_msg(fake_vm_add(&vm, *devices, &err) != NULL, "%s", err ? err->message : "");
    }
    ck_assert_msg(machine_boot(vm.m, &err), "%s", err ? err->message : "");
    root = PCI_BUS(bus_find(vm.m->main_bus, &pci_bus_type));
}

/* Where the bytes are among the tables; NULL: nowhere. */
static const uint8_t *in_tables(uint8_t tables[TABLES_SIZE], const char *bytes, size_t len)
{
    ck_assert(gmem_read(vm.m->platform.mem, GPA(TABLES), tables, TABLES_SIZE));
    return memmem(tables, TABLES_SIZE, bytes, len);
}

static void expect_tables(unsigned last_bus, bool osc)
{
    static uint8_t tables[TABLES_SIZE];

    ck_assert_uint_eq(in_tables(tables, "MCFG", 4)[MCFG_LAST_BUS], last_bus);
    ck_assert_int_eq(in_tables(tables, "_OSC", 4) != NULL, osc);
}

static void check_bar(PciBridge *br, const PciBar *bar, PciWindow which)
{
    uint64_t base, limit;

    ck_assert(pci_bridge_window(br, which, &base, &limit));
    ck_assert_uint_ne(bar->addr, PCI_BAR_UNMAPPED);
    ck_assert_uint_ge(bar->addr, base);
    ck_assert_uint_le(bar->addr + bar->size - 1, limit);
}

static uint64_t window_size(PciBridge *br, PciWindow which)
{
    uint64_t base, limit;

    return pci_bridge_window(br, which, &base, &limit) ? limit - base + 1 : 0;
}

START_TEST(ports_have_numbers_windows_and_tables)
{
    static const char *const devices[] = {"pcie-root-port,id=a,slot=1,addr=4.0",
                                          "pcie-root-port,id=b,slot=2,addr=5.0",
                                          "virtio-rng-pci-transitional,id=r,bus=b", NULL};
    PciBridge *a, *b;
    PciDevice *r;

    start(devices);
    a = PCI_BRIDGE(pci_bus_device(root, PCI_DEVFN_OF(4, 0)));
    b = PCI_BRIDGE(pci_bus_device(root, PCI_DEVFN_OF(5, 0)));
    r = pci_bus_device(b->bus, 0);
    ck_assert_uint_eq(le_load(PCI_DEVICE(a)->config + PCI_PRIMARY_BUS, 4), 0x00010100);
    ck_assert_uint_eq(le_load(PCI_DEVICE(b)->config + PCI_PRIMARY_BUS, 4), 0x00020200);
    ck_assert_uint_eq(pci_requester_id(r), 2 << 8);
    ck_assert_uint_eq(window_size(a, PCI_WINDOW_IO), 0);
    ck_assert_uint_eq(window_size(a, PCI_WINDOW_MEMORY), 2 << 20);
    ck_assert_uint_eq(window_size(a, PCI_WINDOW_PREFETCH), 32 << 20);
    ck_assert_uint_eq(window_size(b, PCI_WINDOW_IO), 4096);
    check_bar(b, &r->bars[0], PCI_WINDOW_IO);
    check_bar(b, &r->bars[1], PCI_WINDOW_MEMORY);
    check_bar(b, &r->bars[4], PCI_WINDOW_PREFETCH);
    ck_assert_uint_ne(PCI_DEVICE(a)->bars[0].addr, PCI_BAR_UNMAPPED);
    expect_tables(2, true);
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(machine_without_ports_is_as_it_was)
{
    static const char *const devices[] = {"virtio-rng-pci", NULL};

    start(devices);
    expect_tables(0, false);
    fake_vm_finish(&vm);
}
END_TEST

START_TEST(port_without_hotplug_asks_for_nothing_native)
{
    static const char *const devices[] = {"pcie-root-port,id=a,hotplug=off", NULL};

    start(devices);
    expect_tables(1, false);
    fake_vm_finish(&vm);
}
END_TEST

/* Eight to a slot. */
START_TEST(ports_are_as_many_as_there_are_places)
{
    g_autoptr(GError) err = NULL;

    fake_vm_init(&vm);
    ck_assert(fake_vm_start(&vm, &err));
    for (unsigned n = 8; n < PCI_DEVFN_MAX; n++) {
        g_autofree char *port = g_strdup_printf(
            "pcie-root-port,slot=%u,addr=%x.%x,multifunction=on", n, PCI_SLOT(n), PCI_FUNC(n));

        ck_assert_msg(fake_vm_add(&vm, port, &err) != NULL, "%s", err ? err->message : "");
    }
    ck_assert_ptr_null(fake_vm_add(&vm, "pcie-root-port,slot=7", &err));
    g_clear_error(&err);
    ck_assert_msg(machine_boot(vm.m, &err), "%s", err ? err->message : "");
    expect_tables(248, true);
    fake_vm_finish(&vm);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pcie-boot");
    TCase *tc = tcase_create("pc");

    tcase_add_test(tc, ports_have_numbers_windows_and_tables);
    tcase_add_test(tc, machine_without_ports_is_as_it_was);
    tcase_add_test(tc, port_without_hotplug_asks_for_nothing_native);
    tcase_add_test(tc, ports_are_as_many_as_there_are_places);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
