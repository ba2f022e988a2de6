/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Devices and their driver for fuzz targets, see fuzz.h.
 *
 * Guest memory is mapped page by page with a hole on both sides of each region where nothing else
 * is, so that an access beyond RAM ends the process. The heap is counted by the sanitizer's
 * allocator: what an input leaves behind after a reset adds up, also where somebody still refers to
 * it.
 */
#include <linux/virtio_console.h>
#include <linux/virtio_ring.h>
#include <sanitizer/allocator_interface.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>

#include "backends/chardev-impl.h"
#include "backends/rng.h"
#include "backends/user-creatable.h"
#include "core/le.h"
#include "core/log.h"
#include "hw/core/memory-balloon.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-pci.h"
#include "hw/virtio/virtio-serial.h"
#include "tests/fuzz/fuzz.h"

enum {
    CELLS = 64,
    PAGE = 4096,
    HEAP_ROOM = 1 << 20,       /* that a device may take beside its queues' pieces */
    HEAP_PER_QUEUE = 17 << 20, /* VQ_IOV_BUDGET of virtqueue-ring.h, and elements */
    HEAP_GROWTH = 1 << 18,     /* left behind by all inputs of a machine: tables that grow once */
    STEP_MS = 1000,
    PIECES_MAX = 24,
};

static FuzzMachine machines[FUZZ_DEVICES][CELLS][FUZZ_VARIANTS];

/* --- a source of randomness whose bytes are always the same --- */

OBJECT_DECLARE(FuzzRng, fuzz_rng, FUZZ_RNG_OBJECT)

struct FuzzRng {
    RngBackend parent_obj;
};

static bool fuzz_rng_open(RngBackend *b, GError **err)
{
    b->fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    return b->fd >= 0;
}

static ssize_t fuzz_rng_read(RngBackend *b, void *buf, size_t len)
{
    memset(buf, 0x5a, len);
    return (ssize_t)len;
}

static void fuzz_rng_class_init(ObjectClass *klass, const void *data)
{
    RNG_BACKEND_CLASS(klass)->open = fuzz_rng_open;
    RNG_BACKEND_CLASS(klass)->read = fuzz_rng_read;
}

const TypeInfo fuzz_rng_type = {
    .name = "rng-fuzz",
    .parent = &rng_backend_type,
    .instance_size = sizeof(FuzzRng),
    .class_init = fuzz_rng_class_init,
};

/* --- streams --- */

struct FuzzStream {
    Chardev parent_obj;
    size_t room;
    uint64_t taken;
};

static void fuzz_stream_write(Chardev *c, const uint8_t *buf, size_t len)
{
    FuzzStream *s = FUZZ_STREAM(c);

    s->taken += len;
    s->room -= s->room == SIZE_MAX ? 0 : MIN(len, s->room);
}

static size_t fuzz_stream_room(Chardev *c)
{
    return FUZZ_STREAM(c)->room;
}

static void fuzz_stream_init(Object *obj)
{
    FUZZ_STREAM(obj)->room = SIZE_MAX;
    CHARDEV(obj)->open = true;
}

static void fuzz_stream_class_init(ObjectClass *klass, const void *data)
{
    CHARDEV_CLASS(klass)->write = fuzz_stream_write;
    CHARDEV_CLASS(klass)->room = fuzz_stream_room;
}

const TypeInfo fuzz_stream_type = {
    .name = "chardev-fuzz-stream",
    .parent = &chardev_type,
    .instance_size = sizeof(FuzzStream),
    .instance_init = fuzz_stream_init,
    .class_init = fuzz_stream_class_init,
};

FuzzStream *fuzz_stream_of(FuzzMachine *m, unsigned n)
{
    Object *streams = object_container(m->d->m->p.root, "chardevs");

    return FUZZ_STREAM(object_child(streams, n ? "c1" : "c0"));
}

void fuzz_stream_set_room(FuzzStream *s, size_t room)
{
    s->room = room;
    if (room) {
        chardev_fe_event(CHARDEV(s), CHARDEV_DRAINED);
    }
}

