/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A machine without CPU: a Platform with RAM in three regions, a PCI host bridge (ports and ECAM), a controller that
 * notes messages, and interrupt wires. What a guest does is done through aspace_*; what the VMM gets is noted.
 */
#ifndef AEROSTAT_TESTS_DRIVER_FAKE_MACHINE_H
#define AEROSTAT_TESTS_DRIVER_FAKE_MACHINE_H

#include "hw/core/device.h"
#include "hw/pci/pci-host.h"

/* Two regions that touch, so that buffers may straddle them, and one above 4 GiB. */
#define FAKE_RAM_EDGE UINT64_C(0x800000)
#define FAKE_RAM_LOW  UINT64_C(0x1000000) /* end of low RAM */
#define FAKE_RAM_HIGH UINT64_C(0x100000000)
#define FAKE_RAM_HIGH_SIZE UINT64_C(0x400000)
#define FAKE_RAM_SIZE (FAKE_RAM_LOW + FAKE_RAM_HIGH_SIZE)
#define FAKE_ECAM_BASE UINT64_C(0xb0000000)
#define FAKE_MMIO_BASE UINT64_C(0xd0000000) /* of a virtio-mmio window */

enum { FAKE_MSI_MAX = 4096 };

typedef struct {
    MsiController parent;
    pthread_mutex_t lock;     /* guards what follows: iothreads send, too */
    MsiMessage sent[FAKE_MSI_MAX];
    unsigned n;               /* messages so far; sent holds the newest */
} FakeMsi;

typedef struct {
    Platform p;
    FakeMsi msi;
    Bus *main_bus;
    PciHost *host;
    int irq_level[5];         /* INTA to INTD of the bridge, and the wire of fake_machine_irq */
    unsigned irq_raised[5];   /* rising edges */
    GPtrArray *events;        /* of char *: "NAME {json}" */
} FakeMachine;

/* extra_ram: one more region of that many bytes at 8 GiB; 0: none. */
FakeMachine *fake_machine_new(uint64_t extra_ram);
void fake_machine_free(FakeMachine *m); /* devices first */

/* A device of that type with "prop=value,prop=value" (NULL: none), not realized; the tree holds it. */
Device *fake_machine_make(FakeMachine *m, const char *type, const char *id, const char *props);
/* The first "prop=value" of such a list, to be freed; *props moves behind it. NULL: no more. A comma in brackets, as JSON
 * has it, ends none. */
char *fake_next_prop(const char **props);
/* Made and realized on the PCI bus; NULL with err. */
Device *fake_machine_add(FakeMachine *m, const char *type, const char *id, const char *props, GError **err);

void fake_machine_run(FakeMachine *m);   /* the main loop, until nothing is left to do */
void fake_machine_reset(FakeMachine *m); /* as on system_reset; BARs are assigned again */

uint64_t fake_read(FakeMachine *m, uint64_t addr, unsigned size);
void fake_write(FakeMachine *m, uint64_t addr, uint64_t value, unsigned size);
/* Configuration cycles on bus 0, by ECAM and by 0xcf8/0xcfc. */
uint32_t fake_cfg_read(FakeMachine *m, uint8_t devfn, unsigned off, unsigned size);
void fake_cfg_write(FakeMachine *m, uint8_t devfn, unsigned off, uint32_t value, unsigned size);
uint32_t fake_port_cfg_read(FakeMachine *m, uint8_t devfn, unsigned off, unsigned size);

IrqLine fake_machine_irq(FakeMachine *m); /* a wire for what is not on the PCI bus */
bool fake_irq_level(FakeMachine *m);      /* any of the wires high? */

#endif
