/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Interface "net-card": what QMP's query-rx-filter and announce-self talk to. Any number of devices implement it. The
 * event NIC_RX_FILTER_CHANGED is the card's: it sends one and is silent until rx_filter was asked again.
 *
 * Threads: main loop, VM lock held.
 */
#ifndef AEROSTAT_HW_CORE_NET_CARD_H
#define AEROSTAT_HW_CORE_NET_CARD_H

#include <jansson.h>

#include "qom/object.h"

typedef struct {
    ObjectClass parent_class;
    const char *(*name)(Object *obj);     /* what monitors call it; borrowed */
    json_t *(*rx_filter)(Object *obj);    /* QMP's RxFilterInfo, a new reference; the next change is told */
    void (*announce)(Object *obj);        /* once: the card tells its network where it is, and asks its guest to */
} NetCardClass;

extern const TypeInfo net_card_type;

/* fn for each realized card below root, with its methods, until it returns false. */
void net_card_foreach(Object *root, bool (*fn)(Object *card, const NetCardClass *c, void *opaque), void *opaque);

#endif