uint64_t fuzz_stream_taken(FuzzStream *s)
{
    return s->taken;
}

void fuzz_stream_type_in(FuzzStream *s, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        size_t n = MIN(chardev_fe_room(CHARDEV(s)), len);

        if (n == 0) {
            return;
        }
        chardev_fe_receive(CHARDEV(s), bytes, n);
        bytes += n;
        len -= n;
    }
}

/* --- making them --- */

static void finish(void)
{
    FuzzMachine *all = &machines[0][0][0];

    for (unsigned i = 0; i < sizeof machines / sizeof *all; i++) {
        fake_driver_free(all[i].d);
    }
}

static void guard_ram(GuestMemory *mem)
{
    for (unsigned i = 0; i < gmem_region_count(mem); i++) {
        const GmemRegion *r = gmem_region(mem, i);
        const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

        madvise(r->host, r->size, MADV_NOHUGEPAGE);
        (void)!mmap(r->host - PAGE, PAGE, PROT_NONE, flags, -1, 0);
        (void)!mmap(r->host + r->size, PAGE, PROT_NONE, flags, -1, 0);
    }
}

static void add_rng(FakeMachine *fm)
{
    Object *rng = object_new(&fuzz_rng_type);

    g_assert(user_creatable_complete(rng, NULL));
    g_assert(object_add_child(object_container(fm->p.root, "objects"), "r0", rng, NULL));
}

static void add_streams(FakeMachine *fm)
{
    Object *streams = object_container(fm->p.root, "chardevs");

    for (unsigned i = 0; i < 2; i++) {
        const char *name = i ? "c1" : "c0";
        Chardev *c = chardev_new(&fuzz_stream_type, fm->p.loop, name);

        g_assert(object_add_child(streams, name, OBJECT(c), NULL));
    }
}

static void add_port(FakeMachine *fm, const char *type, const char *id, const char *props)
{
    Device *dev = fake_machine_make(fm, type, id, props);

    dev->id = g_strdup(id);
    g_assert(device_realize(dev, bus_find(fm->main_bus, &virtio_serial_bus_type), NULL));
}

static FakeDriver *make(unsigned device, unsigned cell, const char *props)
{
    static const TypeInfo *const types[] = {&fuzz_rng_type, &fuzz_stream_type, &virtconsole_type,
                                            &virtserialport_type, NULL};
    static const struct {
        const char *name, *props;
    } kinds[] = {
        [FUZZ_ECHO] = {"virtio-echo", "queue-size=16,in_order=on"},
        [FUZZ_HOLD] = {"virtio-echo", "queue-size=16,in_order=on,hold=on"},
        [FUZZ_RNG] = {"virtio-rng", "in_order=on,rng=r0,max-bytes=20000,period=1000"},
        [FUZZ_SERIAL] = {"virtio-serial", "in_order=on,max_ports=3"},
        [FUZZ_BALLOON] = {"virtio-balloon", "in_order=on,deflate-on-oom=on,free-page-reporting=on"},
    };
    FakeMachine *fm = fake_machine_new(0);
    g_autofree char *all = g_strjoin(*props ? "," : "", kinds[device].props, props, NULL);
    FakeDriver *d;

    type_register_list(types);
    guard_ram(fm->p.mem);
    if (device == FUZZ_RNG) {
        add_rng(fm);
    } else if (device == FUZZ_SERIAL) {
        add_streams(fm);
    }
    d = fake_driver_probe_on(fm, kinds[device].name, cell, all);
    if (device == FUZZ_SERIAL) {
        add_port(fm, "virtconsole", "con", "chardev=c0");
        add_port(fm, "virtserialport", "one", "chardev=c1,name=port.one");
    }
    return d;
}

void fuzz_quiet(void)
{
    g_assert(log_set_file("/dev/null", NULL));
    g_assert(log_set_items("guest_errors,unimp", NULL));
    atexit(finish);
}

/* --- as new --- */

