/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Features of VIRTIO 1.4 §6 that change how queues are used: VIRTIO_F_RING_RESET,
 * VIRTIO_F_IN_ORDER, VIRTIO_F_NOTIFICATION_DATA, VIRTIO_F_NOTIF_CONFIG_DATA,
 * VIRTIO_F_ACCESS_PLATFORM and VIRTIO_F_ORDER_PLATFORM. Over PCI and MMIO version 2; names carry
 * the ids of the conformance checklist.
 */
#include <check.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

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

static void select_queue(FakeDriver *d, unsigned q)
{
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
}

static void enable_queue(FakeDriver *d, unsigned q, uint16_t num)
{
    FakeRing *r = &d->rings[q];

    fake_driver_init_ring(d, r, num);
    if (!(d->cell & (FAKE_MMIO | FAKE_INTX))) {
        fake_pci_map_vector(d, (int)q, (uint16_t)(q + 1));
    }
    d->t->queue_enable(d, q, num, r->desc, r->avail, r->used);
}

/* --- VIRTIO_F_RING_RESET --- */

START_TEST(vq_03_queue_comes_back_after_a_reset_of_its_own)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (unsigned n = 0; n < 3; n++) {
        ck_assert(echoes(d, 0));
        d->t->queue_reset(d, 0);
        ck_assert(!virtio_queue_enabled(d->vdev, 0));
        ck_assert_uint_eq(virtqueue_setup(virtio_get_queue(d->vdev, 0))->desc.v, 0);
        ck_assert(echoes(d, 1)); /* the other one is as it was */
        enable_queue(d, 0, 8);
    }
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(vq_03_pci_28_29_30_31_32_queue_reset_brings_defaults)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    ck_assert(echoes(d, 0));
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
    d->t->queue_reset(d, 0);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
    ck_assert(echoes(d, 1)); /* the other one is as it was */
    enable_queue(d, 0, 8);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_RESET, 2), 0);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(vq_01_02_queue_that_was_reset_is_silent)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    unsigned kicks;
    VqElem *e;

    fake_driver_add(d, 0, OUT("a", 1), IN(1));
    fake_driver_add(d, 0, OUT("b", 1), IN(1));
    e = virtqueue_pop(vq);
    ck_assert_ptr_nonnull(e);
    d->t->queue_reset(d, 0);
    kicks = fake_echo_kicks(d->vdev);
    ck_assert_ptr_null(vq_elem_queue(e));
    virtqueue_push(e);
    virtio_notify(d->vdev, vq);
    ck_assert_ptr_null(virtqueue_pop(vq));
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_echo_kicks(d->vdev), kicks);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    ck_assert(!fake_driver_interrupted(d, 0));
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(vq_04_queue_comes_back_with_other_settings)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (uint16_t num = 8; num > 1; num /= 2) {
        d->t->queue_reset(d, 1);
        enable_queue(d, 1, num);
        for (unsigned i = 0; i < 3u * num; i++) {
            ck_assert(echoes(d, 1));
        }
        ck_assert(echoes(d, 0));
    }
}
END_TEST

START_TEST(queue_reset_needs_the_feature)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "queue_reset=off");

    ck_assert(!(d->t->device_features(d) & BIT(VIRTIO_F_RING_RESET)));
    d->t->queue_reset(d, 0);
    ck_assert(virtio_queue_enabled(d->vdev, 0));
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(reset_of_strange_queues_is_harmless)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    d->t->queue_reset(d, 0); /* nothing is negotiated */
    d->t->queue_reset(d, 0xffff);
    fake_driver_up(d);
    d->t->queue_reset(d, 2);
    d->t->queue_reset(d, 0xffff);
    ck_assert(echoes(d, 0));
    if (!(_i & FAKE_MMIO)) { /* MMIO has a test of its own */
        select_queue(d, 0);
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_RESET, 0, 2);
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_RESET, 2, 2);
    }
    ck_assert(echoes(d, 0));
    d->t->queue_reset(d, 0);
    d->t->queue_reset(d, 0);
    fake_driver_reset(d);
    d->next_page = 0x100000;
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
}
END_TEST

/* --- VIRTIO_F_IN_ORDER --- */

START_TEST(basic_41_buffers_are_used_in_the_order_they_came)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on,in_order=on");
    static const unsigned order[] = {2, 0, 3, 1};
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    static const unsigned used[] = {0, 1, 1, 4};

    ck_assert(d->features & BIT(VIRTIO_F_IN_ORDER));
    for (unsigned round = 0; round < 5; round++) {
        uint16_t ids[4];
        VqElem *e[4];

        for (unsigned i = 0; i < 4; i++) {
            ids[i] = fake_driver_add(d, 0, IN(4));
            e[i] = virtqueue_pop(vq);
        }
        for (unsigned i = 0; i < 4; i++) {
            virtqueue_push(e[order[i]]);
            ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 4 * round + used[i]);
        }
        for (unsigned i = 0; i < 4; i++) {
            uint16_t got;

            ck_assert(fake_driver_get(d, 0, &got, NULL));
            ck_assert_uint_eq(got, ids[i]);
        }
    }
}
END_TEST

