/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * PCI: functions with type-0 configuration space, BARs that the guest sizes and moves at any time, capabilities,
 * INTx, and the bus that they sit on. MSI-X is in msix.h, bridges with a bus below them in pci-bridge.h, host bridges
 * in pci-host.h, what PCI Express adds in pcie.h.
 *
 * Configuration space is 4096 bytes (PCI Express extended space included); registers are written through masks, so a
 * device sees only changes that the guest may make. Sections refer to the PCI Local Bus Specification 3.0 and the
 * PCI Express Base Specification. Everything runs under the VM lock.
 */
#ifndef AEROSTAT_HW_PCI_PCI_H
#define AEROSTAT_HW_PCI_PCI_H

#include <linux/pci.h> /* PCI_SLOT, PCI_FUNC and the register numbers */

#include "core/aspace.h"
#include "hw/core/device.h"

OBJECT_DECLARE_CLASS(PciDevice, PciDeviceClass, pci_device, PCI_DEVICE)
OBJECT_DECLARE(PciBus, pci_bus, PCI_BUS)

enum { PCI_CFG_SIZE = 4096, PCI_CONVENTIONAL_SIZE = 256, PCI_BARS = 6, PCI_SLOTS = 32, PCI_DEVFN_MAX = 256 };
#define PCI_DEVFN_OF(slot, fn) (((slot) << 3) | (fn))

typedef struct MsixState MsixState; /* msix.h */

typedef struct {
    IoRegion *region;   /* the device's; NULL: no such BAR */
    uint64_t size;      /* power of two */
    uint8_t type;       /* PCI_BASE_ADDRESS_* flag bits */
    uint64_t addr;      /* where it is mapped now; PCI_BAR_UNMAPPED */
} PciBar;
#define PCI_BAR_UNMAPPED (~UINT64_C(0))

struct PciDevice {
    Device parent_obj;
    PciAddr addr;            /* property "addr"; once plugged, where the device is */
    bool addr_chosen;        /* by the bus, not by the user */
    bool multifunction;      /* property "multifunction" */
    uint8_t devfn;           /* once plugged */
    uint8_t config[PCI_CFG_SIZE];
    uint8_t wmask[PCI_CFG_SIZE];   /* bits the guest may write */
    uint8_t w1cmask[PCI_CFG_SIZE]; /* bits that a written 1 clears */
    PciBar bars[PCI_BARS];
    uint16_t cap_end;        /* first free byte of conventional space for capabilities */
    uint8_t last_cap;        /* offset of the newest capability; 0: none */
    bool intx_level;         /* what the device wants */
    bool intx_asserted;      /* what the bus sees: not while INTx is disabled or MSI-X in use */
    /* Conventional space as realize left it: reset brings the bits that the guest can write back to this. */
    uint8_t reset_config[PCI_CONVENTIONAL_SIZE];
    MsixState *msix;         /* NULL: no MSI-X */
};

/*
 * realize is called by the base class after the function has its place and its header (ids of the class); on failure
 * and after unrealize the base class unmaps the BARs, drops INTx and finishes MSI-X. Before unrealize it has unmapped
 * them already, so the device just finishes its regions. A subclass's DeviceClass.reset sees to its own state: the
 * base class resets configuration space, BARs, INTx and MSI-X after it.
 */
struct PciDeviceClass {
    DeviceClass parent_class;
    uint16_t vendor_id, device_id, subsystem_vendor_id, subsystem_id;
    uint8_t revision;
    uint32_t class_id; /* 24 bits: class, subclass, programming interface */
    bool (*realize)(PciDevice *dev, GError **err);
    void (*unrealize)(PciDevice *dev);
    /* Optional. After the masks took effect, and for the command register at reset; NULL: nothing beyond. config_read
     * may refresh dev->config before a read. */
    void (*config_write)(PciDevice *dev, uint32_t off, uint32_t value, unsigned size);
    /* off and size stay within one dword in both. */
    void (*config_read)(PciDevice *dev, uint32_t off, unsigned size);
};

