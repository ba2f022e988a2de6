/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio-net device on a backend of the kind "test", see test-virtio-net.h.
 */
#include "tests/test-virtio-net.h"

#include <linux/virtio_ring.h>
#include <string.h>

static FakeMachine *machine_with_backend(unsigned offloads, unsigned queues, NetTest **ret_t)
{
    FakeMachine *m = fake_machine_new(0);
    NetTest *t;

    type_register(&net_test_type);
    net_root = m->p.root;
    net_loop = m->p.loop;
    t = net_test_add("n0", offloads, queues);
    if (ret_t) {
        *ret_t = t;
    }
    return m;
}

FakeDriver *vnet_probe(unsigned cell, unsigned offloads, unsigned queues, const char *props,
                       NetTest **ret_t)
{
    FakeMachine *m = machine_with_backend(offloads, queues, ret_t);
    g_autofree char *all = g_strjoin(props ? "," : "", "netdev=n0", props ? props : "", NULL);

    return fake_driver_probe_on(m, "virtio-net", cell, all);
}

FakeDriver *vnet_start(unsigned cell, unsigned offloads, unsigned queues, const char *props,
                       NetTest **ret_t)
{
    FakeDriver *d = vnet_probe(cell, offloads, queues, props, ret_t);

    fake_driver_up(d);
    return d;
}

void vnet_up_without(FakeDriver *d, uint64_t features)
{
    ck_assert(fake_driver_negotiate(d, d->t->device_features(d) & ~features));
    fake_driver_setup_queues(d);
    fake_driver_start(d);
}

char *vnet_error(const char *props)
{
    FakeMachine *m = machine_with_backend(0, 1, NULL);
    g_autoptr(GError) err = NULL;
    Device *dev = fake_machine_add(m, "virtio-net-pci", "card", props, &err);
    char *line = dev ? NULL : g_strdup(err->message);

    ck_assert_msg(line != NULL, "%s is taken", props);
    ck_assert_ptr_null(strchr(line, '\n'));
    fake_machine_free(m);
    return line;
}

bool vnet_offers(FakeDriver *d, unsigned bit)
{
    return d->t->device_features(d) >> bit & 1;
}

uint64_t vnet_config(FakeDriver *d, unsigned off, unsigned size)
{
    return d->t->config_read(d, off, size);
}

VirtioNet *vnet_of(FakeDriver *d)
{
    return VIRTIO_NET(d->vdev);
}

uint64_t vnet_count(FakeDriver *d, const char *name)
{
    json_t *value = property_get_json(OBJECT(d->vdev), name, NULL);
    uint64_t n = (uint64_t)json_integer_value(value);

    json_decref(value);
    return n;
}

unsigned vnet_hdr_len(FakeDriver *d)
{
    if (d->features & BIT(HASH_REPORT)) {
        return 20;
    }
    return fake_cell_is_legacy(d->cell) && !(d->features & BIT(MRG_RXBUF)) ? 10 : 12;
}

void vnet_pattern(uint8_t *buf, size_t len, unsigned seed)
{
    net_frame(buf, len, seed);
}

/* --- sending --- */

const uint8_t *vnet_header(uint8_t flags, uint8_t gso_type, unsigned hdr_len, unsigned gso_size,
                           unsigned csum_start, unsigned csum_offset)
{
    static uint8_t hdr[20];

    memset(hdr, 0, sizeof hdr);
    hdr[0] = flags;
    hdr[1] = gso_type;
    le_store(hdr + 2, hdr_len, 2);
    le_store(hdr + 4, gso_size, 2);
    le_store(hdr + 6, csum_start, 2);
    le_store(hdr + 8, csum_offset, 2);
    return hdr;
}

uint16_t vnet_add(FakeDriver *d, unsigned q, const uint8_t *hdr, const void *frame, size_t len,
                  size_t piece)
{
    FakeBuf bufs[FAKE_RING_MAX + 2];
    unsigned n = 0;

    bufs[n++] = OUT(hdr ? hdr : vnet_header(0, 0, 0, 0, 0, 0), vnet_hdr_len(d));
    for (size_t at = 0; at < len; at += piece) {
        bufs[n++] = OUT((const uint8_t *)frame + at, (uint32_t)MIN(piece, len - at));
    }
    bufs[n] = END;
    return fake_driver_add_bufs(d, q, bufs, NULL);
}

void vnet_take_sent(FakeDriver *d, unsigned q, unsigned n)
{
    uint32_t len = 0, all = 0;
    unsigned got = 0;

    while (fake_driver_get(d, q, NULL, &len)) {
        got++;
        all |= len;
    }
    ck_assert_uint_eq(got, n);
    ck_assert_uint_eq(all, 0); /* nothing was written */
}

