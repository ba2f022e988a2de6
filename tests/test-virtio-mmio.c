/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio over MMIO (VIRTIO 1.4 §4.2): registers of both versions, interrupts, kicks, windows, and
 * guests that write anything anywhere. What devices and rings do over MMIO is in the suites that
 * run over all cells. Names carry the ids of the conformance checklist.
 */
#include <check.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "hw/virtio/virtio-mmio.h"
#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

#define BIT(n) (UINT64_C(1) << (n))

enum {
    V2 = FAKE_MMIO | FAKE_EVENT_IDX | FAKE_INDIRECT,
    V1 = V2 | FAKE_MMIO_LEGACY,
    DRIVER_OK = VIRTIO_CONFIG_S_DRIVER_OK,
    PAGE = 4096,
};

static unsigned version(int i) /* of a loop over 0 and 1 */
{
    return i ? V1 : V2;
}

static bool echoes(FakeDriver *d, unsigned q)
{
    uint32_t len = 0;

    fake_driver_add(d, q, OUT("abc", 3), IN(3));
    fake_driver_kick(d, q);
    return fake_driver_get(d, q, NULL, &len) && len == 3;
}

/* --- what a window says --- */

START_TEST(mmio_02_03_15_window_tells_magic_version_and_device)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", version(_i), NULL);

    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_VERSION), _i ? 1 : 2);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_DEVICE_ID), FAKE_ECHO_ID);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_VENDOR_ID), VIRTIO_MMIO_VENDOR);
}
END_TEST

START_TEST(empty_window_has_device_id_0_and_takes_nothing)
{
    FakeMachine *m = fake_machine_new(0);
    Device *dev = fake_machine_make(m, "virtio-mmio", "w", "base=0xd0000000,force-legacy=off");

    ck_assert(device_realize(dev, m->main_bus, NULL));
    ck_assert_ptr_null(virtio_mmio_device(dev));
    for (unsigned off = 0; off < VIRTIO_MMIO_SIZE; off += 4) {
        fake_write(m, FAKE_MMIO_BASE + off, UINT32_MAX, 4);
        fake_write(m, FAKE_MMIO_BASE + off, 0, 4);
    }
    for (unsigned off = 0; off < VIRTIO_MMIO_SIZE; off += 4) {
        uint64_t v = fake_read(m, FAKE_MMIO_BASE + off, 4);

        ck_assert_uint_eq(v, off == VIRTIO_MMIO_MAGIC_VALUE ? VIRTIO_MMIO_MAGIC
                             : off == VIRTIO_MMIO_VERSION   ? 2
                             : off == VIRTIO_MMIO_VENDOR_ID ? VIRTIO_MMIO_VENDOR
                                                            : 0);
    }
    ck_assert_uint_eq(fake_read(m, FAKE_MMIO_BASE + VIRTIO_MMIO_CONFIG, 8), 0);
    fake_machine_reset(m);
    device_destroy(dev);
    fake_machine_free(m);
}
END_TEST

START_TEST(mmio_01_unused_shared_memory_ids_read_all_ones)
{
    static const uint32_t ids[] = {0, 1, 255, UINT32_MAX};
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", V2, NULL);

    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_SHM_SEL, ids[i]);
        for (unsigned off = VIRTIO_MMIO_SHM_LEN_LOW; off <= VIRTIO_MMIO_SHM_BASE_HIGH; off += 4) {
            ck_assert_uint_eq(fake_mmio_reg(d, off), UINT32_MAX);
        }
    }
}
END_TEST

START_TEST(mmio_24_admin_virtqueues_are_not_offered)
{
    FakeMachine *m = fake_machine_new(0);
    Device *window = fake_machine_make(m, "virtio-mmio", "w", "base=0xd0000000,force-legacy=off");
    Device *dev;

    type_register(&fake_echo_type);
    dev = fake_machine_make(m, "virtio-echo-device", "e", NULL);
    VIRTIO_DEVICE(dev)->host_features |= BIT(41);
    ck_assert(device_realize(window, m->main_bus, NULL));
    ck_assert(device_realize(dev, bus_find(m->main_bus, &virtio_bus_type), NULL));
    fake_write(m, FAKE_MMIO_BASE + VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1, 4);
    ck_assert_uint_eq(
        fake_read(m, FAKE_MMIO_BASE + VIRTIO_MMIO_DEVICE_FEATURES, 4) & (1 | BIT(41 - 32)), 1);
    device_destroy(window);
    fake_machine_free(m);
}
END_TEST

