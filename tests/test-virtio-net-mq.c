/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net with several queue pairs (VIRTIO 1.4 §5.1.6.5.5 to .7): how many are in use, which one
 * a frame comes in on, and the hash that is reported.
 */
#include "tests/test-virtio-net-ctrl.h"

#include <string.h>

enum { CFG_MAX_PAIRS = 8, CFG_KEY_SIZE = 17, CFG_TABLE_LENGTH = 18, CFG_HASH_TYPES = 20 };
enum { TCP4 = VIRTIO_NET_RSS_HASH_TYPE_TCPv4, IP4 = VIRTIO_NET_RSS_HASH_TYPE_IPv4 };
enum { TCP = 6, UDP = 17 };

/* Microsoft's key and vectors, see test-virtio-net-rss.c. */
static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};

static const struct {
    uint32_t src, dst;
    unsigned sport, dport;
    uint32_t ip, ports;
} vectors[] = {
    {0x420995bb, 0xa18e6450, 2794, 1766, 0x323e8fc2, 0x51ccc178},
    {0xc75c6f02, 0x41458c53, 14230, 4739, 0xd718262a, 0xc626b0ea},
    {0x1813c65f, 0x0c16cfb8, 12898, 38024, 0xd2d0a5de, 0x5c2b394a},
    {0x261bcd1e, 0xd18ea306, 48228, 2217, 0x82989176, 0xafc7327f},
    {0x9927a3bf, 0xcabc7f02, 44251, 1303, 0x5d1809c5, 0x10e828a2},
};

static void packet(uint8_t buf[54], unsigned vector, unsigned proto)
{
    nic_packet(buf, vectors[vector].src, vectors[vector].dst, vectors[vector].sport,
               vectors[vector].dport, proto);
}

static unsigned receive(Nic *n, unsigned from, unsigned vector, unsigned proto)
{
    uint8_t buf[54];

    packet(buf, vector, proto);
    return nic_receive_on(n, from, buf, sizeof buf);
}

static uint8_t set_pairs(Nic *n, unsigned pairs)
{
    return nic_command_le(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET, pairs, 2);
}

/* entries of the table: queue (i * 3 + 1) % pairs. */
static unsigned entry(unsigned i, unsigned pairs)
{
    return (i * 3 + 1) % pairs;
}

static uint8_t rss_config(Nic *n, uint32_t types, unsigned entries, unsigned pairs,
                          unsigned unclassified)
{
    uint8_t data[NET_RSS_DATA_MAX];
    size_t len = 8;

    le_store(data, types, 4);
    le_store(data + 4, entries - 1, 2);
    le_store(data + 6, unclassified, 2);
    for (unsigned i = 0; i < entries; i++, len += 2) {
        le_store(data + len, entry(i, pairs), 2);
    }
    le_store(data + len, pairs, 2);
    data[len + 2] = sizeof key;
    memcpy(data + len + 3, key, sizeof key);
    return nic_command(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, data,
                       len + 3 + sizeof key);
}

static uint8_t hash_config(Nic *n, uint32_t types)
{
    uint8_t data[13 + sizeof key] = {0};

    le_store(data, types, 4);
    data[12] = sizeof key;
    memcpy(data + 13, key, sizeof key);
    return nic_command(n, VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, data, sizeof data);
}

static void expect_hash(Nic *n, uint32_t value, unsigned report)
{
    ck_assert_uint_eq(le_load(n->header + 12, 4), value);
    ck_assert_uint_eq(le_load(n->header + 16, 2), report);
    ck_assert_uint_eq(le_load(n->header + 18, 2), 0);
}

/* A card with that feature, which legacy drivers cannot have: NULL for them. */
static Nic *start_with(unsigned cell, unsigned queues, const char *props, unsigned bit)
{
    Nic *n = nic_start(cell, queues, props);

    if (nic_has(n, bit)) {
        return n;
    }
    ck_assert(fake_cell_is_legacy(cell));
    nic_free(n);
    return NULL;
}

/* --- automatic steering --- */

