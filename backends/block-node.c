/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Block nodes: made from options, put into /block-nodes, connected to their children, resized,
 * described and deleted. What travels through them is in block.c.
 */
#include "backends/block-impl.h"

#include <string.h>

#include "backends/block-throttle.h"
#include "backends/user-creatable.h"
#include "core/log.h"

#define TYPE_PREFIX "block-"

static const char *const child_names[BLOCK_CHILDREN] = {"file", "backing"};

extern const TypeInfo block_file_type, block_host_device_type, block_raw_type, block_debug_type,
    block_throttle_type, block_overlay_type, block_nbd_type, block_null_co_type,
    block_null_aio_type;

/* clang-format off */
const TypeInfo *const block_types[] = {
    &block_file_type, &block_host_device_type, &block_nbd_type, &block_raw_type, &block_debug_type, &block_throttle_type,
    &block_overlay_type, &block_null_co_type, &block_null_aio_type,
    NULL,
};
/* clang-format on */

static Object *nodes_of(Object *root)
{
    return object_container(root, "block-nodes");
}

const char *block_node_name(const BlockNode *node)
{
    return node->parent_obj.name ?: "";
}

static const char *driver_name(const BlockNode *n)
{
    return object_type_name(n) + strlen(TYPE_PREFIX);
}

BlockNode *block_node_find(Object *root, const char *name)
{
    Object *nodes = nodes_of(root), *obj = object_child(nodes, name);

    for (unsigned i = 0; !obj && nodes->children && i < nodes->children->len; i++) {
        BlockNode *n = BLOCK_NODE(nodes->children->pdata[i]);

        if (!g_strcmp0(n->drive_id, name)) {
            return n;
        }
    }
    return obj ? BLOCK_NODE(obj) : NULL;
}

const char *block_node_on_error(const BlockNode *node, bool write)
{
    return write ? node->on_write_error : node->on_read_error;
}

const char *block_node_drive_id(const BlockNode *node)
{
    return node->drive_id;
}

/* --- options --- */

/* Options that are objects or lists in JSON. QEMU's blkdebug calls its file "image". */
static const struct {
    const char *name, *as;
} nested[] = {
    {"file", "file"},
    {"image", "file"},
    {"backing", "backing"},
    {"inject-error", "inject-error"},
};

static void add_nested(json_t *all, const char *name, const char *rest, json_t *value)
{
    json_t *inner = json_object_get(all, name);
    const char *dot;

    if (!json_is_object(inner)) {
        inner = json_object();
        json_object_set_new(all, name, inner);
    }
    dot = !strcmp(name, "inject-error") ? strchr(rest, '.') : NULL;
    if (dot) { /* of a list: inject-error.0.iotype */
        g_autofree char *index = g_strndup(rest, (gsize)(dot - rest));

        add_nested(inner, index, dot + 1, value);
    } else {
        json_object_set(inner, rest, value);
    }
}

/* {"file.driver": ..., "file.filename": ...} -> {"file": {...}}. New reference. */
static json_t *gather_nested(json_t *opts)
{
    json_t *all = json_object(), *value;
    const char *key;

    json_object_foreach(opts, key, value)
    {
        unsigned i;

        for (i = 0; i < G_N_ELEMENTS(nested); i++) {
            size_t len = strlen(nested[i].name);

            if (!strncmp(key, nested[i].name, len) && (!key[len] || key[len] == '.')) {
                break;
            }
        }
        if (i == G_N_ELEMENTS(nested)) {
            json_object_set(all, key, value);
        } else if (!key[strlen(nested[i].name)]) {
            json_object_set(all, nested[i].as, value);
        } else {
            add_nested(all, nested[i].as, key + strlen(nested[i].name) + 1, value);
        }
    }
    return all;
}

static bool is_reserved(const char *key)
{
    return !strcmp(key, "driver") || !strcmp(key, "node-name") || !strcmp(key, child_names[0]) ||
           !strcmp(key, child_names[1]);
}

