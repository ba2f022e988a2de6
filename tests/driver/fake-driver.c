/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The transport-independent part of the test driver, see fake-driver.h.
 */
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/driver/fake-driver.h"

enum {
    PAGE = 4096,
    FIRST_PAGE = 0x100000,
    EDGE_MAX = 0x8000, /* longest buffer at an edge of RAM; pages are not handed out there */
};

FakeDriver *fake_driver_probe_on(FakeMachine *m, const char *device, unsigned cell,
                                 const char *props)
{
    FakeDriver *d = g_new0(FakeDriver, 1);
    g_autofree char *all_props = NULL;
    g_autoptr(GError) err = NULL;

    type_register_list(fake_echo_types);
    d->t = cell & FAKE_PCI_LEGACY ? &fake_pci_legacy_transport
           : cell & FAKE_MMIO     ? &fake_mmio_transport
                                  : &fake_pci_transport;
    d->cell = cell;
    d->next_page = FIRST_PAGE;
    d->next_high = FAKE_RAM_HIGH;
    d->m = m;
    all_props = g_strjoin(props && fake_cell_is_packed(cell) ? "," : "", props ? props : "",
                          fake_cell_is_packed(cell) ? "packed=on" : "", NULL);
    d->vdev = d->t->plug(d, device, all_props, &err);
    if (!d->vdev) {
        g_error("%s: %s", device, err->message);
    }
    d->t->probe(d);
    return d;
}

FakeDriver *fake_driver_probe(const char *device, unsigned cell, const char *props)
{
    return fake_driver_probe_on(fake_machine_new(0), device, cell, props);
}

FakeDriver *fake_driver_new_props(const char *device, unsigned cell, const char *props)
{
    FakeDriver *d = fake_driver_probe(device, cell, props);

    fake_driver_up(d);
    return d;
}

FakeDriver *fake_driver_new(const char *device, unsigned cell)
{
    return fake_driver_new_props(device, cell, NULL);
}

void fake_driver_free(FakeDriver *d)
{
    if (d) {
        if (d->dev) {
            device_destroy(d->dev);
        }
        fake_machine_free(d->m);
        g_free(d);
    }
}

void fake_driver_reset(FakeDriver *d)
{
    d->t->set_status(d, 0);
    d->features = 0;
    d->n_queues = 0;
}

