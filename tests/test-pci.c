/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI as a guest sees it: both ways to configuration space, the header, places on the bus, INTx.
 * Base address registers and random accesses are in test-pci-bars.c.
 */
#include <check.h>

#include "tests/pci-fixture.h"
#include "tests/test-pci.h"
#include "tests/suite.h"

static PciFixture f;

static void setup(void)
{
    pci_fixture_init(&f);
}

static void teardown(void)
{
    pci_fixture_finish(&f);
}

/* Realizes, expects it to fail with exactly that line. */
static void refuse(TestPci *t, const char *line)
{
    GError *err = NULL;

    ck_assert(!pci_fixture_realize(&f, t, &err));
    ck_assert_str_eq(err->message, line);
    g_error_free(err);
}

/* --- configuration mechanism #1 --- */

START_TEST(the_host_bridge_is_function_0_of_slot_0)
{
    ck_assert_uint_eq(cfg_read(&f, 0, PCI_VENDOR_ID, 4), 0x00081b36);
    ck_assert_uint_eq(cfg_read(&f, 0, PCI_CLASS_REVISION, 4) >> 8, 0x060000);
    ck_assert_ptr_eq(bus_find(f.main, &pci_bus_type), f.bus);
    ck_assert_ptr_eq(bus_find_by_name(f.main, "pci.0"), f.bus);
}
END_TEST

START_TEST(only_dword_writes_latch_an_address)
{
    port_write(&f, 0xcf8, 0x80000000, 4);
    port_write(&f, 0xcf8, 0x12, 1);
    port_write(&f, 0xcf9, 0x06, 1);
    port_write(&f, 0xcfb, 0x01, 1);
    port_write(&f, 0xcf8, 0x1234, 2);
    port_write(&f, 0xcfa, 0x1234, 2);
    ck_assert_uint_eq(port_read(&f, 0xcf8, 4), 0x80000000);
    ck_assert_uint_eq(port_read(&f, 0xcf8, 1), 0xff);
}
END_TEST

START_TEST(reserved_bits_of_the_address_read_zero)
{
    port_write(&f, 0xcf8, 0xffffffff, 4);
    ck_assert_uint_eq(port_read(&f, 0xcf8, 4), 0x80fffffc);
}
END_TEST

static uint64_t reset_register;

static uint64_t reset_register_read(void *opaque, uint64_t off, unsigned size)
{
    return reset_register;
}

static void reset_register_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    reset_register = value;
}

START_TEST(a_reset_register_at_0xcf9_works_beside_the_address_latch)
{
    static const IoRegionOps ops = {reset_register_read, reset_register_write, 1, 1};
    IoRegion r;

    reset_register = 0;
    io_region_init(&r, "reset", &ops, NULL, 1);
    aspace_map(f.p.pio, &r, 0xcf9, 0);
    port_write(&f, 0xcf8, 0x80000800, 4);
    ck_assert_uint_eq(reset_register, 0);
    port_write(&f, 0xcf9, 0x06, 1);
    ck_assert_uint_eq(reset_register, 0x06);
    ck_assert_uint_eq(port_read(&f, 0xcf9, 1), 0x06);
    ck_assert_uint_eq(port_read(&f, 0xcf8, 4), 0x80000800);
    io_region_finish(&r);
}
END_TEST

START_TEST(the_data_port_takes_bytes_and_words_at_any_offset)
{
    pci_fixture_add(&f, "3");
    port_write(&f, 0xcf8, 0x80000000 | PCI_DEVFN_OF(3, 0) << 8, 4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 4), 0x10f01af4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 2), 0x1af4);
    ck_assert_uint_eq(port_read(&f, 0xcfd, 2), 0xf01a);
    ck_assert_uint_eq(port_read(&f, 0xcfe, 2), 0x10f0);
    ck_assert_uint_eq(port_read(&f, 0xcff, 1), 0x10);
    port_write(&f, 0xcf8, 0x80000000 | PCI_DEVFN_OF(3, 0) << 8 | PCI_INTERRUPT_LINE, 4);
    port_write(&f, 0xcfc, 11, 1);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 2), 0x010b);
}
END_TEST

