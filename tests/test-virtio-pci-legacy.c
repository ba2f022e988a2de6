/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-pci with the legacy interface (VIRTIO 1.4 §4.1, legacy sections): identity, registers in
 * I/O BAR 0, queues by page number, features, and which of its two interfaces a transitional
 * function serves. Names carry the ids of the conformance checklist.
 */
#include <check.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

#define BIT(n) (UINT64_C(1) << (n))

static bool echoes(FakeDriver *d, unsigned q)
{
    uint32_t len = 0;

    fake_driver_add(d, q, OUT("abc", 3), IN(3));
    fake_driver_kick(d, q);
    return fake_driver_get(d, q, NULL, &len) && len == 3 && fake_driver_interrupted(d, q);
}

START_TEST(pci_02_04_09_10_11_65_74_identity)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-balloon", FAKE_PCI_LEGACY, NULL);

    ck_assert_uint_eq(fake_pci_cfg(d, PCI_DEVICE_ID, 2), 0x1002);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_REVISION_ID, 1), 0);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_SUBSYSTEM_ID, 2), VIRTIO_ID_BALLOON);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_BASE_ADDRESS_0, 4) & 3, PCI_BASE_ADDRESS_SPACE_IO);
    ck_assert_uint_ne(fake_pci_cap(d, VIRTIO_PCI_CAP_COMMON_CFG, 0), 0);
}
END_TEST

START_TEST(names_and_properties_choose_the_interfaces)
{
    static const struct {
        const char *type, *props;
        uint16_t id;
        bool io, modern;
    } rows[] = {
        {"virtio-balloon-pci", "", 0x1045, false, true},
        {"virtio-balloon-pci", "disable-legacy=on", 0x1045, false, true},
        {"virtio-balloon-pci", "disable-legacy=off", 0x1002, true, true},
        {"virtio-balloon-pci", "disable-modern=on", 0x1002, true, false},
        {"virtio-balloon-pci", "disable-modern=on,disable-legacy=off", 0x1002, true, false},
        {"virtio-balloon-pci-transitional", "", 0x1002, true, true},
        {"virtio-balloon-pci-non-transitional", "", 0x1045, false, true},
    };
    g_autoptr(GError) err = NULL;
    FakeMachine *m = fake_machine_new(0);

    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        Device *dev = fake_machine_add(m, rows[i].type, "dev", rows[i].props, &err);
        PciDevice *pci = PCI_DEVICE(dev);

        ck_assert_uint_eq(le_load(pci->config + PCI_DEVICE_ID, 2), rows[i].id);
        ck_assert_int_eq(pci->bars[VIRTIO_PCI_LEGACY_BAR].region != NULL, rows[i].io);
        ck_assert_int_eq(pci->bars[VIRTIO_PCI_BAR].region != NULL, rows[i].modern);
        device_destroy(dev);
    }
    ck_assert_ptr_null(fake_machine_add(m, "virtio-balloon-pci", "x",
                                        "disable-modern=on,disable-legacy=on", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "disable-modern"));
    fake_machine_free(m);
}
END_TEST

START_TEST(pci_69_registers_are_where_they_belong)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    ck_assert_uint_eq(fake_legacy_read(d, 0, 4), d->t->device_features(d));
    fake_legacy_write(d, 4, UINT32_MAX, 4);
    ck_assert_uint_eq(fake_legacy_read(d, 4, 4), fake_legacy_read(d, 0, 4));
    for (unsigned q = 0; q < 4; q++) {
        fake_legacy_write(d, 14, q, 2);
        ck_assert_uint_eq(fake_legacy_read(d, 14, 2), q);
        ck_assert_uint_eq(fake_legacy_read(d, 12, 2), q < 2 ? 8 : 0);
        ck_assert_uint_eq(fake_legacy_read(d, 8, 4), 0);
    }
    fake_legacy_write(d, 18, 3, 1);
    ck_assert_uint_eq(fake_legacy_read(d, 18, 1), 3);
    ck_assert_uint_eq(fake_legacy_read(d, 19, 1), 0);
    fake_legacy_write(d, 18, 0, 1);
    ck_assert_uint_eq(fake_legacy_read(d, 18, 1), 0);
    ck_assert_uint_eq(fake_legacy_read(d, 4, 4), 0);
}
END_TEST