/* Nested objects have properties with dots: {"cache": {"direct": true}} is "cache.direct". */
static bool set_option(BlockNode *n, const char *key, json_t *value, GError **err)
{
    const char *sub;
    json_t *part;

    if (json_is_object(value) && !property_find(OBJECT(n), key, NULL)) {
        json_object_foreach(value, sub, part)
        {
            g_autofree char *full = g_strdup_printf("%s.%s", key, sub);

            if (!set_option(n, full, part, err)) {
                return false;
            }
        }
        return true;
    }
    return property_set_option(OBJECT(n), key, value, err);
}

static bool set_options(BlockNode *n, json_t *opts, GError **err)
{
    const char *key;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        if (!is_reserved(key) && !set_option(n, key, value, err)) {
            return false;
        }
    }
    n->discard &= 1; /* "off" and "on" are "ignore" and "unmap" */
    if (n->detect_zeroes == BLOCK_DETECT_UNMAP && !n->discard) {
        return error_set(err, "detect-zeroes=unmap needs discard=unmap");
    }
    return true;
}

/* What a child that is written down within its parent takes over from it. */
static json_t *inherit(json_t *parent, json_t *child)
{
    static const char *const keys[] = {"read-only",      "auto-read-only", "cache.direct",
                                       "cache.no-flush", "cache",          "force-share",
                                       "discard"};
    json_t *all = json_copy(child);

    for (unsigned i = 0; i < G_N_ELEMENTS(keys); i++) {
        json_t *value = json_object_get(parent, keys[i]);

        if (value && !json_object_get(all, keys[i])) {
            json_object_set(all, keys[i], value);
        }
    }
    return all;
}

/* --- making --- */

static const TypeInfo *find_driver(const char *driver, GError **err)
{
    static const char *const formats[] = {"qcow2", "qcow",      "qed", "vmdk", "vdi", "vpc",
                                          "vhdx",  "parallels", "dmg", "luks", NULL};
    g_autofree char *name = g_strdup_printf(TYPE_PREFIX "%s", driver);
    const TypeInfo *type = type_find(name);
    const char *names[32] = {NULL}, *near;

    if (type && type_is_a(type, &block_node_type) && !type->abstract) {
        return type;
    }
    if (g_strv_contains(formats, driver)) {
        error_set(err, "images of format %s are opened through NBD: " BLOCK_NBD_WAY, driver,
                  driver);
        return NULL;
    }
    for (unsigned i = 0; block_types[i] && i < G_N_ELEMENTS(names) - 1; i++) {
        names[i] = block_types[i]->name + strlen(TYPE_PREFIX);
    }
    near = error_near_miss(driver, names);
    error_set(err, "unknown block driver '%s'%s%s%s", driver, near ? "; did you mean '" : "",
              near ? near : "", near ? "'?" : "");
    return NULL;
}

/* An automatic name has a '#', which users cannot give. */
static bool place(Object *root, BlockNode *n, const char *name, GError **err)
{
    Object *nodes = nodes_of(root);
    g_autofree char *automatic = NULL;

    if (name && !user_id_check(name, err)) {
        return false;
    }
    for (unsigned i = 0; !name; i++) {
        g_free(automatic);
        automatic = g_strdup_printf("#block%03u", i);
        if (!object_child(nodes, automatic)) {
            name = automatic;
        }
    }
    return object_add_child(nodes, name, OBJECT(n), NULL) ||
           error_set(err, "duplicate nodes with node-name='%s'", name);
}

static bool take_child(BlockNode *n, unsigned which, BlockNode *child, GError **err)
{
    if (child->parent || child->users->len > 0) {
        return error_set(err, "block node '%s' is in use already", block_node_name(child));
    }
    n->child[which] = BLOCK_NODE(object_ref(child));
    child->parent = n;
    return true;
}

void block_node_take_child(BlockNode *n, unsigned which, BlockNode *child)
{
    n->child_inline[which] = true;
    take_child(n, which, child, NULL); /* nobody can have taken it */
}

