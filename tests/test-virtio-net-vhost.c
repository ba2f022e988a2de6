/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net with vhost=on, on a kernel of the test's own: what the kernel is told and when, that
 * it and this process never serve a queue at the same time, and that each goes on where the other
 * was.
 */
#include "tests/fake-vhost.h"
#include "tests/test-virtio-net.h"

#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "backends/iothread.h"
#include "backends/user-creatable.h"
#include "tests/driver/fake-suite.h"

enum { PAIRS_MAX = 3, LEN = 60, ROOM = 1526, ALL = 256 };

typedef struct {
    FakeDriver *d;
    NetTest *t;
    FakeVhost *k[PAIRS_MAX];
} Vnic;

static uint8_t frame[LEN];

static Vnic *probe(unsigned cell, unsigned pairs, const char *props, uint64_t features)
{
    Vnic *c = g_new0(Vnic, 1);
    FakeMachine *m = fake_machine_new(0);
    g_autofree char *all = g_strconcat("netdev=n0", props, NULL);

    type_register(&user_creatable_type);
    type_register(&iothread_type);
    type_register(&net_test_type);
    if (strstr(props, "iothread")) {
        json_t *opts = json_pack("{s:s, s:s}", "qom-type", "iothread", "id", "io0");

        ck_assert(user_creatable_add(m->p.root, opts, NULL));
        json_decref(opts);
    }
    net_root = m->p.root;
    net_loop = m->p.loop;
    c->t = net_test_add("n0", NET_OFFLOAD_ALL, pairs);
    for (unsigned i = 0; i < pairs; i++) {
        c->k[i] = fake_vhost_new(features, false);
        ck_assert_str_eq(fake_vhost_said(c->k[i]), "SET_OWNER GET_FEATURES");
        c->t->vhosts[i] = c->k[i]->vhost;
    }
    c->d = fake_driver_probe_on(m, "virtio-net", cell, all);
    vnet_pattern(frame, sizeof frame, 1);
    return c;
}

static Vnic *start(unsigned cell, unsigned pairs, const char *props)
{
    Vnic *c = probe(cell, pairs, props, fake_vhost_features);

    fake_driver_up(c->d);
    return c;
}

static void vnic_free(Vnic *c)
{
    fake_driver_free(c->d);
    for (unsigned i = 0; i < PAIRS_MAX && c->k[i]; i++) {
        fake_vhost_free(c->k[i]);
    }
    g_free(c);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Vnic, vnic_free)

static bool served(const Vnic *c, unsigned pair)
{
    bool on = fake_vhost_serves(c->k[pair], VHOST_RX);

    ck_assert_int_eq(on, fake_vhost_serves(c->k[pair], VHOST_TX));
    ck_assert_int_eq(on, c->t->lent >> pair & 1);
    ck_assert_int_eq(on, vhost_running(c->k[pair]->vhost));
    return on;
}

/* n frames of the driver's, kicked. */
static void queue_frames(Vnic *c, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        vnet_add(c->d, TX, NULL, frame, LEN, LEN);
    }
    fake_driver_kick(c->d, TX);
}

static void expect_by_kernel(Vnic *c)
{
    unsigned before = c->t->sent->len;

    ck_assert(served(c, 0));
    queue_frames(c, 1);
    ck_assert(!fake_driver_get(c->d, TX, NULL, NULL));
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 1);
    vnet_take_sent(c->d, TX, 1);
    ck_assert_uint_eq(c->t->sent->len, before);
}

static void expect_by_us(Vnic *c)
{
    unsigned before = c->t->sent->len;

    ck_assert(!served(c, 0));
    vnet_send(c->d, TX, NULL, frame, LEN, LEN);
    ck_assert_uint_eq(c->t->sent->len, before + 1);
}

#define RING(n, num, base)                                                             \
    "SET_VRING_NUM(" #n "," num ") SET_VRING_BASE(" #n "," base ") SET_VRING_ADDR(" #n \
    ") SET_VRING_KICK(" #n ",fd) SET_VRING_CALL(" #n ",fd) SET_VRING_ERR(" #n ",fd) "
