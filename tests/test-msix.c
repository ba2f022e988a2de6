/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X as the guest drives it (capability, table and pending bits through configuration cycles and
 * the BAR), with a controller that offers routes and with one that does not.
 */
#include <check.h>
#include <unistd.h>

#include "tests/pci-fixture.h"
#include "tests/suite.h"

enum { BAR = 0xc0000000, DEVFN = PCI_DEVFN_OF(1, 0) };

static PciFixture f;
static TestPci *t;
static PciDevice *dev;
static unsigned cap; /* offset of the capability */

static unsigned find_cap(uint8_t id)
{
    unsigned at = cfg_read(&f, DEVFN, PCI_CAPABILITY_LIST, 1);

    while (at && cfg_read(&f, DEVFN, at, 1) != id) {
        at = cfg_read(&f, DEVFN, at + 1, 1);
    }
    return at;
}

static void control(uint16_t bits)
{
    cfg_write(&f, DEVFN, cap + PCI_MSIX_FLAGS, bits, 2);
}

static void setup(void)
{
    pci_fixture_init(&f);
    t = pci_fixture_add(&f, "1");
    dev = &t->parent_obj;
    cap = find_cap(PCI_CAP_ID_MSIX);
    cfg_write(&f, DEVFN, PCI_BASE_ADDRESS_0 + 4 * TEST_BAR_MSIX, BAR, 4);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
}

static void setup_routes(void)
{
    setup();
    f.msi.offer_routes = true;
}

static void teardown(void)
{
    pci_fixture_finish(&f);
}

static uint64_t entry(unsigned vector, unsigned reg)
{
    return BAR + vector * 16 + reg;
}

static void mask(unsigned vector, bool masked)
{
    mem_write(&f, entry(vector, PCI_MSIX_ENTRY_VECTOR_CTRL), masked, 4);
}

/* What a driver does to a vector: message while masked, then unmask. */
static void program(unsigned vector, uint64_t addr, uint32_t data)
{
    mem_write(&f, entry(vector, 0), (uint32_t)addr, 4);
    mem_write(&f, entry(vector, 4), addr >> 32, 4);
    mem_write(&f, entry(vector, 8), data, 4);
    mask(vector, false);
}

static bool pending(unsigned vector)
{
    uint64_t bits = mem_read(&f, BAR + TEST_MSIX_PBA + vector / 64 * 8, 8);

    return bits >> vector % 64 & 1;
}

static uint64_t fired(MsiRoute *route)
{
    uint64_t n = 0;

    return read(route->eventfd, &n, sizeof n) == sizeof n ? n : 0;
}

/* --- registers --- */

START_TEST(the_capability_tells_size_and_places)
{
    ck_assert_uint_ne(cap, 0);
    ck_assert_uint_eq(cfg_read(&f, DEVFN, cap + PCI_MSIX_FLAGS, 2), TEST_VECTORS - 1);
    ck_assert_uint_eq(cfg_read(&f, DEVFN, cap + PCI_MSIX_TABLE, 4), TEST_BAR_MSIX);
    ck_assert_uint_eq(cfg_read(&f, DEVFN, cap + PCI_MSIX_PBA, 4), TEST_MSIX_PBA | TEST_BAR_MSIX);
    ck_assert_uint_eq(msix_vectors(dev), TEST_VECTORS);
}
END_TEST

START_TEST(only_enable_and_function_mask_are_writable)
{
    cfg_write(&f, DEVFN, cap, 0xffffffff, 4);
    cfg_write(&f, DEVFN, cap + 4, 0xffffffff, 4);
    ck_assert_uint_eq(cfg_read(&f, DEVFN, cap + PCI_MSIX_FLAGS, 2), 0xc000 | (TEST_VECTORS - 1));
    ck_assert_uint_eq(cfg_read(&f, DEVFN, cap + PCI_MSIX_TABLE, 4), TEST_BAR_MSIX);
    ck_assert(msix_enabled(dev));
}
END_TEST

