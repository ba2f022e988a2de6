/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Offloads in software: checksums are completed, large frames are cut (net-offload.h). Each frame
 * that goes out is headers of our own and slices of the guest's payload.
 *
 * Left out: tunnels inside of IP (only their checksum can be asked for), and IP options that are
 * copied into some fragments only.
 */
#include "backends/net-offload.h"

#include <string.h>
#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>

enum {
    ETH_HEADER = 14,
    VLAN_TAG = 4,
    IP4_HEADER = 20,
    IP6_HEADER = 40,
    TCP_HEADER = 20,
    UDP_HEADER = 8,
    FRAGMENT_HEADER = 8,
    UDP_CSUM = 6, /* offsets of the checksums in their headers */
    TCP_CSUM = 16,
    TCP_FLAGS = 13,
    IP4_MORE = 0x2000,
    IP6_EXTENSIONS_MAX = 8,
};

enum { TCP_FIN = 0x01, TCP_PSH = 0x08, TCP_CWR = 0x80 };

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

/* --- the Internet checksum --- */

static uint32_t fold64(uint64_t sum)
{
    sum = (sum & UINT32_MAX) + (sum >> 32);
    sum = (sum & UINT32_MAX) + (sum >> 32);
    return (uint32_t)sum;
}

static uint16_t fold32(uint32_t sum)
{
    sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

uint32_t net_csum_add(uint32_t sum, const void *buf, size_t len, bool odd)
{
    const uint8_t *p = buf;
    uint64_t part = 0;
    uint16_t last = 0, folded;
    uint32_t word;

    for (; len >= 4; len -= 4, p += 4) {
        memcpy(&word, p, 4);
        part += word;
    }
    memcpy(&last, p, len >= 2 ? 2 : len);
    part += last;
    if (len == 3) {
        last = 0;
        memcpy(&last, p + 2, 1);
        part += last;
    }
    folded = fold32(fold64(part));
    if (odd) {
        folded = __builtin_bswap16(folded);
    }
    return fold64((uint64_t)sum + folded);
}

uint16_t net_csum_fold(uint32_t sum)
{
    return (uint16_t)~fold32(sum);
}

/* A checksum's bytes into a header; of UDP 0 means "none". */
static void put_csum(uint8_t *p, uint32_t sum)
{
    uint16_t csum = net_csum_fold(sum);

    if (csum == 0) {
        csum = 0xffff;
    }
    memcpy(p, &csum, 2);
}

/* --- a frame's pieces --- */

size_t net_frame_read(const NetFrame *f, size_t at, void *dst, size_t len)
{
    size_t done = 0;

    for (unsigned i = 0; i < f->niov && done < len; i++) {
        size_t n = f->iov[i].iov_len;

        if (at >= n) {
            at -= n;
            continue;
        }
        n = MIN(n - at, len - done);
        memcpy((uint8_t *)dst + done, (const uint8_t *)f->iov[i].iov_base + at, n);
        done += n;
        at = 0;
    }
    return done;
}

/* Bytes [at, at + len) of f as pieces in dst, whose checksum's sum is continued. */
static unsigned slice(const NetFrame *f, size_t at, size_t len, struct iovec *dst, uint32_t *sum)
{
    bool odd = false;
    unsigned n = 0;

    for (unsigned i = 0; i < f->niov && len > 0; i++) {
        size_t piece = f->iov[i].iov_len;

        if (at >= piece) {
            at -= piece;
            continue;
        }
        piece = MIN(piece - at, len);
        dst[n] = (struct iovec){(uint8_t *)f->iov[i].iov_base + at, piece};
        if (sum) {
            *sum = net_csum_add(*sum, dst[n].iov_base, piece, odd);
        }
        odd ^= piece & 1;
        n++;
        len -= piece;
        at = 0;
    }
    return n;
}

static size_t iov_bytes(const struct iovec *iov, unsigned n)
{
    size_t len = 0;

    for (unsigned i = 0; i < n; i++) {
        len += iov[i].iov_len;
    }
    return len;
}

/* --- what a header says --- */

unsigned net_offload_needed(const NetHdr *hdr)
{
    unsigned need = hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM ? NET_OFFLOAD_CSUM : 0;

    switch (hdr->gso_type & ~VIRTIO_NET_HDR_GSO_ECN) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
        need |= NET_OFFLOAD_TSO4;
        break;
    case VIRTIO_NET_HDR_GSO_TCPV6:
        need |= NET_OFFLOAD_TSO6;
        break;
    case VIRTIO_NET_HDR_GSO_UDP:
        need |= NET_OFFLOAD_UFO;
        break;
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        need |= NET_OFFLOAD_USO4 | NET_OFFLOAD_USO6;
        break;
    default:
        break;
    }
    return need | (hdr->gso_type & VIRTIO_NET_HDR_GSO_ECN ? NET_OFFLOAD_ECN : 0);
}

