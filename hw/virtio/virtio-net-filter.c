/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receive filter of a network card, VIRTIO 1.4 §5.1.6.5.1 to .3.
 */
#include "hw/virtio/virtio-net-filter.h"

#include <string.h>

enum { MAC_LEN = 6, TYPE_AT = 12, TAG_AT = 14, TYPE_VLAN = 0x8100, VLAN_ID = 0xfff };

static uint64_t mac_word(const uint8_t *mac)
{
    uint64_t v = 0;

    memcpy(&v, mac, MAC_LEN);
    return v;
}

/* The low address bytes are those that differ between the cards of one maker. */
static unsigned mac_hash(const uint8_t *mac)
{
    return (mac[5] ^ mac[4] ^ (mac[3] << 3)) & 63;
}

void net_rx_filter_reset(NetRxFilter *f)
{
    NetRxFilter fresh = {.promisc = true};

    memcpy(fresh.mac, f->mac, sizeof fresh.mac);
    *f = fresh;
}

void net_rx_filter_set_mac(NetRxFilter *f, const uint8_t mac[6])
{
    memcpy(f->mac, mac, sizeof f->mac);
}

/* Adds n addresses, all or none; false: there is no room for them. */
static bool add_macs(NetRxFilter *f, const uint8_t *macs, size_t n)
{
    unsigned used = f->n_uni + f->n_multi;

    if (n > NET_FILTER_MACS - used) {
        return false;
    }
    for (size_t i = 0; i < n; i++, macs += MAC_LEN) {
        f->macs[used + i] = mac_word(macs);
        f->mac_bits |= UINT64_C(1) << mac_hash(macs);
    }
    return true;
}

void net_rx_filter_set_macs(NetRxFilter *f, const uint8_t *uni, size_t n_uni, const uint8_t *multi,
                            size_t n_multi)
{
    f->n_uni = f->n_multi = 0;
    f->mac_bits = 0;
    f->uni_overflow = !add_macs(f, uni, n_uni);
    f->n_uni = f->uni_overflow ? 0 : (unsigned)n_uni;
    f->multi_overflow = !add_macs(f, multi, n_multi);
    f->n_multi = f->multi_overflow ? 0 : (unsigned)n_multi;
}

void net_rx_filter_set_vlans(NetRxFilter *f, bool filter)
{
    f->filter_vlans = filter;
    memset(f->vlans, 0, sizeof f->vlans);
}

void net_rx_filter_set_vlan(NetRxFilter *f, unsigned id, bool in)
{
    uint64_t bit = UINT64_C(1) << (id % 64);

    if (in) {
        f->vlans[id / 64] |= bit;
    } else {
        f->vlans[id / 64] &= ~bit;
    }
}

void net_rx_filter_mac(const NetRxFilter *f, unsigned i, uint8_t ret_mac[6])
{
    memcpy(ret_mac, &f->macs[i], MAC_LEN);
}

static bool is_broadcast(const uint8_t *mac)
{
    static const uint8_t all[MAC_LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    return !memcmp(mac, all, MAC_LEN);
}

static bool in_table(const NetRxFilter *f, const uint8_t *mac, unsigned first, unsigned n)
{
    uint64_t word = mac_word(mac);

    if (!((f->mac_bits >> mac_hash(mac)) & 1)) {
        return false;
    }
    for (unsigned i = first; i < first + n; i++) {
        if (f->macs[i] == word) {
            return true;
        }
    }
    return false;
}

static bool accepts_multicast(const NetRxFilter *f, const uint8_t *mac)
{
    return !f->nomulti &&
           (f->allmulti || f->multi_overflow || in_table(f, mac, f->n_uni, f->n_multi));
}

static bool accepts_unicast(const NetRxFilter *f, const uint8_t *mac)
{
    return !f->nouni && (f->alluni || f->uni_overflow || !memcmp(mac, f->mac, MAC_LEN) ||
                         in_table(f, mac, 0, f->n_uni));
}

static bool accepts_vlan(const NetRxFilter *f, const uint8_t *frame, size_t len)
{
    if (!f->filter_vlans || len < NET_FILTER_HEAD ||
        (frame[TYPE_AT] << 8 | frame[TYPE_AT + 1]) != TYPE_VLAN) {
        return true;
    }
    return net_rx_filter_has_vlan(f, (frame[TAG_AT] << 8 | frame[TAG_AT + 1]) & VLAN_ID);
}

bool net_rx_filter_judges(const NetRxFilter *f, const uint8_t *frame, size_t len)
{
    if (f->promisc) {
        return true;
    }
    if (len < MAC_LEN || !accepts_vlan(f, frame, len)) {
        return false;
    }
    if (!(frame[0] & 1)) {
        return accepts_unicast(f, frame);
    }
    return is_broadcast(frame) ? !f->nobcast : accepts_multicast(f, frame);
}
