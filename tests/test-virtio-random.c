/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Guests that do anything: seeded random operations on configuration space, BARs, windows and rings
 * of virtio devices. Nothing may crash, hang or leak; afterwards the device still works.
 * AEROSTAT_SEED and AEROSTAT_OPS repeat or lengthen a run.
 */
#include <check.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>

#include "hw/virtio/virtio-pci.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

enum { OPS = 20000 };

static uint64_t env_number(const char *name, uint64_t otherwise)
{
    const char *text = g_getenv(name);

    return text ? g_ascii_strtoull(text, NULL, 0) : otherwise;
}

/* Values that find edges sooner than chance does. */
static uint64_t odd_value(GRand *r)
{
    static const uint64_t edges[] = {0,
                                     1,
                                     2,
                                     3,
                                     4,
                                     7,
                                     8,
                                     0xff,
                                     0x100,
                                     0xffff,
                                     0x7fffffff,
                                     0x80000000,
                                     0x1000,
                                     UINT32_MAX,
                                     UINT64_MAX,
                                     0x200000,
                                     0x200001,
                                     FAKE_RAM_LOW,
                                     FAKE_RAM_EDGE - 8,
                                     FAKE_RAM_HIGH};

    if (g_rand_int_range(r, 0, 3)) {
        return edges[g_rand_int_range(r, 0, G_N_ELEMENTS(edges))];
    }
    return (uint64_t)g_rand_int(r) << 32 | g_rand_int(r);
}

static unsigned odd_size(GRand *r)
{
    return 1u << g_rand_int_range(r, 0, 4);
}

static void config_op(FakeDriver *d, GRand *r)
{
    unsigned size = 1u << g_rand_int_range(r, 0, 3),
             off = (unsigned)g_rand_int_range(r, 0, 256 - 4);

    if (g_rand_boolean(r)) {
        fake_pci_cfg(d, off, size);
    } else {
        fake_pci_cfg_set(d, off, (uint32_t)odd_value(r), size);
    }
}

static void window_op(FakeDriver *d, GRand *r)
{
    uint64_t addr = FAKE_MMIO_BASE + (uint64_t)g_rand_int_range(r, 0, 0x200);

    addr -= g_rand_boolean(r) ? addr % 4 : 0;
    if (g_rand_boolean(r)) {
        fake_read(d->m, addr, odd_size(r));
    } else {
        fake_write(d->m, addr, odd_value(r), addr % 4 ? odd_size(r) : 4);
    }
}

static void bar_op(FakeDriver *d, GRand *r)
{
    unsigned bar = g_rand_int_range(r, 0, 4) ? VIRTIO_PCI_BAR : VIRTIO_PCI_MSIX_BAR;
    uint64_t addr = fake_pci_bar(d, bar) + (uint64_t)g_rand_int_range(r, 0, 4) * 0x1000;

    addr += (uint64_t)g_rand_int_range(r, 0, g_rand_boolean(r) ? 64 : 0x1000);
    if (g_rand_boolean(r)) {
        fake_read(d->m, addr, odd_size(r));
    } else {
        fake_write(d->m, addr, odd_value(r), odd_size(r));
    }
}

static void port_op(FakeDriver *d, GRand *r)
{
    unsigned off = (unsigned)g_rand_int_range(r, 0, 48), size = 1u << g_rand_int_range(r, 0, 3);

    if (g_rand_boolean(r)) {
        fake_legacy_read(d, off, size);
    } else {
        fake_legacy_write(d, off, (uint32_t)odd_value(r), size);
    }
}

/* A register of the common configuration, whole. */
static void common_op(FakeDriver *d, GRand *r)
{
    static const uint8_t fields[][2] = {{8, 4},  {12, 4}, {16, 2}, {20, 1}, {20, 1},
                                        {22, 2}, {24, 2}, {26, 2}, {28, 2}, {32, 4},
                                        {36, 4}, {40, 4}, {48, 4}};
    unsigned i = (unsigned)g_rand_int_range(r, 0, G_N_ELEMENTS(fields));

    fake_common_write(d, fields[i][0], odd_value(r), fields[i][1]);
}

/* What does not break a ring at once: chains run upwards, in the first half readable, then
 * writable. */
static void mild_ring_op(FakeDriver *d, FakeRing *ring, unsigned q, GRand *r)
{
    uint16_t i = (uint16_t)g_rand_int_range(r, 0, ring->num), half = ring->num / 2;
    bool more = i + 1 < ring->num && g_rand_boolean(r);

    switch (g_rand_int_range(r, 0, 4)) {
    case 0:
    case 1:
        fake_ring_set_desc(ring, i, 0x200000 + g_rand_int(r) % 0x10000, g_rand_int(r) % 5000,
                           (i < half ? 0 : VRING_DESC_F_WRITE) | (more ? VRING_DESC_F_NEXT : 0),
                           i + 1);
        break;
    case 2:
        fake_ring_put_avail(ring, i);
        break;
    default:
        d->t->notify(d, q);
        fake_machine_run(d->m);
        break;
    }
}

static void ring_op(FakeDriver *d, GRand *r)
{
    unsigned q = (unsigned)g_rand_int_range(r, 0, MAX((int)d->n_queues, 1));
    FakeRing *ring = &d->rings[q];

    if (d->n_queues == 0) {
        return;
    }
    switch (g_rand_int_range(r, 0, 200)) {
    case 0:
        fake_ring_set_desc(ring, (uint16_t)g_rand_int_range(r, 0, ring->num), odd_value(r),
                           (uint32_t)odd_value(r), (uint16_t)odd_value(r), (uint16_t)odd_value(r));
        break;
    case 1:
        fake_mem_put(ring->mem, GPA(ring->desc.v + g_rand_int(r) % 0x3000), odd_value(r), 8);
        break;
    case 2:
        fake_ring_put_avail(ring, (uint16_t)g_rand_int_range(r, 0, ring->num + 1));
        break;
    default:
        mild_ring_op(d, ring, q, r);
        break;
    }
}

