/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The block device (VIRTIO 1.4 §5.2): a disk for the guest on a node of backends/block.h. This file
 * has properties and life; features, configuration space and cache mode are in virtio-blk-config.c,
 * requests in virtio-blk-request.c and virtio-blk-parse.c. What the node cannot do is not offered.
 * Left out: zoned disks, SCSI commands, barriers.
 */
#include <inttypes.h>

#include "core/code-place.h"
#include "core/log.h"
#include "hw/virtio/devices.h"
#include "hw/virtio/virtio-blk-internal.h"

enum {
    QUEUE_SIZE = 256,
    QUEUE_SIZE_MIN = 4,
    QUEUE_SIZE_MAX = 1024,
    QUEUES_AUTO = UINT16_MAX,
    BLOCK_MAX = 2 * 1024 * 1024,
    SIZE_MAX_LEAST = 4096, /* drivers use segments of at least a page whatever they are told */
};
#define GRANULARITY_AUTO UINT64_MAX

/* --- the queues --- */

static void virtio_blk_handle_output(VirtIODevice *vdev, VirtQueue *vq)
{
    CODE_PLACE(virtio_blk_handle_output);
    VirtioBlk *s = VIRTIO_BLK(vdev);
    unsigned i = 0;

    while (s->queues[i].vq != vq) {
        i++;
    }
    virtio_blk_queue_run(&s->queues[i]);
}

static void virtio_blk_queue_reset(VirtIODevice *vdev, VirtQueue *vq)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);

    for (unsigned i = 0; i < s->n_queues; i++) {
        if (s->queues[i].vq == vq) {
            virtio_blk_queue_drop(&s->queues[i]);
        }
    }
}

static void virtio_blk_reset(VirtIODevice *vdev)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);

    for (unsigned i = 0; i < s->n_queues; i++) {
        virtio_blk_queue_cancel(&s->queues[i]);
    }
    for (unsigned i = 0; i < s->n_queues; i++) {
        virtio_blk_queue_drop(&s->queues[i]);
    }
    s->writeback = virtio_blk_first_writeback(s);
}

static void retry_stopped(VirtioBlk *s)
{
    for (unsigned i = 0; i < s->n_queues; i++) {
        virtio_blk_queue_retry(&s->queues[i]);
    }
}

/* May an error stop the VM? Then query-block tells of it (QEMU's rule). */
static bool may_stop(const VirtioBlk *s)
{
    return s->werror == BLK_ON_ERROR_STOP || s->werror == BLK_ON_ERROR_ENOSPC ||
           s->rerror == BLK_ON_ERROR_STOP;
}

/* Nothing is submitted while somebody wants so; the first one waits for what is in flight.
 * virtio_lock is held. */
static void quiesce(VirtioBlk *s, bool on)
{
    s->quiesced += on ? 1 : -1u;
    for (unsigned i = 0; on && i < s->n_queues; i++) {
        block_drain_start(s->queues[i].bq);
    }
    for (unsigned i = 0; i < s->n_queues; i++) {
        if (on) {
            block_drain(s->queues[i].bq);
        } else {
            virtio_blk_queue_run(&s->queues[i]);
        }
    }
}

/*
 * A stopped VM's image and memory do not change: whoever copies them has them whole. What is in
 * flight is waited for, and what fails meanwhile is tried again with the rest that was stopped.
 */
static void run_changed(void *opaque, bool running)
{
    VirtioBlk *s = opaque;

    virtio_lock(VIRTIO_DEVICE(s));
    if (running && may_stop(s)) {
        block_io_status_begin(s->user);
    }
    if (running == s->paused) {
        s->paused = !running;
        quiesce(s, s->paused);
    }
    s->retry_later = running && s->quiesced;
    if (running && !s->quiesced) {
        retry_stopped(s);
    }
    virtio_unlock(VIRTIO_DEVICE(s));
}

/* --- what the node asks for --- */

