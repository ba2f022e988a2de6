/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net's receive queues (VIRTIO 1.4 §5.1.6.3, §5.1.6.4): frames come as they are, in one
 * buffer or in as many as they need, with the header that was negotiated; what finds no buffer
 * waits in the backend, and what never fits is dropped and counted.
 */
#include "tests/test-virtio-net.h"

#include <linux/virtio_ring.h>
#include <string.h>

#include "net-guest.h"
#include "tests/driver/fake-suite.h"

enum { BIG = 65550, ROOM = 1526 };

static uint8_t frame[NET_FRAME_MAX + 64];
static VnetGot got;

static void still_works(FakeDriver *d, NetTest *t)
{
    uint8_t small[60];

    ck_assert(!fake_driver_broken(d));
    vnet_pattern(small, sizeof small, 77);
    vnet_post(d, RX, 1, ROOM, ROOM);
    vnet_expect(d, t, 0, RX, small, sizeof small);
}

/* --- frames and buffers --- */

START_TEST(net_042_047_to_049_frames_of_all_sizes_fill_buffers_of_all_sizes)
{
    static const size_t sizes[] = {14, 60, 64, 1514, 9014, BIG, NET_FRAME_MAX};
    static const size_t buffers[] = {12, 13, 64, 100, 700, 1526, 4096, 65562};
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        vnet_pattern(frame, sizes[i], i);
        for (unsigned k = 0; k < G_N_ELEMENTS(buffers); k++) {
            unsigned n = (unsigned)((sizes[i] + 12 + buffers[k] - 1) / buffers[k]);
            uint64_t page = d->next_page;

            if (n <= 250) {
                vnet_post(d, RX, n, buffers[k], buffers[k]);
                vnet_expect(d, t, 0, RX, frame, sizes[i]);
            }
            d->next_page = page;
        }
    }
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 0);
}
END_TEST

START_TEST(net_047_048_merged_buffers_may_have_pieces_of_any_size)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_pattern(frame, 300, 4);
    for (size_t len = 12; len < 330; len += 7) {
        uint64_t page = d->next_page;
        unsigned n = (unsigned)((312 + len - 1) / len);

        vnet_post(d, RX, n, len, len / 3 + 1);
        vnet_expect(d, t, 0, RX, frame, 300);
        d->next_page = page;
    }
}
END_TEST

/* Else the driver would wait while the device copies, and the device while the driver works. */
START_TEST(a_large_frame_is_seen_before_the_round_is_over_and_small_ones_together_at_its_end)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_pattern(frame, BIG, 8);
    vnet_post(d, RX, 4, 65562, 65562);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert(net_test_inject(t, frame, 60, (NetHdr){0}));
        ck_assert(!vnet_get(d, RX, &got));
    }
    fake_driver_interrupted(d, RX);
    ck_assert(net_test_inject(t, frame, BIG, (NetHdr){0}));
    ck_assert(fake_driver_interrupted(d, RX));
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(vnet_get(d, RX, &got));
        ck_assert_uint_eq(got.len, i < 2 ? 60 : BIG);
    }
    ck_assert(net_test_inject(t, frame, 60, (NetHdr){0}));
    ck_assert(!vnet_get(d, RX, &got));
    fake_machine_run(d->m);
    ck_assert(vnet_get(d, RX, &got));
    ck_assert_uint_eq(got.len, 60);
}
END_TEST

START_TEST(net_043_046_without_merging_a_frame_has_one_buffer)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    unsigned hdr_len = fake_cell_is_legacy((unsigned)_i) ? 10 : 12;

    vnet_up_without(d, BIT(MRG_RXBUF));
    vnet_pattern(frame, BIG, 4);
    for (size_t len = 14; len <= BIG; len = len * 3 + 1) {
        uint64_t page = d->next_page;

        vnet_post(d, RX, 1, len + hdr_len, len / 5 + 3);
        ck_assert(vnet_inject(d, t, 0, frame, len, (NetHdr){0}));
        ck_assert(vnet_get(d, RX, &got));
        ck_assert_uint_eq(got.len, len);
        ck_assert(memcmp(got.frame, frame, len) == 0);
        if (hdr_len == 12) {
            ck_assert_uint_eq(vnet_hdr16(&got, 10), 1);
        }
        d->next_page = page;
    }
}
END_TEST

