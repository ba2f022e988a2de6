/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the files of virtio-net share: virtio-net.c (the device: properties, life, link), virtio-net-config.c (features,
 * configuration space, what a driver switches), virtio-net-tx.c (from the driver to the backend), virtio-net-rx.c (back),
 * virtio-net-coal.c (when the driver is interrupted), virtio-net-ctrl.c (the control queue), virtio-net-vhost.c (pairs that
 * the kernel serves).
 *
 * Queues: receiveq and transmitq of each of n_pairs, then the control queue. Where neither MQ nor RSS was negotiated the
 * control queue is queue 2, whatever there is (§5.1.2).
 *
 * Threads: all queues are served on one loop, the main loop or that of an iothread; or each pair on the iothread that
 * iothread-vq-mapping gives it. What is changed from elsewhere (reset, link, properties at run time) is changed under the
 * VM lock and virtio_lock. The control queue has what it needs for that, but not always the VM lock: it is one of the
 * queues of the one loop, or else served on the main loop with virtio_lock. A pair's fields are its loop's; of the
 * device's the pairs only read, but for the counters.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_NET_INTERNAL_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_NET_INTERNAL_H

#include <linux/if_ether.h>
#include <linux/virtio_net.h>

#include "backends/iothread.h"
#include "backends/net.h"
#include "core/le.h"
#include "hw/virtio/virtio-iothread-map.h"
#include "hw/virtio/virtio-net-filter.h"
#include "hw/virtio/virtio-net-rss.h"
#include "hw/virtio/virtio.h"

/* Not in all versions of <linux/virtio_net.h>. */
#ifndef VIRTIO_NET_F_VQ_NOTF_COAL
#define VIRTIO_NET_F_VQ_NOTF_COAL 52
#endif
#ifndef VIRTIO_NET_F_NOTF_COAL
#define VIRTIO_NET_F_NOTF_COAL 53
#endif
#ifndef VIRTIO_NET_F_GUEST_USO4
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif
#ifndef VIRTIO_NET_F_GUEST_HDRLEN
#define VIRTIO_NET_F_GUEST_HDRLEN 59
#endif
#ifndef VIRTIO_NET_F_GSO
#define VIRTIO_NET_F_GSO 6
#endif

enum {
    VIRTIO_NET_BATCH = 32,     /* frames that go to the backend at once */
};
enum { VIRTIO_NET_TX_BH, VIRTIO_NET_TX_TIMER };

OBJECT_DECLARE(VirtioNet, virtio_net, VIRTIO_NET)

/* Parameters of notification coalescing (§5.1.6.5.8), and what is counted. Either 0: each packet notifies. */
typedef struct {
    uint32_t max_packets, max_usecs;
} NetCoalParams;

typedef struct {
    NetCoalParams params;
    uint32_t packets;          /* since the last notification */
    LoopTimer *timer;          /* from the first of them */
    VirtIODevice *vdev;
    VirtQueue *vq;
} NetCoal;

/* A pair that the kernel serves. Changes under the VM lock and virtio_lock. */
typedef struct {
    bool on;
    int call[VHOST_RINGS], err;          /* eventfds: interrupts; a broken ring */
    LoopFd *call_src[VHOST_RINGS], *err_src;
} VirtioNetKernel;

/* A pair of queues. */
typedef struct {
    VirtioNet *s;
    unsigned index;
    VirtQueue *rx, *tx;
    NetCoal rx_coal, tx_coal;
    /* transmit */
    VqElem *out[VIRTIO_NET_BATCH];       /* taken from the ring: n_out of them from next on wait for the backend */
    NetFrame frames[VIRTIO_NET_BATCH];   /* theirs */
    unsigned next, n_out;
    bool blocked;              /* the backend is full; send_ready comes */
    LoopTimer *tx_timer;       /* tx=timer: armed since a kick; NULL: tx=bh */
    /* receive */
    VqElem **in;               /* buffers of one frame, room for as many as the ring has entries */
    uint64_t waiting;          /* backend's queues whose frame waits for room in rx, a bit each */
    LoopBh *round;             /* tells the driver at the end of a round what came in it */
    uint32_t received;         /* frames since then */
    uint8_t head[NET_RSS_HEAD]; /* first bytes of a frame that the backend's queue delivers in pieces */
    VirtioNetKernel kernel;
} VirtioNetPair;