START_TEST(net_09_15_16_the_limits_are_in_configuration_space)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 3, "mq=on,rss=on,hash=on");

    ck_assert_uint_eq(nic_config(n, CFG_MAX_PAIRS, 2), 3);
    if (!fake_cell_is_legacy((unsigned)_i)) {
        ck_assert_uint_eq(nic_config(n, CFG_KEY_SIZE, 1), 40);
        ck_assert_uint_eq(nic_config(n, CFG_TABLE_LENGTH, 2), 128);
        ck_assert_uint_eq(nic_config(n, CFG_HASH_TYPES, 4), 0x1ff);
    }
}
END_TEST

START_TEST(net_129_130_131_132_133_136_frames_come_in_on_enabled_queues_by_flow)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 4, "mq=on");
    NetBackend *b = &n->net->parent_obj;

    for (unsigned from = 0; from < 4; from++) {
        ck_assert_uint_eq(receive(n, from, 0, TCP), 0);
    }
    ck_assert_uint_eq(b->active_queues, 1);
    ck_assert_uint_eq(set_pairs(n, 3), VIRTIO_NET_OK);
    ck_assert_uint_eq(b->active_queues, 3);
    for (unsigned from = 0; from < 3; from++) {
        ck_assert_uint_eq(receive(n, from, from, TCP), from);
    }
    ck_assert_uint_lt(receive(n, 3, 3, UDP), 3);
    ck_assert_uint_eq(set_pairs(n, 4), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 3, 3, TCP), 3);
    ck_assert_uint_eq(set_pairs(n, 1), VIRTIO_NET_OK);
    for (unsigned from = 0; from < 4; from++) {
        ck_assert_uint_eq(receive(n, from, 0, TCP), 0);
    }
    ck_assert_uint_eq(set_pairs(n, 2), VIRTIO_NET_OK);
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert_uint_eq(receive(n, 1, 1, TCP), 0);
    ck_assert_uint_eq(b->active_queues, 1);
}
END_TEST

START_TEST(a_frame_that_waits_for_a_queue_goes_to_another_that_is_left)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 2, "mq=on");
    uint8_t buf[54];

    ck_assert_uint_eq(set_pairs(n, 2), VIRTIO_NET_OK);
    packet(buf, 0, TCP);
    for (unsigned i = 0; i < NIC_BUFFERS + 1; i++) {
        nic_inject(n, 1, buf, sizeof buf); /* there is no buffer for the last */
    }
    ck_assert_uint_eq(set_pairs(n, 1), VIRTIO_NET_OK);
    fake_machine_run(n->d->m);
    ck_assert_uint_eq(nic_take_all(n, 0), 1);
    ck_assert_uint_eq(nic_take_all(n, 1), NIC_BUFFERS);
}
END_TEST

START_TEST(numbers_of_pairs_beyond_what_there_is_are_refused)
{
    static const unsigned wrong[] = {0, 4, 5, 64, 0x8000, 0x8001, 0xffff};
    g_autoptr(Nic) n = nic_start((unsigned)_i, 3, "mq=on");

    ck_assert_uint_eq(set_pairs(n, 2), VIRTIO_NET_OK);
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        ck_assert_uint_eq(set_pairs(n, wrong[i]), VIRTIO_NET_ERR);
    }
    ck_assert_uint_eq(n->s->cur_pairs, 2);
    ck_assert_uint_eq(receive(n, 1, 1, TCP), 1);
}
END_TEST

/* Does the driver have VIRTIO_F_RING_RESET? Where it does not a test is about nothing. */
static bool can_reset_queues(Nic *n)
{
    return nic_has(n, VIRTIO_F_RING_RESET);
}

