/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net: the control queue, VIRTIO 1.4 §5.1.6.5. Each command is read whole, checked, and only
 * then acted on: one that gets VIRTIO_NET_ERR has changed nothing. Left out: tunnels (HASH_TUNNEL),
 * statistics, RSS contexts, flow filters.
 */
#include "hw/virtio/virtio-net-internal.h"

/* Not in all versions of <linux/virtio_net.h>. */
#ifndef VIRTIO_NET_CTRL_NOTF_COAL
#define VIRTIO_NET_CTRL_NOTF_COAL        6
#define VIRTIO_NET_CTRL_NOTF_COAL_TX_SET 0
#define VIRTIO_NET_CTRL_NOTF_COAL_RX_SET 1
#endif
#ifndef VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET 2
#define VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET 3
#endif
#ifndef VIRTIO_NET_CTRL_RX_ALLUNI
#define VIRTIO_NET_CTRL_RX_ALLUNI  2
#define VIRTIO_NET_CTRL_RX_NOMULTI 3
#define VIRTIO_NET_CTRL_RX_NOUNI   4
#define VIRTIO_NET_CTRL_RX_NOBCAST 5
#endif

enum { COMMANDS_AT_ONCE = 64 };

typedef struct {
    Le32 max_packets, max_usecs;
} WireCoal;

typedef struct {
    Le16 vq_index, reserved;
} WireCoalQueue;

typedef struct {
    uint8_t class, command;
} Command;

static bool has(const VirtioNet *s, unsigned feature)
{
    return virtio_has_feature(&s->parent_obj, feature);
}

/* The rest of the command, which must be of exactly len bytes. */
static bool read_data(VqElem *e, void *dst, size_t len)
{
    return vq_elem_out_left(e) == len && vq_elem_read(e, dst, len);
}

/* --- VIRTIO_NET_CTRL_RX --- */

static bool *rx_mode(VirtioNet *s, uint8_t command)
{
    NetRxFilter *f = &s->filter;

    switch (command) {
    case VIRTIO_NET_CTRL_RX_PROMISC:
        return has(s, VIRTIO_NET_F_CTRL_RX) ? &f->promisc : NULL;
    case VIRTIO_NET_CTRL_RX_ALLMULTI:
        return has(s, VIRTIO_NET_F_CTRL_RX) ? &f->allmulti : NULL;
    case VIRTIO_NET_CTRL_RX_ALLUNI:
        return has(s, VIRTIO_NET_F_CTRL_RX_EXTRA) ? &f->alluni : NULL;
    case VIRTIO_NET_CTRL_RX_NOMULTI:
        return has(s, VIRTIO_NET_F_CTRL_RX_EXTRA) ? &f->nomulti : NULL;
    case VIRTIO_NET_CTRL_RX_NOUNI:
        return has(s, VIRTIO_NET_F_CTRL_RX_EXTRA) ? &f->nouni : NULL;
    case VIRTIO_NET_CTRL_RX_NOBCAST:
        return has(s, VIRTIO_NET_F_CTRL_RX_EXTRA) ? &f->nobcast : NULL;
    default:
        return NULL;
    }
}

static bool set_rx_mode(VirtioNet *s, uint8_t command, VqElem *e)
{
    bool *mode = rx_mode(s, command);
    uint8_t on;

    if (!mode || !read_data(e, &on, sizeof on) || on > 1) {
        return false;
    }
    *mode = on;
    virtio_net_filter_changed(s);
    return true;
}

/* --- VIRTIO_NET_CTRL_MAC --- */

typedef struct {
    uint32_t n;
    uint8_t macs[NET_FILTER_MACS][ETH_ALEN]; /* if n of them fit */
} MacTable;

/* struct virtio_net_ctrl_mac. The filter takes no more than fit, so the others are not read. */
static bool read_macs(VqElem *e, MacTable *t)
{
    Le32 entries;
    size_t len;

    if (!vq_elem_read(e, &entries, sizeof entries)) {
        return false;
    }
    t->n = le32_get(entries);
    len = (size_t)t->n * ETH_ALEN;
    return t->n <= NET_FILTER_MACS ? vq_elem_read(e, t->macs, len) : vq_elem_skip_out(e, len);
}

static bool set_mac_table(VirtioNet *s, VqElem *e)
{
    MacTable uni, multi;

    if (!has(s, VIRTIO_NET_F_CTRL_RX) || !read_macs(e, &uni) || !read_macs(e, &multi) ||
        vq_elem_out_left(e) > 0) {
        return false;
    }
    net_rx_filter_set_macs(&s->filter, uni.macs[0], uni.n, multi.macs[0], multi.n);
    virtio_net_filter_changed(s);
    return true;
}

