/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-pci, modern interface (VIRTIO 1.4 §4.1): identity, capabilities, every register of the
 * common configuration, interrupts, doorbells, PCI configuration access. Names carry the ids of the
 * conformance checklist.
 */
#include <check.h>
#include <linux/virtio_pci.h>
#include <stdlib.h>
#include <string.h>

#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtqueue-internal.h"
#include "tests/driver/fake-driver.h"
#include "tests/suite.h"

static bool echoes(FakeDriver *d, unsigned q)
{
    uint32_t len = 0;

    fake_driver_add(d, q, OUT("abc", 3), IN(3));
    fake_driver_kick(d, q);
    return fake_driver_get(d, q, NULL, &len) && len == 3;
}

static uint32_t cap_read(FakeDriver *d, unsigned type, unsigned off, unsigned size)
{
    return fake_pci_cfg(d, fake_pci_cap(d, type, 0) + off, size);
}

/* --- discovery --- */

START_TEST(pci_03_04_05_06_07_08_identity)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-balloon", 0, NULL);
    uint16_t subsystem_id = (uint16_t)fake_pci_cfg(d, PCI_SUBSYSTEM_ID, 2);

    ck_assert_uint_eq(fake_pci_cfg(d, PCI_VENDOR_ID, 2), 0x1af4);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_DEVICE_ID, 2), 0x1040 + VIRTIO_ID_BALLOON);
    ck_assert_uint_ge(fake_pci_cfg(d, PCI_REVISION_ID, 1), 1);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_SUBSYSTEM_VENDOR_ID, 2), 0x1af4);
    ck_assert_uint_ge(subsystem_id, 0x40);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_CLASS_DEVICE, 2), 0x00ff);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_INTERRUPT_PIN, 1), 1);
    ck_assert_uint_eq(fake_port_cfg_read(d->m, d->devfn, PCI_DEVICE_ID, 2), 0x1045);
}
END_TEST

START_TEST(pci_19_20_37_38_39_40_48_53_54_62_capabilities_are_there_and_aligned)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    uint32_t multiplier = d->notify_multiplier;

    for (unsigned type = VIRTIO_PCI_CAP_COMMON_CFG; type <= VIRTIO_PCI_CAP_PCI_CFG; type++) {
        ck_assert_uint_ne(fake_pci_cap(d, type, 0), 0);
    }
    ck_assert_uint_eq(cap_read(d, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_OFFSET, 4) % 4, 0);
    ck_assert_uint_ge(cap_read(d, VIRTIO_PCI_CAP_COMMON_CFG, VIRTIO_PCI_CAP_LENGTH, 4),
                      sizeof(struct virtio_pci_common_cfg));
    ck_assert_uint_eq(cap_read(d, VIRTIO_PCI_CAP_NOTIFY_CFG, VIRTIO_PCI_CAP_OFFSET, 4) % 4, 0);
    ck_assert_uint_ge(d->notify_len, 2);
    ck_assert(multiplier == 0 || (multiplier % 2 == 0 && (multiplier & (multiplier - 1)) == 0));
    ck_assert_uint_ge(cap_read(d, VIRTIO_PCI_CAP_ISR_CFG, VIRTIO_PCI_CAP_LENGTH, 4), 1);
    ck_assert_uint_eq(cap_read(d, VIRTIO_PCI_CAP_DEVICE_CFG, VIRTIO_PCI_CAP_OFFSET, 4) % 4, 0);
    ck_assert_uint_eq(d->device_len, FAKE_ECHO_CONFIG);
}
END_TEST

/* Clients that know QEMU look for it in any device. */
START_TEST(device_structure_is_there_without_configuration_too)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-rng", 0, NULL);

    ck_assert_uint_eq(d->vdev->config_size, 0);
    ck_assert_uint_eq(d->device_len, 4);
    ck_assert_uint_eq(fake_read(d->m, d->device, 4), 0);
}
END_TEST

