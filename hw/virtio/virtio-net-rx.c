/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the network to the driver (VIRTIO 1.4 §5.1.6.3, §5.1.6.4): a frame passes the filter, gets a
 * hash, is led to a queue, and is copied into one buffer, or into as many as it takes where they
 * may be merged. When there are none the backend keeps it, and reads no more, until the driver
 * brings some.
 */
#include <string.h>

#include "core/log.h"
#include "hw/virtio/virtio-net-internal.h"

#include "backends/net-offload.h"

/* --- on the wire (§5.1.6) --- */

typedef struct {
    uint8_t flags, gso_type;
    Le16 hdr_len, gso_size, csum_start, csum_offset, num_buffers;
    Le32 hash_value;
    Le16 hash_report, padding;
} WireHdr;

G_STATIC_ASSERT(sizeof(WireHdr) == sizeof(struct virtio_net_hdr_v1_hash));

/* What has not been negotiated the backend does not deliver; DATA_VALID it may say all the same. */
static void make_header(const VirtioNet *s, const NetFrame *f, NetHash hash, unsigned n_buffers,
                        WireHdr *ret_wire)
{
    bool csum = (s->guest_offloads >> VIRTIO_NET_F_GUEST_CSUM) & 1;
    const NetHdr *h = &f->hdr;

    *ret_wire = (WireHdr){
        .flags = csum ? h->flags : 0,
        .gso_type = h->gso_type,
        .hdr_len = le16_make(h->hdr_len),
        .gso_size = le16_make(h->gso_size),
        .csum_start = le16_make(h->csum_start),
        .csum_offset = le16_make(h->csum_offset),
        .num_buffers = le16_make((uint16_t)n_buffers),
        .hash_value = le32_make(hash.value),
        .hash_report = le16_make(hash.report),
    };
}

/* --- buffers --- */

enum { TAKEN, NO_ROOM, DROPPED };

/*
 * Bytes of a frame that the driver is to see before the round ends. A handful of such frames fill
 * the ring: if it saw them together, driver and device would only ever wait for each other.
 */
enum { SHOWN_AT_ONCE = 16384 };

static void put_back(VirtioNetPair *p, unsigned n)
{
    while (n > 0) {
        virtqueue_unpop(p->in[--n]);
    }
}

/* Is e a buffer that can be used at all? The first one has to hold the header. */
static bool is_buffer(VirtioNet *s, VirtioNetPair *p, const VqElem *e, unsigned nth)
{
    size_t room = vq_elem_in_left(e);

    if (room == 0 || (nth == 0 && room < virtio_net_hdr_len(s))) {
        virtio_error(VIRTIO_DEVICE(s), "queue %u: a receive buffer of %zu bytes",
                     virtqueue_index(p->rx), room);
        return false;
    }
    return true;
}

/* take_buffers, where e, the first of them, is not enough, or is none. */
static __attribute__((noinline)) int take_more(VirtioNet *s, VirtioNetPair *p, VqElem *e,
                                               size_t need, unsigned *ret_n)
{
    bool mergeable = virtio_has_feature(VIRTIO_DEVICE(s), VIRTIO_NET_F_MRG_RXBUF);
    unsigned n = 0, most = mergeable ? virtqueue_size(p->rx) : 1;
    size_t room = 0;

    for (;; e = virtqueue_pop(p->rx)) {
        if (!e) {
            put_back(p, n);
            return virtio_is_broken(VIRTIO_DEVICE(s)) ? DROPPED : NO_ROOM;
        }
        if (!is_buffer(s, p, e, n)) {
            virtqueue_detach(e);
            put_back(p, n);
            return DROPPED;
        }
        room += vq_elem_in_left(e);
        p->in[n++] = e;
        if (room >= need) {
            *ret_n = n;
            return TAKEN;
        }
        if (n == most) { /* it will never fit */
            put_back(p, n);
            return DROPPED;
        }
    }
}

/*
 * Takes buffers for need bytes out of the ring: p->in[0..*ret_n). Else none are taken, and kicks
 * are on where there is no room.
 */