/* What was not passed on. Atomic, relaxed. */
typedef struct {
    uint64_t rx_filtered;      /* not for the guest */
    uint64_t rx_dropped;       /* no driver, larger than the buffers or the MTU, a queue in reset */
    uint64_t tx_errors;        /* segments of a kind that is not known; the backend counts other errors */
} VirtioNetStats;

struct VirtioNet {
    VirtIODevice parent_obj;
    /* properties */
    char *netdev, *duplex;
    MacAddr conf_mac;          /* all zero: not given, realize makes one up */
    uint64_t features;         /* bits by name */
    uint32_t rx_queue_size, tx_queue_size, tx_txtimer;
    int32_t speed, tx_burst, bootindex;
    uint16_t host_mtu;
    int tx;                    /* VIRTIO_NET_TX_* */
    IoThreadObject *iothread;
    VirtioIoThreadMap threads; /* iothread-vq-mapping, of rx and tx queues, and what came of it; outlives unrealize */
    /* from realize to unrealize */
    char *name;                /* in messages and monitors */
    NetUser *user;             /* NULL: no netdev was given */
    LoopBh *filter_bh;         /* on the main loop: tells of a changed filter */
    bool filter_told;          /* it was, and nobody has asked since */
    LoopBh *ctrl_bh;           /* on the main loop: serves the control queue; NULL: its own loop does */
    VirtioNetPair *pairs;
    unsigned n_pairs;
    PlatformRunListener run;
    bool running;              /* the VM; while it is stopped no queue is served */
    VirtioNetStats stats;
    LoopBh *kernel_bh;         /* on the main loop: looks again at what the kernel serves; NULL: the netdev has no vhost */
    bool kernel_refused;       /* it did; until the next reset it is not asked again */
    LogRate kernel_rate;
    /* what the driver sees and has set; a reset puts it back */
    bool link_up;
    bool announce;             /* bit ANNOUNCE of status; CTRL_ANNOUNCE_ACK clears it */
    unsigned cur_pairs;        /* in use: 1 until a command says more */
    uint64_t guest_offloads;   /* bits VIRTIO_NET_F_GUEST_* that are on now, a subset of the negotiated ones */
    bool steer;                /* RSS_CONFIG was given: rss chooses the queue */
    NetRxFilter filter;        /* filter.mac is the mac of configuration space */
    NetRss rss;
    NetCoalParams rx_coal, tx_coal; /* of RX_SET and TX_SET: what a queue gets when it is enabled again */
};

/* Bytes of the header in front of each frame: without num_buffers for legacy drivers that merge none, with the hash
 * where it is reported (§5.1.6). */
static inline size_t virtio_net_hdr_len(const VirtioNet *s)
{
    const VirtIODevice *vdev = &s->parent_obj;

    if (virtio_has_feature(vdev, VIRTIO_NET_F_HASH_REPORT)) {
        return sizeof(struct virtio_net_hdr_v1_hash);
    }
    return vdev->legacy && !virtio_has_feature(vdev, VIRTIO_NET_F_MRG_RXBUF) ? sizeof(struct virtio_net_hdr)
                                                                             : sizeof(struct virtio_net_hdr_v1);
}

static inline void virtio_net_count(uint64_t *counter, uint64_t n)
{
    __atomic_fetch_add(counter, n, __ATOMIC_RELAXED);
}

/* --- virtio-net-config.c --- */

enum { VIRTIO_NET_CONFIG_BYTES = 24 };
uint64_t virtio_net_get_features(VirtIODevice *vdev, uint64_t common);
bool virtio_net_validate_features(VirtIODevice *vdev, uint64_t features);
bool virtio_net_config_writable(VirtIODevice *vdev, size_t off);
void virtio_net_set_config(VirtIODevice *vdev, const void *config, size_t off, size_t len);
void virtio_net_get_config(VirtIODevice *vdev, void *config);
void virtio_net_set_status(VirtIODevice *vdev, uint8_t old);
void virtio_net_config_reset(VirtioNet *s); /* what the driver has set */

/*
 * What the control queue's commands switch. On the queues' loop, or with its lock. The caller has checked values against
 * the specification and the features.
 */
