/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Control commands that are wrong: VIRTIO_NET_ERR and nothing has changed, or a device that needs a
 * reset; and it goes on.
 */
#include "tests/test-virtio-net-ctrl.h"

#include <stdlib.h>
#include <string.h>

enum { OPS = 100, NOTF_COAL = 6 };

/* All that commands set. */
typedef struct {
    NetRxFilter filter;
    NetRssConfig rss;
    NetCoalParams coal[2], queues[2][2];
    uint64_t offloads;
    unsigned pairs;
    bool steer, announce;
} State;

static State *state_of(Nic *n)
{
    State *s = g_new0(State, 1); /* compared as bytes */

    memcpy(&s->filter, &n->s->filter, sizeof s->filter);
    memcpy(&s->rss, &n->s->rss.config, sizeof s->rss);
    s->coal[0] = n->s->rx_coal;
    s->coal[1] = n->s->tx_coal;
    for (unsigned i = 0; i < MIN(2, n->s->n_pairs); i++) {
        s->queues[i][0] = n->s->pairs[i].rx_coal.params;
        s->queues[i][1] = n->s->pairs[i].tx_coal.params;
    }
    s->offloads = n->s->guest_offloads;
    s->pairs = n->s->cur_pairs;
    s->steer = n->s->steer;
    s->announce = n->s->announce;
    return s;
}

static void expect_unchanged(Nic *n, const State *before)
{
    g_autofree State *now = state_of(n);

    ck_assert(!memcmp(now, before, sizeof *now));
    ck_assert(!fake_driver_broken(n->d));
}

/* Commands that are right, with some data that is. */
static const struct {
    uint8_t class, command;
    unsigned len;
    uint8_t data[32];
} good[] = {
    {0, 0, 1, {0}},
    {0, 1, 1, {1}},
    {0, 2, 1, {1}},
    {0, 3, 1, {1}},
    {0, 4, 1, {1}},
    {0, 5, 1, {1}},
    {1, 0, 20, {1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 1, 0, 0, 0, 3, 0, 0, 0, 0, 9}},
    {1, 1, 6, {2, 0, 0, 0, 0, 7}},
    {2, 0, 2, {5, 0}},
    {2, 1, 2, {5, 0}},
    {3, 0, 0, {0}},
    {4, 0, 2, {2, 0}},
    {4, 1, 17, {1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 4, 1, 2, 3, 4}},
    {4, 2, 15, {1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 1, 2}},
    {5, 0, 8, {2}},
    {6, 0, 8, {9, 0, 0, 0, 9}},
    {6, 1, 8, {9, 0, 0, 0, 9}},
    {6, 2, 12, {1, 0, 0, 0, 7, 0, 0, 0, 7}},
};

static bool needs_modern(unsigned i)
{
    return good[i].class == NOTF_COAL || (good[i].class == 4 && good[i].command > 0);
}

static Nic *start(unsigned cell)
{
    return nic_start(cell, 2, "mq=on,rss=on,hash=on");
}

static bool is_modern(Nic *n)
{
    return !fake_cell_is_legacy(n->d->cell);
}

START_TEST(the_list_of_good_commands_is_right)
{
    g_autoptr(Nic) n = start((unsigned)_i);

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        uint8_t ack = nic_command(n, good[i].class, good[i].command, good[i].data, good[i].len);

        ck_assert_msg(ack == (is_modern(n) || !needs_modern(i) ? VIRTIO_NET_OK : VIRTIO_NET_ERR),
                      "%u.%u", good[i].class, good[i].command);
    }
}
END_TEST

START_TEST(commands_of_any_other_length_are_refused)
{
    g_autoptr(Nic) n = start((unsigned)_i);
    g_autofree State *before = state_of(n);
    unsigned wrong = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        for (unsigned len = 0; len <= sizeof good[i].data; len++) {
            wrong += len != good[i].len && nic_command(n, good[i].class, good[i].command,
                                                       good[i].data, len) != VIRTIO_NET_ERR;
        }
    }
    ck_assert_uint_eq(wrong, 0);
    expect_unchanged(n, before);
}
END_TEST

static bool is_good(unsigned class, unsigned command)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        if (good[i].class == class && good[i].command == command) {
            return true;
        }
    }
    return class == NOTF_COAL && command == 3;
}

