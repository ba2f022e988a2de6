/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net: the input is a list of what a driver, the network and a user do. Control commands of
 * any bytes, frames to be sent with any header, receive buffers of any size, chains of any layout
 * on any queue, with memory behind them that changes; frames that come in, a backend that is full,
 * a link that is pulled. After each input the device is reset and still carries a frame each way.
 */
#include <linux/virtio_ring.h>
#include <string.h>

#include "backends/net-impl.h"
#include "hw/virtio/virtio-net-internal.h"
#include "tests/fuzz/fuzz.h"

enum { OPS_MAX = 200, CELLS = 5, PAIRS = 2, QUEUE_SIZE = 16, SLOTS = 32, SLOT = 0x800 };
enum { NO_HASH_CELL = 4, FRAME = 60, INJECT_MAX = 4096 };

OBJECT_DECLARE(FuzzNet, fuzz_net, FUZZ_NET)

/* A backend that counts. */
struct FuzzNet {
    NetBackend parent_obj;
    int room; /* frames that it takes; -1: any number */
    uint64_t sent, readies;
};

typedef struct {
    FakeDriver *d;
    FuzzNet *net;
    VirtioNet *s;
    unsigned next_slot;
} Card;

static unsigned fuzz_net_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    FuzzNet *t = FUZZ_NET(b);
    unsigned i;

    for (i = 0; i < n && t->room != 0; i++) {
        size_t len = 0;

        for (unsigned k = 0; k < frames[i].niov; k++) {
            const volatile uint8_t *p = frames[i].iov[k].iov_base;

            len += frames[i].iov[k].iov_len;
            for (size_t at = 0; at < frames[i].iov[k].iov_len; at += 512) {
                (void)p[at]; /* all of it is there */
            }
        }
        g_assert(len == frames[i].len && !(net_offload_needed(&frames[i].hdr) & ~b->host_offloads));
        t->room -= t->room > 0;
        t->sent++;
    }
    return i;
}

static void fuzz_net_receive_ready(NetBackend *b, unsigned queue)
{
    FUZZ_NET(b)->readies++;
}

static bool fuzz_net_set_guest_offloads(NetBackend *b, unsigned offloads)
{
    return true;
}

static bool fuzz_net_open(NetBackend *b, GError **err)
{
    b->guest_offloads = NET_OFFLOAD_ALL;
    b->host_offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4;
    b->max_queues = PAIRS;
    return true;
}

static void fuzz_net_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->open = fuzz_net_open;
    k->send = fuzz_net_send;
    k->receive_ready = fuzz_net_receive_ready;
    k->set_guest_offloads = fuzz_net_set_guest_offloads;
}

const TypeInfo fuzz_net_type = {
    .name = "netdev-fuzz",
    .parent = &net_backend_type,
    .instance_size = sizeof(FuzzNet),
    .class_init = fuzz_net_class_init,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    type_register(&fuzz_net_type);
    return 0;
}

static void ignore_event(Platform *p, const char *name, json_t *data)
{
    json_decref(data);
}

static const PlatformOps platform_ops = {.event = ignore_event};

/* PCI, PCI packed, MMIO, PCI's legacy interface, and PCI with other headers and a timer for
 * sending. */
static Card *card_of(unsigned n)
{
    static const unsigned cells[CELLS] = {FAKE_EVENT_IDX | FAKE_INDIRECT, FAKE_PCI_PACKED,
                                          FAKE_MMIO, FAKE_PCI_LEGACY, FAKE_INDIRECT};
    static Card cards[CELLS];
    Card *c = &cards[n];

    if (!c->d) {
        FakeMachine *m = fake_machine_new(0);
        json_t *opts = json_pack("{s:s, s:s}", "type", "fuzz", "id", "n0");

        c->net = FUZZ_NET(net_backend_add(m->p.root, m->p.loop, opts, NULL));
        json_decref(opts);
        m->p.ops = &platform_ops;
        c->d = fake_driver_probe_on(m, "virtio-net", cells[n],
                                    n == NO_HASH_CELL ? "netdev=n0,mq=on,tx=timer,host_mtu=1500"
                                                      : "netdev=n0,mq=on,rss=on,hash=on");
        c->s = VIRTIO_NET(c->d->vdev);
    }
    return c;
}

static void up(Card *c)
{
    fake_driver_set_dma(c->d, true);
    g_assert(fuzz_up(c->d, QUEUE_SIZE, 0));
    c->next_slot = 0;
}

static unsigned ctrl_queue(void)
{
    return 2 * PAIRS;
}

static FakeRing *ring(Card *c, unsigned q)
{
    return &c->d->rings[q];
}

static Gpa slot(Card *c)
{
    return GPA(FUZZ_BUFFERS + (uint64_t)(c->next_slot++ % SLOTS) * SLOT);
}

static void put(Card *c, Gpa at, const void *p, size_t n)
{
    g_assert(n == 0 || gmem_write(c->d->m->p.mem, at, p, n));
}

