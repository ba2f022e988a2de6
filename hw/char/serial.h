/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The serial port ("isa-serial"). Properties: iobase, irq, chardev.
 */
#ifndef AEROSTAT_HW_CHAR_SERIAL_H
#define AEROSTAT_HW_CHAR_SERIAL_H

#include "backends/chardev.h"
#include "hw/core/device.h"

extern const TypeInfo isa_serial_type;

/* Connects the port to a stream, of which it takes a reference. Before realize. */
bool serial_set_chardev(Device *dev, Chardev *c, GError **err);

#endif
