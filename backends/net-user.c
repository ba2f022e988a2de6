/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend "user": a NAT with DHCP, DNS, TFTP and port forwarding inside of the process,
 * by libslirp. Needs no rights.
 *
 * libslirp is written for a poll loop. Its descriptors are put into an epoll instance of its own,
 * which is one source of the queue's loop; what it wants to watch is asked for once per round in
 * which anything happened. Frames to the card wait in a buffer of fixed size; while that is half
 * full no socket is read, and what does not fit at all is lost, as on a wire.
 */
#include "backends/net-user.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { BUFFER = 512 * 1024, HELD = BUFFER / 2, NS_PER_MS = 1000000, WAIT_MAX_MS = 3600 * 1000 };

typedef struct {
    NetUserStack *s;
    SlirpTimerCb cb;
    void *opaque;
    int64_t deadline_ns; /* -1: not armed */
    LoopTimer *timer;    /* while attached */
} StackTimer;

struct NetUserStack {
    NetBackend parent_obj;
    UserOpts opts;
    Slirp *slirp;
    GPtrArray *timers;  /* of StackTimer * */
    GPtrArray *streams; /* of GuestForward * */
    int epfd;
    GArray *fds;         /* of struct pollfd: what libslirp asked for last */
    GHashTable *watched; /* fd to the events that epfd has */
    uint8_t *buf;        /* frames to the card, each behind its length (size_t) */
    size_t at, len;      /* of what is in use */
    uint8_t *flat;       /* a frame from the card in one piece */
    char *summary;
    LogRate rate;
    /* while attached */
    LoopFd *src;
    LoopTimer *wait;
    LoopBh *bh;      /* asks libslirp what to watch */
    LoopBh *deliver; /* frames to the card */
};

/* libslirp keeps the time and the host's name servers in variables of the process. Nothing else is
 * called with it. */
static pthread_mutex_t slirp_mutex = PTHREAD_MUTEX_INITIALIZER;

void user_slirp_lock(void)
{
    pthread_mutex_lock(&slirp_mutex);
}

void user_slirp_unlock(void)
{
    pthread_mutex_unlock(&slirp_mutex);
}

/* --- frames to the card --- */

static bool push(NetUserStack *s, const void *frame, size_t len)
{
    if (s->len + sizeof len + len > BUFFER) {
        return false;
    }
    if (s->at + s->len + sizeof len + len > BUFFER) {
        memmove(s->buf, s->buf + s->at, s->len);
        s->at = 0;
    }
    memcpy(s->buf + s->at + s->len, &len, sizeof len);
    memcpy(s->buf + s->at + s->len + sizeof len, frame, len);
    s->len += sizeof len + len;
    return true;
}

/* Called by libslirp, at any moment and with the mutex. */
static ssize_t on_packet(const void *frame, size_t len, void *opaque)
{
    NetUserStack *s = opaque;
    NetBackend *b = &s->parent_obj;

    if (!b->n_queues) {
        return (ssize_t)len; /* nobody is there */
    }
    if (push(s, frame, len)) {
        loop_bh_schedule(s->deliver);
    } else {
        net_count_dropped(b, 0, NET_DIR_RX, 1);
    }
    return (ssize_t)len;
}

static void deliver(void *opaque)
{
    NetUserStack *s = opaque;
    bool was_held = s->len > HELD;

    while (s->len > 0 && net_can_deliver(&s->parent_obj, 0)) {
        size_t len;

        memcpy(&len, s->buf + s->at, sizeof len);
        net_deliver_flat(&s->parent_obj, 0, s->buf + s->at + sizeof len, len);
        s->at += sizeof len + len;
        s->len -= sizeof len + len;
    }
    if (was_held && s->len <= HELD) {
        loop_bh_schedule(s->bh);
    }
}

static void user_receive_ready(NetBackend *b, unsigned queue)
{
    deliver(NET_USER_STACK(b));
}

/* --- what libslirp waits for --- */

