/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio core (VIRTIO 1.4 §2): a device between its transport and its own model. The transport (virtio-pci.c,
 * virtio-mmio.c) calls the functions under "for transports"; a device model calls virtio_init, virtio_add_queue
 * and the rest of the first half, and fills in VirtioDeviceClass.
 *
 * Threads: everything runs under the VM lock, on the main loop or in a vCPU's exit. A queue may be served by an iothread
 * instead (virtio_queue_set_iothread): its handle_output and what the device does for it there run with the iothread's lock
 * and without the VM lock. The calls under "for transports" take the locks of all iothreads of the device, so what is
 * changed there (status, features, queues, cache modes) stands still while an iothread looks at it.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_H

#include <linux/virtio_config.h>
#include <linux/virtio_ids.h>

#include "core/log.h"
#include "hw/core/device.h"
#include "hw/virtio/virtqueue.h"

OBJECT_DECLARE_CLASS(VirtIODevice, VirtioDeviceClass, virtio_device, VIRTIO_DEVICE)
OBJECT_DECLARE_CLASS(VirtioBus, VirtioBusClass, virtio_bus, VIRTIO_BUS)

typedef void (*VirtIOHandleOutput)(VirtIODevice *vdev, VirtQueue *vq);

/* Not in all versions of <linux/virtio_config.h>. */
#ifndef VIRTIO_F_NOTIFICATION_DATA
#define VIRTIO_F_NOTIFICATION_DATA 38
#endif
#ifndef VIRTIO_F_NOTIF_CONFIG_DATA
#define VIRTIO_F_NOTIF_CONFIG_DATA 39
#endif
#ifndef VIRTIO_F_ADMIN_VQ
#define VIRTIO_F_ADMIN_VQ 41
#endif

enum { VIRTIO_QUEUES_MAX = 1024, VIRTIO_NO_VECTOR = 0xffff };
enum { VIRTIO_ISR_QUEUE = 1, VIRTIO_ISR_CONFIG = 2 };

struct VirtIODevice {
    Device parent_obj;
    uint16_t device_id;        /* VIRTIO_ID_* */
    uint8_t status;            /* VIRTIO_CONFIG_S_* */
    bool broken;               /* atomic: NEEDS_RESET was raised; nothing is processed until reset */
    bool dma_allowed;          /* may it touch guest memory? See virtio_set_dma_allowed */
    bool legacy;               /* see virtio_set_legacy */
    bool started;              /* DRIVER_OK came; by the legacy interface also: a queue was set up */
    uint64_t legacy_features;  /* offered by legacy interfaces only, besides the low half of host_features */
    uint64_t host_features;    /* offered; bits of properties such as indirect_desc, event_idx included */
    uint64_t prop_features;    /* what properties made of host_features, before realize */
    uint64_t guest_features;   /* what the driver wrote; negotiated once FEATURES_OK is set */
    GPtrArray *queues;         /* of VirtQueue * */
    uint8_t *config;           /* device configuration as the driver sees it, little-endian */
    size_t config_size;
    uint32_t config_generation;
    bool config_read_since_change; /* drives the generation */
    uint16_t config_vector;    /* transport's vector for configuration changes; VIRTIO_NO_VECTOR */
    uint8_t isr;               /* atomic; VIRTIO_ISR_* */
    VirtioBus *vbus;           /* the transport's bus, once plugged */
    LoopTimer *later;          /* for virtio_queue_run_later; made on first use */
    LogRate error_rate;        /* of virtio_error */
    GPtrArray *iothreads;      /* of IoThread *, each once, borrowed; NULL: none */
    LoopBh *deferred;          /* on the main loop: what an iothread cannot do itself; NULL: no iothreads */
    bool error_deferred;       /* atomic */
};

