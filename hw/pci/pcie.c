/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The PCI Express capability, see pcie.h. What software may set and nothing acts upon (error
 * reporting, sizes of transfers) is kept as it was written.
 */
#include "hw/pci/pcie.h"

#include "core/le.h"

enum {
    CAP_SIZE = 0x3c,
    VERSION = 2,
    LINK_SPEED = PCI_EXP_LNKCAP_SLS_16_0GB,
    LINK_SPEEDS = PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB |
                  PCI_EXP_LNKCAP2_SLS_8_0GB | PCI_EXP_LNKCAP2_SLS_16_0GB,
    LINK_WIDTH = 16 << PCI_EXP_LNKSTA_NLW_SHIFT,
    DEVCTL_RESET = PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_NOSNOOP_EN |
                   PCI_EXP_DEVCTL_READRQ_512B, /* §7.5.3.4: its defaults */
    DEVCTL_WRITABLE = PCI_EXP_DEVCTL_CERE | PCI_EXP_DEVCTL_NFERE | PCI_EXP_DEVCTL_FERE |
                      PCI_EXP_DEVCTL_URRE | PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_PAYLOAD |
                      PCI_EXP_DEVCTL_NOSNOOP_EN | PCI_EXP_DEVCTL_READRQ,
    LNKCTL_WRITABLE = PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC | PCI_EXP_LNKCTL_ES,
};

uint16_t pcie_link_status(bool up)
{
    return up ? LINK_SPEED | LINK_WIDTH : PCI_EXP_LNKSTA_CLS_2_5GB;
}

uint8_t pcie_add_capability(PciDevice *dev, uint8_t type, uint8_t port)
{
    uint8_t at = pci_add_capability(dev, PCI_CAP_ID_EXP, CAP_SIZE);
    uint8_t *c = dev->config + at, *w = dev->wmask + at;

    le_store(c + PCI_EXP_FLAGS, VERSION | type << 4, 2);
    le_store(c + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_RBER, 4);
    le_store(c + PCI_EXP_DEVCTL, DEVCTL_RESET, 2);
    le_store(w + PCI_EXP_DEVCTL, DEVCTL_WRITABLE, 2);
    le_store(c + PCI_EXP_LNKCAP, LINK_SPEED | LINK_WIDTH | (uint32_t)port << 24, 4);
    le_store(w + PCI_EXP_LNKCTL, LNKCTL_WRITABLE, 2);
    le_store(c + PCI_EXP_LNKSTA, pcie_link_status(true), 2);
    le_store(c + PCI_EXP_LNKCAP2, LINK_SPEEDS, 4);
    le_store(c + PCI_EXP_LNKCTL2, LINK_SPEED, 2);
    le_store(w + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS, 2);
    return at;
}