START_TEST(low_bits_of_the_address_count_as_those_of_the_data_port)
{
    uint32_t dev = 0x80000000 | PCI_DEVFN_OF(3, 0) << 8;

    pci_fixture_add(&f, "3");
    port_write(&f, 0xcf8, dev | 2, 4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 2), 0x10f0);
    port_write(&f, 0xcf8, dev | 1, 4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 1), 0x1a);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 2), 0xf01a);
    port_write(&f, 0xcf8, dev | PCI_INTERRUPT_LINE | 1, 4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 4) & 0xff, cfg_read(&f, PCI_DEVFN_OF(3, 0), 0x3d, 1));
    port_write(&f, 0xcf8, dev | 0x0d, 4);
    port_write(&f, 0xcfc, 0x2200, 2); /* latency timer is fixed, so is the header type */
    port_write(&f, 0xcf8, dev | 0xff, 4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 4) >> 8, 0xffffff);
    port_write(&f, 0xcfc, 0x12345678, 4);
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(3, 0), 0, 4), 0x10f01af4);
}
END_TEST

START_TEST(without_the_enable_bit_the_data_port_is_dead)
{
    port_write(&f, 0xcf8, 0, 4);
    ck_assert_uint_eq(port_read(&f, 0xcfc, 4), 0xffffffff);
    port_write(&f, 0xcfc, 0xffff, 2);
    ck_assert_uint_eq(cfg_read(&f, 0, PCI_COMMAND, 2), 0);
}
END_TEST

START_TEST(nobody_there_reads_all_ones_of_the_width)
{
    pci_fixture_add(&f, "3");
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(2, 0), 0, 4), 0xffffffff);
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(3, 1), 0, 2), 0xffff);
    ck_assert_uint_eq(ecam_read(&f, PCI_DEVFN_OF(3, 1), 2, 1), 0xff);
    port_write(&f, 0xcf8, 0x80010000 | PCI_DEVFN_OF(3, 0) << 8, 4); /* bus 1 */
    ck_assert_uint_eq(port_read(&f, 0xcfc, 4), 0xffffffff);
    ck_assert_uint_eq(mem_read(&f, TEST_ECAM_BASE + (1 << 20) + (3 << 15), 4), 0xffffffff);
}
END_TEST

/* --- ECAM --- */

START_TEST(ecam_shows_the_same_registers_in_every_size)
{
    uint8_t devfn = PCI_DEVFN_OF(31, 0);

    pci_fixture_add(&f, "1f");
    ck_assert_uint_eq(ecam_read(&f, devfn, 0, 4), 0x10f01af4);
    ck_assert_uint_eq(ecam_read(&f, devfn, 0, 8) & 0xffffffff, 0x10f01af4);
    ck_assert_uint_eq(ecam_read(&f, devfn, 1, 2), 0xf01a);
    ck_assert_uint_eq(ecam_read(&f, devfn, 2, 4) & 0xffff, 0x10f0);
    ecam_write(&f, devfn, PCI_INTERRUPT_LINE, 0x55, 1);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_INTERRUPT_LINE, 1), 0x55);
}
END_TEST

START_TEST(extended_space_has_4096_bytes_per_function)
{
    pci_fixture_add(&f, "1");
    ck_assert_uint_eq(ecam_read(&f, PCI_DEVFN_OF(1, 0), 0x100, 4), 0); /* no extended capability */
    ck_assert_uint_eq(ecam_read(&f, PCI_DEVFN_OF(1, 0), 0xffc, 4), 0);
    ck_assert_uint_eq(ecam_read(&f, PCI_DEVFN_OF(1, 0), 0xffe, 4), 0xffff0000);
    ecam_write(&f, PCI_DEVFN_OF(1, 0), 0xffe, 0xffffffff, 4);
}
END_TEST

/* --- the header --- */

START_TEST(the_header_comes_from_the_class)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);

    pci_fixture_add(&f, "1");
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_CLASS_REVISION, 4), 0x07800103);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_SUBSYSTEM_VENDOR_ID, 4), 0x00421af4);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_HEADER_TYPE, 1), 0);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_INTERRUPT_PIN, 1), 1);
}
END_TEST

START_TEST(read_only_registers_ignore_writes)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    static const unsigned regs[] = {0, 8, 0x28, 0x2c, 0x34, 0x38};

    pci_fixture_add(&f, "1");
    for (unsigned i = 0; i < G_N_ELEMENTS(regs); i++) {
        uint32_t before = cfg_read(&f, devfn, regs[i], 4);

        cfg_write(&f, devfn, regs[i], ~before, 4);
        ck_assert_uint_eq(cfg_read(&f, devfn, regs[i], 4), before);
    }
}
END_TEST