void vnet_send(FakeDriver *d, unsigned q, const uint8_t *hdr, const void *frame, size_t len,
               size_t piece)
{
    uint64_t page = d->next_page;

    vnet_add(d, q, hdr, frame, len, piece);
    fake_driver_kick(d, q);
    vnet_take_sent(d, q, 1);
    d->next_page = page;
}

/* --- receiving --- */

typedef struct {
    Gpa at[FAKE_RING_MAX];
    size_t len[FAKE_RING_MAX];
} Posted;

/* Of two drivers at most. */
static struct {
    const FakeDriver *driver;
    Posted queues[FAKE_QUEUES_MAX];
} posted[2];

static Posted *posted_of(const FakeDriver *d, unsigned q)
{
    static unsigned oldest;

    for (unsigned i = 0; i < G_N_ELEMENTS(posted); i++) {
        if (posted[i].driver == d) {
            return &posted[i].queues[q];
        }
    }
    oldest = !oldest;
    posted[oldest].driver = d;
    return &posted[oldest].queues[q];
}

static void post(FakeDriver *d, unsigned q, size_t len, size_t piece)
{
    FakeBuf bufs[FAKE_RING_MAX + 1];
    Gpa at = fake_driver_alloc(d, len);
    unsigned n = 0;
    uint16_t head;

    for (size_t done = 0; done < len; done += piece) {
        bufs[n++] = IN_AT(at.v + done, (uint32_t)MIN(piece, len - done));
    }
    bufs[n] = END;
    head = fake_driver_add_bufs(d, q, bufs, NULL);
    posted_of(d, q)->at[head] = at;
    posted_of(d, q)->len[head] = len;
}

void vnet_post_one(FakeDriver *d, unsigned q, size_t len)
{
    post(d, q, len, MAX(len, 1));
}

void vnet_post(FakeDriver *d, unsigned q, unsigned n, size_t len, size_t piece)
{
    for (unsigned i = 0; i < n; i++) {
        post(d, q, len, piece);
    }
    fake_driver_kick(d, q);
}

bool vnet_inject(FakeDriver *d, NetTest *t, unsigned queue, const void *frame, size_t len,
                 NetHdr hdr)
{
    struct iovec iov[3];
    NetFrame f = {.iov = iov, .niov = 1, .len = len, .hdr = hdr};
    size_t first = len % 5 ? len : MIN(len, 7); /* some come in pieces */
    bool taken;

    iov[0] = (struct iovec){(void *)frame, first};
    if (first < len) {
        iov[f.niov++] = (struct iovec){(uint8_t *)frame + first, len - first};
    }
    taken = net_deliver(&t->parent_obj, queue, &f);
    fake_machine_run(d->m);
    return taken;
}

unsigned vnet_hdr16(const VnetGot *g, unsigned off)
{
    return (unsigned)le_load(g->hdr + off, 2);
}

/* One buffer, behind what is there. */
static bool get_buffer(FakeDriver *d, unsigned q, uint8_t *all, size_t *len, bool *ret_full)
{
    const Posted *p;
    uint16_t head;
    uint32_t used;

    if (!fake_driver_get(d, q, &head, &used)) {
        return false;
    }
    p = posted_of(d, q);
    ck_assert_uint_le(used, p->len[head]);
    ck_assert_uint_gt(used, 0);
    ck_assert(gmem_read(d->m->p.mem, p->at[head], all + *len, used));
    *ret_full = used == p->len[head];
    *len += used;
    return true;
}

bool vnet_get(FakeDriver *d, unsigned q, VnetGot *ret_got)
{
    static uint8_t all[NET_FRAME_MAX + 2 * 65536];
    unsigned hdr_len = vnet_hdr_len(d), more = 0;
    size_t len = 0;
    bool full;

    if (!get_buffer(d, q, all, &len, &full)) {
        return false;
    }
    ck_assert_uint_ge(len, hdr_len);
    memcpy(ret_got->hdr, all, hdr_len);
    if (hdr_len >= 12) {
        more = vnet_hdr16(ret_got, 10) - 1;
    }
    ret_got->buffers = more + 1;
    ck_assert(more == 0 || (d->features & BIT(MRG_RXBUF)));
    for (; more > 0; more--) {
        ck_assert(full);
        ck_assert_msg(get_buffer(d, q, all, &len, &full), "%u buffers are missing", more);
    }
    ret_got->len = len - hdr_len;
    memcpy(ret_got->frame, all + hdr_len, ret_got->len);
    return true;
}

void vnet_expect(FakeDriver *d, NetTest *t, unsigned queue, unsigned rx, const void *frame,
                 size_t len)
{
    static VnetGot got;

    ck_assert(vnet_inject(d, t, queue, frame, len, (NetHdr){0}));
    ck_assert_msg(vnet_get(d, rx, &got), "a frame of %zu bytes does not come", len);
    ck_assert_uint_eq(got.len, len);
    ck_assert(memcmp(got.frame, frame, len) == 0);
    ck_assert(!vnet_get(d, rx, &got));
}
