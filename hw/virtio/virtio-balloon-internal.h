/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the balloon share: the device with its queues and life (virtio-balloon.c), the guest's statistics
 * (virtio-balloon-stats.c), and the ledger as users see it (virtio-balloon-ledger.c).
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_BALLOON_INTERNAL_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_BALLOON_INTERNAL_H

#include <linux/virtio_balloon.h>

#include "backends/iothread.h"
#include "core/given.h"
#include "hw/core/memory-balloon.h"
#include "hw/virtio/virtio.h"

/* Tags of statistics, §5.5.6.3, those since VIRTIO 1.4 included. */
enum { BALLOON_STATS = 16 };

/* A queue's request that took longer than a turn. */
typedef struct {
    VqElem *elem;   /* NULL: none */
    unsigned left;  /* page numbers that may still be taken from the present request */
    unsigned piece; /* of a report: where it goes on */
    uint64_t off;
} Turn;

typedef struct VirtioBalloon {
    VirtIODevice parent_obj;
    VirtQueue *inflate, *deflate, *stats_queue, *report[2];
    uint64_t features; /* properties */
    int granule;
    bool prefault;
    IoThreadObject *iothread; /* NULL: the main loop */
    Turn inflating, deflating, reporting[2];
    GivenPages *given;
    LoopTimer *settle_timer; /* on the queues' loop */
    int64_t settle_by;
    uint32_t poison_val;
    uint32_t num_pages;      /* target, pages of 4 KiB to give up */
    uint32_t actual;         /* given up, as the driver last told */
    uint32_t actual_written; /* the same while the driver writes it in parts */
    VqElem *stats_elem; /* the driver's buffer, kept until new statistics are wanted; NULL: none */
    bool stats_begun;   /* a buffer came since reset */
    uint64_t stats[BALLOON_STATS]; /* UINT64_MAX: not told */
    int64_t stats_time;     /* seconds since the epoch; 0: never */
    int64_t stats_at;       /* the same on the virtual clock */
    uint64_t stats_count;   /* since reset */
    const MemoryBalloonListener *listener; /* NULL: none */
    uint32_t poll_interval; /* property, seconds; 0: no polling */
    LoopTimer *poll_timer;
} VirtioBalloon;

OBJECT_DECLARE(VirtioBalloon, virtio_balloon, VIRTIO_BALLOON)

/* --- virtio-balloon.c --- */

uint64_t balloon_actual(Object *obj); /* memory that the guest has, bytes */

/* --- virtio-balloon-stats.c; main loop --- */

void balloon_handle_stats(VirtIODevice *vdev, VirtQueue *vq);
void balloon_stats_start(VirtioBalloon *s); /* polling begins with the device; its timer is made */
void balloon_stats_stop(VirtioBalloon *s);  /* at unrealize */
void balloon_stats_reset(VirtioBalloon *s); /* the driver's buffer and all it told are gone */
void balloon_stats_forget(VirtioBalloon *s);
void balloon_stats(Object *obj, MemoryBalloonStats *ret);
void balloon_ask_stats(Object *obj);
void balloon_listen(Object *obj, const MemoryBalloonListener *l);
json_t *balloon_guest_stats_get(Object *obj, const Property *prop, GError **err);
json_t *balloon_poll_interval_get(Object *obj, const Property *prop, GError **err);
bool balloon_poll_interval_set(Object *obj, const Property *prop, json_t *value, GError **err);

/* --- virtio-balloon-ledger.c; takes the locks of the device's iothreads --- */

json_t *balloon_ledger(Object *obj, bool check);
json_t *balloon_ledger_get(Object *obj, const Property *prop, GError **err);
json_t *balloon_ledger_field_get(Object *obj, const Property *prop, GError **err); /* of "ledger-NAME" */

#endif
