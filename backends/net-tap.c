/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backends "tap", an interface of the host's kernel, and "bridge", a tap on a bridge
 * that a helper with more rights makes. Offloads pass in both directions as far as the kernel has
 * them; each queue pair is a descriptor of its own. With vhost=on a card may have the kernel serve
 * its queues (net-tap-vhost.c); until it does, and where it does not, frames go through here.
 */
#include "backends/net-tap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

OBJECT_DECLARE(NetTap, net_on_tap, NET_TAP)
extern const TypeInfo net_tap_type, net_bridge_type;

enum { READS = 64, HEADER = sizeof(struct virtio_net_hdr), HEADER_MAX = TAP_HEADER_MAX };

_Static_assert(sizeof(NetHdr) == sizeof(struct virtio_net_hdr), "the fields in the same order");

typedef struct {
    NetTap *tap;
    unsigned index;
    int fd;
    LoopFd *src;
    uint8_t *buf;  /* a frame with its header */
    uint8_t *flat; /* a frame of too many pieces; made when first needed */
    bool paused, blocked;
    bool lent; /* the kernel reads from it */
} TapQueue;

struct NetTap {
    NetBackend parent_obj;
    char *ifname, *fd, *fds, *helper, *br, *script, *downscript;
    TapVhostOptions vhost;
    uint32_t queues;
    uint64_t sndbuf;
    char name[IFNAMSIZ];
    bool vnet, multiqueue, is_up; /* is_up: script ran */
    size_t head;      /* bytes in front of each frame: 0, HEADER, or what a card wanted for vhost */
    TapVhost *kernel; /* one for each queue; NULL: none */
    bool gone;        /* atomic, relaxed: the interface was deleted */
    unsigned n;
    TapQueue q[NET_QUEUES_MAX];
    LogRate rate;
};

/* --- the interface is gone --- */

static void vanish(TapQueue *q)
{
    NetTap *t = q->tap;

    if (q->src) {
        loop_fd_set_events(q->src, 0);
    }
    if (!__atomic_exchange_n(&t->gone, true, __ATOMIC_RELAXED)) {
        log_warn("netdev '%s': the tap '%s' is gone", net_backend_id(&t->parent_obj), t->name);
        net_set_carrier(&t->parent_obj, false);
    }
}

static bool is_gone(int errnum)
{
    return errnum == EBADFD || errnum == ENXIO || errnum == ENODEV;
}

static bool has_gone(const NetTap *t)
{
    return __atomic_load_n(&t->gone, __ATOMIC_RELAXED);
}

static void watch(TapQueue *q)
{
    if (q->src && !has_gone(q->tap)) {
        loop_fd_set_events(q->src,
                           (q->paused || q->lent ? 0 : LOOP_READ) | (q->blocked ? LOOP_WRITE : 0));
    }
}

/* --- to the kernel --- */

/* What the kernel is told of a frame: it refuses one whose header length, a mere hint, is beyond
 * it. */
static NetHdr kernel_header(const NetFrame *f)
{
    NetHdr hdr = f->hdr;

    hdr.flags &= VIRTIO_NET_HDR_F_NEEDS_CSUM;
    if (hdr.gso_type == VIRTIO_NET_HDR_GSO_NONE || hdr.hdr_len > f->len) {
        hdr.hdr_len = 0;
    }
    return hdr;
}

static ssize_t write_frame(TapQueue *q, const NetFrame *f)
{
    union {
        NetHdr hdr;
        uint8_t bytes[HEADER_MAX];
    } first = {.bytes = {0}};
    struct iovec iov[NET_IOV_MAX];
    unsigned head = q->tap->vnet, niov = head + f->niov;
    ssize_t n;

    first.hdr = kernel_header(f);
    iov[0] = (struct iovec){&first, q->tap->head};
    memcpy(iov + head, f->iov, f->niov * sizeof *iov);
    do {
        n = writev(q->fd, iov, (int)niov);
    } while (n < 0 && errno == EINTR);
    return n;
}