static int add_poll(int fd, int events, void *opaque)
{
    NetUserStack *s = opaque;
    struct pollfd p = {
        .fd = fd,
        .events = (short)((events & SLIRP_POLL_IN ? POLLIN : 0) |
                          (events & SLIRP_POLL_OUT ? POLLOUT : 0) |
                          (events & SLIRP_POLL_PRI ? POLLPRI : 0)),
    };

    g_array_append_val(s->fds, p);
    return (int)s->fds->len - 1;
}

static int get_revents(int index, void *opaque)
{
    NetUserStack *s = opaque;
    short got = g_array_index(s->fds, struct pollfd, index).revents;

    return (got & POLLIN ? SLIRP_POLL_IN : 0) | (got & POLLOUT ? SLIRP_POLL_OUT : 0) |
           (got & POLLPRI ? SLIRP_POLL_PRI : 0) | (got & POLLERR ? SLIRP_POLL_ERR : 0) |
           (got & POLLHUP ? SLIRP_POLL_HUP : 0);
}

static void watch(NetUserStack *s, int fd, unsigned events)
{
    gpointer key = GINT_TO_POINTER(fd), before;
    struct epoll_event ev = {.events = events, .data.fd = fd};

    if (g_hash_table_lookup_extended(s->watched, key, NULL, &before)) {
        if (GPOINTER_TO_UINT(before) == events || epoll_ctl(s->epfd, EPOLL_CTL_MOD, fd, &ev) == 0) {
            g_hash_table_insert(s->watched, key, GUINT_TO_POINTER(events));
            return;
        }
    }
    if (epoll_ctl(s->epfd, EPOLL_CTL_ADD, fd, &ev) == 0 ||
        (errno == EEXIST && epoll_ctl(s->epfd, EPOLL_CTL_MOD, fd, &ev) == 0)) {
        g_hash_table_insert(s->watched, key, GUINT_TO_POINTER(events));
    }
}

static bool is_asked_for(const NetUserStack *s, int fd)
{
    for (unsigned i = 0; i < s->fds->len; i++) {
        if (g_array_index(s->fds, struct pollfd, i).fd == fd) {
            return true;
        }
    }
    return false;
}

static void unwatch_rest(NetUserStack *s)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, s->watched);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!is_asked_for(s, GPOINTER_TO_INT(key))) {
            epoll_ctl(s->epfd, EPOLL_CTL_DEL, GPOINTER_TO_INT(key), NULL);
            g_hash_table_iter_remove(&iter);
        }
    }
}

/* Bottom half: asks libslirp what it waits for now. */
static void fill(void *opaque)
{
    NetUserStack *s = opaque;
    uint32_t ms = WAIT_MAX_MS;

    g_array_set_size(s->fds, 0);
    user_slirp_lock();
    slirp_pollfds_fill(s->slirp, &ms, add_poll, s);
    user_slirp_unlock();
    for (unsigned i = 0; i < s->fds->len; i++) {
        const struct pollfd *p = &g_array_index(s->fds, struct pollfd, i);

        watch(s, p->fd, (unsigned)p->events); /* POLL* and EPOLL* are the same numbers */
    }
    if (g_hash_table_size(s->watched) != s->fds->len) {
        unwatch_rest(s);
    }
    loop_fd_set_events(s->src, s->len > HELD ? 0 : LOOP_READ);
    loop_timer_arm_in(s->wait, (int64_t)MIN(ms, WAIT_MAX_MS) * NS_PER_MS);
    for (unsigned i = 0; i < s->streams->len; i++) {
        user_guestfwd_poll(s->streams->pdata[i]);
    }
}

/* Something is ready, or libslirp's time has come. */
static void serve(NetUserStack *s)
{
    if (s->fds->len == 0 || poll((struct pollfd *)s->fds->data, s->fds->len, 0) < 0) {
        for (unsigned i = 0; i < s->fds->len; i++) {
            g_array_index(s->fds, struct pollfd, i).revents = 0;
        }
    }
    user_slirp_lock();
    slirp_pollfds_poll(s->slirp, 0, get_revents, s);
    user_slirp_unlock();
    deliver(s);
    loop_bh_schedule(s->bh);
}