/* A device model fills in what it needs; all may be NULL. */
struct VirtioDeviceClass {
    DeviceClass parent_class;
    bool (*realize)(VirtIODevice *vdev, GError **err);   /* virtio_init and virtio_add_queue happen here */
    void (*unrealize)(VirtIODevice *vdev);
    /* Device features to offer besides the common ones; common holds what the core offers. */
    uint64_t (*get_features)(VirtIODevice *vdev, uint64_t common);
    /* A last word on what the driver chose (a subset of the offer, VERSION_1 in it): false keeps FEATURES_OK clear. */
    bool (*validate_features)(VirtIODevice *vdev, uint64_t features);
    /* Refreshes the whole config space before the driver reads or writes it. */
    void (*get_config)(VirtIODevice *vdev, void *config);
    /* After a driver write to config space: config holds the new bytes, [off, off+len) were written. Only bytes for
     * which config_writable says yes are ever changed by the driver; a write that touches none is dropped. */
    void (*set_config)(VirtIODevice *vdev, const void *config, size_t off, size_t len);
    bool (*config_writable)(VirtIODevice *vdev, size_t off); /* NULL: nothing is writable */
    void (*set_status)(VirtIODevice *vdev, uint8_t old_status);
    /* Queue vq alone is being reset (VIRTIO_F_RING_RESET) or disabled: lets go of its elements. A later push of one is
     * dropped, so that NULL is right where a device gets back to each element by itself. */
    void (*queue_reset)(VirtIODevice *vdev, VirtQueue *vq);
    /* After a queue was started past DRIVER_OK, and when the device may do DMA again or no more: for who lends queues. */
    void (*queues_changed)(VirtIODevice *vdev);
    /* A queue's interrupt has another eventfd (virtio_queue_notifier), or none any more, fd -1: it is let go of now. With the
     * VM lock, and locks of the transport's. */
    void (*notifier_changed)(VirtIODevice *vdev, VirtQueue *vq, int fd);
    /* Which of the core's own features it can serve, of those offered. Once, before get_features. */
    uint64_t (*limit_features)(VirtIODevice *vdev, uint64_t common);
    void (*reset)(VirtIODevice *vdev); /* cancels or drains what is in flight, before queues are reset */
};

/* What a transport does for the core. */
struct VirtioBusClass {
    BusClass parent_class;
    /* What it serves of VIRTIO_F_RING_RESET, VIRTIO_F_NOTIFICATION_DATA, VIRTIO_F_NOTIF_CONFIG_DATA, and of the features
     * that only legacy drivers have, as a mask. */
    uint64_t features;
    void (*notify)(VirtioBus *bus, uint16_t vector, bool config); /* raise the interrupt; without MSI-X: VM lock */
    /* A queue's interrupt, raised without the VM lock. False: that cannot be done now. NULL: it never can. */
    bool (*notify_unlocked)(VirtioBus *bus, uint16_t vector);
    /* An eventfd that raises vector's interrupt without us; -1: there is none now. NULL: never. The bus tells of changes by
     * virtio_vector_changed. VM lock. */
    int (*notifier)(VirtioBus *bus, uint16_t vector);
    bool (*device_plugged)(VirtioBus *bus, VirtIODevice *vdev, GError **err);
    void (*device_unplugged)(VirtioBus *bus, VirtIODevice *vdev);
    /* Where the driver kicks queue n, with what it has negotiated: fills in *ret_event (without fd), relative to the
     * region returned. NULL: by exit only. */
    IoRegion *(*doorbell)(VirtioBus *bus, unsigned n, IoEventfd *ret_event);
    /* The device is being reset, by its driver or with the machine: vectors (the queues still tell theirs), selectors
     * and interrupts go. */
    void (*device_reset)(VirtioBus *bus);
    uint16_t (*queue_selector)(VirtioBus *bus); /* for introspection: the queue whose registers the driver sees */
};

struct VirtioBus {
    Bus parent_obj;
    VirtIODevice *vdev; /* the one device, or NULL */
};

/* --- for device models, in realize --- */

