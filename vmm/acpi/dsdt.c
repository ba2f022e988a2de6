/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The DSDT: what the guest cannot find by itself. ACPI 6.5 chapters 5 and 6, PCI Firmware
 * Specification 3.3 §4. Kept small: each node costs the guest instructions at boot. Without
 * root ports there is no _OSC, so PCI Express features stay with the platform (no native hotplug or
 * AER; slots of the root bus have ACPI's); and there is no PS/2 keyboard.
 */
#include "hw/misc/acpi-ged.h"
#include "hw/pci/acpi-pcihp.h"
#include "vmm/acpi/acpi-internal.h"
#include "vmm/acpi/aml.h"

enum { PCI_PINS = 4, CONFIG_PORTS = 0xcf8, CONFIG_PORTS_LEN = 8 };

/* \_S5: the type for SLEEP_CONTROL; the other elements have no meaning without PM1 registers. */
static void add_s5(GByteArray *out)
{
    AmlMark pkg;

    aml_name(out, "\\_S5");
    pkg = aml_package_begin(out, 2);
    aml_int(out, ACPI_GED_SLP_TYP_S5);
    aml_int(out, 0);
    aml_end(out, pkg);
}

/* Each processor of the MADT has an object with the same _UID (ACPI 6.5 §8.4). */
static void add_cpus(GByteArray *out, unsigned nr)
{
    for (unsigned i = 0; i < nr; i++) {
        char name[5];
        AmlMark dev;

        g_snprintf(name, sizeof name, "C%03X", i & 0xfff);
        dev = aml_device_begin(out, name);
        aml_name_string(out, "_HID", "ACPI0007");
        aml_name_int(out, "_UID", i);
        aml_end(out, dev);
    }
}

/* --- PCI --- */

static unsigned pci_buses(const PciHostWindows *w)
{
    return w->ecam_size ? MIN(MAX(w->ecam_size >> 20, 1), 256) : 256;
}

/* The I/O window without the configuration ports, which are the bridge's own. */
static void add_io_windows(GByteArray *res, const PciHostWindows *w)
{
    uint32_t start = w->pio_base, end = start + MIN(w->pio_size, 0x10000 - start);

    if (w->config_ports) {
        aml_res_io(res, CONFIG_PORTS, CONFIG_PORTS_LEN);
        if (start < CONFIG_PORTS + CONFIG_PORTS_LEN && end > CONFIG_PORTS) {
            if (start < CONFIG_PORTS) {
                aml_res_io_window(res, start, CONFIG_PORTS - start);
            }
            start = MIN(end, CONFIG_PORTS + CONFIG_PORTS_LEN);
        }
    }
    aml_res_io_window(res, start, end - start);
}

static void add_pci_crs(GByteArray *out, const PciHostWindows *w)
{
    g_autoptr(GByteArray) res = g_byte_array_new();

    aml_res_bus_window(res, 0, pci_buses(w));
    add_io_windows(res, w);
    aml_res_memory_window(res, w->mmio32_base, w->mmio32_size);
    aml_res_memory_window(res, w->mmio64_base, w->mmio64_size);
    aml_name_resources(out, "_CRS", res);
}

/* Four pins of each of 32 slots, wired to fixed GSIs in the usual rotation. */
static void add_prt(GByteArray *out, const unsigned gsi[PCI_PINS])
{
    AmlMark prt;

    aml_name(out, "_PRT");
    prt = aml_package_begin(out, PCI_SLOTS * PCI_PINS);
    for (unsigned slot = 0; slot < PCI_SLOTS; slot++) {
        for (unsigned pin = 0; pin < PCI_PINS; pin++) {
            AmlMark entry = aml_package_begin(out, 4);

            aml_int(out, slot << 16 | 0xffff);
            aml_int(out, pin);
            aml_int(out, 0);
            aml_int(out, gsi[(slot + pin) % PCI_PINS]);
            aml_end(out, entry);
        }
    }
    aml_end(out, prt);
}

/* --- slots of the root bus that devices come to and leave while the guest runs: ACPI 6.5 §6.1.1,
 * §6.1.11, §6.3.3, §6.3.5, by the registers of hw/pci/acpi-pcihp.h --- */

/* Slot 0 is the host bridge's own. */
enum { FIRST_HOTPLUG_SLOT = 1 };

static void slot_name(char name[5], unsigned slot)
{
    g_snprintf(name, 5, "S%02X", PCI_DEVFN_OF(slot, 0) & 0xff);
}

/* What the operating system says of a request: POST(slot in the upper half, event, status). */
static void add_slot_status(GByteArray *out)
{
    enum { EJECT_REQUEST = 3 };
    AmlMark method = aml_method_begin(out, "POST", 3, true), cond = aml_if_begin(out);

    aml_equal(out);
    aml_arg(out, AML_ARG1);
    aml_int(out, EJECT_REQUEST);
    aml_or_to(out, AML_ARG0, AML_ARG2, "HPST");
    aml_end(out, cond);
    aml_end(out, method);
}

/* There is no _STA: whether a slot is filled, configuration space says. */
static void add_slot(GByteArray *out, unsigned slot)
{
    AmlMark dev, eject, status;
    char name[5];

    slot_name(name, slot);
    dev = aml_device_begin(out, name);
    aml_name_int(out, "_ADR", slot << 16);
    aml_name_int(out, "_SUN", slot);
    eject = aml_method_begin(out, "_EJ0", 1, false);
    aml_store_int(out, UINT32_C(1) << slot, "HPEJ");
    aml_end(out, eject);
    status = aml_method_begin(out, "_OST", 3, false);
    aml_call(out, "POST");
    aml_int(out, slot << 16);
    aml_arg(out, AML_ARG0);
    aml_arg(out, AML_ARG1);
    aml_end(out, status);
    aml_end(out, dev);
}

static void add_slot_notify(GByteArray *out, AmlLocal slots, unsigned slot, uint64_t what)
{
    AmlMark cond = aml_if_begin(out);
    char name[5];

    slot_name(name, slot);
    aml_and(out, slots, UINT32_C(1) << slot);
    aml_notify(out, name, what);
    aml_end(out, cond);
}

/* Tells the operating system what the registers say. */
static void add_slot_scan(GByteArray *out)
{
    enum { DEVICE_CHECK = 1, EJECT_REQUEST = 3 };
    AmlMark scan = aml_method_begin(out, "PCNT", 0, true);

    aml_load(out, "HPUP", AML_LOCAL0);
    aml_load(out, "HPDN", AML_LOCAL1);
    for (unsigned slot = FIRST_HOTPLUG_SLOT; slot < PCI_SLOTS; slot++) {
        add_slot_notify(out, AML_LOCAL0, slot, DEVICE_CHECK);
        add_slot_notify(out, AML_LOCAL1, slot, EJECT_REQUEST);
    }
    aml_end(out, scan);
}

static void add_slots(GByteArray *out, uint16_t port)
{
    aml_io_register(out, "HPRU", "HPUP", port + ACPI_PCIHP_UP, 4);
    aml_io_register(out, "HPRD", "HPDN", port + ACPI_PCIHP_DOWN, 4);
    aml_io_register(out, "HPRE", "HPEJ", port + ACPI_PCIHP_EJECT, 4);
    aml_io_register(out, "HPRS", "HPST", port + ACPI_PCIHP_STATUS, 4);
    add_slot_status(out);
    for (unsigned slot = FIRST_HOTPLUG_SLOT; slot < PCI_SLOTS; slot++) {
        add_slot(out, slot);
    }
    add_slot_scan(out);
}

/*
 * _OSC (ACPI 6.5 §6.2.11, PCI Firmware Specification 3.3 §4.5): of the PCI Express features the
 * operating system may have native hotplug and the capability's registers, nothing else.
 */
static void add_osc(GByteArray *out)
{
    enum { HOTPLUG = 1 << 0, CAPABILITY = 1 << 4 };
    enum { UNRECOGNIZED_UUID = 1 << 2, UNRECOGNIZED_REVISION = 1 << 3, CAPS_MASKED = 1 << 4 };
    AmlMark osc = aml_method_begin(out, "_OSC", 4, false), cond, inner;

    aml_dword_field(out, AML_ARG3, 0, "CDW1");
    cond = aml_if_begin(out);
    aml_equal(out);
    aml_arg(out, AML_ARG0);
    aml_uuid(out, "33DB4D5B-1FF7-401C-9657-7441C03DD766");
    aml_dword_field(out, AML_ARG3, 8, "CDW3");
    aml_load(out, "CDW3", AML_LOCAL0);
    aml_and_to(out, AML_LOCAL0, HOTPLUG | CAPABILITY, "CDW3");
    inner = aml_if_begin(out);
    aml_not(out);
    aml_equal(out);
    aml_local(out, AML_LOCAL0);
    aml_path(out, "CDW3");
    aml_or_in(out, "CDW1", CAPS_MASKED);
    aml_end(out, inner);
    inner = aml_if_begin(out);
    aml_not(out);
    aml_equal(out);
    aml_arg(out, AML_ARG1);
    aml_int(out, 1);
    aml_or_in(out, "CDW1", UNRECOGNIZED_REVISION);
    aml_end(out, inner);
    aml_end(out, cond);
    cond = aml_else_begin(out);
    aml_or_in(out, "CDW1", UNRECOGNIZED_UUID);
    aml_end(out, cond);
    aml_return(out);
    aml_arg(out, AML_ARG3);
    aml_end(out, osc);
}

static void add_pci_host(GByteArray *out, const AcpiConfig *config)
{
    const PciHostWindows *w = config->pci;
    AmlMark dev = aml_device_begin(out, "PCI0");

    if (w->ecam_size) {
        aml_name_eisa_id(out, "_HID", "PNP0A08");
        aml_name_eisa_id(out, "_CID", "PNP0A03");
    } else {
        aml_name_eisa_id(out, "_HID", "PNP0A03");
    }
    aml_name_int(out, "_UID", 0);
    aml_name_int(out, "_SEG", 0);
    aml_name_int(out, "_BBN", 0);
    add_pci_crs(out, w);
    add_prt(out, config->pci_gsi);
    if (config->pcie_hotplug) {
        add_osc(out);
    }
    if (config->pcihp_port) {
        add_slots(out, config->pcihp_port);
    }
    aml_end(out, dev);
}

/* Motherboard resources: Linux uses ECAM only when something reserves it (PCI Firmware
 * Specification §4.1.2). */
static void add_ecam_reservation(GByteArray *out, const PciHostWindows *w)
{
    g_autoptr(GByteArray) res = g_byte_array_new();
    AmlMark dev = aml_device_begin(out, "MRES");

    aml_res_memory(res, w->ecam_base, w->ecam_size);
    aml_name_eisa_id(out, "_HID", "PNP0C02");
    aml_name_resources(out, "_CRS", res);
    aml_end(out, dev);
}

/* --- port I/O devices --- */

static void add_isa_device(GByteArray *out, const char *name, const char *id, uint16_t iobase,
                           uint8_t len, unsigned irq)
{
    g_autoptr(GByteArray) res = g_byte_array_new();
    AmlMark dev = aml_device_begin(out, name);

    aml_res_io(res, iobase, len);
    aml_res_irq(res, irq, AML_EDGE_HIGH);
    aml_name_eisa_id(out, "_HID", id);
    aml_name_resources(out, "_CRS", res);
    aml_end(out, dev);
}

/* --- events: ACPI 6.5 §5.6.9.2, one interrupt and a selector that reading clears --- */

static void add_evt(GByteArray *out, const AcpiConfig *config)
{
    AmlMark evt = aml_method_begin(out, "_EVT", 1, true), cond;

    aml_load(out, "ESEL", AML_LOCAL0);
    cond = aml_if_begin(out);
    aml_and(out, AML_LOCAL0, ACPI_GED_EVENT_POWER);
    aml_notify(out, "\\_SB.PWRB", 0x80);
    aml_end(out, cond);
    if (config->pci && config->pcihp_port) {
        cond = aml_if_begin(out);
        aml_and(out, AML_LOCAL0, ACPI_GED_EVENT_PCI_HOTPLUG);
        aml_call(out, "\\_SB.PCI0.PCNT");
        aml_end(out, cond);
    }
    aml_end(out, evt);
}

static void add_ged(GByteArray *out, const AcpiConfig *config)
{
    g_autoptr(GByteArray) res = g_byte_array_new();
    AmlMark dev = aml_device_begin(out, "PWRB");

    aml_name_eisa_id(out, "_HID", "PNP0C0C");
    aml_end(out, dev);

    dev = aml_device_begin(out, "GED");
    aml_name_string(out, "_HID", "ACPI0013");
    aml_res_irq(res, config->ged_irq,
                AML_LEVEL_HIGH); /* a press before the driver is there must not get lost */
    aml_name_resources(out, "_CRS", res);
    aml_mmio_register(out, "EREG", "ESEL", config->ged_base + ACPI_GED_SELECTOR, 4);
    add_evt(out, config);
    aml_end(out, dev);
}

/* --- virtio over MMIO: the id that Linux's driver knows --- */

static void add_virtio_mmio(GByteArray *out, const AcpiConfig *config, unsigned n)
{
    g_autoptr(GByteArray) res = g_byte_array_new();
    char name[5];
    AmlMark dev;

    g_snprintf(name, sizeof name, "VR%02X", n & 0xff);
    dev = aml_device_begin(out, name);
    aml_name_string(out, "_HID", "LNRO0005");
    aml_name_int(out, "_UID", n);
    aml_name_int(out, "_CCA", 1);
    aml_res_memory(res, config->virtio_mmio_base + (uint64_t)n * config->virtio_mmio_size,
                   config->virtio_mmio_size);
    aml_res_irq(res, config->virtio_mmio_gsi + n, AML_LEVEL_HIGH);
    aml_name_resources(out, "_CRS", res);
    aml_end(out, dev);
}

void acpi_dsdt_aml(GByteArray *out, const AcpiConfig *config)
{
    AmlMark sb;

    if (config->ged_base) {
        add_s5(out);
    }
    sb = aml_scope_begin(out, "\\_SB");
    add_cpus(out, config->nr_cpus);
    if (config->pci) {
        add_pci_host(out, config);
        if (config->pci->ecam_size) {
            add_ecam_reservation(out, config->pci);
        }
    }
    if (config->serial_iobase) {
        add_isa_device(out, "COM1", "PNP0501", config->serial_iobase, 8, config->serial_irq);
    }
    if (config->rtc) {
        add_isa_device(out, "RTC", "PNP0B00", 0x70, 2, 8);
    }
    for (unsigned n = 0; n < 32; n++) {
        if (config->virtio_mmio_used & (UINT32_C(1) << n)) {
            add_virtio_mmio(out, config, n);
        }
    }
    if (config->ged_base) {
        add_ged(out, config);
    }
    aml_end(out, sb);
}