START_TEST(pci_13_14_15_16_18_capability_lengths_and_structures_fit)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    static const unsigned len[] = {0, 16, 20, 16, 16, 20};

    for (unsigned type = VIRTIO_PCI_CAP_COMMON_CFG; type <= VIRTIO_PCI_CAP_PCI_CFG; type++) {
        ck_assert_uint_eq(cap_read(d, type, VIRTIO_PCI_CAP_LEN, 1), len[type]);
        if (type != VIRTIO_PCI_CAP_PCI_CFG) {
            ck_assert_uint_eq(cap_read(d, type, VIRTIO_PCI_CAP_BAR, 1), VIRTIO_PCI_BAR);
            ck_assert_uint_le((uint64_t)cap_read(d, type, VIRTIO_PCI_CAP_OFFSET, 4) +
                                  cap_read(d, type, VIRTIO_PCI_CAP_LENGTH, 4),
                              PCI_DEVICE(d->dev)->bars[VIRTIO_PCI_BAR].size);
        }
        ck_assert_uint_eq(fake_pci_cap(d, type, 1), 0); /* once each: nothing to rank */
    }
}
END_TEST

/* Neither kind is there, so none is wrong; ids of legacy drivers (PCI-72, PCI-73) are not used
 * either. */
START_TEST(pci_55_56_57_58_59_60_61_no_shared_memory_and_no_vendor_data)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-balloon", 0, NULL);

    ck_assert_uint_eq(fake_pci_cap(d, VIRTIO_PCI_CAP_SHARED_MEMORY_CFG, 0), 0);
    ck_assert_uint_eq(fake_pci_cap(d, 9, 0), 0); /* VIRTIO_PCI_CAP_VENDOR_CFG */
    ck_assert_uint_ge(fake_pci_cfg(d, PCI_DEVICE_ID, 2), 0x1040);
}
END_TEST

START_TEST(bars_are_where_linux_and_qemu_have_them)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);

    ck_assert_uint_eq(fake_pci_cfg(d, PCI_BASE_ADDRESS_4, 4) & 0xf,
                      PCI_BASE_ADDRESS_MEM_TYPE_64 | PCI_BASE_ADDRESS_MEM_PREFETCH);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_BASE_ADDRESS_1, 4) & 0xf, 0);
    fake_pci_cfg_set(d, PCI_BASE_ADDRESS_4, UINT32_MAX, 4);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_BASE_ADDRESS_4, 4) & ~0xfu, 0xffffc000);
}
END_TEST

START_TEST(pci_41_42_every_queue_has_a_place_to_kick)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, "queues=16");

    for (unsigned q = 0; q < 16; q++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
        ck_assert_uint_le(fake_common_read(d, VIRTIO_PCI_COMMON_Q_NOFF, 2) * d->notify_multiplier +
                              2,
                          d->notify_len);
    }
    fake_driver_up(d);
    for (unsigned q = 0; q < 16; q++) {
        ck_assert(echoes(d, q));
        ck_assert(fake_driver_interrupted(d, q));
    }
}
END_TEST

/* --- common configuration --- */

START_TEST(pci_21_device_feature_shows_any_window)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    static const uint32_t selects[] = {2, 3, 31, 32, 0x7fffffff, 0xffffffff};

    for (unsigned i = 0; i < G_N_ELEMENTS(selects); i++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT, selects[i], 4);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_DFSELECT, 4), selects[i]);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_DF, 4), 0);
    }
    fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT, 1, 4);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_DF, 4), 0x101);
    fake_common_write(d, VIRTIO_PCI_COMMON_DF, 0, 4);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_DF, 4), 0x101);
}
END_TEST

START_TEST(pci_22_23_driver_feature_reads_back)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    uint64_t offer = d->t->device_features(d);

    d->t->set_driver_features(d, offer);
    for (uint32_t i = 0; i < 2; i++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_GFSELECT, i, 4);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_GF, 4),
                          (uint32_t)(offer >> 32 * i));
    }
    fake_common_write(d, VIRTIO_PCI_COMMON_GFSELECT, 2, 4);
    fake_common_write(d, VIRTIO_PCI_COMMON_GF, 0x55, 4);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_GF, 4), 0);
    fake_common_write(d, VIRTIO_PCI_COMMON_GFSELECT, 0, 4);
    fake_common_write(d, VIRTIO_PCI_COMMON_GF, 0x7fffffff,
                      4); /* not offered: kept, and refused later */
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_GF, 4), 0x7fffffff);
}
END_TEST