START_TEST(pci_66_67_70_71_basic_18_22_config_follows_the_registers)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", FAKE_PCI_LEGACY, NULL);

    fake_echo_change_config(d->vdev, UINT64_C(0x8877665544332211));
    ck_assert_uint_eq(fake_legacy_read(d, 20 + 8, 4), 0x44332211);
    ck_assert_uint_eq(fake_legacy_read(d, 20 + 9, 1), 0x22);
    ck_assert_uint_eq(fake_legacy_read(d, 20 + 10, 2), 0x4433);
    fake_legacy_write(d, 20, 0x5a, 1); /* before anything is negotiated */
    ck_assert_uint_eq(fake_legacy_read(d, 20, 1), 0x5a);
    ck_assert_uint_gt(fake_pci_enable_msix(d), 0);
    ck_assert_uint_eq(fake_legacy_read(d, 20, 2), VIRTIO_MSI_NO_VECTOR);
    ck_assert_uint_eq(fake_legacy_read(d, 22, 2), VIRTIO_MSI_NO_VECTOR);
    ck_assert_uint_eq(fake_legacy_read(d, 24, 1), 0x5a);
    fake_legacy_write(d, 20, 2, 2);
    ck_assert_uint_eq(fake_legacy_read(d, 20, 2), 2);
    fake_legacy_write(d, 22, 999, 2);
    ck_assert_uint_eq(fake_legacy_read(d, 22, 2), VIRTIO_MSI_NO_VECTOR);
}
END_TEST

START_TEST(pci_84_85_split_01_02_queue_lies_where_its_page_number_says)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (unsigned n = 0; n < 20; n++) {
        ck_assert(echoes(d, n % 2));
    }
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_SEL, 0, 2);
    ck_assert_uint_eq(fake_legacy_read(d, VIRTIO_PCI_QUEUE_PFN, 4), d->rings[0].desc.v >> 12);
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_NUM, 4, 2); /* not the driver's to change */
    ck_assert_uint_eq(fake_legacy_read(d, VIRTIO_PCI_QUEUE_NUM, 2), 8);
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_PFN, 0x1234, 4); /* nor the place of a queue in use */
    ck_assert_uint_eq(fake_legacy_read(d, VIRTIO_PCI_QUEUE_PFN, 4), d->rings[0].desc.v >> 12);
    ck_assert(echoes(d, 0));
    fake_legacy_write(d, VIRTIO_PCI_QUEUE_PFN, 0, 4);
    ck_assert_uint_eq(fake_legacy_read(d, VIRTIO_PCI_QUEUE_PFN, 4), 0);
    ck_assert(echoes(d, 1));
}
END_TEST

START_TEST(basic_10_23_queues_work_before_driver_ok)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    fake_driver_setup_queues(d);
    ck_assert(echoes(d, 0));
    fake_driver_start(d);
    ck_assert(echoes(d, 0));
    ck_assert(!(fake_driver_status(d) & VIRTIO_CONFIG_S_FEATURES_OK));
}
END_TEST

START_TEST(pci_68_basic_47_49_50_features_are_32_bits_and_legacy)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe("virtio-echo", (unsigned)_i, "packed=on,in_order=on");
    uint64_t offer = d->t->device_features(d);

    ck_assert(offer & BIT(VIRTIO_F_ANY_LAYOUT));
    ck_assert(offer & BIT(VIRTIO_F_NOTIFY_ON_EMPTY));
    ck_assert(!(offer & BIT(30)));
    fake_driver_up(d);
    ck_assert_uint_eq(d->vdev->guest_features >> 32, 0);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(basic_48_driver_is_told_when_the_queue_runs_empty)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", (unsigned)_i & ~FAKE_EVENT_IDX, "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    VqElem *e;

    fake_ring_set_avail_flags(&d->rings[0], VRING_AVAIL_F_NO_INTERRUPT);
    fake_driver_add(d, 0, OUT("a", 1), IN(1));
    fake_driver_add(d, 0, OUT("b", 1), IN(1));
    e = virtqueue_pop(vq);
    virtqueue_push(e);
    virtio_notify(d->vdev, vq);
    ck_assert(!fake_driver_interrupted(d, 0));
    virtqueue_push(virtqueue_pop(vq));
    virtio_notify(d->vdev, vq);
    ck_assert(fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(modern_features_are_not_offered_to_modern_drivers_by_legacy_bits)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, "disable-legacy=off");

    ck_assert(!(d->t->device_features(d) & (BIT(VIRTIO_F_ANY_LAYOUT) | BIT(24))));
    fake_driver_up(d); /* a transitional function serves modern drivers as well */
    ck_assert(echoes(d, 0));
    ck_assert(!d->vdev->legacy);
}
END_TEST

