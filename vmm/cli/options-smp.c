/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -smp: the number of vCPUs, and how guests see them.
 */
#include "vmm/cli/options.h"

#include <string.h>

#include "qom/property.h"

/* A number of -smp that must not be 0; *ret_value stays when it is not given. */
static bool take_count(json_t *opts, const char *key, uint64_t *ret_value, GError **err)
{
    g_autofree char *text = options_pop_key(opts, key);

    if (!text) {
        return true;
    }
    if (!parse_uint(text, ret_value, err)) {
        if (strcmp(key, "cpus") != 0) {
            g_prefix_error(err, "%s: ", key);
        }
        return false;
    }
    return *ret_value != 0 || !strcmp(key, "cpus") || error_set(err, "%s must not be 0", key);
}

/* What guests see: one socket of cores with one thread each, all there from the start. */
static bool check_topology(json_t *opts, uint64_t *cpus, GError **err)
{
    static const char *const ones[] = {"sockets", "dies", "clusters", "threads"};
    uint64_t cores = 0, max = 0, one = 1;

    for (unsigned i = 0; i < G_N_ELEMENTS(ones); i++) {
        if (!take_count(opts, ones[i], &one, err)) {
            return false;
        }
        if (one != 1) {
            return error_set(err,
                             "%s=%" G_GUINT64_FORMAT ": a guest has one socket, of cores with one "
                             "thread each; give cores= only",
                             ones[i], one);
        }
    }
    if (!take_count(opts, "cores", &cores, err) || !take_count(opts, "maxcpus", &max, err)) {
        return false;
    }
    if (*cpus == UINT64_MAX) {
        *cpus = cores ?: max ?: UINT64_MAX;
    }
    if (cores && cores != *cpus) {
        return error_set(
            err, "cores=%" G_GUINT64_FORMAT " must be the number of vCPUs, %" G_GUINT64_FORMAT,
            cores, *cpus);
    }
    return !max || max == *cpus ||
           error_set(err,
                     "maxcpus=%" G_GUINT64_FORMAT " must be the number of vCPUs, %" G_GUINT64_FORMAT
                     ": none can be added later",
                     max, *cpus);
}

bool options_take_smp(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, "cpus", err);
    uint64_t n = UINT64_MAX;
    bool ok;

    if (!opts) {
        return false;
    }
    ok = take_count(opts, "cpus", &n, err) && check_topology(opts, &n, err) &&
         options_reject_rest(opts, "cpus, cores, sockets, dies, clusters, threads, maxcpus", err);
    json_decref(opts);
    if (!ok) {
        return false;
    }
    if (n == UINT64_MAX) {
        return error_set(err, "give a number of vCPUs, such as 2");
    }
    o->has_smp = true;
    o->smp = (uint32_t)MIN(n, UINT32_MAX);
    return true;
}