START_TEST(the_rom_register_reads_zero)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);

    pci_fixture_add(&f, "1");
    cfg_write(&f, devfn, PCI_ROM_ADDRESS, 0xfffff800, 4);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_ROM_ADDRESS, 4), 0);
}
END_TEST

START_TEST(command_bits_that_nobody_has_stay_zero)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);

    pci_fixture_add(&f, "1");
    set_command(&f, devfn, 0xffff);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_COMMAND, 2), 0x0547);
}
END_TEST

START_TEST(writing_one_clears_status_bits_and_writing_zero_keeps_them)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");

    t->parent_obj.config[PCI_STATUS + 1] = 0xf9;
    cfg_write(&f, devfn, PCI_STATUS, 0, 2);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_STATUS + 1, 1), 0xf9);
    cfg_write(&f, devfn, PCI_STATUS, PCI_STATUS_REC_MASTER_ABORT, 2);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_STATUS + 1, 1), 0xd9);
}
END_TEST

START_TEST(capabilities_are_listed_in_order_of_adding)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");
    unsigned first = cfg_read(&f, devfn, PCI_CAPABILITY_LIST, 1);
    unsigned second = cfg_read(&f, devfn, first + 1, 1);

    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST,
                      PCI_STATUS_CAP_LIST);
    ck_assert_uint_eq(first, t->vendor_cap);
    ck_assert_uint_eq(first, 0x40);
    ck_assert_uint_eq(cfg_read(&f, devfn, first, 1), PCI_CAP_ID_VNDR);
    ck_assert_uint_eq(second, 0x50);
    ck_assert_uint_eq(cfg_read(&f, devfn, second, 2), PCI_CAP_ID_MSIX);
    ck_assert_uint_eq(cfg_read(&f, 0, PCI_CAPABILITY_LIST, 1), 0);
    ck_assert_uint_eq(cfg_read(&f, 0, PCI_STATUS, 2) & PCI_STATUS_CAP_LIST, 0);
}
END_TEST

START_TEST(capability_bytes_are_writable_where_the_device_says_so)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");

    cfg_write(&f, devfn, t->vendor_cap + 4, 0x11223344, 4);
    cfg_write(&f, devfn, t->vendor_cap + 8, 0x11223344, 4);
    ck_assert_uint_eq(cfg_read(&f, devfn, t->vendor_cap + 4, 4), 0x11223344);
    ck_assert_uint_eq(cfg_read(&f, devfn, t->vendor_cap + 8, 4), 0);
}
END_TEST

START_TEST(the_device_may_refresh_registers_and_sees_writes)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");
    unsigned reg = t->vendor_cap + 12u;

    ck_assert_uint_eq(cfg_read(&f, devfn, reg, 1), 1);
    ck_assert_uint_eq(ecam_read(&f, devfn, reg, 4), 2);
    cfg_write(&f, devfn, t->vendor_cap + 5, 0x11, 1);
    ck_assert_uint_eq(t->config_writes, 1);
    ck_assert_uint_eq(t->config_off, t->vendor_cap + 5);
    ecam_write(&f, devfn, t->vendor_cap + 2, 0, 4); /* two words */
    ck_assert_uint_eq(t->config_writes, 3);
}
END_TEST

START_TEST(reset_brings_back_what_realize_left)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");

    set_command(&f, devfn, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    cfg_write(&f, devfn, PCI_BASE_ADDRESS_0, 0xc0000000, 4);
    cfg_write(&f, devfn, PCI_INTERRUPT_LINE, 10, 1);
    cfg_write(&f, devfn, t->vendor_cap + 4, 0x11223344, 4);
    pci_set_intx(&t->parent_obj, 1);
    t->config_off = 0;
    bus_reset(f.main);
    ck_assert_uint_eq(t->resets, 1);
    ck_assert_uint_eq(t->config_off, PCI_COMMAND); /* the device is told of that one */
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_COMMAND, 4), PCI_STATUS_CAP_LIST << 16);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_BASE_ADDRESS_0, 4), 0);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_INTERRUPT_LINE, 1), 0);
    ck_assert_uint_eq(cfg_read(&f, devfn, t->vendor_cap + 4, 4), 0x5a);
    ck_assert_ptr_null(aspace_find(f.p.mmio, 0xc0000000));
    ck_assert_int_eq(f.irq[1], 0);
}
END_TEST