START_TEST(driver_may_change_interfaces_with_a_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (unsigned i = 0; i < 4; i++) {
        ck_assert(echoes(d, 0));
        fake_driver_reset(d);
        ck_assert_uint_eq(fake_driver_status(d), 0);
        d->cell ^= FAKE_PCI_LEGACY;
        d->t = d->cell & FAKE_PCI_LEGACY ? &fake_pci_legacy_transport : &fake_pci_transport;
        d->t->probe(d);
        fake_pci_cfg_set(d, PCI_COMMAND, PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER,
                         2);
        d->next_page = 0x100000;
        fake_driver_up(d);
        ck_assert_int_eq(d->vdev->legacy, (d->cell & FAKE_PCI_LEGACY) != 0);
    }
}
END_TEST

START_TEST(new_interface_takes_the_device_over_with_a_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (unsigned i = 0; i < 4; i++) {
        ck_assert(echoes(d, 0));
        d->cell ^= FAKE_PCI_LEGACY; /* the old driver is gone without a word */
        d->t = d->cell & FAKE_PCI_LEGACY ? &fake_pci_legacy_transport : &fake_pci_transport;
        d->t->probe(d);
        fake_driver_reset(d);
        ck_assert_uint_eq(fake_driver_status(d), 0);
        d->next_page = 0x100000;
        fake_driver_up(d);
        ck_assert_int_eq(d->vdev->legacy, (d->cell & FAKE_PCI_LEGACY) != 0);
    }
}
END_TEST

START_TEST(platform_features_do_not_go_with_a_legacy_interface)
{
    static const char *const props[] = {"iommu_platform=on,disable-legacy=off",
                                        "iommu_platform=on,disable-modern=on"};
    FakeMachine *m = fake_machine_new(0);

    for (unsigned i = 0; i < G_N_ELEMENTS(props); i++) {
        g_autoptr(GError) err = NULL;

        ck_assert_ptr_null(fake_machine_add(m, "virtio-balloon-pci", "x", props[i], &err));
        ck_assert_ptr_nonnull(strstr(err->message, "iommu_platform"));
    }
    ck_assert_ptr_nonnull(
        fake_machine_add(m, "virtio-balloon-pci", "y", "iommu_platform=on", NULL));
    fake_machine_free(m);
}
END_TEST

START_TEST(random_port_writes_are_harmless)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);
    g_autoptr(GRand) r = g_rand_new_with_seed((guint32)_i + 1);
    static const uint32_t values[] = {0, 1, 2, 3, 4, 7, 0xf, 0x100, 0x200, 0xffff, UINT32_MAX};

    for (unsigned n = 0; n < 10000; n++) {
        unsigned off = (unsigned)g_rand_int_range(r, 0, 44), size = 1u << g_rand_int_range(r, 0, 3);

        if (g_rand_boolean(r)) {
            fake_legacy_read(d, off, size);
        } else {
            fake_legacy_write(d, off, values[g_rand_int_range(r, 0, G_N_ELEMENTS(values))], size);
        }
        fake_machine_run(d->m);
    }
    fake_driver_reset(d);
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtio-pci-legacy");
    TCase *tc = tcase_create("legacy");
    const TTest *const tests[] = {
        pci_69_registers_are_where_they_belong,
        pci_84_85_split_01_02_queue_lies_where_its_page_number_says,
        basic_10_23_queues_work_before_driver_ok,
        pci_68_basic_47_49_50_features_are_32_bits_and_legacy,
        basic_48_driver_is_told_when_the_queue_runs_empty,
        driver_may_change_interfaces_with_a_reset,
        new_interface_takes_the_device_over_with_a_reset,
        random_port_writes_are_harmless,
    };

    tcase_add_test(tc, pci_02_04_09_10_11_65_74_identity);
    tcase_add_test(tc, names_and_properties_choose_the_interfaces);
    tcase_add_test(tc, platform_features_do_not_go_with_a_legacy_interface);
    tcase_add_test(tc, pci_66_67_70_71_basic_18_22_config_follows_the_registers);
    tcase_add_test(tc, modern_features_are_not_offered_to_modern_drivers_by_legacy_bits);
    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        tcase_add_loop_test(tc, tests[i], FAKE_PCI_LEGACY, FAKE_CELLS);
    }
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