#define BEGUN(rx, tx)                                   \
    "SET_FEATURES SET_MEM_TABLE(3) " RING(0, "256", rx) \
        RING(1, "256", tx) "NET_SET_BACKEND(0,1000) "   \
                           "NET_SET_BACKEND(1,1000)"
#define FORGOTTEN(n)                                                           \
    " NET_SET_BACKEND(" #n ",-1) SET_VRING_KICK(" #n ",-1) SET_VRING_CALL(" #n \
    ",-1) SET_VRING_ERR(" #n ",-1)"
#define ENDED                                                                                      \
    "NET_SET_BACKEND(0,-1) GET_VRING_BASE(0) NET_SET_BACKEND(1,-1) GET_VRING_BASE(1)" FORGOTTEN(0) \
        FORGOTTEN(1)

static uint64_t host_address(Vnic *c, Gpa gpa)
{
    struct iovec iov;

    ck_assert_int_eq(gmem_iov(c->d->m->p.mem, gpa, 16, &iov, 1), 1);
    return (uintptr_t)iov.iov_base;
}

/* --- what is said --- */

START_TEST(the_kernel_is_told_all_in_order_and_where_the_rings_are)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");
    uint64_t passed = FEATURE(VIRTIO_F_VERSION_1) | FEATURE(VIRTIO_RING_F_EVENT_IDX) |
                      FEATURE(VIRTIO_RING_F_INDIRECT_DESC) | BIT(MRG_RXBUF) |
                      FEATURE(VIRTIO_F_NOTIFY_ON_EMPTY) | FEATURE(VIRTIO_F_RING_RESET);

    ck_assert_str_eq(fake_vhost_said(c->k[0]), BEGUN("0", "0"));
    ck_assert_uint_eq(c->k[0]->acked, c->d->features & passed);
    ck_assert_uint_eq(c->k[0]->bytes, FAKE_RAM_SIZE);
    ck_assert_uint_eq(c->t->hdr_len, vnet_hdr_len(c->d));
    for (unsigned i = 0; i < VHOST_RINGS; i++) {
        const FakeRing *r = &c->d->rings[i];
        const struct vhost_vring_addr *a = &c->k[0]->rings[i].addr;

        ck_assert_uint_eq(a->desc_user_addr, host_address(c, r->desc));
        ck_assert_uint_eq(a->avail_user_addr, host_address(c, r->avail));
        ck_assert_uint_eq(a->used_user_addr, host_address(c, r->used));
        ck_assert_uint_eq(a->flags, 0);
    }
    fake_driver_reset(c->d);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), ENDED);
    ck_assert(!served(c, 0));
    fake_driver_up(c->d);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), BEGUN("0", "0"));
}
END_TEST

START_TEST(nothing_is_said_before_the_driver_is_there)
{
    g_autoptr(Vnic) c = probe((unsigned)_i, 1, "", fake_vhost_features);

    fake_driver_negotiate(c->d, c->d->t->device_features(c->d));
    fake_driver_setup_queues(c->d);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), "");
    fake_driver_start(c->d);
    ck_assert(served(c, 0));
}
END_TEST

/* Legacy drivers use queues before DRIVER_OK. */
START_TEST(what_was_sent_before_the_driver_was_there_is_not_sent_twice)
{
    g_autoptr(Vnic) c = NULL;

    if (!fake_cell_is_legacy((unsigned)_i)) {
        return;
    }
    c = probe((unsigned)_i, 1, "", fake_vhost_features);
    fake_driver_negotiate(c->d, c->d->t->device_features(c->d));
    fake_driver_setup_queues(c->d);
    queue_frames(c, 3);
    ck_assert_uint_eq(c->t->sent->len, 3);
    fake_driver_start(c->d);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), BEGUN("0", "3"));
    vnet_take_sent(c->d, TX, 3);
    expect_by_kernel(c);
}
END_TEST

