/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What a device gets from the machine that it is part of: memory, address spaces, the main loop, clocks, interrupt
 * delivery, and the requests it may make of the VM. hw/ sees nothing else of the VMM: a test makes a Platform of its
 * own in ten lines.
 */
#ifndef AEROSTAT_HW_CORE_PLATFORM_H
#define AEROSTAT_HW_CORE_PLATFORM_H

#include <pthread.h>
#include <jansson.h>

#include "core/aspace.h"
#include "core/clock.h"
#include "core/gmem.h"
#include "core/irq.h"
#include "core/loop.h"
#include "qom/object.h"

typedef struct Platform Platform;

typedef enum {
    SHUTDOWN_CAUSE_GUEST_SHUTDOWN, /* "guest-shutdown" in QMP */
    SHUTDOWN_CAUSE_GUEST_RESET,
    SHUTDOWN_CAUSE_GUEST_PANIC,
    SHUTDOWN_CAUSE_HOST_QMP_QUIT,
    SHUTDOWN_CAUSE_HOST_QMP_SYSTEM_RESET,
    SHUTDOWN_CAUSE_HOST_SIGNAL,
    SHUTDOWN_CAUSE_HOST_UI,
    SHUTDOWN_CAUSE_HOST_ERROR,
} ShutdownCause;

/* What a device may stop the VM for. */
typedef enum {
    STOP_CAUSE_IO_ERROR,           /* a disk failed, and the user wants to look before the guest sees it */
} StopCause;

/* The machine's side. All but event may be called from a vCPU thread under the VM lock; they only post the request. */
typedef struct {
    void (*shutdown_request)(Platform *p, ShutdownCause cause);
    void (*reset_request)(Platform *p, ShutdownCause cause);
    void (*stop_request)(Platform *p, StopCause cause); /* as QMP's stop; nothing when the VM is stopped already */
    void (*exit_request)(Platform *p, int status); /* isa-debug-exit: the VMM ends with that status */
    /* A QMP event; data is stolen, NULL: none. The monitor knows which events are rate-limited. */
    void (*event)(Platform *p, const char *name, json_t *data);
} PlatformOps;

/* Hears that the VM goes on after a stop (true) or was stopped. Main loop, VM lock. */
typedef struct PlatformRunListener {
    void (*changed)(void *opaque, bool running);
    void *opaque;
    struct PlatformRunListener *next; /* Platform.run_listeners */
} PlatformRunListener;

struct Platform {
    const PlatformOps *ops;     /* NULL: requests are dropped */
    void *opaque;               /* the machine's */
    pthread_mutex_t lock;       /* the VM lock; recursive it is not */
    GuestMemory *mem;
    AddressSpace *mmio;
    AddressSpace *pio;          /* NULL: the machine has no port I/O */
    EventLoop *loop;            /* the main loop; its callbacks hold the lock */
    Clock *vclock;              /* virtual time */
    Clock *rtclock;             /* host time: runs while the VM is stopped */
    MsiController *msi;         /* NULL: none */
    Object *root;               /* of the composition tree ("/") */
    unsigned n_cpus;            /* vCPUs of the machine; 0: not known */
    PlatformRunListener *run_listeners;
};

/* Makes lock, memory, address spaces (with_pio: port space too), loop and clocks (manual_clock: vclock is manual). */
void platform_init(Platform *p, bool with_pio, bool manual_clock);
void platform_finish(Platform *p);

void platform_shutdown_request(Platform *p, ShutdownCause cause);
void platform_reset_request(Platform *p, ShutdownCause cause);
void platform_stop_request(Platform *p, StopCause cause);
void platform_exit_request(Platform *p, int status);
void platform_event(Platform *p, const char *name, json_t *data); /* steals data */
void platform_run_listen(Platform *p, PlatformRunListener *l);
void platform_run_unlisten(Platform *p, PlatformRunListener *l);
void platform_run_changed(Platform *p, bool running);             /* by the machine */
const char *shutdown_cause_name(ShutdownCause cause);             /* QMP's ShutdownCause spelling */

#endif
