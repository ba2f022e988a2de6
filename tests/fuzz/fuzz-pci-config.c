/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes as configuration cycles of a bus with several virtio functions, a PCI Express port with
 * one behind it, and an empty port: by ECAM and by the ports 0xcf8 and 0xcfc, of any width and
 * place; BARs that are sized, moved onto each other, onto RAM and onto fixed registers, decoding
 * that comes and goes, bus numbers and windows, slots, MSI-X, the access capability of virtio, and
 * accesses to where BARs are.
 *
 * What a guest cannot write stays; a BAR is mapped where its register says or nowhere; a reset
 * brings configuration space back as it was, and the device serves.
 */
#include <linux/virtio_pci.h>

#include "core/le.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci-bridge.h"
#include "hw/virtio/virtio-pci.h"
#include "tests/fuzz/fuzz.h"

extern const TypeInfo pcie_root_port_type;

enum { OPS_MAX = 300, ON_ROOT = 7, FUNCTIONS = 8, BUSES = 4, VARIANT = FUZZ_VARIANTS - 1 };
enum { PORT = PCI_DEVFN_OF(3, 0), EMPTY_PORT = PCI_DEVFN_OF(4, 0) };

/* Of the root bus; the last function is behind PORT. */
static const uint8_t places[ON_ROOT] = {
    PCI_DEVFN_OF(0, 0), /* the host bridge */
    PCI_DEVFN_OF(2, 0), PCI_DEVFN_OF(2, 1), PCI_DEVFN_OF(2, 7), PCI_DEVFN_OF(31, 0), PORT,
    EMPTY_PORT,
};

static FuzzMachine *m;
static PciBus *bus, *below;
static uint8_t fresh[FUNCTIONS][PCI_CONVENTIONAL_SIZE]; /* configuration space after a reset */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    fuzz_quiet();
    return 0;
}

static PciDevice *function(unsigned i)
{
    return i < ON_ROOT ? pci_bus_device(bus, places[i]) : pci_bus_device(below, 0);
}

static void add(FakeMachine *fm, const char *type, const char *id, const char *props)
{
    g_autoptr(GError) err = NULL;

    if (!fake_machine_add(fm, type, id, props, &err)) {
        g_error("%s", err->message);
    }
}

/* What is behind it stays: the guest cannot free the slot. */
static void add_ports(FakeMachine *fm)
{
    Device *dev;

    type_register(&pcie_root_port_type);
    add(fm, "pcie-root-port", "p", "addr=03.0,slot=1,hotplug=off");
    add(fm, "pcie-root-port", "q", "addr=04.0,slot=2");
    below = pci_bridge_bus(DEVICE(pci_bus_device(bus, PORT)));
    dev = fake_machine_make(fm, "virtio-rng-pci", "behind", "vectors=2");
    g_assert(device_realize(dev, BUS(below), NULL));
}

static void prepare(void)
{
    FakeMachine *fm;

    if (m) {
        fuzz_machine(FUZZ_ECHO, FAKE_PCI_LEGACY, VARIANT, "");
        return;
    }
    m = fuzz_machine(FUZZ_ECHO, FAKE_PCI_LEGACY, VARIANT, "addr=02.0,multifunction=on");
    fm = m->d->m;
    bus = pci_host_bus(fm->host);
    add(fm, "virtio-balloon-pci", "b", "addr=02.1,ioeventfd=off");
    add(fm, "virtio-echo-pci", "e", "addr=02.7,vectors=200");
    add(fm, "virtio-rng-pci-transitional", "t", "addr=1f.0,vectors=0");
    add_ports(fm);
    fake_machine_reset(fm);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        memcpy(fresh[i], function(i)->config, sizeof fresh[i]);
    }
    m = fuzz_machine(FUZZ_ECHO, FAKE_PCI_LEGACY, VARIANT, ""); /* counts the heap anew */
    m->d->t->probe(m->d);
}

/* --- operations --- */

static uint8_t pick_devfn(FuzzInput *in)
{
    unsigned i = fuzz_below(in, ON_ROOT + 1);

    return i < ON_ROOT ? places[i] : fuzz_u8(in);
}

static void ecam_op(FuzzInput *in, bool write)
{
    uint64_t at = FAKE_ECAM_BASE + ((uint64_t)pick_devfn(in) << 12);
    unsigned size = fuzz_below(in, 8) + 1;

    at += size & 1 ? fuzz_u16(in) % (2 * PCI_CFG_SIZE) : fuzz_u8(in);
    if (write) {
        fake_write(m->d->m, at, fuzz_number(in), size);
    } else {
        fake_read(m->d->m, at, size);
    }
}