START_TEST(a_frame_larger_than_its_only_buffer_is_dropped_and_the_buffer_stays)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_up_without(d, BIT(MRG_RXBUF));
    vnet_pattern(frame, 1000, 4);
    vnet_post(d, RX, 2, 500, 500);
    ck_assert(vnet_inject(d, t, 0, frame, 1000, (NetHdr){0}));
    ck_assert(!vnet_get(d, RX, &got));
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 1);
    vnet_expect(d, t, 0, RX, frame, 400);
    vnet_expect(d, t, 0, RX, frame, 480);
}
END_TEST

START_TEST(a_frame_larger_than_the_whole_ring_is_dropped)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_pattern(frame, 4000, 4);
    vnet_post(d, RX, 256, 12, 12);
    ck_assert(vnet_inject(d, t, 0, frame, 4000, (NetHdr){0}));
    ck_assert(!vnet_get(d, RX, &got));
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 1);
    vnet_expect(d, t, 0, RX, frame, 256 * 12 - 12);
}
END_TEST

/* --- headers --- */

static NetHdr large_hdr(void)
{
    NetHdr hdr;

    net_frame(buf, 30054, 9);
    ethernet(host_mac, 0x0800);
    buf[34 + 12] = 5 << 4;
    buf[34 + 13] = 0x10;
    hdr = wrap_ip(6, 0x0a00020f, 0x0a000202, 20 + 30000);
    hdr.gso_type = VIRTIO_NET_HDR_GSO_TCPV4;
    hdr.gso_size = 1000;
    hdr.hdr_len = 54;
    return hdr;
}

START_TEST(net_025_044_062_072_073_078_offloads_come_as_the_backend_has_them)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    NetHdr hdr = large_hdr();

    vnet_post(d, RX, 30, ROOM, ROOM);
    ck_assert(vnet_inject(d, t, 0, buf, 30054, hdr));
    ck_assert(vnet_get(d, RX, &got));
    ck_assert_uint_eq(got.len, 30054);
    ck_assert(memcmp(got.frame, buf, got.len) == 0);
    ck_assert_uint_eq(got.hdr[0], VIRTIO_NET_HDR_F_NEEDS_CSUM);
    ck_assert_uint_eq(got.hdr[1], VIRTIO_NET_HDR_GSO_TCPV4);
    ck_assert_uint_eq(vnet_hdr16(&got, 2), 54);
    ck_assert_uint_eq(vnet_hdr16(&got, 4), 1000);
    ck_assert_uint_eq(vnet_hdr16(&got, 6), 34);
    ck_assert_uint_eq(vnet_hdr16(&got, 8), 16);
    ck_assert_uint_eq(vnet_hdr16(&got, 10), got.buffers);

    ck_assert(vnet_inject(d, t, 0, buf, 60, (NetHdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID}));
    ck_assert(vnet_get(d, RX, &got));
    ck_assert_uint_eq(got.hdr[0], VIRTIO_NET_HDR_F_DATA_VALID); /* conformance: NET-079 */
}
END_TEST

START_TEST(net_064_065_summing_up_completes_a_partial_checksum)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    NetHdr hdr;
    uint16_t csum;
    uint32_t sum;

    net_frame(buf, 142, 3);
    ethernet(host_mac, 0x0800);
    hdr = wrap_ip(17, 0x0a00020f, 0x0a000202, 108);
    vnet_post(d, RX, 1, ROOM, ROOM);
    ck_assert(vnet_inject(d, t, 0, buf, 142, hdr));
    ck_assert(vnet_get(d, RX, &got));
    sum = net_csum_add(0, got.frame + 26, 8, false) + g_htons(17) + g_htons(108);
    csum = (uint16_t)~net_csum_fold(sum);
    ck_assert_mem_eq(got.frame + 40, &csum, 2); /* the pseudo header's */
    csum = net_csum_fold(net_csum_add(0, got.frame + 34, 108, false));
    memcpy(got.frame + vnet_hdr16(&got, 6) + vnet_hdr16(&got, 8), &csum, 2);
    sum = net_csum_add(0, got.frame + 26, 8, false) + g_htons(17) + g_htons(108);
    ck_assert_uint_eq(net_csum_fold(net_csum_add(sum, got.frame + 34, 108, false)), 0);
}
END_TEST