static void node_quiesce(void *opaque, bool on)
{
    VirtioBlk *s = opaque;

    virtio_lock(VIRTIO_DEVICE(s));
    quiesce(s, on);
    if (!s->quiesced && s->retry_later) {
        s->retry_later = false;
        retry_stopped(s);
    }
    virtio_unlock(VIRTIO_DEVICE(s));
}

/* Size and what else is in the configuration space may be new (§5.2.6.2). */
static void node_resized(void *opaque)
{
    virtio_notify_config(VIRTIO_DEVICE(opaque));
}

/* --- properties, as realize checks them --- */

static const char *const on_error[] = {"auto", "report", "ignore", "stop", "enospc", NULL};
static const char *const on_off_auto[] = {"auto", "on", "off", NULL};

static bool check_block(const char *name, uint64_t value, GError **err)
{
    if (value < BLK_SECTOR || value > BLOCK_MAX || (value & (value - 1))) {
        return error_set(err, "%s=%" PRIu64 " must be a power of 2 between %d and %d", name, value,
                         BLK_SECTOR, BLOCK_MAX);
    }
    return true;
}

static bool check_multiple(const VirtioBlk *s, const char *name, uint64_t value, uint64_t most,
                           GError **err)
{
    if (value % s->block_size != 0 || value / s->block_size > most) {
        return error_set(err,
                         "%s=%" PRIu64 " must be a multiple of logical_block_size=%" PRIu32
                         " and at most %" PRIu64 " of them",
                         name, value, s->block_size, most);
    }
    return true;
}

/* What was not given comes from the node. */
static bool take_block_sizes(VirtioBlk *s, GError **err)
{
    uint32_t least = MAX(s->limits->request_alignment, BLK_SECTOR);

    s->logical_block = s->logical_block ? s->logical_block : least;
    if (!check_block("logical_block_size", s->logical_block, err)) {
        return false;
    }
    if (s->logical_block < least) {
        return error_set(err,
                         "logical_block_size=%" PRIu64 " is too small: node '%s' takes "
                         "requests of whole %" PRIu32 " bytes",
                         s->logical_block, block_node_name(s->node), least);
    }
    s->block_size = (uint32_t)s->logical_block;
    if (!s->physical_block) {
        s->physical_block = MAX(s->logical_block, s->limits->physical_block);
    }
    if (!check_block("physical_block_size", s->physical_block, err)) {
        return false;
    }
    if (s->physical_block < s->logical_block) {
        return error_set(err,
                         "physical_block_size=%" PRIu64 " is smaller than "
                         "logical_block_size=%" PRIu32,
                         s->physical_block, s->block_size);
    }
    if (s->limits->size % s->block_size != 0) {
        return error_set(err,
                         "the size of node '%s', %" PRIu64 " bytes, is not a multiple of "
                         "logical_block_size=%" PRIu32,
                         block_node_name(s->node), s->limits->size, s->block_size);
    }
    return true;
}

static bool take_topology(VirtioBlk *s, GError **err)
{
    if (!s->opt_io && s->limits->opt_io % s->block_size == 0) {
        s->opt_io = s->limits->opt_io;
    }
    if (s->discard_granularity == GRANULARITY_AUTO) {
        s->discard_granularity = MAX(s->block_size, s->limits->discard_alignment);
        s->discard_granularity -= s->discard_granularity % s->block_size;
    }
    return check_multiple(s, "min_io_size", s->min_io, UINT16_MAX, err) &&
           check_multiple(s, "opt_io_size", s->opt_io, UINT32_MAX, err) &&
           check_multiple(s, "discard_granularity", s->discard_granularity, UINT32_MAX / BLK_SECTOR,
                          err);
}