/* --- what the input may do --- */

/* A command in one piece or two, with room for an answer that may be too small. */
static void command(Card *c, FuzzInput *in)
{
    uint8_t header[2] = {fuzz_u8(in), fuzz_u8(in)};
    unsigned room = fuzz_below(in, 10);
    size_t len;
    const uint8_t *data = fuzz_bytes(in, 255, &len);
    FakeRing *r = ring(c, ctrl_queue());
    Gpa at = slot(c);
    FakePiece pieces[] = {
        {at, 2, false}, {gpa_add(at, 2), (uint32_t)len, false}, {gpa_add(at, 1024), room, true}};

    if (r->n_free < G_N_ELEMENTS(pieces)) {
        return;
    }
    put(c, at, header, 2);
    put(c, gpa_add(at, 2), data, len);
    fake_ring_add(r, pieces, G_N_ELEMENTS(pieces));
}

/* A frame behind a header that is the input's; more of it lies behind what the input has. */
static void transmit(Card *c, FuzzInput *in)
{
    FakeRing *r = ring(c, 1 + 2 * fuzz_below(in, PAIRS));
    unsigned cut = fuzz_u8(in), extra = fuzz_u8(in);
    size_t len;
    const uint8_t *data = fuzz_bytes(in, 255, &len);
    size_t first = MIN(cut, len);
    Gpa at = slot(c);
    FakePiece pieces[] = {{at, (uint32_t)first, false},
                          {gpa_add(at, first), (uint32_t)(len - first), false},
                          {GPA(FUZZ_BUFFERS), extra * 256, false}};

    if (r->n_free < G_N_ELEMENTS(pieces)) {
        return;
    }
    put(c, at, data, len);
    fake_ring_add(r, pieces, G_N_ELEMENTS(pieces));
}

static void receive_buffers(Card *c, FuzzInput *in)
{
    FakeRing *r = ring(c, 2 * fuzz_below(in, PAIRS));
    unsigned n = 1 + fuzz_below(in, 8);

    while (n-- > 0 && r->n_free >= 2) {
        unsigned len = fuzz_u8(in);
        FakePiece pieces[] = {{slot(c), len % 16, true},
                              {slot(c), len < 16 ? 1700 : len * 8, true}};

        fake_ring_add(r, pieces, G_N_ELEMENTS(pieces));
    }
}

/* From the network: such frames as a backend may deliver. */
static void inject(Card *c, FuzzInput *in)
{
    static uint8_t buf[INJECT_MAX];
    unsigned from = fuzz_below(in, PAIRS), big = fuzz_u8(in);
    size_t len;
    const uint8_t *data = fuzz_bytes(in, 128, &len);
    struct iovec iov[2] = {{buf, len / 2}, {buf + len / 2, len - len / 2 + big * 8}};
    NetFrame f = {.iov = iov, .niov = 2, .len = len + big * 8};

    memset(buf, (int)big, sizeof buf);
    if (len > 0) {
        memcpy(buf, data, len);
    }
    if (len > 0 && net_can_deliver(&c->net->parent_obj, from)) {
        net_deliver(&c->net->parent_obj, from, &f);
    }
}

/* Up to 8 descriptors anywhere in the buffers, most of them in order; made available. */
static void chain(Card *c, FuzzInput *in)
{
    FakeRing *r = ring(c, fuzz_below(in, 2 * PAIRS + 1));
    unsigned n = 1 + fuzz_below(in, 8), first = fuzz_below(in, QUEUE_SIZE);

    for (unsigned i = 0; i < n; i++) {
        unsigned flags = fuzz_u8(in), at = fuzz_u8(in), len = fuzz_u8(in);
        uint16_t next = (uint16_t)((first + i + 1) % QUEUE_SIZE);

        len = flags & 0x80 ? len << 8 | fuzz_u8(in) : flags & 0x40 ? len * 16 : len;
        fake_ring_set_desc(
            r, (uint16_t)((first + i) % QUEUE_SIZE), FUZZ_BUFFERS + at * 128, len,
            (uint16_t)((flags & VRING_DESC_F_WRITE) | (i + 1 < n ? VRING_DESC_F_NEXT : 0)),
            flags & 0x20 ? (uint16_t)fuzz_below(in, 32) : next);
    }
    fake_ring_put_avail(r, (uint16_t)first);
}

static void poke(Card *c, FuzzInput *in)
{
    unsigned at = fuzz_u16(in);

    fake_mem_put(c->d->m->p.mem, GPA(FUZZ_BUFFERS + at), fuzz_u8(in), 1);
}

