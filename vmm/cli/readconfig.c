/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -readconfig, see readconfig.h. A group is checked as far as this can be done without the type
 * that it names, and then given to its option as text; properties are checked where they are set,
 * and options_origin tells the line to complain about.
 */
#include "vmm/cli/readconfig.h"

#include <stdlib.h>
#include <string.h>

#include "backends/user-creatable.h"
#include "vmm/cli/config-file.h"
#include "vmm/machine/machine.h"

enum { KEYS_MAX = 12 };
enum { FILES_MAX = 64 }; /* of one -readconfig, with all that they include */

/* The files that are being read, from the innermost outwards. */
typedef struct Reading Reading;
struct Reading {
    const Reading *from; /* NULL: -readconfig */
    char *path;      /* without links and "..", to tell whether it is one of them; NULL: stdin */
    char *folder;    /* what includes are relative to */
    unsigned *files; /* count of all */
};

typedef enum { ID_NONE, ID_OPTIONAL, ID_NEEDED } GroupId;

typedef struct {
    const char *name, *option; /* option NULL: each key is one, or include */
    GroupId id;
    const char *needed;             /* key without which it says nothing; NULL: none */
    const char *keys[KEYS_MAX + 1]; /* all there are; none: they are properties of a type */
    size_t props, list; /* fields of Options that get the properties, or the entry; 0: none */
    const char *id_key; /* what the group's id is to the option; NULL: "id" */
} GroupKind;

static const GroupKind kinds[] = {
    {"accel", "accel", ID_NONE, "accel", .props = offsetof(Options, accel_props)},
    {"add-fd", "add-fd", ID_NONE, "fd", .keys = {"fd", "set", "opaque"},
     .list = offsetof(Options, fds)},
    {"blockdev", "blockdev", ID_NEEDED, "driver", .list = offsetof(Options, blockdevs),
     .id_key = "node-name"},
    {"chardev", "chardev", ID_NEEDED, "backend", .list = offsetof(Options, chardevs)},
    {"device", "device", ID_OPTIONAL, "driver", .list = offsetof(Options, devices)},
    {"drive", "drive", ID_OPTIONAL, "file", .list = offsetof(Options, drives)},
    {"global", "global", ID_NONE, "driver", .keys = {"driver", "property", "value"}},
    {"include", NULL, ID_NONE, "file", .keys = {"file"}},
    {"launch", NULL, ID_NONE, NULL,
     .keys = {"S", "daemonize", "gdb", "monitor", "nodefaults", "nographic", "pidfile", "qmp",
              "qmp-pretty", "qtest", "qtest-log", "serial"}},
    {"machine", "machine", ID_NONE, NULL, .props = offsetof(Options, machine_props)},
    {"memory", "m", ID_NONE, "size", .keys = {"size"}},
    {"mon", "mon", ID_OPTIONAL, "chardev", .keys = {"chardev", "mode", "pretty"}},
    {"name", "name", ID_NONE, "guest", .keys = {"guest", "debug-threads"}},
    {"netdev", "netdev", ID_NEEDED, "type", .list = offsetof(Options, netdevs)},
    {"nic", "nic", ID_OPTIONAL, "type", .list = offsetof(Options, nics)},
    {"object", "object", ID_NEEDED, "qom-type", .list = offsetof(Options, objects)},
    {"rtc", "rtc", ID_NONE, NULL, .keys = {"base", "clock", "driftfix"}},
    {"smp-opts", "smp", ID_NONE, NULL,
     .keys = {"cpus", "cores", "sockets", "dies", "clusters", "threads", "maxcpus"}},
    {"trace", "trace", ID_NONE, "enable", .keys = {"enable"}},
};

/* ": did you mean 'x'?", or what there is. */
static char *suggestion(const char *word, const char *const *known)
{
    const char *near = error_near_miss(word, known);
    g_autofree char *all = near ? NULL : g_strjoinv(", ", (char **)known);

    return near ? g_strdup_printf("did you mean '%s'?", near) : g_strdup_printf("known: %s", all);
}

static const GroupKind *find_kind(const char *name, GError **err)
{
    const char *names[G_N_ELEMENTS(kinds) + 1] = {NULL};
    g_autofree char *hint = NULL;

    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(kinds[i].name, name)) {
            return &kinds[i];
        }
        names[i] = kinds[i].name;
    }
    hint = suggestion(name, names);
    error_set(err, "unknown group '%s'; %s", name, hint);
    return NULL;
}

/* Ids are told apart within groups of one name, over all files. */
static bool check_id(Options *o, const GroupKind *k, const ConfigGroup *g, const char *where,
                     GError **err)
{
    g_autofree char *key = NULL;
    const char *before;

    if (!g->id) {
        return k->id != ID_NEEDED ||
               error_set(err, "[%s] needs an id: [%s \"ID\"]", k->name, k->name);
    }
    if (k->id == ID_NONE) {
        return error_set(err, "[%s] has no id: leave \"%s\" out", k->name, g->id);
    }
    if (!user_id_check(g->id, err)) {
        return false;
    }
    key = g_strdup_printf("%s %s", k->name, g->id);
    if ((before = g_hash_table_lookup(o->config_ids, key))) {
        return error_set(err, "duplicate id '%s'; the first [%s \"%s\"] is at %s", g->id, k->name,
                         g->id, before);
    }
    g_hash_table_insert(o->config_ids, g_steal_pointer(&key), g_strdup(where));
    return true;
}