START_TEST(features_beyond_the_second_word_are_none)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", version(_i), NULL);
    uint64_t offer = d->t->device_features(d);

    ck_assert(offer & BIT(VIRTIO_RING_F_EVENT_IDX));
    ck_assert_uint_eq(offer >> VIRTIO_F_VERSION_1 & 1, !_i);
    ck_assert(!_i || offer <= UINT32_MAX); /* legacy features have 32 bits */
    d->t->set_driver_features(d, offer);
    for (uint32_t sel = 2; sel != 0; sel *= 2) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_DEVICE_FEATURES_SEL, sel);
        ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_DEVICE_FEATURES), 0);
        fake_mmio_reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES_SEL, sel);
        fake_mmio_reg_set(d, VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
    }
    ck_assert_uint_eq(d->vdev->guest_features, offer);
}
END_TEST

/* --- widths and directions --- */

START_TEST(registers_take_aligned_32_bit_accesses_only)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));
    uint8_t status = fake_driver_status(d);

    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned off = 0; off < VIRTIO_MMIO_CONFIG - 8; off++) {
            if ((size == 4 && off % 4 == 0) || (size == 8 && off % 8 != 0)) {
                continue; /* the latter would be cut into pieces, some of them right */
            }
            ck_assert_uint_eq(fake_read(d->m, FAKE_MMIO_BASE + off, size), 0);
            fake_write(d->m, FAKE_MMIO_BASE + off, 0, size);
            fake_write(d->m, FAKE_MMIO_BASE + off, UINT64_MAX, size);
        }
    }
    ck_assert_uint_eq(fake_driver_status(d), status);
    ck_assert(echoes(d, 0) && echoes(d, 1));
}
END_TEST

static bool is_readable(unsigned off, bool legacy)
{
    static const uint8_t both[] = {
        VIRTIO_MMIO_MAGIC_VALUE,      VIRTIO_MMIO_VERSION,         VIRTIO_MMIO_DEVICE_ID,
        VIRTIO_MMIO_VENDOR_ID,        VIRTIO_MMIO_DEVICE_FEATURES, VIRTIO_MMIO_QUEUE_NUM_MAX,
        VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_STATUS,
    };

    for (unsigned i = 0; i < sizeof both; i++) {
        if (off == both[i]) {
            return true;
        }
    }
    if (legacy) {
        return off == VIRTIO_MMIO_QUEUE_PFN;
    }
    return off == VIRTIO_MMIO_QUEUE_READY || off == VIRTIO_MMIO_CONFIG_GENERATION ||
           (off >= VIRTIO_MMIO_SHM_LEN_LOW && off <= VIRTIO_MMIO_SHM_BASE_HIGH);
}

/* Registers of the other version are not there, either. */
START_TEST(what_is_not_readable_reads_zero)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));

    for (unsigned off = 0; off < VIRTIO_MMIO_CONFIG; off += 4) {
        if (!is_readable(off, _i)) {
            ck_assert_uint_eq(fake_mmio_reg(d, off), 0);
        }
    }
}
END_TEST

START_TEST(read_only_registers_keep_their_values)
{
    static const uint16_t offs[] = {
        VIRTIO_MMIO_MAGIC_VALUE,      VIRTIO_MMIO_VERSION,           VIRTIO_MMIO_DEVICE_ID,
        VIRTIO_MMIO_VENDOR_ID,        VIRTIO_MMIO_DEVICE_FEATURES,   VIRTIO_MMIO_QUEUE_NUM_MAX,
        VIRTIO_MMIO_INTERRUPT_STATUS, VIRTIO_MMIO_CONFIG_GENERATION, VIRTIO_MMIO_SHM_LEN_LOW,
    };
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));

    for (unsigned i = 0; i < G_N_ELEMENTS(offs); i++) {
        uint32_t before = fake_mmio_reg(d, offs[i]);

        fake_mmio_reg_set(d, offs[i], ~before);
        ck_assert_uint_eq(fake_mmio_reg(d, offs[i]), before);
    }
}
END_TEST

