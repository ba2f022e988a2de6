/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the kinds of network backends share (net.h is for their users). A kind is one TypeInfo named "netdev-KIND" below
 * net_backend_type; its options are its properties.
 *
 * A kind exists from open to close, on the main loop. Between attach and detach it moves frames, each queue on that
 * queue's loop; its other functions are called with the locks of all the queues' loops, or on the queue's loop where
 * they name one.
 */
#ifndef AEROSTAT_BACKENDS_NET_IMPL_H
#define AEROSTAT_BACKENDS_NET_IMPL_H

#include "backends/net-offload.h"
#include "backends/net.h"
#include "core/log.h"
#include "qom/property.h"

#define NET_TYPE_PREFIX "netdev-"

enum { NET_DIR_RX, NET_DIR_TX }; /* network to user, user to network */

/* Of a direction of a queue: a frame that could not go on, and what wakes it. */
typedef struct {
    uint8_t *buf;             /* NET_FRAME_MAX bytes, made when first needed */
    size_t len;               /* 0: nothing is kept */
    NetHdr hdr;
} NetKept;

typedef struct {
    NetBackend *b;
    unsigned index;
    EventLoop *loop;
    LoopBh *rx_bh, *tx_bh;    /* deliver again; send again */
    NetKept rx;               /* the user refused it */
    NetKept tx;               /* the user's, of which some segments are sent: counts as taken */
    NetSegments *tx_seg;      /* where tx is cut; made when first needed */
    NetSegments *rx_seg;
    bool rx_stopped;          /* the kind was told to read no more */
    bool tx_blocked;          /* net_send took less than all */
    unsigned admitted[2];     /* by direction: so many filters have let the frame pass that is tried again */
    unsigned rx_cut;          /* segments that the user has of the frame in rx, or of the one that is delivered */
    LoopTimer *timer[2];      /* by direction: a filter holds frames back; NULL: never did */
    unsigned lost;            /* of what send took */
    size_t lost_bytes;
    NetStats stats;           /* written under the loop's lock; atomic, relaxed */
} NetQueue;

struct NetBackend {
    Object parent_obj;
    EventLoop *main_loop;
    bool opened;
    bool no_lookup;           /* open shall not look names of hosts up */
    bool link, carrier;       /* set_link; is there somebody at the other end? Atomic, relaxed */
    bool link_told;           /* what the user knows */
    bool carrier_told;        /* what carrier_changed knows */
    LoopBh *link_bh;          /* on the main loop: tells the user */
    NetUser *user;            /* NULL: nobody */
    NetQueue *queues;         /* n_queues, while attached */
    unsigned n_queues, active_queues;
    unsigned now_offloads;    /* net_set_guest_offloads */
    pthread_mutex_t lock;     /* guards queues against net_stats, and past */
    NetStats past;            /* of queues that are gone */
    GPtrArray *filters;       /* of NetFilter *, borrowed; changes with the locks of all loops */
    Clock *clock;             /* real time, of the filters' timers */
    char *info;
    /* the kind's, by open */
    unsigned max_queues;      /* 1 unless set */
    unsigned guest_offloads, host_offloads;
};

/* All but send may be NULL. */
struct NetBackendClass {
    ObjectClass parent_class;
    /* What open would refuse of the properties, without touching anything outside of the process; before open. */
    bool (*check)(NetBackend *b, GError **err);
    bool (*open)(NetBackend *b, GError **err); /* properties are set; frozen after it */
    void (*close)(NetBackend *b);              /* also after a failed open */
    bool (*attach)(NetBackend *b, GError **err); /* queues are there; NULL: nothing to start */
    void (*detach)(NetBackend *b);
    /*
     * Sends frames with no other offloads than host_offloads; hdr is valid. Returns how many were taken; it
     * tells net_count_lost which of them are lost. Less than n: net_backend_writable(b, queue) will be called once there
     * is room.
     */
    unsigned (*send)(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n);
    /* net_deliver said false before: read on. From the loop, or within a bottom half of it. */
    void (*receive_ready)(NetBackend *b, unsigned queue);
    bool (*set_guest_offloads)(NetBackend *b, unsigned offloads); /* false: not to be had, none are delivered */
    void (*set_queues)(NetBackend *b, unsigned n);
    void (*set_mac)(NetBackend *b, const uint8_t mac[6]);
    /* The kernel's data path, see net_vhost. All or none; vhost gives NULL where there is none. */
    Vhost *(*vhost)(const NetBackend *b, unsigned queue);
    int (*vhost_begin)(NetBackend *b, unsigned queue, size_t hdr_len, GError **err);
    void (*vhost_end)(NetBackend *b, unsigned queue);
    void (*carrier_changed)(NetBackend *b, bool up); /* main loop, without the queues' locks */
    char *(*info)(NetBackend *b);              /* what follows "type=KIND" in info network, with its comma; g_free */
};

