/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio core through a transport: status, features, configuration space, notifications and
 * reset (VIRTIO 1.4 §2.1 to §2.5, §3.1). Names carry the ids of the conformance checklist.
 */
#include <check.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

#define BIT(n) (UINT64_C(1) << (n))

enum {
    ACK = VIRTIO_CONFIG_S_ACKNOWLEDGE,
    DRIVER = VIRTIO_CONFIG_S_DRIVER,
    FEATURES_OK = VIRTIO_CONFIG_S_FEATURES_OK,
    DRIVER_OK = VIRTIO_CONFIG_S_DRIVER_OK,
    NEEDS_RESET = VIRTIO_CONFIG_S_NEEDS_RESET,
};

static bool echoes(FakeDriver *d, unsigned q)
{
    uint32_t len = 0;

    fake_driver_add(d, q, OUT("abc", 3), IN(3));
    fake_driver_kick(d, q);
    return fake_driver_get(d, q, NULL, &len) && len == 3;
}

/* --- before DRIVER_OK --- */

START_TEST(basic_01_02_nothing_is_taken_or_told_before_driver_ok)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    fake_driver_setup_queues(d);
    fake_driver_add(d, 0, OUT("abc", 3), IN(3));
    fake_driver_kick(d, 0);
    ck_assert_ptr_null(virtqueue_pop(vq));
    ck_assert(virtqueue_empty(vq));
    virtio_notify(d->vdev, vq);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    ck_assert(!fake_driver_interrupted(d, 0));
    fake_driver_start(d); /* what is there already is served without another kick */
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 1);
    ck_assert(fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(basic_04_no_config_interrupt_before_driver_ok)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    fake_driver_setup_queues(d);
    fake_echo_change_config(d->vdev, 1);
    virtio_error(d->vdev, "test");
    ck_assert(!fake_driver_config_interrupted(d));
    ck_assert(fake_driver_status(d) & NEEDS_RESET);
}
END_TEST

START_TEST(status_bits_are_added_in_order)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    ck_assert_uint_eq(fake_driver_status(d), 0);
    d->t->set_status(d, NEEDS_RESET | ACK);
    ck_assert_uint_eq(fake_driver_status(d), ACK);
    d->t->set_status(d, ACK | DRIVER | DRIVER_OK);
    ck_assert_uint_eq(fake_driver_status(d), ACK | DRIVER); /* no features yet */
    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    d->t->set_status(d, ACK); /* clearing takes a reset */
    ck_assert_uint_eq(fake_driver_status(d), ACK | DRIVER | FEATURES_OK);
    fake_driver_start(d);
    d->t->set_status(d, fake_driver_status(d) | VIRTIO_CONFIG_S_FAILED);
    ck_assert_uint_eq(fake_driver_status(d),
                      ACK | DRIVER | FEATURES_OK | DRIVER_OK | VIRTIO_CONFIG_S_FAILED);
}
END_TEST

/* --- features --- */

START_TEST(basic_06_09_every_subset_is_accepted_again_and_again)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe("virtio-echo", FAKE_EVENT_IDX | FAKE_INDIRECT, NULL);
    uint64_t offer = d->t->device_features(d), extra = offer & ~BIT(VIRTIO_F_VERSION_1);

    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t sub = extra;; sub = (sub - 1) & extra) {
            ck_assert(fake_driver_negotiate(d, sub | BIT(VIRTIO_F_VERSION_1)));
            fake_driver_setup_queues(d);
            fake_driver_start(d);
            ck_assert(echoes(d, 0));
            d->next_page = 0x100000;
            if (round == 0) {
                fake_driver_reset(d);
            } else { /* a system reset forgets the bus master bit, too */
                fake_machine_reset(d->m);
                d->t->probe(d);
            }
            if (sub == 0) {
                break;
            }
        }
    }
}
END_TEST

START_TEST(basic_07_feature_not_offered_keeps_features_ok_clear)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);
    uint64_t offer = d->t->device_features(d);

    for (unsigned bit = 0; bit < 64; bit++) {
        if (!(offer & BIT(bit))) {
            ck_assert(!fake_driver_negotiate(d, offer | BIT(bit)));
            fake_driver_start(d);
            ck_assert(!(fake_driver_status(d) & DRIVER_OK));
            fake_driver_reset(d);
        }
    }
    fake_echo_refuse(d->vdev, true);
    ck_assert(!fake_driver_negotiate(d, offer));
    fake_echo_refuse(d->vdev, false);
    ck_assert(fake_driver_negotiate(d, offer));
}
END_TEST