/* One after the other the driver goes without: what it gets is cut, completed and says nothing. */
START_TEST(net_050_to_055_071_what_was_not_negotiated_does_not_come)
{
    static const uint64_t without[] = {
        BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_UFO) | BIT(GUEST_USO4) |
            BIT(GUEST_USO6),
        BIT(GUEST_TSO4),
        BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_UFO) |
            BIT(GUEST_USO4) | BIT(GUEST_USO6),
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(without); i++) {
        NetTest *t;
        g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
        NetHdr hdr = large_hdr();
        unsigned n = 0;

        vnet_up_without(d, without[i]);
        vnet_post(d, RX, 40, ROOM, ROOM);
        ck_assert(vnet_inject(d, t, 0, buf, 30054, hdr));
        while (vnet_get(d, RX, &got)) {
            uint32_t sum = net_csum_add(0, got.frame + 26, 8, false);

            n++;
            ck_assert_uint_eq(got.len, 1054);
            ck_assert(got.hdr[0] == 0 && got.hdr[1] == 0 && vnet_hdr16(&got, 4) == 0);
            sum = net_csum_add(sum, got.frame + 34, 1020, false);
            ck_assert_uint_eq(net_csum_fold(sum + g_htons(6) + g_htons(1020)), 0);
        }
        ck_assert_uint_eq(n, 30);
        ck_assert(vnet_inject(d, t, 0, buf, 60, (NetHdr){.flags = VIRTIO_NET_HDR_F_DATA_VALID}));
        ck_assert(vnet_get(d, RX, &got));
        ck_assert_uint_eq(got.hdr[0], i == 2 ? 0 : VIRTIO_NET_HDR_F_DATA_VALID);
    }
}
END_TEST

START_TEST(net_058_059_segments_with_ecn_come_to_who_knows_them)
{
    for (unsigned with = 0; with < 2; with++) {
        NetTest *t;
        g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
        NetHdr hdr = large_hdr();

        hdr.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
        vnet_up_without(d, with ? 0 : BIT(GUEST_ECN));
        vnet_post(d, RX, 40, ROOM, ROOM);
        ck_assert(vnet_inject(d, t, 0, buf, 30054, hdr));
        ck_assert(vnet_get(d, RX, &got));
        ck_assert_uint_eq(got.hdr[1], with ? VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN : 0);
        ck_assert_uint_eq(got.len, with ? 30054 : 1054);
    }
}
END_TEST

START_TEST(net_056_057_061_066_070_077_headers_say_nothing_of_what_is_not_there)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_post(d, RX, 40, ROOM, ROOM);
    ck_assert(vnet_inject(d, t, 0, buf, 30054, large_hdr()));
    ck_assert(vnet_get(d, RX, &got));
    ck_assert_uint_eq(got.hdr[0] & ~(VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID), 0);
    ck_assert_uint_eq(got.hdr[1] & 0x60, 0);
}
END_TEST

START_TEST(net_013_what_is_larger_than_the_mtu_does_not_come)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, "host_mtu=1280", &t);
    NetHdr hdr = large_hdr();

    vnet_post(d, RX, 60, ROOM, ROOM);
    ck_assert(vnet_inject(d, t, 0, buf, 30054, hdr)); /* segments are smaller */
    ck_assert(vnet_get(d, RX, &got));
    vnet_pattern(frame, 1400, 1);
    vnet_expect(d, t, 0, RX, frame, 1294);
    ck_assert(vnet_inject(d, t, 0, frame, 1295, (NetHdr){0}));
    ck_assert(!vnet_get(d, RX, &got));
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 1);
    frame[12] = 0x81;
    frame[13] = 0;
    vnet_expect(d, t, 0, RX, frame, 1298); /* a tag is part of the header */
    ck_assert(vnet_inject(d, t, 0, frame, 1299, (NetHdr){0}));
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 2);
}
END_TEST

/* --- room --- */

/* A source that stops when it is told to; the frame that was refused counts as taken. */
START_TEST(what_finds_no_buffer_waits_and_nothing_is_lost)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    unsigned n = 0, sent = 0;
    uint8_t small[100];

    for (unsigned round = 0; round < 60; round++) {
        while (net_can_deliver(&t->parent_obj, 0)) {
            vnet_pattern(small, sizeof small, sent++);
            vnet_inject(d, t, 0, small, sizeof small, (NetHdr){0});
        }
        vnet_post(d, RX, 1 + round % 5, 60, 60);
        while (vnet_get(d, RX, &got)) {
            vnet_pattern(small, sizeof small, n++);
            ck_assert(got.len == sizeof small && memcmp(got.frame, small, sizeof small) == 0);
        }
    }
    ck_assert_uint_gt(n, 80);
    ck_assert_uint_le(sent - n, 1);
    ck_assert_uint_eq(net_stats_of(&t->parent_obj).rx_dropped, 0);
}
END_TEST

