/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Base class of the PC's fixed-address devices (serial port, clock, keyboard controller, power control): registers
 * at an address that a property gives, and at most one interrupt wire, which the machine connects before realize.
 * They plug straight onto the machine's main bus.
 */
#ifndef AEROSTAT_HW_ISA_ISA_H
#define AEROSTAT_HW_ISA_ISA_H

#include "hw/core/device.h"

OBJECT_DECLARE(IsaDevice, isa_device, ISA_DEVICE)

struct IsaDevice {
    Device parent_obj;
    IrqLine irq;
    bool irq_level; /* what the wire carries now */
};

/* Connects the interrupt wire of an IsaDevice; which controller input it is tells the device's property "irq". */
void isa_connect_irq(Device *dev, IrqLine irq);

/* Drives the wire; repeated levels cost nothing. */
void isa_irq_set(IsaDevice *isa, bool level);

/*
 * Initialises region and maps it at port base. Fails (naming the device) on a machine without port I/O and when the
 * range does not end below 64 Ki. Undone by io_region_finish.
 */
bool isa_map_pio(IsaDevice *isa, IoRegion *region, const char *name, const IoRegionOps *ops, uint32_t base,
                 uint32_t size, GError **err);

#endif
