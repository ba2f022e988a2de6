/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -netdev, -nic and -net: network backends and the cards in front of them.
 */
#ifndef AEROSTAT_VMM_CLI_NET_OPTIONS_H
#define AEROSTAT_VMM_CLI_NET_OPTIONS_H

#include "backends/net.h"
#include "vmm/cli/options.h"

/*
 * -netdev help and -netdev TYPE,help: prints. False with a line: there is no such type.
 */
bool net_options_help(const char *type, GError **err);

/*
 * Makes the backends. A -nic adds its card to o->devices; a card without "netdev" where there is no -netdev, -nic and
 * "-net none" gets a backend "user". Errors begin with the option or with the place in a config
 * file. With o->check the host is left alone, and all faults are among o->faults.
 */
bool net_options_make(Options *o, Object *root, EventLoop *loop, GError **err);

#endif
