/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What status and feature bits mean (VIRTIO 1.4 §2.1, §6 and the device types' "Feature bits"). A
 * bit that a table does not have is told as a number.
 */
#include "hw/virtio/virtio-describe.h"

#include <linux/virtio_balloon.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_console.h>
#include <linux/virtio_ids.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>

typedef struct {
    unsigned bit;
    const char *text;
    const char *section; /* of the specification; NULL: the device type's own */
} Bit;

#define BIT(name, what)             \
    {                               \
        name, #name ": " what, NULL \
    }
#define COMMON(name, where, what)    \
    {                                \
        name, #name ": " what, where \
    }

static const Bit status_bits[] = {
    BIT(VIRTIO_CONFIG_S_ACKNOWLEDGE, "the guest has seen the device"),
    BIT(VIRTIO_CONFIG_S_DRIVER, "it has a driver for it"),
    BIT(VIRTIO_CONFIG_S_FEATURES_OK, "features are agreed on"),
    BIT(VIRTIO_CONFIG_S_DRIVER_OK, "the driver is ready"),
    BIT(VIRTIO_CONFIG_S_NEEDS_RESET, "the device has failed and needs a reset"),
    BIT(VIRTIO_CONFIG_S_FAILED, "the driver has given up"),
    {0, NULL, NULL},
};

static const Bit common_bits[] = {
    COMMON(VIRTIO_F_NOTIFY_ON_EMPTY, "6.3", "interrupt when the ring runs empty (legacy)"),
    COMMON(VIRTIO_F_ANY_LAYOUT, "6.3", "any split of a request into descriptors"),
    COMMON(VIRTIO_RING_F_INDIRECT_DESC, "2.7.5.3", "tables of descriptors outside of the ring"),
    COMMON(VIRTIO_RING_F_EVENT_IDX, "2.7.7", "each side says when to be told next"),
    COMMON(VIRTIO_F_VERSION_1, "6", "not the legacy interface"),
    COMMON(VIRTIO_F_ACCESS_PLATFORM, "6", "memory by the platform's rules (IOMMU)"),
    COMMON(VIRTIO_F_RING_PACKED, "2.8", "packed rings"),
    COMMON(VIRTIO_F_IN_ORDER, "6", "buffers are used in the order they came"),
    COMMON(VIRTIO_F_ORDER_PLATFORM, "6", "memory order by the platform's rules"),
    COMMON(VIRTIO_F_SR_IOV, "6", "virtual functions"),
    COMMON(VIRTIO_F_NOTIFICATION_DATA, "2.9", "kicks carry the ring's position"),
    COMMON(VIRTIO_F_NOTIF_CONFIG_DATA, "6", "kicks carry a value of the device's"),
    COMMON(VIRTIO_F_RING_RESET, "2.6.1", "single queues can be reset"),
    COMMON(VIRTIO_F_ADMIN_VQ, "6", "administration queues"),
    {0, NULL, NULL},
};

static const Bit blk_bits[] = {
    BIT(VIRTIO_BLK_F_SIZE_MAX, "limit of a segment's size"),
    BIT(VIRTIO_BLK_F_SEG_MAX, "limit of segments in a request"),
    BIT(VIRTIO_BLK_F_GEOMETRY, "cylinders, heads, sectors"),
    BIT(VIRTIO_BLK_F_RO, "read-only"),
    BIT(VIRTIO_BLK_F_BLK_SIZE, "block size"),
    BIT(VIRTIO_BLK_F_FLUSH, "flush command"),
    BIT(VIRTIO_BLK_F_TOPOLOGY, "optimal sizes and alignment"),
    BIT(VIRTIO_BLK_F_CONFIG_WCE, "the write cache can be switched"),
    BIT(VIRTIO_BLK_F_MQ, "several queues"),
    BIT(VIRTIO_BLK_F_DISCARD, "discard command"),
    BIT(VIRTIO_BLK_F_WRITE_ZEROES, "write zeroes command"),
    BIT(VIRTIO_BLK_F_SECURE_ERASE, "secure erase command"),
    {14, "VIRTIO_BLK_F_LIFETIME: lifetime command", NULL},
    {0, NULL, NULL},
};

static const Bit net_bits[] = {
    BIT(VIRTIO_NET_F_CSUM, "the guest may leave checksums to the device"),
    BIT(VIRTIO_NET_F_GUEST_CSUM, "the device may leave checksums to the guest"),
    BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS, "offloads can be switched"),
    BIT(VIRTIO_NET_F_MTU, "the device gives an MTU"),
    BIT(VIRTIO_NET_F_MAC, "the device has a MAC address"),
    BIT(VIRTIO_NET_F_GUEST_TSO4, "the guest takes large TCP/IPv4 segments"),
    BIT(VIRTIO_NET_F_GUEST_TSO6, "the guest takes large TCP/IPv6 segments"),
    BIT(VIRTIO_NET_F_GUEST_ECN, "the guest takes them with ECN"),
    BIT(VIRTIO_NET_F_GUEST_UFO, "the guest takes large UDP fragments"),
    BIT(VIRTIO_NET_F_HOST_TSO4, "the device takes large TCP/IPv4 segments"),
    BIT(VIRTIO_NET_F_HOST_TSO6, "the device takes large TCP/IPv6 segments"),
    BIT(VIRTIO_NET_F_HOST_ECN, "the device takes them with ECN"),
    BIT(VIRTIO_NET_F_HOST_UFO, "the device takes large UDP fragments"),
    BIT(VIRTIO_NET_F_MRG_RXBUF, "a frame may be in several buffers"),
    BIT(VIRTIO_NET_F_STATUS, "link state"),
    BIT(VIRTIO_NET_F_CTRL_VQ, "control queue"),
    BIT(VIRTIO_NET_F_CTRL_RX, "receive modes"),
    BIT(VIRTIO_NET_F_CTRL_VLAN, "VLAN filters"),
    BIT(VIRTIO_NET_F_CTRL_RX_EXTRA, "more receive modes"),
    BIT(VIRTIO_NET_F_GUEST_ANNOUNCE, "the guest can announce itself"),
    BIT(VIRTIO_NET_F_MQ, "several queue pairs"),
    BIT(VIRTIO_NET_F_CTRL_MAC_ADDR, "the MAC address can be set"),
    {51, "VIRTIO_NET_F_DEVICE_STATS: statistics of the device", NULL},
    {52, "VIRTIO_NET_F_VQ_NOTF_COAL: fewer interrupts, for each queue", NULL},
    {53, "VIRTIO_NET_F_NOTF_COAL: fewer interrupts", NULL},
    {54, "VIRTIO_NET_F_GUEST_USO4: the guest takes large UDP/IPv4 packets", NULL},
    {55, "VIRTIO_NET_F_GUEST_USO6: the guest takes large UDP/IPv6 packets", NULL},
    {56, "VIRTIO_NET_F_HOST_USO: the device takes large UDP packets", NULL},
    BIT(VIRTIO_NET_F_HASH_REPORT, "hashes of frames"),
    {59, "VIRTIO_NET_F_GUEST_HDRLEN: the driver gives exact header lengths", NULL},
    BIT(VIRTIO_NET_F_RSS, "queues chosen by hash"),
    BIT(VIRTIO_NET_F_RSC_EXT, "counts of merged segments"),
    BIT(VIRTIO_NET_F_STANDBY, "stands by for another card"),
    BIT(VIRTIO_NET_F_SPEED_DUPLEX, "speed and duplex"),
    {0, NULL, NULL},
};