static bool take_queues(VirtioBlk *s, GError **err)
{
    unsigned cpus = device_platform(DEVICE(s))->n_cpus;

    if (s->num_queues == QUEUES_AUTO) {
        s->n_queues = CLAMP(cpus, 1, s->limits->max_queues ?: VIRTIO_QUEUES_MAX);
    } else if (s->num_queues == 0 || s->num_queues > VIRTIO_QUEUES_MAX) {
        return error_set(err, "num-queues=%" PRIu32 " must be between 1 and %d", s->num_queues,
                         VIRTIO_QUEUES_MAX);
    } else {
        s->n_queues = s->num_queues;
    }
    if (s->queue_size & (s->queue_size - 1)) {
        return error_set(err, "queue-size=%" PRIu32 " must be a power of 2", s->queue_size);
    }
    if (!s->seg_max_adjust && s->queue_size < BLK_SEG_MAX_FIXED + 2) {
        return error_set(err, "queue-size=%" PRIu32 " with seg-max-adjust=off must be at least %d",
                         s->queue_size, BLK_SEG_MAX_FIXED + 2);
    }
    return true;
}

static int parse_on_error(const char *word, int otherwise)
{
    for (int i = 0; word && on_error[i]; i++) {
        if (g_str_equal(word, on_error[i])) {
            otherwise = i;
        }
    }
    return otherwise;
}

/* The device's own, else that of -drive, else QEMU's defaults. */
static void take_on_error(VirtioBlk *s)
{
    if (s->rerror == BLK_ON_ERROR_AUTO) {
        s->rerror = parse_on_error(block_node_on_error(s->node, false), BLK_ON_ERROR_REPORT);
    }
    if (s->werror == BLK_ON_ERROR_AUTO) {
        s->werror = parse_on_error(block_node_on_error(s->node, true), BLK_ON_ERROR_ENOSPC);
    }
}

static void take_accounting(VirtioBlk *s)
{
    bool invalid, failed;

    block_accounting(s->user, &invalid, &failed);
    block_set_accounting(s->user,
                         s->account_invalid == BLK_AUTO ? invalid : s->account_invalid == BLK_ON,
                         s->account_failed == BLK_AUTO ? failed : s->account_failed == BLK_ON);
}

static bool check_geometry(const VirtioBlk *s, GError **err)
{
    const struct {
        const char *name;
        uint32_t value, most;
    } parts[] = {{"cyls", s->cyls, UINT16_MAX},
                 {"heads", s->heads, UINT8_MAX},
                 {"secs", s->secs, UINT8_MAX}};

    for (unsigned i = 0; (s->cyls || s->heads || s->secs) && i < G_N_ELEMENTS(parts); i++) {
        if (parts[i].value < 1 || parts[i].value > parts[i].most) {
            return error_set(err, "%s=%" PRIu32 " must be between 1 and %" PRIu32, parts[i].name,
                             parts[i].value, parts[i].most);
        }
    }
    return true;
}

static bool check_rest(const VirtioBlk *s, GError **err)
{
    if (s->size_max % BLK_SECTOR || (s->size_max && s->size_max < SIZE_MAX_LEAST)) {
        return error_set(err, "size-max=%" PRIu32 " must be a multiple of %d, and at least %d",
                         s->size_max, BLK_SECTOR, SIZE_MAX_LEAST);
    }

    if (s->serial && strlen(s->serial) > BLK_ID_BYTES) {
        return error_set(err, "serial=%s is too long, %d bytes is the most", s->serial,
                         BLK_ID_BYTES);
    }
    return check_geometry(s, err);
}

/* --- properties that are lists --- */

static json_t *get_iothread_map(Object *obj, const Property *prop, GError **err)
{
    return virtio_iothread_map_get(&VIRTIO_BLK(obj)->threads);
}

static json_t *get_intervals(Object *obj, const Property *prop, GError **err)
{
    return virtio_list_get(VIRTIO_BLK(obj)->intervals);
}

static bool set_intervals(Object *obj, const Property *prop, json_t *value, GError **err)
{
    return virtio_list_set(&VIRTIO_BLK(obj)->intervals, value,
                           "stats-intervals must be a list of numbers of seconds", err);
}

