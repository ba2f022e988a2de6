/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The receive filter of a network card (VIRTIO 1.4 §5.1.6.5.1 to .3): modes, table of MAC addresses, table of VLANs. No
 * device, no guest memory: what the control queue has checked is set here, and the receive path asks for each frame.
 *
 * Threads: none of its own. It is changed while no queue is served (the control queue takes the queues' locks).
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_NET_FILTER_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_NET_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    NET_FILTER_MACS = 64,  /* of both kinds together, as in QEMU; a kind that does not fit overflows */
    NET_FILTER_VLANS = 4096,
    NET_FILTER_HEAD = 18,  /* bytes of a frame that decide: addresses, type, VLAN tag */
};

/* Read it freely; change it by the functions below. */
typedef struct {
    uint8_t mac[6];                         /* the card's own, always let in unless nouni */
    bool promisc;                           /* everything is let in; wins over all else, VLANs included */
    bool allmulti, alluni;                  /* all of the kind */
    bool nomulti, nouni, nobcast;           /* none of the kind; win over the former */
    bool uni_overflow, multi_overflow;      /* more addresses than there is room for: as alluni, allmulti */
    bool filter_vlans;                      /* false: VIRTIO_NET_F_CTRL_VLAN was not negotiated, all VLANs are let in */
    unsigned n_uni, n_multi;                /* in macs: unicast first */
    uint64_t macs[NET_FILTER_MACS];         /* the 6 bytes in the order of memory, two zero bytes behind */
    uint64_t mac_bits;                      /* which hashes of addresses are in macs at all */
    uint64_t vlans[NET_FILTER_VLANS / 64];  /* bit id % 64 of word id / 64 */
} NetRxFilter;

/*
 * What a reset makes of it: promiscuous, as QEMU, for drivers that never say what they want; empty tables. mac stays.
 * filter_vlans is off until the features are known (net_rx_filter_set_vlans).
 */
void net_rx_filter_reset(NetRxFilter *f);
void net_rx_filter_set_mac(NetRxFilter *f, const uint8_t mac[6]);
/* Sets both tables at once: n_uni and n_multi addresses of 6 bytes each. Any number. */
void net_rx_filter_set_macs(NetRxFilter *f, const uint8_t *uni, size_t n_uni, const uint8_t *multi, size_t n_multi);
/* Whether VLANs are filtered; the table is empty then. */
void net_rx_filter_set_vlans(NetRxFilter *f, bool filter);
/* id below NET_FILTER_VLANS. */
void net_rx_filter_set_vlan(NetRxFilter *f, unsigned id, bool in);
static inline bool net_rx_filter_has_vlan(const NetRxFilter *f, unsigned id)
{
    return (f->vlans[id / 64] >> (id % 64)) & 1;
}

/* The 6 bytes of entry i of macs. */
void net_rx_filter_mac(const NetRxFilter *f, unsigned i, uint8_t ret_mac[6]);

bool net_rx_filter_judges(const NetRxFilter *f, const uint8_t *frame, size_t len);

/* Is the frame for the guest? frame: its first len bytes, at least NET_FILTER_HEAD of them if it has so many. */
static inline bool net_rx_filter_accepts(const NetRxFilter *f, const uint8_t *frame, size_t len)
{
    return f->promisc || net_rx_filter_judges(f, frame, len);
}

#endif
