/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The addresses and forwards of the network backend "user", from text.
 */
#include <arpa/inet.h>
#include <string.h>

#include "backends/net-user.h"

static bool parse4(const char *option, const char *text, struct in_addr *ret_addr, GError **err)
{
    return inet_pton(AF_INET, text, ret_addr) == 1 ||
           error_set(err, "%s=%s: not an IPv4 address", option, text);
}

static bool parse6(const char *option, const char *text, struct in6_addr *ret_addr, GError **err)
{
    return inet_pton(AF_INET6, text, ret_addr) == 1 ||
           error_set(err, "%s=%s: not an IPv6 address", option, text);
}

/* "10.0.2.0/24", "10.0.2.0/255.255.255.0", "10.0.2.0" by its class. */
static bool parse_net(const char *text, struct in_addr *ret_net, struct in_addr *ret_mask,
                      GError **err)
{
    const char *slash = strchr(text, '/');
    g_autofree char *addr = slash ? g_strndup(text, (gsize)(slash - text)) : g_strdup(text);
    uint32_t net, mask;
    uint64_t bits;

    if (!parse4("net", addr, ret_net, err)) {
        return false;
    }
    net = ntohl(ret_net->s_addr);
    if (!slash) {
        mask = net >> 31 == 0 ? 0xff000000 : net >> 30 == 2 ? 0xffff0000 : 0xffffff00;
    } else if (strchr(slash, '.')) {
        if (!parse4("net", slash + 1, ret_mask, err)) {
            return false;
        }
        mask = ntohl(ret_mask->s_addr);
    } else if (parse_uint(slash + 1, &bits, NULL) && bits >= 4 && bits <= 30) {
        mask = UINT32_MAX << (32 - bits);
    } else {
        return error_set(err, "net=%s: the prefix length is 4 to 30", text);
    }
    ret_net->s_addr = htonl(net & mask);
    ret_mask->s_addr = htonl(mask);
    return true;
}

/* An address of the network: given, or the n-th of it. */
static bool inside4(const char *option, const char *text, const SlirpConfig *c, uint32_t n,
                    struct in_addr *ret_addr, GError **err)
{
    uint32_t mask = c->vnetmask.s_addr;

    if (!text) {
        ret_addr->s_addr = c->vnetwork.s_addr | htonl(n & ~ntohl(mask));
        return true;
    }
    if (!parse4(option, text, ret_addr, err)) {
        return false;
    }
    return (ret_addr->s_addr & mask) == c->vnetwork.s_addr ||
           error_set(err, "%s=%s: not an address of the network", option, text);
}

static bool config4(const UserOpts *o, SlirpConfig *c, GError **err)
{
    if (!parse_net(o->net ?: "10.0.2.0/24", &c->vnetwork, &c->vnetmask, err) ||
        !inside4("host", o->host, c, 2, &c->vhost, err) ||
        !inside4("dhcpstart", o->dhcpstart, c, 15, &c->vdhcp_start, err) ||
        !inside4("dns", o->dns, c, 3, &c->vnameserver, err)) {
        return false;
    }
    if (c->vnameserver.s_addr == c->vhost.s_addr) {
        return error_set(err, "dns= and host= must be different addresses");
    }
    if (c->vdhcp_start.s_addr == c->vhost.s_addr ||
        c->vdhcp_start.s_addr == c->vnameserver.s_addr) {
        return error_set(err, "dhcpstart= must be neither host= nor dns=");
    }
    return true;
}

/* The n-th address of the IPv6 prefix, unless one is given. */
static bool inside6(const char *option, const char *text, const SlirpConfig *c, uint8_t n,
                    struct in6_addr *ret_addr, GError **err)
{
    if (!text) {
        *ret_addr = c->vprefix_addr6;
        ret_addr->s6_addr[15] |= n;
        return true;
    }
    return parse6(option, text, ret_addr, err);
}

static bool config6(const UserOpts *o, SlirpConfig *c, GError **err)
{
    g_auto(GStrv) parts = o->ipv6_net ? g_strsplit(o->ipv6_net, "/", 2) : NULL;
    const char *prefix = parts ? parts[0] : o->ipv6_prefix ?: "fec0::";
    uint64_t len = o->ipv6_prefixlen;

    if (parts && parts[1] && !parse_uint(parts[1], &len, NULL)) {
        len = 0;
    }
    if (len < 1 || len > 126) {
        return error_set(err, "the IPv6 prefix length is 1 to 126");
    }
    c->vprefix_len = (uint8_t)len;
    return parse6("ipv6-net", prefix, &c->vprefix_addr6, err) &&
           inside6("ipv6-host", o->ipv6_host, c, 2, &c->vhost6, err) &&
           inside6("ipv6-dns", o->ipv6_dns, c, 3, &c->vnameserver6, err);
}

