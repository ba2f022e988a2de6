/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a tap's descriptors come about (net-tap-open.c); what travels through them is in net-tap.c.
 */
#ifndef AEROSTAT_BACKENDS_NET_TAP_H
#define AEROSTAT_BACKENDS_NET_TAP_H

#include <net/if.h>

#include "backends/net-impl.h"

#define TAP_HELPER "/usr/lib/qemu/qemu-bridge-helper"

enum { TAP_HEADER_MAX = sizeof(struct virtio_net_hdr_v1) };

/* What is not in every version of linux/if_tun.h. */
enum { TAP_F_USO4 = 0x20, TAP_F_USO6 = 0x40 };

/* A queue of the interface ifname, which becomes its real name; non-blocking; -1 with one line. */
int tap_open(char ifname[IFNAMSIZ], bool multiqueue, GError **err);
/* Takes over fd, a tap or macvtap, and tells the interface's name; false with a line: it is none. */
bool tap_adopt(int fd, char ret_ifname[IFNAMSIZ], bool *ret_vnet, bool *ret_multiqueue, GError **err);
/* Runs helper, a program or a command line, which gives a tap on bridge br; -1 with one line. */
int tap_run_helper(const char *helper, const char *br, GError **err);
/* Runs script with the interface's name and waits. what: "script" or "downscript". */
bool tap_run_script(const char *what, const char *script, const char *ifname, GError **err);
/* Header of 10 bytes on; limit of what is queued to be sent (0: none). */
bool tap_prepare(int fd, bool vnet, uint64_t sndbuf, GError **err);
/* NET_OFFLOAD_* that the kernel can be asked to deliver. */
unsigned tap_probe_offloads(int fd);
bool tap_set_offloads(int fd, unsigned offloads);
bool tap_set_header(int fd, size_t len, GError **err); /* its length; the tap was opened with one */
bool tap_set_queue(int fd, bool on); /* of a multiqueue tap */

/* --- net-tap-vhost.c --- */

/* As the user gave them. */
typedef struct {
    bool on, force;
    char *fd, *fds;
} TapVhostOptions;

typedef struct TapVhost TapVhost; /* one Vhost for each queue */

bool tap_vhost_check(const TapVhostOptions *o, const char *tap_fds, unsigned queues, GError **err);
/*
 * *ret is NULL where nobody asked for it, or it cannot be had, of which a warning tells. False with one line: it cannot be
 * had and was insisted on.
 */
bool tap_vhost_open(NetBackend *b, const TapVhostOptions *o, unsigned queues, bool vnet, TapVhost **ret, GError **err);
void tap_vhost_free(TapVhost *v); /* NULL is fine */
Vhost *tap_vhost_of(const TapVhost *v, unsigned queue); /* NULL: none */
/* A number is a descriptor that we were started with, anything else a name of getfd, ours from now on; -1 with one line. */
int tap_take_fd(NetBackend *b, const char *text, GError **err);

#endif