START_TEST(table_entries_begin_masked_and_keep_what_is_written)
{
    ck_assert_uint_eq(mem_read(&f, entry(3, 12), 4), 1);
    mem_write(&f, entry(3, 0), 0xfee01007, 4);
    mem_write(&f, entry(3, 4), 0x12, 4);
    mem_write(&f, entry(3, 8), 0xffffffff00004041, 8);
    ck_assert_uint_eq(mem_read(&f, entry(3, 0), 8), 0x12fee01004);
    ck_assert_uint_eq(mem_read(&f, entry(3, 8), 8), 0x100004041);
    ck_assert_uint_eq(mem_read(&f, entry(3, 1), 1), 0x10);
    ck_assert_uint_eq(mem_read(&f, entry(3, 2), 2), 0xfee0);
}
END_TEST

START_TEST(narrow_and_unaligned_table_writes_are_ignored)
{
    mem_write(&f, entry(0, 8), 0x11223344, 4);
    mem_write(&f, entry(0, 8), 0xff, 1);
    mem_write(&f, entry(0, 8), 0xffff, 2);
    msix_table_write(dev, 6, UINT64_MAX, 4);
    msix_table_write(dev, 4, UINT64_MAX, 8);
    ck_assert_uint_eq(mem_read(&f, entry(0, 8), 4), 0x11223344);
    ck_assert_uint_eq(mem_read(&f, entry(0, 0), 8), 0);
}
END_TEST

START_TEST(accesses_beyond_the_table_read_zero_and_do_nothing)
{
    mem_write(&f, entry(TEST_VECTORS, 0), 0xffffffff, 4);
    ck_assert_uint_eq(mem_read(&f, entry(TEST_VECTORS, 0), 8), 0);
    ck_assert_uint_eq(msix_table_read(dev, UINT32_MAX - 3, 4), 0);
    msix_table_write(dev, UINT32_MAX - 3, 1, 4);
    ck_assert_uint_eq(msix_pba_read(dev, UINT32_MAX, 8), 0);
    msix_notify(dev, TEST_VECTORS);
    msix_notify(dev, UINT16_MAX);
    msix_vector_use(dev, TEST_VECTORS);
    msix_vector_unuse(dev, UINT16_MAX);
}
END_TEST

/* --- delivery without routes --- */

START_TEST(an_unmasked_vector_sends_its_message)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 5);
    program(5, 0xfee00000, 0x31);
    msix_notify(dev, 5);
    ck_assert_uint_eq(f.msi.sent, 1);
    ck_assert_uint_eq(f.msi.last.addr, 0xfee00000);
    ck_assert_uint_eq(f.msi.last.data, 0x31);
    ck_assert_uint_eq(f.msi.last_requester, DEVFN);
    ck_assert(!pending(5));
}
END_TEST

START_TEST(a_masked_vector_waits_and_is_sent_once_when_unmasked)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 66);
    msix_notify(dev, 66);
    msix_notify(dev, 66);
    ck_assert_uint_eq(f.msi.sent, 0);
    ck_assert(pending(66));
    ck_assert(!pending(65));
    program(66, 0xfee00000, 0x42);
    ck_assert_uint_eq(f.msi.sent, 1);
    ck_assert_uint_eq(f.msi.last.data, 0x42);
    ck_assert(!pending(66));
}
END_TEST

START_TEST(the_function_mask_holds_all_vectors_back)
{
    control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    for (unsigned v = 0; v < 3; v++) {
        program(v, 0xfee00000, v);
        msix_notify(dev, (uint16_t)v);
    }
    mask(1, true);
    ck_assert_uint_eq(f.msi.sent, 0);
    ck_assert_uint_eq(mem_read(&f, BAR + TEST_MSIX_PBA, 4), 7);
    control(PCI_MSIX_FLAGS_ENABLE);
    ck_assert_uint_eq(f.msi.sent, 2);
    ck_assert_uint_eq(mem_read(&f, BAR + TEST_MSIX_PBA, 1), 2);
}
END_TEST

START_TEST(nothing_is_sent_or_pending_while_msix_is_off)
{
    program(0, 0xfee00000, 1);
    msix_notify(dev, 0);
    ck_assert(!pending(0));
    control(PCI_MSIX_FLAGS_ENABLE);
    ck_assert_uint_eq(f.msi.sent, 0);
}
END_TEST

