/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receive filter alone: each mode, both tables, what wins over what. All combinations of modes
 * are compared with a model that is a list of the specification's sentences.
 */
#include <glib.h>
#include <string.h>

#include "hw/virtio/virtio-net-filter.h"
#include "tests/suite.h"

static const uint8_t own[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};
static const uint8_t other[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x57};
static const uint8_t group[6] = {0x01, 0x00, 0x5e, 0x00, 0x00, 0x01};
static const uint8_t group2[6] = {0x33, 0x33, 0x00, 0x00, 0x00, 0x01};
static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static void strict(NetRxFilter *f)
{
    memset(f, 0xee, sizeof *f);
    net_rx_filter_set_mac(f, own);
    net_rx_filter_reset(f);
    f->promisc = false;
}

/* vlan: -1: untagged. */
static bool accepts_tagged(const NetRxFilter *f, const uint8_t mac[6], int vlan)
{
    uint8_t frame[64] = {0};

    memcpy(frame, mac, 6);
    frame[12] = vlan < 0 ? 0x08 : 0x81;
    if (vlan >= 0) {
        frame[14] = (uint8_t)(0xe0 | vlan >> 8); /* with a priority, which does not matter */
        frame[15] = (uint8_t)vlan;
    }
    return net_rx_filter_accepts(f, frame, sizeof frame);
}

static bool accepts(const NetRxFilter *f, const uint8_t mac[6])
{
    return accepts_tagged(f, mac, -1);
}

START_TEST(after_a_reset_everything_is_let_in)
{
    NetRxFilter f;

    memset(&f, 0xee, sizeof f);
    net_rx_filter_set_mac(&f, own);
    net_rx_filter_reset(&f);
    ck_assert(f.promisc && !f.filter_vlans && !f.n_uni && !f.n_multi);
    ck_assert_mem_eq(f.mac, own, 6);
    ck_assert(accepts(&f, own) && accepts(&f, other) && accepts(&f, group) &&
              accepts(&f, broadcast));
    ck_assert(accepts_tagged(&f, other, 100));
    net_rx_filter_set_vlans(&f, true);
    ck_assert(accepts_tagged(&f, other, 100));
}
END_TEST

START_TEST(without_modes_and_tables_own_and_broadcast_frames_are_let_in)
{
    NetRxFilter f;

    strict(&f);
    ck_assert(accepts(&f, own));
    ck_assert(accepts(&f, broadcast));
    ck_assert(!accepts(&f, other));
    ck_assert(!accepts(&f, group));
    net_rx_filter_set_mac(&f, other);
    ck_assert(accepts(&f, other));
    ck_assert(!accepts(&f, own));
}
END_TEST

START_TEST(a_frame_too_short_for_an_address_is_for_nobody)
{
    NetRxFilter f;

    strict(&f);
    for (size_t len = 0; len < 6; len++) {
        ck_assert(!net_rx_filter_accepts(&f, own, len));
    }
    ck_assert(net_rx_filter_accepts(&f, own, 6));
    f.promisc = true;
    ck_assert(net_rx_filter_accepts(&f, own, 0));
}
END_TEST

/* Mode number bit: 0 allmulti, 1 alluni, 2 nomulti, 3 nouni, 4 nobcast, 5 promisc. */
static void set_modes(NetRxFilter *f, unsigned modes)
{
    f->allmulti = modes & 1;
    f->alluni = modes & 2;
    f->nomulti = modes & 4;
    f->nouni = modes & 8;
    f->nobcast = modes & 16;
    f->promisc = modes & 32;
}

/* What VIRTIO 1.4 §5.1.6.5.1.1 says of a frame, by its kind and whether a table has it. */
static bool expected(unsigned modes, const uint8_t *mac, bool known)
{
    if (modes & 32) {
        return true;
    }
    if (mac == broadcast) {
        return !(modes & 16);
    }
    if (mac[0] & 1) {
        return modes & 4 ? false : modes & 1 ? true : known;
    }
    return modes & 8 ? false : modes & 2 ? true : known;
}

