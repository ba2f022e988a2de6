/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * From the driver to the network (VIRTIO 1.4 §5.1.6.2). Frames are not copied: the backend gets the
 * buffers as they lie, many at once. What it cannot take stays out of the ring until it can, at
 * most a batch; the rest stays in the ring.
 */
#include "backends/net-offload.h"
#include "core/log.h"
#include "hw/virtio/virtio-net-internal.h"

/* --- on the wire (§5.1.6) --- */

typedef struct {
    uint8_t flags, gso_type;
    Le16 hdr_len, gso_size, csum_start, csum_offset;
} WireHdr;

G_STATIC_ASSERT(sizeof(WireHdr) == sizeof(struct virtio_net_hdr));

/* Fields mean something only where flags and type say so; all else is as if it were 0. */
static bool parse_header(const WireHdr *wire, NetHdr *ret_hdr)
{
    *ret_hdr = (NetHdr){0};
    if (wire->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) {
        ret_hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
        ret_hdr->csum_start = le16_get(wire->csum_start);
        ret_hdr->csum_offset = le16_get(wire->csum_offset);
    }
    if (wire->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        return true;
    }
    ret_hdr->gso_type = wire->gso_type;
    ret_hdr->gso_size = le16_get(wire->gso_size);
    ret_hdr->hdr_len = le16_get(wire->hdr_len);
    switch (wire->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV6:
    case VIRTIO_NET_HDR_GSO_UDP:
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return true;
    default:
        return false;
    }
}

/* --- the batch --- */

enum { SEGMENTS = 64 }; /* more than a frame has of a usual size */

/* Appends a request to the batch, unless the driver broke the protocol or the frame is dropped.
 * Returns how many usual frames' work that is: many for very many segments, which may be cut here.
 */
static uint32_t take(VirtioNet *s, VirtioNetPair *p, VqElem *e)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    NetFrame *f = &p->frames[p->n_out];
    size_t hdr_len = virtio_net_hdr_len(s);
    WireHdr wire;

    if (!vq_elem_read(e, &wire, sizeof wire) || !vq_elem_skip_out(e, hdr_len - sizeof wire)) {
        virtio_error(vdev, "queue %u: a frame without its header of %zu bytes",
                     virtqueue_index(p->tx), hdr_len);
        virtqueue_detach(e);
        return 1;
    }
    if (!parse_header(&wire, &f->hdr)) {
        log_guest("virtio-net: segments of the unknown kind 0x%x", wire.gso_type);
        virtio_net_count(&s->stats.tx_errors, 1);
        virtqueue_fill(e);
        return 1;
    }
    f->len = vq_elem_out_left(e);
    f->iov = vq_elem_out_iov(e, &f->niov);
    p->out[p->n_out++] = e;
    return f->hdr.gso_type ? 1 + net_offload_count(f) / SEGMENTS : 1;
}

/* Fills the batch from the ring, with about *left frames' work, which is taken off; how many frames
 * were taken out of it. */
static unsigned collect(VirtioNet *s, VirtioNetPair *p, uint32_t *left)
{
    uint32_t work = 0, most = *left;
    unsigned n = 0;
    VqElem *e;

    p->next = 0;
    while (n < VIRTIO_NET_BATCH && work < most && (e = virtqueue_pop(p->tx))) {
        n++;
        work += take(s, p, e);
    }
    *left -= MIN(most, work);
    return n;
}

/* Hands the batch to the backend; false: it took less than all. */
static bool send_batch(VirtioNet *s, VirtioNetPair *p)
{
    unsigned sent = p->n_out;

    if (s->user) {
        sent = net_send(s->user, p->index, p->frames + p->next, p->n_out);
    }
    for (unsigned i = 0; i < sent; i++) {
        virtqueue_fill(p->out[p->next + i]);
    }
    p->next += sent;
    p->n_out -= sent;
    p->blocked = p->n_out > 0;
    return !p->blocked;
}

/* What waits, then what is in the ring, about *left frames, which are taken off. True: there may be
 * more. */
static bool send_burst(VirtioNet *s, VirtioNetPair *p, uint32_t *left, uint32_t *ret_done)
{
    unsigned n;

    *ret_done = 0;
    if (p->n_out > 0) {
        *ret_done = p->n_out;
        if (!send_batch(s, p)) {
            *ret_done -= p->n_out;
            return false;
        }
    }
    while (*left > 0) {
        n = collect(s, p, left);
        if (n == 0) {
            return false;
        }
        *ret_done += n;
        if (!send_batch(s, p)) {
            *ret_done -= p->n_out;
            return false;
        }
    }
    return true;
}

/* With kicks off while there is something to do; while the backend is full they stay off. A driver
 * that always has one more frame when kicks are on again gets a burst, too, not all of the loop's
 * time. */
static void transmit(VirtioNet *s, VirtioNetPair *p)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);
    uint32_t left = (uint32_t)s->tx_burst, done;

    if (!s->running) { /* there is a call when the VM goes on */
        return;
    }
    if (!virtio_running(vdev)) {
        virtio_queue_run_later(vdev, p->tx);
        return;
    }
    virtqueue_disable_kicks(p->tx);
    do {
        bool more = send_burst(s, p, &left, &done);

        virtio_net_notify(&p->tx_coal, done);
        if (more || (left == 0 && !p->blocked)) {
            virtio_queue_run_later(vdev, p->tx);
            return;
        }
    } while (!p->blocked && virtqueue_enable_kicks(p->tx));
}

/* --- when --- */

void virtio_net_handle_tx(VirtioNet *s, VirtioNetPair *p)
{
    if (p->blocked) {
        return;
    }
    if (!p->tx_timer) {
        transmit(s, p);
    } else if (!loop_timer_armed(p->tx_timer)) {
        loop_timer_arm_in(p->tx_timer, s->tx_txtimer);
        virtqueue_disable_kicks(p->tx);
    } else { /* the driver kicked all the same: it has waited long enough */
        loop_timer_cancel(p->tx_timer);
        transmit(s, p);
    }
}

void virtio_net_tx_timeout(void *opaque)
{
    VirtioNetPair *p = opaque;

    transmit(p->s, p);
}

void virtio_net_send_ready(void *opaque, unsigned queue)
{
    VirtioNet *s = opaque;
    VirtioNetPair *p = &s->pairs[queue];

    p->blocked = false;
    if (p->n_out > 0) {
        transmit(s, p);
    }
}

void virtio_net_tx_give_up(VirtioNetPair *p)
{
    virtio_net_count(&p->s->stats.tx_errors, p->n_out);
    for (; p->n_out > 0; p->n_out--) {
        virtqueue_fill(p->out[p->next++]);
    }
    virtio_net_tx_drop(p);
}

void virtio_net_tx_drop(VirtioNetPair *p)
{
    while (p->n_out > 0) {
        virtqueue_detach(p->out[p->next + --p->n_out]);
    }
    p->next = 0;
    p->blocked = false;
    if (p->tx_timer) {
        loop_timer_cancel(p->tx_timer);
    }
}
