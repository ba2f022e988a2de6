/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The host bridge: root bus 0, with configuration mechanism #1 (0xcf8/0xcfc) where the machine has port I/O, and a
 * memory-mapped window (ECAM) at ecam_base. Type "pci-host"; properties are set by the machine before realize.
 * It puts itself at 00:00.0 as a function too (1b36:0008).
 */
#ifndef AEROSTAT_HW_PCI_PCI_HOST_H
#define AEROSTAT_HW_PCI_PCI_HOST_H

#include "hw/pci/pci.h"

OBJECT_DECLARE(PciHost, pci_host, PCI_HOST)

/* The windows that the machine describes to the guest (ACPI _CRS, device tree) and that a loader may assign from. */
typedef struct {
    uint64_t ecam_base, ecam_size;   /* size 0: no ECAM; 1 MiB per bus */
    uint64_t ecam_max;               /* what ecam_size may grow to for buses behind bridges; 0: not at all */
    uint64_t mmio32_base, mmio32_size;
    uint64_t mmio64_base, mmio64_size;
    uint16_t pio_base;
    uint32_t pio_size;
    bool config_ports;               /* 0xcf8/0xcfc */
} PciHostWindows;

void pci_host_set_windows(PciHost *host, const PciHostWindows *windows); /* before realize */
const PciHostWindows *pci_host_windows(PciHost *host);   /* ecam_size: of as many buses as have numbers */
void pci_host_set_irqs(PciHost *host, const IrqLine irqs[4]);            /* INTA to INTD after swizzle */
PciBus *pci_host_bus(PciHost *host);                                     /* after realize */
unsigned pci_host_max_buses(PciHost *host);                              /* that ECAM can reach: 1 to 256 */
void pci_host_set_buses(PciHost *host, unsigned count);                  /* ECAM is described for so many from now on */

/*
 * Gives every bus behind a bridge a number and every BAR an address from the windows, largest first, and enables
 * decoding: what firmware does before an OS starts. A bridge gets room for more than what is behind it now. On reset
 * the addresses are lost, so the machine calls it again. Fails when a window is full.
 */
bool pci_host_assign_bars(PciHost *host, GError **err);

#endif