START_TEST(reset_of_the_host_clears_the_address_latch)
{
    port_write(&f, 0xcf8, 0x80000800, 4);
    bus_reset(f.main);
    ck_assert_uint_eq(port_read(&f, 0xcf8, 4), 0);
}
END_TEST

/* --- places --- */

START_TEST(slots_are_given_out_from_the_lowest_free_one)
{
    pci_fixture_add(&f, "2");
    ck_assert_uint_eq(pci_fixture_add(&f, NULL)->parent_obj.devfn, PCI_DEVFN_OF(1, 0));
    ck_assert_uint_eq(pci_fixture_add(&f, NULL)->parent_obj.devfn, PCI_DEVFN_OF(3, 0));
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(3, 0), 0, 4), 0x10f01af4);
    ck_assert_uint_eq(pci_requester_id(f.bus->devices[PCI_DEVFN_OF(3, 0)]), 0x18);
}
END_TEST

START_TEST(a_taken_address_is_refused_naming_both_devices)
{
    ck_assert(pci_fixture_realize(&f, pci_fixture_new(&f, "one", "4", false), NULL));
    refuse(pci_fixture_new(&f, "two", "4.0", false),
           "'two' (test-pci) cannot have address 04.0 of pci.0: 'one' (test-pci) has it");
    refuse(pci_fixture_new(&f, "two", "0", false),
           "'two' (test-pci) cannot have address 00.0 of pci.0: pci-host-function has it");
}
END_TEST

START_TEST(more_functions_need_multifunction_on_function_0)
{
    ck_assert(pci_fixture_realize(&f, pci_fixture_new(&f, "one", "4", false), NULL));
    refuse(pci_fixture_new(&f, "two", "4.1", false),
           "'two' (test-pci) cannot be function 04.1: 'one' (test-pci) at 04.0 needs "
           "multifunction=on for that");
    ck_assert(pci_fixture_realize(&f, pci_fixture_new(&f, "m", "5", true), NULL));
    ck_assert(pci_fixture_realize(&f, pci_fixture_new(&f, "m7", "5.7", false), NULL));
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(5, 0), PCI_HEADER_TYPE, 1), 0x80);
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(5, 7), PCI_VENDOR_ID, 2), 0x1af4);
}
END_TEST

START_TEST(function_0_may_come_last_if_it_is_multifunction)
{
    ck_assert(pci_fixture_realize(&f, pci_fixture_new(&f, "two", "4.1", false), NULL));
    refuse(pci_fixture_new(&f, "one", "4", false),
           "'one' (test-pci) needs multifunction=on to be function 04.0 beside 'two' (test-pci) at "
           "04.1");
    ck_assert(pci_fixture_realize(&f, pci_fixture_new(&f, "one", "4", true), NULL));
}
END_TEST

START_TEST(a_full_bus_refuses_one_more)
{
    for (unsigned slot = 1; slot < PCI_SLOTS; slot++) {
        ck_assert_uint_eq(pci_fixture_add(&f, NULL)->parent_obj.devfn, PCI_DEVFN_OF(slot, 0));
    }
    refuse(pci_fixture_new(&f, "more", NULL, false),
           "no free slot on pci.0 for 'more' (test-pci): all 32 are taken");
}
END_TEST

START_TEST(a_place_is_free_again_after_unplug_or_failure)
{
    TestPci *t = pci_fixture_new(&f, "x", "4", false);

    ck_assert(property_set_bool((Object *)t, "fail-realize", true, NULL));
    refuse(t, "told to fail");
    ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(4, 0), 0, 4), 0xffffffff);
    ck_assert(property_set_bool((Object *)t, "fail-realize", false, NULL));
    for (int i = 0; i < 3; i++) {
        ck_assert(pci_fixture_realize(&f, t, NULL));
        ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(4, 0), 0, 4), 0x10f01af4);
        cfg_write(&f, PCI_DEVFN_OF(4, 0), PCI_BASE_ADDRESS_0, 0xc0000000, 4);
        set_command(&f, PCI_DEVFN_OF(4, 0), PCI_COMMAND_MEMORY);
        pci_set_intx(&t->parent_obj, 1);
        device_unrealize(DEVICE(t));
        ck_assert_uint_eq(cfg_read(&f, PCI_DEVFN_OF(4, 0), 0, 4), 0xffffffff);
        ck_assert_ptr_null(aspace_find(f.p.mmio, 0xc0000000));
        ck_assert_int_eq(f.irq[0], 0);
    }
}
END_TEST

