/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net's features, configuration space (VIRTIO 1.4 §5.1.3, §5.1.4), properties and link.
 */
#include "tests/test-virtio-net.h"

#include <string.h>
#include <unistd.h>

#include "core/log.h"
#include "tests/driver/fake-suite.h"

#define GUEST_ALL                                                                            \
    (BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_UFO) | \
     BIT(GUEST_USO4) | BIT(GUEST_USO6))
#define HOST_ALL \
    (BIT(CSUM) | BIT(HOST_TSO4) | BIT(HOST_TSO6) | BIT(HOST_ECN) | BIT(HOST_UFO) | BIT(HOST_USO))

/* --- features --- */

static bool implies(uint64_t f, uint64_t bits, uint64_t any)
{
    return !(f & bits) || (f & any);
}

static void check_offer(uint64_t f)
{
    ck_assert(implies(f, GUEST_ALL & ~BIT(GUEST_CSUM), BIT(GUEST_CSUM)));
    ck_assert(implies(f, HOST_ALL & ~BIT(CSUM), BIT(CSUM)));
    ck_assert(implies(f, BIT(GUEST_ECN), BIT(GUEST_TSO4) | BIT(GUEST_TSO6)));
    ck_assert(implies(f, BIT(HOST_ECN), BIT(HOST_TSO4) | BIT(HOST_TSO6)));
    ck_assert(implies(f,
                      BIT(CTRL_RX) | BIT(CTRL_VLAN) | BIT(CTRL_MAC_ADDR) | BIT(GUEST_ANNOUNCE) |
                          BIT(MQ) | BIT(RSS) | BIT(NOTF_COAL) | BIT(VQ_NOTF_COAL) |
                          BIT(HASH_REPORT) | BIT(CTRL_RX_EXTRA) | BIT(CTRL_GUEST_OFFLOADS),
                      BIT(CTRL_VQ)));
    /* RSC, tunnels, inner hashes, RSS contexts, statistics, headers in OUT_NET_HEADER, IPsec */
    for (unsigned bit = 41; bit < 64; bit++) {
        bool known = (bit >= 52 && bit <= 57) || bit == 59 || bit == 60;

        ck_assert_msg(known || !(f & FEATURE(bit)), "bit %u", bit);
    }
}

START_TEST(net_002_to_008_021_022_no_feature_is_offered_without_what_it_needs)
{
    static const char *const off[] = {NULL,
                                      "guest_csum=off",
                                      "csum=off",
                                      "guest_tso4=off,guest_tso6=off",
                                      "guest_tso4=off",
                                      "host_tso4=off,host_tso6=off",
                                      "host_tso6=off",
                                      "ctrl_vq=off",
                                      "guest_csum=off,csum=off,ctrl_vq=off",
                                      "rss=on,hash=on,mq=on,ctrl_vq=off"};

    for (unsigned i = 0; i < G_N_ELEMENTS(off); i++) {
        g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 3, off[i], NULL);

        check_offer(d->t->device_features(d));
        fake_driver_up(d);
    }
}
END_TEST

START_TEST(what_the_backend_does_not_deliver_is_not_offered)
{
    for (unsigned offloads = 0; offloads <= NET_OFFLOAD_ALL;
         offloads = offloads ? offloads * 2 + 1 : 1) {
        g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, offloads, 1, NULL, NULL);
        uint64_t f = d->t->device_features(d),
                 legacy = fake_cell_is_legacy((unsigned)_i) ? UINT32_MAX : ~UINT64_C(0);

        ck_assert_uint_eq(f & HOST_ALL, HOST_ALL & legacy); /* software does it */
        ck_assert_uint_eq(vnet_offers(d, VIRTIO_NET_F_GUEST_CSUM), offloads & 1);
        ck_assert_uint_eq(vnet_offers(d, VIRTIO_NET_F_GUEST_TSO6), offloads >> 2 & 1);
        ck_assert_uint_eq(vnet_offers(d, VIRTIO_NET_F_GUEST_ECN), offloads >> 3 & 1);
        check_offer(f);
    }
}
END_TEST

