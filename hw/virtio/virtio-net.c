/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network device (VIRTIO 1.4 §5.1): a card for the guest on a backend of backends/net.h. This
 * file has properties and life; features and configuration space are in virtio-net-config.c, frames
 * in virtio-net-tx.c and virtio-net-rx.c. What the backend cannot do and software does not do for
 * it is not offered. Left out: RSC, UDP tunnels, inner header hashing, RSS contexts, flow filters,
 * IPsec, statistics by command, standby.
 */
#include <inttypes.h>

#include "core/code-place.h"
#include "core/log.h"
#include "hw/core/net-card.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-net-internal.h"

enum {
    QUEUE_SIZE = 256,
    QUEUE_SIZE_MIN = 256,
    QUEUE_SIZE_MAX = 1024,
    CTRL_QUEUE_SIZE = 64,
    TX_TIMER_NS = 150000,
    TX_BURST = 256,
    MTU_MIN = 68, /* §5.1.4.1 */
};

/* --- the queues --- */

static void handle_ctrl(VirtioNet *s, VirtQueue *vq)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    virtio_net_handle_ctrl(vdev, vq);
    if (virtio_is_broken(vdev)) {
        virtio_net_vhost_update_soon(s);
    }
}

static void virtio_net_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_net_handle_output);
    VirtioNet *s = VIRTIO_NET(vdev);
    unsigned n = virtqueue_index(vq), ctrl = virtio_net_ctrl_index(s);

    if (!s->running) { /* they get their turn when the VM goes on */
        return;
    }
    if (n > ctrl || (n == ctrl && !virtio_has_feature(vdev, VIRTIO_NET_F_CTRL_VQ))) {
        log_guest("virtio-net: kick for queue %u, which was not negotiated", n);
    } else if (n == ctrl && s->ctrl_bh) {
        loop_bh_schedule(s->ctrl_bh); /* who calls may have some of the locks, or none */
    } else if (n == ctrl) {
        handle_ctrl(s, vq);
    } else if (n % 2) {
        virtio_net_handle_tx(s, &s->pairs[n / 2]);
    } else {
        virtio_net_handle_rx(s, &s->pairs[n / 2]);
    }
}

/* The pairs are on several loops, and none of them runs meanwhile. */
static void serve_ctrl(void *opaque)
{
    VirtioNet *s = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    VirtQueue *vq = virtio_get_queue(vdev, virtio_net_ctrl_index(s));

    virtio_lock(vdev);
    if (s->running && virtio_running(vdev) && virtqueue_enabled(vq)) {
        handle_ctrl(s, vq);
    }
    virtio_unlock(vdev);
}

static void virtio_net_queue_reset(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtioNet *s = VIRTIO_NET(vdev);
    unsigned n = virtqueue_index(vq);

    if (n >= 2 * s->n_pairs) {
        return;
    }
    virtio_net_vhost_stop_pair(&s->pairs[n / 2]);
    if (n % 2) {
        virtio_net_tx_drop(&s->pairs[n / 2]);
        virtio_net_coal_reset(&s->pairs[n / 2].tx_coal, s->tx_coal);
    } else {
        virtio_net_rx_drop(&s->pairs[n / 2]);
        virtio_net_coal_reset(&s->pairs[n / 2].rx_coal, s->rx_coal);
    }
}

static void virtio_net_reset(VirtIODevice *vdev)
{
    VirtioNet *s = VIRTIO_NET(vdev);

    virtio_net_vhost_stop(s);
    s->kernel_refused = false;
    for (unsigned i = 0; i < s->n_pairs; i++) {
        virtio_net_tx_drop(&s->pairs[i]);
        virtio_net_rx_drop(&s->pairs[i]);
    }
    virtio_net_config_reset(s);
    if (s->ctrl_bh) {
        loop_bh_cancel(s->ctrl_bh);
    }
}

static void virtio_net_queues_changed(VirtIODevice *vdev)
{
    virtio_net_vhost_update(VIRTIO_NET(vdev));
}

static uint64_t virtio_net_limit_features(VirtIODevice *vdev, uint64_t common)
{
    return virtio_net_vhost_features(VIRTIO_NET(vdev), common);
}