START_TEST(config_space_takes_every_width_and_place)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));

    for (unsigned size = 1; size <= 8; size *= 2) {
        for (unsigned off = 0; off + size <= FAKE_ECHO_WRITABLE; off++) {
            uint64_t mask = size == 8 ? UINT64_MAX : BIT(8 * size) - 1, v = 0x8877665544332211;

            d->t->config_write(d, 0, 0, 8);
            d->t->config_write(d, off, v & mask, size);
            ck_assert_uint_eq(d->t->config_read(d, off, size), v & mask);
            ck_assert_uint_eq(d->t->config_read(d, 0, 8), (v & mask) << 8 * off);
        }
    }
}
END_TEST

/* --- interrupts --- */

START_TEST(mmio_04_05_23_event_stays_until_it_is_acknowledged)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));

    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    ck_assert(!fake_irq_level(d->m));
    ck_assert(echoes(d, 0));
    for (unsigned i = 0; i < 3; i++) { /* reading changes nothing */
        ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_VRING);
        ck_assert(fake_irq_level(d->m));
    }
    fake_echo_change_config(d->vdev, 1);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    fake_mmio_reg_set(d, VIRTIO_MMIO_INTERRUPT_ACK, 0xfffffffc);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    fake_mmio_reg_set(d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_VRING);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_MMIO_INT_CONFIG);
    ck_assert(fake_irq_level(d->m));
    fake_mmio_reg_set(d, VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_MMIO_INT_CONFIG);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    ck_assert(!fake_irq_level(d->m));
    ck_assert_uint_eq(d->m->irq_raised[4], 1);
}
END_TEST

START_TEST(mmio_06_07_22_reset_clears_events_and_queues)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));
    unsigned in_use = _i ? VIRTIO_MMIO_QUEUE_PFN : VIRTIO_MMIO_QUEUE_READY;

    ck_assert(echoes(d, 0));
    fake_echo_change_config(d->vdev, 1);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), 3);
    fake_mmio_reg_set(d, VIRTIO_MMIO_STATUS, 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_STATUS), 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
    ck_assert(!fake_irq_level(d->m));
    for (unsigned q = 0; q < 2; q++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, q);
        ck_assert_uint_eq(fake_mmio_reg(d, in_use), 0);
    }
}
END_TEST

START_TEST(status_of_more_than_a_byte_is_no_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));

    fake_mmio_reg_set(d, VIRTIO_MMIO_STATUS, 0x100);
    ck_assert(fake_driver_status(d) & DRIVER_OK);
    ck_assert(echoes(d, 0));
}
END_TEST

/* --- queues --- */

START_TEST(mmio_09_queue_that_is_not_ready_is_left_alone)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", V2);
    FakeRing *r = &d->rings[0];

    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_READY), 1);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_READY, 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_READY), 0);
    ck_assert(!echoes(d, 0));
    ck_assert_ptr_null(virtqueue_pop(virtio_get_queue(d->vdev, 0)));
    ck_assert_uint_eq(fake_ring_used_idx(r), 0);
    ck_assert(echoes(d, 1)); /* the other one works on */
    fake_ring_init(r, d->m->p.mem, r->desc, r->num, true, true);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_READY, 1); /* where it was, from the start */
    ck_assert(echoes(d, 0));
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(element_in_flight_when_its_queue_stops_is_never_used)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", version(_i), "hold=on");
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    VqElem *e;

    fake_driver_add(d, 0, OUT("a", 1), IN(1));
    fake_driver_kick(d, 0);
    e = virtqueue_pop(vq);
    ck_assert_ptr_nonnull(e);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    fake_mmio_reg_set(d, _i ? VIRTIO_MMIO_QUEUE_PFN : VIRTIO_MMIO_QUEUE_READY, 0);
    ck_assert_uint_eq(vq_elem_in_left(e), 0);
    virtqueue_push(e);
    virtio_notify(d->vdev, vq);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[0]), 0);
    ck_assert(!fake_driver_interrupted(d, 0));
}
END_TEST

