/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A virtio driver for tests: it finds the device as a guest would, negotiates, sets up queues, adds buffers, kicks,
 * and sees interrupts. One test body runs over all cells of the matrix {PCI with MSI-X, PCI with INTx, MMIO version 2}
 * x {split, packed}, {MMIO version 1, transitional PCI through its legacy interface with MSI-X or INTx} x {split}, all
 * x {event index on, off} x {indirect on, off} with a loop test:
 *
 *     START_TEST(device_answers)
 *     {
 *         g_autoptr(FakeDriver) d = fake_driver_new("virtio-echo", _i);
 *         uint16_t head = fake_driver_add(d, 0, OUT("ping", 4), IN(4));
 *         fake_driver_kick(d, 0);
 *         ck_assert(fake_driver_get(d, 0, NULL, &len));
 *     }
 *     ...
 *     tcase_add_loop_test(tc, device_answers, 0, FAKE_CELLS);
 */
#ifndef AEROSTAT_TESTS_DRIVER_FAKE_DRIVER_H
#define AEROSTAT_TESTS_DRIVER_FAKE_DRIVER_H

#include "hw/virtio/virtio.h"
#include "tests/driver/fake-machine.h"
#include "tests/driver/fake-ring.h"

/* Bits of a cell. The first cells are PCI's, then come those of MMIO version 2; the last ones are legacy: MMIO's, PCI's. */
enum {
    FAKE_EVENT_IDX = 1,
    FAKE_INDIRECT = 2,
    FAKE_INTX = 4,        /* of PCI cells */
    FAKE_PCI_PACKED = 8,
    FAKE_MMIO = 16,
    FAKE_MMIO_PACKED = 4, /* of MMIO cells */
    FAKE_MMIO_LEGACY = 8, /* with MMIO_PACKED: packed rings on offer to who cannot take them */
    FAKE_PCI_CELLS = 16,
    FAKE_MODERN_CELLS = 24,
    FAKE_PCI_LEGACY = 32, /* transitional PCI by its legacy interface; with INTX and the bits above */
    FAKE_CELLS = 40,
};

/* The device offers packed rings, and unless the cell is legacy the driver takes them. */
static inline bool fake_cell_is_packed(unsigned cell)
{
    return cell & (cell & FAKE_MMIO ? FAKE_MMIO_PACKED : FAKE_PCI_PACKED);
}

/* No VERSION_1, no FEATURES_OK, queues that work before DRIVER_OK, no place for rings but one block. */
static inline bool fake_cell_is_legacy(unsigned cell)
{
    return (cell & FAKE_PCI_LEGACY) || ((cell & FAKE_MMIO) && (cell & FAKE_MMIO_LEGACY));
}

enum { FAKE_QUEUES_MAX = 16 };

typedef struct FakeDriver FakeDriver;

/* How a driver reaches its device. */
typedef struct {
    /* Makes the device with its transport and sets d->dev; NULL with err: refused. */
    VirtIODevice *(*plug)(FakeDriver *d, const char *device, const char *props, GError **err);
    void (*probe)(FakeDriver *d);
    uint8_t (*status)(FakeDriver *d);
    void (*set_status)(FakeDriver *d, uint8_t status);
    uint64_t (*device_features)(FakeDriver *d);
    void (*set_driver_features)(FakeDriver *d, uint64_t features);
    unsigned (*queue_max)(FakeDriver *d, unsigned q); /* 0: no such queue */
    void (*queue_enable)(FakeDriver *d, unsigned q, uint16_t num, Gpa desc, Gpa driver, Gpa device);
    void (*queue_reset)(FakeDriver *d, unsigned q); /* VIRTIO_F_RING_RESET; NULL: legacy */
    void (*setup_interrupts)(FakeDriver *d);
    void (*notify)(FakeDriver *d, unsigned q);
    uint64_t (*config_read)(FakeDriver *d, unsigned off, unsigned size);
    void (*config_write)(FakeDriver *d, unsigned off, uint64_t value, unsigned size);
    uint32_t (*generation)(FakeDriver *d);
    bool (*interrupted)(FakeDriver *d, int q); /* q -1: configuration change */
} FakeTransport;

extern const FakeTransport fake_pci_transport, fake_mmio_transport, fake_pci_legacy_transport;

struct FakeDriver {
    FakeMachine *m;
    Device *dev;              /* the transport's proxy or window */
    VirtIODevice *vdev;       /* for white-box checks */
    const FakeTransport *t;
    unsigned cell;
    FakeRing rings[FAKE_QUEUES_MAX];
    unsigned n_queues;
    uint64_t features;        /* negotiated */
    uint64_t next_page;       /* of the allocator of guest memory */
    uint64_t next_high;       /* the same, above 4 GiB */
    unsigned edges_used;      /* buffers placed at edges of RAM so far */
    /* fake-pci.c */
    uint8_t devfn;
    uint64_t common, isr, device, notify; /* addresses */
    uint32_t notify_multiplier, notify_len, device_len;
    uint8_t isr_seen;         /* bits read, not yet asked for (INTx, MMIO) */
    unsigned msi_seen;        /* messages looked at */
    unsigned pending[FAKE_QUEUES_MAX + 1]; /* messages seen per event, configuration last */
};

/*
 * A machine with the device and a driver that took it to DRIVER_OK with every feature offered. device is a name
 * without transport, "virtio-balloon"; props are "prop=value,...".
 */