/* In one piece: with the header there would be one more than writev takes. */
static ssize_t write_flat(TapQueue *q, const NetFrame *f)
{
    struct iovec iov;
    NetFrame flat = {.iov = &iov, .niov = 1, .len = f->len, .hdr = f->hdr};

    if (!q->flat) {
        q->flat = g_malloc(NET_FRAME_MAX);
    }
    iov = (struct iovec){q->flat, net_frame_read(f, 0, q->flat, NET_FRAME_MAX)};
    return write_frame(q, &flat);
}

/* The kernel does not take a frame; true: it is lost, false: later. */
static bool lose(TapQueue *q, const NetFrame *f, int errnum)
{
    NetBackend *b = &q->tap->parent_obj;

    if (errnum == EAGAIN) {
        return false;
    }
    if (is_gone(errnum)) {
        vanish(q);
    }
    if (is_gone(errnum) || errnum == EIO || errnum == ENOBUFS || errnum == ENOMEM) {
        net_count_lost(b, q->index, f, 1, false); /* EIO: the interface is down */
    } else {
        net_count_lost(b, q->index, f, 1, true);
        log_guest_rated(&q->tap->rate, "netdev '%s': cannot send: %s", net_backend_id(b),
                        g_strerror(errnum));
    }
    return true;
}

static unsigned tap_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    TapQueue *q = &NET_TAP(b)->q[queue];

    for (unsigned i = 0; i < n; i++) {
        ssize_t done =
            frames[i].niov < NET_IOV_MAX ? write_frame(q, &frames[i]) : write_flat(q, &frames[i]);

        if (done < 0 && !lose(q, &frames[i], errno)) {
            q->blocked = true;
            watch(q);
            return i;
        }
    }
    return n;
}

/* --- from the kernel --- */

static bool take_frame(TapQueue *q, size_t len)
{
    size_t head = q->tap->head;
    struct iovec iov = {q->buf + head, len - head};
    NetFrame f = {.iov = &iov, .niov = 1, .len = len - head};

    if (len < head) {
        net_count_errors(&q->tap->parent_obj, q->index, NET_DIR_RX, 1);
        return true;
    }
    memcpy(&f.hdr, q->buf, MIN(head, HEADER));
    if (!(f.hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        f.hdr.csum_start = f.hdr.csum_offset = 0;
    }
    return net_deliver(&q->tap->parent_obj, q->index, &f);
}

static void read_frames(TapQueue *q)
{
    for (unsigned i = 0; i < READS; i++) {
        ssize_t n = read(q->fd, q->buf, q->tap->head + NET_FRAME_MAX);

        if (n < 0) {
            if (is_gone(errno)) {
                vanish(q);
            }
            return;
        }
        if (!take_frame(q, (size_t)n)) {
            q->paused = true;
            watch(q);
            return;
        }
    }
}

static void on_tap(void *opaque, unsigned events)
{
    TapQueue *q = opaque;

    if (events & LOOP_WRITE) {
        q->blocked = false;
        watch(q);
        net_backend_writable(&q->tap->parent_obj, q->index);
    }
    if ((events & LOOP_READ) && !q->paused && !q->lent) {
        read_frames(q);
    }
}

static void tap_receive_ready(NetBackend *b, unsigned queue)
{
    TapQueue *q = &NET_TAP(b)->q[queue];

    q->paused = false;
    watch(q);
}

/* --- in use --- */

static bool tap_attach(NetBackend *b, GError **err)
{
    NetTap *t = NET_TAP(b);

    for (unsigned i = 0; i < b->n_queues; i++) {
        TapQueue *q = &t->q[i];

        q->paused = q->blocked = false;
        if (!q->buf) {
            q->buf = g_malloc(HEADER_MAX + NET_FRAME_MAX);
        }
        q->src = loop_fd_new(net_queue_loop(b, i), q->fd, has_gone(t) ? 0 : LOOP_READ, on_tap, q);
    }
    for (unsigned i = b->n_queues; t->multiqueue && i < t->n; i++) {
        tap_set_queue(t->q[i].fd, false);
    }
    return true;
}

static void tap_detach(NetBackend *b)
{
    NetTap *t = NET_TAP(b);

    for (unsigned i = 0; i < t->n; i++) {
        g_clear_pointer(&t->q[i].src, loop_fd_free);
        if (t->multiqueue) {
            tap_set_queue(t->q[i].fd, true);
        }
    }
}

/* The kernel spreads frames over the queues that are attached to it. */
static void tap_set_queues(NetBackend *b, unsigned n)
{
    NetTap *t = NET_TAP(b);

    for (unsigned i = 0; t->multiqueue && i < b->n_queues; i++) {
        tap_set_queue(t->q[i].fd, i < n);
    }
}

static bool tap_set_guest_offloads(NetBackend *b, unsigned offloads)
{
    NetTap *t = NET_TAP(b);
    bool ok = t->vnet;

    for (unsigned i = 0; i < t->n && ok; i++) {
        ok = tap_set_offloads(t->q[i].fd, offloads);
    }
    return ok;
}

/* --- vhost --- */

static Vhost *tap_vhost(const NetBackend *b, unsigned queue)
{
    return tap_vhost_of(NET_TAP((NetBackend *)b)->kernel, queue);
}

/* All queues of an interface have the same header; false: all have the one that they had. */
static bool set_head(NetTap *t, size_t len, GError **err)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (!tap_set_header(t->q[i].fd, len, err)) {
            while (i-- > 0) {
                tap_set_header(t->q[i].fd, t->head, NULL);
            }
            return false;
        }
    }
    t->head = len;
    return true;
}

