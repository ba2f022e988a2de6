/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Base address registers: sizing, mapping at any time, odd places, what firmware assigns; and a
 * seeded run of random accesses to all that a guest can reach.
 */
#include "tests/test-pci.h"
#include "tests/pci-fixture.h"

enum { DEVFN = PCI_DEVFN_OF(1, 0) };

static PciFixture f;
static TestPci *t;

static void setup(void)
{
    pci_fixture_init(&f);
    t = pci_fixture_add(&f, "1");
}

static void teardown(void)
{
    pci_fixture_finish(&f);
}

static uint32_t bar_read(unsigned n)
{
    return cfg_read(&f, DEVFN, PCI_BASE_ADDRESS_0 + 4 * n, 4);
}

static void bar_write(unsigned n, uint32_t value)
{
    cfg_write(&f, DEVFN, PCI_BASE_ADDRESS_0 + 4 * n, value, 4);
}

static IoRegion *seen(uint64_t addr)
{
    return aspace_find(f.p.mmio, addr);
}

/* --- sizing --- */

START_TEST(all_ones_read_back_as_size_and_type)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        bar_write(n, 0xffffffff);
    }
    ck_assert_uint_eq(bar_read(TEST_BAR_MEM32), 0xfffff000);
    ck_assert_uint_eq(bar_read(TEST_BAR_IO), 0xffffffe1);
    ck_assert_uint_eq(bar_read(TEST_BAR_MEM64), 0xffffc00c);
    ck_assert_uint_eq(bar_read(TEST_BAR_MEM64 + 1), 0xffffffff);
    ck_assert_uint_eq(bar_read(5), 0);
}
END_TEST

START_TEST(sizing_with_decoding_on_maps_nothing_at_the_top)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    for (unsigned n = 0; n < PCI_BARS; n++) {
        bar_write(n, 0xffffffff);
    }
    ck_assert_ptr_null(seen(0xfffff000));
    ck_assert_ptr_null(seen(UINT64_MAX - 0x3fff));
    ck_assert_ptr_null(aspace_find(f.p.pio, 0xffe0));
}
END_TEST

START_TEST(a_bar_can_be_written_byte_by_byte)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    cfg_write(&f, DEVFN, PCI_BASE_ADDRESS_0 + 3, 0xc1, 1);
    cfg_write(&f, DEVFN, PCI_BASE_ADDRESS_0 + 1, 0x2fff, 2);
    ck_assert_uint_eq(bar_read(0), 0xc12ff000);
    ck_assert_ptr_eq(seen(0xc12ff000), &t->mem32);
}
END_TEST

/* --- mapping --- */

START_TEST(memory_bars_answer_where_the_guest_puts_them)
{
    bar_write(TEST_BAR_MEM32, 0xc0000000);
    ck_assert_ptr_null(seen(0xc0000000));
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    ck_assert_uint_eq(mem_read(&f, 0xc0000010, 4), ('m' << 24) + 0x10);
    mem_write(&f, 0xc0000ffc, 0x1234, 4);
    ck_assert_uint_eq(t->last_write, 0x1234);
    ck_assert_ptr_null(seen(0xc0001000));
    bar_write(TEST_BAR_MEM32, 0xd0000000);
    ck_assert_ptr_null(seen(0xc0000000));
    ck_assert_ptr_eq(seen(0xd0000000), &t->mem32);
    set_command(&f, DEVFN, 0);
    ck_assert_ptr_null(seen(0xd0000000));
}
END_TEST

START_TEST(io_bars_answer_in_port_space)
{
    bar_write(TEST_BAR_IO, 0xc000);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    ck_assert_uint_eq(port_read(&f, 0xc000, 4), 0xffffffff);
    set_command(&f, DEVFN, PCI_COMMAND_IO);
    ck_assert_uint_eq(port_read(&f, 0xc004, 4), ('i' << 24) + 4);
    bar_write(TEST_BAR_IO, 0x1c000); /* beyond port space */
    ck_assert_ptr_null(aspace_find(f.p.pio, 0xc000));
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_IO].addr, PCI_BAR_UNMAPPED);
}
END_TEST

