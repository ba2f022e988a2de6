/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A platform with a PCI host bridge and a test-local PCI device, reached as a guest reaches it: through ports 0xcf8
 * and 0xcfc, the ECAM window and the BARs. Interrupt wires and messages are recorded.
 */
#ifndef AEROSTAT_TESTS_PCI_FIXTURE_H
#define AEROSTAT_TESTS_PCI_FIXTURE_H

#include "hw/pci/msix.h"
#include "hw/pci/pci-host.h"

enum {
    TEST_RAM_SIZE = 1 << 20,
    TEST_VECTORS = 70, /* more than the 64 of one quadword of pending bits */
    TEST_BAR_MEM32 = 0, /* 4 KiB */
    TEST_BAR_IO = 1,    /* 32 bytes */
    TEST_BAR_MEM64 = 2, /* 16 KiB, prefetchable, takes 2 and 3 */
    TEST_BAR_MSIX = 4,  /* 4 KiB: table at 0, pending bits at 0x800 */
    TEST_MSIX_PBA = 0x800,
};
#define TEST_ECAM_BASE UINT64_C(0xb0000000)

OBJECT_DECLARE(TestPci, test_pci, TEST_PCI)

struct TestPci {
    PciDevice parent_obj;
    IoRegion mem32, io, mem64, msix_bar;
    bool fail_realize;   /* property "fail-realize" */
    unsigned resets;     /* calls of the subclass's reset */
    unsigned config_writes;
    uint32_t config_off; /* of the newest configuration write */
    uint64_t last_write; /* value of the newest BAR write */
    uint8_t vendor_cap;  /* a capability of 16 bytes, the first 4 after its header writable */
};

/* A controller that notes what it is told. */
typedef struct {
    MsiController parent;
    bool offer_routes;
    unsigned sent;          /* messages sent without a route */
    MsiMessage last;        /* message of the newest send, or of the newest route change */
    uint16_t last_requester;
    unsigned routes_new, routes_updated, routes_live;
    MsiRoute *last_route;
} FakeMsi;

typedef struct {
    Platform p;
    FakeMsi msi;
    Bus *main;
    PciHost *host;
    PciBus *bus;
    int irq[4];
    unsigned irq_changes;
    GPtrArray *devices; /* all that were made here */
} PciFixture;

void pci_fixture_init(PciFixture *f);
void pci_fixture_finish(PciFixture *f);

/* A test device, not realized. addr NULL: automatic; id NULL: none. */
TestPci *pci_fixture_new(PciFixture *f, const char *id, const char *addr, bool multifunction);
bool pci_fixture_realize(PciFixture *f, TestPci *t, GError **err);
TestPci *pci_fixture_add(PciFixture *f, const char *addr); /* both; must succeed */

/* Configuration cycles through the ports (bus 0) and through ECAM. */
uint32_t cfg_read(PciFixture *f, uint8_t devfn, unsigned off, unsigned size);
void cfg_write(PciFixture *f, uint8_t devfn, unsigned off, uint32_t value, unsigned size);
uint64_t ecam_read(PciFixture *f, uint8_t devfn, unsigned off, unsigned size);
void ecam_write(PciFixture *f, uint8_t devfn, unsigned off, uint64_t value, unsigned size);

uint64_t mem_read(PciFixture *f, uint64_t addr, unsigned size);
void mem_write(PciFixture *f, uint64_t addr, uint64_t value, unsigned size);
uint64_t port_read(PciFixture *f, uint16_t port, unsigned size);
void port_write(PciFixture *f, uint16_t port, uint64_t value, unsigned size);

/* Sets bits in the command register, the others cleared. */
void set_command(PciFixture *f, uint8_t devfn, uint16_t bits);

#endif