static int tap_vhost_begin(NetBackend *b, unsigned queue, size_t hdr_len, GError **err)
{
    NetTap *t = NET_TAP(b);
    TapQueue *q = &t->q[queue];

    if (t->vnet && t->head != hdr_len && !set_head(t, hdr_len, err)) {
        return -1;
    }
    q->lent = true;
    q->paused = q->blocked = false;
    watch(q);
    return q->fd;
}

static void tap_vhost_end(NetBackend *b, unsigned queue)
{
    TapQueue *q = &NET_TAP(b)->q[queue];

    q->lent = false;
    watch(q);
}

/* --- opening --- */

static void add_queue(NetTap *t, int fd)
{
    t->q[t->n] = (TapQueue){.tap = t, .index = t->n, .fd = fd};
    t->n++;
}

/* The same number twice would be two readers of one queue. */
static bool has_fd(const NetTap *t, int fd)
{
    for (unsigned i = 0; i < t->n; i++) {
        if (t->q[i].fd == fd) {
            return true;
        }
    }
    return false;
}

static int take_fd(NetTap *t, const char *text, GError **err)
{
    int fd = tap_take_fd(&t->parent_obj, text, err);

    if (fd >= 0 && has_fd(t, fd)) {
        error_set(err, "file descriptor %s is given twice", text);
        return -1;
    }
    return fd;
}

static bool open_fds(NetTap *t, const char *text, GError **err)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", -1);
    unsigned n = g_strv_length(parts);

    if (n < 1 || n > NET_QUEUES_MAX) {
        return error_set(err, "fds= takes 1 to %u file descriptors", NET_QUEUES_MAX);
    }
    for (unsigned i = 0; i < n; i++) {
        bool vnet, multiqueue;
        int fd = take_fd(t, parts[i], err);

        if (fd < 0) {
            return false;
        }
        if (!tap_adopt(fd, t->name, &vnet, &multiqueue, err)) {
            if (!g_ascii_isdigit(parts[i][0])) {
                close(fd);
            }
            return false;
        }
        add_queue(t, fd);
        if (i > 0 && vnet != t->vnet) {
            return error_set(err, "the taps must all have the vnet header, or none of them");
        }
        t->vnet = vnet;
        t->multiqueue = multiqueue;
    }
    return true;
}

static bool open_helper(NetTap *t, const char *helper, GError **err)
{
    int fd = tap_run_helper(helper, t->br ?: "br0", err);

    if (fd < 0) {
        return false;
    }
    add_queue(t, fd);
    return tap_adopt(fd, t->name, &t->vnet, &t->multiqueue, err);
}

