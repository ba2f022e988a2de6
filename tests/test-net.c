/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The layer between cards and network backends: order, back-pressure in both directions, counters,
 * link, deletion under a card.
 */
#include <string.h>

#include "net-fixture.h"
#include "tests/suite.h"

static uint8_t buf[NET_FRAME_MAX + 64];

START_TEST(frames_are_sent_in_order_and_counted)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    unsigned wrong = 0;

    for (unsigned i = 0; i < 50; i++) {
        net_frame(buf, 60 + i, i);
        wrong += !card_send(c, buf, 60 + i);
    }
    for (unsigned i = 0; i < 50; i++) {
        NetRecord *r = net_test_sent(t, i);

        net_frame(buf, 60 + i, i);
        wrong += r->bytes->len != 60 + i || memcmp(r->bytes->data, buf, 60 + i) != 0;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-frames"), 50);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-bytes"), 50 * 60 + 49 * 25);
    card_free(c);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-frames"), 50);
}
END_TEST

START_TEST(a_full_backend_refuses_and_says_when_there_is_room)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    struct iovec iov = {buf, 60};
    NetFrame frames[5];

    for (unsigned i = 0; i < 5; i++) {
        frames[i] = (NetFrame){.iov = &iov, .niov = 1, .len = 60};
    }
    net_frame(buf, 60, 1);
    t->room = 3;
    ck_assert_uint_eq(net_send(c->user, 0, frames, 5), 3);
    net_run_for(1);
    ck_assert_uint_eq(c->ready, 0);
    net_test_writable(t, -1);
    ck_assert_uint_eq(c->ready, 1);
    ck_assert_uint_eq(net_send(c->user, 0, frames, 2), 2);
    net_test_writable(t, -1);
    ck_assert_uint_eq(c->ready, 1); /* nobody waits */
    ck_assert_uint_eq(t->sent->len, 5);
    card_free(c);
}
END_TEST

START_TEST(a_frame_that_the_card_refuses_is_kept_and_comes_first)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);

    c->room = 1;
    net_frame(buf, 100, 1);
    ck_assert(net_test_inject(t, buf, 100, (NetHdr){0}));
    net_frame(buf, 100, 2);
    ck_assert(!net_test_inject(t, buf, 100, (NetHdr){0}));
    net_frame(buf, 100, 3);
    ck_assert(!net_test_inject(t, buf, 100, (NetHdr){0})); /* one is kept: this one is lost */
    ck_assert_uint_eq(c->got->len, 1);
    ck_assert_uint_eq(c->refused, 1);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 1);
    ck_assert_uint_eq(t->readies, 0);

    c->room = -1;
    net_receive_ready(c->user, 0);
    ck_assert_uint_eq(c->got->len, 1); /* from the loop, not from here */
    net_run_for(1);
    ck_assert_uint_eq(c->got->len, 2);
    net_frame(buf, 100, 2);
    ck_assert_mem_eq(((NetRecord *)c->got->pdata[1])->bytes->data, buf, 100);
    ck_assert_uint_eq(t->readies, 1);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-frames"), 2);
    net_receive_ready(c->user, 0);
    net_run_for(1);
    ck_assert_uint_eq(t->readies, 1);
    card_free(c);
}
END_TEST

START_TEST(malformed_frames_are_counted_both_ways)
{
    static const size_t sizes[] = {0, 1, 13, NET_FRAME_MAX + 1};
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);

    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        ck_assert(card_send(c, buf, sizes[i]));
        ck_assert(net_test_inject(t, buf, sizes[i], (NetHdr){0}));
    }
    ck_assert_uint_eq(t->sent->len + c->got->len, 0);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-errors"), G_N_ELEMENTS(sizes));
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-errors"), G_N_ELEMENTS(sizes));
    ck_assert(card_send(c, buf, NET_FRAME_MIN));
    ck_assert(card_send(c, buf, NET_FRAME_MAX));
    ck_assert_uint_eq(t->sent->len, 2);
    card_free(c);
}
END_TEST

START_TEST(without_a_link_frames_are_dropped_and_the_card_is_told)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);

    net_frame(buf, 60, 0);
    net_backend_set_link(&t->parent_obj, false);
    ck_assert_uint_eq(c->links, 1);
    ck_assert(!c->link && !net_link_up(&t->parent_obj));
    ck_assert(card_send(c, buf, 60));
    ck_assert(net_test_inject(t, buf, 60, (NetHdr){0}));
    ck_assert_uint_eq(t->sent->len + c->got->len, 0);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "tx-dropped"), 1);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 1);
    net_backend_set_link(&t->parent_obj, true);
    ck_assert_uint_eq(c->links, 2);
    net_set_carrier(&t->parent_obj, false);
    net_set_carrier(&t->parent_obj, true);
    net_run_for(1);
    ck_assert_uint_eq(c->links, 2); /* all is as it was */
    ck_assert(card_send(c, buf, 60));
    ck_assert_uint_eq(t->sent->len, 1);
    card_free(c);
}
END_TEST