static void on_ready(void *opaque, unsigned events)
{
    serve(opaque);
}

static void on_wait(void *opaque)
{
    serve(opaque);
}

/* --- what libslirp asks of us --- */

static void on_guest_error(const char *msg, void *opaque)
{
    NetUserStack *s = opaque;

    log_guest_rated(&s->rate, "netdev '%s': %s", net_backend_id(&s->parent_obj), msg);
}

static int64_t on_clock(void *opaque)
{
    return clock_now(((NetUserStack *)opaque)->parent_obj.clock);
}

static void on_timer(void *opaque)
{
    StackTimer *t = opaque;

    t->deadline_ns = -1;
    user_slirp_lock();
    t->cb(t->opaque);
    user_slirp_unlock();
    loop_bh_schedule(t->s->bh);
}

static void timer_begin(StackTimer *t)
{
    t->timer =
        loop_timer_new(net_queue_loop(&t->s->parent_obj, 0), t->s->parent_obj.clock, on_timer, t);
    if (t->deadline_ns >= 0) {
        loop_timer_arm_at(t->timer, t->deadline_ns);
    }
}

static void *on_timer_new(SlirpTimerCb cb, void *cb_opaque, void *opaque)
{
    StackTimer *t = g_new0(StackTimer, 1);

    *t = (StackTimer){.s = opaque, .cb = cb, .opaque = cb_opaque, .deadline_ns = -1};
    g_ptr_array_add(t->s->timers, t);
    if (t->s->parent_obj.n_queues) {
        timer_begin(t);
    }
    return t;
}

static void on_timer_free(void *timer, void *opaque)
{
    StackTimer *t = timer;

    if (t) {
        loop_timer_free(t->timer);
        g_ptr_array_remove(t->s->timers, t);
        g_free(t);
    }
}

static void on_timer_mod(void *timer, int64_t expire_ms, void *opaque)
{
    StackTimer *t = timer;

    t->deadline_ns = expire_ms * NS_PER_MS;
    if (t->timer) {
        loop_timer_arm_at(t->timer, t->deadline_ns);
    }
}

/* A number may come again for another socket: that one is not in epfd. */
static void forget_fd(int fd, void *opaque)
{
    NetUserStack *s = opaque;

    if (g_hash_table_remove(s->watched, GINT_TO_POINTER(fd))) {
        epoll_ctl(s->epfd, EPOLL_CTL_DEL, fd, NULL);
    }
}

static void on_notify(void *opaque)
{
    NetUserStack *s = opaque;

    if (s->bh) {
        loop_bh_schedule(s->bh);
    }
}

static const SlirpCb callbacks = {
    .send_packet = on_packet,
    .guest_error = on_guest_error,
    .clock_get_ns = on_clock,
    .timer_new = on_timer_new,
    .timer_free = on_timer_free,
    .timer_mod = on_timer_mod,
    .register_poll_fd = forget_fd,
    .unregister_poll_fd = forget_fd,
    .notify = on_notify,
};

/* --- frames from the card --- */

static bool is_full(const NetUserStack *s)
{
    for (unsigned i = 0; i < s->streams->len; i++) {
        if (user_guestfwd_is_full(s->streams->pdata[i])) {
            return true;
        }
    }
    return false;
}

static unsigned user_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    NetUserStack *s = NET_USER_STACK(b);
    unsigned i;

    user_slirp_lock();
    for (i = 0; i < n && !is_full(s); i++) {
        size_t len = net_frame_read(&frames[i], 0, s->flat, NET_FRAME_MAX);

        slirp_input(s->slirp, s->flat, (int)len);
    }
    user_slirp_unlock();
    loop_bh_schedule(s->bh);
    return i;
}

/* --- forwards --- */

