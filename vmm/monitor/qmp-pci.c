/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP's query-pci and the human monitor's "info pci".
 */
#include "vmm/monitor/qmp-command.h"

#include <inttypes.h>
#include <string.h>

#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-host.h"

/* QEMU's words, for classes that there are here. */
static const struct {
    unsigned class;
    const char *desc;
} classes[] = {{0x0100, "SCSI controller"},
               {0x0200, "Ethernet controller"},
               {0x0600, "Host bridge"},
               {0x0601, "ISA bridge"},
               {0x0604, "PCI bridge"}};

static unsigned word_at(const PciDevice *dev, unsigned off)
{
    return dev->config[off] | (unsigned)dev->config[off + 1] << 8;
}

static json_t *describe_class(const PciDevice *dev)
{
    json_t *info = json_pack("{s:i}", "class", word_at(dev, PCI_CLASS_DEVICE));

    for (unsigned i = 0; i < G_N_ELEMENTS(classes); i++) {
        if (classes[i].class == word_at(dev, PCI_CLASS_DEVICE)) {
            json_object_set_new(info, "desc", json_string(classes[i].desc));
        }
    }
    return info;
}

/* An address of -1 is none, as in QEMU. */
static json_t *describe_regions(const PciDevice *dev)
{
    json_t *list = json_array();

    for (int i = 0; i < PCI_BARS; i++) {
        const PciBar *bar = &dev->bars[i];
        bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
        json_t *region;

        if (!bar->region) {
            continue;
        }
        region = json_pack("{s:i, s:s, s:I, s:I}", "bar", i, "type", io ? "io" : "memory",
                           "address", (json_int_t)bar->addr, "size", (json_int_t)bar->size);
        if (!io) {
            json_object_set_new(region, "prefetch",
                                json_boolean(bar->type & PCI_BASE_ADDRESS_MEM_PREFETCH));
            json_object_set_new(region, "mem_type_64",
                                json_boolean(bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64));
        }
        json_array_append_new(list, region);
    }
    return list;
}

static json_t *describe_devices(const PciBus *bus);

/* A closed window has its base above its limit, as its registers have it. */
static json_t *describe_window(const PciBridge *br, PciWindow which)
{
    uint64_t base, limit;

    pci_bridge_window(br, which, &base, &limit);
    return json_pack("{s:I, s:I}", "base", (json_int_t)base, "limit", (json_int_t)limit);
}

static json_t *describe_bridge(const PciBridge *br)
{
    const uint8_t *config = br->parent_obj.config;

    return json_pack("{s:{s:i, s:i, s:i, s:o, s:o, s:o}, s:o}", "bus", "number",
                     config[PCI_PRIMARY_BUS], "secondary", config[PCI_SECONDARY_BUS], "subordinate",
                     config[PCI_SUBORDINATE_BUS], "io_range", describe_window(br, PCI_WINDOW_IO),
                     "memory_range", describe_window(br, PCI_WINDOW_MEMORY), "prefetchable_range",
                     describe_window(br, PCI_WINDOW_PREFETCH), "devices",
                     describe_devices(br->bus));
}

static json_t *describe_function(const PciBus *bus, PciDevice *dev)
{
    int pin = dev->config[PCI_INTERRUPT_PIN];
    json_t *info =
        json_pack("{s:i, s:i, s:i, s:o, s:{s:i, s:i, s:i, s:i}, s:i, s:s, s:o}", "bus", bus->number,
                  "slot", PCI_SLOT(dev->devfn), "function", PCI_FUNC(dev->devfn), "class_info",
                  describe_class(dev), "id", "device", word_at(dev, PCI_DEVICE_ID), "vendor",
                  word_at(dev, PCI_VENDOR_ID), "subsystem", word_at(dev, PCI_SUBSYSTEM_ID),
                  "subsystem-vendor", word_at(dev, PCI_SUBSYSTEM_VENDOR_ID), "irq_pin", pin,
                  "qdev_id", dev->parent_obj.id ?: "", "regions", describe_regions(dev));

    if (pin) {
        json_object_set_new(info, "irq", json_integer(dev->config[PCI_INTERRUPT_LINE]));
    }
    if (pci_bridge_bus(DEVICE(dev))) {
        json_object_set_new(info, "pci_bridge", describe_bridge(PCI_BRIDGE(dev)));
    }
    return info;
}

static json_t *describe_devices(const PciBus *bus)
{
    json_t *devices = json_array();

    for (unsigned i = 0; i < PCI_DEVFN_MAX; i++) {
        if (bus->devices[i]) {
            json_array_append_new(devices, describe_function(bus, bus->devices[i]));
        }
    }
    return devices;
}

