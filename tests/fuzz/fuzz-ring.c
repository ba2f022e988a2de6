/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as what a driver does to its rings, split or packed (FUZZ_PACKED), of a device that
 * answers: echo, virtio-rng, virtio-serial, virtio-balloon, or an echo device whose queues this
 * target serves by itself, in any order. The first byte chooses device and transport, the second
 * features, the third the queues' size; what follows are operations, one byte each and its
 * arguments.
 *
 * What a device takes it must give back: where nobody holds elements back, none is in flight once
 * the device is idle, and used and available positions agree. Afterwards a reset brings the device
 * back.
 */
#include <linux/virtio_mmio.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>

#include "core/le.h"
#include "hw/virtio/virtqueue-internal.h"
#include "tests/fuzz/fuzz.h"

#ifndef FUZZ_PACKED
#define FUZZ_PACKED 0
#endif

enum { OPS_MAX = 400, HELD_MAX = 32, REMAP_GPA_SHIFT = 33 };

typedef struct {
    FuzzMachine *m;
    FuzzInput in;
    FakeDriver *d;
    FakeRing *r; /* of the queue that operations are about */
    unsigned q;
    VqElem *held[HELD_MAX]; /* of the FUZZ_HOLD device */
    unsigned n_held;
} Run;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    return 0;
}

/* --- what the driver does --- */

static void op_bytes(Run *run)
{
    uint64_t off = fuzz_u16(&run->in) % fake_ring_bytes(run->r->num);
    size_t len;
    const uint8_t *bytes = fuzz_bytes(&run->in, 64, &len);

    g_assert(gmem_write(run->r->mem, gpa_add(run->r->desc, off), bytes, len));
}

static void op_desc(Run *run)
{
    uint16_t i = (uint16_t)(fuzz_u8(&run->in) % run->r->num), flags = fuzz_u16(&run->in);
    uint64_t addr = fuzz_address(&run->in, run->r);
    uint32_t len = (uint32_t)fuzz_number(&run->in);

    if (run->r->packed) {
        fake_packed_set_desc(run->r, i, addr, len, fuzz_u16(&run->in), flags);
    } else {
        fake_ring_set_desc(run->r, i, addr, len, flags, fuzz_u16(&run->in));
    }
}

static void op_avail(Run *run)
{
    if (run->r->packed) {
        fake_packed_advance(run->r, fuzz_u8(&run->in) % 64);
    } else {
        fake_ring_put_avail(run->r, fuzz_u8(&run->in));
    }
}

static void op_index(Run *run)
{
    uint16_t idx = fuzz_u16(&run->in);

    if (!run->r->packed || (idx & 1)) {
        fake_ring_set_avail_idx(run->r, idx); /* packed: a list without end */
    } else {
        run->r->next_avail = (uint16_t)(idx / 2 % run->r->num);
        run->r->avail_wrap = idx & 0x8000;
    }
}

static void op_event(Run *run)
{
    uint16_t value = fuzz_u16(&run->in);

    if (run->r->packed) {
        fake_packed_set_event(run->r, value & 0x7fff, value >> 15, fuzz_u16(&run->in));
    } else {
        fake_ring_set_avail_flags(run->r, value & 3);
        fake_ring_set_used_event(run->r, fuzz_u16(&run->in));
    }
}

static void op_config(Run *run)
{
    unsigned off = fuzz_u8(&run->in), size = 1u << fuzz_u8(&run->in) % 3;

    if (off & 0x80) {
        run->d->t->config_write(run->d, off & 0x7f, fuzz_u32(&run->in), size);
    } else {
        run->d->t->config_read(run->d, off, size);
    }
}

static void set_bus_master(Run *run, bool on)
{
    if (!(run->d->cell & FAKE_MMIO)) {
        uint32_t command = fake_pci_cfg(run->d, PCI_COMMAND, 2) & ~(uint32_t)PCI_COMMAND_MASTER;

        fake_pci_cfg_set(run->d, PCI_COMMAND, command | (on ? PCI_COMMAND_MASTER : 0), 2);
    }
}