START_TEST(pci_12_halves_of_64_bit_fields_are_their_own)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    static const unsigned fields[] = {VIRTIO_PCI_COMMON_Q_DESCLO, VIRTIO_PCI_COMMON_Q_AVAILLO,
                                      VIRTIO_PCI_COMMON_Q_USEDLO};

    for (unsigned i = 0; i < 3; i++) {
        fake_common_write(d, fields[i] + 4, 0x11223344 + i, 4);
        fake_common_write(d, fields[i], 0x55667788 + i, 4);
        ck_assert_uint_eq(fake_common_read(d, fields[i], 8),
                          UINT64_C(0x1122334455667788) + (UINT64_C(1) << 32) * i + i);
        fake_common_write(d, fields[i] + 4, 7, 4);
        ck_assert_uint_eq(fake_common_read(d, fields[i], 4), 0x55667788 + i);
        fake_common_write(d, fields[i], UINT64_C(0xabcdef0123456789), 8);
        ck_assert_uint_eq(fake_common_read(d, fields[i] + 4, 4), 0xabcdef01);
    }
}
END_TEST

START_TEST(pci_25_26_27_81_reset_brings_defaults)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    ck_assert(echoes(d, 0));
    fake_common_write(d, VIRTIO_PCI_COMMON_STATUS, 0, 1);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_STATUS, 1), 0);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SELECT, 2), 0);
    for (unsigned q = 0; q < 2; q++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
    }
    ck_assert_uint_eq(fake_read(d->m, d->isr, 1), 0);
    ck_assert(!fake_irq_level(d->m));
}
END_TEST

START_TEST(pci_33_queue_that_is_not_there)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    static const uint16_t none[] = {2, 3, 1023, 1024, 0x7fff, 0xffff};

    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_NUMQ, 2), 2);
    for (unsigned i = 0; i < G_N_ELEMENTS(none); i++) {
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, none[i], 2);
        for (unsigned off = VIRTIO_PCI_COMMON_Q_SIZE; off < 56; off += 2) {
            fake_common_write(d, off, 1, 2);
            fake_common_write(d, off, 1, 4);
        }
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 0);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 0);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
        ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), 0);
    }
}
END_TEST

START_TEST(pci_34_queue_size_stays_a_power_of_two)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, "queue-size=256");

    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 256);
    for (uint32_t size = 0; size < 0x10000; size += 7) {
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SIZE, 64, 2);
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SIZE, size, 2);
        if (size == 0 || (size & (size - 1)) || size > 256) {
            ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 64);
        } else {
            ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), size);
        }
    }
    fake_driver_up(d);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(enabled_queue_does_not_move)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, 0, 2);
    for (unsigned off = VIRTIO_PCI_COMMON_Q_DESCLO; off < 56; off += 4) {
        fake_common_write(d, off, 0xdead0000, 4);
    }
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_SIZE, 2, 2);
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 0, 2); /* only a reset disables */
    fake_common_write(d, VIRTIO_PCI_COMMON_Q_ENABLE, 1, 2);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_ENABLE, 2), 1);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_SIZE, 2), 8);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_DESCLO, 8), d->rings[0].desc.v);
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(reads_of_odd_width_give_the_bytes_and_such_writes_nothing)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    uint64_t whole;

    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_NUMQ, 1), 2);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_NUMQ + 1, 1), 0);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_MSIX, 4), 0x2ffff);
    fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT, 0xffffffff, 1);
    fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT, 0xffffffff, 2);
    fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT + 1, 0xffffffff, 2);
    fake_common_write(d, VIRTIO_PCI_COMMON_DFSELECT, UINT64_MAX, 8);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_DFSELECT, 4), 0);
    fake_common_write(d, VIRTIO_PCI_COMMON_STATUS, 0x0f, 2);
    ck_assert_uint_eq(fake_driver_status(d), 0);
    whole = fake_common_read(d, 0, 8);
    for (unsigned i = 0; i < 8; i++) {
        ck_assert_uint_eq(fake_common_read(d, i, 1), whole >> 8 * i & 0xff);
    }
    ck_assert_uint_eq(fake_common_read(d, 56, 8),
                      0); /* queue reset and administration queues: none */
    ck_assert_uint_eq(fake_common_read(d, 0xff8, 8), 0);
}
END_TEST

