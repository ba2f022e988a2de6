/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a driver is told of a virtio-blk device and what it may set (VIRTIO 1.4 §5.2.3 to §5.2.5):
 * feature bits, configuration space, cache mode.
 */
#include "core/log.h"
#include "hw/virtio/virtio-blk-internal.h"

#define FEATURE(bit) (UINT64_C(1) << (bit))

/* --- on the wire (§5.2.4) --- */

typedef struct {
    Le64 capacity;
    Le32 size_max, seg_max;
    Le16 cylinders;
    uint8_t heads, sectors;
    Le32 blk_size;
    uint8_t physical_block_exp, alignment_offset;
    Le16 min_io_size;
    Le32 opt_io_size;
    uint8_t writeback, unused0;
    Le16 num_queues;
    Le32 max_discard_sectors, max_discard_seg, discard_sector_alignment;
    Le32 max_write_zeroes_sectors, max_write_zeroes_seg;
    uint8_t write_zeroes_may_unmap, unused1[3];
    Le32 max_secure_erase_sectors, max_secure_erase_seg, secure_erase_sector_alignment;
    struct {
        Le32 zone_sectors, max_open_zones, max_active_zones, max_append_sectors, write_granularity;
        uint8_t model, unused2[3];
    } zoned;
} WireConfig;

G_STATIC_ASSERT(sizeof(WireConfig) == BLK_CONFIG_BYTES);

/* --- features --- */

uint64_t virtio_blk_get_features(VirtIODevice *vdev, uint64_t common)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);
    uint64_t f = FEATURE(VIRTIO_BLK_F_SEG_MAX) | FEATURE(VIRTIO_BLK_F_GEOMETRY) |
                 FEATURE(VIRTIO_BLK_F_BLK_SIZE) | FEATURE(VIRTIO_BLK_F_FLUSH) |
                 FEATURE(VIRTIO_BLK_F_TOPOLOGY);

    f |= s->limits->read_only ? FEATURE(VIRTIO_BLK_F_RO) : 0;
    f |= s->config_wce ? FEATURE(VIRTIO_BLK_F_CONFIG_WCE) : 0;
    f |= s->n_queues > 1 ? FEATURE(VIRTIO_BLK_F_MQ) : 0;
    f |= virtio_blk_may_discard(s) ? FEATURE(VIRTIO_BLK_F_DISCARD) : 0;
    f |= virtio_blk_may_write_zeroes(s) ? FEATURE(VIRTIO_BLK_F_WRITE_ZEROES) : 0;
    f |= virtio_blk_may_secure_erase(s) ? FEATURE(VIRTIO_BLK_F_SECURE_ERASE) : 0;
    f |= s->limits->lifetime ? FEATURE(VIRTIO_BLK_F_LIFETIME) : 0;
    f |= s->size_max ? FEATURE(VIRTIO_BLK_F_SIZE_MAX) : 0;
    return f;
}

/* --- cache mode (§5.2.5, §5.2.6.2) --- */

bool virtio_blk_first_writeback(const VirtioBlk *s)
{
    return s->write_cache == BLK_AUTO ? s->limits->write_cache : s->write_cache == BLK_ON;
}

/*
 * The mode is the driver's to choose by the field where CONFIG_WCE is negotiated; elsewhere FLUSH
 * tells whether it knows of a cache. Legacy drivers have no FEATURES_OK: theirs is chosen at
 * DRIVER_OK alone, and what they wrote to the field stays (§5.2.5.3).
 */
void virtio_blk_set_status(VirtIODevice *vdev, uint8_t old)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);
    uint8_t added = vdev->status & (uint8_t)~old;
    bool flush = virtio_has_feature(vdev, VIRTIO_BLK_F_FLUSH);

    if (virtio_has_feature(vdev, VIRTIO_BLK_F_CONFIG_WCE)) {
        if ((added & VIRTIO_CONFIG_S_FEATURES_OK) && !flush) {
            s->writeback = false;
        }
    } else if (added & (VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK)) {
        s->writeback = flush;
    }
}