struct NetUser {
    NetBackend *backend;      /* NULL: deleted */
    NetUserOps ops;
    char *name;
    void (*leave_vhost)(void *opaque); /* of net_vhost_begin; NULL: nothing was begun */
};

const char *net_kind(const NetBackend *b); /* "tap" */
static inline EventLoop *net_queue_loop(const NetBackend *b, unsigned queue)
{
    return b->queues[queue].loop;
}

/*
 * A frame from the network, on the queue's loop and not from within send. It is taken in any case: received, kept until
 * the user can take it, or dropped and counted. False: deliver no more for this queue until receive_ready.
 */
bool net_deliver(NetBackend *b, unsigned queue, const NetFrame *f);
bool net_deliver_flat(NetBackend *b, unsigned queue, const void *buf, size_t len); /* a plain frame */
bool net_can_deliver(const NetBackend *b, unsigned queue); /* there is a user, and no frame is kept for it */
/* There is room again after send took less than all. On the queue's loop, not from within send. */
void net_backend_writable(NetBackend *b, unsigned queue);
void net_backend_tell_link(void *backend); /* link_bh */
/* The other end came or went. Any of the backend's threads; the user hears of it on the main loop. */
void net_set_carrier(NetBackend *b, bool up);
/* send took frames and lost them: dropped (nobody is there) or, with error, failed. They do not count as sent. */
void net_count_lost(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n, bool error);
/* Others that are lost. On the queue's loop. */
void net_count_dropped(NetBackend *b, unsigned queue, unsigned dir, unsigned n);
void net_count_errors(NetBackend *b, unsigned queue, unsigned dir, unsigned n);
/* Locks of the queues' loops, but for the main loop, whose lock the caller has. In order of address. */
typedef struct {
    EventLoop *loops[NET_QUEUES_MAX];
    unsigned n;
} NetLocks;
void net_lock_queues(NetBackend *b, NetLocks *ret_locks);
void net_unlock_queues(NetLocks *locks);
/* The backend goes, its user stays without one. Main loop; takes the locks of the queues. */
void net_backend_orphan_user(NetBackend *b);
/* Refuses a loop that is not the main loop: for kinds that are served there only. */
bool net_needs_main_loop(NetBackend *b, GError **err);
void net_vhost_leave(NetBackend *b); /* the backend goes: its user ends what it began; with the queues' locks */
void net_own_fd(int fd); /* one that was handed over: non-blocking, and not for other programs */
void net_event(NetBackend *b, const char *event, json_t *data); /* see net_set_event_handler; main loop */

/* --- filters: objects that see the frames of a backend (net-filter.c) --- */

OBJECT_DECLARE_CLASS(NetFilter, NetFilterClass, net_filter, NET_FILTER)

struct NetFilter {
    Object parent_obj;
    char *netdev;             /* property: whose frames */
    int queue;                /* property "queue": all, rx (of the netdev: from the device), tx */
    bool off;                 /* property "status" */
    NetBackend *backend;      /* NULL: not attached, or it was deleted */
};

struct NetFilterClass {
    ObjectClass parent_class;
    bool (*check)(NetFilter *f, GError **err); /* what begin would refuse, without touching anything; before it. NULL: no */
    bool (*begin)(NetFilter *f, NetBackend *b, GError **err); /* properties are set; NULL: nothing to do */
    void (*end)(NetFilter *f);     /* taken out, or the netdev goes; main loop. NULL: nothing to do */
    /* May a frame pass now? 0, or after how many ns to ask again. NULL: always. Any queue's thread. */
    int64_t (*admit)(NetFilter *f, unsigned dir, size_t len, unsigned segments);
    /* It has passed. NULL: nothing. Any queue's thread. */
    void (*saw)(NetFilter *f, unsigned dir, const NetFrame *frame);
};

/* Takes a filter in and out; the backend lets go of its filters when it is deleted. Main loop. */
void net_filter_attach(NetFilter *f, NetBackend *b);
void net_filter_detach(NetFilter *f);
void net_filter_wake(NetFilter *f); /* what it held back may try again; main loop */

#endif