static void host(Card *c, FuzzInput *in)
{
    Platform *p = &c->d->m->p;
    NetBackend *b = &c->net->parent_obj;
    unsigned what = fuzz_u8(in);

    switch (what % 8) {
    case 0:
        c->net->room = what / 8;
        break;
    case 1:
        c->net->room = -1;
        for (unsigned i = 0; i < PAIRS; i++) {
            net_backend_writable(b, i);
        }
        break;
    case 2:
        net_backend_set_link(b, what & 8);
        break;
    case 3:
        platform_run_changed(p, what & 8);
        break;
    default:
        clock_step_to(p->vclock, clock_now(p->vclock) + (INT64_C(1) << (what / 8)));
        break;
    }
    fake_machine_run(c->d->m);
}

static void driver(Card *c, FuzzInput *in)
{
    FakeDriver *d = c->d;
    unsigned what = fuzz_u8(in), q = what / 8 % (2 * PAIRS + 1);

    switch (what % 8) {
    case 0:
        up(c);
        break;
    case 1:
        fake_driver_set_dma(d, what & 8);
        break;
    case 2:
        d->t->config_write(d, what / 8 % 24, fuzz_u8(in), 1);
        break;
    case 3:
        virtio_queue_disable(d->vdev, q);
        break;
    case 4:
        virtio_queue_enable(d->vdev, q);
        break;
    case 5:
        fake_driver_reset(d);
        break;
    default:
        while (d->n_queues > q && fake_driver_get(d, q, NULL, NULL)) {
        }
        break;
    }
}

static void check(const Card *c)
{
    const VirtioNet *s = c->s;
    unsigned offloads = c->net->parent_obj.now_offloads;

    g_assert(s->cur_pairs >= 1 && s->cur_pairs <= PAIRS);
    g_assert(!(s->guest_offloads & ~s->parent_obj.guest_features));
    g_assert(!offloads || (offloads & NET_OFFLOAD_CSUM));
    g_assert(s->filter.n_uni + s->filter.n_multi <= NET_FILTER_MACS);
    g_assert(s->rss.config.table_len >= 1 && s->rss.config.table_len <= NET_RSS_TABLE_MAX);
    for (unsigned i = 0; i < s->rss.config.table_len; i++) {
        g_assert(s->rss.config.table[i] < PAIRS);
    }
}

static void one_op(Card *c, FuzzInput *in)
{
    switch (fuzz_below(in, 12)) {
    case 0:
    case 1:
        command(c, in);
        break;
    case 2:
        transmit(c, in);
        break;
    case 3:
        receive_buffers(c, in);
        break;
    case 4:
        inject(c, in);
        break;
    case 5:
        chain(c, in);
        break;
    case 6:
        poke(c, in);
        break;
    case 7:
        host(c, in);
        break;
    case 8:
        driver(c, in);
        break;
    default:
        fake_driver_kick(c->d, fuzz_below(in, 2 * PAIRS + 1));
        check(c);
        break;
    }
}

/* --- afterwards --- */

static void expect_frames_both_ways(Card *c)
{
    FakeDriver *d = c->d;
    FakePiece out = {GPA(FUZZ_BUFFERS), 20 + FRAME, false},
              room = {GPA(FUZZ_BUFFERS + SLOT), SLOT, true};
    uint8_t frame[FRAME] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
    struct iovec iov = {frame, sizeof frame};
    NetFrame f = {.iov = &iov, .niov = 1, .len = sizeof frame};
    uint64_t before = c->net->sent;

    g_assert(gmem_set(d->m->p.mem, GPA(FUZZ_BUFFERS), 0, SLOT));
    fake_ring_add(&d->rings[1], &out, 1);
    fake_driver_kick(d, 1);
    clock_step_to(d->m->p.vclock, clock_now(d->m->p.vclock) + 1000000000);
    fake_machine_run(d->m);
    g_assert(fake_driver_get(d, 1, NULL, NULL) && c->net->sent == before + 1);
    fake_ring_add(&d->rings[0], &room, 1);
    fake_driver_kick(d, 0);
    g_assert(net_can_deliver(&c->net->parent_obj, 0));
    net_deliver(&c->net->parent_obj, 0, &f);
    fake_machine_run(d->m);
    g_assert(fake_driver_get(d, 0, NULL, NULL));
}

static void as_new(Card *c)
{
    Platform *p = &c->d->m->p;

    c->net->room = -1;
    platform_run_changed(p, true);
    net_backend_set_link(&c->net->parent_obj, true);
    fake_driver_reset(c->d);
    for (unsigned i = 0; i < PAIRS; i++) {
        net_backend_writable(&c->net->parent_obj, i);
    }
    fake_machine_run(c->d->m); /* what was kept for the guest is dropped: it has no driver */
    g_assert(gmem_set(p->mem, GPA(FUZZ_BUFFERS), 0, FUZZ_BUFFERS_SIZE));
    up(c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};
    Card *c = card_of(fuzz_below(&in, CELLS));

    as_new(c);
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        one_op(c, &in);
    }
    as_new(c);
    check(c);
    expect_frames_both_ways(c);
    return 0;
}
