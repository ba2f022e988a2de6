/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The flattened device tree of machine "virt" (aarch64): Devicetree Specification 0.4 and the bindings of Linux.
 */
#ifndef AEROSTAT_VMM_BOOT_FDT_VIRT_H
#define AEROSTAT_VMM_BOOT_FDT_VIRT_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

#include "qom/error.h"

typedef struct { uint64_t base, size; } FdtRange;

typedef struct {
    unsigned nr_cpus;
    FdtRange ram, gic_dist, gic_cpu;
    FdtRange virtio;          /* the first window; the others follow it */
    unsigned nr_virtio;
    unsigned virtio_spi;      /* of the first window: number of a shared peripheral interrupt */
    FdtRange ecam, pio, mmio32, mmio64; /* pio: where port 0 is seen */
    unsigned pci_spi;         /* INTA's; the other pins' follow */
    const char *bootargs;     /* NULL: none */
} FdtVirtConfig;

/* The tree, or NULL with err. */
GByteArray *fdt_virt_build(const FdtVirtConfig *config, GError **err);

#endif
