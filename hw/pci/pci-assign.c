/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What firmware does before an operating system starts: every bus behind a bridge gets a number,
 * every BAR an address from the host bridge's windows, largest first, so that natural alignment
 * leaves no holes, and decoding is switched on. Nothing is written until everything has a place.
 *
 * What is behind a bridge is placed in a part of each window that the bridge passes on: a power of
 * two, so that it is aligned for whatever is in it, and never less than leaves room for devices
 * that come later. Ports of I/O are few: only what is there gets some.
 */
#include <inttypes.h>

#include "hw/pci/pci-bridge.h"
#include "hw/pci/pci-host.h"

#define BRIDGE_MEMORY_MIN   (UINT64_C(2) << 20)
#define BRIDGE_PREFETCH_MIN (UINT64_C(32) << 20)

/* A BAR, or what a bridge passes on. */
typedef struct {
    PciDevice *dev;
    bool is_window;
    unsigned n; /* number of the BAR, or a PciWindow */
    PciWindow from;
    uint64_t size, addr;
} Placed;

/* A window with what is left of it: [next, end). */
typedef struct {
    uint64_t next, end;
} Window;

typedef struct {
    Window window[PCI_WINDOWS];
} Windows;

static int largest_first(const void *a, const void *b)
{
    const Placed *pa = a, *pb = b;

    if (pa->size != pb->size) {
        return pa->size > pb->size ? -1 : 1;
    }
    return pa->dev->devfn != pb->dev->devfn ? pa->dev->devfn - pb->dev->devfn
                                            : (int)pa->n - (int)pb->n;
}

static uint64_t power_of_two(uint64_t size)
{
    uint64_t p = 1;

    while (p < size) {
        p *= 2;
    }
    return p;
}

/* --- what needs a place --- */

/* A bridge's prefetchable window is the one above 4 GiB. */
static PciWindow window_of_bar(const PciBar *bar)
{
    bool wide = bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64;

    if (bar->type & PCI_BASE_ADDRESS_SPACE_IO) {
        return PCI_WINDOW_IO;
    }
    return wide ? PCI_WINDOW_PREFETCH : PCI_WINDOW_MEMORY;
}

static void collect_bars(PciDevice *dev, GArray *all)
{
    for (unsigned n = 0; n < PCI_BARS; n++) {
        const PciBar *bar = &dev->bars[n];

        if (bar->region) {
            Placed p = {.dev = dev, .n = n, .from = window_of_bar(bar), .size = bar->size};

            g_array_append_val(all, p);
        }
    }
}

static void collect_windows(PciDevice *dev, PciBus *below, GArray *all)
{
    uint64_t need[PCI_WINDOWS] = {0, BRIDGE_MEMORY_MIN, BRIDGE_PREFETCH_MIN},
             sum[PCI_WINDOWS] = {0};
    g_autoptr(GArray) bars = g_array_new(false, true, sizeof(Placed));

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        if (below->devices[devfn]) {
            collect_bars(below->devices[devfn], bars);
        }
    }
    for (guint i = 0; i < bars->len; i++) {
        const Placed *p = &g_array_index(bars, Placed, i);

        sum[p->from] += p->size;
    }
    need[PCI_WINDOW_IO] = sum[PCI_WINDOW_IO] ? PCI_BRIDGE_IO_ALIGN : 0;
    for (unsigned n = 0; n < PCI_WINDOWS; n++) {
        Placed p = {.dev = dev, .is_window = true, .n = n, .from = n};

        p.size = MAX(need[n], sum[n] ? power_of_two(sum[n]) : 0);
        if (p.size) {
            g_array_append_val(all, p);
        }
    }
}

static GArray *collect(PciBus *bus)
{
    GArray *all = g_array_new(false, true, sizeof(Placed));

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        PciDevice *dev = pci_bus_device(bus, (uint8_t)devfn);
        PciBus *below = dev ? pci_bridge_bus(DEVICE(dev)) : NULL;

        if (dev) {
            collect_bars(dev, all);
        }
        if (below) {
            collect_windows(dev, below, all);
        }
    }
    g_array_sort(all, largest_first);
    return all;
}

/* --- finding places --- */

/* Address 0 is what an unset BAR holds, so it is never given out. */
static bool window_take(Window *w, uint64_t size, uint64_t *ret_addr)
{
    uint64_t at = MAX(w->next, 1) + (size - 1);

    if (at < size - 1) {
        return false;
    }
    at &= ~(size - 1);
    if (at >= w->end || w->end - at < size) {
        return false;
    }
    *ret_addr = at;
    w->next = at + size;
    return true;
}

static bool place(Windows *w, Placed *p, GError **err)
{
    bool io = p->from == PCI_WINDOW_IO;
    g_autofree char *what = NULL;

    if (window_take(&w->window[p->from], p->size, &p->addr) ||
        (p->from == PCI_WINDOW_PREFETCH &&
         window_take(&w->window[PCI_WINDOW_MEMORY], p->size, &p->addr))) {
        return true;
    }
    what = device_describe(&p->dev->parent_obj);
    if (p->is_window) {
        return error_set(err,
                         "no room in the PCI %s window for what is behind %s (%" PRIu64 " bytes)",
                         io ? "I/O" : "memory", what, p->size);
    }
    return error_set(err, "no room in the PCI %s window for BAR %u of %s (%" PRIu64 " bytes)",
                     io ? "I/O" : "memory", p->n, what, p->size);
}

