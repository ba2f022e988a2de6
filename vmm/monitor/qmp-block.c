/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands about disks: what there is and what it did, resize, limits, nodes made and deleted
 * while the VM runs; and the iothreads that serve them. Shapes are those of QEMU 7.2.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>

#include "backends/block-throttle.h"
#include "backends/iothread.h"

/* --- all disks: nodes that -drive made or that a device uses --- */

typedef struct {
    json_t *list;
    BlockNode *node;
    json_t *(*describe)(BlockNode *node, BlockUser *user); /* user NULL: nobody uses it */
    unsigned users;
} DiskWalk;

static void walk_user(BlockUser *user, void *opaque)
{
    DiskWalk *w = opaque;

    w->users++;
    json_array_append_new(w->list, w->describe(w->node, user));
}

static GPtrArray *all_nodes(Machine *m)
{
    return object_container(m->platform.root, "block-nodes")->children;
}

static json_t *walk_disks(Machine *m, json_t *(*describe)(BlockNode *node, BlockUser *user))
{
    GPtrArray *nodes = all_nodes(m);
    json_t *list = json_array();

    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        DiskWalk w = {.list = list, .node = BLOCK_NODE(nodes->pdata[i]), .describe = describe};

        block_foreach_user(w.node, walk_user, &w);
        if (w.users == 0 && block_node_drive_id(w.node)) {
            json_array_append_new(list, describe(w.node, NULL));
        }
    }
    return list;
}

static json_t *describe_disk(BlockNode *node, BlockUser *user)
{
    static const char *const states[] = {NULL, "ok", "failed", "nospace"};
    json_t *disk =
        json_pack("{s:s, s:b, s:b, s:s, s:o}", "device", block_node_drive_id(node) ?: "", "locked",
                  0, "removable", 0, "type", "unknown", "inserted", block_node_info(node));

    if (user && block_io_status(user) != BLOCK_IO_STATUS_NONE) {
        json_object_set_new(disk, "io-status", json_string(states[block_io_status(user)]));
    }
    if (user) {
        json_object_set_new(disk, "qdev", json_string(block_user_path(user)));
    }
    return disk;
}

static json_t *run_query_block(Machine *m, json_t *args, GError **err)
{
    return walk_disks(m, describe_disk);
}

static json_t *run_query_named_block_nodes(Machine *m, json_t *args, GError **err)
{
    GPtrArray *nodes = all_nodes(m);
    json_t *list = json_array();

    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        json_array_append_new(list, block_node_info(BLOCK_NODE(nodes->pdata[i])));
    }
    return list;
}

/* --- counters --- */

/* In QEMU's words; write-zeroes count as writes, secure erases as unmaps. */
static const struct {
    const char *name;
    BlockOp op[2];
    unsigned nops;
    bool bytes, merged;
} stat_kinds[] = {
    {"rd", {BLOCK_READ}, 1, true, true},
    {"wr", {BLOCK_WRITE, BLOCK_WRITE_ZEROES}, 2, true, true},
    {"flush", {BLOCK_FLUSH}, 1, false, false},
    {"unmap", {BLOCK_DISCARD, BLOCK_SECURE_ERASE}, 2, true, true},
};

static void put_sum(json_t *stats, unsigned kind, const char *before, const char *after,
                    const uint64_t *counters)
{
    g_autofree char *name = g_strconcat(before, stat_kinds[kind].name, after, NULL);
    uint64_t sum = 0;

    for (unsigned i = 0; i < stat_kinds[kind].nops; i++) {
        sum += counters[stat_kinds[kind].op[i]];
    }
    json_object_set_new(stats, name, json_integer((json_int_t)sum));
}

static void put_histogram(json_t *stats, const BlockUser *user, BlockOp op, const char *name)
{
    const uint64_t *boundaries, *bins;
    unsigned n = block_histogram(user, op, &boundaries, &bins);
    json_t *b = json_array(), *c = json_array();

    for (unsigned i = 0; i < n; i++) {
        json_array_append_new(b, json_integer((json_int_t)boundaries[i]));
    }
    for (unsigned i = 0; i < n + 1 && n > 0; i++) {
        uint64_t count = __atomic_load_n(&bins[i], __ATOMIC_RELAXED);

        json_array_append_new(c, json_integer((json_int_t)count));
    }
    if (n > 0) {
        json_object_set_new(stats, name, json_pack("{s:O, s:O}", "boundaries", b, "bins", c));
    }
    json_decref(b);
    json_decref(c);
}

