/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the tests of network cards share: the host's end of connections, and steps in a guest whose card is "card0" on the
 * netdev "net0". As in vm.h, what does not work ends the test.
 */
#ifndef AEROSTAT_TESTS_GUEST_NET_H
#define AEROSTAT_TESTS_GUEST_NET_H

#include "tests/guest/vm.h"

/* --- the host's end --- */

void net_loopback_up(void);
/* A network namespace of the test's own: whatever the host has is left alone, and an ordinary user may do it, too. */
void net_own_network(void);
/* An interface gets an address (host's byte order) in a network of 256, and comes up. */
void net_bring_up(const char *ifname, uint32_t addr);
/* A socket that listens on addr (host's byte order), at *ret_port. */
int net_listen(uint32_t addr, unsigned *ret_port);
/* What the other end takes of it. */
void net_write_all(int s, const void *buf, size_t len);
/* How many of len bytes came before the end. */
size_t net_read_all(int s, void *buf, size_t len);

/* --- the guest's end --- */

/* vm_ask_ok with a command made as by printf. */
char *net_ask(Vm *vm, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
void net_expect_text(const char *answer, const char *text);
/* set_link, until eth0 has seen it. */
void net_set_link(Vm *vm, bool up);
/* Down and up: the host, an IP address, answers a ping only with a link. */
void net_pull_cable(Vm *vm, const char *host);
/* A counter of net0. */
uint64_t net_counter(Vm *vm, const char *name);

#endif
