/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The syntax of config files, which is that of QEMU's -readconfig:
 *
 *     # a comment
 *     [memory]
 *       size = "512M"
 *
 *     [device "balloon0"]
 *       driver = "virtio-balloon"
 *
 * A value holds any characters but '"' and the line's end; there is no way to quote those. What groups and keys mean is
 * not known here: see readconfig.h.
 */
#ifndef AEROSTAT_VMM_CLI_CONFIG_FILE_H
#define AEROSTAT_VMM_CLI_CONFIG_FILE_H

#include <stddef.h>
#include <glib.h>

#include "qom/error.h"

enum { CONFIG_FILE_MAX = 1 << 20 }; /* bytes */
enum { CONFIG_WORD_MAX = 63 };       /* bytes of a group's name, an id and a key, as in QEMU */
extern const char config_word_chars[];
enum { CONFIG_FAULTS_MAX = 100 };    /* one more ends the reading */

typedef struct {
    char *key, *value;  /* valid UTF-8 without control characters; of the key ASCII only */
    unsigned line;
} ConfigEntry;

typedef struct {
    char *name, *id;    /* id NULL: none */
    unsigned line;
    GPtrArray *entries; /* of ConfigEntry *; no key twice, but for hostfwd and its like of [netdev] and [nic] */
} ConfigGroup;

typedef struct {
    char *name;         /* for messages */
    GPtrArray *groups;  /* of ConfigGroup * in the order of the file */
} ConfigFile;

/*
 * "-" is stdin. Errors about the file as such begin with what asks for it ("-readconfig") and path, those about its text
 * with NAME:LINE.
 *
 * With faults (an array of char *) the lines that are wrong are left out and described there, and so are the keys of a
 * group whose line is wrong; without it the first fault ends the reading.
 */
ConfigFile *config_file_new(const char *name); /* without groups */
void config_entry_free(ConfigEntry *e);
ConfigFile *config_file_read(const char *what, const char *path, GPtrArray *faults, GError **err);
ConfigFile *config_file_parse(const char *name, const char *text, size_t len, GPtrArray *faults, GError **err);

/*
 * The same as JSON: {"memory": {"size": "512M"}, "device": [{"driver": "virtio-balloon", "id": "balloon0"}]}. A group is
 * an object, or there is a list of objects; its id is "id". Values are texts, whole numbers and booleans; a list is the
 * key given several times, a nested object "key.inner". config_file_read takes a text that begins with '{' for JSON.
 */
ConfigFile *config_json_parse(const char *name, const char *text, size_t len, GPtrArray *faults, GError **err);

void config_file_free(ConfigFile *f);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ConfigFile, config_file_free)

const ConfigEntry *config_group_find(const ConfigGroup *g, const char *key); /* NULL: not there */
/* May the key come again? QEMU's lists of a network. */
bool config_group_may_repeat(const ConfigGroup *g, const char *key);

#endif
