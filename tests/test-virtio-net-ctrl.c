/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net's control queue over all transports: what each command does to the frames that come in
 * (VIRTIO 1.4 §5.1.6.5), and what monitors are told of it.
 */
#include "tests/test-virtio-net-ctrl.h"

#include <string.h>

#include "hw/core/net-card.h"
#include "tests/suite.h"

enum {
    PROMISC = VIRTIO_NET_CTRL_RX_PROMISC,
    ALLMULTI = VIRTIO_NET_CTRL_RX_ALLMULTI,
    ALLUNI = 2,
    NOMULTI,
    NOUNI,
    NOBCAST,
};

static void set_mode(Nic *n, unsigned mode, unsigned on)
{
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_RX, mode, on, 1), VIRTIO_NET_OK);
}

/* A card whose filter is in force. */
static Nic *start_strict(unsigned cell)
{
    Nic *n = nic_start(cell, 1, NULL);

    set_mode(n, PROMISC, 0);
    return n;
}

/* Both tables: n addresses each of 6 bytes. */
static uint8_t set_table(Nic *n, const void *uni, unsigned n_uni, const void *multi,
                         unsigned n_multi)
{
    g_autofree uint8_t *data = g_malloc(8 + 6 * (n_uni + n_multi));

    le_store(data, n_uni, 4);
    le_store(data + 4 + 6 * n_uni, n_multi, 4);
    if (n_uni > 0) {
        memcpy(data + 4, uni, 6 * n_uni);
    }
    if (n_multi > 0) {
        memcpy(data + 8 + 6 * n_uni, multi, 6 * n_multi);
    }
    return nic_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_TABLE_SET, data,
                       8 + 6 * (n_uni + n_multi));
}

/* --- modes --- */

START_TEST(net_99_100_101_promiscuous_mode_lets_everything_in)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 1, NULL);

    ck_assert(nic_gets(n, nic_other) && nic_gets(n, nic_group)); /* as after a reset, like QEMU */
    set_mode(n, PROMISC, 0);
    ck_assert(!nic_gets(n, nic_other) && !nic_gets(n, nic_group));
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_broadcast));
    set_mode(n, NOMULTI, 1);
    set_mode(n, NOUNI, 1);
    set_mode(n, NOBCAST, 1);
    ck_assert(!nic_gets(n, nic_own) && !nic_gets(n, nic_broadcast));
    set_mode(n, PROMISC, 1);
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_other));
    ck_assert(nic_gets(n, nic_group) && nic_gets(n, nic_broadcast));
    ck_assert(nic_gets_tagged(n, nic_other, 77));
}
END_TEST

START_TEST(net_102_103_all_multicast_lets_every_group_in)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    ck_assert(!nic_gets(n, nic_group));
    set_mode(n, ALLMULTI, 1);
    ck_assert(nic_gets(n, nic_group));
    ck_assert(!nic_gets(n, nic_other));
    set_mode(n, ALLMULTI, 0);
    ck_assert(!nic_gets(n, nic_group));
}
END_TEST

START_TEST(net_104_105_all_unicast_lets_every_address_in)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    set_mode(n, ALLUNI, 1);
    ck_assert(nic_gets(n, nic_other));
    ck_assert(!nic_gets(n, nic_group));
    set_mode(n, ALLUNI, 0);
    ck_assert(!nic_gets(n, nic_other));
}
END_TEST

START_TEST(net_106_107_108_109_no_multicast_wins_over_all_multicast)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    ck_assert_uint_eq(set_table(n, NULL, 0, nic_group, 1), VIRTIO_NET_OK);
    ck_assert(nic_gets(n, nic_group));
    set_mode(n, NOMULTI, 1);
    ck_assert(!nic_gets(n, nic_group));
    set_mode(n, ALLMULTI, 1);
    ck_assert(!nic_gets(n, nic_group));
    ck_assert(nic_gets(n, nic_broadcast) && nic_gets(n, nic_own));
    set_mode(n, NOMULTI, 0);
    ck_assert(nic_gets(n, nic_group));
}
END_TEST

