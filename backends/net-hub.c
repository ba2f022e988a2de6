/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The network backend "hubport": hubs that connect any number of cards and other backends. What
 * comes in at a port goes out at all others of the hub.
 *
 * A port's one side is the hub; its other side is the card that is attached to it, or the backend
 * that its option "netdev" names, whose user it then is. A port that has no room for a frame loses
 * it while another port has; when none has, the sender waits. On the main loop.
 */
#include "backends/net-impl.h"

OBJECT_DECLARE(NetHubport, net_hubport, NET_HUBPORT)

struct NetHubport {
    NetBackend parent_obj;
    uint32_t hubid;
    char *netdev;
    NetUser *below; /* of the backend "netdev"; NULL: none */
    bool full;      /* the backend below takes no more until its send_ready */
    bool waiting;   /* a frame that came in here found no room anywhere */
    LoopBh *again;  /* the one who waits may try again */
};

typedef struct {
    NetHubport *from;
    const NetFrame *frame;
    unsigned given, blocked;
} Spread;

typedef void PortFn(NetHubport *p, Spread *s);

typedef struct {
    PortFn *fn;
    Spread *s;
} Walk;

static bool walk_port(NetBackend *b, void *opaque)
{
    Walk *w = opaque;
    const NetHubport *from = w->s->from;

    if (object_is_a(b, &net_hubport_type) && NET_HUBPORT(b) != from &&
        NET_HUBPORT(b)->hubid == from->hubid) {
        w->fn(NET_HUBPORT(b), w->s);
    }
    return true;
}

/* fn for each other port of the hub. */
static void each_other(Spread *s, PortFn *fn)
{
    Walk w = {fn, s};

    net_backend_foreach(object_root(OBJECT(s->from)), walk_port, &w);
}

/* --- frames --- */

static bool is_connected(const NetHubport *p)
{
    return net_link_up(&p->parent_obj) && (p->below || p->parent_obj.user);
}

static bool has_room(const NetHubport *p)
{
    return p->below ? !p->full : net_can_deliver(&p->parent_obj, 0);
}

static void give(NetHubport *p, Spread *s)
{
    if (!is_connected(p)) {
        return;
    }
    if (!has_room(p)) {
        s->blocked++;
    } else if (!p->below) {
        net_deliver(&p->parent_obj, 0, s->frame);
        s->given++;
    } else if (net_send(p->below, 0, s->frame, 1) == 1) {
        s->given++;
    } else {
        p->full = true;
        s->blocked++;
    }
}

static void count_loss(NetHubport *p, Spread *s)
{
    if (is_connected(p) && !has_room(p) && !p->below) {
        net_count_dropped(&p->parent_obj, 0, NET_DIR_RX, 1);
    }
}

/* False: it has to wait. */
static bool spread(NetHubport *from, const NetFrame *f)
{
    Spread s = {.from = from, .frame = f};

    each_other(&s, give);
    if (s.given == 0 && s.blocked > 0) {
        from->waiting = true;
        return false;
    }
    if (s.blocked > 0) {
        each_other(&s, count_loss);
    }
    return true;
}

static unsigned hubport_send(NetBackend *b, unsigned queue, const NetFrame *frames, unsigned n)
{
    unsigned i = 0;

    while (i < n && spread(NET_HUBPORT(b), &frames[i])) {
        i++;
    }
    return i;
}

/* --- room --- */

static void wake(NetHubport *p, Spread *s)
{
    if (p->waiting) {
        p->waiting = false;
        loop_bh_schedule(p->again);
    }
}

static void room_at(NetHubport *p)
{
    Spread s = {.from = p};

    each_other(&s, wake);
}

/* Bottom half: what came in here may find room now. */
static void try_again(void *opaque)
{
    NetHubport *p = opaque;

    if (p->below) {
        net_receive_ready(p->below, 0);
    } else if (p->parent_obj.user) {
        net_backend_writable(&p->parent_obj, 0);
    }
}

static void hubport_receive_ready(NetBackend *b, unsigned queue)
{
    room_at(NET_HUBPORT(b));
}

/* --- the backend below --- */

static bool below_receive(void *opaque, unsigned queue, const NetFrame *f)
{
    NetHubport *p = opaque;

    return !net_link_up(&p->parent_obj) || spread(p, f);
}

static void below_ready(void *opaque, unsigned queue)
{
    NetHubport *p = opaque;

    p->full = false;
    room_at(p);
}

static bool connect_below(NetHubport *p, GError **err)
{
    NetBackend *b = net_backend_find(object_root(OBJECT(p)), p->netdev);
    NetUserOps ops = {.name = net_backend_id(&p->parent_obj),
                      .receive = below_receive,
                      .send_ready = below_ready,
                      .opaque = p};

    if (!b) {
        return error_set(err, "there is no netdev '%s'", p->netdev);
    }
    if (object_is_a(b, &net_hubport_type)) {
        return error_set(err, "netdev '%s' is a hubport itself", p->netdev);
    }
    p->below = net_attach(b, &ops, &p->parent_obj.main_loop, 1, err);
    return p->below != NULL;
}

/* --- life --- */

static bool hubport_check(NetBackend *b, GError **err)
{
    return property_was_set(OBJECT(b), "hubid") ||
           error_set(err, "'hubid' is missing: the number of the hub");
}

static bool hubport_open(NetBackend *b, GError **err)
{
    NetHubport *p = NET_HUBPORT(b);

    p->again = loop_bh_new(b->main_loop, try_again, p);
    return !p->netdev || connect_below(p, err);
}

static void hubport_close(NetBackend *b)
{
    NetHubport *p = NET_HUBPORT(b);

    net_detach(g_steal_pointer(&p->below));
    g_clear_pointer(&p->again, loop_bh_free);
    room_at(p);
}

static bool hubport_attach(NetBackend *b, GError **err)
{
    NetHubport *p = NET_HUBPORT(b);

    if (p->below) {
        return error_set(err, "netdev '%s' connects netdev '%s' to its hub, not a card",
                         net_backend_id(b), p->netdev);
    }
    return net_needs_main_loop(b, err);
}

static void hubport_detach(NetBackend *b)
{
    NetHubport *p = NET_HUBPORT(b);

    p->waiting = false;
    loop_bh_cancel(p->again);
    room_at(p);
}

static char *hubport_info(NetBackend *b)
{
    NetHubport *p = NET_HUBPORT(b);

    return g_strdup_printf(",hubid=%u%s%s", p->hubid, p->netdev ? ",netdev=" : "", p->netdev ?: "");
}

static void hubport_class_init(ObjectClass *klass, const void *data)
{
    NetBackendClass *k = NET_BACKEND_CLASS(klass);

    k->check = hubport_check;
    k->open = hubport_open;
    k->close = hubport_close;
    k->attach = hubport_attach;
    k->detach = hubport_detach;
    k->send = hubport_send;
    k->receive_ready = hubport_receive_ready;
    k->info = hubport_info;
}

static const Property hubport_props[] = {
    PROP_UINT32("hubid", NetHubport, hubid, 0, 0, UINT32_MAX, "number of the hub"),
    PROP_STRING("netdev", NetHubport, netdev, NULL, "backend that is connected to the hub here"),
    PROP_END,
};

const TypeInfo net_hubport_type = {
    .name = NET_TYPE_PREFIX "hubport",
    .parent = &net_backend_type,
    .instance_size = sizeof(NetHubport),
    .class_init = hubport_class_init,
    .props = hubport_props,
    .desc = "port of a hub that connects cards and backends",
};