START_TEST(what_the_kernel_or_the_tap_cannot_do_is_not_offered)
{
    static const unsigned software[] = {VIRTIO_NET_F_RSS,       VIRTIO_NET_F_HASH_REPORT,
                                        VIRTIO_NET_F_NOTF_COAL, VIRTIO_NET_F_VQ_NOTF_COAL,
                                        VIRTIO_F_RING_PACKED,   VIRTIO_F_IN_ORDER};
    g_autoptr(Vnic) c = probe((unsigned)_i, 2, ",mq=on,rss=on,hash=on,packed=on,in_order=on",
                              fake_vhost_features & ~BIT(MRG_RXBUF));
    bool modern = !fake_cell_is_legacy((unsigned)_i);

    for (unsigned i = 0; i < G_N_ELEMENTS(software); i++) {
        ck_assert(!vnet_offers(c->d, software[i]));
    }
    ck_assert(!vnet_offers(c->d, VIRTIO_NET_F_MRG_RXBUF));
    ck_assert(vnet_offers(c->d, VIRTIO_NET_F_MQ));
    ck_assert(vnet_offers(c->d, VIRTIO_NET_F_HOST_TSO4));
    ck_assert(vnet_offers(c->d, VIRTIO_NET_F_GUEST_CSUM));
    ck_assert(vnet_offers(c->d, VIRTIO_NET_F_CTRL_RX));
    ck_assert_int_eq(vnet_offers(c->d, VIRTIO_NET_F_HOST_USO), modern);
    ck_assert(vnet_offers(c->d, VIRTIO_RING_F_EVENT_IDX));
}
END_TEST

START_TEST(what_the_tap_does_not_take_is_not_offered)
{
    g_autoptr(Vnic) c = probe((unsigned)_i, 1, "", fake_vhost_features);
    uint64_t want = BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_USO) | BIT(HOST_UFO) | BIT(HOST_ECN);

    ck_assert_uint_eq(virtio_net_vhost_features(vnet_of(c->d), want), want);
    c->t->parent_obj.host_offloads = NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_USO4;
    ck_assert_uint_eq(virtio_net_vhost_features(vnet_of(c->d), want), BIT(CSUM) | BIT(HOST_TSO4));
    c->t->parent_obj.host_offloads = 0;
    ck_assert_uint_eq(virtio_net_vhost_features(vnet_of(c->d), want), 0);
}
END_TEST

/* --- kicks and interrupts --- */

START_TEST(kicks_reach_the_kernel_and_its_interrupts_the_driver)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    ck_assert_uint_ge(fake_vhost_kicks(c->k[0], VHOST_RX), 1);
    ck_assert_uint_ge(fake_vhost_kicks(c->k[0], VHOST_TX), 1);
    while (fake_driver_interrupted(c->d, TX) || fake_driver_interrupted(c->d, RX)) {
    }
    for (unsigned i = 0; i < 3; i++) {
        queue_frames(c, 2);
        ck_assert_uint_ge(fake_vhost_kicks(c->k[0], VHOST_TX), 1);
        ck_assert_uint_eq(fake_vhost_kicks(c->k[0], VHOST_RX), 0);
        ck_assert(!fake_driver_interrupted(c->d, TX));
        ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 2);
        fake_machine_run(c->d->m);
        ck_assert(fake_driver_interrupted(c->d, TX));
        vnet_take_sent(c->d, TX, 2);
        vnet_post(c->d, RX, 1, ROOM, ROOM);
        ck_assert_uint_ge(fake_vhost_kicks(c->k[0], VHOST_RX), 1);
        ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_RX, 1, 100), 1);
        fake_machine_run(c->d->m);
        ck_assert(fake_driver_interrupted(c->d, RX));
        ck_assert(fake_driver_get(c->d, RX, NULL, NULL));
    }
    ck_assert_uint_eq(c->t->sent->len, 0);
}
END_TEST

START_TEST(without_doorbells_kicks_are_passed_on)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, ",ioeventfd=off");

    (void)fake_vhost_kicks(c->k[0], VHOST_TX);
    queue_frames(c, 1);
    ck_assert_uint_ge(fake_vhost_kicks(c->k[0], VHOST_TX), 1);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 1);
    vnet_take_sent(c->d, TX, 1);
    fake_driver_reset(c->d);
    fake_driver_up(c->d);
    expect_by_kernel(c);
}
END_TEST