START_TEST(a_driver_that_takes_a_feature_without_what_it_needs_is_refused)
{
    static const uint64_t bad[] = {BIT(GUEST_CSUM), BIT(CSUM), BIT(GUEST_TSO4) | BIT(GUEST_TSO6)};

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 1, NULL, NULL);
        bool ok = fake_driver_negotiate(d, d->t->device_features(d) & ~bad[i]);

        ck_assert(ok == fake_cell_is_legacy((unsigned)_i)); /* those cannot be refused */
    }
}
END_TEST

START_TEST(each_feature_has_its_switch)
{
    static const struct {
        const char *prop;
        unsigned bit;
    } all[] = {{"mrg_rxbuf", VIRTIO_NET_F_MRG_RXBUF},
               {"status", VIRTIO_NET_F_STATUS},
               {"csum", VIRTIO_NET_F_CSUM},
               {"host_tso4", VIRTIO_NET_F_HOST_TSO4},
               {"host_tso6", VIRTIO_NET_F_HOST_TSO6},
               {"host_ecn", VIRTIO_NET_F_HOST_ECN},
               {"host_ufo", VIRTIO_NET_F_HOST_UFO},
               {"host_uso", VIRTIO_NET_F_HOST_USO},
               {"guest_csum", VIRTIO_NET_F_GUEST_CSUM},
               {"guest_tso4", VIRTIO_NET_F_GUEST_TSO4},
               {"guest_tso6", VIRTIO_NET_F_GUEST_TSO6},
               {"guest_ecn", VIRTIO_NET_F_GUEST_ECN},
               {"guest_ufo", VIRTIO_NET_F_GUEST_UFO},
               {"guest_uso4", VIRTIO_NET_F_GUEST_USO4},
               {"guest_uso6", VIRTIO_NET_F_GUEST_USO6},
               {"guest_hdrlen", VIRTIO_NET_F_GUEST_HDRLEN},
               {"ctrl_vq", VIRTIO_NET_F_CTRL_VQ},
               {"ctrl_rx", VIRTIO_NET_F_CTRL_RX},
               {"ctrl_vlan", VIRTIO_NET_F_CTRL_VLAN},
               {"ctrl_rx_extra", VIRTIO_NET_F_CTRL_RX_EXTRA},
               {"notf_coal", VIRTIO_NET_F_NOTF_COAL},
               {"ctrl_mac_addr", VIRTIO_NET_F_CTRL_MAC_ADDR},
               {"mq", VIRTIO_NET_F_MQ},
               {"guest_announce", VIRTIO_NET_F_GUEST_ANNOUNCE},
               {"rss", VIRTIO_NET_F_RSS},
               {"vq_notf_coal", VIRTIO_NET_F_VQ_NOTF_COAL},
               {"hash", VIRTIO_NET_F_HASH_REPORT},
               {"ctrl_guest_offloads", VIRTIO_NET_F_CTRL_GUEST_OFFLOADS}};

    for (unsigned i = 0; i < G_N_ELEMENTS(all); i++) {
        g_autofree char *off = g_strconcat(all[i].prop, "=off", NULL);
        g_autofree char *on = g_strconcat(all[i].prop, "=on", NULL);
        g_autoptr(FakeDriver) with = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 2, on, NULL);
        g_autoptr(FakeDriver) without = vnet_probe((unsigned)_i, NET_OFFLOAD_ALL, 2, off, NULL);

        ck_assert(vnet_offers(with, all[i].bit) ==
                  !(fake_cell_is_legacy((unsigned)_i) && all[i].bit > 31));
        ck_assert_msg(!vnet_offers(without, all[i].bit), "%s", off);
    }
}
END_TEST

START_TEST(legacy_drivers_are_offered_segmentation_of_all_kinds)
{
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, 0, 1, NULL, NULL);
    g_autoptr(FakeDriver) off = vnet_probe((unsigned)_i, 0, 1, "gso=off", NULL);

    ck_assert(vnet_offers(d, VIRTIO_NET_F_GSO) == fake_cell_is_legacy((unsigned)_i));
    ck_assert(!vnet_offers(off, VIRTIO_NET_F_GSO));
}
END_TEST

