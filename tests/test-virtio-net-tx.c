/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net's transmit queues (VIRTIO 1.4 §5.1.6.2): what the driver sends reaches the backend
 * byte for byte, in order, once, whatever the frame's size and pieces; headers that make no sense
 * are dropped and counted; a full backend stops the queue and nothing is lost.
 */
#include "tests/test-virtio-net.h"

#include <arpa/inet.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "net-guest.h"
#include "tests/driver/fake-suite.h"

enum { BIG = 65550, MSS = 1000, PAYLOAD = 30000, TCP4 = ETH + 40 };

static uint8_t frame[NET_FRAME_MAX + 64];

static void expect_sent(NetTest *t, unsigned i, const void *bytes, size_t len)
{
    const NetRecord *r;

    ck_assert_uint_gt(t->sent->len, i);
    r = net_test_sent(t, i);
    ck_assert_uint_eq(r->bytes->len, len);
    ck_assert(memcmp(r->bytes->data, bytes, len) == 0);
}

static bool is_plain(const NetHdr *h)
{
    static const NetHdr none;

    return memcmp(h, &none, sizeof none) == 0;
}

/* Still alive: a frame goes out. */
static void still_works(FakeDriver *d, NetTest *t)
{
    unsigned before = t->sent->len;
    uint8_t small[60];

    ck_assert(!fake_driver_broken(d));
    vnet_pattern(small, sizeof small, before);
    vnet_send(d, TX, NULL, small, sizeof small, 17);
    ck_assert_uint_eq(t->sent->len, before + 1);
    expect_sent(t, before, small, sizeof small);
}

/* --- frames --- */

START_TEST(frames_of_all_sizes_arrive_as_they_are)
{
    static const size_t sizes[] = {14,   15,   60,    64,  1514,         1518,
                                   4096, 9014, 65535, BIG, NET_FRAME_MAX};
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        size_t pieces[] = {sizes[i], sizes[i] / 3 + 1, sizes[i] / 100 + 1};

        vnet_pattern(frame, sizes[i], i);
        for (unsigned k = 0; k < G_N_ELEMENTS(pieces); k++) {
            g_ptr_array_set_size(t->sent, 0);
            vnet_send(d, TX, NULL, frame, sizes[i], pieces[k]);
            ck_assert_uint_eq(t->sent->len, 1);
            expect_sent(t, 0, frame, sizes[i]);
        }
    }
    ck_assert_uint_eq(net_stats_of(&t->parent_obj).tx_errors, 0);
}
END_TEST

START_TEST(frames_that_are_too_short_or_too_long_are_dropped_and_counted)
{
    static const size_t sizes[] = {0, 1, 13, NET_FRAME_MAX + 1};
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        vnet_send(d, TX, NULL, frame, sizes[i], 8192);
        ck_assert_uint_eq(net_stats_of(&t->parent_obj).tx_errors, i + 1);
    }
    ck_assert_uint_eq(t->sent->len, 0);
    still_works(d, t);
}
END_TEST

START_TEST(header_and_frame_may_share_a_buffer)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    unsigned hdr_len = vnet_hdr_len(d);
    uint8_t all[200] = {0};

    vnet_pattern(all + hdr_len, 100, 5);
    for (unsigned cut = 1; cut < hdr_len + 20; cut++) { /* two pieces that meet anywhere */
        g_ptr_array_set_size(t->sent, 0);
        fake_driver_add(d, TX, OUT(all, cut), OUT(all + cut, hdr_len + 100 - cut));
        fake_driver_kick(d, TX);
        vnet_take_sent(d, TX, 1);
        expect_sent(t, 0, all + hdr_len, 100);
    }
}
END_TEST

START_TEST(net_026_the_header_of_legacy_drivers_ends_before_num_buffers)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t all[80] = {0};
    unsigned hdr_len = fake_cell_is_legacy((unsigned)_i) ? 10 : 12;

    vnet_up_without(d, BIT(MRG_RXBUF));
    vnet_pattern(all + hdr_len, 60, 1);
    fake_driver_add(d, TX, OUT(all, hdr_len + 60));
    fake_driver_kick(d, TX);
    vnet_take_sent(d, TX, 1);
    expect_sent(t, 0, all + hdr_len, 60);
}
END_TEST