START_TEST(mmio_18_queue_size_max_is_0_for_queues_that_are_not_there)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", version(_i), "queue-size=64");

    ck_assert_uint_eq(d->t->queue_max(d, 0), 64);
    ck_assert_uint_eq(d->t->queue_max(d, 1), 64);
    ck_assert_uint_eq(d->t->queue_max(d, 2), 0);
    ck_assert_uint_eq(d->t->queue_max(d, 0x10000), 0); /* no 16 bits are cut out of it */
    ck_assert_uint_eq(d->t->queue_max(d, UINT32_MAX), 0);
}
END_TEST

START_TEST(mmio_19_queue_has_the_size_that_was_written)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", version(_i), "queue-size=64");
    FakeRing *r = &d->rings[0];

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    fake_ring_init(r, d->m->p.mem, fake_driver_alloc(d, fake_ring_bytes(4)), 4, true, true);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    for (uint32_t bad = 1; bad; bad *= 2) { /* not taken: no power of 2, too large, nothing */
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, 4);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, bad > 64 ? bad : bad | 67);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, 0);
        ck_assert_uint_eq(virtqueue_setup(virtio_get_queue(d->vdev, 0))->size, 4);
    }
    d->t->queue_enable(d, 0, 4, r->desc, r->avail, r->used);
    fake_driver_start(d);
    for (unsigned i = 0; i < 12; i++) { /* wraps where 4 entries wrap */
        ck_assert(echoes(d, 0));
    }
}
END_TEST

START_TEST(setup_of_a_queue_in_use_does_not_change)
{
    static const uint16_t offs[] = {VIRTIO_MMIO_QUEUE_NUM,       VIRTIO_MMIO_QUEUE_ALIGN,
                                    VIRTIO_MMIO_QUEUE_DESC_LOW,  VIRTIO_MMIO_QUEUE_DESC_HIGH,
                                    VIRTIO_MMIO_QUEUE_AVAIL_LOW, VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
                                    VIRTIO_MMIO_QUEUE_USED_LOW,  VIRTIO_MMIO_QUEUE_USED_HIGH};
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));
    VirtQueueSetup before = *virtqueue_setup(virtio_get_queue(d->vdev, 0));
    const VirtQueueSetup *now = virtqueue_setup(virtio_get_queue(d->vdev, 0));

    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    for (unsigned i = 0; i < G_N_ELEMENTS(offs); i++) {
        fake_mmio_reg_set(d, offs[i], 2);
    }
    fake_mmio_reg_set(d, _i ? VIRTIO_MMIO_QUEUE_PFN : VIRTIO_MMIO_QUEUE_READY, 7);
    ck_assert(now->enabled && now->size == before.size && now->desc.v == before.desc.v &&
              now->driver.v == before.driver.v && now->device.v == before.device.v);
    ck_assert(echoes(d, 0));
}
END_TEST

/* §2.8.10.1: packed rings may have any size. */
START_TEST(packed_queue_takes_any_size_up_to_its_largest)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe("virtio-echo", V2 | FAKE_MMIO_PACKED, "queue-size=64");
    const VirtQueueSetup *s = virtqueue_setup(virtio_get_queue(d->vdev, 0));

    ck_assert(fake_driver_negotiate(d, d->t->device_features(d)));
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    for (uint32_t size = 1; size <= 64; size++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, size);
        ck_assert_uint_eq(s->size, size);
    }
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, 65);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, 0x10001);
    ck_assert_uint_eq(s->size, 64);
}
END_TEST

START_TEST(mmio_10_11_12_13_14_queue_reset_is_over_at_once)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", FAKE_MMIO);
    FakeRing *r = &d->rings[0];

    for (uint32_t value = 0; value < 4; value++) { /* only 1 resets */
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
        ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_RESET), 0);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_RESET, value);
        ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_RESET), 0);
        ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_READY), value != 1);
        if (value == 1) {
            fake_driver_init_ring(d, r, 8);
            d->t->queue_enable(d, 0, 8, r->desc, r->avail, r->used);
            ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_READY), 1);
            ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_RESET), 0);
        }
        fake_driver_add(d, 0, OUT("a", 1), IN(1));
        fake_driver_kick(d, 0);
        ck_assert(fake_driver_get(d, 0, NULL, NULL));
    }
    fake_driver_reset(d);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_RESET), 0);
}
END_TEST

/* --- kicks --- */

