/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -netdev, -nic and -net: see net-options.h.
 */
#include "vmm/cli/net-options.h"

#include <stdio.h>
#include <string.h>

#include "qom/property.h"
#include "vmm/cli/help.h"

#define TYPE_PREFIX "netdev-"

bool net_options_help(const char *type, GError **err)
{
    g_autofree char *name = g_strdup_printf(TYPE_PREFIX "%s", type);

    if (!strcmp(type, "help") || !strcmp(type, "?")) {
        printf("Available netdev backend types:\n");
        for (unsigned i = 0; net_types[i]; i++) {
            printf("  %-10s %s\n", net_types[i]->name + strlen(TYPE_PREFIX), net_types[i]->desc);
        }
        return true;
    }
    if (!type_find(name)) {
        return error_set(err, "unknown netdev type '%s'; 'help' lists all", type);
    }
    help_type(type_find(name));
    return true;
}

/* --- making --- */

static void say_where(const Options *o, json_t *opts, const char *option, GError **err)
{
    const char *type = json_string_value(json_object_get(opts, "type"));
    const char *id = json_string_value(json_object_get(opts, "id"));

    if (options_origin(o, opts)) {
        g_prefix_error(err, "%s: ", options_origin(o, opts));
    } else {
        g_prefix_error(err, "-%s %s%s%s: ", option, type ?: "", id ? ",id=" : "", id ?: "");
    }
}

static NetBackend *add_backend(const Options *o, Object *root, EventLoop *loop, json_t *opts,
                               GError **err)
{
    const char *id = json_string_value(json_object_get(opts, "id"));

    if (!o->check) {
        return net_backend_add(root, loop, opts, err);
    }
    return net_backend_check(root, loop, opts, err) ? net_backend_find(root, id) : NULL;
}

/* False: it is the end. */
static bool go_on_after(Options *o, json_t *opts, const char *option, GError **err)
{
    say_where(o, opts, option, err);
    return options_fault(o, err);
}

/* Keys of -nic that are the card's. */
static const char *const card_keys[] = {"mac", "macaddr", "addr", "vectors"};

static const char *card_model(const char *model, GError **err)
{
    if (!model || !strcmp(model, "virtio")) {
        return "virtio-net";
    }
    if (g_str_has_prefix(model, "virtio-net")) {
        return model;
    }
    error_set(err, "there is no network card '%s'; known: virtio-net", model);
    return NULL;
}

/* The address of a stream's peer is "addr" too, but an object or "addr.type". */
static void move_card_key(json_t *opts, json_t *card, const char *key)
{
    json_t *value = json_object_get(opts, key);

    if (json_is_string(value)) {
        json_object_set(card, strcmp(key, "macaddr") != 0 ? key : "mac", value);
        json_object_del(opts, key);
    }
}

static bool make_nic(Options *o, Object *root, EventLoop *loop, json_t *nic, unsigned n,
                     GError **err)
{
    json_t *opts = json_copy(nic), *card = json_object();
    const char *model = card_model(json_string_value(json_object_get(nic, "model")), err);
    NetBackend *b = NULL;

    json_object_del(opts, "model");
    for (unsigned i = 0; i < G_N_ELEMENTS(card_keys); i++) {
        move_card_key(opts, card, card_keys[i]);
    }
    if (!json_object_get(opts, "type")) {
        json_object_set_new(opts, "type", json_string("user"));
    }
    if (!json_object_get(opts, "id")) {
        json_object_set_new(opts, "id", json_sprintf("#nic%u", n));
    }
    if (model) {
        json_object_set_new(card, "driver", json_string(model));
        b = add_backend(o, root, loop, opts, err);
    }
    if (b) {
        json_object_set_new(card, "netdev", json_string(net_backend_id(b)));
        g_ptr_array_add(o->devices, card);
    } else {
        json_decref(card);
    }
    json_decref(opts);
    return b != NULL;
}

static bool is_none(json_t *opts)
{
    return !g_strcmp0(json_string_value(json_object_get(opts, "type")), "none");
}

/* A card that was asked for without saying where it is connected. */
static bool connect_card(const Options *o, json_t *device, Object *root, EventLoop *loop,
                         unsigned n, GError **err)
{
    const char *driver = json_string_value(json_object_get(device, "driver"));
    g_autofree char *id = g_strdup_printf("#user%u", n);
    json_t *opts;
    NetBackend *b;

    if (!driver || !g_str_has_prefix(driver, "virtio-net") || json_object_get(device, "netdev")) {
        return true;
    }
    opts = json_pack("{s:s, s:s}", "type", "user", "id", id);
    b = add_backend(o, root, loop, opts, err);
    json_decref(opts);
    if (!b) {
        g_prefix_error(err, "-device %s: ", driver);
        return false;
    }
    json_object_set_new(device, "netdev", json_string(id));
    return true;
}

static bool make_netdev(Options *o, Object *root, EventLoop *loop, json_t *opts, GError **err)
{
    const char *id = json_string_value(json_object_get(opts, "id"));

    if (id && id[0] == '#') {
        return error_set(err, "id '%s' must begin with a letter", id);
    }
    return add_backend(o, root, loop, opts, err) != NULL;
}

bool net_options_make(Options *o, Object *root, EventLoop *loop, GError **err)
{
    for (unsigned i = 0; i < o->netdevs->len; i++) {
        json_t *opts = o->netdevs->pdata[i];

        if (!make_netdev(o, root, loop, opts, err) && !go_on_after(o, opts, "netdev", err)) {
            return false;
        }
    }
    for (unsigned i = 0; i < o->nics->len; i++) {
        json_t *opts = o->nics->pdata[i];

        if (!is_none(opts) && !make_nic(o, root, loop, opts, i, err) &&
            !go_on_after(o, opts, "nic", err)) {
            return false;
        }
    }
    for (unsigned i = 0; !o->net_none && !o->netdevs->len && !o->nics->len && i < o->devices->len;
         i++) {
        if (!connect_card(o, o->devices->pdata[i], root, loop, i, err)) {
            return false;
        }
    }
    return true;
}
