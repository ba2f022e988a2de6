/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface "memory-balloon": what QMP's balloon and query-balloon talk to. At most one realized device of a VM
 * implements it; a second one is refused at realize.
 */
#ifndef AEROSTAT_HW_CORE_MEMORY_BALLOON_H
#define AEROSTAT_HW_CORE_MEMORY_BALLOON_H

#include <jansson.h>

#include "qom/object.h"

/* What the guest last told of its memory, in bytes; UINT64_MAX: it did not tell. */
typedef struct {
    uint64_t count;        /* times it told since its driver started; 0: never, and the rest says nothing */
    int64_t at;            /* when, on the platform's virtual clock */
    uint64_t total, available;
    uint64_t major_faults, oom_kills; /* so far, not bytes */
    uint64_t swapped_in;   /* so far */
} MemoryBalloonStats;

typedef struct {
    void (*told)(void *opaque); /* new statistics came; within the callback of the device's queue */
    void (*gone)(void *opaque); /* the device is being unrealized, and forgets the listener */
    void *opaque;
} MemoryBalloonListener;

/* Main loop, VM lock. */
typedef struct {
    ObjectClass parent_class;
    void (*set_target)(Object *obj, uint64_t guest_bytes); /* memory the guest shall have; clamped to its RAM */
    uint64_t (*actual)(Object *obj);                       /* memory the guest has now, bytes */
    uint64_t (*target)(Object *obj);                       /* memory the guest shall have, bytes */
    void (*stats)(Object *obj, MemoryBalloonStats *ret);
    void (*ask_stats)(Object *obj);                        /* its answer comes later, or never */
    void (*listen)(Object *obj, const MemoryBalloonListener *l); /* one, borrowed; NULL: none */
    /* What became of the memory given up: an object of numbers (core/given.h). check: also what of it is resident in
     * the host nevertheless, which takes time. */
    json_t *(*ledger)(Object *obj, bool check);
} MemoryBalloonClass;

extern const TypeInfo memory_balloon_type;

/* The realized balloon below root, or NULL. */
Object *memory_balloon_find(Object *root);

#endif