static bool open_child(Object *root, BlockNode *n, unsigned which, json_t *opts, GError **err)
{
    json_t *value = json_object_get(opts, child_names[which]), *all;
    bool wanted = BLOCK_NODE_GET_CLASS(n)->wants[which];
    BlockNode *child;

    if (!value || json_is_null(value)) {
        return !wanted ||
               error_set(err, "'%s' is missing: a node's name or options", child_names[which]);
    }
    if (!wanted) {
        return error_set(err, "driver '%s' has no '%s'", driver_name(n), child_names[which]);
    }
    if (json_is_string(value)) {
        child = block_node_find(root, json_string_value(value));
        /* one that is being opened is this node, or above it */
        return child && child->opened
                   ? take_child(n, which, child, err)
                   : error_set(err, "there is no block node '%s'", json_string_value(value));
    }
    if (!json_is_object(value)) {
        return error_set(err, "'%s' is neither a node's name nor options", child_names[which]);
    }
    all = inherit(opts, value);
    child = block_node_add(root, n->loop, all, err);
    json_decref(all);
    if (!child) {
        return false;
    }
    block_node_take_child(n, which, child);
    return true;
}

static void settle_limits(BlockNode *n)
{
    n->limits.read_only |= n->read_only;
    n->limits.write_cache &= n->cache_writeback;
    if (!n->discard) {
        n->limits.max_discard = n->limits.max_secure_erase = 0;
    }
}

static bool node_open(Object *root, BlockNode *n, json_t *opts, GError **err)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    if (!set_options(n, opts, err)) {
        return false;
    }
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (!open_child(root, n, i, opts, err)) {
            return false;
        }
    }
    if (n->child[0]) {
        n->limits = n->child[0]->limits;
    }
    if (k->open && !k->open(n, err)) {
        return false;
    }
    n->opened = true;
    settle_limits(n);
    OBJECT(n)->props_frozen = true;
    return true;
}

static void node_remove(BlockNode *n)
{
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (n->child[i] && n->child_inline[i]) {
            node_remove(n->child[i]);
        }
    }
    object_unparent(OBJECT(n));
}

BlockNode *block_node_add(Object *root, EventLoop *main_loop, json_t *opts, GError **err)
{
    json_t *all = gather_nested(opts);
    const char *driver = json_string_value(json_object_get(all, "driver"));
    const TypeInfo *type = NULL;
    BlockNode *n = NULL;

    if (!driver) {
        error_set(err, "'driver' is missing, such as driver=file");
    } else {
        type = find_driver(driver, err);
    }
    if (type) {
        n = BLOCK_NODE(object_new(type));
        n->loop = main_loop;
        if (!place(root, n, json_string_value(json_object_get(all, "node-name")), err)) {
            object_unref(g_steal_pointer(&n));
        } else if (!node_open(root, n, all, err)) {
            node_remove(g_steal_pointer(&n));
        }
    }
    json_decref(all);
    return n;
}

bool block_node_del(Object *root, const char *name, GError **err)
{
    BlockNode *n = block_node_find(root, name);

    if (!n) {
        return error_set(err, "Failed to find node with node-name='%s'", name);
    }
    if (n->parent) {
        return error_set(err, "Node '%s' is busy: node is used as '%s' of '%s'", name,
                         child_names[n->parent->child[0] == n ? 0 : 1], block_node_name(n->parent));
    }
    if (n->users->len > 0) {
        return error_set(err, "Node %s is in use", name);
    }
    node_remove(n);
    return true;
}

/* --- what is done with a node --- */

bool block_node_set_perm(BlockNode *n, const BlockPerm *perm, GError **err)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);
    BlockPerm old = n->perm, below = *perm;

    if (k->set_perm) {
        if (!k->set_perm(n, perm, err)) {
            return false;
        }
    } else {
        for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
            if (n->child[i] && !block_node_set_perm(n->child[i], &below, err)) {
                if (i > 0 && n->child[0]) {
                    block_node_set_perm(n->child[0], &old, NULL);
                }
                return false;
            }
            below.writes = false; /* a backing node is only read */
        }
    }
    n->perm = *perm;
    return true;
}

bool block_node_update_perm(BlockNode *n, GError **err)
{
    BlockPerm perm = {.reads = n->users->len > 0, .share_writes = true};

    for (unsigned i = 0; i < n->users->len; i++) {
        const BlockUser *u = n->users->pdata[i];

        perm.writes |= u->ops.writes;
        perm.share_writes &= u->ops.share_rw;
    }
    return block_node_set_perm(n, &perm, err);
}