struct PciBus {
    Bus parent_obj;
    PciDevice *devices[PCI_DEVFN_MAX];
    uint8_t number;          /* bus number; 0 for a host bridge's, and for another's that got none yet */
    uint8_t first_slot;      /* lowest slot given out automatically */
    uint8_t slots;           /* how many there are: PCI_SLOTS, or 1 on a PCI Express link */
    bool silent;             /* nothing on it answers: its link is down */
    /* Does what is above the bus pass that range of addresses on? NULL: all of them. */
    bool (*forwards)(void *opaque, bool io, uint64_t addr, uint64_t size);
    void *forwards_opaque;
    /* INTx: the host bridge's four lines after swizzle */
    void (*set_irq)(void *opaque, int pin, int level); /* pin 0 to 3: INTA to INTD of the bridge */
    void *irq_opaque;
    int irq_count[4];        /* asserted functions per pin */
};

PciBus *pci_bus_of(PciDevice *dev);
bool pci_bus_is_root(const PciBus *bus); /* a host bridge's */

/* Configuration cycles from a host bridge, already split to stay in a dword. No function there: all ones. */
uint32_t pci_bus_config_read(PciBus *bus, uint8_t devfn, uint32_t off, unsigned size);
void pci_bus_config_write(PciBus *bus, uint8_t devfn, uint32_t off, uint32_t value, unsigned size);

/* --- for devices, in their realize --- */

/* type: PCI_BASE_ADDRESS_SPACE_IO, or _MEM_TYPE_32/_64 with _MEM_PREFETCH. region->size must be a power of two
 * (>= 16 for memory, >= 4 for I/O). A 64-bit BAR takes bar and bar+1. */
void pci_register_bar(PciDevice *dev, unsigned bar, uint8_t type, IoRegion *region);

/* Adds a capability of `size` bytes, id and next pointer included, to the end of the list (the guest finds them in order
 * of adding); its bytes after those are zero and read-only until the device says otherwise in dev->wmask.
 * Returns its offset. Running out of room is a bug (g_assert). */
uint8_t pci_add_capability(PciDevice *dev, uint8_t id, uint8_t size);

void pci_set_interrupt_pin(PciDevice *dev, uint8_t pin);  /* 1: INTA ... 4: INTD */
void pci_set_intx(PciDevice *dev, int level);             /* honours the command register's INTx disable; sets status */
bool pci_bus_master(PciDevice *dev);                      /* may it do DMA and send MSIs? */
uint16_t pci_requester_id(PciDevice *dev);

/* Lookup by "slot.fn" address on a bus; NULL: none. */
PciDevice *pci_bus_device(PciBus *bus, uint8_t devfn);

/* The guest does not let go of the slot: each of its functions that was asked to leave stays (device_unplug_refused). */
void pci_slot_unplug_refused(PciBus *bus, unsigned slot);

/* For bridges: the bus below one has another number, or passes other addresses on, from now on. */
void pci_bus_set_number(PciBus *bus, uint8_t number);
void pci_bus_update_bars(PciBus *bus);

/* --- between the files of this folder --- */
/* Does an access of size bytes at off reach the len bytes at reg? */
static inline bool pci_touches(uint32_t off, unsigned size, uint32_t reg, unsigned len)
{
    return off < reg + len && reg < off + size;
}

uint32_t pci_config_read(PciDevice *dev, uint32_t off, unsigned size);
void pci_config_write(PciDevice *dev, uint32_t off, uint32_t value, unsigned size);
void pci_update_intx(PciDevice *dev); /* after something that gates INTx changed */
void pci_update_bars(PciDevice *dev); /* ... that decides whether BARs are decoded */
void pci_bus_set_pin(PciBus *bus, uint8_t devfn, uint8_t pin, bool level); /* one function's wire changed; pin 1 to 4 */

#endif
