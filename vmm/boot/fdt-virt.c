/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The device tree of machine "virt", written from top to bottom with libfdt. It says what the
 * machine has: CPUs that start through PSCI, an interrupt controller of version 2 with its timer,
 * virtio windows and a PCI host with ECAM. The first error is kept and told at the end.
 */
#include "vmm/boot/fdt-virt.h"

#include <libfdt.h>
#include <string.h>

enum {
    TREE_MAX = 64 * 1024,
    GIC_PHANDLE = 1,
    GIC_SPI = 0, /* kinds of interrupts, in the first cell */
    GIC_PPI = 1,
    EDGE_RISING = 1, /* in the third cell */
    LEVEL_HIGH = 4,
    PCI_SPACE_IO = 0x01000000, /* in the first cell of a PCI address */
    PCI_SPACE_MEM32 = 0x02000000,
    PCI_SPACE_MEM64 = 0x03000000,
    PCI_PINS = 4,
};

typedef struct {
    const FdtVirtConfig *config;
    void *buf;
    int error; /* of libfdt; 0: none so far */
} Tree;

/* --- libfdt with a memory for errors --- */

static void note(Tree *t, int result)
{
    if (!t->error && result < 0) {
        t->error = result;
    }
}

static void begin(Tree *t, const char *name)
{
    note(t, fdt_begin_node(t->buf, name));
}

static void begin_at(Tree *t, const char *name, uint64_t unit)
{
    g_autofree char *full = g_strdup_printf("%s@%" G_GINT64_MODIFIER "x", name, unit);

    begin(t, full);
}

static void end(Tree *t)
{
    note(t, fdt_end_node(t->buf));
}

static void put_string(Tree *t, const char *name, const char *value)
{
    note(t, fdt_property_string(t->buf, name, value));
}

static void put_flag(Tree *t, const char *name)
{
    note(t, fdt_property(t->buf, name, NULL, 0));
}

static void put_cells(Tree *t, const char *name, const uint32_t *cells, unsigned n)
{
    g_autofree fdt32_t *wire = g_new(fdt32_t, n);

    for (unsigned i = 0; i < n; i++) {
        wire[i] = cpu_to_fdt32(cells[i]);
    }
    note(t, fdt_property(t->buf, name, wire, (int)(n * sizeof *wire)));
}

#define PUT_CELLS(t, name, ...)                         \
    put_cells(t, name, (const uint32_t[]){__VA_ARGS__}, \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))

#define CELLS64(x) (uint32_t)((x) >> 32), (uint32_t)(x)

static void put_reg(Tree *t, FdtRange r)
{
    PUT_CELLS(t, "reg", CELLS64(r.base), CELLS64(r.size));
}

/* --- nodes --- */

static void put_psci(Tree *t)
{
    static const char compatible[] = "arm,psci-1.0\0arm,psci-0.2";

    begin(t, "psci");
    note(t, fdt_property(t->buf, "compatible", compatible, sizeof compatible));
    put_string(t, "method", "hvc");
    end(t);
}

static void put_cpus(Tree *t)
{
    begin(t, "cpus");
    PUT_CELLS(t, "#address-cells", 1);
    PUT_CELLS(t, "#size-cells", 0);
    for (unsigned i = 0; i < t->config->nr_cpus; i++) {
        begin_at(t, "cpu", i);
        put_string(t, "device_type", "cpu");
        put_string(t, "compatible", "arm,armv8");
        PUT_CELLS(t, "reg", i);
        put_string(t, "enable-method", "psci");
        end(t);
    }
    end(t);
}

/* Secure, non-secure, virtual and hypervisor timer; the cell's upper bits name the CPUs. */
static void put_timer(Tree *t)
{
    uint32_t how = ((1U << t->config->nr_cpus) - 1) << 8 | LEVEL_HIGH;

    begin(t, "timer");
    put_string(t, "compatible", "arm,armv8-timer");
    PUT_CELLS(t, "interrupts", GIC_PPI, 13, how, GIC_PPI, 14, how, GIC_PPI, 11, how, GIC_PPI, 10,
              how);
    put_flag(t, "always-on");
    end(t);
}

static void put_gic(Tree *t)
{
    const FdtVirtConfig *c = t->config;

    begin_at(t, "intc", c->gic_dist.base);
    put_string(t, "compatible", "arm,cortex-a15-gic");
    PUT_CELLS(t, "reg", CELLS64(c->gic_dist.base), CELLS64(c->gic_dist.size),
              CELLS64(c->gic_cpu.base), CELLS64(c->gic_cpu.size));
    PUT_CELLS(t, "#address-cells", 0);
    PUT_CELLS(t, "#interrupt-cells", 3);
    put_flag(t, "interrupt-controller");
    PUT_CELLS(t, "phandle", GIC_PHANDLE);
    end(t);
}

