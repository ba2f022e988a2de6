/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Iovecs of block requests: copies, zeroes and parts.
 */
#include "backends/block-impl.h"

#include <string.h>

unsigned block_iov_slice(struct iovec *dst, const struct iovec *iov, unsigned niov, uint64_t at,
                         uint64_t len)
{
    unsigned n = 0;

    for (unsigned i = 0; i < niov && len > 0; i++) {
        size_t part;

        if (at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - at, len);
        dst[n++] = (struct iovec){(char *)iov[i].iov_base + at, part};
        len -= part;
        at = 0;
    }
    return n;
}

/* Calls fn for the pieces of memory behind a part of an iovec. */
static void each_piece(const struct iovec *iov, unsigned niov, uint64_t at, uint64_t len,
                       void (*fn)(void *piece, size_t n, char **flat), char *flat)
{
    for (unsigned i = 0; i < niov && len > 0; i++) {
        size_t part;

        if (at >= iov[i].iov_len) {
            at -= iov[i].iov_len;
            continue;
        }
        part = MIN(iov[i].iov_len - at, len);
        fn((char *)iov[i].iov_base + at, part, &flat);
        len -= part;
        at = 0;
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
