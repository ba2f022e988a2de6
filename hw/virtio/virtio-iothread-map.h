/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Which iothread serves which queue of a device: its properties iothread and iothread-vq-mapping, as in QEMU. Main loop,
 * VM lock.
 */
#ifndef AEROSTAT_HW_VIRTIO_VIRTIO_IOTHREAD_MAP_H
#define AEROSTAT_HW_VIRTIO_VIRTIO_IOTHREAD_MAP_H

#include <jansson.h>

#include "backends/iothread.h"

typedef struct {
    json_t *map;               /* iothread-vq-mapping as it was set; NULL: it was not */
    IoThreadObject **threads;  /* of each of n queues, owned references, NULL: main loop; they outlive unrealize */
    unsigned n;
} VirtioIoThreadMap;

/*
 * By realize. all: of the property iothread, NULL: none. Where no queues are named, they are dealt out in turn, each time
 * as many as group. False with one line: both are given, the mapping is no good, or leaves a queue out.
 */
bool virtio_iothread_map_take(VirtioIoThreadMap *m, Object *root, IoThreadObject *all, unsigned n_queues,
                              unsigned group, GError **err);
/* By instance_finalize: the core, too, is done with the iothreads. */
void virtio_iothread_map_finish(VirtioIoThreadMap *m);

/* The property's functions; what is in the list, take looks at. */
json_t *virtio_iothread_map_get(const VirtioIoThreadMap *m);
bool virtio_iothread_map_set(VirtioIoThreadMap *m, json_t *value, GError **err);

/* A property that is a list, as JSON gives it, or its text. form: what an error says. */
json_t *virtio_list_get(json_t *list);
bool virtio_list_set(json_t **list, json_t *value, const char *form, GError **err);

#endif