FakeDriver *fake_driver_new(const char *device, unsigned cell);
FakeDriver *fake_driver_new_props(const char *device, unsigned cell, const char *props);
/* Only found, not touched: status 0. */
FakeDriver *fake_driver_probe(const char *device, unsigned cell, const char *props);
/* The same on a machine that is there; the machine goes with the driver. */
FakeDriver *fake_driver_probe_on(FakeMachine *m, const char *device, unsigned cell, const char *props);
void fake_driver_free(FakeDriver *d);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeDriver, fake_driver_free)

/* The steps of §3.1.1. */
void fake_driver_reset(FakeDriver *d);
bool fake_driver_negotiate(FakeDriver *d, uint64_t wanted); /* to FEATURES_OK; false: the device refused */
void fake_driver_init_ring(FakeDriver *d, FakeRing *r, uint16_t num); /* as negotiated, in memory of its own */
void fake_driver_setup_queues(FakeDriver *d);               /* every second one above 4 GiB while there is room */
void fake_driver_start(FakeDriver *d);                      /* DRIVER_OK */
void fake_driver_up(FakeDriver *d);                         /* all of them, every feature */
void fake_driver_again(FakeDriver *d);                      /* reset and up; all guest memory is free again */

uint8_t fake_driver_status(FakeDriver *d);
bool fake_driver_broken(FakeDriver *d);                     /* DEVICE_NEEDS_RESET? */

/* --- buffers --- */
typedef struct {
    const void *data;  /* OUT: copied to guest memory; NULL: at is where it lies */
    uint64_t at;       /* 0: allocated */
    uint32_t len;
    bool writable;
    bool end;
} FakeBuf;
#define OUT(p, n)    ((FakeBuf){.data = (p), .len = (n)})
#define IN(n)        ((FakeBuf){.len = (n), .writable = true})
#define OUT_AT(a, n) ((FakeBuf){.at = (a), .len = (n)})
#define IN_AT(a, n)  ((FakeBuf){.at = (a), .len = (n), .writable = true})
#define END          ((FakeBuf){.end = true})

/* Makes one request of the buffers available; returns its head. */
#define fake_driver_add(d, q, ...) fake_driver_add_bufs(d, q, (const FakeBuf[]){__VA_ARGS__, END}, NULL)
uint16_t fake_driver_add_bufs(FakeDriver *d, unsigned q, const FakeBuf *bufs, Gpa *ret_places);

Gpa fake_driver_alloc(FakeDriver *d, size_t len);   /* zeroed guest memory, page aligned */
/* Where buffers go: the first ones straddle two regions of RAM, end with low RAM, and end with RAM above 4 GiB. */
Gpa fake_driver_place(FakeDriver *d, size_t len);
void fake_driver_kick(FakeDriver *d, unsigned q);   /* notifies and lets the main loop work */
bool fake_driver_get(FakeDriver *d, unsigned q, uint16_t *ret_head, uint32_t *ret_len); /* a used buffer */
bool fake_driver_interrupted(FakeDriver *d, unsigned q); /* since last asked; acknowledged */
bool fake_driver_config_interrupted(FakeDriver *d);

/* PCI: bus mastering on or off, the rest of the command register as a driver has it. MMIO has no such thing: nothing. */
void fake_driver_set_dma(FakeDriver *d, bool allowed);

/* --- PCI only --- */
uint32_t fake_pci_cfg(FakeDriver *d, unsigned off, unsigned size);
void fake_pci_cfg_set(FakeDriver *d, unsigned off, uint32_t value, unsigned size);
unsigned fake_pci_cap(FakeDriver *d, unsigned type, unsigned nth); /* offset of a virtio capability; 0: none */
unsigned fake_pci_std_cap(FakeDriver *d, uint8_t id);
uint64_t fake_pci_bar(FakeDriver *d, unsigned bar);
uint64_t fake_common_read(FakeDriver *d, unsigned off, unsigned size);
void fake_common_write(FakeDriver *d, unsigned off, uint64_t value, unsigned size);
unsigned fake_pci_enable_msix(FakeDriver *d); /* with messages that tell their vector; the vectors, 0: INTx */
void fake_pci_map_vector(FakeDriver *d, int q, uint16_t vector); /* q -1: configuration */

/* --- MMIO only --- */
uint32_t fake_mmio_reg(FakeDriver *d, unsigned off);
void fake_mmio_reg_set(FakeDriver *d, unsigned off, uint32_t value);

/* --- PCI, legacy: registers at BAR 0 --- */
uint32_t fake_legacy_read(FakeDriver *d, unsigned off, unsigned size);
void fake_legacy_write(FakeDriver *d, unsigned off, uint32_t value, unsigned size);

/* --- a device that answers each request with the bytes it got: "virtio-echo" ---
 * Properties: queues (default 2), queue-size (8), hold (the test pops, not the device). */
enum { FAKE_ECHO_ID = 63, FAKE_ECHO_CONFIG = 16, FAKE_ECHO_WRITABLE = 8 };
extern const TypeInfo *const fake_echo_types[]; /* registered with the first driver */
extern const TypeInfo fake_echo_type;
unsigned fake_echo_kicks(VirtIODevice *vdev);
void fake_echo_change_config(VirtIODevice *vdev, uint64_t value); /* bytes 8 to 15, announced */
void fake_echo_refuse(VirtIODevice *vdev, bool refuse);           /* validate_features says no */

#endif