/* --- the VM stops and goes on --- */

/* Nothing is written to the guest's memory while it stands. */
static void finish_rounds(VirtioNet *s)
{
    for (unsigned i = 0; i < s->n_pairs; i++) {
        loop_bh_cancel(s->pairs[i].round);
        virtio_net_rx_round(&s->pairs[i]);
    }
}

static void go_on(VirtioNet *s)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    for (unsigned n = 0; n <= 2 * s->n_pairs; n++) {
        if (virtio_queue_enabled(vdev, n) && virtio_running(vdev)) {
            virtio_net_handle_output(vdev, virtio_get_queue(vdev, n));
        }
    }
    for (unsigned i = 0; s->user && i < s->n_pairs; i++) {
        net_receive_ready(s->user, i);
    }
}

static void run_changed(void *opaque, bool running)
{
    VirtioNet *s = opaque;

    virtio_lock(VIRTIO_DEVICE(s));
    if (!running) {
        finish_rounds(s);
    }
    s->running = running;
    virtio_net_vhost_update(s);
    if (running) {
        go_on(s);
    }
    virtio_unlock(VIRTIO_DEVICE(s));
}

/* --- link --- */

/* A backend that is gone takes what waited for it, and loses it. */
static void link_changed(void *opaque, bool up)
{
    VirtioNet *s = opaque;
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    virtio_lock(vdev);
    s->link_up = up;
    virtio_net_vhost_update(s);
    for (unsigned i = 0; i < s->n_pairs; i++) {
        virtio_net_send_ready(s, i);
    }
    virtio_unlock(vdev);
    if (virtio_has_feature(vdev, VIRTIO_NET_F_STATUS)) {
        virtio_notify_config(vdev);
    }
}

/* --- names and addresses --- */

typedef struct {
    const VirtioNet *self;
    const char *name; /* NULL: mac is looked for */
    const uint8_t *mac;
} Search;

static bool is_other(Object *obj, void *opaque)
{
    const Search *want = opaque;
    const VirtioNet *s;

    if (!object_is_a(obj, &virtio_net_type) || (s = VIRTIO_NET(obj)) == want->self || !s->name) {
        return true;
    }
    return want->name ? !g_str_equal(s->name, want->name)
                      : memcmp(s->conf_mac.b, want->mac, ETH_ALEN) != 0;
}

static bool is_taken(const VirtioNet *s, const char *name, const uint8_t *mac)
{
    Search want = {s, name, mac};

    return !object_foreach(device_platform((Device *)s)->root, is_other, &want);
}

/* QEMU's: the first that no other card has. */
static bool take_mac(VirtioNet *s, GError **err)
{
    static const MacAddr none;
    uint32_t tail = 0x123456;

    if (memcmp(&s->conf_mac, &none, sizeof none) == 0) {
        do {
            s->conf_mac = (MacAddr){
                {0x52, 0x54, 0x00, (uint8_t)(tail >> 16), (uint8_t)(tail >> 8), (uint8_t)tail}};
            tail++;
        } while (is_taken(s, NULL, s->conf_mac.b));
    }
    if (s->conf_mac.b[0] & 1) {
        return error_set(err, "mac: the address of a card cannot be a multicast address (odd first "
                              "byte)");
    }
    return true;
}

/* The id, or QEMU's "virtio-net-pci.0". */
static char *make_name(const VirtioNet *s)
{
    Device *dev = DEVICE(s);
    char *name = NULL;

    if (object_is_a(OBJECT(s)->parent, &device_type)) {
        dev = DEVICE(OBJECT(s)->parent); /* the proxy, which the user knows */
    }
    if (dev->id) {
        return g_strdup(dev->id);
    }
    for (unsigned i = 0; !name; i++) {
        name = g_strdup_printf("%s.%u", object_type_name(dev), i);
        if (is_taken(s, name, NULL)) {
            g_clear_pointer(&name, g_free);
        }
    }
    return name;
}

/* --- properties, as realize checks them --- */

