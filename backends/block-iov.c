/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Iovecs of block requests: copies, zeroes and parts.
 */
#include "backends/block-impl.h"

#include <string.h>

/* A part of an iovec: len bytes that begin at byte `at`. */
typedef struct {
    const struct iovec *iov, *end;
    uint64_t at, len;
} Part;

/* The next piece of it; false: that was all. */
static bool next_piece(Part *p, struct iovec *ret_piece)
{
    while (p->iov < p->end && p->at >= p->iov->iov_len) {
        p->at -= p->iov->iov_len;
        p->iov++;
    }
    if (p->iov == p->end || p->len == 0) {
        return false;
    }
    *ret_piece =
        (struct iovec){(char *)p->iov->iov_base + p->at, MIN(p->iov->iov_len - p->at, p->len)};
    p->len -= ret_piece->iov_len;
    p->at = 0;
    p->iov++;
    return true;
}

unsigned block_iov_slice(struct iovec *dst, const struct iovec *iov, unsigned niov, uint64_t at,
                         uint64_t len)
{
    Part p = {iov, iov + niov, at, len};
    struct iovec piece; /* dst has room for what there is, and for nothing more */
    unsigned n = 0;

    while (next_piece(&p, &piece)) {
        dst[n++] = piece;
    }
    return n;
}

/* Calls fn for the pieces of memory behind a part of an iovec. */
static void each_piece(const struct iovec *iov, unsigned niov, uint64_t at, uint64_t len,
                       void (*fn)(void *piece, size_t n, char **flat), char *flat)
{
    Part p = {iov, iov + niov, at, len};
    struct iovec piece;

    while (next_piece(&p, &piece)) {
        fn(piece.iov_base, piece.iov_len, &flat);
    }
}

static void piece_out(void *piece, size_t n, char **flat)
{
    memcpy(*flat, piece, n);
    *flat += n;
}

static void piece_in(void *piece, size_t n, char **flat)
{
    memcpy(piece, *flat, n);
    *flat += n;
}

static void piece_zero(void *piece, size_t n, char **flat)
{
    memset(piece, 0, n);
}

void block_iov_copy_out(const struct iovec *iov, unsigned niov, uint64_t at, void *dst, size_t len)
{
    each_piece(iov, niov, at, len, piece_out, dst);
}

void block_iov_copy_in(const struct iovec *iov, unsigned niov, uint64_t at, const void *src,
                       size_t len)
{
    each_piece(iov, niov, at, len, piece_in, (char *)src);
}

void block_iov_zero(const struct iovec *iov, unsigned niov, uint64_t at, uint64_t len)
{
    each_piece(iov, niov, at, len, piece_zero, NULL);
}

bool block_iov_is_zero(const struct iovec *iov, unsigned niov)
{
    for (unsigned i = 0; i < niov; i++) {
        const char *p = iov[i].iov_base;
        size_t len = iov[i].iov_len, head = MIN(len, 16);

        for (size_t k = 0; k < head; k++) {
            if (p[k]) {
                return false;
            }
        }
        if (len > head && memcmp(p, p + head, len - head) != 0) {
            return false;
        }
    }
    return true;
}