START_TEST(kicks_come_by_eventfd_or_by_exit)
{
    bool by_exit = _i & 1;
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", version(_i / 2),
                                                    by_exit ? "ioeventfd=off" : "ioeventfd=on");

    for (unsigned q = 0; q < 2; q++) { /* the value tells the queue */
        fake_driver_add(d, 0, OUT("a", 1), IN(1));
        fake_driver_add(d, 1, OUT("a", 1), IN(1));
        d->t->notify(d, q);
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[q]), q + by_exit);
        fake_machine_run(d->m);
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[q]), q + 1);
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[!q]), q);
        fake_driver_kick(d, !q);
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[!q]), q + 1);
    }
}
END_TEST

START_TEST(kicks_of_queues_that_are_not_there_are_harmless)
{
    static const uint32_t odd[] = {2, 3, 255, 0xffff, 0x10000, 0x10001, 0x80000000, UINT32_MAX};
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));

    for (unsigned i = 0; i < G_N_ELEMENTS(odd); i++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NOTIFY, odd[i]);
        fake_machine_run(d->m);
    }
    ck_assert_uint_eq(fake_echo_kicks(d->vdev), 0);
    ck_assert(echoes(d, 0) && echoes(d, 1));
}
END_TEST

/* --- legacy --- */

START_TEST(mmio_16_17_legacy_ring_lies_at_its_page_with_its_alignment)
{
    static const struct {
        uint32_t page, pfn, num, align;
    } places[] = {{4096, 0x200, 8, 4096},  {4096, 0x201, 8, 64},       {512, 0x1001, 4, 4},
                  {65536, 0x20, 64, 4096}, {0x80000000, 2, 256, 8192}, {4096, 0x300, 1, 16}};
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", V1, "queue-size=256");

    for (unsigned i = 0; i < G_N_ELEMENTS(places); i++) {
        const VirtQueueSetup *s = virtqueue_setup(virtio_get_queue(d->vdev, 0));
        uint64_t base = (uint64_t)places[i].page * places[i].pfn;
        uint64_t avail = base + 16u * places[i].num, end = avail + 6 + 2u * places[i].num;
        FakeRing *r = &d->rings[0];

        ck_assert(fake_driver_negotiate(d, BIT(VIRTIO_RING_F_EVENT_IDX)));
        fake_ring_init(r, d->m->p.mem, GPA(base & ~UINT64_C(4095)), (uint16_t)places[i].num, true,
                       false);
        fake_mmio_reg_set(d, VIRTIO_MMIO_GUEST_PAGE_SIZE, places[i].page);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, places[i].num);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_ALIGN, places[i].align);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_PFN, places[i].pfn);
        r->desc = GPA(base);
        r->avail = GPA(avail);
        r->used = GPA((end + places[i].align - 1) / places[i].align * places[i].align);
        ck_assert_uint_eq(s->desc.v, r->desc.v);
        ck_assert_uint_eq(s->driver.v, r->avail.v);
        ck_assert_uint_eq(s->device.v, r->used.v);
        fake_driver_start(d);
        if (places[i].num > 1) {
            ck_assert(echoes(d, 0));
        }
        ck_assert(!fake_driver_broken(d));
        fake_driver_reset(d);
    }
}
END_TEST

START_TEST(mmio_20_21_pfn_reads_back_and_0_ends_the_use)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", V1);
    FakeRing *r = &d->rings[0];
    uint32_t pfn = (uint32_t)(r->desc.v / PAGE);

    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_PFN), pfn);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_PFN, 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_PFN), 0);
    ck_assert(!echoes(d, 0));
    ck_assert(echoes(d, 1));
    ck_assert(fake_driver_status(d) & DRIVER_OK); /* the device is not reset */
    fake_ring_init(r, d->m->p.mem, r->desc, r->num, true, true);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_PFN, pfn);
    ck_assert(echoes(d, 0));
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 9);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_PFN, 1);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_PFN), 0);
}
END_TEST

/* Linux tells the page size, then resets the device. */
START_TEST(page_size_survives_a_reset_by_the_driver_only)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", V1);

    fake_driver_reset(d);
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
    fake_machine_reset(d->m);
    d->n_queues = 0;
    fake_driver_up(d); /* without a page size */
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_QUEUE_PFN), 0);
    ck_assert(!echoes(d, 0));
    ck_assert(!fake_driver_broken(d));
}
END_TEST