/* "no" is none; the default is run where it exists. */
static bool run_script(NetTap *t, const char *what, const char *script, GError **err)
{
    if (!g_strcmp0(script, "no") || (script && !*script)) {
        return true;
    }
    if (!script) {
        script = !strcmp(what, "script") ? "/etc/qemu-ifup" : "/etc/qemu-ifdown";
        if (!g_file_test(script, G_FILE_TEST_IS_EXECUTABLE)) {
            return true;
        }
    }
    return tap_run_script(what, script, t->name, err);
}

/* A daemon changes its directory before the end. */
static void make_absolute(char **path)
{
    if (*path && strchr(*path, '/') && !g_path_is_absolute(*path)) {
        char *whole = g_canonicalize_filename(*path, NULL);

        g_free(*path);
        *path = whole;
    }
}

static bool open_interface(NetTap *t, GError **err)
{
    make_absolute(&t->downscript);
    g_strlcpy(t->name, t->ifname ?: "", IFNAMSIZ);
    t->vnet = true;
    t->multiqueue = t->queues > 1;
    for (unsigned i = 0; i < t->queues; i++) {
        int fd = tap_open(t->name, t->multiqueue, err);

        if (fd < 0) {
            return false;
        }
        add_queue(t, fd);
    }
    if (!run_script(t, "script", t->script, err)) {
        return false;
    }
    t->is_up = true;
    return true;
}

static bool tap_check(NetBackend *b, GError **err)
{
    const NetTap *t = NET_TAP(b);

    if (!!t->fd + !!t->fds + !!t->helper > 1) {
        return error_set(err, "give one of fd=, fds= and helper=");
    }
    if ((t->fd || t->fds || t->helper) &&
        (t->ifname || t->script || t->downscript || t->queues > 1)) {
        return error_set(err, "ifname=, script=, downscript= and queues= do not go with %s=",
                         t->fd    ? "fd"
                         : t->fds ? "fds"
                                  : "helper");
    }
    if (t->ifname && strlen(t->ifname) >= IFNAMSIZ) {
        return error_set(err, "ifname=%s: the name is longer than %d bytes", t->ifname,
                         IFNAMSIZ - 1);
    }
    if (t->fd && strchr(t->fd, ':')) {
        return error_set(err, "fd= takes one file descriptor; fds= takes several");
    }
    if (t->br && !t->helper) {
        return error_set(err, "br= goes with helper=");
    }
    return tap_vhost_check(&t->vhost, t->fds, t->queues, err);
}

static bool prepare(NetTap *t, GError **err)
{
    NetBackend *b = &t->parent_obj;

    for (unsigned i = 0; i < t->n; i++) {
        if (!tap_prepare(t->q[i].fd, t->vnet, t->sndbuf, err)) {
            return false;
        }
    }
    b->max_queues = t->n;
    t->head = t->vnet ? HEADER : 0;
    if (t->vnet) {
        b->guest_offloads = tap_probe_offloads(t->q[0].fd);
        b->host_offloads = b->guest_offloads;
    }
    return true;
}

static bool tap_backend_open(NetBackend *b, GError **err)
{
    NetTap *t = NET_TAP(b);
    bool ok;

    if (t->fd || t->fds) {
        ok = open_fds(t, t->fd ?: t->fds, err);
    } else {
        ok = t->helper ? open_helper(t, t->helper, err) : open_interface(t, err);
    }
    return ok && prepare(t, err) && tap_vhost_open(b, &t->vhost, t->n, t->vnet, &t->kernel, err);
}

static bool bridge_open(NetBackend *b, GError **err)
{
    NetTap *t = NET_TAP(b);

    return open_helper(t, t->helper ?: TAP_HELPER, err) && prepare(t, err);
}

static void tap_close(NetBackend *b)
{
    NetTap *t = NET_TAP(b);
    g_autoptr(GError) err = NULL;

    if (t->is_up && !has_gone(t) && !run_script(t, "downscript", t->downscript, &err)) {
        log_warn("netdev '%s': %s", net_backend_id(b), err->message);
    }
    tap_vhost_free(g_steal_pointer(&t->kernel));
    for (unsigned i = 0; i < t->n; i++) {
        close(t->q[i].fd);
        g_free(t->q[i].buf);
        g_free(t->q[i].flat);
    }
    t->n = 0;
}