START_TEST(net_110_111_112_no_unicast_wins_over_all_unicast)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    set_mode(n, NOUNI, 1);
    ck_assert(!nic_gets(n, nic_own));
    set_mode(n, ALLUNI, 1);
    ck_assert(!nic_gets(n, nic_own) && !nic_gets(n, nic_other));
    ck_assert(nic_gets(n, nic_broadcast));
    set_mode(n, NOUNI, 0);
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_other));
}
END_TEST

START_TEST(net_113_114_115_no_broadcast_wins_over_all_multicast)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    set_mode(n, NOBCAST, 1);
    ck_assert(!nic_gets(n, nic_broadcast));
    set_mode(n, ALLMULTI, 1);
    ck_assert(!nic_gets(n, nic_broadcast));
    ck_assert(nic_gets(n, nic_group) && nic_gets(n, nic_own));
    set_mode(n, NOBCAST, 0);
    ck_assert(nic_gets(n, nic_broadcast));
}
END_TEST

/* --- addresses --- */

START_TEST(net_117_119_120_the_mac_table_is_in_force_once_it_is_set)
{
    static const uint8_t uni[][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 2}};
    static const uint8_t multi[][6] = {{3, 0, 0, 0, 0, 1}, {3, 0, 0, 0, 0, 2}, {3, 0, 0, 0, 0, 3}};
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    ck_assert_uint_eq(set_table(n, uni, 2, multi, 3), VIRTIO_NET_OK);
    ck_assert(nic_gets(n, uni[0]) && nic_gets(n, uni[1]));
    ck_assert(nic_gets(n, multi[0]) && nic_gets(n, multi[1]) && nic_gets(n, multi[2]));
    ck_assert(nic_gets(n, nic_own) && !nic_gets(n, nic_other) && !nic_gets(n, nic_group));
    ck_assert_uint_eq(set_table(n, uni[1], 1, multi[2], 1), VIRTIO_NET_OK);
    ck_assert(!nic_gets(n, uni[0]) && nic_gets(n, uni[1]));
    ck_assert(!nic_gets(n, multi[0]) && nic_gets(n, multi[2]));
    ck_assert_uint_eq(set_table(n, NULL, 0, NULL, 0), VIRTIO_NET_OK);
    ck_assert(!nic_gets(n, uni[1]) && !nic_gets(n, multi[2]));
}
END_TEST

START_TEST(more_addresses_than_fit_let_all_of_their_kind_in)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);
    static uint8_t many[500][6];

    for (unsigned i = 0; i < G_N_ELEMENTS(many); i++) {
        memcpy(many[i], (uint8_t[]){2, 1, 1, 1, (uint8_t)(i >> 8), (uint8_t)i}, 6);
    }
    ck_assert_uint_eq(set_table(n, many, 64, NULL, 0), VIRTIO_NET_OK);
    ck_assert(nic_gets(n, many[63]) && !nic_gets(n, nic_other));
    ck_assert_uint_eq(set_table(n, many, 65, nic_group, 1), VIRTIO_NET_OK);
    ck_assert(nic_gets(n, nic_other) && nic_gets(n, nic_group));
    ck_assert_uint_eq(set_table(n, many, 500, many, 500), VIRTIO_NET_OK);
    ck_assert(nic_gets(n, nic_other) && nic_gets(n, nic_group));
    ck_assert_uint_eq(set_table(n, many, 1, NULL, 0), VIRTIO_NET_OK);
    ck_assert(!nic_gets(n, nic_other) && !nic_gets(n, nic_group) && nic_gets(n, many[0]));
}
END_TEST