void virtio_init(VirtIODevice *vdev, uint16_t device_id, size_t config_size);
VirtQueue *virtio_add_queue(VirtIODevice *vdev, uint16_t queue_size, VirtIOHandleOutput handle_output);
bool virtio_bus_device_plugged(VirtIODevice *vdev, GError **err); /* called by virtio_device's realize, after the model's */
void virtio_cleanup(VirtIODevice *vdev);                          /* by its unrealize */
/* ObjectClass.memory of all virtio devices: queues and configuration space. One with more to tell calls it first. */
void virtio_device_memory(Object *obj, MemoryTell *tell, void *opaque);

/* Serves vq on that iothread. */
void virtio_queue_set_iothread(VirtQueue *vq, IoThread *t);
EventLoop *virtio_queue_loop(VirtQueue *vq); /* the one that it is served on */
/* handle_output takes all elements that there are, or has kicks disabled, or looks again by itself: the loop that serves vq may
 * look into the ring instead of waiting for kicks (loop_set_polling). Without this, the loop does not poll. */
void virtio_queue_allow_polling(VirtQueue *vq);

/* --- for device models, at work --- */

/* The locks of all iothreads of the device: for what comes on the main loop from elsewhere and is about its queues. */
void virtio_lock(VirtIODevice *vdev);
void virtio_unlock(VirtIODevice *vdev);
bool virtio_on_iothread(const VirtIODevice *vdev); /* is the caller one of them? Then it has no VM lock. */

/* Interrupts the driver about queue vq when its rules ask for it. Nothing before DRIVER_OK; vq NULL: nothing. */
void virtio_notify(VirtIODevice *vdev, VirtQueue *vq);

/*
 * Lends a queue with a split ring to somebody else (the kernel's vhost) who serves it until it is taken back. Meanwhile
 * nothing is popped or pushed here and handle_output is not called. False: it is not ready, elements of it are out, its ring
 * is packed, or the host has no eventfd left; nothing has changed. A queue that is lent is taken back before it is reset.
 */
typedef struct {
    uint16_t num, base;        /* entries; index in the available ring of the next one to take */
    void *desc, *avail, *used; /* until guest memory changes */
    int kick;                  /* an eventfd that the driver's kicks come by; nobody else reads it */
} VirtQueueLoan;
bool virtio_queue_lend(VirtQueue *vq, VirtQueueLoan *ret_loan);
bool virtio_queue_lent(const VirtQueue *vq);
/* base: where the other one was; -1: not known, which is where it put back what it took last. */
void virtio_queue_take_back(VirtQueue *vq, int base);
/* The other one has used buffers, and has found that the driver wants to know. */
void virtio_queue_interrupt(VirtQueue *vq);
/* An eventfd by which it tells the driver itself; -1: there is none now. VM lock; see VirtioDeviceClass.notifier_changed. */
int virtio_queue_notifier(VirtQueue *vq);

/* The device changed its configuration: bumps the generation and interrupts the driver. */
void virtio_notify_config(VirtIODevice *vdev);

/*
 * Runs handle_output of vq again from the main loop, soon: for a device that bounds the work of one kick and found
 * more. Forgotten at reset.
 */
void virtio_queue_run_later(VirtIODevice *vdev, VirtQueue *vq);

