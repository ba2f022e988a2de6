/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How a tap's descriptors come about (net-tap-open.c); what travels through them is in net-tap.c.
 */
#ifndef AEROSTAT_BACKENDS_NET_TAP_H
#define AEROSTAT_BACKENDS_NET_TAP_H

#include <net/if.h>

#include "backends/net-impl.h"

#define TAP_HELPER "/usr/lib/qemu/qemu-bridge-helper"

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
bool tap_set_queue(int fd, bool on); /* of a multiqueue tap */

#endif