START_TEST(net_116_a_reset_empties_the_tables_and_switches_modes_back)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    ck_assert_uint_eq(set_table(n, nic_other, 1, nic_group, 1), VIRTIO_NET_OK);
    set_mode(n, NOBCAST, 1);
    set_mode(n, ALLUNI, 1);
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_VLAN, 0, 5, 2), VIRTIO_NET_OK);
    ck_assert_uint_eq(
        nic_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, nic_other, 6),
        VIRTIO_NET_OK);
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_broadcast));
    set_mode(n, PROMISC, 0);
    ck_assert(!nic_gets(n, nic_other) && !nic_gets(n, nic_group));
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_broadcast));
    ck_assert(!nic_gets_tagged(n, nic_own, 5));
}
END_TEST

static void expect_mac(Nic *n, const uint8_t mac[6])
{
    for (unsigned i = 0; i < 6; i++) {
        ck_assert_uint_eq(nic_config(n, i, 1), mac[i]);
    }
}

START_TEST(net_118_the_new_address_is_in_configuration_space_and_in_force)
{
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    expect_mac(n, nic_own);
    ck_assert_uint_eq(
        nic_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, nic_other, 6),
        VIRTIO_NET_OK);
    expect_mac(n, nic_other);
    ck_assert(nic_gets(n, nic_other) && !nic_gets(n, nic_own));
    fake_driver_reset(n->d);
    expect_mac(n, nic_own);
}
END_TEST

/* --- VLANs --- */

START_TEST(net_123_vlans_pass_unless_their_filter_is_negotiated)
{
    g_autoptr(Nic) n = nic_probe((unsigned)_i, 1, NULL);

    nic_up_without(n, NIC_BIT(CTRL_VLAN));
    set_mode(n, PROMISC, 0);
    ck_assert(nic_gets_tagged(n, nic_own, 0) && nic_gets_tagged(n, nic_own, 4095));
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 7, 2),
                      VIRTIO_NET_ERR);
    ck_assert(nic_gets_tagged(n, nic_own, 8));
}
END_TEST

START_TEST(net_124_125_126_tagged_frames_pass_when_their_vlan_is_in_the_table)
{
    static const unsigned ids[] = {0, 1, 63, 64, 0x123, 4094, 4095};
    g_autoptr(Nic) n = start_strict((unsigned)_i);

    for (unsigned i = 0; i < G_N_ELEMENTS(ids); i++) {
        int id = (int)ids[i];

        ck_assert(!nic_gets_tagged(n, nic_own, id));
        ck_assert_uint_eq(
            nic_command_le(n, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, ids[i], 2),
            VIRTIO_NET_OK);
        ck_assert(nic_gets_tagged(n, nic_own, id));
        ck_assert(!nic_gets_tagged(n, nic_own, id ^ 2));
        ck_assert(!nic_gets_tagged(n, nic_other, id));
        ck_assert_uint_eq(
            nic_command_le(n, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, ids[i], 2),
            VIRTIO_NET_OK);
        ck_assert(!nic_gets_tagged(n, nic_own, id));
    }
    ck_assert(nic_gets(n, nic_own));
}
END_TEST

/* --- announcing --- */

enum { CFG_STATUS = 6 };

static NetCardClass *card_class(Nic *n)
{
    return object_interface(OBJECT(n->s), &net_card_type);
}

START_TEST(net_127_the_driver_is_asked_to_announce_itself_until_it_says_it_will)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 1, NULL);

    ck_assert(!(nic_config(n, CFG_STATUS, 2) & VIRTIO_NET_S_ANNOUNCE));
    fake_driver_config_interrupted(n->d);
    card_class(n)->announce(OBJECT(n->s));
    fake_machine_run(n->d->m);
    ck_assert(nic_config(n, CFG_STATUS, 2) & VIRTIO_NET_S_ANNOUNCE);
    ck_assert(fake_driver_config_interrupted(n->d));
    ck_assert_uint_eq(
        nic_command(n, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0),
        VIRTIO_NET_OK);
    ck_assert(!(nic_config(n, CFG_STATUS, 2) & VIRTIO_NET_S_ANNOUNCE));
    ck_assert(nic_config(n, CFG_STATUS, 2) & VIRTIO_NET_S_LINK_UP);
    /* Once more is no fault: two announcements may have become one. */
    ck_assert_uint_eq(
        nic_command(n, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0),
        VIRTIO_NET_OK);
}
END_TEST

