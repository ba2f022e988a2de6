/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI Express capability (PCI Express Base Specification 4.0 §7.5.3, version 2) of endpoints and root ports. Links are
 * of one kind here, 16 lanes of 16 GT/s, and have no power management; nothing reports errors. Ports with slots are in
 * pcie-root-port.c.
 */
#ifndef AEROSTAT_HW_PCI_PCIE_H
#define AEROSTAT_HW_PCI_PCIE_H

#include "hw/pci/pci.h"

/* From realize. type: PCI_EXP_TYPE_*; port: the number in the link capabilities, 0 for an endpoint. Its offset. */
uint8_t pcie_add_capability(PciDevice *dev, uint8_t type, uint8_t port);

/* The link status of a link that is up or down. */
uint16_t pcie_link_status(bool up);

#endif