static int take_buffers(VirtioNet *s, VirtioNetPair *p, size_t need, unsigned *ret_n)
{
    VqElem *e = virtqueue_pop(p->rx);
    int how;

    if (G_LIKELY(e && vq_elem_in_left(e) >= need)) {
        p->in[0] = e;
        *ret_n = 1;
        return TAKEN;
    }
    how = take_more(s, p, e, need, ret_n);
    if (how == NO_ROOM && virtqueue_enable_kicks(p->rx)) {
        how = take_more(s, p, virtqueue_pop(p->rx), need, ret_n);
    }
    return how;
}

/* Copies the frame behind what is written already; each buffer but the last is filled (§5.1.6.4).
 */
static void copy_frame(VirtioNetPair *p, const NetFrame *f)
{
    unsigned at = 0;

    for (unsigned i = 0; i < f->niov; i++) {
        const uint8_t *from = f->iov[i].iov_base;
        size_t left = f->iov[i].iov_len;

        while (left > 0) {
            size_t n = vq_elem_write_some(p->in[at], from, left);

            from += n;
            left -= n;
            at += left > 0;
        }
    }
}

/* memcpy of the usual length without a call, and without a loop. */
static inline void copy_header(uint8_t *room, const WireHdr *wire, size_t hdr_len)
{
    if (G_LIKELY(hdr_len == sizeof(struct virtio_net_hdr_v1))) {
        memcpy(room, wire, sizeof(struct virtio_net_hdr_v1));
    } else {
        memcpy(room, wire, hdr_len);
    }
}

/* Header and frame into the n buffers of p->in, which go back to the driver: it sees them together,
 * at the end of the round. */
static void fill_buffers(VirtioNetPair *p, const NetFrame *f, const WireHdr *wire, size_t hdr_len,
                         unsigned n)
{
    uint8_t *room = f->niov == 1 ? vq_elem_write_place(p->in[0], hdr_len + f->len) : NULL;

    if (G_LIKELY(room)) { /* all in one piece: n is 1 */
        copy_header(room, wire, hdr_len);
        memcpy(room + hdr_len, f->iov->iov_base, f->len);
        virtqueue_fill(p->in[0]);
        return;
    }
    vq_elem_write_some(p->in[0], wire, hdr_len);
    copy_frame(p, f);
    for (unsigned i = 0; i < n; i++) {
        virtqueue_fill(p->in[i]);
    }
}

static int put_frame(VirtioNet *s, VirtioNetPair *p, const NetFrame *f, NetHash hash)
{
    size_t hdr_len = virtio_net_hdr_len(s);
    unsigned n;
    int how = take_buffers(s, p, hdr_len + f->len, &n);
    WireHdr wire;

    if (how != TAKEN) {
        return how;
    }
    make_header(s, f, hash, n, &wire);
    fill_buffers(p, f, &wire, hdr_len, n);
    if (p->received++ == 0) { /* else it is scheduled */
        loop_bh_schedule(p->round);
    }
    if (G_UNLIKELY(f->len >= SHOWN_AT_ONCE)) {
        virtio_net_rx_round(p);
    }
    return TAKEN;
}

/* --- which frames, which queue --- */

static bool is_there(const VirtioNetPair *p)
{
    return virtqueue_enabled(p->rx);
}

/* Is it served where we are? */
static bool is_near(const VirtioNetPair *p, const VirtioNetPair *here)
{
    return virtio_queue_loop(p->rx) == virtio_queue_loop(here->rx);
}

/*
 * The backend's choice of queue is that of the flow: what the driver sends on transmitq n comes
 * back on queue n of the backend. RSS chooses itself, and has all pairs on one loop. NULL: the
 * frame is dropped.
 */
