/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames as datagrams. A peer that is not there loses them.
 */
#include <errno.h>
#include <string.h>

#include "backends/net-sock.h"

enum { BATCH = 32, READS = 64 };

static bool is_full(int errnum)
{
    return errnum == EAGAIN || errnum == ENOBUFS;
}

/* The frame at the head cannot be sent: what becomes of it. True: it is lost. */
static bool lose(NetSock *s, const NetFrame *f, int errnum)
{
    NetBackend *b = &s->parent_obj;

    if (is_full(errnum)) {
        return false;
    }
    if (errnum == ECONNREFUSED || errnum == ENOENT || errnum == ECONNRESET) {
        net_count_lost(b, 0, f, 1, false); /* nobody is there */
    } else {
        net_count_lost(b, 0, f, 1, true);
        log_warn_rated(&s->rate, "netdev '%s': cannot send: %s", net_backend_id(b),
                       g_strerror(errnum));
    }
    return true;
}

static int send_batch(NetSock *s, const NetFrame *frames, unsigned n)
{
    struct mmsghdr msgs[BATCH];
    int sent;

    for (unsigned i = 0; i < n; i++) {
        msgs[i] = (struct mmsghdr){
            .msg_hdr = {.msg_iov = (struct iovec *)frames[i].iov, .msg_iovlen = frames[i].niov}};
        if (s->remote.len) {
            msgs[i].msg_hdr.msg_name = &s->remote.addr;
            msgs[i].msg_hdr.msg_namelen = s->remote.len;
        }
    }
    do {
        sent = sendmmsg(s->fd, msgs, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    return sent;
}

unsigned sock_dgram_send(NetSock *s, const NetFrame *frames, unsigned n)
{
    unsigned done = 0;

    while (done < n) {
        int sent = send_batch(s, frames + done, MIN(n - done, BATCH));

        if (sent > 0) {
            done += (unsigned)sent;
        } else if (lose(s, frames + done, errno)) {
            done++;
        } else {
            s->blocked = true;
            sock_watch(s);
            break;
        }
    }
    return done;
}

void sock_dgram_readable(NetSock *s)
{
    for (unsigned i = 0; i < READS && !s->paused; i++) {
        /* one byte more than the longest frame: a longer one is seen as such */
        ssize_t n = recv(s->fd, s->in, NET_FRAME_MAX + 1, MSG_DONTWAIT);

        if (n < 0) {
            if (errno == EINTR || errno == ECONNREFUSED) {
                continue; /* the latter: of something that was sent */
            }
            if (errno != EAGAIN) {
                sock_lost(s, "cannot receive", errno);
            }
            return;
        }
        if (!net_deliver_flat(&s->parent_obj, 0, s->in, (size_t)n)) {
            s->paused = true;
            sock_watch(s);
        }
    }
}