START_TEST(net_134_135_a_queue_in_reset_gets_nothing_the_others_its_frames)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 3, "mq=on");

    if (!can_reset_queues(n)) {
        ck_assert(fake_cell_is_legacy((unsigned)_i));
        return;
    }
    ck_assert_uint_eq(set_pairs(n, 3), VIRTIO_NET_OK);
    n->d->t->queue_reset(n->d, 2);
    ck_assert_uint_ne(receive(n, 1, 1, TCP), 1);
    ck_assert_uint_lt(receive(n, 1, 1, TCP), 3);
    ck_assert_uint_eq(receive(n, 0, 0, TCP), 0);
    n->d->t->queue_reset(n->d, 0);
    ck_assert_uint_eq(receive(n, 0, 0, TCP), 2);
    n->d->t->queue_reset(n->d, 4);
    for (unsigned from = 0; from < 3; from++) {
        ck_assert_uint_eq(receive(n, from, 0, TCP), NIC_NOWHERE);
    }
    ck_assert(!fake_driver_broken(n->d));
}
END_TEST

/* --- hash --- */

START_TEST(net_94_137_138_the_hash_is_reported_as_configured)
{
    g_autoptr(Nic) n = start_with((unsigned)_i, 2, "mq=on,hash=on", VIRTIO_NET_F_HASH_REPORT);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(receive(n, 0, 0, TCP), 0);
    expect_hash(n, 0, VIRTIO_NET_HASH_REPORT_NONE);
    ck_assert_uint_eq(hash_config(n, IP4 | TCP4), VIRTIO_NET_OK);
    ck_assert_uint_eq(set_pairs(n, 2), VIRTIO_NET_OK); /* says nothing of hashes */
    for (unsigned i = 0; i < G_N_ELEMENTS(vectors); i++) {
        ck_assert_uint_eq(receive(n, i % 2, i, TCP), i % 2);
        expect_hash(n, vectors[i].ports, VIRTIO_NET_HASH_REPORT_TCPv4);
        ck_assert_uint_eq(receive(n, i % 2, i, UDP), i % 2);
        expect_hash(n, vectors[i].ip, VIRTIO_NET_HASH_REPORT_IPv4);
    }
    ck_assert(nic_gets(n, nic_broadcast));
    expect_hash(n, 0, VIRTIO_NET_HASH_REPORT_NONE);
    ck_assert_uint_eq(hash_config(n, 0x200), VIRTIO_NET_ERR);
    ck_assert_uint_eq(receive(n, 0, 0, TCP), 0);
    expect_hash(n, vectors[0].ports, VIRTIO_NET_HASH_REPORT_TCPv4);
    ck_assert_uint_eq(hash_config(n, 0), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 0, 0, TCP), 0);
    expect_hash(n, 0, VIRTIO_NET_HASH_REPORT_NONE);
}
END_TEST

START_TEST(net_92_93_one_pair_is_enough_for_a_hash)
{
    g_autoptr(Nic) n = start_with((unsigned)_i, 1, "hash=on,rss=on", VIRTIO_NET_F_HASH_REPORT);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(rss_config(n, TCP4, 1, 1, 0), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 0, 2, TCP), 0);
    expect_hash(n, vectors[2].ports, VIRTIO_NET_HASH_REPORT_TCPv4);
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert_uint_eq(receive(n, 0, 2, TCP), 0);
    expect_hash(n, 0, VIRTIO_NET_HASH_REPORT_NONE);
    fake_driver_reset(n->d);
    nic_up_without(n, NIC_BIT(RSS));
    ck_assert_uint_eq(rss_config(n, TCP4, 1, 1, 0), VIRTIO_NET_ERR);
    ck_assert_uint_eq(hash_config(n, TCP4), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 0, 2, TCP), 0);
    expect_hash(n, vectors[2].ports, VIRTIO_NET_HASH_REPORT_TCPv4);
}
END_TEST

/* --- receive-side scaling --- */