/* What no reset of the device brings back: the host's wishes, and what was noted of its doings. */
static void forget(FuzzMachine *m)
{
    FakeDriver *d = m->d;
    FakeMachine *fm = d->m;

    clock_step_to(fm->p.vclock, clock_now(fm->p.vclock) + 10 * STEP_MS * INT64_C(1000000));
    fake_machine_run(fm);
    g_ptr_array_set_size(fm->events, 0);
    fm->msi.n = d->msi_seen = 0;
    d->isr_seen = 0;
    memset(d->pending, 0, sizeof d->pending);
    d->next_page = FUZZ_RINGS;
    d->n_queues = 0;
    memset(m->next_desc, 0, sizeof m->next_desc);
    if (m->device == FUZZ_SERIAL) {
        for (unsigned i = 0; i < 2; i++) {
            FuzzStream *s = fuzz_stream_of(m, i);

            s->taken = 0;
            s->room = SIZE_MAX;
            chardev_set_open(CHARDEV(s), true);
        }
    } else if (m->device == FUZZ_BALLOON) {
        MemoryBalloonClass *mc = object_interface(OBJECT(d->vdev), &memory_balloon_type);

        mc->set_target(OBJECT(d->vdev), gmem_size(fm->p.mem));
        g_assert(property_set_uint(OBJECT(d->vdev), "guest-stats-polling-interval", 0, NULL));
    }
}

FuzzMachine *fuzz_machine(unsigned device, unsigned cell, unsigned variant, const char *props)
{
    FuzzMachine *m = &machines[device][cell][variant];

    g_assert(device < FUZZ_DEVICES && cell < CELLS && variant < FUZZ_VARIANTS);
    m->device = device;
    if (!m->d) {
        m->d = make(device, cell, props);
    }
    forget(m);
    gmem_discard(m->d->m->p.mem, GPA(0), UINT64_MAX, NULL);
    m->heap = __sanitizer_get_current_allocated_bytes();
    return m;
}

FuzzMachine *fuzz_machine_any(unsigned device, FuzzInput *in)
{
    static const unsigned cells[] = {0,
                                     FAKE_PCI_PACKED,
                                     FAKE_MMIO,
                                     FAKE_MMIO | FAKE_MMIO_PACKED,
                                     FAKE_MMIO | FAKE_MMIO_LEGACY,
                                     FAKE_PCI_LEGACY};
    static const char *const balloons[] = {"", ",granule=4k", ",granule=2m", ",must-tell-host=off"};
    uint8_t which = fuzz_u8(in);
    unsigned eventfd = which >= 128;
    unsigned kind =
        device == FUZZ_BALLOON ? which / G_N_ELEMENTS(cells) % G_N_ELEMENTS(balloons) : 0;
    g_autofree char *props =
        g_strconcat(eventfd ? "ioeventfd=on" : "ioeventfd=off", balloons[kind], NULL);

    return fuzz_machine(device, cells[which % G_N_ELEMENTS(cells)], 2 * kind + eventfd, props);
}

/* --- the driver's part --- */

static uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* As fake_driver_init_ring, but memory that nobody touches stays untouched: that is much faster. */
void fuzz_init_ring(FakeDriver *d, FakeRing *r, Gpa at, uint16_t num)
{
    bool packed = d->features >> VIRTIO_F_RING_PACKED & 1;

    *r = (FakeRing){.mem = d->m->p.mem,
                    .num = num,
                    .desc = at,
                    .avail = gpa_add(at, 16 * (uint64_t)num),
                    .event_idx = d->features >> VIRTIO_RING_F_EVENT_IDX & 1,
                    .indirect = d->features >> VIRTIO_RING_F_INDIRECT_DESC & 1,
                    .packed = packed,
                    .avail_wrap = packed,
                    .used_wrap = packed};
    r->used = gpa_add(at, page_up(18 * (uint64_t)num + 6));
    r->tables = gpa_add(r->used, page_up(8 * (uint64_t)num + 6));
    for (uint16_t i = num; i > 0; i--) {
        r->free[r->n_free++] = i - 1;
    }
    gmem_discard(r->mem, at, fake_ring_bytes(num), NULL);
}