static bool interrupted_soon(Vnic *c, unsigned q)
{
    for (unsigned i = 0; i < 150000; i++) {
        fake_machine_run(c->d->m);
        if (fake_driver_interrupted(c->d, q)) {
            return true;
        }
        g_usleep(200);
    }
    return false;
}

START_TEST(on_an_iothread_it_is_the_same)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, ",iothread=io0");

    for (unsigned i = 0; i < 3; i++) {
        queue_frames(c, 1);
        ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 1);
        ck_assert(interrupted_soon(c, TX));
        vnet_take_sent(c->d, TX, 1);
        platform_run_changed(&c->d->m->p, false);
        ck_assert(!served(c, 0));
        platform_run_changed(&c->d->m->p, true);
        ck_assert(served(c, 0));
    }
    ck_assert_uint_eq(c->t->sent->len, 0);
}
END_TEST

/* --- interrupts without us: a controller with eventfds --- */

enum { ROUTES_MAX = 16 };

typedef struct {
    MsiController parent, *below;
    MsiRoute *routes[ROUTES_MAX];
} Routes;

static void routes_send(MsiController *c, MsiMessage msg, uint16_t requester)
{
    msi_send(((Routes *)c)->below, msg, requester);
}

static MsiRoute *route_new(MsiController *c, MsiMessage msg, uint16_t requester)
{
    Routes *all = (Routes *)c;
    MsiRoute *r = g_new0(MsiRoute, 1);
    unsigned i = 0;

    *r = (MsiRoute){c, eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    while (all->routes[i]) {
        i++;
        g_assert(i < ROUTES_MAX);
    }
    all->routes[i] = r;
    return r;
}

static void route_update(MsiRoute *route, MsiMessage msg)
{
}

static void route_free(MsiRoute *route)
{
    Routes *all = (Routes *)route->controller;

    for (unsigned i = 0; i < ROUTES_MAX; i++) {
        all->routes[i] = all->routes[i] == route ? NULL : all->routes[i];
    }
    close(route->eventfd);
    g_free(route);
}

static const MsiControllerOps routes_ops = {routes_send, route_new, route_update, route_free};

static uint64_t fired(Routes *all)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < ROUTES_MAX; i++) {
        eventfd_t n;

        if (all->routes[i] && eventfd_read(all->routes[i]->eventfd, &n) == 0) {
            sum += n;
        }
    }
    return sum;
}

static void mask_vector(FakeDriver *d, unsigned vector, bool masked)
{
    unsigned cap = fake_pci_std_cap(d, PCI_CAP_ID_MSIX);
    uint64_t table = fake_pci_bar(d, fake_pci_cfg(d, cap + PCI_MSIX_TABLE, 4) & PCI_MSIX_TABLE_BIR);

    fake_write(d->m, table + 16 * vector + PCI_MSIX_ENTRY_VECTOR_CTRL, masked, 4);
}

static void serve_one(Vnic *c)
{
    queue_frames(c, 1);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 1);
    vnet_take_sent(c->d, TX, 1);
}

START_TEST(an_unmasked_vector_is_fired_by_the_kernel_itself)
{
    Routes routes = {.parent.ops = &routes_ops};
    Vnic *c;

    if (_i & FAKE_INTX || (_i & FAKE_MMIO && !(_i & FAKE_PCI_LEGACY))) {
        return; /* no MSI-X there */
    }
    c = probe((unsigned)_i, 1, "", fake_vhost_features);
    routes.below = c->d->m->p.msi;
    c->d->m->p.msi = &routes.parent;
    fake_driver_up(c->d);
    (void)fired(&routes);
    (void)fake_vhost_said(c->k[0]);
    serve_one(c);
    ck_assert_uint_eq(fired(&routes), 1); /* before any of our loops ran */
    mask_vector(c->d, TX + 1, true);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), "SET_VRING_CALL(1,fd)");
    serve_one(c);
    fake_machine_run(c->d->m);
    ck_assert_uint_eq(fired(&routes), 0);
    mask_vector(c->d, TX + 1, false);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), "SET_VRING_CALL(1,fd)");
    ck_assert_uint_eq(fired(&routes), 1); /* it was pending */
    serve_one(c);
    ck_assert_uint_eq(fired(&routes), 1);
    fake_driver_reset(c->d);
    vnic_free(c);
    for (unsigned i = 0; i < ROUTES_MAX; i++) {
        ck_assert_ptr_null(routes.routes[i]);
    }
}
END_TEST