static int addr_of(TestPci *t)
{
    json_t *value = property_get_json((Object *)t, "addr", NULL);
    int devfn = (int)json_integer_value(value);

    json_decref(value);
    return devfn;
}

START_TEST(property_addr_tells_where_the_bus_put_a_device)
{
    TestPci *t = pci_fixture_new(&f, NULL, NULL, false), *given = pci_fixture_add(&f, "4");

    ck_assert_int_eq(addr_of(t), PCI_ADDR_AUTO);
    ck_assert(pci_fixture_realize(&f, t, NULL));
    ck_assert_int_eq(addr_of(t), 0x08);
    ck_assert(!property_was_set((Object *)t, "addr"));
    device_unrealize(DEVICE(t));
    ck_assert_int_eq(addr_of(t), PCI_ADDR_AUTO);
    pci_fixture_add(&f, "1");
    ck_assert(pci_fixture_realize(&f, t, NULL));
    ck_assert_int_eq(addr_of(t), 0x10);
    device_unrealize(DEVICE(given));
    ck_assert_int_eq(addr_of(given), 0x20);
}
END_TEST

START_TEST(a_device_tells_its_address)
{
    TestPci *t = pci_fixture_add(&f, "1f");
    g_autofree char *addr = BUS_GET_CLASS(f.bus)->device_address(BUS(f.bus), DEVICE(t));

    ck_assert_str_eq(addr, "1f.0");
}
END_TEST

/* --- INTx --- */

START_TEST(pins_are_swizzled_by_slot)
{
    for (unsigned slot = 1; slot <= 4; slot++) {
        TestPci *t = pci_fixture_add(&f, NULL);

        pci_set_intx(&t->parent_obj, 1);
        ck_assert_int_eq(f.irq[slot % 4], 1);
        pci_set_intx(&t->parent_obj, 0);
        ck_assert_int_eq(f.irq[slot % 4], 0);
    }
    ck_assert_uint_eq(f.irq_changes, 8);
}
END_TEST

START_TEST(a_shared_pin_stays_up_until_the_last_function_lets_go)
{
    PciDevice *a = &pci_fixture_add(&f, "1")->parent_obj;
    PciDevice *b = &pci_fixture_add(&f, "5")->parent_obj;

    pci_set_intx(a, 1);
    pci_set_intx(a, 1);
    pci_set_intx(b, 1);
    pci_set_intx(a, 0);
    ck_assert_int_eq(f.irq[1], 1);
    pci_set_intx(b, 0);
    ck_assert_int_eq(f.irq[1], 0);
    ck_assert_uint_eq(f.irq_changes, 2);
}
END_TEST

START_TEST(intx_disable_drops_the_pin_but_not_the_status_bit)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");

    pci_set_intx(&t->parent_obj, 1);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_STATUS, 1) & PCI_STATUS_INTERRUPT,
                      PCI_STATUS_INTERRUPT);
    set_command(&f, devfn, PCI_COMMAND_INTX_DISABLE);
    ck_assert_int_eq(f.irq[1], 0);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_STATUS, 1) & PCI_STATUS_INTERRUPT,
                      PCI_STATUS_INTERRUPT);
    set_command(&f, devfn, 0);
    ck_assert_int_eq(f.irq[1], 1);
    pci_set_intx(&t->parent_obj, 0);
    ck_assert_uint_eq(cfg_read(&f, devfn, PCI_STATUS, 1) & PCI_STATUS_INTERRUPT, 0);
}
END_TEST

START_TEST(a_function_that_uses_msix_keeps_its_pin_down)
{
    uint8_t devfn = PCI_DEVFN_OF(1, 0);
    TestPci *t = pci_fixture_add(&f, "1");

    pci_set_intx(&t->parent_obj, 1);
    cfg_write(&f, devfn, 0x50 + PCI_MSIX_FLAGS, PCI_MSIX_FLAGS_ENABLE, 2);
    ck_assert_int_eq(f.irq[1], 0);
    cfg_write(&f, devfn, 0x50 + PCI_MSIX_FLAGS, 0, 2);
    ck_assert_int_eq(f.irq[1], 1);
}
END_TEST

/* --- the host bridge itself --- */

