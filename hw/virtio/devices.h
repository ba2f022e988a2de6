/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The virtio device models' types. Their state is private to their files.
 */
#ifndef AEROSTAT_HW_VIRTIO_DEVICES_H
#define AEROSTAT_HW_VIRTIO_DEVICES_H

#include "qom/object.h"

extern const TypeInfo virtio_blk_type;     /* "virtio-blk-device" */
extern const TypeInfo virtio_net_type;     /* "virtio-net-device" */
extern const TypeInfo virtio_balloon_type; /* "virtio-balloon-device" */
extern const TypeInfo balloon_policy_type; /* "balloon-policy", of -object */
extern const TypeInfo virtio_rng_type;     /* "virtio-rng-device" */
extern const TypeInfo virtio_serial_type;  /* "virtio-serial-device" */
extern const TypeInfo virtserialport_type, virtconsole_type; /* ports, on its bus */

#endif
