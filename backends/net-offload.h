/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offloads in software: what a network card would do with a frame that has a NetHdr before it goes out on a wire.
 * Checksums are completed; TCP and UDP segments are cut out of large frames (TSO, USO) and large datagrams are
 * fragmented (UFO). The frame is never written to and its payload is not copied. Nothing is allocated.
 */
#ifndef AEROSTAT_BACKENDS_NET_OFFLOAD_H
#define AEROSTAT_BACKENDS_NET_OFFLOAD_H

#include "backends/net.h"

enum {
    NET_SEG_HEADERS = 512,    /* bytes of headers in front of the payload; frames with more are malformed */
};

/* A frame on its way out. Large: one per queue. */
typedef struct {
    const NetFrame *f;
    unsigned gso;             /* VIRTIO_NET_HDR_GSO_* without ECN; NONE: one frame, its checksum completed */
    bool v6;
    size_t l3, l4;            /* offsets of the IP and TCP or UDP headers */
    size_t payload;           /* offset of what is cut */
    size_t next_header;       /* IPv6: offset of the byte that names the header at l4 */
    size_t at;                /* of the next segment's payload, from payload */
    unsigned n;               /* segments so far */
    uint32_t fragment_id;     /* IPv6 */
    uint16_t udp_check;       /* UFO: of the whole datagram */
    uint8_t hdr[NET_SEG_HEADERS]; /* as the frame has them */
    uint8_t out[NET_SEG_HEADERS + 8]; /* of the present segment */
    struct iovec iov[NET_IOV_MAX + 3];
} NetSegments;

/*
 * Is hdr right for the frame? The checksum's place lies within it; a segment size is not 0; the gso type fits the
 * protocol. VIRTIO 1.4 §5.1.6.2.
 */
bool net_offload_check(const NetFrame *f);
/* Which NET_OFFLOAD_* a frame needs of who is to take it as it is. */
unsigned net_offload_needed(const NetHdr *hdr);
/* How many frames become of it. */
unsigned net_offload_count(const NetFrame *f);

/* Begins with f, which stays valid meanwhile. False: malformed. */
bool net_segments_begin(NetSegments *s, const NetFrame *f);
/* The next plain frame, valid until the next call; false: there is none. */
bool net_segments_next(NetSegments *s, NetFrame *ret_frame);

/* The Internet checksum's sum, continued (RFC 1071): of bytes at an odd place swapped. */
uint32_t net_csum_add(uint32_t sum, const void *buf, size_t len, bool odd);
uint16_t net_csum_fold(uint32_t sum); /* complemented, in network order as the bytes lie in memory */

#endif