START_TEST(basic_38_driver_without_version_1_is_refused)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    ck_assert(!fake_driver_negotiate(d, d->t->device_features(d) & ~BIT(VIRTIO_F_VERSION_1)));
}
END_TEST

/* Offered is exactly what is served; nothing offered depends on anything that is not. */
START_TEST(basic_05_08_37_39_44_45_46_offer_is_what_is_served)
{
    static const char *const props[] = {NULL, "event_idx=off", "indirect_desc=off",
                                        "event_idx=off,indirect_desc=off"};
    const uint64_t ring = BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC);
    const uint64_t want[] = {ring, BIT(VIRTIO_RING_F_INDIRECT_DESC), BIT(VIRTIO_RING_F_EVENT_IDX),
                             0};

    for (unsigned i = 0; i < 4; i++) {
        g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, props[i]);

        ck_assert_uint_eq(d->t->device_features(d),
                          want[i] | BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_RING_RESET));
    }
}
END_TEST

START_TEST(features_are_fixed_by_features_ok)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    d->t->set_driver_features(d, 0);
    ck_assert_uint_eq(d->vdev->guest_features, d->features);
    ck_assert(echoes(d, 0));
}
END_TEST

/* --- reset --- */

START_TEST(basic_13_14_15_reset_is_silent_and_complete)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", (unsigned)_i, "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    FakeRing old = d->rings[0];
    VqElem *e;

    fake_driver_add(d, 0, OUT("a", 1), IN(1));
    fake_driver_add(d, 0, OUT("b", 1), IN(1));
    e = virtqueue_pop(vq);
    fake_driver_reset(d);
    ck_assert_uint_eq(fake_driver_status(d), 0);
    virtqueue_push(e);
    virtio_notify(d->vdev, vq);
    fake_echo_change_config(d->vdev, 5);
    fake_driver_kick(d, 0);
    ck_assert_ptr_null(virtqueue_pop(vq));
    ck_assert_uint_eq(fake_ring_used_idx(&old), 0);
    ck_assert(!fake_driver_interrupted(d, 0));
    ck_assert(!fake_driver_config_interrupted(d));
    ck_assert_uint_eq(d->vdev->guest_features, 0);
}
END_TEST

START_TEST(device_works_after_a_hundred_resets)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (unsigned i = 0; i < 100; i++) {
        ck_assert(echoes(d, i % 2));
        ck_assert(fake_driver_interrupted(d, i % 2));
        fake_driver_reset(d);
        d->next_page = 0x100000;
        fake_driver_up(d);
    }
}
END_TEST

START_TEST(kick_in_flight_at_reset_is_forgotten)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);
    unsigned before = fake_echo_kicks(d->vdev);

    fake_driver_add(d, 0, OUT("a", 1), IN(1));
    d->t->notify(d, 0); /* the eventfd is signalled, the main loop has not seen it */
    fake_driver_reset(d);
    fake_machine_run(d->m);
    ck_assert_uint_eq(fake_echo_kicks(d->vdev), before);
}
END_TEST

/* --- configuration space --- */

START_TEST(basic_16_17_config_can_be_read_before_features_ok)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, NULL);

    fake_echo_change_config(d->vdev, UINT64_C(0x1122334455667788));
    ck_assert_uint_eq(d->t->config_read(d, 8, 4), 0x55667788);
    ck_assert_uint_eq(d->t->config_read(d, 12, 4), 0x11223344);
    ck_assert_uint_eq(d->t->config_read(d, 9, 1), 0x77);
    ck_assert_uint_eq(d->t->config_read(d, 14, 2), 0x1122);
}
END_TEST

