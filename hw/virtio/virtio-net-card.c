/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * virtio-net as monitors see it: query-rx-filter and its event, announce-self.
 */
#include "hw/core/net-card.h"
#include "hw/virtio/virtio-net-internal.h"

static json_t *mac_json(const uint8_t mac[ETH_ALEN])
{
    return json_sprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
                        mac[5]);
}

static json_t *table_json(const NetRxFilter *f, unsigned first, unsigned n)
{
    json_t *list = json_array();
    uint8_t mac[ETH_ALEN];

    for (unsigned i = first; i < first + n; i++) {
        net_rx_filter_mac(f, i, mac);
        json_array_append_new(list, mac_json(mac));
    }
    return list;
}

static json_t *vlans_json(const NetRxFilter *f)
{
    json_t *list = json_array();

    for (unsigned id = 0; f->filter_vlans && id < NET_FILTER_VLANS; id++) {
        if (net_rx_filter_has_vlan(f, id)) {
            json_array_append_new(list, json_integer(id));
        }
    }
    return list;
}

/* QMP's RxState. */
static const char *state(bool none, bool all)
{
    return none ? "none" : all ? "all" : "normal";
}

static void put(json_t *info, const char *name, json_t *value)
{
    json_object_set_new(info, name, value);
}

static json_t *filter_json(const VirtioNet *s)
{
    const NetRxFilter *f = &s->filter;
    json_t *info = json_object(), *vlans = vlans_json(f);
    bool no_vlan = f->filter_vlans && json_array_size(vlans) == 0;

    put(info, "name", json_string(s->name));
    put(info, "promiscuous", json_boolean(f->promisc));
    put(info, "multicast", json_string(state(f->nomulti, f->allmulti)));
    put(info, "unicast", json_string(state(f->nouni, f->alluni)));
    put(info, "vlan", json_string(state(no_vlan, !f->filter_vlans)));
    put(info, "broadcast-allowed", json_boolean(!f->nobcast));
    put(info, "multicast-overflow", json_boolean(f->multi_overflow));
    put(info, "unicast-overflow", json_boolean(f->uni_overflow));
    put(info, "main-mac", mac_json(f->mac));
    put(info, "vlan-table", vlans);
    put(info, "unicast-table", table_json(f, 0, f->n_uni));
    put(info, "multicast-table", table_json(f, f->n_uni, f->n_multi));
    return info;
}

static const char *card_name(Object *obj)
{
    return VIRTIO_NET(obj)->name;
}

static json_t *card_rx_filter(Object *obj)
{
    VirtioNet *s = VIRTIO_NET(obj);
    json_t *info;

    virtio_lock(&s->parent_obj);
    info = filter_json(s);
    s->filter_told = false;
    virtio_unlock(&s->parent_obj);
    return info;
}

/* "The station with this address is here" (RFC 903): bridges learn where. As QEMU sends it. */
static void send_rarp(VirtioNet *s)
{
    static const uint8_t rarp[] = {ETH_P_RARP >> 8, ETH_P_RARP & 0xff, 0, 1, 8, 0, 6, 4, 0, 3};
    uint8_t buf[ETH_ZLEN] = {0};
    struct iovec iov = {buf, sizeof buf};
    NetFrame f = {.iov = &iov, .niov = 1, .len = sizeof buf};

    memset(buf, 0xff, ETH_ALEN);
    memcpy(buf + ETH_ALEN, s->filter.mac, ETH_ALEN);
    memcpy(buf + 2 * ETH_ALEN, rarp, sizeof rarp);
    memcpy(buf + 22, s->filter.mac, ETH_ALEN);
    memcpy(buf + 32, s->filter.mac, ETH_ALEN);
    if (s->user) {
        net_send(s->user, 0, &f, 1); /* or not, when it is full: there are more rounds */
    }
}

/* §5.1.6.5.4. The guest knows what else there is to tell, addresses and VLANs. */
static void card_announce(Object *obj)
{
    VirtioNet *s = VIRTIO_NET(obj);
    VirtIODevice *vdev = &s->parent_obj;
    bool ask = virtio_has_feature(vdev, VIRTIO_NET_F_GUEST_ANNOUNCE);

    virtio_lock(vdev);
    send_rarp(s);
    s->announce |= ask;
    virtio_unlock(vdev);
    if (ask) {
        virtio_notify_config(vdev);
    }
}

static void tell(void *opaque)
{
    VirtioNet *s = opaque;
    g_autofree char *path = object_path(OBJECT(s));

    platform_event(device_platform(DEVICE(s)), "NIC_RX_FILTER_CHANGED",
                   json_pack("{s:s, s:s}", "name", s->name, "path", path));
}

void virtio_net_filter_changed(VirtioNet *s)
{
    if (!s->filter_told) {
        s->filter_told = true;
        loop_bh_schedule(s->filter_bh);
    }
}

void virtio_net_card_init(VirtioNet *s)
{
    s->filter_told = false;
    s->filter_bh = loop_bh_new(device_platform(DEVICE(s))->loop, tell, s);
}

void virtio_net_card_finish(VirtioNet *s)
{
    g_clear_pointer(&s->filter_bh, loop_bh_free);
}

void virtio_net_card_class_init(ObjectClass *klass)
{
    NetCardClass *c = object_class_interface(klass, &net_card_type);

    c->name = card_name;
    c->rx_filter = card_rx_filter;
    c->announce = card_announce;
}
