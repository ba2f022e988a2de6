/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * "pcie-root-port" (pcie-root-port.h): a type-1 function with the registers of a hot-plug slot:
 * attention button, the two indicators, power controller, presence, and the state of the link.
 *
 * A device that is plugged in shows as presence and a pressed button; it has no power, so it does
 * not answer, until the guest switches that on. One that shall leave is a pressed button: the guest
 * lets go of it, switches power and power indicator off, and then the device goes. Without power in
 * the first place it goes at once. A guest that blinks and goes back to "on" has refused; one that
 * does nothing for half a minute, or no more than blink, counts as such. Either is told by
 * DEVICE_UNPLUG_GUEST_ERROR, and a guest that frees the slot later than that still does.
 *
 * The device on the slot is reset when its power or its link goes. Left out: removal by surprise,
 * latch and interlock, power faults, PME, error reporting.
 */
#include "hw/pci/pcie-root-port.h"

#include "core/le.h"
#include "core/log.h"
#include "hw/pci/msix.h"
#include "hw/pci/pci-host.h"
#include "hw/pci/pcie.h"

enum {
    MSIX_BAR = 0,
    MSIX_BAR_SIZE = 0x1000,
    MSIX_PBA = 0x800,
    SLTCTL_EVENTS = PCI_EXP_SLTCTL_ABPE | PCI_EXP_SLTCTL_PDCE | PCI_EXP_SLTCTL_CCIE,
    SLTSTA_CHANGES =
        PCI_EXP_SLTSTA_ABP | PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_CC | PCI_EXP_SLTSTA_DLLSC,
    RTCTL_WRITABLE =
        PCI_EXP_RTCTL_SECEE | PCI_EXP_RTCTL_SENFEE | PCI_EXP_RTCTL_SEFEE | PCI_EXP_RTCTL_PMEIE,
};

OBJECT_DECLARE(PcieRootPort, pcie_root_port, PCIE_ROOT_PORT)

struct PcieRootPort {
    PciBridge parent_obj;
    uint8_t port, chassis;          /* properties */
    uint16_t slot;                  /* property */
    bool hotplug, power_controller; /* properties */
    uint8_t exp;                    /* offset of the PCI Express capability; 0: not realized */
    IoRegion msix_bar;
    LoopBh *free_bh;
    LoopTimer *patience;
    bool started;      /* was reset: what comes now comes while the guest runs */
    bool blinked;      /* the guest has begun to free the slot that it was asked for */
    bool interrupting; /* what the hot-plug interrupt was when it was last looked at */
    uint16_t control;  /* slot control as it was before a write */
};

static bool has_power_control(const PcieRootPort *s)
{
    return s->hotplug && s->power_controller;
}

/* --- registers --- */

static uint8_t *reg(PcieRootPort *s, unsigned off)
{
    return PCI_DEVICE(s)->config + s->exp + off;
}

static uint16_t get(PcieRootPort *s, unsigned off)
{
    return (uint16_t)le_load(reg(s, off), 2);
}

static void put(PcieRootPort *s, unsigned off, uint16_t value)
{
    le_store(reg(s, off), value, 2);
}

static void put_bits(PcieRootPort *s, unsigned off, uint16_t bits, bool on)
{
    put(s, off, on ? get(s, off) | bits : get(s, off) & ~bits);
}

