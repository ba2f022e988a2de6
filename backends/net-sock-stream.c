/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Frames on a stream: each behind its length, 4 bytes, big-endian. Many frames go out by one system
 * call; the rest of one that is partly out is kept and goes first.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include "backends/net-sock.h"

enum {
    BATCH = 64,       /* frames of a system call */
    BATCH_IOV = 1024, /* the kernel's IOV_MAX */
};

/* --- out --- */

static ssize_t send_iov(NetSock *s, struct iovec *iov, unsigned niov)
{
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = niov};
    ssize_t n;

    do {
        n = sendmsg(s->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* False: there is more, or the peer is gone. */
static bool flush(NetSock *s)
{
    while (s->out_len > 0) {
        struct iovec iov = {s->out + s->out_at, s->out_len};
        ssize_t n = send_iov(s, &iov, 1);

        if (n < 0) {
            if (errno != EAGAIN) {
                sock_lost(s, "the connection is gone", errno);
            }
            return false;
        }
        s->out_at += (size_t)n;
        s->out_len -= (size_t)n;
    }
    return true;
}

void sock_stream_writable(NetSock *s)
{
    if (flush(s)) {
        s->blocked = false;
        sock_watch(s);
        net_backend_writable(&s->parent_obj, 0);
    }
}

/* Keeps what is not out of an iovec. */
static void keep_rest(NetSock *s, const struct iovec *iov, unsigned niov, size_t skip)
{
    const NetFrame rest = {.iov = iov, .niov = niov};

    s->out_at = 0;
    s->out_len = net_frame_read(&rest, skip, s->out, SOCK_LENGTH + NET_FRAME_MAX);
}

typedef struct {
    struct iovec iov[BATCH_IOV + 1];
    uint32_t lengths[BATCH];
    unsigned first[BATCH + 1]; /* the entry of iov that each frame begins with */
} Batch;

/* As many frames as fit; at least one, for one has at most NET_IOV_MAX pieces. */
static unsigned gather(Batch *b, const NetFrame *frames, unsigned n)
{
    unsigned niov = 0, k;

    for (k = 0; k < n && k < BATCH && (k == 0 || niov + 1 + frames[k].niov <= BATCH_IOV); k++) {
        b->first[k] = niov;
        b->lengths[k] = htonl((uint32_t)frames[k].len);
        b->iov[niov++] = (struct iovec){&b->lengths[k], SOCK_LENGTH};
        memcpy(b->iov + niov, frames[k].iov, frames[k].niov * sizeof *b->iov);
        niov += frames[k].niov;
    }
    b->first[k] = niov;
    return k;
}

/* Of a batch whose first `sent` bytes are out: how many frames that is, with one that is out in
 * part and whose rest is kept. */
static unsigned settle(NetSock *s, const Batch *b, const NetFrame *frames, unsigned n, size_t sent)
{
    for (unsigned k = 0; k < n; k++) {
        size_t len = SOCK_LENGTH + frames[k].len;

        if (sent < len) {
            if (sent > 0) {
                keep_rest(s, b->iov + b->first[k], b->first[k + 1] - b->first[k], sent);
            }
            return k + (sent > 0);
        }
        sent -= len;
    }
    return n;
}

unsigned sock_stream_send(NetSock *s, const NetFrame *frames, unsigned n)
{
    unsigned done = 0;
    Batch b;

    while (done < n && !s->blocked) {
        unsigned k = gather(&b, frames + done, n - done), taken;
        ssize_t sent = send_iov(s, b.iov, MIN(b.first[k], BATCH_IOV));

        if (sent < 0 && errno != EAGAIN) {
            net_count_lost(&s->parent_obj, 0, frames + done, n - done, false);
            sock_lost(s, "the connection is gone", errno);
            return n;
        }
        taken = settle(s, &b, frames + done, k, sent < 0 ? 0 : (size_t)sent);
        done += taken;
        if (taken < k || s->out_len > 0) {
            s->blocked = true;
            sock_watch(s);
        }
    }
    return done;
}

/* --- in --- */

static uint32_t length_at(const uint8_t *p)
{
    uint32_t len;

    memcpy(&len, p, sizeof len);
    return ntohl(len);
}

/* Delivers the whole frames of what was read. False: stop, the card is full or the peer is gone. */
static bool deliver_all(NetSock *s)
{
    while (s->in_len >= SOCK_LENGTH) {
        uint32_t len = length_at(s->in + s->in_at);
        bool more;

        if (len > NET_FRAME_MAX) {
            sock_lost(s, "the peer sent a frame that is too long; the connection is closed", 0);
            return false;
        }
        if (s->in_len < SOCK_LENGTH + len) {
            return true;
        }
        more = net_deliver_flat(&s->parent_obj, 0, s->in + s->in_at + SOCK_LENGTH, len);
        s->in_at += SOCK_LENGTH + len;
        s->in_len -= SOCK_LENGTH + len;
        if (!more) {
            s->paused = true;
            sock_watch(s);
            return false;
        }
    }
    return true;
}

void sock_stream_readable(NetSock *s)
{
    ssize_t n;

    memmove(s->in, s->in + s->in_at, s->in_len);
    s->in_at = 0;
    n = recv(s->fd, s->in + s->in_len, SOCK_IN - s->in_len, MSG_DONTWAIT);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR) {
            sock_lost(s, "the connection is gone", errno);
        }
        return;
    }
    if (n == 0) {
        sock_lost(s,
                  s->in_len > 0 ? "the peer closed the connection in the middle of a frame"
                                : "the peer closed the connection",
                  0);
        return;
    }
    s->in_len += (size_t)n;
    deliver_all(s);
}

void sock_stream_resume(NetSock *s)
{
    deliver_all(s);
}

/* Whole frames wait for the card, which cannot have them any more; the last one is in part, or no
 * frame at all. */
void sock_stream_forget(NetSock *s)
{
    while (s->in_len >= SOCK_LENGTH) {
        uint32_t len = length_at(s->in + s->in_at);

        if (s->in_len - SOCK_LENGTH < len) {
            break;
        }
        net_count_dropped(&s->parent_obj, 0, NET_DIR_RX, 1);
        s->in_at += SOCK_LENGTH + len;
        s->in_len -= SOCK_LENGTH + len;
    }
    if (s->in_len > 0) {
        net_count_errors(&s->parent_obj, 0, NET_DIR_RX, 1);
    }
    if (s->out_len > 0) {
        net_count_dropped(&s->parent_obj, 0, NET_DIR_TX, 1);
    }
    s->in_len = s->out_len = 0;
}
