/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio device explained from what it is at the moment: the function pointers in its queues, its
 * transport's class and regions are followed and told with their places in the source. Only what
 * calls them directly stands here as a list, of functions, not of words.
 */
#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_console.h>
#include <linux/virtio_net.h>

#include "core/code-place.h"
#include "hw/pci/msix.h"
#include "hw/virtio/virtio-describe.h"
#include "hw/virtio/virtqueue-ring.h"

/* --- configuration space (§5.*.4); fields lie as Linux' headers have them --- */

typedef struct {
    const char *name;
    size_t off, size;
} Field;

#define FIELD(type, field)                                                      \
    {                                                                           \
#field, offsetof(struct type, field), sizeof(((struct type *)0)->field) \
    }

#define BLK(field) FIELD(virtio_blk_config, field)
static const Field blk_fields[] = {
    BLK(capacity),
    BLK(size_max),
    BLK(seg_max),
    BLK(geometry.cylinders),
    BLK(geometry.heads),
    BLK(geometry.sectors),
    BLK(blk_size),
    BLK(physical_block_exp),
    BLK(alignment_offset),
    BLK(min_io_size),
    BLK(opt_io_size),
    BLK(wce),
    BLK(num_queues),
    BLK(max_discard_sectors),
    BLK(max_discard_seg),
    BLK(discard_sector_alignment),
    BLK(max_write_zeroes_sectors),
    BLK(max_write_zeroes_seg),
    BLK(write_zeroes_may_unmap),
    /* Not in all versions of <linux/virtio_blk.h>. */
    {"max_secure_erase_sectors", 60, 4},
    {"max_secure_erase_seg", 64, 4},
    {"secure_erase_sector_alignment", 68, 4},
    {"zoned.zone_sectors", 72, 4},
    {"zoned.max_open_zones", 76, 4},
    {"zoned.max_active_zones", 80, 4},
    {"zoned.max_append_sectors", 84, 4},
    {"zoned.write_granularity", 88, 4},
    {"zoned.model", 92, 1},
    {NULL, 0, 0},
};

#define NET(field) FIELD(virtio_net_config, field)
static const Field net_fields[] = {
    NET(mac),
    NET(status),
    NET(max_virtqueue_pairs),
    NET(mtu),
    NET(speed),
    NET(duplex),
    NET(rss_max_key_size),
    NET(rss_max_indirection_table_length),
    NET(supported_hash_types),
    {NULL, 0, 0},
};

#define CONSOLE(field) FIELD(virtio_console_config, field)
static const Field console_fields[] = {
    CONSOLE(cols), CONSOLE(rows), CONSOLE(max_nr_ports), CONSOLE(emerg_wr), {NULL, 0, 0},
};

#define BALLOON(field) FIELD(virtio_balloon_config, field)
static const Field balloon_fields[] = {
    BALLOON(num_pages),  BALLOON(actual), BALLOON(free_page_hint_cmd_id),
    BALLOON(poison_val), {NULL, 0, 0},
};

static const Field *const device_fields[] = {
    [VIRTIO_ID_NET] = net_fields,
    [VIRTIO_ID_BLOCK] = blk_fields,
    [VIRTIO_ID_CONSOLE] = console_fields,
    [VIRTIO_ID_BALLOON] = balloon_fields,
};

static void explain_field(VirtIODevice *vdev, const Field *f, GString *text)
{
    g_string_append_printf(text, "  0x%02zx  %zu  %-33s ", f->off, f->size, f->name);
    if (f->size <= 4 || f->size == 8) {
        g_string_append_printf(text, "now %" PRIu64 "\n",
                               virtio_config_read(vdev, f->off, (unsigned)f->size));
        return;
    }
    g_string_append(text, "now");
    for (size_t i = 0; i < f->size; i++) {
        g_string_append_printf(text, "%c%02x", i ? ':' : ' ',
                               (unsigned)virtio_config_read(vdev, f->off + i, 1));
    }
    g_string_append_c(text, '\n');
}

/* "§5.5.4", or what there is to say when the type is not among the specification's that are known.
 */
static void append_section(VirtIODevice *vdev, const char *clause, GString *text)
{
    const char *section = virtio_device_section(vdev->device_id);

    if (section) {
        g_string_append_printf(text, " (VIRTIO 1.4 §%s.%s)", section, clause);
    }
}

static void explain_config(VirtIODevice *vdev, GString *text)
{
    const Field *f =
        vdev->device_id < G_N_ELEMENTS(device_fields) ? device_fields[vdev->device_id] : NULL;

    g_string_append_printf(text, "\nConfiguration space, %zu bytes", vdev->config_size);
    append_section(vdev, "4", text);
    if (vdev->config_size == 0) {
        g_string_append(text, ": it has none\n");
        return;
    }
    g_string_append(text, f ? ": offset, size, field\n" : ": of the device's own layout\n");
    for (; f && f->name; f++) {
        if (f->off + f->size <= vdev->config_size) {
            explain_field(vdev, f, text);
        }
    }
}

