/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * QMP commands that make and remove character streams. The nested arguments become the keys of
 * -chardev, which its own table checks.
 */
#include "vmm/monitor/qmp-command.h"

#include <string.h>
#include <unistd.h>

#include "backends/fd-table.h"
#include "qom/property.h"

static Object *streams(Machine *m)
{
    return object_container(m->platform.root, "chardevs");
}

/* --- arguments --- */

/* What -chardev calls path=, in QMP's terms; it must be there. */
static const char *const paths[][2] = {{"file", "out"}, {"pipe", "device"}};

static const char *path_member(const char *type)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(paths); i++) {
        if (!strcmp(paths[i][0], type)) {
            return paths[i][1];
        }
    }
    return NULL;
}

/* So that an error names what the client gave, and not what -chardev has in its place. */
static bool check_path(const char *type, json_t *data, GError **err)
{
    const char *member = path_member(type), *text;

    if (!member) {
        return true;
    }
    text = json_string_value(json_object_get(data, member));
    if (json_object_get(data, "path")) {
        return error_set(err, "Parameter 'backend.data.path' is unexpected");
    }
    if (!strcmp(type, "file") && json_object_get(data, "in")) {
        return error_set(err, "Parameter 'backend.data.in' is not built into Aerostat");
    }
    if (!json_object_get(data, member)) {
        return error_set(err, "Parameter 'backend.data.%s' is missing", member);
    }
    if (!text) {
        return error_set(err, "Invalid parameter type for 'backend.data.%s', expected: string",
                         member);
    }
    return *text || error_set(err, "Parameter 'backend.data.%s' is empty", member);
}

/* Scalars as -chardev would have them; objects are taken apart by their callers. */
static bool put(json_t *opts, const char *where, const char *member, json_t *value, GError **err)
{
    json_t *text = NULL;

    if (json_is_string(value)) {
        text = json_incref(value);
    } else if (json_is_boolean(value)) {
        text = json_string(json_is_true(value) ? "on" : "off");
    } else if (json_is_integer(value)) {
        text = json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value));
    } else {
        return error_set(err, "Invalid parameter type for '%s.%s', expected: string", where,
                         member);
    }
    json_object_set_new(opts, member, text);
    return true;
}

/* Of -chardev's keys, those that are no members here: what says which stream it is, and old
 * spellings. */
static const char *const no_members[] = {"backend", "id", "mux",      "nomux",    "noserver", "str",
                                         "nowait",  "fd", "nosignal", "noappend", NULL};

/* allowed NULL: all that -chardev's table takes. */
static bool put_all(json_t *opts, const char *where, json_t *data, const char *const *allowed,
                    GError **err)
{
    const char *member;
    json_t *value;

    json_object_foreach(data, member, value)
    {
        if (allowed ? !g_strv_contains(allowed, member) : g_strv_contains(no_members, member)) {
            return error_set(err, "Parameter '%s.%s' is unexpected", where, member);
        }
        if (!put(opts, where, member, value, err)) {
            return false;
        }
    }
    return true;
}

/* {"type": T, "data": {...}} at where; NULL with err. */
static json_t *data_of(json_t *tagged, const char *where, const char **ret_type, GError **err)
{
    json_t *data = json_object_get(tagged, "data");

    *ret_type = json_string_value(json_object_get(tagged, "type"));
    if (!json_is_object(tagged)) {
        error_set(err, "Invalid parameter type for '%s', expected: object", where);
    } else if (!*ret_type) {
        error_set(err, "Parameter '%s.type' is missing", where);
    } else if (!json_is_object(data)) {
        error_set(err, "Parameter '%s.data' is missing", where);
    } else {
        return data;
    }
    return NULL;
}

