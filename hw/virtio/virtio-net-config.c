/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver is told of a virtio-net device and what it may set (VIRTIO 1.4 §5.1.3, §5.1.4):
 * feature bits, configuration space, and what the commands of the control queue switch.
 */
#include "core/log.h"
#include "hw/virtio/virtio-net-internal.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))
#define BIT(name)    FEATURE(VIRTIO_NET_F_##name)

/* --- on the wire (§5.1.4) --- */

typedef struct {
    uint8_t mac[6];
    Le16 status, max_virtqueue_pairs, mtu;
    uint8_t speed[4]; /* not aligned */
    uint8_t duplex, rss_max_key_size;
    Le16 rss_max_indirection_table_length;
    Le32 supported_hash_types;
} WireConfig;

G_STATIC_ASSERT(sizeof(WireConfig) == VIRTIO_NET_CONFIG_BYTES);

enum { DUPLEX_HALF, DUPLEX_FULL, DUPLEX_UNKNOWN = 0xff };

/* --- features --- */

#define GUEST_BITS                                                                           \
    (BIT(GUEST_CSUM) | BIT(GUEST_TSO4) | BIT(GUEST_TSO6) | BIT(GUEST_ECN) | BIT(GUEST_UFO) | \
     BIT(GUEST_USO4) | BIT(GUEST_USO6))

/* Which feature needs which others, one of them at least (§5.1.3.1). In an order that one pass is
 * enough. */
static const struct {
    uint8_t bit;
    bool hard; /* the specification lists it; the others make no sense alone */
    uint64_t needs;
} needs[] = {
    {VIRTIO_NET_F_GUEST_TSO4, true, BIT(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_TSO6, true, BIT(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_ECN, true, BIT(GUEST_TSO4) | BIT(GUEST_TSO6)},
    {VIRTIO_NET_F_GUEST_UFO, true, BIT(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_USO4, true, BIT(GUEST_CSUM)},
    {VIRTIO_NET_F_GUEST_USO6, true, BIT(GUEST_CSUM)},
    {VIRTIO_NET_F_HOST_TSO4, true, BIT(CSUM)},
    {VIRTIO_NET_F_HOST_TSO6, true, BIT(CSUM)},
    {VIRTIO_NET_F_HOST_ECN, true, BIT(HOST_TSO4) | BIT(HOST_TSO6)},
    {VIRTIO_NET_F_HOST_UFO, true, BIT(CSUM)},
    {VIRTIO_NET_F_HOST_USO, true, BIT(CSUM)},
    {VIRTIO_NET_F_CTRL_RX, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_VLAN, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_RX_EXTRA, false, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_MAC_ADDR, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, false, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_GUEST_ANNOUNCE, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_MQ, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_RSS, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_HASH_REPORT, false, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_NOTF_COAL, true, BIT(CTRL_VQ)},
    {VIRTIO_NET_F_VQ_NOTF_COAL, true, BIT(CTRL_VQ)},
};

static const struct {
    uint8_t bit;
    unsigned offload;
} guest_bits[] = {
    {VIRTIO_NET_F_GUEST_CSUM, NET_OFFLOAD_CSUM}, {VIRTIO_NET_F_GUEST_TSO4, NET_OFFLOAD_TSO4},
    {VIRTIO_NET_F_GUEST_TSO6, NET_OFFLOAD_TSO6}, {VIRTIO_NET_F_GUEST_ECN, NET_OFFLOAD_ECN},
    {VIRTIO_NET_F_GUEST_UFO, NET_OFFLOAD_UFO},   {VIRTIO_NET_F_GUEST_USO4, NET_OFFLOAD_USO4},
    {VIRTIO_NET_F_GUEST_USO6, NET_OFFLOAD_USO6},
};

static uint64_t bits_of_offloads(unsigned offloads)
{
    uint64_t f = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(guest_bits); i++) {
        f |= offloads & guest_bits[i].offload ? FEATURE(guest_bits[i].bit) : 0;
    }
    return f;
}

static unsigned offloads_of_bits(uint64_t f)
{
    unsigned offloads = 0;

    for (unsigned i = 0; i < G_N_ELEMENTS(guest_bits); i++) {
        offloads |= f & FEATURE(guest_bits[i].bit) ? guest_bits[i].offload : 0;
    }
    return f & BIT(GUEST_CSUM) ? offloads : 0;
}

/*
 * What the driver sends is completed and cut by the backend or in software, so that HOST_* is
 * offered as asked for; GUEST_* as far as the backend delivers it.
 */
uint64_t virtio_net_get_features(VirtIODevice *vdev, uint64_t common)
{
    VirtioNet *s = VIRTIO_NET(vdev);
    NetBackend *b = s->user ? net_user_backend(s->user) : NULL;
    uint64_t f = s->features | BIT(MAC);

    f &= ~GUEST_BITS | bits_of_offloads(b ? net_guest_offloads(b) : 0);
    f |= s->host_mtu ? BIT(MTU) : 0;
    f |= s->speed >= 0 || s->duplex ? BIT(SPEED_DUPLEX) : 0;
    f &= s->n_pairs > 1 ? UINT64_MAX : ~BIT(MQ);
    f = virtio_net_vhost_features(s, f);
    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++) {
        f &= f & needs[i].needs ? UINT64_MAX : ~FEATURE(needs[i].bit);
    }
    return f;
}

bool virtio_net_validate_features(VirtIODevice *vdev, uint64_t features)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(needs); i++) {
        if (needs[i].hard && (features & FEATURE(needs[i].bit)) && !(features & needs[i].needs)) {
            log_guest("virtio-net: feature %u without what it needs", needs[i].bit);
            return false;
        }
    }
    return true;
}