START_TEST(odd_page_sizes_and_alignments_are_not_taken)
{
    static const uint32_t odd[] = {0, 3, 4095, 4097, UINT32_MAX};
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", V1, NULL);

    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_ALIGN, PAGE);
    for (unsigned i = 0; i < G_N_ELEMENTS(odd); i++) {
        fake_mmio_reg_set(d, VIRTIO_MMIO_GUEST_PAGE_SIZE, odd[i]);
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_ALIGN, odd[i]);
    }
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(used_ring_that_is_not_aligned_needs_a_reset)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", V1, NULL);

    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, 0);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_NUM, 8); /* 128 + 22 bytes: 2 short of a multiple of 4 */
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_ALIGN, 1);
    fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_PFN, 0x200);
    ck_assert(fake_driver_broken(d));
    fake_driver_reset(d);
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(legacy_driver_has_no_features_ok_and_no_version_1)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", V1, NULL);
    uint64_t offer = d->t->device_features(d);

    d->t->set_driver_features(d, UINT64_MAX); /* what was not offered is dropped */
    ck_assert_uint_eq(d->vdev->guest_features, offer);
    d->t->set_status(d, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
                            VIRTIO_CONFIG_S_FEATURES_OK);
    ck_assert(!(fake_driver_status(d) & VIRTIO_CONFIG_S_FEATURES_OK));
    d->features = offer;
    fake_driver_setup_queues(d);
    fake_driver_start(d);
    ck_assert(fake_driver_status(d) & DRIVER_OK);
    d->t->set_driver_features(d, 0); /* too late */
    ck_assert_uint_eq(d->vdev->guest_features, offer);
    ck_assert(echoes(d, 0));
}
END_TEST

/* §3.1.2: some use the device before DRIVER_OK, some before they wrote features. */
START_TEST(legacy_queue_works_before_driver_ok)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", V1, NULL);

    fake_driver_setup_queues(d);
    ck_assert(echoes(d, 0));
    ck_assert(fake_driver_interrupted(d, 0));
    fake_driver_start(d);
    ck_assert(echoes(d, 0));
    fake_driver_reset(d);
    fake_driver_kick(d, 0);
    ck_assert_uint_eq(fake_echo_kicks(d->vdev), 2);
}
END_TEST

/* --- windows and devices --- */

START_TEST(devices_take_the_next_free_window_or_the_named_one)
{
    FakeMachine *m = fake_machine_new(0);
    Device *w[3], *dev[4];

    type_register(&fake_echo_type);
    for (unsigned i = 0; i < 3; i++) {
        g_autofree char *id = g_strdup_printf("w%u", i);
        g_autofree char *props = g_strdup_printf("base=%u", 0xd0000000 + i * VIRTIO_MMIO_SIZE);

        w[i] = fake_machine_make(m, "virtio-mmio", id, props);
        ck_assert(device_realize(w[i], m->main_bus, NULL));
    }
    for (unsigned i = 0; i < 4; i++) {
        g_autofree char *id = g_strdup_printf("d%u", i);

        dev[i] = fake_machine_make(m, "virtio-echo-device", id, NULL);
    }
    ck_assert(device_realize(dev[0], bus_find_by_name(m->main_bus, "virtio-mmio-bus.1"), NULL));
    ck_assert(device_realize(dev[1], bus_find(m->main_bus, &virtio_bus_type), NULL));
    ck_assert(device_realize(dev[2], bus_find(m->main_bus, &virtio_bus_type), NULL));
    ck_assert_ptr_null(bus_find(m->main_bus, &virtio_bus_type));
    ck_assert(!device_realize(dev[3], bus_find_by_name(m->main_bus, "virtio-mmio-bus.0"), NULL));
    ck_assert_ptr_eq(virtio_mmio_device(w[0]), dev[1]);
    ck_assert_ptr_eq(virtio_mmio_device(w[1]), dev[0]);
    ck_assert_ptr_eq(virtio_mmio_device(w[2]), dev[2]);
    for (unsigned i = 3; i-- > 0;) {
        device_destroy(w[i]);
    }
    fake_machine_free(m);
}
END_TEST

