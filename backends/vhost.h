/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The kernel's vhost-net (<linux/vhost.h>): one queue pair of a network card that the kernel serves by itself, with a tap
 * at its other end. The rings are split ones (VIRTIO 1.4 §2.7). Left out: address translation (IOTLB messages), and with
 * it all backend features; the log of written pages.
 *
 * Threads: the VM lock, and where a queue is served on an iothread that one's lock, too.
 */
#ifndef AEROSTAT_BACKENDS_VHOST_H
#define AEROSTAT_BACKENDS_VHOST_H

#include "core/gmem.h"

typedef struct Vhost Vhost;

enum { VHOST_RX, VHOST_TX, VHOST_RINGS }; /* of a pair, as the kernel numbers them */

/* How the kernel is reached: tests have another one. As ioctl(2), with errno. */
typedef struct {
    int (*ioctl)(void *opaque, int fd, unsigned long request, void *arg);
    void *opaque;
} VhostIo;

/* /dev/vhost-net; -1 with one line. */
int vhost_open(GError **err);

/*
 * fd is the caller's and stays open until vhost_free. io is copied; NULL: the kernel. header: the tap has no header of its
 * own, the kernel puts one in front of each frame. NULL with one line: fd is not a vhost-net, or one that cannot do that.
 */
Vhost *vhost_new(int fd, bool header, const VhostIo *io, GError **err);
void vhost_free(Vhost *v); /* stopped; NULL is fine */

/* Which of features (VIRTIO_F_*, VIRTIO_NET_F_MRG_RXBUF; others pass) the kernel serves. */
uint64_t vhost_limit_features(const Vhost *v, uint64_t features);

typedef struct {
    uint16_t num;             /* entries */
    uint16_t base;            /* of the next one that is taken out of the available ring */
    void *desc, *avail, *used; /* in our address space */
    int kick, call, err;      /* eventfds; the kernel keeps references of its own */
} VhostRing;

/*
 * The kernel serves both rings from now on, as negotiated, between mem and the tap. False with one line: nothing of it
 * is served. Regions of mem that come and go meanwhile are told to the kernel.
 */
bool vhost_start(Vhost *v, GuestMemory *mem, uint64_t features, const VhostRing rings[VHOST_RINGS], int tap, GError **err);
bool vhost_running(const Vhost *v);
/*
 * It serves them no more; nothing is written to mem after this. ret_base: where in each available ring it is; -1: the
 * kernel does not say.
 */
void vhost_stop(Vhost *v, int ret_base[VHOST_RINGS]);
/* Interrupts of that ring go to another eventfd from now on. False: the kernel refused. */
bool vhost_set_call(Vhost *v, unsigned ring, int call);

#endif