/* Everything as after power-on; whatever the guest did to its BARs and rings is over. */
static void fresh_start(FakeDriver *d)
{
    fake_machine_reset(d->m);
    d->t->probe(d);
    d->next_page = 0x300000;
    d->n_queues = 0;
    fake_driver_up(d);
    for (unsigned q = 0; q < d->n_queues; q++) {
        for (uint16_t i = d->rings[q].num / 2; i < d->rings[q].num; i++) {
            fake_ring_set_desc(&d->rings[q], i, 0x200000, 64, VRING_DESC_F_WRITE, 0);
        }
    }
}

static void random_ops(FakeDriver *d, GRand *r, unsigned ops)
{
    for (unsigned i = 0; i < ops; i++) {
        int what = g_rand_int_range(r, 0, 1000);

        if (what < 2) {
            fresh_start(d);
        } else if (what < 8) {
            fake_machine_run(d->m);
        } else if (what < 250 && d->cell & FAKE_MMIO) {
            window_op(d, r);
        } else if (d->cell & FAKE_MMIO) {
            ring_op(d, r);
        } else if (what < 20) {
            config_op(d, r);
        } else if (what < 100) {
            bar_op(d, r);
        } else if (what < 130 && d->cell & FAKE_PCI_LEGACY) {
            port_op(d, r);
        } else if (what < 210 && !(d->cell & FAKE_PCI_LEGACY)) {
            common_op(d, r);
        } else {
            ring_op(d, r);
        }
        if (what % 16 == 0 && d->vdev->broken) {
            fresh_start(d);
        }
    }
}

static void check_device(const char *device, unsigned cell)
{
    uint64_t seed = env_number("AEROSTAT_SEED", 1 + cell);
    unsigned ops = (unsigned)env_number("AEROSTAT_OPS", OPS);
    g_autoptr(FakeDriver) d = fake_driver_probe(device, cell, NULL);
    g_autoptr(GRand) r = g_rand_new_with_seed((guint32)seed);

    fresh_start(d);
    random_ops(d, r, ops);
    if (g_str_equal(device, "virtio-echo")) { /* the device was at work, not broken all the time */
        ck_assert_uint_gt(fake_echo_kicks(d->vdev), ops / 50);
    }
    fresh_start(d);
    fake_driver_add(d, 0, OUT("1234", 4), IN(4));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, NULL));
}

START_TEST(random_guest_cannot_harm_echo)
{
    check_device("virtio-echo", (unsigned)_i);
}
END_TEST

START_TEST(random_guest_cannot_harm_balloon)
{
    check_device("virtio-balloon", (unsigned)_i);
}
END_TEST

/* --- every register, every width, every place --- */

typedef struct {
    AddressSpace *as;
    uint64_t at, len;
} Range;

/* What of the function or window the driver can reach. */
static unsigned ranges_of(FakeDriver *d, Range ranges[4])
{
    AddressSpace *mmio = d->m->p.mmio;

    if (d->cell & FAKE_MMIO) {
        ranges[0] = (Range){mmio, FAKE_MMIO_BASE, 0x200};
        return 1;
    }
    ranges[0] = (Range){mmio, FAKE_ECAM_BASE + ((uint64_t)d->devfn << 12), 256};
    ranges[1] = (Range){mmio, fake_pci_bar(d, VIRTIO_PCI_MSIX_BAR), 64};
    if (d->cell & FAKE_PCI_LEGACY) {
        ranges[2] = (Range){d->m->p.pio, d->common, 64};
        return 3;
    }
    ranges[2] = (Range){mmio, d->common, 80};
    ranges[3] = (Range){mmio, d->isr, 0x2020}; /* and the device's, and where kicks go */
    return 4;
}

START_TEST(every_register_takes_every_width_at_every_place)
{
    static const uint64_t values[] = {0, 1, 0xff, 0x8000, UINT32_MAX, UINT64_MAX};
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);
    Range ranges[4];
    unsigned n = ranges_of(d, ranges), too_wide = 0;

    for (unsigned i = 0; i < n; i++) {
        for (unsigned v = 0; v < G_N_ELEMENTS(values); v++) {
            for (uint64_t off = 0; off < ranges[i].len; off++) {
                for (unsigned size = 1; size <= (ranges[i].as == d->m->p.pio ? 4 : 8); size *= 2) {
                    uint64_t value;

                    aspace_write(ranges[i].as, ranges[i].at + off, values[v], size);
                    aspace_read(ranges[i].as, ranges[i].at + off, size, &value);
                    too_wide += size < 8 && value >> 8 * size != 0;
                }
            }
            fake_machine_run(d->m);
            fresh_start(d);
        }
    }
    ck_assert_uint_eq(too_wide, 0);
    fake_driver_add(d, 0, OUT("1234", 4), IN(4));
    fake_driver_kick(d, 0);
    ck_assert(fake_driver_get(d, 0, NULL, NULL));
}
END_TEST

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtio-random");
    TCase *tc = tcase_create("random");

    tcase_add_loop_test(tc, random_guest_cannot_harm_echo, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, random_guest_cannot_harm_balloon, 0, FAKE_CELLS);
    tcase_add_loop_test(tc, every_register_takes_every_width_at_every_place, 0, FAKE_CELLS);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