static json_t *stats_of(const BlockUser *user)
{
    BlockStats s = {.ops = {0}};
    bool invalid = true, failed = true;
    json_t *stats;

    if (user) {
        block_accounting(user, &invalid, &failed);
    }
    stats = json_pack("{s:b, s:b, s:o, s:I}", "account_invalid", invalid, "account_failed", failed,
                      "timed_stats", user ? block_timed_stats(user) : json_array(),
                      "wr_highest_offset", (json_int_t)(user ? block_highest_write(user) : 0));

    if (user) {
        block_stats(user, &s);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(stat_kinds); i++) {
        put_sum(stats, i, "", "_operations", s.ops);
        put_sum(stats, i, "", "_total_time_ns", s.ns);
        put_sum(stats, i, "failed_", "_operations", s.failed);
        put_sum(stats, i, "invalid_", "_operations", s.invalid);
        if (stat_kinds[i].bytes) {
            put_sum(stats, i, "", "_bytes", s.bytes);
        }
        if (stat_kinds[i].merged) {
            put_sum(stats, i, "", "_merged", s.merged);
        }
    }
    if (user && block_idle_ns(user) >= 0) {
        json_object_set_new(stats, "idle_time_ns", json_integer(block_idle_ns(user)));
    }
    if (user) {
        put_histogram(stats, user, BLOCK_READ, "rd_latency_histogram");
        put_histogram(stats, user, BLOCK_WRITE, "wr_latency_histogram");
        put_histogram(stats, user, BLOCK_FLUSH, "flush_latency_histogram");
    }
    return stats;
}

/* What is below a node does not count what its requests are for: how far they reached is what QEMU
 * tells, too. */
static void put_children(json_t *entry, const BlockNode *node)
{
    static const char *const names[BLOCK_CHILDREN] = {"parent", "backing"};

    for (unsigned i = 0; i < BLOCK_CHILDREN; i++) {
        if (node->child[i]) {
            json_t *child = json_pack("{s:s, s:o}", "node-name", block_node_name(node->child[i]),
                                      "stats", stats_of(NULL));

            put_children(child, node->child[i]);
            json_object_set_new(entry, names[i], child);
        }
    }
}

static json_t *describe_stats(BlockNode *node, BlockUser *user)
{
    json_t *entry = json_pack("{s:s, s:s, s:o}", "device", block_node_drive_id(node) ?: "",
                              "node-name", block_node_name(node), "stats", stats_of(user));

    if (user) {
        json_object_set_new(entry, "qdev", json_string(block_user_path(user)));
    }
    put_children(entry, node);
    return entry;
}

static void first_user(BlockUser *user, void *opaque)
{
    BlockUser **first = opaque;

    *first = *first ? *first : user;
}

/* query-nodes: one entry for each node, whoever uses it. */
static json_t *stats_of_nodes(Machine *m)
{
    GPtrArray *nodes = all_nodes(m);
    json_t *list = json_array();

    for (unsigned i = 0; nodes && i < nodes->len; i++) {
        BlockNode *node = BLOCK_NODE(nodes->pdata[i]);
        BlockUser *user = NULL;
        json_t *entry;

        block_foreach_user(node, first_user, &user);
        entry =
            json_pack("{s:s, s:o}", "node-name", block_node_name(node), "stats", stats_of(user));
        put_children(entry, node);
        json_array_append_new(list, entry);
    }
    return list;
}

static json_t *run_query_blockstats(Machine *m, json_t *args, GError **err)
{
    if (json_is_true(json_object_get(args, "query-nodes"))) {
        return stats_of_nodes(m);
    }
    return walk_disks(m, describe_stats);
}

/* --- finding a disk --- */

typedef struct {
    const char *id;
    BlockUser *user;
} UserSearch;

/* By its path, that of the device that a user knows, or the id of that. */
static bool has_id(const char *path, const char *id)
{
    static const char child[] = "/virtio-backend", users[] = "/machine/peripheral/";
    g_autofree char *device = g_strdup(path);

    if (g_str_has_suffix(device, child)) {
        device[strlen(device) - strlen(child)] = '\0';
    }
    return !strcmp(path, id) || !strcmp(device, id) ||
           (g_str_has_prefix(device, users) && !strcmp(device + strlen(users), id));
}

static void match_user(BlockUser *user, void *opaque)
{
    UserSearch *s = opaque;
    const char *drive = block_node_drive_id(block_user_node(user));

    if (!s->user && (has_id(block_user_path(user), s->id) || !g_strcmp0(drive, s->id))) {
        s->user = user;
    }
}

static BlockUser *find_user(Machine *m, const char *id, GError **err)
{
    GPtrArray *nodes = all_nodes(m);
    UserSearch s = {.id = id};

    for (unsigned i = 0; nodes && i < nodes->len && !s.user; i++) {
        block_foreach_user(BLOCK_NODE(nodes->pdata[i]), match_user, &s);
    }
    if (!s.user) {
        g_set_error(err, AEROSTAT_ERROR, AEROSTAT_ERROR_NOT_FOUND, "Device '%s' not found", id);
    }
    return s.user;
}

