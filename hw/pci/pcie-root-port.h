/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "pcie-root-port": a bridge of the root bus with one slot, into which devices are plugged while the guest runs by PCI
 * Express's own registers (PCI Express Base Specification 4.0 §6.7).
 */
#ifndef AEROSTAT_HW_PCI_PCIE_ROOT_PORT_H
#define AEROSTAT_HW_PCI_PCIE_ROOT_PORT_H

#include "hw/pci/pci-bridge.h"

/* Whether the bus has a port whose slot takes devices while the guest runs: the guest must be let at it (ACPI _OSC). */
bool pcie_native_hotplug(PciBus *root);

#endif