static bool set_iothread_map(Object *obj, const Property *prop, json_t *value, GError **err)
{
    return virtio_iothread_map_set(&VIRTIO_BLK(obj)->threads, value, err);
}

static bool take_iothreads(VirtioBlk *s, GError **err)
{
    return virtio_iothread_map_take(&s->threads, device_platform(DEVICE(s))->root, s->iothread,
                                    s->n_queues, 1, err);
}

/* --- life --- */

static bool find_node(VirtioBlk *s, GError **err)
{
    if (!s->drive || !*s->drive) {
        return error_set(err, "drive is missing: give drive=ID of a -drive or -blockdev");
    }
    s->node = block_node_find(device_platform(DEVICE(s))->root, s->drive);
    if (!s->node) {
        return error_set(err,
                         "drive '%s' not found: no -drive has that id, no -blockdev that node name",
                         s->drive);
    }
    s->limits = block_limits(s->node);
    return true;
}

static bool attach(VirtioBlk *s, GError **err)
{
    Device *dev = DEVICE(s);
    g_autofree char *path = object_path(OBJECT(s));
    BlockUserOps ops = {
        .path = path,
        .share_rw = s->share_rw,
        .own_cache_mode = true,
        .resized = node_resized,
        .quiesce = node_quiesce,
        .opaque = s,
    };

    ops.writes = !s->limits->read_only;
    if (!dev->id && dev->bus->parent) {
        dev = dev->bus->parent; /* the proxy, which the user knows */
    }
    ops.name = dev->id ? dev->id : object_type_name(dev);
    s->user = block_attach(s->node, &ops, err);
    if (s->user && s->intervals && !block_set_intervals(s->user, s->intervals, err)) {
        g_clear_pointer(&s->user, block_detach);
    }
    return s->user != NULL;
}

static void virtio_blk_unrealize(VirtIODevice *vdev)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);

    platform_run_unlisten(device_platform(DEVICE(s)), &s->run);
    virtio_lock(vdev);
    for (unsigned i = 0; s->queues && i < s->n_queues; i++) {
        virtio_blk_queue_finish(&s->queues[i]);
    }
    virtio_unlock(vdev);
    g_clear_pointer(&s->queues, g_free);
    g_clear_pointer(&s->user, block_detach);
    s->n_queues = 0;
}

/* The core, too, is done with the iothreads. */
static void virtio_blk_instance_finalize(Object *obj)
{
    VirtioBlk *s = VIRTIO_BLK(obj);

    virtio_iothread_map_finish(&s->threads);
    json_decref(s->intervals);
}

/* Sources on an iothread's loop are made with its lock. */
static bool make_queue(VirtioBlk *s, BlkQueue *q, VirtQueue *vq, GError **err)
{
    bool ok;

    virtio_lock(VIRTIO_DEVICE(s));
    ok = virtio_blk_queue_init(s, q, vq, err);
    virtio_unlock(VIRTIO_DEVICE(s));
    return ok;
}

static bool make_queues(VirtioBlk *s, GError **err)
{
    VirtIODevice *vdev = VIRTIO_DEVICE(s);

    s->queues = g_new0(BlkQueue, s->n_queues);
    for (unsigned i = 0; i < s->n_queues; i++) {
        VirtQueue *vq = virtio_add_queue(vdev, (uint16_t)s->queue_size, virtio_blk_handle_output);

        virtio_queue_allow_polling(vq);
        if (s->threads.threads[i]) {
            virtio_queue_set_iothread(vq, iothread_object_thread(s->threads.threads[i]));
        }
        if (!make_queue(s, &s->queues[i], vq, err)) {
            return false;
        }
    }
    return true;
}