START_TEST(net_128_139_140_the_table_leads_hashed_frames_to_their_queues)
{
    static const unsigned lengths[] = {1, 2, 8, 128};
    g_autoptr(Nic) n = start_with((unsigned)_i, 4, "mq=on,rss=on", VIRTIO_NET_F_RSS);

    if (!n) {
        return;
    }
    ck_assert(nic_has(n, VIRTIO_NET_F_MQ));
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        unsigned len = lengths[i], unclassified = i % 4;

        ck_assert_uint_eq(rss_config(n, TCP4, len, 4, unclassified), VIRTIO_NET_OK);
        for (unsigned v = 0; v < G_N_ELEMENTS(vectors); v++) {
            ck_assert_uint_eq(receive(n, v % 4, v, TCP), entry(vectors[v].ports % len, 4));
            ck_assert_uint_eq(receive(n, v % 4, v, UDP), unclassified);
        }
    }
    ck_assert_uint_eq(n->net->parent_obj.active_queues, 4);
    /* The last command decides: automatic steering now, and back. */
    ck_assert_uint_eq(set_pairs(n, 2), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 1, 0, UDP), 1);
    ck_assert_uint_eq(receive(n, 0, 0, UDP), 0);
    ck_assert_uint_eq(rss_config(n, TCP4, 8, 4, 3), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 1, 0, UDP), 3);
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert_uint_eq(receive(n, 1, 0, UDP), 0);
}
END_TEST

START_TEST(net_141_a_frame_for_a_queue_in_reset_is_dropped)
{
    g_autoptr(Nic) n = start_with((unsigned)_i, 4, "mq=on,rss=on", VIRTIO_NET_F_RSS);

    if (!n || !can_reset_queues(n)) {
        ck_assert(fake_cell_is_legacy((unsigned)_i));
        return;
    }
    ck_assert_uint_eq(rss_config(n, TCP4, 4, 4, 2), VIRTIO_NET_OK);
    ck_assert_uint_eq(receive(n, 0, 0, UDP), 2);
    n->d->t->queue_reset(n->d, 4);
    ck_assert_uint_eq(receive(n, 0, 0, UDP), NIC_NOWHERE);
    for (unsigned v = 0; v < G_N_ELEMENTS(vectors); v++) {
        unsigned want = entry(vectors[v].ports % 4, 4);

        ck_assert_uint_eq(receive(n, 0, v, TCP), want == 2 ? NIC_NOWHERE : want);
    }
}
END_TEST

START_TEST(an_rss_table_with_a_queue_that_is_not_there_is_refused)
{
    g_autoptr(Nic) n = start_with((unsigned)_i, 2, "mq=on,rss=on", VIRTIO_NET_F_RSS);

    if (!n) {
        return;
    }
    ck_assert_uint_eq(rss_config(n, TCP4, 8, 2, 1), VIRTIO_NET_OK);
    ck_assert_uint_eq(rss_config(n, TCP4, 8, 3, 1), VIRTIO_NET_ERR);
    ck_assert_uint_eq(rss_config(n, TCP4, 8, 2, 2), VIRTIO_NET_ERR);
    ck_assert_uint_eq(rss_config(n, TCP4, 3, 2, 0), VIRTIO_NET_ERR);
    ck_assert_uint_eq(rss_config(n, 1 << 9, 8, 2, 0), VIRTIO_NET_ERR);
    ck_assert_uint_eq(hash_config(n, TCP4), VIRTIO_NET_ERR); /* HASH_REPORT is not there */
    ck_assert_uint_eq(receive(n, 0, 0, UDP), 1);
    ck_assert_uint_eq(receive(n, 0, 0, TCP), entry(vectors[0].ports % 8, 2));
}
END_TEST

void add_nic_mq_tests(Suite *s)
{
    const TTest *const tests[] = {
        net_09_15_16_the_limits_are_in_configuration_space,
        net_129_130_131_132_133_136_frames_come_in_on_enabled_queues_by_flow,
        a_frame_that_waits_for_a_queue_goes_to_another_that_is_left,
        numbers_of_pairs_beyond_what_there_is_are_refused,
        net_134_135_a_queue_in_reset_gets_nothing_the_others_its_frames,
        net_94_137_138_the_hash_is_reported_as_configured,
        net_92_93_one_pair_is_enough_for_a_hash,
        net_128_139_140_the_table_leads_hashed_frames_to_their_queues,
        net_141_a_frame_for_a_queue_in_reset_is_dropped,
        an_rss_table_with_a_queue_that_is_not_there_is_refused,
    };

    nic_add_tests(s, "queues", tests, G_N_ELEMENTS(tests));
}