/* The driver broke the protocol: NEEDS_RESET, a configuration interrupt, one rate-limited line. */
void virtio_error(VirtIODevice *vdev, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Negotiated? (after FEATURES_OK) */
static inline bool virtio_has_feature(const VirtIODevice *vdev, unsigned bit)
{
    return (vdev->guest_features >> bit) & 1;
}

VirtQueue *virtio_get_queue(VirtIODevice *vdev, unsigned n); /* NULL: no such queue */
GuestMemory *virtio_memory(VirtIODevice *vdev);
bool virtio_running(const VirtIODevice *vdev); /* started, not broken, DMA allowed */
static inline bool virtio_is_broken(const VirtIODevice *vdev)
{
    return __atomic_load_n(&vdev->broken, __ATOMIC_RELAXED); /* its writers order nothing by it */
}

bool virtio_plugged(const VirtIODevice *vdev); /* false while it is taken off its bus: nobody is left to tell */

/* --- for transports --- */

/*
 * Status writes, in the order rules of §3.1 and §2.1: 0 resets; other bits are only ever added; FEATURES_OK is taken
 * only when the features are acceptable, DRIVER_OK only after FEATURES_OK; NEEDS_RESET cannot be written. DRIVER_OK
 * starts the enabled queues and serves what is in them already.
 */
void virtio_set_status(VirtIODevice *vdev, uint8_t status);
void virtio_reset(VirtIODevice *vdev);
/* What the driver sees: legacy drivers have other features than modern ones. */
uint64_t virtio_offer(const VirtIODevice *vdev);
/* Kept as written, offered or not, and judged at FEATURES_OK; ignored once that is set. */
void virtio_set_guest_features(VirtIODevice *vdev, uint64_t features);
/* The same by windows of 32 bits; there are two, all others read zero and take nothing. */
uint32_t virtio_offer_word(const VirtIODevice *vdev, uint32_t which);
uint32_t virtio_guest_features_word(const VirtIODevice *vdev, uint32_t which);
void virtio_set_guest_features_word(VirtIODevice *vdev, uint32_t which, uint32_t value);

/*
 * The driver uses the legacy interface: VERSION_1 is not its to take, what it may not have of the features it writes is
 * dropped, there is no FEATURES_OK, and a queue works as soon as it is enabled, before DRIVER_OK (§3.1.2). While no
 * queue is enabled.
 */
void virtio_set_legacy(VirtIODevice *vdev, bool legacy);

/* May the device, as its properties have it, be given a legacy interface? False with one line. */
bool virtio_legacy_check(const VirtIODevice *vdev, GError **err);

/* PCI's bus mastering. Without it no ring is touched; when it comes back, waiting buffers are served. True at first. */
void virtio_set_dma_allowed(VirtIODevice *vdev, bool allowed);

/* Up to 8 bytes; beyond the end reads give zero and writes are dropped. */
uint64_t virtio_config_read(VirtIODevice *vdev, size_t off, unsigned size);
void virtio_config_write(VirtIODevice *vdev, size_t off, uint64_t value, unsigned size);

void virtio_queue_notify(VirtIODevice *vdev, unsigned n); /* a kick: runs handle_output when the device is running */
/* Enables queue n as its setup says; false: no such queue, or size 0. Started at DRIVER_OK, or now when that is past. */
bool virtio_queue_enable(VirtIODevice *vdev, unsigned n);
bool virtio_queue_enabled(VirtIODevice *vdev, unsigned n);
/* Ends the use of queue n: what is in flight loses its buffers, and the ring is not touched any more. Size, addresses and
 * vector stay; enabling it again begins at the rings' start. */
void virtio_queue_disable(VirtIODevice *vdev, unsigned n);
/* VIRTIO_F_RING_RESET (§2.6.1): queue n is as after a reset of the device. Its vector is the transport's to unuse. */
void virtio_queue_reset(VirtIODevice *vdev, unsigned n);
bool virtio_queue_reset_allowed(const VirtIODevice *vdev); /* the feature is negotiated */
uint16_t virtio_queue_vector(VirtIODevice *vdev, unsigned n);
void virtio_queue_set_vector(VirtIODevice *vdev, unsigned n, uint16_t vector);
/* The interrupt of vector has that eventfd now (-1: none), VirtioBusClass.notifier. */
void virtio_vector_changed(VirtIODevice *vdev, uint16_t vector, int fd);
void virtio_isr_set(VirtIODevice *vdev, uint8_t bits); /* by VirtioBusClass.notify; any thread */
uint8_t virtio_isr_read(VirtIODevice *vdev);           /* and clears it */
uint8_t virtio_isr_peek(const VirtIODevice *vdev);
void virtio_isr_clear(VirtIODevice *vdev, uint8_t bits);

const char *virtio_id_name(uint16_t device_id); /* "balloon", for messages */

#endif
