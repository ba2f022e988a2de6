/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Config files, see config-file.h. GLib's GKeyFile is no help: it merges groups of one name, keeps
 * no line numbers, and does not know quotes.
 */
#include "vmm/cli/config-file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

const char config_word_chars[] =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._";

static const char key_form[] = "a line is key = \"value\", [group], [group \"id\"] or # comment";

/* --- what is made --- */

void config_entry_free(ConfigEntry *e)
{
    g_free(e->key);
    g_free(e->value);
    g_free(e);
}

static void group_free(ConfigGroup *g)
{
    g_free(g->name);
    g_free(g->id);
    g_ptr_array_unref(g->entries);
    g_free(g);
}

ConfigFile *config_file_new(const char *name)
{
    ConfigFile *f = g_new(ConfigFile, 1);

    *f = (ConfigFile){
        .name = g_strdup(name),
        .groups = g_ptr_array_new_with_free_func((GDestroyNotify)group_free),
    };
    return f;
}

void config_file_free(ConfigFile *f)
{
    if (f) {
        g_free(f->name);
        g_ptr_array_unref(f->groups);
        g_free(f);
    }
}

const ConfigEntry *config_group_find(const ConfigGroup *g, const char *key)
{
    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];

        if (!strcmp(e->key, key)) {
            return e;
        }
    }
    return NULL;
}

/* --- one line --- */

static void skip_space(const char **p)
{
    *p += strspn(*p, " \t");
}

/* A group's name or a key; NULL with err: none. what is "group" or "key". */
static char *take_word(const char **p, const char *what, GError **err)
{
    size_t len = strspn(*p, config_word_chars);

    if (len == 0) {
        error_set(err, "%s", key_form);
        return NULL;
    }
    if (len > CONFIG_WORD_MAX) {
        error_set(err, "a %s of more than %d characters", what, CONFIG_WORD_MAX);
        return NULL;
    }
    *p += len;
    return g_strndup(*p - len, len);
}

/* The text between quotes; NULL with err: they are not there. what names it. */
static char *take_quoted(const char **p, const char *what, const char *name, GError **err)
{
    const char *end = **p == '"' ? strchr(*p + 1, '"') : NULL;
    char *text;

    if (!end) {
        error_set(err,
                  **p == '"' ? "the closing '\"' of the %s of '%s' is missing"
                             : "the %s of '%s' must be in double quotes",
                  what, name);
        return NULL;
    }
    text = g_strndup(*p + 1, (size_t)(end - *p - 1));
    *p = end + 1;
    return text;
}

/* Nothing but a comment may follow. */
static bool expect_end(const char *p, const char *name, GError **err)
{
    skip_space(&p);
    if (*p == '\0' || *p == '#') {
        return true;
    }
    return error_set(err, "there is text behind the end of '%s'; quotes cannot be in a value",
                     name);
}

static bool parse_group(ConfigFile *f, const char *p, unsigned line, GError **err)
{
    g_autofree char *name = NULL, *id = NULL;
    ConfigGroup *g;

    p++;
    skip_space(&p);
    if (!(name = take_word(&p, "group", err))) {
        return false;
    }
    skip_space(&p);
    if (*p != ']' && *p != '\0' && !(id = take_quoted(&p, "id", name, err))) {
        return false;
    }
    skip_space(&p);
    if (*p != ']') {
        return error_set(err, "the closing ']' of group '%s' is missing", name);
    }
    if (id && strlen(id) > CONFIG_WORD_MAX) {
        return error_set(err, "an id of more than %d characters", CONFIG_WORD_MAX);
    }
    if (!expect_end(p + 1, name, err)) {
        return false;
    }
    g = g_new0(ConfigGroup, 1);
    g->name = g_steal_pointer(&name);
    g->id = g_steal_pointer(&id);
    g->line = line;
    g->entries = g_ptr_array_new_with_free_func((GDestroyNotify)config_entry_free);
    g_ptr_array_add(f->groups, g);
    return true;
}

/* QEMU's lists of a network: one line for each. */
bool config_group_may_repeat(const ConfigGroup *g, const char *key)
{
    static const char *const keys[] = {"dnssearch", "guestfwd", "hostfwd", NULL};

    return (!strcmp(g->name, "netdev") || !strcmp(g->name, "nic")) && g_strv_contains(keys, key);
}