/* --- interrupts --- */

START_TEST(pci_49_50_51_52_87_isr_and_intx_follow_each_other)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", FAKE_INTX);

    ck_assert(!fake_irq_level(d->m));
    ck_assert(echoes(d, 1));
    ck_assert(fake_irq_level(d->m));
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    fake_echo_change_config(d->vdev, 1);
    ck_assert_uint_eq(fake_read(d->m, d->isr, 1), 3); /* one interrupt for both */
    ck_assert_uint_eq(fake_read(d->m, d->isr, 1), 0);
    ck_assert(!fake_irq_level(d->m));
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, 0);
    fake_pci_cfg_set(d, PCI_COMMAND,
                     PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE, 2);
    ck_assert(echoes(d, 1));
    ck_assert(!fake_irq_level(d->m));
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_STATUS, 2) & PCI_STATUS_INTERRUPT, PCI_STATUS_INTERRUPT);
    fake_pci_cfg_set(d, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER, 2);
    ck_assert(fake_irq_level(d->m));
    fake_driver_reset(d);
    ck_assert(!fake_irq_level(d->m));
}
END_TEST

START_TEST(pci_49_isr_tells_config_changes_with_msix_too)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", 0);

    ck_assert(echoes(d, 0));
    ck_assert_uint_eq(fake_read(d->m, d->isr, 1), 0);
    fake_echo_change_config(d->vdev, 1);
    ck_assert(!fake_irq_level(d->m));
    ck_assert_uint_eq(fake_read(d->m, d->isr, 4) & 0xff, VIRTIO_PCI_ISR_CONFIG);
    ck_assert_uint_eq(fake_read(d->m, d->isr, 1), 0);
}
END_TEST

START_TEST(pci_51_isr_shows_on_the_wire_when_msix_goes)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", 0);

    fake_echo_change_config(d->vdev, 1);
    fake_pci_cfg_set(d, fake_pci_std_cap(d, PCI_CAP_ID_MSIX) + PCI_MSIX_FLAGS, 0, 2);
    ck_assert(fake_irq_level(d->m));
    ck_assert_uint_eq(fake_read(d->m, d->isr, 1), VIRTIO_PCI_ISR_CONFIG);
    ck_assert(!fake_irq_level(d->m));
}
END_TEST

START_TEST(pci_75_76_vectors_are_one_per_queue_and_one)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, "queues=5");
    unsigned cap = fake_pci_std_cap(d, PCI_CAP_ID_MSIX);

    ck_assert_uint_eq(fake_pci_cfg(d, cap + PCI_MSIX_FLAGS, 2) & PCI_MSIX_FLAGS_QSIZE,
                      5); /* 6 vectors */
    ck_assert_uint_eq(fake_pci_cfg(d, cap + PCI_MSIX_TABLE, 4), VIRTIO_PCI_MSIX_BAR);
}
END_TEST

START_TEST(pci_78_79_80_82_every_event_maps_to_every_vector)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", 0);

    for (uint16_t v = 0; v < 3; v++) {
        for (int q = -1; q < 2; q++) {
            unsigned field = q < 0 ? VIRTIO_PCI_COMMON_MSIX : VIRTIO_PCI_COMMON_Q_MSIX,
                     n = d->m->msi.n;

            fake_pci_map_vector(d, q, v);
            ck_assert_uint_eq(fake_common_read(d, field, 2), v);
            if (q < 0) {
                fake_echo_change_config(d->vdev, v);
            } else {
                ck_assert(echoes(d, (unsigned)q));
            }
            ck_assert_uint_eq(d->m->msi.n, n + 1);
            ck_assert_uint_eq(d->m->msi.sent[n].data, 0x4000u + v);
            fake_pci_map_vector(d, q, VIRTIO_MSI_NO_VECTOR);
            ck_assert_uint_eq(fake_common_read(d, field, 2), VIRTIO_MSI_NO_VECTOR);
        }
    }
}
END_TEST