/* --- coming and going --- */

START_TEST(a_vm_that_stops_takes_the_queues_back_and_gives_them_on)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    vnet_post(c->d, RX, 4, ROOM, ROOM);
    queue_frames(c, 5);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, 3, 0), 3);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_RX, 1, 100), 1);
    (void)fake_vhost_said(c->k[0]);
    platform_run_changed(&c->d->m->p, false);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), ENDED);
    ck_assert(!served(c, 0));
    fake_machine_run(c->d->m);
    ck_assert_uint_eq(c->t->sent->len, 0);
    platform_run_changed(&c->d->m->p, true);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), BEGUN("1", "3"));
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 2);
    vnet_take_sent(c->d, TX, 5);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_RX, ALL, 100), 3);
    ck_assert_uint_eq(c->t->sent->len, 0);
}
END_TEST

/* While it is down we take what is sent, and lose it. */
START_TEST(without_a_link_the_kernel_has_nothing)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");
    NetBackend *b = &c->t->parent_obj;

    queue_frames(c, 5);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, 2, 0), 2);
    net_backend_set_link(b, false);
    fake_machine_run(c->d->m);
    ck_assert(!served(c, 0));
    vnet_take_sent(c->d, TX, 5);
    ck_assert_uint_eq(c->t->sent->len, 0);
    ck_assert_uint_eq(net_stats_of(b).tx_dropped, 3);
    (void)fake_vhost_said(c->k[0]);
    net_backend_set_link(b, true);
    fake_machine_run(c->d->m);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), BEGUN("0", "5"));
    expect_by_kernel(c);
}
END_TEST

static void enable_again(FakeDriver *d, unsigned q)
{
    FakeRing *r = &d->rings[q];

    fake_driver_init_ring(d, r, r->num);
    d->t->queue_enable(d, q, r->num, r->desc, r->avail, r->used);
}

START_TEST(a_queue_in_reset_leaves_the_pair_to_us)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");
    FakeDriver *d = c->d;

    if (!(d->features >> VIRTIO_F_RING_RESET & 1)) {
        return;
    }
    vnet_post(d, RX, 4, ROOM, ROOM);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_RX, 1, 100), 1);
    ck_assert(fake_driver_get(d, RX, NULL, NULL));
    (void)fake_vhost_said(c->k[0]);
    d->t->queue_reset(d, TX);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), ENDED);
    ck_assert(!served(c, 0));
    vnet_expect(d, c->t, 0, RX, frame, LEN);
    enable_again(d, TX);
    ck_assert(served(c, 0));
    ck_assert_uint_eq(c->k[0]->rings[VHOST_RX].base.num, 2);
    expect_by_kernel(c);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_RX, ALL, 100), 2);
}
END_TEST

/* Frames that wait, for room in the backend or for buffers of the driver's, do not wait for the
 * kernel to end. */