void virtio_net_set_offloads(VirtioNet *s, uint64_t features); /* bits VIRTIO_NET_F_GUEST_*, a subset of the negotiated ones */
void virtio_net_set_pairs(VirtioNet *s, unsigned n);           /* 1 to n_pairs */
void virtio_net_set_mac(VirtioNet *s, const uint8_t mac[6]);
/* RSS_CONFIG (steer) or HASH_CONFIG; RSS_CONFIG also says how many pairs there are. */
void virtio_net_set_rss(VirtioNet *s, const NetRssConfig *config, bool steer);
/* The queue of that number as a transmit or receive queue that is enabled; NULL: it is none. For COAL_VQ_GET, and _SET
 * by virtio_net_coal_set. */
NetCoal *virtio_net_coal(VirtioNet *s, unsigned vq_index);
void virtio_net_set_coal_all(VirtioNet *s, bool tx, NetCoalParams params); /* RX_SET, TX_SET */

/* The number of a VirtQueue of s is that of the control queue, as negotiated. */
static inline unsigned virtio_net_ctrl_index(const VirtioNet *s)
{
    const VirtIODevice *vdev = &s->parent_obj;
    bool many = virtio_has_feature(vdev, VIRTIO_NET_F_MQ) || virtio_has_feature(vdev, VIRTIO_NET_F_RSS);

    return 2 * (many ? s->n_pairs : 1);
}

/* --- virtio-net-coal.c --- */

/* On the queue's loop, or with its lock. */
void virtio_net_coal_init(NetCoal *c, VirtIODevice *vdev, VirtQueue *vq);
void virtio_net_coal_finish(NetCoal *c);
void virtio_net_coal_reset(NetCoal *c, NetCoalParams params);
void virtio_net_coal_set(NetCoal *c, NetCoalParams params);
/* n more frames are done: the driver sees their buffers, and is interrupted when it is time for it. */
void virtio_net_notify(NetCoal *c, uint32_t n);

/* --- virtio-net-tx.c --- */

void virtio_net_handle_tx(VirtioNet *s, VirtioNetPair *p); /* kicked */
void virtio_net_send_ready(void *opaque, unsigned queue);  /* NetUserOps */
void virtio_net_tx_drop(VirtioNetPair *p);                 /* the queue is reset: what waits is forgotten */
void virtio_net_tx_timeout(void *opaque);                  /* tx_timer */
void virtio_net_tx_give_up(VirtioNetPair *p);              /* what waits goes back unsent, and counts as an error */

/* --- virtio-net-rx.c --- */

void virtio_net_handle_rx(VirtioNet *s, VirtioNetPair *p); /* kicked: there are buffers */
bool virtio_net_receive(void *opaque, unsigned queue, const NetFrame *f); /* NetUserOps */
void virtio_net_rx_drop(VirtioNetPair *p);                 /* the queue is reset */
void virtio_net_rx_retry(VirtioNet *s);                    /* frames that wait may have another queue now */
void virtio_net_rx_round(void *opaque);                    /* round */

/* --- virtio-net-ctrl.c --- */

void virtio_net_handle_ctrl(VirtIODevice *vdev, VirtQueue *vq);

/* --- virtio-net-vhost.c: the VM lock and virtio_lock, unless said --- */

void virtio_net_vhost_init(VirtioNet *s);   /* attached; main loop */
void virtio_net_vhost_finish(VirtioNet *s); /* once is enough, twice is fine */
uint64_t virtio_net_vhost_features(const VirtioNet *s, uint64_t features); /* those that can be had with it */
/* The kernel serves the pairs that it can serve now, and no others: after anything that this depends on. */
void virtio_net_vhost_update(VirtioNet *s);
void virtio_net_vhost_update_soon(VirtioNet *s); /* from the main loop; with the queues' lock only */
void virtio_net_notifier_changed(VirtIODevice *vdev, VirtQueue *vq, int fd); /* VM lock only */
void virtio_net_vhost_stop_pair(VirtioNetPair *p);
void virtio_net_vhost_stop(void *opaque);        /* all pairs */

/* --- virtio-net-card.c: interface "net-card", for monitors (hw/core/net-card.h) --- */

void virtio_net_card_class_init(ObjectClass *klass); /* of who has net_card_type among its interfaces */
void virtio_net_card_init(VirtioNet *s);             /* by realize; main loop */
void virtio_net_card_finish(VirtioNet *s);           /* by unrealize; once is enough, twice is fine */
/* The driver has set the filter: a monitor hears of the first time after it asked. Any thread with the queues' lock. */
void virtio_net_filter_changed(VirtioNet *s);

#endif