static BlockNode *find_node(Machine *m, json_t *args, GError **err)
{
    const char *device = json_string_value(json_object_get(args, "device"));
    const char *name = json_string_value(json_object_get(args, "node-name"));
    BlockNode *node = name     ? block_node_find(m->platform.root, name)
                      : device ? block_node_find(m->platform.root, device)
                               : NULL;

    if (!node) {
        error_set(err, "Cannot find device='%s' nor node-name='%s'", device ?: "", name ?: "");
    }
    return node;
}

/* --- changes --- */

static json_t *run_block_resize(Machine *m, json_t *args, GError **err)
{
    json_int_t size = json_integer_value(json_object_get(args, "size"));
    BlockNode *node;

    if (size < 0) {
        error_set(err, "Parameter 'size' expects a >0 size");
        return NULL;
    }
    node = find_node(m, args, err);
    return node && block_node_resize(node, (uint64_t)size, err) ? json_object() : NULL;
}

static json_t *run_blockdev_add(Machine *m, json_t *args, GError **err)
{
    if (!json_is_string(json_object_get(args, "node-name"))) {
        error_set(err, "'node-name' must be specified for the root node");
        return NULL;
    }
    return block_node_add(m->platform.root, m->platform.loop, args, err) ? json_object() : NULL;
}

static json_t *run_blockdev_del(Machine *m, json_t *args, GError **err)
{
    const char *name = json_string_value(json_object_get(args, "node-name"));
    const BlockNode *node = block_node_find(m->platform.root, name);

    if (node && block_node_drive_id(node)) {
        error_set(err, "Node '%s' is not owned by the monitor: -drive made it", name);
        return NULL;
    }
    return block_node_del(m->platform.root, name, err) ? json_object() : NULL;
}

/* "bps_rd_max_length" of QMP is "bps-read-max-length" of the group. */
static uint64_t *limit_of(ThrottleLimits *l, const char *key)
{
    static const struct {
        const char *qmp, *name;
    } names[] = {
        {"bps_rd", "bps-read"},   {"bps_wr", "bps-write"},   {"bps", "bps-total"},
        {"iops_rd", "iops-read"}, {"iops_wr", "iops-write"}, {"iops_size", "iops-size"},
        {"iops", "iops-total"},
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(names); i++) {
        size_t len = strlen(names[i].qmp);

        if (!strncmp(key, names[i].qmp, len) && (!key[len] || key[len] == '_')) {
            g_autofree char *name = g_strconcat(names[i].name, key + len, NULL);

            g_strdelimit(name, "_", '-');
            return throttle_limit_named(l, name);
        }
    }
    return NULL;
}

static bool take_limits(json_t *args, ThrottleLimits *ret_limits, bool *ret_any, GError **err)
{
    static const char *const needed[] = {"bps", "bps_rd", "bps_wr", "iops", "iops_rd", "iops_wr"};
    const char *key;
    json_t *value;

    for (unsigned i = 0; i < G_N_ELEMENTS(needed); i++) {
        if (!json_object_get(args, needed[i])) {
            return error_set(err, "Parameter '%s' is missing", needed[i]);
        }
    }
    *ret_any = false;
    json_object_foreach(args, key, value)
    {
        uint64_t *limit = limit_of(ret_limits, key);

        if (!strcmp(key, "device") || !strcmp(key, "id") || !strcmp(key, "group")) {
            continue;
        }
        if (!limit) {
            return error_set(err, "Parameter '%s' is unexpected", key);
        }
        if (!json_is_integer(value) || json_integer_value(value) < 0) {
            return error_set(err, "Invalid parameter type for '%s', expected: integer", key);
        }
        *limit = (uint64_t)json_integer_value(value);
        *ret_any |= *limit > 0;
    }
    return true;
}

/* The disk's group, "group", or one named after the disk. */
static ThrottleGroup *group_for(Machine *m, json_t *args, BlockNode *node)
{
    const char *name = json_string_value(json_object_get(args, "group"));

    if (!name && node->throttle) {
        return THROTTLE_GROUP(node->throttle);
    }
    return throttle_group_make(m->platform.root,
                               name ?: block_node_drive_id(node) ?: block_node_name(node));
}

static json_t *run_block_set_io_throttle(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));
    ThrottleLimits limits = {.iops_size = 0};
    BlockNode *node = NULL;
    BlockUser *user;
    ThrottleGroup *g;
    bool any;

    if (id) {
        user = find_user(m, id, err);
        node = user ? block_user_node(user) : NULL;
    } else {
        node = find_node(m, args, err);
    }
    if (!node || !take_limits(args, &limits, &any, err)) {
        return NULL;
    }
    if (!any && !node->throttle) {
        return json_object();
    }
    if (!any) { /* others in its group keep their limits */
        block_node_set_throttle(node, NULL);
        return json_object();
    }
    g = group_for(m, args, node);
    if (!throttle_group_set(g, &limits, err)) {
        return NULL;
    }
    block_node_set_throttle(node, g);
    return json_object();
}

