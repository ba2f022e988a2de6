/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -blockdev is a node's options as they are. -drive is QEMU's older way: one flat list for the
 * file, its format, how it is cached, its limits and where the guest finds it, which becomes a tree
 * of options here.
 */
#include "vmm/cli/block-options.h"

#include <string.h>
#include <sys/stat.h>

#include "backends/block-throttle.h"
#include "backends/user-creatable.h"
#include "core/log.h"
#include "vmm/cli/options.h"

json_t *block_options_parse_blockdev(const char *arg, GError **err)
{
    json_error_t jerr;
    json_t *opts;

    if (*arg != '{') {
        return options_parse_keyvals(arg, "driver", err);
    }
    opts = json_loads(arg, JSON_REJECT_DUPLICATES, &jerr);
    if (!opts) {
        error_set(err, "not a JSON object: %s", jerr.text);
    }
    return opts;
}

json_t *block_options_parse_drive(const char *arg, GError **err)
{
    return options_parse_keyvals(arg, NULL, err);
}

/* --- what -drive says, taken apart --- */

typedef struct {
    json_t *rest; /* what is not taken yet */
    const char *id, *interface, *file, *format;
    json_t *common; /* of all nodes of the drive: cache, read-only, discard */
    bool snapshot;
    ThrottleLimits limits;
    bool throttled;
    const char *group;
} Drive;

/* The text of a key, which is then no longer among the rest; it lives as long as the option. */
static const char *take(Drive *d, json_t *opts, const char *key)
{
    json_object_del(d->rest, key);
    return json_string_value(json_object_get(opts, key));
}

static bool take_flag(Drive *d, json_t *opts, const char *key, bool *ret_value, GError **err)
{
    const char *text = take(d, opts, key);

    if (!text || parse_bool(text, ret_value, err)) {
        return true;
    }
    g_prefix_error(err, "%s: ", key);
    return false;
}

static bool take_interface(Drive *d, json_t *opts, GError **err)
{
    const char *media = take(d, opts, "media");

    d->interface = take(d, opts, "if") ?: "virtio";
    if (strcmp(d->interface, "none") != 0 && strcmp(d->interface, "virtio") != 0) {
        return error_set(err, "if=%s: there is no such interface; known: none, virtio",
                         d->interface);
    }
    if (media && strcmp(media, "disk") != 0) {
        return error_set(err, "media=%s: there are disks only; use media=disk,readonly=on", media);
    }
    json_object_del(d->rest,
                    "index"); /* disks come in the order of their options, on no bus of their own */
    json_object_del(d->rest, "bus");
    json_object_del(d->rest, "unit");
    return true;
}

static const struct {
    const char *mode;
    bool direct, no_flush, writeback;
} cache_modes[] = {
    {"none", true, false, true},           {"writeback", false, false, true},
    {"writethrough", false, false, false}, {"directsync", true, false, false},
    {"unsafe", false, true, true},
};

static bool take_cache(Drive *d, json_t *opts, GError **err)
{
    const char *mode = take(d, opts, "cache");
    static const char *const keys[] = {"cache.direct", "cache.no-flush", "cache.writeback"};
    unsigned i;

    for (i = 0; mode && i < G_N_ELEMENTS(cache_modes); i++) {
        if (!strcmp(mode, cache_modes[i].mode)) {
            json_object_set_new(d->common, keys[0], json_boolean(cache_modes[i].direct));
            json_object_set_new(d->common, keys[1], json_boolean(cache_modes[i].no_flush));
            json_object_set_new(d->common, keys[2], json_boolean(cache_modes[i].writeback));
            break;
        }
    }
    if (i == G_N_ELEMENTS(cache_modes)) {
        return error_set(err, "cache=%s: known: none, writeback, writethrough, directsync, unsafe",
                         mode);
    }
    for (i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *text = take(d, opts, keys[i]);

        if (text) {
            json_object_set_new(d->common, keys[i], json_string(text));
        }
    }
    return true;
}

