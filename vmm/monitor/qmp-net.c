/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about network backends, and what the human monitor says of them.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

#include "backends/net.h"
#include "qom/property.h"

static Object *root_of(Machine *m)
{
    return m->platform.root;
}

static json_t *run_netdev_add(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));

    if (id[0] == '#') {
        error_set(err, "Parameter 'id' expects an identifier");
        return NULL;
    }
    return net_backend_add_to_running(root_of(m), m->platform.loop, args, err) ? json_object()
                                                                               : NULL;
}

static json_t *run_netdev_del(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));

    return net_backend_del(root_of(m), id, err) ? json_object() : NULL;
}

/* --- set_link: by the netdev's id or by its card's --- */

typedef struct {
    const char *name;
    NetBackend *found;
} Search;

static bool by_card(NetBackend *b, void *opaque)
{
    Search *s = opaque;
    NetUser *u = net_backend_user(b);

    if (u && !strcmp(net_user_name(u), s->name)) {
        s->found = b;
    }
    return !s->found;
}

static json_t *run_set_link(Machine *m, json_t *args, GError **err)
{
    Search s = {.name = json_string_value(json_object_get(args, "name"))};

    s.found = net_backend_find(root_of(m), s.name);
    if (!s.found) {
        net_backend_foreach(root_of(m), by_card, &s);
    }
    if (!s.found) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_NOT_FOUND, "Device '%s' not found", s.name);
        return NULL;
    }
    net_backend_set_link(s.found, json_is_true(json_object_get(args, "up")));
    return json_object();
}

/* --- for the human monitor --- */

typedef struct {
    Object *root;
    GString *out;
} Text;

/* "card0: index=0,type=nic,macaddr=52:54:00:12:34:56", as far as the card has one. */
static void describe_card(Text *t, const char *name)
{
    Object *card = object_resolve_path(t->root, name, NULL);
    json_t *mac =
        card && property_find(card, "mac", NULL) ? property_get_json(card, "mac", NULL) : NULL;

    g_string_append_printf(t->out, "%s: index=0,type=nic", name);
    if (card) {
        g_string_append_printf(t->out, ",model=%s", object_type_name(card));
    }
    if (json_is_string(mac)) {
        g_string_append_printf(t->out, ",macaddr=%s", json_string_value(mac));
    }
    g_string_append(t->out, "\r\n \\ ");
    json_decref(mac);
}

static bool describe(NetBackend *b, void *opaque)
{
    Text *t = opaque;
    NetUser *u = net_backend_user(b);

    if (u) {
        describe_card(t, net_user_name(u));
    }
    g_string_append_printf(t->out, "%s: index=0,%s%s\r\n", net_backend_id(b), net_info_string(b),
                           net_link_up(b) ? "" : ",link=down");
    return true;
}

char *qmp_info_network(Machine *m)
{
    Text t = {root_of(m), g_string_new(NULL)};

    net_backend_foreach(root_of(m), describe, &t);
    return g_string_free(t.out, FALSE);
}

static bool first_user(NetBackend *b, void *opaque)
{
    NetBackend **found = opaque;

    if (!*found && g_str_has_prefix(net_info_string(b), "type=user")) {
        *found = b;
    }
    return !*found;
}

bool qmp_hostfwd(Machine *m, const char *arg, bool add, GError **err)
{
    g_auto(GStrv) words = g_strsplit_set(arg, " \t", 2);
    const char *text = words[0] ? words[g_strv_length(words) - 1] : "";
    NetBackend *b = NULL;

    if (g_strv_length(words) == 2) {
        b = net_backend_find(root_of(m), words[0]);
    } else {
        net_backend_foreach(root_of(m), first_user, &b);
    }
    if (!b) {
        return error_set(err, "there is no such netdev of type user");
    }
    return net_user_hostfwd(b, text, add, err);
}

const QmpCommand qmp_net_commands[] = {
    {.name = "netdev_add",
     .help = "make a network backend, with arguments as after -netdev",
     .args = {{"type", QMP_ARG_STR, false}, {"id", QMP_ARG_STR, false}},
     .open = true,
     .run = run_netdev_add},
    {.name = "netdev_del",
     .help = "delete a network backend; its card then has no network",
     .args = {{"id", QMP_ARG_STR, false}},
     .run = run_netdev_del},
    {.name = "set_link",
     .help = "plug or pull a card's cable, by the name of the card or of the netdev",
     .args = {{"name", QMP_ARG_STR, false}, {"up", QMP_ARG_BOOL, false}},
     .run = run_set_link},
    {0},
};