START_TEST(device_can_be_taken_away_at_work_and_plugged_again)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", version(_i));
    Bus *bus = DEVICE(d->vdev)->bus;

    for (unsigned i = 0; i < 3; i++) {
        ck_assert(echoes(d, 0));
        d->t->notify(d, 1); /* a kick is under way */
        device_unrealize(DEVICE(d->vdev));
        ck_assert(!fake_irq_level(d->m));
        fake_machine_run(d->m);
        ck_assert_uint_eq(fake_mmio_reg(d, VIRTIO_MMIO_DEVICE_ID), 0);
        ck_assert(device_realize(DEVICE(d->vdev), bus, NULL));
        d->next_page = 0x100000;
        d->n_queues = 0;
        fake_driver_up(d);
    }
    ck_assert(echoes(d, 1));
}
END_TEST

static TCase *make_registers(void)
{
    TCase *tc = tcase_create("registers");

    tcase_add_loop_test(tc, mmio_02_03_15_window_tells_magic_version_and_device, 0, 2);
    tcase_add_test(tc, empty_window_has_device_id_0_and_takes_nothing);
    tcase_add_test(tc, mmio_01_unused_shared_memory_ids_read_all_ones);
    tcase_add_test(tc, mmio_24_admin_virtqueues_are_not_offered);
    tcase_add_loop_test(tc, features_beyond_the_second_word_are_none, 0, 2);
    tcase_add_loop_test(tc, registers_take_aligned_32_bit_accesses_only, 0, 2);
    tcase_add_loop_test(tc, what_is_not_readable_reads_zero, 0, 2);
    tcase_add_loop_test(tc, read_only_registers_keep_their_values, 0, 2);
    tcase_add_loop_test(tc, config_space_takes_every_width_and_place, 0, 2);
    tcase_add_loop_test(tc, mmio_04_05_23_event_stays_until_it_is_acknowledged, 0, 2);
    tcase_add_loop_test(tc, mmio_06_07_22_reset_clears_events_and_queues, 0, 2);
    tcase_add_loop_test(tc, status_of_more_than_a_byte_is_no_reset, 0, 2);
    return tc;
}

static TCase *make_queues(void)
{
    TCase *tc = tcase_create("queues");

    tcase_add_test(tc, mmio_09_queue_that_is_not_ready_is_left_alone);
    tcase_add_loop_test(tc, element_in_flight_when_its_queue_stops_is_never_used, 0, 2);
    tcase_add_loop_test(tc, mmio_18_queue_size_max_is_0_for_queues_that_are_not_there, 0, 2);
    tcase_add_test(tc, mmio_10_11_12_13_14_queue_reset_is_over_at_once);
    tcase_add_loop_test(tc, mmio_19_queue_has_the_size_that_was_written, 0, 2);
    tcase_add_test(tc, packed_queue_takes_any_size_up_to_its_largest);
    tcase_add_loop_test(tc, setup_of_a_queue_in_use_does_not_change, 0, 2);
    tcase_add_loop_test(tc, kicks_come_by_eventfd_or_by_exit, 0, 4);
    tcase_add_loop_test(tc, kicks_of_queues_that_are_not_there_are_harmless, 0, 2);
    return tc;
}

static TCase *make_legacy(void)
{
    TCase *tc = tcase_create("legacy");

    tcase_add_test(tc, mmio_16_17_legacy_ring_lies_at_its_page_with_its_alignment);
    tcase_add_test(tc, mmio_20_21_pfn_reads_back_and_0_ends_the_use);
    tcase_add_test(tc, page_size_survives_a_reset_by_the_driver_only);
    tcase_add_test(tc, odd_page_sizes_and_alignments_are_not_taken);
    tcase_add_test(tc, used_ring_that_is_not_aligned_needs_a_reset);
    tcase_add_test(tc, legacy_driver_has_no_features_ok_and_no_version_1);
    tcase_add_test(tc, legacy_queue_works_before_driver_ok);
    return tc;
}

int main(void)
{
    Suite *s = suite_create("virtio-mmio");
    TCase *windows = tcase_create("windows");

    tcase_add_test(windows, devices_take_the_next_free_window_or_the_named_one);
    tcase_add_loop_test(windows, device_can_be_taken_away_at_work_and_plugged_again, 0, 2);
    suite_add_tcase(s, make_registers());
    suite_add_tcase(s, make_queues());
    suite_add_tcase(s, make_legacy());
    suite_add_tcase(s, windows);
    return suite_run(s);
}