START_TEST(a_64_bit_bar_may_be_written_in_halves)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    bar_write(TEST_BAR_MEM64, 0xd0000000);
    ck_assert_ptr_eq(seen(0xd0000000), &t->mem64);
    bar_write(TEST_BAR_MEM64 + 1, 0x80);
    ck_assert_ptr_null(seen(0xd0000000));
    ck_assert_ptr_eq(seen(UINT64_C(0x80d0000000)), &t->mem64);
    bar_write(TEST_BAR_MEM64, 0);
    ck_assert_uint_eq(mem_read(&f, UINT64_C(0x8000003ff8), 4), ('M' << 24) + 0x3ff8);
    bar_write(TEST_BAR_MEM64 + 1, 0);
    ck_assert_ptr_null(seen(UINT64_C(0x8000003ff8)));
}
END_TEST

START_TEST(bars_at_the_end_of_their_space_are_not_mapped)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    bar_write(TEST_BAR_MEM32, 0xfffff000);
    bar_write(TEST_BAR_MEM64, 0xffffc000);
    bar_write(TEST_BAR_MEM64 + 1, 0xffffffff);
    for (unsigned n = 0; n < 4; n++) {
        if (t->parent_obj.bars[n].region) {
            ck_assert_uint_eq(t->parent_obj.bars[n].addr, PCI_BAR_UNMAPPED);
        }
    }
    bar_write(TEST_BAR_MEM32, 0xffffe000);
    ck_assert_ptr_eq(seen(0xffffefff), &t->mem32);
    ck_assert_ptr_null(seen(0xfffff000));
}
END_TEST

START_TEST(ram_stays_visible_under_a_bar)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    bar_write(TEST_BAR_MEM64, TEST_RAM_SIZE - 0x4000);
    ck_assert_ptr_null(seen(TEST_RAM_SIZE - 0x1000));
    bar_write(TEST_BAR_MEM64, TEST_RAM_SIZE);
    ck_assert_ptr_eq(seen(TEST_RAM_SIZE), &t->mem64);
}
END_TEST

START_TEST(bars_on_each_other_show_the_older_mapping)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    bar_write(TEST_BAR_MEM64, 0xd0000000);
    bar_write(TEST_BAR_MEM32, 0xd0001000);
    ck_assert_ptr_eq(seen(0xd0001000), &t->mem64);
    bar_write(TEST_BAR_MEM64, 0xe0000000);
    ck_assert_ptr_eq(seen(0xd0001000), &t->mem32);
}
END_TEST

START_TEST(bars_never_hide_the_machines_own_registers)
{
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    bar_write(TEST_BAR_MEM64, (uint32_t)TEST_ECAM_BASE);
    bar_write(TEST_BAR_IO, 0xce0);
    ck_assert_uint_eq(ecam_read(&f, 0, 0, 4), 0x00081b36);
    ck_assert_uint_eq(cfg_read(&f, 0, 0, 4), 0x00081b36);
    ck_assert_uint_eq(port_read(&f, 0xce0, 1), 0);
}
END_TEST

START_TEST(bars_of_a_machine_without_ports_stay_unmapped)
{
    AddressSpace *pio = f.p.pio;

    f.p.pio = NULL;
    ecam_write(&f, DEVFN, PCI_BASE_ADDRESS_1, 0xc000, 4);
    ecam_write(&f, DEVFN, PCI_COMMAND, PCI_COMMAND_IO, 2);
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_IO].addr, PCI_BAR_UNMAPPED);
    ecam_write(&f, DEVFN, PCI_COMMAND, 0, 2);
    f.p.pio = pio;
}
END_TEST

/* --- what firmware does --- */

START_TEST(assigned_bars_lie_in_their_windows_and_decode)
{
    TestPci *u = pci_fixture_add(&f, "2");

    ck_assert(pci_host_assign_bars(f.host, NULL));
    ck_assert_uint_eq(cfg_read(&f, DEVFN, PCI_COMMAND, 2), PCI_COMMAND_MEMORY | PCI_COMMAND_IO);
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_MEM64].addr, UINT64_C(0x8000000000));
    ck_assert_uint_eq(u->parent_obj.bars[TEST_BAR_MEM64].addr, UINT64_C(0x8000004000));
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_MEM32].addr, 0xc0000000);
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_MSIX].addr, 0xc0001000);
    ck_assert_uint_eq(u->parent_obj.bars[TEST_BAR_MSIX].addr, 0xc0003000);
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_IO].addr, 0xc000);
    ck_assert_uint_eq(port_read(&f, 0xc020, 4), 'i' << 24);
}
END_TEST