START_TEST(switching_msix_off_forgets_what_is_pending)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_notify(dev, 0);
    ck_assert(pending(0));
    control(0);
    ck_assert(!pending(0));
    control(PCI_MSIX_FLAGS_ENABLE);
    program(0, 0xfee00000, 1);
    ck_assert_uint_eq(f.msi.sent, 0);
}
END_TEST

START_TEST(without_bus_mastering_nothing_is_delivered)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    program(0, 0xfee00000, 1);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    msix_notify(dev, 0);
    ck_assert_uint_eq(f.msi.sent, 0);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    ck_assert_uint_eq(f.msi.sent, 1);
}
END_TEST

START_TEST(a_vector_no_longer_used_forgets_what_is_pending)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    msix_notify(dev, 0);
    msix_vector_unuse(dev, 0);
    ck_assert(!pending(0));
    msix_vector_unuse(dev, 0);
}
END_TEST

START_TEST(without_a_controller_messages_are_dropped)
{
    f.p.msi = NULL;
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    program(0, 0xfee00000, 1);
    msix_notify(dev, 0);
    ck_assert(!pending(0));
}
END_TEST

START_TEST(reset_masks_all_and_switches_off)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    program(0, 0xfee00000, 1);
    mask(0, true);
    msix_notify(dev, 0);
    device_reset(DEVICE(dev));
    ck_assert(!msix_enabled(dev));
    ck_assert_uint_eq(cfg_read(&f, DEVFN, cap + PCI_MSIX_FLAGS, 2), TEST_VECTORS - 1);
    ck_assert_uint_eq(msix_table_read(dev, 12, 4), 1);
    ck_assert_uint_eq(msix_table_read(dev, 0, 8), 0);
    ck_assert_uint_eq(msix_pba_read(dev, 0, 8), 0);
    msix_vector_unuse(dev, 0); /* the device may do so after */
}
END_TEST

START_TEST(a_function_without_msix_takes_every_call)
{
    PciDevice *bridge = pci_bus_device(f.bus, 0);

    ck_assert(!msix_enabled(bridge));
    ck_assert_uint_eq(msix_vectors(bridge), 0);
    msix_notify(bridge, 0);
    msix_vector_use(bridge, 0);
    msix_vector_unuse(bridge, 0);
    msix_reset(bridge);
    msix_table_write(bridge, 0, 0, 4);
    ck_assert_uint_eq(msix_table_read(bridge, 0, 4), 0);
    ck_assert_uint_eq(msix_pba_read(bridge, 0, 8), 0);
    msix_finish(bridge);
}
END_TEST

/* --- routes --- */

START_TEST(a_used_unmasked_vector_has_a_route_that_notify_fires)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 2);
    program(2, 0xfee00000, 0x31);
    ck_assert_uint_eq(f.msi.routes_new, 1);
    ck_assert_uint_eq(f.msi.last.data, 0x31);
    ck_assert_uint_eq(f.msi.last_requester, DEVFN);
    msix_notify(dev, 2);
    ck_assert_uint_eq(fired(f.msi.last_route), 1);
    ck_assert_uint_eq(f.msi.sent, 0);
}
END_TEST

START_TEST(an_unused_vector_has_no_route_but_still_sends)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    program(2, 0xfee00000, 0x31);
    ck_assert_uint_eq(f.msi.routes_new, 0);
    msix_notify(dev, 2);
    ck_assert_uint_eq(f.msi.sent, 1);
    msix_vector_use(dev, 2);
    ck_assert_uint_eq(f.msi.routes_live, 1);
    msix_vector_use(dev, 2);
    msix_vector_unuse(dev, 2);
    ck_assert_uint_eq(f.msi.routes_live, 1);
    msix_vector_unuse(dev, 2);
    ck_assert_uint_eq(f.msi.routes_live, 0);
}
END_TEST