START_TEST(config_beyond_its_end_reads_zero_and_takes_nothing)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    fake_echo_change_config(d->vdev, UINT64_MAX);
    d->t->config_write(d, 0, 0x0102030405060708, 8);
    d->t->config_write(d, 8, 0, 8); /* read-only */
    d->t->config_write(d, 6, 0xaaaaaaaa, 4);
    ck_assert_uint_eq(d->t->config_read(d, 4, 4), 0xaaaa0304);
    ck_assert_uint_eq(d->t->config_read(d, 8, 8), UINT64_MAX);
    ck_assert_uint_eq(d->t->config_read(d, 14, 4), 0xffff);
    ck_assert_uint_eq(d->t->config_read(d, 16, 4), 0);
    if (!(_i & FAKE_PCI_LEGACY)) { /* whose ports end before that */
        ck_assert_uint_eq(d->t->config_read(d, 0xf8, 8), 0);
    }
    d->t->config_write(d, 16, 1, 4);
    d->t->config_write(d, 0xf8, 1, 8);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(basic_24_pci_24_mmio_08_config_change_is_announced_with_a_new_generation)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);
    uint32_t before;

    d->t->config_read(d, 8, 4);
    before = d->t->generation(d);
    ck_assert_uint_eq(d->t->generation(d), before);
    for (unsigned i = 0; i < 256; i++) { /* however many there are */
        fake_echo_change_config(d->vdev, i + 1);
    }
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(d->t->config_read(d, 8, 4), 256);
    ck_assert_uint_ne(d->t->generation(d), before);
    ck_assert(!fake_driver_config_interrupted(d));
}
END_TEST

/* --- errors and DMA --- */

START_TEST(basic_03_04_error_needs_a_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    virtio_error(d->vdev, "%s", "first");
    ck_assert(fake_driver_broken(d));
    ck_assert(fake_driver_config_interrupted(d));
    virtio_error(d->vdev, "%s", "second");
    ck_assert(!fake_driver_config_interrupted(d));
    ck_assert(!echoes(d, 1));
    fake_driver_reset(d);
    fake_driver_up(d);
    ck_assert(echoes(d, 1));
}
END_TEST

START_TEST(rings_rest_while_dma_is_not_allowed)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    fake_driver_set_dma(d, false);
    fake_driver_add(d, 0, OUT("a", 1), IN(1));
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    ck_assert(!fake_driver_broken(d));
    fake_driver_set_dma(d, true);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 1);
    ck_assert(fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(queue_that_was_not_enabled_is_not_served)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", (unsigned)_i, "queues=4");
    uint16_t num = _i & FAKE_PCI_LEGACY ? 8 : 4; /* legacy PCI leaves no choice */
    FakeRing r;

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    fake_driver_start(d);
    for (unsigned q = 0; q < 4; q++) {
        fake_driver_kick(d, q);
    }
    ck_assert_uint_eq(fake_echo_kicks(d->vdev), 0);
    fake_driver_init_ring(d, &r, num);
    d->t->setup_interrupts(d);
    d->t->queue_enable(d, 3, num, r.desc, r.avail, r.used); /* late, and smaller than it could be */
    d->rings[3] = r;
    ck_assert(echoes(d, 3));
}
END_TEST

START_TEST(names_of_devices)
{
    ck_assert_str_eq(virtio_id_name(VIRTIO_ID_BALLOON), "balloon");
    ck_assert_str_eq(virtio_id_name(0xffff), "device");
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtio");
    TCase *tc = tcase_create("core");

    tcase_add_loop_test(tc, basic_01_02_nothing_is_taken_or_told_before_driver_ok, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, basic_04_no_config_interrupt_before_driver_ok, 0, FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, status_bits_are_added_in_order, 0, FAKE_MODERN_CELLS);
    tcase_add_test(tc, basic_06_09_every_subset_is_accepted_again_and_again);
    tcase_add_loop_test(tc, basic_07_feature_not_offered_keeps_features_ok_clear, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, basic_38_driver_without_version_1_is_refused, 0, FAKE_MODERN_CELLS);
    tcase_add_test(tc, basic_05_08_37_39_44_45_46_offer_is_what_is_served);
    tcase_add_loop_test(tc, features_are_fixed_by_features_ok, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, basic_13_14_15_reset_is_silent_and_complete, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, device_works_after_a_hundred_resets, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, kick_in_flight_at_reset_is_forgotten, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, basic_16_17_config_can_be_read_before_features_ok, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, config_beyond_its_end_reads_zero_and_takes_nothing, 0, FAKE_CELLS);
    tcase_add_loop_test(tc,
                        basic_24_pci_24_mmio_08_config_change_is_announced_with_a_new_generation, 0,
                        FAKE_MODERN_CELLS);
    tcase_add_loop_test(tc, basic_03_04_error_needs_a_reset, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, rings_rest_while_dma_is_not_allowed, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, rings_rest_while_dma_is_not_allowed, FAKE_PCI_LEGACY, FAKE_CELLS);
    tcase_add_loop_test(tc, queue_that_was_not_enabled_is_not_served, 0, FAKE_CELLS);
    tcase_add_test(tc, names_of_devices);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