static bool check_queue_size(const char *name, uint32_t size, GError **err)
{
    if (size & (size - 1)) {
        return error_set(err, "%s=%" PRIu32 " must be a power of 2 between %d and %d", name, size,
                         QUEUE_SIZE_MIN, QUEUE_SIZE_MAX);
    }
    return true;
}

/* Of a pair one loop serves both queues, as it does the backend's. */
static bool check_threads(const VirtioNet *s, GError **err)
{
    IoThreadObject *const *t = s->threads.threads;

    for (unsigned i = 0; i < s->n_pairs; i++) {
        if (t[2 * i] != t[2 * i + 1]) {
            return error_set(err,
                             "iothread-vq-mapping: queues %u and %u are a pair: give them to one "
                             "iothread",
                             2 * i, 2 * i + 1);
        }
        if (t[2 * i] != t[0] && (s->features >> VIRTIO_NET_F_RSS & 1)) {
            return error_set(err, "rss=on needs all queues on one iothread: leave one of them out");
        }
    }
    return true;
}

static bool take_threads(VirtioNet *s, GError **err)
{
    return virtio_iothread_map_take(&s->threads, device_platform(DEVICE(s))->root, s->iothread,
                                    2 * s->n_pairs, 2, err) &&
           check_threads(s, err);
}

static bool check_props(const VirtioNet *s, GError **err)
{
    if (s->host_mtu && s->host_mtu < MTU_MIN) {
        return error_set(err, "host_mtu=%u must be at least %d", s->host_mtu, MTU_MIN);
    }
    if (s->duplex && !g_str_equal(s->duplex, "half") && !g_str_equal(s->duplex, "full")) {
        return error_set(err, "duplex=%s must be half or full", s->duplex);
    }
    return check_queue_size("rx_queue_size", s->rx_queue_size, err) &&
           check_queue_size("tx_queue_size", s->tx_queue_size, err);
}

/* --- life --- */

static void pair_init(VirtioNet *s, unsigned i)
{
    VirtioNetPair *p = &s->pairs[i];
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    EventLoop *loop = virtio_queue_loop(p->rx);

    p->s = s;
    p->index = i;
    p->in = g_new(VqElem *, s->rx_queue_size);
    p->round = loop_bh_new(loop, virtio_net_rx_round, p);
    if (s->tx == VIRTIO_NET_TX_TIMER) {
        p->tx_timer =
            loop_timer_new(loop, device_platform(DEVICE(s))->vclock, virtio_net_tx_timeout, p);
    }
    virtio_net_coal_init(&p->rx_coal, vdev, p->rx);
    virtio_net_coal_init(&p->tx_coal, vdev, p->tx);
}

static void pair_finish(VirtioNetPair *p)
{
    virtio_net_coal_finish(&p->rx_coal);
    virtio_net_coal_finish(&p->tx_coal);
    loop_timer_free(p->tx_timer);
    loop_bh_free(p->round);
    g_free(p->in);
}

static VirtQueue *add_queue(VirtioNet *s, uint32_t size, IoThreadObject *io)
{
    VirtQueue *vq = virtio_add_queue(VIRTIO_DEVICE(s), (uint16_t)size, virtio_net_handle_output);

    if (io) {
        virtio_queue_set_iothread(vq, iothread_object_thread(io));
    }
    return vq;
}

static void make_queues(VirtioNet *s)
{
    s->pairs = g_new0(VirtioNetPair, s->n_pairs);
    for (unsigned i = 0; i < s->n_pairs; i++) {
        s->pairs[i].rx = add_queue(s, s->rx_queue_size, s->threads.threads[2 * i]);
        s->pairs[i].tx = add_queue(s, s->tx_queue_size, s->threads.threads[2 * i + 1]);
    }
    add_queue(s, CTRL_QUEUE_SIZE, s->iothread);
    if (s->threads.map) {
        s->ctrl_bh = loop_bh_new(device_platform(DEVICE(s))->loop, serve_ctrl, s);
    }
    virtio_lock(VIRTIO_DEVICE(s)); /* sources on an iothread's loop are made with its lock */
    for (unsigned i = 0; i < s->n_pairs; i++) {
        pair_init(s, i);
    }
    virtio_unlock(VIRTIO_DEVICE(s));
}