static void port_op(FuzzInput *in)
{
    AddressSpace *pio = m->d->m->p.pio;
    uint8_t what = fuzz_u8(in);
    unsigned port = 0xcf8 + (what & 7), size = 1u << (what >> 3 & 3) % 3;
    uint64_t value;

    if (what & 0x80) {
        aspace_write(pio, 0xcf8, 0x80000000u | (uint32_t)pick_devfn(in) << 8 | fuzz_u8(in), 4);
    }
    if (what & 0x40) {
        aspace_write(pio, port, fuzz_number(in), size);
    } else {
        aspace_read(pio, port, size, &value);
    }
}

/* An address that means trouble: of RAM, of fixed registers, of another BAR. */
static uint64_t pick_bar_value(FuzzInput *in)
{
    const PciDevice *other = function(fuzz_below(in, FUNCTIONS));
    uint8_t what = fuzz_u8(in);

    switch (what & 7) {
    case 0:
        return FAKE_ECAM_BASE - 0x2000;
    case 1:
        return FAKE_RAM_LOW - 0x1000;
    case 2:
        return FAKE_RAM_HIGH;
    case 3:
        return UINT64_MAX;
    case 4:
        return 0xcf0;
    case 5:
        return other->bars[(what >> 3) % PCI_BARS].addr;
    default:
        return fuzz_number(in);
    }
}

static void bar_op(FuzzInput *in)
{
    uint8_t devfn = pick_devfn(in), bar = fuzz_u8(in);
    uint64_t value = pick_bar_value(in);
    unsigned reg = PCI_BASE_ADDRESS_0 + 4 * (bar % PCI_BARS);

    fake_cfg_write(m->d->m, devfn, reg, (uint32_t)value, 4);
    if (bar & 0x80) {
        fake_cfg_write(m->d->m, devfn, reg + 4, (uint32_t)(value >> 32), 4);
    }
}

static void command_op(FuzzInput *in)
{
    uint8_t devfn = pick_devfn(in);

    fake_cfg_write(m->d->m, devfn, PCI_COMMAND, fuzz_u8(in) | (uint32_t)fuzz_u8(in) << 10, 2);
    fake_cfg_read(m->d->m, devfn, PCI_STATUS, 2);
}

static void access_op(FuzzInput *in)
{
    uint8_t what = fuzz_u8(in);
    const PciBar *bar = &function(what % FUNCTIONS)->bars[(what >> 3) % PCI_BARS];
    AddressSpace *as = bar->type & PCI_BASE_ADDRESS_SPACE_IO ? m->d->m->p.pio : m->d->m->p.mmio;
    uint64_t at = bar->addr + fuzz_u16(in), value;
    unsigned size = fuzz_below(in, 8) + 1;

    if (bar->addr == PCI_BAR_UNMAPPED) {
        return;
    }
    if (what & 0x80) {
        aspace_write(as, at, fuzz_number(in), size);
    } else {
        aspace_read(as, at, size, &value);
    }
}

/* A capability of a function; what is written there goes by its offset. */
static void capability_op(FuzzInput *in)
{
    uint8_t devfn = pick_devfn(in), nth = fuzz_u8(in) % 8;
    unsigned at = fake_cfg_read(m->d->m, devfn, PCI_CAPABILITY_LIST, 1);
    unsigned size = 1u << fuzz_u8(in) % 3;

    for (; nth > 0 && at > 0 && at < 0xff; nth--) {
        at = fake_cfg_read(m->d->m, devfn, at + PCI_CAP_LIST_NEXT, 1);
    }
    at += fuzz_u8(in) % 20;
    if (fuzz_u8(in) & 1) {
        fake_cfg_write(m->d->m, devfn, at, (uint32_t)fuzz_number(in), size);
    }
    fake_cfg_read(m->d->m, devfn, at, size);
}

static void driver_op(FuzzInput *in)
{
    m->d->t->probe(m->d);
    if (fuzz_up(m->d, 16, 0)) {
        fuzz_chain(m, in, &m->d->rings[0]);
        m->d->t->notify(m->d, 0);
    }
}

/* Bus numbers, windows and the registers of link and slot of a port, which are close together. */
static void bridge_op(FuzzInput *in)
{
    uint8_t what = fuzz_u8(in), devfn = what & 1 ? EMPTY_PORT : PORT;
    unsigned cap = fake_cfg_read(m->d->m, devfn, PCI_CAPABILITY_LIST, 1);
    unsigned off = what & 2
                       ? cap + PCI_EXP_LNKCTL + (fuzz_u8(in) & 0xf)
                       : PCI_PRIMARY_BUS + fuzz_u8(in) % (PCI_BRIDGE_CONTROL + 2 - PCI_PRIMARY_BUS);

    fake_cfg_write(m->d->m, devfn, off, (uint32_t)fuzz_number(in), 1u << (what >> 2 & 3) % 3);
}