START_TEST(in_order_elements_that_wait_go_with_a_reset)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on,in_order=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);

    for (unsigned round = 0; round < 3; round++) {
        VqElem *e[3];

        for (unsigned i = 0; i < 3; i++) {
            fake_driver_add(d, 0, IN(4));
            e[i] = virtqueue_pop(vq);
        }
        virtqueue_push(e[1]);
        virtqueue_unpop(e[2]);
        if (round == 1) { /* the device keeps one over the reset */
            fake_driver_reset(d);
            virtqueue_push(e[0]);
        } else {
            virtqueue_detach(e[0]);
            fake_driver_reset(d);
        }
        d->next_page = 0x100000;
        fake_driver_up(d);
    }
}
END_TEST

/* --- kicks with data --- */

START_TEST(pci_43_44_45_46_47_kicks_with_data_have_room_and_are_served)
{
    static const char *const props[] = {"notification_data=on", "notif_config_data=on",
                                        "notification_data=on,notif_config_data=on",
                                        "notification_data=on,ioeventfd=off"};

    for (unsigned i = 0; i < G_N_ELEMENTS(props); i++) {
        g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, props[i]);
        unsigned cap = fake_pci_cap(d, VIRTIO_PCI_CAP_NOTIFY_CFG, 0);

        ck_assert_uint_eq(d->notify_multiplier % 4, 0);
        ck_assert_uint_eq(fake_pci_cfg(d, cap + VIRTIO_PCI_CAP_OFFSET, 4) % 4, 0);
        ck_assert_uint_ge(d->notify_len, 4);
        for (unsigned q = 0; q < 2; q++) {
            select_queue(d, q);
            ck_assert_uint_le(
                fake_common_read(d, VIRTIO_PCI_COMMON_Q_NOFF, 2) * d->notify_multiplier + 4,
                d->notify_len);
            for (unsigned n = 0; n < 20; n++) {
                ck_assert(echoes(d, q));
            }
        }
    }
}
END_TEST

START_TEST(kicks_with_data_are_served_by_every_transport)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", (unsigned)_i, "notification_data=on");

    ck_assert(d->features & BIT(VIRTIO_F_NOTIFICATION_DATA));
    for (unsigned n = 0; n < 40; n++) {
        ck_assert(echoes(d, n % 2));
    }
    ck_assert_uint_eq(fake_echo_kicks(d->vdev), 40);
}
END_TEST

/* --- the platform's --- */

START_TEST(basic_40_driver_without_access_platform_is_refused)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, "iommu_platform=on");
    uint64_t offer = d->t->device_features(d);

    ck_assert(offer & BIT(VIRTIO_F_ACCESS_PLATFORM));
    ck_assert(!fake_driver_negotiate(d, offer & ~BIT(VIRTIO_F_ACCESS_PLATFORM)));
    fake_driver_reset(d);
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(basic_42_44_order_platform_is_taken_or_left)
{
    for (unsigned take = 0; take < 2; take++) {
        g_autoptr(FakeDriver) d =
            fake_driver_probe("virtio-echo", (unsigned)_i, "order_platform=on,iommu_platform=on");
        uint64_t offer = d->t->device_features(d);

        ck_assert(offer & BIT(VIRTIO_F_ORDER_PLATFORM));
        ck_assert(offer & BIT(VIRTIO_F_ACCESS_PLATFORM));
        ck_assert(fake_driver_negotiate(d, take ? offer : offer & ~BIT(VIRTIO_F_ORDER_PLATFORM)));
        fake_driver_setup_queues(d);
        fake_driver_start(d);
        ck_assert(echoes(d, 1));
    }
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtio-features");
    TCase *tc = tcase_create("features");
    const TTest *const pci_tests[] = {
        vq_03_pci_28_29_30_31_32_queue_reset_brings_defaults,
        pci_43_44_45_46_47_kicks_with_data_have_room_and_are_served,
    };
    const TTest *const tests[] = {
        vq_03_queue_comes_back_after_a_reset_of_its_own,
        kicks_with_data_are_served_by_every_transport,
        vq_01_02_queue_that_was_reset_is_silent,
        vq_04_queue_comes_back_with_other_settings,
        queue_reset_needs_the_feature,
        reset_of_strange_queues_is_harmless,
        basic_41_buffers_are_used_in_the_order_they_came,
        in_order_elements_that_wait_go_with_a_reset,
        basic_40_driver_without_access_platform_is_refused,
        basic_42_44_order_platform_is_taken_or_left,
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(tests); i++) {
        tcase_add_loop_test(tc, tests[i], 0, FAKE_MODERN_CELLS);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(pci_tests); i++) {
        tcase_add_loop_test(tc, pci_tests[i], 0, FAKE_PCI_CELLS);
    }
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
