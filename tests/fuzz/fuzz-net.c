/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Network backends: bytes of a stream that may be frames, in the bits and to the card that the
 * input chooses, and frames with headers of any kind on their way through the offloads in software.
 * The first byte says which.
 *
 * A stream's frames are counted by a parser of the target's own. What is cut adds up, segment by
 * segment, and no segment is larger than its header allows.
 */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "backends/net-impl.h"
#include "tests/fuzz/fuzz.h"

typedef struct {
    uint64_t frames, bytes;
    int room; /* -1: any number */
} Card;

static EventLoop *loop;
static Object *root;
static NetSegments segments;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    type_register_list(net_types);
    loop = loop_new(NULL);
    root = object_new(&container_type);
    return 0;
}

/* --- a stream --- */

static bool card_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    Card *c = opaque;

    if (c->room == 0) {
        return false;
    }
    c->room -= c->room > 0;
    c->frames++;
    c->bytes += f->len;
    return true;
}

static void card_ready(void *opaque, unsigned queue)
{
}

/* What a receiver of all the bytes must have got. */
static Card expect(const uint8_t *p, size_t len)
{
    Card c = {0};

    while (len >= 4) {
        uint32_t n = (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];

        if (n > NET_FRAME_MAX || len - 4 < n) {
            break;
        }
        if (n >= NET_FRAME_MIN) {
            c.frames++;
            c.bytes += n;
        }
        p += 4 + n;
        len -= 4 + n;
    }
    return c;
}

static void settle(void)
{
    while (loop_iterate(loop, false)) {
    }
}

static NetBackend *stream_on(int fd)
{
    g_autofree char *number = g_strdup_printf("%d", fd);
    json_t *opts = json_pack("{s:s, s:s, s:s}", "type", "socket", "id", "n", "fd", number);
    NetBackend *b = net_backend_add(root, loop, opts, NULL);

    json_decref(opts);
    g_assert(b);
    return b;
}

static void run_stream(FuzzInput *in)
{
    Card card = {.room = -1}, want;
    NetUserOps ops = {"card", card_receive, card_ready, NULL, &card};
    GByteArray *all = g_byte_array_new();
    NetBackend *b;
    NetUser *u;
    int fds[2];

    g_assert(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
    b = stream_on(fds[0]);
    u = net_attach(b, &ops, &loop, 1, NULL);
    while (in->left > 0) {
        size_t len;
        const uint8_t *bits;

        card.room = fuzz_below(in, 4);
        bits = fuzz_bytes(in, 255, &len);
        if (len > 0 && send(fds[1], bits, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len) {
            break; /* the connection was closed for what came before */
        }
        g_byte_array_append(all, bits, (guint)len);
        settle();
        net_receive_ready(u, 0);
        settle();
    }
    card.room = -1;
    net_receive_ready(u, 0);
    settle();
    want = expect(all->data, all->len);
    g_assert(card.frames == want.frames && card.bytes == want.bytes);
    net_detach(u);
    net_backend_del(root, "n", NULL);
    close(fds[1]);
    g_byte_array_unref(all);
}

/* --- offloads --- */

static void check_segments(const NetFrame *f)
{
    size_t size = f->hdr.gso_size, payload = 0;
    unsigned n = 0;
    NetFrame cur;

    if (!net_segments_begin(&segments, f)) {
        return;
    }
    while (net_segments_next(&segments, &cur)) {
        size_t len = 0;

        for (unsigned i = 0; i < cur.niov; i++) {
            len += cur.iov[i].iov_len;
        }
        g_assert(len == cur.len && !cur.hdr.flags && !cur.hdr.gso_type);
        if (f->hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE) {
            g_assert(len == f->len);
        } else {
            g_assert(len <= segments.payload + size + 8);
            payload += len;
        }
        g_assert(++n <= f->len + 1);
    }
    g_assert(n >= 1);
    g_assert(payload == 0 || payload >= f->len);
}

static void run_offload(FuzzInput *in)
{
    struct iovec iov[16];
    NetFrame f = {.iov = iov};
    uint8_t *frame;

    f.hdr.flags = fuzz_u8(in);
    f.hdr.gso_type = fuzz_u8(in);
    f.hdr.hdr_len = fuzz_u16(in);
    f.hdr.gso_size = fuzz_u16(in);
    f.hdr.csum_start = fuzz_u16(in);
    f.hdr.csum_offset = fuzz_u16(in);
    while (f.niov < G_N_ELEMENTS(iov) && in->left > 0) {
        size_t len;
        const uint8_t *piece = fuzz_bytes(in, 255, &len);

        frame = g_memdup2(piece, len); /* its end is watched; NULL for none */
        iov[f.niov++] = (struct iovec){frame, len};
        f.len += len;
    }
    if (f.len >= NET_FRAME_MIN && net_offload_check(&f)) {
        check_segments(&f);
    }
    for (unsigned i = 0; i < f.niov; i++) {
        g_free(iov[i].iov_base);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};

    if (fuzz_u8(&in) & 1) {
        run_stream(&in);
    } else {
        run_offload(&in);
    }
    return 0;
}