static bool setup_queue(FakeDriver *d, unsigned q, unsigned size)
{
    unsigned max = d->t->queue_max(d, q);
    unsigned num = d->t == &fake_pci_legacy_transport ? max : MIN(max, size);
    FakeRing *r = &d->rings[q];

    if (num == 0 || num > FAKE_RING_MAX) {
        return false;
    }
    while (!fake_cell_is_packed(d->cell) && (num & (num - 1))) {
        num &= num - 1;
    }
    fuzz_init_ring(d, r, GPA(d->next_page), (uint16_t)num);
    d->next_page += fake_ring_bytes((uint16_t)num);
    d->t->queue_enable(d, q, (uint16_t)num, r->desc, r->avail, r->used);
    d->n_queues = q + 1;
    return true;
}

bool fuzz_up(FakeDriver *d, unsigned size, uint64_t without)
{
    fake_driver_reset(d);
    d->next_page = FUZZ_RINGS;
    if (fake_driver_status(d) != 0 ||
        !fake_driver_negotiate(d, d->t->device_features(d) & ~without)) {
        return false;
    }
    d->t->setup_interrupts(d);
    for (unsigned q = 0; q < FAKE_QUEUES_MAX && setup_queue(d, q, size); q++) {
    }
    fake_driver_start(d);
    return d->n_queues > 0;
}

uint64_t fuzz_address(FuzzInput *in, const FakeRing *r)
{
    unsigned kind = fuzz_below(in, 16);

    if (kind == 0) {
        return fuzz_number(in);
    }
    if (kind == 1 && r->num > 0) {
        return r->desc.v + fuzz_u16(in) % fake_ring_bytes(r->num);
    }
    if (kind == 2) {
        return FAKE_RAM_EDGE - fuzz_u8(in);
    }
    return FUZZ_BUFFERS + fuzz_u16(in) % FUZZ_BUFFERS_SIZE;
}

static void put_table(FakeRing *r, Gpa table, const FakePiece *pieces, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        Gpa at = gpa_add(table, i * sizeof(struct vring_desc));
        uint64_t flags = (pieces[i].writable ? VRING_DESC_F_WRITE : 0) |
                         (i + 1 < n && !r->packed ? VRING_DESC_F_NEXT : 0);

        fake_mem_put(r->mem, at, pieces[i].gpa.v, 8);
        if (r->packed) {
            fake_mem_put(r->mem, gpa_add(at, 8), pieces[i].len | flags << 48, 8);
        } else {
            fake_mem_put(r->mem, gpa_add(at, 8),
                         pieces[i].len | flags << 32 | (uint64_t)(i + 1) << 48, 8);
        }
    }
}

void fuzz_chain_of(FuzzMachine *m, FakeRing *r, const FakePiece *pieces, unsigned n, bool indirect)
{
    unsigned *next_desc = &m->next_desc[r - m->d->rings];
    uint16_t head = (uint16_t)(*next_desc % r->num), at = head;

    n = MIN(n, r->num);
    *next_desc += indirect ? 1 : n;
    if (indirect) {
        Gpa table = gpa_add(r->tables, (uint64_t)head * r->num * sizeof(struct vring_desc));

        put_table(r, table, pieces, n);
        fake_ring_set_desc(r, head, table.v, n * (uint32_t)sizeof(struct vring_desc),
                           VRING_DESC_F_INDIRECT, 0);
        n = 0;
    }
    for (unsigned i = 0; i < n; i++) {
        uint16_t next = (uint16_t)((at + 1) % r->num);

        fake_ring_set_desc(r, at, pieces[i].gpa.v, pieces[i].len,
                           (pieces[i].writable ? VRING_DESC_F_WRITE : 0) |
                               (i + 1 < n ? VRING_DESC_F_NEXT : 0),
                           next);
        at = next;
    }
    fake_ring_put_avail(r, head);
}

