/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The options of the network backend "user" that are more than a word, and its addresses. net-user.c is the backend.
 */
#ifndef AEROSTAT_BACKENDS_NET_USER_H
#define AEROSTAT_BACKENDS_NET_USER_H

#include <libslirp.h>

#include "backends/net-impl.h"

OBJECT_DECLARE(NetUserStack, net_user_stack, NET_USER_STACK)

/* The options as they are given. Strings are the object's. */
typedef struct {
    bool ipv4, ipv6, restricted;
    char *net, *host, *ipv6_net, *ipv6_prefix, *ipv6_host, *hostname, *dhcpstart, *dns, *ipv6_dns, *domainname;
    char *tftp, *tftp_server_name, *bootfile, *smb, *smbserver;
    uint32_t ipv6_prefixlen;
    GPtrArray *hostfwd, *guestfwd, *dnssearch; /* of char *, in order; NULL: none */
} UserOpts;

typedef struct {
    bool udp;
    struct in_addr host, guest; /* guest 0: the first that DHCP gives */
    uint16_t host_port, guest_port;
} HostForward;

/* Addresses, with QEMU's defaults: 10.0.2.0/24, gateway .2, DHCP from .15, DNS .3. Borrows from o. */
bool user_config(Object *obj, UserOpts *o, SlirpConfig *ret_config, GError **err);
/* "tcp:HOST:PORT-GUEST:PORT" as after hostfwd=; guest: false for the part before '-' alone (hostfwd_remove). */
bool user_parse_hostfwd(const char *text, bool guest, HostForward *ret_fwd, GError **err);
/* "tcp:SERVER:PORT-TARGET"; *ret_target points into text. */
bool user_parse_guestfwd(const char *text, struct in_addr *ret_server, uint16_t *ret_port, const char **ret_target,
                         GError **err);

/* --- net-user-guestfwd.c: on the main loop --- */

typedef struct GuestForward GuestForward;

/* What add would refuse of them, without opening anything. texts ends with NULL. */
bool user_guestfwd_check(NetBackend *b, char *const *texts, GError **err);
/*
 * TARGET is cmd:COMMAND, unix:PATH, chardev:ID, or a stream as after -serial. Where it is a stream, a GuestForward comes
 * into streams, also where that fails, which user_guestfwd_free frees once libslirp is gone; such ones are served on the
 * main loop only.
 */
bool user_guestfwd_add(NetBackend *b, Slirp *slirp, const char *text, GPtrArray *streams, GError **err);
void user_guestfwd_free(void *forward);
bool user_guestfwd_is_full(const GuestForward *f); /* no frame is to go to libslirp; net_backend_writable comes */
void user_guestfwd_poll(GuestForward *f);          /* libslirp may take more of the stream */

/* --- net-user.c --- */

/* Around each call of libslirp; not within its callbacks. */
void user_slirp_lock(void);
void user_slirp_unlock(void);

#endif