unsigned net_offload_count(const NetFrame *f)
{
    size_t size = f->hdr.gso_size;

    if (f->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE || size == 0 || f->len <= f->hdr.csum_start) {
        return 1;
    }
    return (unsigned)((f->len - f->hdr.csum_start + size - 1) / size);
}

/* Where things are in a frame whose first bytes are p[0..len). */
typedef struct {
    bool v6, fragment;
    uint8_t protocol;
    size_t l3, l4, next_header;
} Place;

static bool find_extensions(const uint8_t *p, size_t len, Place *place)
{
    size_t at = place->l3 + IP6_HEADER;

    place->protocol = p[place->l3 + 6];
    place->next_header = place->l3 + 6;
    for (unsigned i = 0; i < IP6_EXTENSIONS_MAX; i++) {
        if (place->protocol != IPPROTO_HOPOPTS && place->protocol != IPPROTO_ROUTING &&
            place->protocol != IPPROTO_DSTOPTS) {
            place->fragment = place->protocol == IPPROTO_FRAGMENT;
            place->l4 = at;
            return at <= len;
        }
        if (at + 8 > len) {
            return false;
        }
        place->protocol = p[at];
        place->next_header = at;
        at += 8 * ((size_t)p[at + 1] + 1);
    }
    return false;
}

static bool find_place(const uint8_t *p, size_t len, Place *place)
{
    size_t at = ETH_HEADER;
    uint16_t type = get16(p + 12);

    for (unsigned tags = 0; tags < 2 && (type == ETHERTYPE_VLAN || type == 0x88a8); tags++) {
        if (at + VLAN_TAG > len) {
            return false;
        }
        type = get16(p + at + 2);
        at += VLAN_TAG;
    }
    *place = (Place){.l3 = at, .v6 = type == ETHERTYPE_IPV6};
    if (place->v6) {
        return at + IP6_HEADER <= len && p[at] >> 4 == 6 && find_extensions(p, len, place);
    }
    if (type != ETHERTYPE_IP || at + IP4_HEADER > len || p[at] >> 4 != 4 || (p[at] & 15) < 5) {
        return false;
    }
    place->l4 = at + 4 * (size_t)(p[at] & 15);
    place->protocol = p[at + 9];
    place->fragment = get16(p + at + 6) & 0x3fff;
    return place->l4 <= len;
}

static bool type_fits(unsigned gso, const Place *place)
{
    switch (gso) {
    case VIRTIO_NET_HDR_GSO_TCPV4:
    case VIRTIO_NET_HDR_GSO_TCPV6:
        return place->protocol == IPPROTO_TCP && place->v6 == (gso == VIRTIO_NET_HDR_GSO_TCPV6);
    case VIRTIO_NET_HDR_GSO_UDP:
    case VIRTIO_NET_HDR_GSO_UDP_L4:
        return place->protocol == IPPROTO_UDP;
    default:
        return false;
    }
}