static bool attach(VirtioNet *s, NetBackend *b, GError **err)
{
    EventLoop *loops[NET_QUEUES_MAX];
    NetUserOps ops = {
        .name = s->name,
        .receive = virtio_net_receive,
        .send_ready = virtio_net_send_ready,
        .link_changed = link_changed,
        .opaque = s,
    };

    if (!b) {
        log_warn("nic %s has no peer", s->name);
        return true;
    }
    for (unsigned i = 0; i < s->n_pairs; i++) {
        loops[i] = virtio_queue_loop(s->pairs[i].rx);
    }
    virtio_lock(VIRTIO_DEVICE(s));
    s->user = net_attach(b, &ops, loops, s->n_pairs, err);
    virtio_unlock(VIRTIO_DEVICE(s));
    s->link_up = s->user && net_link_up(b);
    virtio_net_vhost_init(s);
    return s->user != NULL;
}

static void virtio_net_unrealize(VirtIODevice *vdev)
{
    VirtioNet *s = VIRTIO_NET(vdev);

    platform_run_unlisten(device_platform(DEVICE(s)), &s->run);
    virtio_lock(vdev);
    g_clear_pointer(&s->user, net_detach);
    virtio_net_card_finish(s);
    g_clear_pointer(&s->ctrl_bh, loop_bh_free);
    virtio_net_vhost_finish(s);
    for (unsigned i = 0; i < s->n_pairs; i++) {
        pair_finish(&s->pairs[i]);
    }
    virtio_unlock(vdev);
    g_clear_pointer(&s->pairs, g_free);
    g_clear_pointer(&s->name, g_free);
    s->n_pairs = 0;
}

static bool virtio_net_realize(VirtIODevice *vdev, GError **err)
{
    VirtioNet *s = VIRTIO_NET(vdev);
    Platform *p = device_platform(DEVICE(s));
    NetBackend *b = NULL;

    if (s->netdev && *s->netdev && !(b = net_backend_find(p->root, s->netdev))) {
        return error_set(err, "netdev '%s' not found: no -netdev has that id", s->netdev);
    }
    s->n_pairs = b && (s->features >> VIRTIO_NET_F_MQ & 1) ? net_max_queues(b) : 1;
    if (!check_props(s, err) || !take_threads(s, err) || !take_mac(s, err)) {
        return false;
    }
    s->name = make_name(s);
    virtio_init(vdev, VIRTIO_ID_NET, VIRTIO_NET_CONFIG_BYTES);
    make_queues(s);
    virtio_net_card_init(s);
    s->running = true;
    s->run = (PlatformRunListener){.changed = run_changed, .opaque = s};
    platform_run_listen(p, &s->run);
    s->link_up = false;
    if (!attach(s, b, err)) {
        virtio_net_unrealize(vdev);
        return false;
    }
    virtio_lock(vdev);
    virtio_net_config_reset(s);
    virtio_unlock(vdev);
    return true;
}

/* The core, too, is done with the iothreads. */
static void virtio_net_instance_finalize(Object *obj)
{
    virtio_iothread_map_finish(&VIRTIO_NET(obj)->threads);
}

static json_t *get_iothread_map(Object *obj, const Property *prop, GError **err)
{
    return virtio_iothread_map_get(&VIRTIO_NET(obj)->threads);
}

static bool set_iothread_map(Object *obj, const Property *prop, json_t *value, GError **err)
{
    return virtio_iothread_map_set(&VIRTIO_NET(obj)->threads, value, err);
}

static json_t *get_count(Object *obj, const Property *prop, GError **err)
{
    const VirtioNetStats *st = &VIRTIO_NET(obj)->stats;
    const struct {
        const char *name;
        const uint64_t *value;
    } all[] = {{"rx-filtered", &st->rx_filtered},
               {"rx-dropped", &st->rx_dropped},
               {"tx-errors", &st->tx_errors}};
    unsigned i = 0;

    while (!g_str_equal(all[i].name, prop->name)) {
        i++;
    }
    return json_integer((json_int_t)__atomic_load_n(all[i].value, __ATOMIC_RELAXED));
}

