/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends whose frames the kernel may move by itself.
 */
#include "backends/net-impl.h"

bool net_has_vhost(const NetBackend *b)
{
    const NetBackendClass *k = NET_BACKEND_GET_CLASS(b);

    return k->vhost && k->vhost(b, 0);
}

Vhost *net_vhost(const NetUser *u, unsigned queue)
{
    return u->backend && net_has_vhost(u->backend)
               ? NET_BACKEND_GET_CLASS(u->backend)->vhost(u->backend, queue)
               : NULL;
}

/* What was kept for a queue that the kernel serves would come much later, or never. */
static void drop_kept(NetQueue *q)
{
    if (q->rx.len) {
        net_count_dropped(q->b, q->index, NET_DIR_RX, 1);
    }
    if (q->tx.len) {
        net_count_dropped(q->b, q->index, NET_DIR_TX, 1);
    }
    q->rx.len = q->tx.len = 0;
    q->rx_cut = 0;
    q->rx_stopped = q->tx_blocked = false;
}

int net_vhost_begin(NetUser *u, unsigned queue, size_t hdr_len, void (*leave)(void *opaque),
                    GError **err)
{
    NetBackend *b = u->backend;
    int fd = NET_BACKEND_GET_CLASS(b)->vhost_begin(b, queue, hdr_len, err);

    if (fd >= 0) {
        drop_kept(&b->queues[queue]);
        u->leave_vhost = leave;
    }
    return fd;
}

void net_vhost_end(NetUser *u, unsigned queue)
{
    NET_BACKEND_GET_CLASS(u->backend)->vhost_end(u->backend, queue);
}

void net_vhost_leave(NetBackend *b)
{
    if (b->user->leave_vhost) {
        b->user->leave_vhost(b->user->ops.opaque);
    }
}