static bool put_address(json_t *opts, json_t *data, GError **err)
{
    static const char *const path[] = {"path", "abstract", "tight", NULL},
                             *const host[] = {"host", "port", "numeric", "to",
                                              "ipv4", "ipv6", NULL},
                             *const name[] = {"str", NULL};
    json_t *addr = json_object_get(data, "addr"), *inner;
    const char *type;

    if (!addr) {
        return error_set(err, "Parameter 'backend.data.addr' is missing");
    }
    inner = data_of(addr, "backend.data.addr", &type, err);
    if (!inner) {
        return false;
    }
    if (strcmp(type, "unix") != 0 && strcmp(type, "inet") != 0 && strcmp(type, "fd") != 0) {
        return error_set(err, "Parameter 'type' does not accept value '%s'", type);
    }
    if (*type == 'f' && !json_object_get(inner, "str")) {
        return error_set(err, "Parameter 'backend.data.addr.data.str' is missing");
    }
    return put_all(opts, "backend.data.addr.data", inner,
                   *type == 'u'   ? path
                   : *type == 'i' ? host
                                  : name,
                   err);
}

/* A server is the default, as in QEMU. Nothing waits for a peer: that would keep all others
 * waiting. */
static bool finish_socket(json_t *opts, json_t *data, GError **err)
{
    json_t *wait = json_object_get(data, "wait");

    if (wait && !json_is_boolean(wait)) {
        return error_set(err, "Invalid parameter type for 'backend.data.wait', expected: boolean");
    }
    if (!put_address(opts, data, err)) {
        return false;
    }
    if (!json_object_get(data, "server")) {
        json_object_set_new(opts, "server", json_string("on"));
    }
    if (json_is_true(wait)) {
        return error_set(err, "wait=true would stop the VM until somebody connects: leave it out");
    }
    json_object_set_new(opts, "wait", json_string("off"));
    return true;
}

/* "out" or "device" becomes path=. */
static void rename_path(json_t *opts, const char *type)
{
    const char *member = path_member(type);

    if (member) {
        json_object_set(opts, "path", json_object_get(opts, member));
        json_object_del(opts, member);
    }
}

/* The keys of -chardev, and "str", a name of getfd; NULL with err. */
static json_t *options_of(json_t *args, GError **err)
{
    const char *type;
    json_t *data = data_of(json_object_get(args, "backend"), "backend", &type, err), *opts, *plain;
    bool is_socket, ok;

    if (!data) {
        return NULL;
    }
    is_socket = !strcmp(type, "socket");
    opts = json_pack("{s:s, s:O}", "backend", type, "id", json_object_get(args, "id"));
    plain = json_copy(data);
    if (is_socket) {
        json_object_del(plain, "addr");
    }
    ok = check_path(type, data, err) && put_all(opts, "backend.data", plain, NULL, err) &&
         (!is_socket || finish_socket(opts, data, err));
    json_decref(plain);
    rename_path(opts, type);
    if (!ok) {
        json_decref(opts);
        return NULL;
    }
    return opts;
}

/* The stream closes the descriptor if it cannot be on it, but only once all else is known to be
 * right. */
static Chardev *make_on_fd(Machine *m, json_t *opts, const char *name, GError **err)
{
    FdTable *fds = fd_table_of(m->platform.root);
    int fd = fd_table_take(fds, name, err);
    Chardev *stand_in;

    if (fd < 0) {
        return NULL;
    }
    json_object_del(opts, "str");
    json_object_set_new(opts, "fd", json_sprintf("%d", fd));
    stand_in = chardev_check_keyvals(m->platform.loop, fds, opts, err);
    if (!stand_in) {
        close(fd);
        return NULL;
    }
    object_unref(stand_in);
    return chardev_new_from_keyvals(m->platform.loop, fds, opts, err);
}

/* --- commands --- */

static void on_quit_key(void *opaque)
{
    machine_request_shutdown(opaque, SHUTDOWN_CAUSE_HOST_UI);
}

