/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams from keys and values, as after -chardev, in QEMU's spelling: one table of kinds
 * with the keys that each takes. What QEMU has and Aerostat has not is known by name, to say so.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "backends/chardev-impl.h"
#include "backends/tcp-socket.h"
#include "backends/user-creatable.h"
#include "qom/property.h"

enum { RINGBUF_DEFAULT = 64 * 1024 };

typedef struct {
    EventLoop *loop;
    const char *label;
    json_t *opts;
    bool check;   /* see chardev_check_keyvals */
    FdTable *fds; /* NULL: no paths below /dev/fdset */
} KeyvalRequest;

typedef struct {
    const char *name;
    const char *const *keys;    /* besides backend, id and mux */
    const char *const *unbuilt; /* QEMU's, not ours; NULL: none */
    Chardev *(*make)(const KeyvalRequest *r, GError **err);
} KeyvalKind;

#define KEYS(...) ((const char *const[]){__VA_ARGS__, NULL})

static const char *text_of(const KeyvalRequest *r, const char *key)
{
    return json_string_value(json_object_get(r->opts, key));
}

/* key, key=on|off, and the old spelling "nokey". *value stays when none of them was given. */
static bool flag_of(const KeyvalRequest *r, const char *key, bool *value, GError **err)
{
    g_autofree char *negated = g_strconcat("no", key, NULL);
    const char *text = text_of(r, key);

    if (text && !parse_bool(text, value, err)) {
        g_prefix_error(err, "%s=%s: ", key, text);
        return false;
    }
    if (text_of(r, negated)) {
        *value = false;
    }
    return true;
}

static const char *path_of(const KeyvalRequest *r, GError **err)
{
    const char *path = text_of(r, "path");

    if (!path || !*path) {
        error_set(err, "path=PATH is missing");
        return NULL;
    }
    return path;
}

/* --- one function per kind --- */

static Chardev *make_null(const KeyvalRequest *r, GError **err)
{
    return chardev_new(&chardev_null_type, r->loop, r->label);
}

static Chardev *make_stdio(const KeyvalRequest *r, GError **err)
{
    bool signals = true;

    if (!flag_of(r, "signal", &signals, err)) {
        return NULL;
    }
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_stdio_new(r->loop, r->label, signals, err);
}

/* What is in a set is opened already, for appending or not. */
static Chardev *make_file_of_set(const KeyvalRequest *r, const char *path, GError **err)
{
    int64_t set;
    int fd = fd_table_open(r->fds, path, O_WRONLY | O_NONBLOCK, &set);

    if (fd < 0) {
        error_set(err, "%s: %s", path,
                  errno == EACCES   ? "the set has no descriptor that was opened for writing only"
                  : errno == ENOENT ? "there is no such set"
                                    : g_strerror(errno));
        return NULL;
    }
    fd_table_release(r->fds, set); /* the duplicate stays when the set goes */
    if (r->check) {
        close(fd);
        return chardev_stand_in(r->loop, r->label, NULL, err);
    }
    return chardev_file_new_fd(r->loop, r->label, fd);
}

static Chardev *make_file(const KeyvalRequest *r, GError **err)
{
    const char *path = path_of(r, err);
    bool append = false;

    if (!path || !flag_of(r, "append", &append, err)) {
        return NULL;
    }
    if (r->fds && fd_table_has_path(path)) {
        return make_file_of_set(r, path, err);
    }
    return r->check ? chardev_stand_in(r->loop, r->label, path, err)
                    : chardev_file_new(r->loop, r->label, path, append, err);
}

static Chardev *make_pipe(const KeyvalRequest *r, GError **err)
{
    const char *path = path_of(r, err);

    if (!path || r->check) {
        return path ? chardev_stand_in(r->loop, r->label, path, err) : NULL;
    }
    return chardev_pipe_new(r->loop, r->label, path, err);
}

static Chardev *make_pty(const KeyvalRequest *r, GError **err)
{
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_pty_new(r->loop, r->label, err);
}

static Chardev *make_tcp(const KeyvalRequest *r, bool server, bool wait, GError **err)
{
    const char *host = text_of(r, "host"), *port = text_of(r, "port");

    if (text_of(r, "path") || !host || !port) {
        error_set(err, "give host=HOST and port=PORT, or path=PATH");
        return NULL;
    }
    if (r->check && !tcp_socket_check(host, port, server, err)) {
        return NULL;
    }
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_tcp_new(r->loop, r->label, host, port, server, wait, err);
}

static Chardev *make_socket_fd(const KeyvalRequest *r, bool server, bool wait, GError **err)
{
    const char *text = text_of(r, "fd");
    uint64_t fd;

    if (text_of(r, "path") || text_of(r, "host") || text_of(r, "port")) {
        error_set(err, "give one of fd=, path= and host=");
        return NULL;
    }
    if (!parse_uint(text, &fd, NULL) || fd > INT_MAX) {
        error_set(err, "fd=%s: not the number of a file descriptor", text);
        return NULL;
    }
    if (fcntl((int)fd, F_GETFD) < 0) {
        error_set(err, "fd=%s: file descriptor %s is not open", text, text);
        return NULL;
    }
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_socket_new_fd(r->loop, r->label, (int)fd, server, wait, err);
}