static bool virtio_blk_realize(VirtIODevice *vdev, GError **err)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);

    if (!find_node(s, err) || !take_queues(s, err) || !check_rest(s, err) ||
        !take_iothreads(s, err) || !attach(s, err)) {
        return false;
    }
    if (!take_block_sizes(s, err) || !take_topology(s, err)) {
        g_clear_pointer(&s->user, block_detach);
        return false;
    }
    take_on_error(s);
    take_accounting(s);
    if (may_stop(s)) {
        block_io_status_begin(s->user);
    }
    s->run = (PlatformRunListener){.changed = run_changed, .opaque = s};
    platform_run_listen(device_platform(DEVICE(s)), &s->run);
    virtio_init(vdev, VIRTIO_ID_BLOCK, BLK_CONFIG_BYTES);
    if (!make_queues(s, err)) {
        virtio_blk_unrealize(vdev);
        return false;
    }
    s->writeback = virtio_blk_first_writeback(s);
    return true;
}

static void virtio_blk_memory(Object *obj, MemoryTell *tell, void *opaque)
{
    VirtioBlk *s = VIRTIO_BLK(obj);

    virtio_device_memory(obj, tell, opaque);
    virtio_lock(VIRTIO_DEVICE(s));
    for (unsigned i = 0; i < s->n_queues; i++) {
        BlkQueue *q = &s->queues[i];

        tell(opaque, MEMORY_BUFFER, q->reqs, q->n * sizeof *q->reqs);
        for (const BlkSlot *slot = q->slots; slot; slot = slot->next) {
            tell(opaque, MEMORY_BUFFER, slot, sizeof *slot);
        }
    }
    virtio_unlock(VIRTIO_DEVICE(s));
}