static void queue_stop(FakeDriver *d, unsigned q)
{
    if (d->t == &fake_pci_legacy_transport) {
        fake_legacy_write(d, VIRTIO_PCI_QUEUE_SEL, q, 2);
        fake_legacy_write(d, VIRTIO_PCI_QUEUE_PFN, 0, 4);
    } else if (d->t == &fake_pci_transport) {
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_SELECT, q, 2);
        fake_common_write(d, VIRTIO_PCI_COMMON_Q_RESET, 1, 2);
    } else {
        fake_mmio_reg_set(d, VIRTIO_MMIO_QUEUE_SEL, q);
        fake_mmio_reg_set(
            d, fake_cell_is_legacy(d->cell) ? VIRTIO_MMIO_QUEUE_PFN : VIRTIO_MMIO_QUEUE_READY, 0);
    }
}

/* One queue ends and begins again, on a new ring or on what the driver left. */
static void op_queue(Run *run)
{
    uint8_t what = fuzz_u8(&run->in);

    if (what & 1) {
        queue_stop(run->d, run->q);
    }
    if (what & 2) {
        fuzz_init_ring(run->d, run->r, run->r->desc, run->r->num);
    }
    if (what & 4) {
        run->d->t->queue_enable(run->d, run->q, run->r->num, run->r->desc, run->r->avail,
                                run->r->used);
    }
    if ((what & 8) && run->d->t == &fake_pci_transport) {
        fake_pci_map_vector(run->d, (int)run->q, what >> 4);
    }
}

/* RAM comes and goes elsewhere: what was cached of the map is stale. */
static void op_remap(Run *run)
{
    GuestMemory *mem = run->r->mem;
    Gpa at = GPA(UINT64_C(1) << REMAP_GPA_SHIFT);

    g_assert(gmem_add(mem, at, 4096, GMEM_ANONYMOUS, NULL));
    g_assert(gmem_remove(mem, at, NULL));
}

/* --- what a device with requests in flight does --- */

static VqElem *take_held(Run *run)
{
    unsigned i = fuzz_below(&run->in, run->n_held);
    VqElem *e = run->held[i];

    run->held[i] = run->held[--run->n_held];
    return e;
}

static size_t iov_sum(const struct iovec *iov, unsigned n)
{
    size_t sum = 0;

    for (unsigned i = 0; i < n; i++) {
        sum += iov[i].iov_len;
    }
    return sum;
}

static void use_elem(FuzzInput *in, VqElem *e)
{
    uint8_t buf[64] = {0};
    const struct iovec *iov;
    unsigned n;

    vq_elem_read_some(e, buf, fuzz_u8(in) % sizeof buf);
    vq_elem_write_some(e, buf, fuzz_u8(in) % sizeof buf);
    if (!vq_elem_skip_out(e, fuzz_u8(in))) {
        g_assert(vq_elem_out_left(e) < 255);
    }
    vq_elem_wrote(e, fuzz_u8(in));
    iov = vq_elem_out_iov(e, &n);
    g_assert(iov_sum(iov, n) == vq_elem_out_left(e));
    iov = vq_elem_in_iov(e, &n);
    g_assert(iov_sum(iov, n) == vq_elem_in_left(e));
}

static void op_device(Run *run)
{
    VirtQueue *vq = virtio_get_queue(run->d->vdev, run->q);
    uint8_t what = fuzz_u8(&run->in) % 11;
    VqElem *e;

    if (run->m->device != FUZZ_HOLD) {
        return;
    }
    if (what < 3 && run->n_held < HELD_MAX && (e = virtqueue_pop(vq))) {
        if (what == 2) {
            virtqueue_unpop(e);
        } else {
            run->held[run->n_held++] = e;
        }
    } else if (what == 3) {
        virtqueue_disable_kicks(vq);
    } else if (what == 4) {
        virtqueue_enable_kicks(vq);
    } else if (what == 5 && run->n_held > 0) {
        use_elem(&run->in, run->held[fuzz_below(&run->in, run->n_held)]);
    } else if (what == 8) {
        run->n_held += virtqueue_pop_batch(vq, run->held + run->n_held, HELD_MAX - run->n_held);
    } else if (what == 9) {
        virtqueue_flush(vq);
    } else if (what == 10 && run->n_held > 0) {
        virtqueue_fill(take_held(run)); /* seen at the next flush, push or notification */
    } else if (what > 5 && run->n_held > 0) {
        virtqueue_push(take_held(run));
        virtio_notify(run->d->vdev, vq);
    }
}

/* --- the run --- */

