/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Base class of the PC's fixed-address devices: the interrupt wire and the mapping of ports. There
 * is no ISA bus object: nothing can be enumerated or plugged on one, so its devices sit on the
 * machine's main bus.
 */
#include <inttypes.h>

#include "hw/isa/isa.h"

enum { ISA_PORTS = 0x10000 };

void isa_connect_irq(Device *dev, IrqLine irq)
{
    ISA_DEVICE(dev)->irq = irq;
}

void isa_irq_set(IsaDevice *isa, bool level)
{
    if (isa->irq_level != level) {
        isa->irq_level = level;
        irq_set(isa->irq, level);
    }
}

bool isa_map_pio(IsaDevice *isa, IoRegion *region, const char *name, const IoRegionOps *ops,
                 uint32_t base, uint32_t size, GError **err)
{
    Platform *p = device_platform(DEVICE(isa));

    if (!p->pio) {
        return error_set(err, "%s: this machine has no port I/O", object_type_name(isa));
    }
    if (size == 0 || size > ISA_PORTS || base > ISA_PORTS - size) {
        return error_set(err, "%s: ports 0x%x to 0x%" PRIx64 " are not within 0 to 0xffff",
                         object_type_name(isa), base, (uint64_t)base + size - 1);
    }
    io_region_init(region, name, ops, isa, size);
    aspace_map(p->pio, region, base, 0);
    return true;
}

const TypeInfo isa_device_type = {
    .name = "isa-device",
    .parent = &device_type,
    .instance_size = sizeof(IsaDevice),
    .abstract = true,
    .desc = "device at fixed ports with one interrupt wire",
};