START_TEST(a_card_survives_the_deletion_of_its_backend)
{
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);

    c->room = 0;
    net_frame(buf, 60, 0);
    net_test_inject(t, buf, 60, (NetHdr){0});
    ck_assert(net_backend_del(net_root, "n0", NULL));
    ck_assert_uint_eq(c->links, 1);
    ck_assert(!c->link);
    ck_assert_ptr_null(net_user_backend(c->user));
    ck_assert(card_send(c, buf, 60));
    net_receive_ready(c->user, 0);
    net_set_guest_offloads(c->user, NET_OFFLOAD_ALL);
    net_set_queues(c->user, 1);
    net_run_for(1);
    ck_assert_ptr_null(net_backend_find(net_root, "n0"));
    card_free(c);
}
END_TEST

START_TEST(a_backend_has_one_user_at_a_time)
{
    NetTest *t = net_test_add("n0", 0, 2);
    Card *c = card_new(&t->parent_obj);
    NetUserOps ops = {.name = "other"};
    EventLoop *loops[3] = {net_loop, net_loop, net_loop};
    g_autoptr(GError) err = NULL;

    ck_assert_ptr_null(net_attach(&t->parent_obj, &ops, loops, 1, &err));
    ck_assert_str_eq(err->message, "netdev 'n0' is in use by 'card'");
    g_clear_error(&err);
    card_free(c);
    ck_assert_ptr_null(net_attach(&t->parent_obj, &ops, loops, 3, &err));
    ck_assert_str_eq(err->message, "netdev 'n0' has 2 queue pairs, not 3");
}
END_TEST

/* TCP over IPv4 with 4000 bytes of payload in segments of 1000. */
static NetHdr large_frame(void)
{
    static const uint8_t head[] = {
        2,  0,  0,    0,    0, 1, 2, 0, 0,  0, 0, 2, 8,    0,                       /* Ethernet */
        69, 0,  0x0f, 0xc8, 0, 1, 0, 0, 64, 6, 0, 0, 10,   0,    0, 1, 10, 0, 0, 2, /* IP */
        0,  80, 0,    81,   0, 0, 0, 0, 0,  0, 0, 0, 0x50, 0x10, 1, 0, 0,  0, 0, 0, /* TCP */
    };

    net_frame(buf, sizeof head + 4000, 1);
    memcpy(buf, head, sizeof head);
    return (NetHdr){.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
                    .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
                    .hdr_len = sizeof head,
                    .gso_size = 1000,
                    .csum_start = 34,
                    .csum_offset = 16};
}

static void change_headers(void *opaque)
{
    memset(buf + 14, *(const int *)opaque, 40); /* 0xff: options that go beyond the header */
}

START_TEST(who_changes_a_frame_while_it_is_cut_gets_the_headers_that_were_checked)
{
    static const int with[] = {0, 0xff, 0x46};
    NetTest *t = net_test_add("n0", 0, 1);
    Card *c = card_new(&t->parent_obj);
    NetHdr hdr = large_frame();

    t->room = 2;
    t->sending = change_headers;
    t->opaque = (void *)&with[_i];
    ck_assert(card_send_hdr(c, buf, 4054, hdr));
    net_test_writable(t, -1);
    ck_assert_uint_eq(t->sent->len, 4);
    for (unsigned i = 0; i < 4; i++) {
        const GByteArray *got = net_test_sent(t, i)->bytes;

        ck_assert_uint_eq(got->len, 1054);
        ck_assert_uint_eq(got->data[14], 69);
        ck_assert_uint_eq(got->data[23], 6);
        ck_assert_uint_eq(got->data[46], 0x50);
        ck_assert_uint_eq((unsigned)(got->data[40] << 8 | got->data[41]), 1000 * i);
    }
    card_free(c);
}
END_TEST

static void expect_segments(const Card *c, unsigned n)
{
    ck_assert_uint_eq(c->got->len, n);
    for (unsigned i = 0; i < n; i++) {
        const NetRecord *got = c->got->pdata[i];

        ck_assert_uint_eq(got->bytes->len, 1054);
        ck_assert_uint_eq(got->hdr.gso_type | got->hdr.flags, 0);
        ck_assert_uint_eq((unsigned)(got->bytes->data[40] << 8 | got->bytes->data[41]), 1000 * i);
        ck_assert_mem_eq(got->bytes->data + 54, buf + 54 + (size_t)1000 * i, 1000);
    }
}

static void make_room(Card *c, int n)
{
    c->room = n;
    net_receive_ready(c->user, 0);
    net_run_for(1);
}

START_TEST(a_large_frame_that_waits_is_cut_where_its_offload_has_gone)
{
    NetTest *t = net_test_add("n0", NET_OFFLOAD_ALL, 1);
    Card *c = card_new(&t->parent_obj);
    NetHdr hdr = large_frame();

    net_set_guest_offloads(c->user, NET_OFFLOAD_ALL);
    c->room = 0;
    ck_assert(!net_test_inject(t, buf, 4054, hdr));
    net_set_guest_offloads(c->user, _i ? NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO6 : 0);
    make_room(c, 2);
    expect_segments(c, 2);
    ck_assert_uint_eq(t->readies, 0);
    net_set_guest_offloads(c->user, NET_OFFLOAD_ALL); /* the rest of it is segments all the same */
    make_room(c, 1);
    make_room(c, -1);
    expect_segments(c, 4);
    ck_assert_uint_eq(t->readies, 1);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 0);
    ck_assert(net_test_inject(t, buf, 4054, hdr)); /* and the next one is whole */
    ck_assert_uint_eq(c->got->len, 5);
    card_free(c);
}
END_TEST

