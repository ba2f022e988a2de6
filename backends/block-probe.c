/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image formats by their first bytes.
 */
#include "backends/block-probe.h"

#include <string.h>

#include "backends/block-impl.h"

static const struct {
    const char *format; /* as qemu-nbd -f calls it */
    const char *magic;
    unsigned len, at;
} formats[] = {
    {"qcow2", "QFI\xfb\0\0\0\2", 8, 0},
    {"qcow2", "QFI\xfb\0\0\0\3", 8, 0},
    {"qcow", "QFI\xfb\0\0\0\1", 8, 0},
    {"qed", "QED\0", 4, 0},
    {"vmdk", "KDMV", 4, 0},
    {"vmdk", "COWD", 4, 0},
    {"vmdk", "# Disk DescriptorFile", 21, 0},
    {"vdi", "\x7f\x10\xda\xbe", 4, 64},
    {"vhdx", "vhdxfile", 8, 0},
    {"vpc", "conectix", 8, 0},
    {"parallels", "WithoutFreeSpace", 16, 0},
    {"parallels", "WithouFreSpacExt", 16, 0},
    {"luks", "LUKS\xba\xbe", 6, 0},
};

const char *block_probe_format(const uint8_t *head, size_t len)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].at + formats[i].len <= len &&
            !memcmp(head + formats[i].at, formats[i].magic, formats[i].len)) {
            return formats[i].format;
        }
    }
    return NULL;
}

bool block_probe_refuse_formats(BlockNode *node, GError **err)
{
    uint8_t head[BLOCK_MAX_ALIGN] __attribute__((aligned(BLOCK_MAX_ALIGN))) = {0};
    size_t len = MIN(block_limits(node)->size, sizeof head);
    const char *format;

    if (len > 0 && !block_node_read(node, 0, head, len, err)) {
        return false;
    }
    format = block_probe_format(head, BLOCK_PROBE_BYTES);
    return !format ||
           error_set(err,
                     "this is a %s image; " BLOCK_NBD_WAY ", or give format=raw to show the "
                     "guest the file as it is",
                     format, format);
}