START_TEST(all_modes_together_are_as_the_specification_ranks_them)
{
    NetRxFilter f;
    unsigned wrong = 0;

    for (unsigned modes = 0; modes < 64; modes++) {
        for (unsigned table = 0; table < 2; table++) {
            strict(&f);
            net_rx_filter_set_macs(&f, other, table, group, table);
            set_modes(&f, modes);
            wrong += accepts(&f, own) != expected(modes, own, true);
            wrong += accepts(&f, other) != expected(modes, other, table);
            wrong += accepts(&f, group) != expected(modes, group, table);
            wrong += accepts(&f, group2) != expected(modes, group2, false);
            wrong += accepts(&f, broadcast) != expected(modes, broadcast, true);
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

static void fill_macs(uint8_t (*macs)[6], unsigned n, uint8_t first)
{
    for (unsigned i = 0; i < n; i++) {
        macs[i][0] = first;
        memset(macs[i] + 1, 0, 3);
        macs[i][4] = (uint8_t)(i / 7);
        macs[i][5] = (uint8_t)i;
    }
}

START_TEST(each_address_of_a_full_table_is_found_and_no_other)
{
    uint8_t uni[65][6], multi[65][6];
    NetRxFilter f;
    unsigned wrong = 0;

    fill_macs(uni, 65, 0x02);
    fill_macs(multi, 65, 0x03);
    for (unsigned n = 0; n <= 64; n++) {
        strict(&f);
        net_rx_filter_set_macs(&f, uni[0], n, multi[0], 64 - n);
        wrong += f.uni_overflow || f.multi_overflow || f.n_uni != n || f.n_multi != 64 - n;
        for (unsigned i = 0; i < 65; i++) {
            wrong += accepts(&f, uni[i]) != (i < n);
            wrong += accepts(&f, multi[i]) != (i < 64 - n);
        }
    }
    ck_assert_uint_eq(wrong, 0);
}
END_TEST

START_TEST(too_many_addresses_let_in_all_of_their_kind)
{
    uint8_t uni[65][6], multi[65][6], mac[6];
    NetRxFilter f;

    fill_macs(uni, 65, 0x02);
    fill_macs(multi, 65, 0x03);
    strict(&f);
    net_rx_filter_set_macs(&f, uni[0], 65, multi[0], 2);
    ck_assert(f.uni_overflow && !f.multi_overflow && f.n_uni == 0 && f.n_multi == 2);
    ck_assert(accepts(&f, other));
    ck_assert(accepts(&f, multi[1]));
    ck_assert(!accepts(&f, multi[2]));
    net_rx_filter_mac(&f, 1, mac);
    ck_assert_mem_eq(mac, multi[1], 6);
    f.nouni = true;
    ck_assert(!accepts(&f, other));
    f.nouni = false;

    net_rx_filter_set_macs(&f, uni[0], 60, multi[0], 5);
    ck_assert(!f.uni_overflow && f.multi_overflow && f.n_uni == 60 && f.n_multi == 0);
    ck_assert(!accepts(&f, other));
    ck_assert(accepts(&f, group2));
    f.nomulti = true;
    ck_assert(!accepts(&f, group2));
    f.nomulti = false;

    net_rx_filter_set_macs(&f, uni[0], SIZE_MAX, multi[0], SIZE_MAX);
    ck_assert(f.uni_overflow && f.multi_overflow);

    net_rx_filter_set_macs(&f, NULL, 0, NULL, 0);
    ck_assert(!f.uni_overflow && !f.multi_overflow);
    ck_assert(!accepts(&f, uni[0]) && !accepts(&f, multi[0]));
}
END_TEST

START_TEST(a_unicast_address_among_the_multicast_ones_lets_nothing_in)
{
    NetRxFilter f;

    strict(&f);
    net_rx_filter_set_macs(&f, group, 1, other, 1);
    ck_assert(!accepts(&f, group));
    ck_assert(!accepts(&f, other));
}
END_TEST

START_TEST(vlans_are_filtered_by_their_table_once_asked_for)
{
    NetRxFilter f;
    unsigned wrong = 0;

    strict(&f);
    for (int id = 0; id < 4096; id++) {
        wrong += !accepts_tagged(&f, own, id);
    }
    net_rx_filter_set_vlans(&f, true);
    for (int id = 0; id < 4096; id++) {
        wrong += accepts_tagged(&f, own, id);
    }
    for (int id = 0; id < 4096; id += 5) {
        net_rx_filter_set_vlan(&f, (unsigned)id, true);
    }
    net_rx_filter_set_vlan(&f, 5, false);
    net_rx_filter_set_vlan(&f, 6, false);
    for (int id = 0; id < 4096; id++) {
        bool in = id % 5 == 0 && id != 5;

        wrong += accepts_tagged(&f, own, id) != in;
        wrong += accepts_tagged(&f, other, id);
        wrong += net_rx_filter_has_vlan(&f, (unsigned)id) != in;
    }
    ck_assert_uint_eq(wrong, 0);
    ck_assert(accepts(&f, own)); /* without a tag */
    net_rx_filter_set_vlans(&f, true);
    ck_assert(!accepts_tagged(&f, own, 10));
    f.promisc = true;
    ck_assert(accepts_tagged(&f, own, 10));
}
END_TEST

int main(void)
{
    Suite *s = suite_create("virtio-net-filter");
    TCase *tc = tcase_create("filter");

    tcase_add_test(tc, after_a_reset_everything_is_let_in);
    tcase_add_test(tc, without_modes_and_tables_own_and_broadcast_frames_are_let_in);
    tcase_add_test(tc, a_frame_too_short_for_an_address_is_for_nobody);
    tcase_add_test(tc, all_modes_together_are_as_the_specification_ranks_them);
    tcase_add_test(tc, each_address_of_a_full_table_is_found_and_no_other);
    tcase_add_test(tc, too_many_addresses_let_in_all_of_their_kind);
    tcase_add_test(tc, a_unicast_address_among_the_multicast_ones_lets_nothing_in);
    tcase_add_test(tc, vlans_are_filtered_by_their_table_once_asked_for);
    suite_add_tcase(s, tc);
    return suite_run(s);
}