/* --- configuration space --- */

START_TEST(the_first_address_is_qemus_and_others_count_up)
{
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, 0, 1, NULL, NULL);
    g_autoptr(GError) err = NULL;
    Device *given, *next;

    ck_assert(vnet_offers(d, VIRTIO_NET_F_MAC));
    ck_assert_uint_eq(vnet_config(d, CFG_MAC, 4), 0x12005452);
    ck_assert_uint_eq(vnet_config(d, CFG_MAC + 4, 2), 0x5634);
    given = fake_machine_add(d->m, "virtio-net-pci", "c1", "mac=52:54:00:12:34:57", &err);
    next = fake_machine_add(d->m, "virtio-net-pci", "c2", NULL, &err);
    ck_assert(given && next);
    ck_assert_uint_eq(VIRTIO_NET(object_child(OBJECT(next), "virtio-backend"))->conf_mac.b[5],
                      0x58);
    device_destroy(given);
    device_destroy(next);
}
END_TEST

START_TEST(net_009_to_012_018_to_020_023_what_the_driver_is_told)
{
    g_autoptr(FakeDriver) d =
        vnet_start((unsigned)_i, 0, 2,
                   "mac=02:03:04:05:06:07,host_mtu=1280,speed=10000,duplex=full,mq=on", NULL);

    ck_assert_uint_eq(vnet_config(d, CFG_MAC, 4), 0x05040302);
    ck_assert_uint_eq(vnet_config(d, CFG_STATUS, 2), VIRTIO_NET_S_LINK_UP);
    if (vnet_offers(d, VIRTIO_NET_F_MQ)) {
        ck_assert_uint_eq(vnet_config(d, CFG_PAIRS, 2), 2);
    }
    for (unsigned i = 0; i < 2; i++) { /* they stay so */
        ck_assert(vnet_offers(d, VIRTIO_NET_F_MTU));
        ck_assert_uint_eq(vnet_config(d, CFG_MTU, 2), 1280);
        ck_assert_uint_eq(vnet_config(d, CFG_SPEED, 4), 10000);
        ck_assert_uint_eq(vnet_config(d, CFG_DUPLEX, 1), 1);
        fake_driver_reset(d);
        fake_driver_up(d);
    }
}
END_TEST

START_TEST(net_018_019_speed_and_duplex_may_be_unknown)
{
    g_autoptr(FakeDriver) fast = vnet_probe((unsigned)_i, 0, 1, "speed=0x7fffffff", NULL);
    g_autoptr(FakeDriver) half = vnet_probe((unsigned)_i, 0, 1, "duplex=half", NULL);
    g_autoptr(FakeDriver) none = vnet_probe((unsigned)_i, 0, 1, NULL, NULL);

    if (!fake_cell_is_legacy((unsigned)_i)) { /* the feature is a high one */
        ck_assert(vnet_offers(fast, VIRTIO_NET_F_SPEED_DUPLEX));
        ck_assert(vnet_offers(half, VIRTIO_NET_F_SPEED_DUPLEX));
        ck_assert(!vnet_offers(none, VIRTIO_NET_F_SPEED_DUPLEX));
    }
    ck_assert_uint_eq(vnet_config(fast, CFG_SPEED, 4), 0x7fffffff);
    ck_assert_uint_eq(vnet_config(fast, CFG_DUPLEX, 1), 0xff);
    ck_assert_uint_eq(vnet_config(half, CFG_SPEED, 4), 0xffffffff);
    ck_assert_uint_eq(vnet_config(half, CFG_DUPLEX, 1), 0);
    ck_assert(!vnet_offers(none, VIRTIO_NET_F_MTU));
    ck_assert_uint_eq(vnet_config(none, CFG_MTU, 2), 0);
}
END_TEST

