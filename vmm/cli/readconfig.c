/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * -readconfig, see readconfig.h. A group is checked as far as this can be done without the type
 * that it names, and then given to its option as text; properties are checked where they are set,
 * and options_origin tells the line to complain about.
 */
#include "vmm/cli/readconfig.h"

#include <string.h>

#include "backends/user-creatable.h"
#include "vmm/cli/config-file.h"
#include "vmm/machine/machine.h"

enum { KEYS_MAX = 3 };

typedef enum { ID_NONE, ID_OPTIONAL, ID_NEEDED } GroupId;

typedef struct {
    const char *name, *option;
    GroupId id;
    const char *needed;             /* key without which it says nothing; NULL: none */
    const char *keys[KEYS_MAX + 1]; /* all there are; none: they are properties of a type */
    size_t props, list; /* fields of Options that get the properties, or the entry; 0: none */
} GroupKind;

static const GroupKind kinds[] = {
    {"accel", "accel", ID_NONE, "accel", .props = offsetof(Options, accel_props)},
    {"chardev", "chardev", ID_NEEDED, "backend", .list = offsetof(Options, chardevs)},
    {"device", "device", ID_OPTIONAL, "driver", .list = offsetof(Options, devices)},
    {"drive", "drive", ID_OPTIONAL, "file", .list = offsetof(Options, drives)},
    {"machine", "machine", ID_NONE, NULL, .props = offsetof(Options, machine_props)},
    {"memory", "m", ID_NONE, "size", .keys = {"size"}},
    {"mon", "mon", ID_OPTIONAL, "chardev", .keys = {"chardev", "mode", "pretty"}},
    {"name", "name", ID_NONE, "guest", .keys = {"guest", "debug-threads"}},
    {"netdev", "netdev", ID_NEEDED, "type", .list = offsetof(Options, netdevs)},
    {"nic", "nic", ID_OPTIONAL, "type", .list = offsetof(Options, nics)},
    {"object", "object", ID_NEEDED, "qom-type", .list = offsetof(Options, objects)},
    {"smp-opts", "smp", ID_NONE, "cpus", .keys = {"cpus"}},
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
        return error_set(err, "help is for the command line: -%s help", k->option);
    }
    if (!strcmp(e->key, "id") && k->id != ID_NONE) {
        return error_set(err, "the id goes to the group's name: [%s \"ID\"]", k->name);
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
        g_string_append_printf(text, "%sid=%s", text->len ? "," : "", g->id);
    }
    return g_string_free(text, FALSE);
}

/* Remembers where the group's things came from, for errors that are found later. */
static void note_origins(Options *o, const GroupKind *k, const ConfigFile *f, const ConfigGroup *g)
{
    if (k->list) {
        GPtrArray *list = G_STRUCT_MEMBER(GPtrArray *, o, k->list);

        options_set_origin(o, list->pdata[list->len - 1],
                           g->id
                               ? g_strdup_printf("%s:%u: %s '%s'", f->name, g->line, g->name, g->id)
                               : g_strdup_printf("%s:%u", f->name, g->line));
    }
    if (!strcmp(k->name, "mon")) {
        MonOption *mon = o->mons->pdata[o->mons->len - 1];

        mon->origin = g_strdup_printf("%s:%u", f->name, g->line);
    }
    for (unsigned i = 0; k->props && i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];
        json_t *value = json_object_get(G_STRUCT_MEMBER(json_t *, o, k->props), e->key);

        if (value) {
            options_set_origin(o, value, g_strdup_printf("%s:%u", f->name, e->line));
        }
    }
}

/* *ret_line is set to the line of an error. */
static bool take_group(Options *o, const ConfigFile *f, const ConfigGroup *g, unsigned *ret_line,
                       GError **err)
{
    const GroupKind *k = find_kind(g->name, err);
    g_autofree char *where = g_strdup_printf("%s:%u", f->name, g->line), *text = NULL;

    *ret_line = g->line;
    if (!k || !check_id(o, k, g, where, err)) {
        return false;
    }
    for (unsigned i = 0; i < g->entries->len; i++) {
        const ConfigEntry *e = g->entries->pdata[i];

        if (!check_entry(k, e, err)) {
            *ret_line = e->line;
            return false;
        }
    }
    if (k->needed && !config_group_find(g, k->needed)) {
        return error_set(err, "[%s] needs a line %s = \"...\"", k->name, k->needed);
    }
    if (g->entries->len == 0) {
        return true;
    }
    if (g->entries->len == 1) {
        *ret_line = ((ConfigEntry *)g->entries->pdata[0])->line;
    }
    text = to_text(k, g);
    if (!options_take(o, k->option, text, err)) {
        return false;
    }
    note_origins(o, k, f, g);
    return true;
}

bool readconfig(Options *o, const char *path, GError **err)
{
    g_autoptr(ConfigFile) f = config_file_read(path, err);
    unsigned line;

    for (unsigned i = 0; f && i < f->groups->len; i++) {
        if (!take_group(o, f, f->groups->pdata[i], &line, err)) {
            g_prefix_error(err, "%s:%u: ", f->name, line);
            return false;
        }
    }
    return f != NULL;
}