/* Those behind bridges are told with their bridges. */
static bool add_bus(Object *obj, void *opaque)
{
    if (object_is_a(obj, &pci_bus_type) && pci_bus_is_root(PCI_BUS(obj))) {
        PciBus *bus = PCI_BUS(obj);

        json_array_append_new(
            opaque, json_pack("{s:i, s:o}", "bus", bus->number, "devices", describe_devices(bus)));
    }
    return true;
}

static json_t *run_query_pci(Machine *m, json_t *args, GError **err)
{
    json_t *list = json_array();

    object_foreach(OBJECT(m), add_bus, list);
    return list;
}

/* --- for the human monitor --- */

static json_int_t number(json_t *obj, const char *key)
{
    return json_integer_value(json_object_get(obj, key));
}

static void print_region(GString *out, json_t *r)
{
    uint64_t addr = (uint64_t)number(r, "address"), end = addr + (uint64_t)number(r, "size") - 1;

    if (!strcmp(json_string_value(json_object_get(r, "type")), "io")) {
        g_string_append_printf(out, "      BAR%d: I/O at 0x%04" PRIx64 " [0x%04" PRIx64 "].\r\n",
                               (int)number(r, "bar"), addr, end);
    } else {
        g_string_append_printf(
            out, "      BAR%d: %d bit%s memory at 0x%08" PRIx64 " [0x%08" PRIx64 "].\r\n",
            (int)number(r, "bar"), json_is_true(json_object_get(r, "mem_type_64")) ? 64 : 32,
            json_is_true(json_object_get(r, "prefetch")) ? " prefetchable" : "", addr, end);
    }
}

static void print_range(GString *out, const char *what, json_t *range, int digits)
{
    g_string_append_printf(out, "      %s range [0x%0*" PRIx64 ", 0x%0*" PRIx64 "]\r\n", what,
                           digits, (uint64_t)number(range, "base"), digits,
                           (uint64_t)number(range, "limit"));
}

static void print_bridge(GString *out, json_t *bus)
{
    g_string_append_printf(
        out, "      BUS %d.\r\n      secondary bus %d.\r\n      subordinate bus %d.\r\n",
        (int)number(bus, "number"), (int)number(bus, "secondary"), (int)number(bus, "subordinate"));
    print_range(out, "IO", json_object_get(bus, "io_range"), 4);
    print_range(out, "memory", json_object_get(bus, "memory_range"), 8);
    print_range(out, "prefetchable memory", json_object_get(bus, "prefetchable_range"), 8);
}

static void print_function(GString *out, json_t *dev)
{
    json_t *bridge = json_object_get(dev, "pci_bridge"), *below;
    json_t *class = json_object_get(dev, "class_info"), *id = json_object_get(dev, "id"), *r;
    const char *desc = json_string_value(json_object_get(class, "desc"));
    g_autofree char *name =
        desc ? g_strdup(desc) : g_strdup_printf("Class %04d", (int)number(class, "class"));
    size_t i;

    g_string_append_printf(out,
                           "  Bus %2d, device %3d, function %d:\r\n    %s: PCI device "
                           "%04x:%04x\r\n      PCI subsystem %04x:%04x\r\n",
                           (int)number(dev, "bus"), (int)number(dev, "slot"),
                           (int)number(dev, "function"), name, (unsigned)number(id, "vendor"),
                           (unsigned)number(id, "device"), (unsigned)number(id, "subsystem-vendor"),
                           (unsigned)number(id, "subsystem"));
    if (json_object_get(dev, "irq")) {
        g_string_append_printf(out, "      IRQ %d, pin %c\r\n", (int)number(dev, "irq"),
                               (int)('A' + number(dev, "irq_pin") - 1));
    }
    if (bridge) {
        print_bridge(out, json_object_get(bridge, "bus"));
    }
    json_array_foreach(json_object_get(dev, "regions"), i, r)
    {
        print_region(out, r);
    }
    g_string_append_printf(out, "      id \"%s\"\r\n",
                           json_string_value(json_object_get(dev, "qdev_id")));
    json_array_foreach(json_object_get(bridge, "devices"), i, below)
    {
        print_function(out, below);
    }
}

char *qmp_info_pci(Machine *m)
{
    GString *out = g_string_new(NULL);
    json_t *buses = run_query_pci(m, NULL, NULL), *bus, *dev;
    size_t i, n;

    json_array_foreach(buses, i, bus)
    {
        json_array_foreach(json_object_get(bus, "devices"), n, dev)
        {
            print_function(out, dev);
        }
    }
    json_decref(buses);
    return g_string_free(out, FALSE);
}

const QmpCommand qmp_pci_commands[] = {
    {.name = "query-pci",
     .help = "PCI buses, functions and their BARs",
     .run = run_query_pci,
     .ret = "[PciInfo]"},
    {0},
};