static bool hostfwd(NetUserStack *s, const char *text, bool add, GError **err)
{
    HostForward f;
    int rc;

    if (!user_parse_hostfwd(text, add, &f, err)) {
        return false;
    }
    user_slirp_lock();
    errno = 0;
    rc = add ? slirp_add_hostfwd(s->slirp, f.udp, f.host, f.host_port, f.guest, f.guest_port)
             : slirp_remove_hostfwd(s->slirp, f.udp, f.host, f.host_port);
    user_slirp_unlock();
    if (rc < 0 && !add) {
        return error_set(err, "'%s': there is no such forward", text);
    }
    return rc >= 0 || error_set_errno(err, errno, "'%s': cannot listen on port %u of the host",
                                      text, f.host_port);
}

bool net_user_hostfwd(NetBackend *b, const char *text, bool add, GError **err)
{
    NetLocks locks;
    bool ok;

    if (!object_is_a(b, &net_user_stack_type)) {
        return error_set(err, "netdev '%s' is not of type user", net_backend_id(b));
    }
    net_lock_queues(b, &locks);
    ok = hostfwd(NET_USER_STACK(b), text, add, err);
    on_notify(NET_USER_STACK(b));
    net_unlock_queues(&locks);
    return ok;
}

static bool all_forwards(NetUserStack *s, GError **err)
{
    for (unsigned i = 0; s->opts.hostfwd && i + 1 < s->opts.hostfwd->len; i++) {
        if (!hostfwd(s, s->opts.hostfwd->pdata[i], true, err)) {
            g_prefix_error(err, "hostfwd=");
            return false;
        }
    }
    for (unsigned i = 0; s->opts.guestfwd && i + 1 < s->opts.guestfwd->len; i++) {
        if (!user_guestfwd_add(&s->parent_obj, s->slirp, s->opts.guestfwd->pdata[i], s->streams,
                               err)) {
            return false;
        }
    }
    return true;
}

/* --- life --- */

/* All that is text; whether a port of the host is free is seen when it is opened. */
static bool user_check(NetBackend *b, GError **err)
{
    NetUserStack *s = NET_USER_STACK(b);
    const UserOpts *o = &s->opts;
    SlirpConfig config;
    HostForward fwd;

    if (!user_config(OBJECT(b), &s->opts, &config, err)) {
        return false;
    }
    for (unsigned i = 0; o->hostfwd && i + 1 < o->hostfwd->len; i++) {
        if (!user_parse_hostfwd(o->hostfwd->pdata[i], true, &fwd, err)) {
            g_prefix_error(err, "hostfwd=");
            return false;
        }
    }
    return !o->guestfwd || user_guestfwd_check(b, (char *const *)o->guestfwd->pdata, err);
}

static bool user_open(NetBackend *b, GError **err)
{
    NetUserStack *s = NET_USER_STACK(b);
    char net[INET_ADDRSTRLEN];
    SlirpConfig config;

    if (!user_config(OBJECT(b), &s->opts, &config, err)) {
        return false;
    }
    s->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (s->epfd < 0) {
        return error_set_errno(err, errno, "epoll");
    }
    user_slirp_lock();
    s->slirp = slirp_new(&config, &callbacks, s);
    user_slirp_unlock();
    if (!s->slirp) {
        return error_set(err, "libslirp %s refuses these options", slirp_version_string());
    }
    inet_ntop(AF_INET, &config.vnetwork, net, sizeof net);
    s->summary = g_strdup_printf(",net=%s,restrict=%s", net, s->opts.restricted ? "on" : "off");
    s->buf = g_malloc(BUFFER);
    s->flat = g_malloc(NET_FRAME_MAX);
    return all_forwards(s, err);
}

static void user_close(NetBackend *b)
{
    NetUserStack *s = NET_USER_STACK(b);

    if (s->slirp) {
        user_slirp_lock();
        slirp_cleanup(g_steal_pointer(&s->slirp));
        user_slirp_unlock();
    }
    g_ptr_array_set_size(s->streams, 0);
    if (s->epfd >= 0) {
        close(s->epfd);
        s->epfd = -1;
    }
}