START_TEST(a_kick_with_buffers_fetches_what_waits)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_pattern(frame, 1000, 1);
    ck_assert(!vnet_inject(d, t, 0, frame, 1000, (NetHdr){0}));
    vnet_post(d, RX, 2, 400, 400); /* not enough for it */
    ck_assert(!vnet_get(d, RX, &got));
    vnet_post_one(d, RX, 400);
    ck_assert(fake_ring_wants_kick(&d->rings[RX]));
    fake_driver_kick(d, RX);
    ck_assert(vnet_get(d, RX, &got));
    ck_assert_uint_eq(got.len, 1000);
    ck_assert_uint_eq(got.buffers, 3);
    ck_assert(memcmp(got.frame, frame, 1000) == 0);
    ck_assert_uint_eq(t->readies, 1);
    ck_assert(fake_driver_interrupted(d, RX));
    still_works(d, t);
}
END_TEST

/* How a real driver goes about it: kicks only when asked to, and looks only when interrupted. If
 * one wake-up is lost, buffers lie there that would do for the frame that waits. */
START_TEST(who_kicks_and_looks_only_when_told_to_gets_everything)
{
    enum { BUFFER = 200, LARGEST = 1400 };
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    unsigned n = 0, sent = 0, free = 0, kicks = 0, most = 0;

    for (unsigned round = 0; round < 120; round++) {
        while (net_can_deliver(&t->parent_obj, 0)) {
            vnet_pattern(frame, 60 + sent * 397 % (LARGEST - 60), sent);
            vnet_inject(d, t, 0, frame, 60 + sent * 397 % (LARGEST - 60), (NetHdr){0});
            sent++;
        }
        for (unsigned i = 0; i <= round % 4 && free < 60; i++, free++) {
            vnet_post_one(d, RX, BUFFER);
        }
        if (fake_ring_wants_kick(&d->rings[RX])) {
            fake_driver_kick(d, RX);
            kicks++;
        }
        while (fake_driver_interrupted(d, RX)) {
            for (; vnet_get(d, RX, &got); n++) {
                vnet_pattern(frame, 60 + n * 397 % (LARGEST - 60), n);
                ck_assert(got.len == 60 + n * 397 % (LARGEST - 60));
                ck_assert(memcmp(got.frame, frame, got.len) == 0);
                free -= got.buffers;
            }
        }
        most = MAX(most, free);
    }
    ck_assert_uint_lt(most, (LARGEST + 12 + BUFFER - 1) / BUFFER + 4);
    ck_assert_uint_gt(n, 40);
    ck_assert_uint_gt(kicks, 40);
    ck_assert_uint_le(sent - n, 2); /* one waits, one may have found room since the last look */
    ck_assert_uint_eq(net_stats_of(&t->parent_obj).rx_dropped, 0);
}
END_TEST

START_TEST(while_there_are_buffers_kicks_are_not_wanted)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_post(d, RX, 4, ROOM, ROOM);
    (void)fake_ring_wants_kick(&d->rings[RX]);
    vnet_post_one(d, RX, ROOM);
    ck_assert(!fake_ring_wants_kick(&d->rings[RX]));
}
END_TEST

START_TEST(many_frames_of_a_round_make_one_interrupt)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t small[60];
    unsigned n = 0;

    vnet_post(d, RX, 20, ROOM, ROOM);
    vnet_pattern(small, sizeof small, 1);
    for (unsigned i = 0; i < 20; i++) {
        ck_assert(net_deliver_flat(&t->parent_obj, 0, small, sizeof small));
    }
    ck_assert(!fake_driver_interrupted(d, RX));
    fake_machine_run(d->m);
    ck_assert(fake_driver_interrupted(d, RX));
    for (; vnet_get(d, RX, &got); n++) {
    }
    ck_assert_uint_eq(n, 20);
}
END_TEST

/* --- no driver, no VM --- */

