/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What all PCI-to-PCI bridges have: a type-1 header, a bus below with a number that the guest gives it, and the windows
 * of addresses that reach that bus (PCI-to-PCI Bridge Architecture Specification 1.2, chapter 3).
 */
#ifndef AEROSTAT_HW_PCI_PCI_BRIDGE_H
#define AEROSTAT_HW_PCI_PCI_BRIDGE_H

#include "hw/pci/pci.h"

OBJECT_DECLARE(PciBridge, pci_bridge, PCI_BRIDGE) /* abstract */

struct PciBridge {
    PciDevice parent_obj;
    PciBus *bus; /* child, named by the bridge's id; NULL before realize */
    uint16_t control; /* the bridge control register as it was */
};

/* The granularity of the windows (§3.2.5.6, §3.2.5.8). */
enum { PCI_BRIDGE_IO_ALIGN = 0x1000, PCI_BRIDGE_MEMORY_ALIGN = 0x100000 };

typedef enum { PCI_WINDOW_IO, PCI_WINDOW_MEMORY, PCI_WINDOW_PREFETCH, PCI_WINDOWS } PciWindow;

/* The bus below a device; NULL: the device is no bridge. */
PciBus *pci_bridge_bus(Device *dev);

/* First and last address of a window. False: it is closed, by its registers alone. */
bool pci_bridge_window(const PciBridge *br, PciWindow which, uint64_t *ret_base, uint64_t *ret_limit);

/* What is on the bus below answers no longer, and is reset, or answers again. */
void pci_bridge_set_silent(PciBridge *br, bool silent);

/* --- for bridges: in their realize, unrealize, reset, and in config_write first of all --- */
void pci_bridge_init(PciBridge *br);
void pci_bridge_finish(PciBridge *br);
void pci_bridge_reset(PciBridge *br);
void pci_bridge_config_written(PciBridge *br, uint32_t off, unsigned size);

#endif