static bool user_attach(NetBackend *b, GError **err)
{
    NetUserStack *s = NET_USER_STACK(b);
    EventLoop *loop = net_queue_loop(b, 0);

    if (s->streams->len > 0 && !net_needs_main_loop(b, NULL)) {
        return error_set(err,
                         "netdev '%s': guestfwd= to a character device cannot be served by an "
                         "iothread",
                         net_backend_id(b));
    }
    s->src = loop_fd_new(loop, s->epfd, LOOP_READ, on_ready, s);
    s->wait = loop_timer_new(loop, b->clock, on_wait, s);
    s->bh = loop_bh_new(loop, fill, s);
    s->deliver = loop_bh_new(loop, deliver, s);
    for (unsigned i = 0; i < s->timers->len; i++) {
        timer_begin(s->timers->pdata[i]);
    }
    loop_bh_schedule(s->bh);
    return true;
}

static void user_detach(NetBackend *b)
{
    NetUserStack *s = NET_USER_STACK(b);

    g_clear_pointer(&s->src, loop_fd_free);
    g_clear_pointer(&s->wait, loop_timer_free);
    g_clear_pointer(&s->bh, loop_bh_free);
    g_clear_pointer(&s->deliver, loop_bh_free);
    for (unsigned i = 0; i < s->timers->len; i++) {
        StackTimer *t = s->timers->pdata[i];

        g_clear_pointer(&t->timer, loop_timer_free);
    }
    s->at = s->len = 0;
}

static char *user_info(NetBackend *b)
{
    return g_strdup(NET_USER_STACK(b)->summary);
}

static void user_init(Object *obj)
{
    NetUserStack *s = NET_USER_STACK(obj);

    s->epfd = -1;
    s->timers = g_ptr_array_new();
    s->streams = g_ptr_array_new_with_free_func(user_guestfwd_free);
    s->fds = g_array_new(FALSE, FALSE, sizeof(struct pollfd));
    s->watched = g_hash_table_new(NULL, NULL);
}

static void free_list(GPtrArray *list)
{
    if (list) {
        g_ptr_array_unref(list);
    }
}

static void user_finalize(Object *obj)
{
    NetUserStack *s = NET_USER_STACK(obj);

    g_ptr_array_unref(s->timers);
    g_ptr_array_unref(s->streams);
    g_array_unref(s->fds);
    g_hash_table_unref(s->watched);
    free_list(s->opts.hostfwd);
    free_list(s->opts.guestfwd);
    free_list(s->opts.dnssearch);
    g_free(s->buf);
    g_free(s->flat);
    g_free(s->summary);
}

static void user_memory(Object *obj, MemoryTell *tell, void *opaque)
{
    NetUserStack *s = NET_USER_STACK(obj);

    tell(opaque, MEMORY_BUFFER, s->buf, BUFFER);
    tell(opaque, MEMORY_BUFFER, s->flat, NET_FRAME_MAX);
}

static void user_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    klass->memory = user_memory;
    k->check = user_check;
    k->open = user_open;
    k->close = user_close;
    k->attach = user_attach;
    k->detach = user_detach;
    k->send = user_send;
    k->receive_ready = user_receive_ready;
    k->info = user_info;
}

/* --- options that may be given again: a string, or a list of strings or of {"str": ...} --- */

static GPtrArray **list_of(NetUserStack *s, const Property *prop)
{
    return prop->name[0] == 'h'   ? &s->opts.hostfwd
           : prop->name[0] == 'g' ? &s->opts.guestfwd
                                  : &s->opts.dnssearch;
}

static json_t *get_list(Object *obj, const Property *prop, GError **err)
{
    GPtrArray *list = *list_of(NET_USER_STACK(obj), prop);
    json_t *all = json_array();

    for (unsigned i = 0; list && i + 1 < list->len; i++) {
        json_array_append_new(all, json_string(list->pdata[i]));
    }
    return all;
}