/* What the card has of a frame that is lost says nothing of the next one. */
START_TEST(a_frame_that_waits_in_part_is_lost_to_the_kernel)
{
    NetTest *t = net_test_add("n0", NET_OFFLOAD_ALL, 1);
    Card *c = card_new(&t->parent_obj);
    NetHdr hdr = large_frame();

    c->room = 1;
    ck_assert(!net_test_inject(t, buf, 4054, hdr));
    ck_assert_int_ge(net_vhost_begin(c->user, 0, 12, NULL, NULL), 0);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 1);
    net_vhost_end(c->user, 0);
    card_drop(c);
    c->room = -1;
    ck_assert(net_test_inject(t, buf, 4054, hdr));
    expect_segments(c, 4);
    card_free(c);
}
END_TEST

START_TEST(segments_that_find_no_room_wait)
{
    NetTest *t = net_test_add("n0", NET_OFFLOAD_ALL, 1);
    Card *c = card_new(&t->parent_obj);
    NetHdr hdr = large_frame();

    c->room = 1;
    ck_assert(!net_test_inject(t, buf, 4054, hdr));
    make_room(c, -1);
    expect_segments(c, 4);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 0);

    c->room = 1;
    ck_assert(!net_test_inject(t, buf, 4054, hdr));
    net_backend_set_link(&t->parent_obj, false); /* the rest is lost with the link */
    make_room(c, -1);
    net_backend_set_link(&t->parent_obj, true);
    ck_assert_uint_eq(net_counter(&t->parent_obj, "rx-dropped"), 1);
    card_drop(c);
    ck_assert(net_test_inject(t, buf, 4054, hdr));
    expect_segments(c, 4);
    card_free(c);
}
END_TEST

START_TEST(bad_options_get_one_line)
{
    net_add("{'type': 'null', 'id': 'n0'}");
    net_add_fails("{'type': 'null', 'id': 'n0'}", "duplicate netdev id 'n0'");
    net_add_fails("{'id': 'n1'}", "'type' is missing: give TYPE,id=ID");
    net_add_fails("{'type': 'null'}", "'id' is missing: give TYPE,id=ID");
    net_add_fails("{'type': 'nul', 'id': 'n1'}", "unknown netdev type 'nul'; did you mean 'null'?");
    net_add_fails("{'type': 'null', 'id': 'n1', 'vhost': true}",
                  "unknown property 'vhost' of netdev-null");
    net_add_fails("{'type': 'vhost-user', 'id': 'n1'}",
                  "netdev type 'vhost-user' is not served here: use 'tap'");
    ck_assert_ptr_null(net_backend_find(net_root, "n1"));
}
END_TEST

START_TEST(the_null_network_takes_all)
{
    NetBackend *b = net_add("{'type': 'null', 'id': 'n0'}");
    Card *c = card_new(b);

    net_frame(buf, 1500, 0);
    ck_assert(card_send(c, buf, 1500));
    ck_assert_uint_eq(net_counter(b, "tx-frames"), 1);
    ck_assert_str_eq(net_info_string(b), "type=null");
    ck_assert_uint_eq(net_max_queues(b), NET_QUEUES_MAX);
    card_free(c);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("net");
    TCase *tc = tcase_create("net");

    tcase_add_checked_fixture(tc, net_setup, net_teardown);
    suite_add_tcase(s, tc);
    tcase_add_test(tc, frames_are_sent_in_order_and_counted);
    tcase_add_test(tc, a_full_backend_refuses_and_says_when_there_is_room);
    tcase_add_test(tc, a_frame_that_the_card_refuses_is_kept_and_comes_first);
    tcase_add_test(tc, malformed_frames_are_counted_both_ways);
    tcase_add_test(tc, without_a_link_frames_are_dropped_and_the_card_is_told);
    tcase_add_test(tc, a_card_survives_the_deletion_of_its_backend);
    tcase_add_test(tc, a_backend_has_one_user_at_a_time);
    tcase_add_loop_test(tc, who_changes_a_frame_while_it_is_cut_gets_the_headers_that_were_checked,
                        0, 3);
    tcase_add_loop_test(tc, a_large_frame_that_waits_is_cut_where_its_offload_has_gone, 0, 2);
    tcase_add_test(tc, segments_that_find_no_room_wait);
    tcase_add_test(tc, a_frame_that_waits_in_part_is_lost_to_the_kernel);
    tcase_add_test(tc, bad_options_get_one_line);
    tcase_add_test(tc, the_null_network_takes_all);
    return suite_run(s);
}