static const Property virtio_blk_props[] = {
    PROP_STRING("drive", VirtioBlk, drive, NULL,
                "the disk: id of -drive or node name of -blockdev"),
    PROP_STRING("serial", VirtioBlk, serial, NULL, "serial number, up to 20 bytes"),
    PROP_UINT32_OPTIONAL("num-queues", VirtioBlk, num_queues, QUEUES_AUTO,
                         "request queues; not given: one per vCPU, or as many as the drive takes"),
    PROP_UINT32("queue-size", VirtioBlk, queue_size, QUEUE_SIZE, QUEUE_SIZE_MIN, QUEUE_SIZE_MAX,
                "entries of each queue, a power of 2"),
    PROP_BOOL("seg-max-adjust", VirtioBlk, seg_max_adjust, true,
              "allow as many segments as a queue has room for; off: 126"),
    PROP_BOOL("config-wce", VirtioBlk, config_wce, true, "let the driver choose the cache mode"),
    PROP_BOOL("discard", VirtioBlk, discard, true, "offer discard where the drive has it"),
    PROP_BOOL("write-zeroes", VirtioBlk, write_zeroes, true,
              "offer write zeroes where the drive has it"),
    PROP_UINT32("max-discard-sectors", VirtioBlk, max_discard_sectors, BLK_SECTORS_MAX, 1,
                BLK_SECTORS_MAX, "sectors of 512 bytes in one range of a discard"),
    PROP_UINT32("max-write-zeroes-sectors", VirtioBlk, max_write_zeroes_sectors, BLK_SECTORS_MAX, 1,
                BLK_SECTORS_MAX, "sectors of 512 bytes in one range of a write zeroes"),
    PROP_BOOL("secure-erase", VirtioBlk, secure_erase, true,
              "offer secure erase where the drive has it"),
    PROP_UINT32("size-max", VirtioBlk, size_max, 0, 0, INT32_MAX,
                "bytes in one segment of a request; 0: any number"),
    PROP_ENUM("write-cache", VirtioBlk, write_cache, on_off_auto, BLK_AUTO,
              "cache mode that the guest finds: on is write-back; auto: as the drive has it"),
    PROP_UINT32("cyls", VirtioBlk, cyls, 0, 0, UINT32_MAX,
                "geometry, together with heads and secs; 0: made up"),
    PROP_UINT32("heads", VirtioBlk, heads, 0, 0, UINT32_MAX, "see cyls"),
    PROP_UINT32("secs", VirtioBlk, secs, 0, 0, UINT32_MAX, "see cyls"),
    PROP_SIZE("logical_block_size", VirtioBlk, logical_block, 0, 0, BLOCK_MAX,
              "smallest request; 0: as the drive has it, at least 512"),
    PROP_SIZE("physical_block_size", VirtioBlk, physical_block, 0, 0, BLOCK_MAX,
              "what the storage writes at once; 0: as the drive has it"),
    PROP_SIZE("min_io_size", VirtioBlk, min_io, 0, 0, UINT32_MAX, "smallest good request; 0: none"),
    PROP_SIZE("opt_io_size", VirtioBlk, opt_io, 0, 0, UINT32_MAX,
              "best request; 0: as the drive has it"),
    PROP_SIZE_OPTIONAL("discard_granularity", VirtioBlk, discard_granularity, GRANULARITY_AUTO,
                       "discards should be multiples of it; not given: as the drive has it"),
    PROP_BOOL("request-merging", VirtioBlk, merging, true,
              "make one request of neighbours that come together"),
    PROP_ENUM("rerror", VirtioBlk, rerror, on_error, BLK_ON_ERROR_AUTO,
              "what a failed read does; auto: report"),
    PROP_ENUM("werror", VirtioBlk, werror, on_error, BLK_ON_ERROR_AUTO,
              "what a failed write does; auto: enospc, stop when the storage is full"),
    PROP_ENUM(
        "account-invalid", VirtioBlk, account_invalid, on_off_auto, BLK_AUTO,
        "refused requests end the idle time of query-blockstats; auto: as -drive says, or on"),
    PROP_ENUM("account-failed", VirtioBlk, account_failed, on_off_auto, BLK_AUTO,
              "failed requests, too, and their time is counted; auto: as -drive says, or on"),
    PROP_BOOL("share-rw", VirtioBlk, share_rw, false, "others may write to the drive meanwhile"),
    PROP_INT32("bootindex", VirtioBlk, bootindex, -1, -1, INT32_MAX,
               "place in firmware's boot order; without firmware it changes nothing"),
    PROP_LINK("iothread", VirtioBlk, iothread, IoThreadObject, &iothread_type,
              "serves all queues, an id of -object iothread; not given: the main loop"),
    PROP_CUSTOM("iothread-vq-mapping", "list", get_iothread_map, set_iothread_map, 0,
                "which iothread serves which queues: a list of {iothread, vqs}"),
    PROP_CUSTOM("stats-intervals", "list", get_intervals, set_intervals, 0,
                "seconds over which query-blockstats tells latencies: a list"),
    PROP_END,
};

static void virtio_blk_class_init(ObjectClass *klass, const void *data)
{
    VirtioDeviceClass *vc = VIRTIO_DEVICE_CLASS(klass);
    DeviceClass *dc = DEVICE_CLASS(klass);

    klass->memory = virtio_blk_memory;
    dc->user_creatable = true;
    dc->category = "storage";
    vc->realize = virtio_blk_realize;
    vc->unrealize = virtio_blk_unrealize;
    vc->get_features = virtio_blk_get_features;
    vc->get_config = virtio_blk_get_config;
    vc->config_writable = virtio_blk_config_writable;
    vc->set_config = virtio_blk_set_config;
    vc->set_status = virtio_blk_set_status;
    vc->queue_reset = virtio_blk_queue_reset;
    vc->reset = virtio_blk_reset;
}

const TypeInfo virtio_blk_type = {
    .name = "virtio-blk-device",
    .parent = &virtio_device_type,
    .instance_size = sizeof(VirtioBlk),
    .instance_finalize = virtio_blk_instance_finalize,
    .class_init = virtio_blk_class_init,
    .props = virtio_blk_props,
    .desc = "disk",
};
