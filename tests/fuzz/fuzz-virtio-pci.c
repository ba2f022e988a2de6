/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as accesses to the registers of a virtio-pci function, of any width, place and value:
 * modern structures, legacy ports, MSI-X table and pending bits, configuration space; mixed with
 * what a driver does. The first byte chooses the device, the second its interfaces and how kicks
 * come in. Afterwards a reset of the machine brings the device back.
 */
#include <linux/virtio_pci.h>

#include "hw/pci/msix.h"
#include "hw/virtio/virtio-pci.h"
#include "tests/fuzz/fuzz.h"

enum { OPS_MAX = 400 };

static const struct {
    unsigned cell;
    const char *props;
} variants[FUZZ_VARIANTS] = {
    {0, "ioeventfd=off"},
    {FAKE_PCI_PACKED, "ioeventfd=off,notification_data=on,notif_config_data=on"},
    {FAKE_PCI_PACKED, "ioeventfd=on,notification_data=on"},
    {FAKE_PCI_LEGACY, "ioeventfd=off"},
    {FAKE_PCI_LEGACY, "ioeventfd=on"},
    {FAKE_PCI_LEGACY, "ioeventfd=off,disable-modern=on"},
    {FAKE_INTX, "ioeventfd=off,vectors=0"},
    {FAKE_PCI_LEGACY | FAKE_INTX, "ioeventfd=off,vectors=0"},
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    return 0;
}

/* --- places --- */

static uint64_t memory_place(FakeDriver *d, FuzzInput *in)
{
    uint8_t where = fuzz_u8(in);
    unsigned bar = where & 1 ? VIRTIO_PCI_MSIX_BAR : VIRTIO_PCI_BAR;
    uint64_t section = (uint64_t)(where >> 1 & 7) * 0x1000;

    return fake_pci_bar(d, bar) + section + (where & 0x80 ? fuzz_u16(in) & 0xfff : fuzz_u8(in));
}

static uint64_t legacy_base(FakeDriver *d)
{
    return fake_pci_cfg(d, PCI_BASE_ADDRESS_0, 4) & PCI_BASE_ADDRESS_IO_MASK;
}

/* --- operations --- */

static void memory_op(FakeDriver *d, FuzzInput *in, bool write)
{
    uint64_t at = memory_place(d, in);

    if (write) {
        fake_write(d->m, at, fuzz_number(in), fuzz_below(in, 8) + 1);
    } else {
        fake_read(d->m, at, fuzz_below(in, 8) + 1);
    }
}

static void legacy_op(FakeDriver *d, FuzzInput *in)
{
    uint8_t off = fuzz_u8(in);
    uint64_t at = legacy_base(d) + (off & 0x3f), value;
    unsigned size = 1u << (off >> 6) % 3;

    if (fuzz_u8(in) & 1) {
        aspace_write(d->m->p.pio, at, fuzz_number(in), size);
    } else {
        aspace_read(d->m->p.pio, at, size, &value);
    }
}

/* A register, whole: of the common structure, or of the legacy interface. */
static void field_op(FakeDriver *d, FuzzInput *in, bool legacy)
{
    static const uint8_t common[][2] = {
        {0, 4},  {8, 4},  {12, 4}, {16, 2}, {20, 1}, {22, 2}, {24, 2}, {26, 2}, {28, 2},
        {32, 4}, {36, 4}, {40, 4}, {44, 4}, {48, 4}, {52, 4}, {32, 8}, {56, 2}, {58, 2},
    };
    static const uint8_t old[][2] = {{4, 4}, {8, 4}, {14, 2}, {16, 2}, {18, 1}, {20, 2}, {22, 2}};
    unsigned i = fuzz_u8(in);

    if (legacy) {
        i %= G_N_ELEMENTS(old);
        aspace_write(d->m->p.pio, legacy_base(d) + old[i][0], fuzz_number(in), old[i][1]);
    } else {
        i %= G_N_ELEMENTS(common);
        fake_write(d->m, fake_pci_bar(d, VIRTIO_PCI_BAR) + common[i][0], fuzz_number(in),
                   common[i][1]);
    }
}

static void config_op(FakeDriver *d, FuzzInput *in)
{
    uint8_t off = fuzz_u8(in);
    unsigned size = 1u << fuzz_u8(in) % 3;

    if (off < PCI_STD_HEADER_SIZEOF && (off & 1)) {
        off = PCI_COMMAND;
    }
    fake_pci_cfg_set(d, off, (uint32_t)fuzz_number(in), size);
    fake_pci_cfg(d, off, size);
}

static void msix_op(FakeDriver *d, FuzzInput *in)
{
    uint8_t what = fuzz_u8(in);
    unsigned cap = fake_pci_std_cap(d, PCI_CAP_ID_MSIX);

    if (what & 0x80) {
        fake_write(d->m, fake_pci_bar(d, VIRTIO_PCI_MSIX_BAR) + (what & 15) * 4, fuzz_number(in),
                   what & 0x10 ? 8 : 4);
    } else if (cap) {
        fake_pci_cfg_set(d, cap + PCI_MSIX_FLAGS, (uint32_t)what << 9, 2);
    }
}

static void ring_op(FuzzMachine *m, FuzzInput *in, unsigned q)
{
    if (m->d->n_queues > 0) {
        q %= m->d->n_queues;
        fuzz_chain(m, in, &m->d->rings[q]);
        m->d->t->notify(m->d, q);
    }
}

static void operate(FuzzMachine *m, FuzzInput *in)
{
    FakeDriver *d = m->d;
    uint8_t op = fuzz_u8(in);

    switch (op & 15) {
    case 0:
    case 1:
        memory_op(d, in, op & 1);
        break;
    case 2:
    case 3:
        field_op(d, in, op & 1);
        break;
    case 4:
        legacy_op(d, in);
        break;
    case 5:
        config_op(d, in);
        break;
    case 6:
        msix_op(d, in);
        break;
    case 7:
        d->t->probe(d);
        fuzz_up(d, fuzz_u8(in) % 16 + 1, fuzz_u8(in) & 1 ? 0 : fuzz_number(in) | 0xff000000);
        break;
    case 8:
    case 9:
        ring_op(m, in, op >> 4);
        break;
    case 10:
        d->t->notify(d, op >> 4);
        break;
    case 11:
        fuzz_host_event(m, in);
        break;
    case 12:
        if (op & 0x80) {
            fake_machine_reset(d->m);
        } else {
            device_reset(d->dev);
        }
        break;
    default:
        fake_machine_run(d->m);
        break;
    }
}

/* The wire follows ISR status, unless MSI-X or the command register keeps it low. */
static void check_wire(FuzzMachine *m)
{
    PciDevice *dev = PCI_DEVICE(m->d->dev);
    bool disabled = fake_pci_cfg(m->d, PCI_COMMAND, 2) & PCI_COMMAND_INTX_DISABLE;

    g_assert(fake_irq_level(m->d->m) == (m->d->vdev->isr && !msix_enabled(dev) && !disabled));
    g_assert(fake_pci_cfg(m->d, PCI_VENDOR_ID, 2) == 0x1af4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    unsigned device = fuzz_below(&in, FUZZ_DEVICES), variant = fuzz_below(&in, FUZZ_VARIANTS);
    FuzzMachine *m = fuzz_machine(device, variants[variant].cell, variant, variants[variant].props);

    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        operate(m, &in);
    }
    fake_machine_run(m->d->m);
    check_wire(m);
    fuzz_end(m, true);
    return 0;
}
