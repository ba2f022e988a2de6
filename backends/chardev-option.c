/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Character streams from an option's text, in QEMU's spelling: KIND, KIND:ARGUMENT or
 * KIND:ARGUMENT,NAME=VALUE... with "mon:" before it for a multiplexer. Two commas in a path stand
 * for one.
 */
#include <string.h>

#include "backends/chardev-impl.h"
#include "backends/tcp-socket.h"
#include "qom/property.h"

typedef struct {
    EventLoop *loop;
    const char *label;
    bool mux;
    bool check;      /* see chardev_check_option */
    const char *arg; /* after the colon; NULL: there was none */
} ChardevRequest;

static Chardev *option_null(const ChardevRequest *r, GError **err)
{
    return chardev_new(&chardev_null_type, r->loop, r->label);
}

static Chardev *option_stdio(const ChardevRequest *r, GError **err)
{
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_stdio_new(r->loop, r->label, !r->mux, err);
}

static Chardev *option_file(const ChardevRequest *r, GError **err)
{
    return r->check ? chardev_stand_in(r->loop, r->label, r->arg, err)
                    : chardev_file_new(r->loop, r->label, r->arg, false, err);
}

static Chardev *option_pipe(const ChardevRequest *r, GError **err)
{
    return r->check ? chardev_stand_in(r->loop, r->label, r->arg, err)
                    : chardev_pipe_new(r->loop, r->label, r->arg, err);
}

static Chardev *option_pty(const ChardevRequest *r, GError **err)
{
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_pty_new(r->loop, r->label, err);
}

/* Cuts the first comma-separated word off *text; ",," stands for a comma in it. NULL at the end. */
static char *option_word(const char **text)
{
    GString *word;
    const char *p = *text;

    if (!p) {
        return NULL;
    }
    word = g_string_new(NULL);
    while (*p && (p[0] != ',' || p[1] == ',')) {
        p += p[0] == ',';
        g_string_append_c(word, *p++);
    }
    *text = *p ? p + 1 : NULL;
    return g_string_free(word, FALSE);
}

/* "server", "noserver", "server=on": sets the flag that word names. */
static bool option_flag(const char *word, bool *server, bool *wait, GError **err)
{
    static const char *const names[] = {"server", "wait", NULL};
    bool *const flags[] = {server, wait};
    const char *eq = strchr(word, '=');
    g_autofree char *name = eq ? g_strndup(word, (gsize)(eq - word)) : g_strdup(word);
    const char *near;

    for (unsigned i = 0; names[i]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *flags[i] = true;
            return !eq || parse_bool(eq + 1, flags[i], err);
        }
        if (!eq && g_str_has_prefix(name, "no") && strcmp(name + 2, names[i]) == 0) {
            *flags[i] = false;
            return true;
        }
    }
    near = error_near_miss(name, names);
    return near ? error_set(err, "unknown setting '%s'; did you mean '%s'?", name, near)
                : error_set(err, "unknown setting '%s'; a socket has server=on|off and wait=on|off",
                            name);
}

static Chardev *option_unix(const ChardevRequest *r, GError **err)
{
    const char *rest = r->arg;
    g_autofree char *path = option_word(&rest);
    bool server = false, wait = true;

    while (rest) {
        g_autofree char *word = option_word(&rest);

        if (!option_flag(word, &server, &wait, err)) {
            return NULL;
        }
    }
    return r->check ? chardev_stand_in(r->loop, r->label, path, err)
                    : chardev_socket_new(r->loop, r->label, path, server, wait, err);
}

/* HOST:PORT, or [HOST]:PORT for an address with colons. */
static bool split_host(const char *text, char **ret_host, const char **ret_port)
{
    const char *colon = strrchr(text, ':');

    if (!colon) {
        return false;
    }
    *ret_host = *text == '[' && colon > text && colon[-1] == ']'
                    ? g_strndup(text + 1, (gsize)(colon - text - 2))
                    : g_strndup(text, (gsize)(colon - text));
    *ret_port = colon + 1;
    return true;
}

static Chardev *option_tcp(const ChardevRequest *r, GError **err)
{
    const char *rest = r->arg, *port;
    g_autofree char *address = option_word(&rest), *host = NULL;
    bool server = false, wait = true;

    if (!split_host(address, &host, &port)) {
        error_set(err, "the port is missing: tcp:HOST:PORT");
        return NULL;
    }
    while (rest) {
        g_autofree char *word = option_word(&rest);

        if (strcmp(word, "nodelay") != 0 && !g_str_has_prefix(word, "nodelay=") &&
            !option_flag(word, &server, &wait, err)) {
            return NULL;
        }
    }
    if (r->check && !tcp_socket_check(host, port, server, err)) {
        return NULL;
    }
    return r->check ? chardev_stand_in(r->loop, r->label, NULL, err)
                    : chardev_tcp_new(r->loop, r->label, host, port, server, wait, err);
}

static const struct {
    const char *name;
    const char *arg; /* what must follow the colon; NULL: nothing may */
    Chardev *(*make)(const ChardevRequest *r, GError **err);
} kinds[] = {
    {"stdio", NULL, option_stdio},    {"null", NULL, option_null},   {"file", "PATH", option_file},
    {"unix", "PATH", option_unix},    {"pipe", "PATH", option_pipe}, {"pty", NULL, option_pty},
    {"tcp", "HOST:PORT", option_tcp},
};

static bool option_unknown(const char *kind, GError **err)
{
    const char *names[G_N_ELEMENTS(kinds) + 1] = {0};
    const char *near;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        names[i] = kinds[i].name;
    }
    near = error_near_miss(kind, names);
    return error_set(
        err,
        "unknown kind '%s'%s%s%s; one of stdio, mon:stdio, null, file:PATH, "
        "unix:PATH[,server=on|off][,wait=on|off], tcp:HOST:PORT[,server=on|off], pipe:PATH, pty",
        kind, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}

static Chardev *option_make(ChardevRequest *r, const char *text, GError **err)
{
    const char *colon = strchr(text, ':');
    g_autofree char *kind = colon ? g_strndup(text, (gsize)(colon - text)) : g_strdup(text);

    r->arg = colon ? colon + 1 : NULL;
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (strcmp(kind, kinds[i].name) != 0) {
            continue;
        }
        if (kinds[i].arg && (!r->arg || !r->arg[0])) {
            error_set(err, "the %s is missing: %s:%s",
                      strcmp(kinds[i].arg, "PATH") != 0 ? "address" : "path", kind, kinds[i].arg);
            return NULL;
        }
        if (!kinds[i].arg && r->arg) {
            error_set(err, "'%s' takes nothing after it", kind);
            return NULL;
        }
        return kinds[i].make(r, err);
    }
    option_unknown(kind, err);
    return NULL;
}

static Chardev *from_option(EventLoop *loop, const char *label, const char *option, bool check,
                            GError **err)
{
    bool mux = g_str_has_prefix(option, "mon:");
    ChardevRequest r = {.loop = loop, .label = label, .mux = mux, .check = check};
    Chardev *c = option_make(&r, mux ? option + 4 : option, err);

    if (!c) {
        g_prefix_error(err, "%s %s: ", label, option);
        return NULL;
    }
    return mux ? chardev_mux_new(loop, label, c) : c;
}

Chardev *chardev_new_from_option(EventLoop *loop, const char *label, const char *option,
                                 GError **err)
{
    return from_option(loop, label, option, false, err);
}

Chardev *chardev_check_option(EventLoop *loop, const char *label, const char *option, GError **err)
{
    return from_option(loop, label, option, true, err);
}
