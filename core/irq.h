/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interrupt lines and message-signalled interrupts, as a device sees them. Lines are level wires from a device to a
 * controller's input; the VM lock guards them. Messages are address/data pairs that a controller delivers; where it
 * can, it gives a message an eventfd, so that any thread (or the kernel) can fire it without the lock.
 */
#ifndef AEROSTAT_CORE_IRQ_H
#define AEROSTAT_CORE_IRQ_H

#include <stdbool.h>
#include <stdint.h>
#include <glib.h>

/* A wire: a value, copied freely. A line with handler NULL goes nowhere. */
typedef struct {
    void (*handler)(void *opaque, int n, int level);
    void *opaque;
    int n;
} IrqLine;

static inline void irq_set(IrqLine irq, int level)
{
    if (irq.handler) {
        irq.handler(irq.opaque, irq.n, level);
    }
}
static inline void irq_raise(IrqLine irq) { irq_set(irq, 1); }
static inline void irq_lower(IrqLine irq) { irq_set(irq, 0); }
static inline void irq_pulse(IrqLine irq) { irq_set(irq, 1); irq_set(irq, 0); }

typedef struct MsiController MsiController;
typedef struct MsiRoute MsiRoute;

typedef struct { uint64_t addr; uint32_t data; } MsiMessage;

/* What a controller offers. requester is the PCI requester id (bus << 8 | devfn). */
typedef struct {
    /* Delivers at once. Any thread. */
    void (*send)(MsiController *c, MsiMessage msg, uint16_t requester);
    /* A persistent route whose eventfd delivers msg. NULL (the op or its result): not offered, use send. VM lock. */
    MsiRoute *(*route_new)(MsiController *c, MsiMessage msg, uint16_t requester);
    void (*route_update)(MsiRoute *route, MsiMessage msg);
    void (*route_free)(MsiRoute *route);
} MsiControllerOps;

struct MsiController { const MsiControllerOps *ops; };

/* First member of a controller's route. */
struct MsiRoute {
    MsiController *controller;
    int eventfd; /* owned by the route */
};

void msi_send(MsiController *c, MsiMessage msg, uint16_t requester); /* c NULL: dropped */
MsiRoute *msi_route_new(MsiController *c, MsiMessage msg, uint16_t requester); /* NULL: not offered */
void msi_route_update(MsiRoute *route, MsiMessage msg);
void msi_route_free(MsiRoute *route);  /* NULL is fine */
void msi_route_fire(MsiRoute *route);  /* any thread */

#endif