START_TEST(pci_83_86_88_no_vector_no_interrupt)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", 0);
    unsigned n = d->m->msi.n;

    fake_pci_map_vector(d, 0, 3); /* there are 0 to 2 */
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_Q_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
    fake_pci_map_vector(d, -1, 0x7fff);
    ck_assert_uint_eq(fake_common_read(d, VIRTIO_PCI_COMMON_MSIX, 2), VIRTIO_MSI_NO_VECTOR);
    ck_assert(echoes(d, 0));
    fake_echo_change_config(d->vdev, 1);
    ck_assert_uint_eq(d->m->msi.n, n);
    ck_assert(!fake_irq_level(d->m));
    ck_assert(echoes(d, 1));
    ck_assert_uint_eq(d->m->msi.n, n + 1);
}
END_TEST

START_TEST(vectors_0_is_intx_only_and_2048_the_most)
{
    g_autoptr(FakeDriver) d = fake_driver_new_props("virtio-echo", FAKE_INTX, "vectors=0");
    g_autoptr(FakeDriver) many = fake_driver_new_props("virtio-echo", 0, "vectors=2048,queues=3");
    g_autoptr(GError) err = NULL;

    ck_assert_uint_eq(fake_pci_std_cap(d, PCI_CAP_ID_MSIX), 0);
    ck_assert_uint_eq(fake_pci_cfg(d, PCI_BASE_ADDRESS_1, 4), 0);
    ck_assert(echoes(d, 0));
    ck_assert(fake_driver_interrupted(d, 0));
    fake_pci_map_vector(many, 2, 2047);
    ck_assert_uint_eq(fake_common_read(many, VIRTIO_PCI_COMMON_Q_MSIX, 2), 2047);
    ck_assert(echoes(many, 2));
    ck_assert_uint_eq(many->m->msi.sent[0].data, 0x4000 + 2047);
    ck_assert_ptr_null(fake_machine_add(d->m, "virtio-echo-pci", "x", "vectors=2049", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "2049"));
}
END_TEST

/* --- doorbells --- */

START_TEST(kicks_come_by_eventfd_or_by_exit)
{
    g_autoptr(FakeDriver) fd = fake_driver_new("virtio-echo", (unsigned)_i);
    g_autoptr(FakeDriver) exits =
        fake_driver_new_props("virtio-echo", (unsigned)_i, "ioeventfd=off");

    fake_driver_add(fd, 1, OUT("a", 1), IN(1));
    fd->t->notify(fd, 1);
    ck_assert_uint_eq(fake_ring_used_idx(&fd->rings[1]), 0); /* the main loop has it */
    fake_machine_run(fd->m);
    ck_assert_uint_eq(fake_ring_used_idx(&fd->rings[1]), 1);
    fake_driver_add(exits, 1, OUT("a", 1), IN(1));
    exits->t->notify(exits, 1);
    ck_assert_uint_eq(fake_ring_used_idx(&exits->rings[1]), 1);
}
END_TEST

START_TEST(kicks_of_every_width_and_place_are_harmless)
{
    g_autoptr(FakeDriver) d =
        fake_driver_new_props("virtio-echo", (unsigned)_i, _i & 1 ? "ioeventfd=off" : NULL);
    uint64_t page = fake_pci_bar(d, VIRTIO_PCI_BAR) + VIRTIO_PCI_NOTIFY_OFF;

    for (unsigned off = 0; off < 0x1000; off += off < 64 ? 1 : 61) {
        for (unsigned size = 1; size <= 8; size *= 2) {
            fake_write(d->m, page + off, UINT64_MAX, size);
            fake_read(d->m, page + off, size);
        }
    }
    fake_machine_run(d->m);
    ck_assert(!fake_driver_broken(d));
    ck_assert(echoes(d, 0));
}
END_TEST