/* A legacy driver says what it takes without FEATURES_OK, so that it counts from DRIVER_OK on. */
void virtio_net_set_status(VirtIODevice *vdev, uint8_t old)
{
    VirtioNet *s = VIRTIO_NET(vdev);

    if (vdev->status & (uint8_t)~old & VIRTIO_CONFIG_S_DRIVER_OK) {
        virtio_net_set_offloads(s, vdev->guest_features & GUEST_BITS);
        net_rx_filter_set_vlans(&s->filter, virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_VLAN));
        virtio_net_vhost_update(s);
    }
}

/* --- what commands switch --- */

void virtio_net_set_offloads(VirtioNet *s, uint64_t features)
{
    s->guest_offloads = features;
    if (s->user) {
        net_set_guest_offloads(s->user, offloads_of_bits(features));
    }
}

void virtio_net_set_pairs(VirtioNet *s, unsigned n)
{
    s->cur_pairs = n;
    if (s->user) {
        net_set_queues(s->user, n);
    }
    virtio_net_rx_retry(s);
}

void virtio_net_set_mac(VirtioNet *s, const uint8_t mac[6])
{
    net_rx_filter_set_mac(&s->filter, mac);
    if (s->user) {
        net_set_mac(s->user, mac);
    }
}

void virtio_net_set_rss(VirtioNet *s, const NetRssConfig *config, bool steer)
{
    net_rss_set(&s->rss, config);
    s->steer = steer;
    if (steer) {
        virtio_net_set_pairs(s, CLAMP(MAX(config->tx_queues, config->rx_queues), 1, s->n_pairs));
    } else {
        virtio_net_rx_retry(s); /* frames may have another queue now */
    }
}

NetCoal *virtio_net_coal(VirtioNet *s, unsigned vq_index)
{
    VirtioNetPair *p;

    if (vq_index >= virtio_net_ctrl_index(s) || !virtio_queue_enabled(VIRTIO_DEVICE(s), vq_index)) {
        return NULL;
    }
    p = &s->pairs[vq_index / 2];
    return vq_index % 2 ? &p->tx_coal : &p->rx_coal;
}

void virtio_net_set_coal_all(VirtioNet *s, bool tx, NetCoalParams params)
{
    *(tx ? &s->tx_coal : &s->rx_coal) = params;
    for (unsigned i = 0; i < s->n_pairs; i++) {
        virtio_net_coal_set(tx ? &s->pairs[i].tx_coal : &s->pairs[i].rx_coal, params);
    }
}

void virtio_net_config_reset(VirtioNet *s)
{
    s->announce = s->steer = false;
    s->rx_coal = s->tx_coal = (NetCoalParams){0};
    for (unsigned i = 0; i < s->n_pairs; i++) {
        virtio_net_coal_reset(&s->pairs[i].rx_coal, s->rx_coal);
        virtio_net_coal_reset(&s->pairs[i].tx_coal, s->tx_coal);
    }
    virtio_net_set_offloads(s, 0);
    virtio_net_set_pairs(s, 1);
    net_rx_filter_reset(&s->filter);
    net_rss_reset(&s->rss);
    virtio_net_set_mac(s, s->conf_mac.b);
}

/* --- configuration space --- */

/* §5.1.6.5.2.3: legacy drivers without the command write it here. */
bool virtio_net_config_writable(VirtIODevice *vdev, size_t off)
{
    return vdev->legacy && off < ETH_ALEN && !virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_MAC_ADDR);
}

void virtio_net_set_config(VirtIODevice *vdev, const void *config, size_t off, size_t len)
{
    virtio_net_set_mac(VIRTIO_NET(vdev), ((const WireConfig *)config)->mac);
}

static uint8_t duplex_byte(const VirtioNet *s)
{
    if (!s->duplex) {
        return DUPLEX_UNKNOWN;
    }
    return g_str_equal(s->duplex, "full") ? DUPLEX_FULL : DUPLEX_HALF;
}

/* Fields of features that are not offered are 0. */
void virtio_net_get_config(VirtIODevice *vdev, void *config)
{
    VirtioNet *s = VIRTIO_NET(vdev);
    uint64_t f = vdev->host_features;
    WireConfig wire = {.mtu = le16_make(s->host_mtu)};

    virtio_lock(vdev);
    memcpy(wire.mac, s->filter.mac, sizeof wire.mac);
    if (f & BIT(STATUS)) {
        wire.status = le16_make((s->link_up ? VIRTIO_NET_S_LINK_UP : 0) |
                                (s->announce ? VIRTIO_NET_S_ANNOUNCE : 0));
    }
    virtio_unlock(vdev);
    if (f & (BIT(MQ) | BIT(RSS))) {
        wire.max_virtqueue_pairs = le16_make((uint16_t)s->n_pairs);
    }
    if (f & BIT(SPEED_DUPLEX)) {
        le_store(wire.speed, (uint32_t)s->speed, 4);
        wire.duplex = duplex_byte(s);
    }
    if (f & (BIT(RSS) | BIT(HASH_REPORT))) {
        wire.rss_max_key_size = NET_RSS_KEY_MAX;
        wire.supported_hash_types = le32_make(NET_RSS_HASH_TYPES);
    }
    if (f & BIT(RSS)) {
        wire.rss_max_indirection_table_length = le16_make(NET_RSS_TABLE_MAX);
    }
    memcpy(config, &wire, sizeof wire);
}