static VirtioNetPair *choose_pair(VirtioNet *s, VirtioNetPair *own, NetHash hash)
{
    unsigned n = s->cur_pairs;

    if (G_UNLIKELY(s->steer)) {
        unsigned i = net_rss_queue(&s->rss, hash);

        return i < s->n_pairs && is_there(&s->pairs[i]) ? &s->pairs[i] : NULL;
    }
    if (G_LIKELY(own->index < n && is_there(own))) {
        return own;
    }
    for (unsigned i = 0; i < n; i++) {
        VirtioNetPair *p = &s->pairs[(own->index + i) % n];

        if (is_there(p) && is_near(p, own)) {
            return p;
        }
    }
    return NULL;
}

/* §5.1.4.1: what was segmented, or will be, may be larger. A VLAN tag belongs to the header. */
static bool is_too_large(const VirtioNet *s, const NetFrame *f, const uint8_t *head)
{
    size_t most = (size_t)s->host_mtu + ETH_HLEN;

    if (!virtio_has_feature(&s->parent_obj, VIRTIO_NET_F_MTU) ||
        (f->hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) != VIRTIO_NET_HDR_GSO_NONE) {
        return false;
    }
    if (head[12] == ETH_P_8021Q >> 8 && head[13] == (ETH_P_8021Q & 0xff)) {
        most += 4;
    }
    return f->len > most;
}

static bool drop(VirtioNet *s)
{
    virtio_net_count(&s->stats.rx_dropped, 1);
    return true;
}

/* The frame's first bytes in one piece, which filter and hash look at; copied where they are not.
 */
static const uint8_t *first_bytes(VirtioNetPair *p, const NetFrame *f, size_t want, size_t *ret_len)
{
    if (G_LIKELY(f->iov[0].iov_len >= MIN(want, f->len))) {
        *ret_len = f->iov[0].iov_len;
        return f->iov[0].iov_base;
    }
    *ret_len = net_frame_read(f, 0, p->head, want);
    return p->head;
}

bool virtio_net_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    VirtioNet *s = opaque;
    bool hashing;
    size_t len;
    const uint8_t *head;
    NetHash hash = {0};
    VirtioNetPair *own = &s->pairs[queue], *p;

    if (!s->running) {
        return false;
    }
    if (!virtio_running(VIRTIO_DEVICE(s))) {
        return drop(s);
    }
    hashing = s->steer || virtio_has_feature(VIRTIO_DEVICE(s), VIRTIO_NET_F_HASH_REPORT);
    head = first_bytes(own, f, hashing ? NET_RSS_HEAD : NET_FILTER_HEAD, &len);
    if (!net_rx_filter_accepts(&s->filter, head, len)) {
        virtio_net_count(&s->stats.rx_filtered, 1);
        return true;
    }
    if (G_UNLIKELY(hashing)) {
        hash = net_rss_hash(&s->rss, head, len);
    }
    p = choose_pair(s, own, hash);
    if (!p || is_too_large(s, f, head)) {
        return drop(s);
    }
    switch (put_frame(s, p, f, hash)) {
    case NO_ROOM:
        p->waiting |= UINT64_C(1) << queue;
        return false;
    case DROPPED:
        return drop(s);
    default:
        return true;
    }
}

/* --- when --- */

void virtio_net_rx_round(void *opaque)
{
    VirtioNetPair *p = opaque;
    uint32_t n = p->received;

    p->received = 0;
    virtio_net_notify(&p->rx_coal, n);
}

static void wake_backend(VirtioNetPair *p)
{
    uint64_t waiting = p->waiting;

    p->waiting = 0;
    while (waiting) {
        net_receive_ready(p->s->user, (unsigned)__builtin_ctzll(waiting));
        waiting &= waiting - 1;
    }
}

void virtio_net_rx_retry(VirtioNet *s)
{
    for (unsigned i = 0; i < s->n_pairs; i++) {
        wake_backend(&s->pairs[i]);
    }
}

/* Kicks are of no use until buffers run out. */
void virtio_net_handle_rx(VirtioNet *s, VirtioNetPair *p)
{
    virtqueue_disable_kicks(p->rx);
    wake_backend(p);
}

void virtio_net_rx_drop(VirtioNetPair *p)
{
    loop_bh_cancel(p->round);
    p->received = 0;
    wake_backend(p); /* its frame goes to another queue, or is dropped */
}