START_TEST(without_a_driver_frames_are_dropped)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_pattern(frame, 60, 1);
    ck_assert(vnet_inject(d, t, 0, frame, 60, (NetHdr){0}));
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 1);
    fake_driver_up(d);
    still_works(d, t);
    fake_driver_reset(d);
    ck_assert(vnet_inject(d, t, 0, frame, 60, (NetHdr){0}));
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 2);
}
END_TEST

START_TEST(while_the_vm_stands_nothing_is_received)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_post(d, RX, 3, ROOM, ROOM);
    vnet_pattern(frame, 60, 1);
    ck_assert(net_deliver_flat(&t->parent_obj, 0, frame, 60));
    platform_run_changed(&d->m->p, false);
    ck_assert(vnet_get(d, RX, &got)); /* what came before is there at once */
    ck_assert(!vnet_inject(d, t, 0, frame, 60, (NetHdr){0}));
    fake_driver_kick(d, RX);
    ck_assert(!vnet_get(d, RX, &got));
    platform_run_changed(&d->m->p, true);
    fake_machine_run(d->m);
    ck_assert(vnet_get(d, RX, &got));
    ck_assert(memcmp(got.frame, frame, 60) == 0);
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 0);
}
END_TEST

START_TEST(a_reset_while_a_frame_waits)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    for (unsigned i = 0; i < 3; i++) {
        vnet_pattern(frame, 1000, 1);
        ck_assert(!vnet_inject(d, t, 0, frame, 1000, (NetHdr){0}));
        vnet_post(d, RX, 2, 400, 400);
        fake_driver_reset(d);
        fake_machine_run(d->m);
        ck_assert_uint_eq(vnet_count(d, "rx-dropped"), i + 1);
        fake_driver_again(d);
        still_works(d, t);
    }
}
END_TEST

START_TEST(a_reset_between_a_frame_and_its_round)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);

    vnet_post(d, RX, 2, 400, 400);
    vnet_pattern(frame, 60, 1);
    ck_assert(net_deliver_flat(&t->parent_obj, 0, frame, 60));
    fake_driver_again(d);
    ck_assert(!vnet_get(d, RX, &got));
    ck_assert(!fake_driver_interrupted(d, RX));
    still_works(d, t);
}
END_TEST

/* --- more pairs --- */

static void reset_queue(FakeDriver *d, unsigned q)
{
    d->t->queue_reset(d, q);
}

START_TEST(net_128_131_to_135_queues_beyond_those_in_use_and_in_reset_get_nothing)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 3, "mq=on", &t);
    VirtioNet *s = vnet_of(d);

    vnet_pattern(frame, 60, 1);
    for (unsigned q = 0; q < 6; q += 2) {
        vnet_post(d, q, 20, ROOM, ROOM);
    }
    for (unsigned i = 0; i < 3; i++) { /* after initialization: receiveq1 only */
        vnet_expect(d, t, i, 0, frame, 60);
    }
    virtio_net_set_pairs(s, 2);
    vnet_expect(d, t, 0, 0, frame, 60);
    vnet_expect(d, t, 1, 2, frame, 60);
    vnet_expect(d, t, 2, 0, frame, 60);
    virtio_net_set_pairs(s, 3);
    vnet_expect(d, t, 2, 4, frame, 60);
    if (fake_cell_is_legacy((unsigned)_i)) {
        return;
    }
    reset_queue(d, 2);
    vnet_expect(d, t, 1, 4, frame, 60);
    reset_queue(d, 4);
    vnet_expect(d, t, 1, 0, frame, 60);
    vnet_expect(d, t, 2, 0, frame, 60);
    reset_queue(d, 0);
    for (unsigned i = 0; i < 3; i++) {
        ck_assert(vnet_inject(d, t, i, frame, 60, (NetHdr){0}));
    }
    ck_assert_uint_eq(vnet_count(d, "rx-dropped"), 3);
}
END_TEST

START_TEST(net_129_130_a_flow_comes_back_on_the_queue_that_it_went_out_on)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 3, "mq=on", &t);

    virtio_net_set_pairs(vnet_of(d), 3);
    vnet_pattern(frame, 60, 1);
    for (unsigned i = 0; i < 3; i++) { /* the backend's queue is that of the pair, both ways */
        vnet_send(d, 2 * i + 1, NULL, frame, 60, 60);
        ck_assert_uint_eq(t->parent_obj.queues[i].stats.tx_frames, 1);
        vnet_post(d, 2 * i, 2, ROOM, ROOM);
        vnet_expect(d, t, i, 2 * i, frame, 60);
    }
}
END_TEST

