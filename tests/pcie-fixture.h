/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A "pc" with two root ports on the accelerator "qtest", and what a hotplug driver does to them: configuration cycles by
 * ports and ECAM through the qtest server, QMP commands, and counts of events.
 */
#ifndef AEROSTAT_TESTS_PCIE_FIXTURE_H
#define AEROSTAT_TESTS_PCIE_FIXTURE_H

#include "hw/pci/pci.h"
#include "tests/qtest-fixture.h"

enum {
    RP0 = PCI_DEVFN_OF(4, 0), /* empty at the start */
    RP1 = PCI_DEVFN_OF(5, 0), /* has a device */
    SLOT_ON = PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_ON,
    SLOT_OFF = PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF | PCI_EXP_SLTCTL_PCC,
    SLOT_CHANGES = PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC,
};

typedef struct {
    QtestVm vm;
    QtestClient c;
    GPtrArray *events; /* names of those that came; of DEVICE_DELETED only with an id; under the VM lock */
    unsigned exp;      /* offset of the ports' PCI Express capability */
} PcieVm;

void pcie_vm_start(PcieVm *v, const char *rp0, const char *rp1, const char *cold); /* as after -device */
void pcie_vm_stop(PcieVm *v);

/* --- configuration cycles --- */
uint32_t pcie_read(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off, unsigned size);
void pcie_write(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off, uint32_t value, unsigned size);
uint32_t pcie_ecam_read(PcieVm *v, uint8_t bus, uint8_t devfn, unsigned off, unsigned size);
unsigned pcie_find_cap(PcieVm *v, uint8_t bus, uint8_t devfn, uint8_t id); /* 0: none */
uint32_t slot_read(PcieVm *v, uint8_t port, unsigned reg, unsigned size);  /* of the PCI Express capability */
void slot_write(PcieVm *v, uint8_t port, unsigned reg, uint16_t value);
void pcie_set_bus(PcieVm *v, uint8_t port, uint8_t number); /* of the bus below */
bool pcie_wire(PcieVm *v); /* any of the host bridge's four */

/* --- QMP; arguments with single quotes --- */
bool pcie_qmp(PcieVm *v, const char *command, const char *args);
void pcie_expect_error(PcieVm *v, const char *command, const char *args, const char *line);
void pcie_expect_cold_error(PcieVm *v, const char *device, const char *line); /* of a -device */
void pcie_plug_at(PcieVm *v, const char *bus, const char *driver, const char *id);
void pcie_plug(PcieVm *v, const char *driver, const char *id); /* into RP0 */
bool pcie_del(PcieVm *v, const char *id);
unsigned pcie_count(PcieVm *v, const char *event);
void pcie_wait(PcieVm *v, const char *event, unsigned n); /* until there were so many */

/* Plugs into RP0 and does what a driver does: power, indicator, and no events left. */
void pcie_bring_up(PcieVm *v, const char *driver, const char *id);

#endif
