/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends. A NetBackend is what a network card is connected to: user, tap, socket, stream, dgram, hubport,
 * null. -netdev, -nic or netdev_add makes it, in /netdevs/ID of the tree. One NetUser (a device, or the hub of a
 * hubport) is attached to it at a time. A backend's kind is one TypeInfo (net-user.c, net-tap.c, ...).
 *
 * A frame is an Ethernet frame without FCS, with what is known of its offloads in a NetHdr: the fields of struct
 * virtio_net_hdr in host byte order. A backend that cannot pass offloads on never sees any: net_send completes
 * checksums and cuts segments in software before. A backend delivers frames with offloads only as far as
 * net_set_guest_offloads allows.
 *
 * Back-pressure: a frame that cannot be sent is refused, stays the caller's, and send_ready comes once there is room. A
 * frame that the user cannot receive is refused; the backend keeps that one and reads no more for that queue until
 * net_receive_ready. A source that cannot be stopped (libslirp) keeps a bounded number more, then drops and counts.
 *
 * Threads: backends are made, attached and freed on the main loop under the VM lock. A queue is used on its loop's
 * thread, or by who holds the loop's lock (main loop: the VM lock; iothread: iothread_lock). Callbacks of a queue come
 * on its loop, never from within net_send. Counters are read by any thread.
 */
#ifndef AEROSTAT_BACKENDS_NET_H
#define AEROSTAT_BACKENDS_NET_H

#include <jansson.h>
#include <linux/virtio_net.h>
#include <sys/uio.h>

#include "backends/vhost.h"
#include "core/loop.h"
#include "qom/object.h"

#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5 /* of Linux 6.2 */
#endif

OBJECT_DECLARE_CLASS(NetBackend, NetBackendClass, net_backend, NET_BACKEND)

typedef struct NetUser NetUser;

enum {
    NET_QUEUES_MAX = 64,           /* pairs */
    NET_FRAME_MIN = 14,            /* an Ethernet header; shorter ones are dropped and counted */
    NET_FRAME_MAX = 65535 + 18,    /* bytes: the largest IP packet behind an Ethernet header with a VLAN tag */
    NET_IOV_MAX = 1024,            /* pieces of a frame */
};

/* What a side can take. CSUM: frames whose checksum is not complete (VIRTIO_NET_HDR_F_NEEDS_CSUM). */
enum {
    NET_OFFLOAD_CSUM = 1 << 0,
    NET_OFFLOAD_TSO4 = 1 << 1,
    NET_OFFLOAD_TSO6 = 1 << 2,
    NET_OFFLOAD_ECN = 1 << 3,
    NET_OFFLOAD_UFO = 1 << 4,
    NET_OFFLOAD_USO4 = 1 << 5,
    NET_OFFLOAD_USO6 = 1 << 6,
    NET_OFFLOAD_ALL = (1 << 7) - 1,
};

/* VIRTIO 1.4 §5.1.6, in host byte order. All zero: a plain frame with complete checksums. */
typedef struct {
    uint8_t flags;                 /* VIRTIO_NET_HDR_F_NEEDS_CSUM, _DATA_VALID */
    uint8_t gso_type;              /* VIRTIO_NET_HDR_GSO_* */
    uint16_t hdr_len, gso_size, csum_start, csum_offset; /* bytes, from the frame's start */
} NetHdr;

typedef struct {
    const struct iovec *iov;       /* of len bytes in all; read only; valid during the call */
    unsigned niov;
    size_t len;
    NetHdr hdr;
} NetFrame;

/* --- users: what a device does --- */

typedef struct {
    const char *name;              /* of the device, for messages; copied */
    /* A frame from the network. False: no room now, see net_receive_ready. What the device filters out is taken. */
    bool (*receive)(void *opaque, unsigned queue, const NetFrame *f);
    void (*send_ready)(void *opaque, unsigned queue); /* net_send took less than all before: there may be room */
    void (*link_changed)(void *opaque, bool up);      /* by set_link, or the other end came or went; main loop */
    void *opaque;
} NetUserOps;

/*
 * Takes the backend into use with n_queues pairs, queue i on loops[i]. ops is copied. NULL with one line: in use
 * already, fewer queues than that, or a loop that the kind cannot be served on. Frames come from now on, and wait until
 * receive takes them. Attaching and detaching are done with the locks of all the loops.
 */
NetUser *net_attach(NetBackend *b, const NetUserOps *ops, EventLoop *const *loops, unsigned n_queues, GError **err);
void net_detach(NetUser *u); /* no callback comes any more, frames that wait are dropped; NULL is fine */
NetBackend *net_user_backend(const NetUser *u); /* NULL: it was deleted (netdev_del); link_changed(false) came */

/*
 * Sends frames[0..n) in order; returns how many were taken (sent, or dropped and counted: link down, malformed, larger
 * than NET_FRAME_MAX). Fewer than n: full, and send_ready will come. hdr is checked against the frame (offsets beyond
 * it, a segment size of 0, a type that does not fit its protocol): a bad one is dropped and counted as an error.
 */