/* Options that the nodes have under the same name. */
static bool take_common(Drive *d, json_t *opts, GError **err)
{
    static const char *const keys[] = {"discard", "detect-zeroes", "auto-read-only", "force-share"};
    bool read_only = false, copy_on_read = false;

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        const char *text = take(d, opts, keys[i]);

        if (text) {
            json_object_set_new(d->common, keys[i], json_string(text));
        }
    }
    if (!take_flag(d, opts, "readonly", &read_only, err) ||
        !take_flag(d, opts, "read-only", &read_only, err) ||
        !take_flag(d, opts, "snapshot", &d->snapshot, err) ||
        !take_flag(d, opts, "copy-on-read", &copy_on_read, err)) {
        return false;
    }
    json_object_set_new(d->common, "read-only", json_boolean(read_only));
    return !copy_on_read || error_set(err, "copy-on-read=on is not supported");
}

static bool check_on_error(const char *key, const char *action, GError **err)
{
    static const char *const words[] = {"report", "ignore", "stop", "enospc", NULL};

    if (!action || !strcmp(action, "auto") ||
        (g_strv_contains(words, action) && (*key == 'w' || strcmp(action, "enospc") != 0))) {
        return true;
    }
    return error_set(err, "%s=%s: known: report, ignore, stop%s", key, action,
                     *key == 'w' ? ", enospc" : "");
}

/* --- throttling --- */

/* "throttling.iops-total-max" and the older "iops_max" are the same: "iops-total-max". NULL: none
 * of them. */
static char *throttle_key(const char *key)
{
    static const struct {
        const char *old, *name;
    } names[] = {
        {"bps_rd", "bps-read"},   {"bps_wr", "bps-write"},   {"bps", "bps-total"},
        {"iops_rd", "iops-read"}, {"iops_wr", "iops-write"}, {"iops_size", "iops-size"},
        {"iops", "iops-total"},
    };

    if (g_str_has_prefix(key, "throttling.")) {
        return g_strdup(key + strlen("throttling."));
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        size_t len = strlen(names[i].old);

        if (!strncmp(key, names[i].old, len) && (!key[len] || key[len] == '_')) {
            char *name = g_strconcat(names[i].name, key + len, NULL);

            return g_strdelimit(name, "_", '-');
        }
    }
    return NULL;
}

static bool take_limit(Drive *d, const char *key, const char *name, const char *text, GError **err)
{
    uint64_t *limit = throttle_limit_named(&d->limits, name);

    if (!strcmp(name, "group")) {
        d->group = text;
        return true;
    }
    if (!limit) {
        return error_set(err,
                         "unknown '%s'; known: throttling.iops-total, bps-read, ... with -max "
                         "and -max-length, iops-size, group",
                         key);
    }
    if (!parse_size(text, 1, limit, err)) {
        g_prefix_error(err, "%s: ", key);
        return false;
    }
    d->throttled = true;
    return true;
}

static bool take_throttling(Drive *d, json_t *opts, GError **err)
{
    const char *key;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        g_autofree char *name = throttle_key(key);

        if (name && !take_limit(d, key, name, json_string_value(value), err)) {
            return false;
        }
        if (name) {
            json_object_del(d->rest, key);
        }
    }
    return true;
}

static bool apply_throttling(Object *root, const Drive *d, BlockNode *n, GError **err)
{
    ThrottleGroup *g;

    if (!d->throttled && !d->group) {
        return true;
    }
    g = throttle_group_make(root, d->group ?: d->id);
    if (d->throttled && !throttle_group_set(g, &d->limits, err)) {
        return false;
    }
    block_node_set_throttle(n, g);
    return true;
}

/* --- the tree of nodes --- */

static bool is_nbd(const char *file)
{
    return g_str_has_prefix(file, "nbd:") || g_str_has_prefix(file, "nbd+unix://") ||
           g_str_has_prefix(file, "nbds://");
}