/* opts: as of options_of. Into the tree; NULL with err. */
static Chardev *add_stream(Machine *m, json_t *opts, GError **err)
{
    const char *id = json_string_value(json_object_get(opts, "id"));
    const char *name = json_string_value(json_object_get(opts, "str"));
    Chardev *c;

    if (id && object_child(streams(m), id)) {
        error_set(err, "Chardev with id '%s' already exists", id);
        return NULL;
    }
    if (name) {
        c = make_on_fd(m, opts, name, err);
    } else {
        c = chardev_new_from_keyvals(m->platform.loop, fd_table_of(m->platform.root), opts, err);
    }
    if (!c) {
        return NULL;
    }
    if (!object_add_child(streams(m), id, OBJECT(c), err)) {
        object_unref(c);
        return NULL;
    }
    chardev_set_quit_handler(c, on_quit_key, m);
    return c;
}

static json_t *run_chardev_add(Machine *m, json_t *args, GError **err)
{
    json_t *opts = options_of(args, err);
    Chardev *c = opts ? add_stream(m, opts, err) : NULL;

    json_decref(opts);
    if (!c) {
        return NULL;
    }
    return g_str_has_prefix(chardev_filename(c), "pty:")
               ? json_pack("{s:s}", "pty", chardev_filename(c) + strlen("pty:"))
               : json_object();
}

/* As finish_socket, of -chardev's spellings. */
static bool finish_plain_socket(json_t *opts, GError **err)
{
    const char *wait = json_string_value(json_object_get(opts, "wait"));
    json_t *fd = json_object_get(opts, "fd");
    bool value = false;

    if (wait && !parse_bool(wait, &value, err)) {
        g_prefix_error(err, "wait=%s: ", wait);
        return false;
    }
    if (value) {
        return error_set(err, "wait=on would stop the VM until somebody connects: leave it out");
    }
    json_object_set_new(opts, "wait", json_string("off"));
    if (fd) {
        json_object_set(opts, "str", fd);
        json_object_del(opts, "fd");
    }
    return true;
}

bool qmp_chardev_add(Machine *m, json_t *opts, GError **err)
{
    const char *kind = json_string_value(json_object_get(opts, "backend"));

    if (json_object_get(opts, "str")) { /* QMP's way to say fd= */
        return error_set(err, "unknown 'str' for a %s", kind ?: "stream");
    }
    return (g_strcmp0(kind, "socket") != 0 || finish_plain_socket(opts, err)) &&
           add_stream(m, opts, err);
}

/* A device that was given it, or a monitor on it. */
static bool is_busy(Chardev *c)
{
    Chardev *port;

    for (unsigned n = 0; (port = chardev_mux_port(c, n)); n++) {
        if (chardev_has_frontend(port) || OBJECT(port)->ref > 1) {
            return true;
        }
    }
    return chardev_has_frontend(c) || OBJECT(c)->ref > 1;
}

static json_t *run_chardev_remove(Machine *m, json_t *args, GError **err)
{
    const char *id = json_string_value(json_object_get(args, "id"));
    Object *obj = object_child(streams(m), id);

    if (!obj) {
        error_set(err, "Chardev '%s' not found", id);
        return NULL;
    }
    if (is_busy(CHARDEV(obj))) {
        error_set(err, "Chardev '%s' is busy", id);
        return NULL;
    }
    chardev_close(CHARDEV(obj));
    object_unparent(obj);
    return json_object();
}

static void add_backend(const char *name, void *opaque)
{
    json_array_append_new(opaque, json_pack("{s:s}", "name", name));
}

static json_t *run_query_chardev_backends(Machine *m, json_t *args, GError **err)
{
    json_t *list = json_array();

    chardev_foreach_backend(add_backend, list);
    return list;
}

const QmpCommand qmp_chardev_add_commands[] = {
    {.name = "chardev-add",
     .help = "make a character stream",
     .args = {{"id", QMP_ARG_STR, false}, {"backend", QMP_ARG_OBJECT, false}},
     .arg_types = "backend:ChardevBackend",
     .run = run_chardev_add,
     .ret = "ChardevReturn"},
    {.name = "chardev-remove",
     .help = "remove a character stream that is not in use",
     .args = {{"id", QMP_ARG_STR, false}},
     .run = run_chardev_remove},
    {.name = "query-chardev-backends",
     .help = "kinds of character streams",
     .run = run_query_chardev_backends,
     .ret = "[ChardevBackendInfo]"},
    {0},
};