START_TEST(the_host_can_be_unrealized_and_realized_again)
{
    bus_unrealize(f.main);
    ck_assert_ptr_null(pci_host_bus(f.host));
    ck_assert_uint_eq(port_read(&f, 0xcf8, 4), 0xffffffff);
    ck_assert(device_realize(DEVICE(f.host), f.main, NULL));
    f.bus = pci_host_bus(f.host);
    ck_assert_uint_eq(cfg_read(&f, 0, 0, 4), 0x00081b36);
}
END_TEST

START_TEST(without_ports_and_ecam_there_is_still_a_bus)
{
    static const PciHostWindows none = {0};

    bus_unrealize(f.main);
    pci_host_set_windows(f.host, &none);
    ck_assert(device_realize(DEVICE(f.host), f.main, NULL));
    f.bus = pci_host_bus(f.host);
    ck_assert_uint_eq(cfg_read(&f, 0, 0, 4), 0xffffffff);
    ck_assert_uint_eq(ecam_read(&f, 0, 0, 4), 0xffffffff);
    ck_assert_uint_eq(pci_bus_config_read(f.bus, 0, 0, 4), 0x00081b36);
}
END_TEST

static TCase *config_case(void)
{
    TCase *tc = tcase_create("config");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_host_bridge_is_function_0_of_slot_0);
    tcase_add_test(tc, only_dword_writes_latch_an_address);
    tcase_add_test(tc, reserved_bits_of_the_address_read_zero);
    tcase_add_test(tc, a_reset_register_at_0xcf9_works_beside_the_address_latch);
    tcase_add_test(tc, the_data_port_takes_bytes_and_words_at_any_offset);
    tcase_add_test(tc, low_bits_of_the_address_count_as_those_of_the_data_port);
    tcase_add_test(tc, without_the_enable_bit_the_data_port_is_dead);
    tcase_add_test(tc, nobody_there_reads_all_ones_of_the_width);
    tcase_add_test(tc, ecam_shows_the_same_registers_in_every_size);
    tcase_add_test(tc, extended_space_has_4096_bytes_per_function);
    tcase_add_test(tc, the_header_comes_from_the_class);
    tcase_add_test(tc, read_only_registers_ignore_writes);
    tcase_add_test(tc, the_rom_register_reads_zero);
    tcase_add_test(tc, command_bits_that_nobody_has_stay_zero);
    tcase_add_test(tc, writing_one_clears_status_bits_and_writing_zero_keeps_them);
    tcase_add_test(tc, capabilities_are_listed_in_order_of_adding);
    tcase_add_test(tc, capability_bytes_are_writable_where_the_device_says_so);
    tcase_add_test(tc, the_device_may_refresh_registers_and_sees_writes);
    tcase_add_test(tc, reset_brings_back_what_realize_left);
    tcase_add_test(tc, reset_of_the_host_clears_the_address_latch);
    tcase_add_test(tc, the_host_can_be_unrealized_and_realized_again);
    tcase_add_test(tc, without_ports_and_ecam_there_is_still_a_bus);
    return tc;
}

static TCase *place_case(void)
{
    TCase *tc = tcase_create("places and pins");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, slots_are_given_out_from_the_lowest_free_one);
    tcase_add_test(tc, a_taken_address_is_refused_naming_both_devices);
    tcase_add_test(tc, more_functions_need_multifunction_on_function_0);
    tcase_add_test(tc, function_0_may_come_last_if_it_is_multifunction);
    tcase_add_test(tc, a_full_bus_refuses_one_more);
    tcase_add_test(tc, a_place_is_free_again_after_unplug_or_failure);
    tcase_add_test(tc, property_addr_tells_where_the_bus_put_a_device);
    tcase_add_test(tc, a_device_tells_its_address);
    tcase_add_test(tc, pins_are_swizzled_by_slot);
    tcase_add_test(tc, a_shared_pin_stays_up_until_the_last_function_lets_go);
    tcase_add_test(tc, intx_disable_drops_the_pin_but_not_the_status_bit);
    tcase_add_test(tc, a_function_that_uses_msix_keeps_its_pin_down);
    return tc;
}

int main(void)
{
    Suite *s = suite_create("pci");

    suite_add_tcase(s, config_case());
    suite_add_tcase(s, place_case());
    suite_add_tcase(s, test_pci_bars_case());
    suite_add_tcase(s, test_pci_random_case());
    return suite_run(s);
}