START_TEST(net_014_the_mtu_does_not_limit_what_is_sent)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, "host_mtu=1280", &t);

    vnet_pattern(frame, 1294, 1);
    vnet_send(d, TX, NULL, frame, 1294, 500);
    expect_sent(t, 0, frame, 1294);
}
END_TEST

/* --- headers --- */

START_TEST(net_027_028_030_041_what_flags_do_not_name_has_no_effect)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t small[60];

    vnet_pattern(small, sizeof small, 1);
    for (unsigned flags = 0; flags < 256; flags++) {
        if (flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
            continue;
        }
        vnet_send(d, TX, vnet_header((uint8_t)flags, 0, 0xffff, 0xffff, 0xffff, 0xffff), small,
                  sizeof small, 60);
    }
    ck_assert_uint_eq(t->sent->len, 128);
    for (unsigned i = 0; i < t->sent->len; i++) {
        if (!is_plain(&net_test_sent(t, i)->hdr)) {
            ck_abort_msg("frame %u is not plain", i);
        }
    }
    expect_sent(t, 127, small, sizeof small);
}
END_TEST

START_TEST(net_027_unknown_flags_beside_a_checksum_have_no_effect)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    const NetHdr *h;

    put16(buf + 34, 1);
    wrap_ip(17, 1, 2, 100);
    ethernet(host_mac, 0x0800);
    vnet_send(d, TX, vnet_header(0xff, 0, 0, 0, 34, 6), buf, 134, 50);
    ck_assert_uint_eq(t->sent->len, 1);
    h = &net_test_sent(t, 0)->hdr;
    ck_assert_uint_eq(h->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    ck_assert_uint_eq(h->csum_start, 34);
    ck_assert_uint_eq(h->csum_offset, 6);
}
END_TEST

/* A TCP segment of so many bytes, as a driver leaves it to the device. */
static void make_tcp(size_t payload)
{
    net_frame(buf, TCP4 + payload, 9);
    ethernet(host_mac, 0x0800);
    buf[34 + 12] = 5 << 4;
    buf[34 + 13] = 0x10;
    wrap_ip(6, 0x0a00020f, 0x0a000202, 20 + payload);
}

static void make_large(void)
{
    make_tcp(PAYLOAD);
}

static const uint8_t *large_header(unsigned hdr_len)
{
    return vnet_header(VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, hdr_len, MSS, 34, 16);
}

START_TEST(net_033_a_wrong_header_length_breaks_nothing)
{
    static const unsigned wrong[] = {0, 1, 53, 54, 55, 0x7fff, 0xffff};
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, 0, 1, NULL, &t);

    vnet_up_without(d, BIT(GUEST_HDRLEN));
    make_large();
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_ptr_array_set_size(t->sent, 0);
        vnet_send(d, TX, large_header(wrong[i]), buf, TCP4 + PAYLOAD, 8192);
        ck_assert_uint_eq(t->sent->len, PAYLOAD / MSS);
        ck_assert_uint_eq(net_test_sent(t, 29)->bytes->len, TCP4 + MSS);
        ck_assert_mem_eq(net_test_sent(t, 29)->bytes->data + TCP4, buf + TCP4 + 29 * MSS, MSS);
    }
}
END_TEST

START_TEST(net_031_segments_pass_whole_where_the_backend_can)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    const NetHdr *h;

    make_large();
    vnet_send(d, TX, large_header(54), buf, TCP4 + PAYLOAD, 4096);
    ck_assert_uint_eq(t->sent->len, 1);
    expect_sent(t, 0, buf, TCP4 + PAYLOAD);
    h = &net_test_sent(t, 0)->hdr;
    ck_assert_uint_eq(h->gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    ck_assert_uint_eq(h->gso_size, MSS);
    ck_assert_uint_eq(h->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
}
END_TEST

START_TEST(checksums_are_completed_for_a_backend_that_knows_none)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, 0, 1, NULL, &t);
    const uint8_t *p;
    uint32_t sum;

    net_frame(buf, 142, 3);
    ethernet(host_mac, 0x0800);
    wrap_ip(17, 0x0a00020f, 0x0a000202, 108);
    vnet_send(d, TX, vnet_header(VIRTIO_NET_HDR_F_NEEDS_CSUM, 0, 0, 0, 34, 6), buf, 142, 10);
    ck_assert_uint_eq(t->sent->len, 1);
    ck_assert(is_plain(&net_test_sent(t, 0)->hdr));
    p = net_test_sent(t, 0)->bytes->data;
    sum = net_csum_add(0, p + 26, 8, false);
    sum = net_csum_add(sum, p + 34, 108, false);
    sum += htons(17) + htons(108);
    ck_assert_uint_eq(net_csum_fold(sum), 0);
}
END_TEST