START_TEST(moved_bar_takes_its_doorbells_along)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);
    uint64_t bar = fake_pci_bar(d, VIRTIO_PCI_BAR);

    fake_pci_cfg_set(d, PCI_BASE_ADDRESS_4, 0xd0000000, 4);
    fake_pci_cfg_set(d, PCI_BASE_ADDRESS_5, 0, 4);
    ck_assert(!aspace_write(d->m->p.mmio, d->notify, 0, 2)); /* nothing is there any more */
    d->common += 0xd0000000 - bar;
    d->notify += 0xd0000000 - bar;
    d->isr += 0xd0000000 - bar;
    ck_assert(echoes(d, 0));
    ck_assert(fake_driver_interrupted(d, 0));
}
END_TEST

/* --- kicks by I/O ports --- */

static uint64_t notify_port(FakeDriver *d)
{
    return fake_pci_cfg(d, PCI_BASE_ADDRESS_0 + 4 * VIRTIO_PCI_NOTIFY_IO_BAR, 4) &
           PCI_BASE_ADDRESS_IO_MASK;
}

/* The harness knows the place in memory only, which is there for drivers without I/O ports. */
static FakeDriver *driver_with_ports(unsigned cell, const char *props)
{
    g_autofree char *all = g_strconcat("modern-pio-notify=on", props, NULL);
    FakeDriver *d = fake_driver_probe("virtio-echo", cell, all);
    unsigned first = fake_pci_cap(d, VIRTIO_PCI_CAP_NOTIFY_CFG, 0);
    unsigned second = fake_pci_cap(d, VIRTIO_PCI_CAP_NOTIFY_CFG, 1);

    ck_assert_uint_eq(fake_pci_cfg(d, first + VIRTIO_PCI_CAP_BAR, 1), VIRTIO_PCI_NOTIFY_IO_BAR);
    ck_assert_uint_eq(fake_pci_cfg(d, first + VIRTIO_PCI_CAP_OFFSET, 4), 0);
    ck_assert_uint_eq(fake_pci_cfg(d, second + VIRTIO_PCI_CAP_BAR, 1), VIRTIO_PCI_BAR);
    d->notify = fake_pci_bar(d, VIRTIO_PCI_BAR) + VIRTIO_PCI_NOTIFY_OFF;
    return d;
}

START_TEST(kicks_by_port_are_served_by_eventfd_or_by_exit)
{
    for (int by_exit = 0; by_exit < 2; by_exit++) {
        g_autoptr(FakeDriver) d = driver_with_ports((unsigned)_i, by_exit ? ",ioeventfd=off" : "");

        fake_pci_cfg_set(d, PCI_COMMAND, fake_pci_cfg(d, PCI_COMMAND, 2) | PCI_COMMAND_IO, 2);
        fake_driver_up(d);
        fake_driver_add(d, 1, OUT("a", 1), IN(1));
        ck_assert(aspace_write(d->m->p.pio, notify_port(d) + d->notify_multiplier, 1, 2));
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[1]), by_exit);
        fake_machine_run(d->m);
        ck_assert_uint_eq(fake_ring_used_idx(&d->rings[1]), 1);
        ck_assert(echoes(d, 0)); /* by memory all the same */
    }
}
END_TEST

START_TEST(drivers_without_ports_have_their_doorbell_in_memory)
{
    g_autoptr(FakeDriver) d = driver_with_ports((unsigned)_i, "");

    fake_pci_cfg_set(d, PCI_COMMAND, fake_pci_cfg(d, PCI_COMMAND, 2) & ~PCI_COMMAND_IO, 2);
    fake_driver_up(d);
    fake_driver_add(d, 1, OUT("a", 1), IN(1));
    d->t->notify(d, 1);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[1]), 0); /* the main loop has it */
    fake_machine_run(d->m);
    ck_assert_uint_eq(fake_ring_used_idx(&d->rings[1]), 1);
}
END_TEST