START_TEST(a_frame_that_waits_for_a_queue_in_reset_goes_elsewhere)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 2, "mq=on", &t);

    if (fake_cell_is_legacy((unsigned)_i)) {
        return;
    }
    virtio_net_set_pairs(vnet_of(d), 2);
    vnet_post(d, 0, 2, ROOM, ROOM);
    vnet_pattern(frame, 60, 1);
    ck_assert(!vnet_inject(d, t, 1, frame, 60, (NetHdr){0}));
    reset_queue(d, 2);
    fake_machine_run(d->m);
    ck_assert(vnet_get(d, 0, &got));
    ck_assert(memcmp(got.frame, frame, 60) == 0);
}
END_TEST

/* --- bad buffers --- */

START_TEST(buffers_that_cannot_be_written_or_hold_no_header_break_the_device)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t some[32] = {0};

    vnet_pattern(frame, 60, 1);
    for (unsigned i = 0; i < 4; i++) {
        switch (i) {
        case 0:
            fake_driver_add(d, RX, OUT(some, 32));
            break;
        case 1:
            vnet_post_one(d, RX, 11);
            break;
        case 2:
            vnet_post_one(d, RX, 1);
            break;
        default:
            fake_driver_add(d, RX, IN_AT(UINT64_C(0x700000000), 2000));
        }
        fake_driver_kick(d, RX);
        ck_assert(vnet_inject(d, t, 0, frame, 60, (NetHdr){0}));
        ck_assert_msg(fake_driver_broken(d), "case %u", i);
        fake_driver_again(d);
        still_works(d, t);
    }
}
END_TEST

START_TEST(what_the_driver_lets_read_in_a_receive_buffer_is_left_alone)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, &t);
    uint8_t some[32] = {0}, back[72];
    Gpa at[2];
    uint32_t used;

    vnet_pattern(frame, 60, 1);
    fake_driver_add_bufs(d, RX, (const FakeBuf[]){OUT(some, 32), IN(100), END}, at);
    fake_driver_kick(d, RX);
    ck_assert(vnet_inject(d, t, 0, frame, 60, (NetHdr){0}));
    ck_assert(fake_driver_get(d, RX, NULL, &used));
    ck_assert_uint_eq(used, 60 + vnet_hdr_len(d));
    ck_assert(gmem_read(d->m->p.mem, at[1], back, used));
    ck_assert(memcmp(back + vnet_hdr_len(d), frame, 60) == 0);
}
END_TEST

int main(void)
{
    return fake_suite_main(
        "virtio-net-rx", NULL, net_042_047_to_049_frames_of_all_sizes_fill_buffers_of_all_sizes,
        net_047_048_merged_buffers_may_have_pieces_of_any_size,
        a_large_frame_is_seen_before_the_round_is_over_and_small_ones_together_at_its_end,
        net_043_046_without_merging_a_frame_has_one_buffer,
        a_frame_larger_than_its_only_buffer_is_dropped_and_the_buffer_stays,
        a_frame_larger_than_the_whole_ring_is_dropped,
        net_025_044_062_072_073_078_offloads_come_as_the_backend_has_them,
        net_064_065_summing_up_completes_a_partial_checksum,
        net_050_to_055_071_what_was_not_negotiated_does_not_come,
        net_058_059_segments_with_ecn_come_to_who_knows_them,
        net_056_057_061_066_070_077_headers_say_nothing_of_what_is_not_there,
        net_013_what_is_larger_than_the_mtu_does_not_come,
        what_finds_no_buffer_waits_and_nothing_is_lost, a_kick_with_buffers_fetches_what_waits,
        who_kicks_and_looks_only_when_told_to_gets_everything,
        while_there_are_buffers_kicks_are_not_wanted, many_frames_of_a_round_make_one_interrupt,
        without_a_driver_frames_are_dropped, while_the_vm_stands_nothing_is_received,
        a_reset_while_a_frame_waits, a_reset_between_a_frame_and_its_round,
        net_128_131_to_135_queues_beyond_those_in_use_and_in_reset_get_nothing,
        net_129_130_a_flow_comes_back_on_the_queue_that_it_went_out_on,
        a_frame_that_waits_for_a_queue_in_reset_goes_elsewhere,
        buffers_that_cannot_be_written_or_hold_no_header_break_the_device,
        what_the_driver_lets_read_in_a_receive_buffer_is_left_alone);
}