START_TEST(unknown_commands_are_refused)
{
    g_autoptr(Nic) n = start((unsigned)_i);
    g_autofree State *before = state_of(n);
    unsigned wrong = 0;

    for (unsigned class = 0; class < 12; class ++) {
        for (unsigned command = 0; command < 256; command += command < 8 ? 1 : 31) {
            for (unsigned len = 0; len <= 8 && !is_good(class, command); len += 4) {
                wrong += nic_command(n, class, command, "\1\0\0\0\0\0\0\0", len) != VIRTIO_NET_ERR;
            }
        }
    }
    wrong += nic_command(n, 255, 0, "\1", 1) != VIRTIO_NET_ERR;
    ck_assert_uint_eq(wrong, 0);
    expect_unchanged(n, before);
}
END_TEST

START_TEST(commands_of_features_that_were_not_negotiated_are_refused)
{
    g_autoptr(Nic) n = nic_probe((unsigned)_i, 2, "mq=on,rss=on,hash=on");
    g_autofree State *before = NULL;

    nic_up_without(n, NIC_BIT(CTRL_RX) | NIC_BIT(CTRL_RX_EXTRA) | NIC_BIT(CTRL_VLAN) |
                          NIC_BIT(CTRL_MAC_ADDR) | NIC_BIT(CTRL_GUEST_OFFLOADS) |
                          NIC_BIT(GUEST_ANNOUNCE) | NIC_BIT(MQ) | NIC_BIT(RSS) |
                          NIC_BIT(HASH_REPORT) | NIC_BIT(NOTF_COAL) | NIC_BIT(VQ_NOTF_COAL));
    ck_assert_uint_eq(nic_ctrl_queue(n), 2);
    before = state_of(n);
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        ck_assert_uint_eq(nic_command(n, good[i].class, good[i].command, good[i].data, good[i].len),
                          VIRTIO_NET_ERR);
    }
    expect_unchanged(n, before);
}
END_TEST

START_TEST(values_out_of_range_are_refused)
{
    static const struct {
        uint8_t class, command;
        unsigned size;
        uint64_t value;
    } bad[] = {
        {0, 0, 1, 2},          {0, 5, 1, 255},
        {2, 0, 2, 4096},       {2, 1, 2, 0xffff},
        {4, 0, 2, 0},          {4, 0, 2, 3},
        {5, 0, 8, UINT64_MAX}, {5, 0, 8, 1 << 7},
        {1, 0, 8, 1},          {1, 0, 8, UINT64_C(1) << 32},
        {1, 0, 8, UINT64_MAX}, {1, 0, 8, 0xffffffff},
        {1, 0, 4, 0},          {1, 0, 4, 0xaaaaaaaa},
    };
    g_autoptr(Nic) n = start((unsigned)_i);
    g_autofree State *before = state_of(n);

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        ck_assert_msg(nic_command_le(n, bad[i].class, bad[i].command, bad[i].value, bad[i].size) ==
                          VIRTIO_NET_ERR,
                      "number %u", i);
    }
    expect_unchanged(n, before);
}
END_TEST

START_TEST(a_command_without_room_for_its_ack_breaks_the_device)
{
    static const uint8_t promisc_off[3] = {0, 0, 0};
    g_autoptr(Nic) n = start((unsigned)_i);

    fake_driver_add(n->d, nic_ctrl_queue(n), OUT(promisc_off, 3));
    fake_driver_kick(n->d, nic_ctrl_queue(n));
    ck_assert(fake_driver_broken(n->d));
    ck_assert(n->s->filter.promisc);
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert(nic_gets(n, nic_own));
    ck_assert_uint_eq(nic_command_le(n, 0, 0, 0, 1), VIRTIO_NET_OK);
}
END_TEST

START_TEST(a_header_cut_off_is_refused)
{
    g_autoptr(Nic) n = start((unsigned)_i);
    FakeDriver *d = n->d;
    unsigned q = nic_ctrl_queue(n);
    Gpa ack = fake_driver_alloc(d, 8);
    uint32_t used;

    for (unsigned len = 0; len < 2; len++) {
        fake_mem_put(d->m->p.mem, ack, UINT64_MAX, 8);
        if (len == 0) {
            fake_driver_add(d, q, IN_AT(ack.v, 8));
        } else {
            fake_driver_add(d, q, OUT("\0", len), IN_AT(ack.v, 8));
        }
        fake_driver_kick(d, q);
        ck_assert(fake_driver_get(d, q, NULL, &used));
        ck_assert_uint_eq(used, 1);
        ck_assert_uint_eq(fake_mem_get(d->m->p.mem, ack, 8), 0xffffffffffffff01);
    }
    ck_assert(n->s->filter.promisc && !fake_driver_broken(d));
}
END_TEST