static void operate(Run *run)
{
    uint8_t op = fuzz_u8(&run->in);

    run->q = (op >> 4) % run->d->n_queues;
    run->r = &run->d->rings[run->q];
    switch (op & 15) {
    case 0:
    case 1:
        fuzz_chain(run->m, &run->in, run->r);
        break;
    case 2:
    case 3:
        run->d->t->notify(run->d, run->q);
        break;
    case 4:
        fake_machine_run(run->d->m);
        break;
    case 5:
        op_bytes(run);
        break;
    case 6:
        op_desc(run);
        break;
    case 7:
        op_avail(run);
        break;
    case 8:
        op_index(run);
        break;
    case 9:
        op_event(run);
        break;
    case 10:
        op_config(run);
        break;
    case 11:
        op_queue(run);
        break;
    case 12:
        set_bus_master(run, run->q & 1);
        break;
    case 13:
        op_remap(run);
        break;
    case 14:
        op_device(run);
        break;
    default:
        fuzz_host_event(run->m, &run->in);
        break;
    }
}

/* Descriptors (packed) or entries (split) popped and not used yet, of a queue of num. */
static unsigned taken(const VirtQueueState *s, unsigned num)
{
    unsigned avail = s->last_avail_idx, used = s->used_idx;

    if (!FUZZ_PACKED) {
        return (uint16_t)(avail - used);
    }
    avail = (avail & 0x7fff) + (avail & 0x8000 ? 0 : num);
    used = (used & 0x7fff) + (used & 0x8000 ? 0 : num);
    return (avail + 2 * num - used) % (2 * num);
}

static void check_idle(Run *run)
{
    VirtIODevice *vdev = run->d->vdev;

    for (unsigned q = 0; q < vdev->queues->len; q++) {
        VirtQueue *vq = virtio_get_queue(vdev, q);
        unsigned num = virtqueue_setup(vq)->size, out;
        VirtQueueState s;

        virtqueue_state(vq, &s);
        out = taken(&s, num);
        g_assert(s.in_flight <= out && out <= num);
        g_assert(run->m->device != FUZZ_ECHO || out == 0);
    }
}

static void give_back(Run *run)
{
    while (run->n_held > 0) {
        virtqueue_push(run->held[--run->n_held]);
    }
}

/* Which of the kept machines, and what its driver takes of the features on offer. */
static FuzzMachine *choose(FuzzInput *in, uint64_t *ret_without)
{
    static const unsigned cells[] = {0, FAKE_INTX, FAKE_MMIO, FAKE_MMIO | FAKE_MMIO_LEGACY,
                                     FAKE_PCI_LEGACY};
    uint8_t machine = fuzz_u8(in), features = fuzz_u8(in);
    unsigned device = machine % FUZZ_DEVICES;
    unsigned cell = cells[machine / FUZZ_DEVICES % (FUZZ_PACKED ? 3 : 5)];
    bool eventfd = machine >= 128;
    FuzzMachine *m;

    cell |= FUZZ_PACKED ? (cell & FAKE_MMIO ? FAKE_MMIO_PACKED : FAKE_PCI_PACKED) : 0;
    m = fuzz_machine(device, cell, eventfd, eventfd ? "ioeventfd=on" : "ioeventfd=off");
    m->d->cell &= ~(unsigned)(FAKE_EVENT_IDX | FAKE_INDIRECT);
    m->d->cell |= features & (FAKE_EVENT_IDX | FAKE_INDIRECT);
    *ret_without = features & 4 ? UINT64_C(1) << VIRTIO_F_IN_ORDER : 0;
    *ret_without |= features & 8 ? 0xffffff : 0;
    *ret_without |= features & 16 ? UINT64_C(1) << VIRTIO_F_NOTIFY_ON_EMPTY : 0;
    return m;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Run run = {.in = {data, size}};
    uint64_t without;

    run.m = choose(&run.in, &without);
    run.d = run.m->d;
    g_assert(fuzz_up(run.d, fuzz_u8(&run.in) % 16 + 1, without));
    for (unsigned i = 0; i < OPS_MAX && run.in.left > 0; i++) {
        operate(&run);
    }
    fake_machine_run(run.d->m);
    check_idle(&run);
    set_bus_master(&run, true);
    fuzz_check(run.m);
    if (size > 0 && data[size - 1] & 1) {
        give_back(&run);
    }
    fake_driver_reset(run.d);
    give_back(&run);
    fuzz_end(run.m, false);
    return 0;
}