static const uint8_t rarp[60] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12,
                                 0x34, 0x56, 0x80, 0x35, 0x00, 0x01, 0x08, 0x00, 0x06, 0x04,
                                 0x00, 0x03, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x00, 0x00,
                                 0x00, 0x00, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

START_TEST(a_frame_in_the_cards_name_goes_out_whatever_the_driver_can)
{
    g_autoptr(Nic) n = nic_probe((unsigned)_i, 1, NULL);

    card_class(n)->announce(OBJECT(n->s)); /* before there is a driver */
    nic_up_without(n, NIC_BIT(GUEST_ANNOUNCE));
    fake_driver_config_interrupted(n->d);
    card_class(n)->announce(OBJECT(n->s));
    fake_machine_run(n->d->m);
    ck_assert(!(nic_config(n, CFG_STATUS, 2) & VIRTIO_NET_S_ANNOUNCE));
    ck_assert(!fake_driver_config_interrupted(n->d));
    ck_assert_uint_eq(
        nic_command(n, VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, NULL, 0),
        VIRTIO_NET_ERR);
    ck_assert_uint_eq(n->net->sent->len, 2);
    for (unsigned i = 0; i < 2; i++) {
        ck_assert_uint_eq(net_test_sent(n->net, i)->bytes->len, sizeof rarp);
        ck_assert_mem_eq(net_test_sent(n->net, i)->bytes->data, rarp, sizeof rarp);
    }
}
END_TEST

/* --- offloads --- */

START_TEST(net_144_offloads_are_switched_while_the_card_runs)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 1, NULL);
    uint64_t csum = NIC_BIT(GUEST_CSUM), tso = NIC_BIT(GUEST_TSO4) | NIC_BIT(GUEST_TSO6);
    unsigned *now = &n->net->parent_obj.now_offloads;
    unsigned at_first = *now;

    ck_assert(at_first & NET_OFFLOAD_TSO4); /* all that were negotiated */
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, csum, 8), VIRTIO_NET_OK);
    ck_assert_uint_eq(*now, NET_OFFLOAD_CSUM);
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, csum | tso, 8),
                      VIRTIO_NET_OK);
    ck_assert_uint_eq(*now, NET_OFFLOAD_CSUM | NET_OFFLOAD_TSO4 | NET_OFFLOAD_TSO6);
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0, 8), VIRTIO_NET_OK);
    ck_assert_uint_eq(*now, 0);
    fake_driver_reset(n->d);
    nic_up_without(n, 0);
    ck_assert_uint_eq(*now, at_first);
}
END_TEST

START_TEST(offloads_that_were_not_negotiated_or_lack_another_are_refused)
{
    g_autoptr(Nic) n = nic_probe((unsigned)_i, 1, NULL);
    uint64_t csum = NIC_BIT(GUEST_CSUM);
    const uint64_t wrong[] = {csum | NIC_BIT(GUEST_UFO), NIC_BIT(GUEST_TSO4),
                              NIC_BIT(GUEST_TSO6),       csum | NIC_BIT(GUEST_ECN),
                              csum | NIC_BIT(CSUM),      csum | NIC_BIT(HOST_TSO4),
                              csum | UINT64_C(1) << 63,  UINT64_MAX};
    unsigned before;

    nic_up_without(n, NIC_BIT(GUEST_UFO));
    before = n->net->parent_obj.now_offloads;
    for (unsigned i = 0; i < G_N_ELEMENTS(wrong); i++) {
        ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, wrong[i], 8),
                          VIRTIO_NET_ERR);
        ck_assert_uint_eq(n->net->parent_obj.now_offloads, before);
    }
}
END_TEST