START_TEST(net_024_only_legacy_drivers_write_the_address)
{
    static const uint8_t new[6] = {2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee};
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, 0, 1, "ctrl_mac_addr=off", NULL);
    bool legacy = fake_cell_is_legacy((unsigned)_i);

    fake_driver_up(d);
    for (unsigned i = 0; i < 6; i++) {
        d->t->config_write(d, CFG_MAC + i, new[i], 1);
    }
    ck_assert(legacy == (vnet_config(d, CFG_MAC + 5, 1) == 0xee));
    ck_assert(legacy == (vnet_config(d, CFG_MAC + 1, 1) == 0xaa));
    ck_assert(legacy == (memcmp(vnet_of(d)->filter.mac, new, 6) == 0));
    d->t->config_write(d, CFG_STATUS, 0, 2);
    ck_assert_uint_eq(vnet_config(d, CFG_STATUS, 2), VIRTIO_NET_S_LINK_UP);
    fake_driver_reset(d);
    ck_assert_uint_eq(vnet_config(d, CFG_MAC + 5, 1), 0x56);
}
END_TEST

/* --- properties --- */

START_TEST(wrong_properties_are_refused_with_a_line)
{
    static const char *const bad[][2] = {
        {"netdev=nope", "netdev 'nope' not found: no -netdev has that id"},
        {"netdev=n0,mac=03:00:00:00:00:01",
         "mac: the address of a card cannot be a multicast address (odd first byte)"},
        {"netdev=n0,host_mtu=67", "host_mtu=67 must be at least 68"},
        {"netdev=n0,duplex=both", "duplex=both must be half or full"},
        {"netdev=n0,rx_queue_size=300",
         "rx_queue_size=300 must be a power of 2 between 256 and 1024"},
        {"netdev=n0,tx_queue_size=768",
         "tx_queue_size=768 must be a power of 2 between 256 and 1024"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        g_autofree char *line = vnet_error(bad[i][0]);

        ck_assert_str_eq(line, bad[i][1]);
    }
}
END_TEST

START_TEST(a_backend_has_one_card)
{
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, 0, 1, NULL, NULL);
    g_autoptr(GError) err = NULL;

    ck_assert(!fake_machine_add(d->m, "virtio-net-pci", "c1", "netdev=n0", &err));
    ck_assert_ptr_nonnull(strstr(err->message, "netdev 'n0' is in use by '"));
    fake_driver_up(d);
}
END_TEST

START_TEST(queue_sizes_and_pairs)
{
    g_autoptr(FakeDriver) d =
        vnet_probe((unsigned)_i, 0, 2, "rx_queue_size=1024,tx_queue_size=512,mq=on", NULL);
    g_autoptr(FakeDriver) one = vnet_probe((unsigned)_i, 0, 2, NULL, NULL);

    ck_assert_uint_eq(d->t->queue_max(d, 0), 1024);
    ck_assert_uint_eq(d->t->queue_max(d, 1), 512);
    ck_assert_uint_eq(d->t->queue_max(d, 3), 512);
    ck_assert_uint_eq(d->t->queue_max(d, 4), 64);
    ck_assert_uint_eq(d->t->queue_max(d, 5), 0);
    ck_assert_uint_eq(one->t->queue_max(one, 2), 64);
    ck_assert_uint_eq(one->t->queue_max(one, 3), 0);
}
END_TEST

/* --- link --- */

START_TEST(the_driver_hears_of_the_link)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, 0, 1, NULL, &t);
    uint8_t frame[60];

    vnet_pattern(frame, sizeof frame, 1);
    net_backend_set_link(&t->parent_obj, false);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(vnet_config(d, CFG_STATUS, 2), 0);
    vnet_send(d, TX, NULL, frame, sizeof frame, 60);
    ck_assert_uint_eq(t->sent->len, 0);
    ck_assert_uint_eq(net_stats_of(&t->parent_obj).tx_dropped, 1);

    net_backend_set_link(&t->parent_obj, true);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(vnet_config(d, CFG_STATUS, 2), VIRTIO_NET_S_LINK_UP);
    vnet_send(d, TX, NULL, frame, sizeof frame, 60);
    ck_assert_uint_eq(t->sent->len, 1);
}
END_TEST

