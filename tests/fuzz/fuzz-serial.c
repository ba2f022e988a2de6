/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as what driver and host do to a virtio-serial device: control messages of any kind, buffers
 * for the device's, data both ways, streams that open, close, get full and drain, ports that come
 * and go. The first byte chooses the transport, the second whether there are control queues.
 *
 * No more bytes reach the streams than the guest sent, and no more are written into its buffers
 * than the host typed. Afterwards a reset brings the device back.
 */
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>

#include "core/le.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/fuzz/fuzz.h"

enum { CTL_IN = 2, CTL_OUT = 3, OPS_MAX = 200, EMERG_WR = 8 };

typedef struct {
    FuzzMachine *m;
    FuzzInput in;
    FakeDriver *d;
    uint64_t sent; /* bytes that the guest made available, emergency writes included */
    bool raw;      /* it did more than this target can count */
} Run;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    return 0;
}

static uint32_t put_text(Run *run, const uint8_t *bytes, size_t len)
{
    uint32_t at = FUZZ_BUFFERS + fuzz_u8(&run->in) * 32u;

    g_assert(gmem_write(run->d->m->p.mem, GPA(at), bytes, len));
    return at;
}

static void send(Run *run, unsigned q, const uint8_t *bytes, size_t len)
{
    FakePiece piece = {.gpa = GPA(put_text(run, bytes, len)), .len = (uint32_t)len};

    if (q < run->d->n_queues) {
        fuzz_chain_of(run->m, &run->d->rings[q], &piece, 1, false);
        fake_driver_kick(run->d, q);
    }
}

static void give(Run *run, unsigned q, uint32_t len)
{
    FakePiece pieces[2] = {{.gpa = GPA(FUZZ_BUFFERS + 0x8000), .len = len, .writable = true}};

    if (q < run->d->n_queues) {
        pieces[1] = pieces[0];
        pieces[1].gpa = gpa_add(pieces[0].gpa, len);
        fuzz_chain_of(run->m, &run->d->rings[q], pieces, len & 1 ? 2 : 1, false);
        fake_driver_kick(run->d, q);
    }
}

static void send_control(Run *run)
{
    static const uint16_t events[] = {
        VIRTIO_CONSOLE_DEVICE_READY, VIRTIO_CONSOLE_PORT_READY, VIRTIO_CONSOLE_PORT_OPEN,
        VIRTIO_CONSOLE_PORT_READY,   VIRTIO_CONSOLE_PORT_OPEN,
    };
    uint8_t what = fuzz_u8(&run->in), wire[8];
    uint16_t event = what & 7, value = what >> 7;
    uint32_t id = what >> 3 & 3;
    size_t len = sizeof wire;

    if (event < G_N_ELEMENTS(events)) {
        event = events[event];
    } else {
        event = fuzz_u16(&run->in);
        value = fuzz_u16(&run->in);
        id = (uint32_t)fuzz_number(&run->in);
        len = fuzz_u8(&run->in) % 9;
    }
    le_store(wire, id, 4);
    le_store(wire + 4, event, 2);
    le_store(wire + 6, value, 2);
    send(run, CTL_OUT, wire, len);
}

static void send_data(Run *run, unsigned q)
{
    size_t len;
    const uint8_t *bytes = fuzz_bytes(&run->in, 255, &len);

    run->sent += len;
    send(run, q, bytes, len);
}

/* The port that nobody insists on comes and goes. */
static void plug_op(Run *run)
{
    Object *root = run->d->m->p.root;
    Bus *bus = bus_find(run->d->m->main_bus, &virtio_serial_bus_type);
    Device *dev = DEVICE(object_child(root, "one"));

    if (dev->realized) {
        device_unrealize(dev);
    } else if (bus) {
        g_assert(device_realize(dev, bus, NULL));
    }
}

static void config_op(Run *run)
{
    uint8_t what = fuzz_u8(&run->in);
    unsigned off = what & 15, size = 1u << (what >> 4 & 3) % 3;

    if (what & 0x80) {
        run->sent++; /* it may reach the console's emergency byte */
        run->d->t->config_write(run->d, off, fuzz_u32(&run->in), size);
    } else {
        run->d->t->config_read(run->d, off, size);
    }
}

static void raw_op(Run *run, unsigned q)
{
    run->raw = true;
    if (run->d->n_queues > 0) {
        q %= run->d->n_queues;
        fuzz_chain(run->m, &run->in, &run->d->rings[q]);
        fake_driver_kick(run->d, q);
    }
}

static void operate(Run *run)
{
    uint8_t op = fuzz_u8(&run->in);
    unsigned q = (op >> 4) % 8;

    switch (op & 15) {
    case 0:
    case 1:
    case 2:
        send_control(run);
        break;
    case 3:
        give(run, CTL_IN, fuzz_u8(&run->in));
        break;
    case 4:
    case 5:
        send_data(run, q | 1);
        break;
    case 6:
        give(run, q & ~1u, fuzz_u16(&run->in) % 4096);
        break;
    case 7:
    case 8:
    case 9:
        fuzz_host_event(run->m, &run->in);
        break;
    case 10:
        plug_op(run);
        break;
    case 11:
        config_op(run);
        break;
    case 12:
        raw_op(run, q);
        break;
    case 13:
        fuzz_up(run->d, 16, op & 0x10 ? UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT : 0);
        break;
    default:
        fake_machine_run(run->d->m);
        break;
    }
}

static void check_streams(Run *run)
{
    uint64_t taken =
        fuzz_stream_taken(fuzz_stream_of(run->m, 0)) + fuzz_stream_taken(fuzz_stream_of(run->m, 1));

    g_assert(run->raw || taken <= run->sent);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Run run = {.in = {data, size}};

    run.m = fuzz_machine_any(FUZZ_SERIAL, &run.in);
    run.d = run.m->d;
    g_assert(
        fuzz_up(run.d, 16, fuzz_u8(&run.in) & 1 ? UINT64_C(1) << VIRTIO_CONSOLE_F_MULTIPORT : 0));
    for (unsigned i = 0; i < OPS_MAX && run.in.left > 0; i++) {
        operate(&run);
    }
    fake_machine_run(run.d->m);
    check_streams(&run);
    if (!DEVICE(object_child(run.d->m->p.root, "one"))->realized) {
        plug_op(&run);
    }
    fuzz_end(run.m, false);
    return 0;
}