/* --- what monitors hear --- */

static char *ask(Nic *n)
{
    json_t *info = card_class(n)->rx_filter(OBJECT(n->s));
    char *text = json_dumps(info, JSON_SORT_KEYS | JSON_COMPACT);

    json_decref(info);
    return text;
}

static void expect_filter(Nic *n, const char *want)
{
    char *got = ask(n);
    g_autofree char *quoted = g_strdelimit(g_strdup(want), "'", '"');
    g_auto(GStrv) parts = g_strsplit(quoted, "NAME", 2); /* it depends on the transport */
    g_autofree char *named = g_strjoinv(n->s->name, parts);

    ck_assert_str_eq(got, named);
    free(got);
}

START_TEST(the_filter_is_described_as_qemu_does)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 1, NULL);
    static uint8_t many[65][6];

    expect_filter(n, "{'broadcast-allowed':true,'main-mac':'52:54:00:12:34:56','multicast':'normal'"
                     ",'multicast-overflow':false,'multicast-table':[],'name':'NAME',"
                     "'promiscuous':true,'unicast':'normal','unicast-overflow':false,"
                     "'unicast-table':[],'vlan':'none','vlan-table':[]}");
    set_mode(n, PROMISC, 0);
    set_mode(n, ALLMULTI, 1);
    set_mode(n, NOUNI, 1);
    set_mode(n, NOBCAST, 1);
    nic_command_le(n, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 4, 2);
    nic_command_le(n, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 4095, 2);
    nic_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, nic_other, 6);
    set_table(n, many, 65, nic_group, 1);
    expect_filter(n, "{'broadcast-allowed':false,'main-mac':'52:54:00:aa:bb:cc','multicast':'all',"
                     "'multicast-overflow':false,'multicast-table':['01:00:5e:01:02:03'],"
                     "'name':'NAME','promiscuous':false,'unicast':'none','unicast-overflow':true,"
                     "'unicast-table':[],'vlan':'normal','vlan-table':[4,4095]}");
    fake_driver_reset(n->d);
    nic_up_without(n, NIC_BIT(CTRL_VLAN));
    set_mode(n, ALLUNI, 1);
    set_mode(n, NOMULTI, 1);
    set_table(n, nic_other, 1, many, 64);
    expect_filter(n, "{'broadcast-allowed':true,'main-mac':'52:54:00:12:34:56','multicast':'none',"
                     "'multicast-overflow':true,'multicast-table':[],'name':'NAME',"
                     "'promiscuous':true,'unicast':'all','unicast-overflow':false,"
                     "'unicast-table':['52:54:00:aa:bb:cc'],'vlan':'all','vlan-table':[]}");
}
END_TEST

static unsigned events(Nic *n)
{
    GPtrArray *all = n->d->m->events;
    unsigned count = 0;

    for (unsigned i = 0; i < all->len; i++) {
        count += g_str_has_prefix(all->pdata[i], "NIC_RX_FILTER_CHANGED");
    }
    return count;
}

START_TEST(a_change_of_the_filter_is_told_once_until_somebody_asks)
{
    g_autoptr(Nic) n = nic_start((unsigned)_i, 1, NULL);
    g_autofree char *path = NULL, *want = NULL;
    const char *text;

    ck_assert_uint_eq(events(n), 0);
    ck_assert_uint_eq(nic_command_le(n, VIRTIO_NET_CTRL_RX, PROMISC, 7, 1), VIRTIO_NET_ERR);
    ck_assert_uint_eq(events(n), 0);
    set_mode(n, PROMISC, 0);
    set_mode(n, ALLMULTI, 1);
    ck_assert_uint_eq(events(n), 1);
    text = n->d->m->events->pdata[n->d->m->events->len - 1];
    path = object_path(OBJECT(n->s));
    want = g_strdup_printf("NIC_RX_FILTER_CHANGED {\"name\": \"%s\", \"path\": \"%s\"}", n->s->name,
                           path);
    ck_assert_str_eq(text, want);
    free(ask(n));
    ck_assert_uint_eq(events(n), 1);
    set_table(n, nic_other, 1, NULL, 0);
    ck_assert_uint_eq(events(n), 2);
    free(ask(n));
    nic_command_le(n, VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 4, 2);
    ck_assert_uint_eq(events(n), 3);
    free(ask(n));
    nic_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, nic_other, 6);
    ck_assert_uint_eq(events(n), 4);
    nic_command(n, VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, nic_own, 6);
    ck_assert_uint_eq(events(n), 4);
}
END_TEST

