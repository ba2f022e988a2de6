/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A kernel's vhost-net of one queue pair for tests: it notes what it is told, refuses what a kernel would, and serves its
 * rings when the test says.
 */
#ifndef AEROSTAT_TESTS_FAKE_VHOST_H
#define AEROSTAT_TESTS_FAKE_VHOST_H

#include <linux/vhost.h>

#include "backends/vhost.h"

typedef struct {
    struct vhost_vring_state num, base; /* base.num moves on as the ring is served */
    struct vhost_vring_addr addr;
    int kick, call, err, backend;       /* -1: none */
} FakeVhostRing;

typedef struct {
    GString *said;            /* since fake_vhost_said: "SET_OWNER SET_VRING_NUM(0,256) ..." */
    uint64_t features, acked;
    bool owned;
    unsigned regions;
    uint64_t bytes;           /* of all regions */
    FakeVhostRing rings[VHOST_RINGS];
    unsigned long refuse;     /* this request fails with EINVAL; 0: none */
    Vhost *vhost;             /* on this kernel */
} FakeVhost;

/* Features as Linux 6.1 has them. */
extern const uint64_t fake_vhost_features;

FakeVhost *fake_vhost_new(uint64_t features, bool header);
void fake_vhost_free(FakeVhost *k); /* its Vhost, too */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FakeVhost, fake_vhost_free)

/* What was said since the last call. Valid until the next one. */
const char *fake_vhost_said(FakeVhost *k);
bool fake_vhost_serves(const FakeVhost *k, unsigned ring); /* it has a backend */
/* Uses up to n available buffers of the ring, each with len bytes written, and interrupts. How many there were. */
unsigned fake_vhost_serve(FakeVhost *k, unsigned ring, unsigned n, uint32_t len);
uint64_t fake_vhost_kicks(FakeVhost *k, unsigned ring); /* since the last call */

#endif