/* A register of whatever answers on a bus that is not the root. */
static void below_op(FuzzInput *in)
{
    uint8_t what = fuzz_u8(in);
    uint64_t at = FAKE_ECAM_BASE + ((uint64_t)(1 + what % (BUSES - 1)) << 20) + fuzz_u8(in);
    unsigned size = 1u << (what >> 4 & 3) % 3;

    if (what & 0x80) {
        fake_write(m->d->m, at, fuzz_number(in), size);
    } else {
        fake_read(m->d->m, at, size);
    }
}

static void operate(FuzzInput *in)
{
    uint8_t op = fuzz_u8(in);

    switch (op & 15) {
    case 0:
    case 1:
        ecam_op(in, op & 1);
        break;
    case 2:
    case 3:
        port_op(in);
        break;
    case 4:
        bar_op(in);
        break;
    case 5:
        bridge_op(in);
        break;
    case 6:
        below_op(in);
        break;
    case 7:
        command_op(in);
        break;
    case 8:
    case 9:
        access_op(in);
        break;
    case 10:
    case 11:
        capability_op(in);
        break;
    case 12:
        driver_op(in);
        break;
    case 13:
        fuzz_host_event(m, in);
        break;
    case 14:
        g_assert(op & 0x80 || pci_host_assign_bars(m->d->m->host, NULL));
        break;
    default:
        fake_machine_run(m->d->m);
        break;
    }
}

/* --- what holds --- */

/* Goes up and down with the link, whose port has it. */
static bool is_link_status(const PciDevice *dev, unsigned at)
{
    unsigned status = dev->config[PCI_CAPABILITY_LIST] + PCI_EXP_LNKSTA;

    return object_is_a(dev, &pcie_root_port_type) && (at == status || at == status + 1);
}

static void check_read_only(unsigned i)
{
    static const uint8_t nothing[PCI_CFG_SIZE - PCI_CONVENTIONAL_SIZE];
    const PciDevice *dev = function(i);
    uint8_t changed = 0;

    for (unsigned at = 0; at < PCI_CONVENTIONAL_SIZE; at++) {
        uint8_t may_change = dev->wmask[at] | dev->w1cmask[at];

        may_change |= at == PCI_STATUS ? PCI_STATUS_INTERRUPT : 0;
        may_change |= is_link_status(dev, at) ? 0xff : 0;
        changed |= (uint8_t)((dev->config[at] ^ fresh[i][at]) & ~may_change);
    }
    g_assert(changed == 0);
    g_assert(!memcmp(dev->config + PCI_CONVENTIONAL_SIZE, nothing, sizeof nothing));
}

static void check_bars(unsigned i)
{
    const PciDevice *dev = function(i);

    for (unsigned n = 0; n < PCI_BARS; n++) {
        const PciBar *bar = &dev->bars[n];
        bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
        bool wide = !io && (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64);
        uint64_t reg = le_load(dev->config + PCI_BASE_ADDRESS_0 + 4 * n, wide ? 8 : 4);
        uint8_t decodes = dev->config[PCI_COMMAND] & (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);

        if (!bar->region) {
            continue;
        }
        g_assert((reg & (bar->size - 1)) == bar->type);
        g_assert(!!bar->region->as == (bar->addr != PCI_BAR_UNMAPPED));
        if (bar->addr != PCI_BAR_UNMAPPED) {
            g_assert(decodes && bar->addr == (reg & ~(bar->size - 1)));
            g_assert(bar->region->addr == bar->addr);
        }
    }
}

static void check_all(void)
{
    const FakeMachine *fm = m->d->m;

    for (unsigned i = 0; i < FUNCTIONS; i++) {
        check_read_only(i);
        check_bars(i);
        if (i > 0) {
            g_assert(!msix_enabled(function(i)) || !function(i)->intx_asserted);
        }
    }
    /* Fixed registers and RAM are where they were, whatever was put there. */
    g_assert(fake_cfg_read(m->d->m, 0, PCI_VENDOR_ID, 2) == 0x1b36);
    g_assert(!aspace_find(fm->p.mmio, FAKE_RAM_LOW - 1) && !aspace_find(fm->p.mmio, FAKE_RAM_HIGH));
}

static void check_reset(void)
{
    fake_machine_reset(m->d->m);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        g_assert(!memcmp(fresh[i], function(i)->config, sizeof fresh[i]));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FuzzInput in = {data, size};

    prepare();
    for (unsigned i = 0; i < OPS_MAX && in.left > 0; i++) {
        operate(&in);
    }
    fake_machine_run(m->d->m);
    check_all();
    check_reset();
    m->d->t->probe(m->d);
    fuzz_end(m, false);
    return 0;
}