START_TEST(ports_are_given_on_request)
{
    g_autoptr(FakeDriver) without = fake_driver_probe("virtio-echo", 0, NULL);
    g_autoptr(FakeDriver) with = driver_with_ports(0, ",queues=16");

    ck_assert_uint_eq(fake_pci_cap(without, VIRTIO_PCI_CAP_NOTIFY_CFG, 1), 0);
    ck_assert_uint_eq(fake_pci_cfg(without, PCI_BASE_ADDRESS_2, 4), 0);
    fake_pci_cfg_set(with, PCI_BASE_ADDRESS_2, UINT32_MAX, 4);
    ck_assert_uint_eq(fake_pci_cfg(with, PCI_BASE_ADDRESS_2, 4), 0xffffffc1);
}
END_TEST

/* --- PCI configuration access --- */

static void window(FakeDriver *d, uint8_t bar, uint32_t off, uint32_t len)
{
    unsigned cap = fake_pci_cap(d, VIRTIO_PCI_CAP_PCI_CFG, 0);

    fake_pci_cfg_set(d, cap + VIRTIO_PCI_CAP_BAR, bar, 1);
    fake_pci_cfg_set(d, cap + VIRTIO_PCI_CAP_OFFSET, off, 4);
    fake_pci_cfg_set(d, cap + VIRTIO_PCI_CAP_LENGTH, len, 4);
}

START_TEST(pci_63_64_bar_through_configuration_space)
{
    g_autoptr(FakeDriver) d = fake_driver_probe("virtio-echo", 0, NULL);
    unsigned data = fake_pci_cap(d, VIRTIO_PCI_CAP_PCI_CFG, 0) + sizeof(struct virtio_pci_cap);

    fake_pci_cfg_set(d, PCI_COMMAND, 0, 2); /* works while the BARs are not decoded */
    window(d, VIRTIO_PCI_BAR, VIRTIO_PCI_COMMON_STATUS, 1);
    fake_pci_cfg_set(d, data, 0xffffff03, 4);
    ck_assert_uint_eq(d->vdev->status, 3);
    ck_assert_uint_eq(fake_pci_cfg(d, data, 1), 3);
    window(d, VIRTIO_PCI_BAR, VIRTIO_PCI_COMMON_NUMQ, 2);
    ck_assert_uint_eq(fake_pci_cfg(d, data, 4), 2);
    window(d, VIRTIO_PCI_BAR, VIRTIO_PCI_COMMON_DFSELECT, 4);
    fake_pci_cfg_set(d, data, 1, 4);
    window(d, VIRTIO_PCI_BAR, VIRTIO_PCI_COMMON_DF, 4);
    ck_assert_uint_eq(fake_pci_cfg(d, data, 4), 0x101);
}
END_TEST

START_TEST(configuration_access_to_nowhere_is_harmless)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", 0);
    unsigned data = fake_pci_cap(d, VIRTIO_PCI_CAP_PCI_CFG, 0) + sizeof(struct virtio_pci_cap);
    static const struct {
        uint8_t bar;
        uint32_t off, len;
    } bad[] = {
        {0, 0, 4},      {5, 0, 4},          {6, 0, 4},      {255, 0, 4}, {4, 0x4000, 4},
        {4, 0x3ffe, 4}, {4, 0xfffffffc, 4}, {4, 1, 4},      {4, 0, 0},   {4, 0, 3},
        {4, 0, 8},      {4, 0, 0xffffffff}, {1, 0x1000, 1},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        window(d, bad[i].bar, bad[i].off, bad[i].len);
        ck_assert_uint_eq(fake_pci_cfg(d, data, 4), 0);
        fake_pci_cfg_set(d, data, 0xffffffff, 4);
    }
    ck_assert(echoes(d, 0));
}
END_TEST

/* --- life --- */

START_TEST(device_can_be_taken_away_at_work_and_realized_again)
{
    g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", (unsigned)_i);

    for (unsigned i = 0; i < 3; i++) {
        fake_driver_add(d, 0, OUT("a", 1), IN(1));
        d->t->notify(d, 0);
        device_unrealize(d->dev);
        fake_machine_run(d->m);
        ck_assert_uint_eq(fake_cfg_read(d->m, d->devfn, 0, 4), UINT32_MAX);
        ck_assert(device_realize(d->dev, &pci_host_bus(d->m->host)->parent_obj, NULL));
        ck_assert(pci_host_assign_bars(d->m->host, NULL));
        d->t->probe(d);
        d->next_page = 0x100000;
        fake_driver_up(d);
        ck_assert(echoes(d, 0));
    }
}
END_TEST

