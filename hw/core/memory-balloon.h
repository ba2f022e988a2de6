/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface "memory-balloon": what QMP's balloon and query-balloon talk to. At most one realized device of a VM
 * implements it; a second one is refused at realize.
 */
#ifndef AEROSTAT_HW_CORE_MEMORY_BALLOON_H
#define AEROSTAT_HW_CORE_MEMORY_BALLOON_H

#include <jansson.h>

#include "qom/object.h"

typedef struct {
    ObjectClass parent_class;
    void (*set_target)(Object *obj, uint64_t guest_bytes); /* memory the guest shall have; clamped to its RAM */
    uint64_t (*actual)(Object *obj);                       /* memory the guest has now, bytes */
    /* What became of the memory given up: an object of numbers (core/given.h). check: also what of it is resident in
     * the host nevertheless, which takes time. */
    json_t *(*ledger)(Object *obj, bool check);
} MemoryBalloonClass;

extern const TypeInfo memory_balloon_type;

/* The realized balloon below root, or NULL. */
Object *memory_balloon_find(Object *root);

#endif