/* The frame is one that can be cut as its header says; *ret_payload is where the payload begins. */
static bool parse_large(const NetFrame *f, const uint8_t *p, size_t len, Place *place,
                        size_t *ret_payload)
{
    unsigned gso = f->hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
    size_t l4_len = UDP_HEADER;

    if (!f->hdr.gso_size || !(f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
        !find_place(p, len, place) || place->fragment || !type_fits(gso, place) ||
        f->hdr.csum_start != place->l4) {
        return false;
    }
    if (place->protocol == IPPROTO_TCP) {
        if (place->l4 + TCP_HEADER > len) {
            return false;
        }
        l4_len = 4 * (size_t)(p[place->l4 + 12] >> 4);
        if (l4_len < TCP_HEADER || f->hdr.csum_offset != TCP_CSUM) {
            return false;
        }
    } else if (f->hdr.csum_offset != UDP_CSUM || (f->hdr.gso_type & VIRTIO_NET_HDR_GSO_ECN) ||
               (gso == VIRTIO_NET_HDR_GSO_UDP && f->hdr.gso_size < 8)) {
        return false; /* fragments are multiples of 8 bytes */
    }
    *ret_payload = place->l4 + l4_len;
    return *ret_payload <= len;
}

/* The frame's first bytes: in place where they are in one piece. */
static const uint8_t *headers(const NetFrame *f, uint8_t *room, size_t *ret_len)
{
    *ret_len = MIN(f->len, NET_SEG_HEADERS);
    if (f->iov[0].iov_len >= *ret_len) {
        return f->iov[0].iov_base;
    }
    net_frame_read(f, 0, room, *ret_len);
    return room;
}

bool net_offload_check(const NetFrame *f)
{
    const NetHdr *h = &f->hdr;
    uint8_t room[NET_SEG_HEADERS];
    size_t len, payload;
    Place place;

    if ((h->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) &&
        (h->csum_start < ETH_HEADER || (size_t)h->csum_start + h->csum_offset + 2 > f->len)) {
        return false;
    }
    if (h->gso_type == VIRTIO_NET_HDR_GSO_NONE) {
        return true;
    }
    if (f->len < ETH_HEADER) {
        return false;
    }
    const uint8_t *p = headers(f, room, &len);

    return parse_large(f, p, len, &place, &payload);
}

/* --- cutting --- */

static bool begin_large(NetSegments *s)
{
    const NetFrame *f = s->f;
    size_t len = net_frame_read(f, 0, s->hdr, MIN(f->len, NET_SEG_HEADERS));
    Place place;

    /* From our copy, which the guest cannot change any more. */
    if (len < ETH_HEADER || !parse_large(f, s->hdr, len, &place, &s->payload)) {
        return false;
    }
    s->v6 = place.v6;
    s->l3 = place.l3;
    s->l4 = place.l4;
    s->next_header = place.next_header;
    return true;
}

/* The sum of the pseudo header for an L4 packet of len bytes. */
static uint32_t pseudo_sum(const NetSegments *s, uint8_t protocol, size_t len)
{
    const uint8_t *ip = s->hdr + s->l3;
    uint8_t tail[8] = {0};
    uint32_t sum = s->v6 ? net_csum_add(0, ip + 8, 32, false) : net_csum_add(0, ip + 12, 8, false);

    put32(tail, (uint32_t)len);
    tail[7] = protocol;
    return net_csum_add(sum, tail, sizeof tail, false);
}

bool net_segments_begin(NetSegments *s, const NetFrame *f)
{
    s->f = f;
    s->gso = f->hdr.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;
    s->at = 0;
    s->n = 0;
    if (f->hdr.gso_type != VIRTIO_NET_HDR_GSO_NONE && !begin_large(s)) {
        return false;
    }
    if (s->gso == VIRTIO_NET_HDR_GSO_UDP) { /* one checksum for all fragments */
        size_t l4_len = f->len - s->l4;
        uint8_t *udp = s->hdr + s->l4;
        uint32_t sum;

        put16(udp + 4, (uint16_t)l4_len);
        put16(udp + UDP_CSUM, 0);
        sum = net_csum_add(pseudo_sum(s, IPPROTO_UDP, l4_len), udp, UDP_HEADER, false);
        slice(f, s->payload, f->len - s->payload, s->iov, &sum);
        put_csum(udp + UDP_CSUM, sum);
        /* Of what is sent alone: cutting may begin again in mid-datagram, from a copy of f. */
        s->fragment_id = net_csum_add(get32(udp), udp + 4, 4, false);
    }
    return true;
}

/* IP's lengths for a packet that ends len bytes behind s->l4, with the id and checksum of IPv4. */
static void set_ip(const NetSegments *s, uint8_t *out, size_t len, uint16_t id_add, uint16_t frag)
{
    uint8_t *ip = out + s->l3;
    size_t header = s->l4 - s->l3;

    if (s->v6) {
        put16(ip + 4, (uint16_t)(header - IP6_HEADER + len));
        return;
    }
    put16(ip + 2, (uint16_t)(header + len));
    put16(ip + 4, (uint16_t)(get16(s->hdr + s->l3 + 4) + id_add));
    if (s->gso == VIRTIO_NET_HDR_GSO_UDP) {
        put16(ip + 6, frag);
    }
    memset(ip + 10, 0, 2);
    uint16_t csum = net_csum_fold(net_csum_add(0, ip, header, false));

    memcpy(ip + 10, &csum, 2);
}

static void set_tcp(const NetSegments *s, uint8_t *tcp, bool last)
{
    put32(tcp + 4, get32(s->hdr + s->l4 + 4) + (uint32_t)s->at);
    if (!last) {
        tcp[TCP_FLAGS] &= (uint8_t) ~(TCP_FIN | TCP_PSH);
    }
    if (s->at > 0) {
        tcp[TCP_FLAGS] &= (uint8_t)~TCP_CWR;
    }
}

/* A TCP segment, or a datagram of a row of them: headers anew, a slice of the payload. */
static void next_segment(NetSegments *s, size_t len, bool last, NetFrame *ret)
{
    bool tcp = s->gso != VIRTIO_NET_HDR_GSO_UDP_L4;
    size_t l4_header = s->payload - s->l4;
    uint8_t *l4 = s->out + s->l4;
    uint32_t sum;
    unsigned n;

    memcpy(s->out, s->hdr, s->payload);
    set_ip(s, s->out, l4_header + len, (uint16_t)s->n, 0);
    if (tcp) {
        set_tcp(s, l4, last);
    } else {
        put16(l4 + 4, (uint16_t)(UDP_HEADER + len));
    }
    memset(l4 + s->f->hdr.csum_offset, 0, 2);
    sum = pseudo_sum(s, tcp ? IPPROTO_TCP : IPPROTO_UDP, l4_header + len);
    sum = net_csum_add(sum, l4, l4_header, false);
    s->iov[0] = (struct iovec){s->out, s->payload};
    /* The header has an even length, so the payload's sum goes on as it is. */
    n = slice(s->f, s->payload + s->at, len, s->iov + 1, &sum);
    put_csum(l4 + s->f->hdr.csum_offset, sum);
    *ret = (NetFrame){.iov = s->iov, .niov = n + 1, .len = s->payload + len};
}

/* A fragment of a datagram; the first carries the UDP header. Offsets count from that header. */
static void next_fragment(NetSegments *s, size_t len, bool last, NetFrame *ret)
{
    size_t head = s->l4, offset = s->at;
    unsigned n = 0;

    memcpy(s->out, s->hdr, s->l4);
    if (s->v6) {
        uint8_t *fragment = s->out + s->l4;

        fragment[0] = s->out[s->next_header];
        fragment[1] = 0;
        put16(fragment + 2, (uint16_t)(offset | !last));
        put32(fragment + 4, s->fragment_id);
        s->out[s->next_header] = IPPROTO_FRAGMENT;
        head += FRAGMENT_HEADER;
        set_ip(s, s->out, FRAGMENT_HEADER + len, 0, 0);
    } else {
        set_ip(s, s->out, len, 0, (uint16_t)(offset >> 3 | (last ? 0 : IP4_MORE)));
    }
    if (offset == 0) {
        memcpy(s->out + head, s->hdr + s->l4, UDP_HEADER);
        head += UDP_HEADER;
        n = slice(s->f, s->payload, len - UDP_HEADER, s->iov + 1, NULL);
        ret->len = head + len - UDP_HEADER;
    } else {
        n = slice(s->f, s->l4 + offset, len, s->iov + 1, NULL);
        ret->len = head + len;
    }
    s->iov[0] = (struct iovec){s->out, head};
    *ret = (NetFrame){.iov = s->iov, .niov = n + 1, .len = ret->len};
}

/* One frame whose checksum is filled in; where that is, is the guest's choice. */
static void complete(NetSegments *s, NetFrame *ret)
{
    const NetFrame *f = s->f;
    size_t start = f->hdr.csum_start, field = start + f->hdr.csum_offset;
    uint32_t sum = 0;
    unsigned n;

    if (!(f->hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        *ret = *f;
        ret->hdr = (NetHdr){0};
        return;
    }
    slice(f, start, f->len - start, s->iov, &sum);
    put_csum(s->out, sum);
    n = slice(f, 0, field, s->iov, NULL);
    s->iov[n++] = (struct iovec){s->out, 2};
    n += slice(f, field + 2, f->len - field - 2, s->iov + n, NULL);
    *ret = (NetFrame){.iov = s->iov, .niov = n, .len = iov_bytes(s->iov, n)};
}

bool net_segments_next(NetSegments *s, NetFrame *ret_frame)
{
    size_t all, len, size = s->f->hdr.gso_size;
    bool fragments = s->gso == VIRTIO_NET_HDR_GSO_UDP;

    if (s->gso == VIRTIO_NET_HDR_GSO_NONE) {
        if (s->n > 0) {
            return false;
        }
        complete(s, ret_frame);
        s->n++;
        return true;
    }
    all = s->f->len - (fragments ? s->l4 : s->payload);
    if (s->at >= all && s->n > 0) {
        return false;
    }
    len = MIN(fragments ? size & ~(size_t)7 : size, all - s->at);
    if (fragments) {
        next_fragment(s, len, s->at + len == all, ret_frame);
    } else {
        next_segment(s, len, s->at + len == all, ret_frame);
    }
    s->at += len;
    s->n++;
    return true;
}