bool virtio_blk_config_writable(VirtIODevice *vdev, size_t off)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);

    return off == offsetof(WireConfig, writeback) && s->config_wce &&
           (vdev->legacy || ((vdev->status & VIRTIO_CONFIG_S_FEATURES_OK) &&
                             virtio_has_feature(vdev, VIRTIO_BLK_F_CONFIG_WCE)));
}

void virtio_blk_set_config(VirtIODevice *vdev, const void *config, size_t off, size_t len)
{
    const WireConfig *wire = config;

    VIRTIO_BLK(vdev)->writeback = wire->writeback != 0;
    TRACE(virtio_blk_cache, "writeback=%u", wire->writeback);
}

/* --- configuration space --- */

/* Whole blocks: what is behind the last one cannot be reached. */
static uint64_t usable_size(const VirtioBlk *s)
{
    return s->limits->size - s->limits->size % s->block_size;
}

/* As given, or as BIOSes made it up: 16 heads of 63 sectors, 16383 cylinders at most. */
static void fill_geometry(const VirtioBlk *s, WireConfig *wire)
{
    enum { HEADS = 16, SECTORS = 63, CYLINDERS_MAX = 16383 };
    uint64_t cylinders = usable_size(s) / BLK_SECTOR / (HEADS * SECTORS);

    cylinders = s->cyls ? s->cyls : CLAMP(cylinders, 2, CYLINDERS_MAX);
    wire->cylinders = le16_make((uint16_t)cylinders);
    wire->heads = s->cyls ? (uint8_t)s->heads : HEADS;
    wire->sectors = s->cyls ? (uint8_t)s->secs : SECTORS;
}

static void fill_discard(const VirtioBlk *s, WireConfig *wire)
{
    if (virtio_blk_may_discard(s)) {
        wire->max_discard_sectors = le32_make(s->max_discard_sectors);
        wire->max_discard_seg = le32_make(BLK_RANGES_MAX);
        wire->discard_sector_alignment = le32_make((uint32_t)(s->discard_granularity / BLK_SECTOR));
    }
    if (virtio_blk_may_write_zeroes(s)) {
        wire->max_write_zeroes_sectors = le32_make(s->max_write_zeroes_sectors);
        wire->max_write_zeroes_seg = le32_make(BLK_RANGES_MAX);
        wire->write_zeroes_may_unmap = s->limits->max_discard > 0;
    }
    if (virtio_blk_may_secure_erase(s)) {
        wire->max_secure_erase_sectors = le32_make(BLK_SECTORS_MAX);
        wire->max_secure_erase_seg = le32_make(BLK_RANGES_MAX);
        /* Linux takes no disk with a 0 here. */
        wire->secure_erase_sector_alignment =
            le32_make((uint32_t)(MAX(s->discard_granularity, s->block_size) / BLK_SECTOR));
    }
}

void virtio_blk_get_config(VirtIODevice *vdev, void *config)
{
    VirtioBlk *s = VIRTIO_BLK(vdev);
    WireConfig wire = {
        .capacity = le64_make(usable_size(s) / BLK_SECTOR),
        .size_max = le32_make(s->size_max),
        .seg_max = le32_make(s->seg_max_adjust ? s->queue_size - 2 : BLK_SEG_MAX_FIXED),
        .blk_size = le32_make(s->block_size),
        .physical_block_exp = (uint8_t)__builtin_ctzll(s->physical_block / s->block_size),
        .min_io_size = le16_make((uint16_t)(s->min_io / s->block_size)),
        .opt_io_size = le32_make((uint32_t)(s->opt_io / s->block_size)),
        .writeback = s->writeback,
        .num_queues = le16_make((uint16_t)s->n_queues),
    };

    fill_geometry(s, &wire);
    fill_discard(s, &wire);
    memcpy(config, &wire, sizeof wire);
}