START_TEST(addresses_are_assigned_again_after_reset)
{
    ck_assert(pci_host_assign_bars(f.host, NULL));
    bus_reset(f.main);
    ck_assert_ptr_null(seen(0xc0000000));
    ck_assert(pci_host_assign_bars(f.host, NULL));
    ck_assert_ptr_eq(seen(0xc0000000), &t->mem32);
}
END_TEST

static void use_windows(uint64_t mem32, uint64_t mem64, uint32_t io)
{
    PciHostWindows w = *pci_host_windows(f.host);

    bus_unrealize(f.main);
    w.mmio32_size = mem32;
    w.mmio64_size = mem64;
    w.pio_size = io;
    w.pio_base = 0;
    pci_host_set_windows(f.host, &w);
    ck_assert(device_realize(DEVICE(f.host), f.main, NULL));
    f.bus = pci_host_bus(f.host);
    t = pci_fixture_add(&f, "1");
}

START_TEST(without_a_64_bit_window_wide_bars_go_low)
{
    use_windows(0x10000, 0, 0x1000);
    ck_assert(pci_host_assign_bars(f.host, NULL));
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_MEM64].addr, 0xc0000000);
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_MEM32].addr, 0xc0004000);
    ck_assert_uint_eq(t->parent_obj.bars[TEST_BAR_IO].addr, 0x20); /* never at 0 */
}
END_TEST

START_TEST(a_full_window_is_told_in_one_line_and_nothing_is_assigned)
{
    GError *err = NULL;

    use_windows(0x5000, 0, 0x1000);
    ck_assert(!pci_host_assign_bars(f.host, &err));
    ck_assert_str_eq(err->message,
                     "no room in the PCI memory window for BAR 4 of test-pci (4096 bytes)");
    g_error_free(err);
    ck_assert_uint_eq(cfg_read(&f, DEVFN, PCI_COMMAND, 2), 0);
    ck_assert_uint_eq(bar_read(TEST_BAR_MEM32), 0);
}
END_TEST

/* --- random accesses --- */

enum { RANDOM_STEPS = 100000 };

/* Mostly places where something may lie. */
static uint64_t random_addr(GRand *r)
{
    static const uint64_t bases[] = {
        0, TEST_RAM_SIZE - 0x1000, 0xc0000000, 0xfffff000, UINT64_C(0xfffffffffffff000),
    };
    uint64_t base = bases[g_rand_int_range(r, 0, G_N_ELEMENTS(bases))];

    return base + (g_rand_int(r) & 0x3fff);
}

static uint32_t random_value(GRand *r)
{
    switch (g_rand_int_range(r, 0, 6)) {
    case 0:
        return 0;
    case 1:
        return UINT32_MAX;
    case 2:
        return 1u << g_rand_int_range(r, 0, 32);
    case 3:
        return (uint32_t)random_addr(r);
    default:
        return g_rand_int(r);
    }
}

static void random_config(GRand *r, unsigned size)
{
    static const uint8_t devfns[] = {0, DEVFN, PCI_DEVFN_OF(2, 0), PCI_DEVFN_OF(2, 3), 0xff};
    uint8_t devfn = devfns[g_rand_int_range(r, 0, G_N_ELEMENTS(devfns))];
    unsigned off = (unsigned)g_rand_int_range(r, 0, g_rand_boolean(r) ? 0x68 : PCI_CFG_SIZE);

    if (g_rand_boolean(r)) {
        ecam_write(&f, devfn, off, random_value(r), size);
        (void)ecam_read(&f, devfn, off, size);
    } else {
        cfg_write(&f, devfn, off & 0xff, random_value(r), MIN(size, 4));
        (void)cfg_read(&f, devfn, off & 0xff, MIN(size, 4));
    }
}