void fuzz_chain(FuzzMachine *m, FuzzInput *in, FakeRing *r)
{
    FakePiece pieces[PIECES_MAX];
    uint8_t shape = fuzz_u8(in);
    unsigned n = shape % 8 + 1, readable = (shape >> 3) % 8;

    for (unsigned i = 0; i < n; i++) {
        uint64_t at = fuzz_address(in, r);

        pieces[i] = (FakePiece){.gpa = GPA(at), .len = fuzz_u16(in), .writable = i >= readable};
    }
    if (shape & 0x80) { /* the last one again and again */
        for (unsigned more = fuzz_below(in, PIECES_MAX - 8); more > 0; more--, n++) {
            pieces[n] = pieces[n - 1];
        }
    }
    fuzz_chain_of(m, r, pieces, n, shape & 0x40);
}

/* --- the host's side --- */

static void stream_event(FuzzMachine *m, FuzzInput *in)
{
    uint8_t what = fuzz_u8(in);
    FuzzStream *s = fuzz_stream_of(m, what & 1);
    const uint8_t *bytes;
    size_t len;

    switch (what >> 1 & 3) {
    case 0:
        bytes = fuzz_bytes(in, 255, &len);
        fuzz_stream_type_in(s, bytes, len);
        break;
    case 1:
        fuzz_stream_set_room(s, fuzz_u16(in));
        break;
    case 2:
        chardev_set_open(CHARDEV(s), what & 8);
        break;
    default:
        chardev_set_size(CHARDEV(s), fuzz_u16(in), fuzz_u16(in));
        break;
    }
}

static void balloon_event(FuzzMachine *m, FuzzInput *in)
{
    MemoryBalloonClass *mc = object_interface(OBJECT(m->d->vdev), &memory_balloon_type);
    json_t *stats;

    switch (fuzz_below(in, 4)) {
    case 0:
        mc->set_target(OBJECT(m->d->vdev), fuzz_number(in));
        g_assert(mc->actual(OBJECT(m->d->vdev)) <= FAKE_RAM_SIZE);
        break;
    case 1:
        property_set_uint(OBJECT(m->d->vdev), "guest-stats-polling-interval", fuzz_u8(in) % 4,
                          NULL);
        break;
    case 2:
        json_decref(mc->ledger(OBJECT(m->d->vdev), true));
        break;
    default:
        stats = property_get_json(OBJECT(m->d->vdev), "guest-stats", NULL);
        g_assert(json_is_object(stats));
        json_decref(stats);
        break;
    }
}

void fuzz_host_event(FuzzMachine *m, FuzzInput *in)
{
    Clock *c = m->d->m->p.vclock;

    if (fuzz_u8(in) & 1) {
        clock_step_to(c, clock_now(c) + fuzz_u16(in) % (2 * STEP_MS) * INT64_C(1000000));
    } else if (m->device == FUZZ_SERIAL) {
        stream_event(m, in);
    } else if (m->device == FUZZ_BALLOON) {
        balloon_event(m, in);
    } else if (m->device != FUZZ_RNG) {
        fake_echo_change_config(m->d->vdev, fuzz_u16(in));
    }
}

/* --- what holds --- */

void fuzz_check(FuzzMachine *m)
{
    const VirtIODevice *vdev = m->d->vdev;
    size_t heap = __sanitizer_get_current_allocated_bytes();

    g_assert(vdev->broken == !!(vdev->status & VIRTIO_CONFIG_S_NEEDS_RESET));
    if (vdev->status & VIRTIO_CONFIG_S_FEATURES_OK) {
        g_assert(!vdev->legacy && !(vdev->guest_features & ~vdev->host_features));
    }
    if (!vdev->legacy && (vdev->status & VIRTIO_CONFIG_S_DRIVER_OK)) {
        g_assert(vdev->status & VIRTIO_CONFIG_S_FEATURES_OK);
    }
    if (heap > m->heap) {
        g_assert(heap - m->heap < HEAP_ROOM + vdev->queues->len * (size_t)HEAP_PER_QUEUE);
    }
}

/* One request on queue q; what comes back is in *ret_len, and bytes at the IN piece. */
static void ask(FakeDriver *d, unsigned q, const FakeBuf *bufs, Gpa *ret_places, uint32_t *ret_len)
{
    fake_driver_add_bufs(d, q, bufs, ret_places);
    fake_driver_kick(d, q);
    g_assert(fake_driver_get(d, q, NULL, ret_len));
    g_assert(fake_driver_interrupted(d, q));
}

