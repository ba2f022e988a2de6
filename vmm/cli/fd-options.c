/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -add-fd, see fd-options.h.
 */
#include "vmm/cli/fd-options.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "backends/fd-table.h"
#include "qom/property.h"

static bool take_number(json_t *opts, const char *key, uint64_t min, GError **err)
{
    const char *text = json_string_value(json_object_get(opts, key));
    uint64_t number;

    if (!text) {
        return error_set(err, "%s= is missing: fd=N,set=M", key);
    }
    if (!parse_uint(text, &number, err)) {
        g_prefix_error(err, "%s: ", key);
        return false;
    }
    return (number >= min && number <= INT_MAX) ||
           error_set(err,
                     min ? "%s=%s: standard input, output and error are not for sets"
                         : "%s=%s is too large",
                     key, text);
}

bool options_take_add_fd(Options *o, const char *arg, GError **err)
{
    json_t *opts = options_parse_keyvals(arg, NULL, err), *rest;
    bool ok =
        opts && take_number(opts, "fd", STDERR_FILENO + 1, err) && take_number(opts, "set", 0, err);

    if (ok) {
        rest = json_copy(opts);
        json_object_del(rest, "fd");
        json_object_del(rest, "set");
        json_object_del(rest, "opaque");
        ok = options_reject_rest(rest, "fd, set, opaque", err);
        json_decref(rest);
    }
    if (ok) {
        g_ptr_array_add(o->fds, opts);
    } else {
        json_decref(opts);
    }
    return ok;
}

static int number_of(json_t *opts, const char *key)
{
    uint64_t number = 0;

    parse_uint(json_string_value(json_object_get(opts, key)), &number, NULL);
    return (int)number;
}

/* What the program opened itself is closed on exec; what it inherited is not. */
static bool add_fd(Vmm *vmm, json_t *opts, GError **err)
{
    int fd = number_of(opts, "fd"), flags = fcntl(fd, F_GETFD), copy;
    int64_t set;

    copy = flags < 0 || (flags & FD_CLOEXEC) ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy < 0) {
        error_set(err, "file descriptor %d was not inherited", fd);
    } else if (fd_table_add(fd_table_of(vmm->root), number_of(opts, "set"),
                            json_string_value(json_object_get(opts, "opaque")), copy, &set, err)) {
        return true;
    }
    options_say_where(&vmm->opts, opts, err, "-add-fd", "fd");
    return false;
}

bool fd_options_make(Vmm *vmm, GError **err)
{
    const GPtrArray *fds = vmm->opts.fds;
    bool ok = vmm_make_each(vmm, fds, add_fd, err);

    for (unsigned i = 0; ok && i < fds->len; i++) { /* one may be in several sets */
        int fd = number_of(fds->pdata[i], "fd"), flags = fcntl(fd, F_GETFD);

        if (flags >= 0 && !(flags & FD_CLOEXEC)) {
            close(fd);
        }
    }
    return ok;
}