static bool parse_entry(ConfigFile *f, const char *p, unsigned line, GError **err)
{
    g_autofree char *key = take_word(&p, "key", err), *value = NULL;
    const ConfigEntry *before;
    ConfigGroup *g;
    ConfigEntry *e;

    if (!key) {
        return false;
    }
    skip_space(&p);
    if (*p++ != '=') {
        return error_set(err, "%s", key_form);
    }
    skip_space(&p);
    if (!(value = take_quoted(&p, "value", key, err)) || !expect_end(p, key, err)) {
        return false;
    }
    if (f->groups->len == 0) {
        return error_set(err, "key '%s' before the first [group]", key);
    }
    g = f->groups->pdata[f->groups->len - 1];
    if ((before = config_group_find(g, key)) && !config_group_may_repeat(g, key)) {
        return error_set(err, "key '%s' a second time; the first one is in line %u", key,
                         before->line);
    }
    e = g_new(ConfigEntry, 1);
    *e =
        (ConfigEntry){.key = g_steal_pointer(&key), .value = g_steal_pointer(&value), .line = line};
    g_ptr_array_add(g->entries, e);
    return true;
}

static bool parse_line(ConfigFile *f, const char *p, unsigned line, GError **err)
{
    skip_space(&p);
    if (*p == '\0' || *p == '#') {
        return true;
    }
    return *p == '[' ? parse_group(f, p, line, err) : parse_entry(f, p, line, err);
}

/* --- all lines --- */

static bool is_text(const char *line, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (g_ascii_iscntrl(line[i]) && line[i] != '\t') {
            return false;
        }
    }
    return g_utf8_validate(line, (gssize)len, NULL);
}

/* A group whose line is wrong takes the keys that follow with it. */
static bool parse_text_line(ConfigFile *f, const char *line, size_t len, unsigned number,
                            bool *in_bad_group, GError **err)
{
    g_autofree char *copy = g_strndup(line, len);
    const char *p = copy;
    bool ok;

    skip_space(&p);
    if (*in_bad_group && *p != '[') {
        return true;
    }
    ok = is_text(line, len) ? parse_line(f, copy, number, err)
                            : error_set(err, "this is not text (UTF-8)");
    *in_bad_group = *p == '[' && !ok;
    if (!ok) {
        g_prefix_error(err, "%s:%u: ", f->name, number);
    }
    return ok;
}

ConfigFile *config_file_parse(const char *name, const char *text, size_t len, GPtrArray *faults,
                              GError **err)
{
    ConfigFile *f = config_file_new(name);
    const char *end = text + len;
    bool in_bad_group = false;

    for (unsigned line = 1; text < end; line++) {
        const char *eol = memchr(text, '\n', (size_t)(end - text)) ?: end;
        size_t n = (size_t)(eol - text);
        g_autoptr(GError) why = NULL;

        n -= n > 0 && text[n - 1] == '\r';
        if (!parse_text_line(f, text, n, line, &in_bad_group, &why)) {
            if (!faults || faults->len >= CONFIG_FAULTS_MAX) {
                g_propagate_error(err, g_steal_pointer(&why));
                config_file_free(f);
                return NULL;
            }
            g_ptr_array_add(faults, g_strdup(why->message));
        }
        text = eol < end ? eol + 1 : end;
    }
    return f;
}

/* Reads to the end, but not more than a byte above the limit. */
static bool read_all(int fd, GByteArray *data, GError **err)
{
    uint8_t chunk[4096];
    ssize_t n;

    do {
        n = read(fd, chunk, sizeof chunk);
        if (n > 0) {
            g_byte_array_append(data, chunk, (guint)n);
        } else if (n < 0 && errno != EINTR) {
            return error_set_errno(err, errno, "cannot read");
        }
    } while (n != 0 && data->len <= CONFIG_FILE_MAX);
    return data->len <= CONFIG_FILE_MAX ||
           error_set(err, "is larger than %d KiB; that is no config file", CONFIG_FILE_MAX >> 10);
}

/* No line of a config file begins with a brace. */
static bool is_json(const GByteArray *data)
{
    for (guint i = 0; i < data->len; i++) {
        if (!strchr(" \t\r\n", data->data[i]) || !data->data[i]) {
            return data->data[i] == '{';
        }
    }
    return false;
}

ConfigFile *config_file_read(const char *what, const char *path, GPtrArray *faults, GError **err)
{
    bool is_stdin = !strcmp(path, "-");
    const char *name;
    g_autoptr(GByteArray) data = g_byte_array_new();
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_NOCTTY | O_CLOEXEC);
    bool ok = fd >= 0 ? read_all(fd, data, err) : error_set_errno(err, errno, "cannot open");

    if (fd >= 0 && !is_stdin) {
        close(fd);
    }
    if (!ok) {
        g_prefix_error(err, "%s %s: ", what, path);
        return NULL;
    }
    name = is_stdin ? "stdin" : path;
    return is_json(data) ? config_json_parse(name, (const char *)data->data, data->len, faults, err)
                         : config_file_parse(name, data->len ? (const char *)data->data : "",
                                             data->len, faults, err);
}