static BlockNode *top_of(BlockNode *n)
{
    while (n->parent) {
        n = n->parent;
    }
    return n;
}

static void user_quiesce(BlockUser *u, bool on)
{
    if (u->ops.quiesce) {
        u->ops.quiesce(u->ops.opaque, on);
        return;
    }
    for (unsigned i = 0; on && i < u->queues->len; i++) {
        block_drain(u->queues->pdata[i]);
    }
}

void block_node_quiesce(BlockNode *n, bool on)
{
    n = top_of(n);
    for (unsigned i = 0; i < n->users->len; i++) {
        user_quiesce(n->users->pdata[i], on);
    }
}

/* --- resize --- */

static void refresh(BlockNode *n)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (n->child[i]) {
            refresh(n->child[i]);
        }
    }
    if (k->refresh) {
        k->refresh(n);
    } else if (n->child[0]) {
        n->limits.size = n->child[0]->limits.size;
    }
}

bool block_node_resize_child(BlockNode *n, uint64_t size, GError **err)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    if (k->resize) {
        return k->resize(n, size, err);
    }
    if (n->child[0] && !n->child[1]) {
        return block_node_resize_child(n->child[0], size, err);
    }
    return error_set(err, "driver '%s' cannot be resized", driver_name(n));
}

bool block_node_resize(BlockNode *node, uint64_t size, GError **err)
{
    BlockNode *top = top_of(node);
    bool ok;

    if (node->limits.read_only) {
        return error_set(err, "block node '%s' is read-only", block_node_name(node));
    }
    if (size > INT64_MAX || size % MAX(node->limits.request_alignment, BLOCK_SECTOR)) {
        return error_set(err, "the new size must be a multiple of %u and below 2^63",
                         MAX(node->limits.request_alignment, BLOCK_SECTOR));
    }
    block_node_quiesce(top, true);
    ok = block_node_resize_child(node, size, err);
    refresh(top);
    for (unsigned i = 0; ok && i < top->users->len; i++) {
        const BlockUser *u = top->users->pdata[i];

        if (u->ops.resized) {
            u->ops.resized(u->ops.opaque);
        }
    }
    block_node_quiesce(top, false);
    return ok;
}

/* --- description --- */

char *block_node_filename(BlockNode *n)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    if (k->filename) {
        return k->filename(n);
    }
    return n->child[0] ? block_node_filename(n->child[0])
                       : g_strdup_printf("%s://", driver_name(n));
}

static int64_t node_allocated(BlockNode *n)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    if (k->allocated) {
        return k->allocated(n);
    }
    return n->child[0] ? node_allocated(n->child[0]) : -1;
}

bool block_lifetime(BlockNode *node, BlockLifetime *ret_lifetime)
{
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(node);

    if (!node->limits.lifetime) {
        return false;
    }
    if (k->lifetime) {
        return k->lifetime(node, ret_lifetime);
    }
    return node->child[0] && block_lifetime(node->child[0], ret_lifetime);
}

static json_t *image_info(BlockNode *n, const char *filename)
{
    json_t *image =
        json_pack("{s:s, s:s, s:I, s:b}", "filename", filename, "format", driver_name(n),
                  "virtual-size", (json_int_t)n->limits.size, "dirty-flag", 0);
    int64_t allocated = node_allocated(n);

    if (allocated >= 0) {
        json_object_set_new(image, "actual-size", json_integer(allocated));
    }
    return image;
}

json_t *block_node_info(BlockNode *n)
{
    static const char *const detect[] = {"off", "on", "unmap"};
    g_autofree char *filename = block_node_filename(n);
    json_t *info;

    info =
        json_pack("{s:s, s:s, s:s, s:b, s:b, s:i, s:s, s:i, s:{s:b, s:b, s:b}, s:o}", "node-name",
                  block_node_name(n), "drv", driver_name(n), "file", filename, "ro",
                  n->limits.read_only, "encrypted", 0, "backing_file_depth",
                  n->child[BLOCK_CHILD_BACKING] ? 1 : 0, "detect_zeroes", detect[n->detect_zeroes],
                  "write_threshold", 0, "cache", "writeback", n->cache_writeback, "direct",
                  n->cache_direct, "no-flush", n->cache_no_flush, "image", image_info(n, filename));
    throttle_describe(n->throttle ? THROTTLE_GROUP(n->throttle) : NULL, info);
    for (BlockNode *p = n; p; p = p->child[0]) {
        const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(p);

        if (k->describe) {
            k->describe(p, info);
        }
    }
    return info;
}