START_TEST(what_waits_is_given_up_when_the_kernel_takes_over)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");
    FakeDriver *d = c->d;
    NetBackend *b = &c->t->parent_obj;

    if (!(d->features >> VIRTIO_F_RING_RESET & 1)) {
        return;
    }
    d->t->queue_reset(d, RX);
    c->t->room = 2;
    queue_frames(c, 40);
    ck_assert_uint_eq(c->t->sent->len, 2);
    vnet_take_sent(d, TX, 2);
    enable_again(d, RX);
    ck_assert(served(c, 0));
    ck_assert_uint_eq(vnet_count(d, "tx-errors"),
                      30); /* the rest of a batch; the other frames are in the ring */
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 8);
    vnet_take_sent(d, TX, 38);
    c->t->room = -1;
    d->t->queue_reset(d, TX);
    ck_assert(!vnet_inject(d, c->t, 0, frame, LEN, (NetHdr){0}));
    enable_again(d, TX);
    ck_assert(served(c, 0));
    ck_assert_uint_eq(net_stats_of(b).rx_dropped, 1);
    d->t->queue_reset(d, TX);
    vnet_post(d, RX, 1, ROOM, ROOM);
    ck_assert(!fake_driver_get(d, RX, NULL, NULL));
    vnet_expect(d, c->t, 0, RX, frame, LEN);
}
END_TEST

START_TEST(without_dma_the_kernel_has_nothing)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    if (_i & FAKE_MMIO && !(_i & FAKE_PCI_LEGACY)) {
        return;
    }
    expect_by_kernel(c);
    fake_driver_set_dma(c->d, false);
    ck_assert(!served(c, 0));
    fake_driver_set_dma(c->d, true);
    ck_assert(served(c, 0));
    expect_by_kernel(c);
}
END_TEST

/* The kernel had used it, and what it told was not heard of yet. */
START_TEST(without_dma_no_interrupt_is_lost)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    if (_i & FAKE_MMIO && !(_i & FAKE_PCI_LEGACY)) {
        return;
    }
    queue_frames(c, 1);
    (void)fake_driver_interrupted(c->d, TX);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, ALL, 0), 1);
    fake_driver_set_dma(c->d, false);
    fake_driver_set_dma(c->d, true);
    fake_machine_run(c->d->m);
    ck_assert(fake_driver_interrupted(c->d, TX));
    vnet_take_sent(c->d, TX, 1);
}
END_TEST

START_TEST(a_netdev_that_is_deleted_is_let_go_of_first)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    queue_frames(c, 2);
    (void)fake_vhost_said(c->k[0]);
    ck_assert(net_backend_del(c->d->m->p.root, "n0", NULL));
    fake_machine_run(c->d->m);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), ENDED);
    vnet_take_sent(c->d, TX, 2); /* into the void */
    vnet_send(c->d, TX, NULL, frame, LEN, LEN);
}
END_TEST

START_TEST(filters_refuse_a_netdev_that_they_would_see_nothing_of)
{
    g_autoptr(Vnic) c = probe((unsigned)_i, 1, "", fake_vhost_features);
    json_t *opts = json_pack("{s:s, s:s, s:s, s:i}", "qom-type", "filter-throttle", "id", "f0",
                             "netdev", "n0", "bps", 1000);
    g_autoptr(GError) err = NULL;

    type_register(&net_filter_type);
    type_register(&filter_throttle_type);
    ck_assert(!user_creatable_add(c->d->m->p.root, opts, &err));
    ck_assert_str_eq(err->message,
                     "netdev 'n0' has vhost=on: its frames do not pass through filters");
    json_decref(opts);
}
END_TEST

START_TEST(each_pair_has_its_own)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 3, ",mq=on");
    bool many = c->d->features & BIT(MQ);

    for (unsigned i = 0; many && i < 3; i++) {
        ck_assert(served(c, i));
        ck_assert_int_eq(c->k[i]->rings[VHOST_TX].backend, NET_TEST_TAP + (int)i);
        vnet_add(c->d, 2 * i + 1, NULL, frame, LEN, LEN);
        fake_driver_kick(c->d, 2 * i + 1);
        ck_assert_uint_eq(fake_vhost_serve(c->k[i], VHOST_TX, ALL, 0), 1);
        vnet_take_sent(c->d, 2 * i + 1, 1);
    }
    fake_driver_reset(c->d);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(!served(c, i));
    }
}
END_TEST

