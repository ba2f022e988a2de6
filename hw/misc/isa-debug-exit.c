/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A port that ends the VMM, for test guests: writing v ends it with exit status (v << 1) | 1, so
 * that 0 is never one.
 */
#include "hw/isa/isa.h"

OBJECT_DECLARE(DebugExit, isa_debug_exit, ISA_DEBUG_EXIT)

struct DebugExit {
    IsaDevice parent_obj;
    uint32_t iobase, iosize;
    IoRegion io;
};

static uint64_t debug_exit_read(void *opaque, uint64_t off, unsigned size)
{
    return 0;
}

static void debug_exit_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    DebugExit *s = opaque;

    platform_exit_request(device_platform(DEVICE(s)), (int)((uint32_t)value << 1 | 1));
}

static const IoRegionOps debug_exit_ops = {
    .read = debug_exit_read,
    .write = debug_exit_write,
    .max_size = 4,
};

static bool debug_exit_realize(Device *dev, GError **err)
{
    DebugExit *s = ISA_DEBUG_EXIT(dev);

    return isa_map_pio(ISA_DEVICE(s), &s->io, "isa-debug-exit", &debug_exit_ops, s->iobase,
                       s->iosize, err);
}

static void debug_exit_unrealize(Device *dev)
{
    io_region_finish(&ISA_DEBUG_EXIT(dev)->io);
}

static const Property debug_exit_props[] = {
    PROP_UINT32("iobase", DebugExit, iobase, 0x501, 0, 0xffff, "first port"),
    PROP_UINT32("iosize", DebugExit, iosize, 2, 1, 4, "number of ports"),
    PROP_END,
};

static void debug_exit_class_init(ObjectClass *klass, const void *data)
{
    DeviceClass *dc = DEVICE_CLASS(klass);

    dc->realize = debug_exit_realize;
    dc->unrealize = debug_exit_unrealize;
    dc->user_creatable = true;
    dc->category = "misc";
}

const TypeInfo isa_debug_exit_type = {
    .name = "isa-debug-exit",
    .parent = &isa_device_type,
    .instance_size = sizeof(DebugExit),
    .class_init = debug_exit_class_init,
    .props = debug_exit_props,
    .desc = "port that ends the VMM with an exit status",
};