unsigned net_send(NetUser *u, unsigned queue, const NetFrame *frames, unsigned n);
/* receive refused a frame before and could take one now: it is delivered again, from the loop. */
void net_receive_ready(NetUser *u, unsigned queue);

/*
 * Which offloads the backend may deliver to the user from now on (NET_OFFLOAD_*), a subset of net_guest_offloads. At
 * first none. Under the locks of all its loops.
 */
void net_set_guest_offloads(NetUser *u, unsigned offloads);
unsigned net_guest_offloads(const NetBackend *b);  /* what it can deliver */
unsigned net_host_offloads(const NetBackend *b);   /* what it passes on as it is; net_send does all others */
unsigned net_max_queues(const NetBackend *b);      /* pairs that it can serve; at least 1 */
/* How many of the pairs are in use: the others get no frames. */
void net_set_queues(NetUser *u, unsigned n);
bool net_link_up(const NetBackend *b);
/* "type=user,..." as in QEMU's "info network". Valid until the next call for b. */
const char *net_info_string(NetBackend *b);
/* Another host-side user space needs the device's MAC address (none so far), or a line in the log. 6 bytes. */
void net_set_mac(NetUser *u, const uint8_t mac[6]);

/*
 * The kernel's data path for a queue pair (vhost=on of a tap): frames pass neither through this process nor its filters and
 * counters. net_vhost: NULL: there is none. begin, under the locks of all loops: the tap's descriptor, whose frames from now
 * on have a header of hdr_len bytes and are no longer received here; what was kept of the queue's frames is dropped. -1 with
 * one line. net_send goes on to work. end: all is as before. leave(ops.opaque): the backend is being deleted; it ends what
 * was begun, under the same locks.
 */
bool net_has_vhost(const NetBackend *b);
Vhost *net_vhost(const NetUser *u, unsigned queue);
int net_vhost_begin(NetUser *u, unsigned queue, size_t hdr_len, void (*leave)(void *opaque), GError **err);
void net_vhost_end(NetUser *u, unsigned queue);

typedef struct {
    uint64_t rx_frames, rx_bytes, rx_dropped, rx_errors; /* network to user; dropped: refused for too long, link down */
    uint64_t tx_frames, tx_bytes, tx_dropped, tx_errors; /* user to network; segments that were cut count once */
} NetStats;
void net_stats(const NetBackend *b, NetStats *ret_stats); /* any thread */

/* --- what -netdev, -nic and QMP do --- */

/*
 * opts: an object with "type", "id" and the kind's options, strings or JSON values. Lands in /netdevs/ID of root. NULL
 * with one line in err. Borrowed.
 */
NetBackend *net_backend_add(Object *root, EventLoop *main_loop, json_t *opts, GError **err);
/* The same while a VM runs, which no name server shall hold up: hosts are addresses or "localhost". */
NetBackend *net_backend_add_to_running(Object *root, EventLoop *main_loop, json_t *opts, GError **err);
/*
 * The same for a checker: refuses what it can without touching anything; what it returns is a null backend of that id.
 */
NetBackend *net_backend_check(Object *root, EventLoop *main_loop, json_t *opts, GError **err);
/*
 * QEMU's netdev_del. Its device then has no peer: what it sends is dropped. Takes the locks of the queues' loops.
 */
bool net_backend_del(Object *root, const char *id, GError **err);
void net_backend_del_all(Object *root); /* before the main loop goes */
NetBackend *net_backend_find(Object *root, const char *id);       /* NULL: none */
const char *net_backend_id(const NetBackend *b);
NetUser *net_backend_user(const NetBackend *b);                   /* NULL: nobody uses it */
const char *net_user_name(const NetUser *u);
/* fn for each, in order of their making, until it returns false. */
void net_backend_foreach(Object *root, bool (*fn)(NetBackend *b, void *opaque), void *opaque);
/* HMP hostfwd_add (text as after hostfwd=) and hostfwd_remove (tcp:[HOST]:PORT). Takes the queues' locks. */
bool net_user_hostfwd(NetBackend *b, const char *text, bool add, GError **err);
/*
 * What clients of a monitor may hear: NETDEV_STREAM_CONNECTED and NETDEV_STREAM_DISCONNECTED. On the main loop; data is
 * stolen. One handler per tree; NULL: none.
 */
void net_set_event_handler(Object *root, void (*fn)(void *opaque, const char *event, json_t *data), void *opaque);
void net_backend_set_link(NetBackend *b, bool up);                /* set_link; tells the user */

/* Base of the -object filters, which need their netdev when they are made. */
extern const TypeInfo net_filter_type, filter_dump_type, filter_throttle_type;

extern const TypeInfo *const net_types[]; /* concrete, NULL-terminated */

#endif
