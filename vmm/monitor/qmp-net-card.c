/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about network cards, whatever device they are: query-rx-filter, announce-self.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

#include "backends/net.h"
#include "hw/core/net-card.h"

/* --- query-rx-filter --- */

typedef struct {
    const char *name; /* NULL: all */
    json_t *list;
} FilterQuery;

static bool query_card(Object *card, const NetCardClass *c, void *opaque)
{
    FilterQuery *q = opaque;

    if (!q->name || !strcmp(c->name(card), q->name)) {
        json_array_append_new(q->list, c->rx_filter(card));
    }
    return true;
}

static json_t *run_query_rx_filter(Machine *m, json_t *args, GError **err)
{
    FilterQuery q = {json_string_value(json_object_get(args, "name")), json_array()};

    net_card_foreach(m->platform.root, query_card, &q);
    if (!q.name || json_array_size(q.list) > 0) {
        return q.list;
    }
    json_decref(q.list);
    if (net_backend_find(m->platform.root, q.name)) {
        error_set(err, "net client(%s) isn't a NIC", q.name);
    } else {
        error_set(err, "invalid net client name: %s", q.name);
    }
    return NULL;
}

/* --- announce-self --- */

static bool take_number(json_t *args, const char *name, uint32_t *ret, GError **err)
{
    json_int_t v = json_integer_value(json_object_get(args, name));

    if (v < 0 || v > INT32_MAX) {
        return error_set(err, "Parameter '%s' expects a number from 0 to %d", name, INT32_MAX);
    }
    *ret = (uint32_t)v;
    return true;
}

/* *ret_names: to be freed; NULL: all cards. */
static bool take_names(json_t *args, char ***ret_names, GError **err)
{
    json_t *list = json_object_get(args, "interfaces"), *name;
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    size_t i;

    if (!list) {
        *ret_names = NULL;
        return true;
    }
    if (!json_is_array(list)) {
        return error_set(err, "Invalid parameter type for 'interfaces', expected: array");
    }
    json_array_foreach(list, i, name)
    {
        if (!json_is_string(name)) {
            return error_set(err, "Invalid parameter type for 'interfaces[%zu]', expected: string",
                             i);
        }
        g_ptr_array_add(names, g_strdup(json_string_value(name)));
    }
    g_ptr_array_add(names, NULL);
    *ret_names = (char **)g_ptr_array_steal(names, NULL);
    return true;
}

static json_t *run_announce_self(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));
    g_auto(GStrv) names = NULL;
    AnnounceParams p;

    if (!take_number(args, "initial", &p.initial, err) || !take_number(args, "max", &p.max, err) ||
        !take_number(args, "rounds", &p.rounds, err) || !take_number(args, "step", &p.step, err) ||
        !take_names(args, &names, err)) {
        return NULL;
    }
    p.interfaces = names;
    if (!m->announcer) {
        m->announcer = announcer_new(&m->platform);
    }
    announcer_start(m->announcer, id ? id : "", &p);
    return json_object();
}

const QmpCommand qmp_net_card_commands[] = {
    {.name = "announce-self",
     .help = "let network cards tell where they are, in rounds some milliseconds apart",
     .args = {{"initial", QMP_ARG_INT, false},
              {"max", QMP_ARG_INT, false},
              {"rounds", QMP_ARG_INT, false},
              {"step", QMP_ARG_INT, false},
              {"interfaces", QMP_ARG_ANY, true},
              {"id", QMP_ARG_STR, true}},
     .arg_types = "interfaces:[str]",
     .run = run_announce_self},
    {.name = "query-rx-filter",
     .help = "what network cards let in; all of them or one",
     .args = {{"name", QMP_ARG_STR, true}},
     .run = run_query_rx_filter,
     .ret = "[RxFilterInfo]"},
    {0},
};