bool fake_driver_negotiate(FakeDriver *d, uint64_t wanted)
{
    uint8_t status = VIRTIO_CONFIG_S_ACKNOWLEDGE;

    d->t->set_status(d, status);
    d->t->set_status(d, status |= VIRTIO_CONFIG_S_DRIVER);
    if (!(d->cell & FAKE_EVENT_IDX)) {
        wanted &= ~(UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
    }
    if (!(d->cell & FAKE_INDIRECT)) {
        wanted &= ~(UINT64_C(1) << VIRTIO_RING_F_INDIRECT_DESC);
    }
    if (!fake_cell_is_packed(d->cell) && d->t->device_features(d) >> VIRTIO_F_RING_PACKED & 1) {
        wanted &= ~(UINT64_C(1) << VIRTIO_F_RING_PACKED);
    }
    d->t->set_driver_features(d, wanted);
    d->features = wanted;
    if (fake_cell_is_legacy(d->cell)) {
        return true;
    }
    d->t->set_status(d, status | VIRTIO_CONFIG_S_FEATURES_OK);
    return fake_driver_status(d) & VIRTIO_CONFIG_S_FEATURES_OK;
}

static uint64_t page_up(uint64_t n)
{
    return (n + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void ring_at(FakeDriver *d, FakeRing *r, Gpa at, uint16_t num)
{
    bool event_idx = d->features >> VIRTIO_RING_F_EVENT_IDX & 1;
    bool indirect = d->features >> VIRTIO_RING_F_INDIRECT_DESC & 1;

    if (d->features >> VIRTIO_F_RING_PACKED & 1) {
        fake_ring_init_packed(r, d->m->p.mem, at, num, event_idx, indirect);
    } else {
        fake_ring_init(r, d->m->p.mem, at, num, event_idx, indirect);
    }
}

void fake_driver_init_ring(FakeDriver *d, FakeRing *r, uint16_t num)
{
    ring_at(d, r, fake_driver_alloc(d, fake_ring_bytes(num)), num);
}

static void init_ring_high(FakeDriver *d, FakeRing *r, uint16_t num)
{
    uint64_t end = d->next_high + page_up(fake_ring_bytes(num));

    if (end > FAKE_RAM_HIGH + FAKE_RAM_HIGH_SIZE - EDGE_MAX) {
        fake_driver_init_ring(d, r, num);
        return;
    }
    ring_at(d, r, GPA(d->next_high), num);
    d->next_high = end;
}

void fake_driver_setup_queues(FakeDriver *d)
{
    d->t->setup_interrupts(d);
    for (unsigned q = 0; q < FAKE_QUEUES_MAX && d->t->queue_max(d, q) > 0; q++) {
        uint16_t num = (uint16_t)d->t->queue_max(d, q);
        FakeRing *r = &d->rings[q];

        (q % 2 ? init_ring_high : fake_driver_init_ring)(d, r, num);
        d->t->queue_enable(d, q, num, r->desc, r->avail, r->used);
        d->n_queues = q + 1;
    }
}

void fake_driver_start(FakeDriver *d)
{
    d->t->set_status(d, fake_driver_status(d) | VIRTIO_CONFIG_S_DRIVER_OK);
    fake_machine_run(d->m);
}

void fake_driver_up(FakeDriver *d)
{
    bool ok = fake_driver_negotiate(d, d->t->device_features(d));

    g_assert(ok);
    fake_driver_setup_queues(d);
    fake_driver_start(d);
}

void fake_driver_again(FakeDriver *d)
{
    fake_driver_reset(d);
    d->next_page = FIRST_PAGE;
    d->next_high = FAKE_RAM_HIGH;
    fake_driver_up(d);
}

uint8_t fake_driver_status(FakeDriver *d)
{
    return d->t->status(d);
}

bool fake_driver_broken(FakeDriver *d)
{
    return fake_driver_status(d) & VIRTIO_CONFIG_S_NEEDS_RESET;
}

Gpa fake_driver_alloc(FakeDriver *d, size_t len)
{
    uint64_t size = page_up(MAX(len, 1));
    Gpa at;

    if (d->next_page < FAKE_RAM_EDGE + EDGE_MAX && d->next_page + size > FAKE_RAM_EDGE - EDGE_MAX) {
        d->next_page = FAKE_RAM_EDGE + EDGE_MAX;
    }
    at = GPA(d->next_page);
    d->next_page += size;
    g_assert(d->next_page <= FAKE_RAM_LOW - EDGE_MAX && gmem_set(d->m->p.mem, at, 0, size));
    return at;
}

Gpa fake_driver_place(FakeDriver *d, size_t len)
{
    const uint64_t edges[] = {FAKE_RAM_EDGE - len / 2, FAKE_RAM_LOW - len,
                              FAKE_RAM_HIGH + FAKE_RAM_HIGH_SIZE - len};

    if (len == 0 || len > EDGE_MAX || d->edges_used == G_N_ELEMENTS(edges)) {
        return fake_driver_alloc(d, len);
    }
    return GPA(edges[d->edges_used++]);
}

void fake_driver_set_dma(FakeDriver *d, bool allowed)
{
    if (!(d->cell & FAKE_MMIO)) {
        fake_pci_cfg_set(d, PCI_COMMAND,
                         PCI_COMMAND_IO | PCI_COMMAND_MEMORY | (allowed ? PCI_COMMAND_MASTER : 0),
                         2);
    }
}

uint16_t fake_driver_add_bufs(FakeDriver *d, unsigned q, const FakeBuf *bufs, Gpa *ret_places)
{
    FakePiece pieces[FAKE_RING_MAX];
    unsigned n = 0;

    for (; !bufs[n].end; n++) {
        g_assert(n < FAKE_RING_MAX);
        pieces[n] =
            (FakePiece){.gpa = GPA(bufs[n].at), .len = bufs[n].len, .writable = bufs[n].writable};
        if (bufs[n].at == 0) {
            pieces[n].gpa = fake_driver_place(d, bufs[n].len);
        }
        if (bufs[n].data) {
            g_assert(gmem_write(d->m->p.mem, pieces[n].gpa, bufs[n].data, bufs[n].len));
        }
        if (ret_places) {
            ret_places[n] = pieces[n].gpa;
        }
    }
    return fake_ring_add(&d->rings[q], pieces, n);
}

void fake_driver_kick(FakeDriver *d, unsigned q)
{
    d->t->notify(d, q);
    fake_machine_run(d->m);
}

bool fake_driver_get(FakeDriver *d, unsigned q, uint16_t *ret_head, uint32_t *ret_len)
{
    return fake_ring_get(&d->rings[q], ret_head, ret_len);
}

bool fake_driver_interrupted(FakeDriver *d, unsigned q)
{
    return d->t->interrupted(d, (int)q);
}

bool fake_driver_config_interrupted(FakeDriver *d)
{
    return d->t->interrupted(d, -1);
}