START_TEST(net_034_to_039_tunnels_and_unknown_segments_are_dropped)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    unsigned bad = 0;

    make_large();
    for (unsigned type = 0; type < 256; type++) {
        unsigned kind = type & 0x7f;
        bool known = kind <= 1 || (kind >= 3 && kind <= 5);

        if (!known) {
            vnet_send(d, TX, vnet_header(type & 1, (uint8_t)type, 54, MSS, 34, 16), buf, 2000,
                      2000);
            bad++;
        }
    }
    ck_assert_uint_eq(t->sent->len, 0);
    ck_assert_uint_eq(vnet_count(d, "tx-errors"), bad);
    vnet_send(d, TX, vnet_header(8 | 1, 0, 0, 0, 34, 6), buf, 2000, 2000); /* NET-039: the flag */
    still_works(d, t);
}
END_TEST

START_TEST(offsets_beyond_the_frame_and_sizes_of_0_are_dropped)
{
    static const struct {
        uint8_t flags, type;
        unsigned size, start, offset;
    } bad[] = {{1, 0, 0, 60, 0},     {1, 0, 0, 59, 0},    {1, 0, 0, 0xffff, 0xffff},
               {1, 0, 0, 34, 0xfff}, {1, 1, 0, 34, 16},   {0, 1, 100, 34, 16},
               {1, 4, 100, 34, 16},  {1, 5, 100, 34, 16}, {1, 0x80, 100, 34, 16}};
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    NetStats st;

    make_large();
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        vnet_send(
            d, TX,
            vnet_header(bad[i].flags, bad[i].type, 54, bad[i].size, bad[i].start, bad[i].offset),
            buf, 60, 60);
        st = net_stats_of(&t->parent_obj);
        ck_assert_msg(st.tx_errors + vnet_count(d, "tx-errors") == i + 1, "case %u passes", i);
    }
    ck_assert_uint_eq(t->sent->len, 0);
    still_works(d, t);
}
END_TEST

/* --- many --- */

START_TEST(a_full_ring_goes_out_in_order_with_one_interrupt)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    bool indirect = d->features & FEATURE(VIRTIO_RING_F_INDIRECT_DESC);
    unsigned n = indirect ? 256 : 128;
    uint8_t small[64];

    for (unsigned round = 0; round < 3; round++) {
        uint64_t page = d->next_page;

        g_ptr_array_set_size(t->sent, 0);
        for (unsigned i = 0; i < n; i++) {
            vnet_pattern(small, sizeof small, i);
            vnet_add(d, TX, NULL, small, sizeof small, 64);
        }
        fake_driver_kick(d, TX);
        vnet_take_sent(d, TX, n);
        d->next_page = page;
        ck_assert_uint_eq(t->sent->len, n);
        for (unsigned i = 0; i < n; i++) {
            if (net_test_sent(t, i)->bytes->data[20] != (uint8_t)(i + 20 * 7)) {
                ck_abort_msg("frame %u is another", i);
            }
        }
    }
    ck_assert(fake_driver_interrupted(d, TX));
}
END_TEST

START_TEST(a_short_burst_gives_way_and_goes_on)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, "x-txburst=1", &t);
    uint8_t small[64];

    vnet_pattern(small, sizeof small, 1);
    for (unsigned i = 0; i < 100; i++) {
        vnet_add(d, TX, NULL, small, sizeof small, 64);
    }
    fake_driver_kick(d, TX);
    vnet_take_sent(d, TX, 100);
    ck_assert_uint_eq(t->sent->len, 100);
}
END_TEST