static Chardev *make_socket(const KeyvalRequest *r, GError **err)
{
    bool server = false, wait = true, nodelay = true;
    const char *path;

    if (!flag_of(r, "server", &server, err) || !flag_of(r, "wait", &wait, err) ||
        !flag_of(r, "nodelay", &nodelay, err)) {
        return NULL;
    }
    if (text_of(r, "fd")) {
        return make_socket_fd(r, server, wait, err);
    }
    if (text_of(r, "host") || text_of(r, "port")) {
        return make_tcp(r, server, wait, err);
    }
    path = path_of(r, err);
    if (!path) {
        return NULL;
    }
    return r->check ? chardev_stand_in(r->loop, r->label, path, err)
                    : chardev_socket_new(r->loop, r->label, path, server, wait, err);
}

static Chardev *make_ringbuf(const KeyvalRequest *r, GError **err)
{
    const char *text = text_of(r, "size");
    uint64_t size = RINGBUF_DEFAULT;

    if (text && !parse_size(text, 1, &size, err)) {
        g_prefix_error(err, "size=%s: ", text);
        return NULL;
    }
    return chardev_ringbuf_new(r->loop, r->label, size, err);
}

static const KeyvalKind kinds[] = {
    {"file", KEYS("path", "append", "noappend"), KEYS("input-path"), make_file},
    {"null", KEYS(NULL), NULL, make_null},
    {"pipe", KEYS("path"), NULL, make_pipe},
    {"pty", KEYS(NULL), KEYS("path"), make_pty},
    {"ringbuf", KEYS("size"), NULL, make_ringbuf},
    {"socket",
     KEYS("path", "host", "port", "fd", "server", "noserver", "wait", "nowait", "nodelay"),
     KEYS("to", "ipv4", "ipv6", "delay", "abstract", "tight", "reconnect", "reconnect-ms", "telnet",
          "tn3270", "websocket", "tls-creds", "tls-authz"),
     make_socket},
    {"stdio", KEYS("signal", "nosignal"), NULL, make_stdio},
};

/* --- choosing and checking --- */

static const char *const common_keys[] = {"backend", "id", "mux", "nomux", NULL};
static const char *const common_unbuilt[] = {"logfile", "logappend", NULL};
static const char *const unbuilt_kinds[] = {
    "vc",       "udp",     "serial",   "tty",       "parallel", "parport",
    "msmouse",  "braille", "spicevmc", "spiceport", "testdev",  "qemu-vdagent",
    "wctablet", "dbus",    "hub",      "memory",    NULL};

static bool in_list(const char *const *list, const char *word)
{
    return list && g_strv_contains(list, word);
}

static bool check_keys(const KeyvalKind *kind, json_t *opts, GError **err)
{
    const char *key, *near;
    json_t *value;

    json_object_foreach(opts, key, value)
    {
        if (in_list(common_unbuilt, key) || in_list(kind->unbuilt, key)) {
            return error_set(err, "%s= is not built into Aerostat", key);
        }
        if (!json_is_string(value)) {
            return error_set(err, "'%s' must be a string", key);
        }
        if (!in_list(common_keys, key) && !in_list(kind->keys, key)) {
            near = error_near_miss(key, kind->keys);
            return error_set(err, "unknown '%s' for a %s%s%s%s", key, kind->name,
                             near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
        }
    }
    return true;
}

static const KeyvalKind *find_kind(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(kinds) + 1] = {0};
    const char *near;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(kinds[i].name, name)) {
            return &kinds[i];
        }
        names[i] = kinds[i].name;
    }
    if (in_list(unbuilt_kinds, name)) {
        error_set(err, "'%s' is not built into Aerostat; '-chardev help' lists what is", name);
        return NULL;
    }
    near = error_near_miss(name, names);
    error_set(err, "unknown kind '%s'%s%s%s; '-chardev help' lists all", name,
              near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    return NULL;
}

void chardev_foreach_backend(void (*fn)(const char *name, void *opaque), void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        fn(kinds[i].name, opaque);
    }
}

void chardev_foreach_key(const char *backend, void (*fn)(const char *key, void *opaque),
                         void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        for (const char *const *key = kinds[i].keys; *key && !strcmp(kinds[i].name, backend);
             key++) {
            fn(*key, opaque);
        }
    }
}

static Chardev *from_keyvals(EventLoop *loop, json_t *opts, bool check, FdTable *fds, GError **err)
{
    KeyvalRequest r = {.loop = loop, .opts = opts, .check = check, .fds = fds};
    const char *backend = text_of(&r, "backend");
    const KeyvalKind *kind;
    bool mux = false;
    Chardev *c;

    r.label = text_of(&r, "id");
    if (!backend || !r.label) {
        error_set(err, "%s is missing: give KIND,id=ID", backend ? "id=" : "the kind");
        return NULL;
    }
    kind = find_kind(backend, err);
    if (!kind || !check_keys(kind, opts, err) || !user_id_check(r.label, err) ||
        !flag_of(&r, "mux", &mux, err)) {
        return NULL;
    }
    c = kind->make(&r, err);
    return c && mux ? chardev_mux_new(loop, r.label, c) : c;
}

Chardev *chardev_new_from_keyvals(EventLoop *loop, FdTable *fds, json_t *opts, GError **err)
{
    return from_keyvals(loop, opts, false, fds, err);
}

Chardev *chardev_check_keyvals(EventLoop *loop, FdTable *fds, json_t *opts, GError **err)
{
    return from_keyvals(loop, opts, true, fds, err);
}