START_TEST(writing_a_masked_entry_touches_no_route)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    for (unsigned i = 0; i < 4; i++) {
        mem_write(&f, entry(0, 4 * i), 0xfee00001 + i * 2, 4); /* control stays masked: bit 0 */
    }
    ck_assert_uint_eq(f.msi.routes_new, 0);
    mask(0, false);
    mask(0, false);
    ck_assert_uint_eq(f.msi.routes_new, 1);
    ck_assert_uint_eq(f.msi.routes_updated, 0);
}
END_TEST

START_TEST(changing_a_live_message_updates_the_route_in_place)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    program(0, 0xfee00000, 1);
    mem_write(&f, entry(0, 8), 2, 4);
    ck_assert_uint_eq(f.msi.routes_updated, 1);
    ck_assert_uint_eq(f.msi.last.data, 2);
    mem_write(&f, entry(0, 8), 2, 4);
    mem_write(&f, entry(0, 0), UINT64_C(0x1fee02000), 8);
    ck_assert_uint_eq(f.msi.routes_updated, 2);
    ck_assert_uint_eq(f.msi.last.addr, UINT64_C(0x1fee02000));
    ck_assert_uint_eq(f.msi.routes_new, 1);
}
END_TEST

START_TEST(masking_by_any_means_frees_the_route)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    program(0, 0xfee00000, 1);
    mask(0, true);
    ck_assert_uint_eq(f.msi.routes_live, 0);
    mask(0, false);
    ck_assert_uint_eq(f.msi.routes_live, 1);
    control(PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    ck_assert_uint_eq(f.msi.routes_live, 0);
    control(PCI_MSIX_FLAGS_ENABLE);
    ck_assert_uint_eq(f.msi.routes_live, 1);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY);
    ck_assert_uint_eq(f.msi.routes_live, 0);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    ck_assert_uint_eq(f.msi.routes_live, 1);
    control(0);
    ck_assert_uint_eq(f.msi.routes_live, 0);
}
END_TEST

START_TEST(what_is_pending_goes_through_the_new_route)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    msix_notify(dev, 0);
    program(0, 0xfee00000, 1);
    ck_assert_uint_eq(fired(f.msi.last_route), 1);
    ck_assert_uint_eq(f.msi.sent, 0);
    ck_assert(!pending(0));
}
END_TEST

START_TEST(reset_and_unplug_free_all_routes)
{
    control(PCI_MSIX_FLAGS_ENABLE);
    for (uint16_t v = 0; v < 4; v++) {
        msix_vector_use(dev, v);
        program(v, 0xfee00000, v);
    }
    ck_assert_uint_eq(f.msi.routes_live, 4);
    device_reset(DEVICE(dev));
    ck_assert_uint_eq(f.msi.routes_live, 0);
    cfg_write(&f, DEVFN, PCI_BASE_ADDRESS_0 + 4 * TEST_BAR_MSIX, BAR, 4);
    set_command(&f, DEVFN, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 0);
    program(0, 0xfee00000, 1);
    ck_assert_uint_eq(f.msi.routes_live, 1);
    device_unrealize(DEVICE(dev));
    ck_assert_uint_eq(f.msi.routes_live, 0);
}
END_TEST

/* --- threads --- */

enum { NOTIFIES = 20000 };

static void *notify_many(void *opaque)
{
    for (unsigned i = 0; i < NOTIFIES; i++) {
        msix_notify(opaque, 1);
    }
    return NULL;
}

START_TEST(any_thread_may_notify_while_the_guest_masks_and_unmasks)
{
    pthread_t thread;

    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 1);
    program(1, 0xfee00000, 1);
    ck_assert_int_eq(pthread_create(&thread, NULL, notify_many, dev), 0);
    for (unsigned i = 0; i < 2000; i++) {
        mask(1, i & 1);
        mem_write(&f, entry(1, 8), i, 4);
        control(i % 7 ? PCI_MSIX_FLAGS_ENABLE : PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
        (void)pending(1);
    }
    pthread_join(thread, NULL);
    control(PCI_MSIX_FLAGS_ENABLE);
    mask(1, false);
    (void)fired(f.msi.last_route);
    msix_notify(dev, 1);
    ck_assert_uint_eq(fired(f.msi.last_route), 1);
    ck_assert_uint_eq(f.msi.sent, 0);
}
END_TEST