START_TEST(without_the_status_feature_the_link_is_no_news)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_probe((unsigned)_i, 0, 1, NULL, &t);

    vnet_up_without(d, BIT(STATUS));
    net_backend_set_link(&t->parent_obj, false);
    ck_assert(!fake_driver_config_interrupted(d));
}
END_TEST

START_TEST(a_backend_that_goes_takes_what_waits_with_it)
{
    NetTest *t;
    g_autoptr(FakeDriver) d = vnet_start((unsigned)_i, 0, 1, NULL, &t);
    uint8_t frame[60];

    vnet_pattern(frame, sizeof frame, 1);
    t->room = 0;
    for (unsigned i = 0; i < 40; i++) {
        vnet_add(d, TX, NULL, frame, sizeof frame, 60);
    }
    fake_driver_kick(d, TX);
    ck_assert(!fake_driver_get(d, TX, NULL, NULL));
    ck_assert(net_backend_del(d->m->p.root, "n0", NULL));
    fake_machine_run(d->m);
    vnet_take_sent(d, TX, 40);
    ck_assert(fake_driver_config_interrupted(d));
    ck_assert_uint_eq(vnet_config(d, CFG_STATUS, 2), 0);
    vnet_send(d, TX, NULL, frame, sizeof frame, 60);
    fake_driver_reset(d);
    fake_driver_up(d);
    vnet_send(d, TX, NULL, frame, sizeof frame, 60);
    ck_assert(!vnet_offers(d, VIRTIO_NET_F_GUEST_CSUM));
}
END_TEST

START_TEST(a_card_without_a_netdev_warns_and_has_no_link)
{
    g_autoptr(FakeDriver) d = NULL;
    g_autofree char *path = g_strdup_printf("%s/virtio-net-log-%d", g_get_tmp_dir(), getpid());
    g_autofree char *said = NULL;
    uint8_t frame[60] = {0};

    ck_assert(log_set_file(path, NULL));
    d = fake_driver_new("virtio-net", (unsigned)_i);
    ck_assert(g_file_get_contents(path, &said, NULL, NULL));
    unlink(path);
    ck_assert_ptr_nonnull(strstr(said, _i & FAKE_MMIO && !(_i & FAKE_PCI_LEGACY)
                                           ? "warning: nic virtio-net-device.0 has no peer\n"
                                           : "warning: nic virtio-net-pci"));
    ck_assert_ptr_nonnull(strstr(said, ".0 has no peer\n"));
    ck_assert_uint_eq(vnet_config(d, CFG_STATUS, 2), 0);
    vnet_send(d, TX, NULL, frame, sizeof frame, 60);
    vnet_post(d, RX, 3, 1526, 1526);
    fake_driver_reset(d);
    fake_driver_up(d);
    vnet_send(d, TX, NULL, frame, sizeof frame, 60);
}
END_TEST

int main(void)
{
    return fake_suite_main(
        "virtio-net", NULL, net_002_to_008_021_022_no_feature_is_offered_without_what_it_needs,
        what_the_backend_does_not_deliver_is_not_offered,
        a_driver_that_takes_a_feature_without_what_it_needs_is_refused, each_feature_has_its_switch,
        legacy_drivers_are_offered_segmentation_of_all_kinds,
        the_first_address_is_qemus_and_others_count_up,
        net_009_to_012_018_to_020_023_what_the_driver_is_told,
        net_018_019_speed_and_duplex_may_be_unknown, net_024_only_legacy_drivers_write_the_address,
        wrong_properties_are_refused_with_a_line, a_backend_has_one_card, queue_sizes_and_pairs,
        the_driver_hears_of_the_link, without_the_status_feature_the_link_is_no_news,
        a_backend_that_goes_takes_what_waits_with_it,
        a_card_without_a_netdev_warns_and_has_no_link);
}