static bool set_list(Object *obj, const Property *prop, json_t *value, GError **err)
{
    GPtrArray *list = g_ptr_array_new_with_free_func(g_free);
    size_t n = json_is_array(value) ? json_array_size(value) : 1;

    for (size_t i = 0; i < n; i++) {
        json_t *item = json_is_array(value) ? json_array_get(value, i) : value;
        const char *text =
            json_string_value(json_is_object(item) ? json_object_get(item, "str") : item);

        if (!text) {
            g_ptr_array_unref(list);
            return error_set(err, "give a string or a list of strings");
        }
        g_ptr_array_add(list, g_strdup(text));
    }
    g_ptr_array_add(list, NULL); /* libslirp's form */
    free_list(*list_of(NET_USER_STACK(obj), prop));
    *list_of(NET_USER_STACK(obj), prop) = list;
    return true;
}

static const Property user_props[] = {
    PROP_BOOL("ipv4", NetUserStack, opts.ipv4, true, "the guest has IPv4"),
    PROP_BOOL("ipv6", NetUserStack, opts.ipv6, true, "the guest has IPv6"),
    PROP_STRING("net", NetUserStack, opts.net, "10.0.2.0/24", "the guest's network, ADDR/BITS"),
    PROP_STRING("host", NetUserStack, opts.host, NULL, "the host in it (default: its address 2)"),
    PROP_STRING("dhcpstart", NetUserStack, opts.dhcpstart, NULL,
                "first address that is given to a guest (default: 15)"),
    PROP_STRING("dns", NetUserStack, opts.dns, NULL, "name server (default: address 3)"),
    PROP_STRING("ipv6-net", NetUserStack, opts.ipv6_net, NULL, "IPv6 network (default: fec0::/64)"),
    PROP_STRING("ipv6-prefix", NetUserStack, opts.ipv6_prefix, NULL, "the same without the length"),
    PROP_UINT32("ipv6-prefixlen", NetUserStack, opts.ipv6_prefixlen, 64, 1, 126, "the length"),
    PROP_STRING("ipv6-host", NetUserStack, opts.ipv6_host, NULL, "the host's IPv6 address"),
    PROP_STRING("ipv6-dns", NetUserStack, opts.ipv6_dns, NULL, "IPv6 address of the name server"),
    PROP_CUSTOM("dnssearch", "list", get_list, set_list, 0, "domains to search (may be repeated)"),
    PROP_STRING("domainname", NetUserStack, opts.domainname, NULL, "domain that DHCP gives"),
    PROP_STRING("hostname", NetUserStack, opts.hostname, NULL, "host name that DHCP gives"),
    PROP_BOOL("restrict", NetUserStack, opts.restricted, false,
              "the guest reaches nothing but what is forwarded"),
    PROP_STRING("tftp", NetUserStack, opts.tftp, NULL, "directory of a TFTP server"),
    PROP_STRING("tftp-server-name", NetUserStack, opts.tftp_server_name, NULL,
                "name of that server for DHCP"),
    PROP_STRING("bootfile", NetUserStack, opts.bootfile, NULL, "file that DHCP tells to boot"),
    PROP_CUSTOM("hostfwd", "list", get_list, set_list, 0,
                "tcp|udp:[HOST]:PORT-[GUEST]:PORT, from the host to the guest (may be repeated)"),
    PROP_CUSTOM(
        "guestfwd", "list", get_list, set_list, 0,
        "tcp:SERVER:PORT-cmd:COMMAND|unix:PATH|chardev:ID|..., from the guest (may be repeated)"),
    PROP_STRING("smb", NetUserStack, opts.smb, NULL, "not served"),
    PROP_STRING("smbserver", NetUserStack, opts.smbserver, NULL, "not served"),
    PROP_END,
};

const TypeInfo net_user_stack_type = {
    .name = NET_TYPE_PREFIX "user",
    .parent = &net_backend_type,
    .instance_size = sizeof(NetUserStack),
    .instance_init = user_init,
    .instance_finalize = user_finalize,
    .class_init = user_class_init,
    .props = user_props,
    .desc = "NAT with DHCP, DNS and port forwarding; needs no rights",
};