/* "nbd:unix:PATH" and "nbd:HOST:PORT" are QEMU's older way, with ":exportname=NAME" behind it. */
static void put_nbd_server(json_t *opts, const char *file)
{
    static const char export_key[] = ":exportname=";
    const char *export = strstr(file, export_key), *begin = file + strlen("nbd:");
    g_autofree char *server = g_strndup(begin, export ? (gsize)(export - begin) : strlen(begin));
    char *colon = strrchr(server, ':');

    if (export) {
        json_object_set_new(opts, "export", json_string(export + strlen(export_key)));
    }
    if (g_str_has_prefix(server, "unix:")) {
        json_object_set_new(opts, "server.type", json_string("unix"));
        json_object_set_new(opts, "server.path", json_string(server + strlen("unix:")));
        return;
    }
    json_object_set_new(opts, "server.type", json_string("inet"));
    if (colon) {
        json_object_set_new(opts, "server.port", json_string(colon + 1));
        *colon = '\0';
    }
    if (*server == '[' && g_str_has_suffix(server, "]")) { /* IPv6 */
        server[strlen(server) - 1] = '\0';
        memmove(server, server + 1, strlen(server));
    }
    json_object_set_new(opts, "server.host", json_string(server));
}

static const char *file_driver(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode) ? "host_device" : "file";
}

/* The node that holds the bytes. The rest of the options is its own. */
static json_t *protocol_opts(const Drive *d)
{
    json_t *opts = json_copy(d->common), *value;
    const char *key, *file = d->file;

    if (file && is_nbd(file)) {
        json_object_set_new(opts, "driver", json_string("nbd"));
        if (g_str_has_prefix(file, "nbd:") && !g_str_has_prefix(file, "nbd://")) {
            put_nbd_server(opts, file);
        } else {
            json_object_set_new(opts, "uri", json_string(file));
        }
    } else if (file) {
        file += g_str_has_prefix(file, "file:") ? strlen("file:") : 0;
        json_object_set_new(opts, "driver", json_string(file_driver(file)));
        json_object_set_new(opts, "filename", json_string(file));
    }
    json_object_foreach(d->rest, key, value)
    {
        bool dotted = g_str_has_prefix(key, "file.");

        json_object_set(opts, dotted ? key + strlen("file.") : key, value);
    }
    return opts;
}

static json_t *drive_opts(const Drive *d)
{
    json_t *opts = protocol_opts(d), *all;

    if (d->file || json_object_get(d->rest, "file.driver")) {
        all = json_copy(d->common);
        json_object_set_new(all, "driver", json_string(d->format ?: "raw"));
        json_object_set_new(all, "file", opts);
        if (!d->format) {
            json_object_set_new(all, "x-probed", json_true());
        }
        opts = all;
    }
    if (d->snapshot) {
        json_object_set_new(opts, "read-only", json_true());
        json_object_set_new(opts, "detect-zeroes", json_string("off"));
        if (json_object_get(opts, "file")) {
            json_object_set_new(json_object_get(opts, "file"), "read-only", json_true());
            json_object_set_new(json_object_get(opts, "file"), "detect-zeroes", json_string("off"));
        }
        all = json_copy(d->common);
        json_object_del(all, "cache.direct");
        json_object_set_new(all, "driver", json_string("overlay"));
        json_object_set_new(all, "backing", opts);
        opts = all;
    }
    return opts;
}

static void warn_of_probing(const Drive *d)
{
    if (d->file && !d->format && !is_nbd(d->file)) {
        log_warn("image format was not specified for '%s' and is taken as raw: the guest cannot "
                 "write what looks like another format into its first sector; give format=raw to "
                 "remove the restriction",
                 d->file);
    }
}

/* -device virtio-blk,drive=ID */
static void add_device(const Drive *d, GPtrArray *devices)
{
    if (!strcmp(d->interface, "virtio")) {
        g_ptr_array_add(devices, json_pack("{s:s, s:s}", "driver", "virtio-blk", "drive", d->id));
    }
}

