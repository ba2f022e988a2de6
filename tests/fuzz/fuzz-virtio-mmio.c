/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as accesses to a virtio-mmio window of version 2 or version 1, of any width, place and
 * value, mixed with what a driver does: bring the device up, put requests into its rings, kick. The
 * first byte chooses device, version and kicks by eventfd or by exit. Afterwards a reset of the
 * machine brings the device back.
 */
#include <linux/virtio_mmio.h>

#include "hw/virtio/virtio-mmio.h"
#include "tests/fuzz/fuzz.h"

enum { OPS_MAX = 400, WINDOW = 0x200 };

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    return 0;
}

static const uint16_t registers[] = {
    VIRTIO_MMIO_DEVICE_FEATURES_SEL,
    VIRTIO_MMIO_DRIVER_FEATURES_SEL,
    VIRTIO_MMIO_DRIVER_FEATURES,
    VIRTIO_MMIO_GUEST_PAGE_SIZE,
    VIRTIO_MMIO_QUEUE_SEL,
    VIRTIO_MMIO_QUEUE_NUM,
    VIRTIO_MMIO_QUEUE_ALIGN,
    VIRTIO_MMIO_QUEUE_PFN,
    VIRTIO_MMIO_QUEUE_READY,
    VIRTIO_MMIO_QUEUE_NOTIFY,
    VIRTIO_MMIO_INTERRUPT_ACK,
    VIRTIO_MMIO_STATUS,
    VIRTIO_MMIO_QUEUE_DESC_LOW,
    VIRTIO_MMIO_QUEUE_DESC_HIGH,
    VIRTIO_MMIO_QUEUE_AVAIL_LOW,
    VIRTIO_MMIO_QUEUE_AVAIL_HIGH,
    VIRTIO_MMIO_QUEUE_USED_LOW,
    VIRTIO_MMIO_QUEUE_USED_HIGH,
    VIRTIO_MMIO_SHM_SEL,
    VIRTIO_MMIO_CONFIG,
    VIRTIO_MMIO_CONFIG + 4,
};

static uint64_t access_address(FuzzInput *in)
{
    return FAKE_MMIO_BASE - 8 + fuzz_u16(in) % (WINDOW + 16);
}

static void operate(FuzzMachine *m, FuzzInput *in)
{
    FakeDriver *d = m->d;
    uint8_t op = fuzz_u8(in);
    unsigned q = op >> 4;
    uint64_t at;

    switch (op & 15) {
    case 0:
        at = access_address(in);
        fake_read(d->m, at, fuzz_below(in, 8) + 1);
        break;
    case 1:
        at = access_address(in);
        fake_write(d->m, at, fuzz_number(in), fuzz_below(in, 8) + 1);
        break;
    case 2:
    case 3:
    case 4:
        fake_mmio_reg_set(d, registers[fuzz_below(in, G_N_ELEMENTS(registers))],
                          (uint32_t)fuzz_number(in));
        break;
    case 5:
        fuzz_up(d, fuzz_u8(in) % 16 + 1, fuzz_u8(in) & 1 ? 0 : fuzz_number(in) | 0xff000000);
        break;
    case 6:
        d->t->notify(d, q);
        break;
    case 7:
    case 8:
        if (d->n_queues > 0) {
            fuzz_chain(m, in, &d->rings[q % d->n_queues]);
            d->t->notify(d, q % d->n_queues);
        }
        break;
    case 9:
        fuzz_host_event(m, in);
        break;
    case 10:
        device_reset(d->dev);
        break;
    default:
        fake_machine_run(d->m);
        break;
    }
}

/* What the registers say of the device is so. */
static void check_registers(FuzzMachine *m)
{
    const VirtIODevice *vdev = m->d->vdev;

    g_assert(fake_mmio_reg(m->d, VIRTIO_MMIO_MAGIC_VALUE) == VIRTIO_MMIO_MAGIC);
    g_assert(fake_mmio_reg(m->d, VIRTIO_MMIO_VERSION) == (fake_cell_is_legacy(m->d->cell) ? 1 : 2));
    g_assert(fake_mmio_reg(m->d, VIRTIO_MMIO_STATUS) == vdev->status);
    g_assert(fake_mmio_reg(m->d, VIRTIO_MMIO_INTERRUPT_STATUS) < 4);
    g_assert(!!fake_mmio_reg(m->d, VIRTIO_MMIO_INTERRUPT_STATUS) == fake_irq_level(m->d->m));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const unsigned cells[] = {FAKE_MMIO, FAKE_MMIO | FAKE_MMIO_PACKED,
                                     FAKE_MMIO | FAKE_MMIO_LEGACY};
    FuzzInput in = {data, size};
    uint8_t machine = fuzz_u8(&in);
    bool eventfd = machine >= 128;
    FuzzMachine *m = fuzz_machine(machine % FUZZ_DEVICES, cells[machine / FUZZ_DEVICES % 3],
                                  eventfd, eventfd ? "ioeventfd=on" : "ioeventfd=off");

    fake_mmio_reg_set(m->d, VIRTIO_MMIO_GUEST_PAGE_SIZE, 4096);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        operate(m, &in);
    }
    fake_machine_run(m->d->m);
    check_registers(m);
    fuzz_end(m, true);
    return 0;
}
