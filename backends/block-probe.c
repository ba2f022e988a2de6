/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Image formats by their first bytes.
 */
#include "backends/block-probe.h"

#include <string.h>

#include "backends/block-impl.h"

static const struct {
    const char *format; /* as qemu-nbd -f calls it */
    unsigned at;
    const char *magic;
    unsigned len;
} formats[] = {
    {"qcow2", 0, "QFI\xfb\0\0\0\2", 8},
    {"qcow2", 0, "QFI\xfb\0\0\0\3", 8},
    {"qcow", 0, "QFI\xfb\0\0\0\1", 8},
    {"qed", 0, "QED\0", 4},
    {"vmdk", 0, "KDMV", 4},
    {"vmdk", 0, "COWD", 4},
    {"vmdk", 0, "# Disk DescriptorFile", 21},
    {"vdi", 64, "\x7f\x10\xda\xbe", 4},
    {"vhdx", 0, "vhdxfile", 8},
    {"vpc", 0, "conectix", 8},
    {"parallels", 0, "WithoutFreeSpace", 16},
    {"parallels", 0, "WithouFreSpacExt", 16},
    {"luks", 0, "LUKS\xba\xbe", 6},
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