/* Cut in software, they are as much work as many frames. */
START_TEST(frames_of_many_small_segments_give_way_too)
{
    enum { LARGE = 20000, TINY = 1, SEGMENTS = LARGE / TINY };
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, 0, 1, NULL, &t);
    const uint8_t *hdr =
        vnet_header(VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4, 54, TINY, 34, 16);

    make_tcp(LARGE);
    for (unsigned i = 0; i < 3; i++) {
        vnet_add(d, TX, hdr, buf, TCP4 + LARGE, TCP4 + LARGE);
    }
    virtio_queue_notify(d->vdev, TX);
    ck_assert_uint_eq(t->sent->len, SEGMENTS);
    fake_machine_run(d->m);
    ck_assert_uint_eq(t->sent->len, 3 * SEGMENTS);
    vnet_take_sent(d, TX, 3);
}
END_TEST

typedef struct {
    FakeDriver *d;
    NetTest *t;
    unsigned added, before_others;
} Busy;

static Busy busy;

static void others_turn(void *opaque)
{
    busy.before_others = busy.t->sent->len;
}

/* A driver that has another frame as soon as one is sent. */
static void busy_msi(MsiController *c, MsiMessage msg, uint16_t requester)
{
    uint8_t small[64];
    uint64_t page = busy.d->next_page;

    if (busy.added == 0) {
        loop_post(net_loop, others_turn, NULL);
    }
    if (busy.added++ < 1000) {
        while (fake_driver_get(busy.d, TX, NULL, NULL)) {
        }
        vnet_pattern(small, sizeof small, 1);
        vnet_add(busy.d, TX, NULL, small, sizeof small, 64);
        busy.d->next_page = page;
    }
}

START_TEST(a_driver_that_always_has_another_frame_does_not_keep_the_loop)
{
    static const MsiControllerOps ops = {.send = busy_msi};
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, "x-txburst=8", &t);
    const MsiControllerOps *before = d->m->msi.parent.ops;
    uint8_t small[64];

    busy = (Busy){.d = d, .t = t};
    d->m->msi.parent.ops = &ops;
    vnet_pattern(small, sizeof small, 1);
    vnet_add(d, TX, NULL, small, sizeof small, 64);
    fake_driver_kick(d, TX);
    fake_machine_run(d->m);
    d->m->msi.parent.ops = before;
    if (busy.added > 0) { /* the other cells have other interrupts */
        ck_assert_uint_eq(t->sent->len, 1001);
        ck_assert_uint_le(busy.before_others, 16);
    }
}
END_TEST

/* --- a full backend --- */

static void fill(FakeDriver *d, unsigned n)
{
    uint8_t small[64];

    for (unsigned i = 0; i < n; i++) {
        vnet_pattern(small, sizeof small, i);
        vnet_add(d, TX, NULL, small, sizeof small, 64);
    }
    fake_driver_kick(d, TX);
}

START_TEST(a_full_backend_stops_the_queue_and_loses_nothing)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    unsigned got = 0;

    t->room = 10;
    fill(d, 100);
    while (fake_driver_get(d, TX, NULL, NULL)) {
        got++;
    }
    ck_assert_uint_eq(got, 10);
    fake_driver_kick(d, TX); /* of no use */
    ck_assert_uint_eq(t->sent->len, 10);
    for (int room = 1; got < 100; room += 7) {
        net_test_writable(t, room);
        while (fake_driver_get(d, TX, NULL, NULL)) {
            got++;
        }
        ck_assert_uint_eq(got, t->sent->len);
    }
    for (unsigned i = 0; i < 100; i++) {
        if (net_test_sent(t, i)->bytes->data[20] != (uint8_t)(i + 20 * 7)) {
            ck_abort_msg("frame %u is another", i);
        }
    }
    t->room = -1;
    still_works(d, t);
}
END_TEST

/*
 * How a real driver goes about it: kicks only when asked to, looks only when interrupted, and with
 * event indexes wants that once three quarters of what is out is done. Whenever the backend has
 * room left, all there is has been sent.
 */