/* Queue 2 is the control queue then, whatever else the driver enables. */
START_TEST(without_multiqueue_the_kernel_has_one_pair)
{
    g_autoptr(Vnic) c = probe((unsigned)_i, 2, ",mq=on", fake_vhost_features);
    uint8_t promisc = 1;

    vnet_up_without(c->d, BIT(MQ));
    expect_by_kernel(c);
    ck_assert(!served(c, 1));
    fake_driver_add(c->d, 2, OUT("\0\0", 2), OUT(&promisc, 1), IN(1));
    fake_driver_kick(c->d, 2);
    ck_assert(fake_driver_get(c->d, 2, NULL, NULL));
    ck_assert(vnet_of(c->d)->filter.promisc);
}
END_TEST

/* --- trouble --- */

START_TEST(a_kernel_that_refuses_leaves_the_queues_to_us)
{
    static const unsigned long requests[] = {
        VHOST_SET_FEATURES,   VHOST_SET_MEM_TABLE,  VHOST_SET_VRING_NUM,
        VHOST_SET_VRING_BASE, VHOST_SET_VRING_ADDR, VHOST_SET_VRING_KICK,
        VHOST_SET_VRING_CALL, VHOST_SET_VRING_ERR,  VHOST_NET_SET_BACKEND,
    };
    g_autoptr(Vnic) c = probe((unsigned)_i, 1, "", fake_vhost_features);

    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        c->k[0]->refuse = requests[i];
        fake_driver_again(c->d);
        expect_by_us(c);
        expect_by_us(c);
    }
    c->k[0]->refuse = 0;
    c->t->no_lending = true;
    fake_driver_again(c->d);
    expect_by_us(c);
    c->t->no_lending = false;
    platform_run_changed(&c->d->m->p, false);
    platform_run_changed(&c->d->m->p, true);
    expect_by_us(c); /* until the next reset it is not asked again */
    fake_driver_again(c->d);
    expect_by_kernel(c);
}
END_TEST

START_TEST(a_frame_that_waits_comes_all_the_same_when_the_kernel_refuses)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");
    FakeDriver *d = c->d;

    if (!(d->features >> VIRTIO_F_RING_RESET & 1)) {
        return;
    }
    d->t->queue_reset(d, TX);
    ck_assert(!vnet_inject(d, c->t, 0, frame, LEN, (NetHdr){0}));
    c->t->no_lending = true;
    enable_again(d, TX);
    ck_assert(!served(c, 0));
    vnet_post(d, RX, 2, ROOM, ROOM);
    fake_machine_run(d->m);
    ck_assert(fake_driver_get(d, RX, NULL, NULL));
    vnet_expect(d, c->t, 0, RX, frame, LEN);
}
END_TEST

START_TEST(a_kernel_that_does_not_say_where_it_is_was_where_it_used_last)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    queue_frames(c, 5);
    ck_assert_uint_eq(fake_vhost_serve(c->k[0], VHOST_TX, 3, 0), 3);
    c->k[0]->refuse = VHOST_GET_VRING_BASE;
    platform_run_changed(&c->d->m->p, false);
    (void)fake_vhost_said(c->k[0]);
    platform_run_changed(&c->d->m->p, true);
    ck_assert_str_eq(fake_vhost_said(c->k[0]), BEGUN("0", "3"));
}
END_TEST

START_TEST(a_ring_that_the_kernel_finds_broken_breaks_the_device)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    eventfd_write(c->k[0]->rings[VHOST_TX].err, 1);
    fake_machine_run(c->d->m);
    ck_assert(fake_driver_broken(c->d));
    ck_assert(!served(c, 0));
    fake_driver_again(c->d);
    ck_assert(!fake_driver_broken(c->d));
    expect_by_kernel(c);
}
END_TEST

START_TEST(a_bad_command_ends_the_kernels_work_too)
{
    g_autoptr(Vnic) c = start((unsigned)_i, 1, "");

    fake_driver_add(c->d, 2, OUT("x", 1));
    fake_driver_kick(c->d, 2);
    ck_assert(fake_driver_broken(c->d));
    ck_assert(!served(c, 0));
}
END_TEST

/* --- the kernel's side alone --- */