static void put_memory(Tree *t)
{
    begin_at(t, "memory", t->config->ram.base);
    put_string(t, "device_type", "memory");
    put_reg(t, t->config->ram);
    end(t);
}

static void put_virtio(Tree *t)
{
    const FdtVirtConfig *c = t->config;

    for (unsigned i = 0; i < c->nr_virtio; i++) {
        FdtRange window = {c->virtio.base + i * c->virtio.size, c->virtio.size};

        begin_at(t, "virtio_mmio", window.base);
        put_string(t, "compatible", "virtio,mmio");
        put_reg(t, window);
        PUT_CELLS(t, "interrupts", GIC_SPI, c->virtio_spi + i, LEVEL_HIGH);
        put_flag(t, "dma-coherent");
        end(t);
    }
}

/* One row for each pin of four neighbouring slots; the mask makes the others like them. */
static void put_interrupt_map(Tree *t)
{
    enum { ROW = 8 };
    uint32_t map[PCI_PINS * PCI_PINS * ROW];
    unsigned n = 0;

    for (unsigned slot = 0; slot < PCI_PINS; slot++) {
        for (unsigned pin = 0; pin < PCI_PINS; pin++, n += ROW) {
            const uint32_t row[ROW] = {slot << 11,
                                       0,
                                       0,
                                       pin + 1,
                                       GIC_PHANDLE,
                                       GIC_SPI,
                                       t->config->pci_spi + (slot + pin) % PCI_PINS,
                                       LEVEL_HIGH};

            memcpy(map + n, row, sizeof row);
        }
    }
    put_cells(t, "interrupt-map", map, n);
    PUT_CELLS(t, "interrupt-map-mask", (PCI_PINS - 1) << 11, 0, 0, 7);
}

static void put_pci(Tree *t)
{
    const FdtVirtConfig *c = t->config;

    begin_at(t, "pcie", c->mmio32.base);
    put_string(t, "compatible", "pci-host-ecam-generic");
    put_string(t, "device_type", "pci");
    put_reg(t, c->ecam);
    PUT_CELLS(t, "#address-cells", 3);
    PUT_CELLS(t, "#size-cells", 2);
    PUT_CELLS(t, "#interrupt-cells", 1);
    PUT_CELLS(t, "linux,pci-domain", 0);
    PUT_CELLS(t, "bus-range", 0, (uint32_t)(c->ecam.size >> 20) - 1);
    PUT_CELLS(t, "ranges", PCI_SPACE_IO, CELLS64(UINT64_C(0)), CELLS64(c->pio.base),
              CELLS64(c->pio.size), PCI_SPACE_MEM32, CELLS64(c->mmio32.base),
              CELLS64(c->mmio32.base), CELLS64(c->mmio32.size), PCI_SPACE_MEM64,
              CELLS64(c->mmio64.base), CELLS64(c->mmio64.base), CELLS64(c->mmio64.size));
    put_interrupt_map(t);
    put_flag(t, "dma-coherent");
    end(t);
}

static void put_root(Tree *t)
{
    begin(t, "");
    PUT_CELLS(t, "#address-cells", 2);
    PUT_CELLS(t, "#size-cells", 2);
    put_string(t, "compatible", "linux,dummy-virt");
    put_string(t, "model", "linux,dummy-virt");
    PUT_CELLS(t, "interrupt-parent", GIC_PHANDLE);
    begin(t, "chosen");
    if (t->config->bootargs) {
        put_string(t, "bootargs", t->config->bootargs);
    }
    end(t);
    put_psci(t);
    put_cpus(t);
    put_timer(t);
    put_gic(t);
    put_memory(t);
    put_virtio(t);
    put_pci(t);
    end(t);
}

GByteArray *fdt_virt_build(const FdtVirtConfig *config, GError **err)
{
    g_autofree void *buf = g_malloc0(TREE_MAX);
    Tree t = {.config = config, .buf = buf};
    GByteArray *tree;

    note(&t, fdt_create(buf, TREE_MAX));
    note(&t, fdt_finish_reservemap(buf));
    put_root(&t);
    note(&t, fdt_finish(buf));
    if (t.error) {
        error_set(err, "device tree: %s", fdt_strerror(t.error));
        return NULL;
    }
    tree = g_byte_array_new();
    g_byte_array_append(tree, buf, (guint)fdt_totalsize(buf));
    return tree;
}