static bool set_mac_addr(VirtioNet *s, VqElem *e)
{
    uint8_t mac[ETH_ALEN];

    if (!(has(s, VIRTIO_NET_F_CTRL_MAC_ADDR) || has(s, VIRTIO_NET_F_CTRL_RX)) ||
        !read_data(e, mac, sizeof mac)) {
        return false;
    }
    virtio_net_set_mac(s, mac);
    virtio_net_filter_changed(s);
    return true;
}

static bool set_mac(VirtioNet *s, uint8_t command, VqElem *e)
{
    switch (command) {
    case VIRTIO_NET_CTRL_MAC_TABLE_SET:
        return set_mac_table(s, e);
    case VIRTIO_NET_CTRL_MAC_ADDR_SET:
        return set_mac_addr(s, e);
    default:
        return false;
    }
}

/* --- VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_ANNOUNCE --- */

static bool set_vlan(VirtioNet *s, uint8_t command, VqElem *e)
{
    Le16 wire;
    unsigned id;

    if (!has(s, VIRTIO_NET_F_CTRL_VLAN) || command > VIRTIO_NET_CTRL_VLAN_DEL ||
        !read_data(e, &wire, sizeof wire)) {
        return false;
    }
    id = le16_get(wire);
    if (id >= NET_FILTER_VLANS) {
        return false;
    }
    net_rx_filter_set_vlan(&s->filter, id, command == VIRTIO_NET_CTRL_VLAN_ADD);
    virtio_net_filter_changed(s);
    return true;
}

static bool acknowledge_announce(VirtioNet *s, uint8_t command, VqElem *e)
{
    if (!has(s, VIRTIO_NET_F_GUEST_ANNOUNCE) || command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
        vq_elem_out_left(e) > 0) {
        return false;
    }
    s->announce = false;
    return true;
}

/* --- VIRTIO_NET_CTRL_MQ --- */

static bool set_pairs(VirtioNet *s, VqElem *e)
{
    Le16 wire;
    unsigned n;

    if (!has(s, VIRTIO_NET_F_MQ) || !read_data(e, &wire, sizeof wire)) {
        return false;
    }
    n = le16_get(wire);
    if (n < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || n > s->n_pairs) {
        return false;
    }
    virtio_net_set_pairs(s, n);
    s->steer = false; /* §5.1.6.5.5: of the ways to steer, the last command's is taken */
    return true;
}

static bool set_rss(VirtioNet *s, VqElem *e, bool steer)
{
    size_t len = vq_elem_out_left(e);
    uint8_t data[NET_RSS_DATA_MAX];
    NetRssConfig config;

    if (!has(s, steer ? VIRTIO_NET_F_RSS : VIRTIO_NET_F_HASH_REPORT) || len > sizeof data ||
        !vq_elem_read(e, data, len) || !net_rss_parse(data, len, steer, s->n_pairs, &config)) {
        return false;
    }
    virtio_net_set_rss(s, &config, steer);
    return true;
}

static bool set_mq(VirtioNet *s, uint8_t command, VqElem *e)
{
    switch (command) {
    case VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET:
        return set_pairs(s, e);
    case VIRTIO_NET_CTRL_MQ_RSS_CONFIG:
        return set_rss(s, e, true);
    case VIRTIO_NET_CTRL_MQ_HASH_CONFIG:
        return set_rss(s, e, false);
    default:
        return false;
    }
}

/* --- VIRTIO_NET_CTRL_GUEST_OFFLOADS --- */

#define OFFLOAD(name) (UINT64_C(1) << VIRTIO_NET_F_GUEST_##name)

/* Needs what it needs as a feature (§5.1.3.1). */
static bool offloads_make_sense(uint64_t offloads)
{
    uint64_t segments =
        OFFLOAD(TSO4) | OFFLOAD(TSO6) | OFFLOAD(UFO) | OFFLOAD(USO4) | OFFLOAD(USO6);

    if ((offloads & segments) && !(offloads & OFFLOAD(CSUM))) {
        return false;
    }
    return !(offloads & OFFLOAD(ECN)) || (offloads & (OFFLOAD(TSO4) | OFFLOAD(TSO6)));
}