/* --- what is offered --- */

START_TEST(net_07_08_21_22_nothing_that_needs_the_control_queue_is_offered_without_it)
{
    static const unsigned bits[] = {VIRTIO_NET_F_CTRL_VQ,
                                    VIRTIO_NET_F_CTRL_RX,
                                    VIRTIO_NET_F_CTRL_VLAN,
                                    VIRTIO_NET_F_CTRL_RX_EXTRA,
                                    VIRTIO_NET_F_CTRL_MAC_ADDR,
                                    VIRTIO_NET_F_GUEST_ANNOUNCE,
                                    VIRTIO_NET_F_MQ,
                                    VIRTIO_NET_F_RSS,
                                    VIRTIO_NET_F_HASH_REPORT,
                                    VIRTIO_NET_F_NOTF_COAL,
                                    VIRTIO_NET_F_VQ_NOTF_COAL,
                                    VIRTIO_NET_F_CTRL_GUEST_OFFLOADS};
    g_autoptr(Nic) n = nic_probe((unsigned)_i, 2, "mq=on,rss=on,hash=on,ctrl_vq=off");
    unsigned offered = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(bits); i++) {
        offered += nic_offers(n, bits[i]);
    }
    ck_assert_uint_eq(offered, 0);
    ck_assert(!nic_offers(n, 51) && !nic_offers(n, 50)); /* tunnels, statistics */
    nic_up_without(n, 0);
    ck_assert(nic_gets(n, nic_own) && nic_gets(n, nic_other));
}
END_TEST

static void add_filter_tests(Suite *s)
{
    const TTest *const tests[] = {
        net_99_100_101_promiscuous_mode_lets_everything_in,
        net_102_103_all_multicast_lets_every_group_in,
        net_104_105_all_unicast_lets_every_address_in,
        net_106_107_108_109_no_multicast_wins_over_all_multicast,
        net_110_111_112_no_unicast_wins_over_all_unicast,
        net_113_114_115_no_broadcast_wins_over_all_multicast,
        net_117_119_120_the_mac_table_is_in_force_once_it_is_set,
        more_addresses_than_fit_let_all_of_their_kind_in,
        net_116_a_reset_empties_the_tables_and_switches_modes_back,
        net_118_the_new_address_is_in_configuration_space_and_in_force,
        net_123_vlans_pass_unless_their_filter_is_negotiated,
        net_124_125_126_tagged_frames_pass_when_their_vlan_is_in_the_table,
        net_127_the_driver_is_asked_to_announce_itself_until_it_says_it_will,
        a_frame_in_the_cards_name_goes_out_whatever_the_driver_can,
        net_144_offloads_are_switched_while_the_card_runs,
        offloads_that_were_not_negotiated_or_lack_another_are_refused,
        the_filter_is_described_as_qemu_does,
        a_change_of_the_filter_is_told_once_until_somebody_asks,
        net_07_08_21_22_nothing_that_needs_the_control_queue_is_offered_without_it,
    };

    nic_add_tests(s, "filter", tests, G_N_ELEMENTS(tests));
}

int main(void)
{
    Suite *s = suite_create("virtio-net-ctrl");

    add_filter_tests(s);
    add_nic_mq_tests(s);
    add_nic_coal_tests(s);
    add_nic_bad_tests(s);
    return suite_run(s);
}