START_TEST(properties_of_the_device_are_those_of_its_proxy)
{
    g_autoptr(FakeDriver) d =
        fake_driver_probe("virtio-balloon", 0, "deflate-on-oom=on,event_idx=off");
    json_t *value = property_get_json(&d->dev->parent_obj, "deflate-on-oom", NULL);

    ck_assert(json_is_true(value));
    json_decref(value);
    ck_assert(DEVICE_GET_CLASS(d->dev)->user_creatable);
    ck_assert(DEVICE_GET_CLASS(d->vdev)->user_creatable);
}
END_TEST

static void add_configuration_tests(TCase *tc)
{
    tcase_add_test(tc, pci_03_04_05_06_07_08_identity);
    tcase_add_test(tc, pci_19_20_37_38_39_40_48_53_54_62_capabilities_are_there_and_aligned);
    tcase_add_test(tc, device_structure_is_there_without_configuration_too);
    tcase_add_test(tc, pci_13_14_15_16_18_capability_lengths_and_structures_fit);
    tcase_add_test(tc, pci_55_56_57_58_59_60_61_no_shared_memory_and_no_vendor_data);
    tcase_add_test(tc, bars_are_where_linux_and_qemu_have_them);
    tcase_add_test(tc, pci_41_42_every_queue_has_a_place_to_kick);
    tcase_add_test(tc, pci_21_device_feature_shows_any_window);
    tcase_add_test(tc, pci_22_23_driver_feature_reads_back);
    tcase_add_test(tc, pci_12_halves_of_64_bit_fields_are_their_own);
    tcase_add_loop_test(tc, pci_25_26_27_81_reset_brings_defaults, 0, FAKE_PCI_CELLS);
    tcase_add_test(tc, pci_33_queue_that_is_not_there);
    tcase_add_test(tc, pci_34_queue_size_stays_a_power_of_two);
    tcase_add_loop_test(tc, enabled_queue_does_not_move, 0, FAKE_PCI_CELLS);
    tcase_add_test(tc, reads_of_odd_width_give_the_bytes_and_such_writes_nothing);
}

static Suite *make_suite(void)
{
    Suite *s = suite_create("virtio-pci");
    TCase *tc = tcase_create("pci");

    add_configuration_tests(tc);
    tcase_add_test(tc, pci_49_50_51_52_87_isr_and_intx_follow_each_other);
    tcase_add_test(tc, pci_49_isr_tells_config_changes_with_msix_too);
    tcase_add_test(tc, pci_51_isr_shows_on_the_wire_when_msix_goes);
    tcase_add_test(tc, pci_75_76_vectors_are_one_per_queue_and_one);
    tcase_add_test(tc, pci_78_79_80_82_every_event_maps_to_every_vector);
    tcase_add_test(tc, pci_83_86_88_no_vector_no_interrupt);
    tcase_add_test(tc, vectors_0_is_intx_only_and_2048_the_most);
    tcase_add_loop_test(tc, kicks_come_by_eventfd_or_by_exit, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, kicks_of_every_width_and_place_are_harmless, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, moved_bar_takes_its_doorbells_along, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, kicks_by_port_are_served_by_eventfd_or_by_exit, 0, FAKE_PCI_CELLS);
    tcase_add_loop_test(tc, drivers_without_ports_have_their_doorbell_in_memory, 0, FAKE_PCI_CELLS);
    tcase_add_test(tc, ports_are_given_on_request);
    tcase_add_test(tc, pci_63_64_bar_through_configuration_space);
    tcase_add_test(tc, configuration_access_to_nowhere_is_harmless);
    tcase_add_loop_test(tc, device_can_be_taken_away_at_work_and_realized_again, 0, FAKE_PCI_CELLS);
    tcase_add_test(tc, properties_of_the_device_are_those_of_its_proxy);
    suite_add_tcase(s, tc);
    return s;
}

int main(void)
{
    return suite_run(make_suite());
}