static bool set_offloads(VirtioNet *s, uint8_t command, VqElem *e)
{
    uint64_t all = OFFLOAD(CSUM) | OFFLOAD(TSO4) | OFFLOAD(TSO6) | OFFLOAD(ECN) | OFFLOAD(UFO) |
                   OFFLOAD(USO4) | OFFLOAD(USO6);
    uint64_t offloads;
    Le64 wire;

    if (!has(s, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
        command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET || !read_data(e, &wire, sizeof wire)) {
        return false;
    }
    offloads = le64_get(wire);
    if ((offloads & ~(all & s->parent_obj.guest_features)) || !offloads_make_sense(offloads)) {
        return false;
    }
    virtio_net_set_offloads(s, offloads);
    return true;
}

/* --- VIRTIO_NET_CTRL_NOTF_COAL --- */

static NetCoalParams coal_params(const WireCoal *wire)
{
    return (NetCoalParams){le32_get(wire->max_packets), le32_get(wire->max_usecs)};
}

static bool set_coal_all(VirtioNet *s, VqElem *e, bool tx)
{
    WireCoal wire;

    if (!has(s, VIRTIO_NET_F_NOTF_COAL) || !read_data(e, &wire, sizeof wire)) {
        return false;
    }
    virtio_net_set_coal_all(s, tx, coal_params(&wire));
    return true;
}

static bool set_coal_queue(VirtioNet *s, VqElem *e)
{
    struct {
        WireCoalQueue queue;
        WireCoal coal;
    } wire;
    NetCoal *c;

    if (!has(s, VIRTIO_NET_F_VQ_NOTF_COAL) || !read_data(e, &wire, sizeof wire)) {
        return false;
    }
    c = virtio_net_coal(s, le16_get(wire.queue.vq_index));
    if (!c) {
        return false;
    }
    virtio_net_coal_set(c, coal_params(&wire.coal));
    return true;
}

/* The answer comes behind the ack byte; a buffer without room for it gets none. */
static bool get_coal_queue(VirtioNet *s, VqElem *e, WireCoal *ret)
{
    WireCoalQueue wire;
    const NetCoal *c;

    if (!has(s, VIRTIO_NET_F_VQ_NOTF_COAL) || !read_data(e, &wire, sizeof wire) ||
        vq_elem_in_left(e) < 1 + sizeof *ret) {
        return false;
    }
    c = virtio_net_coal(s, le16_get(wire.vq_index));
    if (!c) {
        return false;
    }
    *ret = (WireCoal){le32_make(c->params.max_packets), le32_make(c->params.max_usecs)};
    return true;
}

static bool set_coal(VirtioNet *s, uint8_t command, VqElem *e)
{
    switch (command) {
    case VIRTIO_NET_CTRL_NOTF_COAL_TX_SET:
        return set_coal_all(s, e, true);
    case VIRTIO_NET_CTRL_NOTF_COAL_RX_SET:
        return set_coal_all(s, e, false);
    case VIRTIO_NET_CTRL_NOTF_COAL_VQ_SET:
        return set_coal_queue(s, e);
    default:
        return false;
    }
}

/* --- the queue --- */

static bool run(VirtioNet *s, Command c, VqElem *e)
{
    switch (c.class) {
    case VIRTIO_NET_CTRL_RX:
        return set_rx_mode(s, c.command, e);
    case VIRTIO_NET_CTRL_MAC:
        return set_mac(s, c.command, e);
    case VIRTIO_NET_CTRL_VLAN:
        return set_vlan(s, c.command, e);
    case VIRTIO_NET_CTRL_ANNOUNCE:
        return acknowledge_announce(s, c.command, e);
    case VIRTIO_NET_CTRL_MQ:
        return set_mq(s, c.command, e);
    case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
        return set_offloads(s, c.command, e);
    case VIRTIO_NET_CTRL_NOTF_COAL:
        return set_coal(s, c.command, e);
    default:
        return false;
    }
}

static void handle(VirtioNet *s, VqElem *elem)
{
    g_autoptr(VqElem) e = elem;
    WireCoal answer;
    Command c;
    bool ok, answered = false;
    uint8_t ack;

    if (vq_elem_in_left(e) < 1) {
        virtio_error(VIRTIO_DEVICE(s), "net: control command without room for its ack");
        return;
    }
    ok = vq_elem_read(e, &c, sizeof c);
    if (ok && c.class == VIRTIO_NET_CTRL_NOTF_COAL &&
        c.command == VIRTIO_NET_CTRL_NOTF_COAL_VQ_GET) {
        ok = answered = get_coal_queue(s, e, &answer);
    } else if (ok) {
        ok = run(s, c, e);
    }
    ack = ok ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
    if (!vq_elem_write(e, &ack, sizeof ack) ||
        (answered && !vq_elem_write(e, &answer, sizeof answer))) {
        g_assert_not_reached(); /* there was room */
    }
}

void virtio_net_handle_ctrl(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtioNet *s = VIRTIO_NET(vdev);
    unsigned n = 0;
    VqElem *e;

    while (n < COMMANDS_AT_ONCE && (e = virtqueue_pop(vq))) {
        handle(s, e);
        n++;
    }
    if (n > 0) {
        virtio_notify(vdev, vq);
    }
    if (!virtqueue_empty(vq)) {
        virtio_queue_run_later(vdev, vq);
    }
}