START_TEST(a_command_may_lie_in_pieces_of_a_byte)
{
    static const uint8_t data[] = {1, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 9, 0, 0, 0, 0};
    g_autoptr(Nic) n = start((unsigned)_i);
    FakeBuf bufs[sizeof data + 2];
    unsigned q = nic_ctrl_queue(n);
    Gpa places[sizeof data + 2];

    for (unsigned i = 0; i < sizeof data; i++) {
        bufs[i] = OUT(data + i, 1);
    }
    bufs[sizeof data] = IN(1);
    bufs[sizeof data + 1] = END;
    fake_driver_add_bufs(n->d, q, bufs, places);
    fake_driver_kick(n->d, q);
    ck_assert(fake_driver_get(n->d, q, NULL, NULL));
    ck_assert_uint_eq(fake_mem_get(n->d->m->p.mem, places[sizeof data], 1), VIRTIO_NET_OK);
    ck_assert_uint_eq(n->s->filter.n_uni, 1);
}
END_TEST

START_TEST(a_queue_full_of_commands_is_answered_in_order)
{
    g_autoptr(Nic) n = start((unsigned)_i);
    FakeDriver *d = n->d;
    unsigned q = nic_ctrl_queue(n), many = MIN(d->rings[q].n_free / 2, 40);
    uint16_t heads[64], got;

    for (unsigned i = 0; i < many; i++) {
        uint8_t command[4] = {VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, (uint8_t)i, 0};

        heads[i] = fake_driver_add(d, q, OUT(command, 4), IN(1));
    }
    fake_driver_kick(d, q);
    for (unsigned i = 0; i < many; i++) {
        ck_assert(fake_driver_get(d, q, &got, NULL));
        ck_assert_uint_eq(got, heads[i]);
        ck_assert(net_rx_filter_has_vlan(&n->s->filter, i));
    }
    ck_assert(!net_rx_filter_has_vlan(&n->s->filter, many));
}
END_TEST

/* Mostly right in class, command and length; any bytes. */
START_TEST(random_commands_leave_a_card_that_works)
{
    g_autoptr(Nic) n = start((unsigned)_i);
    unsigned wrong = 0;

    srandom(30 + (unsigned)_i);
    for (unsigned op = 0; op < OPS; op++) {
        unsigned i = (unsigned)random() % G_N_ELEMENTS(good);
        uint8_t data[64];
        size_t len = random() % 4 ? good[i].len : (unsigned)random() % sizeof data;
        uint8_t ack;

        memcpy(data, good[i].data, sizeof good[i].data);
        for (unsigned j = 0; j < sizeof data; j++) {
            data[j] = (uint8_t)(random() % 3 ? data[j % sizeof good[i].data] : random());
        }
        ack = nic_command(n, good[i].class, good[i].command + (random() % 8 == 0), data, len);
        wrong += ack > VIRTIO_NET_ERR;
        wrong += n->s->cur_pairs < 1 || n->s->cur_pairs > 2;
        wrong += n->s->filter.n_uni + n->s->filter.n_multi > 64;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert(!fake_driver_broken(n->d));
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_other));
}
END_TEST

void add_nic_bad_tests(Suite *s)
{
    const TTest *const tests[] = {
        the_list_of_good_commands_is_right,
        commands_of_any_other_length_are_refused,
        unknown_commands_are_refused,
        commands_of_features_that_were_not_negotiated_are_refused,
        values_out_of_range_are_refused,
        a_command_without_room_for_its_ack_breaks_the_device,
        a_header_cut_off_is_refused,
        a_command_may_lie_in_pieces_of_a_byte,
        a_queue_full_of_commands_is_answered_in_order,
        random_commands_leave_a_card_that_works,
    };

    nic_add_tests(s, "bad", tests, G_N_ELEMENTS(tests));
}
