/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * MSI-X (PCI Local Bus Specification 3.0 §6.8.2): capability, table and pending bits of one function. A vector in
 * use and unmasked holds a route of the machine's MSI controller where that offers one, so that any thread fires it.
 */
#ifndef AEROSTAT_HW_PCI_MSIX_H
#define AEROSTAT_HW_PCI_MSIX_H

#include "hw/pci/pci.h"

/*
 * Gives dev nvectors (1 to 2048) vectors. The table at table_off and the pending bits at pba_off lie in the device's
 * BAR `bar`, whose region the device registers; it forwards accesses there by msix_table_read/write and msix_pba_read.
 */
void msix_init(PciDevice *dev, uint16_t nvectors, uint8_t bar, uint32_t table_off, uint32_t pba_off);
void msix_finish(PciDevice *dev); /* harmless without msix_init */
void msix_reset(PciDevice *dev);  /* all vectors masked and unused, enable bits clear */

bool msix_enabled(const PciDevice *dev);   /* the guest switched MSI-X on */
uint16_t msix_vectors(const PciDevice *dev); /* 0 without msix_init */

/* Table accesses, offsets from the table's begin; 4 or 8 bytes as the spec has it, others are ignored/read as cut. */
uint64_t msix_table_read(PciDevice *dev, uint32_t off, unsigned size);
void msix_table_write(PciDevice *dev, uint32_t off, uint64_t value, unsigned size);
uint64_t msix_pba_read(PciDevice *dev, uint32_t off, unsigned size);

/* Only vectors in use get a route. Use is counted; vector out of range is ignored. */
void msix_vector_use(PciDevice *dev, uint16_t vector);
void msix_vector_unuse(PciDevice *dev, uint16_t vector);

/* Sends the vector's message, or marks it pending while it is masked. Any thread once the vector is in use. */
void msix_notify(PciDevice *dev, uint16_t vector);

/*
 * An eventfd that fires a vector in use as msix_notify does, for somebody outside of this process; -1: there is none now. VM
 * lock. fn is told of those that come, and with -1 of each before it goes; with the VM lock and a lock of MSI-X's own, so it
 * calls nothing here. Whoever uses one lets go of it in fn.
 */
typedef void (*MsixEventfdFn)(PciDevice *dev, uint16_t vector, int eventfd);
int msix_eventfd(PciDevice *dev, uint16_t vector);
void msix_listen(PciDevice *dev, MsixEventfdFn fn);
/* The function's bus has another number: what is sent from now on, and routes that are made, carry it. */
void msix_requester_changed(PciDevice *dev); /* harmless without msix_init */

/* Called by pci.c after a configuration write that touched the capability. */
void msix_config_written(PciDevice *dev, uint32_t off, unsigned size);

#endif