/* stats-intervals.0=60,stats-intervals.1=3600: a list; NULL: none. New reference. */
static bool take_intervals(Drive *d, json_t *opts, json_t **ret_list, GError **err)
{
    json_t *list = json_array();

    for (unsigned i = 0;; i++) {
        g_autofree char *key = g_strdup_printf("stats-intervals.%u", i);
        const char *text = take(d, opts, key);
        uint64_t seconds;

        if (!text) {
            break;
        }
        if (!parse_uint(text, &seconds, err) || seconds == 0 || seconds > UINT32_MAX) {
            g_clear_error(err);
            json_decref(list);
            return error_set(err, "%s=%s must be between 1 and %u seconds", key, text, UINT32_MAX);
        }
        json_array_append_new(list, json_integer((json_int_t)seconds));
    }
    *ret_list = list;
    return true;
}

static bool make_drive(Object *root, EventLoop *loop, Drive *d, json_t *opts, GError **err)
{
    const char *on_read = take(d, opts, "rerror"), *on_write = take(d, opts, "werror");
    json_t *all, *intervals;
    BlockNode *n;

    if (!check_on_error("rerror", on_read, err) || !check_on_error("werror", on_write, err)) {
        return false;
    }
    if (!take_intervals(d, opts, &intervals, err)) {
        return false;
    }
    if (!d->file && !json_object_get(d->rest, "driver") &&
        !json_object_get(d->rest, "file.driver")) {
        json_decref(intervals);
        return error_set(err, "file=PATH is missing");
    }
    all = drive_opts(d);
    json_object_set_new(all, "x-drive-id", json_string(d->id));
    if (json_array_size(intervals) > 0) {
        json_object_set(all, "x-stats-intervals", intervals);
    }
    json_decref(intervals);
    if (on_read && strcmp(on_read, "auto") != 0) {
        json_object_set_new(all, "x-rerror", json_string(on_read));
    }
    if (on_write && strcmp(on_write, "auto") != 0) {
        json_object_set_new(all, "x-werror", json_string(on_write));
    }
    n = block_node_add(root, loop, all, err);
    json_decref(all);
    if (!n) {
        return false;
    }
    if (!apply_throttling(root, d, n, err)) {
        block_node_del(root, block_node_name(n), NULL);
        return false;
    }
    warn_of_probing(d);
    return true;
}

static bool take_drive(Object *root, EventLoop *loop, json_t *opts, unsigned number,
                       GPtrArray *devices, GError **err)
{
    Drive d = {.rest = json_copy(opts), .common = json_object()};
    g_autofree char *automatic = NULL;
    bool ok;

    ok = take_interface(&d, opts, err) && take_cache(&d, opts, err) && take_common(&d, opts, err) &&
         take_throttling(&d, opts, err);
    d.id = take(&d, opts, "id");
    d.file = take(&d, opts, "file");
    d.format = take(&d, opts, "format");
    if (ok && !d.id) {
        automatic = g_strdup_printf("%s%u", d.interface, number);
        d.id = automatic;
    }
    ok = ok && user_id_check(d.id, err);
    if (ok && block_node_find(root, d.id)) {
        ok = error_set(err, "duplicate id '%s'", d.id);
    }
    ok = ok && make_drive(root, loop, &d, opts, err);
    if (ok) {
        add_device(&d, devices);
    } else {
        g_prefix_error(err, "-drive %s%s: ", d.file ? "file=" : "", d.file ?: d.id ?: "");
    }
    json_decref(d.rest);
    json_decref(d.common);
    return ok;
}

bool block_options_make(Object *root, EventLoop *loop, GPtrArray *blockdevs, GPtrArray *drives,
                        GPtrArray *devices, GError **err)
{
    for (unsigned i = 0; i < blockdevs->len; i++) {
        json_t *opts = blockdevs->pdata[i];

        if (!json_object_get(opts, "node-name")) {
            return error_set(err, "-blockdev: 'node-name' is missing");
        }
        if (!block_node_add(root, loop, opts, err)) {
            g_prefix_error(
                err, "-blockdev %s: ", json_string_value(json_object_get(opts, "node-name")) ?: "");
            return false;
        }
    }
    for (unsigned i = 0; i < drives->len; i++) {
        if (!take_drive(root, loop, drives->pdata[i], i, devices, err)) {
            return false;
        }
    }
    return true;
}