START_TEST(who_kicks_and_looks_only_when_told_to_sends_everything)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    FakeRing *r = &d->rings[TX];
    bool late = r->event_idx && !r->packed;
    unsigned out = 0, added = 0, ahead = 0, kicks = 0, bad = 0;
    uint8_t small[64] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    t->room = 0;
    for (unsigned round = 0; round < 100; round++) {
        uint64_t page = d->next_page;

        for (unsigned i = 0; i < round % 7 && out < 30; i++, out++, added++) {
            vnet_add(d, TX, NULL, small, sizeof small, 64);
        }
        if (fake_ring_wants_kick(r)) {
            fake_driver_kick(d, TX);
            kicks++;
        }
        bad += t->room > 0 && t->sent->len != added;
        net_test_writable(t, (int)(round * 5 % 9));
        fake_machine_run(d->m);
        bad += t->room > 0 && t->sent->len != added;
        if (fake_driver_interrupted(d, TX)) {
            for (; fake_driver_get(d, TX, NULL, NULL); out--) {
            }
            ahead = late ? out * 3 / 4 : 0;
            if (late) {
                fake_ring_set_used_event(r, (uint16_t)(r->used_seen + ahead));
            }
        }
        bad += (uint16_t)(fake_ring_used_idx(r) - r->used_seen) > ahead;
        d->next_page = out == 0 ? page : d->next_page;
    }
    net_test_writable(t, -1);
    fake_machine_run(d->m);
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_eq(t->sent->len, added);
    ck_assert_uint_gt(added, 100);
    ck_assert_uint_gt(kicks, 10);
    vnet_take_sent(d, TX, out);
}
END_TEST

START_TEST(a_reset_forgets_what_waits_for_the_backend)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    for (unsigned round = 0; round < 3; round++) {
        g_ptr_array_set_size(t->sent, 0);
        t->room = 5;
        fill(d, 60);
        fake_driver_reset(d);
        net_test_writable(t, -1);
        ck_assert_uint_eq(t->sent->len, 5);
        fake_driver_again(d);
        still_works(d, t);
    }
}
END_TEST

START_TEST(a_reset_of_the_queue_forgets_what_waits_for_the_backend)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    FakeRing *r = &d->rings[TX];

    if (fake_cell_is_legacy((unsigned)_i)) {
        return;
    }
    t->room = 5;
    fill(d, 60);
    d->t->queue_reset(d, TX);
    net_test_writable(t, -1);
    ck_assert_uint_eq(t->sent->len, 5);
    fake_driver_init_ring(d, r, r->num);
    d->t->queue_enable(d, TX, r->num, r->desc, r->avail, r->used);
    still_works(d, t);
}
END_TEST

START_TEST(without_dma_nothing_is_sent_and_then_all_is)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    if (d->cell & FAKE_MMIO && !(d->cell & FAKE_PCI_LEGACY)) {
        return;
    }
    t->room = 5;
    fill(d, 60);
    fake_driver_set_dma(d, false);
    net_test_writable(t, -1);
    ck_assert_uint_eq(t->sent->len, 5);
    fake_driver_set_dma(d, true);
    fake_machine_run(d->m);
    ck_assert_uint_eq(t->sent->len, 60);
    vnet_take_sent(d, TX, 60);
}
END_TEST

START_TEST(while_the_vm_stands_nothing_is_sent)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    platform_run_changed(&d->m->p, false);
    fill(d, 40);
    ck_assert_uint_eq(t->sent->len, 0);
    ck_assert(!fake_driver_get(d, TX, NULL, NULL));
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    vnet_take_sent(d, TX, 40);
    ck_assert_uint_eq(t->sent->len, 40);

    t->room = 0; /* and when the backend has room meanwhile */
    fill(d, 40);
    platform_run_changed(&d->m->p, false);
    net_test_writable(t, -1);
    ck_assert_uint_eq(t->sent->len, 40);
    platform_run_changed(&d->m->p, true);
    vnet_take_sent(d, TX, 40);
    still_works(d, t);
}
END_TEST

/* --- tx=timer --- */