START_TEST(regions_that_come_and_go_are_told)
{
    g_autoptr(FakeVhost) k = fake_vhost_new(fake_vhost_features, true);
    g_autoptr(GuestMemory) mem = gmem_new();
    int fd = eventfd(0, 0), base[VHOST_RINGS];
    uint64_t some[64];
    VhostRing r = {16, 7, some, some, some, fd, fd, fd}, rings[VHOST_RINGS] = {r, r};

    if (_i > 0) {
        return; /* no transport in it */
    }
    ck_assert(gmem_add(mem, GPA(0), 1 << 20, GMEM_ANONYMOUS, NULL));
    ck_assert(vhost_start(k->vhost, mem, 0, rings, 5, NULL));
    ck_assert_uint_eq(k->acked, FEATURE(VHOST_NET_F_VIRTIO_NET_HDR));
    (void)fake_vhost_said(k);
    ck_assert(gmem_add(mem, GPA(1 << 22), 1 << 20, GMEM_ANONYMOUS, NULL));
    ck_assert_str_eq(fake_vhost_said(k), "SET_MEM_TABLE(2)");
    ck_assert_uint_eq(k->bytes, 2 << 20);
    k->refuse = VHOST_SET_MEM_TABLE;
    ck_assert(!gmem_add(mem, GPA(1 << 23), 1 << 20, GMEM_ANONYMOUS, NULL));
    k->refuse = 0;
    ck_assert(gmem_remove(mem, GPA(0), NULL));
    ck_assert_str_eq(fake_vhost_said(k), "SET_MEM_TABLE(1)");
    vhost_stop(k->vhost, base);
    ck_assert_int_eq(base[VHOST_RX], 7);
    ck_assert(gmem_add(mem, GPA(0), 1 << 20, GMEM_ANONYMOUS, NULL));
    ck_assert_ptr_null(strstr(fake_vhost_said(k), "SET_MEM_TABLE"));
    close(fd);
}
END_TEST

START_TEST(what_is_no_vhost_net_gets_one_line)
{
    g_autoptr(FakeVhost) old = fake_vhost_new(FEATURE(VIRTIO_RING_F_INDIRECT_DESC), false);
    g_autoptr(GError) err = NULL;
    int fd = eventfd(0, 0);

    ck_assert_ptr_null(vhost_new(fd, false, NULL, &err));
    ck_assert_str_eq(err->message, "vhost: it is not to be had: Inappropriate ioctl for device");
    ck_assert_ptr_null(old->vhost);
    close(fd);
}
END_TEST

int main(void)
{
    return fake_suite_main(
        "virtio-net-vhost", NULL, the_kernel_is_told_all_in_order_and_where_the_rings_are,
        nothing_is_said_before_the_driver_is_there,
        what_was_sent_before_the_driver_was_there_is_not_sent_twice,
        what_the_kernel_or_the_tap_cannot_do_is_not_offered,
        what_the_tap_does_not_take_is_not_offered,
        kicks_reach_the_kernel_and_its_interrupts_the_driver, without_doorbells_kicks_are_passed_on,
        an_unmasked_vector_is_fired_by_the_kernel_itself, on_an_iothread_it_is_the_same,
        a_vm_that_stops_takes_the_queues_back_and_gives_them_on,
        without_a_link_the_kernel_has_nothing, a_queue_in_reset_leaves_the_pair_to_us,
        what_waits_is_given_up_when_the_kernel_takes_over, without_dma_the_kernel_has_nothing,
        without_dma_no_interrupt_is_lost, a_netdev_that_is_deleted_is_let_go_of_first,
        filters_refuse_a_netdev_that_they_would_see_nothing_of, each_pair_has_its_own,
        without_multiqueue_the_kernel_has_one_pair, a_kernel_that_refuses_leaves_the_queues_to_us,
        a_frame_that_waits_comes_all_the_same_when_the_kernel_refuses,
        a_kernel_that_does_not_say_where_it_is_was_where_it_used_last,
        a_ring_that_the_kernel_finds_broken_breaks_the_device,
        a_bad_command_ends_the_kernels_work_too, regions_that_come_and_go_are_told,
        what_is_no_vhost_net_gets_one_line);
}