static const char *const tx_words[] = {"bh", "timer", NULL};

#define FEATURE_PROP(name, bit, on, help) \
    PROP_BIT64(name, VirtioNet, features, VIRTIO_NET_F_##bit, on, help)

static const Property virtio_net_props[] = {
    PROP_STRING("netdev", VirtioNet, netdev, NULL, "what it is connected to: the id of a -netdev"),
    PROP_MAC("mac", VirtioNet, conf_mac,
             "its address; not given: 52:54:00:12:34:56 and counting up"),
    FEATURE_PROP("mq", MQ, false, "offer as many queue pairs as the netdev has"),
    PROP_UINT32("rx_queue_size", VirtioNet, rx_queue_size, QUEUE_SIZE, QUEUE_SIZE_MIN,
                QUEUE_SIZE_MAX, "entries of each receive queue, a power of 2"),
    PROP_UINT32("tx_queue_size", VirtioNet, tx_queue_size, QUEUE_SIZE, QUEUE_SIZE_MIN,
                QUEUE_SIZE_MAX, "entries of each transmit queue, a power of 2"),
    PROP_ENUM("tx", VirtioNet, tx, tx_words, VIRTIO_NET_TX_BH,
              "when frames are sent: bh: at once, timer: a little later, more of them together"),
    PROP_UINT32("x-txtimer", VirtioNet, tx_txtimer, TX_TIMER_NS, 1, INT32_MAX,
                "with tx=timer: how much later, in nanoseconds"),
    PROP_INT32("x-txburst", VirtioNet, tx_burst, TX_BURST, 1, INT32_MAX,
               "frames that are sent before others have their turn"),
    PROP_UINT16("host_mtu", VirtioNet, host_mtu, 0, 0, UINT16_MAX,
                "MTU that the guest is told; 0: none"),
    PROP_INT32("speed", VirtioNet, speed, -1, -1, INT32_MAX,
               "speed that the guest is told, in Mbit/s; -1: none"),
    PROP_STRING("duplex", VirtioNet, duplex, NULL, "duplex that the guest is told: half or full"),
    PROP_INT32("bootindex", VirtioNet, bootindex, -1, -1, INT32_MAX,
               "place in firmware's boot order; without firmware it changes nothing"),
    PROP_LINK("iothread", VirtioNet, iothread, IoThreadObject, &iothread_type,
              "serves all queues, an id of -object iothread; not given: the main loop"),
    PROP_CUSTOM("iothread-vq-mapping", "list", get_iothread_map, set_iothread_map, 0,
                "which iothread serves which queue pairs: a list of {iothread, vqs}"),
    FEATURE_PROP("status", STATUS, true, "tell the guest whether the link is up"),
    FEATURE_PROP("mrg_rxbuf", MRG_RXBUF, true, "let a received frame have several buffers"),
    FEATURE_PROP("csum", CSUM, true, "complete checksums of what the guest sends"),
    PROP_BIT64("gso", VirtioNet, parent_obj.legacy_features, VIRTIO_NET_F_GSO, true,
               "offer legacy drivers to segment whatever they send"),
    FEATURE_PROP("host_tso4", HOST_TSO4, true, "segment TCP over IPv4 for the guest"),
    FEATURE_PROP("host_tso6", HOST_TSO6, true, "segment TCP over IPv6 for the guest"),
    FEATURE_PROP("host_ecn", HOST_ECN, true, "segment TCP with ECN for the guest"),
    FEATURE_PROP("host_ufo", HOST_UFO, true, "fragment UDP for the guest"),
    FEATURE_PROP("host_uso", HOST_USO, true, "segment UDP for the guest"),
    FEATURE_PROP("guest_csum", GUEST_CSUM, true,
                 "give the guest frames without checksum, where the netdev has them"),
    FEATURE_PROP("guest_tso4", GUEST_TSO4, true, "give the guest large TCP frames over IPv4"),
    FEATURE_PROP("guest_tso6", GUEST_TSO6, true, "give the guest large TCP frames over IPv6"),
    FEATURE_PROP("guest_ecn", GUEST_ECN, true, "give the guest large TCP frames with ECN"),
    FEATURE_PROP("guest_ufo", GUEST_UFO, true, "give the guest large UDP datagrams"),
    FEATURE_PROP("guest_uso4", GUEST_USO4, true, "give the guest joined UDP over IPv4"),
    FEATURE_PROP("guest_uso6", GUEST_USO6, true, "give the guest joined UDP over IPv6"),
    FEATURE_PROP("guest_hdrlen", GUEST_HDRLEN, true, "let the guest tell the length of headers"),
    FEATURE_PROP("ctrl_vq", CTRL_VQ, true, "offer the control queue"),
    FEATURE_PROP("ctrl_rx", CTRL_RX, true, "let the guest filter what it receives"),
    FEATURE_PROP("ctrl_rx_extra", CTRL_RX_EXTRA, true, "more modes of that filter"),
    FEATURE_PROP("ctrl_vlan", CTRL_VLAN, true, "let the guest filter VLANs"),
    FEATURE_PROP("ctrl_mac_addr", CTRL_MAC_ADDR, true, "let the guest change the card's address"),
    FEATURE_PROP("ctrl_guest_offloads", CTRL_GUEST_OFFLOADS, true,
                 "let the guest switch guest_csum, guest_tso4 and so on while it runs"),
    FEATURE_PROP("guest_announce", GUEST_ANNOUNCE, true, "may ask the guest to announce itself"),
    FEATURE_PROP("rss", RSS, false, "offer receive side scaling"),
    FEATURE_PROP("hash", HASH_REPORT, false, "offer to report the hash of received frames"),
    FEATURE_PROP("notf_coal", NOTF_COAL, true, "let the guest moderate interrupts"),
    FEATURE_PROP("vq_notf_coal", VQ_NOTF_COAL, true, "let it do so queue by queue"),
    PROP_CUSTOM("rx-filtered", "int", get_count, NULL, PROP_READONLY | PROP_NO_DEFAULT,
                "frames that were not for the guest"),
    PROP_CUSTOM("rx-dropped", "int", get_count, NULL, PROP_READONLY | PROP_NO_DEFAULT,
                "frames that the guest had no use for: no driver, buffers too small"),
    PROP_CUSTOM("tx-errors", "int", get_count, NULL, PROP_READONLY | PROP_NO_DEFAULT,
                "frames of the guest with headers that make no sense; the netdev has a count, too"),
    PROP_END,
};

static void virtio_net_memory(Object *obj, MemoryTell *tell, void *opaque)
{
    VirtioNet *s = VIRTIO_NET(obj);

    virtio_device_memory(obj, tell, opaque);
    for (unsigned i = 0; s->pairs && i < s->n_pairs; i++) {
        tell(opaque, MEMORY_BUFFER, s->pairs[i].in, s->rx_queue_size * sizeof(VqElem *));
    }
    tell(opaque, MEMORY_BUFFER, s->pairs, s->n_pairs * sizeof *s->pairs);
}

static void virtio_net_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    klass->memory = virtio_net_memory;
    dc->user_creatable = true;
    dc->category = "network";
    vc->realize = virtio_net_realize;
    vc->unrealize = virtio_net_unrealize;
    vc->get_features = virtio_net_get_features;
    vc->validate_features = virtio_net_validate_features;
    vc->get_config = virtio_net_get_config;
    vc->config_writable = virtio_net_config_writable;
    vc->set_config = virtio_net_set_config;
    vc->set_status = virtio_net_set_status;
    vc->queue_reset = virtio_net_queue_reset;
    vc->queues_changed = virtio_net_queues_changed;
    vc->limit_features = virtio_net_limit_features;
    vc->notifier_changed = virtio_net_notifier_changed;
    vc->reset = virtio_net_reset;
    virtio_net_card_class_init(klass);
}

const TypeInfo virtio_net_type = {
    .name = "virtio-net-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(VirtioNet),
    .instance_finalize = virtio_net_instance_finalize,
    .class_init = virtio_net_class_init,
    .interfaces = (const TypeInfo *const[]){&net_card_type, NULL},
    .props = virtio_net_props,
    .desc = "network card",
};
