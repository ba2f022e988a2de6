/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * vhost=on of a tap: a /dev/vhost-net for each queue pair, opened here or handed over. As in QEMU,
 * what cannot be had is warned of, and frames go through this process; vhostforce=on makes it an
 * error.
 */
#include "backends/net-tap.h"

#include <unistd.h>

#include "backends/fd-table.h"

struct TapVhost {
    unsigned n;
    struct {
        int fd;
        Vhost *vhost;
    } queues[NET_QUEUES_MAX];
};

int tap_take_fd(NetBackend *b, const char *text, GError **err)
{
    uint64_t fd;

    if (*text && !g_ascii_isdigit(*text)) {
        int taken = fd_table_take(fd_table_of(object_root(OBJECT(b))), text, NULL);

        if (taken < 0) {
            error_set(err, "'%s' is not the number of a file descriptor, nor a name of getfd",
                      text);
        }
        return taken;
    }
    if (!parse_uint(text, &fd, NULL) || fd > INT_MAX) {
        error_set(err, "'%s' is not the number of a file descriptor", text);
        return -1;
    }
    return (int)fd;
}

static bool is_on(const TapVhostOptions *o)
{
    return o->on || o->force || o->fd || o->fds;
}

static unsigned count(const char *fds)
{
    g_auto(GStrv) parts = g_strsplit(fds ?: "", ":", -1);

    return g_strv_length(parts);
}

bool tap_vhost_check(const TapVhostOptions *o, const char *tap_fds, unsigned queues, GError **err)
{
    if (o->fds && !tap_fds) {
        return error_set(err, "vhostfds= goes with fds=; give vhostfd=");
    }
    if (o->fd && (tap_fds || queues > 1)) {
        return error_set(err, "vhostfd= is of one queue pair; %s",
                         tap_fds ? "give vhostfds=" : "several need fds= and vhostfds=");
    }
    if (o->fd && strchr(o->fd, ':')) {
        return error_set(err, "vhostfd= takes one file descriptor");
    }
    if (o->fds && count(o->fds) != count(tap_fds)) {
        return error_set(err, "vhostfds= has %u file descriptors, fds= has %u", count(o->fds),
                         count(tap_fds));
    }
    return true;
}

/* text: the descriptor that was handed over; NULL: none. */
static bool open_one(NetBackend *b, TapVhost *v, const char *text, bool vnet, GError **err)
{
    int fd = text ? tap_take_fd(b, text, err) : vhost_open(err);
    Vhost *vhost = fd < 0 ? NULL : vhost_new(fd, !vnet, NULL, err);

    if (!vhost) {
        if (fd >= 0 && !(text && g_ascii_isdigit(*text))) {
            close(fd);
        }
        return false;
    }
    if (text) {
        net_own_fd(fd);
    }
    v->queues[v->n].fd = fd;
    v->queues[v->n].vhost = vhost;
    v->n++;
    return true;
}

static TapVhost *open_all(NetBackend *b, const TapVhostOptions *o, unsigned queues, bool vnet,
                          GError **err)
{
    g_auto(GStrv) given = o->fds ? g_strsplit(o->fds, ":", -1) : NULL;
    TapVhost *v = g_new0(TapVhost, 1);

    for (unsigned i = 0; i < queues; i++) {
        if (!open_one(b, v, given ? given[i] : o->fd, vnet, err)) {
            tap_vhost_free(v);
            return NULL;
        }
    }
    return v;
}

bool tap_vhost_open(NetBackend *b, const TapVhostOptions *o, unsigned queues, bool vnet,
                    TapVhost **ret, GError **err)
{
    g_autoptr(GError) why = NULL;

    *ret = is_on(o) ? open_all(b, o, queues, vnet, &why) : NULL;
    if (!why) {
        return true;
    }
    if (o->force) {
        return error_set(err, "%s", why->message);
    }
    log_warn("netdev '%s': %s: frames go through this process", net_backend_id(b), why->message);
    return true;
}

void tap_vhost_free(TapVhost *v)
{
    if (!v) {
        return;
    }
    for (unsigned i = 0; i < v->n; i++) {
        vhost_free(v->queues[i].vhost);
        close(v->queues[i].fd);
    }
    g_free(v);
}

Vhost *tap_vhost_of(const TapVhost *v, unsigned queue)
{
    return v && queue < v->n ? v->queues[queue].vhost : NULL;
}