static bool place_all(Windows *w, GArray *all, GError **err)
{
    for (guint i = 0; i < all->len; i++) {
        if (!place(w, &g_array_index(all, Placed, i), err)) {
            return false;
        }
    }
    return true;
}

/* --- programming --- */

static void write_config(const Placed *p, unsigned reg, uint64_t value, unsigned size)
{
    pci_bus_config_write(pci_bus_of(p->dev), p->dev->devfn, reg, (uint32_t)value, size);
}

static void switch_on(const Placed *p, uint16_t bits)
{
    uint32_t command = pci_bus_config_read(pci_bus_of(p->dev), p->dev->devfn, PCI_COMMAND, 2);

    write_config(p, PCI_COMMAND, command | bits, 2);
}

static void program_bar(const Placed *p)
{
    const PciBar *bar = &p->dev->bars[p->n];
    bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
    uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * p->n;

    write_config(p, reg, p->addr, 4);
    if (!io && (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64)) {
        write_config(p, reg + 4, p->addr >> 32, 4);
    }
    switch_on(p, io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY);
}

static void program_window(const Placed *p)
{
    uint64_t last = p->addr + p->size - 1;

    switch (p->n) {
    case PCI_WINDOW_IO:
        write_config(p, PCI_IO_BASE, p->addr >> 8, 1);
        write_config(p, PCI_IO_LIMIT, last >> 8, 1);
        switch_on(p, PCI_COMMAND_IO);
        break;
    case PCI_WINDOW_MEMORY:
        write_config(p, PCI_MEMORY_BASE, p->addr >> 16, 2);
        write_config(p, PCI_MEMORY_LIMIT, last >> 16, 2);
        switch_on(p, PCI_COMMAND_MEMORY);
        break;
    default:
        write_config(p, PCI_PREF_MEMORY_BASE, p->addr >> 16, 2);
        write_config(p, PCI_PREF_MEMORY_LIMIT, last >> 16, 2);
        write_config(p, PCI_PREF_BASE_UPPER32, p->addr >> 32, 4);
        write_config(p, PCI_PREF_LIMIT_UPPER32, last >> 32, 4);
        switch_on(p, PCI_COMMAND_MEMORY);
        break;
    }
}

/* A window that nothing was placed for is closed: its base lies above its limit. */
static void close_windows(PciDevice *dev)
{
    const Placed p = {.dev = dev};

    write_config(&p, PCI_IO_BASE, 0xf0, 1);
    write_config(&p, PCI_IO_LIMIT, 0, 1);
}

static void program_all(PciBus *bus, const GArray *all)
{
    Platform *p = bus->parent_obj.platform;

    aspace_begin(p->mmio);
    if (p->pio) {
        aspace_begin(p->pio);
    }
    for (guint i = 0; i < all->len; i++) {
        const Placed *placed = &g_array_index(all, Placed, i);

        if (placed->is_window) {
            program_window(placed);
        } else {
            program_bar(placed);
        }
    }
    if (p->pio) {
        aspace_commit(p->pio);
    }
    aspace_commit(p->mmio);
}

/* --- what is behind bridges --- */

/* What the bridge passes on has been placed, and what is below it fits in there. */
static bool assign_below(PciBridge *br, GError **err)
{
    g_autoptr(GArray) all = collect(br->bus);
    Windows w = {0};

    for (unsigned n = 0; n < PCI_WINDOWS; n++) {
        uint64_t base, limit;

        if (pci_bridge_window(br, n, &base, &limit)) {
            w.window[n] = (Window){base, limit + 1};
        }
    }
    if (!place_all(&w, all, err)) {
        return false;
    }
    program_all(br->bus, all);
    return true;
}

/* Depth first would matter with bridges below bridges, which there are not. */
static void number_buses(PciHost *host)
{
    PciBus *bus = pci_host_bus(host);
    uint8_t last = bus->number;

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        PciDevice *dev = pci_bus_device(bus, (uint8_t)devfn);

        if (dev && pci_bridge_bus(DEVICE(dev))) {
            const Placed p = {.dev = dev};

            last++;
            write_config(&p, PCI_PRIMARY_BUS, bus->number, 1);
            write_config(&p, PCI_SECONDARY_BUS, last, 1);
            write_config(&p, PCI_SUBORDINATE_BUS, last, 1);
            close_windows(dev);
        }
    }
    pci_host_set_buses(host, last + 1u);
}

static bool assign_all_below(PciBus *bus, GError **err)
{
    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        PciDevice *dev = pci_bus_device(bus, (uint8_t)devfn);

        if (dev && pci_bridge_bus(DEVICE(dev)) && !assign_below(PCI_BRIDGE(dev), err)) {
            return false;
        }
    }
    return true;
}

static Window window(uint64_t base, uint64_t size)
{
    return (Window){base, base + size};
}

bool pci_host_assign_bars(PciHost *host, GError **err)
{
    const PciHostWindows *h = pci_host_windows(host);
    PciBus *bus = pci_host_bus(host);
    g_autoptr(GArray) all = collect(bus);
    Windows w = {{
        [PCI_WINDOW_IO] = window(h->pio_base, h->pio_size),
        [PCI_WINDOW_MEMORY] = window(h->mmio32_base, h->mmio32_size),
        [PCI_WINDOW_PREFETCH] = window(h->mmio64_base, h->mmio64_size),
    }};

    if (!place_all(&w, all, err)) {
        return false;
    }
    number_buses(host);
    program_all(bus, all);
    return assign_all_below(bus, err);
}
