/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What firmware does before an operating system starts: every BAR gets an address from the host
 * bridge's windows, largest first, so that natural alignment leaves no holes, and decoding is
 * switched on. Nothing is written until everything has a place.
 */
#include <inttypes.h>

#include "hw/pci/pci-host.h"

typedef struct {
    PciDevice *dev;
    unsigned bar;
    uint64_t addr;
} Placed;

/* A window with what is left of it: [next, end). */
typedef struct {
    uint64_t next, end;
} Window;

typedef struct {
    Window io, mem32, mem64;
} Windows;

static const PciBar *placed_bar(const Placed *p)
{
    return &p->dev->bars[p->bar];
}

static int largest_first(const void *a, const void *b)
{
    const Placed *pa = a, *pb = b;
    uint64_t sa = placed_bar(pa)->size, sb = placed_bar(pb)->size;

    if (sa != sb) {
        return sa > sb ? -1 : 1;
    }
    return pa->dev->devfn != pb->dev->devfn ? pa->dev->devfn - pb->dev->devfn
                                            : (int)pa->bar - (int)pb->bar;
}

static GArray *collect_bars(PciBus *bus)
{
    GArray *all = g_array_new(false, true, sizeof(Placed));

    for (unsigned devfn = 0; devfn < PCI_DEVFN_MAX; devfn++) {
        PciDevice *dev = pci_bus_device(bus, (uint8_t)devfn);

        for (unsigned n = 0; dev && n < PCI_BARS; n++) {
            Placed p = {.dev = dev, .bar = n};

            if (dev->bars[n].region) {
                g_array_append_val(all, p);
            }
        }
    }
    g_array_sort(all, largest_first);
    return all;
}

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
    const PciBar *bar = placed_bar(p);
    bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
    bool wide = !io && (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64);
    g_autofree char *what = NULL;

    if ((wide && window_take(&w->mem64, bar->size, &p->addr)) ||
        window_take(io ? &w->io : &w->mem32, bar->size, &p->addr)) {
        return true;
    }
    what = device_describe(&p->dev->parent_obj);
    return error_set(err, "no room in the PCI %s window for BAR %u of %s (%" PRIu64 " bytes)",
                     io ? "I/O" : "memory", p->bar, what, bar->size);
}

static void program(PciBus *bus, const Placed *p)
{
    const PciBar *bar = placed_bar(p);
    bool io = bar->type & PCI_BASE_ADDRESS_SPACE_IO;
    uint8_t devfn = p->dev->devfn;
    uint32_t reg = PCI_BASE_ADDRESS_0 + 4 * p->bar;
    uint32_t command = pci_bus_config_read(bus, devfn, PCI_COMMAND, 2);

    pci_bus_config_write(bus, devfn, reg, (uint32_t)p->addr, 4);
    if (!io && (bar->type & PCI_BASE_ADDRESS_MEM_TYPE_64)) {
        pci_bus_config_write(bus, devfn, reg + 4, (uint32_t)(p->addr >> 32), 4);
    }
    pci_bus_config_write(bus, devfn, PCI_COMMAND,
                         command | (io ? PCI_COMMAND_IO : PCI_COMMAND_MEMORY), 2);
}

static void program_all(PciBus *bus, const GArray *all)
{
    Platform *p = bus->parent_obj.platform;

    aspace_begin(p->mmio);
    if (p->pio) {
        aspace_begin(p->pio);
    }
    for (guint i = 0; i < all->len; i++) {
        program(bus, &g_array_index(all, Placed, i));
    }
    if (p->pio) {
        aspace_commit(p->pio);
    }
    aspace_commit(p->mmio);
}

static Window window(uint64_t base, uint64_t size)
{
    return (Window){base, base + size};
}

bool pci_host_assign_bars(PciHost *host, GError **err)
{
    const PciHostWindows *h = pci_host_windows(host);
    PciBus *bus = pci_host_bus(host);
    g_autoptr(GArray) all = collect_bars(bus);
    Windows w = {
        .io = window(h->pio_base, h->pio_size),
        .mem32 = window(h->mmio32_base, h->mmio32_size),
        .mem64 = window(h->mmio64_base, h->mmio64_size),
    };

    for (guint i = 0; i < all->len; i++) {
        if (!place(&w, &g_array_index(all, Placed, i), err)) {
            return false;
        }
    }
    program_all(bus, all);
    return true;
}