static void serve_echo(FakeDriver *d)
{
    static const char ping[] = "ping of 16 bytes";
    char pong[16];
    Gpa at[2];
    uint32_t len;

    ask(d, 1, (const FakeBuf[]){OUT(ping, 16), IN(20), END}, at, &len);
    g_assert(len == 16 && gmem_read(d->m->p.mem, at[1], pong, 16) && !memcmp(ping, pong, 16));
}

static void serve_hold(FakeDriver *d)
{
    VirtQueue *vq = virtio_get_queue(d->vdev, 0);
    VqElem *e;
    uint32_t len;

    fake_driver_add(d, 0, OUT("1234", 4), IN(4));
    fake_driver_kick(d, 0);
    e = virtqueue_pop(vq);
    g_assert(e && vq_elem_out_left(e) == 4 && vq_elem_in_left(e) == 4);
    g_assert(vq_elem_write(e, "56", 2));
    virtqueue_push(e);
    g_assert(fake_driver_get(d, 0, NULL, &len) && len == 2);
}

/* The driver is ready and gets told of a port. */
static void serve_serial(FakeDriver *d)
{
    uint8_t wire[8] = {0};
    uint32_t len;
    Gpa at[1];

    if (!virtio_has_feature(d->vdev, VIRTIO_CONSOLE_F_MULTIPORT)) {
        ask(d, 1, (const FakeBuf[]){OUT("hello", 5), END}, NULL, &len);
        return;
    }
    le_store(wire + 4, VIRTIO_CONSOLE_DEVICE_READY, 2);
    le_store(wire + 6, 1, 2);
    fake_driver_add_bufs(d, 2, (const FakeBuf[]){IN(32), END}, at);
    ask(d, 3, (const FakeBuf[]){OUT(wire, 8), END}, NULL, &len);
    g_assert(fake_driver_get(d, 2, NULL, &len) && len == 8);
    g_assert(fake_mem_get(d->m->p.mem, gpa_add(at[0], 4), 2) == VIRTIO_CONSOLE_PORT_ADD);
}

static void serve(FuzzMachine *m)
{
    FakeDriver *d = m->d;
    static const uint32_t pfn = 1234;
    uint32_t len;

    switch (m->device) {
    case FUZZ_ECHO:
        serve_echo(d);
        break;
    case FUZZ_HOLD:
        serve_hold(d);
        break;
    case FUZZ_RNG:
        ask(d, 0, (const FakeBuf[]){IN(100), END}, NULL, &len);
        g_assert(len == 100);
        break;
    case FUZZ_SERIAL:
        serve_serial(d);
        break;
    default:
        ask(d, 0, (const FakeBuf[]){OUT(&pfn, 4), END}, NULL, &len);
        g_assert(len == 0);
        break;
    }
}

static void heap_is_back(FuzzMachine *m)
{
    size_t heap = __sanitizer_get_current_allocated_bytes();

    m->growth += heap > m->heap ? heap - m->heap : 0;
    m->growth -= heap < m->heap ? MIN(m->heap - heap, m->growth) : 0;
    g_assert(m->growth < HEAP_GROWTH);
}

void fuzz_end(FuzzMachine *m, bool whole_machine)
{
    FakeDriver *d = m->d;

    fuzz_check(m);
    if (whole_machine) {
        fake_machine_reset(d->m);
        d->t->probe(d);
    } else {
        fake_driver_reset(d);
    }
    g_assert(fake_driver_status(d) == 0 && !fake_irq_level(d->m));
    forget(m); /* time passes: what is rationed may have been used up */
    gmem_discard(d->m->p.mem, GPA(0), UINT64_MAX, NULL);
    d->cell |= FAKE_EVENT_IDX | FAKE_INDIRECT;
    g_assert(fuzz_up(d, 8, 0));
    serve(m);
    g_assert(!fake_driver_broken(d));
    fake_driver_reset(d);
    forget(m);
    heap_is_back(m);
}