/* --- the base class --- */

static void node_init(Object *obj)
{
    BlockNode *n = BLOCK_NODE(obj);

    n->users = g_ptr_array_new();
    n->limits = (BlockLimits){
        .request_alignment = 1,
        .max_iov = BLOCK_MAX_IOV,
        .max_transfer = 1 << 30,
        .write_cache = true,
    };
}

static void node_finalize(Object *obj)
{
    BlockNode *n = BLOCK_NODE(obj);
    const BlockNodeClass *k = BLOCK_NODE_GET_CLASS(n);

    g_assert(n->users->len == 0);
    if (k->close) {
        k->close(n);
    }
    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (n->child[i]) {
            n->child[i]->parent = NULL;
            object_unref(n->child[i]);
        }
    }
    json_decref(n->intervals);
    object_unref(n->throttle);
    g_ptr_array_unref(n->users);
}

static json_t *get_intervals(Object *obj, const Property *prop, GError **err)
{
    const BlockNode *n = BLOCK_NODE(obj);

    return n->intervals ? json_incref(n->intervals) : json_array();
}

static bool set_intervals(Object *obj, const Property *prop, json_t *value, GError **err)
{
    BlockNode *n = BLOCK_NODE(obj);

    json_decref(n->intervals);
    n->intervals = json_incref(value);
    return true;
}

static const char *const discard_words[] = {"ignore", "unmap", "off", "on", NULL};
static const char *const detect_words[] = {"off", "on", "unmap", NULL};

static const Property node_props[] = {
    PROP_BOOL("read-only", BlockNode, read_only, false, "nothing may be written"),
    PROP_BOOL("auto-read-only", BlockNode, auto_read_only, false,
              "read-only where the host does not let us write"),
    PROP_BOOL("cache.direct", BlockNode, cache_direct, false, "past the host's page cache"),
    PROP_BOOL("cache.no-flush", BlockNode, cache_no_flush, false,
              "ignore flushes: fast, and lost when the host fails"),
    PROP_BOOL("cache.writeback", BlockNode, cache_writeback, true,
              "off: each write is on stable storage when it is done"),
    PROP_BOOL("force-share", BlockNode, force_share, false,
              "take no lock; only for read-only nodes"),
    PROP_ENUM("discard", BlockNode, discard, discard_words, 0,
              "what becomes of the guest's discards: ignore or unmap"),
    PROP_ENUM("detect-zeroes", BlockNode, detect_zeroes, detect_words, BLOCK_DETECT_OFF,
              "turn writes of zeroes into write-zeroes requests"),
    PROP_STRING("x-rerror", BlockNode, on_read_error, NULL, "rerror of -drive"),
    PROP_STRING("x-werror", BlockNode, on_write_error, NULL, "werror of -drive"),
    PROP_BOOL("x-account-invalid", BlockNode, account_invalid, true,
              "stats-account-invalid of -drive"),
    PROP_BOOL("x-account-failed", BlockNode, account_failed, true,
              "stats-account-failed of -drive"),
    PROP_CUSTOM("x-stats-intervals", "list", get_intervals, set_intervals, 0,
                "stats-intervals of -drive"),
    PROP_STRING("x-drive-id", BlockNode, drive_id, NULL, "id of -drive"),
    PROP_END,
};

const TypeInfo block_node_type = {
    .name = "block-node",
    .instance_size = sizeof(BlockNode),
    .class_size = sizeof(BlockNodeClass),
    .abstract = true,
    .instance_init = node_init,
    .instance_finalize = node_finalize,
    .props = node_props,
    .desc = "disk or filter",
};