/* --- features --- */

static void explain_features(VirtIODevice *vdev, GString *text)
{
    uint64_t offer = virtio_offer(vdev);

    g_string_append_printf(text, "\nFeatures offered, 0x%" PRIx64 ": bit, name\n", offer);
    for (unsigned bit = 0; bit < 64; bit++) {
        const char *what = virtio_feature_text(vdev->device_id, bit);
        g_autofree char *section = virtio_feature_section(vdev->device_id, bit);

        if (offer >> bit & 1) {
            g_string_append_printf(text, "  %2u  %s%s%s%s\n", bit, what ?: "of the device's own",
                                   section ? " (§" : "", section ?: "", section ? ")" : "");
        }
    }
}

/* --- queues --- */

static void explain_queues(VirtIODevice *vdev, GString *text)
{
    g_string_append(text, "\nQueues");
    append_section(vdev, "2", text);
    g_string_append(text, ": number, entries, handler of kicks\n");
    for (unsigned n = 0; n < vdev->queues->len; n++) {
        VirtQueue *vq = virtio_get_queue(vdev, n);
        g_autofree char *handler = code_place_text((CodeFn)vq->handle_output);

        g_string_append_printf(text, "  %2u  %4u  %s%s\n", n, vq->max_size, handler,
                               vq->iothread ? ", on an iothread" : "");
    }
}

/* --- a kick --- */

static void append_step(GString *text, const char *what, CodeFn fn)
{
    g_autofree char *place = code_place_text(fn);

    g_string_append_printf(text, "  %-34s %s\n", what, place);
}
#define STEP(text, what, fn) append_step(text, what, (CodeFn)(fn))

static void explain_rings(VirtIODevice *vdev, VirtQueue *vq, GString *text)
{
    bool packed = virtio_offer(vdev) >> VIRTIO_F_RING_PACKED & 1;

    STEP(text, "it takes a buffer", virtqueue_pop);
    STEP(text, "  of its ring", vq->ops->pop);
    if (packed) {
        STEP(text, "  or, if the driver wants", vq_packed_ops.pop);
    }
    STEP(text, "hands it back", virtqueue_push);
    STEP(text, "  to its ring", vq->ops->push);
    if (packed) {
        STEP(text, "  or, if the driver wants", vq_packed_ops.push);
    }
    STEP(text, "and tells the driver", virtio_notify);
    STEP(text, "  if its ring says so", vq->ops->should_notify);
    if (packed) {
        STEP(text, "  or, if the driver wants", vq_packed_ops.should_notify);
    }
}

static void explain_interrupt(VirtIODevice *vdev, GString *text)
{
    Device *proxy = BUS(vdev->vbus)->parent;

    STEP(text, "by the transport", VIRTIO_BUS_GET_CLASS(vdev->vbus)->notify);
    if (proxy && object_is_a(proxy, &pci_device_type) && msix_vectors(PCI_DEVICE(proxy)) > 0) {
        STEP(text, "  with a vector of MSI-X", msix_notify);
    }
}

/* Where the transport has the driver write; its region is there even when kicks come by exit only.
 */
static void explain_arrival(VirtIODevice *vdev, GString *text)
{
    VirtioBusClass *bc = VIRTIO_BUS_GET_CLASS(vdev->vbus);
    IoEventfd event = {0};
    IoRegion *region = bc->doorbell ? bc->doorbell(vdev->vbus, 0, &event) : NULL;

    if (!region) {
        g_string_append(text, "  the driver's write leaves the guest each time\n");
        return;
    }
    g_string_append_printf(text, "  the driver writes to region '%s', offset 0x%" PRIx64,
                           region->name, event.off);
    if (event.match) {
        g_string_append_printf(text, ", %u bytes of value %" PRIu64, event.size, event.value);
    }
    g_string_append_c(text, '\n');
    STEP(text, "an eventfd stands there, by", bc->doorbell);
    STEP(text, "  and its loop calls", virtio_doorbell_rang);
    STEP(text, "without one the vCPU exits", aspace_write);
    STEP(text, "  into the region", region->ops->write);
    STEP(text, "  and that calls", virtio_queue_notify);
}

static void explain_kick(VirtIODevice *vdev, GString *text)
{
    VirtQueue *vq = virtio_get_queue(vdev, 0);

    if (!vq) {
        return;
    }
    g_string_append(text, "\nThe path of a kick of queue 0\n");
    explain_arrival(vdev, text);
    STEP(text, "both come to", virtio_queue_serve);
    STEP(text, "which calls the queue's handler", vq->handle_output);
    explain_rings(vdev, vq, text);
    explain_interrupt(vdev, text);
}

void virtio_explain(VirtIODevice *vdev, GString *text)
{
    virtio_lock(vdev);
    explain_queues(vdev, text);
    explain_config(vdev, text);
    explain_features(vdev, text);
    explain_kick(vdev, text);
    virtio_unlock(vdev);
}