/* Into the BAR of the table, wherever it is now. */
static void random_table(GRand *r, unsigned size)
{
    uint64_t addr = t->parent_obj.bars[TEST_BAR_MSIX].addr;

    if (addr != PCI_BAR_UNMAPPED) {
        mem_write(&f, addr + (g_rand_int(r) & 0xfff), random_value(r), size);
        (void)mem_read(&f, addr + (g_rand_int(r) & 0xfff), size);
    }
}

static void random_device(GRand *r, TestPci *dev)
{
    uint16_t vector = (uint16_t)g_rand_int_range(r, 0, TEST_VECTORS + 2);

    switch (g_rand_int_range(r, 0, 5)) {
    case 0:
        msix_vector_use(&dev->parent_obj, vector);
        break;
    case 1:
        msix_vector_unuse(&dev->parent_obj, vector);
        break;
    case 2:
        pci_set_intx(&dev->parent_obj, g_rand_boolean(r));
        break;
    default:
        msix_notify(&dev->parent_obj, vector);
        break;
    }
}

static void random_step(GRand *r, TestPci *second)
{
    unsigned size = 1u << g_rand_int_range(r, 0, 4);

    switch (g_rand_int_range(r, 0, 8)) {
    case 0:
        mem_write(&f, random_addr(r), random_value(r), size);
        break;
    case 1:
        port_write(&f, (uint16_t)g_rand_int_range(r, 0xcf0, 0xd04), random_value(r), MIN(size, 4));
        break;
    case 2:
        random_table(r, size);
        break;
    case 3:
        random_device(r, g_rand_boolean(r) ? t : second);
        break;
    default:
        random_config(r, size);
        break;
    }
    if (g_rand_int_range(r, 0, 2000) == 0) {
        bus_reset(f.main);
    }
}

/* _i: 0 without, 1 with routes. */
START_TEST(random_accesses_do_no_harm)
{
    GRand *r = g_rand_new_with_seed(20 + (guint32)_i);
    TestPci *second = pci_fixture_add(&f, "2");

    f.msi.offer_routes = _i;
    for (unsigned i = 0; i < RANDOM_STEPS; i++) {
        random_step(r, second);
    }
    g_rand_free(r);
    ck_assert_uint_eq(ecam_read(&f, 0, 0, 4), 0x00081b36);
    ck_assert_uint_eq(cfg_read(&f, DEVFN, 0, 4), 0x10f01af4);
    bus_reset(f.main);
    for (int pin = 0; pin < 4; pin++) {
        ck_assert_int_eq(f.irq[pin], 0);
        ck_assert_int_eq(f.bus->irq_count[pin], 0);
    }
    ck_assert_uint_eq(f.msi.routes_live, 0);
}
END_TEST

TCase *test_pci_bars_case(void)
{
    TCase *tc = tcase_create("bars");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, all_ones_read_back_as_size_and_type);
    tcase_add_test(tc, sizing_with_decoding_on_maps_nothing_at_the_top);
    tcase_add_test(tc, a_bar_can_be_written_byte_by_byte);
    tcase_add_test(tc, memory_bars_answer_where_the_guest_puts_them);
    tcase_add_test(tc, io_bars_answer_in_port_space);
    tcase_add_test(tc, a_64_bit_bar_may_be_written_in_halves);
    tcase_add_test(tc, bars_at_the_end_of_their_space_are_not_mapped);
    tcase_add_test(tc, ram_stays_visible_under_a_bar);
    tcase_add_test(tc, bars_on_each_other_show_the_older_mapping);
    tcase_add_test(tc, bars_never_hide_the_machines_own_registers);
    tcase_add_test(tc, bars_of_a_machine_without_ports_stay_unmapped);
    tcase_add_test(tc, assigned_bars_lie_in_their_windows_and_decode);
    tcase_add_test(tc, addresses_are_assigned_again_after_reset);
    tcase_add_test(tc, without_a_64_bit_window_wide_bars_go_low);
    tcase_add_test(tc, a_full_window_is_told_in_one_line_and_nothing_is_assigned);
    return tc;
}

TCase *test_pci_random_case(void)
{
    TCase *tc = tcase_create("random accesses");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_loop_test(tc, random_accesses_do_no_harm, 0, 2);
    tcase_set_timeout(tc, 60);
    return tc;
}
