/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QEMU's firmware configuration by ports (docs/specs/fw_cfg of QEMU), as far as there is something
 * to say without firmware: signature, memory size, number of CPUs, an empty file directory. Not
 * here: files, the DMA interface, writing of items. The guest's ACPI tables do not name it; it is
 * for clients that play firmware.
 */
#include <string.h>

#include "core/le.h"
#include "hw/isa/isa.h"

enum {
    PORT = 0x510, /* a word written to it selects an item ... */
    DATA = 1,     /* ... whose bytes are read one by one from the port after it */

    FW_CFG_SIGNATURE = 0x00,
    FW_CFG_ID = 0x01,
    FW_CFG_UUID = 0x02,
    FW_CFG_RAM_SIZE = 0x03,
    FW_CFG_NOGRAPHIC = 0x04,
    FW_CFG_NB_CPUS = 0x05,
    FW_CFG_MAX_CPUS = 0x0f,
    FW_CFG_FILE_DIR = 0x19,

    SIGNATURE = 0x554d4551, /* "QEMU" */
    ID_TRADITIONAL = 1,     /* the ports, and no DMA */
    ITEM_MAX = 16,
};

OBJECT_DECLARE(FwCfg, fw_cfg, FW_CFG)

struct FwCfg {
    IsaDevice parent_obj;
    IoRegion io;
    uint64_t ram_size; /* properties */
    uint16_t cpus, max_cpus;
    uint16_t selected;
    unsigned offset; /* of the next byte */
};

/* Writes the selected item to buf; returns its length, 0 for an unknown one. */
static unsigned item(const FwCfg *s, uint8_t buf[ITEM_MAX])
{
    memset(buf, 0, ITEM_MAX);
    switch (s->selected) {
    case FW_CFG_SIGNATURE:
        le_store(buf, SIGNATURE, 4);
        return 4;
    case FW_CFG_ID:
        le_store(buf, ID_TRADITIONAL, 4);
        return 4;
    case FW_CFG_UUID: /* zero: none was given */
        return 16;
    case FW_CFG_RAM_SIZE:
        le_store(buf, s->ram_size, 8);
        return 8;
    case FW_CFG_NOGRAPHIC:
        le_store(buf, 1, 2);
        return 2;
    case FW_CFG_NB_CPUS:
        le_store(buf, s->cpus, 2);
        return 2;
    case FW_CFG_MAX_CPUS:
        le_store(buf, s->max_cpus, 2);
        return 2;
    case FW_CFG_FILE_DIR: /* the number of files, 0 in any byte order */
        return 4;
    default:
        return 0;
    }
}

static uint64_t fw_cfg_read(void *opaque, uint64_t off, unsigned size)
{
    FwCfg *s = opaque;
    uint8_t buf[ITEM_MAX];

    if (off != DATA || s->offset >= item(s, buf)) {
        return 0;
    }
    return buf[s->offset++];
}

static void fw_cfg_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    FwCfg *s = opaque;

    if (off == 0 && size == 2) {
        s->selected = (uint16_t)value;
        s->offset = 0;
    }
}

static const IoRegionOps fw_cfg_ops = {fw_cfg_read, fw_cfg_write, 1, 2};

static void fw_cfg_reset(Device *dev)
{
    FwCfg *s = FW_CFG(dev);

    s->selected = FW_CFG_SIGNATURE;
    s->offset = 0;
}

static bool fw_cfg_realize(Device *dev, GError **err)
{
    return isa_map_pio(ISA_DEVICE(dev), &FW_CFG(dev)->io, "fw_cfg", &fw_cfg_ops, PORT, 2, err);
}

static void fw_cfg_unrealize(Device *dev)
{
    io_region_finish(&FW_CFG(dev)->io);
}

static const Property fw_cfg_props[] = {
    PROP_UINT64("ram-size", FwCfg, ram_size, 0, 0, UINT64_MAX, "bytes of guest memory"),
    PROP_UINT16("cpus", FwCfg, cpus, 1, 0, UINT16_MAX, "number of CPUs"),
    PROP_UINT16("max-cpus", FwCfg, max_cpus, 1, 0, UINT16_MAX, "number of CPUs there may be"),
    PROP_END,
};

static void fw_cfg_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = fw_cfg_realize;
    dc->unrealize = fw_cfg_unrealize;
    dc->reset = fw_cfg_reset;
    dc->category = "misc";
}

const TypeInfo fw_cfg_type = {
    .name = "fw_cfg_io",
    .parent = &isa_device_type,
    .instance_size = sizeof(FwCfg),
    .class_init = fw_cfg_class_init,
    .props = fw_cfg_props,
    .desc = "QEMU's firmware configuration ports",
};