static const Bit console_bits[] = {
    BIT(VIRTIO_CONSOLE_F_SIZE, "size of the terminal"),
    BIT(VIRTIO_CONSOLE_F_MULTIPORT, "several ports"),
    BIT(VIRTIO_CONSOLE_F_EMERG_WRITE, "writing before queues are there"),
    {0, NULL, NULL},
};

static const Bit balloon_bits[] = {
    BIT(VIRTIO_BALLOON_F_MUST_TELL_HOST, "pages are asked back before they are used"),
    BIT(VIRTIO_BALLOON_F_STATS_VQ, "statistics of the guest's memory"),
    BIT(VIRTIO_BALLOON_F_DEFLATE_ON_OOM, "the guest takes pages back when it runs out of memory"),
    BIT(VIRTIO_BALLOON_F_FREE_PAGE_HINT, "hints of free pages"),
    BIT(VIRTIO_BALLOON_F_PAGE_POISON, "the guest fills free pages"),
    BIT(VIRTIO_BALLOON_F_REPORTING, "reports of free pages"),
    {0, NULL, NULL},
};

static const Bit *const device_bits[] = {
    [VIRTIO_ID_NET] = net_bits,
    [VIRTIO_ID_BLOCK] = blk_bits,
    [VIRTIO_ID_CONSOLE] = console_bits,
    [VIRTIO_ID_BALLOON] = balloon_bits,
};

/* The clause of §5 about each device type. */
static const char *const device_sections[] = {
    [VIRTIO_ID_NET] = "5.1", [VIRTIO_ID_BLOCK] = "5.2",   [VIRTIO_ID_CONSOLE] = "5.3",
    [VIRTIO_ID_RNG] = "5.4", [VIRTIO_ID_BALLOON] = "5.5",
};

static const Bit *find_bit(const Bit *bits, unsigned bit)
{
    for (; bits && bits->text; bits++) {
        if (bits->bit == bit) {
            return bits;
        }
    }
    return NULL;
}

static const char *find(const Bit *bits, unsigned bit)
{
    const Bit *found = find_bit(bits, bit);

    return found ? found->text : NULL;
}

const char *virtio_status_text(uint8_t bit)
{
    return find(status_bits, bit);
}

bool virtio_feature_is_transport(unsigned bit)
{
    return find(common_bits, bit) != NULL;
}

const char *virtio_feature_text(uint16_t device_id, unsigned bit)
{
    const Bit *own = device_id < G_N_ELEMENTS(device_bits) ? device_bits[device_id] : NULL;

    return find(common_bits, bit) ?: find(own, bit);
}

const char *virtio_device_section(uint16_t device_id)
{
    return device_id < G_N_ELEMENTS(device_sections) ? device_sections[device_id] : NULL;
}

char *virtio_feature_section(uint16_t device_id, unsigned bit)
{
    const Bit *common = find_bit(common_bits, bit);
    const char *device = virtio_device_section(device_id);

    if (common) {
        return g_strdup(common->section);
    }
    return device ? g_strconcat(device, ".3", NULL) : NULL;
}