START_TEST(with_a_timer_frames_wait_for_others)
{
    NetTest *t;
    g_autoptr(FakeDriver) d =
        vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, "tx=timer,x-txtimer=1000", &t);
    Clock *clock = d->m->p.vclock;

    fill(d, 3);
    ck_assert_uint_eq(t->sent->len, 0);
    clock_step_to(clock, clock_now(clock) + 999);
    ck_assert_uint_eq(t->sent->len, 0);
    clock_step_to(clock, clock_now(clock) + 1);
    ck_assert_uint_eq(t->sent->len, 3);
    vnet_take_sent(d, TX, 3);
    fill(d, 2);
    fake_driver_kick(d, TX); /* a second kick is one too many to wait for */
    ck_assert_uint_eq(t->sent->len, 5);
    vnet_take_sent(d, TX, 2);
    fill(d, 2);
    fake_driver_reset(d);
    clock_step_to(clock, clock_now(clock) + 2000);
    ck_assert_uint_eq(t->sent->len, 5);
}
END_TEST

/* --- bad chains --- */

START_TEST(a_chain_too_short_for_its_header_breaks_the_device)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t some[20] = {0};

    for (unsigned len = 0; len < vnet_hdr_len(d); len += 3) {
        fake_driver_add(d, TX, OUT(some, len));
        fake_driver_kick(d, TX);
        ck_assert_msg(fake_driver_broken(d), "%u bytes", len);
        ck_assert_uint_eq(t->sent->len, 0);
        fake_driver_again(d);
        still_works(d, t);
        g_ptr_array_set_size(t->sent, 0);
    }
}
END_TEST

START_TEST(chains_the_wrong_way_round_outside_ram_or_looped)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t small[72] = {0};

    vnet_pattern(small + 12, 60, 1);
    fake_driver_add(d, TX, OUT(small, vnet_hdr_len(d)), OUT(small + 12, 60),
                    IN(100)); /* not touched */
    fake_driver_kick(d, TX);
    vnet_take_sent(d, TX, 1);
    expect_sent(t, 0, small + 12, 60);

    fake_driver_add(d, TX, IN(100));
    fake_driver_kick(d, TX);
    ck_assert(fake_driver_broken(d));
    fake_driver_again(d);

    fake_driver_add(d, TX, OUT(small, vnet_hdr_len(d)), OUT_AT(UINT64_C(0x700000000), 60));
    fake_driver_kick(d, TX);
    ck_assert(fake_driver_broken(d));
    fake_driver_again(d);
    still_works(d, t);
}
END_TEST

int main(void)
{
    return fake_suite_main(
        "virtio-net-tx", NULL, frames_of_all_sizes_arrive_as_they_are,
        frames_that_are_too_short_or_too_long_are_dropped_and_counted,
        header_and_frame_may_share_a_buffer,
        net_026_the_header_of_legacy_drivers_ends_before_num_buffers,
        net_014_the_mtu_does_not_limit_what_is_sent,
        net_027_028_030_041_what_flags_do_not_name_has_no_effect,
        net_027_unknown_flags_beside_a_checksum_have_no_effect,
        net_033_a_wrong_header_length_breaks_nothing,
        net_031_segments_pass_whole_where_the_backend_can,
        checksums_are_completed_for_a_backend_that_knows_none,
        net_034_to_039_tunnels_and_unknown_segments_are_dropped,
        offsets_beyond_the_frame_and_sizes_of_0_are_dropped,
        a_full_ring_goes_out_in_order_with_one_interrupt, a_short_burst_gives_way_and_goes_on,
        frames_of_many_small_segments_give_way_too,
        a_driver_that_always_has_another_frame_does_not_keep_the_loop,
        a_full_backend_stops_the_queue_and_loses_nothing,
        who_kicks_and_looks_only_when_told_to_sends_everything,
        a_reset_forgets_what_waits_for_the_backend,
        a_reset_of_the_queue_forgets_what_waits_for_the_backend,
        without_dma_nothing_is_sent_and_then_all_is, while_the_vm_stands_nothing_is_sent,
        with_a_timer_frames_wait_for_others, a_chain_too_short_for_its_header_breaks_the_device,
        chains_the_wrong_way_round_outside_ram_or_looped);
}