static bool names_type(const GroupKind *k, const ConfigEntry *e)
{
    return !strcmp(e->key, k->needed ? k->needed : "type");
}

/* Machine and accelerator, which are looked up late: the command line may have another. */
static bool check_value(const GroupKind *k, const ConfigEntry *e, GError **err)
{
    if (!strcmp(e->key, "type") && !strcmp(k->name, "machine")) {
        return machine_type_find(e->value, err) != NULL;
    }
    if (!strcmp(e->key, "accel") && k->props) {
        return accel_type_find(e->value, err) != NULL;
    }
    return true;
}

static bool check_entry(const GroupKind *k, const ConfigEntry *e, GError **err)
{
    g_autofree char *hint = NULL;

    if (!strcmp(e->key, "help") || (!strcmp(e->value, "help") && names_type(k, e))) {
        return error_set(err, "help is for the command line: -%s help", k->option ?: k->name);
    }
    if (!strcmp(e->key, k->id_key ?: "id") && k->id != ID_NONE) {
        return error_set(err, "the %s goes to the group's name: [%s \"ID\"]", k->id_key ?: "id",
                         k->name);
    }
    if (!k->keys[0]) {
        return check_value(k, e, err);
    }
    if (g_strv_contains(k->keys, e->key)) {
        return true;
    }
    hint = suggestion(e->key, k->keys);
    return error_set(err, "unknown key '%s' of [%s]; %s", e->key, k->name, hint);
}

/* "key=value,key=value" as on the command line. */
static char *to_text(const GroupKind *k, const ConfigGroup *g)
{
    GString *text = g_string_new(NULL);

    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];
        g_auto(GStrv) parts = g_strsplit(e->value, ",", -1);
        g_autofree char *value = g_strjoinv(",,", parts);

        g_string_append_printf(text, "%s%s=%s", text->len ? "," : "", e->key, value);
    }
    if (g->id && k->list) {
        g_string_append_printf(text, "%s%s=%s", text->len ? "," : "", k->id_key ?: "id", g->id);
    }
    return g_string_free(text, FALSE);
}

static char *place(const ConfigFile *f, unsigned line)
{
    return g_strdup_printf("%s:%u", f->name, line);
}

/* The same with the name of a group that has one. */
static char *place_in(const ConfigFile *f, const ConfigGroup *g, unsigned line)
{
    return g->id ? g_strdup_printf("%s:%u: %s '%s'", f->name, line, g->name, g->id)
                 : place(f, line);
}

static void note_lines(Options *o, json_t *opts, const ConfigFile *f, const ConfigGroup *g)
{
    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];
        json_t *value = json_object_get(opts, e->key);

        if (json_is_string(value)) {
            options_set_origin(o, value, place_in(f, g, e->line));
        }
    }
}

/* Remembers where the group's things came from, for errors that are found later. */
static void note_origins(Options *o, const GroupKind *k, const ConfigFile *f, const ConfigGroup *g)
{
    if (k->list) {
        GPtrArray *list = G_STRUCT_MEMBER(GPtrArray *, o, k->list);

        note_lines(o, list->pdata[list->len - 1], f, g);
        options_set_origin(o, list->pdata[list->len - 1], place_in(f, g, g->line));
    }
    if (!strcmp(k->name, "mon")) {
        MonOption *mon = o->mons->pdata[o->mons->len - 1];

        mon->origin = place(f, g->line);
    }
    if (!strcmp(k->name, "global")) {
        GlobalOption *global = o->globals->pdata[o->globals->len - 1];

        global->origin = place(f, g->line);
    }
    if (k->id == ID_NONE && k->keys[0] && k->option) {
        const ConfigEntry *e = k->needed ? config_group_find(g, k->needed) : g->entries->pdata[0];

        g_hash_table_replace(o->places, g_strdup(k->option), place(f, e->line));
    }
    for (unsigned i = 0; k->props && i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];
        json_t *value = json_object_get(G_STRUCT_MEMBER(json_t *, o, k->props), e->key);

        if (!strcmp(e->key, "type") || !strcmp(e->key, "accel")) {
            g_hash_table_replace(o->places, g_strdup(e->key), place(f, e->line));
        }
        if (value) {
            options_set_origin(o, value, place(f, e->line));
        }
    }
}

/* A list of JSON is a key given several times. */
static bool check_repeated(const GroupKind *k, const ConfigGroup *g, unsigned n, GError **err)
{
    const ConfigEntry *e = g->entries->pdata[n];

    return config_group_find(g, e->key) == e || (!k->option && !k->needed) ||
           config_group_may_repeat(g, e->key) ||
           error_set(err, "key '%s' of [%s] takes one value", e->key, k->name);
}