static TCase *sending_case(void)
{
    TCase *tc = tcase_create("sending");

    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, the_capability_tells_size_and_places);
    tcase_add_test(tc, only_enable_and_function_mask_are_writable);
    tcase_add_test(tc, table_entries_begin_masked_and_keep_what_is_written);
    tcase_add_test(tc, narrow_and_unaligned_table_writes_are_ignored);
    tcase_add_test(tc, accesses_beyond_the_table_read_zero_and_do_nothing);
    tcase_add_test(tc, an_unmasked_vector_sends_its_message);
    tcase_add_test(tc, a_masked_vector_waits_and_is_sent_once_when_unmasked);
    tcase_add_test(tc, the_function_mask_holds_all_vectors_back);
    tcase_add_test(tc, nothing_is_sent_or_pending_while_msix_is_off);
    tcase_add_test(tc, switching_msix_off_forgets_what_is_pending);
    tcase_add_test(tc, without_bus_mastering_nothing_is_delivered);
    tcase_add_test(tc, a_vector_no_longer_used_forgets_what_is_pending);
    tcase_add_test(tc, without_a_controller_messages_are_dropped);
    tcase_add_test(tc, reset_masks_all_and_switches_off);
    tcase_add_test(tc, a_function_without_msix_takes_every_call);
    return tc;
}

static struct {
    unsigned calls, vector, live;
    int fd;
} heard;

static void hear(PciDevice *from, uint16_t vector, int fd)
{
    ck_assert_ptr_eq(from, dev);
    heard.calls++;
    heard.vector = vector;
    heard.fd = fd;
    heard.live = f.msi.routes_live;
}

START_TEST(who_listens_hears_of_eventfds_that_come_and_before_they_go)
{
    msix_listen(dev, hear);
    control(PCI_MSIX_FLAGS_ENABLE);
    msix_vector_use(dev, 2);
    ck_assert_int_eq(msix_eventfd(dev, 2), -1);
    program(2, 0xfee00000, 0x31);
    ck_assert_uint_eq(heard.calls, 1);
    ck_assert_uint_eq(heard.vector, 2);
    ck_assert_int_eq(heard.fd, f.msi.last_route->eventfd);
    ck_assert_int_eq(msix_eventfd(dev, 2), heard.fd);
    mem_write(&f, entry(2, 8), 0x32, 4); /* the same one delivers another message */
    ck_assert_uint_eq(heard.calls, 1);
    mask(2, true);
    ck_assert_uint_eq(heard.calls, 2);
    ck_assert_int_eq(heard.fd, -1);
    ck_assert_uint_eq(heard.live, 1);
    ck_assert_uint_eq(f.msi.routes_live, 0);
    ck_assert_int_eq(msix_eventfd(dev, 2), -1);
    mask(2, false);
    msix_reset(dev);
    ck_assert_uint_eq(heard.calls, 4);
    ck_assert_int_eq(heard.fd, -1);
    ck_assert_int_eq(msix_eventfd(dev, TEST_VECTORS), -1);
}
END_TEST

static TCase *route_case(void)
{
    TCase *tc = tcase_create("routes");

    tcase_add_checked_fixture(tc, setup_routes, teardown);
    tcase_add_test(tc, a_used_unmasked_vector_has_a_route_that_notify_fires);
    tcase_add_test(tc, an_unused_vector_has_no_route_but_still_sends);
    tcase_add_test(tc, writing_a_masked_entry_touches_no_route);
    tcase_add_test(tc, changing_a_live_message_updates_the_route_in_place);
    tcase_add_test(tc, masking_by_any_means_frees_the_route);
    tcase_add_test(tc, what_is_pending_goes_through_the_new_route);
    tcase_add_test(tc, reset_and_unplug_free_all_routes);
    tcase_add_test(tc, who_listens_hears_of_eventfds_that_come_and_before_they_go);
    tcase_add_test(tc, any_thread_may_notify_while_the_guest_masks_and_unmasks);
    return tc;
}

int main(void)
{
    Suite *s = suite_create("msix");

    suite_add_tcase(s, sending_case());
    suite_add_tcase(s, route_case());
    return suite_run(s);
}