/* --- histograms --- */

enum { MAX_BOUNDARIES = 256 };

static bool set_histogram(BlockUser *user, BlockOp op, json_t *list, GError **err)
{
    uint64_t boundaries[MAX_BOUNDARIES];
    size_t n = json_array_size(list);

    if (list && !json_is_array(list)) {
        return error_set(err, "Invalid parameter type for 'boundaries', expected: array");
    }
    if (n > MAX_BOUNDARIES) {
        return error_set(err, "at most %d boundaries", MAX_BOUNDARIES);
    }
    for (size_t i = 0; i < n; i++) {
        boundaries[i] = (uint64_t)MAX(json_integer_value(json_array_get(list, i)), 0);
    }
    if (!block_histogram_set(user, op, boundaries, (unsigned)n)) {
        return error_set(err, "boundaries must be positive and ascending");
    }
    return true;
}

static json_t *run_latency_histogram_set(Machine *m, json_t *args, GError **err)
{
    static const struct {
        const char *key;
        BlockOp op;
    } kinds[] = {
        {"boundaries-read", BLOCK_READ},
        {"boundaries-write", BLOCK_WRITE},
        {"boundaries-flush", BLOCK_FLUSH},
    };
    BlockUser *user = find_user(m, json_string_value(json_object_get(args, "id")), err);
    json_t *common = json_object_get(args, "boundaries");
    bool clear = json_object_size(args) == 1;

    for (unsigned i = 0; user && i < G_N_ELEMENTS(kinds); i++) {
        json_t *own = json_object_get(args, kinds[i].key) ?: common;

        if ((own || clear) && !set_histogram(user, kinds[i].op, own, err)) {
            return NULL;
        }
    }
    return user ? json_object() : NULL;
}

/* --- iothreads --- */

/* They wait in the kernel at once: nothing is polled. */
static json_t *run_query_iothreads(Machine *m, json_t *args, GError **err)
{
    GPtrArray *objects = object_container(m->platform.root, "objects")->children;
    json_t *list = json_array();

    for (unsigned i = 0; objects && i < objects->len; i++) {
        Object *obj = objects->pdata[i];

        if (object_is_a(obj, &iothread_type)) {
            IoThreadObject *o = IOTHREAD(obj);
            LoopPolling p;

            iothread_object_polling(o, &p);
            json_array_append_new(
                list, json_pack("{s:s, s:i, s:I, s:I, s:I, s:i}", "id", obj->name, "thread-id",
                                iothread_id(iothread_object_thread(o)), "poll-max-ns",
                                (json_int_t)p.max_ns, "poll-grow", (json_int_t)p.grow,
                                "poll-shrink", (json_int_t)p.shrink, "aio-max-batch", 0));
        }
    }
    return list;
}

const QmpCommand qmp_block_commands[] = {
    {.name = "query-block", .help = "all disks", .run = run_query_block, .ret = "[BlockInfo]"},
    {.name = "query-blockstats",
     .help = "what the disks did",
     .args = {{"query-nodes", QMP_ARG_BOOL, true}},
     .run = run_query_blockstats,
     .ret = "[BlockStats]"},
    {.name = "query-named-block-nodes",
     .help = "all block nodes",
     .args = {{"flat", QMP_ARG_BOOL, true}},
     .run = run_query_named_block_nodes,
     .ret = "[BlockDeviceInfo]"},
    {.name = "block_resize",
     .help = "change the size of a disk, or notice that it changed",
     .args = {{"device", QMP_ARG_STR, true},
              {"node-name", QMP_ARG_STR, true},
              {"size", QMP_ARG_INT, false}},
     .run = run_block_resize},
    {.name = "blockdev-add",
     .help = "make a block node, with arguments as after -blockdev",
     .args = {{"driver", QMP_ARG_STR, false}},
     .open = true,
     .run = run_blockdev_add},
    {.name = "blockdev-del",
     .help = "delete a block node that is not in use",
     .args = {{"node-name", QMP_ARG_STR, false}},
     .run = run_blockdev_del},
    {.name = "block_set_io_throttle",
     .help = "limit the requests and bytes per second of a disk",
     .args = {{"device", QMP_ARG_STR, true}, {"id", QMP_ARG_STR, true}},
     .open = true,
     .run = run_block_set_io_throttle},
    {.name = "block-latency-histogram-set",
     .help = "count latencies of a disk's requests between boundaries in ns",
     .args = {{"id", QMP_ARG_STR, false}},
     .open = true,
     .run = run_latency_histogram_set},
    {.name = "query-iothreads",
     .help = "all iothreads",
     .run = run_query_iothreads,
     .ret = "[IOThreadInfo]"},
    {0},
};