static char *tap_info(NetBackend *b)
{
    NetTap *t = NET_TAP(b);

    if (object_is_a(b, &net_bridge_type)) {
        return g_strdup_printf(",helper=%s,br=%s,ifname=%s", t->helper ?: TAP_HELPER,
                               t->br ?: "br0", t->name);
    }
    return g_strdup_printf(",ifname=%s,queues=%u%s%s", t->name, t->n, t->kernel ? ",vhost=on" : "",
                           has_gone(t) ? ",gone" : "");
}

static void tap_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->check = tap_check;
    k->open = tap_backend_open;
    k->close = tap_close;
    k->attach = tap_attach;
    k->detach = tap_detach;
    k->send = tap_send;
    k->receive_ready = tap_receive_ready;
    k->set_guest_offloads = tap_set_guest_offloads;
    k->set_queues = tap_set_queues;
    k->vhost = tap_vhost;
    k->vhost_begin = tap_vhost_begin;
    k->vhost_end = tap_vhost_end;
    k->info = tap_info;
}

static void bridge_class_init(ObjectClass *klass, const void *data)
{
    tap_class_init(klass, data);
    NET_BACKEND_CLASS(klass)->check = NULL;
    NET_BACKEND_CLASS(klass)->open = bridge_open;
}

static const Property tap_props[] = {
    PROP_STRING("ifname", NetTap, ifname, NULL, "name of the interface (default: a free tapN)"),
    PROP_STRING("fd", NetTap, fd, NULL, "an open tap or macvtap: its number, or its name of getfd"),
    PROP_STRING("fds", NetTap, fds, NULL, "open queues of a multiqueue tap, N:N:... or names"),
    PROP_UINT32("queues", NetTap, queues, 1, 1, NET_QUEUES_MAX, "queue pairs"),
    PROP_STRING("script", NetTap, script, NULL,
                "program that sets the interface up; no: none (default: /etc/qemu-ifup if there)"),
    PROP_STRING("downscript", NetTap, downscript, NULL,
                "program for the end; no: none (default: /etc/qemu-ifdown if there)"),
    PROP_STRING("helper", NetTap, helper, NULL, "program that opens a tap on br"),
    PROP_STRING("br", NetTap, br, NULL, "bridge for helper (default: br0)"),
    PROP_SIZE("sndbuf", NetTap, sndbuf, 0, 0, INT_MAX, "bytes on their way out; 0: no limit"),
    PROP_BOOL("vhost", NetTap, vhost.on, false,
              "have the kernel serve the card's queues (/dev/vhost-net), where it can"),
    PROP_BOOL("vhostforce", NetTap, vhost.force, false,
              "vhost=on, and an error where it cannot be had instead of a warning"),
    PROP_STRING("vhostfd", NetTap, vhost.fd, NULL,
                "an open /dev/vhost-net: its number, or its name of getfd"),
    PROP_STRING("vhostfds", NetTap, vhost.fds, NULL, "the same for each of fds=, N:N:... or names"),
    PROP_END,
};

const TypeInfo net_on_tap_type = {
    .name = "netdev-on-tap",
    .parent = &net_backend_type,
    .abstract = true,
    .instance_size = sizeof(NetTap),
};

const TypeInfo net_tap_type = {
    .name = NET_TYPE_PREFIX "tap",
    .parent = &net_on_tap_type,
    .class_init = tap_class_init,
    .props = tap_props,
    .desc = "network interface of the host",
};

static const Property bridge_props[] = {
    PROP_STRING("br", NetTap, br, NULL, "bridge (default: br0)"),
    PROP_STRING("helper", NetTap, helper, NULL,
                "program that opens a tap on it (default: " TAP_HELPER ")"),
    PROP_END,
};

const TypeInfo net_bridge_type = {
    .name = NET_TYPE_PREFIX "bridge",
    .parent = &net_on_tap_type,
    .class_init = bridge_class_init,
    .props = bridge_props,
    .desc = "bridge of the host, by a helper with more rights",
};