static bool check_words(const UserOpts *o, GError **err)
{
    if (o->smb || o->smbserver) {
        return error_set(err, "there is no SMB server here: share files by tftp= or over the "
                              "network");
    }
    if (o->tftp && !g_file_test(o->tftp, G_FILE_TEST_IS_DIR)) {
        return error_set(err, "tftp=%s: not a directory", o->tftp);
    }
    if (o->bootfile && strlen(o->bootfile) > 127) {
        return error_set(err, "bootfile= is longer than 127 bytes");
    }
    if (o->hostname && strlen(o->hostname) > 255) {
        return error_set(err, "hostname= is longer than 255 bytes");
    }
    if (o->domainname && (!*o->domainname || strlen(o->domainname) > 255)) {
        return error_set(err, "domainname= is 1 to 255 bytes long");
    }
    return !o->tftp_server_name || strlen(o->tftp_server_name) <= 255 ||
           error_set(err, "tftp-server-name= is longer than 255 bytes");
}

/* Naming one family leaves the other out, as in QEMU. */
static void families(Object *obj, const UserOpts *o, SlirpConfig *c)
{
    bool set4 = property_was_set(obj, "ipv4"), set6 = property_was_set(obj, "ipv6");

    c->in_enabled = o->ipv4 && !(set6 && o->ipv6 && !set4);
    c->in6_enabled = o->ipv6 && !(set4 && o->ipv4 && !set6);
}

bool user_config(Object *obj, UserOpts *o, SlirpConfig *ret_config, GError **err)
{
    SlirpConfig c = {
        .version = SLIRP_CONFIG_VERSION_MAX,
        .restricted = o->restricted,
        .vhostname = o->hostname,
        .tftp_server_name = o->tftp_server_name,
        .tftp_path = o->tftp,
        .bootfile = o->bootfile,
        .vdnssearch = o->dnssearch ? (const char **)o->dnssearch->pdata : NULL,
        .vdomainname = o->domainname,
    };

    if (o->tftp) { /* a daemon changes its directory */
        g_autofree char *given = g_steal_pointer(&o->tftp);

        c.tftp_path = o->tftp = g_canonicalize_filename(given, NULL);
    }
    families(obj, o, &c);
    if (!c.in_enabled && !c.in6_enabled) {
        return error_set(err, "one of ipv4 and ipv6 must be on");
    }
    if (!c.in_enabled && (property_was_set(obj, "net") || o->host || o->dhcpstart || o->dns)) {
        return error_set(err, "IPv4 is off, but an IPv4 address is given");
    }
    if (!c.in6_enabled && (o->ipv6_net || o->ipv6_prefix || o->ipv6_host || o->ipv6_dns)) {
        return error_set(err, "IPv6 is off, but an IPv6 address is given");
    }
    if (!check_words(o, err) || !config4(o, &c, err) || !config6(o, &c, err)) {
        return false;
    }
    *ret_config = c;
    return true;
}

/* --- forwards --- */

/* "ADDR:PORT" of len bytes; an empty address is *addr as it is. */
static bool parse_end(const char *text, size_t len, struct in_addr *addr, uint16_t *ret_port)
{
    g_autofree char *end = g_strndup(text, len);
    char *colon = strrchr(end, ':');
    uint64_t port;

    if (!colon || !parse_uint(colon + 1, &port, NULL) || port > 65535) {
        return false;
    }
    *ret_port = (uint16_t)port;
    *colon = '\0';
    return !*end || inet_pton(AF_INET, end, addr) == 1;
}

/* "tcp:" and "udp:"; a bare ":" is TCP. */
static const char *skip_protocol(const char *text, bool *ret_udp)
{
    const char *colon = strchr(text, ':');

    if (!colon) {
        return NULL;
    }
    *ret_udp = g_str_has_prefix(text, "udp:");
    return *ret_udp || g_str_has_prefix(text, "tcp:") || colon == text ? colon + 1 : NULL;
}

bool user_parse_hostfwd(const char *text, bool guest, HostForward *ret_fwd, GError **err)
{
    HostForward f = {.host.s_addr = htonl(INADDR_ANY)};
    const char *p = skip_protocol(text, &f.udp), *dash = p ? strchr(p, '-') : NULL;

    if (p && !guest && parse_end(p, strlen(p), &f.host, &f.host_port)) {
        *ret_fwd = f;
        return true;
    }
    if (p && guest && dash && parse_end(p, (size_t)(dash - p), &f.host, &f.host_port) &&
        parse_end(dash + 1, strlen(dash + 1), &f.guest, &f.guest_port) && f.guest_port) {
        *ret_fwd = f;
        return true;
    }
    return error_set(err, "'%s': the form is %s", text,
                     guest ? "tcp|udp:[HOST]:PORT-[GUEST]:PORT" : "tcp|udp:[HOST]:PORT");
}

bool user_parse_guestfwd(const char *text, struct in_addr *ret_server, uint16_t *ret_port,
                         const char **ret_target, GError **err)
{
    bool udp;
    const char *p = skip_protocol(text, &udp), *dash = p ? strchr(p, '-') : NULL;
    struct in_addr server = {0};
    uint16_t port;

    if (!p || udp || !dash || !parse_end(p, (size_t)(dash - p), &server, &port) || !port) {
        return error_set(err,
                         "guestfwd=%s: the form is tcp:SERVER:PORT-TARGET with cmd:COMMAND, "
                         "unix:PATH, chardev:ID or another stream as TARGET",
                         text);
    }
    *ret_server = server;
    *ret_port = port;
    *ret_target = dash + 1;
    return true;
}