/* What a group says as such, before its option takes it. *ret_line is set to the line of an error.
 */
static bool check_group(Options *o, const GroupKind *k, const ConfigFile *f, const ConfigGroup *g,
                        unsigned *ret_line, GError **err)
{
    g_autofree char *where = place(f, g->line);

    if (!check_id(o, k, g, where, err)) {
        return false;
    }
    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];

        if (!check_entry(k, e, err) || !check_repeated(k, g, i, err)) {
            *ret_line = e->line;
            return false;
        }
    }
    return !k->needed || config_group_find(g, k->needed) ||
           error_set(err, "[%s] needs a line %s = \"...\"", k->name, k->needed);
}

static bool read_file(Options *o, const char *what, const char *path, const Reading *from,
                      GError **err);

/* Errors of the included file are complete, as they begin with its own name. */
static bool include(Options *o, const Reading *r, const ConfigFile *f, const ConfigGroup *g,
                    GError **err)
{
    const ConfigEntry *e = config_group_find(g, "file");
    g_autofree char *what = g_strdup_printf("%s:%u: include", f->name, e->line);
    g_autofree char *path = NULL;

    if (!*e->value || !strcmp(e->value, "-")) {
        return error_set(err, "%s: give the path of a file", what);
    }
    path = g_path_is_absolute(e->value) || !strcmp(r->folder, ".")
               ? g_strdup(e->value)
               : g_build_filename(r->folder, e->value, NULL);
    return read_file(o, what, path, r, err);
}

/* [launch]: each key is an option. */
static bool launch(Options *o, const ConfigFile *f, const ConfigGroup *g, GError **err)
{
    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];
        g_autofree char *where = place(f, e->line);
        g_autoptr(GError) why = NULL;

        if (options_take_launch(o, e->key, e->value, &why)) {
            g_hash_table_replace(o->places, g_strdup(e->key), g_steal_pointer(&where));
            continue;
        }
        g_prefix_error(&why, "%s: ", where);
        if (!options_fault(o, &why)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
    return true;
}

static bool take_group(Options *o, const Reading *r, const ConfigFile *f, const ConfigGroup *g,
                       GError **err)
{
    const GroupKind *k = find_kind(g->name, err);
    g_autofree char *text = NULL;
    unsigned line = g->line;
    bool ok = k && check_group(o, k, f, g, &line, err);

    if (ok && !k->option) {
        return k->needed ? include(o, r, f, g, err) : launch(o, f, g, err);
    }
    if (ok && g->entries->len > 0) {
        if (g->entries->len == 1) {
            line = ((ConfigEntry *)g->entries->pdata[0])->line;
        }
        text = to_text(k, g);
        ok = options_take(o, k->option, text, err);
        if (ok) {
            note_origins(o, k, f, g);
        }
    }
    if (!ok) {
        g_prefix_error(err, "%s:%u: ", f->name, line);
    }
    return ok;
}

static bool take_groups(Options *o, const Reading *r, const ConfigFile *f, GError **err)
{
    for (unsigned i = 0; i < f->groups->len; i++) {
        g_autoptr(GError) why = NULL;

        if (!take_group(o, r, f, f->groups->pdata[i], &why) && !options_fault(o, &why)) {
            g_propagate_error(err, g_steal_pointer(&why));
            return false;
        }
    }
    return true;
}

/* Is path one of the files that are being read? */
static bool check_cycle(const Reading *r, const char *what, const char *path, GError **err)
{
    for (const Reading *outer = r->from; r->path && outer; outer = outer->from) {
        if (!g_strcmp0(outer->path, r->path)) {
            return error_set(err, "%s %s: the file includes itself", what, path);
        }
    }
    return ++*r->files <= FILES_MAX ||
           error_set(err, "%s %s: more than %d files", what, path, FILES_MAX);
}

static bool read_file(Options *o, const char *what, const char *path, const Reading *from,
                      GError **err)
{
    unsigned files = 0;
    bool is_stdin = !from && !strcmp(path, "-"), ok = false;
    Reading r = {
        .from = from,
        .path = is_stdin ? NULL : realpath(path, NULL),
        .folder = is_stdin ? g_strdup(".") : g_path_get_dirname(path),
        .files = from ? from->files : &files,
    };

    if (check_cycle(&r, what, path, err)) {
        g_autoptr(ConfigFile) f = config_file_read(what, path, o->faults, err);

        ok = f && take_groups(o, &r, f, err);
    }
    free(r.path);
    g_free(r.folder);
    return ok;
}

bool readconfig(Options *o, const char *option, const char *path, GError **err)
{
    return read_file(o, option, path, NULL, err);
}

void readconfig_foreach_group(void (*fn)(const char *name, const char *const *keys,
                                         const char *needed, bool has_id, void *opaque),
                              void *opaque)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        fn(kinds[i].name, kinds[i].keys, kinds[i].needed, kinds[i].id != ID_NONE, opaque);
    }
}

const char *readconfig_group_option(const char *name)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(kinds); i++) {
        if (!strcmp(kinds[i].name, name)) {
            return kinds[i].option;
        }
    }
    return NULL;
}