static bool blinking(uint16_t control)
{
    return (control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_BLINK;
}

/* The guest has let go of the slot. */
static bool given_up(const PcieRootPort *s, uint16_t control)
{
    return (control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_OFF &&
           (!has_power_control(s) || control & PCI_EXP_SLTCTL_PCC);
}

/* --- what is in the slot; a function other than 0 is not seen before function 0 comes --- */

static PciBus *slot_bus(PcieRootPort *s)
{
    return s->parent_obj.bus;
}

static bool occupied(PcieRootPort *s)
{
    return slot_bus(s)->devices[0] != NULL;
}

static bool asked_to_leave(PcieRootPort *s)
{
    GPtrArray *devices = slot_bus(s)->parent_obj.devices;

    for (guint i = 0; i < devices->len; i++) {
        if (DEVICE(g_ptr_array_index(devices, i))->pending_unplug) {
            return true;
        }
    }
    return false;
}

static void settle(PcieRootPort *s)
{
    loop_timer_cancel(s->patience);
    s->blinked = false;
}

/* On the main loop: a slot leaves as a whole, function 0 last. */
static void free_slot(PcieRootPort *s)
{
    for (int fn = 7; fn >= 0; fn--) {
        PciDevice *pci = pci_bus_device(slot_bus(s), (uint8_t)fn);

        if (pci) {
            device_unplug(DEVICE(pci));
        }
    }
}

/* Unless the guest has switched the power on again before the main loop came to it. */
static void free_cb(void *opaque)
{
    PcieRootPort *s = opaque;

    if (given_up(s, get(s, PCI_EXP_SLTCTL))) {
        free_slot(s);
    }
}

/* --- refusals --- */

static void refused(PcieRootPort *s)
{
    settle(s);
    pci_slot_unplug_refused(slot_bus(s), 0);
}

/* --- events: §6.7.3.4, a message when one comes while none was there, a wire as long as there is
 * one --- */

static void update_interrupt(PcieRootPort *s)
{
    uint16_t control = get(s, PCI_EXP_SLTCTL), status = get(s, PCI_EXP_SLTSTA);
    bool event = control & status & SLTCTL_EVENTS;
    bool level;

    event |= control & PCI_EXP_SLTCTL_DLLSCE && status & PCI_EXP_SLTSTA_DLLSC;
    level = event && control & PCI_EXP_SLTCTL_HPIE;
    if (level && !s->interrupting) {
        msix_notify(PCI_DEVICE(s), 0);
    }
    s->interrupting = level;
    pci_set_intx(PCI_DEVICE(s), level);
}

static void raise_events(PcieRootPort *s, uint16_t status)
{
    if (s->hotplug) { /* else nobody could take them back */
        put_bits(s, PCI_EXP_SLTSTA, status, true);
        update_interrupt(s);
    }
}

/* A press that was not even looked at is taken back. */
static void patience_cb(void *opaque)
{
    PcieRootPort *s = opaque;

    put_bits(s, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP, false);
    update_interrupt(s);
    refused(s);
}

/* --- power and link --- */

static bool link_wanted(PcieRootPort *s, bool present)
{
    return present && !(get(s, PCI_EXP_LNKCTL) & PCI_EXP_LNKCTL_LD) &&
           !(has_power_control(s) && get(s, PCI_EXP_SLTCTL) & PCI_EXP_SLTCTL_PCC);
}

static void set_link(PcieRootPort *s, bool up)
{
    put(s, PCI_EXP_LNKSTA, pcie_link_status(up) | (up ? PCI_EXP_LNKSTA_DLLLA : 0));
    pci_bridge_set_silent(&s->parent_obj, !up);
}

static void update_link(PcieRootPort *s, bool present)
{
    bool up = link_wanted(s, present);

    if (up != !!(get(s, PCI_EXP_LNKSTA) & PCI_EXP_LNKSTA_DLLLA)) {
        set_link(s, up);
        raise_events(s, PCI_EXP_SLTSTA_DLLSC);
    }
}

static void set_present(PcieRootPort *s, bool present, uint16_t events)
{
    put_bits(s, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, present);
    update_link(s, present);
    raise_events(s, events);
}

/* --- the guest's writes --- */

/* Of a guest that was asked: it blinks as long as it is at it. */
static void watch_indicator(PcieRootPort *s, uint16_t control)
{
    if (blinking(control)) {
        s->blinked = true;
        loop_timer_arm_in(s->patience, DEVICE_UNPLUG_PATIENCE_NS);
    } else if (s->blinked && (control & PCI_EXP_SLTCTL_PIC) == PCI_EXP_SLTCTL_PWR_IND_ON) {
        refused(s);
    }
}

static void control_written(PcieRootPort *s)
{
    uint16_t before = s->control, now = get(s, PCI_EXP_SLTCTL);

    s->control = now;
    update_link(s, occupied(s));
    if (occupied(s) && given_up(s, now) && !given_up(s, before)) {
        TRACE(pcie_slot_given_up, "slot %u", s->slot);
        loop_bh_schedule(s->free_bh);
    } else if (asked_to_leave(s)) {
        watch_indicator(s, now);
    }
    raise_events(s, PCI_EXP_SLTSTA_CC); /* §6.7.3.2: each write is a command */
}

static bool touches(PcieRootPort *s, uint32_t off, unsigned size, uint32_t r)
{
    return pci_touches(off, size, s->exp + r, 2);
}

static void port_config_write(PciDevice *dev, uint32_t off, uint32_t value, unsigned size)
{
    PcieRootPort *s = PCIE_ROOT_PORT(dev);

    pci_bridge_config_written(&s->parent_obj, off, size);
    if (touches(s, off, size, PCI_EXP_LNKCTL)) {
        update_link(s, occupied(s));
    }
    if (s->hotplug && touches(s, off, size, PCI_EXP_SLTCTL)) {
        control_written(s);
    }
    update_interrupt(s); /* status bits may have been cleared, MSI-X may have come or gone */
}

/* --- the slot's hotplug handler --- */

static bool port_pre_plug(Object *handler, Device *dev, GError **err)
{
    PcieRootPort *s = PCIE_ROOT_PORT(handler);
    PciDevice *first = slot_bus(s)->devices[0];
    g_autofree char *what = device_describe(dev), *self = device_describe(DEVICE(s));

    if (!s->started) {
        return true;
    }
    if (!s->hotplug) {
        return error_set(err, "Hot-plug failed: unsupported by the port device %s", self);
    }
    if (asked_to_leave(s)) {
        return error_set(err, "Hot-plug failed: the device on %s is being unplugged", self);
    }
    if (blinking(get(s, PCI_EXP_SLTCTL))) {
        return error_set(err, "Hot-plug failed: guest is busy (power indicator blinking)");
    }
    if (first) { /* the guest looks once, when function 0 comes */
        g_autofree char *other = device_describe(DEVICE(first));

        return error_set(err, "%s comes too late for %s: function 0 is there already, %s", what,
                         self, other);
    }
    return true;
}

static bool port_plug(Object *handler, Device *dev, GError **err)
{
    PcieRootPort *s = PCIE_ROOT_PORT(handler);

    if (s->started && PCI_DEVICE(dev)->devfn == 0) {
        set_present(s, true, PCI_EXP_SLTSTA_PDC | PCI_EXP_SLTSTA_ABP);
    }
    return true;
}

static void ask(PcieRootPort *s, Device *dev)
{
    device_unplug_asked(dev);
    s->blinked = false;
    loop_timer_arm_in(s->patience, DEVICE_UNPLUG_PATIENCE_NS);
    raise_events(s, PCI_EXP_SLTSTA_ABP);
}

static bool port_unplug_request(Object *handler, Device *dev, GError **err)
{
    PcieRootPort *s = PCIE_ROOT_PORT(handler);
    uint16_t control = get(s, PCI_EXP_SLTCTL);
    g_autofree char *self = device_describe(DEVICE(s));

    if (!s->hotplug) {
        return error_set(err, "Hot-unplug failed: unsupported by the port device %s", self);
    }
    if (blinking(control)) {
        return error_set(err, "Hot-unplug failed: guest is busy (power indicator blinking)");
    }
    if (!occupied(s)) { /* a function that the guest has not seen */
        device_unplug(dev);
    } else if (given_up(s, control)) {
        free_slot(s);
    } else {
        ask(s, dev);
    }
    return true;
}

static void port_unplug(Object *handler, Device *dev)
{
    PcieRootPort *s = PCIE_ROOT_PORT(handler);

    if (PCI_DEVICE(dev)->devfn == 0 && get(s, PCI_EXP_SLTSTA) & PCI_EXP_SLTSTA_PDS) {
        settle(s);
        loop_bh_cancel(s->free_bh); /* both were about this device */
        put_bits(s, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_ABP, false);
        set_present(s, false, PCI_EXP_SLTSTA_PDC);
    }
}

/* --- life --- */

/* The guest that was asked is gone: what was to leave does. */
static void free_asked(PcieRootPort *s)
{
    if (asked_to_leave(s)) {
        free_slot(s);
    }
    loop_bh_cancel(s->free_bh);
    settle(s);
}

/* Slot control as firmware would leave it: what is there has power. */
static uint16_t control_at_reset(PcieRootPort *s)
{
    if (!s->hotplug) {
        return 0;
    }
    if (occupied(s)) {
        return PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_ON;
    }
    return PCI_EXP_SLTCTL_ATTN_IND_OFF | PCI_EXP_SLTCTL_PWR_IND_OFF |
           (s->power_controller ? PCI_EXP_SLTCTL_PCC : 0);
}

/* The function's own reset follows, and brings back what can be written from reset_config. */
static void port_reset(Device *dev)
{
    PcieRootPort *s = PCIE_ROOT_PORT(dev);
    uint8_t *reset_control = PCI_DEVICE(s)->reset_config + s->exp + PCI_EXP_SLTCTL;

    free_asked(s);
    s->started = true;
    s->interrupting = false;
    s->control = control_at_reset(s);
    le_store(reset_control, s->control, 2);
    put_bits(s, PCI_EXP_SLTSTA, PCI_EXP_SLTSTA_PDS, occupied(s));
    set_link(s, occupied(s));
    pci_bridge_reset(&s->parent_obj);
}

static uint64_t msix_bar_read(void *opaque, uint64_t off, unsigned size)
{
    if (off >= MSIX_PBA) {
        return msix_pba_read(opaque, (uint32_t)off - MSIX_PBA, size);
    }
    return msix_table_read(opaque, (uint32_t)off, size);
}

static void msix_bar_write(void *opaque, uint64_t off, uint64_t value, unsigned size)
{
    if (off < MSIX_PBA) {
        msix_table_write(opaque, (uint32_t)off, value, size);
    }
}

static const IoRegionOps msix_bar_ops = {.read = msix_bar_read, .write = msix_bar_write};

static void add_slot_registers(PcieRootPort *s)
{
    PciDevice *dev = PCI_DEVICE(s);
    uint8_t *w = dev->wmask + s->exp;
    uint32_t caps = (uint32_t)s->slot << 19;
    uint16_t control = SLTCTL_EVENTS | PCI_EXP_SLTCTL_HPIE | PCI_EXP_SLTCTL_DLLSCE |
                       PCI_EXP_SLTCTL_AIC | PCI_EXP_SLTCTL_PIC;

    put_bits(s, PCI_EXP_FLAGS, PCI_EXP_FLAGS_SLOT, true);
    if (s->hotplug) {
        caps |= PCI_EXP_SLTCAP_ABP | PCI_EXP_SLTCAP_AIP | PCI_EXP_SLTCAP_PIP | PCI_EXP_SLTCAP_HPC |
                (s->power_controller ? PCI_EXP_SLTCAP_PCP : 0);
        control |= s->power_controller ? PCI_EXP_SLTCTL_PCC : 0;
        le_store(w + PCI_EXP_SLTCTL, control, 2);
        le_store(dev->w1cmask + s->exp + PCI_EXP_SLTSTA, SLTSTA_CHANGES, 2);
    }
    le_store(reg(s, PCI_EXP_SLTCAP), caps, 4);
    le_store(reg(s, PCI_EXP_LNKCAP), le_load(reg(s, PCI_EXP_LNKCAP), 4) | PCI_EXP_LNKCAP_DLLLARC,
             4);
    le_store(w + PCI_EXP_LNKCTL, le_load(w + PCI_EXP_LNKCTL, 2) | PCI_EXP_LNKCTL_LD, 2);
    le_store(w + PCI_EXP_RTCTL, RTCTL_WRITABLE, 2);
}

static bool check_place(PcieRootPort *s, GError **err)
{
    PciBus *bus = pci_bus_of(PCI_DEVICE(s));
    g_autofree char *self = device_describe(DEVICE(s));
    unsigned ports = 0, room;

    if (!pci_bus_is_root(bus) || !bus->parent_obj.parent) {
        return error_set(err, "%s plugs onto the root bus, not behind another port", self);
    }
    room = pci_host_max_buses(PCI_HOST(bus->parent_obj.parent)) - 1;
    for (guint i = 0; i < bus->parent_obj.devices->len; i++) {
        Device *dev = g_ptr_array_index(bus->parent_obj.devices, i);
        PcieRootPort *other = object_is_a(dev, &pcie_root_port_type) ? PCIE_ROOT_PORT(dev) : NULL;

        ports += other != NULL;
        if (other && other != s && other->chassis == s->chassis && other->slot == s->slot) {
            g_autofree char *what = device_describe(dev);

            return error_set(err,
                             "%s cannot have slot %u of chassis %u, which %s has: give slot=", self,
                             s->slot, s->chassis, what);
        }
    }
    return ports <= room ||
           error_set(err, "no bus number for %s: the machine's PCI host bridge has %u to give",
                     self, room);
}

static bool port_realize(PciDevice *dev, GError **err)
{
    PcieRootPort *s = PCIE_ROOT_PORT(dev);
    Platform *p = device_platform(DEVICE(dev));

    if (!check_place(s, err)) {
        return false;
    }
    pci_bridge_init(&s->parent_obj);
    slot_bus(s)->slots = 1;
    bus_set_hotplug_handler(BUS(slot_bus(s)), OBJECT(dev));
    io_region_init(&s->msix_bar, "pcie-root-port-msix", &msix_bar_ops, dev, MSIX_BAR_SIZE);
    pci_register_bar(dev, MSIX_BAR, PCI_BASE_ADDRESS_SPACE_MEMORY, &s->msix_bar);
    s->exp = pcie_add_capability(dev, PCI_EXP_TYPE_ROOT_PORT, s->port);
    add_slot_registers(s);
    msix_init(dev, 1, MSIX_BAR, 0, MSIX_PBA);
    pci_set_interrupt_pin(dev, 1);
    s->free_bh = loop_bh_new(p->loop, free_cb, s);
    s->patience = loop_timer_new(p->loop, p->vclock, patience_cb, s);
    return true;
}

static void port_unrealize(PciDevice *dev)
{
    PcieRootPort *s = PCIE_ROOT_PORT(dev);

    loop_timer_free(g_steal_pointer(&s->patience));
    loop_bh_free(g_steal_pointer(&s->free_bh));
    io_region_finish(&s->msix_bar);
    pci_bridge_finish(&s->parent_obj);
    s->started = false;
    s->exp = 0;
}

bool pcie_native_hotplug(PciBus *root)
{
    GPtrArray *devices = root->parent_obj.devices;

    for (guint i = 0; i < devices->len; i++) {
        Device *dev = g_ptr_array_index(devices, i);

        if (object_is_a(dev, &pcie_root_port_type) && PCIE_ROOT_PORT(dev)->hotplug) {
            return true;
        }
    }
    return false;
}

static const Property port_props[] = {
    PROP_UINT8("port", PcieRootPort, port, 0, 0, 255, "the port's number in its link capabilities"),
    PROP_UINT8("chassis", PcieRootPort, chassis, 0, 0, 255,
               "with slot= it tells the slots of all ports apart"),
    PROP_UINT16("slot", PcieRootPort, slot, 0, 0, 0x1fff,
                "the slot's number, as the guest shows it to its users"),
    PROP_BOOL("hotplug", PcieRootPort, hotplug, true,
              "device_add and device_del on the slot while the guest runs"),
    PROP_BOOL("power_controller_present", PcieRootPort, power_controller, true,
              "the guest switches the slot's power; off: a device answers as soon as it is there"),
    PROP_END,
};

static void port_class_init(ObjectClass *klass, const void *data)
{
    HotplugHandlerClass *hc = object_class_interface(klass, &hotplug_handler_type);
    DeviceClass *dc = DEVICE_CLASS(klass);
    PciDeviceClass *pc = PCI_DEVICE_CLASS(klass);

    dc->user_creatable = true;
    dc->hotpluggable = false;
    dc->category = "bridge";
    dc->reset = port_reset;
    pc->vendor_id = 0x1b36;
    pc->device_id = 0x000c;
    pc->class_id = 0x060400; /* PCI-to-PCI bridge */
    pc->realize = port_realize;
    pc->unrealize = port_unrealize;
    pc->config_write = port_config_write;
    hc->pre_plug = port_pre_plug;
    hc->plug = port_plug;
    hc->unplug_request = port_unplug_request;
    hc->unplug = port_unplug;
}

const TypeInfo pcie_root_port_type = {
    .name = "pcie-root-port",
    .parent = &pci_bridge_type,
    .instance_size = sizeof(PcieRootPort),
    .class_init = port_class_init,
    .interfaces = (const TypeInfo *const[]){&hotplug_handler_type, NULL},
    .props = port_props,
    .desc = "PCI Express root port with a slot for hotplug",
};
